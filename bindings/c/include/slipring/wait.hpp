// Waiting for several handles of any forms in C++, and ending such a wait.
#ifndef SLIPRING_WAIT_HPP
#define SLIPRING_WAIT_HPP

#include <slipring/base.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace slipring {

/// Ends a wait from another thread, or from a handler of a signal. Made by interruption::make_interrupter, which it outlives if need be.
class interrupter : public detail::owned<slipring_interrupter, slipring_interrupter_close> {
public:
    using owned::owned;

    /// Ends the wait of the set that waits for the interruption, or the next one. Any number of threads and handlers may call it.
    /// Returns `false` if this is no open interrupter.
    bool interrupt() const noexcept { return slipring_interrupter_interrupt(handle_) == 0; }
};

/// What ends a wait of a set from outside, as one of the handles that the set waits for.
class interruption : public detail::owned<slipring_interruption, slipring_interruption_close> {
public:
    using owned::owned;

    static interruption create() {
        slipring_interruption *made = nullptr;
        check(slipring_interruption_create(&made));
        return interruption(made);
    }
    interrupter make_interrupter() {
        slipring_interrupter *made = nullptr;
        check(slipring_interruption_interrupter(handle_, &made));
        return interrupter(made);
    }
    /// Whether it was asked for since the last call.
    bool take() {
        bool taken = false;
        check(slipring_interruption_take(handle_, &taken));
        return taken;
    }
};

/// A handle that a set waits for: a consumer, an observer, a receiver of a queue or a mailbox, a link, the reading end of a pipe, a reader of
/// newest values, a listener, what waits for its other side, an interruption. It must not outlive the handle.
class waitable {
public:
    template <class Handle, slipring_status (*Close)(Handle **), slipring_status (*Fd)(Handle *, std::int32_t *),
              slipring_status (*Arm)(Handle *, bool *)>
    waitable(const detail::source<Handle, Close, Fd, Arm> &source) noexcept : handle_(source.get()) {}
    waitable(const interruption &source) noexcept : handle_(source.get()) {}

    void *get() const noexcept { return handle_; }

private:
    void *handle_;
};

/// Waits for several handles. Its descriptor is for an event loop, which waits for all of them by it.
class wait_set : public detail::polled<slipring_wait_set, slipring_wait_set_close, slipring_wait_set_fd> {
public:
    using polled::polled;

    /// A set that polls for 20 microseconds before it sleeps.
    static wait_set create() { return create(std::chrono::nanoseconds(-1)); }
    /// A set that polls for so long before it sleeps.
    static wait_set create(std::chrono::nanoseconds spin) {
        slipring_wait_set *made = nullptr;
        check(slipring_wait_set_create(spin.count(), &made));
        return wait_set(made);
    }
    /// Waits until one of the handles has something to report, and returns its place in the list; nothing if the deadline passed. The next
    /// call on that handle that does not wait says what. Each handle is there once, and has lent nothing.
    std::optional<std::size_t> wait(const std::vector<waitable> &handles, timeout wait = forever) {
        std::size_t index = 0;
        const auto given = pointers(handles);
        check(slipring_wait_set_wait(handle_, given.data(), given.size(), wait.ns(), &index));
        return at(index, given.size());
    }
    /// Returns the place of a handle that has something to report. If none has, returns nothing, and the descriptor becomes readable
    /// when one has.
    std::optional<std::size_t> arm(const std::vector<waitable> &handles) {
        std::size_t index = 0;
        const auto given = pointers(handles);
        check(slipring_wait_set_arm(handle_, given.data(), given.size(), &index));
        return at(index, given.size());
    }

private:
    static std::vector<void *> pointers(const std::vector<waitable> &handles) {
        std::vector<void *> all;
        all.reserve(handles.size());
        for (const auto &one : handles) all.push_back(one.get());
        return all;
    }
    static std::optional<std::size_t> at(std::size_t index, std::size_t count) {
        if (index == count) return std::nullopt;
        return index;
    }
};

} // namespace slipring

#endif
