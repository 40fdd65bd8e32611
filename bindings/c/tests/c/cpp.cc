// The header for C++: ownership, values, losses as exceptions, typed messages.
#include "check.hh"

#include <poll.h>

#include <thread>

using namespace std::chrono_literals;

struct Quote {
    std::uint64_t time_ns;
    double bid;
    std::uint32_t levels[3];
    char side[4];
};
SLIPRING_MESSAGE(Quote, time_ns, bid, levels, side);

struct One {
    std::int16_t only;
};
SLIPRING_MESSAGE(One, only);

static_assert(!std::is_copy_constructible_v<slipring::consumer> && std::is_nothrow_move_constructible_v<slipring::ring>);
static_assert(slipring::timeout(-5s).ns() == -1 && slipring::timeout(2us).ns() == 2000);
static_assert(slipring::timeout(std::chrono::hours(24 * 365 * 1000)).ns() == -1);
static_assert(slipring::timeout(std::chrono::duration<double>(1e-12)).ns() == 1);

static void bytes() {
    slipring::ring_options settings;
    settings.capacity_bytes = 4096;
    auto ring = slipring::ring::create("bytes", settings);
    auto producer = ring.producer();
    auto consumer = ring.consumer(slipring::start::oldest());
    CHECK(producer.publish("copied") == 0);
    {
        auto claim = producer.claim_space(100);
        std::memcpy(claim.data(), "claim", 5);
        THROWS(SLIPRING_E_ARGUMENT, claim.commit(101));
        THROWS(SLIPRING_E_LENT, producer.publish("no"));
        CHECK(claim.commit(5) == 1);
    }
    { auto dropped = producer.claim_space(10); }
    {
        auto batch = producer.batch();
        batch.push("one");
        batch.push(std::string("two"));
        CHECK(batch.commit() == 2);
    }
    { producer.batch().push("dropped"); }
    {
        auto first = consumer.receive();
        CHECK(first && first->text() == "copied" && first->sequence() == 0 && first->missed() == 0);
        THROWS(SLIPRING_E_LENT, consumer.receive());
        auto moved = std::move(*first);
        CHECK(moved.text() == "copied");
    }
    {
        auto batch = consumer.receive_batch(10);
        CHECK(batch && batch->size() == 3 && (*batch)[0].text() == "claim" && (*batch)[2].text() == "two");
        std::uint64_t sequence = 1;
        for (const auto &message : *batch) CHECK(message.sequence == sequence++);
    }
    {
        // What a batch lends stays where it is when the consumer moves, and when it is asked for more meanwhile.
        for (const char *text : {"three", "four", "five"}) producer.publish(text);
        auto again = ring.consumer(slipring::start::oldest());
        auto batch = again.receive_batch(6);
        CHECK(batch && batch->size() == 6);
        const auto all = [&batch] {
            std::string text;
            for (std::size_t at = 0; at < batch->size(); at++) text += (*batch)[at].text();
            for (const auto &message : *batch) CHECK(message.sequence == std::uint64_t(&message - batch->begin()));
            return text;
        };
        for (std::size_t most : {1, 5, 6, 7, 1000}) {
            THROWS(SLIPRING_E_LENT, again.receive_batch(most));
            CHECK(all() == "copiedclaimonetwothreefour");
        }
        auto moved = std::move(again);
        CHECK(all() == "copiedclaimonetwothreefour");
        THROWS(SLIPRING_E_LENT, moved.receive_batch(1000));
        THROWS(SLIPRING_E_NULL, again.receive_batch(1000));
        CHECK(all() == "copiedclaimonetwothreefour");
        auto kept = std::move(*batch);
        batch.reset();
        CHECK(kept.size() == 6 && kept[5].text() == "four");
    }
    for (const char *text : {"three", "four", "five"}) CHECK(consumer.try_receive()->text() == text);
    CHECK(!consumer.try_receive());
    THROWS(SLIPRING_E_TRY_RECEIVE_EMPTY, consumer.receive(slipring::at_once));
    THROWS(SLIPRING_E_RECEIVE_TIMED_OUT, consumer.receive(1us));
    CHECK(producer.skip_to(10, 1) == 3);
    producer.publish("after");
    {
        auto message = consumer.receive();
        CHECK(message->sequence() == 10 && message->gap_first() == 7 && message->gap_end() == 10);
    }
    CHECK(consumer.losses().skipped == 3 && consumer.next_sequence() == 11 && producer.next_sequence() == 11);
    THROWS(SLIPRING_E_ATTACH_ALREADY_OWNED, ring.producer());
    THROWS(SLIPRING_E_OPEN_NOT_FOUND, slipring::ring::open("none"));
    // Handles move to other threads.
    std::thread([moved = std::move(producer)]() mutable { moved.publish("elsewhere"); }).join();
    CHECK(!producer);
    THROWS(SLIPRING_E_NULL, producer.publish("moved from"));
    CHECK(consumer.receive()->text() == "elsewhere");
    CHECK(!consumer.receive() && ring.status().closed);
    THROWS(SLIPRING_E_TRY_RECEIVE_CLOSED, consumer.try_receive());
    auto observer = ring.observer(slipring::start::oldest());
    std::size_t seen = 0;
    while (auto received = observer.receive()) seen += received->kind == SLIPRING_RECEIVED_MESSAGE;
    CHECK(seen == 9);
    consumer = ring.consumer(slipring::start::at(11));
    CHECK(consumer.receive()->text() == "elsewhere");
    consumer.close();
    observer.close();
    slipring::ring::remove("bytes");
    THROWS(SLIPRING_E_ATTACH_REMOVED, ring.consumer(slipring::start::latest()));
}

