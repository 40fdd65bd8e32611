//! The reader's distance: a little behind the producer while a stream runs flat out, none else.
//!
//! Layer 4. A reader that catches up polls the very line the producer is writing, and every message
//! then costs both of them a transfer of that line. Standing back lets both sides overlap their
//! misses, at the price of latency, so it is done only where nothing but throughput is at stake.
//! What is measured, per window of at least 64 messages, decides:
//!
//! - A stream above [`FAST`] runs flat out.
//! - A slower one may be slow *because* the reader stands too close. So, rarely, the reader stands
//!   back once, for [`PROBE`], and counts what arrives meanwhile: a paced producer delivers at the
//!   rate measured before, a hindered one at a multiple of it.
//! - While standing back, each pause must collect enough messages to have been worth it, and from
//!   time to time the reader comes close again and measures afresh.
//!
//! A reader whose messages come one at a time never pauses: it takes two in a row to begin.

use crate::sync::spin_hint;
use core::time::Duration;
use std::time::Instant;

/// Bytes per nanosecond above which a stream certainly runs flat out: 72 bytes in 38 ns.
const FAST: f64 = 72.0 / 38.0;
/// How long a pause is at first, and at most; also what the end of a fast stream can be late by.
const SHORTEST: Duration = Duration::from_nanos(1500);
const LONGEST: Duration = Duration::from_nanos(6000);
/// A pause that collects fewer bytes is doubled: the farther the cores are apart, the longer it takes
/// for the misses of both sides to overlap.
const ENOUGH_BYTES: u64 = 64 << 10;
/// How long the reader stands back to find out.
const PROBE: Duration = Duration::from_nanos(1000);
/// A pause is worth it if it collects so many messages, or so many bytes.
const WORTH_MESSAGES: u64 = 8;
const WORTH_BYTES: u64 = 2048;
/// Windows between two probes, doubled while they find nothing.
const FIRST_PROBE: u32 = 16;
const LAST_PROBE: u32 = 1024;
/// Windows after which a reader that stands back comes close again to measure.
const RECHECK: u32 = 1024;
/// Messages without an empty poll after which a reader that is close counts as following.
const LONG_RUN: u64 = 32;
/// Bytes between two looks at the lag, and the lag target, for small messages.
const LOOK_EVERY: u64 = 2048;
const LAG: u64 = 32 << 10;

/// What the reader is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Stays close; a probe is due after so many windows.
    Close { windows: u32 },
    /// Waits for a moment to stand back once.
    Due,
    /// Stood back, and counts what had arrived.
    Counting { bytes: u64, messages: u64 },
    /// Stands back; comes close again after so many windows.
    Back { windows: u32 },
}

/// The state of one reader's rule. All private.
#[derive(Debug)]
pub struct Pace {
    enabled: bool,
    capacity: u64,
    state: State,
    /// Bytes and messages since the last look, and where the next one is due.
    bytes: u64,
    messages: u64,
    look_at: u64,
    /// Messages since the last empty poll.
    run: u64,
    /// The current window: every second look ends one.
    window_bytes: u64,
    window_messages: u64,
    window_pauses: u64,
    second_look: bool,
    since: Option<Instant>,
    /// Bytes per nanosecond of the last window without a pause.
    rate: f64,
    probe_every: u32,
    pause: Duration,
    lag: u64,
}

impl Pace {
    /// The rule for a ring of this capacity, or one that never pauses.
    pub fn new(enabled: bool, capacity: u64) -> Self {
        Self {
            enabled,
            capacity,
            state: State::Close {
                windows: FIRST_PROBE,
            },
            bytes: 0,
            messages: 0,
            look_at: if enabled { LOOK_EVERY } else { u64::MAX },
            run: 0,
            window_bytes: 0,
            window_messages: 0,
            window_pauses: 0,
            second_look: false,
            since: None,
            rate: 0.0,
            probe_every: FIRST_PROBE,
            pause: SHORTEST,
            lag: LAG.min(capacity / 4),
        }
    }

    /// Counts messages; `true` when a [`look`](Self::look) is due.
    #[inline(always)]
    #[must_use]
    pub fn took(&mut self, messages: u64, bytes: u64) -> bool {
        self.bytes += bytes;
        self.messages += messages;
        self.run += messages;
        self.bytes >= self.look_at
    }

