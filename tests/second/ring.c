/* Files, locks, bells and searching. */
#include "second.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void (*pause_here)(void);

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "second: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

uint64_t hash(const void *bytes, size_t count) {
    uint64_t value = 0xcbf29ce484222325;
    for (const uint8_t *at = bytes; count--; at++) value = (value ^ *at) * 0x100000001b3;
    return value;
}

/* The description. */

static uint64_t number(const uint8_t *page, size_t at, size_t bytes) {
    uint64_t value = 0;
    memcpy(&value, page + at, bytes);
    return value;
}

static void put(uint8_t *page, size_t at, size_t bytes, uint64_t value) { memcpy(page + at, &value, bytes); }

/* Fills in what follows from the other sizes. */
void layout(struct sizes *is) {
    uint64_t page = is->features & HUGE_PAGES ? 1 << 21 : 4096;
    is->largest = is->capacity / 4 < 0x7ffffffe ? (uint32_t)(is->capacity / 4) : 0x7ffffffe;
    is->data = up(8192 + 16 * (is->capacity / is->block) + 8 * (uint64_t)is->rows, page);
    is->stream = up(is->data + is->capacity, page);
    is->control = up(4096 + 128 * (uint64_t)is->rows + 8 * (uint64_t)is->board, page);
}

enum { VERSION = 3, SCHEMA = 512, LONGEST_SCHEMA = 3576, SHORTEST_FILE = 25, LONGEST_FILE = 1048887 };

void encode(const struct sizes *is, uint8_t page[4096]) {
    memset(page, 0, 4096);
    memcpy(page, "SLIPRING", 8);
    put(page, 8, 4, VERSION);
    put(page, 12, 4, 0x01020304);
    put(page, 16, 8, is->features);
    put(page, 24, 8, is->producer_features);
    put(page, 40, 8, is->capacity);
    put(page, 48, 8, is->block);
    put(page, 56, 4, is->align);
    put(page, 60, 4, is->rows);
    put(page, 64, 4, is->largest);
    put(page, 68, 4, is->board);
    put(page, 72, 8, is->first);
    put(page, 80, 8, 8192);
    put(page, 88, 8, is->data);
    put(page, 96, 8, is->stream);
    put(page, 104, 8, is->control);
    memcpy(page + 112, is->identity, 16);
    put(page, 152, 8, is->schema_hash);
    put(page, 160, 4, is->schema_bytes);
    put(page, 164, 4, is->form);
    put(page, 168, 8, is->evict_ns);
    put(page, 176, 8, is->parameters[0]);
    put(page, 184, 8, is->parameters[1]);
    memcpy(page + 192, "second 1", 8);
    memcpy(page + SCHEMA, is->schema, is->schema_bytes);
    put(page, 4088, 8, hash(page, 4088));
}

