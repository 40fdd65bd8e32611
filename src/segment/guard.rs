//! What happens when somebody cuts a mapped file short.
//!
//! Layer 2, unsafe by need. The kernel answers an access behind the new end with SIGBUS, which ends
//! the process. With the guard installed the faulting range is replaced by private zero pages
//! instead, the region is marked as poisoned, and execution goes on: zero is no valid commit word, so
//! nothing is taken for a message, and the next call of a handle reports it. Faults elsewhere go to
//! whoever handled the signal before.
//!
//! The handler makes one system call and touches only the statics of this file and the canary.
#![allow(
    unsafe_code,
    reason = "a signal handler that maps pages at a fixed address"
)]

use super::fork::Canary;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::ffi::{c_int, c_void};
use std::io;
use std::sync::OnceLock;

/// How many mappings of this process the guard knows at once; what is mapped beyond is not guarded.
const SLOTS: usize = 4096;

/// One guarded mapping. Free while `base` is zero.
struct Slot {
    base: AtomicU64,
    len: AtomicU64,
    /// 1 if stores are allowed.
    writable: AtomicU32,
    poisoned: AtomicU32,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        base: AtomicU64::new(0),
        len: AtomicU64::new(0),
        writable: AtomicU32::new(0),
        poisoned: AtomicU32::new(0),
    }
}; SLOTS];

/// Marks a slot that is being filled in.
const RESERVED: u64 = 1;

/// The place of a mapping in the table, given up when dropped.
#[derive(Debug)]
pub struct Guarded(Option<usize>);

impl Guarded {
    /// Enters a mapping. Without room in the table it is not guarded.
    pub fn enter(base: *mut u8, len: usize, writable: bool) -> Self {
        let free = TABLE.iter().position(|slot| {
            slot.base
                .compare_exchange(0, RESERVED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        });
        if let Some(slot) = free.map(|at| &TABLE[at]) {
            slot.len.store(len as u64, Ordering::Relaxed);
            slot.writable.store(u32::from(writable), Ordering::Relaxed);
            slot.poisoned.store(0, Ordering::Relaxed);
            slot.base.store(base as u64, Ordering::Release);
        }
        Self(free)
    }

    /// Whether the pages behind the mapping went away.
    pub fn poisoned(&self) -> bool {
        self.0
            .is_some_and(|at| TABLE[at].poisoned.load(Ordering::Relaxed) != 0)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(at) = self.0 {
            TABLE[at].base.store(0, Ordering::Release);
        }
    }
}

/// Who handled the signal before. Set once, before the handler can run.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the guard for this process. Installing it again changes nothing.
///
/// # Errors
/// What the kernel says, which on Linux is nothing.
pub fn install() -> io::Result<()> {
    static INSTALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = INSTALL
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if BEFORE.get().is_some() {
        return Ok(());
    }
    let _ = Canary::of_this_process();
    // SAFETY: all-zero is a valid `sigaction`; the pointers are valid for the calls. The handler is
    // installed only after what it reads has been set.
    unsafe {
        let mut before: libc::sigaction = core::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, core::ptr::null(), &raw mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        let _ = BEFORE.set(before);
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        if libc::sigaction(libc::SIGBUS, &raw const action, core::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as u64;
    for slot in &TABLE {
        let base = slot.base.load(Ordering::Acquire);
        let len = slot.len.load(Ordering::Relaxed);
        // Base and length belong together if no other mapping took the slot in between.
        let whole = base > RESERVED && slot.base.load(Ordering::Acquire) == base;
        if whole && address.wrapping_sub(base) < len && replace(slot, base, len) {
            slot.poisoned.store(1, Ordering::Relaxed);
            Canary::disturb();
            return;
        }
    }
    chain(signal, info, context);
}

/// Puts zero pages where a mapping was.
fn replace(slot: &Slot, base: u64, len: u64) -> bool {
    let mut protection = libc::PROT_READ;
    if slot.writable.load(Ordering::Relaxed) != 0 {
        protection |= libc::PROT_WRITE;
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the range is a live mapping of this library (its owner leaves the table before it
    // unmaps), so replacing it takes nothing from anybody else; `errno` is put back for the code
    // that was interrupted.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let mapped = libc::mmap(base as *mut c_void, len as usize, protection, flags, -1, 0);
        *errno = saved;
        mapped != libc::MAP_FAILED
    }
}

/// Passes the signal on to whoever had it before.
fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE.get();
    let handler = before.map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // The access is repeated on return, and then has its default effect.
        // SAFETY: all-zero is a valid `sigaction` and means the default action.
        unsafe {
            let action: libc::sigaction = core::mem::zeroed();
            libc::sigaction(signal, &raw const action, core::ptr::null_mut());
        }
        return;
    }
    let with_info = before.is_some_and(|action| action.sa_flags & libc::SA_SIGINFO != 0);
    // SAFETY: the kernel was told that this address is a handler of this kind.
    unsafe {
        if with_info {
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                core::mem::transmute(handler);
            handler(signal, info, context);
        } else {
            let handler: extern "C" fn(c_int) = core::mem::transmute(handler);
            handler(signal);
        }
    }
}
