//! The handle of a lossless reader.
//!
//! Layer 5. Unsafe only to lend out messages behind the consumer's own gate.
#![allow(unsafe_code, reason = "lends out bytes that the gate keeps unwritten")]

mod receive;
mod take;
mod wait;

use super::error::ReceiveError;
use super::interrupted::Interrupted;
use super::latency::{self, STAMP};
use super::loss::{Loss, Losses};
use super::options::ConsumerOptions;
use super::set::{Inside, Sealed, Source};
use super::trouble::disturbance;
use super::waiting::{self, End, Manner};
use crate::attach::{shown, AttachError, Attachment, Lease};
use crate::layout::gap::Gap;
use crate::read::{Progress, ReadControl};
use crate::ring::consumer::{Arrived, Consumer as Core, Epoch, Gaps, Joining};
use crate::ring::Start;
use crate::segment::{can_flush, Canary, CursorName, Memory, Role};
use crate::wait::{bell, Deadline, Waker};
use core::marker::PhantomData;
use std::cell::Cell;

/// A reader that misses nothing and holds the producer back.
///
/// # Guarantees
/// - Every message published after its start arrives, whole, once, in order, even if the
///   producer dies. Only a ring made with
///   [`evict_after`](crate::endpoint::Builder::evict_after) goes on without a consumer that is too slow, and
///   then says exactly what it missed.
/// - Messages are read in place; the bytes stay as they are until the guard is dropped. In a ring
///   that evicts they are copied to private memory first, so that nothing can be torn.
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
/// # fn f(consumer: &mut slipring::Consumer) -> Result<(), slipring::endpoint::ReceiveError> {
/// let first = consumer.receive()?;
/// let second = consumer.receive()?;
/// drop(first);
/// # Ok(()) }
/// ```
pub struct Consumer {
    core: Core,
    canary: Canary,
    /// Whether messages come by [`poll_specially`](Self::poll_specially).
    special: bool,
    reading: ReadControl,
    waker: Waker,
    /// Where messages are copied to; empty where they are read in place.
    private: Box<[u64]>,
    /// Whether messages begin with a stamp; they are copied then.
    stamped: bool,
    loss: Loss,
    /// How many messages it has lost.
    evicted: u64,
    ring: Attachment,
    options: ConsumerOptions,
    slept: bool,
    end: End,
    /// Whether the last message that was waited for came within a few polls.
    answered_soon: bool,
    /// Left last.
    _lease: Lease,
    one_thread: PhantomData<Cell<()>>,
}

shown!([] Consumer, "Consumer", |consumer| path = consumer.ring.path(), row = consumer.row(), next_sequence = consumer.next_sequence());

impl Consumer {
    pub(crate) fn attach(
        ring: &Attachment,
        start: Start,
        options: ConsumerOptions,
        cursor: Option<CursorName>,
    ) -> Result<Self, AttachError> {
        ring.undisturbed()?;
        let (mut lease, resumes) = match cursor {
            None => (Lease::take(ring)?, false),
            Some(name) => Lease::take_cursor(ring, name)?,
        };
        let memory = ring.segment().reader().clone();
        let waker = match memory.control() {
            Some(control) if options.membarrier => Waker::unfenced(&control.space)
                .map_err(|source| AttachError::Membarrier { source })?,
            _ => Waker::default(),
        };
        let parks = options.strategy.parks();
        let joining = Joining {
            row: lease.row(),
            start,
            may_park: parks,
            pid: std::process::id(),
            name: cursor.map_or([0; 8], CursorName::words),
            resumes,
        };
        let abandoned = || ring.is_held(Role::Producer) == Some(false);
        let core = Core::attach_beside(memory, joining, abandoned)
            .map_err(|nowhere| AttachError::nowhere(nowhere, start))?;
        if parks {
            lease.may_sleep();
        }
        let geometry = *core.memory().geometry();
        if geometry.stamped {
            latency::begin(core.memory(), core.row());
        }
        // What another user may write is not looked at in place, either.
        let copies = geometry.evicts() || geometry.stamped || ring.segment().must_copy();
        let words = if copies {
            (geometry.max_message as usize).div_ceil(8)
        } else {
            0
        };
        // Of a durable cursor: what was gone when this consumer attached.
        let (mut loss, missed, next) = (Loss::default(), core.missed(), core.sequence());
        let from = next.wrapping_sub(missed);
        loss.extend(from, from, next);
        if missed > 0 {
            core.count_loss(missed);
        }
        let consumer = Self {
            special: words > 0,
            reading: ReadControl::new(
                options.read_policy,
                ring.capacity_bytes(),
                read(&core),
                can_flush(),
            ),
            core,
            canary: ring.canary(),
            waker,
            private: vec![0; words].into_boxed_slice(),
            stamped: geometry.stamped,
            loss,
            evicted: missed,
            ring: ring.clone(),
            options,
            slept: false,
            end: End::default(),
            answered_soon: false,
            _lease: lease,
            one_thread: PhantomData,
        };
        if let Some(control) = consumer.core.memory().control() {
            // For callers that wait for readers.
            bell::ring_now(&control.space);
        }
        Ok(consumer)
    }

