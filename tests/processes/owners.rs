//! Rings of other users, and descriptors from anywhere: refused unless they are trusted, and then copied
//! before they are looked at.
#![allow(
    unsafe_code,
    reason = "files that a test gives away or writes behind a ring"
)]

use rustix::fs::{AtFlags, Gid, MemfdFlags, SealFlags, Uid, CWD};
use slipring::{
    endpoint::RingFiles,
    pipe::Duplex,
    place::{trust_owner, OpenError},
    Fifo, Latest, Link, Mailbox, Queue, Received, Ring, Semaphore, Shared, Signals, Start,
};
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Instant;
use testing::{say, text, Peer, Scratch, PATIENCE};

const STRANGER: u32 = 65534;

pub const SUITE: testing::Suite = testing::suite!(peer; [
    what_strangers_own_is_refused,
    whom_the_environment_names_is_trusted,
    what_strangers_can_write_is_copied,
    what_others_can_have_overwritten_is_copied,
    descriptors_are_checked_before_they_are_mapped,
    a_link_is_for_its_owner_and_who_trusts_that_user,
]);

fn what_strangers_can_write_is_copied() {
    let scratch = Scratch::new();
    let said = Peer::start("copies", &[text(&scratch.0)]).finish();
    assert!(said == "done" || skipped(&said), "{said}");
}

fn peer(role: &str) {
    let argument = std::env::args().nth(1).unwrap();
    let path = Path::new(&argument);
    say("ready");
    match role {
        "copies" => copies(path),
        "look" => match Ring::open(path) {
            Ok(_) => say("opened"),
            Err(OpenError::Stranger { owner, .. }) => say(&format!("refused {owner}")),
            Err(error) => panic!("{error}"),
        },
        "talk" => talk(path, &std::env::args().nth(2).unwrap()),
        role => panic!("{role}?"),
    }
}

fn skipped(said: &str) -> bool {
    let skipped = said.contains("SKIPPED");
    if skipped {
        println!("  {said}");
    }
    skipped
}

/// Gives a directory and everything in it to another user; `false` where this process may not.
fn give_away(path: &Path) -> bool {
    let owner = Some(Uid::from_raw(STRANGER));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            if !give_away(&entry.unwrap().path()) {
                return false;
            }
        }
    }
    rustix::fs::chownat(CWD, path, owner, None::<Gid>, flags).is_ok()
}

slipring::message! { struct Value { number: u64 } }

/// Every form at a path of its own, and how it is opened.
fn make_all(directory: &Path) {
    let at = |name: &str| directory.join(name);
    Ring::builder(at("ring")).create().unwrap();
    Queue::builder(at("queue")).depth(16).create().unwrap();
    Mailbox::builder(at("mailbox")).depth(16).create().unwrap();
    let both_ways = Fifo::builder(at("fifo")).both_ways(true);
    both_ways.create().unwrap();
    Latest::<Value>::builder(at("latest")).create().unwrap();
    Shared::<Value>::builder(at("shared")).create().unwrap();
    Semaphore::builder(at("semaphore")).create().unwrap();
    Signals::builder(at("signals")).create().unwrap();
}

fn what_strangers_own_is_refused() {
    let scratch = Scratch::new();
    make_all(&scratch.0);
    let names = [
        "ring",
        "queue",
        "mailbox",
        "fifo",
        "latest",
        "shared",
        "semaphore",
        "signals",
    ];
    let stranger = |error: &OpenError| {
        matches!(
            error,
            OpenError::Stranger {
                owner: STRANGER,
                ..
            }
        )
    };
    for name in names {
        let path = scratch.0.join(name);
        slipring::registry::look_at(&path).unwrap();
        if !give_away(&path) {
            println!("  SKIPPED: only root can give files away");
            return;
        }
        assert!(
            stranger(&slipring::registry::look_at(&path).unwrap_err()),
            "{name}"
        );
        // A stranger's ring is not removed either, unless by force.
        let error = slipring::registry::remove_at(&path, false).unwrap_err();
        assert!(
            matches!(error, slipring::place::RemoveError::Open(ref error) if stranger(error)),
            "{name}"
        );
    }
    let at = |name: &str| scratch.0.join(name);
    let by_creating = Ring::builder(at("ring")).create_or_open().unwrap_err();
    assert!(
        matches!(by_creating, slipring::place::CreateError::Open(ref error) if stranger(error))
    );
    assert!(stranger(&Queue::open(at("queue")).unwrap_err()));
    assert!(stranger(&Semaphore::open(at("semaphore")).unwrap_err()));
    assert!(stranger(&Signals::open(at("signals")).unwrap_err()));
    let listed = slipring::registry::list_in(&scratch.0).unwrap();
    assert!(listed.into_iter().all(|entry| entry.ring.is_err()));
    assert!(slipring::registry::leftovers_in(&scratch.0)
        .unwrap()
        .is_empty());
    slipring::registry::remove_at(at("ring"), true).unwrap();
}

