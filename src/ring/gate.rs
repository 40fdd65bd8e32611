//! The gate: how far the producer may write before it would overwrite what a consumer still needs.
//!
//! Layer 3, no unsafe code. The producer keeps the lowest consumer position privately and looks at the rows
//! only when it runs into it. Values in rows are clamped against private copies, never trusted. A row that
//! held the gate shut for too long is evicted: its generation is entered in a table that only the producer
//! can write, and from then on the producer no longer waits for it. A look also finds out whether all
//! consumers keep up.

use crate::layout::frame::WORD;
use crate::layout::lines::{Row, RowState};
use crate::segment::Memory;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// The value in the eviction table that stands for every generation of a row: its owner was evicted so
/// often that it has to leave the row and take another.
pub const EXPELLED: u64 = u64::MAX;

/// After how many evictions in quick succession a row is expelled.
const STRIKES: u32 = 16;
/// "In quick succession" means within this many laps of each other.
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
    /// How many looks in a row found that every consumer had read everything, except for what it may not
    /// have released yet: twice as much as is to be written.
    level: u32,
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
    /// The strikes are reset once the producer reaches this position.
    forgiven_at: u64,
}

impl Gate {
    /// A gate that has looked at nothing yet, for a producer that begins at `head`. Allocates once.
    ///
    /// What the last producer published beyond `head` is taken back: it writes no more, and this one looks
    /// at the rows before it makes room for anything.
    pub fn new(memory: &Memory, head: u64) -> Self {
        let fresh = Shadow {
            generation: 0,
            position: 0,
            strikes: 0,
            forgiven_at: 0,
        };
        Self {
            limit: 0,
            published: retract(memory, head),
            floor: head.saturating_sub(memory.geometry().capacity),
            level: 0,
            shadows: vec![fresh; memory.geometry().rows as usize],
            violations: 0,
        }
    }

    /// Position the producer may write up to.
    #[inline(always)]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns `true` if there seem to be consumers that wait for each message. A hint: a reader that keeps
    /// up with a stream sometimes looks the same, but rarely twice in a row.
    #[inline(always)]
    pub fn is_awaited(&self) -> bool {
        self.level >= 2
    }

    /// How often a row held an impossible position.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Looks at every row, for room up to `need`; everything before `head` is committed.
    ///
    /// The error is the row that holds the gate shut.
    ///
    /// Attaching has no window: the producer publishes its new limit, full fence, then looks; a consumer
    /// takes its row, full fence, then reads the limit (edge `gate`). The second of the two sees the other.
    /// A consumer that this look misses therefore read the limit published here, or a later one, and starts
    /// no more than one capacity before it; the next look, which finds it, must not accept a lower
    /// position.
    ///
    /// A look that finds less room than it published takes the rest back, so that no consumer gives up
    /// messages which the producer cannot overwrite. That needs no fence: until the next look, which
    /// publishes again and fences again, the producer stays before the limit that it found.
    #[cold]
    pub fn look(&mut self, memory: &Memory, need: u64, head: u64) -> Result<(), u32> {
        let capacity = memory.geometry().capacity;
        // Small steps, so that an attaching reader finds most of the ring still there.
        let wanted = need.max(head + capacity / 8);
        if wanted > self.published {
            memory.producer().limit.position.store(wanted, Relaxed);
            self.published = wanted;
        }
        edge_fence!(gate look: SeqCst);
        let mut lowest = u64::MAX;
        let mut holder = 0;
        for at in 0..memory.geometry().rows {
            let (Some(row), Some(shadow)) = (memory.row(at), self.shadows.get_mut(at as usize))
            else {
                break;
            };
            if RowState::from_raw(row.state.load(ord!(consumed state: Acquire)))
                != RowState::Consumer
            {
                readmit(memory, at, row);
                continue;
            }
            let generation = row.generation.load(ord!(row tenure: Acquire));
            if shadow.generation != generation {
                shadow.generation = generation;
                shadow.position = self.floor;
            }
            if is_evicted(memory, at, generation) {
                continue;
            }
            let said = row.position.load(ord!(consumed position: Acquire));
            let believed = said.clamp(shadow.position, head.max(shadow.position));
            self.violations += u64::from(said > believed);
            shadow.position = believed;
            if believed < lowest {
                (lowest, holder) = (believed, at);
            }
        }
        self.limit = self.published.min(lowest.saturating_add(capacity));
        if self.limit < self.published {
            self.published = self.limit;
            memory.producer().limit.position.store(self.limit, Relaxed);
        }
        self.floor = self.limit.saturating_sub(capacity);
        let level = head.saturating_sub(lowest) <= 2 * need.saturating_sub(head);
        self.level = if level && lowest != u64::MAX {
            self.level.saturating_add(1)
        } else {
            0
        };
        if need > self.limit {
            Err(holder)
        } else {
            Ok(())
        }
    }

