//! Listeners in event loops.
//!
//! Layer 7.

use super::{Listener, Noticed, SignalError, SignalSet};
use crate::events::Async;
use core::task::Poll;

impl Async<Listener> {
    /// Waits for a signal of a set.
    ///
    /// # Errors
    /// As [`Listener::wait`].
    pub async fn wait(&mut self, set: SignalSet) -> Result<Noticed, SignalError> {
        self.ready(|listener| match listener.try_wait(set) {
            Ok(None) => Poll::Pending,
            Ok(Some(noticed)) => Poll::Ready(Ok(noticed)),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}
