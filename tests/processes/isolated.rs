//! Isolated rings: what a broker hands out, to which clients, and what a hostile reader can do with it.
#![allow(unsafe_code, reason = "a hostile reader maps what it was given")]

use rustix::fs::{fcntl_get_seals, ftruncate, SealFlags};
use slipring::{
    broker::{Access, BrokerError, ConnectError},
    endpoint::{AttachError, ReceiveError},
    Broker, Consumer, Observer, Received, Ring, Start,
};
use std::fs::OpenOptions;
use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testing::{check, end_with_parent, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    messages_get_through,
    a_reader_can_neither_write_nor_resize,
    a_reader_gets_its_own_row_and_no_other,
    a_stuck_reader_holds_nobody_for_long,
    a_reader_that_lies_harms_only_itself,
    a_producer_that_lies_harms_no_reader,
    the_next_producer_inherits_the_stream,
    a_cursor_survives_reader_and_producer,
    strangers_are_refused,
    another_user_reads_only_if_let_in,
    sockets_are_taken_over_only_from_the_dead,
    nonsense_is_dropped,
    the_broker_may_die,
]);

fn socket(scratch: &Scratch) -> PathBuf {
    scratch.0.join("socket")
}

fn broker(scratch: &Scratch, readers: u32) -> Peer {
    Peer::start("broker", &[text(&socket(scratch)), &readers.to_string()])
}

fn connect(scratch: &Scratch) -> Ring {
    Ring::connect(socket(scratch), PATIENCE).unwrap()
}

fn connect_producer(scratch: &Scratch) -> Ring {
    Ring::connect_producer(socket(scratch), PATIENCE).unwrap()
}

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let socket = Path::new(&arguments[0]);
    match role {
        "broker" => {
            let mut access = Access::own_user();
            if let Some(uid) = arguments.get(2) {
                access = access.user(uid.parse().unwrap());
            }
            let builder = Ring::anonymous()
                .capacity_bytes(8192)
                .max_readers(arguments[1].parse().unwrap())
                .evict_after(Duration::from_millis(20));
            let mut broker = Broker::bind(socket, builder, access).unwrap();
            end_with_parent();
            say("ready");
            loop {
                broker.serve(PATIENCE).unwrap();
            }
        }
        // Reports how it fares as its user.
        "stranger" => match Ring::connect(socket, PATIENCE) {
            Err(error) => {
                say("ready");
                say(&format!("{}", error.code()));
            }
            Ok(ring) => {
                let mut consumer = ring.consumer(Start::Oldest).unwrap();
                say("ready");
                let sequence = consumer
                    .receive_until(PATIENCE)
                    .unwrap()
                    .unwrap()
                    .sequence();
                let stream = descriptors("slipring-stream").pop().unwrap();
                let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
                let again = OpenOptions::new().write(true).open(path);
                let produce = Ring::connect_producer(socket, PATIENCE);
                let refused = produce.map_err(|error| error.code()).err();
                say(&format!("{sequence} {} {refused:?}", again.is_err()));
            }
        },
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
        "lying_producer" => lie(socket),
        // Reads under a name, when told to.
        "cursor" => {
            let ring = Ring::connect_cursor(socket, "archive", PATIENCE).unwrap();
            let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            say("ready");
            for _ in std::io::stdin().lock().lines() {
                let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
                check(&message, message.sequence());
                say(&message.sequence().to_string());
            }
        }
        // Tells every lie its row allows, as fast as it can.
        "liar" => {
            let ring = Ring::connect(socket, PATIENCE).unwrap();
            let consumer = ring.consumer(Start::Oldest).unwrap();
            let seat = descriptors("slipring-row").pop().unwrap();
            // SAFETY: its own row, for the life of the process; no process relies on its content.
            let map = unsafe { memmap2::MmapMut::map_mut(&seat) }.unwrap();
            let map = std::mem::ManuallyDrop::new(map);
            say("ready");
            let words = map.as_ptr().cast_mut().cast::<u64>();
            let mut state = 88_172_645_463_325_252u64;
            for at in (0..map.len() / 8).cycle() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let lie = match state % 5 {
                    0 => 0,
                    1 => u64::MAX,
                    2 => 1,
                    3 => state % 8192,
                    _ => state,
                };
                // SAFETY: within the mapping.
                unsafe { words.add(at).write_volatile(lie) };
            }
            drop(consumer);
        }
        role => panic!("no role {role}"),
    }
}

