//! Pipes and named pipes: against an oracle, between processes, and under random deaths.

use proptest::prelude::*;
use slipring::{
    duplex, pipe,
    pipe::{pipe_with, Duplex, PipeOptions, PipeReader, PipeWriter},
    place::CreateError,
    Fifo, Ring,
};
use std::io::{BufRead, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use testing::books::{kills_wanted, Books, Random};
use testing::{say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_by_kind,
    before_the_reader_begins_half_is_kept_for_it,
    streams_are_whole_at_every_piece_size,
    a_child_inherits_either_end,
    a_child_that_never_used_its_end_is_noticed,
    both_ways_with_a_child,
    a_dead_writer_is_the_end,
    a_dead_reader_is_a_broken_pipe,
    an_end_that_never_waits_learns_of_a_death,
    more_than_was_lent_cannot_be_consumed,
    a_named_pipe_waits_for_both_ends,
    a_named_pipe_goes_both_ways,
    random_deaths_leave_prefixes,
]);

/// The byte at a place in the stream.
fn byte(at: u64) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

fn bytes(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(byte).collect()
}

// --- The oracle.

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Read(usize),
    Borrow(usize),
    DropWriter,
    DropReader,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..900usize).prop_map(Step::Write),
        5 => (0..900usize).prop_map(Step::Read),
        3 => (0..900usize).prop_map(Step::Borrow),
        1 => Just(Step::DropWriter),
        1 => Just(Step::DropReader),
    ]
}

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(300);
    let steps = prop::collection::vec(step(), 1..80);
    runner
        .run(&steps, |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

const CAPACITY: u64 = 4096;

fn follow(steps: &[Step]) {
    let (reader, writer) = pipe_with(CAPACITY, PipeOptions::new()).unwrap();
    let (mut reader, mut writer) = (Some(reader), Some(writer));
    reader.as_mut().unwrap().set_timeout(Some(Duration::ZERO));
    writer.as_mut().unwrap().set_timeout(Some(Duration::ZERO));
    let (mut written, mut read) = (0u64, 0u64);
    for step in steps {
        match *step {
            Step::Write(len) => {
                let Some(writer) = &mut writer else { continue };
                let piece = bytes(written, len);
                match writer.write(&piece) {
                    Ok(n) => {
                        assert!(reader.is_some() || n == 0, "written to nobody");
                        assert_eq!(n, len.min(CAPACITY as usize / 8 - 16));
                        written += n as u64;
                    }
                    Err(error) if reader.is_none() => {
                        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                        // Each piece takes less than twice its bytes and 16 more.
                        assert!(written > read, "full of nothing");
                    }
                }
            }
            Step::Read(len) => {
                let Some(reader) = &mut reader else { continue };
                let mut out = vec![0; len];
                match reader.read(&mut out) {
                    Ok(n) => {
                        assert_eq!(out[..n], bytes(read, n));
                        read += n as u64;
                        if n == 0 && len > 0 {
                            assert_eq!((read, writer.is_none()), (written, true), "an early end");
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                        assert_eq!((read, writer.is_some()), (written, true));
                    }
                }
            }
            Step::Borrow(most) => {
                let Some(reader) = &mut reader else { continue };
                let used = match reader.fill_buf() {
                    Ok(there) => {
                        assert_eq!(there, bytes(read, there.len()));
                        there.len().min(most)
                    }
                    Err(_) => 0,
                };
                reader.consume(used);
                read += used as u64;
            }
            Step::DropWriter => writer = None,
            Step::DropReader => reader = None,
        }
    }
}

// --- In one process.

fn what_is_refused_is_refused_by_kind() {
    let bad = pipe_with(5000, PipeOptions::new()).unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::InvalidInput, "{bad}");
    let (mut reader, writer) = pipe().unwrap();
    let mut command = Command::new("true");
    let bad = writer.hand_to(&mut command, "a b").unwrap_err();
    assert_eq!(bad.error().kind(), ErrorKind::InvalidInput, "{bad}");
    // The end comes back and works on, and can still be handed on.
    let writer = bad.into_end();
    let bad = writer.hand_to(&mut command, "a=b").unwrap_err();
    let mut writer = bad.into_end();
    writer.write_all(&bytes(0, 100)).unwrap();
    let mut some = [0; 60];
    reader.read_exact(&mut some).unwrap();
    assert_eq!(some[..], bytes(0, 60));
    let bad = reader.hand_to(&mut command, "x").unwrap_err();
    assert!(bad.to_string().contains("used already"), "{bad}");
    let bad = bad.into_end().hand_to(&mut command, "x").unwrap_err();
    let mut reader = bad.into_end();
    let bad = writer.hand_to(&mut command, "x").unwrap_err();
    assert!(bad.to_string().contains("used already"), "{bad}");
    drop(bad.into_end());
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bytes(60, 40));
    let (mut here, there) = duplex().unwrap();
    let bad = there.hand_to(&mut command, "").unwrap_err();
    let mut there = bad.into_end();
    there.write_all(b"both").unwrap();
    let bad = there.hand_to(&mut command, "both").unwrap_err();
    here.read_exact(&mut some[..4]).unwrap();
    bad.into_end().write_all(b"ways").unwrap();
    here.read_exact(&mut some[..4]).unwrap();
    assert_eq!(some[..4], *b"ways");
    assert_eq!(here.read(&mut some).unwrap(), 0);
    // Nothing that was refused is in the command.
    assert_eq!(command.get_envs().count(), 0);
    let bad = PipeReader::inherited("nothing").unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::NotFound);
    let scratch = Scratch::new();
    Fifo::builder(scratch.0.join("one")).create().unwrap();
    let fifo = Fifo::open(scratch.0.join("one")).unwrap();
    assert_eq!(fifo.connect().unwrap_err().kind(), ErrorKind::Unsupported);
    let late = fifo.reader_until(Duration::from_millis(5)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    let late = fifo.writer_until(Duration::from_millis(5)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    // Only its owner can use one that goes both ways, so no other user is let in.
    for mode in [0o601, 0o640, 0o666] {
        let both = Fifo::builder(scratch.0.join("both")).both_ways(true);
        let error = both.mode(mode).create().unwrap_err();
        assert!(
            matches!(error, CreateError::Mode { mode: m, .. } if m == mode),
            "{error}"
        );
    }
    let error = Ring::open(scratch.0.join("one")).unwrap_err();
    assert!(
        error.to_string().contains("is a pipe, not a ring"),
        "{error}"
    );
}

fn before_the_reader_begins_half_is_kept_for_it() {
    let (reader, mut writer) = pipe_with(4096, PipeOptions::new()).unwrap();
    writer.set_timeout(Some(Duration::from_millis(5)));
    let mut written = 0u64;
    let full = loop {
        match writer.write(&bytes(written, 100)) {
            Ok(n) => written += n as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    assert!((1500..2048).contains(&written), "{written}");
    // It goes on once a reader reads, from the first byte.
    writer.set_timeout(Some(PATIENCE));
    let reading = std::thread::spawn(move || {
        let (mut reader, mut all) = (reader, Vec::new());
        reader.read_to_end(&mut all).unwrap();
        all
    });
    writer.write_all(&bytes(written, 10_000)).unwrap();
    drop(writer);
    assert_eq!(reading.join().unwrap(), bytes(0, written as usize + 10_000));
}

fn streams_are_whole_at_every_piece_size() {
    for (piece, buffer) in [
        (1, 7),
        (100, 1),
        (4096, 65_536),
        (65_536, 1000),
        (1 << 20, 1 << 16),
    ] {
        let total = if piece == 1 || buffer == 1 {
            100_000
        } else {
            3_000_000
        };
        let (mut reader, mut writer) = pipe_with(1 << 16, PipeOptions::new()).unwrap();
        let writing = std::thread::spawn(move || {
            let all = bytes(0, total);
            for piece in all.chunks(piece) {
                writer.write_all(piece).unwrap();
            }
        });
        let (mut at, mut out) = (0u64, vec![0; buffer]);
        loop {
            let n = reader.read(&mut out).unwrap();
            if n == 0 {
                break;
            }
            assert_eq!(out[..n], bytes(at, n));
            at += n as u64;
        }
        assert_eq!(at, total as u64);
        writing.join().unwrap();
    }
}

// --- Children.

const TOTAL: usize = 300_000;

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match role {
        "read" => {
            let mut reader = PipeReader::inherited("jobs").unwrap();
            // Only once.
            let again = PipeReader::inherited("jobs").unwrap_err();
            assert_eq!(again.kind(), ErrorKind::NotFound);
            let wrong = PipeWriter::inherited("jobs").unwrap_err();
            assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
            say("ready");
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            assert_eq!(all, bytes(0, TOTAL));
            say("read all");
        }
        "write" => {
            let mut writer = PipeWriter::inherited("results").unwrap();
            say("ready");
            writer.write_all(&bytes(0, TOTAL)).unwrap();
        }
        "write-some" => {
            let mut writer = PipeWriter::inherited("results").unwrap();
            writer.write_all(&bytes(0, 1000)).unwrap();
            say("ready");
            std::thread::park();
        }
        "read-some" => {
            let mut reader = PipeReader::inherited("jobs").unwrap();
            let mut some = [0; 1000];
            reader.read_exact(&mut some).unwrap();
            say("ready");
            std::thread::park();
        }
        "echo" => {
            let mut duplex = Duplex::inherited("both").unwrap();
            say("ready");
            let mut line = String::new();
            while duplex.read_line(&mut line).unwrap() > 0 {
                duplex.write_all(line.to_uppercase().as_bytes()).unwrap();
                line.clear();
            }
        }
        "ignore" => say("ready"),
        "fifo-write" => {
            let fifo = Fifo::open(Path::new(&arguments[0])).unwrap();
            say("ready");
            fifo.writer().unwrap().write_all(&bytes(0, TOTAL)).unwrap();
        }
        "fifo-echo" => {
            let fifo = Fifo::open(Path::new(&arguments[0])).unwrap();
            say("ready");
            let mut duplex = fifo.connect().unwrap();
            let mut line = String::new();
            while duplex.read_line(&mut line).unwrap() > 0 {
                duplex.write_all(line.to_uppercase().as_bytes()).unwrap();
                line.clear();
            }
        }
        "chaos-write" => write_for_ever(Path::new(&arguments[0])),
        "chaos-read" => read_for_ever(Path::new(&arguments[0])),
        other => panic!("no role {other}"),
    }
}

/// A child with an end.
fn child(role: &str, hand: impl FnOnce(&mut Command)) -> Peer {
    Peer::start_with(role, &[], hand)
}

fn a_child_inherits_either_end() {
    let (reader, mut writer) = pipe_with(1 << 16, PipeOptions::new()).unwrap();
    writer.write_all(&bytes(0, 1000)).unwrap();
    let mut peer = child("read", |command| reader.hand_to(command, "jobs").unwrap());
    writer.write_all(&bytes(1000, TOTAL - 1000)).unwrap();
    drop(writer);
    assert_eq!(peer.line(), "read all");
    peer.finish();
    let (mut reader, writer) = pipe_with(1 << 16, PipeOptions::new()).unwrap();
    let peer = child("write", |command| {
        writer.hand_to(command, "results").unwrap()
    });
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all, bytes(0, TOTAL));
    peer.finish();
}

fn a_child_that_never_used_its_end_is_noticed() {
    let (mut reader, writer) = pipe().unwrap();
    let peer = child("ignore", |command| {
        writer.hand_to(command, "results").unwrap()
    });
    peer.finish();
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0, "nobody will write");
    let (reader, mut writer) = pipe_with(4096, PipeOptions::new()).unwrap();
    let peer = child("ignore", |command| reader.hand_to(command, "jobs").unwrap());
    peer.finish();
    writer.set_timeout(Some(PATIENCE));
    let broken = writer.write_all(&[0; 4096]).unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
}

