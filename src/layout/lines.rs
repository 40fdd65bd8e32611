//! The shared structs, each defined once, out of the atomics of `sync`.
//!
//! Layer 1. One writer per line, said in the first words of each field. In the native build the
//! structs are `repr(C)` and asserted to the byte; the model build has the same structs with the
//! model's own sizes.

use crate::sync::{AtomicU32, AtomicU64, FutexWord, MODELLED};

/// Page 1 of `stream`: what the producer tells all readers. Written by the producer only.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ProducerPage {
    /// How far the producer may already have overwritten.
    pub reserve: ReserveLine,
    /// How far the producer may write without looking at the rows again.
    pub limit: LimitLine,
    /// Who the producer is, and whether it is done.
    pub state: StateLine,
}

/// Changes once per block. Read by observers, by attaching readers, and by consumers that measure
/// how far they lag.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct ReserveLine {
    /// Position before which any byte of the previous lap may be gone. Never behind a byte that
    /// was touched, nor ahead of the gate; grows by blocks.
    pub position: AtomicU64,
}

/// Changes once per look at the rows. Read by attaching consumers.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct LimitLine {
    /// Position the producer will not pass before it has looked at every row again.
    pub position: AtomicU64,
}

/// Changes when a producer comes or goes. Read in slow paths.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct StateLine {
    /// How many producers this ring has had.
    pub epoch: AtomicU64,
    /// One of [`ProducerState`].
    pub state: AtomicU32,
    /// Process id of the producer, for display only.
    pub pid: AtomicU32,
    /// Sequence of the first message of epoch `e`, in entry `e % 2`. Written before `epoch`; There are two,
    /// so that a reader that sees an epoch finds its entry untouched by the next one.
    pub since: [AtomicU64; 2],
    /// How often a producer went on without a consumer that held it back, expulsions included. Counted
    /// before it takes effect, and kept from producer to producer.
    pub evictions: AtomicU64,
    /// How many of those expelled the consumer.
    pub expulsions: AtomicU64,
}

/// What the state word of a producer says.
///
/// | value | state    | a reader that has drained the ring                    |
/// |-------|----------|-------------------------------------------------------|
/// | 0     | Absent   | waits: no producer yet, or one that left without closing |
/// | 1     | Attached | waits while the producer's lock is held, else reports it gone |
/// | 2     | Closed   | is at the end                                         |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProducerState {
    /// No producer yet, or the last one left the ring open.
    Absent = 0,
    /// A producer took the ring over and has not left in order.
    Attached = 1,
    /// The last producer closed the ring.
    Closed = 2,
}

impl ProducerState {
    /// What a shared word says; anything unknown reads as [`Absent`](Self::Absent).
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Attached,
            2 => Self::Closed,
            _ => Self::Absent,
        }
    }
}

/// One block's first frame. Written by the producer only, `sequence` before `position`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct IndexEntry {
    /// Position of the first frame that begins in this block. Belongs to the lap that its value
    /// names: an entry left from an earlier lap is recognised by it.
    pub position: AtomicU64,
    /// Full sequence of that frame.
    pub sequence: AtomicU64,
}

/// Page 0 of `control`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ControlPage {
    /// Which ring this file belongs to. Written at creation, constant.
    pub identity: IdentityLine,
    /// Consumers and observers sleep here; the producer rings.
    pub data: Bell,
    /// A producer that found the ring full sleeps here; consumers ring.
    pub space: Bell,
    /// What all readers together missed.
    pub losses: LossLine,
}

/// Ties `control` to its `stream`.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct IdentityLine {
    /// The random identity of the ring, low half.
    pub low: AtomicU64,
    /// High half.
    pub high: AtomicU64,
}

/// What readers missed since the ring was made. Every reader that may write `control` adds to it when it finds
/// a loss; the others are not counted.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct LossLine {
    /// How many messages.
    pub messages: AtomicU64,
    /// How many losses.
    pub times: AtomicU64,
}

/// A place to sleep. Written by sleepers and wakers. It has flags, not counters, so a killed sleeper costs
/// one useless wake and no more.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Bell {
    /// Changes with every wake; the word that is slept on.
    pub word: FutexWord,
    /// 1 while a process sleeps or is about to. Set by sleepers, cleared by the waker.
    pub armed: AtomicU32,
    /// 1 while an attached process may sleep here. It stays 0 if all of them spin, and then the waking side
    /// executes neither fence nor system call.
    pub may_park: AtomicU32,
    /// 1 if a waker leaves its fence to the sleepers (`membarrier`).
    pub unfenced: AtomicU32,
}

