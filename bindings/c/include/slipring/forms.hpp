// Every form beyond rings in C++, each of which has a header of its own.
#ifndef SLIPRING_FORMS_HPP
#define SLIPRING_FORMS_HPP

#include <slipring/latest.hpp>
#include <slipring/link.hpp>
#include <slipring/mailbox.hpp>
#include <slipring/pipe.hpp>
#include <slipring/queue.hpp>
#include <slipring/semaphore.hpp>
#include <slipring/shared.hpp>
#include <slipring/signals.hpp>

#endif
