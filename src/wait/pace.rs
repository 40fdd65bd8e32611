//! The consumer's distance: a little behind the producer while a stream runs flat out, none else.
//!
//! Layer 4. A reader that catches up polls the very line the producer is writing, which slows both.
//! So it measures. Only while bytes arrive faster than [`FAST`], it pauses once at the first empty
//! poll after a run of messages, and whenever the producer is less than the lag target ahead. Paced
//! and bursty streams stay below the rate and never pay. The constants were measured on one
//! machine, see `docs/performance.md`.

use crate::sync::spin_hint;
use core::time::Duration;
use std::time::Instant;

/// Bytes per nanosecond above which a stream counts as running flat out: 72 bytes in 38 ns.
const FAST: f64 = 72.0 / 38.0;
/// The first pause; doubled while the stream stays fast.
const SHORTEST: Duration = Duration::from_nanos(370);
/// The longest pause; also the most that the end of a fast stream can be late by.
const LONGEST: Duration = Duration::from_nanos(1500);
/// Bytes between two looks at the lag, and the lag target, for small messages.
const LOOK_EVERY: u64 = 2048;
const LAG: u64 = 8192;

/// The state of one reader's rule. All private.
#[derive(Debug)]
pub struct Pace {
    enabled: bool,
    capacity: u64,
    /// Bytes since the last look, and where the next one is due.
    bytes: u64,
    look_at: u64,
    /// Messages since the last look, and since the last empty poll.
    messages: u64,
    run: u64,
    /// Of the current window: every second look ends one.
    window_bytes: u64,
    second_look: bool,
    since: Option<Instant>,
    /// Zero unless the stream runs flat out.
    pause: Duration,
    lag: u64,
}

impl Pace {
    /// The rule for a ring of this capacity, or one that never pauses.
    pub fn new(enabled: bool, capacity: u64) -> Self {
        Self {
            enabled,
            capacity,
            bytes: 0,
            look_at: if enabled { LOOK_EVERY } else { u64::MAX },
            messages: 0,
            run: 0,
            window_bytes: 0,
            second_look: false,
            since: None,
            pause: Duration::ZERO,
            lag: LAG.min(capacity / 4),
        }
    }

    /// Counts a message of `bytes` bytes; `true` when a [`look`](Self::look) is due.
    #[inline(always)]
    #[must_use]
    pub fn took(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        self.messages += 1;
        self.run += 1;
        self.bytes >= self.look_at
    }

    /// Counts several messages at once, as [`took`](Self::took).
    #[inline(always)]
    #[must_use]
    pub fn took_many(&mut self, messages: u64, bytes: u64) -> bool {
        self.bytes += bytes;
        self.messages += messages;
        self.run += messages;
        self.bytes >= self.look_at
    }

    /// Measures, and pauses if the producer is less than the target ahead of a fast reader. Call
    /// with everything read so far released.
    #[cold]
    pub fn look(&mut self, ahead: u64) {
        if !self.enabled {
            self.bytes = 0;
            return;
        }
        let frame = self.bytes / self.messages.max(1);
        self.window_bytes += self.bytes;
        self.look_at = LOOK_EVERY.max(32 * frame);
        self.lag = LAG.max(64 * frame).min(self.capacity / 4);
        (self.bytes, self.messages) = (0, 0);
        self.second_look = !self.second_look;
        if !self.second_look {
            self.measure();
        }
        if !self.pause.is_zero() && ahead < self.lag {
            self.wait();
        }
    }

    fn measure(&mut self) {
        let now = Instant::now();
        if let Some(since) = self.since {
            let nanos = (now - since).as_nanos() as f64;
            self.pause = if self.window_bytes as f64 >= FAST * nanos {
                (self.pause * 2).clamp(SHORTEST, LONGEST)
            } else {
                Duration::ZERO
            };
        }
        self.since = Some(now);
        self.window_bytes = 0;
    }

    /// Notes an empty poll; pauses once after a run of messages of a fast stream. `true` if it
    /// did, so that polling again now is worth while.
    #[inline(always)]
    pub fn empty(&mut self) -> bool {
        let pauses = self.run >= 2 && !self.pause.is_zero();
        self.run = 0;
        if pauses {
            self.wait();
        }
        pauses
    }

    #[cold]
    fn wait(&mut self) {
        let start = Instant::now();
        while start.elapsed() < self.pause {
            spin_hint();
        }
    }
}

#[cfg(all(test, not(slipring_loom)))]
mod tests {
    use super::*;

    fn feed(pace: &mut Pace, messages: u64, bytes: u64, ahead: u64) {
        for _ in 0..messages {
            if pace.took(bytes) {
                pace.look(ahead);
            }
        }
    }

    #[test]
    fn a_flat_out_stream_is_kept_at_a_distance() {
        let mut pace = Pace::new(true, 1 << 20);
        // Counting is far faster than 38 ns a message on any machine that can run this.
        feed(&mut pace, 10_000, 4096, u64::MAX);
        assert!(pace.pause >= SHORTEST);
        assert!(pace.empty() && !pace.empty(), "once per run");
    }

    #[test]
    fn a_slow_stream_and_a_disabled_rule_never_pause() {
        let mut pace = Pace::new(true, 1 << 20);
        feed(&mut pace, 200, 64, 0);
        pace.since = Instant::now().checked_sub(Duration::from_secs(1));
        feed(&mut pace, 400, 64, 0);
        pace.measure();
        pace.since = Instant::now().checked_sub(Duration::from_secs(1));
        pace.measure();
        assert!(pace.pause.is_zero() && !pace.empty());
        let mut off = Pace::new(false, 1 << 20);
        feed(&mut off, 10_000, 4096, 0);
        assert!(!off.empty());
    }
}
