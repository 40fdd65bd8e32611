//! The list of lanes on the board of a queue.
//!
//! Layer 7. A lane is listed once its directory is complete, and never unlisted; its number is its
//! place in the list. Word 0 changes whenever the list does.

use super::{lane_builder, Queue, PRIORITIES};
use crate::endpoint::{Builder, Ring};
use crate::segment::{CreateError, Memory};
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// The list begins on a line of its own.
const FIRST_WORD: u32 = 16;
/// The most lanes a queue may have.
pub const MAX_LANES: u32 = 1024;
/// Words of the board of a queue.
pub const BOARD_WORDS: u32 = FIRST_WORD + MAX_LANES;

/// The name of a lane's directory.
pub fn name(number: u32) -> String {
    format!("lane-{number}")
}

fn word(memory: &Memory, number: u32) -> Option<&AtomicU64> {
    memory.board(FIRST_WORD + number)
}

/// Changes with the list.
#[inline(always)]
pub fn version(memory: &Memory) -> u64 {
    memory.board(0).map_or(0, |word| word.load(Relaxed))
}

/// The numbers and priorities of all lanes.
pub fn listed(memory: &Memory) -> impl Iterator<Item = (u32, u8)> + '_ {
    (0..MAX_LANES).filter_map(|number| {
        let said = word(memory, number)?.load(Relaxed);
        let priority = u8::try_from(said.checked_sub(1)?).ok()?;
        (priority < PRIORITIES).then_some((number, priority))
    })
}

/// Makes a new lane of this priority, or takes one that its maker did not live to list. The caller
/// becomes its producer before anybody else is likely to; if not, it asks again.
pub fn add(queue: &Queue, priority: u8) -> Result<Option<(u32, Ring)>, CreateError> {
    let memory = queue.ring.segment().reader();
    for number in 0..MAX_LANES {
        let Some(word) = word(memory, number) else {
            break;
        };
        if word.load(Relaxed) != 0 {
            continue;
        }
        let builder = Builder::inside(&queue.location, &name(number));
        let lane = lane_builder(builder, queue.parameters()).create_or_open()?;
        let listed = word.compare_exchange(0, u64::from(priority) + 1, SeqCst, Relaxed);
        if listed.is_ok() {
            if let Some(version) = memory.board(0) {
                version.fetch_add(1, SeqCst);
            }
            return Ok(Some((number, lane)));
        }
    }
    Ok(None)
}
