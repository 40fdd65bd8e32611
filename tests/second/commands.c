/* The commands of the forms. Each says `ready` when it has its role. */
#include "second.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The words of a value depend on its version and its cell. */
static void value_of(uint64_t version, uint64_t cell, uint64_t bytes, uint8_t *out) {
    for (uint64_t at = 0; at < bytes; at += 8) {
        uint64_t value = version * 0x9e3779b97f4a7c15 + (at / 8 + 1) * 0xd1342543de82ef95 + cell;
        memcpy(out + at, &value, bytes - at < 8 ? bytes - at : 8);
    }
}

/* Now and then, where others would notice most that it has stopped. */
static void pause_at_times(void) {
    static uint64_t random;
    if (random == 0) random = (uint64_t)getpid();
    random = random * 6364136223846793005 + 1442695040888963407;
    if (random >> 58 == 0) pause_for(random >> 40 & 0x3ffff);
}

static void pause_often(void) {
    static uint64_t calls;
    if (calls++ % 4 == 0) pause_for(200000);
}

/* set PATH CELL UNTIL: sets a cell up to a version. */
static void set(char **arguments) {
    struct ring r;
    open_ring(arguments[0], true, &r);
    uint64_t cell = argument(arguments[1]), until = argument(arguments[2]), bytes = r.is.parameters[1];
    uint8_t *value = calloc(1, bytes + 8), *before = calloc(1, bytes + 8);
    void *kept = attach_writer(&r);
    pause_here = pause_at_times;
    say("ready");
    for (uint64_t version = read_cell(&r, cell, bytes, before); version < until;) {
        value_of(version + 1, cell, bytes, value);
        if (set_cell(&r, cell, bytes, value) != ++version) fail("another version than %llu", (unsigned long long)version);
    }
    leave_writer(&r, kept);
    say("done");
}

struct change {
    struct ring *r;
    uint64_t cell, bytes, version;
    uint8_t *out;
};

static bool has_changed(void *of) {
    struct change *c = of;
    return read_cell(c->r, c->cell, c->bytes, c->out) != c->version;
}

/* get PATH CELL UNTIL: reads a cell up to a version, and sleeps in between. */
static void get(char **arguments) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    struct change c = {.r = &r, .cell = argument(arguments[1]), .bytes = r.is.parameters[1]};
    uint64_t until = argument(arguments[2]), values = 0;
    uint8_t *value = calloc(1, c.bytes + 8);
    c.out = calloc(1, c.bytes + 8);
    struct seat seat = take_seat(&r);
    pause_here = pause_at_times;
    say("ready");
    while (c.version < until) {
        uint64_t version = read_cell(&r, c.cell, c.bytes, c.out);
        if (version < c.version) fail("version %llu came behind %llu", (unsigned long long)version, (unsigned long long)c.version);
        if (version == c.version) {
            sleep_in(&seat, 100000000, has_changed, &c);
            continue;
        }
        value_of(version, c.cell, c.bytes, value);
        if (memcmp(value, c.out, c.bytes) != 0) fail("version %llu is torn", (unsigned long long)version);
        c.version = version;
        values++;
    }
    leave_seat(&seat);
    printf("values %llu\n", (unsigned long long)values);
}

static uint64_t bytes_of_value(struct ring *r) {
    uint64_t without, bytes;
    if (!read_schema(r->is.schema, r->is.schema_bytes, &without, &bytes)) fail("a value without a schema");
    return bytes;
}

/* book PATH TIMES FILE: changes a shared value, with the same number in a file of 8 bytes that only the holder of the lock
 * may change. A holder that dies may have changed the file and not the value. */
