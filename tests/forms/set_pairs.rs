//! Sets of links and pipes: messages, and the other side that comes, leaves, dies or is removed, in every order.
#![allow(unsafe_code, reason = "forks")]

use slipring::{
    endpoint::Source,
    fifo::FifoBuilder,
    link::{LinkBuilder, LinkError, LinkReceiver},
    pipe::{Duplex, PipeOptions, PipeReader, PipeWriter},
    segment::Memory,
    sync::Ordering::Relaxed,
    Fifo, Link,
};
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use testing::books::Random;
use testing::waiter::Waiter;
use testing::{say, text, Peer, Scratch, PATIENCE};

testing::suites_of_sets!(peer; [
    a_message_on_any_pair_ends_the_wait,
    an_end_is_reported_once_and_after_all_messages,
    what_there_is_to_report_rings_a_bell_of_the_source,
    each_time_the_other_side_comes_or_goes_is_reported_once,
    a_killed_side_is_reported_and_so_is_the_next,
    a_pipe_is_waited_for_before_its_writer_writes,
    half_a_duplex_that_is_dropped_is_the_end,
    what_is_left_of_a_piece_is_reported,
    a_removed_pair_is_reported,
    more_pairs_than_the_kernel_takes,
    a_fork_is_told_that_it_has_no_part_in_a_pair,
]);

const MOMENT: Duration = Duration::from_millis(1);

/// One end of a pair.
enum End {
    Link(Link),
    /// Waited for by its receiving half.
    Half(Link),
    Reader(PipeReader),
    Writer(PipeWriter),
    Duplex(Duplex),
}

/// An end as a source of a set.
enum Asked<'e> {
    Half(LinkReceiver<'e>),
    Whole(&'e mut dyn Source),
}

impl Asked<'_> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Half(half) => half,
            Self::Whole(source) => *source,
        }
    }
}

/// What an end says when it is asked and something was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Bytes(Vec<u8>),
    Over,
    Nothing,
    Trouble(String),
}

impl End {
    fn asked(&mut self) -> Asked<'_> {
        match self {
            Self::Link(link) => Asked::Whole(link),
            Self::Half(link) => Asked::Half(link.split().1),
            Self::Reader(reader) => Asked::Whole(reader),
            Self::Duplex(duplex) => Asked::Whole(duplex),
            Self::Writer(_) => unreachable!("a writer is no source"),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Link(link) | Self::Half(link) => drop(link.send(bytes).unwrap()),
            Self::Writer(writer) => writer.write_all(bytes).unwrap(),
            Self::Duplex(duplex) => duplex.write_all(bytes).unwrap(),
            Self::Reader(_) => unreachable!("a reader does not send"),
        }
    }

    fn take(&mut self) -> Said {
        fn bytes(from: &mut impl BufRead) -> Said {
            let said = match from.fill_buf() {
                Ok([]) => Said::Over,
                Ok(bytes) => Said::Bytes(bytes.to_vec()),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Said::Nothing,
                Err(error) => Said::Trouble(error.to_string()),
            };
            if let Said::Bytes(bytes) = &said {
                from.consume(bytes.len());
            }
            said
        }
        let message = match self {
            Self::Link(link) => link.try_receive(),
            Self::Half(link) => link.try_receive(),
            Self::Reader(reader) => return bytes(reader),
            Self::Duplex(duplex) => return bytes(duplex),
            Self::Writer(_) => unreachable!("a writer receives nothing"),
        };
        match message {
            Ok(message) => Said::Bytes(message.to_vec()),
            Err(LinkError::Empty) => Said::Nothing,
            Err(LinkError::PeerGone) => Said::Over,
            Err(error) => Said::Trouble(error.to_string()),
        }
    }
}

/// Every kind of pair: an end that is waited for, and the other one.
const KINDS: [&str; 9] = [
    "link",
    "link back",
    "half",
    "half back",
    "pipe",
    "duplex",
    "duplex back",
    "fifo",
    "both ways",
];

fn describe(directory: &Path, me: &str, peer: &str) -> LinkBuilder {
    let builder = Link::builder(me, peer).directory(directory);
    builder.capacity_bytes(4096)
}

