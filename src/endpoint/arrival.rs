//! Waiting for an object to be created, and for a producer to attach.
//!
//! Layer 5.

use super::consumer::Consumer;
use super::error::ReceiveError;
use super::interrupted::Interrupted;
use super::observer::Observer;
use super::ring::Ring;
use super::waiting::Reader;
use crate::attach::Attachment;
use crate::layout::lines::{Bell, ProducerState};
use crate::ring::consumer::{epoch, producer_state};
use crate::segment::{CreateError, OpenError, Place, Role};
use crate::wait::{until, Again, Deadline, Outcome, Strategy, Waited};
use core::time::Duration;

/// How often to look for a ring that does not exist yet. A look costs some microseconds. File-system
/// notification (inotify) would cost more than it saves: the directory may be missing too, watches are
/// limited for each user, and some file systems have none.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Ring {
    /// Like [`open`](Self::open), waiting until there is such a ring.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`OpenError::NotFound`] comes only at the deadline, every other error at
    /// once.
    ///
    /// ```no_run
    /// use slipring::{Ring, Start};
    /// use std::time::Duration;
    ///
    /// // Works in either order of starting the processes.
    /// let ring = Ring::open_until("quotes", Duration::from_secs(60))?;
    /// let mut consumer = ring.consumer(Start::Oldest)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(deadline.into(), || Self::open(&place))
    }

    /// Waits until a producer is attached, or one has attached since the call began.
    ///
    /// A process that may write `control` sleeps until the producer wakes it. Any other looks at least once
    /// a millisecond.
    ///
    /// # What others may change meanwhile
    /// The producer may be gone again by the time this returns.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], [`ReceiveError::Poisoned`] and [`ReceiveError::Forked`].
    ///
    /// ```
    /// use slipring::endpoint::ReceiveError;
    /// use slipring::Ring;
    /// use std::time::Duration;
    ///
    /// let ring = Ring::heap().create()?;
    /// let waited = ring.wait_for_producer(Duration::from_millis(1));
    /// assert_eq!(waited, Err(ReceiveError::TimedOut));
    /// let producer = ring.producer()?;
    /// ring.wait_for_producer(Duration::from_millis(1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_producer(&self, deadline: impl Into<Deadline>) -> Result<(), ReceiveError> {
        wait_for_producer(self.object(), Strategy::default(), deadline.into())
    }
}

impl Consumer {
    /// Like [`Ring::wait_for_producer`], in the way this consumer waits. Returns at once if there is a
    /// message to receive.
    ///
    /// # Errors
    /// As [`Ring::wait_for_producer`].
    pub fn wait_for_producer(&mut self, deadline: impl Into<Deadline>) -> Result<(), ReceiveError> {
        if !Reader::ring(self).canary().forked() && self.ready() {
            return Ok(());
        }
        wait_for_producer(
            Reader::ring(self),
            Reader::strategy(self).0,
            deadline.into(),
        )
    }
}

impl Observer {
    /// Like [`Ring::wait_for_producer`], in the way this observer waits. Returns at once if there is
    /// something to receive.
    ///
    /// # Errors
    /// As [`Ring::wait_for_producer`].
    pub fn wait_for_producer(&mut self, deadline: impl Into<Deadline>) -> Result<(), ReceiveError> {
        if !Reader::ring(self).canary().forked() && self.ready() {
            return Ok(());
        }
        wait_for_producer(
            Reader::ring(self),
            Reader::strategy(self).0,
            deadline.into(),
        )
    }
}

/// An error of opening an object.
pub(crate) trait Missing {
    /// Returns `true` if there is no such object.
    fn is_missing(&self) -> bool;
}

impl Missing for OpenError {
    fn is_missing(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl Missing for CreateError {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Open(error) if error.is_missing())
    }
}

/// Opens an object of any form as soon as there is one. That there is none is said at the deadline.
pub(crate) fn look_until<T, E: Missing>(
    deadline: Deadline,
    mut open: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        match open() {
            Err(error) if error.is_missing() && !deadline.passed() => {
                let left = deadline.remaining().unwrap_or(LOOK_EVERY);
                std::thread::sleep(left.min(LOOK_EVERY));
            }
            opened => return opened,
        }
    }
}

/// Waiting for a producer, except those that are known to be dead.
struct Arrival<'r> {
    ring: &'r Attachment,
    /// The epoch in which the call began.
    began: u64,
    dead: Option<u64>,
}

impl Arrival<'_> {
    fn number(&self) -> u64 {
        epoch(self.ring.segment().reader()).number
    }
}

impl Waited for Arrival<'_> {
    fn ready(&mut self) -> bool {
        let number = self.number();
        let attached = producer_state(self.ring.segment().reader()) == ProducerState::Attached;
        number != self.began || attached && self.dead != Some(number)
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.ring.trouble().is_some()
    }
}

fn wait_for_producer(
    ring: &Attachment,
    strategy: Strategy,
    deadline: Deadline,
) -> Result<(), ReceiveError> {
    if ring.canary().forked() {
        return Err(ReceiveError::Forked);
    }
    let memory = ring.segment().reader().clone();
    // A producer that attaches always rings, so sleepers need not announce themselves here.
    let bell: Option<&Bell> = memory.control().map(|control| &control.data);
    let mut arrival = Arrival {
        ring,
        began: epoch(&memory).number,
        dead: None,
    };
    let (mut again, mut ends) = (Again::default(), None);
    loop {
        let outcome = match ends.take() {
            Some(outcome) => outcome,
            None => until(&mut arrival, strategy, bell, deadline, &mut false),
        };
        let number = arrival.number();
        if number != arrival.began || ring.is_held(Role::Producer) == Some(true) {
            return Ok(());
        }
        match outcome {
            // The producer's own state says that it is attached. It is trusted where this process may not
            // ask the kernel.
            Outcome::Ready if ring.is_held(Role::Producer).is_none() => return Ok(()),
            Outcome::Ready | Outcome::Over => {
                arrival.dead = Some(number);
                ends = again.ends(&mut arrival, deadline);
            }
            Outcome::Gone => return Err(Interrupted::from(ring.trouble_found()).into()),
            Outcome::TimedOut => return Err(ReceiveError::TimedOut),
        }
    }
}
