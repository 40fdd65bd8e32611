//! What a broker keeps of one stream: its files, whose cursors its rows hold, and what the next stream
//! takes over from it.
//!
//! Layer 8.

use crate::layout::lines::RowState;
use crate::ring::consumer::renew;
use crate::ring::observer::{Observed, Observer};
use crate::ring::producer::Producer;
use crate::segment::isolated::Isolated;
use crate::segment::{identify, random, CursorName, Memory, Role};
use crate::sync::Ordering::Relaxed;

/// One stream and its rows.
#[derive(Debug)]
pub struct Stream {
    /// Counted from 1.
    pub number: u32,
    /// The files, as they are handed out.
    pub files: Isolated,
    /// Whether its producer confirmed that it is sealed.
    pub ready: bool,
    /// The durable cursor of each row, and whose it is. Kept here: a reader may write anything in
    /// its row.
    pub cursors: Vec<Option<Cursor>>,
}

/// A durable cursor.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// Its name.
    pub name: CursorName,
    /// Whose it is.
    pub uid: u32,
}

impl Stream {
    /// The cursor in a row, unless its owner gave it up.
    pub fn cursor(&self, row: u32) -> Option<Cursor> {
        let state = self.files.memory().row(row)?.state.load(Relaxed);
        match RowState::from_raw(state) {
            RowState::Consumer | RowState::Away => {}
            RowState::Free | RowState::Observer => return None,
        }
        *self.cursors.get(row as usize)?
    }

    /// Whether somebody alive holds a row.
    pub fn held(&self, row: u32) -> bool {
        self.files.is_held(Role::Row(row)).unwrap_or(true)
    }

    pub fn rows(&self) -> std::ops::Range<u32> {
        0..self.files.memory().geometry().rows
    }

    /// Makes a row that nobody holds ready for its next owner.
    pub fn prepare(&self, row: u32, ring_id: u128) {
        let memory = self.files.memory();
        let (Some(words), Some(page)) = (memory.row(row), memory.seats().nth(row as usize)) else {
            return;
        };
        let cursor = self.cursor(row).map(|cursor| {
            let (sequence, epoch) = (words.sequence.load(Relaxed), words.epoch.load(Relaxed));
            (cursor.name.words(), sequence, epoch)
        });
        identify(page, ring_id);
        renew(words, random() as u64 >> 1, cursor);
    }
}

/// Moves the cursor in a row that nobody holds to a free row of another stream.
pub fn carry(from: &mut Stream, row: u32, to: &mut Stream, handed_out: &[u32]) {
    let (Some(cursor), Some(old)) = (from.cursor(row), from.files.memory().row(row)) else {
        return;
    };
    if from.held(row) {
        return;
    }
    let free = to
        .rows()
        .find(|at| to.cursor(*at).is_none() && !handed_out.contains(at) && !to.held(*at));
    let new = free.and_then(|at| to.files.memory().row(at).map(|new| (at, new)));
    if let Some((at, new)) = new {
        let (sequence, epoch) = (old.sequence.load(Relaxed), old.epoch.load(Relaxed));
        let words = cursor.name.words();
        renew(new, random() as u64 >> 1, Some((words, sequence, epoch)));
        to.cursors[at as usize] = Some(cursor);
        from.cursors[row as usize] = None;
    }
}

/// Writes what is left of an old stream into a new one, with the same sequences.
pub fn inherit(mut old: Observer, new: &Memory) {
    let Ok(mut producer) = Producer::attach(new.clone(), 0) else {
        return;
    };
    // A stream holds no more messages than words, whatever it says.
    for _ in 0..new.geometry().words() {
        match old.try_next() {
            Ok(Observed::Message(copied)) if copied.sequence == producer.sequence() => {
                if producer.try_publish(old.payload(copied, 0)).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    producer.leave(false);
}
