//! The reader's distance: a little behind the producer while that makes a stream faster, none else.
//!
//! Layer 4. A reader that catches up polls the very line the producer is writing, and every message
//! then costs both of them a transfer of that line. Standing back lets both sides overlap their
//! misses, at the price of latency, so it is done only where the stream gets faster by it: one that is
//! paced by its producer arrives no faster for being waited for. What is measured, per window of at
//! least 64 messages, decides:
//!
//! - What arrives while the reader is close is remembered: the rate that standing back has to beat.
//! - Rarely, the reader stands back once, for [`PROBE`], and counts what arrives meanwhile: a paced
//!   producer delivers at the rate measured before, a hindered one at a multiple of it.
//! - A stream above [`FAST`] may gain too little, or bring too few messages, to show that within a probe. It
//!   is tried at once.
//! - While standing back, each pause must collect enough messages to have been worth it, and all that
//!   arrives must come faster than close by. From time to time the reader comes close again and measures
//!   afresh.
//!
//! A reader whose messages come one at a time never pauses: it takes two in a row to begin. Whether what
//! was read is better out of the caches is the matter of [`Flush`], for streams that run flat out.

mod block;
mod flush;

use super::progress::RUN;
use super::Progress;
use block::{Block, CloseBy, Window};
use core::ops::Range;
use core::time::Duration;
use flush::Flush;
use std::time::Instant;

/// Bytes per nanosecond above which a stream may run flat out whatever a probe says: 72 bytes in 38 ns.
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
/// How much faster a stream has to be in a probe than close by.
const PROMISING: f64 = 1.5;
/// Windows close by between two probes, doubled while they find nothing.
const FIRST_PROBE: u32 = 16;
const LAST_PROBE: u32 = 4096;
/// Windows after which a reader that stands back comes close again to measure, and for how many: it has
/// to work off its lag first.
const RECHECK: u32 = 2048;
const CLOSE_BY: u32 = 11;
/// The lag target, for small messages.
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
    Back { windows: u32, block: Block },
}

/// The state of one reader's rule. All private.
#[derive(Debug)]
pub struct Auto {
    capacity: u64,
    state: State,
    /// Up to where everything has been counted.
    counted: Progress,
    window: Window,
    second_look: bool,
    since: Option<Instant>,
    close: CloseBy,
    /// Whether the last window came as only a stream does that runs flat out.
    fast: bool,
    probe_every: u32,
    pause: Duration,
    lag: u64,
    flush: Flush,
}

impl Auto {
    /// The rule for a ring of this capacity and a reader that begins at `read`; and whether that reader can
    /// flush what it has read.
    pub fn new(capacity: u64, read: Progress, flushes: bool) -> Self {
        Self {
            capacity,
            state: State::Close {
                windows: FIRST_PROBE,
            },
            counted: read,
            window: Window::default(),
            second_look: false,
            since: None,
            close: CloseBy::default(),
            fast: false,
            probe_every: FIRST_PROBE,
            pause: SHORTEST,
            lag: LAG.min(capacity / 4),
            flush: Flush::new(flushes, capacity, read),
        }
    }

    /// Returns `true` if the reader may have to [pause](Self::begin_pause), or counts what a pause brought.
    pub fn is_trying(&self) -> bool {
        !matches!(self.state, State::Close { .. })
    }

    /// Notes that the reader went elsewhere without reading what lies between.
    pub fn moved(&mut self, to: Progress) {
        self.counted = to;
        self.flush.moved(to);
    }

    /// What of the bytes read is better out of the caches. Ask before each [`look`](Self::look), which
    /// is to know how far the producer is ahead once they are gone: that takes as long as a pause.
    pub fn next_to_flush(&mut self, read: Progress) -> Range<u64> {
        let flat_out = self.fast || matches!(self.state, State::Back { .. });
        self.flush.look(read, flat_out)
    }

    /// Measures. Call with everything read so far released, the size of a `frame`, how many messages came in a
    /// `run` without an empty poll, and how far the producer is `ahead`. Returns `true` if that is less than the
    /// target while the reader is to stand back.
    pub fn look(&mut self, read: Progress, frame: u64, run: u64, ahead: u64) -> bool {
        self.count(read);
        self.lag = LAG.max(frame.saturating_mul(64)).min(self.capacity / 4);
        if let State::Counting { messages, .. } = self.state {
            if messages >= 64 {
                self.count_probe();
            }
        }
        self.second_look = !self.second_look;
        if !self.second_look {
            self.end_window(run, ahead);
        }
        let stands_back = matches!(self.state, State::Due | State::Back { .. });
        stands_back && ahead < self.lag
    }

