//! Readers of newest values in event loops.
//!
//! Layer 7.

use super::{LatestError, LatestReader};
use crate::events::Async;
use crate::typed::Value;
use crate::wait::Deadline;
use core::task::Poll;
use core::time::Duration;

impl<T: Value + ?Sized> Async<LatestReader<T>> {
    /// Waits until a value was set since this was last reported.
    ///
    /// # Errors
    /// As [`LatestReader::wait`].
    pub async fn wait(&mut self) -> Result<(), LatestError> {
        self.ready(|reader| settle(reader.wait_until(Deadline::after(Duration::ZERO))))
            .await
    }

    /// Waits until a cell has another version than `version`.
    ///
    /// # Errors
    /// As [`LatestReader::wait_at`].
    pub async fn wait_at(&mut self, cell: u32, version: u64) -> Result<(), LatestError> {
        let now = Duration::ZERO;
        self.ready(|reader| settle(reader.wait_at_until(cell, version, Deadline::after(now))))
            .await
    }
}

/// What a call that does not wait says of one that does.
fn settle(tried: Result<(), LatestError>) -> Poll<Result<(), LatestError>> {
    match tried {
        Err(LatestError::TimedOut) => Poll::Pending,
        other => Poll::Ready(other),
    }
}
