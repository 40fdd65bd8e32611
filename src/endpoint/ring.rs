//! An open ring: making handles, and its properties.
//!
//! Layer 5.

use super::consumer::Consumer;
use super::observer::Observer;
use super::options::{ConsumerOptions, ObserverOptions, ProducerOptions};
use super::producer::Producer;
use crate::attach::{shown, AttachError, Attachment, Builder, Difference, Lease, RingFiles};
use crate::layout::form::Form;
use crate::layout::opaque::OpaqueSchema;
use crate::layout::origin::Origin;
use crate::layout::schema::Schema;
use crate::ring::Start;
#[cfg(feature = "shared_memory")]
use crate::segment;
use crate::segment::{CursorName, MappingOptions, OpenError, Place, RemoveError};
use std::os::fd::BorrowedFd;
use std::path::Path;
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
    object: Attachment,
}

shown!([] Ring, "Ring", |ring| form = ring.form(), path = ring.path());

impl Ring {
    /// An attached object as a ring: one that is, or one that was listed and can only be looked at.
    pub(crate) fn of(object: Attachment) -> Self {
        Self { object }
    }

    /// What it has in common with objects of every form.
    pub(crate) fn object(&self) -> &Attachment {
        &self.object
    }

    /// Describes a new ring at a place: a name in the slipring directory, or a path ([`Place`]).
    pub fn builder(place: impl Into<Place>) -> Builder {
        Builder::of(place)
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
    /// [`OpenError`]: no such ring, no permission, not trusted, damaged, of another version, of
    /// [another boot](OpenError::OtherBoot).
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        let location = place.into().location()?;
        Attachment::open_form(&location, MappingOptions::default(), Form::Ring).map(Self::of)
    }

    /// Opens a ring from descriptors that another process handed over: those of
    /// [`files`](Self::files) of a ring that was made with [`anonymous`](Self::anonymous).
    ///
    /// # Errors
    /// As [`open`](Self::open). A descriptor that is not of a file in memory, or not sealed against
    /// shrinking, is [`Untrusted`](OpenError::Untrusted); so are those of a ring that has a name, whose
    /// owner can truncate it: open it by its name.
    pub fn from_files(files: RingFiles) -> Result<Self, OpenError> {
        Attachment::from_files_of(files, Form::Ring).map(Self::of)
    }

    /// Opens a ring that [`Builder::create_in`](crate::endpoint::Builder::create_in) wrote into a
    /// shared-memory segment.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "shared_memory")]
    pub fn adopt(segment: shared_memory::Shmem) -> Result<Self, OpenError> {
        let object = Attachment::from_segment(segment::adopt(segment)?);
        object.expect_form(Form::Ring)?;
        Ok(Self::of(object))
    }

