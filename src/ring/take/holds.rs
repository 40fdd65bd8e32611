//! What takers hold, for takers that give each other only so much time: a hold that stays the same for too long is
//! revoked.
//!
//! Layer 3, no unsafe code, no clock: the caller remembers since when it has seen a hold. A take word counts the takings
//! of its message, up to 255. Until then no two takings have the same word: a word that two looks of a process found
//! the same did not change between them, and a compare-and-swap from it ends that taking and no later one. From the
//! 255th taking on, one receiver's takings of a message look alike, and one of them may be ended early.

use super::{announce, TakeWord, Taker, LAP_BITS};
use crate::ring::ahead;
use crate::sync::Ordering::Relaxed;

/// One message that is taken, or returned and not taken yet, as one look found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Number of the message.
    pub sequence: u64,
    word: u64,
}

/// The messages among which one taker looks for holds: those that it has come by and that are not done.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    from: u64,
    to: u64,
}

impl Watch {
    /// For the messages of the taker's lane.
    pub fn new(taker: &Taker) -> Self {
        let first = taker.board.first_sequence;
        Self {
            from: first,
            to: first,
        }
    }

    /// Shows each hold, in the order of the messages. Loads only.
    pub fn look(&mut self, taker: &Taker, mut show: impl FnMut(Hold)) {
        // One at the beginning has come by none, and may not know its first sequence yet.
        if taker.position != 0 && ahead(taker.sequence, self.to) > 0 {
            self.to = taker.sequence;
        }
        // Older messages are done.
        let depth = u64::from(taker.board.depth);
        if self.to.wrapping_sub(self.from) > depth {
            self.from = self.to.wrapping_sub(depth);
        }
        let (mut sequence, mut done) = (self.from, true);
        while sequence != self.to {
            if let Some((word, lap)) = taker.board.word(sequence) {
                let word = TakeWord(word.load(Relaxed));
                done &= word.lap() != lap & LAP_BITS;
                if word.lap() == lap & LAP_BITS && word.0 & 3 != 0 {
                    show(Hold {
                        sequence,
                        word: word.0,
                    });
                }
            }
            sequence = sequence.wrapping_add(1);
            if done {
                self.from = sequence;
            }
        }
    }
}

