//! Several processes on one ring: real ones, which this test starts by running itself.
//!
//! Without a harness: `main` is both the test runner and, with a role in the environment, a peer.
//! Every payload is checked word by word.

use crossbeam_utils::CachePadded;
use rustix::mm::{mmap_anonymous, MapFlags, ProtFlags};
use slipring::sync::Ordering::{Acquire, Relaxed, Release};
use slipring::sync::{accept_fences, fence_by_others, fence_everywhere, AtomicU32};
use slipring::{
    endpoint::{AttachError, PublishError, ReadersError, ReceiveError, TryReceiveError},
    ConsumerOptions, Observer, ObserverOptions, Producer, ProducerOptions, Received, Ring, Start,
    Strategy,
};

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

const SECOND: Duration = Duration::from_secs(1);

pub const SUITE: testing::Suite = testing::suite!(peer; [
    everybody_gets_what_they_should_at_every_size,
    the_smallest_ring_wraps_correctly,
    sequences_wrap_at_2_to_the_32_and_64,
    every_strategy_delivers,
    a_second_producer_is_refused_by_name,
    a_killed_consumer_stops_gating,
    killed_readers_are_not_counted,
    a_stopped_consumer_holds_the_producer_and_loses_nothing,
    a_killed_or_stopped_observer_changes_nothing,
    a_killed_producer_is_noticed_and_replaced,
    a_killed_sleeper_costs_nobody_anything,
    a_ring_is_handed_on_by_descriptor,
    a_fork_is_told_that_it_owns_nothing,
    a_fence_of_one_process_is_enough_for_both,
]);

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ring = Ring::open(Path::new(&arguments[0])).unwrap();
    match role {
        // Consumes everything from the oldest message until the end.
        "consume" => {
            let options = ConsumerOptions::new().strategy(strategy(&arguments[1]));
            let mut consumer = ring.consumer_with(Start::Oldest, options).unwrap();
            let mut next = consumer.next_sequence();
            let start = next;
            say("ready");
            while let Some(message) = consumer.receive_until(PATIENCE).unwrap() {
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next = next.wrapping_add(1);
            }
            say(&format!("{}", next.wrapping_sub(start)));
        }
        // Consumes one message at a time, when told to on standard input.
        "consume-on-demand" => {
            let mut consumer = ring.consumer(Start::Oldest).unwrap();
            say("ready");
            for _ in std::io::stdin().lock().lines() {
                let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
                check(&message, message.sequence());
                say(&message.sequence().to_string());
            }
        }
        // Observes everything from the oldest message until the end.
        "observe" => {
            let options = ObserverOptions::new().strategy(strategy(&arguments[1]));
            let observer = ring.observer_with(Start::Oldest, options).unwrap();
            say("ready");
            say(&observe(observer));
        }
        // Holds the ring and publishes what it is told to.
        "produce" => {
            let mut producer = ring.producer().unwrap();
            say("ready");
            for line in std::io::stdin().lock().lines() {
                for _ in 0..line.unwrap().parse::<u64>().unwrap() {
                    let next = producer.next_sequence();
                    producer
                        .publish_until(&payload(next, 40), PATIENCE)
                        .unwrap();
                }
                say(&producer.next_sequence().to_string());
            }
        }
        role => panic!("no role {role}"),
    }
}

fn observe(mut observer: Observer) -> String {
    let start = observer.next_sequence();
    let mut next = start;
    let (mut received, mut lost) = (0u64, 0u64);
    loop {
        match observer.receive_until(PATIENCE).unwrap() {
            Received::Message(message) => {
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next = next.wrapping_add(1);
                received += 1;
            }
            Received::Lapped {
                lost: n,
                resumed_at,
            } => {
                next = next.wrapping_add(n);
                assert_eq!(resumed_at, next);
                lost += n;
            }
            Received::Closed => return format!("{received} {lost}"),
            received => panic!("{received:?}"),
        }
    }
}

fn strategy(name: &str) -> Strategy {
    match name {
        "spin" => Strategy::Spin,
        "yield" => Strategy::Yield,
        "park" => Strategy::Park,
        _ => Strategy::default(),
    }
}

// --- Tests.

/// Lengths from nothing to the maximum, every remainder by eight among them.
fn lengths(max: usize) -> impl Iterator<Item = usize> {
    (0..).map(move |n: usize| match n % 50 {
        0 => max,
        1 => max - n % 17,
        2..=10 => n * 37 % max,
        _ => n * 7 % 200,
    })
}

