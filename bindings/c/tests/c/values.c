/* Newest values and shared values. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

typedef struct {
    double bid, ask;
} quote;

static bool readable(int fd, int ms) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, ms) == 1;
}

static void latest(void) {
    slipring_latest_options options = {.struct_size = sizeof options, .cells = 3};
    slipring_latest *table = NULL, *again = NULL;
    slipring_latest_writer *writer = NULL, *second = NULL;
    slipring_latest_reader *reader = NULL;
    IS(SLIPRING_E_NULL, slipring_latest_create("quotes", &options, &table));
    IS(SLIPRING_E_ARGUMENT, slipring_latest_create("quotes", NULL, &table));
    options.schema = "Quote{bid:f64,ask:f64}";
    OK(slipring_latest_create("quotes", &options, &table));
    options.schema = "Quote{bid:f64}";
    IS(SLIPRING_E_OPEN_SCHEMA, slipring_latest_create_or_open("quotes", &options, &again));
    OK(slipring_latest_open("quotes", 0, &again));
    char text[64];
    OK(slipring_latest_schema(again, text, sizeof text, NULL));
    CHECK(strcmp(text, "Quote{bid:f64,ask:f64}") == 0);
    OK(slipring_latest_new_writer(table, &writer));
    IS(SLIPRING_E_ATTACH_ALREADY_OWNED, slipring_latest_new_writer(again, &second));
    OK(slipring_latest_new_reader(again, NULL, &reader));
    quote set = {1, 2}, got = {0, 0};
    uint64_t version = 9;
    OK(slipring_latest_reader_get(reader, 2, &got, sizeof got, &version));
    CHECK(version == 0);
    int fd = -1;
    bool ready = true;
    OK(slipring_latest_reader_fd(reader, &fd));
    used(reader);
    OK(slipring_latest_reader_arm(reader, &ready));
    CHECK(!ready);
    watched(reader);
    IS(SLIPRING_E_LATEST_TIMED_OUT, slipring_latest_reader_wait(reader, 1000));
    for (int at = 0; at < 100; at++) {
        set.bid = at;
        OK(slipring_latest_writer_set(writer, 2, &set, sizeof set, &version));
    }
    CHECK(version == 100 && readable(fd, 60000));
    OK(slipring_latest_reader_wait_at(reader, 2, 0, MINUTE));
    OK(slipring_latest_reader_get(reader, 2, &got, sizeof got, &version));
    CHECK(version == 100 && got.bid == 99 && got.ask == 2);
    IS(SLIPRING_E_ROOM, slipring_latest_reader_get(reader, 2, &got, sizeof got - 1, &version));
    CHECK(detail().len == sizeof got);
    IS(SLIPRING_E_LATEST_TIMED_OUT, slipring_latest_reader_wait_at(reader, 2, 100, 1000));
    IS(SLIPRING_E_LATEST_NO_CELL, slipring_latest_reader_get(reader, 3, &got, sizeof got, &version));
    IS(SLIPRING_E_LATEST_NO_CELL, slipring_latest_writer_set(writer, 3, &set, sizeof set, NULL));
    IS(SLIPRING_E_LATEST_WRONG_SIZE, slipring_latest_writer_set(writer, 0, &set, 8, NULL));
    slipring_latest_state state = {.struct_size = sizeof state};
    OK(slipring_latest_status(table, &state));
    CHECK(state.cells == 3 && state.value_bytes == 16 && state.changes == 100 && state.writer_alive && state.readers == 1);
    OK(slipring_latest_writer_close(&writer));
    OK(slipring_latest_reader_close(&reader));
    OK(slipring_latest_close(&table));
    OK(slipring_latest_close(&again));
    OK(slipring_latest_remove("quotes"));
}

static void *adds(void *argument) {
    (void)argument;
    slipring_shared *account = NULL;
    OK(slipring_shared_open("account", NULL, &account));
    for (int at = 0; at < 500; at++) {
        void *value = NULL;
        bool abandoned = true;
        OK(slipring_shared_lock(account, MINUTE, &value, &abandoned));
        CHECK(!abandoned);
        int64_t balance[2];
        memcpy(balance, value, sizeof balance);
        CHECK(balance[0] == balance[1]);
        balance[0]++;
        balance[1]++;
        memcpy(value, balance, sizeof balance);
        OK(slipring_shared_commit(account, NULL));
    }
    OK(slipring_shared_close(&account));
    return NULL;
}

static void shared(void) {
    slipring_shared_options options = {.struct_size = sizeof options, .schema = "Account{a:i64,b:i64}"};
    slipring_shared *account = NULL, *other = NULL;
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_shared_open("account", NULL, &account));
    OK(slipring_shared_create("account", &options, NULL, &account));
    pthread_t threads[3];
    for (int at = 0; at < 3; at++)
        CHECK(pthread_create(&threads[at], NULL, adds, NULL) == 0);
    for (int at = 0; at < 3; at++)
        CHECK(pthread_join(threads[at], NULL) == 0);
    int64_t value[2] = {0};
    uint64_t version = 0;
    OK(slipring_shared_get(account, value, sizeof value, &version));
    CHECK(value[0] == 1500 && value[1] == 1500 && version == 1500);
    void *copy = NULL, *none = NULL;
    OK(slipring_shared_lock(account, 0, &copy, NULL));
    IS(SLIPRING_E_LENT, slipring_shared_get(account, value, sizeof value, NULL));
    OK(slipring_shared_open("account", NULL, &other));
    IS(SLIPRING_E_SHARED_LOCKED, slipring_shared_lock(other, 0, &none, NULL));
    IS(SLIPRING_E_SHARED_TIMED_OUT, slipring_shared_lock(other, 1000, &none, NULL));
    slipring_shared_state state = {.struct_size = sizeof state};
    OK(slipring_shared_status(other, &state));
    CHECK(state.holder == (uint32_t)getpid() && state.handles == 2 && state.version == 1500);
    memset(copy, 7, 16);
    OK(slipring_shared_discard(account));
    IS(SLIPRING_E_NOTHING_LENT, slipring_shared_commit(account, NULL));
    OK(slipring_shared_lock(account, 0, &copy, NULL));
    memset(copy, 7, 16);
    OK(slipring_shared_close(&account)); /* with the lock: nothing is changed */
    OK(slipring_shared_get(other, value, sizeof value, &version));
    CHECK(value[0] == 1500 && version == 1500);
    IS(SLIPRING_E_SHARED_TIMED_OUT, slipring_shared_wait(other, 1500, 1000));
    char text[64];
    uint32_t bytes = 0;
    OK(slipring_shared_schema(other, text, sizeof text, NULL, &bytes));
    CHECK(strcmp(text, "Account{a:i64,b:i64}") == 0 && bytes == 16);
    OK(slipring_shared_close(&other));
    OK(slipring_shared_remove("account"));
}

int main(void) {
    latest();
    shared();
    return 0;
}
