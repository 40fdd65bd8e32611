/* Every call that waits: it ends at its deadline, in nanoseconds, and not before. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define WAIT (SECOND / 10)

static int64_t now(void) {
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

/* The call returns this status once WAIT is over. A minute is only to end it. */
#define LATE(status, call)                                                                                             \
    do {                                                                                                               \
        int64_t begun = now();                                                                                         \
        IS(status, call);                                                                                              \
        int64_t took = now() - begun;                                                                                  \
        if (took < WAIT || took > MINUTE) {                                                                            \
            fprintf(stderr, "%s:%d: %s took %lld ns\n", __FILE__, __LINE__, #call, (long long)took);                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const unsigned char bytes[1000];

static void rings(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 4096};
    slipring_ring *ring = NULL, *none = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    slipring_observer *observer = NULL;
    slipring_wait_set *set = NULL;
    slipring_message message;
    slipring_received received;
    unsigned char room[16];
    size_t count = 0;
    void *space = NULL;
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_ring_open("ring", WAIT, &none));
    OK(slipring_ring_create("ring", &options, &ring));
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_ring_wait_for_producer(ring, WAIT));
    OK(slipring_ring_producer(ring, NULL, &producer));
    LATE(SLIPRING_E_READERS_TIMED_OUT, slipring_ring_wait_for_readers(ring, 1, WAIT, NULL));
    LATE(SLIPRING_E_READERS_TIMED_OUT, slipring_producer_wait_for_readers(producer, 1, WAIT, NULL));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    OK(slipring_ring_observer(ring, SLIPRING_OLDEST, 0, NULL, &observer));
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_consumer_receive(consumer, WAIT, &message));
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_consumer_receive_copy(consumer, WAIT, room, sizeof room, &message));
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_consumer_receive_batch(consumer, WAIT, &message, 1, &count));
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_observer_receive(observer, WAIT, &received));
    OK(slipring_wait_set_create(-1, &set));
    void *handles[] = {consumer, observer};
    LATE(0, slipring_wait_set_wait(set, handles, 2, WAIT, &count));
    CHECK(count == 2);
    OK(slipring_wait_set_close(&set));
    while (slipring_producer_publish(producer, bytes, 500, 0, NULL) == 0)
        ;
    LATE(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_publish(producer, bytes, 500, WAIT, NULL));
    LATE(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_claim(producer, 500, WAIT, &space));
    LATE(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_publish_array(producer, bytes, 500, 2, WAIT, NULL));
    OK(slipring_producer_batch(producer));
    LATE(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_batch_push(producer, bytes, 500, WAIT, NULL));
    OK(slipring_producer_abort(producer));
    OK(slipring_producer_close(&producer));
    while (slipring_consumer_receive(consumer, 0, &message) == 0)
        OK(slipring_consumer_release(consumer));
    while (slipring_observer_receive(observer, 0, &received) == 0)
        ;
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_consumer_wait_for_producer(consumer, WAIT));
    LATE(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_observer_wait_for_producer(observer, WAIT));
    OK(slipring_observer_close(&observer));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
}

