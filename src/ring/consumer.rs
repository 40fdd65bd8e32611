//! The lossless reading side: polls the commit word of its own next frame, and gates.
//!
//! Layer 3, no unsafe code. A frame handed out stays intact until the consumer releases it, because
//! the producer passes no consumer's row by more than one capacity. Where the ring evicts, that is
//! no longer so, and the consumer copies first and then asks whether it was evicted meanwhile.

mod join;
mod step;

pub use super::gap::Gaps;
pub use join::renew;

use super::cursor::Cursor;
use super::gate::{is_evicted, EXPELLED};
use super::index::overtaken;
use super::losses;
use super::{Boundary, Corrupt, Start};
use crate::layout::frame::WORD;
use crate::layout::gap::Gap;
use crate::layout::lines::{ProducerState, Row, RowState, NAME_WORDS};
use crate::segment::Memory;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// A message in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Position of the payload.
    pub payload: u64,
    /// Payload bytes.
    pub len: u32,
    /// Number of the message.
    pub sequence: u64,
}

/// How a consumer joins a ring.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    /// The row it takes; its lock is held.
    pub row: u32,
    /// Where it begins, unless it goes on from the row's durable cursor.
    pub start: Start,
    /// Whether it may sleep on the data bell.
    pub may_park: bool,
    /// Process id, for display.
    pub pid: u32,
    /// The name of its durable cursor; all zero for none.
    pub name: [u64; NAME_WORDS],
    /// Whether the row already holds that cursor, and the consumer goes on from it.
    pub resumes: bool,
}

/// Why there is no next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The producer no longer waits for this consumer.
    Evicted,
    /// The stream is damaged.
    Corrupt(Corrupt),
}

/// The private state of one consumer.
#[derive(Debug)]
pub struct Consumer {
    memory: Memory,
    row: u32,
    /// Which tenure of the row is this consumer's.
    generation: u64,
    cursor: Cursor,
    named: bool,
    /// How many messages behind its durable cursor were gone when it joined.
    missed: u64,
    gaps: Gaps,
}

impl Joining {
    /// How a consumer without a durable cursor that never sleeps joins.
    pub fn at(row: u32, start: Start) -> Self {
        Self {
            row,
            start,
            may_park: false,
            pid: 0,
            name: [0; NAME_WORDS],
            resumes: false,
        }
    }
}

impl Consumer {
    /// Returns `true` if the producer no longer waits for this consumer. What was read before this returned
    /// `false` was intact when it was read (edge `evict`), unless another process wrote the consumer's row.
    #[inline(always)]
    pub fn evicted(&self) -> bool {
        edge_fence!(evict consume: Acquire);
        is_evicted(&self.memory, self.row, self.generation)
    }

    /// Returns `true` if the consumer lost its place: it was evicted, or overwritten without an eviction.
    pub fn displaced(&self) -> bool {
        self.evicted() || overtaken(&self.memory, self.position())
    }

    /// Returns `true` if the producer will wait for no later tenure of the row either.
    pub fn expelled(&self) -> bool {
        is_evicted(&self.memory, self.row, EXPELLED)
    }

    #[inline(always)]
    fn own_row(&self) -> Option<&Row> {
        self.memory.row(self.row)
    }

    /// The memory this consumer reads.
    #[inline(always)]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How many messages behind its durable cursor were gone when it joined.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many sequences behind its start did not exist, as far as it has stepped over them. Those of a gap
    /// that was overwritten before it came there are among the missed.
    pub fn skipped(&self) -> u64 {
        self.gaps.skipped
    }

    /// The last gap that it stepped over; of one in which it began, the part behind its start.
    pub fn last_gap(&self) -> Option<Gap> {
        self.gaps.last
    }

    /// The gaps that it has stepped over.
    #[inline(always)]
    pub fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// From now on a gap is an error: the form of this stream has none.
    pub fn refuse_gaps(&mut self) {
        self.gaps.refused = true;
    }

    /// The row this consumer owns.
    pub fn row(&self) -> u32 {
        self.row
    }

    /// Sequence of the next message.
    #[inline(always)]
    pub fn sequence(&self) -> u64 {
        self.cursor.sequence()
    }

    /// Where the next frame begins.
    #[inline(always)]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Moves the durable cursor here: all messages before were acknowledged, or reported as missed.
    pub fn acknowledge(&mut self) {
        if let Some(row) = self.own_row() {
            row.sequence.store(self.sequence(), Relaxed);
        }
    }

