//! What a broker bears: users that keep what they were given, that fill what is shared, that connect and
//! say nothing; and what becomes of readers when it is started again.
//!
//! The tests with two users need root, and say so where they are skipped.
#![allow(
    unsafe_code,
    reason = "a hostile reader maps and locks what it was given"
)]

use rustix::io::Errno;
use rustix::net::{
    connect, recv, send, socket_with, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use slipring::{
    broker::{Access, BrokerError, ConnectError},
    endpoint::ReceiveError,
    Broker, Deadline, Ring, Start,
};
use std::io::BufRead;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use testing::tracee::Tracee;
use testing::{check, end_with_parent, payload, say, text, Peer, Scratch, PATIENCE};

/// Two users that are let in, and one that is not.
const ALICE: u32 = 64001;
const BOB: u32 = 64002;
const STRANGER: u32 = 64003;

pub const SUITE: testing::Suite = testing::suite!(peer; [
    a_row_that_was_kept_harms_no_other_user,
    locks_that_were_kept_keep_no_other_user_out,
    cursors_take_no_rows_and_can_be_forgotten,
    each_user_has_cursors_of_its_own,
    readers_reconnect_to_a_broker_that_was_restarted,
    idle_connections_keep_no_one_else_out,
    a_client_that_did_not_run_for_a_while_is_served,
    a_broker_without_descriptors_sleeps,
    connections_without_end_leave_descriptors,
    a_stranger_is_always_told_so,
    one_of_many_brokers_takes_over_a_dead_socket,
    a_broker_removes_only_what_is_its_own,
    those_who_wait_are_served_in_turn,
    a_producer_that_never_began_loses_nothing,
    a_stopped_broker_stops_no_one_for_longer_than_asked,
    a_stopped_producer_is_waited_for_or_said_to_be_there,
    a_stopped_reader_holds_up_only_its_own,
]);

fn socket(scratch: &Scratch) -> PathBuf {
    scratch.0.join("socket")
}

/// A broker that lets these users in.
fn broker(scratch: &Scratch, rows: u32, users: &[u32]) -> Peer {
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&scratch.0, open).unwrap();
    let path = socket(scratch);
    let mut arguments = vec![text(&path).to_owned(), rows.to_string()];
    arguments.extend(users.iter().map(u32::to_string));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Peer::start("broker", &arguments)
}