static void queues_and_mailboxes(void) {
    slipring_queue_options options = {.struct_size = sizeof options, .depth = 1};
    slipring_queue *queue = NULL;
    slipring_sender *sender = NULL;
    slipring_receiver *receiver = NULL;
    slipring_delivery job;
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_queue_open("queue", WAIT, &queue));
    OK(slipring_queue_create("queue", &options, &queue));
    OK(slipring_queue_receiver(queue, NULL, &receiver));
    OK(slipring_queue_sender(queue, NULL, &sender));
    LATE(SLIPRING_E_TAKE_TIMED_OUT, slipring_receiver_receive(receiver, WAIT, &job));
    while (slipring_sender_send(sender, "x", 1, 0, 0, NULL) == 0)
        ;
    LATE(SLIPRING_E_SEND_TIMED_OUT, slipring_sender_send(sender, "x", 1, 0, WAIT, NULL));
    OK(slipring_sender_close(&sender));
    OK(slipring_receiver_close(&receiver));
    OK(slipring_queue_close(&queue));

    slipring_mailbox_options settings = {.struct_size = sizeof settings, .depth = 1};
    slipring_mailbox *office = NULL;
    slipring_mailbox_client *client = NULL;
    slipring_mailbox_receiver *desk = NULL;
    slipring_letter letter;
    const void *reply = NULL;
    size_t len = 0;
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_mailbox_open("mailbox", WAIT, &office));
    OK(slipring_mailbox_create("mailbox", &settings, &office));
    OK(slipring_mailbox_new_receiver(office, NULL, &desk));
    OK(slipring_mailbox_new_client(office, "me", NULL, &client));
    LATE(SLIPRING_E_TAKE_TIMED_OUT, slipring_mailbox_receiver_receive(desk, WAIT, &letter));
    LATE(SLIPRING_E_REQUEST_TIMED_OUT, slipring_mailbox_client_request(client, "x", 1, WAIT, &reply, &len));
    while (slipring_mailbox_client_send(client, "x", 1, 0) == 0)
        ;
    LATE(SLIPRING_E_SEND_TIMED_OUT, slipring_mailbox_client_send(client, "x", 1, WAIT));
    OK(slipring_mailbox_client_close(&client));
    OK(slipring_mailbox_receiver_close(&desk));
    OK(slipring_mailbox_close(&office));
}

static void *other_side(void *argument) {
    slipring_link **link = argument;
    OK(slipring_link_connect("b", "a", NULL, 4096, NULL, MINUTE, link));
    return NULL;
}

static void links(void) {
    slipring_link *link = NULL, *other = NULL;
    slipring_message message;
    pthread_t thread;
    LATE(SLIPRING_E_LINK_TIMED_OUT, slipring_link_connect("a", "b", NULL, 4096, NULL, WAIT, &link));
    CHECK(pthread_create(&thread, NULL, other_side, &other) == 0);
    OK(slipring_link_connect("a", "b", NULL, 4096, NULL, MINUTE, &link));
    CHECK(pthread_join(thread, NULL) == 0);
    LATE(SLIPRING_E_LINK_TIMED_OUT, slipring_link_receive(link, WAIT, &message));
    while (slipring_link_send(link, bytes, 500, 0, NULL) == 0)
        ;
    LATE(SLIPRING_E_LINK_TIMED_OUT, slipring_link_send(link, bytes, 500, WAIT, NULL));
    OK(slipring_link_close(&other));
    LATE(SLIPRING_E_LINK_TIMED_OUT, slipring_link_reconnect(link, WAIT));
    slipring_connecting *waits = NULL;
    OK(slipring_link_begin_reconnect(&link, &waits));
    LATE(SLIPRING_E_LINK_TIMED_OUT, slipring_connecting_link(&waits, WAIT, &link));
    OK(slipring_link_begin_connect("a", "b", NULL, 0, NULL, &waits));
    LATE(SLIPRING_E_LINK_TIMED_OUT, slipring_connecting_link(&waits, WAIT, &link));
    CHECK(link == NULL && waits == NULL);
}

static atomic_bool enough;

static void *reads_slowly(void *argument) {
    slipring_pipe_reader *reader = argument;
    unsigned char some[64];
    size_t came = 1;
    while (came > 0) {
        if (!enough)
            usleep(1000);
        OK(slipring_pipe_reader_read(reader, some, sizeof some, MINUTE, &came));
    }
    return NULL;
}

