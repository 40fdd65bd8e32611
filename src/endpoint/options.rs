//! How a handle behaves, chosen when it is made.
//!
//! Layer 5. Every option has a default that suits most; nothing here changes what is delivered.

use crate::ring::observer::Resume;
use crate::wait::Strategy;

/// How a producer behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerOptions {
    pub(crate) strategy: Strategy,
    pub(crate) membarrier: bool,
}

/// How a consumer behaves.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerOptions {
    pub(crate) strategy: Strategy,
    pub(crate) keep_distance: bool,
    pub(crate) membarrier: bool,
}

/// How an observer behaves.
#[derive(Clone, Copy, Debug)]
pub struct ObserverOptions {
    pub(crate) strategy: Strategy,
    pub(crate) keep_distance: bool,
    pub(crate) resume: Resume,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            keep_distance: true,
            membarrier: false,
        }
    }
}

impl Default for ObserverOptions {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            keep_distance: true,
            resume: Resume::default(),
        }
    }
}

macro_rules! common {
    ($name:ident { $($distance:ident)? }) => {
        impl $name {
            /// The defaults.
            pub fn new() -> Self {
                Self::default()
            }

            /// How to wait; spin for 20 microseconds and then sleep by default.
            #[must_use]
            pub fn strategy(mut self, strategy: Strategy) -> Self {
                self.strategy = strategy;
                self
            }

            $(
                /// Whether to stay some KiB behind a producer that runs flat out, which makes both
                /// faster; on by default. It pauses for 1.5 to 6 microseconds at a time, only where
                /// it has measured that the stream comes faster for it. Round trips never pause, and paced
                /// streams only to find that out: for a microsecond, or some pauses where they are fast, once
                /// in thousands of messages and behind an interruption. Such a reader also tries
                /// whether the stream gets faster when it takes what it has read out of the caches, and
                /// does so while that pays.
                #[must_use]
                pub fn keep_distance(mut self, $distance: bool) -> Self {
                    self.keep_distance = $distance;
                    self
                }
            )?
        }
    };
}

common!(ProducerOptions {});
common!(ConsumerOptions { keep_distance });

macro_rules! rings {
    ($name:ident, $looks:literal) => {
        impl $name {
            #[doc = concat!("Whether the look for ", $looks, " costs no fence, as whoever goes to")]
            /// sleep calls `membarrier` then, which makes every running thread of this process fence.
            ///
            /// Off by default: from then on any process can interrupt the cores that this one runs on, for
            /// about a microsecond each time, and going to sleep takes 0.4 to 25 microseconds longer. For
            /// pinned, busy threads whose peers sleep now and then. Makes no difference while nobody
            /// attached may sleep, and none in an isolated ring, whose readers have bells of their own.
            ///
            /// # Guarantees
            /// Nobody sleeps through a change, as without it.
            ///
            /// # Errors
            /// Attaching fails with [`AttachError::Membarrier`](crate::AttachError::Membarrier) where the
            /// kernel or a sandbox refuses the call.
            ///
            /// ```
            /// use slipring::{AttachError, ProducerOptions, Ring, Start};
            ///
            /// let ring = Ring::heap().create()?;
            /// let mut producer = match ring.producer_with(ProducerOptions::new().membarrier(true)) {
            ///     // It works without, only slower.
            ///     Err(AttachError::Membarrier { .. }) => ring.producer()?,
            ///     attached => attached?,
            /// };
            /// // This one sleeps if it has to wait for long, and fences for both then.
            /// let mut consumer = ring.consumer(Start::Oldest)?;
            /// producer.publish(b"news")?;
            /// assert_eq!(consumer.receive()?.as_deref(), Some(&b"news"[..]));
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[must_use]
            pub fn membarrier(mut self, membarrier: bool) -> Self {
                self.membarrier = membarrier;
                self
            }
        }
    };
}

rings!(ProducerOptions, "sleeping readers, after each publish,");
rings!(ConsumerOptions, "a sleeping producer, after each message,");
common!(ObserverOptions { keep_distance });

impl ObserverOptions {
    /// Where to go on after being lapped; near the newest message by default.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }
}
