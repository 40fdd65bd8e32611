//! The handle of a lossless reader.
//!
//! Layer 5. Unsafe only to lend out messages behind the consumer's own gate.
#![allow(unsafe_code, reason = "lends out bytes that the gate keeps unwritten")]

use super::error::{AttachError, ReceiveError, TryReceiveError};
use super::observer::Payload;
use super::options::ConsumerOptions;
use super::ring::Ring;
use super::set::{Sealed, Source};
use crate::layout::lines::{Bell, ProducerState};
use crate::ring::consumer::{Arrived, Consumer as Core};
use crate::ring::Start;
use crate::segment::{Canary, Held, Memory, Role};
use crate::wait::{bell, until, Deadline, Outcome, Pace, Waited};
use core::marker::PhantomData;
use core::ops::Deref;
use std::cell::Cell;

/// A reader that misses nothing and holds the producer back.
///
/// # Guarantees
/// - Every message published after its start arrives, whole, once, in order, whatever happens to
///   the producer.
/// - Messages are read in place; the bytes stay as they are until the guard is dropped.
/// - Receiving makes no system call unless it sleeps.
///
/// # What others may change meanwhile
/// The producer adds messages at any time and never takes one away from a consumer.
///
/// ```
/// use slipring::{Ring, Start};
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer(Start::Oldest)?;
/// for word in ["one", "two", "three"] {
///     producer.publish(word.as_bytes())?;
/// }
/// producer.close();
///
/// let mut seen = Vec::new();
/// while let Some(message) = consumer.receive()? {
///     seen.push((message.sequence(), message.len()));
/// }
/// assert_eq!(seen, [(0, 3), (1, 3), (2, 5)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A message cannot outlive the next call, which may give its space back:
///
/// ```compile_fail
/// # fn f(consumer: &mut slipring::Consumer) -> Result<(), slipring::ReceiveError> {
/// let first = consumer.receive()?;
/// let second = consumer.receive()?;
/// drop(first);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Consumer {
    core: Core,
    canary: Canary,
    pace: Pace,
    ring: Ring,
    options: ConsumerOptions,
    slept: bool,
    /// Freed last.
    _held: Held,
    one_thread: PhantomData<Cell<()>>,
}

impl Consumer {
    pub(super) fn attach(
        ring: &Ring,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<Self, AttachError> {
        if ring.canary().forked() {
            return Err(AttachError::Forked);
        }
        let (row, held) = ring.acquire_row()?;
        let memory = ring.segment().reader().clone();
        let (parks, pid) = (options.strategy.parks(), std::process::id());
        let core = Core::attach(memory, row, start, parks, pid)
            .map_err(|nowhere| AttachError::nowhere(nowhere, start))?;
        if let (true, Some(control)) = (parks, core.memory().control()) {
            bell::allow(&control.data);
        }
        Ok(Self {
            core,
            canary: ring.canary(),
            pace: Pace::new(options.keep_distance, ring.capacity_bytes()),
            ring: ring.clone(),
            options,
            slept: false,
            _held: held,
            one_thread: PhantomData,
        })
    }

    /// Waits for the next message; `None` once the producer closed the ring and everything has been
    /// read. Calling again after `None` is allowed: a later producer may go on.
    ///
    /// # Errors
    /// [`ReceiveError::ProducerGone`] once everything a dead producer committed has been read.
    #[inline]
    pub fn receive(&mut self) -> Result<Option<Message<'_>>, ReceiveError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`receive`](Self::receive), until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::TimedOut`].
    #[inline]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Option<Message<'_>>, ReceiveError> {
        if self.canary.forked() {
            return Err(ReceiveError::Forked);
        }
        let arrived = match self.core.try_next()? {
            Some(arrived) => Some(arrived),
            None => self.wait_for_next(deadline.into())?,
        };
        Ok(arrived.map(|arrived| self.message(arrived)))
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    /// [`TryReceiveError::Empty`] or [`TryReceiveError::Closed`].
    #[inline]
    pub fn try_receive(&mut self) -> Result<Message<'_>, TryReceiveError> {
        if self.canary.forked() {
            return Err(TryReceiveError::Forked);
        }
        let arrived = match self.core.try_next()? {
            Some(arrived) => arrived,
            None => self.try_again()?,
        };
        Ok(self.message(arrived))
    }

