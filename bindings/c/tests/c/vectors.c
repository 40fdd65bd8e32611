/* Reads the vectors that all languages share (docs/vectors/languages.list): vectors.c LIST. Every entry but those of errors, which
 * tests/vectors.rs compares with the header, is read here, and is as the library for C has it. */
#include "check.h"

#include <slipring/layout.h>
#include <unistd.h>

/* The structs that a program in C has for the schemas of the list. */
struct every {
    uint64_t u64;
    int64_t i64;
    double f64;
    uint32_t u32;
    int32_t i32;
    float f32;
    uint16_t u16;
    int16_t i16;
    uint8_t u8;
    int8_t i8;
    uint8_t rest[6];
};
struct arrays {
    double prices[4];
    uint32_t levels[3];
    int16_t signed_[4];
    uint16_t tags[5];
    uint16_t after_tags;
    float narrow[2];
    int64_t long_[2];
    int8_t name[3];
    uint8_t last;
};
struct aligned {
    uint8_t byte, after_byte[7];
    uint64_t long_;
    uint16_t half;
    uint8_t after_half[2];
    int32_t word;
    int8_t byte_again;
    uint8_t after_again[3];
    float number;
};
struct trade {
    uint64_t time_ns;
    int64_t seen_ns, price;
    double size;
    uint8_t symbol[7], side;
};
struct spaced {
    uint32_t a[2];
    uint16_t b;
    int8_t c;
};
struct message {
    uint8_t value;
};
struct longest {
    uint16_t field_with_a_name_of_64_letters_which_is_the_longest_that_may_be[300];
};

#define FIELD(type, name) {#name, offsetof(struct type, name), sizeof(((struct type *)0)->name)}

struct member {
    const char *name;
    size_t offset, size;
};
static const struct known {
    const char *name;
    size_t size;
    struct member members[12];
} SCHEMAS[] = {
    {"Every",
     sizeof(struct every),
     {FIELD(every, u64), FIELD(every, i64), FIELD(every, f64), FIELD(every, u32), FIELD(every, i32), FIELD(every, f32),
      FIELD(every, u16), FIELD(every, i16), FIELD(every, u8), FIELD(every, i8), FIELD(every, rest)}},
    {"Arrays",
     sizeof(struct arrays),
     {FIELD(arrays, prices), FIELD(arrays, levels), FIELD(arrays, signed_), FIELD(arrays, tags), FIELD(arrays, after_tags),
      FIELD(arrays, narrow), FIELD(arrays, long_), FIELD(arrays, name), FIELD(arrays, last)}},
    {"Aligned",
     sizeof(struct aligned),
     {FIELD(aligned, byte), FIELD(aligned, after_byte), FIELD(aligned, long_), FIELD(aligned, half), FIELD(aligned, after_half),
      FIELD(aligned, word), FIELD(aligned, byte_again), FIELD(aligned, after_again), FIELD(aligned, number)}},
    {"Trade",
     sizeof(struct trade),
     {FIELD(trade, time_ns), FIELD(trade, seen_ns), FIELD(trade, price), FIELD(trade, size), FIELD(trade, symbol),
      FIELD(trade, side)}},
    {"Spaced", sizeof(struct spaced), {FIELD(spaced, a), FIELD(spaced, b), FIELD(spaced, c)}},
    {"Message", sizeof(struct message), {FIELD(message, value)}},
    {"Longest_name_that_a_field_or_a_schema_can_have_is_of_64_letters_", sizeof(struct longest), {FIELD(longest, field_with_a_name_of_64_letters_which_is_the_longest_that_may_be)}},
};
#define COUNT(of) (sizeof(of) / sizeof *(of))

static FILE *list;
static char text[16384];
static char directory[4096];

/* The next line without its end; an empty one is between two entries. False at the end of the list. */
static bool next_line(void) {
    if (fgets(text, sizeof text, list) == NULL)
        return false;
    CHECK(text[strlen(text) - 1] == '\n');
    text[strlen(text) - 1] = 0;
    return true;
}

/* What is behind the word of this line, if that is the word. */
static const char *after(const char *word) {
    size_t len = strlen(word);
    return strncmp(text, word, len) == 0 && text[len] == ' ' ? text + len + 1 : NULL;
}

static const char *line_of(const char *word) {
    CHECK(next_line());
    const char *rest = after(word);
    if (rest == NULL) {
        fprintf(stderr, "not a line `%s`: %s\n", word, text);
        exit(1);
    }
    return rest;
}