    /// As [`receive_until`](Self::receive_until), for one of a pair; the message is made of what arrived by
    /// [`message`](Self::message), before anything else is asked of this consumer.
    #[inline(never)]
    pub(crate) fn await_next(
        &mut self,
        deadline: Deadline,
    ) -> Result<Option<Arrived>, ReceiveError> {
        self.wait_for_next(deadline, Manner::Paired)
    }

    /// Bytes of data of the ring.
    pub(super) fn capacity_bytes(&self) -> u64 {
        self.core.memory().geometry().capacity
    }

    /// Sequence of the next message.
    pub fn next_sequence(&self) -> u64 {
        self.core.sequence()
    }

    /// How many bytes the producer is ahead, rounded up to a block of at most 4 KiB.
    pub fn lag_bytes(&self) -> u64 {
        self.core.lag()
    }

    /// Returns `true` if messages are read where they lie in the ring. Then all messages of a batch can be read until the batch is
    /// dropped. Otherwise, as in a ring that evicts, each is copied to memory of the consumer, over the one before it.
    pub fn reads_in_place(&self) -> bool {
        self.private.is_empty()
    }

    /// The row this consumer holds, as in [`RingStatus`](crate::endpoint::RingStatus).
    pub fn row(&self) -> u32 {
        self.core.row()
    }

