//! The handle of a lossy reader.
//!
//! Layer 5. Holds a row only where it may sleep and may write one; works with nothing but permission
//! to read.

use super::error::{ReceiveError, TryReceiveError};
use super::interrupted::Interrupted;
use super::latency::STAMP;
use super::loss::Loss;
use super::options::ObserverOptions;
use super::set::{Inside, Sealed, Source};
use super::trouble::disturbance;
use super::waiting::{self, End, Manner, Reader};
use crate::attach::{shown, AttachError, Attachment, Lease};
use crate::layout::gap::{Gap, Why};
use crate::layout::lines::{ProducerState, RowState};
use crate::read::{Progress, ReadControl};
use crate::ring::consumer::{epoch, Epoch, Gaps};
use crate::ring::observer::{Copied, Observed, Observer as Core};
use crate::ring::Start;
use crate::segment::{can_flush, Canary, Memory};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, Deadline, Strategy, Waited};
use core::marker::PhantomData;
use core::ops::Deref;
use std::cell::Cell;

/// A reader that never holds the producer back and is told exactly what it missed.
///
/// # Guarantees
/// - A message it receives is whole and was published as it is; order is kept; nothing comes twice.
/// - Between any two messages the loss, if there is any, is reported, with the exact number. So is each gap
///   that the producer left.
/// - It never slows the producer down, except that sleeping costs the producer a check per publish.
/// - It needs only permission to read. Without permission to write `control` it cannot be woken, and
///   strategies that sleep poll at least once a millisecond instead. Nor can it learn then that the
///   producer died, which takes permission to open `lock`: it is told of a closed ring, but waits on behind
///   a producer that was killed, without [`ReceiveError::ProducerGone`], until the next one publishes.
///
/// # What others may change meanwhile
/// The producer may overwrite what has not been received yet, at any time.
///
/// ```
/// use slipring::{Received, Ring, Start};
///
/// let ring = Ring::heap().capacity_bytes(4096).create()?;
/// let mut producer = ring.producer()?;
/// let mut observer = ring.observer(Start::Oldest)?;
/// for n in 0..1000u64 {
///     producer.publish(&n.to_le_bytes())?; // no observer holds it back
/// }
/// producer.close();
///
/// let (mut received, mut lost) = (0, 0);
/// loop {
///     match observer.receive()? {
///         Received::Message(_) => received += 1,
///         Received::Lapped { lost: n, .. } => lost += n,
///         Received::Closed => break,
///         _ => unreachable!("this producer skips nothing"),
///     }
/// }
/// assert!(lost > 0);
/// assert_eq!(received + lost, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Observer {
    core: Core,
    canary: Canary,
    reading: ReadControl,
    ring: Attachment,
    options: ObserverOptions,
    slept: bool,
    end: End,
    /// Sequence of the first message there was for it.
    began: u64,
    lost: u64,
    skipped: u64,
    /// Bytes of a message in front of what is handed out.
    skip: usize,
    /// The last epoch it told of.
    epoch: u64,
    /// The row it sleeps under, if it may; left last.
    lease: Option<Lease>,
    one_thread: PhantomData<Cell<()>>,
}

shown!([] Observer, "Observer", |observer| path = observer.ring.path(), next_sequence = observer.next_sequence());

/// What an observer receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'o> {
    /// A message, in the observer's private memory.
    Message(Payload<'o>),
    /// The producer overtook the observer.
    Lapped {
        /// How many messages are gone.
        lost: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
    },
    /// The producer skipped sequences, which do not exist. An observer that began in the middle of them is told
    /// of those behind its start.
    Skipped {
        /// How many sequences do not exist.
        skipped: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
        /// Why they do not exist.
        why: Why,
    },
    /// The producer closed the ring and everything has been read.
    Closed,
}

/// The bytes of a message, with its number.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    sequence: u64,
    /// The latest loss of the consumer that received it, and its gaps; none for an observer.
    passed: Option<(&'a Loss, &'a Gaps)>,
}

