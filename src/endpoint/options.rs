//! How a handle behaves, chosen when it is made.
//!
//! Layer 5. Every option has a default that suits most; nothing here changes what is delivered.

use crate::read::ReadPolicy;
use crate::ring::observer::Resume;
use crate::wait::Strategy;

/// How a producer behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerOptions {
    pub(crate) strategy: Strategy,
    pub(crate) membarrier: bool,
}

/// How a consumer behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsumerOptions {
    pub(crate) strategy: Strategy,
    pub(crate) read_policy: ReadPolicy,
    pub(crate) membarrier: bool,
}

/// How an observer behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObserverOptions {
    pub(crate) strategy: Strategy,
    pub(crate) read_policy: ReadPolicy,
    pub(crate) resume: Resume,
}

macro_rules! common {
    ($name:ident { $($policy:ident)? }) => {
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
                /// Where to read a saturated stream; [`ReadPolicy::Auto`] by default.
                #[must_use]
                pub fn read_policy(mut self, $policy: ReadPolicy) -> Self {
                    self.read_policy = $policy;
                    self
                }
            )?
        }
    };
}

common!(ProducerOptions {});
common!(ConsumerOptions { read_policy });

macro_rules! rings {
    ($name:ident, $looks:literal) => {
        impl $name {
            #[doc = concat!("Whether the look for ", $looks, " costs no fence, as a process that goes to")]
            /// sleep calls `membarrier` then, which makes every running thread of this process fence.
            ///
            /// Off by default: from then on any process can interrupt the cores that this one runs on, for
            /// about a microsecond each time, and going to sleep takes 0.4 to 25 microseconds longer. For
            /// pinned, busy threads whose peers sleep now and then. Makes no difference while no process
            /// attached may sleep, and none in an isolated ring, whose readers have bells of their own.
            ///
            /// # Guarantees
            /// No process sleeps through a change, as without it.
            ///
            /// # Errors
            /// Attaching fails with [`AttachError::Membarrier`](crate::endpoint::AttachError::Membarrier) where the
            /// kernel or a sandbox refuses the call.
            ///
            /// ```
            /// use slipring::endpoint::AttachError;
            /// use slipring::{ProducerOptions, Ring, Start};
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
common!(ObserverOptions { read_policy });

impl ObserverOptions {
    /// Where to go on after being lapped; near the newest message by default.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }
}
