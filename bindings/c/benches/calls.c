/* What calls cost from C. Prints `name nanoseconds` for each message, of so many rounds: calls ROUNDS. The program calls.rs starts it. */
#include <slipring.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGES 4096
#define BATCH 64

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        slipring_status status = call;                                                                                 \
        if (status != 0) {                                                                                             \
            fprintf(stderr, "%s: %u %s\n", #call, status, slipring_error_message());                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void told(const char *name, double begun) {
    printf("%s %.2f\n", name, (now_ns() - begun) / MESSAGES);
}

int main(int count, char **arguments) {
    long rounds = count > 1 ? atol(arguments[1]) : 1;
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 1 << 20};
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_create("calls-c", &options, &ring));
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    static unsigned char block[BATCH * 64];
    unsigned char message[64] = {1};
    slipring_message got, several[BATCH];
    unsigned long sum = 0;
    for (long round = 0; round < rounds; round++) {
        double begun = now_ns();
        for (int at = 0; at < MESSAGES; at++) {
            message[0] = (unsigned char)at;
            OK(slipring_producer_publish(producer, message, sizeof message, 0, NULL));
        }
        told("publish", begun);
        begun = now_ns();
        for (int at = 0; at < MESSAGES; at++) {
            OK(slipring_consumer_receive(consumer, 0, &got));
            sum += *(const unsigned char *)got.data;
            OK(slipring_consumer_release(consumer));
        }
        told("try_receive", begun);
        begun = now_ns();
        for (int at = 0; at < MESSAGES; at += BATCH) {
            block[0] = (unsigned char)at;
            OK(slipring_producer_publish_array(producer, block, 64, BATCH, 0, NULL));
        }
        told("publish_batch", begun);
        begun = now_ns();
        for (int left = MESSAGES; left > 0;) {
            size_t came = 0;
            OK(slipring_consumer_receive_batch(consumer, 0, several, BATCH, &came));
            for (size_t at = 0; at < came; at++)
                sum += *(const unsigned char *)several[at].data;
            OK(slipring_consumer_release(consumer));
            left -= (int)came;
        }
        told("receive_batch", begun);
    }
    fprintf(stderr, "%lu\n", sum);
    OK(slipring_consumer_close(&consumer));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
    OK(slipring_ring_remove("calls-c"));
    return 0;
}
