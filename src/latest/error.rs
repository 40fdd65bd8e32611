//! What can go wrong with a newest value.
//!
//! Layer 7.

use crate::segment::Trouble;
use core::fmt;

/// Why a value was not set, or not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LatestError {
    /// There is no such cell.
    NoCell {
        /// Which was asked for.
        cell: u32,
        /// How many there are.
        cells: u32,
    },
    /// The bytes are not of the size of a value.
    WrongSize {
        /// How many bytes were given.
        len: u32,
        /// The size of a value.
        expected: u32,
    },
    /// Nothing changed until the deadline.
    TimedOut,
    /// The writer set the value faster than it could be copied, a thousand times in a row.
    Overtaken,
    /// This process is a fork of the one that made the handle.
    Forked,
    /// A file was cut short while it was mapped.
    Poisoned,
    /// The table was removed since it was opened; its name may lead to another one by now.
    Removed,
}

impl LatestError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoCell { .. } => 730,
            Self::TimedOut => 731,
            Self::Overtaken => 732,
            Self::Forked => 733,
            Self::Poisoned => 734,
            Self::Removed => 735,
            Self::WrongSize { .. } => 736,
        }
    }
}

impl fmt::Display for LatestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongSize { len, expected } => write!(
                f,
                "{len} bytes are no value of the table, whose values have {expected}"
            ),
            Self::NoCell { cell, cells } => write!(
                f,
                "there is no cell {cell}: the table has {cells}, counted from 0"
            ),
            Self::TimedOut => f.write_str("nothing changed until the deadline"),
            Self::Overtaken => f.write_str("the writer is faster than any copy: try again"),
            Self::Forked => f.write_str("this process is a fork: open the table anew"),
            Self::Poisoned => f.write_str("a file of the table was cut short: create it anew"),
            Self::Removed => {
                f.write_str("the table was removed while it was open: drop the handle, and open the one that has its name now, if any")
            }
        }
    }
}

impl std::error::Error for LatestError {}

impl From<Trouble> for LatestError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}