/// A peer of another user.
fn start_as(uid: u32, role: &str, arguments: &[&str]) -> Peer {
    Peer::start_with(role, arguments, |command| {
        command.uid(uid).gid(uid).current_dir("/");
    })
}

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let socket = Path::new(&arguments[0]);
    match role {
        "broker" => {
            let mut access = Access::own_user();
            for uid in &arguments[2..] {
                access = access.user(uid.parse().unwrap());
            }
            let builder = Ring::anonymous()
                .capacity_bytes(1 << 20)
                .max_readers(arguments[1].parse().unwrap());
            let mut broker = Broker::bind(socket, builder, access).unwrap();
            end_with_parent();
            say("ready");
            loop {
                broker.serve(PATIENCE).unwrap();
            }
        }
        "produce" => {
            let ring = Ring::connect_producer(socket, PATIENCE).unwrap();
            let mut producer = ring.producer().unwrap();
            say("ready");
            for line in std::io::stdin().lock().lines() {
                for _ in 0..line.unwrap().parse::<u64>().unwrap() {
                    let next = producer.next_sequence();
                    producer
                        .publish_until(&payload(next, 40), PATIENCE)
                        .unwrap();
                }
                say(&producer.next_sequence().to_string());
            }
        }
        // Has just the descriptors it needs to listen; says how often it woke in a second.
        "starved" => {
            let mut broker = Broker::bind(socket, Ring::anonymous(), Access::own_user()).unwrap();
            limit_descriptors(std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1);
            // The numbers in use need not be the first ones: no client is to be let in that could be spared.
            let open = || std::fs::File::open("/dev/null").ok();
            let _all: Vec<_> = std::iter::from_fn(open).collect();
            say("ready");
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).unwrap();
            let started = std::time::Instant::now();
            let mut times = 0;
            while started.elapsed() < Duration::from_secs(1) {
                broker.serve(PATIENCE).unwrap();
                times += 1;
            }
            say(&times.to_string());
        }
        // As "broker", with so many descriptors.
        "frugal" => {
            let access = Access::own_user().user(BOB);
            let builder = Ring::anonymous().max_readers(4);
            let mut broker = Broker::bind(socket, builder, access).unwrap();
            limit_descriptors(arguments[1].parse().unwrap());
            end_with_parent();
            say("ready");
            loop {
                broker.serve(PATIENCE).unwrap();
            }
        }
        // Many connections that ask for what never comes, or for nothing.
        "flood" => {
            let clients: Vec<_> = (0..arguments[1].parse().unwrap())
                .filter_map(|n| {
                    let client = dial(socket)?;
                    if n % 4 != 0 {
                        let _ = send(&client, &request(2, u32::MAX), SendFlags::NOSIGNAL);
                    }
                    Some(client)
                })
                .collect();
            say("ready");
            std::io::stdin().lock().lines().for_each(drop);
            drop(clients);
        }
        "stranger" => {
            say("ready");
            for _ in 0..100 {
                let refused = Ring::connect(socket, PATIENCE).unwrap_err();
                assert!(
                    matches!(refused, ConnectError::Forbidden { .. }),
                    "{refused}"
                );
                let refused = Ring::connect_producer(socket, PATIENCE).unwrap_err();
                assert!(
                    matches!(refused, ConnectError::Forbidden { .. }),
                    "{refused}"
                );
            }
            say("done");
        }
        "forget" => {
            let user = arguments.get(2).map(|uid| uid.parse().unwrap());
            say("ready");
            match Ring::forget_cursor_via(socket, &arguments[1], user, PATIENCE) {
                Ok(existed) => say(&existed.to_string()),
                Err(error) => say(&error.code().to_string()),
            }
        }
        // Comes back to the ring for as long as there is one. Says what it reads.
        "follow" => {
            let mut ring = Ring::connect_cursor(socket, "follow", PATIENCE).unwrap();
            say("ready");
            loop {
                let id = ring.id();
                let mut consumer = ring.durable_consumer("follow", Start::Oldest).unwrap();
                loop {
                    match consumer.receive_until(Deadline::NEVER) {
                        Ok(message) => say(&message.unwrap().sequence().to_string()),
                        Err(ReceiveError::ProducerGone { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                say("gone");
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).unwrap();
                drop(consumer);
                let deadline = match line.trim() {
                    "never" => Deadline::NEVER,
                    _ => Deadline::after(PATIENCE),
                };
                ring = ring.reconnect(deadline).unwrap();
                say(if ring.id() == id {
                    "the same"
                } else {
                    "another"
                });
            }
        }
        // Connects under the eyes of the test.
        "watched" => {
            testing::tracee::begin();
            let ring = Ring::connect(socket, PATIENCE);
            testing::tracee::end();
            match ring {
                Ok(_) => say("connected"),
                Err(error) => say(&error.to_string()),
            }
        }
        "archive" => archive(socket, &arguments[1]),
        "hoard" => hoard(socket),
        role => panic!("no role {role}"),
    }
}

fn limit_descriptors(most: u64) {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(most);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// A connection to a broker, if it has room for one.
fn dial(path: &Path) -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).ok()?;
    Some(socket)
}

/// A request in a broker's own words: 1 to produce, 2 to read a stream after this one.
fn request(role: u8, after: u32) -> [u8; 96] {
    let mut bytes = [0; 96];
    bytes[..8].copy_from_slice(b"SLIPBRK2");
    bytes[8] = role;
    bytes[12..16].copy_from_slice(&after.to_le_bytes());
    bytes
}