static bool power_of_two(uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

static bool zero(const uint8_t *page, size_t from, size_t to) {
    while (from < to && page[from] == 0) from++;
    return from == to;
}

/* A text without control characters, filled up with zero bytes. Does not check that it is UTF-8. */
static bool text(const uint8_t *page, size_t at, size_t width) {
    size_t bytes = 0;
    while (bytes < width && page[at + bytes] >= 0x20 && page[at + bytes] != 0x7f) bytes++;
    return zero(page, at + bytes, at + width);
}

/* Neither what was found nor what was expected is a number. */
static const char *broken(struct sizes *is, const char *rule) {
    is->refused = (struct refusal){.rule = rule};
    return rule;
}

/* A number was found where a range is allowed. */
static const char *outside(struct sizes *is, const char *rule, uint64_t found) {
    is->refused = (struct refusal){.rule = rule, .has_found = true, .found = found};
    return rule;
}

/* Another number follows from the other fields. */
static const char *differs(struct sizes *is, const char *rule, uint64_t found, uint64_t expected) {
    is->refused = (struct refusal){rule, true, true, found, expected};
    return rule;
}

static const char *decode_schema(const uint8_t page[4096], struct sizes *is) {
    uint64_t without = 0, bytes;
    is->schema_bytes = (uint32_t)number(page, 160, 4);
    is->schema_hash = number(page, 152, 8);
    if (is->schema_bytes > LONGEST_SCHEMA) return differs(is, "schema", is->schema_bytes, LONGEST_SCHEMA);
    memcpy(is->schema, page + SCHEMA, is->schema_bytes);
    if (!zero(page, SCHEMA + is->schema_bytes, 4088)) return broken(is, "schema");
    if (is->schema_bytes && !read_schema(is->schema, is->schema_bytes, &without, &bytes)) return broken(is, "schema");
    if (is->schema_hash != without) return differs(is, "schema", is->schema_hash, without);
    return NULL;
}

const char *decode(const uint8_t page[4096], struct sizes *is) {
    memset(is, 0, sizeof *is);
    if (memcmp(page, "SLIPRING", 8) != 0) return broken(is, "magic");
    if (number(page, 12, 4) == 0x04030201) return broken(is, "byte order");
    if (number(page, 8, 4) != VERSION) return differs(is, "version", number(page, 8, 4), VERSION);
    if (number(page, 12, 4) != 0x01020304) return broken(is, "byte order");
    if (number(page, 4088, 8) != hash(page, 4088)) return differs(is, "checksum", number(page, 4088, 8), hash(page, 4088));
    is->features = number(page, 16, 8);
    is->producer_features = number(page, 24, 8);
    uint64_t unknown = is->features & ~(uint64_t)(HUGE_PAGES | EVICTS | FORM | STAMPS);
    if (unknown) return differs(is, "features", unknown, 0);
    is->capacity = number(page, 40, 8);
    is->block = number(page, 48, 8);
    is->align = number(page, 56, 4);
    is->rows = (uint32_t)number(page, 60, 4);
    is->board = (uint32_t)number(page, 68, 4);
    is->first = number(page, 72, 8);
    is->form = (uint32_t)number(page, 164, 4);
    is->evict_ns = number(page, 168, 8);
    is->parameters[0] = number(page, 176, 8);
    is->parameters[1] = number(page, 184, 8);
    memcpy(is->identity, page + 112, 16);
    if (is->form > 9) return outside(is, "form", is->form);
    if (!power_of_two(is->capacity) || is->capacity > (uint64_t)1 << 40 || is->capacity < 4096)
        return outside(is, "capacity", is->capacity);
    if (is->align != 8 && is->align != 64) return outside(is, "alignment", is->align);
    uint64_t block = is->capacity / 8 < 4096 ? is->capacity / 8 : 4096;
    if (is->block != block) return differs(is, "block", is->block, block);
    if (is->rows < 1 || is->rows > 1024) return outside(is, "rows", is->rows);
    if (is->board > 1 << 20) return outside(is, "board", is->board);
    bool stamps = is->features & STAMPS, evicts = is->features & EVICTS, form = is->features & FORM;
    if (form != (is->form != 0)) return differs(is, "form", form, is->form != 0);
    uint32_t words = stamps ? 608 * is->rows : 0;
    if (is->form == 0 && is->board != words) return differs(is, "board", is->board, words);
    if (is->form != 0 && stamps) return differs(is, "stamp", stamps, 0);
    for (int at = 0; at < 2; at++)
        if (is->form == 0 && is->parameters[at]) return differs(is, "parameter", is->parameters[at], 0);
    if (evicts != (is->evict_ns != 0)) return differs(is, "eviction", evicts, is->evict_ns != 0);
    layout(is);
    if (number(page, 64, 4) != is->largest) return differs(is, "largest message", number(page, 64, 4), is->largest);
    if (number(page, 80, 8) != 8192) return differs(is, "index offset", number(page, 80, 8), 8192);
    if (number(page, 88, 8) != is->data) return differs(is, "data offset", number(page, 88, 8), is->data);
    if (number(page, 96, 8) != is->stream) return differs(is, "stream size", number(page, 96, 8), is->stream);
    if (number(page, 104, 8) != is->control) return differs(is, "control size", number(page, 104, 8), is->control);
    const char *schema = decode_schema(page, is);
    if (schema) return schema;
    if (!text(page, 192, 32)) return broken(is, "maker");
    if (!text(page, 248, 64)) return broken(is, "host");
    if (zero(page, 224, 240) && !zero(page, 240, 312)) return broken(is, "origin");
    uint64_t file = number(page, 320, 4), file_hash = number(page, 312, 8);
    if (file == 0 && file_hash != 0) return differs(is, "schema file", file_hash, 0);
    if (file != 0 && (file < SHORTEST_FILE || file > LONGEST_FILE)) return differs(is, "schema file", file, LONGEST_FILE);
    if (!zero(page, 324, 416)) return broken(is, "reserved");
    return NULL;
}

static int open_file(int directory, const char *name, int flags) {
    int file = openat(directory, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) fail("open %s: %s", name, strerror(errno));
    return file;
}

static uint8_t *map_file(int file, uint64_t bytes, bool writes) {
    struct stat stat;
    if (fstat(file, &stat) != 0 || (uint64_t)stat.st_size < bytes) fail("a file is too short");
    int protection = PROT_READ | (writes ? PROT_WRITE : 0);
    void *mapped = mmap(NULL, bytes, protection, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) fail("map: %s", strerror(errno));
    return mapped;
}

void open_ring(const char *path, bool writes, struct ring *r) {
    int directory = open(path, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
    if (directory < 0) fail("open %s: %s", path, strerror(errno));
    r->stream_fd = open_file(directory, "stream", writes ? O_RDWR : O_RDONLY);
    int control = open_file(directory, "control", O_RDWR);
    r->lock_fd = open_file(directory, "lock", O_RDWR);
    uint8_t page[4096];
    if (pread(r->stream_fd, page, sizeof page, 0) != sizeof page) fail("stream is too short");
    const char *why = decode(page, &r->is);
    if (why) fail("refused: %s", why);
    r->stream = map_file(r->stream_fd, r->is.stream, writes);
    r->control = map_file(control, r->is.control, true);
    if (memcmp(r->control, r->is.identity, 16) != 0) fail("control is of another ring");
    close(control);
    close(directory);
}

void close_ring(struct ring *r) {
    munmap(r->stream, r->is.stream);
    munmap(r->control, r->is.control);
    close(r->stream_fd);
    close(r->lock_fd);
}

/* Locks. */

static bool ofd(int file, int command, uint64_t byte, short *found) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    if (fcntl(file, command, &lock) == 0) {
        *found = lock.l_type;
        return true;
    }
    if (errno != EAGAIN && errno != EACCES) fail("lock: %s", strerror(errno));
    return false;
}

void *lock_byte(struct ring *r, uint64_t byte) {
    char path[64];
    short type;
    snprintf(path, sizeof path, "/proc/self/fd/%d", r->lock_fd);
    int own = open(path, O_RDWR | O_CLOEXEC);
    if (own < 0) fail("open lock: %s", strerror(errno));
    void *kept = NULL;
    if (ofd(own, F_OFD_SETLK, byte, &type)) {
        /* The mapping keeps the description and so the lock; a child does not inherit it. */
        kept = mmap(NULL, 4096, PROT_NONE, MAP_SHARED, own, 0);
        if (kept == MAP_FAILED || madvise(kept, 4096, MADV_DONTFORK) != 0) fail("keep a lock: %s", strerror(errno));
    }
    close(own);
    return kept;
}

void unlock(void *kept) {
    if (kept) munmap(kept, 4096);
}

bool is_held(struct ring *r, uint64_t byte) {
    short type = F_UNLCK;
    ofd(r->lock_fd, F_OFD_GETLK, byte, &type);
    return type == F_WRLCK;
}

void *take(struct ring *r, uint64_t byte) {
    void *kept = lock_byte(r, byte);
    if (!kept) return NULL;
    for (int waited = 0; waited < 1000 && is_held(r, REMOVER_BYTE); waited++) usleep(1000);
    struct stat stat;
    if (fstat(r->stream_fd, &stat) != 0 || stat.st_nlink == 0) fail("the ring was removed");
    return kept;
}

/* Bells. */

static long futex(half *word, int operation, uint32_t value, const struct timespec *limit) {
    return syscall(SYS_futex, word, operation, value, limit, NULL, 0);
}

int ring_now(struct bell *bell) {
    store_half(&bell->armed, 0);
    atomic_fetch_add_explicit(&bell->word, 1, memory_order_release); /* wake disarm */
    long woken = futex(&bell->word, FUTEX_WAKE, INT32_MAX, NULL);
    return woken > 0 ? (int)woken : 0;
}

int ring_if_armed(struct bell *bell) {
    if (load_half(&bell->may_park) == 0) return 0;
    full_fence(); /* wake ring */
    return load_half(&bell->armed) != 0 ? ring_now(bell) : 0;
}

void sleep_on(struct bell *bell, uint64_t limit_ns, bool (*ready)(void *), void *of) {
    uint32_t seen = atomic_load_explicit(&bell->word, memory_order_acquire); /* wake arm */
    store_half(&bell->armed, 1);
    full_fence(); /* wake sleep */
    if (load_half(&bell->unfenced) != 0 && syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) != 0 &&
        limit_ns > 1000000)
        limit_ns = 1000000;
    if (ready(of)) return;
    struct timespec limit = {.tv_sec = (time_t)(limit_ns / 1000000000), .tv_nsec = (long)(limit_ns % 1000000000)};
    futex(&bell->word, FUTEX_WAIT, seen, &limit);
}