    /// No longer waits for the owner of a row, as the last look found it. Everything this producer
    /// overwrites from now on, it overwrites after the owner can know (edge `evict`).
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
        let expels = shadow.strikes > STRIKES;
        let evicted = if expels { EXPELLED } else { shadow.generation };
        let state = &memory.producer().state;
        for (word, more) in [
            (&state.evictions, 1),
            (&state.expulsions, u64::from(expels)),
        ] {
            word.store(word.load(Relaxed).wrapping_add(more), Relaxed);
        }
        // Nothing can be overwritten because of this before another look, whose fence lies between the two
        // (edge `evict`).
        entry.store(evicted, Relaxed);
    }

    /// How often the time that the producer waits for a row was halved.
    pub fn patience(&self, row: u32, head: u64) -> u32 {
        match self.shadows.get(row as usize) {
            Some(shadow) if head < shadow.forgiven_at => shadow.strikes,
            _ => 0,
        }
    }
}

/// Publishes that nothing is written behind the word at `head` and the announced end. For a producer that
/// leaves, or has not begun. Returns the new limit.
pub fn retract(memory: &Memory, head: u64) -> u64 {
    let page = memory.producer();
    // A claim that was given up may have been written.
    let limit = page.reserve.position.load(Relaxed).max(head + WORD);
    page.limit.position.store(limit, Relaxed);
    limit
}