/// The stream as its producer has it mapped, in words.
fn own_stream() -> &'static [AtomicU64] {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let writable = maps
        .lines()
        .find(|line| line.contains(" rw-s ") && line.contains("memfd:slipring-stream"));
    let range = writable.unwrap().split(' ').next().unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).unwrap());
    // SAFETY: a writable mapping of this process that stays as long as its producer does.
    unsafe { std::slice::from_raw_parts(from as *const AtomicU64, (to - from) / 8) }
}

/// Produces, and writes what each line says into the stream: `publish N`, `lie WORD VALUE` until the next
/// line, or `storm SEED MILLISECONDS FIRST` of random words from a first one on.
fn lie(socket: &Path) {
    let ring = Ring::connect_producer(socket, PATIENCE).unwrap();
    let mut producer = ring.producer().unwrap();
    let words = own_stream();
    say("ready");
    let mut truth: Option<(usize, u64)> = None;
    for line in std::io::stdin().lock().lines() {
        if let Some((word, value)) = truth.take() {
            words[word].store(value, Relaxed);
        }
        let line = line.unwrap();
        let mut parts = line.split(' ');
        let what = parts.next().unwrap();
        let numbers: Vec<u64> = parts.map(|n| n.parse().unwrap()).collect();
        match (what, &numbers[..]) {
            ("publish", [many]) => {
                for _ in 0..*many {
                    let next = producer.next_sequence();
                    // It may be refused, after a storm.
                    let _ = producer.publish_until(&payload(next, 40), Duration::from_millis(50));
                }
            }
            ("lie", [word, value]) => {
                let word = *word as usize;
                truth = Some((word, words[word].swap(*value, Relaxed)));
            }
            ("storm", [seed, time, first]) => {
                let started = Instant::now();
                let mut state = seed | 1;
                while started.elapsed() < Duration::from_millis(*time) {
                    for _ in 0..1000 {
                        let at = random(&mut state) as usize % (words.len() - *first as usize);
                        let word = &words[at + *first as usize];
                        let old = word.load(Relaxed);
                        let lie = match random(&mut state) % 8 {
                            0 => 0,
                            1 => u64::MAX,
                            2 => old.wrapping_add(8),
                            3 => old ^ 1 << (state % 64),
                            4 => state % 8192,
                            5 => words[state as usize % words.len()].load(Relaxed),
                            6 => old.wrapping_sub(8192),
                            _ => state,
                        };
                        word.store(lie, Relaxed);
                    }
                }
            }
            _ => panic!("no such line: {line}"),
        }
        say("done");
    }
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Ends the test if a call does not come back. The calls it watches have deadlines of milliseconds.
struct Watch {
    calls: std::sync::mpsc::Sender<String>,
}

impl Watch {
    fn new() -> Self {
        let (calls, heard) = std::sync::mpsc::channel::<String>();
        std::thread::spawn(move || {
            let mut last = String::new();
            loop {
                match heard.recv_timeout(PATIENCE) {
                    Ok(call) => last = call,
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                        println!("test HUNG in {last}");
                        std::process::exit(1);
                    }
                }
            }
        });
        Self { calls }
    }

    /// Says what is called next.
    fn next(&self, call: &str, lie: &str) {
        self.calls.send(format!("{call}, {lie}")).unwrap();
    }
}

