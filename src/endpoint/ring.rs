//! An open ring: making handles, and its properties.
//!
//! Layer 5.

mod roles;

use super::builder::Builder;
use super::consumer::Consumer;
use super::difference::Difference;
use super::error::AttachError;
use super::observer::Observer;
use super::options::{ConsumerOptions, ObserverOptions, ProducerOptions};
use super::producer::Producer;
use super::seat::Seat;
use super::shown::shown;
use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::lines::RowState;
use crate::layout::schema::{Schema, SchemaMismatch};
use crate::ring::Start;
use crate::segment::{
    self, bytes_inside, Canary, CursorName, Files, Location, MappingOptions, OpenError, Place,
    RemoveError, Segment, Trouble,
};
use crate::sync::Ordering::Relaxed;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A ring this process has open. Cheap to clone; every handle keeps it alive.
///
/// # What others may change meanwhile
/// A producer may come, go, or be replaced; readers may come and go. The size, the schema and the
/// identity of a ring never change.
///
/// ```
/// use slipring::{Ring, Start};
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer(Start::Latest)?;
/// producer.publish(b"hello")?;
/// assert_eq!(&*consumer.receive()?.unwrap(), b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Ring {
    segment: Arc<Segment>,
    canary: Canary,
    origin: Option<Arc<Origin>>,
    differences: Option<Arc<[Difference]>>,
}

shown!([] Ring, "Ring", |ring| form = ring.form(), path = ring.path());

/// The broker a ring came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it listens.
    pub socket: PathBuf,
    /// The cursor it was asked for; empty for none.
    pub cursor: String,
    /// Which of its streams this is; zero for none yet.
    pub stream: u32,
    /// The identity of the broker's ring; zero for none yet.
    pub ring: u128,
}

impl Origin {
    /// A broker that has not been asked yet.
    pub fn new(socket: PathBuf, cursor: &str) -> Self {
        Self {
            socket,
            cursor: cursor.to_owned(),
            stream: 0,
            ring: 0,
        }
    }
}

/// The descriptors of a ring in anonymous memory, to be handed to another process.
#[derive(Debug)]
pub struct RingFiles<F = OwnedFd> {
    /// The stream.
    pub stream: F,
    /// Rows and bells.
    pub control: F,
    /// Lock bytes.
    pub lock: F,
}

impl Ring {
    pub(crate) fn from_segment(segment: Segment) -> Self {
        Self {
            segment: Arc::new(segment),
            canary: Canary::of_this_process(),
            origin: None,
            differences: None,
        }
    }

    /// Marks the ring as opened, not created.
    pub(super) fn with_differences(self, differences: Vec<Difference>) -> Self {
        Self {
            differences: (!differences.is_empty()).then(|| differences.into()),
            ..self
        }
    }

    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self {
            origin: Some(Arc::new(origin)),
            ..self
        }
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// Describes a new ring at a place: a name in the slipring directory, or a path ([`Place`]).
    pub fn builder(place: impl Into<Place>) -> Builder {
        Builder::named(place.into().location())
    }

    /// Describes a new ring without a name, in anonymous memory files whose descriptors
    /// ([`files`](Self::files)) can be handed to other processes.
    pub fn anonymous() -> Builder {
        Builder::anonymous()
    }

    /// Describes a new ring on the heap, for one process: tests, examples, threads.
    pub fn heap() -> Builder {
        Builder::on_heap()
    }

