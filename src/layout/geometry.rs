//! Every size and offset of a ring, computed in one place with checked arithmetic.
//!
//! Layer 1. A [`Geometry`] that exists is valid: user options and the bytes of a peer alike go through
//! [`Geometry::check`].

use super::frame::{frame_bytes, MAX_LEN, WORD};
use super::histogram;
use core::fmt;
use core::time::Duration;

/// The page all offsets are multiples of.
pub const PAGE: u64 = 4096;
/// The alignment of data and files when huge pages are asked for.
pub const HUGE_PAGE: u64 = 2 << 20;
/// Bytes per block of the index, except in rings so small that an eighth of them is less.
pub const BLOCK: u64 = 4096;
/// Bytes per index entry.
pub const INDEX_ENTRY: u64 = 16;
/// Bytes per entry of the eviction table.
pub const EVICTION: u64 = 8;
/// Bytes per line: what one writer owns. A constant of the layout, independent of the cache line of the
/// host.
pub const LINE: u64 = 128;
/// The largest ring, in bytes.
pub const MAX_CAPACITY: u64 = 1 << 40;
/// The most rows a ring may have.
pub const MAX_ROWS: u32 = 1024;
/// The most words a board may have.
pub const MAX_BOARD: u32 = 1 << 20;

/// The validated numbers of one ring. Private memory, never re-read from the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of data; a power of two.
    pub capacity: u64,
    /// Bytes per block; a power of two, at most `capacity`.
    pub block: u64,
    /// Frame alignment: 8 or 64.
    pub align: u64,
    /// Rows in `control`: consumers plus observers that may park.
    pub rows: u32,
    /// Largest payload in bytes: a quarter of the capacity, bounded by the commit word.
    pub max_message: u32,
    /// Sequence of the first message ever.
    pub first_sequence: u64,
    /// Whether data and files are laid out for huge pages.
    pub huge: bool,
    /// How long a consumer may hold one publish back before the producer evicts it, in nanoseconds. 0 means
    /// that no consumer is ever evicted, and then consumers read in place.
    pub evict_after_ns: u64,
    /// Whether each message begins with a word that says when it was published, which readers do not
    /// hand out. The board then holds a histogram for each row.
    pub stamped: bool,
    /// Words in `control` behind the rows, for forms that need shared words of their own.
    pub board: u32,
}

/// Why a set of sizes is not a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeometryError {
    /// The capacity is not a power of two within the range.
    Capacity {
        /// What was asked for, in bytes.
        bytes: u64,
    },
    /// The alignment is neither 8 nor 64.
    Align {
        /// What was asked for, in bytes.
        bytes: u64,
    },
    /// The number of rows is not in `1..=1024`.
    Rows {
        /// What was asked for.
        rows: u32,
    },
    /// The block is not a power of two up to a quarter of the capacity.
    Block {
        /// What was asked for, in bytes.
        bytes: u64,
    },
    /// More shared words than a form may have.
    Board {
        /// What was asked for.
        words: u32,
    },
    /// A lane of no messages, or of more than there may be.
    Depth {
        /// What was asked for.
        depth: u32,
        /// How many there may be.
        max: u32,
    },
    /// A lane that is as deep as was asked, for messages as large, would be larger than one may be.
    Lane {
        /// The depth that was asked for.
        depth: u32,
        /// The size of the largest message that was asked for, in bytes.
        message_bytes: u32,
        /// How many bytes a lane may have.
        max: u64,
    },
    /// The bytes of a lane are no power of two, or too few for the largest message.
    LaneBytes {
        /// What was asked for.
        bytes: u64,
        /// The fewest, for this size of messages.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A lease that is shorter or longer than one may be.
    Lease {
        /// What was asked for.
        lease: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// More permits than a semaphore may have.
    Permits {
        /// What was asked for.
        permits: u32,
        /// How many there may be.
        max: u32,
    },
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { bytes } => write!(
                f,
                "capacity {bytes} is not allowed: use a power of two from {PAGE} to {MAX_CAPACITY} bytes"
            ),
            Self::Align { bytes } => {
                write!(f, "frame alignment {bytes} is not allowed: use 8 or 64")
            }
            Self::Rows { rows } => {
                write!(f, "{rows} rows are not allowed: use 1 to {MAX_ROWS}")
            }
            Self::Block { bytes } => write!(
                f,
                "block of {bytes} bytes is not allowed: use a power of two up to a quarter of the capacity"
            ),
            Self::Board { words } => write!(
                f,
                "{words} shared words are not allowed: use at most {MAX_BOARD}"
            ),
            Self::Depth { depth, max } => write!(
                f,
                "a depth of {depth} messages is not allowed: use 1 to {max}"
            ),
            Self::Lane { depth, message_bytes, max } => write!(
                f,
                "a lane of {depth} messages of up to {message_bytes} bytes takes more than the {max} bytes that one may have: use a smaller depth, smaller messages, or a bound of the bytes of a lane"
            ),
            Self::LaneBytes { bytes, min, max } => write!(
                f,
                "a lane of {bytes} bytes is not allowed: use a power of two from {min}, which four of the largest messages need, to {max}"
            ),
            Self::Lease { lease, min, max } => write!(
                f,
                "a lease of {lease:?} is not allowed: use {min:?} to {max:?}, or zero for none"
            ),
            Self::Permits { permits, max } => write!(
                f,
                "a semaphore of {permits} permits is not allowed: use at most {max}"
            ),
        }
    }
}

