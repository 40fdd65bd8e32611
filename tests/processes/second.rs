//! This implementation and the one in `tests/second`, which was written in C from the pages of the protocol alone:
//! each as creator, producer, consumer and observer of the other.
//!
//! Contents and sizes are functions of the sequence, so every reader knows what it must get. Consumers get all of it,
//! observers and consumers that may be evicted account for all of it, whichever processes are killed meanwhile.

use slipring::{
    endpoint::{AttachError, PublishError, ReaderStatus, ReceiveError, Resume, Why},
    ConsumerOptions, Message, Observer, ObserverOptions, ProducerOptions, Received, Ring, Start,
    Strategy,
};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testing::{payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    every_pairing_agrees_beside_kills,
    every_pairing_accounts_for_evictions,
    a_cursor_goes_to_and_fro_between_implementations,
    a_sleeper_in_c_is_woken,
    a_sleeper_in_rust_is_woken_from_c,
    a_description_is_refused_by_both_for_the_same_field,
]);

/// How long the messages are: often as little or as much as can be. The same function is in `main.c`.
pub fn size_of(sequence: u64, most: u32) -> usize {
    let most = u64::from(most);
    let mut state = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^= state >> 32;
    let size = match state % 16 {
        0 => 0,
        1 => most,
        2 => most - (state >> 8) % 17 % (most + 1),
        3 => (state >> 8) % (most + 1),
        _ => (state >> 8) % 100 % (most + 1),
    };
    size as usize
}

/// Bytes of which every word depends on the sequence, the length and the place. Of every third message the words look
/// like commit words of messages that may come a lap later. The same function is in `main.c`.
pub fn contents(sequence: u64, len: usize) -> Vec<u8> {
    let mut bytes = payload(sequence, len);
    if sequence.is_multiple_of(3) {
        for (at, chunk) in (0u64..).zip(bytes.chunks_mut(8)) {
            let coming = sequence.wrapping_add(1 + (at * 7 + sequence % 64) % 256);
            let word = (1 + at % 9) | coming << 32;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
    bytes
}

/// How many sequences do not exist from this one on. The same function is in `main.c`.
fn gap_at(sequence: u64) -> u64 {
    let mut state = sequence.wrapping_add(1).wrapping_mul(0xd134_2543_de82_ef95);
    state ^= state >> 32;
    match (state % 61, (state >> 8) % 8) {
        (0, 0) => (1 << 32) + (state >> 16) % 5 - 2,
        (0, 1) => 1 << 31,
        (0, _) => 1 + (state >> 16) % 50,
        _ => 0,
    }
}

/// Which sequences there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Whole,
    WithGaps,
}

impl Stream {
    fn text(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::WithGaps => "gaps",
        }
    }

    fn gap_at(self, sequence: u64) -> u64 {
        match self {
            Self::Whole => 0,
            Self::WithGaps => gap_at(sequence),
        }
    }

    /// The sequence behind so many messages from here on.
    fn behind(self, from: u64, messages: u64) -> u64 {
        let (mut at, mut left) = (from, messages);
        while left > 0 {
            let gap = self.gap_at(at);
            left -= u64::from(gap == 0);
            at = at.wrapping_add(gap.max(1));
        }
        at
    }

    /// How many messages there are from here to there.
    #[track_caller]
    fn between(self, from: u64, to: u64) -> u64 {
        let (mut at, mut messages) = (from, 0);
        while at != to {
            let gap = self.gap_at(at);
            messages += u64::from(gap == 0);
            at = at.wrapping_add(gap.max(1));
            assert!(messages < 1 << 20, "{from} is no place in this stream");
        }
        messages
    }
}

fn message(ring: &Ring, sequence: u64) -> Vec<u8> {
    contents(sequence, size_of(sequence, ring.max_message_bytes()))
}

#[track_caller]
fn check(ring: &Ring, bytes: &[u8], sequence: u64) {
    assert_eq!(bytes, message(ring, sequence), "message {sequence}");
}

fn start_of(text: &str) -> Start {
    match text {
        "oldest" => Start::Oldest,
        "latest" => Start::Latest,
        number => Start::Sequence(number.parse().unwrap()),
    }
}

/// Either sleeps until it is woken, or spins first.
fn strategy_of(limit: &str) -> Strategy {
    match limit {
        "0" => Strategy::default(),
        _ => Strategy::Park,
    }
}

