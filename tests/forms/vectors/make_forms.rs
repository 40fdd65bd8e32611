//! Makes the vectors of the other public forms, and looks there at what only a process in the middle of it can see.

use super::file::{Expected, Files, Json};
use super::make::{described, fixed, message, with_schema, Vectors};
use slipring::layout::schema::fnv1a;
use slipring::queue::AckError;
use slipring::signals::SignalSet;
use slipring::{Fifo, Latest, Link, Queue, Semaphore, Shared, Signals};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;
use testing::{Scratch, PATIENCE};

slipring::message! {
    /// A price and a size.
    pub struct Level {
        /// In cents.
        pub price: i64 as "exponent=-2;unit=EUR",
        /// How many.
        pub size: u64,
    }
}

/// Of the queue that has one.
pub const LEASE: Duration = Duration::from_millis(20);

pub fn level(n: u64) -> Level {
    Level {
        price: -(n as i64) * 1001,
        size: n << 33 | 7,
    }
}

/// Every vector of another form.
pub fn forms(all: &mut Vectors) {
    queue(all);
    queue_with_a_lease(all);
    link(all);
    fifo(all, false);
    fifo(all, true);
    latest(all);
    shared(all);
    semaphore(all);
    signals(all);
}

fn place() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let path = scratch.0.join("object");
    (scratch, path)
}

/// The members that every vector of a form begins with. The numbers are read from the description.
fn beginning(files: &mut Files, form: &str, schema: Option<(&str, &str)>) -> Expected {
    let stream = files.file("stream").clone();
    let word = |at: usize| u64::from_le_bytes(stream[at..at + 8].try_into().unwrap());
    let half = |at: usize| u64::from(u32::from_le_bytes(stream[at..at + 4].try_into().unwrap()));
    let numbers = [word(40), half(56), half(60), word(72)];
    let expected = described(form, numbers, half(68), [word(176), word(184)]);
    match schema {
        None => expected,
        Some((text, without)) => with_schema(expected, text, fnv1a(without.as_bytes())),
    }
}

/// A word of the board, of the ring in this directory of the object.
fn board(files: &mut Files, ring: &str, word: usize) -> u64 {
    let stream = files.file(&format!("{ring}stream"));
    let rows = u32::from_le_bytes(stream[60..64].try_into().unwrap()) as usize;
    let at = 4096 + 128 * rows + 8 * word;
    let control = files.file(&format!("{ring}control"));
    u64::from_le_bytes(control[at..at + 8].try_into().unwrap())
}

/// What a receiver gets.
pub fn delivery(priority: u8, sequence: u64, redelivered: bool, bytes: &[u8]) -> Json {
    Json::Object(vec![
        ("priority", u32::from(priority).into()),
        ("sequence", sequence.into()),
        ("redelivered", redelivered.into()),
        ("bytes", Json::bytes(bytes)),
    ])
}

/// A message of a lane that is not done.
fn take_word(sequence: u64, state: &str, row: u32, times: u32) -> Json {
    Json::Object(vec![
        ("sequence", sequence.into()),
        ("state", state.into()),
        ("row", row.into()),
        ("times", times.into()),
    ])
}

/// A lane that is listed, whose row 0 stands at message `from`.
fn lane(number: u32, priority: u32, from: u64, messages: Vec<Json>) -> Json {
    Json::Object(vec![
        ("lane", number.into()),
        ("priority", priority.into()),
        ("listed", true.into()),
        ("from", from.into()),
        ("messages", Json::List(messages)),
    ])
}

fn queue(all: &mut Vectors) {
    let (_scratch, path) = place();
    let builder = Queue::builder(&path).depth(4).max_message_bytes(100);
    let queue = builder.max_receivers(2).create().unwrap();
    let mut sender = queue.sender().unwrap();
    let mut receiver = queue.receiver().unwrap();
    let mut second = queue.receiver().unwrap();
    for message in ["done", "taken", "returned", "open"] {
        sender.send(message.as_bytes()).unwrap();
    }
    receiver.receive().unwrap().ack().unwrap();
    std::mem::forget(receiver.receive().unwrap());
    drop(second.receive().unwrap());
    for message in ["urgent", "soon"] {
        sender.send_with_priority(message.as_bytes(), 7).unwrap();
    }
    std::mem::forget(second.receive().unwrap());
    let mut files = fixed("queue", &path);
    let lanes = vec![
        lane(
            0,
            0,
            0,
            vec![
                take_word(1, "taken", 0, 1),
                take_word(2, "returned", 1, 1),
                take_word(3, "open", 0, 0),
            ],
        ),
        lane(
            1,
            7,
            0,
            vec![take_word(0, "taken", 1, 1), take_word(1, "open", 0, 0)],
        ),
    ];
    let received = vec![
        delivery(7, 0, true, b"urgent"),
        delivery(7, 1, false, b"soon"),
        delivery(0, 1, true, b"taken"),
        delivery(0, 2, true, b"returned"),
        delivery(0, 3, false, b"open"),
    ];
    let expected = beginning(&mut files, "queue", None)
        .with("lanes", Json::List(lanes))
        .with("received", Json::List(received));
    let about =
        "two lanes; the sender and two receivers died, each receiver with a message in its hands";
    all.add("queue", about, files, expected);
    std::mem::forget((sender, receiver, second));
}

