// Every form beyond rings in C++: what it lends comes back by itself, and errors are exceptions.
#include "check.hh"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

using namespace std::chrono_literals;

struct Quote {
    double bid;
    std::uint32_t sizes[2];
};
SLIPRING_MESSAGE(Quote, bid, sizes);

struct Account {
    std::int64_t balance;
};
SLIPRING_MESSAGE(Account, balance);

template <class Handle> constexpr bool moves_only = !std::is_copy_constructible_v<Handle> && !std::is_copy_assignable_v<Handle> &&
                                                    std::is_nothrow_move_constructible_v<Handle>;
static_assert(moves_only<slipring::queue> && moves_only<slipring::sender> && moves_only<slipring::receiver>);
static_assert(moves_only<slipring::delivery> && moves_only<slipring::letter> && moves_only<slipring::reply>);
static_assert(moves_only<slipring::mailbox> && moves_only<slipring::mailbox_client> && moves_only<slipring::mailbox_receiver>);
static_assert(moves_only<slipring::link> && moves_only<slipring::link_message>);
static_assert(moves_only<slipring::pipe_reader> && moves_only<slipring::pipe_writer> && moves_only<slipring::fifo>);
static_assert(moves_only<slipring::latest> && moves_only<slipring::latest_writer> && moves_only<slipring::latest_reader>);
static_assert(moves_only<slipring::shared> && moves_only<slipring::shared_guard>);
static_assert(moves_only<slipring::semaphore> && moves_only<slipring::permit>);
static_assert(moves_only<slipring::signals> && moves_only<slipring::listener> && moves_only<slipring::target>);

static bool readable(int fd, int ms) {
    pollfd polled{fd, POLLIN, 0};
    return poll(&polled, 1, ms) == 1;
}

static bool throws_length(void (*call)()) {
    try {
        call();
    } catch (const std::length_error &) {
        return true;
    }
    return false;
}

/// Whether a handle finds nothing, and is watched by who the test says: by io_uring, or by the thread.
template <class Handle> static bool quiet(Handle &handle) {
    const bool kernel = by_io_uring();
    if (kernel) handle.use_io_uring();
    return !handle.arm() && handle.uses_io_uring() == kernel;
}

static void queues() {
    slipring::queue_options settings;
    settings.depth = 4;
    auto queue = slipring::queue::create("jobs", settings);
    THROWS(SLIPRING_E_CREATE_EXISTS, slipring::queue::create("jobs"));
    THROWS(SLIPRING_E_OPEN_NOT_FOUND, slipring::queue::open("none"));
    auto other = slipring::queue::create_or_open("jobs");
    auto sender = other.sender();
    auto receiver = slipring::queue::open("jobs", 1min).receiver();
    THROWS(SLIPRING_E_ARGUMENT, receiver.arm()); // no descriptor yet
    CHECK(!receiver.try_receive() && receiver.fd() >= 0 && quiet(receiver));
    // It may be told to look again for nothing, but not for ever.
    for (int looks = 0; readable(receiver.fd(), 0); looks++) CHECK(looks < 1000 && (receiver.arm() || true));
    CHECK(sender.send("low") == 0);
    CHECK(readable(receiver.fd(), 60000));
    sender.send("high", 7);
    {
        auto job = receiver.receive();
        CHECK(job.text() == "high" && job.priority() == 7 && !job.redelivered());
        THROWS(SLIPRING_E_LENT, receiver.receive(slipring::at_once));
        CHECK(queue.status().held == 1);
    } // without ack it goes back
    {
        auto found = receiver.try_receive();
        CHECK(found && found->text() == "high" && found->redelivered() && found->tries() == 2);
        auto moved = std::move(*found);
        moved.give_back();
        THROWS(SLIPRING_E_NULL, moved.ack());
    }
    for (const char *text : {"high", "low"}) {
        auto job = receiver.receive(1min);
        CHECK(job.text() == text);
        job.ack();
        THROWS(SLIPRING_E_NULL, job.ack());
    }
    CHECK(queue.status().held == 0 && queue.status().waiting == 0 && queue.status().depth == 4);
    THROWS(SLIPRING_E_TAKE_TIMED_OUT, receiver.receive(1ms));
    sender = slipring::sender(); // closes it
    CHECK(!sender);
    THROWS(SLIPRING_E_REMOVE_IN_USE, slipring::queue::remove("jobs"));
    receiver.close();
    queue.close();
    other.close();
    slipring::queue::remove("jobs");
    THROWS(SLIPRING_E_OPEN_NOT_FOUND, slipring::queue::open("jobs"));
}

