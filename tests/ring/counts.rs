//! Losses as other processes see them: by row and in all, exact as soon as a reader has found them.

use slipring::{
    endpoint::{ReceiveError, RingStatus, TryReceiveError},
    ConsumerOptions, ObserverOptions, Received, Ring, Start, Strategy,
};
use std::time::Duration;

/// The counts of the ring: messages, losses, evictions, expulsions.
fn counts(status: &RingStatus) -> (u64, u64, u64, u64) {
    (
        status.messages_lost.unwrap(),
        status.times_lost.unwrap(),
        status.evictions,
        status.expulsions,
    )
}

/// The counts of a row.
fn of_row(ring: &Ring, row: u32) -> (u64, u64) {
    let status = ring.status().unwrap();
    let reader = status.readers.iter().find(|reader| reader.row == row);
    let reader = reader.unwrap();
    (reader.messages_lost, reader.times_lost)
}

fn evicting() -> Ring {
    Ring::heap()
        .capacity_bytes(4096)
        .evict_after(Duration::from_nanos(1))
        .create()
        .unwrap()
}

/// Publishes until the producer has evicted a consumer once more, and lets the ring go round.
fn overrun(producer: &mut slipring::Producer, ring: &Ring) {
    let before = ring.status().unwrap().evictions;
    while ring.status().unwrap().evictions == before {
        producer.publish(&[1; 100]).unwrap();
    }
    for _ in 0..100 {
        producer.publish(&[1; 100]).unwrap();
    }
}

#[test]
fn a_lapped_observer_counts_in_its_row_and_for_all() {
    for parks in [true, false] {
        let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let strategy = if parks {
            Strategy::Park
        } else {
            Strategy::Spin
        };
        let options = ObserverOptions::default().strategy(strategy);
        let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
        let (mut lost, mut times) = (0, 0);
        for round in 0..5 {
            for _ in 0..50 + 100 * round {
                producer.publish(&[0; 100]).unwrap();
            }
            loop {
                match observer.try_receive() {
                    Ok(Received::Lapped { lost: more, .. }) => {
                        (lost, times) = (lost + more, times + 1)
                    }
                    Ok(_) => {}
                    Err(TryReceiveError::Empty) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(times > round, "not lapped");
            assert_eq!(lost, observer.lost_count());
            assert_eq!(counts(&ring.status().unwrap()), (lost, times, 0, 0));
            match parks {
                true => assert_eq!(of_row(&ring, 0), (lost, times)),
                false => assert!(ring.status().unwrap().readers.is_empty()),
            }
        }
        // The next owner of the row begins at nothing; what all lost stays.
        drop(observer);
        let options = ObserverOptions::default().strategy(Strategy::Park);
        let _next = ring.observer_with(Start::Latest, options).unwrap();
        assert_eq!(of_row(&ring, 0), (0, 0));
        assert_eq!(counts(&ring.status().unwrap()), (lost, times, 0, 0));
    }
}

#[test]
fn evictions_count_for_the_row_and_for_all_and_survive_producers() {
    let ring = evicting();
    let (mut lost, mut times) = (0, 0);
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    for round in 1..=5 {
        // Each round has another producer.
        let mut producer = ring.producer().unwrap();
        overrun(&mut producer, &ring);
        producer.detach();
        // Evicted, and not yet aware of it: nothing is counted.
        assert_eq!(counts(&ring.status().unwrap()), (lost, times, round, 0));
        loop {
            match consumer.try_receive() {
                Ok(message) => {
                    lost += message.missed();
                    times += u64::from(message.missed() > 0);
                }
                Err(TryReceiveError::Empty) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(times, round);
        assert_eq!(counts(&ring.status().unwrap()), (lost, times, round, 0));
        assert_eq!(of_row(&ring, consumer.row()), (lost, times));
    }
    assert_eq!(consumer.losses().evicted, lost);
}

#[test]
fn an_expelled_consumer_that_left_no_row_is_in_the_totals() {
    let ring = evicting();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let (mut lost, mut times) = (0, 0);
    let expelled = loop {
        let before = ring.status().unwrap().evictions;
        while ring.status().unwrap().evictions == before {
            producer.publish(&[1; 100]).unwrap();
        }
        match consumer.receive() {
            Ok(Some(message)) => {
                lost += message.missed();
                times += u64::from(message.missed() > 0);
            }
            Err(ReceiveError::Expelled { next }) => break next,
            other => panic!("{other:?}"),
        }
        assert!(times < 100, "never expelled");
    };
    assert!(expelled <= ring.status().unwrap().next_sequence.unwrap());
    drop(consumer);
    let status = ring.status().unwrap();
    assert!(status.readers.is_empty());
    assert_eq!(times, 16);
    assert_eq!(counts(&status), (lost, times, 17, 1));
}

#[test]
fn a_cursor_whose_messages_are_gone_counts_them_for_each_owner_that_finds_them() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut producer = ring.producer().unwrap();
    drop(ring.durable_consumer("risk", Start::Oldest).unwrap());
    for _ in 0..200 {
        producer.publish(&[0; 100]).unwrap();
    }
    let options = ConsumerOptions::default();
    let mut missed = 0;
    // The first owner acknowledges nothing, the second one a message behind the loss.
    for (owner, found, times) in [(0, true, 1), (1, true, 2), (2, false, 2)] {
        let mut consumer = ring
            .durable_consumer_with("risk", Start::Oldest, options)
            .unwrap();
        missed = missed.max(consumer.losses().evicted);
        assert!(missed > 0);
        let own = if found { (missed, 1) } else { (0, 0) };
        assert_eq!(of_row(&ring, consumer.row()), own);
        let all = (times * missed, times, 0, 0);
        assert_eq!(counts(&ring.status().unwrap()), all);
        if owner == 1 {
            assert_eq!(consumer.try_receive().unwrap().missed(), missed);
        }
    }
}
