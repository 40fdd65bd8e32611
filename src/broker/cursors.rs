//! The durable cursors of a broker.
//!
//! Layer 8. While its owner is away a cursor is only here, in the broker's own memory; it is written to the
//! row of a reader when that reader comes, and read back once when the reader is gone. So a former reader,
//! which can still write its row's file, cannot move a cursor.

use super::access::{is_own, Owner};
use crate::layout::lines::{Row, RowState, NAME_WORDS};
use crate::segment::CursorName;
use crate::sync::Ordering::Relaxed;

/// How many cursors a user can have.
pub const MOST: usize = 64;

/// The state of a cursor: the content of its row while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Sequence of the next message.
    pub sequence: u64,
    /// The last epoch that was reported to its owner.
    pub epoch: u64,
}

/// Where a cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the broker's memory.
    Away(Mark),
    /// In this row of this stream.
    Lent {
        /// The number of the stream.
        stream: u32,
        /// The row.
        row: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    name: CursorName,
    owner: Owner,
    whereabouts: Whereabouts,
}

/// The cursors of all users, the most recently used last. Each user has its own names.
#[derive(Debug, Default)]
pub struct Cursors(Vec<Cursor>);

impl Cursors {
    /// Where a cursor is, if there is one.
    pub fn find(&self, owner: Owner, name: CursorName) -> Option<Whereabouts> {
        let mut own = self.0.iter().filter(|cursor| cursor.owner == owner);
        let found = own.find(|cursor| cursor.name == name)?;
        Some(found.whereabouts)
    }

    /// The owner of the cursors of a user. If the user is no longer let in, by its number alone.
    pub fn owner(&self, uid: u32) -> Owner {
        if is_own(uid) {
            return Owner::Own;
        }
        let of_user =
            |owner: &Owner| matches!(owner, Owner::Named(u) | Owner::Member(u) if *u == uid);
        let mut owners = self.0.iter().map(|cursor| cursor.owner);
        owners.find(of_user).unwrap_or(Owner::Named(uid))
    }

    /// Returns `true` if a user has as many cursors as allowed.
    pub fn is_full(&self, owner: Owner) -> bool {
        self.0.iter().filter(|cursor| cursor.owner == owner).count() >= MOST
    }

    /// The cursor of a user that has been away for the longest time.
    pub fn oldest(&self, owner: Owner) -> Option<CursorName> {
        let away = |cursor: &&Cursor| {
            cursor.owner == owner && matches!(cursor.whereabouts, Whereabouts::Away(_))
        };
        self.0.iter().find(away).map(|cursor| cursor.name)
    }

    /// Records that a reader uses the cursor, or may create it.
    pub fn lend(&mut self, owner: Owner, name: CursorName, stream: u32, row: u32) {
        self.forget(owner, name);
        self.0.push(Cursor {
            name,
            owner,
            whereabouts: Whereabouts::Lent { stream, row },
        });
    }

    /// Takes back the cursor of a row that its reader has released.
    pub fn take_back(&mut self, stream: u32, row: u32, words: &Row) {
        let lent = Whereabouts::Lent { stream, row };
        let Some(at) = self.0.iter().position(|c| c.whereabouts == lent) else {
            return;
        };
        match mark(words, self.0[at].name) {
            Some(mark) => self.0[at].whereabouts = Whereabouts::Away(mark),
            // The reader gave the cursor up, or never created it.
            None => drop(self.0.remove(at)),
        }
    }

    /// Forgets a cursor. Returns `true` if there was one.
    pub fn forget(&mut self, owner: Owner, name: CursorName) -> bool {
        let before = self.0.len();
        self.0
            .retain(|cursor| cursor.owner != owner || cursor.name != name);
        self.0.len() < before
    }
}

/// The state of the cursor with this name in a row.
fn mark(row: &Row, name: CursorName) -> Option<Mark> {
    match RowState::from_raw(row.state.load(Relaxed)) {
        RowState::Consumer | RowState::Away => {}
        RowState::Free | RowState::Observer => return None,
    }
    let mut words = [0; NAME_WORDS];
    for (word, shared) in words.iter_mut().zip(&row.name) {
        *word = shared.load(Relaxed);
    }
    (words == name.words()).then(|| Mark {
        sequence: row.sequence.load(Relaxed),
        epoch: row.epoch.load(Relaxed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Owner = Owner::Named(1);
    const BOB: Owner = Owner::Member(2);

    fn name(n: usize) -> CursorName {
        CursorName::new(&format!("n{n}")).unwrap()
    }

    fn row(name: CursorName, state: RowState, sequence: u64) -> Row {
        let row = Row::default();
        for (word, name) in row.name.iter().zip(name.words()) {
            word.store(name, Relaxed);
        }
        row.state.store(state as u32, Relaxed);
        row.sequence.store(sequence, Relaxed);
        row.epoch.store(3, Relaxed);
        row
    }

    #[test]
    fn a_cursor_comes_back_as_its_row_says() {
        let mut cursors = Cursors::default();
        for (state, stays) in [
            (RowState::Free, false),
            (RowState::Consumer, true),
            (RowState::Observer, false),
            (RowState::Away, true),
        ] {
            cursors.lend(ALICE, name(1), 5, 0);
            let lent = Some(Whereabouts::Lent { stream: 5, row: 0 });
            assert_eq!(cursors.find(ALICE, name(1)), lent);
            // Of another row, or another stream.
            cursors.take_back(5, 1, &row(name(1), state, 8));
            cursors.take_back(4, 0, &row(name(1), state, 8));
            assert_eq!(cursors.find(ALICE, name(1)), lent);
            cursors.take_back(5, 0, &row(name(1), state, 9));
            let (sequence, epoch) = (9, 3);
            let away = Whereabouts::Away(Mark { sequence, epoch });
            assert_eq!(cursors.find(ALICE, name(1)), stays.then_some(away));
        }
        cursors.lend(ALICE, name(1), 5, 0);
        cursors.take_back(5, 0, &row(name(2), RowState::Consumer, 9));
        assert_eq!(cursors.find(ALICE, name(1)), None);
    }

    #[test]
    fn each_user_has_names_and_a_number_of_its_own() {
        let mut cursors = Cursors::default();
        for n in 0..MOST {
            assert!(!cursors.is_full(ALICE));
            cursors.lend(ALICE, name(n), 1, n as u32);
        }
        assert!(cursors.is_full(ALICE) && !cursors.is_full(BOB));
        assert_eq!(cursors.oldest(ALICE), None);
        for n in [5, 3] {
            cursors.take_back(1, n, &row(name(n as usize), RowState::Away, 0));
        }
        cursors.lend(BOB, name(0), 1, 99);
        // The least recently used one.
        assert_eq!(cursors.oldest(ALICE), Some(name(3)));
        assert!(cursors.forget(ALICE, name(3)) && !cursors.forget(ALICE, name(3)));
        assert!(!cursors.is_full(ALICE));
        assert_eq!((cursors.owner(1), cursors.owner(2)), (ALICE, BOB));
        assert!(cursors.forget(ALICE, name(0)));
        assert!(cursors.find(BOB, name(0)).is_some());
    }
}
