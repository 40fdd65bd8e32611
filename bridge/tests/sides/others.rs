//! Others that publish in the ring of a mirror: they are found, and what they wrote is not continued as if the source had it.

use crate::support::{bridge, free_port, Running, Side, LONG};
use rustix::process::Signal;
use slipring::endpoint::{AttachError, Why};
use slipring::{Producer, Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::Engine;
use slipring_bridge::mirror::{self, From, OnRecreate};
use slipring_bridge::{serve, BridgeError};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;

type Mirroring = Side<Result<(), BridgeError>>;

pub struct Pair {
    pub directory: tempfile::TempDir,
    network: Network,
    pub ring: Ring,
    pub source: Mirroring,
    mirrors: AtomicU32,
}

impl Pair {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::default();
        let ring = Ring::builder(directory.path().join("source"))
            .first_sequence(u64::MAX - 3)
            .create()
            .unwrap();
        let options =
            serve::Options::new(directory.path().join("source"), "quotes".parse().unwrap());
        let engine: Arc<dyn Engine> = Arc::new(network.clone());
        let source =
            Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()));
        source.wait();
        Self {
            directory,
            network,
            ring,
            source,
            mirrors: AtomicU32::new(0),
        }
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("copy")
    }

    pub fn copy(&self) -> Ring {
        Ring::open(self.place()).unwrap()
    }

    pub fn mirror(&self) -> Mirroring {
        self.mirror_that(OnRecreate::Stop)
    }

    pub fn mirror_that(&self, on_recreate: OnRecreate) -> Mirroring {
        let options = mirror::Options {
            from: From::Oldest,
            on_recreate,
            patience: Some(LONG),
            ..mirror::Options::new(
                self.place(),
                "quotes".parse().unwrap(),
                // One that is not taken by the mirror of before.
                format!("m{}", self.mirrors.fetch_add(1, Relaxed))
                    .parse()
                    .unwrap(),
            )
        };
        let engine: Arc<dyn Engine> = Arc::new(self.network.clone());
        let side = Side::start(move |stop, ready| {
            let ended = mirror::mirror(&engine, &options, stop, |_| ready());
            if ended.is_err() {
                // Whoever waits for its beginning looks what became of it.
                ready();
            }
            ended
        });
        side.wait();
        side
    }

    /// Publishes so many messages in the source, and waits until the copy has them.
    pub fn publish(&self, producer: &mut Producer, messages: u64) {
        let mut consumer = self.copy().consumer(Start::Latest).unwrap();
        for _ in 0..messages {
            producer.publish(b"of the source").unwrap();
        }
        while consumer.next_sequence() != producer.next_sequence() {
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!(&message[..], b"of the source");
        }
    }
}

/// The producer that another program becomes, once the mirror has left.
pub fn other(copy: &Ring) -> Producer {
    let end = Instant::now() + LONG;
    loop {
        match copy.producer() {
            Err(AttachError::AlreadyOwned { .. }) if Instant::now() < end => {
                std::thread::yield_now();
            }
            attached => return attached.unwrap(),
        }
    }
}