/// One producer, two consumers and two observers in processes of their own.
fn exchange(capacity: u64, align: u64, first: u64, messages: u64, wait: &str) {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path)
        .capacity_bytes(capacity)
        .frame_align(align)
        .first_sequence(first)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let start = |role| Peer::start(role, &[text(&path), wait]);
    let consumers = [start("consume"), start("consume")];
    let observers = [start("observe"), start("observe")];
    let lens = lengths(ring.max_message_bytes() as usize);
    let mut pending: Vec<Vec<u8>> = Vec::new();
    for (n, len) in (0..messages).zip(lens) {
        let message = payload(first.wrapping_add(n), len);
        match n % 10 {
            7 => {
                let mut claim = producer.claim_until(len, PATIENCE).unwrap();
                claim.copy_from_slice(&message);
                claim.commit();
            }
            8 | 9 => pending.push(message),
            _ => {
                publish_together(&mut producer, &mut pending);
                producer.publish_until(&message, PATIENCE).unwrap();
            }
        }
    }
    publish_together(&mut producer, &mut pending);
    assert_eq!(producer.violations(), 0);
    producer.close();
    for consumer in consumers {
        assert_eq!(consumer.finish(), messages.to_string());
    }
    for observer in observers {
        let account = observer.finish();
        let (received, lost) = account.split_once(' ').unwrap();
        let sum = received.parse::<u64>().unwrap() + lost.parse::<u64>().unwrap();
        assert_eq!(sum, messages);
    }
}

/// Publishes messages in one batch, or in as many as they need.
fn publish_together(producer: &mut Producer, pending: &mut Vec<Vec<u8>>) {
    let mut messages = pending.drain(..).peekable();
    while messages.peek().is_some() {
        let mut batch = producer.batch();
        while let Some(message) = messages.peek() {
            match batch.push_until(message, PATIENCE) {
                Ok(_) => messages.next(),
                Err(PublishError::BatchFull) => break,
                Err(error) => panic!("{error}"),
            };
        }
        assert!(batch.commit() > 0);
    }
}

fn everybody_gets_what_they_should_at_every_size() {
    exchange(1 << 20, 8, 0, 60_000, "park");
    exchange(64 << 10, 64, 0, 30_000, "yield");
}

fn the_smallest_ring_wraps_correctly() {
    exchange(4096, 8, 0, 20_000, "default");
    exchange(4096, 64, 0, 20_000, "default");
}

fn sequences_wrap_at_2_to_the_32_and_64() {
    exchange(16 << 10, 8, (1 << 32) - 5_000, 20_000, "default");
    exchange(16 << 10, 8, u64::MAX - 5_000, 20_000, "default");
}

fn every_strategy_delivers() {
    for wait in ["yield", "park", "default"] {
        exchange(16 << 10, 8, 0, 5_000, wait);
    }
}

fn a_second_producer_is_refused_by_name() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path).create().unwrap();
    let first = Peer::start("produce", &[text(&path)]);
    match ring.producer() {
        Err(AttachError::AlreadyOwned { path: named, pid }) => {
            assert_eq!((named, pid), (path.clone(), first.child.id()));
        }
        other => panic!("{other:?}"),
    }
    // A stopped one still owns it: no split brain.
    first.stop();
    assert!(matches!(
        ring.producer(),
        Err(AttachError::AlreadyOwned { .. })
    ));
    first.kill();
    ring.producer().expect("the lock went with its process");
}

fn a_killed_consumer_stops_gating() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path).capacity_bytes(4096).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let victim = Peer::start("consume-on-demand", &[text(&path)]);
    let error = loop {
        let next = producer.next_sequence();
        if let Err(error) = producer.try_publish(&payload(next, 40)) {
            break error;
        }
    };
    assert!(
        matches!(error, slipring::endpoint::TryPublishError::Full { row: 0 }),
        "{error}"
    );
    let timed_out = producer.publish_until(&[0; 40], Duration::from_millis(20));
    assert_eq!(timed_out, Err(PublishError::TimedOut { row: 0 }));
    victim.kill();
    for _ in 0..1000 {
        let next = producer.next_sequence();
        producer
            .publish_until(&payload(next, 40), PATIENCE)
            .unwrap();
    }
    assert!(
        ring.status().unwrap().readers.is_empty(),
        "the row of the dead is free"
    );
}

fn killed_readers_are_not_counted() {
    let scratch = Scratch::new();
    let builder = Ring::builder(scratch.ring()).max_readers(4);
    let ring = builder.create().unwrap();
    let mut producer = ring.producer().unwrap();
    let start = || Peer::start("consume-on-demand", &[text(&scratch.ring())]);
    for killed in 1..=3 {
        let mut peers = vec![start(), start(), start()];
        assert_eq!(producer.wait_for_readers(3, PATIENCE), Ok(3));
        for _ in 0..killed {
            peers.pop().unwrap().kill();
        }
        let timed_out = ReadersError::TimedOut {
            readers: 3 - killed,
            wanted: 3,
        };
        let waited = producer.wait_for_readers(3, Duration::from_millis(30));
        assert_eq!(waited, Err(timed_out));
        // As many rows are taken by their own account as are waited for, and some of their owners are dead.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| producer.wait_for_readers(3, PATIENCE));
            for _ in 0..killed {
                peers.push(start());
            }
            assert_eq!(waiting.join().unwrap(), Ok(3));
        });
    }
}

