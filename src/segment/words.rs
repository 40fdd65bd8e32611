//! The data of a ring as words, and copies into and out of them.
//!
//! Layer 2, unsafe by need. References to atomics leave this file, plus one borrowed slice for each side that the protocol
//! grants exclusive bytes.
#![allow(unsafe_code, reason = "overlays words on raw memory")]

use super::copy::{copy_fresh_words, copy_short_words, copy_words, Wide};
use super::order::{is_short, Order};
use crate::layout::frame::WORD;
use crate::sync::{AtomicU64, Ordering};
use core::marker::PhantomData;
use core::ops::Range;
use std::ptr::NonNull;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// The data as words, addressed by position in the endless stream.
#[derive(Clone, Copy)]
pub struct Words<'m> {
    base: NonNull<AtomicU64>,
    mask: u64,
    wide: Wide,
    ring: PhantomData<&'m AtomicU64>,
}

impl<'m> Words<'m> {
    /// # Safety
    /// The words from `base` up to the mask, as bytes a multiple of eight, are mapped, and stay so for `'m`.
    #[inline(always)]
    pub(super) unsafe fn new(base: NonNull<AtomicU64>, mask: u64, wide: Wide) -> Self {
        Self {
            base,
            mask,
            wide,
            ring: PhantomData,
        }
    }

    /// The word at `position`, modulo the capacity.
    #[inline(always)]
    pub fn at(self, position: u64) -> &'m AtomicU64 {
        // SAFETY: masked to a multiple of eight below the capacity, which the caller of `new`
        // found mapped for `'m`.
        unsafe { self.base.byte_add((position & self.mask) as usize).as_ref() }
    }

    /// The address of `len` bytes from `position`, if they do not wrap.
    #[inline(always)]
    fn range(self, position: u64, len: usize) -> Option<NonNull<u8>> {
        let offset = position & self.mask;
        if offset + len as u64 > self.mask + 8 {
            return None;
        }
        // SAFETY: `offset` is below the capacity.
        Some(unsafe { self.base.cast::<u8>().add(offset as usize) })
    }

    /// Writes `payload` at `position`, the last word filled up with zero bytes. Does nothing where
    /// the payload would wrap; no frame does.
    #[inline(always)]
    pub fn copy_in(self, position: u64, payload: &[u8], order: Order) {
        let Some(to) = self.range(position, payload.len()) else {
            return;
        };
        // SAFETY: `range` proved the shared side, and with it the whole of the last word, since
        // positions and the capacity are multiples of eight. The slice is the private side; they
        // cannot overlap since no reference to shared bytes is handed out to a producer's caller
        // while the producer is borrowed.
        unsafe {
            if payload.len().is_multiple_of(WORD as usize) {
                copy_fresh_words(
                    to.as_ptr(),
                    payload.as_ptr(),
                    payload.len(),
                    self.wide,
                    order,
                );
            } else {
                copy_ragged(to, payload, self.wide, order);
            }
        }
    }

    /// Like [`copy_in`](Self::copy_in), of a payload of which [`is_short`] holds; does nothing with
    /// another.
    #[inline(always)]
    pub fn copy_short_in(self, position: u64, payload: &[u8]) {
        if !is_short(payload.len()) {
            return;
        }
        if let Some(to) = self.range(position, payload.len()) {
            // SAFETY: as in `copy_in`.
            unsafe { copy_short_words(to.as_ptr(), payload.as_ptr(), payload.len(), self.wide) }
        }
    }

    /// Reads `out.len()` words from `position`. Leaves `out` alone where the range would wrap.
    #[inline(always)]
    pub fn copy_out(self, position: u64, out: &mut [u64]) {
        let bytes = size_of_val(out);
        if let Some(from) = self.range(position, bytes) {
            // SAFETY: `range` proved the shared side, `out` is private and of that length.
            unsafe { copy_words(out.as_mut_ptr().cast(), from.as_ptr(), bytes, self.wide) }
        }
    }

    /// Asks for the line at `position` in a state that can be written.
    #[inline(always)]
    pub fn prefetch_for_write(self, position: u64) {
        prefetch_for_write(self.at(position));
    }

    /// Asks for the line at `position` to read it.
    #[inline(always)]
    pub fn prefetch(self, position: u64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch touches nothing, and the address is inside the data anyway.
        unsafe {
            core::arch::asm!("prefetcht0 [{0}]", in(reg) core::ptr::from_ref(self.at(position)),
                options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = position;
    }

    /// Takes the lines that end in these positions out of every cache. Only where [`can_flush`] says so.
    pub fn flush(self, positions: Range<u64>) {
        // The first part of the first line was read before.
        let mut at = positions.start & !(FLUSHED - 1);
        while at < positions.end & !(FLUSHED - 1) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a flush changes no value, the address is inside the data, and the caller has asked
            // whether the processor knows the instruction.
            unsafe {
                core::arch::asm!("clflushopt [{0}]", in(reg) core::ptr::from_ref(self.at(at)),
                    options(nostack, preserves_flags));
            }
            at += FLUSHED;
        }
    }

    /// The `len` bytes at `position` as a slice; empty where they would wrap.
    ///
    /// # Safety
    /// No process writes them for as long as the slice lives: a consumer's row holds the gate before them
    /// meanwhile.
    #[inline(always)]
    pub unsafe fn bytes(self, position: u64, len: usize) -> &'m [u8] {
        match self.range(position, len) {
            // SAFETY: mapped per `range`; unwritten per the caller.
            Some(at) => unsafe { core::slice::from_raw_parts(at.as_ptr(), len) },
            None => &[],
        }
    }

    /// The `len` bytes at `position` as a mutable slice; empty where they would wrap.
    ///
    /// # Safety
    /// No other reference of this process to these bytes lives meanwhile: they are the producer's
    /// own unpublished space, and readers in this process map the ring at another address.
    pub unsafe fn bytes_mut(self, position: u64, len: usize) -> &'m mut [u8] {
        match self.range(position, len) {
            // SAFETY: mapped per `range`; exclusive per the caller.
            Some(at) => unsafe { core::slice::from_raw_parts_mut(at.as_ptr(), len) },
            None => &mut [],
        }
    }
}

