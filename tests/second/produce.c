/* The producer, which is also a sweeper. */
#include "second.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct shadow {
    uint64_t generation, position, forgiven_at;
    uint32_t strikes;
};

struct producer {
    struct ring *r;
    void *kept;
    struct place next; /* the end of what is committed */
    uint64_t gate, published, announced, entered, floor;
    struct shadow *shadows;
    bool sleeps, slept;
    uint64_t woken;
    /* The batch: where it ends, the commit word of its first frame, and the index entries that were kept back. */
    struct place end, first, *kept_back;
    uint64_t first_word, entered_before;
    size_t count_kept;
    bool empty;
};

static void record(struct ring *r, struct place at) {
    word *entry = index_of(r, at.at / r->is.block);
    store(entry + 1, at.sequence);
    release(entry, at.at); /* entry record */
}

static void disarm(struct ring *r, uint64_t at, uint64_t sequence) {
    word *there = data_at(r, at);
    if (carries(load(there), sequence)) store(there, 0);
}

/* Sweeps a row if its owner is dead. */
static bool sweep(struct ring *r, uint32_t row) {
    void *kept = lock_byte(r, ROW_BYTE + row);
    if (!kept) return false;
    uint32_t state = load_half(row_half(r, row, 0));
    if (state == CONSUMER || state == OBSERVER) {
        bool named = state == CONSUMER && load(row_word(r, row, NAME)) != 0;
        store_half(row_half(r, row, 0), named ? AWAY : FREE);
    }
    unlock(kept);
    return true;
}

struct producer *produce(struct ring *r, bool sleeps) {
    void *kept;
    while (!(kept = take(r, PRODUCER_BYTE))) usleep(1000); /* the last one may be dying */
    return produce_with(r, kept, sleeps);
}

struct producer *produce_with(struct ring *r, void *kept, bool sleeps) {
    if (r->is.producer_features != 0) fail("a feature is unknown");
    struct producer *p = calloc(1, sizeof *p);
    p->r = r;
    p->sleeps = sleeps;
    p->kept = kept;
    struct place from, at;
    if (!newest(r, &from)) fail("no entry of the index is intact");
    at = from;
    p->entered = from.at / r->is.block + 1;
    for (;;) {
        struct place behind = at;
        enum step stepped = step(r, &behind);
        if (stepped == END) break;
        if (stepped != NEXT || behind.at > from.at + r->is.capacity) fail("the stream has no end");
        at = behind;
        /* The frame at `at` begins a block that has no entry, and it is committed. */
        struct place peek = at;
        if (at.at / r->is.block >= p->entered && step(r, &peek) == NEXT) {
            record(r, at);
            p->entered = at.at / r->is.block + 1;
        }
    }
    p->next = at;
    uint64_t epoch = load(epoch_of(r)) + 1;
    store(epoch_of(r) + 2 + epoch % 2, at.sequence);
    release(epoch_of(r), epoch); /* producer begin */
    store_half(state_of(r) + 1, (uint32_t)getpid());
    release_half(state_of(r), ATTACHED); /* producer attach */
    p->announced = load(reserve_of(r));
    if (p->announced > at.at + r->is.capacity) p->announced = at.at + r->is.capacity;
    p->published = p->announced > at.at + 8 ? p->announced : at.at + 8;
    store(limit_of(r), p->published);
    p->floor = less(at.at, r->is.capacity);
    p->shadows = calloc(r->is.rows, sizeof *p->shadows);
    p->kept_back = calloc(r->is.capacity / r->is.block + 2, sizeof *p->kept_back);
    store_half(&data_bell(r)->unfenced, 0);
    for (uint32_t row = 0; row < r->is.rows; row++) {
        uint32_t state = load_half(row_half(r, row, 0));
        if (state == CONSUMER || state == OBSERVER) sweep(r, row);
    }
    if (sleeps)
        allow(space_bell(r));
    else
        store_half(&space_bell(r)->may_park, 0);
    quiet_data(r);
    ring_now(data_bell(r));
    p->empty = true;
    p->end = p->next;
    return p;
}

static bool is_evicted(struct ring *r, uint32_t row, uint64_t generation) {
    uint64_t evicted = load(eviction_of(r, row));
    return evicted == generation || evicted == EXPELLED;
}

