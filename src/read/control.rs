//! What a handle holds: the policy, carried out.
//!
//! Layer 4. A handle looks here once every 2 KiB or 32 messages; between two looks it compares one number.

use super::auto::Auto;
use super::pacer::{self, Pacer};
use super::progress::{LONG_RUN, RUN};
use super::{Pacing, Progress, ReadPolicy};
use crate::wait::Deadline;
use core::ops::Range;

/// Between two looks there are so many bytes and so many messages at least. A flush of less takes longer than it
/// spares.
const LOOK_BYTES: u64 = 2048;
const LOOK_MESSAGES: u64 = 32;

/// How one reader reads.
#[derive(Debug)]
pub struct ReadControl {
    /// Bytes read when the next look is due.
    look_at: u64,
    /// Messages read up to the last empty poll.
    run_began: u64,
    /// An empty poll may ask for a pause.
    eager: bool,
    /// The next call that may wait pauses first.
    due: bool,
    looked: Progress,
    rule: Rule,
    /// How many pauses it made.
    #[cfg(test)]
    pauses: u64,
}

#[derive(Debug)]
enum Rule {
    Fixed(Pacer),
    Auto(Box<Auto>),
}

impl ReadControl {
    /// For a ring of this capacity and a reader that begins at `read`. Without `can_flush` it never flushes.
    pub fn new(policy: ReadPolicy, capacity: u64, read: Progress, can_flush: bool) -> Self {
        let fixed = |pacing: Pacing| {
            let flush = pacing.flush && can_flush;
            let pacing = Pacing { flush, ..pacing };
            let looks = flush || pacing.pause_ns > 0;
            (Rule::Fixed(Pacer::new(pacing, capacity, read)), looks)
        };
        let (rule, looks) = match policy {
            ReadPolicy::AtHead => fixed(Pacing::NONE),
            ReadPolicy::Behind(pacing) => fixed(pacing),
            ReadPolicy::Auto => {
                let auto = Auto::new(capacity, read, can_flush);
                (Rule::Auto(Box::new(auto)), true)
            }
        };
        let mut control = Self {
            look_at: if looks {
                read.bytes.saturating_add(LOOK_BYTES)
            } else {
                u64::MAX
            },
            run_began: read.messages,
            eager: false,
            due: false,
            looked: read,
            rule,
            #[cfg(test)]
            pauses: 0,
        };
        control.eager = control.may_pause();
        control
    }

    /// Returns `true` if a [`look`](Self::look) is due once so many bytes have been read. One comparison.
    #[inline(always)]
    #[must_use]
    pub fn is_due(&self, bytes: u64) -> bool {
        bytes >= self.look_at
    }

    /// Returns the bytes read from which on that is so, until the next look.
    pub fn look_at(&self) -> u64 {
        self.look_at
    }

    /// Notes that the reader went elsewhere without reading what lies between.
    pub fn moved(&mut self, to: Progress) {
        match &mut self.rule {
            Rule::Fixed(pacer) => pacer.moved(to),
            Rule::Auto(auto) => auto.moved(to),
        }
        (self.looked, self.run_began, self.due) = (to, to.messages, false);
        if self.look_at != u64::MAX {
            self.look_at = to.bytes.saturating_add(LOOK_BYTES);
        }
    }

    /// Looks at how far the reader is: has `flush` flush what is to be, then asks how far the producer is
    /// `ahead`. Call with everything read so far released. Returns `true` if the next call that may wait is to
    /// [`pause`](Self::pause) although it finds messages.
    #[cold]
    pub fn look(
        &mut self,
        read: Progress,
        flush: impl FnOnce(Range<u64>),
        ahead: impl FnOnce() -> u64,
    ) -> bool {
        let frame = read.since(self.looked).frame();
        self.looked = read;
        let step = LOOK_BYTES.max(frame.saturating_mul(LOOK_MESSAGES));
        self.look_at = read.bytes.saturating_add(step);
        let run = self.run(read);
        let close = match &mut self.rule {
            Rule::Fixed(pacer) => {
                flush(pacer.next_to_flush(read));
                pacer.pause().is_some() && pacer.is_close(ahead())
            }
            Rule::Auto(auto) => {
                // Flushing takes as long as a pause.
                flush(auto.next_to_flush(read));
                auto.look(read, frame, run, ahead())
            }
        };
        self.eager = self.may_pause();
        // Only without an empty poll for a while: a reader that follows right behind never has one.
        self.due = close && run >= LONG_RUN;
        self.due
    }

    /// Notes an empty poll. Returns `true` if a call that may wait is to [`pause`](Self::pause) now, unless it
    /// finds a message first.
    #[inline(always)]
    pub fn empty(&mut self, read: Progress) -> bool {
        if self.eager && self.wants_pause(read) {
            return true;
        }
        self.run_began = read.messages;
        false
    }

