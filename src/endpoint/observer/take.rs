//! Taking what an observer has next: copied, and told apart from a loss, a gap and the end.
//!
//! Layer 5.

use super::{read, Observer};
use crate::attach::Lease;
use crate::endpoint::error::{ReceiveError, TryReceiveError};
use crate::endpoint::interrupted::Interrupted;
use crate::endpoint::received::{Payload, Received};
use crate::endpoint::trouble::disturbance;
use crate::endpoint::waiting::{self, Manner};
use crate::layout::lines::ProducerState;
use crate::ring::observer::{Copied, Observed};
use crate::wait::Deadline;

impl Observer {
    #[inline(always)]
    pub(super) fn undisturbed(&self) -> Result<(), Interrupted> {
        if self.canary.disturbed() {
            self.look_into_it()
        } else {
            Ok(())
        }
    }

    #[cold]
    pub(super) fn look_into_it(&self) -> Result<(), Interrupted> {
        disturbance(self.canary, self.core.memory())
    }

    /// The next message, if it is there and nothing needs a closer look.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<Copied> {
        let canary = self.canary;
        // In a fork the ring is not mapped.
        if canary.disturbed() {
            return None;
        }
        // Zeroes may have taken the place of what was being copied; then the long way says so.
        match self.core.take(|| !canary.disturbed()) {
            Some(copied) => Some(copied),
            None if self.core.committed() => self.take_any(),
            None => None,
        }
    }

    /// Out of line: what is in line is for messages of one length.
    #[inline(never)]
    pub(super) fn take_any(&mut self) -> Option<Copied> {
        let canary = self.canary;
        self.core.take_any(|| !canary.disturbed())
    }

    #[inline(always)]
    pub(super) fn message(&mut self, copied: Copied) -> Received<'_> {
        let bytes = self.core.payload(copied, self.skip);
        Received::Message(Payload::new(bytes, copied.sequence))
    }

    /// Returns `true` if a call that may wait pauses before it hands out what it has taken.
    #[inline(always)]
    pub(super) fn looks_back(&mut self) -> bool {
        self.reading.is_due(self.core.position()) && self.look_back()
    }

    #[cold]
    #[inline(never)]
    pub(super) fn look_back(&mut self) -> bool {
        let core = &self.core;
        self.reading
            .look(read(core), |what| core.flush(what), || core.lag())
    }

    /// How many pauses it made.
    #[cfg(test)]
    pub(in crate::endpoint) fn pauses(&self) -> u64 {
        self.reading.pauses()
    }

    #[cold]
    #[inline(never)]
    pub(super) fn pause(&mut self, deadline: Deadline) {
        self.reading.pause(read(&self.core), deadline);
    }

    pub(crate) fn received(&mut self, observed: Observed) -> Received<'_> {
        match observed {
            Observed::Message(copied) => self.message(copied),
            Observed::Lapped { lost, resumed_at } => {
                self.was_lapped(lost);
                Received::Lapped { lost, resumed_at }
            }
            Observed::Skipped {
                skipped,
                resumed_at,
                why,
            } => {
                self.skipped = self.skipped.wrapping_add(skipped);
                self.reading.moved(read(&self.core));
                Received::Skipped {
                    skipped,
                    resumed_at,
                    why,
                }
            }
            Observed::Empty => Received::Closed,
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn was_lapped(&mut self, lost: u64) {
        self.lost = self.lost.wrapping_add(lost);
        self.reading.moved(read(&self.core));
        let row = self.lease.as_ref().map(Lease::row);
        self.core.count_loss(row, lost);
    }

    /// What comes next, if it is there, not yet handed out.
    #[cfg(feature = "async")]
    pub(crate) fn try_any(&mut self) -> Result<Observed, TryReceiveError> {
        match self.take() {
            Some(copied) => Ok(Observed::Message(copied)),
            None => self.try_observed(),
        }
    }

    /// What comes next, waiting for it; nothing once the ring is closed.
    #[inline(never)]
    pub(super) fn next_observed(&mut self, deadline: Deadline) -> Result<Observed, ReceiveError> {
        self.undisturbed()?;
        let observed = match self.core.try_next()? {
            Observed::Empty => self.wait_for_next(deadline)?,
            observed => observed,
        };
        self.undisturbed()?;
        Ok(observed)
    }

    /// What comes next, if it is there.
    #[inline(never)]
    pub(super) fn try_observed(&mut self) -> Result<Observed, TryReceiveError> {
        self.undisturbed()?;
        let mut observed = Observed::Empty;
        if self.core.ready() {
            observed = self.core.try_next()?;
        }
        if observed == Observed::Empty {
            observed = self.try_again()?;
        }
        self.undisturbed()?;
        Ok(observed)
    }

    pub(super) fn try_again(&mut self) -> Result<Observed, TryReceiveError> {
        self.reading.empty_without_pause(read(&self.core));
        let closed = self.core.producer_state() == ProducerState::Closed;
        match self.core.try_next()? {
            Observed::Empty => waiting::nothing_there(self, closed),
            observed => Ok(observed),
        }
    }

    #[inline(never)]
    pub(super) fn wait_for_next(&mut self, deadline: Deadline) -> Result<Observed, ReceiveError> {
        if self.reading.empty(read(&self.core)) {
            self.pause(deadline);
        }
        self.say_sequence();
        let next = waiting::wait_for_next(self, deadline, Manner::Alone)?;
        Ok(next.unwrap_or(Observed::Empty))
    }
}