fn both_ways_with_a_child() {
    for first in [true, false] {
        let (here, there) = duplex().unwrap();
        let (mut here, there) = if first { (here, there) } else { (there, here) };
        let peer = child("echo", |command| there.hand_to(command, "both").unwrap());
        for word in ["one\n", "two\n", "three\n"] {
            here.write_all(word.as_bytes()).unwrap();
            let mut line = String::new();
            here.read_line(&mut line).unwrap();
            assert_eq!(line, word.to_uppercase());
        }
        drop(here);
        peer.finish();
    }
    // A child that dies is the end of both.
    let (mut here, there) = duplex().unwrap();
    let peer = child("echo", |command| there.hand_to(command, "both").unwrap());
    peer.kill();
    assert_eq!(here.read(&mut [0; 8]).unwrap(), 0);
    let broken = (0..).find_map(|_| here.write(&[0; 4096]).err()).unwrap();
    assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
}

fn a_dead_writer_is_the_end() {
    let (mut reader, writer) = pipe().unwrap();
    let peer = child("write-some", |command| {
        writer.hand_to(command, "results").unwrap()
    });
    peer.kill();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all, bytes(0, 1000));
}

fn a_dead_reader_is_a_broken_pipe() {
    for waits in [false, true] {
        let (reader, mut writer) = pipe_with(1 << 16, PipeOptions::new()).unwrap();
        writer.write_all(&bytes(0, 1000)).unwrap();
        let peer = child("read-some", |command| {
            reader.hand_to(command, "jobs").unwrap()
        });
        if waits {
            writer.set_timeout(Some(Duration::from_millis(1)));
            while writer.write(&[0; 4000]).is_ok() {}
            writer.set_timeout(Some(PATIENCE));
        }
        peer.kill();
        let mut more = 0;
        let broken = loop {
            match writer.write(&[0; 4000]) {
                Ok(n) => more += n,
                Err(error) => break error,
            }
        };
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
        assert!(more <= (1 << 16) / 4, "{more} bytes written to nobody");
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    }
}

