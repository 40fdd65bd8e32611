//! Objects that are removed, or removed and made again, while processes have them open: attaching fails, every
//! wait ends, every writer learns of it, and nothing reaches an object of the same name that is made later.

use slipring::{
    endpoint::StatusError,
    place::RemoveError,
    queue::{SendError, TakeError},
    signals::SignalSet,
    Fifo, Latest, Link, Mailbox, Observer, ObserverOptions, Queue, Ring, Semaphore, Shared,
    Signals, Start, Strategy,
};
use std::any::Any;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Ends a hang.
const PATIENCE: Duration = Duration::from_secs(60);
const ONCE: Duration = Duration::from_millis(1);

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

/// A call that is expected to end with an error, which it returns as text.
type Attempt = Box<dyn FnOnce() -> String + Send>;
/// What has to live as long as the attempt takes.
type Keep = Box<dyn Any>;

fn outcome<T, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => format!("{error:?}"),
    }
}

fn attempt<T, E: Debug>(call: impl FnOnce() -> Result<T, E> + Send + 'static) -> Attempt {
    Box::new(move || outcome(call()))
}

/// Calls until it is told that the object is removed.
fn until_removed<T, E: Debug>(mut call: impl FnMut() -> Result<T, E>) {
    let began = Instant::now();
    loop {
        match call() {
            Ok(_) => assert!(began.elapsed() < PATIENCE, "it never learns"),
            Err(error) => return assert_removed("a caller", &format!("{error:?}")),
        }
    }
}