/// The clocks by which a lease ends are those of receivers, so nothing in the files says when that is.
fn queue_with_a_lease(all: &mut Vectors) {
    let (_scratch, path) = place();
    let builder = Queue::builder(&path).depth(4).max_message_bytes(60);
    let builder = builder.max_receivers(3).lease(LEASE);
    let queue = builder.create().unwrap();
    let mut sender = queue.sender().unwrap();
    let mut receivers = [(); 3].map(|()| queue.receiver().unwrap());
    let [first, second, third] = &mut receivers;
    // So that words are used for the second time.
    for _ in 0..5 {
        sender.send(b"done").unwrap();
        first.receive().unwrap().ack().unwrap();
    }
    for message in ["expired", "returned"] {
        sender.send(message.as_bytes()).unwrap();
    }
    let late = [first.receive().unwrap(), second.receive().unwrap()];
    // It looks at the messages that it has come by.
    assert!(third.try_receive().is_err());
    third.wait_until(PATIENCE).unwrap();
    for late in late {
        assert!(matches!(late.ack(), Err(AckError::Expired { .. })));
    }
    let again = second.receive().unwrap();
    assert_eq!((&*again, again.tries()), (&b"expired"[..], 2));
    std::mem::forget(again);
    sender.send(b"open").unwrap();
    for message in ["held", "soon"] {
        sender.send_with_priority(message.as_bytes(), 7).unwrap();
    }
    std::mem::forget(third.receive().unwrap());
    let mut files = fixed("queue-lease", &path);
    let lanes = vec![
        lane(
            0,
            0,
            4,
            vec![
                take_word(5, "taken", 1, 2),
                take_word(6, "returned", 1, 1),
                take_word(7, "open", 0, 0),
            ],
        ),
        lane(
            1,
            7,
            0,
            vec![take_word(0, "taken", 2, 1), take_word(1, "open", 0, 0)],
        ),
    ];
    let received = vec![
        delivery(7, 0, true, b"held"),
        delivery(7, 1, false, b"soon"),
        delivery(0, 5, true, b"expired"),
        delivery(0, 6, true, b"returned"),
        delivery(0, 7, false, b"open"),
    ];
    let expected = beginning(&mut files, "queue", None)
        .with("lanes", Json::List(lanes))
        .with("received", Json::List(received));
    let about = "a queue with a lease: one message was held for longer and is with another receiver now, one was and \
                 waits, one is held; the sender and all receivers died";
    all.add("queue-lease", about, files, expected);
    std::mem::forget((sender, receivers));
}

/// What a side of a pact says.
fn sides(files: &mut Files) -> Json {
    let side = |base: usize, files: &mut Files| {
        let word = board(files, "", base);
        Json::Object(vec![
            ("token", (word >> 32).into()),
            ("accepted", (word & 0xffff_ffff).into()),
            ("last", board(files, "", base + 2).into()),
        ])
    };
    Json::List(vec![side(0, files), side(16, files)])
}

/// One direction: what was sent, and the sequence of the first of it that was not read.
fn direction(ring: &str, unread: u64, sent: &[&[u8]]) -> Json {
    let messages = (0..)
        .zip(sent)
        .map(|(sequence, bytes)| message(sequence, bytes));
    Json::Object(vec![
        ("ring", ring.into()),
        ("unread", unread.into()),
        ("messages", Json::List(messages.collect())),
    ])
}

