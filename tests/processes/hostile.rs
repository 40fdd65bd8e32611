//! Peers that mean harm, and machines that refuse: lies in every word a peer may write, locks and useless
//! wake-ups, full disks, and every system call failing once.
//!
//! `SLIPRING_HOSTILE_SECONDS` sets how long each liar lies.
#![allow(unsafe_code, reason = "hostile peers write where they may")]

use memmap2::MmapMut;
use slipring::{
    endpoint::{ReceiveError, Resume, TryReceiveError},
    place::{Corrupt, CreateError},
    typed::{TypedConsumer, TypedObserver},
    Consumer, ConsumerOptions, Observer, ObserverOptions, Plain, Producer, Received, Ring, Start,
    Strategy, WaitSet,
};
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testing::books::Random;
use testing::tracee::Tracee;
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    lies_in_control_tear_nothing,
    lies_in_the_stream_end_in_errors,
    no_damage_keeps_a_wait_beyond_its_deadline,
    a_producer_that_says_the_ring_was_overwritten_holds_no_reader,
    locks_nobody_needs_stop_no_publish,
    a_storm_of_wakes_changes_nothing,
    a_bell_that_is_always_armed_costs_little,
    a_full_file_system_is_an_error_that_leaves_nothing,
    limits_of_the_process_are_errors_that_leave_nothing,
    any_system_call_may_fail_once,
]);

fn seconds() -> Duration {
    let wanted = std::env::var("SLIPRING_HOSTILE_SECONDS").ok();
    Duration::from_secs_f64(wanted.map_or(1.0, |n| n.parse().expect("a number of seconds")))
}

/// Numbers that programs stumble over.
fn lie(random: &mut Random) -> u64 {
    let n = random.draw();
    match n % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => 1,
        3 => n >> 32 & 0xffff,
        4 => 1 << (n >> 8 & 63),
        5 => (n >> 32 & 0xff) << 32 | (n >> 16 & 0x3ff),
        _ => n,
    }
}

fn open_for_writing(path: &Path) -> MmapMut {
    let file = OpenOptions::new().read(true).write(true).open(path);
    // SAFETY: only written by volatile stores, of a process that relies on nothing it reads.
    unsafe { MmapMut::map_mut(&file.unwrap()) }.unwrap()
}

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ring = PathBuf::from(&arguments[0]);
    match role {
        // Lies in random words of a file, but for those before a given offset.
        "liar" => {
            let map = open_for_writing(&ring.join(&arguments[1]));
            let from: u64 = arguments[2].parse().unwrap();
            let words = map.len() as u64 / 8 - from / 8;
            let base = map.as_ptr().cast_mut().cast::<u64>();
            let mut random = Random::seeded(88_172_645_463_325_252);
            say("ready");
            loop {
                let at = from / 8 + random.draw() % words;
                // SAFETY: within the mapping.
                unsafe { base.add(at as usize).write_volatile(lie(&mut random)) };
            }
        }
        // Takes every lock a reader can take.
        "locker" => {
            let lock = OpenOptions::new()
                .read(true)
                .write(true)
                .open(ring.join("lock"))
                .unwrap();
            // SAFETY: a valid descriptor and a valid `flock`.
            unsafe {
                libc::flock(lock.as_raw_fd(), libc::LOCK_EX);
                let mut all: libc::flock = core::mem::zeroed();
                all.l_type = libc::F_RDLCK as i16;
                all.l_start = 16 + 8;
                libc::fcntl(lock.as_raw_fd(), libc::F_OFD_SETLK, &raw const all);
            }
            say("ready");
            std::thread::park();
        }
        // Wakes all sleepers again and again, without any change.
        "waker" | "armer" => {
            let map = open_for_writing(&ring.join("control"));
            let base = map.as_ptr().cast_mut();
            say("ready");
            loop {
                for bell in [128, 256] {
                    // SAFETY: within page 0 of the mapping.
                    unsafe {
                        if role == "armer" {
                            let words = base.add(bell).cast::<AtomicU32>();
                            (*words.add(1)).store(1, Relaxed);
                            (*words.add(2)).store(1, Relaxed);
                        } else {
                            let word = base.add(bell);
                            libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX);
                        }
                    }
                }
            }
        }
        "full" => on_a_small_disk(&ring),
        "limits" => within_limits(&ring),
        "create" | "open" | "attach" | "remove" => one_call(role, &ring),
        role => panic!("no role {role}"),
    }
}

