// Pipes in C++: streams of bytes, within a process, to a child, or by a name.
#ifndef SLIPRING_PIPE_HPP
#define SLIPRING_PIPE_HPP

#include <slipring/base.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace slipring {

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

namespace detail {

template <> struct finishes<pipe_reader> {
    static pipe_reader finish(slipring_connecting **waits, timeout wait) {
        slipring_pipe_reader *made = nullptr;
        check(slipring_connecting_reader(waits, wait.ns(), &made));
        return pipe_reader(made);
    }
};

template <> struct finishes<pipe_writer> {
    static pipe_writer finish(slipring_connecting **waits, timeout wait) {
        slipring_pipe_writer *made = nullptr;
        check(slipring_connecting_writer(waits, wait.ns(), &made));
        return pipe_writer(made);
    }
};

template <> struct finishes<pipe_ends> {
    static pipe_ends finish(slipring_connecting **waits, timeout wait) {
        slipring_pipe_reader *reader = nullptr;
        slipring_pipe_writer *writer = nullptr;
        check(slipring_connecting_ends(waits, wait.ns(), &reader, &writer));
        return {pipe_reader(reader), pipe_writer(writer)};
    }
};

} // namespace detail

/// A named pipe. Its calls wait for the process at the other end, except those whose names begin with `begin_`.
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
    /// As `reader`, without waiting for a writer: for event loops.
    connecting<pipe_reader> begin_reader(const options &how = {}) const {
        slipring_connecting *made = nullptr;
        check(slipring_fifo_begin_reader(handle_, &how, &made));
        return connecting<pipe_reader>(made);
    }
    /// As `writer`, without waiting for a reader.
    connecting<pipe_writer> begin_writer(const options &how = {}) const {
        slipring_connecting *made = nullptr;
        check(slipring_fifo_begin_writer(handle_, &how, &made));
        return connecting<pipe_writer>(made);
    }
    /// As `connect`, without waiting for the other side.
    connecting<pipe_ends> begin_connect(const options &how = {}) const {
        slipring_connecting *made = nullptr;
        check(slipring_fifo_begin_connect(handle_, &how, &made));
        return connecting<pipe_ends>(made);
    }
    slipring_fifo_state status() const { return detail::state<slipring_fifo_state, const slipring_fifo>(slipring_fifo_status, handle_); }
};

} // namespace slipring

#endif
