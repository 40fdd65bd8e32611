//! What a caller gives: texts, places, bytes, times, room for answers. NULL and nonsense are errors here, before anything is done.

use crate::failure::{Detail, Failure};
use crate::status::{
    slipring_binding_error, SLIPRING_E_ARGUMENT, SLIPRING_E_NULL, SLIPRING_E_ROOM,
    SLIPRING_E_STRUCT_SIZE, SLIPRING_E_TEXT,
};
use slipring::{Deadline, Place};
use std::ffi::{c_char, c_void, CStr};
use std::path::PathBuf;
use std::time::Duration;
use std::{ptr, slice};

#[cold]
pub fn null(what: &'static str) -> Failure {
    Failure::fixed(SLIPRING_E_NULL, what)
}

#[cold]
pub fn argument(text: String) -> Failure {
    Failure::text(SLIPRING_E_ARGUMENT, text)
}

/// Whether a pointer can be that of a `T`, as far as can be told.
#[inline(always)]
pub fn writable<T>(pointer: *const T) -> bool {
    !pointer.is_null() && pointer.is_aligned()
}

/// Room for an answer.
///
/// # Safety
/// The pointer is NULL or not aligned, or what it points to can be written until the call ends.
#[inline(always)]
pub unsafe fn out<'a, T>(pointer: *mut T, what: &'static str) -> Result<Out<'a, T>, Failure> {
    if writable(pointer) {
        Ok(Out(pointer, std::marker::PhantomData))
    } else {
        Err(null(what))
    }
}

pub struct Out<'a, T>(*mut T, std::marker::PhantomData<&'a mut T>);

impl<T> Out<'_, T> {
    #[inline(always)]
    pub fn put(self, value: T) {
        // SAFETY: as `out` says. What was there is not dropped: it may be no value yet.
        unsafe { self.0.write(value) }
    }
}

/// Puts an answer where the caller may not want it.
///
/// # Safety
/// As for [`out`].
#[inline(always)]
pub unsafe fn put<T>(pointer: *mut T, value: T) {
    if writable(pointer) {
        // SAFETY: as the caller says.
        unsafe { pointer.write(value) }
    }
}

/// Bytes, of which there may be none, at any address.
///
/// # Safety
/// So many bytes can be read until the call ends, if the pointer is not NULL.
#[inline(always)]
pub unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null("the bytes are NULL, and their length is not 0"));
    }
    if len > isize::MAX as usize {
        return Err(argument(format!(
            "{len} is no length of anything in memory"
        )));
    }
    // SAFETY: as the caller says.
    Ok(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// # Safety
/// The text ends with a zero byte, and can be read until the call ends, if the pointer is not NULL.
pub unsafe fn text<'a>(text: *const c_char, what: &'static str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(null(what));
    }
    // SAFETY: as the caller says.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| {
        Failure::text(
            SLIPRING_E_TEXT,
            format!("{} is not UTF-8", text.to_string_lossy()),
        )
    })
}

/// # Safety
/// As for [`text`].
pub unsafe fn place(place: *const c_char) -> Result<Place, Failure> {
    // SAFETY: as the caller says.
    let text = unsafe { text(place, "the place is NULL: give a name, or a path") }?;
    Ok(
        if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
            Place::from(PathBuf::from(text))
        } else {
            Place::from(text)
        },
    )
}

/// How long a call waits.
#[derive(Clone, Copy)]
pub enum Patience {
    Never,
    Try,
    Until(Deadline),
}

#[inline(always)]
pub fn patience(timeout_ns: i64) -> Patience {
    match timeout_ns {
        0 => Patience::Try,
        1.. => Patience::Until(Deadline::after(Duration::from_nanos(timeout_ns as u64))),
        _ => Patience::Never,
    }
}

/// The deadline of a call that has no variant which only tries.
#[inline(always)]
pub fn deadline(timeout_ns: i64) -> Deadline {
    match timeout_ns {
        0.. => Deadline::after(Duration::from_nanos(timeout_ns as u64)),
        _ => Deadline::NEVER,
    }
}