    /// Counts a loss where every process can read it. A loss that a durable cursor keeps for its next owner is
    /// counted again there.
    pub fn count_loss(&self, messages: u64) {
        losses::count(&self.memory, Some(self.row), messages);
    }

    /// Takes back a message that was just taken and not released.
    pub fn untake(&mut self, arrived: Arrived) {
        self.cursor.go_to(Boundary {
            position: arrived.payload - WORD,
            sequence: arrived.sequence,
        });
    }

    /// Goes on at a boundary that is known to be one.
    pub fn skip_to(&mut self, at: Boundary) {
        self.cursor.go_to(at);
    }

    /// Gives back everything taken so far.
    #[inline(always)]
    pub fn release(&mut self) {
        if let Some(row) = self.own_row() {
            row.sequence.store(self.sequence(), Relaxed);
            row.position
                .store(self.position(), ord!(consumed release: Release));
        }
    }

    /// How many bytes the producer is ahead, rounded up to a block. May be out of date.
    #[inline(always)]
    pub fn lag(&self) -> u64 {
        let reserve = self.memory.producer().reserve.position.load(Relaxed);
        reserve.saturating_sub(self.position())
    }

    /// Takes what lies at these positions, all of it read, out of the caches.
    pub fn flush(&self, positions: core::ops::Range<u64>) {
        self.memory.words().flush(positions);
    }

    /// What the producer says about itself. After [`ProducerState::Closed`], one more
    /// [`try_next`](Self::try_next) that finds nothing means the end (edge `producer`).
    #[inline(always)]
    pub fn producer_state(&self) -> ProducerState {
        producer_state(&self.memory)
    }

    /// Gives the row back, or leaves the durable cursor in it.
    pub fn leave(&mut self) {
        let left = if self.named {
            RowState::Away
        } else {
            RowState::Free
        };
        if let Some(row) = self.own_row() {
            row.state.store(left as u32, ord!(consumed leave: Release));
        }
    }

    /// The epoch that began since this consumer, or the last owner of its cursor, was last told.
    pub fn new_epoch(&mut self) -> Option<Epoch> {
        let row = self.own_row()?;
        let now = epoch(&self.memory);
        if row.epoch.load(Relaxed) == now.number {
            return None;
        }
        row.epoch.store(now.number, Relaxed);
        Some(now)
    }
}

/// The epoch of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Epoch {
    /// How many producers the ring has had, this one included.
    pub number: u64,
    /// Sequence of its first message.
    pub first_sequence: u64,
}

/// The latest epoch.
pub fn epoch(memory: &Memory) -> Epoch {
    let state = &memory.producer().state;
    let number = state.epoch.load(Relaxed);
    edge_fence!(producer epoch: Acquire);
    Epoch {
        number,
        first_sequence: state.since[(number % 2) as usize].load(Relaxed),
    }
}

