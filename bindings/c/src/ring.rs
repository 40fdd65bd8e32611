//! Rings: made, opened, looked at, removed.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{argument, bytes, copy_text, deadline, flag, options, place, text, Sized0};
use crate::handle::{close, give, give_source, shared, Handle};
use crate::options::{of_role, slipring_options};
use crate::status::slipring_status;
use crate::{consumer, observer, producer};
use consumer::slipring_consumer;
use observer::slipring_observer;
use producer::slipring_producer;
use slipring::endpoint::Builder;
use slipring::schema::{OpaqueSchema, Schema};
use slipring::{Ring, Start};
use std::ffi::{c_char, c_void};
use std::time::Duration;

/// An open ring. Any number of threads use it at once. Handles that were made from it do not need it any more.
pub struct slipring_ring {
    _opaque: [u8; 0],
}

impl Handle for slipring_ring {
    type Body = Ring;
    const KIND: u64 = 1;
    const NAME: &'static str = "ring";
}

/// Where a reader begins.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "names of numbers, for the header")]
pub enum slipring_start {
    /// Behind the newest message: only what is published from now on.
    SLIPRING_LATEST = 0,
    /// The oldest message still in the ring.
    SLIPRING_OLDEST = 1,
    /// The message with the sequence that goes with it.
    SLIPRING_SEQUENCE = 2,
}

pub fn start(from: u32, sequence: u64) -> Result<Start, Failure> {
    match from {
        0 => Ok(Start::Latest),
        1 => Ok(Start::Oldest),
        2 => Ok(Start::Sequence(sequence)),
        other => Err(argument(format!(
            "there is no start {other}: give SLIPRING_LATEST, SLIPRING_OLDEST or SLIPRING_SEQUENCE"
        ))),
    }
}

/// The settings of a new ring. NULL in its place means all defaults, and so does zero in any member but the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_ring_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// The room for messages in bytes: a power of two from 4096; 1 MiB by default.
    pub capacity_bytes: u64,
    /// The sequence of the first message.
    pub first_sequence: u64,
    /// How long a consumer may hold the producer back before it is evicted, in nanoseconds; without limit by default.
    pub evict_after_ns: u64,
    /// 8, or 64 for the latency of small messages; 8 by default.
    pub frame_align: u32,
    /// How many consumers, and observers that may sleep, there can be at once; 32 by default.
    pub max_readers: u32,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
    /// 1 if each message carries the time at which it was published.
    pub stamps: u8,
    /// 1 for huge pages.
    pub huge_pages: u8,
    /// 1 if pages are not mapped before they are used.
    pub no_populate: u8,
    /// 1 if pages stay in memory.
    pub lock_memory: u8,
    /// The schema of the messages as text, such as `Quote{time_ns:u64,bid:f64}`; none by default.
    pub schema: *const c_char,
    /// The kind of a schema of another system, as `sbe`; none by default.
    pub opaque_kind: *const c_char,
    /// Its name.
    pub opaque_name: *const c_char,
    /// Its bytes.
    pub opaque_data: *const c_void,
    /// How many bytes it has.
    pub opaque_len: usize,
}

impl Sized0 for slipring_ring_options {
    const NAME: &'static str = "slipring_ring_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

pub unsafe fn schema(given: *const c_char) -> Result<Schema, Failure> {
    // SAFETY: as the caller says.
    let given = unsafe { text(given, "the schema is NULL") }?;
    given
        .parse()
        .map_err(|error| argument(format!("{given}: {error}")))
}

unsafe fn builder(
    at: *const c_char,
    given: *const slipring_ring_options,
) -> Result<Builder, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let mut builder = Ring::builder(unsafe { place(at) }?);
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Ok(builder);
    };
    if given.capacity_bytes != 0 {
        builder = builder.capacity_bytes(given.capacity_bytes);
    }
    if given.frame_align != 0 {
        builder = builder.frame_align(given.frame_align.into());
    }
    if given.max_readers != 0 {
        builder = builder.max_readers(given.max_readers);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    if given.evict_after_ns != 0 {
        builder = builder.evict_after(Duration::from_nanos(given.evict_after_ns));
    }
    if !given.schema.is_null() {
        // SAFETY: as above.
        builder = builder.schema(unsafe { schema(given.schema) }?);
    }
    if !given.opaque_kind.is_null() {
        // SAFETY: as above.
        let kind = unsafe { text(given.opaque_kind, "") }?;
        // SAFETY: as above.
        let name = unsafe { text(given.opaque_name, "opaque_name is NULL") }?;
        // SAFETY: as above.
        let data = unsafe { bytes(given.opaque_data, given.opaque_len) }?;
        let opaque = OpaqueSchema::new(kind, name, data);
        let opaque = opaque.map_err(|error| argument(error.to_string()))?;
        builder = builder.opaque_schema(&opaque);
    }
    Ok(builder
        .first_sequence(given.first_sequence)
        .stamps(flag(given.stamps, "stamps")?)
        .huge_pages(flag(given.huge_pages, "huge_pages")?)
        .populate(!flag(given.no_populate, "no_populate")?)
        .lock_memory(flag(given.lock_memory, "lock_memory")?))
}

