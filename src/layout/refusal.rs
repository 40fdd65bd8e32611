//! Why a page is not the description of a ring that this build can attach to.
//!
//! Layer 1. Every reason carries what was found, and what was expected where that is one value.

use super::geometry::GeometryError;
use super::page::LAYOUT_VERSION;
use core::fmt;

/// Why a page is not the description of a ring this build can attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The page does not begin with the magic: the file is not a ring's.
    Foreign,
    /// Written by a version with another layout.
    Version {
        /// The layout in the page.
        found: u32,
    },
    /// Written on a machine with the other byte order.
    ByteOrder,
    /// Uses features this build does not know.
    Features {
        /// The unknown bits.
        unknown: u64,
    },
    /// Is a form of communication this build does not know.
    Form {
        /// Its number.
        found: u32,
    },
    /// The sizes are not those of a ring.
    Geometry(GeometryError),
    /// A size or offset in the page does not follow from the others.
    Size {
        /// Which.
        what: &'static str,
        /// What the page says, in bytes.
        found: u64,
        /// What follows from the others, in bytes.
        expected: u64,
    },
    /// Another number in the page does not follow from the others.
    Inconsistent {
        /// Which.
        what: &'static str,
        /// What the page says.
        found: u64,
        /// What follows from the others.
        expected: u64,
    },
    /// Bytes of the page are not what they must be: a text is none, or reserved bytes are not zero.
    Bytes {
        /// Of which field.
        what: &'static str,
        /// Where the field, or the first wrong byte of it, lies in the page.
        offset: usize,
    },
    /// The checksum does not match: the page was damaged.
    Checksum {
        /// The checksum in the page.
        found: u64,
        /// The checksum of the page.
        expected: u64,
    },
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a slipring stream (its first bytes say so)"),
            Self::Version { found } => write!(
                f,
                "made with layout version {found}, this build reads version {LAYOUT_VERSION}: use the version that made it, or remove and create it again"
            ),
            Self::ByteOrder => f.write_str("made on a machine with the other byte order"),
            Self::Features { unknown } => write!(
                f,
                "uses features this build does not know (bits {unknown:#x}): use a newer version"
            ),
            Self::Form { found } => write!(
                f,
                "is of a form this build does not know (number {found}): use a newer version"
            ),
            Self::Geometry(error) => write!(f, "has sizes that are not a ring's: {error}"),
            Self::Size {
                what,
                found,
                expected,
            } => write!(f, "has a {what} of {found} bytes, {expected} expected"),
            Self::Inconsistent {
                what,
                found,
                expected,
            } => write!(f, "has a {what} of {found}, {expected} expected"),
            Self::Bytes { what, offset } => write!(
                f,
                "has a {what} that no ring of this layout has (at byte {offset} of the page)"
            ),
            Self::Checksum { found, expected } => write!(
                f,
                "has a damaged description page (checksum {found:#018x}, {expected:#018x} expected)"
            ),
        }
    }
}

impl std::error::Error for DescriptionError {}
