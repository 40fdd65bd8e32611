//! The writing side: the only place where payload visibility is decided.
//!
//! Layer 3, no unsafe code. One comparison guards the hot path: the *soft limit*, the nearest of gate,
//! announcement and end of block. Rare operations are in `room`. Everything except a claim is a batch, if
//! only of one message.

mod room;
mod skip;

pub use skip::NotSkipped;

use super::gate::{retract, Gate};
use super::recover::{index_rest, left};
use super::{Boundary, Corrupt};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::lines::{ProducerState, RowState};
use crate::segment::{is_short, Memory, Order, Words};
use crate::sync::{ord, Ordering::Relaxed};
use std::collections::VecDeque;

/// How far ahead of the next frame the producer asks for its line.
const PREFETCH: u64 = 1024;

/// Why nothing was written. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The message is larger than any may be.
    TooLarge {
        /// What the ring allows, in bytes.
        max: u32,
    },
    /// A consumer still needs the space.
    Full {
        /// Its row.
        row: u32,
    },
    /// The batch would outgrow half the ring; commit it first.
    BatchFull,
}

/// Messages written behind the end of the stream, invisible to readers until the commit word of the first
/// one, which is kept here, is stored. Made by [`Producer::batch`]. The producer's state changes only at
/// the commit, so a batch that is dropped or leaked leaves no trace.
///
/// A value, not a part of the producer: the compiler keeps it in registers, and folds a batch of one into
/// what a single publish needs.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The end of the stream, where its first frame begins.
    first: Boundary,
    /// Where its next frame begins.
    next: Boundary,
    /// A frame takes the fast path if it and the word behind it end here or before.
    soft_limit: u64,
    /// The commit word of the first frame. Meaningless while `empty`.
    word: u64,
    /// Whether nothing was written yet.
    empty: bool,
    /// Whether room was made: there may be blocks to record, and the soft limit is another.
    long: bool,
}

impl Batch {
    /// Sequence of the next message.
    #[inline(always)]
    pub fn sequence(&self) -> u64 {
        self.next.sequence
    }
}

/// A block that was entered, and whose entry is not written yet.
#[derive(Clone, Copy, Debug)]
struct Entered {
    /// Its first frame.
    at: Boundary,
    /// What [`Producer::indexed`] was before: other frames may begin there once this one is given up.
    indexed: u64,
}

/// The private state of the one producer.
#[derive(Debug)]
pub struct Producer {
    memory: Memory,
    /// Where the next frame begins.
    position: u64,
    /// Sequence of the next message.
    sequence: u64,
    /// A frame takes the fast path if it and the word behind it end here or before: no consumer needs the
    /// space, the overwriting has been announced, and the frame does not leave the block.
    soft_limit: u64,
    /// Everything up to here has been announced as overwritten.
    reserved: u64,
    /// One more than the number of the last block whose first frame is known.
    indexed: u64,
    gate: Gate,
    /// The direction in which large messages are written: for readers that wait for them, or for a stream.
    order: Order,
    /// Pending index entries: of blocks that an uncommitted batch entered, and of the block that the next
    /// message begins. A search for the newest frame must not find these yet.
    pending: VecDeque<Entered>,
}

impl Producer {
    /// Takes the stream over where the last producer left it. Call with the producer's lock held.
    ///
    /// # Errors
    /// [`Corrupt`] if the stream has no intact end.
    pub fn attach(memory: Memory, pid: u32) -> Result<Self, Corrupt> {
        let left = left(&memory)?;
        let at = left.head;
        let geometry = *memory.geometry();
        let indexed = index_rest(&memory, left.indexed, at)?;
        let state = &memory.producer().state;
        let epoch = state.epoch.load(Relaxed).wrapping_add(1);
        state.since[(epoch % 2) as usize].store(at.sequence, Relaxed);
        state.epoch.store(epoch, ord!(producer begin: Release));
        state.pid.store(pid, Relaxed);
        state.state.store(
            ProducerState::Attached as u32,
            ord!(producer attach: Release),
        );
        Ok(Self {
            position: at.position,
            sequence: at.sequence,
            // Sends the first message through the slow path, which checks everything.
            soft_limit: at.position,
            reserved: memory
                .producer()
                .reserve
                .position
                .load(Relaxed)
                .min(at.position + geometry.capacity),
            // An entry is written once a lap: its two words cannot change together.
            indexed,
            gate: Gate::new(&memory, at.position),
            order: Order::Up,
            pending: VecDeque::with_capacity(geometry.blocks() as usize + 1),
            memory,
        })
    }

