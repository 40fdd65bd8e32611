//! What can go wrong with a shared value.
//!
//! Layer 7.

use crate::segment::Trouble;
use crate::semaphore::AcquireError;
use core::fmt;

/// Why a shared value was not lent, or not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedError {
    /// Another handle holds the lock, or has waited longer.
    Locked,
    /// The lock did not become free, or the value did not change, until the deadline.
    TimedOut,
    /// The value changed faster than it could be copied, a thousand times in a row.
    Overtaken,
    /// This process is a fork of the one that opened the handle.
    Forked,
    /// A file was cut short while it was mapped.
    Poisoned,
    /// The value was removed since it was opened; its name may lead to another one by now.
    Removed,
}

impl SharedError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Locked => 750,
            Self::TimedOut => 751,
            Self::Overtaken => 752,
            Self::Forked => 753,
            Self::Poisoned => 754,
            Self::Removed => 755,
        }
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => "another handle holds the lock: try again, or wait for it",
            Self::TimedOut => "nothing happened until the deadline",
            Self::Overtaken => "the value changes faster than any copy: try again",
            Self::Forked => "this process is a fork: open the value anew",
            Self::Poisoned => "a file of the value was cut short: create it anew",
            Self::Removed => {
                "the value was removed while it was open: drop the handle, and open the one that has its name now, if any"
            }
        })
    }
}

impl std::error::Error for SharedError {}

impl From<AcquireError> for SharedError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Unavailable | AcquireError::TooMany { .. } => Self::Locked,
            AcquireError::TimedOut => Self::TimedOut,
            AcquireError::Forked => Self::Forked,
            AcquireError::Poisoned => Self::Poisoned,
            AcquireError::Removed => Self::Removed,
        }
    }
}

impl From<Trouble> for SharedError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}
