//! Building frames: messages that follow each other share one, as far as it goes.

use crate::frame::{self, put_record, record_bytes, Stamp, HEADER, LIMIT, LONGEST_WHOLE};
use slipring::endpoint::Why;

/// A frame, and which sequences it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The frame.
    pub bytes: Vec<u8>,
    /// The first sequence behind it.
    pub end: u64,
    /// Whether the last of its messages is whole with it. `false` of all parts of a message but the last.
    pub whole: bool,
}

/// Collects messages into frames.
#[derive(Clone, Debug, Default)]
pub struct Packer {
    first: u64,
    count: u32,
    body: Vec<u8>,
}

impl Packer {
    /// Returns `true` if no message waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many messages wait.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Adds a message. Puts the frames into `out` that are full.
    pub fn message(&mut self, stamp: &Stamp, sequence: u64, payload: &[u8], out: &mut Vec<Packed>) {
        let room = LIMIT - HEADER - self.body.len();
        let follows = self.first.wrapping_add(u64::from(self.count)) == sequence;
        if !follows || record_bytes(payload.len()) > room {
            self.flush(stamp, out);
        }
        if payload.len() > LONGEST_WHOLE {
            let parts = frame::parts(stamp, sequence, payload);
            let last = parts.len() - 1;
            out.extend(parts.into_iter().enumerate().map(|(at, bytes)| Packed {
                bytes,
                end: sequence.wrapping_add(u64::from(at == last)),
                whole: at == last,
            }));
            return;
        }
        if self.count == 0 {
            self.first = sequence;
        }
        self.count += 1;
        put_record(&mut self.body, payload);
    }

    /// Adds a gap, behind what waits.
    pub fn gap(&mut self, stamp: &Stamp, first: u64, end: u64, why: Why, out: &mut Vec<Packed>) {
        self.flush(stamp, out);
        out.push(Packed {
            bytes: frame::gap(stamp, first, end, why),
            end,
            whole: true,
        });
    }

    /// Puts what waits into a frame.
    pub fn flush(&mut self, stamp: &Stamp, out: &mut Vec<Packed>) {
        if self.count > 0 {
            out.push(Packed {
                bytes: frame::messages(stamp, self.first, self.count, &self.body),
                end: self.first.wrapping_add(u64::from(self.count)),
                whole: true,
            });
            self.count = 0;
            self.body.clear();
        }
    }
}

/// The frame of a heartbeat.
pub fn heartbeat(stamp: &Stamp, next: u64, closed: bool) -> Vec<u8> {
    frame::heartbeat(stamp, next, closed)
}
