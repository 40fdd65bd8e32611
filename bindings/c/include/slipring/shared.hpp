// Shared values in C++, which processes change in turns.
#ifndef SLIPRING_SHARED_HPP
#define SLIPRING_SHARED_HPP

#include <slipring/schema.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace slipring {

/// The settings of a new shared value.
using shared_options = detail::settings<slipring_shared_options>;

/// The lock on a shared value, and the copy that its holder changes. Without `commit` nothing is changed. If `commit` or `discard` throws
/// SLIPRING_E_BUSY, the lock is held still.
class shared_guard : public detail::loan<slipring_shared, slipring_shared_discard> {
public:
    shared_guard(slipring_shared *shared, void *data, std::size_t size, bool abandoned) noexcept
        : loan(shared), data_(data), size_(size), abandoned_(abandoned) {}
    shared_guard(shared_guard &&) noexcept = default;

    void *data() noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    /// Whether the last holder died with the lock.
    bool abandoned() const noexcept { return abandoned_; }
    /// A copy as a value. Throws std::length_error if the type has another size.
    template <class T> T get() const { return view(data_, size_).as<T>(); }
    template <class T> void set(const T &value) {
        detail::fits<T>(size_);
        std::memcpy(data_, &value, sizeof value);
    }
    /// Makes the change, gives the lock back, and returns the version.
    std::uint64_t commit() {
        std::uint64_t version = 0;
        finish([&](slipring_shared *shared) { return slipring_shared_commit(shared, &version); });
        return version;
    }
    /// Gives the lock back without a change.
    void discard() { finish(slipring_shared_discard); }

private:
    void *data_;
    std::size_t size_;
    bool abandoned_;
};

/// A handle to a value that processes change in turns.
class shared : public detail::owned<slipring_shared, slipring_shared_close> {
public:
    using owned::owned;

    static shared create(const std::string &place, const shared_options &settings, const options &how = {}) {
        slipring_shared *made = nullptr;
        check(slipring_shared_create(place.c_str(), &settings, &how, &made));
        return shared(made);
    }
    static shared create_or_open(const std::string &place, const shared_options &settings, const options &how = {}) {
        slipring_shared *made = nullptr;
        check(slipring_shared_create_or_open(place.c_str(), &settings, &how, &made));
        return shared(made);
    }
    /// Of a type that SLIPRING_MESSAGE described.
    template <class T> static shared create_of(const std::string &place, const options &how = {}) {
        const std::string text = schema_of<T>::text();
        shared_options settings;
        settings.schema = text.c_str();
        return create(place, settings, how);
    }
    static shared open(const std::string &place, const options &how = {}) {
        slipring_shared *made = nullptr;
        check(slipring_shared_open(place.c_str(), &how, &made));
        return shared(made);
    }
    static void remove(const std::string &place) { check(slipring_shared_remove(place.c_str())); }

    /// Waits for the lock.
    shared_guard lock(timeout wait = forever) {
        const std::size_t size = value_bytes();
        void *data = nullptr;
        bool abandoned = false;
        check(slipring_shared_lock(handle_, wait.ns(), &data, &abandoned));
        return {handle_, data, size, abandoned};
    }
    /// The value, without the lock. Throws std::length_error if the type has another size.
    template <class T> versioned<T> get() {
        detail::fits<T>(value_bytes());
        versioned<T> found{};
        check(slipring_shared_get(handle_, &found.value, sizeof(T), &found.version));
        return found;
    }
    /// Waits until the value has another version than this.
    void wait(std::uint64_t version, timeout wait = forever) { check(slipring_shared_wait(handle_, version, wait.ns())); }
    std::size_t value_bytes() {
        std::uint32_t bytes = 0;
        check(slipring_shared_schema(handle_, nullptr, 0, nullptr, &bytes));
        return bytes;
    }
    std::string schema() {
        std::size_t size = 0;
        check(slipring_shared_schema(handle_, nullptr, 0, &size, nullptr));
        std::string text(size, '\0');
        check(slipring_shared_schema(handle_, text.data(), size + 1, nullptr, nullptr));
        return text;
    }
    slipring_shared_state status() { return detail::state<slipring_shared_state, slipring_shared>(slipring_shared_status, handle_); }
};

} // namespace slipring

#endif
