//! A histogram of times as words: sixteen buckets for each power of two, so that the time of a bucket is at
//! most a sixteenth too large.
//!
//! Layer 1, no state: which bucket a time falls into, and which times a bucket holds. The words lie on
//! the board of a ring with stamps, one histogram for each row.

/// Buckets for each power of two, and for the times below the first.
const FINE: u32 = 16;
/// The power of two from which buckets hold more than one time.
const FIRST: u32 = FINE.trailing_zeros();
/// Times from here on, 18 minutes, are in the last bucket.
const LAST: u32 = 40;

/// Buckets of one histogram.
pub const BUCKETS: u32 = FINE + (LAST - FIRST) * FINE;
/// The word behind them: the longest time.
pub const LONGEST: u32 = BUCKETS;
/// The word behind that: how many stamps lay in the future.
pub const AHEAD: u32 = BUCKETS + 1;
/// Words of one histogram: whole lines, so that no two owners share one.
pub const WORDS: u32 = (BUCKETS + 2).next_multiple_of(16);

/// The bucket that a time in nanoseconds falls into.
#[inline]
pub const fn bucket_of(nanos: u64) -> u32 {
    if nanos < FINE as u64 {
        return nanos as u32;
    }
    let power = nanos.ilog2();
    if power >= LAST {
        return BUCKETS - 1;
    }
    let part = (nanos >> (power - FIRST)) as u32 % FINE;
    FINE + (power - FIRST) * FINE + part
}

/// The longest time that falls into a bucket, in nanoseconds.
#[inline]
pub const fn longest_in(bucket: u32) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let shift = bucket / FINE - 1;
    let part = (FINE + bucket % FINE) as u64;
    ((part + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_that_says_so() {
        let mut before = 0;
        for power in 0..LAST {
            for nanos in [0u64, 1, 3, 7].map(|n| (1u64 << power) + (n << power >> 3)) {
                let bucket = bucket_of(nanos);
                assert!(bucket < BUCKETS && bucket >= before);
                before = bucket;
                let longest = longest_in(bucket);
                assert!(nanos <= longest && longest - nanos <= nanos / 16, "{nanos}");
                assert_eq!(bucket_of(longest), bucket);
                assert_eq!(bucket_of(longest + 1), (bucket + 1).min(BUCKETS - 1));
            }
        }
        assert_eq!((bucket_of(0), longest_in(0)), (0, 0));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(longest_in(BUCKETS - 1), (1 << LAST) - 1);
    }
}
