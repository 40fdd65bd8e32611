// Links and named pipes in C++ whose sides wait for each other in event loops and wait sets.
#include "check.hh"

#include <poll.h>

#include <thread>

using namespace std::chrono_literals;

template <class Made> using waiting = slipring::connecting<Made>;
template <class Handle> constexpr bool waited_for = std::is_convertible_v<const Handle &, slipring::waitable>;
static_assert(waited_for<waiting<slipring::link>> && waited_for<waiting<slipring::pipe_writer>>);
static_assert(waited_for<waiting<slipring::pipe_reader>> && waited_for<waiting<slipring::pipe_ends>>);
static_assert(!std::is_copy_constructible_v<waiting<slipring::link>> && std::is_nothrow_move_constructible_v<waiting<slipring::link>>);
static_assert(!std::is_convertible_v<waiting<slipring::link>, waiting<slipring::pipe_reader>>);

/// As an event loop does, beside something else. The time ends a hang.
template <class Made> static void meet(waiting<Made> &waits) {
    while (!waits.try_meet()) {
        if (waits.arm()) continue;
        CHECK(waits.uses_io_uring() == by_io_uring());
        pollfd polled{waits.fd(), POLLIN, 0};
        int found;
        // The end of an io_uring interrupts the thread that used it.
        do found = poll(&polled, 1, 60000);
        while (found < 0);
        CHECK(found == 1);
    }
}

static void links() {
    auto waits = slipring::link::begin_connect("engine", "gateway", 4096);
    CHECK(!waits.try_meet());
    THROWS(SLIPRING_E_LINK_TAKEN, slipring::link::begin_connect("engine", "gateway"));
    // Moved, it is the same one.
    auto moved = std::move(waits);
    CHECK(!waits && moved);
    THROWS(SLIPRING_E_NULL, waits.try_meet());
    waits = std::move(moved);
    const int fd = waits.fd();
    if (by_io_uring()) waits.use_io_uring();
    CHECK(!waits.arm());
    std::thread gateway([] {
        auto link = slipring::link::connect("gateway", "engine", 1min);
        CHECK(link.receive().text() == "hello");
        link.send("bye");
    });
    meet(waits);
    slipring::link link = waits.finish(slipring::at_once);
    CHECK(!waits && link.fd() == fd && link.max_message_bytes() < 4096);
    link.send("hello");
    CHECK(link.receive(1min).text() == "bye");
    THROWS(SLIPRING_E_LINK_PEER_GONE, link.receive(1min));
    gateway.join();
    // The next one, in a wait set. What has lent something cannot leave.
    auto set = slipring::wait_set::create();
    auto stop = slipring::interruption::create();
    for (int turn = 0; turn < 2; turn++) {
        auto again = link.begin_reconnect();
        CHECK(!link && !again.try_meet() && again.fd() == fd && !set.wait({stop, again}, slipring::at_once));
        std::thread next([] {
            auto other = slipring::link::connect("gateway", "engine", 1min);
            other.send("anew");
            THROWS(SLIPRING_E_LINK_PEER_GONE, other.receive(1min));
        });
        while (!again.try_meet()) CHECK(set.wait({stop, again}, 1min) == 1U);
        link = again.finish();
        {
            auto message = link.receive(1min);
            CHECK(message.text() == "anew");
            THROWS(SLIPRING_E_LENT, link.begin_reconnect());
            CHECK(link && message.text() == "anew");
        }
        if (turn == 1) {
            link.close();
            next.join();
            continue;
        }
        // It ends what the other side has.
        auto given_up = link.begin_reconnect();
        next.join();
        THROWS(SLIPRING_E_LINK_TIMED_OUT, given_up.finish(1ms));
        CHECK(!given_up);
        link = [] {
            auto one = slipring::link::begin_connect("engine", "gateway");
            auto other = slipring::link::begin_connect("gateway", "engine");
            for (bool met = false; !met;) {
                const bool first = one.try_meet(), second = other.try_meet();
                met = first && second;
            }
            auto leaves = other.finish(slipring::at_once);
            return one.finish(slipring::at_once);
        }();
    }
    // The destructor leaves.
    { auto left = slipring::link::begin_connect("engine", "gateway"); }
    auto left = slipring::link::begin_connect("engine", "gateway");
    left.close();
    CHECK(!left);
    slipring::link::remove("engine", "gateway");
}

static void pipes() {
    auto fifo = slipring::fifo::create("orders");
    auto reads = fifo.begin_reader();
    auto writes = fifo.begin_writer();
    const int fd = reads.fd();
    if (by_io_uring()) {
        reads.use_io_uring();
        writes.use_io_uring();
    }
    CHECK(reads.arm() != writes.try_meet());
    meet(reads);
    meet(writes);
    auto writer = writes.finish(slipring::at_once);
    auto reader = reads.finish(slipring::at_once);
    CHECK(reader.fd() == fd && !reads && !writes);
    writer.write("buy 100");
    writer.close();
    char buffer[16];
    CHECK(reader.read(buffer, sizeof buffer) == 7 && std::string_view(buffer, 7) == "buy 100");
    CHECK(reader.read(buffer, sizeof buffer) == 0);
    reader.close();
    auto late = fifo.begin_writer();
    THROWS(SLIPRING_E_PIPE_TIMED_OUT, late.finish(1ms));
    CHECK(!late);
    fifo.close();
    slipring::fifo::remove("orders");

    slipring::fifo_options both;
    both.both_ways = 1;
    auto chat = slipring::fifo::create("chat", both);
    THROWS(SLIPRING_E_SYSTEM, chat.begin_reader());
    auto here = chat.begin_connect();
    CHECK(here.fd() >= 0);
    if (by_io_uring()) here.use_io_uring();
    CHECK(!here.arm());
    std::thread there([&] {
        auto ends = chat.connect(1min);
        char byte;
        CHECK(ends.reader.read(&byte, 1, 1min) == 1);
        ends.writer.write({&byte, 1}, 1min);
    });
    meet(here);
    auto ends = here.finish(slipring::at_once);
    ends.writer.write("x");
    CHECK(ends.reader.read(buffer, 1, 1min) == 1 && buffer[0] == 'x');
    there.join();
    ends.reader.close();
    ends.writer.close();
    chat.close();
    slipring::fifo::remove("chat");
}

int main() {
    links();
    pipes();
    return 0;
}
