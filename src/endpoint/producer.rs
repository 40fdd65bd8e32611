//! The handle of the one writer.
//!
//! Layer 5. What it lends (claims, batches) is in `lend`.

mod claim;
mod patience;
mod publish;
mod room;
mod skip;

use super::error::Unfit;
use super::interrupted::Interrupted;
use super::latency::{now, STAMP};
use super::options::ProducerOptions;
use super::trouble::disturbance;
use crate::attach::{shown, AttachError, Attachment};
use crate::layout::schema::Schema;
use crate::ring::producer::Producer as Core;
use crate::segment::{Canary, Held, Role, Trouble};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, Since, Waker};
use core::marker::PhantomData;
use core::time::Duration;
use patience::Stall;
use std::cell::Cell;

/// A producer that publishes asks whether its ring was removed when it has written this part of the
/// capacity since it last asked.
const ASK_EVERY_PART: u64 = 16;

/// The one writer of a ring.
///
/// # Guarantees
/// - There is one per ring, across all processes; the kernel enforces it.
/// - A message whose publish returned is seen complete and in order by all readers. One that was not
///   published is never seen, complete or torn, even if this process dies.
/// - Publishing makes no system call, except to wake a reader that sleeps, to ask about a consumer that is a
///   whole ring behind, or, once in ten milliseconds at most, to ask whether the ring was removed.
/// - In a ring made with [`evict_after`](crate::endpoint::Builder::evict_after) no publish is held back by
///   consumers for longer than that: the producer then goes on without them.
///
/// # What others may change meanwhile
/// Consumers give space back at any time: a full ring may stop being full, and only this producer
/// fills it. The ring may be removed: publishing then fails with [`PublishError::Removed`](super::PublishError::Removed), at once where
/// the producer waits for room, and otherwise when it has written a sixteenth of the capacity, or 4 KiB if
/// that is more; until then, messages reach the readers that are still attached.
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
pub struct Producer {
    pub(super) core: Core,
    pub(super) canary: Canary,
    ring: Attachment,
    options: ProducerOptions,
    waker: Waker,
    /// A waker for each reader that has its own file, and so its own bell.
    seat_wakers: Vec<Waker>,
    /// How long one publish may be held back.
    evict_after: Option<Duration>,
    /// The account of how long the present publish has been held back.
    stalled: Option<Stall>,
    /// How many rows of dead consumers this call has freed.
    retired: u32,
    slept: bool,
    left: bool,
    /// The buffer for a message that is not written directly into the ring: a claim, if readers of this
    /// process share the producer's addresses, and any message with a stamp.
    pub(super) scratch: Vec<u8>,
    /// Whether messages begin with a stamp.
    pub(super) stamped: bool,
    /// The size of every message, where the ring has a schema.
    pub(super) fixed: Option<u32>,
    /// Whether untyped bytes take the slow path: messages have stamps or a fixed size, or the ring was
    /// removed.
    pub(super) special: bool,
    /// Whether typed messages take the slow path: messages have stamps, or the ring was removed.
    roundabout: bool,
    /// Whether the ring was removed, as far as this producer has asked.
    removed: bool,
    /// The position at which it asks again, and when it asked last.
    ask_at: u64,
    asked: Since,
    /// Freed last.
    _held: Held,
    one_thread: PhantomData<Cell<()>>,
}

shown!([] Producer, "Producer", |producer| path = producer.ring.path(), next_sequence = producer.next_sequence(), epoch = producer.epoch());

impl Producer {
    pub(crate) fn attach(ring: &Attachment, options: ProducerOptions) -> Result<Self, AttachError> {
        ring.undisturbed()?;
        if !ring.description().writable {
            return Err(AttachError::ReadOnly {
                path: ring.path().to_owned(),
            });
        }
        if !ring.segment().may_produce() {
            return Err(AttachError::Permission {
                path: ring.path().to_owned(),
            });
        }
        let held = ring.acquire_producer()?;
        let memory = ring.segment().writer()?;
        let waker = match memory.control() {
            Some(control) if options.membarrier => Waker::unfenced(&control.data)
                .map_err(|source| AttachError::Membarrier { source })?,
            Some(control) => {
                // The last producer's setting does not apply any more: this one fences.
                control.data.unfenced.store(0, Relaxed);
                Waker::default()
            }
            None => Waker::default(),
        };
        let mut core = Core::attach(memory, std::process::id()).map_err(AttachError::Corrupt)?;
        let evict_after = ring.evicts_after();
        for row in ring.taken_rows() {
            if let Some(_held) = ring.acquire_briefly(Role::Row(row))? {
                core.retire(row);
            }
        }
        if let Some(control) = core.memory().control() {
            if options.strategy.parks() {
                bell::allow(&control.space);
            } else {
                control.space.may_park.store(0, Relaxed);
            }
            bell::quiet(&control.data, || ring.anyone_may_park());
            // Wakes readers that slept through the last producer's death, so that they see the new one.
            bell::ring_now(&control.data);
        }
        let mut seat_wakers = Vec::new();
        for seat in core.memory().seats() {
            bell::ring_now(&seat.data);
            seat_wakers.push(Waker::default());
        }
        Ok(Self {
            core,
            canary: ring.canary(),
            ring: ring.clone(),
            options,
            waker,
            seat_wakers,
            evict_after,
            stalled: None,
            retired: 0,
            slept: false,
            left: false,
            scratch: Vec::new(),
            stamped: ring.stamps(),
            fixed: ring.schema().map(Schema::bytes),
            special: ring.stamps() || ring.schema().is_some(),
            roundabout: ring.stamps(),
            removed: false,
            ask_at: 0,
            asked: Since::default(),
            _held: held,
            one_thread: PhantomData,
        })
    }

