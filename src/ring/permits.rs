//! Permits that are held in the name of a row.
//!
//! Layer 3, no unsafe code. Every permit is one word of the board that names its holder. It changes hands
//! by one compare-and-swap, so no crash can lose or double a permit, and the process that takes the row of
//! a dead holder finds exactly the permits it held. One more word is the *turn*: while it names a waiter,
//! no other process takes a permit. A waiter that was passed over for too long draws a ticket, and the
//! lowest ticket gets the turn, so no waiter starves.
//!
//! A waiter may be stopped while it has the turn. A turn that is not used although enough permits are free
//! for its owner, or whose owner does not even look any more ([`beat`](Permits::beat)) while some are free,
//! can be taken away ([`lapse`](Permits::lapse)): the owner's ticket is marked first, so that it no longer
//! counts, and then the turn is cleared. The owner removes the mark when it next looks, and has its place
//! again. The words of the permits alone decide which caller takes one, so a turn that lapses too early
//! affects only the order.

use crate::layout::lines::RowState;
use crate::segment::Memory;
use crate::sync::{ord, AtomicU64, Ordering::Relaxed};

const TURN: u32 = 0;
const TICKETS: u32 = 1;
/// A word for the holders of the permits to use as they like.
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

impl Permit {
    const fn holder(self) -> Option<u32> {
        match self {
            Self::Held(row) => Some(row),
            Self::Free | Self::Retired => None,
        }
    }
}

const AS_AT_FIRST: u64 = 0;
const FREE: u64 = 1;
const RETIRED: u64 = 2;
/// A permit that row r holds is this plus r.
const HELD: u64 = 3;

/// What the sequence of a row says while its owner waits; 0 while it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket(u64);

impl Ticket {
    const NONE: Self = Self(0);
    /// Its owner did not use its turn.
    const LAPSED: u64 = 1;
    const WANTED_BITS: u32 = 17;

    fn new(number: u64, wanted: u32) -> Self {
        let wanted = u64::from(wanted.min(MAX_PERMITS));
        Self((number << Self::WANTED_BITS | wanted) << 1)
    }

    /// How many permits its owner waits for.
    fn wanted(self) -> u32 {
        (self.0 >> 1) as u32 & ((1 << Self::WANTED_BITS) - 1)
    }

    /// Returns `true` if the ticket counts in the search for the lowest.
    fn counts(self) -> bool {
        self != Self::NONE && self.0 & Self::LAPSED == 0
    }
}

/// A turn that another row has and does not use. Equal to another one only if it is the same turn, and, where
/// its owner has to wait for more, if that one has not looked in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTurn {
    turn: u64,
    ticket: Ticket,
    enough: bool,
    beat: u64,
}

impl IdleTurn {
    /// Returns `true` if its owner could take all that it wants.
    pub fn enough(&self) -> bool {
        self.enough
    }
}