void allow(struct bell *bell) {
    do {
        store_half(&bell->may_park, 1);
        full_fence(); /* sleepers allow */
    } while (load_half(&bell->may_park) != 1);
}

void quiet_data(struct ring *r) {
    struct bell *bell = data_bell(r);
    store_half(&bell->may_park, 0);
    full_fence(); /* sleepers quiet */
    for (uint32_t row = 0; row < r->is.rows; row++) {
        uint32_t state = load_half(row_half(r, row, 0));
        if ((state == CONSUMER || state == OBSERVER) && load_half(row_half(r, row, PARK)) != 0 &&
            is_held(r, ROW_BYTE + row)) {
            store_half(&bell->may_park, 1);
            return;
        }
    }
}

/* Searching. */

bool overtaken(struct ring *r, uint64_t at) { return load(reserve_of(r)) > at + r->is.capacity; }

bool decode_frame(struct ring *r, uint64_t at, uint64_t word, struct seen_frame *f) {
    f->bytes = (word & 0x7fffffff) - 1;
    f->pad = word >> 31 & 1;
    f->gap = f->pad && at + 8 + f->bytes != lap_end(r, at);
    if (f->gap) {
        f->pad = false;
        f->end = at + frame(r, 16);
        return f->bytes == 16 && f->end + 8 <= lap_end(r, at);
    }
    if (f->pad) {
        f->end = lap_end(r, at);
        return f->bytes < frame(r, r->is.largest);
    }
    f->end = at + frame(r, f->bytes);
    return f->bytes <= r->is.largest && f->end + 8 <= lap_end(r, at);
}

