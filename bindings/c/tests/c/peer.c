/* One end of something whose other end is another process. The verbs are those of tests/peers.rs. */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static slipring_ring *opened(const char *place) {
    slipring_ring *ring = NULL;
    OK(slipring_ring_open(place, MINUTE, &ring));
    return ring;
}

static void say(const char *what) {
    printf("%s\n", what);
    fflush(stdout);
}

/* Publishes for ever, and after each message writes how many there are to a file that outlives this process. */
static void produce(const char *place, const char *progress) {
    slipring_ring *ring = opened(place);
    slipring_ring_state state = {.struct_size = sizeof state};
    OK(slipring_ring_status(ring, &state));
    int file = open(progress, O_RDWR);
    CHECK(file >= 0);
    volatile uint64_t *done = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(done != MAP_FAILED);
    slipring_producer *producer = NULL;
    slipring_status status;
    /* The lock of a killed one may be there for a moment. */
    while ((status = slipring_ring_producer(ring, NULL, &producer)) == SLIPRING_E_ATTACH_ALREADY_OWNED)
        usleep(1000);
    OK(status);
    size_t most = state.max_message_bytes < 600 ? state.max_message_bytes : 600;
    unsigned char bytes[600];
    uint64_t next = 0;
    OK(slipring_producer_next_sequence(producer, &next));
    say("producing");
    for (;; next++) {
        size_t len = length_of(next, most);
        fill(bytes, len, next);
        uint64_t given = 0;
        switch (next % 3) {
        case 0: OK(slipring_producer_publish(producer, bytes, len, -1, &given)); break;
        case 1: {
            void *space = NULL;
            OK(slipring_producer_claim(producer, len, -1, &space));
            memcpy(space, bytes, len);
            OK(slipring_producer_commit(producer, len, &given));
            break;
        }
        default:
            OK(slipring_producer_batch(producer));
            OK(slipring_producer_batch_push(producer, bytes, len, -1, &given));
            OK(slipring_producer_batch_commit(producer, NULL));
        }
        CHECK(given == next);
        *done = next + 1;
    }
}

/* Receives until the end of the ring, or until it is expelled, and says how many there were, how many it missed, and how many
 * these have to be together, if it knows. */
static void consume(const char *place, bool in_batches) {
    slipring_ring *ring = opened(place);
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    say("consuming");
    uint64_t got = 0, missed = 0, next = 0;
    slipring_message many[16];
    for (;;) {
        size_t count = 1;
        slipring_status status = in_batches ? slipring_consumer_receive_batch(consumer, -1, many, 16, &count)
                                            : slipring_consumer_receive(consumer, -1, many);
        if (status == SLIPRING_E_TRY_RECEIVE_CLOSED || status == SLIPRING_E_RECEIVE_EXPELLED) {
            if (status == SLIPRING_E_RECEIVE_EXPELLED)
                CHECK(detail().has & SLIPRING_HAS_NEXT);
            break;
        }
        OK(status);
        for (size_t at = 0; at < count; at++) {
            CHECK(filled(many[at].data, many[at].len, many[at].sequence));
            missed += many[at].missed;
            got++;
            CHECK(many[at].sequence + 1 == got + missed);
        }
        OK(slipring_consumer_release(consumer));
    }
    /* A loss that no message followed is not in any message. */
    slipring_losses losses;
    OK(slipring_consumer_losses(consumer, &losses));
    CHECK(losses.missed >= missed && losses.skipped == 0);
    OK(slipring_consumer_place(consumer, &next, NULL, NULL));
    printf("%llu received, %llu missed, %llu in all\n", (unsigned long long)got, (unsigned long long)losses.missed,
           (unsigned long long)next);
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
}

/* Receives one message, and neither gives it back nor goes on. */
static void hold(const char *place) {
    slipring_ring *ring = opened(place);
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    say("attached");
    slipring_message message;
    OK(slipring_consumer_receive(consumer, -1, &message));
    say("held");
    for (;;)
        pause();
}

