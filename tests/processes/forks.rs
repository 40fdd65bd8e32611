//! Forked children: what they inherit is refused and harmless, what they make themselves works, and
//! nothing is left over from one attempt to the next.
//!
//! Without a harness: a process with threads cannot fork and go on with more than what is
//! async-signal-safe.
#![allow(unsafe_code, reason = "fork itself is what is tested")]

use slipring::{
    endpoint::{AttachError, PublishError, ReceiveError, StatusError, TryReceiveError},
    latest::LatestError,
    link::LinkError,
    queue::{SendError, TakeError},
    semaphore::AcquireError,
    shared::SharedError,
    signals::{SignalError, SignalSet},
    Fifo, Latest, Link, Mailbox, Queue, Ring, Semaphore, Shared, Signals, Start,
};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use testing::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    a_child_and_its_child_use_every_form,
    a_child_of_a_process_that_let_go_of_everything,
    what_is_inherited_says_so_and_is_harmless,
    a_change_that_a_fork_commits_is_refused,
    attempts_leave_nothing_behind,
    a_child_is_guarded_for_itself,
]);

/// Runs in a forked child, which must return.
#[track_caller]
fn in_child(work: impl FnOnce()) {
    // SAFETY: this process has one thread. The child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        // SAFETY: ends a child that hangs, by a signal that nothing here handles.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(result.is_err())) }
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child panicked, died or hung");
}

/// What a child has instead of what its parent goes on using.
fn copy<T>(of_parent: &T) -> T {
    // SAFETY: only in a child, which ends without dropping the original.
    unsafe { std::ptr::read(of_parent) }
}

/// Uses a ring on the heap and one of each form, opened or made anew.
fn use_everything(directory: &Path) {
    let at = |name: &str| directory.join(name);
    let rings = [
        Ring::heap().create().unwrap(),
        Ring::anonymous().create().unwrap(),
        Ring::builder(at("ring")).create_or_open().unwrap(),
    ];
    for ring in rings {
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        let mut observer = ring.observer(Start::Latest).unwrap();
        producer.publish(b"hello").unwrap();
        assert_eq!(&*consumer.receive().unwrap().unwrap(), b"hello");
        assert!(matches!(
            observer.receive().unwrap(),
            slipring::Received::Message(message) if &*message == b"hello"
        ));
        // Beside a thread of its own.
        std::thread::scope(|scope| {
            scope.spawn(|| consumer.receive_until(PATIENCE).unwrap().unwrap().len());
            producer.publish(b"to a thread").unwrap();
        });
        assert_eq!(
            ring.status().unwrap().next_sequence,
            Some(producer.next_sequence())
        );
        producer.detach();
    }

    let queue = Queue::builder(at("queue")).create_or_open().unwrap();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(b"job").unwrap();
    receiver.receive().unwrap().ack().unwrap();

    let mailbox = Mailbox::builder(at("mailbox")).create_or_open();
    let mailbox = mailbox.unwrap();
    let (mut client, mut desk) = (mailbox.client("me").unwrap(), mailbox.receiver().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || desk.receive().unwrap().reply(b"yes").unwrap());
        assert_eq!(
            &*client.request_until(b"really?", PATIENCE).unwrap(),
            b"yes"
        );
    });

    let semaphore = Semaphore::builder(at("semaphore"))
        .permits(1)
        .create_or_open();
    drop(semaphore.unwrap().acquire_until(PATIENCE).unwrap());

    let shared = Shared::<Value>::builder(at("shared")).create_or_open();
    let mut shared = shared.unwrap();
    let mut guard = shared.lock_until(PATIENCE).unwrap();
    guard.number += 1;
    guard.commit().unwrap();

    let latest = Latest::<Value>::builder(at("latest")).create_or_open();
    let latest = latest.unwrap();
    let version = latest.writer().unwrap().set(&Value { number: 7 }).unwrap();
    let read = latest.reader().unwrap().get().unwrap();
    assert_eq!(read, Some((Value { number: 7 }, version)));

    let signals = Signals::builder(at("signals")).create_or_open().unwrap();
    let mut listener = signals.listener("me").unwrap();
    signals.target("me").unwrap().send(3).unwrap();
    let noticed = listener.wait_until(SignalSet::ALL, PATIENCE).unwrap();
    assert_eq!((noticed.signal, noticed.count), (3, 1));

    let link = |me: &str, peer: &str| Link::builder(me, peer).directory(directory);
    let (one, other) = (link("a", "b"), link("b", "a"));
    std::thread::scope(|scope| {
        scope.spawn(|| one.connect_until(PATIENCE).unwrap().send(b"over").unwrap());
        let mut other = other.connect_until(PATIENCE).unwrap();
        assert_eq!(&*other.receive_until(PATIENCE).unwrap(), b"over");
    });

    let fifo = || Fifo::builder(at("fifo")).create_or_open().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = fifo().writer_until(PATIENCE).unwrap();
            writer.write_all(b"bytes").unwrap();
        });
        let mut text = String::new();
        let mut reader = fifo().reader_until(PATIENCE).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bytes");
    });
    let (mut reader, mut writer) = slipring::pipe().unwrap();
    writer.write_all(b"bytes").unwrap();
    let mut bytes = [0; 5];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"bytes");
}