static size_t size_of_kind(const char *kind) { return (size_t)atoi(kind + 1) / 8; }

/* Stores a value as C stores it. */
static void store(const char *kind, const char *value, unsigned char *at) {
    char *end = NULL;
#define STORE(name, type, number)                                                                                                  \
    if (strcmp(kind, name) == 0) {                                                                                                 \
        type stored = (type)(number);                                                                                              \
        memcpy(at, &stored, sizeof stored);                                                                                        \
    }
    STORE("u8", uint8_t, strtoull(value, &end, 10))
    STORE("u16", uint16_t, strtoull(value, &end, 10))
    STORE("u32", uint32_t, strtoull(value, &end, 10))
    STORE("u64", uint64_t, strtoull(value, &end, 10))
    STORE("i8", int8_t, strtoll(value, &end, 10))
    STORE("i16", int16_t, strtoll(value, &end, 10))
    STORE("i32", int32_t, strtoll(value, &end, 10))
    STORE("i64", int64_t, strtoll(value, &end, 10))
    STORE("f32", float, strtod(value, &end))
    STORE("f64", double, strtod(value, &end))
    CHECK(end != NULL && end != value && *end == 0);
}

static size_t bytes_of(const char *digits, unsigned char *bytes) {
    size_t len = strlen(digits) / 2;
    for (size_t at = 0; at < len; at++) {
        unsigned byte;
        CHECK(sscanf(digits + 2 * at, "%2x", &byte) == 1);
        bytes[at] = (unsigned char)byte;
    }
    return len;
}

/* The hash that the ring's file has. */
static uint64_t stored_hash(void) {
    struct slipring_description page;
    char path[5000];
    snprintf(path, sizeof path, "%s/ring/stream", directory);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fread(&page, sizeof page, 1, file) == 1);
    fclose(file);
    return page.schema_hash;
}

static void one_schema(const char *said) {
    const struct known *known = NULL;
    for (size_t at = 0; at < COUNT(SCHEMAS); at++)
        if (strcmp(SCHEMAS[at].name, said) == 0)
            known = &SCHEMAS[at];
    if (known == NULL) {
        fprintf(stderr, "this program has no struct for %s\n", said);
        exit(1);
    }
    slipring_ring_options options = {.struct_size = sizeof options};
    slipring_ring *ring = NULL;
    options.schema = line_of("written");
    OK(slipring_ring_create("ring", &options, &ring));
    char found[4096];
    OK(slipring_ring_schema(ring, found, sizeof found, NULL));
    CHECK(strcmp(found, line_of("text")) == 0);
    OK(slipring_ring_expect_schema(ring, line_of("bare")));
    uint64_t hash = SLIPRING_HASH_BEGIN;
    for (const char *at = after("bare"); *at; at++)
        hash = (hash ^ (unsigned char)*at) * SLIPRING_HASH_FACTOR;
    CHECK(hash == stored_hash());
    CHECK(hash == strtoull(line_of("hash"), NULL, 16));
    size_t bytes = strtoull(line_of("bytes"), NULL, 10);

    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    char kinds[12][8], names[12][80];
    size_t counts[12], fields = 0, messages = 0, end = 0;
    while (next_line() && *text) {
        const char *rest = after("field");
        if (rest != NULL) {
            size_t offset;
            const struct member *member = &known->members[fields];
            CHECK(fields < 12 && sscanf(rest, "%79s %7s %zu %zu", names[fields], kinds[fields], &counts[fields], &offset) == 4);
            /* A name that is a word of C has an underscore behind it here. */
            CHECK(member->name != NULL && strncmp(member->name, names[fields], strlen(names[fields])) == 0);
            if (member->offset != offset || member->size != counts[fields] * size_of_kind(kinds[fields])) {
                fprintf(stderr, "%s.%s lies at %zu with %zu bytes in C, and not: %s\n", known->name, member->name, member->offset,
                        member->size, text);
                exit(1);
            }
            end = offset + member->size;
            fields++;
            continue;
        }
        unsigned char expected[4096], made[4096] = {0};
        rest = after("message");
        CHECK(rest != NULL && strlen(rest) == 2 * bytes && bytes <= sizeof expected);
        CHECK(bytes_of(rest, expected) == bytes);
        for (size_t field = 0; field < fields; field++) {
            char values[16384];
            strcpy(values, line_of("value"));
            char *word = strtok(values, " ");
            CHECK(strcmp(word, names[field]) == 0);
            size_t size = size_of_kind(kinds[field]);
            for (size_t element = 0; element < counts[field]; element++) {
                word = strtok(NULL, " ");
                CHECK(word != NULL);
                store(kinds[field], word, made + known->members[field].offset + element * size);
            }
            CHECK(strtok(NULL, " ") == NULL);
        }
        if (memcmp(made, expected, bytes) != 0) {
            fprintf(stderr, "%s: message %zu has other bytes in C\n", known->name, messages);
            exit(1);
        }
        OK(slipring_producer_publish(producer, made, bytes, 0, NULL));
        slipring_message message;
        OK(slipring_consumer_receive(consumer, 0, &message));
        CHECK(message.len == bytes && memcmp(message.data, expected, bytes) == 0);
        OK(slipring_consumer_release(consumer));
        messages++;
    }
    /* The struct has every field, and may be longer than a message only by what C puts behind its last member. */
    CHECK(messages == 5 && known->members[fields].name == NULL && end == bytes && known->size - bytes < 8);
    IS(SLIPRING_E_PUBLISH_WRONG_SIZE, slipring_producer_publish(producer, text, bytes + 1, 0, NULL));
    CHECK(detail().max == bytes);
    OK(slipring_producer_close(&producer));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
    OK(slipring_ring_remove("ring"));
}

