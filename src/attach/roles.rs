//! Roles and rows of an open object: taking them, and asking who holds them.
//!
//! Layer 5.

use super::attachment::Attachment;
use super::error::AttachError;
use crate::layout::lines::RowState;
use crate::ring::gate::{is_evicted, EXPELLED};
use crate::ring::tenure::read_name;
use crate::segment::{CursorName, Held, Locks, Role};
use crate::sync::Ordering::Relaxed;

impl Attachment {
    /// Whether a live process holds a role; `None` without permission to ask.
    pub(crate) fn is_held(&self, role: Role) -> Option<bool> {
        self.segment().locks()?.is_held(role).ok()
    }

    /// The lock bytes, or the error that says why this user only observes.
    pub(crate) fn locks(&self) -> Result<&Locks, AttachError> {
        match self.segment().locks() {
            Some(locks) if self.segment().may_use_rows() => Ok(locks),
            _ => Err(AttachError::Permission {
                path: self.path().to_owned(),
            }),
        }
    }

    /// Takes a role to attach with; `None` if a live process holds it.
    ///
    /// # Errors
    /// [`AttachError::Removed`] if the ring was removed before the role was taken.
    pub(crate) fn acquire(&self, role: Role) -> Result<Option<Held>, AttachError> {
        let held = self.acquire_briefly(role)?;
        if held.is_some() {
            self.whole(self.segment().trouble_after_attaching())?;
        }
        Ok(held)
    }

    /// Checks that this object is not removed, for a caller that has just taken a role of one inside it. Waits for a
    /// removal that is going on, which may not have seen the one inside.
    ///
    /// # Errors
    /// [`AttachError::Removed`] if it was removed before the role was taken.
    pub(crate) fn confirm(&self) -> Result<(), AttachError> {
        self.whole(self.segment().trouble_after_attaching())
    }

    /// Takes a role to clean up after its last holder, or to keep other processes from taking it meanwhile.
    pub(crate) fn acquire_briefly(&self, role: Role) -> Result<Option<Held>, AttachError> {
        self.locks()?;
        self.segment()
            .acquire(role)
            .map_err(|source| AttachError::Io {
                path: self.path().to_owned(),
                source,
            })
    }

    /// Takes the first row that is free, not kept for a cursor, and not one whose last owner was
    /// expelled, unless the producer has seen it leave.
    pub(crate) fn acquire_row(&self) -> Result<(u32, Held), AttachError> {
        let rows = self.max_readers();
        let memory = self.segment().reader();
        let mine = |row| self.cursor_of_row(row).is_none() && !is_evicted(memory, row, EXPELLED);
        let own = self.segment().own_row();
        let candidates = own.map_or(0..rows, |row| row..row + 1);
        for row in candidates.filter(|row| mine(*row)) {
            if let Some(held) = self.acquire(Role::Row(row))? {
                if mine(row) {
                    return Ok((row, held));
                }
            }
        }
        Err(AttachError::NoRow { rows })
    }

    /// Takes the producer's role, which one process has at a time.
    pub(crate) fn acquire_producer(&self) -> Result<Held, AttachError> {
        self.acquire(Role::Producer)?
            .ok_or_else(|| AttachError::AlreadyOwned {
                path: self.path().to_owned(),
                pid: self.producer_pid(),
            })
    }

    /// The cursor that a row holds, whether or not its owner is there.
    pub(crate) fn cursor_of_row(&self, at: u32) -> Option<CursorName> {
        let row = self.segment().reader().row(at)?;
        match RowState::from_raw(row.state.load(Relaxed)) {
            RowState::Consumer | RowState::Away => {}
            RowState::Free | RowState::Observer => return None,
        }
        self.name_of_row(at)
    }

    /// The name in a row, of a cursor or of a member.
    pub(crate) fn name_of_row(&self, row: u32) -> Option<CursorName> {
        let row = self.segment().reader().row(row)?;
        CursorName::from_words(read_name(row))
    }

    pub(crate) fn row_of_cursor(&self, name: CursorName) -> Option<u32> {
        (0..self.max_readers()).find(|row| self.cursor_of_row(*row) == Some(name))
    }

    pub(crate) fn pid_of_row(&self, row: u32) -> u32 {
        let row = self.segment().reader().row(row);
        row.map_or(0, |row| row.pid.load(Relaxed))
    }

    /// Rows whose state says that they have an owner. A forked child, which may not look, sees none.
    pub(crate) fn taken_rows(&self) -> impl Iterator<Item = u32> + '_ {
        let rows = if self.canary().forked() {
            0
        } else {
            self.max_readers()
        };
        (0..rows).filter(|at| {
            let row = self.segment().reader().row(*at);
            row.is_some_and(|row| {
                let state = RowState::from_raw(row.state.load(Relaxed));
                matches!(state, RowState::Consumer | RowState::Observer)
            })
        })
    }

    /// How many rows have owners that are alive.
    pub(crate) fn live_rows(&self) -> u32 {
        let alive = |row: &u32| self.is_held(Role::Row(*row)) != Some(false);
        self.taken_rows().filter(alive).count() as u32
    }

    /// Returns `true` if a live process may sleep.
    pub(crate) fn anyone_may_park(&self) -> bool {
        let memory = self.segment().reader();
        self.taken_rows().any(|at| {
            let row = memory.row(at);
            row.is_some_and(|row| row.may_park.load(Relaxed) != 0)
                && self.is_held(Role::Row(at)) != Some(false)
        })
    }

    /// Frees the rows of dead owners, except the caller's own. `clean_up` is called for each of them before it is
    /// free, while no process can take it. Returns `true` if there was one.
    pub(crate) fn free_dead_rows(&self, own: u32, mut clean_up: impl FnMut(u32)) -> bool {
        let dead = |row: &u32| *row != own && self.is_held(Role::Row(*row)) == Some(false);
        let rows: Vec<u32> = self.taken_rows().filter(dead).collect();
        let mut any = false;
        for at in rows {
            if let Ok(Some(_held)) = self.acquire_briefly(Role::Row(at)) {
                clean_up(at);
                any = true;
                if let Some(row) = self.segment().reader().row(at) {
                    row.state.store(RowState::Free as u32, Relaxed);
                }
            }
        }
        any
    }
}
