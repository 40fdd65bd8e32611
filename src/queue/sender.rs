//! The sending side of a queue.
//!
//! Layer 7. A sender owns one lane per priority it uses: it is the producer of that ring, and keeps the
//! consumer that stands in for all receivers. The fast path is that of a plain ring and one comparison.

use super::error::{Holder, SendError};
use super::SenderOptions;
use super::{Queue, PRIORITIES};
use crate::attach::{shown, Attachment};
use crate::endpoint::{AttachError, Producer, ProducerOptions, TryPublishError};
use crate::layout::lines::Bell;
use crate::ring::lanes;
use crate::ring::take::{is_empty, return_all, Keeper, KEEPER_ROW};
use crate::ring::Corrupt;
use crate::segment::{Canary, Held, Role};
use crate::wait::{until, Deadline, Outcome, Since, Waited, Waker};
use std::marker::PhantomData;

/// Puts messages into a queue.
///
/// # Guarantees
/// - A message whose send returned is in the queue, even if this process dies afterwards. If the process
///   dies during the send, the message is in the queue completely or not at all.
/// - Sending makes no system call, except to wake a receiver that sleeps, or in a full lane to ask
///   whether the receiver that holds the oldest message is alive.
///
/// # What others may change meanwhile
/// Receivers make room at any time.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use slipring::queue::SendError;
/// use slipring::Queue;
///
/// let queue = Queue::builder(scratch.path().join("jobs")).depth(2).create()?;
/// let mut sender = queue.sender()?;
/// sender.send(b"one")?;
/// sender.send(b"two")?;
/// assert!(matches!(sender.try_send(b"three"), Err(SendError::Full { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sender {
    lanes: [Option<Box<Lane>>; PRIORITIES as usize],
    /// The queue's bell, where receivers sleep.
    waker: Waker,
    max: u32,
    canary: Canary,
    queue: Queue,
    options: SenderOptions,
    /// When it last looked for messages of dead receivers.
    asked: Since,
    one_thread: PhantomData<std::cell::Cell<()>>,
}

shown!([] Sender, "Sender", |sender| path = sender.queue.path());

/// Turns of a spin loop, one or two microseconds, before a sender looks again for room.
const BREATHER: u32 = 64;

/// A lane this sender owns.
#[derive(Debug)]
struct Lane {
    producer: Producer,
    keeper: Keeper,
    attachment: Attachment,
    slept: bool,
    /// Freed last.
    _row: Held,
}

impl Sender {
    pub(super) fn attach(queue: &Queue, options: SenderOptions) -> Result<Self, AttachError> {
        queue.attachment.undisturbed()?;
        queue.attachment.locks()?;
        Ok(Self {
            lanes: [const { None }; PRIORITIES as usize],
            waker: Waker::default(),
            max: queue.max_message_bytes(),
            canary: queue.attachment.canary(),
            queue: queue.clone(),
            options,
            asked: Since::default(),
            one_thread: PhantomData,
        })
    }

    /// Sends a message at priority 0, waiting while the lane is full. Returns its number among all
    /// messages that were ever sent in the lane.
    ///
    /// # Errors
    /// [`SendError`], but neither `Full` nor `TimedOut`.
    #[inline(always)]
    pub fn send(&mut self, message: &[u8]) -> Result<u64, SendError> {
        self.send_until(message, 0, Deadline::NEVER)
    }

