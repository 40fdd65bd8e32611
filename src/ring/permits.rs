//! Permits that are held in the name of a row.
//!
//! Layer 3, no unsafe code. Every permit is one word of the board, and who has it is in that word: it
//! changes hands by one compare-and-swap, so no crash can lose or double one, and whoever holds the
//! row of a dead holder finds exactly what it held. One more word is the *turn*: while it names a
//! waiter, nobody else takes. A waiter that was passed over for too long draws a ticket, and the
//! lowest ticket gets the turn, so nobody starves.

use crate::layout::lines::RowState;
use crate::segment::Memory;
use crate::sync::{ord, AtomicU64, Ordering::Relaxed};

const TURN: u32 = 0;
const TICKETS: u32 = 1;
/// For whoever holds the permits to use as it likes.
pub const HOLDER_WORD: u32 = 8;
/// The permits begin on a line of their own.
const FIRST_WORD: u32 = 16;
/// The most permits there can be.
pub const MAX_PERMITS: u32 = 1 << 16;

/// How many words a board for `max` permits has.
pub const fn board_words(max: u32) -> u32 {
    FIRST_WORD + max
}

/// What the word of a permit says. A fresh board is all zero, which means free for the first
/// permits, as many as there are to begin with, and retired for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permit {
    Free,
    Retired,
    Held(u32),
}

const AS_AT_FIRST: u64 = 0;
const FREE: u64 = 1;
const RETIRED: u64 = 2;
/// A permit that row r holds is this plus r.
const HELD: u64 = 3;

/// How many permits are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Nobody's.
    pub free: u32,
    /// Somebody's.
    pub held: u32,
    /// Not in use.
    pub retired: u32,
}

/// The permits of one semaphore, as one row of it sees them.
#[derive(Clone, Debug)]
pub struct Permits {
    memory: Memory,
    row: u32,
    initial: u32,
    max: u32,
}

impl Permits {
    /// For a row of which the caller holds the lock; `initial` are there to begin with.
    pub fn new(memory: Memory, row: u32, initial: u32) -> Self {
        let max = memory.geometry().board.saturating_sub(FIRST_WORD);
        Self {
            memory,
            row,
            initial: initial.min(max),
            max,
        }
    }

    fn word(&self, permit: u32) -> Option<&AtomicU64> {
        self.memory.board(FIRST_WORD + permit)
    }

    fn read(&self, permit: u32, raw: u64) -> Permit {
        match raw {
            AS_AT_FIRST if permit < self.initial => Permit::Free,
            AS_AT_FIRST | RETIRED => Permit::Retired,
            FREE => Permit::Free,
            row => Permit::Held((row - HELD) as u32),
        }
    }

    /// Changes one permit in state `from` to `to`; which one.
    fn change(&self, from: Permit, to: u64, hint: u32) -> Option<u32> {
        let after = (hint.min(self.max)..self.max).chain(0..hint.min(self.max));
        for permit in after {
            let word = self.word(permit)?;
            let seen = word.load(Relaxed);
            if self.read(permit, seen) == from
                && word
                    .compare_exchange(seen, to, ord!(E13: Acquire), Relaxed)
                    .is_ok()
            {
                return Some(permit);
            }
        }
        None
    }

    /// Takes a permit, unless there is none or somebody else has the turn. The search begins at
    /// `hint`. Everything its last holder did is visible.
    pub fn try_take(&self, hint: u32) -> Option<u32> {
        match self.turn() {
            Some(row) if row != self.row => None,
            _ => self.change(Permit::Free, HELD + u64::from(self.row), hint),
        }
    }

    /// Gives a permit back. Everything this holder did is visible to the next one.
    pub fn give(&self, permit: u32) {
        self.put(permit, FREE);
    }

    /// Takes a permit out of use, so that nobody ever gets it back.
    pub fn retire(&self, permit: u32) {
        self.put(permit, RETIRED);
    }

    fn put(&self, permit: u32, to: u64) {
        if let Some(word) = self.word(permit) {
            if word.load(Relaxed) == HELD + u64::from(self.row) {
                word.store(to, ord!(E13: Release));
            }
        }
    }

    /// Puts a permit that was not in use into use; `false` if all are.
    pub fn add(&self) -> bool {
        self.change(Permit::Retired, FREE, 0).is_some()
    }

