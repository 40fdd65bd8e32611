//! The settings of a mailbox in its description, and the queues that follow from them.
//!
//! Layer 7.

use super::wire;
use crate::attach::Attachment;
use crate::queue::QueueBuilder;
use crate::segment::Location;

/// The queue of letters.
pub const LETTERS: &str = "letters";
/// Replies that may wait in one lane: the expected one, and one that came late.
const REPLIES: u32 = 4;

/// The settings of a mailbox in its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub depth: u32,
    pub message_bytes: u32,
    pub receivers: u32,
    pub one_way: bool,
}

impl Parameters {
    pub fn packed(self) -> [u64; 2] {
        let depth = u64::from(self.depth) | u64::from(self.one_way) << 32;
        let bytes = u64::from(self.message_bytes) | u64::from(self.receivers) << 32;
        [depth, bytes]
    }

    pub fn of(attachment: &Attachment) -> Self {
        let [depth, bytes] = attachment.segment().description().parameters;
        Self {
            depth: depth as u32,
            message_bytes: bytes as u32,
            receivers: (bytes >> 32) as u32,
            one_way: depth >> 32 != 0,
        }
    }

    pub fn letters(self, location: &Location) -> QueueBuilder {
        QueueBuilder::inside(location, LETTERS)
            .depth(self.depth)
            .max_message_bytes(self.message_bytes.saturating_add(wire::MAX_HEADER))
            .max_receivers(self.receivers)
    }

    pub fn replies(self, location: &Location, row: u32) -> QueueBuilder {
        QueueBuilder::inside(location, &replies_of(row))
            .depth(REPLIES)
            .max_message_bytes(self.message_bytes.saturating_add(wire::MAX_HEADER))
            // A dead owner of the row may still be on its way out.
            .max_receivers(2)
    }
}

/// The name of a client's queue of replies.
pub fn replies_of(row: u32) -> String {
    format!("replies-{row}")
}