fn publish(producer: &mut Producer) {
    let next = producer.next_sequence();
    let len = (next * 29 % 300) as usize;
    producer
        .publish_until(&payload(next, len), PATIENCE)
        .unwrap();
}

/// Observes until told to stop; everything adds up.
fn watch(mut observer: Observer, stop: &AtomicBool) -> u64 {
    let mut next = observer.next_sequence();
    while !stop.load(Relaxed) {
        match observer.receive_until(Duration::from_millis(10)) {
            Ok(Received::Message(message)) => {
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next += 1;
            }
            Ok(Received::Lapped { lost, resumed_at }) => {
                next += lost;
                assert_eq!(resumed_at, next);
            }
            Err(ReceiveError::TimedOut) => {}
            result => panic!("{result:?}"),
        }
    }
    observer.received_count()
}

/// Consumes until told to stop. No message is torn or out of order, with any values in the row.
fn consume(mut consumer: Consumer, stop: &AtomicBool) -> u64 {
    let mut next = consumer.next_sequence();
    let mut received = 0;
    while !stop.load(Relaxed) {
        match consumer.receive_until(Duration::from_millis(10)) {
            Ok(Some(message)) => {
                next += message.missed();
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next += 1;
                received += 1;
            }
            Err(ReceiveError::TimedOut) => {}
            Err(ReceiveError::Expelled { .. }) => break,
            result => panic!("{result:?}"),
        }
    }
    received
}

/// Publishes for a while, watched by an observer and a consumer; how many messages a second.
fn traffic(ring: &Ring, producer: &mut Producer) -> f64 {
    let stop = AtomicBool::new(false);
    let observer = ring
        .observer_with(
            Start::Latest,
            ObserverOptions::new().strategy(Strategy::Yield),
        )
        .unwrap();
    let consumer = ring
        .consumer_with(
            Start::Latest,
            ConsumerOptions::new().strategy(Strategy::Yield),
        )
        .unwrap();
    let (first, started) = (producer.next_sequence(), Instant::now());
    std::thread::scope(|scope| {
        let watched = scope.spawn(|| watch(observer, &stop));
        let consumed = scope.spawn(|| consume(consumer, &stop));
        while started.elapsed() < seconds() {
            for _ in 0..100 {
                publish(producer);
            }
        }
        stop.store(true, Relaxed);
        let (watched, consumed) = (watched.join().unwrap(), consumed.join().unwrap());
        assert!(watched + consumed > 0);
    });
    (producer.next_sequence() - first) as f64 / started.elapsed().as_secs_f64()
}

fn evicting(scratch: &Scratch) -> Ring {
    Ring::builder(scratch.ring())
        .capacity_bytes(16 << 10)
        .max_readers(8)
        .evict_after(Duration::from_millis(1))
        .create()
        .unwrap()
}

fn lies_in_control_tear_nothing() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch);
    let mut producer = ring.producer().unwrap();
    let base = traffic(&ring, &mut producer);
    // Everything but the identity, which is read once, at attach.
    let liar = Peer::start("liar", &[text(&scratch.ring()), "control", "128"]);
    let under = traffic(&ring, &mut producer);
    liar.kill();
    println!("  {:.0} % of the rate without a liar", 100.0 * under / base);
    // What it left does not affect later processes.
    drop(producer);
    let mut producer = ring.producer().unwrap();
    traffic(&ring, &mut producer);
}

