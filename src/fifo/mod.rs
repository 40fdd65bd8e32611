//! Named pipes between unrelated processes.
//!
//! Layer 7, on `pipe`. A FIFO is the ring of a pipe in a directory; one for both directions has another one
//! inside. Both sides wait for each other (`ring::pact`) before the first byte, so the bytes of one writer
//! are read by one reader.

mod open;

use crate::attach::{shown, Attachment};
use crate::endpoint::{look_until, Builder, Difference, Meeting, StatusError};
use crate::layout::form::Form;
use crate::pipe::PIPE_CAPACITY;

pub use crate::pipe::PipeOptions;
use crate::ring::pact::BOARD_WORDS;
use crate::segment::{CreateError, Location, NameError, OpenError, Place, RemoveError};
use crate::wait::Deadline;
use std::path::Path;

/// The ring inside one for both directions.
const BACK: &str = "back";

/// A named pipe that this process has open. Cheap to clone.
///
/// # Guarantees
/// - There is one writer and one reader at a time, or two sides if it goes both ways. Another one is
///   refused with [`AddrInUse`](std::io::ErrorKind::AddrInUse) while they live.
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
}
