// Rings of one type.
#ifndef SLIPRING_TYPED_HPP
#define SLIPRING_TYPED_HPP

#include <slipring/ring.hpp>
#include <slipring/schema.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace slipring {

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

#endif
