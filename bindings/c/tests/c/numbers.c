/* The numbers that calls give: rows, sequences, lanes, processes, what was lost; where bytes lie; and what the last error says. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether an address lies in the messages of a ring, which are in its file `stream`. */
static bool in_a_ring(const void *data) {
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    char line[4096];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        unsigned long begin = 0, end = 0;
        found = sscanf(line, "%lx-%lx", &begin, &end) == 2 && (unsigned long)data >= begin && (unsigned long)data < end
            && strstr(line, "/stream") != NULL;
    }
    fclose(maps);
    return found;
}

static void the_row_in_the_way(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 4096};
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *consumers[3] = {NULL, NULL, NULL};
    uint32_t rows[3] = {99, 99, 99};
    uint64_t next = 99, lag = 99, behind = 99, sent = 0;
    const char bytes[100] = {0};
    slipring_message message;
    OK(slipring_ring_create("rows", &options, &ring));
    OK(slipring_ring_producer(ring, NULL, &producer));
    for (int at = 0; at < 3; at++) {
        OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumers[at]));
        OK(slipring_consumer_place(consumers[at], &next, &lag, &rows[at]));
        CHECK(next == 0 && lag == 0);
    }
    CHECK(rows[0] != rows[1] && rows[1] != rows[2] && rows[0] != rows[2]);
    for (int slow = 0; slow < 3; slow++) {
        slipring_status status;
        while ((status = slipring_producer_publish(producer, bytes, sizeof bytes, 0, NULL)) == 0)
            sent++;
        for (int at = 0; at < 3; at++) {
            if (at == slow)
                continue;
            while (slipring_consumer_receive(consumers[at], 0, &message) == 0)
                OK(slipring_consumer_release(consumers[at]));
            OK(slipring_consumer_place(consumers[at], &next, &lag, NULL));
            CHECK(next == sent);
        }
        IS(SLIPRING_E_TRY_PUBLISH_FULL, slipring_producer_publish(producer, bytes, sizeof bytes, 0, NULL));
        CHECK(detail().has == SLIPRING_HAS_ROW && detail().row == rows[slow]);
        IS(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_publish(producer, bytes, sizeof bytes, 1000, NULL));
        CHECK(detail().has == SLIPRING_HAS_ROW && detail().row == rows[slow]);
        void *space = NULL;
        IS(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_claim(producer, 100, 1000, &space));
        CHECK(detail().row == rows[slow]);
        /* So many messages, and what the ring keeps beside each. */
        OK(slipring_consumer_place(consumers[slow], &next, &behind, NULL));
        CHECK(behind > (sent - next) * sizeof bytes && behind <= options.capacity_bytes && behind > lag);
        while (slipring_consumer_receive(consumers[slow], 0, &message) == 0)
            OK(slipring_consumer_release(consumers[slow]));
    }
    for (int at = 0; at < 3; at++)
        OK(slipring_consumer_close(&consumers[at]));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

