//! The outcome of a request.
//!
//! Layer 8. Plain data.

use super::wire::Reply;
use rustix::io::Errno;

/// The outcome of a request.
pub enum Outcome {
    /// The client got what it asked for.
    Granted,
    /// The client gets this answer, and its connection ends.
    Answered(Reply),
    /// The request is tried again: a dying process still holds what it needs, or the kernel has no room
    /// now. If that does not end in time, the client gets this answer.
    Later(Reply),
    /// The client waits for a producer.
    Waits,
}

/// Returns `true` if the error means that descriptors have run out.
pub fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::TOOMANYREFS)
}
