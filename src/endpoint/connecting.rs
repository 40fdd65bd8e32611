//! Handles that wait for their other side, without a thread that waits.
//!
//! Layer 5, on `meeting`. A form says what it attaches when the other side is there, and what becomes of both then.

use super::meeting::{Heir, Meeting, Met};
use super::set::{Inside, Sealed, Source};
use crate::segment::{Memory, Trouble};
use crate::wait::bell::{FIRST_SLEEP, LONGEST_SLEEP};
use crate::wait::{Deadline, Strategy};
use core::fmt;
use core::time::Duration;

/// A handle that two processes open together, so that each waits for the other: a [`Link`](crate::Link), and the ends of a
/// [`Fifo`](crate::Fifo).
pub trait Meets: Sealed + Sized {
    /// Why it was not opened.
    type Error: std::error::Error + Send + Sync + 'static;
}

/// What a form does while its handle waits for the other side, and then.
pub(crate) trait Opening<H: Meets>: Send {
    /// Attaches this side to the messages of the other, which offers a pact. May be called more than once; returns `false`
    /// if it has to be, while a process dies that had this side before.
    fn get_ready(&mut self, heir: &mut Heir) -> Result<bool, H::Error>;
    /// Makes the handle, once both have agreed.
    fn finish(self: Box<Self>, meeting: Meeting) -> Result<H, H::Error>;
    /// The error of a wait that came to something else.
    fn failed(&self, met: Met) -> H::Error;
}

/// A handle that waits for its other side, and does not keep a thread for it: made by the calls whose names begin with `begin_`.
///
/// The other side cannot tell it from one that waits in a call, and either may come first. It is a [`Source`]: it has something
/// to report when [`try_meet`](Self::try_meet) has something to do. With the feature `async`, `events::Async`,
/// `events::Pollable` and `events::PollableSet` take it too. [`finish`](Self::finish) returns the handle, and waits where the two
/// have not met.
///
/// # Guarantees
/// - No call but those named `finish` waits for the other side. `begin_` and `try_meet` may wait for a process that removes the
///   object at that moment, up to a second.
/// - This process has its side from the beginning on: another one is refused. When this is dropped, the side is free, as after
///   a wait that timed out, and the other side waits for the next process.
/// - Once `try_meet` has returned `true`, the two have met, and what each sends the other receives as long as both stay. If the
///   other side has left or died since it agreed, before `finish` or behind it, the handle says so.
///
/// # What others may change meanwhile
/// The other side comes, leaves and dies at any time, and another process may take its place.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path().to_owned();
/// use slipring::{Deadline, Link, WaitSet};
///
/// let mut alice = Link::builder("alice", "bob").directory(&directory).begin_connect()?;
/// assert!(!alice.try_meet()?); // nobody is there
///
/// # let theirs = directory.clone();
/// let elsewhere = std::thread::spawn(move || { // in another process
///     Link::builder("bob", "alice").directory(&theirs).connect()
/// });
/// let mut set = WaitSet::new();
/// while !alice.try_meet()? {
///     set.wait(&mut [&mut alice], Deadline::NEVER); // beside other handles
/// }
/// let mut alice = alice.finish()?; // at once
/// let mut bob = elsewhere.join().unwrap()?;
/// alice.send(b"hello")?;
/// assert_eq!(&*bob.receive()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "it leaves when it is dropped"]
pub struct Connecting<H: Meets> {
    opening: Box<dyn Opening<H>>,
    /// Freed after what it is the tenure of.
    meeting: Meeting,
    strategy: Strategy,
    /// Whether both have agreed.
    agreed: bool,
}

impl<H: Meets> fmt::Debug for Connecting<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting")
            .field("path", &self.meeting.ring().path())
            .field("agreed", &self.agreed)
            .finish_non_exhaustive()
    }
}

impl<H: Meets> Connecting<H> {
    pub(crate) fn new(
        meeting: Meeting,
        strategy: Strategy,
        opening: impl Opening<H> + 'static,
    ) -> Self {
        Self {
            meeting,
            opening: Box::new(opening),
            strategy,
            agreed: false,
        }
    }

    /// Does what there is to do now, without waiting, and returns `true` once both sides have agreed: then
    /// [`finish`](Self::finish) returns the handle at once.
    ///
    /// While the other side is not there, a call costs two system calls, which ask whether the object was removed.
    ///
    /// # Errors
    /// Those of the call that waits, except that of its deadline: most often that this process is a fork, or that the object was
    /// removed. After an error the call can be repeated.
    pub fn try_meet(&mut self) -> Result<bool, H::Error> {
        if self.meeting.forked() {
            return Err(self.opening.failed(Met::Trouble(Trouble::Forked)));
        }
        if !self.agreed {
            let opening = &mut self.opening;
            match self.meeting.try_meet(|heir| opening.get_ready(heir))? {
                None => {}
                Some(Met::Yes) => self.agreed = true,
                Some(met) => return Err(self.opening.failed(met)),
            }
        }
        Ok(self.agreed)
    }

    /// Waits for the other side, and returns the handle.
    ///
    /// # Errors
    /// Those of the call that waits. This process has left its side then.
    pub fn finish(self) -> Result<H, H::Error> {
        self.finish_until(Deadline::NEVER)
    }

    /// Like [`finish`](Self::finish), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and that of the deadline.
    pub fn finish_until(mut self, deadline: impl Into<Deadline>) -> Result<H, H::Error> {
        if self.meeting.forked() {
            return Err(self.opening.failed(Met::Trouble(Trouble::Forked)));
        }
        if !self.agreed {
            let opening = &mut self.opening;
            let met = self.meeting.meet(self.strategy, deadline.into(), |heir| {
                opening.get_ready(heir)
            })?;
            if met != Met::Yes {
                return Err(self.opening.failed(met));
            }
        }
        self.opening.finish(self.meeting)
    }
}

impl<H: Meets> Sealed for Connecting<H> {}

impl<H: Meets> Source for Connecting<H> {
    fn memory(&self, _: Inside) -> &Memory {
        self.meeting.ring().segment().reader()
    }

    fn parks(&self) -> bool {
        self.strategy.parks()
    }

    fn longest_sleep(&self, _: Inside) -> Duration {
        match self.meeting.held_up() {
            true => FIRST_SLEEP,
            false => LONGEST_SLEEP,
        }
    }

    fn reports(&mut self) -> bool {
        if self.meeting.forked() {
            return true;
        }
        self.agreed || self.meeting.has_to_act()
    }

    fn reports_death(&mut self) -> bool {
        self.reports() || self.meeting.held_up() || self.meeting.ring().trouble().is_some()
    }
}
