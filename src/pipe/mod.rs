//! Byte streams: a pipe, and a pair of pipes in both directions.
//!
//! Layer 7. A pipe is a ring whose frames are the pieces that were written, with one writer and one reader
//! in a pact (`ring::pact`), so each is told when the other is gone. An anonymous pipe lies in memory
//! files. An unused end can be handed to a child, with the descriptor whose lock says that the end is
//! owned.

mod duplex;
mod error;
#[cfg(feature = "async")]
mod event;
mod hand;
mod reader;
mod writer;

pub use duplex::Duplex;
pub use error::HandError;
pub use reader::PipeReader;
pub use writer::PipeWriter;

use crate::attach::Attachment;
use crate::endpoint::{
    options, Builder, Meeting, PairedError, PublishError, ReceiveError, StatusError,
};
use crate::layout::form::Form;
use crate::ring::pact::BOARD_WORDS;
use crate::segment::CreateError;
use crate::wait::Deadline;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a pipe unless said otherwise.
pub const PIPE_CAPACITY: u64 = 1 << 20;

options! {
    /// How an end of a pipe behaves.
    PipeOptions { strategy }
}

/// The word of the board that says that the reader of a pipe is ready, for each direction.
const READY_WORD: u32 = 8;

/// Makes a pipe: bytes written at one end are read at the other, in any process.
///
/// # Guarantees
/// - The bytes read are a prefix of those written, and the end of the stream comes only after all of them,
///   at any death of either process.
/// - A writer gets [`BrokenPipe`](io::ErrorKind::BrokenPipe) once the reader is gone: at once if the reader
///   was dropped, and after its death within an eighth of the capacity, or 100 ms while the writer waits
///   for room. A reader notices a writer's death within 100 ms.
/// - Reading and writing make no system call unless the other end sleeps, except one every eighth of the
///   capacity.
///
/// # What others may change meanwhile
/// The process at the other end reads, writes and drops it at any time.
///
/// # Errors
/// The kernel's: no memory, too many descriptors.
///
/// ```
/// use std::io::{BufRead, Read, Write};
///
/// let (mut reader, mut writer) = slipring::pipe()?;
/// writer.write_all(b"one line\nand another\n")?;
/// drop(writer); // or the process ends
///
/// let mut line = String::new();
/// reader.read_line(&mut line)?;
/// assert_eq!(line, "one line\n");
/// let mut rest = Vec::new();
/// reader.read_to_end(&mut rest)?;
/// assert_eq!(rest, b"and another\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    pipe_with(PIPE_CAPACITY, PipeOptions::default())
}

/// Like [`pipe`], with a capacity in bytes, which is a power of two of at least 4096 and 1 MiB in [`pipe`], and with
/// options for both ends. An end that is handed to a child gets new ones there.
///
/// # Errors
/// As [`pipe`], and [`InvalidInput`](io::ErrorKind::InvalidInput) for another capacity.
pub fn pipe_with(
    capacity_bytes: u64,
    options: PipeOptions,
) -> io::Result<(PipeReader, PipeWriter)> {
    let ring = anonymous(capacity_bytes)?;
    let [writes, reads] = Meeting::both(&ring)?;
    let reader = PipeReader::new(ring.clone(), Arc::new(reads), None, options);
    Ok((
        reader,
        PipeWriter::new(ring, Arc::new(writes), None, options),
    ))
}

/// Makes a pair of pipes: what is written at one end is read at the other, in both directions.
///
/// # Errors
/// As [`pipe`].
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut here, mut there) = slipring::duplex()?;
/// here.write_all(b"ping")?;
/// let mut four = [0; 4];
/// there.read_exact(&mut four)?;
/// there.write_all(b"pong")?;
/// here.read_exact(&mut four)?;
/// assert_eq!(&four, b"pong");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn duplex() -> io::Result<(Duplex, Duplex)> {
    duplex_with(PIPE_CAPACITY, PipeOptions::default())
}

/// Like [`duplex`], with the capacity of each direction in bytes and options for both ends: as [`pipe_with`].
///
/// # Errors
/// As [`pipe_with`].
pub fn duplex_with(capacity_bytes: u64, options: PipeOptions) -> io::Result<(Duplex, Duplex)> {
    let (forth, back) = (anonymous(capacity_bytes)?, anonymous(capacity_bytes)?);
    let [first, second] = Meeting::both(&forth)?.map(Arc::new);
    let end = |out: &Attachment, back: &Attachment, meeting: Arc<Meeting>| Duplex {
        reader: PipeReader::new(back.clone(), meeting.clone(), None, options),
        writer: PipeWriter::new(out.clone(), meeting, None, options),
    };
    Ok((end(&forth, &back, first), end(&back, &forth, second)))
}

fn anonymous(bytes: u64) -> io::Result<Attachment> {
    let builder = Builder::anonymous().capacity_bytes(bytes).max_readers(1);
    let ring = builder.form(Form::Pipe, BOARD_WORDS, [1, 0]).make();
    ring.map_err(|error| match error {
        CreateError::Io { source, .. } => source,
        CreateError::Geometry(error) => io::Error::new(io::ErrorKind::InvalidInput, error),
        error => io::Error::other(error),
    })
}

/// The deadline of a call with this timeout, if any.
#[inline(always)]
fn deadline(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, Deadline::after)
}

/// The state of an end at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipeStatus {
    /// How many bytes can be written and not yet read, in each direction.
    pub capacity_bytes: u64,
    /// Whether the other end is open, in a process that is alive.
    pub peer_alive: bool,
}

/// The state of the end that owns a side of this pact.
fn state(meeting: &Meeting, ring: &Attachment) -> Result<PipeStatus, StatusError> {
    ring.looked_into(|| {
        Ok(PipeStatus {
            capacity_bytes: ring.capacity_bytes(),
            peer_alive: !meeting.gone(),
        })
    })
}

/// Converts a failure to an [`io::Error`]. The caller handles the case that the other side is gone.
#[cold]
fn io_error(error: PairedError) -> io::Error {
    match error {
        PairedError::Gone => io::Error::new(
            io::ErrorKind::BrokenPipe,
            "no process reads from the other end of the pipe",
        ),
        PairedError::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            "the other end of the pipe did nothing until the deadline",
        ),
        PairedError::Full | PairedError::Empty => io::ErrorKind::WouldBlock.into(),
        PairedError::Publish(error @ PublishError::Removed) => {
            io::Error::new(io::ErrorKind::NotFound, error)
        }
        PairedError::Receive(error @ ReceiveError::Removed) => {
            io::Error::new(io::ErrorKind::NotFound, error)
        }
        PairedError::Publish(error) => io::Error::other(error),
        PairedError::Receive(error) => io::Error::other(error),
    }
}
