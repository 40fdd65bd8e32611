//! The newest value of one writer: a value, or a table of them.
//!
//! Layer 7. A segment without messages, whose data are cells (`ring::cell`). The writer holds the
//! producer's role; readers map the data read-only, and hold a row only where they may sleep.

mod error;
#[cfg(feature = "async")]
mod event;
mod reader;
mod writer;

pub use error::LatestError;
pub use reader::LatestReader;
pub use writer::LatestWriter;

use crate::attach::{shown, Attachment};
use crate::endpoint::{look_until, options, AttachError, Builder, Difference, StatusError};
use crate::layout::form::Form;
use crate::layout::schema::Schema;
use crate::ring::cell::{table_bytes, Cells};
use crate::ring::consumer::epoch;
use crate::segment::{CreateError, MappingOptions, OpenError, Place, RemoveError, Role};
use crate::typed::{Plain, Value};
use crate::wait::Deadline;
use std::marker::PhantomData;
use std::path::Path;

/// The newest value of one writer, or a table of newest values, that this process has open. Cheap to
/// clone.
///
/// # Guarantees
/// - A reader gets a complete value that was set, and none older than the newest one set before it began to
///   read. Its version never goes back.
/// - The writer never waits for readers, and makes no system call unless a reader sleeps. A reader repeats
///   its copy only if three more values were set during it.
/// - If the writer dies while it sets a value, the value before stays. The next writer continues the
///   versions.
///
/// # What others may change meanwhile
/// The writer sets values at any time. The number of cells and the type never change.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("quotes");
/// use slipring::Latest;
///
/// slipring::message! {
///     pub struct Quote { pub bid: f64, pub ask: f64 }
/// }
///
/// let quotes = Latest::<Quote>::builder(&path).cells(500).create()?;
/// let mut writer = quotes.writer()?;
/// let mut reader = Latest::<Quote>::open(&path)?.reader()?; // in another process
///
/// assert_eq!(reader.get_at(7)?, None);
/// writer.set_at(7, &Quote { bid: 99.5, ask: 100.5 })?;
/// writer.set_at(7, &Quote { bid: 99.0, ask: 100.0 })?;
/// let (quote, version) = reader.get_at(7)?.unwrap();
/// assert_eq!((quote.bid, version), (99.0, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Latest<T: ?Sized> {
    attachment: Attachment,
    cells: Cells,
    value: PhantomData<fn() -> T>,
}

options! {
    /// How a reader of newest values behaves.
    ReaderOptions { strategy }
}

impl<T: ?Sized> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self {
            attachment: self.attachment.clone(),
            cells: self.cells.clone(),
            value: PhantomData,
        }
    }
}

shown!([T: ?Sized] Latest<T>, "Latest", |latest| path = latest.attachment.path());

/// The state of a table at some moment, without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatestStatus {
    /// How many values there are.
    pub cells: u32,
    /// How often any of them was set.
    pub changes: u64,
    /// Whether a writer is alive; unknown without permission to ask.
    pub writer_alive: Option<bool>,
    /// The process id that the last writer gave; 0 if there never was one.
    pub writer_pid: u32,
    /// How many writers there have been.
    pub writers: u64,
    /// Readers that are alive and may sleep; others are not known.
    pub readers: u32,
}

/// The settings of a new table of values. Made by [`Latest::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct LatestBuilder<T: ?Sized> {
    inner: Builder,
    schema: Schema,
    cells: u32,
    value: PhantomData<fn() -> T>,
}

impl<T: Value + ?Sized> LatestBuilder<T> {
    fn new(inner: Builder, schema: Schema) -> Self {
        Self {
            inner,
            schema,
            cells: 1,
            value: PhantomData,
        }
    }

    /// Sets how many values there are; 1 by default.
    pub fn cells(mut self, cells: u32) -> Self {
        self.cells = cells;
        self
    }

    /// Sets how many readers that may sleep can be attached at once; 32 by default, 1 to 1024.
    pub fn max_readers(mut self, readers: u32) -> Self {
        self.inner = self.inner.max_readers(readers);
        self
    }

    /// Sets who may read, as the permission bits of a file; `0o600` by default. For group and others,
    /// writing means being woken. Only the owner sets values.
    pub fn mode(mut self, mode: u32) -> Self {
        self.inner = self.inner.mode(mode);
        self
    }

    /// Creates the table and opens it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring.
    pub fn create(self) -> Result<Latest<T>, CreateError> {
        let (described, schema) = self.described();
        Latest::of(described.make()?, &schema).map_err(CreateError::Open)
    }

    /// Opens the table if it exists, else creates it. An existing one keeps its size; its type must
    /// agree.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Latest<T>, CreateError> {
        let (described, schema) = self.described();
        Latest::of(described.make_or_open()?, &schema).map_err(CreateError::Open)
    }

    fn described(self) -> (Builder, Schema) {
        let value_bytes = u64::from(self.schema.bytes());
        let bytes = table_bytes(self.cells, value_bytes);
        let capacity = bytes.checked_next_power_of_two().unwrap_or(u64::MAX);
        let parameters = [u64::from(self.cells), value_bytes];
        let described = self
            .inner
            .capacity_bytes(capacity.max(4096))
            .schema(self.schema.clone())
            .form(Form::Latest, 0, parameters);
        (described, self.schema)
    }
}

