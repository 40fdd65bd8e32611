/* The strategy of `slipring demo --mixed`, in C: strategy RING. It consumes every tick, compares a fast and a slow moving average
 * of each index, and counts an order at each crossing. In the end it prints a report of one line. */
#include <slipring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The messages of the ring. Their schema is compared below. */
struct tick {
    uint64_t sent_ns;
    double open, high, low, close;
    uint64_t volume;
    uint32_t day, symbol;
};
#define SCHEMA "Tick{sent_ns:u64,open:f64,high:f64,low:f64,close:f64,volume:u64,day:u32,symbol:u32}"
_Static_assert(sizeof(struct tick) == 56, "a tick has no padding");

static void try(slipring_status status) {
    if (status != SLIPRING_OK) {
        fprintf(stderr, "strategy: %s\n", slipring_error_message());
        exit(1);
    }
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t bits(double number) {
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    return word;
}

static uint64_t add(uint64_t sum, uint64_t word) { return (sum << 7 | sum >> 57) + word; }

/* Everything but the stamp, added up as the other parts do. */
static uint64_t checksum(uint64_t sum, const struct tick *tick) {
    sum = add(add(sum, bits(tick->open)), bits(tick->high));
    sum = add(add(sum, bits(tick->low)), bits(tick->close));
    return add(add(sum, tick->volume), (uint64_t)tick->day << 32 | tick->symbol);
}

/* Times in buckets that are at most a five-hundredth wide. */
enum { HALF = 512, BUCKETS = 64 * HALF };
static uint64_t buckets[BUCKETS], largest;

static void record(uint64_t ns) {
    unsigned shift = 0;
    while (ns >> shift >= 2 * HALF)
        shift++;
    buckets[shift * HALF + (ns >> shift)]++;
    if (ns > largest)
        largest = ns;
}

/* The end of the bucket below which this share of `count` times lies. */
static uint64_t quantile(uint64_t count, double share) {
    uint64_t seen = 0;
    for (uint64_t at = 0; at < BUCKETS; at++) {
        seen += buckets[at];
        if (seen > 0 && (double)seen >= share * (double)count) {
            uint64_t shift = at < 2 * HALF ? 0 : at / HALF - 1;
            uint64_t end = ((at - shift * HALF + 1) << shift) - 1;
            return end < largest ? end : largest;
        }
    }
    return largest;
}

int main(int count, char **given) {
    if (count != 2) {
        fprintf(stderr, "usage: strategy RING\n");
        return 2;
    }
    slipring_ring *ring = NULL;
    slipring_consumer *consumer = NULL;
    try(slipring_ring_open(given[1], 0, &ring));
    try(slipring_ring_expect_schema(ring, SCHEMA));
    try(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    puts("attached");
    fflush(stdout);

    struct {
        double fast, slow;
        bool is_long;
    } averages[2] = {{0, 0, false}, {0, 0, false}};
    uint64_t received = 0, missed = 0, sum = 0, orders = 0;
    slipring_message messages[64];
    size_t many = 0;
    slipring_status status;
    while ((status = slipring_consumer_receive_batch(consumer, -1, messages, 64, &many)) == SLIPRING_OK) {
        for (size_t at = 0; at < many; at++) {
            const struct tick *tick = messages[at].data;
            uint64_t time = now();
            record(time > tick->sent_ns ? time - tick->sent_ns : 0);
            received++;
            missed += messages[at].missed;
            sum = checksum(sum, tick);
            double *fast = &averages[tick->symbol % 2].fast, *slow = &averages[tick->symbol % 2].slow;
            bool *is_long = &averages[tick->symbol % 2].is_long;
            if (*slow == 0)
                *fast = *slow = tick->close;
            *fast += (tick->close - *fast) / 10;
            *slow += (tick->close - *slow) / 100;
            if ((*fast > *slow) != *is_long) {
                *is_long = !*is_long;
                orders++;
            }
        }
        try(slipring_consumer_release(consumer));
    }
    if (status != SLIPRING_E_TRY_RECEIVE_CLOSED)
        try(status);
    printf("{\"language\":\"C\",\"received\":%llu,\"lost\":%llu,\"checksum\":%llu,\"latency_ns\":"
           "{\"p50\":%llu,\"p99\":%llu,\"p99.9\":%llu,\"max\":%llu},\"orders\":%llu,\"result\":\"%llu orders\"}\n",
           (unsigned long long)received, (unsigned long long)missed, (unsigned long long)sum,
           (unsigned long long)quantile(received, 0.5), (unsigned long long)quantile(received, 0.99),
           (unsigned long long)quantile(received, 0.999), (unsigned long long)largest, (unsigned long long)orders,
           (unsigned long long)orders);
    try(slipring_consumer_close(&consumer));
    try(slipring_ring_close(&ring));
    return 0;
}
