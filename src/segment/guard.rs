//! What happens when a mapped file is cut short, and what takes the place of mappings in a fork.
//!
//! Layer 2, unsafe by need. The kernel answers an access behind the new end with SIGBUS, which ends the
//! process. With the guard installed the faulting range is replaced by private zero pages instead, the
//! region is marked as poisoned, and execution goes on: zero is no valid commit word, so nothing is taken
//! for a message, and the next call of a handle reports it. Faults elsewhere go to the handler that was
//! installed before.
//!
//! The handler makes one system call and touches only the statics of this file and the canary.
//!
//! A forked child inherits the table, but not the mappings in it: other things may lie at their
//! addresses. Each entry names the canary of the process that made it, so the child's handler passes over
//! those of its parent, and the child's own mappings take their places.
#![allow(
    unsafe_code,
    reason = "a signal handler that maps pages at a fixed address"
)]

use super::fork::Canary;
use crate::sync::{edge_fence, ord, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::ffi::{c_int, c_void};
use std::io;
use std::sync::{Once, OnceLock};

/// How many mappings of this process the guard knows at once; what is mapped beyond is not guarded.
const SLOTS: usize = 4096;

/// One guarded mapping. Free while `base` is zero, and in a fork of the process that entered it.
struct Slot {
    base: AtomicU64,
    /// Of the process that entered it.
    canary: AtomicPtr<AtomicU32>,
    len: AtomicU64,
    /// 1 if stores are allowed.
    writable: AtomicU32,
    poisoned: AtomicU32,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        base: AtomicU64::new(0),
        canary: AtomicPtr::new(core::ptr::null_mut()),
        len: AtomicU64::new(0),
        writable: AtomicU32::new(0),
        poisoned: AtomicU32::new(0),
    }
}; SLOTS];

/// Marks a slot that is being filled in.
const RESERVED: u64 = 1;

impl Slot {
    /// The canary of the process that entered the mapping; `None` while the slot was never used.
    fn canary(&self) -> Option<Canary> {
        // SAFETY: null, or stored by `enter`, which had it from a canary.
        unsafe { Canary::of_word(self.canary.load(Ordering::Relaxed)) }
    }

    fn protection(&self) -> c_int {
        match self.writable.load(Ordering::Relaxed) {
            0 => libc::PROT_READ,
            _ => libc::PROT_READ | libc::PROT_WRITE,
        }
    }

    /// Takes the slot for a mapping of this process.
    fn reserve(&self) -> bool {
        let base = self.base.load(Ordering::Relaxed);
        // In a fork, also one that the parent was just filling in.
        let inherited = base != 0 && self.canary().is_some_and(Canary::forked);
        (base == 0 || inherited)
            && self
                .base
                .compare_exchange(
                    base,
                    RESERVED,
                    ord!(guard reserve: Acquire),
                    Ordering::Relaxed,
                )
                .is_ok()
    }
}

/// The place of a mapping in the table, given up when dropped.
#[derive(Debug)]
pub struct Guarded {
    slot: Option<usize>,
    /// Of the process that entered the mapping: in a fork of it, the place may be another mapping's.
    canary: Canary,
}

impl Guarded {
    /// Enters a mapping. Without room in the table it is not guarded.
    pub fn enter(base: *mut u8, len: usize, writable: bool, canary: Canary) -> Self {
        static FORKS: Once = Once::new();
        FORKS.call_once(|| {
            // SAFETY: the function is safe to call in a child: it makes system calls, and touches only
            // the table. If the kernel has no memory for it, a child has holes in place of zeroes.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(fill_holes)) };
        });
        let free = TABLE.iter().position(Slot::reserve);
        if let Some(slot) = free.map(|at| &TABLE[at]) {
            // A handler that sees what is stored now sees that the last mapping has left.
            edge_fence!(guard refill: Release);
            slot.canary.store(canary.word(), Ordering::Relaxed);
            slot.len.store(len as u64, Ordering::Relaxed);
            slot.writable.store(u32::from(writable), Ordering::Relaxed);
            slot.poisoned.store(0, Ordering::Relaxed);
            slot.base.store(base as u64, ord!(guard enter: Release));
        }
        Self { slot: free, canary }
    }

