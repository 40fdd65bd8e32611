//! Callers that never wait, or for moments only, learn that what they use was removed, as those that wait do: every
//! role of every form that has such a call.

use slipring::{
    signals::SignalSet, Latest, Link, Mailbox, Queue, Ring, Semaphore, Shared, Signals, Start,
};
use std::path::Path;
use std::time::{Duration, Instant};
use testing::{Scratch, PATIENCE};

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    callers_that_only_try_learn_of_a_removal,
    callers_that_wait_for_moments_learn_of_a_removal,
    sides_of_a_link_learn_of_a_removal,
]);

/// A caller that tries once, and finds nothing. Returns why.
type Try = Box<dyn FnMut() -> String>;

fn said<T, E: std::fmt::Display>(tried: Result<T, E>) -> String {
    tried.err().map_or(String::new(), |error| error.to_string())
}

/// Makes an object at a path, and the caller.
type Caller = fn(&Path) -> Try;

/// Every role that has a call which never waits, but a reader of newest values: reading one always finds what is
/// there, and asks nothing.
const TRIES: &[(&str, Caller)] = &[
    ("consumer", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || said(consumer.try_receive()))
    }),
    ("observer", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut observer = ring.observer(Start::Latest).unwrap();
        Box::new(move || said(observer.try_receive()))
    }),
    ("producer", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut producer = ring.producer().unwrap();
        Box::new(move || said(producer.try_publish(b"one")))
    }),
    ("producer of a full ring", |path| {
        let ring = Ring::builder(path).capacity_bytes(4096).create().unwrap();
        let (mut producer, consumer) = (ring.producer().unwrap(), ring.consumer(Start::Latest));
        while producer.try_publish(b"one").is_ok() {}
        Box::new(move || {
            let _ = &consumer;
            said(producer.try_publish(b"one"))
        })
    }),
    ("producer that waits for moments", |path| {
        let ring = Ring::builder(path).capacity_bytes(4096).create().unwrap();
        let (mut producer, consumer) = (ring.producer().unwrap(), ring.consumer(Start::Latest));
        while producer.try_publish(b"one").is_ok() {}
        Box::new(move || {
            let _ = &consumer;
            said(producer.publish_until(b"one", Duration::from_micros(100)))
        })
    }),
    ("claim in a full ring", |path| {
        let ring = Ring::builder(path).capacity_bytes(4096).create().unwrap();
        let (mut producer, consumer) = (ring.producer().unwrap(), ring.consumer(Start::Latest));
        while producer.try_publish(b"one").is_ok() {}
        Box::new(move || {
            let _ = &consumer;
            said(producer.try_claim(3))
        })
    }),
    ("sender of a queue", |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || {
            let sent = said(sender.try_send(b"one"));
            let _ = receiver.try_receive().map(|delivery| delivery.ack());
            sent
        })
    }),
    ("sender of a full queue", |path| {
        let queue = Queue::builder(path).depth(2).create().unwrap();
        let mut sender = queue.sender().unwrap();
        while sender.try_send(b"one").is_ok() {}
        Box::new(move || said(sender.try_send(b"one")))
    }),
    ("client of a full mailbox", |path| {
        let mailbox = Mailbox::builder(path).depth(2).create().unwrap();
        let mut client = mailbox.client("me").unwrap();
        while client.try_send(b"one").is_ok() {}
        Box::new(move || said(client.try_send(b"one")))
    }),
    ("writer of a newest value", |path| {
        let latest = Latest::<Value>::builder(path).create().unwrap();
        let mut writer = latest.writer().unwrap();
        Box::new(move || said(writer.set(&Value { number: 1 })))
    }),
    ("sender to one listener", |path| {
        let signals = Signals::builder(path).create().unwrap();
        let listener = signals.listener("me").unwrap();
        let mut target = signals.target("me").unwrap();
        Box::new(move || {
            let _ = &listener;
            said(target.send(1))
        })
    }),
    ("sender to all listeners", |path| {
        let signals = Signals::builder(path).create().unwrap();
        Box::new(move || said(signals.broadcast(1)))
    }),
    ("receiver of a queue", |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || said(receiver.try_receive()))
    }),
    ("receiver of a mailbox", |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver().unwrap();
        Box::new(move || said(receiver.try_receive()))
    }),
    ("listener", |path| {
        let signals = Signals::builder(path).create().unwrap();
        let mut listener = signals.listener("me").unwrap();
        Box::new(move || said(listener.try_wait(SignalSet::ALL)))
    }),
    ("semaphore", |path| {
        let semaphore = Semaphore::builder(path).permits(1).create().unwrap();
        let held = semaphore.acquire().unwrap();
        Box::new(move || {
            let _ = &held;
            said(semaphore.try_acquire())
        })
    }),
    ("lock of a shared value", |path| {
        let mut value = Shared::<Value>::builder(path).create().unwrap();
        // The holder is another handle, which stays locked.
        let holder = Box::leak(Box::new(Shared::<Value>::open(path).unwrap()));
        let held = holder.lock().unwrap();
        Box::new(move || {
            let _ = &held;
            said(value.try_lock())
        })
    }),
];

