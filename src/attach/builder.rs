//! Describing an object before it exists, and creating it.
//!
//! Layer 5. Checks everything it can before anything is created.

use super::attachment::Attachment;
use super::difference::between;
use crate::layout::description::{Description, MADE_BY};
use crate::layout::form::Form;
use crate::layout::geometry::Geometry;
use crate::layout::opaque::{self, OpaqueMark, OpaqueSchema};
use crate::layout::origin::Origin;
use crate::layout::schema::Schema;
use crate::segment::{
    self, Access, CreateError, Created, Location, MappingOptions, NameError, OpenError, Plan,
    Segment,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often opening and creating alternate, while other processes create and remove the object, before the
/// call gives up.
const ATTEMPTS: usize = 1000;

/// Where the ring will live.
#[derive(Clone, Debug)]
enum Place {
    Named(Result<Location, NameError>),
    Anonymous,
    Heap,
}

/// The settings of a new ring. Made by [`Ring::builder`](crate::Ring::builder) and its siblings.
///
/// ```
/// use slipring::Ring;
///
/// let ring = Ring::heap().capacity_bytes(64 << 10).max_readers(4).create()?;
/// assert_eq!(ring.capacity_bytes(), 64 << 10);
/// # Ok::<(), slipring::place::CreateError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct Builder {
    place: Place,
    capacity: u64,
    align: u64,
    rows: u32,
    first_sequence: u64,
    mode: u32,
    access: Option<Access>,
    huge: bool,
    evict_after: Duration,
    stamps: bool,
    schema: Option<Schema>,
    origin: Option<Origin>,
    /// The bytes of its schema file.
    opaque: Option<Arc<[u8]>>,
    form: Form,
    board: u32,
    parameters: [u64; 2],
    mapping: MappingOptions,
    headroom: u64,
    inside: Vec<Builder>,
}

impl Builder {
    fn new(place: Place) -> Self {
        Self {
            place,
            capacity: 1 << 20,
            align: 8,
            rows: 32,
            first_sequence: 0,
            mode: 0o600,
            access: None,
            huge: false,
            evict_after: Duration::ZERO,
            stamps: false,
            schema: None,
            origin: None,
            opaque: None,
            form: Form::Ring,
            board: 0,
            parameters: [0; 2],
            mapping: MappingOptions::default(),
            headroom: 0,
            inside: Vec::new(),
        }
    }

    /// A builder for an object at a place. A place that cannot be is an error of creating.
    pub(crate) fn of(place: impl Into<segment::Place>) -> Self {
        Self::new(Place::Named(place.into().location()))
    }

    /// A builder for an object at a location.
    pub(crate) fn at(location: &Location) -> Self {
        Self::new(Place::Named(Ok(location.clone())))
    }

    /// A ring inside the one at a location.
    pub(crate) fn inside(parent: &Location, name: &str) -> Self {
        Self::new(Place::Named(Ok(parent.child(name))))
    }

    pub(crate) fn anonymous() -> Self {
        Self::new(Place::Anonymous)
    }

    pub(crate) fn on_heap() -> Self {
        Self::new(Place::Heap)
    }

    /// Sets the capacity in bytes; 1 MiB by default. A power of two from 4096 to 2^40. The largest message
    /// is a quarter of it. A ring well below the size of the last-level cache is fastest.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Sets the alignment of frames in bytes: 8 (the default, best throughput) or 64 (lowest latency for
    /// messages up to 56 bytes, one cache line each).
    pub fn frame_align(mut self, bytes: u64) -> Self {
        self.align = bytes;
        self
    }

    /// Sets how many consumers, and observers that sleep, can be attached at once; 32 by default, 1 to
    /// 1024. Observers that spin need no row.
    pub fn max_readers(mut self, readers: u32) -> Self {
        self.rows = readers;
        self
    }

    /// Sets the sequence of the first message; 0 by default.
    pub fn first_sequence(mut self, sequence: u64) -> Self {
        self.first_sequence = sequence;
        self
    }

    /// Sets who may attach, as the permission bits of a file, exactly and independent of the umask; `0o600`
    /// by default. For group and others, reading means observing and writing means consuming. Only the
    /// owner ever produces.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// For the same users as another ring, inside which it will lie.
    pub(crate) fn like(mut self, outer: &Attachment) -> Result<Self, CreateError> {
        self.access = outer.segment().access()?;
        if let Some(access) = self.access {
            self.mode = access.mode;
        }
        Ok(self)
    }

