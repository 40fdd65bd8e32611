/* The vectors of docs/vectors: reads the text of an object's files, and says what must be read of them, in the same form
 * as what is stored beside it. No process has a lock of them. */
#include "second.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
    char path[64];
    uint64_t bytes;
    uint8_t *at;
};

static struct file files[64];
static size_t count_files;

static void read_files(const char *path) {
    char line[256];
    FILE *text = fopen(path, "r");
    if (!text) fail("open %s", path);
    while (fgets(line, sizeof line, text)) {
        unsigned long long number;
        struct file *last = &files[count_files];
        if (sscanf(line, "file %63s %llu", last->path, &number) == 2) {
            if (++count_files == sizeof files / sizeof *files) fail("too many files");
            last->bytes = number;
            last->at = calloc(1, number + 8);
            continue;
        }
        char *rest;
        uint64_t at = strtoull(line, &rest, 16);
        last--;
        for (; *rest && *rest != '\n'; rest += *rest == ' ' ? 1 : 2) {
            unsigned byte;
            if (*rest == ' ') continue;
            if (count_files == 0 || sscanf(rest, "%2x", &byte) != 1 || at >= last->bytes) fail("no line of a vector: %s", line);
            last->at[at++] = (uint8_t)byte;
        }
    }
    fclose(text);
}

static struct file *find_file(const char *directory, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "%s%s%s", directory, *directory ? "/" : "", name);
    for (size_t at = 0; at < count_files; at++)
        if (strcmp(files[at].path, path) == 0) return &files[at];
    return NULL;
}

/* The ring in a directory of the object; false if its description is refused. */
static bool open_vector(const char *directory, struct ring *r) {
    struct file *stream = find_file(directory, "stream"), *control = find_file(directory, "control");
    if (!stream || !control || stream->bytes < 4096) fail("no ring in %s", directory);
    if (decode(stream->at, &r->is)) return false;
    if (stream->bytes < r->is.stream || control->bytes < r->is.control) fail("a file is too short");
    if (memcmp(control->at, r->is.identity, 16) != 0) fail("control is of another ring");
    r->stream = stream->at;
    r->control = control->at;
    r->stream_fd = r->lock_fd = -1;
    return true;
}

static uint64_t board(struct ring *r, uint64_t at) {
    if (at >= r->is.board) fail("the board has no word %llu", (unsigned long long)at);
    return load(word_at(r->control, 4096 + 128 * (uint64_t)r->is.rows + 8 * at));
}

/* What is printed. */

static bool first_member, first_item;

static void member(const char *name) {
    printf(first_member ? "\n  \"%s\": " : ",\n  \"%s\": ", name);
    first_member = false;
}

static void begin_list(const char *name) {
    member(name);
    printf("[");
    first_item = true;
}

static void item(void) {
    printf(first_item ? "\n    " : ",\n    ");
    first_item = false;
}

static void end_list(void) { printf(first_item ? "]" : "\n  ]"); }

static void field(const char *name, uint64_t value) { printf("\"%s\": %llu", name, (unsigned long long)value); }

static void hexadecimal(const uint8_t *bytes, uint64_t count) {
    printf("\"");
    while (count--) printf("%02x", *bytes++);
    printf("\"");
}

/* The bytes of a payload. */
static void payload(struct ring *r, uint64_t at, uint64_t count) {
    uint8_t *bytes = malloc(count + 8);
    for (uint64_t part = 0; part < count; part += 8) {
        uint64_t value = load(data_at(r, at + part));
        memcpy(bytes + part, &value, 8);
    }
    hexadecimal(bytes, count);
    free(bytes);
}

static void description(struct ring *r) {
    static const char *names[] = {"ring", "queue", "lane", "mailbox", "link", "pipe", "latest", "shared", "semaphore", "signals"};
    const struct sizes *is = &r->is;
    member("form");
    printf("\"%s\"", names[is->form]);
    member("description");
    printf("{");
    field("capacity", is->capacity), printf(", ");
    field("alignment", is->align), printf(", ");
    field("rows", is->rows), printf(", ");
    field("first", is->first), printf(", ");
    field("board", is->board), printf(", ");
    printf("\"parameters\": [%llu, %llu]}", (unsigned long long)is->parameters[0], (unsigned long long)is->parameters[1]);
    if (is->schema_bytes) {
        member("schema");
        printf("{\"text\": \"%.*s\", \"hash\": \"%016llx\"}", (int)is->schema_bytes, is->schema, (unsigned long long)is->schema_hash);
    }
}