struct seen_gap read_gap(struct ring *r, uint64_t at, uint64_t word) {
    uint64_t next = load(data_at(r, at + 8)), rest = load(data_at(r, at + 16));
    return (struct seen_gap){.first = rest >> 32 << 32 | word >> 32, .next = next, .why = (uint32_t)rest};
}

bool gap_follows(const struct ring *r, const struct seen_gap *gap, uint64_t sequence) {
    uint64_t from = sequence - r->is.first, to = gap->next - r->is.first;
    return gap->first == sequence && from < to && to <= (uint64_t)1 << 62;
}

enum step step(struct ring *r, struct place *at) {
    struct seen_frame f;
    uint64_t word = load(data_at(r, at->at));
    acquire_fence(); /* publish step */
    if (overtaken(r, at->at)) return OVERTAKEN;
    if (!commits(word, at->sequence)) return END;
    if (!decode_frame(r, at->at, word, &f)) return DAMAGED;
    if (f.gap) {
        struct seen_gap gap = read_gap(r, at->at, word);
        acquire_fence(); /* overwrite step */
        if (overtaken(r, at->at)) return OVERTAKEN;
        if (!gap_follows(r, &gap, at->sequence)) return DAMAGED;
        at->sequence = gap.next - 1;
    }
    at->at = f.end;
    at->sequence += !f.pad;
    return NEXT;
}

