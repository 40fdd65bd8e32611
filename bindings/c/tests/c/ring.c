/* A ring from all sides: publishing, receiving, losses, gaps, ends. */
#include "check.h"

#include <unistd.h>

static slipring_ring *created(const char *name, uint64_t capacity) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = capacity};
    slipring_ring *ring = NULL;
    OK(slipring_ring_create(name, &options, &ring));
    return ring;
}

static void messages_go_through(void) {
    slipring_ring *ring = created("through", 65536);
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    slipring_ring_state state;
    memset(&state, 0, sizeof state);
    state.struct_size = sizeof state;
    OK(slipring_ring_status(ring, &state));
    CHECK(state.capacity_bytes == 65536 && state.has_sequences && state.next_sequence == 0 && state.producer_alive);
    CHECK(state.readers == 1 && state.producer_pid == (uint32_t)getpid());
    size_t most = state.max_message_bytes;

    unsigned char *bytes = malloc(most), *copied = malloc(most);
    slipring_message message;
    for (uint64_t sequence = 0; sequence < 3000; sequence++) {
        size_t len = length_of(sequence, most);
        fill(bytes, len, sequence);
        uint64_t given = 0;
        switch (sequence % 3) {
        case 0: OK(slipring_producer_publish(producer, bytes, len, MINUTE, &given)); break;
        case 1: {
            void *space = NULL;
            OK(slipring_producer_claim(producer, most, MINUTE, &space));
            IS(SLIPRING_E_LENT, slipring_producer_publish(producer, bytes, len, 0, NULL));
            IS(SLIPRING_E_LENT, slipring_producer_claim(producer, 1, 0, &space));
            IS(SLIPRING_E_LENT, slipring_producer_batch(producer));
            IS(SLIPRING_E_ARGUMENT, slipring_producer_commit(producer, most + 1, NULL));
            if (len > 0)
                memcpy(space, bytes, len);
            OK(slipring_producer_commit(producer, len, &given));
            IS(SLIPRING_E_NOTHING_LENT, slipring_producer_commit(producer, 0, NULL));
            break;
        }
        default: {
            uint64_t count = 0;
            OK(slipring_producer_batch(producer));
            IS(SLIPRING_E_LENT, slipring_producer_commit(producer, 0, NULL));
            OK(slipring_producer_batch_push(producer, bytes, len, MINUTE, &given));
            OK(slipring_producer_batch_commit(producer, &count));
            CHECK(count == 1);
            IS(SLIPRING_E_NOTHING_LENT, slipring_producer_batch_push(producer, bytes, len, 0, NULL));
        }
        }
        CHECK(given == sequence);
        if (sequence % 2 == 0) {
            OK(slipring_consumer_receive(consumer, MINUTE, &message));
            IS(SLIPRING_E_LENT, slipring_consumer_receive(consumer, 0, &message));
            CHECK(message.sequence == sequence && message.len == len && filled(message.data, len, sequence));
            CHECK(message.missed == 0 && message.gap_why == 0);
            OK(slipring_consumer_release(consumer));
            IS(SLIPRING_E_NOTHING_LENT, slipring_consumer_release(consumer));
        } else {
            if (len > 0) {
                IS(SLIPRING_E_ROOM, slipring_consumer_receive_copy(consumer, MINUTE, copied, len - 1, &message));
                CHECK(message.len == len && detail().len == len && detail().max == len - 1);
                bool ready = false;
                int fd = -1;
                OK(slipring_consumer_fd(consumer, &fd));
                OK(slipring_consumer_arm(consumer, &ready));
                CHECK(ready);
            }
            OK(slipring_consumer_receive_copy(consumer, MINUTE, copied, len, &message));
            CHECK(message.sequence == sequence && message.len == len && filled(copied, len, sequence));
            CHECK(message.data == copied);
        }
    }
    /* A claim and a batch that are given up leave no trace. */
    void *space = NULL;
    OK(slipring_producer_claim(producer, 100, 0, &space));
    OK(slipring_producer_abort(producer));
    OK(slipring_producer_batch(producer));
    OK(slipring_producer_batch_push(producer, "gone", 4, 0, NULL));
    OK(slipring_producer_abort(producer));
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, slipring_consumer_receive(consumer, 0, &message));
    CHECK(slipring_is_not_yet(SLIPRING_E_TRY_RECEIVE_EMPTY) && !slipring_is_timeout(SLIPRING_E_TRY_RECEIVE_EMPTY));
    IS(SLIPRING_E_RECEIVE_TIMED_OUT, slipring_consumer_receive(consumer, 1000, &message));
    CHECK(slipring_is_timeout(SLIPRING_E_RECEIVE_TIMED_OUT));

    /* The end. */
    OK(slipring_producer_close(&producer));
    CHECK(producer == NULL);
    IS(SLIPRING_E_TRY_RECEIVE_CLOSED, slipring_consumer_receive(consumer, -1, &message));
    IS(SLIPRING_E_TRY_RECEIVE_CLOSED, slipring_consumer_receive(consumer, 0, &message));
    uint64_t number = 0, first = 0;
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_producer_publish(producer, NULL, 0, 0, NULL));
    OK(slipring_consumer_receive(consumer, MINUTE, &message));
    OK(slipring_consumer_release(consumer));
    OK(slipring_consumer_new_epoch(consumer, &number, &first));
    CHECK(number == 2 && first == 3000 && message.len == 0 && message.data != NULL);
    /* Left, not closed: nothing comes, and it is no end. */
    OK(slipring_producer_detach(&producer));
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, slipring_consumer_receive(consumer, 0, &message));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
    free(bytes);
    free(copied);
}

