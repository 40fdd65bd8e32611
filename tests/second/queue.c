/* Queues: senders, each the producer of a lane, and receivers. */
#include "second.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LANES = 1024, FIRST_WORD = 16, UNLISTED = 8, TAKEN = 1, RETURNED = 2 };

static bool swap(word *at, uint64_t from, uint64_t to, memory_order order) {
    return atomic_compare_exchange_strong_explicit(at, &from, to, order, relaxed);
}

static void path_of_lane(const char *queue, uint64_t number, char path[512]) {
    snprintf(path, 512, "%s/lane-%llu", queue, (unsigned long long)number);
}

static uint64_t depth_of(const struct ring *r) { return (uint32_t)r->is.parameters[0]; }

static uint64_t lease_ns(const struct ring *queue) { return (queue->is.parameters[0] >> 32) * 1000000; }

/* The take word of a message, and the lap in which that message uses it. */
static word *take_word(struct ring *lane, uint64_t sequence, uint64_t *lap) {
    uint64_t number = sequence - lane->is.first;
    *lap = number / depth_of(lane) & (((uint64_t)1 << 40) - 1);
    return board_word(lane, FIRST_WORD + number % depth_of(lane));
}

/* Where row 0 of a lane stands. */
static bool front(struct ring *lane, struct place *at) {
    for (int attempt = 0; attempt < 8; attempt++) {
        uint64_t position = atomic_load_explicit(row_word(lane, 0, POSITION), memory_order_acquire); /* consumed oldest */
        if (confirmed(lane, position, at)) return true;
        acquire_fence(); /* gate oldest */
    }
    return false;
}

/* Senders. */

struct sender {
    struct ring *queue, lane;
    struct producer *producer;
    struct place front;
    void *kept_row;
};

static void announce(struct ring *queue) {
    atomic_fetch_add_explicit(board_word(queue, 0), 1, memory_order_release); /* lanes raise */
    ring_now(data_bell(queue));
}

/* Becomes the producer of a lane that has none, and lists it. */
static bool own_lane(struct sender *s, const char *path, uint64_t number, uint64_t priority, bool only_if_empty) {
    char of_lane[512];
    struct ring *lane = &s->lane;
    path_of_lane(path, number, of_lane);
    open_ring(of_lane, true, lane);
    if (lane->is.form != 2) fail("%s is no lane", of_lane);
    void *kept = is_held(lane, PRODUCER_BYTE) ? NULL : take(lane, PRODUCER_BYTE);
    word *listed = board_word(s->queue, FIRST_WORD + number);
    /* Only the owner changes the word, so it is what it was, or another sender was faster. */
    uint64_t said = load(listed);
    if (!kept || (only_if_empty ? said <= UNLISTED : said != priority + 1)) {
        unlock(kept);
        close_ring(lane);
        return false;
    }
    s->producer = produce_with(lane, kept, true);
    while (!(s->kept_row = take(lane, ROW_BYTE))) usleep(1000); /* the last one may be dying */
    if (!front(lane, &s->front)) fail("row 0 of %s is damaged", of_lane);
    store_half(row_half(lane, 0, PID), (uint32_t)getpid());
    store(row_word(lane, 0, SEQUENCE), s->front.sequence);
    store_half(row_half(lane, 0, 0), CONSUMER);
    store(listed, priority + 1);
    announce(s->queue);
    return true;
}

static void make_lane(struct ring *queue, const char *path, uint64_t number, uint64_t priority) {
    char of_lane[512];
    uint64_t largest = (uint32_t)queue->is.parameters[1];
    struct sizes is = {.features = FORM, .form = 2, .align = 8, .rows = 8, .capacity = 4096};
    is.parameters[0] = queue->is.parameters[0];
    is.parameters[1] = queue->is.parameters[1];
    is.board = FIRST_WORD + (uint32_t)depth_of(queue);
    /* Pads and the ends of laps take as much as one message more. */
    while (is.capacity < (depth_of(queue) + 3) * up(largest + 8, 8) + 8 || is.capacity / 4 < largest) is.capacity *= 2;
    is.block = is.capacity / 8 < 4096 ? is.capacity / 8 : 4096;
    path_of_lane(path, number, of_lane);
    create_ring(of_lane, &is); /* or it is there already */
    swap(board_word(queue, FIRST_WORD + number), 0, priority + 1, relaxed);
}

