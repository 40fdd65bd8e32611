//! The lossy reading side: copies first, then asks whether the copy was overtaken.
//!
//! Layer 3, no unsafe code. An observer writes nothing, holds nobody back, and is told exactly what
//! it missed. It copies up to a batch of frames and validates them with one look at `reserve`; what
//! it hands out comes from its private copy.

use super::consumer::producer_state;
use super::index::{newest, oldest, overtaken, place, Nowhere};
use super::{ahead, Corrupt, Frame, Start};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::lines::ProducerState;
use crate::segment::Memory;
use crate::sync::{edge_fence, Ordering::Relaxed};

/// The most frames copied before one validation.
const BATCH: usize = 32;
/// Words of private buffer for a batch; a single larger message gets what it needs.
const BUFFER_WORDS: usize = 8192;

/// Where an observer goes on after it was lapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Resume {
    /// Near the newest message: the default, and the only choice that cannot be lapped again at
    /// once.
    #[default]
    Newest,
    /// At the oldest message still in the ring.
    Oldest,
}

/// What an observer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A message; its payload is in [`Observer::payload`].
    Message {
        /// Number of the message.
        sequence: u64,
        /// Payload bytes.
        len: u32,
    },
    /// Messages are gone.
    Lapped {
        /// How many.
        lost: u64,
        /// Sequence of the next message.
        resumed_at: u64,
    },
    /// Nothing new.
    Empty,
}

/// A message in the private buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    offset: u32,
    len: u32,
    sequence: u64,
}

/// The private state of one observer.
#[derive(Debug)]
pub struct Observer {
    memory: Memory,
    resume: Resume,
    /// Where the next frame that was not copied yet begins.
    position: u64,
    /// Sequence of the next message that was not copied yet.
    sequence: u64,
    buffer: Box<[u64]>,
    batch: [Copied; BATCH],
    /// The part of `batch` that was validated and not handed out yet.
    next: usize,
    filled: usize,
}

impl Observer {
    /// Finds `start`. Allocates once.
    pub fn attach(memory: Memory, start: Start, resume: Resume) -> Result<Self, Nowhere> {
        let at = place(&memory, start, 0)?;
        let largest = (memory.geometry().max_message as usize).div_ceil(WORD as usize);
        let words = largest.max(BUFFER_WORDS.min(memory.geometry().words() as usize));
        Ok(Self {
            memory,
            resume,
            position: at.position,
            sequence: at.sequence,
            buffer: vec![0; words].into_boxed_slice(),
            batch: [Copied::default(); BATCH],
            next: 0,
            filled: 0,
        })
    }

    /// The memory this observer reads.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Sequence of the next message that will be handed out.
    pub fn sequence(&self) -> u64 {
        match self.batch.get(self.next) {
            Some(copied) if self.next < self.filled => copied.sequence,
            _ => self.sequence,
        }
    }

    /// The bytes the last [`Observed::Message`] was about.
    #[inline(always)]
    pub fn payload(&self) -> &[u64] {
        let copied = &self.batch[self.next.saturating_sub(1)];
        let words = (copied.len as usize).div_ceil(WORD as usize);
        &self.buffer[copied.offset as usize..copied.offset as usize + words]
    }

    /// Whether something new may be there. May be true for a message that turns out to be gone.
    #[inline(always)]
    pub fn ready(&self) -> bool {
        if self.next < self.filled {
            return true;
        }
        let word = self.memory.words().at(self.position).load(Relaxed);
        CommitWord::from_raw(word).commits(self.sequence) || overtaken(&self.memory, self.position)
    }

    /// Takes the next message, or the news of a loss, if there is any.
    #[inline(always)]
    pub fn try_next(&mut self) -> Result<Observed, Corrupt> {
        if self.next == self.filled {
            let found = self.fill()?;
            if found != Observed::Empty || self.filled == 0 {
                return Ok(found);
            }
        }
        let copied = self.batch[self.next];
        self.next += 1;
        Ok(Observed::Message {
            sequence: copied.sequence,
            len: copied.len,
        })
    }

    /// Copies what is there, then validates all of it at once.
    fn fill(&mut self) -> Result<Observed, Corrupt> {
        (self.next, self.filled) = (0, 0);
        let (mut position, mut sequence) = (self.position, self.sequence);
        let (mut used, mut count) = (0, 0);
        let mut damage = None;
        while count < BATCH {
            let word = self.memory.words().at(position).load(Relaxed);
            let word = CommitWord::from_raw(word);
            if !word.commits(sequence) {
                break;
            }
            edge_fence!(E1 observe: Acquire);
            let frame = match Frame::decode(self.memory.geometry(), position, word) {
                Ok(frame) => frame,
                Err(corrupt) => {
                    damage = Some(corrupt);
                    break;
                }
            };
            if !frame.pad {
                let words = (frame.len as usize).div_ceil(WORD as usize);
                let Some(out) = self.buffer.get_mut(used..used + words) else {
                    break;
                };
                self.memory.words().copy_out(position + WORD, out);
                self.batch[count] = Copied {
                    offset: used as u32,
                    len: frame.len,
                    sequence,
                };
                used += words;
                count += 1;
                sequence = sequence.wrapping_add(1);
            }
            position = frame.end;
        }
        edge_fence!(E2 observe: Acquire);
        if overtaken(&self.memory, self.position) {
            return Ok(self.resynchronise());
        }
        (self.position, self.sequence, self.filled) = (position, sequence, count);
        match damage {
            // Everything before the damaged frame is good; it is delivered first.
            Some(corrupt) if count == 0 => Err(corrupt),
            _ => Ok(Observed::Empty),
        }
    }

    /// Goes on at an intact frame. While the producer overtakes every attempt, reports nothing;
    /// the loss is counted by the attempt that succeeds.
    #[cold]
    fn resynchronise(&mut self) -> Observed {
        let found = match self.resume {
            Resume::Newest => newest(&self.memory),
            Resume::Oldest => oldest(&self.memory, 0),
        };
        let Some(at) = found else {
            return Observed::Empty;
        };
        let lost = ahead(at.sequence, self.sequence);
        if lost < 0 {
            return Observed::Empty;
        }
        (self.position, self.sequence) = (at.position, at.sequence);
        if lost == 0 {
            return Observed::Empty;
        }
        Observed::Lapped {
            lost: lost as u64,
            resumed_at: at.sequence,
        }
    }

    /// How many bytes the producer is ahead, rounded up to a block. May be out of date.
    #[inline(always)]
    pub fn lag(&self) -> u64 {
        let reserve = self.memory.producer().reserve.position.load(Relaxed);
        reserve.saturating_sub(self.position)
    }

    /// What the producer says about itself.
    pub fn producer_state(&self) -> ProducerState {
        producer_state(&self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::producer::Producer;

    #[test]
    fn the_next_number_counts_what_was_copied_and_not_handed_out() {
        let memory = Memory::local(Geometry::new(4096, 8, 1, 0, false).unwrap());
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut observer = Observer::attach(memory.clone(), Start::Oldest, Resume::Newest).unwrap();
        for _ in 0..5 {
            producer.try_publish(&[0; 100]).unwrap();
        }
        for next in 0..5 {
            assert_eq!(observer.sequence(), next);
            let got = observer.try_next().unwrap();
            assert_eq!(
                got,
                Observed::Message {
                    sequence: next,
                    len: 100
                }
            );
        }
        assert_eq!(
            (observer.sequence(), observer.try_next()),
            (5, Ok(Observed::Empty))
        );
        let announced = memory.producer().reserve.position.load(Relaxed);
        assert_eq!(observer.lag(), announced - 5 * 112);
    }
}
