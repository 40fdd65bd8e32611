//! Lending space: claims and batches.
//!
//! Layer 5. What is lent is in `lend`.

use super::Producer;
use crate::endpoint::error::{PublishError, TryPublishError};
use crate::endpoint::lend::{Claim, PublishBatch};
use crate::wait::Deadline;

impl Producer {
    /// Lends space for one message of `len` bytes, to be written in place, waiting as
    /// [`publish`](Self::publish) does. Its bytes are unspecified until written.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    #[inline(always)]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, PublishError> {
        self.claim_until(len, Deadline::NEVER)
    }

    /// Like [`claim`](Self::claim), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`publish_until`](Self::publish_until).
    #[inline(always)]
    pub fn claim_until(
        &mut self,
        len: usize,
        deadline: impl Into<Deadline>,
    ) -> Result<Claim<'_>, PublishError> {
        let payload = match self.claim_at_once(len) {
            Some(payload) => payload,
            None => self.claim_slowly(len, deadline.into())?,
        };
        Ok(Claim::new(self, payload, len))
    }

    #[inline(always)]
    fn claim_at_once(&self, len: usize) -> Option<u64> {
        if self.canary.disturbed() || self.special {
            return None;
        }
        self.core.claim_near(len)
    }

    #[cold]
    #[inline(never)]
    fn claim_slowly(&mut self, len: usize, deadline: Deadline) -> Result<u64, PublishError> {
        self.begin()?;
        self.fits(len)?;
        let len = len.saturating_add(self.prefix());
        loop {
            match self.core.try_claim(len) {
                Ok(payload) => return Ok(payload),
                Err(refused) => {
                    let mut batch = self.core.batch();
                    self.wait_for_room(&mut batch, refused, len, deadline)?;
                }
            }
        }
    }

    /// Like [`claim`](Self::claim), but only if there is room now.
    ///
    /// # Errors
    /// As [`try_publish`](Self::try_publish).
    #[inline(always)]
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, TryPublishError> {
        let payload = match self.claim_at_once(len) {
            Some(payload) => payload,
            None => self.try_claim_slowly(len)?,
        };
        Ok(Claim::new(self, payload, len))
    }

    #[cold]
    #[inline(never)]
    fn try_claim_slowly(&mut self, len: usize) -> Result<u64, TryPublishError> {
        self.begin()?;
        self.fits(len)?;
        let len = len.saturating_add(self.prefix());
        loop {
            match self.core.try_claim(len) {
                Ok(payload) => return Ok(payload),
                Err(refused) => self.refuse(&self.core.batch(), refused, len)?,
            }
        }
    }

    /// Begins a batch: messages that become visible together, or not at all.
    #[inline]
    pub fn batch(&mut self) -> PublishBatch<'_> {
        PublishBatch::new(self)
    }
}
