//! The implementation in C (`tests/second`) beside this one: the vectors, schemas, and the forms that are no plain rings.

use crate::second::{contents, rounds, second, size_of, start, Language, Random, Watchdog};
use slipring::link::LinkError;
use slipring::queue::{AckError, TakeError};
use slipring::schema::{Kind, Schema};
use slipring::signals::{SignalError, SignalSet};
use slipring::{
    ConsumerOptions, Fifo, Latest, Link, Queue, Ring, Semaphore, Shared, Signals, Start,
};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use testing::books::Books;
use testing::{say, text, Peer, Scratch, PATIENCE};
use Language::{Rust, C};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    every_vector_is_read_alike,
    every_schema_has_the_same_hash_or_is_refused_by_both,
    a_consumer_of_either_measures_the_stamps_of_the_other,
    newest_values_go_to_and_fro_beside_kills,
    a_change_of_a_dead_writer_is_counted_by_the_next_one,
    a_shared_value_is_changed_by_one_at_a_time_beside_kills,
    no_more_permits_are_held_than_there_are,
    permits_come_back_from_the_dead_of_either,
    every_signal_is_counted_once,
    a_link_joins_both,
    a_pipe_joins_both,
    every_message_of_a_queue_comes_once,
    every_message_of_a_queue_comes_beside_kills,
    a_lease_is_kept_by_both,
    a_queue_with_a_lease_loses_nothing_beside_kills,
    what_c_creates_is_what_this_one_creates,
]);

/// Word 0 says that no message will follow; the words of senders; then one for each message.
const QUEUE_WORDS: usize = 32_000;
const COUNTS: usize = 16;
/// Behind the counts of at most 12,000 messages: how often each was acknowledged.
const DONE: usize = 16_000;

slipring::message! {
    /// A value of which every word depends on its version and its cell.
    pub struct Words {
        /// The words.
        pub words: [u64; 21],
    }
}

/// The same function is in `commands.c`.
fn value_of(version: u64, cell: u64) -> Words {
    let mut words = [0; 21];
    for (at, word) in (1u64..).zip(&mut words) {
        let place = at.wrapping_mul(0xd134_2543_de82_ef95);
        let of_version = version.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *word = of_version.wrapping_add(place).wrapping_add(cell);
    }
    Words { words }
}

#[track_caller]
fn check_value(value: &Words, version: u64, cell: u64) {
    assert_eq!(value.words, value_of(version, cell).words, "{version}");
}

/// The same function is in `commands.c`.
fn byte_of(at: u64) -> u8 {
    (at.wrapping_mul(31))
        .wrapping_add((at >> 8).wrapping_mul(17))
        .wrapping_add(at >> 16) as u8
}

/// The same verbs with the same arguments as those of `commands.c`, and those of rings.
fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // One that waits would outlive a test that is ended.
    let killed = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(killed)).unwrap();
    let path = Path::new(arguments[0]);
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    match role {
        "set" => set(path, number(1) as u32, number(2)),
        "get" => get(path, number(1) as u32, number(2)),
        "book" => book(path, number(1), Path::new(arguments[2])),
        "hold" => hold(path, number(1) as u32, number(2), Path::new(arguments[3])),
        "listen" => listen(path, arguments[1]),
        "signal" => signal(path, arguments[1], number(2) as u32, number(3)),
        "link" => link(path, number(1), number(2)),
        "send" => send(path, &arguments[1..]),
        "receive" => receive(path, &arguments[1..]),
        "hold-message" => hold_message(path),
        "pipe" => pipe(path, arguments[1] == "write", number(2)),
        _ => crate::second::peer(role),
    }
}

fn set(path: &Path, cell: u32, until: u64) {
    let latest = Latest::<Words>::open(path).unwrap();
    let mut writer = loop {
        // The last one may be dying.
        match latest.writer() {
            Err(slipring::endpoint::AttachError::AlreadyOwned { .. }) => std::thread::yield_now(),
            writer => break writer.unwrap(),
        }
    };
    say("ready");
    let mut version = latest.reader().unwrap().version_at(cell).unwrap();
    while version < until {
        version += 1;
        let value = value_of(version, cell.into());
        assert_eq!(writer.set_at(cell, &value).unwrap(), version);
    }
    drop(writer);
    say("done");
}

fn get(path: &Path, cell: u32, until: u64) {
    let latest = Latest::<Words>::open(path).unwrap();
    let mut reader = latest.reader().unwrap();
    say("ready");
    let (mut version, mut values) = (0, 0);
    while version < until {
        reader.wait_at(cell, version).unwrap();
        // The writer may be faster than any copy.
        if let Some((value, now)) = reader.get_at(cell).unwrap() {
            assert!(now > version);
            check_value(&value, now, cell.into());
            version = now;
            values += 1;
        }
    }
    say(&format!("values {values}"));
}

fn book(path: &Path, times: u64, file: &Path) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let mut shared = Shared::<Words>::open(path).unwrap();
    say("ready");
    let mut abandoned = 0;
    for _ in 0..times {
        let mut guard = shared.lock().unwrap();
        let version = guard.version();
        if version > 0 {
            check_value(&guard, version, 0);
        }
        let mut number = [0; 8];
        file.read_exact_at(&mut number, 0).unwrap();
        let number = u64::from_le_bytes(number);
        let died = guard.abandoned();
        assert!(
            number == version || died && number == version + 1,
            "{number} is in the file at version {version}"
        );
        abandoned += u64::from(died);
        file.write_all_at(&(version + 1).to_le_bytes(), 0).unwrap();
        *guard = value_of(version + 1, 0);
        assert_eq!(guard.commit().unwrap(), version + 1);
    }
    say(&format!("abandoned {abandoned}"));
}