fn whom_the_environment_names_is_trusted() {
    let scratch = Scratch::new();
    Ring::builder(scratch.ring()).create().unwrap();
    if !give_away(&scratch.ring()) {
        println!("  SKIPPED: only root can give files away");
        return;
    }
    for (said, expected) in [
        ("65534", "opened"),
        ("1000, 65534 ,7", "opened"),
        ("", "refused 65534"),
        ("6553", "refused 65534"),
        ("655340", "refused 65534"),
        ("nobody", "refused 65534"),
        ("-1,*,99999999999999999999", "refused 65534"),
    ] {
        let peer = Peer::start_with("look", &[text(&scratch.ring())], |command| {
            command.env("SLIPRING_TRUST", said);
        });
        assert_eq!(peer.finish(), expected, "{said:?}");
    }
}

/// Writes over what is there, as the owner of a file can.
fn overwrite(stream: &Path, from: &[u8], to: &[u8]) -> usize {
    let file = File::options().read(true).write(true).open(stream).unwrap();
    let bytes = std::fs::read(stream).unwrap();
    let mut found = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            file.write_all_at(to, at as u64).unwrap();
            found += 1;
        }
    }
    found
}

/// Messages of a trusted stranger stay as they are while they are held, however they are received.
fn copies(directory: &Path) {
    make_all(directory);
    let (honest, forged) = (
        b"honest message, of some length",
        b"forged!message, of some length",
    );
    let at = |name: &str| directory.join(name);
    {
        let ring = Ring::open(at("ring")).unwrap();
        let mut producer = ring.producer().unwrap();
        for _ in 0..3 {
            producer.publish(honest).unwrap();
        }
        Queue::open(at("queue"))
            .unwrap()
            .sender()
            .unwrap()
            .send(honest)
            .unwrap();
        let mailbox = Mailbox::open(at("mailbox")).unwrap();
        mailbox.client("me").unwrap().send(honest).unwrap();
    }
    if !["ring", "queue", "mailbox", "fifo"]
        .iter()
        .all(|name| give_away(&at(name)))
    {
        say("SKIPPED: only root can give files away");
        return;
    }
    trust_owner(STRANGER);
    let ring = Ring::open(at("ring")).unwrap();
    let stream = at("ring").join("stream");
    let forge = |stream: &Path| assert!(overwrite(stream, honest, forged) > 0);
    let restore = |stream: &Path| assert!(overwrite(stream, forged, honest) > 0);

    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let message = consumer.receive().unwrap().unwrap();
    forge(&stream);
    assert_eq!(&*message, honest);
    restore(&stream);
    drop(message);
    let message = consumer.try_receive().unwrap();
    forge(&stream);
    assert_eq!(&*message, honest);
    restore(&stream);
    drop(message);
    let mut batch = consumer.try_receive_batch(8).unwrap();
    let message = batch.next().unwrap();
    forge(&stream);
    assert_eq!(&*message, honest);
    restore(&stream);
    drop(batch);
    drop(consumer);
    let mut durable = ring.durable_consumer("me", Start::Oldest).unwrap();
    let message = durable.receive().unwrap().unwrap();
    forge(&stream);
    assert_eq!(&*message, honest);
    restore(&stream);
    drop(message);
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let Received::Message(message) = observer.receive().unwrap() else {
        panic!("no message");
    };
    forge(&stream);
    assert_eq!(&*message, honest);
    restore(&stream);

    // A claim is put together where only this process can write.
    let mut producer = ring.producer().unwrap();
    let secret = b"not in the file before it is committed";
    let mut claim = producer.claim(secret.len()).unwrap();
    claim.copy_from_slice(secret);
    assert_eq!(overwrite(&stream, secret, secret), 0);
    claim.commit();
    assert_eq!(overwrite(&stream, secret, secret), 1);

    let queue = Queue::open(at("queue")).unwrap();
    let mut receiver = queue.receiver().unwrap();
    let lane = at("queue").join("lane-0/stream");
    let delivery = receiver.receive().unwrap();
    forge(&lane);
    assert_eq!(&*delivery, honest);
    restore(&lane);
    drop(delivery);
    let delivery = receiver.try_receive().unwrap();
    forge(&lane);
    assert_eq!(&*delivery, honest);
    delivery.ack().unwrap();

    let mailbox = Mailbox::open(at("mailbox")).unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    let letter = receiver.receive().unwrap();
    forge(&at("mailbox").join("letters/lane-0/stream"));
    assert_eq!(&*letter, honest);
    letter.ack();

    for_both_ends(directory, honest, forged);
    say("done");
}

