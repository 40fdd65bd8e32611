//! The reading end of a pipe.
//!
//! Layer 7.

use super::{deadline, io_error, state, PipeOptions, PipeStatus, READY_WORD};
use crate::attach::{shown, Attachment};
use crate::endpoint::{
    Consumer, ConsumerOptions, Ends, Incoming, Inside, Meeting, PairedError, ReceiveError, Sealed,
    Source, StatusError,
};
use crate::ring::Start;
use crate::segment::Memory;
use crate::sync::Ordering::Relaxed;
use crate::wait::bell;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

/// Reads the bytes that are written at the other end. Made by [`pipe`](crate::pipe()), a
/// [`Fifo`](crate::Fifo), or inherited.
///
/// [`BufRead::fill_buf`] lends the bytes in place; only `read` copies. A read of zero bytes means the end
/// of the stream: the writer dropped its end or died, and everything it wrote has been read.
/// [`BufRead::consume`] of more than `fill_buf` lent consumes all of that and no more.
///
/// It is a source of a [`WaitSet`](crate::WaitSet). A set that waits for it begins to read, so from then on it cannot be
/// [handed on](Self::hand_to).
pub struct PipeReader {
    incoming: Option<Incoming>,
    /// How much of the piece that is held has been read.
    read: usize,
    over: bool,
    pub(super) meeting: Arc<Meeting>,
    pub(super) ring: Attachment,
    options: PipeOptions,
    timeout: Option<Duration>,
}

shown!([] PipeReader, "PipeReader", |reader| path = reader.ring.path());

impl PipeReader {
    pub(crate) fn new(
        ring: Attachment,
        meeting: Arc<Meeting>,
        incoming: Option<Incoming>,
        options: PipeOptions,
    ) -> Self {
        Self {
            incoming,
            read: 0,
            over: false,
            meeting,
            ring,
            options,
            timeout: None,
        }
    }

    /// Sets how long a read may wait before it fails with [`TimedOut`](io::ErrorKind::TimedOut); `None`,
    /// the default, means without limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
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

    /// Returns `true` if nothing has been read yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.incoming.is_none()
    }

    #[cold]
    fn attach(&mut self) -> io::Result<()> {
        // The writer keeps the bytes until the word below says that a reader is ready.
        let options = ConsumerOptions::default().strategy(self.options.strategy);
        let consumer = Consumer::attach(&self.ring, Start::Oldest, options, None);
        self.incoming = Some(Incoming::new(consumer.map_err(io::Error::other)?));
        let memory = self.ring.segment().reader();
        if let (Some(ready), Some(control)) = (memory.board(READY_WORD), memory.control()) {
            ready.store(1, Relaxed);
            bell::ring_now(&control.space);
        }
        Ok(())
    }

    /// Reads bytes that are there, without waiting, whatever the timeout is.
    ///
    /// Returns how many; 0 at the end of the stream, or if `out` is empty.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read now, and those of reading.
    pub fn try_read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let there = self.filled(false)?;
        let len = there.len().min(out.len());
        out[..len].copy_from_slice(&there[..len]);
        self.consume(len);
        Ok(len)
    }

    /// What is there; the end of the stream if it is empty.
    #[inline(always)]
    fn filled(&mut self, waits: bool) -> io::Result<&[u8]> {
        if self.meeting.forked() {
            // A fork does not have the bytes that are held either.
            return Err(io_error(PairedError::Receive(ReceiveError::Forked)));
        }
        let held = self.incoming.as_ref().map_or(0, |at| at.held().len());
        if self.read == held && !self.over {
            self.next_piece(waits)?;
        }
        let held = self.incoming.as_ref().map_or(&[][..], Incoming::held);
        Ok(held.get(self.read..).unwrap_or_default())
    }

    #[cold]
    #[inline(never)]
    fn next_piece(&mut self, waits: bool) -> io::Result<()> {
        if self.incoming.is_none() {
            self.attach()?;
        }
        let Some(incoming) = &mut self.incoming else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.read = 0;
        let next = match waits {
            true => incoming.hold_next(&self.meeting, deadline(self.timeout)),
            false => incoming.try_hold_next(&self.meeting),
        };
        match next {
            Ok(()) => Ok(()),
            Err(PairedError::Gone) => {
                self.over = true;
                Ok(())
            }
            Err(error) => Err(io_error(error)),
        }
    }
}

impl BufRead for PipeReader {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.filled(true)
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if self.meeting.forked() {
            return;
        }
        let held = incoming.held().len();
        self.read = held.min(self.read.saturating_add(bytes));
        if self.read == held {
            // Released at once, so that the writer has the space.
            incoming.let_go();
            self.read = 0;
        }
    }
}

impl Read for PipeReader {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let there = self.fill_buf()?;
        let len = there.len().min(out.len());
        out[..len].copy_from_slice(&there[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl Sealed for PipeReader {}

impl Source for PipeReader {
    fn memory(&self, _: Inside) -> &Memory {
        let attached = self.incoming.as_ref().map(Incoming::memory);
        attached.unwrap_or_else(|| self.ring.segment().reader())
    }

    fn also(&self, _: Inside) -> Option<&Memory> {
        self.incoming.as_ref()?.also(&self.meeting)
    }

    fn parks(&self) -> bool {
        let attached = self.incoming.as_ref().map(Incoming::parks);
        attached.unwrap_or_else(|| self.options.strategy.parks())
    }

    fn reports(&mut self) -> bool {
        // As the first read: the end cannot be handed on any more.
        let attached = self.incoming.is_some() || self.attach().is_ok();
        match &mut self.incoming {
            Some(incoming) if attached => incoming.reports(&self.meeting, Ends::Once),
            // The next read says why.
            _ => true,
        }
    }

    fn reports_death(&mut self) -> bool {
        match &mut self.incoming {
            Some(incoming) => incoming.reports_death(&self.meeting, Ends::Once),
            None => self.reports(),
        }
    }
}