    /// Adds what was read since the last time to whatever is being counted.
    fn count(&mut self, read: Progress) {
        let new = read.since(self.counted);
        self.counted = read;
        // A stream that lies about positions can lead a reader anywhere.
        self.window.bytes = self.window.bytes.saturating_add(new.bytes);
        self.window.messages = self.window.messages.saturating_add(new.messages);
        if let State::Counting { bytes, messages } = &mut self.state {
            *bytes = bytes.saturating_add(new.bytes);
            *messages = messages.saturating_add(new.messages);
        }
    }

    /// Notes an empty poll: what had arrived during a probe has been read.
    pub fn empty(&mut self, read: Progress) {
        if matches!(self.state, State::Counting { .. }) {
            self.count(read);
            self.count_probe();
        }
    }

    /// Returns how long the reader is to pause now, if it is to stand back. Tell how long it was
    /// [paused](Self::paused).
    pub fn begin_pause(&mut self, read: Progress) -> Option<Duration> {
        match self.state {
            State::Back { .. } => {
                self.window.pauses += 1;
                Some(self.pause)
            }
            State::Due => {
                // What comes from now on is counted apart.
                self.count(read);
                self.state = State::Counting {
                    bytes: 0,
                    messages: 0,
                };
                Some(PROBE)
            }
            State::Close { .. } | State::Counting { .. } => None,
        }
    }

    /// Notes how long a pause was.
    pub fn paused(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.window.paused = self.window.paused.saturating_add(nanos);
    }

    /// Compares what arrived while the reader stood back with what came before.
    fn count_probe(&mut self) {
        let State::Counting { bytes, messages } = self.state else {
            return;
        };
        let rate = bytes as f64 / PROBE.as_nanos() as f64;
        self.state = if messages >= WORTH_MESSAGES && rate >= PROMISING * self.close.rate() {
            BACK
        } else {
            self.give_up()
        };
    }

    /// Standing back has not helped: comes close, and tries again later than the last time.
    fn give_up(&mut self) -> State {
        self.probe_every = (self.probe_every * 2).min(LAST_PROBE);
        self.come_close(self.probe_every)
    }

    fn come_close(&mut self, windows: u32) -> State {
        self.pause = SHORTEST;
        self.close.begin();
        State::Close { windows }
    }

    fn end_window(&mut self, run: u64, ahead: u64) {
        let now = Instant::now();
        if let Some(since) = self.since {
            self.judge((now - since).as_nanos() as u64, run, ahead);
        }
        self.since = Some(now);
        self.window = Window::default();
    }

    /// Decides what a window that took so long leads to.
    fn judge(&mut self, nanos: u64, run: u64, ahead: u64) {
        self.window.nanos = nanos;
        self.fast = self.window.rate() >= FAST && run >= RUN;
        self.state = match self.state {
            State::Close { windows } => self.after_close(windows, run, ahead),
            State::Back { windows, block } => self.after_back(windows, block, run),
            other => other,
        };
    }

    fn after_close(&mut self, windows: u32, run: u64, ahead: u64) -> State {
        let idle = run < self.window.messages;
        if !self.close.add(self.window, idle, ahead < self.lag) {
            return State::Close { windows };
        }
        match windows {
            0 if self.fast => BACK,
            0 => State::Due,
            _ => State::Close {
                windows: windows - 1,
            },
        }
    }

    fn after_back(&mut self, windows: u32, mut block: Block, run: u64) -> State {
        let pauses = self.window.pauses.max(1);
        let (messages, bytes) = (self.window.messages / pauses, self.window.bytes / pauses);
        let worth = match self.window.pauses {
            // The reader is the slower side, or what comes, comes one at a time.
            0 => run >= RUN,
            _ => messages >= WORTH_MESSAGES || bytes >= WORTH_BYTES,
        };
        if !worth {
            // What came, came in a burst, and may come again.
            return self.come_close(self.probe_every);
        }
        if !block.add(self.window, &self.close) {
            return self.give_up();
        }
        if block.is_trial() {
            return State::Back { windows, block };
        }
        self.probe_every = FIRST_PROBE;
        if windows == 0 {
            return self.come_close(CLOSE_BY);
        }
        if bytes < ENOUGH_BYTES {
            self.pause = (self.pause * 2).min(LONGEST);
        }
        let windows = windows - 1;
        State::Back { windows, block }
    }
}

/// Begins to stand back, for as long as that helps.
const BACK: State = State::Back {
    windows: RECHECK,
    block: Block::TRIAL,
};

#[cfg(test)]
mod tests {
    use super::super::progress::LONG_RUN;
    use super::super::{ReadControl, ReadPolicy};
    use super::*;
    use crate::wait::Deadline;

    /// A reader in calls that may wait.
    struct Reader {
        control: ReadControl,
        read: Progress,
    }

