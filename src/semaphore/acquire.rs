//! Taking permits, and waiting for them in turn: whose turn it is, whether its owner uses it, and what the dead have
//! left.
//!
//! Layer 7.

use super::permit::Shared;
use super::{AcquireError, Permit, Semaphore, Watch};
use crate::attach::shown;
use crate::layout::lines::Bell;
use crate::wait::{until, Deadline, Outcome, Waited};
use core::time::Duration;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

/// How long a waiter may be passed over before it gets the next permit ahead of all others.
const PASSED_OVER: Duration = Duration::from_millis(1);

/// How often a waiter asks whether the holders that it waits for are alive.
const ASK_AFTER: Duration = Duration::from_millis(20);

/// How long the turn may go unused while its owner could take all that it wants.
const LAPSE_AFTER: Duration = Duration::from_millis(5);

/// How long a waiter that has the turn, but too few free permits, may go without looking while some are
/// free.
const LOST_AFTER: Duration = Duration::from_millis(100);

/// How often others check whether the turn is used.
const LOOK_AFTER: Duration = Duration::from_millis(1);

impl Semaphore {
    #[inline(always)]
    pub(super) fn take(&self, many: u32) -> Option<Permit> {
        let permits = &self.shared.permits;
        // Permits that are taken and given back are missing to others meanwhile.
        if many > 1 && !permits.are_free(many) {
            return None;
        }
        let take = || {
            let taken = permits.try_take(self.hint.get());
            self.hint.set(taken.unwrap_or_default());
            taken
        };
        let first = match many {
            0 => None,
            _ => Some(take()?),
        };
        let mut others = Vec::new();
        for _ in 1..many {
            match take() {
                Some(number) => others.push(number),
                None => {
                    let taken = first.into_iter().chain(others);
                    taken.for_each(|number| permits.give(number));
                    // A waiter that looked meanwhile may have gone to sleep.
                    self.shared.ring_waiters();
                    return None;
                }
            }
        }
        Some(Permit {
            shared: self.shared.clone(),
            first,
            others,
            one_thread: PhantomData,
        })
    }

    #[inline(never)]
    pub(super) fn wait(&self, many: u32, deadline: Deadline) -> Result<Permit, AcquireError> {
        self.wait_at(&self.place(many), deadline)
    }

    /// Waits in a place, which is kept if the deadline comes first.
    pub(super) fn wait_at(
        &self,
        place: &Waiter,
        deadline: Deadline,
    ) -> Result<Permit, AcquireError> {
        let memory = self.shared.attachment.segment().reader().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.data);
        let mut slept = self.slept.get();
        let many = place.many;
        let mut waiting = Waiting {
            semaphore: self,
            many,
            since: place.since,
            taken: None,
        };
        let strategy = self.options.strategy;
        let outcome = until(&mut waiting, strategy, bell, deadline, &mut slept);
        let mut found = Ok(waiting.taken.take());
        if matches!(found, Ok(None)) && outcome == Outcome::TimedOut {
            // A caller whose waits are short never asks while it waits.
            found = self.take_what_is_in_the_way(many);
        }
        self.slept.set(slept);
        match (found?, outcome) {
            (Some(permit), _) => Ok(permit),
            (None, Outcome::Gone) => Err(self.shared.attachment.trouble_found().into()),
            (None, _) => Err(AcquireError::TimedOut),
        }
    }

    /// Begins to wait, for a caller that has checked that it may.
    fn place(&self, many: u32) -> Waiter {
        // At once if a waiter is there already, and if other callers would take single permits first.
        if many > 1 || self.shared.permits.turn().is_some() {
            self.shared.permits.queue_up(many);
        }
        Waiter {
            shared: self.shared.clone(),
            many,
            since: Instant::now(),
        }
    }

    /// Begins to wait for permits. A handle has one place at a time.
    pub(crate) fn begin_to_wait(&self, many: u32) -> Result<Waiter, AcquireError> {
        self.usable()?;
        self.possible(many)?;
        Ok(self.place(many))
    }

    /// For callers that do not wait, or for moments only: at intervals asks whether the semaphore was removed,
    /// gives back the permits of the dead, ends an unused turn, and tries again if either was in the way.
    #[cold]
    pub(super) fn take_what_is_in_the_way(
        &self,
        many: u32,
    ) -> Result<Option<Permit>, AcquireError> {
        let now = Instant::now();
        let mut asked = self.asked.get();
        let due = asked.due_at(now);
        self.asked.set(asked);
        if due {
            if let Some(trouble) = self.shared.attachment.trouble() {
                return Err(trouble.into());
            }
        }
        let returned = due && self.return_from_the_dead();
        if self.end_idle_turn(now) || returned {
            Ok(self.take(many))
        } else {
            Ok(None)
        }
    }

    /// Ends the turn of another waiter that has not used it for too long, for example because it is
    /// stopped. Returns `true` if it did.
    fn end_idle_turn(&self, now: Instant) -> bool {
        let permits = &self.shared.permits;
        let mut watch = self.watch.get();
        let soon = |at: Instant| now.saturating_duration_since(at) < LOOK_AFTER;
        if watch.looked.is_some_and(soon) {
            return false;
        }
        let idle = permits.idle_turn();
        if idle.is_none() || idle != watch.idle {
            watch = Watch {
                idle,
                since: Some(now),
                looked: Some(now),
            };
        }
        watch.looked = Some(now);
        let seen_for = watch
            .since
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let ended = watch.idle.is_some_and(|idle| {
            let long = if idle.enough() {
                LAPSE_AFTER
            } else {
                LOST_AFTER
            };
            seen_for >= long && permits.lapse(idle)
        });
        if ended {
            watch.idle = None;
            self.shared.ring_waiters();
        }
        self.watch.set(watch);
        ended
    }

    /// Gives back the permits and tickets of the dead. Returns `true` if there were any.
    pub(crate) fn return_from_the_dead(&self) -> bool {
        let Shared {
            attachment,
            permits,
            lease,
            ..
        } = &*self.shared;
        attachment.free_dead_rows(lease.row(), |row| {
            permits.return_all(row);
            self.shared.ring_waiters();
        })
    }
}