static void mailboxes() {
    auto office = slipring::mailbox::create("office");
    auto alice = slipring::mailbox::create_or_open("office").client("alice");
    THROWS(SLIPRING_E_ATTACH_CURSOR_IN_USE, office.client("alice"));
    auto desk = slipring::mailbox::open("office").receiver();
    CHECK(!desk.try_receive() && desk.fd() >= 0 && quiet(desk));
    alice.send("leaks");
    CHECK(readable(desk.fd(), 60000));
    {
        auto letter = desk.receive(1min);
        CHECK(letter.text() == "leaks" && !letter.wants_reply() && letter.sender() == "alice");
        THROWS(SLIPRING_E_REPLY_NOT_ASKED, letter.reply("no"));
        THROWS(SLIPRING_E_NULL, letter.ack()); // it went back
    }
    {
        auto letter = desk.receive(1min);
        CHECK(letter.redelivered() && letter.tries() == 2);
        letter.ack();
    }
    std::thread answers([&desk] {
        auto letter = desk.receive(1min);
        CHECK(letter.wants_reply() && letter.as<std::int32_t>() == 20);
        CHECK(!letter.reply(slipring::view("twenty")));
        desk.receive(1min).ack();
    });
    const std::int32_t asked = 20;
    {
        auto reply = alice.request({&asked, sizeof asked}, 1min);
        CHECK(reply.text() == "twenty");
        THROWS(SLIPRING_E_LENT, alice.send("x"));
    }
    THROWS(SLIPRING_E_REQUEST_PEER_GONE, alice.request("nobody answers", 1min));
    answers.join();
    CHECK(office.status().clients == 1);
    THROWS(SLIPRING_E_REQUEST_TIMED_OUT, alice.request("late", 1ms));
    {
        auto letter = desk.receive(1min);
        CHECK(letter.reply("nobody waits"));
    }
    alice.close();
    desk.close();
    office.close();
    slipring::mailbox::remove("office");
}

static void links() {
    THROWS(SLIPRING_E_LINK_TIMED_OUT, slipring::link::connect("engine", "gateway", 1ms, 4096));
    THROWS(SLIPRING_E_LINK_NAME, slipring::link::connect("engine", "engine"));
    const auto gateway = [] {
        auto link = slipring::link::connect("gateway", "engine", 1min, 4096);
        for (int at = 0; at < 100; at++) {
            const int got = link.receive(1min).as<int>(); // given back at once
            CHECK(got == at);
            link.send({&got, sizeof got}, 1min);
        }
    };
    std::thread first(gateway);
    auto link = slipring::link::connect("engine", "gateway", 1min, 4096);
    CHECK(link.peer_pid() == static_cast<std::uint32_t>(getpid()) && link.max_message_bytes() > 0);
    const auto goes_round = [&link] {
        for (int at = 0; at < 100; at++) {
            link.send({&at, sizeof at}, 1min);
            CHECK(link.arm() || readable(link.fd(), 60000));
            auto message = link.receive(1min);
            CHECK(message.as<int>() == at);
            THROWS(SLIPRING_E_LENT, link.receive(slipring::at_once));
        }
    };
    CHECK(!link.try_receive() && link.fd() >= 0);
    goes_round();
    first.join();
    THROWS(SLIPRING_E_LINK_PEER_GONE, link.receive());
    std::thread second(gateway);
    link.reconnect(1min);
    goes_round();
    second.join();
    link.close();
    slipring::link::remove("gateway", "engine");
}

