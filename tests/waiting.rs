//! Waiting in one process: deadlines, wait sets, ends.

use slipring::{
    AttachError, ConsumerOptions, Deadline, ObserverOptions, ProducerOptions, PublishError,
    ReceiveError, Ring, Start, Strategy, TryReceiveError, WaitSet,
};
use std::time::{Duration, Instant};

const STRATEGIES: [Strategy; 4] = [
    Strategy::Spin,
    Strategy::Yield,
    Strategy::Park,
    Strategy::SpinThenPark {
        spin: Duration::from_micros(5),
    },
];
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn deadlines_are_kept_by_every_strategy() {
    for strategy in STRATEGIES {
        let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
        let options = ProducerOptions::new().strategy(strategy);
        let mut producer = ring.producer_with(options).unwrap();
        let options = ConsumerOptions::new().strategy(strategy);
        let mut consumer = ring.consumer_with(Start::Latest, options).unwrap();
        let options = ObserverOptions::new().strategy(strategy);
        let mut observer = ring.observer_with(Start::Latest, options).unwrap();

        let start = Instant::now();
        let timed_out = consumer.receive_until(SHORT).map(|_| ());
        assert_eq!(timed_out, Err(ReceiveError::TimedOut));
        let timed_out = observer.receive_until(SHORT).map(|_| ());
        assert_eq!(timed_out, Err(ReceiveError::TimedOut));
        while producer.try_publish(&[0; 100]).is_ok() {}
        let timed_out = producer.publish_until(&[0; 100], SHORT);
        assert_eq!(
            timed_out,
            Err(PublishError::TimedOut {
                row: consumer.row()
            })
        );
        assert!(start.elapsed() >= 3 * SHORT);
        assert_eq!(
            producer.publish_until(&[0; 100], Deadline::after(Duration::ZERO)),
            timed_out
        );
    }
}

/// Says so where the kernel, or a sandbox, refuses `membarrier`.
fn has_membarrier() -> bool {
    let refused = slipring::sync::accept_fences().err();
    if let Some(refused) = &refused {
        eprintln!("SKIPPED: membarrier: {refused}");
        let options = ProducerOptions::new().membarrier(true);
        let ring = Ring::heap().create().unwrap();
        let error = ring.producer_with(options).unwrap_err();
        assert!(matches!(error, AttachError::Membarrier { .. }), "{error}");
    }
    refused.is_none()
}

#[test]
fn every_strategy_is_woken_by_messages_by_space_and_by_the_end() {
    for strategy in STRATEGIES {
        woken_by_everything(strategy, false);
    }
}

#[test]
fn nobody_needs_a_fence_of_whoever_leaves_it_to_sleepers() {
    if has_membarrier() {
        for strategy in STRATEGIES {
            woken_by_everything(strategy, true);
        }
    }
}

fn woken_by_everything(strategy: Strategy, membarrier: bool) {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let options = ProducerOptions::new()
        .strategy(strategy)
        .membarrier(membarrier);
    let mut producer = ring.producer_with(options).unwrap();
    let options = ConsumerOptions::new()
        .strategy(strategy)
        .membarrier(membarrier);
    let mut consumer = ring.consumer_with(Start::Oldest, options).unwrap();
    let reader = std::thread::spawn(move || {
        let mut count = 0u64;
        while let Some(message) = consumer.receive().unwrap() {
            assert_eq!(message.sequence(), count);
            count += 1;
        }
        count
    });
    for n in 0..5_000u64 {
        producer.publish(&n.to_le_bytes()).unwrap();
    }
    producer.close();
    assert_eq!(reader.join().unwrap(), 5_000);
}

