/* What waits for its other side: what is refused, and leaves it as it was; what ends it; and links that connect again. */
#include "sides.h"

#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

static slipring_connecting *begins(const char *me, const char *peer) {
    slipring_connecting *waits = NULL;
    OK(slipring_link_begin_connect(me, peer, NULL, 0, NULL, &waits));
    return waits;
}

/* Two links that have met, in one thread. */
static void connected(slipring_link **one, slipring_link **other) {
    slipring_connecting *waits = begins("engine", "gateway"), *comes = begins("gateway", "engine");
    both_meet(waits, comes);
    OK(slipring_connecting_link(&waits, 0, one));
    OK(slipring_connecting_link(&comes, 0, other));
}

static void beginnings(void) {
    slipring_connecting *waits = NULL;
    slipring_fifo *fifo = NULL;
    slipring_options options = {.struct_size = sizeof options};
    OK(slipring_fifo_create("fifo", NULL, &fifo));
    IS(SLIPRING_E_NULL, slipring_link_begin_connect("engine", "gateway", NULL, 0, NULL, NULL));
    IS(SLIPRING_E_NULL, slipring_link_begin_connect(NULL, "gateway", NULL, 0, NULL, &waits));
    IS(SLIPRING_E_NULL, slipring_link_begin_connect("engine", NULL, NULL, 0, NULL, &waits));
    IS(SLIPRING_E_LINK_NAME, slipring_link_begin_connect("engine", "engine", NULL, 0, NULL, &waits));
    IS(SLIPRING_E_TEXT, slipring_link_begin_connect("engine", "gateway", "\xff", 0, NULL, &waits));
    CHECK(slipring_link_begin_connect("engine", "gateway", NULL, 5000, NULL, &waits) != 0);
    IS(SLIPRING_E_NULL, slipring_link_begin_reconnect(NULL, &waits));
    IS(SLIPRING_E_NULL, slipring_fifo_begin_reader(NULL, NULL, &waits));
    IS(SLIPRING_E_NULL, slipring_fifo_begin_writer(fifo, NULL, NULL));
    IS(SLIPRING_E_NULL, slipring_fifo_begin_reader(fifo, NULL, NULL));
    IS(SLIPRING_E_SYSTEM, slipring_fifo_begin_connect(fifo, NULL, &waits)); /* it goes one way */
    slipring_connecting *other = begins("one", "two");
    IS(SLIPRING_E_HANDLE, slipring_fifo_begin_writer((slipring_fifo *)(void *)other, NULL, &waits));
    OK(slipring_connecting_close(&other));
    for (int at = 0; at < 3; at++) {
        slipring_options wrong = options;
        if (at == 0)
            wrong.struct_size--;
        else if (at == 1)
            wrong.read_policy = SLIPRING_READ_AT_HEAD;
        else
            wrong.strategy = 5;
        slipring_status status = at == 0 ? SLIPRING_E_STRUCT_SIZE : SLIPRING_E_ARGUMENT;
        IS(status, slipring_link_begin_connect("engine", "gateway", NULL, 0, &wrong, &waits));
        IS(status, slipring_fifo_begin_reader(fifo, &wrong, &waits));
        IS(status, slipring_fifo_begin_writer(fifo, &wrong, &waits));
        IS(status, slipring_fifo_begin_connect(fifo, &wrong, &waits));
    }
    CHECK(waits == NULL);
    options.strategy = SLIPRING_STRATEGY_PARK;
    OK(slipring_fifo_begin_reader(fifo, &options, &waits));
    OK(slipring_connecting_close(&waits));
    OK(slipring_fifo_close(&fifo));
}