/// Sends a request. Returns the first byte of the answer, with the connection. A broker gives up a client that says nothing
/// for a second, as this one may where it does not run meanwhile: then it connects anew.
fn ask(path: &Path, request: &[u8]) -> (OwnedFd, u8) {
    const BUSY: u8 = 8;
    loop {
        let client = dial(path).unwrap();
        if send(&client, request, SendFlags::NOSIGNAL).is_err() {
            continue;
        }
        let mut answer = [0; 128];
        let heard = loop {
            match recv(&client, &mut answer, RecvFlags::DONTWAIT) {
                Ok((heard, _)) => break heard,
                Err(Errno::AGAIN) => std::thread::yield_now(),
                Err(_) => break 0,
            }
        };
        if heard > 0 && answer[0] != BUSY {
            return (client, answer[0]);
        }
    }
}

/// Reads under a name: as many messages as each line says. Says the first and the last.
fn archive(socket: &Path, name: &str) {
    let ring = match Ring::connect_cursor(socket, name, PATIENCE) {
        Ok(ring) => ring,
        Err(error) => {
            say("ready");
            return say(&error.code().to_string());
        }
    };
    let mut consumer = ring.durable_consumer(name, Start::Oldest).unwrap();
    say("ready");
    for line in std::io::stdin().lock().lines() {
        let first = consumer.next_sequence();
        for n in 0..line.unwrap().parse::<u64>().unwrap() {
            let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
            assert_eq!(message.sequence(), first + n);
            check(&message, first + n);
        }
        say(&format!("{first} {}", consumer.next_sequence()));
    }
}

