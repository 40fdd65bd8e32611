//! Mailboxes: made, opened, looked at, removed.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{deadline, flag, options, out, sized, Sized0};
use crate::handle::{close, give, shared, Handle};
use crate::status::slipring_status;
use slipring::mailbox::MailboxBuilder;
use slipring::Mailbox;
use std::ffi::c_char;

/// An open mailbox. Any number of threads use it at once.
pub struct slipring_mailbox {
    _opaque: [u8; 0],
}

impl Handle for slipring_mailbox {
    type Body = Mailbox;
    const KIND: u64 = 20;
    const NAME: &'static str = "mailbox";
}

/// The settings of a new mailbox. NULL in its place means all defaults, and so does zero in any member but the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_mailbox_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How many letters each client can be ahead.
    pub depth: u32,
    /// The size of the largest letter and reply.
    pub max_message_bytes: u32,
    /// How many clients there can be at once.
    pub max_clients: u32,
    /// How many receivers there can be at once.
    pub max_receivers: u32,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
    /// 1 for letters only, without requests.
    pub one_way: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl Sized0 for slipring_mailbox_options {
    const NAME: &'static str = "slipring_mailbox_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 3]
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_mailbox_options,
) -> Result<MailboxBuilder, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let mut builder = Mailbox::builder(unsafe { crate::given::place(place) }?);
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Ok(builder);
    };
    if given.depth != 0 {
        builder = builder.depth(given.depth);
    }
    if given.max_message_bytes != 0 {
        builder = builder.max_message_bytes(given.max_message_bytes);
    }
    if given.max_clients != 0 {
        builder = builder.max_clients(given.max_clients);
    }
    if given.max_receivers != 0 {
        builder = builder.max_receivers(given.max_receivers);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    if flag(given.one_way, "one_way")? {
        builder = builder.one_way();
    }
    Ok(builder)
}

/// Creates a mailbox and opens it.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_create(
    place: *const c_char,
    options: *const slipring_mailbox_options,
    mailbox: *mut *mut slipring_mailbox,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(mailbox, || Ok(builder(place, options)?.create()?)) })
}

/// Opens a mailbox, or creates it if there is none. One that exists keeps its settings.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_create_or_open(
    place: *const c_char,
    options: *const slipring_mailbox_options,
    mailbox: *mut *mut slipring_mailbox,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(mailbox, || Ok(builder(place, options)?.create_or_open()?)) })
}

/// Opens a mailbox, waiting until there is one. With a timeout of 0 it does not wait.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_open(
    place: *const c_char,
    timeout_ns: i64,
    mailbox: *mut *mut slipring_mailbox,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(mailbox, || {
            let place = crate::given::place(place)?;
            Ok(match timeout_ns {
                0 => Mailbox::open(place)?,
                _ => Mailbox::open_until(place, deadline(timeout_ns))?,
            })
        })
    })
}

/// Closes a mailbox, and makes the pointer NULL. Its clients and receivers stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_close(
    mailbox: *mut *mut slipring_mailbox,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(mailbox) })
}

/// Removes a mailbox. It is refused while a process is attached.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(Mailbox::remove(crate::given::place(place)?)?) })
}

/// The state of a mailbox at some moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_mailbox_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// Letters that wait.
    pub waiting: u64,
    /// Letters that receivers hold.
    pub held: u64,
    /// Replies for which their clients no longer waited.
    pub late: u64,
    /// The size of the largest letter and reply.
    pub max_message_bytes: u32,
    /// Clients that are alive.
    pub clients: u32,
    /// Receivers that are alive.
    pub receivers: u32,
    /// 1 if it carries letters only.
    pub one_way: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl Sized0 for slipring_mailbox_state {
    const NAME: &'static str = "slipring_mailbox_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a mailbox.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_status(
    mailbox: *const slipring_mailbox,
    state: *mut slipring_mailbox_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(state.cast_const())?.struct_size;
        let found = shared(mailbox)?.status()?;
        out(state, "")?.put(slipring_mailbox_state {
            struct_size,
            waiting: found.letters.waiting,
            held: found.letters.held,
            late: found.late,
            max_message_bytes: found.max_message_bytes,
            clients: found.clients.len() as u32,
            receivers: found.letters.receivers,
            one_way: found.one_way.into(),
            reserved: [0; 3],
        });
        Ok(())
    })
}
