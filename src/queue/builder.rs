//! The settings of a new queue, and making it.
//!
//! Layer 7. What a lane will be is checked here, so that no setting fails with the first send.

use super::lane::{depth_of_lane, lane_builder, lane_capacity, smallest_lane};
use super::Queue;
use crate::attach::Attachment;
use crate::endpoint::Builder;
use crate::layout::form::Form;
use crate::layout::geometry::{GeometryError, MAX_CAPACITY};
use crate::layout::queue::{QueueNumbers, MAX_LEASE, MIN_LEASE};
use crate::ring::lanes::{board_words, MAX_LANES};
use crate::segment::{CreateError, Location, NameError, OpenError};
use std::time::Duration;

/// The settings of a new queue. Made by [`Queue::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct QueueBuilder {
    inner: Builder,
    location: Result<Location, NameError>,
    depth: u32,
    message_bytes: u32,
    receivers: u32,
    lease: Duration,
    lane_bytes: Option<u64>,
}

impl QueueBuilder {
    pub(super) fn new(inner: Builder, location: Result<Location, NameError>) -> Self {
        Self {
            inner,
            location,
            depth: 1024,
            message_bytes: 1024,
            receivers: 64,
            lease: Duration::ZERO,
            lane_bytes: None,
        }
    }

    /// Sets how many messages each sender can be ahead of the receivers, per priority; 1024 by default,
    /// 1 to 65,536, rounded up to a power of two of at least 2.
    pub fn depth(mut self, messages: u32) -> Self {
        self.depth = messages;
        self
    }

    /// Sets the size of the largest message, in bytes; 1024 by default. With the depth it decides how much
    /// memory a lane takes, which each sender takes for each priority, with its first message there: see
    /// [`lane_bytes`](Queue::lane_bytes()) of the queue, and [`lane_bytes`](Self::lane_bytes) here for less.
    pub fn max_message_bytes(mut self, bytes: u32) -> Self {
        self.message_bytes = bytes;
        self
    }

    /// Sets how many receivers can be attached at once; 64 by default, 1 to 1024.
    pub fn max_receivers(mut self, receivers: u32) -> Self {
        self.receivers = receivers;
        self
    }