fn named(directory: &Path, both_ways: bool) -> FifoBuilder {
    let name = if both_ways { "both" } else { "fifo" };
    let builder = Fifo::builder(directory.join(name));
    builder.capacity_bytes(4096).both_ways(both_ways)
}

/// Both ends, made at the same time.
fn both<A: Send, B: Send>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        (one(), other.join().unwrap())
    })
}

fn made(directory: &Path, kind: &str) -> (End, End) {
    let link = |me: &'static str, peer: &'static str| {
        let (here, there) = (describe(directory, me, peer), describe(directory, peer, me));
        both(
            || here.connect_until(PATIENCE).unwrap(),
            || there.connect_until(PATIENCE).unwrap(),
        )
    };
    match kind {
        "link" => {
            let (here, there) = link("alice", "bob");
            (End::Link(here), End::Link(there))
        }
        "link back" => {
            let (here, there) = link("bob", "anna");
            (End::Link(here), End::Link(there))
        }
        "half" => {
            let (here, there) = link("carl", "dora");
            (End::Half(here), End::Link(there))
        }
        "half back" => {
            let (here, there) = link("dora", "carol");
            (End::Half(here), End::Link(there))
        }
        "pipe" => {
            let (reader, writer) = slipring::pipe().unwrap();
            (End::Reader(reader), End::Writer(writer))
        }
        "duplex" => {
            let (here, there) = slipring::duplex().unwrap();
            (End::Duplex(here), End::Duplex(there))
        }
        "duplex back" => {
            let (there, here) = slipring::duplex().unwrap();
            (End::Duplex(here), End::Duplex(there))
        }
        "fifo" => {
            let fifo = named(directory, false).create().unwrap();
            let (reader, writer) = both(
                || fifo.reader_until(PATIENCE).unwrap(),
                || fifo.writer_until(PATIENCE).unwrap(),
            );
            (End::Reader(reader), End::Writer(writer))
        }
        _ => {
            let fifo = named(directory, true).create().unwrap();
            let (here, there) = both(
                || fifo.connect_until(PATIENCE).unwrap(),
                || fifo.connect_until(PATIENCE).unwrap(),
            );
            (End::Duplex(here), End::Duplex(there))
        }
    }
}

fn wait_for_all(set: &mut Waiter, ends: &mut [End], patience: Duration) -> Option<usize> {
    let mut asked: Vec<Asked<'_>> = ends.iter_mut().map(End::asked).collect();
    let mut sources: Vec<&mut dyn Source> = asked.iter_mut().map(Asked::source).collect();
    set.wait(&mut sources, patience)
}

fn wait(set: &mut Waiter, end: &mut End, patience: Duration) -> Option<usize> {
    wait_for_all(set, std::slice::from_mut(end), patience)
}

/// Waits for a moment in which nothing is reported.
fn quiet(set: &mut Waiter, end: &mut End, what: &str) {
    let more = wait(set, end, Duration::from_millis(30));
    assert_eq!(more, None, "{what}");
}

fn a_message_on_any_pair_ends_the_wait() {
    let scratch = Scratch::new();
    let (mut here, mut there): (Vec<End>, Vec<End>) =
        KINDS.iter().map(|kind| made(&scratch.0, kind)).unzip();
    let mut random = Random::new();
    for number in 0..600u64 {
        let spin = Duration::from_micros([0, 20][random.below(2) as usize]);
        let mut set = Waiter::with_spin(spin);
        let delay = Duration::from_micros(random.below(4).pow(2) * random.below(300));
        let kind = random.below(KINDS.len() as u64) as usize;
        let sender = &mut there[kind];
        let bytes = number.to_le_bytes();
        let ready = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(delay);
                sender.send(&bytes);
            });
            wait_for_all(&mut set, &mut here, PATIENCE)
        });
        assert_eq!(ready, Some(kind), "number {number}, after {delay:?}");
        assert_eq!(here[kind].take(), Said::Bytes(bytes.to_vec()));
        let more = wait_for_all(&mut set, &mut here, Duration::ZERO);
        assert_eq!(more, None, "number {number}");
    }
}