/// Returns `true` if the producer no longer waits for this generation of a row. Without ordering of its
/// own.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::consumer::{Consumer, Joining};
    use crate::ring::producer::{Producer, Refused};
    use crate::ring::Start;

    const CAPACITY: u64 = 4096;

    fn memory() -> Memory {
        let geometry = Geometry::new(CAPACITY, 8, 2, 0, false).unwrap();
        Memory::local(geometry.evicting_after(1))
    }

    fn consumer(memory: &Memory) -> Consumer {
        Consumer::attach(memory.clone(), Joining::at(1, Start::Oldest)).unwrap()
    }

    /// Evictions and expulsions, as every process can read them.
    fn counted(memory: &Memory) -> (u64, u64) {
        let state = &memory.producer().state;
        (
            state.evictions.load(Relaxed),
            state.expulsions.load(Relaxed),
        )
    }

    #[test]
    fn a_look_that_nobody_holds_back_goes_an_eighth_of_the_ring_ahead() {
        let memory = memory();
        let mut gate = Gate::new(&memory, 0);
        gate.look(&memory, 100, 0).unwrap();
        // The limit that the last producer may have published applies.
        let published = memory.producer().limit.position.load(Relaxed);
        assert_eq!((gate.limit(), published), (CAPACITY / 8, CAPACITY / 8));
        gate.look(&memory, 1000, 0).unwrap();
        assert_eq!(gate.limit(), 1000);
        gate.look(&memory, 1001, 600).unwrap();
        assert_eq!(gate.limit(), 600 + CAPACITY / 8);
    }

    #[test]
    fn a_row_that_is_seen_for_the_first_time_holds_back_no_more_than_a_lap() {
        let memory = memory();
        let mut gate = Gate::new(&memory, 0);
        let head = 2 * CAPACITY;
        gate.look(&memory, head, head).unwrap();
        // The position is lower than any at which a consumer can begin.
        let row = memory.row(1).unwrap();
        row.state.store(RowState::Consumer as u32, Relaxed);
        row.generation.store(7, Relaxed);
        gate.look(&memory, gate.limit(), head).unwrap();
        assert_eq!(gate.look(&memory, gate.limit() + 1, head), Err(1));
    }

    #[test]
    fn a_producer_that_leaves_keeps_the_word_behind_the_end() {
        let memory = memory();
        assert_eq!(retract(&memory, 64), 64 + WORD);
        memory.producer().reserve.position.store(512, Relaxed);
        assert_eq!(retract(&memory, 64), 512);
        assert_eq!(memory.producer().limit.position.load(Relaxed), 512);
    }

    #[test]
    fn the_lowest_row_holds_the_gate_and_impossible_ones_are_counted() {
        let memory = memory();
        let _consumer = consumer(&memory);
        let row = memory.row(1).unwrap();
        let mut gate = Gate::new(&memory, 0);
        assert_eq!(gate.look(&memory, CAPACITY + 8, 64), Err(1));
        assert_eq!((gate.limit(), gate.violations()), (CAPACITY, 0));
        row.position.store(64, Relaxed);
        assert_eq!(gate.look(&memory, CAPACITY + 8, 64), Ok(()));
        assert_eq!(gate.violations(), 0);
        // Ahead of the producer: ignored and counted, each time.
        for count in 1..=3 {
            row.position.store(72, Relaxed);
            assert_eq!(gate.look(&memory, CAPACITY + 72, 64), Err(1));
            assert_eq!(gate.violations(), count);
        }
        // Behind its earlier position: ignored too.
        row.position.store(0, Relaxed);
        assert_eq!(gate.look(&memory, CAPACITY + 64, 64), Ok(()));
        assert_eq!(gate.violations(), 3);
    }

    #[test]
    fn patience_shrinks_with_each_eviction_and_comes_back() {
        let memory = memory();
        let mut consumer = consumer(&memory);
        let mut gate = Gate::new(&memory, 0);
        let _ = gate.look(&memory, CAPACITY + 8, 0);
        assert_eq!(gate.patience(1, 0), 0);
        for strikes in 1..=STRIKES {
            gate.evict(&memory, 1, 0);
            assert_eq!(gate.patience(1, 0), strikes);
            assert_eq!(counted(&memory), (u64::from(strikes), 0));
            assert!(consumer.evicted() && !consumer.expelled());
            consumer.rejoin().unwrap();
            assert!(!consumer.evicted());
            let _ = gate.look(&memory, CAPACITY + 8, 0);
        }
        let forgiven = FORGIVEN_AFTER * CAPACITY;
        assert_eq!(gate.patience(1, forgiven - 1), STRIKES);
        assert_eq!(gate.patience(1, forgiven), 0);
        // The last strike within the time expels the row.
        gate.evict(&memory, 1, forgiven - 1);
        assert!(consumer.expelled());
        let all = u64::from(STRIKES) + 1;
        assert_eq!(counted(&memory), (all, 1));
        assert_eq!(gate.look(&memory, CAPACITY + 8, forgiven - 1), Ok(()));
        // Once it has left, the next owner of the row is let in.
        consumer.leave();
        gate.look(&memory, CAPACITY + 8, forgiven - 1).unwrap();
        assert!(!consumer.expelled());
        // The next producer goes on counting.
        let mut next = Gate::new(&memory, forgiven);
        next.evict(&memory, 1, forgiven);
        assert_eq!(counted(&memory), (all + 1, 1));
    }

    #[test]
    fn strikes_are_forgiven_in_time() {
        let memory = memory();
        let mut consumer = consumer(&memory);
        let mut gate = Gate::new(&memory, 0);
        let mut head = 0;
        for _ in 0..3 * STRIKES {
            let _ = gate.look(&memory, head + CAPACITY + 8, head);
            gate.evict(&memory, 1, head);
            assert_eq!(gate.patience(1, head), 1);
            head += FORGIVEN_AFTER * CAPACITY;
            consumer.rejoin().unwrap();
        }
        assert!(!consumer.expelled());
    }

    #[test]
    fn messages_are_awaited_while_every_consumer_keeps_up() {
        let memory = memory();
        let mut gate = Gate::new(&memory, 0);
        for head in [0, 64, 128] {
            gate.look(&memory, head + 64, head).unwrap();
            assert!(!gate.is_awaited(), "no consumer is there");
        }
        let _consumers = [consumer(&memory), consumer(&memory)];
        // Where the consumers are, the message before the last being the least they may have given back.
        for (rows, awaited) in [
            ([256, 256], false),
            ([256, 256], true),
            ([256, 128], true),
            ([256, 120], false),
            ([256, 256], false),
            ([128, 128], true),
        ] {
            for (row, position) in rows.into_iter().enumerate() {
                memory
                    .row(row as u32)
                    .unwrap()
                    .position
                    .store(position, Relaxed);
                // Not compared with its earlier position.
                gate.shadows[row].position = 0;
            }
            gate.look(&memory, 320, 256).unwrap();
            assert_eq!(gate.is_awaited(), awaited, "{rows:?}");
        }
    }

    #[test]
    fn an_entry_of_somebody_else_is_left_alone() {
        let memory = memory();
        let entry = memory.eviction(0).unwrap();
        entry.store(7, Relaxed);
        Gate::new(&memory, 0).look(&memory, 8, 0).unwrap();
        assert_eq!(entry.load(Relaxed), 7);
    }

    #[test]
    fn a_row_taken_from_a_dead_owner_no_longer_gates() {
        let memory = memory();
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let _consumer = consumer(&memory);
        let full = loop {
            match producer.try_publish(&[0; 100]) {
                Ok(_) => {}
                Err(refused) => break refused,
            }
        };
        assert_eq!(full, Refused::Full { row: 1 });
        assert_eq!((producer.patience(1), producer.violations()), (0, 0));
        producer.evict(1);
        assert_eq!(producer.patience(1), 1);
        producer.try_publish(&[0; 100]).unwrap();
        memory.row(1).unwrap().generation.store(99, Relaxed);
        memory.row(1).unwrap().position.store(1 << 40, Relaxed);
        for _ in 0..100 {
            producer.try_publish(&[0; 100]).unwrap();
        }
        assert!(producer.violations() > 0);
        producer.retire(1);
        producer.try_publish(&[0; 100]).unwrap();
    }
}
