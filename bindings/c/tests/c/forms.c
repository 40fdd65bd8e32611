/* Every form from within one process: what it promises, and what it refuses. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

static bool readable(int fd, int ms) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, ms) == 1;
}

static void queues(void) {
    slipring_queue_options options = {.struct_size = sizeof options, .depth = 4, .max_message_bytes = 100};
    slipring_queue *queue = NULL, *again = NULL;
    slipring_sender *sender = NULL;
    slipring_receiver *receiver = NULL, *second = NULL;
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_queue_open("jobs", 0, &queue));
    OK(slipring_queue_create("jobs", &options, &queue));
    IS(SLIPRING_E_CREATE_EXISTS, slipring_queue_create("jobs", &options, &again));
    OK(slipring_queue_create_or_open("jobs", NULL, &again));
    OK(slipring_queue_close(&again));
    slipring_ring *ring = NULL;
    IS(SLIPRING_E_OPEN_FORM, slipring_ring_open("jobs", 0, &ring));
    OK(slipring_queue_sender(queue, NULL, &sender));
    OK(slipring_queue_receiver(queue, NULL, &receiver));
    int fd = -1;
    bool ready = true;
    slipring_delivery job;
    OK(slipring_receiver_fd(receiver, &fd));
    used(receiver);
    OK(slipring_receiver_arm(receiver, &ready));
    watched(receiver);
    /* It may be told to look again for nothing, but not for ever. */
    for (int looks = 0; ready || readable(fd, 0); looks++) {
        CHECK(looks < 1000);
        OK(slipring_receiver_arm(receiver, &ready));
    }
    uint64_t sequence = 9;
    OK(slipring_sender_send(sender, "low", 3, 0, 0, &sequence));
    CHECK(sequence == 0 && readable(fd, 60000));
    OK(slipring_sender_send(sender, "high", 4, 7, 0, NULL));
    IS(SLIPRING_E_SEND_PRIORITY, slipring_sender_send(sender, "x", 1, 8, 0, NULL));
    IS(SLIPRING_E_SEND_TOO_LARGE, slipring_sender_send(sender, &options, 101, 0, 0, NULL));
    CHECK(detail().len == 101 && detail().max == 100);
    OK(slipring_receiver_receive(receiver, 0, &job));
    CHECK(job.len == 4 && memcmp(job.data, "high", 4) == 0 && job.priority == 7 && !job.redelivered);
    IS(SLIPRING_E_LENT, slipring_receiver_receive(receiver, 0, &job));
    OK(slipring_receiver_return(receiver));
    OK(slipring_receiver_receive(receiver, 0, &job));
    CHECK(job.priority == 7 && job.redelivered && job.tries == 2);
    OK(slipring_receiver_ack(receiver));
    IS(SLIPRING_E_NOTHING_LENT, slipring_receiver_ack(receiver));
    for (int at = 0; at < 3; at++)
        OK(slipring_sender_send(sender, &at, sizeof at, 0, 0, NULL));
    OK(slipring_receiver_receive(receiver, 0, &job));
    IS(SLIPRING_E_SEND_FULL, slipring_sender_send(sender, "x", 1, 0, 0, NULL));
    CHECK(detail().pid == (uint32_t)getpid());
    IS(SLIPRING_E_SEND_TIMED_OUT, slipring_sender_send(sender, "x", 1, 0, 1000, NULL));
    slipring_queue_state state = {.struct_size = sizeof state};
    OK(slipring_queue_status(queue, &state));
    CHECK(state.depth == 4 && state.held == 1 && state.waiting == 3 && state.senders >= 1 && state.receivers == 1);
    slipring_receiver_state receivers[3];
    size_t count = 0;
    OK(slipring_queue_receivers(queue, receivers, 3, &count));
    CHECK(count == 1 && receivers[0].held == 1 && receivers[0].alive);
    /* A receiver that closes with a message gives it back. */
    OK(slipring_receiver_close(&receiver));
    OK(slipring_queue_receiver(queue, NULL, &second));
    OK(slipring_receiver_receive(second, MINUTE, &job));
    CHECK(job.redelivered && job.len == 3);
    OK(slipring_receiver_ack(second));
    for (int at = 0; at < 3; at++) {
        OK(slipring_receiver_receive(second, 0, &job));
        OK(slipring_receiver_ack(second));
    }
    IS(SLIPRING_E_TAKE_EMPTY, slipring_receiver_receive(second, 0, &job));
    IS(SLIPRING_E_TAKE_TIMED_OUT, slipring_receiver_receive(second, 1000, &job));
    IS(SLIPRING_E_REMOVE_IN_USE, slipring_queue_remove("jobs"));
    OK(slipring_remove("jobs", true));
    IS(SLIPRING_E_TAKE_REMOVED, slipring_receiver_receive(second, MINUTE, &job));
    OK(slipring_receiver_close(&second));
    OK(slipring_sender_close(&sender));
    OK(slipring_queue_close(&queue));
    /* A lease. */
    options.lease_ns = 1000000;
    OK(slipring_queue_create("leased", &options, &queue));
    OK(slipring_queue_sender(queue, NULL, &sender));
    OK(slipring_queue_receiver(queue, NULL, &receiver));
    OK(slipring_queue_receiver(queue, NULL, &second));
    OK(slipring_sender_send(sender, "once", 4, 0, 0, NULL));
    OK(slipring_receiver_receive(receiver, 0, &job));
    OK(slipring_receiver_receive(second, MINUTE, &job));
    CHECK(job.redelivered);
    IS(SLIPRING_E_ACK_EXPIRED, slipring_receiver_ack(receiver));
    CHECK(detail().sequence == 0 && (detail().has & SLIPRING_HAS_SEQUENCE));
    OK(slipring_receiver_ack(second));
    OK(slipring_receiver_close(&receiver));
    OK(slipring_receiver_close(&second));
    OK(slipring_sender_close(&sender));
    OK(slipring_queue_close(&queue));
    OK(slipring_queue_remove("leased"));
}

