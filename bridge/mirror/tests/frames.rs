//! What goes over the network: it is read as it was written, and hostile bytes are refused.

use proptest::prelude::*;
use slipring::endpoint::Why;
use slipring_mirror::frame::{Content, Stamp, FARTHEST, HEADER, LIMIT, LONGEST_WHOLE};
use slipring_mirror::meta::{MetaError, Opaque};
use slipring_mirror::pack::{heartbeat, Packer};
use slipring_mirror::{Ack, Answer, Frame, FrameError, Meta, Request};

fn stamp() -> impl Strategy<Value = Stamp> {
    any::<(u128, u64, u64, u64, u64)>().prop_map(|(ring, epoch, epoch_first, oldest, wall_ns)| {
        Stamp {
            ring,
            epoch,
            epoch_first,
            oldest,
            wall_ns,
        }
    })
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        10 => 0..100usize,
        1 => LONGEST_WHOLE - 20..LONGEST_WHOLE + 20,
        1 => 0..5 * LIMIT,
    ];
    prop::collection::vec(length, 0..200)
}

/// The frames of every kind that a source sends.
fn frames(stamp: &Stamp, first: u64, lengths: &[usize]) -> Vec<Vec<u8>> {
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    let mut next = first;
    for (n, len) in lengths.iter().enumerate() {
        packer.message(stamp, next, &vec![n as u8; *len], &mut packed);
        next = next.wrapping_add(1);
        if n % 17 == 16 {
            let end = next.wrapping_add(*len as u64 + 1);
            packer.gap(stamp, next, end, Why::Other(*len as u32 + 9), &mut packed);
            next = end;
        }
    }
    packer.flush(stamp, &mut packed);
    assert!(packer.is_empty());
    let mut frames: Vec<_> = packed.into_iter().map(|packed| packed.bytes).collect();
    frames.push(heartbeat(stamp, next, lengths.len().is_multiple_of(2)));
    frames
}

