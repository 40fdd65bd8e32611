//! Pipes in event loops.
//!
//! Layer 7.

use super::{Duplex, PipeReader, PipeWriter};
use crate::endpoint::{Inside, Outgoing};
use crate::events::{Async, Event, Sleep};
use crate::reactor::Side;
use crate::wait::bell::LONGEST_SLEEP;
use core::task::Poll;
use std::io;

/// It waits for room, and at first for a reader.
impl Event for PipeWriter {
    fn sleep(&self, _: Inside) -> Sleep {
        let room = self.outgoing.as_ref().map(Outgoing::room);
        let memory = room.map_or_else(|| self.ring.segment().reader(), |(memory, _)| memory);
        // The other end rings this one when it leaves.
        let pact = self.meeting.ring().segment().reader();
        Sleep {
            bells: vec![(memory.clone(), Side::Space), (pact.clone(), Side::Data)],
            parks: self.options.strategy.parks(),
            longest: LONGEST_SLEEP,
        }
    }
}

impl Async<PipeReader> {
    /// Reads bytes, waiting for the first; 0 at the end of the stream.
    ///
    /// # Errors
    /// As those of reading without a timeout.
    pub async fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.ready(|reader| settle(reader.try_read(out))).await
    }
}

impl Async<PipeWriter> {
    /// Writes bytes, waiting for room for some of them. Returns how many were written.
    ///
    /// # Errors
    /// As those of writing without a timeout.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ready(|writer| settle(writer.try_write(bytes))).await
    }
}

impl Async<Duplex> {
    /// Reads bytes, waiting for the first; 0 at the end of the stream.
    ///
    /// # Errors
    /// As those of reading without a timeout.
    pub async fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.ready(|both| settle(both.reader.try_read(out))).await
    }

    /// Writes bytes, waiting for room for some of them. Returns how many were written.
    ///
    /// # Errors
    /// As those of writing without a timeout.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ready(|both| settle(both.writer.try_write(bytes)))
            .await
    }
}

/// What a call that does not wait says of one that does.
fn settle(tried: io::Result<usize>) -> Poll<io::Result<usize>> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        other => Poll::Ready(other),
    }
}