/// Creates a ring and opens it. `place` is a name in the slipring directory, or a path if it begins with `/`, `./` or `../`.
/// To close it later, call slipring_ring_close.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_create(
    place: *const c_char,
    options: *const slipring_ring_options,
    ring: *mut *mut slipring_ring,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(ring, || Ok(builder(place, options)?.create()?)) })
}

/// Opens a ring, or creates it if there is none. One that exists keeps its settings.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_create_or_open(
    place: *const c_char,
    options: *const slipring_ring_options,
    ring: *mut *mut slipring_ring,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(ring, || Ok(builder(place, options)?.create_or_open()?)) })
}

/// Opens a ring, waiting until there is one. With a timeout of 0 it does not wait.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_open(
    place: *const c_char,
    timeout_ns: i64,
    ring: *mut *mut slipring_ring,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(ring, || {
            let place = crate::given::place(place)?;
            Ok(match timeout_ns {
                0 => Ring::open(place)?,
                _ => Ring::open_until(place, deadline(timeout_ns))?,
            })
        })
    })
}

/// Closes a ring, and makes the pointer NULL. The handles that were made from it stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_close(ring: *mut *mut slipring_ring) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(ring) })
}

/// Removes a ring. It is refused while a process is attached.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(Ring::remove(crate::given::place(place)?)?) })
}

/// Removes an object of any form. With `force` it is removed while processes are attached too.
#[no_mangle]
pub unsafe extern "C" fn slipring_remove(place: *const c_char, force: bool) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let place = crate::given::place(place)?;
        Ok(slipring::registry::remove_at(place, force)?)
    })
}

/// Becomes the one producer of a ring.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_producer(
    ring: *const slipring_ring,
    options: *const slipring_options,
    producer: *mut *mut slipring_producer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(producer, || {
            let made = shared(ring)?.producer_with(of_role(options)?)?;
            Ok(producer::Body::new(made))
        })
    })
}

/// Adds a consumer, which receives every message from its start on. `sequence` goes with `SLIPRING_SEQUENCE`.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_consumer(
    ring: *const slipring_ring,
    from: u32,
    sequence: u64,
    options: *const slipring_options,
    consumer: *mut *mut slipring_consumer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(consumer, || {
            let start = start(from, sequence)?;
            let made = shared(ring)?.consumer_with(start, of_role(options)?)?;
            Ok(consumer::Body::new(made))
        })
    })
}

/// Adds a consumer whose place has a name: the next one of that name, in any process, goes on where this one stopped.
/// The start counts where there is no such place yet.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_durable_consumer(
    ring: *const slipring_ring,
    name: *const c_char,
    from: u32,
    sequence: u64,
    options: *const slipring_options,
    consumer: *mut *mut slipring_consumer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(consumer, || {
            let name = text(name, "the name of the cursor is NULL")?;
            let start = start(from, sequence)?;
            let made = shared(ring)?.durable_consumer_with(name, start, of_role(options)?)?;
            Ok(consumer::Body::new(made))
        })
    })
}

/// Forgets the place of a durable consumer, and says whether there was one.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_forget_cursor(
    ring: *const slipring_ring,
    name: *const c_char,
    forgotten: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let name = text(name, "the name of the cursor is NULL")?;
        let was = shared(ring)?.forget_cursor(name)?;
        crate::given::put(forgotten, was);
        Ok(())
    })
}

/// Adds an observer, for which the producer never waits.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_observer(
    ring: *const slipring_ring,
    from: u32,
    sequence: u64,
    options: *const slipring_options,
    observer: *mut *mut slipring_observer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(observer, || {
            let start = start(from, sequence)?;
            let made = shared(ring)?.observer_with(start, of_role(options)?)?;
            Ok(observer::Body::new(made))
        })
    })
}

/// Waits until a producer is attached.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_wait_for_producer(
    ring: *const slipring_ring,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(shared(ring)?.wait_for_producer(deadline(timeout_ns))?) })
}

/// Waits until there are so many readers, and says how many there are. `found` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_wait_for_readers(
    ring: *const slipring_ring,
    readers: u32,
    timeout_ns: i64,
    found: *mut u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let are = shared(ring)?.wait_for_readers(readers, deadline(timeout_ns))?;
        crate::given::put(found, are);
        Ok(())
    })
}

/// Copies the schema of a ring as text, with a zero byte, and says how long it is without that. A ring without a schema has an
/// empty text. With `text` NULL and `size` 0 it only says how long it is; `len` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_schema(
    ring: *const slipring_ring,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let schema = shared(ring)?.schema().map(ToString::to_string);
        copy_text(&schema.unwrap_or_default(), text, size, len)
    })
}

/// Compares the schema of a ring with the one that the program expects, field by field. The message of the error names
/// the first difference.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_expect_schema(
    ring: *const slipring_ring,
    schema: *const c_char,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let here = crate::ring::schema(schema)?;
        Ok(shared(ring)?.expect_schema(&here)?)
    })
}

/// Copies the path of a ring's directory, as slipring_ring_schema copies the schema.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_path(
    ring: *const slipring_ring,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { copy_text(&shared(ring)?.path().to_string_lossy(), text, size, len) })
}