struct sender *begin_sender(struct ring *queue, const char *path, uint64_t priority) {
    struct sender *s = calloc(1, sizeof *s);
    s->queue = queue;
    for (;;) {
        uint64_t unused = LANES;
        for (uint64_t number = 0; number < LANES; number++) {
            uint64_t said = load(board_word(queue, FIRST_WORD + number));
            if (said == 0 && unused == LANES) unused = number;
            if (said == priority + 1 && own_lane(s, path, number, priority, false)) return s;
        }
        for (uint64_t number = 0; number < LANES; number++)
            if (load(board_word(queue, FIRST_WORD + number)) > UNLISTED && own_lane(s, path, number, priority, true)) return s;
        if (unused == LANES) fail("there are too many lanes");
        make_lane(queue, path, unused, priority);
    }
}

/* Moves row 0 on over what is done. */
static bool has_word(struct sender *s) {
    struct ring *lane = &s->lane;
    uint64_t next = next_of(s->producer), before = s->front.sequence;
    while (s->front.sequence != next) {
        uint64_t lap, sequence = s->front.sequence;
        word *at = take_word(lane, sequence, &lap);
        uint64_t done = (lap + 1) << 24;
        if (atomic_load_explicit(at, memory_order_acquire) != done) break; /* taken done */
        while (s->front.sequence == sequence)
            if (step(lane, &s->front) != NEXT) fail("the lane is damaged");
    }
    if (s->front.sequence != before) {
        store(row_word(lane, 0, SEQUENCE), s->front.sequence);
        release(row_word(lane, 0, POSITION), s->front.at); /* consumed release */
    }
    return next - s->front.sequence < depth_of(lane);
}

void send(struct sender *s, const void *message, uint32_t bytes) {
    while (!has_word(s)) usleep(50);
    publish(s->producer, message, bytes);
    ring_if_armed(data_bell(s->queue));
}

void leave_sender(struct sender *s) {
    leave_producer(s->producer, false);
    release_half(row_half(&s->lane, 0, 0), FREE);
    unlock(s->kept_row);
    announce(s->queue);
}

/* Receivers. */

/* A take word that is taken or returned, and since when this receiver has seen it so. */
struct seen_word {
    uint64_t said, since_ns;
};

struct receiver {
    struct seat seat;
    const char *path;
    uint64_t version;
    struct ring *lanes[LANES];
    struct seen_word *seen[LANES]; /* with a lease: of each take word */
    uint64_t watched_ns;
    bool taken;
    struct ring *lane;
    word *at;
    uint64_t mine, count;
    uint8_t *out;
};

static void refresh(struct receiver *v) {
    struct ring *queue = v->seat.r;
    v->version = atomic_load_explicit(board_word(queue, 0), memory_order_acquire); /* lanes version */
    for (uint64_t number = 0; number < LANES; number++) {
        char of_lane[512];
        if (v->lanes[number] || load(board_word(queue, FIRST_WORD + number)) == 0) continue;
        path_of_lane(v->path, number, of_lane);
        v->lanes[number] = calloc(1, sizeof **v->lanes);
        open_ring(of_lane, false, v->lanes[number]);
        if (lease_ns(queue)) v->seen[number] = calloc(depth_of(v->lanes[number]), sizeof **v->seen);
    }
}

/* Returns what has been held for the lease, by this clock. */
static void watch(struct receiver *v) {
    uint64_t now = now_ns();
    bool any = false;
    if (lease_ns(v->seat.r) == 0) return;
    v->watched_ns = now;
    for (uint64_t number = 0; number < LANES; number++) {
        struct ring *lane = v->lanes[number];
        if (!lane) continue;
        for (uint64_t at = 0; at < depth_of(lane); at++) {
            struct seen_word *seen = &v->seen[number][at];
            word *of = board_word(lane, FIRST_WORD + at);
            uint64_t said = load(of);
            if (said != seen->said || (said & 3) == 0) {
                *seen = (struct seen_word){said, now};
                continue;
            }
            if (now - seen->since_ns < lease_ns(v->seat.r)) continue;
            seen->said = 0;
            if ((said & 3) == TAKEN && !swap(of, said, (said & ~(uint64_t)3) | RETURNED, relaxed)) continue;
            atomic_fetch_add_explicit(board_word(lane, 0), 1, memory_order_release); /* returned announce */
            any = true;
        }
    }
    if (any) ring_now(data_bell(v->seat.r));
}

static uint64_t longest_sleep(const struct receiver *v) {
    uint64_t quarter = lease_ns(v->seat.r) / 4;
    return quarter == 0 || quarter > 5000000 ? 5000000 : quarter;
}

