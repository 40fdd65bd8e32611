//! What a producer lends: space for one message, and a batch of messages.
//!
//! Layer 5. Unsafe only to lend a claim its own unpublished bytes.
#![allow(unsafe_code, reason = "claims lend the producer's own space")]

use super::error::{PublishError, TryPublishError};
use super::producer::Producer;
use crate::attach::shown;
use crate::ring::producer::Batch;
use crate::wait::Deadline;

/// Space for one message, written in place. Made by [`Producer::claim`].
///
/// Dropping it without a commit gives the space back and leaves no trace. Its bytes are the ring's: a fork
/// of the process has zeroes in their place, and what the fork writes or commits reaches no other process.
/// (A child made by a bare `clone` has nothing in their place: a segmentation fault.)
#[must_use = "a claim that is dropped publishes nothing"]
pub struct Claim<'p> {
    producer: &'p mut Producer,
    payload: u64,
    len: usize,
    in_place: bool,
    /// Bytes of the stamp in front of it, if the claim is written in private memory.
    prefix: usize,
}

shown!([] Claim<'_>, "Claim", |claim| len = claim.len);

impl<'p> Claim<'p> {
    #[inline(always)]
    pub(super) fn new(producer: &'p mut Producer, payload: u64, len: usize) -> Self {
        // The first case is known at compile time on the fast path.
        let prefix = match producer.special {
            true => producer.prefix(),
            false => 0,
        };
        let in_place = producer.core.memory().lends() && prefix == 0;
        if !in_place {
            producer.provide_scratch(len + prefix);
        }
        Self {
            producer,
            payload,
            len,
            in_place,
            prefix,
        }
    }

    /// Publishes the message. Returns its sequence.
    #[inline(always)]
    pub fn commit(self) -> u64 {
        let len = self.len;
        self.commit_some(len)
    }

    /// Publishes the first `len` bytes as the message, at most what was claimed. Returns the sequence. In a
    /// ring with a schema every message has its size: all of the claim is published.
    #[inline(always)]
    pub fn commit_first(self, len: usize) -> u64 {
        let len = match self.producer.fixed {
            Some(_) => self.len,
            None => len.min(self.len),
        };
        self.commit_some(len)
    }

    #[inline(always)]
    fn commit_some(self, len: usize) -> u64 {
        let Self {
            producer, prefix, ..
        } = self;
        let sequence = if self.in_place {
            producer.core.commit_claim(len as u32)
        } else {
            if prefix != 0 {
                producer.stamp_scratch();
            }
            let bytes = producer.scratch.get(..prefix + len);
            producer.core.commit_copy(bytes.unwrap_or_default())
        };
        producer.ring_data();
        sequence
    }
}

impl core::ops::Deref for Claim<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        if self.in_place {
            let words = self.producer.core.memory().words();
            // SAFETY: unpublished space of the producer that `self` borrows exclusively; only
            // `deref_mut` writes it, and that needs `self` exclusively too.
            unsafe { words.bytes(self.payload, self.len) }
        } else {
            let bytes = self
                .producer
                .scratch
                .get(self.prefix..self.prefix + self.len);
            bytes.unwrap_or_default()
        }
    }
}

impl core::ops::DerefMut for Claim<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.in_place {
            let words = self.producer.core.memory().words();
            // SAFETY: as for `deref`; readers in this process map the ring at another address, and no
            // other user may write it (`lends`), so no other reference to these bytes exists.
            unsafe { words.bytes_mut(self.payload, self.len) }
        } else {
            let range = self.prefix..self.prefix + self.len;
            let bytes = self.producer.scratch.get_mut(range);
            bytes.unwrap_or_default()
        }
    }
}

/// Messages that become visible together. Made by [`Producer::batch`].
///
/// They share one release store and one check for sleepers. Dropping the batch without a commit, or leaking
/// it, publishes none of them. A fork of the process does not have the ring's memory: pushing is refused
/// there, and committing what was pushed before has no effect. A batch takes at most half the ring.
#[must_use = "a batch that is dropped publishes nothing"]
pub struct PublishBatch<'p> {
    producer: &'p mut Producer,
    batch: Batch,
}

