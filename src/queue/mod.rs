//! Message queues: many senders, many receivers, each message to exactly one of them.
//!
//! Layer 7. A queue is a directory with a segment of its own (receivers hold its rows and sleep on its
//! bell; its board lists the lanes) and one ring per sender and priority in it, a *lane*, whose board holds
//! the take words (`ring::take`). Nothing else is shared, so a sender that dies leaves a lane that its
//! successor takes over like any ring, and a receiver that dies leaves take words that name it, which the
//! next process that finds its row free returns.

mod builder;
mod delivery;
mod error;
#[cfg(feature = "async")]
mod event;
mod found;
mod lane;
mod receiver;
mod sender;
mod status;

pub use builder::QueueBuilder;
pub use delivery::Delivery;
pub(crate) use delivery::Taking;
pub use error::{AckError, Holder, SendError, TakeError};
pub(crate) use lane::depth_of_lane;
use lane::{lane_builder, lane_capacity, name_of_lane};
pub use receiver::Receiver;
pub use sender::Sender;
pub use status::{HeldMessage, QueueStatus, ReceiverEntry};

use crate::attach::{shown, Attachment};
use crate::endpoint::{look_until, options, AttachError, Builder, Difference, StatusError};
use crate::layout::form::Form;
use crate::layout::queue::QueueNumbers;
use crate::ring::lanes;
use crate::ring::take;
use crate::segment::{CreateError, Location, MappingOptions, OpenError, Place, RemoveError, Role};
use crate::wait::Deadline;
use std::path::Path;
use std::time::Duration;

pub use crate::ring::lanes::PRIORITIES;

/// A message queue this process has open. Cheap to clone.
///
/// # Guarantees
/// - A message whose send returned goes to exactly one receiver that acknowledges it. If a receiver dies
///   before that, gives the message back, or holds it for longer than the [lease](QueueBuilder::lease), if there is
///   one, another receiver gets it, marked as [`redelivered`](Delivery::redelivered). An acknowledged message is
///   never delivered again.
/// - Higher priorities first; within one priority, the messages of one sender in order. Redelivered
///   messages may come out of order.
/// - Bounded: each sender can be [`depth`](Self::depth) messages ahead, per priority, or as many as fit into a lane whose
///   [bytes are bounded](QueueBuilder::lane_bytes). A send into a full lane waits or fails; no message is lost.
/// - No death of a sender or a receiver blocks the others.
///
/// # What others may change meanwhile
/// Senders and receivers come and go at any time, in any process. The sizes never change.
///
/// ```
/// use slipring::Queue;
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("jobs");
/// let queue = Queue::builder(&path).depth(64).max_message_bytes(256).create()?;
/// let mut sender = queue.sender()?;
/// let mut receiver = queue.receiver()?;
///
/// sender.send(b"sweep the yard")?;
/// sender.send_with_priority(b"put out the fire", 7)?;
///
/// let job = receiver.receive()?;
/// assert_eq!(&*job, b"put out the fire");
/// job.ack()?;
/// drop(receiver.receive()?); // not acknowledged: it goes back
/// let job = receiver.receive()?;
/// assert_eq!((&*job, job.redelivered()), (&b"sweep the yard"[..], true));
/// job.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Queue {
    attachment: Attachment,
    location: Location,
}

options! {
    /// How a sender of a queue behaves.
    SenderOptions { strategy }
}
options! {
    /// How a receiver of a queue or of a mailbox behaves.
    ReceiverOptions { strategy, read_policy }
}

shown!([] Queue, "Queue", |queue| path = queue.path());

impl Queue {
    /// The queue inside another form that is open already.
    pub(crate) fn opened(attachment: Attachment, parent: &Location, name: &str) -> Self {
        Self {
            attachment,
            location: parent.child(name),
        }
    }

    /// How many receivers are alive.
    pub(crate) fn live_receivers(&self) -> u32 {
        self.attachment.live_rows()
    }