    /// The memory this producer writes.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Sequence of the next message.
    #[inline(always)]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where the next frame begins.
    #[inline(always)]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many producers the ring has had, this one included.
    pub fn epoch(&self) -> u64 {
        self.memory.producer().state.epoch.load(Relaxed)
    }

    /// How often a consumer's row held an impossible position.
    pub fn violations(&self) -> u64 {
        self.gate.violations()
    }

    /// Writes and commits one message by the fast path, and returns its sequence; `None` if the slow path
    /// is needed.
    #[inline(always)]
    pub fn publish_near(&mut self, payload: &[u8]) -> Option<u64> {
        let end = self.end_near(&self.batch(), payload.len())?;
        Some(self.publish_to(payload, end))
    }

    /// Writes and commits one message for which there is room up to `end`. Returns its sequence.
    #[inline(always)]
    fn publish_to(&mut self, payload: &[u8], end: u64) -> u64 {
        if !is_short(payload.len()) {
            return self.publish_to_by_call(payload, end);
        }
        let mut batch = self.batch();
        // `stage` and `commit` with one computation of the addresses: the compiler would repeat it after
        // the copy.
        let words = self.memory.words();
        words.copy_short_in(batch.next.position + WORD, payload);
        let sequence = stage_copied(words, &mut batch, payload.len(), end);
        reveal(words, &batch);
        (self.position, self.sequence) = (batch.next.position, batch.next.sequence);
        sequence
    }

    /// Like [`publish_to`](Self::publish_to), of a payload that is copied by a call. All of it is out of
    /// line: with a call in its middle, the fast path would keep its values in memory.
    #[inline(never)]
    fn publish_to_by_call(&mut self, payload: &[u8], end: u64) -> u64 {
        let mut batch = self.batch();
        let words = self.memory.words();
        let sequence = stage(words, &mut batch, payload, end, self.order);
        reveal(words, &batch);
        (self.position, self.sequence) = (batch.next.position, batch.next.sequence);
        sequence
    }

    /// Writes and commits one message. Returns its sequence.
    #[inline(never)]
    pub fn try_publish(&mut self, payload: &[u8]) -> Result<u64, Refused> {
        let mut batch = self.batch();
        let sequence = self.try_stage(&mut batch, payload)?;
        // `commit`, in line: this is out of line already.
        self.finish(&batch);
        self.settle(batch.soft_limit);
        Ok(sequence)
    }

    /// The position of the payload of a message of `len` bytes, if the fast path has room for it.
    #[inline(always)]
    pub fn claim_near(&self, len: usize) -> Option<u64> {
        // `len` may be any number, so the length of its frame may overflow.
        if len > self.memory.geometry().max_message as usize {
            return None;
        }
        self.end_near(&self.batch(), len)?;
        Some(self.position + WORD)
    }

    /// Makes room for a message of `len` bytes. Returns the position of its payload.
    pub fn try_claim(&mut self, len: usize) -> Result<u64, Refused> {
        if let Some(payload) = self.claim_near(len) {
            return Ok(payload);
        }
        let mut batch = self.batch();
        self.try_room(&mut batch, len)?;
        self.soft_limit = self.soft_limit_at(self.position);
        Ok(self.position + WORD)
    }

    /// Makes sure that a message of `len` bytes can be added to a batch.
    #[inline(never)]
    pub fn try_room(&mut self, batch: &mut Batch, len: usize) -> Result<(), Refused> {
        self.make_room(batch, len).map(|_end| ())
    }

    /// Commits the claimed message, which lies elsewhere: these bytes, at most as many as were claimed.
    #[inline(always)]
    pub fn commit_copy(&mut self, payload: &[u8]) -> u64 {
        let end = self.position + self.memory.geometry().frame(payload.len() as u64);
        self.publish_to(payload, end)
    }

    /// Commits the claimed message with its first `len` bytes, at most what was claimed.
    #[inline(always)]
    pub fn commit_claim(&mut self, len: u32) -> u64 {
        let rest = u64::from(len) % WORD;
        if rest != 0 {
            let last = self
                .memory
                .words()
                .at(self.position + WORD + u64::from(len) - rest);
            last.store(last.load(Relaxed) & ((1 << (8 * rest)) - 1), Relaxed);
        }
        self.seal(len)
    }

