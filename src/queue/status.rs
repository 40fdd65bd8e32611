//! What is said of a queue and of its receivers at some moment.
//!
//! Layer 7. Plain data.

use std::time::Duration;

/// The settings of a queue, and its content at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// How many messages each sender can be ahead, per priority.
    pub depth: u32,
    /// The largest message, in bytes.
    pub max_message_bytes: u32,
    /// Messages that wait for a receiver.
    pub waiting: u64,
    /// Messages that a receiver has taken and neither acknowledged nor given back.
    pub held: u64,
    /// Lanes whose sender is alive.
    pub senders: u32,
    /// Lanes that are in use: they have an owner or messages, or are among the few that receivers keep
    /// open.
    pub lanes: u32,
    /// Receivers that are alive.
    pub receivers: u32,
    /// For how long a live receiver may hold a message; `None` for any time.
    pub lease: Option<Duration>,
    /// The memory of each lane, in bytes. Each sender takes a lane for each priority it uses.
    pub lane_bytes: u64,
    /// How many of those are for messages, each with its frame of 8 bytes.
    pub lane_capacity: u64,
}

/// A receiver of a queue at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverEntry {
    /// The row it holds, as [`Holder::row`](super::Holder::row) and [`Receiver::row`](super::Receiver::row) say it.
    pub row: u32,
    /// Its process, in its own process namespace.
    pub pid: u32,
    /// Messages that it has taken and neither acknowledged nor given back.
    pub held: u64,
    /// The oldest of those, if it holds any; of the lane with the lowest number, as each lane counts for itself.
    pub oldest: Option<HeldMessage>,
    /// Whether it is alive. The messages of a dead one return as soon as another process finds it dead.
    pub alive: bool,
}

/// A message that a receiver holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldMessage {
    /// Its lane, as [`Delivery::lane`](super::Delivery::lane) says it.
    pub lane: u32,
    /// Its number in the lane, as [`Delivery::sequence`](super::Delivery::sequence) says it.
    pub sequence: u64,
}
