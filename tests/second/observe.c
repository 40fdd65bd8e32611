/* The observer. */
#include "second.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct observer {
    struct ring *r;
    struct place next;
    bool from_newest, slept;
    uint32_t row;
    void *kept; /* the lock of its row, if it sleeps */
};

struct observer *observe(struct ring *r, enum start start, uint64_t sequence, bool from_newest, bool sleeps) {
    struct observer *o = calloc(1, sizeof *o);
    o->r = r;
    o->from_newest = from_newest;
    if (sleeps) o->row = choose_row(r, &o->kept);
    if (find(r, start, sequence, 0, &o->next) != FOUND) fail("there is no such message");
    if (sleeps) {
        store(row_word(r, o->row, NAME), 0);
        store(row_word(r, o->row, GENERATION), load(row_word(r, o->row, GENERATION)) + 1);
        store_half(row_half(r, o->row, PID), (uint32_t)getpid());
        store(row_word(r, o->row, SEQUENCE), o->next.sequence);
        store_half(row_half(r, o->row, PARK), 1);
        store_half(row_half(r, o->row, 0), OBSERVER);
        allow(data_bell(r));
    }
    return o;
}

static enum received resynchronise(struct observer *o, uint64_t *sequence, uint64_t *lost) {
    struct ring *r = o->r;
    struct place at;
    uint64_t before = load(reserve_of(r));
    bool found = o->from_newest ? newest(r, &at) : oldest(r, 0, &at);
    if (!found || ahead(at.sequence, o->next.sequence) < 0) {
        if (load(reserve_of(r)) == before) fail("the index is damaged");
        return NOTHING;
    }
    *lost = at.sequence - o->next.sequence;
    *sequence = at.sequence;
    o->next = at;
    return *lost != 0 ? MISSED : NOTHING;
}

enum received look(struct observer *o, uint8_t *out, uint64_t *sequence, uint64_t *bytes) {
    struct ring *r = o->r;
    for (;;) {
        struct seen_frame f = {0};
        struct seen_gap gap = {0};
        struct place at = o->next;
        uint64_t word = load(data_at(r, at.at));
        bool there = commits(word, at.sequence), sound = false;
        if (there) {
            acquire_fence(); /* publish observe */
            sound = decode_frame(r, at.at, word, &f);
            may_pause();
            if (sound && f.gap) gap = read_gap(r, at.at, word);
            if (sound && !f.pad && !f.gap)
                for (uint64_t part = 0; part < f.bytes; part += 8) {
                    uint64_t value = load(data_at(r, at.at + 8 + part));
                    memcpy(out + part, &value, f.bytes - part < 8 ? f.bytes - part : 8);
                }
        }
        acquire_fence(); /* overwrite copy, overwrite observe */
        if (overtaken(r, at.at)) return resynchronise(o, sequence, bytes);
        if (!there) return NOTHING;
        if (!sound || (f.gap && !gap_follows(r, &gap, at.sequence)))
            fail("the frame at %llu is damaged", (unsigned long long)at.at);
        o->next.at = f.end;
        if (f.pad) continue;
        if (f.gap) {
            *bytes = gap.next - at.sequence;
            *sequence = o->next.sequence = gap.next;
            return MISSED;
        }
        *sequence = o->next.sequence++;
        *bytes = f.bytes;
        return MESSAGE;
    }
}

static bool ready(void *of) {
    struct observer *o = of;
    return commits(load(data_at(o->r, o->next.at)), o->next.sequence) || overtaken(o->r, o->next.at) || is_closed(o->r);
}

void wait_for_change(struct observer *o, uint64_t limit_ns) {
    if (!o->kept) {
        usleep(50);
        return;
    }
    sleep_on(data_bell(o->r), o->slept || limit_ns < 1000000 ? limit_ns : 1000000, ready, o);
    o->slept = true;
}

uint64_t next_seen(const struct observer *o) { return o->next.sequence; }

void leave_observer(struct observer *o) {
    if (!o->kept) return;
    store_half(row_half(o->r, o->row, 0), FREE);
    quiet_data(o->r);
    unlock(o->kept);
}
