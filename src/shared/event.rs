//! Shared values in event loops.
//!
//! Layer 7.

use super::{Shared, SharedError, SharedGuard};
use crate::endpoint::{Inside, Sealed};
use crate::events::{Async, Event, Sleep};
use crate::typed::Value;
use crate::wait::Deadline;
use core::ops::DerefMut;
use core::task::Poll;
use core::time::Duration;

impl<T: ?Sized> Sealed for Shared<T> {}

/// It waits for the lock, or for a change. Both ring the same bell.
impl<T: ?Sized> Event for Shared<T> {
    fn sleep(&self, asker: Inside) -> Sleep {
        self.semaphore.sleep(asker)
    }
}

impl<T: Value + ?Sized> Async<Shared<T>> {
    /// Waits for the lock, in turn with all other waiters, and lends the value to be changed. A future that is dropped
    /// gives up its place.
    ///
    /// # Errors
    /// As [`Shared::lock`].
    pub async fn lock(&mut self) -> Result<SharedGuard<'_, T>, SharedError> {
        let permit = {
            let place = self.semaphore.begin_to_wait(1)?;
            self.ready(|shared| match shared.semaphore.attempt(&place) {
                Ok(None) => Poll::Pending,
                Ok(Some(permit)) => Poll::Ready(Ok(permit)),
                Err(error) => Poll::Ready(Err(error)),
            })
            .await?
        };
        self.deref_mut().locked(permit)
    }

    /// Waits until the value has another version than `version`.
    ///
    /// # Errors
    /// As [`Shared::wait`].
    pub async fn wait(&mut self, version: u64) -> Result<(), SharedError> {
        let now = Duration::ZERO;
        self.ready(
            |shared| match shared.wait_until(version, Deadline::after(now)) {
                Err(SharedError::TimedOut) => Poll::Pending,
                other => Poll::Ready(other),
            },
        )
        .await
    }
}
