/* Links and named pipes whose sides wait for each other in event loops and wait sets: any order, late and never, given up, refused,
   in a fork. */
#include "sides.h"

#include <sys/epoll.h>
#include <sys/wait.h>

static int fd_of(slipring_connecting *waits) {
    int fd = -1, again = -1;
    OK(slipring_connecting_fd(waits, &fd));
    OK(slipring_connecting_fd(waits, &again));
    CHECK(fd >= 0 && fd == again);
    return fd;
}

static bool armed(slipring_connecting *waits) {
    bool ready = true;
    OK(slipring_connecting_arm(waits, &ready));
    if (!ready)
        watched(waits);
    return ready;
}

/* As `sleeps`, of sides; a consumer beside them is 2, and looks again now and then. */
static unsigned side_wakes(int events, slipring_consumer *beside) {
    for (;;) {
        unsigned found = sleeps(events);
        if (found != 2)
            return found;
        bool ready = true;
        slipring_message message;
        IS(SLIPRING_E_TRY_RECEIVE_EMPTY, slipring_consumer_receive(beside, 0, &message));
        OK(slipring_consumer_arm(beside, &ready));
        CHECK(!ready);
    }
}

/* Two sides in one loop, by edges, beside a ring: whoever is first sleeps until the other comes. */
static void in_one_loop(int kind, int first) {
    struct place place = made(kind);
    slipring_ring *ring = NULL;
    slipring_consumer *consumer = NULL;
    slipring_connecting *waits[2] = {NULL, NULL};
    int events = epoll_create1(EPOLL_CLOEXEC), fd = -1;
    bool ready = true, met[2] = {false, false};
    OK(slipring_ring_create("beside", NULL, &ring));
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    OK(slipring_consumer_fd(consumer, &fd));
    OK(slipring_consumer_arm(consumer, &ready));
    CHECK(!ready);
    add(events, fd, 2);
    for (int turn = 0; turn < 2; turn++) {
        int side = turn == 0 ? first : 1 - first;
        waits[side] = begun(&place, side);
        used(waits[side]);
        add(events, fd_of(waits[side]), (unsigned)side);
        if (turn == 0)
            CHECK(!meets(waits[side]) && !armed(waits[side]) && !meets(waits[side]) && !armed(waits[side]));
    }
    CHECK(side_wakes(events, consumer) == (unsigned)first);
    while (!met[0] || !met[1]) {
        bool some = false;
        for (int side = 0; side < 2; side++) {
            met[side] = met[side] || meets(waits[side]);
            some = some || met[side] || armed(waits[side]);
        }
        if (!some)
            (void)side_wakes(events, consumer);
    }
    /* It stays so, and is told by the descriptor. */
    CHECK(meets(waits[0]) && meets(waits[1]) && armed(waits[0]) && armed(waits[1]));
    int fds[] = {fd_of(waits[0]), fd_of(waits[1])};
    struct side sides[] = {finished(&place, 0, &waits[0]), finished(&place, 1, &waits[1])};
    talk(sides);
    /* What receives has the descriptor still. */
    int kept = -1;
    struct side *receives = &sides[1];
    OK(receives->link ? slipring_link_fd(receives->link, &kept) : slipring_pipe_reader_fd(receives->reader, &kept));
    CHECK(kept == fds[1]);
    do
        OK(receives->link ? slipring_link_arm(receives->link, &ready) : slipring_pipe_reader_arm(receives->reader, &ready));
    while (ready);
    say(&sides[0], 19);
    while (side_wakes(events, consumer) != 1)
        ;
    hear(receives, 19);
    leave(&sides[0]);
    leave(&sides[1]);
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
    OK(slipring_ring_remove("beside"));
    removed(&place);
    close(events);
}

/* The other side is another process that waits in a call, and comes late. A set waits, or its descriptor is polled. */
static void a_late_process(int kind, int side, bool by_descriptor) {
    struct place place = made(kind);
    slipring_wait_set *set = NULL;
    slipring_interruption *beside = NULL;
    size_t found = 0;
    int fd = -1, events = epoll_create1(EPOLL_CLOEXEC);
    slipring_connecting *waits = begun(&place, side);
    OK(slipring_interruption_create(&beside));
    void *handles[] = {beside, waits};
    OK(slipring_wait_set_create(-1, &set));
    OK(slipring_wait_set_wait(set, handles, 2, 1000, &found));
    CHECK(found == 2 && !meets(waits));
    used(set);
    OK(slipring_wait_set_fd(set, &fd));
    add(events, fd, 0);
    OK(slipring_wait_set_arm(set, handles, 2, &found));
    CHECK(found == 2);
    pid_t child = forked();
    if (child == 0) {
        struct place theirs = {.kind = kind, .fifo = NULL};
        if (kind != A_LINK)
            OK(slipring_fifo_open("orders", 0, &theirs.fifo));
        struct side other = waited(&theirs, 1 - side);
        struct side sides[2] = {other, other};
        if (side == 1 || kind != ONE_WAY)
            say(&sides[0], 20);
        if (side == 0 || kind != ONE_WAY)
            hear(&sides[1], 21);
        leave(&other);
        _exit(0);
    }
    while (!meets(waits)) {
        if (by_descriptor) {
            OK(slipring_wait_set_arm(set, handles, 2, &found));
            if (found == 2)
                CHECK(sleeps(events) == 0);
        } else {
            OK(slipring_wait_set_wait(set, handles, 2, MINUTE, &found));
            CHECK(found == 1);
        }
    }
    OK(slipring_wait_set_wait(set, handles, 2, 0, &found));
    CHECK(found == 1);
    struct side ours = finished(&place, side, &waits);
    if (side == 1 || kind != ONE_WAY)
        hear(&ours, 20);
    if (side == 0 || kind != ONE_WAY)
        say(&ours, 21);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    leave(&ours);
    OK(slipring_wait_set_close(&set));
    OK(slipring_interruption_close(&beside));
    close(events);
    removed(&place);
}

