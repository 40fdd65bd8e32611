// Slipring for C++17, the forms beyond rings: queues, mailboxes, links, pipes, newest and shared values, semaphores, signals. Included
// by slipring.hpp, whose rules hold here: handles can be moved and not copied, close themselves, and throw slipring::error. What a
// handle lends gives itself back in its destructor, and must not outlive the handle.
#ifndef SLIPRING_FORMS_HPP
#define SLIPRING_FORMS_HPP

#include <slipring.hpp>

namespace slipring {

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

// Queues.

/// The settings of a new queue.
using queue_options = detail::settings<slipring_queue_options>;

/// A message of a queue. Without `ack` the destructor gives it back, and another receiver gets it.
class delivery : public detail::loan<slipring_receiver> {
public:
    delivery(slipring_receiver *receiver, const slipring_delivery &lent) noexcept : loan(receiver), lent_(lent) {}
    delivery(delivery &&) noexcept = default;
    ~delivery() {
        if (handle_ != nullptr) slipring_receiver_return(handle_);
    }

    view bytes() const noexcept { return {lent_.data, lent_.len}; }
    std::string_view text() const noexcept { return bytes().text(); }
    template <class T> T as() const { return bytes().as<T>(); }
    std::uint64_t sequence() const noexcept { return lent_.sequence; }
    std::uint8_t priority() const noexcept { return lent_.priority; }
    std::uint32_t tries() const noexcept { return lent_.tries; }
    bool redelivered() const noexcept { return lent_.redelivered != 0; }
    /// It is done. Throws if its lease is over: then it went to another receiver.
    void ack() { check(slipring_receiver_ack(take())); }
    /// Gives it back now.
    void give_back() { check(slipring_receiver_return(take())); }

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

// Mailboxes.

/// The settings of a new mailbox.
using mailbox_options = detail::settings<slipring_mailbox_options>;

/// A letter. Without `reply` or `ack` the destructor gives it back.
class letter : public detail::loan<slipring_mailbox_receiver> {
public:
    letter(slipring_mailbox_receiver *receiver, const slipring_letter &lent) noexcept : loan(receiver), lent_(lent) {}
    letter(letter &&) noexcept = default;
    ~letter() {
        if (handle_ != nullptr) slipring_mailbox_receiver_return(handle_);
    }

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
    /// Answers it, which acknowledges it too. Returns true if the client waits no longer. If it throws, the letter stays.
    bool reply(view bytes) {
        bool late = false;
        check(slipring_mailbox_receiver_reply(handle_, bytes.data(), bytes.size(), &late));
        take();
        return late;
    }
    /// It is done, without a reply.
    void ack() { check(slipring_mailbox_receiver_ack(take())); }
    /// Gives it back now.
    void give_back() { check(slipring_mailbox_receiver_return(take())); }

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
class reply : public detail::loan<slipring_mailbox_client> {
public:
    reply(slipring_mailbox_client *client, view bytes) noexcept : loan(client), bytes_(bytes) {}
    reply(reply &&) noexcept = default;
    ~reply() {
        if (handle_ != nullptr) slipring_mailbox_client_release(handle_);
    }

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

// Links.

/// A message of a link, which is given back in the destructor.
class link_message : public detail::loan<slipring_link> {
public:
    link_message(slipring_link *link, const slipring_message &lent) noexcept : loan(link), lent_(lent) {}
    link_message(link_message &&) noexcept = default;
    ~link_message() {
        if (handle_ != nullptr) slipring_link_release(handle_);
    }

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

// Pipes.

/// The reading end of a pipe.
class pipe_reader
    : public detail::source<slipring_pipe_reader, slipring_pipe_reader_close, slipring_pipe_reader_fd, slipring_pipe_reader_arm> {
public:
    using source::source;

    /// Reads what is there, at most `size` bytes. Returns how many came; 0 at the end.
    std::size_t read(void *buffer, std::size_t size, timeout wait = forever) {
        std::size_t came = 0;
        check(slipring_pipe_reader_read(handle_, buffer, size, wait.ns(), &came));
        return came;
    }
    /// The bytes that are there, where they lie, until `consume`; none at the end.
    view peek(timeout wait = forever) {
        const void *data = nullptr;
        std::size_t size = 0;
        check(slipring_pipe_reader_peek(handle_, wait.ns(), &data, &size));
        return {data, size};
    }
    void consume(std::size_t size) { check(slipring_pipe_reader_consume(handle_, size)); }
};

/// The writing end of a pipe.
class pipe_writer : public detail::owned<slipring_pipe_writer, slipring_pipe_writer_close> {
public:
    using owned::owned;

