//! Waiting in one process: deadlines, wait sets, ends.

use slipring::{
    endpoint::{
        AttachError, Conflation, PublishError, ReadersError, ReceiveError, Source, TryReceiveError,
    },
    sync::Ordering::Relaxed,
    typed::{TypedConsumer, TypedObserver, TypedReceived},
    Consumer, ConsumerOptions, Deadline, Observer, ObserverOptions, Plain, Producer,
    ProducerOptions, Received, Ring, Start, Strategy, WaitSet,
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
fn what_leaves_the_fence_to_sleepers_makes_none() {
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

    // While this thread sleeps, another publishes into each in turn: the next once this thread has what the last one sent,
    // as the set chooses where there is something in two.
    let (ask, asked) = std::sync::mpsc::channel();
    let publisher = std::thread::spawn(move || {
        for n in [2, 0, 1] {
            asked.recv().unwrap();
            std::thread::sleep(SHORT);
            producers[n].publish(b"x").unwrap();
        }
        producers
    });
    for expected in [2, 0, 1] {
        ask.send(()).unwrap();
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

slipring::message! {
    /// A number.
    pub struct Number {
        /// It.
        pub number: u64
    }
}

/// Leaves a ring as a crash does: nothing is said, and the lock is free.
fn crash(producer: Producer) {
    let crashed = std::thread::spawn(move || {
        let _producer = producer;
        std::panic::resume_unwind(Box::new("a crash"));
    });
    assert!(crashed.join().is_err());
}

/// Long enough for anything on a loaded machine; ends what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

type Key = fn(&[u8]) -> u8;

/// Every kind of reader.
enum Any {
    Consumer(Consumer),
    Observer(Observer),
    Typed(TypedConsumer<Number>),
    TypedObserver(TypedObserver<Number>),
    ConflatedConsumer(slipring::endpoint::Conflated<Consumer, u8, Key>),
    ConflatedObserver(slipring::endpoint::Conflated<Observer, u8, Key>),
}

/// What it said: a message, that the producer closed the ring, or something else.
#[derive(Debug, PartialEq)]
enum Said {
    Message,
    Closed,
    Waiting(ReceiveError),
    Trying(TryReceiveError),
}

impl Any {
    fn all(ring: &Ring) -> Vec<Self> {
        let typed = ring.typed::<Number>().unwrap();
        let key: Key = |message| message[0];
        let consumer = || ring.consumer(Start::Oldest).unwrap();
        let observer = || ring.observer(Start::Oldest).unwrap();
        vec![
            Self::Consumer(consumer()),
            Self::Observer(observer()),
            Self::Typed(typed.consumer(Start::Oldest).unwrap()),
            Self::TypedObserver(typed.observer(Start::Oldest).unwrap()),
            Self::ConflatedConsumer(consumer().conflated(key)),
            Self::ConflatedObserver(observer().conflated(key)),
        ]
    }

    fn receive_until(&mut self, deadline: Deadline) -> Said {
        let said = match self {
            Self::Consumer(reader) => reader.receive_until(deadline).map(|m| m.is_some()),
            Self::Typed(reader) => reader.receive_until(deadline).map(|m| m.is_some()),
            Self::Observer(reader) => reader
                .receive_until(deadline)
                .map(|received| matches!(received, Received::Message(_))),
            Self::TypedObserver(reader) => reader
                .receive_until(deadline)
                .map(|received| matches!(received, TypedReceived::Message(..))),
            Self::ConflatedConsumer(reader) => reader
                .receive_until(deadline)
                .map(|received| matches!(received, Conflation::Message(_))),
            Self::ConflatedObserver(reader) => reader
                .receive_until(deadline)
                .map(|received| matches!(received, Conflation::Message(_))),
        };
        match said {
            Ok(true) => Said::Message,
            Ok(false) => Said::Closed,
            Err(error) => Said::Waiting(error),
        }
    }

    fn try_receive(&mut self) -> Said {
        let said = match self {
            Self::Consumer(reader) => reader.try_receive().map(|_| true),
            Self::Typed(reader) => reader.try_receive().map(|_| true),
            Self::Observer(reader) => reader
                .try_receive()
                .map(|received| matches!(received, Received::Message(_))),
            Self::TypedObserver(reader) => reader
                .try_receive()
                .map(|received| matches!(received, TypedReceived::Message(..))),
            Self::ConflatedConsumer(reader) => reader
                .try_receive()
                .map(|received| matches!(received, Conflation::Message(_))),
            Self::ConflatedObserver(reader) => reader
                .try_receive()
                .map(|received| matches!(received, Conflation::Message(_))),
        };
        match said {
            Ok(true) => Said::Message,
            Ok(false) | Err(TryReceiveError::Closed) => Said::Closed,
            Err(error) => Said::Trying(error),
        }
    }
}

fn numbers() -> Ring {
    Ring::heap().schema(Number::schema()).create().unwrap()
}

/// A caller that never waits is told of a dead producer too, behind the messages that are there; and of the
/// next producer.
#[test]
fn a_reader_that_only_polls_learns_of_a_death() {
    let ring = numbers();
    let mut all = Any::all(&ring);
    for n in 0..3u64 {
        let mut producer = ring.producer().unwrap();
        for reader in &mut all {
            assert_eq!(reader.try_receive(), Said::Trying(TryReceiveError::Empty));
        }
        producer.publish(&n.to_le_bytes()).unwrap();
        crash(producer);
        for reader in &mut all {
            assert_eq!(reader.try_receive(), Said::Message);
            let gone = Said::Trying(TryReceiveError::ProducerGone { next: n + 1 });
            let started = Instant::now();
            while reader.try_receive() != gone {
                assert!(started.elapsed() < PATIENCE, "never told");
            }
            // It stays so, without a question each time.
            for _ in 0..100 {
                assert_eq!(reader.try_receive(), gone);
            }
        }
    }
}

/// A deadline does not pass without one question.
#[test]
fn a_wait_of_no_time_learns_of_a_death_at_once() {
    let ring = numbers();
    let mut all = Any::all(&ring);
    let producer = ring.producer().unwrap();
    let now = || Deadline::after(Duration::ZERO);
    for reader in &mut all {
        let nothing = Said::Waiting(ReceiveError::TimedOut);
        assert_eq!(reader.receive_until(now()), nothing);
    }
    crash(producer);
    for reader in &mut all {
        let gone = Said::Waiting(ReceiveError::ProducerGone { next: 0 });
        assert_eq!(reader.receive_until(now()), gone);
        assert_eq!(reader.receive_until(now()), gone);
    }
}

/// The end is told at once; then a wait takes its time, until the next producer publishes.
#[test]
fn a_reader_behind_the_end_sleeps_until_the_next_producer() {
    let ring = numbers();
    let mut all = Any::all(&ring);
    for _ in 0..2 {
        ring.producer().unwrap().close();
        for reader in &mut all {
            // Told at once, however long the caller would wait.
            assert_eq!(reader.receive_until(Deadline::NEVER), Said::Closed);
            for wait in [Duration::ZERO, SHORT] {
                let started = Instant::now();
                assert_eq!(reader.receive_until(wait.into()), Said::Closed);
                assert!(started.elapsed() >= wait);
            }
            assert_eq!(reader.try_receive(), Said::Closed);
        }
    }
    let other = ring.clone();
    std::thread::scope(|scope| {
        let waiting = all.iter_mut().map(|reader| {
            scope.spawn(|| assert_eq!(reader.receive_until(PATIENCE.into()), Said::Message))
        });
        let waiting: Vec<_> = waiting.collect();
        std::thread::sleep(SHORT);
        let mut producer = other.producer().unwrap();
        std::thread::sleep(SHORT);
        producer.publish(&[0; 8]).unwrap();
        producer.close();
        for reader in waiting {
            reader.join().unwrap();
        }
    });
}

#[test]
fn a_wait_set_reports_each_death_once_however_busy_it_is() {
    for spin in [Duration::ZERO, Duration::from_micros(20)] {
        let rings: Vec<Ring> = (0..4).map(|_| Ring::heap().create().unwrap()).collect();
        let mut busy = rings[0].producer().unwrap();
        let mut from_busy = rings[0].consumer(Start::Latest).unwrap();
        let mut dying: Vec<Producer> = rings[1..].iter().map(|r| r.producer().unwrap()).collect();
        let mut first = rings[1].consumer(Start::Latest).unwrap();
        let mut second = rings[2].observer(Start::Latest).unwrap();
        let mut third = rings[3].consumer(Start::Latest).unwrap();
        // The third one has a message to read first.
        dying[2].publish(b"last words").unwrap();
        dying.into_iter().for_each(crash);
        let mut set = WaitSet::with_spin(spin);
        let (mut reported, started) = ([0u32; 4], Instant::now());
        let mut told = 0;
        let mut turns_after = 0;
        while turns_after < 200 {
            assert!(started.elapsed() < PATIENCE, "{reported:?}");
            busy.publish(b"x").unwrap();
            let mut sources: [&mut dyn slipring::endpoint::Source; 4] =
                [&mut from_busy, &mut first, &mut second, &mut third];
            let at = set.wait(&mut sources, PATIENCE).unwrap();
            reported[at] += 1;
            let next = match at {
                0 => {
                    while from_busy.try_receive().is_ok() {}
                    None
                }
                1 => first.try_receive().err(),
                2 => second.try_receive().err(),
                _ => third.try_receive().err(),
            };
            // What the set reported, the next call says.
            if at > 0 {
                match next {
                    Some(TryReceiveError::ProducerGone { .. }) => told += 1,
                    None => assert_eq!((at, reported[3]), (3, 1)),
                    other => panic!("{other:?} from {at}"),
                }
            }
            turns_after += u32::from(told == 3);
        }
        assert_eq!(reported[1..], [1, 1, 2], "with {spin:?}");
    }
}

#[test]
fn a_wait_set_reports_each_closing_once() {
    let rings = [(); 2].map(|()| Ring::heap().create().unwrap());
    let mut quiet = rings[0].producer().unwrap();
    let mut first = rings[0].consumer(Start::Latest).unwrap();
    let mut second = rings[1].observer(Start::Latest).unwrap();
    let mut set = WaitSet::new();
    for round in 0..3 {
        let mut producer = rings[1].producer().unwrap();
        if round > 0 {
            producer.publish(b"x").unwrap();
        }
        producer.close();
        if round > 0 {
            assert_eq!(set.wait(&mut [&mut first, &mut second], PATIENCE), Some(1));
            assert!(matches!(second.try_receive(), Ok(Received::Message(_))));
        }
        assert_eq!(set.wait(&mut [&mut first, &mut second], PATIENCE), Some(1));
        // It stays in the list, and sleeps.
        let started = Instant::now();
        assert_eq!(set.wait(&mut [&mut first, &mut second], SHORT), None);
        assert!(started.elapsed() >= SHORT);
        assert!(matches!(second.try_receive(), Err(TryReceiveError::Closed)));
        quiet.publish(b"y").unwrap();
        assert_eq!(set.wait(&mut [&mut first, &mut second], PATIENCE), Some(0));
        drop(first.try_receive().unwrap());
    }
}

#[test]
fn a_producer_is_waited_for_and_a_dead_one_is_none() {
    for strategy in STRATEGIES {
        let ring = Ring::heap().create().unwrap();
        let options = ConsumerOptions::new().strategy(strategy);
        let mut consumer = ring.consumer_with(Start::Latest, options).unwrap();
        let options = ObserverOptions::new().strategy(strategy);
        let mut observer = ring.observer_with(Start::Latest, options).unwrap();
        // None has come; one has closed the ring; one has died; one has left.
        for round in 0..4 {
            match round {
                0 => {}
                1 => ring.producer().unwrap().close(),
                2 => crash(ring.producer().unwrap()),
                _ => ring.producer().unwrap().detach(),
            }
            let late = Err(ReceiveError::TimedOut);
            for wait in [Duration::ZERO, Duration::from_millis(2)] {
                assert_eq!(ring.wait_for_producer(wait), late, "{round} {strategy:?}");
                assert_eq!(consumer.wait_for_producer(wait), late);
                assert_eq!(observer.wait_for_producer(wait), late);
            }
        }
        std::thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| ring.wait_for_producer(PATIENCE)),
                scope.spawn(|| consumer.wait_for_producer(Deadline::NEVER)),
                scope.spawn(|| observer.wait_for_producer(PATIENCE)),
            ];
            std::thread::sleep(SHORT);
            let mut producer = ring.producer().unwrap();
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), Ok(()));
            }
            assert_eq!(ring.wait_for_producer(Duration::ZERO), Ok(()));
            producer.publish(b"x").unwrap();
        });
        // What there is to receive needs no producer.
        assert_eq!(consumer.wait_for_producer(Duration::ZERO), Ok(()));
        assert_eq!(observer.wait_for_producer(Duration::ZERO), Ok(()));
    }
}

