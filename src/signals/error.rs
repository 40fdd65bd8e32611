//! What can go wrong with a signal.
//!
//! Layer 7.

use crate::ring::pending::SIGNALS;
use crate::segment::{wrapping, NameError, Trouble};
use core::fmt;

/// Why a signal was not sent, or not received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalError {
    /// The text cannot be a name.
    Name(NameError),
    /// No live process listens under this name.
    NoListener {
        /// The name.
        name: String,
    },
    /// There is no such signal.
    Number {
        /// What was asked for.
        signal: u32,
    },
    /// No signal came until the deadline.
    TimedOut,
    /// This process is a fork of the one that opened the handle.
    Forked,
    /// A file was cut short while it was mapped.
    Poisoned,
    /// The signals object was removed since it was opened; its name may lead to another one by now.
    Removed,
}

impl SignalError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name(_) => 100,
            Self::NoListener { .. } => 740,
            Self::Number { .. } => 741,
            Self::TimedOut => 742,
            Self::Forked => 743,
            Self::Poisoned => 744,
            Self::Removed => 745,
        }
    }
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::NoListener { name } => write!(f, "no listener has the name {name}"),
            Self::Number { signal } => {
                write!(f, "there is no signal {signal}: use 0 to {}", SIGNALS - 1)
            }
            Self::TimedOut => f.write_str("no signal came until the deadline"),
            Self::Forked => f.write_str("this process is a fork: open the signals anew"),
            Self::Poisoned => f.write_str("a file of the signals was cut short: create them anew"),
            Self::Removed => {
                f.write_str("the signals object was removed while it was open: drop the handle, and open the one that has its name now, if any")
            }
        }
    }
}

wrapping!(SignalError: (Name) {});

impl From<NameError> for SignalError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<Trouble> for SignalError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}