/// Takes every row it is given, keeps the files, and closes the connections. Then does what each line
/// says to all of them, for as long as it lives.
fn hoard(socket: &Path) {
    let mut rings = Vec::new();
    loop {
        match Ring::connect(socket, PATIENCE) {
            Ok(ring) => rings.push(ring),
            Err(ConnectError::RowLimit { .. } | ConnectError::NoRow { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let files = descriptors("slipring-row");
    let maps: Vec<_> = files
        .iter()
        // SAFETY: mapped for the life of the process; only atomics are used on it.
        .map(|file| unsafe { memmap2::MmapMut::map_mut(file) }.unwrap())
        .collect();
    drop(rings);
    say("ready");
    let rows: Vec<usize> = maps
        .iter()
        .map(|map| map.as_ptr() as usize + 4096)
        .collect();
    std::mem::forget(maps);
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let numbers: Vec<u64> = line
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        match numbers[..] {
            [] if line == "count" => {}
            [] if line == "lock" => files.iter().for_each(lock),
            [offset, value] => {
                let rows = rows.clone();
                let lie = move || {
                    for row in &rows {
                        let at = row + offset as usize;
                        match offset {
                            // SAFETY: within the mapping, which stays; a word of this size.
                            0 => unsafe { &*(at as *const AtomicU32) }.store(value as u32, Relaxed),
                            // SAFETY: as above.
                            _ => unsafe { &*(at as *const AtomicU64) }.store(value, Relaxed),
                        }
                    }
                };
                lie();
                std::thread::spawn(move || loop {
                    lie();
                    std::thread::sleep(Duration::from_micros(50));
                });
            }
            _ => panic!("no such harm: {line}"),
        }
        say(&files.len().to_string());
    }
}

/// Takes the write lock of all bytes of a file.
fn lock(file: &OwnedFd) {
    // SAFETY: an all-zero `flock` is a valid value, of the whole file.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    lock.l_whence = libc::SEEK_SET as i16;
    // SAFETY: an open descriptor and a valid `flock`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Copies of the descriptors of this process on anonymous memory files with this name.
fn descriptors(name: &str) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target
            .to_string_lossy()
            .starts_with(&format!("/memfd:{name}"))
        {
            let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            // SAFETY: borrowed only to be cloned; it stays open.
            let borrowed = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
            found.push(borrowed.try_clone().unwrap());
        }
    }
    found
}

/// Where the words of a row lie, and what a former owner may write there: free, another place, a place that
/// is not there, another tenure, another name.
const LIES: [&str; 8] = [
    "0 0", "8 0", "16 640", "16 800", "16 0", "24 7", "40 99", "48 0",
];

fn a_row_that_was_kept_harms_no_other_user() {
    if !testing::is_root() {
        return;
    }
    for lie in LIES {
        let scratch = Scratch::new();
        let _broker = broker(&scratch, 6, &[ALICE, BOB]);
        let path = socket(&scratch);
        let mut producer = Peer::start("produce", &[text(&path)]);
        assert_eq!(producer.tell("723"), "723");
        let mut alice = start_as(ALICE, "hoard", &[text(&path)]);
        assert_ne!(alice.tell("count"), "0");
        let archive = || start_as(BOB, "archive", &[text(&path), "keep"]);
        let mut bob = archive();
        assert_eq!(bob.tell("300"), "0 300");
        // In order, so that the last one is acknowledged.
        drop(bob.child.stdin.take());
        bob.finish();
        alice.tell(lie);
        let mut bob = archive();
        assert_eq!(bob.tell("100"), "300 400", "{lie}");
        bob.kill();
        let mut bob = archive();
        assert_eq!(bob.tell("323"), "400 723", "{lie}");
        // The same beside the lies of a row that is in use, and over the next producer.
        producer.kill();
        let mut producer = Peer::start("produce", &[text(&path)]);
        assert_eq!(producer.tell("10"), "733");
        bob.kill();
        let mut bob = archive();
        assert_eq!(bob.tell("10"), "723 733", "{lie}");
    }
}

fn locks_that_were_kept_keep_no_other_user_out() {
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 6, &[ALICE, BOB]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("20"), "20");
    let mut alice = start_as(ALICE, "hoard", &[text(&path)]);
    alice.tell("lock");
    let mut bob = start_as(BOB, "archive", &[text(&path), "keep"]);
    assert_eq!(bob.tell("20"), "0 20");
    // Neither the broker's own user.
    let ring = Ring::connect(&path, PATIENCE).unwrap();
    drop(ring.consumer(Start::Oldest).unwrap());
    // The client that keeps them is told why there are no more.
    let mut again = start_as(ALICE, "archive", &[text(&path), "more"]);
    assert_eq!(again.line(), "816");
}

fn cursors_take_no_rows_and_can_be_forgotten() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 2, &[]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("20"), "20");
    let use_once = |name: &str| {
        let ring = Ring::connect_cursor(&path, name, PATIENCE)?;
        let mut consumer = ring.durable_consumer(name, Start::Oldest).unwrap();
        drop(consumer.receive_until(PATIENCE).unwrap().unwrap());
        Ok::<u64, ConnectError>(consumer.next_sequence())
    };
    for n in 0..64 {
        assert_eq!(use_once(&format!("junk{n}")).unwrap(), 1);
    }
    // All are there still.
    assert_eq!(use_once("junk7").unwrap(), 2);
    match use_once("junk64").unwrap_err() {
        ConnectError::CursorLimit {
            cursors, oldest, ..
        } => assert_eq!((cursors, oldest.as_str()), (64, "junk0")),
        error => panic!("{error}"),
    }
    // Neither rows nor anything else that another reader needs.
    let rings = [(); 2].map(|()| Ring::connect(&path, PATIENCE).unwrap());
    drop(rings);
    producer.kill();
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("1"), "21");
    assert_eq!(use_once("junk7").unwrap(), 3);
    let forget = |name| Ring::forget_cursor_via(&path, name, None, PATIENCE);
    let ring = Ring::connect_cursor(&path, "junk5", PATIENCE).unwrap();
    assert!(matches!(
        forget("junk5").unwrap_err(),
        ConnectError::CursorInUse { .. }
    ));
    // Given up by its owner.
    ring.forget_cursor("junk5").unwrap();
    drop(ring);
    assert!(!forget("junk5").unwrap());
    assert!(forget("junk0").unwrap() && !forget("junk0").unwrap());
    assert_eq!(use_once("junk64").unwrap(), 1);
    assert_eq!(use_once("junk0").unwrap(), 1);
    assert!(matches!(
        forget("no/name").unwrap_err(),
        ConnectError::Open(_)
    ));
    // A broker in this process.
    let other = scratch.0.join("other");
    let mut own = Broker::bind(other, Ring::anonymous(), Access::own_user()).unwrap();
    assert!(!own.forget_cursor(0, "none").unwrap());
    assert!(matches!(
        own.forget_cursor(0, "no/name"),
        Err(BrokerError::Name(_))
    ));
}