static void batches(uint64_t evict_after_ns) {
    slipring_ring_options options = {
        .struct_size = sizeof options, .capacity_bytes = 16384, .evict_after_ns = evict_after_ns};
    slipring_ring *ring = NULL;
    OK(slipring_ring_create(evict_after_ns ? "batches-e" : "batches", &options, &ring));
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    slipring_message many[100];
    size_t count = 0;
    IS(SLIPRING_E_ARGUMENT, slipring_consumer_receive_batch(consumer, 0, many, 0, &count));
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, slipring_consumer_receive_batch(consumer, 0, many, 100, &count));
    uint64_t sent = 0, received = 0;
    unsigned char bytes[64];
    for (int round = 0; round < 200; round++) {
        size_t some = (size_t)(round % 60);
        OK(slipring_producer_batch(producer));
        for (size_t at = 0; at < some; at++, sent++) {
            fill(bytes, sent % 65, sent);
            OK(slipring_producer_batch_push(producer, bytes, sent % 65, MINUTE, NULL));
        }
        OK(slipring_producer_batch_commit(producer, NULL));
        while (received < sent) {
            OK(slipring_consumer_receive_batch(consumer, MINUTE, many, 1 + (size_t)round % 100, &count));
            CHECK(count > 0 && count <= 1 + (size_t)round % 100);
            for (size_t at = 0; at < count; at++) {
                uint64_t expected = received + at;
                CHECK(many[at].sequence == expected && many[at].len == expected % 65);
            }
            for (size_t at = 0; at < count; at++, received++)
                CHECK(filled(many[at].data, many[at].len, received));
            OK(slipring_consumer_release(consumer));
        }
    }
    /* An array of more than a ring takes. */
    enum { MANY = 5000, EACH = 16 };
    unsigned char *array = malloc(MANY * EACH);
    for (size_t at = 0; at < MANY; at++)
        fill(array + at * EACH, EACH, sent + at);
    size_t published = 0, all = 0;
    while (all < MANY) {
        slipring_status status =
            slipring_producer_publish_array(producer, array + all * EACH, EACH, MANY - all, 0, &published);
        CHECK(status == 0 || status == SLIPRING_E_TRY_PUBLISH_FULL);
        CHECK(published > 0 && (status == 0) == (all + published == MANY));
        all += published;
        while (received < sent + all) {
            OK(slipring_consumer_receive_batch(consumer, MINUTE, many, 100, &count));
            for (size_t at = 0; at < count; at++, received++)
                CHECK(many[at].sequence == received && many[at].len == EACH && filled(many[at].data, EACH, received));
            OK(slipring_consumer_release(consumer));
        }
    }
    IS(SLIPRING_E_ARGUMENT, slipring_producer_publish_array(producer, array, SIZE_MAX / 2, 3, 0, &published));
    free(array);
    /* Close with a batch out. */
    OK(slipring_producer_publish(producer, "x", 1, 0, NULL));
    OK(slipring_consumer_receive_batch(consumer, MINUTE, many, 100, &count));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

