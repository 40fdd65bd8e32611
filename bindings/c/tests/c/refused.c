/* What is refused: arguments, structures, handles, names, schemas. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static slipring_ring *created(const char *name, uint64_t capacity) {
    slipring_ring_options options = {.struct_size = sizeof options, .capacity_bytes = capacity};
    slipring_ring *ring = NULL;
    OK(slipring_ring_create(name, &options, &ring));
    return ring;
}

static void schemas(void) {
    slipring_ring_options options = {.struct_size = sizeof options, .schema = "Quote{time_ns:u64,bid:f64}"};
    slipring_ring *ring = NULL;
    OK(slipring_ring_create("schemas", &options, &ring));
    char text[64];
    size_t len = 0;
    OK(slipring_ring_schema(ring, NULL, 0, &len));
    CHECK(len == strlen(options.schema));
    IS(SLIPRING_E_ROOM, slipring_ring_schema(ring, text, len, NULL));
    OK(slipring_ring_schema(ring, text, len + 1, NULL));
    CHECK(strcmp(text, options.schema) == 0);
    OK(slipring_ring_expect_schema(ring, "Quote{time_ns:u64(time),bid:f64}"));
    IS(SLIPRING_E_OPEN_SCHEMA, slipring_ring_expect_schema(ring, "Quote{time_ns:u64,ask:f64}"));
    CHECK(strstr(slipring_error_message(), "ask") != NULL);
    IS(SLIPRING_E_ARGUMENT, slipring_ring_expect_schema(ring, "Quote{"));
    IS(SLIPRING_E_TEXT, slipring_ring_expect_schema(ring, "\xff\xfe"));
    slipring_producer *producer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    IS(SLIPRING_E_TRY_PUBLISH_WRONG_SIZE, slipring_producer_publish(producer, "short", 5, 0, NULL));
    CHECK(detail().len == 5 && detail().max == 16);
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

static void nonsense_is_refused(void) {
    slipring_ring *ring = NULL;
    slipring_message message;
    size_t count = 0;
    IS(SLIPRING_E_NULL, slipring_ring_create(NULL, NULL, &ring));
    IS(SLIPRING_E_NULL, slipring_ring_create("nothing", NULL, NULL));
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_ring_open("nothing", 0, &ring));
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_ring_open("nothing", 1000, &ring));
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_ring_remove("nothing"));
    IS(SLIPRING_E_CREATE_NAME, slipring_ring_create("a/b", NULL, &ring));
    IS(SLIPRING_E_TEXT, slipring_ring_create("\xc3", NULL, &ring));
    slipring_ring_options options = {.struct_size = sizeof options - 1};
    IS(SLIPRING_E_STRUCT_SIZE, slipring_ring_create("nothing", &options, &ring));
    options.struct_size = sizeof options + 8;
    IS(SLIPRING_E_STRUCT_SIZE, slipring_ring_create("nothing", &options, &ring));
    options.struct_size = 0;
    IS(SLIPRING_E_STRUCT_SIZE, slipring_ring_create("nothing", &options, &ring));
    options.struct_size = sizeof options;
    options.capacity_bytes = 5000;
    IS(SLIPRING_E_CREATE_GEOMETRY, slipring_ring_create("nothing", &options, &ring));
    options.capacity_bytes = 0;
    options.stamps = 2;
    IS(SLIPRING_E_ARGUMENT, slipring_ring_create("nothing", &options, &ring));
    CHECK(ring == NULL);
    IS(SLIPRING_E_NULL, slipring_consumer_receive(NULL, 0, &message));
    IS(SLIPRING_E_NULL, slipring_producer_publish(NULL, "x", 1, 0, NULL));
    IS(SLIPRING_E_NULL, slipring_wait_set_wait(NULL, NULL, 0, 0, &count));
    slipring_ring_state state = {.struct_size = 1};
    ring = created("nonsense", 4096);
    IS(SLIPRING_E_CREATE_EXISTS, slipring_ring_create("nonsense", NULL, &ring));
    IS(SLIPRING_E_STRUCT_SIZE, slipring_ring_status(ring, &state));
    IS(SLIPRING_E_NULL, slipring_ring_status(ring, NULL));
    slipring_detail bad = {.struct_size = 3};
    IS(SLIPRING_E_STRUCT_SIZE, slipring_error_detail(&bad));
    IS(SLIPRING_E_NULL, slipring_error_detail(NULL));
    /* A handle of another kind. */
    slipring_consumer *consumer = NULL;
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, NULL, &consumer));
    IS(SLIPRING_E_HANDLE, slipring_producer_publish((slipring_producer *)(void *)consumer, "x", 1, 0, NULL));
    IS(SLIPRING_E_HANDLE, slipring_ring_wait_for_producer((slipring_ring *)(void *)consumer, 0));
    IS(SLIPRING_E_NULL, slipring_consumer_receive(consumer, 0, NULL));
    IS(SLIPRING_E_NULL, slipring_consumer_receive_batch(consumer, 0, NULL, 3, &count));
    slipring_producer *producer = NULL;
    OK(slipring_ring_producer(ring, NULL, &producer));
    IS(SLIPRING_E_NULL, slipring_producer_publish(producer, NULL, 1, 0, NULL));
    /* Options that are none, or of another role. */
    slipring_options how = {.struct_size = sizeof how, .strategy = 9};
    slipring_consumer *other = NULL;
    IS(SLIPRING_E_ARGUMENT, slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, &how, &other));
    how.strategy = SLIPRING_STRATEGY_SPIN;
    how.spin_ns = 5;
    IS(SLIPRING_E_ARGUMENT, slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, &how, &other));
    how.spin_ns = 0;
    how.resume_at_oldest = 1;
    IS(SLIPRING_E_ARGUMENT, slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, &how, &other));
    how.resume_at_oldest = 0;
    how.lag_bytes = 5;
    IS(SLIPRING_E_ARGUMENT, slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, &how, &other));
    how.read_policy = SLIPRING_READ_BEHIND;
    OK(slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, &how, &other));
    OK(slipring_consumer_close(&other));
    how.struct_size = 1;
    IS(SLIPRING_E_STRUCT_SIZE, slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, &how, &other));
    /* Closed twice, and used after. */
    OK(slipring_consumer_close(&consumer));
    CHECK(consumer == NULL);
    OK(slipring_consumer_close(&consumer));
    OK(slipring_consumer_close(NULL));
    IS(SLIPRING_E_NULL, slipring_consumer_receive(consumer, 0, &message));
    /* A fork owns nothing. */
    pid_t child = forked();
    if (child == 0)
        _exit(slipring_producer_publish(producer, "x", 1, 0, NULL) == SLIPRING_E_TRY_PUBLISH_FORKED ? 0 : 1);
    int ended = 1;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    OK(slipring_producer_close(&producer));
    OK(slipring_ring_close(&ring));
}