/// Where a mode lets others consume, they can write each row and each take word, and so have the producer
/// overwrite what a reader holds: what it holds is a copy, or, in a queue, the same bytes all the same.
fn what_others_can_have_overwritten_is_copied() {
    let scratch = Scratch::new();
    let at = scratch.0.join("ring");
    let builder = Ring::builder(&at).capacity_bytes(4096).max_readers(1);
    let ring = builder.mode(0o666).create().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(&[1; 500]).unwrap();
    let message = consumer.receive().unwrap().unwrap();
    let control = File::options()
        .write(true)
        .open(at.join("control"))
        .unwrap();
    for number in 2..40u64 {
        // The row says that everything was read.
        control
            .write_all_at(&(number * 512).to_le_bytes(), 4096 + 8)
            .unwrap();
        let _ = producer.try_publish(&[number as u8; 500]);
    }
    assert_eq!(*message, [1; 500]);
    drop(message);

    let at = scratch.0.join("queue");
    let builder = Queue::builder(&at)
        .depth(2)
        .max_message_bytes(500)
        .mode(0o666);
    let queue = builder.create().unwrap();
    let mut sender = queue.sender().unwrap();
    sender.send(&[1; 500]).unwrap();
    let mut receiver = queue.receiver().unwrap();
    let delivery = receiver.receive().unwrap();
    let control = at.join("lane-0/control");
    let length = std::fs::metadata(&control).unwrap().len();
    let control = File::options()
        .read(true)
        .write(true)
        .open(control)
        .unwrap();
    for number in 2..40u64 {
        // Each take word says that its message is done.
        for word in (4096..length).step_by(8) {
            let mut bytes = [0; 8];
            control.read_exact_at(&mut bytes, word).unwrap();
            if u64::from_le_bytes(bytes) & 3 == 1 {
                let lap = (u64::from_le_bytes(bytes) >> 24) + 1;
                control
                    .write_all_at(&(lap << 24).to_le_bytes(), word)
                    .unwrap();
            }
        }
        let _ = sender.try_send(&[number as u8; 500]);
    }
    assert_eq!(*delivery, [1; 500]);
}

/// Named pipes and links, whose two ends are here.
fn for_both_ends(directory: &Path, honest: &[u8], forged: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    let path = directory.join("fifo");
    let connect = || -> Duplex {
        let fifo = Fifo::open(&path).unwrap();
        fifo.connect_until(deadline).unwrap()
    };
    let (mut one, mut other) = std::thread::scope(|scope| {
        let other = scope.spawn(connect);
        (connect(), other.join().unwrap())
    });
    one.write_all(honest).unwrap();
    let (reader, _) = other.halves();
    let held = reader.fill_buf().unwrap();
    let streams = [path.join("stream"), path.join("back/stream")];
    let found: usize = streams.iter().map(|s| overwrite(s, honest, forged)).sum();
    assert!(found > 0);
    assert_eq!(held, honest);

    let connect = |me: &str, peer: &str| {
        let link = Link::builder(me, peer).directory(directory);
        link.connect_until(deadline).unwrap()
    };
    // Made, given away, and connected again.
    std::thread::scope(|scope| {
        scope.spawn(|| connect("b", "a"));
        connect("a", "b");
    });
    let path = directory.join("a..b");
    assert!(give_away(&path));
    let (mut one, mut other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| connect("b", "a"));
        (connect("a", "b"), other.join().unwrap())
    });
    one.send(honest).unwrap();
    let held = other.receive_until(deadline).unwrap();
    let streams = [path.join("stream"), path.join("back/stream")];
    let found: usize = streams.iter().map(|s| overwrite(s, honest, forged)).sum();
    assert!(found > 0);
    assert_eq!(&*held, honest);
}

// --- Links.

/// One side of a link: says which name it heard from the other one, or why it did not.
fn talk(directory: &Path, me: &str) {
    let peer = if me == "a" { "b" } else { "a" };
    let link = Link::builder(me, peer).directory(directory);
    match link.connect_until(PATIENCE) {
        Ok(mut link) => {
            link.send(me.as_bytes()).unwrap();
            let heard = link.receive_until(PATIENCE).unwrap();
            say(std::str::from_utf8(&heard).unwrap());
        }
        Err(error) => say(&format!("refused: {error}")),
    }
}

