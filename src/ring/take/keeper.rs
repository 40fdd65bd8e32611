//! The producer's side of a lane: a consumer that stands for all takers, and the end of each message.
//!
//! Layer 3, no unsafe code. One process is producer and keeper of a lane.

use super::{oldest, Board, TakeWord, KEEPER_ROW};
use crate::ring::consumer::Consumer;
use crate::ring::index::{step, Step};
use crate::ring::{ahead, Boundary, Corrupt};
use crate::segment::Memory;
use crate::sync::{ord, Ordering::Relaxed};

/// The part of the producer's process that keeps unfinished messages from being overwritten: a consumer
/// that stands for all takers, and the end of each message.
#[derive(Debug)]
pub struct Keeper {
    board: Board,
    consumer: Consumer,
    ends: Box<[u64]>,
}

impl Keeper {
    /// Takes over the keeper's row and stands before the oldest message that is not done. Call as the
    /// producer, before anything is published, with the lock of [`KEEPER_ROW`] held. Allocates once.
    ///
    /// # Errors
    /// [`Corrupt`], also for a ring without take words. The row is left as it was.
    pub fn attach(memory: Memory) -> Result<Self, Corrupt> {
        let board = Board::new(&memory).ok_or(Corrupt::Index)?;
        let oldest = oldest(&memory)?.ok_or(Corrupt::Index)?;
        let mut ends = vec![0; board.depth as usize].into_boxed_slice();
        let mut at = oldest;
        loop {
            match step(&memory, at)? {
                Step::Next(next) => {
                    if next.sequence != at.sequence {
                        ends[board.at(at.sequence)] = next.position;
                    }
                    at = next;
                }
                Step::Gap(..) => {
                    return Err(Corrupt::NoGaps {
                        position: at.position,
                    })
                }
                Step::End => break,
                Step::Overtaken => return Err(Corrupt::Index),
            }
            // No keeper lets its producer send more than there are words for.
            if ahead(at.sequence, oldest.sequence) > i64::from(board.depth) {
                return Err(Corrupt::Index);
            }
        }
        let mut keeper = Self {
            board,
            consumer: Consumer::inherit(memory, KEEPER_ROW, oldest),
            ends,
        };
        keeper.reclaim(at.sequence);
        Ok(keeper)
    }

    /// Returns `true` if one more message, the one with this number, has a take word.
    #[inline(always)]
    pub fn has_word(&self, next: u64) -> bool {
        next.wrapping_sub(self.consumer.sequence()) < u64::from(self.board.depth)
    }

    /// Notes where a message ends.
    #[inline(always)]
    pub fn sent(&mut self, sequence: u64, end: u64) {
        let at = self.board.at(sequence);
        if let Some(entry) = self.ends.get_mut(at) {
            *entry = end;
        }
    }

    /// Releases the space of finished messages, up to the oldest unfinished one or the end. Returns how
    /// many messages that was.
    pub fn reclaim(&mut self, next: u64) -> u64 {
        let before = self.consumer.sequence();
        let mut sequence = before;
        while sequence != next && self.is_done(sequence) {
            sequence = sequence.wrapping_add(1);
        }
        if sequence != before {
            let position = self.ends[self.board.at(sequence.wrapping_sub(1))];
            self.consumer.skip_to(Boundary { position, sequence });
            self.consumer.release();
        }
        sequence.wrapping_sub(before)
    }

    #[inline(always)]
    fn is_done(&self, sequence: u64) -> bool {
        self.board.word(sequence).is_some_and(|(word, lap)| {
            word.load(ord!(taken done: Acquire)) == TakeWord::open(lap.wrapping_add(1)).0
        })
    }

    /// The number of the oldest message that is not done, and its taker, if it is held.
    pub fn oldest(&self) -> (u64, Option<u32>) {
        let sequence = self.consumer.sequence();
        let word = self.board.word(sequence);
        let holder = word.and_then(|(word, _)| TakeWord(word.load(Relaxed)).taker());
        (sequence, holder)
    }

    /// Gives the row back.
    pub fn leave(&mut self) {
        self.consumer.leave();
    }
}
