//! Copies between private and shared bytes: the widest moves the processor has, chosen at run time.
//!
//! Layer 2, unsafe by need. The moves are inline assembly, which to the language is "some relaxed
//! accesses in some order": an observer may overtake a copy, and then detects it, so the copy must
//! be neither undefined nor one the optimiser may tear or drop. Without x86-64 the copy is the word
//! loop that the model checker runs.
#![allow(unsafe_code, reason = "copies to and from shared bytes")]

use super::order::Order;

/// Which moves this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// 64-byte moves through registers that legacy code never touches.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 32-byte moves.
    #[cfg(target_arch = "x86_64")]
    Avx,
    /// 16-byte moves, or words.
    Baseline,
}

impl Wide {
    /// Asks the processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl")
            {
                return Self::Avx512;
            }
            if std::is_x86_feature_detected!("avx") {
                return Self::Avx;
            }
        }
        Self::Baseline
    }

    /// Every kind this processor has, for tests that compare them.
    #[cfg(test)]
    fn available() -> Vec<Self> {
        let mut all = vec![Self::Baseline];
        #[cfg(target_arch = "x86_64")]
        match Self::detect() {
            Self::Avx512 => all.extend([Self::Avx, Self::Avx512]),
            Self::Avx => all.push(Self::Avx),
            Self::Baseline => {}
        }
        all
    }
}

/// Copies `bytes`, a multiple of eight, from `from` to `to`.
///
/// # Safety
/// Both ranges are mapped for the whole call, aligned to eight, and do not overlap. One of them may
/// be shared: other processes may read it, or write it meanwhile, in which case the private side
/// ends up with a mixture.
#[inline(always)]
pub unsafe fn copy_words(to: *mut u8, from: *const u8, bytes: usize, wide: Wide) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        x86::copy(to, from, bytes, wide);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        let _ = wide;
        word_by_word(to, from, bytes);
    }
}

