//! The latency of messages from the producer to a consumer, in rings whose messages carry a stamp.
//!
//! Layer 5. The stamp is the first word of a message, which readers never see. Each consumer keeps a
//! histogram on the board of its ring, in words that only it writes, so any reader of the ring may read it
//! meanwhile.

use crate::attach::shown;
use crate::layout::frame::WORD;
use crate::layout::histogram::{bucket_of, longest_in, AHEAD, BUCKETS, LONGEST, WORDS};
use crate::segment::Memory;
use crate::sync::Ordering::Relaxed;
use core::time::Duration;
use rustix::time::{clock_gettime, ClockId};

/// The bucket for all longer times.
const LAST: u32 = BUCKETS - 1;

/// Bytes of a stamp.
pub(super) const STAMP: usize = WORD as usize;

/// The time of a stamp: the clock that all processes of a machine share, in nanoseconds.
#[inline]
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}

/// The latencies of one consumer's messages since it attached. They are read while the consumer goes on, so
/// the numbers belong to slightly different moments.
///
/// A latency is the time from the call that published the message, including its wait for room, to the call
/// that received it. It is at most a sixteenth too large.
#[derive(Clone)]
pub struct Latencies {
    counts: Box<[u64]>,
    longest: u64,
    ahead: u64,
}

shown!([] Latencies, "Latencies", |latencies| count = latencies.count(), longest = latencies.longest());

impl Latencies {
    /// Returns how many messages were timed.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Returns the time that this many percent of the messages did not exceed; `None` if there were none. A
    /// percentage outside 0 to 100 is clamped.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let count = self.count();
        let rank = (count as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64;
        let mut seen = 0u64;
        for (bucket, n) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*n);
            if seen >= rank.max(1) {
                return Some(self.longest_in(bucket as u32));
            }
        }
        None
    }

    /// Returns the longest time, exactly.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// Returns how many stamps lay in the future, and were not timed: the clocks of the two processes are
    /// not the same, as in different time namespaces, or the producer writes invalid stamps.
    pub fn ahead(&self) -> u64 {
        self.ahead
    }

    /// Returns the buckets that hold anything: the longest time of each, and how many messages.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let buckets = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        buckets.map(|(bucket, n)| (self.longest_in(bucket as u32), *n))
    }

    /// The longest time that a bucket may hold. The last one has no bound of its own.
    fn longest_in(&self, bucket: u32) -> Duration {
        Duration::from_nanos(match bucket {
            LAST => self.longest,
            bucket => longest_in(bucket).min(self.longest),
        })
    }

    /// Reads the histogram of a row; `None` if the ring has none.
    pub(super) fn of_row(memory: &Memory, row: u32) -> Option<Self> {
        let word = |at: u32| word(memory, row, at).map(|word| word.load(Relaxed));
        let counts: Option<Box<[u64]>> = (0..BUCKETS).map(word).collect();
        Some(Self {
            counts: counts?,
            longest: word(LONGEST)?,
            ahead: word(AHEAD)?,
        })
    }
}

fn word(memory: &Memory, row: u32, at: u32) -> Option<&crate::sync::AtomicU64> {
    if !memory.geometry().stamped {
        return None;
    }
    memory.board(row * WORDS + at)
}

/// Clears the histogram of the last owner of a row.
pub(super) fn begin(memory: &Memory, row: u32) {
    for at in 0..WORDS {
        if let Some(word) = word(memory, row, at) {
            word.store(0, Relaxed);
        }
    }
}

/// Records that a message with this stamp was received now. Call only as the owner of the row: it reads
/// only what this process wrote, so no ordering with other words is needed.
#[inline]
pub(super) fn record(memory: &Memory, row: u32, stamp: u64) {
    let took = now().checked_sub(stamp);
    let at = took.map_or(AHEAD, bucket_of);
    if let Some(word) = word(memory, row, at) {
        word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
    }
    let longest = word(memory, row, LONGEST).zip(took);
    if let Some((longest, took)) = longest.filter(|(word, took)| word.load(Relaxed) < *took) {
        longest.store(took, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours, in a histogram whose buckets end at 18 minutes.
    #[test]
    fn times_beyond_the_last_bucket_are_not_said_to_be_shorter() {
        let hours = [3600u64, 2 * 3600, 3 * 3600].map(|s| s * 1_000_000_000);
        let mut counts = vec![0; BUCKETS as usize];
        counts[bucket_of(1000) as usize] = 1;
        for nanos in hours {
            counts[bucket_of(nanos) as usize] += 1;
        }
        let latencies = Latencies {
            counts: counts.into(),
            longest: hours[2],
            ahead: 0,
        };
        let longest = Duration::from_nanos(hours[2]);
        assert_eq!(latencies.longest(), longest);
        for percent in [50.0, 99.0, 100.0] {
            let bound = latencies.percentile(percent).unwrap();
            assert!(bound >= Duration::from_nanos(hours[1]), "{percent}");
            assert!(bound <= longest);
        }
        let short = latencies.percentile(25.0).unwrap();
        assert!(short < Duration::from_nanos(1100), "{short:?}");
        assert_eq!(latencies.buckets().last(), Some((longest, 3)));
    }
}