fn a_child_and_its_child_use_every_form() {
    let scratch = Scratch::new();
    let held = Ring::builder(scratch.0.join("held")).create().unwrap();
    let mut producer = held.producer().unwrap();
    use_everything(&scratch.0);
    in_child(|| {
        assert_eq!(producer.publish(b"x"), Err(PublishError::Forked));
        use_everything(&scratch.0);
        let own = Ring::heap().create().unwrap();
        let mut of_child = own.producer().unwrap();
        in_child(|| {
            assert_eq!(producer.publish(b"x"), Err(PublishError::Forked));
            assert_eq!(of_child.publish(b"x"), Err(PublishError::Forked));
            use_everything(&scratch.0);
        });
        of_child.publish(b"still here").unwrap();
        assert_eq!(producer.publish(b"x"), Err(PublishError::Forked));
        // What the parent holds is held, and can be read.
        let held = Ring::open(scratch.0.join("held")).unwrap();
        assert!(matches!(
            held.producer(),
            Err(AttachError::AlreadyOwned { .. })
        ));
        assert!(held.consumer(Start::Oldest).is_ok());
    });
    assert_eq!(producer.publish(b"still here"), Ok(0));
    use_everything(&scratch.0);
}

fn a_child_of_a_process_that_let_go_of_everything() {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).create().unwrap();
    ring.producer().unwrap().detach();
    drop(ring);
    in_child(|| {
        let ring = Ring::open(scratch.ring()).unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        ring.producer().unwrap().publish(b"x").unwrap();
        assert_eq!(&*consumer.receive().unwrap().unwrap(), b"x");
    });
}

