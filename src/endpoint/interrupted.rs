//! Interruptions between a handle and its next message, as errors of the call that finds them.
//!
//! Layer 5.

use super::error::{PublishError, ReceiveError, TryPublishError, TryReceiveError, Unfit};
use crate::ring::index::Nowhere;
use crate::ring::Corrupt;
use crate::segment::Trouble;

/// An interruption between a reader and its next message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interrupted {
    Expelled { next: u64 },
    Corrupt(Corrupt),
    Poisoned,
    Removed,
    Forked,
}

impl Interrupted {
    /// Why an evicted consumer, which was at this message, did not find its way back.
    pub fn not_rejoined(nowhere: Nowhere, next: u64) -> Self {
        match nowhere {
            Nowhere::Corrupt(corrupt) => Self::Corrupt(corrupt),
            // It was overtaken at each attempt: it is too slow, and the ring is in order.
            Nowhere::Gone { .. } | Nowhere::Ahead { .. } | Nowhere::Overtaken => {
                Self::Expelled { next }
            }
        }
    }
}

impl From<Trouble> for Interrupted {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}

impl From<Corrupt> for Interrupted {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

macro_rules! from_interrupted {
    ($($error:ident),*) => {$(
        impl From<Interrupted> for $error {
            fn from(why: Interrupted) -> Self {
                match why {
                    Interrupted::Expelled { next } => Self::Expelled { next },
                    Interrupted::Corrupt(corrupt) => Self::Corrupt(corrupt),
                    Interrupted::Poisoned => Self::Poisoned,
                    Interrupted::Removed => Self::Removed,
                    Interrupted::Forked => Self::Forked,
                }
            }
        }

        impl From<Corrupt> for $error {
            fn from(corrupt: Corrupt) -> Self {
                Self::Corrupt(corrupt)
            }
        }
    )*};
}
from_interrupted!(TryReceiveError, ReceiveError);

macro_rules! from_disturbance {
    ($($error:ident),*) => {$(
        impl From<Unfit> for $error {
            fn from(Unfit { len, expected }: Unfit) -> Self {
                Self::WrongSize { len, expected }
            }
        }

        impl From<Interrupted> for $error {
            fn from(why: Interrupted) -> Self {
                match why {
                    Interrupted::Forked => Self::Forked,
                    Interrupted::Removed => Self::Removed,
                    // A producer is never evicted, and reads nothing that could be damaged.
                    _ => Self::Poisoned,
                }
            }
        }
    )*};
}
from_disturbance!(TryPublishError, PublishError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_was_too_slow_is_not_told_of_damage() {
        let told = |nowhere| TryReceiveError::from(Interrupted::not_rejoined(nowhere, 7));
        let expelled = TryReceiveError::Expelled { next: 7 };
        assert_eq!(told(Nowhere::Overtaken), expelled);
        assert_eq!(told(Nowhere::Gone { oldest: 9 }), expelled);
        let damaged = TryReceiveError::Corrupt(Corrupt::Index);
        assert_eq!(told(Nowhere::Corrupt(Corrupt::Index)), damaged);
    }
}