/* A finish that is refused leaves what waits, its place and its descriptor as they were. */
static void what_stays(void) {
    slipring_fifo *fifo = NULL, *chat = NULL;
    slipring_fifo_options both = {.struct_size = sizeof both, .both_ways = 1};
    OK(slipring_fifo_create("orders", NULL, &fifo));
    OK(slipring_fifo_create("chat", &both, &chat));
    slipring_connecting *all[4] = {begins("engine", "gateway"), NULL, NULL, NULL}, *none = NULL;
    OK(slipring_fifo_begin_reader(fifo, NULL, &all[1]));
    OK(slipring_fifo_begin_writer(fifo, NULL, &all[2]));
    OK(slipring_fifo_begin_connect(chat, NULL, &all[3]));
    slipring_link *link = NULL;
    slipring_pipe_reader *reader = NULL;
    slipring_pipe_writer *writer = NULL;
    static const char *const calls[] = {"_link", "_reader", "_writer", "_ends"};
    for (size_t at = 0; at < 4; at++) {
        slipring_connecting **waits = &all[at], *before = all[at];
        bool ready = true;
        int fd = -1, again = -1;
        IS(SLIPRING_E_ARGUMENT, slipring_connecting_arm(*waits, &ready));
        OK(slipring_connecting_fd(*waits, &fd));
        for (size_t call = 0; call < 4; call++) {
            if (call == at)
                continue;
            slipring_status status = call == 0   ? slipring_connecting_link(waits, -1, &link)
                                     : call == 1 ? slipring_connecting_reader(waits, -1, &reader)
                                     : call == 2 ? slipring_connecting_writer(waits, -1, &writer)
                                                 : slipring_connecting_ends(waits, -1, &reader, &writer);
            IS(SLIPRING_E_ARGUMENT, status);
            CHECK(strstr(slipring_error_message(), calls[at]) != NULL);
        }
        IS(SLIPRING_E_NULL, slipring_connecting_link(waits, -1, NULL));
        IS(SLIPRING_E_NULL, slipring_connecting_reader(waits, -1, NULL));
        IS(SLIPRING_E_NULL, slipring_connecting_writer(waits, -1, NULL));
        IS(SLIPRING_E_NULL, slipring_connecting_ends(waits, -1, &reader, NULL));
        IS(SLIPRING_E_NULL, slipring_connecting_ends(waits, -1, NULL, &writer));
        IS(SLIPRING_E_NULL, slipring_connecting_try_meet(*waits, NULL));
        IS(SLIPRING_E_NULL, slipring_connecting_arm(*waits, NULL));
        IS(SLIPRING_E_NULL, slipring_connecting_fd(*waits, NULL));
        CHECK(*waits == before && link == NULL && reader == NULL && writer == NULL);
        OK(slipring_connecting_arm(*waits, &ready));
        OK(slipring_connecting_fd(*waits, &again));
        /* The two ends of the one pipe have each other to meet. */
        CHECK(fd == again && ready == (at == 1 || at == 2));
    }
    IS(SLIPRING_E_NULL, slipring_connecting_link(NULL, -1, &link));
    IS(SLIPRING_E_NULL, slipring_connecting_reader(&none, -1, &reader));
    IS(SLIPRING_E_NULL, slipring_connecting_try_meet(NULL, NULL));
    both_meet(all[1], all[2]);
    /* Another kind of handle is none. */
    OK(slipring_connecting_reader(&all[1], 0, &reader));
    bool met = true;
    slipring_connecting *is_reader = (slipring_connecting *)(void *)reader;
    IS(SLIPRING_E_HANDLE, slipring_connecting_try_meet(is_reader, &met));
    IS(SLIPRING_E_HANDLE, slipring_connecting_reader(&is_reader, 0, &reader));
    IS(SLIPRING_E_HANDLE, slipring_connecting_close(&is_reader));
    OK(slipring_connecting_writer(&all[2], 0, &writer));
    OK(slipring_pipe_reader_close(&reader));
    OK(slipring_pipe_writer_close(&writer));
    OK(slipring_connecting_close(&all[0]));
    OK(slipring_connecting_close(&all[3]));
    OK(slipring_fifo_close(&fifo));
    OK(slipring_fifo_close(&chat));
}

struct call {
    slipring_connecting *waits;
    slipring_link *link;
};

static void *finishes(void *argument) {
    struct call *call = (struct call *)argument;
    slipring_status status;
    while ((status = slipring_connecting_link(&call->waits, MINUTE, &call->link)) == SLIPRING_E_BUSY)
        sched_yield();
    OK(status);
    return NULL;
}