/// Less than after which a wait asks by itself.
const MOMENT: Duration = Duration::from_micros(100);

/// The same of callers that wait for moments.
const MOMENTS: &[(&str, Caller)] = &[
    ("consumer", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || said(consumer.receive_until(MOMENT)))
    }),
    ("consumer of batches", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || said(consumer.receive_batch_until(8, MOMENT)))
    }),
    ("consumer beside a producer", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || {
            let _ = &producer;
            said(consumer.receive_until(MOMENT))
        })
    }),
    ("observer", |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut observer = ring.observer(Start::Latest).unwrap();
        Box::new(move || said(observer.receive_until(MOMENT)))
    }),
    ("receiver of a queue", |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || said(receiver.receive_until(MOMENT)))
    }),
    ("receiver that only waits", |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || said(receiver.wait_until(MOMENT)))
    }),
    ("sender of a full queue", |path| {
        let queue = Queue::builder(path).depth(2).create().unwrap();
        let mut sender = queue.sender().unwrap();
        while sender.try_send(b"one").is_ok() {}
        Box::new(move || said(sender.send_until(b"one", 0, MOMENT)))
    }),
    ("receiver of a mailbox", |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver().unwrap();
        Box::new(move || said(receiver.receive_until(MOMENT)))
    }),
    ("receiver of a mailbox that only waits", |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver().unwrap();
        Box::new(move || said(receiver.wait_until(MOMENT)))
    }),
    ("client that asks", |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let receiver = mailbox.receiver().unwrap();
        let mut client = mailbox.client("me").unwrap();
        Box::new(move || {
            let _ = &receiver;
            said(client.request_until(b"one", MOMENT))
        })
    }),
    ("listener", |path| {
        let signals = Signals::builder(path).create().unwrap();
        let mut listener = signals.listener("me").unwrap();
        Box::new(move || said(listener.wait_until(SignalSet::ALL, MOMENT)))
    }),
    ("reader of a newest value", |path| {
        let latest = Latest::<Value>::builder(path).create().unwrap();
        let mut reader = latest.reader().unwrap();
        Box::new(move || said(reader.wait_until(MOMENT)))
    }),
    ("reader of a shared value", |path| {
        let mut value = Shared::<Value>::builder(path).create().unwrap();
        Box::new(move || said(value.wait_until(0, MOMENT)))
    }),
    ("semaphore", |path| {
        let semaphore = Semaphore::builder(path).permits(1).create().unwrap();
        let held = semaphore.acquire().unwrap();
        Box::new(move || {
            let _ = &held;
            said(semaphore.acquire_until(MOMENT))
        })
    }),
];

fn callers_that_wait_for_moments_learn_of_a_removal() {
    learn_of_a_removal(MOMENTS);
}

fn callers_that_only_try_learn_of_a_removal() {
    learn_of_a_removal(TRIES);
}

fn learn_of_a_removal(callers: &[(&str, Caller)]) {
    let scratch = Scratch::new();
    let path = scratch.0.join("it");
    for (role, make) in callers {
        let mut attempt = make(&path);
        // Some never find what they look for, so that only a question can end this.
        assert!(!attempt().contains("removed"), "{role}");
        slipring::registry::remove_at(&path, true).unwrap();
        let began = Instant::now();
        while !attempt().contains("removed") {
            assert!(began.elapsed() < PATIENCE, "{role} never learned of it");
            std::thread::yield_now();
        }
    }
}

/// Two sides that are connected, and stay.
fn sides(directory: &Path) -> [Link; 2] {
    let link = |me, peer| {
        Link::builder(me, peer)
            .directory(directory)
            .capacity_bytes(4096)
    };
    let other = link("b", "a");
    let other = std::thread::spawn(move || other.connect_until(PATIENCE).unwrap());
    let one = link("a", "b").connect_until(PATIENCE).unwrap();
    [one, other.join().unwrap()]
}

fn sides_of_a_link_learn_of_a_removal() {
    let scratch = Scratch::new();
    type Call = fn(&mut Link) -> String;
    let calls: [(&str, Call); 4] = [
        ("tries to receive", |link| said(link.try_receive())),
        ("receives", |link| said(link.receive_until(MOMENT))),
        ("tries to send", |link| said(link.try_send(b"one"))),
        ("sends", |link| said(link.send_until(b"one", MOMENT))),
    ];
    for (what, call) in calls {
        let [mut one, other] = sides(&scratch.0);
        let path = one.path().to_owned();
        // Sends find no room soon.
        while what.ends_with("send") && one.try_send(b"one").is_ok() {}
        slipring::registry::remove_at(&path, true).unwrap();
        let began = Instant::now();
        while !call(&mut one).contains("removed") {
            assert!(
                began.elapsed() < PATIENCE,
                "a side that {what} never learned of it"
            );
            std::thread::yield_now();
        }
        drop(other);
    }
}
