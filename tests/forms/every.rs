//! What every form owes when a party of it is stopped, forked, or another user: bounded waits, typed
//! errors, and nothing that is damaged.

use slipring::{
    endpoint::{AttachError, StatusError},
    latest::LatestError,
    link::{LinkBuilder, LinkError},
    pipe::PipeOptions,
    place::{CreateError, OpenError},
    registry::{leftovers_in, Why},
    semaphore::AcquireError,
    shared::SharedError,
    signals::{SignalError, SignalSet},
    Fifo, Latest, Link, Semaphore, Shared, Signals,
};
use std::io::{BufRead, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testing::books::Random;
use testing::{say, text, Peer, Scratch, PATIENCE};

slipring::message! {
    /// A value that shows when it is torn.
    pub struct Many {
        /// All the same.
        pub words: [u64; 32],
    }
}

impl Many {
    fn of(word: u64) -> Self {
        Self { words: [word; 32] }
    }

    fn check(&self) {
        assert!(self.words.iter().all(|word| *word == self.words[0]), "torn");
    }
}

pub const SUITE: testing::Suite = testing::suite!(peer; [
    a_stopped_user_of_a_semaphore,
    a_stopped_user_of_a_shared_value,
    a_stopped_waiter_for_a_shared_value,
    a_stopped_writer_or_reader_of_newest_values,
    a_stopped_listener,
    a_stopped_side_of_a_link,
    a_stopped_side_of_a_link_that_is_made,
    a_stopped_end_of_a_named_pipe,
    a_forked_child_is_told,
    another_user_is_let_in_by_the_mode,
    a_named_pipe_is_never_left_over,
]);

/// Long enough to notice anything that is there, short enough for waits in vain.
const SOON: Duration = Duration::from_millis(15);

fn rounds() -> impl Iterator<Item = Duration> {
    let mut random = Random::new();
    (0..25).map(move |_| random.millis(0, 4))
}

fn link(directory: &Path, me: &str) -> LinkBuilder {
    let peer = if me == "alice" { "bob" } else { "alice" };
    let builder = Link::builder(me, peer).directory(directory);
    builder.capacity_bytes(4096)
}

// --- Peers.

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let at = |name: &str| directory.join(name);
    match role {
        "semaphore" => {
            let semaphore = Semaphore::open(at("semaphore")).unwrap();
            say("ready");
            for many in (1..=2).cycle() {
                drop(semaphore.acquire_many_until(many, PATIENCE).unwrap());
            }
        }
        "shared" => {
            let mut shared = Shared::<Many>::open(at("shared")).unwrap();
            say("ready");
            loop {
                let mut guard = shared.lock_until(PATIENCE).unwrap();
                *guard = Many::of(guard.words[0] + 1);
                guard.commit().unwrap();
            }
        }
        "wait-for-shared" => {
            let mut shared = Shared::<Many>::open(at("shared")).unwrap();
            say("ready");
            drop(shared.lock_until(PATIENCE).unwrap());
            say("had it");
        }
        "latest-writer" => {
            let latest = Latest::<Many>::open(at("latest")).unwrap();
            let mut writer = latest.writer().unwrap();
            say("ready");
            for version in 1.. {
                writer.set(&Many::of(version)).unwrap();
            }
        }
        "latest-reader" => {
            let latest = Latest::<Many>::open(at("latest")).unwrap();
            let mut reader = latest.reader().unwrap();
            say("ready");
            loop {
                if let Some((value, _)) = reader.get().unwrap() {
                    value.check();
                }
                let _ = reader.wait_until(Duration::from_millis(1));
            }
        }
        "listener" => {
            let signals = Signals::open(at("signals")).unwrap();
            let mut listener = signals.listener("engine").unwrap();
            say("ready");
            let mut counts = [0; 2];
            loop {
                let noticed = listener.wait_until(SignalSet::ALL, PATIENCE).unwrap();
                match noticed.signal {
                    9 => break,
                    signal => counts[signal as usize] += noticed.count,
                }
            }
            // What was sent with the last one.
            while let Some(noticed) = listener.try_wait(SignalSet::ALL).unwrap() {
                counts[noticed.signal as usize] += noticed.count;
            }
            say(&format!("{} {}", counts[0], counts[1]));
        }
        "link" => {
            let mut link = link(&directory, "bob").connect().unwrap();
            say("ready");
            loop {
                let heard = link.receive().map(|message| message.to_vec());
                match heard {
                    Ok(bytes) => link.send(&bytes).unwrap(),
                    Err(LinkError::PeerGone) => return,
                    Err(error) => panic!("{error}"),
                };
            }
        }
        "connect" => {
            say("ready");
            let mut link = link(&directory, "bob").connect().unwrap();
            let greeting = link.receive().unwrap().to_vec();
            say(&String::from_utf8(greeting).unwrap());
        }
        "fifo-reader" => {
            let fifo = Fifo::open(at("fifo")).unwrap();
            say("ready");
            let mut all = Vec::new();
            fifo.reader().unwrap().read_to_end(&mut all).unwrap();
            let whole = all.iter().enumerate().all(|(n, byte)| *byte == n as u8);
            say(&format!("{} {whole}", all.len()));
        }
        "stranger" => say(&stranger(&directory, &arguments[1])),
        role => panic!("no role {role}"),
    }
}