static uint64_t number_at(const uint8_t *bytes, size_t at, size_t count) {
    uint64_t value = 0;
    memcpy(&value, bytes + at, count);
    return value;
}

static void schema_file(struct ring *r) {
    uint64_t bytes = number_at(r->stream, 320, 4);
    if (bytes == 0) return;
    struct file *file = find_file("", "schema");
    if (!file || file->bytes != bytes || hash(file->at, bytes) != number_at(r->stream, 312, 8)) fail("another schema file");
    uint64_t kind = number_at(file->at, 8, 4), name = number_at(file->at, 12, 4), schema = number_at(file->at, 16, 4);
    if (memcmp(file->at, "SLIPSCHM", 8) != 0 || number_at(file->at, 20, 4) != 0 || 24 + kind + name + schema != bytes)
        fail("no schema file");
    member("schema_file");
    printf("{\"kind\": \"%.*s\", \"name\": \"%.*s\", \"bytes\": ", (int)kind, (char *)file->at + 24, (int)name,
           (char *)file->at + 24 + kind);
    hexadecimal(file->at + 24 + kind + name, schema);
    printf("}");
}

static void origin(struct ring *r) {
    uint64_t low = number_at(r->stream, 224, 8), high = number_at(r->stream, 232, 8);
    if (low == 0 && high == 0) return;
    member("origin");
    printf("{\"identity\": \"%016llx%016llx\", ", (unsigned long long)high, (unsigned long long)low);
    field("epoch", number_at(r->stream, 240, 8));
    printf(", \"host\": \"%.64s\"}", (char *)r->stream + 248);
}

/* Calls `seen` for each frame that is no pad, from a place to the end. */
static void walk(struct ring *r, struct place at, void (*seen)(struct ring *, struct place, const struct seen_frame *)) {
    for (;;) {
        struct place next = at;
        enum step stepped = step(r, &next);
        if (stepped == END) return;
        if (stepped != NEXT) fail("damaged at %llu", (unsigned long long)at.at);
        struct seen_frame f;
        decode_frame(r, at.at, load(data_at(r, at.at)), &f);
        if (!f.pad) seen(r, at, &f);
        at = next;
    }
}

static void one_message(struct ring *r, struct place at, const struct seen_frame *f) {
    printf("{");
    if (f->gap) {
        struct seen_gap gap = read_gap(r, at.at, load(data_at(r, at.at)));
        field("gap", gap.first), printf(", ");
        field("next", gap.next), printf(", ");
        field("why", gap.why);
    } else {
        uint64_t skip = r->is.features & STAMPS ? 8 : 0;
        field("sequence", at.sequence), printf(", ");
        if (skip) field("stamp", load(data_at(r, at.at + 8))), printf(", ");
        printf("\"bytes\": ");
        payload(r, at.at + 8 + skip, f->bytes - skip);
    }
    printf("}");
}

static void message_item(struct ring *r, struct place at, const struct seen_frame *f) {
    item();
    one_message(r, at, f);
}

static void message_inside(struct ring *r, struct place at, const struct seen_frame *f) {
    if (!first_item) printf(", ");
    first_item = false;
    one_message(r, at, f);
}

static void ring(struct ring *r) {
    struct place from, end;
    uint64_t epoch = load(epoch_of(r));
    uint32_t state = load_half(state_of(r));
    schema_file(r);
    origin(r);
    member("producer");
    printf("{\"state\": \"%s\", ", state == CLOSED ? "closed" : state == ATTACHED ? "died" : epoch ? "left" : "none");
    field("epoch", epoch), printf(", ");
    field("began", epoch ? load(epoch_of(r) + 2 + epoch % 2) : 0);
    printf("}");
    if (!oldest(r, 0, &from) || find(r, LATEST, 0, 0, &end) != FOUND) fail("the index is damaged");
    member("next");
    printf("{");
    field("sequence", end.sequence), printf(", ");
    field("position", end.at), printf("}");
    member("oldest");
    printf("%llu", (unsigned long long)from.sequence);
    begin_list("read");
    walk(r, from, message_item);
    end_list();
    begin_list("cursors");
    for (uint32_t row = 0; row < r->is.rows; row++) {
        char name[65];
        if (!has_cursor(r, row) || !read_name(r, row, name)) continue;
        uint64_t wanted = load(row_word(r, row, SEQUENCE));
        item();
        printf("{\"name\": \"%s\", \"state\": \"%s\", ", name, load_half(row_half(r, row, 0)) == AWAY ? "kept" : "consumer");
        field("next", wanted), printf(", ");
        field("begins", resume(r, row, wanted).sequence);
        printf("}");
    }
    end_list();
}