fn a_stopped_consumer_holds_the_producer_and_loses_nothing() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path).capacity_bytes(4096).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let consumer = Peer::start("consume", &[text(&path), "default"]);
    consumer.stop();
    let mut published = 0u64;
    while producer
        .publish_until(&payload(published, 40), Duration::from_millis(50))
        .is_ok()
    {
        published += 1;
    }
    consumer.signal(libc::SIGCONT);
    for _ in 0..500 {
        producer
            .publish_until(&payload(published, 40), PATIENCE)
            .unwrap();
        published += 1;
    }
    producer.close();
    assert_eq!(consumer.finish(), published.to_string());
}

fn a_killed_or_stopped_observer_changes_nothing() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path).capacity_bytes(4096).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let consumer = Peer::start("consume", &[text(&path), "default"]);
    let killed = Peer::start("observe", &[text(&path), "default"]);
    let stopped = Peer::start("observe", &[text(&path), "default"]);
    stopped.stop();
    let mut killed = Some(killed);
    for n in 0..20_000u64 {
        producer.publish_until(&payload(n, 40), PATIENCE).unwrap();
        if n == 5_000 {
            killed.take().unwrap().kill();
        }
    }
    stopped.signal(libc::SIGCONT);
    producer.close();
    assert_eq!(consumer.finish(), "20000");
    let account = stopped.finish();
    let (received, lost) = account.split_once(' ').unwrap();
    assert_eq!(
        received.parse::<u64>().unwrap() + lost.parse::<u64>().unwrap(),
        20_000
    );
}

fn a_killed_producer_is_noticed_and_replaced() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path)
        .capacity_bytes(64 << 10)
        .create()
        .unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let mut victim = Peer::start("produce", &[text(&path)]);
    victim
        .child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"100\n")
        .unwrap();
    assert_eq!(victim.line(), "100");
    victim.kill();
    for n in 0..100 {
        let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
        check(&message, n);
    }
    let gone = consumer
        .receive_until(PATIENCE)
        .map(|message| message.is_some());
    assert_eq!(gone, Err(ReceiveError::ProducerGone { next: 100 }));
    for _ in 0..100 {
        assert!(matches!(
            observer.receive_until(PATIENCE),
            Ok(Received::Message(_))
        ));
    }
    let gone = observer.receive_until(PATIENCE).map(|_| ());
    assert_eq!(gone, Err(ReceiveError::ProducerGone { next: 100 }));
    assert!(
        ring.status().unwrap().abandoned && ring.status().unwrap().producer_alive == Some(false)
    );

    let mut producer = ring.producer().unwrap();
    assert_eq!((producer.next_sequence(), producer.epoch()), (100, 2));
    producer.publish(&payload(100, 8)).unwrap();
    producer.close();
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    check(&message, 100);
    drop(message);
    assert!(consumer.receive_until(PATIENCE).unwrap().is_none());
}

fn a_killed_sleeper_costs_nobody_anything() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path).create().unwrap();
    let options = ProducerOptions::new().strategy(Strategy::Park);
    let mut producer = ring.producer_with(options).unwrap();
    let survivor = Peer::start("consume", &[text(&path), "park"]);
    for round in 0..20u64 {
        let victim = Peer::start("consume-on-demand", &[text(&path)]);
        let mut victim = victim;
        // It sleeps, or is about to, when it is killed.
        victim
            .child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"\n")
            .unwrap();
        victim.kill();
        producer
            .publish_until(&payload(round, 24), PATIENCE)
            .unwrap();
    }
    producer.close();
    assert_eq!(survivor.finish(), "20");
}

fn a_ring_is_handed_on_by_descriptor() {
    let ring = Ring::anonymous().capacity_bytes(8192).create().unwrap();
    let files = ring.files().unwrap();
    let again = slipring::endpoint::RingFiles {
        stream: files.stream.try_clone_to_owned().unwrap(),
        control: files.control.try_clone_to_owned().unwrap(),
        lock: files.lock.try_clone_to_owned().unwrap(),
    };
    let other = Ring::from_files(again).unwrap();
    assert_eq!(other.id(), ring.id());
    let mut producer = ring.producer().unwrap();
    assert!(matches!(
        other.producer(),
        Err(AttachError::AlreadyOwned { .. })
    ));
    let mut consumer = other.consumer(Start::Oldest).unwrap();
    producer.publish(b"through a descriptor").unwrap();
    let message = consumer.receive_until(SECOND).unwrap().unwrap();
    assert_eq!(&*message, b"through a descriptor");
    // No process can take pages away from the others.
    let shrunk = rustix::fs::ftruncate(ring.files().unwrap().stream, 4096);
    assert_eq!(shrunk, Err(rustix::io::Errno::PERM));
}