    /// Opens the ring at a place.
    ///
    /// # Errors
    /// [`OpenError`]: no such ring, no permission, not trusted, damaged, of another version.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        let location = place.into().location()?;
        Self::open_form(&location, MappingOptions::default(), Form::Ring)
    }

    /// Opens an object that must be of a certain form.
    pub(crate) fn open_form(
        location: &Location,
        mapping: MappingOptions,
        expected: Form,
    ) -> Result<Self, OpenError> {
        let segment = segment::open(location, mapping);
        let segment = segment.map_err(|error| error.looked_for(expected))?;
        let ring = Self::from_segment(segment);
        ring.expect_form(expected)?;
        Ok(ring)
    }

    /// Checks that it is of this form.
    pub(crate) fn expect_form(&self, expected: Form) -> Result<(), OpenError> {
        match self.form() {
            found if found == expected => Ok(()),
            found => Err(OpenError::Form {
                path: self.path().to_owned(),
                found,
                expected,
            }),
        }
    }

    /// Opens a ring from descriptors that another process handed over: those of
    /// [`files`](Self::files) of a ring that was made with [`anonymous`](Self::anonymous).
    ///
    /// # Errors
    /// As [`open`](Self::open). A descriptor that is not of a file in memory, or not sealed against
    /// shrinking, is [`Untrusted`](OpenError::Untrusted); so are those of a ring that has a name, whose
    /// owner can truncate it: open it by its name.
    pub fn from_files(files: RingFiles) -> Result<Self, OpenError> {
        Self::from_files_of(files, Form::Ring)
    }

    /// Like [`from_files`](Self::from_files), for an object that must be of a certain form.
    pub(crate) fn from_files_of(files: RingFiles, form: Form) -> Result<Self, OpenError> {
        let files = Files {
            stream: files.stream,
            control: Some(files.control),
            lock: Some(files.lock),
            named: false,
        };
        let mapping = MappingOptions::default();
        let ring = Self::from_segment(segment::from_files(files, mapping)?);
        ring.expect_form(form)?;
        Ok(ring)
    }

    /// Opens a ring that [`Builder::create_in`](crate::endpoint::Builder::create_in) wrote into a
    /// shared-memory segment.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "shared_memory")]
    pub fn adopt(segment: shared_memory::Shmem) -> Result<Self, OpenError> {
        let ring = Self::from_segment(segment::adopt(segment)?);
        ring.expect_form(Form::Ring)?;
        Ok(ring)
    }

    /// Removes the ring at a place, if it is not in use. [`slipring::registry::remove_at`](crate::registry::remove_at) removes an
    /// object of any form, and by force.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a producer, a consumer, or an observer that may sleep is attached; an
    /// observer that [spins](crate::Strategy::Spin) does not count.
    /// [`OpenError::Form`] if it is not a ring.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Self::remove_form(place.into(), Form::Ring)
    }

    /// Removes what lies there, if it is of this form and not in use.
    pub(crate) fn remove_form(place: Place, form: Form) -> Result<(), RemoveError> {
        let location = place.location().map_err(OpenError::from)?;
        segment::remove(&location, Some(form), false)
    }

    /// Becomes the ring's one producer, taking over where the last one left it.
    ///
    /// # Errors
    /// [`AttachError::AlreadyOwned`] while another producer lives, in any process.
    /// [`OpenError::Form`] of an object that was listed and is not a ring.
    pub fn producer(&self) -> Result<Producer, AttachError> {
        self.producer_with(ProducerOptions::default())
    }

    /// Like [`producer`](Self::producer), with options.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    pub fn producer_with(&self, options: ProducerOptions) -> Result<Producer, AttachError> {
        self.expect_form(Form::Ring)?;
        Producer::attach(self, options)
    }

    /// Adds a consumer: it misses nothing from `start` on, and holds the producer back when it is a whole
    /// ring behind.
    ///
    /// # Errors
    /// [`AttachError`]: no free row, no permission, `start` is not in the ring, the object is not a ring.
    pub fn consumer(&self, start: Start) -> Result<Consumer, AttachError> {
        self.consumer_with(start, ConsumerOptions::default())
    }

    /// Like [`consumer`](Self::consumer), with options.
    ///
    /// # Errors
    /// As [`consumer`](Self::consumer).
    pub fn consumer_with(
        &self,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<Consumer, AttachError> {
        self.expect_form(Form::Ring)?;
        Consumer::attach(self, start, options, None)
    }

    /// Adds a consumer with a durable cursor: its place in the ring has a name and outlives the process.
    /// The next consumer of that name goes on exactly behind the last message that was acknowledged (whose
    /// guard was dropped), or one [`ReceiveError::Evicted`](crate::endpoint::ReceiveError::Evicted) tells it how many
    /// messages are no longer there. `start` matters only the first time.
    ///
    /// While no consumer uses it, the cursor does not hold the producer back, and keeps its row until
    /// [`forget_cursor`](Self::forget_cursor). It belongs to this ring and is removed with it.
    ///
    /// # Errors
    /// As [`consumer`](Self::consumer), and [`AttachError::CursorInUse`] while a live process uses
    /// it.
    ///
    /// ```
    /// use slipring::{Ring, Start};
    ///
    /// let ring = Ring::heap().create()?;
    /// let mut producer = ring.producer()?;
    /// let mut consumer = ring.durable_consumer("risk", Start::Oldest)?;
    /// producer.publish(b"first")?;
    /// producer.publish(b"second")?;
    /// assert_eq!(&*consumer.receive()?.unwrap(), b"first"); // acknowledged here
    /// drop(consumer);
    ///
    /// let mut consumer = ring.durable_consumer("risk", Start::Oldest)?;
    /// assert_eq!(&*consumer.receive()?.unwrap(), b"second");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durable_consumer(&self, name: &str, start: Start) -> Result<Consumer, AttachError> {
        self.durable_consumer_with(name, start, ConsumerOptions::default())
    }

    /// Like [`durable_consumer`](Self::durable_consumer), with options.
    ///
    /// # Errors
    /// As [`durable_consumer`](Self::durable_consumer).
    pub fn durable_consumer_with(
        &self,
        name: &str,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<Consumer, AttachError> {
        self.expect_form(Form::Ring)?;
        Consumer::attach(self, start, options, Some(CursorName::new(name)?))
    }

    /// Forgets a durable cursor and frees its row. Returns `true` if there was one.
    ///
    /// # Errors
    /// [`AttachError::CursorInUse`] while a live process uses it; [`AttachError::Permission`].
    pub fn forget_cursor(&self, name: &str) -> Result<bool, AttachError> {
        self.undisturbed()?;
        self.expect_form(Form::Ring)?;
        let name = CursorName::new(name)?;
        let Some(seat) = Seat::of_existing(self, name)? else {
            return Ok(false);
        };
        if let Some(row) = self.segment.reader().row(seat.row) {
            row.state.store(RowState::Free as u32, Relaxed);
        }
        Ok(true)
    }

    /// Adds an observer: it never holds the producer back, and is told exactly how many messages it missed.
    /// Needs only permission to read.
    ///
    /// # Errors
    /// [`AttachError`]: `start` is not in the ring, the object is not a ring.
    pub fn observer(&self, start: Start) -> Result<Observer, AttachError> {
        self.observer_with(start, ObserverOptions::default())
    }

    /// Like [`observer`](Self::observer), with options.
    ///
    /// # Errors
    /// As [`observer`](Self::observer).
    pub fn observer_with(
        &self,
        start: Start,
        options: ObserverOptions,
    ) -> Result<Observer, AttachError> {
        self.expect_form(Form::Ring)?;
        Observer::attach(self, start, options)
    }

    /// Returns the form; [`Form::Ring`] unless the ring comes from [`list`](crate::registry::list) or
    /// [`look_at`](crate::registry::look_at), which open objects of any form. Such an object can be looked at, and gives no
    /// producer, consumer or observer.
    pub fn form(&self) -> Form {
        self.description().form
    }

    /// Returns how an existing ring differs from what [`Builder::create_or_open`] asked for; empty for a
    /// ring that was created, or opened by any other call.
    ///
    /// ```
    /// use slipring::Ring;
    ///
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("ring");
    /// Ring::builder(&path).max_readers(8).create()?;
    /// let ring = Ring::builder(&path).max_readers(100).create_or_open()?;
    /// assert_eq!(ring.differences()[0].to_string(), "readers: 8, not 100");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn differences(&self) -> &[Difference] {
        self.differences.as_deref().unwrap_or_default()
    }

    /// Returns the capacity: the bytes of data.
    pub fn capacity_bytes(&self) -> u64 {
        self.description().geometry.capacity
    }

    /// Returns how many bytes of memory the ring takes in all: data, index and administration, and the same
    /// for each ring inside it, such as the lanes of a queue, the letters and replies of a mailbox, or the
    /// second direction of a link. Counts the rings that are in its directory during the call.
    pub fn memory_bytes(&self) -> u64 {
        let geometry = self.description().geometry;
        let own = geometry.stream_bytes() + geometry.control_bytes();
        let named = self.segment.files().is_some_and(|files| files.named);
        match Location::at(self.path()) {
            Ok(location) if named && !self.is_removed() => own + bytes_inside(&location),
            _ => own,
        }
    }

    /// Returns the size of the largest message, in bytes.
    pub fn max_message_bytes(&self) -> u32 {
        self.description().geometry.max_payload()
    }

    /// Returns how long a consumer may hold one publish back before the producer goes on without it; `None`
    /// if the producer waits without limit. See [`Builder::evict_after`](crate::endpoint::Builder::evict_after).
    pub fn evicts_after(&self) -> Option<Duration> {
        let geometry = self.description().geometry;
        geometry
            .evicts()
            .then(|| Duration::from_nanos(geometry.evict_after_ns))
    }

    /// Returns how many readers can hold a row at once.
    pub fn max_readers(&self) -> u32 {
        self.description().geometry.rows
    }

    /// Returns the alignment of frames, in bytes.
    pub fn frame_align(&self) -> u64 {
        self.description().geometry.align
    }

    /// Returns the fields of the messages, if the ring has a schema.
    pub fn schema(&self) -> Option<&Schema> {
        self.description().schema.as_ref()
    }

    /// Returns the random identity of this ring.
    pub fn id(&self) -> u128 {
        self.description().ring_id
    }

    /// Returns when the ring was made, in nanoseconds since 1970, by its creator's clock.
    pub fn created_ns(&self) -> u64 {
        self.description().created_ns
    }

    /// Returns the path of the ring's directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.segment.path()
    }

    /// Returns `true` once the files of the ring are deleted: no process can open it any more, and its name
    /// may belong to another ring. Processes that are attached still reach each other.
    ///
    /// Asks the kernel. Always `false` for a ring without a name.
    ///
    /// ```
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("ticks");
    /// use slipring::endpoint::AttachError;
    /// use slipring::Ring;
    ///
    /// let ring = Ring::builder(&path).create()?;
    /// slipring::registry::remove_at(&path, false)?;
    /// assert!(ring.is_removed());
    /// assert!(matches!(ring.producer(), Err(AttachError::Removed { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_removed(&self) -> bool {
        self.segment.trouble() == Some(Trouble::Removed)
    }

    /// Returns `true` if this user may consume; `false` if it may only observe.
    pub fn may_consume(&self) -> bool {
        self.segment.may_use_rows()
    }

    /// Returns the descriptors behind the ring; `None` if it has none or this user may not open all of
    /// them.
    pub fn files(&self) -> Option<RingFiles<BorrowedFd<'_>>> {
        let files = self.segment.files()?;
        Some(RingFiles {
            stream: files.stream.as_fd(),
            control: files.control.as_ref()?.as_fd(),
            lock: files.lock.as_ref()?.as_fd(),
        })
    }

    /// Checks the schema of the ring against the one a program expects.
    ///
    /// # Errors
    /// [`OpenError::Schema`] names the first field that differs.
    pub fn expect_schema(&self, here: &Schema) -> Result<(), OpenError> {
        let mismatch = match self.schema() {
            None => Some(SchemaMismatch::Missing),
            Some(ring) => ring.difference(here),
        };
        match mismatch {
            None => Ok(()),
            Some(mismatch) => Err(OpenError::Schema {
                path: self.path().to_owned(),
                mismatch,
            }),
        }
    }

    pub(crate) fn description(&self) -> &Description {
        self.segment.description()
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn canary(&self) -> Canary {
        self.canary
    }
}