/* A finish that waits has the turn until its end. */
static void in_a_call_of_another_thread(void) {
    struct call call = {begins("engine", "gateway"), NULL};
    slipring_connecting *waits = call.waits;
    slipring_wait_set *set = NULL;
    slipring_link *link = NULL, *other = NULL;
    void *handles[] = {waits};
    size_t found = 0;
    bool answer = false;
    int fd = -1;
    slipring_status status;
    pthread_t thread;
    OK(slipring_wait_set_create(0, &set));
    CHECK(pthread_create(&thread, NULL, finishes, &call) == 0);
    while ((status = slipring_connecting_try_meet(waits, &answer)) == 0)
        sched_yield();
    IS(SLIPRING_E_BUSY, status);
    IS(SLIPRING_E_BUSY, slipring_connecting_arm(waits, &answer));
    IS(SLIPRING_E_BUSY, slipring_connecting_fd(waits, &fd));
    IS(SLIPRING_E_BUSY, slipring_use_io_uring(waits));
    IS(SLIPRING_E_BUSY, slipring_wait_set_wait(set, handles, 1, MINUTE, &found));
    slipring_connecting *copy = waits;
    IS(SLIPRING_E_BUSY, slipring_connecting_link(&copy, 0, &link));
    IS(SLIPRING_E_BUSY, slipring_connecting_close(&copy));
    CHECK(copy == waits && link == NULL);
    OK(slipring_link_connect("gateway", "engine", NULL, 0, NULL, MINUTE, &other));
    CHECK(pthread_join(thread, NULL) == 0 && call.waits == NULL && call.link != NULL);
    OK(slipring_link_close(&call.link));
    OK(slipring_link_close(&other));
    OK(slipring_wait_set_close(&set));
}

/* The capacity and the directory are those of the call that waits. */
static void what_was_asked_for(void) {
    slipring_connecting *waits[2] = {NULL, NULL};
    slipring_link *links[2] = {NULL, NULL};
    uint32_t small = 0, large = 0;
    char directory[4096];
    CHECK(snprintf(directory, sizeof directory, "%s/elsewhere", getenv("SLIPRING_DIR")) > 0 && mkdir(directory, 0700) == 0);
    OK(slipring_link_begin_connect("engine", "gateway", directory, 4096, NULL, &waits[0]));
    OK(slipring_link_begin_connect("gateway", "engine", directory, 0, NULL, &waits[1]));
    slipring_connecting *here = begins("engine", "gateway");
    both_meet(waits[0], waits[1]);
    CHECK(!meets(here));
    OK(slipring_connecting_close(&here));
    for (int at = 0; at < 2; at++)
        OK(slipring_connecting_link(&waits[at], 0, &links[at]));
    OK(slipring_link_peer(links[1], NULL, &small));
    OK(slipring_link_close(&links[0]));
    OK(slipring_link_close(&links[1]));
    connected(&links[0], &links[1]);
    OK(slipring_link_peer(links[1], NULL, &large));
    CHECK(small > 0 && small < 4096 && large > 4096);
    OK(slipring_link_close(&links[0]));
    OK(slipring_link_close(&links[1]));
}