// --- Stopped.

fn a_stopped_user_of_a_semaphore() {
    let scratch = Scratch::new();
    let builder = Semaphore::builder(scratch.0.join("semaphore")).permits(3);
    let semaphore = builder.create().unwrap();
    let others: Vec<Peer> = (0..2)
        .map(|_| Peer::start("semaphore", &[text(&scratch.0)]))
        .collect();
    for pause in rounds() {
        std::thread::sleep(pause);
        for peer in &others {
            peer.stop();
        }
        // Waiting, holding or in between: what they do not hold can be had, and nothing else.
        let held = semaphore.status().unwrap().held;
        if held < 3 {
            drop(semaphore.acquire_many_until(3 - held, PATIENCE).unwrap());
            drop(semaphore.acquire_until(PATIENCE).unwrap());
        }
        let more = semaphore.acquire_many_until(3 - held + 1, SOON);
        let refused = if held > 0 {
            matches!(more, Err(AcquireError::TimedOut))
        } else {
            matches!(more, Err(AcquireError::TooMany { wanted: 4, max: 3 }))
        };
        assert!(refused, "{held} held, {more:?}");
        assert_eq!(
            semaphore.status().unwrap().holders.len() as u32,
            semaphore.status().unwrap().held
        );
        for peer in &others {
            peer.signal(libc::SIGCONT);
        }
        drop(semaphore.acquire_many_until(3, PATIENCE).unwrap());
    }
}

fn a_stopped_user_of_a_shared_value() {
    let scratch = Scratch::new();
    let builder = Shared::<Many>::builder(scratch.0.join("shared"));
    let mut shared = builder.create().unwrap();
    let peer = Peer::start("shared", &[text(&scratch.0)]);
    for pause in rounds() {
        std::thread::sleep(pause);
        peer.stop();
        // Readers need no lock, and see whole values.
        let (value, version) = shared.get().unwrap();
        value.check();
        assert_eq!(value.words[0], version);
        match shared.status().unwrap().holder {
            Some(pid) => {
                assert_eq!(pid, peer.child.id());
                let error = shared.lock_until(SOON).err();
                assert_eq!(error, Some(SharedError::TimedOut));
                assert_eq!(shared.try_lock().err(), Some(SharedError::Locked));
            }
            None => {
                let guard = shared.lock_until(PATIENCE).unwrap();
                assert!(!guard.abandoned());
                assert_eq!(*guard, value);
            }
        }
        peer.signal(libc::SIGCONT);
        let guard = shared.lock_until(PATIENCE).unwrap();
        assert!(!guard.abandoned() && guard.version() >= version);
    }
    drop(peer);
    drop(shared.lock_until(PATIENCE).unwrap());
}

