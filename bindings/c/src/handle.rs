//! Handles: what is behind the pointers that callers hold.
//!
//! Each begins with a number that says of which kind it is and a [`Head`]. A pointer is compared with NULL, with the alignment of a
//! handle, and with that number, before anything else is believed.

use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{null, out, writable};
use crate::status::SLIPRING_E_HANDLE;
use crate::turn::{Head, Several};
use slipring::endpoint::Source;
use std::cell::UnsafeCell;
use std::iter;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a pointer of the header leads to.
pub trait Handle {
    /// What is there.
    type Body: 'static;
    /// A number of its own.
    const KIND: u64;
    /// What it is, for people.
    const NAME: &'static str;
    /// Where its descriptor is, if it can have one.
    const DESCRIPTOR: DescriptorOf<Self> = None;
}

/// The descriptor in the body of a handle.
pub type DescriptorOf<H> = Option<for<'b> fn(&'b mut <H as Handle>::Body) -> &'b mut Descriptor>;

#[repr(C)]
struct Laid<B> {
    common: Common,
    body: UnsafeCell<B>,
}

/// What each handle begins with, whatever its kind.
#[repr(C)]
pub struct Common {
    kind: AtomicU64,
    head: Head,
    source: Option<AsSource>,
    descriptor: Option<HasDescriptor>,
}

/// How the body is waited for: makes a source of the address of a handle.
type AsSource = unsafe fn(*mut Common) -> Result<*mut dyn Source, Failure>;

/// Where the descriptor is: found from the address of a handle.
type HasDescriptor = unsafe fn(*mut Common) -> Option<*mut Descriptor>;

/// A body that can be waited for together with others.
pub trait Waitable {
    fn source(&mut self) -> Result<&mut dyn Source, Failure>;
}

const MAGIC: u64 = 0x736c_6970_7269_6e00;

fn number<H: Handle>() -> u64 {
    MAGIC | H::KIND
}

#[cold]
fn no_handle(what: &'static str) -> Failure {
    Failure::text(
        SLIPRING_E_HANDLE,
        format!("the pointer is no open {what}: it was closed, or is a handle of another kind"),
    )
}

/// Puts a new handle where the caller wants it; if that is nowhere, `make` is not called.
///
/// # Safety
/// As for [`out`].
pub unsafe fn give<H: Handle>(
    to: *mut *mut H,
    make: impl FnOnce() -> Result<H::Body, Failure>,
) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    unsafe { give_with(to, None, make) }
}

/// As [`give`], for what can be waited for together with others.
///
/// # Safety
/// As for [`out`].
pub unsafe fn give_source<H: Handle<Body: Waitable>>(
    to: *mut *mut H,
    make: impl FnOnce() -> Result<H::Body, Failure>,
) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    unsafe { give_with(to, Some(source_of::<H>), make) }
}

unsafe fn give_with<H: Handle>(
    to: *mut *mut H,
    source: Option<AsSource>,
    make: impl FnOnce() -> Result<H::Body, Failure>,
) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    let to = unsafe { out(to, "there is no room for the handle") }?;
    let body = UnsafeCell::new(make()?);
    let common = Common {
        kind: AtomicU64::new(number::<H>()),
        head: Head::new(),
        source,
        descriptor: H::DESCRIPTOR.map(|_| descriptor_of::<H> as HasDescriptor),
    };
    to.put(Box::into_raw(Box::new(Laid { common, body })).cast());
    Ok(())
}

#[inline(always)]
unsafe fn laid<'a, H: Handle>(handle: *const H) -> Result<&'a Laid<H::Body>, Failure> {
    let laid: *const Laid<H::Body> = handle.cast();
    if !writable(laid) {
        return Err(null("the handle is NULL, or no pointer to one"));
    }
    // SAFETY: the caller says that it came from this library and was not closed. If it is of another kind,
    // that begins with the same members.
    let kind = unsafe { (*laid.cast::<Common>()).kind.load(Relaxed) };
    if kind != number::<H>() {
        return Err(no_handle(H::NAME));
    }
    // SAFETY: it is of this kind, and lives until it is closed.
    Ok(unsafe { &*laid })
}

/// Runs a call with a handle that is for one thread at a time.
///
/// # Safety
/// The pointer is NULL, or came from this library and was not closed.
#[inline(always)]
pub unsafe fn with<H: Handle, R>(
    handle: *const H,
    run: impl FnOnce(&mut H::Body) -> Result<R, Failure>,
) -> Result<R, Failure> {
    // SAFETY: as the caller says.
    let laid = unsafe { laid(handle) }?;
    let _turn = laid.common.head.enter()?;
    // SAFETY: the turn is this thread's, and no call runs within it on the same handle.
    run(unsafe { &mut *laid.body.get() })
}

/// Runs a call with an object that any number of threads use at once.
///
/// # Safety
/// As for [`with`].
pub unsafe fn shared<'a, H>(handle: *const H) -> Result<&'a H::Body, Failure>
where
    H: Handle<Body: Sync>,
{
    // SAFETY: as the caller says.
    let laid = unsafe { laid(handle) }?;
    // SAFETY: nobody has it exclusively, except to close it.
    Ok(unsafe { &*laid.body.get() })
}

/// Closes a handle, and makes the caller's pointer NULL. Closing NULL does nothing.
///
/// # Safety
/// As for [`with`], and no other thread uses it from now on.
pub unsafe fn close<H: Handle>(handle: *mut *mut H) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    unsafe { take(handle) }.map(drop)
}

