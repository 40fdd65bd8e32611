/* Pipes and named pipes, from within one process and with a child. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static bool readable(int fd, int ms) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, ms) == 1;
}

static void *copies(void *argument) {
    slipring_pipe_reader *reader = (slipring_pipe_reader *)argument;
    unsigned char buffer[700];
    uint64_t all = 0;
    for (;;) {
        size_t came = 0;
        OK(slipring_pipe_reader_read(reader, buffer, 1 + all % sizeof buffer, MINUTE, &came));
        if (came == 0)
            break;
        for (size_t at = 0; at < came; at++)
            CHECK(buffer[at] == (unsigned char)((all + at) % 251));
        all += came;
    }
    CHECK(all == 300000);
    return NULL;
}

static void writes(slipring_pipe_writer *writer) {
    unsigned char bytes[1000];
    uint64_t all = 0;
    for (size_t some = 1; all < 300000; some = some * 7 % 1000 + 1) {
        if (some > 300000 - all)
            some = (size_t)(300000 - all);
        for (size_t at = 0; at < some; at++)
            bytes[at] = (unsigned char)((all + at) % 251);
        size_t written = 0;
        OK(slipring_pipe_writer_write(writer, bytes, some, MINUTE, &written));
        CHECK(written == some);
        all += some;
    }
}

static void pipes(const char *program) {
    slipring_pipe_reader *reader = NULL, *back = NULL;
    slipring_pipe_writer *writer = NULL, *forth = NULL;
    OK(slipring_pipe_create(4096, NULL, &reader, &writer));
    int fd = -1;
    bool ready = true;
    OK(slipring_pipe_reader_fd(reader, &fd));
    used(reader);
    OK(slipring_pipe_reader_arm(reader, &ready));
    CHECK(!ready);
    watched(reader);
    size_t came = 0;
    char buffer[10];
    IS(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_reader_read(reader, buffer, 10, 1000, &came));
    IS(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_reader_read(reader, buffer, 10, 0, &came));
    IS(SLIPRING_E_ARGUMENT, slipring_pipe_reader_read(reader, buffer, 0, 0, &came));
    OK(slipring_pipe_writer_write(writer, "peeked", 6, 0, NULL));
    CHECK(readable(fd, 60000));
    const void *data = NULL;
    OK(slipring_pipe_reader_peek(reader, 0, &data, &came));
    CHECK(came == 6 && memcmp(data, "peeked", 6) == 0);
    IS(SLIPRING_E_ARGUMENT, slipring_pipe_reader_consume(reader, 7));
    OK(slipring_pipe_reader_consume(reader, 4));
    OK(slipring_pipe_reader_read(reader, buffer, 10, 0, &came));
    CHECK(came == 2 && memcmp(buffer, "ed", 2) == 0);
    /* A fork has no part in it. */
    pid_t child = forked();
    if (child == 0) {
        slipring_status refused[] = {
            slipring_pipe_reader_read(reader, buffer, 10, MINUTE, &came),
            slipring_pipe_reader_peek(reader, MINUTE, &data, &came),
            slipring_pipe_writer_write(writer, "x", 1, MINUTE, NULL),
        };
        for (size_t at = 0; at < sizeof refused / sizeof *refused; at++)
            if (refused[at] != SLIPRING_E_PUBLISH_FORKED)
                _exit((int)at + 1);
        _exit(0);
    }
    int left_with = 1;
    CHECK(waitpid(child, &left_with, 0) == child && left_with == 0);
    unsigned char much[8192] = {0};
    IS(SLIPRING_E_PIPE_TIMED_OUT, slipring_pipe_writer_write(writer, much, sizeof much, 1000000, &came));
    CHECK(came > 1000 && came < sizeof much);
    for (size_t left = came, some = 0; left > 0; left -= some)
        OK(slipring_pipe_reader_read(reader, much, left, MINUTE, &some));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, copies, reader) == 0);
    writes(writer);
    OK(slipring_pipe_writer_close(&writer));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_pipe_reader_close(&reader));
    OK(slipring_pipe_create(0, NULL, &reader, &writer));
    OK(slipring_pipe_reader_close(&reader));
    IS(SLIPRING_E_PIPE_BROKEN, slipring_pipe_writer_write(writer, "x", 1, -1, NULL));
    OK(slipring_pipe_writer_close(&writer));
    /* A child with pipes in both directions. */
    const char *arguments[] = {program, "child", NULL};
    int pid = -1;
    IS(SLIPRING_E_SYSTEM, slipring_pipe_spawn(arguments, "no name", 0, NULL, &back, &forth, &pid));
    OK(slipring_pipe_spawn(arguments, "jobs", 4096, NULL, &back, &forth, &pid));
    OK(slipring_pipe_writer_write(forth, "job", 3, MINUTE, NULL));
    OK(slipring_pipe_writer_close(&forth));
    OK(slipring_pipe_reader_read(back, buffer, 10, MINUTE, &came));
    CHECK(came == 3 && memcmp(buffer, "JOB", 3) == 0);
    OK(slipring_pipe_reader_read(back, buffer, 10, MINUTE, &came));
    CHECK(came == 0);
    OK(slipring_pipe_reader_close(&back));
    int ended = 1;
    CHECK(waitpid(pid, &ended, 0) == pid && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    IS(SLIPRING_E_SYSTEM, slipring_pipe_inherited("none", NULL, &reader, &writer));
}