fn a_stopped_waiter_for_a_shared_value() {
    for polls in [false, true] {
        let scratch = Scratch::new();
        let builder = Shared::<Many>::builder(scratch.0.join("shared"));
        let mut shared = builder.create().unwrap();
        let mut other = Shared::<Many>::open(scratch.0.join("shared")).unwrap();
        let guard = shared.lock().unwrap();
        let mut peer = Peer::start("wait-for-shared", &[text(&scratch.0)]);
        peer.asleep();
        peer.stop();
        drop(guard);
        if polls {
            let calls = (1..1000).find(|_| {
                std::thread::sleep(Duration::from_millis(1));
                other.try_lock().is_ok()
            });
            assert!(calls.is_some_and(|calls| calls < 40), "{calls:?} calls");
        } else {
            drop(other.lock_until(PATIENCE).unwrap());
        }
        drop(shared.lock_until(PATIENCE).unwrap());
        peer.signal(libc::SIGCONT);
        assert_eq!(peer.line(), "had it");
        peer.finish();
    }
}

fn a_stopped_writer_or_reader_of_newest_values() {
    let scratch = Scratch::new();
    let builder = Latest::<Many>::builder(scratch.0.join("latest"));
    let latest = builder.create().unwrap();
    let writer = Peer::start("latest-writer", &[text(&scratch.0)]);
    let mut reader = latest.reader().unwrap();
    let mut last = 0;
    for pause in rounds() {
        std::thread::sleep(pause);
        writer.stop();
        // In the middle of a value, or not: the newest whole one is there, and stays.
        let _ = reader.wait_until(SOON);
        let version = match reader.get().unwrap() {
            Some((value, version)) => {
                value.check();
                assert_eq!(value.words[0], version);
                version
            }
            None => 0,
        };
        assert!(version >= last);
        last = version;
        assert_eq!(reader.wait_until(SOON), Err(LatestError::TimedOut));
        let same = reader.wait_at_until(0, version, SOON);
        assert_eq!(same, Err(LatestError::TimedOut));
        let second = latest.writer().unwrap_err();
        assert!(
            matches!(second, AttachError::AlreadyOwned { .. }),
            "{second}"
        );
        writer.signal(libc::SIGCONT);
        reader.wait_until(PATIENCE).unwrap();
    }
    writer.kill();
    // No reader holds the writer back.
    let mut own = latest.writer().unwrap();
    let other = Peer::start("latest-reader", &[text(&scratch.0)]);
    for pause in rounds().take(5) {
        std::thread::sleep(pause);
        other.stop();
        for _ in 0..1000 {
            last = own.set(&Many::of(last)).unwrap();
        }
        assert_eq!(reader.get().unwrap().unwrap().1, last);
        other.signal(libc::SIGCONT);
    }
}

fn a_stopped_listener() {
    let scratch = Scratch::new();
    let signals = Signals::builder(scratch.0.join("signals"))
        .create()
        .unwrap();
    let peer = Peer::start("listener", &[text(&scratch.0)]);
    let mut engine = signals.target("engine").unwrap();
    for round in 0..10 {
        peer.stop();
        // It is there: what is sent waits for it, and its name is taken.
        for _ in 0..100 {
            engine.send(0).unwrap();
        }
        signals.broadcast(1).unwrap();
        let taken = signals.listener("engine").unwrap_err();
        assert!(
            matches!(taken, AttachError::CursorInUse { pid, .. } if pid == peer.child.id()),
            "{taken}"
        );
        let mut own = signals.listener("other").unwrap();
        let none = own.wait_until(SignalSet::ALL, SOON);
        assert_eq!(none, Err(SignalError::TimedOut), "round {round}");
        peer.signal(libc::SIGCONT);
    }
    signals.broadcast(9).unwrap();
    assert_eq!(peer.finish(), "1000 10");
}

