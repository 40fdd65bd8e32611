//! Finding the end of a stream whose producer is gone, however it went.
//!
//! Layer 3, no unsafe code. The index is the producer's tail: its newest entry is at most half a
//! ring behind the last commit. From there the walk goes over committed frames only, so a frame or
//! batch whose commit did not happen is as if it had never been begun.

use super::index::{newest, step, Step};
use super::{Boundary, Corrupt};
use crate::segment::Memory;

/// What a dead producer left.
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
            Step::Next(next) => head = next,
            Step::End => return Ok(Left { indexed, head }),
            Step::Overtaken => return Err(Corrupt::Index),
        }
    }
    Err(Corrupt::Index)
}
