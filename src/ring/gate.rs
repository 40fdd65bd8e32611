//! The gate: how far the producer may write before it would overwrite what a consumer still needs.
//!
//! Layer 3, no unsafe code. The producer keeps the lowest consumer position privately and looks at
//! the rows only when it runs into it. Rows are clamped against private shadows, never believed.

use crate::layout::lines::RowState;
use crate::segment::Memory;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// The producer's private knowledge of the rows.
#[derive(Debug)]
pub struct Gate {
    /// Position the producer may write up to. May be too low, never too high.
    limit: u64,
    /// What attaching consumers can read: the producer will not write past it without another look.
    published: u64,
    /// No row that the next look finds for the first time lies before this.
    floor: u64,
    shadows: Vec<Shadow>,
    violations: u64,
}

/// What the producer has accepted from one row.
#[derive(Clone, Copy, Debug)]
struct Shadow {
    generation: u64,
    position: u64,
}

impl Gate {
    /// A gate that has looked at nothing yet, for a producer that begins at `head`. Allocates once.
    ///
    /// Whatever the last producer wrote beyond `head`, it stayed within one capacity of every row.
    pub fn new(memory: &Memory, head: u64) -> Self {
        let nobody = Shadow {
            generation: 0,
            position: 0,
        };
        Self {
            limit: 0,
            // No producer that follows the protocol leaves more than this.
            published: memory
                .producer()
                .limit
                .position
                .load(Relaxed)
                .min(head + memory.geometry().capacity),
            floor: head.saturating_sub(memory.geometry().capacity),
            shadows: vec![nobody; memory.geometry().rows as usize],
            violations: 0,
        }
    }

    /// Position the producer may write up to.
    #[inline(always)]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How often a row said something it may not say.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Looks at every row, for room up to `need`; everything before `head` is committed.
    ///
    /// The error is the row that holds the gate shut.
    ///
    /// Attaching has no window: the producer publishes its new limit, full fence, then looks; a
    /// consumer takes its row, full fence, then reads the limit (E5). Whoever is second sees the
    /// other. A consumer that this look misses therefore read the limit published here, or a later
    /// one, and starts no more than one capacity before it; the next look, which finds it, may not
    /// believe less. What was published can be more than the limit that came of it, so the floor is
    /// taken from the limit.
    #[cold]
    pub fn look(&mut self, memory: &Memory, need: u64, head: u64) -> Result<(), u32> {
        let capacity = memory.geometry().capacity;
        // Small steps, so that a reader who attaches finds most of the ring still there.
        let wanted = need.max(head + capacity / 8);
        if wanted > self.published {
            memory.producer().limit.position.store(wanted, Relaxed);
            self.published = wanted;
        }
        edge_fence!(E5 look: SeqCst);
        let mut lowest = u64::MAX;
        let mut holder = 0;
        for at in 0..memory.geometry().rows {
            let (Some(row), Some(shadow)) = (memory.row(at), self.shadows.get_mut(at as usize))
            else {
                break;
            };
            if RowState::from_raw(row.state.load(ord!(E4: Acquire))) != RowState::Consumer {
                continue;
            }
            let generation = row.generation.load(Relaxed);
            if shadow.generation != generation {
                *shadow = Shadow {
                    generation,
                    position: self.floor,
                };
            }
            let said = row.position.load(ord!(E4: Acquire));
            let believed = said.clamp(shadow.position, head.max(shadow.position));
            self.violations += u64::from(said > believed);
            shadow.position = believed;
            if believed < lowest {
                (lowest, holder) = (believed, at);
            }
        }
        self.limit = self.published.min(lowest.saturating_add(capacity));
        self.floor = self.limit.saturating_sub(capacity);
        if need > self.limit {
            Err(holder)
        } else {
            Ok(())
        }
    }
}