fn a_stopped_side_of_a_link() {
    let scratch = Scratch::new();
    let path = scratch.0.clone();
    let waiting = std::thread::spawn(move || Peer::start("link", &[text(&path)]));
    let mut alice = link(&scratch.0, "alice").connect_until(PATIENCE).unwrap();
    let peer = waiting.join().unwrap();
    let (mut sent, mut heard) = (0u64, 0u64);
    for pause in rounds() {
        std::thread::sleep(pause);
        peer.stop();
        // It is there: what it sent is received, and then there is nothing; there is room, or none.
        loop {
            match alice.receive_until(SOON) {
                Ok(message) => assert_eq!(*message, heard.to_le_bytes()),
                Err(LinkError::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
            heard += 1;
        }
        let empty = alice.try_receive().map(|message| message.len());
        assert!(matches!(empty, Err(LinkError::Empty)), "{empty:?}");
        loop {
            match alice.try_send(&sent.to_le_bytes()) {
                Ok(_) => sent += 1,
                Err(LinkError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let full = alice.send_until(b"no room", SOON);
        assert!(matches!(full, Err(LinkError::TimedOut)), "{full:?}");
        let third = link(&scratch.0, "bob").connect_until(SOON).unwrap_err();
        let pid = peer.child.id();
        assert!(matches!(third, LinkError::Taken { pid: p, .. } if p == pid));
        peer.signal(libc::SIGCONT);
    }
    while heard < sent {
        assert_eq!(*alice.receive_until(PATIENCE).unwrap(), heard.to_le_bytes());
        heard += 1;
    }
}

fn a_stopped_side_of_a_link_that_is_made() {
    let scratch = Scratch::new();
    for pause in rounds().take(8) {
        let mut peer = Peer::start("connect", &[text(&scratch.0)]);
        std::thread::sleep(pause / 4);
        peer.stop();
        // It has not come, or has not agreed: the other side waits until its deadline, and no longer.
        let early = link(&scratch.0, "alice").connect_until(SOON);
        assert!(matches!(early, Err(LinkError::TimedOut)), "{early:?}");
        peer.signal(libc::SIGCONT);
        let mut alice = link(&scratch.0, "alice").connect_until(PATIENCE).unwrap();
        alice.send(b"hello").unwrap();
        assert_eq!(peer.line(), "hello");
        drop(alice);
        peer.finish();
    }
}

fn a_stopped_end_of_a_named_pipe() {
    let scratch = Scratch::new();
    let builder = Fifo::builder(scratch.0.join("fifo"));
    let fifo = builder.capacity_bytes(4096).create().unwrap();
    for pause in rounds().take(8) {
        let mut peer = Peer::start("fifo-reader", &[text(&scratch.0)]);
        std::thread::sleep(pause / 4);
        peer.stop();
        let early = fifo.writer_until(SOON).unwrap_err();
        assert_eq!(early.kind(), ErrorKind::TimedOut);
        peer.signal(libc::SIGCONT);
        let mut writer = fifo.writer_until(PATIENCE).unwrap();
        writer.set_timeout(Some(SOON));
        peer.stop();
        let taken = fifo.reader_until(SOON).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse, "{taken}");
        let mut written = 0usize;
        let full = loop {
            let piece: Vec<u8> = (written..written + 100).map(|n| n as u8).collect();
            match writer.write(&piece) {
                Ok(n) => written += n,
                Err(error) => break error,
            }
            assert!(written <= 4096);
        };
        assert_eq!(full.kind(), ErrorKind::TimedOut);
        peer.signal(libc::SIGCONT);
        writer.set_timeout(Some(PATIENCE));
        let rest: Vec<u8> = (written..10_000).map(|n| n as u8).collect();
        writer.write_all(&rest).unwrap();
        drop(writer);
        assert_eq!(peer.line(), "10000 true");
        peer.finish();
    }
}

// --- Forked.

/// Runs a check of each call in a forked child; which ones were not as they should be.
#[allow(unsafe_code, reason = "fork itself is what is tested")]
fn in_a_fork(checks: impl FnOnce(&mut dyn FnMut(&str, bool))) {
    // SAFETY: the child takes no lock that another thread of this process may hold. It leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut wrong = 0;
        let mut check = |what: &str, told: bool| {
            if !told {
                eprintln!("  in the child: {what}");
                wrong = 1;
            }
        };
        checks(&mut check);
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(wrong) }
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(
        !libc::WIFSIGNALED(status),
        "the child died of signal {}",
        libc::WTERMSIG(status)
    );
    assert_eq!(status, 0, "the child was not told");
}

fn says_fork<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.to_string().contains("fork"))
}

fn a_forked_child_is_told() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.0.join(name);

    let builder = Semaphore::builder(at("semaphore")).permits(4);
    let semaphore = builder.max_permits(5).create().unwrap();
    let two = semaphore.acquire_many_until(2, PATIENCE).unwrap();
    let one = semaphore.acquire().unwrap();
    let mut all = Some((semaphore, two, one));
    in_a_fork(|check| {
        let (semaphore, two, one) = all.take().unwrap();
        let is = |result: Result<_, AcquireError>| matches!(result, Err(AcquireError::Forked));
        check("acquire", is(semaphore.acquire()));
        check("acquire_until", is(semaphore.acquire_until(PATIENCE)));
        check("try_acquire", is(semaphore.try_acquire()));
        check("try_acquire_many", is(semaphore.try_acquire_many(2)));
        check("add", matches!(semaphore.add(), Err(AcquireError::Forked)));
        check("status", of_a_fork(semaphore.status()));
        check("max", semaphore.max() == 5);
        one.forget();
        drop((two, semaphore));
    });
    let (semaphore, ..) = all.as_ref().unwrap();
    let status = semaphore.status().unwrap();
    assert_eq!((status.free, status.held, status.retired), (1, 3, 1));
    drop(all);

    let mut shared = Shared::<Many>::builder(at("shared")).create().unwrap();
    let mut locked = Shared::<Many>::open(at("shared")).unwrap();
    for way in 0..3 {
        let mut guard = locked.lock().unwrap();
        *guard = Many::of(7);
        let mut guard = Some(guard);
        in_a_fork(|check| {
            let is = |error: Option<SharedError>| error == Some(SharedError::Forked);
            check("lock", is(shared.lock().err()));
            check("lock_until", is(shared.lock_until(SOON).err()));
            check("try_lock", is(shared.try_lock().err()));
            check("get", is(shared.get().err()));
            check("wait_until", is(shared.wait_until(0, SOON).err()));
            check("version", shared.version() == 0);
            check("status", of_a_fork(shared.status()));
            let guard = guard.take().unwrap();
            match way {
                0 => check("commit", is(guard.commit().err())),
                1 => guard.discard(),
                _ => drop(guard),
            }
        });
        assert_eq!(shared.try_lock().err(), Some(SharedError::Locked));
        assert_eq!(guard.take().unwrap().commit(), Ok(way + 1));
    }

    let latest = Latest::<Many>::builder(at("latest")).create().unwrap();
    let ends = (latest.writer().unwrap(), latest.reader().unwrap());
    let mut ends = Some(ends);
    in_a_fork(|check| {
        let (mut writer, mut reader) = ends.take().unwrap();
        let forked = LatestError::Forked;
        check("set", writer.set(&Many::of(1)) == Err(forked));
        check("get", reader.get().err() == Some(forked));
        check("version_at", reader.version_at(0).err() == Some(forked));
        check("wait", reader.wait_until(SOON).err() == Some(forked));
        check(
            "wait_at",
            reader.wait_at_until(0, 0, SOON).err() == Some(forked),
        );
        check(
            "writer",
            matches!(latest.writer(), Err(AttachError::Forked)),
        );
        check(
            "reader",
            matches!(latest.reader(), Err(AttachError::Forked)),
        );
        check("status", of_a_fork(latest.status()));
        drop((writer, reader));
    });
    let (mut writer, mut reader) = ends.unwrap();
    assert_eq!(writer.set(&Many::of(1)), Ok(1));
    assert_eq!(reader.get().unwrap().unwrap().1, 1);

    let signals = Signals::builder(at("signals")).create().unwrap();
    let listener = signals.listener("engine").unwrap();
    let target = signals.target("engine").unwrap();
    let called = signals.listener("called").unwrap();
    let background = |_| ControlFlow::Continue(());
    let thread = called.in_background(SignalSet::ALL, background).unwrap();
    let called = signals.listener("too").unwrap();
    let second = called.in_background(SignalSet::ALL, background).unwrap();
    let mut all = Some((listener, target, thread, second));
    in_a_fork(|check| {
        let (mut listener, mut target, thread, second) = all.take().unwrap();
        check("send", target.send(1) == Err(SignalError::Forked));
        check(
            "broadcast",
            signals.broadcast(1) == Err(SignalError::Forked),
        );
        let waited = listener.wait_until(SignalSet::ALL, SOON);
        check("wait", waited == Err(SignalError::Forked));
        let tried = listener.try_wait(SignalSet::ALL);
        check("notice", tried == Err(SignalError::Forked));
        check("status", of_a_fork(signals.status()));
        let found = signals.target("engine").err();
        check("target", found == Some(SignalError::Forked));
        let again = signals.listener("another");
        check("listener", matches!(again, Err(AttachError::Forked)));
        // The threads are not there: nothing may wait for them.
        check("join", thread.join() == Err(SignalError::Forked));
        drop((second, listener, target));
    });
    let (mut listener, mut target, ..) = all.take().unwrap();
    target.send(1).unwrap();
    assert_eq!(listener.try_wait(SignalSet::ALL).unwrap().unwrap().count, 1);

    let there = link(&scratch.0, "bob");
    let other = std::thread::spawn(move || there.connect_until(PATIENCE).unwrap());
    let alice = link(&scratch.0, "alice").connect_until(PATIENCE).unwrap();
    let mut ends = Some((alice, other.join().unwrap()));
    ends.as_mut().unwrap().1.send(b"for the parent").unwrap();
    in_a_fork(|check| {
        let (mut alice, bob) = ends.take().unwrap();
        let is = |error: Option<LinkError>| matches!(error, Some(LinkError::Forked));
        check("send", is(alice.send(b"x").err()));
        check("try_send", is(alice.try_send(b"x").err()));
        check("send_until", is(alice.send_until(b"x", SOON).err()));
        check("receive", is(alice.receive().err()));
        check("receive_until", is(alice.receive_until(SOON).err()));
        check("try_receive", is(alice.try_receive().err()));
        let (mut sender, mut receiver) = alice.split();
        check("half send", is(sender.try_send(b"x").err()));
        check("half receive", is(receiver.try_receive().err()));
        check("reconnect", is(alice.reconnect_until(SOON).err()));
        check("peer_pid", alice.peer_pid() == 0);
        check("status", of_a_fork(alice.status()));
        drop((alice, bob));
    });
    let (mut alice, mut bob) = ends.unwrap();
    assert_eq!(&*alice.receive_until(PATIENCE).unwrap(), b"for the parent");
    alice.send(b"back").unwrap();
    assert_eq!(&*bob.receive_until(PATIENCE).unwrap(), b"back");

    forked_pipes(&scratch);
}

