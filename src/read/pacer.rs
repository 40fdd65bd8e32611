//! Pauses, and flushes what was read.
//!
//! Layer 4. All mechanism and no decision. Nothing here pauses unless it is told a deadline.

use super::{Pacing, Progress};
use crate::sync::spin_hint;
use crate::wait::Deadline;
use core::ops::Range;
use core::time::Duration;
use std::time::Instant;

/// The longest pause.
const LONGEST_PAUSE: u64 = 1_000_000;
/// Bytes that are flushed for each byte read while there is a backlog.
const CATCH_UP: u64 = 4;

/// What a reader has flushed of what it has read.
#[derive(Debug)]
pub struct Flushed {
    /// How far back the producer has certainly not come round to.
    reach: u64,
    /// What had been read at the last look.
    seen: u64,
    /// Everything before was flushed, or will not be.
    done: u64,
}

impl Flushed {
    /// For a ring of this capacity and a reader that begins at `read`.
    pub fn new(capacity: u64, read: Progress) -> Self {
        Self {
            reach: capacity - capacity / 8,
            seen: read.bytes,
            done: read.bytes,
        }
    }

    /// Notes how far the reader is; returns how many bytes it has read since the last time.
    pub fn see(&mut self, read: Progress) -> u64 {
        let new = read.bytes.saturating_sub(self.seen);
        self.seen = read.bytes;
        new
    }

    /// What to flush after `new` bytes more.
    pub fn next(&mut self, new: u64) -> Range<u64> {
        let from = self.done.max(self.seen.saturating_sub(self.reach));
        let most = from.saturating_add(new.saturating_mul(CATCH_UP));
        self.done = self.seen.min(most);
        from..self.done
    }

    /// The reader went elsewhere without reading what lies between; returns how many bytes it skipped.
    pub fn moved(&mut self, to: Progress) -> u64 {
        let skipped = to.bytes.wrapping_sub(self.seen);
        (self.seen, self.done) = (to.bytes, to.bytes);
        skipped
    }
}

/// A reader that does what one pacing says.
#[derive(Debug)]
pub struct Pacer {
    pacing: Pacing,
    lag: u64,
    flushed: Flushed,
}

impl Pacer {
    /// For a ring of this capacity and a reader that begins at `read`.
    pub fn new(pacing: Pacing, capacity: u64, read: Progress) -> Self {
        Self {
            pacing,
            lag: pacing.lag_bytes.min(capacity / 4),
            flushed: Flushed::new(capacity, read),
        }
    }

    /// Returns how long the reader pauses, if it ever does.
    pub fn pause(&self) -> Option<Duration> {
        let nanos = self.pacing.pause_ns.min(LONGEST_PAUSE);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// What to flush now.
    pub fn next_to_flush(&mut self, read: Progress) -> Range<u64> {
        let new = self.flushed.see(read);
        if self.pacing.flush {
            self.flushed.next(new)
        } else {
            0..0
        }
    }

    /// Returns `true` if the producer is nearer than the lag.
    pub fn is_close(&self, ahead: u64) -> bool {
        ahead < self.lag
    }

    /// The reader went elsewhere without reading what lies between.
    pub fn moved(&mut self, to: Progress) {
        let _ = self.flushed.moved(to);
    }
}

/// Pauses for so long, and not beyond the deadline; returns how long that was.
pub fn pause(pause: Duration, deadline: Deadline) -> Duration {
    let start = Instant::now();
    let mut now = start;
    while now - start < pause && !deadline.passed_at(now) {
        spin_hint();
        now = Instant::now();
    }
    now - start
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u64 = 1 << 20;

    fn at(bytes: u64) -> Progress {
        Progress { bytes, messages: 0 }
    }

    #[test]
    fn what_was_read_is_flushed_once_and_no_more_than_the_producer_leaves() {
        let mut read = 1 << 40;
        let mut flushed = Flushed::new(CAPACITY, at(read));
        let mut next = |read| {
            let new = flushed.see(at(read));
            flushed.next(new)
        };
        for _ in 0..100 {
            read += 2304;
            assert_eq!(next(read), read - 2304..read);
        }
        // Flushing is turned on late: it catches up, but not on what may be overwritten already.
        let mut flushed = Flushed::new(CAPACITY, at(read));
        read += 3 * CAPACITY;
        let _ = flushed.see(at(read));
        read += 2304;
        let new = flushed.see(at(read));
        let what = flushed.next(new);
        assert_eq!(what.start, read - (CAPACITY - CAPACITY / 8));
        assert_eq!(what.end - what.start, CATCH_UP * 2304);
        // What was skipped was not read.
        read += 10 * CAPACITY;
        assert_eq!(flushed.moved(at(read)), 10 * CAPACITY);
        assert!(flushed.next(0).is_empty());
        // A stream that lies about positions can lead a reader anywhere.
        for bytes in [1 << 62, u64::MAX, 0, 1 << 63] {
            let new = flushed.see(at(bytes));
            let what = flushed.next(new);
            assert!(what.end.saturating_sub(what.start) <= CAPACITY, "{bytes}");
        }
    }

    #[test]
    fn a_lag_is_at_most_a_quarter_of_the_ring_and_a_pause_a_millisecond() {
        let pacing = Pacing {
            lag_bytes: u64::MAX,
            pause_ns: u64::MAX,
            flush: false,
        };
        let mut pacer = Pacer::new(pacing, CAPACITY, at(0));
        assert!(pacer.is_close(CAPACITY / 4 - 1) && !pacer.is_close(CAPACITY / 4));
        assert_eq!(pacer.pause(), Some(Duration::from_millis(1)));
        assert!(pacer.next_to_flush(at(9999)).is_empty());
        let head = Pacer::new(Pacing::NONE, CAPACITY, at(0));
        assert!(!head.is_close(0) && head.pause().is_none());
    }
}