/// Descriptors of the handles of a ring, made readable by who the test says: the kernel or the thread.
static void descriptors() {
    const bool kernel = by_io_uring();
    slipring::ring_options settings;
    settings.capacity_bytes = 4096;
    auto ring = slipring::ring::create("descriptors", settings);
    auto producer = ring.producer();
    auto consumer = ring.consumer(slipring::start::oldest());
    auto observer = ring.observer(slipring::start::oldest());
    const auto readable = [](int fd) {
        pollfd polled{fd, POLLIN, 0};
        return poll(&polled, 1, 60000) == 1;
    };
    THROWS(SLIPRING_E_ARGUMENT, producer.arm(100));
    CHECK(producer.fd() >= 0 && producer.arm(100) && !producer.uses_io_uring());
    CHECK(consumer.fd() >= 0 && observer.fd() >= 0);
    if (kernel) {
        producer.use_io_uring();
        consumer.use_io_uring();
        observer.use_io_uring();
    }
    CHECK(!consumer.arm() && !observer.arm());
    CHECK(consumer.uses_io_uring() == kernel && observer.uses_io_uring() == kernel);
    producer.publish("first");
    CHECK(readable(consumer.fd()) && readable(observer.fd()));
    CHECK(consumer.arm() && observer.arm());
    const std::string more(500, 'x');
    for (bool full = false; !full;) {
        try {
            producer.publish(more, slipring::at_once);
        } catch (const slipring::error &error) {
            CHECK(error.is_not_yet());
            full = true;
        }
    }
    CHECK(!producer.arm(500) && producer.uses_io_uring() == kernel);
    CHECK(consumer.receive()->text() == "first");
    while (consumer.try_receive()) {
    }
    CHECK(readable(producer.fd()) && producer.arm(500));
    THROWS(SLIPRING_E_NULL, slipring::consumer().use_io_uring());
}

static void values() {
    CHECK(slipring::schema_of<Quote>::text() == "Quote{time_ns:u64,bid:f64,levels:u32[3],side:u8[4]}");
    CHECK(slipring::schema_of<One>::text() == "One{only:i16}");
    auto quotes = slipring::typed<Quote>::create("quotes");
    CHECK(quotes.ring().schema() == slipring::schema_of<Quote>::text());
    auto producer = quotes.make_producer();
    Quote quote{5, 99.5, {1, 2, 3}, {'b', 'u', 'y', 0}};
    producer.publish(quote);
    producer.bytes().publish(quote);
    THROWS(SLIPRING_E_PUBLISH_WRONG_SIZE, producer.bytes().publish("short"));
    producer.bytes().close();
    auto consumer = slipring::typed<Quote>::open("quotes").make_durable_consumer("risk", slipring::start::oldest());
    int got = 0;
    while (auto value = consumer.receive()) {
        CHECK(value->bid == 99.5 && value->levels[2] == 3 && value->time_ns == 5);
        got++;
    }
    CHECK(got == 2);
    THROWS(SLIPRING_E_OPEN_SCHEMA, slipring::typed<One>::open("quotes"));
    try {
        slipring::view("abc").as<std::uint64_t>();
        CHECK(false);
    } catch (const std::length_error &) {
    }
}

int main() {
    bytes();
    descriptors();
    values();
    return 0;
}