/// Every waiting and every asking call of a reader, beside a lie. Any result will do, but a message has a
/// length that the ring allows, and each call comes back.
fn suffer(
    ring: &Ring,
    consumer: Option<Consumer>,
    observer: Option<Observer>,
    watch: &Watch,
    lie: &str,
) {
    let most = ring.max_message_bytes() as usize;
    let soon = Duration::from_millis(2);
    let fits = |message: &[u8]| {
        assert!(message.len() <= most);
        std::hint::black_box(
            message
                .iter()
                .fold(0u8, |sum, byte| sum.wrapping_add(*byte)),
        );
    };
    watch.next("status", lie);
    let _ = ring.status();
    if let Some(mut consumer) = consumer {
        for _ in 0..3 {
            watch.next("Consumer::receive_until", lie);
            if let Ok(Some(message)) = consumer.receive_until(soon) {
                fits(&message);
            }
        }
        watch.next("Consumer::receive_batch_until", lie);
        if let Ok(Some(mut batch)) = consumer.receive_batch_until(8, soon) {
            while let Some(message) = batch.next() {
                fits(message.bytes());
            }
        }
        watch.next("Consumer::try_receive", lie);
        if let Ok(message) = consumer.try_receive() {
            fits(&message);
        }
        watch.next("Consumer, asked", lie);
        let _ = (consumer.new_epoch(), consumer.lag_bytes());
        watch.next("Conflated over a consumer", lie);
        let mut newest = consumer.conflated(|bytes: &[u8]| bytes.first().copied());
        let _ = newest.receive_until(soon);
    }
    if let Some(mut observer) = observer {
        for _ in 0..3 {
            watch.next("Observer::receive_until", lie);
            if let Ok(Received::Message(message)) = observer.receive_until(soon) {
                fits(&message);
            }
        }
        watch.next("Observer::try_receive", lie);
        if let Ok(Received::Message(message)) = observer.try_receive() {
            fits(&message);
        }
        watch.next("Observer, asked", lie);
        let _ = (observer.new_epoch(), observer.lag_bytes());
        watch.next("Conflated over an observer", lie);
        let mut newest = observer.conflated(|bytes: &[u8]| bytes.first().copied());
        let _ = newest.receive_until(soon);
    }
}

/// Attaches beside a lie.
fn join(
    ring: &Ring,
    start: Start,
    watch: &Watch,
    lie: &str,
) -> (Option<Consumer>, Option<Observer>) {
    watch.next("consumer", lie);
    let consumer = ring.consumer(start).ok();
    watch.next("observer", lie);
    (consumer, ring.observer(start).ok())
}

