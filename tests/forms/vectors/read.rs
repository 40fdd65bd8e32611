//! Reads a stored vector with this implementation, and compares what it says with what is stored beside it.

use super::file::{Expected, Files, Json};
use super::make::{described_ring, gap, message, place, producer};
use super::make_forms::{delivery, level, Level, LEASE};
use super::refuse::refused_here;
use slipring::endpoint::ReaderStatus;
use slipring::place::OpenError;
use slipring::signals::SignalSet;
use slipring::{Fifo, Latest, Link, Queue, Received, Ring, Semaphore, Shared, Signals, Start};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use testing::{Scratch, PATIENCE};

/// A vector as it is stored: its files in a directory of their own, and the text beside them.
pub struct Stored {
    name: String,
    files: Files,
    text: String,
}

impl Stored {
    /// `text` is without the line that says what the vector is about.
    pub fn new(name: &str, files: Files, text: String) -> Self {
        let name = name.to_owned();
        Self { name, files, text }
    }

    /// Compares these members, each of which is there as it is.
    #[track_caller]
    fn has(&self, expected: &Expected) {
        for (name, value) in &expected.0 {
            let whole = Expected::default().with(name, value.clone()).text();
            let lines = whole.trim_start_matches("{\n").trim_end_matches("\n}\n");
            let found = self
                .text
                .find(lines)
                .map(|at| &self.text[at + lines.len()..]);
            let ends = found.is_some_and(|rest| rest.starts_with([',', '\n']));
            assert!(ends, "{}: read {lines}\nof {}", self.name, self.text);
        }
    }

    /// The files in a directory that is new, so that no process has any of them open.
    fn anew(&self) -> (Scratch, PathBuf) {
        let scratch = Scratch::new();
        let path = scratch.0.join(match self.name.as_str() {
            "link" => "alice..bob",
            _ => "object",
        });
        self.files.write(&path).unwrap();
        (scratch, path)
    }

    pub fn check(&self) {
        let (_scratch, path) = self.anew();
        let form = self.text.split("\"form\": \"").nth(1);
        let form = form.and_then(|rest| rest.split('"').next());
        match form {
            None => self.refused(&path),
            Some("ring") => self.ring(&path),
            Some("queue") => self.queue(&path),
            Some("link") => self.link(&path),
            Some("pipe") => self.pipe(&path),
            Some("latest") => self.latest(&path),
            Some("shared") => self.shared(&path),
            Some("semaphore") => self.semaphore(&path),
            Some("signals") => self.signals(&path),
            Some(form) => panic!("{form}"),
        }
    }

    fn refused(&self, path: &Path) {
        let error = Ring::open(path).unwrap_err();
        assert_eq!(error.code(), 203, "{}: {error}", self.name);
        let OpenError::Description { reason, .. } = &error else {
            panic!("{}: {error}", self.name);
        };
        let expected = refused_here(reason);
        assert_eq!(expected.text(), self.text, "{}: {error}", self.name);
    }

    fn ring(&self, path: &Path) {
        let ring = Ring::open(path).unwrap();
        // Before anything is written into it.
        let status = ring.status().unwrap();
        let (read, skipped) = observed(&ring);
        let plain = || ring.consumer(Start::Oldest).unwrap();
        let mut consumer = plain();
        let mut at = 0;
        while let Some(message) = consumer
            .receive_until(std::time::Duration::ZERO)
            .ok()
            .flatten()
        {
            let expected = read
                .iter()
                .filter_map(|(sequence, bytes, _)| Some((*sequence, bytes.as_ref()?)));
            let expected = expected.clone().nth(at).unwrap();
            assert_eq!(
                (message.sequence(), &*message),
                (expected.0, &**expected.1),
                "{}",
                self.name
            );
            at += 1;
        }
        let messages = read.iter().filter(|(_, bytes, _)| bytes.is_some()).count();
        assert_eq!(at, messages, "{}", self.name);
        assert_eq!(consumer.losses().skipped, skipped, "{}", self.name);
        drop(consumer);

        let first = match self.text.split("\"first\": ").nth(1) {
            Some(rest) => rest.split(',').next().unwrap().parse::<u64>().unwrap(),
            None => panic!("{}", self.text),
        };
        let expected = described_ring(&ring, first);
        assert_eq!(status.producer_alive, Some(false));
        let state = match (status.closed, status.abandoned, status.epoch.number) {
            (true, ..) => "closed",
            (_, true, _) => "died",
            (.., 0) => "none",
            _ => "left",
        };
        let epoch = status.epoch;
        let began = if epoch.number == 0 {
            0
        } else {
            epoch.first_sequence
        };
        let next = status.next_sequence.unwrap();
        let cursors = status
            .readers
            .iter()
            .filter(|reader| reader.cursor.is_some());
        let cursors: Vec<Json> = cursors.map(|cursor| resumed(&ring, cursor)).collect();
        let expected = expected
            .with("producer", producer(state, epoch.number, began))
            .with("next", place(next, status.position.unwrap()))
            .with("oldest", status.oldest_sequence.unwrap())
            .with(
                "read",
                Json::List(read.into_iter().map(|(.., item)| item).collect()),
            )
            .with("cursors", Json::List(cursors));
        if self.name == "stamps" {
            return self.stamps(&ring, &expected);
        }
        assert_eq!(expected.text(), self.text, "{}", self.name);
    }