/// Bytes that one flush takes out of the caches; not the pair of lines that may be fetched
/// together.
const FLUSHED: u64 = 64;

/// Returns `true` if this processor has an instruction that takes lines out of caches without waiting for
/// each.
pub fn can_flush() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // The query can take some microseconds in a virtual machine.
        static KNOWN: OnceLock<bool> = OnceLock::new();
        *KNOWN.get_or_init(|| {
            let leaves = core::arch::x86_64::__cpuid(0).eax;
            leaves >= 7 && core::arch::x86_64::__cpuid_count(7, 0).ebx & 1 << 23 != 0
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Asks for the line of a shared word in a state that can be written.
#[inline(always)]
pub fn prefetch_for_write(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches nothing, and the address is that of a reference.
    unsafe {
        core::arch::asm!("prefetchw [{0}]", in(reg) core::ptr::from_ref(word),
            options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// Writes a payload that ends within a word. Out of line, so that the inlined copies need no registers for
/// it.
///
/// # Safety
/// As for [`copy_words`], with room for the whole of the last word at `to`.
#[inline(never)]
unsafe fn copy_ragged(to: NonNull<u8>, payload: &[u8], wide: Wide, order: Order) {
    let whole = payload.len() & !(WORD as usize - 1);
    // SAFETY: the caller's promise.
    unsafe {
        let last = to.add(whole).cast::<AtomicU64>();
        last.as_ref().store(last_word(payload), Ordering::Relaxed);
        copy_fresh_words(to.as_ptr(), payload.as_ptr(), whole, wide, order);
    }
}

/// The bytes behind the last whole word of `payload`, filled up with zeroes.
fn last_word(payload: &[u8]) -> u64 {
    let rest = payload.len() % 8;
    if let Some(tail) = payload.last_chunk::<8>() {
        // Reads some earlier bytes again, which is faster than a loop over the last few.
        return u64::from_le_bytes(*tail) >> (64 - 8 * rest);
    }
    payload
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}