shown!([] PublishBatch<'_>, "PublishBatch", |batch| producer = batch.producer);

impl<'p> PublishBatch<'p> {
    #[inline(always)]
    pub(super) fn new(producer: &'p mut Producer) -> Self {
        let batch = producer.core.batch();
        Self { producer, batch }
    }

    /// Adds a message, waiting for room as [`Producer::publish`] does. Returns the sequence it will
    /// have.
    ///
    /// # Errors
    /// As [`Producer::publish`], and [`PublishError::BatchFull`]. The batch stays as it was.
    #[inline(always)]
    pub fn push(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        self.push_until(payload, Deadline::NEVER)
    }

    /// Like [`push`](Self::push), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`PublishError::TimedOut`].
    #[inline(always)]
    pub fn push_until(
        &mut self,
        payload: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<u64, PublishError> {
        if let Some(sequence) = self.push_at_once(payload) {
            return Ok(sequence);
        }
        // Passed and returned by value, so that the batch has no address and stays in registers.
        let mut batch = self.batch;
        let pushed = self
            .producer
            .push_slowly(&mut batch, payload, deadline.into());
        self.batch = batch;
        pushed
    }

    /// The fast path, as in a single publish.
    #[inline(always)]
    fn push_at_once(&mut self, payload: &[u8]) -> Option<u64> {
        if self.producer.canary.disturbed() || self.producer.special {
            return None;
        }
        self.producer.core.stage_near(&mut self.batch, payload)
    }

    /// Adds a message if there is room now.
    ///
    /// # Errors
    /// As [`Producer::try_publish`], and [`TryPublishError::BatchFull`]. The batch stays as it was.
    #[inline(always)]
    pub fn try_push(&mut self, payload: &[u8]) -> Result<u64, TryPublishError> {
        if let Some(sequence) = self.push_at_once(payload) {
            return Ok(sequence);
        }
        let mut batch = self.batch;
        let pushed = self.producer.try_push_slowly(&mut batch, payload);
        self.batch = batch;
        pushed
    }

    /// Publishes the batch. Returns how many messages it has.
    #[inline(always)]
    pub fn commit(self) -> u64 {
        let messages = self.producer.core.commit(&self.batch);
        self.producer.ring_data();
        messages
    }
}

#[cfg(test)]
mod tests {
    use crate::endpoint::{PublishError, TryPublishError};
    use crate::{Ring, Start};

    /// Lengths at which the size of a frame, or its end, would overflow.
    #[test]
    fn no_length_is_too_large_for_an_answer() {
        for stamps in [false, true] {
            let ring = Ring::heap().stamps(stamps).create().unwrap();
            let mut producer = ring.producer().unwrap();
            let max = ring.max_message_bytes();
            for len in (0..=64).map(|less| usize::MAX - less) {
                let refused = producer.claim(len).map(|_| ());
                assert!(matches!(refused, Err(PublishError::TooLarge { max: m, .. }) if m == max));
                let refused = producer.try_claim(len).map(|_| ());
                assert!(
                    matches!(refused, Err(TryPublishError::TooLarge { max: m, .. }) if m == max)
                );
            }
            assert_eq!(producer.publish(b"next"), Ok(0));
        }
    }

    /// A batch that is dropped or leaked does not leave a hole that readers cannot pass.
    #[test]
    fn a_batch_that_is_given_up_has_never_been() {
        let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        for round in 0..50u64 {
            let mut batch = producer.batch();
            for _ in 0..round {
                if batch.push(&[0xff; 60]) == Err(PublishError::BatchFull) {
                    break;
                }
            }
            // Dropped. It has no destructor, so leaking it is the same.
            assert!(!core::mem::needs_drop::<super::PublishBatch<'_>>());
            assert_eq!(producer.publish(&round.to_le_bytes()), Ok(round));
            let message = consumer.try_receive().unwrap();
            assert_eq!(message.sequence(), round);
            assert_eq!(&*message, &round.to_le_bytes());
        }
    }
}