    /// Waits for messages, then lends up to `max` of them that are there. Their space is given back
    /// together when the batch is dropped.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn receive_batch(&mut self, max: usize) -> Result<Option<Batch<'_>>, ReceiveError> {
        self.receive_batch_until(max, Deadline::NEVER)
    }

    /// As [`receive_batch`](Self::receive_batch), until a deadline.
    ///
    /// # Errors
    /// As [`receive_until`](Self::receive_until).
    #[inline]
    pub fn receive_batch_until(
        &mut self,
        max: usize,
        deadline: impl Into<Deadline>,
    ) -> Result<Option<Batch<'_>>, ReceiveError> {
        if self.canary.forked() {
            return Err(ReceiveError::Forked);
        }
        let first = match self.core.try_next()? {
            Some(arrived) => arrived,
            None => match self.wait_for_next(deadline.into())? {
                Some(arrived) => arrived,
                None => return Ok(None),
            },
        };
        Ok(Some(Batch::new(self, first, max)))
    }

    /// Up to `max` messages that are there.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive).
    #[inline]
    pub fn try_receive_batch(&mut self, max: usize) -> Result<Batch<'_>, TryReceiveError> {
        if self.canary.forked() {
            return Err(TryReceiveError::Forked);
        }
        let first = match self.core.try_next()? {
            Some(arrived) => arrived,
            None => self.try_again()?,
        };
        Ok(Batch::new(self, first, max))
    }

    /// Sequence of the next message.
    pub fn next_sequence(&self) -> u64 {
        self.core.sequence()
    }

    /// How many bytes the producer is ahead, rounded up to a block of at most 4 KiB.
    pub fn lag_bytes(&self) -> u64 {
        self.core.lag()
    }

    /// The row this consumer holds, as in [`RingStatus`](crate::RingStatus).
    pub fn row(&self) -> u32 {
        self.core.row()
    }

    #[inline(always)]
    fn message(&mut self, arrived: Arrived) -> Message<'_> {
        Message {
            consumer: self,
            arrived,
        }
    }

    /// What follows a poll that found nothing: a pause if the stream runs flat out, then the last
    /// word on whether it is over.
    fn try_again(&mut self) -> Result<Arrived, TryReceiveError> {
        self.pace.empty();
        let closed = self.core.producer_state() == ProducerState::Closed;
        match self.core.try_next()? {
            Some(arrived) => Ok(arrived),
            None if closed => Err(TryReceiveError::Closed),
            None => Err(TryReceiveError::Empty),
        }
    }

    #[inline(never)]
    fn wait_for_next(&mut self, deadline: Deadline) -> Result<Option<Arrived>, ReceiveError> {
        self.pace.empty();
        let mut memory: Option<Memory> = None;
        loop {
            // The shape of the fast wait: nothing but a load and a compare between polls.
            for _ in 0..FAST_POLLS {
                if self.core.ready() {
                    if let Some(arrived) = self.core.try_next()? {
                        return Ok(Some(arrived));
                    }
                }
                crate::sync::spin_hint();
            }
            let memory = memory.get_or_insert_with(|| self.core.memory().clone());
            let bell: Option<&Bell> = memory.control().map(|control| &control.data);
            let (strategy, mut slept) = (self.options.strategy, self.slept);
            let outcome = until(self, strategy, bell, deadline, &mut slept);
            self.slept = slept;
            // Whatever the outcome, what was committed before it comes first.
            if let Some(arrived) = self.core.try_next()? {
                return Ok(Some(arrived));
            }
            match outcome {
                Outcome::Ready => {}
                Outcome::Over => return Ok(None),
                Outcome::TimedOut => return Err(ReceiveError::TimedOut),
                Outcome::Gone => {
                    return Err(ReceiveError::ProducerGone {
                        next: self.core.sequence(),
                    })
                }
            }
        }
    }

    /// Gives back everything read, and rings a producer that sleeps for space.
    #[inline(always)]
    fn release(&mut self) {
        self.core.release();
        if let Some(control) = self.core.memory().control() {
            bell::ring(&control.space);
        }
    }

    #[inline(always)]
    fn frame_bytes(&self, arrived: Arrived) -> u64 {
        u64::from(arrived.len) + 8
    }

    #[inline(always)]
    fn bytes(&self, arrived: Arrived) -> &[u8] {
        let words = self.core.memory().words();
        // SAFETY: the frame was taken and not released: the result borrows `self`, and releasing
        // needs it exclusively. Until then the producer, which follows the protocol, does not
        // write here (E4), and this ring knows no eviction.
        unsafe { words.bytes(arrived.payload, arrived.len as usize) }
    }
}