    /// Describes a new queue at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> QueueBuilder {
        let place = place.into();
        QueueBuilder::new(Builder::of(&place), place.location())
    }

    /// Opens the queue at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_location(place.into().location()?)
    }

    /// Like [`open`](Self::open), waiting until there is a queue at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open(&place))
    }

    pub(crate) fn open_location(location: Location) -> Result<Self, OpenError> {
        let attachment = Attachment::open_form(&location, MappingOptions::default(), Form::Queue)?;
        Ok(Self {
            attachment,
            location,
        })
    }

    /// Removes the queue at a place, with everything in it.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a receiver is attached, or a sender that has sent; one that has not sent yet
    /// holds nothing, and its first message fails with [`SendError::Removed`]. [`OpenError::Form`] if it is not a queue.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Queue)
    }

    /// Becomes a sender: takes over a lane whose sender is gone, or makes one at the first send.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn sender(&self) -> Result<Sender, AttachError> {
        self.sender_with(SenderOptions::default())
    }

    /// Like [`sender`](Self::sender), with options.
    ///
    /// # Errors
    /// As [`sender`](Self::sender).
    pub fn sender_with(&self, options: SenderOptions) -> Result<Sender, AttachError> {
        Sender::attach(self, options)
    }

    /// Becomes a receiver. First returns the messages of receivers that died.
    ///
    /// # Errors
    /// [`AttachError::NoRow`] if there are as many receivers as there can be.
    pub fn receiver(&self) -> Result<Receiver, AttachError> {
        self.receiver_with(ReceiverOptions::default())
    }

    /// Like [`receiver`](Self::receiver), with options.
    ///
    /// # Errors
    /// As [`receiver`](Self::receiver).
    pub fn receiver_with(&self, options: ReceiverOptions) -> Result<Receiver, AttachError> {
        Receiver::attach(self, options)
    }

    /// Returns how many messages each sender can be ahead, per priority.
    pub fn depth(&self) -> u32 {
        self.numbers().depth
    }

    /// Returns the size of the largest message, in bytes.
    pub fn max_message_bytes(&self) -> u32 {
        self.numbers().message_bytes
    }

    /// Returns for how long a live receiver may hold a message, if there is a limit: see
    /// [`QueueBuilder::lease`].
    pub fn lease(&self) -> Option<Duration> {
        self.numbers().lease()
    }

    /// Returns how many bytes of messages, each with its frame of 8 bytes, a lane has room for: see
    /// [`QueueBuilder::lane_bytes`].
    pub fn lane_capacity(&self) -> u64 {
        lane_capacity(self.numbers())
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.attachment.differences()
    }

    /// Returns the memory of each lane, in bytes. Each sender takes a lane for each priority it uses.
    pub fn lane_bytes(&self) -> u64 {
        let lane = Builder::inside(&self.location, "lane");
        // Was checked when the queue was made.
        lane_builder(lane, self.numbers())
            .segment_bytes()
            .unwrap_or(0)
    }

    /// Returns `true` once the queue was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.attachment.is_removed()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.attachment.path()
    }

    /// Returns the settings, and the content at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`]; [`StatusError::Open`] if a lane
    /// cannot be opened, with [`OpenError::Permission`] for users who may not receive.
    pub fn status(&self) -> Result<QueueStatus, StatusError> {
        self.attachment.looked_into(|| self.state())
    }

    fn state(&self) -> Result<QueueStatus, StatusError> {
        self.expect_rows()?;
        let mut status = QueueStatus {
            depth: self.depth(),
            max_message_bytes: self.max_message_bytes(),
            waiting: 0,
            held: 0,
            senders: 0,
            lanes: 0,
            receivers: self.attachment.live_rows(),
            lease: self.lease(),
            lane_bytes: self.lane_bytes(),
            lane_capacity: self.lane_capacity(),
        };
        for (number, _) in lanes::listed(self.attachment.segment().reader()) {
            let lane = self.look_at_lane(number)?;
            let (waiting, held) = take::census(lane.segment().reader());
            status.waiting += waiting;
            status.held += held;
            status.lanes += 1;
            status.senders += u32::from(lane.is_held(Role::Producer) == Some(true));
        }
        Ok(status)
    }

    /// Returns the receivers there are, and dead ones that still hold something, in order of their rows.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn receivers(&self) -> Result<Vec<ReceiverEntry>, StatusError> {
        self.attachment.looked_into(|| self.entries())
    }

    fn entries(&self) -> Result<Vec<ReceiverEntry>, StatusError> {
        self.expect_rows()?;
        let mut held = vec![(0, None::<HeldMessage>); self.attachment.max_readers() as usize];
        for (number, _) in lanes::listed(self.attachment.segment().reader()) {
            let lane = self.look_at_lane(number)?;
            take::held(lane.segment().reader(), |row, sequence| {
                let Some((count, oldest)) = held.get_mut(row as usize) else {
                    return;
                };
                *count += 1;
                // The oldest of a lane is the last that is shown.
                if oldest.is_none_or(|oldest| oldest.lane == number) {
                    let lane = number;
                    *oldest = Some(HeldMessage { lane, sequence });
                }
            });
        }
        let taken: Vec<u32> = self.attachment.taken_rows().collect();
        let rows = (0..).zip(held);
        let entries = rows.filter_map(|(row, (held, oldest))| {
            let alive =
                taken.contains(&row) && self.attachment.is_held(Role::Row(row)) != Some(false);
            (alive || held > 0).then(|| ReceiverEntry {
                row,
                pid: self.attachment.pid_of_row(row),
                held,
                oldest,
                alive,
            })
        });
        Ok(entries.collect())
    }

    /// Checks that this user may use the words that receivers share.
    fn expect_rows(&self) -> Result<(), OpenError> {
        match self.attachment.may_consume() {
            true => Ok(()),
            false => Err(OpenError::Permission {
                path: self.path().join("control"),
            }),
        }
    }

    fn numbers(&self) -> QueueNumbers {
        QueueNumbers::of(self.attachment.segment().description().parameters)
    }

    /// Makes a new lane of this priority, or takes one whose maker died before it listed it. If another
    /// sender becomes its producer first, the caller tries again.
    fn add_lane(&self, priority: u8) -> Result<Option<(u32, Attachment)>, CreateError> {
        let memory = self.attachment.segment().reader();
        for number in lanes::unused(memory) {
            let builder =
                Builder::inside(&self.location, &name_of_lane(number)).like(&self.attachment)?;
            let lane = lane_builder(builder, self.numbers()).make_or_open()?;
            self.attachment.in_place()?;
            if lanes::list(memory, number, priority) {
                return Ok(Some((number, lane)));
            }
        }
        Ok(None)
    }

    fn open_lane(&self, number: u32) -> Result<Attachment, OpenError> {
        self.open_lane_with(number, MappingOptions::default())
    }

    /// Opens a lane for a short inspection.
    fn look_at_lane(&self, number: u32) -> Result<Attachment, OpenError> {
        let mapping = MappingOptions {
            populate: false,
            ..MappingOptions::default()
        };
        self.open_lane_with(number, mapping)
    }

    fn open_lane_with(
        &self,
        number: u32,
        mapping: MappingOptions,
    ) -> Result<Attachment, OpenError> {
        let location = self.location.child(&name_of_lane(number));
        let lane = Attachment::open_form(&location, mapping, Form::Lane)?;
        self.attachment.in_place()?;
        Ok(lane)
    }

    /// Unlists a lane if it is empty and has no owner. Returns `true` if it did.
    fn retire_lane(&self, number: u32, lane: &Attachment) -> bool {
        let memory = lane.segment().reader();
        if lane.is_held(Role::Producer) != Some(false) || !take::is_empty(memory) {
            return false;
        }
        // While this is held, no sender can take the lane.
        let Ok(Some(_held)) = lane.acquire_briefly(Role::Producer) else {
            return false;
        };
        let empty = take::is_empty(memory);
        if empty {
            lanes::unlist(self.attachment.segment().reader(), number);
        }
        empty
    }
}
