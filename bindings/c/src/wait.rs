//! Waiting for several handles, ending a wait, and descriptors.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{argument, null, out, patience, writable, Patience};
use crate::handle::{
    close, give, give_source, shared, with, with_descriptor, with_sources, Common, DescriptorOf,
    Handle, Waitable,
};
use crate::status::slipring_status;
use slipring::endpoint::{Interrupter, Interruption, Source};
use slipring::{Deadline, WaitSet};
use std::ffi::c_void;
use std::slice;
use std::time::Duration;

/// Waits for several handles. For one thread at a time.
pub struct slipring_wait_set {
    _opaque: [u8; 0],
}

pub struct Set {
    waits: WaitSet,
    descriptor: Descriptor,
}

impl Handle for slipring_wait_set {
    type Body = Set;
    const KIND: u64 = 5;
    const NAME: &'static str = "wait set";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|set| &mut set.descriptor);
}

/// Makes a set that polls for `spin_ns` before it sleeps; for 20 microseconds if that is negative.
#[no_mangle]
pub unsafe extern "C" fn slipring_wait_set_create(
    spin_ns: i64,
    set: *mut *mut slipring_wait_set,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(set, || {
            let waits = match spin_ns {
                0.. => WaitSet::with_spin(Duration::from_nanos(spin_ns as u64)),
                _ => WaitSet::new(),
            };
            Ok(Set {
                waits,
                descriptor: Descriptor::default(),
            })
        })
    })
}

/// The handles of a list.
///
/// # Safety
/// So many pointers can be read, and each is NULL or came from this library and was not closed.
unsafe fn list<'a>(
    handles: *const *mut c_void,
    count: usize,
) -> Result<&'a [*mut Common], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if !writable(handles) {
        return Err(null("the list of handles is NULL"));
    }
    if count > 65_536 {
        return Err(argument(format!("{count} handles are too many for a wait")));
    }
    // SAFETY: as the caller says.
    Ok(unsafe { slice::from_raw_parts(handles.cast(), count) })
}

/// Waits until a handle of the list has something to report, and says which: a message, a loss, or an end. The next call
/// on that handle, with a timeout of 0, says what. `index` is `count` if the deadline passed; that is no error. The
/// handles can be: consumers, observers, receivers of queues and mailboxes, readers of newest values, listeners, links, pipe
/// readers, links and ends of named pipes that wait for their other side (slipring_connecting), interruptions; each once, and none that has
/// lent something.
#[no_mangle]
pub unsafe extern "C" fn slipring_wait_set_wait(
    set: *mut slipring_wait_set,
    handles: *const *mut c_void,
    count: usize,
    timeout_ns: i64,
    index: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let to = out(index, "there is no room for the index")?;
        let handles = list(handles, count)?;
        let deadline = match patience(timeout_ns) {
            Patience::Never => Deadline::NEVER,
            Patience::Try => Deadline::after(Duration::ZERO),
            Patience::Until(deadline) => deadline,
        };
        let found = with_sources(set, handles, |set, sources| {
            Ok(set.waits.wait(sources, deadline))
        })?;
        to.put(found.unwrap_or(count));
        Ok(())
    })
}

/// Gives the set a descriptor, which becomes readable when a handle of the list of slipring_wait_set_arm has something to
/// report. It belongs to the set.
#[no_mangle]
pub unsafe extern "C" fn slipring_wait_set_fd(
    set: *mut slipring_wait_set,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(set, |set| set.descriptor.give(fd)) })
}

/// Says which handle of the list has something to report. If none has, `index` is `count`, and the descriptor becomes readable when
/// one has.
#[no_mangle]
pub unsafe extern "C" fn slipring_wait_set_arm(
    set: *mut slipring_wait_set,
    handles: *const *mut c_void,
    count: usize,
    index: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let to = out(index, "there is no room for the index")?;
        let handles = list(handles, count)?;
        let found = with_sources(set, handles, |set, sources| {
            Ok(set.descriptor.set()?.arm(sources))
        })?;
        to.put(found.unwrap_or(count));
        Ok(())
    })
}

/// Has the kernel make the descriptor of a handle readable itself, by io_uring, instead of a thread of the process: that takes about
/// a third of the time. The handle is a wait set, or any that has a descriptor, which is made if need be. The loop stays as it is.
/// Only the thread that first arms the descriptor, and finds nothing, is served so; for others the thread of the process goes on.
/// `SLIPRING_E_SYSTEM` if the kernel refuses, and nothing has changed then: the loop works as before. The number in its detail is
/// `ENOSYS` before Linux 6.7, and `EPERM` where io_uring is not allowed, as in many containers. Once such a handle is closed, a call
/// of the system in its thread may be interrupted, as by a signal: epoll_wait then fails with `EINTR`, and is called again.
#[no_mangle]
pub unsafe extern "C" fn slipring_use_io_uring(handle: *mut c_void) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with_descriptor(handle.cast(), |descriptor| descriptor.use_io_uring()) })
}

/// Says whether the kernel watches what the last call armed that found nothing, by io_uring.
#[no_mangle]
pub unsafe extern "C" fn slipring_uses_io_uring(
    handle: *mut c_void,
    uses: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let to = out(uses, "there is no room for the answer")?;
        to.put(with_descriptor(handle.cast(), |descriptor| {
            descriptor.uses_io_uring()
        })?);
        Ok(())
    })
}

/// Closes a set, and makes the pointer NULL. The handles that it waited for stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_wait_set_close(
    set: *mut *mut slipring_wait_set,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(set) })
}

/// What ends a wait of a set from outside. For one thread at a time, apart from its interrupters.
pub struct slipring_interruption {
    _opaque: [u8; 0],
}

/// What makes an interruption ready. Any number of threads and handlers of signals use it at once.
pub struct slipring_interrupter {
    _opaque: [u8; 0],
}

impl Handle for slipring_interruption {
    type Body = Interruption;
    const KIND: u64 = 6;
    const NAME: &'static str = "interruption";
}

impl Handle for slipring_interrupter {
    type Body = Interrupter;
    const KIND: u64 = 7;
    const NAME: &'static str = "interrupter";
}

impl Waitable for Interruption {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(self)
    }
}

/// Makes an interruption.
#[no_mangle]
pub unsafe extern "C" fn slipring_interruption_create(
    interruption: *mut *mut slipring_interruption,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give_source(interruption, || Ok(Interruption::new()?)) })
}

/// Makes an interrupter, which outlives its interruption if need be.
#[no_mangle]
pub unsafe extern "C" fn slipring_interruption_interrupter(
    interruption: *mut slipring_interruption,
    interrupter: *mut *mut slipring_interrupter,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let made = with(interruption, |interruption| Ok(interruption.interrupter()))?;
        give(interrupter, || Ok(made))
    })
}

/// Says whether the interruption was asked for, and takes the request.
#[no_mangle]
pub unsafe extern "C" fn slipring_interruption_take(
    interruption: *mut slipring_interruption,
    taken: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(interruption, |interruption| {
            out(taken, "there is no room for the answer")?.put(interruption.take());
            Ok(())
        })
    })
}

/// Closes an interruption, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_interruption_close(
    interruption: *mut *mut slipring_interruption,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(interruption) })
}

/// Ends the wait of the set that waits for the interruption, or the next one. May be called in a handler of a signal.
#[no_mangle]
pub unsafe extern "C" fn slipring_interrupter_interrupt(
    interrupter: *const slipring_interrupter,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        shared(interrupter)?.interrupt();
        Ok(())
    })
}

/// Closes an interrupter, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_interrupter_close(
    interrupter: *mut *mut slipring_interrupter,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(interrupter) })
}
