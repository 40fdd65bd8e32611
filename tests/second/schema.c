/* Schemas: the canonical text, its hints, and what is left without them. */
#include "second.h"

#include <stdlib.h>
#include <string.h>

/* A part of a text, from the first byte to before the last. */
struct part {
    const char *from, *to;
};

static size_t length(struct part p) { return (size_t)(p.to - p.from); }

static bool is(struct part p, const char *word) { return length(p) == strlen(word) && memcmp(p.from, word, length(p)) == 0; }

static bool same(struct part a, struct part b) { return length(a) == length(b) && memcmp(a.from, b.from, length(a)) == 0; }

static bool digit(char c) { return c >= '0' && c <= '9'; }

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static bool is_name(struct part p) {
    if (length(p) < 1 || length(p) > 64 || digit(*p.from)) return false;
    for (const char *at = p.from; at < p.to; at++)
        if (!letter(*at) && !digit(*at)) return false;
    return true;
}

static bool is_unit(struct part p) {
    if (length(p) < 1 || length(p) > 32) return false;
    for (const char *at = p.from; at < p.to; at++)
        if (*at < '!' || *at > '~' || strchr(",;:=(){}[]", *at)) return false;
    return true;
}

/* The number that these digits are, without superfluous ones, up to a limit. */
static bool is_number(struct part p, uint64_t most, uint64_t *value) {
    if (length(p) == 0 || (length(p) > 1 && *p.from == '0')) return false;
    *value = 0;
    for (const char *at = p.from; at < p.to; at++) {
        if (!digit(*at)) return false;
        uint64_t next = (uint64_t)(*at - '0');
        if (*value > (most - next) / 10 || next > most) return false;
        *value = *value * 10 + next;
    }
    return true;
}

/* Up to before the next such byte, or to the end. */
static struct part until(struct part p, char byte) {
    const char *found = memchr(p.from, byte, length(p));
    return (struct part){p.from, found ? found : p.to};
}

struct kind {
    const char *name;
    uint64_t bytes;
    bool integer, sign;
};

static const struct kind kinds[] = {
    {"u8", 1, true, false}, {"u16", 2, true, false}, {"u32", 4, true, false}, {"u64", 8, true, false},
    {"i8", 1, true, true},  {"i16", 2, true, true},  {"i32", 4, true, true},  {"i64", 8, true, true},
    {"f32", 4, false, true}, {"f64", 8, false, true},
};

static const struct kind *kind_of(struct part p) {
    for (size_t at = 0; at < sizeof kinds / sizeof *kinds; at++)
        if (is(p, kinds[at].name)) return &kinds[at];
    return NULL;
}

/* Whether this is the text of an integer that a kind has. */
static bool is_value(struct part p, const struct kind *kind) {
    uint64_t value, bits = 8 * kind->bytes, most = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    if (!kind->integer) return false;
    if (!kind->sign) return is_number(p, most, &value);
    most = most / 2;
    if (length(p) == 0 || *p.from != '-') return is_number(p, most, &value);
    p.from++;
    return is_number(p, most + 1, &value) && value != 0;
}

static bool is_hint(struct part hint, const struct kind *kind) {
    if (is(hint, "text")) return strcmp(kind->name, "u8") == 0;
    if (is(hint, "time") || is(hint, "monotonic")) return kind->bytes == 8 && kind->integer;
    bool names = false, exponent = false, unit = false;
    for (struct part rest = hint;;) {
        struct part item = until(rest, ';'), key = until(item, '=');
        if (key.to == item.to) return false;
        struct part value = {key.to + 1, item.to};
        if (is(key, "unit")) {
            if (names || unit || !is_unit(value)) return false;
            unit = true;
        } else if (is(key, "exponent")) {
            uint64_t power;
            /* In the canonical text it is in front of the unit. */
            if (names || unit || exponent || !kind->integer) return false;
            if (length(value) > 0 && *value.from == '-') value.from++;
            if (!is_number(value, 18, &power) || power == 0) return false;
            exponent = true;
        } else {
            if (unit || exponent || !is_value(key, kind) || !is_name(value)) return false;
            for (struct part before = {hint.from, item.from}; before.from < before.to;) {
                struct part earlier = until(before, ';'), its_key = until(earlier, '=');
                struct part its_value = {its_key.to + 1, earlier.to};
                if (same(its_key, key) || same(its_value, value)) return false;
                before.from = earlier.to + 1;
            }
            names = true;
        }
        if (item.to == rest.to) return true;
        rest.from = item.to + 1;
    }
}

/* One field; `*bytes` is the size of the message before it, and then with it. */
static bool is_field(struct part p, struct part before, uint64_t *bytes, char **without) {
    struct part name = until(p, ':');
    if (name.to == p.to || !is_name(name)) return false;
    for (struct part rest = before; rest.from < rest.to;) {
        if (same(until(rest, ':'), name)) return false;
        rest.from = until(rest, ',').to + 1;
    }
    struct part rest = {name.to + 1, p.to}, plain = {p.from, until(rest, '(').to};
    struct part type = until((struct part){rest.from, plain.to}, '[');
    const struct kind *kind = kind_of(type);
    uint64_t count = 1;
    if (!kind) return false;
    if (type.to != plain.to) {
        struct part number = {type.to + 1, plain.to - 1};
        if (plain.to - type.to < 3 || plain.to[-1] != ']') return false;
        if (!is_number(number, UINT32_MAX, &count) || count < 2) return false;
    }
    if (plain.to != p.to) {
        if (p.to[-1] != ')' || !is_hint((struct part){plain.to + 1, p.to - 1}, kind)) return false;
    }
    if (*bytes % kind->bytes != 0) return false;
    *bytes += kind->bytes * count;
    memcpy(*without, plain.from, length(plain));
    *without += length(plain);
    return *bytes <= UINT32_MAX;
}

bool read_schema(const char *text, size_t count, uint64_t *hash_without, uint64_t *bytes) {
    struct part all = {text, text + count}, name = until(all, '{');
    if (count > 3576 || name.to == all.to || !is_name(name) || all.to[-1] != '}') return false;
    char *without = malloc(count + 1), *at = without;
    struct part fields = {name.to + 1, all.to - 1}, rest = fields;
    memcpy(at, text, (size_t)(fields.from - text));
    at += fields.from - text;
    *bytes = 0;
    bool good = true;
    for (;;) {
        /* A hint has no comma. */
        struct part field = until(rest, ',');
        good = is_field(field, (struct part){fields.from, field.from > fields.from ? field.from - 1 : fields.from}, bytes, &at);
        *at++ = field.to == fields.to ? '}' : ',';
        if (!good || field.to == fields.to) break;
        rest.from = field.to + 1;
    }
    *hash_without = hash(without, (size_t)(at - without));
    free(without);
    return good;
}
