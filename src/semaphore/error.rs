//! Why there is no permit.
//!
//! Layer 7.

use crate::segment::Trouble;
use core::fmt;

/// Why there is no permit.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcquireError {
    /// Not enough are free now, or a caller that has waited for longer is about to take them.
    Unavailable,
    /// Not enough were free until the deadline.
    TimedOut,
    /// More permits than there can ever be.
    TooMany {
        /// How many were asked for.
        wanted: u32,
        /// How many there can be.
        max: u32,
    },
    /// This process is a fork of the one that opened the handle.
    Forked,
    /// A file of the semaphore was cut short while it was mapped.
    Poisoned,
    /// The semaphore was removed since it was opened; its name may lead to another one by now.
    Removed,
}

impl AcquireError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Unavailable => 720,
            Self::TimedOut => 721,
            Self::TooMany { .. } => 722,
            Self::Forked => 723,
            Self::Poisoned => 724,
            Self::Removed => 725,
        }
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str(
                "too few permits are free, or others have waited longer: try again, or wait",
            ),
            Self::TimedOut => f.write_str("no permit came free until the deadline"),
            Self::TooMany { wanted, max } => {
                write!(f, "{wanted} permits are more than there can be: {max}")
            }
            Self::Forked => f.write_str("this process is a fork: open the semaphore anew"),
            Self::Poisoned => f.write_str("a file of the semaphore was cut short: create it anew"),
            Self::Removed => {
                f.write_str("the semaphore was removed while it was open: drop the handle, and open the one that has its name now, if any")
            }
        }
    }
}

impl std::error::Error for AcquireError {}

impl From<Trouble> for AcquireError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}