static void book(char **arguments) {
    struct ring r;
    open_ring(arguments[0], true, &r);
    uint64_t times = argument(arguments[1]), bytes = bytes_of_value(&r), abandoned = 0;
    uint8_t *value = calloc(1, bytes + 8), *expected = calloc(1, bytes + 8);
    int file = open(arguments[2], O_RDWR | O_CLOEXEC);
    struct seat seat = join_permits(&r);
    pause_here = pause_at_times;
    say("ready");
    while (times--) {
        uint32_t permit;
        uint64_t in_the_file = 0;
        acquire(&seat, 1, &permit);
        bool died = load(board_word(&r, 8)) != 0;
        store(board_word(&r, 8), 1);
        uint64_t version = read_cell(&r, 0, bytes, value);
        if (version) value_of(version, 0, bytes, expected);
        if (memcmp(value, expected, bytes) != 0) fail("version %llu is torn", (unsigned long long)version);
        if (pread(file, &in_the_file, 8, 0) != 8) fail("read the file: %s", strerror(errno));
        if (in_the_file != version && !(died && in_the_file == version + 1))
            fail("%llu is in the file at version %llu", (unsigned long long)in_the_file, (unsigned long long)version);
        abandoned += died;
        version++;
        if (pwrite(file, &version, 8, 0) != 8) fail("write the file: %s", strerror(errno));
        may_pause();
        value_of(version, 0, bytes, value);
        if (set_cell(&r, 0, bytes, value) != version) fail("another holder has set the value");
        store(board_word(&r, 8), 0);
        give(&seat, permit, false);
    }
    leave_permits(&seat);
    printf("abandoned %llu\n", (unsigned long long)abandoned);
}

/* The words of a file that processes share. */
static word *map_words(const char *path) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *words = file < 0 ? MAP_FAILED : mmap(NULL, (size_t)lseek(file, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (words == MAP_FAILED) fail("map %s: %s", path, strerror(errno));
    close(file);
    return words;
}

/* hold PATH MANY TIMES FILE: holds permits now and then. The file has the number of those that are held, 8 bytes. */
static void hold(char **arguments) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    uint32_t many = (uint32_t)argument(arguments[1]), permits[64];
    uint64_t times = argument(arguments[2]);
    word *held = map_words(arguments[3]);
    struct seat seat = join_permits(&r);
    pause_here = pause_at_times;
    say("ready");
    while (times--) {
        acquire(&seat, many, permits);
        uint64_t now = atomic_fetch_add(held, many) + many;
        if (now > r.is.parameters[1]) fail("%llu permits are held", (unsigned long long)now);
        if (times % 4 == 0) pause_for(50000);
        atomic_fetch_sub(held, many);
        for (uint32_t at = 0; at < many; at++) give(&seat, permits[at], false);
    }
    leave_permits(&seat);
    say("done");
}

static bool has_signal(void *of) {
    struct listener *l = of;
    for (uint32_t signal = 0; signal < 64; signal++)
        if (load(board_word(l->seat.r, 64 + 64 * (uint64_t)l->seat.row + signal)) != l->mine[signal] ||
            load(board_word(l->seat.r, signal)) != l->all[signal])
            return true;
    return false;
}

/* listen PATH NAME: counts the signals below 63 until signal 63 comes. */
static void listen_until_the_last(char **arguments) {
    struct ring r;
    struct listener l;
    open_ring(arguments[0], false, &r);
    uint64_t counts[64] = {0}, count;
    uint32_t signal;
    listen(&r, arguments[1], &l);
    say("ready");
    while (!counts[63]) {
        if (notice(&l, &signal, &count))
            counts[signal] += count;
        else
            sleep_in(&l.seat, 100000000, has_signal, &l);
    }
    while (notice(&l, &signal, &count)) counts[signal] += count;
    leave_listener(&l);
    for (signal = 0; signal < 63; signal++) printf("%llu%s", (unsigned long long)counts[signal], signal < 62 ? " " : "\n");
}

/* signal PATH NAME|all SIGNAL TIMES */
static void signal_times(char **arguments) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    uint32_t signal = (uint32_t)argument(arguments[2]), row = 0;
    uint64_t times = argument(arguments[3]), generation = 0;
    bool all = strcmp(arguments[1], "all") == 0;
    if (!all && !find_listener(&r, arguments[1], &row, &generation)) fail("no listener %s", arguments[1]);
    say("ready");
    while (times--) {
        if (all)
            send_to_all(&r, signal);
        else if (!send_to(&r, row, generation, signal))
            fail("the listener is gone");
    }
    say("done");
}

static uint8_t buffer[1 << 16], expected_bytes[1 << 16];

/* Receives what is there; false once the other side is gone and nothing is left. */
static bool receive_one(struct pact *p, struct consumer *c, uint64_t *sequence, uint64_t *bytes) {
    for (;;) {
        /* First: what it sent before it left is seen then. */
        bool gone = is_broken(p);
        switch (receive(c, buffer, sequence, bytes)) {
        case MESSAGE: return true;
        case NOTHING: break;
        default: fail("a link has no gaps");
        }
        may_pause();
        if (gone) return false;
        wait_for_message(c, 1000000);
    }
}

