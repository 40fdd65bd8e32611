// Links in C++: two processes that name each other.
#ifndef SLIPRING_LINK_HPP
#define SLIPRING_LINK_HPP

#include <slipring/base.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slipring {

/// A message of a link, which is given back in the destructor.
class link_message : public detail::loan<slipring_link, slipring_link_release> {
public:
    link_message(slipring_link *link, const slipring_message &lent) noexcept : loan(link), lent_(lent) {}
    link_message(link_message &&) noexcept = default;

    view bytes() const noexcept { return {lent_.data, lent_.len}; }
    std::string_view text() const noexcept { return bytes().text(); }
    template <class T> T as() const { return bytes().as<T>(); }
    std::uint64_t sequence() const noexcept { return lent_.sequence; }

private:
    slipring_message lent_;
};

/// One side of a link between two processes that name each other.
class link : public detail::source<slipring_link, slipring_link_close, slipring_link_fd, slipring_link_arm> {
public:
    using source::source;

    /// Waits for the other side. A capacity of 0 is the default; without a directory the link is in the slipring directory.
    static link connect(const std::string &me, const std::string &peer, timeout wait = forever, std::uint64_t capacity_bytes = 0,
                        const options &how = {}, const char *directory = nullptr) {
        slipring_link *made = nullptr;
        check(slipring_link_connect(me.c_str(), peer.c_str(), directory, capacity_bytes, &how, wait.ns(), &made));
        return link(made);
    }
    /// As `connect`, without waiting for the other side: for event loops.
    static connecting<link> begin_connect(const std::string &me, const std::string &peer, std::uint64_t capacity_bytes = 0,
                                          const options &how = {}, const char *directory = nullptr) {
        slipring_connecting *made = nullptr;
        check(slipring_link_begin_connect(me.c_str(), peer.c_str(), directory, capacity_bytes, &how, &made));
        return connecting<link>(made);
    }
    static void remove(const std::string &one, const std::string &other) { check(slipring_link_remove(one.c_str(), other.c_str())); }

    std::uint64_t send(view bytes, timeout wait = forever) {
        std::uint64_t sequence = 0;
        check(slipring_link_send(handle_, bytes.data(), bytes.size(), wait.ns(), &sequence));
        return sequence;
    }
    link_message receive(timeout wait = forever) {
        slipring_message lent;
        check(slipring_link_receive(handle_, wait.ns(), &lent));
        return {handle_, lent};
    }
    /// Returns nothing if there is none now.
    std::optional<link_message> try_receive() {
        slipring_message lent;
        const slipring_status status = slipring_link_receive(handle_, 0, &lent);
        if (slipring_is_not_yet(status)) return std::nullopt;
        check(status);
        return std::optional<link_message>(std::in_place, handle_, lent);
    }
    /// Waits for the next process of the other name.
    void reconnect(timeout wait = forever) { check(slipring_link_reconnect(handle_, wait.ns())); }
    /// As `reconnect`, without waiting: this becomes what waits, and keeps its name and its descriptor. If it throws, this is as it was.
    connecting<link> begin_reconnect() {
        slipring_connecting *made = nullptr;
        check(slipring_link_begin_reconnect(&handle_, &made));
        return connecting<link>(made);
    }
    std::uint32_t peer_pid() {
        std::uint32_t pid = 0;
        check(slipring_link_peer(handle_, &pid, nullptr));
        return pid;
    }
    std::uint32_t max_message_bytes() {
        std::uint32_t most = 0;
        check(slipring_link_peer(handle_, nullptr, &most));
        return most;
    }
};

namespace detail {

template <> struct finishes<link> {
    static link finish(slipring_connecting **waits, timeout wait) {
        slipring_link *made = nullptr;
        check(slipring_connecting_link(waits, wait.ns(), &made));
        return link(made);
    }
};

} // namespace detail

} // namespace slipring

#endif
