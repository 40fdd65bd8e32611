//! What is sent: how messages are made, and how they are read.
//!
//! A message is words of eight bytes. Every word of it is its number, so that one look at each tells whether all
//! of it came, and came together. Every workload reads every word.

use std::mem::MaybeUninit;

/// The number of the last message.
pub const LAST: u64 = u64::MAX;

/// A line of a buffer for messages.
const LINE: usize = 64;
/// How many bytes of messages are made ahead at most: less than any first-level cache.
const AHEAD: usize = 8192;

/// Makes the messages of a stream, one after the other.
pub trait Source {
    /// The next message, for channels that are given bytes.
    fn next(&mut self) -> &[u8];

    /// Makes the next message in memory that a channel lends, all of it.
    fn write(&mut self, lent: &mut [u8]);

    /// The same in memory that has no value yet; all of it has one afterwards.
    #[inline(always)]
    fn write_words(&mut self, lent: &mut [MaybeUninit<u64>]) {
        for (place, word) in lent.iter_mut().zip(self.next().chunks_exact(8)) {
            place.write(first_word(word));
        }
    }

    /// Bytes of each message.
    fn size(&self) -> usize;
}

/// Messages made well before they are sent: each is written while others of up to 8 KiB are still to be sent before
/// it, in whole lines. Its bytes are in the cache by then, and no load, however wide, meets a store
/// that is still on its way there. Where memory is lent they are made in place.
pub struct Ready {
    bytes: Vec<u8>,
    /// Where the first message begins, so that each lies on a line.
    skip: usize,
    size: usize,
    stride: usize,
    /// How many messages there are, a power of two.
    depth: u64,
    /// The number of the next message to send, and of the next to make.
    next: u64,
    made: u64,
}

impl Ready {
    pub fn new(size: usize) -> Self {
        let stride = size.next_multiple_of(LINE);
        let depth = 1 << (AHEAD / stride).clamp(1, 64).ilog2();
        let bytes = vec![0u8; stride * depth + LINE];
        let skip = bytes.as_ptr().align_offset(LINE);
        Self {
            bytes,
            skip,
            size,
            stride,
            depth: depth as u64,
            next: 0,
            made: 0,
        }
    }

    /// How many messages were made.
    pub fn sent(&self) -> u64 {
        self.next
    }

    #[inline(always)]
    fn at(&self, number: u64) -> usize {
        self.skip + (number & (self.depth - 1)) as usize * self.stride
    }
}

impl Source for Ready {
    #[inline(always)]
    fn next(&mut self) -> &[u8] {
        // All of them at first, later the one whose place the last call left.
        while self.made < self.next + self.depth {
            let at = self.at(self.made);
            fill(&mut self.bytes[at..at + self.size], self.made);
            self.made += 1;
        }
        let at = self.at(self.next);
        self.next += 1;
        &self.bytes[at..at + self.size]
    }

    #[inline(always)]
    fn write(&mut self, lent: &mut [u8]) {
        fill(lent, self.next);
        self.next += 1;
        self.made = self.made.max(self.next);
    }

    #[inline(always)]
    fn write_words(&mut self, lent: &mut [MaybeUninit<u64>]) {
        for place in lent {
            place.write(self.next);
        }
        self.next += 1;
        self.made = self.made.max(self.next);
    }

    fn size(&self) -> usize {
        self.size
    }
}

/// Messages whose first and last words are written just before they are sent, by stores of eight bytes. What
/// loads more than a word at a time, across such a store, waits until the store has reached the cache.
/// The words between are zeros, and a channel that lends memory has them copied there.
pub struct JustWritten {
    bytes: Vec<u8>,
    number: u64,
}

impl JustWritten {
    pub fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size],
            number: 0,
        }
    }

    /// How many messages were made.
    pub fn sent(&self) -> u64 {
        self.number
    }

    /// What the words of messages 0 to `count` of this size add up to.
    pub fn sum(size: usize, count: u64) -> u64 {
        let each = if size == 8 { 1 } else { 2 };
        (0..count).fold(0u64, |sum, n| sum.wrapping_add(n.wrapping_mul(each)))
    }
}

impl Source for JustWritten {
    #[inline(always)]
    fn next(&mut self) -> &[u8] {
        let number = self.number.to_le_bytes();
        let last = self.bytes.len() - 8;
        self.bytes[..8].copy_from_slice(&number);
        self.bytes[last..].copy_from_slice(&number);
        self.number += 1;
        &self.bytes
    }

    #[inline(always)]
    fn write(&mut self, lent: &mut [u8]) {
        lent.copy_from_slice(self.next());
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Makes every word of a message its number.
#[inline(always)]
pub fn fill(message: &mut [u8], number: u64) {
    for word in message.chunks_exact_mut(8) {
        word.copy_from_slice(&number.to_le_bytes());
    }
}

#[inline(always)]
pub fn first_word(message: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&message[..8]);
    u64::from_le_bytes(bytes)
}

/// Reads every word of a message; the bits in which any of them is not `number`.
#[inline(always)]
pub fn differing(message: &[u8], number: u64) -> u64 {
    message
        .chunks_exact(8)
        .fold(0, |differ, word| differ | (first_word(word) ^ number))
}

/// Reads every word of a message; what they add up to.
#[inline(always)]
pub fn sum(message: &[u8]) -> u64 {
    message
        .chunks_exact(8)
        .fold(0, |sum: u64, word| sum.wrapping_add(first_word(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_order_and_whole_however_they_are_asked_for() {
        for size in [8, 16, 24, 64, 72, 1024, 4096, 65536] {
            let mut ready = Ready::new(size);
            let mut lent = vec![0xAAu8; size];
            for number in 0..300 {
                // Given away, and now and then made in place.
                if number % 7 == 3 {
                    ready.write(&mut lent);
                } else {
                    lent.copy_from_slice(ready.next());
                }
                assert_eq!(differing(&lent, number), 0, "{size} {number}");
            }
            assert_eq!((ready.sent(), ready.size()), (300, size));
        }
    }

    #[test]
    fn messages_are_made_before_their_turn_and_lie_on_lines() {
        let mut ready = Ready::new(64);
        let first = ready.next().as_ptr() as usize;
        assert_eq!(first % LINE, 0);
        // Those behind it are there already.
        let at = ready.at(63);
        assert_eq!(differing(&ready.bytes[at..at + 64], 63), 0);
        assert_eq!(ready.made, 64);
    }

    #[test]
    fn the_ends_of_a_message_that_was_just_written_are_its_number() {
        for size in [8, 16, 64] {
            let mut source = JustWritten::new(size);
            let mut total = 0u64;
            for _ in 0..100 {
                total = total.wrapping_add(sum(source.next()));
            }
            assert_eq!(total, JustWritten::sum(size, 100), "{size}");
            assert_eq!((source.sent(), source.size()), (100, size));
        }
    }

    #[test]
    fn a_word_that_is_another_is_seen_wherever_it_is() {
        let mut message = vec![0; 128];
        fill(&mut message, 5);
        assert_eq!((differing(&message, 5), sum(&message)), (0, 80));
        for word in 0..16 {
            message[word * 8] ^= 2;
            assert_eq!(differing(&message, 5), 2, "{word}");
            assert_ne!(sum(&message), 80, "{word}");
            message[word * 8] ^= 2;
        }
    }
}
