//! Message queues: made, opened, looked at, removed.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{copy_list, deadline, options, out, sized, Sized0};
use crate::handle::{close, give, shared, Handle};
use crate::status::slipring_status;
use slipring::queue::QueueBuilder;
use slipring::Queue;
use std::ffi::c_char;
use std::time::Duration;

/// An open queue. Any number of threads use it at once.
pub struct slipring_queue {
    _opaque: [u8; 0],
}

impl Handle for slipring_queue {
    type Body = Queue;
    const KIND: u64 = 10;
    const NAME: &'static str = "queue";
}

/// The settings of a new queue. NULL in its place means all defaults, and so does zero in any member but the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_queue_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How many messages each sender can be ahead, for each priority.
    pub depth: u32,
    /// The size of the largest message.
    pub max_message_bytes: u32,
    /// How many receivers there can be at once.
    pub max_receivers: u32,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
    /// A bound of the bytes of a lane; none by default.
    pub lane_bytes: u64,
    /// How long a live receiver may hold a message, in nanoseconds; without limit by default.
    pub lease_ns: u64,
}

impl Sized0 for slipring_queue_options {
    const NAME: &'static str = "slipring_queue_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_queue_options,
) -> Result<QueueBuilder, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let mut builder = Queue::builder(unsafe { crate::given::place(place) }?);
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
    if given.max_receivers != 0 {
        builder = builder.max_receivers(given.max_receivers);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    if given.lane_bytes != 0 {
        builder = builder.lane_bytes(given.lane_bytes);
    }
    if given.lease_ns != 0 {
        builder = builder.lease(Duration::from_nanos(given.lease_ns));
    }
    Ok(builder)
}

/// Creates a queue and opens it.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_create(
    place: *const c_char,
    options: *const slipring_queue_options,
    queue: *mut *mut slipring_queue,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(queue, || Ok(builder(place, options)?.create()?)) })
}

/// Opens a queue, or creates it if there is none. One that exists keeps its settings.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_create_or_open(
    place: *const c_char,
    options: *const slipring_queue_options,
    queue: *mut *mut slipring_queue,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(queue, || Ok(builder(place, options)?.create_or_open()?)) })
}

/// Opens a queue, waiting until there is one. With a timeout of 0 it does not wait.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_open(
    place: *const c_char,
    timeout_ns: i64,
    queue: *mut *mut slipring_queue,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(queue, || {
            let place = crate::given::place(place)?;
            Ok(match timeout_ns {
                0 => Queue::open(place)?,
                _ => Queue::open_until(place, deadline(timeout_ns))?,
            })
        })
    })
}

/// Closes a queue, and makes the pointer NULL. Its senders and receivers stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_close(queue: *mut *mut slipring_queue) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(queue) })
}

/// Removes a queue. It is refused while a process is attached.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(Queue::remove(crate::given::place(place)?)?) })
}

/// The state of a queue at some moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_queue_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that receivers hold.
    pub held: u64,
    /// The lease in nanoseconds; 0 for none.
    pub lease_ns: u64,
    /// How many messages each sender can be ahead, for each priority.
    pub depth: u32,
    /// The size of the largest message.
    pub max_message_bytes: u32,
    /// Senders that are alive.
    pub senders: u32,
    /// Receivers that are alive.
    pub receivers: u32,
}

impl Sized0 for slipring_queue_state {
    const NAME: &'static str = "slipring_queue_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a queue.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_status(
    queue: *const slipring_queue,
    state: *mut slipring_queue_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(state.cast_const())?.struct_size;
        let found = shared(queue)?.status()?;
        let lease = found.lease.unwrap_or_default().as_nanos();
        out(state, "")?.put(slipring_queue_state {
            struct_size,
            waiting: found.waiting,
            held: found.held,
            lease_ns: u64::try_from(lease).unwrap_or(u64::MAX),
            depth: found.depth,
            max_message_bytes: found.max_message_bytes,
            senders: found.senders,
            receivers: found.receivers,
        });
        Ok(())
    })
}

/// One receiver of a queue.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_receiver_state {
    /// How many messages it holds.
    pub held: u64,
    /// Its row.
    pub row: u32,
    /// Its process.
    pub pid: u32,
    /// 1 if it is alive.
    pub alive: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// Copies the state of as many receivers as there is room for, and says how many there are.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_receivers(
    queue: *const slipring_queue,
    receivers: *mut slipring_receiver_state,
    room: usize,
    count: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let found = shared(queue)?.receivers()?;
        let of = |one: slipring::queue::ReceiverEntry| slipring_receiver_state {
            held: one.held,
            row: one.row,
            pid: one.pid,
            alive: one.alive.into(),
            reserved: [0; 7],
        };
        let entries: Vec<_> = found.into_iter().map(of).collect();
        copy_list(&entries, receivers, room, count)
    })
}
