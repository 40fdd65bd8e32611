//! Futures: a task waits for a handle, and its thread goes on with others.
//!
//! Layer 6.

use super::event::{sleep_of, sleep_of_source, Event};
use super::watching::Watching;
use crate::endpoint::{
    Connecting, Consumer, Meets, Message, Nothing, Observer, Producer, PublishError, ReceiveError,
    Received, Source,
};
use crate::reactor::Notify;
use crate::ring::observer::Observed;
use crate::wait::Deadline;
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_core::Stream;
use std::io;

/// A handle whose waits are futures.
///
/// It gives access to the handle, whose calls are as before: those named `try_` never wait, and the others block
/// the thread.
///
/// # Guarantees
/// - No wake-up is lost, and while there is something to receive no future sleeps or calls the system.
/// - A future that is dropped has taken nothing, and published nothing.
/// - The end of the other side is noticed: at the latest after 100 milliseconds, or a millisecond for each handle
///   of this process that waits, if that is longer.
///
/// It needs no runtime, and works in each: one thread of this process sleeps for all handles, and wakes tasks.
/// The thread starts with the first handle. A forked child makes its own handles.
///
/// # What others may change meanwhile
/// As for the handle.
///
/// ```
/// use slipring::events::Async;
/// use slipring::{Ring, Start};
/// # fn block_on<F: core::future::Future>(future: F) -> F::Output {
/// #     struct Thread(std::thread::Thread);
/// #     impl std::task::Wake for Thread {
/// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
/// #     }
/// #     let waker = std::sync::Arc::new(Thread(std::thread::current())).into();
/// #     let mut context = core::task::Context::from_waker(&waker);
/// #     let mut future = core::pin::pin!(future);
/// #     loop {
/// #         match future.as_mut().poll(&mut context) {
/// #             core::task::Poll::Ready(output) => return output,
/// #             core::task::Poll::Pending => std::thread::park(),
/// #         }
/// #     }
/// # }
///
/// let ring = Ring::heap().create()?;
/// let mut producer = Async::new(ring.producer()?)?;
/// let mut consumer = Async::new(ring.consumer(Start::Oldest)?)?;
/// block_on(async {
///     producer.publish(b"bought").await?;
///     let message = consumer.receive().await?.unwrap();
///     assert_eq!(&*message, b"bought");
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Async<H> {
    handle: H,
    watching: Watching,
}

impl<H> Async<H> {
    /// Makes the waits of a handle futures.
    ///
    /// # Errors
    /// Those of starting a thread, if this is the first handle of the process.
    pub fn new(handle: H) -> io::Result<Self> {
        Ok(Self {
            handle,
            watching: Watching::new()?,
        })
    }

    /// The handle as it was.
    pub fn into_inner(self) -> H {
        self.handle
    }
}

impl<H> Deref for Async<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H> DerefMut for Async<H> {
    fn deref_mut(&mut self) -> &mut H {
        &mut self.handle
    }
}

impl<H: Event> Async<H> {
    /// Waits until an attempt succeeds. The attempt is made at once, and again whenever it may succeed; it must not
    /// wait itself, and returns `Pending` if it found nothing, or no room.
    ///
    /// This is how every form and every call is awaited:
    ///
    /// ```no_run
    /// # use slipring::events::Async;
    /// # use slipring::queue::{Receiver, TakeError};
    /// # use std::task::Poll;
    /// # async fn work(receiver: Receiver) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut receiver = Async::new(receiver)?;
    /// let job = receiver
    ///     .ready(|receiver| match receiver.try_receive() {
    ///         Ok(job) => Poll::Ready(Ok(job.to_vec())),
    ///         Err(TakeError::Empty) => Poll::Pending,
    ///         Err(error) => Poll::Ready(Err(error)),
    ///     })
    ///     .await?;
    /// # let _ = job; Ok(())
    /// # }
    /// ```
    pub fn ready<T, F: FnMut(&mut H) -> Poll<T>>(&mut self, attempt: F) -> Ready<'_, H, F> {
        Ready {
            waits: self,
            attempt,
        }
    }

    /// As [`ready`](Self::ready), for futures that are written by hand.
    pub fn poll_ready<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: impl FnMut(&mut H) -> Poll<T>,
    ) -> Poll<T> {
        let notify = Notify::Task(context.waker().clone());
        self.watching
            .poll(&mut self.handle, sleep_of, notify, attempt)
    }

    /// A stream of what attempts return, as for [`ready`](Self::ready), until one returns `None`.
    pub fn into_stream<T, F>(self, attempt: F) -> Attempts<H, F>
    where
        F: FnMut(&mut H) -> Poll<Option<T>>,
    {
        Attempts {
            waits: self,
            attempt,
        }
    }
}