    /// Writes all of it. If it throws, `written` says how much of it was written.
    void write(view bytes, timeout wait = forever, std::size_t *written = nullptr) {
        std::size_t done = 0;
        const slipring_status status = slipring_pipe_writer_write(handle_, bytes.data(), bytes.size(), wait.ns(), &done);
        if (written != nullptr) *written = done;
        check(status);
    }
};

/// A reading and a writing end: of one pipe, or of one in each direction.
struct pipe_ends {
    pipe_reader reader;
    pipe_writer writer;
};

/// Makes a pipe within this process. A capacity of 0 is 1 MiB.
inline pipe_ends pipe(std::uint64_t capacity_bytes = 0, const options &how = {}) {
    slipring_pipe_reader *reader = nullptr;
    slipring_pipe_writer *writer = nullptr;
    check(slipring_pipe_create(capacity_bytes, &how, &reader, &writer));
    return {pipe_reader(reader), pipe_writer(writer)};
}

/// A program that was started with pipes in both directions.
struct spawned {
    pipe_ends ends;
    /// Its process, to be waited for.
    int pid;
};

/// Starts a program, the first of the arguments, with pipes that it takes by `inherited(name)`.
inline spawned spawn(const std::vector<std::string> &arguments, const std::string &name, std::uint64_t capacity_bytes = 0,
                     const options &how = {}) {
    std::vector<const char *> all;
    for (const std::string &argument : arguments) all.push_back(argument.c_str());
    all.push_back(nullptr);
    slipring_pipe_reader *reader = nullptr;
    slipring_pipe_writer *writer = nullptr;
    std::int32_t pid = 0;
    check(slipring_pipe_spawn(all.data(), name.c_str(), capacity_bytes, &how, &reader, &writer, &pid));
    return {{pipe_reader(reader), pipe_writer(writer)}, pid};
}

/// The ends that the process which started this one gave it.
inline pipe_ends inherited(const std::string &name, const options &how = {}) {
    slipring_pipe_reader *reader = nullptr;
    slipring_pipe_writer *writer = nullptr;
    check(slipring_pipe_inherited(name.c_str(), &how, &reader, &writer));
    return {pipe_reader(reader), pipe_writer(writer)};
}

/// The settings of a new named pipe.
using fifo_options = detail::settings<slipring_fifo_options>;

/// A named pipe. Its calls wait for the process at the other end.
class fifo : public detail::object<fifo, slipring_fifo, slipring_fifo_options, slipring_fifo_close, slipring_fifo_create,
                                   slipring_fifo_create_or_open, slipring_fifo_open, slipring_fifo_remove> {
public:
    using object::object;

    static fifo create(const std::string &place, const fifo_options &settings = {}) { return object::create(place, settings); }
    static fifo create_or_open(const std::string &place, const fifo_options &settings = {}) {
        return object::create_or_open(place, settings);
    }
    pipe_reader reader(timeout wait = forever, const options &how = {}) const {
        slipring_pipe_reader *made = nullptr;
        check(slipring_fifo_reader(handle_, &how, wait.ns(), &made));
        return pipe_reader(made);
    }
    pipe_writer writer(timeout wait = forever, const options &how = {}) const {
        slipring_pipe_writer *made = nullptr;
        check(slipring_fifo_writer(handle_, &how, wait.ns(), &made));
        return pipe_writer(made);
    }
    /// Both ends of one that goes both ways.
    pipe_ends connect(timeout wait = forever, const options &how = {}) const {
        slipring_pipe_reader *reader = nullptr;
        slipring_pipe_writer *writer = nullptr;
        check(slipring_fifo_connect(handle_, &how, wait.ns(), &reader, &writer));
        return {pipe_reader(reader), pipe_writer(writer)};
    }
    slipring_fifo_state status() const { return detail::state<slipring_fifo_state, const slipring_fifo>(slipring_fifo_status, handle_); }
};

// Newest values.

/// The settings of a new table of newest values.
using latest_options = detail::settings<slipring_latest_options>;

/// The one writer of a table.
class latest_writer : public detail::owned<slipring_latest_writer, slipring_latest_writer_close> {
public:
    using owned::owned;