impl<T: Plain> Latest<T> {
    /// Describes a new table at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> LatestBuilder<T> {
        LatestBuilder::new(Builder::of(place), T::schema())
    }

    /// Opens the table at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring; [`OpenError::Schema`] if its values are not `T`.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        let location = place.into().location()?;
        let mapping = MappingOptions::default();
        let attachment = Attachment::open_form(&location, mapping, Form::Latest)?;
        attachment.expect_values::<T>(&T::schema())?;
        Self::of(attachment, &T::schema())
    }

    /// Like [`open`](Self::open), waiting until there is a table at the place, at most until a deadline.
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

    /// Removes the table at a place.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a writer is attached, or a reader that may sleep.
    /// [`OpenError::Form`] if it is not a latest value.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Latest)
    }
}

impl Latest<[u8]> {
    /// Describes a new table of values that the program has no type for, at a place.
    ///
    /// ```
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("quotes");
    /// use slipring::Latest;
    ///
    /// let table = Latest::builder_of(&path, "Quote{bid:f64,size:u32[2]}".parse()?).create()?;
    /// table.writer()?.set(&[7; 16])?;
    ///
    /// let mut reader = Latest::open_any(&path)?.reader()?; // in another process
    /// assert_eq!(reader.get()?, Some(([7; 16].into(), 1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder_of(place: impl Into<Place>, schema: Schema) -> LatestBuilder<[u8]> {
        LatestBuilder::new(Builder::of(place), schema)
    }

    /// Opens the table at a place, whatever its values are: [`schema`](Self::schema) says that.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring.
    pub fn open_any(place: impl Into<Place>) -> Result<Self, OpenError> {
        let location = place.into().location()?;
        let mapping = MappingOptions::default();
        let attachment = Attachment::open_form(&location, mapping, Form::Latest)?;
        let schema = attachment.any_schema()?;
        Self::of(attachment, &schema)
    }

    /// Like [`open_any`](Self::open_any), waiting until there is a table at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open_any`](Self::open_any). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_any_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open_any(&place))
    }
}

impl<T: Value + ?Sized> Latest<T> {
    /// What it is made of and what the caller expects agree.
    fn of(attachment: Attachment, schema: &Schema) -> Result<Self, OpenError> {
        attachment.expect_schema(schema)?;
        let cells = Self::cells_in(&attachment, attachment.segment().reader())?;
        Ok(Self {
            attachment,
            cells,
            value: PhantomData,
        })
    }

    fn cells_in(
        attachment: &Attachment,
        memory: &crate::segment::Memory,
    ) -> Result<Cells, OpenError> {
        let [count, bytes] = attachment.segment().description().parameters;
        let count = u32::try_from(count).ok();
        count
            .filter(|_| attachment.schema().map(|schema| u64::from(schema.bytes())) == Some(bytes))
            .and_then(|count| Cells::new(memory, count, bytes))
            .ok_or_else(|| OpenError::Untrusted {
                path: attachment.path().to_owned(),
                why: "its cells are not where they say",
            })
    }

    /// Becomes the one writer.
    ///
    /// # Errors
    /// [`AttachError::AlreadyOwned`] while another writer lives, in any process.
    pub fn writer(&self) -> Result<LatestWriter<T>, AttachError> {
        LatestWriter::attach(self)
    }

    /// Becomes a reader.
    ///
    /// # Errors
    /// [`AttachError::Forked`], [`AttachError::Poisoned`].
    pub fn reader(&self) -> Result<LatestReader<T>, AttachError> {
        self.reader_with(ReaderOptions::default())
    }

    /// Like [`reader`](Self::reader), with options.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn reader_with(&self, options: ReaderOptions) -> Result<LatestReader<T>, AttachError> {
        LatestReader::attach(self, options)
    }

    /// Returns `true` once the table was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.attachment.is_removed()
    }

    /// Returns the state at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<LatestStatus, StatusError> {
        let attachment = &self.attachment;
        attachment.looked_into(|| {
            Ok(LatestStatus {
                cells: self.cells.count(),
                changes: self.cells.changes(),
                writer_alive: attachment.is_held(Role::Producer),
                writer_pid: attachment.producer_pid(),
                writers: epoch(attachment.segment().reader()).number,
                readers: attachment.live_rows(),
            })
        })
    }

    fn value_bytes(&self) -> usize {
        self.schema().map_or(0, |schema| schema.bytes() as usize)
    }

    /// Returns what the values are made of.
    pub fn schema(&self) -> Option<&Schema> {
        self.attachment.schema()
    }

    /// Returns how many values there are.
    pub fn cells(&self) -> u32 {
        self.cells.count()
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.attachment.differences()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.attachment.path()
    }
}