/// As [`copy_words`], from private memory that has probably been written just now, in words or more at a
/// time. A load that spans several stores which have not reached the cache must wait for them, while one
/// that lies within a store gets its value at once: so it loads words, and stores as wide as the other. More
/// than two lines are loaded wide all the same, and stored in the order asked for.
///
/// # Safety
/// As [`copy_words`].
#[inline(always)]
pub unsafe fn copy_fresh_words(
    to: *mut u8,
    from: *const u8,
    bytes: usize,
    wide: Wide,
    order: Order,
) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        x86::copy_fresh(to, from, bytes, wide, order);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        let _ = order;
        copy_words(to, from, bytes, wide);
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn word_by_word(to: *mut u8, from: *const u8, bytes: usize) {
    use crate::sync::{AtomicU64, Ordering::Relaxed};
    for at in (0..bytes).step_by(8) {
        // SAFETY: `at + 8 <= bytes`, and the caller promised both ranges, aligned to eight.
        unsafe {
            let word = (*from.add(at).cast::<AtomicU64>()).load(Relaxed);
            (*to.add(at).cast::<AtomicU64>()).store(word, Relaxed);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Order, Wide};
    use core::arch::asm;

    /// Above this, the processor's own string move.
    const STRING_MOVE: usize = 2048;
    /// Above this, a copy downwards takes longer than it saves.
    const LONGEST_DOWN: usize = 2048;

    // The three sizes most messages have come first. Two moves that overlap cover every length
    // between one and two of their widths without a loop.
    #[inline(always)]
    pub unsafe fn copy(to: *mut u8, from: *const u8, n: usize, wide: Wide) {
        // SAFETY: every access of every arm lies in `0..n` of the two ranges the caller promised:
        // a move of width w at offset 0 needs n >= w, one at offset n - w needs the same.
        unsafe {
            if n <= 32 {
                return up_to_32(to, from, n);
            }
            match wide {
                Wide::Avx512 if n == 64 => asm!(
                    "vmovdqu64 zmm16, [{f}]", "vmovdqu64 [{t}], zmm16",
                    f = in(reg) from, t = in(reg) to, out("zmm16") _,
                    options(nostack, preserves_flags)),
                Wide::Avx512 if n < 64 => asm!(
                    "vmovdqu64 ymm16, [{f}]", "vmovdqu64 ymm17, [{f}+{n}-32]",
                    "vmovdqu64 [{t}], ymm16", "vmovdqu64 [{t}+{n}-32], ymm17",
                    f = in(reg) from, t = in(reg) to, n = in(reg) n,
                    out("zmm16") _, out("zmm17") _, options(nostack, preserves_flags)),
                Wide::Avx512 if n <= 128 => asm!(
                    "vmovdqu64 zmm16, [{f}]", "vmovdqu64 zmm17, [{f}+{n}-64]",
                    "vmovdqu64 [{t}], zmm16", "vmovdqu64 [{t}+{n}-64], zmm17",
                    f = in(reg) from, t = in(reg) to, n = in(reg) n,
                    out("zmm16") _, out("zmm17") _, options(nostack, preserves_flags)),
                Wide::Avx if n <= 64 => avx_33_to_64(to, from, n),
                _ => long(to, from, n, wide),
            }
        }
    }

    /// Loads words, puts them together in registers, and stores those.
    #[inline(always)]
    pub unsafe fn copy_fresh(to: *mut u8, from: *const u8, n: usize, wide: Wide, order: Order) {
        // SAFETY: as in `copy`; every load is of eight bytes at an offset of which `n` is at least
        // eight more.
        unsafe {
            if n <= 32 {
                return fresh_up_to_32(to, from, n);
            }
            match wide {
                Wide::Avx512 if n == 64 => asm!(
                    "vmovq xmm16, [{f}]", "vmovq xmm17, [{f}+16]",
                    "vmovq xmm18, [{f}+32]", "vmovq xmm19, [{f}+48]",
                    "vmovhps xmm16, xmm16, [{f}+8]", "vmovhps xmm17, xmm17, [{f}+24]",
                    "vmovhps xmm18, xmm18, [{f}+40]", "vmovhps xmm19, xmm19, [{f}+56]",
                    "vinserti32x4 ymm16, ymm16, xmm17, 1", "vinserti32x4 ymm18, ymm18, xmm19, 1",
                    "vinserti64x4 zmm16, zmm16, ymm18, 1", "vmovdqu64 [{t}], zmm16",
                    f = in(reg) from, t = in(reg) to,
                    out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                    options(nostack, preserves_flags)),
                Wide::Avx512 if n < 64 => asm!(
                    "vmovq xmm16, [{f}]", "vmovq xmm17, [{f}+16]",
                    "vmovq xmm18, [{f}+{n}-32]", "vmovq xmm19, [{f}+{n}-16]",
                    "vmovhps xmm16, xmm16, [{f}+8]", "vmovhps xmm17, xmm17, [{f}+24]",
                    "vmovhps xmm18, xmm18, [{f}+{n}-24]", "vmovhps xmm19, xmm19, [{f}+{n}-8]",
                    "vinserti32x4 ymm16, ymm16, xmm17, 1", "vinserti32x4 ymm18, ymm18, xmm19, 1",
                    "vmovdqu64 [{t}], ymm16", "vmovdqu64 [{t}+{n}-32], ymm18",
                    f = in(reg) from, t = in(reg) to, n = in(reg) n,
                    out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                    options(nostack, preserves_flags)),
                _ if n <= 128 => fresh_by_32(to, from, n),
                _ if order == Order::Down && n <= LONGEST_DOWN => long_down(to, from, n, wide),
                _ => long(to, from, n, wide),
            }
        }
    }

    #[inline(always)]
    unsafe fn fresh_up_to_32(to: *mut u8, from: *const u8, n: usize) {
        // SAFETY: as in `copy`; `n` is a multiple of eight, so it is 0, 8, 16, 24 or 32.
        unsafe {
            if n >= 16 {
                asm!("movq {a}, qword ptr [{f}]", "movq {b}, qword ptr [{f}+{n}-16]",
                    "movhps {a}, qword ptr [{f}+8]", "movhps {b}, qword ptr [{f}+{n}-8]",
                    "movups [{t}], {a}", "movups [{t}+{n}-16], {b}",
                    a = out(xmm_reg) _, b = out(xmm_reg) _,
                    f = in(reg) from, t = in(reg) to, n = in(reg) n,
                    options(nostack, preserves_flags));
            } else if n != 0 {
                asm!("mov {w}, [{f}]", "mov [{t}], {w}", w = out(reg) _,
                    f = in(reg) from, t = in(reg) to, options(nostack, preserves_flags));
            }
        }
    }

    #[inline(never)]
    unsafe fn fresh_by_32(to: *mut u8, from: *const u8, n: usize) {
        // SAFETY: as in `long`, with n > 32 and steps of 32.
        unsafe {
            let mut at = 0;
            loop {
                fresh_up_to_32(to.add(at), from.add(at), 32);
                if at + 32 == n {
                    return;
                }
                at = (at + 32).min(n - 32);
            }
        }
    }

    #[inline(always)]
    unsafe fn up_to_32(to: *mut u8, from: *const u8, n: usize) {
        // SAFETY: as in `copy`; `n` is a multiple of eight, so it is 0, 8, 16, 24 or 32.
        unsafe {
            if n >= 16 {
                asm!("movups {a}, [{f}]", "movups {b}, [{f}+{n}-16]",
                    "movups [{t}], {a}", "movups [{t}+{n}-16], {b}",
                    a = out(xmm_reg) _, b = out(xmm_reg) _,
                    f = in(reg) from, t = in(reg) to, n = in(reg) n,
                    options(nostack, preserves_flags));
            } else if n != 0 {
                asm!("mov {w}, [{f}]", "mov [{t}], {w}", w = out(reg) _,
                    f = in(reg) from, t = in(reg) to, options(nostack, preserves_flags));
            }
        }
    }

    // `vzeroupper` changes the upper halves of all sixteen registers, so all are declared; without
    // it, legacy instructions that follow would stall on some processors.
    #[inline(always)]
    unsafe fn avx_33_to_64(to: *mut u8, from: *const u8, n: usize) {
        // SAFETY: as in `copy`, with 32 < n <= 64.
        unsafe {
            asm!("vmovdqu ymm0, [{f}]", "vmovdqu ymm1, [{f}+{n}-32]",
                "vmovdqu [{t}], ymm0", "vmovdqu [{t}+{n}-32], ymm1", "vzeroupper",
                f = in(reg) from, t = in(reg) to, n = in(reg) n,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
                out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
                out("ymm10") _, out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _,
                out("ymm15") _, options(nostack, preserves_flags));
        }
    }

    #[inline(never)]
    unsafe fn long(to: *mut u8, from: *const u8, n: usize, wide: Wide) {
        // SAFETY: as in `copy`, with n > 32. Each loop body moves `step` bytes at `at <= n - step`;
        // the last one is moved back so that it ends at `n`.
        unsafe {
            if n > STRING_MOVE {
                asm!("rep movsb", inout("rcx") n => _, inout("rsi") from => _,
                    inout("rdi") to => _, options(nostack, preserves_flags));
                return;
            }
            let step = if wide == Wide::Avx512 { 128 } else { 32 };
            let mut at = 0;
            loop {
                let (t, f) = (to.add(at), from.add(at));
                if wide == Wide::Avx512 {
                    asm!("vmovdqu64 zmm16, [{f}]", "vmovdqu64 zmm17, [{f}+64]",
                        "vmovdqu64 [{t}], zmm16", "vmovdqu64 [{t}+64], zmm17",
                        f = in(reg) f, t = in(reg) t, out("zmm16") _, out("zmm17") _,
                        options(nostack, preserves_flags));
                } else {
                    up_to_32(t, f, 32);
                }
                if at + step == n {
                    return;
                }
                at = (at + step).min(n - step);
            }
        }
    }

    /// As `long`, from the end to the beginning. All lines but the first are asked for at once: stores
    /// reach the cache one after the other, and would wait for one line after the other.
    #[inline(never)]
    unsafe fn long_down(to: *mut u8, from: *const u8, n: usize, wide: Wide) {
        // SAFETY: as in `long`, with n > 128; a prefetch touches nothing.
        unsafe {
            for at in (64..n).step_by(64) {
                asm!("prefetchw [{t}]", t = in(reg) to.add(at),
                    options(nostack, preserves_flags, readonly));
            }
            let step = if wide == Wide::Avx512 { 64 } else { 32 };
            let mut at = n;
            while at != 0 {
                at = at.saturating_sub(step);
                let (t, f) = (to.add(at), from.add(at));
                if wide == Wide::Avx512 {
                    asm!("vmovdqu64 zmm16, [{f}]", "vmovdqu64 [{t}], zmm16",
                        f = in(reg) f, t = in(reg) t, out("zmm16") _,
                        options(nostack, preserves_flags));
                } else {
                    up_to_32(t, f, 32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_copies_every_length_and_nothing_else() {
        for wide in Wide::available() {
            for words in (0..300).chain([512, 513, 1000]) {
                let from: Vec<u64> = (1..=words as u64 + 16)
                    .map(|i| i * 0x0101_0101_0101)
                    .collect();
                for order in [None, Some(Order::Up), Some(Order::Down)] {
                    let mut to = vec![u64::MAX; words + 16];
                    let at = to[8..].as_mut_ptr().cast();
                    let (from_at, bytes) = (from[3..].as_ptr().cast(), words * 8);
                    // SAFETY: both vectors are longer than the range, aligned, and distinct.
                    unsafe {
                        match order {
                            None => copy_words(at, from_at, bytes, wide),
                            Some(order) => copy_fresh_words(at, from_at, bytes, wide, order),
                        }
                    }
                    assert_eq!(to[8..8 + words], from[3..3 + words], "{wide:?} {words}");
                    assert!(to[..8]
                        .iter()
                        .chain(&to[8 + words..])
                        .all(|w| *w == u64::MAX));
                }
            }
        }
    }
}
