//! Descriptors: an event loop polls one for each handle, or one for many.
//!
//! Layer 6.

use super::event::{sleep_of, sleep_of_source, Event, Sleep};
use super::watching::Watching;
use crate::endpoint::Source;
use crate::reactor::{Notify, Signal};
use core::ops::{Deref, DerefMut};
use core::task::Poll;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A handle with a descriptor that `poll`, `epoll` and their like wait for.
///
/// The descriptor becomes readable when it is worth looking at the handle again, once after each call of
/// [`arm`](Self::arm) that returned `false`. The program neither reads nor writes it. It goes round like this, whether the
/// descriptor is watched by its level or by its edges:
///
/// 1. Wait until the descriptor is readable.
/// 2. Receive with a call named `try_`, until that finds nothing.
/// 3. [`arm`](Self::arm). If it returns `true`, go to 2; otherwise go to 1.
///
/// A loop that keeps the readiness of descriptors itself, as those of runtimes do, clears it before 2.
///
/// # Guarantees
/// - What happens after a call of `arm` that returned `false` makes the descriptor readable.
/// - While there is something to receive, only `arm` calls the system, once.
/// - An end of the other side makes it readable too, as for [`Async`](super::Async). So it may be readable with nothing to
///   receive: then 2 and 3 cost a few loads and two system calls.
///
/// ```
/// use rustix::event::{poll, PollFd, PollFlags};
/// use slipring::events::Pollable;
/// use slipring::{Ring, Start};
/// # use rustix::event as _;
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// let mut consumer = Pollable::new(ring.consumer(Start::Oldest)?)?;
/// let sender = std::thread::spawn(move || producer.publish(b"bought").map(|_| producer));
/// let mut received = Vec::new();
/// while received.is_empty() {
///     if !consumer.arm() {
///         poll(&mut [PollFd::new(&consumer, PollFlags::IN)], None)?;
///     }
///     while let Ok(message) = consumer.try_receive() {
///         received.push(message.to_vec());
///     }
/// }
/// assert_eq!(received, [b"bought"]);
/// # sender.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pollable<H> {
    handle: H,
    watching: Watching,
    signal: Signal,
}

impl<H> Pollable<H> {
    /// Gives a handle a descriptor, which belongs to it and is closed with it.
    ///
    /// # Errors
    /// Those of making a descriptor, and of starting a thread if this is the first handle of the process.
    pub fn new(handle: H) -> io::Result<Self> {
        Ok(Self {
            handle,
            watching: Watching::new()?,
            signal: Signal::new()?,
        })
    }

    /// Has the kernel make the descriptor readable itself, by io_uring. No thread stands in between then, so it takes about
    /// a third of the time to notice a message, at the cost of a second descriptor, some memory of the kernel, and two calls of the
    /// system more for each sleep.
    ///
    /// # Guarantees
    /// - What this type guarantees still holds.
    /// - Only the thread that sleeps first is woken so. In another one, and where the kernel refuses later, the thread of
    ///   this process watches, as without this call.
    /// - Once this is dropped, a call of the system in the threads that used it may be interrupted, as by a signal without a
    ///   handler: `epoll_wait` then fails with `EINTR`, and is called again.
    ///
    /// # Errors
    /// Those of the kernel, with what to do about it: `Unsupported` before Linux 6.7, and `PermissionDenied` where io_uring is not
    /// allowed, as in many containers. Nothing has changed then, so a program that goes on is only slower.
    ///
    /// ```
    /// use slipring::events::Pollable;
    /// # use slipring::{Ring, Start};
    /// # let ring = Ring::heap().create()?;
    /// let mut consumer = Pollable::new(ring.consumer(Start::Oldest)?)?;
    /// if let Err(error) = consumer.use_io_uring() {
    ///     eprintln!("slower to notice: {error}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "io-uring")]
    pub fn use_io_uring(&mut self) -> io::Result<()> {
        self.watching.use_io_uring(&self.signal)
    }

    /// Returns `true` if the kernel watches by io_uring what the last call armed that found nothing.
    #[cfg(feature = "io-uring")]
    pub fn uses_io_uring(&self) -> bool {
        self.watching.uses_io_uring()
    }

    /// The handle without a descriptor.
    pub fn into_inner(self) -> H {
        self.handle
    }
}

impl<H: Event> Pollable<H> {
    /// Makes an attempt, and arms the descriptor if it found nothing, or no room: then it returns `None`. The attempt must
    /// not wait, and returns `Pending` in that case.
    ///
    /// This is how a producer waits for room, and how a call with a result is made in one step with
    /// [`arm`](Self::arm).
    pub fn attempt<T>(&mut self, attempt: impl FnMut(&mut H) -> Poll<T>) -> Option<T> {
        self.watching.clear(&self.signal);
        let notify = Notify::Signal(self.signal.clone());
        match self
            .watching
            .poll(&mut self.handle, sleep_of, notify, attempt)
        {
            Poll::Ready(found) => Some(found),
            Poll::Pending => None,
        }
    }
}

impl<S: Source> Pollable<S> {
    /// Returns `true` if the handle has something to report, as in a [`WaitSet`](crate::WaitSet). Otherwise the descriptor
    /// becomes readable when it has, and this returns `false`.
    pub fn arm(&mut self) -> bool {
        let Self {
            handle,
            watching,
            signal,
        } = self;
        arm(watching, signal, &mut [handle], |_| ()).is_some()
    }
}

