//! The handle of the one writer.
//!
//! Layer 5. What it lends (claims, batches) is in `lend`.

use super::error::{AttachError, PublishError, TryPublishError};
use super::lend::{Claim, PublishBatch};
use super::options::ProducerOptions;
use super::ring::Ring;
use crate::layout::lines::Bell;
use crate::ring::producer::{Producer as Core, Refused};
use crate::segment::{Canary, Held, Role};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, until, Deadline, Outcome, Waited};
use core::marker::PhantomData;
use std::cell::Cell;

/// The one writer of a ring.
///
/// # Guarantees
/// - There is one per ring, across all processes; the kernel enforces it.
/// - A message whose publish returned is seen whole, by everybody, in order; one that was not
///   published is never seen, whole or torn, whatever happens to this process.
/// - Publishing makes no system call, except to wake a reader that sleeps, or to ask about a
///   consumer that is a whole ring behind.
///
/// # What others may change meanwhile
/// Consumers give space back at any time: a full ring may stop being full, and only this producer
/// fills it.
///
/// Dropping the producer closes the ring: readers get everything and then the end. If the thread is
/// panicking the ring is left as by a crash instead, and readers learn that the producer is gone.
///
/// ```
/// use slipring::Ring;
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// assert_eq!(producer.publish(b"first")?, 0);
///
/// let mut batch = producer.batch();
/// batch.push(b"second")?;
/// batch.push(b"third")?;
/// assert_eq!(batch.commit(), 2);
///
/// let mut claim = producer.claim(6)?;
/// claim.copy_from_slice(b"fourth");
/// assert_eq!(claim.commit(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A producer belongs to one thread at a time:
///
/// ```compile_fail
/// fn share<T: Sync>() {}
/// share::<slipring::Producer>();
/// ```
#[derive(Debug)]
pub struct Producer {
    pub(super) core: Core,
    pub(super) canary: Canary,
    ring: Ring,
    options: ProducerOptions,
    slept: bool,
    left: bool,
    /// Where a claim is written when readers of this process share the producer's addresses.
    pub(super) scratch: Vec<u8>,
    /// Freed last.
    _held: Held,
    one_thread: PhantomData<Cell<()>>,
}

impl Producer {
    pub(super) fn attach(ring: &Ring, options: ProducerOptions) -> Result<Self, AttachError> {
        if ring.canary().forked() {
            return Err(AttachError::Forked);
        }
        if !ring.description().writable {
            return Err(AttachError::ReadOnly {
                path: ring.path().to_owned(),
            });
        }
        let Some(held) = ring.acquire(Role::Producer)? else {
            return Err(AttachError::AlreadyOwned {
                path: ring.path().to_owned(),
                pid: ring.status().producer_pid,
            });
        };
        let memory = ring.segment().writer()?;
        let core = Core::attach(memory, std::process::id()).map_err(AttachError::Corrupt)?;
        if let Some(control) = core.memory().control() {
            if options.strategy.parks() {
                bell::allow(&control.space);
            } else {
                control.space.may_park.store(0, Relaxed);
            }
            // Whoever slept through the last producer's death learns that there is a new one.
            bell::ring_now(&control.data);
        }
        Ok(Self {
            core,
            canary: ring.canary(),
            ring: ring.clone(),
            options,
            slept: false,
            left: false,
            scratch: Vec::new(),
            _held: held,
            one_thread: PhantomData,
        })
    }

