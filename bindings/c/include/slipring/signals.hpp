// Signals in C++: numbers from 0 to 63, sent to a listener or to all.
#ifndef SLIPRING_SIGNALS_HPP
#define SLIPRING_SIGNALS_HPP

#include <slipring/base.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace slipring {

/// The settings of new signals.
using signals_options = detail::settings<slipring_signals_options>;

/// A signal that came, and how often since it was taken last.
struct signal_count {
    std::uint32_t signal;
    std::uint64_t count;
};

/// Waits for signals under a name.
class listener : public detail::source<slipring_listener, slipring_listener_close, slipring_listener_fd, slipring_listener_arm> {
public:
    using source::source;

    /// Waits for any of a set of signals, by bits.
    signal_count wait(timeout wait = forever, std::uint64_t set = ~std::uint64_t{0}) {
        signal_count found{};
        check(slipring_listener_wait(handle_, set, wait.ns(), &found.signal, &found.count));
        return found;
    }
    /// Returns nothing if none came.
    std::optional<signal_count> try_take(std::uint64_t set = ~std::uint64_t{0}) {
        signal_count found{};
        const slipring_status status = slipring_listener_wait(handle_, set, 0, &found.signal, &found.count);
        if (slipring_is_timeout(status) || slipring_is_not_yet(status)) return std::nullopt;
        check(status);
        return found;
    }
};

/// Sends signals to one listener.
class target : public detail::owned<slipring_target, slipring_target_close> {
public:
    using owned::owned;

    void send(std::uint32_t signal) { check(slipring_target_send(handle_, signal)); }
};

/// Open signals.
class signals
    : public detail::object<signals, slipring_signals, slipring_signals_options, slipring_signals_close, slipring_signals_create,
                            slipring_signals_create_or_open, slipring_signals_open, slipring_signals_remove> {
public:
    using object::object;

    static signals create(const std::string &place, const signals_options &settings = {}) { return object::create(place, settings); }
    static signals create_or_open(const std::string &place, const signals_options &settings = {}) {
        return object::create_or_open(place, settings);
    }
    slipring::listener listener(const std::string &name, const options &how = {}) const {
        slipring_listener *made = nullptr;
        check(slipring_signals_listener(handle_, name.c_str(), &how, &made));
        return slipring::listener(made);
    }
    slipring::target target(const std::string &name) const {
        slipring_target *made = nullptr;
        check(slipring_signals_target(handle_, name.c_str(), &made));
        return slipring::target(made);
    }
    /// Sends a signal to every listener.
    void broadcast(std::uint32_t signal) const { check(slipring_signals_broadcast(handle_, signal)); }
};

} // namespace slipring

#endif