    /// Readers do not hand out stamps. They are the first words of the payloads, which all come in one lap.
    fn stamps(&self, ring: &Ring, expected: &Expected) {
        assert!(ring.stamps());
        let mut files = self.files.clone();
        let stream = files.file("stream");
        let mut at = u64::from_le_bytes(stream[88..96].try_into().unwrap()) as usize;
        let Some(Json::List(read)) = expected.member("read") else {
            panic!("{expected:?}");
        };
        let mut stamped = Vec::new();
        for item in read {
            let Json::Object(members) = item else {
                panic!("{item:?}");
            };
            let stamp = u64::from_le_bytes(stream[at + 8..at + 16].try_into().unwrap());
            let mut members = members.clone();
            members.insert(1, ("stamp", stamp.into()));
            let len = u32::from_le_bytes(stream[at..at + 4].try_into().unwrap()) as usize - 1;
            at += 8 + len.next_multiple_of(8);
            stamped.push(Json::Object(members));
        }
        let mut expected = expected.clone();
        for (name, value) in &mut expected.0 {
            if *name == "read" {
                *value = Json::List(stamped.clone());
            }
        }
        assert_eq!(expected.text(), self.text);
    }

    fn queue(&self, path: &Path) {
        let queue = Queue::open(path).unwrap();
        let status = queue.status().unwrap();
        assert_eq!((status.waiting, status.held, status.receivers), (3, 2, 0));
        let leased = self.name == "queue-lease";
        let lease = leased.then_some(LEASE);
        let settings = (status.depth, status.max_message_bytes, status.lease);
        let made = if leased { (4, 60) } else { (4, 100) };
        assert_eq!(settings, (made.0, made.1, lease));
        let mut receiver = queue.receiver().unwrap();
        let mut received = Vec::new();
        while let Ok(message) = receiver.try_receive() {
            received.push(delivery(
                message.priority(),
                message.sequence(),
                message.redelivered(),
                &message,
            ));
            message.ack().unwrap();
        }
        self.has(&Expected::default().with("received", Json::List(received)));
        // The next sender of the lane goes on where the last one ended.
        let mut sender = queue.sender().unwrap();
        let next = if leased { 8 } else { 4 };
        assert_eq!(sender.send(b"more").unwrap(), next);
        assert_eq!(&*receiver.receive().unwrap(), b"more");
    }

    /// A message of the old pact is none of the new one.
    fn link(&self, path: &Path) {
        let directory = path.parent().unwrap();
        assert_eq!(slipring::link::link_status(path).unwrap().sides, [None; 2]);
        let connect = |me: &str, peer: &str| {
            let builder = Link::builder(me, peer).directory(directory);
            builder.connect_until(PATIENCE).unwrap()
        };
        let (mut alice, mut bob) = std::thread::scope(|scope| {
            let bob = scope.spawn(|| connect("bob", "alice"));
            (connect("alice", "bob"), bob.join().unwrap())
        });
        assert_eq!(alice.send(b"three").unwrap(), 3);
        assert_eq!(bob.send(b"two").unwrap(), 2);
        assert_eq!(&*bob.receive().unwrap(), b"three");
        assert_eq!(&*alice.receive().unwrap(), b"two");
    }

    /// What the writer of the old pact wrote is none of the new one.
    fn pipe(&self, path: &Path) {
        let fifo = Fifo::open(path).unwrap();
        let both_ways = self.name == "pipe-both-ways";
        assert_eq!((fifo.both_ways(), fifo.capacity_bytes()), (both_ways, 4096));
        assert_eq!(fifo.status().unwrap().ends, [None; 2]);
        let mut text = [0; 3];
        if both_ways {
            let (mut one, mut other) = std::thread::scope(|scope| {
                let other = scope.spawn(|| fifo.connect_until(PATIENCE).unwrap());
                (fifo.connect_until(PATIENCE).unwrap(), other.join().unwrap())
            });
            one.write_all(b"new").unwrap();
            other.read_exact(&mut text).unwrap();
        } else {
            let (mut writer, mut reader) = std::thread::scope(|scope| {
                let reader = scope.spawn(|| fifo.reader_until(PATIENCE).unwrap());
                (fifo.writer_until(PATIENCE).unwrap(), reader.join().unwrap())
            });
            writer.write_all(b"new").unwrap();
            reader.read_exact(&mut text).unwrap();
        }
        assert_eq!(&text, b"new");
    }

