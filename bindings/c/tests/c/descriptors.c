/* Descriptors in epoll, by edges: who makes them readable, a thread of the process or the kernel, and what is refused. */
#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RINGS = 3, MESSAGES = 3000 };

static slipring_ring *created(const char *name) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = 4096};
    slipring_ring *ring = NULL;
    OK(slipring_ring_create(name, &options, &ring));
    return ring;
}

static bool uses(void *handle) {
    bool found = false;
    OK(slipring_uses_io_uring(handle, &found));
    return found;
}

static int watching(int fd) {
    int events = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    CHECK(events >= 0 && epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) == 0);
    return events;
}

static void sleeps(int events) {
    struct epoll_event event;
    int found;
    /* The end of an io_uring interrupts the thread that used it. */
    do
        found = epoll_wait(events, &event, 1, 60000);
    while (found < 0 && errno == EINTR);
    CHECK(found == 1);
}

static void *feed(void *argument) {
    slipring_ring *ring = (slipring_ring *)argument;
    slipring_producer *producer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    for (uint64_t at = 0; at < MESSAGES; at++) {
        OK(slipring_producer_publish(producer, &at, sizeof at, MINUTE, NULL));
        if (at % 7 == 0)
            sched_yield();
    }
    OK(slipring_producer_close(&producer));
    return NULL;
}

/* Takes the messages that are there now. Returns whether the ring has ended. */
static bool drain(slipring_consumer *consumer, uint64_t *next) {
    slipring_message message;
    slipring_status status;
    while ((status = slipring_consumer_receive(consumer, 0, &message)) == 0) {
        uint64_t value;
        memcpy(&value, message.data, sizeof value);
        CHECK(value == (*next)++);
        OK(slipring_consumer_release(consumer));
    }
    CHECK(status == SLIPRING_E_TRY_RECEIVE_EMPTY || status == SLIPRING_E_TRY_RECEIVE_CLOSED);
    return status == SLIPRING_E_TRY_RECEIVE_CLOSED;
}

/* Receives everything that `feed` publishes in a loop, and says who made the descriptor readable. */
static bool received_by_kernel(slipring_ring *ring, slipring_consumer *consumer) {
    int fd = -1;
    OK(slipring_consumer_fd(consumer, &fd));
    int events = watching(fd);
    bool ready = true, kernel = false;
    uint64_t next = 0;
    CHECK(!drain(consumer, &next));
    OK(slipring_consumer_arm(consumer, &ready));
    CHECK(!ready && next == 0);
    kernel = uses(consumer);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, feed, ring) == 0);
    for (bool over = false; !over;) {
        if (!ready)
            sleeps(events);
        over = drain(consumer, &next);
        OK(slipring_consumer_arm(consumer, &ready));
        CHECK(ready || uses(consumer) == kernel);
    }
    CHECK(pthread_join(thread, NULL) == 0 && next == MESSAGES);
    close(events);
    return kernel;
}

static slipring_consumer *consumes(slipring_ring *ring) {
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_consumer(ring, SLIPRING_LATEST, 0, NULL, &consumer));
    return consumer;
}

static void one_consumer(void) {
    slipring_ring *ring = created("one");
    slipring_consumer *consumer = consumes(ring);
    CHECK(!uses(consumer));
    used(consumer); /* which makes the descriptor */
    CHECK(!uses(consumer));
    CHECK(received_by_kernel(ring, consumer) == by_io_uring());
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
}