fn what_is_inherited_says_so_and_is_harmless() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.0.join(name);
    let ring = Ring::builder(at("ring")).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut observer = ring.observer(Start::Oldest).unwrap();
    producer.publish(&[7; 100]).unwrap();
    let queue = Queue::builder(at("queue")).create().unwrap();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(b"one").unwrap();
    sender.send(b"two").unwrap();
    let mailbox = Mailbox::builder(at("mailbox")).create().unwrap();
    let (mut client, mut desk) = (mailbox.client("me").unwrap(), mailbox.receiver().unwrap());
    client.send(b"letter").unwrap();
    let semaphore = Semaphore::builder(at("semaphore"))
        .permits(2)
        .create()
        .unwrap();
    let permit = semaphore.acquire().unwrap();
    let mut shared = Shared::<Value>::builder(at("shared")).create().unwrap();
    let latest = Latest::<Value>::builder(at("latest")).create().unwrap();
    let (mut writer, mut reader) = (latest.writer().unwrap(), latest.reader().unwrap());
    let signals = Signals::builder(at("signals")).create().unwrap();
    let mut listener = signals.listener("me").unwrap();
    let mut target = signals.target("me").unwrap();
    let peer = Link::builder("b", "a").directory(&scratch.0);
    let peer = std::thread::spawn(move || peer.connect_until(PATIENCE).unwrap());
    let link = Link::builder("a", "b").directory(&scratch.0);
    let mut link = link.connect_until(PATIENCE).unwrap();
    let mut peer = peer.join().unwrap();
    let (mut output, mut input) = slipring::pipe().unwrap();
    input.write_all(b"x").unwrap();
    let fifo = Fifo::builder(at("fifo")).create().unwrap();

    let message = consumer.receive().unwrap().unwrap();
    let delivery = receiver.receive().unwrap();
    let letter = desk.receive().unwrap();
    let mut claim = producer.claim(100).unwrap();
    claim.fill(9);
    in_child(|| {
        // What was lent is the parent's: it can be touched and given back, and nothing comes of it.
        assert!(message.iter().all(|byte| *byte == 0 || *byte == 7));
        assert!(delivery.len() < 1 << 20);
        drop(copy(&message));
        let refused = copy(&delivery).ack();
        assert!(matches!(refused, Err(slipring::queue::AckError::Forked)));
        copy(&letter).ack();
        let mut claim = copy(&claim);
        claim.fill(1);
        claim.commit();
        drop(copy(&permit));
    });
    // All of it is the parent's still.
    assert!(message.iter().all(|byte| *byte == 7));
    drop(message);
    assert!(claim.iter().all(|byte| *byte == 9));
    assert_eq!(claim.commit(), 1);
    assert_eq!(consumer.receive().unwrap().unwrap().len(), 100);
    assert_eq!(&*delivery, b"one");
    delivery.ack().unwrap();
    assert_eq!(&*letter, b"letter");
    letter.ack();
    assert_eq!(semaphore.status().unwrap().held, 1);

    in_child(|| {
        assert!(matches!(
            consumer.try_receive(),
            Err(TryReceiveError::Forked)
        ));
        assert!(matches!(consumer.receive(), Err(ReceiveError::Forked)));
        assert!(matches!(observer.receive(), Err(ReceiveError::Forked)));
        assert!(matches!(
            observer.try_receive(),
            Err(TryReceiveError::Forked)
        ));
        assert_eq!(producer.publish(b"x"), Err(PublishError::Forked));
        assert_eq!(consumer.new_epoch(), None);
        assert_eq!(observer.new_epoch(), None);
        assert!(matches!(sender.send(b"x"), Err(SendError::Forked)));
        assert!(matches!(
            sender.send_until(b"x", 3, PATIENCE),
            Err(SendError::Forked)
        ));
        assert!(matches!(receiver.receive(), Err(TakeError::Forked)));
        assert!(matches!(client.send(b"x"), Err(SendError::Forked)));
        assert!(client.request_until(b"x", PATIENCE).is_err());
        assert!(matches!(desk.receive(), Err(TakeError::Forked)));
        assert!(matches!(semaphore.acquire(), Err(AcquireError::Forked)));
        assert!(matches!(shared.lock(), Err(SharedError::Forked)));
        assert_eq!(shared.get(), Err(SharedError::Forked));
        assert_eq!(
            shared.wait_until(0, PATIENCE),
            Err(SharedError::Forked),
            "a change"
        );
        let value = Value { number: 1 };
        assert_eq!(writer.set(&value), Err(LatestError::Forked));
        assert_eq!(reader.get(), Err(LatestError::Forked));
        assert_eq!(reader.wait_until(PATIENCE), Err(LatestError::Forked));
        assert_eq!(target.send(1), Err(SignalError::Forked));
        assert_eq!(signals.broadcast(1), Err(SignalError::Forked));
        assert_eq!(listener.wait(SignalSet::ALL), Err(SignalError::Forked));
        assert!(matches!(link.send(b"x"), Err(LinkError::Forked)));
        assert!(matches!(link.receive(), Err(LinkError::Forked)));
        assert!(matches!(
            link.reconnect_until(PATIENCE),
            Err(LinkError::Forked)
        ));
        assert!(matches!(
            receiver.wait_until(PATIENCE),
            Err(TakeError::Forked)
        ));
        assert!(matches!(desk.wait_until(PATIENCE), Err(TakeError::Forked)));
        assert!(input.write(b"x").is_err());
        assert!(output.read(&mut [0; 1]).is_err());
        assert!(fifo.writer_until(PATIENCE).is_err());
        assert!(matches!(ring.producer(), Err(AttachError::Forked)));
        assert!(matches!(queue.sender(), Err(AttachError::Forked)));
        assert!(matches!(queue.receiver(), Err(AttachError::Forked)));
        assert!(matches!(mailbox.client("x"), Err(AttachError::Forked)));
        assert!(matches!(latest.writer(), Err(AttachError::Forked)));
        assert!(matches!(latest.reader(), Err(AttachError::Forked)));
        assert!(matches!(signals.listener("x"), Err(AttachError::Forked)));
        // What only looks finds nothing.
        let forked = |error: Option<StatusError>| matches!(error, Some(StatusError::Forked { .. }));
        assert!(forked(ring.status().err()) && forked(semaphore.status().err()));
        assert!(forked(queue.status().err()) && forked(queue.receivers().err()));
        assert!(forked(mailbox.status().err()) && forked(signals.status().err()));
        assert!(forked(shared.status().err()) && forked(latest.status().err()));
        assert!(forked(link.status().err()) && forked(fifo.status().err()));
        let _ = (shared.version(), consumer.lag_bytes(), observer.lag_bytes());
        let _ = (producer.epoch(), producer.wakes(), link.peer_pid());
        let _ = ring.is_removed();
        drop((copy(&producer), copy(&consumer), copy(&observer)));
        drop((copy(&sender), copy(&receiver), copy(&client), copy(&desk)));
        drop((copy(&permit), copy(&semaphore), copy(&shared)));
        drop((copy(&writer), copy(&reader), copy(&listener)));
        drop((copy(&target), copy(&signals), copy(&link), copy(&peer)));
        drop((copy(&output), copy(&input), copy(&fifo)));
        drop((copy(&ring), copy(&queue), copy(&mailbox), copy(&latest)));
    });
    assert_eq!(&*receiver.receive().unwrap(), b"two");
    drop(permit);
    assert_eq!(semaphore.status().unwrap().held, 0);
    producer.publish(b"x").unwrap();
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"x");
    writer.set(&Value { number: 1 }).unwrap();
    target.send(1).unwrap();
    assert!(listener.try_wait(SignalSet::ALL).unwrap().is_some());
    link.send(b"x").unwrap();
    assert_eq!(&*peer.receive().unwrap(), b"x");
    output.read_exact(&mut [0; 1]).unwrap();
}