fn each_user_has_cursors_of_its_own() {
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 6, &[ALICE, BOB]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("20"), "20");
    let archive = |uid| start_as(uid, "archive", &[text(&path), "keep"]);
    let mut alice = archive(ALICE);
    assert_eq!(alice.tell("5"), "0 5");
    let mut bob = archive(BOB);
    assert_eq!(bob.tell("7"), "0 7");
    for peer in [&mut alice, &mut bob] {
        drop(peer.child.stdin.take());
    }
    alice.finish();
    bob.finish();
    let forget = |uid, user: &[String]| {
        let mut arguments = vec![text(&path), "keep"];
        arguments.extend(user.iter().map(String::as_str));
        start_as(uid, "forget", &arguments).finish()
    };
    let of = |uid: u32| [uid.to_string()];
    assert_eq!(forget(ALICE, &of(BOB)), "811");
    assert_eq!(forget(ALICE, &of(0)), "811");
    assert_eq!(forget(STRANGER, &[]), "811");
    assert_eq!(forget(ALICE, &of(ALICE)), "true");
    assert_eq!(forget(ALICE, &[]), "false");
    assert_eq!(forget(0, &[]), "false");
    assert_eq!(archive(BOB).tell("3"), "7 10");
    assert_eq!(forget(0, &of(BOB)), "true");
    assert_eq!(archive(BOB).tell("3"), "0 3");
}

fn readers_reconnect_to_a_broker_that_was_restarted() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    let mut broker_now = broker(&scratch, 4, &[]);
    let mut producer = Peer::start("produce", &[text(&path)]);
    let mut follower = Peer::start("follow", &[text(&path)]);
    assert_eq!(producer.tell("2"), "2");
    assert_eq!((follower.line(), follower.line()), ("0".into(), "1".into()));
    for (deadline, restarts) in [
        ("soon", false),
        ("never", false),
        ("never", true),
        ("soon", true),
        ("soon", false),
    ] {
        producer.kill();
        assert_eq!(follower.line(), "gone");
        if restarts {
            broker_now.kill();
            broker_now = broker(&scratch, 4, &[]);
        }
        producer = Peer::start("produce", &[text(&path)]);
        let next: u64 = producer.tell("0").parse().unwrap();
        assert_eq!(next == 0, restarts);
        let found = follower.tell(deadline);
        assert_eq!(found, if restarts { "another" } else { "the same" });
        producer.tell("2");
        // Under its cursor, or from the beginning of the new ring.
        let read = [follower.line(), follower.line()];
        assert_eq!(read, [next.to_string(), (next + 1).to_string()]);
    }
    // Nothing to reconnect to, before and while it is asked.
    let ring = Ring::connect(&path, PATIENCE).unwrap();
    let late = Ring::connect(&path, PATIENCE).unwrap();
    let waiting = std::thread::spawn(move || late.reconnect(Deadline::NEVER));
    broker_now.asleep();
    broker_now.kill();
    let error = ring.reconnect(PATIENCE).unwrap_err();
    assert!(matches!(error, ConnectError::NoBroker { .. }), "{error}");
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::NoBroker { .. }), "{error}");
}

/// That a producer and a reader of the broker's own user are served.
fn all_are_served(path: &Path) {
    let mut producer = Peer::start("produce", &[text(path)]);
    producer.tell("5");
    let ring = Ring::connect(path, PATIENCE).unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    assert_eq!(message.sequence(), 0);
}

fn idle_connections_keep_no_one_else_out() {
    if !testing::is_root() {
        return;
    }
    for flooders in [&[ALICE][..], &[0], &[ALICE, 0]] {
        let scratch = Scratch::new();
        let _broker = broker(&scratch, 4, &[ALICE, BOB]);
        let path = socket(&scratch);
        let flood = |uid: &u32| start_as(*uid, "flood", &[text(&path), "200"]);
        let _floods: Vec<Peer> = flooders.iter().map(flood).collect();
        let mut producer = Peer::start("produce", &[text(&path)]);
        assert_eq!(producer.tell("5"), "5");
        let mut bob = start_as(BOB, "archive", &[text(&path), "keep"]);
        assert_eq!(bob.tell("5"), "0 5");
        if !flooders.contains(&0) {
            producer.kill();
            all_are_served(&path);
        }
    }
}