static void a_wait_set(void) {
    static const char *const names[RINGS] = {"first", "second", "third"};
    slipring_ring *rings[RINGS];
    slipring_consumer *consumers[RINGS];
    void *handles[RINGS];
    size_t index[RINGS], open = RINGS, found = 0;
    pthread_t threads[RINGS];
    uint64_t next[RINGS] = {0};
    slipring_wait_set *set = NULL;
    int fd = -1, again = -1;
    OK(slipring_wait_set_create(-1, &set));
    for (size_t at = 0; at < RINGS; at++) {
        rings[at] = created(names[at]);
        handles[at] = consumers[at] = consumes(rings[at]);
        index[at] = at;
    }
    IS(SLIPRING_E_ARGUMENT, slipring_wait_set_arm(set, handles, open, &found));
    used(set);
    OK(slipring_wait_set_fd(set, &fd));
    OK(slipring_wait_set_fd(set, &again));
    CHECK(fd == again);
    int events = watching(fd);
    OK(slipring_wait_set_arm(set, handles, open, &found));
    CHECK(found == open);
    watched(set);
    for (size_t at = 0; at < RINGS; at++)
        CHECK(pthread_create(&threads[at], NULL, feed, rings[at]) == 0);
    while (open > 0) {
        OK(slipring_wait_set_arm(set, handles, open, &found));
        if (found == open) {
            watched(set);
            sleeps(events);
        } else if (drain(consumers[index[found]], &next[index[found]])) {
            open--;
            handles[found] = handles[open];
            index[found] = index[open];
        }
    }
    for (size_t at = 0; at < RINGS; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0 && next[at] == MESSAGES);
        OK(slipring_consumer_close(&consumers[at]));
        OK(slipring_ring_close(&rings[at]));
    }
    OK(slipring_wait_set_close(&set));
    close(events);
}

static void *receives_elsewhere(void *argument) {
    slipring_ring *ring = (slipring_ring *)argument;
    slipring_consumer *consumer = consumes(ring);
    used(consumer);
    int fd = -1;
    bool ready = true;
    OK(slipring_consumer_fd(consumer, &fd));
    OK(slipring_consumer_arm(consumer, &ready));
    CHECK(!ready);
    watched(consumer);
    return consumer;
}

/* Only the thread that slept first is woken by the kernel, and it may end. */
static void from_thread_to_thread(void) {
    slipring_ring *ring = created("threads");
    pthread_t thread;
    void *made = NULL;
    CHECK(pthread_create(&thread, NULL, receives_elsewhere, ring) == 0);
    CHECK(pthread_join(thread, &made) == 0);
    slipring_consumer *consumer = (slipring_consumer *)made;
    CHECK(!received_by_kernel(ring, consumer));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
}

static void *waits(void *argument) {
    slipring_consumer *consumer = (slipring_consumer *)argument;
    slipring_message message;
    slipring_status status;
    while ((status = slipring_consumer_receive(consumer, MINUTE, &message)) == SLIPRING_E_BUSY)
        sched_yield();
    OK(status);
    OK(slipring_consumer_release(consumer));
    return NULL;
}

static void what_is_no_handle_with_a_descriptor(void) {
    slipring_ring *ring = created("refused");
    slipring_consumer *consumer = consumes(ring), *closed = NULL;
    slipring_producer *producer = NULL;
    slipring_interruption *interruption = NULL;
    bool found = true;
    OK(slipring_interruption_create(&interruption));
    OK(slipring_ring_producer(ring, NULL, &producer));
    IS(SLIPRING_E_NULL, slipring_use_io_uring(NULL));
    IS(SLIPRING_E_NULL, slipring_uses_io_uring(NULL, &found));
    IS(SLIPRING_E_NULL, slipring_uses_io_uring(consumer, NULL));
    IS(SLIPRING_E_NULL, slipring_use_io_uring((char *)consumer + 1));
    IS(SLIPRING_E_HANDLE, slipring_use_io_uring(ring));
    IS(SLIPRING_E_HANDLE, slipring_uses_io_uring(ring, &found));
    IS(SLIPRING_E_HANDLE, slipring_use_io_uring(interruption));
    CHECK(strstr(slipring_error_message(), "descriptor") != NULL && found);
    OK(slipring_uses_io_uring(consumer, &found));
    CHECK(!found);
    /* In a call of another thread. */
    pthread_t thread;
    slipring_status status;
    CHECK(pthread_create(&thread, NULL, waits, consumer) == 0);
    while ((status = slipring_uses_io_uring(consumer, &found)) == 0)
        sched_yield();
    IS(SLIPRING_E_BUSY, status);
    IS(SLIPRING_E_BUSY, slipring_use_io_uring(consumer));
    OK(slipring_producer_publish(producer, "x", 1, 0, NULL));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_consumer_close(&consumer));
    IS(SLIPRING_E_NULL, slipring_use_io_uring(closed));
    OK(slipring_interruption_close(&interruption));
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

