//! The contents of a lane at some moment: messages that wait, and messages that takers hold.
//!
//! Layer 3, no unsafe code. Takers go on meanwhile, so a count is one that was true of each message at some
//! time during the call. Only the holder of the producer's lock can be certain that a lane is empty.

use super::{oldest, Board, TakeWord, LAP_BITS};
use crate::ring::index::{place, Nowhere};
use crate::ring::{Corrupt, Start};
use crate::segment::Memory;
use crate::sync::Ordering::Relaxed;

/// Shows every message that is not done, the newest first: its number, and its taker, or `None` if it waits. Returns `false` if the lane
/// changed too fast to be looked at.
fn undone(memory: &Memory, mut show: impl FnMut(u64, Option<u32>)) -> Result<bool, Corrupt> {
    let board = Board::new(memory).ok_or(Corrupt::Index)?;
    let Some(oldest) = oldest(memory)? else {
        return Ok(false);
    };
    let latest = match place(memory, Start::Latest, 0) {
        Ok(latest) => latest,
        Err(Nowhere::Corrupt(corrupt)) => return Err(corrupt),
        Err(_) => return Ok(false),
    };
    let published = latest.sequence.wrapping_sub(oldest.sequence);
    for offset in 0..published.min(u64::from(board.depth)) {
        // Messages older than the depth are done.
        let sequence = latest.sequence.wrapping_sub(offset + 1);
        if let Some((word, lap)) = board.word(sequence) {
            let word = TakeWord(word.load(Relaxed));
            if word.lap() == lap & LAP_BITS && (word.taker().is_some() || word.waits(lap)) {
                show(sequence, word.taker());
            }
        }
    }
    Ok(true)
}

/// How many messages wait, and how many are held.
pub fn census(memory: &Memory) -> (u64, u64) {
    let (mut waiting, mut held) = (0, 0);
    let counted = undone(memory, |_, taker| match taker {
        Some(_) => held += 1,
        None => waiting += 1,
    });
    // Damage is not counted here; receivers report it.
    let _ = counted;
    (waiting, held)
}

/// Shows every message that a taker holds, the newest first: the taker, and the number of the message.
pub fn held(memory: &Memory, mut show: impl FnMut(u32, u64)) {
    let shown = undone(memory, |sequence, taker| {
        if let Some(taker) = taker {
            show(taker, sequence);
        }
    });
    let _ = shown;
}

/// Returns `true` if every message is done. A lane that is damaged is not empty.
pub fn is_empty(memory: &Memory) -> bool {
    let mut empty = true;
    undone(memory, |_, _| empty = false) == Ok(true) && empty
}