/// The same verbs with the same arguments as those of `main.c`.
pub fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // One that waits would outlive a test that is ended.
    let killed = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(killed)).unwrap();
    let ring = Ring::open(Path::new(arguments[0])).unwrap();
    match (role, &arguments[1..]) {
        ("produce", [until, most, end, stream]) => {
            let stream = match *stream {
                "gaps" => Stream::WithGaps,
                _ => Stream::Whole,
            };
            produce(&ring, until, most, end, stream);
        }
        ("produce-when-told", []) => {
            let mut producer = ring.producer().unwrap();
            say("ready");
            for _ in std::io::stdin().lock().lines() {
                let message = message(&ring, producer.next_sequence());
                producer.publish(&message).unwrap();
                say(&producer.wakes().to_string());
            }
        }
        ("consume", arguments) => consume(&ring, arguments),
        ("observe", [start, resume, limit]) => {
            let resume = match *resume {
                "newest" => Resume::Newest,
                _ => Resume::Oldest,
            };
            let options = ObserverOptions::new()
                .resume(resume)
                .strategy(strategy_of(limit));
            observe(&ring, ring.observer_with(start_of(start), options).unwrap());
        }
        other => panic!("{other:?}"),
    }
}

fn produce(ring: &Ring, until: &str, most: &str, end: &str, stream: Stream) {
    let (until, most): (u64, u64) = (until.parse().unwrap(), most.parse().unwrap());
    let mut random = Random(u64::from(std::process::id()));
    let options = ProducerOptions::default().strategy(Strategy::Park);
    let mut producer = loop {
        // The last one may be dying.
        match ring.producer_with(options) {
            Err(AttachError::AlreadyOwned { .. }) => std::thread::yield_now(),
            producer => break producer.unwrap(),
        }
    };
    say("ready");
    while producer.next_sequence() != until {
        let next = producer.next_sequence();
        let gap = stream.gap_at(next);
        if gap > 0 {
            producer
                .skip_to(next.wrapping_add(gap), Why::Other(7))
                .unwrap();
            continue;
        }
        let left = until.wrapping_sub(producer.next_sequence());
        let size = random.below(most.max(1)).min(left);
        if size < 2 {
            let message = message(ring, producer.next_sequence());
            let mut claim = producer.claim(message.len()).unwrap();
            claim.copy_from_slice(&message);
            claim.commit();
            continue;
        }
        let first = producer.next_sequence();
        let mut batch = producer.batch();
        for sequence in (0..size).map(|more| first.wrapping_add(more)) {
            if stream.gap_at(sequence) > 0 {
                break;
            }
            match batch.push(&message(ring, sequence)) {
                Ok(got) => assert_eq!(got, sequence),
                Err(PublishError::BatchFull) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if random.below(8) == 0 {
            drop(batch);
        } else {
            batch.commit();
        }
    }
    match end {
        "close" => producer.close(),
        _ => producer.detach(),
    }
    say("done");
}

fn consume(ring: &Ring, arguments: &[&str]) {
    let [start, wanted, pause, limit, rest @ ..] = arguments else {
        panic!("{arguments:?}");
    };
    let wanted: u64 = wanted.parse().unwrap();
    let pause = Duration::from_nanos(pause.parse().unwrap());
    let options = ConsumerOptions::new().strategy(strategy_of(limit));
    let attach = |start| loop {
        match ring.consumer_with(start, options) {
            // The producer went on, faster than the search.
            Err(AttachError::Overtaken) => {}
            consumer => break consumer.unwrap(),
        }
    };
    let (mut consumer, progress) = match rest {
        [] => (attach(start_of(start)), None),
        [cursor, file] => {
            let consumer = loop {
                match ring.durable_consumer_with(cursor, start_of(start), options) {
                    Err(AttachError::CursorInUse { .. }) => {
                        std::thread::yield_now();
                    }
                    consumer => break consumer.unwrap(),
                }
            };
            let file = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(file);
            (consumer, Some(file.unwrap()))
        }
        _ => panic!("{arguments:?}"),
    };
    // The first message that it wants. A cursor without an owner holds nothing back, so what it wants may be given up.
    let gone = consumer.losses().evicted;
    let first = consumer.next_sequence().wrapping_sub(gone);
    if let Some(file) = &progress {
        let mut seen = [0; 8];
        if file.read_exact_at(&mut seen, 0).is_ok() {
            let behind = first.wrapping_sub(u64::from_le_bytes(seen));
            assert!(behind <= 1, "goes on at {first}, {behind} behind");
        }
    }
    say("ready");
    let (mut received, mut missed, mut expelled) = (0u64, 0u64, None);
    // What was gone behind a durable cursor is told with the first message.
    let mut counted = [0, consumer.losses().skipped];
    while received < wanted {
        let looked_at = |message: Message<'_>| {
            let sequence = message.sequence();
            check(ring, &message, sequence);
            if let Some(file) = &progress {
                file.write_all_at(&sequence.to_le_bytes(), 0).unwrap();
            }
            (sequence, message.missed(), message.gap())
        };
        match consumer.receive().map(|message| message.map(looked_at)) {
            Ok(Some((sequence, told, gap))) => {
                let due = first.wrapping_add(received).wrapping_add(missed);
                let passed = sequence.wrapping_sub(due);
                let losses = consumer.losses();
                let lost = losses.evicted.wrapping_sub(counted[0]);
                let skipped = losses.skipped.wrapping_sub(counted[1]);
                counted = [losses.evicted, losses.skipped];
                // Of several gaps in a row it is the last, and none where it lies before messages that are lost.
                let last = gap.map_or(0, |gap| gap.skipped());
                assert!(
                    lost.wrapping_add(skipped) == passed
                        && told == lost
                        && gap.is_none_or(|gap| gap.end == sequence)
                        && last <= skipped
                        && (last > 0 || skipped == 0 || lost > 0),
                    "{sequence}, not {due}: {told} of {lost} lost, {skipped} skipped, {gap:?}"
                );
                missed = missed.wrapping_add(passed);
                received += 1;
                if received.is_multiple_of(16) && !pause.is_zero() {
                    std::thread::sleep(pause);
                }
            }
            Ok(None) => break,
            Err(ReceiveError::ProducerGone { .. }) => {}
            Err(ReceiveError::Expelled { next }) => expelled = Some(next),
            Err(error) => panic!("{error}"),
        }
        if let Some(next) = expelled.take() {
            // With what no message has followed.
            missed = next.wrapping_sub(first).wrapping_sub(received);
            consumer = attach(Start::Oldest);
            counted = [0, consumer.losses().skipped];
            // It may begin at a gap that the last one had stepped over.
            missed = missed.wrapping_add(consumer.next_sequence().wrapping_sub(next));
        }
    }
    // With what no message has followed.
    missed = (consumer.next_sequence().wrapping_sub(first)).wrapping_sub(received);
    drop(consumer);
    say(&format!(
        "first {first} received {received} missed {missed}"
    ));
}

fn observe(ring: &Ring, mut observer: Observer) {
    let first = observer.next_sequence();
    say("ready");
    let (mut received, mut missed) = (0u64, 0u64);
    loop {
        match observer.receive() {
            Ok(Received::Message(message)) => {
                let sequence = message.sequence();
                assert_eq!(sequence, first.wrapping_add(received).wrapping_add(missed));
                check(ring, &message, sequence);
                received += 1;
            }
            Ok(Received::Lapped { lost, .. }) => missed += lost,
            Ok(Received::Skipped { skipped, why, .. }) => {
                assert_eq!(why, Why::Other(7));
                missed += skipped;
            }
            Ok(Received::Closed) => break,
            Ok(received) => panic!("{received:?}"),
            Err(ReceiveError::ProducerGone { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    say(&format!(
        "first {first} received {received} missed {missed}"
    ));
}

pub struct Random(pub u64);

impl Random {
    pub fn new() -> Self {
        let seed = std::env::var("SLIPRING_SECOND_SEED").map(|seed| seed.parse().unwrap());
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = seed.unwrap_or_else(|_| since.unwrap().as_nanos() as u64 | 1);
        println!("  SLIPRING_SECOND_SEED={seed}");
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    C,
    Rust,
}

use Language::{Rust, C};

/// The program of `tests/second`. It is compiled where its sources are new.
pub fn second() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second");
    let listed = std::fs::read_dir(&sources).unwrap();
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    // FNV-1a
    let hash = files
        .iter()
        .flat_map(|file| std::fs::read(file).unwrap())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("second-{hash:016x}"));
    if program.exists() {
        return program;
    }
    let made = program.with_extension(std::process::id().to_string());
    let sources = files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "c"));
    let status = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .arg(&made)
        .args(sources)
        .status()
        .expect("a C compiler, cc");
    assert!(status.success());
    std::fs::rename(made, &program).unwrap();
    program
}

pub fn start(language: Language, verb: &str, arguments: &[&str]) -> Peer {
    if language == Rust {
        return Peer::start(verb, arguments);
    }
    let mut child = Command::new(second())
        .arg(verb)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut peer = Peer { child, output };
    assert_eq!(peer.line(), "ready");
    peer
}

/// Ends the test where it hangs: processes that wait for each other would do so for ever.
pub struct Watchdog(std::sync::mpsc::Sender<()>);

impl Watchdog {
    pub fn new(what: String) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let ended = receiver.recv_timeout(PATIENCE);
            if ended == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("hangs: {what}");
                std::process::exit(1);
            }
        });
        Self(sender)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// What a ring is made with.
