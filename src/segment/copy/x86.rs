//! The moves of x86-64.
//!
//! Layer 2, unsafe by need. Two moves that overlap cover every length between one and two of their widths
//! without a loop. Chosen by timings of such copies on an AMD EPYC of family 25 model 1 (AVX2, no AVX-512)
//! on 2026-11-25; `cargo bench --bench copies` makes such tables. The choices for AVX-512 come from an
//! earlier processor and were not measured again.

use super::wide::Wide;
use crate::segment::order::Order;
use core::arch::asm;

/// Above this, the processor's own string move; with 32-byte moves it is level at twice that.
const STRING_MOVE: usize = 2048;
const STRING_MOVE_AVX: usize = 4096;
/// Above this, a copy downwards takes longer than it saves.
const LONGEST_DOWN: usize = 2048;

/// Moves through the registers whose upper halves legacy code does not know. `vzeroupper` comes last, since
/// without it legacy instructions that follow would stall on some processors. It changes the upper halves of
/// all sixteen, so all are declared.
macro_rules! avx {
    ($($operand:tt)*) => {
        asm!($($operand)* out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
            out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _,
            out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nostack))
    };
}

// The three sizes most messages have come first.
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
            Wide::Avx if n <= 64 => avx!(
                "vmovdqu ymm0, [{f}]", "vmovdqu ymm1, [{f}+{n}-32]",
                "vmovdqu [{t}], ymm0", "vmovdqu [{t}+{n}-32], ymm1", "vzeroupper",
                f = in(reg) from, t = in(reg) to, n = in(reg) n,),
            Wide::Avx if n <= 128 => avx!(
                "vmovdqu ymm0, [{f}]", "vmovdqu ymm1, [{f}+32]",
                "vmovdqu ymm2, [{f}+{n}-64]", "vmovdqu ymm3, [{f}+{n}-32]",
                "vmovdqu [{t}], ymm0", "vmovdqu [{t}+32], ymm1",
                "vmovdqu [{t}+{n}-64], ymm2", "vmovdqu [{t}+{n}-32], ymm3", "vzeroupper",
                f = in(reg) from, t = in(reg) to, n = in(reg) n,),
            _ => long(to, from, n, wide),
        }
    }
}

/// Loads words, combines them in registers, and stores those. Copies of more than two lines go as in
/// `copy`.
#[inline(always)]
pub unsafe fn copy_fresh(to: *mut u8, from: *const u8, n: usize, wide: Wide, order: Order) {
    // SAFETY: as in the callees, whose lengths are asked for.
    unsafe {
        if n <= 128 {
            copy_short(to, from, n, wide);
        } else if order == Order::Down && n <= LONGEST_DOWN {
            long_down(to, from, n, wide);
        } else {
            long(to, from, n, wide);
        }
    }
}

/// As `copy_fresh`, of at most 128 bytes. Wide loads take 0.9 ns less for 64 bytes that were not just written
/// and 4.7 more for 64 whose first and last word were; 0.8 and 2.4 for 128.
#[inline(always)]
pub unsafe fn copy_short(to: *mut u8, from: *const u8, n: usize, wide: Wide) {
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
            Wide::Avx if n <= 64 => fresh_33_to_64(to, from, n),
            Wide::Avx => {
                fresh_33_to_64(to, from, 64);
                fresh_33_to_64(to.add(n - 64), from.add(n - 64), 64);
            }
            _ => fresh_by_32(to, from, n),
        }
    }
}