/// A client that is stopped, at any of its first system calls, for longer than the broker waits for a request has connected
/// too late for that broker, and not for its own deadline.
fn a_client_that_did_not_run_for_a_while_is_served() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 16, &[]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("5"), "5");
    std::thread::scope(|scope| {
        for stop in 1..=12 {
            let path = &path;
            scope.spawn(move || {
                let mut client = Tracee::start("watched", &[text(path)]);
                client.steps(stop, Tracee::syscall);
                std::thread::sleep(Duration::from_millis(1500));
                assert_eq!(client.release(), "connected", "stopped at {stop}");
            });
        }
    });
}

fn a_broker_without_descriptors_sleeps() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    let mut broker = Peer::start("starved", &[text(&path)]);
    let _clients: Vec<_> = (0..30).map(|_| dial(&path).unwrap()).collect();
    let times: u32 = broker.tell("go").parse().unwrap();
    assert!(times <= 100, "it woke {times} times in a second");
}

fn connections_without_end_leave_descriptors() {
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&scratch.0, open).unwrap();
    let path = socket(&scratch);
    // Five for a stream and four rows, and those of a producer for a moment.
    let _broker = Peer::start("frugal", &[text(&path), "24"]);
    let _flood = start_as(BOB, "flood", &[text(&path), "60"]);
    all_are_served(&path);
    // What cannot be done at all is said.
    let other = scratch.0.join("other");
    let _broker = Peer::start("frugal", &[text(&other), "9"]);
    let refused = Ring::connect_producer(&other, PATIENCE).unwrap_err();
    assert!(
        matches!(refused, ConnectError::Exhausted { .. }),
        "{refused}"
    );
}

fn a_stranger_is_always_told_so() {
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4, &[ALICE]);
    let path = socket(&scratch);
    let _producer = Peer::start("produce", &[text(&path)]);
    let strangers: Vec<Peer> = (0..3)
        .map(|_| start_as(STRANGER, "stranger", &[text(&path)]))
        .collect();
    for stranger in strangers {
        assert_eq!(stranger.finish(), "done");
    }
}

fn one_of_many_brokers_takes_over_a_dead_socket() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    for _ in 0..200 {
        // As a broker leaves it that is killed.
        let dead = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        );
        let address = SocketAddrUnix::new(&path).unwrap();
        rustix::net::bind(dead.unwrap(), &address).unwrap();
        let race = std::sync::Barrier::new(4);
        let brokers: Vec<Broker> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        race.wait();
                        Broker::bind(&path, Ring::anonymous(), Access::own_user())
                    })
                })
                .collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results
                .filter_map(|result| match result {
                    Ok(broker) => Some(broker),
                    Err(BrokerError::InUse { .. }) => None,
                    Err(error) => panic!("{error}"),
                })
                .collect()
        });
        assert_eq!(brokers.len(), 1);
        assert!(dial(&path).is_some());
        drop(brokers);
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    }
}

fn a_broker_removes_only_what_is_its_own() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    let bind = || Broker::bind(&path, Ring::anonymous(), Access::own_user());
    let first = bind().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "of another").unwrap();
    drop(first);
    assert_eq!(std::fs::read(&path).unwrap(), b"of another");
    std::fs::remove_file(&path).unwrap();
    // While a broker lives its place is taken, even if its socket was removed.
    let first = bind().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(bind(), Err(BrokerError::InUse { .. })));
    drop(first);
    // Nor is a lock followed anywhere.
    let lock = scratch.0.join("socket.lock");
    std::os::unix::fs::symlink("elsewhere", &lock).unwrap();
    assert!(matches!(bind(), Err(BrokerError::Io { .. })));
    std::fs::remove_file(&lock).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &lock,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(matches!(bind(), Err(BrokerError::BadPath { .. })));
    std::fs::remove_file(&lock).unwrap();
    drop(bind().unwrap());
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
}

