/* The command that the tests run. Contents and sizes of messages are functions of the sequence, the same as in the
 * tests' own language. Progress that has to outlive a kill goes to a file of 8 bytes. */
#include "second.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

uint64_t argument(const char *text) { return strtoull(text, NULL, 0); }

/* How long message `sequence` is: often as little or as much as can be. */
uint32_t size_of(uint64_t sequence, uint64_t most) {
    uint64_t state = sequence * 0x9e3779b97f4a7c15;
    state ^= state >> 32;
    switch (state % 16) {
    case 0: return 0;
    case 1: return (uint32_t)most;
    case 2: return (uint32_t)(most - (state >> 8) % 17 % (most + 1));
    case 3: return (uint32_t)((state >> 8) % (most + 1));
    default: return (uint32_t)((state >> 8) % 100 % (most + 1));
    }
}

/* Of every third message the words look like commit words of messages that may come a lap later. */
void fill(uint64_t sequence, uint8_t *out, uint64_t count) {
    uint64_t state = (sequence << 1 | 1) ^ count << 40;
    for (uint64_t at = 0; at < count; at += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(out + at, &state, count - at < 8 ? count - at : 8);
    }
    if (sequence % 3 != 0) return;
    for (uint64_t at = 0; at * 8 < count; at++) {
        uint64_t coming = sequence + 1 + (at * 7 + sequence % 64) % 256, word = (1 + at % 9) | coming << 32;
        memcpy(out + at * 8, &word, count - at * 8 < 8 ? count - at * 8 : 8);
    }
}

/* How many sequences do not exist from this one on. */
static uint64_t gap_at(uint64_t sequence) {
    uint64_t state = (sequence + 1) * 0xd1342543de82ef95;
    state ^= state >> 32;
    if (state % 61 != 0) return 0;
    switch ((state >> 8) % 8) {
    case 0: return ((uint64_t)1 << 32) + (state >> 16) % 5 - 2;
    case 1: return (uint64_t)1 << 31;
    default: return 1 + (state >> 16) % 50;
    }
}

static uint8_t *mine, *theirs;

/* Checks a payload, and returns its stamp, which is of the last minute. */
static uint64_t check(struct ring *r, uint64_t sequence, uint64_t bytes) {
    uint64_t stamp = 0, now = now_ns();
    bytes -= stamp_bytes(r);
    memcpy(&stamp, theirs, stamp_bytes(r));
    if (stamp_bytes(r) && (stamp > now || now - stamp > 60000000000)) fail("message %llu has the stamp %llu", (unsigned long long)sequence, (unsigned long long)stamp);
    if (bytes != size_of(sequence, longest(r))) fail("message %llu has %llu bytes", (unsigned long long)sequence, (unsigned long long)bytes);
    fill(sequence, mine, bytes);
    if (memcmp(mine, theirs + stamp_bytes(r), bytes) != 0) fail("message %llu is torn", (unsigned long long)sequence);
    return stamp;
}

void say(const char *line) {
    printf("%s\n", line);
    fflush(stdout);
}

void pause_for(uint64_t nanoseconds) {
    struct timespec time = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)};
    nanosleep(&time, NULL);
}

/* create PATH CAPACITY ALIGN ROWS FIRST EVICT_NS plain|stamps */
static void create(char **arguments) {
    struct sizes is = {0};
    is.capacity = argument(arguments[1]);
    is.block = is.capacity / 8 < 4096 ? is.capacity / 8 : 4096;
    is.align = argument(arguments[2]);
    is.rows = (uint32_t)argument(arguments[3]);
    is.first = argument(arguments[4]);
    is.evict_ns = argument(arguments[5]);
    if (is.evict_ns) is.features |= EVICTS;
    if (strcmp(arguments[6], "stamps") == 0) {
        is.features |= STAMPS;
        is.board = 608 * is.rows;
    }
    if (!create_ring(arguments[0], &is)) fail("%s is there already", arguments[0]);
}

/* The payload of a message in `mine`, with its stamp. Returns how many bytes it has. */
static uint32_t payload_of(struct ring *r, uint64_t sequence) {
    uint64_t now = now_ns(), stamp = stamp_bytes(r);
    uint32_t bytes = size_of(sequence, longest(r));
    memcpy(mine, &now, stamp);
    fill(sequence, mine + stamp, bytes);
    return bytes + (uint32_t)stamp;
}

