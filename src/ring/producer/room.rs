//! Making room: everything a producer does rarely.
//!
//! Layer 3, no unsafe code. Looks at the rows, announces what will be overwritten, keeps the index, ends
//! laps, and computes how far the fast path then reaches.

use super::{disarm, Batch, Entered, Producer, Refused};
use crate::layout::frame::{CommitWord, WORD};
use crate::ring::index::record;
use crate::segment::Order;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

impl Producer {
    /// Makes sure that a message of `len` bytes can be written where the batch ends. Returns where the
    /// batch then ends.
    ///
    /// Inlined, like all that it calls: its callers are out of line already, and a batch without an address
    /// stays in registers.
    #[inline(always)]
    pub(super) fn make_room(&mut self, batch: &mut Batch, len: usize) -> Result<u64, Refused> {
        let geometry = *self.memory.geometry();
        let max = geometry.max_message;
        if len as u64 > u64::from(max) {
            return Err(Refused::TooLarge { max });
        }
        if !batch.long {
            self.forget_what_was_given_up();
            batch.long = true;
        }
        let frame = geometry.frame(len as u64);
        let lap_end = geometry.lap_end(batch.next.position);
        let wraps = batch.next.position + frame + WORD > lap_end;
        let start = if wraps { lap_end } else { batch.next.position };
        let need = start + frame + WORD;
        // Keeps the newest index entry intact even if this process dies.
        if !batch.empty && need - batch.first.position > geometry.capacity / 2 {
            return Err(Refused::BatchFull);
        }
        // Before anything more is announced as overwritten, so that at every instant an indexed
        // frame is intact. The block was announced when the frame before secured the word here.
        self.record_before(self.position + 1);
        self.enter(batch);
        self.secure(need)?;
        if wraps {
            self.pad(batch, lap_end);
            self.enter(batch);
        }
        Ok(start + frame)
    }

    /// Makes sure that every byte before `need` may be overwritten, and that observers know.
    #[inline(always)]
    fn secure(&mut self, need: u64) -> Result<(), Refused> {
        if need > self.gate.limit() {
            self.gate
                .look(&self.memory, need, self.position)
                .map_err(|row| Refused::Full { row })?;
            self.order = if self.gate.is_awaited() {
                Order::Down
            } else {
                Order::Up
            };
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
            edge_fence!(overwrite reserve: Release);
        }
        Ok(())
    }

    /// Records where the batch ends if a block's first frame begins there; behind frames that are not
    /// committed only once they are.
    #[inline(always)]
    pub(super) fn enter(&mut self, batch: &Batch) {
        let block = self.memory.geometry().block_of(batch.next.position);
        if block < self.indexed {
            return;
        }
        let indexed = core::mem::replace(&mut self.indexed, block + 1);
        if batch.empty {
            record(&self.memory, batch.next);
        } else {
            let at = batch.next;
            self.pending.push_back(Entered { at, indexed });
        }
    }

    /// How far the fast path reaches from a position: no further than the block, so that a frame behind it
    /// makes room first, and the next block gets its entry.
    #[inline(always)]
    pub(super) fn soft_limit_at(&self, position: u64) -> u64 {
        let geometry = self.memory.geometry();
        let block_end = (geometry.block_of(position) + 1) * geometry.block;
        block_end.min(self.gate.limit()).min(self.reserved)
    }

    /// Records what is pending of before a position.
    #[inline(always)]
    pub(super) fn record_before(&mut self, position: u64) {
        while let Some(&Entered { at, .. }) = self.pending.front() {
            if at.position >= position {
                return;
            }
            record(&self.memory, at);
            self.pending.pop_front();
        }
    }

    /// Forgets the blocks that were entered by a batch which was never committed. Their entries lie ahead
    /// of the stream, because a frame of the fast path never leaves its block.
    #[inline(always)]
    fn forget_what_was_given_up(&mut self) {
        while let Some(entered) = self.pending.back() {
            if entered.at.position <= self.position {
                return;
            }
            self.indexed = entered.indexed;
            self.pending.pop_back();
        }
    }