static slipring_status taken(int kind) {
    return kind == A_LINK ? SLIPRING_E_LINK_TAKEN : SLIPRING_E_SYSTEM;
}

/* Nobody comes: a finish ends at its deadline, and leaves the place. So does closing what waits. */
static void never(int kind, int side) {
    struct place place = made(kind);
    slipring_connecting *waits = NULL, *second = NULL;
    struct side with;
    const slipring_status late = kind == A_LINK ? SLIPRING_E_LINK_TIMED_OUT : SLIPRING_E_PIPE_TIMED_OUT;
    int64_t timeouts[] = {0, 1, 2000000};
    for (size_t at = 0; at < 3; at++) {
        waits = begun(&place, side);
        CHECK(at == 1 || fd_of(waits) >= 0);
        if (kind != BOTH_WAYS)
            IS(taken(kind), begin_with(&place, side, NULL, &second));
        CHECK(second == NULL && !meets(waits));
        IS(late, finish(&place, side, &waits, timeouts[at], &with));
        CHECK(slipring_is_timeout(late) && waits == NULL && !with.link && !with.reader && !with.writer);
    }
    waits = begun(&place, side);
    if (kind == BOTH_WAYS) {
        /* The third is refused, and the first waits on for the next. */
        slipring_connecting *other = begun(&place, side);
        IS(taken(kind), begin_with(&place, side, NULL, &second));
        OK(slipring_connecting_close(&other));
        CHECK(!meets(waits));
    }
    OK(slipring_connecting_close(&waits));
    OK(slipring_connecting_close(&waits));
    CHECK(waits == NULL);
    waits = begun(&place, side);
    second = begun(&place, 1 - side);
    both_meet(waits, second);
    /* The other side leaves before this one has its handle. */
    OK(slipring_connecting_close(&second));
    OK(finish(&place, side, &waits, 0, &with));
    slipring_message message;
    char byte;
    size_t came = 1;
    if (kind == A_LINK)
        IS(SLIPRING_E_LINK_PEER_GONE, slipring_link_receive(with.link, MINUTE, &message));
    else if (with.reader)
        CHECK(slipring_pipe_reader_read(with.reader, &byte, 1, MINUTE, &came) == 0 && came == 0);
    else
        IS(SLIPRING_E_PIPE_BROKEN, slipring_pipe_writer_write(with.writer, "x", 1, MINUTE, NULL));
    leave(&with);
    CHECK(!with.link && !with.reader && !with.writer);
    removed(&place);
}

/* A fork is told by each call, and disturbs nothing. */
static void a_fork(int kind, int side) {
    struct place place = made(kind);
    slipring_connecting *waits[2];
    waits[side] = begun(&place, side);
    (void)fd_of(waits[side]);
    used(waits[side]);
    CHECK(!armed(waits[side]));
    const slipring_status forks = kind == A_LINK ? SLIPRING_E_LINK_FORKED : SLIPRING_E_PUBLISH_FORKED;
    for (int turn = 0; turn < 2; turn++) {
        /* Before and after both have met. */
        pid_t child = forked();
        if (child == 0) {
            bool met = false, ready = false;
            struct side with;
            slipring_connecting *copy = waits[side];
            slipring_status looked = slipring_connecting_try_meet(waits[side], &met);
            slipring_status arms = slipring_connecting_arm(waits[side], &ready);
            slipring_status ends = finish(&place, side, &waits[side], MINUTE, &with);
            if (turn == 1 && slipring_connecting_close(&waits[1 - side]) != 0)
                _exit(6);
            _exit(looked != forks ? 1 : arms != 0 ? 2 : !ready ? 3 : ends != forks ? 4 : waits[side] || !copy ? 5 : 0);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
        if (WEXITSTATUS(status) != 0)
            fprintf(stderr, "the child of turn %d: %d\n", turn, WEXITSTATUS(status));
        CHECK(WEXITSTATUS(status) == 0);
        if (turn == 0) {
            waits[1 - side] = begun(&place, 1 - side);
            both_meet(waits[0], waits[1]);
        }
    }
    struct side sides[] = {finished(&place, 0, &waits[0]), finished(&place, 1, &waits[1])};
    talk(sides);
    leave(&sides[0]);
    leave(&sides[1]);
    removed(&place);
}

int main(void) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int side = 0; side < 2; side++) {
            in_one_loop(kind, side);
            a_late_process(kind, side, false);
            a_late_process(kind, side, true);
            never(kind, side);
            a_fork(kind, side);
        }
    return 0;
}