static void *answers(void *argument) {
    slipring_mailbox_receiver *desk = (slipring_mailbox_receiver *)argument;
    slipring_letter letter;
    char name[65];
    OK(slipring_mailbox_receiver_receive(desk, MINUTE, &letter));
    CHECK(letter.wants_reply && letter.len == 3 && memcmp(letter.data, "how", 3) == 0);
    OK(slipring_mailbox_receiver_sender(desk, name, sizeof name, NULL));
    CHECK(strcmp(name, "alice") == 0);
    bool late = true;
    OK(slipring_mailbox_receiver_reply(desk, "so", 2, &late));
    CHECK(!late);
    OK(slipring_mailbox_receiver_receive(desk, MINUTE, &letter));
    CHECK(letter.wants_reply);
    OK(slipring_mailbox_receiver_ack(desk));
    return NULL;
}

static void mailboxes(void) {
    slipring_mailbox *office = NULL;
    slipring_mailbox_client *alice = NULL, *other = NULL;
    slipring_mailbox_receiver *desk = NULL;
    slipring_letter letter;
    OK(slipring_mailbox_create("office", NULL, &office));
    OK(slipring_mailbox_new_client(office, "alice", NULL, &alice));
    IS(SLIPRING_E_ATTACH_CURSOR_IN_USE, slipring_mailbox_new_client(office, "alice", NULL, &other));
    IS(SLIPRING_E_ATTACH_NAME, slipring_mailbox_new_client(office, "", NULL, &other));
    const void *reply = NULL;
    size_t len = 0;
    IS(SLIPRING_E_REQUEST_TIMED_OUT, slipring_mailbox_client_request(alice, "x", 1, 1000, &reply, &len));
    OK(slipring_mailbox_new_receiver(office, NULL, &desk));
    /* The request that nobody waits for any more. */
    OK(slipring_mailbox_receiver_receive(desk, 0, &letter));
    bool late = false;
    OK(slipring_mailbox_receiver_reply(desk, "late", 4, &late));
    CHECK(late);
    OK(slipring_mailbox_client_send(alice, "leaks", 5, 0));
    OK(slipring_mailbox_receiver_receive(desk, 0, &letter));
    CHECK(!letter.wants_reply && letter.len == 5 && memcmp(letter.data, "leaks", 5) == 0);
    OK(slipring_mailbox_receiver_return(desk));
    OK(slipring_mailbox_receiver_receive(desk, 0, &letter));
    CHECK(letter.redelivered && letter.tries == 2);
    IS(SLIPRING_E_REPLY_NOT_ASKED, slipring_mailbox_receiver_reply(desk, "x", 1, NULL));
    slipring_status status = slipring_mailbox_receiver_receive(desk, 0, &letter);
    if (status == 0)
        OK(slipring_mailbox_receiver_ack(desk));
    int fd = -1;
    bool ready = true;
    OK(slipring_mailbox_receiver_fd(desk, &fd));
    used(desk);
    OK(slipring_mailbox_receiver_arm(desk, &ready));
    CHECK(!ready);
    watched(desk);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, answers, desk) == 0);
    OK(slipring_mailbox_client_request(alice, "how", 3, MINUTE, &reply, &len));
    CHECK(len == 2 && memcmp(reply, "so", 2) == 0);
    IS(SLIPRING_E_LENT, slipring_mailbox_client_send(alice, "x", 1, 0));
    OK(slipring_mailbox_client_release(alice));
    IS(SLIPRING_E_REQUEST_PEER_GONE, slipring_mailbox_client_request(alice, "no", 2, MINUTE, &reply, &len));
    CHECK(pthread_join(thread, NULL) == 0);
    slipring_mailbox_state state = {.struct_size = sizeof state};
    OK(slipring_mailbox_status(office, &state));
    CHECK(state.clients == 1 && state.late == 1 && !state.one_way);
    OK(slipring_mailbox_client_close(&alice));
    OK(slipring_mailbox_receiver_close(&desk));
    OK(slipring_mailbox_close(&office));
    OK(slipring_mailbox_remove("office"));
    slipring_mailbox_options options = {.struct_size = sizeof options, .one_way = 1};
    OK(slipring_mailbox_create("drop", &options, &office));
    OK(slipring_mailbox_new_client(office, "bob", NULL, &alice));
    IS(SLIPRING_E_REQUEST_ONE_WAY, slipring_mailbox_client_request(alice, "x", 1, 0, &reply, &len));
    OK(slipring_mailbox_client_close(&alice));
    OK(slipring_mailbox_close(&office));
}

