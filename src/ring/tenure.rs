//! The owner of a row: the name in it, and the tenures of members.
//!
//! Layer 3, no unsafe code. A name is several words that may change while other processes read them, and
//! readers hold no lock. Its first word makes it a name: it is 0 while the others change. Tenures are told
//! apart by the generation of the row, which counts where each begins and where each ends.

use crate::layout::lines::{Row, RowState, NAME_WORDS};
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// The words of a name; all zero for none.
pub type Name = [u64; NAME_WORDS];

/// How often a reader of a name looks again because it changed.
const ATTEMPTS: u32 = 8;

/// Stores the name of a row, or clears it. Call with the row's lock held. A process that dies in between
/// leaves a row without a name.
pub fn write_name(row: &Row, name: Name) {
    row.name[0].store(0, Relaxed);
    // A reader that sees a word from below sees that the old name is gone.
    edge_fence!(row rename: Release);
    for (word, part) in row.name.iter().zip(name).skip(1) {
        word.store(part, Relaxed);
    }
    row.name[0].store(name[0], ord!(row name: Release));
}

/// The name of a row as it was at some moment during the call. All zero if the row has none, or another
/// one at every look.
pub fn read_name(row: &Row) -> Name {
    let mut seen = look_at_name(row);
    for _ in 0..ATTEMPTS {
        let again = look_at_name(row);
        // Parts of two names are not seen twice, even if both begin alike: a reader that saw a word of the
        // newer one sees all of it, or that it is not complete, at the next look.
        if again == seen {
            return seen;
        }
        seen = again;
    }
    Name::default()
}

fn look_at_name(row: &Row) -> Name {
    let mut name = Name::default();
    name[0] = row.name[0].load(Relaxed);
    if name[0] == 0 {
        return name;
    }
    edge_fence!(row first_word: Acquire);
    for (part, word) in name.iter_mut().zip(&row.name).skip(1) {
        *part = word.load(Relaxed);
    }
    edge_fence!(row last_word: Acquire);
    name
}

/// Begins the tenure of a member. Call with the locks of the row and of the name held.
pub fn begin(row: &Row, generation: u64, name: Name) {
    write_name(row, name);
    row.generation.store(generation, ord!(row begin: Release));
    // A reader that sees the state can tell its generation from the one before, which has no owner.
    row.state
        .store(RowState::Observer as u32, ord!(row present: Release));
}

/// Ends the tenure of a member. The generation becomes the one that follows it.
pub fn end(row: &Row, generation: u64) {
    row.state.store(RowState::Free as u32, Relaxed);
    row.generation.store(generation, ord!(row end: Release));
}

/// The generation and the name of the member that a row belongs to, if it belongs to one. Both are of one
/// tenure, which may be over by now.
pub fn member(row: &Row) -> Option<(u64, Name)> {
    let generation = row.generation.load(Relaxed);
    edge_fence!(row member: Acquire);
    let state = RowState::from_raw(row.state.load(Relaxed));
    let name = read_name(row);
    let same = row.generation.load(Relaxed) == generation;
    let is_there = same && state == RowState::Observer && name[0] != 0;
    is_there.then_some((generation, name))
}
