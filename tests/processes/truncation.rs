//! Another user who may write some files of an object cuts them short or punches holes in them. Each process
//! that has the object open gets errors that say so, no process dies, and its other rings go on.
//!
//! Without a harness: this program is also the process that has the object open, and the other user.

use rustix::fs::{fallocate, FallocateFlags};
use slipring::{signals::SignalSet, Fifo, Latest, Queue, Ring, Signals, Start};
use std::fmt::Debug;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testing::{say, text, Peer, Scratch, PATIENCE};

const MOMENT: Duration = Duration::from_millis(20);
/// A user that has only the rights that a mode gives to all.
const NOBODY: u32 = 65534;
const FORMS: [&str; 5] = ["ring", "queue", "latest", "signals", "fifo"];
const ATTACKS: [&str; 4] = ["empty", "one page", "shrink and grow", "punch"];

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(peer; [
    another_user_who_cuts_files_short_kills_no_process,
    a_ring_that_was_cut_short_is_the_only_one,
]);

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = Path::new(&arguments[0]);
    match role {
        "attack" => attack(path, &arguments[1]),
        form => attached(form, path),
    }
}

/// Does it to every file below that this user may write.
fn attack(path: &Path, how: &str) {
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                files.push((path, file));
            }
        }
    }
    for (path, file) in &files {
        let bytes = file.metadata().unwrap().len();
        match how {
            "empty" => file.set_len(0).unwrap(),
            "one page" => file.set_len(bytes.min(4096)).unwrap(),
            "shrink and grow" => {
                file.set_len(0).unwrap();
                file.set_len(bytes).unwrap();
            }
            "punch" if bytes > 0 => punch(file, bytes),
            _ => {}
        }
        assert!(!path.ends_with("stream"), "it may write {}", path.display());
    }
    assert!(files.iter().any(|(path, _)| path.ends_with("control")));
    assert!(files.iter().any(|(path, _)| path.ends_with("lock")));
}

fn punch(file: &File, bytes: u64) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, 0, bytes).unwrap();
}

/// Uses two handles of the ring.
struct Pair {
    ring: Ring,
    producer: slipring::Producer,
    consumer: slipring::Consumer,
    observer: slipring::Observer,
}

impl Pair {
    fn new(ring: Ring) -> Self {
        Self {
            producer: ring.producer().unwrap(),
            consumer: ring.consumer(Start::Latest).unwrap(),
            observer: ring.observer(Start::Latest).unwrap(),
            ring,
        }
    }

    /// What each call said that did not go well.
    fn use_it(&mut self, wrong: &mut Vec<String>) {
        note(wrong, self.producer.publish_until(&[1; 64], MOMENT));
        note(wrong, self.producer.claim_until(64, MOMENT).map(|_| ()));
        note(wrong, self.producer.try_publish(&[1; 1000]));
        note(wrong, self.consumer.receive_until(MOMENT).map(|_| ()));
        while self.consumer.try_receive().is_ok() {}
        note(wrong, self.observer.receive_until(MOMENT).map(|_| ()));
        while self.observer.try_receive().is_ok() {}
        let _ = (self.consumer.lag_bytes(), self.observer.lag_bytes());
        note(wrong, self.ring.status());
        let _ = self.producer.violations();
        let _ = (self.consumer.new_epoch(), self.observer.new_epoch());
        note(wrong, self.ring.consumer(Start::Latest).map(|_| ()));
    }
}

fn note<T, E: Debug>(wrong: &mut Vec<String>, result: Result<T, E>) {
    if let Err(error) = result {
        let error = format!("{error:?}");
        if !error.starts_with("TimedOut") && !error.starts_with("Full") {
            wrong.push(error);
        }
    }
}

/// Uses an object once, and notes what goes wrong.
type Round = Box<dyn FnMut(&mut Vec<String>)>;

