//! Rows that this process holds: taking one, saying whose it is, and leaving it.
//!
//! Layer 5. A lease is the lock of a row, and of the name in it if it has one. The owner of the lock of a name is its
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

    /// Leaves the row free. A cursor that it held is lost.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::Builder;

    fn object(rows: u32) -> Attachment {
        let builder = Builder::on_heap().capacity_bytes(4096).max_readers(rows);
        builder.make().unwrap()
    }

    fn state_and_generation(object: &Attachment, at: u32) -> (RowState, u64) {
        let row = object.segment().reader().row(at).unwrap();
        let state = RowState::from_raw(row.state.load(Relaxed));
        (state, row.generation.load(Relaxed))
    }

    fn may_park(object: &Attachment) -> bool {
        let control = object.segment().reader().control().unwrap();
        control.data.may_park.load(Relaxed) != 0
    }

    #[test]
    fn a_row_is_free_when_its_owner_has_left_and_the_next_owner_is_told_apart() {
        for rows in [1, 2, 3, 32, 1024] {
            let object = object(rows);
            for round in 1..=3 {
                let kind = |at: u32| match at % 2 {
                    0 => RowState::Consumer,
                    _ => RowState::Observer,
                };
                let leases: Vec<Lease> = (0..rows)
                    .map(|at| {
                        let mut lease = Lease::take(&object).unwrap();
                        assert_eq!(lease.row(), at);
                        lease.begin(kind(at), false);
                        lease
                    })
                    .collect();
                let refused = Lease::take(&object).map(drop);
                assert!(matches!(refused, Err(AttachError::NoRow { rows: all }) if all == rows));
                for at in 0..rows {
                    assert_eq!(state_and_generation(&object, at), (kind(at), round));
                    assert_eq!(object.pid_of_row(at), std::process::id());
                }
                assert_eq!(object.live_rows(), rows);
                drop(leases);
                for at in 0..rows {
                    assert_eq!(state_and_generation(&object, at), (RowState::Free, round));
                }
            }
        }
    }

    #[test]
    fn the_bell_is_rung_until_the_last_owner_that_sleeps_has_left() {
        let object = object(4);
        let mut leases: Vec<Lease> = (0..4).map(|_| Lease::take(&object).unwrap()).collect();
        for (lease, parks) in leases.iter_mut().zip([true, false, true, false]) {
            lease.begin(RowState::Observer, parks);
        }
        // The last to leave but one does not sleep.
        for left in [true, true, true, false] {
            assert!(may_park(&object));
            drop(leases.pop());
            assert_eq!(may_park(&object), left);
        }
        let spins = Lease::take_to_sleep(&object, Strategy::Spin).unwrap();
        assert!(spins.is_none() && !may_park(&object));
        let mut sleeps = Lease::take_to_sleep(&object, Strategy::default()).unwrap();
        sleeps.as_mut().unwrap().begin(RowState::Observer, true);
        assert!(may_park(&object));
        drop(sleeps);
        assert!(!may_park(&object));
    }

    #[test]
    fn a_lease_that_did_not_begin_leaves_the_row_as_its_last_owner_did() {
        let object = object(1);
        let row = object.segment().reader().row(0).unwrap();
        row.state.store(RowState::Observer as u32, Relaxed);
        row.generation.store(7, Relaxed);
        drop(Lease::take(&object).unwrap());
        assert_eq!(state_and_generation(&object, 0), (RowState::Observer, 7));
        Lease::take(&object).unwrap().forget();
        assert_eq!(state_and_generation(&object, 0), (RowState::Free, 7));
    }

    #[test]
    fn a_name_has_one_owner_at_a_time_and_each_has_a_tenure_of_its_own() {
        let object = object(3);
        let name = |text: &str| CursorName::new(text).unwrap();
        let mut seen = 0;
        for _ in 0..3 {
            let (member, begun) = Lease::join(&object, name("a"), |row, generation| {
                assert_eq!(member::find(&object, name("a")), None);
                (row, generation)
            })
            .unwrap();
            assert_eq!(begun, (member.row(), member.generation()));
            assert!(member.generation() > seen);
            assert_eq!(member::find(&object, name("a")), Some(begun));
            let again = Lease::join(&object, name("a"), |_, _| ()).map(drop);
            assert!(
                matches!(again, Err(AttachError::CursorInUse { pid, .. }) if pid == std::process::id())
            );
            let (other, ()) = Lease::join(&object, name("b"), |_, _| ()).unwrap();
            assert_eq!(member::names(&object), ["a", "b"]);
            seen = member.next_generation();
            drop(member);
            assert_eq!(
                state_and_generation(&object, begun.0),
                (RowState::Free, seen)
            );
            assert_eq!(member::names(&object), ["b"]);
            assert!(may_park(&object));
            drop(other);
            assert!(!may_park(&object));
        }
    }

    #[test]
    fn rows_of_dead_owners_are_freed_after_what_they_held_and_no_others() {
        let object = object(4);
        let mut own = Lease::take(&object).unwrap();
        own.begin(RowState::Consumer, false);
        let mut other = Lease::take(&object).unwrap();
        other.begin(RowState::Observer, false);
        let state = |at: u32| state_and_generation(&object, at).0;
        assert!(!object.free_dead_rows(own.row(), |row| panic!("{row}")));
        // A process that has lost its lock.
        for at in [2, 3] {
            let row = object.segment().reader().row(at).unwrap();
            row.state.store(RowState::Consumer as u32, Relaxed);
        }
        let mut cleaned = Vec::new();
        let any = object.free_dead_rows(own.row(), |row| {
            assert_eq!(state(row), RowState::Consumer);
            assert!(object.acquire_briefly(Role::Row(row)).unwrap().is_none());
            cleaned.push(row);
        });
        assert!(any);
        assert_eq!(cleaned, [2, 3]);
        let left = [0, 1, 2, 3].map(state);
        let (free, consumer) = (RowState::Free, RowState::Consumer);
        assert_eq!(left, [consumer, RowState::Observer, free, free]);
        assert!(!object.free_dead_rows(own.row(), |row| panic!("{row}")));
    }
}