fn of_a_fork<T>(status: Result<T, StatusError>) -> bool {
    matches!(status, Err(StatusError::Forked { .. }))
}

fn forked_pipes(scratch: &Scratch) {
    for begun in [false, true] {
        let (mut reader, mut writer) = slipring::pipe::pipe_with(4096, PipeOptions::new()).unwrap();
        writer.write_all(b"first and second").unwrap();
        if begun {
            reader.read_exact(&mut [0; 5]).unwrap();
        }
        let mut ends = Some((reader, writer));
        in_a_fork(|check| {
            let (mut reader, mut writer) = ends.take().unwrap();
            let error = writer.write(b"x").unwrap_err();
            check("no ring", !error.to_string().contains("ring"));
            check("write", says_fork(Err::<usize, _>(error)));
            check("write much", says_fork(writer.write(&[0; 4000])));
            check("read", says_fork(reader.read(&mut [0; 8])));
            check("fill_buf", says_fork(reader.fill_buf().map(<[u8]>::len)));
            check(
                "status",
                of_a_fork(reader.status()) && of_a_fork(writer.status()),
            );
            reader.consume(3);
            drop((reader, writer));
        });
        let (mut reader, writer) = ends.unwrap();
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(
            "first and second".ends_with(&rest) && rest.contains("second"),
            "{rest}"
        );
    }
    let (one, other) = slipring::pipe().unwrap();
    let mut ends = Some((one, other));
    in_a_fork(|check| {
        let (reader, writer) = ends.take().unwrap();
        let mut command = std::process::Command::new("true");
        let told = reader
            .hand_to(&mut command, "x")
            .map_err(std::io::Error::from);
        check("hand the reader", says_fork(told));
        let told = writer
            .hand_to(&mut command, "x")
            .map_err(std::io::Error::from);
        check("hand the writer", says_fork(told));
    });
    let (mut reader, mut writer) = ends.unwrap();
    writer.write_all(b"still here").unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();

    let one = Fifo::builder(scratch.0.join("one")).create().unwrap();
    let both = Fifo::builder(scratch.0.join("both")).both_ways(true);
    let both = both.create().unwrap();
    in_a_fork(|check| {
        check("writer", says_fork(one.writer_until(SOON)));
        check("reader", says_fork(one.reader_until(SOON)));
        check("connect", says_fork(both.connect_until(SOON)));
        check("status", of_a_fork(one.status()));
    });
}

