//! Rings in files: every way to be refused, each with its typed error, and nothing left behind.

use rustix::fs::{Mode, CWD};
use slipring::{
    endpoint::{AttachError, Origin, PublishError, ReceiveError},
    place::{CreateError, DescriptionError, GeometryError, OpenError, RemoveError},
    Ring, Start,
};
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A directory of this test, and a ring in it.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("ring");
    (directory, path)
}

fn created() -> (tempfile::TempDir, PathBuf) {
    let (directory, path) = scratch();
    Ring::builder(&path).capacity_bytes(8192).create().unwrap();
    (directory, path)
}

fn entries(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_name_is_one_plain_component() {
    for name in ["", "a/b", "../a", ".a", &"a".repeat(65)] {
        assert!(
            matches!(Ring::builder(name).create(), Err(CreateError::Name(_))),
            "{name}"
        );
        assert!(
            matches!(Ring::open(name), Err(OpenError::Name(_))),
            "{name}"
        );
    }
}

#[test]
fn sizes_that_are_not_a_rings_are_refused() {
    let (directory, path) = scratch();
    let refused = Ring::builder(&path).capacity_bytes(5000).create();
    let expected = GeometryError::Capacity { bytes: 5000 };
    assert!(matches!(refused, Err(CreateError::Geometry(error)) if error == expected));
    let refused = Ring::builder(&path).frame_align(16).create();
    assert!(matches!(
        refused,
        Err(CreateError::Geometry(GeometryError::Align { bytes: 16 }))
    ));
    assert_eq!(entries(directory.path()), [""; 0]);
}

#[test]
fn an_existing_ring_is_never_replaced() {
    let (directory, path) = created();
    let id = Ring::open(&path).unwrap().id();
    let again = Ring::builder(&path).create();
    assert!(matches!(again, Err(CreateError::Exists { path: named }) if named == path));
    let opened = Ring::builder(&path).create_or_open().unwrap();
    assert_eq!(opened.id(), id);
    assert_eq!(entries(directory.path()), ["ring"]);
}

#[test]
fn creation_is_atomic_under_a_race() {
    for _ in 0..50 {
        let (directory, path) = scratch();
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| Ring::builder(&path).capacity_bytes(4096).create().is_ok()))
                .collect();
            threads
                .into_iter()
                .map(|t| usize::from(t.join().unwrap()))
                .sum()
        });
        assert_eq!(winners, 1);
        assert_eq!(entries(directory.path()), ["ring"]);
        Ring::open(&path).unwrap();
    }
}

#[test]
fn no_space_is_an_error_at_creation() {
    // A file size limit is what a full file system looks like to one process; a small tmpfs needs
    // privileges. What cannot be reserved at all shows the same path.
    let (directory, path) = scratch();
    let refused = Ring::builder(&path).capacity_bytes(1 << 40).create();
    assert!(matches!(refused, Err(CreateError::NoSpace { bytes, .. }) if bytes > 1 << 40));
    assert_eq!(entries(directory.path()), [""; 0]);
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let before = rustix::process::umask(Mode::from_raw_mode(0o077));
    let (_directory, path) = scratch();
    Ring::builder(&path)
        .mode(0o664)
        .capacity_bytes(4096)
        .create()
        .unwrap();
    rustix::process::umask(before);
    assert_eq!(mode(path.clone()), 0o755);
    assert_eq!(mode(path.join("stream")), 0o644);
    assert_eq!(mode(path.join("control")), 0o660);
    assert_eq!(mode(path.join("lock")), 0o660);
}

#[test]
fn what_is_not_there_is_not_found() {
    let (_directory, path) = scratch();
    assert!(
        matches!(Ring::open(&path), Err(OpenError::NotFound { path: named, .. }) if named == path)
    );
    let nowhere = path.join("deeper").join("ring");
    let created = Ring::builder(&nowhere).create();
    assert!(
        matches!(created, Err(CreateError::NoDirectory { path: named }) if named == path.join("deeper"))
    );
    let removed = slipring::registry::remove_at(&path, false);
    assert!(matches!(
        removed,
        Err(RemoveError::Open(OpenError::NotFound { .. }))
    ));
    let removed = slipring::registry::remove_at(&path, true);
    assert!(matches!(
        removed,
        Err(RemoveError::Open(OpenError::NotFound { .. }))
    ));
}

