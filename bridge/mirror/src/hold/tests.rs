//! Frames that come in any order, whole and one message after the other.

use super::{Added, Done, First, Hold, OVERHEAD};
use crate::frame::{self, put_record, Content, Frame, Stamp};
use proptest::prelude::*;
use slipring::endpoint::Why;

#[test]
fn what_lies_nearest_is_held() {
    let mut hold = Hold::new(u64::MAX - 2, 4 * (OVERHEAD + 16));
    for place in [9, 3, 7, 5] {
        assert_eq!(hold.message(place, &[1; 10]), Added::Kept);
    }
    assert_eq!(hold.message(11, &[1; 10]), Added::NoRoom);
    assert_eq!((hold.known(), hold.hole()), (12, Some((0, 3))));
    // Takes the room of 9, and then what comes next, of 7.
    assert_eq!(hold.message(4, &[1; 10]), Added::Kept);
    assert_eq!(hold.message(3, &[1; 10]), Added::Known);
    assert_eq!(hold.gap(0, 6, Why::Lost), Added::Kept);
    assert_eq!((hold.contiguous(), hold.hole()), (6, Some((6, 12))));
    assert_eq!(hold.held(), hold.ready());
    assert!(matches!(hold.first(), Some(First::Gap { end: 3, .. })));
    assert!(matches!(
        hold.written(Some(2)),
        Some(Done::Gap { end: 2, .. })
    ));
    assert!(matches!(
        hold.written(Some(2)),
        Some(Done::Gap { end: 3, .. })
    ));
    for next in [4, 5, 6] {
        assert!(hold.written(None).is_some());
        assert_eq!(hold.next(), next);
    }
    assert!(hold.first().is_none());
    assert_eq!((hold.held(), hold.ready()), (0, 0));
    assert_eq!(hold.message(5, &[]), Added::Known);
    assert_eq!(hold.place(u64::MAX - 2), Some(0));
    assert_eq!((hold.place(u64::MAX - 3), hold.sequence(6)), (None, 3));
    // The next one is held though it is larger than all room.
    assert_eq!(hold.message(6, &[0; 10_000]), Added::Kept);
    assert_eq!(hold.message(7, &[0; 1]), Added::NoRoom);
    hold.give_up();
    assert_eq!((hold.contiguous(), hold.hole()), (12, None));
}

/// The message at a place: of its own length, with its own bytes.
fn payload(place: u64) -> Vec<u8> {
    vec![place as u8; (place * 7 % 41) as usize]
}

#[derive(Clone, Debug)]
enum Event {
    /// A frame of so many messages from this place on.
    Frame(u64, u64),
    Gap(u64, u64),
    /// So many are written; parts of gaps end at multiples of 5.
    Write(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0u64..60, 1u64..12).prop_map(|(at, count)| Event::Frame(at, count)),
        1 => (0u64..60, 1u64..6).prop_map(|(at, count)| Event::Gap(at, at + count)),
        2 => (0usize..9).prop_map(Event::Write),
    ];
    proptest::collection::vec(event, 0..60)
}

/// Takes the frame as a mirror does: together, or one by one. Returns whether it was together.
fn take(hold: &mut Hold, at: u64, count: u64, together: bool) -> bool {
    let stamp = Stamp {
        ring: 1,
        epoch: 1,
        epoch_first: 0,
        oldest: 0,
        wall_ns: 0,
    };
    let mut records = Vec::new();
    for place in at..at + count {
        put_record(&mut records, &payload(place));
    }
    let bytes = frame::messages(&stamp, hold.sequence(at), count as u32, &records);
    let Content::Messages(messages) = Frame::decode(&bytes).unwrap().content else {
        panic!("another kind of frame")
    };
    if together && hold.messages(at, messages) {
        return true;
    }
    for (sequence, payload) in messages {
        if let Some(place) = hold.place(sequence) {
            hold.message(place, payload);
        }
    }
    false
}

/// Writes what is next, and says what it was.
fn write(hold: &mut Hold) -> Option<Done> {
    let next = hold.next();
    let first = match hold.first()? {
        First::Message(bytes) => {
            assert_eq!(bytes, payload(next));
            Some(bytes.len() as u64)
        }
        First::Gap { .. } => None,
    };
    let done = hold.written(Some((next + 1).next_multiple_of(5)));
    match done {
        Some(Done::Message { len }) => {
            assert_eq!(first, Some(len));
            assert_eq!(hold.next(), next + 1);
        }
        Some(Done::Gap { end, .. }) => {
            assert_eq!(first, None);
            assert_eq!(hold.next(), end);
        }
        None => panic!("nothing was written at {next}"),
    }
    done
}

proptest! {
    /// Whether the messages of frames are added together or one by one, the same is held, missing and written.
    #[test]
    fn frames_are_held_as_their_messages_are(events in events(), base in prop_oneof![Just(0), Just(u64::MAX - 30), any::<u64>()]) {
        let mut holds = [true, false].map(|together| (together, Hold::new(base, u64::MAX)));
        for event in &events {
            let seen = holds.each_mut().map(|(together, hold)| {
                let mut done = Vec::new();
                match event {
                    Event::Frame(at, count) => {
                        take(hold, *at, *count, *together);
                    }
                    Event::Gap(from, end) => drop(hold.gap(*from, *end, Why::Lost)),
                    Event::Write(count) => done.extend((0..*count).map_while(|_| write(hold))),
                }
                (done, hold.next(), hold.contiguous(), hold.known(), hold.hole())
            });
            prop_assert_eq!(&seen[0], &seen[1]);
        }
        for (_, hold) in &mut holds {
            hold.give_up();
            while write(hold).is_some() {}
            prop_assert_eq!((hold.held(), hold.ready()), (0, 0));
            prop_assert_eq!(hold.next(), hold.known());
        }
    }

    /// Whatever the room, no more is held, what is next always finds some, and all that is freed is freed once.
    #[test]
    fn no_more_is_held_than_there_is_room_for(events in events(), limit in 0u64..2000) {
        let mut hold = Hold::new(0, limit);
        for event in &events {
            match event {
                Event::Frame(at, count) => drop(take(&mut hold, *at, *count, true)),
                Event::Gap(from, end) => drop(hold.gap(*from, *end, Why::Lost)),
                Event::Write(count) => drop((0..*count).map_while(|_| write(&mut hold)).count()),
            }
            prop_assert!(hold.held() <= limit.max(OVERHEAD + 48));
            prop_assert!(hold.ready() <= hold.held());
            prop_assert_eq!(hold.first().is_some(), hold.ready() > 0);
            let next = hold.next();
            if hold.first().is_none() {
                hold.message(next, &payload(next));
                prop_assert!(hold.first().is_some());
                write(&mut hold);
            }
        }
        while write(&mut hold).is_some() {}
        prop_assert_eq!(hold.ready(), 0);
        hold.give_up();
        while write(&mut hold).is_some() {}
        prop_assert_eq!((hold.held(), hold.ready()), (0, 0));
    }
}
