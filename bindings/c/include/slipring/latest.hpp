// Newest values in C++: one writer, and readers that are told the newest value only.
#ifndef SLIPRING_LATEST_HPP
#define SLIPRING_LATEST_HPP

#include <slipring/schema.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace slipring {

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

} // namespace slipring

#endif
