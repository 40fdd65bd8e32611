/* The consumer, with or without a durable cursor. */
#include "second.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct consumer {
    struct ring *r;
    uint32_t row;
    uint64_t generation;
    struct place next;
    uint64_t given_back;
    bool named, sleeps, slept;
    void *kept, *kept_name;
};

uint64_t name_byte(const char *name) {
    char filled[64] = {0};
    memcpy(filled, name, strlen(name));
    return ((uint64_t)1 << 61) + hash(filled, 64) / 8;
}

static bool find_cursor(struct ring *r, const char *wanted, uint32_t *row) {
    char name[65];
    for (*row = 0; *row < r->is.rows; ++*row)
        if (has_cursor(r, *row) && read_name(r, *row, name) && strcmp(name, wanted) == 0) return true;
    return false;
}

static struct place first_behind(struct ring *r, struct place from, uint64_t floor, enum start start, uint64_t sequence) {
    struct place at = from;
    while (at.at < floor) {
        if (step(r, &at) == NEXT) continue;
        enum placed placed = find(r, start, sequence, floor, &at);
        if (placed == GONE) placed = find(r, OLDEST, 0, floor, &at);
        if (placed != FOUND) fail("there is no place to begin");
        break;
    }
    return at;
}

/* From the new tenure to the position: steps 4 to 7 of attaching. */
static void settle(struct consumer *c, enum start start, uint64_t sequence, bool may_be_abandoned) {
    struct ring *r = c->r;
    may_pause();
    c->generation = load(row_word(r, c->row, GENERATION)) + 1;
    store(row_word(r, c->row, POSITION), c->next.at);
    release(row_word(r, c->row, GENERATION), c->generation); /* row tenure */
    store_half(row_half(r, c->row, 0), CONSUMER);
    full_fence(); /* gate attach */
    bool abandoned = may_be_abandoned && !is_held(r, PRODUCER_BYTE);
    uint64_t limit = load(abandoned ? reserve_of(r) : limit_of(r));
    uint64_t floor = less(limit, r->is.capacity);
    if (c->next.at < floor) c->next = first_behind(r, c->next, floor, start, sequence);
    release(row_word(r, c->row, POSITION), c->next.at); /* consumed settle */
    c->given_back = c->next.at;
}

/* Where the owner of a cursor goes on. */
struct place resume(struct ring *r, uint32_t row, uint64_t wanted) {
    struct place at, oldest_there;
    enum placed placed = find(r, EXACTLY, wanted, 0, &at);
    if (placed == FOUND) return at;
    if (placed != GONE) fail("the cursor is ahead of the stream");
    bool exact = confirmed(r, load(row_word(r, row, POSITION)), &at);
    while (exact && ahead(at.sequence, wanted) < 0) exact = step(r, &at) == NEXT;
    bool found = find(r, OLDEST, 0, 0, &oldest_there) == FOUND;
    if (exact && (!found || ahead(at.sequence, oldest_there.sequence) <= 0)) return at;
    if (!found) fail("there is no place to begin");
    return oldest_there;
}

struct consumer *consume(struct ring *r, enum start start, uint64_t sequence, const char *cursor, bool sleeps,
                         uint64_t *missed) {
    struct consumer *c = calloc(1, sizeof *c);
    bool resumes = false;
    c->r = r;
    c->sleeps = sleeps;
    if (cursor) {
        while (!(c->kept_name = take(r, name_byte(cursor)))) usleep(1000); /* the last one may be dying */
        if (find_cursor(r, cursor, &c->row)) {
            while (!(c->kept = take(r, ROW_BYTE + c->row))) usleep(1000);
            resumes = true;
        }
    }
    if (!c->kept) c->row = choose_row(r, &c->kept);
    if (resumes) {
        start = EXACTLY;
        sequence = load(row_word(r, c->row, SEQUENCE));
        c->next = resume(r, c->row, sequence);
    } else {
        if (find(r, start, sequence, 0, &c->next) != FOUND) fail("there is no such message");
        store(row_word(r, c->row, NAME), 0);
        store(row_word(r, c->row, EPOCH), load(epoch_of(r)));
    }
    store(row_word(r, c->row, LOST), 0);
    store(row_word(r, c->row, TIMES), 0);
    store_half(row_half(r, c->row, PID), (uint32_t)getpid());
    store_half(row_half(r, c->row, PARK), sleeps);
    settle(c, start, sequence, true);
    *missed = start == EXACTLY ? c->next.sequence - sequence : 0;
    if (!resumes) {
        store(row_word(r, c->row, SEQUENCE), c->next.sequence);
        if (cursor) write_name(r, c->row, cursor);
    }
    c->named = cursor != NULL;
    if (sleeps) allow(data_bell(r));
    if (stamp_bytes(r)) clear_stamps(r, c->row);
    return c;
}

