/* A second implementation of rings, written from docs/reference/protocol.md and the pages below it alone.
 *
 * ring.c     files, locks, bells, searching     (protocol: files, locks; operations: opening, searching, bells)
 * create.c   creator, of every public form      (operations: creating; forms: creating)
 * produce.c  producer, sweeper                  (operations: producing, evicting, sweeping)
 * consume.c  consumer, with or without a cursor (operations: consuming)
 * observe.c  observer                           (operations: observing)
 * schema.c   schemas                            (protocol: schemas)
 * forms.c    values, permits, signals and pacts (forms)
 * queue.c    senders and receivers of queues    (forms: queues)
 * commands.c the commands of the forms
 * vector.c   the files of docs/vectors, of every public form
 * main.c     the command that the tests run
 */
#ifndef SECOND_H
#define SECOND_H

#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NONE UINT64_MAX
#define EXPELLED UINT64_MAX

enum feature { HUGE_PAGES = 1, EVICTS = 2, FORM = 4, STAMPS = 8 };
enum row_state { FREE = 0, CONSUMER = 1, OBSERVER = 2, AWAY = 3 };
enum producer_state { ABSENT = 0, ATTACHED = 1, CLOSED = 2 };

/* Which rule of a description is broken; what was found, and what was expected, where that is one number. */
struct refusal {
    const char *rule;
    bool has_found, has_expected;
    uint64_t found, expected;
};

/* What the description says. */
struct sizes {
    uint64_t features, producer_features, capacity, block, align, first, data, stream, control, evict_ns;
    uint32_t rows, largest, board, form, schema_bytes;
    uint64_t parameters[2], schema_hash;
    uint8_t identity[16];
    char schema[3577];
    struct refusal refused; /* by `decode` */
};

struct ring {
    struct sizes is;
    uint8_t *stream, *control;
    int stream_fd, lock_fd;
};

/* A frame with this sequence begins here, or will begin here. */
struct place {
    uint64_t at, sequence;
};

/* Ends the process with a message. */
_Noreturn void fail(const char *format, ...);

/* Access. */
#define relaxed memory_order_relaxed
typedef _Atomic uint64_t word;
typedef _Atomic uint32_t half;

static inline uint64_t load(const word *from) { return atomic_load_explicit((word *)(uintptr_t)from, relaxed); }
static inline void store(word *to, uint64_t value) { atomic_store_explicit(to, value, relaxed); }
static inline void release(word *to, uint64_t value) { atomic_store_explicit(to, value, memory_order_release); }
static inline uint32_t load_half(const half *from) { return atomic_load_explicit((half *)(uintptr_t)from, relaxed); }
static inline void store_half(half *to, uint32_t value) { atomic_store_explicit(to, value, relaxed); }
static inline void release_half(half *to, uint32_t value) { atomic_store_explicit(to, value, memory_order_release); }
static inline void acquire_fence(void) { atomic_thread_fence(memory_order_acquire); }
static inline void release_fence(void) { atomic_thread_fence(memory_order_release); }
static inline void full_fence(void) { atomic_thread_fence(memory_order_seq_cst); }

static inline word *word_at(uint8_t *base, uint64_t offset) { return (word *)(void *)(base + offset); }
static inline half *half_at(uint8_t *base, uint64_t offset) { return (half *)(void *)(base + offset); }

static inline word *reserve_of(struct ring *r) { return word_at(r->stream, 4096); }
static inline word *limit_of(struct ring *r) { return word_at(r->stream, 4224); }
static inline word *epoch_of(struct ring *r) { return word_at(r->stream, 4352); }
static inline half *state_of(struct ring *r) { return half_at(r->stream, 4360); }
static inline word *index_of(struct ring *r, uint64_t block) {
    return word_at(r->stream, 8192 + 16 * (block % (r->is.capacity / r->is.block)));
}
static inline word *eviction_of(struct ring *r, uint32_t row) {
    return word_at(r->stream, 8192 + 16 * (r->is.capacity / r->is.block) + 8 * (uint64_t)row);
}
static inline word *data_at(struct ring *r, uint64_t position) {
    return word_at(r->stream, r->is.data + (position & (r->is.capacity - 1)));
}

