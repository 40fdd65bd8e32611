//! The handle of a lossy reader.
//!
//! Layer 5. Holds a row only where it may sleep and may write one; works with nothing but permission
//! to read.

mod take;

use super::error::{ReceiveError, TryReceiveError};
use super::interrupted::Interrupted;
use super::latency::STAMP;
use super::options::ObserverOptions;
use super::received::Received;
use super::set::{Inside, Sealed, Source};
use super::waiting::{self, End, Reader};
use crate::attach::{shown, AttachError, Attachment, Lease};
use crate::layout::lines::RowState;
use crate::read::{Progress, ReadControl};
use crate::ring::consumer::{epoch, Epoch};
use crate::ring::observer::{Observed, Observer as Core};
use crate::ring::Start;
use crate::segment::{can_flush, Canary, Memory};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, Deadline, Strategy, Waited};
use core::marker::PhantomData;
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
