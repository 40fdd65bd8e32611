//! Losses of consumers, as values: the ordinary loop goes on, and what was received and what is missing are together
//! exactly what was published, by whichever way a consumer reads.

use slipring::endpoint::{Conflation, TryReceiveError};
use slipring::{Consumer, Plain, Producer, Ring, Start};
use std::time::Duration;
use testing::books::Random;
use testing::{check, payload};

slipring::message! {
    /// A message that says which one it is.
    pub struct Numbered {
        /// Its number.
        pub number: u64,
    }
}

/// One that goes on without a consumer that is in the way at all.
fn ring(capacity: u64) -> Ring {
    let builder = Ring::heap().capacity_bytes(capacity);
    builder
        .evict_after(Duration::from_nanos(1))
        .create()
        .unwrap()
}

/// Rounds, each of a burst of the producer and a few calls of the consumer: bursts from none to several laps. Returns how
/// many messages were published. No more rounds than a consumer may be evicted in a row.
fn rounds(
    mut publish: impl FnMut(u64),
    mut call: impl FnMut(&mut Random),
    random: &mut Random,
) -> u64 {
    let mut published = 0;
    for _ in 0..15 {
        let burst = match random.below(4) {
            0 => 0,
            1 => 1 + random.below(10),
            2 => random.below(100),
            _ => random.below(2000),
        };
        for _ in 0..burst {
            publish(published);
            published += 1;
        }
        for _ in 0..random.below(60) {
            call(random);
        }
    }
    published
}

fn publish(producer: &mut Producer, number: u64) {
    let len = (number * 31 % 200) as usize;
    producer.publish(&payload(number, len)).unwrap();
}

