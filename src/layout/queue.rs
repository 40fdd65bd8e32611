//! What the two parameters of a queue, and of each of its lanes, say.
//!
//! Layer 1. Pure functions between [`QueueNumbers`] and two words; `docs/reference/protocol/forms.md` has the same table.

use core::time::Duration;

/// The shortest lease.
pub const MIN_LEASE: Duration = Duration::from_millis(1);
/// The longest lease: 30 days.
pub const MAX_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The settings of a queue.
///
/// | word | bits | holds |
/// |---|---|---|
/// | 0 | 0..32 | the depth |
/// | 0 | 32..64 | the lease in milliseconds, 0 for none |
/// | 1 | 0..32 | the largest message, in bytes |
/// | 1 | 32..40 | the power of two that is the capacity of a lane, 0 for as much as the depth needs |
/// | 1 | 40..64 | 0 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueNumbers {
    /// How many messages a sender can be ahead, per priority.
    pub depth: u32,
    /// The largest message, in bytes.
    pub message_bytes: u32,
    /// How long a receiver may hold a message before another one may have it, in milliseconds; 0 for any time.
    pub lease_ms: u32,
    /// The power of two that is the capacity of a lane, 0 for as much as the depth needs.
    pub lane_bits: u8,
}

impl QueueNumbers {
    /// The two words.
    pub fn packed(self) -> [u64; 2] {
        [
            u64::from(self.depth) | u64::from(self.lease_ms) << 32,
            u64::from(self.message_bytes) | u64::from(self.lane_bits) << 32,
        ]
    }

    /// The numbers of two words of any value.
    pub fn of([first, second]: [u64; 2]) -> Self {
        Self {
            depth: first as u32,
            message_bytes: second as u32,
            lease_ms: (first >> 32) as u32,
            lane_bits: (second >> 32) as u8,
        }
    }

    /// The lease, if there is one.
    pub fn lease(self) -> Option<Duration> {
        (self.lease_ms > 0).then(|| Duration::from_millis(self.lease_ms.into()))
    }

    /// The milliseconds of a lease, which are no fewer than asked for; `None` of one that may not be.
    pub fn milliseconds(lease: Duration) -> Option<u32> {
        if lease.is_zero() {
            return Some(0);
        }
        if !(MIN_LEASE..=MAX_LEASE).contains(&lease) {
            return None;
        }
        u32::try_from(lease.as_nanos().div_ceil(1_000_000)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_description() {
        for (depth, message_bytes, lease_ms, lane_bits) in [
            (2, 1, 0, 0),
            (1 << 16, u32::MAX, u32::MAX, 40),
            (1024, 1024, 30_000, 12),
        ] {
            let numbers = QueueNumbers {
                depth,
                message_bytes,
                lease_ms,
                lane_bits,
            };
            assert_eq!(QueueNumbers::of(numbers.packed()), numbers);
        }
    }

    #[test]
    fn a_lease_is_never_shorter_than_asked_for() {
        let ms = QueueNumbers::milliseconds;
        assert_eq!(ms(Duration::ZERO), Some(0));
        assert_eq!(ms(Duration::from_nanos(1)), None);
        assert_eq!(ms(MIN_LEASE - Duration::from_nanos(1)), None);
        assert_eq!(ms(MIN_LEASE), Some(1));
        assert_eq!(ms(MIN_LEASE + Duration::from_nanos(1)), Some(2));
        assert_eq!(ms(MAX_LEASE), Some(30 * 24 * 3_600_000));
        assert_eq!(ms(MAX_LEASE + Duration::from_nanos(1)), None);
        assert_eq!(ms(Duration::MAX), None);
    }
}