fn an_end_is_reported_once_and_after_all_messages() {
    for kind in KINDS {
        for messages in [0, 1, 3] {
            let scratch = Scratch::new();
            let (mut here, mut there) = made(&scratch.0, kind);
            for number in 0..messages {
                there.send(&[number + 1]);
            }
            let mut set = Waiter::new();
            std::thread::scope(|scope| {
                scope.spawn(move || drop(there));
                let mut got = Vec::new();
                loop {
                    let ready = wait(&mut set, &mut here, PATIENCE);
                    assert_eq!(ready, Some(0), "{kind}");
                    match here.take() {
                        Said::Bytes(bytes) => got.extend(bytes),
                        Said::Over => break,
                        other => panic!("{kind}: {other:?}"),
                    }
                }
                assert_eq!(got, (1..=messages).collect::<Vec<u8>>(), "{kind}");
            });
            quiet(&mut set, &mut here, kind);
            // It stays so.
            assert_eq!(here.take(), Said::Over, "{kind}");
        }
    }
}

/// The bells that end the wait for a source, and their words. Each says that a process sleeps on it.
fn arm(end: &mut End) -> Vec<(Memory, u32)> {
    let mut asked = end.asked();
    let source = asked.source();
    let own = source.memory(Default::default()).clone();
    let also = source.also(Default::default()).cloned();
    let armed = |memory: Memory| {
        let bell = &memory.control().unwrap().data;
        bell.armed.store(1, Relaxed);
        let word = bell.word.load(Relaxed);
        (memory, word)
    };
    [Some(own), also].into_iter().flatten().map(armed).collect()
}

fn rung(bells: &[(Memory, u32)]) -> bool {
    let rung = |(memory, word): &(Memory, u32)| {
        let bell = &memory.control().unwrap().data;
        bell.word.load(Relaxed) != *word
    };
    bells.iter().any(rung)
}

/// Not left to the end of a sleep, which would find it later.
fn what_there_is_to_report_rings_a_bell_of_the_source() {
    for kind in KINDS {
        let scratch = Scratch::new();
        let (mut here, mut there) = made(&scratch.0, kind);
        let mut set = Waiter::new();
        quiet(&mut set, &mut here, kind);
        let bells = arm(&mut here);
        assert!(!rung(&bells), "{kind}");
        there.send(b"x");
        assert!(rung(&bells), "{kind}: a message");
        assert_eq!(here.take(), Said::Bytes(b"x".to_vec()));
        let bells = arm(&mut here);
        drop(there);
        assert!(rung(&bells), "{kind}: an end");
    }
}

/// The links of [`KINDS`], with the names of this side and of the other.
const LINKS: [(&str, &str, &str); 4] = [
    ("link", "alice", "bob"),
    ("link back", "bob", "anna"),
    ("half", "carl", "dora"),
    ("half back", "dora", "carol"),
];

impl End {
    fn link(&mut self) -> &mut Link {
        match self {
            Self::Link(link) | Self::Half(link) => link,
            _ => unreachable!("not a link"),
        }
    }
}

fn told(set: &mut Waiter, end: &mut End, what: &str) {
    assert_eq!(wait(set, end, PATIENCE), Some(0), "{what}");
    assert_eq!(end.take(), Said::Over, "{what}");
    quiet(set, end, what);
}

fn each_time_the_other_side_comes_or_goes_is_reported_once() {
    for (kind, me, peer) in LINKS {
        let scratch = Scratch::new();
        let (mut here, mut there) = made(&scratch.0, kind);
        let mut set = Waiter::new();
        for turn in 0..3 {
            // It leaves the pact, and closes nothing.
            let bells = arm(&mut here);
            let alone = there.link().reconnect_until(Duration::ZERO);
            assert!(matches!(alone, Err(LinkError::TimedOut)), "{kind}");
            assert!(rung(&bells), "{kind}: leaving the pact");
            told(&mut set, &mut here, "it left the pact");
            if turn == 1 {
                // This side did so too, and waits for another.
                let alone = here.link().reconnect_until(Duration::ZERO);
                assert!(matches!(alone, Err(LinkError::TimedOut)), "{kind}");
            }
            let bells = arm(&mut here);
            drop(there);
            assert!(rung(&bells), "{kind}: leaving");
            told(&mut set, &mut here, "it left");
            let bells = arm(&mut here);
            let next = describe(&scratch.0, peer, me);
            let next = std::thread::spawn(move || next.connect_until(PATIENCE).unwrap());
            told(&mut set, &mut here, "another came");
            assert!(rung(&bells), "{kind}: coming");
            here.link().reconnect_until(PATIENCE).unwrap();
            there = End::Link(next.join().unwrap());
            quiet(&mut set, &mut here, "they met");
            there.send(&[turn]);
            assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
            assert_eq!(here.take(), Said::Bytes(vec![turn]));
        }
    }
}

