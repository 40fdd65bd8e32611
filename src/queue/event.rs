//! Queues in event loops.
//!
//! Layer 7.

use super::{Delivery, Receiver, SendError, Sender, TakeError};
use crate::endpoint::{Inside, Sealed};
use crate::events::{Async, Event, Sleep};
use crate::reactor::Side;
use crate::wait::bell::LONGEST_SLEEP;
use core::task::Poll;

impl Sealed for Sender {}

/// It waits for room in the lanes that it has.
impl Event for Sender {
    fn sleep(&self, _: Inside) -> Sleep {
        let lanes = self.lanes().map(|memory| (memory.clone(), Side::Space));
        Sleep {
            bells: lanes.collect(),
            parks: self.parks(),
            longest: LONGEST_SLEEP,
        }
    }
}

impl Async<Sender> {
    /// Sends a message at priority 0, waiting while the lane is full. Returns its number among all messages that were
    /// ever sent in the lane.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<u64, SendError> {
        self.send_with_priority(message, 0).await
    }

    /// Sends a message at a priority from 0 to 7, the highest, waiting while the lane is full.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_with_priority(
        &mut self,
        message: &[u8],
        priority: u8,
    ) -> Result<u64, SendError> {
        self.ready(
            |sender| match sender.try_send_with_priority(message, priority) {
                Err(SendError::Full { .. }) => Poll::Pending,
                sent => Poll::Ready(sent),
            },
        )
        .await
    }
}

impl Async<Receiver> {
    /// Waits for a message and takes it.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub async fn receive(&mut self) -> Result<Delivery<'_>, TakeError> {
        let taking = self
            .ready(|receiver| match receiver.try_take() {
                Err(TakeError::Empty) => Poll::Pending,
                taken => Poll::Ready(taken),
            })
            .await?;
        Ok(self.taken(taking))
    }
}