    /// Publishes one message, waiting while the slowest consumer is a whole ring behind. Returns
    /// its sequence.
    ///
    /// # Errors
    /// [`PublishError::TooLarge`], [`PublishError::Forked`].
    #[inline(always)]
    pub fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        self.publish_until(payload, Deadline::NEVER)
    }

    /// As [`publish`](Self::publish), until a deadline.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`PublishError::TimedOut`] with the row of the consumer
    /// that held it back; nothing was published then.
    #[inline(always)]
    pub fn publish_until(
        &mut self,
        payload: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<u64, PublishError> {
        if self.canary.forked() {
            return Err(PublishError::Forked);
        }
        match self.core.try_publish(payload) {
            Ok(sequence) => {
                self.ring_data();
                Ok(sequence)
            }
            Err(refused) => self.publish_slowly(payload, refused, deadline.into()),
        }
    }

    #[cold]
    fn publish_slowly(
        &mut self,
        payload: &[u8],
        mut refused: Refused,
        deadline: Deadline,
    ) -> Result<u64, PublishError> {
        loop {
            self.wait_for_room(refused, payload.len(), deadline)?;
            match self.core.try_publish(payload) {
                Ok(sequence) => {
                    self.ring_data();
                    return Ok(sequence);
                }
                Err(again) => refused = again,
            }
        }
    }

    /// Publishes one message if there is room now. Returns its sequence.
    ///
    /// # Errors
    /// [`TryPublishError::Full`] with the row of the slowest consumer; a dead consumer never holds
    /// the producer back. [`TryPublishError::TooLarge`], [`TryPublishError::Forked`].
    #[inline(always)]
    pub fn try_publish(&mut self, payload: &[u8]) -> Result<u64, TryPublishError> {
        if self.canary.forked() {
            return Err(TryPublishError::Forked);
        }
        loop {
            match self.core.try_publish(payload) {
                Ok(sequence) => {
                    self.ring_data();
                    return Ok(sequence);
                }
                Err(refused) => self.refuse(refused, payload.len())?,
            }
        }
    }

    /// Lends space for one message of `len` bytes, to be written in place, waiting as
    /// [`publish`](Self::publish) does. Its bytes are unspecified until written.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, PublishError> {
        self.claim_until(len, Deadline::NEVER)
    }

    /// As [`claim`](Self::claim), until a deadline.
    ///
    /// # Errors
    /// As [`publish_until`](Self::publish_until).
    pub fn claim_until(
        &mut self,
        len: usize,
        deadline: impl Into<Deadline>,
    ) -> Result<Claim<'_>, PublishError> {
        if self.canary.forked() {
            return Err(PublishError::Forked);
        }
        let deadline = deadline.into();
        let payload = loop {
            match self.core.try_claim(len) {
                Ok(payload) => break payload,
                Err(refused) => self.wait_for_room(refused, len, deadline)?,
            }
        };
        Ok(Claim::new(self, payload, len))
    }

    /// As [`claim`](Self::claim), if there is room now.
    ///
    /// # Errors
    /// As [`try_publish`](Self::try_publish).
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, TryPublishError> {
        if self.canary.forked() {
            return Err(TryPublishError::Forked);
        }
        let payload = loop {
            match self.core.try_claim(len) {
                Ok(payload) => break payload,
                Err(refused) => self.refuse(refused, len)?,
            }
        };
        Ok(Claim::new(self, payload, len))
    }

    /// Begins a batch: messages that become visible together, or not at all.
    #[inline]
    pub fn batch(&mut self) -> PublishBatch<'_> {
        PublishBatch::new(self)
    }

    /// Sequence of the next message.
    pub fn next_sequence(&self) -> u64 {
        self.core.sequence()
    }

    /// How many producers the ring has had, this one included.
    pub fn epoch(&self) -> u64 {
        self.core.epoch()
    }

    /// How often a consumer's row claimed a position it cannot have. Above zero, some process that
    /// may write `control` does not follow the protocol; the claims were ignored.
    pub fn violations(&self) -> u64 {
        self.core.violations()
    }

    /// Closes the ring: readers get everything published so far, and then the end. A later producer
    /// may open it again.
    pub fn close(self) {
        drop(self);
    }

    /// Leaves without closing: readers keep waiting for the next producer.
    pub fn detach(mut self) {
        self.leave(false);
        self.left = true;
    }

    fn leave(&mut self, closed: bool) {
        self.core.leave(closed);
        if let Some(control) = self.core.memory().control() {
            control.space.may_park.store(0, Relaxed);
            bell::ring_now(&control.data);
        }
    }

    #[inline(always)]
    pub(super) fn ring_data(&self) {
        if let Some(control) = self.core.memory().control() {
            bell::ring(&control.data);
        }
    }

    /// Turns a refusal into an error, unless it came from a dead consumer: then tries go on.
    #[cold]
    pub(super) fn refuse(&mut self, refused: Refused, len: usize) -> Result<(), TryPublishError> {
        match refused {
            Refused::Full { row } if self.retire_if_dead(row) => Ok(()),
            refused => Err(TryPublishError::from_refused(refused, len)),
        }
    }

    /// Frees the row of a consumer whose lock is free. The lock is held meanwhile, so that nobody
    /// takes the row at the same moment.
    fn retire_if_dead(&mut self, row: u32) -> bool {
        match self.ring.acquire(Role::Row(row)) {
            Ok(Some(_held)) => {
                self.core.retire(row);
                true
            }
            _ => false,
        }
    }

    #[cold]
    pub(super) fn wait_for_room(
        &mut self,
        refused: Refused,
        len: usize,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        let row = match refused {
            Refused::TooLarge { max } => return Err(PublishError::TooLarge { len, max }),
            Refused::BatchFull => return Err(PublishError::BatchFull),
            Refused::Full { row } => row,
        };
        if self.retire_if_dead(row) {
            return Ok(());
        }
        let memory = self.core.memory().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.space);
        let (strategy, mut slept) = (self.options.strategy, self.slept);
        let mut room = Room {
            producer: self,
            len,
            row,
        };
        let outcome = until(&mut room, strategy, bell, deadline, &mut slept);
        let row = room.row;
        self.slept = slept;
        match outcome {
            Outcome::TimedOut => Err(PublishError::TimedOut { row }),
            _ => Ok(()),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if !self.left && !self.canary.forked() && !std::thread::panicking() {
            self.leave(true);
        }
    }
}

/// Waiting for room for one message.
struct Room<'p> {
    producer: &'p mut Producer,
    len: usize,
    row: u32,
}

impl Waited for Room<'_> {
    fn ready(&mut self) -> bool {
        match self.producer.core.try_claim(self.len) {
            Err(Refused::Full { row }) => {
                self.row = row;
                false
            }
            _ => true,
        }
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.producer.retire_if_dead(self.row)
    }
}
