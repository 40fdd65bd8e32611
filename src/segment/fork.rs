//! Tells a handle that something happened to its process: it was forked, or lost pages.
//!
//! Layer 2, unsafe by need. The mappings themselves stay behind (`MADV_DONTFORK`), so a child that
//! touched one would fault. The canary is a page the kernel wipes in the child: one load from it
//! turns that fault into an error.
#![allow(unsafe_code, reason = "one page the kernel wipes on fork")]

use crate::sync::{AtomicU32, Ordering};
use rustix::mm::{madvise, mmap_anonymous, Advice, MapFlags, ProtFlags};
use std::sync::OnceLock;

static CANARY: OnceLock<&'static AtomicU32> = OnceLock::new();

/// A word that reads 1 in the process that made it, 0 in its forked children, and 2 once a mapping
/// of the process lost its pages. One load tells a handle that all is as it was.
#[derive(Clone, Copy, Debug)]
pub struct Canary(&'static AtomicU32);

impl Canary {
    /// The canary of this process. In a child of a process that had one already, it reads as
    /// forked for good; `exec` starts afresh.
    pub fn of_this_process() -> Self {
        static FALLBACK: AtomicU32 = AtomicU32::new(1);
        Self(CANARY.get_or_init(|| page().unwrap_or(&FALLBACK)))
    }

    /// Whether anything happened that a handle has to look into.
    #[inline(always)]
    pub fn disturbed(self) -> bool {
        self.0.load(Ordering::Relaxed) != 1
    }

    /// Makes every handle of this process look at its pages. Safe to call from a signal handler.
    pub fn disturb() {
        if let Some(word) = CANARY.get() {
            word.store(2, Ordering::Relaxed);
        }
    }

    /// Whether this process is a fork of the one that made the handle.
    #[inline(always)]
    pub fn forked(self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

fn page() -> Option<&'static AtomicU32> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: an anonymous mapping at an address the kernel chooses, never unmapped; the advice
    // concerns that page only; a page of zeroes is a valid `AtomicU32`.
    unsafe {
        let page =
            mmap_anonymous(core::ptr::null_mut(), 4096, protection, MapFlags::PRIVATE).ok()?;
        madvise(page, 4096, Advice::LinuxWipeOnFork).ok()?;
        let word = &*page.cast::<AtomicU32>();
        word.store(1, Ordering::Relaxed);
        Some(word)
    }
}
