//! The frame: one commit word, then the payload, padded with zero bytes to eight.
//!
//! Layer 1. The packed commit word is a type with one table; no other file shifts its bits.

/// Bytes in a word: the unit of every shared access to frames.
pub const WORD: u64 = 8;

/// The largest payload a commit word can express, in bytes.
pub const MAX_LEN: u32 = (1 << 31) - 2;

/// Payload bytes of a gap.
pub const GAP_BYTES: u32 = 16;

/// The bits of the length in a commit word.
pub const LEN_MASK: u64 = (1 << 31) - 1;
/// The bit of a frame without a message.
pub const PAD: u64 = 1 << 31;

/// The first word of a frame; storing it is what makes the frame exist.
///
/// | bits   | field    | meaning                                                        |
/// |--------|----------|----------------------------------------------------------------|
/// | 0..31  | length   | payload bytes + 1; 0 means: not a frame                        |
/// | 31     | pad      | the frame has no message: it fills the lap, or is a gap        |
/// | 32..64 | sequence | low half of the sequence that is expected where the frame begins |
///
/// The sequence is that of the message, of the next message (pad), or the first that does not exist (gap). A
/// frame without a message that ends its lap is a pad; another one, with 16 bytes of payload, is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitWord(u64);

impl CommitWord {
    /// The commit word of a message of `len` bytes, at most [`MAX_LEN`].
    #[inline]
    pub const fn message(len: u32, sequence: u64) -> Self {
        debug_assert!(len <= MAX_LEN);
        Self((len as u64 + 1) | sequence << 32)
    }

    /// The commit word of a pad frame that fills `bytes` bytes, its own word included.
    #[inline]
    pub const fn pad(bytes: u64, next_sequence: u64) -> Self {
        debug_assert!(bytes >= WORD);
        Self((bytes - WORD + 1) | PAD | next_sequence << 32)
    }

    /// The commit word of a gap that begins with `sequence`: of a frame without a message, of as many payload
    /// bytes as a gap has.
    #[inline]
    pub const fn gap(sequence: u64) -> Self {
        Self::pad(WORD + GAP_BYTES as u64, sequence)
    }

    /// What a shared word says.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The word to store.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The commit word of a message as long as this one and right behind it.
    #[inline]
    pub const fn successor(self) -> Self {
        Self(self.0.wrapping_add(1 << 32))
    }

    /// Returns `true` if a reader that expects `sequence` would take this word for its next frame.
    #[inline]
    pub const fn commits(self, sequence: u64) -> bool {
        self.carries(sequence) && self.0 & LEN_MASK != 0
    }

    /// Returns `true` if the sequence half matches. Wider than [`commits`](Self::commits): the producer
    /// clears every word that matches in this half, with any length field.
    #[inline]
    pub const fn carries(self, sequence: u64) -> bool {
        (self.0 >> 32) as u32 == sequence as u32
    }

    /// The low half of a sequence that this word carries.
    #[inline]
    pub const fn sequence_half(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The sequence nearest to `near` whose low half is the one in this word.
    #[inline]
    pub const fn sequence_near(self, near: u64) -> u64 {
        let ahead = ((self.0 >> 32) as u32).wrapping_sub(near as u32) as i32;
        near.wrapping_add(ahead as i64 as u64)
    }

    /// Returns `true` if this is a frame without a message: a pad or a gap. Meaningful only where [`commits`](Self::commits) holds.
    #[inline]
    pub const fn is_pad(self) -> bool {
        self.0 & PAD != 0
    }

    /// Payload bytes. Meaningful only where [`commits`](Self::commits) holds; up to 2^31 - 2, and
    /// not to be trusted before a comparison with the ring's own limit.
    #[inline]
    pub const fn payload_bytes(self) -> u32 {
        (self.0 & LEN_MASK).wrapping_sub(1) as u32
    }
}

/// Bytes that a frame with `len` payload bytes takes: word, payload, padding to `align`.
///
/// `align` is a power of two, at least [`WORD`].
#[inline]
pub const fn frame_bytes(len: u64, align: u64) -> u64 {
    (len + WORD + align - 1) & !(align - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_word_is_never_a_frame() {
        for sequence in [0, 1, u64::from(u32::MAX), u64::MAX, 1 << 32] {
            assert!(!CommitWord::from_raw(0).commits(sequence));
        }
    }

    #[test]
    fn a_word_says_what_it_was_made_of() {
        for sequence in [0, 7, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            for len in [0, 1, 8, 4096, MAX_LEN] {
                let word = CommitWord::message(len, sequence);
                assert!(word.commits(sequence) && !word.is_pad() && word.payload_bytes() == len);
                let next = sequence.wrapping_add(1);
                assert!(!word.commits(next));
                assert_eq!(word.successor(), CommitWord::message(len, next));
            }
            let pad = CommitWord::pad(WORD, sequence);
            assert!(pad.commits(sequence) && pad.is_pad() && pad.payload_bytes() == 0);
        }
    }

    #[test]
    fn half_a_sequence_and_one_nearby_make_a_whole_one() {
        for sequence in [0, 7, u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX] {
            for distance in [0, 1, (1 << 31) - 1] {
                let word = CommitWord::message(3, sequence);
                for near in [
                    sequence.wrapping_sub(distance),
                    sequence.wrapping_add(distance),
                ] {
                    assert_eq!(word.sequence_near(near), sequence);
                }
            }
        }
    }

    #[test]
    fn frames_are_aligned_and_large_enough() {
        for align in [8, 64] {
            for len in 0..300 {
                let bytes = frame_bytes(len, align);
                assert_eq!(bytes % align, 0);
                assert!(bytes >= len + WORD && bytes < len + WORD + align);
            }
        }
    }
}
