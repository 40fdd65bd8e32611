//! The seam in the native build: shared structs overlaid on validated bytes.
//!
//! Layer 2, unsafe by need. [`Memory::new`] checks once that every struct lies inside its region;
//! after that only references to atomics leave this file, plus one borrowed slice for each side
//! that the protocol grants exclusive bytes.
#![allow(unsafe_code, reason = "overlays shared structs on raw memory")]

use super::copy::{copy_fresh_words, copy_short_words, copy_words, Wide};
use super::order::{is_short, Order};
use super::region::Region;
use crate::layout::description::Description;
use crate::layout::frame::WORD;
use crate::layout::geometry::{Geometry, LINE, PAGE};
use crate::layout::lines::{ControlPage, IndexEntry, ProducerPage, Row};
use crate::sync::{AtomicU64, Ordering};
use core::marker::PhantomData;
use core::ops::Range;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

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
        Words {
            base: self.words,
            mask: self.word_mask,
            wide: self.wide,
            ring: PhantomData,
        }
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

/// The data as words, addressed by position in the endless stream.
#[derive(Clone, Copy)]
pub struct Words<'m> {
    base: NonNull<AtomicU64>,
    mask: u64,
    wide: Wide,
    ring: PhantomData<&'m Memory>,
}

impl<'m> Words<'m> {
    /// The word at `position`, modulo the capacity.
    #[inline(always)]
    pub fn at(self, position: u64) -> &'m AtomicU64 {
        // SAFETY: masked to a multiple of eight below the capacity, which `Memory::new` found
        // mapped; the memory outlives `'m`.
        unsafe { self.base.byte_add((position & self.mask) as usize).as_ref() }
    }

    /// The address of `len` bytes from `position`, if they do not wrap.
    #[inline(always)]
    fn range(self, position: u64, len: usize) -> Option<NonNull<u8>> {
        let offset = position & self.mask;
        if offset + len as u64 > self.mask + 8 {
            return None;
        }
        // SAFETY: `offset` is below the capacity.
        Some(unsafe { self.base.cast::<u8>().add(offset as usize) })
    }

    /// Writes `payload` at `position`, the last word filled up with zero bytes. Does nothing where
    /// the payload would wrap; no frame does.
    #[inline(always)]
    pub fn copy_in(self, position: u64, payload: &[u8], order: Order) {
        let Some(to) = self.range(position, payload.len()) else {
            return;
        };
        // SAFETY: `range` proved the shared side, and with it the whole of the last word, since
        // positions and the capacity are multiples of eight. The slice is the private side; they
        // cannot overlap since no reference to shared bytes is handed out to a producer's caller
        // while the producer is borrowed.
        unsafe {
            if payload.len().is_multiple_of(WORD as usize) {
                copy_fresh_words(
                    to.as_ptr(),
                    payload.as_ptr(),
                    payload.len(),
                    self.wide,
                    order,
                );
            } else {
                copy_ragged(to, payload, self.wide, order);
            }
        }
    }

    /// Like [`copy_in`](Self::copy_in), of a payload of which [`is_short`] holds; does nothing with
    /// another.
    #[inline(always)]
    pub fn copy_short_in(self, position: u64, payload: &[u8]) {
        if !is_short(payload.len()) {
            return;
        }
        if let Some(to) = self.range(position, payload.len()) {
            // SAFETY: as in `copy_in`.
            unsafe { copy_short_words(to.as_ptr(), payload.as_ptr(), payload.len(), self.wide) }
        }
    }

    /// Reads `out.len()` words from `position`. Leaves `out` alone where the range would wrap.
    #[inline(always)]
    pub fn copy_out(self, position: u64, out: &mut [u64]) {
        let bytes = size_of_val(out);
        if let Some(from) = self.range(position, bytes) {
            // SAFETY: `range` proved the shared side, `out` is private and of that length.
            unsafe { copy_words(out.as_mut_ptr().cast(), from.as_ptr(), bytes, self.wide) }
        }
    }

    /// Asks for the line at `position` in a state that can be written.
    #[inline(always)]
    pub fn prefetch_for_write(self, position: u64) {
        prefetch_for_write(self.at(position));
    }

    /// Asks for the line at `position` to read it.
    #[inline(always)]
    pub fn prefetch(self, position: u64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch touches nothing, and the address is inside the data anyway.
        unsafe {
            core::arch::asm!("prefetcht0 [{0}]", in(reg) core::ptr::from_ref(self.at(position)),
                options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = position;
    }

    /// Takes the lines that end in these positions out of every cache. Only where [`can_flush`] says so.
    pub fn flush(self, positions: Range<u64>) {
        // The first part of the first line was read before.
        let mut at = positions.start & !(FLUSHED - 1);
        while at < positions.end & !(FLUSHED - 1) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a flush changes no value, the address is inside the data, and the caller has asked
            // whether the processor knows the instruction.
            unsafe {
                core::arch::asm!("clflushopt [{0}]", in(reg) core::ptr::from_ref(self.at(at)),
                    options(nostack, preserves_flags));
            }
            at += FLUSHED;
        }
    }

    /// The `len` bytes at `position` as a slice; empty where they would wrap.
    ///
    /// # Safety
    /// No process writes them for as long as the slice lives: a consumer's row holds the gate before them
    /// meanwhile.
    #[inline(always)]
    pub unsafe fn bytes(self, position: u64, len: usize) -> &'m [u8] {
        match self.range(position, len) {
            // SAFETY: mapped per `range`; unwritten per the caller.
            Some(at) => unsafe { core::slice::from_raw_parts(at.as_ptr(), len) },
            None => &[],
        }
    }

    /// The `len` bytes at `position` as a mutable slice; empty where they would wrap.
    ///
    /// # Safety
    /// No other reference of this process to these bytes lives meanwhile: they are the producer's
    /// own unpublished space, and readers in this process map the ring at another address.
    pub unsafe fn bytes_mut(self, position: u64, len: usize) -> &'m mut [u8] {
        match self.range(position, len) {
            // SAFETY: mapped per `range`; exclusive per the caller.
            Some(at) => unsafe { core::slice::from_raw_parts_mut(at.as_ptr(), len) },
            None => &mut [],
        }
    }
}