fn a_producer_that_lies_harms_no_reader() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4);
    let mut liar = Peer::start("lying_producer", &[text(&socket(&scratch))]);
    liar.tell("publish 300");
    let ring = connect(&scratch);
    let watch = Watch::new();
    let starts = [Start::Oldest, Start::Latest, Start::Sequence(250)];
    // One word of what the producer says, of the index, of the table of evictions and of the data at a
    // time, and no message after it.
    let said = [4096, 4224, 4352, 4360, 4368, 4376].map(|offset| offset / 8);
    let behind = (8192..8192 + 1024)
        .step_by(8)
        .chain((12288..12288 + 8192).step_by(8));
    let mut state = 88_172_645_463_325_252;
    let sampled = behind
        .map(|at: u64| at / 8)
        .filter(|_| random(&mut state).is_multiple_of(16));
    for word in said.into_iter().chain(sampled.collect::<Vec<_>>()) {
        let values = [
            0,
            1,
            8,
            300,
            8192,
            1 << 31,
            1 << 40,
            1 << 63,
            u64::MAX - 7,
            u64::MAX,
        ];
        for (n, value) in values.into_iter().enumerate() {
            // All values of the words that say the most.
            if word >= 1024 && n as u64 != random(&mut state) % 10 {
                continue;
            }
            let lie = format!("lie {word} {value}");
            let start = starts[random(&mut state) as usize % 3];
            liar.tell("publish 5");
            let (consumer, observer) = join(&ring, start, &watch, &lie);
            liar.tell(&lie);
            suffer(&ring, consumer, observer, &watch, &lie);
            let (consumer, observer) = join(&ring, start, &watch, &lie);
            suffer(&ring, consumer, observer, &watch, &lie);
        }
    }
    // Everything at once, while the readers read; at last also the description.
    for (seed, first) in [(3, 512), (5, 512), (7, 1024), (11, 512), (13, 0)] {
        let lie = format!("storm {seed} 300 {first}");
        std::thread::scope(|scope| {
            let storm = scope.spawn(|| liar.tell(&lie));
            while !storm.is_finished() {
                for start in starts {
                    let (consumer, observer) = join(&ring, start, &watch, &lie);
                    suffer(&ring, consumer, observer, &watch, &lie);
                }
            }
        });
        for start in starts {
            let (consumer, observer) = join(&ring, start, &watch, &lie);
            suffer(&ring, consumer, observer, &watch, &lie);
        }
    }
    // The broker reads the stream as well, and so do readers that come now.
    watch.next("Ring::connect", "after the storm");
    let _ = Ring::connect(socket(&scratch), PATIENCE);
    liar.kill();
    watch.next("ProducerGone", "after the storm");
    let (consumer, observer) = join(&ring, Start::Latest, &watch, "after its death");
    suffer(&ring, consumer, observer, &watch, "after its death");
    watch.next("Ring::connect_producer", "after the storm");
    let next = connect_producer(&scratch);
    let mut producer = next.producer().unwrap();
    let ring = ring.reconnect(PATIENCE).unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    producer.publish(b"in order").unwrap();
    let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
    assert_eq!(&*message, b"in order");
}

/// Descriptors of this process on anonymous memory files with this name.
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

fn messages_get_through() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 16);
    let ring = connect_producer(&scratch);
    let mut producer = ring.producer().unwrap();
    let readers = [connect(&scratch), connect(&scratch)].map(|ring| {
        let consumer = ring.consumer(Start::Oldest).unwrap();
        (ring, consumer)
    });
    let watched = connect(&scratch);
    let mut observer = watched.observer(Start::Oldest).unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..20_000 {
            let len = (n * 31 % 300) as usize;
            producer.publish_until(&payload(n, len), PATIENCE).unwrap();
        }
        assert_eq!(producer.violations(), 0);
        producer.close();
    });
    let readers = readers.map(|(ring, consumer)| {
        let socket = socket(&scratch);
        std::thread::spawn(move || read_to_end(&socket, ring, consumer))
    });
    let watcher = std::thread::spawn(move || loop {
        match observer.receive_until(PATIENCE).unwrap() {
            Received::Message(message) => check(&message, message.sequence()),
            Received::Lapped { .. } => {}
            Received::Closed => return observer.received_count() + observer.lost_count(),
            received => panic!("{received:?}"),
        }
    });
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 20_000);
    }
    writer.join().unwrap();
    assert_eq!(watcher.join().unwrap(), 20_000);
}

/// Receives everything from the first message on, or is told how much is missing; how much was published. A reader that
/// runs too rarely is evicted again and again, the producer waits less each time, and in the end it is expelled: it goes on
/// where it was, in another row, as the producer may have left before it saw that this one is free.
fn read_to_end(socket: &Path, mut ring: Ring, mut consumer: Consumer) -> u64 {
    let mut next = 0;
    loop {
        match consumer.receive_until(PATIENCE) {
            Ok(Some(message)) => {
                next += message.missed();
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next += 1;
                continue;
            }
            Ok(None) => return next,
            Err(ReceiveError::Expelled { next: at }) => assert!(at >= next),
            Err(error) => panic!("{error}"),
        }
        drop((consumer, ring));
        ring = Ring::connect(socket, PATIENCE).unwrap();
        consumer = loop {
            match ring.consumer(Start::Sequence(next)) {
                Ok(consumer) => break consumer,
                Err(AttachError::Gone { oldest, .. }) => next = oldest,
                Err(AttachError::Overtaken) => {}
                Err(error) => panic!("{error}"),
            }
        };
    }
}

