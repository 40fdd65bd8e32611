//! The size of a lane, and its name.
//!
//! Layer 7.

use crate::endpoint::Builder;
use crate::layout::form::Form;
use crate::layout::frame::frame_bytes;
use crate::layout::geometry::GeometryError;
use crate::layout::queue::QueueNumbers;
use crate::ring::take;

/// The name of a lane's directory.
pub(super) fn name_of_lane(number: u32) -> String {
    format!("lane-{number}")
}

/// The deepest lane, in messages.
const MAX_DEPTH: u32 = 1 << 16;

/// How many messages a lane has for which so many were asked.
///
/// # Errors
/// [`GeometryError::Depth`] of none, and of too many.
pub(crate) fn depth_of_lane(asked: u32) -> Result<u32, GeometryError> {
    match asked {
        1..=MAX_DEPTH => Ok(asked.next_power_of_two().max(2)),
        depth => Err(GeometryError::Depth {
            depth,
            max: MAX_DEPTH,
        }),
    }
}

/// Bytes of data of a lane for a queue with these numbers.
pub(super) fn lane_capacity(numbers: QueueNumbers) -> u64 {
    let frame = frame_bytes(numbers.message_bytes.into(), 8);
    let bytes = frame.saturating_mul(u64::from(numbers.depth) + 2);
    let bytes = bytes.checked_next_power_of_two().unwrap_or(u64::MAX);
    let all = bytes.max(smallest_lane(numbers.message_bytes));
    match numbers.lane_bits {
        0 => all,
        bits => 1u64
            .checked_shl(bits.into())
            .map_or(all, |bound| all.min(bound)),
    }
}

/// Bytes of data of the smallest lane for messages up to a size: no message is larger than a quarter.
pub(super) fn smallest_lane(message_bytes: u32) -> u64 {
    let frames = 4 * frame_bytes(message_bytes.into(), 8);
    frames.next_power_of_two().max(4096)
}

/// A lane for a queue with these numbers: without a bound it holds `depth` messages of the largest size, and a
/// pad.
pub(super) fn lane_builder(builder: Builder, numbers: QueueNumbers) -> Builder {
    // One that is no depth is refused as a board that is too large.
    let board = take::board_words(numbers.depth.min(u32::MAX >> 1));
    builder
        .capacity_bytes(lane_capacity(numbers))
        .max_readers(8)
        .form(Form::Lane, board, numbers.packed())
}