/* From now on the kernel answers this thread, when it asks for an io_uring, with an error. Returns `false` if it allows no such filter. */
static bool refuse(int number) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        return true;
    printf("SKIPPED: a filter of system calls: %s\n", strerror(errno));
    return false;
}

static void goes_on(int refusal) {
    slipring_ring *ring = created("kernel");
    slipring_consumer *consumer = consumes(ring);
    int fd = -1, again = -1;
    OK(slipring_consumer_fd(consumer, &fd));
    bool ready = true;
    OK(slipring_consumer_arm(consumer, &ready));
    CHECK(!ready);
    int events = watching(fd);
    IS(SLIPRING_E_SYSTEM, slipring_use_io_uring(consumer));
    CHECK(detail().has == SLIPRING_HAS_OS_ERROR && detail().os_error == refusal);
    CHECK(strlen(slipring_error_message()) > 20);
    /* What was armed before still is. */
    slipring_producer *producer = NULL;
    slipring_message message;
    OK(slipring_ring_producer(ring, NULL, &producer));
    OK(slipring_producer_publish(producer, "x", 1, 0, NULL));
    sleeps(events);
    OK(slipring_consumer_receive(consumer, MINUTE, &message));
    OK(slipring_consumer_release(consumer));
    OK(slipring_producer_detach(&producer));
    close(events);
    OK(slipring_consumer_fd(consumer, &again));
    CHECK(fd == again && !received_by_kernel(ring, consumer));
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
    OK(slipring_ring_remove("kernel"));
}

static void *without_permission(void *argument) {
    const int *refusal = (const int *)argument;
    if (refuse(*refusal))
        goes_on(*refusal);
    return NULL;
}

/* The thread of the process goes on, whatever the reason is. */
static void what_the_kernel_refuses(void) {
    int refusals[] = {EPERM, ENOSYS, EMFILE};
    for (size_t at = 0; at < sizeof refusals / sizeof *refusals; at++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, without_permission, &refusals[at]) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

/* A fork has no part in it, and disturbs nothing. */
static void a_fork(void) {
    slipring_ring *ring = created("fork");
    slipring_consumer *consumer = consumes(ring);
    used(consumer);
    int fd = -1;
    bool ready = true;
    OK(slipring_consumer_fd(consumer, &fd));
    OK(slipring_consumer_arm(consumer, &ready));
    CHECK(!ready);
    pid_t child = forked();
    CHECK(child >= 0);
    if (child == 0) {
        slipring_message message;
        bool told = false;
        slipring_status armed = slipring_consumer_arm(consumer, &told);
        slipring_status refused = slipring_consumer_receive(consumer, 0, &message);
        slipring_status ended = slipring_consumer_close(&consumer);
        _exit(armed != 0 ? 1 : !told ? 2 : refused != SLIPRING_E_TRY_RECEIVE_FORKED ? 3 : ended != 0 ? 4 : 0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(received_by_kernel(ring, consumer) == by_io_uring());
    OK(slipring_consumer_close(&consumer));
    OK(slipring_ring_close(&ring));
}

/* What is armed when its handle is closed has no part in what comes after. */
static void closed_while_it_is_armed(void) {
    slipring_ring *ring = created("closed");
    slipring_producer *producer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    for (int at = 0; at < 200; at++) {
        slipring_consumer *consumer = consumes(ring);
        int fd = -1;
        bool ready = true;
        OK(slipring_consumer_fd(consumer, &fd));
        used(consumer);
        OK(slipring_consumer_arm(consumer, &ready));
        CHECK(!ready);
        watched(consumer);
        OK(slipring_consumer_close(&consumer));
        OK(slipring_producer_publish(producer, &at, sizeof at, 0, NULL));
    }
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

int main(void) {
    one_consumer();
    a_wait_set();
    from_thread_to_thread();
    what_is_no_handle_with_a_descriptor();
    a_fork();
    closed_while_it_is_armed();
    what_the_kernel_refuses();
    return 0;
}
