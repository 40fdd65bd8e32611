//! Signals that wait to be noticed: counters, one for each number and each row, and one for all rows.
//!
//! Layer 3, no unsafe code. A signal is one added to a counter, so a death at any moment leaves it either
//! sent or not sent, and it stays until it is noticed. A listener remembers how far it has counted. The
//! counters of a row name the tenure they belong to, so a signal for the last owner cannot reach the next
//! one.

use crate::segment::Memory;
use crate::sync::{ord, AtomicU64, Ordering::Relaxed};

/// How many signals there are.
pub const SIGNALS: u32 = 64;
/// Bits of a counter; the tenure is above.
const COUNT_BITS: u32 = 40;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// How many words a board for so many rows has.
pub const fn board_words(rows: u32) -> u32 {
    SIGNALS * (rows + 1)
}

fn of_all(memory: &Memory, signal: u32) -> Option<&AtomicU64> {
    memory.board(signal).filter(|_| signal < SIGNALS)
}

fn of_row(memory: &Memory, row: u32, signal: u32) -> Option<&AtomicU64> {
    let word = memory.board(SIGNALS * (row + 1) + signal);
    word.filter(|_| signal < SIGNALS)
}

const fn tenure_of(word: u64) -> u64 {
    word >> COUNT_BITS
}

/// What a counter of this generation of a row begins with.
const fn fresh(generation: u64) -> u64 {
    generation << COUNT_BITS
}

/// Adds one to a counter of a row. Returns `false` if the row has another owner now.
pub fn send(memory: &Memory, row: u32, generation: u64, signal: u32) -> bool {
    let Some(word) = of_row(memory, row, signal) else {
        return false;
    };
    let mut seen = word.load(Relaxed);
    while tenure_of(seen) == tenure_of(fresh(generation)) {
        let more = fresh(generation) | (seen + 1) & COUNT;
        match word.compare_exchange(seen, more, ord!(signal send: Release), Relaxed) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// Adds one to a counter that all listeners read.
pub fn broadcast(memory: &Memory, signal: u32) {
    if let Some(word) = of_all(memory, signal) {
        word.fetch_add(1, ord!(signal broadcast: Release));
    }
}

/// The numbers of a set, from the lowest.
fn numbers(set: u64) -> impl Iterator<Item = u32> {
    (0..SIGNALS).filter(move |signal| set >> signal & 1 != 0)
}

/// What one listener has counted.
#[derive(Debug)]
pub struct Counted {
    row: u32,
    mine: [u64; SIGNALS as usize],
    broadcast: [u64; SIGNALS as usize],
}

impl Counted {
    /// Begins a tenure of a row whose lock the caller holds, and that no other process knows yet. What was
    /// sent to all listeners before does not count.
    pub fn begin(memory: &Memory, row: u32, generation: u64) -> Self {
        let mut counted = Self {
            row,
            mine: [fresh(generation); SIGNALS as usize],
            broadcast: [0; SIGNALS as usize],
        };
        for signal in 0..SIGNALS {
            if let Some(word) = of_row(memory, row, signal) {
                // An exchange like those of the senders: each of theirs is either behind it, and
                // fails, or before it, and is gone.
                word.swap(fresh(generation), Relaxed);
            }
            if let Some(word) = of_all(memory, signal) {
                counted.broadcast[signal as usize] = word.load(Relaxed);
            }
        }
        counted
    }

    /// The lowest signal of a set that was sent and not noticed, and how often it was. What its senders did
    /// before is visible.
    pub fn notice(&mut self, memory: &Memory, set: u64) -> Option<(u32, u64)> {
        numbers(set).find_map(|signal| {
            let count = self.count(memory, signal);
            (count > 0).then_some((signal, count))
        })
    }

    /// Returns `true` if a signal of a set was sent and not noticed. Without ordering of its own.
    pub fn pending(&self, memory: &Memory, set: u64) -> bool {
        numbers(set).any(|signal| {
            let at = signal as usize;
            let mine = of_row(memory, self.row, signal).map(|word| word.load(Relaxed));
            let all = of_all(memory, signal).map(|word| word.load(Relaxed));
            mine.is_some_and(|word| word != self.mine[at])
                || all.is_some_and(|word| word != self.broadcast[at])
        })
    }

    fn count(&mut self, memory: &Memory, signal: u32) -> u64 {
        let at = signal as usize;
        let mut count = 0;
        if let Some(word) = of_row(memory, self.row, signal) {
            let now = word.load(ord!(signal mine: Acquire));
            count += now.wrapping_sub(self.mine[at]) & COUNT;
            self.mine[at] = now;
        }
        if let Some(word) = of_all(memory, signal) {
            let now = word.load(ord!(signal all: Acquire));
            count += now.wrapping_sub(self.broadcast[at]);
            self.broadcast[at] = now;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;

    #[test]
    fn no_two_signals_share_a_counter() {
        const ROWS: u32 = 3;
        let geometry = Geometry::new(4096, 8, ROWS, 0, false).unwrap();
        let geometry = geometry.with_board(board_words(ROWS)).unwrap();
        let memory = Memory::local(geometry);
        let listen = || (0..ROWS).map(|row| Counted::begin(&memory, row, 1));
        for row in 0..ROWS {
            for signal in 0..SIGNALS {
                let mut listeners: Vec<Counted> = listen().collect();
                assert!(send(&memory, row, 1, signal));
                for (at, listener) in listeners.iter_mut().enumerate() {
                    let expected = (at as u32 == row).then_some((signal, 1));
                    assert_eq!(listener.notice(&memory, u64::MAX), expected);
                }
            }
        }
        let mut listeners: Vec<Counted> = listen().collect();
        broadcast(&memory, SIGNALS - 1);
        for listener in &mut listeners {
            assert_eq!(listener.notice(&memory, u64::MAX), Some((SIGNALS - 1, 1)));
            assert_eq!(listener.notice(&memory, u64::MAX), None);
        }
        assert!(!send(&memory, 0, 2, 0) && !send(&memory, ROWS, 1, 0));
    }
}
