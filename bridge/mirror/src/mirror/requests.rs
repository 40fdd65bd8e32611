//! Asking for what is missing: the first hole, one request at a time.

use super::settings::Settings;
use crate::hold::Hold;
use crate::request::{Request, ANSWER_BYTES};
use crate::Moment;
use core::time::Duration;

/// The first pause between requests that are not answered.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug)]
struct Fetch {
    id: u64,
    from: u64,
    until: Moment,
}

/// The requests of one mirror.
#[derive(Debug)]
pub(super) struct Requests {
    /// Where the first hole ended when it was seen first, and when that was.
    hole: Option<(u64, Moment)>,
    fetch: Option<Fetch>,
    /// How many were made; the number of the next.
    made: u64,
    failed: u64,
    pause: Duration,
    paused_until: Moment,
}

impl Requests {
    pub fn new(now: Moment) -> Self {
        Self {
            hole: None,
            fetch: None,
            made: 0,
            failed: 0,
            pause: Duration::ZERO,
            paused_until: now,
        }
    }

    /// How many were made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// How many had no answer in time, or one of no use.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// All answers to this request have come, or none will.
    pub fn answered(&mut self, id: u64, hold: &Hold, settings: &Settings, now: Moment) {
        if self.fetch.is_some_and(|fetch| fetch.id == id) {
            self.over(hold, settings, now);
        }
    }

    fn over(&mut self, hold: &Hold, settings: &Settings, now: Moment) {
        let Some(fetch) = self.fetch.take() else {
            return;
        };
        if hold.contiguous() > fetch.from {
            self.pause = Duration::ZERO;
            return;
        }
        self.failed += 1;
        self.pause = (self.pause * 2).max(FIRST_PAUSE).min(settings.pause);
        self.paused_until = now + self.pause;
    }

    /// When to ask for what is missing: not while much waits to be written, or one is under way.
    fn at(&self, hold: &Hold, settings: &Settings) -> Option<Moment> {
        let (_, since) = self.hole?;
        let busy = self.fetch.is_some() || hold.ready() > settings.window / 2;
        (!busy).then(|| (since + settings.patience).max(self.paused_until))
    }

    /// Returns what is to be asked for now, with its number.
    pub fn tick(
        &mut self,
        hold: &Hold,
        settings: &Settings,
        now: Moment,
    ) -> Option<(u64, Request)> {
        if self.fetch.is_some_and(|fetch| fetch.until <= now) {
            self.over(hold, settings, now);
        }
        let hole = hold.hole();
        if !self.knows(hole) {
            self.hole = hole.map(|(_, end)| (end, now));
        }
        let (from, to) = hole?;
        if self.at(hold, settings)? > now {
            return None;
        }
        let id = self.made;
        self.made += 1;
        self.fetch = Some(Fetch {
            id,
            from,
            until: now + settings.timeout,
        });
        let quarter = (settings.window / 4).min(u64::from(ANSWER_BYTES));
        let request = Request {
            from: hold.sequence(from),
            to: hold.sequence(to),
            bytes: quarter as u32,
        };
        Some((id, request))
    }

    /// Returns `true` if the first hole is the one that was seen before, or what is left of it.
    fn knows(&self, hole: Option<(u64, u64)>) -> bool {
        match (hole, self.hole) {
            (None, None) => true,
            (Some((from, _)), Some((end, _))) => from < end,
            _ => false,
        }
    }

    /// Returns when the next [`tick`](Self::tick) is due, if one is.
    pub fn due(&self, hold: &Hold, settings: &Settings, now: Moment) -> Option<Moment> {
        if !self.knows(hold.hole()) {
            return Some(now);
        }
        let until = self.fetch.map(|fetch| fetch.until);
        until.into_iter().chain(self.at(hold, settings)).min()
    }
}