/// How many permits are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Free.
    pub free: u32,
    /// Held.
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

    /// Changes one permit in state `from` to `to`. Returns which one.
    fn change(&self, from: Permit, to: u64, hint: u32) -> Option<u32> {
        let after = (hint.min(self.max)..self.max).chain(0..hint.min(self.max));
        for permit in after {
            let word = self.word(permit)?;
            let seen = word.load(Relaxed);
            if self.read(permit, seen) == from
                && word
                    .compare_exchange(seen, to, ord!(permit take: Acquire), Relaxed)
                    .is_ok()
            {
                return Some(permit);
            }
        }
        None
    }

    /// Takes a permit, unless there is none or another waiter has the turn. The search begins at `hint`.
    /// Everything its last holder did is visible.
    pub fn try_take(&self, hint: u32) -> Option<u32> {
        let turn = self.memory.board(TURN)?.load(Relaxed);
        match turn.checked_sub(1) {
            Some(row) if row != u64::from(self.row) => None,
            _ => self.change(Permit::Free, HELD + u64::from(self.row), hint),
        }
    }

    /// Gives a permit back. Everything this holder did is visible to the next one.
    pub fn give(&self, permit: u32) {
        self.put(permit, FREE);
    }

    /// Takes a permit out of use for good.
    pub fn retire(&self, permit: u32) {
        self.put(permit, RETIRED);
    }

    fn put(&self, permit: u32, to: u64) {
        if let Some(word) = self.word(permit) {
            if word.load(Relaxed) == HELD + u64::from(self.row) {
                word.store(to, ord!(permit give: Release));
            }
        }
    }

    /// Puts an unused permit into use. Returns `false` if all are in use.
    pub fn add(&self) -> bool {
        self.change(Permit::Retired, FREE, 0).is_some()
    }

    /// Gives back the permits and the turn of a row whose owner is dead; the caller holds the row's lock.
    /// Returns how many permits it held.
    pub fn return_all(&self, row: u32) -> u32 {
        let mut count = 0;
        for permit in 0..self.max {
            let Some(word) = self.word(permit) else { break };
            let held = HELD + u64::from(row);
            let returned = word.load(Relaxed) == held
                && word
                    .compare_exchange(held, FREE, ord!(permit dead: Release), Relaxed)
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

    /// The owner of the turn, if a waiter was passed over for too long.
    pub fn turn(&self) -> Option<u32> {
        let turn = self.memory.board(TURN)?.load(Relaxed);
        turn.checked_sub(1).map(|row| row as u32)
    }

    /// Draws a ticket for so many permits, unless this row has one.
    pub fn queue_up(&self, wanted: u32) {
        let (Some(row), Some(tickets)) = (self.memory.row(self.row), self.memory.board(TICKETS))
        else {
            return;
        };
        if row.sequence.load(Relaxed) == 0 {
            let number = tickets.fetch_add(1, Relaxed).wrapping_add(1);
            row.sequence.store(Ticket::new(number, wanted).0, Relaxed);
        }
    }

    /// Takes the turn if it is free and no other ticket that counts is lower. A marked ticket of this row
    /// counts again after this.
    pub fn claim_turn(&self) {
        let Some(turn) = self.memory.board(TURN) else {
            return;
        };
        let mut mine = self.ticket(self.row);
        if mine == Ticket::NONE {
            return;
        }
        if !mine.counts() {
            mine = self.count_again(mine);
        }
        if turn.load(Relaxed) == 0 {
            let rows = 0..self.memory.geometry().rows;
            let lower = |row: u32| {
                let ticket = self.ticket(row);
                ticket.counts() && ticket.0 < mine.0
            };
            if !rows.into_iter().any(lower) {
                let _ = turn.compare_exchange(0, u64::from(self.row) + 1, Relaxed, Relaxed);
            }
        }
    }

    /// Removes the mark from the ticket of this row.
    #[cold]
    fn count_again(&self, marked: Ticket) -> Ticket {
        let ticket = Ticket(marked.0 & !Ticket::LAPSED);
        if let Some(row) = self.memory.row(self.row) {
            // Others only ever mark it, and it is marked.
            let _ = row
                .sequence
                .compare_exchange(marked.0, ticket.0, Relaxed, Relaxed);
        }
        ticket
    }

    /// The ticket of a row.
    fn ticket(&self, row: u32) -> Ticket {
        self.memory.row(row).map_or(Ticket::NONE, |row| {
            let taken = RowState::from_raw(row.state.load(Relaxed)) != RowState::Free;
            if taken {
                Ticket(row.sequence.load(Relaxed))
            } else {
                Ticket::NONE
            }
        })
    }

    /// Shows that this row still looks, if it has the turn. It only tells waiters that the turn is not
    /// [idle](Self::idle_turn); correctness does not depend on it.
    pub fn beat(&self) {
        if self.turn() == Some(self.row) {
            if let Some(row) = self.memory.row(self.row) {
                let beat = row.position.load(Relaxed);
                row.position.store(beat.wrapping_add(1), Relaxed);
            }
        }
    }

    /// The turn that another row has while permits are free.
    pub fn idle_turn(&self) -> Option<IdleTurn> {
        let turn = self.memory.board(TURN)?.load(Relaxed);
        let row = turn.checked_sub(1)?;
        if row == u64::from(self.row) {
            return None;
        }
        let row = u32::try_from(row).ok();
        let ticket = row.map_or(Ticket::NONE, |row| self.ticket(row));
        let enough = self.are_free(ticket.wanted().max(1));
        let row = row.and_then(|row| self.memory.row(row));
        let beat = match row {
            Some(row) if !enough => row.position.load(Relaxed),
            _ => 0,
        };
        (enough || self.are_free(1)).then_some(IdleTurn {
            turn,
            ticket,
            enough,
            beat,
        })
    }

    /// Takes away a turn that was idle for too long. Returns `true` if it was still the same turn. Its
    /// owner has its place again when it next looks.
    pub fn lapse(&self, idle: IdleTurn) -> bool {
        let Some(turn) = self.memory.board(TURN) else {
            return false;
        };
        let row = u32::try_from(idle.turn.wrapping_sub(1)).ok();
        // The ticket first: one that counted would keep the turn from all others.
        if let Some(row) = row.and_then(|row| self.memory.row(row)) {
            if idle.ticket.counts() {
                let (ticket, marked) = (idle.ticket.0, idle.ticket.0 | Ticket::LAPSED);
                let _ = row
                    .sequence
                    .compare_exchange(ticket, marked, Relaxed, Relaxed);
            }
        }
        turn.compare_exchange(idle.turn, 0, Relaxed, Relaxed)
            .is_ok()
    }

    /// Returns `true` if at least so many permits are free, each at some moment during the call.
    pub fn are_free(&self, many: u32) -> bool {
        let is_free = |permit: &u32| {
            let word = self.word(*permit);
            word.is_some_and(|word| self.read(*permit, word.load(Relaxed)) == Permit::Free)
        };
        (0..self.max).filter(is_free).take(many as usize).count() == many as usize
    }

    /// Gives up the ticket and the turn. Returns `true` if another waiter may have waited for that.
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

    /// The rows that hold permits, once for each.
    pub fn holders(&self) -> Vec<u32> {
        let state = |permit: u32| {
            let raw = self.word(permit)?.load(Relaxed);
            self.read(permit, raw).holder()
        };
        (0..self.max).filter_map(state).collect()
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
        second.queue_up(1);
        third.queue_up(1);
        // The lower ticket comes first, in whichever order they ask.
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
    fn three(permits: u32) -> (Memory, [Permits; 3]) {
        let geometry = Geometry::new(4096, 8, 3, 0, false).unwrap();
        let memory = Memory::local(geometry.with_board(board_words(permits)).unwrap());
        for row in 0..3 {
            let row = memory.row(row).unwrap();
            row.state.store(RowState::Consumer as u32, Relaxed);
        }
        let rows = [0, 1, 2].map(|row| Permits::new(memory.clone(), row, permits));
        (memory, rows)
    }

    #[test]
    fn a_turn_lapses_only_while_its_owner_could_use_it() {
        for wanted in 1..=4 {
            let (_, [first, second, third]) = three(4);
            let held: Vec<u32> = (0..4).map(|_| first.try_take(0).unwrap()).collect();
            second.queue_up(wanted);
            second.claim_turn();
            // A turn is idle only to other rows, and only once enough permits are free.
            for (free, permit) in held.iter().enumerate() {
                let idle = first.idle_turn();
                assert_eq!(idle.is_some(), free > 0);
                let enough = free as u32 >= wanted;
                assert!(idle.is_none_or(|idle| idle.enough() == enough));
                // An owner that has to wait shows that it still does.
                second.beat();
                assert_eq!(first.idle_turn() == idle, enough || free == 0);
                first.give(*permit);
            }
            assert_eq!(second.idle_turn(), None);
            let idle = first.idle_turn().unwrap();
            assert_eq!((first.try_take(0), third.idle_turn()), (None, Some(idle)));
            assert!(first.lapse(idle) && !third.lapse(idle));
            assert!(first.try_take(0).is_some());
            // Others have their turn meanwhile, and it has its place again once it looks.
            third.queue_up(1);
            third.claim_turn();
            assert_eq!(third.turn(), Some(2));
            assert!(third.leave_queue());
            third.queue_up(1);
            second.claim_turn();
            third.claim_turn();
            assert_eq!(third.turn(), Some(1));
            assert!(second.leave_queue());
            third.claim_turn();
            assert_eq!(third.turn(), Some(2));
        }
    }

    #[test]
    fn what_takes_a_turn_away_may_be_stopped_in_the_middle() {
        let (memory, [first, second, third]) = three(1);
        second.queue_up(1);
        second.claim_turn();
        let idle = first.idle_turn().unwrap();
        // The ticket is marked, and the turn is still there: others see an idle turn, another one.
        let row = memory.row(1).unwrap();
        row.sequence.store(idle.ticket.0 | Ticket::LAPSED, Relaxed);
        let again = third.idle_turn().unwrap();
        assert!(again != idle && third.lapse(again));
        // The turn was used and given up meanwhile, so the one that was seen idle no longer exists.
        second.claim_turn();
        assert!(second.try_take(0).is_some() && second.leave_queue());
        third.queue_up(1);
        third.claim_turn();
        assert!(!first.lapse(idle));
        assert_eq!((first.turn(), second.ticket(1)), (Some(2), Ticket::NONE));
    }

    #[test]
    fn a_turn_that_names_no_row_lapses() {
        for turn in [4, u64::from(u32::MAX) + 2, u64::MAX] {
            let (memory, [first, ..]) = three(1);
            memory.board(TURN).unwrap().store(turn, Relaxed);
            assert_eq!(first.try_take(0), None);
            assert!(first.lapse(first.idle_turn().unwrap()));
            assert!(first.try_take(0).is_some());
        }
    }
}
