//! Messages that a consumer will never get, as a value.
//!
//! Layer 5. A loss has a place in the stream: directly before one message. Only slow paths write it, and a message
//! compares its sequence with it when its caller asks.

/// What a [`Consumer`](crate::Consumer) will never get of the stream that it reads.
///
/// Once a consumer has been given a message, every message before it was received, or is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// Messages that the ring went on without, since the consumer attached, or that were gone when it attached with a
    /// durable cursor.
    pub evicted: u64,
    /// Sequences that do not exist, since the producer [skipped](crate::Producer::skip_to) them. Those that the ring went
    /// on without this consumer in count as evicted.
    pub skipped: u64,
}

impl Losses {
    /// Returns how many sequences these are in all.
    pub fn total(&self) -> u64 {
        self.evicted.wrapping_add(self.skipped)
    }
}

/// The latest loss: how many messages directly before which message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    before: u64,
    count: u64,
}

impl Loss {
    /// So many messages from `from` on are lost, and `to` is the next one. A loss directly before `run` that no message
    /// has followed, but gaps up to `from`, is part of the same. An eviction may have cost nothing: then it stays a loss before
    /// those gaps.
    #[cold]
    pub(super) fn extend(&mut self, run: u64, from: u64, to: u64) {
        if to == from {
            return;
        }
        self.count = self.before(run).wrapping_add(to.wrapping_sub(from));
        self.before = to;
    }

    /// How many messages directly before this one are lost.
    #[inline]
    pub(super) fn before(&self, sequence: u64) -> u64 {
        match self.before == sequence {
            true => self.count,
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_before_one_message_are_one() {
        let mut loss = Loss::default();
        assert_eq!([loss.before(0), loss.before(1)], [0, 0]);
        loss.extend(3, 3, 10);
        assert_eq!([loss.before(3), loss.before(9), loss.before(10)], [0, 0, 7]);
        // Nothing was received in between.
        loss.extend(10, 10, 12);
        assert_eq!([loss.before(10), loss.before(12)], [0, 9]);
        loss.extend(13, 13, 14);
        assert_eq!([loss.before(12), loss.before(14)], [0, 1]);
        loss.extend(u64::MAX, u64::MAX, 1);
        assert_eq!(loss.before(1), 2);
        // With a gap from 1 to 20 behind it.
        loss.extend(1, 20, 23);
        assert_eq!(loss.before(23), 5);
        // With a gap from 23 to 30 behind it, and an eviction there that cost nothing.
        loss.extend(23, 30, 30);
        assert_eq!([loss.before(23), loss.before(30)], [5, 0]);
    }
}
