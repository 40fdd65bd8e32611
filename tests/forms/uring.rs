//! Descriptors that the kernel makes readable itself: no edge is lost, none comes without a reason, and where the kernel
//! does not watch, the thread does.
#![allow(unsafe_code, reason = "forks")]

use crate::events::{edges, forks, readable, takes_no_wake_up};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use slipring::endpoint::PublishError;
use slipring::events::{Event, Pollable};
use slipring::{Consumer, ConsumerOptions, Deadline, Producer, Ring, Start, Strategy};
use std::task::Poll;
use std::time::Duration;
use testing::books::Random;
use testing::waiter::has_io_uring;
use testing::PATIENCE;

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    no_edge_is_lost,
    a_fork_is_told_and_makes_its_own,
    a_fork_takes_no_wake_up_from_its_parent,
    an_armed_descriptor_is_quiet,
    a_producer_waits_for_room,
    another_thread_is_told_too,
    the_thread_that_armed_may_end,
    what_the_kernel_refuses_is_watched_by_the_thread,
    asking_for_it_while_it_is_armed_loses_nothing,
    a_handle_that_spins_is_not_watched,
    a_forked_child_leaves_it_alone,
]);

fn used<H>(polled: &mut Pollable<H>) {
    if has_io_uring() {
        polled.use_io_uring().unwrap();
    }
}

fn no_edge_is_lost() {
    edges(used);
}

fn a_fork_is_told_and_makes_its_own() {
    forks(used);
}

fn a_fork_takes_no_wake_up_from_its_parent() {
    takes_no_wake_up(used);
}

/// A ring and a handle that sleeps at most once without a reason, and has done so.
fn made() -> (Producer, Pollable<Consumer>) {
    slipring::events::never_look_without_a_reason();
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let producer = ring.producer().unwrap();
    let mut consumer = Pollable::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    assert!(!consumer.arm());
    assert!(readable(&consumer, PATIENCE));
    (producer, consumer)
}

fn now<H>(polled: &Pollable<H>) -> bool {
    readable(polled, Duration::ZERO)
}

/// Receives what there is, until the descriptor is armed.
fn drain(consumer: &mut Pollable<Consumer>) -> usize {
    let mut received = 0;
    loop {
        while let Ok(message) = consumer.try_receive() {
            drop(message);
            received += 1;
        }
        if !consumer.arm() {
            return received;
        }
    }
}

/// Receives the one message that there is, or will be. What was armed before may make the descriptor readable too.
fn receives_one(consumer: &mut Pollable<Consumer>) {
    let mut received = 0;
    while received == 0 {
        assert!(readable(consumer, PATIENCE));
        received = drain(consumer);
    }
    assert_eq!(received, 1);
}

/// However often it is armed, it is readable after a message and not before.
fn an_armed_descriptor_is_quiet() {
    if !has_io_uring() {
        return;
    }
    let (mut producer, mut consumer) = made();
    consumer.use_io_uring().unwrap();
    assert!(!consumer.uses_io_uring());
    let mut random = Random::new();
    for _ in 0..300 {
        for _ in 0..=random.below(20) {
            assert!(!consumer.arm());
            assert!(consumer.uses_io_uring());
            assert!(!now(&consumer));
        }
        let messages = 1 + random.below(5) as usize;
        for _ in 0..messages {
            producer.publish(b"bought").unwrap();
        }
        assert!(readable(&consumer, PATIENCE));
        if random.below(2) == 0 {
            // Found without the descriptor.
            assert!(consumer.arm());
        }
        assert_eq!(drain(&mut consumer), messages);
        assert!(!now(&consumer));
    }
}

/// Waits until an attempt succeeds.
fn until<H: Event, T>(polled: &mut Pollable<H>, mut attempt: impl FnMut(&mut H) -> Poll<T>) -> T {
    loop {
        if let Some(done) = polled.attempt(&mut attempt) {
            return done;
        }
        assert!(readable(polled, PATIENCE));
    }
}

fn a_producer_waits_for_room() {
    slipring::events::never_look_without_a_reason();
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut producer = Pollable::new(ring.producer().unwrap()).unwrap();
    used(&mut producer);
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let receiving = std::thread::spawn(move || {
        for expected in 0..2000u64 {
            let message = consumer.receive().unwrap().unwrap();
            assert_eq!(*message, expected.to_le_bytes());
        }
    });
    for number in 0..2000u64 {
        let sequence = until(&mut producer, |producer| {
            let now = Deadline::after(Duration::ZERO);
            match producer.publish_until(&number.to_le_bytes(), now) {
                Err(PublishError::TimedOut { .. }) => Poll::Pending,
                published => Poll::Ready(published),
            }
        });
        assert_eq!(sequence.unwrap(), number);
    }
    receiving.join().unwrap();
}

