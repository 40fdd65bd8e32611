//! Semaphores: permits that come back from processes that die.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{deadline, options, out, patience, sized, Patience, Sized0};
use crate::handle::{close, give, take, with, Handle};
use crate::options::{of_role, slipring_options};
use crate::status::slipring_status;
use slipring::semaphore::{Permit, SemaphoreBuilder};
use slipring::Semaphore;
use std::ffi::c_char;

/// An open semaphore. For one thread at a time: open another one for another thread.
pub struct slipring_semaphore {
    _opaque: [u8; 0],
}

/// Permits that were taken. For one thread at a time; it outlives its semaphore's handle.
pub struct slipring_permit {
    _opaque: [u8; 0],
}

impl Handle for slipring_semaphore {
    type Body = Semaphore;
    const KIND: u64 = 40;
    const NAME: &'static str = "semaphore";
}

impl Handle for slipring_permit {
    type Body = Permit;
    const KIND: u64 = 41;
    const NAME: &'static str = "permit";
}

/// The settings of a new semaphore. NULL in its place means all defaults, and so does zero in any member but the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_semaphore_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How many permits there are; 1 by default.
    pub permits: u32,
    /// How many there can be; as many as there are by default.
    pub max_permits: u32,
    /// How many handles can be open at once.
    pub max_handles: u32,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
}

impl Sized0 for slipring_semaphore_options {
    const NAME: &'static str = "slipring_semaphore_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_semaphore_options,
) -> Result<SemaphoreBuilder, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let mut builder = Semaphore::builder(unsafe { crate::given::place(place) }?);
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Ok(builder);
    };
    if given.permits != 0 {
        builder = builder.permits(given.permits);
    }
    if given.max_permits != 0 {
        builder = builder.max_permits(given.max_permits);
    }
    if given.max_handles != 0 {
        builder = builder.max_handles(given.max_handles);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    Ok(builder)
}

/// Creates a semaphore and opens it. `handle` is how this handle waits, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_create(
    place: *const c_char,
    options: *const slipring_semaphore_options,
    handle: *const slipring_options,
    semaphore: *mut *mut slipring_semaphore,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(semaphore, || {
            Ok(builder(place, options)?.create_with(of_role(handle)?)?)
        })
    })
}

/// Opens a semaphore, or creates it if there is none. One that exists keeps its settings.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_create_or_open(
    place: *const c_char,
    options: *const slipring_semaphore_options,
    handle: *const slipring_options,
    semaphore: *mut *mut slipring_semaphore,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(semaphore, || {
            Ok(builder(place, options)?.create_or_open_with(of_role(handle)?)?)
        })
    })
}

/// Opens a semaphore, waiting until there is one. With a timeout of 0 it does not wait.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_open(
    place: *const c_char,
    handle: *const slipring_options,
    timeout_ns: i64,
    semaphore: *mut *mut slipring_semaphore,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(semaphore, || {
            let (place, how) = (crate::given::place(place)?, of_role(handle)?);
            Ok(match timeout_ns {
                0 => Semaphore::open_with(place, how)?,
                _ => Semaphore::open_until_with(place, deadline(timeout_ns), how)?,
            })
        })
    })
}

/// Closes a semaphore, and makes the pointer NULL. Permits that were taken stay.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_close(
    semaphore: *mut *mut slipring_semaphore,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(semaphore) })
}

/// Removes a semaphore. It is refused while a process is attached.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(Semaphore::remove(crate::given::place(place)?)?) })
}

/// Takes `many` permits, together or not at all.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_acquire(
    semaphore: *mut slipring_semaphore,
    many: u32,
    timeout_ns: i64,
    permit: *mut *mut slipring_permit,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(permit, || {
            with(semaphore, |semaphore| {
                Ok(match patience(timeout_ns) {
                    Patience::Never => semaphore.acquire_many(many)?,
                    Patience::Try => semaphore.try_acquire_many(many)?,
                    Patience::Until(deadline) => semaphore.acquire_many_until(many, deadline)?,
                })
            })
        })
    })
}

/// Puts one more permit into use.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_add(
    semaphore: *mut slipring_semaphore,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(semaphore, |semaphore| Ok(semaphore.add()?)) })
}

/// The state of a semaphore at some moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_semaphore_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// Permits that are free.
    pub free: u32,
    /// Permits that are held.
    pub held: u32,
    /// Permits that are out of use.
    pub retired: u32,
    /// How many there can be.
    pub max: u32,
    /// Handles that are open.
    pub handles: u32,
    /// Zero.
    pub reserved: u32,
}

impl Sized0 for slipring_semaphore_state {
    const NAME: &'static str = "slipring_semaphore_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a semaphore.
#[no_mangle]
pub unsafe extern "C" fn slipring_semaphore_status(
    semaphore: *mut slipring_semaphore,
    state: *mut slipring_semaphore_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(state.cast_const())?.struct_size;
        with(semaphore, |semaphore| {
            let found = semaphore.status()?;
            out(state, "")?.put(slipring_semaphore_state {
                struct_size,
                free: found.free,
                held: found.held,
                retired: found.retired,
                max: found.max,
                handles: found.handles,
                reserved: 0,
            });
            Ok(())
        })
    })
}

/// Gives permits back, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_permit_close(
    permit: *mut *mut slipring_permit,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(permit) })
}

/// Takes permits out of use, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_permit_forget(
    permit: *mut *mut slipring_permit,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        if let Some(permit) = take(permit)? {
            permit.forget();
        }
        Ok(())
    })
}
