// Semaphores in C++: permits that come back from processes that die.
#ifndef SLIPRING_SEMAPHORE_HPP
#define SLIPRING_SEMAPHORE_HPP

#include <slipring/base.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace slipring {

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

} // namespace slipring

#endif
