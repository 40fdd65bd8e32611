//! Rings whose messages carry a stamp: what readers get, what is measured, and what is said where it
//! cannot be.

use slipring::{
    endpoint::{AttachError, PublishError, RingStatus, TryPublishError},
    Deadline, Received, Ring, Start,
};
use std::time::Duration;

fn latencies(status: &RingStatus) -> Vec<slipring::endpoint::Latencies> {
    let rows = status.readers.iter().filter(|reader| reader.gating);
    rows.map(|reader| {
        reader
            .latencies
            .clone()
            .expect("a consumer of a ring with stamps")
    })
    .collect()
}

#[test]
fn readers_get_what_was_published_and_time_it() {
    let ring = Ring::anonymous().stamps(true).create().unwrap();
    assert!(ring.stamps());
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let mut expected = Vec::new();
    for n in 0..100u8 {
        let message = vec![n; usize::from(n)];
        match n % 4 {
            0 => drop(producer.publish(&message).unwrap()),
            1 => drop(producer.try_publish(&message).unwrap()),
            2 => {
                let mut claim = producer.claim(usize::from(n) + 3).unwrap();
                claim[..usize::from(n)].copy_from_slice(&message);
                claim.commit_first(usize::from(n));
            }
            _ => {
                let mut batch = producer.batch();
                batch.push(&message).unwrap();
                batch.try_push(&message).unwrap();
                assert_eq!(batch.commit(), 2);
                expected.push(message.clone());
            }
        }
        expected.push(message);
    }
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen.push(consumer.receive().unwrap().unwrap().to_vec());
    }
    while seen.len() < expected.len() {
        let mut batch = consumer.receive_batch(7).unwrap().unwrap();
        while let Some(message) = batch.next() {
            seen.push(message.to_vec());
        }
    }
    assert_eq!(seen, expected);
    for message in &expected {
        match observer.try_receive().unwrap() {
            Received::Message(payload) => assert_eq!(&payload[..], &message[..]),
            other => panic!("{other:?}"),
        }
    }
    let timed = &latencies(&ring.status().unwrap())[0];
    assert_eq!((timed.count(), timed.ahead()), (expected.len() as u64, 0));
    let (median, longest) = (
        timed.percentile(50.0).unwrap(),
        timed.percentile(100.0).unwrap(),
    );
    assert!(Duration::ZERO < median && median <= longest && longest == timed.longest());
    let counted: u64 = timed.buckets().map(|(_, n)| n).sum();
    assert_eq!(counted, timed.count());
}

#[test]
fn a_time_contains_what_the_reader_waited_before_it_looked() {
    let ring = Ring::anonymous().stamps(true).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    producer.publish(b"early").unwrap();
    let wait = Duration::from_millis(3);
    let until = std::time::Instant::now() + wait;
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
    drop(consumer.receive().unwrap());
    let timed = &latencies(&ring.status().unwrap())[0];
    assert!(timed.longest() >= wait && timed.percentile(50.0) >= Some(wait));
}

#[test]
fn who_attaches_begins_at_nothing() {
    let ring = Ring::anonymous()
        .stamps(true)
        .max_readers(1)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    for round in 0..3 {
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        assert_eq!(
            latencies(&ring.status().unwrap())[0].count(),
            0,
            "round {round}"
        );
        assert_eq!(latencies(&ring.status().unwrap())[0].percentile(50.0), None);
        producer.publish(b"x").unwrap();
        drop(consumer.receive().unwrap());
        assert_eq!(latencies(&ring.status().unwrap())[0].count(), 1);
        assert!(matches!(
            ring.consumer(Start::Latest),
            Err(AttachError::NoRow { .. })
        ));
    }
}

#[test]
fn sizes_are_those_of_what_a_user_may_publish() {
    let ring = Ring::anonymous()
        .capacity_bytes(4096)
        .stamps(true)
        .create()
        .unwrap();
    let max = ring.max_message_bytes();
    assert_eq!(max, 1024 - 8);
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let largest = vec![7; max as usize];
    producer.publish(&largest).unwrap();
    assert_eq!(&consumer.receive().unwrap().unwrap()[..], &largest[..]);
    let long = vec![7; max as usize + 1];
    let refused = PublishError::TooLarge {
        len: long.len(),
        max,
    };
    assert_eq!(producer.publish(&long), Err(refused));
    assert_eq!(producer.claim(long.len()).err(), Some(refused));
    assert_eq!(producer.batch().push(&long), Err(refused));
    let refused = TryPublishError::TooLarge {
        len: long.len(),
        max,
    };
    assert_eq!(producer.try_publish(&long), Err(refused));
    assert_eq!(producer.try_claim(long.len()).err(), Some(refused));
    while producer.try_publish(&largest).is_ok() {}
    let late = producer.publish_until(&largest, Deadline::after(Duration::from_millis(1)));
    assert!(
        matches!(late, Err(PublishError::TimedOut { .. })),
        "{late:?}"
    );
}

#[test]
fn evicted_consumers_are_told_and_go_on_timing() {
    let builder = Ring::anonymous().capacity_bytes(4096).stamps(true);
    let ring = builder
        .evict_after(Duration::from_micros(50))
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    for n in 0..1000u64 {
        producer.publish(&n.to_le_bytes()).unwrap();
    }
    let (mut received, mut missed) = (0u64, 0u64);
    while received + missed < 1000 {
        match consumer.receive() {
            Ok(Some(message)) => {
                missed += message.missed();
                assert_eq!(&message[..], (received + missed).to_le_bytes());
                received += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
    assert_eq!(latencies(&ring.status().unwrap())[0].count(), received);
}

#[test]
fn a_ring_without_stamps_has_no_latencies() {
    let ring = Ring::anonymous().create().unwrap();
    let _consumer = ring.consumer(Start::Oldest).unwrap();
    assert!(!ring.stamps());
    assert!(ring
        .status()
        .unwrap()
        .readers
        .iter()
        .all(|reader| reader.latencies.is_none()));
}

#[test]
fn stamps_outlive_the_producer_and_can_be_typed() {
    slipring::message! {
        pub struct Quote { pub bid: f64, pub ask: f64 }
    }
    let ring = Ring::heap()
        .stamps(true)
        .schema(<Quote as slipring::Plain>::schema())
        .create()
        .unwrap();
    let ring = ring.typed::<Quote>().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    for round in 0..3 {
        let mut producer = ring.producer().unwrap();
        let quote = Quote {
            bid: f64::from(round),
            ask: 2.0,
        };
        producer.publish(&quote).unwrap();
    }
    for round in 0..3 {
        let quote = consumer.receive().unwrap().unwrap();
        assert_eq!(quote.bid, f64::from(round));
    }
}
