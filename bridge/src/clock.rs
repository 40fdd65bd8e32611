//! By how much the clock of a source's host is ahead, and how far that may be wrong.
//!
//! A mirror asks the source for its time. The source looked at its clock at some moment between the question and the answer,
//! so the difference to the middle of the two is wrong by at most half the time between them. Of the latest answers the one
//! that took the shortest counts: what makes others slower, makes them less exact.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Answers that are kept: clocks drift apart, so old ones say nothing any more.
const KEPT: usize = 16;

/// The wall clock of this host, in nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// How far the clock of another host is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Nanoseconds to add to the time of this host for that of the other.
    pub ns: i64,
    /// The most nanoseconds by which that is wrong, in either direction.
    pub uncertainty_ns: u64,
}

/// What a mirror knows of its source's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    answers: VecDeque<Offset>,
}

impl Clock {
    /// The other host said `other_ns`; it was asked when the clock of this host said `asked_ns`, and the answer took so long.
    pub fn answer(&mut self, asked_ns: u64, took: Duration, other_ns: u64) {
        let half = u64::try_from(took.as_nanos() / 2).unwrap_or(u64::MAX);
        let middle = i128::from(asked_ns) + i128::from(half);
        let Ok(ns) = i64::try_from(i128::from(other_ns) - middle) else {
            return;
        };
        if self.answers.len() == KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back(Offset {
            ns,
            // Half a nanosecond was cut off.
            uncertainty_ns: half.saturating_add(1),
        });
    }

    /// The best of the latest answers; `None` before the first.
    pub fn offset(&self) -> Option<Offset> {
        self.answers
            .iter()
            .copied()
            .min_by_key(|o| o.uncertainty_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, KEPT};
    use std::time::Duration;

    /// Whenever the other host looked at its clock, and however far that is off, the offset is wrong by no more than it says.
    #[test]
    fn an_offset_is_wrong_by_no_more_than_it_says() {
        for ahead in [-5_000_000_000i64, -1, 0, 7, 86_400_000_000_000] {
            for took in [0u64, 1, 2, 999, 1_000_001] {
                for there in [0, took / 3, took / 2, took] {
                    let asked = 1_790_000_000_000_000_000u64;
                    let other = (asked + there).checked_add_signed(ahead).unwrap();
                    let mut clock = Clock::default();
                    clock.answer(asked, Duration::from_nanos(took), other);
                    let offset = clock.offset().unwrap();
                    let wrong = offset.ns.abs_diff(ahead);
                    assert!(wrong <= offset.uncertainty_ns, "{ahead} {took} {there}");
                    assert!(offset.uncertainty_ns <= took / 2 + 1);
                }
            }
        }
    }

    #[test]
    fn the_fastest_of_the_latest_answers_counts() {
        let mut clock = Clock::default();
        assert_eq!(clock.offset(), None);
        for took in [500, 20, 300] {
            clock.answer(1000, Duration::from_nanos(took), 1000);
        }
        assert_eq!(clock.offset().unwrap().uncertainty_ns, 11);
        for _ in 0..KEPT - 1 {
            clock.answer(1000, Duration::from_nanos(800), 1000);
        }
        // The fast one is too long ago.
        assert_eq!(clock.offset().unwrap().uncertainty_ns, 151);
        // What no clock says is no answer.
        clock.answer(0, Duration::ZERO, u64::MAX);
        assert_eq!(clock.offset().unwrap().uncertainty_ns, 151);
    }
}
