/* One thread reads several rings in an epoll loop: each consumer has a descriptor of its own.
 *
 *     epoll [MESSAGES]
 */
#include <slipring.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { RINGS = 3 };
static const char *const names[RINGS] = {"quotes", "trades", "orders"};
static uint64_t all = 100000;

static void check(slipring_status status, const char *what) {
    if (status != 0) {
        fprintf(stderr, "%s: %s (%u)\n", what, slipring_error_message(), status);
        exit(1);
    }
}

static void *feed(void *argument) {
    slipring_ring *ring = argument;
    slipring_producer *producer = NULL;
    check(slipring_ring_producer(ring, NULL, &producer), "producer");
    for (uint64_t at = 0; at < all; at++)
        check(slipring_producer_publish(producer, &at, sizeof at, -1, NULL), "publish");
    check(slipring_producer_close(&producer), "close");
    return NULL;
}

/* Everything that there is now. Returns whether the ring has ended. */
static bool drain(slipring_consumer *consumer, uint64_t *next) {
    for (;;) {
        slipring_message message;
        slipring_status status = slipring_consumer_receive(consumer, 0, &message);
        if (status == SLIPRING_E_TRY_RECEIVE_CLOSED)
            return true;
        if (slipring_is_not_yet(status)) {
            bool ready = false;
            check(slipring_consumer_arm(consumer, &ready), "arm");
            if (ready)
                continue; /* something came meanwhile, or the end did */
            return false;
        }
        check(status, "receive");
        uint64_t value;
        memcpy(&value, message.data, sizeof value);
        if (value != (*next)++) {
            fprintf(stderr, "message %llu is wrong\n", (unsigned long long)message.sequence);
            exit(1);
        }
        check(slipring_consumer_release(consumer), "release");
    }
}

int main(int count, char **given) {
    if (count > 1)
        all = strtoull(given[1], NULL, 10);
    int events = epoll_create1(EPOLL_CLOEXEC);
    slipring_ring *rings[RINGS] = {NULL};
    slipring_consumer *consumers[RINGS] = {NULL};
    pthread_t threads[RINGS];
    uint64_t next[RINGS] = {0};
    for (uint32_t at = 0; at < RINGS; at++) {
        check(slipring_ring_create(names[at], NULL, &rings[at]), names[at]);
        check(slipring_ring_consumer(rings[at], SLIPRING_OLDEST, 0, NULL, &consumers[at]), "consumer");
        int fd = -1;
        check(slipring_consumer_fd(consumers[at], &fd), "descriptor");
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = at};
        if (epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) != 0)
            return 1;
    }
    for (int at = 0; at < RINGS; at++)
        if (pthread_create(&threads[at], NULL, feed, rings[at]) != 0)
            return 1;

    bool ended[RINGS] = {false};
    int left = RINGS;
    /* Each is armed before the first sleep. */
    for (int at = 0; at < RINGS; at++)
        if (drain(consumers[at], &next[at])) {
            ended[at] = true;
            left--;
        }
    while (left > 0) {
        struct epoll_event ready[RINGS];
        int many = epoll_wait(events, ready, RINGS, -1);
        for (int at = 0; at < many; at++) {
            uint32_t which = ready[at].data.u32;
            if (!ended[which] && drain(consumers[which], &next[which])) {
                ended[which] = true;
                left--;
            }
        }
    }
    for (int at = 0; at < RINGS; at++) {
        pthread_join(threads[at], NULL);
        check(slipring_consumer_close(&consumers[at]), "close");
        check(slipring_ring_close(&rings[at]), "close");
        check(slipring_ring_remove(names[at]), "remove");
        if (next[at] != all)
            return 1;
    }
    close(events);
    printf("%llu messages of each of %d rings, as it should be\n", (unsigned long long)all, RINGS);
    return 0;
}
