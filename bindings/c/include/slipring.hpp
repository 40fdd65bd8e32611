// Slipring for C++17: handles that close themselves, errors as exceptions, messages as views. Header only, over slipring.h, whose
// text says what each call does. The page about it is docs/guide/c.md.
//
// A handle can be moved and not copied. What a handle lends (a message, a batch, a claim, a delivery) is an object that gives it back in
// its destructor, and must not outlive the handle.
#ifndef SLIPRING_HPP
#define SLIPRING_HPP

#include <slipring.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
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

/// Something lent, that is given back by a call on the handle.
template <class Handle> class loan {
public:
    loan(loan &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    loan &operator=(loan &&) = delete;
    loan(const loan &) = delete;
    loan &operator=(const loan &) = delete;

protected:
    explicit loan(Handle *handle) noexcept : handle_(handle) {}
    Handle *take() noexcept { return std::exchange(handle_, nullptr); }
    Handle *handle_;
};

} // namespace detail

/// Where a reader begins.
struct start {
    std::uint32_t from = SLIPRING_LATEST;
    std::uint64_t sequence = 0;

    static constexpr start latest() noexcept { return {SLIPRING_LATEST, 0}; }
    static constexpr start oldest() noexcept { return {SLIPRING_OLDEST, 0}; }
    static constexpr start at(std::uint64_t sequence) noexcept { return {SLIPRING_SEQUENCE, sequence}; }
};

/// How a handle waits and reads.
struct options : slipring_options {
    options() noexcept : slipring_options{} { struct_size = sizeof(slipring_options); }
};

/// The settings of a new ring.
struct ring_options : slipring_ring_options {
    ring_options() noexcept : slipring_ring_options{} { struct_size = sizeof(slipring_ring_options); }
};

/// A message in the ring, which is given back in the destructor.
class message : public detail::loan<slipring_consumer> {
public:
    message(slipring_consumer *consumer, const slipring_message &lent) noexcept : loan(consumer), lent_(lent) {}
    message(message &&) noexcept = default;
    ~message() {
        if (handle_ != nullptr) slipring_consumer_release(handle_);
    }

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
class batch : public detail::loan<slipring_consumer> {
public:
    batch(slipring_consumer *consumer, std::vector<slipring_message> &messages, std::size_t size) noexcept
        : loan(consumer), messages_(&messages), size_(size) {}
    batch(batch &&) noexcept = default;
    ~batch() {
        if (handle_ != nullptr) slipring_consumer_release(handle_);
    }

    std::size_t size() const noexcept { return size_; }
    view operator[](std::size_t at) const noexcept { return {(*messages_)[at].data, (*messages_)[at].len}; }
    const slipring_message *begin() const noexcept { return messages_->data(); }
    const slipring_message *end() const noexcept { return messages_->data() + size_; }

private:
    std::vector<slipring_message> *messages_;
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
        messages_.resize(most);
        std::size_t count = 0;
        const slipring_status status =
            slipring_consumer_receive_batch(handle_, wait.ns(), messages_.data(), most, &count);
        if (status == SLIPRING_E_TRY_RECEIVE_CLOSED) return std::nullopt;
        check(status);
        return std::optional<batch>(std::in_place, handle_, messages_, count);
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
class claim : public detail::loan<slipring_producer> {
public:
    claim(slipring_producer *producer, void *data, std::size_t size) noexcept
        : loan(producer), data_(static_cast<unsigned char *>(data)), size_(size) {}
    claim(claim &&) noexcept = default;
    ~claim() {
        if (handle_ != nullptr) slipring_producer_abort(handle_);
    }

