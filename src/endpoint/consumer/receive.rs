//! Receiving: messages that a consumer lends, one at a time or in batches.
//!
//! Layer 5. What is lent is in `message`.

use super::Consumer;
use crate::endpoint::error::{ReceiveError, TryReceiveError};
use crate::endpoint::message::{Batch, Message};
use crate::endpoint::waiting::Manner;
use crate::ring::consumer::Arrived;
use crate::wait::Deadline;

impl Consumer {
    /// Waits for the next message; `None` once the producer closed the ring and everything has been
    /// read. A call after `None` waits for the messages of a later producer; where it has a deadline, it
    /// returns `None` again then if there is none.
    ///
    /// # Errors
    /// [`ReceiveError::ProducerGone`] once everything a dead producer committed has been read.
    /// [`ReceiveError::Expelled`] if the ring went on without this consumer too often in a row. That it went on without
    /// it for once is no error: the next message says what is [missing](Message::missed) before it.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<Option<Message<'_>>, ReceiveError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`receive`](Self::receive), until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::TimedOut`].
    #[inline(always)]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Option<Message<'_>>, ReceiveError> {
        let arrived = match self.take_soon() {
            Some(arrived) => Some(arrived),
            None => self.wait_for_next(deadline.into(), Manner::Alone)?,
        };
        Ok(arrived.map(|arrived| self.message(arrived)))
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    /// [`TryReceiveError::Empty`], [`TryReceiveError::Closed`], and, found out now and then by calls
    /// that find nothing, [`TryReceiveError::ProducerGone`]; [`TryReceiveError::Expelled`] as for
    /// [`receive`](Self::receive).
    #[inline]
    pub fn try_receive(&mut self) -> Result<Message<'_>, TryReceiveError> {
        let arrived = match self.take() {
            Some(arrived) => arrived,
            None => self.try_again()?,
        };
        Ok(self.message(arrived))
    }

    /// Waits for messages, then lends up to `max` of them that are there. Their space is given back
    /// together when the batch is dropped.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn receive_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReceiveError> {
        self.receive_batch_until(max, Deadline::NEVER)
    }

    /// As [`receive_batch`](Self::receive_batch), until a deadline.
    ///
    /// # Errors
    /// As [`receive_until`](Self::receive_until).
    #[inline]
    pub fn receive_batch_until(
        &mut self,
        max: usize,
        deadline: impl Into<Deadline>,
    ) -> Result<Option<Batch<'_>>, ReceiveError> {
        let first = match self.take_soon() {
            Some(arrived) => arrived,
            None => match self.wait_for_next(deadline.into(), Manner::Alone)? {
                Some(arrived) => arrived,
                None => return Ok(None),
            },
        };
        Ok(Some(Batch::new(self, first, max)))
    }

    /// Up to `max` messages that are there.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive).
    #[inline]
    pub fn try_receive_batch(&mut self, max: usize) -> Result<Batch<'_>, TryReceiveError> {
        let first = match self.take() {
            Some(arrived) => arrived,
            None => self.try_again()?,
        };
        Ok(Batch::new(self, first, max))
    }

    #[inline(always)]
    pub(crate) fn message(&mut self, arrived: Arrived) -> Message<'_> {
        Message::new(self, arrived)
    }
}
