//! A range of bytes that stays where it is: a mapping, a heap block, or another library's segment.
//!
//! Layer 2, unsafe by need. A [`Region`] owns what keeps its bytes alive and hands out only its base and
//! length; `memory` decides which accesses are allowed.
#![allow(unsafe_code, reason = "owns raw memory")]

use super::fork::Canary;
use super::guard::Guarded;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// Bytes at a fixed address, alive as long as the region.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
    /// Whether bytes written here may be lent out before any process reads them.
    lends: bool,
    canary: Canary,
    /// Left before the mapping goes.
    guarded: Option<Guarded>,
    keep: Keep,
}

enum Keep {
    Mapped(ManuallyDrop<MmapRaw>),
    Heap(Layout),
    #[cfg_attr(
        not(feature = "shared_memory"),
        allow(dead_code, reason = "adopted segments only")
    )]
    Foreign(#[allow(dead_code, reason = "held for its drop")] Box<dyn Send + Sync>),
}

// SAFETY: a region is an address range and its owner; the bytes are only reached through atomics
// or under the protocol's exclusion, from whichever thread.
unsafe impl Send for Region {}
// SAFETY: as above; no method gives out plain references to the bytes.
unsafe impl Sync for Region {}

impl core::fmt::Debug for Region {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = match &self.keep {
            Keep::Mapped(_) => "mapped",
            Keep::Heap(_) => "heap",
            Keep::Foreign(_) => "adopted",
        };
        write!(f, "{kind} region of {} bytes", self.len)
    }
}

impl Region {
    /// Maps `len` bytes of a file, shared. A forked child does not inherit the mapping, and a core
    /// dump does not contain it.
    pub fn map(file: &impl AsRawFd, len: u64, writable: bool) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut options = MmapOptions::new();
        options.len(len);
        let map = if writable {
            options.map_raw(file.as_raw_fd())?
        } else {
            options.map_raw_read_only(file.as_raw_fd())?
        };
        map.advise(Advice::DontFork)?;
        // Best effort: a dump with the ring in it is slow, not wrong.
        let _ = map.advise(Advice::DontDump);
        let base = NonNull::new(map.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        let canary = Canary::of_this_process();
        Ok(Self {
            base,
            len,
            writable,
            lends: true,
            canary,
            guarded: Some(Guarded::enter(base.as_ptr(), len, writable, canary)),
            keep: Keep::Mapped(ManuallyDrop::new(map)),
        })
    }

    /// Zeroed heap memory, page aligned.
    pub fn heap(len: u64) -> io::Result<Self> {
        let layout = usize::try_from(len)
            .ok()
            .and_then(|len| Layout::from_size_align(len, 4096).ok())
            .filter(|layout| layout.size() > 0)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout has a size above zero.
        let base = unsafe { alloc_zeroed(layout) };
        Ok(Self {
            base: NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?,
            len: layout.size(),
            writable: true,
            lends: false,
            canary: Canary::of_this_process(),
            guarded: None,
            keep: Keep::Heap(layout),
        })
    }

    /// Memory that `keep` owns.
    ///
    /// # Safety
    /// `base..base + len` is mapped readable and writable, page aligned, until `keep` is dropped, and no
    /// code makes plain references to it.
    #[cfg_attr(
        not(feature = "shared_memory"),
        allow(dead_code, reason = "adopted segments only")
    )]
    pub unsafe fn foreign(base: NonNull<u8>, len: usize, keep: Box<dyn Send + Sync>) -> Self {
        let canary = Canary::of_this_process();
        Self {
            base,
            len,
            writable: true,
            lends: false,
            canary,
            guarded: Some(Guarded::enter(base.as_ptr(), len, true, canary)),
            keep: Keep::Foreign(keep),
        }
    }

    /// The first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if stores are allowed.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// Returns `true` if the pages went away and the guard put zeroes there.
    pub fn poisoned(&self) -> bool {
        self.guarded.as_ref().is_some_and(Guarded::poisoned)
    }

    /// Returns `true` if bytes written here may be lent out before any process reads them: other
    /// attachments of this process see them at another address, and no other user may write them.
    pub fn lends(&self) -> bool {
        self.lends
    }

    /// The same, of a file that another user may write.
    pub fn of_another_user(mut self) -> Self {
        self.lends = false;
        self
    }

    /// Touches every page now, so that the first lap does not fault.
    pub fn populate(&self) -> io::Result<()> {
        let Keep::Mapped(map) = &self.keep else {
            return Ok(());
        };
        let advice = if self.writable {
            Advice::PopulateWrite
        } else {
            Advice::PopulateRead
        };
        match map.advise(advice) {
            // Kernels before 5.14 do not know the advice; the pages then come one by one.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            result => result,
        }
    }

    /// Asks for huge pages; whether the kernel gives them depends on the file system.
    pub fn advise_huge(&self) {
        if let Keep::Mapped(map) = &self.keep {
            let _ = map.advise(Advice::HugePage);
        }
    }

    /// Pins the pages in memory.
    pub fn lock(&self) -> io::Result<()> {
        match &self.keep {
            Keep::Mapped(map) => map.lock(),
            _ => Ok(()),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.guarded = None;
        match &mut self.keep {
            // A forked child did not inherit the mapping; another mapping may be there by now.
            Keep::Mapped(_) if self.canary.forked() => {}
            // SAFETY: dropped here and nowhere else, and not used again.
            Keep::Mapped(map) => unsafe { ManuallyDrop::drop(map) },
            // SAFETY: allocated in `heap` with this layout, and freed only here.
            Keep::Heap(layout) => unsafe { dealloc(self.base.as_ptr(), *layout) },
            Keep::Foreign(_) => {}
        }
    }
}