fn lies_in_the_stream_end_in_errors() {
    for evicts in [false, true] {
        let scratch = Scratch::new();
        let mut builder = Ring::builder(scratch.ring()).capacity_bytes(16 << 10);
        if evicts {
            builder = builder.evict_after(Duration::from_millis(1));
        }
        let ring = builder.create().unwrap();
        let mut producer = ring.producer().unwrap();
        for _ in 0..50 {
            publish(&mut producer);
        }
        producer.detach();
        // Everything behind the description, which is read once, at attach.
        let _liar = Peer::start("liar", &[text(&scratch.ring()), "stream", "4096"]);
        let started = Instant::now();
        let mut calls = 0u64;
        let options = ObserverOptions::new().strategy(Strategy::Spin);
        while started.elapsed() < seconds() {
            for start in [Start::Oldest, Start::Latest, Start::Sequence(calls % 60)] {
                if let Ok(mut observer) = ring.observer_with(start, options) {
                    for _ in 0..100 {
                        if let Ok(Received::Message(message)) = observer.try_receive() {
                            assert!(message.len() <= ring.max_message_bytes() as usize);
                        }
                    }
                }
                if let Ok(mut consumer) = ring.consumer(start) {
                    for _ in 0..100 {
                        match consumer.try_receive() {
                            Ok(message) => {
                                assert!(message.len() <= ring.max_message_bytes() as usize);
                            }
                            Err(TryReceiveError::Expelled { .. }) => break,
                            Err(_) => {}
                        }
                    }
                }
                calls += 1;
            }
            let waits = ring.clone();
            in_time("waiting for a liar", move || {
                Readers::of(&waits).wait(&mut Random::seeded(calls | 1));
            });
            if let Ok(mut producer) = ring.producer() {
                for _ in 0..20 {
                    let _ = producer.try_publish(&[1; 100]);
                    let _ = producer.publish_until(&[1; 100], Duration::from_micros(100));
                }
                producer.detach();
            }
        }
        assert!(calls > 1);
    }
}

/// What `work` returns. Fails if it has not returned after a minute: then it never will.
fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, came) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(work());
    });
    let came = came.recv_timeout(PATIENCE);
    came.unwrap_or_else(|error| panic!("{what}: {error}"))
}

const STRATEGIES: [Strategy; 3] = [
    Strategy::Spin,
    Strategy::Park,
    Strategy::SpinThenPark {
        spin: Duration::from_micros(5),
    },
];

/// A reader of each kind, at each start, waiting in each way.
struct Readers {
    observers: Vec<Observer>,
    consumers: Vec<Consumer>,
    typed: Vec<(TypedObserver<Numbers>, TypedConsumer<Numbers>)>,
    max: usize,
}

impl Readers {
    fn of(ring: &Ring) -> Self {
        let mut readers = Self {
            observers: Vec::new(),
            consumers: Vec::new(),
            typed: Vec::new(),
            max: ring.max_message_bytes() as usize,
        };
        for start in [Start::Oldest, Start::Latest, Start::Sequence(20)] {
            for strategy in STRATEGIES {
                let options = ObserverOptions::new().strategy(strategy);
                for resume in [Resume::Newest, Resume::Oldest] {
                    let observer = ring.observer_with(start, options.resume(resume));
                    readers.observers.extend(observer);
                }
                let options = ConsumerOptions::new().strategy(strategy);
                let consumer = ring.consumer_with(start, options);
                readers.consumers.extend(consumer);
            }
            if let Ok(typed) = ring.typed::<Numbers>() {
                if let (Ok(observer), Ok(consumer)) = (typed.observer(start), typed.consumer(start))
                {
                    readers.typed.push((observer, consumer));
                }
            }
        }
        readers
    }