#[track_caller]
fn assert_removed(who: &str, said: &str) {
    assert!(said.contains("emoved"), "{who}: {said}");
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn remove(path: &Path) {
    slipring::registry::remove_at(path, true).unwrap();
}

fn ring(path: &Path) -> Ring {
    let builder = Ring::builder(path).capacity_bytes(4096);
    builder.create_or_open().unwrap()
}

fn observer(ring: &Ring, strategy: Strategy) -> Observer {
    let options = ObserverOptions::new().strategy(strategy);
    ring.observer_with(Start::Latest, options).unwrap()
}

fn fifo(path: &Path, both_ways: bool) -> Fifo {
    let builder = Fifo::builder(path).both_ways(both_ways);
    builder.capacity_bytes(4096).create_or_open().unwrap()
}

fn link(path: &Path, me: &str, peer: &str) -> slipring::link::LinkBuilder {
    let builder = Link::builder(me, peer).directory(path.parent().unwrap());
    builder.capacity_bytes(4096)
}

fn connected(path: &Path) -> (Link, Link) {
    let other = link(path, "b", "a");
    let other = std::thread::spawn(move || other.connect_until(PATIENCE).unwrap());
    let this = link(path, "a", "b").connect_until(PATIENCE).unwrap();
    (this, other.join().unwrap())
}

/// Every role of every form, on a handle that was opened before the removal.
type Attach = fn(&Path) -> Attempt;
const ROLES: &[(&str, Attach)] = &[
    ("producer", |path| {
        let ring = ring(path);
        attempt(move || ring.producer())
    }),
    ("consumer", |path| {
        let ring = ring(path);
        attempt(move || ring.consumer(Start::Latest))
    }),
    ("durable consumer", |path| {
        let ring = ring(path);
        attempt(move || ring.durable_consumer("me", Start::Latest))
    }),
    ("forgetting a cursor", |path| {
        let ring = ring(path);
        attempt(move || ring.forget_cursor("me"))
    }),
    ("observer", |path| {
        let ring = ring(path);
        attempt(move || ring.observer(Start::Latest))
    }),
    ("observer that spins", |path| {
        let ring = ring(path);
        let options = ObserverOptions::new().strategy(Strategy::Spin);
        attempt(move || ring.observer_with(Start::Latest, options))
    }),
    ("sender", |path| {
        let queue = Queue::builder(path).create_or_open().unwrap();
        attempt(move || queue.sender())
    }),
    ("receiver", |path| {
        let queue = Queue::builder(path).create_or_open().unwrap();
        attempt(move || queue.receiver())
    }),
    ("client", |path| {
        let mailbox = Mailbox::builder(path).create_or_open().unwrap();
        attempt(move || mailbox.client("me"))
    }),
    ("desk", |path| {
        let mailbox = Mailbox::builder(path).create_or_open().unwrap();
        attempt(move || mailbox.receiver())
    }),
    ("end that writes", |path| {
        let fifo = fifo(path, false);
        attempt(move || fifo.writer_until(PATIENCE))
    }),
    ("end that reads", |path| {
        let fifo = fifo(path, false);
        attempt(move || fifo.reader_until(PATIENCE))
    }),
    ("end of two ways", |path| {
        let fifo = fifo(path, true);
        attempt(move || fifo.connect_until(PATIENCE))
    }),
    ("writer of a value", |path| {
        let latest = Latest::<Value>::builder(path).create_or_open().unwrap();
        attempt(move || latest.writer())
    }),
    ("reader of a value", |path| {
        let latest = Latest::<Value>::builder(path).create_or_open().unwrap();
        attempt(move || latest.reader())
    }),
    ("listener", |path| {
        let signals = Signals::builder(path).create_or_open().unwrap();
        attempt(move || signals.listener("me"))
    }),
    ("target", |path| {
        let signals = Signals::builder(path).create_or_open().unwrap();
        attempt(move || signals.target("me"))
    }),
    ("broadcast", |path| {
        let signals = Signals::builder(path).create_or_open().unwrap();
        attempt(move || signals.broadcast(1))
    }),
];

#[test]
fn nothing_attaches_to_what_is_removed() {
    for (role, attach) in ROLES {
        let scratch = scratch();
        let path = scratch.path().join("x");
        let before = attach(&path);
        remove(&path);
        assert_removed(role, &before());
        // Nor after another one has its name.
        let before = attach(&path);
        remove(&path);
        let _next = attach(&path);
        assert_removed(role, &before());
    }
}

/// Every call that waits, each of which would wait for ever.
type Wait = fn(&Path) -> (Attempt, Keep);
const WAITS: &[(&str, Wait)] = &[
    ("consumer", |path| {
        let mut consumer = ring(path).consumer(Start::Latest).unwrap();
        let call = attempt(move || consumer.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("batch of a consumer", |path| {
        let mut consumer = ring(path).consumer(Start::Latest).unwrap();
        let call = attempt(move || consumer.receive_batch_until(8, PATIENCE).map(|_| ()));
        // A producer that lives does not change it.
        (call, Box::new(ring(path).producer()))
    }),
    ("observer that parks", |path| {
        let mut observer = observer(&ring(path), Strategy::Park);
        let call = attempt(move || observer.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("observer that spins", |path| {
        let mut observer = observer(&ring(path), Strategy::Spin);
        let call = attempt(move || observer.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("observer that yields", |path| {
        let mut observer = observer(&ring(path), Strategy::Yield);
        let call = attempt(move || observer.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("conflated consumer", |path| {
        let consumer = ring(path).consumer(Start::Latest).unwrap();
        let mut consumer = consumer.conflated(|bytes: &[u8]| bytes.len());
        let call = attempt(move || consumer.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("producer", |path| {
        let consumer = ring(path).consumer(Start::Latest).unwrap();
        let mut producer = ring(path).producer().unwrap();
        while producer.try_publish(&[7; 40]).is_ok() {}
        let call = attempt(move || producer.publish_until(&[7; 40], PATIENCE));
        (call, Box::new(consumer))
    }),
    ("claim", |path| {
        let consumer = ring(path).consumer(Start::Latest).unwrap();
        let mut producer = ring(path).producer().unwrap();
        while producer.try_publish(&[7; 40]).is_ok() {}
        let call = attempt(move || producer.claim_until(40, PATIENCE).map(|_| ()));
        (call, Box::new(consumer))
    }),
    ("batch of a producer", |path| {
        let consumer = ring(path).consumer(Start::Latest).unwrap();
        let mut producer = ring(path).producer().unwrap();
        while producer.try_publish(&[7; 40]).is_ok() {}
        let call = attempt(move || producer.batch().push_until(&[7; 40], PATIENCE));
        (call, Box::new(consumer))
    }),
    ("receiver", |path| {
        let queue = Queue::builder(path).create_or_open().unwrap();
        let mut receiver = queue.receiver().unwrap();
        let call = attempt(move || receiver.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("receiver that does not take", |path| {
        let queue = Queue::builder(path).create_or_open().unwrap();
        let mut receiver = queue.receiver().unwrap();
        (
            attempt(move || receiver.wait_until(PATIENCE)),
            Box::new(queue.sender()),
        )
    }),
    ("sender", |path| {
        let queue = Queue::builder(path).depth(2);
        let mut sender = queue.create_or_open().unwrap().sender().unwrap();
        while sender.try_send(b"x").is_ok() {}
        let call = attempt(move || sender.send_until(b"x", 0, PATIENCE));
        (call, Box::new(()))
    }),
    ("request", |path| {
        let mailbox = Mailbox::builder(path).create_or_open().unwrap();
        let mut client = mailbox.client("me").unwrap();
        let call = attempt(move || client.request_until(b"x", PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("desk", |path| {
        let mailbox = Mailbox::builder(path).create_or_open().unwrap();
        let mut desk = mailbox.receiver().unwrap();
        let call = attempt(move || desk.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(()))
    }),
    ("reader of a value", |path| {
        let latest = Latest::<Value>::builder(path).create_or_open().unwrap();
        let mut reader = latest.reader().unwrap();
        let call = attempt(move || reader.wait_at_until(0, 0, PATIENCE));
        (call, Box::new(latest.writer()))
    }),
    ("reader of a table", |path| {
        let latest = Latest::<Value>::builder(path).create_or_open().unwrap();
        let mut reader = latest.reader().unwrap();
        let call = attempt(move || loop {
            reader.wait_until(PATIENCE)?;
            if false {
                break Ok::<(), slipring::latest::LatestError>(());
            }
        });
        (call, Box::new(()))
    }),
    ("change of a shared value", |path| {
        let builder = || Shared::<Value>::builder(path).create_or_open();
        let mut shared = builder().unwrap();
        let call = attempt(move || shared.wait_until(0, PATIENCE));
        (call, Box::new(builder()))
    }),
    ("lock of a shared value", |path| {
        let builder = || Shared::<Value>::builder(path).create_or_open();
        let (mut shared, holder) = (builder().unwrap(), Box::leak(Box::new(builder().unwrap())));
        let guard = holder.lock().unwrap();
        let call = attempt(move || shared.lock_until(PATIENCE).map(|_| ()));
        (call, Box::new(guard))
    }),
    ("semaphore", |path| {
        let semaphore = Semaphore::builder(path)
            .permits(1)
            .create_or_open()
            .unwrap();
        let permit = semaphore.acquire().unwrap();
        let call = attempt(move || semaphore.acquire_until(PATIENCE));
        (call, Box::new(permit))
    }),
    ("listener", |path| {
        let signals = Signals::builder(path).create_or_open().unwrap();
        let mut listener = signals.listener("me").unwrap();
        let call = attempt(move || listener.wait_until(SignalSet::ALL, PATIENCE));
        (call, Box::new(signals))
    }),
    ("handler of signals", |path| {
        let signals = Signals::builder(path).create_or_open().unwrap();
        let listener = signals.listener("me").unwrap();
        let background = listener.in_background(SignalSet::ALL, |_| panic!("nothing was sent"));
        let call = attempt(move || background.unwrap().join());
        (call, Box::new(signals))
    }),
    ("link without a peer", |path| {
        let link = link(path, "a", "b");
        // The other side was there, so the link is.
        let began = Instant::now();
        let call = attempt(move || link.connect_until(PATIENCE));
        assert!(began.elapsed() < PATIENCE);
        (call, Box::new(()))
    }),
    ("link that receives", |path| {
        let (mut this, other) = connected(path);
        let call = attempt(move || this.receive_until(PATIENCE).map(|_| ()));
        (call, Box::new(other))
    }),
    ("link that sends", |path| {
        let (mut this, other) = connected(path);
        while this.try_send(&[7; 40]).is_ok() {}
        let call = attempt(move || this.send_until(&[7; 40], PATIENCE));
        (call, Box::new(other))
    }),
    ("named pipe without a writer", |path| {
        let fifo = fifo(path, false);
        (attempt(move || fifo.reader_until(PATIENCE)), Box::new(()))
    }),
    ("named pipe without a reader", |path| {
        let fifo = fifo(path, false);
        (attempt(move || fifo.writer_until(PATIENCE)), Box::new(()))
    }),
    ("named pipe of two ways", |path| {
        let fifo = fifo(path, true);
        (attempt(move || fifo.connect_until(PATIENCE)), Box::new(()))
    }),
    ("end that reads", |path| {
        let (mut reader, writer) = pipe(path);
        reader.set_timeout(Some(PATIENCE));
        let call = attempt(move || reader.read(&mut [0; 8]));
        (call, Box::new(writer))
    }),
    ("end that writes", |path| {
        let (reader, mut writer) = pipe(path);
        writer.set_timeout(Some(ONCE));
        while writer.write(&[7; 40]).is_ok() {}
        writer.set_timeout(Some(PATIENCE));
        let call = attempt(move || writer.write(&[7; 40]));
        (call, Box::new(reader))
    }),
];

fn pipe(path: &Path) -> (slipring::pipe::PipeReader, slipring::pipe::PipeWriter) {
    let reader = fifo(path, false);
    let reader = std::thread::spawn(move || reader.reader_until(PATIENCE).unwrap());
    let writer = fifo(path, false).writer_until(PATIENCE).unwrap();
    (reader.join().unwrap(), writer)
}

/// Where the object of a wait lies: a link chooses its own name.
fn place(directory: &Path, who: &str) -> PathBuf {
    let name = if who.starts_with("link") { "a..b" } else { "x" };
    directory.join(name)
}

#[test]
fn every_wait_ends_when_its_object_is_removed_and_made_again() {
    std::thread::scope(|scope| {
        for (who, wait) in WAITS {
            scope.spawn(move || {
                let scratch = scratch();
                let path = place(scratch.path(), who);
                let mut earlier: Vec<(mpsc::Receiver<String>, Keep)> = Vec::new();
                for _ in 0..2 {
                    let (call, keep) = wait(&path);
                    let (done, end) = mpsc::channel();
                    std::thread::spawn(move || done.send(call()));
                    // One that connects makes what it connects to.
                    let began = Instant::now();
                    while !path.exists() && began.elapsed() < PATIENCE {
                        std::thread::yield_now();
                    }
                    earlier.push((end, keep));
                    remove(&path);
                }
                // The second was made while the first may still have been in use.
                for (end, keep) in earlier {
                    let said = end.recv_timeout(2 * PATIENCE);
                    assert_removed(who, &said.expect("the wait ends"));
                    drop(keep);
                }
            });
        }
    });
}

/// A removal takes the name first and the files later. Between the two, handles that open what lies beside
/// their files are told as afterwards.
#[test]
fn an_object_without_a_name_is_removed_to_those_that_need_it() {
    type Step = fn(&Path) -> Attempt;
    let steps: &[(&str, Step)] = &[
        ("the first send", |path| {
            let queue = Queue::builder(path).create().unwrap();
            let mut sender = queue.sender().unwrap();
            attempt(move || sender.send(b"x"))
        }),
        ("the first of another priority", |path| {
            let queue = Queue::builder(path).create().unwrap();
            let mut sender = queue.sender().unwrap();
            sender.send(b"x").unwrap();
            attempt(move || sender.send_with_priority(b"x", 1))
        }),
        ("a sender, then its first send", |path| {
            let queue = Queue::builder(path).create().unwrap();
            Box::new(move || match queue.sender() {
                Ok(mut sender) => outcome(sender.try_send(b"x")),
                Err(error) => outcome::<(), _>(Err(error)),
            })
        }),
        ("a receiver that meets a lane", |path| {
            let queue = Queue::builder(path).create().unwrap();
            let mut receiver = queue.receiver().unwrap();
            queue.sender().unwrap().send(b"x").unwrap();
            attempt(move || receiver.receive_until(PATIENCE).map(|_| ()))
        }),
        ("the first request", |path| {
            let mailbox = Mailbox::builder(path).create().unwrap();
            let mut client = mailbox.client("me").unwrap();
            attempt(move || client.request_until(b"x", ONCE).map(|_| ()))
        }),
        ("another client", |path| {
            let mailbox = Mailbox::builder(path).create().unwrap();
            attempt(move || mailbox.client("me").map(|_| ()))
        }),
        ("a named pipe of two ways", |path| {
            let fifo = fifo(path, true);
            attempt(move || fifo.connect_until(ONCE).map(|_| ()))
        }),
    ];
    for (who, step) in steps {
        let scratch = scratch();
        let path = scratch.path().join("x");
        let call = step(&path);
        std::fs::rename(&path, scratch.path().join(".x.half")).unwrap();
        assert_removed(who, &call());
    }
}

#[test]
fn readers_get_everything_before_they_are_told() {
    let scratch = scratch();
    let path = scratch.path().join("x");
    let mut producer = ring(&path).producer().unwrap();
    let mut consumer = ring(&path).consumer(Start::Oldest).unwrap();
    let mut watcher = ring(&path).observer(Start::Oldest).unwrap();
    for number in 0..5u64 {
        producer.publish(&number.to_le_bytes()).unwrap();
    }
    remove(&path);
    assert!(ring(&path).consumer(Start::Oldest).is_ok(), "a new one");
    for number in 0..5u64 {
        let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(*message, number.to_le_bytes());
        drop(message);
        match watcher.receive_until(PATIENCE).unwrap() {
            slipring::Received::Message(m) => assert_eq!(*m, number.to_le_bytes()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        consumer.receive_until(PATIENCE).map(|_| ()),
        Err(slipring::endpoint::ReceiveError::Removed)
    );
    assert_eq!(
        watcher.receive_until(PATIENCE).map(|_| ()),
        Err(slipring::endpoint::ReceiveError::Removed)
    );
    // What is published all the same arrives.
    producer.publish(b"more").unwrap();
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    assert_eq!(&*message, b"more");
}

#[test]
fn writers_that_never_wait_learn_of_it() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name);
    for (name, stamps) in [("plain", false), ("stamps", true)] {
        let builder = Ring::builder(path(name)).capacity_bytes(1 << 16);
        let ring = builder.stamps(stamps).create().unwrap();
        let mut producer = ring.producer().unwrap();
        producer.publish(b"first").unwrap();
        assert!(!ring.is_removed() && ring.status().is_ok());
        remove(&path(name));
        assert!(ring.is_removed());
        let status = ring.status();
        assert!(matches!(status, Err(StatusError::Removed { .. })));
        until_removed(|| producer.publish(&[1; 8]));
        // And from then on, by whichever way.
        assert_removed("publish", &outcome(producer.publish(b"")));
        assert_removed("try_publish", &outcome(producer.try_publish(b"")));
        assert_removed("claim", &outcome(producer.claim(0).map(|_| ())));
        assert_removed("try_claim", &outcome(producer.try_claim(0).map(|_| ())));
        assert_removed("batch", &outcome(producer.batch().push(b"")));
        assert_removed("batch", &outcome(producer.batch().try_push(b"")));
    }

    let queue = Queue::builder(path("queue")).create().unwrap();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(b"first").unwrap();
    remove(&path("queue"));
    assert!(queue.is_removed());
    until_removed(|| {
        while let Ok(message) = receiver.try_receive() {
            message.ack().unwrap();
        }
        sender.send(b"next")
    });

    let latest = Latest::<Value>::builder(path("latest")).create().unwrap();
    let mut writer = latest.writer().unwrap();
    writer.set(&Value { number: 1 }).unwrap();
    remove(&path("latest"));
    assert!(latest.is_removed());
    until_removed(|| writer.set(&Value { number: 2 }));
    assert_removed("set", &outcome(writer.set(&Value { number: 3 })));

    let semaphore = Semaphore::builder(path("semaphore")).permits(1).create();
    let semaphore = semaphore.unwrap();
    drop(semaphore.acquire().unwrap());
    remove(&path("semaphore"));
    assert!(semaphore.is_removed());
    until_removed(|| semaphore.try_acquire());
    assert_removed("acquire", &outcome(semaphore.acquire()));

    let mut shared = Shared::<Value>::builder(path("shared")).create().unwrap();
    drop(shared.lock().unwrap());
    remove(&path("shared"));
    assert!(shared.is_removed());
    until_removed(|| shared.lock().map(|_| ()));
    assert_removed("lock", &outcome(shared.try_lock().map(|_| ())));

    let signals = Signals::builder(path("signals")).create().unwrap();
    let _listener = signals.listener("me").unwrap();
    let mut target = signals.target("me").unwrap();
    target.send(1).unwrap();
    signals.broadcast(1).unwrap();
    remove(&path("signals"));
    assert!(signals.is_removed());
    until_removed(|| target.send(1));
    until_removed(|| signals.broadcast(1));
}

#[test]
fn nothing_reaches_a_queue_that_is_made_under_the_same_name() {
    let scratch = scratch();
    let path = scratch.path().join("x");
    let make = || Queue::builder(&path).create().unwrap();
    let old = make();
    // One has no lane yet, the other one has not seen any.
    let (mut sender, mut receiver) = (old.sender().unwrap(), old.receiver().unwrap());
    remove(&path);
    let new = make();
    new.sender().unwrap().send(b"new").unwrap();
    assert!(matches!(sender.send(b"old"), Err(SendError::Removed)));
    assert!(matches!(
        receiver.receive_until(PATIENCE).map(|_| ()),
        Err(TakeError::Removed)
    ));
    let mut receiver = new.receiver().unwrap();
    assert_eq!(&*receiver.try_receive().unwrap(), b"new");
}

#[test]
fn an_end_that_waits_for_the_other_keeps_its_object_from_being_removed() {
    let scratch = scratch();
    let in_use = |path: &Path| {
        let began = Instant::now();
        loop {
            match slipring::registry::remove_at(path, false) {
                Err(RemoveError::InUse { ends: 1, .. }) => break,
                // It has not come yet.
                Err(_) => assert!(began.elapsed() < PATIENCE),
                Ok(()) => panic!("removed under a process that waits"),
            }
        }
    };
    for both_ways in [false, true] {
        let path = scratch.path().join("pipe");
        let fifo = fifo(&path, both_ways);
        let waiting = std::thread::spawn(move || match both_ways {
            false => outcome(fifo.reader_until(PATIENCE)),
            true => outcome(fifo.connect_until(PATIENCE)),
        });
        while self::fifo(&path, both_ways).status().unwrap().ends == [None, None] {
            std::thread::yield_now();
        }
        in_use(&path);
        remove(&path);
        assert_removed("end", &waiting.join().unwrap());
    }
    let path = scratch.path().join("a..b");
    let link = link(&path, "a", "b");
    let waiting = std::thread::spawn(move || outcome(link.connect_until(PATIENCE)));
    while !slipring::link::link_status(&path).is_ok_and(|link| link.sides[0].is_some()) {
        std::thread::yield_now();
    }
    in_use(&path);
    remove(&path);
    assert_removed("side", &waiting.join().unwrap());
}

/// Of one that attaches and one that removes without force, one fails.
#[test]
fn what_attached_is_not_removed_without_force() {
    let scratch = scratch();
    let path = scratch.path().join("x");
    let (asked, to_attach) = mpsc::sync_channel::<Ring>(0);
    let attacher = std::thread::spawn(move || {
        let (mut attached, mut late) = (0, 0);
        for (round, ring) in to_attach.iter().enumerate() {
            let handle: Result<Box<dyn Any>, _> = match round % 3 {
                0 => ring.producer().map(|handle| Box::new(handle) as _),
                1 => ring
                    .consumer(Start::Latest)
                    .map(|handle| Box::new(handle) as _),
                _ => ring
                    .observer(Start::Latest)
                    .map(|handle| Box::new(handle) as _),
            };
            match handle {
                Ok(handle) => {
                    // A remover that saw it gives up; give one that did not the time to finish.
                    for _ in 0..20 {
                        assert!(!ring.is_removed(), "round {round}: removed under it");
                        std::thread::yield_now();
                    }
                    drop(handle);
                    attached += 1;
                }
                Err(error) => {
                    assert_removed("attacher", &format!("{error:?}"));
                    late += 1;
                }
            }
        }
        (attached, late)
    });
    for _ in 0..600 {
        let ring = ring(&path);
        asked.send(ring).unwrap();
        let began = Instant::now();
        while let Err(error) = slipring::registry::remove_at(&path, false) {
            assert!(matches!(error, RemoveError::InUse { .. }), "{error}");
            assert!(began.elapsed() < PATIENCE);
        }
    }
    drop(asked);
    let (attached, late) = attacher.join().unwrap();
    assert_eq!(attached + late, 600);
}
