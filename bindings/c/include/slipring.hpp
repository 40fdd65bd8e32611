// Slipring for C++17: handles that close themselves, errors as exceptions, messages as views. Header only, over slipring.h, whose
// text says what each call does. The page about it is docs/guide/c.md.
//
// A handle can be moved and not copied. What a handle lends (a message, a batch, a claim, a delivery) is an object that gives it back in
// its destructor, and must not outlive the handle.
//
// It is made of a header for each form, and each of those may be included alone.
#ifndef SLIPRING_HPP
#define SLIPRING_HPP

#include <slipring/forms.hpp>
#include <slipring/ring.hpp>
#include <slipring/typed.hpp>
#include <slipring/wait.hpp>

#endif
