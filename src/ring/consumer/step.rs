//! Stepping over the next frame: a message, a pad or a gap.
//!
//! Layer 3, no unsafe code.

use super::{Arrived, Consumer, Lost};
use crate::layout::frame::{CommitWord, WORD};
use crate::ring::cursor::Cursor;
use crate::ring::gap::{checked, claimed};
use crate::ring::index::overtaken;
use crate::ring::{Boundary, Corrupt, Frame, Kind};
use crate::sync::{edge_fence, Ordering::Relaxed};

impl Consumer {
    /// The commit word of the next frame, if it is committed. One load and one compare.
    #[inline(always)]
    pub fn peek(&self) -> Option<CommitWord> {
        let word = self.word();
        word.commits(self.sequence()).then_some(word)
    }

    /// What lies where the next frame begins.
    #[inline(always)]
    fn word(&self) -> CommitWord {
        let word = self.memory.words().at(self.position());
        CommitWord::from_raw(word.load(Relaxed))
    }

    /// Steps over the frame whose commit word [`peek`](Self::peek) just saw; its message, unless it has
    /// none. It stays intact until [`release`](Self::release).
    #[inline(always)]
    pub fn accept(&mut self, word: CommitWord) -> Result<Option<Arrived>, Corrupt> {
        if self.cursor.expects(word) {
            Ok(Some(self.accept_expected()))
        } else {
            self.accept_other(word)
        }
    }

    #[inline(always)]
    fn accept_expected(&mut self) -> Arrived {
        edge_fence!(publish expected: Acquire);
        let arrived = Arrived {
            payload: self.position() + WORD,
            len: self.cursor.expected_len(),
            sequence: self.sequence(),
        };
        self.cursor.step();
        arrived
    }

    #[inline(always)]
    fn accept_other(&mut self, word: CommitWord) -> Result<Option<Arrived>, Corrupt> {
        edge_fence!(publish consume: Acquire);
        let geometry = self.memory.geometry();
        let frame = self.cursor.decode(geometry, word)?;
        if frame.kind == Kind::Gap {
            return self.accept_gap(word, frame).map(|()| None);
        }
        let arrived = Arrived {
            payload: self.position() + WORD,
            len: frame.len,
            sequence: self.sequence(),
        };
        self.cursor.pass(geometry, frame);
        Ok((frame.kind == Kind::Message).then_some(arrived))
    }

    /// Steps over a gap. What it says was intact when this returns `Ok`; of a consumer that lost its place, it
    /// may not have been, and the error is to be ignored, as are the others it finds.
    #[cold]
    #[inline(never)]
    fn accept_gap(&mut self, word: CommitWord, frame: Frame) -> Result<(), Corrupt> {
        let at = self.cursor.boundary();
        if self.gaps.refused {
            return Err(Corrupt::NoGaps {
                position: at.position,
            });
        }
        let gap = checked(&self.memory, at, claimed(&self.memory, at.position, word))?;
        if self.displaced() {
            return Err(Corrupt::Gap {
                position: at.position,
            });
        }
        self.gaps.pass(gap, frame.end);
        self.gaps.held = true;
        self.cursor.go_to(Boundary {
            position: frame.end,
            sequence: gap.end,
        });
        Ok(())
    }

    /// Takes the next message, if it is there and the slow path is not needed. It stays intact until
    /// [`release`](Self::release). Steps over a frame without a message, and takes nothing then.
    #[inline(always)]
    pub fn take(&mut self) -> Option<Arrived> {
        let word = self.word();
        if self.cursor.expects(word) {
            Some(self.accept_expected())
        } else if word.commits(self.sequence()) {
            self.accept_other(word).ok().flatten()
        } else {
            None
        }
    }

    /// Takes the next message, if there is one. It stays intact until [`release`](Self::release).
    #[inline(never)]
    pub fn try_next(&mut self) -> Result<Option<Arrived>, Corrupt> {
        // Out of line behind this, so that a caller who polls saves no registers.
        match self.peek() {
            Some(word) => self.next_there(word),
            None => Ok(None),
        }
    }

    #[inline(never)]
    fn next_there(&mut self, word: CommitWord) -> Result<Option<Arrived>, Corrupt> {
        match self.accept_other(word)? {
            Some(arrived) => Ok(Some(arrived)),
            None => self.next_behind(),
        }
    }

    /// The next message, behind a frame without one. Everything that was committed before the call lies in one
    /// lap, so the call ends although a producer may go on adding gaps.
    #[cold]
    #[inline(never)]
    fn next_behind(&mut self) -> Result<Option<Arrived>, Corrupt> {
        let farthest = self.position() + self.memory.geometry().capacity;
        while let Some(word) = self.peek().filter(|_| self.position() <= farthest) {
            if let Some(arrived) = self.accept_other(word)? {
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }

    /// Returns `true` if it stepped over a gap, and neither [`release_gap`](Self::release_gap) nor
    /// [`found_behind_gap`](Self::found_behind_gap) was called since.
    #[inline(always)]
    pub fn holds_gap(&self) -> bool {
        self.gaps.held
    }

    /// Notes that a message was found behind the last gap, with which its space is given back.
    pub fn found_behind_gap(&mut self) {
        self.gaps.held = false;
    }

    /// Gives back the last gap, and what lies before it, if no message has followed it yet: a consumer which has
    /// read everything holds nothing back. With something `untold`, which the row is to stay before, only once
    /// half the ring is held. Returns `true` if it did. Call with nothing lent.
    pub fn release_gap(&mut self, untold: bool) -> bool {
        self.gaps.held && self.release_held(untold)
    }

    #[cold]
    #[inline(never)]
    fn release_held(&mut self, untold: bool) -> bool {
        // By its sequence: the pad of a lap may have followed, ahead of a message that is not committed yet.
        let stands = self.gaps.last.is_some_and(|gap| gap.end == self.sequence());
        let row = self.own_row().map_or(0, |row| row.position.load(Relaxed));
        let held = self.position().wrapping_sub(row);
        if untold && stands && held < self.memory.geometry().capacity / 2 {
            return false;
        }
        self.gaps.held = false;
        if stands {
            self.release();
        }
        stands
    }

    /// Like [`try_next`](Self::try_next) for a ring that evicts: copies the payload to `out`, which holds
    /// the largest message, and takes it only if it was intact.
    #[inline(always)]
    pub fn try_copy(&mut self, out: &mut [u64]) -> Result<Option<Arrived>, Lost> {
        let before = self.cursor;
        let taken = match self.try_next() {
            Ok(Some(arrived)) => {
                let words = (arrived.len as usize).div_ceil(WORD as usize);
                if let Some(out) = out.get_mut(..words) {
                    self.memory.words().copy_out(arrived.payload, out);
                }
                Ok(Some(arrived))
            }
            Ok(None) if before.position() == self.position() => return Ok(None),
            other => other,
        };
        // Overtaken but not evicted: another process overwrote this consumer's row.
        if self.evicted() || overtaken(&self.memory, before.position()) {
            self.go_back(before);
            return Err(Lost::Evicted);
        }
        taken.map_err(Lost::Corrupt)
    }

    /// Goes back to where it was, or behind a gap that it has passed since: that is counted, and was intact.
    #[cold]
    fn go_back(&mut self, before: Cursor) {
        self.cursor = match self.gaps.last {
            Some(gap) if self.gaps.end > before.position() => Cursor::new(Boundary {
                position: self.gaps.end,
                sequence: gap.end,
            }),
            _ => before,
        };
    }
}