    unsigned char *data() noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    /// Publishes all of it.
    std::uint64_t commit() { return commit(size_); }
    /// Publishes the first bytes of it. More than there are throws, and the claim stays.
    std::uint64_t commit(std::size_t size) {
        std::uint64_t sequence = 0;
        check(slipring_producer_commit(handle_, size, &sequence));
        take();
        return sequence;
    }

private:
    unsigned char *data_;
    std::size_t size_;
};

/// Messages that become visible together when they are committed. Without that they leave no trace.
class publish_batch : public detail::loan<slipring_producer> {
public:
    explicit publish_batch(slipring_producer *producer) noexcept : loan(producer) {}
    publish_batch(publish_batch &&) noexcept = default;
    ~publish_batch() {
        if (handle_ != nullptr) slipring_producer_abort(handle_);
    }

    std::uint64_t push(view bytes, timeout wait = forever) {
        std::uint64_t sequence = 0;
        check(slipring_producer_batch_push(handle_, bytes.data(), bytes.size(), wait.ns(), &sequence));
        return sequence;
    }
    /// Says how many messages it had.
    std::uint64_t commit() {
        std::uint64_t count = 0;
        check(slipring_producer_batch_commit(handle_, &count));
        take();
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

/// The schema of a struct that SLIPRING_MESSAGE described.
template <class T> struct schema_of;

namespace detail {

template <class T> struct kind_of;
#define SLIPRING_KIND(type, name)                                                                                      \
    template <> struct kind_of<type> {                                                                                 \
        static std::string text() { return name; }                                                                     \
    }
SLIPRING_KIND(std::uint8_t, "u8");
SLIPRING_KIND(std::uint16_t, "u16");
SLIPRING_KIND(std::uint32_t, "u32");
SLIPRING_KIND(std::uint64_t, "u64");
SLIPRING_KIND(std::int8_t, "i8");
SLIPRING_KIND(std::int16_t, "i16");
SLIPRING_KIND(std::int32_t, "i32");
SLIPRING_KIND(std::int64_t, "i64");
SLIPRING_KIND(float, "f32");
SLIPRING_KIND(double, "f64");
SLIPRING_KIND(char, "u8");
#undef SLIPRING_KIND

template <class T, std::size_t N> struct kind_of<T[N]> {
    static std::string text() { return kind_of<T>::text() + "[" + std::to_string(N) + "]"; }
};
template <class T> struct kind_of<T[1]> {
    static std::string text() { return kind_of<T>::text(); }
};

constexpr bool in_order(std::size_t size, const std::size_t *at, const std::size_t *sizes, std::size_t count) {
    std::size_t next = 0;
    for (std::size_t one = 0; one < count; one++) {
        if (at[one] != next) return false;
        next += sizes[one];
    }
    return next == size;
}

} // namespace detail

/// A ring of one type. Its handles take and give values.
template <class T> class typed {
    static_assert(std::is_trivially_copyable_v<T>, "only what can be copied as bytes lies in a message");

public:
    /// Compares the schema of a ring with that of the type, field by field.
    explicit typed(slipring::ring of) : ring_(std::move(of)) { ring_.expect_schema(schema_of<T>::text()); }

    static typed create(const std::string &place, ring_options settings = {}) {
        const std::string text = schema_of<T>::text();
        settings.schema = text.c_str();
        return typed(slipring::ring::create(place, settings));
    }
    static typed open(const std::string &place, timeout wait = at_once) {
        return typed(slipring::ring::open(place, wait));
    }
    const slipring::ring &ring() const noexcept { return ring_; }

    class consumer {
    public:
        explicit consumer(slipring::consumer of) : consumer_(std::move(of)) {}
        /// Returns nothing at the end of the ring. Acknowledged at once.
        std::optional<T> receive(timeout wait = forever) {
            const auto found = consumer_.receive(wait);
            if (!found) return std::nullopt;
            return found->template as<T>();
        }
        slipring::consumer &bytes() noexcept { return consumer_; }

    private:
        slipring::consumer consumer_;
    };

    class producer {
    public:
        explicit producer(slipring::producer of) : producer_(std::move(of)) {}
        std::uint64_t publish(const T &value, timeout wait = forever) {
            return producer_.publish(view(&value, sizeof value), wait);
        }
        slipring::producer &bytes() noexcept { return producer_; }

    private:
        slipring::producer producer_;
    };

    producer make_producer(const options &how = {}) const { return producer(ring_.producer(how)); }
    consumer make_consumer(start from, const options &how = {}) const { return consumer(ring_.consumer(from, how)); }
    consumer make_durable_consumer(const std::string &name, start from, const options &how = {}) const {
        return consumer(ring_.durable_consumer(name, from, how));
    }

private:
    slipring::ring ring_;
};

} // namespace slipring

#define SLIPRING_EXPAND_(x) x
#define SLIPRING_EACH_1_(what, type, x) what(type, x)
#define SLIPRING_EACH_2_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_1_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_3_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_2_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_4_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_3_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_5_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_4_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_6_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_5_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_7_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_6_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_8_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_7_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_9_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_8_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_10_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_9_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_11_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_10_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_12_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_11_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_13_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_12_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_14_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_13_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_15_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_14_(what, type, __VA_ARGS__))
#define SLIPRING_EACH_16_(what, type, x, ...) what(type, x), SLIPRING_EXPAND_(SLIPRING_EACH_15_(what, type, __VA_ARGS__))
#define SLIPRING_PICK_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, name, ...) name
#define SLIPRING_EACH_(what, type, ...)                                                                                \
    SLIPRING_EXPAND_(SLIPRING_PICK_(__VA_ARGS__, SLIPRING_EACH_16_, SLIPRING_EACH_15_, SLIPRING_EACH_14_,              \
                                    SLIPRING_EACH_13_, SLIPRING_EACH_12_, SLIPRING_EACH_11_, SLIPRING_EACH_10_,        \
                                    SLIPRING_EACH_9_, SLIPRING_EACH_8_, SLIPRING_EACH_7_, SLIPRING_EACH_6_,            \
                                    SLIPRING_EACH_5_, SLIPRING_EACH_4_, SLIPRING_EACH_3_, SLIPRING_EACH_2_,            \
                                    SLIPRING_EACH_1_, SLIPRING_EACH_0_)(what, type, __VA_ARGS__))
#define SLIPRING_AT_(type, member) offsetof(type, member)
#define SLIPRING_SIZE_(type, member) sizeof(type::member)
#define SLIPRING_TEXT_(type, member)                                                                                   \
    std::string(#member ":") + ::slipring::detail::kind_of<decltype(type::member)>::text()

/// Describes a struct of numbers and arrays of numbers by its members, all of them and in their order, up to 16: in the global
/// namespace, behind the struct. What is no message (padding, another order, a member left out, a type that cannot be copied as bytes)
/// does not compile. The schema is that of a message with the name of the struct, as `message!` makes it in Rust.
#define SLIPRING_MESSAGE(type, ...)                                                                                    \
    static_assert(std::is_trivially_copyable_v<type> && std::is_standard_layout_v<type>,                               \
                  #type " cannot be copied as bytes");                                                                 \
    template <> struct slipring::schema_of<type> {                                                                     \
        static constexpr std::size_t at[] = {SLIPRING_EACH_(SLIPRING_AT_, type, __VA_ARGS__)};                         \
        static constexpr std::size_t sizes[] = {SLIPRING_EACH_(SLIPRING_SIZE_, type, __VA_ARGS__)};                    \
        static_assert(::slipring::detail::in_order(sizeof(type), at, sizes, sizeof at / sizeof *at),                   \
                      #type " has padding, or its members are not all listed in their order");                         \
        static std::string text() {                                                                                    \
            const std::string members[] = {SLIPRING_EACH_(SLIPRING_TEXT_, type, __VA_ARGS__)};                         \
            std::string all = #type "{";                                                                               \
            for (std::size_t one = 0; one < std::size(members); one++) all += (one ? "," : "") + members[one];        \
            return all + "}";                                                                                          \
        }                                                                                                              \
    }

#include <slipring/forms.hpp>

#endif
