// What is lent in C++ stays lent when giving it back is refused, because a call is in the way: the caller tries again, or the destructor gives
// it back. After any other error nothing is lent.
#include "check.hh"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

using namespace std::chrono_literals;

/// Runs something in a handler of a signal that interrupts a call of this thread, where every call is refused.
static void interrupted(const std::function<void()> &run) {
    static const std::function<void()> *runs;
    static std::atomic<bool> ran;
    runs = &run;
    ran = false;
    struct sigaction action {};
    action.sa_handler = [](int) {
        (*runs)();
        ran = true;
    };
    CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
    auto ring = slipring::ring::create_or_open("calls");
    auto producer = ring.producer();
    auto consumer = ring.consumer(slipring::start::latest());
    std::thread other([&, caller = pthread_self()] {
        while (slipring_consumer_place(consumer.get(), nullptr, nullptr, nullptr) != SLIPRING_E_BUSY) std::this_thread::yield();
        CHECK(pthread_kill(caller, SIGUSR1) == 0);
        while (!ran) std::this_thread::yield();
        producer.publish("go on");
    });
    // The other thread may be in it at this moment.
    slipring_message message;
    slipring_status status;
    while ((status = slipring_consumer_receive(consumer.get(), -1, &message)) == SLIPRING_E_BUSY) std::this_thread::yield();
    CHECK(status == 0);
    other.join();
    CHECK(slipring_consumer_release(consumer.get()) == 0);
}

/// What `make` lends is given back by its destructor. `asks` returns SLIPRING_E_LENT while it is lent.
template <class Asks, class Make> static void dropped(Asks asks, Make make) {
    {
        auto lent = make();
        CHECK(asks() == SLIPRING_E_LENT);
        auto moved = std::move(lent);
        CHECK(asks() == SLIPRING_E_LENT);
    }
    CHECK(asks() != SLIPRING_E_LENT);
}

/// What `make` lends is ended by `finish`, and if that is refused it stays: `finish` is called once more, or the destructor gives it back.
template <class Asks, class Make, class Finish> static void finished(Asks asks, Make make, Finish finish) {
    dropped(asks, make);
    for (const bool again : {true, false}) {
        {
            auto lent = make();
            interrupted([&] { THROWS(SLIPRING_E_BUSY, finish(lent)); });
            CHECK(asks() == SLIPRING_E_LENT);
            if (again) {
                finish(lent);
                CHECK(asks() != SLIPRING_E_LENT);
                THROWS(SLIPRING_E_NULL, finish(lent));
            }
        }
        CHECK(asks() != SLIPRING_E_LENT);
    }
}

/// A destructor that another thread is in the way of gives back what was lent all the same.
static void in_the_way() {
    auto ring = slipring::ring::create("busy");
    auto producer = ring.producer();
    const auto asks = [&] { return slipring_producer_next_sequence(producer.get(), nullptr); };
    std::atomic<std::uint64_t> asked{0};
    std::atomic<bool> over{false};
    std::thread other([&] {
        while (!over) {
            asked++;
            asks();
            // Out of it for a while, so that the first thread comes through.
            for (int pause = 0; pause < 300 && !over; pause++) {
            }
        }
    });
    for (int lent = 0; lent < 300;) {
        try {
            auto claim = producer.claim_space(8, 1min);
            // It is about to ask.
            for (const std::uint64_t before = asked; asked == before;) std::this_thread::yield();
            lent++;
        } catch (const slipring::error &error) {
            CHECK(error.code() == SLIPRING_E_BUSY);
            std::this_thread::yield();
        }
    }
    over = true;
    other.join();
    CHECK(asks() != SLIPRING_E_LENT);
}

