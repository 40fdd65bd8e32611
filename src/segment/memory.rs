//! The seam in the native build: shared structs overlaid on validated bytes.
//!
//! Layer 2, unsafe by need. [`Memory::new`] checks once that every struct lies inside its region;
//! after that only references to atomics leave this file, and [`Words`].
#![allow(unsafe_code, reason = "overlays shared structs on raw memory")]

use super::copy::Wide;
use super::region::Region;
use super::words::Words;
use crate::layout::description::Description;
use crate::layout::geometry::{Geometry, LINE, PAGE};
use crate::layout::lines::{ControlPage, IndexEntry, ProducerPage, Row};
use crate::sync::{AtomicU64, Ordering};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

/// The memory of one ring as one attachment sees it. Clones share it.
#[derive(Clone)]
pub struct Memory {
    words: NonNull<AtomicU64>,
    word_mask: u64,
    wide: Wide,
    geometry: Geometry,
    producer: NonNull<ProducerPage>,
    index: NonNull<IndexEntry>,
    evictions: NonNull<AtomicU64>,
    control: Option<NonNull<ControlPage>>,
    /// The rows that lie behind page 0 of `control`: all of a ring's, or the one that is ours.
    first_row: u32,
    own_rows: u32,
    board: Option<NonNull<AtomicU64>>,
    stream_region: Arc<Region>,
    controls: Controls,
}

/// Where the rows are.
#[derive(Clone, Debug)]
pub enum Controls {
    /// This attachment may not use them.
    None,
    /// All in one file that every attached process may write.
    Together(Arc<Region>),
    /// Each in a file of its own, of which this attachment has only one.
    Mine(u32, Arc<Region>),
    /// Each in a file of its own, as the producer has them.
    Apart(Arc<[Region]>),
}

impl Controls {
    /// The regions behind them.
    pub(super) fn regions(&self) -> &[Region] {
        match self {
            Self::None => &[],
            Self::Together(region) | Self::Mine(_, region) => std::slice::from_ref(&**region),
            Self::Apart(regions) => regions,
        }
    }
}

