//! Tells a forked child that the handles it inherited are not its own.
//!
//! Layer 2, unsafe by need. The mappings themselves stay behind (`MADV_DONTFORK`), so a child that
//! touched one would fault. The canary is a page the kernel wipes in the child: one load from it
//! turns that fault into an error.
#![allow(unsafe_code, reason = "one page the kernel wipes on fork")]

use crate::sync::{AtomicU32, Ordering};
use rustix::mm::{madvise, mmap_anonymous, Advice, MapFlags, ProtFlags};
use std::sync::OnceLock;

/// A word that reads 1 in the process that made it and 0 in its forked children.
#[derive(Clone, Copy, Debug)]
pub struct Canary(&'static AtomicU32);

impl Canary {
    /// The canary of this process. In a child of a process that had one already, it reads as
    /// forked for good; `exec` starts afresh.
    pub fn of_this_process() -> Self {
        static CANARY: OnceLock<&'static AtomicU32> = OnceLock::new();
        static FALLBACK: AtomicU32 = AtomicU32::new(1);
        Self(CANARY.get_or_init(|| page().unwrap_or(&FALLBACK)))
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
