//! Every handle that waits, of every form, waits as the options say that it was made with: each call that takes
//! options is here by its name. A handle that polls never gives up its core of its own accord, and one that sleeps
//! does.
#![allow(unsafe_code, reason = "asks the kernel how often this thread slept")]

use slipring::{
    fifo::PipeOptions,
    latest::ReaderOptions,
    link::LinkOptions,
    mailbox::ClientOptions,
    pipe::{duplex_with, pipe_with, Duplex, PipeReader, PipeWriter},
    queue::{ReceiverOptions, SenderOptions},
    semaphore::{Permit, SemaphoreOptions},
    shared::SharedOptions,
    signals::{ListenerOptions, SignalSet},
    ConsumerOptions, Fifo, Latest, Link, Mailbox, ObserverOptions, Plain, ProducerOptions, Queue,
    Ring, Semaphore, Shared, Signals, Start, Strategy, Typed,
};
use std::fmt::Display;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use testing::{Scratch, PATIENCE};

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(inherit; [
    each_handle_waits_as_its_options_say,
    an_inherited_end_waits_as_its_options_say,
]);

/// How long each call waits for what does not come.
const SPELL: Duration = Duration::from_millis(5);

/// How often a call may be tried. A call that polls is seldom switched away for another cause; one that sleeps has no
/// time left to do so if another thread had the core until its deadline.
const TRIES: usize = 20;

/// A call that waits for so long, in vain.
type Wait = Box<dyn FnMut(Duration)>;

/// Makes an object at a path, and a handle with this strategy.
type Make = fn(&Path, Strategy) -> Wait;

#[track_caller]
fn in_vain<T, E: Display>(waited: Result<T, E>) {
    let error = waited.err().expect("nothing comes").to_string();
    let late = ["timed out", "until the deadline"];
    assert!(late.iter().any(|late| error.contains(late)), "{error}");
}

fn ring(path: &Path) -> Typed<Value> {
    let builder = Ring::builder(path).capacity_bytes(4096);
    let ring = builder.schema(Value::schema()).create().unwrap();
    ring.typed().unwrap()
}

fn reads(mut reader: PipeReader) -> Wait {
    Box::new(move |spell| {
        reader.set_timeout(Some(spell));
        in_vain(reader.read(&mut [0; 8]));
    })
}

/// Fills the pipe first, whose other end stays.
fn writes<T: 'static>(mut writer: PipeWriter, other: T) -> Wait {
    writer.set_timeout(Some(Duration::ZERO));
    while writer.write(&[0; 64]).is_ok() {}
    Box::new(move |spell| {
        let _ = &other;
        writer.set_timeout(Some(spell));
        in_vain(writer.write(&[0; 64]));
    })
}

fn semaphore(semaphore: Semaphore) -> Wait {
    let held: Permit = semaphore.acquire().unwrap();
    Box::new(move |spell| {
        let _ = &held;
        in_vain(semaphore.acquire_until(spell));
    })
}

fn shared(path: &Path, mut shared: Shared<Value>) -> Wait {
    let holder = Box::leak(Box::new(Shared::<Value>::open(path).unwrap()));
    let held = holder.lock().unwrap();
    Box::new(move |spell| {
        let _ = &held;
        in_vain(shared.lock_until(spell));
        in_vain(shared.wait_until(0, spell));
    })
}

/// Both ends of a named pipe, each made by a call that waits for the other one.
fn fifo<A: Send + 'static, B: Send + 'static>(
    path: &Path,
    both_ways: bool,
    one: impl FnOnce(&Fifo) -> A + Send + 'static,
    other: impl FnOnce(&Fifo) -> B,
) -> (A, B) {
    let builder = Fifo::builder(path).capacity_bytes(4096);
    let fifo = builder.both_ways(both_ways).create().unwrap();
    let there = fifo.clone();
    let opened = std::thread::spawn(move || one(&there));
    let here = other(&fifo);
    (opened.join().unwrap(), here)
}

fn link(path: &Path, me: &str, peer: &str) -> slipring::link::LinkBuilder {
    let directory = path.parent().unwrap();
    Link::builder(me, peer)
        .directory(directory)
        .capacity_bytes(4096)
}

/// Both sides of a link; the strategy is that of the first.
fn sides(path: &Path, options: LinkOptions, until: bool) -> [Link; 2] {
    let builder = link(path, "b", "a");
    let other = std::thread::spawn(move || builder.connect_until(PATIENCE).unwrap());
    let builder = link(path, "a", "b");
    let one = match until {
        true => builder.connect_until_with(PATIENCE, options),
        false => builder.connect_with(options),
    };
    [one.unwrap(), other.join().unwrap()]
}

