//! Roles and rows of an open ring: taking them, asking who holds them, and whether the ring still exists.
//!
//! Layer 5.

use super::Ring;
use crate::endpoint::error::AttachError;
use crate::layout::lines::RowState;
use crate::ring::gate::{is_evicted, EXPELLED};
use crate::ring::tenure::read_name;
use crate::segment::{CursorName, Held, Locks, OpenError, Role, Trouble};
use crate::sync::Ordering::Relaxed;

impl Ring {
    /// Whether a live process holds a role; `None` without permission to ask.
    pub(crate) fn is_held(&self, role: Role) -> Option<bool> {
        self.segment.locks()?.is_held(role).ok()
    }

    /// The lock bytes, or the error that says why this user only observes.
    pub(crate) fn locks(&self) -> Result<&Locks, AttachError> {
        match self.segment.locks() {
            Some(locks) if self.segment.may_use_rows() => Ok(locks),
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
            self.whole(self.segment.trouble_after_attaching())?;
        }
        Ok(held)
    }

    /// Takes a role to clean up after its last holder, or to keep other processes from taking it meanwhile.
    pub(crate) fn acquire_briefly(&self, role: Role) -> Result<Option<Held>, AttachError> {
        self.locks()?;
        self.segment
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
        let memory = self.segment.reader();
        let mine = |row| self.cursor_of_row(row).is_none() && !is_evicted(memory, row, EXPELLED);
        let own = self.segment.own_row();
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

    /// Like [`acquire_row`](Self::acquire_row), for a reader that also works without a row and then polls
    /// with short sleeps.
    pub(crate) fn acquire_row_if_any(&self) -> Result<Option<(u32, Held)>, AttachError> {
        match self.acquire_row() {
            Ok(row) => Ok(Some(row)),
            Err(error @ AttachError::Removed { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The cursor that a row holds, whether or not its owner is there.
    pub(in crate::endpoint) fn cursor_of_row(&self, at: u32) -> Option<CursorName> {
        let row = self.segment.reader().row(at)?;
        match RowState::from_raw(row.state.load(Relaxed)) {
            RowState::Consumer | RowState::Away => {}
            RowState::Free | RowState::Observer => return None,
        }
        self.name_of_row(at)
    }

    /// The name in a row, of a cursor or of a member.
    pub(crate) fn name_of_row(&self, row: u32) -> Option<CursorName> {
        let row = self.segment.reader().row(row)?;
        CursorName::from_words(read_name(row))
    }

    pub(crate) fn row_of_cursor(&self, name: CursorName) -> Option<u32> {
        (0..self.max_readers()).find(|row| self.cursor_of_row(*row) == Some(name))
    }

    pub(crate) fn pid_of_row(&self, row: u32) -> u32 {
        let row = self.segment.reader().row(row);
        row.map_or(0, |row| row.pid.load(Relaxed))
    }

    /// What happened to this process or to the files of the ring, if anything. System calls.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        if self.canary.forked() {
            return Some(Trouble::Forked);
        }
        self.segment.trouble()
    }

    /// What happened to the files of a ring, after a wait found trouble.
    pub(crate) fn trouble_found(&self) -> Trouble {
        // A truncated file may have grown again.
        self.trouble().unwrap_or(Trouble::Poisoned)
    }

    /// Checks that this process may use the ring: it is no fork, and the files are complete and not
    /// removed.
    pub(crate) fn undisturbed(&self) -> Result<(), AttachError> {
        self.whole(self.trouble())
    }

    pub(super) fn whole(&self, trouble: Option<Trouble>) -> Result<(), AttachError> {
        let path = || self.path().to_owned();
        match trouble {
            None => Ok(()),
            Some(Trouble::Forked) => Err(AttachError::Forked),
            Some(Trouble::Poisoned) => Err(AttachError::Poisoned { path: path() }),
            Some(Trouble::Removed) => Err(AttachError::Removed { path: path() }),
        }
    }

    /// Why attaching to something beside the files of this ring failed: the ring was removed, or else
    /// `error`.
    pub(crate) fn explain(&self, error: AttachError) -> AttachError {
        match self.undisturbed() {
            Err(trouble) => trouble,
            Ok(()) if self.is_unnamed() => AttachError::Removed {
                path: self.path().to_owned(),
            },
            Ok(()) => error,
        }
    }

    /// Returns `true` if no other file in the directory of this ring can be opened any more. That is so
    /// before [`is_removed`](Self::is_removed): a removal takes the name first and the files later.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.is_removed() || !self.segment.is_in_place()
    }

    /// Checks that an object that was just opened in the directory of this ring belongs to it, and not to
    /// another ring that has the name by now.
    pub(crate) fn in_place(&self) -> Result<(), OpenError> {
        if self.segment.is_in_place() {
            return Ok(());
        }
        Err(OpenError::not_found(self.path().to_owned()))
    }

    /// Rows whose state says that they have an owner. A forked child, which may not look, sees none.
    pub(crate) fn taken_rows(&self) -> impl Iterator<Item = u32> + '_ {
        let rows = if self.canary.forked() {
            0
        } else {
            self.max_readers()
        };
        (0..rows).filter(|at| {
            let row = self.segment.reader().row(*at);
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
        let memory = self.segment.reader();
        self.taken_rows().any(|at| {
            let row = memory.row(at);
            row.is_some_and(|row| row.may_park.load(Relaxed) != 0)
                && self.is_held(Role::Row(at)) != Some(false)
        })
    }
}