    /// Returns `true` if something happened to the process that a call has to check.
    #[inline(always)]
    pub(super) fn disturbed(&self) -> bool {
        self.canary.disturbed()
    }

    /// Checks that a message of this many bytes fits the schema, if the ring has one.
    fn fits(&self, len: usize) -> Result<(), Unfit> {
        match self.fixed {
            Some(expected) if len != expected as usize => Err(Unfit { len, expected }),
            _ => Ok(()),
        }
    }

    /// Calls with the bytes that go into the ring: these, behind a stamp where messages have one.
    #[inline]
    pub(super) fn stamping<R>(
        &mut self,
        payload: &[u8],
        publish: impl FnOnce(&mut Self, &[u8]) -> R,
    ) -> R {
        if !self.stamped {
            return publish(self, payload);
        }
        let mut whole = core::mem::take(&mut self.scratch);
        whole.clear();
        whole.extend_from_slice(&now().to_le_bytes());
        whole.extend_from_slice(payload);
        let result = publish(self, &whole);
        self.scratch = whole;
        result
    }

    /// Bytes in front of the caller's bytes.
    #[inline(always)]
    pub(super) fn prefix(&self) -> usize {
        if self.stamped {
            STAMP
        } else {
            0
        }
    }

    /// Allocates the buffer for a claim that cannot be written in place. It keeps the bytes of an earlier
    /// claim.
    #[inline(always)]
    pub(super) fn provide_scratch(&mut self, len: usize) {
        if self.scratch.len() < len {
            self.grow_scratch(len);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow_scratch(&mut self, len: usize) {
        self.scratch.resize(len, 0);
    }

    /// Writes the stamp of the message that is about to be committed.
    #[cold]
    #[inline(never)]
    pub(super) fn stamp_scratch(&mut self) {
        if let Some(stamp) = self.scratch.first_chunk_mut::<STAMP>() {
            *stamp = now().to_le_bytes();
        }
    }

    /// Where the next frame begins.
    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        self.core.position()
    }

    /// Returns the sequence of the next message.
    #[inline(always)]
    pub fn next_sequence(&self) -> u64 {
        self.core.sequence()
    }

    /// Returns how many producers the ring has had, this one included.
    pub fn epoch(&self) -> u64 {
        self.core.epoch()
    }

    /// Returns how often a consumer's row claimed a position it cannot have. Above zero, some process that
    /// may write `control` does not follow the protocol; the claims were ignored.
    pub fn violations(&self) -> u64 {
        self.core.violations()
    }

    /// Returns how many times this producer woke readers that slept, or said that they did. It does not
    /// grow while no reader sleeps. Useless wakes are limited even if a hostile reader keeps asking for
    /// them.
    pub fn wakes(&self) -> u64 {
        let seats: u64 = self.seat_wakers.iter().map(Waker::wakes).sum();
        self.waker.wakes() + seats
    }

    /// Closes the ring: readers get everything published so far, and then the end. A later producer
    /// may open it again.
    pub fn close(self) {
        drop(self);
    }

    /// Leaves the ring open: readers wait for the next producer.
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
        for seat in self.core.memory().seats() {
            bell::ring_now(&seat.data);
        }
    }

    #[inline(always)]
    pub(super) fn undisturbed(&self) -> Result<(), Interrupted> {
        if self.canary.disturbed() {
            self.look_into_it()
        } else {
            Ok(())
        }
    }

    /// The check at the beginning of every call that may have to make room: as
    /// [`undisturbed`](Self::undisturbed), and also that the ring is not removed, if the stream has gone on
    /// by a part of the capacity and some milliseconds have passed. Every message that ends a block comes
    /// here.
    #[cold]
    fn begin(&mut self) -> Result<(), Interrupted> {
        self.retired = 0;
        self.undisturbed()?;
        let position = self.core.position();
        if position >= self.ask_at {
            self.ask_at = position + self.ring.capacity_bytes() / ASK_EVERY_PART;
            if self.asked.due() {
                self.look_at_files();
            }
        }
        if self.removed {
            return Err(Interrupted::Removed);
        }
        Ok(())
    }

    /// Asks whether the ring was removed, and remembers it.
    fn look_at_files(&mut self) -> Option<Trouble> {
        let trouble = self.ring.trouble();
        self.removed = trouble == Some(Trouble::Removed);
        self.roundabout = self.stamped || self.removed;
        self.special = self.roundabout || self.fixed.is_some();
        trouble
    }

    #[cold]
    fn look_into_it(&self) -> Result<(), Interrupted> {
        disturbance(self.canary, self.core.memory())
    }

    #[inline(always)]
    pub(super) fn ring_data(&mut self) {
        if let Some(control) = self.core.memory().control() {
            self.waker.ring(&control.data);
        } else {
            self.ring_seats();
        }
    }

    /// Wakes each reader by its own bell, which only the reader and this producer can write.
    #[inline(never)]
    fn ring_seats(&mut self) {
        for (seat, waker) in self.core.memory().seats().zip(&mut self.seat_wakers) {
            waker.ring(&seat.data);
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
