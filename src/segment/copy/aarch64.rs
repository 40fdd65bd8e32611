//! The moves of 64-bit ARM: pairs of registers.
//!
//! Layer 2, unsafe by need. Every such processor has them, so there is nothing to choose.

use core::arch::asm;

/// Copies `n` bytes, a multiple of eight.
///
/// # Safety
/// As `copy_words`.
#[inline(always)]
pub unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: as in `pairs`; a pair of words at offset 0 needs n >= 16, one at n - 16 needs the same.
    unsafe {
        if n >= 32 {
            pairs(to, from, n);
        } else if n >= 16 {
            asm!("ldp {a}, {b}, [{f}]", "ldp {c}, {d}, [{fe}, #-16]",
                "stp {a}, {b}, [{t}]", "stp {c}, {d}, [{te}, #-16]",
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                f = in(reg) from, t = in(reg) to, fe = in(reg) from.add(n), te = in(reg) to.add(n),
                options(nostack, preserves_flags));
        } else if n != 0 {
            asm!("ldr {w}, [{f}]", "str {w}, [{t}]", w = out(reg) _,
                f = in(reg) from, t = in(reg) to, options(nostack, preserves_flags));
        }
    }
}

/// Steps of 32 bytes, the last of which is moved back so that it ends at `n`.
#[inline(always)]
unsafe fn pairs(to: *mut u8, from: *const u8, n: usize) {
    let mut at = 0;
    loop {
        // SAFETY: `at <= n - 32`, and the caller promised `n` bytes on both sides.
        unsafe {
            asm!("ldp {a:q}, {b:q}, [{f}]", "stp {a:q}, {b:q}, [{t}]",
                a = out(vreg) _, b = out(vreg) _, f = in(reg) from.add(at), t = in(reg) to.add(at),
                options(nostack, preserves_flags));
        }
        if at + 32 == n {
            return;
        }
        at = (at + 32).min(n - 32);
    }
}