impl std::error::Error for GeometryError {}

impl Geometry {
    /// The sizes of a ring: blocks of 4 KiB, or of an eighth of a smaller ring, so that at every instant of
    /// a producer's work at least one indexed frame is intact.
    pub fn new(
        capacity: u64,
        align: u64,
        rows: u32,
        first_sequence: u64,
        huge: bool,
    ) -> Result<Self, GeometryError> {
        if capacity < PAGE {
            return Err(GeometryError::Capacity { bytes: capacity });
        }
        Self::check(
            capacity,
            BLOCK.min(capacity / 8),
            align,
            rows,
            first_sequence,
            huge,
        )
    }

    /// The one validation. Accepts smaller capacities and blocks than a file may have, so that a
    /// model checker can exhaust a ring of a few words.
    pub fn check(
        capacity: u64,
        block: u64,
        align: u64,
        rows: u32,
        first_sequence: u64,
        huge: bool,
    ) -> Result<Self, GeometryError> {
        if !capacity.is_power_of_two() || !(8 * WORD..=MAX_CAPACITY).contains(&capacity) {
            return Err(GeometryError::Capacity { bytes: capacity });
        }
        if align != 8 && align != 64 || capacity < 8 * align {
            return Err(GeometryError::Align { bytes: align });
        }
        // The largest message is a quarter of the ring, so a message within a block is never too large.
        if !block.is_power_of_two() || block > capacity / 4 || block < 2 * WORD {
            return Err(GeometryError::Block { bytes: block });
        }
        if rows == 0 || rows > MAX_ROWS {
            return Err(GeometryError::Rows { rows });
        }
        let max_message =
            u32::try_from(capacity / 4).map_or(MAX_LEN, |quarter| quarter.min(MAX_LEN));
        Ok(Self {
            capacity,
            block,
            align,
            rows,
            max_message,
            first_sequence,
            huge,
            evict_after_ns: 0,
            stamped: false,
            board: 0,
        })
    }

    /// The same sizes with shared words behind the rows.
    ///
    /// # Errors
    /// [`GeometryError::Board`].
    pub const fn with_board(mut self, words: u32) -> Result<Self, GeometryError> {
        if words > MAX_BOARD {
            return Err(GeometryError::Board { words });
        }
        self.board = words;
        Ok(self)
    }

    /// The same sizes for a ring whose producer evicts; any number of nanoseconds is valid.
    #[must_use]
    pub const fn evicting_after(mut self, nanoseconds: u64) -> Self {
        self.evict_after_ns = nanoseconds;
        self
    }

    /// The same sizes for a ring whose messages carry a stamp.
    ///
    /// # Errors
    /// [`GeometryError::Board`]; it cannot occur with an allowed number of rows.
    pub const fn stamping(mut self) -> Result<Self, GeometryError> {
        self.stamped = true;
        self.with_board(self.stamp_words())
    }

    /// Words of the board of a ring with stamps: a histogram for each row.
    pub const fn stamp_words(&self) -> u32 {
        self.rows * histogram::WORDS
    }

