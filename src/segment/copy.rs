//! Copies between private and shared bytes: the widest moves the processor has, chosen at run time.
//!
//! Layer 2, unsafe by need. The moves are inline assembly, which the language treats as relaxed accesses in
//! some order. The producer may overtake an observer's copy, which the observer then detects, so the copy
//! must not be undefined behaviour, and the optimiser must not tear or drop it. On other processors, and
//! under an interpreter, the copy is the word loop that the model checker runs. Which moves are used for
//! which size follows from `cargo bench --bench copies`.
#![allow(unsafe_code, reason = "copies to and from shared bytes")]

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod aarch64;
mod wide;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86;

pub use wide::Wide;

use super::order::Order;

/// Copies `bytes`, a multiple of eight, from `from` to `to`.
///
/// # Safety
/// Both ranges are mapped for the whole call, aligned to eight, and do not overlap. One of them may be
/// shared: other processes may read or write it meanwhile. If they write it, the private side gets a
/// mixture of old and new words.
#[inline(always)]
pub unsafe fn copy_words(to: *mut u8, from: *const u8, bytes: usize, wide: Wide) {
    let _ = wide;
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        x86::copy(to, from, bytes, wide);
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        aarch64::copy(to, from, bytes);
        #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
        word_by_word(to, from, bytes);
    }
}

/// Like [`copy_words`], from private memory that has probably been written just now, in words or more at a
/// time. A load that spans several stores which have not reached the cache must wait for them, while one
/// that lies within a store gets its value at once: so it loads words, and stores as wide as the other.
/// More than two lines are loaded wide all the same, and stored in the order asked for.
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
    let _ = order;
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        x86::copy_fresh(to, from, bytes, wide, order);
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        copy_words(to, from, bytes, wide);
    }
}

/// Like [`copy_fresh_words`], of so few bytes that they are [short](super::order::is_short), and without a
/// call on most processors.
///
/// # Safety
/// As [`copy_words`], of short bytes.
#[inline(always)]
pub unsafe fn copy_short_words(to: *mut u8, from: *const u8, bytes: usize, wide: Wide) {
    // SAFETY: the caller's promises are exactly those of the callee.
    unsafe {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        x86::copy_short(to, from, bytes, wide);
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        copy_words(to, from, bytes, wide);
    }
}

#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::order::is_short;

    #[derive(Clone, Copy, Debug)]
    enum Way {
        Wide,
        Fresh(Order),
        Short,
    }

    #[test]
    fn every_kind_copies_every_length_and_nothing_else() {
        for wide in Wide::available() {
            for words in (0..300).chain([512, 513, 1000, 4000, 9001]) {
                let from: Vec<u64> = (1..=words as u64 + 16)
                    .map(|i| i * 0x0101_0101_0101)
                    .collect();
                let mut ways = vec![Way::Wide, Way::Fresh(Order::Up), Way::Fresh(Order::Down)];
                ways.extend(is_short(words * 8).then_some(Way::Short));
                for way in ways {
                    let mut to = vec![u64::MAX; words + 16];
                    let at = to[8..].as_mut_ptr().cast();
                    let (from_at, bytes) = (from[3..].as_ptr().cast(), words * 8);
                    // SAFETY: both vectors are longer than the range, aligned, and distinct.
                    unsafe {
                        match way {
                            Way::Wide => copy_words(at, from_at, bytes, wide),
                            Way::Fresh(order) => {
                                copy_fresh_words(at, from_at, bytes, wide, order);
                            }
                            Way::Short => copy_short_words(at, from_at, bytes, wide),
                        }
                    }
                    assert_eq!(
                        to[8..8 + words],
                        from[3..3 + words],
                        "{wide:?} {words} {way:?}"
                    );
                    assert!(to[..8]
                        .iter()
                        .chain(&to[8 + words..])
                        .all(|w| *w == u64::MAX));
                }
            }
        }
    }
}
