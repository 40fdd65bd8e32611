// What the tests in C++ of this folder share.
#ifndef CHECK_HH
#define CHECK_HH

#include <slipring.hpp>

#include <cstdio>
#include <cstdlib>

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds);                            \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

#define THROWS(number, call)                                                                                           \
    do {                                                                                                               \
        slipring_status thrown = 0;                                                                                    \
        try {                                                                                                          \
            call;                                                                                                      \
        } catch (const slipring::error &error) {                                                                       \
            thrown = error.code();                                                                                     \
            CHECK(error.detail().code == thrown && error.what()[0] != 0);                                              \
        }                                                                                                              \
        if (thrown != number) {                                                                                        \
            std::fprintf(stderr, "%s:%d: %u, not " #number "\n", __FILE__, __LINE__, thrown);                         \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

/// Whether the kernel is to make descriptors readable, by io_uring.
inline bool by_io_uring() { return std::getenv("SLIPRING_TEST_IO_URING") != nullptr; }

#endif