/* Queues. */

static struct {
    uint64_t priority, number;
    struct ring r;
    struct place from;
} lanes[16];

static uint64_t take_word(struct ring *lane, uint64_t sequence) {
    uint64_t depth = (uint32_t)lane->is.parameters[0], number = sequence - lane->is.first;
    uint64_t word = board(lane, 16 + number % depth);
    return word >> 24 == number / depth ? word & 0xffffff : UINT64_MAX;
}

static void lane_message(struct ring *lane, struct place at, const struct seen_frame *f) {
    static const char *states[] = {"open", "taken", "returned"};
    uint64_t word = take_word(lane, at.sequence);
    (void)f;
    if (word == UINT64_MAX) return; /* done */
    if (!first_item) printf(", ");
    first_item = false;
    printf("{");
    field("sequence", at.sequence);
    printf(", \"state\": \"%s\", ", states[word & 3]);
    field("row", word >> 2 & 0x3fff), printf(", ");
    field("times", word >> 16), printf("}");
}

static uint64_t priority_now;

static void deliver(struct ring *lane, struct place at, const struct seen_frame *f) {
    uint64_t word = take_word(lane, at.sequence);
    if (word == UINT64_MAX) return;
    item();
    printf("{");
    field("priority", priority_now), printf(", ");
    field("sequence", at.sequence);
    /* The owners of all rows are dead, so what is taken has come back. */
    printf(", \"redelivered\": %s, \"bytes\": ", word & 3 ? "true" : "false");
    payload(lane, at.at + 8, f->bytes);
    printf("}");
}

static void queue(struct ring *r) {
    size_t count = 0;
    begin_list("lanes");
    for (uint64_t number = 0; number < 1024; number++) {
        uint64_t said = board(r, 16 + number);
        char directory[32];
        if (said == 0) continue;
        snprintf(directory, sizeof directory, "lane-%llu", (unsigned long long)number);
        struct ring *lane = &lanes[count].r;
        if (count == 16 || !open_vector(directory, lane) || lane->is.form != 2) fail("no lane %s", directory);
        lanes[count].priority = (said - 1) % 8;
        if (!confirmed(lane, load(row_word(lane, 0, POSITION)), &lanes[count].from)) fail("row 0 of %s is damaged", directory);
        item();
        printf("{");
        field("lane", number), printf(", ");
        field("priority", lanes[count].priority);
        printf(", \"listed\": %s, ", said <= 8 ? "true" : "false");
        field("from", lanes[count].from.sequence);
        printf(", \"messages\": [");
        first_item = true;
        walk(lane, lanes[count].from, lane_message);
        first_item = false;
        printf("]}");
        count++;
    }
    end_list();
    begin_list("received");
    for (priority_now = 8; priority_now-- > 0;)
        for (size_t at = 0; at < count; at++)
            if (lanes[at].priority == priority_now) walk(&lanes[at].r, lanes[at].from, deliver);
    end_list();
}

/* Links and pipes. */

static void direction(struct ring *r, const char *name) {
    struct place from;
    if (!oldest(r, 0, &from)) fail("the index is damaged");
    item();
    printf("{\"ring\": \"%s\", ", name);
    field("unread", load(row_word(r, 0, SEQUENCE)));
    printf(", \"messages\": [");
    first_item = true;
    walk(r, from, message_inside);
    first_item = false;
    printf("]}");
}

static void pact(struct ring *r, bool both_ways) {
    begin_list("sides");
    for (uint64_t side = 0; side < 2; side++) {
        uint64_t word = board(r, 16 * side);
        item();
        printf("{");
        field("token", word >> 32), printf(", ");
        field("accepted", word & 0xffffffff), printf(", ");
        field("last", board(r, 16 * side + 2)), printf("}");
    }
    end_list();
    begin_list("directions");
    direction(r, "");
    if (both_ways) {
        struct ring back;
        if (!open_vector("back", &back) || back.is.form != r->is.form) fail("no way back");
        direction(&back, "back");
    }
    end_list();
}

/* Values. */

