//! Semaphores in event loops.
//!
//! Layer 7.

use super::{AcquireError, Permit, Semaphore};
use crate::endpoint::{Inside, Sealed};
use crate::events::{Async, Event, Sleep};
use crate::reactor::Side;
use core::task::Poll;

impl Sealed for Semaphore {}

/// It waits for permits.
impl Event for Semaphore {
    fn sleep(&self, _: Inside) -> Sleep {
        let memory = self.attachment().segment().reader().clone();
        Sleep {
            bells: vec![(memory, Side::Data)],
            parks: self.options.strategy.parks(),
            longest: self.longest_sleep(),
        }
    }
}

impl Async<Semaphore> {
    /// Takes a permit, waiting for one in turn with all other waiters, in tasks or not. A future that is dropped gives up
    /// its place.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    pub async fn acquire(&mut self) -> Result<Permit, AcquireError> {
        self.acquire_many(1).await
    }

    /// Takes `many` permits at once, as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// As [`Semaphore::acquire_many`].
    pub async fn acquire_many(&mut self, many: u32) -> Result<Permit, AcquireError> {
        let place = self.begin_to_wait(many)?;
        self.ready(|semaphore| match semaphore.attempt(&place) {
            Ok(None) => Poll::Pending,
            Ok(Some(permit)) => Poll::Ready(Ok(permit)),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}
