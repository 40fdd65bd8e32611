//! The gate: how far the producer may write before it would overwrite what a consumer still needs.
//!
//! Layer 3, no unsafe code. The producer keeps the lowest consumer position privately and looks at
//! the rows only when it runs into it. Rows are clamped against private shadows, never believed. A
//! row that held the gate shut for too long is evicted: its number is entered in a table that only
//! the producer can write, and from then on the producer no longer waits for it.

use crate::layout::lines::{Row, RowState};
use crate::segment::Memory;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// Stands in the eviction table for every generation of a row: its owner was evicted so often that
/// it has to leave the row and take one anew.
pub const EXPELLED: u64 = u64::MAX;

/// After how many evictions in quick succession a row is expelled.
const STRIKES: u32 = 16;
/// In quick succession means: within so many laps of each other.
const FORGIVEN_AFTER: u64 = 64;

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
    /// Evictions in quick succession.
    strikes: u32,
    /// The strikes are forgiven once the producer gets here.
    forgiven_at: u64,
}

impl Gate {
    /// A gate that has looked at nothing yet, for a producer that begins at `head`. Allocates once.
    ///
    /// Whatever the last producer wrote beyond `head`, it stayed within one capacity of every row.
    pub fn new(memory: &Memory, head: u64) -> Self {
        let nobody = Shadow {
            generation: 0,
            position: 0,
            strikes: 0,
            forgiven_at: 0,
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
                readmit(memory, at, row);
                continue;
            }
            let generation = row.generation.load(ord!(E10: Acquire));
            if shadow.generation != generation {
                shadow.generation = generation;
                shadow.position = self.floor;
            }
            if is_evicted(memory, at, generation) {
                continue;
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

    /// No longer waits for the owner of a row, as the last look found it. Everything this producer
    /// overwrites from now on, it overwrites after the owner can know (E9).
    ///
    /// The owner may take the row again at once. To bound what that costs, [`patience`](Self::patience)
    /// shrinks each time, and after a number of times in quick succession the row is expelled.
    pub fn evict(&mut self, memory: &Memory, row: u32, head: u64) {
        let (Some(shadow), Some(entry)) =
            (self.shadows.get_mut(row as usize), memory.eviction(row))
        else {
            return;
        };
        if head >= shadow.forgiven_at {
            shadow.strikes = 0;
        }
        shadow.strikes += 1;
        shadow.forgiven_at = head + FORGIVEN_AFTER * memory.geometry().capacity;
        let evicted = if shadow.strikes > STRIKES {
            EXPELLED
        } else {
            shadow.generation
        };
        // Nothing can be overwritten on the strength of this before another look, whose fence comes
        // before that and after this (E9).
        entry.store(evicted, Relaxed);
    }

    /// By how many halvings the producer's patience with a row has shrunk.
    pub fn patience(&self, row: u32, head: u64) -> u32 {
        match self.shadows.get(row as usize) {
            Some(shadow) if head < shadow.forgiven_at => shadow.strikes,
            _ => 0,
        }
    }
}

/// Whether the producer no longer waits for this generation of a row. Without ordering of its own.
#[inline(always)]
pub fn is_evicted(memory: &Memory, row: u32, generation: u64) -> bool {
    memory.eviction(row).is_some_and(|entry| {
        let evicted = entry.load(Relaxed);
        evicted == generation || evicted == EXPELLED
    })
}

/// Lets the next owner of an expelled row in: the last one has left it.
fn readmit(memory: &Memory, at: u32, row: &Row) {
    if let Some(entry) = memory.eviction(at) {
        if entry.load(Relaxed) == EXPELLED {
            entry.store(row.generation.load(Relaxed), Relaxed);
        }
    }
}
