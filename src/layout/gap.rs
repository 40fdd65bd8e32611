//! The gap: sequences that do not exist, and the frame that says so.
//!
//! Layer 1. The two words of its payload are packed and unpacked here only.

use super::frame::CommitWord;
use super::geometry::Geometry;

/// A stream goes no further than this from its first sequence by gaps. So of any two sequences of a stream it
/// is known which comes first, and how many lie between.
pub const FARTHEST: u64 = 1 << 62;

/// Why sequences do not exist.
///
/// Readers pass on a code that they do not know, as [`Why::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The source of these messages lost them. Code 1.
    Lost,
    /// They were published, and not recorded. Code 2.
    NotRecorded,
    /// The ring was restored without them. Code 3.
    Restored,
    /// Another reason, with a code that the application chooses. `Other` of a code listed above is received as
    /// the reason with that code.
    Other(u32),
}

impl Why {
    /// Returns the number that stands for this reason in the ring.
    pub const fn code(self) -> u32 {
        match self {
            Self::Lost => 1,
            Self::NotRecorded => 2,
            Self::Restored => 3,
            Self::Other(code) => code,
        }
    }

    /// Returns the reason with this number.
    pub const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Lost,
            2 => Self::NotRecorded,
            3 => Self::Restored,
            code => Self::Other(code),
        }
    }
}

impl core::fmt::Display for Why {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Lost => f.write_str("lost by the source"),
            Self::NotRecorded => f.write_str("not recorded"),
            Self::Restored => f.write_str("not restored"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}

/// Sequences that do not exist in a ring: from `first` on, up to and not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The first sequence that does not exist.
    pub first: u64,
    /// The first that does: the sequence of the next message.
    pub end: u64,
    /// Why they do not exist.
    pub why: Why,
}

impl Gap {
    /// The sequences from `first` on, before `end`.
    pub const fn new(first: u64, end: u64, why: Why) -> Self {
        Self { first, end, why }
    }

    /// Returns how many sequences do not exist.
    pub const fn skipped(&self) -> u64 {
        self.end.wrapping_sub(self.first)
    }

    /// The payload of its frame. The commit word carries the low half of `first`, the payload the high half.
    ///
    /// | word | bits   | field                                   |
    /// |------|--------|-----------------------------------------|
    /// | 0    | 0..64  | the sequence of the next message        |
    /// | 1    | 0..32  | the code of the reason                  |
    /// | 1    | 32..64 | high half of the first missing sequence |
    pub const fn payload(&self) -> [u64; 2] {
        let high = self.first >> 32;
        [self.end, high << 32 | self.why.code() as u64]
    }

    /// What a frame with this commit word and this payload says. Not to be trusted before
    /// [`follows`](Self::follows).
    pub const fn read(word: CommitWord, payload: [u64; 2]) -> Self {
        let [end, rest] = payload;
        Self {
            first: rest >> 32 << 32 | word.sequence_half() as u64,
            end,
            why: Why::from_code(rest as u32),
        }
    }

    /// Returns `true` if this gap may come where the message `sequence` was expected.
    pub const fn follows(&self, geometry: &Geometry, sequence: u64) -> bool {
        let first = sequence.wrapping_sub(geometry.first_sequence);
        let end = self.end.wrapping_sub(geometry.first_sequence);
        self.first == sequence && first < end && end <= FARTHEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_its_code() {
        for code in (0..10).chain([u32::MAX]) {
            assert_eq!(Why::from_code(code).code(), code);
        }
        for why in [Why::Lost, Why::NotRecorded, Why::Restored, Why::Other(9)] {
            assert_eq!(Why::from_code(why.code()), why);
        }
    }

    #[test]
    fn a_frame_says_both_ends_whole() {
        for first in [0, 7, u64::from(u32::MAX), 1 << 32, (9 << 32) + 5, u64::MAX] {
            for skipped in [1, 1 << 31, 1 << 32, (1 << 32) + 1, FARTHEST] {
                for why in [Why::Lost, Why::Other(u32::MAX)] {
                    let gap = Gap::new(first, first.wrapping_add(skipped), why);
                    assert_eq!(Gap::read(CommitWord::gap(first), gap.payload()), gap);
                    assert_eq!(gap.skipped(), skipped);
                }
            }
        }
    }

    #[test]
    fn a_gap_leads_ahead_and_not_too_far() {
        for origin in [0, 5, 1 << 63, u64::MAX - 3] {
            let geometry = Geometry::new(4096, 8, 1, origin, false).unwrap();
            let at = |place: u64| origin.wrapping_add(place);
            let follows = |from: u64, to: u64| {
                Gap::new(at(from), at(to), Why::Lost).follows(&geometry, at(from))
            };
            assert!(follows(0, 1) && follows(9, 10) && follows(9, FARTHEST));
            assert!(!follows(9, 9) && !follows(9, 8) && !follows(9, FARTHEST + 1));
            assert!(!follows(0, u64::MAX) && !follows(1, 0) && !follows(FARTHEST, FARTHEST + 1));
            // One that was expected elsewhere, whose word looks the same.
            let elsewhere = Gap::new(at(9), at(1 << 40), Why::Lost);
            assert!(elsewhere.follows(&geometry, at(9)));
            assert!(!elsewhere.follows(&geometry, at(9 + (1 << 32))));
        }
    }
}