fn a_reader_can_neither_write_nor_resize() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 2);
    let mut producer = Peer::start("produce", &[text(&socket(&scratch))]);
    producer.tell("5");
    let ring = connect(&scratch);
    let stream = descriptors("slipring-stream").pop().unwrap();
    let seat = descriptors("slipring-row").pop().unwrap();
    let wanted = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    assert!(fcntl_get_seals(&seat).unwrap().contains(wanted));
    let seals = fcntl_get_seals(&stream).unwrap();
    assert!(seals.contains(wanted | SealFlags::FUTURE_WRITE));
    // SAFETY: refused, which is the point.
    let refused = unsafe { memmap2::MmapMut::map_mut(&stream) };
    assert!(refused.is_err());
    for file in [&stream, &seat] {
        assert!(ftruncate(file, 0).is_err());
        assert!(ftruncate(file, 1 << 30).is_err());
    }
    assert!(rustix::io::write(&stream, b"x").is_err());
    // Opening it again for writing is possible for the same user; writing is not.
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    if let Ok(again) = OpenOptions::new().read(true).write(true).open(path) {
        // SAFETY: refused, which is the point.
        assert!(unsafe { memmap2::MmapMut::map_mut(&again) }.is_err());
        assert!(rustix::io::write(&again, b"x").is_err());
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        assert!(rustix::fs::fallocate(&again, punch, 0, 4096).is_err());
    }
    assert!(matches!(
        ring.producer(),
        Err(AttachError::Permission { .. })
    ));
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    assert_eq!(consumer.receive().unwrap().unwrap().sequence(), 0);
}

fn a_reader_gets_its_own_row_and_no_other() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 2);
    let _producer = Peer::start("produce", &[text(&socket(&scratch))]);
    let first = connect(&scratch);
    assert_eq!(descriptors("slipring-row").len(), 1);
    let second = connect(&scratch);
    let rows = [&first, &second].map(|ring| ring.consumer(Start::Latest).unwrap().row());
    assert_ne!(rows[0], rows[1]);
    // Each sees its own row only, and no third is let in.
    let held = first.consumer(Start::Latest).unwrap();
    assert_eq!(first.status().unwrap().readers.len(), 1);
    assert!(second.status().unwrap().readers.is_empty());
    let taken = first.consumer(Start::Latest).unwrap_err();
    assert!(matches!(taken, AttachError::NoRow { .. }));
    let refused = Ring::connect(socket(&scratch), PATIENCE).unwrap_err();
    assert!(matches!(refused, ConnectError::NoRow { .. }));
    drop(held);
    drop(second);
    // The row comes back with the connection.
    let third = connect(&scratch);
    drop(third.consumer(Start::Latest).unwrap());
}

fn a_stuck_reader_holds_nobody_for_long() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4);
    let mut producer = Peer::start("produce", &[text(&socket(&scratch))]);
    let ring = connect(&scratch);
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    // It never reads; everything is published all the same.
    assert_eq!(producer.tell("2000"), "2000");
    let mut next = 0;
    match consumer.try_receive() {
        Ok(message) => {
            next += message.missed();
            assert!(next > 1000 && message.sequence() == next);
            check(&message, next);
            next += 1;
        }
        Err(error) => panic!("{error}"),
    }
    while let Ok(message) = consumer.try_receive() {
        check(&message, next);
        next += 1;
    }
    assert_eq!(next, 2000);
}