static bool is_void(struct consumer *c, uint64_t at) {
    acquire_fence(); /* evict consume */
    uint64_t evicted = load(eviction_of(c->r, c->row));
    return evicted == c->generation || evicted == EXPELLED || overtaken(c->r, at);
}

static enum received come_back(struct consumer *c, uint64_t *sequence, uint64_t *missed) {
    struct ring *r = c->r;
    uint64_t wanted = c->next.sequence;
    if (load(eviction_of(r, c->row)) == EXPELLED) return OUT;
    if (overtaken(r, c->next.at)) {
        enum placed placed = find(r, EXACTLY, wanted, 0, &c->next);
        if (placed == GONE) placed = find(r, OLDEST, 0, 0, &c->next);
        if (placed != FOUND) fail("there is no place to come back to");
    }
    settle(c, EXACTLY, wanted, false);
    store(row_word(r, c->row, SEQUENCE), c->next.sequence);
    *missed = c->next.sequence - wanted;
    *sequence = c->next.sequence;
    return MISSED;
}

enum received receive(struct consumer *c, uint8_t *out, uint64_t *sequence, uint64_t *bytes) {
    struct ring *r = c->r;
    bool evicts = r->is.features & EVICTS;
    for (;;) {
        struct seen_frame f;
        struct place at = c->next;
        uint64_t word = load(data_at(r, at.at));
        if (!commits(word, at.sequence)) {
            if (evicts && is_void(c, at.at)) return come_back(c, sequence, bytes);
            /* A gap that no message follows. */
            if (c->given_back != at.at) give_back(c);
            return NOTHING;
        }
        acquire_fence(); /* publish consume */
        bool sound = decode_frame(r, at.at, word, &f);
        may_pause();
        struct seen_gap gap = {0};
        if (sound && f.gap) gap = read_gap(r, at.at, word);
        if (sound && !f.pad && !f.gap)
            for (uint64_t part = 0; part < f.bytes; part += 8) {
                uint64_t value = load(data_at(r, at.at + 8 + part));
                memcpy(out + part, &value, f.bytes - part < 8 ? f.bytes - part : 8);
            }
        if (evicts && is_void(c, at.at)) return come_back(c, sequence, bytes);
        if (!sound || (f.gap && !gap_follows(r, &gap, at.sequence)))
            fail("the frame at %llu is damaged", (unsigned long long)at.at);
        c->next.at = f.end;
        if (f.pad) continue;
        if (f.gap) {
            *bytes = gap.next - at.sequence;
            *sequence = c->next.sequence = gap.next;
            return MISSED;
        }
        *sequence = c->next.sequence++;
        *bytes = f.bytes;
        return MESSAGE;
    }
}

void give_back(struct consumer *c) {
    store(row_word(c->r, c->row, SEQUENCE), c->next.sequence);
    release(row_word(c->r, c->row, POSITION), c->next.at); /* consumed release */
    c->given_back = c->next.at;
    ring_if_armed(space_bell(c->r));
}

static bool ready(void *of) {
    struct consumer *c = of;
    if (commits(load(data_at(c->r, c->next.at)), c->next.sequence) || is_closed(c->r)) return true;
    return c->r->is.features & EVICTS && is_void(c, c->next.at);
}

void wait_for_message(struct consumer *c, uint64_t limit_ns) {
    if (!c->sleeps) return;
    sleep_on(data_bell(c->r), c->slept || limit_ns < 1000000 ? limit_ns : 1000000, ready, c);
    c->slept = true;
}

uint32_t row_of(const struct consumer *c) { return c->row; }
uint64_t next_for(const struct consumer *c) { return c->next.sequence; }

void leave_consumer(struct consumer *c) {
    struct ring *r = c->r;
    release_half(row_half(r, c->row, 0), c->named ? AWAY : FREE); /* consumed leave */
    if (c->sleeps) quiet_data(r);
    ring_now(space_bell(r));
    unlock(c->kept);
    unlock(c->kept_name);
}