/// Returns a message for its taker, unless the hold has changed since it was seen. Returns `true` if the message may be
/// taken now.
///
/// A message that is returned already is announced once more: the process that returned it may have been stopped before
/// it announced that.
pub fn revoke(taker: &Taker, hold: Hold) -> bool {
    let Some((word, _)) = taker.board.word(hold.sequence) else {
        return false;
    };
    let held = TakeWord(hold.word);
    let returned = match held.taker() {
        Some(_) => word.compare_exchange(held.0, held.returned().0, Relaxed, Relaxed),
        None => Ok(held.0),
    };
    if returned.is_ok() {
        announce(&taker.board);
    }
    returned.is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::{board_words, Keeper, FIRST_WORD, MAX_TAKERS};
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::producer::Producer;
    use crate::segment::Memory;

    fn lane(first_sequence: u64) -> (Memory, Producer, Keeper) {
        let geometry = Geometry::new(4096, 8, 2, first_sequence, false).unwrap();
        let memory = Memory::local(geometry.with_board(board_words(4)).unwrap());
        let producer = Producer::attach(memory.clone(), 1).unwrap();
        let keeper = Keeper::attach(memory.clone()).unwrap();
        (memory, producer, keeper)
    }

    fn seen(watch: &mut Watch, taker: &Taker) -> Vec<u64> {
        let mut seen = Vec::new();
        watch.look(taker, |hold| seen.push(hold.sequence));
        seen
    }

    #[test]
    fn a_look_shows_what_is_held_and_nothing_else() {
        for first in [0, 1000, u64::MAX - 7] {
            let (memory, mut to, mut keeper) = lane(first);
            let mut taker = Taker::attach(&memory, 1).unwrap();
            let mut other = Taker::attach(&memory, MAX_TAKERS - 1).unwrap();
            let mut watch = Watch::new(&other);
            assert_eq!(seen(&mut watch, &other), [0; 0]);
            for round in 0..20 {
                let next = first.wrapping_add(4 * round);
                for _ in 0..4 {
                    keeper.reclaim(to.sequence());
                    assert!(keeper.has_word(to.sequence()));
                    to.try_publish(&[1; 40]).unwrap();
                    keeper.sent(to.sequence().wrapping_sub(1), to.position());
                }
                let held: Vec<_> = (0..3).map(|_| taker.try_take().unwrap().unwrap()).collect();
                assert_eq!(held[0].sequence, next);
                taker.finish(held[1]);
                // Nothing that the other one has not come by.
                assert_eq!(seen(&mut watch, &other), [0; 0]);
                let last = other.try_take().unwrap().unwrap();
                assert_eq!(last.sequence, next.wrapping_add(3));
                let all = [0, 2, 3].map(|n| next.wrapping_add(n));
                assert_eq!(seen(&mut watch, &other), all);
                other.finish(last);
                taker.finish(held[0]);
                assert_eq!(seen(&mut watch, &other), [next.wrapping_add(2)]);
                taker.give_back(held[2]);
                // Returned, and so are two takings of one message seen apart.
                assert_eq!(seen(&mut watch, &other), [next.wrapping_add(2)]);
                let again = other.try_take().unwrap().unwrap();
                assert_eq!((again.sequence, again.tries), (held[2].sequence, 2));
                other.finish(again);
                assert_eq!(seen(&mut watch, &other), [0; 0]);
                assert_eq!(watch.from, watch.to, "looks at what is done");
            }
        }
    }

    #[test]
    fn only_the_hold_that_was_seen_is_revoked() {
        let (memory, mut to, _keeper) = lane(0);
        to.try_publish(&[1; 40]).unwrap();
        let mut taker = Taker::attach(&memory, 1).unwrap();
        let mut other = Taker::attach(&memory, 2).unwrap();
        let first = taker.try_take().unwrap().unwrap();
        assert!(other.try_take().unwrap().is_none());
        let mut holds = Vec::new();
        Watch::new(&other).look(&other, |hold| holds.push(hold));
        taker.give_back(first);
        let second = taker.try_take().unwrap().unwrap();
        assert!(!revoke(&other, holds[0]), "a later hold is another one");
        assert!(taker.still_holds(second) && !taker.still_holds(first));
        Watch::new(&other).look(&other, |hold| holds.push(hold));
        assert!(revoke(&other, holds[1]) && !revoke(&other, holds[1]));
        assert!(!taker.still_holds(second) && !taker.finish_if_held(second));
        let third = other.try_take().unwrap().unwrap();
        assert_eq!(third.tries, 3);
        taker.give_back(second);
        assert!(!taker.finish_if_held(second));
        assert!(other.finish_if_held(third) && !other.finish_if_held(third));
    }

    #[test]
    fn what_was_returned_and_not_announced_is_announced() {
        let (memory, mut to, _keeper) = lane(0);
        to.try_publish(&[1; 40]).unwrap();
        let mut taker = Taker::attach(&memory, 1).unwrap();
        let mut other = Taker::attach(&memory, 2).unwrap();
        taker.try_take().unwrap().unwrap();
        assert!(other.try_take().unwrap().is_none());
        // A process that is stopped between the two steps of returning it.
        let word = memory.board(FIRST_WORD).unwrap();
        word.store(TakeWord(word.load(Relaxed)).returned().0, Relaxed);
        assert!(!other.ready() && other.try_take().unwrap().is_none());
        let mut holds = Vec::new();
        Watch::new(&other).look(&other, |hold| holds.push(hold));
        assert!(revoke(&other, holds[0]));
        assert_eq!(other.try_take().unwrap().unwrap().tries, 2);
    }
}