/* In place in a ring that waits for its readers, private copies in one that evicts them. */
static void where_bytes_lie(bool evicts) {
    slipring_ring_options options = {
        .struct_size = sizeof options, .capacity_bytes = 16384, .evict_after_ns = evicts ? UINT64_C(3600000000000) : 0};
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    slipring_message many[20];
    size_t count = 0;
    void *space = NULL;
    OK(slipring_ring_create(evicts ? "copies" : "places", &options, &ring));
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    OK(slipring_producer_claim(producer, 64, 0, &space));
    CHECK(in_a_ring(space));
    memset(space, 0, 64);
    OK(slipring_producer_commit(producer, 64, NULL));
    for (int at = 0; at < 30; at++)
        OK(slipring_producer_publish(producer, "some bytes", 10, 0, NULL));
    OK(slipring_consumer_receive(consumer, 0, many));
    CHECK(in_a_ring(many[0].data) == !evicts);
    OK(slipring_consumer_release(consumer));
    for (int left = 30; left > 0; left -= (int)count) {
        OK(slipring_consumer_receive_batch(consumer, 0, many, 20, &count));
        for (size_t at = 0; at < count; at++)
            CHECK(in_a_ring(many[at].data) == !evicts && memcmp(many[at].data, "some bytes", 10) == 0);
        OK(slipring_consumer_release(consumer));
    }
    OK(slipring_consumer_close(&consumer));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

/* Batches tell the same gaps and losses as single messages. */
static void gaps_and_losses_of_batches(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 4096, .evict_after_ns = 1000000};
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    slipring_observer *observer = NULL;
    slipring_message many[7];
    slipring_received received;
    size_t count = 0;
    uint64_t next = 0, gaps = 0, missed = 0, laps = 0, skips = 0;
    OK(slipring_ring_create("accounts", &options, &ring));
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    slipring_options from_the_oldest = {.struct_size = sizeof from_the_oldest, .resume_at_oldest = 1};
    OK(slipring_ring_observer(ring, SLIPRING_OLDEST, 0, &from_the_oldest, &observer));
    for (uint64_t at = 0; at < 400; at++) {
        if (at % 5 == 4)
            OK(slipring_producer_skip_to(producer, at * 3 + 1, 7, MINUTE, NULL));
        else
            OK(slipring_producer_skip_to(producer, at * 3, 8, MINUTE, NULL));
        OK(slipring_producer_publish(producer, &at, sizeof at, MINUTE, NULL));
    }
    slipring_status status;
    while ((status = slipring_consumer_receive_batch(consumer, 0, many, 7, &count)) == 0) {
        for (size_t at = 0; at < count; at++) {
            if (many[at].missed > 0)
                missed += many[at].missed;
            else if (many[at].sequence > 0)
                CHECK(many[at].gap_first == next);
            if (many[at].gap_why != 0) {
                gaps++;
                CHECK(many[at].gap_end == many[at].sequence && many[at].gap_first < many[at].gap_end);
                CHECK(many[at].gap_why == (many[at].sequence % 3 == 1 ? 7U : 8U));
            }
            next = many[at].sequence + 1;
        }
        OK(slipring_consumer_release(consumer));
    }
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, status);
    slipring_losses losses;
    OK(slipring_consumer_losses(consumer, &losses));
    CHECK(missed > 0 && losses.missed == missed && gaps > 10 && next == 399 * 3 + 2);
    /* An observer: each thing begins where the last one ended. */
    next = 0;
    while ((status = slipring_observer_receive(observer, 0, &received)) == 0) {
        if (received.kind == SLIPRING_RECEIVED_MESSAGE) {
            CHECK(received.message.sequence == next);
            next++;
        } else {
            CHECK(received.resumed_at == next + received.count && received.message.len == 0);
            next = received.resumed_at;
            laps += received.kind == SLIPRING_RECEIVED_LAPPED;
            skips += received.kind == SLIPRING_RECEIVED_SKIPPED;
            CHECK(received.why == (received.kind == SLIPRING_RECEIVED_LAPPED ? 0U : next % 3 == 1 ? 7U : 8U));
        }
    }
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, status);
    CHECK(laps > 0 && skips > 10 && next == 399 * 3 + 2);
    OK(slipring_observer_close(&observer));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

/* The text and the numbers are of the last call that failed, whatever has succeeded since. */
static void the_last_error(void) {
    slipring_ring *ring = NULL;
    char first[200];
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_ring_open("one-name", 0, &ring));
    CHECK(strstr(slipring_error_message(), "one-name") != NULL);
    snprintf(first, sizeof first, "%s", slipring_error_message());
    OK(slipring_ring_create("errors", NULL, &ring));
    CHECK(strcmp(slipring_error_message(), first) == 0 && detail().code == SLIPRING_E_OPEN_NOT_FOUND);
    OK(slipring_ring_close(&ring));
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_ring_open("another-name", 0, &ring));
    CHECK(strstr(slipring_error_message(), "another-name") != NULL);
}