static void pipes(void) {
    slipring_pipe_reader *reader = NULL, *none = NULL;
    slipring_pipe_writer *writer = NULL;
    slipring_fifo *fifo = NULL;
    static unsigned char many[1 << 20];
    const void *data = NULL;
    size_t count = 0;
    OK(slipring_pipe_create(4096, NULL, &reader, &writer));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_reader_read(reader, many, sizeof many, WAIT, &count));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_reader_peek(reader, WAIT, &data, &count));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_writer_write(writer, many, sizeof many, WAIT, &count));
    CHECK(count > 0 && count < sizeof many);
    /* The time is for all of the bytes, although there is room again and again. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, reads_slowly, reader) == 0);
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_writer_write(writer, many, sizeof many, WAIT, &count));
    CHECK(count < sizeof many);
    enough = true;
    OK(slipring_pipe_writer_close(&writer));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_pipe_reader_close(&reader));
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_fifo_open("fifo", WAIT, &fifo));
    OK(slipring_fifo_create("fifo", NULL, &fifo));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_fifo_reader(fifo, NULL, WAIT, &none));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_fifo_writer(fifo, NULL, WAIT, &writer));
    slipring_connecting *waits = NULL;
    OK(slipring_fifo_begin_reader(fifo, NULL, &waits));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_connecting_reader(&waits, WAIT, &none));
    OK(slipring_fifo_begin_writer(fifo, NULL, &waits));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_connecting_writer(&waits, WAIT, &writer));
    CHECK(none == NULL && writer == NULL);
    OK(slipring_fifo_close(&fifo));
    slipring_fifo_options options = {.struct_size = sizeof options, .both_ways = 1};
    OK(slipring_fifo_create("both-ways", &options, &fifo));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_fifo_connect(fifo, NULL, WAIT, &none, &writer));
    OK(slipring_fifo_begin_connect(fifo, NULL, &waits));
    LATE(SLIPRING_E_PIPE_TIMED_OUT, slipring_connecting_ends(&waits, WAIT, &none, &writer));
    OK(slipring_fifo_close(&fifo));
}

static void values(void) {
    slipring_latest_options options = {.struct_size = sizeof options, .schema = "Level{value:u64}"};
    slipring_latest *table = NULL;
    slipring_latest_reader *reader = NULL;
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_latest_open("latest", WAIT, &table));
    OK(slipring_latest_create("latest", &options, &table));
    OK(slipring_latest_new_reader(table, NULL, &reader));
    LATE(SLIPRING_E_LATEST_TIMED_OUT, slipring_latest_reader_wait(reader, WAIT));
    LATE(SLIPRING_E_LATEST_TIMED_OUT, slipring_latest_reader_wait_at(reader, 0, 0, WAIT));
    OK(slipring_latest_reader_close(&reader));
    OK(slipring_latest_close(&table));

    slipring_shared_options settings = {.struct_size = sizeof settings, .schema = "Level{value:u64}"};
    slipring_shared *shared = NULL, *other = NULL;
    void *value = NULL;
    OK(slipring_shared_create("shared", &settings, NULL, &shared));
    OK(slipring_shared_open("shared", NULL, &other));
    LATE(SLIPRING_E_SHARED_TIMED_OUT, slipring_shared_wait(shared, 0, WAIT));
    OK(slipring_shared_lock(shared, 0, &value, NULL));
    LATE(SLIPRING_E_SHARED_TIMED_OUT, slipring_shared_lock(other, WAIT, &value, NULL));
    OK(slipring_shared_close(&shared));
    OK(slipring_shared_close(&other));

    slipring_semaphore *semaphore = NULL;
    slipring_permit *held = NULL, *none = NULL;
    slipring_semaphore_options permits = {.struct_size = sizeof permits, .permits = 1};
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_semaphore_open("semaphore", NULL, WAIT, &semaphore));
    OK(slipring_semaphore_create("semaphore", &permits, NULL, &semaphore));
    OK(slipring_semaphore_acquire(semaphore, 1, 0, &held));
    LATE(SLIPRING_E_ACQUIRE_TIMED_OUT, slipring_semaphore_acquire(semaphore, 1, WAIT, &none));
    OK(slipring_permit_close(&held));
    OK(slipring_semaphore_close(&semaphore));

    slipring_signals *control = NULL;
    slipring_listener *listener = NULL;
    uint32_t signal = 0;
    uint64_t count = 0;
    LATE(SLIPRING_E_OPEN_NOT_FOUND, slipring_signals_open("signals", WAIT, &control));
    OK(slipring_signals_create("signals", NULL, &control));
    OK(slipring_signals_listener(control, "me", NULL, &listener));
    LATE(SLIPRING_E_SIGNAL_TIMED_OUT, slipring_listener_wait(listener, UINT64_MAX, WAIT, &signal, &count));
    OK(slipring_listener_close(&listener));
    OK(slipring_signals_close(&control));
}

int main(void) {
    rings();
    queues_and_mailboxes();
    links();
    pipes();
    values();
    return 0;
}