#[allow(unsafe_code, reason = "fork itself is what is tested")]
fn a_fork_is_told_that_it_owns_nothing() {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    let mut observer = ring.observer(Start::Latest).unwrap();
    // SAFETY: the child makes no call that could deadlock on a lock another thread holds: this
    // process has one thread. It leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = producer.publish(b"x") == Err(PublishError::Forked)
            && producer.batch().push(b"x") == Err(PublishError::Forked)
            && matches!(producer.claim(8), Err(PublishError::Forked))
            && matches!(consumer.receive(), Err(ReceiveError::Forked))
            && matches!(observer.receive(), Err(ReceiveError::Forked))
            && matches!(consumer.try_receive(), Err(TryReceiveError::Forked))
            && matches!(consumer.try_receive_batch(8), Err(TryReceiveError::Forked))
            && matches!(observer.try_receive(), Err(TryReceiveError::Forked))
            && matches!(ring.producer(), Err(AttachError::Forked))
            && matches!(ring.consumer(Start::Latest), Err(AttachError::Forked));
        drop((producer, consumer, observer));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(!told)) }
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child was not told, or died");
    // What a batch holds when its process forks is published once, by the process that began it.
    let mut batch = producer.batch();
    batch.push(b"from a batch").unwrap();
    // SAFETY: as above.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = batch.push(b"x") == Err(PublishError::Forked);
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(!told)) }
    }
    // SAFETY: as above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child was not told, or died");
    assert_eq!(batch.commit(), 1);
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"from a batch");
    // The child's exit took nothing with it.
    producer.publish(b"still here").unwrap();
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"still here");
    assert!(matches!(
        ring.producer(),
        Err(AttachError::AlreadyOwned { .. })
    ));
    drop(producer);
    ring.producer().expect("no child kept the lock");
}

/// What two processes share in [`fences`], each word on a line of its own.
#[repr(C)]
struct Shared {
    turn: CachePadded<AtomicU32>,
    done: CachePadded<AtomicU32>,
    armed: CachePadded<AtomicU32>,
    news: CachePadded<AtomicU32>,
}

/// Store buffering: of two processes that each store and then look at what the other stores, one sees the
/// other, though only the one that goes to sleep has a fence.
#[allow(unsafe_code, reason = "shares memory with a fork")]
fn a_fence_of_one_process_is_enough_for_both() {
    const ROUNDS: u32 = 5_000;
    // SAFETY: an anonymous mapping at an address the kernel chooses, never unmapped; a page of zeroes is a
    // valid `Shared`, and words are all that is in it.
    let shared: &Shared = unsafe {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        let page = mmap_anonymous(std::ptr::null_mut(), 4096, protection, flags);
        &*page.expect("a page").cast()
    };
    // SAFETY: as for the fork above.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // Goes to sleep. Accepts no fences itself: the other has done so since.
        let mut missed = 0;
        for round in 1..=ROUNDS {
            shared.turn.store(round, Release);
            delay(round.wrapping_mul(0x9e37_79b9) >> 16);
            shared.armed.store(round, Relaxed);
            let fenced = fence_everywhere();
            missed += u32::from(!fenced);
            let found = shared.news.load(Relaxed) == round;
            while shared.done.load(Acquire) & !SAW != round {
                std::hint::spin_loop();
            }
            missed += u32::from(!found && shared.done.load(Relaxed) & SAW == 0);
        }
        // SAFETY: as above.
        unsafe { libc::_exit(missed.min(100) as i32) }
    }
    // Publishes. Takes part even where fences are refused, so that the other ends.
    let refused = accept_fences().err();
    for round in 1..=ROUNDS {
        while shared.turn.load(Acquire) != round {
            std::hint::spin_loop();
        }
        delay(round);
        shared.news.store(round, Relaxed);
        fence_by_others();
        let saw = shared.armed.load(Relaxed) == round;
        shared
            .done
            .store(round | if saw { SAW } else { 0 }, Release);
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    match refused {
        Some(refused) => eprintln!("SKIPPED: membarrier: {refused}"),
        None => assert_eq!(status, 0, "both missed the other"),
    }
}

/// Marks a round in which the publisher saw the other armed.
const SAW: u32 = 1 << 31;

/// Now a little earlier, now a little later than the other.
fn delay(round: u32) {
    for step in 0..round % 512 {
        std::hint::black_box(step);
    }
}