    /// Sets the schema: the fields of the messages. Readers and producers of typed rings check it.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Sets where the messages come from: for a process that mirrors, replays or restores another ring. It
    /// is stored in the ring, shown to every process that opens it ([`Ring::origin`](crate::Ring::origin)), and changes nothing
    /// else; none by default.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Sets a schema in the language of another system (SBE, FlatBuffers, Protocol Buffers, Cap'n Proto): a file that
    /// lies beside the messages, and that every process which may read the ring can read
    /// ([`Ring::opaque_schema`](crate::Ring::opaque_schema)). Nothing is checked by it, and it is independent of [`schema`](Self::schema).
    ///
    /// It lies in the ring's directory, so creating a ring without a name fails with
    /// [`CreateError::OpaqueSchema`].
    ///
    /// ```
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("quotes");
    /// use slipring::{schema::OpaqueSchema, Ring};
    ///
    /// let schema = OpaqueSchema::new("protobuf", "quote.proto", *b"message Quote {}")?;
    /// Ring::builder(&path).opaque_schema(&schema).create()?;
    /// assert_eq!(Ring::open(&path)?.opaque_schema()?, Some(schema)); // in another process
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn opaque_schema(mut self, schema: &OpaqueSchema) -> Self {
        self.opaque = Some(opaque::encode(schema).into());
        self
    }

    /// Sets how long one publish may be held back by consumers. After that the producer goes on without the
    /// consumers that hold it back, and each is told exactly how many messages it missed, by the next one that it
    /// receives ([`Message::missed`](crate::Message::missed)). Zero, the default, means that it waits
    /// for live consumers without limit.
    ///
    /// A consumer that may be evicted cannot trust bytes in place, so in such a ring consumers copy
    /// each message to private memory before they hand it out. Each eviction in quick succession
    /// halves the time the same row is given next; after sixteen the consumer is expelled, and has
    /// to attach anew.
    pub fn evict_after(mut self, patience: Duration) -> Self {
        self.evict_after = patience;
        self
    }

    /// Sets whether each message carries the time at which it was published, and each consumer keeps a
    /// histogram of the latency of its messages, which any reader of the ring can read while it runs
    /// ([`ReaderStatus::latencies`](crate::endpoint::ReaderStatus::latencies)); off by default. Costs eight bytes and
    /// a reading of the clock for each message, another reading for each consumer that receives it, and a
    /// copy on both sides; claims are copied too. Readers get the same bytes as without stamps. Observers
    /// keep no histogram.
    pub fn stamps(mut self, stamps: bool) -> Self {
        self.stamps = stamps;
        self
    }

    /// Lays the ring out in units of 2 MiB and asks the kernel for huge pages; off by default. The
    /// kernel grants them where the file system does so by itself (tmpfs mounted with `huge=always` or
    /// `huge=within_size`, hugetlbfs). `huge=advise` grants none: all space is reserved before anything is
    /// mapped, so that a full disk is an error and not a signal.
    pub fn huge_pages(mut self, huge: bool) -> Self {
        self.huge = huge;
        self
    }

    /// Sets whether to touch every page at attach, so that the first lap does not fault; on by default.
    pub fn populate(mut self, populate: bool) -> Self {
        self.mapping.populate = populate;
        self
    }

    /// Sets whether to pin the ring in memory (`mlock`); off by default.
    pub fn lock_memory(mut self, lock: bool) -> Self {
        self.mapping.lock_memory = lock;
        self
    }

    /// The form, the number of its shared words, and a number whose meaning the form decides.
    pub(crate) fn form(mut self, form: Form, board: u32, parameters: [u64; 2]) -> Self {
        (self.form, self.board, self.parameters) = (form, board, parameters);
        self
    }

    /// A ring inside it, which exists as soon as the outer ring does.
    pub(crate) fn holding(mut self, inside: Builder) -> Self {
        self.inside.push(inside);
        self
    }

    /// Bytes that have to be free when it is complete, for lanes that its users will add.
    pub(crate) fn headroom(mut self, bytes: u64) -> Self {
        self.headroom = bytes;
        self
    }

    pub(crate) fn description(&self) -> Result<Description, CreateError> {
        let geometry = Geometry::new(
            self.capacity,
            self.align,
            self.rows,
            self.first_sequence,
            self.huge,
        )?
        .evicting_after(u64::try_from(self.evict_after.as_nanos()).unwrap_or(u64::MAX))
        .with_board(self.board)?;
        let geometry = match self.stamps {
            true => geometry.stamping()?,
            false => geometry,
        };
        if let Some((origin, why)) = self.origin.as_ref().and_then(|o| Some((o, o.flaw()?))) {
            return Err(CreateError::Origin {
                id: origin.id,
                host: origin.host.clone(),
                why,
            });
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Description {
            geometry,
            form: self.form,
            parameters: self.parameters,
            ring_id: segment::random(),
            boot_id: segment::boot_id(),
            created_ns: since.map_or(0, |since| since.as_nanos() as u64),
            maker: MADE_BY.to_owned(),
            origin: self.origin.clone(),
            schema: self.schema.clone(),
            opaque: self.opaque.as_deref().map(OpaqueMark::of),
            writable: true,
        })
    }