/// As [`close`], and returns what was behind the handle; `None` if the pointer was NULL.
///
/// # Safety
/// As for [`close`].
pub unsafe fn take<H: Handle>(handle: *mut *mut H) -> Result<Option<H::Body>, Failure> {
    // SAFETY: as the caller says.
    if !writable(handle) || unsafe { handle.read() }.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    let ((), body) = unsafe { end(handle, |_| Ok(())) }?;
    Ok(Some(body))
}

/// Runs the last call with a handle, in one turn with closing it, and makes the caller's pointer NULL. If the call fails, the handle
/// stays as that left it. Returns what the call returned, and what was behind the handle.
///
/// # Safety
/// As for [`close`].
pub unsafe fn end<H: Handle, R>(
    handle: *mut *mut H,
    run: impl FnOnce(&mut H::Body) -> Result<R, Failure>,
) -> Result<(R, H::Body), Failure> {
    if !writable(handle) {
        return Err(null("the pointer to the handle is NULL"));
    }
    // SAFETY: as the caller says.
    let ends = unsafe { handle.read() };
    // SAFETY: as the caller says.
    let laid = unsafe { laid(ends.cast_const()) }?;
    let turn = laid.common.head.enter()?;
    // SAFETY: the turn is this thread's, and no call runs within it on the same handle.
    let done = run(unsafe { &mut *laid.body.get() })?;
    laid.common.kind.store(0, Relaxed);
    // The word of the turn is the thread's, and outlives the handle.
    let laid: *mut Laid<H::Body> = ends.cast();
    // SAFETY: it was made by `give`, and is nobody's any more.
    let laid = unsafe { Box::from_raw(laid) };
    // SAFETY: as the caller says.
    unsafe { handle.write(ptr::null_mut()) };
    let body = laid.body.into_inner();
    drop(turn);
    Ok((done, body))
}

unsafe fn source_of<H: Handle<Body: Waitable>>(
    handle: *mut Common,
) -> Result<*mut dyn Source, Failure> {
    let laid: *mut Laid<H::Body> = handle.cast();
    // SAFETY: the handle is of this kind, and the caller has its turn.
    let body = unsafe { &mut *(*laid).body.get() };
    body.source().map(ptr::from_mut)
}

/// # Safety
/// The handle is of this kind, and the turn is this thread's.
unsafe fn descriptor_of<H: Handle>(handle: *mut Common) -> Option<*mut Descriptor> {
    let laid: *mut Laid<H::Body> = handle.cast();
    // SAFETY: as the caller says.
    let body = unsafe { &mut *(*laid).body.get() };
    H::DESCRIPTOR.map(|of| ptr::from_mut(of(body)))
}

/// Runs a call with the descriptor of a handle of any kind that can have one.
///
/// # Safety
/// As for [`with`].
pub unsafe fn with_descriptor<R>(
    handle: *mut Common,
    run: impl FnOnce(&mut Descriptor) -> Result<R, Failure>,
) -> Result<R, Failure> {
    const WHAT: &str = "handle that can have a descriptor";
    if !writable(handle) {
        return Err(null("the handle is NULL, or no pointer to one"));
    }
    // SAFETY: as the caller says.
    let common = unsafe { &*handle };
    let of = match common.descriptor {
        Some(of) if common.kind.load(Relaxed) & !0xff == MAGIC => of,
        _ => return Err(no_handle(WHAT)),
    };
    let _turn = common.head.enter()?;
    // SAFETY: it was made for handles of this kind, and the turn is this thread's until the end.
    let descriptor = unsafe { of(handle) }.ok_or_else(|| no_handle(WHAT))?;
    // SAFETY: it is a part of the body, which no call within this turn uses.
    run(unsafe { &mut *descriptor })
}

/// Runs a call with a handle and several that it waits for, whatever their kinds, in one turn: from its beginning to its end no other
/// thread uses any of them, or closes it.
///
/// # Safety
/// As for [`with`], for each of them.
pub unsafe fn with_sources<H: Handle, R>(
    handle: *const H,
    handles: &[*mut Common],
    run: impl FnOnce(&mut H::Body, &mut [&mut dyn Source]) -> Result<R, Failure>,
) -> Result<R, Failure> {
    // SAFETY: as the caller says.
    let laid = unsafe { laid(handle) }?;
    let mut all = Vec::with_capacity(handles.len());
    for &handle in handles {
        if !writable(handle) {
            return Err(null("a handle of the list is NULL, or no pointer to one"));
        }
        // SAFETY: as the caller says.
        let common = unsafe { &*handle };
        let kind = common.kind.load(Relaxed);
        match common.source {
            Some(source) if kind & !0xff == MAGIC => all.push((handle, common, source)),
            _ => return Err(no_handle("handle that can be waited for")),
        }
    }
    let heads = all.iter().map(|(_, common, _)| &common.head);
    let _turn = Several::enter(iter::once(&laid.common.head).chain(heads))?;
    let mut sources: Vec<&mut dyn Source> = Vec::with_capacity(all.len());
    for (handle, _, source) in all {
        // SAFETY: each is there once, or the turn would have been refused, and is this thread's until the end.
        sources.push(unsafe { &mut *source(handle)? });
    }
    // SAFETY: the turn is this thread's, and the handle is none of the sources, or the turn would have been refused.
    run(unsafe { &mut *laid.body.get() }, &mut sources)
}
