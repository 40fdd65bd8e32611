//! Conflated reading against a model: the newest of each key, in order, and every message accounted for.

use proptest::prelude::*;
use slipring::{
    endpoint::{Conflatable, Conflated, Conflation, ReceiveError, TryReceiveError},
    Consumer, Observer, Producer, Ring, Start,
};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    /// A key, and how many bytes more.
    Publish(u8, usize),
    /// So many small ones at once, to overtake an observer.
    Flood(usize),
    Receive,
    ReceiveAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6u8, 0..200usize).prop_map(|(key, more)| Step::Publish(key, more)),
        1 => (1..600usize).prop_map(Step::Flood),
        4 => Just(Step::Receive),
        1 => Just(Step::ReceiveAll),
    ]
}

fn payload(key: u8, sequence: u64, more: usize) -> Vec<u8> {
    let mut bytes = vec![key];
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.resize(9 + more, key);
    bytes
}

fn key(message: &[u8]) -> u8 {
    message[0]
}

/// What the model knows: the newest of each key that was published and not handed out.
#[derive(Default)]
struct Model {
    /// Sequence and how many older ones wait, by key.
    waiting: BTreeMap<u8, (u64, u64)>,
    handed_out: u64,
    published: u64,
}

impl Model {
    fn publish(&mut self, producer: &mut Producer, key: u8, more: usize) -> bool {
        let message = payload(key, self.published, more);
        if producer.try_publish(&message).is_err() {
            return false;
        }
        let sequence = self.published;
        self.waiting
            .entry(key)
            .and_modify(|newest| *newest = (sequence, newest.1 + 1))
            .or_insert((sequence, 0));
        self.published += 1;
        true
    }
}

type Key = fn(&[u8]) -> u8;

/// Follows the steps with a reader that is never overtaken, which the model predicts exactly.
fn follow_exactly(steps: &[Step]) {
    let ring = Ring::heap().capacity_bytes(8192).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let consumer = ring.consumer(Start::Oldest).unwrap();
    let mut reader: Conflated<Consumer, u8, Key> = consumer.conflated(key);
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::Publish(key, more) => {
                model.publish(&mut producer, key, more);
            }
            Step::Flood(many) => {
                let _ = (0..many).all(|n| model.publish(&mut producer, n as u8 % 3, 0));
            }
            Step::Receive | Step::ReceiveAll => loop {
                let expected = model.waiting.iter().min_by_key(|(_, newest)| newest.0);
                let expected = expected.map(|(key, newest)| (*key, *newest));
                match (reader.try_receive(), expected) {
                    (Ok(Conflation::Message(message)), Some((key, (sequence, skipped)))) => {
                        assert_eq!((message[0], message.sequence()), (key, sequence));
                        assert_eq!(message[1..9], sequence.to_le_bytes());
                        assert_eq!(message.skipped(), skipped);
                        model.waiting.remove(&key);
                        model.handed_out += 1;
                    }
                    (Err(TryReceiveError::Empty), None) => break,
                    (other, expected) => panic!("{other:?} instead of {expected:?}"),
                }
                if matches!(step, Step::Receive) {
                    break;
                }
            },
        }
        assert_eq!(reader.handed_out_count(), model.handed_out);
    }
    producer.close();
    while let Conflation::Message(message) = reader.receive().unwrap() {
        let newest = model.waiting.remove(&message[0]).unwrap();
        assert_eq!(newest, (message.sequence(), message.skipped()));
    }
    assert!(model.waiting.is_empty());
    let accounted = reader.handed_out_count() + reader.skipped_count();
    assert_eq!((accounted, reader.lost_count()), (model.published, 0));
}

