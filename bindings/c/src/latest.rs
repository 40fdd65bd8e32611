//! Newest values: one writer, many readers, no history.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{argument, bytes, copy, copy_text, deadline, options, out, put, sized, Sized0};
use crate::handle::{close, give, give_source, shared, with, DescriptorOf, Handle, Waitable};
use crate::options::{of_role, slipring_options};
use crate::ring::schema;
use crate::status::slipring_status;
use slipring::endpoint::Source;
use slipring::latest::{LatestBuilder, LatestReader, LatestWriter};
use slipring::Latest;
use std::ffi::{c_char, c_void};

/// An open table of newest values. Any number of threads use it at once.
pub struct slipring_latest {
    _opaque: [u8; 0],
}

/// The one writer of a table. For one thread at a time.
pub struct slipring_latest_writer {
    _opaque: [u8; 0],
}

/// A reader of a table. For one thread at a time.
pub struct slipring_latest_reader {
    _opaque: [u8; 0],
}

pub struct Reader {
    reader: LatestReader<[u8]>,
    descriptor: Descriptor,
}

impl Handle for slipring_latest {
    type Body = Latest<[u8]>;
    const KIND: u64 = 60;
    const NAME: &'static str = "table of newest values";
}

impl Handle for slipring_latest_writer {
    type Body = LatestWriter<[u8]>;
    const KIND: u64 = 61;
    const NAME: &'static str = "writer of newest values";
}

impl Handle for slipring_latest_reader {
    type Body = Reader;
    const KIND: u64 = 62;
    const NAME: &'static str = "reader of newest values";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Reader {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(&mut self.reader)
    }
}

/// The settings of a new table of newest values. Zero means the default in any member but the first and the schema.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_latest_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// What a value is made of, as text: `Quote{bid:f64,ask:f64}`. It says how large a value is.
    pub schema: *const c_char,
    /// How many values there are; 1 by default.
    pub cells: u32,
    /// How many readers that may sleep there can be at once; 32 by default.
    pub max_readers: u32,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
    /// Zero.
    pub reserved: u32,
}

impl Sized0 for slipring_latest_options {
    const NAME: &'static str = "slipring_latest_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
    fn reserved_is_zero(&self) -> bool {
        self.reserved == 0
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_latest_options,
) -> Result<LatestBuilder<[u8]>, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let place = unsafe { crate::given::place(place) }?;
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Err(argument(
            "a table of newest values needs options with a schema".to_owned(),
        ));
    };
    // SAFETY: as above.
    let mut builder = Latest::builder_of(place, unsafe { schema(given.schema) }?);
    if given.cells != 0 {
        builder = builder.cells(given.cells);
    }
    if given.max_readers != 0 {
        builder = builder.max_readers(given.max_readers);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    Ok(builder)
}

/// Creates a table of newest values and opens it.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_create(
    place: *const c_char,
    options: *const slipring_latest_options,
    latest: *mut *mut slipring_latest,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(latest, || Ok(builder(place, options)?.create()?)) })
}

/// Opens a table, or creates it if there is none. The schema of one that exists has to agree.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_create_or_open(
    place: *const c_char,
    options: *const slipring_latest_options,
    latest: *mut *mut slipring_latest,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(latest, || Ok(builder(place, options)?.create_or_open()?)) })
}

/// Opens a table, waiting until there is one. With a timeout of 0 it does not wait. Whatever its values are it is opened:
/// slipring_latest_schema says that, and slipring_latest_status how large they are.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_open(
    place: *const c_char,
    timeout_ns: i64,
    latest: *mut *mut slipring_latest,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(latest, || {
            let place = crate::given::place(place)?;
            Ok(match timeout_ns {
                0 => Latest::open_any(place)?,
                _ => Latest::open_any_until(place, deadline(timeout_ns))?,
            })
        })
    })
}

/// Closes a table, and makes the pointer NULL. Its writer and readers stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_close(
    latest: *mut *mut slipring_latest,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(latest) })
}

/// Removes a table. It is refused while a writer is attached, or a reader that may sleep.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let place = crate::given::place(place)?;
        // Nothing but the form counts.
        Ok(Latest::<Any>::remove(place)?)
    })
}