// SAFETY: the pointers lead into regions that `self` keeps alive, to atomics only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Memory")
            .field("stream", &self.stream_region)
            .field("controls", &self.controls)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// Overlays a ring of this geometry. `None` if a region is too small or not page aligned.
    pub fn new(geometry: Geometry, stream: Arc<Region>, controls: Controls) -> Option<Self> {
        let fits = |region: &Region, bytes: u64| {
            region.len() as u64 >= bytes && (region.base().as_ptr() as u64).is_multiple_of(PAGE)
        };
        if !fits(&stream, geometry.stream_bytes()) {
            return None;
        }
        let (first_row, own_rows, bytes) = match &controls {
            Controls::None => (0, 0, 0),
            Controls::Together(_) => (0, geometry.rows, geometry.control_bytes()),
            Controls::Mine(row, _) => (*row, 1, Geometry::SEAT_BYTES),
            Controls::Apart(_) => (0, 0, Geometry::SEAT_BYTES),
        };
        let whole = |region: &Region| fits(region, bytes) && region.writable();
        if !controls.regions().iter().all(whole) || first_row + own_rows > geometry.rows {
            return None;
        }
        let control = match &controls {
            Controls::Together(region) | Controls::Mine(_, region) => Some(region.base().cast()),
            Controls::None | Controls::Apart(_) => None,
        };
        let board = match &controls {
            // SAFETY: the offset is at most `control_bytes`, which the region covers.
            Controls::Together(region) => unsafe {
                let at = region.base().add(geometry.board_offset() as usize);
                Some(at.cast())
            },
            _ => None,
        };
        let base = stream.base();
        // SAFETY: the four offsets are below `stream_bytes`, which the region covers.
        let (words, producer, index, evictions) = unsafe {
            (
                base.add(geometry.data_offset() as usize).cast(),
                base.add(PAGE as usize).cast(),
                base.add(geometry.index_offset() as usize).cast(),
                base.add(geometry.evictions_offset() as usize).cast(),
            )
        };
        Some(Self {
            words,
            // Clears the low three bits too, so that the word is aligned for every position.
            word_mask: geometry.capacity - 8,
            wide: Wide::detect(),
            geometry,
            producer,
            index,
            evictions,
            control,
            first_row,
            own_rows,
            board,
            stream_region: stream,
            controls,
        })
    }

    /// A fresh ring on the heap, for one process.
    pub fn local(geometry: Geometry) -> Self {
        let region = |bytes| Arc::new(Region::heap(bytes).expect("memory for a ring"));
        let memory = Self::new(
            geometry,
            region(geometry.stream_bytes()),
            Controls::Together(region(geometry.control_bytes())),
        )
        .expect("a region of the size the geometry asks for");
        memory
            .index_entry(0)
            .sequence
            .store(geometry.first_sequence, Ordering::Relaxed);
        memory
    }

    /// Writes what a new ring starts with, the description last.
    pub fn format(&self, description: &Description) {
        debug_assert!(self.stream_region.writable());
        self.index_entry(0)
            .sequence
            .store(description.geometry.first_sequence, Ordering::Relaxed);
        for control in self.control().into_iter().chain(self.seats()) {
            identify(control, description.ring_id);
        }
        let page = description.encode();
        for (at, word) in page.chunks_exact(8).enumerate() {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            // SAFETY: page 0 lies in the region and is 4096 bytes of plain words.
            let shared = unsafe {
                self.stream_region
                    .base()
                    .cast::<AtomicU64>()
                    .add(at)
                    .as_ref()
            };
            shared.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// The validated sizes.
    #[inline(always)]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The data.
    #[inline(always)]
    pub fn words(&self) -> Words<'_> {
        // SAFETY: `new` found all words up to the mask mapped, and they stay so while `self` is borrowed.
        unsafe { Words::new(self.words, self.word_mask, self.wide) }
    }

    /// What the producer tells all readers.
    #[inline(always)]
    pub fn producer(&self) -> &ProducerPage {
        // SAFETY: page 1 of a region that `new` found large and aligned enough and `self` keeps;
        // the struct is all atomics, smaller than a page.
        unsafe { self.producer.as_ref() }
    }

    /// The index entry of a block, counted over all laps.
    pub fn index_entry(&self, block: u64) -> &IndexEntry {
        let at = block & (self.geometry.blocks() - 1);
        // SAFETY: `at` is below `blocks`, and `new` checked that so many entries fit.
        unsafe { self.index.add(at as usize).as_ref() }
    }

    /// The generation of row `at` that the producer no longer waits for, 0 for none.
    #[inline(always)]
    pub fn eviction(&self, at: u32) -> Option<&AtomicU64> {
        if at >= self.geometry.rows {
            return None;
        }
        // SAFETY: `at` is below `rows`, and `new` checked that so many entries fit in the stream.
        Some(unsafe { self.evictions.add(at as usize).as_ref() })
    }

    /// Page 0 of `control`, where this attachment may use it.
    #[inline(always)]
    pub fn control(&self) -> Option<&ControlPage> {
        // SAFETY: as for `producer`, with the control region.
        self.control.map(|control| unsafe { control.as_ref() })
    }

    /// Row `at`, where this attachment may use it.
    #[inline(always)]
    pub fn row(&self, at: u32) -> Option<&Row> {
        let own = at.wrapping_sub(self.first_row);
        let (true, Some(control)) = (own < self.own_rows, self.control) else {
            return self.row_apart(at);
        };
        let offset = PAGE + u64::from(own) * LINE;
        // SAFETY: `own` is below `own_rows`, and `new` checked that the region holds so many rows
        // behind page 0.
        Some(unsafe {
            control
                .cast::<u8>()
                .add(offset as usize)
                .cast::<Row>()
                .as_ref()
        })
    }

    #[cold]
    fn row_apart(&self, at: u32) -> Option<&Row> {
        let Controls::Apart(regions) = &self.controls else {
            return None;
        };
        let base = regions.get(at as usize)?.base();
        // SAFETY: `new` checked that each region holds a page and a row, and `self` keeps it.
        Some(unsafe { base.add(PAGE as usize).cast::<Row>().as_ref() })
    }

    /// Word `at` of the board, where this attachment may use it and it has so many.
    #[inline(always)]
    pub fn board(&self, at: u32) -> Option<&AtomicU64> {
        let control = self.board?;
        if at >= self.geometry.board {
            return None;
        }
        // SAFETY: `at` is below `board`, and `new` checked that the region holds so many words
        // behind the rows.
        Some(unsafe { control.add(at as usize).as_ref() })
    }

    /// Page 0 of every file that holds one row, for a producer that has them all.
    pub fn seats(&self) -> impl Iterator<Item = &ControlPage> + '_ {
        let regions: &[Region] = match &self.controls {
            Controls::Apart(regions) => regions,
            _ => &[],
        };
        // SAFETY: as for `row_apart`.
        regions
            .iter()
            .map(|region| unsafe { region.base().cast::<ControlPage>().as_ref() })
    }

    /// The region behind the stream.
    pub(super) fn stream_region(&self) -> Arc<Region> {
        self.stream_region.clone()
    }

    /// Returns `true` if any of its pages went away.
    #[cold]
    pub fn poisoned(&self) -> bool {
        self.stream_region.poisoned() || self.controls.regions().iter().any(Region::poisoned)
    }

    /// Returns `true` if the producer's bytes may be lent out in place: readers in this process see them at
    /// another address, and no other user may write them.
    pub fn lends(&self) -> bool {
        self.stream_region.lends()
    }

    /// Copies page 0 into private memory, each word read once.
    pub fn description_page(region: &Region) -> io::Result<Box<[u8; PAGE as usize]>> {
        if (region.len() as u64) < PAGE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut page = Box::new([0; PAGE as usize]);
        for (at, bytes) in page.chunks_exact_mut(8).enumerate() {
            // SAFETY: the region covers a page, is page aligned, and stays while borrowed.
            let word = unsafe { region.base().cast::<AtomicU64>().add(at).as_ref() };
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        Ok(page)
    }
}

/// Resets page 0 of a file with rows to its initial content.
pub fn identify(control: &ControlPage, ring_id: u128) {
    control
        .identity
        .low
        .store(ring_id as u64, Ordering::Relaxed);
    let high = (ring_id >> 64) as u64;
    control.identity.high.store(high, Ordering::Relaxed);
    for bell in [&control.data, &control.space] {
        bell.armed.store(0, Ordering::Relaxed);
        bell.may_park.store(0, Ordering::Relaxed);
    }
    control.losses.messages.store(0, Ordering::Relaxed);
    control.losses.times.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::can_flush;

    #[test]
    fn flushing_changes_no_value_and_wraps() {
        if !can_flush() {
            return;
        }
        let memory = Memory::local(Geometry::new(4096, 8, 1, 0, false).unwrap());
        let words = memory.words();
        for at in (0..4096).step_by(8) {
            words.at(at).store(at + 1, Ordering::Relaxed);
        }
        for (start, end) in [
            (0, 0),
            (100, 100),
            (4000, 4200),
            (5, 1 << 20),
            (u64::MAX - 200, u64::MAX),
        ] {
            words.flush(start..end);
        }
        for at in (0..4096).step_by(8) {
            assert_eq!(words.at(at).load(Ordering::Relaxed), at + 1);
        }
    }
}
