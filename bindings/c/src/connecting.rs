//! Links and ends of named pipes that wait for their other side, without a thread that waits.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::fifo::slipring_fifo;
use crate::given::{argument, deadline, out};
use crate::handle::{close, end, give, give_source, shared, with, DescriptorOf, Handle, Waitable};
use crate::link::slipring_link;
use crate::options::{of_role, slipring_options};
use crate::pipe::{give_both, slipring_pipe_reader, slipring_pipe_writer, Reader};
use crate::status::{slipring_status, SLIPRING_E_HANDLE};
use slipring::endpoint::{Connecting, Meets, Source};
use slipring::pipe::{Duplex, PipeReader, PipeWriter};
use slipring::Link;
use std::ffi::c_char;

/// A link, or an end of a named pipe, that waits for its other side. Made by the calls whose names have `_begin_`, and made the
/// handle that it is for by that one of slipring_connecting_link, _reader, _writer and _ends. Waited for by its descriptor or in a wait
/// set: slipring_connecting_try_meet says whether both have met. For one thread at a time.
pub struct slipring_connecting {
    _opaque: [u8; 0],
}

enum Begun {
    Link(Connecting<Link>),
    Reader(Connecting<PipeReader>),
    Writer(Connecting<PipeWriter>),
    Ends(Connecting<Duplex>),
}

pub struct Waiting {
    /// `None` once a call finishes it.
    begun: Option<Box<Begun>>,
    descriptor: Descriptor,
}

/// What is done in the same way, whatever it will be.
macro_rules! each {
    ($begun:expr, $waits:ident => $do:expr) => {
        match $begun {
            Begun::Link($waits) => $do,
            Begun::Reader($waits) => $do,
            Begun::Writer($waits) => $do,
            Begun::Ends($waits) => $do,
        }
    };
}

/// What will be of a kind, or another.
type Picked<H> = Result<Connecting<H>, Box<Begun>>;

/// Takes what will be of a kind; another stays where it is.
macro_rules! picks {
    ($kind:ident) => {
        |begun| match *begun {
            Begun::$kind(waits) => Ok(waits),
            other => Err(Box::new(other)),
        }
    };
}

impl Waiting {
    fn new(begun: Begun) -> Self {
        Self::with(begun, Descriptor::default())
    }

    fn with(begun: Begun, descriptor: Descriptor) -> Self {
        Self {
            begun: Some(Box::new(begun)),
            descriptor,
        }
    }

    fn begun(&mut self) -> Result<&mut Begun, Failure> {
        self.begun.as_deref_mut().ok_or_else(finished)
    }

    /// Finishes it, if it will be what the caller wants. That is the last call with it; only an error of its own leaves it as it was.
    fn finish<H: Meets>(
        &mut self,
        timeout_ns: i64,
        pick: fn(Box<Begun>) -> Picked<H>,
    ) -> Result<Result<H, H::Error>, Failure> {
        let begun = self.begun.take().ok_or_else(finished)?;
        match pick(begun) {
            Ok(waits) => Ok(waits.finish_until(deadline(timeout_ns))),
            Err(other) => Err(another(self.begun.insert(other))),
        }
    }
}

/// A fault of the library in a call that finished it has left this.
#[cold]
fn finished() -> Failure {
    Failure::fixed(
        SLIPRING_E_HANDLE,
        "an earlier call finished this and failed: close it",
    )
}

#[cold]
fn another(begun: &Begun) -> Failure {
    let (what, call) = match begun {
        Begun::Link(_) => ("a link", "link"),
        Begun::Reader(_) => ("the reading end of a named pipe", "reader"),
        Begun::Writer(_) => ("the writing end of a named pipe", "writer"),
        Begun::Ends(_) => ("both ends of a named pipe", "ends"),
    };
    argument(format!(
        "this will be {what}: call slipring_connecting_{call}"
    ))
}

impl Handle for slipring_connecting {
    type Body = Waiting;
    const KIND: u64 = 100;
    const NAME: &'static str = "handle that waits for its other side";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Waiting {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(each!(self.begun()?, waits => waits as &mut dyn Source))
    }
}

/// Begins to connect a link, as slipring_link_connect, and does not wait for the other side: for event loops. This process has its name
/// from now on, until what was made is closed.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_begin_connect(
    me: *const c_char,
    peer: *const c_char,
    directory: *const c_char,
    capacity_bytes: u64,
    options: *const slipring_options,
    connecting: *mut *mut slipring_connecting,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(connecting, || {
            let builder = crate::link::builder(me, peer, directory, capacity_bytes)?;
            let waits = builder.begin_connect_with(of_role(options)?)?;
            Ok(Waiting::new(Begun::Link(waits)))
        })
    })
}

/// Begins to wait for the next process of the other name, as slipring_link_reconnect, and does not wait itself. The link becomes what
/// waits: its pointer is made NULL, its descriptor is that of `connecting`, and this process keeps its name. After an error the link is as
/// it was: `SLIPRING_E_LENT` if it has lent a message.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_begin_reconnect(
    link: *mut *mut slipring_link,
    connecting: *mut *mut slipring_connecting,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(connecting, || {
            let ((), body) = end(link, |body| body.may_leave())?;
            let (link, descriptor) = body.into_parts();
            let begun = Begun::Link(link.begin_reconnect());
            Ok(Waiting::with(begun, descriptor))
        })
    })
}