/// Tries until the answer is another one, which takes few calls.
fn until_told<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    for _ in 0..200 {
        match call() {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            told => return told,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it is never told")
}

fn an_end_that_never_waits_learns_of_a_death() {
    // A reader that died before it began, and one that had begun.
    for role in ["ignore", "read-some"] {
        let (reader, mut writer) = pipe_with(1 << 16, PipeOptions::new()).unwrap();
        writer.write_all(&bytes(0, 1000)).unwrap();
        let peer = child(role, |command| reader.hand_to(command, "jobs").unwrap());
        peer.kill();
        writer.set_timeout(Some(Duration::ZERO));
        while writer.write(&[0; 4000]).is_ok() {}
        let told = until_told(|| writer.write(&[0; 4000])).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::BrokenPipe);
    }
    let (mut reader, writer) = pipe().unwrap();
    let peer = child("write-some", |command| {
        writer.hand_to(command, "results").unwrap()
    });
    peer.kill();
    reader.set_timeout(Some(Duration::ZERO));
    let mut all = Vec::new();
    let mut some = [0; 64];
    loop {
        match until_told(|| reader.read(&mut some)).unwrap() {
            0 => break,
            n => all.extend_from_slice(&some[..n]),
        }
    }
    assert_eq!(all, bytes(0, 1000));
}