fn refit(bytes: &mut [u8]) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..84]);
    sum.update(&bytes[88..]);
    bytes[84..88].copy_from_slice(&sum.finalize().to_le_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_out_as_they_went_in(
        stamp in stamp(),
        first in any::<u64>(),
        lengths in lengths(),
    ) {
        let frames = frames(&stamp, first, &lengths);
        let (mut next, mut at, mut part) = (first, 0usize, 0usize);
        for bytes in &frames {
            prop_assert!(bytes.len() <= LIMIT);
            let frame = Frame::decode(bytes).unwrap();
            prop_assert_eq!(frame.stamp, stamp);
            prop_assert_eq!(frame.first, next);
            match frame.content {
                Content::Messages(messages) => for (sequence, payload) in messages {
                    prop_assert_eq!(sequence, next);
                    prop_assert_eq!(payload, vec![at as u8; lengths[at]]);
                    next = next.wrapping_add(1);
                    at += 1;
                },
                Content::Part { offset, total, bytes } => {
                    prop_assert_eq!((offset as usize, total as usize), (part, lengths[at]));
                    prop_assert!(bytes.iter().all(|byte| *byte == at as u8));
                    part += bytes.len();
                    if part == lengths[at] {
                        (part, at, next) = (0, at + 1, next.wrapping_add(1));
                    }
                }
                Content::Gap { end, why } => {
                    prop_assert_eq!(why, Why::Other(lengths[at - 1] as u32 + 9));
                    prop_assert_eq!(end, next.wrapping_add(lengths[at - 1] as u64 + 1));
                    next = end;
                }
                Content::Heartbeat { closed } => prop_assert_eq!(closed, lengths.len().is_multiple_of(2)),
            }
            if !matches!(frame.content, Content::Part { .. }) {
                prop_assert_eq!(frame.end(), next);
            }
        }
        prop_assert_eq!(at, lengths.len());
    }

    /// One bit that flipped is found by the checksum, or earlier.
    #[test]
    fn a_damaged_frame_is_refused(
        stamp in stamp(),
        lengths in prop::collection::vec(0..300usize, 0..20),
        place in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(),
        bit in 0..8u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let frames = frames(&stamp, 7, &lengths);
        let mut bytes = frames[which.index(frames.len())].clone();
        let short = &bytes[..cut.index(bytes.len())];
        prop_assert!(Frame::decode(short).is_err());
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Frame::decode(&bytes).is_err());
        bytes[at] ^= 1 << bit;
        bytes.extend([0; 8]);
        prop_assert!(Frame::decode(&bytes).is_err());
    }

    /// One whose sender also made the checksum fit: what it says is consistent, or it is refused.
    #[test]
    fn a_hostile_frame_says_what_it_has_or_is_refused(
        stamp in stamp(),
        lengths in prop::collection::vec(0..300usize, 0..20),
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        header in any::<bool>(),
    ) {
        let frames = frames(&stamp, 7, &lengths);
        let mut bytes = frames[which.index(frames.len())].clone();
        for (place, to) in changes {
            let len = if header { HEADER } else { bytes.len() };
            bytes[place.index(len)] = to;
        }
        refit(&mut bytes);
        let Ok(frame) = Frame::decode(&bytes) else { return Ok(()) };
        match frame.content {
            Content::Messages(messages) => {
                let count = messages.remaining();
                let all: Vec<_> = messages.collect();
                prop_assert_eq!(all.len(), count as usize);
                let held: usize = all.iter().map(|(_, payload)| payload.len()).sum();
                prop_assert!(count > 0 && held < bytes.len());
                prop_assert_eq!(frame.end(), frame.first.wrapping_add(u64::from(count)));
            }
            Content::Part { offset, total, bytes } => {
                prop_assert!(!bytes.is_empty() && offset as usize + bytes.len() <= total as usize);
            }
            Content::Gap { end, .. } => {
                prop_assert!((1..=FARTHEST).contains(&end.wrapping_sub(frame.first)));
            }
            Content::Heartbeat { .. } => prop_assert_eq!(bytes.len(), HEADER),
        }
    }

    #[test]
    fn bytes_that_are_nothing_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Frame::decode(&bytes).is_err());
        prop_assert!(Meta::decode(&bytes).is_err());
        prop_assert!(Ack::decode(&bytes).is_none());
    }

    #[test]
    fn what_else_is_sent_comes_out_as_it_went_in(
        ring in any::<u128>(),
        words in any::<[u64; 5]>(),
        small in any::<[u32; 3]>(),
        is in any::<[bool; 4]>(),
        texts in any::<[String; 2]>(),
        opaque in prop::option::of(("[a-z]{1,9}", any::<String>(), prop::collection::vec(any::<u8>(), 0..3000))),
        name in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}",
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let meta = Meta {
            ring,
            epoch: words[0],
            epoch_first: words[1],
            oldest: words[2],
            next: words[3],
            capacity: words[4],
            frame_align: small[0],
            max_readers: small[1],
            longest: small[2],
            stamps: is[0],
            closed: is[1],
            required: is[2],
            taken: is[3],
            host: texts[0].clone(),
            name: name.parse().unwrap(),
            schema: texts[1].clone(),
            opaque: opaque.map(|(kind, name, bytes)| Opaque { kind, name, bytes }),
        };
        let mut bytes = meta.encode();
        prop_assert_eq!(Meta::decode(&bytes), Ok(meta));
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Meta::decode(&bytes).is_err());

        let [instance, next, lost, ..] = words;
        let ack = Ack { ring, name: name.parse().unwrap(), instance, next, lost };
        let mut bytes = ack.encode();
        prop_assert_eq!(Ack::decode(&bytes), Some(ack));
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(Ack::decode(&bytes), None);

        let request = Request { from: next, to: lost, bytes: small[0] };
        prop_assert_eq!(request.to_string().parse(), Ok(request));
    }

    /// An answer has at most what was asked for.
    #[test]
    fn an_answer_ends_where_it_was_asked_to(
        from in any::<u64>(),
        asked in prop_oneof![0..300u64, any::<u64>()],
        bytes in 0..20_000u32,
        lengths in prop::collection::vec(prop::option::weighted(0.9, 0..300usize), 0..300),
    ) {
        let to = from.wrapping_add(asked);
        let stamp = Stamp { ring: 1, epoch: 1, epoch_first: 0, oldest: 0, wall_ns: 0 };
        let mut answer = Answer::new(stamp, Request { from, to, bytes });
        let (mut next, mut given) = (from, 0);
        for length in lengths {
            if answer.is_wanted() {
                prop_assert!(given < u64::from(bytes.max(1)));
            }
            match length {
                Some(len) => {
                    given += (len as u64 + 4).next_multiple_of(8);
                    answer.message(next, &vec![1; len]);
                    next = next.wrapping_add(1);
                }
                None => {
                    next = next.wrapping_add(20);
                    answer.gap(next, Why::Lost);
                }
            }
        }
        let mut at = from;
        for bytes in answer.finish() {
            let frame = Frame::decode(&bytes).unwrap();
            prop_assert_eq!(frame.first, at);
            at = frame.end();
        }
        let reached = at.wrapping_sub(from);
        prop_assert!(reached <= asked && (asked <= FARTHEST || reached == 0));
    }
}