fn a_reader_that_lies_harms_only_itself() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4);
    let mut producer = Peer::start("produce", &[text(&socket(&scratch))]);
    let honest = connect(&scratch);
    let mut consumer = honest.consumer(Start::Oldest).unwrap();
    let liar = Peer::start("liar", &[text(&socket(&scratch))]);
    let (mut next, mut missed, mut told) = (0, 0, 0);
    while told < 20_000 {
        told = producer.tell("50").parse().unwrap();
        while next < told {
            match consumer.receive_until(PATIENCE) {
                Ok(message) => {
                    let message = message.unwrap();
                    next += message.missed();
                    missed += message.missed();
                    assert_eq!(message.sequence(), next);
                    check(&message, next);
                    next += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    // It read everything each time before more was published, so it was never in the way.
    assert_eq!(missed, 0);
    drop(liar);
    // The row is as good as new for the next one.
    let ring = connect(&scratch);
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    producer.tell("1");
    assert_eq!(
        consumer
            .receive_until(PATIENCE)
            .unwrap()
            .unwrap()
            .sequence(),
        told
    );
}

fn the_next_producer_inherits_the_stream() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 4);
    // Asked before there is a producer, a reader waits for it.
    let early = socket(&scratch);
    let early = std::thread::spawn(move || Ring::connect(early, PATIENCE).unwrap());
    let mut first = Peer::start("produce", &[text(&socket(&scratch))]);
    let ring = early.join().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let refused = Ring::connect_producer(socket(&scratch), PATIENCE).unwrap_err();
    assert!(matches!(refused, ConnectError::ProducerExists { .. }));
    assert_eq!(first.tell("30"), "30");
    for n in 0..10 {
        assert_eq!(consumer.receive().unwrap().unwrap().sequence(), n);
    }
    first.kill();
    let mut second = Peer::start("produce", &[text(&socket(&scratch))]);
    assert_eq!(second.tell("5"), "35");
    // The old stream can be read to its end, and then the new one from there.
    for n in 10..30 {
        let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
        check(&message, n);
    }
    let gone = consumer.receive_until(PATIENCE).unwrap_err();
    assert_eq!(gone, ReceiveError::ProducerGone { next: 30 });
    drop(consumer);
    let ring = ring.reconnect(PATIENCE).unwrap();
    assert_eq!(ring.status().unwrap().epoch.number, 2);
    let mut consumer = ring.consumer(Start::Sequence(30)).unwrap();
    for n in 30..35 {
        let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
        check(&message, n);
    }
    // What the first producer wrote is in the second one's stream.
    let ring = connect(&scratch);
    let mut late = ring.consumer(Start::Oldest).unwrap();
    for n in 0..35 {
        let message = late.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
        check(&message, n);
    }
}

fn a_cursor_survives_reader_and_producer() {
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 3);
    let start = |role| Peer::start(role, &[text(&socket(&scratch))]);
    let mut producer = start("produce");
    producer.tell("20");
    let mut reader = start("cursor");
    assert_eq!(reader.tell("next"), "0");
    let refused = Ring::connect_cursor(socket(&scratch), "archive", PATIENCE).unwrap_err();
    assert!(matches!(refused, ConnectError::CursorInUse { .. }));
    assert_eq!(reader.tell("next"), "1");
    reader.kill();
    // Death of the reader alone: it goes on where it was, or with the message it was at.
    let mut reader = start("cursor");
    let next: u64 = reader.tell("next").parse().unwrap();
    assert!(next == 1 || next == 2);
    reader.kill();
    // Death of both.
    producer.kill();
    let mut producer = start("produce");
    assert_eq!(producer.tell("5"), "25");
    let mut reader = start("cursor");
    let after: u64 = reader.tell("next").parse().unwrap();
    assert!(after == next || after == next + 1);
    for n in after + 1..25 {
        assert_eq!(reader.tell("next"), n.to_string());
    }
    // The producer dies while the reader lives on its old stream.
    producer.kill();
    let mut producer = start("produce");
    assert_eq!(producer.tell("5"), "30");
    drop(reader);
    let mut reader = start("cursor");
    let after: u64 = reader.tell("next").parse().unwrap();
    assert!(after == 24 || after == 25);
}

fn strangers_are_refused() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    let none = Ring::connect(&path, PATIENCE).unwrap_err();
    assert!(matches!(none, ConnectError::NoBroker { .. }));
    let _broker = broker(&scratch, 2);
    let soon = Ring::connect(&path, Duration::from_millis(20)).unwrap_err();
    assert!(matches!(soon, ConnectError::TimedOut { .. }));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

