//! Typed handles in event loops.
//!
//! Layer 6.

use super::consumer::TypedConsumer;
use super::message::TypedMessage;
use super::observer::{TypedObserver, TypedReceived};
use super::producer::TypedProducer;
use crate::endpoint::{
    Inside, Nothing, PublishError, ReceiveError, Sealed, TryReceiveError, INSIDE,
};
use crate::events::{Async, Event, Sleep};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::task::Poll;
use core::time::Duration;
use futures_core::Stream;

macro_rules! waits_as_inner {
    ($($typed:ident),*) => {$(
        impl<T> Sealed for $typed<T> {}

        impl<T> Event for $typed<T> {
            fn sleep(&self, _: Inside) -> Sleep {
                self.inner.sleep(INSIDE)
            }
        }
    )*};
}
waits_as_inner!(TypedProducer, TypedConsumer, TypedObserver);

/// What a call that does not wait says of one that does; `None` once the producer closed the ring and everything has
/// been read.
fn settle<M>(tried: Result<M, TryReceiveError>) -> Poll<Result<Option<M>, ReceiveError>> {
    match tried.map_err(TryReceiveError::settle) {
        Ok(found) => Poll::Ready(Ok(Some(found))),
        Err(Ok(Nothing::Yet)) => Poll::Pending,
        Err(Ok(Nothing::More)) => Poll::Ready(Ok(None)),
        Err(Err(error)) => Poll::Ready(Err(error)),
    }
}

impl<T: Pod> Async<TypedProducer<T>> {
    /// Publishes a message, waiting for room. Returns its sequence.
    ///
    /// # Errors
    /// As [`TypedProducer::publish`].
    pub async fn publish(&mut self, message: &T) -> Result<u64, PublishError> {
        let now = Duration::ZERO;
        self.ready(
            |producer| match producer.publish_until(message, Deadline::after(now)) {
                Err(PublishError::TimedOut { .. }) => Poll::Pending,
                published => Poll::Ready(published),
            },
        )
        .await
    }
}

impl<T: Pod> Async<TypedConsumer<T>> {
    /// Waits for the next message; `None` once the producer closed the ring and everything has been read.
    ///
    /// # Errors
    /// As [`TypedConsumer::receive`].
    pub async fn receive(&mut self) -> Result<Option<TypedMessage<'_, T>>, ReceiveError> {
        let arrived = self
            .ready(|consumer| settle(consumer.inner.try_arrived()))
            .await?;
        let Some(arrived) = arrived else {
            return Ok(None);
        };
        Ok(Some(TypedMessage::new(self.inner.message(arrived))?))
    }

    /// A stream of the values of messages, until the producer closed the ring and everything has been read. Each message is
    /// copied, and given back at once. What it lost is in [`Consumer::losses`](crate::Consumer::losses); a stream behind
    /// which nothing comes goes on saying so.
    ///
    /// # Errors
    /// Its items are errors as those of [`TypedConsumer::receive`].
    pub fn into_values(self) -> impl Stream<Item = Result<T, ReceiveError>> + Unpin {
        self.into_stream(|consumer| {
            let value = consumer.try_receive().map(TypedMessage::into_value);
            settle(value).map(Result::transpose)
        })
    }
}

impl<T: Pod> Async<TypedObserver<T>> {
    /// Waits for what comes next.
    ///
    /// # Errors
    /// As [`TypedObserver::receive`].
    pub async fn receive(&mut self) -> Result<TypedReceived<T>, ReceiveError> {
        let received = self
            .ready(|observer| settle(observer.try_receive()))
            .await?;
        Ok(received.unwrap_or(TypedReceived::Closed))
    }
}