/// The index of a source that has something to report, and what `found` makes of it; `None` if the descriptor is armed.
fn arm<T>(
    watching: &mut Watching,
    signal: &Signal,
    sources: &mut [&mut dyn Source],
    mut found: impl FnMut(usize) -> T,
) -> Option<T> {
    watching.clear(signal);
    let sleep =
        |all: &[&mut dyn Source]| Sleep::of_all(all.iter().map(|one| sleep_of_source(&**one)));
    let notify = Notify::Signal(signal.clone());
    let polled = watching.poll_sources(sources, sleep, notify, |all, dead| {
        let reports = |source: &mut &mut dyn Source| match dead {
            true => source.reports_death(),
            false => source.reports(),
        };
        all.iter_mut().position(reports).map(&mut found)
    });
    match polled {
        Poll::Ready(found) => Some(found),
        Poll::Pending => None,
    }
}

impl<H> Deref for Pollable<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H> DerefMut for Pollable<H> {
    fn deref_mut(&mut self) -> &mut H {
        &mut self.handle
    }
}

impl<H> AsFd for Pollable<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

impl<H> AsRawFd for Pollable<H> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// One descriptor for several handles, as a [`WaitSet`](crate::WaitSet) is one sleep for several.
///
/// It goes round as a [`Pollable`] does. Its sources take turns: the search begins behind the one reported last.
/// Up to 127 bells wake it at once, where a link, and a pipe that goes both ways, has two; with more it is
/// looked at once a millisecond.
///
/// ```
/// use slipring::events::PollableSet;
/// use slipring::{Ring, Start};
///
/// let (quotes, trades) = (Ring::heap().create()?, Ring::heap().create()?);
/// let mut to_trades = trades.producer()?;
/// let mut from_quotes = quotes.consumer(Start::Latest)?;
/// let mut from_trades = trades.consumer(Start::Latest)?;
/// to_trades.publish(b"sold")?;
///
/// let mut set = PollableSet::new()?;
/// assert_eq!(set.arm(&mut [&mut from_quotes, &mut from_trades]), Some(1));
/// drop(from_trades.try_receive()?);
/// # drop(quotes.producer()?);
/// assert_eq!(set.arm(&mut [&mut from_trades]), None); // now its descriptor says when to look again
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PollableSet {
    watching: Watching,
    signal: Signal,
    next: usize,
}

impl PollableSet {
    /// Makes a set with a descriptor.
    ///
    /// # Errors
    /// As [`Pollable::new`].
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            watching: Watching::new()?,
            signal: Signal::new()?,
            next: 0,
        })
    }

    /// Has the kernel make the descriptor readable itself, by io_uring. No thread stands in between then, so it takes about
    /// a third of the time to notice a message, at the cost of a second descriptor, some memory of the kernel, and two calls of the
    /// system more for each sleep.
    ///
    /// # Guarantees
    /// - What this type guarantees still holds.
    /// - Only the thread that sleeps first is woken so. In another one, and where the kernel refuses later, the thread of
    ///   this process watches, as without this call.
    /// - Once this is dropped, a call of the system in the threads that used it may be interrupted, as by a signal without a
    ///   handler: `epoll_wait` then fails with `EINTR`, and is called again.
    ///
    /// # Errors
    /// Those of the kernel, with what to do about it: `Unsupported` before Linux 6.7, and `PermissionDenied` where io_uring is not
    /// allowed, as in many containers. Nothing has changed then, so a program that goes on is only slower.
    ///
    /// ```
    /// use slipring::events::PollableSet;
    /// let mut set = PollableSet::new()?;
    /// if let Err(error) = set.use_io_uring() {
    ///     eprintln!("slower to notice: {error}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "io-uring")]
    pub fn use_io_uring(&mut self) -> io::Result<()> {
        self.watching.use_io_uring(&self.signal)
    }

    /// Returns `true` if the kernel watches by io_uring what the last call armed that found nothing.
    #[cfg(feature = "io-uring")]
    pub fn uses_io_uring(&self) -> bool {
        self.watching.uses_io_uring()
    }

    /// Returns the index of a source that has something to report. Otherwise the descriptor becomes readable when one of
    /// these has, and this returns `None`.
    ///
    /// The sources may be others at each call.
    pub fn arm(&mut self, sources: &mut [&mut dyn Source]) -> Option<usize> {
        // What was armed may be other sources.
        self.watching.stop();
        let all = sources.len();
        let first = if all == 0 { 0 } else { self.next % all };
        sources.rotate_left(first);
        let found = arm(&mut self.watching, &self.signal, sources, |at| at);
        sources.rotate_right(first);
        let found = found.map(|at| (at + first) % all);
        if let Some(at) = found {
            self.next = at + 1;
        }
        found
    }

    /// Makes an attempt with a handle, as [`Pollable::attempt`]: if it finds nothing, or no room, this returns `None`, and the
    /// descriptor becomes readable when it is worth trying again.
    pub fn attempt<H: Event, T>(
        &mut self,
        handle: &mut H,
        attempt: impl FnMut(&mut H) -> Poll<T>,
    ) -> Option<T> {
        // What was armed may be another handle.
        self.watching.stop();
        self.watching.clear(&self.signal);
        let notify = Notify::Signal(self.signal.clone());
        match self.watching.poll(handle, sleep_of, notify, attempt) {
            Poll::Ready(found) => Some(found),
            Poll::Pending => None,
        }
    }
}

impl AsFd for PollableSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

impl AsRawFd for PollableSet {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