    fn latest(&self, path: &Path) {
        let latest = Latest::<Level>::open(path).unwrap();
        let mut reader = latest.reader().unwrap();
        let cells = (0..latest.cells()).map(|cell| {
            let value = reader.get_at(cell).unwrap();
            let bytes = value.map(|(value, _)| slipring::bytemuck::bytes_of(&value).to_vec());
            Json::Object(vec![
                ("cell", cell.into()),
                ("version", reader.version_at(cell).unwrap().into()),
                (
                    "bytes",
                    bytes.map_or(Json::Null, |bytes| Json::bytes(&bytes)),
                ),
            ])
        });
        let expected = Expected::default()
            .with("cells", Json::List(cells.collect()))
            .with("changes", latest.status().unwrap().changes);
        self.has(&expected);
        let mut writer = latest.writer().unwrap();
        assert_eq!(writer.set(&level(8)).unwrap(), 7);
        assert_eq!(reader.get().unwrap().unwrap().1, 7);
    }

    fn shared(&self, path: &Path) {
        let mut shared = Shared::<Level>::open(path).unwrap();
        let (value, version) = shared.get().unwrap();
        let guard = shared.lock_until(PATIENCE).unwrap();
        assert_eq!(*guard, value);
        let expected = Expected::default()
            .with("version", version)
            .with("bytes", Json::bytes(slipring::bytemuck::bytes_of(&value)))
            .with("abandoned", guard.abandoned());
        self.has(&expected);
        drop(guard);
    }

    fn semaphore(&self, path: &Path) {
        let semaphore = Semaphore::open(path).unwrap();
        let status = semaphore.status().unwrap();
        // Opening it took the row of a dead holder, and gave back what that one held.
        let expected = Expected::default().with("retired", status.retired);
        self.has(&expected);
        assert_eq!((status.free, status.held, status.max), (3, 1, 6));
        let all = status.free + status.held;
        let permit = semaphore.acquire_many_until(all, PATIENCE).unwrap();
        assert_eq!(permit.count(), all);
        assert!(semaphore.try_acquire().is_err());
    }

    /// A listener counts from where it begins, and the last owners are gone.
    fn signals(&self, path: &Path) {
        let signals = Signals::open(path).unwrap();
        let status = signals.status().unwrap();
        assert_eq!((status.listeners.len(), status.max_listeners), (0, 3));
        assert!(signals.target("engine").is_err());
        let mut engine = signals.listener("engine").unwrap();
        assert_eq!(engine.try_wait(SignalSet::ALL).unwrap(), None);
        signals.broadcast(3).unwrap();
        signals.target("engine").unwrap().send(3).unwrap();
        let noticed = engine.try_wait(SignalSet::ALL).unwrap().unwrap();
        assert_eq!((noticed.signal, noticed.count), (3, 2));
    }
}

/// Where the owner of a cursor goes on.
fn resumed(ring: &Ring, cursor: &ReaderStatus) -> Json {
    let name = cursor.cursor.as_deref().unwrap();
    let state = match cursor.gating || cursor.evicted {
        true => "consumer",
        false => "kept",
    };
    let consumer = ring.durable_consumer(name, Start::Latest).unwrap();
    Json::Object(vec![
        ("name", name.into()),
        ("state", state.into()),
        ("next", cursor.next_sequence.unwrap().into()),
        ("begins", consumer.next_sequence().into()),
    ])
}

/// A message with its bytes, or a gap; and how it is written down.
type Item = (u64, Option<Vec<u8>>, Json);

/// All that an observer gets from the oldest message on, and how many sequences do not exist.
fn observed(ring: &Ring) -> (Vec<Item>, u64) {
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let mut read = Vec::new();
    loop {
        let next = observer.next_sequence();
        match observer.try_receive() {
            Ok(Received::Message(got)) => {
                let item = message(got.sequence(), &got);
                read.push((got.sequence(), Some(got.to_vec()), item));
            }
            Ok(Received::Skipped {
                skipped,
                resumed_at,
                why,
                ..
            }) => {
                assert_eq!(resumed_at.wrapping_sub(next), skipped);
                read.push((next, None, gap(next, resumed_at, why.code())));
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => break,
        }
    }
    let skipped = observer.skipped_count();
    (read, skipped)
}
