//! What a reader has read.
//!
//! Layer 4. Plain data. A stream that lies about positions can lead a reader anywhere, so nothing here
//! overflows.

/// Messages without an empty poll between them that are not just one answer after another.
pub const RUN: u64 = 2;
/// Messages without an empty poll after which a reader that is close counts as following.
pub const LONG_RUN: u64 = 32;

/// Bytes of frames and messages, counted from any beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

impl Progress {
    /// What was read after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_sub(before.bytes),
            messages: self.messages.wrapping_sub(before.messages),
        }
    }

    /// Bytes of a frame, on average.
    #[must_use]
    pub fn frame(self) -> u64 {
        self.bytes / self.messages.max(1)
    }
}