    /// Calls every form that waits. How each ends does not matter, that it ends does: a message is never
    /// longer than one may be.
    fn wait(mut self, random: &mut Random) {
        let mut patience = || Duration::from_micros(random.draw() % 1000);
        for (observer, consumer) in self.observers.iter_mut().zip(&mut self.consumers) {
            let mut set = WaitSet::with_spin(Duration::ZERO);
            for _ in 0..3 {
                let _ = set.wait(&mut [&mut *observer, &mut *consumer], patience());
            }
        }
        for (observer, consumer) in &mut self.typed {
            let _ = (observer.receive_until(patience()), observer.try_receive());
            let _ = consumer.receive_until(patience()).map(|_| ());
            let _ = consumer.try_receive().map(|_| ());
        }
        for mut observer in self.observers {
            for _ in 0..3 {
                if let Ok(Received::Message(message)) = observer.receive_until(patience()) {
                    assert!(message.len() <= self.max);
                }
                let _ = observer.try_receive();
            }
            let mut screen = observer.conflated(|message| message.first().copied());
            for _ in 0..2 {
                let _ = screen.receive_until(patience());
                let _ = screen.try_receive();
            }
        }
        for mut consumer in self.consumers {
            for _ in 0..3 {
                if let Ok(Some(message)) = consumer.receive_until(patience()) {
                    assert!(message.len() <= self.max);
                }
                if let Ok(Some(mut batch)) = consumer.receive_batch_until(4, patience()) {
                    while let Some(message) = batch.next() {
                        assert!(message.len() <= self.max);
                    }
                }
                let _ = consumer.try_receive().map(|_| ());
            }
            let mut screen = consumer.conflated(|message| message.first().copied());
            let _ = screen.receive_until(patience());
        }
    }
}

slipring::message! {
    /// Numbers.
    pub struct Numbers {
        /// They.
        pub numbers: [u64; 4],
    }
}

/// Each shape of a ring, with messages in it, left by a producer that is alive no more.
fn shapes(scratch: &Scratch, round: u64) -> Ring {
    let mut builder = Ring::builder(scratch.ring())
        .capacity_bytes(4096 << (round % 3))
        .max_readers(64);
    match round % 4 {
        0 => {}
        1 => builder = builder.evict_after(Duration::from_millis(1)),
        2 => builder = builder.stamps(true),
        _ => builder = builder.schema(Numbers::schema()),
    }
    let ring = builder.create().unwrap();
    let mut producer = ring.producer().unwrap();
    for n in 0..round % 100 {
        let len = if round % 4 == 3 { 32 } else { n * 29 % 300 };
        producer.publish(&payload(n, len as usize)).unwrap();
    }
    match round % 5 {
        0 => producer.close(),
        1 => std::mem::forget(producer),
        _ => producer.detach(),
    }
    ring
}

/// One to four random words of the stream or of `control` changed, and every call that waits on it.
fn no_damage_keeps_a_wait_beyond_its_deadline() {
    let mut random = Random::seeded(0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id()));
    let mut damaged = 0;
    let started = Instant::now();
    for round in 0.. {
        if started.elapsed() > 4 * seconds() && round >= 40 {
            break;
        }
        let scratch = Scratch::new();
        let ring = shapes(&scratch, round);
        // Those that are there already, and those that come later.
        let (readers, later) = (Readers::of(&ring), scratch.ring());
        let (file, from) = [("stream", 512), ("control", 16)][usize::from(round % 8 == 7)];
        {
            let map = open_for_writing(&scratch.ring().join(file));
            let base = map.as_ptr().cast_mut().cast::<u64>();
            let words = map.len() as u64 / 8;
            for _ in 0..1 + random.draw() % 4 {
                // As often what the producer says of itself as all the rest.
                let at = match random.draw() % 4 {
                    0 => 512 + 16 * (random.draw() % 3),
                    1 => 512 + random.draw() % 64,
                    _ => from + random.draw() % (words - from),
                };
                // SAFETY: within the mapping.
                unsafe {
                    base.add((at % words) as usize)
                        .write_volatile(lie(&mut random))
                };
            }
        }
        let mut random = Random::seeded(random.draw() | 1);
        damaged += in_time(&format!("round {round}, {file}"), move || {
            readers.wait(&mut random);
            let ring = Ring::open(later);
            if let Ok(ring) = &ring {
                Readers::of(ring).wait(&mut random);
                let _ = ring.status();
            }
            u32::from(ring.is_ok())
        });
    }
    assert!(damaged > 20, "{damaged}");
}

