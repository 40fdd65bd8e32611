//! Rings that lie on a disk and were made in another boot of the machine: refused, looked at, recovered.

use slipring::{
    endpoint::AttachError,
    place::{OpenError, RemoveError},
    registry::{self, RecoverError},
    schema::OpaqueSchema,
    ConsumerOptions, Form, ObserverOptions, ProducerOptions, Queue, Received, Ring, Semaphore,
    Start,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testing::boots::{age, boot_of, OTHER};

fn in_memory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("ring");
    (directory, path)
}

fn on_disk() -> Option<(tempfile::TempDir, PathBuf)> {
    testing::boots::on_disk(env!("CARGO_TARGET_TMPDIR"))
}

fn is_other(error: &OpenError, at: &Path, this: u128) -> bool {
    match error {
        OpenError::OtherBoot {
            path,
            found,
            expected,
        } => path == at && *found == OTHER && *expected == this,
        _ => false,
    }
}

#[test]
fn a_ring_on_a_disk_of_another_boot_is_only_looked_at() {
    let Some((directory, path)) = on_disk() else {
        return;
    };
    let builder = || Ring::builder(&path).capacity_bytes(4096);
    builder().create().unwrap();
    let this = boot_of(&path);
    assert_ne!(this, 0);
    assert!(!Ring::open(&path).unwrap().status().unwrap().other_boot);
    age(&path, OTHER);
    let other = |error: &OpenError| is_other(error, &path, this);
    let error = Ring::open(&path).unwrap_err();
    assert!(other(&error), "{error}");
    let text = error.to_string();
    for said in [
        format!("{OTHER:032x}"),
        format!("{this:032x}"),
        "slipring recover".to_owned(),
    ] {
        assert!(text.contains(&said), "{text}");
    }
    let created = builder().create_or_open().unwrap_err();
    assert!(matches!(&created, slipring::place::CreateError::Open(error) if other(error)));
    // Looked at, it is what it is, and gives no role.
    let ring = registry::look_at(&path).unwrap();
    assert!(ring.status().unwrap().other_boot);
    let listed = registry::list_in(directory.path()).unwrap();
    assert!(
        listed[0]
            .ring
            .as_ref()
            .unwrap()
            .status()
            .unwrap()
            .other_boot
    );
    let refused = [
        ring.producer_with(ProducerOptions::default()).err(),
        ring.consumer_with(Start::Oldest, ConsumerOptions::default())
            .err(),
        ring.durable_consumer("a", Start::Oldest).err(),
        ring.forget_cursor("a").err(),
        ring.observer_with(Start::Oldest, ObserverOptions::default())
            .err(),
    ];
    for error in refused {
        match error.unwrap() {
            AttachError::Open(error) => assert!(other(&error), "{error}"),
            error => panic!("{error}"),
        }
    }
    // Unknown is not other.
    age(&path, 0);
    Ring::open(&path).unwrap().producer().unwrap();
    age(&path, OTHER);
    Ring::remove(&path).unwrap();
}

#[test]
fn a_ring_in_memory_cannot_be_of_another_boot() {
    let (_directory, path) = in_memory();
    Ring::builder(&path).create().unwrap();
    age(&path, OTHER);
    let ring = Ring::open(&path).unwrap();
    assert!(!ring.status().unwrap().other_boot);
    ring.producer().unwrap();
    assert_eq!(registry::recover(&path).unwrap(), None);
    assert_eq!(boot_of(&path), OTHER);
}

#[test]
fn other_forms_of_another_boot_are_refused_and_not_recovered() {
    let Some((_directory, path)) = on_disk() else {
        return;
    };
    Queue::builder(&path).create().unwrap();
    let this = boot_of(&path);
    age(&path, OTHER);
    assert!(is_other(&Queue::open(&path).unwrap_err(), &path, this));
    match registry::recover(&path).unwrap_err() {
        RecoverError::Form { path: at, found } => {
            assert_eq!((at, found), (path.clone(), Form::Queue))
        }
        error => panic!("{error}"),
    }
    Queue::remove(&path).unwrap();
    Semaphore::builder(&path).create().unwrap();
    age(&path, OTHER);
    assert!(is_other(&Semaphore::open(&path).unwrap_err(), &path, this));
}

