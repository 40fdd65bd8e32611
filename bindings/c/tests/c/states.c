/* Each number of each state: of rings and their readers, of queues and their receivers, and of the other forms. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static slipring_ring_state of_ring(const slipring_ring *ring) {
    slipring_ring_state state = {.struct_size = sizeof state};
    OK(slipring_ring_status(ring, &state));
    return state;
}

/* The state of the reader in a row. */
static slipring_reader_state reader_in(const slipring_ring *ring, uint32_t row) {
    slipring_reader_state readers[8], none = {.row = UINT32_MAX};
    size_t count = 0;
    OK(slipring_ring_readers(ring, readers, 8, &count));
    CHECK(count == of_ring(ring).readers && count <= 8);
    for (size_t at = 0; at < count; at++)
        if (readers[at].row == row)
            return readers[at];
    return none;
}

static void producers(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 8192, .max_readers = 5};
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    OK(slipring_ring_create("producers", &options, &ring));
    slipring_ring_state state = of_ring(ring);
    CHECK(state.capacity_bytes == 8192 && state.max_readers == 5 && state.readers == 0 && state.max_message_bytes > 500);
    CHECK(state.has_sequences == 1 && state.next_sequence == 0 && state.oldest_sequence == 0);
    CHECK(state.epoch == 0 && state.producer_pid == 0 && state.has_producer_alive == 1 && state.producer_alive == 0);
    CHECK(state.evictions == 0 && state.has_losses == 1 && state.messages_lost == 0 && state.closed == 0);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        OK(slipring_ring_producer(ring, NULL, &producer));
        for (int at = 0; at < 10; at++)
            OK(slipring_producer_publish(producer, "message", 7, 0, NULL));
        state = of_ring(ring);
        CHECK(state.epoch == epoch && state.epoch_first_sequence == (epoch - 1) * 10 && state.next_sequence == epoch * 10);
        CHECK(state.producer_pid == (uint32_t)getpid() && state.producer_alive == 1 && state.closed == 0);
        OK(slipring_producer_close(&producer));
        state = of_ring(ring);
        CHECK(state.has_producer_alive == 1 && state.producer_alive == 0 && state.closed == 1 && state.epoch == epoch);
    }
    OK(slipring_remove("producers", true));
    IS(SLIPRING_E_ATTACH_REMOVED, slipring_ring_status(ring, &state));
    OK(slipring_ring_close(&ring));
}

static void readers(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 4096, .evict_after_ns = 1000000};
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *slow = NULL, *durable = NULL, *oldest = NULL;
    slipring_message message;
    uint32_t row = 0, other = 0;
    OK(slipring_ring_create("readers", &options, &ring));
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_durable_consumer(ring, "risk", SLIPRING_OLDEST, 0, NULL, &durable));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &slow));
    OK(slipring_consumer_place(durable, NULL, NULL, &other));
    OK(slipring_consumer_place(slow, NULL, NULL, &row));
    CHECK(row != other && of_ring(ring).readers == 2);
    for (int at = 0; at < 3; at++) {
        OK(slipring_producer_publish(producer, "message", 7, 0, NULL));
        OK(slipring_consumer_receive(slow, 0, &message));
        OK(slipring_consumer_release(slow));
    }
    slipring_reader_state reader = reader_in(ring, row);
    CHECK(reader.row == row && reader.pid == (uint32_t)getpid() && reader.alive == 1 && reader.gating == 1);
    CHECK(reader.has_next_sequence == 1 && reader.next_sequence == 3 && reader.messages_lost == 0 && reader.evicted == 0);
    CHECK(strcmp(reader.cursor, "") == 0);
    reader = reader_in(ring, other);
    CHECK(reader.row == other && reader.next_sequence == 0 && strcmp(reader.cursor, "risk") == 0);
    /* The producer goes on without both. */
    uint64_t missed = 0, got = 3;
    for (int at = 3; at < 300; at++)
        OK(slipring_producer_publish(producer, "some more bytes of a message", 28, MINUTE, NULL));
    reader = reader_in(ring, row);
    CHECK(reader.evicted == 1 && reader.gating == 0 && reader.alive == 1 && of_ring(ring).evictions == 2);
    CHECK(of_ring(ring).oldest_sequence > 3);
    while (slipring_consumer_receive(slow, 0, &message) == 0) {
        missed += message.missed;
        got++;
        OK(slipring_consumer_release(slow));
    }
    reader = reader_in(ring, row);
    CHECK(missed > 0 && got + missed == 300 && reader.messages_lost == missed && reader.next_sequence == 300);
    CHECK(reader.evicted == 0 && reader.gating == 1);
    CHECK(of_ring(ring).has_losses == 1 && of_ring(ring).messages_lost >= missed);
    /* Where a reader begins that wants all there is. */
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &oldest));
    OK(slipring_consumer_receive(oldest, 0, &message));
    CHECK(message.sequence >= of_ring(ring).oldest_sequence);
    OK(slipring_consumer_close(&oldest));
    /* A reader in another process, until that dies. */
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t child = forked();
    if (child == 0) {
        slipring_ring *own = NULL;
        OK(slipring_ring_open("readers", 0, &own));
        OK(slipring_ring_consumer(own, SLIPRING_LATEST, 0, NULL, &oldest));
        OK(slipring_consumer_place(oldest, NULL, NULL, &row));
        CHECK(write(ready[1], &row, sizeof row) == sizeof row);
        for (;;)
            pause();
    }
    CHECK(read(ready[0], &row, sizeof row) == sizeof row);
    reader = reader_in(ring, row);
    CHECK(reader.pid == (uint32_t)child && reader.alive == 1 && reader.next_sequence == 300);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(reader_in(ring, row).alive == 0);
    close(ready[0]);
    close(ready[1]);
    OK(slipring_consumer_close(&durable));
    OK(slipring_consumer_close(&slow));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

