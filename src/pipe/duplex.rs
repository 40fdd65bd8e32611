//! Two pipes, one in each direction.
//!
//! Layer 7.

use super::{PipeReader, PipeStatus, PipeWriter};
use crate::endpoint::{Inside, Sealed, Source, StatusError};
use crate::segment::Memory;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

/// One end of a pair of pipes: bytes written at one end are read at the other, in both directions. Made by
/// [`duplex`](crate::duplex), a [`Fifo`](crate::Fifo), or inherited.
#[derive(Debug)]
pub struct Duplex {
    pub(crate) reader: PipeReader,
    pub(crate) writer: PipeWriter,
}

impl Duplex {
    /// Returns both directions apart, for two threads.
    pub fn halves(&mut self) -> (&mut PipeReader, &mut PipeWriter) {
        (&mut self.reader, &mut self.writer)
    }

    /// Returns both directions, each with an end of its own. Dropping the writer ends the stream that the
    /// other side reads, and reading goes on.
    pub fn into_halves(self) -> (PipeReader, PipeWriter) {
        (self.reader, self.writer)
    }

    /// Returns the state of this end at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<PipeStatus, StatusError> {
        self.writer.status()
    }

    /// Sets how long a read or a write may wait; `None`, the default, means without limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.reader.set_timeout(timeout);
        self.writer.set_timeout(timeout);
    }
}

impl Read for Duplex {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

impl BufRead for Duplex {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
    }
}

impl Write for Duplex {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sealed for Duplex {}

/// What there is to read.
impl Source for Duplex {
    fn memory(&self, asker: Inside) -> &Memory {
        self.reader.memory(asker)
    }

    fn also(&self, asker: Inside) -> Option<&Memory> {
        self.reader.also(asker)
    }

    #[cfg(feature = "async")]
    fn room(&self, _: Inside) -> Option<&Memory> {
        let room = self
            .writer
            .outgoing
            .as_ref()
            .map(|outgoing| outgoing.room().0);
        Some(room.unwrap_or_else(|| self.writer.ring.segment().reader()))
    }

    fn parks(&self) -> bool {
        self.reader.parks()
    }

    fn reports(&mut self) -> bool {
        self.reader.reports()
    }

    fn reports_death(&mut self) -> bool {
        self.reader.reports_death()
    }
}