/// Changes the ring's files. Returns the result of opening it then.
fn tampered(tamper: impl FnOnce(&Path)) -> OpenError {
    let (_directory, path) = created();
    tamper(&path);
    Ring::open(&path).unwrap_err()
}

fn why(error: OpenError) -> &'static str {
    match error {
        OpenError::Untrusted { why, .. } => why,
        error => panic!("{error}"),
    }
}

#[test]
fn planted_files_are_not_trusted() {
    let replace = |name: &'static str, plant: fn(&Path, &Path)| {
        why(tampered(|path| {
            let (file, aside) = (path.join(name), path.join("aside"));
            fs::rename(&file, &aside).unwrap();
            plant(&file, &aside);
        }))
    };
    for name in ["stream", "control", "lock"] {
        let link: fn(&Path, &Path) = |file, aside| symlink(aside, file).unwrap();
        assert_eq!(replace(name, link), "it is a symbolic link");
        let dangling: fn(&Path, &Path) = |file, _| symlink("nowhere", file).unwrap();
        assert_eq!(replace(name, dangling), "it is a symbolic link");
        let hard: fn(&Path, &Path) = |file, aside| fs::hard_link(aside, file).unwrap();
        assert_eq!(replace(name, hard), "it has more than one name");
        let fifo: fn(&Path, &Path) =
            |file, _| rustix::fs::mkfifoat(CWD, file, Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(replace(name, fifo), "it is not a regular file");
        let missing: fn(&Path, &Path) = |_, _| {};
        assert_eq!(replace(name, missing), "it is missing");
    }
    let open_to_all = why(tampered(|path| {
        fs::set_permissions(path.join("stream"), fs::Permissions::from_mode(0o666)).unwrap();
    }));
    assert_eq!(open_to_all, "others than its owner may write it");
    let (directory, path) = created();
    symlink(&path, directory.path().join("link")).unwrap();
    let error = Ring::open(directory.path().join("link")).unwrap_err();
    assert_eq!(why(error), "it is a symbolic link");
    fs::write(directory.path().join("file"), "x").unwrap();
    let error = Ring::open(directory.path().join("file")).unwrap_err();
    assert_eq!(why(error), "it is not a directory");
}

#[test]
fn another_users_file_in_a_ring_is_not_trusted() {
    let (_directory, path) = created();
    let nobody = rustix::process::Uid::from_raw(65534);
    if rustix::fs::chownat(
        CWD,
        path.join("stream"),
        Some(nobody),
        None,
        rustix::fs::AtFlags::empty(),
    )
    .is_err()
    {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let error = Ring::open(&path).unwrap_err();
    assert_eq!(why(error), "it belongs to another user than its directory");
}

#[test]
fn short_foreign_and_damaged_files_say_what_they_are() {
    let cut = |name: &'static str, len: u64| {
        tampered(|path| {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(path.join(name))
                .unwrap();
            file.set_len(len).unwrap();
        })
    };
    for (name, len) in [
        ("stream", 0),
        ("stream", 100),
        ("stream", 8192),
        ("control", 100),
    ] {
        match cut(name, len) {
            OpenError::Truncated {
                found,
                expected,
                path,
            } => {
                assert_eq!(found, len);
                assert!(expected > found && path.ends_with(name));
            }
            error => panic!("{error}"),
        }
    }
    let poke = |at: usize, byte: u8| {
        let error = tampered(|path| {
            let mut bytes = fs::read(path.join("stream")).unwrap();
            bytes[at] = byte;
            fs::write(path.join("stream"), bytes).unwrap();
        });
        match error {
            OpenError::Description { reason, .. } => reason,
            error => panic!("{error}"),
        }
    };
    assert_eq!(poke(0, b'X'), DescriptionError::Foreign);
    assert_eq!(poke(8, 77), DescriptionError::Version { found: 77 });
    assert!(matches!(poke(41, 1), DescriptionError::Checksum { .. }));
}