fn those_who_wait_are_served_in_turn() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    let one_row = Ring::anonymous().max_readers(1);
    let mut broker = Broker::bind(&path, one_row, Access::own_user()).unwrap();
    let clients: Vec<_> = (0..5).map(|_| dial(&path).unwrap()).collect();
    // They ask the other way round.
    for client in clients.iter().rev() {
        send(client, &request(2, 0), SendFlags::NOSIGNAL).unwrap();
    }
    let mut soon = || broker.serve(Duration::from_millis(1)).unwrap();
    soon();
    let wanted = path.clone();
    let producer = std::thread::spawn(move || Ring::connect_producer(wanted, PATIENCE).unwrap());
    let mut answer = [0; 128];
    let mut hear = |client| match recv(client, &mut answer, RecvFlags::DONTWAIT) {
        Ok(_) => Some(answer[0]),
        Err(_) => None,
    };
    let first = loop {
        soon();
        if let Some(first) = hear(&clients[0]) {
            break first;
        }
    };
    soon();
    assert_eq!(first, 0, "granted");
    for client in &clients[1..] {
        assert_eq!(hear(client), Some(3), "no row");
    }
    drop(producer.join().unwrap());
}

fn a_producer_that_never_began_loses_nothing() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4, &[]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("20"), "20");
    producer.kill();
    // It is given a stream, and dies before it has sealed it.
    let (client, answer) = ask(&path, &request(1, 0));
    assert_eq!(answer, 0);
    drop(client);
    // So that the broker has looked again.
    let (_client, answer) = ask(&path, &[0; 7]);
    assert_eq!(answer, 5);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("1"), "21");
    let ring = Ring::connect(&path, PATIENCE).unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    for n in 0..21 {
        let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
        check(&message, n);
    }
}

const SOON: Duration = Duration::from_millis(100);

fn a_stopped_broker_stops_no_one_for_longer_than_asked() {
    let scratch = Scratch::new();
    let broker = broker(&scratch, 4, &[]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("5"), "5");
    let ring = Ring::connect_cursor(&path, "c", PATIENCE).unwrap();
    let mut consumer = ring.durable_consumer("c", Start::Oldest).unwrap();
    broker.stop();
    // Those that were let in go on.
    assert_eq!(producer.tell("5"), "10");
    for n in 0..10 {
        let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
    }
    let are_refused = || {
        let refusals = [
            Ring::connect(&path, SOON).unwrap_err(),
            Ring::connect_cursor(&path, "d", SOON).unwrap_err(),
            Ring::connect_producer(&path, SOON).unwrap_err(),
            Ring::forget_cursor_via(&path, "c", None, SOON).unwrap_err(),
        ];
        for error in refusals {
            assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
        }
        let other = Broker::bind(&path, Ring::anonymous(), Access::own_user());
        assert!(matches!(other, Err(BrokerError::InUse { .. })));
    };
    are_refused();
    // Also when its queue is full.
    let queue: Vec<_> = std::iter::from_fn(|| dial(&path)).collect();
    assert!(!queue.is_empty());
    are_refused();
    drop(consumer);
    let error = ring.reconnect(SOON).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    // Afterwards nothing of all that is left.
    let late = path.clone();
    let late = std::thread::spawn(move || Ring::connect_cursor(late, "c", PATIENCE));
    broker.signal(libc::SIGCONT);
    let ring = late.join().unwrap().unwrap();
    let mut consumer = ring.durable_consumer("c", Start::Oldest).unwrap();
    assert_eq!(producer.tell("1"), "11");
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    assert_eq!(message.sequence(), 10);
    drop(queue);
}

