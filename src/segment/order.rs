//! The direction in which large copies are stored, and which copies count as short.
//!
//! Layer 2. Both affect speed only: readers are promised nothing about a payload before its commit word.

/// In which order a copy of more than a few lines is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Upwards, so that copies continue each other: the processor prefetches lines ahead of a stream of
    /// stores.
    Up,
    /// Downwards. The line that readers poll is taken from their caches last, when the rest of the message
    /// is complete, and no line is fetched too early.
    Down,
}

/// Payload bytes up to which a copy of whole words is in line.
const SHORT: usize = 128;

/// Returns `true` if a payload of so many bytes is whole words, at least one, and few enough to be copied
/// in line.
#[inline(always)]
pub const fn is_short(bytes: usize) -> bool {
    // One test for all three.
    bytes.wrapping_sub(8) & !(SHORT - 8) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_is_one_to_sixteen_words() {
        for bytes in (0..300).chain([usize::MAX - 7, usize::MAX]) {
            let expected = bytes % 8 == 0 && (8..=SHORT).contains(&bytes);
            assert_eq!(is_short(bytes), expected, "{bytes}");
        }
    }
}
