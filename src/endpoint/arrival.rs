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
use crate::segment::{CreateError, OpenError, Place, Role, Set, Watch};
use crate::wait::bell::LONGEST_SLEEP;
use crate::wait::{until, Again, Deadline, Outcome, Strategy, Waited};
use core::time::Duration;

/// How often to look for an object that does not exist yet, where the kernel refuses to tell that it appears.
/// A look costs some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Ring {
    /// Like [`open`](Self::open), waiting until there is such a ring.
    ///
    /// The kernel wakes the caller when something appears at the place (inotify), also where the directories above
    /// are missing at first. The caller looks every 100 milliseconds as well, as for what another machine makes in a
    /// shared file system; every 10 milliseconds where the kernel refuses to watch, as beyond its limits for a user.
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
        look_until(&place, deadline.into(), || Self::open(&place))
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
        wait_for_producer(self.object(), None, Strategy::default(), deadline.into())
    }
}

impl Consumer {
    /// Like [`Ring::wait_for_producer`], in the way this consumer waits. Returns at once if there is a
    /// message to receive.
    ///
    /// A consumer that was told of the end of a producer waits for the next one after that. So no producer is
    /// missed between the end and this call, even if it has left by then:
    ///
    /// ```
    /// # use slipring::endpoint::ReceiveError;
    /// # fn handle(_message: &[u8]) {}
    /// # fn go_on(ring: &slipring::Ring) -> Result<(), ReceiveError> {
    /// # let mut consumer = ring.consumer(slipring::Start::Oldest).unwrap();
    /// # let patience = std::time::Duration::from_millis(1);
    /// loop {
    ///     let over = match consumer.receive() {
    ///         Ok(Some(message)) => {
    ///             handle(&message);
    ///             false
    ///         }
    ///         Ok(None) | Err(ReceiveError::ProducerGone { .. }) => true, // closed, or died
    ///         Err(error) => return Err(error),
    ///     };
    ///     if over {
    ///         consumer.wait_for_producer(patience)?; // sleeps until another producer attaches
    ///     }
    /// }
    /// # }
    /// # let ring = slipring::Ring::heap().create()?;
    /// # ring.producer()?.publish(b"all there is")?;
    /// # assert_eq!(go_on(&ring), Err(ReceiveError::TimedOut));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Ring::wait_for_producer`].
    pub fn wait_for_producer(&mut self, deadline: impl Into<Deadline>) -> Result<(), ReceiveError> {
        if !Reader::ring(self).canary().forked() && self.ready() {
            return Ok(());
        }
        let ended = Reader::end(self).last();
        let (strategy, _) = Reader::strategy(self);
        wait_for_producer(Reader::ring(self), ended, strategy, deadline.into())
    }
}

impl Observer {
    /// Like [`Ring::wait_for_producer`], in the way this observer waits. Returns at once if there is
    /// something to receive.
    ///
    /// A observer that was told of the end of a producer waits for the next one after that. So no producer is
    /// missed between the end and this call, even if it has left by then.
    ///
    /// # Errors
    /// As [`Ring::wait_for_producer`].
    pub fn wait_for_producer(&mut self, deadline: impl Into<Deadline>) -> Result<(), ReceiveError> {
        if !Reader::ring(self).canary().forked() && self.ready() {
            return Ok(());
        }
        let ended = Reader::end(self).last();
        let (strategy, _) = Reader::strategy(self);
        wait_for_producer(Reader::ring(self), ended, strategy, deadline.into())
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
    place: &Place,
    deadline: Deadline,
    mut open: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    match open() {
        Err(error) if error.is_missing() && !deadline.passed() => {}
        opened => return opened,
    }
    // A place without a path is refused, and not missing.
    let path = place.path().unwrap_or_default();
    look_again_until(Watch::new(&path), deadline, open)
}

/// Sets the watch, looks, and waits: in this order nothing is missed.
fn look_again_until<T, E: Missing>(
    mut watch: Watch,
    deadline: Deadline,
    mut open: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        let set = watch.set();
        match open() {
            Err(error) if error.is_missing() && !deadline.passed() => {}
            opened => return opened,
        }
        let longest = match set {
            // Looks once more before it waits: the directory may have gone, or another been made, since.
            Set::Anew => continue,
            Set::Already => LONGEST_SLEEP,
            Set::Refused => LOOK_EVERY,
        };
        let left = deadline.remaining().unwrap_or(longest);
        watch.wait(left.min(longest));
    }
}

/// Waiting for a producer, except those that are known to be dead.
struct Arrival<'r> {
    ring: &'r Attachment,
    /// The epoch whose producer is not waited for: the one in which the call began, or an earlier one.
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

/// Waits for a producer after the one whose end is known, or else after now.
fn wait_for_producer(
    ring: &Attachment,
    ended: Option<u64>,
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
        began: ended.unwrap_or_else(|| epoch(&memory).number),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn find(watch: Watch, path: &std::path::Path) -> (u64, Duration) {
        let started = Instant::now();
        let mut looks = 0;
        look_again_until(watch, Deadline::after(Duration::from_secs(60)), || {
            looks += 1;
            match path.exists() {
                true => Ok(()),
                false => Err(OpenError::not_found(path.to_owned())),
            }
        })
        .unwrap();
        (looks, started.elapsed())
    }

    #[test]
    fn an_object_that_does_not_exist_yet_is_not_polled_for() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["ring", "some/where/ring"] {
            let path = scratch.path().join(name);
            let (looks, took) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    // As long as many polls take.
                    std::thread::sleep(Duration::from_millis(400));
                    std::fs::create_dir_all(&path).unwrap();
                });
                find(Watch::new(&path), &path)
            });
            // Each sleep ends at its limit or by one of three directories. After each of them it looks twice.
            let bound = took.as_millis() as u64 / 100 + 2 + 2 * 3;
            assert!(looks <= bound, "{looks} looks in {took:?}");
        }
    }

    #[test]
    fn an_object_is_found_where_the_kernel_tells_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("ring");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                std::fs::create_dir_all(&path).unwrap();
            });
            find(Watch::refused(&path), &path);
        });
    }
}