    /// Returns `true` if the pages behind the mapping went away.
    pub fn poisoned(&self) -> bool {
        self.slot
            .is_some_and(|at| TABLE[at].poisoned.load(Ordering::Relaxed) != 0)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let (Some(at), false) = (self.slot, self.canary.forked()) {
            TABLE[at].base.store(0, ord!(guard give: Release));
        }
    }
}

/// The previous handler of the signal. Set once, before the handler can run.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the guard for this process: a handler of SIGBUS that turns the loss of a mapped page of a ring into
/// the error `Poisoned` of that ring's handles. Installing it again changes nothing.
///
/// Opening or creating a ring installs it where another user may write `control` or owns a file of the ring. A
/// program calls this to be protected from its own user's other programs as well.
///
/// # Guarantees
/// A fault at any other address reaches the handler that was there before, or has its default effect. Other rings
/// of the process go on. The guard knows 4096 mappings at once; what is mapped beyond is not protected.
///
/// # What others may change meanwhile
/// A handler of SIGBUS that the program installs later replaces this one, unless it passes on faults that
/// are not its own.
///
/// # Errors
/// The error of the kernel. Linux reports none.
pub fn install() -> io::Result<()> {
    static INSTALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = INSTALL
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if BEFORE.get().is_some() {
        return Ok(());
    }
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
        let base = slot.base.load(ord!(guard handle: Acquire));
        let len = slot.len.load(Ordering::Relaxed);
        if base <= RESERVED || address.wrapping_sub(base) >= len {
            continue;
        }
        let Some(canary) = slot.canary().filter(|canary| !canary.forked()) else {
            continue;
        };
        // The values belong together if no other mapping took the slot in between.
        let protection = slot.protection();
        edge_fence!(guard whole: Acquire);
        let whole = slot.base.load(Ordering::Relaxed) == base;
        if whole && replace(base, len, protection) {
            slot.poisoned.store(1, Ordering::Relaxed);
            canary.disturb();
            return;
        }
    }
    chain(signal, info, context);
}

/// Puts zero pages where the mappings of the parent were, in a child that was just forked: what it
/// inherited and still does with a handle, a message or a claim of its parent reaches no other process,
/// and is no fault. A child that was made by a bare `clone` has holes there.
extern "C" fn fill_holes() {
    for slot in &TABLE {
        let base = slot.base.load(ord!(guard fill: Acquire));
        if base > RESERVED && slot.canary().is_some_and(Canary::forked) {
            fill(slot, base, slot.len.load(Ordering::Relaxed));
        }
    }
}

/// Puts zero pages where nothing is.
fn fill(slot: &Slot, base: u64, len: u64) {
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE;
    // SAFETY: takes the place of nothing; where the kernel does not know the flag and maps elsewhere, what
    // it mapped goes again.
    unsafe {
        let wanted = base as *mut c_void;
        let mapped = libc::mmap(wanted, len as usize, slot.protection(), flags, -1, 0);
        if mapped != libc::MAP_FAILED && mapped != wanted {
            libc::munmap(mapped, len as usize);
        }
    }
}

/// Puts zero pages where a mapping was.
fn replace(base: u64, len: u64, protection: c_int) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the range is a live mapping of this library (its owner leaves the table before it unmaps), so
    // replacing it affects no other mapping; `errno` is put back for the code that was interrupted.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let mapped = libc::mmap(base as *mut c_void, len as usize, protection, flags, -1, 0);
        *errno = saved;
        mapped != libc::MAP_FAILED
    }
}

/// Passes the signal on to the previous handler.
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
