/* Values, permits, signals and pacts; stamps. */
#include "second.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define acquire_load(from) atomic_load_explicit((from), memory_order_acquire)

static bool swap(word *at, uint64_t from, uint64_t to, memory_order order) {
    return atomic_compare_exchange_strong_explicit(at, &from, to, order, relaxed);
}

/* Stamps. */

enum { BUCKETS = 592, STAMP_WORDS = 608, LONGEST_TIME = 592, IN_THE_FUTURE = 593 };

static word *stamp_word(struct ring *r, uint32_t row, uint64_t at) { return board_word(r, STAMP_WORDS * (uint64_t)row + at); }

void clear_stamps(struct ring *r, uint32_t row) {
    for (uint64_t at = 0; at < STAMP_WORDS; at++) store(stamp_word(r, row, at), 0);
}

static void add(word *at) { store(at, load(at) + 1); }

void count_stamp(struct ring *r, uint32_t row, uint64_t stamp) {
    uint64_t now = now_ns(), time = now - stamp, bucket = time;
    if (stamp > now) {
        add(stamp_word(r, row, IN_THE_FUTURE));
        return;
    }
    if (time >= 16) {
        uint64_t power = 63 - (uint64_t)__builtin_clzll(time);
        bucket = 16 * (power - 3) + (time >> (power - 4) & 15);
    }
    add(stamp_word(r, row, bucket < BUCKETS ? bucket : BUCKETS - 1));
    if (time > load(stamp_word(r, row, LONGEST_TIME))) store(stamp_word(r, row, LONGEST_TIME), time);
}

/* Newest values and shared values. */

static uint64_t cell_at(uint64_t cell, uint64_t bytes) { return 64 + cell * (64 + 4 * up(bytes, 64)); }

static uint64_t value_at(uint64_t cell, uint64_t bytes, uint64_t version) {
    return cell_at(cell, bytes) + 64 + version % 4 * up(bytes, 64);
}

uint64_t read_cell(struct ring *r, uint64_t cell, uint64_t bytes, uint8_t *out) {
    for (;;) {
        uint64_t version = acquire_load(data_at(r, cell_at(cell, bytes))); /* value version */
        for (uint64_t part = 0; part < bytes; part += 8) {
            if (part == 8) may_pause();
            uint64_t value = load(data_at(r, value_at(cell, bytes, version) + part));
            memcpy(out + part, &value, 8);
        }
        acquire_fence(); /* value get */
        if (load(data_at(r, cell_at(cell, bytes))) - version < 3) return version;
    }
}

uint64_t set_cell(struct ring *r, uint64_t cell, uint64_t bytes, const uint8_t *value) {
    uint64_t version = load(data_at(r, cell_at(cell, bytes))) + 1;
    release_fence(); /* value set */
    for (uint64_t part = 0; part < bytes; part += 8) {
        uint64_t of_it = 0;
        memcpy(&of_it, value + part, bytes - part < 8 ? bytes - part : 8);
        store(data_at(r, value_at(cell, bytes, version) + part), of_it);
    }
    release(data_at(r, cell_at(cell, bytes)), version); /* value version */
    may_pause();
    store(data_at(r, 0), load(data_at(r, 0)) + 1);
    ring_if_armed(data_bell(r));
    return version;
}

void *attach_writer(struct ring *r) {
    void *kept;
    uint64_t sum = 0;
    while (!(kept = take(r, PRODUCER_BYTE))) usleep(1000); /* the last one may be dying */
    store(epoch_of(r), load(epoch_of(r)) + 1);
    store_half(state_of(r) + 1, (uint32_t)getpid());
    store_half(state_of(r), ATTACHED);
    for (uint64_t cell = 0; cell < r->is.parameters[0]; cell++) sum += load(data_at(r, cell_at(cell, r->is.parameters[1])));
    quiet_data(r);
    if (load(data_at(r, 0)) != sum) {
        store(data_at(r, 0), sum);
        ring_now(data_bell(r));
    }
    return kept;
}

void leave_writer(struct ring *r, void *kept) {
    store_half(state_of(r), ABSENT);
    unlock(kept);
}

/* Rows of sleepers. */

static void sit(struct seat *seat, enum row_state state) {
    struct ring *r = seat->r;
    store(row_word(r, seat->row, GENERATION), load(row_word(r, seat->row, GENERATION)) + 1);
    store(row_word(r, seat->row, LOST), 0);
    store(row_word(r, seat->row, TIMES), 0);
    store_half(row_half(r, seat->row, PID), (uint32_t)getpid());
    store_half(row_half(r, seat->row, PARK), 1);
    store_half(row_half(r, seat->row, 0), state);
    allow(data_bell(r));
}