#[test]
fn closed_and_empty_are_told_apart_and_a_closed_ring_can_go_on() {
    let ring = Ring::heap().create().unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    assert_eq!(consumer.try_receive().unwrap_err(), TryReceiveError::Empty);
    let mut producer = ring.producer().unwrap();
    producer.publish(b"1").unwrap();
    producer.close();
    assert!(consumer.try_receive().is_ok());
    assert_eq!(consumer.try_receive().unwrap_err(), TryReceiveError::Closed);
    let mut producer = ring.producer().unwrap();
    assert_eq!(consumer.try_receive().unwrap_err(), TryReceiveError::Empty);
    producer.publish(b"2").unwrap();
    assert_eq!(consumer.try_receive().unwrap().sequence(), 1);
    producer.detach();
    assert_eq!(consumer.try_receive().unwrap_err(), TryReceiveError::Empty);
}

#[test]
fn a_panicking_producer_leaves_as_by_a_crash() {
    let ring = Ring::heap().create().unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    let other = ring.clone();
    let panicked = std::thread::spawn(move || {
        let mut producer = other.producer().unwrap();
        producer.publish(b"last words").unwrap();
        std::panic::panic_any("on purpose");
    });
    assert!(panicked.join().is_err());
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"last words");
    let gone = consumer.receive().map(|_| ());
    assert_eq!(gone, Err(ReceiveError::ProducerGone { next: 1 }));
}

#[test]
fn a_wait_set_finds_messages_ends_and_deadlines_and_takes_turns() {
    let rings: Vec<Ring> = (0..3).map(|_| Ring::heap().create().unwrap()).collect();
    let mut producers: Vec<_> = rings.iter().map(|ring| ring.producer().unwrap()).collect();
    let mut first = rings[0].consumer(Start::Latest).unwrap();
    let mut second = rings[1].observer(Start::Latest).unwrap();
    let mut third = rings[2].consumer(Start::Latest).unwrap();
    let mut set = WaitSet::new();
    assert_eq!(
        set.wait(&mut [&mut first, &mut second, &mut third], SHORT),
        None
    );
    assert_eq!(set.wait(&mut [], SHORT), None);
    assert_eq!(set.wait(&mut [], Deadline::NEVER), None);

    // While this thread sleeps, another publishes into each in turn.
    let publisher = std::thread::spawn(move || {
        for n in [2, 0, 1] {
            std::thread::sleep(SHORT);
            producers[n].publish(b"x").unwrap();
        }
        producers
    });
    for expected in [2, 0, 1] {
        let found = set.wait(&mut [&mut first, &mut second, &mut third], Deadline::NEVER);
        assert_eq!(found, Some(expected));
        match expected {
            0 => drop(first.try_receive().unwrap()),
            1 => drop(second.try_receive().unwrap()),
            _ => drop(third.try_receive().unwrap()),
        }
    }
    let mut producers = publisher.join().unwrap();

    // Two that are always ready share the turns.
    let mut turns = [0; 3];
    for _ in 0..10 {
        producers[0].publish(b"x").unwrap();
        producers[2].publish(b"x").unwrap();
        let at = set
            .wait(&mut [&mut first, &mut second, &mut third], Deadline::NEVER)
            .unwrap();
        turns[at] += 1;
    }
    assert_eq!(turns, [5, 0, 5]);
    drop(producers);
    while first.try_receive().is_ok() {}
    while third.try_receive().is_ok() {}
    assert!(
        set.wait(&mut [&mut first, &mut third], Deadline::NEVER)
            .is_some(),
        "the end"
    );
}

#[test]
fn a_set_of_spinners_still_waits() {
    let ring = Ring::heap().create().unwrap();
    let mut producer = ring.producer().unwrap();
    let options = ConsumerOptions::new().strategy(Strategy::Spin);
    let mut consumer = ring.consumer_with(Start::Latest, options).unwrap();
    let mut set = WaitSet::with_spin(Duration::ZERO);
    assert_eq!(set.wait(&mut [&mut consumer], SHORT), None);
    let publisher = std::thread::spawn(move || {
        std::thread::sleep(SHORT);
        producer.publish(b"x").unwrap();
        producer
    });
    assert_eq!(set.wait(&mut [&mut consumer], Deadline::NEVER), Some(0));
    publisher.join().unwrap();
}