    /// Gives back what a row holds whose owner is dead, and its turn: the caller holds its lock. How
    /// many permits that were.
    pub fn return_all(&self, row: u32) -> u32 {
        let mut count = 0;
        for permit in 0..self.max {
            let Some(word) = self.word(permit) else { break };
            let held = HELD + u64::from(row);
            let returned = word.load(Relaxed) == held
                && word
                    .compare_exchange(held, FREE, ord!(E13: Release), Relaxed)
                    .is_ok();
            count += u32::from(returned);
        }
        if let Some(row) = self.memory.row(row) {
            row.sequence.store(0, Relaxed);
        }
        if let Some(turn) = self.memory.board(TURN) {
            let _ = turn.compare_exchange(u64::from(row) + 1, 0, Relaxed, Relaxed);
        }
        count
    }

    /// Whose turn it is, if somebody was passed over for too long.
    pub fn turn(&self) -> Option<u32> {
        let turn = self.memory.board(TURN)?.load(Relaxed);
        turn.checked_sub(1).map(|row| row as u32)
    }

    /// Draws a ticket, unless this row has one.
    pub fn queue_up(&self) {
        let (Some(row), Some(tickets)) = (self.memory.row(self.row), self.memory.board(TICKETS))
        else {
            return;
        };
        if row.sequence.load(Relaxed) == 0 {
            let ticket = tickets.fetch_add(1, Relaxed).wrapping_add(1);
            row.sequence.store(ticket, Relaxed);
        }
    }

    /// Takes the turn if it is nobody's and no other ticket is lower.
    pub fn claim_turn(&self) {
        let Some(turn) = self.memory.board(TURN) else {
            return;
        };
        let mine = self.ticket(self.row);
        if mine != 0 && turn.load(Relaxed) == 0 {
            let rows = 0..self.memory.geometry().rows;
            let lower = |row: u32| {
                let ticket = self.ticket(row);
                ticket != 0 && ticket < mine
            };
            if !rows.into_iter().any(lower) {
                let _ = turn.compare_exchange(0, u64::from(self.row) + 1, Relaxed, Relaxed);
            }
        }
    }

    /// The ticket of a row, 0 for none.
    fn ticket(&self, row: u32) -> u64 {
        self.memory.row(row).map_or(0, |row| {
            let taken = RowState::from_raw(row.state.load(Relaxed)) != RowState::Free;
            if taken {
                row.sequence.load(Relaxed)
            } else {
                0
            }
        })
    }

    /// Gives up the ticket and the turn; whether anybody may have waited for that.
    pub fn leave_queue(&self) -> bool {
        let Some(row) = self.memory.row(self.row) else {
            return false;
        };
        if row.sequence.load(Relaxed) == 0 {
            return false;
        }
        row.sequence.store(0, Relaxed);
        if let Some(turn) = self.memory.board(TURN) {
            let _ = turn.compare_exchange(u64::from(self.row) + 1, 0, Relaxed, Relaxed);
        }
        true
    }

    /// How many permits are where, each as it was at some moment during the call.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for permit in 0..self.max {
            let Some(word) = self.word(permit) else { break };
            match self.read(permit, word.load(Relaxed)) {
                Permit::Free => count.free += 1,
                Permit::Retired => count.retired += 1,
                Permit::Held(_) => count.held += 1,
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;

    #[test]
    fn who_was_passed_over_has_the_turn_and_nobody_else_takes() {
        let geometry = Geometry::new(4096, 8, 3, 0, false).unwrap();
        let memory = Memory::local(geometry.with_board(board_words(1)).unwrap());
        for row in 0..3 {
            let row = memory.row(row).unwrap();
            row.state.store(RowState::Consumer as u32, Relaxed);
        }
        let [first, second, third] = [0, 1, 2].map(|row| Permits::new(memory.clone(), row, 1));
        let permit = first.try_take(0).unwrap();
        assert_eq!((second.try_take(0), first.turn()), (None, None));
        second.queue_up();
        third.queue_up();
        // The lower ticket comes first, whoever asks first.
        third.claim_turn();
        assert_eq!(first.turn(), None);
        second.claim_turn();
        assert_eq!(first.turn(), Some(1));
        first.give(permit);
        assert_eq!((first.try_take(0), third.try_take(0)), (None, None));
        assert_eq!(second.try_take(0), Some(permit));
        assert!(second.leave_queue() && !second.leave_queue());
        third.claim_turn();
        assert_eq!(first.turn(), Some(2));
        // The turn of the dead goes back, and what they hold.
        assert_eq!((third.return_all(2), first.turn()), (0, None));
        assert_eq!((third.return_all(1), first.try_take(0)), (1, Some(permit)));
    }
}