struct seat take_seat(struct ring *r) {
    struct seat seat = {.r = r};
    seat.row = choose_row(r, &seat.kept);
    store(row_word(r, seat.row, NAME), 0);
    sit(&seat, OBSERVER);
    return seat;
}

struct seat join_row(struct ring *r) {
    struct seat seat = {.r = r};
    seat.row = choose_row(r, &seat.kept);
    sit(&seat, CONSUMER);
    return seat;
}

void sleep_in(struct seat *seat, uint64_t limit_ns, bool (*ready)(void *), void *of) {
    sleep_on(data_bell(seat->r), seat->slept || limit_ns < 1000000 ? limit_ns : 1000000, ready, of);
    seat->slept = true;
}

void leave_seat(struct seat *seat) {
    store_half(row_half(seat->r, seat->row, 0), FREE);
    quiet_data(seat->r);
    unlock(seat->kept);
    unlock(seat->kept_name);
}

/* Permits. */

enum { TURN = 0, TICKETS = 1, FIRST_PERMIT = 16, MARK = 1 };
enum { FREED = 1, RETIRED = 2, HELD = 3 };

static uint64_t permits_of(struct ring *r) { return r->is.parameters[1]; }

static bool is_free(struct ring *r, uint64_t permit, uint64_t said) {
    return said == FREED || (said == 0 && permit < r->is.parameters[0]);
}

/* With the lock of the row. */
static void return_all(struct ring *r, uint32_t row) {
    for (uint64_t permit = 0; permit < permits_of(r); permit++)
        if (load(board_word(r, FIRST_PERMIT + permit)) == HELD + (uint64_t)row)
            swap(board_word(r, FIRST_PERMIT + permit), HELD + (uint64_t)row, FREED, memory_order_release); /* permit dead */
    store(row_word(r, row, SEQUENCE), 0);
    swap(board_word(r, TURN), (uint64_t)row + 1, 0, relaxed);
}

static void return_for_the_dead(struct seat *seat) {
    struct ring *r = seat->r;
    for (uint32_t row = 0; row < r->is.rows; row++) {
        if (row == seat->row || load_half(row_half(r, row, 0)) == FREE || is_held(r, ROW_BYTE + row)) continue;
        void *kept = lock_byte(r, ROW_BYTE + row);
        if (!kept) continue;
        return_all(r, row);
        store_half(row_half(r, row, 0), FREE);
        unlock(kept);
        ring_now(data_bell(r));
    }
}

struct seat join_permits(struct ring *r) {
    struct seat seat = {.r = r};
    seat.row = choose_row(r, &seat.kept);
    return_all(r, seat.row);
    sit(&seat, CONSUMER);
    ring_now(data_bell(r));
    return seat;
}

static uint64_t ticket_of(struct ring *r, uint32_t row) {
    return load_half(row_half(r, row, 0)) == FREE ? 0 : load(row_word(r, row, SEQUENCE));
}

static void claim_turn(struct seat *seat) {
    struct ring *r = seat->r;
    uint64_t mine = ticket_of(r, seat->row);
    if (mine == 0) return;
    if (mine & MARK) {
        swap(row_word(r, seat->row, SEQUENCE), mine, mine & ~(uint64_t)MARK, relaxed);
        mine &= ~(uint64_t)MARK;
    }
    if (load(board_word(r, TURN)) != 0) return;
    for (uint32_t row = 0; row < r->is.rows; row++) {
        uint64_t ticket = ticket_of(r, row);
        if (ticket != 0 && !(ticket & MARK) && ticket < mine) return;
    }
    swap(board_word(r, TURN), 0, (uint64_t)seat->row + 1, relaxed);
}