/* link PATH 0|1 COUNT: sends COUNT messages, which depend on how many it has sent before, and receives one after each. The
 * first side receives until the other one leaves. */
static void link_side(char **arguments) {
    struct ring outer, back;
    struct pact p;
    char path[512];
    uint32_t side = (uint32_t)argument(arguments[1]);
    uint64_t count = argument(arguments[2]), received = 0, sequence, bytes;
    snprintf(path, sizeof path, "%s/back", arguments[0]);
    open_ring(arguments[0], side == 0, &outer);
    open_ring(path, side == 1, &back);
    begin_pact(&outer, side, &p);
    struct producer *producer = produce(side == 0 ? &outer : &back, true);
    struct consumer *c = meet(&p, side == 0 ? &back : &outer);
    say("ready");
    while (received < count) {
        fill(received, buffer, bytes = size_of(received, outer.is.largest));
        publish(producer, buffer, (uint32_t)bytes);
        if (!receive_one(&p, c, &sequence, &bytes)) fail("the other side left after %llu", (unsigned long long)received);
        fill(received, expected_bytes, bytes);
        if (bytes != size_of(received, outer.is.largest) || memcmp(buffer, expected_bytes, bytes) != 0)
            fail("message %llu of the pact is another one", (unsigned long long)received);
        give_back(c);
        received++;
    }
    if (side == 0) {
        while (receive_one(&p, c, &sequence, &bytes)) give_back(c), received++;
    }
    leave_producer(producer, false);
    leave_pact(&p);
    leave_consumer(c);
    printf("received %llu\n", (unsigned long long)received);
}

/* send PATH PRIORITY FROM UNTIL FILE WORD: sends the messages with these numbers. The word of the file, of 8 bytes each, says
 * how far it is; another sender goes on there. */
static void send_all(char **arguments) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    uint64_t from = argument(arguments[2]), until = argument(arguments[3]), bytes;
    word *at = map_words(arguments[4]) + argument(arguments[5]);
    struct sender *s = begin_sender(&r, arguments[0], argument(arguments[1]));
    pause_here = pause_at_times;
    say("ready");
    for (uint64_t number = from + load(at); number < until; number++) {
        bytes = 8 + size_of(number, (uint32_t)r.is.parameters[1] - 8);
        memcpy(buffer, &number, 8);
        fill(number, buffer + 8, bytes - 8);
        send(s, buffer, (uint32_t)bytes);
        store(at, number + 1 - from);
    }
    leave_sender(s);
    say("done");
}

/* receive PATH FILE CAME DONE MOST_NS: counts how often each message came, in the word of the file that is CAME behind its
 * number, until word 0 is not 0 and nothing is left. Where DONE is not 0, it counts there how often an acknowledgement
 * succeeded. It holds some messages for up to MOST_NS. */
static void receive_all(char **arguments) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    word *words = map_words(arguments[1]), *counts = words + argument(arguments[2]), *done = words + argument(arguments[3]);
    uint64_t most_ns = argument(arguments[4]), random = (uint64_t)getpid();
    struct receiver *v = begin_receiver(&r, arguments[0]);
    pause_here = pause_at_times;
    say("ready");
    for (;;) {
        const uint8_t *message;
        uint64_t bytes, number, ends = load(words);
        if (!take_message(v, &message, &bytes)) {
            if (ends) break;
            continue;
        }
        memcpy(&number, message, 8);
        fill(number, expected_bytes, bytes - 8);
        if (bytes != 8 + size_of(number, (uint32_t)r.is.parameters[1] - 8) || memcmp(message + 8, expected_bytes, bytes - 8) != 0)
            fail("message %llu is another one", (unsigned long long)number);
        may_pause();
        random = random * 6364136223846793005 + 1442695040888963407;
        if (most_ns && random >> 59 == 0) pause_for((random >> 20) % most_ns);
        atomic_fetch_add(counts + number, 1);
        bool finished = finish_message(v);
        if (!finished && !most_ns) fail("message %llu was taken away", (unsigned long long)number);
        if (finished && done != words) atomic_fetch_add(done + number, 1);
    }
    leave_receiver(v);
    say("done");
}

