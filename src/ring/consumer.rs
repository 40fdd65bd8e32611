//! The lossless reading side: polls the commit word of its own next frame, and gates.
//!
//! Layer 3, no unsafe code. A frame handed out stays intact until the consumer releases it, because
//! the producer passes no consumer's row by more than one capacity.

use super::index::{place, Nowhere};
use super::{Boundary, Corrupt, Frame, Start};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::lines::{ProducerState, Row, RowState};
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

/// The private state of one consumer.
#[derive(Debug)]
pub struct Consumer {
    memory: Memory,
    row: u32,
    /// Where the next frame begins.
    position: u64,
    /// Sequence of the next message.
    sequence: u64,
}

impl Consumer {
    /// Takes row `row` and finds `start`. Call with the row's lock held.
    ///
    /// # Errors
    /// [`Nowhere`]; the row is free again then.
    pub fn attach(
        memory: Memory,
        row: u32,
        start: Start,
        may_park: bool,
        pid: u32,
    ) -> Result<Self, Nowhere> {
        let candidate = place(&memory, start, 0)?;
        let mut consumer = Self {
            memory,
            row,
            position: candidate.position,
            sequence: candidate.sequence,
        };
        match consumer.settle(start, candidate, may_park, pid) {
            Ok(at) => {
                (consumer.position, consumer.sequence) = (at.position, at.sequence);
                consumer.release();
                Ok(consumer)
            }
            Err(nowhere) => {
                consumer.leave();
                Err(nowhere)
            }
        }
    }

    /// Takes the row with a candidate position, then makes sure that the start lies behind what the
    /// producer may overwrite without having seen the row.
    fn settle(
        &self,
        start: Start,
        candidate: Boundary,
        may_park: bool,
        pid: u32,
    ) -> Result<Boundary, Nowhere> {
        let memory = &self.memory;
        if let Some(row) = self.own_row() {
            let generation = row.generation.load(Relaxed).wrapping_add(1);
            row.generation.store(generation, Relaxed);
            row.position.store(candidate.position, Relaxed);
            row.sequence.store(candidate.sequence, Relaxed);
            row.pid.store(pid, Relaxed);
            row.may_park.store(u32::from(may_park), Relaxed);
            row.state.store(RowState::Consumer as u32, Relaxed);
        }
        edge_fence!(E5 attach: SeqCst);
        let limit = memory.producer().limit.position.load(Relaxed);
        let floor = limit.saturating_sub(memory.geometry().capacity);
        if candidate.position >= floor {
            Ok(candidate)
        } else {
            place(memory, start, floor)
        }
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

    /// The row this consumer owns.
    pub fn row(&self) -> u32 {
        self.row
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

    /// Whether the next frame is there. One load and one compare.
    #[inline(always)]
    pub fn ready(&self) -> bool {
        let word = self.memory.words().at(self.position).load(Relaxed);
        CommitWord::from_raw(word).commits(self.sequence)
    }

    /// Takes the next message, if there is one. It stays intact until [`release`](Self::release).
    #[inline(always)]
    pub fn try_next(&mut self) -> Result<Option<Arrived>, Corrupt> {
        loop {
            let word = self.memory.words().at(self.position).load(Relaxed);
            let word = CommitWord::from_raw(word);
            if !word.commits(self.sequence) {
                return Ok(None);
            }
            edge_fence!(E1 consume: Acquire);
            let frame = Frame::decode(self.memory.geometry(), self.position, word)?;
            let payload = self.position + WORD;
            self.position = frame.end;
            if frame.pad {
                continue;
            }
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            return Ok(Some(Arrived {
                payload,
                len: frame.len,
                sequence,
            }));
        }
    }

    /// Takes back a message that was just taken and not released.
    pub fn untake(&mut self, arrived: Arrived) {
        self.position = arrived.payload - WORD;
        self.sequence = arrived.sequence;
    }

    /// Gives back everything taken so far.
    #[inline(always)]
    pub fn release(&mut self) {
        if let Some(row) = self.own_row() {
            row.sequence.store(self.sequence, Relaxed);
            row.position.store(self.position, ord!(E4: Release));
        }
    }

    /// How many bytes the producer is ahead, rounded up to a block. May be out of date.
    #[inline(always)]
    pub fn lag(&self) -> u64 {
        let reserve = self.memory.producer().reserve.position.load(Relaxed);
        reserve.saturating_sub(self.position)
    }

    /// What the producer says about itself. After [`ProducerState::Closed`], one more
    /// [`try_next`](Self::try_next) that finds nothing means the end (E7).
    #[inline(always)]
    pub fn producer_state(&self) -> ProducerState {
        producer_state(&self.memory)
    }

    /// Gives the row back.
    pub fn leave(&mut self) {
        if let Some(row) = self.own_row() {
            row.state.store(RowState::Free as u32, ord!(E4: Release));
        }
    }
}

/// What the producer says about itself; everything it committed before saying so is visible.
#[inline(always)]
pub fn producer_state(memory: &Memory) -> ProducerState {
    let state = memory.producer().state.state.load(Relaxed);
    edge_fence!(E7 state: Acquire);
    ProducerState::from_raw(state)
}
