//! What a source that loses nothing keeps in its ring.

use crate::error::BridgeError;
use slipring::endpoint::TryReceiveError;
use slipring::{Consumer, Ring, Start};

/// The row of a lossless source: it keeps the producer from overwriting what is still needed.
///
/// It stands at the first sequence that may be needed, or before gaps that lie before that, and holds nothing else, however many
/// bytes messages and gaps take in the ring. What it holds is found from where it stands, also where the index of the ring leads to
/// nothing before it any more.
///
/// A consumer passes all gaps that follow each other, and gives them back, if no message lies behind them. So gaps that no
/// message has followed are given back only when none is needed, and only when they take a quarter of the ring: the largest
/// message has room beside fewer. A gap that is published at this moment goes with them. If the producer then comes round before
/// it is read, it is told as lost; what lies behind it is held.
pub(super) struct Gate {
    consumer: Consumer,
    most_gaps: u64,
    /// The first sequence that may be needed.
    through: u64,
    /// The last message that was read from the ring, to be sent.
    last: Option<u64>,
    /// The sequence behind the last one that was read as a part of a gap, or was not read.
    skipped: Option<u64>,
}

impl Gate {
    pub fn new(ring: &Ring, cursor: &str, from: Start) -> Result<Self, BridgeError> {
        let consumer = ring.durable_consumer(cursor, from)?;
        Ok(Self {
            most_gaps: ring.capacity_bytes() / 4,
            through: consumer.next_sequence(),
            consumer,
            last: None,
            skipped: None,
        })
    }

    /// The first sequence that it holds, but for a gap before it. At first, the first one that may have to be sent.
    pub fn next_sequence(&self) -> u64 {
        self.consumer.next_sequence()
    }

    /// This message was read from the ring, to be sent. It follows what was read or skipped before.
    pub fn message(&mut self, sequence: u64) {
        self.last = Some(sequence);
    }

    /// What lies before this sequence, and behind what was read before, is a gap, or was not read.
    pub fn skip(&mut self, end: u64) {
        self.skipped = Some(end);
    }

    /// Gives back the messages before a sequence, and the gaps before each of them. All before the sequence were read or skipped.
    pub fn release(&mut self, through: u64) -> Result<(), BridgeError> {
        self.through = through;
        while before(self.next_sequence(), through) {
            let next = self.next_sequence();
            if self.skipped.is_some_and(|end| before(next, end)) {
                let followed = self.last.is_some_and(|last| !before(last, next));
                if !followed || !self.look_ahead()? {
                    break;
                }
            }
            match self.consumer.try_receive() {
                Ok(message) => drop(message),
                Err(error) => return nothing_there(error).map(drop),
            }
        }
        Ok(())
    }

    /// Gives back gaps that no message has followed. Everything that was published is read, up to this sequence. Returns `true`
    /// if it did: more that was published is to be read at once.
    pub fn caught_up(&mut self, read: u64) -> Result<bool, BridgeError> {
        let next = self.next_sequence();
        let followed = self.last.is_some_and(|last| !before(last, next));
        let many = self.consumer.lag_bytes() >= self.most_gaps;
        if self.through != read || !before(next, read) || followed || !many {
            return Ok(false);
        }
        self.look_ahead()?;
        Ok(true)
    }

    /// Goes to the next message without taking it. Returns `true` if it is there and not needed.
    fn look_ahead(&mut self) -> Result<bool, BridgeError> {
        match self.consumer.try_receive_batch(1) {
            // A batch that is not read is put back, and the gap before it stays.
            Ok(batch) => drop(batch),
            Err(error) => return nothing_there(error),
        }
        Ok(before(self.next_sequence(), self.through))
    }
}

/// Returns `true` if a sequence lies before another one.
pub(super) fn before(sequence: u64, other: u64) -> bool {
    (sequence.wrapping_sub(other) as i64) < 0
}

/// Returns `false`, or the error if it is another one.
fn nothing_there(error: TryReceiveError) -> Result<bool, BridgeError> {
    match error {
        TryReceiveError::Empty | TryReceiveError::Closed | TryReceiveError::ProducerGone { .. } => {
            Ok(false)
        }
        error => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
