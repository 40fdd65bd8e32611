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