// --- Another user.

/// What another user can do with everything here.
fn stranger(directory: &Path, what: &str) -> String {
    let at = directory.join(what.split(' ').next().unwrap());
    let outcome: Result<String, String> = (|| match what.split(' ').nth(1).unwrap() {
        "semaphore" => {
            let semaphore = Semaphore::open(&at).map_err(|error| error.to_string())?;
            let permit = semaphore.try_acquire().map_err(|error| error.to_string())?;
            drop(permit);
            Ok("took and gave back".into())
        }
        "shared" => {
            let mut shared = Shared::<Many>::open(&at).map_err(|error| error.to_string())?;
            shared.get().map_err(|error| error.to_string())?;
            Ok("read".into())
        }
        "latest" => {
            let latest = Latest::<Many>::open(&at).map_err(|error| error.to_string())?;
            let mut reader = latest.reader().map_err(|error| error.to_string())?;
            let value = reader.get().map_err(|error| error.to_string())?;
            let refused = latest.writer().is_err();
            Ok(format!("read {} {refused}", value.unwrap().0.words[5]))
        }
        "signals" => {
            let signals = Signals::open(&at).map_err(|error| error.to_string())?;
            let own = signals
                .listener("stranger")
                .map_err(|error| error.to_string())?;
            let mut engine = signals
                .target("engine")
                .map_err(|error| error.to_string())?;
            engine.send(3).map_err(|error| error.to_string())?;
            drop(own);
            Ok("listened and sent".into())
        }
        _ => {
            let fifo = Fifo::open(&at).map_err(|error| error.to_string())?;
            let mut all = String::new();
            let reader = fifo.reader_until(PATIENCE);
            let mut reader = reader.map_err(|error| error.to_string())?;
            reader
                .read_to_string(&mut all)
                .map_err(|error| error.to_string())?;
            Ok(format!("read {all}"))
        }
    })();
    say("ready");
    outcome.unwrap_or_else(|error| error)
}