/// The files of a ring of layout 2, as its last version made them: 4096 bytes of data, one row, no schema.
fn ring_of_layout_2(path: &Path) {
    let mut stream = vec![0; 4 * 4096];
    let (data, bytes, control) = (12288u64, 16384u64, 8192u64);
    for (at, number) in [
        (0, u64::from_le_bytes(*b"SLIPRING")),
        (8, 0x0102_0304 << 32 | 2),
        (40, 4096),
        (48, 512),
        (56, 1 << 32 | 8),
        (64, 1024),
        (72, 7),
        (80, 8192),
        (88, data),
        (96, bytes),
        (104, control),
        (112, 0x1122_3344_5566_7788),
        (120, 0x99aa_bbcc_ddee_ff00),
        (128, 42),
        (144, 1_763_000_000_000_000_000),
        // The first index entry.
        (8200, 7),
    ] {
        let number: u64 = number;
        stream[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    let sum = stream[..4088]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
    stream[4088..4096].copy_from_slice(&sum.to_le_bytes());
    let mut rows = vec![0; 8192];
    rows[..16].copy_from_slice(&stream[112..128]);
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, content) in [("stream", stream), ("control", rows), ("lock", Vec::new())] {
        fs::write(path.join(name), content).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_ring_of_layout_2_is_refused_by_that_number_and_left_as_it_is() {
    let (directory, path) = scratch();
    ring_of_layout_2(&path);
    let before = fs::read(path.join("stream")).unwrap();
    let version = |error: &OpenError| match error {
        OpenError::Description { reason, .. } => *reason == DescriptionError::Version { found: 2 },
        _ => false,
    };
    let error = Ring::open(&path).unwrap_err();
    assert!(version(&error), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is unusable: it was made with layout version 2, this build reads version 3: use the version that made it, or remove and create it again",
            path.join("stream").display()
        )
    );
    match Ring::builder(&path).create_or_open().unwrap_err() {
        CreateError::Open(error) => assert!(version(&error), "{error}"),
        error => panic!("{error}"),
    }
    let listed = slipring::registry::list_in(directory.path()).unwrap();
    assert!(version(listed[0].ring.as_ref().unwrap_err()));
    // It is no leftover: the version that made it can still use it.
    let leftovers = slipring::registry::leftovers_in(directory.path()).unwrap();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert_eq!(fs::read(path.join("stream")).unwrap(), before);
    Ring::remove(&path).unwrap();
    Ring::builder(&path).create().unwrap();
}

#[test]
fn sizes_that_do_not_follow_are_refused_with_both_numbers() {
    let error = tampered(|path| {
        let mut bytes = fs::read(path.join("stream")).unwrap();
        bytes[104..112].copy_from_slice(&12288u64.to_le_bytes());
        let sum = slipring::layout::schema::fnv1a(&bytes[..4088]);
        bytes[4088..4096].copy_from_slice(&sum.to_le_bytes());
        fs::write(path.join("stream"), bytes).unwrap();
    });
    assert!(
        error
            .to_string()
            .ends_with("it has a control size of 12288 bytes, 8192 expected"),
        "{error}"
    );
}

#[test]
fn a_ring_says_who_made_it_and_where_its_messages_come_from() {
    let (_directory, path) = scratch();
    let longest = "h".repeat(64);
    for (id, epoch, host) in [(1, 0, ""), (u128::MAX, u64::MAX, longest.as_str())] {
        let origin = Origin {
            id,
            epoch,
            host: host.to_owned(),
        };
        let builder = Ring::builder(&path).origin(origin.clone());
        builder.create().unwrap();
        let ring = Ring::open(&path).unwrap();
        assert_eq!(ring.origin(), Some(&origin));
        assert_eq!(
            ring.maker(),
            concat!("slipring ", env!("CARGO_PKG_VERSION"))
        );
        drop(ring);
        Ring::remove(&path).unwrap();
    }
    let longer = "h".repeat(65);
    for (id, host) in [(0, ""), (0, "host"), (1, "a\nb"), (1, longer.as_str())] {
        let origin = Origin {
            id,
            epoch: 1,
            host: host.to_owned(),
        };
        let refused = Ring::builder(&path).origin(origin).create().unwrap_err();
        assert!(matches!(refused, CreateError::Origin { .. }), "{refused}");
        assert!(!path.exists());
    }
}

#[test]
fn files_of_two_rings_do_not_mix() {
    let (_one, first) = created();
    let (_two, second) = created();
    fs::remove_file(first.join("control")).unwrap();
    fs::copy(second.join("control"), first.join("control")).unwrap();
    let error = Ring::open(&first).unwrap_err();
    assert!(matches!(error, OpenError::Mismatched { path } if path == first));
}

#[test]
fn a_schema_mismatch_names_the_field() {
    slipring::message! { struct Here { time_ns: u64, bid: f64 } }
    let (_directory, path) = scratch();
    let schema = "Here{time_ns:u64,bid:i64}".parse().unwrap();
    let ring = Ring::builder(&path).schema(schema).create().unwrap();
    let error = ring.typed::<Here>().unwrap_err();
    assert!(matches!(error, OpenError::Schema { .. }));
    assert!(
        error
            .to_string()
            .ends_with("field 2 is bid:i64 in the ring, bid:f64 here"),
        "{error}"
    );
    let (_directory, path) = created();
    let error = Ring::open(&path).unwrap().typed::<Here>().unwrap_err();
    assert!(error.to_string().contains("no schema"), "{error}");
}

#[test]
fn a_ring_in_use_is_not_removed() {
    let (directory, path) = created();
    let ring = Ring::open(&path).unwrap();
    let producer = ring.producer().unwrap();
    let consumer = ring.consumer(Start::Latest).unwrap();
    let removed = slipring::registry::remove_at(&path, false);
    assert!(matches!(
        removed,
        Err(RemoveError::InUse {
            producer: true,
            rows: 1,
            ..
        })
    ));
    drop(producer);
    let removed = slipring::registry::remove_at(&path, false);
    assert!(matches!(
        removed,
        Err(RemoveError::InUse {
            producer: false,
            rows: 1,
            ..
        })
    ));
    drop(consumer);
    slipring::registry::remove_at(&path, false).unwrap();
    assert_eq!(entries(directory.path()), [""; 0]);
}

#[test]
fn removal_by_force_leaves_the_attached_alone() {
    let (directory, path) = created();
    let ring = Ring::open(&path).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    producer.publish(b"sent before").unwrap();
    slipring::registry::remove_at(&path, true).unwrap();
    assert_eq!(entries(directory.path()), [""; 0]);
    // What was published is read, and then both learn of it.
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"sent before");
    let told = consumer.receive().map(drop);
    assert!(matches!(told, Err(ReceiveError::Removed)), "{told:?}");
    let told = (0..100).find_map(|_| producer.publish(&[0; 2000]).err());
    assert!(matches!(told, Some(PublishError::Removed)), "{told:?}");
    // The name is free for another ring, which is another ring.
    let other = Ring::builder(&path).create().unwrap();
    assert_ne!(other.id(), ring.id());
    assert!(other.producer().is_ok());
}

#[test]
fn rows_run_out_with_an_error_and_come_back() {
    let (_directory, path) = scratch();
    let ring = Ring::builder(&path).max_readers(2).create().unwrap();
    let first = ring.consumer(Start::Latest).unwrap();
    let _second = ring.consumer(Start::Latest).unwrap();
    assert!(matches!(
        ring.consumer(Start::Latest),
        Err(AttachError::NoRow { rows: 2 })
    ));
    // An observer needs no row; without one it naps instead of sleeping.
    let _observer = ring.observer(Start::Latest).unwrap();
    drop(first);
    ring.consumer(Start::Latest).unwrap();
}

#[test]
fn every_name_of_a_directory_is_listed_with_what_is_wrong() {
    let (directory, path) = created();
    fs::create_dir(directory.path().join("empty")).unwrap();
    fs::create_dir(directory.path().join(".hidden")).unwrap();
    let listed = slipring::registry::list_in(directory.path()).unwrap();
    let names: Vec<(&str, bool)> = listed.iter().map(|e| (&*e.name, e.ring.is_ok())).collect();
    assert_eq!(names, [("empty", false), ("ring", true)]);
    assert!(slipring::registry::list_in(path.join("nowhere"))
        .unwrap()
        .is_empty());
}

#[test]
fn a_huge_ring_is_laid_out_in_huge_pages() {
    let (_directory, path) = scratch();
    let ring = Ring::builder(&path).huge_pages(true).create().unwrap();
    assert_eq!(
        fs::metadata(path.join("stream")).unwrap().size() % (2 << 20),
        0
    );
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    producer.publish(b"large").unwrap();
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"large");
}

