//! What is answered though the producer does not wait for the answer.

use super::{fill, rowless};
use slipring::endpoint::Why;
use slipring::{Producer, Ring, Start};
use slipring_mirror::answer::MOST_GAPS;
use slipring_mirror::frame::{Content, Stamp};
use slipring_mirror::{Answer, Frame, Request};
use std::cell::Cell;

fn answer(from: u64, to: u64) -> Answer {
    let stamp = Stamp {
        ring: 1,
        epoch: 1,
        epoch_first: 0,
        oldest: 0,
        wall_ns: 0,
    };
    let request = Request {
        from,
        to,
        bytes: u32::MAX,
    };
    Answer::new(stamp, request)
}

/// Looks whether an answer has all sequences from the first on: what is gone, then messages. Returns the first of these.
fn first_message(answer: Answer, from: u64, to: u64) -> u64 {
    let (mut next, mut first) = (from, None);
    for bytes in answer.finish() {
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!(frame.first, next);
        next = frame.end();
        match frame.content {
            Content::Messages(messages) => {
                first.get_or_insert(frame.first);
                for (sequence, payload) in messages {
                    assert_eq!(payload, sequence.to_le_bytes());
                }
            }
            Content::Gap { why, .. } => assert_eq!((why, first), (Why::Lost, None)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, to);
    first.unwrap()
}

fn publish(producer: &mut Producer, messages: u64) {
    for _ in 0..messages {
        let sequence = producer.next_sequence();
        producer.publish(&sequence.to_le_bytes()).unwrap();
    }
}

/// The observer was at the sequence when the producer overtook it, by a message or by laps. What the ring still has then is in the
/// answer, and what is gone is a gap before it.
#[test]
fn an_answer_goes_on_behind_what_is_overwritten_meanwhile() {
    for base in [0, u64::MAX - 100] {
        for ahead in [0, 7, 100, 200] {
            for (messages, is_gone) in [(1, false), (30, false), (300, true), (3000, true)] {
                for held in [None, Some(50)] {
                    let ring = Ring::heap()
                        .capacity_bytes(4096)
                        .first_sequence(base)
                        .create()
                        .unwrap();
                    let mut producer = ring.producer().unwrap();
                    publish(&mut producer, 200);
                    let oldest = ring.status().unwrap().oldest_sequence.unwrap();
                    let from = oldest
                        .wrapping_add(ahead.min(producer.next_sequence().wrapping_sub(oldest) - 1));
                    let to = producer.next_sequence().wrapping_add(messages);
                    let mut asked = answer(from, to);
                    let attached = Cell::new(0);
                    let held = held.map(|held: u64| from.wrapping_add(held));
                    let mut filled = || {
                        fill(&mut asked, held, |at| {
                            let observer = ring.observer_with(Start::Sequence(at), rowless());
                            if attached.replace(attached.get() + 1) == 0 {
                                assert!(observer.is_ok());
                                publish(&mut producer, messages);
                            }
                            observer
                        })
                    };
                    filled().unwrap();
                    let first = first_message(asked, from, to);
                    let oldest = ring.status().unwrap().oldest_sequence.unwrap();
                    let what = format!("{base} {ahead} {messages} {held:?}");
                    match is_gone {
                        true => assert_eq!(first, oldest, "{what}"),
                        false => assert!(first == from || first == oldest, "{what}"),
                    }
                    assert_eq!(attached.get() > 1, first != from, "{what}");
                }
            }
        }
    }
}

/// A ring may have more gaps than an answer.
#[test]
fn an_answer_of_a_ring_of_gaps_is_bounded() {
    let ring = Ring::heap().capacity_bytes(1 << 20).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let to = 3 * u64::from(2 * MOST_GAPS);
    for end in (3..=to).step_by(3) {
        producer.skip_to(end, Why::NotRecorded).unwrap();
    }
    let mut from = 0;
    for answers in 0..2 {
        let mut asked = answer(from, to);
        fill(&mut asked, None, |at| {
            ring.observer_with(Start::Sequence(at), rowless())
        })
        .unwrap();
        let frames = asked.finish();
        assert_eq!(frames.len(), MOST_GAPS as usize, "{answers}");
        for bytes in frames {
            let frame = Frame::decode(&bytes).unwrap();
            assert_eq!(frame.first, from);
            from = frame.end();
        }
    }
    assert_eq!(from, to);
}
