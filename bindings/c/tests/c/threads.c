/* Threads that take turns with a handle, that want it at once, and that end with it. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static slipring_ring *ring;
static slipring_producer *producer;
static slipring_consumer *consumer;
static atomic_uint_fast64_t published, refused;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *hammers(void *argument) {
    (void)argument;
    for (int at = 0; at < 20000; at++) {
        slipring_status status = slipring_producer_publish(producer, &at, sizeof at, 0, NULL);
        if (status == 0)
            published++;
        else {
            IS(SLIPRING_E_BUSY, status);
            refused++;
        }
    }
    return NULL;
}

static void *takes_turns(void *argument) {
    (void)argument;
    for (int at = 0; at < 2000; at++) {
        pthread_mutex_lock(&mutex);
        OK(slipring_producer_publish(producer, &at, sizeof at, 0, NULL));
        pthread_mutex_unlock(&mutex);
        published++;
        if (at % 7 == 0)
            sched_yield();
    }
    return NULL;
}

static void *waits(void *argument) {
    (void)argument;
    slipring_message message;
    slipring_status status;
    /* The other thread may be in it at this moment. */
    while ((status = slipring_consumer_receive(consumer, -1, &message)) == SLIPRING_E_BUSY)
        sched_yield();
    OK(status);
    OK(slipring_consumer_release(consumer));
    return NULL;
}

static slipring_wait_set *waited;

static void *waits_in_a_set(void *argument) {
    void *handles[2] = {argument, consumer};
    size_t index = 9;
    slipring_status status;
    while ((status = slipring_wait_set_wait(waited, handles, 2, -1, &index)) == SLIPRING_E_BUSY)
        sched_yield();
    OK(status);
    CHECK(index == 0);
    return NULL;
}

static slipring_interruption *interruption;

static void *arms_a_set(void *argument) {
    (void)argument;
    void *handles[2] = {interruption, consumer};
    size_t index = 9;
    slipring_status status;
    while ((status = slipring_wait_set_arm(waited, handles, 2, &index)) == SLIPRING_E_BUSY)
        sched_yield();
    OK(status);
    CHECK(index == 2);
    return NULL;
}

static void *arms_a_consumer(void *argument) {
    (void)argument;
    bool ready = true;
    slipring_status status;
    while ((status = slipring_consumer_arm(consumer, &ready)) == SLIPRING_E_BUSY)
        sched_yield();
    OK(status);
    CHECK(!ready);
    return NULL;
}

static slipring_status asks_the_set(void) {
    int fd;
    return slipring_wait_set_fd(waited, &fd);
}

static slipring_status asks_the_consumer(void) {
    return slipring_consumer_place(consumer, NULL, NULL, NULL);
}

static slipring_status asks_the_interruption(void) {
    bool taken;
    return slipring_interruption_take(interruption, &taken);
}

/* While one thread arms, another is refused. What arms first reads from the descriptor: it waits there if that is made to block. */
static void refused_while(void *(*arms)(void *), slipring_status (*asks)(void)) {
    int fd = -1;
    OK(slipring_wait_set_create(-1, &waited));
    OK(slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, &consumer));
    OK(arms == arms_a_set ? slipring_wait_set_fd(waited, &fd) : slipring_consumer_fd(consumer, &fd));
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, arms, NULL) == 0);
    slipring_status status;
    while ((status = asks()) == 0)
        sched_yield();
    for (int at = 0; at < 1000; at++) {
        IS(SLIPRING_E_BUSY, status);
        status = asks();
        sched_yield();
    }
    CHECK(write(fd, &(uint64_t){1}, 8) == 8);
    CHECK(pthread_join(other, NULL) == 0);
    OK(asks());
    OK(slipring_wait_set_close(&waited));
    OK(slipring_consumer_close(&consumer));
}

/* Makes many handles, and leaves all that are left open to the thread that joins it. */
static void *leaves(void *argument) {
    slipring_consumer **left = (slipring_consumer **)argument;
    OK(slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, left));
    slipring_message message;
    IS(SLIPRING_E_TRY_RECEIVE_EMPTY, slipring_consumer_receive(*left, 0, &message));
    return NULL;
}

static void all(void *(*run)(void *), int threads) {
    pthread_t made[8];
    for (int at = 0; at < threads; at++)
        CHECK(pthread_create(&made[at], NULL, run, NULL) == 0);
    for (int at = 0; at < threads; at++)
        CHECK(pthread_join(made[at], NULL) == 0);
}

