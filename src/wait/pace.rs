//! The reader's distance: a little behind the producer while a stream runs flat out, none else.
//!
//! Layer 4. A reader that catches up polls the very line the producer is writing, and every message
//! then costs both of them a transfer of that line. Standing back lets both sides overlap their
//! misses, at the price of latency, so it is done only where nothing but throughput is at stake.
//! What is measured, per window of at least 64 messages, decides:
//!
//! - A stream above [`FAST`] runs flat out, if its messages come in runs: a round trip of large messages is as fast.
//! - A slower one may be slow *because* the reader stands too close. So, rarely, the reader stands
//!   back once, for [`PROBE`], and counts what arrives meanwhile: a paced producer delivers at the
//!   rate measured before, a hindered one at a multiple of it.
//! - While standing back, each pause must collect enough messages to have been worth it, and from
//!   time to time the reader comes close again and measures afresh.
//!
//! A reader whose messages come one at a time never pauses: it takes two in a row to begin. Whether what
//! was read is better out of the caches is the matter of [`Flush`], for streams that run flat out.

use super::flush::Flush;
use crate::sync::spin_hint;
use core::ops::Range;
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
/// Messages without an empty poll between them that are not just one answer after another.
const RUN: u64 = 2;
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

/// How much a reader has read: bytes of frames and messages, from wherever it began to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Bytes.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

impl Read {
    fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_sub(before.bytes),
            messages: self.messages.wrapping_sub(before.messages),
        }
    }
}

/// The state of one reader's rule. All private.
#[derive(Debug)]
pub struct Pace {
    enabled: bool,
    capacity: u64,
    state: State,
    /// Up to where everything has been counted, and where the next look is due.
    counted: Read,
    look_at: u64,
    /// Messages read up to the last empty poll.
    run_began: u64,
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
    flush: Flush,
}

impl Pace {
    /// The rule for a ring of this capacity and a reader that begins at `read`, or one that never
    /// pauses; and whether that reader can flush what it has read.
    pub fn new(enabled: bool, capacity: u64, read: Read, flushes: bool) -> Self {
        Self {
            enabled,
            capacity,
            state: State::Close {
                windows: FIRST_PROBE,
            },
            counted: read,
            look_at: if enabled {
                read.bytes.saturating_add(LOOK_EVERY)
            } else {
                u64::MAX
            },
            run_began: read.messages,
            window_bytes: 0,
            window_messages: 0,
            window_pauses: 0,
            second_look: false,
            since: None,
            rate: 0.0,
            probe_every: FIRST_PROBE,
            pause: SHORTEST,
            lag: LAG.min(capacity / 4),
            flush: Flush::new(enabled && flushes, capacity, read),
        }
    }

    /// Whether a [`look`](Self::look) is due once so many bytes have been read. One comparison.
    #[inline(always)]
    #[must_use]
    pub fn is_due(&self, bytes: u64) -> bool {
        bytes >= self.look_at
    }

    /// Notes that the reader went elsewhere without reading what lies between.
    pub fn moved(&mut self, to: Read) {
        self.counted = to;
        self.run_began = to.messages;
        self.flush.moved(to);
        if self.enabled {
            self.look_at = to.bytes.saturating_add(LOOK_EVERY);
        }
    }

    /// What of the bytes read is better out of the caches. Ask before each [`look`](Self::look), which
    /// is to know how far the producer is ahead once they are gone: that takes as long as a pause.
    pub fn to_flush(&mut self, read: Read) -> Range<u64> {
        let flat_out = matches!(self.state, State::Back { .. });
        self.flush.look(read, flat_out)
    }

