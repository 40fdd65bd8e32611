//! Describing a ring before it exists.
//!
//! Layer 5. Checks everything it can before anything is created.

use super::ring::Ring;
use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::geometry::Geometry;
use crate::layout::schema::Schema;
use crate::segment::{
    self, Access, CreateError, Creation, Location, MappingOptions, NameError, Segment,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the ring will live.
#[derive(Clone, Debug)]
enum Place {
    Named(Result<Location, NameError>),
    Anonymous,
    Heap,
}

/// What a new ring will be like. Made by [`Ring::builder`] and its siblings.
///
/// ```
/// use slipring::Ring;
///
/// let ring = Ring::heap().capacity_bytes(64 << 10).max_readers(4).create()?;
/// assert_eq!(ring.capacity_bytes(), 64 << 10);
/// # Ok::<(), slipring::CreateError>(())
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
    form: Form,
    board: u32,
    parameters: [u64; 2],
    mapping: MappingOptions,
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
            form: Form::Ring,
            board: 0,
            parameters: [0; 2],
            mapping: MappingOptions::default(),
        }
    }

    pub(super) fn named(location: Result<Location, NameError>) -> Self {
        Self::new(Place::Named(location))
    }

    /// What will be at a location.
    pub(crate) fn at(location: &Location) -> Self {
        Self::new(Place::Named(Ok(location.clone())))
    }

    /// A ring inside the one at a location.
    pub(crate) fn inside(parent: &Location, name: &str) -> Self {
        Self::new(Place::Named(Ok(parent.child(name))))
    }

    pub(super) fn anonymous() -> Self {
        Self::new(Place::Anonymous)
    }

    pub(super) fn on_heap() -> Self {
        Self::new(Place::Heap)
    }

    /// Bytes of data; 1 MiB by default. A power of two from 4096 to 2^40. The largest message is a
    /// quarter of it. A ring well below the size of the last-level cache is fastest.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Bytes every frame begins at a multiple of: 8 (the default, best throughput) or 64 (lowest
    /// latency for messages up to 56 bytes, one cache line each).
    pub fn frame_align(mut self, bytes: u64) -> Self {
        self.align = bytes;
        self
    }

    /// How many consumers, and observers that sleep, can be attached at once; 32 by default, 1 to
    /// 1024. Observers that spin need no place.
    pub fn max_readers(mut self, readers: u32) -> Self {
        self.rows = readers;
        self
    }

    /// Sequence of the first message; 0 by default.
    pub fn first_sequence(mut self, sequence: u64) -> Self {
        self.first_sequence = sequence;
        self
    }

    /// Who may attach, as the permission bits of a file, exactly, whatever the umask; `0o600` by
    /// default. For group and others, reading means observing and writing means consuming. Only the
    /// owner ever produces.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// For the same users as another ring, inside which it will lie.
    pub(crate) fn like(mut self, outer: &Ring) -> Result<Self, CreateError> {
        self.access = outer.segment().access()?;
        if let Some(access) = self.access {
            self.mode = access.mode;
        }
        Ok(self)
    }

    /// What the messages consist of. Readers and producers of typed rings check it.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// How long one publish may be held back by consumers. After that the producer goes on without
    /// those that hold it back, and they are told exactly what they missed
    /// ([`ReceiveError::Evicted`](crate::ReceiveError::Evicted)). Zero, the default, means that it
    /// waits for live consumers as long as it takes.
    ///
    /// A consumer that may be evicted cannot trust bytes in place, so in such a ring consumers copy
    /// each message to private memory before they hand it out. Each eviction in quick succession
    /// halves the time the same row is given next; after sixteen the consumer is expelled, and has
    /// to attach anew.
    pub fn evict_after(mut self, patience: Duration) -> Self {
        self.evict_after = patience;
        self
    }

    /// Whether each message carries the time at which it was published, and each consumer keeps a
    /// histogram of what messages took to it, which anybody can read while the ring runs
    /// ([`ReaderStatus::latencies`](crate::ReaderStatus::latencies)); off by default. Costs eight bytes
    /// and a reading of the clock for each message, another for each consumer that receives it, and a
    /// copy on both sides; claims are copied too. Readers get the same bytes as without. Observers keep
    /// no histogram.
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

    /// Whether to touch every page at attach, so that the first lap does not fault; on by default.
    pub fn populate(mut self, populate: bool) -> Self {
        self.mapping.populate = populate;
        self
    }

    /// Whether to pin the ring in memory (`mlock`); off by default.
    pub fn lock_memory(mut self, lock: bool) -> Self {
        self.mapping.lock_memory = lock;
        self
    }

    /// What it is used for, with so many shared words, and what else the form has to remember.
    pub(crate) fn form(mut self, form: Form, board: u32, parameters: [u64; 2]) -> Self {
        (self.form, self.board, self.parameters) = (form, board, parameters);
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
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Description {
            geometry,
            form: self.form,
            parameters: self.parameters,
            ring_id: segment::random(),
            boot_id: boot_id(),
            created_ns: since.map_or(0, |since| since.as_nanos() as u64),
            schema: self.schema.clone(),
            writable: true,
        })
    }

    /// Creates the ring and opens it.
    ///
    /// # Guarantees
    /// The ring appears under its name complete or not at all, and never replaces another. All its
    /// space is reserved: a full file system is an error here, not a signal later.
    ///
    /// # Errors
    /// [`CreateError`]: a bad name or size, the name is taken, no space, no permission.
    pub fn create(self) -> Result<Ring, CreateError> {
        let description = self.description()?;
        let segment = match self.place {
            Place::Heap => Segment::heap(&description)?,
            Place::Anonymous => segment::anonymous(&description, self.mapping)?,
            Place::Named(location) => segment::create(&Creation {
                location: location?,
                description,
                mode: self.mode,
                access: self.access,
                mapping: self.mapping,
            })?,
        };
        Ok(Ring::from_segment(segment))
    }

    /// Opens the ring if it exists, else creates it. An existing ring keeps its own settings; only
    /// its schema, if this builder names one, must agree.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Ring, CreateError> {
        let Place::Named(Ok(location)) = self.place.clone() else {
            return self.create();
        };
        let (schema, mapping, form) = (self.schema.clone(), self.mapping, self.form);
        match self.create() {
            Err(CreateError::Exists { .. }) => {
                let ring = Ring::open_form(&location, mapping, form)?;
                if let Some(schema) = schema {
                    ring.expect_schema(&schema)?;
                }
                Ok(ring)
            }
            result => result,
        }
    }

    /// Writes the ring into a shared-memory segment that another library created, and opens it.
    /// Whatever the segment held is lost. Other processes attach with [`Ring::adopt`].
    ///
    /// # Errors
    /// [`CreateError`]: a bad size, or the segment is smaller than
    /// [`segment_bytes`](Self::segment_bytes).
    #[cfg(feature = "shared_memory")]
    pub fn create_in(self, segment: shared_memory::Shmem) -> Result<Ring, CreateError> {
        let description = self.description()?;
        Ok(Ring::from_segment(segment::format(segment, &description)?))
    }

    /// How many bytes the ring takes in all: data, index and administration.
    ///
    /// # Errors
    /// [`CreateError::Geometry`].
    pub fn segment_bytes(&self) -> Result<u64, CreateError> {
        let geometry = self.description()?.geometry;
        Ok(geometry.stream_bytes() + geometry.control_bytes())
    }
}

/// The kernel's id of this boot; zero where it does not say.
fn boot_id() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}
