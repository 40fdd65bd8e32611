//! Cells: the newest value of one writer, for any number of readers.
//!
//! Layer 3, no unsafe code. A cell keeps its last four values. The writer fills the place of the oldest
//! value and then publishes its version, so it never waits. A reader copies the newest value and then
//! checks whether the writer has reached that place again meanwhile, which takes three more values. After
//! H. Kopetz and J. Reisinger, "The Non-Blocking Write Protocol NBW" (1993), with several buffers.

use crate::segment::{Memory, Order};
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// How many values a cell keeps.
const PLACES: u64 = 4;
/// The versions, and each place, begin at a multiple of this.
const ALIGN: u64 = 64;

/// Where the cells of a table lie in the data of a segment.
#[derive(Clone, Debug)]
pub struct Cells {
    memory: Memory,
    count: u32,
    /// Words of a value.
    words: u64,
}

/// How many bytes of data a table of cells takes.
pub const fn table_bytes(count: u32, value_bytes: u64) -> u64 {
    ALIGN + count as u64 * stride(value_bytes.div_ceil(8))
}

const fn stride(words: u64) -> u64 {
    ALIGN + PLACES * (words * 8).div_ceil(ALIGN) * ALIGN
}

impl Cells {
    /// Overlays a table; `None` if the segment has no room for it.
    pub fn new(memory: &Memory, count: u32, value_bytes: u64) -> Option<Self> {
        let fits = value_bytes <= memory.geometry().capacity
            && table_bytes(count, value_bytes) <= memory.geometry().capacity;
        fits.then(|| Self {
            memory: memory.clone(),
            count,
            words: value_bytes.div_ceil(8),
        })
    }

    /// How many cells there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The memory they lie in.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    #[inline(always)]
    fn cell(&self, at: u32) -> Option<u64> {
        (at < self.count).then(|| ALIGN + u64::from(at) * stride(self.words))
    }

    #[inline(always)]
    fn place(&self, cell: u64, version: u64) -> u64 {
        let bytes = (self.words * 8).div_ceil(ALIGN) * ALIGN;
        cell + ALIGN + version % PLACES * bytes
    }

    /// How many times a cell was set; 0 for never, or if there is no such cell.
    #[inline(always)]
    pub fn version(&self, at: u32) -> u64 {
        self.cell(at)
            .map_or(0, |cell| self.memory.words().at(cell).load(Relaxed))
    }

    /// How many times any cell was set.
    #[inline(always)]
    pub fn changes(&self) -> u64 {
        self.memory.words().at(0).load(Relaxed)
    }

    /// Sets a cell. Returns its new version, or `None` if there is no such cell. For the one writer only.
    /// The number of steps does not depend on readers.
    #[inline(always)]
    pub fn set(&self, at: u32, value: &[u8]) -> Option<u64> {
        let cell = self.cell(at)?;
        if value.len() as u64 > self.words * 8 {
            return None;
        }
        let words = self.memory.words();
        let version = words.at(cell).load(Relaxed).wrapping_add(1);
        // A reader that sees a word of this value also sees the version before it.
        edge_fence!(value set: Release);
        words.copy_in(self.place(cell, version), value, Order::Up);
        words.at(cell).store(version, ord!(value version: Release));
        self.touch();
        Some(version)
    }

    /// Announces a change. For the one writer only.
    #[inline(always)]
    fn touch(&self) {
        let changes = self.memory.words().at(0);
        changes.store(changes.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Announces the change of a writer that died between setting a value and announcing it. Returns `true`
    /// if there was one. For the one writer only.
    pub fn recount(&self) -> bool {
        let set = (0..self.count).fold(0u64, |sum, at| sum.wrapping_add(self.version(at)));
        let changes = self.memory.words().at(0);
        let differs = changes.load(Relaxed) != set;
        if differs {
            changes.store(set, Relaxed);
        }
        differs
    }

    /// Copies the newest value of a cell. Returns its version, or 0 if it was never set. `None` while the
    /// writer sets it faster than it can be copied, or if there is no such cell.
    #[inline(always)]
    pub fn try_get(&self, at: u32, out: &mut [u64]) -> Option<u64> {
        let cell = self.cell(at)?;
        let words = self.memory.words();
        let version = words.at(cell).load(ord!(value version: Acquire));
        if version == 0 {
            return Some(0);
        }
        let out = out.get_mut(..self.words as usize)?;
        words.copy_out(self.place(cell, version), out);
        edge_fence!(value get: Acquire);
        let now = words.at(cell).load(Relaxed);
        // With three more it may be writing the fourth, in the same place.
        (now.wrapping_sub(version) < PLACES - 1).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;

    #[test]
    fn the_last_values_of_a_cell_and_its_neighbour_share_no_byte() {
        let memory = Memory::local(Geometry::new(1 << 16, 8, 1, 0, false).unwrap());
        let cells = Cells::new(&memory, 2, 500).unwrap();
        let bytes = 504;
        let ranges: Vec<u64> = (0..2)
            .flat_map(|at| {
                let cell = cells.cell(at).unwrap();
                (0..PLACES).map(move |version| (cell, version))
            })
            .map(|(cell, version)| cells.place(cell, version))
            .collect();
        for (n, from) in ranges.iter().enumerate() {
            assert!(from.is_multiple_of(ALIGN) && from + bytes <= table_bytes(2, 500));
            for other in &ranges[n + 1..] {
                assert!(from + bytes <= *other || other + bytes <= *from);
            }
        }
        // The newest value stays, and older ones are untouched until their place is used again.
        for version in 1..=PLACES {
            assert_eq!(cells.set(1, &[version as u8; 500]), Some(version));
        }
        for version in 1..=PLACES {
            let mut out = [0u64; 63];
            let at = cells.place(cells.cell(1).unwrap(), version);
            memory.words().copy_out(at, &mut out);
            assert_eq!(
                bytemuck::cast_slice::<u64, u8>(&out)[..500],
                [version as u8; 500]
            );
        }
    }
}