/* produce PATH UNTIL MOST_IN_A_BATCH close|open gaps|whole: publishes up to message UNTIL. */
static void produce_until(char **arguments) {
    struct ring r;
    open_ring(arguments[0], true, &r);
    uint64_t until = argument(arguments[1]), most = argument(arguments[2]), random = (uint64_t)getpid();
    mine = calloc(1, (size_t)r.is.largest + 8);
    struct producer *p = produce(&r, true);
    bool gaps = strcmp(arguments[4], "gaps") == 0;
    say("ready");
    while (next_of(p) != until) {
        if (gaps && gap_at(next_of(p)) != 0) {
            skip_to(p, next_of(p) + gap_at(next_of(p)), 7);
            continue;
        }
        random = random * 6364136223846793005 + 1442695040888963407;
        uint64_t batch = most < 2 ? 1 : (random >> 33) % most;
        uint64_t sequence = next_of(p), left = until - sequence;
        uint32_t bytes = payload_of(&r, sequence);
        if (batch < 2 || left < 2 || !begin_batch(p, mine, bytes)) {
            publish(p, mine, bytes);
            continue;
        }
        for (uint64_t more = 1; more < batch && more < left; more++) {
            if (gaps && gap_at(sequence + more) != 0) break;
            bytes = payload_of(&r, sequence + more);
            if (!add_to_batch(p, mine, bytes)) break;
        }
        if ((random >> 20) % 8 == 0)
            give_batch_up(p);
        else
            commit_batch(p);
    }
    leave_producer(p, strcmp(arguments[3], "close") == 0);
    say("done");
}

/* produce-when-told PATH: publishes one message for each line, and says how many sleepers it woke. */
static void produce_when_told(char **arguments) {
    struct ring r;
    char line[16];
    open_ring(arguments[0], true, &r);
    mine = calloc(1, (size_t)r.is.largest + 8);
    struct producer *p = produce(&r, true);
    say("ready");
    while (fgets(line, sizeof line, stdin)) {
        publish(p, mine, payload_of(&r, next_of(p)));
        printf("%llu\n", (unsigned long long)woken_by(p));
        fflush(stdout);
    }
    leave_producer(p, true);
}

static uint64_t rest_ns;

static void rest_at_times(void) {
    static uint64_t calls;
    if (calls++ % 16 == 0) pause_for(rest_ns);
}

static enum start start_of(const char *text, uint64_t *sequence) {
    if (strcmp(text, "oldest") == 0) return OLDEST;
    if (strcmp(text, "latest") == 0) return LATEST;
    *sequence = argument(text);
    return EXACTLY;
}

/* consume PATH START COUNT PAUSE_NS LIMIT_NS [CURSOR FILE]: to the end, or COUNT messages. It pauses now and then, in the middle of a copy. LIMIT_NS is how long it sleeps at most; 0: polls.
 * FILE holds the message that was received last, before it is acknowledged. */
static void consume_all(char **arguments, int count) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    uint64_t sequence = 0, missed, wanted = argument(arguments[2]), limit = argument(arguments[4]);
    rest_ns = argument(arguments[3]);
    pause_here = rest_ns ? rest_at_times : NULL;
    enum start start = start_of(arguments[1], &sequence);
    const char *cursor = count > 5 ? arguments[5] : NULL;
    int progress = cursor ? open(arguments[6], O_RDWR | O_CLOEXEC) : -1;
    mine = calloc(1, (size_t)r.is.largest + 8);
    theirs = calloc(1, (size_t)r.is.largest + 8);
    struct consumer *c = consume(&r, start, sequence, cursor, limit != 0, &missed);
    uint64_t received = 0, first = next_for(c) - missed, bytes, seen;
    if (cursor && pread(progress, &seen, 8, 0) == 8 && first != seen && first != seen + 1)
        fail("the cursor goes on at %llu behind %llu", (unsigned long long)first, (unsigned long long)seen);
    say("ready");
    for (bool ended = false; received < wanted;) {
        switch (receive(c, theirs, &sequence, &bytes)) {
        case MESSAGE:
            seen = check(&r, sequence, bytes);
            if (stamp_bytes(&r)) count_stamp(&r, row_of(c), seen);
            if (first + received + missed != sequence) fail("message %llu is out of order", (unsigned long long)sequence);
            received++;
            if (progress >= 0 && pwrite(progress, &sequence, 8, 0) != 8) fail("progress: %s", strerror(errno));
            give_back(c);
            continue;
        case MISSED:
            missed += bytes;
            continue;
        case OUT:
            /* It leaves the row and takes another. */
            sequence = next_for(c);
            leave_consumer(c);
            c = consume(&r, OLDEST, 0, NULL, limit != 0, &bytes);
            missed += next_for(c) - sequence;
            continue;
        case NOTHING:
            break;
        }
        if (ended) break;
        if (is_closed(&r))
            ended = true;
        else if (limit == 0)
            pause_for(20000);
        else
            wait_for_message(c, limit);
    }
    leave_consumer(c);
    printf("first %llu received %llu missed %llu\n", (unsigned long long)first, (unsigned long long)received, (unsigned long long)missed);
}

