//! Pipes and named pipes: streams of bytes.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{argument, bytes, deadline, null, out, put, text, writable};
use crate::handle::{close, give, give_source, with, DescriptorOf, Handle, Waitable};
use crate::options::{of_role, slipring_options};
use crate::status::slipring_status;
use slipring::endpoint::Source;
use slipring::pipe::{Duplex, PipeReader, PipeWriter, PIPE_CAPACITY};
use std::ffi::{c_char, c_void};
use std::io::{BufRead, Write};
use std::process::Command;
use std::time::Duration;

/// The reading end of a pipe. For one thread at a time.
pub struct slipring_pipe_reader {
    _opaque: [u8; 0],
}

/// The writing end of a pipe. For one thread at a time.
pub struct slipring_pipe_writer {
    _opaque: [u8; 0],
}

pub struct Reader {
    reader: PipeReader,
    descriptor: Descriptor,
}

impl Reader {
    /// With a descriptor that may have been made for it before.
    pub fn new(reader: PipeReader, descriptor: Descriptor) -> Self {
        Self { reader, descriptor }
    }
}

impl From<PipeReader> for Reader {
    fn from(reader: PipeReader) -> Self {
        Self::new(reader, Descriptor::default())
    }
}

impl Handle for slipring_pipe_reader {
    type Body = Reader;
    const KIND: u64 = 80;
    const NAME: &'static str = "reading end of a pipe";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Handle for slipring_pipe_writer {
    type Body = PipeWriter;
    const KIND: u64 = 81;
    const NAME: &'static str = "writing end of a pipe";
}

impl Waitable for Reader {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(&mut self.reader)
    }
}

fn capacity(bytes: u64) -> u64 {
    match bytes {
        0 => PIPE_CAPACITY,
        bytes => bytes,
    }
}

fn patience(timeout_ns: i64) -> Option<Duration> {
    u64::try_from(timeout_ns).ok().map(Duration::from_nanos)
}

/// Gives both ends to the caller, or none.
///
/// # Safety
/// As for [`give`].
pub unsafe fn give_both<R: Into<Reader>>(
    reader: *mut *mut slipring_pipe_reader,
    writer: *mut *mut slipring_pipe_writer,
    make: impl FnOnce() -> Result<(R, PipeWriter), Failure>,
) -> Result<(), Failure> {
    if !writable(writer) || !writable(reader) {
        return Err(null("there is no room for both ends"));
    }
    let (reads, writes) = make()?;
    // SAFETY: as the caller says.
    unsafe {
        give_source(reader, || Ok(reads.into()))?;
        give(writer, || Ok(writes))
    }
}

/// Makes a pipe within this process, with `capacity_bytes`; 0 for 1 MiB.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_create(
    capacity_bytes: u64,
    options: *const slipring_options,
    reader: *mut *mut slipring_pipe_reader,
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_both(reader, writer, || {
            let how = of_role(options)?;
            Ok(slipring::pipe::pipe_with(capacity(capacity_bytes), how)?)
        })
    })
}

/// Starts a program with pipes in both directions, of which this process has the ends `reader` and `writer`, and the program
/// those that slipring_pipe_inherited gives it, or `Duplex::inherited` in Rust. `arguments` ends with NULL, and begins with the program,
/// which is looked for in `PATH`. `pid` is its process: the caller waits for its end, as by waitpid.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_spawn(
    arguments: *const *const c_char,
    name: *const c_char,
    capacity_bytes: u64,
    options: *const slipring_options,
    reader: *mut *mut slipring_pipe_reader,
    writer: *mut *mut slipring_pipe_writer,
    pid: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let pid = out(pid, "there is no room for the process")?;
        if !writable(arguments) {
            return Err(null("the arguments are NULL"));
        }
        let name = text(name, "the name of the pipe is NULL")?;
        let mut command = Command::new(text(arguments.read(), "there is no program")?);
        let mut at = arguments.add(1);
        while !at.read().is_null() {
            command.arg(text(at.read(), "")?);
            at = at.add(1);
        }
        let mut started = 0;
        give_both(reader, writer, || {
            let how = of_role(options)?;
            let (here, there) = slipring::pipe::duplex_with(capacity(capacity_bytes), how)?;
            let handed = there.hand_to(&mut command, name);
            handed.map_err(std::io::Error::from)?;
            started = command.spawn()?.id();
            Ok(here.into_halves())
        })?;
        // The command has kept a copy of the ends that it handed on.
        drop(command);
        pid.put(started as i32);
        Ok(())
    })
}