fn a_link_is_for_its_owner_and_who_trusts_that_user() {
    let scratch = Scratch::new();
    if !give_away(&scratch.0) {
        println!("  SKIPPED: only root can give files away");
        return;
    }
    let start = |me: &str, uid: u32, trusted: &str| {
        Peer::start_with("talk", &[text(&scratch.0), me], |command| {
            command.uid(uid).env("SLIPRING_TRUST", trusted);
        })
    };
    let path = scratch.0.join("a..b");
    let made = || {
        while !path.join("stream").exists() {
            std::thread::yield_now();
        }
    };
    // Root may open any file, and trusts no other user unless it is told to.
    let stranger = start("a", STRANGER, "");
    made();
    let refused = start("b", 0, "").finish();
    assert!(refused.contains("belongs to user 65534"), "{refused}");
    let trusting = start("b", 0, "65534");
    assert_eq!(stranger.finish(), "b");
    assert_eq!(trusting.finish(), "a");
    // The other way round, the modes of the files are in the way.
    slipring::registry::remove_at(&path, true).unwrap();
    let root = start("a", 0, "");
    made();
    let refused = start("b", STRANGER, "").finish();
    assert!(refused.contains("permission"), "{refused}");
    let other = start("b", 0, "");
    assert_eq!(
        (root.finish().as_str(), other.finish().as_str()),
        ("b", "a")
    );
}

// --- Descriptors.

/// A file in memory with these contents and seals.
fn memory(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("planted", flags).unwrap());
    file.write_all(bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

fn why(files: RingFiles) -> &'static str {
    match Ring::from_files(files) {
        Err(OpenError::Untrusted { why, .. }) => why,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

fn descriptors_are_checked_before_they_are_mapped() {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).capacity_bytes(4096);
    drop(ring.create().unwrap());
    let read = |name: &str| std::fs::read(scratch.ring().join(name)).unwrap();
    let (stream, control) = (read("stream"), read("control"));
    let sealed = SealFlags::SHRINK;
    let files = |on_stream, on_control| RingFiles {
        stream: memory(&stream, on_stream),
        control: memory(&control, on_control),
        lock: memory(&[], SealFlags::empty()),
    };
    let unsealed = "it is not sealed against those who hold it";
    for (on_stream, on_control) in [
        (SealFlags::empty(), sealed),
        (sealed, SealFlags::empty()),
        (SealFlags::GROW, sealed),
        (sealed, SealFlags::GROW),
    ] {
        assert_eq!(why(files(on_stream, on_control)), unsealed);
    }
    assert!(Ring::from_files(files(sealed, sealed)).is_ok());
    // Of a ring with a name: its owner can truncate it.
    let named = |name: &str| -> OwnedFd {
        let path = scratch.ring().join(name);
        let file = File::options().read(true).write(true).open(path);
        file.unwrap().into()
    };
    let of_named = RingFiles {
        stream: named("stream"),
        control: named("control"),
        lock: named("lock"),
    };
    assert_eq!(why(of_named), unsealed);
    // Of another kind, or another file system.
    type Made = fn() -> OwnedFd;
    let odd: [(Made, &str); 3] = [
        (
            || std::io::pipe().unwrap().0.into(),
            "it is not a regular file",
        ),
        (
            || File::open("/").unwrap().into(),
            "it is not a regular file",
        ),
        (
            || File::open("/proc/self/stat").unwrap().into(),
            "it is not a file in memory",
        ),
    ];
    for (make, expected) in odd {
        for at in 0..3 {
            let mut files = files(sealed, sealed);
            let place = [&mut files.stream, &mut files.control, &mut files.lock];
            *place.into_iter().nth(at).unwrap() = make();
            assert_eq!(why(files), expected, "file {at}");
        }
    }
    // Short, and of another form.
    let mut short = files(sealed, sealed);
    short.control = memory(&control[..100], sealed);
    let refused = Ring::from_files(short).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Truncated { .. }), "{refused}");
    let queue = scratch.0.join("queue");
    drop(Queue::builder(&queue).depth(4).create().unwrap());
    let read = |name: &str| std::fs::read(queue.join(name)).unwrap();
    let other = RingFiles {
        stream: memory(&read("stream"), sealed),
        control: memory(&read("control"), sealed),
        lock: memory(&[], SealFlags::empty()),
    };
    let refused = Ring::from_files(other).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Form { .. }), "{refused}");
    // Of a stranger.
    let files = files(sealed, sealed);
    if rustix::fs::fchown(&files.stream, Some(Uid::from_raw(STRANGER)), None::<Gid>).is_ok() {
        let refused = Ring::from_files(files).map(drop).unwrap_err();
        assert!(matches!(refused, OpenError::Stranger { .. }), "{refused}");
    }
}