#[test]
fn a_directory_does_not_list_itself() {
    let (directory, _) = scratch();
    let rings = directory.path().join("rings");
    fs::create_dir(&rings).unwrap();
    Ring::builder(rings.join("only")).create().unwrap();
    let listed = slipring::registry::list_in(&rings).unwrap();
    assert_eq!(
        listed.iter().map(|e| &*e.name).collect::<Vec<_>>(),
        ["only"]
    );
}

#[test]
fn only_what_nobody_holds_is_left_over() {
    use slipring::registry::{leftovers_in, Why};
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = |name: &str| scratch.path().join(name);
    let create = |name: &str| Ring::builder(path(name)).create().unwrap();
    let why = |name: &str| {
        let found = leftovers_in(scratch.path()).unwrap();
        found
            .into_iter()
            .find(|l| l.path == path(name))
            .map(|l| l.why)
    };
    let idle = create("idle");
    assert_eq!(why("idle"), Some(Why::Idle));
    let producer = idle.producer().unwrap();
    assert_eq!(why("idle"), None);
    producer.close();
    assert_eq!(why("idle"), Some(Why::Over));
    // A cursor that waits keeps it; a reader that is there, all the more.
    drop(idle.durable_consumer("archive", Start::Latest).unwrap());
    assert_eq!(why("idle"), Some(Why::Idle));
    let consumer = idle.consumer(Start::Latest).unwrap();
    let leftovers = leftovers_in(scratch.path()).unwrap();
    assert!(leftovers.is_empty());
    drop(consumer);
    // A process that attaches between the look and the removal is safe.
    let found = leftovers_in(scratch.path()).unwrap().pop().unwrap();
    let producer = idle.producer().unwrap();
    assert!(!found.remove().unwrap());
    drop(producer);
    assert!(found.remove().unwrap());
    assert!(found.remove().unwrap());
    assert!(!path("idle").exists());
    // A half-made ring that a process is still at work on is not left over.
    let half = path(".ticks.0123456789abcdef");
    std::fs::create_dir(&half).unwrap();
    let busy = std::fs::File::open(&half).unwrap();
    busy.lock().unwrap();
    assert!(leftovers_in(scratch.path()).unwrap().is_empty());
    drop(busy);
    let found = leftovers_in(scratch.path()).unwrap().pop().unwrap();
    assert_eq!(found.why, Why::Half);
    assert!(found.remove().unwrap() && !half.exists());
}

