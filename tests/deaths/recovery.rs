//! Death in a recovery after a crash of the machine, at every system call it makes.

use slipring::{place::OpenError, registry, schema::OpaqueSchema, Received, Ring, Start};
use std::path::{Path, PathBuf};
use testing::boots::{age, on_disk, OTHER};
use testing::tracee::Tracee;
use testing::{payload, text};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    a_kill_at_any_system_call_of_a_recovery_leaves_the_old_ring_or_the_new_one,
]);

/// How many messages the ring holds, the first of which is 50.
const FIRST: u64 = 50;
const MESSAGES: u64 = 30;

fn schema() -> OpaqueSchema {
    OpaqueSchema::new("sbe", "quotes.xml", vec![7; 5000]).unwrap()
}

fn aged(path: &Path) {
    let ring = Ring::builder(path)
        .capacity_bytes(1 << 14)
        .first_sequence(FIRST)
        .opaque_schema(&schema())
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let mut reader = ring.durable_consumer("reader", Start::Oldest).unwrap();
    for sequence in FIRST..FIRST + MESSAGES {
        producer.publish(&payload(sequence, 100)).unwrap();
    }
    for _ in 0..3 {
        drop(reader.receive().unwrap().unwrap());
    }
    drop((ring, producer, reader));
    age(path, OTHER);
}

fn peer(_role: &str) {
    let path = PathBuf::from(std::env::args().nth(1).unwrap());
    testing::tracee::begin();
    let recovered = registry::recover(&path);
    testing::tracee::end();
    assert!(!recovered.unwrap().unwrap().schema_lost);
}

fn a_kill_at_any_system_call_of_a_recovery_leaves_the_old_ring_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    for point in 0.. {
        let Some((directory, path)) = on_disk(env!("CARGO_TARGET_TMPDIR")) else {
            return;
        };
        aged(&path);
        let mut victim = Tracee::start("recover", &[text(&path)]);
        let before_the_end = victim.steps(point, Tracee::syscall);
        victim.kill();
        let context = format!("killed at system call stop {point}");
        match Ring::open(&path) {
            Ok(_) => new += 1,
            Err(OpenError::OtherBoot { .. }) => {
                old += 1;
                let again = registry::recover(&path).unwrap().unwrap();
                assert!(again.messages + 1 >= MESSAGES, "{context}: {again:?}");
                assert_eq!((again.cursors, again.schema_lost), (1, false), "{context}");
            }
            Err(error) => panic!("{context}: {error}"),
        }
        holds_everything(&path, &context);
        for leftover in registry::leftovers_in(directory.path()).unwrap() {
            if leftover.path == path {
                continue;
            }
            assert_eq!(leftover.why, registry::Why::Half, "{context}");
            assert!(leftover.remove().unwrap(), "{context}");
        }
        let left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["ring"], "{context}");
        if !before_the_end {
            break;
        }
    }
    // One is before the exchange of the names, one behind it.
    assert!(old > 20 && new > 1, "{old} old, {new} new");
    println!("  {old} left the old ring, {new} the new one");
}

/// All messages but perhaps the last, the cursor, the schema, and a ring that goes on.
fn holds_everything(path: &Path, context: &str) {
    let ring = Ring::open(path).unwrap();
    assert_eq!(ring.opaque_schema().unwrap(), Some(schema()), "{context}");
    let mut all = ring.observer(Start::Oldest).unwrap();
    let next = ring.status().unwrap().next_sequence.unwrap();
    assert!(next + 1 >= FIRST + MESSAGES, "{context}: {next}");
    for sequence in FIRST..next {
        match all.try_receive().unwrap() {
            Received::Message(message) => {
                assert_eq!(message.sequence(), sequence, "{context}");
                assert_eq!(&*message, payload(sequence, 100), "{context}");
            }
            other => panic!("{context}: {other:?}"),
        }
    }
    let mut producer = ring.producer().unwrap();
    assert_eq!(producer.publish(b"alive").unwrap(), next, "{context}");
    let mut reader = ring.durable_consumer("reader", Start::Latest).unwrap();
    for sequence in FIRST + 3..=next {
        let message = reader.try_receive().unwrap();
        assert_eq!((message.sequence(), message.missed()), (sequence, 0));
    }
}
