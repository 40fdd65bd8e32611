//! What a bridge counts, once a second, as messages of a ring of its own: so every tool for rings shows it.
//!
//! The ring has a schema, and keeps the last hours. It stays when the bridge ends, and the next one goes on in it.

use crate::error::BridgeError;
use slipring::endpoint::TryPublishError;
use slipring::place::OpenError;
use slipring::typed::TypedProducer;
use slipring::{Place, Plain, Ring};
use std::time::Duration;

slipring::message! {
    /// What a source has done.
    pub struct SourceStat {
        /// When this was counted.
        pub time_ns: u64 as "time",
        /// The sequence behind the last message that was sent.
        pub next_sequence: u64,
        /// Messages that were sent.
        pub messages: u64,
        /// Frames with messages or gaps.
        pub frames: u64,
        /// Heartbeats.
        pub heartbeats: u64,
        /// Bytes of all frames.
        pub bytes: u64 as "unit=B",
        /// Bytes that were sent and not written by all mirrors that the source waits for.
        pub in_flight: u64 as "unit=B",
        /// Mirrors that were heard of lately.
        pub mirrors: u64,
        /// The most messages that one of those is behind.
        pub behind: u64,
        /// Sequences that the known mirrors lost, together.
        pub lost: u64,
    }
}

slipring::message! {
    /// What a mirror has done since it was started.
    pub struct MirrorStat {
        /// When this was counted.
        pub time_ns: u64 as "time",
        /// The sequence behind the last one that was written.
        pub next_sequence: u64,
        /// The sequence behind the last one that the source is known to have sent.
        pub source_sequence: u64,
        /// Messages that were written.
        pub messages: u64,
        /// Sequences that were lost on the way, and became gaps.
        pub lost: u64,
        /// Sequences that the source itself did not have.
        pub skipped: u64,
        /// Messages that came again.
        pub duplicates: u64,
        /// Messages that came too early, with no room to hold them.
        pub unheld: u64,
        /// Requests for what was missing.
        pub fetches: u64,
        /// Requests without an answer in time, or with one of no use.
        pub fetches_failed: u64,
        /// Bytes that are held until they can be written.
        pub held: u64 as "unit=B",
        /// Messages whose latency was measured: of the others, no frame came as it was sent first, or the clock of the source
        /// was not known yet.
        pub measured: u64,
        /// From sending to writing: half of the messages took no longer.
        pub latency_p50: u64 as "unit=ns",
        /// 99 of 100 took no longer.
        pub latency_p99: u64 as "unit=ns",
        /// 999 of 1000 took no longer.
        pub latency_p999: u64 as "unit=ns",
        /// The longest.
        pub latency_longest: u64 as "unit=ns",
        /// How far the clock of the source's host is ahead of that of this host.
        pub clock_ahead: i64 as "unit=ns",
        /// The most by which that, and so each latency, is wrong; the largest number if the clock is not known.
        pub clock_uncertainty: u64 as "unit=ns",
    }
}

impl MirrorStat {
    /// What the source is told of it, as JSON. What is not known is `null`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let latency = (self.measured > 0).then(|| {
            serde_json::json!({
                "measured": self.measured,
                "p50": self.latency_p50,
                "p99": self.latency_p99,
                "p999": self.latency_p999,
                "longest": self.latency_longest,
            })
        });
        let clock = (self.clock_uncertainty < u64::MAX).then(|| {
            serde_json::json!({
                "ahead": self.clock_ahead,
                "uncertainty": self.clock_uncertainty,
            })
        });
        serde_json::json!({
            "messages": self.messages,
            "lost": self.lost,
            "skipped": self.skipped,
            "duplicates": self.duplicates,
            "unheld": self.unheld,
            "fetches": self.fetches,
            "fetches_failed": self.fetches_failed,
            "held_bytes": self.held,
            "latency_ns": latency,
            "clock_ns": clock,
        })
    }
}

/// Between two messages.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// Bytes of the ring: more than an hour.
const CAPACITY: u64 = 1 << 20;

/// The ring beside another one that a bridge counts into: `bridge.NAME.stat`.
pub fn place_beside(ring: &Place, name: &str) -> Place {
    let name = format!("bridge.{name}.stat");
    match ring.path() {
        Ok(path) => path.with_file_name(name).into(),
        Err(_) => name.into(),
    }
}

/// A ring that is counted into.
pub(crate) struct Counter<T: Plain> {
    producer: TypedProducer<T>,
    at: Duration,
}

impl<T: Plain> Counter<T> {
    /// Opens the ring, or creates it.
    pub fn open(place: &Place) -> Result<Self, BridgeError> {
        let ring = match Ring::open(place.clone()) {
            Err(OpenError::NotFound { .. }) => Ring::builder(place.clone())
                .capacity_bytes(CAPACITY)
                .schema(T::schema())
                .create()?,
            opened => opened?,
        };
        Ok(Self {
            producer: ring.typed::<T>()?.producer()?,
            at: Duration::ZERO,
        })
    }

    /// Whether it is time for the next message.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.at
    }

    /// Publishes what was counted. A reader that holds the ring back misses some: the numbers only grow, so the next ones
    /// have everything. A ring that was removed is no concern of the bridge.
    pub fn publish(&mut self, now: Duration, counted: &T) -> Result<(), BridgeError> {
        self.at = now + EVERY;
        match self.producer.try_publish(counted) {
            Ok(_) | Err(TryPublishError::Full { .. } | TryPublishError::Removed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
