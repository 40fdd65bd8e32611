//! Building frames.

use super::layout::{
    Kind, Stamp, CHECKSUM_AT, CLOSED, GAP, HEADER, HEARTBEAT, LIMIT, MAGIC, MESSAGES, PART,
};
use crate::wire::checksum;
use crate::VERSION;
use slipring::endpoint::Why;

fn encode(stamp: &Stamp, first: u64, kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.extend(MAGIC.to_le_bytes());
    out.extend(VERSION.to_le_bytes());
    out.extend(kind.number.to_le_bytes());
    out.extend(stamp.ring.to_le_bytes());
    let words = [
        stamp.epoch,
        stamp.epoch_first,
        first,
        stamp.oldest,
        stamp.wall_ns,
        kind.extra,
    ];
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let words = [kind.count, body.len() as u32, kind.code, 0];
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    out.extend(body);
    let sum = checksum(&out, CHECKSUM_AT).to_le_bytes();
    out[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum);
    out
}

/// A frame of messages whose records are in the body already.
pub(crate) fn messages(stamp: &Stamp, first: u64, count: u32, body: &[u8]) -> Vec<u8> {
    let kind = Kind {
        number: MESSAGES,
        count,
        ..Kind::default()
    };
    encode(stamp, first, kind, body)
}

/// The frames of one message that is too long for a frame.
pub(crate) fn parts(stamp: &Stamp, sequence: u64, payload: &[u8]) -> Vec<Vec<u8>> {
    let total = payload.len() as u32;
    let each = LIMIT - HEADER;
    let part = |(at, bytes): (usize, &[u8])| {
        let kind = Kind {
            number: PART,
            count: 1,
            extra: u64::from(total) << 32 | (at * each) as u64,
            ..Kind::default()
        };
        encode(stamp, sequence, kind, bytes)
    };
    payload.chunks(each).enumerate().map(part).collect()
}

/// The frame of a gap of at most [`FARTHEST`] sequences.
pub(crate) fn gap(stamp: &Stamp, first: u64, end: u64, why: Why) -> Vec<u8> {
    let kind = Kind {
        number: GAP,
        extra: end,
        code: why.code(),
        ..Kind::default()
    };
    encode(stamp, first, kind, &[])
}

/// A heartbeat.
pub(crate) fn heartbeat(stamp: &Stamp, next: u64, closed: bool) -> Vec<u8> {
    let kind = Kind {
        number: if closed { CLOSED } else { HEARTBEAT },
        ..Kind::default()
    };
    encode(stamp, next, kind, &[])
}
