// Rings in C++: producers, consumers, observers, and what they lend.
#ifndef SLIPRING_RING_HPP
#define SLIPRING_RING_HPP

#include <slipring/base.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace slipring {

/// Where a reader begins.
struct start {
    std::uint32_t from = SLIPRING_LATEST;
    std::uint64_t sequence = 0;

    static constexpr start latest() noexcept { return {SLIPRING_LATEST, 0}; }
    static constexpr start oldest() noexcept { return {SLIPRING_OLDEST, 0}; }
    static constexpr start at(std::uint64_t sequence) noexcept { return {SLIPRING_SEQUENCE, sequence}; }
};

/// The settings of a new ring.
struct ring_options : slipring_ring_options {
    ring_options() noexcept : slipring_ring_options{} { struct_size = sizeof(slipring_ring_options); }
};

/// A message in the ring, which is given back in the destructor.
class message : public detail::loan<slipring_consumer, slipring_consumer_release> {
public:
    message(slipring_consumer *consumer, const slipring_message &lent) noexcept : loan(consumer), lent_(lent) {}
    message(message &&) noexcept = default;

    view bytes() const noexcept { return {lent_.data, lent_.len}; }
    std::string_view text() const noexcept { return bytes().text(); }
    template <class T> T as() const { return bytes().as<T>(); }
    std::uint64_t sequence() const noexcept { return lent_.sequence; }
    /// How many messages directly before it this reader will never get.
    std::uint64_t missed() const noexcept { return lent_.missed; }
    /// Why there is a gap directly before it; 0 if there is none.
    std::uint32_t gap_why() const noexcept { return lent_.gap_why; }
    std::uint64_t gap_first() const noexcept { return lent_.gap_first; }
    std::uint64_t gap_end() const noexcept { return lent_.gap_end; }

private:
    slipring_message lent_;
};

/// Messages that are given back together in the destructor.
class batch : public detail::loan<slipring_consumer, slipring_consumer_release> {
public:
    batch(slipring_consumer *consumer, const slipring_message *messages, std::size_t size) noexcept
        : loan(consumer), messages_(messages), size_(size) {}
    batch(batch &&) noexcept = default;

    std::size_t size() const noexcept { return size_; }
    view operator[](std::size_t at) const noexcept { return {messages_[at].data, messages_[at].len}; }
    const slipring_message *begin() const noexcept { return messages_; }
    const slipring_message *end() const noexcept { return messages_ + size_; }

private:
    const slipring_message *messages_;
    std::size_t size_;
};

/// A consumer: every message from its start on, once and in order.
class consumer
    : public detail::source<slipring_consumer, slipring_consumer_close, slipring_consumer_fd, slipring_consumer_arm> {
public:
    using source::source;

    /// Receives a message. Returns nothing at the end of the ring.
    std::optional<message> receive(timeout wait = forever) {
        slipring_message lent;
        const slipring_status status = slipring_consumer_receive(handle_, wait.ns(), &lent);
        if (status == SLIPRING_E_TRY_RECEIVE_CLOSED) return std::nullopt;
        check(status);
        return std::optional<message>(std::in_place, handle_, lent);
    }

    /// Receives a message if there is one: returns nothing if there is none yet, and throws at the end.
    std::optional<message> try_receive() {
        slipring_message lent;
        const slipring_status status = slipring_consumer_receive(handle_, 0, &lent);
        if (slipring_is_not_yet(status)) return std::nullopt;
        check(status);
        return std::optional<message>(std::in_place, handle_, lent);
    }

    /// Receives up to `most` messages. Returns nothing at the end of the ring.
    std::optional<batch> receive_batch(std::size_t most, timeout wait = forever) {
        // A batch that is out lies in what there is: that is replaced only by a call that succeeds.
        std::vector<slipring_message> larger(most > messages_.size() ? most : 0);
        slipring_message *const room = larger.empty() ? messages_.data() : larger.data();
        std::size_t count = 0;
        const slipring_status status = slipring_consumer_receive_batch(handle_, wait.ns(), room, most, &count);
        if (status == SLIPRING_E_TRY_RECEIVE_CLOSED) return std::nullopt;
        check(status);
        if (!larger.empty()) messages_ = std::move(larger);
        return std::optional<batch>(std::in_place, handle_, room, count);
    }

    slipring_losses losses() {
        slipring_losses found;
        check(slipring_consumer_losses(handle_, &found));
        return found;
    }
    std::uint64_t next_sequence() {
        std::uint64_t next = 0;
        check(slipring_consumer_place(handle_, &next, nullptr, nullptr));
        return next;
    }
    void wait_for_producer(timeout wait = forever) { check(slipring_consumer_wait_for_producer(handle_, wait.ns())); }

private:
    friend class ring;
    // Its memory moves with the consumer and stays where it is, so that a batch can point into it.
    std::vector<slipring_message> messages_;
};

/// An observer: a reader for which the producer never waits.
class observer
    : public detail::source<slipring_observer, slipring_observer_close, slipring_observer_fd, slipring_observer_arm> {
public:
    using source::source;

    /// Receives a message, a loss or a gap. Returns nothing at the end of the ring. The bytes stay until the next call.
    std::optional<slipring_received> receive(timeout wait = forever) {
        slipring_received found;
        const slipring_status status = slipring_observer_receive(handle_, wait.ns(), &found);
        if (status == SLIPRING_E_TRY_RECEIVE_CLOSED) return std::nullopt;
        check(status);
        return found;
    }

private:
    friend class ring;
};

/// Space of the ring, to be written and committed. Without that it leaves no trace.
class claim : public detail::loan<slipring_producer, slipring_producer_abort> {
public:
    claim(slipring_producer *producer, void *data, std::size_t size) noexcept
        : loan(producer), data_(static_cast<unsigned char *>(data)), size_(size) {}
    claim(claim &&) noexcept = default;