fn link(all: &mut Vectors) {
    let scratch = Scratch::new();
    let connect = |me: &str, peer: &str| {
        let builder = Link::builder(me, peer).directory(&scratch.0);
        builder
            .capacity_bytes(4096)
            .connect_until(PATIENCE)
            .unwrap()
    };
    let (mut alice, mut bob) = std::thread::scope(|scope| {
        let bob = scope.spawn(|| connect("bob", "alice"));
        (connect("alice", "bob"), bob.join().unwrap())
    });
    let forth: [&[u8]; 3] = [b"one", b"two", b""];
    let back: [&[u8]; 2] = [b"yes", b"and no"];
    for message in forth {
        alice.send(message).unwrap();
    }
    assert_eq!(&*bob.receive().unwrap(), b"one");
    for message in back {
        bob.send(message).unwrap();
    }
    let path = scratch.0.join("alice..bob");
    let mut files = fixed("link", &path);
    let streams = vec![direction("", 1, &forth), direction("back", 0, &back)];
    let expected = beginning(&mut files, "link", None)
        .with("sides", sides(&mut files))
        .with("directions", Json::List(streams));
    let about = "both sides were in a pact when they died, before they had read everything";
    all.add("link", about, files, expected);
    for message in &forth[1..] {
        assert_eq!(&*bob.receive().unwrap(), *message);
    }
    for message in back {
        assert_eq!(&*alice.receive().unwrap(), message);
    }
}

fn fifo(all: &mut Vectors, both_ways: bool) {
    let (_scratch, path) = place();
    let builder = Fifo::builder(&path).capacity_bytes(4096);
    let fifo = builder.both_ways(both_ways).create().unwrap();
    let forth: [&[u8]; 2] = [b"a stream", b" of bytes"];
    let back: [&[u8]; 1] = [b"and back"];
    let mut text = [0; 8];
    let mut rest = [0; 9];
    let (name, about, streams, mut files) = if both_ways {
        let (mut first, mut second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| fifo.connect_until(PATIENCE).unwrap());
            // The one that comes first is the first side.
            while fifo.status().unwrap().ends[0].is_none() {
                std::thread::yield_now();
            }
            let second = fifo.connect_until(PATIENCE).unwrap();
            (first.join().unwrap(), second)
        });
        for piece in forth {
            first.write_all(piece).unwrap();
        }
        second.write_all(back[0]).unwrap();
        let files = fixed("pipe-both-ways", &path);
        second.read_exact(&mut text).unwrap();
        second.read_exact(&mut rest).unwrap();
        let mut other_way = [0; 8];
        first.read_exact(&mut other_way).unwrap();
        assert_eq!(&other_way[..], back[0]);
        let streams = vec![direction("", 0, &forth), direction("back", 0, &back)];
        let about = "a named pipe in both directions, of which nothing was read";
        ("pipe-both-ways", about, streams, files)
    } else {
        let (mut writer, mut reader) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| fifo.reader_until(PATIENCE).unwrap());
            (fifo.writer_until(PATIENCE).unwrap(), reader.join().unwrap())
        });
        for piece in forth {
            writer.write_all(piece).unwrap();
        }
        let files = fixed("pipe", &path);
        reader.read_exact(&mut text).unwrap();
        reader.read_exact(&mut rest).unwrap();
        let about = "a named pipe with two pieces, of which nothing was read";
        ("pipe", about, vec![direction("", 0, &forth)], files)
    };
    assert_eq!((&text[..], &rest[..]), (forth[0], forth[1]));
    let expected = beginning(&mut files, "pipe", None)
        .with("sides", sides(&mut files))
        .with("directions", Json::List(streams));
    all.add(name, about, files, expected);
}

const LEVEL: (&str, &str) = (
    "Level{price:i64(exponent=-2;unit=EUR),size:u64}",
    "Level{price:i64,size:u64}",
);

fn latest(all: &mut Vectors) {
    let (_scratch, path) = place();
    let latest = Latest::<Level>::builder(&path).cells(3).max_readers(2);
    let latest = latest.create().unwrap();
    let mut writer = latest.writer().unwrap();
    for n in 1..=6 {
        writer.set_at(0, &level(n)).unwrap();
    }
    writer.set_at(2, &level(100)).unwrap();
    let mut files = fixed("latest", &path);
    // The seventh value of the first cell is half written.
    let stream = files.file("stream");
    let data = u64::from_le_bytes(stream[88..96].try_into().unwrap()) as usize;
    let seventh = data + 64 + 64 + 7 % 4 * 64;
    stream[seventh..seventh + 8].fill(0xee);
    let cell = |number: u32, version: u64, value: Option<Level>| {
        let bytes = value.map_or(Json::Null, |value| {
            Json::bytes(slipring::bytemuck::bytes_of(&value))
        });
        Json::Object(vec![
            ("cell", number.into()),
            ("version", version.into()),
            ("bytes", bytes),
        ])
    };
    let cells = vec![
        cell(0, 6, Some(level(6))),
        cell(1, 0, None),
        cell(2, 1, Some(level(100))),
    ];
    let expected = beginning(&mut files, "latest", Some(LEVEL))
        .with("changes", 7u64)
        .with("cells", Json::List(cells));
    let about = "three cells; the writer died in the seventh value of the first one";
    all.add("latest", about, files, expected);
}