static uint32_t take_permits(struct seat *seat, uint32_t many, uint32_t *permits) {
    struct ring *r = seat->r;
    uint32_t taken = 0, free_ones = 0;
    for (uint64_t permit = 0; permit < permits_of(r); permit++)
        free_ones += is_free(r, permit, load(board_word(r, FIRST_PERMIT + permit)));
    if (free_ones < many) return 0;
    for (uint64_t permit = 0; permit < permits_of(r) && taken < many; permit++) {
        word *at = board_word(r, FIRST_PERMIT + permit);
        uint64_t said = load(at), turn = load(board_word(r, TURN));
        if (turn != 0 && turn != (uint64_t)seat->row + 1) break;
        may_pause();
        if (is_free(r, permit, said) && swap(at, said, HELD + (uint64_t)seat->row, memory_order_acquire)) /* permit take */
            permits[taken++] = (uint32_t)permit;
    }
    if (taken == many) return taken;
    for (uint32_t at = 0; at < taken; at++) release(board_word(r, FIRST_PERMIT + permits[at]), FREED); /* permit give */
    if (taken) ring_now(data_bell(r));
    return 0;
}

struct wanted {
    struct seat *seat;
    uint32_t many, *permits;
    bool taken;
};

static bool has_permits(void *of) {
    struct wanted *w = of;
    claim_turn(w->seat);
    if (!w->taken) w->taken = take_permits(w->seat, w->many, w->permits) == w->many;
    return w->taken;
}

void acquire(struct seat *seat, uint32_t many, uint32_t *permits) {
    struct ring *r = seat->r;
    struct wanted w = {.seat = seat, .many = many, .permits = permits};
    for (int looks = 0; !has_permits(&w); looks++) {
        uint64_t turn = load(board_word(r, TURN));
        if ((looks > 2 || many > 1 || turn != 0) && load(row_word(r, seat->row, SEQUENCE)) == 0) {
            uint64_t number = atomic_fetch_add_explicit(board_word(r, TICKETS), 1, relaxed) + 1;
            store(row_word(r, seat->row, SEQUENCE), number << 18 | (uint64_t)many << 1);
        }
        if (turn == (uint64_t)seat->row + 1) store(row_word(r, seat->row, POSITION), load(row_word(r, seat->row, POSITION)) + 1);
        if (looks % 4 == 3) return_for_the_dead(seat);
        sleep_in(seat, 20000000, has_permits, &w);
    }
    if (load(row_word(r, seat->row, SEQUENCE)) == 0) return;
    store(row_word(r, seat->row, SEQUENCE), 0);
    swap(board_word(r, TURN), (uint64_t)seat->row + 1, 0, relaxed);
    ring_now(data_bell(r));
}

void give(struct seat *seat, uint32_t permit, bool retire) {
    word *at = board_word(seat->r, FIRST_PERMIT + permit);
    if (load(at) != HELD + (uint64_t)seat->row) fail("permit %u is not held", permit);
    release(at, retire ? RETIRED : FREED); /* permit give */
    ring_if_armed(data_bell(seat->r));
}

bool add_permit(struct seat *seat) {
    struct ring *r = seat->r;
    for (uint64_t permit = 0; permit < permits_of(r); permit++) {
        word *at = board_word(r, FIRST_PERMIT + permit);
        uint64_t said = load(at);
        bool retired = said == RETIRED || (said == 0 && permit >= r->is.parameters[0]);
        if (retired && swap(at, said, FREED, memory_order_acquire)) {
            ring_if_armed(data_bell(r));
            return true;
        }
    }
    return false;
}

void leave_permits(struct seat *seat) {
    return_all(seat->r, seat->row);
    leave_seat(seat);
}

/* Signals. */

enum { COUNT_BITS = 40 };
#define COUNT (((uint64_t)1 << COUNT_BITS) - 1)

static word *of_row(struct ring *r, uint32_t row, uint32_t signal) { return board_word(r, 64 + 64 * (uint64_t)row + signal); }

static void begin_counters(struct listener *l, uint64_t generation) {
    struct ring *r = l->seat.r;
    for (uint32_t signal = 0; signal < 64; signal++) {
        l->mine[signal] = generation << COUNT_BITS;
        atomic_exchange_explicit(of_row(r, l->seat.row, signal), l->mine[signal], relaxed);
        l->all[signal] = load(board_word(r, signal));
    }
}

void listen(struct ring *r, const char *name, struct listener *l) {
    memset(l, 0, sizeof *l);
    l->seat.r = r;
    while (!(l->seat.kept_name = take(r, name_byte(name)))) usleep(1000); /* the last one may be dying */
    uint32_t row = l->seat.row = choose_row(r, &l->seat.kept);
    store_half(row_half(r, row, 0), FREE);
    l->generation = load(row_word(r, row, GENERATION)) + 1;
    begin_counters(l, l->generation);
    store_half(row_half(r, row, PID), (uint32_t)getpid());
    store_half(row_half(r, row, PARK), 1);
    write_name(r, row, name);
    release(row_word(r, row, GENERATION), l->generation); /* row begin */
    release_half(row_half(r, row, 0), OBSERVER);          /* row present */
    allow(data_bell(r));
}