/* Rows: offsets of the fields. */
enum { PARK = 4, POSITION = 8, SEQUENCE = 16, GENERATION = 24, PID = 32, EPOCH = 40, NAME = 48, LOST = 112, TIMES = 120 };
static inline word *row_word(struct ring *r, uint32_t row, int field) {
    return word_at(r->control, 4096 + 128 * (uint64_t)row + (uint64_t)field);
}
static inline half *row_half(struct ring *r, uint32_t row, int field) {
    return half_at(r->control, 4096 + 128 * (uint64_t)row + (uint64_t)field);
}

/* Numbers. */
uint64_t hash(const void *bytes, size_t count);
static inline uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
static inline int64_t ahead(uint64_t a, uint64_t b) { return (int64_t)(a - b); }
static inline uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }
static inline uint64_t frame(const struct ring *r, uint64_t bytes) { return up(8 + bytes, r->is.align); }
static inline uint64_t lap_end(const struct ring *r, uint64_t at) { return (at / r->is.capacity + 1) * r->is.capacity; }
static inline bool carries(uint64_t word, uint64_t sequence) { return word >> 32 == (sequence & 0xffffffff); }
static inline bool commits(uint64_t word, uint64_t sequence) {
    return carries(word, sequence) && (word & 0x7fffffff) != 0;
}

/* Descriptions and files. */
void layout(struct sizes *is);
void encode(const struct sizes *is, uint8_t page[4096]);
const char *decode(const uint8_t page[4096], struct sizes *is); /* NULL, or why it is refused */
/* Whether a text is the canonical one of a schema; the hash of what it is without hints, and the bytes of a message. */
bool read_schema(const char *text, size_t count, uint64_t *hash_without, uint64_t *bytes);
void open_ring(const char *path, bool writes, struct ring *r);
void close_ring(struct ring *r);
bool create_ring(const char *path, const struct sizes *wanted); /* false: the name is taken */
bool create_pair(const char *path, const struct sizes *wanted, const struct sizes *inside); /* with the ring `back`, or NULL */
/* What a form leaves to its creator. A capacity of 0 is the smallest. */
struct form_wanted {
    uint32_t form, rows;
    uint64_t capacity, parameters[2];
    const char *schema; /* of a value, or NULL */
};
bool create_form(const char *path, const struct form_wanted *wanted);

/* Locks. A lock that was not taken is NULL. */
enum { PRODUCER_BYTE = 0, REMOVER_BYTE = 1, ROW_BYTE = 16 };
void *lock_byte(struct ring *r, uint64_t byte);
void *take(struct ring *r, uint64_t byte); /* for a role: sees to removal */
void unlock(void *kept);
bool is_held(struct ring *r, uint64_t byte);

/* Bells. */
struct bell {
    half word, armed, may_park, unfenced;
};
static inline struct bell *data_bell(struct ring *r) { return (struct bell *)(void *)(r->control + 128); }
static inline struct bell *space_bell(struct ring *r) { return (struct bell *)(void *)(r->control + 256); }
int ring_now(struct bell *bell); /* how many slept */
int ring_if_armed(struct bell *bell);
void allow(struct bell *bell);
void quiet_data(struct ring *r);
/* Sleeps until it is rung, unless `ready`. */
void sleep_on(struct bell *bell, uint64_t limit_ns, bool (*ready)(void *), void *of);