static void refused(const char *schema) {
    char given[512];
    snprintf(given, sizeof given, "%s", schema);
    slipring_ring_options options = {.struct_size = sizeof options, .schema = given};
    slipring_ring *ring = NULL;
    IS(SLIPRING_E_ARGUMENT, slipring_ring_create("ring", &options, &ring));
    char expected[1200];
    snprintf(expected, sizeof expected, "%s: %s", given, line_of("says"));
    CHECK(strcmp(slipring_error_message(), expected) == 0);
}

/* What leads to each failure. */
static slipring_status fail_as(const char *name, slipring_ring **ring, slipring_producer **producer, slipring_consumer **consumer) {
    slipring_ring_options small = {.struct_size = sizeof small, .capacity_bytes = 4096, .max_readers = 1};
    slipring_message message;
    static const char zeroes[5000];
#define NAMED(what) if (strcmp(name, what) == 0)
    NAMED("open-missing") return slipring_ring_open("ring", 0, ring);
    NAMED("open-another-form") {
        slipring_queue *queue = NULL;
        OK(slipring_queue_create("ring", NULL, &queue));
        OK(slipring_queue_close(&queue));
        return slipring_ring_open("ring", 0, ring);
    }
    NAMED("create-capacity-5000") {
        small.capacity_bytes = 5000;
        return slipring_ring_create("ring", &small, ring);
    }
    NAMED("create-nowhere") {
        char place[5000];
        snprintf(place, sizeof place, "%s/nowhere/ring", directory);
        return slipring_ring_create(place, NULL, ring);
    }
    if (strcmp(name, "cursor-in-use") == 0)
        small.max_readers = 8;
    if (strcmp(name, "consumer-gone-7") == 0)
        small.first_sequence = 10;
    if (strcmp(name, "publish-wrong-size-3") == 0)
        small.schema = "P{a:u64}";
    OK(slipring_ring_create("ring", &small, ring));
    NAMED("create-existing") {
        slipring_ring *other = NULL;
        return slipring_ring_create("ring", NULL, &other);
    }
    NAMED("consumer-gone-7") return slipring_ring_consumer(*ring, SLIPRING_SEQUENCE, 7, NULL, consumer);
    NAMED("consumer-ahead-7") return slipring_ring_consumer(*ring, SLIPRING_SEQUENCE, 7, NULL, consumer);
    slipring_consumer *other = NULL;
    NAMED("cursor-name-with-a-slash") return slipring_ring_durable_consumer(*ring, "a/b", SLIPRING_OLDEST, 0, NULL, consumer);
    NAMED("cursor-in-use") {
        OK(slipring_ring_durable_consumer(*ring, "mine", SLIPRING_OLDEST, 0, NULL, consumer));
        return slipring_ring_durable_consumer(*ring, "mine", SLIPRING_OLDEST, 0, NULL, &other);
    }
    OK(slipring_ring_producer(*ring, NULL, producer));
    NAMED("remove-in-use") return slipring_ring_remove("ring");
    NAMED("second-producer") {
        slipring_producer *second = NULL;
        return slipring_ring_producer(*ring, NULL, &second);
    }
    NAMED("publish-too-large-5000") return slipring_producer_publish(*producer, zeroes, 5000, -1, NULL);
    NAMED("publish-wrong-size-3") return slipring_producer_publish(*producer, zeroes, 3, -1, NULL);
    NAMED("receive-closed") {
        OK(slipring_producer_close(producer));
        OK(slipring_ring_consumer(*ring, SLIPRING_OLDEST, 0, NULL, consumer));
        return slipring_consumer_receive(*consumer, 0, &message);
    }
    OK(slipring_ring_consumer(*ring, SLIPRING_OLDEST, 0, NULL, consumer));
    NAMED("no-row-of-1") return slipring_ring_consumer(*ring, SLIPRING_OLDEST, 0, NULL, &other);
    NAMED("receive-nothing") return slipring_consumer_receive(*consumer, 0, &message);
    NAMED("receive-timed-out") return slipring_consumer_receive(*consumer, 1000000, &message);
    NAMED("publish-timed-out") {
        slipring_status status;
        while ((status = slipring_producer_publish(*producer, zeroes, 100, 1000000, NULL)) == SLIPRING_OK)
            ;
        return status;
    }
    fprintf(stderr, "this program knows no failure %s\n", name);
    exit(1);
}