shown!([] Payload<'_>, "Payload", |payload| sequence = payload.sequence, len = payload.bytes.len());

impl<'a> Payload<'a> {
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8], sequence: u64) -> Self {
        Self {
            bytes,
            sequence,
            passed: None,
        }
    }

    /// A message of a consumer whose latest loss is this, with these gaps.
    #[inline(always)]
    pub(super) fn behind(passed: (&'a Loss, &'a Gaps), bytes: &'a [u8], sequence: u64) -> Self {
        Self {
            bytes,
            sequence,
            passed: Some(passed),
        }
    }

    /// Number of the message.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns how many messages directly before this one its consumer will never get, as
    /// [`Message::missed`](crate::Message::missed). Always 0 for a message of an observer, to which losses come as
    /// [`Received::Lapped`].
    #[inline]
    pub fn missed(&self) -> u64 {
        let before = |(loss, gaps): (&Loss, &Gaps)| loss.before(gaps.run_before(self.sequence));
        self.passed.map_or(0, before)
    }

    /// Returns the gap directly before this message, as [`Message::gap`](crate::Message::gap). Always `None` for a message
    /// of an observer, to which gaps come as [`Received::Skipped`].
    pub fn gap(&self) -> Option<Gap> {
        self.passed.and_then(|(_, gaps)| gaps.before(self.sequence))
    }

    /// The bytes, for as long as the handle is borrowed.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl Observer {
    pub(crate) fn attach(
        ring: &Attachment,
        start: Start,
        options: ObserverOptions,
    ) -> Result<Self, AttachError> {
        ring.undisturbed()?;
        let memory = ring.segment().reader().clone();
        // Without a row, or the right to one, sleeping becomes napping; see `until`.
        let lease = Lease::take_to_sleep(ring, options.strategy)?;
        let core = Core::attach(memory, start, options.resume)
            .map_err(|nowhere| AttachError::nowhere(nowhere, start))?;
        let mut observer = Self {
            epoch: epoch(core.memory()).number,
            reading: ReadControl::new(
                options.read_policy,
                ring.capacity_bytes(),
                read(&core),
                can_flush(),
            ),
            began: core.sequence(),
            core,
            canary: ring.canary(),
            ring: ring.clone(),
            options,
            slept: false,
            end: End::default(),
            lost: 0,
            skipped: 0,
            skip: if ring.stamps() { STAMP } else { 0 },
            lease,
            one_thread: PhantomData,
        };
        observer.announce();
        Ok(observer)
    }

    /// Fills in the row and says that a reader may sleep.
    fn announce(&mut self) {
        self.say_sequence();
        if let Some(lease) = &mut self.lease {
            lease.begin(RowState::Observer, true);
            if let Some(control) = self.core.memory().control() {
                // For callers that wait for readers.
                bell::ring_now(&control.space);
            }
        }
    }

    /// Writes into the row, if there is one, which message is next.
    fn say_sequence(&self) {
        let row = self.lease.as_ref().map(Lease::row);
        if let Some(row) = row.and_then(|row| self.core.memory().row(row)) {
            row.sequence.store(self.core.sequence(), Relaxed);
        }
    }

    /// Waits for a message, the news of a loss, or the end. A call after [`Received::Closed`] waits for
    /// the messages of a later producer; where it has a deadline, it returns that again then if there is
    /// none.
    ///
    /// # Errors
    /// [`ReceiveError::ProducerGone`] once everything a dead producer committed has been read.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<Received<'_>, ReceiveError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`receive`](Self::receive), until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::TimedOut`].
    #[inline(always)]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Received<'_>, ReceiveError> {
        if let Some(copied) = self.take() {
            if self.looks_back() {
                self.pause(deadline.into());
            }
            return Ok(self.message(copied));
        }
        let observed = self.next_observed(deadline.into())?;
        Ok(self.received(observed))
    }

    /// A message or the news of a loss, if there is one.
    ///
    /// # Errors
    /// [`TryReceiveError::Empty`], [`TryReceiveError::Closed`], and, found out now and then by calls
    /// that find nothing, [`TryReceiveError::ProducerGone`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<Received<'_>, TryReceiveError> {
        if let Some(copied) = self.take() {
            // Nothing pauses here.
            let _ = self.looks_back();
            return Ok(self.message(copied));
        }
        let observed = self.try_observed()?;
        Ok(self.received(observed))
    }

    /// Bytes of data of the ring.
    pub(super) fn capacity_bytes(&self) -> u64 {
        self.core.memory().geometry().capacity
    }

    /// Sequence of the next message, unless it is lost.
    pub fn next_sequence(&self) -> u64 {
        self.core.sequence()
    }

    /// How many messages have been received.
    pub fn received_count(&self) -> u64 {
        let passed = self.core.sequence().wrapping_sub(self.began);
        passed.wrapping_sub(self.lost).wrapping_sub(self.skipped)
    }

    /// How many messages have been lost: all sequences that it was overtaken in, those that did not exist
    /// included.
    pub fn lost_count(&self) -> u64 {
        self.lost
    }

    /// How many sequences did not exist, as [`Received::Skipped`] reported them. What was received, lost and
    /// skipped makes up all sequences from the start to the next one.
    pub fn skipped_count(&self) -> u64 {
        self.skipped
    }

    /// How many bytes the producer is ahead, rounded up to a block of at most 4 KiB.
    pub fn lag_bytes(&self) -> u64 {
        self.core.lag()
    }

    /// The epoch of a new producer, once: since this observer attached or last asked.
    pub fn new_epoch(&mut self) -> Option<Epoch> {
        if self.undisturbed().is_err() {
            return None;
        }
        let now = epoch(self.core.memory());
        let before = core::mem::replace(&mut self.epoch, now.number);
        (before != now.number).then_some(now)
    }

    #[inline(always)]
    fn undisturbed(&self) -> Result<(), Interrupted> {
        if self.canary.disturbed() {
            self.look_into_it()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn look_into_it(&self) -> Result<(), Interrupted> {
        disturbance(self.canary, self.core.memory())
    }

    /// The next message, if it is there and nothing needs a closer look.
    #[inline(always)]
    fn take(&mut self) -> Option<Copied> {
        let canary = self.canary;
        // In a fork the ring is not mapped.
        if canary.disturbed() {
            return None;
        }
        // Zeroes may have taken the place of what was being copied; then the long way says so.
        match self.core.take(|| !canary.disturbed()) {
            Some(copied) => Some(copied),
            None if self.core.committed() => self.take_any(),
            None => None,
        }
    }

    /// Out of line: what is in line is for messages of one length.
    #[inline(never)]
    fn take_any(&mut self) -> Option<Copied> {
        let canary = self.canary;
        self.core.take_any(|| !canary.disturbed())
    }

    #[inline(always)]
    fn message(&mut self, copied: Copied) -> Received<'_> {
        let bytes = self.core.payload(copied, self.skip);
        Received::Message(Payload::new(bytes, copied.sequence))
    }

    /// Returns `true` if a call that may wait pauses before it hands out what it has taken.
    #[inline(always)]
    fn looks_back(&mut self) -> bool {
        self.reading.is_due(self.core.position()) && self.look_back()
    }

    #[cold]
    #[inline(never)]
    fn look_back(&mut self) -> bool {
        let core = &self.core;
        self.reading
            .look(read(core), |what| core.flush(what), || core.lag())
    }

    /// How many pauses it made.
    #[cfg(test)]
    pub(super) fn pauses(&self) -> u64 {
        self.reading.pauses()
    }

    #[cold]
    #[inline(never)]
    fn pause(&mut self, deadline: Deadline) {
        self.reading.pause(read(&self.core), deadline);
    }

    fn received(&mut self, observed: Observed) -> Received<'_> {
        match observed {
            Observed::Message(copied) => self.message(copied),
            Observed::Lapped { lost, resumed_at } => {
                self.was_lapped(lost);
                Received::Lapped { lost, resumed_at }
            }
            Observed::Skipped {
                skipped,
                resumed_at,
                why,
            } => {
                self.skipped = self.skipped.wrapping_add(skipped);
                self.reading.moved(read(&self.core));
                Received::Skipped {
                    skipped,
                    resumed_at,
                    why,
                }
            }
            Observed::Empty => Received::Closed,
        }
    }

    #[cold]
    #[inline(never)]
    fn was_lapped(&mut self, lost: u64) {
        self.lost = self.lost.wrapping_add(lost);
        self.reading.moved(read(&self.core));
        let row = self.lease.as_ref().map(Lease::row);
        self.core.count_loss(row, lost);
    }

    /// What comes next, waiting for it; nothing once the ring is closed.
    #[inline(never)]
    fn next_observed(&mut self, deadline: Deadline) -> Result<Observed, ReceiveError> {
        self.undisturbed()?;
        let observed = match self.core.try_next()? {
            Observed::Empty => self.wait_for_next(deadline)?,
            observed => observed,
        };
        self.undisturbed()?;
        Ok(observed)
    }

    /// What comes next, if it is there.
    #[inline(never)]
    fn try_observed(&mut self) -> Result<Observed, TryReceiveError> {
        self.undisturbed()?;
        let mut observed = Observed::Empty;
        if self.core.ready() {
            observed = self.core.try_next()?;
        }
        if observed == Observed::Empty {
            observed = self.try_again()?;
        }
        self.undisturbed()?;
        Ok(observed)
    }

    fn try_again(&mut self) -> Result<Observed, TryReceiveError> {
        self.reading.empty_without_pause(read(&self.core));
        let closed = self.core.producer_state() == ProducerState::Closed;
        match self.core.try_next()? {
            Observed::Empty => waiting::nothing_there(self, closed),
            observed => Ok(observed),
        }
    }

    #[inline(never)]
    fn wait_for_next(&mut self, deadline: Deadline) -> Result<Observed, ReceiveError> {
        if self.reading.empty(read(&self.core)) {
            self.pause(deadline);
        }
        self.say_sequence();
        let next = waiting::wait_for_next(self, deadline, Manner::Alone)?;
        Ok(next.unwrap_or(Observed::Empty))
    }
}