fn hold(path: &Path, many: u32, times: u64, directory: &Path) {
    let books = Books::open(directory.parent().unwrap(), 512, 0);
    let held = books.word(0);
    let semaphore = Semaphore::open(path).unwrap();
    say("ready");
    let many64 = u64::from(many);
    for left in (0..times).rev() {
        let permit = semaphore.acquire_many(many).unwrap();
        let now = held.fetch_add(many64, SeqCst) + many64;
        assert!(now <= semaphore.max().into(), "{now} are held");
        if left % 4 == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        held.fetch_sub(many64, SeqCst);
        drop(permit);
    }
    say("done");
}

fn listen(path: &Path, name: &str) {
    let signals = Signals::open(path).unwrap();
    let mut listener = signals.listener(name).unwrap();
    say("ready");
    let mut counts = [0; 64];
    while counts[63] == 0 {
        let noticed = listener.wait(SignalSet::ALL).unwrap();
        counts[noticed.signal as usize] += noticed.count;
    }
    while let Some(noticed) = listener.try_wait(SignalSet::ALL).unwrap() {
        counts[noticed.signal as usize] += noticed.count;
    }
    let counts: Vec<String> = counts[..63].iter().map(u64::to_string).collect();
    say(&counts.join(" "));
}

fn signal(path: &Path, name: &str, signal: u32, times: u64) {
    let signals = Signals::open(path).unwrap();
    let mut target = (name != "all").then(|| signals.target(name).unwrap());
    say("ready");
    for _ in 0..times {
        match &mut target {
            Some(target) => target.send(signal).unwrap(),
            None => signals.broadcast(signal).unwrap(),
        }
    }
    say("done");
}

fn link(path: &Path, side: u64, count: u64) {
    let names = path.file_name().unwrap().to_str().unwrap();
    let (low, high) = names.split_once("..").unwrap();
    let (me, peer) = if side == 0 { (low, high) } else { (high, low) };
    let link = Link::builder(me, peer).directory(path.parent().unwrap());
    let mut link = link.connect_until(PATIENCE).unwrap();
    say("ready");
    let most = link.max_message_bytes();
    let mut received = 0;
    let (mut sender, mut receiver) = link.split();
    let mut receive = |received: &mut u64| match receiver.receive() {
        Ok(message) => {
            assert_eq!(*message, contents(*received, size_of(*received, most)));
            *received += 1;
            true
        }
        Err(LinkError::PeerGone) => false,
        Err(error) => panic!("{error}"),
    };
    while received < count {
        let message = contents(received, size_of(received, most));
        sender.send(&message).unwrap();
        assert!(receive(&mut received), "the other side left");
    }
    if side == 0 {
        while receive(&mut received) {}
    }
    drop(link);
    say(&format!("received {received}"));
}

fn pipe(path: &Path, writes: bool, bytes: u64) {
    let fifo = Fifo::open(path).unwrap();
    let mut random = Random(u64::from(std::process::id()));
    let mut at = 0;
    if writes {
        let mut writer = fifo.writer_until(PATIENCE).unwrap();
        say("ready");
        while at < bytes {
            let piece = (1 + random.below(5000)).min(bytes - at);
            let piece: Vec<u8> = (at..at + piece).map(byte_of).collect();
            writer.write_all(&piece).unwrap();
            at += piece.len() as u64;
        }
    } else {
        let mut reader = fifo.reader_until(PATIENCE).unwrap();
        say("ready");
        let mut buffer = vec![0; 1 + random.below(5000) as usize];
        loop {
            let got = reader.read(&mut buffer).unwrap();
            if got == 0 {
                break;
            }
            for byte in &buffer[..got] {
                assert_eq!(*byte, byte_of(at), "byte {at}");
                at += 1;
            }
        }
    }
    say(&format!("bytes {at}"));
}

fn words(file: &str) -> Books {
    Books::open(Path::new(file).parent().unwrap(), QUEUE_WORDS, 0)
}

/// The payload of a message of a queue: its number, and bytes that depend on it.
fn job(number: u64, most: u32) -> Vec<u8> {
    let rest = contents(number, size_of(number, most - 8));
    [&number.to_le_bytes()[..], &rest].concat()
}

