//! A message that one receiver has, until it is acknowledged or goes back; and the calls that take one.
//!
//! Layer 7. Unsafe only to lend out bytes that no process overwrites.
#![allow(unsafe_code, reason = "lends out bytes of a message that is not done")]

use super::error::{AckError, TakeError};
use super::receiver::Receiver;
use crate::attach::shown;
use crate::wait::Deadline;
use core::ops::Deref;

/// A message, in place. [`ack`](Self::ack) ends it; dropped, it goes back to the queue, and the next
/// receiver is told that it has been delivered before.
#[must_use = "a delivery that is dropped goes back to the queue"]
pub struct Delivery<'r> {
    receiver: &'r mut Receiver,
    done: bool,
}

shown!([] Delivery<'_>, "Delivery", |delivery| lane = delivery.lane(), sequence = delivery.sequence(), len = delivery.len());

/// Says that a receiver has a message that is not done yet.
#[must_use]
pub(crate) struct Taking(());

impl Receiver {
    /// Waits for a message and takes it.
    ///
    /// # Errors
    /// [`TakeError`], but neither `Empty` nor `TimedOut`.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<Delivery<'_>, TakeError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`receive`](Self::receive), until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TakeError::TimedOut`].
    #[inline(always)]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Delivery<'_>, TakeError> {
        if !self.take_at_once() {
            self.wait_for_next(deadline.into())?;
        }
        Ok(Delivery::new(self))
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    /// [`TakeError::Empty`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<Delivery<'_>, TakeError> {
        if !self.take_at_once() {
            self.look_again()?;
        }
        Ok(Delivery::new(self))
    }

    /// Takes the first message that is wanted; those before it are done with.
    pub(crate) fn take_wanted(
        &mut self,
        deadline: Deadline,
        mut wanted: impl FnMut(&Delivery<'_>) -> bool,
    ) -> Result<Taking, TakeError> {
        loop {
            if !self.take_at_once() {
                self.wait_for_next(deadline)?;
            }
            let delivery = Delivery::new(self);
            if wanted(&delivery) {
                return Ok(delivery.keep());
            }
            delivery.end();
            // A peer that sends without end keeps no caller beyond the deadline.
            if deadline.passed() {
                return Err(TakeError::TimedOut);
            }
        }
    }

    /// Takes a message if there is one.
    pub(crate) fn try_take(&mut self) -> Result<Taking, TakeError> {
        Ok(self.try_receive()?.keep())
    }

    /// The message that was taken last.
    pub(crate) fn taken(&mut self, _: Taking) -> Delivery<'_> {
        Delivery::again(self)
    }
}

impl<'r> Delivery<'r> {
    /// Leaves the message taken, for [`Receiver::taken`].
    fn keep(mut self) -> Taking {
        self.done = true;
        Taking(())
    }

    #[inline(always)]
    fn new(receiver: &'r mut Receiver) -> Self {
        receiver.settle();
        Self::again(receiver)
    }

    /// As before [`keep`](Self::keep).
    #[inline(always)]
    fn again(receiver: &'r mut Receiver) -> Self {
        Self {
            receiver,
            done: false,
        }
    }

    /// Acknowledges the message: it never comes again, and its space may be used.
    ///
    /// In a queue without a lease this fails in a forked child only.
    ///
    /// # Errors
    /// [`AckError::Expired`] if the receiver held the message for longer than the queue's
    /// [lease](crate::queue::QueueBuilder::lease), and another receiver returned it to the queue: the message is, was or
    /// will be with another receiver, and this acknowledgement changes nothing. [`AckError::Forked`].
    #[inline(always)]
    pub fn ack(mut self) -> Result<(), AckError> {
        self.done = true;
        self.receiver.finish()
    }

    /// Acknowledges a message of a queue without a lease. That fails in a forked child only, whose next call says so.
    #[inline(always)]
    pub(crate) fn end(self) {
        let _ = self.ack();
    }

    /// Its number among all messages that were ever sent in its lane.
    pub fn sequence(&self) -> u64 {
        self.receiver.found.taken.sequence
    }

    /// The lane it came in: different for every sender and priority.
    pub fn lane(&self) -> u32 {
        self.receiver.lane().number
    }

    /// Its priority, 0 to 7.
    pub fn priority(&self) -> u8 {
        self.receiver.priority()
    }

    /// Whether another delivery of it came before: that receiver died, gave it back, or held it for longer than the lease.
    pub fn redelivered(&self) -> bool {
        self.tries() > 1
    }

    /// How often it was delivered, this time included; counts to 255.
    pub fn tries(&self) -> u32 {
        self.receiver.found.taken.tries
    }
}

impl Deref for Delivery<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let taken = self.receiver.found.taken;
        if self.receiver.copies {
            return self.receiver.copied(taken.len as usize);
        }
        let words = self.receiver.lane().taker.memory().words();
        // SAFETY: the message was taken and is not done: until its word says so, its sender, which
        // follows the protocol, does not write here (edge `taken`), and this receiver, which is alive and
        // borrowed, is the only one to say so. No other user may write the lane, who need not follow
        // anything, and the lane has no lease, after which another receiver could say so: else messages are
        // copied.
        unsafe { words.bytes(taken.payload, taken.len as usize) }
    }
}

impl AsRef<[u8]> for Delivery<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Delivery<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.done {
            self.receiver.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Queue;
    use crate::queue::ReceiverOptions;
    use crate::read::{Pacing, ReadPolicy};
    use crate::wait::Strategy;
    use core::time::Duration;

    #[test]
    fn receivers_pause_only_in_calls_that_may_wait_and_before_their_deadline() {
        let scratch = tempfile::tempdir().unwrap();
        let queue = Queue::builder(scratch.path().join("jobs")).depth(512);
        let queue = queue.create().unwrap();
        let mut sender = queue.sender().unwrap();
        let mut fill = || {
            for _ in 0..500 {
                sender.send(&[7; 64]).unwrap();
            }
        };
        let options = ReceiverOptions::new().strategy(Strategy::Spin);
        let options = options.read_policy(ReadPolicy::Behind(Pacing {
            lag_bytes: u64::MAX,
            pause_ns: 1000,
            flush: true,
        }));
        let mut receiver = queue.receiver_with(options).unwrap();
        for _ in 0..2 {
            fill();
            let mut next = || receiver.try_receive().map(|delivery| delivery.ack());
            assert_eq!((0..501).take_while(|_| next().is_ok()).count(), 500);
            fill();
            let mut next = || receiver.receive_until(Duration::ZERO).map(|d| d.ack());
            assert_eq!((0..501).take_while(|_| next().is_ok()).count(), 500);
            assert_eq!(receiver.reading.pauses(), 0);
        }
        fill();
        for _ in 0..500 {
            let delivery = receiver.receive().unwrap();
            assert_eq!(*delivery, [7; 64]);
            delivery.ack().unwrap();
        }
        assert!(receiver.reading.pauses() > 0, "never paused");
    }
}