    /// Measures, and pauses where that is due and the producer is less than the target `ahead`.
    /// Call with everything read so far released.
    #[cold]
    pub fn look(&mut self, ahead: u64) {
        if !self.enabled {
            self.bytes = 0;
            return;
        }
        let frame = self.bytes / self.messages.max(1);
        self.window_bytes += self.bytes;
        self.window_messages += self.messages;
        self.look_at = LOOK_EVERY.max(32 * frame);
        self.lag = LAG.max(64 * frame).min(self.capacity / 4);
        if let State::Counting { bytes, messages } = &mut self.state {
            *bytes += self.bytes;
            *messages += self.messages;
            if *messages >= 64 {
                self.count_probe();
            }
        }
        (self.bytes, self.messages) = (0, 0);
        self.second_look = !self.second_look;
        if !self.second_look {
            self.end_window();
        }
        // Only without an empty poll for a while: a reader that follows right behind never has one.
        if self.run >= LONG_RUN && ahead < self.lag {
            self.stand_back();
        }
    }

    /// Notes an empty poll; pauses once after a run of messages where that is due.
    #[inline(always)]
    pub fn empty(&mut self) {
        if !matches!(self.state, State::Close { .. }) {
            self.empty_while_looking();
        }
        self.run = 0;
    }

    #[cold]
    fn empty_while_looking(&mut self) {
        if let State::Counting { bytes, messages } = &mut self.state {
            // What had arrived meanwhile has been read.
            *bytes += self.bytes;
            *messages += self.messages;
            self.count_probe();
        }
        if self.run >= 2 {
            self.stand_back();
        }
    }

    fn stand_back(&mut self) {
        let pause = match self.state {
            State::Back { .. } => {
                self.window_pauses += 1;
                self.pause
            }
            State::Due => {
                self.window_bytes += self.bytes;
                self.window_messages += self.messages;
                (self.bytes, self.messages) = (0, 0);
                self.state = State::Counting {
                    bytes: 0,
                    messages: 0,
                };
                PROBE
            }
            State::Close { .. } | State::Counting { .. } => return,
        };
        let start = Instant::now();
        while start.elapsed() < pause {
            spin_hint();
        }
    }

    /// Compares what arrived while the reader stood back with what came before.
    fn count_probe(&mut self) {
        let State::Counting { bytes, messages } = self.state else {
            return;
        };
        let rate = bytes as f64 / PROBE.as_nanos() as f64;
        self.state = if messages >= WORTH_MESSAGES && rate >= 2.0 * self.rate {
            self.probe_every = FIRST_PROBE;
            State::Back { windows: RECHECK }
        } else {
            self.probe_every = (self.probe_every * 2).min(LAST_PROBE);
            State::Close {
                windows: self.probe_every,
            }
        };
    }

    fn end_window(&mut self) {
        let now = Instant::now();
        if let Some(since) = self.since {
            let rate = self.window_bytes as f64 / (now - since).as_nanos().max(1) as f64;
            self.state = self.after_window(rate);
        }
        self.since = Some(now);
        (self.window_bytes, self.window_messages, self.window_pauses) = (0, 0, 0);
    }