macro_rules! of {
    ($options:ident, $how:expr) => {
        $options::new().strategy($how)
    };
}

const HANDLES: &[(&str, Make)] = &[
    ("Ring::producer_with", |path, how| {
        let ring = ring(path).ring().clone();
        let mut producer = ring.producer_with(of!(ProducerOptions, how)).unwrap();
        let consumer = ring.consumer(Start::Oldest).unwrap();
        while producer.try_publish(&[0; 8]).is_ok() {}
        Box::new(move |spell| {
            let _ = &consumer;
            in_vain(producer.publish_until(&[0; 8], spell));
        })
    }),
    ("Typed::producer_with", |path, how| {
        let ring = ring(path);
        let mut producer = ring.producer_with(of!(ProducerOptions, how)).unwrap();
        let consumer = ring.consumer(Start::Oldest).unwrap();
        while producer.try_publish(&Value { number: 0 }).is_ok() {}
        Box::new(move |spell| {
            let _ = &consumer;
            in_vain(producer.publish_until(&Value { number: 0 }, spell));
        })
    }),
    ("Ring::consumer_with", |path, how| {
        let ring = ring(path).ring().clone();
        let options = of!(ConsumerOptions, how);
        let mut consumer = ring.consumer_with(Start::Oldest, options).unwrap();
        Box::new(move |spell| in_vain(consumer.receive_until(spell)))
    }),
    ("Typed::consumer_with", |path, how| {
        let options = of!(ConsumerOptions, how);
        let mut consumer = ring(path).consumer_with(Start::Oldest, options).unwrap();
        Box::new(move |spell| in_vain(consumer.receive_until(spell)))
    }),
    ("Ring::durable_consumer_with", |path, how| {
        let ring = ring(path).ring().clone();
        let options = of!(ConsumerOptions, how);
        let consumer = ring.durable_consumer_with("me", Start::Oldest, options);
        let mut consumer = consumer.unwrap();
        Box::new(move |spell| in_vain(consumer.receive_until(spell)))
    }),
    ("Typed::durable_consumer_with", |path, how| {
        let options = of!(ConsumerOptions, how);
        let consumer = ring(path).durable_consumer_with("me", Start::Oldest, options);
        let mut consumer = consumer.unwrap();
        Box::new(move |spell| in_vain(consumer.receive_until(spell)))
    }),
    ("Ring::observer_with", |path, how| {
        let ring = ring(path).ring().clone();
        let options = of!(ObserverOptions, how);
        let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
        Box::new(move |spell| in_vain(observer.receive_until(spell)))
    }),
    ("Typed::observer_with", |path, how| {
        let options = of!(ObserverOptions, how);
        let mut observer = ring(path).observer_with(Start::Oldest, options).unwrap();
        Box::new(move |spell| in_vain(observer.receive_until(spell)))
    }),
    ("Queue::sender_with", |path, how| {
        let queue = Queue::builder(path).depth(2).create().unwrap();
        let mut sender = queue.sender_with(of!(SenderOptions, how)).unwrap();
        while sender.try_send(b"one").is_ok() {}
        Box::new(move |spell| in_vain(sender.send_until(b"one", 0, spell)))
    }),
    ("Queue::receiver_with", |path, how| {
        let queue = Queue::builder(path).create().unwrap();
        let mut receiver = queue.receiver_with(of!(ReceiverOptions, how)).unwrap();
        Box::new(move |spell| in_vain(receiver.receive_until(spell)))
    }),
    (
        "Mailbox::client_with, which waits for replies",
        |path, how| {
            let mailbox = Mailbox::builder(path).create().unwrap();
            let receiver = mailbox.receiver().unwrap();
            let client = mailbox.client_with("me", of!(ClientOptions, how));
            let mut client = client.unwrap();
            Box::new(move |spell| {
                let _ = &receiver;
                in_vain(client.request_until(b"one", spell));
            })
        },
    ),
    ("Mailbox::client_with, which waits for room", |path, how| {
        let mailbox = Mailbox::builder(path).depth(2).create().unwrap();
        let client = mailbox.client_with("me", of!(ClientOptions, how));
        let mut client = client.unwrap();
        while client.try_send(b"one").is_ok() {}
        Box::new(move |spell| in_vain(client.send_until(b"one", spell)))
    }),
    ("Mailbox::receiver_with", |path, how| {
        let mailbox = Mailbox::builder(path).create().unwrap();
        let mut receiver = mailbox.receiver_with(of!(ReceiverOptions, how)).unwrap();
        Box::new(move |spell| in_vain(receiver.receive_until(spell)))
    }),
    ("Latest::reader_with", |path, how| {
        let latest = Latest::<Value>::builder(path).create().unwrap();
        let mut reader = latest.reader_with(of!(ReaderOptions, how)).unwrap();
        Box::new(move |spell| in_vain(reader.wait_until(spell)))
    }),
    ("Signals::listener_with", |path, how| {
        let signals = Signals::builder(path).create().unwrap();
        let listener = signals.listener_with("me", of!(ListenerOptions, how));
        let mut listener = listener.unwrap();
        Box::new(move |spell| in_vain(listener.wait_until(SignalSet::ALL, spell)))
    }),
    ("SemaphoreBuilder::create_with", |path, how| {
        let options = of!(SemaphoreOptions, how);
        semaphore(Semaphore::builder(path).create_with(options).unwrap())
    }),
    ("SemaphoreBuilder::create_or_open_with", |path, how| {
        let options = of!(SemaphoreOptions, how);
        let builder = Semaphore::builder(path);
        semaphore(builder.create_or_open_with(options).unwrap())
    }),
    ("Semaphore::open_with", |path, how| {
        drop(Semaphore::builder(path).create().unwrap());
        semaphore(Semaphore::open_with(path, of!(SemaphoreOptions, how)).unwrap())
    }),
    ("Semaphore::open_until_with", |path, how| {
        drop(Semaphore::builder(path).create().unwrap());
        let options = of!(SemaphoreOptions, how);
        semaphore(Semaphore::open_until_with(path, PATIENCE, options).unwrap())
    }),
    ("SharedBuilder::create_with", |path, how| {
        let builder = Shared::builder(path);
        shared(path, builder.create_with(of!(SharedOptions, how)).unwrap())
    }),
    ("SharedBuilder::create_or_open_with", |path, how| {
        let options = of!(SharedOptions, how);
        let builder = Shared::builder(path);
        shared(path, builder.create_or_open_with(options).unwrap())
    }),
    ("Shared::open_with", |path, how| {
        drop(Shared::<Value>::builder(path).create().unwrap());
        let opened = Shared::open_with(path, of!(SharedOptions, how));
        shared(path, opened.unwrap())
    }),
    ("Shared::open_until_with", |path, how| {
        drop(Shared::<Value>::builder(path).create().unwrap());
        let opened = Shared::open_until_with(path, PATIENCE, of!(SharedOptions, how));
        shared(path, opened.unwrap())
    }),
    ("LinkBuilder::connect_with", |path, how| {
        let [mut one, other] = sides(path, of!(LinkOptions, how), false);
        while one.try_send(b"one").is_ok() {}
        Box::new(move |spell| {
            let _ = &other;
            in_vain(one.receive_until(spell));
            in_vain(one.send_until(b"one", spell));
        })
    }),
    ("LinkBuilder::connect_until_with", |path, how| {
        let [mut one, other] = sides(path, of!(LinkOptions, how), true);
        Box::new(move |spell| {
            let _ = &other;
            in_vain(one.receive_until(spell));
        })
    }),
    (
        "LinkBuilder::connect_until_with, which waits for the other",
        |path, how| {
            let path = path.to_owned();
            Box::new(move |spell| {
                let builder = link(&path, "a", "b");
                in_vain(builder.connect_until_with(spell, of!(LinkOptions, how)));
            })
        },
    ),
    ("Link::reconnect_until", |path, how| {
        let [mut one, other] = sides(path, of!(LinkOptions, how), false);
        drop(other);
        Box::new(move |spell| in_vain(one.reconnect_until(spell)))
    }),
    ("Fifo::reader_with", |path, how| {
        let options = of!(PipeOptions, how);
        let writer = |fifo: &Fifo| fifo.writer().unwrap();
        let (writer, reader) = fifo(path, false, writer, |fifo| fifo.reader_with(options));
        let mut waits = reads(reader.unwrap());
        Box::new(move |spell| {
            let _ = &writer;
            waits(spell);
        })
    }),
    ("Fifo::writer_with", |path, how| {
        let options = of!(PipeOptions, how);
        let reader = |fifo: &Fifo| fifo.reader().unwrap();
        let (reader, writer) = fifo(path, false, reader, |fifo| fifo.writer_with(options));
        writes(writer.unwrap(), reader)
    }),
    ("Fifo::connect_with", |path, how| {
        let options = of!(PipeOptions, how);
        let other = |fifo: &Fifo| fifo.connect().unwrap();
        let (other, here) = fifo(path, true, other, |fifo| fifo.connect_with(options));
        let (reader, writer) = here.unwrap().into_halves();
        let (mut reads, mut writes) = (reads(reader), writes(writer, other));
        Box::new(move |spell| {
            reads(spell);
            writes(spell);
        })
    }),
    ("Fifo::reader_until_with", |path, how| {
        let fifo = Fifo::builder(path).create().unwrap();
        Box::new(move |spell| in_vain(fifo.reader_until_with(spell, of!(PipeOptions, how))))
    }),
    ("Fifo::writer_until_with", |path, how| {
        let fifo = Fifo::builder(path).create().unwrap();
        Box::new(move |spell| in_vain(fifo.writer_until_with(spell, of!(PipeOptions, how))))
    }),
    ("Fifo::connect_until_with", |path, how| {
        let fifo = Fifo::builder(path).both_ways(true).create().unwrap();
        Box::new(move |spell| in_vain(fifo.connect_until_with(spell, of!(PipeOptions, how))))
    }),
    ("pipe_with, the reader", |_, how| {
        let (reader, writer) = pipe_with(4096, of!(PipeOptions, how)).unwrap();
        let mut waits = reads(reader);
        Box::new(move |spell| {
            let _ = &writer;
            waits(spell);
        })
    }),
    ("pipe_with, the writer", |_, how| {
        let (mut reader, mut writer) = pipe_with(4096, of!(PipeOptions, how)).unwrap();
        // The writer waits for a reader that has begun, and then for room.
        writer.write_all(b"one").unwrap();
        reader.read_exact(&mut [0; 3]).unwrap();
        writes(writer, reader)
    }),
    ("pipe_with, the writer before a reader", |_, how| {
        let (reader, writer) = pipe_with(4096, of!(PipeOptions, how)).unwrap();
        writes(writer, reader)
    }),
    ("duplex_with", |_, how| {
        let (here, there) = duplex_with(4096, of!(PipeOptions, how)).unwrap();
        let (reader, writer) = here.into_halves();
        let (mut reads, mut writes) = (reads(reader), writes(writer, there));
        Box::new(move |spell| {
            reads(spell);
            writes(spell);
        })
    }),
];

