//! When to speak to the source: how far this mirror is, and whether it is still the mirror of its name.

use crate::Moment;
use core::time::Duration;

/// Between acknowledgements to a source that waits, as long as there is something new to acknowledge.
const SOON: Duration = Duration::from_millis(10);
/// Between acknowledgements to a source that waits, if there is nothing new.
const REGULARLY: Duration = Duration::from_millis(250);
/// Between acknowledgements to a source that does not wait.
const SELDOM: Duration = Duration::from_secs(1);
/// Between two questions whether this is still the mirror of its name.
const RENEWED: Duration = Duration::from_secs(2);

/// What was heard and said last.
#[derive(Debug)]
pub(super) struct Contact {
    /// Whether the source waits for this mirror.
    pub required: bool,
    heard: Moment,
    asked: Moment,
    acked: Moment,
    /// What the last acknowledgement said, and bytes written since.
    acked_next: u64,
    written: u64,
}

impl Contact {
    pub fn new(required: bool, now: Moment) -> Self {
        Self {
            required,
            heard: now,
            asked: now,
            acked: now,
            acked_next: 0,
            written: 0,
        }
    }

    /// A frame of the source came.
    pub fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// How long no frame has come.
    pub fn silent_for(&self, now: Moment) -> Duration {
        now.saturating_sub(self.heard)
    }

    /// Bytes were written. Returns `true` if the source waits, and should know that before it is due.
    pub fn wrote(&mut self, bytes: u64, window: u64) -> bool {
        self.written += bytes;
        self.required && self.written >= window / 4
    }

    /// It was said that everything before the place `next` is written.
    pub fn acked(&mut self, next: u64, now: Moment) {
        (self.acked, self.acked_next, self.written) = (now, next, 0);
    }

    /// When to say that everything before the place `next` is written.
    pub fn ack_at(&self, next: u64) -> Moment {
        let every = match self.required {
            true if self.acked_next != next => SOON,
            true => REGULARLY,
            false => SELDOM,
        };
        self.acked + every
    }

    /// It was asked what became of the source.
    pub fn asked(&mut self, now: Moment) {
        self.asked = now;
    }

    /// When to ask that: after a silence, and now and then.
    pub fn ask_at(&self, silence: Duration) -> Moment {
        let silent = self.heard.max(self.asked) + silence;
        silent.min(self.asked + RENEWED)
    }
}