int main(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 65536};
    OK(slipring_ring_create("threads", &options, &ring));
    OK(slipring_ring_producer(ring, NULL, &producer));

    all(hammers, 4);
    uint64_t next = 0;
    OK(slipring_producer_next_sequence(producer, &next));
    CHECK(next == published && published + refused == 80000);
    printf("%llu published at once by four threads, %llu refused\n", (unsigned long long)next,
           (unsigned long long)refused);
    all(takes_turns, 4);
    OK(slipring_producer_next_sequence(producer, &next));
    CHECK(next == published);

    /* One waits, the other is refused, also to close. */
    OK(slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, &consumer));
    pthread_t waiter;
    CHECK(pthread_create(&waiter, NULL, waits, NULL) == 0);
    slipring_message message;
    slipring_status status;
    /* Until it waits this thread may be the faster one. */
    while ((status = slipring_consumer_receive(consumer, 0, &message)) == SLIPRING_E_TRY_RECEIVE_EMPTY)
        sched_yield();
    IS(SLIPRING_E_BUSY, status);
    for (int at = 0; at < 1000; at++)
        IS(SLIPRING_E_BUSY, slipring_consumer_place(consumer, NULL, NULL, NULL));
    slipring_consumer *same = consumer;
    IS(SLIPRING_E_BUSY, slipring_consumer_close(&same));
    CHECK(same == consumer);
    OK(slipring_producer_publish(producer, "x", 1, 0, NULL));
    CHECK(pthread_join(waiter, NULL) == 0);
    OK(slipring_consumer_place(consumer, NULL, NULL, NULL));

    /* The same with a set; the handles are free again after it. */
    slipring_interrupter *interrupter = NULL;
    OK(slipring_interruption_create(&interruption));
    OK(slipring_interruption_interrupter(interruption, &interrupter));
    OK(slipring_wait_set_create(-1, &waited));
    int fd = -1;
    OK(slipring_wait_set_fd(waited, &fd));
    CHECK(pthread_create(&waiter, NULL, waits_in_a_set, interruption) == 0);
    while ((status = slipring_consumer_receive(consumer, 0, &message)) == SLIPRING_E_TRY_RECEIVE_EMPTY)
        sched_yield();
    IS(SLIPRING_E_BUSY, status);
    bool taken = false;
    IS(SLIPRING_E_BUSY, slipring_interruption_take(interruption, &taken));
    size_t index = 0;
    slipring_wait_set *same_set = waited;
    IS(SLIPRING_E_BUSY, slipring_wait_set_close(&same_set));
    CHECK(same_set == waited);
    IS(SLIPRING_E_BUSY, slipring_wait_set_wait(waited, NULL, 0, 0, &index));
    IS(SLIPRING_E_BUSY, slipring_wait_set_arm(waited, NULL, 0, &index));
    IS(SLIPRING_E_BUSY, slipring_wait_set_fd(waited, &fd));
    IS(SLIPRING_E_BUSY, slipring_use_io_uring(waited));
    OK(slipring_interrupter_interrupt(interrupter));
    CHECK(pthread_join(waiter, NULL) == 0);
    OK(slipring_interruption_take(interruption, &taken));
    CHECK(taken);
    OK(slipring_consumer_place(consumer, NULL, NULL, NULL));
    OK(slipring_wait_set_wait(waited, NULL, 0, 0, &index));
    OK(slipring_wait_set_close(&waited));
    CHECK(waited == NULL);

    /* A list that names a handle twice, or one that has lent something, or none. */
    slipring_wait_set *set = NULL;
    OK(slipring_wait_set_create(0, &set));
    void *twice[2] = {consumer, consumer};
    IS(SLIPRING_E_BUSY, slipring_wait_set_wait(set, twice, 2, 0, &index));
    void *nothing[2] = {consumer, NULL};
    IS(SLIPRING_E_NULL, slipring_wait_set_wait(set, nothing, 2, 0, &index));
    void *wrong[2] = {consumer, producer};
    IS(SLIPRING_E_HANDLE, slipring_wait_set_wait(set, wrong, 2, 0, &index));
    OK(slipring_wait_set_wait(set, twice, 1, 0, &index));
    CHECK(index == 1);
    OK(slipring_producer_publish(producer, "y", 1, 0, NULL));
    OK(slipring_wait_set_wait(set, twice, 1, -1, &index));
    CHECK(index == 0);
    OK(slipring_consumer_receive(consumer, 0, &message));
    IS(SLIPRING_E_LENT, slipring_wait_set_wait(set, twice, 1, 0, &index));
    OK(slipring_consumer_release(consumer));
    OK(slipring_wait_set_wait(set, NULL, 0, 0, &index));
    OK(slipring_wait_set_close(&set));
    OK(slipring_consumer_close(&consumer));

    /* A call that arms holds the set and each of its handles, or the one handle, from its beginning to its end. */
    refused_while(arms_a_set, asks_the_set);
    refused_while(arms_a_set, asks_the_consumer);
    refused_while(arms_a_set, asks_the_interruption);
    refused_while(arms_a_consumer, asks_the_consumer);

    /* Handles of threads that have ended. */
    for (int at = 0; at < 200; at++) {
        slipring_consumer *left = NULL;
        CHECK(pthread_create(&waiter, NULL, leaves, &left) == 0);
        CHECK(pthread_join(waiter, NULL) == 0);
        OK(slipring_consumer_close(&left));
    }
    OK(slipring_interruption_close(&interruption));
    OK(slipring_interrupter_interrupt(interrupter));
    OK(slipring_interrupter_close(&interrupter));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
    return 0;
}