/// The producer says that all of the ring was overwritten: on and on, back and forth, and once for all.
fn a_producer_that_says_the_ring_was_overwritten_holds_no_reader() {
    for (round, moves) in [false, true].into_iter().enumerate() {
        let scratch = Scratch::new();
        let ring = shapes(&scratch, 64 + 5 * round as u64);
        let readers = Readers::of(&ring);
        let mut observer = ring.observer(Start::Oldest).unwrap();
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let map = open_for_writing(&scratch.ring().join("stream"));
        let lie = {
            let stop = stop.clone();
            move || {
                let reserve = map.as_ptr().cast_mut().wrapping_add(4096).cast::<u64>();
                let mut far = 1u64 << 60;
                loop {
                    // SAFETY: within the mapping.
                    unsafe { reserve.write_volatile(far) };
                    if !moves || stop.load(Relaxed) {
                        return;
                    }
                    far = far.wrapping_add(4096) ^ (far & 1 << 20);
                }
            }
        };
        let liar = std::thread::spawn(lie);
        if !moves {
            liar.join().unwrap();
            in_time("one reader", move || {
                let damaged = observer.receive_until(PATIENCE).map(|_| ());
                assert_eq!(damaged, Err(ReceiveError::Corrupt(Corrupt::Index)));
                let damaged = observer.try_receive().map(|_| ());
                assert_eq!(damaged, Err(TryReceiveError::Corrupt(Corrupt::Index)));
            });
        }
        in_time("a ring that is said to be overwritten", move || {
            readers.wait(&mut Random::seeded(7));
            Readers::of(&ring).wait(&mut Random::seeded(8));
        });
        stop.store(true, Relaxed);
    }
}

fn locks_nobody_needs_stop_no_publish() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch);
    let mut producer = ring.producer().unwrap();
    let locker = Peer::start("locker", &[text(&scratch.ring())]);
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    for _ in 0..10_000 {
        publish(&mut producer);
        assert!(consumer.receive_until(PATIENCE).unwrap().is_some());
    }
    assert!(ring.status().unwrap().producer_alive.unwrap());
    locker.kill();
}

fn a_storm_of_wakes_changes_nothing() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch);
    let mut producer = ring.producer().unwrap();
    let _waker = Peer::start("waker", &[text(&scratch.ring())]);
    let stop = AtomicBool::new(false);
    let options = ConsumerOptions::new().strategy(Strategy::Park);
    let consumer = ring.consumer_with(Start::Latest, options).unwrap();
    std::thread::scope(|scope| {
        let consumed = scope.spawn(|| consume(consumer, &stop));
        let started = Instant::now();
        while started.elapsed() < seconds() {
            publish(&mut producer);
        }
        stop.store(true, Relaxed);
        assert!(consumed.join().unwrap() > 0);
    });
}

fn a_bell_that_is_always_armed_costs_little() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch);
    let mut producer = ring.producer().unwrap();
    let rate = |producer: &mut Producer| {
        let (first, started) = (producer.next_sequence(), Instant::now());
        while started.elapsed() < seconds() {
            for _ in 0..100 {
                publish(producer);
            }
        }
        (producer.next_sequence() - first) as f64 / started.elapsed().as_secs_f64()
    };
    let base = rate(&mut producer);
    let _armer = Peer::start("armer", &[text(&scratch.ring())]);
    let under = rate(&mut producer);
    let wakes = producer.wakes();
    println!("  {:.0} % of the rate, {wakes} wakes", 100.0 * under / base);
    // A thousand at once, a third of a million a second, and one in 65 sightings.
    let published = producer.next_sequence();
    let earned = seconds().as_secs_f64() * 3e6;
    assert!(wakes as f64 <= 1000.0 + earned + published as f64 / 60.0);
}