fn content(sequence: u64) -> Vec<u8> {
    (0..sequence % 150)
        .map(|at| (sequence * 7 + at) as u8)
        .collect()
}

/// A ring of another boot with messages from 100 on, closed, and two durable cursors: one at 110, one at the end.
fn aged(path: &Path) -> (u128, u128) {
    let ring = Ring::builder(path)
        .capacity_bytes(1 << 16)
        .first_sequence(100)
        .max_readers(5)
        .frame_align(64)
        .evict_after(Duration::from_secs(9))
        .mode(0o640)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let mut slow = ring.durable_consumer("slow", Start::Oldest).unwrap();
    let mut fast = ring.durable_consumer("fast", Start::Oldest).unwrap();
    for sequence in 100..200 {
        producer.publish(&content(sequence)).unwrap();
        assert_eq!(&*fast.receive().unwrap().unwrap(), content(sequence));
        if sequence < 110 {
            assert_eq!(&*slow.receive().unwrap().unwrap(), content(sequence));
        }
    }
    producer.close();
    let this = boot_of(path);
    let id = ring.id();
    drop((ring, slow, fast));
    age(path, OTHER);
    (this, id)
}

#[test]
fn a_recovered_ring_has_its_messages_cursors_and_settings() {
    let Some((directory, path)) = on_disk() else {
        return;
    };
    let (this, id) = aged(&path);
    let recovered = registry::recover(&path).unwrap().unwrap();
    // The last message lies in one page, or is given up.
    let next = recovered.next_sequence;
    assert!(next == 200 || next == 199, "{recovered:?}");
    assert_eq!(
        (recovered.first_sequence, recovered.given_up),
        (100, 200 - next)
    );
    assert_eq!((recovered.cursors, recovered.boot), (2, OTHER));
    assert_eq!(recovered.messages, next - 100);
    assert_eq!(boot_of(&path), this);
    assert_eq!(registry::recover(&path).unwrap(), None);
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let ring = Ring::open(&path).unwrap();
    assert_ne!(ring.id(), id);
    let origin = ring.origin().unwrap();
    assert_eq!((origin.id, origin.epoch, &*origin.host), (id, 1, ""));
    assert_eq!((ring.capacity_bytes(), ring.max_readers()), (1 << 16, 5));
    assert_eq!(
        (ring.frame_align(), ring.evicts_after()),
        (64, Some(Duration::from_secs(9)))
    );
    let mode = fs::metadata(path.join("stream"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let status = ring.status().unwrap();
    assert!(status.closed && !status.other_boot);
    assert_eq!((status.epoch.number, status.next_sequence), (2, Some(next)));
    let mut all = ring.observer(Start::Oldest).unwrap();
    let mut slow = ring.durable_consumer("slow", Start::Latest).unwrap();
    for sequence in 100..next {
        match all.try_receive().unwrap() {
            slipring::Received::Message(message) => {
                assert_eq!(
                    (message.sequence(), &*message),
                    (sequence, &*content(sequence))
                );
            }
            other => panic!("{other:?}"),
        }
        if sequence >= 110 {
            let message = slow.try_receive().unwrap();
            assert_eq!((message.sequence(), message.missed()), (sequence, 0));
            assert_eq!(&*message, content(sequence));
        }
    }
    // The next producer goes on behind the last message, and a cursor behind it goes on there.
    let mut producer = ring.producer().unwrap();
    let mut fast = ring.durable_consumer("fast", Start::Oldest).unwrap();
    assert_eq!(producer.publish(b"next").unwrap(), next);
    for consumer in [&mut slow, &mut fast] {
        let message = consumer.try_receive().unwrap();
        assert_eq!((message.sequence(), &*message), (next, &b"next"[..]));
    }
}

#[test]
fn two_that_recover_a_ring_recover_it_once() {
    let Some((_directory, path)) = on_disk() else {
        return;
    };
    for _ in 0..10 {
        aged(&path);
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| registry::recover(&path)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let done = results
            .iter()
            .filter(|result| matches!(result, Ok(Some(_))))
            .count();
        assert_eq!(done, 1, "{results:?}");
        for result in results {
            let fine = matches!(
                result,
                Ok(_) | Err(RecoverError::Remove(RemoveError::InUse { .. }))
            );
            assert!(fine, "{result:?}");
        }
        assert!(Ring::open(&path).unwrap().status().unwrap().closed);
        Ring::remove(&path).unwrap();
    }
}

/// What a process that dies leaves before the names are exchanged, and after.
#[test]
fn what_a_death_leaves_is_refused_or_recovered_and_a_leftover() {
    let Some((directory, path)) = on_disk() else {
        return;
    };
    let hidden = directory.path().join(".ring.0123456789abcdef");
    aged(&path);
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("stream"), [0; 8192]).unwrap();
    assert!(matches!(
        Ring::open(&path),
        Err(OpenError::OtherBoot { .. })
    ));
    registry::recover(&path).unwrap().unwrap();
    let leftovers = registry::leftovers_in(directory.path()).unwrap();
    let half = leftovers
        .iter()
        .find(|leftover| leftover.path == hidden)
        .unwrap();
    assert!(half.remove().unwrap());
    Ring::open(&path).unwrap();
}

#[test]
fn a_ring_whose_index_leads_nowhere_is_left_as_it_is() {
    let Some((directory, path)) = on_disk() else {
        return;
    };
    aged(&path);
    let mut stream = fs::read(path.join("stream")).unwrap();
    // Without the index: its entries are zero, which is before the first message.
    stream[8192..8192 + 16 * 16].fill(0);
    fs::write(path.join("stream"), &stream).unwrap();
    match registry::recover(&path).unwrap_err() {
        RecoverError::Damaged { path: at } => assert_eq!(at, path),
        error => panic!("{error}"),
    }
    assert_eq!(fs::read(path.join("stream")).unwrap(), stream);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    Ring::remove(&path).unwrap();
}

/// A schema that did not reach the disk whole does not keep the messages from their readers.
#[test]
fn a_schema_that_is_torn_or_missing_is_given_up_and_told() {
    let schema = OpaqueSchema::new("protobuf", "quote.proto", vec![b'x'; 9000]).unwrap();
    type Harm = (&'static str, fn(&Path));
    let harms: [Harm; 4] = [
        ("whole", |_| ()),
        ("zeros", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[4096..8192].fill(0);
            fs::write(file, bytes).unwrap();
        }),
        ("short", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..4096]).unwrap();
        }),
        ("missing", |file| fs::remove_file(file).unwrap()),
    ];
    for (harm, apply) in harms {
        let Some((_directory, path)) = on_disk() else {
            return;
        };
        let ring = Ring::builder(&path)
            .opaque_schema(&schema)
            .create()
            .unwrap();
        let mut producer = ring.producer().unwrap();
        for _ in 0..2 {
            producer.publish(b"kept").unwrap();
        }
        drop((ring, producer));
        apply(&path.join("schema"));
        age(&path, OTHER);
        let recovered = registry::recover(&path).unwrap().unwrap();
        assert_eq!(recovered.schema_lost, harm != "whole", "{harm}");
        assert!(recovered.messages >= 1, "{harm}");
        let ring = Ring::open(&path).unwrap();
        let kept = (harm == "whole").then(|| schema.clone());
        assert_eq!(ring.opaque_schema().unwrap(), kept, "{harm}");
        let mut observer = ring.observer(Start::Oldest).unwrap();
        assert!(matches!(observer.try_receive().unwrap(), Received::Message(m) if *m == *b"kept"));
    }
}
