//! Waiting: spinning, yielding, sleeping, and knowing when to stop.
//!
//! Layer 4. Imports `sync` and `layout`. Never: knowledge of frames. The protocol below never waits;
//! everything that blocks is `try` wrapped in [`until`].

pub mod bell;
mod deadline;
mod since;
mod strategy;
mod waker;

pub use deadline::Deadline;
pub use since::{Since, ASK_EVERY};
pub use strategy::{until, Again, Outcome, Strategy, Waited};
pub use waker::Waker;
