//! The words of an object by their names, over the bytes of its files.
//!
//! Layer 3. Offsets come from the layout; no word is kept.

use crate::layout::description::Description;
use crate::layout::frame::CommitWord;
use crate::layout::geometry::{Geometry, EVICTION, INDEX_ENTRY, LINE, PAGE};
use crate::layout::lines::{
    Bell, ControlPage, IndexEntry, ProducerPage, Row, RowState, StateLine, NAME_WORDS,
};
use crate::segment::{Locks, Look, Role};
use core::mem::offset_of;

/// An object that is looked at.
#[derive(Debug)]
pub struct View {
    /// What it is.
    pub description: Description,
    /// `stream`.
    pub stream: Look,
    /// `control`, if it may be read and is long enough.
    pub control: Option<Look>,
    /// `lock`, if it may be read.
    pub locks: Option<Locks>,
}

/// What the producer says, read in an order in which no later word is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// How many producers there have been.
    pub epoch: u64,
    /// The state word.
    pub state: u32,
    /// The beginnings of two epochs.
    pub since: [u64; 2],
    /// Evictions, expulsions included.
    pub evictions: u64,
    /// Expulsions.
    pub expulsions: u64,
}

impl View {
    /// The sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.description.geometry
    }

    fn line(&self, offset: usize) -> u64 {
        PAGE + offset as u64
    }

    /// The position before which any byte of the lap before may be gone.
    pub fn reserve(&self) -> u64 {
        self.stream
            .word(self.line(offset_of!(ProducerPage, reserve)))
    }

    /// The position that the producer will not pass without looking at the rows.
    pub fn limit(&self) -> u64 {
        self.stream.word(self.line(offset_of!(ProducerPage, limit)))
    }

    /// What the producer says.
    pub fn producer(&self) -> Producer {
        let line = self.line(offset_of!(ProducerPage, state));
        let at = |offset: usize| self.stream.word(line + offset as u64);
        let since = offset_of!(StateLine, since);
        // Expulsions are counted among the evictions, which are counted first.
        let expulsions = at(offset_of!(StateLine, expulsions));
        Producer {
            expulsions,
            evictions: at(offset_of!(StateLine, evictions)),
            epoch: at(offset_of!(StateLine, epoch)),
            state: self.stream.half(line + offset_of!(StateLine, state) as u64),
            since: [at(since), at(since + 8)],
        }
    }

    /// The offset in `stream` of an index entry.
    fn entry_offset(&self, slot: u64) -> u64 {
        self.geometry().index_offset() + slot * INDEX_ENTRY
    }

    /// Position and sequence of an index entry.
    pub fn entry(&self, slot: u64) -> (u64, u64) {
        let offset = self.entry_offset(slot);
        let at = |field: usize| self.stream.word(offset + field as u64);
        let position = at(offset_of!(IndexEntry, position));
        (position, at(offset_of!(IndexEntry, sequence)))
    }

    /// The entry of a row in the eviction table.
    pub fn eviction(&self, row: u32) -> u64 {
        let table = self.geometry().evictions_offset();
        self.stream.word(table + u64::from(row) * EVICTION)
    }

    /// The word of the data at a position.
    pub fn data(&self, position: u64) -> u64 {
        let geometry = self.geometry();
        let offset = position & (geometry.capacity - 1);
        self.stream.word(geometry.data_offset() + (offset & !7))
    }

    /// The commit word at a position.
    pub fn commit(&self, position: u64) -> CommitWord {
        CommitWord::from_raw(self.data(position))
    }

    /// Returns `true` if the frame at a position may have been overwritten.
    pub fn overtaken(&self, position: u64) -> bool {
        self.reserve() > position.saturating_add(self.geometry().capacity)
    }

    /// A word of the board; 0 if there is none.
    pub fn board(&self, at: u32) -> u64 {
        let offset = self.geometry().board_offset() + 8 * u64::from(at);
        self.control
            .as_ref()
            .map_or(0, |control| control.word(offset))
    }

    /// Returns `true` if a role is held; `None` if that cannot be asked.
    pub fn is_held(&self, role: Role) -> Option<bool> {
        self.locks.as_ref()?.is_held(role).ok()
    }

    /// Returns `true` unless no process holds any role.
    pub fn may_be_used(&self) -> bool {
        let used = self.locks.as_ref().and_then(|locks| locks.is_used().ok());
        used != Some(false)
    }
}

/// Where the words of a row begin in `control`.
pub fn row_offset(row: u32) -> u64 {
    PAGE + u64::from(row) * LINE
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Its number.
    pub row: u32,
    /// Whether its lock was held before and after it was read; `None` if that cannot be asked.
    pub held: Option<bool>,
    /// The state word.
    pub state: u32,
    /// Whether its owner may sleep.
    pub may_park: u32,
    /// The position.
    pub position: u64,
    /// The sequence.
    pub sequence: u64,
    /// The generation.
    pub generation: u64,
    /// The epoch that its owner knows of.
    pub epoch: u64,
    /// The name.
    pub name: [u64; NAME_WORDS],
}

impl SeenRow {
    /// Reads a row of `control`.
    pub fn read(view: &View, control: &Look, row: u32) -> Self {
        let held = || view.is_held(Role::Row(row));
        let offset = row_offset(row);
        let word = |field: usize| control.word(offset + field as u64);
        let half = |field: usize| control.half(offset + field as u64);
        let before = held();
        // The position before the sequence: an owner stores them in the other order.
        let position = word(offset_of!(Row, position));
        let sequence = word(offset_of!(Row, sequence));
        let state = half(offset_of!(Row, state));
        let name = || core::array::from_fn(|at| word(offset_of!(Row, name) + 8 * at));
        let first: [u64; NAME_WORDS] = name();
        let generation = word(offset_of!(Row, generation));
        let epoch = word(offset_of!(Row, epoch));
        let may_park = half(offset_of!(Row, may_park));
        // What changed its owner or its name meanwhile is no one row.
        let same = state == half(offset_of!(Row, state))
            && first == name()
            && generation == word(offset_of!(Row, generation));
        let held = match (before, held()) {
            (Some(before), Some(after)) => Some(before && after && same),
            _ => None,
        };
        Self {
            row,
            held,
            state: if same { state } else { 0 },
            may_park,
            position,
            sequence,
            generation,
            epoch,
            name: if same { first } else { [0; NAME_WORDS] },
        }
    }

    /// Returns `true` if it is a consumer's that is alive.
    pub fn consumes(&self) -> bool {
        self.held == Some(true) && self.state == RowState::Consumer as u32
    }

    /// Returns `true` if it has a durable cursor.
    pub fn has_cursor(&self) -> bool {
        let kept = [RowState::Consumer as u32, RowState::Away as u32];
        kept.contains(&self.state) && self.name[0] != 0
    }
}

/// The offsets of the words of a bell, from its beginning, that are flags.
pub const BELL_FLAGS: [usize; 3] = [
    offset_of!(Bell, armed),
    offset_of!(Bell, may_park),
    offset_of!(Bell, unfenced),
];

/// Where the bells begin in `control`.
pub const BELLS: [(&str, usize); 2] = [
    ("data", offset_of!(ControlPage, data)),
    ("space", offset_of!(ControlPage, space)),
];

/// The generation of a row.
pub fn generation(control: &Look, row: u32) -> u64 {
    control.word(row_offset(row) + offset_of!(Row, generation) as u64)
}
