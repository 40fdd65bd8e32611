//! What is needed is held and found, and nothing else is held.

use super::Gate;
use crate::serve::reply::rowless;
use proptest::prelude::*;
use slipring::endpoint::{TryPublishError, Why};
use slipring::{Received, Ring, Start};

#[derive(Clone, Copy, Debug)]
enum Turn {
    Message(usize),
    Gap(u64),
    /// Everything that was published is read, and of what is needed, so many parts of 256 are not any more.
    Release(u64),
}

/// What lies in the ring, from the first sequence of each on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Message { sequence: u64, len: usize },
    Gap { first: u64, end: u64 },
}

impl Item {
    fn end(self) -> u64 {
        match self {
            Self::Message { sequence, .. } => sequence.wrapping_add(1),
            Self::Gap { end, .. } => end,
        }
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let len = prop_oneof![3 => 0..=64usize, 1 => 0..=1016usize, 1 => 1000..=1016usize];
    let turn = prop_oneof![
        4 => len.prop_map(Turn::Message),
        3 => prop_oneof![Just(1u64), 2..9u64, Just(1 << 40)].prop_map(Turn::Gap),
        2 => prop_oneof![Just(256u64), 0..=256u64].prop_map(Turn::Release),
    ];
    let gaps = prop::collection::vec(
        prop_oneof![8 => Just(Turn::Gap(2)), 1 => Just(Turn::Release(256))],
        1..150,
    );
    let run = prop_oneof![20 => turn.prop_map(|turn| vec![turn]), 1 => gaps];
    prop::collection::vec(run, 1..400).prop_map(|runs| runs.concat())
}

/// What an observer that begins there finds, up to where it was read, or behind.
fn found(ring: &Ring, from: u64, read: u64) -> Vec<Item> {
    let mut observer = ring
        .observer_with(Start::Sequence(from), rowless())
        .unwrap();
    let mut found = Vec::new();
    let mut next = from;
    while (next.wrapping_sub(read) as i64) < 0 {
        let item = match observer.try_receive().unwrap() {
            Received::Message(message) => Item::Message {
                sequence: message.sequence(),
                len: message.len(),
            },
            Received::Skipped {
                resumed_at, why, ..
            } => {
                assert_eq!(why, Why::NotRecorded);
                Item::Gap {
                    first: next,
                    end: resumed_at,
                }
            }
            other => panic!("{other:?}"),
        };
        next = item.end();
        found.push(item);
    }
    found
}

/// The part of them from one sequence to another, with gaps that follow each other as one.
fn part(items: &[Item], from: u64, to: u64, base: u64) -> Vec<Item> {
    let place = |sequence: u64| sequence.wrapping_sub(base);
    let mut parts = Vec::new();
    for item in items {
        match (*item, parts.last_mut()) {
            (Item::Message { sequence, .. }, _) => {
                if (place(from)..place(to)).contains(&place(sequence)) {
                    parts.push(*item);
                }
            }
            (Item::Gap { first, end }, last) => {
                let first = base.wrapping_add(place(first).max(place(from)));
                let end = base.wrapping_add(place(end).min(place(to)));
                match last {
                    _ if place(first) >= place(end) => {}
                    Some(Item::Gap { end: before, .. }) if *before == first => *before = end,
                    _ => parts.push(Item::Gap { first, end }),
                }
            }
        }
    }
    parts
}

proptest! {
    #[test]
    fn what_is_needed_is_found_and_nothing_else_is_held(
        capacity in prop::sample::select(vec![4096u64, 8192, 64 << 10]),
        align in prop::sample::select(vec![8u64, 64]),
        stamps in any::<bool>(),
        base in prop::sample::select(vec![0u64, 77, u64::MAX - 50]),
        turns in turns(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let ring = Ring::builder(directory.path().join("ring"))
            .capacity_bytes(capacity)
            .frame_align(align)
            .stamps(stamps)
            .first_sequence(base)
            .create()
            .unwrap();
        let mut producer = ring.producer().unwrap();
        let mut gate = Gate::new(&ring, "bridge", Start::Oldest).unwrap();
        let mut observer = ring.observer_with(Start::Sequence(base), rowless()).unwrap();
        let place = |sequence: u64| sequence.wrapping_sub(base);
        let (mut items, mut through, mut read) = (Vec::new(), base, base);
        for turn in turns.into_iter().chain([Turn::Release(256)]) {
            match turn {
                Turn::Message(len) => match producer.try_publish(&vec![7; len]) {
                    Ok(sequence) => items.push(Item::Message { sequence, len }),
                    Err(TryPublishError::Full { .. }) => {}
                    Err(error) => panic!("{error}"),
                },
                Turn::Gap(many) => {
                    let first = producer.next_sequence();
                    let end = first.wrapping_add(many);
                    match producer.try_skip_to(end, Why::NotRecorded) {
                        Ok(_) => items.push(Item::Gap { first, end }),
                        Err(TryPublishError::Full { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                Turn::Release(part) => {
                    loop {
                        match observer.try_receive() {
                            Ok(Received::Message(message)) => {
                                gate.message(message.sequence());
                                read = message.sequence().wrapping_add(1);
                            }
                            Ok(Received::Skipped { resumed_at, .. }) => {
                                gate.skip(resumed_at);
                                read = resumed_at;
                            }
                            Ok(other) => panic!("{other:?}"),
                            Err(_) => break,
                        }
                    }
                    let needed = u128::from(place(read) - place(through)) * u128::from(part) / 256;
                    through = through.wrapping_add(needed as u64);
                    gate.release(through).unwrap();
                    gate.caught_up(read).unwrap();
                }
            }
            if through != read {
                let found = found(&ring, through, read);
                prop_assert_eq!(
                    part(&found, through, read, base),
                    part(&items, through, read, base)
                );
            }
        }
        // All was read and is not needed any more: only gaps are held, and the largest message has room.
        let status = ring.status().unwrap();
        let row = status.readers.iter().find(|reader| reader.cursor.is_some()).unwrap();
        let held = status.position.unwrap() - row.position.unwrap();
        match items.last() {
            Some(Item::Gap { .. }) => prop_assert!(held < capacity / 4),
            _ => prop_assert_eq!(held, 0),
        }
        for _ in 0..2 {
            producer.try_publish(&vec![7; ring.max_message_bytes() as usize]).unwrap();
            gate.message(producer.next_sequence().wrapping_sub(1));
            gate.release(producer.next_sequence()).unwrap();
        }
    }
}
