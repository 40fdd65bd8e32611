// Structs as messages and values: their schemas, which SLIPRING_MESSAGE makes of their members.
#ifndef SLIPRING_SCHEMA_HPP
#define SLIPRING_SCHEMA_HPP

#include <slipring/base.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <type_traits>

namespace slipring {

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

#endif
