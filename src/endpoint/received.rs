//! What an observer receives, and the bytes of a message with its number.
//!
//! Layer 5.

use super::loss::Loss;
use crate::attach::shown;
use crate::layout::gap::{Gap, Why};
use crate::ring::consumer::Gaps;
use core::ops::Deref;

/// What an observer receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'o> {
    /// A message, in the observer's private memory.
    Message(Payload<'o>),
    /// The producer overtook the observer.
    Lapped {
        /// How many messages are gone.
        lost: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
    },
    /// The producer skipped sequences, which do not exist. An observer that began in the middle of them is told
    /// of those behind its start.
    Skipped {
        /// How many sequences do not exist.
        skipped: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
        /// Why they do not exist.
        why: Why,
    },
    /// The producer closed the ring and everything has been read.
    Closed,
}

/// The bytes of a message, with its number.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    sequence: u64,
    /// The latest loss of the consumer that received it, and its gaps; none for an observer.
    passed: Option<(&'a Loss, &'a Gaps)>,
}

shown!([] Payload<'_>, "Payload", |payload| sequence = payload.sequence, len = payload.bytes.len());

impl<'a> Payload<'a> {
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8], sequence: u64) -> Self {
        Self {
            bytes,
            sequence,
            passed: None,
        }
    }

    /// A message of a consumer whose latest loss is this, with these gaps.
    #[inline(always)]
    pub(super) fn behind(passed: (&'a Loss, &'a Gaps), bytes: &'a [u8], sequence: u64) -> Self {
        Self {
            bytes,
            sequence,
            passed: Some(passed),
        }
    }

    /// Number of the message.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns how many messages directly before this one its consumer will never get, as
    /// [`Message::missed`](crate::Message::missed). Always 0 for a message of an observer, to which losses come as
    /// [`Received::Lapped`].
    #[inline]
    pub fn missed(&self) -> u64 {
        let before = |(loss, gaps): (&Loss, &Gaps)| loss.before(gaps.run_before(self.sequence));
        self.passed.map_or(0, before)
    }

    /// Returns the gap directly before this message, as [`Message::gap`](crate::Message::gap). Always `None` for a message
    /// of an observer, to which gaps come as [`Received::Skipped`].
    pub fn gap(&self) -> Option<Gap> {
        self.passed.and_then(|(_, gaps)| gaps.before(self.sequence))
    }

    /// The bytes, for as long as the handle is borrowed.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}
