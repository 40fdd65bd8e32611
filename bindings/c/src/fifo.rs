//! Named pipes.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{deadline, flag, options, out, sized, Sized0};
use crate::handle::{close, give, give_source, shared, Handle};
use crate::options::{of_role, slipring_options};
use crate::pipe::{give_both, slipring_pipe_reader, slipring_pipe_writer};
use crate::status::slipring_status;
use slipring::fifo::FifoBuilder;
use slipring::Fifo;
use std::ffi::c_char;

/// An open named pipe. Any number of threads use it at once.
pub struct slipring_fifo {
    _opaque: [u8; 0],
}

impl Handle for slipring_fifo {
    type Body = Fifo;
    const KIND: u64 = 90;
    const NAME: &'static str = "named pipe";
}

/// The settings of a new named pipe. NULL in its place means all defaults, and so does zero in any member but the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_fifo_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// The room for bytes, of each direction; 1 MiB by default.
    pub capacity_bytes: u64,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
    /// 1 for both directions.
    pub both_ways: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl Sized0 for slipring_fifo_options {
    const NAME: &'static str = "slipring_fifo_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 3]
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_fifo_options,
) -> Result<FifoBuilder, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let mut builder = Fifo::builder(unsafe { crate::given::place(place) }?);
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Ok(builder);
    };
    if given.capacity_bytes != 0 {
        builder = builder.capacity_bytes(given.capacity_bytes);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    Ok(builder.both_ways(flag(given.both_ways, "both_ways")?))
}

/// Creates a named pipe and opens it.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_create(
    place: *const c_char,
    options: *const slipring_fifo_options,
    fifo: *mut *mut slipring_fifo,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(fifo, || Ok(builder(place, options)?.create()?)) })
}

/// Opens a named pipe, or creates it if there is none. One that exists keeps its settings.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_create_or_open(
    place: *const c_char,
    options: *const slipring_fifo_options,
    fifo: *mut *mut slipring_fifo,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(fifo, || Ok(builder(place, options)?.create_or_open()?)) })
}

/// Opens a named pipe, waiting until there is one. With a timeout of 0 it does not wait.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_open(
    place: *const c_char,
    timeout_ns: i64,
    fifo: *mut *mut slipring_fifo,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(fifo, || {
            let place = crate::given::place(place)?;
            Ok(match timeout_ns {
                0 => Fifo::open(place)?,
                _ => Fifo::open_until(place, deadline(timeout_ns))?,
            })
        })
    })
}

/// Closes a named pipe, and makes the pointer NULL. Its ends stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_close(fifo: *mut *mut slipring_fifo) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(fifo) })
}

/// Removes a named pipe. It is refused while an end is open.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(Fifo::remove(crate::given::place(place)?)?) })
}

/// Opens the reading end, and waits for a writer.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_reader(
    fifo: *const slipring_fifo,
    options: *const slipring_options,
    timeout_ns: i64,
    reader: *mut *mut slipring_pipe_reader,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(reader, || {
            let how = of_role(options)?;
            let fifo = shared(fifo)?;
            Ok(fifo.reader_until_with(deadline(timeout_ns), how)?.into())
        })
    })
}

/// Opens the writing end, and waits for a reader.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_writer(
    fifo: *const slipring_fifo,
    options: *const slipring_options,
    timeout_ns: i64,
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(writer, || {
            let how = of_role(options)?;
            Ok(shared(fifo)?.writer_until_with(deadline(timeout_ns), how)?)
        })
    })
}

/// Opens a side of a named pipe that goes both ways, and waits for the other side.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_connect(
    fifo: *const slipring_fifo,
    options: *const slipring_options,
    timeout_ns: i64,
    reader: *mut *mut slipring_pipe_reader,
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_both(reader, writer, || {
            let how = of_role(options)?;
            let fifo = shared(fifo)?;
            let side = fifo.connect_until_with(deadline(timeout_ns), how)?;
            Ok(side.into_halves())
        })
    })
}

/// The state of a named pipe at some moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_fifo_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// The room for bytes, of each direction.
    pub capacity_bytes: u64,
    /// The processes that have an end open; 0 for none.
    pub ends: [u32; 2],
    /// 1 for both directions.
    pub both_ways: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

impl Sized0 for slipring_fifo_state {
    const NAME: &'static str = "slipring_fifo_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a named pipe.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_status(
    fifo: *const slipring_fifo,
    state: *mut slipring_fifo_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(state.cast_const())?.struct_size;
        let found = shared(fifo)?.status()?;
        out(state, "")?.put(slipring_fifo_state {
            struct_size,
            capacity_bytes: found.capacity_bytes,
            ends: found.ends.map(|end| end.unwrap_or(0)),
            both_ways: found.both_ways.into(),
            reserved: [0; 7],
        });
        Ok(())
    })
}