static void rings() {
    auto ring = slipring::ring::create("ring");
    auto producer = ring.producer();
    const auto asks = [&] { return slipring_producer_next_sequence(producer.get(), nullptr); };
    finished(asks, [&] { return producer.claim_space(8, 1min); }, [](slipring::claim &claim) { claim.commit(); });
    finished(asks, [&] { return producer.batch(); }, [](slipring::publish_batch &batch) { batch.commit(); });
    auto consumer = ring.consumer(slipring::start::oldest());
    const auto reads = [&] { return slipring_consumer_place(consumer.get(), nullptr, nullptr, nullptr); };
    for (int at = 0; at < 3; at++) producer.publish("message");
    dropped(reads, [&] { return std::move(*consumer.receive(1min)); });
    dropped(reads, [&] { return std::move(*consumer.receive_batch(2, 1min)); });
}

static void queues() {
    auto queue = slipring::queue::create("queue");
    auto sender = queue.sender();
    auto receiver = queue.receiver();
    bool ready = false;
    const auto asks = [&] { return slipring_receiver_arm(receiver.get(), &ready); };
    const auto take = [&] {
        if (queue.status().waiting == 0) sender.send("job");
        return receiver.receive(1min);
    };
    finished(asks, take, [](slipring::delivery &job) {
        CHECK(job.text() == "job");
        job.ack();
    });
    finished(asks, take, [](slipring::delivery &job) {
        CHECK(job.text() == "job");
        job.give_back();
    });
    CHECK(queue.status().held == 0);
}

static void mailboxes() {
    auto office = slipring::mailbox::create("office");
    auto alice = office.client("alice");
    auto desk = office.receiver();
    bool ready = false;
    const auto asks = [&] { return slipring_mailbox_receiver_arm(desk.get(), &ready); };
    const auto take = [&] {
        if (office.status().waiting == 0) alice.send("letter");
        return desk.receive(1min);
    };
    finished(asks, take, [](slipring::letter &letter) {
        CHECK(letter.text() == "letter");
        letter.ack();
    });
    finished(asks, take, [](slipring::letter &letter) {
        CHECK(letter.text() == "letter");
        letter.give_back();
    });
    while (office.status().waiting > 0) desk.receive(1min).ack();

    // A reply that fails ends the loan: what the handle lends next is not given back by what it lent before.
    alice.send("first");
    {
        std::optional<slipring::letter> first(desk.receive(1min));
        THROWS(SLIPRING_E_NULL, first->reply(slipring::view(nullptr, 1)));
        CHECK(first->text() == "first" && office.status().held == 1);
        THROWS(SLIPRING_E_REPLY_NOT_ASKED, first->reply("no"));
        CHECK(office.status().held == 0);
        auto again = desk.receive(1min);
        CHECK(again.redelivered());
        first.reset();
        CHECK(office.status().held == 1);
        again.ack();
    }

    std::thread answers([&] { CHECK(!desk.receive(1min).reply("yes")); });
    // Too long to be sent.
    const std::vector<char> much(office.status().max_message_bytes + 1);
    const auto sends = [&] { return slipring_mailbox_client_send(alice.get(), much.data(), much.size(), 0); };
    dropped(sends, [&] { return alice.request("letter", 1min); });
    answers.join();
}

static void links() {
    std::thread other([] {
        auto link = slipring::link::connect("gateway", "engine", 1min);
        link.send("message", 1min);
        THROWS(SLIPRING_E_LINK_PEER_GONE, link.receive(1min));
    });
    auto link = slipring::link::connect("engine", "gateway", 1min);
    bool ready = false;
    dropped([&] { return slipring_link_arm(link.get(), &ready); }, [&] { return link.receive(1min); });
    link.close();
    other.join();
}

static void values() {
    slipring::shared_options settings;
    settings.schema = "Account{balance:i64}";
    auto account = slipring::shared::create("account", settings);
    const auto asks = [&] {
        slipring_shared_state state{};
        state.struct_size = sizeof state;
        return slipring_shared_status(account.owned::get(), &state);
    };
    const auto locks = [&] { return account.lock(1min); };
    finished(asks, locks, [](slipring::shared_guard &guard) { guard.commit(); });
    finished(asks, locks, [](slipring::shared_guard &guard) { guard.discard(); });
    auto other = slipring::shared::open("account");
    other.lock(slipring::at_once).discard();
}

int main() {
    in_the_way();
    rings();
    queues();
    mailboxes();
    links();
    values();
    return 0;
}
