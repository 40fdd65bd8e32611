//! Callers that never wait, or for moments only, learn that what they use was removed, as those that wait do: every
//! role of every form that has such a call.

use slipring::{
    endpoint::{PublishError, ReceiveError, TryPublishError, TryReceiveError},
    latest::LatestError,
    link::LinkError,
    mailbox::RequestError,
    queue::{SendError, TakeError},
    semaphore::AcquireError,
    shared::SharedError,
    signals::{SignalError, SignalSet},
    Latest, Link, Mailbox, Queue, Ring, Semaphore, Shared, Signals, Start,
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

/// A caller that tries once, and finds nothing. Returns the code of its error.
type Try = Box<dyn FnMut() -> Option<u32>>;

/// An error with a code.
trait Coded {
    fn code(&self) -> u32;
}

macro_rules! coded {
    ($($error:ty),* $(,)?) => {$(
        impl Coded for $error {
            fn code(&self) -> u32 {
                self.code()
            }
        }
    )*};
}

// The inherent methods, not these.
coded!(
    AcquireError,
    LatestError,
    LinkError,
    PublishError,
    ReceiveError,
    RequestError,
    SendError,
    SharedError,
    SignalError,
    TakeError,
    TryPublishError,
    TryReceiveError,
);

fn said<T, E: Coded>(tried: Result<T, E>) -> Option<u32> {
    tried.err().map(|error| error.code())
}

/// Makes an object at a path, and the caller.
type Caller = fn(&Path) -> Try;

/// A role, the code of the error that tells it of a removal, and the caller. A client may learn of it by what it sends or
/// by what it waits for.
type Role = (&'static str, &'static [u32], Caller);

/// Every role that has a call which never waits, but a reader of newest values: reading one always finds what is
/// there, and asks nothing.
const TRIES: &[Role] = &[
    ("consumer", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || said(consumer.try_receive()))
    }),
    ("observer", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut observer = ring.observer(Start::Latest).unwrap();
        Box::new(move || said(observer.try_receive()))
    }),
    ("producer", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut producer = ring.producer().unwrap();
        Box::new(move || said(producer.try_publish(b"one")))
    }),
    ("producer of a full ring", &[413], |path| {
        let ring = Ring::builder(path).capacity_bytes(4096).create().unwrap();
        let (mut producer, consumer) = (ring.producer().unwrap(), ring.consumer(Start::Latest));
        while producer.try_publish(b"one").is_ok() {}
        Box::new(move || {
            let _ = &consumer;
            said(producer.try_publish(b"one"))
        })
    }),
    ("producer that waits for moments", &[413], |path| {
        let ring = Ring::builder(path).capacity_bytes(4096).create().unwrap();
        let (mut producer, consumer) = (ring.producer().unwrap(), ring.consumer(Start::Latest));
        while producer.try_publish(b"one").is_ok() {}
        Box::new(move || {
            let _ = &consumer;
            said(producer.publish_until(b"one", Duration::from_micros(100)))
        })
    }),
    ("claim in a full ring", &[413], |path| {
        let ring = Ring::builder(path).capacity_bytes(4096).create().unwrap();
        let (mut producer, consumer) = (ring.producer().unwrap(), ring.consumer(Start::Latest));
        while producer.try_publish(b"one").is_ok() {}
        Box::new(move || {
            let _ = &consumer;
            said(producer.try_claim(3))
        })
    }),
    ("sender of a queue", &[707], |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || {
            let sent = said(sender.try_send(b"one"));
            let _ = receiver.try_receive().map(|delivery| delivery.ack());
            sent
        })
    }),
    ("sender of a full queue", &[707], |path| {
        let queue = Queue::builder(path).depth(2).create().unwrap();
        let mut sender = queue.sender().unwrap();
        while sender.try_send(b"one").is_ok() {}
        Box::new(move || said(sender.try_send(b"one")))
    }),
    ("client of a full mailbox", &[707], |path| {
        let mailbox = Mailbox::builder(path).depth(2).create().unwrap();
        let mut client = mailbox.client("me").unwrap();
        while client.try_send(b"one").is_ok() {}
        Box::new(move || said(client.try_send(b"one")))
    }),
    ("writer of a newest value", &[735], |path| {
        let latest = Latest::<Value>::builder(path).create().unwrap();
        let mut writer = latest.writer().unwrap();
        Box::new(move || said(writer.set(&Value { number: 1 })))
    }),
    ("sender to one listener", &[745], |path| {
        let signals = Signals::builder(path).create().unwrap();
        let listener = signals.listener("me").unwrap();
        let mut target = signals.target("me").unwrap();
        Box::new(move || {
            let _ = &listener;
            said(target.send(1))
        })
    }),
    ("sender to all listeners", &[745], |path| {
        let signals = Signals::builder(path).create().unwrap();
        Box::new(move || said(signals.broadcast(1)))
    }),
    ("receiver of a queue", &[716], |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || said(receiver.try_receive()))
    }),
    ("receiver of a mailbox", &[716], |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver().unwrap();
        Box::new(move || said(receiver.try_receive()))
    }),
    ("listener", &[745], |path| {
        let signals = Signals::builder(path).create().unwrap();
        let mut listener = signals.listener("me").unwrap();
        Box::new(move || said(listener.try_wait(SignalSet::ALL)))
    }),
    ("semaphore", &[725], |path| {
        let semaphore = Semaphore::builder(path).permits(1).create().unwrap();
        let held = semaphore.acquire().unwrap();
        Box::new(move || {
            let _ = &held;
            said(semaphore.try_acquire())
        })
    }),
    ("lock of a shared value", &[755], |path| {
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
const MOMENTS: &[Role] = &[
    ("consumer", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || said(consumer.receive_until(MOMENT)))
    }),
    ("consumer of batches", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || said(consumer.receive_batch_until(8, MOMENT)))
    }),
    ("consumer beside a producer", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        Box::new(move || {
            let _ = &producer;
            said(consumer.receive_until(MOMENT))
        })
    }),
    ("observer", &[413], |path| {
        let ring = Ring::builder(path).create().unwrap();
        let mut observer = ring.observer(Start::Latest).unwrap();
        Box::new(move || said(observer.receive_until(MOMENT)))
    }),
    ("receiver of a queue", &[716], |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || said(receiver.receive_until(MOMENT)))
    }),
    ("receiver that only waits", &[716], |path| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        Box::new(move || said(receiver.wait_until(MOMENT)))
    }),
    ("sender of a full queue", &[707], |path| {
        let queue = Queue::builder(path).depth(2).create().unwrap();
        let mut sender = queue.sender().unwrap();
        while sender.try_send(b"one").is_ok() {}
        Box::new(move || said(sender.send_until(b"one", 0, MOMENT)))
    }),
    ("receiver of a mailbox", &[716], |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver().unwrap();
        Box::new(move || said(receiver.receive_until(MOMENT)))
    }),
    ("receiver of a mailbox that only waits", &[716], |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver().unwrap();
        Box::new(move || said(receiver.wait_until(MOMENT)))
    }),
    ("client that asks", &[707, 716], |path| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let receiver = mailbox.receiver().unwrap();
        let mut client = mailbox.client("me").unwrap();
        Box::new(move || {
            let _ = &receiver;
            said(client.request_until(b"one", MOMENT))
        })
    }),
    ("listener", &[745], |path| {
        let signals = Signals::builder(path).create().unwrap();
        let mut listener = signals.listener("me").unwrap();
        Box::new(move || said(listener.wait_until(SignalSet::ALL, MOMENT)))
    }),
    ("reader of a newest value", &[735], |path| {
        let latest = Latest::<Value>::builder(path).create().unwrap();
        let mut reader = latest.reader().unwrap();
        Box::new(move || said(reader.wait_until(MOMENT)))
    }),
    ("reader of a shared value", &[755], |path| {
        let mut value = Shared::<Value>::builder(path).create().unwrap();
        Box::new(move || said(value.wait_until(0, MOMENT)))
    }),
    ("semaphore", &[725], |path| {
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

fn learn_of_a_removal(callers: &[Role]) {
    let scratch = Scratch::new();
    let path = scratch.0.join("it");
    for (role, removed, make) in callers {
        let mut attempt = make(&path);
        // Some never find what they look for, so that only a question can end this.
        let is_removed = |code: Option<u32>| code.is_some_and(|code| removed.contains(&code));
        assert!(!is_removed(attempt()), "{role}");
        slipring::registry::remove_at(&path, true).unwrap();
        let began = Instant::now();
        while !is_removed(attempt()) {
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
    type Call = fn(&mut Link) -> Option<u32>;
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
        while call(&mut one) != Some(770) {
            assert!(
                began.elapsed() < PATIENCE,
                "a side that {what} never learned of it"
            );
            std::thread::yield_now();
        }
        drop(other);
    }
}