static void *gateway(void *argument) {
    (void)argument;
    slipring_link *link = NULL;
    slipring_message message;
    OK(slipring_link_connect("gateway", "engine", NULL, 4096, NULL, MINUTE, &link));
    for (int at = 0; at < 1000; at++) {
        OK(slipring_link_receive(link, MINUTE, &message));
        CHECK(message.len == sizeof at && memcmp(message.data, &at, sizeof at) == 0);
        OK(slipring_link_release(link));
        OK(slipring_link_send(link, &at, sizeof at, MINUTE, NULL));
    }
    OK(slipring_link_close(&link));
    return NULL;
}

static void links(void) {
    slipring_link *link = NULL, *third = NULL;
    slipring_message message;
    IS(SLIPRING_E_LINK_TIMED_OUT, slipring_link_connect("engine", "gateway", NULL, 4096, NULL, 1000, &link));
    IS(SLIPRING_E_LINK_NAME, slipring_link_connect("engine", "engine", NULL, 0, NULL, 0, &link));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, gateway, NULL) == 0);
    OK(slipring_link_connect("engine", "gateway", NULL, 4096, NULL, MINUTE, &link));
    IS(SLIPRING_E_LINK_TAKEN, slipring_link_connect("engine", "gateway", NULL, 0, NULL, 0, &third));
    uint32_t pid = 0, most = 0;
    OK(slipring_link_peer(link, &pid, &most));
    CHECK(pid == (uint32_t)getpid() && most > 0);
    unsigned char large[4096] = {0};
    IS(SLIPRING_E_LINK_TOO_LARGE, slipring_link_send(link, large, most + 1, 0, NULL));
    int fd = -1;
    bool ready = true;
    OK(slipring_link_fd(link, &fd));
    used(link);
    for (int at = 0; at < 1000; at++) {
        OK(slipring_link_send(link, &at, sizeof at, MINUTE, NULL));
        if (at % 2 == 0) {
            OK(slipring_link_arm(link, &ready));
            if (!ready)
                watched(link);
            CHECK(ready || readable(fd, 60000));
        }
        OK(slipring_link_receive(link, MINUTE, &message));
        CHECK(message.len == sizeof at && memcmp(message.data, &at, sizeof at) == 0);
        OK(slipring_link_release(link));
    }
    CHECK(pthread_join(thread, NULL) == 0);
    IS(SLIPRING_E_LINK_PEER_GONE, slipring_link_receive(link, -1, &message));
    IS(SLIPRING_E_LINK_TIMED_OUT, slipring_link_reconnect(link, 1000));
    CHECK(pthread_create(&thread, NULL, gateway, NULL) == 0);
    OK(slipring_link_reconnect(link, MINUTE));
    for (int at = 0; at < 1000; at++) {
        OK(slipring_link_send(link, &at, sizeof at, MINUTE, NULL));
        OK(slipring_link_receive(link, MINUTE, &message));
        OK(slipring_link_release(link));
    }
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_link_close(&link));
    OK(slipring_link_remove("gateway", "engine"));
}