static void pipes(const char *program) {
    auto [reader, writer] = slipring::pipe(4096);
    CHECK(reader.fd() >= 0 && quiet(reader));
    writer.write("peeked");
    CHECK(readable(reader.fd(), 60000) && reader.peek().text() == "peeked");
    reader.consume(4);
    char buffer[16];
    CHECK(reader.read(buffer, sizeof buffer) == 2 && std::memcmp(buffer, "ed", 2) == 0);
    THROWS(SLIPRING_E_PIPE_TIMED_OUT, reader.read(buffer, sizeof buffer, 1ms));
    const std::vector<unsigned char> much(8192);
    std::size_t written = 0;
    THROWS(SLIPRING_E_PIPE_TIMED_OUT, writer.write(much, 1ms, &written));
    CHECK(written > 0 && written < much.size());
    for (std::size_t left = written; left > 0;) left -= reader.read(buffer, std::min(left, sizeof buffer), 1min);
    writer.write("last", 1min, &written);
    CHECK(written == 4);
    writer.close();
    CHECK(reader.read(buffer, sizeof buffer) == 4 && reader.read(buffer, sizeof buffer) == 0 && reader.peek().empty());
    auto broken = slipring::pipe();
    broken.reader.close();
    THROWS(SLIPRING_E_PIPE_BROKEN, broken.writer.write("x"));

    auto child = slipring::spawn({program, "child"}, "jobs", 4096);
    child.ends.writer.write("job", 1min);
    child.ends.writer.close();
    CHECK(child.ends.reader.read(buffer, sizeof buffer, 1min) == 3 && std::memcmp(buffer, "JOB", 3) == 0);
    int ended = 1;
    CHECK(waitpid(child.pid, &ended, 0) == child.pid && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    THROWS(SLIPRING_E_SYSTEM, slipring::inherited("none"));

    auto fifo = slipring::fifo::create("orders");
    THROWS(SLIPRING_E_PIPE_TIMED_OUT, fifo.writer(1ms));
    std::thread reads([] {
        auto end = slipring::fifo::open("orders", 1min).reader(1min);
        char order[4];
        CHECK(end.read(order, sizeof order, 1min) == 3 && std::memcmp(order, "buy", 3) == 0);
    });
    fifo.writer(1min).write("buy", 1min);
    reads.join();
    slipring::fifo_options settings;
    settings.both_ways = 1;
    auto both = slipring::fifo::create("chat", settings);
    CHECK(both.status().both_ways && !fifo.status().both_ways);
    std::thread echoes([] {
        auto ends = slipring::fifo::create_or_open("chat").connect(1min);
        char word[8];
        const std::size_t came = ends.reader.read(word, sizeof word, 1min);
        ends.writer.write({word, came}, 1min);
    });
    auto ends = both.connect(1min);
    ends.writer.write("hello", 1min);
    CHECK(ends.reader.read(buffer, sizeof buffer, 1min) == 5 && std::memcmp(buffer, "hello", 5) == 0);
    echoes.join();
    fifo.close();
    slipring::fifo::remove("orders");
}

static void child() {
    auto ends = slipring::inherited("jobs");
    char buffer[100];
    while (const std::size_t came = ends.reader.read(buffer, sizeof buffer, 1min)) {
        for (std::size_t at = 0; at < came; at++) buffer[at] = static_cast<char>(buffer[at] - 32);
        ends.writer.write({buffer, came}, 1min);
    }
}

static void newest() {
    auto table = slipring::latest::create_of<Quote>("quotes", 2);
    CHECK(table.schema() == "Quote{bid:f64,sizes:u32[2]}");
    auto writer = table.writer();
    THROWS(SLIPRING_E_ATTACH_ALREADY_OWNED, table.writer());
    auto reader = slipring::latest::open("quotes").reader();
    CHECK(!reader.get<Quote>(1) && !reader.get_bytes(1) && reader.fd() >= 0 && quiet(reader));
    CHECK(writer.set(Quote{99.5, {3, 4}}, 1) == 1);
    CHECK(readable(reader.fd(), 60000));
    reader.wait(1min);
    reader.wait_at(0, 1, 1min);
    const auto got = reader.get<Quote>(1);
    CHECK(got && got->version == 1 && got->value.bid == 99.5 && got->value.sizes[1] == 4);
    CHECK(reader.get_bytes(1)->value.size() == sizeof(Quote));
    THROWS(SLIPRING_E_LATEST_TIMED_OUT, reader.wait_at(1, 1, 1ms));
    THROWS(SLIPRING_E_LATEST_WRONG_SIZE, writer.set(1.0));
    THROWS(SLIPRING_E_LATEST_NO_CELL, reader.get<Quote>(2));
    CHECK(throws_length([] { slipring::latest::open("quotes").reader().get<double>(); }));
    CHECK(throws_length([] { slipring::latest::open("quotes").reader().get<Quote[2]>(); }));
    CHECK(table.status().changes == 1 && table.status().cells == 2);
    writer.close();
    reader.close();
    table.close();
    slipring::latest::remove("quotes");
}

static void turns() {
    auto account = slipring::shared::create_of<Account>("account");
    CHECK(account.schema() == "Account{balance:i64}" && account.value_bytes() == 8 && account.get<Account>().version == 0);
    std::thread others[2];
    for (std::thread &other : others)
        other = std::thread([] {
            auto mine = slipring::shared::open("account");
            for (int at = 0; at < 200; at++) {
                auto guard = mine.lock(1min);
                CHECK(!guard.abandoned() && guard.size() == sizeof(Account));
                auto value = guard.get<Account>();
                value.balance++;
                guard.set(value);
                guard.commit();
            }
        });
    for (std::thread &other : others) other.join();
    CHECK(account.get<Account>().value.balance == 400 && account.get<Account>().version == 400);
    {
        auto guard = account.lock();
        guard.set(Account{7});
        auto other = slipring::shared::open("account");
        THROWS(SLIPRING_E_SHARED_TIMED_OUT, other.lock(1ms));
        CHECK(other.status().holder == static_cast<std::uint32_t>(getpid()));
    } // without commit nothing changes
    CHECK(account.get<Account>().version == 400);
    auto guard = account.lock();
    guard.set(Account{8});
    guard.discard();
    auto last = account.lock();
    std::memset(last.data(), 0, last.size());
    CHECK(last.commit() == 401 && account.get<Account>().value.balance == 0);
    account.wait(400, 1min);
    THROWS(SLIPRING_E_SHARED_TIMED_OUT, account.wait(401, 1ms));
    CHECK(throws_length([] { slipring::shared::open("account").get<Quote>(); }));
    CHECK(throws_length([] { slipring::shared::open("account").lock().get<Quote>(); }));
    CHECK(throws_length([] { slipring::shared::open("account").lock().set('c'); }));
    account.close();
    slipring::shared::remove("account");
}

static void semaphores() {
    slipring::semaphore_options settings;
    settings.permits = 2;
    settings.max_permits = 3;
    auto printers = slipring::semaphore::create("printers", settings);
    auto other = slipring::semaphore::open("printers", 1min);
    auto both = printers.acquire(2);
    CHECK(!other.try_acquire());
    THROWS(SLIPRING_E_ACQUIRE_TIMED_OUT, other.acquire(1, 1ms));
    THROWS(SLIPRING_E_ACQUIRE_TOO_MANY, other.acquire(4));
    both = slipring::permit(); // gives them back
    {
        auto one = other.try_acquire();
        CHECK(one && other.status().free == 1);
    }
    CHECK(other.status().free == 2);
    other.acquire().forget();
    CHECK(other.status().free == 1);
    other.add();
    CHECK(slipring::semaphore::create_or_open("printers").status().free == 2);
    printers.close();
    other.close();
    slipring::semaphore::remove("printers");
}

static void numbers() {
    auto control = slipring::signals::create("control");
    THROWS(SLIPRING_E_SIGNAL_NO_LISTENER, control.target("engine"));
    auto engine = slipring::signals::open("control").listener("engine");
    auto target = slipring::signals::create_or_open("control").target("engine");
    CHECK(!engine.try_take() && engine.fd() >= 0 && quiet(engine));
    target.send(63);
    CHECK(readable(engine.fd(), 60000));
    target.send(63);
    control.broadcast(0);
    const auto high = engine.wait(1min, std::uint64_t{1} << 63);
    CHECK(high.signal == 63 && high.count == 2);
    const auto low = engine.try_take();
    CHECK(low && low->signal == 0 && low->count == 1);
    THROWS(SLIPRING_E_SIGNAL_TIMED_OUT, engine.wait(1ms));
    THROWS(SLIPRING_E_SIGNAL_NUMBER, target.send(64));
    engine.close();
    THROWS(SLIPRING_E_SIGNAL_NO_LISTENER, target.send(1));
    target.close();
    control.close();
    slipring::signals::remove("control");
}

int main(int count, char **arguments) {
    if (count > 1) {
        child();
        return 0;
    }
    queues();
    mailboxes();
    links();
    pipes(arguments[0]);
    newest();
    turns();
    semaphores();
    numbers();
    return 0;
}