/// A place in the order of waiting that is kept between waits: made by [`Semaphore::waiter`] and
/// [`Shared::waiter`](crate::Shared::waiter). Dropping it gives the place up. Until then the row of its handle stays taken.
#[must_use = "a waiter that is dropped gives its place up"]
pub struct Waiter {
    shared: Arc<Shared>,
    many: u32,
    since: Instant,
}

shown!([] Waiter, "Waiter", |waiter| path = waiter.shared.attachment.path(), count = waiter.many);

impl Waiter {
    /// Returns `true` if it is one of this handle.
    pub(super) fn is_of(&self, semaphore: &Semaphore) -> bool {
        Arc::ptr_eq(&self.shared, &semaphore.shared)
    }

    /// Gives the place up. The next waiters look.
    pub(super) fn leave(&self) {
        // The parent of a fork still waits.
        if !self.shared.attachment.canary().forked() && self.shared.permits.leave_queue() {
            self.shared.ring_waiters();
        }
    }

    /// Returns how many permits it waits for.
    pub fn count(&self) -> u32 {
        self.many
    }
}

#[cfg(feature = "async")]
impl Semaphore {
    /// Takes the permits, if it is the caller's turn and they are free; `None` if it is to wait.
    pub(crate) fn attempt(&self, place: &Waiter) -> Result<Option<Permit>, AcquireError> {
        self.undisturbed()?;
        self.shared.permits.claim_turn();
        if let Some(permit) = self.take(place.many) {
            return Ok(Some(permit));
        }
        if place.since.elapsed() > PASSED_OVER {
            self.shared.permits.queue_up(place.many);
        }
        self.shared.permits.beat();
        self.take_what_is_in_the_way(place.many)
    }

    /// How long a waiter may sleep between two attempts.
    pub(crate) fn longest_sleep(&self) -> Duration {
        match self.watch.get().idle {
            Some(idle) if idle.enough() => LAPSE_AFTER,
            _ => ASK_AFTER,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waiting for permits.
struct Waiting<'s> {
    semaphore: &'s Semaphore,
    many: u32,
    since: Instant,
    taken: Option<Permit>,
}

impl Waited for Waiting<'_> {
    fn ready(&mut self) -> bool {
        self.semaphore.shared.permits.claim_turn();
        if self.taken.is_none() {
            self.taken = self.semaphore.take(self.many);
        }
        self.taken.is_some()
    }

    fn over(&mut self) -> bool {
        let now = Instant::now();
        if now - self.since > PASSED_OVER {
            self.semaphore.shared.permits.queue_up(self.many);
        }
        self.semaphore.shared.permits.beat();
        self.semaphore.end_idle_turn(now);
        false
    }

    fn gone(&mut self) -> bool {
        self.semaphore.return_from_the_dead();
        self.semaphore.shared.attachment.trouble().is_some()
    }

    fn longest_sleep(&self) -> Duration {
        match self.semaphore.watch.get().idle {
            Some(idle) if idle.enough() => LAPSE_AFTER,
            _ => ASK_AFTER,
        }
    }
}