static void queues(void) {
    slipring_queue_options options = {
        .struct_size = sizeof options, .depth = 4, .max_message_bytes = 100, .lease_ns = UINT64_C(3600000000000)};
    slipring_queue *queue = NULL;
    slipring_sender *senders[2] = {NULL, NULL};
    slipring_receiver *receivers[2] = {NULL, NULL};
    slipring_delivery job;
    OK(slipring_queue_create("queue", &options, &queue));
    slipring_queue_state state = {.struct_size = sizeof state};
    OK(slipring_queue_status(queue, &state));
    CHECK(state.depth == 4 && state.max_message_bytes == 100 && state.lease_ns == options.lease_ns);
    CHECK(state.waiting == 0 && state.held == 0 && state.senders == 0 && state.receivers == 0);
    for (int at = 0; at < 2; at++) {
        OK(slipring_queue_sender(queue, NULL, &senders[at]));
        OK(slipring_queue_receiver(queue, NULL, &receivers[at]));
        for (int sent = 0; sent < 3; sent++)
            OK(slipring_sender_send(senders[at], "job", 3, 0, 0, NULL));
    }
    OK(slipring_receiver_receive(receivers[1], 0, &job));
    OK(slipring_queue_status(queue, &state));
    CHECK(state.waiting == 5 && state.held == 1 && state.senders == 2 && state.receivers == 2);
    slipring_receiver_state found[2];
    size_t count = 0;
    OK(slipring_queue_receivers(queue, found, 2, &count));
    CHECK(count == 2 && found[0].row < found[1].row && found[0].held == 0 && found[1].held == 1);
    for (int at = 0; at < 2; at++)
        CHECK(found[at].pid == (uint32_t)getpid() && found[at].alive == 1);
    const uint32_t row = found[1].row;
    OK(slipring_sender_close(&senders[0]));
    OK(slipring_receiver_close(&receivers[0]));
    OK(slipring_queue_status(queue, &state));
    CHECK(state.senders == 1 && state.receivers == 1);
    OK(slipring_queue_receivers(queue, found, 2, &count));
    CHECK(count == 1 && found[0].row == row && found[0].held == 1);
    OK(slipring_sender_close(&senders[1]));
    OK(slipring_receiver_close(&receivers[1]));
    OK(slipring_queue_close(&queue));
}