/// Connects as a process that is told to, says so, and is killed.
fn peer(role: &str) {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap());
    let mut other = match role {
        "link" => {
            let (me, peer) = (arguments.next().unwrap(), arguments.next().unwrap());
            say("ready");
            let link = describe(&directory, &me, &peer).connect_until(PATIENCE);
            End::Link(link.unwrap())
        }
        "fifo" => {
            say("ready");
            let fifo = Fifo::open(directory.join("fifo")).unwrap();
            End::Writer(fifo.writer_until(PATIENCE).unwrap())
        }
        "both" => {
            say("ready");
            let fifo = Fifo::open(directory.join("both")).unwrap();
            End::Duplex(fifo.connect_until(PATIENCE).unwrap())
        }
        other => panic!("{other} is no role"),
    };
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
        other.send(line.trim().as_bytes());
        say("sent");
        line.clear();
    }
}

fn a_killed_side_is_reported_and_so_is_the_next() {
    for (_, me, them) in LINKS {
        for messages in [0, 2] {
            let scratch = Scratch::new();
            let mut other = Peer::start("link", &[text(&scratch.0), them, me]);
            let link = describe(&scratch.0, me, them).connect_until(PATIENCE);
            let mut here = End::Link(link.unwrap());
            let mut set = Waiter::new();
            quiet(&mut set, &mut here, "nothing yet");
            for _ in 0..messages {
                assert_eq!(other.tell("x"), "sent");
            }
            other.kill();
            for _ in 0..messages {
                assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
                assert_eq!(here.take(), Said::Bytes(b"x".to_vec()));
            }
            told(&mut set, &mut here, "it died");
            let mut next = Peer::start("link", &[text(&scratch.0), them, me]);
            told(&mut set, &mut here, "another came");
            here.link().reconnect_until(PATIENCE).unwrap();
            assert_eq!(next.tell("y"), "sent");
            assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
            assert_eq!(here.take(), Said::Bytes(b"y".to_vec()));
        }
    }
    for role in ["fifo", "both"] {
        for messages in [0, 2] {
            let scratch = Scratch::new();
            let fifo = named(&scratch.0, role == "both").create().unwrap();
            let mut other = Peer::start(role, &[text(&scratch.0)]);
            let mut here = match role {
                "fifo" => End::Reader(fifo.reader_until(PATIENCE).unwrap()),
                _ => End::Duplex(fifo.connect_until(PATIENCE).unwrap()),
            };
            let mut set = Waiter::new();
            quiet(&mut set, &mut here, "nothing yet");
            for _ in 0..messages {
                assert_eq!(other.tell("x"), "sent");
            }
            other.kill();
            for _ in 0..messages {
                assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
                assert_eq!(here.take(), Said::Bytes(b"x".to_vec()));
            }
            told(&mut set, &mut here, "it died");
            // There is one end of the stream, whichever writers come later.
            let _next = Peer::start(role, &[text(&scratch.0)]);
            quiet(&mut set, &mut here, "another came");
        }
    }
}

fn a_pipe_is_waited_for_before_its_writer_writes() {
    // The reader begins first, last, or never reads what was written before it waits.
    for early in [false, true] {
        let (reader, mut writer) = slipring::pipe::pipe_with(4096, PipeOptions::default()).unwrap();
        let mut here = End::Reader(reader);
        let mut set = Waiter::new();
        if early {
            quiet(&mut set, &mut here, "no writer yet");
        }
        // More than a pipe holds: the writer waits for a reader, which the set makes of this end.
        let sent: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        let mut got = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                drop(writer);
            });
            loop {
                assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
                match here.take() {
                    Said::Bytes(bytes) => got.extend(bytes),
                    Said::Over => break,
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(got, sent);
        quiet(&mut set, &mut here, "after the end");
    }
}