    /// Begins a batch. Only one batch at a time is valid: any other commit meanwhile discards it.
    #[inline(always)]
    pub fn batch(&self) -> Batch {
        let end = Boundary {
            position: self.position,
            sequence: self.sequence,
        };
        Batch {
            first: end,
            next: end,
            soft_limit: self.soft_limit,
            word: 0,
            empty: true,
            long: false,
        }
    }

    /// Adds a message to a batch by the fast path, and returns its sequence; `None` if the slow path is
    /// needed.
    #[inline(always)]
    pub fn stage_near(&self, batch: &mut Batch, payload: &[u8]) -> Option<u64> {
        let end = self.end_near(batch, payload.len())?;
        Some(stage(self.memory.words(), batch, payload, end, self.order))
    }

    /// Adds a message to a batch. Returns its sequence.
    #[inline(always)]
    pub fn try_stage(&mut self, batch: &mut Batch, payload: &[u8]) -> Result<u64, Refused> {
        let end = match self.end_near(batch, payload.len()) {
            Some(end) => end,
            None => self.make_room(batch, payload.len())?,
        };
        let sequence = stage(self.memory.words(), batch, payload, end, self.order);
        if batch.long {
            // The block that it reaches into is entered now, not only by the next message.
            self.enter(batch);
            batch.soft_limit = self.soft_limit_at(end);
        }
        Ok(sequence)
    }

    /// The end of a message of `len` bytes, which are in memory, if it takes the fast path. A message
    /// within a block is never too large.
    #[inline(always)]
    fn end_near(&self, batch: &Batch, len: usize) -> Option<u64> {
        let end = batch.next.position + self.memory.geometry().frame(len as u64);
        (end + WORD <= batch.soft_limit).then_some(end)
    }

    /// Makes a batch visible at once. Returns how many messages it has.
    #[inline(always)]
    pub fn commit(&mut self, batch: &Batch) -> u64 {
        if batch.empty {
            return 0;
        }
        self.finish(batch);
        if batch.long {
            self.settle_slowly(batch.soft_limit);
        }
        batch.next.sequence.wrapping_sub(batch.first.sequence)
    }

    #[inline(always)]
    fn finish(&mut self, batch: &Batch) {
        reveal(self.memory.words(), batch);
        (self.position, self.sequence) = (batch.next.position, batch.next.sequence);
    }

    #[cold]
    #[inline(never)]
    fn settle_slowly(&mut self, soft_limit: u64) {
        self.settle(soft_limit);
    }

    /// Keeps the state computed when room was made, now that the messages are committed.
    #[inline(always)]
    fn settle(&mut self, soft_limit: u64) {
        self.soft_limit = soft_limit;
        self.record_before(self.position);
    }

    /// Commits the frame whose payload lies in place.
    #[inline(always)]
    fn seal(&mut self, len: u32) -> u64 {
        let (at, sequence) = (self.position, self.sequence);
        self.advance(len);
        let word = CommitWord::message(len, sequence);
        self.memory
            .words()
            .at(at)
            .store(word.raw(), ord!(publish claim: Release));
        sequence
    }

    /// Moves behind the frame at the current position, and makes sure that stale bytes there do not pass
    /// for the next frame.
    #[inline(always)]
    fn advance(&mut self, len: u32) {
        self.position += self.memory.geometry().frame(u64::from(len));
        self.sequence = self.sequence.wrapping_add(1);
        disarm(self.memory.words(), self.position, self.sequence);
    }

    /// Takes a row away from its owner. Call with the row's lock held, so that the owner is dead. A
    /// durable cursor stays where it is, for its next owner. An observer has none, even if the row still
    /// holds the name of one that was forgotten.
    pub fn retire(&mut self, row: u32) {
        if let Some(row) = self.memory.row(row) {
            let state = RowState::from_raw(row.state.load(Relaxed));
            let left = match (state, row.name[0].load(Relaxed)) {
                (RowState::Consumer, 1..) => RowState::Away,
                (RowState::Away, _) => return,
                _ => RowState::Free,
            };
            // Only this producer reads the row before the next owner takes its lock.
            row.state.store(left as u32, Relaxed);
        }
    }

    /// No longer waits for the live owner of a row; see [`Gate::evict`].
    pub fn evict(&mut self, row: u32) {
        self.gate.evict(&self.memory, row, self.position);
    }