static void return_held_by(struct receiver *v, uint32_t row) {
    for (uint64_t number = 0; number < LANES; number++) {
        struct ring *lane = v->lanes[number];
        if (!lane) continue;
        for (uint64_t at = 0; at < depth_of(lane); at++) {
            word *of = board_word(lane, FIRST_WORD + at);
            uint64_t said = load(of);
            if ((said & 3) == TAKEN && (said >> 2 & 0x3fff) == row) swap(of, said, (said & ~(uint64_t)3) | RETURNED, relaxed);
        }
        atomic_fetch_add_explicit(board_word(lane, 0), 1, memory_order_release); /* returned announce */
    }
    ring_now(data_bell(v->seat.r));
}

static void return_for_the_dead(struct receiver *v) {
    struct ring *queue = v->seat.r;
    for (uint32_t row = 0; row < queue->is.rows; row++) {
        if (row == v->seat.row || load_half(row_half(queue, row, 0)) == FREE || is_held(queue, ROW_BYTE + row)) continue;
        void *kept = lock_byte(queue, ROW_BYTE + row);
        if (!kept) continue;
        refresh(v);
        return_held_by(v, row);
        store_half(row_half(queue, row, 0), FREE);
        unlock(kept);
    }
}

struct receiver *begin_receiver(struct ring *queue, const char *path) {
    struct receiver *v = calloc(1, sizeof *v);
    v->path = path;
    v->out = malloc((uint32_t)queue->is.parameters[1] + 16);
    v->seat = join_row(queue);
    refresh(v);
    return_held_by(v, v->seat.row);
    return v;
}

/* Takes the first message of a lane that waits. */
static bool take_of(struct receiver *v, struct ring *lane) {
    struct place at;
    if (!front(lane, &at)) return false;
    for (;;) {
        struct place next = at;
        struct seen_frame f;
        uint64_t lap, commit = load(data_at(lane, at.at));
        if (step(lane, &next) != NEXT) return false;
        if (next.sequence != at.sequence && commits(commit, at.sequence) && decode_frame(lane, at.at, commit, &f)) {
            word *of = take_word(lane, at.sequence, &lap);
            uint64_t said = load(of), times = said >> 16 & 255;
            bool waits = said >> 24 == lap && ((said & 3) == RETURNED || (said & 0xffffff) == 0);
            uint64_t mine = lap << 24 | (times < 255 ? times + 1 : 255) << 16 | (uint64_t)v->seat.row << 2 | TAKEN;
            may_pause();
            if (waits && swap(of, said, mine, relaxed)) {
                for (uint64_t part = 0; part < f.bytes; part += 8) {
                    uint64_t value = load(data_at(lane, at.at + 8 + part));
                    memcpy(v->out + part, &value, 8);
                }
                acquire_fence(); /* revoked copy */
                /* With a lease another receiver may have it by now. */
                if (load(of) != mine) return false;
                v->lane = lane;
                v->at = of;
                v->mine = mine;
                v->count = f.bytes;
                return true;
            }
        }
        at = next;
    }
}

static bool has_message(void *of) {
    struct receiver *v = of;
    struct ring *queue = v->seat.r;
    if (v->taken) return true;
    if (load(board_word(queue, 0)) != v->version) refresh(v);
    for (uint64_t priority = 8; priority-- > 0;)
        for (uint64_t number = 0; number < LANES; number++)
            if (v->lanes[number] && load(board_word(queue, FIRST_WORD + number)) == priority + 1 && take_of(v, v->lanes[number]))
                return v->taken = true;
    return false;
}

bool take_message(struct receiver *v, const uint8_t **message, uint64_t *bytes) {
    if (now_ns() - v->watched_ns > longest_sleep(v)) watch(v);
    if (!has_message(v)) {
        return_for_the_dead(v);
        sleep_in(&v->seat, longest_sleep(v), has_message, v);
        watch(v);
        if (!has_message(v)) return false;
    }
    *message = v->out;
    *bytes = v->count;
    return true;
}

bool finish_message(struct receiver *v) {
    v->taken = false;
    if (!swap(v->at, v->mine, ((v->mine >> 24) + 1) << 24, memory_order_release)) return false; /* taken finish */
    ring_if_armed(space_bell(v->lane));
    return true;
}

uint64_t times_taken(const struct receiver *v) { return v->mine >> 16 & 255; }

void leave_receiver(struct receiver *v) { leave_seat(&v->seat); }