fn cut(file: &Path, len: u64) {
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(len).unwrap();
}

/// Checks that a damaged ring is removed as its error text says, once no process uses it.
#[test]
fn damaged_rings_can_be_removed_while_no_lock_is_held() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 8] = [
        ("cut short", |path| cut(&path.join("stream"), 100)),
        ("cut short, control", |path| cut(&path.join("control"), 0)),
        ("foreign", |path| {
            fs::write(path.join("stream"), [7; 8192]).unwrap()
        }),
        ("another version", |path| {
            let mut bytes = fs::read(path.join("stream")).unwrap();
            bytes[8] = 77;
            fs::write(path.join("stream"), bytes).unwrap();
        }),
        ("mixed", |path| {
            let (_other, other) = created();
            fs::copy(other.join("control"), path.join("control")).unwrap();
        }),
        ("no stream", |path| {
            fs::remove_file(path.join("stream")).unwrap()
        }),
        ("no lock", |path| {
            fs::remove_file(path.join("lock")).unwrap()
        }),
        ("a link", |path| {
            fs::remove_file(path.join("control")).unwrap();
            symlink("nowhere", path.join("control")).unwrap();
        }),
    ];
    // Those that are attached lose pages, which is a signal otherwise.
    slipring::place::guard_against_truncation().unwrap();
    for (what, damage) in damages {
        let (directory, path) = scratch();
        let queue = slipring::Queue::builder(&path).depth(4).create();
        let sender = queue.as_ref().unwrap().sender().unwrap();
        let receiver = queue.unwrap().receiver().unwrap();
        damage(&path);
        if what != "no lock" {
            let refused = slipring::registry::remove_at(&path, false).unwrap_err();
            assert!(
                matches!(refused, RemoveError::InUse { rows: 1, .. }),
                "{what}: {refused}"
            );
        }
        let damaged = || {
            let left = slipring::registry::leftovers_in(directory.path()).unwrap();
            left.iter()
                .any(|left| left.why == slipring::registry::Why::Damaged)
        };
        assert!(what == "no lock" || !damaged(), "{what}: in use");
        drop((sender, receiver));
        // Another program may still use one of another version, and a link was put there by another hand.
        let left = !["another version", "a link"].contains(&what);
        assert_eq!(damaged(), left, "{what}");
        slipring::registry::remove_at(&path, false)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(entries(directory.path()), [""; 0], "{what}");
        // And in a ring inside it.
        slipring::Mailbox::builder(&path).create().unwrap();
        damage(&path.join("letters"));
        slipring::registry::remove_at(&path, false)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(entries(directory.path()), [""; 0], "{what}");
    }
}

