//! What a source that loses nothing keeps in its ring.

use crate::error::BridgeError;
use slipring::endpoint::TryReceiveError;
use slipring::{Consumer, Ring, Start};
use std::collections::VecDeque;

/// The row of a lossless source: it keeps the producer from overwriting what is still needed.
///
/// Messages are found from the first one of their block, so it keeps a block more than that.
pub(super) struct Gate {
    consumer: Consumer,
    /// Some of the messages that were sent, each with the bytes up to it.
    sent: VecDeque<(u64, u64)>,
    bytes: u64,
    block: u64,
}

impl Gate {
    pub fn new(ring: &Ring, cursor: &str, from: Start) -> Result<Self, BridgeError> {
        Ok(Self {
            consumer: ring.durable_consumer(cursor, from)?,
            sent: VecDeque::new(),
            bytes: 0,
            block: (ring.capacity_bytes() / 8).min(4096),
        })
    }

    /// The first message that may have to be sent yet.
    pub fn next_sequence(&self) -> u64 {
        self.consumer.next_sequence()
    }

    /// A message was read from the ring, to be sent.
    pub fn pass(&mut self, sequence: u64, len: usize) {
        self.bytes += len as u64 + 8;
        let last = self.sent.back().map(|(_, bytes)| *bytes);
        if last.is_none_or(|last| self.bytes - last >= self.block / 4) {
            self.sent.push_back((sequence, self.bytes));
        }
    }

    /// Gives back messages before a sequence.
    pub fn release(&mut self, through: u64) -> Result<(), BridgeError> {
        let before = |sequence: u64, other: u64| (sequence.wrapping_sub(other) as i64) < 0;
        let written = self
            .sent
            .partition_point(|(sequence, _)| before(*sequence, through));
        let Some((_, reached)) = written.checked_sub(1).and_then(|at| self.sent.get(at)) else {
            return Ok(());
        };
        let reached = *reached;
        let mut last = None;
        while let Some((sequence, bytes)) = self.sent.front().copied() {
            if bytes + 2 * self.block > reached {
                break;
            }
            last = Some(sequence);
            self.sent.pop_front();
        }
        let Some(last) = last else {
            return Ok(());
        };
        // That message exists, so what comes next is it, or lies before it.
        while !before(last, self.consumer.next_sequence()) {
            match self.consumer.try_receive() {
                Ok(message) => drop(message),
                Err(
                    TryReceiveError::Empty
                    | TryReceiveError::Closed
                    | TryReceiveError::ProducerGone { .. },
                ) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
