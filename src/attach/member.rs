//! Members: rows with a name in them, as other processes find them.
//!
//! Layer 5. A member is made by [`Lease::join`](super::Lease::join).

use super::attachment::Attachment;
use crate::ring::tenure;
use crate::segment::{CursorName, Role};

/// The row and the generation of the live member with this name.
pub(crate) fn find(object: &Attachment, name: CursorName) -> Option<(u32, u64)> {
    let memory = object.segment().reader();
    object.taken_rows().find_map(|at| {
        let (generation, words) = tenure::member(memory.row(at)?)?;
        let is_there = CursorName::from_words(words) == Some(name)
            && object.is_held(Role::Row(at)) != Some(false);
        is_there.then_some((at, generation))
    })
}

/// The names of all live members, in order.
pub(crate) fn names(object: &Attachment) -> Vec<String> {
    let alive = object
        .taken_rows()
        .filter(|row| object.is_held(Role::Row(*row)) != Some(false));
    let mut names: Vec<String> = alive
        .filter_map(|row| object.name_of_row(row).map(|name| name.to_string()))
        .collect();
    names.sort();
    names
}