static void latest(struct ring *r) {
    uint64_t bytes = r->is.parameters[1];
    uint8_t *value = malloc(bytes + 8);
    member("changes");
    printf("%llu", (unsigned long long)load(data_at(r, 0)));
    begin_list("cells");
    for (uint64_t cell = 0; cell < r->is.parameters[0]; cell++) {
        uint64_t version = read_cell(r, cell, bytes, value);
        item();
        printf("{");
        field("cell", cell), printf(", ");
        field("version", version), printf(", \"bytes\": ");
        if (version)
            hexadecimal(value, bytes);
        else
            printf("null");
        printf("}");
    }
    end_list();
    free(value);
}

static void shared(struct ring *r) {
    uint64_t hash_of_it, bytes, permit = board(r, 16);
    if (!read_schema(r->is.schema, r->is.schema_bytes, &hash_of_it, &bytes)) fail("a value without a schema");
    uint8_t *value = malloc(bytes + 8);
    uint64_t version = read_cell(r, 0, bytes, value);
    member("version");
    printf("%llu", (unsigned long long)version);
    member("bytes");
    hexadecimal(value, bytes);
    member("holder");
    if (permit >= 3)
        printf("%llu", (unsigned long long)(permit - 3));
    else
        printf("null");
    member("abandoned");
    printf(board(r, 8) == 1 ? "true" : "false");
    free(value);
}

static void semaphore(struct ring *r) {
    static const char *states[] = {"", "free", "retired", "held"};
    uint64_t turn = board(r, 0), all[4] = {0};
    member("turn");
    if (turn)
        printf("%llu", (unsigned long long)(turn - 1));
    else
        printf("null");
    begin_list("permits");
    for (uint64_t permit = 0; permit < r->is.parameters[1]; permit++) {
        uint64_t word = board(r, 16 + permit), state = word;
        if (word == 0) state = permit < r->is.parameters[0] ? 1 : 2;
        if (word >= 3) state = 3;
        all[state]++;
        item();
        printf("{");
        field("permit", permit);
        printf(", \"state\": \"%s\", ", states[state]);
        if (state == 3)
            field("row", word - 3);
        else
            printf("\"row\": null");
        printf("}");
    }
    end_list();
    for (int state = 1; state <= 3; state++) {
        int of = state == 1 ? 1 : state == 2 ? 3 : 2;
        member(states[of]);
        printf("%llu", (unsigned long long)all[of]);
    }
}

static void signals(struct ring *r) {
    begin_list("to_all");
    for (uint64_t signal = 0; signal < 64; signal++) {
        if (board(r, signal) == 0) continue;
        item();
        printf("{");
        field("signal", signal), printf(", ");
        field("count", board(r, signal)), printf("}");
    }
    end_list();
    begin_list("listeners");
    for (uint32_t row = 0; row < r->is.rows; row++) {
        char name[65];
        if (load_half(row_half(r, row, 0)) != OBSERVER || !read_name(r, row, name)) continue;
        uint64_t generation = load(row_word(r, row, GENERATION));
        bool first = true;
        item();
        printf("{");
        field("row", row);
        printf(", \"name\": \"%s\", ", name);
        field("generation", generation);
        printf(", \"to_it\": [");
        for (uint64_t signal = 0; signal < 64; signal++) {
            uint64_t word = board(r, 64 + 64 * (uint64_t)row + signal), count = word & (((uint64_t)1 << 40) - 1);
            if (word >> 40 != (generation & 0xffffff) || count == 0) continue;
            printf(first ? "{" : ", {");
            first = false;
            field("signal", signal), printf(", ");
            field("count", count), printf("}");
        }
        printf("]}");
    }
    end_list();
}

void read_vector(const char *path) {
    struct ring r = {0};
    count_files = 0;
    read_files(path);
    printf("{");
    first_member = true;
    if (!open_vector("", &r)) {
        const struct refusal *why = &r.is.refused;
        member("refused");
        printf("{\"rule\": \"%s\", ", why->rule);
        if (why->has_found)
            field("found", why->found);
        else
            printf("\"found\": null");
        printf(", ");
        if (why->has_expected)
            field("expected", why->expected);
        else
            printf("\"expected\": null");
        printf("}");
    } else {
        description(&r);
        switch (r.is.form) {
        case 0: ring(&r); break;
        case 1: queue(&r); break;
        case 4: pact(&r, true); break;
        case 5: pact(&r, r.is.parameters[0] == 2); break;
        case 6: latest(&r); break;
        case 7: shared(&r); break;
        case 8: semaphore(&r); break;
        case 9: signals(&r); break;
        default: fail("form %u is not public", r.is.form);
        }
    }
    printf("\n}\n");
    for (size_t at = 0; at < count_files; at++) free(files[at].at);
}
