//! What a receiver of a queue with a lease has seen others hold, and since when.
//!
//! Layer 7. Plain data; the receiver looks and returns.

use crate::ring::take::Hold;
use crate::wait::bell::LONGEST_SLEEP;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

/// Between two looks of a receiver that waits there is a quarter of the lease, but not less than this.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// What a receiver of a queue with a lease remembers.
#[derive(Debug)]
pub(super) struct Expiry {
    pub(super) lease: Duration,
    /// What is held, by lane and message, and since when.
    pub(super) held: BTreeMap<(u32, u64), (Hold, Instant)>,
}

impl Expiry {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            held: BTreeMap::new(),
        }
    }

    /// The longest time until the next look.
    pub(super) fn longest_sleep(&self) -> Duration {
        let look = (self.lease / 4).clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
        let first = self.held.values().map(|(_, since)| *since).min();
        first.map_or(look, |since| {
            let left = self.lease.saturating_sub(since.elapsed());
            look.min(left.max(SHORTEST_SLEEP))
        })
    }
}