/* Looks at the rows. False if there is no room up to `need`; then `*holder` is the row in the way. */
static bool look_at_rows(struct producer *p, uint64_t need, uint32_t *holder) {
    struct ring *r = p->r;
    uint64_t head = p->next.at, wanted = head + r->is.capacity / 8, lowest = NONE;
    if (need > wanted) wanted = need;
    if (wanted > p->published) {
        store(limit_of(r), wanted);
        p->published = wanted;
    }
    full_fence(); /* gate look */
    for (uint32_t row = 0; row < r->is.rows; row++) {
        struct shadow *shadow = &p->shadows[row];
        if (atomic_load_explicit(row_half(r, row, 0), memory_order_acquire) != CONSUMER) { /* consumed state */
            if (load(eviction_of(r, row)) == EXPELLED) store(eviction_of(r, row), load(row_word(r, row, GENERATION)));
            continue;
        }
        uint64_t generation = atomic_load_explicit(row_word(r, row, GENERATION), memory_order_acquire); /* row tenure */
        if (generation != shadow->generation) {
            shadow->generation = generation;
            shadow->position = p->floor;
        }
        if (is_evicted(r, row, generation)) continue;
        uint64_t at = atomic_load_explicit(row_word(r, row, POSITION), memory_order_acquire); /* consumed position */
        uint64_t most = head > shadow->position ? head : shadow->position;
        at = at < shadow->position ? shadow->position : at > most ? most : at;
        shadow->position = at;
        if (at < lowest) {
            lowest = at;
            *holder = row;
        }
    }
    p->gate = p->published;
    if (lowest != NONE && lowest + r->is.capacity < p->gate) p->gate = lowest + r->is.capacity;
    if (p->gate < p->published) {
        p->published = p->gate;
        store(limit_of(r), p->gate);
    }
    p->floor = less(p->gate, r->is.capacity);
    return need <= p->gate;
}

static void enter(struct producer *p) {
    uint64_t block = p->end.at / p->r->is.block;
    if (block < p->entered) return;
    p->entered = block + 1;
    if (p->empty)
        record(p->r, p->end);
    else
        p->kept_back[p->count_kept++] = p->end;
}

enum room { ROOM, FULL, TOO_LONG };

/* Room for a payload where the batch ends. `*end` is where its frame ends. */
static enum room make_room(struct producer *p, uint32_t bytes, uint64_t *end, uint32_t *holder) {
    struct ring *r = p->r;
    if (bytes > r->is.largest) fail("a payload of %u bytes is too large", bytes);
    uint64_t lap = lap_end(r, p->end.at);
    bool wraps = p->end.at + frame(r, bytes) + 8 > lap;
    *end = (wraps ? lap : p->end.at) + frame(r, bytes);
    uint64_t need = *end + 8;
    if (!p->empty && need - p->first.at > r->is.capacity / 2) return TOO_LONG;
    enter(p);
    if (need > p->gate && !look_at_rows(p, need, holder)) return FULL;
    if (need > p->announced) {
        p->announced = up(need, r->is.block);
        if (p->announced > p->gate) p->announced = p->gate;
        store(reserve_of(r), p->announced);
        release_fence(); /* overwrite reserve */
    }
    if (wraps) {
        uint64_t pad = (lap - p->end.at - 8 + 1) | (uint64_t)1 << 31 | p->end.sequence << 32;
        disarm(r, lap, p->end.sequence);
        if (p->empty) {
            release(data_at(r, p->end.at), pad); /* publish pad */
            p->next.at = p->end.at = lap;
        } else {
            store(data_at(r, p->end.at), pad);
            p->end.at = lap;
        }
        enter(p);
    }
    return ROOM;
}

/* Writes the payload, and returns the commit word. */
static uint64_t write_frame(struct producer *p, const void *payload, uint32_t bytes, uint64_t end) {
    struct ring *r = p->r;
    const uint8_t *from = payload;
    for (uint32_t at = 0; at < bytes; at += 8) {
        uint64_t part = 0;
        memcpy(&part, from + at, bytes - at < 8 ? bytes - at : 8);
        store(data_at(r, p->end.at + 8 + at), part);
    }
    disarm(r, end, p->end.sequence + 1);
    return ((uint64_t)bytes + 1) | p->end.sequence << 32;
}

static bool try_begin(struct producer *p, const void *payload, uint32_t bytes, uint32_t *holder) {
    uint64_t end;
    p->end = p->next;
    p->empty = true;
    p->count_kept = 0;
    if (make_room(p, bytes, &end, holder) != ROOM) return false;
    p->entered_before = p->entered;
    p->first = p->end;
    p->first_word = write_frame(p, payload, bytes, end);
    p->empty = false;
    p->end.at = end;
    p->end.sequence++;
    return true;
}

bool begin_batch(struct producer *p, const void *payload, uint32_t bytes) {
    uint32_t holder;
    return try_begin(p, payload, bytes, &holder);
}

