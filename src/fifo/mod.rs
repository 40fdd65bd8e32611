//! Named pipes between unrelated processes.
//!
//! Layer 7, on `pipe`. A FIFO is the ring of a pipe in a directory; one for both directions has another one
//! inside. Both sides wait for each other (`ring::pact`) before the first byte, so the bytes of one writer
//! are read by one reader.

use crate::attach::{shown, Attachment};
use crate::endpoint::{
    look_until, AttachError, Builder, Consumer, ConsumerOptions, Difference, Incoming, Meeting,
    Met, Outgoing, Producer, ProducerOptions, PublishError, StatusError,
};
use crate::layout::form::Form;
use crate::pipe::{Duplex, PipeReader, PipeWriter, PIPE_CAPACITY};

pub use crate::pipe::PipeOptions;
use crate::ring::pact::{Side, BOARD_WORDS};
use crate::ring::Start;
use crate::segment::{CreateError, Location, NameError, OpenError, Place, RemoveError, Trouble};
use crate::wait::Deadline;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The ring inside one for both directions.
const BACK: &str = "back";

/// A named pipe that this process has open. Cheap to clone.
///
/// # Guarantees
/// - There is one writer and one reader at a time, or two sides if it goes both ways. Another one is
///   refused with [`AddrInUse`](io::ErrorKind::AddrInUse) while they live.
/// - Opening an end waits for the other one, as with a kernel's FIFO. The two read and write as with a
///   [`pipe`](crate::pipe()); when one has gone, the other is told, and may open its end again to wait for
///   the next. The next pair sees no byte of this one.
///
/// # What others may change meanwhile
/// The process at the other end comes and goes at any time. The size and the directions never change.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("orders");
/// use slipring::Fifo;
/// use std::io::{Read, Write};
///
/// let fifo = Fifo::builder(&path).create()?;
/// # let there = path.clone();
/// let elsewhere = std::thread::spawn(move || { // in another process
///     Fifo::open(&there).unwrap().writer()?.write_all(b"buy 100")
/// });
/// let mut text = String::new();
/// fifo.reader()?.read_to_string(&mut text)?;
/// assert_eq!(text, "buy 100");
/// # elsewhere.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Fifo {
    ring: Attachment,
    location: Location,
}

shown!([] Fifo, "Fifo", |fifo| path = fifo.path(), both_ways = fifo.both_ways());

/// The settings of a named pipe, and its state at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FifoStatus {
    /// How many bytes can be written and not yet read, in each direction.
    pub capacity_bytes: u64,
    /// Whether it goes both ways.
    pub both_ways: bool,
    /// The processes at the two ends: the writer and the reader, or the two sides. `None` for an end that is not open.
    pub ends: [Option<u32>; 2],
}

/// The settings of a new named pipe. Made by [`Fifo::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct FifoBuilder {
    location: Result<Location, NameError>,
    capacity: u64,
    both_ways: bool,
    mode: u32,
}

impl FifoBuilder {
    fn new(location: Result<Location, NameError>) -> Self {
        Self {
            location,
            capacity: PIPE_CAPACITY,
            both_ways: false,
            mode: 0o600,
        }
    }

    /// Sets how many bytes can be written and not yet read, in each direction; 1 MiB by default. A power of
    /// two, at least 4096.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Sets whether it goes both ways ([`Fifo::connect`]) instead of from a writer to a reader.
    pub fn both_ways(mut self, both_ways: bool) -> Self {
        self.both_ways = both_ways;
        self
    }

    /// Sets who may read, as the permission bits of a file; `0o600` by default. For group and others that
    /// takes both reading and writing. Only the owner writes. One that goes both ways is written from both
    /// sides, so only its owner may use it: a mode with bits for others is refused then.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Creates the named pipe and opens it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring; [`CreateError::Mode`].
    pub fn create(self) -> Result<Fifo, CreateError> {
        let location = self.location.clone()?;
        self.expect_mode()?;
        let ring = self.described(&location).make()?;
        Ok(Fifo { ring, location })
    }

    /// Opens the named pipe if it exists, else creates it. An existing one keeps its own settings.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Fifo, CreateError> {
        let location = self.location.clone()?;
        self.expect_mode()?;
        let ring = self.described(&location).make_or_open()?;
        Ok(Fifo { ring, location })
    }

    fn expect_mode(&self) -> Result<(), CreateError> {
        let (mode, others) = (self.mode, self.mode & 0o077 != 0);
        let why = "only its owner can use a named pipe that goes both ways: use 0600";
        if self.both_ways && others {
            return Err(CreateError::Mode { mode, why });
        }
        Ok(())
    }

    fn described(&self, location: &Location) -> Builder {
        let ways = 1 + u64::from(self.both_ways);
        let outer = Builder::at(location)
            .capacity_bytes(self.capacity)
            .max_readers(1)
            .mode(self.mode)
            .form(Form::Pipe, BOARD_WORDS, [ways, 0]);
        match self.both_ways {
            true => outer.holding(back(location, self.capacity)),
            false => outer,
        }
    }
}

