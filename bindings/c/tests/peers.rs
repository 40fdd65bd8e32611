//! Programs in C at one end, and the library or the command at the other: what each sends the other gets, and what a killed one
//! leaves is exact.

use slipring::endpoint::{ReceiveError, TryPublishError};
use slipring::{Queue, Ring, Semaphore, Start};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use support::{compiled, finish, finished, in_directory, run, slipring, LONG};
use tempfile::TempDir;

/// The length of message `sequence`, as in `tests/c/check.h`.
fn length_of(sequence: u64, most: u64) -> u64 {
    let mut state = (sequence + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^= state >> 32;
    match state % 8 {
        0 => 0,
        1 => most,
        2 => most - (state >> 8) % 9 % (most + 1),
        _ => (state >> 8) % (most + 1),
    }
}

fn content(sequence: u64, len: u64) -> Vec<u8> {
    (0..len)
        .map(|at| (sequence * 31 + at * 7 + 1) as u8)
        .collect()
}

fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The program at one end.
struct Peer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Peer {
    fn start(directory: &Path, words: &[&str]) -> Self {
        let mut command = in_directory(Command::new(compiled("peer.c")), directory);
        let spawned = command
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn says(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ends(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A producer in C is killed at any moment, many times. A consumer gets every message that was ever committed: at least each one
/// whose call returned, at most one more.
#[test]
fn a_killed_producer_leaves_an_exact_account() {
    let scratch = scratch();
    let ring = scratch.path().join("ticks");
    let progress = scratch.path().join("progress");
    std::fs::write(&progress, [0; 8]).unwrap();
    let made = Ring::builder(ring.as_path())
        .capacity_bytes(16 << 10)
        .create()
        .unwrap();
    let most = u64::from(made.max_message_bytes()).min(600);
    let mut consumer = made.consumer(Start::Oldest).unwrap();
    let kills = std::env::var("SLIPRING_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let mut next = 0;
    let mut state = 0x5eed_u64;
    for _ in 0..kills {
        let mut producer = Peer::start(
            scratch.path(),
            &[
                "produce",
                ring.to_str().unwrap(),
                progress.to_str().unwrap(),
            ],
        );
        producer.says("producing");
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        // Killed after so many messages, mostly while it waits for room or copies.
        let stop = next + state % 500;
        let mut producer = Some(producer);
        loop {
            if next >= stop {
                if let Some(producer) = producer.take() {
                    producer.kill();
                }
            }
            match consumer.receive_until(LONG) {
                Ok(Some(message)) => {
                    assert_eq!(message.sequence(), next);
                    assert_eq!(message.missed(), 0);
                    assert_eq!(&*message, content(next, length_of(next, most)));
                    next += 1;
                }
                Err(ReceiveError::ProducerGone { next: never }) => {
                    assert_eq!(never, next);
                    assert!(producer.is_none());
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        let done = u64::from_le_bytes(std::fs::read(&progress).unwrap().try_into().unwrap());
        assert!(
            next == done || next == done + 1,
            "{done} returned, {next} received"
        );
    }
    assert!(next > kills);
}

/// A consumer in C gets what a producer in Rust sends, one by one and in batches, and the exact loss where it was evicted.
#[test]
fn a_consumer_gets_everything_or_is_told_how_much_it_missed() {
    for (verb, evicts) in [
        ("consume", false),
        ("consume-batches", false),
        ("consume", true),
        ("consume-batches", true),
    ] {
        let scratch = scratch();
        let place = scratch.path().join("ticks");
        let mut builder = Ring::builder(place.as_path()).capacity_bytes(4096);
        if evicts {
            builder = builder.evict_after(Duration::from_micros(50));
        }
        let ring = builder.create().unwrap();
        let mut peer = Peer::start(scratch.path(), &[verb, place.to_str().unwrap()]);
        peer.says("consuming");
        let mut producer = ring.producer().unwrap();
        let all = 5000;
        for sequence in 0..all {
            let bytes = content(sequence, length_of(sequence, 300));
            producer.publish_until(&bytes, LONG).unwrap();
        }
        producer.close();
        let line = peer.line();
        let numbers: Vec<u64> = line
            .split([' ', ','])
            .filter_map(|word| word.parse().ok())
            .collect();
        let [got, missed, next] = numbers[..] else {
            panic!("{verb}: {line}");
        };
        assert_eq!(got + missed, next, "{verb}: {line}");
        // One that is evicted again and again is expelled before the end.
        assert!(evicts || (missed, next) == (0, all), "{verb}: {line}");
        assert!(next <= all);
        peer.ends();
    }
}

#[test]
fn a_killed_consumer_holds_the_producer_no_longer() {
    let scratch = scratch();
    let place = scratch.path().join("ticks");
    let ring = Ring::builder(place.as_path())
        .capacity_bytes(4096)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let mut peer = Peer::start(scratch.path(), &["hold", place.to_str().unwrap()]);
    peer.says("attached");
    producer.publish(b"first").unwrap();
    peer.says("held");
    let full = loop {
        if let Err(error) = producer.try_publish(&[7; 100]) {
            break error;
        }
    };
    assert!(matches!(full, TryPublishError::Full { .. }), "{full}");
    peer.kill();
    producer.publish_until(&[7; 100], LONG).unwrap();
}

#[test]
fn a_killed_receiver_gives_its_message_back() {
    let scratch = scratch();
    let place = scratch.path().join("jobs");
    let queue = Queue::builder(place.as_path()).create().unwrap();
    queue.sender().unwrap().send(b"sweep").unwrap();
    let mut peer = Peer::start(scratch.path(), &["hold-job", place.to_str().unwrap()]);
    peer.says("held");
    let mut receiver = queue.receiver().unwrap();
    assert!(receiver.try_receive().is_err());
    peer.kill();
    let job = receiver.receive_until(LONG).unwrap();
    assert_eq!((&*job, job.redelivered()), (&b"sweep"[..], true));
    job.ack().unwrap();
}

#[test]
fn a_killed_holder_gives_its_permit_back() {
    let scratch = scratch();
    let place = scratch.path().join("lock");
    let semaphore = Semaphore::builder(place.as_path())
        .permits(1)
        .create()
        .unwrap();
    let mut peer = Peer::start(scratch.path(), &["permit", place.to_str().unwrap()]);
    peer.says("held");
    assert!(semaphore.try_acquire().is_err());
    peer.kill();
    drop(semaphore.acquire_until(LONG).unwrap());
}

#[test]
fn the_command_is_the_other_end() {
    let scratch = scratch();
    let directory = scratch.path();
    let command = |words: &[&str]| {
        let mut command = in_directory(slipring(), directory);
        command.args(words);
        command
    };
    // A queue.
    run(&mut command(&["queue", "create", "jobs"]));
    run(&mut command(&["queue", "send", "jobs", "sweep"]));
    run(&mut command(&[
        "queue",
        "send",
        "jobs",
        "--priority",
        "7",
        "fire",
    ]));
    run(&mut command(&["queue", "send", "jobs", "stop"]));
    let mut work = in_directory(Command::new(compiled("peer.c")), directory);
    work.args(["work", "jobs"]);
    assert_eq!(finish(work), "fire 7 0\nsweep 0 0\nstop 0 0\n");
    // A mailbox.
    run(&mut command(&["mailbox", "create", "office"]));
    let mut peer = Peer::start(directory, &["answer", "office"]);
    peer.says("ready");
    assert_eq!(
        run(&mut command(&["mailbox", "request", "office", "how?"])),
        "re: how?\n"
    );
    peer.ends();
    // Signals.
    run(&mut command(&["signal", "create", "control"]));
    let mut peer = Peer::start(directory, &["listen", "control"]);
    peer.says("listening");
    run(&mut command(&[
        "signal", "send", "control", "5", "--to", "engine",
    ]));
    peer.says("5 1");
    peer.ends();
    // A ring that a program in C fills, and the command reads.
    run(&mut command(&["create", "ticks", "--capacity", "64KiB"]));
    let progress = directory.join("progress");
    std::fs::write(&progress, [0; 8]).unwrap();
    let read = command(&[
        "sub", "ticks", "--from", "oldest", "-n", "1000", "--format", "hex",
    ]);
    let mut read = read;
    let reader = read
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let reader = reader.unwrap();
    Ring::open(directory.join("ticks"))
        .unwrap()
        .wait_for_readers(1, LONG)
        .unwrap();
    let mut peer = Peer::start(directory, &["produce", "ticks", progress.to_str().unwrap()]);
    peer.says("producing");
    let text = finished(reader, "slipring sub");
    assert_eq!(text.lines().count(), 1000);
    for (sequence, line) in (0..).zip(text.lines()) {
        let bytes = content(sequence, length_of(sequence, 600));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line, hex, "message {sequence}");
    }
}

#[test]
fn what_cannot_be_opened_is_refused_with_its_number() {
    let scratch = scratch();
    let open = |place: &Path| {
        let mut command = in_directory(Command::new(compiled("peer.c")), scratch.path());
        command.arg("open").arg(place);
        finish(command)
    };
    let place = scratch.path().join("ticks");
    drop(Ring::builder(place.as_path()).create().unwrap());
    assert!(open(&place).starts_with("0 "), "{}", open(&place));
    // Another version of the layout: the number behind the magic.
    let stream = place.join("stream");
    let sound = std::fs::read(&stream).unwrap();
    let mut other = sound.clone();
    other[8] ^= 0x40;
    std::fs::write(&stream, &other).unwrap();
    assert!(open(&place).starts_with("203 "), "{}", open(&place));
    std::fs::write(&stream, &sound[..5000]).unwrap();
    assert!(open(&place).starts_with("204 "), "{}", open(&place));
    std::fs::write(&stream, &sound).unwrap();
    assert!(open(&place).starts_with("0 "));
    std::fs::remove_file(place.join("control")).unwrap();
    assert!(!open(&place).starts_with("0 "));
    let queue = scratch.path().join("jobs");
    drop(Queue::builder(queue.as_path()).create().unwrap());
    assert!(open(&queue).starts_with("207 "), "{}", open(&queue));
    assert!(open(&scratch.path().join("none")).starts_with("200 "));
}