fn more_than_was_lent_cannot_be_consumed() {
    for first in [1, 50, 99] {
        let (mut reader, mut writer) = pipe().unwrap();
        writer.write_all(&bytes(0, 100)).unwrap();
        writer.write_all(&bytes(100, 100)).unwrap();
        assert_eq!(reader.fill_buf().unwrap(), bytes(0, 100));
        reader.consume(first);
        reader.consume(usize::MAX);
        // The first piece is consumed, once, and no more.
        assert_eq!(reader.fill_buf().unwrap(), bytes(100, 100));
        reader.consume(usize::MAX - 1);
        drop(writer);
        assert_eq!(reader.fill_buf().unwrap(), b"");
        reader.consume(usize::MAX);
    }
}

// --- Named.

fn a_named_pipe_waits_for_both_ends() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    let fifo = Fifo::builder(&path)
        .capacity_bytes(1 << 16)
        .create()
        .unwrap();
    for _ in 0..3 {
        let peer = Peer::start("fifo-write", &[text(&path)]);
        let mut reader = fifo.reader_until(PATIENCE).unwrap();
        let taken = fifo.reader().unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let expected = format!("process {} reads from it already", std::process::id());
        assert!(taken.to_string().contains(&expected), "{taken}");
        assert_eq!(fifo.status().unwrap().ends[1], Some(std::process::id()));
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes(0, TOTAL));
        peer.finish();
    }
    // A writer that dies, and a reader that begins anew with the next one.
    let peer = Peer::start("fifo-write", &[text(&path)]);
    let mut reader = fifo.reader_until(PATIENCE).unwrap();
    let mut some = [0; 100];
    reader.read_exact(&mut some).unwrap();
    peer.kill();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bytes(100, rest.len()), "a prefix");
    drop(reader);
    let peer = Peer::start("fifo-write", &[text(&path)]);
    let mut all = Vec::new();
    fifo.reader_until(PATIENCE)
        .unwrap()
        .read_to_end(&mut all)
        .unwrap();
    assert_eq!(all, bytes(0, TOTAL), "nothing of the one before");
    peer.finish();
    slipring::registry::remove_at(&path, false).unwrap();
}