fn shared(all: &mut Vectors) {
    for abandoned in [false, true] {
        let (_scratch, path) = place();
        let shared = Shared::<Level>::builder(&path).max_handles(2);
        let mut shared = shared.create().unwrap();
        for n in 1..=3 {
            *shared.lock().unwrap() = level(n);
        }
        if abandoned {
            let mut guard = shared.lock().unwrap();
            *guard = level(4);
            std::mem::forget(guard);
        }
        let name = if abandoned {
            "shared-abandoned"
        } else {
            "shared"
        };
        let about = if abandoned {
            "the holder of the lock died before it stored its change"
        } else {
            "a value that was changed three times; no process holds the lock"
        };
        let mut files = fixed(name, &path);
        let expected = beginning(&mut files, "shared", Some(LEVEL))
            .with("version", 3u64)
            .with(
                "bytes",
                Json::bytes(slipring::bytemuck::bytes_of(&level(3))),
            )
            .with("holder", Json::maybe(abandoned.then_some(0)))
            .with("abandoned", abandoned);
        all.add(name, about, files, expected);
        std::mem::forget(shared);
    }
}

fn semaphore(all: &mut Vectors) {
    let (_scratch, path) = place();
    let builder = Semaphore::builder(&path).permits(3).max_permits(6);
    let semaphore = builder.max_handles(3).create().unwrap();
    let other = Semaphore::open(&path).unwrap();
    let held = semaphore.try_acquire_many(2).unwrap();
    other.try_acquire().unwrap().forget();
    other.add().unwrap();
    other.add().unwrap();
    let more = other.try_acquire().unwrap();
    let mut files = fixed("semaphore", &path);
    let words = (0..6).map(|permit| board(&mut files, "", 16 + permit));
    let words: Vec<u64> = words.collect();
    let permits = (0u32..).zip(&words).map(|(permit, word)| {
        let (state, row) = match word {
            0 if permit < 3 => ("free", None),
            0 | 2 => ("retired", None),
            1 => ("free", None),
            row => ("held", Some(row - 3)),
        };
        Json::Object(vec![
            ("permit", permit.into()),
            ("state", state.into()),
            ("row", Json::maybe(row)),
        ])
    });
    let permits = permits.collect();
    let expected = beginning(&mut files, "semaphore", None)
        .with("turn", Json::Null)
        .with("permits", Json::List(permits))
        .with("free", 1u64)
        .with("held", 3u64)
        .with("retired", 2u64);
    let about = "two handles died with permits; free again once their rows have been swept";
    all.add("semaphore", about, files, expected);
    std::mem::forget((held, more));
}

/// Counters that are not zero.
fn counted(counts: &[(u32, u64)]) -> Json {
    let counted = counts.iter().map(|(signal, count)| {
        Json::Object(vec![
            ("signal", (*signal).into()),
            ("count", (*count).into()),
        ])
    });
    Json::List(counted.collect())
}

fn signals(all: &mut Vectors) {
    let (_scratch, path) = place();
    let signals = Signals::builder(&path).max_listeners(3).create().unwrap();
    drop(signals.listener("gone").unwrap());
    let mut engine = signals.listener("engine").unwrap();
    let mut log = signals.listener("log").unwrap();
    let mut target = signals.target("engine").unwrap();
    for signal in [3, 63, 3] {
        signals.broadcast(signal).unwrap();
    }
    for signal in [0, 5, 3, 5] {
        target.send(signal).unwrap();
    }
    let mut files = fixed("signals", &path);
    let listener = |row: u32, name: &str, generation: u64, counts: &[(u32, u64)]| {
        Json::Object(vec![
            ("row", row.into()),
            ("name", name.into()),
            ("generation", generation.into()),
            ("to_it", counted(counts)),
        ])
    };
    let listeners = vec![
        listener(0, "engine", 3, &[(0, 1), (3, 1), (5, 2)]),
        listener(1, "log", 1, &[]),
    ];
    let expected = beginning(&mut files, "signals", None)
        .with("to_all", counted(&[(3, 2), (63, 1)]))
        .with("listeners", Json::List(listeners));
    let about = "two listeners, with what was sent to all and to each of them";
    all.add("signals", about, files, expected);
    for (listener, counts) in [
        (&mut engine, &[(0, 1), (3, 3), (5, 2), (63, 1)][..]),
        (&mut log, &[(3, 2), (63, 1)][..]),
    ] {
        for noticed in counts {
            let found = listener.try_wait(SignalSet::ALL).unwrap().unwrap();
            assert_eq!((found.signal, found.count), *noticed);
        }
        assert_eq!(listener.try_wait(SignalSet::ALL).unwrap(), None);
    }
}
