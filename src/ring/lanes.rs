//! The list of lanes: which rings lie inside a queue, and for what priority.
//!
//! Layer 3, no unsafe code. The list lies on the board of the queue: a word for each lane, by its number,
//! and in word 0 a version. Whoever became the owner of a lane raises the version before it sends anything
//! there (E17), so a receiver that has read the list since has every lane in which there can be a message.
//! An owner that dies between listing and raising has sent nothing; the next one raises again.

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

/// The version, before looking at the list: what is looked at afterwards is at least as new.
pub fn version_before(memory: &Memory) -> u64 {
    memory
        .board(0)
        .map_or(0, |word| word.load(ord!(E17 version: Acquire)))
}

/// Makes receivers look at the list. Called by the owner of a lane, after it is listed and before the
/// first message.
pub fn raise(memory: &Memory) {
    if let Some(word) = memory.board(0) {
        word.fetch_add(1, ord!(E17 raise: Release));
    }
}

/// The numbers and priorities of all lanes.
pub fn listed(memory: &Memory) -> impl Iterator<Item = (u32, u8)> + '_ {
    numbers(memory).filter_map(|number| {
        let said = word(memory, number)?.load(Relaxed);
        let priority = u8::try_from(said.checked_sub(1)?).ok()?;
        (priority < PRIORITIES).then_some((number, priority))
    })
}

/// The numbers that no lane has.
pub fn unlisted(memory: &Memory) -> impl Iterator<Item = u32> + '_ {
    numbers(memory)
        .filter(|number| word(memory, *number).is_some_and(|word| word.load(Relaxed) == 0))
}

/// Lists a lane whose ring is there. Returns `false` if another process was faster with this number.
pub fn list(memory: &Memory, number: u32, priority: u8) -> bool {
    let listed = u64::from(priority) + 1;
    word(memory, number)
        .is_some_and(|word| word.compare_exchange(0, listed, Relaxed, Relaxed).is_ok())
}
