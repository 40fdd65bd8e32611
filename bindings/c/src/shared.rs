//! Shared values: several processes change one in turns.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{
    argument, copy, copy_text, options, out, patience, put, sized, Patience, Sized0,
};
use crate::handle::{give, with, Handle};
use crate::lent::Lender;
use crate::options::{of_role, slipring_options};
use crate::ring::schema;
use crate::status::slipring_status;
use slipring::shared::{SharedBuilder, SharedGuard};
use slipring::Shared;
use std::ffi::{c_char, c_void};

/// A shared value. For one thread at a time: open another one for another thread.
pub struct slipring_shared {
    _opaque: [u8; 0],
}

impl Handle for slipring_shared {
    type Body = Lender<Shared<[u8]>, SharedGuard<'static, [u8]>>;
    const KIND: u64 = 70;
    const NAME: &'static str = "shared value";
}

/// The settings of a new shared value. Zero means the default in any member but the first and the schema.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_shared_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// What the value is made of, as text: `Account{balance:i64}`. It says how large it is.
    pub schema: *const c_char,
    /// How many handles can be open at once.
    pub max_handles: u32,
    /// Zero.
    pub reserved: u32,
}

impl Sized0 for slipring_shared_options {
    const NAME: &'static str = "slipring_shared_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
    fn reserved_is_zero(&self) -> bool {
        self.reserved == 0
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_shared_options,
) -> Result<SharedBuilder<[u8]>, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let place = unsafe { crate::given::place(place) }?;
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Err(argument(
            "a shared value needs options with a schema".to_owned(),
        ));
    };
    // SAFETY: as above.
    let mut builder = Shared::builder_of(place, unsafe { schema(given.schema) }?);
    if given.max_handles != 0 {
        builder = builder.max_handles(given.max_handles);
    }
    Ok(builder)
}

/// Creates a shared value, of zeroes, and opens it. `handle` is how this handle waits, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_create(
    place: *const c_char,
    options: *const slipring_shared_options,
    handle: *const slipring_options,
    shared: *mut *mut slipring_shared,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(shared, || {
            let made = builder(place, options)?.create_with(of_role(handle)?)?;
            Ok(Lender::new(made))
        })
    })
}

/// Opens a shared value, or creates it if there is none. The schema of one that exists has to agree.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_create_or_open(
    place: *const c_char,
    options: *const slipring_shared_options,
    handle: *const slipring_options,
    shared: *mut *mut slipring_shared,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(shared, || {
            let made = builder(place, options)?.create_or_open_with(of_role(handle)?)?;
            Ok(Lender::new(made))
        })
    })
}

/// Opens a shared value, whatever it is made of: slipring_shared_schema says that.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_open(
    place: *const c_char,
    handle: *const slipring_options,
    shared: *mut *mut slipring_shared,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(shared, || {
            let place = crate::given::place(place)?;
            Ok(Lender::new(Shared::open_any_with(place, of_role(handle)?)?))
        })
    })
}

/// Closes a shared value, and makes the pointer NULL. If it is locked, that ends, and what was changed is not kept.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_close(
    shared: *mut *mut slipring_shared,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        if let Some(mut shared) = crate::handle::take(shared)? {
            if shared.guard().is_some() {
                shared.take()?.discard();
            }
        }
        Ok(())
    })
}

/// Removes a shared value. It is refused while a handle is open.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let place = crate::given::place(place)?;
        // Nothing but the form counts.
        Ok(Shared::<crate::latest::Any>::remove(place)?)
    })
}

/// Copies what the value is made of as text, as slipring_ring_schema. `value_bytes` is how large it is, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_schema(
    shared: *mut slipring_shared,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
    value_bytes: *mut u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(shared, |shared| {
            let schema = shared.free()?.schema();
            put(value_bytes, schema.map_or(0, |schema| schema.bytes()));
            let schema = schema.map(ToString::to_string);
            copy_text(&schema.unwrap_or_default(), text, size, len)
        })
    })
}

/// Copies the value without the lock, and says how often it was changed. `version` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_get(
    shared: *mut slipring_shared,
    value: *mut c_void,
    size: usize,
    version: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(shared, |shared| {
            let (found, now) = shared.free()?.get()?;
            copy(&found, value, size)?;
            put(version, now);
            Ok(())
        })
    })
}

/// Locks the value and lends a private copy of it, which the caller changes. slipring_shared_commit puts the copy in the value's place;
/// slipring_shared_discard does not. Until then every other call but slipring_shared_close returns `SLIPRING_E_LENT`. A holder that dies
/// leaves the value as it was; `abandoned` then says so to the next one, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_lock(
    shared: *mut slipring_shared,
    timeout_ns: i64,
    value: *mut *mut c_void,
    abandoned: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(shared, |shared| {
            let to = out(value, "there is no room for the address of the value")?;
            let lent = shared.lend(|shared| {
                Ok(match patience(timeout_ns) {
                    Patience::Never => shared.lock()?,
                    Patience::Try => shared.try_lock()?,
                    Patience::Until(deadline) => shared.lock_until(deadline)?,
                })
            })?;
            put(abandoned, lent.abandoned());
            to.put(lent.as_mut_ptr().cast());
            Ok(())
        })
    })
}

/// Makes the copy the value, and gives the lock back. `version` is how often the value was changed, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_commit(
    shared: *mut slipring_shared,
    version: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(shared, |shared| {
            put(version, shared.take()?.commit()?);
            Ok(())
        })
    })
}

/// Gives the lock back, and leaves the value as it was.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_discard(shared: *mut slipring_shared) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(shared, |shared| {
            shared.take()?.discard();
            Ok(())
        })
    })
}

/// Waits until the value has another version than this one.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_wait(
    shared: *mut slipring_shared,
    version: u64,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(shared, |shared| {
            let until = crate::given::deadline(timeout_ns);
            Ok(shared.free()?.wait_until(version, until)?)
        })
    })
}

/// The state of a shared value at some moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_shared_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How often it was changed.
    pub version: u64,
    /// The process that holds the lock; 0 for none.
    pub holder: u32,
    /// Handles that are open.
    pub handles: u32,
}

impl Sized0 for slipring_shared_state {
    const NAME: &'static str = "slipring_shared_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a shared value.
#[no_mangle]
pub unsafe extern "C" fn slipring_shared_status(
    shared: *mut slipring_shared,
    state: *mut slipring_shared_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(state.cast_const())?.struct_size;
        with(shared, |shared| {
            let found = shared.free()?.status()?;
            out(state, "")?.put(slipring_shared_state {
                struct_size,
                version: found.version,
                holder: found.holder.unwrap_or(0),
                handles: found.handles,
            });
            Ok(())
        })
    })
}
