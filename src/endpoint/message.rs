//! Borrowed messages of a consumer: one message, and a batch of messages.
//!
//! Layer 5. Both give their space back to the producer when they are dropped.

use super::consumer::Consumer;
use super::received::Payload;
use crate::attach::shown;
use crate::layout::gap::Gap;
use crate::ring::consumer::Arrived;
use core::ops::Deref;

/// One message, in place. Dropping it gives its space back to the producer.
#[must_use = "a message that is dropped is given back: its space may be overwritten"]
pub struct Message<'c> {
    consumer: &'c mut Consumer,
    arrived: Arrived,
}

shown!([] Message<'_>, "Message", |message| sequence = message.sequence(), len = message.len());

impl<'c> Message<'c> {
    #[inline(always)]
    pub(super) fn new(consumer: &'c mut Consumer, arrived: Arrived) -> Self {
        Self { consumer, arrived }
    }

    /// Returns the number of the message.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.arrived.sequence
    }

    /// Returns how many messages directly before this one this consumer will never get; 0 unless the ring
    /// [went on without it](crate::endpoint::Builder::evict_after), or its durable cursor was away for too long. Received
    /// messages and these together are all that were published. See [`Consumer::losses`](crate::Consumer::losses).
    #[inline]
    pub fn missed(&self) -> u64 {
        self.consumer.missed_before(self.arrived.sequence)
    }

    /// Returns the gap directly before this message: sequences that do not exist, and why. Of several gaps in a row
    /// it is the last. [`Consumer::losses`](crate::Consumer::losses) counts all.
    pub fn gap(&self) -> Option<Gap> {
        self.consumer.gaps().before(self.arrived.sequence)
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.consumer.bytes(self.arrived)
    }
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Message<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.consumer.release();
    }
}

/// Messages in place, lent together. Dropping it gives their space back to the producer.
///
/// ```
/// use slipring::{Ring, Start};
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer(Start::Oldest)?;
/// for n in 0..10u8 {
///     producer.publish(&[n])?;
/// }
/// let mut batch = consumer.try_receive_batch(8)?;
/// let mut sum = 0;
/// while let Some(message) = batch.next() {
///     sum += u32::from(message[0]);
/// }
/// assert_eq!(sum, 28);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch that is dropped gives back what was read of it"]
pub struct Batch<'c> {
    consumer: &'c mut Consumer,
    first: Option<Arrived>,
    left: usize,
}

shown!([] Batch<'_>, "Batch", |batch| left = batch.left);

impl<'c> Batch<'c> {
    #[inline(always)]
    pub(super) fn new(consumer: &'c mut Consumer, first: Arrived, max: usize) -> Self {
        Self {
            consumer,
            first: Some(first),
            // The first message is taken already and cannot be put back.
            left: max.max(1),
        }
    }

    /// The next message of the batch; `None` when `max` have been lent or no more are there.
    #[inline(always)]
    #[allow(
        clippy::should_implement_trait,
        reason = "the item borrows the batch, which an iterator cannot express"
    )]
    pub fn next(&mut self) -> Option<Payload<'_>> {
        if self.left == 0 {
            return None;
        }
        let arrived = match self.first.take() {
            Some(first) => first,
            None => self.consumer.poll_quietly()?,
        };
        self.left -= 1;
        Some(Payload::behind(
            (self.consumer.loss(), self.consumer.gaps()),
            self.consumer.bytes(arrived),
            arrived.sequence,
        ))
    }
}

impl Drop for Batch<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            // The caller has not seen it: it will be handed out again.
            self.consumer.untake(first);
            return;
        }
        self.consumer.release();
    }
}
