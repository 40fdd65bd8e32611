//! Rows that this process holds: taking one, saying whose it is, and leaving it.
//!
//! Layer 5. A lease is the lock of a row, and of the name in it if it has one. Whoever holds the lock of a name is its
//! only user in every row. The generation of a row tells its *tenures* apart: a row and a generation together
//! name one owner, and no later one.

use super::attachment::Attachment;
use super::error::AttachError;
use super::member;
use crate::layout::lines::RowState;
use crate::ring::{losses, tenure};
use crate::segment::{CursorName, Held, Role};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, Strategy};

/// How often to try for the row of a cursor while other processes hold it for a moment.
const ROW_ATTEMPTS: u32 = 1000;

/// A row that this process holds. Dropping it leaves the row, unless the process is a fork.
#[derive(Debug)]
pub(crate) struct Lease {
    row: u32,
    object: Attachment,
    leaving: Leaving,
    /// Whether its owner may sleep, and so the bell for data has to be rung.
    parks: bool,
    /// Freed last.
    _held: Held,
    _name: Option<Held>,
}

/// What becomes of the row when its owner leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// Its state stays: the row was not filled in, or the protocol of its owner has freed it.
    AsItIs,
    /// It is free.
    Free,
    /// It is free, and the tenure with this generation is over.
    EndOf(u64),
}

impl Lease {
    fn new(object: &Attachment, row: u32, held: Held, name: Option<Held>) -> Self {
        Self {
            row,
            object: object.clone(),
            leaving: Leaving::AsItIs,
            parks: false,
            _held: held,
            _name: name,
        }
    }

    /// Takes the first row that is free. It is as its last owner left it.
    pub(crate) fn take(object: &Attachment) -> Result<Self, AttachError> {
        let (row, held) = object.acquire_row()?;
        Ok(Self::new(object, row, held, None))
    }

    /// Takes a row for a reader that works without one, and then polls with short sleeps: `None` if it does not
    /// sleep, may hold no row, or there is none.
    pub(crate) fn take_to_sleep(
        object: &Attachment,
        strategy: Strategy,
    ) -> Result<Option<Self>, AttachError> {
        if !strategy.parks() || !object.may_consume() {
            return Ok(None);
        }
        match Self::take(object) {
            Ok(lease) => Ok(Some(lease)),
            Err(error @ AttachError::Removed { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Takes the row that holds a cursor, or a free one. Returns `true` if it was the cursor's.
    pub(crate) fn take_cursor(
        object: &Attachment,
        name: CursorName,
    ) -> Result<(Self, bool), AttachError> {
        let (own_name, row) = take_name(object, name)?;
        let resumes = row.is_some();
        let (row, held) = row.map_or_else(|| object.acquire_row(), Ok)?;
        Ok((Self::new(object, row, held, Some(own_name)), resumes))
    }

    /// Takes the row that holds a cursor, if there is one.
    pub(crate) fn take_existing_cursor(
        object: &Attachment,
        name: CursorName,
    ) -> Result<Option<Self>, AttachError> {
        let (own_name, row) = take_name(object, name)?;
        Ok(row.map(|(row, held)| Self::new(object, row, held, Some(own_name))))
    }

    /// Takes a free row under a name, for a member. `begin` is called with the row and the new generation before
    /// any process can find the member.
    pub(crate) fn join<T>(
        object: &Attachment,
        name: CursorName,
        begin: impl FnOnce(u32, u64) -> T,
    ) -> Result<(Self, T), AttachError> {
        object.undisturbed()?;
        let in_use = || AttachError::CursorInUse {
            name: name.to_string(),
            pid: member::find(object, name).map_or(0, |(row, _)| object.pid_of_row(row)),
        };
        let own_name = object.acquire(name.role())?.ok_or_else(in_use)?;
        let (at, held) = object.acquire_row()?;
        let mut lease = Self::new(object, at, held, Some(own_name));
        let row = object.segment().reader().row(at);
        let generation = row.map_or(0, |row| {
            row.state.store(RowState::Free as u32, Relaxed);
            row.generation.load(Relaxed).wrapping_add(1)
        });
        let begun = begin(at, generation);
        if let Some(row) = row {
            row.pid.store(std::process::id(), Relaxed);
            row.may_park.store(1, Relaxed);
            tenure::begin(row, generation, name.words());
        }
        lease.leaving = Leaving::EndOf(generation);
        lease.may_sleep();
        Ok((lease, begun))
    }

    /// Says whose the row is from now on, and whether its owner may sleep.
    pub(crate) fn begin(&mut self, state: RowState, parks: bool) {
        if let Some(row) = self.object.segment().reader().row(self.row) {
            let generation = row.generation.load(Relaxed).wrapping_add(1);
            row.generation.store(generation, Relaxed);
            losses::begin(row);
            row.pid.store(std::process::id(), Relaxed);
            row.may_park.store(u32::from(parks), Relaxed);
            row.state.store(state as u32, Relaxed);
        }
        self.leaving = Leaving::Free;
        if parks {
            self.may_sleep();
        }
    }

    /// Says that processes that add something have to look whether the owner sleeps.
    pub(crate) fn may_sleep(&mut self) {
        if let Some(control) = self.object.segment().reader().control() {
            bell::allow(&control.data);
            self.parks = true;
        }
    }

    /// Leaves the row free, whatever it held.
    pub(crate) fn forget(mut self) {
        self.leaving = Leaving::Free;
    }

    /// The number of the row.
    #[inline(always)]
    pub(crate) fn row(&self) -> u32 {
        self.row
    }

    /// The generation of a member's tenure; 0 for other owners.
    pub(crate) fn generation(&self) -> u64 {
        match self.leaving {
            Leaving::EndOf(generation) => generation,
            Leaving::AsItIs | Leaving::Free => 0,
        }
    }

    /// The generation that follows a member's tenure.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation().wrapping_add(1)
    }
}

/// Processes that refer to the owner see that it is gone.
impl Drop for Lease {
    fn drop(&mut self) {
        if self.object.canary().forked() {
            return;
        }
        let memory = self.object.segment().reader();
        match (self.leaving, memory.row(self.row)) {
            (Leaving::Free, Some(row)) => row.state.store(RowState::Free as u32, Relaxed),
            (Leaving::EndOf(_), Some(row)) => tenure::end(row, self.next_generation()),
            (Leaving::AsItIs, _) | (_, None) => {}
        }
        if let (true, Some(control)) = (self.parks, memory.control()) {
            bell::quiet(&control.data, || self.object.anyone_may_park());
        }
    }
}

/// Takes the lock of a cursor's name, and then the row that holds it, if there is one.
fn take_name(
    object: &Attachment,
    name: CursorName,
) -> Result<(Held, Option<(u32, Held)>), AttachError> {
    let in_use = || AttachError::CursorInUse {
        name: name.to_string(),
        pid: object
            .row_of_cursor(name)
            .map_or(0, |row| object.pid_of_row(row)),
    };
    let own_name = object.acquire(name.role())?.ok_or_else(in_use)?;
    let Some(row) = object.row_of_cursor(name) else {
        return Ok((own_name, None));
    };
    // A producer that asks whether the last owner is alive holds the row for a moment.
    for _ in 0..ROW_ATTEMPTS {
        if let Some(held) = object.acquire(Role::Row(row))? {
            return Ok((own_name, Some((row, held))));
        }
        std::thread::yield_now();
    }
    Err(in_use())
}