/// Takes the pipes in both directions that the parent handed on under a name.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_inherited(
    name: *const c_char,
    options: *const slipring_options,
    reader: *mut *mut slipring_pipe_reader,
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_both(reader, writer, || {
            let name = text(name, "the name of the pipe is NULL")?;
            Ok(Duplex::inherited_with(name, of_role(options)?)?.into_halves())
        })
    })
}

/// Reads up to `size` bytes, and says how many came: 0 is the end of the stream.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_reader_read(
    reader: *mut slipring_pipe_reader,
    buffer: *mut c_void,
    size: usize,
    timeout_ns: i64,
    came: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(reader, |body| {
            let to = out(came, "there is no room for the count")?;
            if size == 0 {
                return Err(argument("there is no room for a byte".to_owned()));
            }
            if buffer.is_null() {
                return Err(null("the buffer is NULL, and its size is not 0"));
            }
            let found = {
                body.reader.set_timeout(patience(timeout_ns));
                let found = body.reader.fill_buf()?;
                let many = found.len().min(size);
                std::ptr::copy_nonoverlapping(found.as_ptr(), buffer.cast(), many);
                many
            };
            body.reader.consume(found);
            to.put(found);
            Ok(())
        })
    })
}

/// Lends the bytes that are there, until the next call on the reader: none are the end of the stream.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_reader_peek(
    reader: *mut slipring_pipe_reader,
    timeout_ns: i64,
    data: *mut *const c_void,
    len: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(reader, |body| {
            let to = out(data, "there is no room for the address")?;
            let to_len = out(len, "there is no room for the length")?;
            body.reader.set_timeout(patience(timeout_ns));
            let found = body.reader.fill_buf()?;
            to.put(found.as_ptr().cast());
            to_len.put(found.len());
            Ok(())
        })
    })
}

/// Has done with the first `len` of the bytes that slipring_pipe_reader_peek lent.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_reader_consume(
    reader: *mut slipring_pipe_reader,
    len: usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(reader, |body| {
            if len == 0 {
                return Ok(());
            }
            body.reader.set_timeout(Some(Duration::ZERO));
            let has = body.reader.fill_buf()?.len();
            if len > has {
                return Err(argument(format!("{has} bytes were lent, not {len}")));
            }
            body.reader.consume(len);
            Ok(())
        })
    })
}

/// Gives the reader a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_reader_fd(
    reader: *mut slipring_pipe_reader,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(reader, |body| body.descriptor.give(fd)) })
}

/// Says whether there are bytes, or an end, as slipring_consumer_arm.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_reader_arm(
    reader: *mut slipring_pipe_reader,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(reader, |body| body.descriptor.arm(&mut body.reader, ready)) })
}

/// Closes the reading end, and makes the pointer NULL. The writer is told at its next write.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_reader_close(
    reader: *mut *mut slipring_pipe_reader,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(reader) })
}

/// Writes `len` bytes, and says how many were written, which are fewer if the status is not 0; `written` may be NULL. The timeout is for
/// all of them.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_writer_write(
    writer: *mut slipring_pipe_writer,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    written: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        put(written, 0);
        let data = bytes(data, len)?;
        with(writer, |writer| {
            let until = deadline(timeout_ns);
            let mut done = 0;
            while done < data.len() {
                writer.set_timeout(until.remaining());
                done += writer.write(&data[done..])?;
                put(written, done);
            }
            Ok(())
        })
    })
}

/// Closes the writing end, and makes the pointer NULL. The reader gets what was written, and then the end of the stream.
#[no_mangle]
pub unsafe extern "C" fn slipring_pipe_writer_close(
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(writer) })
}