/// With a reader that may be overtaken: every message is accounted for, none comes twice or late.
fn follow_roughly(steps: &[Step]) {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let observer = ring.observer(Start::Oldest).unwrap();
    let mut reader: Conflated<Observer, u8, Key> = observer.conflated(key);
    let mut model = Model::default();
    let mut last = BTreeMap::new();
    let mut next = 0;
    for step in steps {
        match *step {
            Step::Publish(key, more) => assert!(model.publish(&mut producer, key, more)),
            Step::Flood(many) => {
                assert!((0..many).all(|n| model.publish(&mut producer, n as u8 % 3, 0)));
            }
            Step::Receive | Step::ReceiveAll => {
                while let Ok(said) = reader.try_receive() {
                    match said {
                        Conflation::Message(message) => {
                            let sequence = message.sequence();
                            assert_eq!(message[1..9], sequence.to_le_bytes(), "torn");
                            assert!(last.insert(message[0], sequence) < Some(sequence));
                            assert!(sequence >= next, "older than what is gone");
                        }
                        Conflation::Lapped { resumed_at, .. } => next = resumed_at,
                        _ => panic!("nobody closed it"),
                    }
                    if matches!(step, Step::Receive) {
                        break;
                    }
                }
            }
        }
    }
    producer.close();
    while !matches!(reader.receive().unwrap(), Conflation::Closed) {}
    assert_eq!(
        reader.handed_out_count() + reader.skipped_count() + reader.lost_count(),
        model.published
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn a_consumer_gets_the_newest_of_each_key(steps in prop::collection::vec(step(), 1..80)) {
        follow_exactly(&steps);
    }

    #[test]
    fn an_observer_accounts_for_every_message(steps in prop::collection::vec(step(), 1..80)) {
        follow_roughly(&steps);
    }
}

fn waits<R: Conflatable>(reader: &mut Conflated<R, u8, Key>, mut producer: Producer) {
    let late = reader.receive_until(Duration::from_millis(5)).err();
    assert_eq!(late, Some(ReceiveError::TimedOut));
    let publishing = std::thread::spawn(move || {
        for n in 0..1000u64 {
            producer.publish(&payload((n % 10) as u8, n, 0)).unwrap();
        }
    });
    let (mut last, mut total) = (None, 0);
    loop {
        match reader.receive().unwrap() {
            Conflation::Message(message) => {
                assert!(last < Some(message.sequence()), "out of order");
                last = Some(message.sequence());
                total += 1 + message.skipped();
            }
            Conflation::Lapped { lost, .. } => total += lost,
            _ => break,
        }
    }
    assert_eq!((total, last), (1000, Some(999)));
    publishing.join().unwrap();
}

#[test]
fn both_wait_for_what_comes() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut reader = ring.consumer(Start::Oldest).unwrap().conflated(key as Key);
    waits(&mut reader, ring.producer().unwrap());
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut reader = ring.observer(Start::Oldest).unwrap().conflated(key as Key);
    waits(&mut reader, ring.producer().unwrap());
}

#[test]
fn the_reader_comes_back() {
    let ring = Ring::heap().create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut reader = ring.observer(Start::Oldest).unwrap().conflated(key as Key);
    producer.publish(&payload(1, 0, 0)).unwrap();
    producer.publish(&payload(2, 1, 0)).unwrap();
    assert!(matches!(reader.try_receive(), Ok(Conflation::Message(_))));
    assert_eq!(reader.waiting(), 1);
    let mut observer = reader.into_inner();
    assert_eq!(observer.next_sequence(), 2);
    assert!(matches!(
        observer.try_receive(),
        Err(TryReceiveError::Empty)
    ));
}

/// Sequences begin anew behind 2^64: what comes first stays first.
#[test]
fn order_is_kept_where_sequences_begin_anew() {
    let ring = Ring::heap().first_sequence(u64::MAX - 3).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut reader = ring.consumer(Start::Oldest).unwrap().conflated(|m| m[0]);
    let mut observer = ring.observer(Start::Oldest).unwrap().conflated(|m| m[0]);
    for n in 0..8u8 {
        producer.publish(&[n % 6]).unwrap();
    }
    let expected: Vec<u64> = (2..8).map(|n| (u64::MAX - 3).wrapping_add(n)).collect();
    let mut came = [Vec::new(), Vec::new()];
    while let Ok(Conflation::Message(message)) = reader.try_receive() {
        came[0].push(message.sequence());
    }
    while let Ok(Conflation::Message(message)) = observer.try_receive() {
        came[1].push(message.sequence());
    }
    assert_eq!(came, [expected.clone(), expected]);
}