    /// The description of an object that has no directory.
    pub(crate) fn alone(&self) -> Result<Description, CreateError> {
        match self.opaque {
            Some(_) => Err(CreateError::OpaqueSchema),
            None => self.description(),
        }
    }

    /// Creates the object and opens it.
    pub(crate) fn make(self) -> Result<Attachment, CreateError> {
        self.make_whole().map(|(object, _)| object)
    }

    /// Creates the object and those it holds, and opens them.
    pub(crate) fn make_whole(self) -> Result<(Attachment, Vec<Attachment>), CreateError> {
        let segment = match &self.place {
            Place::Heap => Segment::heap(&self.alone()?)?,
            Place::Anonymous => segment::anonymous(&self.alone()?, self.mapping)?,
            Place::Named(location) => {
                let created = segment::create(&location.clone()?, &self.plan()?)?;
                let open = |created: Created| Attachment::from_segment(created.segment);
                let inside = created.inside.into_iter().map(open).collect();
                return Ok((Attachment::from_segment(created.segment), inside));
            }
        };
        Ok((Attachment::from_segment(segment), Vec::new()))
    }

    /// The rings inside it are for the same users.
    fn plan(&self) -> Result<Plan, CreateError> {
        let inside = self
            .inside
            .iter()
            .filter_map(|builder| match &builder.place {
                Place::Named(Ok(location)) => Some((location.name().to_owned(), builder)),
                _ => None,
            });
        let inside = inside.map(|(name, builder)| {
            let plan = Plan {
                mode: self.mode,
                access: self.access,
                ..builder.plan()?
            };
            Ok((name, plan))
        });
        Ok(Plan {
            description: self.description()?,
            mode: self.mode,
            access: self.access,
            mapping: self.mapping,
            opaque: self.opaque.clone(),
            headroom: self.headroom,
            inside: inside.collect::<Result<_, CreateError>>()?,
        })
    }

    /// Opens the object if it exists, else creates it. One that exists keeps its own settings; only its schema,
    /// if this builder names one, must agree.
    pub(crate) fn make_or_open(self) -> Result<Attachment, CreateError> {
        self.make_or_open_whole().map(|(object, _)| object)
    }

    /// Like [`make_or_open`](Self::make_or_open), for a form that takes a place in the object at once:
    /// begins anew if the object is removed before it has one.
    pub(crate) fn make_or_open_and<T>(
        self,
        attach: impl Fn(Attachment) -> Result<T, OpenError>,
    ) -> Result<T, CreateError> {
        for _ in 0..ATTEMPTS {
            match attach(self.clone().make_or_open()?) {
                Err(OpenError::NotFound { .. }) => {}
                result => return result.map_err(CreateError::Open),
            }
        }
        attach(self.make_or_open()?).map_err(CreateError::Open)
    }

    /// Like [`make_or_open`](Self::make_or_open), with the rings it holds. One that is missing in a
    /// ring that exists is created.
    pub(crate) fn make_or_open_whole(self) -> Result<(Attachment, Vec<Attachment>), CreateError> {
        let Place::Named(Ok(location)) = &self.place else {
            return self.make_whole();
        };
        for _ in 0..ATTEMPTS {
            match Attachment::open_form(location, self.mapping, self.form) {
                Ok(object) => {
                    if let Some(schema) = &self.schema {
                        object.expect_schema(schema)?;
                    }
                    let inside = self.inside.iter().cloned();
                    let inside = inside.map(|inside| inside.like(&object)?.make_or_open());
                    let inside = inside.collect::<Result<Vec<_>, _>>();
                    // It was removed before the rings inside it were opened: they may be another one's.
                    if !self.inside.is_empty() && object.in_place().is_err() {
                        continue;
                    }
                    let differences = between(&self.description()?, self.mode, object.segment());
                    return Ok((object.with_differences(differences), inside?));
                }
                Err(OpenError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match self.clone().make_whole() {
                Err(CreateError::Exists { .. }) => {}
                result => return result,
            }
        }
        self.make_whole()
    }

    /// How many bytes the ring takes, together with what its first user adds.
    pub(crate) fn needs(&self) -> Result<u64, CreateError> {
        Ok(self.segment_bytes()?.saturating_add(self.headroom))
    }

    /// Returns how many bytes the ring takes in all: data, index, administration, and an opaque schema.
    ///
    /// # Errors
    /// [`CreateError::Geometry`].
    pub fn segment_bytes(&self) -> Result<u64, CreateError> {
        let geometry = self.description()?.geometry;
        let opaque = self.opaque.as_ref().map_or(0, |file| file.len() as u64);
        Ok(geometry.stream_bytes() + geometry.control_bytes() + opaque)
    }
}