static void a_full_ring_and_deadlines(void) {
    slipring_ring *ring = created("full", 4096);
    slipring_producer *producer = NULL, *second = NULL;
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    IS(SLIPRING_E_ATTACH_ALREADY_OWNED, slipring_ring_producer(ring, NULL, &second));
    CHECK(second == NULL && detail().pid == (uint32_t)getpid() && (detail().has & SLIPRING_HAS_PID));
    CHECK(detail().code == SLIPRING_E_ATTACH_ALREADY_OWNED);
    CHECK(strstr(slipring_error_message(), "full") != NULL);
    OK(slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, &consumer));
    uint32_t row = 99, found = 0;
    OK(slipring_consumer_place(consumer, NULL, NULL, &row));
    OK(slipring_producer_wait_for_readers(producer, 1, 0, &found));
    CHECK(found == 1);
    IS(SLIPRING_E_READERS_TIMED_OUT, slipring_producer_wait_for_readers(producer, 2, 1000, &found));
    IS(SLIPRING_E_READERS_TOO_MANY, slipring_ring_wait_for_readers(ring, 1000, 0, NULL));
    unsigned char bytes[2000] = {0};
    IS(SLIPRING_E_TRY_PUBLISH_TOO_LARGE, slipring_producer_publish(producer, bytes, 2000, 0, NULL));
    CHECK(detail().len == 2000 && detail().max > 0 && detail().max < 2000);
    IS(SLIPRING_E_PUBLISH_TOO_LARGE, slipring_producer_publish(producer, bytes, 2000, -1, NULL));
    uint64_t sent = 0;
    slipring_status status;
    while ((status = slipring_producer_publish(producer, bytes, 100, 0, NULL)) == 0)
        sent++;
    IS(SLIPRING_E_TRY_PUBLISH_FULL, status);
    CHECK(detail().has == SLIPRING_HAS_ROW && detail().row == row && sent > 20);
    IS(SLIPRING_E_PUBLISH_TIMED_OUT, slipring_producer_publish(producer, bytes, 100, 1000000, NULL));
    CHECK(slipring_is_timeout(SLIPRING_E_PUBLISH_TIMED_OUT) && detail().row == row);
    void *space = NULL;
    IS(SLIPRING_E_TRY_PUBLISH_FULL, slipring_producer_claim(producer, 100, 0, &space));
    CHECK(space == NULL);
    int fd = -1;
    bool ready = true;
    IS(SLIPRING_E_ARGUMENT, slipring_producer_arm(producer, 100, &ready));
    OK(slipring_producer_fd(producer, &fd));
    used(producer);
    OK(slipring_producer_arm(producer, 100, &ready));
    CHECK(fd >= 0 && !ready);
    watched(producer);
    slipring_message message;
    for (uint64_t at = 0; at < sent; at++) {
        OK(slipring_consumer_receive(consumer, 0, &message));
        CHECK(message.sequence == at);
        OK(slipring_consumer_release(consumer));
    }
    OK(slipring_producer_arm(producer, 100, &ready));
    CHECK(ready);
    /* Gaps. */
    uint64_t skipped = 0;
    OK(slipring_producer_skip_to(producer, sent + 10, 7, 0, &skipped));
    CHECK(skipped == 10);
    IS(SLIPRING_E_TRY_PUBLISH_BEHIND, slipring_producer_skip_to(producer, 3, 1, 0, NULL));
    CHECK(detail().next == sent + 10);
    OK(slipring_producer_publish(producer, "b", 1, 0, NULL));
    OK(slipring_consumer_receive(consumer, 0, &message));
    CHECK(message.sequence == sent + 10 && message.gap_first == sent && message.gap_end == sent + 10);
    CHECK(message.gap_why == 7);
    OK(slipring_consumer_release(consumer));
    slipring_losses losses;
    OK(slipring_consumer_losses(consumer, &losses));
    CHECK(losses.skipped == 10 && losses.missed == 0);
    /* Starts. */
    slipring_consumer *late = NULL;
    IS(SLIPRING_E_ATTACH_AHEAD, slipring_ring_consumer(ring, SLIPRING_SEQUENCE, sent + 500, NULL, &late));
    CHECK(detail().sequence == sent + 500 && detail().next == sent + 11 && late == NULL);
    IS(SLIPRING_E_ARGUMENT, slipring_ring_consumer(ring, 9, 0, NULL, &late));
    IS(SLIPRING_E_REMOVE_IN_USE, slipring_ring_remove("full"));
    OK(slipring_producer_close(&producer));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_remove("full"));
    IS(SLIPRING_E_ATTACH_REMOVED, slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_close(&ring));
}