static void hold_job(const char *place) {
    slipring_queue *queue = NULL;
    slipring_receiver *receiver = NULL;
    slipring_delivery job;
    OK(slipring_queue_open(place, MINUTE, &queue));
    OK(slipring_queue_receiver(queue, NULL, &receiver));
    OK(slipring_receiver_receive(receiver, -1, &job));
    say("held");
    for (;;)
        pause();
}

/* Prints what is sent to a queue until `stop` comes. */
static void work(const char *place) {
    slipring_queue *queue = NULL;
    slipring_receiver *receiver = NULL;
    slipring_delivery job;
    OK(slipring_queue_open(place, MINUTE, &queue));
    OK(slipring_queue_receiver(queue, NULL, &receiver));
    bool stop = false;
    while (!stop) {
        OK(slipring_receiver_receive(receiver, MINUTE, &job));
        printf("%.*s %u %u\n", (int)job.len, (const char *)job.data, job.priority, job.redelivered);
        stop = job.len == 4 && memcmp(job.data, "stop", 4) == 0;
        OK(slipring_receiver_ack(receiver));
    }
    OK(slipring_receiver_close(&receiver));
    OK(slipring_queue_close(&queue));
}

/* Answers one request with its bytes and the name of its client. */
static void answer(const char *place) {
    slipring_mailbox *office = NULL;
    slipring_mailbox_receiver *desk = NULL;
    slipring_letter letter;
    OK(slipring_mailbox_open(place, MINUTE, &office));
    OK(slipring_mailbox_new_receiver(office, NULL, &desk));
    say("ready");
    OK(slipring_mailbox_receiver_receive(desk, MINUTE, &letter));
    char text[200] = "re: ";
    CHECK(letter.len < 150 && letter.wants_reply);
    memcpy(text + 4, letter.data, letter.len);
    OK(slipring_mailbox_receiver_reply(desk, text, 4 + letter.len, NULL));
    OK(slipring_mailbox_receiver_close(&desk));
    OK(slipring_mailbox_close(&office));
}

static void listen_once(const char *place) {
    slipring_signals *control = NULL;
    slipring_listener *listener = NULL;
    uint32_t signal = 0;
    uint64_t count = 0;
    OK(slipring_signals_open(place, MINUTE, &control));
    OK(slipring_signals_listener(control, "engine", NULL, &listener));
    say("listening");
    OK(slipring_listener_wait(listener, UINT64_MAX, MINUTE, &signal, &count));
    printf("%u %llu\n", signal, (unsigned long long)count);
    OK(slipring_listener_close(&listener));
    OK(slipring_signals_close(&control));
}

static void take_permit(const char *place) {
    slipring_semaphore *semaphore = NULL;
    slipring_permit *permit = NULL;
    OK(slipring_semaphore_open(place, NULL, MINUTE, &semaphore));
    OK(slipring_semaphore_acquire(semaphore, 1, MINUTE, &permit));
    say("held");
    for (;;)
        pause();
}

/* Tells which error comes of opening it. */
static void try_to_open(const char *place) {
    slipring_ring *ring = NULL;
    slipring_status status = slipring_ring_open(place, 0, &ring);
    printf("%u %s\n", status, slipring_error_message());
    OK(slipring_ring_close(&ring));
}

int main(int count, char **given) {
    CHECK(count >= 3);
    const char *verb = given[1], *place = given[2];
    if (strcmp(verb, "produce") == 0)
        produce(place, given[3]);
    else if (strcmp(verb, "consume") == 0)
        consume(place, false);
    else if (strcmp(verb, "consume-batches") == 0)
        consume(place, true);
    else if (strcmp(verb, "hold") == 0)
        hold(place);
    else if (strcmp(verb, "hold-job") == 0)
        hold_job(place);
    else if (strcmp(verb, "work") == 0)
        work(place);
    else if (strcmp(verb, "answer") == 0)
        answer(place);
    else if (strcmp(verb, "listen") == 0)
        listen_once(place);
    else if (strcmp(verb, "permit") == 0)
        take_permit(place);
    else if (strcmp(verb, "open") == 0)
        try_to_open(place);
    else
        CHECK(!"a verb");
    return 0;
}
