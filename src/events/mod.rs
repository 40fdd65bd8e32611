//! Handles in event loops. The page of the guide about them is the front page of this module.
//!
//! Layer 6. Nothing here knows a runtime: a future is woken by its waker, and an event loop polls a descriptor.

mod event;
mod pollable;
mod task;
mod watching;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub use crate::reactor::never_look_without_a_reason;
pub use event::Event;
pub(crate) use event::Sleep;
pub use pollable::{Pollable, PollableSet};
pub use task::{Async, Attempts, Ready};