    /// Removes the ring at a place, if it is not in use. [`slipring::registry::remove_at`](crate::registry::remove_at) removes an
    /// object of any form, and by force.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a producer, a consumer, or an observer that may sleep is attached; an
    /// observer that [spins](crate::Strategy::Spin) does not count.
    /// [`OpenError::Form`] if it is not a ring.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Ring)
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
        self.object.expect_form(Form::Ring)?;
        Producer::attach(&self.object, options)
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
        self.object.expect_form(Form::Ring)?;
        Consumer::attach(&self.object, start, options, None)
    }

    /// Adds a consumer with a durable cursor: its place in the ring has a name and outlives the process.
    /// The next consumer of that name goes on exactly behind the last message that was acknowledged (whose
    /// guard was dropped). Its first message says how many before it are [no longer there](crate::Message::missed). `start` matters only the first time.
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
        self.object.expect_form(Form::Ring)?;
        Consumer::attach(&self.object, start, options, Some(CursorName::new(name)?))
    }

    /// Forgets a durable cursor and frees its row. Returns `true` if there was one.
    ///
    /// # Errors
    /// [`AttachError::CursorInUse`] while a live process uses it; [`AttachError::Permission`].
    pub fn forget_cursor(&self, name: &str) -> Result<bool, AttachError> {
        self.object.undisturbed()?;
        self.object.expect_form(Form::Ring)?;
        let name = CursorName::new(name)?;
        let lease = Lease::take_existing_cursor(&self.object, name)?;
        Ok(lease.map(Lease::forget).is_some())
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
        self.object.expect_form(Form::Ring)?;
        Observer::attach(&self.object, start, options)
    }

    /// Returns the form; [`Form::Ring`] unless the ring comes from [`list`](crate::registry::list) or
    /// [`look_at`](crate::registry::look_at), which open objects of any form. Such an object can be looked at, and gives no
    /// producer, consumer or observer.
    pub fn form(&self) -> Form {
        self.object.form()
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
        self.object.differences()
    }

    /// Returns the capacity: the bytes of data.
    pub fn capacity_bytes(&self) -> u64 {
        self.object.capacity_bytes()
    }

    /// Returns how many bytes of memory the ring takes in all: data, index, administration and opaque schema, and the same
    /// for each ring inside it, such as the lanes of a queue, the letters and replies of a mailbox, or the
    /// second direction of a link. Counts the rings that are in its directory during the call.
    pub fn memory_bytes(&self) -> u64 {
        self.object.memory_bytes()
    }

    /// Returns the size of the largest message, in bytes.
    pub fn max_message_bytes(&self) -> u32 {
        self.object.max_message_bytes()
    }

    /// Returns how long a consumer may hold one publish back before the producer goes on without it; `None`
    /// if the producer waits without limit. See [`Builder::evict_after`](crate::endpoint::Builder::evict_after).
    pub fn evicts_after(&self) -> Option<Duration> {
        self.object.evicts_after()
    }

    /// Returns how many readers can hold a row at once.
    pub fn max_readers(&self) -> u32 {
        self.object.max_readers()
    }

    /// Returns the alignment of frames, in bytes.
    pub fn frame_align(&self) -> u64 {
        self.object.description().geometry.align
    }

    /// Returns the fields of the messages, if the ring has a schema.
    pub fn schema(&self) -> Option<&Schema> {
        self.object.schema()
    }

    /// Returns where the messages of a mirrored, replayed or recovered ring come from, as its creator stored
    /// it; `None` if they were first published here.
    pub fn origin(&self) -> Option<&Origin> {
        self.object.description().origin.as_ref()
    }

    /// Returns the name and the version of the implementation that made the ring, for logs: `slipring 0.1.0`.
    /// Up to 32 bytes, which may be empty.
    pub fn maker(&self) -> &str {
        &self.object.description().maker
    }

    /// Returns the schema in the language of another system, if the ring has one; reads its file.
    ///
    /// # What others may change meanwhile
    /// The schema of a ring never changes. Once the ring was removed, its file is gone.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] once the ring was removed; [`OpenError::Truncated`], [`OpenError::Mismatched`] or
    /// [`OpenError::Untrusted`] of a file that is missing or not the one that belongs to this ring. The ring itself can be
    /// used all the same.
    pub fn opaque_schema(&self) -> Result<Option<OpaqueSchema>, OpenError> {
        self.object.segment().opaque_schema()
    }

    /// Returns the random identity of this ring.
    pub fn id(&self) -> u128 {
        self.object.id()
    }

    /// Returns when the ring was made, in nanoseconds since 1970, by its creator's clock.
    pub fn created_ns(&self) -> u64 {
        self.object.description().created_ns
    }

    /// Returns the path of the ring's directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.object.path()
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
        self.object.is_removed()
    }

    /// Returns `true` if this user may consume; `false` if it may only observe.
    pub fn may_consume(&self) -> bool {
        self.object.may_consume()
    }

    /// Returns the descriptors behind the ring; `None` if it has none or this user may not open all of
    /// them.
    pub fn files(&self) -> Option<RingFiles<BorrowedFd<'_>>> {
        self.object.files()
    }

    /// Checks the schema of the ring against the one a program expects.
    ///
    /// # Errors
    /// [`OpenError::Schema`] names the first field that differs.
    pub fn expect_schema(&self, here: &Schema) -> Result<(), OpenError> {
        self.object.expect_schema(here)
    }

    /// Returns `true` if messages carry a stamp and consumers keep a latency histogram.
    pub fn stamps(&self) -> bool {
        self.object.stamps()
    }
}