fn drawn(seed: u64) -> Random {
    Random::seeded((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What a reader has accounted for.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    received: u64,
    missed: u64,
}

impl Account {
    fn next(&self) -> u64 {
        self.received + self.missed
    }

    fn add(&mut self, sequence: u64, missed: u64) {
        self.missed += missed;
        assert_eq!(sequence, self.next(), "{missed} missed");
        self.received += 1;
    }

    /// Of a consumer that has read everything: what no message followed is in its losses.
    fn close(self, consumer: &Consumer, published: u64) -> u64 {
        let untold = consumer.losses().evicted - self.missed;
        assert_eq!(self.next() + untold, published);
        assert_eq!(consumer.losses().total(), self.missed + untold);
        self.missed
    }
}

const CAPACITIES: [u64; 2] = [4096, 1 << 15];

#[test]
fn the_ordinary_loop_goes_on_after_evictions() {
    for capacity in CAPACITIES {
        let ring = ring(capacity);
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        let mut account = Account::default();
        let mut published = 0;
        let mut evictions = 0;
        for _ in 0..8 {
            for _ in 0..3000 {
                publish(&mut producer, published);
                published += 1;
            }
            while let Ok(message) = consumer.try_receive() {
                evictions += u64::from(message.missed() > 0);
                account.add(message.sequence(), message.missed());
                check(&message, message.sequence());
            }
        }
        for _ in 0..3000 {
            publish(&mut producer, published);
            published += 1;
        }
        producer.close();
        while let Some(message) = consumer.receive().unwrap() {
            evictions += u64::from(message.missed() > 0);
            account.add(message.sequence(), message.missed());
            check(&message, message.sequence());
        }
        assert_eq!(evictions, 9);
        assert!(account.close(&consumer, published) > 0);
    }
}

#[test]
fn single_messages_and_batches_add_up() {
    let mut missed = 0;
    for seed in 0..100 {
        let mut random = drawn(seed);
        let ring = ring(CAPACITIES[seed as usize % 2]);
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        let mut account = Account::default();
        let call = |random: &mut Random| {
            let ended = match random.below(3) {
                0 => match consumer.try_receive() {
                    Ok(message) => {
                        account.add(message.sequence(), message.missed());
                        check(&message, message.sequence());
                        None
                    }
                    Err(error) => Some(error),
                },
                1 => match consumer.try_receive_batch(random.below(20) as usize) {
                    Ok(mut batch) => {
                        // Sometimes nothing of it is looked at.
                        let look = [0, 3, 20][random.below(3) as usize];
                        for _ in 0..look {
                            let Some(message) = batch.next() else { break };
                            account.add(message.sequence(), message.missed());
                            check(&message, message.sequence());
                        }
                        None
                    }
                    Err(error) => Some(error),
                },
                _ => match consumer.receive_until(Duration::ZERO) {
                    Ok(Some(message)) => {
                        account.add(message.sequence(), message.missed());
                        check(&message, message.sequence());
                        None
                    }
                    Ok(None) => panic!("closed"),
                    Err(error) => {
                        let none = error == slipring::endpoint::ReceiveError::TimedOut;
                        assert!(none, "{error}");
                        None
                    }
                },
            };
            let none = |error| matches!(error, TryReceiveError::Empty);
            assert!(ended.is_none_or(none), "{ended:?}");
        };
        let published = rounds(|n| publish(&mut producer, n), call, &mut random);
        producer.close();
        while let Some(message) = consumer.receive().unwrap() {
            account.add(message.sequence(), message.missed());
        }
        missed += account.close(&consumer, published);
    }
    assert!(missed > 0);
}

#[test]
fn typed_messages_add_up() {
    let mut missed = 0;
    for seed in 0..50 {
        let mut random = drawn(seed);
        let builder = Ring::heap().capacity_bytes(4096).schema(Numbered::schema());
        let ring = builder
            .evict_after(Duration::from_nanos(1))
            .create()
            .unwrap();
        let ring = ring.typed::<Numbered>().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        let mut account = Account::default();
        let call = |_: &mut Random| match consumer.try_receive() {
            Ok(message) => {
                account.add(message.number, message.missed());
                assert_eq!(message.number, message.sequence());
            }
            Err(error) => assert_eq!(error, TryReceiveError::Empty),
        };
        let published = rounds(
            |number| assert_eq!(producer.publish(&Numbered { number }), Ok(number)),
            call,
            &mut random,
        );
        producer.close();
        while let Some(message) = consumer.receive().unwrap() {
            account.add(message.number, message.missed());
        }
        assert_eq!(consumer.losses().evicted, consumer.inner().losses().total());
        missed += account.close(consumer.inner(), published);
    }
    assert!(missed > 0);
}

#[test]
fn conflated_messages_add_up() {
    for seed in 0..100 {
        let mut random = drawn(seed);
        let ring = ring(4096);
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        // Some are lost before it is conflated: told or not yet.
        let mut before = Account::default();
        for n in 0..1000 {
            publish(&mut producer, n);
        }
        if seed % 2 == 0 {
            let message = consumer.try_receive().unwrap();
            before.add(message.sequence(), message.missed());
        }
        let keys = 1 + random.below(5);
        let mut reader = consumer.conflated(|message: &[u8]| message.len() as u64 % keys);
        let mut missed = 0;
        let mut last = None;
        let mut see = |found: Conflation<'_>| match found {
            Conflation::Message(message) => {
                assert!(last.is_none_or(|last| last < message.sequence()));
                last = Some(message.sequence());
                missed += message.missed();
            }
            other => panic!("{other:?}"),
        };
        let call = |_: &mut Random| match reader.try_receive() {
            Ok(found) => see(found),
            Err(error) => assert_eq!(error, TryReceiveError::Empty),
        };
        let publishes = |n| publish(&mut producer, 1000 + n);
        let published = 1000 + rounds(publishes, call, &mut random);
        producer.close();
        loop {
            match reader.receive().unwrap() {
                Conflation::Closed => break,
                found => see(found),
            }
        }
        assert_eq!(reader.waiting(), 0);
        let accounted = reader.handed_out_count() + reader.skipped_count() + reader.lost_count();
        assert_eq!(before.next() + accounted, published);
        let lost = reader.lost_count();
        let untold = reader.into_inner().losses().evicted - before.missed - missed;
        assert_eq!(missed + untold, lost);
        assert!(missed > 0);
    }
}

#[test]
fn durable_cursors_add_up() {
    for seed in 0..20 {
        let mut random = drawn(seed);
        // Also one whose producer waits for consumers that are there.
        let ring = match seed % 2 {
            0 => ring(4096),
            _ => Ring::heap().capacity_bytes(4096).create().unwrap(),
        };
        let mut producer = ring.producer().unwrap();
        let mut account = Account::default();
        let mut published = 0;
        let (mut told, mut losses) = (0, 0);
        for _ in 0..300 {
            let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            // As soon as it is attached it says what was gone by then.
            assert_eq!(
                consumer.next_sequence(),
                account.next() + consumer.losses().evicted
            );
            for _ in 0..random.below(6) {
                match consumer.try_receive() {
                    Ok(message) => {
                        told += u64::from(message.missed() > 0);
                        account.add(message.sequence(), message.missed());
                        check(&message, message.sequence());
                    }
                    Err(error) => assert_eq!(error, TryReceiveError::Empty),
                }
                for _ in 0..random.below(3) {
                    if producer.try_publish(&payload(published, 40)).is_ok() {
                        published += 1;
                    }
                }
            }
            losses += u64::from(consumer.losses().evicted > 0);
            drop(consumer);
            for _ in 0..random.below(200) {
                producer.publish(&payload(published, 40)).unwrap();
                published += 1;
            }
        }
        assert!(told > 10, "{told}");
        // Those that were told with a message, and those that had to be told again.
        assert!(losses >= told, "{losses} {told}");
        let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
        while let Ok(message) = consumer.try_receive() {
            account.add(message.sequence(), message.missed());
        }
        let untold = consumer.next_sequence() - account.next();
        assert_eq!(account.next() + untold, published);
    }
}

/// The index leads to no message of a block whose first one is overwritten; a consumer that holds others of it does.
#[test]
fn a_consumer_may_begin_at_any_message_that_another_holds() {
    let mut before_the_oldest = 0;
    for seed in 0..30 {
        let mut random = drawn(seed);
        let capacity = CAPACITIES[seed as usize % 2];
        let first = if seed % 3 == 0 { u64::MAX - 300 } else { 0 };
        let ring = Ring::heap().capacity_bytes(capacity).first_sequence(first);
        let ring = ring.create().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut holder = ring.consumer(Start::Oldest).unwrap();
        let mut cursor = ring.durable_consumer("kept", Start::Oldest).unwrap();
        let sizes = 8 + random.below(capacity / 8);
        for _ in 0..6 {
            // Until the producer is held back, so that it has looked at the rows.
            let size = |random: &mut Random| random.below(sizes) as usize;
            loop {
                let next = producer.next_sequence();
                if random.below(50) == 0 {
                    producer
                        .skip_to(
                            next.wrapping_add(1 + random.below(9)),
                            slipring::endpoint::Why::from_code(7),
                        )
                        .ok();
                    continue;
                }
                if producer
                    .try_publish(&payload(next, size(&mut random)))
                    .is_err()
                {
                    break;
                }
            }
            let held = holder.next_sequence();
            let end = producer.next_sequence();
            let oldest = ring.status().unwrap().oldest_sequence.unwrap();
            let mut wanted = held;
            while wanted != end {
                before_the_oldest += u64::from((oldest.wrapping_sub(wanted) as i64) > 0);
                let mut begun = ring.consumer(Start::Sequence(wanted)).unwrap();
                let Ok(message) = begun.try_receive() else {
                    // In a gap that no message follows yet.
                    assert_eq!(begun.losses().skipped, end.wrapping_sub(wanted));
                    break;
                };
                let behind = message.sequence().wrapping_sub(wanted);
                assert_eq!(message.missed(), 0);
                assert!(
                    message
                        .gap()
                        .is_some_and(|gap| gap.end == message.sequence())
                        == (behind > 0),
                    "{seed}: {wanted}"
                );
                check(&message, message.sequence());
                drop(message);
                drop(begun);
                let observer = ring.observer(Start::Sequence(wanted)).unwrap();
                drop(observer);
                // Mostly those before the oldest that the index leads to.
                let left = end.wrapping_sub(wanted);
                let step = match (oldest.wrapping_sub(wanted) as i64) > 0 {
                    true => 1,
                    false => 1 + random.below(40),
                };
                wanted = wanted.wrapping_add(step.min(left));
            }
            let read = 1 + random.below(40);
            for _ in 0..read {
                let Ok(message) = holder.try_receive() else {
                    break;
                };
                check(&message, message.sequence());
                drop(message);
                drop(cursor.try_receive());
            }
        }
    }
    assert!(before_the_oldest > 100, "{before_the_oldest}");
}