/// How often this thread has given up its core of its own accord.
fn switches() -> i64 {
    // SAFETY: a plain struct of integers, and the call fills it.
    unsafe {
        let mut usage: libc::rusage = core::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage.ru_nvcsw
    }
}

fn switches_in(wait: &mut Wait) -> i64 {
    let before = switches();
    wait(SPELL);
    switches() - before
}

fn waits_as_said(what: &str, how: Strategy, wait: &mut Wait) {
    // What is made at the first time only is there now.
    wait(Duration::ZERO);
    if how.parks() {
        let slept = (0..TRIES).any(|_| switches_in(wait) > 0);
        assert!(slept, "{what} with {how:?} never slept");
    } else {
        let polled = (0..TRIES).any(|_| switches_in(wait) == 0);
        assert!(polled, "{what} with {how:?} slept");
    }
}

const HOW: [Strategy; 2] = [Strategy::Spin, Strategy::Park];

fn each_handle_waits_as_its_options_say() {
    for (what, make) in HANDLES {
        for how in HOW {
            let scratch = Scratch::new();
            let mut wait = make(&scratch.0.join("it"), how);
            waits_as_said(what, how, &mut wait);
        }
    }
}

fn inherit(_: &str) {
    for how in HOW {
        let name = |end: &str| format!("{end}_{}", how.parks());
        let options = of!(PipeOptions, how);
        let reader = PipeReader::inherited_with(&name("reader"), options).unwrap();
        waits_as_said("PipeReader::inherited_with", how, &mut reads(reader));
        let writer = PipeWriter::inherited_with(&name("writer"), options).unwrap();
        waits_as_said("PipeWriter::inherited_with", how, &mut writes(writer, ()));
        let duplex = Duplex::inherited_with(&name("duplex"), options).unwrap();
        let (reader, writer) = duplex.into_halves();
        waits_as_said("Duplex::inherited_with", how, &mut reads(reader));
        waits_as_said("Duplex::inherited_with", how, &mut writes(writer, ()));
    }
}

fn an_inherited_end_waits_as_its_options_say() {
    let mut command = testing::command("inherit");
    let mut others: Vec<Box<dyn std::any::Any>> = Vec::new();
    for how in HOW {
        let name = |end: &str| format!("{end}_{}", how.parks());
        let (reader, writer) = pipe_with(4096, PipeOptions::new()).unwrap();
        reader.hand_to(&mut command, &name("reader")).unwrap();
        others.push(Box::new(writer));
        let (reader, writer) = pipe_with(4096, PipeOptions::new()).unwrap();
        writer.hand_to(&mut command, &name("writer")).unwrap();
        others.push(Box::new(reader));
        let (here, there) = duplex_with(4096, PipeOptions::new()).unwrap();
        there.hand_to(&mut command, &name("duplex")).unwrap();
        others.push(Box::new(here));
    }
    let mut child = command.spawn().unwrap();
    drop(command);
    assert!(child.wait().unwrap().success());
}
