//! What readers missed, counted where every process can read it.
//!
//! Layer 3, no unsafe code. Only slow paths count: a reader that found a loss adds it to its row, which it alone
//! writes, and to the line of all readers. Each word is a plain count: no other word depends on it, so every
//! access is relaxed. A reader that is killed between finding a loss and counting it leaves it uncounted.

use crate::layout::lines::{ControlPage, Row};
use crate::segment::Memory;
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// How much was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many messages.
    pub messages: u64,
    /// In how many losses.
    pub times: u64,
}

/// Counts one loss: for the owner of a row, if it has one, and for all readers.
///
/// Counts nothing without permission to write `control`.
#[cold]
#[inline(never)]
pub fn count(memory: &Memory, row: Option<u32>, messages: u64) {
    if let Some(row) = row.and_then(|at| memory.row(at)) {
        for (word, more) in [(&row.lost, messages), (&row.times, 1)] {
            word.store(word.load(Relaxed).wrapping_add(more), Relaxed);
        }
    }
    if let Some(page) = memory.control() {
        page.losses.messages.fetch_add(messages, Relaxed);
        page.losses.times.fetch_add(1, Relaxed);
    }
}

/// Has the producers of a new stream go on with the counts of those of an old one.
pub fn go_on_counting(old: &Memory, new: &Memory) {
    let (from, to) = (&old.producer().state, &new.producer().state);
    for (from, to) in [
        (&from.evictions, &to.evictions),
        (&from.expulsions, &to.expulsions),
    ] {
        to.store(from.load(Relaxed), Relaxed);
    }
}

/// Begins the count of a new owner of a row.
pub fn begin(row: &Row) {
    row.lost.store(0, Relaxed);
    row.times.store(0, Relaxed);
}

/// What the owner of a row missed since it took it.
pub fn of_row(row: &Row) -> Missed {
    missed(&row.lost, &row.times)
}

/// What all readers together missed; of an isolated ring, what those missed whose rows this attachment has.
/// `None` without permission to read `control`.
pub fn of_all(memory: &Memory) -> Option<Missed> {
    let pages = memory.control().into_iter().chain(memory.seats());
    pages.map(of_page).reduce(|all, one| Missed {
        messages: all.messages.wrapping_add(one.messages),
        times: all.times.wrapping_add(one.times),
    })
}

fn of_page(page: &ControlPage) -> Missed {
    missed(&page.losses.messages, &page.losses.times)
}

fn missed(messages: &AtomicU64, times: &AtomicU64) -> Missed {
    Missed {
        messages: messages.load(Relaxed),
        times: times.load(Relaxed),
    }
}