#[derive(Clone, Copy, Debug)]
struct Made {
    by: Language,
    capacity: u64,
    align: u64,
    first: u64,
    evict_after: Duration,
    stamps: bool,
}

impl Made {
    fn any(random: &mut Random) -> Self {
        let near = random.of(&[0, (1 << 32) - 300, u64::MAX - 300, 1 << 40]);
        Self {
            by: random.of(&[C, Rust]),
            capacity: 4096 << random.below(6),
            align: random.of(&[8, 64]),
            first: near + random.below(300),
            evict_after: Duration::ZERO,
            stamps: random.of(&[false, true]),
        }
    }

    fn make(&self, path: &Path) -> Ring {
        const ROWS: u32 = 9;
        if self.by == Rust {
            let builder = Ring::builder(path)
                .capacity_bytes(self.capacity)
                .frame_align(self.align)
                .max_readers(ROWS)
                .first_sequence(self.first)
                .stamps(self.stamps);
            let builder = match self.evict_after {
                Duration::ZERO => builder,
                time => builder.evict_after(time),
            };
            return builder.create().unwrap();
        }
        let evict_after = self.evict_after.as_nanos();
        let numbers = [self.capacity, self.align, ROWS.into(), self.first];
        let status = Command::new(second())
            .args(["create", text(path)])
            .args(numbers.map(|number| number.to_string()))
            .arg(evict_after.to_string())
            .arg(if self.stamps { "stamps" } else { "plain" })
            .status();
        assert!(status.unwrap().success());
        let ring = Ring::open(path).unwrap();
        assert_eq!(ring.capacity_bytes(), self.capacity);
        assert_eq!(ring.frame_align(), self.align);
        assert_eq!(ring.stamps(), self.stamps);
        assert_eq!(ring.status().unwrap().next_sequence, Some(self.first));
        ring
    }
}

