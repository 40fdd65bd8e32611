/* What the tests of this folder share. */
#ifndef CHECK_H
#define CHECK_H

#include <slipring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s does not hold (%s)\n", __FILE__, __LINE__, #holds, slipring_error_message());  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The call returns this status. */
#define IS(status, call)                                                                                               \
    do {                                                                                                               \
        slipring_status is_found_ = (call);                                                                                \
        if (is_found_ != (slipring_status)(status)) {                                                                      \
            fprintf(stderr, "%s:%d: %s is %u (%s), not %s\n", __FILE__, __LINE__, #call, is_found_,                       \
                    slipring_error_message(), #status);                                                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define OK(call) IS(0, call)

static inline slipring_detail detail(void) {
    slipring_detail found;
    memset(&found, 0, sizeof found);
    found.struct_size = sizeof found;
    CHECK(slipring_error_detail(&found) == 0);
    return found;
}

/* Whether the kernel is to make descriptors readable, by io_uring. */
static inline bool by_io_uring(void) {
    return getenv("SLIPRING_TEST_IO_URING") != NULL;
}

/* A handle with a descriptor is to be watched so. */
static inline void used(void *handle) {
    if (by_io_uring())
        OK(slipring_use_io_uring(handle));
}

/* A handle that was armed, and found nothing, is watched so. */
static inline void watched(void *handle) {
    bool uses = !by_io_uring();
    OK(slipring_uses_io_uring(handle, &uses));
    CHECK(uses == by_io_uring());
}

/* Forks; the kernel ends the child with the thread that made it, so that it never holds the output of a test that failed. */
static inline pid_t forked(void) {
    const pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(101);
    return child;
}

/* The length of message `sequence`: often an edge. */
static inline size_t length_of(uint64_t sequence, size_t most) {
    uint64_t state = (sequence + 1) * UINT64_C(0x9e3779b97f4a7c15);
    state ^= state >> 32;
    switch (state % 8) {
    case 0: return 0;
    case 1: return most;
    case 2: return most - (size_t)(state >> 8) % 9 % (most + 1);
    default: return (size_t)(state >> 8) % (most + 1);
    }
}

static inline void fill(unsigned char *bytes, size_t len, uint64_t sequence) {
    for (size_t at = 0; at < len; at++)
        bytes[at] = (unsigned char)(sequence * 31 + at * 7 + 1);
}

static inline bool filled(const void *data, size_t len, uint64_t sequence) {
    const unsigned char *bytes = (const unsigned char *)data;
    for (size_t at = 0; at < len; at++)
        if (bytes[at] != (unsigned char)(sequence * 31 + at * 7 + 1))
            return false;
    return true;
}

#endif
