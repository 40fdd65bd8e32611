//! Joining a ring: taking a row, and finding a start that the producer cannot overwrite any more.
//!
//! Layer 3, no unsafe code. A consumer takes its row, fences, and only then asks how far the producer may
//! write without having seen it (edge `gate`). Messages that it gives up after that are gone, or may be
//! overwritten at any moment.

use super::{epoch, Consumer, Gaps, Joining};
use crate::layout::lines::{Row, RowState, NAME_WORDS};
use crate::ring::cursor::Cursor;
use crate::ring::index::{
    boundary_at, find, first_behind, message_behind, overtaken, place, Found, Nowhere,
};
use crate::ring::losses;
use crate::ring::tenure::write_name;
use crate::ring::{ahead, Boundary, Start};
use crate::segment::Memory;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

impl Consumer {
    /// Takes a row and finds the start. Call with the row's lock held.
    ///
    /// # Errors
    /// [`Nowhere`]; the row is free again then, or still holds its cursor.
    pub fn attach(memory: Memory, joining: Joining) -> Result<Self, Nowhere> {
        Self::attach_beside(memory, joining, || false)
    }

    /// Like [`attach`](Self::attach). `abandoned` says, if it can, that no process holds the producer's
    /// lock: then nothing in the ring is overwritten, even before the limit that the last producer
    /// published.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_beside(
        memory: Memory,
        joining: Joining,
        abandoned: impl Fn() -> bool,
    ) -> Result<Self, Nowhere> {
        let (mut start, candidate) = match memory.row(joining.row) {
            Some(row) if joining.resumes => {
                let start = Start::Sequence(row.sequence.load(Relaxed));
                (start, resume(&memory, row)?)
            }
            _ => (joining.start, find(&memory, joining.start, 0)?),
        };
        let mut gaps = Gaps::NONE;
        if let Some(within) = candidate.within {
            // What it asked for does not exist: it wants what follows.
            gaps.pass(within.gap, 0);
            start = Start::Sequence(within.gap.end);
        }
        let mut consumer = Self {
            memory,
            row: joining.row,
            generation: 0,
            cursor: Cursor::new(candidate.at),
            // So that a failure below leaves no new cursor behind.
            named: joining.resumes,
            missed: 0,
            gaps,
        };
        consumer.introduce(&joining);
        match consumer.settle(start, joining.resumes, abandoned) {
            Ok(()) => {
                consumer.named = joining.name[0] != 0;
                // An existing cursor stays until another message is acknowledged.
                if !joining.resumes {
                    consumer.sign(&joining);
                }
                if let Start::Sequence(from) = start {
                    consumer.missed = consumer.sequence().wrapping_sub(from);
                }
                Ok(consumer)
            }
            Err(nowhere) => {
                consumer.leave();
                Err(nowhere)
            }
        }
    }

    /// Takes over the row of the last producer's own consumer, at `at`, where that one stood. Call as the
    /// next producer, before it makes room for anything, with the row's lock held: nothing behind that
    /// place can have been overwritten, even if the published limit is higher, and the producer's first
    /// look sees the row.
    pub fn inherit(memory: Memory, row: u32, at: Boundary) -> Self {
        let mut consumer = Self {
            memory,
            row,
            generation: 0,
            cursor: Cursor::new(at),
            named: false,
            missed: 0,
            gaps: Gaps::NONE,
        };
        consumer.introduce(&Joining::at(row, Start::Oldest));
        consumer.begin_tenure();
        consumer
    }

    /// Fills in the row, except for what [`settle`](Self::settle) writes.
    fn introduce(&self, joining: &Joining) {
        let Some(row) = self.own_row() else { return };
        if !joining.resumes {
            row.name[0].store(0, Relaxed);
            row.epoch.store(epoch(&self.memory).number, Relaxed);
        }
        losses::begin(row);
        row.pid.store(joining.pid, Relaxed);
        row.may_park.store(u32::from(joining.may_park), Relaxed);
    }

    /// Turns the row into a durable cursor, now that its position is known. The name is stored last and
    /// becomes valid by one store, so a process that dies here leaves a complete cursor or none.
    fn sign(&self, joining: &Joining) {
        let Some(row) = self.own_row() else { return };
        row.sequence.store(self.sequence(), Relaxed);
        write_name(row, joining.name);
    }

    /// Begins a tenure of the row with a candidate position, then makes sure that the start lies
    /// behind what the producer may overwrite without having seen the row.
    fn settle(
        &mut self,
        start: Start,
        or_oldest: bool,
        abandoned: impl Fn() -> bool,
    ) -> Result<(), Nowhere> {
        self.begin_tenure();
        edge_fence!(gate attach: SeqCst);
        let page = self.memory.producer();
        // A producer that comes after this looks at the rows before it makes room, and sees this one.
        let limit = match abandoned() {
            true => page.reserve.position.load(Relaxed),
            false => page.limit.position.load(Relaxed),
        };
        let floor = limit.saturating_sub(self.memory.geometry().capacity);
        if self.position() < floor {
            let found = self.first_from(floor, start, or_oldest)?;
            self.cursor.go_to(found);
        }
        if let Some(row) = self.own_row() {
            row.position
                .store(self.position(), ord!(consumed settle: Release));
        }
        Ok(())
    }

    /// Makes the row this consumer's, at its position.
    fn begin_tenure(&mut self) {
        if let Some(row) = self.own_row() {
            let generation = row.generation.load(Relaxed).wrapping_add(1);
            row.position.store(self.position(), Relaxed);
            // A producer that sees the new tenure sees its position, not the last one's.
            row.generation.store(generation, ord!(row tenure: Release));
            row.state.store(RowState::Consumer as u32, Relaxed);
            self.generation = generation;
        }
    }

    /// The first message at or behind `floor`, from here on. It is found exactly by walking, or, if the
    /// walk was overtaken, to the block by the index.
    fn first_from(&self, floor: u64, start: Start, or_oldest: bool) -> Result<Boundary, Nowhere> {
        let here = Boundary {
            position: self.position(),
            sequence: self.sequence(),
        };
        match (first_behind(&self.memory, here, floor), start) {
            (Some(at), Start::Sequence(wanted)) if at.sequence != wanted && !or_oldest => {
                Err(Nowhere::Gone {
                    oldest: at.sequence,
                })
            }
            (Some(at), _) => Ok(at),
            (None, _) => seek(&self.memory, start, or_oldest, floor),
        }
    }

    /// After an eviction: takes the row anew and goes on with the first message that is still there.
    /// Returns how many messages are gone.
    ///
    /// # Errors
    /// [`Nowhere`]; the consumer stays evicted then, and may try again.
    pub fn rejoin(&mut self) -> Result<u64, Nowhere> {
        let before = (self.cursor, self.generation);
        let from = Start::Sequence(self.sequence());
        if overtaken(&self.memory, self.position()) {
            let found = seek(&self.memory, from, true, 0)?;
            self.cursor.go_to(found);
        }
        match self.settle(from, true, || false) {
            Ok(()) => Ok(self.sequence().wrapping_sub(before.0.sequence())),
            Err(nowhere) => {
                self.leave();
                (self.cursor, self.generation) = before;
                Err(nowhere)
            }
        }
    }
}

