//! Publishing: at once where there is room and nothing is rare, and otherwise out of line.
//!
//! Layer 5. Waiting for room is in `room`.

use super::Producer;
use crate::endpoint::error::{PublishError, TryPublishError};
use crate::ring::producer::Batch;
use crate::wait::Deadline;

impl Producer {
    /// Publishes one message, waiting while the slowest consumer is a whole ring behind. Returns
    /// its sequence.
    ///
    /// # Errors
    /// [`PublishError::TooLarge`], [`PublishError::Forked`]; [`PublishError::WrongSize`] in a ring with a
    /// schema, whose messages all have its size.
    #[inline(always)]
    pub fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        self.publish_until(payload, Deadline::NEVER)
    }

    /// Like [`publish`](Self::publish), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`PublishError::TimedOut`] with the row of the consumer
    /// that held it back; nothing was published then.
    #[inline(always)]
    pub fn publish_until(
        &mut self,
        payload: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<u64, PublishError> {
        match self.publish_at_once(payload) {
            Some(sequence) => Ok(sequence),
            None => self.publish_slowly(payload, deadline.into()),
        }
    }

    /// Like [`publish_until`](Self::publish_until), of a message that is known to fit the schema.
    #[inline(always)]
    pub(crate) fn publish_fitting(
        &mut self,
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<u64, PublishError> {
        match self.publish_fitting_at_once(payload) {
            Some(sequence) => Ok(sequence),
            None => self.publish_slowly(payload, deadline),
        }
    }

    /// Like [`try_publish`](Self::try_publish), of a message that is known to fit the schema.
    #[inline(always)]
    pub(crate) fn try_publish_fitting(&mut self, payload: &[u8]) -> Result<u64, TryPublishError> {
        match self.publish_fitting_at_once(payload) {
            Some(sequence) => Ok(sequence),
            None => self.try_publish_slowly(payload),
        }
    }

    /// The fast path, without rare cases, which would cost registers here.
    #[inline(always)]
    pub(crate) fn publish_at_once(&mut self, payload: &[u8]) -> Option<u64> {
        if self.canary.disturbed() {
            return None;
        }
        self.publish_undisturbed(payload)
    }

    /// Like [`publish_at_once`](Self::publish_at_once), for a caller that has asked whether the producer is
    /// [`disturbed`](Self::disturbed).
    #[inline(always)]
    pub(in crate::endpoint) fn publish_undisturbed(&mut self, payload: &[u8]) -> Option<u64> {
        if self.special {
            return None;
        }
        let sequence = self.core.publish_near(payload)?;
        self.ring_data();
        Some(sequence)
    }

    #[inline(always)]
    fn publish_fitting_at_once(&mut self, payload: &[u8]) -> Option<u64> {
        if self.canary.disturbed() || self.roundabout {
            return None;
        }
        let sequence = self.core.publish_near(payload)?;
        self.ring_data();
        Some(sequence)
    }

    #[cold]
    #[inline(never)]
    fn publish_slowly(&mut self, payload: &[u8], deadline: Deadline) -> Result<u64, PublishError> {
        self.begin()?;
        self.fits(payload.len())?;
        self.stamping(payload, |producer, payload| loop {
            match producer.core.try_publish(payload) {
                Ok(sequence) => {
                    producer.ring_data();
                    return Ok(sequence);
                }
                Err(refused) => {
                    let mut batch = producer.core.batch();
                    producer.wait_for_room(&mut batch, refused, payload.len(), deadline)?;
                }
            }
        })
    }

    #[cold]
    #[inline(never)]
    pub(in crate::endpoint) fn push_slowly(
        &mut self,
        batch: &mut Batch,
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<u64, PublishError> {
        self.begin()?;
        self.fits(payload.len())?;
        self.stamping(payload, |producer, payload| loop {
            match producer.core.try_stage(batch, payload) {
                Ok(sequence) => return Ok(sequence),
                Err(refused) => producer.wait_for_room(batch, refused, payload.len(), deadline)?,
            }
        })
    }

    /// Publishes one message if there is room now. Returns its sequence.
    ///
    /// # Errors
    /// [`TryPublishError::Full`] with the row of the slowest consumer; a dead consumer never holds the
    /// producer back. If the ring evicts, a live one holds it back for at most the allowed time, counted
    /// from the first refusal. [`TryPublishError::TooLarge`], [`TryPublishError::Forked`].
    #[inline(always)]
    pub fn try_publish(&mut self, payload: &[u8]) -> Result<u64, TryPublishError> {
        match self.publish_at_once(payload) {
            Some(sequence) => Ok(sequence),
            None => self.try_publish_slowly(payload),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_publish_slowly(&mut self, payload: &[u8]) -> Result<u64, TryPublishError> {
        self.begin()?;
        self.fits(payload.len())?;
        self.stamping(payload, |producer, payload| loop {
            match producer.core.try_publish(payload) {
                Ok(sequence) => {
                    producer.ring_data();
                    return Ok(sequence);
                }
                Err(refused) => producer.refuse(&producer.core.batch(), refused, payload.len())?,
            }
        })
    }

    #[cold]
    #[inline(never)]
    pub(in crate::endpoint) fn try_push_slowly(
        &mut self,
        batch: &mut Batch,
        payload: &[u8],
    ) -> Result<u64, TryPublishError> {
        self.begin()?;
        self.fits(payload.len())?;
        self.stamping(payload, |producer, payload| loop {
            match producer.core.try_stage(batch, payload) {
                Ok(sequence) => return Ok(sequence),
                Err(refused) => producer.refuse(batch, refused, payload.len())?,
            }
        })
    }
}