/// What a reader said at its end: where it began, how many it received, how many it missed.
fn account(reader: Peer) -> [u64; 3] {
    let line = reader.finish();
    let words: Vec<&str> = line.split(' ').collect();
    let ["first", first, "received", received, "missed", missed] = words[..] else {
        panic!("{line}");
    };
    [first, received, missed].map(|number| number.parse().unwrap())
}

/// Publishes up to a message, with producers that are killed, replaced, or leave the ring open; the last one closes it.
fn publish_through_deaths(
    random: &mut Random,
    ring: &Path,
    until: u64,
    stream: Stream,
    mut between: impl FnMut(&mut Random),
) -> u32 {
    let until_text = until.to_string();
    let mut kills = 0;
    let opened = Ring::open(ring).unwrap();
    loop {
        let most = random.of(&["1", "4", "40"]);
        let language = random.of(&[C, Rust]);
        let next = opened.status().unwrap().next_sequence;
        let arguments = [text(ring), &until_text, most, "close", stream.text()];
        let mut producer = start(language, "produce", &arguments);
        let began = opened.status().unwrap().epoch.first_sequence;
        assert_eq!(
            next,
            Some(began),
            "{language:?} goes on where the last one ended"
        );
        between(random);
        // Most live long enough for some laps, few to the end.
        std::thread::sleep(Duration::from_micros(random.below(4000)));
        if kills < 12 && producer.child.try_wait().unwrap().is_none() {
            producer.kill();
            kills += 1;
            if !opened.status().unwrap().closed {
                continue;
            }
        } else {
            assert_eq!(producer.finish(), "done");
        }
        return kills;
    }
}

