//! The lossy reading side: copies first, then asks whether the copy was overtaken.
//!
//! Layer 3, no unsafe code. An observer writes nothing, never holds the producer back, and is told exactly
//! how many messages it missed. It copies a message, then reads `reserve`, and hands out its private copy.
//! The line of `reserve` changes once per block, so reading it for each message is nearly free.

use super::consumer::producer_state;
use super::cursor::Cursor;
use super::gap::{checked, claimed};
use super::index::{find, newest, oldest, overtaken, Nowhere};
use super::losses;
use super::{ahead, Boundary, Corrupt, Frame, Kind, Start};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::gap::{Gap, Why};
use crate::layout::lines::ProducerState;
use crate::segment::Memory;
use crate::sync::{edge_fence, Ordering::Relaxed};

/// Where an observer goes on after it was lapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Resume {
    /// Near the newest message: the default, and the only choice that cannot be lapped again immediately.
    #[default]
    Newest,
    /// At the oldest message still in the ring.
    Oldest,
}

/// A message, copied and intact; its bytes are in [`Observer::payload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its number.
    pub sequence: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// What an observer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A message.
    Message(Copied),
    /// Messages were missed.
    Lapped {
        /// How many.
        lost: u64,
        /// Sequence of the next message.
        resumed_at: u64,
    },
    /// Sequences that do not exist.
    Skipped {
        /// How many.
        skipped: u64,
        /// Sequence of the next message.
        resumed_at: u64,
        /// Why they do not exist.
        why: Why,
    },
    /// Nothing new.
    Empty,
}

impl Observed {
    fn gap(gap: Gap) -> Self {
        Self::Skipped {
            skipped: gap.skipped(),
            resumed_at: gap.end,
            why: gap.why,
        }
    }
}

/// The private state of one observer.
#[derive(Debug)]
pub struct Observer {
    memory: Memory,
    resume: Resume,
    cursor: Cursor,
    /// The gap in which it began, from there on, and where that ends. Until it is reported, the cursor stands
    /// at the frame of the gap, with the sequence that was asked for.
    owed: Option<(Gap, Boundary)>,
    /// Room for the largest message.
    buffer: Box<[u64]>,
}

impl Observer {
    /// Finds `start`. Allocates once.
    pub fn attach(memory: Memory, start: Start, resume: Resume) -> Result<Self, Nowhere> {
        let found = find(&memory, start, 0)?;
        let at = found.within.map_or(found.at, |within| Boundary {
            position: within.position,
            sequence: within.gap.first,
        });
        let largest = (memory.geometry().max_message as usize).div_ceil(WORD as usize);
        Ok(Self {
            memory,
            resume,
            cursor: Cursor::new(at),
            owed: found.within.map(|within| (within.gap, found.at)),
            buffer: vec![0; largest].into_boxed_slice(),
        })
    }