#[test]
fn what_is_no_ring_is_not_removed_even_by_force() {
    let (directory, path) = created();
    let rings = directory.path().join("rings");
    fs::create_dir_all(rings.join("deep/deeper")).unwrap();
    Ring::builder(rings.join("inner")).create().unwrap();
    fs::write(path.join("notes"), "mine").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    for force in [false, true] {
        for other in [&path, &rings] {
            let refused = slipring::registry::remove_at(other, force).unwrap_err();
            assert!(
                matches!(refused, RemoveError::Open(OpenError::Untrusted { .. })),
                "{refused}"
            );
        }
    }
    assert_eq!(fs::read(path.join("notes")).unwrap(), b"mine");
    assert!(rings.join("deep/deeper").exists());
    Ring::open(rings.join("inner")).unwrap();
    Ring::open(&path).unwrap();
    fs::remove_file(path.join("notes")).unwrap();
    slipring::registry::remove_at(&path, false).unwrap();
}

#[test]
fn what_is_missing_is_called_by_its_form() {
    let (_directory, path) = scratch();
    let said = |error: OpenError| {
        let said = error.to_string();
        assert!(matches!(error, OpenError::NotFound { .. }), "{said}");
        said.split(" at ").next().unwrap().to_owned()
    };
    assert_eq!(said(Ring::open(&path).unwrap_err()), "no ring");
    assert_eq!(said(slipring::Queue::open(&path).unwrap_err()), "no queue");
    assert_eq!(said(slipring::Fifo::open(&path).unwrap_err()), "no pipe");
    assert_eq!(
        said(slipring::Semaphore::open(&path).unwrap_err()),
        "no semaphore"
    );
    assert_eq!(
        said(slipring::Signals::open(&path).unwrap_err()),
        "no signals object"
    );
    let error = slipring::Mailbox::open(&path).unwrap_err();
    assert!(error.to_string().starts_with("no mailbox at "), "{error}");
}

#[test]
fn settings_that_differ_are_told() {
    let (_directory, path) = scratch();
    let created = Ring::builder(&path).create_or_open().unwrap();
    assert!(created.differences().is_empty());
    let same = Ring::builder(&path).create_or_open().unwrap();
    assert!(same.differences().is_empty());
    let builder = Ring::builder(&path)
        .capacity_bytes(8192)
        .frame_align(64)
        .max_readers(100)
        .first_sequence(7)
        .evict_after(std::time::Duration::from_millis(50))
        .stamps(true)
        .huge_pages(true)
        .mode(0o664);
    let other = builder.create_or_open().unwrap();
    let said: Vec<String> = other.differences().iter().map(|d| d.to_string()).collect();
    assert_eq!(
        said,
        [
            "capacity: 1048576, not 8192",
            "frame alignment: 8, not 64",
            "first sequence: 0, not 7",
            "evicts after: never, not 50ms",
            "stamps: no, not yes",
            "huge pages: no, not yes",
            "readers: 32, not 100",
            "mode: 0600, not 0664",
        ]
    );
    assert!(Ring::open(&path).unwrap().differences().is_empty());
    let path = path.with_file_name("mailbox");
    slipring::Mailbox::builder(&path).create().unwrap();
    let builder = slipring::Mailbox::builder(&path).depth(8).one_way();
    let other = builder.create_or_open().unwrap();
    let said: Vec<String> = other.differences().iter().map(|d| d.to_string()).collect();
    assert_eq!(said, ["depth: 256, not 8", "one way: no, not yes"]);
}