fn another_user_reads_only_if_let_in() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !testing::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&scratch.0, open).unwrap();
    let stranger = || {
        Peer::start_with("stranger", &[text(&socket(&scratch))], |command| {
            command.uid(65534).gid(65534).current_dir("/");
        })
        .finish()
    };
    let strict = broker(&scratch, 2);
    assert_eq!(stranger(), "811");
    strict.kill();
    let _broker = Peer::start("broker", &[text(&socket(&scratch)), "2", "65534"]);
    let mut producer = Peer::start("produce", &[text(&socket(&scratch))]);
    producer.tell("3");
    assert_eq!(stranger(), "0 true Some(811)");
}

fn sockets_are_taken_over_only_from_the_dead() {
    let scratch = Scratch::new();
    let path = socket(&scratch);
    let bind = || Broker::bind(&path, Ring::anonymous(), Access::own_user());
    let first = broker(&scratch, 2);
    assert!(matches!(bind(), Err(BrokerError::InUse { .. })));
    first.kill();
    let again = bind().unwrap();
    drop(again);
    assert!(!path.exists());
    std::fs::write(&path, "not a socket").unwrap();
    assert!(matches!(bind(), Err(BrokerError::BadPath { .. })));
    let none = Ring::connect(&path, PATIENCE).unwrap_err();
    assert!(matches!(none, ConnectError::NoBroker { .. }));
    let long = scratch.0.join("x".repeat(200));
    let refused = Broker::bind(long, Ring::anonymous(), Access::own_user());
    assert!(matches!(refused, Err(BrokerError::BadPath { .. })));
    let many = Ring::anonymous().max_readers(251);
    let refused = Broker::bind(scratch.0.join("s"), many, Access::own_user());
    assert!(matches!(refused, Err(BrokerError::TooManyReaders { .. })));
}

fn nonsense_is_dropped() {
    use rustix::net::{connect, send, socket_with, AddressFamily, SendFlags, SocketAddrUnix};
    use rustix::net::{SocketFlags, SocketType};
    let scratch = Scratch::new();
    let _broker = broker(&scratch, 2);
    let _producer = Peer::start("produce", &[text(&socket(&scratch))]);
    let address = SocketAddrUnix::new(socket(&scratch)).unwrap();
    let dial = || {
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        connect(&socket, &address).unwrap();
        socket
    };
    // Silent, talking nonsense, gone at once: and more of them than fit.
    let mut idle = Vec::new();
    for n in 0..300u32 {
        let socket = dial();
        match n % 3 {
            0 => idle.push(socket),
            1 => drop(send(socket.as_fd(), &[0xff; 100], SendFlags::NOSIGNAL)),
            _ => {}
        }
    }
    drop(idle);
    let ring = connect_with_patience(&scratch);
    drop(ring.consumer(Start::Latest).unwrap());
}

/// Clients that say nothing are dropped after a second; until then there may be no room.
fn connect_with_patience(scratch: &Scratch) -> Ring {
    let started = std::time::Instant::now();
    loop {
        match Ring::connect(socket(scratch), PATIENCE) {
            Ok(ring) => return ring,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
    }
}

fn the_broker_may_die() {
    let scratch = Scratch::new();
    let broker = broker(&scratch, 2);
    let mut producer = Peer::start("produce", &[text(&socket(&scratch))]);
    let ring = connect(&scratch);
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    broker.kill();
    producer.tell("100");
    for n in 0..100 {
        assert_eq!(
            consumer
                .receive_until(PATIENCE)
                .unwrap()
                .unwrap()
                .sequence(),
            n
        );
    }
    producer.kill();
    let gone = consumer.receive_until(PATIENCE).unwrap_err();
    assert_eq!(gone, ReceiveError::ProducerGone { next: 100 });
}