bool entry(struct ring *r, uint64_t block, struct place *found) {
    word *at = index_of(r, block);
    found->at = load(at);
    acquire_fence(); /* entry index */
    found->sequence = load(at + 1);
    acquire_fence(); /* overwrite index */
    return found->at / r->is.block == block && found->at % r->is.align == 0 && !overtaken(r, found->at);
}

static void blocks(struct ring *r, uint64_t *first, uint64_t *last) {
    *last = less(load(reserve_of(r)), 1) / r->is.block;
    *first = less(*last + 1, r->is.capacity / r->is.block);
}

bool newest(struct ring *r, struct place *found) {
    for (int attempt = 0; attempt < 8; attempt++) {
        uint64_t first, last;
        blocks(r, &first, &last);
        for (uint64_t block = last + 1; block-- > first;)
            if (entry(r, block, found)) return true;
    }
    return false;
}

bool oldest(struct ring *r, uint64_t floor, struct place *found) {
    for (int attempt = 0; attempt < 8; attempt++) {
        uint64_t first, last;
        blocks(r, &first, &last);
        for (uint64_t block = first; block <= last; block++)
            if (entry(r, block, found) && found->at >= floor) return true;
    }
    return newest(r, found);
}

/* The sequence of the message at `at`, from what lies between there and `to`, to be confirmed by a walk. */
static bool sequence_at(struct ring *r, uint64_t at, const struct place *to, uint64_t *sequence) {
    uint32_t low = (uint32_t)(load(data_at(r, at)) >> 32), messages = 0;
    *sequence = to->sequence + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)to->sequence);
    while (at < to->at) {
        struct seen_frame f;
        uint64_t word = load(data_at(r, at));
        acquire_fence(); /* publish step */
        if (!commits(word, low + messages) || !decode_frame(r, at, word, &f)) return false;
        if (f.gap) {
            *sequence = read_gap(r, at, word).first - messages;
            return true;
        }
        messages += !f.pad;
        at = f.end;
    }
    return true;
}

bool confirmed(struct ring *r, uint64_t at, struct place *found) {
    uint64_t first, last;
    struct place from, to;
    if (at % r->is.align != 0 || overtaken(r, at)) return false;
    blocks(r, &first, &last);
    for (uint64_t block = last + 1; block-- > first;) {
        if (block > at / r->is.block || !entry(r, block, &from) || from.at > at) continue;
        while (from.at < at)
            if (step(r, &from) != NEXT) return false;
        *found = from;
        return from.at == at;
    }
    for (uint64_t block = first; block <= last; block++) {
        if (!entry(r, block, &to) || to.at <= at) continue;
        from.at = at;
        if (!sequence_at(r, at, &to, &from.sequence)) return false;
        *found = from;
        while (from.at < to.at)
            if (step(r, &from) != NEXT) return false;
        return from.at == to.at && from.sequence == to.sequence;
    }
    return false;
}

/* The farthest place at or behind `floor`, and not ahead of a sequence, where a consumer or a cursor stands. */
static bool held(struct ring *r, uint64_t sequence, uint64_t floor, struct place *found) {
    bool any = false;
    for (uint32_t row = 0; row < r->is.rows; row++) {
        struct place at;
        uint32_t state = load_half(row_half(r, row, 0));
        uint64_t position = load(row_word(r, row, POSITION));
        if ((state != CONSUMER && state != AWAY) || position < floor || (any && position <= found->at)) continue;
        if (!confirmed(r, position, &at) || ahead(at.sequence, sequence) > 0) continue;
        *found = at;
        any = true;
    }
    return any;
}