/* Puts a word in the place of each occurrence of a text. */
static void replace(char *in, size_t room, const char *what, const char *by) {
    for (char *at = in; (at = strstr(at, what)) != NULL; at += strlen(by)) {
        char rest[4096];
        snprintf(rest, sizeof rest, "%s", at + strlen(what));
        snprintf(at, room - (size_t)(at - in), "%s%s", by, rest);
    }
}

static void failure(const char *said) {
    char name[64], sentence[4096], pid[16];
    unsigned code;
    CHECK(sscanf(said, "%u %63s", &code, name) == 2);
    slipring_ring *ring = NULL;
    slipring_producer *producer = NULL;
    slipring_consumer *consumer = NULL;
    slipring_status status = fail_as(name, &ring, &producer, &consumer);
    snprintf(sentence, sizeof sentence, "%s", slipring_error_message());
    replace(sentence, sizeof sentence, directory, "{dir}");
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    replace(sentence, sizeof sentence, pid, "{pid}");
    const char *says = line_of("says");
    if (status != code || strcmp(sentence, says) != 0) {
        fprintf(stderr, "%s is %u in C, `%s`, and not %u, `%s`\n", name, status, sentence, code, says);
        exit(1);
    }
    if (producer)
        OK(slipring_producer_close(&producer));
    if (consumer)
        OK(slipring_consumer_close(&consumer));
    if (ring)
        OK(slipring_ring_close(&ring));
    if (strcmp(name, "open-missing") != 0 && strncmp(name, "create-c", 8) != 0 && strcmp(name, "create-nowhere") != 0)
        OK(slipring_remove("ring", false));
}

int main(int count, char **given) {
    CHECK(count == 2 && getenv("SLIPRING_DIR") != NULL);
    snprintf(directory, sizeof directory, "%s", getenv("SLIPRING_DIR"));
    list = fopen(given[1], "r");
    CHECK(list != NULL);
    unsigned schemas = 0, others = 0, errors = 0, failures = 0, listed[4] = {0};
    while (next_line()) {
        char said[512];
        const char *rest;
        if (*text == 0 || *text == '#')
            continue;
        if ((rest = after("counts")) != NULL) {
            CHECK(sscanf(rest, "schema %u refused %u error %u failure %u", &listed[0], &listed[1], &listed[2], &listed[3]) == 4);
        } else if ((rest = after("schema")) != NULL) {
            snprintf(said, sizeof said, "%s", rest);
            one_schema(said);
            schemas++;
        } else if ((rest = after("refused")) != NULL) {
            refused(rest);
            others++;
        } else if ((rest = after("failure")) != NULL) {
            snprintf(said, sizeof said, "%s", rest);
            failure(said);
            failures++;
        } else {
            CHECK(after("error") != NULL);
            errors++;
        }
    }
    CHECK(schemas == COUNT(SCHEMAS) && schemas == listed[0] && others == listed[1] && errors == listed[2] && failures == listed[3]);
    printf("counts schema %u refused %u error %u failure %u\n", schemas, others, errors, failures);
    return 0;
}