fn send(path: &Path, arguments: &[&str]) {
    let [priority, from, until, file, word] = arguments else {
        panic!("{arguments:?}");
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    let (from, until) = (number(from), number(until));
    let words = words(file);
    let at = words.word(number(word) as usize);
    let queue = Queue::open(path).unwrap();
    let mut sender = queue.sender().unwrap();
    say("ready");
    for number in from + at.load(SeqCst)..until {
        let message = job(number, queue.max_message_bytes());
        let priority = priority.parse().unwrap();
        sender.send_with_priority(&message, priority).unwrap();
        at.store(number + 1 - from, SeqCst);
    }
    drop(sender);
    say("done");
}

fn receive(path: &Path, arguments: &[&str]) {
    let words = words(arguments[0]);
    let numbers = [1, 2, 3].map(|at| arguments[at].parse::<u64>().unwrap());
    let [counts, done, most_ns] = numbers;
    let mut random = Random(u64::from(std::process::id()));
    let queue = Queue::open(path).unwrap();
    let mut receiver = queue.receiver().unwrap();
    say("ready");
    loop {
        let ends = words.word(0).load(SeqCst) != 0;
        match receiver.receive_until(Duration::from_millis(5)) {
            Ok(message) => {
                let number = u64::from_le_bytes(message[..8].try_into().unwrap());
                assert_eq!(*message, job(number, queue.max_message_bytes()));
                if most_ns > 0 && random.below(32) == 0 {
                    std::thread::sleep(Duration::from_nanos(random.below(most_ns)));
                }
                words.word((counts + number) as usize).fetch_add(1, SeqCst);
                match message.ack() {
                    Ok(()) if done > 0 => {
                        words.word((done + number) as usize).fetch_add(1, SeqCst);
                    }
                    Ok(()) => {}
                    Err(AckError::Expired { .. }) if most_ns > 0 => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Err(TakeError::TimedOut) if ends => break,
            Err(TakeError::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    drop(receiver);
    say("done");
}

fn hold_message(path: &Path) {
    let queue = Queue::open(path).unwrap();
    let mut receiver = queue.receiver().unwrap();
    say("ready");
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    while let Some(line) = lines.next() {
        assert_eq!(line, "take");
        let message = receiver.receive().unwrap();
        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
        say(&format!("{number} taken {}", message.tries()));
        if lines.next().is_none() {
            break;
        }
        match message.ack() {
            Ok(()) => say("done"),
            Err(AckError::Expired { .. }) => say("expired"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the program says, of which it must not fail.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = Command::new(second()).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn every_vector_is_read_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let json = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let lines = json.lines().filter(|line| !line.starts_with("  \"about\""));
        let expected: String = lines.map(|line| format!("{line}\n")).collect();
        assert_eq!(said(&["vector", text(&path)]), expected, "{path:?}");
        read += 1;
    }
    assert!(read > 60, "{read}");
}

/// The text of a schema with hints, most of them such as the field can have.
fn any_schema(random: &mut Random) -> String {
    let kinds = [
        "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64",
    ];
    let hints = [
        "text",
        "time",
        "monotonic",
        "exponent=-4;unit=USD",
        "exponent=18",
        "exponent=-18",
        "exponent=0",
        "exponent=19",
        "unit=%",
        "unit=m/s^2",
        "unit=12345678901234567890123456789012",
        "unit=123456789012345678901234567890123",
        "unit=a;unit=b",
        "unit=a;exponent=2",
        "0=buy;1=sell",
        "1=a;1=b",
        "1=a;2=a",
        "-1=none",
        "-0=none",
        "01=x",
        "255=all",
        "256=more",
        "-128=low",
        "-129=lower",
        "18446744073709551615=max",
        "18446744073709551616=past",
        "-9223372036854775808=min",
        "0=a;unit=b",
        "0=",
        "=a",
        "a",
        "",
    ];
    let fields = (0..1 + random.below(5)).map(|at| {
        let kind = random.of(&kinds);
        let count = match random.below(6) {
            0 => format!(
                "[{}]",
                random.of(&["2", "3", "8", "1", "0", "02", "4294967295", ""])
            ),
            _ => String::new(),
        };
        let hint = match random.below(2) {
            0 => format!("({})", random.of(&hints)),
            _ => String::new(),
        };
        let name = random.of(&["a", "price", "_1", "Z9"]);
        let name = if random.below(9) == 0 {
            name.to_owned()
        } else {
            format!("{name}{at}")
        };
        format!("{name}:{kind}{count}{hint}")
    });
    let fields: Vec<String> = fields.collect();
    let mut text = format!(
        "{}{{{}}}",
        random.of(&["Q", "Order", "_", "A1"]),
        fields.join(",")
    );
    if random.below(4) == 0 {
        // One byte more, less, or another one.
        let at = random.below(text.len() as u64) as usize;
        let byte = random.of(&[
            "(", ")", "{", "}", "[", "]", ",", ":", ";", "=", " ", "0", "a", "-",
        ]);
        let until = at + random.below(2) as usize;
        text.replace_range(at..until, random.of(&["", byte]));
    }
    text
}

/// Of the canonical text, the hash without hints and the bytes of a message; anything else is refused.
fn every_schema_has_the_same_hash_or_is_refused_by_both() {
    let mut random = Random::new();
    let mut texts: Vec<String> = (0..20_000).map(|_| any_schema(&mut random)).collect();
    // As long as can be, and longer by one.
    for last in 0..8 {
        let fields: Vec<String> = (0..442).map(|at| format!("f{at:03}:u8")).collect();
        let long = fields.join(",");
        texts.push(format!(
            "Q{{{long},{}:{}}}",
            "z".repeat(30 + last),
            kind_text(Kind::U8)
        ));
    }
    texts.push(format!("Q{{{}:u8}}", "n".repeat(64)));
    texts.push(format!("Q{{{}:u8}}", "n".repeat(65)));
    let scratch = Scratch::new();
    let file = scratch.0.join("schemas");
    std::fs::write(&file, texts.join("\n") + "\n").unwrap();
    let lines = said(&["schemas", text(&file)]);
    assert_eq!(lines.lines().count(), texts.len());
    let (mut accepted, mut hinted) = (0, 0);
    for (schema_text, line) in texts.iter().zip(lines.lines()) {
        let parsed: Option<Schema> = schema_text.parse().ok();
        let canonical = parsed.filter(|schema| schema.to_string() == *schema_text);
        let expected = match canonical {
            Some(schema) => {
                accepted += 1;
                hinted += u32::from(schema_text.contains('('));
                format!("{:016x} {}", schema.hash(), schema.bytes())
            }
            None => "refused".to_owned(),
        };
        assert_eq!(line, expected, "{schema_text}");
    }
    println!(
        "  {accepted} of {} accepted, {hinted} with hints",
        texts.len()
    );
    assert!(hinted > 500 && accepted < texts.len());
}

fn kind_text(kind: Kind) -> String {
    let schema = Schema::builder("Q").field("a", kind).build().unwrap();
    let text = schema.to_string();
    text["Q{a:".len()..text.len() - 1].to_owned()
}

fn a_consumer_of_either_measures_the_stamps_of_the_other() {
    let _watchdog = Watchdog::new("stamps".to_owned());
    for (producer, consumer) in [(C, Rust), (Rust, C), (C, C)] {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let ring = Ring::builder(&path).stamps(true).create().unwrap();
        // It waits for more than there will be.
        let arguments = [text(&path), "oldest", "1000000", "0", "100000000"];
        let reader = (consumer == C).then(|| start(C, "consume", &arguments));
        let options = ConsumerOptions::new();
        let mut own =
            (consumer == Rust).then(|| ring.consumer_with(Start::Oldest, options).unwrap());
        let arguments = [text(&path), "1000", "4", "open", "whole"];
        let publishing = start(producer, "produce", &arguments);
        if let Some(consumer) = &mut own {
            let most = ring.max_message_bytes();
            for sequence in 0..1000 {
                let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
                assert_eq!(*message, contents(sequence, size_of(sequence, most)));
            }
        }
        assert_eq!(publishing.finish(), "done");
        let latencies = loop {
            let status = ring.status().unwrap();
            let [reader] = &status.readers[..] else {
                panic!("{status:?}");
            };
            if reader.next_sequence == Some(1000) {
                break reader.latencies.clone().unwrap();
            }
            std::thread::yield_now();
        };
        let seen = (latencies.count(), latencies.ahead());
        assert_eq!(seen, (1000, 0), "{producer:?} {consumer:?}");
        let longest = latencies.longest();
        assert!(longest > Duration::ZERO && longest < PATIENCE);
        // The bucket of the longest time holds what is at most a sixteenth shorter.
        let last = latencies.percentile(100.0).unwrap();
        assert!(
            last <= longest && last >= longest - longest / 16,
            "{last:?} {longest:?}"
        );
        drop((reader, own));
    }
}

fn newest_values_go_to_and_fro_beside_kills() {
    let (mut kills, mut values) = (0, 0);
    rounds(4, |random| {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let cells = 1 + random.below(4) as u32;
        let latest = Latest::<Words>::builder(&path).cells(cells).max_readers(8);
        let latest = latest.create().unwrap();
        let cell = random.below(cells.into()).to_string();
        let until = 20_000 + random.below(200_000);
        let until_text = until.to_string();
        let arguments = [text(&path), &cell, &until_text];
        let readers = [C, Rust, C, Rust].map(|language| start(language, "get", &arguments));
        let mut version = 0;
        while version < until {
            let mut writer = start(random.of(&[C, Rust]), "set", &arguments);
            std::thread::sleep(Duration::from_micros(random.below(5000)));
            if kills % 40 < 12 && writer.child.try_wait().unwrap().is_none() {
                writer.kill();
            } else {
                assert_eq!(writer.finish(), "done");
            }
            kills += 1;
            let cell = cell.parse().unwrap();
            let now = latest.reader().unwrap().version_at(cell).unwrap();
            assert!(now >= version);
            version = now;
        }
        for reader in readers {
            let line = reader.finish();
            let read = line.strip_prefix("values ").unwrap();
            values += read.parse::<u64>().unwrap();
        }
        // The last writer left in order, and every one counted what the one before had not said.
        assert_eq!(latest.status().unwrap().changes, until);
    });
    println!("  {kills} writers, {values} values read");
}

fn a_change_of_a_dead_writer_is_counted_by_the_next_one() {
    let mut random = Random::new();
    let _watchdog = Watchdog::new(format!("writers from state {}", random.0));
    for next in [C, Rust] {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let latest = Latest::<Words>::builder(&path).create().unwrap();
        let version = || latest.reader().unwrap().version_at(0).unwrap();
        let changes = || latest.status().unwrap().changes;
        // Until one dies between the value and the count.
        while changes() == version() {
            let writer = start(C, "set", &[text(&path), "0", "1000000000"]);
            std::thread::sleep(Duration::from_micros(random.below(1000)));
            writer.kill();
        }
        // There is nothing that it has to set.
        let until = version().to_string();
        let writer = start(next, "set", &[text(&path), "0", &until]);
        assert_eq!(writer.finish(), "done");
        assert_eq!(changes(), version(), "{next:?}");
    }
}

fn a_shared_value_is_changed_by_one_at_a_time_beside_kills() {
    let (mut kills, mut changes) = (0, 0);
    rounds(4, |random| {
        let scratch = Scratch::new();
        let (path, file) = (scratch.ring(), scratch.0.join("file"));
        let shared = Shared::<Words>::builder(&path).max_handles(8);
        let mut shared = shared.create().unwrap();
        std::fs::write(&file, [0; 8]).unwrap();
        let arguments = [text(&path), "300", text(&file)];
        let begin = |random: &mut Random| start(random.of(&[C, Rust]), "book", &arguments);
        let mut peers: Vec<Peer> = [C, Rust, C, Rust]
            .map(|language| start(language, "book", &arguments))
            .into();
        for _ in 0..8 {
            std::thread::sleep(Duration::from_micros(random.below(3000)));
            let at = random.below(peers.len() as u64) as usize;
            peers.swap_remove(at).kill();
            kills += 1;
            peers.push(begin(random));
        }
        let finished = peers.len() as u64;
        for peer in peers {
            peer.finish();
        }
        let (value, version) = shared.get().unwrap();
        check_value(&value, version, 0);
        assert!(version >= 300 * finished);
        changes += version;
    });
    println!("  {kills} killed, {changes} changes");
}

fn no_more_permits_are_held_than_there_are() {
    rounds(4, |random| {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let permits = 1 + random.below(6) as u32;
        let semaphore = Semaphore::builder(&path)
            .permits(permits)
            .max_permits(permits);
        let semaphore = semaphore.max_handles(8).create().unwrap();
        let books = Books::open(&scratch.0, 512, 0);
        let file = scratch.0.join("books");
        assert!(file.exists());
        let peers = [C, Rust, C, Rust, C, Rust].map(|language| {
            let many = (1 + random.below(permits.into())).to_string();
            let arguments = [text(&path), &many, "200", text(&file)];
            start(language, "hold", &arguments)
        });
        for peer in peers {
            assert_eq!(peer.finish(), "done");
        }
        let status = semaphore.status().unwrap();
        assert_eq!((status.free, status.held), (permits, 0));
        assert_eq!(books.word(0).load(SeqCst), 0);
    });
}

fn permits_come_back_from_the_dead_of_either() {
    let mut kills = 0;
    rounds(6, |random| {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let permits = 1 + random.below(6) as u32;
        let semaphore = Semaphore::builder(&path)
            .permits(permits)
            .max_permits(permits);
        let semaphore = semaphore.max_handles(8).create().unwrap();
        let mut died = |random: &mut Random| {
            let peers = [C, Rust, C, Rust].map(|language| {
                // Each counts what it holds itself: what the dead have counted stays.
                let books = Scratch::new();
                let words = Books::open(&books.0, 512, 0);
                let file = books.0.join("books");
                let many = (1 + random.below(permits.into())).to_string();
                let arguments = [text(&path), &many, "100000000", text(&file)];
                (start(language, "hold", &arguments), words, books)
            });
            std::thread::sleep(Duration::from_micros(random.below(5000)));
            for (peer, ..) in peers {
                peer.kill();
                kills += 1;
            }
        };
        died(random);
        // One of C gets all of them, from the dead; then one of this implementation.
        let books = Scratch::new();
        let _words = Books::open(&books.0, 512, 0);
        let file = books.0.join("books");
        let many = permits.to_string();
        let arguments = [text(&path), &many, "1", text(&file)];
        assert_eq!(start(C, "hold", &arguments).finish(), "done");
        died(random);
        let permit = semaphore.acquire_many_until(permits, PATIENCE).unwrap();
        assert_eq!(permit.count(), permits);
    });
    println!("  {kills} killed");
}

fn every_signal_is_counted_once() {
    rounds(4, |random| {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let signals = Signals::builder(&path).max_listeners(4).create().unwrap();
        let names = ["c", "rust", "late"];
        // Rows are taken again by other owners.
        drop(signals.listener("gone").unwrap());
        let listeners = [C, Rust, random.of(&[C, Rust])];
        let listeners: Vec<Peer> = (names.iter().zip(listeners))
            .map(|(name, language)| start(language, "listen", &[text(&path), name]))
            .collect();
        let mut expected = [[0u64; 63]; 3];
        let mut old = ["c", "rust"].map(|name| signals.target(name).unwrap());
        let mut senders = Vec::new();
        for _ in 0..8 {
            let to = random.below(4) as usize;
            let (signal, times) = (random.below(63), random.below(20_000));
            for (at, counts) in expected.iter_mut().enumerate() {
                if to == at || to == 3 {
                    counts[signal as usize] += times;
                }
            }
            let name = names.get(to).unwrap_or(&"all");
            let numbers = [signal, times].map(|number| number.to_string());
            let arguments = [text(&path), name, &numbers[0], &numbers[1]];
            senders.push(start(random.of(&[C, Rust]), "signal", &arguments));
        }
        for sender in senders {
            assert_eq!(sender.finish(), "done");
        }
        signals.broadcast(63).unwrap();
        for (listener, expected) in listeners.into_iter().zip(expected) {
            let line = listener.finish();
            let counts: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            assert_eq!(counts, expected);
        }
        // They have left, in order.
        assert_eq!(signals.status().unwrap().listeners, Vec::<String>::new());
        assert!(signals.target("c").is_err());
        // What is sent to the last owner of a name does not come to the next one.
        let next = ["c", "rust"].map(|name| start(C, "listen", &[text(&path), name]));
        for target in &mut old {
            assert!(matches!(
                target.send(7),
                Err(SignalError::NoListener { .. })
            ));
        }
        signals.broadcast(63).unwrap();
        for listener in next {
            assert_eq!(listener.finish(), ["0"; 63].join(" "));
        }
    });
}

fn a_link_joins_both() {
    rounds(6, |random| {
        let scratch = Scratch::new();
        let path = scratch.0.join("a..b");
        let capacity = 4096 << random.below(4);
        let connect = |me: &str, peer: &str| {
            let link = Link::builder(me, peer).directory(&scratch.0);
            link.capacity_bytes(capacity)
                .connect_until(PATIENCE)
                .unwrap()
        };
        if random.below(2) == 0 {
            create_in_c(&path, "link", [capacity, 1, 0, 0], None);
        } else {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| drop(connect("b", "a")));
                drop(connect("a", "b"));
                other.join().unwrap();
            });
        }
        for _ in 0..3 {
            let sides = random.of(&[[C, Rust], [Rust, C], [C, C]]);
            let count = (1 + random.below(300)).to_string();
            std::thread::scope(|scope| {
                let run = |side: usize| {
                    let arguments = [text(&path), ["0", "1"][side], count.as_str()];
                    start(sides[side], "link", &arguments).finish()
                };
                let other = scope.spawn(move || run(1));
                let expected = format!("received {count}");
                assert_eq!(run(0), expected, "{sides:?}");
                assert_eq!(other.join().unwrap(), expected, "{sides:?}");
            });
        }
    });
}

fn a_pipe_joins_both() {
    rounds(6, |random| {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let capacity = 4096 << random.below(4);
        if random.below(2) == 0 {
            create_in_c(&path, "pipe", [capacity, 1, 1, 0], None);
        } else {
            let fifo = Fifo::builder(&path).capacity_bytes(capacity);
            fifo.create().unwrap();
        }
        for _ in 0..3 {
            let ends = random.of(&[[C, Rust], [Rust, C], [C, C]]);
            // With few bytes the writer has left before the reader has seen that both have agreed.
            let few = random.below(100);
            let bytes = random.of(&[0, few, 300_000]).to_string();
            std::thread::scope(|scope| {
                let run = |end: usize| {
                    let arguments = [text(&path), ["write", "read"][end], bytes.as_str()];
                    start(ends[end], "pipe", &arguments).finish()
                };
                let other = scope.spawn(move || run(1));
                let expected = format!("bytes {bytes}");
                assert_eq!(run(0), expected, "{ends:?}");
                assert_eq!(other.join().unwrap(), expected, "{ends:?}");
            });
        }
    });
}

/// What C is to create: a form, its capacity or 0 for the smallest, its rows, and its parameters.
fn create_in_c(path: &Path, form: &str, numbers: [u64; 4], schema: Option<&Schema>) {
    let numbers = numbers.map(|number| number.to_string());
    let schema = schema.map_or("-".to_owned(), Schema::to_string);
    let [capacity, rows, first, second] = &numbers;
    let arguments = [
        "create-form",
        text(path),
        form,
        capacity,
        rows,
        first,
        second,
        &schema,
    ];
    assert_eq!(said(&arguments), "done\n");
}

/// Senders and receivers of both, some of which are killed. How often each message came, and how often it was acknowledged.
fn through_a_queue(random: &mut Random, kills: u32, lease: Duration) -> (Vec<u64>, Vec<u64>) {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let depth = 2 << random.below(7);
    let most = 8 + random.below(500) as u32;
    if random.below(2) == 0 {
        let queue = Queue::builder(&path).depth(depth).lease(lease);
        let queue = queue.max_message_bytes(most).max_receivers(12);
        queue.create().unwrap();
    } else {
        let first = u64::from(depth) | (lease.as_millis() as u64) << 32;
        create_in_c(&path, "queue", [0, 12, first, most.into()], None);
    }
    let books = Books::open(&scratch.0, QUEUE_WORDS, 0);
    let file = scratch.0.join("books");
    let each = 500 + random.below(2500);
    // Of one alone, too: others give back what the dead have left.
    let languages = random.of(&[[C; 4], [Rust; 4], [C, Rust, C, Rust]]);
    // Some are held for longer than the lease.
    let most_held = (3 * lease.as_nanos()).to_string();
    let receive = |language| {
        let [counts, done] = [COUNTS, DONE].map(|word| word.to_string());
        let arguments = [text(&path), text(&file), &counts, &done, &most_held];
        start(language, "receive", &arguments)
    };
    let send = |random: &mut Random, sender: u64| {
        let numbers = [random.below(8), sender * each, (sender + 1) * each];
        let [priority, from, until] = numbers.map(|number| number.to_string());
        let word = (1 + sender).to_string();
        let arguments = [text(&path), &priority, &from, &until, text(&file), &word];
        start(random.of(&languages), "send", &arguments)
    };
    let mut receivers = languages.map(receive);
    let mut senders: Vec<Peer> = (0..4).map(|sender| send(random, sender)).collect();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(random.below(4000)));
        let at = random.below(4) as usize;
        if random.below(2) == 0 {
            let next = receive(languages[at]);
            std::mem::replace(&mut receivers[at], next).kill();
        } else {
            // The next one goes on with a message that this one may have sent.
            senders[at].child.kill().unwrap();
            senders[at].child.wait().unwrap();
            senders[at] = send(random, at as u64);
        }
    }
    for sender in senders {
        assert_eq!(sender.finish(), "done");
    }
    let queue = Queue::open(&path).unwrap();
    loop {
        // What the dead hold comes back while there are receivers.
        let status = queue.status().unwrap();
        if (status.waiting, status.held) == (0, 0) {
            break;
        }
        std::thread::yield_now();
    }
    books.word(0).store(1, SeqCst);
    for receiver in receivers {
        assert_eq!(receiver.finish(), "done");
    }
    let status = queue.status().unwrap();
    assert_eq!((status.waiting, status.held), (0, 0));
    let count = |base: usize| {
        let words = (0..4 * each as usize).map(|at| books.word(base + at).load(SeqCst));
        words.collect()
    };
    (count(COUNTS), count(DONE))
}

fn every_message_of_a_queue_comes_once() {
    let mut messages = 0;
    rounds(4, |random| {
        let (counts, done) = through_a_queue(random, 0, Duration::ZERO);
        assert_eq!(counts.iter().position(|count| *count != 1), None);
        assert_eq!(counts, done);
        messages += counts.len();
    });
    println!("  {messages} messages");
}

fn every_message_of_a_queue_comes_beside_kills() {
    let (mut messages, mut again) = (0, 0);
    rounds(4, |random| {
        let (counts, _) = through_a_queue(random, 12, Duration::ZERO);
        assert_eq!(counts.iter().position(|count| *count == 0), None);
        // Each kill doubles one message at most: it was sent and not written down, or counted and not acknowledged.
        let twice = counts.iter().sum::<u64>() - counts.len() as u64;
        assert!(twice <= 12, "{twice}");
        messages += counts.len();
        again += twice;
    });
    println!("  {messages} messages, {again} of them twice");
}

/// One step after the other: held past the lease, taken by another, refused, and done by the other; one that dies holding it.
fn a_lease_is_kept_by_both() {
    for (sender, [late, other]) in [
        (C, [C, Rust]),
        (C, [Rust, C]),
        (Rust, [C, Rust]),
        (Rust, [Rust, C]),
        (Rust, [C, C]),
        (C, [Rust, Rust]),
    ] {
        let context = format!("{sender:?} sends, {late:?} is late, {other:?}");
        let _watchdog = Watchdog::new(context.clone());
        let scratch = Scratch::new();
        let path = scratch.ring();
        let queue = Queue::builder(&path).depth(4).max_message_bytes(100);
        let lease = Duration::from_millis(20);
        let queue = queue.max_receivers(3).lease(lease).create().unwrap();
        let _books = Books::open(&scratch.0, QUEUE_WORDS, 0);
        let file = scratch.0.join("books");
        let mut late = start(late, "hold-message", &[text(&path)]);
        let mut other = start(other, "hold-message", &[text(&path)]);
        let send = |number: u64| {
            let numbers = [number, number + 1].map(|number| number.to_string());
            let [from, until] = &numbers;
            let arguments = [text(&path), "3", from, until, text(&file), until];
            assert_eq!(start(sender, "send", &arguments).finish(), "done");
        };
        send(0);
        let told = |peer: &mut Peer, line: &str| peer.tell(line);
        assert_eq!(told(&mut late, "take"), "0 taken 1", "{context}");
        // It comes to the other one after the lease, and not before.
        let taken = std::time::Instant::now();
        assert_eq!(told(&mut other, "take"), "0 taken 2", "{context}");
        assert!(taken.elapsed() >= lease, "{context}");
        assert_eq!(told(&mut late, "finish"), "expired", "{context}");
        assert_eq!(queue.status().unwrap().held, 1, "{context}");
        assert_eq!(told(&mut other, "finish"), "done", "{context}");
        // The one that was late goes on.
        send(1);
        assert_eq!(told(&mut late, "take"), "1 taken 1", "{context}");
        assert_eq!(told(&mut late, "finish"), "done", "{context}");
        // What one that dies held comes to the other.
        send(2);
        assert_eq!(told(&mut other, "take"), "2 taken 1", "{context}");
        other.kill();
        assert_eq!(told(&mut late, "take"), "2 taken 2", "{context}");
        assert_eq!(told(&mut late, "finish"), "done", "{context}");
        late.kill();
        let status = queue.status().unwrap();
        assert_eq!((status.waiting, status.held), (0, 0), "{context}");
    }
}

fn a_queue_with_a_lease_loses_nothing_beside_kills() {
    let (mut messages, mut again, mut refused) = (0, 0, 0);
    rounds(4, |random| {
        let kills = 12;
        let lease = Duration::from_millis(1 + random.below(20));
        let (counts, done) = through_a_queue(random, kills, lease);
        assert_eq!(counts.iter().position(|count| *count == 0), None);
        let [counts, done] = [counts, done].map(|all| (all.iter().sum::<u64>(), all));
        let all = counts.1.len() as u64;
        // Each kill of a sender doubles a message at most, and each of a receiver leaves an acknowledgement unwritten at most.
        let twice = done
            .1
            .iter()
            .map(|done| done.saturating_sub(1))
            .sum::<u64>();
        assert!(twice <= kills.into(), "{twice} acknowledged twice");
        assert!(done.0 + u64::from(kills) >= all, "{} of {all}", done.0);
        messages += all;
        again += counts.0 - all;
        refused += counts.0 - done.0;
    });
    println!("  {messages} messages, {again} more takings, {refused} not acknowledged");
    // Each kill leaves one at most.
    assert!(refused > 48, "no lease ended");
}

/// What differs from object to object: identity, boot, time, maker, checksum.
fn without_names(mut stream: Vec<u8>) -> Vec<u8> {
    stream[112..152].fill(0);
    stream[192..224].fill(0);
    stream[4088..4096].fill(0);
    stream
}

fn what_c_creates_is_what_this_one_creates() {
    let mut random = Random::new();
    let _watchdog = Watchdog::new(format!("creation from state {}", random.0));
    let schema = <Words as slipring::Plain>::schema();
    for form in [
        "queue",
        "link",
        "pipe",
        "latest",
        "shared",
        "semaphore",
        "signals",
    ] {
        for round in 0..12 {
            let (scratch, other) = (Scratch::new(), Scratch::new());
            let name = if form == "link" { "a..b" } else { "object" };
            let (path, own) = (scratch.0.join(name), other.0.join(name));
            let rows = 1 + random.below(40);
            let capacity = 4096 << random.below(8);
            let few = random.below(100);
            let made = |numbers: [u64; 4], schema| create_in_c(&path, form, numbers, schema);
            match form {
                "queue" => {
                    let (depth, bytes) = (2 << random.below(16), random.below(1000) as u32);
                    let lease = Duration::from_millis(random.of(&[0, 1, 20, 2_592_000_000]));
                    let builder = Queue::builder(&own).depth(depth).max_message_bytes(bytes);
                    let builder = builder.max_receivers(rows as u32).lease(lease);
                    drop(builder.create().unwrap());
                    let first = u64::from(depth) | (lease.as_millis() as u64) << 32;
                    made([0, rows, first, bytes.into()], None);
                    let queue = Queue::open(&path).unwrap();
                    assert_eq!(queue.lease().unwrap_or_default(), lease);
                    assert_eq!((queue.depth(), queue.max_message_bytes()), (depth, bytes));
                    if depth < 1000 {
                        let mut receiver = queue.receiver().unwrap();
                        queue.sender().unwrap().send(b"").unwrap();
                        receiver.receive().unwrap().ack().unwrap();
                    }
                }
                "link" => {
                    let connected = |directory: &Path| {
                        let connect = |me: &str, peer: &str| {
                            let link = Link::builder(me, peer).directory(directory);
                            let link = link.capacity_bytes(capacity);
                            link.connect_until(PATIENCE).unwrap()
                        };
                        std::thread::scope(|scope| {
                            let other = scope.spawn(|| connect("b", "a"));
                            let mut first = connect("a", "b");
                            first.send(b"hello").unwrap();
                            assert_eq!(&*other.join().unwrap().receive().unwrap(), b"hello");
                        });
                    };
                    made([capacity, 1, 0, 0], None);
                    let before = std::fs::read(path.join("back/control")).unwrap();
                    assert!(before[16..].iter().all(|byte| *byte == 0));
                    connected(&scratch.0);
                    connected(&other.0);
                }
                "pipe" => {
                    let ways = 1 + random.below(2);
                    let builder = Fifo::builder(&own).capacity_bytes(capacity);
                    drop(builder.both_ways(ways == 2).create().unwrap());
                    made([capacity, 1, ways, 0], None);
                    let fifo = Fifo::open(&path).unwrap();
                    assert_eq!(fifo.both_ways(), ways == 2);
                    assert_eq!(fifo.capacity_bytes(), capacity);
                }
                "latest" => {
                    let cells = 1 + few as u32;
                    let builder = Latest::<Words>::builder(&own).cells(cells);
                    drop(builder.max_readers(rows as u32).create().unwrap());
                    made([0, rows, cells.into(), 0], Some(&schema));
                    let latest = Latest::<Words>::open(&path).unwrap();
                    let mut writer = latest.writer().unwrap();
                    let value = value_of(1, u64::from(cells) - 1);
                    assert_eq!(writer.set_at(cells - 1, &value).unwrap(), 1);
                }
                "shared" => {
                    let builder = Shared::<Words>::builder(&own).max_handles(rows as u32);
                    drop(builder.create().unwrap());
                    made([0, rows, 0, 0], Some(&schema));
                    let mut shared = Shared::<Words>::open(&path).unwrap();
                    assert!(!shared.lock().unwrap().abandoned());
                }
                "semaphore" => {
                    let max = few + random.below(1000);
                    let builder = Semaphore::builder(&own).permits(few as u32);
                    let builder = builder.max_permits(max as u32);
                    drop(builder.max_handles(rows as u32).create().unwrap());
                    made([0, rows, few, max], None);
                    let status = Semaphore::open(&path).unwrap().status().unwrap();
                    assert_eq!((u64::from(status.free), status.held), (few, 0));
                }
                "signals" => {
                    let builder = Signals::builder(&own).max_listeners(rows as u32);
                    drop(builder.create().unwrap());
                    made([0, rows, 0, 0], None);
                    let signals = Signals::open(&path).unwrap();
                    let mut listener = signals.listener("one").unwrap();
                    signals.broadcast(5).unwrap();
                    let noticed = listener.wait(SignalSet::ALL).unwrap();
                    assert_eq!((noticed.signal, noticed.count), (5, 1));
                }
                _ => unreachable!("{form}"),
            }
            testing::sound(&path);
            let mut compared = 0;
            for ring in ["", "back/"] {
                let [a, b] =
                    [&path, &own].map(|at| std::fs::read(at.join(format!("{ring}stream"))));
                let (Ok(a), Ok(b)) = (a, b) else { continue };
                // What was used has more in it than the description, which never changes.
                let pages =
                    |stream: Vec<u8>| (stream.len(), without_names(stream)[..4096].to_vec());
                assert_eq!(pages(a), pages(b), "{form} {round} {ring}");
                let sizes = [&path, &own].map(|at| {
                    let control = at.join(format!("{ring}control"));
                    std::fs::metadata(control).unwrap().len()
                });
                assert_eq!(sizes[0], sizes[1], "{form} {round} {ring}");
                compared += 1;
            }
            let both = path.join("back").exists();
            assert_eq!(
                (both, compared),
                (own.join("back").exists(), 1 + usize::from(both))
            );
        }
    }
}