/// One row of `control`. Written by the consumer or parked observer that holds lock byte 16 + i,
/// or by the producer while it holds that byte in the place of a dead one.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Row {
    /// One of [`RowState`].
    pub state: AtomicU32,
    /// 1 if the owner may sleep on the data bell.
    pub may_park: AtomicU32,
    /// Everything before this position has been read and may be overwritten. Never ahead of the
    /// true position.
    pub position: AtomicU64,
    /// Sequence of the next message the owner will read. Where the row has a name, this is the
    /// durable cursor: everything before it was acknowledged.
    pub sequence: AtomicU64,
    /// Grows by one each time the row is taken, so that two owners are told apart.
    pub generation: AtomicU64,
    /// Process id of the owner, for display only.
    pub pid: AtomicU32,
    /// Epoch of the producer that the owner knows of.
    pub epoch: AtomicU64,
    /// The name of a durable cursor, filled up with zero bytes; all zero for none.
    pub name: [AtomicU64; NAME_WORDS],
    /// How many messages the owner missed since it took the row.
    pub lost: AtomicU64,
    /// In how many losses.
    pub times: AtomicU64,
}

/// Words of a cursor's name. Models have the fewest that can be mixed up in every way.
pub const NAME_WORDS: usize = if MODELLED { 3 } else { 8 };

/// What the state word of a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RowState {
    /// Free.
    Free = 0,
    /// A consumer's: its position holds the producer back.
    Consumer = 1,
    /// An observer's that may sleep: its position is for display.
    Observer = 2,
    /// Kept for a named consumer that is away: its sequence is where it will go on.
    Away = 3,
}

impl RowState {
    /// What a shared word says; anything unknown reads as [`Free`](Self::Free).
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Consumer,
            2 => Self::Observer,
            3 => Self::Away,
            _ => Self::Free,
        }
    }
}

#[cfg(not(slipring_loom))]
mod layout_is_exact {
    use super::*;
    use crate::layout::geometry::{INDEX_ENTRY, LINE, PAGE};
    use core::mem::{offset_of, size_of};

    const LINE_BYTES: usize = LINE as usize;
    const _: () = assert!(size_of::<ReserveLine>() == LINE_BYTES);
    const _: () = assert!(size_of::<LimitLine>() == LINE_BYTES);
    const _: () = assert!(size_of::<StateLine>() == LINE_BYTES);
    const _: () = assert!(offset_of!(StateLine, state) == 8 && offset_of!(StateLine, pid) == 12);
    const _: () = assert!(offset_of!(StateLine, since) == 16);
    const _: () = assert!(offset_of!(StateLine, evictions) == 32);
    const _: () = assert!(offset_of!(StateLine, expulsions) == 40);
    const _: () = assert!(offset_of!(ProducerPage, reserve) == 0);
    const _: () = assert!(offset_of!(ProducerPage, limit) == LINE_BYTES);
    const _: () = assert!(offset_of!(ProducerPage, state) == 2 * LINE_BYTES);
    const _: () = assert!(size_of::<ProducerPage>() <= PAGE as usize);
    const _: () = assert!(size_of::<IndexEntry>() == INDEX_ENTRY as usize);
    const _: () = assert!(offset_of!(IndexEntry, sequence) == 8);
    const _: () = assert!(size_of::<Bell>() == LINE_BYTES && offset_of!(Bell, armed) == 4);
    const _: () = assert!(offset_of!(Bell, may_park) == 8 && offset_of!(Bell, unfenced) == 12);
    const _: () = assert!(offset_of!(ControlPage, data) == LINE_BYTES);
    const _: () = assert!(offset_of!(ControlPage, space) == 2 * LINE_BYTES);
    const _: () = assert!(offset_of!(ControlPage, losses) == 3 * LINE_BYTES);
    const _: () = assert!(size_of::<LossLine>() == LINE_BYTES && offset_of!(LossLine, times) == 8);
    const _: () = assert!(size_of::<ControlPage>() <= PAGE as usize);
    const _: () = assert!(size_of::<Row>() == LINE_BYTES && offset_of!(Row, may_park) == 4);
    const _: () = assert!(offset_of!(Row, position) == 8 && offset_of!(Row, sequence) == 16);
    const _: () = assert!(offset_of!(Row, generation) == 24 && offset_of!(Row, pid) == 32);
    const _: () = assert!(offset_of!(Row, epoch) == 40 && offset_of!(Row, name) == 48);
    const _: () = assert!(offset_of!(Row, lost) == 112 && offset_of!(Row, times) == 120);
}