    /// The largest message that a user may publish, in bytes.
    pub const fn max_payload(&self) -> u32 {
        if self.stamped {
            self.max_message - WORD as u32
        } else {
            self.max_message
        }
    }

    /// Returns `true` if a consumer may be evicted, and so must copy a message before it uses it.
    #[inline(always)]
    pub const fn evicts(&self) -> bool {
        self.evict_after_ns != 0
    }

    /// Entries of the block index.
    pub const fn blocks(&self) -> u64 {
        self.capacity / self.block
    }

    /// Words of data.
    pub const fn words(&self) -> u64 {
        self.capacity / WORD
    }

    /// Bytes of the frame of a message.
    #[inline]
    pub const fn frame(&self, len: u64) -> u64 {
        frame_bytes(len, self.align)
    }

    /// Where the lap that contains `position` ends.
    #[inline]
    pub const fn lap_end(&self, position: u64) -> u64 {
        (position | (self.capacity - 1)) + 1
    }

    /// The number of the block that contains `position`, counted over all laps.
    #[inline]
    pub const fn block_of(&self, position: u64) -> u64 {
        position / self.block
    }

    /// Offset of the block index in `stream`.
    pub const fn index_offset(&self) -> u64 {
        2 * PAGE
    }

    /// Offset of the eviction table in `stream`.
    pub const fn evictions_offset(&self) -> u64 {
        self.index_offset() + self.blocks() * INDEX_ENTRY
    }

    /// Offset of the data in `stream`.
    pub const fn data_offset(&self) -> u64 {
        let end = self.evictions_offset() + self.rows as u64 * EVICTION;
        round_up(end, self.page())
    }

    /// Bytes of the `stream` file.
    pub const fn stream_bytes(&self) -> u64 {
        round_up(self.data_offset() + self.capacity, self.page())
    }

    /// Bytes of a file that holds one row: what `control` holds for all, for one reader.
    pub const SEAT_BYTES: u64 = 2 * PAGE;

    /// Offset of the board in `control`.
    pub const fn board_offset(&self) -> u64 {
        PAGE + self.rows as u64 * LINE
    }

    /// Bytes of the `control` file.
    pub const fn control_bytes(&self) -> u64 {
        round_up(self.board_offset() + self.board as u64 * WORD, self.page())
    }

    const fn page(&self) -> u64 {
        if self.huge {
            HUGE_PAGE
        } else {
            PAGE
        }
    }
}

const fn round_up(bytes: u64, to: u64) -> u64 {
    (bytes + to - 1) & !(to - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_follow_each_other_without_overlap() {
        for shift in 12..=40 {
            for huge in [false, true] {
                let g = Geometry::new(1 << shift, 8, 32, 0, huge).unwrap();
                assert!(g.index_offset() + g.blocks() * INDEX_ENTRY <= g.evictions_offset());
                assert!(g.evictions_offset() + 32 * EVICTION <= g.data_offset());
                assert!(g.data_offset() + g.capacity <= g.stream_bytes());
                assert_eq!(g.data_offset() % PAGE, 0);
                assert!(g.control_bytes() >= PAGE + 32 * LINE);
            }
        }
    }

    #[test]
    fn the_largest_message_always_fits_behind_a_pad() {
        for shift in 12..=20 {
            for align in [8, 64] {
                let g = Geometry::new(1 << shift, align, 1, 0, false).unwrap();
                let frame = g.frame(u64::from(g.max_message));
                // A pad just too small for the frame, the frame, and the word checked behind it.
                assert!(frame + WORD + frame + WORD <= g.capacity);
            }
        }
    }

    #[test]
    fn what_is_not_a_ring_is_refused_with_its_numbers() {
        for bytes in [0, 1, 2048, 4097, 3 << 20, 1 << 41, u64::MAX] {
            let refused = Geometry::new(bytes, 8, 1, 0, false).unwrap_err();
            assert_eq!(refused, GeometryError::Capacity { bytes });
        }
        for bytes in [0, 7, 16, 128, u64::MAX] {
            let refused = Geometry::new(4096, bytes, 1, 0, false).unwrap_err();
            assert_eq!(refused, GeometryError::Align { bytes });
        }
        for rows in [0, 1025] {
            let refused = Geometry::new(4096, 8, rows, 0, false).unwrap_err();
            assert_eq!(refused, GeometryError::Rows { rows });
        }
    }
}