/// What another program does in the copy, and how many sequences it takes there.
type Other = (&'static str, fn(&Ring), u64);

const OTHERS: [Other; 8] = [
    ("nothing", |_| {}, 0),
    ("comes and goes", |copy| other(copy).detach(), 0),
    ("closes", |copy| other(copy).close(), 0),
    (
        "comes three times",
        |copy| (0..3).for_each(|_| other(copy).detach()),
        0,
    ),
    (
        "publishes",
        |copy| {
            let mut producer = other(copy);
            producer.publish(b"of another").unwrap();
            producer.detach();
        },
        1,
    ),
    (
        "publishes a batch and closes",
        |copy| {
            let mut producer = other(copy);
            let mut batch = producer.batch();
            for _ in 0..7 {
                batch.push(b"of another").unwrap();
            }
            batch.commit();
            producer.close();
        },
        7,
    ),
    (
        "publishes, and another comes",
        |copy| {
            let mut producer = other(copy);
            producer.publish(b"of another").unwrap();
            producer.detach();
            other(copy).close();
        },
        1,
    ),
    (
        "leaves a gap",
        |copy| {
            let mut producer = other(copy);
            let next = producer.next_sequence();
            producer.skip_to(next.wrapping_add(40), Why::Lost).unwrap();
            producer.close();
        },
        40,
    ),
];

pub fn is_found(ended: &Result<(), BridgeError>, copy: &Ring, expected: u64, wrote: u64) -> bool {
    matches!(ended, Err(BridgeError::WrittenByOther { path, pid, expected: should, found })
        if path == copy.path()
            && *pid == std::process::id()
            && *should == Some(expected)
            && *found == Some(expected.wrapping_add(wrote)))
}

/// The source is closed, and so is the copy: others may be its producers. When the source goes on, or before, the mirror ends if one
/// of them published.
#[test]
fn who_publishes_in_a_closed_copy_is_found() {
    for (what, does, wrote) in OTHERS {
        let pair = Pair::new();
        let copy = pair.mirror();
        let mut producer = other(&pair.ring);
        pair.publish(&mut producer, 9);
        let next = producer.next_sequence();
        let mut consumer = pair.copy().consumer(Start::Latest).unwrap();
        producer.close();
        assert!(consumer.receive_until(LONG).unwrap().is_none(), "{what}");
        does(&pair.copy());
        let mut producer = other(&pair.ring);
        let sequence = producer.publish(b"again").unwrap();
        if wrote > 0 {
            let ended = copy.ended();
            assert!(
                is_found(&ended, &pair.copy(), next, wrote),
                "{what}: {ended:?}"
            );
            // Nothing of the source stands behind what others wrote.
            let after = pair.copy().status().unwrap().next_sequence;
            assert_eq!(after, Some(next.wrapping_add(wrote)), "{what}");
        } else {
            let mut consumer = pair.copy().consumer(Start::Sequence(next)).unwrap();
            while consumer.next_sequence() == next {
                // The end, as long as the mirror has not taken over.
                if let Some(message) = consumer.receive_until(LONG).unwrap() {
                    assert_eq!(
                        (message.sequence(), &message[..]),
                        (sequence, &b"again"[..])
                    );
                }
                std::thread::yield_now();
            }
            copy.end().unwrap();
        }
        pair.source.end().unwrap();
    }
}

/// Nobody has to wait until the source goes on to learn of it.
#[test]
fn who_publishes_in_a_closed_copy_is_found_though_its_source_stays_closed() {
    let pair = Pair::new();
    let copy = pair.mirror();
    let mut producer = other(&pair.ring);
    pair.publish(&mut producer, 9);
    let next = producer.next_sequence();
    let mut consumer = pair.copy().consumer(Start::Latest).unwrap();
    producer.close();
    assert!(consumer.receive_until(LONG).unwrap().is_none());
    let mut other = other(&pair.copy());
    other.publish(b"of another").unwrap();
    // Which goes on.
    let ended = copy.ended();
    assert!(is_found(&ended, &pair.copy(), next, 1), "{ended:?}");
    other.publish(b"of another").unwrap();
    pair.source.end().unwrap();
}

/// The mirror is stopped, with its source open or closed, and started again.
#[test]
fn who_publishes_in_the_copy_of_a_stopped_mirror_is_found() {
    for closed in [false, true] {
        for (what, does, wrote) in OTHERS {
            let pair = Pair::new();
            let copy = pair.mirror();
            let mut producer = other(&pair.ring);
            pair.publish(&mut producer, 9);
            let next = producer.next_sequence();
            if closed {
                let mut consumer = pair.copy().consumer(Start::Latest).unwrap();
                producer.close();
                assert!(consumer.receive_until(LONG).unwrap().is_none());
                producer = other(&pair.ring);
            }
            copy.end().unwrap();
            does(&pair.copy());
            // The source goes on meanwhile, so that its sequences are those of the copy, or behind them.
            for _ in 0..50 {
                producer.publish(b"meanwhile").unwrap();
            }
            let before = pair.copy().status().unwrap();
            let copy = pair.mirror();
            if wrote > 0 {
                let ended = copy.ended();
                assert!(
                    is_found(&ended, &pair.copy(), next, wrote),
                    "{closed} {what}: {ended:?}"
                );
                let after = pair.copy().status().unwrap();
                assert_eq!(
                    (after.next_sequence, after.epoch, after.closed),
                    (before.next_sequence, before.epoch, before.closed),
                    "{closed} {what}"
                );
            } else {
                let mut consumer = pair.copy().consumer(Start::Sequence(next)).unwrap();
                for n in 0..50 {
                    let message = consumer.receive_until(LONG).unwrap().unwrap();
                    assert_eq!(
                        (message.sequence(), &message[..]),
                        (next.wrapping_add(n), &b"meanwhile"[..]),
                        "{closed} {what}"
                    );
                }
                copy.end().unwrap();
            }
            pair.source.end().unwrap();
        }
    }
}

/// A mirror that is killed cannot say how far it was.
#[test]
fn who_publishes_in_the_copy_of_a_killed_mirror_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let ring = Ring::builder(source.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(b"of the source").unwrap();
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let serves = ["serve", source.to_str().unwrap(), "--name", "quotes"];
    let mut serving = Running::start(bridge(&serves).args(["--listen", &address]));
    serving.says("serving ");
    for (n, (what, does, wrote)) in OTHERS.into_iter().enumerate() {
        // Each attaches once at most: more of them are not told from some that published.
        let often = what == "comes three times";
        let place = directory.path().join(format!("copy-{n}"));
        let mirrors = || {
            let arguments = ["mirror", place.to_str().unwrap(), "--name", "quotes"];
            let mut command = bridge(&arguments);
            command.args(["--from", "oldest", "--connect", &address]);
            Running::start(&mut command)
        };
        let mut copy = mirrors();
        copy.says("mirroring ");
        let opened = Ring::open(place.clone()).unwrap();
        let mut consumer = opened.consumer(Start::Oldest).unwrap();
        while consumer.next_sequence() != producer.next_sequence() {
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!(&message[..], b"of the source");
        }
        copy.signal(Signal::KILL);
        assert_eq!(copy.ended().code(), None);
        drop(consumer);
        does(&opened);
        let sequence = producer.publish(b"of the source").unwrap();
        let mut copy = mirrors();
        if wrote > 0 || often {
            assert_eq!(copy.ended().code(), Some(4), "{what}: {}", copy.said);
            let note = format!(".copy-{n}.mirror");
            for said in [
                place.to_str().unwrap(),
                "published in",
                "slipring rm",
                &note,
            ] {
                assert!(copy.said.contains(said), "{what}: {}", copy.said);
            }
        } else {
            copy.says("mirroring ");
            let mut consumer = opened.consumer(Start::Sequence(sequence)).unwrap();
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!(&message[..], b"of the source", "{what}");
        }
    }
}

/// What a mirror kept of a ring says nothing of another one that has its place.
#[test]
fn a_copy_that_is_removed_is_made_anew() {
    let pair = Pair::new();
    let mut producer = other(&pair.ring);
    producer.publish(b"of the source").unwrap();
    for published in [true, false] {
        let copy = pair.mirror();
        pair.publish(&mut producer, 3);
        copy.end().unwrap();
        if published {
            other(&pair.copy()).publish(b"of another").unwrap();
            assert!(pair.mirror().ended().is_err());
        }
        slipring::registry::remove_at(pair.place(), true).unwrap();
    }
    pair.source.end().unwrap();
}

/// A note that cannot be read may say that others published.
#[test]
fn a_note_that_cannot_be_read_is_an_error() {
    let pair = Pair::new();
    let mut producer = other(&pair.ring);
    let copy = pair.mirror();
    pair.publish(&mut producer, 3);
    copy.end().unwrap();
    let note = pair.directory.path().join(".copy.mirror");
    let second = pair.directory.path().join("second");
    std::fs::rename(&note, &second).unwrap();
    for what in ["a directory", "a link", "a second name"] {
        match what {
            "a directory" => std::fs::create_dir(&note).unwrap(),
            "a link" => symlink(&second, &note).unwrap(),
            _ => std::fs::hard_link(&second, &note).unwrap(),
        }
        let ended = pair.mirror().ended();
        assert!(
            matches!(&ended, Err(BridgeError::Note { path, .. }) if *path == note),
            "{what}: {ended:?}"
        );
        std::fs::rename(&note, pair.directory.path().join(what)).unwrap();
    }
    // Without one, nothing is known.
    let copy = pair.mirror();
    pair.publish(&mut producer, 3);
    copy.end().unwrap();
    assert!(note.is_file());
    pair.source.end().unwrap();
}