/// Between the end that a reader was told of and its wait another producer came and went.
#[test]
fn no_producer_is_missed_between_an_end_and_the_wait_for_the_next() {
    for died in [false, true] {
        let ring = numbers();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        let mut observer = ring.observer(Start::Oldest).unwrap();
        let late = Err(ReceiveError::TimedOut);
        let first = ring.producer().unwrap();
        let told = |consumer: &mut Consumer, observer: &mut Observer| {
            let told = consumer.receive().map(|message| message.is_none());
            let gone = matches!(told, Err(ReceiveError::ProducerGone { .. }));
            assert!(told == Ok(true) || gone, "{told:?}");
            let told = observer.receive();
            let closed = matches!(told, Ok(Received::Closed));
            let gone = matches!(told, Err(ReceiveError::ProducerGone { .. }));
            assert!(closed || gone, "{told:?}");
        };
        if died {
            crash(first);
        } else {
            first.close();
        }
        told(&mut consumer, &mut observer);
        assert_eq!(consumer.wait_for_producer(Duration::ZERO), late);
        assert_eq!(observer.wait_for_producer(Duration::ZERO), late);
        ring.producer().unwrap().close();
        assert_eq!(consumer.wait_for_producer(PATIENCE), Ok(()));
        assert_eq!(observer.wait_for_producer(PATIENCE), Ok(()));
        // It had nothing to say, and its end is told as well.
        told(&mut consumer, &mut observer);
        assert_eq!(consumer.wait_for_producer(Duration::ZERO), late);
        assert_eq!(observer.wait_for_producer(Duration::ZERO), late);
    }
}