/// A structure that begins with its size.
pub trait Sized0: Copy {
    const NAME: &'static str;
    fn struct_size(&self) -> usize;
    /// Whether what is kept for later versions is zero. Only of what a caller gives.
    fn reserved_is_zero(&self) -> bool {
        true
    }
}

/// The options at a pointer; `None` for NULL.
///
/// # Safety
/// The structure can be read for as long as its first member says.
pub unsafe fn options<T: Sized0>(options: *const T) -> Result<Option<T>, Failure> {
    if options.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    unsafe { sized(options) }.map(Some)
}

/// # Safety
/// As for [`options`].
pub unsafe fn sized<T: Sized0>(given: *const T) -> Result<T, Failure> {
    if !writable(given) {
        return Err(null("a structure is NULL, or not aligned"));
    }
    // SAFETY: the structure is `repr(C)` and begins with its size, and can be read that far.
    let size = unsafe { ptr::read(given.cast::<usize>()) };
    if size != size_of::<T>() {
        let (name, known) = (T::NAME, size_of::<T>());
        return Err(Failure::text(
            SLIPRING_E_STRUCT_SIZE,
            format!("struct_size of {name} is {size}, and this library knows {known}: set it with sizeof"),
        ));
    }
    // SAFETY: it is all there.
    let given = unsafe { ptr::read(given) };
    debug_assert_eq!(given.struct_size(), size);
    if !given.reserved_is_zero() {
        return Err(argument(format!("reserved of {} is not zero", T::NAME)));
    }
    Ok(given)
}

/// A member of a structure that C may have given any number.
pub fn flag(value: u8, what: &'static str) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(argument(format!("{what} is {other}: it is 0 or 1"))),
    }
}

#[cold]
pub fn no_room(takes: usize, has: usize) -> Failure {
    let code: slipring_binding_error = SLIPRING_E_ROOM;
    let text = format!("the answer takes {takes} bytes, and there is room for {has}");
    Failure::text(code, text).detail(Detail::default().len(takes as u64).max(has as u64))
}

/// Copies bytes to a caller's memory, all or nothing.
///
/// # Safety
/// So many bytes can be written until the call ends, if the pointer is not NULL.
#[inline(always)]
pub unsafe fn copy(from: &[u8], to: *mut c_void, room: usize) -> Result<(), Failure> {
    if from.len() > room {
        return Err(no_room(from.len(), room));
    }
    if from.is_empty() {
        return Ok(());
    }
    if to.is_null() {
        return Err(null("the buffer is NULL, and its size is not 0"));
    }
    // SAFETY: as the caller says; the two do not overlap, as the caller may not give memory of the library.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to.cast(), from.len()) };
    Ok(())
}

/// Copies a text and a zero byte to a caller's memory, and says how long the text is. With no room it only says that.
///
/// # Safety
/// As for [`copy`]; `len` as for [`put`].
pub unsafe fn copy_text(
    from: &str,
    to: *mut c_char,
    room: usize,
    len: *mut usize,
) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    unsafe { put(len, from.len()) };
    if to.is_null() && room == 0 {
        return Ok(());
    }
    let mut with_end = Vec::from(from);
    with_end.push(0);
    // SAFETY: as the caller says.
    unsafe { copy(&with_end, to.cast(), room) }
}

/// Copies as many entries as there is room for, and says how many there are.
///
/// # Safety
/// So many entries can be written, if the pointer is not NULL; `count` as for [`out`].
pub unsafe fn copy_list<T: Copy>(
    from: &[T],
    to: *mut T,
    room: usize,
    count: *mut usize,
) -> Result<(), Failure> {
    // SAFETY: as the caller says.
    unsafe { out(count, "there is no room for the count") }?.put(from.len());
    if room == 0 {
        return Ok(());
    }
    if !writable(to) {
        return Err(null("the list is NULL, and its size is not 0"));
    }
    // SAFETY: as the caller says.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len().min(room)) };
    Ok(())
}