/* observe PATH START newest|oldest LIMIT_NS: to the end. */
static void observe_all(char **arguments) {
    struct ring r;
    open_ring(arguments[0], false, &r);
    uint64_t sequence = 0, limit = argument(arguments[3]), bytes;
    enum start start = start_of(arguments[1], &sequence);
    mine = calloc(1, (size_t)r.is.largest + 8);
    theirs = calloc(1, (size_t)r.is.largest + 8);
    struct observer *o = observe(&r, start, sequence, strcmp(arguments[2], "newest") == 0, limit != 0);
    uint64_t received = 0, missed = 0, first = next_seen(o);
    say("ready");
    for (bool ended = false;;) {
        switch (look(o, theirs, &sequence, &bytes)) {
        case MESSAGE:
            check(&r, sequence, bytes);
            if (first + received + missed != sequence) fail("message %llu is out of order", (unsigned long long)sequence);
            received++;
            continue;
        case MISSED:
            missed += bytes;
            continue;
        case NOTHING:
        case OUT:
            break;
        }
        if (ended) break;
        ended = is_closed(&r);
        if (!ended) wait_for_change(o, limit);
    }
    leave_observer(o);
    printf("first %llu received %llu missed %llu\n", (unsigned long long)first, (unsigned long long)received, (unsigned long long)missed);
}

/* refuse FILE: says why the description in a file is refused, or that it is not. */
static void refuse(char **arguments) {
    uint8_t page[4096];
    struct sizes is;
    int file = open(arguments[0], O_RDONLY | O_CLOEXEC);
    if (file < 0 || pread(file, page, sizeof page, 0) != sizeof page) fail("read %s", arguments[0]);
    const char *why = decode(page, &is);
    say(why ? why : "accepted");
}

/* vector FILE: what must be read of a vector. */
static void vector(char **arguments) { read_vector(arguments[0]); }

/* schemas FILE: of each line, the hash without hints and the bytes of a message, or that it is refused. */
static void schemas(char **arguments) {
    char line[8192];
    FILE *file = fopen(arguments[0], "r");
    if (!file) fail("open %s", arguments[0]);
    while (fgets(line, sizeof line, file)) {
        uint64_t without, bytes;
        line[strcspn(line, "\n")] = 0;
        if (read_schema(line, strlen(line), &without, &bytes))
            printf("%016llx %llu\n", (unsigned long long)without, (unsigned long long)bytes);
        else
            printf("refused\n");
    }
    fclose(file);
}

int main(int count, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char *verb = count > 2 ? arguments[1] : "";
    if (strcmp(verb, "create") == 0 && count == 9)
        create(arguments + 2);
    else if (strcmp(verb, "produce") == 0 && count == 7)
        produce_until(arguments + 2);
    else if (strcmp(verb, "produce-when-told") == 0)
        produce_when_told(arguments + 2);
    else if (strcmp(verb, "consume") == 0 && (count == 7 || count == 9))
        consume_all(arguments + 2, count - 2);
    else if (strcmp(verb, "observe") == 0 && count == 6)
        observe_all(arguments + 2);
    else if (strcmp(verb, "refuse") == 0)
        refuse(arguments + 2);
    else if (strcmp(verb, "vector") == 0)
        vector(arguments + 2);
    else if (strcmp(verb, "schemas") == 0)
        schemas(arguments + 2);
    else if (!form_command(verb, count - 2, arguments + 2))
        fail("usage: second VERB PATH ...");
    return 0;
}