/// Bytes that one flush takes out of the caches; unlike [`LINE`], not the pair that may be fetched
/// together.
const FLUSHED: u64 = 64;

/// Returns `true` if this processor has an instruction that takes lines out of caches without waiting for
/// each.
pub fn can_flush() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // The query can take some microseconds in a virtual machine.
        static KNOWN: OnceLock<bool> = OnceLock::new();
        *KNOWN.get_or_init(|| {
            let leaves = core::arch::x86_64::__cpuid(0).eax;
            leaves >= 7 && core::arch::x86_64::__cpuid_count(7, 0).ebx & 1 << 23 != 0
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Asks for the line of a shared word in a state that can be written.
#[inline(always)]
pub fn prefetch_for_write(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches nothing, and the address is that of a reference.
    unsafe {
        core::arch::asm!("prefetchw [{0}]", in(reg) core::ptr::from_ref(word),
            options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// Writes a payload that ends within a word. Out of line, so that the inlined copies need no registers for
/// it.
///
/// # Safety
/// As for [`copy_words`], with room for the whole of the last word at `to`.
#[inline(never)]
unsafe fn copy_ragged(to: NonNull<u8>, payload: &[u8], wide: Wide, order: Order) {
    let whole = payload.len() & !(WORD as usize - 1);
    // SAFETY: the caller's promise.
    unsafe {
        let last = to.add(whole).cast::<AtomicU64>();
        last.as_ref().store(last_word(payload), Ordering::Relaxed);
        copy_fresh_words(to.as_ptr(), payload.as_ptr(), whole, wide, order);
    }
}

/// The bytes behind the last whole word of `payload`, filled up with zeroes.
fn last_word(payload: &[u8]) -> u64 {
    let rest = payload.len() % 8;
    if let Some(tail) = payload.last_chunk::<8>() {
        // Reads some earlier bytes again, which is faster than a loop over the last few.
        return u64::from_le_bytes(*tail) >> (64 - 8 * rest);
    }
    payload
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
