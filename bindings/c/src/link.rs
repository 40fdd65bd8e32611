//! Links: two processes that know each other by name.

use crate::call::call;
use crate::consumer::slipring_message;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{bytes, deadline, out, patience, put, text, Patience};
use crate::handle::{close, give_source, with, DescriptorOf, Handle, Waitable};
use crate::lent::Lender;
use crate::options::{of_role, slipring_options};
use crate::status::slipring_status;
use slipring::endpoint::{Message, Source};
use slipring::link::LinkBuilder;
use slipring::Link;
use std::ffi::{c_char, c_void};

/// One side of a link. For one thread at a time.
pub struct slipring_link {
    _opaque: [u8; 0],
}

pub struct Body {
    link: Lender<Link, Message<'static>>,
    descriptor: Descriptor,
}

impl Body {
    /// With a descriptor that may have been made for it before.
    pub fn new(link: Link, descriptor: Descriptor) -> Self {
        Self {
            link: Lender::new(link),
            descriptor,
        }
    }

    /// Says why the link cannot be taken out, if it has lent something.
    pub fn may_leave(&mut self) -> Result<(), Failure> {
        self.link.free().map(drop)
    }

    pub fn into_parts(self) -> (Link, Descriptor) {
        (self.link.into_inner(), self.descriptor)
    }
}

impl Handle for slipring_link {
    type Body = Body;
    const KIND: u64 = 30;
    const NAME: &'static str = "link";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Body {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(self.link.free()?)
    }
}

/// What describes a link, apart from its options.
///
/// # Safety
/// As for [`text`].
pub unsafe fn builder(
    me: *const c_char,
    peer: *const c_char,
    directory: *const c_char,
    capacity_bytes: u64,
) -> Result<LinkBuilder, Failure> {
    // SAFETY: as the caller says.
    let me = unsafe { text(me, "the name of this side is NULL") }?;
    // SAFETY: as the caller says.
    let peer = unsafe { text(peer, "the name of the other side is NULL") }?;
    let mut builder = Link::builder(me, peer);
    if !directory.is_null() {
        // SAFETY: as the caller says.
        builder = builder.directory(unsafe { text(directory, "") }?);
    }
    if capacity_bytes != 0 {
        builder = builder.capacity_bytes(capacity_bytes);
    }
    Ok(builder)
}

/// Connects to a process by its name, and waits until it connects too. The side that comes first makes the link, with
/// `capacity_bytes` for each direction; 0 for the default. `directory` is where the link lies: NULL for the slipring
/// directory.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_connect(
    me: *const c_char,
    peer: *const c_char,
    directory: *const c_char,
    capacity_bytes: u64,
    options: *const slipring_options,
    timeout_ns: i64,
    link: *mut *mut slipring_link,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(link, || {
            let builder = builder(me, peer, directory, capacity_bytes)?;
            let made = builder.connect_until_with(deadline(timeout_ns), of_role(options)?)?;
            Ok(Body::new(made, Descriptor::default()))
        })
    })
}

/// Removes a link that lies in the slipring directory. It is refused while a side is connected.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_remove(
    one: *const c_char,
    other: *const c_char,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let one = text(one, "a name is NULL")?;
        Ok(Link::remove(one, text(other, "a name is NULL")?)?)
    })
}

/// Sends a copy of `len` bytes. `sequence` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_send(
    link: *mut slipring_link,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let data = bytes(data, len)?;
        with(link, |body| {
            let link = body.link.free()?;
            let sent = match patience(timeout_ns) {
                Patience::Never => link.send(data)?,
                Patience::Try => link.try_send(data)?,
                Patience::Until(deadline) => link.send_until(data, deadline)?,
            };
            put(sequence, sent);
            Ok(())
        })
    })
}

/// Receives a message in place. Until slipring_link_release every other call but slipring_link_close returns
/// `SLIPRING_E_LENT`. `SLIPRING_E_LINK_PEER_GONE` says that the other side is gone and everything it sent was received.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_receive(
    link: *mut slipring_link,
    timeout_ns: i64,
    message: *mut slipring_message,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(link, |body| {
            let to = out(message, "there is no room for the message")?;
            let lent = body.link.lend(|link| {
                Ok(match patience(timeout_ns) {
                    Patience::Never => link.receive()?,
                    Patience::Try => link.try_receive()?,
                    Patience::Until(deadline) => link.receive_until(deadline)?,
                })
            })?;
            to.put(slipring_message::new(lent, lent.sequence(), 0, None));
            Ok(())
        })
    })
}

/// Gives back a message.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_release(link: *mut slipring_link) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(link, |body| body.link.take().map(drop)) })
}

/// Waits for the next process of the other name.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_reconnect(
    link: *mut slipring_link,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(link, |body| {
            Ok(body.link.free()?.reconnect_until(deadline(timeout_ns))?)
        })
    })
}

/// Says which process the other side is, and how long a message can be. Each may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_peer(
    link: *mut slipring_link,
    pid: *mut u32,
    max_message_bytes: *mut u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(link, |body| {
            let link = body.link.free()?;
            put(pid, link.peer_pid());
            put(max_message_bytes, link.max_message_bytes());
            Ok(())
        })
    })
}

/// Gives the link a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_fd(
    link: *mut slipring_link,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(link, |body| body.descriptor.give(fd)) })
}

/// Says whether there is something to receive, as slipring_consumer_arm.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_arm(
    link: *mut slipring_link,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(link, |body| body.descriptor.arm(body.link.free()?, ready)) })
}

/// Closes this side of a link, and makes the pointer NULL. The other side receives what was sent.
#[no_mangle]
pub unsafe extern "C" fn slipring_link_close(link: *mut *mut slipring_link) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(link) })
}