static void lanes(void) {
    slipring_queue *queue = NULL;
    slipring_sender *senders[2] = {NULL, NULL};
    slipring_receiver *receiver = NULL;
    slipring_delivery job;
    uint32_t lanes[2] = {99, 99};
    OK(slipring_queue_create("lanes", NULL, &queue));
    OK(slipring_queue_receiver(queue, NULL, &receiver));
    for (int at = 0; at < 2; at++)
        OK(slipring_queue_sender(queue, NULL, &senders[at]));
    /* One after the other, so that the order of lanes does not matter. */
    for (uint64_t sequence = 0; sequence < 3; sequence++) {
        for (int at = 0; at < 2; at++) {
            uint64_t sent = 99;
            OK(slipring_sender_send(senders[at], &at, sizeof at, 0, 0, &sent));
            OK(slipring_receiver_receive(receiver, 0, &job));
            CHECK(sent == sequence && job.sequence == sequence && job.tries == 1);
            CHECK(sequence == 0 || job.lane == lanes[at]);
            lanes[at] = job.lane;
            OK(slipring_receiver_ack(receiver));
        }
        CHECK(lanes[0] != lanes[1]);
    }
    for (int at = 0; at < 2; at++)
        OK(slipring_sender_close(&senders[at]));
    OK(slipring_receiver_close(&receiver));
    OK(slipring_queue_close(&queue));
}

static void the_process_at_the_other_side(void) {
    slipring_link *link = NULL;
    slipring_message message;
    pid_t child = forked();
    if (child == 0) {
        OK(slipring_link_connect("child", "parent", NULL, 0, NULL, MINUTE, &link));
        for (uint64_t at = 0; at < 3; at++) {
            uint64_t sequence = 99;
            OK(slipring_link_send(link, &at, sizeof at, MINUTE, &sequence));
            CHECK(sequence == at);
        }
        OK(slipring_link_close(&link));
        _exit(0);
    }
    OK(slipring_link_connect("parent", "child", NULL, 0, NULL, MINUTE, &link));
    uint32_t pid = 0, most = 0;
    OK(slipring_link_peer(link, &pid, &most));
    CHECK(pid == (uint32_t)child && most > 0);
    for (uint64_t at = 0; at < 3; at++) {
        OK(slipring_link_receive(link, MINUTE, &message));
        CHECK(message.sequence == at && message.len == sizeof at && memcmp(message.data, &at, sizeof at) == 0);
        OK(slipring_link_release(link));
    }
    OK(slipring_link_close(&link));
    int ended = 1;
    CHECK(waitpid(child, &ended, 0) == child && ended == 0);
}

/* A holder that dies leaves the value as it was, and the next one is told. */
static void an_abandoned_value(void) {
    slipring_shared_options options = {.struct_size = sizeof options, .schema = "Account{balance:i64}"};
    slipring_shared *account = NULL;
    void *value = NULL;
    bool abandoned = true;
    OK(slipring_shared_create("abandoned", &options, NULL, &account));
    pid_t child = forked();
    if (child == 0) {
        slipring_shared *own = NULL;
        OK(slipring_shared_open("abandoned", NULL, &own));
        OK(slipring_shared_lock(own, MINUTE, &value, &abandoned));
        memset(value, 7, 8);
        kill(getpid(), SIGKILL);
    }
    int ended = 0;
    CHECK(waitpid(child, &ended, 0) == child && WIFSIGNALED(ended));
    const int64_t zero = 0;
    for (int turn = 0; turn < 2; turn++) {
        OK(slipring_shared_lock(account, MINUTE, &value, &abandoned));
        CHECK(abandoned == (turn == 0) && memcmp(value, &zero, sizeof zero) == 0);
        OK(slipring_shared_commit(account, NULL));
    }
    OK(slipring_shared_close(&account));
}

int main(void) {
    the_row_in_the_way();
    where_bytes_lie(false);
    where_bytes_lie(true);
    gaps_and_losses_of_batches();
    the_last_error();
    lanes();
    the_process_at_the_other_side();
    an_abandoned_value();
    return 0;
}