/// Resets a row without an owner, whose last owner may have written anything there: to free, or to a
/// durable cursor at a sequence. The generation is one that no producer has seen.
pub fn renew(row: &Row, generation: u64, cursor: Option<([u64; NAME_WORDS], u64, u64)>) {
    let (name, sequence, epoch) = cursor.unwrap_or_default();
    let state = match name[0] {
        0 => RowState::Free,
        _ => RowState::Away,
    };
    row.state.store(RowState::Free as u32, Relaxed);
    row.may_park.store(0, Relaxed);
    row.position.store(0, Relaxed);
    row.sequence.store(sequence, Relaxed);
    row.epoch.store(epoch, Relaxed);
    row.pid.store(0, Relaxed);
    losses::begin(row);
    write_name(row, name);
    // No reader uses the position of the dead owner any more, so it does not matter which position is seen
    // with the new state.
    row.generation.store(generation, Relaxed);
    row.state.store(state as u32, Relaxed);
}

/// Where the owner of a durable cursor goes on: at the first message that was not acknowledged, or at the
/// oldest that is still there. The index leads only to the first frames of blocks. If it does not find the
/// message, the position in the row is used, provided that a frame begins there. The two words of a row
/// cannot change together: the position may be behind the sequence.
fn resume(memory: &Memory, row: &Row) -> Result<Found, Nowhere> {
    let wanted = row.sequence.load(Relaxed);
    let indexed = find(memory, Start::Sequence(wanted), 0);
    let Err(Nowhere::Gone { .. }) = indexed else {
        return indexed;
    };
    let held = boundary_at(memory, row.position.load(Relaxed));
    let exact = held.and_then(|at| match ahead(at.sequence, wanted) {
        ..=0 => message_behind(memory, at, wanted),
        _ => Some(at),
    });
    let found = match (exact, seek(memory, Start::Oldest, true, 0)) {
        (Some(exact), Ok(oldest)) if ahead(exact.sequence, oldest.sequence) <= 0 => Ok(exact),
        (Some(exact), Err(_)) => Ok(exact),
        (_, oldest) => oldest,
    };
    found.map(Found::exactly)
}

