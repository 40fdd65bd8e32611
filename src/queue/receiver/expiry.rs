//! The lease of a queue: what receivers hold for longer than that is given to another one.
//!
//! Layer 7. No clock is shared. A receiver notes when, by its own clock, it first saw what another one holds; what it
//! then sees unchanged for the lease it returns. So a message comes back no sooner than a lease after it was taken,
//! and one look later at the latest.

use super::{First, Lane, Receiver};
use crate::queue::error::AckError;
use crate::ring::take::revoke;
use crate::wait::bell::LONGEST_SLEEP;
use core::time::Duration;
use std::time::Instant;

/// How often in a row a receiver may lose a message while it copies it, before it says that there is none.
const ATTEMPTS: u32 = 8;

impl Receiver {
    /// What the first word of the next call is while no message is out.
    pub(super) fn nothing_first(&self) -> First {
        match self.expiry {
            Some(_) => First::Look,
            None => First::Nothing,
        }
    }

    /// The longest sleep of a wait: what is held now may be over then.
    pub(super) fn until_expiry(&self) -> Duration {
        let expiry = self.expiry.as_ref();
        expiry.map_or(LONGEST_SLEEP, |expiry| expiry.longest_sleep())
    }

    /// Returns to the queue what receivers have held for longer than the lease.
    #[cold]
    #[inline(never)]
    pub(super) fn expire(&mut self) {
        let Some(mut expiry) = self.expiry.take() else {
            return;
        };
        let now = Instant::now();
        let before = std::mem::take(&mut expiry.held);
        let (held, lease) = (&mut expiry.held, expiry.lease);
        let mut any = false;
        for lane in self.groups.iter_mut().flat_map(|group| &mut group.lanes) {
            let Lane {
                number,
                taker,
                watch,
                ..
            } = lane;
            watch.look(taker, |hold| {
                let at = (*number, hold.sequence);
                let since = match before.get(&at) {
                    Some((same, since)) if *same == hold => *since,
                    _ => now,
                };
                if now - since < lease {
                    held.insert(at, (hold, since));
                } else {
                    any |= revoke(taker, hold);
                }
            });
        }
        self.expiry = Some(expiry);
        if any {
            self.wake_receivers();
        }
    }

    /// What a wait does, of a receiver that finds messages and so never waits: once in a while.
    pub(super) fn look_when_busy(&mut self) {
        if self.busy.due() {
            self.sweep();
            self.expire();
        }
    }

    /// Takes a message of a queue with a lease, and copies it: another receiver may finish it while this one still has
    /// it, and then its bytes are overwritten.
    #[cold]
    pub(super) fn search_and_copy(&mut self) -> bool {
        for _ in 0..ATTEMPTS {
            if !self.search() {
                return false;
            }
            self.copy();
            if self.lane().taker.still_holds(self.found.taken) {
                return true;
            }
            self.first = First::Look;
        }
        false
    }

    /// The end of a message, where more than its word is to be changed.
    #[cold]
    #[inline(never)]
    pub(super) fn finish_slowly(&mut self) -> Result<(), AckError> {
        let found = self.found;
        let lease = self.expiry.as_ref().map(|expiry| expiry.lease);
        self.first = self.nothing_first();
        let lane = &mut self.groups[found.group].lanes[found.lane];
        match lease {
            None => lane.taker.finish(found.taken),
            Some(lease) if !lane.taker.finish_if_held(found.taken) => {
                return Err(AckError::Expired {
                    lane: lane.number,
                    sequence: found.taken.sequence,
                    lease,
                })
            }
            Some(_) => {}
        }
        lane.ring_for_space();
        if self.reading.is_due(self.read.bytes) {
            self.look_back();
        }
        if lease.is_none() && self.read.bytes >= self.rounds.at() {
            if self.rounds.due(self.read.bytes, Instant::now()) {
                self.sweep();
            }
            self.note_next_look();
        }
        Ok(())
    }
}
