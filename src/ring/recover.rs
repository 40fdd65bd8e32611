//! Finding the end of a stream whose producer has left or died.
//!
//! Layer 3, no unsafe code. The index is the producer's tail: its newest entry is at most half a ring
//! behind the last commit. From there the walk goes over committed frames only, so a frame or batch that
//! was not committed leaves no trace.

use super::index::{newest, record, step, Step};
use super::{Boundary, Corrupt};
use crate::segment::Memory;

/// The state that the last producer left.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// The newest indexed frame.
    pub indexed: Boundary,
    /// The end of the committed stream.
    pub head: Boundary,
}

/// Finds the end of the committed stream. Call with the producer's lock held, so that nothing
/// moves.
pub fn left(memory: &Memory) -> Result<Left, Corrupt> {
    let indexed = newest(memory).ok_or(Corrupt::Index)?;
    let mut head = indexed;
    while head.position - indexed.position <= memory.geometry().capacity {
        match step(memory, head)? {
            Step::Next(next) | Step::Gap(_, next) => head = next,
            Step::End => return Ok(Left { indexed, head }),
            Step::Overtaken => return Err(Corrupt::Index),
        }
    }
    Err(Corrupt::Index)
}

/// Writes the index entries that the last producer did not write, of the blocks between the newest indexed
/// frame and the head. Returns one more than the number of the last block that has an entry. Call with the
/// producer's lock held.
pub fn index_rest(memory: &Memory, indexed: Boundary, head: Boundary) -> Result<u64, Corrupt> {
    let mut at = indexed;
    let mut next = memory.geometry().block_of(at.position) + 1;
    while at.position < head.position {
        at = step(memory, at)?.next().ok_or(Corrupt::Index)?;
        let block = memory.geometry().block_of(at.position);
        // That of the head is written by the producer, when it is announced.
        if block >= next && at.position < head.position {
            record(memory, at);
            next = block + 1;
        }
    }
    Ok(next)
}