    /// Bounds the bytes of messages that a lane holds; by default it has room for as many of the largest as it is deep.
    /// A power of two, at least 4096 and four times the largest message with its frame of 8 bytes, of which the length
    /// is rounded up to 8. A bound above what the depth needs changes nothing.
    ///
    /// A lane is then full when it has as many messages as it is deep, or as many bytes: it may hold fewer large messages
    /// than the depth says, and a send fails with [`SendError::Full`](crate::queue::SendError::Full), or waits, as it does at the depth. Part of
    /// the end of a lane, less than a message, may stay unused.
    ///
    /// ```
    /// use slipring::{queue::SendError, Queue};
    ///
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("jobs");
    /// let queue = Queue::builder(&path).depth(1024).max_message_bytes(64 << 10);
    /// let queue = queue.lane_bytes(1 << 20).create()?; // not 128 MiB
    /// let mut sender = queue.sender()?;
    /// for _ in 0..1024 {
    ///     sender.try_send(b"many small ones")?;
    /// }
    /// let mut other = queue.sender()?;
    /// let large = (0..1024).find(|_| other.try_send(&[0; 64 << 10]).is_err());
    /// assert!(large < Some(16));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lane_bytes(mut self, bytes: u64) -> Self {
        self.lane_bytes = Some(bytes);
        self
    }

    /// Sets for how long a live receiver may hold a message; none by default, and zero means none. From 1 millisecond to
    /// 30 days, in whole milliseconds, rounded up.
    ///
    /// A message that is not acknowledged within the lease goes back to the queue and to another receiver, marked as
    /// redelivered. The late acknowledgement then fails with [`AckError::Expired`](crate::queue::AckError::Expired). So a receiver that is stopped or
    /// hangs holds no message up, and what it does with the message can happen twice.
    ///
    /// The lease ends when another receiver has seen the message held for that long, by its own clock. It looks every
    /// quarter of the lease, at most every millisecond and at least every 100, while it waits, and about every 10
    /// milliseconds while it polls or always finds messages. While no other receiver does any of these, the lease does not end.
    /// Each message is copied to private memory when it is received, and its acknowledgement costs a full fence.
    ///
    /// ```
    /// use slipring::{queue::AckError, Queue};
    /// use std::time::Duration;
    ///
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("jobs");
    /// let queue = Queue::builder(&path).lease(Duration::from_millis(5)).create()?;
    /// queue.sender()?.send(b"sweep the yard")?;
    /// let (mut slow, mut other) = (queue.receiver()?, queue.receiver()?);
    ///
    /// let late = slow.receive()?;
    /// let job = other.receive()?; // after five milliseconds
    /// assert_eq!((&*job, job.tries()), (&b"sweep the yard"[..], 2));
    /// assert!(matches!(late.ack(), Err(AckError::Expired { .. })));
    /// job.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets who may receive, as the permission bits of a file; `0o600` by default. For group and others
    /// writing means receiving. Only the owner, and root, sends. The mode, the owner and the group hold for
    /// every lane, also for later ones.
    pub fn mode(mut self, mode: u32) -> Self {
        self.inner = self.inner.mode(mode);
        self
    }

    /// Creates the queue and opens it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring.
    pub fn create(self) -> Result<Queue, CreateError> {
        let location = self.location.clone()?;
        let attachment = self.described()?.make()?;
        Ok(Queue {
            attachment,
            location,
        })
    }

    /// Opens the queue if it exists, else creates it. An existing one keeps its own settings.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Queue, CreateError> {
        let location = self.location.clone()?;
        let attachment = self.described()?.make_or_open()?;
        Ok(Queue {
            attachment,
            location,
        })
    }

    fn described(self) -> Result<Builder, CreateError> {
        let lease_ms = QueueNumbers::milliseconds(self.lease);
        let mut numbers = QueueNumbers {
            depth: depth_of_lane(self.depth)?,
            message_bytes: self.message_bytes,
            lease_ms: lease_ms.ok_or(GeometryError::Lease {
                lease: self.lease,
                min: MIN_LEASE,
                max: MAX_LEASE,
            })?,
            lane_bits: 0,
        };
        if let Some(bytes) = self.lane_bytes {
            let min = smallest_lane(numbers.message_bytes);
            if !bytes.is_power_of_two() || !(min..=MAX_CAPACITY).contains(&bytes) {
                let max = MAX_CAPACITY;
                return Err(GeometryError::LaneBytes { bytes, min, max }.into());
            }
            if bytes < lane_capacity(numbers) {
                numbers.lane_bits = bytes.trailing_zeros() as u8;
            }
        }
        if lane_capacity(numbers) > MAX_CAPACITY {
            return Err(GeometryError::Lane {
                depth: self.depth,
                message_bytes: self.message_bytes,
                max: MAX_CAPACITY,
            }
            .into());
        }
        // Checked here, so that the error does not come with the first send.
        let lane = lane_builder(Builder::inside(&self.location.clone()?, "lane"), numbers);
        let lane_bytes = lane.segment_bytes()?;
        Ok(self
            .inner
            .headroom(lane_bytes)
            .capacity_bytes(4096)
            .max_readers(self.receivers)
            .form(Form::Queue, board_words(MAX_LANES), numbers.packed()))
    }
}

impl QueueBuilder {
    /// Describes a new queue inside another form.
    pub(crate) fn inside(parent: &Location, name: &str) -> Self {
        Self::new(Builder::inside(parent, name), Ok(parent.child(name)))
    }

    /// For the same users as the form inside which it will lie.
    pub(crate) fn like(mut self, outer: &Attachment) -> Result<Self, CreateError> {
        self.inner = self.inner.like(outer)?;
        Ok(self)
    }

    /// Opens the queue, or creates it if it does not exist yet.
    pub(crate) fn open_or_create(self) -> Result<Queue, CreateError> {
        match Queue::open_location(self.location.clone()?) {
            Err(OpenError::NotFound { .. }) => self.create_or_open(),
            opened => Ok(opened?),
        }
    }

    /// The ring that such a queue is.
    pub(crate) fn into_builder(self) -> Result<Builder, CreateError> {
        self.described()
    }
}