/// The writing half ends its stream, while the pact of both directions goes on.
fn half_a_duplex_that_is_dropped_is_the_end() {
    for back in [false, true] {
        let (one, other) = slipring::duplex().unwrap();
        let (here, there) = if back { (other, one) } else { (one, other) };
        let mut here = End::Duplex(here);
        let (mut reader, mut writer) = there.into_halves();
        writer.write_all(b"last").unwrap();
        let mut set = Waiter::new();
        assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
        assert_eq!(here.take(), Said::Bytes(b"last".to_vec()));
        quiet(&mut set, &mut here, "the writer is there");
        std::thread::scope(|scope| {
            scope.spawn(|| drop(writer));
            told(&mut set, &mut here, "the writer left");
        });
        here.send(b"still");
        let mut five = [0; 5];
        reader.read_exact(&mut five).unwrap();
        assert_eq!(&five, b"still");
    }
}

/// Bytes that were lent and not consumed are there.
fn what_is_left_of_a_piece_is_reported() {
    let (mut reader, mut writer) = slipring::pipe().unwrap();
    writer.write_all(b"abc").unwrap();
    let mut one = [0];
    let mut set = Waiter::new();
    for expected in b"abc" {
        assert_eq!(set.wait(&mut [&mut reader], PATIENCE), Some(0));
        reader.read_exact(&mut one).unwrap();
        assert_eq!(one[0], *expected);
    }
    assert_eq!(set.wait(&mut [&mut reader], MOMENT), None);
}

fn a_removed_pair_is_reported() {
    for (kind, me, them) in LINKS {
        let scratch = Scratch::new();
        let (mut here, _there) = made(&scratch.0, kind);
        let path = scratch.0.join(match me < them {
            true => format!("{me}..{them}"),
            false => format!("{them}..{me}"),
        });
        removed(&mut here, &path, kind);
    }
    for (kind, name) in [("fifo", "fifo"), ("both ways", "both")] {
        let scratch = Scratch::new();
        let (mut here, _there) = made(&scratch.0, kind);
        removed(&mut here, &scratch.0.join(name), kind);
    }
}

fn removed(here: &mut End, path: &Path, kind: &str) {
    let mut set = Waiter::new();
    quiet(&mut set, here, kind);
    std::thread::scope(|scope| {
        scope.spawn(|| slipring::registry::remove_at(path, true).unwrap());
        assert_eq!(wait(&mut set, here, PATIENCE), Some(0), "{kind}");
    });
    // At once: what was reported is known.
    match here.take() {
        Said::Trouble(why) => assert!(why.contains("removed"), "{kind}: {why}"),
        other => panic!("{kind}: {other:?}"),
    }
}

/// More bells than the kernel takes: the set looks at them in turn.
fn more_pairs_than_the_kernel_takes() {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..70 {
        let (one, other) = slipring::duplex().unwrap();
        there.push(End::Duplex(one));
        here.push(End::Duplex(other));
    }
    let mut random = Random::new();
    let mut set = Waiter::with_spin(Duration::ZERO);
    for _ in 0..20 {
        let which = random.below(70) as usize;
        let sender = &mut there[which];
        std::thread::scope(|scope| {
            scope.spawn(move || sender.send(b"x"));
            let ready = wait_for_all(&mut set, &mut here, PATIENCE);
            assert_eq!(ready, Some(which));
        });
        assert_eq!(here[which].take(), Said::Bytes(b"x".to_vec()));
    }
}

fn a_fork_is_told_that_it_has_no_part_in_a_pair() {
    for kind in KINDS {
        for used in [false, true] {
            let scratch = Scratch::new();
            let (mut here, mut there) = made(&scratch.0, kind);
            let mut set = Waiter::new();
            if used {
                there.send(b"x");
                assert_eq!(wait(&mut set, &mut here, PATIENCE), Some(0));
                assert_eq!(here.take(), Said::Bytes(b"x".to_vec()));
            }
            // SAFETY: the threads of this process have ended. The child leaves by `_exit`.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "no fork");
            if child == 0 {
                let told = (0..3).all(|_| wait(&mut set, &mut here, PATIENCE) == Some(0));
                let said = here.take();
                let fork = matches!(&said, Said::Trouble(why) if why.contains("fork"));
                // SAFETY: ends the child without running what belongs to the parent.
                unsafe { libc::_exit(i32::from(!told) + 2 * i32::from(!fork)) }
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(status, 0, "{kind}, used: {used}");
        }
    }
}