    /// Fills the rest of the lap.
    #[inline(always)]
    fn pad(&mut self, batch: &mut Batch, lap_end: u64) {
        let at = batch.next;
        let word = CommitWord::pad(lap_end - at.position, at.sequence).raw();
        let words = self.memory.words();
        disarm(words, lap_end, at.sequence);
        batch.next.position = lap_end;
        if batch.empty {
            // Not a part of the batch: the lap has ended even if the batch is given up.
            words
                .at(at.position)
                .store(word, ord!(publish pad: Release));
            batch.first.position = lap_end;
            self.position = lap_end;
        } else {
            words.at(at.position).store(word, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::index::newest;
    use crate::segment::Memory;

    /// Payload lengths that end at, before and behind every kind of boundary, in no pattern.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..2000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize)
    }

    /// Announced is what may be touched, to the end of its block and never further; and every block
    /// of the last lap that a frame begins in has the first such frame for its entry, at the latest when
    /// a frame leaves the block, or the producer its ring.
    #[test]
    fn announcements_and_entries_are_exact() {
        for align in [8, 64] {
            let geometry = Geometry::new(4096, align, 1, 0, false).unwrap();
            let memory = Memory::local(geometry);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            let mut first = vec![(0, 0); geometry.blocks() as usize];
            let slot = |block: u64| (block % geometry.blocks()) as usize;
            let entries = || -> Vec<(u64, u64)> {
                (0..geometry.blocks())
                    .map(|block| memory.index_entry(block))
                    .map(|entry| (entry.position.load(Relaxed), entry.sequence.load(Relaxed)))
                    .collect()
            };
            // The block entered last, and its first frame.
            let mut last = None;
            for len in lengths() {
                let before = producer.position();
                let sequence = producer.try_publish(&vec![7; len]).unwrap();
                let end = producer.position();
                let start = end - geometry.frame(len as u64);
                // A pad, where there is one, begins in a block too.
                for at in [(before, sequence), (start, sequence)] {
                    let block = geometry.block_of(at.0);
                    if let Some((entered, frame)) = last.filter(|(entered, _)| *entered < block) {
                        first[slot(entered)] = frame;
                        last = None;
                    }
                    last = last.or(Some((block, at)));
                }
                let announced = memory.producer().reserve.position.load(Relaxed);
                let needed = (end + WORD).next_multiple_of(geometry.block);
                assert!(announced >= end + WORD);
                assert!(
                    announced <= needed.max(end + geometry.block),
                    "{announced} for {end}"
                );
                let (entered, frame) = last.unwrap();
                let found = entries();
                if geometry.block_of(end) > entered || found[slot(entered)] == frame {
                    first[slot(entered)] = frame;
                }
                assert_eq!(found, first, "{start} to {end}");
            }
            let (entered, frame) = last.unwrap();
            first[slot(entered)] = frame;
            producer.leave(true);
            assert_eq!(entries(), first);
        }
    }

    /// Bytes where nothing was committed make no difference, nor does a batch that entered blocks there.
    #[test]
    fn a_batch_that_is_given_up_has_never_been() {
        for given_up in 0..30 {
            let mut producers = [(); 2].map(|()| {
                let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
                let mut producer = Producer::attach(Memory::local(geometry), 1).unwrap();
                for len in lengths().take(30) {
                    producer.try_publish(&vec![7; len]).unwrap();
                }
                producer
            });
            let mut batch = producers[0].batch();
            for len in lengths().skip(40).take(given_up) {
                if producers[0].try_stage(&mut batch, &vec![9; len]).is_err() {
                    break;
                }
            }
            for len in lengths().skip(50).take(50) {
                let left = producers.each_mut().map(|producer| {
                    // The next one is a batch too, and takes the fast path before the slow one.
                    let mut batch = producer.batch();
                    producer.try_stage(&mut batch, &[]).unwrap();
                    producer.try_stage(&mut batch, &vec![8; len]).unwrap();
                    producer.commit(&batch);
                    let entries = (0..8).map(|block| {
                        let entry = producer.memory.index_entry(block);
                        (entry.position.load(Relaxed), entry.sequence.load(Relaxed))
                    });
                    (
                        producer.position,
                        producer.sequence,
                        entries.collect::<Vec<_>>(),
                    )
                });
                assert_eq!(left[0], left[1], "{given_up}");
            }
        }
    }

    /// A reader that attaches behind a large batch does not walk over all of it.
    #[test]
    fn the_blocks_of_a_batch_are_known_once_it_is_committed() {
        let geometry = Geometry::new(1 << 16, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut batch = producer.batch();
        while producer.try_stage(&mut batch, &[0; 56]).is_ok() {
            assert_eq!(newest(&memory).unwrap().position, 0);
        }
        producer.commit(&batch);
        let newest = newest(&memory).unwrap().position;
        assert!((1..=geometry.block).contains(&(producer.position() - newest)));
    }

    #[test]
    fn a_batch_of_half_a_ring_is_the_largest() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let mut producer = Producer::attach(Memory::local(geometry), 1).unwrap();
        // The word behind the last frame counts: 2048 bytes are 2040 of frames.
        let mut batch = producer.batch();
        for _ in 0..255 {
            producer.try_stage(&mut batch, &[]).unwrap();
        }
        let refused = producer.try_stage(&mut batch, &[]);
        assert_eq!(refused, Err(Refused::BatchFull));
        assert_eq!(producer.commit(&batch), 255);
    }
}
