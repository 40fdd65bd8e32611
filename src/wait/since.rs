//! When a call that never waits makes the checks that are made rarely.
//!
//! Layer 4. A caller that polls never reaches the checks of [`until`](super::until): whether a peer is
//! alive, and what dead processes still hold. A call that found nothing makes them itself, but only if the
//! last check was long enough ago.
//!
//! Most calls of a fast poller do not read the clock. The number of calls between two readings adapts to
//! how often they come, and is bounded.
//!
//! | the caller polls | a reading of the clock every | a question every |
//! |---|---|---|
//! | without a pause | [`MOST_CALLS`] calls | [`ASK_EVERY`] and up to as many calls |
//! | less often than each [`ASK_EVERY`] | call | call, after at most seven changes of habit |

use core::time::Duration;
use std::time::Instant;

/// The time between two such checks of a handle that polls.
pub const ASK_EVERY: Duration = Duration::from_millis(10);

/// At most so many calls come between two readings of the clock, the one that reads included.
pub const MOST_CALLS: u8 = 128;

/// When a handle last asked. A fresh one never has, so its first question is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Since {
    asked: Option<Instant>,
    /// The calls that pass before the clock is read again.
    left: u8,
    /// How many passed before it was read the last time.
    skipped: u8,
}

impl Since {
    /// Returns `true` if the last question is [`ASK_EVERY`] ago or there was none, and counts as asking
    /// then. May return `false` for up to [`MOST_CALLS`] further calls without reading the clock.
    #[inline]
    pub fn due(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.read()
    }

    /// Reads the clock. Twice as many calls pass before the next reading if this one came too early,
    /// half as many if it did not.
    #[cold]
    fn read(&mut self) -> bool {
        let first = self.asked.is_none();
        let due = self.due_at(Instant::now());
        self.skipped = match due {
            true if first => 0,
            true => self.skipped / 2,
            false => (self.skipped * 2 + 1).min(MOST_CALLS - 1),
        };
        self.left = self.skipped;
        due
    }

    /// Like [`due`](Self::due), with a given reading of the clock, which each call uses.
    pub fn due_at(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|asked| now - asked >= ASK_EVERY);
        if due {
            self.asked = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls up to the next one for which the clock is read, that one included.
    fn calls_to_a_reading(since: &Since) -> u8 {
        since.left + 1
    }

    #[test]
    fn a_question_is_due_at_first_and_then_once_in_a_while() {
        let mut since = Since::default();
        assert!(since.due());
        since.asked = Some(Instant::now() + Duration::from_secs(3600));
        assert!(!since.due());
        since.asked = Instant::now().checked_sub(ASK_EVERY);
        // One call may pass before the clock is read again.
        assert!(since.due() || since.due());
        assert!(since
            .asked
            .is_some_and(|asked| asked.elapsed() < Duration::from_secs(3600)));
    }

    #[test]
    fn who_polls_without_a_pause_reads_the_clock_in_one_of_many_calls() {
        let mut since = Since::default();
        assert!(since.due());
        let later = Instant::now() + Duration::from_secs(3600);
        since.asked = Some(later);
        let mut readings = 0;
        for _ in 0..10 * u32::from(MOST_CALLS) {
            readings += u32::from(since.left == 0);
            assert!(!since.due());
            assert!(calls_to_a_reading(&since) <= MOST_CALLS);
        }
        // Seven while it learns.
        assert!((10..=17).contains(&readings), "{readings}");
        assert_eq!(since.skipped, MOST_CALLS - 1);
    }

    #[test]
    fn who_comes_to_poll_rarely_asks_in_each_call() {
        let mut since = Since {
            skipped: MOST_CALLS - 1,
            ..Since::default()
        };
        let mut unasked = 0;
        for _ in 0..1000 {
            since.asked = Instant::now().checked_sub(ASK_EVERY);
            unasked = if since.due() { 0 } else { unasked + 1 };
            assert!(unasked < u32::from(MOST_CALLS));
        }
        assert_eq!((since.skipped, unasked), (0, 0));
    }
}
