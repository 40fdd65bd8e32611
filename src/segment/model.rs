//! The seam in the model build: the same structs, made of the model checker's atomics.
//!
//! Layer 2. No bytes to overlay, no files, no unsafe code: copies are word by word, always.

use super::order::{is_short, Order};
use crate::layout::geometry::Geometry;
use crate::layout::lines::{ControlPage, IndexEntry, ProducerPage, Row};
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

struct Shared {
    producer: ProducerPage,
    control: ControlPage,
    rows: Vec<Row>,
    index: Vec<IndexEntry>,
    evictions: Vec<AtomicU64>,
    board: Vec<AtomicU64>,
    words: Vec<AtomicU64>,
}

/// The modelled memory of one ring; clones share it.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    geometry: Geometry,
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// A fresh ring.
    pub fn local(geometry: Geometry) -> Self {
        let shared = Shared {
            producer: ProducerPage::default(),
            control: ControlPage::default(),
            rows: (0..geometry.rows).map(|_| Row::default()).collect(),
            index: (0..geometry.blocks())
                .map(|_| IndexEntry::default())
                .collect(),
            evictions: (0..geometry.rows).map(|_| AtomicU64::new(0)).collect(),
            board: (0..geometry.board).map(|_| AtomicU64::new(0)).collect(),
            words: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
        };
        shared.index[0]
            .sequence
            .store(geometry.first_sequence, Ordering::Relaxed);
        Self {
            shared: Arc::new(shared),
            geometry,
        }
    }

    /// The validated sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The data.
    pub fn words(&self) -> Words<'_> {
        Words {
            words: &self.shared.words,
        }
    }

    /// What the producer tells all readers.
    pub fn producer(&self) -> &ProducerPage {
        &self.shared.producer
    }

    /// The index entry of a block, counted over all laps.
    pub fn index_entry(&self, block: u64) -> &IndexEntry {
        &self.shared.index[(block % self.geometry.blocks()) as usize]
    }

    /// The generation of row `at` that the producer no longer waits for, 0 for none.
    pub fn eviction(&self, at: u32) -> Option<&AtomicU64> {
        self.shared.evictions.get(at as usize)
    }

    /// Page 0 of `control`, where this attachment may use it.
    pub fn control(&self) -> Option<&ControlPage> {
        Some(&self.shared.control)
    }

    /// No reader has a file of its own here.
    pub fn seats(&self) -> impl Iterator<Item = &ControlPage> + '_ {
        core::iter::empty()
    }

    /// Word `at` of the board.
    pub fn board(&self, at: u32) -> Option<&AtomicU64> {
        self.shared.board.get(at as usize)
    }

    /// Row `at`.
    pub fn row(&self, at: u32) -> Option<&Row> {
        self.shared.rows.get(at as usize)
    }
}

/// A hint without effect in the model.
pub fn prefetch_for_write(_word: &AtomicU64) {}

/// The data as words, addressed by position in the endless stream.
#[derive(Clone, Copy)]
pub struct Words<'m> {
    words: &'m [AtomicU64],
}

impl<'m> Words<'m> {
    /// The word at `position`, modulo the capacity.
    pub fn at(self, position: u64) -> &'m AtomicU64 {
        &self.words[(position / 8) as usize % self.words.len()]
    }

    /// Writes `payload` at `position`, the last word filled up with zero bytes. To the model one order is as
    /// good as another.
    pub fn copy_in(self, position: u64, payload: &[u8], _order: Order) {
        for (at, bytes) in payload.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.at(position + 8 * at as u64)
                .store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    /// The same, of a payload of which [`is_short`] holds; does nothing with another.
    pub fn copy_short_in(self, position: u64, payload: &[u8]) {
        if is_short(payload.len()) {
            self.copy_in(position, payload, Order::Up);
        }
    }

    /// Reads `out.len()` words from `position`.
    pub fn copy_out(self, position: u64, out: &mut [u64]) {
        for (at, word) in out.iter_mut().enumerate() {
            *word = self.at(position + 8 * at as u64).load(Ordering::Relaxed);
        }
    }

    /// A hint without effect in the model.
    pub fn prefetch_for_write(self, _position: u64) {}

    /// A hint without effect in the model.
    pub fn prefetch(self, _position: u64) {}

    /// Without effect in the model: it changes no value.
    pub fn flush(self, _positions: core::ops::Range<u64>) {}
}
