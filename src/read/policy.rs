//! Where a reader reads: what the caller chooses.
//!
//! Layer 4. Plain data.

/// Where a consumer, an observer or a receiver reads.
///
/// | policy | for |
/// |---|---|
/// | [`AtHead`](Self::AtHead) | latency: each message is read as soon as it is there, and no call does more than that |
/// | [`Behind`](Self::Behind) | throughput of a stream that is known to be saturated, as of a recorder |
/// | [`Auto`](Self::Auto), the default | streams that are not known: reads behind, or flushes, while it has measured that the stream is faster for it |
///
/// # Guarantees
/// Under every policy a reader pauses only in calls that may wait, and never beyond their deadline: no call
/// whose name begins with `try_` and no drop pauses. Messages that come one at a time, as in round trips, are
/// never paused for.
///
/// ```
/// use slipring::endpoint::Pacing;
/// use slipring::{ConsumerOptions, ReadPolicy, Ring, Start};
///
/// let ring = Ring::heap().create()?;
/// let options = ConsumerOptions::new().read_policy(ReadPolicy::AtHead);
/// let mut trader = ring.consumer_with(Start::Latest, options)?;
/// let recording = Pacing { lag_bytes: 32 << 10, pause_ns: 3000, flush: true };
/// let options = ConsumerOptions::new().read_policy(ReadPolicy::Behind(recording));
/// let mut recorder = ring.consumer_with(Start::Oldest, options)?;
///
/// ring.producer()?.publish(b"news")?;
/// assert_eq!(trader.receive()?.as_deref(), Some(&b"news"[..]));
/// assert_eq!(recorder.receive()?.as_deref(), Some(&b"news"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadPolicy {
    /// Never pauses and never flushes.
    AtHead,
    /// Does what the pacing says.
    Behind(Pacing),
    /// Finds out by trying whether staying behind, and flushing, make the stream measurably faster, and keeps to
    /// reading at the head where they do not. Streams that their producer paces are not faster for either. Pauses
    /// take up to 6 microseconds.
    #[default]
    Auto,
}

/// What a reader does to stay behind its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// How many bytes the reader tries to stay behind; at most a quarter of the ring counts.
    pub lag_bytes: u64,
    /// How many nanoseconds it pauses when it is not so far behind; at most a millisecond counts, and with
    /// 0 it never pauses.
    pub pause_ns: u64,
    /// Whether it takes what it has read out of the caches, where the processor can (`clflushopt`), so that the
    /// producer need not fetch it from there a lap later.
    pub flush: bool,
}

impl Pacing {
    /// Reads at the head.
    pub(crate) const NONE: Self = Self {
        lag_bytes: 0,
        pause_ns: 0,
        flush: false,
    };
}