    unsigned char *data() noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    /// Publishes all of it.
    std::uint64_t commit() { return commit(size_); }
    /// Publishes the first bytes of it. More than there are throws, and the claim stays.
    std::uint64_t commit(std::size_t size) {
        std::uint64_t sequence = 0;
        finish([&](slipring_producer *producer) { return slipring_producer_commit(producer, size, &sequence); });
        return sequence;
    }

private:
    unsigned char *data_;
    std::size_t size_;
};

/// Messages that become visible together when they are committed. Without that they leave no trace.
class publish_batch : public detail::loan<slipring_producer, slipring_producer_abort> {
public:
    explicit publish_batch(slipring_producer *producer) noexcept : loan(producer) {}
    publish_batch(publish_batch &&) noexcept = default;

    std::uint64_t push(view bytes, timeout wait = forever) {
        std::uint64_t sequence = 0;
        check(slipring_producer_batch_push(handle_, bytes.data(), bytes.size(), wait.ns(), &sequence));
        return sequence;
    }
    /// Says how many messages it had.
    std::uint64_t commit() {
        std::uint64_t count = 0;
        finish([&](slipring_producer *producer) { return slipring_producer_batch_commit(producer, &count); });
        return count;
    }
};

/// The one producer of a ring.
class producer : public detail::polled<slipring_producer, slipring_producer_close, slipring_producer_fd> {
public:
    using polled::polled;

    std::uint64_t publish(view bytes, timeout wait = forever) {
        std::uint64_t sequence = 0;
        check(slipring_producer_publish(handle_, bytes.data(), bytes.size(), wait.ns(), &sequence));
        return sequence;
    }
    /// Publishes the bytes of a value.
    template <class T, class = std::enable_if_t<!std::is_convertible_v<const T &, view>>>
    std::uint64_t publish(const T &value, timeout wait = forever) {
        static_assert(std::is_trivially_copyable_v<T>, "only what can be copied as bytes lies in a message");
        return publish(view(&value, sizeof value), wait);
    }
    claim claim_space(std::size_t size, timeout wait = forever) {
        void *data = nullptr;
        check(slipring_producer_claim(handle_, size, wait.ns(), &data));
        return {handle_, data, size};
    }
    publish_batch batch() {
        check(slipring_producer_batch(handle_));
        return publish_batch(handle_);
    }
    std::uint64_t skip_to(std::uint64_t sequence, std::uint32_t why, timeout wait = forever) {
        std::uint64_t skipped = 0;
        check(slipring_producer_skip_to(handle_, sequence, why, wait.ns(), &skipped));
        return skipped;
    }
    std::uint64_t next_sequence() {
        std::uint64_t next = 0;
        check(slipring_producer_next_sequence(handle_, &next));
        return next;
    }
    std::uint32_t wait_for_readers(std::uint32_t readers, timeout wait = forever) {
        std::uint32_t found = 0;
        check(slipring_producer_wait_for_readers(handle_, readers, wait.ns(), &found));
        return found;
    }
    /// Whether there is room for a message of so many bytes. If not, the descriptor becomes readable when it is worth trying again.
    bool arm(std::size_t size) {
        bool ready = false;
        check(slipring_producer_arm(handle_, size, &ready));
        return ready;
    }
    /// Leaves the ring without closing it.
    void detach() { check(slipring_producer_detach(&handle_)); }

private:
    friend class ring;
};

/// An open ring.
class ring : public detail::owned<slipring_ring, slipring_ring_close> {
public:
    using owned::owned;

    static ring create(const std::string &place, const ring_options &settings = {}) {
        ring made;
        check(slipring_ring_create(place.c_str(), &settings, made.out()));
        return made;
    }
    static ring create_or_open(const std::string &place, const ring_options &settings = {}) {
        ring made;
        check(slipring_ring_create_or_open(place.c_str(), &settings, made.out()));
        return made;
    }
    static ring open(const std::string &place, timeout wait = at_once) {
        ring made;
        check(slipring_ring_open(place.c_str(), wait.ns(), made.out()));
        return made;
    }
    static void remove(const std::string &place) { check(slipring_ring_remove(place.c_str())); }

    slipring::producer producer(const options &how = {}) const {
        slipring::producer made;
        check(slipring_ring_producer(handle_, &how, made.out()));
        return made;
    }
    slipring::consumer consumer(start from, const options &how = {}) const {
        slipring::consumer made;
        check(slipring_ring_consumer(handle_, from.from, from.sequence, &how, made.out()));
        return made;
    }
    slipring::consumer durable_consumer(const std::string &name, start from, const options &how = {}) const {
        slipring::consumer made;
        check(slipring_ring_durable_consumer(handle_, name.c_str(), from.from, from.sequence, &how, made.out()));
        return made;
    }
    slipring::observer observer(start from, const options &how = {}) const {
        slipring::observer made;
        check(slipring_ring_observer(handle_, from.from, from.sequence, &how, made.out()));
        return made;
    }
    slipring_ring_state status() const {
        slipring_ring_state found{};
        found.struct_size = sizeof found;
        check(slipring_ring_status(handle_, &found));
        return found;
    }
    std::string schema() const {
        std::size_t size = 0;
        check(slipring_ring_schema(handle_, nullptr, 0, &size));
        std::string text(size, '\0');
        check(slipring_ring_schema(handle_, text.data(), size + 1, nullptr));
        return text;
    }
    void expect_schema(const std::string &text) const { check(slipring_ring_expect_schema(handle_, text.c_str())); }
};

} // namespace slipring

#endif
