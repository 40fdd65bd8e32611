//! The state of a ring, seen from outside.
//!
//! Layer 5. Reads the shared words, asks the kernel which owners are alive, and changes nothing.

use super::latency::Latencies;
use super::ring::Ring;
use crate::attach::StatusError;
use crate::layout::lines::{ProducerState, RowState};
use crate::ring::consumer::{epoch, producer_state, Epoch};
use crate::ring::gate::is_evicted;
use crate::ring::{index, losses, Start};
use crate::segment::Role;
use crate::sync::Ordering::Relaxed;

/// The state of a ring, seen from outside. Every number may be out of date when it is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RingStatus {
    /// Sequence of the next message; unknown if the producer overtakes every attempt to read it.
    pub next_sequence: Option<u64>,
    /// Sequence of the oldest message still in the ring; unknown as above.
    pub oldest_sequence: Option<u64>,
    /// Where the next frame will begin, in bytes since the beginning of the stream.
    pub position: Option<u64>,
    /// The latest producer: how many there have been, and where it began.
    pub epoch: Epoch,
    /// Whether the last producer closed the ring.
    pub closed: bool,
    /// Whether the last producer neither closed the ring nor left it in order: it is alive, or it
    /// died.
    pub abandoned: bool,
    /// Whether a producer holds the ring now; unknown without permission to ask.
    pub producer_alive: Option<bool>,
    /// Process id the last producer gave; 0 if there never was one.
    pub producer_pid: u32,
    /// How often a producer of this ring went on without a consumer that
    /// [held it back](crate::endpoint::Builder::evict_after), expulsions included. A producer that was killed at
    /// that moment may have counted one that did not take effect.
    pub evictions: u64,
    /// How many of those expelled the consumer.
    pub expulsions: u64,
    /// How many messages all readers together missed since the ring was made; unknown without permission to
    /// consume. A reader counts a loss when a call has found it; one without permission to consume counts none.
    /// A loss that stays with a durable cursor, because no message behind it was acknowledged, is counted again
    /// for the next consumer of that name.
    /// Of an isolated ring, a reader sees its own count, and the producer that of all rows since it attached.
    pub messages_lost: Option<u64>,
    /// In how many losses; unknown as above.
    pub times_lost: Option<u64>,
    /// Whether the ring lies on a disk and was made in another boot of the machine: it can be looked at only,
    /// until it is [recovered](crate::registry::recover).
    pub other_boot: bool,
    /// Consumers, and observers that may sleep.
    pub readers: Vec<ReaderStatus>,
}

/// One row of a ring.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReaderStatus {
    /// Which row.
    pub row: u32,
    /// The name of the durable cursor it holds, if any.
    pub cursor: Option<String>,
    /// Whether it holds the producer back.
    pub gating: bool,
    /// Whether it is a consumer that was evicted and has not noticed yet.
    pub evicted: bool,
    /// Sequence of the message it will read next. An observer publishes its place only when it waits, so
    /// this is known only of an observer that waits for the next message.
    pub next_sequence: Option<u64>,
    /// Where that message begins, in bytes since the beginning of the stream; of an observer unknown.
    pub position: Option<u64>,
    /// How many messages its owner missed since it took the row.
    pub messages_lost: u64,
    /// In how many losses.
    pub times_lost: u64,
    /// Whether it may sleep.
    pub may_park: bool,
    /// Whether its owner is alive.
    pub alive: bool,
    /// Process id its owner gave.
    pub pid: u32,
    /// The latencies of its messages, if it is a consumer of a ring with [stamps](crate::endpoint::Builder::stamps).
    pub latencies: Option<Latencies>,
}

impl Ring {
    /// Returns the state of the ring at some moment during the call, without changing it.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    ///
    /// ```
    /// use slipring::{Ring, Start};
    ///
    /// let ring = Ring::heap().create()?;
    /// let consumer = ring.consumer(Start::Latest)?;
    /// let status = ring.status()?;
    /// assert_eq!((status.next_sequence, status.readers.len()), (Some(0), 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> Result<RingStatus, StatusError> {
        self.object().looked_into(|| Ok(self.state()))
    }

    fn state(&self) -> RingStatus {
        let memory = self.object().segment().reader();
        let said = producer_state(memory);
        let next = index::place(memory, Start::Latest, 0).ok();
        let readers = (0..memory.geometry().rows).filter_map(|at| {
            let next = next.map(|at| at.sequence);
            self.reader_status(at, next)
        });
        let state = &memory.producer().state;
        let missed = losses::of_all(memory);
        RingStatus {
            other_boot: self.object().segment().other_boot().is_some(),
            evictions: state.evictions.load(Relaxed),
            expulsions: state.expulsions.load(Relaxed),
            messages_lost: missed.map(|missed| missed.messages),
            times_lost: missed.map(|missed| missed.times),
            next_sequence: next.map(|at| at.sequence),
            position: next.map(|at| at.position),
            oldest_sequence: index::oldest(memory, 0).map(|at| at.sequence),
            epoch: epoch(memory),
            closed: said == ProducerState::Closed,
            abandoned: said == ProducerState::Attached,
            producer_alive: self.object().is_held(Role::Producer),
            producer_pid: self.object().producer_pid(),
            readers: readers.collect(),
        }
    }

    fn reader_status(&self, at: u32, next: Option<u64>) -> Option<ReaderStatus> {
        let row = self.object().segment().reader().row(at)?;
        let kind = RowState::from_raw(row.state.load(Relaxed));
        if kind == RowState::Free {
            return None;
        }
        let observes = kind == RowState::Observer;
        let said = Some(row.sequence.load(Relaxed));
        let evicted = is_evicted(
            self.object().segment().reader(),
            at,
            row.generation.load(Relaxed),
        );
        let missed = losses::of_row(row);
        Some(ReaderStatus {
            row: at,
            messages_lost: missed.messages,
            times_lost: missed.times,
            cursor: self.object().cursor_of_row(at).map(|name| name.to_string()),
            gating: kind == RowState::Consumer && !evicted,
            evicted: kind == RowState::Consumer && evicted,
            next_sequence: said.filter(|said| !observes || next == Some(*said)),
            position: (!observes).then(|| row.position.load(Relaxed)),
            may_park: row.may_park.load(Relaxed) != 0,
            alive: self
                .object()
                .is_held(Role::Row(at))
                .unwrap_or(kind != RowState::Away),
            pid: row.pid.load(Relaxed),
            latencies: (kind == RowState::Consumer)
                .then(|| Latencies::of_row(self.object().segment().reader(), at))
                .flatten(),
        })
    }
}
