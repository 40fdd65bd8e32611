//! Members: a row with a name in it, held for as long as its owner lives.
//!
//! Layer 5. A member holds two locks, that of its name and that of its row. The generation of the row tells
//! its *tenures* apart: a row and a generation together name one member, and no later one.

use super::attachment::Attachment;
use super::error::AttachError;
use crate::layout::lines::RowState;
use crate::ring::tenure;
use crate::segment::{CursorName, Held, Role};
use crate::sync::Ordering::Relaxed;
use crate::wait::bell;

/// A row that this process holds under a name.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) row: u32,
    pub(crate) generation: u64,
    ring: Attachment,
    /// Freed last.
    _held: Held,
    _name: Held,
}

impl Member {
    /// Takes a name and a row. `begin` is called with the row and the new generation before any process can
    /// find the member.
    pub(crate) fn join<T>(
        ring: &Attachment,
        name: CursorName,
        begin: impl FnOnce(u32, u64) -> T,
    ) -> Result<(Self, T), AttachError> {
        ring.undisturbed()?;
        let in_use = || AttachError::CursorInUse {
            name: name.to_string(),
            pid: find(ring, name).map_or(0, |(row, _)| ring.pid_of_row(row)),
        };
        let own_name = ring.acquire(name.role())?.ok_or_else(in_use)?;
        let (at, held) = ring.acquire_row()?;
        let memory = ring.segment().reader();
        let generation = memory.row(at).map_or(0, |row| {
            row.state.store(RowState::Free as u32, Relaxed);
            row.generation.load(Relaxed).wrapping_add(1)
        });
        let begun = begin(at, generation);
        if let Some(row) = memory.row(at) {
            row.pid.store(std::process::id(), Relaxed);
            row.may_park.store(1, Relaxed);
            tenure::begin(row, generation, name.words());
        }
        if let Some(control) = memory.control() {
            bell::allow(&control.data);
        }
        let member = Self {
            row: at,
            generation,
            ring: ring.clone(),
            _held: held,
            _name: own_name,
        };
        Ok((member, begun))
    }

    /// The generation that follows this tenure.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.wrapping_add(1)
    }
}

/// Ends the tenure, so that processes that refer to it see that it is over.
impl Drop for Member {
    fn drop(&mut self) {
        if self.ring.canary().forked() {
            return;
        }
        let memory = self.ring.segment().reader();
        if let Some(row) = memory.row(self.row) {
            tenure::end(row, self.next_generation());
        }
        if let Some(control) = memory.control() {
            bell::quiet(&control.data, || self.ring.anyone_may_park());
        }
    }
}

/// The row and the generation of the live member with this name.
pub(crate) fn find(ring: &Attachment, name: CursorName) -> Option<(u32, u64)> {
    let memory = ring.segment().reader();
    ring.taken_rows().find_map(|at| {
        let (generation, words) = tenure::member(memory.row(at)?)?;
        let is_there = CursorName::from_words(words) == Some(name)
            && ring.is_held(Role::Row(at)) != Some(false);
        is_there.then_some((at, generation))
    })
}

/// The names of all live members, in order.
pub(crate) fn names(ring: &Attachment) -> Vec<String> {
    let alive = ring
        .taken_rows()
        .filter(|row| ring.is_held(Role::Row(*row)) != Some(false));
    let mut names: Vec<String> = alive
        .filter_map(|row| ring.name_of_row(row).map(|name| name.to_string()))
        .collect();
    names.sort();
    names
}