/// Producers come and go as they like; a reader that waits for the next after each end gets everything.
#[test]
fn a_reader_outlives_its_producers() {
    const PRODUCERS: u64 = 60;
    let ring = numbers();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..PRODUCERS {
                let mut producer = ring.producer().unwrap();
                for _ in 0..number % 4 {
                    producer.publish(&number.to_le_bytes()).unwrap();
                }
                match number % 3 {
                    0 => producer.close(),
                    1 => producer.detach(),
                    _ => crash(producer),
                }
                std::thread::sleep(Duration::from_micros(number * 97 % 400));
            }
            let mut producer = ring.producer().unwrap();
            producer.publish(&u64::MAX.to_le_bytes()).unwrap();
        });
        let mut got = 0;
        loop {
            let over = match consumer.receive_until(PATIENCE) {
                Ok(Some(message)) if message[..] == u64::MAX.to_le_bytes() => break,
                Ok(Some(_)) => {
                    got += 1;
                    false
                }
                Ok(None) | Err(ReceiveError::ProducerGone { .. }) => true,
                Err(error) => panic!("{error}"),
            };
            if over {
                consumer.wait_for_producer(PATIENCE).unwrap();
            }
        }
        assert_eq!(got, (0..PRODUCERS).map(|number| number % 4).sum::<u64>());
    });
}

