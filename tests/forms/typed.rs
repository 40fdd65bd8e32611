//! Rings of one message type: what is acknowledged when, and bytes that do not fit the schema.

use slipring::{
    endpoint::{PublishError, ReceiveError, TryPublishError, TryReceiveError},
    typed::TypedReceived,
    ConsumerOptions, Plain, Ring, Start, Strategy,
};
use std::path::Path;
use std::time::Duration;
use testing::{say, text, Peer, Scratch, PATIENCE};

slipring::message! {
    /// Something to do.
    pub struct Job {
        /// Which.
        pub number: u64,
        /// How much.
        pub size: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(worker; [
    a_job_that_was_being_worked_on_comes_again,
    bytes_that_do_not_fit_are_refused,
    bytes_that_do_not_fit_are_passed_over,
    every_form_of_a_reader_numbers_its_messages,
]);

/// Says which job it works on, and finishes as many as it is told to.
fn worker(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ring = Ring::open(Path::new(&arguments[0])).unwrap();
    let finished: u32 = arguments[1].parse().unwrap();
    let options = ConsumerOptions::new().strategy(Strategy::Park);
    let jobs = ring.typed::<Job>().unwrap();
    let mut jobs = jobs
        .durable_consumer_with("worker", Start::Oldest, options)
        .unwrap();
    say("ready");
    for done in 0.. {
        let job = match role {
            "waits" => jobs.receive_until(PATIENCE).unwrap().unwrap(),
            _ => jobs.try_receive().unwrap(),
        };
        assert_eq!(job.sequence(), job.number);
        say(&job.number.to_string());
        if done == finished {
            // In the middle of it.
            loop {
                std::thread::park();
            }
        }
    }
}

/// The next process begins with the unfinished job, by every way of receiving.
fn a_job_that_was_being_worked_on_comes_again() {
    for role in ["waits", "polls"] {
        let scratch = Scratch::new();
        let ring = Ring::builder(scratch.ring());
        let ring = ring.schema(Job::schema()).create().unwrap();
        let mut producer = ring.typed::<Job>().unwrap().producer().unwrap();
        for number in 0..20 {
            producer.publish(&Job { number, size: 1 }).unwrap();
        }
        let mut next = 0;
        for finished in [0, 0, 3, 1, 0] {
            let path = scratch.ring();
            let mut worker = Peer::start(role, &[text(&path), &finished.to_string()]);
            for number in next..=next + finished {
                assert_eq!(worker.line(), number.to_string(), "{role}");
            }
            worker.kill();
            next += finished;
        }
    }
}

/// In a ring with a schema every way to publish takes messages of its size and no others.
fn bytes_that_do_not_fit_are_refused() {
    for stamps in [false, true] {
        let ring = Ring::heap().schema(Job::schema()).stamps(stamps);
        let ring = ring.create().unwrap();
        let mut consumer = ring
            .typed::<Job>()
            .unwrap()
            .consumer(Start::Oldest)
            .unwrap();
        let mut producer = ring.producer().unwrap();
        for len in [0, 1, 15, 17, 32, 100_000] {
            let bytes = vec![1; len];
            let wrong = PublishError::WrongSize { len, expected: 16 };
            let try_wrong = TryPublishError::WrongSize { len, expected: 16 };
            assert_eq!(producer.publish(&bytes), Err(wrong));
            assert_eq!(producer.publish_until(&bytes, PATIENCE), Err(wrong));
            assert_eq!(producer.try_publish(&bytes), Err(try_wrong));
            assert_eq!(producer.claim(len).map(|_| ()), Err(wrong));
            assert_eq!(producer.try_claim(len).map(|_| ()), Err(try_wrong));
            let mut batch = producer.batch();
            assert_eq!(batch.push(&bytes), Err(wrong));
            assert_eq!(batch.try_push(&bytes), Err(try_wrong));
            assert!(wrong.to_string().contains("schema"), "{wrong}");
        }
        // Those that fit, by every way.
        let bytes = [7; 16];
        producer.publish(&bytes).unwrap();
        producer.try_publish(&bytes).unwrap();
        let mut claim = producer.claim(16).unwrap();
        claim.copy_from_slice(&bytes);
        // Less than a message cannot be published of it.
        claim.commit_first(3);
        let mut batch = producer.batch();
        batch.push(&bytes).unwrap();
        batch.try_push(&bytes).unwrap();
        batch.commit();
        for number in 0..5 {
            let job = consumer.try_receive().unwrap();
            assert_eq!((job.sequence(), job.size), (number, 0x0707_0707_0707_0707));
        }
    }
    // Without a schema anything goes.
    let mut producer = Ring::heap().create().unwrap().producer().unwrap();
    producer.publish(b"text").unwrap();
}

/// A producer that does not keep to the schema of its ring costs typed readers those messages, and no
/// others.
fn bytes_that_do_not_fit_are_passed_over() {
    let ring = Ring::heap().schema(Job::schema()).create().unwrap();
    let jobs = ring.typed::<Job>().unwrap();
    let mut consumer = jobs.consumer(Start::Oldest).unwrap();
    let mut observer = jobs.observer(Start::Oldest).unwrap();
    {
        // One that does not look at the schema: the protocol without the handle.
        let memory =
            slipring::endpoint::Source::memory(consumer.inner(), Default::default()).clone();
        let mut producer = slipring::ring::producer::Producer::attach(memory, 1).unwrap();
        for len in [16, 4, 16, 0, 17, 16] {
            producer.try_publish(&vec![0; len]).unwrap();
        }
        producer.leave(true);
    }
    let expected = 16;
    for (sequence, len) in (0u64..).zip([16u32, 4, 16, 0, 17, 16]) {
        let fits = len == 16;
        let waiting = ReceiveError::WrongSize {
            sequence,
            len,
            expected,
        };
        if sequence % 2 == 0 {
            let received = consumer
                .receive_until(PATIENCE)
                .map(|job| job.unwrap().sequence());
            assert_eq!(received, if fits { Ok(sequence) } else { Err(waiting) });
            let received = observer.try_receive();
            match received {
                Ok(TypedReceived::Message(_, at)) => assert_eq!((at, fits), (sequence, true)),
                Err(error) => assert_eq!((error.code(), fits), (waiting.code(), false)),
                other => panic!("{other:?}"),
            }
        } else {
            let trying = TryReceiveError::WrongSize {
                sequence,
                len,
                expected,
            };
            let received = consumer.try_receive().map(|job| job.sequence());
            assert_eq!(received, if fits { Ok(sequence) } else { Err(trying) });
            match observer.receive_until(PATIENCE) {
                Ok(TypedReceived::Message(_, at)) => assert_eq!((at, fits), (sequence, true)),
                Err(error) => assert_eq!((error, fits), (waiting, false)),
                other => panic!("{other:?}"),
            }
            assert!(trying.to_string().contains("can be received"));
        }
    }
    assert!(consumer.receive().unwrap().is_none());
}

fn every_form_of_a_reader_numbers_its_messages() {
    let ring = Ring::heap().schema(Job::schema()).create().unwrap();
    let jobs = ring.typed::<Job>().unwrap();
    let mut producer = jobs.producer().unwrap();
    let mut consumer = jobs.durable_consumer("numbers", Start::Oldest).unwrap();
    for number in 0..10 {
        let job = Job { number, size: 2 };
        assert_eq!(producer.publish_until(&job, PATIENCE), Ok(number));
        assert_eq!(consumer.next_sequence(), number);
        let received = consumer.receive_until(Duration::ZERO).unwrap().unwrap();
        assert_eq!((received.sequence(), *received), (number, job));
        assert_eq!(received.into_value(), job);
    }
}
