//! Which rings a side takes, makes and leaves behind.

use crate::support::{Fake, Side, LONG};
use slipring::endpoint::{Origin, ReceiveError};
use slipring::{Consumer, Plain, Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::Engine;
use slipring_bridge::mirror::{self, From, OnRecreate};
use slipring_bridge::stat::{MirrorStat, SourceStat};
use slipring_bridge::{serve, BridgeError};
use slipring_mirror::mirror::Stop;
use slipring_mirror::Name;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

type Running = Side<Result<(), BridgeError>>;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

struct Scratch {
    directory: tempfile::TempDir,
    network: Network,
}

impl Scratch {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            network: Network::default(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn serving(&self) -> serve::Options {
        serve::Options::new(self.at("source"), name("quotes"))
    }

    fn mirroring(&self) -> mirror::Options {
        mirror::Options {
            from: From::Oldest,
            patience: Some(LONG),
            ..mirror::Options::new(self.at("copy"), name("quotes"), name("london"))
        }
    }

    fn serve(&self, options: serve::Options) -> Running {
        let engine: Arc<dyn Engine> = Arc::new(self.network.clone());
        let side =
            Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()));
        side.wait();
        side
    }

    fn mirror(&self, options: mirror::Options) -> Running {
        let engine: Arc<dyn Engine> = Arc::new(self.network.clone());
        Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()))
    }
}

/// The wall clock, in nanoseconds since 1970.
fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_nanos() as u64
}

fn reader(path: &Path) -> Consumer {
    let ring = Ring::open(path.to_owned()).unwrap();
    ring.consumer(Start::Oldest).unwrap()
}

/// The last message of a ring of counters.
fn last<T: Plain>(path: &Path) -> T {
    let ring = Ring::open(path.to_owned()).unwrap().typed::<T>().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut last = None;
    while let Ok(counted) = consumer.try_receive() {
        last = Some(*counted);
    }
    last.expect("nothing was counted")
}

/// What a side did up to its end is in its ring of counters, though it ends between two of its reports.
#[test]
fn a_side_counts_once_more_when_it_ends() {
    const MANY: u64 = 100;
    let at = Scratch::new();
    let ring = Ring::builder(at.at("source")).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let source = at.serve(serve::Options {
        stat: Some(at.at("sent").into()),
        ..at.serving()
    });
    let copy = at.mirror(mirror::Options {
        stat: Some(at.at("written").into()),
        ..at.mirroring()
    });
    copy.wait();
    let mut consumer = reader(&at.at("copy"));
    for n in 0..MANY {
        producer.publish(&n.to_le_bytes()).unwrap();
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
    }
    let before = wall_ns();
    copy.end().unwrap();
    let written: MirrorStat = last(&at.at("written"));
    assert_eq!((written.messages, written.next_sequence), (MANY, MANY));
    assert!(written.time_ns >= before, "{before} {written:?}");
    let before = wall_ns();
    source.end().unwrap();
    let sent: SourceStat = last(&at.at("sent"));
    assert_eq!((sent.messages, sent.next_sequence), (MANY, MANY));
    assert!(sent.time_ns >= before, "{before} {sent:?}");
}

#[test]
fn a_new_mirror_has_the_permissions_that_it_is_to_have() {
    let at = Scratch::new();
    Ring::builder(at.at("source")).create().unwrap();
    let source = at.serve(at.serving());
    for mode in [0o600, 0o640, 0o644, 0o660, 0o666] {
        let place = at.at(&format!("{mode:o}"));
        let options = mirror::Options {
            mode,
            mirror: name(&format!("m{mode:o}")),
            ..mirror::Options {
                place: place.clone().into(),
                ..at.mirroring()
            }
        };
        let copy = at.mirror(options);
        copy.wait();
        // As a ring that a program makes with the same permissions.
        let other = at.at(&format!("other-{mode:o}"));
        Ring::builder(other.clone()).mode(mode).create().unwrap();
        let modes = |place: &Path| {
            let files = std::fs::read_dir(place).unwrap().map(|file| file.unwrap());
            let mut modes: Vec<_> = files
                .map(|file| {
                    (
                        file.file_name(),
                        file.metadata().unwrap().permissions().mode(),
                    )
                })
                .collect();
            modes.sort();
            modes
        };
        assert!(!modes(&place).is_empty());
        assert_eq!(modes(&place), modes(&other), "{mode:o}");
        copy.end().unwrap();
    }
    source.end().unwrap();
}

/// Readers of a mirror that is stopped wait for its next run, and then go on. Those of one whose source was closed are at the end.
#[test]
fn a_mirror_that_is_stopped_stays_open_and_one_whose_source_was_closed_does_not() {
    let at = Scratch::new();
    let ring = Ring::builder(at.at("source")).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let source = at.serve(at.serving());
    let copy = at.mirror(at.mirroring());
    copy.wait();
    let mut consumer = reader(&at.at("copy"));
    let closed = || Ring::open(at.at("copy")).unwrap().status().unwrap().closed;
    producer.publish(b"one").unwrap();
    assert_eq!(&consumer.receive_until(LONG).unwrap().unwrap()[..], b"one");
    copy.end().unwrap();
    assert!(!closed());
    let left = consumer.receive_until(Duration::from_millis(1));
    assert!(matches!(left, Err(ReceiveError::TimedOut)), "{left:?}");
    drop(left);
    let copy = at.mirror(mirror::Options {
        mirror: name("next"),
        ..at.mirroring()
    });
    copy.wait();
    producer.publish(b"two").unwrap();
    assert_eq!(&consumer.receive_until(LONG).unwrap().unwrap()[..], b"two");
    // A source that ends has not closed its ring.
    source.end().unwrap();
    assert!(!ring.status().unwrap().closed);
    let source = at.serve(at.serving());
    producer.close();
    assert!(consumer.receive_until(LONG).unwrap().is_none());
    copy.end().unwrap();
    assert!(closed());
    source.end().unwrap();
}