bool notice(struct listener *l, uint32_t *signal, uint64_t *count) {
    for (*signal = 0; *signal < 64; ++*signal) {
        uint64_t mine = acquire_load(of_row(l->seat.r, l->seat.row, *signal)); /* signal mine */
        uint64_t all = acquire_load(board_word(l->seat.r, *signal));           /* signal all */
        *count = ((mine - l->mine[*signal]) & COUNT) + (all - l->all[*signal]);
        l->mine[*signal] = mine;
        l->all[*signal] = all;
        if (*count) return true;
    }
    return false;
}

void leave_listener(struct listener *l) {
    begin_counters(l, l->generation + 1);
    store_half(row_half(l->seat.r, l->seat.row, 0), FREE);
    release(row_word(l->seat.r, l->seat.row, GENERATION), l->generation + 1); /* row end */
    leave_seat(&l->seat);
}

void send_to_all(struct ring *r, uint32_t signal) {
    atomic_fetch_add_explicit(board_word(r, signal), 1, memory_order_release); /* signal broadcast */
    ring_if_armed(data_bell(r));
}

bool find_listener(struct ring *r, const char *name, uint32_t *row, uint64_t *generation) {
    for (*row = 0; *row < r->is.rows; ++*row) {
        char found[65];
        *generation = load(row_word(r, *row, GENERATION));
        acquire_fence(); /* row member */
        if (load_half(row_half(r, *row, 0)) != OBSERVER || !read_name(r, *row, found) || strcmp(found, name) != 0) continue;
        if (is_held(r, ROW_BYTE + *row) && load(row_word(r, *row, GENERATION)) == *generation) return true;
    }
    return false;
}

bool send_to(struct ring *r, uint32_t row, uint64_t generation, uint32_t signal) {
    word *at = of_row(r, row, signal);
    for (;;) {
        uint64_t said = load(at), fresh = generation << COUNT_BITS;
        if (said >> COUNT_BITS != fresh >> COUNT_BITS) return false;
        if (swap(at, said, fresh | ((said + 1) & COUNT), memory_order_release)) break; /* signal send */
    }
    ring_if_armed(data_bell(r));
    return true;
}

/* Pacts. */

static word *word_of(struct pact *p, uint32_t side, uint32_t at) { return board_word(p->r, 16 * side + at); }

static void say_word(struct pact *p) {
    release(word_of(p, p->side, 0), (uint64_t)p->token << 32 | p->other); /* handshake say */
    ring_now(data_bell(p->r));
    ring_now(space_bell(p->r));
}

static void begin_anew(struct pact *p) {
    p->token = (uint32_t)(load(word_of(p, p->side, 0)) >> 32) + 1;
    if (p->token == 0) p->token = 1;
    p->other = 0;
    say_word(p);
}

void begin_pact(struct ring *outer, uint32_t side, struct pact *p) {
    *p = (struct pact){.r = outer, .side = side};
    while (!(p->kept = take(outer, 2 + side))) usleep(1000); /* the last one may be dying */
    store(word_of(p, side, 1), (uint64_t)getpid());
    begin_anew(p);
}

struct consumer *meet(struct pact *p, struct ring *incoming) {
    struct consumer *c = NULL;
    for (;;) {
        uint64_t said = acquire_load(word_of(p, !p->side, 0)); /* handshake said */
        uint32_t token = (uint32_t)(said >> 32), accepted = (uint32_t)said;
        if (p->other && token != p->other) {
            /* It has left again, after it was in the pact, or before. */
            if (load(word_of(p, !p->side, 2)) == p->token) break;
            begin_anew(p);
        }
        if (p->other && accepted == p->token) break;
        if (!p->other && token && (accepted == 0 || accepted == p->token)) {
            uint64_t missed;
            if (c) leave_consumer(c);
            if (incoming) c = consume(incoming, LATEST, 0, NULL, true, &missed);
            p->other = token;
            say_word(p);
            continue;
        }
        usleep(50);
    }
    store(word_of(p, p->side, 2), p->other);
    return c;
}

bool is_broken(struct pact *p) { return acquire_load(word_of(p, !p->side, 0)) != ((uint64_t)p->other << 32 | p->token); }

void leave_pact(struct pact *p) {
    begin_anew(p);
    unlock(p->kept);
}