/* Each structure with a size: a byte less, a byte more, and none are refused, before anything is made or written. */
#define SIZED(type, call)                                                                                              \
    do {                                                                                                               \
        const size_t wrong[] = {0, sizeof(type) - 1, sizeof(type) + 1, sizeof(type) + 8, SIZE_MAX};                    \
        for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {                                                 \
            /* What is behind the structure is looked at by nobody. */                                                 \
            union {                                                                                                    \
                type given;                                                                                            \
                unsigned char all[sizeof(type) + 8];                                                                   \
            } sized, before;                                                                                           \
            memset(&sized, 0, sizeof sized);                                                                           \
            memcpy(&sized, &wrong[at], sizeof wrong[at]);                                                              \
            before = sized;                                                                                            \
            type *given = &sized.given;                                                                                \
            IS(SLIPRING_E_STRUCT_SIZE, call);                                                                          \
            CHECK(memcmp(&sized, &before, sizeof sized) == 0);                                                         \
        }                                                                                                              \
    } while (0)

/* Each structure that a caller gives with bytes kept for later versions: none may be anything but zero. */
#define RESERVED(type, set, call)                                                                                      \
    for (size_t at = 0; at < sizeof((type *)0)->reserved; at++) {                                                      \
        type given = set;                                                                                              \
        given.struct_size = sizeof given;                                                                              \
        IS(0, call);                                                                                                   \
        unmake();                                                                                                      \
        memset((unsigned char *)&given.reserved + at, 1, 1);                                                           \
        IS(SLIPRING_E_ARGUMENT, call);                                                                                 \
        CHECK(strstr(slipring_error_message(), "reserved") != NULL);                                                   \
    }

static slipring_ring *kept_ring;
static slipring_consumer *kept_consumer;
static slipring_mailbox *kept_mailbox;
static slipring_fifo *kept_fifo;
static slipring_latest *kept_latest;
static slipring_shared *kept_shared;