#[inline(always)]
unsafe fn fresh_33_to_64(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: as in `copy_short`, with 32 < n <= 64.
    unsafe {
        avx!(
            "vmovq xmm0, qword ptr [{f}]", "vmovq xmm1, qword ptr [{f}+16]",
            "vmovq xmm2, qword ptr [{f}+{n}-32]", "vmovq xmm3, qword ptr [{f}+{n}-16]",
            "vmovhps xmm0, xmm0, qword ptr [{f}+8]", "vmovhps xmm1, xmm1, qword ptr [{f}+24]",
            "vmovhps xmm2, xmm2, qword ptr [{f}+{n}-24]", "vmovhps xmm3, xmm3, qword ptr [{f}+{n}-8]",
            "vinsertf128 ymm0, ymm0, xmm1, 1", "vinsertf128 ymm2, ymm2, xmm3, 1",
            "vmovdqu [{t}], ymm0", "vmovdqu [{t}+{n}-32], ymm2", "vzeroupper",
            f = in(reg) from, t = in(reg) to, n = in(reg) n,);
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

/// Inlined: otherwise the fast path of a publish would save registers for a call.
#[inline(always)]
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

#[inline(never)]
unsafe fn long(to: *mut u8, from: *const u8, n: usize, wide: Wide) {
    // SAFETY: as in `copy`, with n > 32, with AVX n > 128.
    unsafe {
        match wide {
            Wide::Avx if n <= STRING_MOVE_AVX => long_avx(to, from, n),
            Wide::Avx512 if n <= STRING_MOVE => long_avx512(to, from, n),
            Wide::Baseline if n < 64 => {
                up_to_32(to, from, 32);
                up_to_32(to.add(n - 32), from.add(n - 32), 32);
            }
            Wide::Baseline if n <= STRING_MOVE => long_sse(to, from, n),
            _ => asm!("rep movsb", inout("rcx") n => _, inout("rsi") from => _,
                    inout("rdi") to => _, options(nostack, preserves_flags)),
        }
    }
}

#[inline(always)]
unsafe fn long_avx512(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: each loop body moves `step` bytes at `at <= n - step`; the last one is moved back so that it
    // ends at `n`, which is more than 128.
    unsafe {
        let step = 128;
        let mut at = 0;
        loop {
            let (t, f) = (to.add(at), from.add(at));
            asm!("vmovdqu64 zmm16, [{f}]", "vmovdqu64 zmm17, [{f}+64]",
                "vmovdqu64 [{t}], zmm16", "vmovdqu64 [{t}+64], zmm17",
                f = in(reg) f, t = in(reg) t, out("zmm16") _, out("zmm17") _,
                options(nostack, preserves_flags));
            if at + step == n {
                return;
            }
            at = (at + step).min(n - step);
        }
    }
}

#[inline(always)]
unsafe fn long_avx(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: n > 64. Turns of 64 bytes begin below `last`, the last 64 bytes, which come once more at the
    // end.
    unsafe {
        let last = n - 64;
        avx!("2:",
            "vmovdqu ymm0, [{f}]", "vmovdqu ymm1, [{f}+32]",
            "vmovdqu [{t}], ymm0", "vmovdqu [{t}+32], ymm1",
            "add {f}, 64", "add {t}, 64", "cmp {f}, {fl}", "jb 2b",
            "vmovdqu ymm0, [{fl}]", "vmovdqu ymm1, [{fl}+32]",
            "vmovdqu [{tl}], ymm0", "vmovdqu [{tl}+32], ymm1", "vzeroupper",
            f = inout(reg) from => _, t = inout(reg) to => _,
            fl = in(reg) from.add(last), tl = in(reg) to.add(last),);
    }
}

#[inline(always)]
unsafe fn long_sse(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: as in `long_avx`, with n >= 64: where it is no more, the turn and the end are the same.
    unsafe {
        let last = n - 64;
        asm!("2:",
            "movups {a}, [{f}]", "movups {b}, [{f}+16]", "movups {c}, [{f}+32]", "movups {d}, [{f}+48]",
            "movups [{t}], {a}", "movups [{t}+16], {b}", "movups [{t}+32], {c}", "movups [{t}+48], {d}",
            "add {f}, 64", "add {t}, 64", "cmp {f}, {fl}", "jb 2b",
            "movups {a}, [{fl}]", "movups {b}, [{fl}+16]", "movups {c}, [{fl}+32]", "movups {d}, [{fl}+48]",
            "movups [{tl}], {a}", "movups [{tl}+16], {b}", "movups [{tl}+32], {c}", "movups [{tl}+48], {d}",
            f = inout(reg) from => _, t = inout(reg) to => _,
            fl = in(reg) from.add(last), tl = in(reg) to.add(last),
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            options(nostack));
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
        if wide == Wide::Avx {
            return long_down_avx(to, from, n);
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

#[inline(always)]
unsafe fn long_down_avx(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: n > 64. Each turn moves the last 64 bytes of what is left, which is more; the first 64 come
    // at the end.
    unsafe {
        avx!("2:",
            "vmovdqu ymm0, [{f}+{n}-32]", "vmovdqu ymm1, [{f}+{n}-64]",
            "vmovdqu [{t}+{n}-32], ymm0", "vmovdqu [{t}+{n}-64], ymm1",
            "sub {n}, 64", "cmp {n}, 64", "ja 2b",
            "vmovdqu ymm0, [{f}+32]", "vmovdqu ymm1, [{f}]",
            "vmovdqu [{t}+32], ymm0", "vmovdqu [{t}], ymm1", "vzeroupper",
            f = in(reg) from, t = in(reg) to, n = inout(reg) n => _,);
    }
}