    /// Sets a value, and returns its version. Throws if it has another size than the schema says.
    std::uint64_t set_bytes(view bytes, std::uint32_t cell = 0) {
        std::uint64_t version = 0;
        check(slipring_latest_writer_set(handle_, cell, bytes.data(), bytes.size(), &version));
        return version;
    }
    template <class T> std::uint64_t set(const T &value, std::uint32_t cell = 0) {
        static_assert(std::is_trivially_copyable_v<T>, "only what can be copied as bytes is a value");
        return set_bytes(view(&value, sizeof value), cell);
    }
};

/// A value and how often it was set.
template <class T> struct versioned {
    T value;
    std::uint64_t version;
};

/// A reader of a table.
class latest_reader : public detail::source<slipring_latest_reader, slipring_latest_reader_close, slipring_latest_reader_fd,
                                            slipring_latest_reader_arm> {
public:
    latest_reader() noexcept = default;
    latest_reader(slipring_latest_reader *handle, std::size_t value_bytes) noexcept : source(handle), value_bytes_(value_bytes) {}

    /// The newest value of a cell; nothing if it was never set. Throws std::length_error if the type has another size.
    template <class T> std::optional<versioned<T>> get(std::uint32_t cell = 0) {
        detail::fits<T>(value_bytes_);
        versioned<T> found{};
        check(slipring_latest_reader_get(handle_, cell, &found.value, sizeof(T), &found.version));
        if (found.version == 0) return std::nullopt;
        return found;
    }
    std::optional<versioned<std::vector<unsigned char>>> get_bytes(std::uint32_t cell = 0) {
        versioned<std::vector<unsigned char>> found{std::vector<unsigned char>(value_bytes_), 0};
        check(slipring_latest_reader_get(handle_, cell, found.value.data(), value_bytes_, &found.version));
        if (found.version == 0) return std::nullopt;
        return found;
    }
    /// Waits until any cell was set since the last such wait.
    void wait(timeout wait = forever) { check(slipring_latest_reader_wait(handle_, wait.ns())); }
    /// Waits until a cell has another version than this.
    void wait_at(std::uint64_t version, std::uint32_t cell = 0, timeout wait = forever) {
        check(slipring_latest_reader_wait_at(handle_, cell, version, wait.ns()));
    }

private:
    std::size_t value_bytes_ = 0;
};

/// A table of newest values.
class latest : public detail::object<latest, slipring_latest, slipring_latest_options, slipring_latest_close, slipring_latest_create,
                                     slipring_latest_create_or_open, slipring_latest_open, slipring_latest_remove> {
public:
    using object::object;

    /// Of a type that SLIPRING_MESSAGE described.
    template <class T> static latest create_of(const std::string &place, std::uint32_t cells = 1) {
        const std::string text = schema_of<T>::text();
        latest_options settings;
        settings.schema = text.c_str();
        settings.cells = cells;
        return create(place, settings);
    }
    latest_writer writer() const {
        slipring_latest_writer *made = nullptr;
        check(slipring_latest_new_writer(handle_, &made));
        return latest_writer(made);
    }
    latest_reader reader(const options &how = {}) const {
        const std::size_t bytes = status().value_bytes;
        slipring_latest_reader *made = nullptr;
        check(slipring_latest_new_reader(handle_, &how, &made));
        return {made, bytes};
    }
    std::string schema() const {
        std::size_t size = 0;
        check(slipring_latest_schema(handle_, nullptr, 0, &size));
        std::string text(size, '\0');
        check(slipring_latest_schema(handle_, text.data(), size + 1, nullptr));
        return text;
    }
    slipring_latest_state status() const {
        return detail::state<slipring_latest_state, const slipring_latest>(slipring_latest_status, handle_);
    }
};

// Shared values.

/// The settings of a new shared value.
using shared_options = detail::settings<slipring_shared_options>;

/// The lock on a shared value, and the copy that its holder changes. Without `commit` nothing is changed.
class shared_guard : public detail::loan<slipring_shared> {
public:
    shared_guard(slipring_shared *shared, void *data, std::size_t size, bool abandoned) noexcept
        : loan(shared), data_(data), size_(size), abandoned_(abandoned) {}
    shared_guard(shared_guard &&) noexcept = default;
    ~shared_guard() {
        if (handle_ != nullptr) slipring_shared_discard(handle_);
    }

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
        check(slipring_shared_commit(take(), &version));
        return version;
    }
    /// Gives the lock back without a change.
    void discard() { check(slipring_shared_discard(take())); }

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

// Semaphores.

/// The settings of a new semaphore.
using semaphore_options = detail::settings<slipring_semaphore_options>;

/// Permits that are held, which go back in the destructor.
class permit : public detail::owned<slipring_permit, slipring_permit_close> {
public:
    using owned::owned;

