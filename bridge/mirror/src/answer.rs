//! An answer to a mirror that asked for sequences: what the ring still has of them, and what is gone.

use crate::frame::Stamp;
use crate::pack::{Packed, Packer};
use crate::request::Request;
use slipring::endpoint::Why;

/// The most bytes of an answer, also to a request for more. An answer is not held back by acknowledgements, so its
/// size is bounded here.
pub const MOST_BYTES: u32 = 1 << 20;

/// The most gaps of an answer. They have no bytes of a ring, and each has a frame.
pub const MOST_GAPS: u32 = 4096;

/// An answer in the making. The program reads its ring from [`from`](Self::from) on, and adds what it finds, in
/// order, for as long as it [is wanted](Self::is_wanted).
///
/// ```
/// use slipring_mirror::{answer::Answer, frame::Stamp, Frame, Request};
///
/// let stamp = Stamp { ring: 1, epoch: 1, epoch_first: 0, oldest: 7, wall_ns: 0 };
/// let mut answer = Answer::new(stamp, Request { from: 5, to: 9, bytes: 4096 });
/// answer.gone_before(7); // 5 and 6 were overwritten
/// answer.message(7, b"still there");
/// assert!(answer.is_wanted());
/// let frames = answer.finish();
/// assert_eq!(Frame::decode(&frames[0]).unwrap().end(), 7);
/// assert_eq!(Frame::decode(&frames[1]).unwrap().end(), 8);
/// ```
#[derive(Debug)]
pub struct Answer {
    stamp: Stamp,
    request: Request,
    next: u64,
    bytes: u64,
    gaps: u32,
    packer: Packer,
    packed: Vec<Packed>,
}

impl Answer {
    /// An answer to a request.
    pub fn new(stamp: Stamp, request: Request) -> Self {
        let bytes = request.bytes.min(MOST_BYTES);
        Self {
            stamp,
            request: Request { bytes, ..request },
            next: request.from,
            bytes: 0,
            gaps: 0,
            packer: Packer::default(),
            packed: Vec::new(),
        }
    }

    /// Returns the sequence from which on the ring is to be read.
    pub fn from(&self) -> u64 {
        self.next
    }

    /// Returns `true` if what comes next in the ring belongs into the answer.
    pub fn is_wanted(&self) -> bool {
        let asked = self.request.to.wrapping_sub(self.request.from);
        let given = self.next.wrapping_sub(self.request.from);
        // A request whose end lies before its beginning asks for nothing.
        asked <= crate::frame::FARTHEST
            && given < asked
            && self.bytes < u64::from(self.request.bytes.max(1))
            && self.gaps < MOST_GAPS
    }

    /// A message of the ring.
    pub fn message(&mut self, sequence: u64, payload: &[u8]) {
        if self.is_wanted() {
            self.bytes += crate::frame::record_bytes(payload.len()) as u64;
            self.packer
                .message(&self.stamp, sequence, payload, &mut self.packed);
            self.next = sequence.wrapping_add(1);
        }
    }

    /// A gap of the ring, or sequences that were overwritten before they were read. The answer has the part that was
    /// asked for.
    pub fn gap(&mut self, end: u64, why: Why) {
        let spans = end.wrapping_sub(self.next);
        if self.is_wanted() && spans > 0 && spans <= crate::frame::FARTHEST {
            let left = self.request.to.wrapping_sub(self.next);
            let end = self.next.wrapping_add(spans.min(left));
            self.gaps += 1;
            self.packer
                .gap(&self.stamp, self.next, end, why, &mut self.packed);
            self.next = end;
        }
    }

    /// Everything before this sequence is gone from the ring.
    pub fn gone_before(&mut self, oldest: u64) {
        self.gap(oldest, Why::Lost);
    }

    /// Returns its frames.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.packer.flush(&self.stamp, &mut self.packed);
        self.packed.into_iter().map(|packed| packed.bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, MOST_GAPS};
    use crate::frame::{Frame, Stamp};
    use crate::request::Request;
    use slipring::endpoint::Why;

    /// Whatever a ring has, an answer ends, and a request for the rest goes on where it did.
    #[test]
    fn an_answer_of_gaps_is_bounded_and_goes_on() {
        for (base, each, messages) in [(0, 1, false), (u64::MAX - 99, 3, true)] {
            let stamp = Stamp {
                ring: 1,
                epoch: 1,
                epoch_first: base,
                oldest: base,
                wall_ns: 0,
            };
            let end = base.wrapping_add(30_000);
            let (mut from, mut answers) = (base, 0);
            while from != end {
                let request = Request {
                    from,
                    to: end,
                    bytes: u32::MAX,
                };
                let mut answer = Answer::new(stamp, request);
                while answer.is_wanted() {
                    let next = answer.from();
                    answer.gap(next.wrapping_add(each), Why::NotRecorded);
                    if messages && answer.is_wanted() {
                        answer.message(answer.from(), b"m");
                    }
                }
                let frames = answer.finish();
                let gaps = frames.len() / (1 + usize::from(messages));
                assert!(gaps <= MOST_GAPS as usize, "{gaps}");
                for frame in &frames {
                    let frame = Frame::decode(frame).unwrap();
                    assert_eq!(frame.first, from);
                    from = frame.end();
                }
                answers += 1;
            }
            let gaps = 30_000u64.div_ceil(each + u64::from(messages));
            assert_eq!(answers, gaps.div_ceil(u64::from(MOST_GAPS)));
        }
    }
}