    impl Reader {
        fn new(policy: ReadPolicy) -> Self {
            // Where it began must not matter.
            let read = Progress {
                bytes: 1 << 40,
                messages: u64::MAX - 100,
            };
            let control = ReadControl::new(policy, 1 << 20, read, true);
            Self { control, read }
        }

        fn auto(&mut self) -> &mut Auto {
            self.control.auto()
        }

        fn take(&mut self, bytes: u64, ahead: u64) {
            self.read.bytes += bytes;
            self.read.messages = self.read.messages.wrapping_add(1);
            if self.control.is_due(self.read.bytes)
                && self.control.look(self.read, |_| (), || ahead)
            {
                self.control.pause(self.read, Deadline::NEVER);
            }
        }

        fn empty(&mut self) {
            if self.control.empty(self.read) {
                self.control.pause(self.read, Deadline::NEVER);
            }
        }

        /// An empty poll after two messages in a row.
        fn empty_after_two(&mut self) {
            let two = Progress {
                messages: self.read.messages.wrapping_sub(2),
                ..self.read
            };
            self.control.begin_run(two);
            self.empty();
        }
    }

    fn feed(reader: &mut Reader, messages: u64, bytes: u64, ahead: u64) {
        for _ in 0..messages {
            reader.take(bytes, ahead);
        }
    }

    fn stands_back(pace: &Auto) -> bool {
        matches!(pace.state, State::Back { .. })
    }

    /// Messages of 72 bytes in a window.
    const MESSAGES: u64 = 64;

    /// Ends a window in which so many messages arrived in so many nanoseconds.
    fn window(pace: &mut Auto, messages: u64, nanos: u64, run: u64, ahead: u64) {
        pace.window.messages = messages;
        pace.window.bytes = messages * 72;
        pace.judge(nanos, run, ahead);
        pace.window = Window::default();
    }

    /// A window of a stream that comes at so many nanoseconds a message whatever the reader does, and lasts as
    /// long as its pauses if they are longer.
    fn paced(pace: &mut Auto, nanos: u64) {
        let mut messages = MESSAGES;
        if stands_back(pace) {
            let pause = pace.pause.as_nanos() as u64;
            (pace.window.pauses, pace.window.paused) = (1, pause);
            messages = messages.max(pause / nanos);
        }
        window(pace, messages, messages * nanos, RUN, 0);
    }

    /// A window of a stream that is slow only while the reader is close.
    fn hindered(pace: &mut Auto) {
        if stands_back(pace) {
            (pace.window.pauses, pace.window.paused) = (1, 1500);
            window(pace, 4 * MESSAGES, 3000, LONG_RUN, 0);
        } else {
            window(pace, MESSAGES, MESSAGES * 230, 0, 0);
        }
    }

    /// Does what is due: a probe in which so many messages arrive.
    fn probe(reader: &mut Reader, messages: u64) -> bool {
        let due = reader.auto().state == State::Due;
        if due {
            reader.empty_after_two();
            for _ in 0..messages {
                reader.take(72, u64::MAX);
            }
            reader.empty_after_two();
        }
        due
    }

    #[test]
    fn a_flat_out_stream_is_kept_at_a_distance() {
        let mut reader = Reader::new(ReadPolicy::Auto);
        // Counting is far faster than 38 ns a message on any machine that can run this, and what is never
        // far ahead and never polled for in vain has to come no faster than it does.
        for _ in 0..1_000 {
            feed(&mut reader, 64, 4096, 0);
            if stands_back(reader.auto()) {
                return;
            }
        }
        panic!("stayed close");
    }

    #[test]
    fn a_paced_stream_is_probed_rarely_and_never_kept_waiting() {
        // A message in 15 us, and one in 200, 100 and 50 ns, of which a probe finds so many.
        for (nanos, found) in [(15_000, 1), (200, 5), (100, 10), (50, 21)] {
            let mut reader = Reader::new(ReadPolicy::Auto);
            let mut probes = 0;
            for _ in 0..16_384 {
                paced(reader.auto(), nanos);
                probes += u32::from(probe(&mut reader, found));
                assert!(!stands_back(reader.auto()), "{nanos}");
            }
            assert!((1..=12).contains(&probes), "{nanos}: {probes}");
        }
    }