/// The modes of all files of a form, those inside it too.
fn modes(of: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(of).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        found.push((entry.file_name().into_string().unwrap(), mode));
        if entry.file_type().unwrap().is_dir() {
            found.extend(modes(&entry.path()));
        }
    }
    found.sort();
    found
}

fn another_user_is_let_in_by_the_mode() {
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&scratch.0, open).unwrap();
    let ask = |what: &str| {
        Peer::start_with("stranger", &[text(&scratch.0), what], |command| {
            command.uid(65534).gid(65534).current_dir("/");
        })
        .finish()
    };
    let at = |name: &str| scratch.0.join(name);
    let refused = "no permission to open";

    let semaphore = Semaphore::builder(at("sem")).mode(0o666).create().unwrap();
    let _closed = Semaphore::builder(at("sem-own")).create().unwrap();
    assert_eq!(ask("sem semaphore"), "took and gave back");
    assert!(ask("sem-own semaphore").contains(refused));
    let held = semaphore.acquire().unwrap();
    assert!(ask("sem semaphore").contains("try again"));
    drop(held);

    let _shared = Shared::<Many>::builder(at("shared")).create().unwrap();
    assert!(ask("shared shared").contains(refused));

    for (name, mode) in [("read", 0o644), ("wait", 0o666)] {
        let latest = Latest::<Many>::builder(at(name))
            .mode(mode)
            .create()
            .unwrap();
        let mut writer = latest.writer().unwrap();
        writer.set(&Many::of(5)).unwrap();
        assert_eq!(ask(&format!("{name} latest")), "read 5 true");
        drop(writer);
        assert_eq!(ask(&format!("{name} latest")), "read 5 true");
    }
    let _closed = Latest::<Many>::builder(at("latest-own")).create().unwrap();
    assert!(ask("latest-own latest").contains(refused));

    let signals = Signals::builder(at("signals"))
        .mode(0o666)
        .create()
        .unwrap();
    let mut engine = signals.listener("engine").unwrap();
    assert_eq!(ask("signals signals"), "listened and sent");
    assert_eq!(engine.try_wait(SignalSet::ALL).unwrap().unwrap().signal, 3);
    let _closed = Signals::builder(at("signals-own")).create().unwrap();
    assert!(ask("signals-own signals").contains(refused));

    let fifo = Fifo::builder(at("fifo")).mode(0o666).create().unwrap();
    let writing = std::thread::spawn(move || {
        let mut writer = fifo.writer_until(PATIENCE)?;
        writer.write_all(b"bytes")
    });
    assert_eq!(ask("fifo fifo"), "read bytes");
    writing.join().unwrap().unwrap();
    let _closed = Fifo::builder(at("fifo-own")).create().unwrap();
    assert!(ask("fifo-own fifo").contains(refused));
    // One that goes both ways could not be used by others: it is not made for them.
    let both = Fifo::builder(at("both")).both_ways(true).mode(0o666);
    let error = both.create_or_open().unwrap_err();
    assert!(
        matches!(error, CreateError::Mode { mode: 0o666, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("mode 0666"), "{error}");
    assert!(!at("both").exists());

    // The mode reaches every file.
    for name in ["sem", "wait", "signals", "fifo"] {
        let directory = std::fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(directory & 0o777, 0o755, "{name}");
        for (file, mode) in modes(&at(name)) {
            let expected = if file == "stream" { 0o644 } else { 0o666 };
            assert_eq!(mode, expected, "{name}/{file}");
        }
    }
    let error = Semaphore::open(at("shared")).unwrap_err();
    assert!(matches!(error, OpenError::Form { .. }), "{error}");
}

// --- Left over.

fn a_named_pipe_is_never_left_over() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    let fifo = Fifo::builder(&path).create().unwrap();
    for round in 0..3 {
        let there = path.clone();
        let writing = std::thread::spawn(move || {
            let fifo = Fifo::open(&there).unwrap();
            fifo.writer_until(PATIENCE)?.write_all(b"bytes")
        });
        let mut all = String::new();
        let mut reader = fifo.reader_until(PATIENCE).unwrap();
        reader.read_to_string(&mut all).unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(all, "bytes");
        drop(reader);
        // It is there to be opened again.
        let found = leftovers_in(&scratch.0).unwrap();
        let [one] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(one.why, Why::Idle, "round {round}");
    }
}