// --- Machines that refuse.

/// What a directory holds, hidden names too.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn a_full_file_system_is_an_error_that_leaves_nothing() {
    let scratch = Scratch::new();
    let said = Peer::start("full", &[text(&scratch.0)]).finish();
    if said.starts_with("SKIPPED") {
        println!("  {said}");
    } else {
        assert_eq!(said, "done");
    }
}

fn on_a_small_disk(directory: &Path) {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let target = CString::new(directory.as_os_str().as_bytes()).unwrap();
    say("ready");
    // SAFETY: valid strings; the mounts are those of a namespace of our own.
    let mounted = unsafe {
        let (root, tmpfs) = (c"/".as_ptr(), c"tmpfs".as_ptr());
        let private = libc::MS_REC | libc::MS_PRIVATE;
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                c"none".as_ptr(),
                root,
                core::ptr::null(),
                private,
                core::ptr::null(),
            ) == 0
            && libc::mount(
                tmpfs,
                target.as_ptr(),
                tmpfs,
                0,
                c"size=64k".as_ptr().cast(),
            ) == 0
    };
    if !mounted {
        say("SKIPPED: may not mount a small file system");
        return;
    }
    let path = directory.join("ring");
    for capacity in [1 << 20, 1 << 17, 1 << 16] {
        let refused = Ring::builder(&path).capacity_bytes(capacity).create();
        let refused = refused.map(|_| ()).unwrap_err();
        assert!(
            matches!(refused, CreateError::NoSpace { bytes, .. } if bytes > capacity),
            "{refused}"
        );
        assert!(names(directory).is_empty());
    }
    // One that fits is complete: no page of it is missing later.
    let ring = Ring::builder(&path).capacity_bytes(4096).create().unwrap();
    let filler = directory.join("filler");
    let _ = std::fs::write(filler, vec![1; 64 << 10]);
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    for _ in 0..1000 {
        let next = producer.next_sequence();
        producer
            .publish_until(&payload(next, 100), PATIENCE)
            .unwrap();
        check(&consumer.receive().unwrap().unwrap(), next);
    }
    say("done");
}

fn limits_of_the_process_are_errors_that_leave_nothing() {
    let scratch = Scratch::new();
    let said = Peer::start("limits", &[text(&scratch.0)]).finish();
    assert_eq!(said, "done");
    assert!(names(&scratch.0).is_empty());
}

fn set_limit(resource: u32, soft: u64) {
    // SAFETY: valid structures; only the soft limit of this process changes.
    unsafe {
        let mut limit: libc::rlimit = core::mem::zeroed();
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        limit.rlim_cur = soft.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
    }
}

fn within_limits(directory: &Path) {
    let path = directory.join("ring");
    say("ready");
    // The signal of this limit is left as it is: it would end this process.
    set_limit(libc::RLIMIT_FSIZE, 8192);
    let refused = Ring::builder(&path).create().map(|_| ()).unwrap_err();
    assert!(
        matches!(refused, CreateError::FileTooLarge { limit: 8192, .. }),
        "{refused}"
    );
    assert!(names(directory).is_empty());
    set_limit(libc::RLIMIT_FSIZE, u64::MAX);
    // The first descriptors are there; each further one may be the one that is refused.
    let open = 3;
    let mut made = false;
    for more in 0..24 {
        set_limit(libc::RLIMIT_NOFILE, open + more);
        let created = Ring::builder(&path).capacity_bytes(4096).create();
        made = created.is_ok();
        set_limit(libc::RLIMIT_NOFILE, 1024);
        if let Ok(ring) = created {
            drop(ring);
            slipring::registry::remove_at(&path, false).unwrap();
        }
        // With too few descriptors to clean up, a hidden half may stay, but never a name.
        assert!(Ring::open(&path).is_err());
        for name in names(directory) {
            assert!(name.starts_with('.'), "{name}");
            std::fs::remove_dir_all(directory.join(name)).unwrap();
        }
    }
    assert!(made);
    say("done");
}