/// Polls before the general wait is set up: about a microsecond.
const FAST_POLLS: u32 = 64;

impl Waited for Consumer {
    #[inline(always)]
    fn ready(&mut self) -> bool {
        self.core.ready()
    }

    fn over(&mut self) -> bool {
        self.core.producer_state() == ProducerState::Closed
    }

    fn gone(&mut self) -> bool {
        producer_gone(&self.ring, self.core.producer_state())
    }
}

impl Sealed for Consumer {}

impl Source for Consumer {
    fn memory(&self) -> &Memory {
        self.core.memory()
    }

    fn parks(&self) -> bool {
        self.options.strategy.parks()
    }
}

/// Whether the producer died: it never said goodbye, and its lock is free. The state is read again
/// last, in case it said goodbye in between.
pub(super) fn producer_gone(ring: &Ring, state: ProducerState) -> bool {
    state == ProducerState::Attached
        && ring.is_held(Role::Producer) == Some(false)
        && crate::ring::consumer::producer_state(ring.segment().reader()) == ProducerState::Attached
        && ring.is_held(Role::Producer) == Some(false)
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.canary.forked() {
            return;
        }
        self.core.leave();
        if let Some(control) = self.core.memory().control() {
            if self.options.strategy.parks() {
                bell::quiet(&control.data, || self.ring.anyone_may_park());
            }
            // A producer may be waiting for this very row.
            bell::ring_now(&control.space);
        }
    }
}

/// One message, in place. Dropping it gives its space back to the producer.
#[derive(Debug)]
pub struct Message<'c> {
    consumer: &'c mut Consumer,
    arrived: Arrived,
}

impl Message<'_> {
    /// Number of the message.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.arrived.sequence
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.consumer.bytes(self.arrived)
    }
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Message<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.consumer.release();
        let bytes = self.consumer.frame_bytes(self.arrived);
        if self.consumer.pace.took(1, bytes) {
            let ahead = self.consumer.core.lag();
            self.consumer.pace.look(ahead);
        }
    }
}

/// Messages in place, lent together. Dropping it gives their space back to the producer.
///
/// ```
/// use slipring::{Ring, Start};
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer(Start::Oldest)?;
/// for n in 0..10u8 {
///     producer.publish(&[n])?;
/// }
/// let mut batch = consumer.try_receive_batch(8)?;
/// let mut sum = 0;
/// while let Some(message) = batch.next() {
///     sum += u32::from(message[0]);
/// }
/// assert_eq!(sum, 28);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Batch<'c> {
    consumer: &'c mut Consumer,
    first: Option<Arrived>,
    left: usize,
    bytes: u64,
    messages: u64,
}

impl<'c> Batch<'c> {
    #[inline(always)]
    fn new(consumer: &'c mut Consumer, first: Arrived, max: usize) -> Self {
        Self {
            consumer,
            first: Some(first),
            // The first one is taken already and cannot be put back.
            left: max.max(1),
            bytes: 0,
            messages: 0,
        }
    }

    /// The next message of the batch; `None` when `max` have been lent or no more are there.
    #[inline(always)]
    #[allow(
        clippy::should_implement_trait,
        reason = "the item borrows the batch, which an iterator cannot express"
    )]
    pub fn next(&mut self) -> Option<Payload<'_>> {
        if self.left == 0 {
            return None;
        }
        let arrived = match self.first.take() {
            Some(first) => first,
            // Damage ends the batch here; the next receive reports it.
            None => self.consumer.core.try_next().ok().flatten()?,
        };
        self.left -= 1;
        self.messages += 1;
        self.bytes += self.consumer.frame_bytes(arrived);
        Some(Payload::new(self.consumer.bytes(arrived), arrived.sequence))
    }
}

impl Drop for Batch<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            // Nothing was looked at: it will be handed out again.
            self.consumer.core.untake(first);
            return;
        }
        self.consumer.release();
        if self.consumer.pace.took(self.messages, self.bytes) {
            let ahead = self.consumer.core.lag();
            self.consumer.pace.look(ahead);
        }
    }
}
