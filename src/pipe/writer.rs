//! The writing end of a pipe.
//!
//! Layer 7.

use super::{deadline, io_error, state, PipeOptions, PipeStatus, READY_WORD};
use crate::attach::{shown, Attachment};
use crate::endpoint::{
    Meeting, Outgoing, PairedError, Producer, ProducerOptions, PublishError, Sealed, StatusError,
};
use crate::layout::lines::Bell;
use crate::segment::Trouble;
use crate::sync::Ordering::Relaxed;
use crate::wait::{until, Deadline, Outcome, Waited};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Writes bytes that are read at the other end. Made by [`pipe`](crate::pipe()), a [`Fifo`](crate::Fifo), or
/// inherited.
///
/// A write takes at most an eighth of the capacity, waits until there is room for it, and returns how many
/// bytes it took. Nothing is buffered on this side. Dropping the writer ends the stream.
pub struct PipeWriter {
    pub(super) outgoing: Option<Outgoing>,
    pub(super) meeting: Arc<Meeting>,
    pub(super) ring: Attachment,
    pub(super) options: PipeOptions,
    /// Whether the reader is known to be ready.
    ready: bool,
    timeout: Option<Duration>,
}

impl Sealed for PipeWriter {}

shown!([] PipeWriter, "PipeWriter", |writer| path = writer.ring.path());

impl PipeWriter {
    pub(crate) fn new(
        ring: Attachment,
        meeting: Arc<Meeting>,
        outgoing: Option<Outgoing>,
        options: PipeOptions,
    ) -> Self {
        Self {
            // A reader that was waited for is ready.
            ready: outgoing.is_some(),
            outgoing,
            meeting,
            ring,
            options,
            timeout: None,
        }
    }

    /// Sets how long a write may wait before it fails with [`TimedOut`](io::ErrorKind::TimedOut), with
    /// nothing written; `None`, the default, means without limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Writes bytes for which there is room, without waiting, whatever the timeout is. Returns how many.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room now, and those of writing.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes, None)
    }

    /// Writes some bytes, waiting for room until a deadline if there is one.
    #[inline(always)]
    fn write_some(&mut self, bytes: &[u8], deadline: Option<Deadline>) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.outgoing.is_none() {
            self.attach()?;
        }
        let most = (self.ring.capacity_bytes() / 8) as usize - 16;
        let piece = &bytes[..bytes.len().min(most)];
        if !self.ready {
            let until = deadline.unwrap_or_else(|| Deadline::after(Duration::ZERO));
            match self.wait_for_reader(piece.len(), until) {
                Err(PairedError::TimedOut) if deadline.is_none() => {
                    return Err(io_error(PairedError::Full))
                }
                waited => waited.map_err(io_error)?,
            }
        }
        let Some(outgoing) = &mut self.outgoing else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let sent = match deadline {
            Some(deadline) => outgoing.send(&self.meeting, piece, deadline),
            None => outgoing.try_send(&self.meeting, piece),
        };
        sent.map_err(io_error)?;
        Ok(piece.len())
    }

    /// Returns how many bytes can be written and not yet read.
    pub fn capacity_bytes(&self) -> u64 {
        self.ring.capacity_bytes()
    }

    /// Returns the state of this end at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<PipeStatus, StatusError> {
        state(&self.meeting, &self.ring)
    }

    /// Returns `true` if nothing has been written yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.outgoing.is_none()
    }

    #[cold]
    fn attach(&mut self) -> io::Result<()> {
        let options = ProducerOptions::default().strategy(self.options.strategy);
        let producer = Producer::attach(&self.ring, options).map_err(io::Error::other)?;
        self.outgoing = Some(Outgoing::new(producer, self.ring.capacity_bytes()));
        Ok(())
    }

    /// Before the reader is ready this alone holds the writer back: half the capacity stays unwritten, so
    /// that the reader finds all bytes.
    #[cold]
    fn wait_for_reader(&mut self, bytes: usize, deadline: Deadline) -> Result<(), PairedError> {
        if self.meeting.forked() {
            return Err(PairedError::Publish(PublishError::Forked));
        }
        let memory = self.ring.segment().reader().clone();
        let ready = || {
            let word = memory.board(READY_WORD);
            word.is_some_and(|word| word.load(Relaxed) != 0)
        };
        if ready() {
            self.ready = true;
            return Ok(());
        }
        let position = self.outgoing.as_ref().map_or(0, Outgoing::position);
        if position + bytes as u64 + 16 <= self.ring.capacity_bytes() / 2 {
            return Ok(());
        }
        let bell: Option<&Bell> = memory.control().map(|control| &control.space);
        let mut reader = Reader {
            ready,
            meeting: &self.meeting,
            ring: &self.ring,
        };
        let strategy = self.options.strategy;
        match until(&mut reader, strategy, bell, deadline, &mut false) {
            Outcome::Ready => {
                self.ready = true;
                Ok(())
            }
            // A writer whose waits are short never asks while it waits.
            Outcome::TimedOut if self.meeting.gone() => Err(PairedError::Gone),
            Outcome::TimedOut => Err(PairedError::TimedOut),
            Outcome::Gone => match self.ring.trouble() {
                None => Err(PairedError::Gone),
                Some(Trouble::Forked) => Err(PairedError::Publish(PublishError::Forked)),
                Some(Trouble::Poisoned) => Err(PairedError::Publish(PublishError::Poisoned)),
                Some(Trouble::Removed) => Err(PairedError::Publish(PublishError::Removed)),
            },
            Outcome::Over => Err(PairedError::Gone),
        }
    }
}

/// Waiting for a reader that has not begun.
struct Reader<'w, R> {
    ready: R,
    meeting: &'w Meeting,
    ring: &'w Attachment,
}

impl<R: Fn() -> bool> Waited for Reader<'_, R> {
    fn ready(&mut self) -> bool {
        (self.ready)()
    }

    fn over(&mut self) -> bool {
        self.meeting.broken()
    }

    fn gone(&mut self) -> bool {
        self.meeting.gone() || self.ring.trouble().is_some()
    }
}

impl Write for PipeWriter {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes, Some(deadline(self.timeout)))
    }

    /// Does nothing: all written bytes can be read already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