static void mailboxes(void) {
    slipring_mailbox_options options = {.struct_size = sizeof options, .max_message_bytes = 300};
    slipring_mailbox *office = NULL;
    slipring_mailbox_client *client = NULL;
    slipring_mailbox_receiver *desk = NULL;
    slipring_letter letter;
    OK(slipring_mailbox_create("mailbox", &options, &office));
    OK(slipring_mailbox_new_client(office, "me", NULL, &client));
    OK(slipring_mailbox_new_receiver(office, NULL, &desk));
    for (int at = 0; at < 3; at++)
        OK(slipring_mailbox_client_send(client, "letter", 6, 0));
    OK(slipring_mailbox_receiver_receive(desk, 0, &letter));
    slipring_mailbox_state state = {.struct_size = sizeof state};
    OK(slipring_mailbox_status(office, &state));
    CHECK(state.waiting == 2 && state.held == 1 && state.late == 0 && state.max_message_bytes == 300);
    CHECK(state.clients == 1 && state.receivers == 1 && state.one_way == 0);
    OK(slipring_mailbox_receiver_close(&desk));
    OK(slipring_mailbox_status(office, &state));
    CHECK(state.waiting == 3 && state.held == 0 && state.receivers == 0);
    OK(slipring_mailbox_client_close(&client));
    OK(slipring_mailbox_close(&office));
}

static void fifos(void) {
    slipring_fifo *fifo = NULL;
    slipring_pipe_reader *reader = NULL;
    slipring_pipe_writer *writer = NULL;
    slipring_fifo_state state = {.struct_size = sizeof state};
    OK(slipring_fifo_create("fifo", NULL, &fifo));
    OK(slipring_fifo_status(fifo, &state));
    CHECK(state.ends[0] == 0 && state.ends[1] == 0 && state.both_ways == 0);
    pid_t child = forked();
    if (child == 0) {
        slipring_fifo *own = NULL;
        OK(slipring_fifo_open("fifo", 0, &own));
        OK(slipring_fifo_reader(own, NULL, MINUTE, &reader));
        for (;;)
            pause();
    }
    OK(slipring_fifo_writer(fifo, NULL, MINUTE, &writer));
    OK(slipring_fifo_status(fifo, &state));
    const uint32_t me = (uint32_t)getpid(), other = (uint32_t)child;
    CHECK((state.ends[0] == me && state.ends[1] == other) || (state.ends[0] == other && state.ends[1] == me));
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    OK(slipring_pipe_writer_close(&writer));
    OK(slipring_fifo_close(&fifo));
}

static void values_and_permits(void) {
    slipring_latest_options options = {.struct_size = sizeof options, .schema = "Level{value:u64}", .cells = 3};
    slipring_latest *table = NULL;
    slipring_latest_writer *writer = NULL;
    slipring_latest_state state = {.struct_size = sizeof state};
    OK(slipring_latest_create("latest", &options, &table));
    OK(slipring_latest_status(table, &state));
    CHECK(state.writer_pid == 0 && state.has_writer_alive == 1 && state.writer_alive == 0 && state.changes == 0);
    OK(slipring_latest_new_writer(table, &writer));
    OK(slipring_latest_status(table, &state));
    CHECK(state.writer_pid == (uint32_t)getpid() && state.has_writer_alive == 1 && state.writer_alive == 1);
    CHECK(state.cells == 3 && state.value_bytes == 8 && state.readers == 0);
    OK(slipring_latest_writer_close(&writer));
    OK(slipring_latest_close(&table));

    slipring_semaphore_options permits = {.struct_size = sizeof permits, .permits = 5, .max_permits = 7};
    slipring_semaphore *semaphore = NULL;
    slipring_permit *held = NULL, *forgotten = NULL;
    slipring_semaphore_state counts = {.struct_size = sizeof counts};
    OK(slipring_semaphore_create("semaphore", &permits, NULL, &semaphore));
    OK(slipring_semaphore_acquire(semaphore, 2, 0, &held));
    OK(slipring_semaphore_acquire(semaphore, 1, 0, &forgotten));
    OK(slipring_permit_forget(&forgotten));
    OK(slipring_semaphore_status(semaphore, &counts));
    CHECK(counts.free == 2 && counts.held == 2 && counts.retired == 3 && counts.max == 7 && counts.handles == 1);
    OK(slipring_permit_close(&held));
    OK(slipring_semaphore_close(&semaphore));
}

int main(void) {
    producers();
    readers();
    queues();
    mailboxes();
    fifos();
    values_and_permits();
    return 0;
}
