//! Taking what arrived, without waiting: in place, or copied where the producer may go on meanwhile.
//!
//! Layer 5.

use super::{read, Consumer};
use crate::endpoint::error::TryReceiveError;
use crate::endpoint::interrupted::Interrupted;
use crate::endpoint::waiting::{self, Reader};
use crate::layout::lines::ProducerState;
use crate::ring::consumer::{Arrived, Lost};

impl Consumer {
    /// The next message, if it is there and nothing needs a closer look.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Arrived> {
        if self.special || self.canary.disturbed() {
            return None;
        }
        self.core.take()
    }

    /// As [`take`](Self::take), for a message that is there or comes within about a microsecond.
    /// Arrival is noticed out of line, and the message taken here: every instruction between the
    /// two is latency.
    #[inline(always)]
    pub(crate) fn take_soon(&mut self) -> Option<Arrived> {
        if self.special || self.canary.disturbed() {
            return None;
        }
        if let Some(arrived) = self.core.take() {
            return Some(arrived);
        }
        let word = self.spin()?;
        self.core.accept(word).ok().flatten()
    }

    /// The next message, if it is there.
    pub(super) fn poll(&mut self) -> Result<Option<Arrived>, Interrupted> {
        self.undisturbed()?;
        if self.special {
            return self.poll_specially();
        }
        let arrived = self.core.try_next()?;
        if self.core.holds_gap() {
            self.behind_gap(arrived.is_some());
        }
        Ok(arrived)
    }

    /// After a gap: what is measured goes on behind it, as it is no message. Gives the gap back if no message follows yet;
    /// nothing is lent to the caller then.
    #[cold]
    #[inline(never)]
    fn behind_gap(&mut self, followed: bool) {
        self.reading.moved(read(&self.core));
        if followed {
            return self.core.found_behind_gap();
        }
        let untold = self.missed_before(self.core.sequence()) > 0;
        if self.core.release_gap(untold) {
            if let Some(control) = self.core.memory().control() {
                self.waker.ring(&control.space);
            }
        }
    }

    /// As [`poll`](Self::poll), for a consumer that may be evicted: if it was, it takes part again and looks again. If
    /// it was evicted once more meanwhile, it finds nothing now.
    #[inline(never)]
    fn poll_specially(&mut self) -> Result<Option<Arrived>, Interrupted> {
        if self.private.is_empty() {
            let arrived = self.core.try_next()?;
            if self.core.holds_gap() {
                self.behind_gap(arrived.is_some());
            }
            return Ok(arrived);
        }
        match self.core.try_copy(&mut self.private) {
            Ok(Some(arrived)) => {
                // Zeroes may have taken the place of what was being copied.
                self.undisturbed()?;
                self.time();
                if self.core.holds_gap() {
                    self.behind_gap(true);
                }
                Ok(Some(arrived))
            }
            Ok(None) => {
                if self.core.holds_gap() {
                    self.behind_gap(false);
                }
                Ok(None)
            }
            Err(Lost::Corrupt(corrupt)) => Err(corrupt.into()),
            Err(Lost::Evicted) => self.come_back(),
        }
    }

    /// Takes part again after an eviction, and looks once more.
    #[cold]
    #[inline(never)]
    pub(super) fn come_back(&mut self) -> Result<Option<Arrived>, Interrupted> {
        self.rejoin()?;
        match self.core.try_copy(&mut self.private) {
            Ok(Some(arrived)) => {
                self.undisturbed()?;
                self.time();
                Ok(Some(arrived))
            }
            Ok(None) | Err(Lost::Evicted) => Ok(None),
            Err(Lost::Corrupt(corrupt)) => Err(corrupt.into()),
        }
    }

    /// Whether the producer went on without this consumer.
    pub(super) fn is_evicted(&self) -> bool {
        !self.private.is_empty() && self.core.displaced()
    }

    /// Finds out what was missed and takes part again. A durable cursor stays where it was until the message behind the
    /// loss is acknowledged, so that no loss is forgotten with a consumer that dies before it could tell.
    #[cold]
    pub(super) fn rejoin(&mut self) -> Result<(), Interrupted> {
        let next = self.core.sequence();
        if self.core.expelled() {
            return Err(Interrupted::Expelled { next });
        }
        match self.core.rejoin() {
            Ok(missed) => {
                self.evicted = self.evicted.wrapping_add(missed);
                let run = self.gaps().run_before(next);
                self.loss.extend(run, next, self.core.sequence());
                self.reading.moved(read(&self.core));
                self.core.count_loss(missed);
                Ok(())
            }
            Err(nowhere) => Err(Interrupted::not_rejoined(nowhere, next)),
        }
    }

    /// The next message, if it is there, not yet lent.
    #[cfg(feature = "async")]
    pub(crate) fn try_arrived(&mut self) -> Result<Arrived, TryReceiveError> {
        match self.take() {
            Some(arrived) => Ok(arrived),
            None => self.try_again(),
        }
    }

    /// What follows a take that found nothing: a closer look, then the last word on whether it is over.
    pub(super) fn try_again(&mut self) -> Result<Arrived, TryReceiveError> {
        self.undisturbed()?;
        if self.reading.owes_pause() {
            self.special = self.is_special();
        }
        if self.special || self.core.peek().is_some() {
            if let Some(arrived) = self.poll()? {
                return Ok(arrived);
            }
        }
        self.reading.empty_without_pause(read(&self.core));
        let closed = self.core.producer_state() == ProducerState::Closed;
        match self.look()? {
            Some(arrived) => Ok(arrived),
            None => waiting::nothing_there(self, closed),
        }
    }

    /// The next message of a batch, if it is there. What else there is to say ends the batch, and is
    /// said by the next receive; so does an eviction.
    #[inline(always)]
    pub(in crate::endpoint) fn poll_quietly(&mut self) -> Option<Arrived> {
        if self.private.is_empty() {
            let arrived = self.core.take();
            if arrived.is_none() && self.something_follows() {
                return self.core.try_next().ok().flatten();
            }
            return arrived;
        }
        let arrived = self.core.try_copy(&mut self.private).ok().flatten()?;
        self.undisturbed().ok()?;
        self.time();
        Some(arrived)
    }

    /// Whether something is there after all: behind a pad, once per lap, or behind a gap. Out of line, and telling no more
    /// than that: the loop around it keeps its values in registers.
    #[inline(never)]
    fn something_follows(&self) -> bool {
        self.core.peek().is_some()
    }
}
