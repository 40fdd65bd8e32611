//! Tells a handle that something happened to its process: it was forked, or lost pages.
//!
//! Layer 2, unsafe by need. The mappings themselves stay behind (`MADV_DONTFORK`), so a child that
//! touched one would fault. The canary is a page the kernel wipes in the child: one load from it
//! turns that fault into an error.
//!
//! A wiped page stays wiped, because it marks the inherited handles. Handles that the child makes get a
//! page of their own, which is wiped in the child's children.
#![allow(unsafe_code, reason = "one page the kernel wipes on fork")]

use crate::sync::{ord, AtomicPtr, AtomicU32, Ordering};
use core::ptr::{null_mut, NonNull};
use rustix::mm::{madvise, mmap_anonymous, munmap, Advice, MapFlags, ProtFlags};

const PAGE: usize = 4096;
/// Values of the word: in the process that made it, and once a mapping lost its pages.
const UNDISTURBED: u32 = 1;
const DISTURBED: u32 = 2;

/// The newest page; null before the first. One that reads zero is of a parent.
static CANARY: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());

/// A word that reads 1 in the process that made it, 0 in its forked children, and 2 once a mapping of the
/// process lost its pages. One load tells a handle that nothing has changed.
#[derive(Clone, Copy, Debug)]
pub struct Canary(&'static AtomicU32);

impl Canary {
    /// The canary of this process. A forked child makes one of its own when it first asks.
    pub fn of_this_process() -> Self {
        /// Used where no such page can be made. It does not notice forks.
        static FALLBACK: AtomicU32 = AtomicU32::new(UNDISTURBED);
        let newest = CANARY.load(ord!(fork newest: Acquire));
        if let Some(canary) = Self::at(newest).filter(|canary| !canary.forked()) {
            return canary;
        }
        let Some(page) = page() else {
            return Self(&FALLBACK);
        };
        let mine = page.as_ptr();
        let (made, theirs) = (ord!(fork made: Release), ord!(fork theirs: Acquire));
        match CANARY.compare_exchange(newest, mine, made, theirs) {
            Ok(_) => Self::at(mine),
            Err(theirs) => {
                // SAFETY: the page was mapped above, and no other thread has seen its address.
                unsafe {
                    let _ = munmap(mine.cast(), PAGE);
                }
                Self::at(theirs)
            }
        }
        .unwrap_or(Self(&FALLBACK))
    }

    fn at(word: *mut AtomicU32) -> Option<Self> {
        // SAFETY: the pointer is null or came from `page`, whose pages are never unmapped once they
        // are in `CANARY`.
        unsafe { word.as_ref() }.map(Self)
    }

    /// Returns `true` if something happened that a handle has to check.
    #[inline(always)]
    pub fn disturbed(self) -> bool {
        self.0.load(Ordering::Relaxed) != UNDISTURBED
    }

    /// Makes every handle with this canary check its pages. Safe to call from a signal handler.
    pub fn disturb(self) {
        // Never in place of the zero that tells a fork what it is.
        let _ =
            self.0
                .compare_exchange(UNDISTURBED, DISTURBED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns `true` if this process is a fork of the one that made the handle.
    #[inline(always)]
    pub fn forked(self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// The word, to be kept where there can be no reference.
    pub(super) fn word(self) -> *mut AtomicU32 {
        core::ptr::from_ref(self.0).cast_mut()
    }

    /// The canary whose [`word`](Self::word) this is; `None` for null.
    ///
    /// # Safety
    /// The pointer is null or came from `word`.
    pub(super) unsafe fn of_word(word: *mut AtomicU32) -> Option<Self> {
        // SAFETY: the caller's promise; words live for ever.
        unsafe { word.as_ref() }.map(Self)
    }
}

fn page() -> Option<NonNull<AtomicU32>> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: an anonymous mapping at an address the kernel chooses; the advice concerns that page
    // only; a page of zeroes is a valid `AtomicU32`. It is unmapped here only where nothing knows it.
    unsafe {
        let page = mmap_anonymous(null_mut(), PAGE, protection, MapFlags::PRIVATE).ok()?;
        if madvise(page, PAGE, Advice::LinuxWipeOnFork).is_err() {
            let _ = munmap(page, PAGE);
            return None;
        }
        let word = NonNull::new(page.cast::<AtomicU32>())?;
        word.as_ref().store(UNDISTURBED, Ordering::Relaxed);
        Some(word)
    }
}