/// The way back of a named pipe that goes both ways.
fn back(location: &Location, capacity: u64) -> Builder {
    Builder::inside(location, BACK)
        .capacity_bytes(capacity)
        .max_readers(1)
        .form(Form::Pipe, BOARD_WORDS, [2, 0])
}

impl Fifo {
    /// Describes a new named pipe at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> FifoBuilder {
        FifoBuilder::new(place.into().location())
    }

    /// Opens the named pipe at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_location(place.into().location()?)
    }

    /// Like [`open`](Self::open), waiting until there is a named pipe at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open(&place))
    }

    fn open_location(location: Location) -> Result<Self, OpenError> {
        let ring = Attachment::open_form(&location, Default::default(), Form::Pipe)?;
        Ok(Self { ring, location })
    }

    /// Removes the named pipe at a place.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a process writes or reads.
    /// [`OpenError::Form`] if it is not a named pipe.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Pipe)
    }

    /// Becomes the writer, and waits for a reader.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) while another writer lives;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it goes both ways.
    pub fn writer(&self) -> io::Result<PipeWriter> {
        self.writer_until(Deadline::NEVER)
    }

    /// Like [`writer`](Self::writer), with options.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn writer_with(&self, options: PipeOptions) -> io::Result<PipeWriter> {
        self.writer_until_with(Deadline::NEVER, options)
    }

    /// Like [`writer`](Self::writer), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn writer_until(&self, deadline: impl Into<Deadline>) -> io::Result<PipeWriter> {
        self.writer_until_with(deadline, PipeOptions::default())
    }

    /// Like [`writer_until`](Self::writer_until), with options.
    ///
    /// # Errors
    /// As [`writer_until`](Self::writer_until).
    pub fn writer_until_with(
        &self,
        deadline: impl Into<Deadline>,
        options: PipeOptions,
    ) -> io::Result<PipeWriter> {
        self.expect_ways(1)?;
        let mut meeting = self.begin(Side::First)?;
        let outgoing = outgoing(&meeting, &self.ring, options)?;
        meet(&mut meeting, options, deadline.into(), |_| Ok(()))?;
        let (ring, meeting) = (self.ring.clone(), Arc::new(meeting));
        Ok(PipeWriter::new(ring, meeting, Some(outgoing), options))
    }

    /// Becomes the reader, and waits for a writer.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn reader(&self) -> io::Result<PipeReader> {
        self.reader_until(Deadline::NEVER)
    }

    /// Like [`reader`](Self::reader), with options.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn reader_with(&self, options: PipeOptions) -> io::Result<PipeReader> {
        self.reader_until_with(Deadline::NEVER, options)
    }

    /// Like [`reader`](Self::reader), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`reader`](Self::reader), and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn reader_until(&self, deadline: impl Into<Deadline>) -> io::Result<PipeReader> {
        self.reader_until_with(deadline, PipeOptions::default())
    }

    /// Like [`reader_until`](Self::reader_until), with options.
    ///
    /// # Errors
    /// As [`reader_until`](Self::reader_until).
    pub fn reader_until_with(
        &self,
        deadline: impl Into<Deadline>,
        options: PipeOptions,
    ) -> io::Result<PipeReader> {
        self.expect_ways(1)?;
        let mut meeting = self.begin(Side::Second)?;
        let incoming = meet_to_read(&mut meeting, &self.ring, options, deadline.into())?;
        let (ring, meeting) = (self.ring.clone(), Arc::new(meeting));
        Ok(PipeReader::new(ring, meeting, Some(incoming), options))
    }

    /// Becomes one of the two sides of a named pipe that goes both ways, and waits for the other.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) while both sides are taken;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it goes one way only.
    pub fn connect(&self) -> io::Result<Duplex> {
        self.connect_until(Deadline::NEVER)
    }

    /// Like [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(&self, options: PipeOptions) -> io::Result<Duplex> {
        self.connect_until_with(Deadline::NEVER, options)
    }

    /// Like [`connect`](Self::connect), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn connect_until(&self, deadline: impl Into<Deadline>) -> io::Result<Duplex> {
        self.connect_until_with(deadline, PipeOptions::default())
    }

    /// Like [`connect_until`](Self::connect_until), with options.
    ///
    /// # Errors
    /// As [`connect_until`](Self::connect_until).
    pub fn connect_until_with(
        &self,
        deadline: impl Into<Deadline>,
        options: PipeOptions,
    ) -> io::Result<Duplex> {
        self.expect_ways(2)?;
        let back = back(&self.location, self.ring.capacity_bytes())
            .make_or_open()
            .map_err(|error| attach_error(self.ring.explain(error.into())))?;
        let in_place = self.ring.in_place();
        in_place.map_err(|error| attach_error(self.ring.explain(error.into())))?;
        let mut meeting = match self.begin(Side::First) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => self.begin(Side::Second)?,
            meeting => meeting?,
        };
        let (out, back) = match meeting.side() {
            Side::First => (self.ring.clone(), back),
            Side::Second => (back, self.ring.clone()),
        };
        let outgoing = outgoing(&meeting, &out, options)?;
        let incoming = meet_to_read(&mut meeting, &back, options, deadline.into())?;
        let meeting = Arc::new(meeting);
        Ok(Duplex {
            reader: PipeReader::new(back, meeting.clone(), Some(incoming), options),
            writer: PipeWriter::new(out, meeting, Some(outgoing), options),
        })
    }

    /// Returns `true` once the named pipe was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.ring.is_removed()
    }

    /// Returns `true` if it goes both ways.
    pub fn both_ways(&self) -> bool {
        self.ring.segment().description().parameters[0] == 2
    }

    /// Returns how many bytes can be written and not yet read, in each direction.
    pub fn capacity_bytes(&self) -> u64 {
        self.ring.capacity_bytes()
    }

    /// Returns the settings, and the state at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<FifoStatus, StatusError> {
        self.ring.looked_into(|| {
            Ok(FifoStatus {
                capacity_bytes: self.capacity_bytes(),
                both_ways: self.both_ways(),
                ends: Meeting::owners(&self.ring),
            })
        })
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.ring.differences()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.ring.path()
    }

    fn expect_ways(&self, ways: u64) -> io::Result<()> {
        let why = match (ways, self.both_ways()) {
            (1, true) => "this named pipe goes both ways: connect to it",
            (2, false) => "this named pipe goes one way: write to it, or read from it",
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    fn begin(&self, side: Side) -> io::Result<Meeting> {
        let meeting = Meeting::begin(&self.ring, side).map_err(attach_error)?;
        meeting.ok_or_else(|| {
            let end = match (side, self.both_ways()) {
                (Side::First, false) => "writes to it",
                (Side::Second, false) => "reads from it",
                _ => "and another are connected to it",
            };
            let pid = Meeting::owner(&self.ring, side).unwrap_or(0);
            let why = format!("{}: process {pid} {end} already", self.path().display());
            io::Error::new(io::ErrorKind::AddrInUse, why)
        })
    }
}

fn attach_error(error: AttachError) -> io::Error {
    match error {
        AttachError::Removed { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        error => io::Error::other(error),
    }
}

fn outgoing(meeting: &Meeting, ring: &Attachment, options: PipeOptions) -> io::Result<Outgoing> {
    let options = ProducerOptions::default().strategy(options.strategy);
    let producer = meeting.inherit(|| Producer::attach(ring, options));
    let producer = producer.map_err(attach_error)?;
    Ok(Outgoing::new(producer, ring.capacity_bytes()))
}

/// Waits for the other side, prepared to read what it writes.
fn meet_to_read(
    meeting: &mut Meeting,
    ring: &Attachment,
    options: PipeOptions,
    deadline: Deadline,
) -> io::Result<Incoming> {
    let mut consumer = None;
    let reading = ConsumerOptions::default().strategy(options.strategy);
    meet(meeting, options, deadline, |meeting| {
        // The ring has one row only.
        drop(consumer.take());
        let attached = meeting.inherit(|| Consumer::attach(ring, Start::Latest, reading, None));
        consumer = Some(attached.map_err(attach_error)?);
        Ok(())
    })?;
    let consumer = consumer.ok_or(io::ErrorKind::NotConnected)?;
    Ok(Incoming::new(consumer))
}

fn meet(
    meeting: &mut Meeting,
    options: PipeOptions,
    deadline: Deadline,
    get_ready: impl FnMut(&Meeting) -> io::Result<()>,
) -> io::Result<()> {
    match meeting.meet(options.strategy, deadline, get_ready)? {
        Met::Yes => Ok(()),
        Met::TimedOut => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no process opened the other end until the deadline",
        )),
        Met::Trouble(Trouble::Forked) => Err(io::Error::other(PublishError::Forked)),
        Met::Trouble(Trouble::Poisoned) => Err(io::Error::other(
            "a file of the named pipe was cut short: create it anew",
        )),
        Met::Trouble(Trouble::Removed) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the named pipe was removed while it was open: open the one that has its name now",
        )),
    }
}