/* Searching. */
enum step { NEXT, END, OVERTAKEN, DAMAGED };
struct seen_frame {
    uint64_t end, bytes;
    bool pad, gap;
};
/* The payload of a gap, unchecked. */
struct seen_gap {
    uint64_t first, next;
    uint32_t why;
};
bool overtaken(struct ring *r, uint64_t at);
bool decode_frame(struct ring *r, uint64_t at, uint64_t word, struct seen_frame *f); /* false: damage */
struct seen_gap read_gap(struct ring *r, uint64_t at, uint64_t word);
bool gap_follows(const struct ring *r, const struct seen_gap *gap, uint64_t sequence); /* false: damage */
enum step step(struct ring *r, struct place *at);
bool entry(struct ring *r, uint64_t block, struct place *found);
bool newest(struct ring *r, struct place *found);
bool oldest(struct ring *r, uint64_t floor, struct place *found);
bool confirmed(struct ring *r, uint64_t at, struct place *found);
enum start { OLDEST, LATEST, EXACTLY };
enum placed { FOUND, GONE, NOT_YET, LAPPED };
enum placed find(struct ring *r, enum start start, uint64_t sequence, uint64_t floor, struct place *found);

/* Rows. */
uint32_t choose_row(struct ring *r, void **kept);
bool read_name(struct ring *r, uint32_t row, char name[65]);
void write_name(struct ring *r, uint32_t row, const char *name);
bool has_cursor(struct ring *r, uint32_t row);

/* Called where a reader is most easily overtaken, if it is set: a test pauses there. */
extern void (*pause_here)(void);
static inline void may_pause(void) {
    if (pause_here) pause_here();
}

/* Producer. */
struct producer;
struct producer *produce(struct ring *r, bool sleeps);
struct producer *produce_with(struct ring *r, void *kept, bool sleeps); /* with the lock */
void publish(struct producer *p, const void *payload, uint32_t bytes);
bool begin_batch(struct producer *p, const void *payload, uint32_t bytes); /* false: no room at once */
bool add_to_batch(struct producer *p, const void *payload, uint32_t bytes);
void commit_batch(struct producer *p);
void give_batch_up(struct producer *p);
void skip_to(struct producer *p, uint64_t sequence, uint32_t why);
uint64_t next_of(const struct producer *p);
uint64_t woken_by(const struct producer *p);
void leave_producer(struct producer *p, bool closes);

/* Readers. */
enum received { MESSAGE, NOTHING, MISSED, OUT };
struct consumer;
struct consumer *consume(struct ring *r, enum start start, uint64_t sequence, const char *cursor, bool sleeps, uint64_t *missed);
/* MESSAGE: `*sequence`, `*bytes`, and the payload in `out`. MISSED: `*bytes` messages, or a gap of so many, goes on at
 * `*sequence`. OUT: expelled. */
enum received receive(struct consumer *c, uint8_t *out, uint64_t *sequence, uint64_t *bytes);
void give_back(struct consumer *c);
void wait_for_message(struct consumer *c, uint64_t limit_ns);
uint64_t next_for(const struct consumer *c);
void leave_consumer(struct consumer *c);
/* The lock byte of a name. */
uint64_t name_byte(const char *name);
/* Where the next owner of the cursor in a row goes on. */
struct place resume(struct ring *r, uint32_t row, uint64_t wanted);

struct observer;
struct observer *observe(struct ring *r, enum start start, uint64_t sequence, bool from_newest, bool sleeps);
enum received look(struct observer *o, uint8_t *out, uint64_t *sequence, uint64_t *bytes);
void wait_for_change(struct observer *o, uint64_t limit_ns);
uint64_t next_seen(const struct observer *o);
void leave_observer(struct observer *o);

/* Stamps: the bytes before each message, and a stamp that a consumer has received. */
static inline uint64_t stamp_bytes(const struct ring *r) { return r->is.features & STAMPS ? 8 : 0; }
static inline uint64_t longest(const struct ring *r) { return r->is.largest - stamp_bytes(r); }
uint64_t now_ns(void);
void count_stamp(struct ring *r, uint32_t row, uint64_t stamp);
void clear_stamps(struct ring *r, uint32_t row);
uint32_t row_of(const struct consumer *c);