    /// Takes them out of use.
    void forget() { check(slipring_permit_forget(&handle_)); }
};

/// A handle to a named number of permits.
class semaphore : public detail::owned<slipring_semaphore, slipring_semaphore_close> {
public:
    using owned::owned;

    static semaphore create(const std::string &place, const semaphore_options &settings = {}, const options &how = {}) {
        slipring_semaphore *made = nullptr;
        check(slipring_semaphore_create(place.c_str(), &settings, &how, &made));
        return semaphore(made);
    }
    static semaphore create_or_open(const std::string &place, const semaphore_options &settings = {}, const options &how = {}) {
        slipring_semaphore *made = nullptr;
        check(slipring_semaphore_create_or_open(place.c_str(), &settings, &how, &made));
        return semaphore(made);
    }
    static semaphore open(const std::string &place, timeout wait = at_once, const options &how = {}) {
        slipring_semaphore *made = nullptr;
        check(slipring_semaphore_open(place.c_str(), &how, wait.ns(), &made));
        return semaphore(made);
    }
    static void remove(const std::string &place) { check(slipring_semaphore_remove(place.c_str())); }

    /// Takes permits, all or none, and waits for them.
    permit acquire(std::uint32_t many = 1, timeout wait = forever) {
        slipring_permit *held = nullptr;
        check(slipring_semaphore_acquire(handle_, many, wait.ns(), &held));
        return permit(held);
    }
    /// Returns nothing if they are not free now.
    std::optional<permit> try_acquire(std::uint32_t many = 1) {
        slipring_permit *held = nullptr;
        const slipring_status status = slipring_semaphore_acquire(handle_, many, 0, &held);
        if (slipring_is_not_yet(status)) return std::nullopt;
        check(status);
        return permit(held);
    }
    /// Puts one more into use.
    void add() { check(slipring_semaphore_add(handle_)); }
    slipring_semaphore_state status() {
        return detail::state<slipring_semaphore_state, slipring_semaphore>(slipring_semaphore_status, handle_);
    }
};

// Signals.

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
