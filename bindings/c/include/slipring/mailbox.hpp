// Mailboxes in C++: letters, requests and replies.
#ifndef SLIPRING_MAILBOX_HPP
#define SLIPRING_MAILBOX_HPP

#include <slipring/base.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slipring {

/// The settings of a new mailbox.
using mailbox_options = detail::settings<slipring_mailbox_options>;

/// A letter. Without `reply` or `ack` the destructor gives it back. If one of its calls throws SLIPRING_E_BUSY, it is held still.
class letter : public detail::loan<slipring_mailbox_receiver, slipring_mailbox_receiver_return> {
public:
    letter(slipring_mailbox_receiver *receiver, const slipring_letter &lent) noexcept : loan(receiver), lent_(lent) {}
    letter(letter &&) noexcept = default;

    view bytes() const noexcept { return {lent_.data, lent_.len}; }
    std::string_view text() const noexcept { return bytes().text(); }
    template <class T> T as() const { return bytes().as<T>(); }
    bool wants_reply() const noexcept { return lent_.wants_reply != 0; }
    std::uint32_t tries() const noexcept { return lent_.tries; }
    bool redelivered() const noexcept { return lent_.redelivered != 0; }
    /// The name of the client that sent it.
    std::string sender() const {
        std::size_t size = 0;
        check(slipring_mailbox_receiver_sender(handle_, nullptr, 0, &size));
        std::string name(size, '\0');
        check(slipring_mailbox_receiver_sender(handle_, name.data(), size + 1, nullptr));
        return name;
    }
    /// Answers it, which acknowledges it too. Returns true if the client waits no longer. Bytes that are NULL are refused, and the letter is
    /// held still; if the reply fails otherwise, the letter returned to the mailbox, and its bytes may not be read any more.
    bool reply(view bytes) {
        bool late = false;
        finish([&](slipring_mailbox_receiver *receiver) {
            return slipring_mailbox_receiver_reply(receiver, bytes.data(), bytes.size(), &late);
        });
        return late;
    }
    /// It is done, without a reply.
    void ack() { finish(slipring_mailbox_receiver_ack); }
    /// Gives it back now.
    void give_back() { finish(slipring_mailbox_receiver_return); }

private:
    slipring_letter lent_;
};

/// Receives the letters of a mailbox.
class mailbox_receiver : public detail::source<slipring_mailbox_receiver, slipring_mailbox_receiver_close,
                                               slipring_mailbox_receiver_fd, slipring_mailbox_receiver_arm> {
public:
    using source::source;

    letter receive(timeout wait = forever) {
        slipring_letter lent;
        check(slipring_mailbox_receiver_receive(handle_, wait.ns(), &lent));
        return {handle_, lent};
    }
    /// Returns nothing if there is none now.
    std::optional<letter> try_receive() {
        slipring_letter lent;
        const slipring_status status = slipring_mailbox_receiver_receive(handle_, 0, &lent);
        if (slipring_is_not_yet(status)) return std::nullopt;
        check(status);
        return std::optional<letter>(std::in_place, handle_, lent);
    }
};

/// What came back of a request.
class reply : public detail::loan<slipring_mailbox_client, slipring_mailbox_client_release> {
public:
    reply(slipring_mailbox_client *client, view bytes) noexcept : loan(client), bytes_(bytes) {}
    reply(reply &&) noexcept = default;

    view bytes() const noexcept { return bytes_; }
    std::string_view text() const noexcept { return bytes_.text(); }
    template <class T> T as() const { return bytes_.as<T>(); }

private:
    view bytes_;
};

/// Sends letters, and asks.
class mailbox_client : public detail::owned<slipring_mailbox_client, slipring_mailbox_client_close> {
public:
    using owned::owned;

    void send(view bytes, timeout wait = forever) {
        check(slipring_mailbox_client_send(handle_, bytes.data(), bytes.size(), wait.ns()));
    }
    /// Sends a letter and waits for its reply.
    reply request(view bytes, timeout wait = forever) {
        const void *data = nullptr;
        std::size_t size = 0;
        check(slipring_mailbox_client_request(handle_, bytes.data(), bytes.size(), wait.ns(), &data, &size));
        return {handle_, view(data, size)};
    }
};

/// An open mailbox.
class mailbox
    : public detail::object<mailbox, slipring_mailbox, slipring_mailbox_options, slipring_mailbox_close, slipring_mailbox_create,
                            slipring_mailbox_create_or_open, slipring_mailbox_open, slipring_mailbox_remove> {
public:
    using object::object;

    static mailbox create(const std::string &place, const mailbox_options &settings = {}) { return object::create(place, settings); }
    static mailbox create_or_open(const std::string &place, const mailbox_options &settings = {}) {
        return object::create_or_open(place, settings);
    }
    mailbox_client client(const std::string &name, const options &how = {}) const {
        slipring_mailbox_client *made = nullptr;
        check(slipring_mailbox_new_client(handle_, name.c_str(), &how, &made));
        return mailbox_client(made);
    }
    mailbox_receiver receiver(const options &how = {}) const {
        slipring_mailbox_receiver *made = nullptr;
        check(slipring_mailbox_new_receiver(handle_, &how, &made));
        return mailbox_receiver(made);
    }
    slipring_mailbox_state status() const {
        return detail::state<slipring_mailbox_state, const slipring_mailbox>(slipring_mailbox_status, handle_);
    }
};

} // namespace slipring

#endif