    /// How often the time that the producer waits for a row was halved.
    pub fn patience(&self, row: u32) -> u32 {
        self.gate.patience(row, self.position)
    }

    /// Stores how this producer ended: it closed the ring, or left it open.
    pub fn leave(&mut self, closed: bool) {
        self.record_before(self.position);
        retract(&self.memory, self.position);
        let state = if closed {
            ProducerState::Closed
        } else {
            ProducerState::Absent
        };
        self.memory
            .producer()
            .state
            .state
            .store(state as u32, ord!(producer leave: Release));
    }
}

/// Writes a message for which there is room up to `end`, and the word behind it.
#[inline(always)]
fn stage(words: Words<'_>, batch: &mut Batch, payload: &[u8], end: u64, order: Order) -> u64 {
    words.copy_in(batch.next.position + WORD, payload, order);
    stage_copied(words, batch, payload.len(), end)
}

/// Like [`stage`], of a message of `len` bytes whose payload is written.
#[inline(always)]
fn stage_copied(words: Words<'_>, batch: &mut Batch, len: usize, end: u64) -> u64 {
    let at = batch.next;
    let next = at.sequence.wrapping_add(1);
    disarm(words, end, next);
    let word = CommitWord::message(len as u32, at.sequence);
    if batch.empty {
        (batch.word, batch.empty) = (word.raw(), false);
    } else {
        words.at(at.position).store(word.raw(), Relaxed);
    }
    words.prefetch_for_write(end + PREFETCH);
    batch.next = Boundary {
        position: end,
        sequence: next,
    };
    at.sequence
}

/// The one store that makes everything in a batch visible.
#[inline(always)]
fn reveal(words: Words<'_>, batch: &Batch) {
    words
        .at(batch.first.position)
        .store(batch.word, ord!(publish commit: Release));
}

/// Makes sure that what lies at `position` does not pass for the frame with `sequence`, which will
/// begin there.
///
/// The stale bytes may be any old payload, and a payload can look like a commit word. Checking costs a load
/// that hits the producer's own cache; clearing always would cost the line.
#[inline(always)]
fn disarm(words: Words<'_>, position: u64, sequence: u64) {
    let next = words.at(position);
    if CommitWord::from_raw(next.load(Relaxed)).carries(sequence) {
        next.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;

    #[test]
    fn most_messages_go_the_short_way() {
        let geometry = Geometry::new(1 << 16, 8, 1, 0, false).unwrap();
        let mut producer = Producer::attach(Memory::local(geometry), 1).unwrap();
        let (mut short, mut long) = (0, 0);
        for _ in 0..10_000 {
            if producer.publish_near(&[0; 56]).is_some() {
                short += 1;
            } else {
                producer.try_publish(&[0; 56]).unwrap();
                long += 1;
            }
        }
        // One in each block of 64 frames, and what looks at the rows adds.
        assert!(long * 40 < short, "{short} short, {long} long");
    }

    /// The name of a cursor that was forgotten stays in its row, which an observer may take and die in.
    #[test]
    fn only_a_consumer_leaves_a_cursor() {
        let geometry = Geometry::new(4096, 8, 4, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        for (name, before, after) in [
            (0, RowState::Consumer, RowState::Free),
            (7, RowState::Consumer, RowState::Away),
            (7, RowState::Observer, RowState::Free),
            (7, RowState::Away, RowState::Away),
            (7, RowState::Free, RowState::Free),
        ] {
            let row = memory.row(1).unwrap();
            row.name[0].store(name, Relaxed);
            row.state.store(before as u32, Relaxed);
            producer.retire(1);
            let found = RowState::from_raw(row.state.load(Relaxed));
            assert_eq!(found, after, "{before:?} with name {name}");
        }
    }

    #[test]
    fn the_rest_of_a_claimed_word_is_zero() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        for len in [1, 7, 8, 9, 16] {
            let at = producer.try_claim(16).unwrap();
            for word in [at, at + 8] {
                memory.words().at(word).store(u64::MAX, Relaxed);
            }
            producer.commit_claim(len);
            let mut words = [0u64; 2];
            memory.words().copy_out(at, &mut words);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let (len, padded) = (len as usize, (len as usize).next_multiple_of(8));
            assert!(bytes[..len].iter().all(|byte| *byte == 255));
            assert!(
                bytes[len..padded].iter().all(|byte| *byte == 0),
                "{len}: {bytes:?}"
            );
        }
    }
}