/// The thread that slept first is woken by the kernel, any other by the thread of the process.
fn another_thread_is_told_too() {
    if !has_io_uring() {
        return;
    }
    let (mut producer, mut consumer) = made();
    consumer.use_io_uring().unwrap();
    let mut exchange = |mut consumer: Pollable<Consumer>, by_kernel: bool| {
        for _ in 0..50 {
            drain(&mut consumer);
            assert_eq!(consumer.uses_io_uring(), by_kernel);
            producer.publish(b"sold").unwrap();
            receives_one(&mut consumer);
        }
        consumer
    };
    for _ in 0..3 {
        consumer = exchange(consumer, true);
        consumer =
            std::thread::scope(|scope| scope.spawn(|| exchange(consumer, false)).join().unwrap());
    }
}

fn a_handle_that_spins_is_not_watched() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let options = ConsumerOptions::new().strategy(Strategy::Spin);
    let consumer = ring.consumer_with(Start::Oldest, options).unwrap();
    let mut consumer = Pollable::new(consumer).unwrap();
    used(&mut consumer);
    let mut producer = ring.producer().unwrap();
    for _ in 0..10 {
        assert_eq!(drain(&mut consumer), 0);
        assert!(!consumer.uses_io_uring());
        producer.publish(b"sold").unwrap();
        assert!(readable(&consumer, PATIENCE));
        assert_eq!(drain(&mut consumer), 1);
    }
}

/// The queues of requests are in memory that the child shares.
fn a_forked_child_leaves_it_alone() {
    let (mut producer, mut consumer) = made();
    used(&mut consumer);
    for _ in 0..20 {
        assert_eq!(drain(&mut consumer), 0);
        // SAFETY: the child calls nothing that needs the threads of its parent, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "no fork");
        if child == 0 {
            let told = consumer.arm();
            drop(consumer);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!told)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "the child");
        for _ in 0..3 {
            producer.publish(b"sold").unwrap();
            receives_one(&mut consumer);
        }
    }
}

/// What it had armed makes the descriptor readable, or goes on.
fn the_thread_that_armed_may_end() {
    for _ in 0..20 {
        let (mut producer, mut consumer) = made();
        used(&mut consumer);
        let mut consumer = std::thread::spawn(move || {
            assert!(!consumer.arm());
            consumer
        })
        .join()
        .unwrap();
        producer.publish(b"sold").unwrap();
        assert!(readable(&consumer, PATIENCE));
        assert_eq!(drain(&mut consumer), 1);
        producer.publish(b"bought").unwrap();
        receives_one(&mut consumer);
    }
}

fn refused(consumer: &mut Pollable<Consumer>) -> std::io::Error {
    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let refused = consumer.use_io_uring().unwrap_err();
    setrlimit(Resource::Nofile, before).unwrap();
    refused
}

/// Whether the kernel agrees or refuses, and whoever watched before.
fn asking_for_it_while_it_is_armed_loses_nothing() {
    for round in 0..40 {
        let (mut producer, mut consumer) = made();
        if round % 4 >= 2 {
            used(&mut consumer);
        }
        assert_eq!(drain(&mut consumer), 0);
        match round % 2 {
            0 => used(&mut consumer),
            _ => drop(refused(&mut consumer)),
        }
        producer.publish(b"sold").unwrap();
        receives_one(&mut consumer);
    }
}

fn what_the_kernel_refuses_is_watched_by_the_thread() {
    let (mut producer, mut consumer) = made();
    let refused = refused(&mut consumer);
    if !matches!(
        refused.kind(),
        std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied
    ) {
        assert_eq!(refused.raw_os_error(), Some(libc::EMFILE), "{refused}");
    }
    for _ in 0..50 {
        assert_eq!(drain(&mut consumer), 0);
        assert!(!consumer.uses_io_uring());
        producer.publish(b"sold").unwrap();
        assert!(readable(&consumer, PATIENCE));
        assert_eq!(drain(&mut consumer), 1);
    }
}