/* A link becomes what waits, with its name and its descriptor. */
static void again(void) {
    slipring_link *link = NULL, *other = NULL;
    slipring_connecting *waits = NULL;
    slipring_message message;
    int fd = -1, kept = -1;
    bool ready = true;
    connected(&link, &other);
    OK(slipring_link_fd(link, &fd));
    used(link);
    /* Added once. Another descriptor with the number of one that was closed is not there. */
    int events = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event old;
    add(events, fd, 0);
    for (int turn = 0; turn < 3; turn++) {
        OK(slipring_link_send(other, "first", 5, MINUTE, NULL));
        OK(slipring_link_send(other, "second", 6, MINUTE, NULL));
        OK(slipring_link_receive(link, MINUTE, &message));
        slipring_link *before = link;
        IS(SLIPRING_E_LENT, slipring_link_begin_reconnect(&link, &waits));
        IS(SLIPRING_E_NULL, slipring_link_begin_reconnect(&link, NULL));
        CHECK(link == before && waits == NULL && message.len == 5 && memcmp(message.data, "first", 5) == 0);
        OK(slipring_link_release(link));
        /* Also while the other side is there; what it sent before is never received. */
        if (turn > 0)
            OK(slipring_link_close(&other));
        OK(slipring_link_begin_reconnect(&link, &waits));
        CHECK(link == NULL);
        OK(slipring_connecting_fd(waits, &kept));
        CHECK(kept == fd && !meets(waits));
        /* It may be readable for an earlier reason; what was taken of that is armed anew. */
        do {
            OK(slipring_connecting_arm(waits, &ready));
            CHECK(!ready);
            watched(waits);
        } while (epoll_wait(events, &old, 1, 0) > 0);
        IS(SLIPRING_E_LINK_TAKEN, slipring_link_connect("engine", "gateway", NULL, 0, NULL, 0, &link));
        if (turn == 0) {
            IS(SLIPRING_E_LINK_PEER_GONE, slipring_link_send(other, "x", 1, 0, NULL));
            slipring_connecting *comes = NULL;
            OK(slipring_link_begin_reconnect(&other, &comes));
            CHECK(!meets(comes) && sleeps(events) == 0);
            both_meet(waits, comes);
            OK(slipring_connecting_link(&comes, 0, &other));
        } else {
            slipring_connecting *comes = begins("gateway", "engine");
            CHECK(!meets(comes) && sleeps(events) == 0);
            both_meet(waits, comes);
            OK(slipring_connecting_link(&comes, 0, &other));
        }
        OK(slipring_connecting_link(&waits, 0, &link));
        OK(slipring_link_fd(link, &kept));
        CHECK(kept == fd);
        do
            OK(slipring_link_arm(link, &ready));
        while (ready || epoll_wait(events, &old, 1, 0) > 0);
        OK(slipring_link_send(other, "new", 3, MINUTE, NULL));
        CHECK(sleeps(events) == 0);
        OK(slipring_link_receive(link, MINUTE, &message));
        CHECK(message.len == 3 && memcmp(message.data, "new", 3) == 0);
        OK(slipring_link_release(link));
    }
    close(events);
    /* One that gives up has left its name. */
    OK(slipring_link_begin_reconnect(&link, &waits));
    IS(SLIPRING_E_LINK_TIMED_OUT, slipring_connecting_link(&waits, 1000, &link));
    CHECK(waits == NULL && link == NULL);
    waits = begins("engine", "gateway");
    /* In a fork each call says so. */
    pid_t child = forked();
    if (child == 0) {
        slipring_connecting *copy = NULL;
        bool met = false;
        slipring_status begins = slipring_link_begin_reconnect(&other, &copy);
        slipring_status looked = begins == 0 ? slipring_connecting_try_meet(copy, &met) : begins;
        slipring_status ends = begins == 0 ? slipring_connecting_link(&copy, MINUTE, &other) : begins;
        _exit(looked == SLIPRING_E_LINK_FORKED && ends == SLIPRING_E_LINK_FORKED ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    OK(slipring_link_close(&other));
    OK(slipring_connecting_close(&waits));
}

/* The link is deleted under what waits: each call says so, and the next one is another. */
static void deleted(void) {
    slipring_connecting *waits = begins("engine", "gateway");
    slipring_link *link = NULL;
    bool met = true;
    CHECK(!meets(waits));
    CHECK(system("rm -r \"$SLIPRING_DIR\"/engine..gateway") == 0);
    IS(SLIPRING_E_LINK_REMOVED, slipring_connecting_try_meet(waits, &met));
    IS(SLIPRING_E_LINK_REMOVED, slipring_connecting_try_meet(waits, &met));
    IS(SLIPRING_E_LINK_REMOVED, slipring_connecting_link(&waits, -1, &link));
    CHECK(waits == NULL && link == NULL);
    waits = begins("engine", "gateway");
    CHECK(!meets(waits));
    OK(slipring_connecting_close(&waits));
}

int main(void) {
    beginnings();
    what_stays();
    in_a_call_of_another_thread();
    what_was_asked_for();
    again();
    deleted();
    return 0;
}