#[inline(always)]
fn read(core: &Core) -> Progress {
    Progress {
        bytes: core.position(),
        messages: core.sequence(),
    }
}

impl Waited for Observer {
    #[inline(always)]
    fn ready(&mut self) -> bool {
        self.core.ready()
    }

    fn over(&mut self) -> bool {
        waiting::over(self)
    }

    fn gone(&mut self) -> bool {
        waiting::gone(self)
    }
}

impl Reader for Observer {
    type Next = Observed;

    fn look(&mut self) -> Result<Option<Observed>, Interrupted> {
        let observed = self.core.try_next()?;
        Ok((observed != Observed::Empty).then_some(observed))
    }

    fn ring(&self) -> &Attachment {
        &self.ring
    }

    fn memory(&self) -> &Memory {
        self.core.memory()
    }

    fn sequence(&self) -> u64 {
        self.core.sequence()
    }

    fn strategy(&self) -> (Strategy, bool) {
        (self.options.strategy, self.lease.is_some())
    }

    fn end(&mut self) -> &mut End {
        &mut self.end
    }

    fn slept(&mut self) -> &mut bool {
        &mut self.slept
    }
}

impl Sealed for Observer {}

impl Source for Observer {
    fn memory(&self, _: Inside) -> &Memory {
        self.core.memory()
    }

    fn reports(&mut self) -> bool {
        waiting::reports(self)
    }

    fn reports_death(&mut self) -> bool {
        waiting::reports_death(self)
    }

    fn parks(&self) -> bool {
        self.lease.is_some()
    }
}
