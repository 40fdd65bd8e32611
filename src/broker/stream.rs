//! The broker's record of one stream: its files, the owners of its rows, and what the next stream takes
//! over from it.
//!
//! Layer 8. A reader can write the file of its row for as long as it keeps the descriptor, so the file of
//! a row goes to one owner only for the life of the stream.

use super::access::{Access, Owner};
use super::cursors::Mark;
use super::wire::Reply;
use crate::layout::lines::RowState;
use crate::ring::consumer::renew;
use crate::ring::gate::{is_evicted, EXPELLED};
use crate::ring::observer::{Observed, Observer};
use crate::ring::producer::Producer;
use crate::segment::isolated::Isolated;
use crate::segment::{identify, random, CursorName, Memory, Role};
use crate::sync::Ordering::Relaxed;
use std::time::Instant;

/// One stream and its rows.
#[derive(Debug)]
pub struct Stream {
    /// Counted from 1.
    pub number: u32,
    /// The files, as they are handed out.
    pub files: Isolated,
    /// Whether its producer confirmed that it is sealed.
    pub ready: bool,
    places: Vec<Place>,
}

/// The broker's record of a row, kept in its own memory because a reader may write anything in its row.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The owner that was given its file.
    owner: Option<Owner>,
    usage: Usage,
}

/// Whether a row is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// By no connected client.
    Free,
    /// By a connected client.
    Out,
    /// Its client left at this time; the process may not be dead yet.
    Returning(Instant),
}

/// Why there is no row for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRow {
    /// None will be free: refuse at once.
    Never(Reply),
    /// One may be free in a moment: refuse if that does not happen.
    NotYet(Reply),
}

impl Stream {
    /// A stream of which no client has a descriptor yet.
    pub fn new(number: u32, files: Isolated) -> Self {
        let place = Place {
            owner: None,
            usage: Usage::Free,
        };
        let places = vec![place; files.memory().geometry().rows as usize];
        Self {
            number,
            files,
            ready: false,
            places,
        }
    }

    /// Returns `true` if a live process holds the row.
    pub fn held(&self, row: u32) -> bool {
        self.files.is_held(Role::Row(row)).unwrap_or(true)
    }

    fn rows(&self) -> std::ops::Range<u32> {
        0..self.places.len() as u32
    }

    /// Whether a row is in use.
    pub fn usage(&self, row: u32) -> Usage {
        let place = self.places.get(row as usize);
        place.map_or(Usage::Free, |place| place.usage)
    }

    /// Returns `true` if any row is in use.
    pub fn is_read(&self) -> bool {
        self.places.iter().any(|place| place.usage != Usage::Free)
    }

    /// The rows whose clients left, and when.
    pub fn returning(&self) -> impl Iterator<Item = (u32, Instant)> + '_ {
        self.rows().filter_map(|row| match self.usage(row) {
            Usage::Returning(since) => Some((row, since)),
            Usage::Free | Usage::Out => None,
        })
    }

    /// Records that the client of a row left.
    pub fn left(&mut self, row: u32) {
        if let Some(place) = self.places.get_mut(row as usize) {
            place.usage = Usage::Returning(Instant::now());
        }
    }

    /// Records that a row is no longer in use.
    pub fn take_back(&mut self, row: u32) {
        if let Some(place) = self.places.get_mut(row as usize) {
            place.usage = Usage::Free;
        }
        if let Some(words) = self.files.memory().row(row) {
            // Its owner may have died as a consumer. The producer lets an expelled row in again when it
            // sees this.
            words.state.store(RowState::Free as u32, Relaxed);
        }
    }

    /// A row for a client: one that its owner had before, or one that no client has had.
    ///
    /// # Errors
    /// [`NoRow`] says what to tell the client, and whether to try again first.
    pub fn row_for(&self, owner: Owner, access: &Access) -> Result<u32, NoRow> {
        let memory = self.files.memory();
        let had_by = |who: fn(Owner, Owner) -> bool| {
            let had = move |row: &u32| {
                let before = self.places[*row as usize].owner;
                before.is_some_and(|before| who(before, owner))
            };
            self.rows().filter(had)
        };
        let own = || had_by(|before, owner| before == owner);
        let ready = |row: &u32| {
            self.usage(*row) == Usage::Free
                && !is_evicted(memory, *row, EXPELLED)
                && !self.held(*row)
        };
        if let Some(row) = own().find(ready) {
            return Ok(row);
        }
        let all = self.places.len() as u32;
        let most = access.rows(owner, all);
        let has_all = own().count() as u32 >= most;
        let members = had_by(|before, _| before.is_member()).count() as u32;
        let crowded = owner.is_member() && members >= access.rows_of_members(all);
        let unused = |row: &u32| self.places[*row as usize].owner.is_none();
        if let (false, false, Some(row)) = (has_all, crowded, self.rows().find(unused)) {
            return Ok(row);
        }
        let reply = match has_all && most < all {
            true => Reply::RowLimit { rows: most },
            false => Reply::NoRow,
        };
        // A row that a dead process still holds may be free in a moment.
        match own().any(|row| self.usage(row) != Usage::Out) {
            true => Err(NoRow::NotYet(reply)),
            false => Err(NoRow::Never(reply)),
        }
    }

    /// Resets a row for its next client.
    pub fn prepare(&self, row: u32, ring_id: u128, cursor: Option<(CursorName, Mark)>) {
        let memory = self.files.memory();
        let (Some(words), Some(page)) = (memory.row(row), memory.seats().nth(row as usize)) else {
            return;
        };
        identify(page, ring_id);
        let cursor = cursor.map(|(name, mark)| (name.words(), mark.sequence, mark.epoch));
        renew(words, random() as u64 >> 1, cursor);
    }

    /// Records that a client has a row.
    pub fn hand_out(&mut self, row: u32, owner: Owner) {
        if let Some(place) = self.places.get_mut(row as usize) {
            *place = Place {
                owner: Some(owner),
                usage: Usage::Out,
            };
        }
    }
}

/// Copies the messages that are left of an old stream into a new one, with the same sequences and gaps.
pub fn inherit(mut old: Observer, new: &Memory) {
    let Ok(mut producer) = Producer::attach(new.clone(), 0) else {
        return;
    };
    // A stream holds at most as many messages as words, even if it is damaged.
    for _ in 0..new.geometry().words() {
        match old.try_next() {
            Ok(Observed::Message(copied)) if copied.sequence == producer.sequence() => {
                if producer.try_publish(old.payload(copied, 0)).is_err() {
                    break;
                }
            }
            Ok(Observed::Skipped {
                resumed_at, why, ..
            }) if old.sequence() == resumed_at => {
                if producer.try_skip_to(resumed_at, why).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    producer.leave(false);
}