/// Has an object of the form open, and a ring of its own; uses both for each line of input.
fn attached(form: &str, path: &Path) {
    let mut healthy = Pair::new(Ring::builder(path.with_extension("own")).create().unwrap());
    let mut rounds: Round = match form {
        "ring" => {
            let mut pair = Pair::new(Ring::open(path).unwrap());
            Box::new(move |wrong| pair.use_it(wrong))
        }
        "queue" => {
            let queue = Queue::open(path).unwrap();
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            sender.send(b"x").unwrap();
            receiver.receive().unwrap().ack().unwrap();
            Box::new(move |wrong| {
                note(wrong, sender.send_until(b"x", 0, MOMENT));
                note(wrong, receiver.receive_until(MOMENT).map(|m| m.ack()));
                note(wrong, receiver.wait_until(MOMENT));
                note(wrong, queue.status());
                note(wrong, queue.receiver());
            })
        }
        "latest" => {
            let latest = Latest::<Value>::open(path).unwrap();
            let (mut writer, mut reader) = (latest.writer().unwrap(), latest.reader().unwrap());
            Box::new(move |wrong| {
                note(wrong, writer.set(&Value { number: 1 }));
                note(wrong, reader.get());
                note(wrong, latest.status());
                note(wrong, reader.wait_until(MOMENT));
                note(wrong, reader.wait_until(MOMENT));
            })
        }
        "signals" => {
            let signals = Signals::open(path).unwrap();
            let mut listener = signals.listener("me").unwrap();
            let mut target = signals.target("me").unwrap();
            Box::new(move |wrong| {
                note(wrong, target.send(1));
                note(wrong, signals.broadcast(2));
                note(wrong, listener.wait_until(SignalSet::ALL, MOMENT));
                let _ = listener.try_wait(SignalSet::ALL);
                note(wrong, listener.wait_until(SignalSet::of(7), MOMENT));
                note(wrong, signals.status());
                note(wrong, signals.listener("other"));
            })
        }
        "fifo" => {
            let open = || Fifo::open(path).unwrap();
            let reader = open();
            let reader = std::thread::spawn(move || reader.reader_until(PATIENCE).unwrap());
            let mut writer = open().writer_until(PATIENCE).unwrap();
            let mut reader = reader.join().unwrap();
            writer.set_timeout(Some(MOMENT));
            reader.set_timeout(Some(MOMENT));
            let fifo = open();
            Box::new(move |wrong| {
                let mut bytes = [0; 100];
                for result in [writer.write(&bytes), reader.read(&mut bytes)] {
                    let timed_out = |e: &std::io::Error| e.kind() == std::io::ErrorKind::TimedOut;
                    note(
                        wrong,
                        result.map(|_| ()).or_else(|e| match timed_out(&e) {
                            true => Ok(()),
                            false => Err(e),
                        }),
                    );
                }
                // Nothing more to read: the wait is what finds out.
                if let Err(error) = reader.read(&mut bytes) {
                    if error.kind() != std::io::ErrorKind::TimedOut {
                        wrong.push(format!("{error:?}"));
                    }
                }
                note(wrong, fifo.status());
            })
        }
        form => panic!("no form {form}"),
    };
    say("ready");
    for _ in std::io::stdin().lock().lines() {
        let mut wrong = Vec::new();
        for _ in 0..5 {
            rounds(&mut wrong);
        }
        let mut unharmed = Vec::new();
        healthy.use_it(&mut unharmed);
        assert!(unharmed.is_empty(), "{unharmed:?}");
        wrong.sort();
        wrong.dedup();
        say(&wrong.join("; "));
    }
    drop(rounds);
    only_epochs(&healthy.ring);
}

/// That a new producer is noticed.
fn only_epochs(ring: &Ring) {
    let fresh = Ring::heap().create().unwrap();
    for ring in [ring, &fresh] {
        drop(ring.producer());
        let before = ring.status().unwrap().epoch.number;
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        let mut observer = ring.observer(Start::Latest).unwrap();
        let live = ring.status().unwrap().producer_alive == Some(true);
        let next = if live {
            None
        } else {
            ring.producer().unwrap().detach();
            Some(before + 1)
        };
        assert_eq!(consumer.new_epoch().map(|epoch| epoch.number), next);
        assert_eq!(observer.new_epoch().map(|epoch| epoch.number), next);
    }
}

fn make(form: &str, path: &Path) {
    match form {
        "ring" => drop(Ring::builder(path).mode(0o666).create().unwrap()),
        "queue" => drop(Queue::builder(path).mode(0o666).create().unwrap()),
        "latest" => drop(Latest::<Value>::builder(path).mode(0o666).create()),
        "signals" => drop(Signals::builder(path).mode(0o666).create().unwrap()),
        "fifo" => drop(Fifo::builder(path).mode(0o666).create().unwrap()),
        form => panic!("no form {form}"),
    }
}

fn another_user_who_cuts_files_short_kills_no_process() {
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    std::fs::set_permissions(&scratch.0, Permissions::from_mode(0o755)).unwrap();
    for form in FORMS {
        for how in ATTACKS {
            let name = format!("{form}-{}", how.replace(' ', "-"));
            let path: PathBuf = scratch.0.join(name);
            make(form, &path);
            let mut peer = Peer::start(form, &[text(&path)]);
            assert_eq!(peer.tell(""), "", "{form}: before");
            let mut other = testing::command("attack");
            other.args([text(&path), how]);
            other.uid(NOBODY).gid(NOBODY).current_dir("/");
            assert!(other.status().unwrap().success(), "{form}: {how}");
            let said = peer.tell("");
            if ["empty", "one page"].contains(&how) {
                assert!(
                    said.contains("Poisoned") || said.contains("cut short"),
                    "{form}, {how}: {said:?}"
                );
            }
            // Also from now on.
            peer.tell("");
            drop(peer.child.stdin.take());
            peer.finish();
        }
    }
}

/// As [`cut`], by this user, and with the guard installed by hand.
fn a_ring_that_was_cut_short_is_the_only_one() {
    slipring::place::guard_against_truncation().unwrap();
    let scratch = Scratch::new();
    let at = |name: &str| scratch.0.join(name);
    let mut healthy = Pair::new(Ring::builder(at("healthy")).create().unwrap());
    let mut cut = Pair::new(Ring::builder(at("cut")).create().unwrap());
    attack_own(&at("cut"));
    let mut wrong = Vec::new();
    cut.use_it(&mut wrong);
    assert!(wrong.iter().any(|said| said.contains("Poisoned")));
    for _ in 0..3 {
        let mut wrong = Vec::new();
        healthy.use_it(&mut wrong);
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    let ring = healthy.ring.clone();
    drop(healthy);
    only_epochs(&ring);
}

fn attack_own(path: &Path) {
    for name in ["control", "stream"] {
        let file = OpenOptions::new().write(true).open(path.join(name));
        file.unwrap().set_len(0).unwrap();
    }
}