    /// Measures, and pauses where that is due and the producer is less than the target `ahead`.
    /// Call with everything read so far released.
    #[cold]
    pub fn look(&mut self, read: Read, ahead: u64) {
        if !self.enabled {
            return;
        }
        let new = self.count(read);
        let frame = new.bytes / new.messages.max(1);
        self.look_at = read
            .bytes
            .saturating_add(LOOK_EVERY.max(frame.saturating_mul(32)));
        self.lag = LAG.max(frame.saturating_mul(64)).min(self.capacity / 4);
        if let State::Counting { messages, .. } = self.state {
            if messages >= 64 {
                self.count_probe();
            }
        }
        self.second_look = !self.second_look;
        // Messages without an empty poll between them.
        let run = read.messages.wrapping_sub(self.run_began);
        if !self.second_look {
            self.end_window(run);
        }
        // Only without an empty poll for a while: a reader that follows right behind never has one.
        if run >= LONG_RUN && ahead < self.lag {
            self.stand_back();
        }
    }

    /// Adds what was read since the last time to whatever is being counted.
    fn count(&mut self, read: Read) -> Read {
        let new = read.since(self.counted);
        self.counted = read;
        // A stream that lies about positions can lead a reader anywhere.
        self.window_bytes = self.window_bytes.saturating_add(new.bytes);
        self.window_messages = self.window_messages.saturating_add(new.messages);
        if let State::Counting { bytes, messages } = &mut self.state {
            *bytes = bytes.saturating_add(new.bytes);
            *messages = messages.saturating_add(new.messages);
        }
        new
    }

    /// Notes an empty poll; pauses once after a run of messages where that is due.
    #[inline(always)]
    pub fn empty(&mut self, read: Read) {
        if !matches!(self.state, State::Close { .. }) {
            self.empty_while_looking(read);
        }
        self.run_began = read.messages;
    }