/// Begins to open the reading end, as slipring_fifo_reader, and does not wait for a writer. This process is the reader from now on, until
/// what was made is closed.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_begin_reader(
    fifo: *const slipring_fifo,
    options: *const slipring_options,
    connecting: *mut *mut slipring_connecting,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(connecting, || {
            let waits = shared(fifo)?.begin_reader_with(of_role(options)?)?;
            Ok(Waiting::new(Begun::Reader(waits)))
        })
    })
}

/// Begins to open the writing end, as slipring_fifo_begin_reader the other one.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_begin_writer(
    fifo: *const slipring_fifo,
    options: *const slipring_options,
    connecting: *mut *mut slipring_connecting,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(connecting, || {
            let waits = shared(fifo)?.begin_writer_with(of_role(options)?)?;
            Ok(Waiting::new(Begun::Writer(waits)))
        })
    })
}

/// Begins to open a side of a named pipe that goes both ways, as slipring_fifo_connect, and does not wait for the other side.
#[no_mangle]
pub unsafe extern "C" fn slipring_fifo_begin_connect(
    fifo: *const slipring_fifo,
    options: *const slipring_options,
    connecting: *mut *mut slipring_connecting,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(connecting, || {
            let waits = shared(fifo)?.begin_connect_with(of_role(options)?)?;
            Ok(Waiting::new(Begun::Ends(waits)))
        })
    })
}

/// Does what there is to do now, without waiting, and says whether both sides have met: then the call that makes it a link or an end
/// does not wait. After an error it can be called again.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_try_meet(
    connecting: *mut slipring_connecting,
    met: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(connecting, |body| {
            let met = out(met, "there is no room for the answer")?;
            met.put(each!(body.begun()?, waits => waits.try_meet()?));
            Ok(())
        })
    })
}

/// Gives it a descriptor, as slipring_consumer_fd. The link or the reading end that it becomes has the same one.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_fd(
    connecting: *mut slipring_connecting,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(connecting, |body| body.descriptor.give(fd)) })
}

/// Says whether slipring_connecting_try_meet has something to do, as slipring_consumer_arm.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_arm(
    connecting: *mut slipring_connecting,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(connecting, |body| {
            let begun = body.begun.as_deref_mut().ok_or_else(finished)?;
            let source = each!(begun, waits => waits as &mut dyn Source);
            body.descriptor.arm(source, ready)
        })
    })
}

/// Makes it a link, and waits for the other side where the two have not met. `connecting` is closed, and its pointer made NULL, also by
/// an error: `SLIPRING_E_LINK_TIMED_OUT` after the timeout, `SLIPRING_E_LINK_FORKED`, `SLIPRING_E_LINK_REMOVED` and the others of
/// slipring_link_connect leave the other side to the next process. Only what is refused before it waits (`SLIPRING_E_NULL`, `_HANDLE`,
/// `_BUSY`, and `_ARGUMENT` if it will be no link) leaves `connecting` as it was.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_link(
    connecting: *mut *mut slipring_connecting,
    timeout_ns: i64,
    link: *mut *mut slipring_link,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(link, || {
            let (made, body) = end(connecting, |body| body.finish(timeout_ns, picks!(Link)))?;
            Ok(crate::link::Body::new(made?, body.descriptor))
        })
    })
}

/// Makes it the reading end of a named pipe, as slipring_connecting_link a link. The errors are those of slipring_fifo_reader:
/// `SLIPRING_E_PIPE_TIMED_OUT` after the timeout.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_reader(
    connecting: *mut *mut slipring_connecting,
    timeout_ns: i64,
    reader: *mut *mut slipring_pipe_reader,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(reader, || {
            let (made, body) = end(connecting, |body| body.finish(timeout_ns, picks!(Reader)))?;
            Ok(Reader::new(made?, body.descriptor))
        })
    })
}

/// Makes it the writing end of a named pipe, as slipring_connecting_reader the other one. Its descriptor is closed.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_writer(
    connecting: *mut *mut slipring_connecting,
    timeout_ns: i64,
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(writer, || {
            let (made, _) = end(connecting, |body| body.finish(timeout_ns, picks!(Writer)))?;
            Ok(made?)
        })
    })
}

/// Makes it both ends of a named pipe that goes both ways, as slipring_connecting_reader one of them.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_ends(
    connecting: *mut *mut slipring_connecting,
    timeout_ns: i64,
    reader: *mut *mut slipring_pipe_reader,
    writer: *mut *mut slipring_pipe_writer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_both(reader, writer, || {
            let (made, body) = end(connecting, |body| body.finish(timeout_ns, picks!(Ends)))?;
            let (reader, writer) = made?.into_halves();
            Ok((Reader::new(reader, body.descriptor), writer))
        })
    })
}

/// Closes what waits, and makes the pointer NULL. Its side is free then, and the other side goes on to wait for the next process. In a
/// forked child that changes nothing for the parent.
#[no_mangle]
pub unsafe extern "C" fn slipring_connecting_close(
    connecting: *mut *mut slipring_connecting,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(connecting) })
}
