//! The writing side: the only place where payload visibility is decided.
//!
//! Layer 3, no unsafe code. One comparison guards the hot path: the *soft limit*, the nearest of
//! gate, end of block and end of lap. Everything that happens rarely (looking at the rows,
//! announcing what will be overwritten, the index, padding a lap) happens in `make_room`.

use super::gate::Gate;
use super::index::record;
use super::recover::left;
use super::{Boundary, Corrupt};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::lines::{ProducerState, RowState};
use crate::segment::{Memory, Words};
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

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

/// Frames written but not yet visible: everything hangs on the first one's commit word.
#[derive(Debug)]
struct Staged {
    /// That word; 0, which is no frame's, where nothing is staged.
    word: u64,
    /// Where it belongs. Meaningless where nothing is staged.
    first: Boundary,
}

impl Staged {
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.word == 0
    }
}

/// The private state of the one producer.
#[derive(Debug)]
pub struct Producer {
    memory: Memory,
    /// Where the next frame begins.
    position: u64,
    /// Sequence of the next message.
    sequence: u64,
    /// A frame, and the word behind it, that end here or before go the short way.
    soft_limit: u64,
    /// Everything up to here has been announced as overwritten.
    reserved: u64,
    /// One more than the number of the last block whose first frame is known.
    indexed: u64,
    gate: Gate,
    staged: Staged,
    /// Index entries of blocks entered by the staged batch; recorded once it is committed.
    pending: Vec<Boundary>,
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
        let state = &memory.producer().state;
        let epoch = state.epoch.load(Relaxed).wrapping_add(1);
        state.since[(epoch % 2) as usize].store(at.sequence, Relaxed);
        state.epoch.store(epoch, ord!(E7: Release));
        state.pid.store(pid, Relaxed);
        state
            .state
            .store(ProducerState::Attached as u32, ord!(E7: Release));
        Ok(Self {
            position: at.position,
            sequence: at.sequence,
            // Sends the first message the long way, which looks at everything.
            soft_limit: at.position,
            reserved: memory
                .producer()
                .reserve
                .position
                .load(Relaxed)
                .min(at.position + geometry.capacity),
            // An entry is written once a lap: its two words cannot change together.
            indexed: geometry.block_of(left.indexed.position) + 1,
            gate: Gate::new(&memory, at.position),
            staged: Staged { word: 0, first: at },
            pending: Vec::with_capacity(geometry.blocks() as usize + 1),
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

    /// How often a consumer's row said something it may not say.
    pub fn violations(&self) -> u64 {
        self.gate.violations()
    }

    /// Writes and commits one message, if that goes the short way; its sequence.
    #[inline(always)]
    pub fn publish_near(&mut self, payload: &[u8]) -> Option<u64> {
        self.fits(payload.len()).then(|| self.write(payload))
    }

    /// Writes and commits one message; its sequence on success.
    pub fn try_publish(&mut self, payload: &[u8]) -> Result<u64, Refused> {
        self.room(payload.len())?;
        Ok(self.write(payload))
    }

    /// Writes and commits a message for which there is room. Works on copies of the fields: the
    /// stores to shared memory would make the compiler read each of them again.
    #[inline(always)]
    fn write(&mut self, payload: &[u8]) -> u64 {
        let (at, sequence) = (self.position, self.sequence);
        let len = payload.len() as u32;
        let end = at + self.memory.geometry().frame(u64::from(len));
        let words = self.memory.words();
        words.copy_in(at + WORD, payload);
        let next = sequence.wrapping_add(1);
        disarm(words, end, next);
        let word = CommitWord::message(len, sequence);
        words.at(at).store(word.raw(), ord!(E1: Release));
        words.prefetch_for_write(end + PREFETCH);
        (self.position, self.sequence) = (end, next);
        sequence
    }

    /// The position of the payload of a message of `len` bytes, if there is room the short way.
    #[inline(always)]
    pub fn claim_near(&self, len: usize) -> Option<u64> {
        self.fits(len).then_some(self.position + WORD)
    }

    /// Makes room for a message of `len` bytes; the position of its payload.
    pub fn try_claim(&mut self, len: usize) -> Result<u64, Refused> {
        self.room(len)?;
        Ok(self.position + WORD)
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

    /// Writes one message behind those already staged, visible to nobody, if that goes the short way.
    #[inline(always)]
    pub fn stage_near(&mut self, payload: &[u8]) -> Option<u64> {
        self.fits(payload.len()).then(|| self.stage(payload))
    }

    /// Writes one message behind those already staged, visible to nobody.
    pub fn try_stage(&mut self, payload: &[u8]) -> Result<u64, Refused> {
        self.room(payload.len())?;
        Ok(self.stage(payload))
    }

    #[inline(always)]
    fn stage(&mut self, payload: &[u8]) -> u64 {
        let len = payload.len() as u32;
        let at = Boundary {
            position: self.position,
            sequence: self.sequence,
        };
        let end = at.position + self.memory.geometry().frame(u64::from(len));
        let next = at.sequence.wrapping_add(1);
        let words = self.memory.words();
        words.copy_in(at.position + WORD, payload);
        disarm(words, end, next);
        let word = CommitWord::message(len, at.sequence);
        if self.staged.is_empty() {
            self.staged.word = word.raw();
            self.staged.first = at;
        } else {
            words.at(at.position).store(word.raw(), Relaxed);
        }
        words.prefetch_for_write(end + PREFETCH);
        (self.position, self.sequence) = (end, next);
        at.sequence
    }

    /// Makes everything staged visible at once; how many messages that were.
    #[inline(always)]
    pub fn commit_staged(&mut self) -> u64 {
        if self.staged.is_empty() {
            return 0;
        }
        let first = self.staged.first;
        self.memory
            .words()
            .at(first.position)
            .store(self.staged.word, ord!(E1: Release));
        self.staged.word = 0;
        if !self.pending.is_empty() {
            self.record_pending();
        }
        self.sequence.wrapping_sub(first.sequence)
    }

    /// Forgets everything staged, as if it had never been written.
    pub fn abort_staged(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        let first = self.staged.first;
        (self.position, self.sequence) = (first.position, first.sequence);
        self.staged.word = 0;
        self.soft_limit = self.position;
        // The block of the first frame had its entry before anything was staged.
        if let Some(entered) = self.pending.first() {
            self.indexed = self.memory.geometry().block_of(entered.position);
            self.pending.clear();
        }
    }

    #[cold]
    fn record_pending(&mut self) {
        for at in 0..self.pending.len() {
            record(&self.memory, self.pending[at]);
        }
        self.pending.clear();
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
            .store(word.raw(), ord!(E1: Release));
        sequence
    }

    /// Moves behind the frame at the current position and makes its successor unmistakable.
    #[inline(always)]
    fn advance(&mut self, len: u32) {
        self.position += self.memory.geometry().frame(u64::from(len));
        self.sequence = self.sequence.wrapping_add(1);
        disarm(self.memory.words(), self.position, self.sequence);
    }

    /// Whether a message of `len` bytes goes the short way. The soft limit can lie as far ahead as
    /// the largest frame (behind an aborted claim), so it does not imply that the length is allowed.
    #[inline(always)]
    fn fits(&self, len: usize) -> bool {
        let geometry = self.memory.geometry();
        let end = self.position + geometry.frame(len as u64);
        end + WORD <= self.soft_limit && len <= geometry.max_message as usize
    }

    /// Makes sure that a message of `len` bytes can be written at the current position.
    #[inline(always)]
    fn room(&mut self, len: usize) -> Result<(), Refused> {
        if self.fits(len) {
            Ok(())
        } else {
            self.make_room(len)
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, len: usize) -> Result<(), Refused> {
        let geometry = *self.memory.geometry();
        let max = geometry.max_message;
        if len as u64 > u64::from(max) {
            return Err(Refused::TooLarge { max });
        }
        let frame = geometry.frame(len as u64);
        let lap_end = geometry.lap_end(self.position);
        let wraps = self.position + frame + WORD > lap_end;
        let start = if wraps { lap_end } else { self.position };
        let need = start + frame + WORD;
        // Keeps the newest index entry intact, whatever happens to this process.
        if !self.staged.is_empty() && need - self.staged.first.position > geometry.capacity / 2 {
            return Err(Refused::BatchFull);
        }
        // Before anything more is announced as overwritten, so that at every instant an indexed
        // frame is intact. The block was announced when the frame before secured the word here.
        self.index_here();
        self.secure(need)?;
        if wraps {
            self.pad(lap_end);
            self.index_here();
        }
        // Exactly this frame where it leaves the block, so that the next one comes here again and
        // the block it begins in gets its entry.
        let block_end = (geometry.block_of(self.position) + 1) * geometry.block;
        self.soft_limit = need
            .max(block_end)
            .min(self.gate.limit())
            .min(self.reserved);
        Ok(())
    }

    /// Makes sure that every byte before `need` may be overwritten, and that observers know.
    fn secure(&mut self, need: u64) -> Result<(), Refused> {
        if need > self.gate.limit() {
            let head = if self.staged.is_empty() {
                self.position
            } else {
                self.staged.first.position
            };
            self.gate
                .look(&self.memory, need, head)
                .map_err(|row| Refused::Full { row })?;
        }
        if need > self.reserved {
            let block = self.memory.geometry().block;
            // Never past the gate, so that to a consumer too a byte that is announced is lost.
            self.reserved = ((need + block - 1) & !(block - 1)).min(self.gate.limit());
            self.memory
                .producer()
                .reserve
                .position
                .store(self.reserved, Relaxed);
            edge_fence!(E2 reserve: Release);
        }
        Ok(())
    }

    /// Records the current position if it is the first frame of its block; behind an uncommitted
    /// batch only once that is committed.
    fn index_here(&mut self) {
        let block = self.memory.geometry().block_of(self.position);
        if block < self.indexed {
            return;
        }
        let here = Boundary {
            position: self.position,
            sequence: self.sequence,
        };
        self.indexed = block + 1;
        if self.staged.is_empty() {
            record(&self.memory, here);
        } else {
            self.pending.push(here);
        }
    }

    /// Fills the rest of the lap.
    fn pad(&mut self, lap_end: u64) {
        let at = self.position;
        let word = CommitWord::pad(lap_end - at, self.sequence);
        self.position = lap_end;
        disarm(self.memory.words(), lap_end, self.sequence);
        let order = if self.staged.is_empty() {
            ord!(E1: Release)
        } else {
            Relaxed
        };
        self.memory.words().at(at).store(word.raw(), order);
    }

    /// Takes a row away from its owner. Call with the row's lock held, so that the owner is dead. A
    /// durable cursor stays where it is, for its next owner.
    pub fn retire(&mut self, row: u32) {
        if let Some(row) = self.memory.row(row) {
            let left = match row.name[0].load(Relaxed) {
                0 => RowState::Free,
                _ => RowState::Away,
            };
            row.state.store(left as u32, ord!(E4: Release));
        }
    }

    /// No longer waits for the owner of a row, who is alive; see [`Gate::evict`].
    pub fn evict(&mut self, row: u32) {
        self.gate.evict(&self.memory, row, self.position);
    }

    /// By how many halvings the producer's patience with a row has shrunk.
    pub fn patience(&self, row: u32) -> u32 {
        self.gate.patience(row, self.position)
    }

    /// Says what became of this producer: it closed the ring, or left it open.
    pub fn leave(&mut self, closed: bool) {
        self.abort_staged();
        let state = if closed {
            ProducerState::Closed
        } else {
            ProducerState::Absent
        };
        self.memory
            .producer()
            .state
            .state
            .store(state as u32, ord!(E7: Release));
    }
}

/// Makes sure that what lies at `position` does not pass for the frame with `sequence`, which will
/// begin there.
///
/// Stale bytes there may be any old payload, and a payload can spell a commit word. Checking costs a
/// load that hits the producer's own cache; clearing always would cost the line.
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

    /// Payload lengths that end at, before and behind every kind of boundary, in no pattern.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..2000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize)
    }

    /// Announced is what may be touched, to the end of its block and never further; and every block
    /// of the last lap that a frame begins in has the first such frame for its entry.
    #[test]
    fn announcements_and_entries_are_exact() {
        for align in [8, 64] {
            let geometry = Geometry::new(4096, align, 1, 0, false).unwrap();
            let memory = Memory::local(geometry);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            let mut first = vec![None; geometry.blocks() as usize];
            let mut last_block = None;
            for len in lengths() {
                let before = producer.position();
                let sequence = producer.try_publish(&vec![7; len]).unwrap();
                let end = producer.position();
                let start = end - geometry.frame(len as u64);
                // A pad, where there is one, begins in a block too.
                for (position, sequence) in [(before, sequence), (start, sequence)] {
                    let block = geometry.block_of(position);
                    if last_block < Some(block) {
                        first[(block % geometry.blocks()) as usize] = Some((position, sequence));
                        last_block = Some(block);
                    }
                }
                let announced = memory.producer().reserve.position.load(Relaxed);
                let needed = (end + WORD).next_multiple_of(geometry.block);
                assert!(announced >= end + WORD);
                assert!(
                    announced <= needed.max(end + geometry.block),
                    "{announced} for {end}"
                );
                for (block, expected) in first.iter().enumerate() {
                    let entry = memory.index_entry(block as u64);
                    let found = (entry.position.load(Relaxed), entry.sequence.load(Relaxed));
                    assert_eq!(found, expected.unwrap_or((0, 0)), "block {block}");
                }
            }
        }
    }

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
        // Two in each block of 64 frames, and what looks at the rows and the end of a lap add.
        assert!(long * 20 < short, "{short} short, {long} long");
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

    #[test]
    fn a_batch_of_half_a_ring_is_the_largest() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let mut producer = Producer::attach(Memory::local(geometry), 1).unwrap();
        // The word behind the last frame counts: 2048 bytes are 2040 of frames.
        for _ in 0..254 {
            producer.try_stage(&[]).unwrap();
        }
        producer.try_stage(&[]).unwrap();
        assert_eq!(producer.try_stage(&[]), Err(Refused::BatchFull));
        assert_eq!(producer.commit_staged(), 255);
    }
}