fn a_stopped_producer_is_waited_for_or_said_to_be_there() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4, &[]);
    let path = socket(&scratch);
    let exists = || {
        let error = Ring::connect_producer(&path, PATIENCE).unwrap_err();
        assert!(
            matches!(error, ConnectError::ProducerExists { .. }),
            "{error}"
        );
    };
    // Before it has sealed its stream.
    let (client, answer) = ask(&path, &request(1, 0));
    assert_eq!(answer, 0);
    exists();
    let error = Ring::connect(&path, SOON).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    drop(client);
    // Then at work.
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("5"), "5");
    producer.stop();
    exists();
    let ring = Ring::connect(&path, PATIENCE).unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let other = Ring::connect(&path, PATIENCE).unwrap();
    let mut observer = other.observer(Start::Oldest).unwrap();
    for _ in 0..5 {
        drop(consumer.receive_until(PATIENCE).unwrap().unwrap());
        observer.receive_until(PATIENCE).unwrap();
    }
    let error = consumer.receive_until(SOON).unwrap_err();
    assert!(matches!(error, ReceiveError::TimedOut), "{error}");
    let error = observer.receive_until(SOON).unwrap_err();
    assert!(matches!(error, ReceiveError::TimedOut), "{error}");
    producer.signal(libc::SIGCONT);
    assert_eq!(producer.tell("1"), "6");
    assert!(consumer.receive_until(PATIENCE).unwrap().is_some());
    // Killed while it is stopped.
    producer.stop();
    producer.kill();
    let error = consumer.receive_until(PATIENCE).unwrap_err();
    assert_eq!(error, ReceiveError::ProducerGone { next: 6 });
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("0"), "6");
}

fn a_stopped_reader_holds_up_only_its_own() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4, &[]);
    let path = socket(&scratch);
    let mut producer = Peer::start("produce", &[text(&path)]);
    producer.tell("5");
    // Before it asks, and before it has read the answer.
    let _silent = dial(&path).unwrap();
    let unread = dial(&path).unwrap();
    // Too late where it was given up: then it is another that is silent.
    let _ = send(&unread, &request(2, 0), SendFlags::NOSIGNAL);
    // At work, under a cursor.
    let mut archive = Peer::start("archive", &[text(&path), "keep"]);
    assert_eq!(archive.tell("2"), "0 2");
    archive.stop();
    let error = Ring::connect_cursor(&path, "keep", PATIENCE).unwrap_err();
    assert!(matches!(error, ConnectError::CursorInUse { .. }), "{error}");
    let error = Ring::forget_cursor_via(&path, "keep", None, PATIENCE).unwrap_err();
    assert!(matches!(error, ConnectError::CursorInUse { .. }), "{error}");
    all_read(&path);
    // While it waits for the next producer.
    let mut follower = Peer::start("follow", &[text(&path)]);
    for n in 0..5 {
        assert_eq!(follower.line(), n.to_string());
    }
    let write = |peer: &mut Peer, line: &str| {
        use std::io::Write;
        writeln!(peer.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    };
    producer.kill();
    assert_eq!(follower.line(), "gone");
    write(&mut follower, "never");
    follower.asleep();
    follower.stop();
    for _ in 0..2 {
        let mut producer = Peer::start("produce", &[text(&path)]);
        producer.tell("1");
        all_read(&path);
        producer.kill();
    }
    let mut producer = Peer::start("produce", &[text(&path)]);
    assert_eq!(producer.tell("1"), "8");
    follower.signal(libc::SIGCONT);
    // Each message once, in order, of whichever streams it came by.
    let mut read = Vec::new();
    while read.len() < 3 {
        match follower.line().as_str() {
            "gone" => write(&mut follower, "never"),
            "the same" => {}
            n => read.push(n.parse::<u64>().unwrap()),
        }
    }
    assert_eq!(read, [5, 6, 7]);
    // More than the ring holds: the stopped one is passed.
    assert_eq!(producer.tell("40000"), "40008");
    archive.kill();
    let ring = Ring::connect_cursor(&path, "keep", PATIENCE).unwrap();
    let mut consumer = ring.durable_consumer("keep", Start::Oldest).unwrap();
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    assert!(message.missed() > 0);
    assert_eq!(message.sequence(), 2 + message.missed());
    drop(message);
    while consumer.next_sequence() < 40008 {
        drop(consumer.receive_until(PATIENCE).unwrap().unwrap());
    }
}

/// That a reader of the broker's own user is served.
fn all_read(path: &Path) {
    let ring = Ring::connect(path, PATIENCE).unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    assert_eq!(message.sequence(), 0);
}