    /// As [`empty`](Self::empty), in a call that does not wait.
    #[inline(always)]
    pub fn empty_without_pause(&mut self, read: Progress) {
        // Nothing is due while it is not eager: a look sets both.
        if self.eager {
            self.due = false;
            let _ = self.wants_pause(read);
        }
        self.run_began = read.messages;
    }

    #[cold]
    fn wants_pause(&mut self, read: Progress) -> bool {
        if let Rule::Auto(auto) = &mut self.rule {
            auto.empty(read);
        }
        self.eager = self.may_pause();
        self.eager && self.run(read) >= RUN
    }

    /// Returns `true` if the last [`look`](Self::look) asked for a pause that was not made.
    pub fn owes_pause(&self) -> bool {
        self.due
    }

    /// Pauses, in a call that may wait until `deadline`, after [`look`](Self::look) or [`empty`](Self::empty) asked
    /// for it.
    #[cold]
    pub fn pause(&mut self, read: Progress, deadline: Deadline) {
        let pause = match &mut self.rule {
            Rule::Fixed(pacer) => pacer.pause(),
            Rule::Auto(auto) => auto.begin_pause(read),
        };
        if let Some(pause) = pause {
            let paused = pacer::pause(pause, deadline);
            if let Rule::Auto(auto) = &mut self.rule {
                auto.paused(paused);
            }
            #[cfg(test)]
            {
                self.pauses += u64::from(!paused.is_zero());
            }
        }
        if !core::mem::take(&mut self.due) {
            self.run_began = read.messages;
        }
        self.eager = self.may_pause();
    }

    /// How many pauses it made.
    #[cfg(test)]
    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// The rule that decides.
    #[cfg(test)]
    pub fn auto(&mut self) -> &mut Auto {
        match &mut self.rule {
            Rule::Auto(auto) => auto,
            Rule::Fixed(_) => panic!("nothing is decided here"),
        }
    }

    /// Has the run begin where this was read.
    #[cfg(test)]
    pub fn begin_run(&mut self, read: Progress) {
        self.run_began = read.messages;
        self.eager = self.may_pause();
    }

    fn may_pause(&self) -> bool {
        match &self.rule {
            Rule::Fixed(pacer) => pacer.pause().is_some(),
            Rule::Auto(auto) => auto.is_trying(),
        }
    }

    /// Messages without an empty poll between them.
    fn run(&self, read: Progress) -> u64 {
        read.messages.wrapping_sub(self.run_began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_one_at_a_time_are_never_paused_for() {
        let mut read = Progress {
            bytes: 1 << 40,
            messages: u64::MAX - 2,
        };
        let policy = ReadPolicy::Behind(Pacing {
            lag_bytes: 4096,
            pause_ns: 1,
            flush: false,
        });
        let mut control = ReadControl::new(policy, 1 << 20, read, true);
        let mut take = |control: &mut ReadControl, messages: u64| {
            read.bytes += 4096 * messages;
            read.messages = read.messages.wrapping_add(messages);
            assert!(!control.look(read, |_| (), || 0));
            let asks = control.empty(read);
            if asks {
                control.pause(read, Deadline::NEVER);
            }
            asks
        };
        for _ in 0..1000 {
            assert!(!take(&mut control, 1));
        }
        assert!(take(&mut control, RUN) && !take(&mut control, 1));
        assert_eq!(control.pauses(), 1);
    }

    #[test]
    fn only_a_long_run_close_to_the_producer_is_paused_for_though_there_are_messages() {
        let pacing = Pacing {
            lag_bytes: 4096,
            pause_ns: 1,
            flush: false,
        };
        for (messages, ahead, pauses) in [
            (LONG_RUN, 4095, true),
            (LONG_RUN, 4096, false),
            (LONG_RUN - 1, 0, false),
        ] {
            let policy = ReadPolicy::Behind(pacing);
            let mut control = ReadControl::new(policy, 1 << 20, Progress::default(), true);
            let read = Progress {
                bytes: messages * 72,
                messages,
            };
            assert_eq!(control.look(read, |_| (), || ahead), pauses);
            assert_eq!(control.owes_pause(), pauses);
            control.empty_without_pause(read);
            assert!(!control.owes_pause());
        }
    }

    #[test]
    fn a_reader_at_the_head_never_looks() {
        let read = Progress::default();
        let control = ReadControl::new(ReadPolicy::AtHead, 1 << 20, read, true);
        assert!(!control.is_due(u64::MAX - 1) && !control.eager);
    }
}