/// Runs a round a number of times, or for `SLIPRING_SECOND_SECONDS`.
pub fn rounds(count: u32, mut round: impl FnMut(&mut Random)) {
    let mut random = Random::new();
    let seconds = std::env::var("SLIPRING_SECOND_SECONDS").map(|n| n.parse().unwrap());
    let seconds = Duration::from_secs(seconds.unwrap_or(0));
    let started = Instant::now();
    let mut done = 0;
    while done < count || started.elapsed() < seconds {
        let _watchdog = Watchdog::new(format!("round {done} from state {}", random.0));
        round(&mut random);
        done += 1;
    }
    println!("  {done} rounds");
}

fn every_pairing_agrees_beside_kills() {
    let (mut kills, mut messages) = (0, 0);
    rounds(6, |random| {
        let made = Made {
            // Where readers copy and look whether they were evicted, and never are.
            evict_after: random.of(&[Duration::ZERO, 2 * PATIENCE]),
            ..Made::any(random)
        };
        let scratch = Scratch::new();
        let (path, count) = (scratch.ring(), 1000 + random.below(5000));
        made.make(&path);
        let stream = random.of(&[Stream::Whole, Stream::WithGaps]);
        let until = stream.behind(made.first, count);
        let mut consumers = Vec::new();
        let mut observers = Vec::new();
        for language in [C, Rust] {
            let limit = random.of(&["0", "100000000"]);
            let wanted = u64::MAX.to_string();
            let arguments = [text(&path), "oldest", &wanted, "0", limit];
            consumers.push(start(language, "consume", &arguments));
            for (resume, limit) in [("newest", "0"), ("oldest", "100000000")] {
                observers.push(start(
                    language,
                    "observe",
                    &[text(&path), "oldest", resume, limit],
                ));
            }
        }
        // One that comes later, and one that is killed.
        kills += publish_through_deaths(random, &path, until, stream, |random| {
            let wanted = u64::MAX.to_string();
            let from = random.of(&["oldest", "latest"]);
            let arguments = [
                text(&path),
                from,
                &wanted,
                "300000",
                random.of(&["0", "100000000"]),
            ];
            let late = start(random.of(&[C, Rust]), "consume", &arguments);
            match random.below(3) {
                0 if consumers.len() < 4 => consumers.push(late),
                _ => late.kill(),
            }
        });
        for (at, consumer) in consumers.into_iter().enumerate() {
            let [first, received, missed] = account(consumer);
            let there = stream.between(first, until);
            let gone = until.wrapping_sub(first).wrapping_sub(there);
            assert_eq!((received, missed), (there, gone), "{made:?} {stream:?}");
            assert!(at >= 2 || first == made.first, "{made:?}");
        }
        for observer in observers {
            let [first, received, missed] = account(observer);
            let all = until.wrapping_sub(made.first);
            assert_eq!((first, received + missed), (made.first, all), "{made:?}");
            assert!(received <= count, "{made:?}");
        }
        messages += count;
    });
    println!("  {kills} producers killed, {messages} messages");
}

fn every_pairing_accounts_for_evictions() {
    let (mut received_all, mut missed_all) = (0, 0);
    rounds(4, |random| {
        let made = Made {
            evict_after: Duration::from_millis(2),
            ..Made::any(random)
        };
        let scratch = Scratch::new();
        let (path, count) = (scratch.ring(), 3000 + random.below(3000));
        made.make(&path);
        let stream = random.of(&[Stream::Whole, Stream::WithGaps]);
        let until = stream.behind(made.first, count);
        let mut readers = Vec::new();
        for language in [C, Rust] {
            for pause in ["0", "20000000"] {
                let wanted = u64::MAX.to_string();
                let limit = random.of(&["0", "100000000"]);
                let arguments = [text(&path), "oldest", &wanted, pause, limit];
                readers.push(start(language, "consume", &arguments));
            }
            readers.push(start(
                language,
                "observe",
                &[text(&path), "oldest", "oldest", "0"],
            ));
        }
        publish_through_deaths(random, &path, until, stream, |_| ());
        for reader in readers {
            let [first, received, missed] = account(reader);
            let all = until.wrapping_sub(made.first);
            assert_eq!((first, received + missed), (made.first, all), "{made:?}");
            received_all += received;
            missed_all += count - received;
        }
    });
    println!("  {received_all} received, {missed_all} missed");
    assert!(missed_all > 0, "no reader was late");
}