#[test]
fn readers_are_waited_for_and_counted() {
    for rows in [1, 2, 7, 64] {
        for strategy in STRATEGIES {
            let builder = Ring::heap().capacity_bytes(4096).max_readers(rows);
            let ring = builder.create().unwrap();
            let options = ProducerOptions::new().strategy(strategy);
            let mut producer = ring.producer_with(options).unwrap();
            let too_many = ReadersError::TooMany {
                wanted: rows + 1,
                rows,
            };
            let more = ring.wait_for_readers(rows + 1, PATIENCE);
            assert_eq!(more, Err(too_many.clone()));
            assert_eq!(producer.wait_for_readers(rows + 1, PATIENCE), Err(too_many));
            assert_eq!(ring.wait_for_readers(0, Duration::ZERO), Ok(0));
            let mut consumers = Vec::new();
            let mut observers = Vec::new();
            for readers in 0..rows {
                let timed_out = ReadersError::TimedOut {
                    readers,
                    wanted: readers + 1,
                };
                let waited = ring.wait_for_readers(readers + 1, Duration::ZERO);
                assert_eq!(waited, Err(timed_out.clone()));
                let waited = producer.wait_for_readers(readers + 1, Duration::ZERO);
                assert_eq!(waited, Err(timed_out));
                // One that spins holds no row.
                let options = ObserverOptions::new().strategy(Strategy::Spin);
                let _spinning = ring.observer_with(Start::Latest, options).unwrap();
                std::thread::scope(|scope| {
                    let waiting = scope.spawn(|| producer.wait_for_readers(readers + 1, PATIENCE));
                    if readers % 2 == 0 {
                        consumers.push(ring.consumer(Start::Latest).unwrap());
                    } else {
                        observers.push(ring.observer(Start::Latest).unwrap());
                    }
                    assert_eq!(waiting.join().unwrap(), Ok(readers + 1));
                });
                for enough in 0..=readers + 1 {
                    let waited = ring.wait_for_readers(enough, Duration::ZERO);
                    assert_eq!(waited, Ok(readers + 1));
                }
            }
            drop(consumers);
            let left = rows / 2;
            assert_eq!(ring.wait_for_readers(left, Duration::ZERO), Ok(left));
        }
    }
}

