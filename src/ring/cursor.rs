//! A reader's position, and the frame that it expects there.
//!
//! Layer 3, no unsafe code. A reader has to read one frame to learn where the next one begins, so its loads
//! wait for each other. Where several messages in a row had one length, the cursor expects the next to have
//! it too. Then one comparison of the commit word is the whole check, and the next position does not depend
//! on a loaded value. This is value prediction (M. Lipasti, C. Wilkerson and J. Shen, "Value locality and
//! load value prediction", 1996), done by the branch predictor.

use super::{Boundary, Corrupt, Frame, Kind};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::geometry::Geometry;
use crate::sync::MODELLED;

/// After this many messages of one length in a row, that length is expected. Small, so that prediction
/// begins early; large enough that with random lengths the branch is almost never taken, and so well
/// predicted. Models use a smaller number.
const STEADY: u32 = if MODELLED { 1 } else { 8 };

/// The place of one reader in the stream. All private.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// Where the next frame begins.
    position: u64,
    /// Sequence of the next message.
    sequence: u64,
    /// The commit word of the next frame, if its message is as long as the last one.
    expected: u64,
    /// Below it, such a frame lies in this lap; 0 where the last messages were not all of one length.
    limit: u64,
    /// Payload and frame bytes of the last message, and how many in a row have been as long.
    len: u32,
    run: u32,
    frame: u64,
}

impl Cursor {
    /// A cursor at a boundary.
    pub fn new(at: Boundary) -> Self {
        Self {
            position: at.position,
            sequence: at.sequence,
            expected: 0,
            limit: 0,
            len: 0,
            run: 0,
            frame: 0,
        }
    }

    /// Where the next frame begins.
    #[inline(always)]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Sequence of the next message.
    #[inline(always)]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where it stands.
    #[inline(always)]
    pub fn boundary(&self) -> Boundary {
        Boundary {
            position: self.position,
            sequence: self.sequence,
        }
    }

    /// Moves to another boundary.
    #[inline(always)]
    pub fn go_to(&mut self, at: Boundary) {
        (self.position, self.sequence) = (at.position, at.sequence);
        self.limit = 0;
    }

    /// Returns `true` if this is the commit word of a message as long as the last ones, all of it in this
    /// lap.
    #[inline(always)]
    pub fn expects(&self, word: CommitWord) -> bool {
        word.raw() == self.expected && self.position < self.limit
    }

    /// Payload bytes of a message that [`expects`](Self::expects) saw.
    #[inline(always)]
    pub fn expected_len(&self) -> u32 {
        self.len
    }

    /// Steps over a message that [`expects`](Self::expects) saw.
    #[inline(always)]
    pub fn step(&mut self) {
        self.position += self.frame;
        self.sequence = self.sequence.wrapping_add(1);
        self.expected = CommitWord::from_raw(self.expected).successor().raw();
    }

    /// What a commit word that commits the next frame says about it.
    #[inline(always)]
    pub fn decode(&self, geometry: &Geometry, word: CommitWord) -> Result<Frame, Corrupt> {
        Frame::decode(geometry, self.position, word)
    }

    /// Steps over a frame that [`decode`](Self::decode) found sound, and that is no gap: what follows a gap is
    /// somewhere to [`go_to`](Self::go_to).
    #[inline(always)]
    pub fn pass(&mut self, geometry: &Geometry, frame: Frame) {
        if frame.kind == Kind::Message {
            self.sequence = self.sequence.wrapping_add(1);
            self.learn(geometry, frame);
        }
        self.position = frame.end;
    }

    /// Cheap for streams without a pattern: every branch here is well predicted.
    #[inline(always)]
    fn learn(&mut self, geometry: &Geometry, frame: Frame) {
        self.run = if frame.len == self.len {
            self.run.wrapping_add(1)
        } else {
            1
        };
        self.len = frame.len;
        self.limit = 0;
        if self.run >= STEADY {
            self.expect(geometry, frame);
        }
    }

    /// Expects that the next message is like this one, whose frame begins here.
    #[inline(always)]
    fn expect(&mut self, geometry: &Geometry, frame: Frame) {
        self.frame = frame.end - self.position;
        self.expected = CommitWord::message(frame.len, self.sequence).raw();
        // The word behind a frame lies in its lap.
        self.limit = geometry.lap_end(self.position) - self.frame - WORD + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> (Geometry, Cursor) {
        let start = Boundary {
            position: 0,
            sequence: u64::from(u32::MAX) - 3,
        };
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        (geometry, Cursor::new(start))
    }

    /// Steps over a message of `len` bytes, by the fast or the slow path. Returns `true` if its length was
    /// expected.
    fn message(geometry: &Geometry, cursor: &mut Cursor, len: u32) -> bool {
        let before = cursor.boundary();
        let word = CommitWord::message(len, before.sequence);
        let expected = cursor.expects(word);
        if expected {
            assert_eq!(cursor.expected_len(), len);
            cursor.step();
        } else {
            let frame = cursor.decode(geometry, word).unwrap();
            cursor.pass(geometry, frame);
        }
        assert_eq!(cursor.sequence(), before.sequence + 1);
        let frame = geometry.frame(u64::from(len));
        assert_eq!(cursor.position(), before.position + frame);
        expected
    }

    #[test]
    fn a_length_is_expected_after_a_run_of_it_and_no_longer_than_it_lasts() {
        let (geometry, mut cursor) = cursor();
        // Over the wrap of the half of the sequence that commit words carry.
        for n in 0..20 {
            assert_eq!(message(&geometry, &mut cursor, 24), n >= STEADY, "{n}");
        }
        assert!(!message(&geometry, &mut cursor, 16));
        assert!(!message(&geometry, &mut cursor, 24));
        for n in 0..200 {
            assert!(!message(&geometry, &mut cursor, n % 2));
        }
    }

    #[test]
    fn nothing_is_expected_to_cross_the_end_of_a_lap() {
        let (geometry, mut cursor) = cursor();
        // Frames of 64 bytes: the last that leaves a word behind it begins 128 before the end.
        while cursor.position() < 4096 - 128 {
            message(&geometry, &mut cursor, 56);
        }
        assert!(message(&geometry, &mut cursor, 56));
        let word = CommitWord::message(56, cursor.sequence());
        assert!(!cursor.expects(word));
        assert!(cursor.decode(&geometry, word).is_err());
        // Behind the pad, the first message of the lap is looked at, and the second is expected.
        let pad = CommitWord::pad(64, cursor.sequence());
        let frame = cursor.decode(&geometry, pad).unwrap();
        let sequence = cursor.sequence();
        cursor.pass(&geometry, frame);
        assert_eq!((cursor.position(), cursor.sequence()), (4096, sequence));
        assert!(!message(&geometry, &mut cursor, 56));
        assert!(message(&geometry, &mut cursor, 56));
    }

    #[test]
    fn a_reader_that_goes_elsewhere_expects_nothing_there() {
        let (geometry, mut cursor) = cursor();
        for _ in 0..20 {
            message(&geometry, &mut cursor, 8);
        }
        let next = CommitWord::message(8, cursor.sequence());
        assert!(cursor.expects(next));
        cursor.go_to(cursor.boundary());
        assert!(!cursor.expects(next));
        assert!(!cursor.expects(CommitWord::from_raw(0)));
        // One check is enough to go on, because the run was not interrupted.
        assert!(!message(&geometry, &mut cursor, 8));
        assert!(message(&geometry, &mut cursor, 8));
    }
}