fn a_cursor_goes_to_and_fro_between_implementations() {
    let (mut owners, mut missed_all) = (0, 0);
    rounds(4, |random| {
        let made = Made::any(random);
        let scratch = Scratch::new();
        let (path, count) = (scratch.ring(), 40 + random.below(60));
        let progress = scratch.0.join("progress");
        std::fs::File::create(&progress).unwrap();
        let ring = made.make(&path);
        let until = made.first.wrapping_add(count);
        let until_text = until.to_string();
        // A row without an owner does not hold the producer back; this one does, where the cursor stands.
        let mut holder = ring.consumer(Start::Oldest).unwrap();
        let mut producer = None;
        let mut reached = made.first;
        while reached != until {
            owners += 1;
            let dies = random.below(2) == 0;
            // There is always room for two.
            let wanted = if dies { "100" } else { "2" };
            let limit = random.of(&["0", "100000000"]);
            let cursor = ["archive", text(&progress)];
            let arguments = [
                text(&path),
                "oldest",
                wanted,
                "0",
                limit,
                cursor[0],
                cursor[1],
            ];
            let owner = start(random.of(&[C, Rust]), "consume", &arguments);
            producer.get_or_insert_with(|| {
                let arguments = [text(&path), &until_text, "8", "close", "whole"];
                start(random.of(&[C, Rust]), "produce", &arguments)
            });
            if dies {
                std::thread::sleep(Duration::from_micros(random.below(3000)));
                owner.kill();
            } else {
                // A reader that attaches while the producer looks for room may have to give up what the holder keeps.
                missed_all += account(owner)[2];
            }
            let seen = std::fs::read(&progress).unwrap();
            if let Ok(seen) = <[u8; 8]>::try_from(seen) {
                reached = u64::from_le_bytes(seen).wrapping_add(1);
            }
            // An owner that was killed may have written down a message that it had not given back. The next one begins
            // with that message.
            let status = ring.status().unwrap();
            let cursor = |reader: &&ReaderStatus| reader.cursor.as_deref() == Some("archive");
            let kept = status.readers.iter().find(cursor);
            let kept = kept.and_then(|reader| reader.next_sequence);
            let kept = kept.unwrap_or(made.first);
            while kept.wrapping_sub(holder.next_sequence()) as i64 > 0 {
                let message = holder.receive_until(PATIENCE).unwrap().unwrap();
                check(&ring, &message, message.sequence());
            }
        }
    });
    println!("  {owners} owners, {missed_all} given up");
    assert!(missed_all < owners, "messages were given up by habit");
}

/// A sleeper without a limit: a wake that is lost is a test that never ends.
const UNLIMITED: &str = "3600000000000";

fn a_sleeper_in_c_is_woken() {
    for language in [C, Rust] {
        let _watchdog = Watchdog::new(format!("a sleeper, woken from {language:?}"));
        let scratch = Scratch::new();
        let path = scratch.ring();
        Ring::builder(&path).capacity_bytes(4096).create().unwrap();
        let rounds = 200u64;
        let wanted = rounds.to_string();
        let arguments = [text(&path), "oldest", &wanted, "0", UNLIMITED];
        let consumer = start(C, "consume", &arguments);
        let observer = start(C, "observe", &[text(&path), "oldest", "oldest", UNLIMITED]);
        let mut producer = start(language, "produce-when-told", &[text(&path)]);
        for round in 0..rounds {
            if round % 2 == 0 {
                consumer.asleep();
                observer.asleep();
            }
            if round % 40 == 1 {
                // One that leaves switches the bell off, unless it sees the others.
                let visitor = if round % 80 == 1 { C } else { Rust };
                let arguments = [text(&path), "oldest", "1", "0", "100000000"];
                account(start(visitor, "consume", &arguments));
            }
            producer.tell("");
        }
        assert_eq!(account(consumer), [0, rounds, 0]);
        drop(producer.child.stdin.take());
        assert_eq!(producer.finish(), "");
        assert_eq!(account(observer), [0, rounds, 0]);
    }
}