    /// Sends a message at a priority from 0 to 7, the highest, waiting while the lane is full.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_with_priority(&mut self, message: &[u8], priority: u8) -> Result<u64, SendError> {
        self.send_until(message, priority, Deadline::NEVER)
    }

    /// Sends a message at a priority, waiting until a deadline while the lane is full.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::TimedOut`]; nothing was sent then.
    #[inline(always)]
    pub fn send_until(
        &mut self,
        message: &[u8],
        priority: u8,
        deadline: impl Into<Deadline>,
    ) -> Result<u64, SendError> {
        match self.send_at_once(message, priority) {
            Some(number) => Ok(number),
            None => self.send_slowly(message, priority, deadline.into()),
        }
    }

    /// The fast path: an owned lane with a free take word and room.
    #[inline(always)]
    fn send_at_once(&mut self, message: &[u8], priority: u8) -> Option<u64> {
        let lane = self.lanes.get_mut(usize::from(priority))?.as_mut()?;
        if message.len() > self.max as usize || !lane.keeper.has_word(lane.producer.next_sequence())
        {
            return None;
        }
        let number = lane.producer.publish_at_once(message)?;
        lane.keeper.sent(number, lane.producer.position());
        if let Some(control) = self.queue.attachment.segment().reader().control() {
            self.waker.ring(&control.data);
        }
        Some(number)
    }

    /// Sends a message at priority 0 if there is room.
    ///
    /// # Errors
    /// [`SendError::Full`] with the receiver that holds the oldest message.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<u64, SendError> {
        self.try_send_with_priority(message, 0)
    }

    /// Like [`try_send`](Self::try_send), at a priority.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[inline(always)]
    pub fn try_send_with_priority(
        &mut self,
        message: &[u8],
        priority: u8,
    ) -> Result<u64, SendError> {
        match self.send_at_once(message, priority) {
            Some(number) => Ok(number),
            None => self.try_send_slowly(message, priority),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_send_slowly(&mut self, message: &[u8], priority: u8) -> Result<u64, SendError> {
        // A fork does not have the memory.
        if self.canary.forked() {
            return Err(SendError::Forked);
        }
        if message.len() > self.max as usize {
            return Err(SendError::TooLarge {
                len: message.len(),
                max: self.max,
            });
        }
        if !matches!(self.lanes.get(usize::from(priority)), Some(Some(_))) {
            self.open(priority)?;
        }
        let Some(Some(lane)) = self.lanes.get_mut(usize::from(priority)) else {
            return Err(SendError::NoLane);
        };
        let mut sent = lane.try_send(message, &self.queue);
        // Done at intervals by a wait; here for callers whose waits are too short for that.
        if matches!(sent, Err(SendError::Full { .. })) && self.asked.due() {
            if lane.look_after_the_dead(&self.queue) {
                return Err(self.queue.attachment.trouble_found().into());
            }
            sent = lane.try_send(message, &self.queue);
        }
        let sequence = sent?;
        if let Some(control) = self.queue.attachment.segment().reader().control() {
            self.waker.ring(&control.data);
        }
        Ok(sequence)
    }

    #[cold]
    #[inline(never)]
    fn send_slowly(
        &mut self,
        message: &[u8],
        priority: u8,
        deadline: Deadline,
    ) -> Result<u64, SendError> {
        let mut outcome = Outcome::Ready;
        loop {
            match self.try_send_slowly(message, priority) {
                Err(SendError::Full { holder }) if outcome == Outcome::TimedOut => {
                    return Err(SendError::TimedOut { holder })
                }
                Err(SendError::Full { .. }) => outcome = self.wait_for_room(priority, deadline)?,
                result => return result,
            }
        }
    }

    /// The lanes that it has.
    #[cfg(feature = "async")]
    pub(super) fn lanes(&self) -> impl Iterator<Item = &crate::segment::Memory> {
        let lanes = self.lanes.iter().flatten();
        lanes.map(|lane| lane.attachment.segment().reader())
    }

    /// Returns `true` if it ever sleeps.
    #[cfg(feature = "async")]
    pub(super) fn parks(&self) -> bool {
        self.options.strategy.parks()
    }

    fn wait_for_room(&mut self, priority: u8, deadline: Deadline) -> Result<Outcome, SendError> {
        let strategy = self.options.strategy;
        let queue = self.queue.clone();
        let lane = match self.lanes.get_mut(usize::from(priority)) {
            Some(Some(lane)) => lane,
            _ => self.open(priority)?,
        };
        let memory = lane.attachment.segment().reader().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.space);
        // Each look takes a cache line away from the receivers and slows them down. So the sender pauses,
        // and then releases the space of many messages at once.
        for _ in 0..BREATHER {
            crate::sync::spin_hint();
        }
        let mut slept = lane.slept;
        let mut room = Room {
            queue,
            lane,
            again: false,
        };
        let outcome = until(&mut room, strategy, bell, deadline, &mut slept);
        room.lane.slept = slept;
        match outcome {
            Outcome::Gone => Err(self.queue.attachment.trouble_found().into()),
            outcome => Ok(outcome),
        }
    }

    /// Becomes the owner of a lane of this priority.
    #[cold]
    fn open(&mut self, priority: u8) -> Result<&mut Lane, SendError> {
        let queue = self.queue.clone();
        self.open_any(priority).map_err(|error| match error {
            // A lane that is missing may be missing because the whole queue is.
            SendError::Attach(error) => queue.attachment.explain(error).into(),
            SendError::Create(_) if queue.attachment.is_unnamed() => SendError::Removed,
            error => error,
        })
    }

    /// Like [`open`](Self::open): takes a lane that a sender left, or a new one.
    fn open_any(&mut self, priority: u8) -> Result<&mut Lane, SendError> {
        if priority >= PRIORITIES {
            return Err(SendError::Priority { priority });
        }
        if self.canary.forked() {
            return Err(SendError::Forked);
        }
        let memory = self.queue.attachment.segment().reader().clone();
        let of_ours = lanes::listed(&memory).filter(|(_, of)| *of == priority);
        let known: Vec<u32> = of_ours.map(|(number, _)| number).collect();
        // A damaged or truncated lane is passed over as long as there is another.
        let mut refused = None;
        for number in known.into_iter().chain(lanes::idle(&memory, priority)) {
            match self.take_over(number) {
                Ok(Some(lane)) => return Ok(self.begin(number, lane, priority)),
                Ok(None) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        while let Some((number, attachment)) = self.queue.add_lane(priority)? {
            // A sender that looked for a lane may have been faster.
            if let Some(lane) = Lane::own(&self.queue.attachment, attachment, self.options)? {
                return Ok(self.begin(number, lane, priority));
            }
        }
        // The last resort: lanes of other priorities that no receiver has found empty yet.
        for (number, _) in lanes::listed(&memory) {
            if let Ok(Some(lane)) = self.take_over(number) {
                if is_empty(lane.attachment.segment().reader()) {
                    return Ok(self.begin(number, lane, priority));
                }
            }
        }
        Err(refused.unwrap_or(SendError::NoLane))
    }

    /// Becomes the owner of an existing lane; `None` if another process owns it.
    fn take_over(&self, number: u32) -> Result<Option<Box<Lane>>, SendError> {
        let attachment = self.queue.open_lane(number)?;
        Ok(Lane::own(&self.queue.attachment, attachment, self.options)?)
    }

    /// Announces a lane to receivers before it is used. A lane that is listed already is announced too: its
    /// last owner may have died before it announced it, and a receiver may have found it empty meanwhile.
    fn begin(&mut self, number: u32, lane: Box<Lane>, priority: u8) -> &mut Lane {
        let memory = self.queue.attachment.segment().reader();
        lanes::own(memory, number, priority);
        if let Some(control) = memory.control() {
            crate::wait::bell::ring_now(&control.data);
        }
        self.lanes[usize::from(priority)].insert(lane)
    }
}

impl Lane {
    /// Becomes the producer and the keeper of a lane; `None` if a live process is.
    fn own(
        queue: &Attachment,
        attachment: Attachment,
        options: SenderOptions,
    ) -> Result<Option<Box<Self>>, AttachError> {
        let producer = match Producer::attach(
            &attachment,
            ProducerOptions::new().strategy(options.strategy),
        ) {
            Ok(producer) => producer,
            Err(AttachError::AlreadyOwned { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The process that had both roles may be dying: the kernel releases its locks one after the other.
        let Some(held) = attachment.acquire(Role::Row(KEEPER_ROW))? else {
            producer.detach();
            return Ok(None);
        };
        let keeper = Keeper::attach(attachment.segment().reader().clone());
        let keeper = keeper.map_err(AttachError::Corrupt)?;
        // Who removes the queue may have looked for its lanes before there was this one.
        queue.confirm()?;
        Ok(Some(Box::new(Self {
            producer,
            keeper,
            attachment,
            slept: false,
            _row: held,
        })))
    }

    #[inline(always)]
    fn try_send(&mut self, message: &[u8], queue: &Queue) -> Result<u64, SendError> {
        loop {
            if self.keeper.has_word(self.producer.next_sequence()) {
                match self.producer.try_publish(message) {
                    Ok(number) => {
                        self.keeper.sent(number, self.producer.position());
                        return Ok(number);
                    }
                    Err(TryPublishError::Full { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if self.keeper.reclaim(self.producer.next_sequence()) == 0 {
                let (_, row) = self.keeper.oldest();
                let holder = row.map(|row| Holder {
                    row,
                    pid: queue.attachment.pid_of_row(row),
                });
                return Err(SendError::Full { holder });
            }
        }
    }

    /// Returns the messages of the receiver that holds the oldest one to the lane, if that receiver is
    /// dead. The result is `true` if a file went away.
    fn look_after_the_dead(&mut self, queue: &Queue) -> bool {
        if let (_, Some(holder)) = self.keeper.oldest() {
            // While this is held, no receiver can take the row.
            if let Ok(Some(_held)) = queue.attachment.acquire_briefly(Role::Row(holder)) {
                let returned = return_all(self.attachment.segment().reader(), holder);
                let control = queue.attachment.segment().reader().control();
                if let (true, Some(control)) = (returned > 0, control) {
                    crate::wait::bell::ring_now(&control.data);
                }
            }
        }
        queue.attachment.trouble().is_some() || self.attachment.trouble().is_some()
    }
}

/// Waiting for a message to be done.
struct Room<'l> {
    queue: Queue,
    lane: &'l mut Lane,
    /// Whether to try once more: room may have come from elsewhere, such as the row of a dead owner.
    again: bool,
}

impl Waited for Room<'_> {
    fn ready(&mut self) -> bool {
        let next = self.lane.producer.next_sequence();
        self.lane.keeper.reclaim(next) > 0 || self.again
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.again = true;
        self.lane.look_after_the_dead(&self.queue)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.attachment.canary().forked() {
            // Unfinished messages stay; the next owner of the lane keeps them again.
            self.keeper.leave();
        }
    }
}

impl From<Corrupt> for SendError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Attach(AttachError::Corrupt(corrupt))
    }
}
