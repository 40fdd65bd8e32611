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

/// Bytes per nanosecond above which a stream may run flat out, even if a probe says otherwise: 72 bytes in 38 ns.
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

    /// Adds what was read since the last time to the window that is being counted.
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
mod tests;
