//! What a receiver has found, and what its next call has to do first.
//!
//! Layer 7. Plain data.

use crate::ring::take::Taken;

/// Where a message was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) group: usize,
    pub(super) lane: usize,
    pub(super) taken: Taken,
}

/// What the next call does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Nothing,
    /// It looks now and then what the dead hold, and in a queue with a lease what others have held for too long.
    Look,
    /// A delivery is out: it gives that back, which can only have been leaked.
    GiveBack,
    /// Pauses, if it may wait.
    Pause,
}