/// The place of `start`, or of the oldest message if `start` is gone and the caller allows that.
fn seek(memory: &Memory, start: Start, or_oldest: bool, floor: u64) -> Result<Boundary, Nowhere> {
    match place(memory, start, floor) {
        Err(Nowhere::Gone { .. }) if or_oldest => place(memory, Start::Oldest, floor),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::producer::Producer;

    const CAPACITY: u64 = 4096;

    /// A full ring, and where each message begins that was not overwritten.
    fn full() -> (Memory, Producer, Vec<Boundary>) {
        let memory = Memory::local(Geometry::new(CAPACITY, 8, 1, 0, false).unwrap());
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut begins = Vec::new();
        // 72 bytes fill neither a block nor a lap.
        for sequence in 0..199 {
            producer.try_publish(&[0; 64]).unwrap();
            let position = producer.position() - 72;
            begins.push(Boundary { position, sequence });
        }
        begins.retain(|at| !overtaken(&memory, at.position));
        (memory, producer, begins)
    }

    fn row_at(memory: &Memory, position: u64, sequence: u64) -> &Row {
        let row = memory.row(0).unwrap();
        row.position.store(position, Relaxed);
        row.sequence.store(sequence, Relaxed);
        row
    }

    /// Those that the index does not find, and the first one that it does.
    fn hidden(memory: &Memory, begins: &[Boundary]) -> (Vec<Boundary>, Boundary) {
        let oldest = place(memory, Start::Oldest, 0).unwrap();
        let hidden = begins.iter().filter(|at| at.position < oldest.position);
        (hidden.copied().collect(), oldest)
    }

    #[test]
    fn a_cursor_goes_on_where_its_row_says_if_the_stream_agrees() {
        let (memory, _producer, begins) = full();
        let (hidden, oldest) = hidden(&memory, &begins);
        assert!(hidden.len() >= 3, "{hidden:?}");
        for (before, at) in hidden.iter().zip(&hidden[1..]) {
            let resumed = |position| {
                resume(&memory, row_at(&memory, position, at.sequence)).map(|found| found.at)
            };
            assert_eq!(resumed(at.position), Ok(*at));
            // The owner died between the two stores: one message behind, and several.
            assert_eq!(resumed(before.position), Ok(*at));
            assert_eq!(resumed(hidden[0].position), Ok(*at));
            // No place where a frame begins.
            assert_eq!(resumed(at.position + 8), Ok(oldest));
            assert_eq!(resumed(at.position + 4), Ok(oldest));
        }
        // A position beyond its number is believed only up to what the index finds.
        let (first, second) = (hidden[0], hidden[1]);
        let beyond = |at: Boundary| {
            resume(&memory, row_at(&memory, at.position, first.sequence)).map(|found| found.at)
        };
        assert_eq!(beyond(second), Ok(second));
        for at in begins.iter().filter(|at| at.position > oldest.position) {
            assert_eq!(beyond(*at), Ok(oldest), "{at:?}");
        }
        // Found by its number, wherever the position is.
        let last = *begins.last().unwrap();
        let row = row_at(&memory, first.position, last.sequence);
        assert_eq!(resume(&memory, row), Ok(Found::exactly(last)));
    }

    #[test]
    fn what_a_dead_producer_may_still_have_written_is_not_given_up() {
        const CAPACITY: u64 = 1 << 16;
        let memory = Memory::local(Geometry::new(CAPACITY, 8, 1, 0, false).unwrap());
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut begins = Vec::new();
        let (limit, oldest) = loop {
            let sequence = producer.try_publish(&[0; 64]).unwrap();
            let position = producer.position() - 72;
            begins.push(Boundary { position, sequence });
            let limit = memory.producer().limit.position.load(Relaxed);
            let oldest = place(&memory, Start::Oldest, 0).unwrap();
            // It may overwrite some of the messages, and has not begun to.
            if sequence > 2000 && oldest.position + 100 < limit - CAPACITY {
                break (limit, oldest);
            }
            assert!(sequence < 10_000, "nothing to give up");
        };
        // It does nothing more, as if it had died; it is dropped, and takes its limit back, behind the end.
        let began = |abandoned| {
            let joining = Joining::at(0, Start::Oldest);
            let consumer = Consumer::attach_beside(memory.clone(), joining, || abandoned).unwrap();
            (consumer.position(), consumer.sequence())
        };
        assert_eq!(began(true), (oldest.position, oldest.sequence));
        let behind = begins.iter().find(|at| at.position >= limit - CAPACITY);
        let behind = behind.unwrap();
        assert_eq!(began(false), (behind.position, behind.sequence));
    }
}