    /// The memory this observer reads.
    pub fn memory(&self) -> &Memory {
        &self.memory
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

    /// The bytes of the message that was taken last, but the first `skip`.
    #[inline(always)]
    pub fn payload(&self, copied: Copied, skip: usize) -> &[u8] {
        let bytes: &[u8] = bytemuck::cast_slice(&self.buffer);
        bytes.get(skip..copied.len as usize).unwrap_or_default()
    }

    /// What lies where the next frame begins.
    #[inline(always)]
    fn word(&self) -> CommitWord {
        let word = self.memory.words().at(self.position());
        CommitWord::from_raw(word.load(Relaxed))
    }

    /// Returns `true` if the next frame is there, as far as its commit word says.
    #[inline(always)]
    pub fn committed(&self) -> bool {
        self.word().commits(self.sequence())
    }

    /// Returns `true` if something new may be there. May be true for a message that turns out to be gone.
    #[inline(always)]
    pub fn ready(&self) -> bool {
        self.committed() || self.owed.is_some() || overtaken(&self.memory, self.position())
    }

    /// Takes the next message if it is there and as long as the last ones, and if `sound` returns `true`
    /// after it was copied.
    #[inline(always)]
    pub fn take(&mut self, sound: impl FnOnce() -> bool) -> Option<Copied> {
        if !self.cursor.expects(self.word()) {
            return None;
        }
        edge_fence!(publish observe_expected: Acquire);
        let copied = self.copy(self.cursor.expected_len())?;
        if !sound() {
            return None;
        }
        self.cursor.step();
        Some(copied)
    }

    /// Like [`take`](Self::take), for any length, unless the slow path is needed.
    #[inline(always)]
    pub fn take_any(&mut self, sound: impl FnOnce() -> bool) -> Option<Copied> {
        let word = self.word();
        if !word.commits(self.sequence()) {
            return None;
        }
        edge_fence!(publish observe_any: Acquire);
        let frame = self.cursor.decode(self.memory.geometry(), word).ok()?;
        if frame.kind != Kind::Message {
            return None;
        }
        let copied = self.copy(frame.len)?;
        if !sound() {
            return None;
        }
        self.cursor.pass(self.memory.geometry(), frame);
        Some(copied)
    }

    /// Copies the message of a frame that begins here, if it was intact until then.
    #[inline(always)]
    fn copy(&mut self, len: u32) -> Option<Copied> {
        let words = (len as usize).div_ceil(WORD as usize);
        let out = self.buffer.get_mut(..words)?;
        let position = self.cursor.position();
        self.memory.words().copy_out(position + WORD, out);
        edge_fence!(overwrite copy: Acquire);
        if overtaken(&self.memory, position) {
            return None;
        }
        Some(Copied {
            sequence: self.cursor.sequence(),
            len,
        })
    }

    /// The next message, a loss or a gap, if there is one.
    pub fn try_next(&mut self) -> Result<Observed, Corrupt> {
        // Out of line behind this, so that a caller who polls saves no registers.
        if self.committed() {
            return self.next_there();
        }
        if self.is_void() {
            return self.resynchronise();
        }
        if self.owed.is_some() {
            // It stands in a gap, whose frame carries another sequence.
            return self.pass_gap(None, None);
        }
        Ok(Observed::Empty)
    }

    /// Returns `true` if what was read before the call may have been overwritten.
    #[inline(always)]
    fn is_void(&self) -> bool {
        edge_fence!(overwrite observe: Acquire);
        overtaken(&self.memory, self.position())
    }

    /// As [`try_next`](Self::try_next), of a frame that is there.
    #[inline(never)]
    fn next_there(&mut self) -> Result<Observed, Corrupt> {
        loop {
            let word = self.word();
            let frame = if word.commits(self.sequence()) {
                edge_fence!(publish observe: Acquire);
                Some(self.cursor.decode(self.memory.geometry(), word))
            } else {
                None
            };
            let mut gap = None;
            if let Some(Ok(frame)) = frame {
                match frame.kind {
                    Kind::Message => {
                        if let Some(copied) = self.copy(frame.len) {
                            self.cursor.pass(self.memory.geometry(), frame);
                            return Ok(Observed::Message(copied));
                        }
                    }
                    Kind::Gap => gap = Some(claimed(&self.memory, self.position(), word)),
                    Kind::Pad => {}
                }
            }
            if self.is_void() {
                return self.resynchronise();
            }
            match frame {
                None => return Ok(Observed::Empty),
                Some(Err(corrupt)) => return Err(corrupt),
                // No pad follows a pad.
                Some(Ok(frame)) if frame.kind == Kind::Pad => {
                    self.cursor.pass(self.memory.geometry(), frame);
                }
                Some(Ok(frame)) => return self.pass_gap(Some(frame), gap),
            }
        }
    }

    /// Steps over the gap in which it began, or over one that it has found intact.
    #[cold]
    #[inline(never)]
    fn pass_gap(&mut self, frame: Option<Frame>, gap: Option<Gap>) -> Result<Observed, Corrupt> {
        if let Some((gap, behind)) = self.owed.take() {
            self.cursor.go_to(behind);
            return Ok(Observed::gap(gap));
        }
        let (Some(frame), Some(gap)) = (frame, gap) else {
            return Ok(Observed::Empty);
        };
        let gap = checked(&self.memory, self.cursor.boundary(), gap)?;
        self.cursor.go_to(Boundary {
            position: frame.end,
            sequence: gap.end,
        });
        Ok(Observed::gap(gap))
    }

    /// Goes on at an intact frame. While the producer overtakes every attempt, reports nothing;
    /// the loss is counted by the attempt that succeeds.
    ///
    /// At every instant an indexed frame is intact, and `reserve` moves before an entry changes. So if a
    /// search finds nothing while `reserve` stood still, the index is damaged. A search that fails while
    /// `reserve` moved decides nothing, and a waiting caller checks its deadline.
    #[cold]
    fn resynchronise(&mut self) -> Result<Observed, Corrupt> {
        let reserve = || self.memory.producer().reserve.position.load(Relaxed);
        let before = reserve();
        let found = match self.resume {
            Resume::Newest => newest(&self.memory),
            Resume::Oldest => oldest(&self.memory, 0),
        };
        // No frame that is intact lies behind one that is gone.
        let ahead = found.map(|at| (at, ahead(at.sequence, self.sequence())));
        let Some((at, lost)) = ahead.filter(|(_, lost)| *lost >= 0) else {
            // The searches end with acquire fences: what they read of a later lap shows here.
            return if reserve() == before {
                Err(Corrupt::Index)
            } else {
                Ok(Observed::Empty)
            };
        };
        self.cursor.go_to(at);
        // What was owed is among what is lost.
        self.owed = None;
        if lost == 0 {
            return Ok(Observed::Empty);
        }
        Ok(Observed::Lapped {
            lost: lost as u64,
            resumed_at: at.sequence,
        })
    }

    /// Counts a loss where every process can read it: in the row that the observer holds, if any, and for all
    /// readers.
    pub fn count_loss(&self, row: Option<u32>, messages: u64) {
        losses::count(&self.memory, row, messages);
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
    fn messages_are_copied_one_by_one() {
        let memory = Memory::local(Geometry::new(4096, 8, 1, 0, false).unwrap());
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut observer = Observer::attach(memory.clone(), Start::Oldest, Resume::Newest).unwrap();
        assert_eq!(
            (observer.take_any(|| true), observer.try_next()),
            (None, Ok(Observed::Empty))
        );
        for n in 0..5 {
            producer.try_publish(&[n; 100]).unwrap();
        }
        for sequence in 0..5 {
            assert_eq!((observer.sequence(), observer.ready()), (sequence, true));
            let copied = Copied { sequence, len: 100 };
            // The slow path and the fast path.
            if sequence % 2 == 0 {
                assert_eq!(observer.try_next(), Ok(Observed::Message(copied)));
            } else {
                assert_eq!(observer.take_any(|| true), Some(copied));
            }
            assert_eq!(observer.payload(copied, 0), [sequence as u8; 100]);
        }
        assert_eq!(
            (observer.take_any(|| true), observer.try_next()),
            (None, Ok(Observed::Empty))
        );
        let announced = memory.producer().reserve.position.load(Relaxed);
        assert_eq!(observer.lag(), announced - 5 * 112);
    }

    #[test]
    fn a_copy_that_cannot_be_trusted_is_not_stepped_over() {
        let memory = Memory::local(Geometry::new(4096, 8, 1, 0, false).unwrap());
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut observer = Observer::attach(memory, Start::Oldest, Resume::Newest).unwrap();
        for n in 0..20 {
            producer.try_publish(&[n; 24]).unwrap();
            let copied = Copied {
                sequence: n.into(),
                len: 24,
            };
            // First a message of any length, then one of the expected length.
            assert_eq!(observer.take_any(|| false), None);
            assert_eq!(observer.take(|| false), None);
            let taken = observer.take(|| true);
            assert_eq!(taken.or_else(|| observer.take_any(|| true)), Some(copied));
        }
    }

    #[test]
    fn the_short_way_leaves_pads_and_losses_to_the_long_one() {
        let memory = Memory::local(Geometry::new(4096, 8, 1, 0, false).unwrap());
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut observer = Observer::attach(memory.clone(), Start::Oldest, Resume::Newest).unwrap();
        // Four frames of 1008 bytes leave 64: the fifth message follows a pad.
        for n in 0..4 {
            producer.try_publish(&[n; 1000]).unwrap();
            assert!(observer.take_any(|| true).is_some());
        }
        producer.try_publish(&[4; 1000]).unwrap();
        assert_eq!(observer.take_any(|| true), None);
        let fifth = Copied {
            sequence: 4,
            len: 1000,
        };
        assert_eq!(observer.try_next(), Ok(Observed::Message(fifth)));
        for n in 5..20 {
            producer.try_publish(&[n; 1000]).unwrap();
        }
        assert_eq!(observer.take_any(|| true), None);
        let Ok(Observed::Lapped { lost, resumed_at }) = observer.try_next() else {
            panic!("the loss went unnoticed");
        };
        assert_eq!((lost, observer.sequence()), (resumed_at - 5, resumed_at));
        assert_eq!(
            observer.take_any(|| true).map(|copied| copied.sequence),
            Some(resumed_at)
        );
    }
}