static void unmake(void) {
    OK(slipring_consumer_close(&kept_consumer));
    OK(slipring_mailbox_close(&kept_mailbox));
    OK(slipring_fifo_close(&kept_fifo));
    OK(slipring_latest_close(&kept_latest));
    OK(slipring_shared_close(&kept_shared));
    slipring_status status = slipring_remove("kept", true);
    CHECK(status == 0 || status == SLIPRING_E_OPEN_NOT_FOUND);
}

static void reserved(void) {
    OK(slipring_ring_create("kept-ring", NULL, &kept_ring));
    RESERVED(slipring_options, {.strategy = 2}, slipring_ring_consumer(kept_ring, SLIPRING_OLDEST, 0, &given, &kept_consumer));
    RESERVED(slipring_mailbox_options, {.one_way = 1}, slipring_mailbox_create("kept", &given, &kept_mailbox));
    RESERVED(slipring_fifo_options, {.both_ways = 1}, slipring_fifo_create("kept", &given, &kept_fifo));
    RESERVED(slipring_latest_options, {.schema = "Level{value:u64}"}, slipring_latest_create("kept", &given, &kept_latest));
    RESERVED(slipring_shared_options, {.schema = "Level{value:u64}"}, slipring_shared_create("kept", &given, NULL, &kept_shared));
    OK(slipring_ring_close(&kept_ring));
}

static void sizes(void) {
    slipring_ring *ring = NULL;
    slipring_consumer *consumer = NULL;
    slipring_queue *queue = NULL;
    slipring_mailbox *mailbox = NULL;
    slipring_fifo *fifo = NULL;
    slipring_latest *latest = NULL;
    slipring_shared *shared = NULL;
    slipring_semaphore *semaphore = NULL;
    slipring_signals *signals = NULL;
    SIZED(slipring_ring_options, slipring_ring_create("sized", given, &ring));
    SIZED(slipring_queue_options, slipring_queue_create("sized", given, &queue));
    SIZED(slipring_mailbox_options, slipring_mailbox_create("sized", given, &mailbox));
    SIZED(slipring_fifo_options, slipring_fifo_create("sized", given, &fifo));
    SIZED(slipring_latest_options, slipring_latest_create("sized", given, &latest));
    SIZED(slipring_shared_options, slipring_shared_create("sized", given, NULL, &shared));
    SIZED(slipring_semaphore_options, slipring_semaphore_create("sized", given, NULL, &semaphore));
    SIZED(slipring_signals_options, slipring_signals_create("sized", given, &signals));
    CHECK(!ring && !queue && !mailbox && !fifo && !latest && !shared && !semaphore && !signals);
    IS(SLIPRING_E_OPEN_NOT_FOUND, slipring_remove("sized", true));

    slipring_latest_options values = {.struct_size = sizeof values, .schema = "Level{value:u64}"};
    slipring_shared_options value = {.struct_size = sizeof value, .schema = "Level{value:u64}"};
    OK(slipring_ring_create("sized-ring", NULL, &ring));
    OK(slipring_queue_create("sized-queue", NULL, &queue));
    OK(slipring_mailbox_create("sized-mailbox", NULL, &mailbox));
    OK(slipring_fifo_create("sized-fifo", NULL, &fifo));
    OK(slipring_latest_create("sized-latest", &values, &latest));
    OK(slipring_shared_create("sized-shared", &value, NULL, &shared));
    OK(slipring_semaphore_create("sized-semaphore", NULL, NULL, &semaphore));
    SIZED(slipring_options, slipring_ring_consumer(ring, SLIPRING_OLDEST, 0, given, &consumer));
    SIZED(slipring_ring_state, slipring_ring_status(ring, given));
    SIZED(slipring_queue_state, slipring_queue_status(queue, given));
    SIZED(slipring_mailbox_state, slipring_mailbox_status(mailbox, given));
    SIZED(slipring_fifo_state, slipring_fifo_status(fifo, given));
    SIZED(slipring_latest_state, slipring_latest_status(latest, given));
    SIZED(slipring_shared_state, slipring_shared_status(shared, given));
    SIZED(slipring_semaphore_state, slipring_semaphore_status(semaphore, given));
    SIZED(slipring_detail, slipring_error_detail(given));
    OK(slipring_ring_close(&ring));
    OK(slipring_queue_close(&queue));
    OK(slipring_mailbox_close(&mailbox));
    OK(slipring_fifo_close(&fifo));
    OK(slipring_latest_close(&latest));
    OK(slipring_shared_close(&shared));
    OK(slipring_semaphore_close(&semaphore));
}

int main(void) {
    sizes();
    reserved();
    schemas();
    nonsense_is_refused();
    return 0;
}