/// Not left to the end of a sleep, which would find it later.
#[test]
fn a_reader_that_attaches_wakes_what_waits_for_readers() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let producer = ring.producer().unwrap();
    let consumer = ring.consumer(Start::Latest).unwrap();
    let memory = Source::memory(&consumer, Default::default()).clone();
    let word = || memory.control().unwrap().space.word.load(Relaxed);
    let before = word();
    let _other = ring.consumer(Start::Latest).unwrap();
    assert_ne!(word(), before, "a consumer");
    let before = word();
    let _observer = ring.observer(Start::Latest).unwrap();
    assert_ne!(word(), before, "an observer");
    drop(producer);
}

#[test]
fn waiting_for_readers_ends_when_the_ring_is_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("ring");
    let ring = Ring::builder(&path).create().unwrap();
    let mut producer = ring.producer().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| producer.wait_for_readers(1, PATIENCE));
        std::thread::sleep(SHORT);
        slipring::registry::remove_at(&path, true).unwrap();
        assert_eq!(waiting.join().unwrap(), Err(ReadersError::Removed));
    });
    let waited = ring.wait_for_readers(1, PATIENCE);
    assert_eq!(waited, Err(ReadersError::Removed));
}

#[test]
fn a_ring_is_waited_for() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    // Neither the ring nor its directory is there yet.
    let path = directory.path().join("later").join("ring");
    let late = Ring::open_until(&path, SHORT).unwrap_err();
    assert!(
        matches!(late, slipring::place::OpenError::NotFound { .. }),
        "{late}"
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Ring::open_until(&path, PATIENCE));
        std::thread::sleep(SHORT);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::thread::sleep(SHORT);
        let made = Ring::builder(&path).create().unwrap();
        let opened = waiting.join().unwrap().unwrap();
        assert_eq!(opened.id(), made.id());
    });
    // Anything else than that it is not there is said at once.
    let file = directory.path().join("file");
    std::fs::write(&file, "no ring").unwrap();
    let error = Ring::open_until(&file, Deadline::NEVER).unwrap_err();
    assert!(
        !matches!(error, slipring::place::OpenError::NotFound { .. }),
        "{error}"
    );
}

/// An observer that reads and never waits says nothing of its place: it does not look as if it were at the
/// beginning.
#[test]
fn the_place_of_an_observer_is_known_only_where_it_waits() {
    let ring = Ring::heap().create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let place = |reader: usize| ring.status().unwrap().readers[reader].next_sequence;
    let row = consumer.row() as usize;
    assert_eq!((place(1 - row), place(row)), (Some(0), Some(0)));
    for n in 1..=100 {
        producer.publish(b"x").unwrap();
        assert!(matches!(observer.try_receive(), Ok(Received::Message(_))));
        drop(consumer.try_receive().unwrap());
        assert_eq!((place(1 - row), place(row)), (None, Some(n)));
    }
    let late = observer.receive_until(Duration::from_millis(1)).map(|_| ());
    assert_eq!(late, Err(ReceiveError::TimedOut));
    assert_eq!(place(1 - row), Some(100));
}
