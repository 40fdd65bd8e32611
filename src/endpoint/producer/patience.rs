//! How long a consumer has held one publish back, counted only while the producer ran.
//!
//! Layer 5. Callers pass the time.

use core::time::Duration;
use std::time::Instant;

/// The most that one step counts at first: far more than the time between two looks of a running producer.
const STEP: Duration = Duration::from_millis(10);
/// By which factor a step may be longer than those before. So a caller that tries rarely is counted in full
/// after some steps.
const GROWTH: u32 = 4;

/// The account of one publish. A step from one look to the next counts only up to a multiple of earlier
/// steps: if the producer was stopped meanwhile, its consumer may have been stopped with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    sequence: u64,
    looked: Instant,
    counted: Duration,
    step: Duration,
}

impl Stall {
    /// Begins with the first refusal.
    pub(super) fn new(sequence: u64, now: Instant) -> Self {
        Self {
            sequence,
            looked: now,
            counted: Duration::ZERO,
            step: Duration::ZERO,
        }
    }

    /// The publish that is held back.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Counts the time since the last look. Returns the total.
    pub(super) fn look(&mut self, now: Instant) -> Duration {
        let longest = STEP.max(self.step.saturating_mul(GROWTH));
        self.step = now.saturating_duration_since(self.looked).min(longest);
        self.looked = now;
        self.counted = self.counted.saturating_add(self.step);
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_time_of_a_producer_that_runs_counts_and_that_of_a_stopped_one_does_not() {
        let mut now = Instant::now();
        let mut stall = Stall::new(7, now);
        let mut counted = Duration::ZERO;
        for _ in 0..20 {
            now += 2 * MS;
            counted = stall.look(now);
        }
        assert_eq!((stall.sequence(), counted), (7, 40 * MS));
        // Stopped for an hour.
        now += 3600 * 1000 * MS;
        assert_eq!(stall.look(now), 50 * MS);
        now += 2 * MS;
        assert_eq!(stall.look(now), 52 * MS);
    }

    #[test]
    fn a_caller_that_tries_seldom_is_believed_in_time() {
        let mut now = Instant::now();
        let mut stall = Stall::new(0, now);
        let tries = (1..).find(|_| {
            now += 1000 * MS;
            stall.look(now) >= 200 * MS
        });
        assert_eq!(tries, Some(3));
    }
}