/// The state of the producer. Everything it committed before it stored this state is visible.
#[inline(always)]
pub fn producer_state(memory: &Memory) -> ProducerState {
    let state = memory.producer().state.state.load(Relaxed);
    edge_fence!(producer state: Acquire);
    ProducerState::from_raw(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::producer::Producer;

    fn ring() -> (Memory, Producer) {
        let geometry = Geometry::new(4096, 8, 2, 0, false).unwrap();
        let memory = Memory::local(geometry.evicting_after(1));
        let producer = Producer::attach(memory.clone(), 1).unwrap();
        (memory, producer)
    }

    fn named(name: u64) -> Joining {
        Joining {
            may_park: true,
            pid: 42,
            name: [name, 0, 0, 0, 0, 0, 0, 0],
            ..Joining::at(1, Start::Oldest)
        }
    }

    #[test]
    fn a_row_says_whose_it_is_and_is_given_back() {
        let (memory, _producer) = ring();
        let row = memory.row(1).unwrap();
        for (name, left) in [(0, RowState::Free), (7, RowState::Away)] {
            let mut consumer = Consumer::attach(memory.clone(), named(name)).unwrap();
            assert_eq!(row.state.load(Relaxed), RowState::Consumer as u32);
            assert_eq!((row.pid.load(Relaxed), row.may_park.load(Relaxed)), (42, 1));
            assert_eq!(row.name[0].load(Relaxed), name);
            assert_eq!(row.epoch.load(Relaxed), 1);
            consumer.leave();
            assert_eq!(row.state.load(Relaxed), left as u32);
        }
    }

    #[test]
    fn lag_is_what_was_announced_and_not_read() {
        let (memory, mut producer) = ring();
        let mut consumer = Consumer::attach(memory.clone(), named(0)).unwrap();
        for _ in 0..10 {
            producer.try_publish(&[0; 100]).unwrap();
        }
        let announced = memory.producer().reserve.position.load(Relaxed);
        assert!(announced >= 10 * 112);
        assert_eq!(consumer.lag(), announced);
        consumer.try_next().unwrap().unwrap();
        assert_eq!(consumer.lag(), announced - 112);
        assert!(!consumer.displaced());
    }

    /// Overtaken but not evicted: another process overwrote this consumer's row.
    #[test]
    fn a_consumer_that_was_overtaken_knows_though_no_table_says_so() {
        let (memory, mut producer) = ring();
        producer.try_publish(&[1; 100]).unwrap();
        let mut consumer = Consumer::attach(memory.clone(), named(0)).unwrap();
        let (mut words, before) = ([0; 128], consumer.position());
        let reserve = &memory.producer().reserve.position;
        reserve.store(before + 4096, Relaxed);
        assert!(!consumer.displaced());
        reserve.store(before + 4096 + 1, Relaxed);
        assert!(consumer.displaced() && !consumer.evicted());
        // The frame may still be intact, or torn.
        assert_eq!(consumer.try_copy(&mut words), Err(Lost::Evicted));
        assert_eq!((consumer.position(), consumer.sequence()), (before, 0));
        reserve.store(before + 4096, Relaxed);
        assert_eq!(consumer.try_copy(&mut words).unwrap().unwrap().len, 100);
    }

    #[test]
    fn an_epoch_is_news_once() {
        let (memory, _producer) = ring();
        let mut consumer = Consumer::attach(memory.clone(), named(0)).unwrap();
        assert_eq!(consumer.new_epoch(), None);
        Producer::attach(memory, 1).unwrap();
        let epoch = consumer.new_epoch().unwrap();
        assert_eq!((epoch.number, epoch.first_sequence), (2, 0));
        assert_eq!(consumer.new_epoch(), None);
    }

    #[test]
    fn a_renewed_row_holds_nothing_but_the_cursor() {
        let (memory, _producer) = ring();
        let row = memory.row(0).unwrap();
        for cursor in [None, Some(([9; NAME_WORDS], 5, 3))] {
            for word in [&row.position, &row.sequence, &row.epoch, &row.name[1]] {
                word.store(u64::MAX, Relaxed);
            }
            row.state.store(1, Relaxed);
            renew(row, 77, cursor);
            let (name, sequence, epoch) = cursor.unwrap_or_default();
            let state = match cursor {
                None => RowState::Free,
                Some(_) => RowState::Away,
            };
            assert_eq!(row.state.load(Relaxed), state as u32);
            assert_eq!(row.generation.load(Relaxed), 77);
            assert_eq!((row.position.load(Relaxed), row.pid.load(Relaxed)), (0, 0));
            assert_eq!(row.sequence.load(Relaxed), sequence);
            assert_eq!(row.epoch.load(Relaxed), epoch);
            assert_eq!(row.name[1].load(Relaxed), name[1]);
        }
    }

    #[test]
    fn a_pad_is_stepped_over_even_where_nothing_follows_it() {
        let (memory, mut producer) = ring();
        let mut consumer = Consumer::attach(memory, named(0)).unwrap();
        let mut words = [0; 128];
        // Until only a pad fits in the lap; the claim behind it is aborted.
        for _ in 0..3 {
            producer.try_publish(&[1; 1000]).unwrap();
            consumer.try_copy(&mut words).unwrap().unwrap();
            consumer.release();
        }
        producer.try_publish(&[1; 500]).unwrap();
        consumer.try_copy(&mut words).unwrap().unwrap();
        consumer.release();
        producer.try_claim(1000).unwrap();
        assert_eq!(consumer.try_copy(&mut words), Ok(None));
        assert_eq!(consumer.position(), 4096);
        assert_eq!(consumer.try_copy(&mut words), Ok(None));
    }
}