/* Words of the board. */
static inline word *board_word(struct ring *r, uint64_t at) {
    if (at >= r->is.board) fail("the board has no word %llu", (unsigned long long)at);
    return word_at(r->control, 4096 + 128 * (uint64_t)r->is.rows + 8 * at);
}

/* Values: the version of a cell, and the value in `out`, which has room for the next multiple of 8 bytes. A caller that sets
 * one is the writer, or has the lock. */
uint64_t read_cell(struct ring *r, uint64_t cell, uint64_t bytes, uint8_t *out);
uint64_t set_cell(struct ring *r, uint64_t cell, uint64_t bytes, const uint8_t *value);
void *attach_writer(struct ring *r);
void leave_writer(struct ring *r, void *kept);

/* A row for a reader that sleeps, and nothing else. */
struct seat {
    struct ring *r;
    uint32_t row;
    void *kept, *kept_name;
    bool slept;
};
struct seat take_seat(struct ring *r);
struct seat join_row(struct ring *r); /* of a receiver: state 1 */
void sleep_in(struct seat *seat, uint64_t limit_ns, bool (*ready)(void *), void *of);
void leave_seat(struct seat *seat);

/* Permits. */
struct seat join_permits(struct ring *r);
void acquire(struct seat *seat, uint32_t many, uint32_t *permits);
void give(struct seat *seat, uint32_t permit, bool retire);
bool add_permit(struct seat *seat);
void leave_permits(struct seat *seat);

/* Signals. */
struct listener {
    struct seat seat;
    uint64_t generation, mine[64], all[64];
};
void listen(struct ring *r, const char *name, struct listener *l);
bool notice(struct listener *l, uint32_t *signal, uint64_t *count);
void leave_listener(struct listener *l);
void send_to_all(struct ring *r, uint32_t signal);
bool find_listener(struct ring *r, const char *name, uint32_t *row, uint64_t *generation);
bool send_to(struct ring *r, uint32_t row, uint64_t generation, uint32_t signal); /* false: it is gone */

/* Pacts: the board and the bells are those of the outer ring. */
struct pact {
    struct ring *r;
    uint32_t side, token, other;
    void *kept;
};
void begin_pact(struct ring *outer, uint32_t side, struct pact *p);
/* Until both have accepted; `incoming` is attached to at its end. NULL: this side receives nothing. */
struct consumer *meet(struct pact *p, struct ring *incoming);
bool is_broken(struct pact *p);
void leave_pact(struct pact *p);

/* Queues. */
struct sender;
struct sender *begin_sender(struct ring *queue, const char *path, uint64_t priority);
void send(struct sender *s, const void *message, uint32_t bytes);
void leave_sender(struct sender *s);
struct receiver;
struct receiver *begin_receiver(struct ring *queue, const char *path);
bool take_message(struct receiver *v, const uint8_t **message, uint64_t *bytes); /* false: none for some milliseconds */
bool finish_message(struct receiver *v); /* false: the lease was over, and the message is not done */
uint64_t times_taken(const struct receiver *v); /* of the message that was taken last, this time included */
void leave_receiver(struct receiver *v);

/* The commands of the forms; false if the verb is none of them. Contents of messages are in main.c. */
bool form_command(const char *verb, int count, char **arguments);
uint64_t argument(const char *text);
uint32_t size_of(uint64_t sequence, uint64_t most);
void fill(uint64_t sequence, uint8_t *out, uint64_t count);
void say(const char *line);
void pause_for(uint64_t nanoseconds);

/* Prints what must be read of a vector. */
void read_vector(const char *path);

/* The end, of readers: whether the producer closed, and whether it died. */
bool is_closed(struct ring *r);
bool is_dead(struct ring *r);

#endif