bool add_to_batch(struct producer *p, const void *payload, uint32_t bytes) {
    uint64_t end;
    uint32_t holder;
    if (make_room(p, bytes, &end, &holder) != ROOM) return false;
    uint64_t word = write_frame(p, payload, bytes, end);
    store(data_at(p->r, p->end.at), word);
    p->end.at = end;
    p->end.sequence++;
    return true;
}

void commit_batch(struct producer *p) {
    release(data_at(p->r, p->first.at), p->first_word); /* publish commit */
    p->next = p->end;
    for (size_t at = 0; at < p->count_kept; at++) record(p->r, p->kept_back[at]);
    p->count_kept = 0;
    p->empty = true;
    p->woken += (uint64_t)ring_if_armed(data_bell(p->r));
}

void give_batch_up(struct producer *p) {
    p->entered = p->entered_before;
    p->end = p->next;
    p->empty = true;
    p->count_kept = 0;
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

struct waiting {
    struct producer *p;
    const void *payload;
    uint32_t bytes, holder;
    uint64_t skip_to; /* with a gap: its payload is not a message's */
    bool gap, begun;
};

static bool try_begin_gap(struct producer *p, uint64_t *end, uint32_t *holder) {
    p->end = p->next;
    p->empty = true;
    p->count_kept = 0;
    return make_room(p, 16, end, holder) == ROOM;
}

static bool has_room(void *of) {
    struct waiting *w = of;
    uint64_t end;
    if (!w->begun)
        w->begun = w->gap ? try_begin_gap(w->p, &end, &w->holder) : try_begin(w->p, w->payload, w->bytes, &w->holder);
    return w->begun;
}

static void evict(struct producer *p, uint32_t row) {
    struct shadow *shadow = &p->shadows[row];
    if (p->next.at >= shadow->forgiven_at) shadow->strikes = 0;
    shadow->strikes++;
    shadow->forgiven_at = p->next.at + 64 * p->r->is.capacity;
    store(word_at(p->r->stream, 4384), load(word_at(p->r->stream, 4384)) + 1);
    if (shadow->strikes > 16) store(word_at(p->r->stream, 4392), load(word_at(p->r->stream, 4392)) + 1);
    store(eviction_of(p->r, row), shadow->strikes > 16 ? EXPELLED : shadow->generation);
}

static void wait_for_room(struct waiting *of) {
    struct waiting w = *of;
    struct producer *p = w.p;
    uint64_t since = now_ns();
    while (!has_room(&w)) {
        if (sweep(p->r, w.holder)) continue;
        if (p->r->is.evict_ns != 0) {
            struct shadow *shadow = &p->shadows[w.holder];
            uint32_t halved = p->next.at < shadow->forgiven_at ? shadow->strikes : 0;
            if (now_ns() - since >= p->r->is.evict_ns >> halved) {
                evict(p, w.holder);
                continue;
            }
        }
        if (p->sleeps) {
            sleep_on(space_bell(p->r), p->slept ? 2000000 : 1000000, has_room, &w);
            p->slept = true;
        }
    }
}

void publish(struct producer *p, const void *payload, uint32_t bytes) {
    struct waiting w = {.p = p, .payload = payload, .bytes = bytes};
    wait_for_room(&w);
    commit_batch(p);
}

void skip_to(struct producer *p, uint64_t sequence, uint32_t why) {
    struct ring *r = p->r;
    struct waiting w = {.p = p, .gap = true};
    uint64_t from = p->next.sequence, end;
    if (from - r->is.first >= sequence - r->is.first || sequence - r->is.first > (uint64_t)1 << 62)
        fail("a gap cannot lead there");
    wait_for_room(&w);
    end = p->end.at + frame(r, 16);
    store(data_at(r, p->end.at + 8), sequence);
    store(data_at(r, p->end.at + 16), from >> 32 << 32 | why);
    disarm(r, end, sequence);
    release(data_at(r, p->end.at), 17 | (uint64_t)1 << 31 | from << 32); /* publish commit */
    p->next.at = p->end.at = end;
    p->next.sequence = p->end.sequence = sequence;
    p->woken += (uint64_t)ring_if_armed(data_bell(r));
}

uint64_t next_of(const struct producer *p) { return p->next.sequence; }
uint64_t woken_by(const struct producer *p) { return p->woken; }

void leave_producer(struct producer *p, bool closes) {
    struct ring *r = p->r;
    uint64_t reserve = load(reserve_of(r));
    store(limit_of(r), reserve > p->next.at + 8 ? reserve : p->next.at + 8);
    release_half(state_of(r), closes ? CLOSED : ABSENT); /* producer leave */
    store_half(&space_bell(r)->may_park, 0);
    ring_now(data_bell(r));
    unlock(p->kept);
}
