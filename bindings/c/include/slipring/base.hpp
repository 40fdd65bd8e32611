// What every handle in C++ is made of: errors as exceptions, timeouts, bytes that lie somewhere else, handles that close themselves, and
// what they lend. Over slipring.h.
#ifndef SLIPRING_BASE_HPP
#define SLIPRING_BASE_HPP

#include <slipring.h>

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace slipring {

/// What a call that failed throws: the number, the sentence, and what is known.
class error : public std::runtime_error {
public:
    error(slipring_status code, const char *what, const slipring_detail &detail)
        : std::runtime_error(what), code_(code), detail_(detail) {}

    /// The number of the error: slipring/errors.h, slipring_binding_error.
    slipring_status code() const noexcept { return code_; }
    /// The numbers that are known: a row, a process, sequences.
    const slipring_detail &detail() const noexcept { return detail_; }
    /// Whether a deadline passed.
    bool is_timeout() const noexcept { return slipring_is_timeout(code_); }
    /// Whether a call that only tried found nothing, or no room.
    bool is_not_yet() const noexcept { return slipring_is_not_yet(code_); }

private:
    slipring_status code_;
    slipring_detail detail_;
};

[[noreturn]] inline void fail(slipring_status code) {
    slipring_detail detail{};
    detail.struct_size = sizeof detail;
    slipring_error_detail(&detail);
    throw error(code, slipring_error_message(), detail);
}

inline void check(slipring_status status) {
    if (status != 0) fail(status);
}

/// How long a call waits.
class timeout {
public:
    /// Any duration; a negative one, and one too long for 64 bits of nanoseconds, is for ever.
    template <class Rep, class Period>
    constexpr timeout(std::chrono::duration<Rep, Period> time) : ns_(of(time)) {}

    constexpr std::int64_t ns() const noexcept { return ns_; }

private:
    template <class Duration> static constexpr std::int64_t of(Duration time) {
        if (time < Duration::zero()) return -1;
        if (time > std::chrono::duration<double>(9.2e9)) return -1;
        const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
        // What is shorter than a nanosecond waits all the same.
        return ns == 0 && time > Duration::zero() ? 1 : ns;
    }

    std::int64_t ns_;
};

/// Waits without limit.
inline constexpr timeout forever{std::chrono::nanoseconds(-1)};
/// Does not wait.
inline constexpr timeout at_once{std::chrono::nanoseconds(0)};

/// Bytes that lie somewhere else.
class view {
public:
    constexpr view() noexcept = default;
    constexpr view(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    constexpr view(std::string_view text) noexcept : data_(text.data()), size_(text.size()) {}
    constexpr view(const char *text) : view(std::string_view(text)) {}
    view(const std::string &text) noexcept : view(std::string_view(text)) {}
    template <class Byte, class = std::enable_if_t<sizeof(Byte) == 1>>
    view(const std::vector<Byte> &bytes) noexcept : view(bytes.data(), bytes.size()) {}

    const void *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const unsigned char *begin() const noexcept { return static_cast<const unsigned char *>(data_); }
    const unsigned char *end() const noexcept { return begin() + size_; }
    unsigned char operator[](std::size_t at) const noexcept { return begin()[at]; }
    std::string_view text() const noexcept { return {static_cast<const char *>(data_), size_}; }

    /// A copy of the bytes as a value. Throws std::length_error if they are not of its size.
    template <class T> T as() const {
        static_assert(std::is_trivially_copyable_v<T>, "only what can be copied as bytes lies in a message");
        if (size_ != sizeof(T)) throw std::length_error("a message of another size than the type");
        T value;
        std::memcpy(&value, data_, sizeof value);
        return value;
    }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail {

/// A handle of the C library.
template <class Handle, slipring_status (*Close)(Handle **)> class owned {
public:
    owned() noexcept = default;
    explicit owned(Handle *handle) noexcept : handle_(handle) {}
    owned(owned &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    owned &operator=(owned &&other) noexcept {
        if (this != &other) {
            Close(&handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    ~owned() { Close(&handle_); }

    /// The handle for calls of slipring.h; NULL once it was closed or moved from.
    Handle *get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// Closes the handle now. The destructor does that too, and does not say if it fails.
    void close() { check(Close(&handle_)); }

protected:
    Handle **out() noexcept { return &handle_; }
    Handle *handle_ = nullptr;
};

/// A handle that can have a descriptor.
template <class Handle, slipring_status (*Close)(Handle **), slipring_status (*Fd)(Handle *, std::int32_t *)>
class polled : public owned<Handle, Close> {
public:
    using owned<Handle, Close>::owned;

    /// The descriptor, which belongs to the handle: it is polled, and neither read, written nor closed.
    int fd() {
        std::int32_t found = -1;
        check(Fd(this->handle_, &found));
        return found;
    }
    /// Has the kernel make the descriptor readable itself, by io_uring. Throws SLIPRING_E_SYSTEM if it refuses; then nothing has
    /// changed.
    void use_io_uring() { check(slipring_use_io_uring(this->handle_)); }
    /// Whether the kernel watches what the last call of `arm` that found nothing armed.
    bool uses_io_uring() const {
        bool uses = false;
        check(slipring_uses_io_uring(this->handle_, &uses));
        return uses;
    }
};

/// A handle with a descriptor that becomes readable when there is something to receive after `arm` returned false.
template <class Handle, slipring_status (*Close)(Handle **), slipring_status (*Fd)(Handle *, std::int32_t *),
          slipring_status (*Arm)(Handle *, bool *)>
class source : public polled<Handle, Close, Fd> {
public:
    using polled<Handle, Close, Fd>::polled;

    bool arm() {
        bool ready = false;
        check(Arm(this->handle_, &ready));
        return ready;
    }
};

/// How what waits for its other side becomes a handle: for each kind of handle in the header of its form.
template <class Made> struct finishes;

/// Whether a call was refused before it did anything: what was lent is lent still.
inline bool refused(slipring_status status) noexcept {
    switch (status) {
    case SLIPRING_E_NULL:
    case SLIPRING_E_ARGUMENT:
    case SLIPRING_E_BUSY:
    case SLIPRING_E_LENT: return true;
    default: return false;
    }
}

/// Something lent, that the destructor gives back by a call on the handle.
template <class Handle, slipring_status (*GiveBack)(Handle *)> class loan {
public:
    loan(loan &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    loan &operator=(loan &&) = delete;
    loan(const loan &) = delete;
    loan &operator=(const loan &) = delete;
    ~loan() {
        if (handle_ == nullptr || GiveBack(handle_) != SLIPRING_E_BUSY) return;
        // A call of another thread on a handle that has lent something is refused at once, and so is not in the way for long. It is for
        // ever if that thread is not in this process, or this one is in a handler of a signal that interrupted a call. The second is one
        // of tries: while this thread or the other does not run nothing can be known.
        using namespace std::chrono;
        steady_clock::duration tried{};
        for (auto before = steady_clock::now(); tried < seconds(1);) {
            if (GiveBack(handle_) != SLIPRING_E_BUSY) return;
            sched_yield();
            const auto now = steady_clock::now();
            tried += std::min<steady_clock::duration>(now - before, milliseconds(1));
            before = now;
        }
    }

protected:
    explicit loan(Handle *handle) noexcept : handle_(handle) {}
    /// Ends the loan by a call. If that is refused the loan stays; after any other error nothing is lent any more.
    template <class Call> void finish(Call call) {
        const slipring_status status = call(handle_);
        if (!refused(status)) handle_ = nullptr;
        check(status);
    }
    Handle *handle_;
};

} // namespace detail

/// How a handle waits and reads.
struct options : slipring_options {
    options() noexcept : slipring_options{} { struct_size = sizeof(slipring_options); }
};

/// What waits for its other side, and keeps no thread for that: a `link`, the `pipe_reader`, `pipe_writer` or `pipe_ends` of a named pipe. Made
/// by the calls whose names begin with `begin_`. This process has its side from then on, until it is closed.
template <class Made>
class connecting
    : public detail::source<slipring_connecting, slipring_connecting_close, slipring_connecting_fd, slipring_connecting_arm> {
public:
    using source::source;

    /// Does what there is to do now, without waiting. Returns whether both sides have met: then `finish` does not wait.
    bool try_meet() {
        bool met = false;
        check(slipring_connecting_try_meet(handle_, &met));
        return met;
    }
    /// Waits for the other side where the two have not met, and returns the handle, whose descriptor is the one that this had, if a handle
    /// of its kind has one. This is closed then, also where it throws because the time is over or the object is removed.
    Made finish(timeout wait = forever) { return detail::finishes<Made>::finish(out(), wait); }
};

/// A value and how often it was set.
template <class T> struct versioned {
    T value;
    std::uint64_t version;
};

namespace detail {

/// An object at a place, that is made, opened and removed by calls of the same shape.
template <class Form, class Handle, class Options, slipring_status (*Close)(Handle **),
          slipring_status (*Create)(const char *, const Options *, Handle **),
          slipring_status (*CreateOrOpen)(const char *, const Options *, Handle **),
          slipring_status (*Open)(const char *, std::int64_t, Handle **), slipring_status (*Remove)(const char *)>
class object : public owned<Handle, Close> {
public:
    using owned<Handle, Close>::owned;

    static Form create(const std::string &place, const Options &settings) {
        Handle *made = nullptr;
        check(Create(place.c_str(), &settings, &made));
        return Form(made);
    }
    static Form create_or_open(const std::string &place, const Options &settings) {
        Handle *made = nullptr;
        check(CreateOrOpen(place.c_str(), &settings, &made));
        return Form(made);
    }
    static Form open(const std::string &place, timeout wait = at_once) {
        Handle *made = nullptr;
        check(Open(place.c_str(), wait.ns(), &made));
        return Form(made);
    }
    static void remove(const std::string &place) { check(Remove(place.c_str())); }
};

/// Settings with their size set and everything else at its default.
template <class Options> struct settings : Options {
    settings() noexcept : Options{} { this->struct_size = sizeof(Options); }
};

/// The state that a call fills in.
template <class State, class Handle> State state(slipring_status (*call)(Handle *, State *), Handle *handle) {
    State found{};
    found.struct_size = sizeof found;
    check(call(handle, &found));
    return found;
}

/// A value of a type in a place of so many bytes. Throws std::length_error if they differ.
template <class T> void fits(std::size_t bytes) {
    static_assert(std::is_trivially_copyable_v<T>, "only what can be copied as bytes is a value");
    if (sizeof(T) != bytes) throw std::length_error("a value of another size than the type");
}

} // namespace detail

} // namespace slipring

#endif
