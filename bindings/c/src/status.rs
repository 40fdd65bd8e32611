//! The numbers that calls return: 0, those of this library, and those of `slipring/errors.h`.

/// What a call returns: 0 if it succeeded, else the number of an error. Numbers from 100 to 899 are in
/// `slipring/errors.h`, and stand for the same errors in every language; those from 900 on are in `enum
/// slipring_binding_error`. A number never changes its meaning.
pub type slipring_status = u32;

/// The call succeeded.
pub const SLIPRING_OK: slipring_status = 0;

/// The errors that only a caller from C or C++ can cause or see.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum slipring_binding_error {
    /// A fault of the library, which it caught. The handle of the call may be in any state: close it.
    SLIPRING_E_PANIC = 900,
    /// A pointer that must not be NULL is NULL.
    SLIPRING_E_NULL = 901,
    /// A pointer is no handle of this kind: it is of another kind, or was closed.
    SLIPRING_E_HANDLE = 902,
    /// The `struct_size` of a structure is none that this library knows: set it with `sizeof`, and use the header of the
    /// library that is loaded, or an older one.
    SLIPRING_E_STRUCT_SIZE = 903,
    /// An argument has a value that is not allowed.
    SLIPRING_E_ARGUMENT = 904,
    /// Another thread is in a call with this handle, or a handler of a signal interrupted one.
    SLIPRING_E_BUSY = 905,
    /// The handle has lent something that was not given back.
    SLIPRING_E_LENT = 906,
    /// The handle has lent nothing that could be given back.
    SLIPRING_E_NOTHING_LENT = 907,
    /// The caller's memory is too small for the answer; `len` of the detail says what it takes. Nothing was taken.
    SLIPRING_E_ROOM = 908,
    /// A text is not UTF-8.
    SLIPRING_E_TEXT = 909,
    /// The kernel refused something; `os_error` of the detail is its number.
    SLIPRING_E_SYSTEM = 910,
    /// The other end of a pipe is gone.
    SLIPRING_E_PIPE_BROKEN = 911,
    /// The other end of a pipe did nothing until the deadline.
    SLIPRING_E_PIPE_TIMED_OUT = 912,
}
pub use slipring_binding_error::*;

/// Returns `true` if the status says that a deadline passed, whichever form the call was on.
#[no_mangle]
pub extern "C" fn slipring_is_timeout(status: slipring_status) -> bool {
    matches!(
        status,
        414 | 503 | 603 | 701 | 711 | 721 | 731 | 742 | 751 | 763 | 780 | 814 | 912
    )
}

/// Returns `true` if the status says that a call with the timeout 0 found nothing, or no room: it can be tried again.
#[no_mangle]
pub extern "C" fn slipring_is_not_yet(status: slipring_status) -> bool {
    matches!(status, 501 | 600 | 700 | 710 | 720 | 750 | 764 | 765)
}