enum placed find(struct ring *r, enum start start, uint64_t sequence, uint64_t floor, struct place *found) {
    for (int attempt = 0; attempt < 8; attempt++) {
        struct place at;
        if (!(start == LATEST ? newest(r, &at) : oldest(r, floor, &at))) continue;
        if (start == EXACTLY) {
            struct place nearer;
            uint64_t first, last;
            bool indexed = ahead(at.sequence, sequence) <= 0;
            if (!indexed && !held(r, sequence, floor, &at)) {
                *found = at;
                return GONE;
            }
            blocks(r, &first, &last);
            for (uint64_t block = last + 1; indexed && block-- > first;)
                if (entry(r, block, &nearer) && nearer.at >= floor && ahead(nearer.sequence, sequence) <= 0) {
                    at = nearer;
                    break;
                }
        }
        uint64_t until = load(reserve_of(r)), farthest = at.at + r->is.capacity;
        if (until > farthest) until = farthest;
        while (at.at <= farthest) {
            *found = at;
            if (start == OLDEST && at.at >= floor) return FOUND;
            if (start == LATEST && at.at >= until) return FOUND;
            /* Ahead of it behind a gap: it does not exist. */
            if (start == EXACTLY && ahead(at.sequence, sequence) >= 0) return FOUND;
            enum step stepped = step(r, &at);
            if (stepped == DAMAGED) fail("damaged at position %llu", (unsigned long long)at.at);
            if (stepped == END) return start == EXACTLY ? NOT_YET : FOUND;
            if (stepped == OVERTAKEN) break;
        }
    }
    return LAPPED;
}

/* Rows. */

static void name_words(struct ring *r, uint32_t row, uint64_t words[8]) {
    memset(words, 0, 64);
    words[0] = load(row_word(r, row, NAME));
    if (words[0] == 0) return;
    acquire_fence(); /* row first_word */
    for (int at = 1; at < 8; at++) words[at] = load(row_word(r, row, NAME + 8 * at));
    acquire_fence(); /* row last_word */
}

bool read_name(struct ring *r, uint32_t row, char name[65]) {
    uint64_t seen[8], again[8];
    name_words(r, row, seen);
    for (int attempt = 0; attempt < 8; attempt++) {
        name_words(r, row, again);
        if (memcmp(seen, again, 64) == 0) {
            memcpy(name, seen, 64);
            name[64] = 0;
            return name[0] != 0;
        }
        memcpy(seen, again, 64);
    }
    return false;
}

void write_name(struct ring *r, uint32_t row, const char *name) {
    uint64_t words[8] = {0};
    memcpy(words, name, strlen(name));
    store(row_word(r, row, NAME), 0);
    release_fence(); /* row rename */
    for (int at = 1; at < 8; at++) store(row_word(r, row, NAME + 8 * at), words[at]);
    release(row_word(r, row, NAME), words[0]); /* row name */
}

bool has_cursor(struct ring *r, uint32_t row) {
    char name[65];
    uint32_t state = load_half(row_half(r, row, 0));
    return (state == CONSUMER || state == AWAY) && read_name(r, row, name);
}

uint32_t choose_row(struct ring *r, void **kept) {
    for (uint32_t row = 0; row < r->is.rows; row++) {
        if (has_cursor(r, row) || load(eviction_of(r, row)) == EXPELLED) continue;
        *kept = take(r, ROW_BYTE + row);
        if (!*kept) continue;
        if (!has_cursor(r, row) && load(eviction_of(r, row)) != EXPELLED) return row;
        unlock(*kept);
    }
    fail("no row is free");
}

bool is_closed(struct ring *r) {
    uint32_t state = load_half(state_of(r));
    acquire_fence(); /* producer state */
    return state == CLOSED;
}

bool is_dead(struct ring *r) {
    uint32_t state = load_half(state_of(r));
    acquire_fence(); /* producer state */
    return state == ATTACHED && !is_held(r, PRODUCER_BYTE);
}