slipring::message! {
    /// A type, to name what no type matters for.
    pub struct Any {
        pub any: u8,
    }
}

/// Copies what the values are made of as text, as slipring_ring_schema.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_schema(
    latest: *const slipring_latest,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let schema = shared(latest)?.schema().map(ToString::to_string);
        copy_text(&schema.unwrap_or_default(), text, size, len)
    })
}

/// The state of a table at some moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_latest_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How often any of the values was set.
    pub changes: u64,
    /// How many bytes a value has.
    pub value_bytes: u32,
    /// How many values there are.
    pub cells: u32,
    /// The process of the last writer; 0 if there was none.
    pub writer_pid: u32,
    /// Readers that are alive and may sleep.
    pub readers: u32,
    /// 1 if it is known whether a writer is alive.
    pub has_writer_alive: u8,
    /// 1 if a writer is alive.
    pub writer_alive: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

impl Sized0 for slipring_latest_state {
    const NAME: &'static str = "slipring_latest_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a table.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_status(
    latest: *const slipring_latest,
    state: *mut slipring_latest_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(state.cast_const())?.struct_size;
        let latest = shared(latest)?;
        let found = latest.status()?;
        out(state, "")?.put(slipring_latest_state {
            struct_size,
            changes: found.changes,
            value_bytes: latest.schema().map_or(0, |schema| schema.bytes()),
            cells: found.cells,
            writer_pid: found.writer_pid,
            readers: found.readers,
            has_writer_alive: found.writer_alive.is_some().into(),
            writer_alive: (found.writer_alive == Some(true)).into(),
            reserved: [0; 6],
        });
        Ok(())
    })
}

/// Becomes the one writer of a table.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_new_writer(
    latest: *const slipring_latest,
    writer: *mut *mut slipring_latest_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(writer, || Ok(shared(latest)?.writer()?)) })
}

/// Becomes a reader of a table.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_new_reader(
    latest: *const slipring_latest,
    options: *const slipring_options,
    reader: *mut *mut slipring_latest_reader,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(reader, || {
            Ok(Reader {
                reader: shared(latest)?.reader_with(of_role(options)?)?,
                descriptor: Descriptor::default(),
            })
        })
    })
}

/// Sets a value, of which `len` is the size. `version` is how often it was set, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_writer_set(
    writer: *mut slipring_latest_writer,
    cell: u32,
    value: *const c_void,
    len: usize,
    version: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let value = bytes(value, len)?;
        with(writer, |writer| {
            put(version, writer.set_at(cell, value)?);
            Ok(())
        })
    })
}

/// Closes a writer, and makes the pointer NULL. The values stay.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_writer_close(
    writer: *mut *mut slipring_latest_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(writer) })
}

/// Copies a value, and says how often it was set. A value that was never set has the version 0, and nothing is copied.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_reader_get(
    reader: *mut slipring_latest_reader,
    cell: u32,
    value: *mut c_void,
    size: usize,
    version: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(reader, |body| {
            let to = out(version, "there is no room for the version")?;
            match body.reader.get_at(cell)? {
                None => to.put(0),
                Some((found, version)) => {
                    copy(&found, value, size)?;
                    to.put(version);
                }
            }
            Ok(())
        })
    })
}

/// Waits until a value has another version than this one.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_reader_wait_at(
    reader: *mut slipring_latest_reader,
    cell: u32,
    version: u64,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(reader, |body| {
            let until = deadline(timeout_ns);
            Ok(body.reader.wait_at_until(cell, version, until)?)
        })
    })
}

/// Waits until any value was set since the last such wait, or since the reader was made.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_reader_wait(
    reader: *mut slipring_latest_reader,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(reader, |body| {
            Ok(body.reader.wait_until(deadline(timeout_ns))?)
        })
    })
}

/// Gives the reader a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_reader_fd(
    reader: *mut slipring_latest_reader,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(reader, |body| body.descriptor.give(fd)) })
}

/// Says whether a value was set since this was last said, as slipring_consumer_arm.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_reader_arm(
    reader: *mut slipring_latest_reader,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(reader, |body| body.descriptor.arm(&mut body.reader, ready)) })
}

/// Closes a reader, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_latest_reader_close(
    reader: *mut *mut slipring_latest_reader,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(reader) })
}