    /// Returns what this consumer will never get of the messages before [`next_sequence`](Self::next_sequence), since it
    /// attached. A loss is counted here as soon as a call has found it, so also one that no message has followed: before
    /// the end of the stream, or a deadline. Every other loss was told by [`Message::missed`](crate::Message::missed) of the message behind it.
    ///
    /// A loss that no message has followed stays with a durable cursor: the next consumer of its name is told of it too.
    ///
    /// ```
    /// use slipring::{Ring, Start};
    /// use std::time::Duration;
    ///
    /// let ring = Ring::heap().capacity_bytes(4096).evict_after(Duration::from_nanos(1)).create()?;
    /// let mut consumer = ring.consumer(Start::Oldest)?;
    /// let mut producer = ring.producer()?;
    /// for n in 0..1000u64 {
    ///     producer.publish(&n.to_le_bytes())?; // does not wait for the consumer
    /// }
    /// producer.close();
    ///
    /// let (mut received, mut missed) = (0, 0);
    /// while let Some(message) = consumer.receive()? {
    ///     missed += message.missed();
    ///     received += 1;
    /// }
    /// assert!(missed > 0);
    /// assert_eq!(received + missed, 1000);
    /// assert_eq!(consumer.losses().evicted, missed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn losses(&self) -> Losses {
        Losses {
            evicted: self.evicted,
            skipped: self.core.skipped(),
        }
    }

    /// The losses that a message which was handed out has told.
    pub(super) fn told(&self) -> u64 {
        let untold = self.missed_before(self.core.sequence());
        self.evicted.wrapping_sub(untold)
    }

    /// The loss that a message compares its sequence with.
    #[inline(always)]
    pub(super) fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Returns the last gap that this consumer has passed: sequences that do not exist, since the producer
    /// [skipped](crate::Producer::skip_to) them, and why. Of a gap in the middle of which it began, the part behind its
    /// start. It may lie before a message, which then [has](crate::Message::gap) it, or at the end of what was published.
    pub fn last_gap(&self) -> Option<Gap> {
        self.core.last_gap()
    }

    /// The gaps that a message looks among.
    #[inline(always)]
    pub(super) fn gaps(&self) -> &Gaps {
        self.core.gaps()
    }

    /// How many messages before this one are lost, with nothing but gaps between.
    #[inline]
    pub(super) fn missed_before(&self, sequence: u64) -> u64 {
        self.loss.before(self.gaps().run_before(sequence))
    }

    /// From now on a gap is an error: the form of this ring has none.
    pub(crate) fn refuse_gaps(&mut self) {
        self.core.refuse_gaps();
    }

    /// The epoch of a new producer, once: since this consumer attached, since it last asked, or,
    /// for a durable cursor, since its last owner was told. Two loads of lines that rarely change.
    pub fn new_epoch(&mut self) -> Option<Epoch> {
        if self.undisturbed().is_err() {
            return None;
        }
        self.core.new_epoch()
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

    /// Gives back everything read, and rings a producer that sleeps for space.
    #[inline(always)]
    pub(super) fn release(&mut self) {
        self.core.release();
        if let Some(control) = self.core.memory().control() {
            self.waker.ring(&control.space);
        }
        if self.reading.is_due(self.core.position()) {
            self.look_back();
        }
    }

    #[cold]
    #[inline(never)]
    fn look_back(&mut self) {
        let core = &self.core;
        let owes = self
            .reading
            .look(read(core), |what| core.flush(what), || core.lag());
        // The next call learns of it without a question of its own.
        self.special |= owes;
    }

    /// Whether messages come by [`poll_specially`](Self::poll_specially), if no pause is owed.
    fn is_special(&self) -> bool {
        !self.private.is_empty()
    }

    /// Takes back a message that the caller has not seen.
    pub(super) fn untake(&mut self, arrived: Arrived) {
        self.core.untake(arrived);
    }

    /// Notes what the message in the private copy took, where it says when it was published.
    #[inline]
    fn time(&self) {
        if self.stamped {
            latency::record(self.core.memory(), self.core.row(), self.private[0]);
        }
    }

    #[inline(always)]
    pub(super) fn bytes(&self, arrived: Arrived) -> &[u8] {
        let len = arrived.len as usize;
        if !self.private.is_empty() {
            return self.copied(len);
        }
        let words = self.core.memory().words();
        // SAFETY: the frame was taken and not released: the result borrows `self`, and releasing
        // needs it exclusively. Until then the producer, which follows the protocol, does not
        // write here (edge `consumed`): this ring knows no eviction, or messages would be copied. So they would
        // be if another user could write the stream, who need not follow anything.
        unsafe { words.bytes(arrived.payload, len) }
    }

    /// The first bytes of the private copy, behind the stamp.
    #[cold]
    fn copied(&self, len: usize) -> &[u8] {
        let from = if self.stamped { STAMP } else { 0 };
        bytemuck::cast_slice(&self.private)
            .get(from..len)
            .unwrap_or_default()
    }
}

#[inline(always)]
fn read(core: &Core) -> Progress {
    Progress {
        bytes: core.position(),
        messages: core.sequence(),
    }
}

impl Sealed for Consumer {}

impl Source for Consumer {
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
        self.options.strategy.parks()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.canary.forked() {
            return;
        }
        self.core.leave();
        if let Some(control) = self.core.memory().control() {
            // A producer may be waiting for this very row.
            bell::ring_now(&control.space);
        }
    }
}
