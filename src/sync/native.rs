//! The shipped half of the facade: the processor's atomics and the kernel's futex.
//!
//! Layer 0. Never: a private futex (waiters are other processes), a wait without a way to end it.
use core::time::Duration;
use rustix::thread::{membarrier, MembarrierCommand};
use std::io;

pub use core::sync::atomic::{fence, AtomicPtr, AtomicU32, AtomicU64};

use super::Ordering;

/// The ordering itself; the tag only matters to the model build.
#[inline(always)]
pub const fn order(_tag: &str, order: Ordering) -> Ordering {
    order
}

/// The fence itself; the tag only matters to the model build.
#[inline(always)]
pub fn tagged_fence(_tag: &str, order: Ordering) {
    fence(order);
}

/// Lets [`fence_everywhere`], called by any process, reach the threads of this one.
///
/// # Errors
/// The error of the kernel or of a sandbox: `ENOSYS`, `EPERM`, `EINVAL`.
pub fn accept_fences() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::RegisterGlobalExpedited)?)
}

/// Executes a full fence here and in every running thread of every process that accepts fences, at some
/// moment between call and return. Returns `true` if the kernel did it.
pub fn fence_everywhere() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

/// A compiler fence, where a [`fence_everywhere`] of another process takes effect. Costs nothing. Valid
/// only after [`accept_fences`].
#[inline(always)]
pub fn fence_by_others() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// A pause in a spin loop.
#[inline(always)]
pub fn spin_hint() {
    core::hint::spin_loop();
}

/// A 32-bit word that processes can sleep on.
///
/// Shared between processes: never uses the private-futex flag.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct FutexWord(AtomicU32);

impl FutexWord {
    /// A word with the given value.
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// The current value.
    #[inline]
    pub fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }

    /// Adds one, wrapping, and returns the old value.
    #[inline]
    pub fn bump(&self, order: Ordering) -> u32 {
        self.0.fetch_add(1, order)
    }

    /// Sleeps while the word holds `expected`, at most for `limit`.
    ///
    /// May return at any time (a wake, the limit, a signal, spuriously), so the caller re-checks its
    /// condition. It also returns after an error of the kernel, such as a page that is gone.
    pub fn wait(&self, expected: u32, limit: Duration) {
        use rustix::thread::futex;
        let limit = futex::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let _ = futex::wait(&self.0, futex::Flags::empty(), expected, Some(&limit));
    }

    /// Wakes every sleeper. Returns how many there were.
    pub fn wake_all(&self) -> usize {
        use rustix::thread::futex;
        futex::wake(&self.0, futex::Flags::empty(), i32::MAX as u32).unwrap_or(0)
    }

    /// Sleeps until one of `words` no longer holds its expected value, at most for `limit`.
    ///
    /// Takes at most [`FutexWord::MANY`] words; the kernel allows no more. Where the kernel or a
    /// sandbox refuses the call, sleeps on the first word alone for at most a millisecond.
    pub fn wait_many(words: &[(&FutexWord, u32)], limit: Duration) {
        use rustix::thread::{futex, ClockId};
        let mut waits = Vec::with_capacity(words.len());
        for (word, expected) in words.iter().take(Self::MANY) {
            let mut wait = futex::Wait::new();
            wait.val = u64::from(*expected);
            wait.uaddr = futex::WaitPtr::new(word.0.as_ptr().cast());
            wait.flags = futex::WaitFlags::SIZE_U32;
            waits.push(wait);
        }
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let nanos = now.tv_nsec + i64::from(limit.subsec_nanos());
        let until = futex::Timespec {
            tv_sec: now
                .tv_sec
                .saturating_add(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX))
                .saturating_add(nanos / 1_000_000_000),
            tv_nsec: nanos % 1_000_000_000,
        };
        if let Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) = futex::waitv(
            &waits,
            futex::WaitvFlags::empty(),
            Some(&until),
            ClockId::Monotonic,
        ) {
            if let Some((word, expected)) = words.first() {
                word.wait(*expected, limit.min(Duration::from_millis(1)));
            }
        }
    }

    /// The most words one [`wait_many`](Self::wait_many) takes.
    pub const MANY: usize = 128;
}