static void semaphores(void) {
    slipring_semaphore_options options = {.struct_size = sizeof options, .permits = 3, .max_permits = 4};
    slipring_semaphore *semaphore = NULL, *other = NULL;
    slipring_permit *two = NULL, *one = NULL, *none = NULL;
    OK(slipring_semaphore_create("printers", &options, NULL, &semaphore));
    OK(slipring_semaphore_open("printers", NULL, 0, &other));
    OK(slipring_semaphore_acquire(semaphore, 2, -1, &two));
    IS(SLIPRING_E_ACQUIRE_UNAVAILABLE, slipring_semaphore_acquire(other, 2, 0, &none));
    IS(SLIPRING_E_ACQUIRE_TIMED_OUT, slipring_semaphore_acquire(other, 2, 1000, &none));
    IS(SLIPRING_E_ACQUIRE_TOO_MANY, slipring_semaphore_acquire(other, 5, -1, &none));
    CHECK(detail().len == 5 && detail().max == 4 && none == NULL);
    OK(slipring_semaphore_acquire(other, 1, 0, &one));
    slipring_semaphore_state state = {.struct_size = sizeof state};
    OK(slipring_semaphore_status(other, &state));
    CHECK(state.free == 0 && state.held == 3 && state.max == 4 && state.handles == 2);
    OK(slipring_permit_forget(&one));
    OK(slipring_semaphore_close(&semaphore)); /* the permits stay */
    OK(slipring_permit_close(&two));
    CHECK(two == NULL && one == NULL);
    OK(slipring_semaphore_add(other));
    OK(slipring_semaphore_status(other, &state));
    CHECK(state.free == 3 && state.held == 0);
    IS(SLIPRING_E_REMOVE_IN_USE, slipring_semaphore_remove("printers"));
    OK(slipring_semaphore_close(&other));
    OK(slipring_semaphore_remove("printers"));
}

static void signals(void) {
    slipring_signals *control = NULL;
    slipring_listener *engine = NULL, *second = NULL;
    slipring_target *target = NULL;
    OK(slipring_signals_create("control", NULL, &control));
    IS(SLIPRING_E_SIGNAL_NO_LISTENER, slipring_signals_target(control, "engine", &target));
    OK(slipring_signals_listener(control, "engine", NULL, &engine));
    IS(SLIPRING_E_ATTACH_CURSOR_IN_USE, slipring_signals_listener(control, "engine", NULL, &second));
    OK(slipring_signals_target(control, "engine", &target));
    uint32_t signal = 99;
    uint64_t count = 0;
    IS(SLIPRING_E_SIGNAL_TIMED_OUT, slipring_listener_wait(engine, UINT64_MAX, 0, &signal, &count));
    IS(SLIPRING_E_SIGNAL_TIMED_OUT, slipring_listener_wait(engine, UINT64_MAX, 1000, &signal, &count));
    int fd = -1;
    bool ready = true;
    OK(slipring_listener_fd(engine, &fd));
    used(engine);
    OK(slipring_listener_arm(engine, &ready));
    CHECK(!ready);
    watched(engine);
    OK(slipring_target_send(target, 63));
    CHECK(readable(fd, 60000));
    OK(slipring_target_send(target, 63));
    OK(slipring_signals_broadcast(control, 0));
    IS(SLIPRING_E_SIGNAL_NUMBER, slipring_target_send(target, 64));
    IS(SLIPRING_E_SIGNAL_NUMBER, slipring_signals_broadcast(control, 64));
    OK(slipring_listener_wait(engine, UINT64_C(1) << 63, -1, &signal, &count));
    CHECK(signal == 63 && count == 2);
    OK(slipring_listener_wait(engine, UINT64_MAX, -1, &signal, &count));
    CHECK(signal == 0 && count == 1);
    OK(slipring_listener_close(&engine));
    IS(SLIPRING_E_SIGNAL_NO_LISTENER, slipring_target_send(target, 1));
    OK(slipring_target_close(&target));
    OK(slipring_signals_close(&control));
    OK(slipring_signals_remove("control"));
}

int main(void) {
    queues();
    mailboxes();
    links();
    semaphores();
    signals();
    return 0;
}
