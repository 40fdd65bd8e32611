// Queues in C++: each message goes to one receiver, and comes again if that does not acknowledge it.
#ifndef SLIPRING_QUEUE_HPP
#define SLIPRING_QUEUE_HPP

#include <slipring/base.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slipring {

/// The settings of a new queue.
using queue_options = detail::settings<slipring_queue_options>;

/// A message of a queue. Without `ack` the destructor gives it back, and another receiver gets it. If one of its calls throws
/// SLIPRING_E_BUSY, it is held still.
class delivery : public detail::loan<slipring_receiver, slipring_receiver_return> {
public:
    delivery(slipring_receiver *receiver, const slipring_delivery &lent) noexcept : loan(receiver), lent_(lent) {}
    delivery(delivery &&) noexcept = default;

    view bytes() const noexcept { return {lent_.data, lent_.len}; }
    std::string_view text() const noexcept { return bytes().text(); }
    template <class T> T as() const { return bytes().as<T>(); }
    std::uint64_t sequence() const noexcept { return lent_.sequence; }
    std::uint8_t priority() const noexcept { return lent_.priority; }
    std::uint32_t tries() const noexcept { return lent_.tries; }
    bool redelivered() const noexcept { return lent_.redelivered != 0; }
    /// It is done. Throws if its lease is over: then it went to another receiver.
    void ack() { finish(slipring_receiver_ack); }
    /// Gives it back now.
    void give_back() { finish(slipring_receiver_return); }

private:
    slipring_delivery lent_;
};

/// Sends messages into a queue.
class sender : public detail::owned<slipring_sender, slipring_sender_close> {
public:
    using owned::owned;

    std::uint64_t send(view bytes, std::uint8_t priority = 0, timeout wait = forever) {
        std::uint64_t sequence = 0;
        check(slipring_sender_send(handle_, bytes.data(), bytes.size(), priority, wait.ns(), &sequence));
        return sequence;
    }
};

/// Receives messages of a queue, each of which goes to one receiver.
class receiver : public detail::source<slipring_receiver, slipring_receiver_close, slipring_receiver_fd, slipring_receiver_arm> {
public:
    using source::source;

    delivery receive(timeout wait = forever) {
        slipring_delivery lent;
        check(slipring_receiver_receive(handle_, wait.ns(), &lent));
        return {handle_, lent};
    }
    /// Returns nothing if there is none now.
    std::optional<delivery> try_receive() {
        slipring_delivery lent;
        const slipring_status status = slipring_receiver_receive(handle_, 0, &lent);
        if (slipring_is_not_yet(status)) return std::nullopt;
        check(status);
        return std::optional<delivery>(std::in_place, handle_, lent);
    }
};

/// An open queue.
class queue : public detail::object<queue, slipring_queue, slipring_queue_options, slipring_queue_close, slipring_queue_create,
                                    slipring_queue_create_or_open, slipring_queue_open, slipring_queue_remove> {
public:
    using object::object;

    static queue create(const std::string &place, const queue_options &settings = {}) { return object::create(place, settings); }
    static queue create_or_open(const std::string &place, const queue_options &settings = {}) {
        return object::create_or_open(place, settings);
    }
    slipring::sender sender(const options &how = {}) const {
        slipring_sender *made = nullptr;
        check(slipring_queue_sender(handle_, &how, &made));
        return slipring::sender(made);
    }
    slipring::receiver receiver(const options &how = {}) const {
        slipring_receiver *made = nullptr;
        check(slipring_queue_receiver(handle_, &how, &made));
        return slipring::receiver(made);
    }
    slipring_queue_state status() const { return detail::state<slipring_queue_state, const slipring_queue>(slipring_queue_status, handle_); }
};

} // namespace slipring

#endif