fn a_sleeper_in_rust_is_woken_from_c() {
    let _watchdog = Watchdog::new("a sleeper in Rust".to_owned());
    let scratch = Scratch::new();
    let path = scratch.ring();
    let ring = Ring::builder(&path).capacity_bytes(4096).create().unwrap();
    let rounds = 100u64;
    let wanted = rounds.to_string();
    let arguments = [text(&path), "oldest", &wanted, "0", "1"];
    let consumer = start(Rust, "consume", &arguments);
    let mut producer = start(C, "produce-when-told", &[text(&path)]);
    let mut woken = 0;
    for _ in 0..rounds {
        consumer.asleep();
        woken = producer.tell("").parse().unwrap();
    }
    assert_eq!(account(consumer), [0, rounds, 0]);
    // It wakes by itself ten times a second, and may do so in between.
    assert!(woken >= rounds / 2, "{woken} of {rounds} sleeps ended by C");
    drop(producer);

    // A producer in Rust that waits for room sleeps until a consumer in C gives it back.
    drop(ring);
    let path = scratch.0.join("full");
    let ring = Ring::builder(&path).capacity_bytes(4096).create().unwrap();
    let arguments = [text(&path), "oldest", "100000", "0", "0"];
    let consumer = start(C, "consume", &arguments);
    let options = ProducerOptions::default().strategy(Strategy::Park);
    let mut producer = ring.producer_with(options).unwrap();
    for sequence in 0..5000 {
        let message = message(&ring, sequence);
        producer.publish_until(&message, PATIENCE).unwrap();
    }
    producer.close();
    assert_eq!(account(consumer), [0, 5000, 0]);
}

/// Descriptions with one field changed: both refuse, for the field that was changed.
fn a_description_is_refused_by_both_for_the_same_field() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    Ring::builder(&path).create().unwrap();
    let stream = path.join("stream");
    let mut page = vec![0; 4096];
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).write(true).open(&stream).unwrap();
    file.read_exact_at(&mut page, 0).unwrap();
    let said = |page: &[u8]| {
        file.write_all_at(page, 0).unwrap();
        let output = Command::new(second())
            .args(["refuse", text(&stream)])
            .output()
            .unwrap();
        let c = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        (Ring::open(&path).map(drop), c)
    };
    let (opened, c) = said(&page);
    assert!(opened.is_ok() && c == "accepted", "{opened:?} {c}");
    for (at, xor, expected) in [
        (0, 1, "magic"),
        (8, 7, "version"),
        (16, 16, "features"),
        (16, 2, "eviction"),
        (16, 4, "form"),
        (16, 8, "board"),
        (40, 1, "capacity"),
        (48, 1, "block"),
        (56, 16, "alignment"),
        (61, 0x80, "rows"),
        (64, 1, "largest message"),
        (80, 8, "index offset"),
        (88, 8, "data offset"),
        (96, 8, "stream size"),
        (104, 8, "control size"),
        (164, 1, "form"),
        (165, 1, "form"),
        (168, 1, "eviction"),
        (152, 1, "schema"),
        (176, 1, "parameter"),
        (191, 0x80, "parameter"),
        (192, b's' ^ 0x1b, "maker"),
        (248, 0x1b, "host"),
        (240, 1, "origin"),
        (311, b'x', "host"),
        (312, 1, "schema file"),
        (320, 1, "schema file"),
        (324, 1, "reserved"),
        (415, 1, "reserved"),
        (512, 1, "schema"),
        (4087, 1, "schema"),
        (4088, 1, "checksum"),
    ] {
        let mut changed = page.clone();
        changed[at] ^= xor;
        if at != 4088 {
            let sum = changed[..4088]
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
                });
            changed[4088..].copy_from_slice(&sum.to_le_bytes());
        }
        let (opened, c) = said(&changed);
        let rust = opened.expect_err(expected).to_string();
        assert_eq!(c, expected, "byte {at}; here: {rust}");
        let expected = match expected {
            "magic" => "first bytes",
            expected => expected,
        };
        assert!(rust.contains(expected), "byte {at}, {expected}: {rust}");
    }
}