    #[test]
    fn a_paced_stream_that_was_held_up_is_not_kept_waiting_for_long() {
        // Up to 40 million a second, which is above what counts as fast.
        for nanos in [500, 200, 100, 25] {
            let mut reader = Reader::new(ReadPolicy::Auto);
            let mut waited = 0;
            for n in 1..=20_000 {
                if n % 1000 == 0 {
                    // The reader was away for a while, and works off what has come meanwhile, the last of it
                    // within its lag.
                    for ahead in [u64::MAX, u64::MAX, 0, 0, 0, 0, 0, 0] {
                        window(reader.auto(), MESSAGES, MESSAGES * 4, LONG_RUN, ahead);
                    }
                    // Now and then it took that for a stream that it hinders.
                    if n % 5000 == 0 {
                        reader.auto().state = BACK;
                    }
                }
                paced(reader.auto(), nanos);
                probe(&mut reader, 1000 / nanos);
                waited += u32::from(stands_back(reader.auto()));
            }
            assert!(waited <= 20_000 / 40, "{nanos}: {waited} windows");
        }
    }

    #[test]
    fn a_hindered_stream_is_found_out_and_kept_at_a_distance() {
        let mut reader = Reader::new(ReadPolicy::Auto);
        let mut close = 0;
        for n in 0..20_000 {
            hindered(reader.auto());
            probe(&mut reader, 100);
            close += u32::from(!stands_back(reader.auto()));
            if n % 500 == 499 {
                // An interrupt, in whatever window.
                reader.auto().window.pauses = 1;
                window(reader.auto(), MESSAGES, 1_000_000, RUN, 0);
            }
        }
        // All but the first windows, and a few every now and then to measure afresh.
        assert!(close <= 20_000 / 50, "{close}");
        // Pauses that collect next to nothing end it.
        while !stands_back(reader.auto()) {
            hindered(reader.auto());
            probe(&mut reader, 100);
        }
        reader.auto().window.pauses = 60;
        window(reader.auto(), MESSAGES, 1_000_000, RUN, 0);
        assert!(!stands_back(reader.auto()));
    }

    #[test]
    fn who_stands_back_comes_close_again_now_and_then() {
        let mut reader = Reader::new(ReadPolicy::Auto);
        while !stands_back(reader.auto()) {
            hindered(reader.auto());
            probe(&mut reader, 100);
        }
        let mut windows = 0;
        while stands_back(reader.auto()) {
            hindered(reader.auto());
            windows += 1;
        }
        assert!((RECHECK..RECHECK + 64).contains(&windows), "{windows}");
        let again = State::Close { windows: CLOSE_BY };
        assert_eq!(
            (reader.auto().state, reader.auto().pause),
            (again, SHORTEST)
        );
    }

    #[test]
    fn round_trips_never_pause_however_many_and_however_large() {
        for bytes in [72, 4096] {
            let mut reader = Reader::new(ReadPolicy::Auto);
            for _ in 0..1_000_000 {
                // The producer is never ahead of a reader it waits for.
                reader.take(bytes, 0);
                reader.empty();
                // Nothing is collected by pausing, and nothing gets faster by flushing.
                assert_eq!(reader.auto().window.pauses, 0);
                let close = matches!(reader.auto().state, State::Close { .. } | State::Due);
                assert!(close, "stood back");
            }
            // A reader that took them for a stream, because of a few that came together, sees through it.
            reader.auto().state = BACK;
            for _ in 0..256 {
                reader.take(bytes, 0);
                reader.empty();
            }
            assert!(!stands_back(reader.auto()));
        }
    }

    #[test]
    fn messages_one_at_a_time_and_a_reader_at_the_head_never_pause() {
        let mut reader = Reader::new(ReadPolicy::Auto);
        reader.auto().state = State::Due;
        reader.take(72, u64::MAX);
        reader.empty();
        assert_eq!(reader.auto().state, State::Due, "nothing was tried");
        let mut off = Reader::new(ReadPolicy::AtHead);
        feed(&mut off, 10_000, 4096, 0);
        assert_eq!(off.control.pauses(), 0);
    }

    #[test]
    fn a_reader_that_is_led_astray_goes_on() {
        let mut reader = Reader::new(ReadPolicy::Auto);
        for bytes in [1 << 62, u64::MAX, 0, 1 << 63] {
            for messages in [0, 1, u64::MAX] {
                reader.auto().state = State::Counting { bytes, messages };
                let read = Progress { bytes, messages };
                let _ = reader.control.look(read, |_| (), || u64::MAX);
                let _ = reader.control.empty(read);
                reader.control.moved(read);
            }
        }
    }

    #[test]
    fn what_was_skipped_is_not_counted_as_read() {
        let mut reader = Reader::new(ReadPolicy::Auto);
        feed(&mut reader, 20, 72, u64::MAX);
        let before = reader.auto().window.bytes;
        reader.read.bytes += 1 << 20;
        reader.read.messages = reader.read.messages.wrapping_add(1 << 14);
        reader.control.moved(reader.read);
        assert!(!reader.control.is_due(reader.read.bytes));
        feed(&mut reader, 29, 72, u64::MAX);
        assert!(reader.auto().window.bytes - before <= 30 * 72);
    }
}
