//! Reading a gap: sequences that the producer says do not exist.
//!
//! Layer 3, no unsafe code. Reads the payload of a gap once, into private memory, and checks it there. Whether
//! it was intact is for the caller to ask afterwards, as of the payload of a message.

use super::{Boundary, Corrupt};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::gap::Gap;
use crate::segment::Memory;
use crate::sync::Ordering::Relaxed;

/// What the frame of a gap at `position`, with this commit word, says. Unchecked.
pub fn claimed(memory: &Memory, position: u64, word: CommitWord) -> Gap {
    let words = memory.words();
    let payload = [WORD, 2 * WORD].map(|offset| words.at(position + offset).load(Relaxed));
    Gap::read(word, payload)
}

/// Returns the gap, if it may be where it is.
///
/// # Errors
/// [`Corrupt::Gap`].
pub fn checked(memory: &Memory, at: Boundary, gap: Gap) -> Result<Gap, Corrupt> {
    if gap.follows(memory.geometry(), at.sequence) {
        Ok(gap)
    } else {
        Err(Corrupt::Gap {
            position: at.position,
        })
    }
}

/// The gaps that a consumer has passed.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    /// Whether a gap is an error.
    pub(super) refused: bool,
    /// Whether the row may still stand before the last one.
    pub(super) held: bool,
    /// How many sequences did not exist.
    pub(super) skipped: u64,
    /// The last one, and where its frame ends; 0 for none, or if there was no frame to step over.
    pub(super) last: Option<Gap>,
    pub(super) end: u64,
    /// The first sequence of those that end with it, one directly behind the other.
    run: u64,
}

impl Gaps {
    pub(super) const NONE: Self = Self {
        refused: false,
        held: false,
        skipped: 0,
        last: None,
        end: 0,
        run: 0,
    };

    /// The last gap, if it lies directly before this sequence.
    pub fn before(&self, sequence: u64) -> Option<Gap> {
        self.last.filter(|gap| gap.end == sequence)
    }

    /// The sequence that directly follows what lies before this one and is no gap.
    #[inline]
    pub fn run_before(&self, sequence: u64) -> u64 {
        match self.before(sequence) {
            Some(_) => self.run,
            None => sequence,
        }
    }

    pub(super) fn pass(&mut self, gap: Gap, end: u64) {
        self.run = self.run_before(gap.first);
        self.skipped = self.skipped.wrapping_add(gap.skipped());
        (self.last, self.end) = (Some(gap), end);
    }
}