/* hold-message PATH: does what each line says. `take` waits for a message, and says its number and how often it was taken;
 * `finish` says whether it is done. */
static void hold_message(char **arguments) {
    struct ring r;
    char line[16];
    open_ring(arguments[0], false, &r);
    struct receiver *v = begin_receiver(&r, arguments[0]);
    say("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "take\n") == 0) {
            const uint8_t *message;
            uint64_t bytes, number;
            while (!take_message(v, &message, &bytes)) continue;
            memcpy(&number, message, 8);
            printf("%llu taken %llu\n", (unsigned long long)number, (unsigned long long)times_taken(v));
        } else {
            printf(finish_message(v) ? "done\n" : "expired\n");
        }
        fflush(stdout);
    }
    leave_receiver(v);
}

/* create-form PATH FORM CAPACITY ROWS FIRST SECOND SCHEMA|- */
static void make_form(char **arguments) {
    static const char *names[] = {"", "queue", "", "", "link", "pipe", "latest", "shared", "semaphore", "signals"};
    struct form_wanted wanted = {.capacity = argument(arguments[2]), .rows = (uint32_t)argument(arguments[3])};
    for (uint32_t form = 1; form < 10; form++)
        if (strcmp(arguments[1], names[form]) == 0) wanted.form = form;
    wanted.parameters[0] = argument(arguments[4]);
    wanted.parameters[1] = argument(arguments[5]);
    if (strcmp(arguments[6], "-") != 0) wanted.schema = arguments[6];
    if (!create_form(arguments[0], &wanted)) fail("%s is there already", arguments[0]);
    say("done");
}

/* The bytes of a pipe depend on how many came before. */
static uint8_t byte_of(uint64_t at) { return (uint8_t)(at * 31 + (at >> 8) * 17 + (at >> 16)); }

/* pipe PATH write BYTES|read 0: writes so many bytes in pieces of any size, or reads to the end. */
static void pipe_end(char **arguments) {
    struct ring r;
    struct pact p;
    bool writes = strcmp(arguments[1], "write") == 0;
    uint64_t left = argument(arguments[2]), at = 0, sequence, bytes, random = (uint64_t)getpid();
    open_ring(arguments[0], writes, &r);
    begin_pact(&r, !writes, &p);
    if (writes) {
        struct producer *producer = produce(&r, true);
        meet(&p, NULL);
        say("ready");
        while (left) {
            random = random * 6364136223846793005 + 1442695040888963407;
            bytes = 1 + (random >> 33) % (r.is.capacity / 8 - 16);
            if (bytes > left) bytes = left;
            for (uint64_t of = 0; of < bytes; of++) buffer[of] = byte_of(at++);
            publish(producer, buffer, (uint32_t)bytes);
            left -= bytes;
        }
        leave_producer(producer, false);
        leave_pact(&p);
    } else {
        pause_here = pause_often;
        struct consumer *c = meet(&p, &r);
        say("ready");
        while (receive_one(&p, c, &sequence, &bytes)) {
            if (bytes == 0) fail("an empty piece");
            for (uint64_t of = 0; of < bytes; of++)
                if (buffer[of] != byte_of(at++)) fail("byte %llu is another one", (unsigned long long)(at - 1));
            give_back(c);
        }
        leave_pact(&p);
        leave_consumer(c);
    }
    printf("bytes %llu\n", (unsigned long long)at);
}

bool form_command(const char *verb, int count, char **arguments) {
    static const struct {
        const char *verb;
        int count;
        void (*run)(char **);
    } all[] = {
        {"set", 3, set},       {"get", 3, get},
        {"book", 3, book},     {"hold", 4, hold},
        {"listen", 2, listen_until_the_last}, {"signal", 4, signal_times},
        {"link", 3, link_side}, {"pipe", 3, pipe_end},
        {"send", 6, send_all}, {"receive", 5, receive_all},
        {"hold-message", 1, hold_message}, {"create-form", 7, make_form},
    };
    for (size_t at = 0; at < sizeof all / sizeof *all; at++)
        if (strcmp(verb, all[at].verb) == 0 && count == all[at].count) {
            all[at].run(arguments);
            return true;
        }
    return false;
}