#[test]
fn the_kinds_of_damage_are_told_apart() {
    let stamp = Stamp {
        ring: 1,
        epoch: 1,
        epoch_first: 0,
        oldest: 0,
        wall_ns: 0,
    };
    let good = heartbeat(&stamp, 5, false);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        refit(&mut frame);
        Frame::decode(&frame).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        with(0, b"SLMA"),
        FrameError::Magic {
            found: u32::from_le_bytes(*b"SLMA")
        }
    );
    assert_eq!(with(4, &[2, 0]), FrameError::Version { found: 2 });
    assert_eq!(with(6, &[9, 0]), FrameError::Kind { found: 9 });
    assert_eq!(with(64, &[1]), FrameError::Reserved);
    assert_eq!(with(72, &[1]), FrameError::Messages { count: 1 });
    assert_eq!(with(76, &[1]), FrameError::Length { said: 1, found: 0 });
    assert_eq!(with(80, &[1]), FrameError::Reserved);
    assert_eq!(with(6, &[3, 0]), FrameError::Gap { first: 5, end: 0 });
    // A part that ends behind its message, so far that the sum of 32 bits wraps.
    let mut packed = Vec::new();
    Packer::default().message(&stamp, 5, &vec![0; LIMIT], &mut packed);
    let mut part = packed[0].bytes.clone();
    part[64..68].copy_from_slice(&(u32::MAX - 9).to_le_bytes());
    refit(&mut part);
    let (offset, total) = (u32::MAX - 9, LIMIT as u32);
    assert_eq!(
        Frame::decode(&part).unwrap_err(),
        FrameError::Part { offset, total }
    );
    assert_eq!(
        Frame::decode(&good[..5]).unwrap_err(),
        FrameError::Short { len: 5 }
    );
    assert_eq!(
        Frame::decode(&good[..87]).unwrap_err(),
        FrameError::Short { len: 87 }
    );
    let mut long = good.clone();
    long.resize(LIMIT + 1, 0);
    assert_eq!(
        Frame::decode(&long).unwrap_err(),
        FrameError::Long { len: LIMIT + 1 }
    );
    let mut damaged = good.clone();
    damaged[20] ^= 1;
    assert_eq!(Frame::decode(&damaged).unwrap_err(), FrameError::Checksum);
    // A source of another version is known by its description, though the rest of that is another.
    let mut meta = b"SLMM\x07\0".to_vec();
    meta.extend([0; 9]);
    assert_eq!(Meta::decode(&meta), Err(MetaError::Version { found: 7 }));
    for error in [
        "from=1",
        "from=1;to=x",
        "from=1;to=2;bytes=-1",
        "",
        "from;to",
    ] {
        assert!(error.parse::<Request>().is_err(), "{error}");
    }
}

/// Messages that do not follow each other never share a frame.
#[test]
fn a_frame_has_no_holes() {
    let stamp = Stamp {
        ring: 1,
        epoch: 1,
        epoch_first: 0,
        oldest: 0,
        wall_ns: 0,
    };
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    for sequence in [u64::MAX, 0, 1, 3, 3, 2] {
        packer.message(&stamp, sequence, &[sequence as u8], &mut packed);
    }
    packer.flush(&stamp, &mut packed);
    let spans: Vec<_> = packed
        .iter()
        .map(|packed| (Frame::decode(&packed.bytes).unwrap().first, packed.end))
        .collect();
    assert_eq!(spans, [(u64::MAX, 2), (3, 4), (3, 4), (2, 3)]);
}