// --- Every system call fails once.

/// What is done while the calls of this process fail.
fn one_call(role: &str, path: &Path) {
    let ring = (role == "attach").then(|| Ring::open(path).unwrap());
    testing::tracee::begin();
    let result: Result<(), String> = match role {
        "create" => Ring::builder(path)
            .capacity_bytes(4096)
            .create()
            .map(drop)
            .map_err(|error| error.to_string()),
        "open" => Ring::open(path)
            .map(drop)
            .map_err(|error| error.to_string()),
        "remove" => slipring::registry::remove_at(path, false).map_err(|error| error.to_string()),
        _ => {
            let ring = ring.as_ref().unwrap();
            let attached = ring.producer().and_then(|producer| {
                let consumer = ring.durable_consumer("name", Start::Oldest)?;
                drop((consumer, producer));
                Ok(())
            });
            attached.map_err(|error| error.to_string())
        }
    };
    testing::tracee::end();
    say(&match result {
        Ok(()) => "ok".into(),
        Err(error) => format!("error: {error}"),
    });
}

#[cfg(not(target_arch = "x86_64"))]
fn any_system_call_may_fail_once() {
    println!("  SKIPPED: knows the registers of x86-64 only");
}

#[cfg(target_arch = "x86_64")]
fn any_system_call_may_fail_once() {
    let (mut cases, mut errors) = (0, 0);
    for role in ["create", "open", "attach", "remove"] {
        for errno in [
            libc::ENOMEM,
            libc::EACCES,
            libc::EINTR,
            libc::ENOSPC,
            libc::EMFILE,
        ] {
            for call in 0.. {
                let scratch = Scratch::new();
                if role != "create" {
                    drop(
                        Ring::builder(scratch.ring())
                            .capacity_bytes(4096)
                            .create()
                            .unwrap(),
                    );
                }
                let mut victim = Tracee::start(role, &[text(&scratch.ring())]);
                let Some(number) = victim.fail_call(call, errno) else {
                    break;
                };
                let said = victim.release();
                let context = format!("{role}: call {call} (number {number}) fails with {errno}");
                assert!(
                    said == "ok" || said.starts_with("error: "),
                    "{context}: {said:?}"
                );
                errors += u64::from(said != "ok");
                cases += 1;
                after_failure(role, &said, &scratch, &context);
            }
        }
    }
    println!("  {cases} cases, {errors} of them errors");
    assert!(errors > 100);
}

#[cfg(target_arch = "x86_64")]
fn after_failure(role: &str, said: &str, scratch: &Scratch, context: &str) {
    let visible: Vec<String> = names(&scratch.0)
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .collect();
    let there = !visible.is_empty();
    match role {
        // An error leaves no half; a ring that is there is whole.
        "create" if said == "ok" => assert!(there, "{context}"),
        "create" if !there => assert!(names(&scratch.0).is_empty(), "{context}: something left"),
        "remove" if said == "ok" => assert!(!there, "{context}"),
        _ => {}
    }
    if there {
        let ring = Ring::open(scratch.ring()).unwrap_or_else(|e| panic!("{context}: {e}"));
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Latest).unwrap();
        producer.publish(b"alive").unwrap();
        assert_eq!(
            &*consumer.receive().unwrap().unwrap(),
            b"alive",
            "{context}"
        );
    }
}