static void durable_consumers_and_losses(void) {
    slipring_ring_options options = {
        .struct_size = sizeof options, .capacity_bytes = 4096, .evict_after_ns = 1000000, .max_readers = 3};
    slipring_ring *ring = NULL;
    OK(slipring_ring_create("losses", &options, &ring));
    slipring_producer *producer = NULL;
    slipring_consumer *slow = NULL, *durable = NULL, *third = NULL, *fourth = NULL;
    slipring_observer *observer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &slow));
    OK(slipring_ring_durable_consumer(ring, "risk", SLIPRING_OLDEST, 0, NULL, &durable));
    IS(SLIPRING_E_ATTACH_CURSOR_IN_USE, slipring_ring_durable_consumer(ring, "risk", SLIPRING_OLDEST, 0, NULL, &third));
    IS(SLIPRING_E_ATTACH_NAME, slipring_ring_durable_consumer(ring, "a/b", SLIPRING_OLDEST, 0, NULL, &third));
    OK(slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, &third));
    IS(SLIPRING_E_ATTACH_NO_ROW, slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, &fourth));
    CHECK(detail().max == 3);
    OK(slipring_consumer_close(&third));
    slipring_options spins = {.struct_size = sizeof spins, .strategy = SLIPRING_STRATEGY_SPIN};
    OK(slipring_ring_observer(ring, SLIPRING_OLDEST, 0, &spins, &observer));
    unsigned char bytes[200];
    slipring_message message;
    uint64_t got = 0, missed = 0, seen = 0, lost = 0, unread = 0;
    enum { ALL = 400 };
    for (uint64_t sequence = 0; sequence < ALL; sequence++) {
        fill(bytes, sizeof bytes, sequence);
        OK(slipring_producer_publish(producer, bytes, sizeof bytes, MINUTE, NULL));
        if (sequence < 100) { /* the durable one keeps up, then leaves */
            OK(slipring_consumer_receive(durable, MINUTE, &message));
            OK(slipring_consumer_release(durable));
        } else if (durable != NULL) {
            OK(slipring_consumer_close(&durable));
        }
    }
    slipring_status status;
    while ((status = slipring_consumer_receive(slow, 0, &message)) == 0) {
        CHECK(filled(message.data, message.len, message.sequence));
        missed += message.missed;
        got++;
        CHECK(got + missed == message.sequence + 1);
        OK(slipring_consumer_release(slow));
    }
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, status);
    CHECK(missed > 0 && got + missed == ALL);
    slipring_losses losses;
    OK(slipring_consumer_losses(slow, &losses));
    CHECK(losses.missed == missed);
    slipring_received received;
    while ((status = slipring_observer_receive(observer, 0, &received)) == 0) {
        if (received.kind == SLIPRING_RECEIVED_LAPPED)
            lost += received.count;
        else
            CHECK(received.kind == SLIPRING_RECEIVED_MESSAGE && ++seen + lost == received.message.sequence + 1);
    }
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, status);
    CHECK(lost > 0 && seen + lost == ALL);
    uint64_t counted = 0, counted_lost = 0;
    OK(slipring_observer_counts(observer, &counted, &counted_lost, NULL));
    CHECK(counted == seen && counted_lost == lost);
    /* The cursor's next owner is told exactly what is gone. */
    OK(slipring_ring_durable_consumer(ring, "risk", SLIPRING_LATEST, 0, NULL, &durable));
    OK(slipring_consumer_receive(durable, MINUTE, &message));
    CHECK(message.missed > 0 && message.missed + 100 == message.sequence);
    OK(slipring_consumer_release(durable));
    for (unread = message.sequence + 1; unread < ALL; unread++) {
        OK(slipring_consumer_receive(durable, MINUTE, &message));
        CHECK(message.sequence == unread && message.missed == 0);
        OK(slipring_consumer_release(durable));
    }
    slipring_reader_state readers[2];
    size_t count = 0;
    OK(slipring_ring_readers(ring, readers, 2, &count));
    CHECK(count == 2);
    CHECK(strcmp(readers[0].cursor, "risk") == 0 || strcmp(readers[1].cursor, "risk") == 0);
    OK(slipring_consumer_close(&durable));
    bool forgotten = false;
    OK(slipring_ring_forget_cursor(ring, "risk", &forgotten));
    CHECK(forgotten);
    OK(slipring_ring_forget_cursor(ring, "risk", &forgotten));
    CHECK(!forgotten);
    OK(slipring_observer_close(&observer));
    OK(slipring_consumer_close(&slow));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

int main(void) {
    CHECK(strcmp(slipring_error_message(), "") == 0 && detail().code == 0);
    messages_go_through();
    batches(0);
    batches(UINT64_C(3600000000000));
    a_full_ring_and_deadlines();
    durable_consumers_and_losses();
    return 0;
}