static void child(void) {
    slipring_pipe_reader *reader = NULL;
    slipring_pipe_writer *writer = NULL;
    OK(slipring_pipe_inherited("jobs", NULL, &reader, &writer));
    char buffer[100];
    for (;;) {
        size_t came = 0;
        OK(slipring_pipe_reader_read(reader, buffer, sizeof buffer, MINUTE, &came));
        if (came == 0)
            break;
        for (size_t at = 0; at < came; at++)
            buffer[at] = (char)(buffer[at] - 32);
        OK(slipring_pipe_writer_write(writer, buffer, came, MINUTE, NULL));
    }
    OK(slipring_pipe_writer_close(&writer));
    OK(slipring_pipe_reader_close(&reader));
}

static void *opens_the_other_end(void *argument) {
    slipring_fifo *fifo = (slipring_fifo *)argument;
    slipring_pipe_reader *reader = NULL;
    OK(slipring_fifo_reader(fifo, NULL, MINUTE, &reader));
    copies(reader);
    OK(slipring_pipe_reader_close(&reader));
    return NULL;
}

static void *connects(void *argument) {
    slipring_fifo *fifo = (slipring_fifo *)argument;
    slipring_pipe_reader *reader = NULL;
    slipring_pipe_writer *writer = NULL;
    OK(slipring_fifo_connect(fifo, NULL, MINUTE, &reader, &writer));
    char buffer[10];
    size_t came = 0;
    OK(slipring_pipe_reader_read(reader, buffer, sizeof buffer, MINUTE, &came));
    OK(slipring_pipe_writer_write(writer, buffer, came, MINUTE, NULL));
    OK(slipring_pipe_writer_close(&writer));
    OK(slipring_pipe_reader_close(&reader));
    return NULL;
}

static void fifos(void) {
    slipring_fifo *fifo = NULL;
    slipring_pipe_reader *reader = NULL;
    slipring_pipe_writer *writer = NULL;
    OK(slipring_fifo_create("orders", NULL, &fifo));
    IS(SLIPRING_E_PIPE_TIMED_OUT, slipring_fifo_writer(fifo, NULL, 1000, &writer));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, opens_the_other_end, fifo) == 0);
    OK(slipring_fifo_writer(fifo, NULL, MINUTE, &writer));
    pid_t child = forked();
    if (child == 0)
        _exit(slipring_fifo_reader(fifo, NULL, 1000, &reader) == SLIPRING_E_PUBLISH_FORKED ? 0 : 1);
    int left_with = 1;
    CHECK(waitpid(child, &left_with, 0) == child && left_with == 0);
    slipring_fifo_state state = {.struct_size = sizeof state};
    OK(slipring_fifo_status(fifo, &state));
    CHECK(!state.both_ways && state.capacity_bytes == 1 << 20);
    writes(writer);
    OK(slipring_pipe_writer_close(&writer));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(slipring_fifo_connect(fifo, NULL, 0, &reader, &writer) != 0 && reader == NULL && writer == NULL);
    OK(slipring_fifo_close(&fifo));
    OK(slipring_fifo_remove("orders"));
    slipring_fifo_options options = {.struct_size = sizeof options, .capacity_bytes = 4096, .both_ways = 1};
    OK(slipring_fifo_create("chat", &options, &fifo));
    CHECK(pthread_create(&thread, NULL, connects, fifo) == 0);
    OK(slipring_fifo_connect(fifo, NULL, MINUTE, &reader, &writer));
    OK(slipring_pipe_writer_write(writer, "echo", 4, MINUTE, NULL));
    char buffer[10];
    size_t came = 0;
    OK(slipring_pipe_reader_read(reader, buffer, sizeof buffer, MINUTE, &came));
    CHECK(came == 4 && memcmp(buffer, "echo", 4) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_pipe_reader_close(&reader));
    OK(slipring_pipe_writer_close(&writer));
    OK(slipring_fifo_close(&fifo));
    OK(slipring_fifo_remove("chat"));
}

int main(int count, char **given) {
    if (count > 1) {
        child();
        return 0;
    }
    pipes(given[0]);
    fifos();
    return 0;
}