/// A copy of the ring with this identity, of 4,096 bytes, which has one message.
fn older(at: &Scratch, id: u128) -> Ring {
    let ring = Ring::builder(at.at("copy"))
        .capacity_bytes(4096)
        .origin(Origin {
            id,
            epoch: 1,
            host: String::new(),
        })
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(b"older").unwrap();
    producer.detach();
    ring
}

/// A copy that could not take the longest message of its source is refused, and left as it is.
#[test]
fn a_copy_that_is_too_small_for_its_source_is_refused() {
    for capacity in [4096u64, 8192, 1 << 20] {
        let at = Scratch::new();
        let builder = Ring::builder(at.at("source")).capacity_bytes(capacity);
        let ring = builder.create().unwrap();
        let source = at.serve(at.serving());
        let old = older(&at, ring.id());
        let copy = at.mirror(at.mirroring());
        if capacity == 4096 {
            copy.wait();
            copy.end().unwrap();
        } else {
            let ended = copy.ended();
            let (has, needs) = (old.max_message_bytes(), ring.max_message_bytes());
            assert!(
                matches!(ended, Err(BridgeError::TooSmall { longest, needed })
                    if (longest, needed) == (has, needs)),
                "{capacity}: {ended:?}"
            );
        }
        let mut consumer = reader(&at.at("copy"));
        assert_eq!(
            &consumer.receive_until(LONG).unwrap().unwrap()[..],
            b"older"
        );
        assert!(!old.is_removed() && !old.status().unwrap().closed);
        source.end().unwrap();
    }
}

/// A copy of another ring is not written, but closed, and, if the mirror is to follow, made anew.
#[test]
fn a_copy_of_another_ring_is_not_written() {
    for follow in [false, true] {
        let at = Scratch::new();
        let ring = Ring::builder(at.at("source")).create().unwrap();
        ring.producer().unwrap().publish(b"newer").unwrap();
        let source = at.serve(at.serving());
        let old = older(&at, ring.id() ^ 1);
        let mut consumer = reader(&at.at("copy"));
        let options = mirror::Options {
            on_recreate: match follow {
                true => OnRecreate::Follow,
                false => OnRecreate::Stop,
            },
            ..at.mirroring()
        };
        let copy = at.mirror(options);
        if follow {
            copy.wait();
            let new = Ring::open(at.at("copy")).unwrap();
            assert_eq!(new.origin().map(|origin| origin.id), Some(ring.id()));
            let mut consumer = reader(&at.at("copy"));
            assert_eq!(
                &consumer.receive_until(LONG).unwrap().unwrap()[..],
                b"newer"
            );
            copy.end().unwrap();
        } else {
            let ended = copy.ended();
            assert!(
                matches!(ended, Err(BridgeError::Stop(Stop::Recreated { ring: found }))
                    if found == ring.id()),
                "{ended:?}"
            );
        }
        assert_eq!(old.is_removed(), follow);
        assert_eq!(
            &consumer.receive_until(LONG).unwrap().unwrap()[..],
            b"older"
        );
        assert!(consumer.receive_until(LONG).unwrap().is_none());
        if !follow {
            assert_eq!(old.status().unwrap().next_sequence, Some(1));
        }
        source.end().unwrap();
    }
}

/// A source that nobody asks and whose ring is silent notices that it was removed, whether it may send or not, and however that
/// was done; and serves the next one.
#[test]
fn a_source_notices_by_itself_that_its_ring_was_removed() {
    for (lossless, by_files) in [(false, false), (false, true), (true, false), (true, true)] {
        let at = Scratch::new();
        let ring = Ring::builder(at.at("source")).create().unwrap();
        if lossless {
            // With a window of no bytes, it may not send the second message before the first is acknowledged.
            let mut producer = ring.producer().unwrap();
            for _ in 0..2 {
                producer.publish(b"more than the window").unwrap();
            }
        }
        let source = at.serve(serve::Options {
            lossless,
            require: lossless.then(|| name("london")).into_iter().collect(),
            window: 0,
            from: Start::Oldest,
            ..at.serving()
        });
        match by_files {
            true => std::fs::remove_dir_all(at.at("source")).unwrap(),
            false => slipring::registry::remove_at(at.at("source"), true).unwrap(),
        }
        drop(ring);
        Ring::builder(at.at("source")).create().unwrap();
        source.wait();
        source.end().unwrap();
    }
}

/// An error of the mirror is not the end of its source: readers wait for the next mirror.
#[test]
fn a_mirror_that_ends_with_an_error_leaves_its_ring_open() {
    let at = Scratch::new();
    let source = Fake::new(&at.network);
    let copy = at.mirror(at.mirroring());
    copy.wait();
    source.meta.lock().unwrap().taken = true;
    let ended = copy.ended();
    assert!(
        matches!(ended, Err(BridgeError::Stop(Stop::NameTaken))),
        "{ended:?}"
    );
    let status = Ring::open(at.at("copy")).unwrap().status().unwrap();
    assert!(!status.closed && !status.abandoned, "{status:?}");
}