fn a_change_that_a_fork_commits_is_refused() {
    let scratch = Scratch::new();
    let shared = Shared::<Value>::builder(scratch.ring()).create();
    let mut shared = shared.unwrap();
    let mut guard = shared.lock().unwrap();
    guard.number = 1;
    in_child(|| {
        guard.number = 2;
        assert_eq!(copy(&guard).commit(), Err(SharedError::Forked));
    });
    assert_eq!(guard.commit(), Ok(1));
    assert_eq!(shared.get(), Ok((Value { number: 1 }, 1)));
    let guard = shared.lock().unwrap();
    in_child(|| copy(&guard).discard());
    assert!(!guard.abandoned());
}

fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

fn attempts_leave_nothing_behind() {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).create().unwrap();
    let producer = ring.producer().unwrap();
    in_child(|| {
        let attempt = || {
            let ring = Ring::open(scratch.ring()).unwrap();
            let consumer = ring.consumer(Start::Latest).unwrap();
            assert!(ring.producer().is_err());
            drop(consumer);
            let _ = Ring::heap().create().unwrap().producer().unwrap();
        };
        attempt();
        let before = mappings();
        // More often than the guard has places for.
        for _ in 0..1500 {
            attempt();
        }
        assert!(mappings() <= before + 2, "{before} then {}", mappings());
        cut_and_look(&scratch.0);
        drop((ring, producer));
    });
}

/// A ring that is cut short is an error of its own handles.
fn cut_and_look(directory: &Path) {
    slipring::place::guard_against_truncation().unwrap();
    let path = directory.join("cut");
    let ring = Ring::builder(&path).create().unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(b"x").unwrap();
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).open(path.join("stream")).unwrap();
    file.set_len(0).unwrap();
    let mut refused = producer.publish(&[1; 2000]);
    for _ in 0..10 {
        refused = refused.and_then(|_| producer.publish(&[1; 2000]));
    }
    assert_eq!(refused, Err(PublishError::Poisoned));
    drop((ring, producer));
    slipring::registry::remove_at(&path, true).unwrap();
}

fn a_child_is_guarded_for_itself() {
    let scratch = Scratch::new();
    slipring::place::guard_against_truncation().unwrap();
    let ring = Ring::builder(scratch.0.join("held")).create().unwrap();
    let mut producer = ring.producer().unwrap();
    in_child(|| {
        // Other memory at the addresses of the parent's mappings would be taken for it, if the child
        // kept what its parent entered.
        cut_and_look(&scratch.0);
        assert_eq!(producer.publish(b"x"), Err(PublishError::Forked));
        use_everything(&scratch.0);
        cut_and_look(&scratch.0);
        in_child(|| cut_and_look(&scratch.0));
    });
    cut_and_look(&scratch.0);
    assert_eq!(producer.publish(b"x"), Ok(0));
    use_everything(&scratch.0);
}
