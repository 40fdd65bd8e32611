//! The last error of a thread: kept as it is, and put into words when the caller asks for them.

use crate::given::writable;
use crate::status::{slipring_status, SLIPRING_E_NULL, SLIPRING_E_STRUCT_SIZE, SLIPRING_OK};
use slipring::endpoint::{PublishError, ReceiveError, TryPublishError, TryReceiveError};
use std::cell::RefCell;
use std::ffi::{c_char, CString};
use std::fmt::Display;
use std::ptr;

/// The numbers of an error. `has` says which of them are known.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct slipring_detail {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// The error: what the call returned.
    pub code: slipring_status,
    /// Which of the members below are known, of `enum slipring_has`.
    pub has: u32,
    /// The row of the reader in the way.
    pub row: u32,
    /// The process in the way.
    pub pid: u32,
    /// The number that the kernel gave.
    pub os_error: i32,
    /// How many there can be, or how long it may be at most.
    pub max: u64,
    /// How long the message is, or the memory that it takes.
    pub len: u64,
    /// The message that was asked for, or that the error is about.
    pub sequence: u64,
    /// The sequence of the next message.
    pub next: u64,
    /// The oldest message that is left.
    pub oldest: u64,
}

/// The bits of `slipring_detail.has`.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum slipring_has {
    /// `row` is known.
    SLIPRING_HAS_ROW = 1,
    /// `pid` is known.
    SLIPRING_HAS_PID = 2,
    /// `os_error` is known.
    SLIPRING_HAS_OS_ERROR = 4,
    /// `max` is known.
    SLIPRING_HAS_MAX = 8,
    /// `len` is known.
    SLIPRING_HAS_LEN = 16,
    /// `sequence` is known.
    SLIPRING_HAS_SEQUENCE = 32,
    /// `next` is known.
    SLIPRING_HAS_NEXT = 64,
    /// `oldest` is known.
    SLIPRING_HAS_OLDEST = 128,
}
use slipring_has::*;

impl slipring_detail {
    fn with(mut self, bit: slipring_has, set: impl FnOnce(&mut Self)) -> Self {
        self.has |= bit as u32;
        set(&mut self);
        self
    }
    pub fn row(self, row: u32) -> Self {
        self.with(SLIPRING_HAS_ROW, |to| to.row = row)
    }
    pub fn pid(self, pid: u32) -> Self {
        self.with(SLIPRING_HAS_PID, |to| to.pid = pid)
    }
    pub fn os_error(self, number: i32) -> Self {
        self.with(SLIPRING_HAS_OS_ERROR, |to| to.os_error = number)
    }
    pub fn max(self, max: u64) -> Self {
        self.with(SLIPRING_HAS_MAX, |to| to.max = max)
    }
    pub fn len(self, len: u64) -> Self {
        self.with(SLIPRING_HAS_LEN, |to| to.len = len)
    }
    pub fn sequence(self, sequence: u64) -> Self {
        self.with(SLIPRING_HAS_SEQUENCE, |to| to.sequence = sequence)
    }
    pub fn next(self, next: u64) -> Self {
        self.with(SLIPRING_HAS_NEXT, |to| to.next = next)
    }
    pub fn oldest(self, oldest: u64) -> Self {
        self.with(SLIPRING_HAS_OLDEST, |to| to.oldest = oldest)
    }
    /// What the kernel said, if it did.
    pub fn of_kernel(self, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => self.os_error(number),
            None => self,
        }
    }
}

pub type Detail = slipring_detail;

/// What an error says. Those that a loop may see a million times a second are kept without a text.
pub enum Words {
    Fixed(&'static str),
    TryPublish(TryPublishError),
    Publish(PublishError),
    TryReceive(TryReceiveError),
    Receive(ReceiveError),
    Text(String),
}

impl Words {
    fn text(&self) -> String {
        match self {
            Self::Fixed(text) => (*text).to_owned(),
            Self::TryPublish(error) => error.to_string(),
            Self::Publish(error) => error.to_string(),
            Self::TryReceive(error) => error.to_string(),
            Self::Receive(error) => error.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Why a call did not do what it is for.
pub struct Failure {
    code: slipring_status,
    words: Words,
    detail: Detail,
}

impl Failure {
    pub fn new(code: u32, words: Words, detail: Detail) -> Self {
        Self {
            code,
            words,
            detail,
        }
    }

    pub fn fixed(code: crate::status::slipring_binding_error, text: &'static str) -> Self {
        Self::new(code as u32, Words::Fixed(text), Detail::default())
    }

    pub fn text(code: crate::status::slipring_binding_error, text: String) -> Self {
        Self::new(code as u32, Words::Text(text), Detail::default())
    }

    pub fn shown(code: u32, error: &dyn Display, detail: Detail) -> Self {
        Self::new(code, Words::Text(error.to_string()), detail)
    }

    pub fn detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    /// Becomes the last error of this thread.
    pub fn keep(self) -> slipring_status {
        let code = self.code;
        // While the thread ends there is no place left to keep it in, and nobody to ask for it.
        let _ = LAST.try_with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                last.shown = None;
                last.failure = Some(self);
            }
        });
        code
    }
}

struct Last {
    failure: Option<Failure>,
    shown: Option<CString>,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { failure: None, shown: None }) };
}

/// Returns what the last error of this thread says: one sentence with what, where, and what to do. The text is UTF-8, and
/// stays until the next call that fails in this thread; it is empty if none has failed. A call that succeeds leaves
/// it.
#[no_mangle]
pub extern "C" fn slipring_error_message() -> *const c_char {
    const NOTHING: *const c_char = c"".as_ptr();
    LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else {
            return NOTHING;
        };
        let last = &mut *last;
        let Some(failure) = &last.failure else {
            return NOTHING;
        };
        let shown = last.shown.get_or_insert_with(|| {
            let text = failure.words.text().replace('\0', " ");
            CString::new(text).unwrap_or_default()
        });
        shown.as_ptr()
    })
    .unwrap_or(NOTHING)
}

/// Writes the numbers of the last error of this thread, and 0 as its code if no call has failed. `struct_size` of `detail` is
/// set by the caller.
#[no_mangle]
pub unsafe extern "C" fn slipring_error_detail(detail: *mut slipring_detail) -> slipring_status {
    // Its own errors do not become the last one: they would hide what was asked for.
    if !writable(detail) {
        return SLIPRING_E_NULL as u32;
    }
    // SAFETY: not NULL and aligned, and the caller says that it can be read and written for as long as it says itself.
    let size = unsafe { ptr::addr_of!((*detail).struct_size).read() };
    if size != size_of::<Detail>() {
        return SLIPRING_E_STRUCT_SIZE as u32;
    }
    let last = LAST.try_with(|last| {
        let last = last.try_borrow().ok()?;
        let failure = last.failure.as_ref()?;
        Some(Detail {
            code: failure.code,
            ..failure.detail
        })
    });
    let found = last.ok().flatten().unwrap_or_default();
    let struct_size = size;
    // SAFETY: as above.
    unsafe {
        detail.write(Detail {
            struct_size,
            ..found
        });
    }
    SLIPRING_OK
}
