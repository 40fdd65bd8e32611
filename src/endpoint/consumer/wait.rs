//! A consumer that waits for the next message: first as fast as it can, then as its strategy says.
//!
//! Layer 5.

use super::{read, Consumer};
use crate::endpoint::error::ReceiveError;
use crate::endpoint::trouble::producer_gone;
use crate::layout::frame::CommitWord;
use crate::layout::lines::{Bell, ProducerState};
use crate::ring::consumer::Arrived;
use crate::wait::{until, Deadline, Outcome, Waited};

/// Pauses before the general wait is set up: about a microsecond.
const FAST_POLLS: u32 = 64;

impl Consumer {
    /// Polls for about a microsecond: nothing but a load and a compare in between.
    ///
    /// Each of the first polls is a branch of its own. Where answers take about as long as the last ones did, the
    /// processor then knows at which poll one comes, and goes on before it has seen it; of a loop it only knows
    /// that it mostly goes on.
    #[inline(never)]
    pub(super) fn spin(&mut self) -> Option<CommitWord> {
        macro_rules! poll {
            ($($pause:literal)*) => { $(
                // Once more before the pause, which is as long as a line takes to come from a near core.
                let _ = $pause;
                for _ in 0..2 {
                    if let Some(word) = self.core.peek() {
                        return Some(word);
                    }
                }
                crate::sync::spin_hint();
            )* };
        }
        self.pace.empty(read(&self.core));
        poll!(1 2 3 4 5 6 7 8 9 10 11 12);
        for _ in 12..FAST_POLLS {
            if let Some(word) = self.core.peek() {
                return Some(word);
            }
            crate::sync::spin_hint();
        }
        None
    }

    /// The next message, or nothing once the ring is closed.
    #[inline(never)]
    pub(super) fn wait_for_next(
        &mut self,
        deadline: Deadline,
    ) -> Result<Option<Arrived>, ReceiveError> {
        if let Some(arrived) = self.poll()? {
            return Ok(Some(arrived));
        }
        if self.special {
            // Whoever is not special has been through `spin`.
            self.pace.empty(read(&self.core));
        }
        let memory = self.core.memory().clone();
        loop {
            let bell: Option<&Bell> = memory.control().map(|control| &control.data);
            let (strategy, mut slept) = (self.options.strategy, self.slept);
            let outcome = until(self, strategy, bell, deadline, &mut slept);
            self.slept = slept;
            // Whatever the outcome, what was committed before it comes first.
            if let Some(arrived) = self.poll()? {
                return Ok(Some(arrived));
            }
            if self.is_evicted() {
                return Err(self.rejoin().into());
            }
            match outcome {
                Outcome::Ready => {}
                Outcome::Over => return Ok(None),
                Outcome::TimedOut => return Err(ReceiveError::TimedOut),
                Outcome::Gone if self.ring.is_poisoned() => return Err(ReceiveError::Poisoned),
                Outcome::Gone => {
                    return Err(ReceiveError::ProducerGone {
                        next: self.core.sequence(),
                    })
                }
            }
        }
    }
}

impl Waited for Consumer {
    #[inline(always)]
    fn ready(&mut self) -> bool {
        self.core.peek().is_some()
    }

    fn over(&mut self) -> bool {
        self.core.producer_state() == ProducerState::Closed || self.is_evicted()
    }

    fn gone(&mut self) -> bool {
        self.ring.is_poisoned() || producer_gone(&self.ring, self.core.producer_state())
    }
}