/// Waits until an attempt succeeds: made by [`Async::ready`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Ready<'a, H, F> {
    waits: &'a mut Async<H>,
    attempt: F,
}

// Nothing in it is pinned.
impl<H, F> Unpin for Ready<'_, H, F> {}

impl<T, H: Event, F: FnMut(&mut H) -> Poll<T>> Future for Ready<'_, H, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        this.waits.poll_ready(context, &mut this.attempt)
    }
}

impl<H, F> Drop for Ready<'_, H, F> {
    fn drop(&mut self) {
        self.waits.watching.stop();
    }
}

/// A stream of what attempts return: made by [`Async::into_stream`].
#[derive(Debug)]
pub struct Attempts<H, F> {
    waits: Async<H>,
    attempt: F,
}

impl<H, F> Attempts<H, F> {
    /// The handle as it is now.
    pub fn into_inner(self) -> H {
        self.waits.into_inner()
    }
}

// Nothing in it is pinned.
impl<H, F> Unpin for Attempts<H, F> {}

impl<T, H: Event, F: FnMut(&mut H) -> Poll<Option<T>>> Stream for Attempts<H, F> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        this.waits.poll_ready(context, &mut this.attempt)
    }
}

impl<S: Source> Async<S> {
    /// Waits until the handle has something to report, as in a [`WaitSet`](crate::WaitSet): a message, a loss, a value, a
    /// signal, an end. What comes after that is a call named `try_`.
    pub async fn readable(&mut self) {
        core::future::poll_fn(|context| self.poll_readable(context)).await;
    }

    /// As [`readable`](Self::readable), for futures that are written by hand.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let notify = Notify::Task(context.waker().clone());
        let sleep = |all: &[&mut dyn Source]| sleep_of_source(&*all[0]);
        self.watching
            .poll_sources(&mut [&mut self.handle], sleep, notify, |all, dead| {
                let reports = match dead {
                    true => all[0].reports_death(),
                    false => all[0].reports(),
                };
                reports.then_some(())
            })
    }
}

impl Async<Consumer> {
    /// Waits for the next message; `None` once the producer closed the ring and everything has been read.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    pub async fn receive(&mut self) -> Result<Option<Message<'_>>, ReceiveError> {
        let attempt = |consumer: &mut Consumer| match consumer.try_arrived() {
            Ok(arrived) => Poll::Ready(Ok(Some(arrived))),
            Err(error) => match error.settle() {
                Ok(Nothing::Yet) => Poll::Pending,
                Ok(Nothing::More) => Poll::Ready(Ok(None)),
                Err(error) => Poll::Ready(Err(error)),
            },
        };
        let arrived = self.ready(attempt).await?;
        Ok(arrived.map(|arrived| self.handle.message(arrived)))
    }
}

impl<H: Meets> Async<Connecting<H>> {
    /// Waits for the other side. A future that is dropped before leaves the place of this side free, as a wait that timed
    /// out; [`readable`](Self::readable) leaves it as it is.
    ///
    /// # Errors
    /// As [`Connecting::finish`].
    pub async fn finish(mut self) -> Result<H, H::Error> {
        let met = self.ready(|connecting| match connecting.try_meet() {
            Ok(false) => Poll::Pending,
            met => Poll::Ready(met.map(drop)),
        });
        met.await?;
        self.into_inner().finish()
    }
}

impl Async<Observer> {
    /// Waits for what comes next.
    ///
    /// # Errors
    /// As [`Observer::receive`].
    pub async fn receive(&mut self) -> Result<Received<'_>, ReceiveError> {
        let attempt = |observer: &mut Observer| match observer.try_any() {
            Ok(observed) => Poll::Ready(Ok(observed)),
            Err(error) => match error.settle() {
                Ok(Nothing::Yet) => Poll::Pending,
                Ok(Nothing::More) => Poll::Ready(Ok(Observed::Empty)),
                Err(error) => Poll::Ready(Err(error)),
            },
        };
        let observed = self.ready(attempt).await?;
        Ok(self.handle.received(observed))
    }
}

impl Async<Producer> {
    /// Publishes a message, waiting for room. Returns its sequence.
    ///
    /// # Errors
    /// As [`Producer::publish`].
    pub async fn publish(&mut self, message: &[u8]) -> Result<u64, PublishError> {
        self.ready(|producer| {
            match producer.publish_until(message, Deadline::after(Duration::ZERO)) {
                Err(PublishError::TimedOut { .. }) => Poll::Pending,
                published => Poll::Ready(published),
            }
        })
        .await
    }
}
