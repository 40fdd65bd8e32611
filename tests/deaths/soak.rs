//! A ring at full speed for a long time, with an exact account at the end: for every reader,
//! `received + missed = published`, every word checked, and nothing grows.
//!
//! `SLIPRING_SOAK_SECONDS` sets how long.

use slipring::{
    endpoint::{AttachError, ReceiveError},
    ConsumerOptions, ObserverOptions, Received, Ring, Start, Strategy,
};
use std::path::Path;
use std::time::{Duration, Instant};
use testing::{say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    a_long_run_that_waits,
    a_long_run_that_evicts,
]);

fn a_long_run_that_waits() {
    soak(Duration::ZERO);
}

fn a_long_run_that_evicts() {
    soak(Duration::from_micros(200));
}

/// The length of a message: 8 to 4096 bytes, mostly small.
fn len(sequence: u64) -> usize {
    let n = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match n % 16 {
        0 => 8 + (n / 16 % 511 * 8) as usize,
        1..=3 => 8 + (n / 16 % 250) as usize,
        _ => 8 + (n / 16 % 57) as usize,
    }
}

/// Fills a message: every word depends on the sequence and the place (splitmix64, Steele 2014).
fn fill(sequence: u64, out: &mut Vec<u8>) {
    out.clear();
    let len = len(sequence);
    for at in 0..len.div_ceil(8) as u64 {
        out.extend_from_slice(&word(sequence, at).to_le_bytes());
    }
    out.truncate(len);
}

fn word(sequence: u64, at: u64) -> u64 {
    let mut z = (sequence << 20 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ z >> 27
}

fn verify(sequence: u64, bytes: &[u8]) {
    assert_eq!(bytes.len(), len(sequence));
    for (at, chunk) in bytes.chunks(8).enumerate() {
        let expected = word(sequence, at as u64).to_le_bytes();
        assert_eq!(
            chunk,
            &expected[..chunk.len()],
            "message {sequence} is torn"
        );
    }
}

/// How long each ring runs.
fn run_time() -> Duration {
    let wanted = std::env::var("SLIPRING_SOAK_SECONDS").ok();
    Duration::from_secs_f64(wanted.map_or(2.0, |n| n.parse().unwrap()) / 2.0)
}

/// What a process holds once it is warm, against what it holds at the end. Each process weighs
/// itself, between two calls: seen from outside, a reader that is just coming back holds more.
struct Weight {
    warm_from: Instant,
    warm: Option<(u64, usize)>,
}

impl Weight {
    fn new() -> Self {
        Self {
            warm_from: Instant::now() + run_time() / 4,
            warm: None,
        }
    }

    /// Resident memory in KiB, and open descriptors.
    fn now() -> (u64, usize) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = resident.and_then(|line| line.split_whitespace().nth(1));
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        (kib.unwrap().parse().unwrap(), open)
    }

    fn note(&mut self) {
        if self.warm.is_none() && Instant::now() >= self.warm_from {
            self.warm = Some(Self::now());
        }
    }

    fn check(&self) {
        // A process that did not run since it was warm has nothing to compare.
        let Some(was) = self.warm else { return };
        let is = Self::now();
        assert!(is.0 <= was.0 + 1024, "grew from {} to {} KiB", was.0, is.0);
        assert_eq!(is.1, was.1, "descriptors leaked");
    }
}

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ring = Ring::open(Path::new(&arguments[0])).unwrap();
    let (mut next, mut received, mut missed) = (0u64, 0u64, 0u64);
    let mut weight = Weight::new();
    match role {
        "consume" => {
            let options = ConsumerOptions::new().strategy(Strategy::Yield);
            let mut consumer = ring.consumer_with(Start::Oldest, options).unwrap();
            say("ready");
            loop {
                weight.note();
                let expelled = match consumer.receive_batch_until(64, PATIENCE) {
                    Ok(Some(mut batch)) => {
                        while let Some(message) = batch.next() {
                            next += message.missed();
                            missed += message.missed();
                            assert_eq!(message.sequence(), next);
                            verify(next, &message);
                            next += 1;
                            received += 1;
                        }
                        false
                    }
                    Ok(None) => break,
                    Err(ReceiveError::Expelled { .. }) => true,
                    Err(error) => panic!("{error}"),
                };
                if expelled {
                    // Attaches again at once, and counts what it missed in between.
                    drop(consumer);
                    let mut from = next;
                    consumer = loop {
                        match ring.consumer_with(Start::Sequence(from), options) {
                            Ok(consumer) => break consumer,
                            Err(AttachError::Gone { oldest, .. }) => from = oldest,
                            Err(AttachError::Overtaken) => {}
                            Err(error) => panic!("{error}"),
                        }
                    };
                    missed += from - next;
                    next = from;
                }
            }
            weight.check();
        }
        _ => {
            let options = ObserverOptions::new().strategy(Strategy::Yield);
            let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
            say("ready");
            loop {
                weight.note();
                match observer.receive_until(PATIENCE).unwrap() {
                    Received::Message(message) => {
                        assert_eq!(message.sequence(), next);
                        verify(next, &message);
                        next += 1;
                        received += 1;
                    }
                    Received::Lapped { lost, .. } => {
                        next += lost;
                        missed += lost;
                    }
                    Received::Closed => break,
                    received => panic!("{received:?}"),
                }
            }
            weight.check();
        }
    }
    say(&format!("{received} {missed}"));
}

fn soak(patience: Duration) {
    let time = run_time();
    let scratch = Scratch::new();
    let builder = Ring::builder(scratch.ring()).capacity_bytes(256 << 10);
    let ring = builder.evict_after(patience).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let readers = ["consume", "consume", "observe", "observe"]
        .map(|role| Peer::start(role, &[text(&scratch.ring())]));
    let (mut message, started) = (Vec::new(), Instant::now());
    let mut weight = Weight::new();
    let mut batch_of = 1;
    while started.elapsed() < time {
        for _ in 0..1000 {
            let next = producer.next_sequence();
            batch_of = batch_of % 9 + 1;
            if batch_of < 5 {
                fill(next, &mut message);
                producer.publish_until(&message, PATIENCE).unwrap();
            } else {
                let mut batch = producer.batch();
                for n in next..next + batch_of {
                    fill(n, &mut message);
                    batch.push_until(&message, PATIENCE).unwrap();
                }
                batch.commit();
            }
        }
        weight.note();
    }
    weight.check();
    assert_eq!(producer.violations(), 0);
    let published = producer.next_sequence();
    producer.close();
    println!("  published {published} in {:.0} s", time.as_secs_f64());
    for reader in readers {
        let account = reader.finish();
        let (received, missed) = account.split_once(' ').unwrap();
        let (received, missed): (u64, u64) = (received.parse().unwrap(), missed.parse().unwrap());
        assert_eq!(received + missed, published);
        println!("  received {received}, missed {missed}");
    }
}
