//! The list of lanes: which rings lie inside a queue, and for what priority.
//!
//! Layer 3, no unsafe code. The list lies on the board of the queue: a word for each lane, by its number,
//! and in word 0 a version. A new owner of a lane raises the version before it sends anything there (edge
//! `lanes`), so a receiver that has read the list since has every lane in which there can be a message. An
//! owner that dies between listing and raising has sent nothing; the next one raises again.
//!
//! A lane that is empty and has no owner is unlisted by a receiver that finds it so, under the lock of its
//! producer, and then costs receivers nothing until a sender takes it again.

use crate::segment::Memory;
use crate::sync::{ord, AtomicU64, Ordering::Relaxed};

/// How many priorities there are: 0, the default, to 7, the highest.
pub const PRIORITIES: u8 = 8;
/// The list begins on a line of its own.
const FIRST_WORD: u32 = 16;
/// The most lanes a queue may have.
pub const MAX_LANES: u32 = 1024;

/// How many words a board with such a list has, for at most so many lanes.
pub const fn board_words(lanes: u32) -> u32 {
    FIRST_WORD + lanes
}

/// Every number that a lane may have.
fn numbers(memory: &Memory) -> core::ops::Range<u32> {
    0..memory
        .geometry()
        .board
        .saturating_sub(FIRST_WORD)
        .min(MAX_LANES)
}

fn word(memory: &Memory, number: u32) -> Option<&AtomicU64> {
    memory.board(FIRST_WORD + number)
}

/// Changes with the list.
#[inline(always)]
pub fn version(memory: &Memory) -> u64 {
    memory.board(0).map_or(0, |word| word.load(Relaxed))
}

/// The version, to be read before the list: the list that is read afterwards is at least as new.
pub fn version_before(memory: &Memory) -> u64 {
    memory
        .board(0)
        .map_or(0, |word| word.load(ord!(lanes version: Acquire)))
}

/// What the word of a lane says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// There is no such lane.
    Nothing,
    /// A lane of this priority.
    Listed(u8),
    /// A lane of this priority that was unlisted, since it was empty and had no owner.
    Idle(u8),
}

impl Said {
    fn of(word: u64) -> Option<Self> {
        let priorities = u64::from(PRIORITIES);
        match word.checked_sub(1) {
            None => Some(Self::Nothing),
            Some(said) if said < priorities => Some(Self::Listed(said as u8)),
            Some(said) if said < 2 * priorities => Some(Self::Idle((said - priorities) as u8)),
            Some(_) => None,
        }
    }

    const fn word(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Listed(priority) => 1 + priority as u64,
            Self::Idle(priority) => 1 + PRIORITIES as u64 + priority as u64,
        }
    }
}

fn said(memory: &Memory) -> impl Iterator<Item = (u32, Said)> + '_ {
    numbers(memory).filter_map(|number| {
        let said = Said::of(word(memory, number)?.load(Relaxed))?;
        Some((number, said))
    })
}

/// The numbers and priorities of all lanes in which there may be a message.
pub fn listed(memory: &Memory) -> impl Iterator<Item = (u32, u8)> + '_ {
    said(memory).filter_map(|(number, said)| match said {
        Said::Listed(priority) => Some((number, priority)),
        _ => None,
    })
}

/// The numbers of unlisted lanes; those that had this priority come first.
pub fn idle(memory: &Memory, priority: u8) -> impl Iterator<Item = u32> + '_ {
    let of = move |same: bool| {
        said(memory).filter_map(move |(number, said)| match said {
            Said::Idle(had) if (had == priority) == same => Some(number),
            _ => None,
        })
    };
    of(true).chain(of(false))
}

/// The numbers that no lane has.
pub fn unused(memory: &Memory) -> impl Iterator<Item = u32> + '_ {
    said(memory).filter_map(|(number, said)| (said == Said::Nothing).then_some(number))
}

/// The priority of a lane that is listed.
pub fn priority(memory: &Memory, number: u32) -> Option<u8> {
    match Said::of(word(memory, number)?.load(Relaxed))? {
        Said::Listed(priority) => Some(priority),
        _ => None,
    }
}

/// Lists a new lane whose ring is there. Returns `false` if another process was faster with this number.
pub fn list(memory: &Memory, number: u32, priority: u8) -> bool {
    let listed = Said::Listed(priority).word();
    word(memory, number)
        .is_some_and(|word| word.compare_exchange(0, listed, Relaxed, Relaxed).is_ok())
}

/// Lists a lane under a priority and makes receivers read the list. Only the lane's owner may call this:
/// while it holds the lock of the lane's producer, no other process changes the word.
pub fn own(memory: &Memory, number: u32, priority: u8) {
    if let Some(word) = word(memory, number) {
        word.store(Said::Listed(priority).word(), Relaxed);
    }
    raise(memory);
}

/// Unlists an empty lane. Only the holder of its producer's lock may call this.
pub fn unlist(memory: &Memory, number: u32) {
    if let (Some(word), Some(priority)) = (word(memory, number), priority(memory, number)) {
        word.store(Said::Idle(priority).word(), Relaxed);
        raise(memory);
    }
}

/// Makes receivers read the list again.
fn raise(memory: &Memory) {
    if let Some(word) = memory.board(0) {
        word.fetch_add(1, ord!(lanes raise: Release));
    }
}