    fn after_window(&mut self, rate: f64) -> State {
        match self.state {
            State::Close { windows } => {
                self.rate = rate;
                if rate >= FAST {
                    State::Back { windows: RECHECK }
                } else if windows == 0 {
                    State::Due
                } else {
                    State::Close {
                        windows: windows - 1,
                    }
                }
            }
            State::Back { windows } => {
                let pauses = self.window_pauses.max(1);
                let (messages, bytes) = (self.window_messages / pauses, self.window_bytes / pauses);
                let worth =
                    self.window_pauses == 0 || messages >= WORTH_MESSAGES || bytes >= WORTH_BYTES;
                if !worth || windows == 0 {
                    self.pause = SHORTEST;
                } else if bytes < ENOUGH_BYTES {
                    self.pause = (self.pause * 2).min(LONGEST);
                }
                match windows {
                    // One window close by, then find out at once.
                    0 => State::Close { windows: 1 },
                    _ if !worth => State::Close {
                        windows: self.probe_every,
                    },
                    _ => State::Back {
                        windows: windows - 1,
                    },
                }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(pace: &mut Pace, messages: u64, bytes: u64, ahead: u64) {
        for _ in 0..messages {
            if pace.took(1, bytes) {
                pace.look(ahead);
            }
        }
    }

    fn stands_back(pace: &Pace) -> bool {
        matches!(pace.state, State::Back { .. })
    }

    #[test]
    fn a_flat_out_stream_is_kept_at_a_distance() {
        let mut pace = Pace::new(true, 1 << 20);
        // Counting is far faster than 38 ns a message on any machine that can run this.
        feed(&mut pace, 1_000, 4096, u64::MAX);
        assert!(stands_back(&pace));
    }

    /// Ends a window as if it had taken `nanos`.
    fn window(pace: &mut Pace, messages: u64, bytes: u64, nanos: u64) {
        pace.window_messages = messages;
        pace.window_bytes = bytes;
        pace.since = Instant::now().checked_sub(Duration::from_nanos(nanos));
        pace.end_window();
    }

    #[test]
    fn who_stands_back_comes_close_again_now_and_then() {
        let mut pace = Pace::new(true, 1 << 20);
        pace.state = State::Back { windows: 2 };
        let mut states = Vec::new();
        for _ in 0..3 {
            // Each pause collects a lot, so it is worth it, and may grow no more.
            (pace.window_pauses, pace.pause) = (1, LONGEST);
            window(&mut pace, 4096, 256 << 10, 10_000);
            states.push(pace.state);
        }
        let back = |windows| State::Back { windows };
        assert_eq!(states, [back(1), back(0), State::Close { windows: 1 }]);
        assert_eq!(pace.pause, SHORTEST);
        // A pause that collects next to nothing is the last one for a while.
        pace.state = State::Back { windows: 100 };
        pace.window_pauses = 64;
        window(&mut pace, 64, 4608, 1_000_000);
        let later = pace.probe_every;
        assert_eq!(pace.state, State::Close { windows: later });
    }

    #[test]
    fn a_paced_stream_is_probed_rarely_and_never_kept_waiting() {
        let mut pace = Pace::new(true, 1 << 20);
        let mut probes = 0;
        for _ in 0..4096 {
            window(&mut pace, 64, 4608, 1_000_000);
            if pace.state == State::Due {
                probes += 1;
                pace.run = 2;
                pace.empty();
                // What a stream of this rate delivers in a microsecond: nothing or one.
                let _ = pace.took(1, 72);
                pace.run = 2;
                pace.empty();
            }
            assert!(!stands_back(&pace));
        }
        assert!((1..=10).contains(&probes), "{probes}");
    }

    #[test]
    fn a_hindered_stream_is_found_out() {
        let mut pace = Pace::new(true, 1 << 20);
        while pace.state != State::Due {
            // 230 ns a message: slow, but only because the reader is in the way.
            window(&mut pace, 64, 4608, 64 * 230);
        }
        pace.run = 2;
        pace.empty();
        feed(&mut pace, 100, 72, u64::MAX);
        assert!(stands_back(&pace));
        // Pauses that collect next to nothing end it.
        pace.window_pauses = 60;
        window(&mut pace, 64, 4608, 1_000_000);
        assert!(!stands_back(&pace));
    }

    #[test]
    fn round_trips_never_pause_however_many() {
        let mut pace = Pace::new(true, 1 << 20);
        for _ in 0..1_000_000 {
            if pace.took(1, 72) {
                // The producer is never ahead of a reader it waits for.
                pace.look(0);
            }
            pace.empty();
            // Whatever the state became, nothing is collected by pausing.
            assert_eq!(pace.window_pauses, 0);
            assert!(!matches!(pace.state, State::Counting { .. }), "stood back");
        }
    }

    #[test]
    fn messages_one_at_a_time_and_a_disabled_rule_never_pause() {
        let mut pace = Pace::new(true, 1 << 20);
        pace.state = State::Due;
        let _ = pace.took(1, 72);
        pace.empty();
        assert_eq!(pace.state, State::Due, "nothing was tried");
        let mut off = Pace::new(false, 1 << 20);
        feed(&mut off, 10_000, 4096, 0);
        assert!(!stands_back(&off));
    }
}