    #[cold]
    fn empty_while_looking(&mut self, read: Read) {
        if matches!(self.state, State::Counting { .. }) {
            // What had arrived meanwhile has been read.
            self.count(read);
            self.count_probe();
        }
        if read.messages.wrapping_sub(self.run_began) >= RUN {
            if self.state == State::Due {
                // What comes from now on is counted apart.
                self.count(read);
            }
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

    fn end_window(&mut self, run: u64) {
        let now = Instant::now();
        if let Some(since) = self.since {
            let rate = self.window_bytes as f64 / (now - since).as_nanos().max(1) as f64;
            self.state = self.after_window(rate, run);
        }
        self.since = Some(now);
        (self.window_bytes, self.window_messages, self.window_pauses) = (0, 0, 0);
    }

    fn after_window(&mut self, rate: f64, run: u64) -> State {
        match self.state {
            State::Close { windows } => {
                self.rate = rate;
                if rate >= FAST && run >= RUN {
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
                let worth = match self.window_pauses {
                    // The reader is the slower side, or what comes, comes one at a time.
                    0 => run >= RUN,
                    _ => messages >= WORTH_MESSAGES || bytes >= WORTH_BYTES,
                };
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

    /// A reader with its rule.
    struct Reader {
        pace: Pace,
        read: Read,
    }

    impl Reader {
        fn new(enabled: bool) -> Self {
            // Where it began must not matter.
            let read = Read {
                bytes: 1 << 40,
                messages: u64::MAX - 100,
            };
            let pace = Pace::new(enabled, 1 << 20, read, true);
            Self { pace, read }
        }

        fn take(&mut self, bytes: u64, ahead: u64) {
            self.read.bytes += bytes;
            self.read.messages = self.read.messages.wrapping_add(1);
            if self.pace.is_due(self.read.bytes) {
                let _ = self.pace.to_flush(self.read);
                self.pace.look(self.read, ahead);
            }
        }

        fn empty(&mut self) {
            self.pace.empty(self.read);
        }

        /// An empty poll after two messages in a row.
        fn empty_after_two(&mut self) {
            self.pace.run_began = self.read.messages.wrapping_sub(2);
            self.empty();
        }
    }

    fn feed(reader: &mut Reader, messages: u64, bytes: u64, ahead: u64) {
        for _ in 0..messages {
            reader.take(bytes, ahead);
        }
    }

    fn stands_back(pace: &Pace) -> bool {
        matches!(pace.state, State::Back { .. })
    }

    #[test]
    fn a_flat_out_stream_is_kept_at_a_distance() {
        let mut reader = Reader::new(true);
        // Counting is far faster than 38 ns a message on any machine that can run this.
        feed(&mut reader, 1_000, 4096, u64::MAX);
        assert!(stands_back(&reader.pace));
    }

    /// Ends a window as if it had taken `nanos`.
    fn window(pace: &mut Pace, messages: u64, bytes: u64, nanos: u64) {
        pace.window_messages = messages;
        pace.window_bytes = bytes;
        pace.since = Instant::now().checked_sub(Duration::from_nanos(nanos));
        pace.end_window(LONG_RUN);
    }

    #[test]
    fn who_stands_back_comes_close_again_now_and_then() {
        let mut pace = Reader::new(true).pace;
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
        let mut reader = Reader::new(true);
        let mut probes = 0;
        for _ in 0..4096 {
            window(&mut reader.pace, 64, 4608, 1_000_000);
            if reader.pace.state == State::Due {
                probes += 1;
                reader.empty_after_two();
                // What a stream of this rate delivers in a microsecond: nothing or one.
                reader.take(72, u64::MAX);
                reader.empty_after_two();
            }
            assert!(!stands_back(&reader.pace));
        }
        assert!((1..=10).contains(&probes), "{probes}");
    }

    #[test]
    fn a_hindered_stream_is_found_out() {
        let mut reader = Reader::new(true);
        while reader.pace.state != State::Due {
            // 230 ns a message: slow, but only because the reader is in the way.
            window(&mut reader.pace, 64, 4608, 64 * 230);
        }
        reader.empty_after_two();
        feed(&mut reader, 100, 72, u64::MAX);
        assert!(stands_back(&reader.pace));
        // Pauses that collect next to nothing end it.
        reader.pace.window_pauses = 60;
        window(&mut reader.pace, 64, 4608, 1_000_000);
        assert!(!stands_back(&reader.pace));
    }

    #[test]
    fn round_trips_never_pause_however_many_and_however_large() {
        for bytes in [72, 4096] {
            let mut reader = Reader::new(true);
            for _ in 0..1_000_000 {
                // The producer is never ahead of a reader it waits for.
                reader.take(bytes, 0);
                reader.empty();
                // Nothing is collected by pausing, and nothing gets faster by flushing.
                assert_eq!(reader.pace.window_pauses, 0);
                let close = matches!(reader.pace.state, State::Close { .. } | State::Due);
                assert!(close, "stood back");
            }
            // A reader that took them for a stream, because of a few that came together, sees through it.
            reader.pace.state = State::Back { windows: 100 };
            for _ in 0..256 {
                reader.take(bytes, 0);
                reader.empty();
            }
            assert!(!stands_back(&reader.pace));
        }
    }

    #[test]
    fn messages_one_at_a_time_and_a_disabled_rule_never_pause() {
        let mut reader = Reader::new(true);
        reader.pace.state = State::Due;
        reader.take(72, u64::MAX);
        reader.empty();
        assert_eq!(reader.pace.state, State::Due, "nothing was tried");
        let mut off = Reader::new(false);
        feed(&mut off, 10_000, 4096, 0);
        assert!(!stands_back(&off.pace));
    }

    #[test]
    fn a_reader_that_is_led_astray_goes_on() {
        let mut reader = Reader::new(true);
        for bytes in [1 << 62, u64::MAX, 0, 1 << 63] {
            for messages in [0, 1, u64::MAX] {
                reader.pace.state = State::Counting { bytes, messages };
                let read = Read { bytes, messages };
                let _ = reader.pace.to_flush(read);
                reader.pace.look(read, u64::MAX);
                reader.pace.empty(read);
                reader.pace.moved(read);
            }
        }
    }

    #[test]
    fn what_was_skipped_is_not_counted_as_read() {
        let mut reader = Reader::new(true);
        feed(&mut reader, 20, 72, u64::MAX);
        let before = reader.pace.window_bytes;
        reader.read.bytes += 1 << 20;
        reader.read.messages = reader.read.messages.wrapping_add(1 << 14);
        reader.pace.moved(reader.read);
        assert!(!reader.pace.is_due(reader.read.bytes));
        feed(&mut reader, 29, 72, u64::MAX);
        assert!(reader.pace.window_bytes - before <= 30 * 72);
    }
}
