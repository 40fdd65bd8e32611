//! How a handle behaves, chosen when it is made.
//!
//! Layer 5. Every option has a default that suits most; nothing here changes what is delivered.

use crate::ring::observer::Resume;

/// Makes the options of one role: how its handle waits, and what else it lets its caller choose.
macro_rules! options {
    ($(#[$about:meta])* $name:ident { strategy $(, $policy:ident)? $(; $($field:ident: $type:ty),*)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name {
            pub(crate) strategy: $crate::wait::Strategy,
            $(pub(crate) $policy: $crate::read::ReadPolicy,)?
            $($(pub(crate) $field: $type,)*)?
        }

        impl $name {
            /// The defaults.
            pub fn new() -> Self {
                Self::default()
            }

            /// How to wait; spin for 20 microseconds and then sleep by default.
            #[must_use]
            pub fn strategy(mut self, strategy: $crate::wait::Strategy) -> Self {
                self.strategy = strategy;
                self
            }

            $(
                /// Where to read a saturated stream; [`ReadPolicy::Auto`](crate::ReadPolicy::Auto) by default.
                #[must_use]
                pub fn read_policy(mut self, $policy: $crate::read::ReadPolicy) -> Self {
                    self.read_policy = $policy;
                    self
                }
            )?
        }
    };
}
pub(crate) use options;

options! {
    /// How a producer behaves.
    ProducerOptions { strategy; membarrier: bool }
}
options! {
    /// How a consumer behaves.
    ConsumerOptions { strategy, read_policy; membarrier: bool }
}
options! {
    /// How an observer behaves.
    ObserverOptions { strategy, read_policy; resume: Resume }
}

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

impl ObserverOptions {
    /// Where to go on after being lapped; near the newest message by default.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }
}