fn a_named_pipe_goes_both_ways() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    let builder = Fifo::builder(&path).both_ways(true);
    let fifo = builder.capacity_bytes(4096).create().unwrap();
    assert_eq!(fifo.writer().unwrap_err().kind(), ErrorKind::Unsupported);
    for _ in 0..3 {
        let peer = Peer::start("fifo-echo", &[text(&path)]);
        let mut here = fifo.connect_until(PATIENCE).unwrap();
        let third = fifo.connect().unwrap_err();
        assert_eq!(third.kind(), ErrorKind::AddrInUse);
        for word in ["one\n", "two\n"] {
            here.write_all(word.as_bytes()).unwrap();
            let mut line = String::new();
            here.read_line(&mut line).unwrap();
            assert_eq!(line, word.to_uppercase());
        }
        drop(here);
        peer.finish();
    }
    slipring::registry::remove_at(&path, false).unwrap();
}

// --- Chaos.

/// Ends a victim that met an error it should not: in the books too, as it may be killed before it is heard.
fn complain(books: &Books, error: &std::io::Error) -> ! {
    books.word(42).store(1, SeqCst);
    panic!("{error}");
}

/// Pieces of a stream that depend on its writer; every byte that was acknowledged is in the books.
fn write_for_ever(directory: &Path) {
    let fifo = Fifo::open(directory.join("fifo")).unwrap();
    let books = Books::open(directory, 64, 0);
    say("ready");
    while books.word(40).load(SeqCst) == 0 {
        let mut writer = match fifo.writer_until(Duration::from_millis(100)) {
            Ok(writer) => writer,
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            Err(error) => complain(&books, &error),
        };
        writer.set_timeout(Some(Duration::from_millis(100)));
        let mut at = 0u64;
        // Odd, so that the first is no multiple.
        let mut turn = u64::from(std::process::id()) << 1 | 1;
        while books.word(40).load(SeqCst) == 0 && turn % 50_000 != 0 {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match writer.write(&bytes(at, 1 + (turn >> 54) as usize)) {
                Ok(n) => at += n as u64,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => complain(&books, &error),
            }
            books.word(16).fetch_add(1, SeqCst);
        }
    }
}

/// The bytes read are the beginning of a stream, without a gap.
fn read_for_ever(directory: &Path) {
    let fifo = Fifo::open(directory.join("fifo")).unwrap();
    let books = Books::open(directory, 64, 0);
    say("ready");
    while books.word(40).load(SeqCst) == 0 {
        let mut reader = match fifo.reader_until(Duration::from_millis(100)) {
            Ok(reader) => reader,
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            Err(error) => complain(&books, &error),
        };
        reader.set_timeout(Some(Duration::from_millis(100)));
        let (mut at, mut out) = (0u64, vec![0; 700]);
        while books.word(40).load(SeqCst) == 0 {
            match reader.read(&mut out) {
                Ok(0) => {
                    books.word(18).fetch_add(1, SeqCst);
                    break;
                }
                Ok(n) => {
                    assert_eq!(out[..n], bytes(at, n), "at {at}");
                    at += n as u64;
                    books.word(17).fetch_add(n as u64, SeqCst);
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => complain(&books, &error),
            }
        }
    }
}

fn random_deaths_leave_prefixes() {
    let scratch = Scratch::new();
    let path: PathBuf = scratch.0.join("fifo");
    Fifo::builder(&path).capacity_bytes(8192).create().unwrap();
    let books = Books::open(&scratch.0, 64, 0);
    let mut random = Random::new();
    let roles = ["chaos-write", "chaos-read"];
    let mut parties = Parties::start(
        roles
            .map(|role| (role, vec![text(&scratch.0).to_owned()]))
            .to_vec(),
    );
    for _ in 0..kills_wanted() {
        let party = parties.any(&mut random);
        parties.kill(party, &mut random, 12);
        parties.replace(party);
    }
    parties.get_on(|_| books.word(17).load(SeqCst));
    books.word(40).store(1, SeqCst);
    assert_eq!(
        books.word(42).load(SeqCst),
        0,
        "somebody complained, see above"
    );
    parties.finish_all();
    println!(
        "  {} kills, {} bytes read, {} ends seen",
        kills_wanted(),
        books.word(17).load(SeqCst),
        books.word(18).load(SeqCst)
    );
    slipring::registry::remove_at(&path, false).unwrap();
}
