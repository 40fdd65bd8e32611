// Waiting in C++ for several handles of any forms, by a set and by its descriptor, and ending that.
#include "check.hh"

#include <poll.h>

#include <thread>

using namespace std::chrono_literals;

template <class Handle> constexpr bool waited_for = std::is_convertible_v<const Handle &, slipring::waitable>;
static_assert(waited_for<slipring::consumer> && waited_for<slipring::observer> && waited_for<slipring::receiver>);
static_assert(waited_for<slipring::mailbox_receiver> && waited_for<slipring::link> && waited_for<slipring::pipe_reader>);
static_assert(waited_for<slipring::latest_reader> && waited_for<slipring::listener> && waited_for<slipring::interruption>);
static_assert(!waited_for<slipring::producer> && !waited_for<slipring::sender> && !waited_for<slipring::ring>);
static_assert(!waited_for<slipring::semaphore> && !waited_for<slipring::wait_set> && !waited_for<slipring::interrupter>);
static_assert(!std::is_copy_constructible_v<slipring::wait_set> && std::is_nothrow_move_constructible_v<slipring::wait_set>);

static bool readable(int fd, int ms) {
    pollfd polled{fd, POLLIN, 0};
    return poll(&polled, 1, ms) == 1;
}

int main() {
    auto ring = slipring::ring::create("ring");
    auto producer = ring.producer();
    auto consumer = ring.consumer(slipring::start::oldest());
    auto queue = slipring::queue::create("queue");
    auto sender = queue.sender();
    auto receiver = queue.receiver();
    auto control = slipring::signals::create("signals");
    auto listener = control.listener("me");
    auto stop = slipring::interruption::create();
    auto stops = stop.make_interrupter();
    for (auto set : {0, 1}) {
        auto waits = set == 0 ? slipring::wait_set::create() : slipring::wait_set::create(0ns);
        CHECK(!waits.wait({consumer, receiver, listener, stop}, slipring::at_once));
        CHECK(!waits.wait({consumer, receiver, listener, stop}, 2ms));
        CHECK(!waits.wait({}, slipring::at_once));
        // Each in its place, whichever place that is.
        std::thread([&] { producer.publish("message"); }).join();
        CHECK(waits.wait({receiver, listener, consumer, stop}, 1min) == 2U);
        CHECK(consumer.receive(slipring::at_once)->text() == "message");
        std::thread sends([&] { sender.send("job"); });
        CHECK(waits.wait({receiver, listener, consumer, stop}, 1min) == 0U);
        sends.join();
        {
            auto job = receiver.receive(slipring::at_once);
            THROWS(SLIPRING_E_LENT, waits.wait({consumer, receiver}, slipring::at_once));
            job.ack();
        }
        control.broadcast(7);
        const std::vector<slipring::waitable> all{consumer, stop, listener};
        CHECK(waits.wait(all, 1min) == 2U && listener.wait(slipring::at_once).signal == 7);
        // A wait without an end, from another thread.
        CHECK(!stop.take());
        std::thread ends([&] { CHECK(stops.interrupt()); });
        CHECK(waits.wait({consumer, receiver, listener, stop}) == 3U);
        ends.join();
        CHECK(stop.take() && !stop.take());
        // In an event loop.
        CHECK(waits.fd() >= 0);
        if (by_io_uring()) waits.use_io_uring();
        CHECK(!waits.arm({consumer, receiver}) && waits.uses_io_uring() == by_io_uring());
        sender.send("job");
        CHECK(readable(waits.fd(), 60000) && waits.arm({consumer, receiver}) == 1U);
        receiver.receive().ack();
        THROWS(SLIPRING_E_BUSY, waits.wait({consumer, consumer}, slipring::at_once));
    }
    // It outlives its interruption, and says when it is none any more.
    stop.close();
    CHECK(stops.interrupt());
    auto moved = std::move(stops);
    CHECK(moved.interrupt() && !stops.interrupt());
    return 0;
}
