//! Death at every instruction.
//!
//! Each scenario runs in a process of its own, one instruction at a time. After every instruction that
//! changed shared memory the memory is copied: that is what `kill -9` there would leave. Each copy is then
//! put into files that no process holds, and everything a survivor or a successor may do is done to it. At
//! regular points the process is really killed, under the eyes of live neighbours; and at regular points it
//! is only stopped, while its neighbours go on, and then released.
//!
//! `SLIPRING_SWEEP=full` kills at every 16th instruction; otherwise at some eight points of each
//! scenario.
#![allow(unsafe_code, reason = "maps what it looks at")]

use memmap2::Mmap;
use slipring::{
    endpoint::{AttachError, ReceiveError, TryReceiveError, Why},
    Consumer, ConsumerOptions, ObserverOptions, Producer, Received, Ring, Start, Strategy,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use testing::books::Books;
use testing::tracee::{Step, Tracee};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    every_instruction_leaves_a_ring_that_goes_on,
    a_real_kill_leaves_its_neighbours_well,
    a_frozen_peer_changes_nothing,
    a_kill_at_any_system_call_leaves_a_ring_or_none,
]);

// --- Scenarios.

/// What a scenario does, and to what.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    /// Messages published before it begins.
    before: u64,
    /// Whether the swept process is the producer.
    produces: bool,
    /// Whether the ring evicts at once.
    evicts: bool,
    /// How many messages one step of the ledger stands for.
    unit: u64,
}

const fn scenario(name: &'static str, before: u64, produces: bool) -> Scenario {
    Scenario {
        name,
        before,
        produces,
        evicts: false,
        unit: 1,
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("publish", 10, true),
    scenario("publish around the lap", 70, true),
    scenario("publish and wake", 10, true),
    Scenario {
        unit: 8,
        ..scenario("batch", 60, true)
    },
    scenario("claim", 10, true),
    Scenario {
        unit: SKIPPED,
        ..scenario("skip", 10, true)
    },
    // The gap does not fit any more, and follows a pad.
    Scenario {
        unit: SKIPPED,
        ..scenario("skip around the lap", 73, true)
    },
    scenario("take over", 30, true),
    scenario("close", 10, true),
    scenario("detach", 10, true),
    scenario("retire", 10, true),
    Scenario {
        evicts: true,
        ..scenario("evict", 10, true)
    },
    scenario("receive", 10, false),
    Scenario {
        unit: 4,
        ..scenario("receive batch", 10, false)
    },
    scenario("park", 10, false),
    scenario("attach", 90, false),
    scenario("leave", 10, false),
    scenario("attach cursor", 90, false),
    scenario("resume cursor", 10, false),
    scenario("forget cursor", 10, false),
    Scenario {
        evicts: true,
        ..scenario("rejoin", 200, false)
    },
    scenario("observe", 90, false),
];

/// How many sequences a gap skips: as many as half a sequence cannot tell from none.
const SKIPPED: u64 = 1 << 32;

/// Bytes of every message: about sixty fit in a ring.
const LEN: usize = 48;

/// What the victim has done, in memory that survives it.
struct Ledger(Books);

impl Ledger {
    fn open(directory: &Path) -> Self {
        Self(Books::open(directory, 512, 0))
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        self.0.word(at)
    }

    /// Everything before this was published, and the call returned.
    fn acked(&self) -> &AtomicU64 {
        self.word(0)
    }

    /// Everything before this was received and given back.
    fn got(&self) -> &AtomicU64 {
        self.word(1)
    }
}

fn prepare(scratch: &Scratch, scenario: Scenario) -> Ring {
    let mut builder = Ring::builder(scratch.ring())
        .capacity_bytes(4096)
        .max_readers(4);
    if scenario.evicts {
        builder = builder.evict_after(Duration::from_nanos(1));
    }
    let ring = builder.create().unwrap();
    let ledger = Ledger::open(&scratch.0);
    ledger.acked().store(scenario.before, Relaxed);
    let mut producer = ring.producer().unwrap();
    for n in 0..scenario.before {
        producer.publish(&payload(n, LEN)).unwrap();
    }
    producer.detach();
    ring
}

fn publish(producer: &mut Producer, ledger: &Ledger) {
    let next = producer.next_sequence();
    producer
        .publish_until(&payload(next, LEN), PATIENCE)
        .unwrap();
    ledger.acked().store(next + 1, Relaxed);
}

fn receive(consumer: &mut Consumer, ledger: &Ledger) {
    let sequence = match consumer.try_receive() {
        Ok(message) => {
            check(&message, message.sequence());
            Some(message.sequence())
        }
        Err(TryReceiveError::Empty) => None,
        Err(error) => panic!("{error}"),
    };
    match sequence {
        Some(sequence) => ledger.got().store(sequence + 1, Relaxed),
        // A victim that was stopped while its ring went on without it.
        None => assert!(consumer.losses().evicted > 0),
    }
}

/// The victim: sets its scene, then runs its scenario between the markers.
fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let path = directory.join("ring");
    let ledger = Ledger::open(&directory);
    if role == "create" {
        testing::tracee::begin();
        let created = Ring::builder(&path).capacity_bytes(4096).create();
        testing::tracee::end();
        created.unwrap();
        return;
    }
    if role == "remove" {
        testing::tracee::begin();
        let removed = slipring::registry::remove_at(&path, false);
        testing::tracee::end();
        removed.unwrap();
        return;
    }
    let ring = Ring::open(&path).unwrap();
    if role == "sleep" {
        let options = ConsumerOptions::new().strategy(Strategy::Park);
        let mut consumer = ring.consumer_with(Start::Latest, options).unwrap();
        say("ready");
        while let Ok(Some(_)) = consumer.receive_until(PATIENCE) {}
        return;
    }
    match role {
        "publish" | "publish and wake" | "publish around the lap" => {
            let mut producer = ring.producer().unwrap();
            testing::tracee::begin();
            for _ in 0..2 {
                publish(&mut producer, &ledger);
            }
            testing::tracee::end();
        }
        "batch" => {
            let mut producer = ring.producer().unwrap();
            testing::tracee::begin();
            let first = producer.next_sequence();
            let mut batch = producer.batch();
            for n in first..first + 8 {
                batch.push(&payload(n, LEN)).unwrap();
            }
            batch.commit();
            ledger.acked().store(first + 8, Relaxed);
            testing::tracee::end();
        }
        "claim" => {
            let mut producer = ring.producer().unwrap();
            testing::tracee::begin();
            let next = producer.next_sequence();
            let mut claim = producer.claim(LEN + 9).unwrap();
            claim[..LEN].copy_from_slice(&payload(next, LEN));
            claim.commit_first(LEN);
            ledger.acked().store(next + 1, Relaxed);
            drop(producer.claim(100).unwrap());
            testing::tracee::end();
        }
        "skip" | "skip around the lap" => {
            let mut producer = ring.producer().unwrap();
            testing::tracee::begin();
            for _ in 0..2 {
                let next = producer.next_sequence() + SKIPPED;
                let skipped = producer.skip_to_until(next, Why::Lost, PATIENCE);
                assert_eq!(skipped, Ok(SKIPPED));
                ledger.acked().store(next, Relaxed);
            }
            testing::tracee::end();
        }
        "take over" => {
            testing::tracee::begin();
            let mut producer = ring.producer().unwrap();
            publish(&mut producer, &ledger);
            testing::tracee::end();
        }
        "close" => {
            let producer = ring.producer().unwrap();
            testing::tracee::begin();
            producer.close();
            testing::tracee::end();
        }
        "detach" => {
            let producer = ring.producer().unwrap();
            testing::tracee::begin();
            producer.detach();
            testing::tracee::end();
        }
        // Runs into a consumer that is dead, and into one that is stuck.
        "retire" | "evict" => {
            let mut producer = ring.producer().unwrap();
            let mut stuck = Some(ring.consumer(Start::Oldest).unwrap());
            while producer
                .try_publish(&payload(producer.next_sequence(), LEN))
                .is_ok()
            {
                if producer.next_sequence() > 500 {
                    break;
                }
                ledger.acked().store(producer.next_sequence(), Relaxed);
                if role == "evict" && ring.status().unwrap().readers.iter().any(|r| r.evicted) {
                    break;
                }
            }
            if role == "retire" {
                // Its row stays as it is; only its lock goes, as if it had been killed.
                std::mem::forget(stuck.take());
                ledger.word(2).store(1, Relaxed);
            }
            testing::tracee::begin();
            if role == "evict" {
                for _ in 0..70 {
                    publish(&mut producer, &ledger);
                }
            } else {
                let _ = producer.try_publish(&payload(producer.next_sequence(), LEN));
            }
            testing::tracee::end();
        }
        "receive" => {
            let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            testing::tracee::begin();
            for _ in 0..2 {
                receive(&mut consumer, &ledger);
            }
            testing::tracee::end();
        }
        "receive batch" => {
            let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            testing::tracee::begin();
            if let Ok(mut batch) = consumer.try_receive_batch(4) {
                let mut next = 0;
                while let Some(message) = batch.next() {
                    // One that was evicted meanwhile goes on behind what it missed.
                    let sequence = message.sequence();
                    assert_eq!(sequence, next + message.missed());
                    check(&message, sequence);
                    next = sequence + 1;
                }
                drop(batch);
                ledger.got().store(next, Relaxed);
            }
            testing::tracee::end();
        }
        "park" => {
            let options = ConsumerOptions::new().strategy(Strategy::Park);
            let mut consumer = ring.consumer_with(Start::Latest, options).unwrap();
            testing::tracee::begin();
            for _ in 0..2 {
                let waited = consumer.receive_until(Duration::from_micros(500));
                assert!(waited.is_err());
            }
            testing::tracee::end();
        }
        "attach" => {
            testing::tracee::begin();
            let consumer = ring.consumer(Start::Oldest).unwrap();
            testing::tracee::end();
            drop(consumer);
        }
        "leave" => {
            let consumer = ring.consumer(Start::Oldest).unwrap();
            testing::tracee::begin();
            drop(consumer);
            testing::tracee::end();
        }
        "attach cursor" => {
            testing::tracee::begin();
            let consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            testing::tracee::end();
            drop(consumer);
        }
        "resume cursor" => {
            let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            for _ in 0..3 {
                receive(&mut consumer, &ledger);
            }
            drop(consumer);
            testing::tracee::begin();
            let consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            testing::tracee::end();
            assert_eq!(consumer.next_sequence(), 3);
        }
        "forget cursor" => {
            drop(ring.durable_consumer("archive", Start::Oldest).unwrap());
            testing::tracee::begin();
            assert!(ring.forget_cursor("archive").unwrap());
            testing::tracee::end();
        }
        "rejoin" => {
            let mut consumer = ring.consumer(Start::Oldest).unwrap();
            let mut producer = ring.producer().unwrap();
            for _ in 0..200 {
                publish(&mut producer, &ledger);
            }
            producer.detach();
            testing::tracee::begin();
            let message = consumer.try_receive().unwrap();
            testing::tracee::end();
            assert!(message.missed() > 0);
        }
        "observe" => {
            let options = ObserverOptions::new().strategy(Strategy::Park);
            testing::tracee::begin();
            let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
            let received = observer.try_receive().unwrap();
            assert!(matches!(received, Received::Message(_)));
            drop(observer);
            testing::tracee::end();
        }
        role => panic!("no scenario {role}"),
    }
    say(&format!(
        "{} {}",
        ledger.acked().load(Relaxed),
        ledger.got().load(Relaxed)
    ));
}

// --- Death at every instruction.

/// What a kill at one point would leave.
struct Snapshot {
    step: u64,
    stream: Vec<u8>,
    control: Vec<u8>,
    acked: u64,
    got: u64,
}

fn map(path: &Path) -> Mmap {
    // SAFETY: read as raw bytes, only while the process that writes them is stopped.
    unsafe { Mmap::map(&File::open(path).unwrap()).unwrap() }
}

/// Steps through a scenario; a copy of the shared memory after each change, and how many steps.
fn snapshots(scenario: Scenario) -> (Vec<Snapshot>, u64) {
    let scratch = Scratch::new();
    drop(prepare(&scratch, scenario));
    let _sleeper = sleeper(&scratch, scenario);
    let mut victim = Tracee::start(scenario.name, &[text(&scratch.0)]);
    let stream = map(&scratch.ring().join("stream"));
    let control = map(&scratch.ring().join("control"));
    let ledger = Ledger::open(&scratch.0);
    let mut found: Vec<Snapshot> = Vec::new();
    let mut step = 0;
    loop {
        let (acked, got) = (ledger.acked().load(Relaxed), ledger.got().load(Relaxed));
        let same = found.last().is_some_and(|last| {
            last.acked == acked
                && last.got == got
                && last.stream == stream[..]
                && last.control == control[..]
        });
        if !same {
            found.push(Snapshot {
                step,
                stream: stream.to_vec(),
                control: control.to_vec(),
                acked,
                got,
            });
        }
        if victim.step() == Step::End {
            return (found, step);
        }
        step += 1;
    }
}

/// A reader for the producer to wake.
fn sleeper(scratch: &Scratch, scenario: Scenario) -> Option<Peer> {
    (scenario.name == "publish and wake").then(|| {
        let sleeper = Peer::start("sleep", &[text(&scratch.0)]);
        sleeper.asleep();
        sleeper
    })
}

fn every_instruction_leaves_a_ring_that_goes_on() {
    let (mut instructions, mut states) = (0, 0);
    for scenario in SCENARIOS {
        let (snapshots, steps) = snapshots(*scenario);
        let scratch = Scratch::new();
        for snapshot in &snapshots {
            restore(&scratch.ring(), snapshot);
            let context = format!("{} killed at instruction {}", scenario.name, snapshot.step);
            let examined = std::panic::catch_unwind(|| examine(*scenario, snapshot, &scratch));
            assert!(examined.is_ok(), "{context}");
        }
        instructions += steps;
        states += snapshots.len();
    }
    println!("  {instructions} instructions, {states} states of shared memory");
}

/// Files with this content that no process holds.
fn restore(path: &Path, snapshot: &Snapshot) {
    if !path.exists() {
        std::fs::create_dir(path).unwrap();
    }
    for (name, bytes) in [("stream", &snapshot.stream), ("control", &snapshot.control)] {
        std::fs::write(path.join(name), bytes).unwrap();
    }
    std::fs::write(path.join("lock"), []).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["stream", "control", "lock"] {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path.join(name), mode).unwrap();
    }
}

/// Everything that may be done to a ring whose processes all died, and what must come of it.
fn examine(scenario: Scenario, snapshot: &Snapshot, scratch: &Scratch) {
    testing::sound(&scratch.ring());
    let ring = Ring::open(scratch.ring()).unwrap();
    let _ = ring.status();
    // Readers find what was committed: all that was acknowledged, and at most one unit more, whole.
    let end = read_everything(&ring);
    let more = end - snapshot.acked;
    assert!(more == 0 || more == scenario.unit, "{more} more than acked");
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    while let Ok(message) = consumer.try_receive() {
        check(&message, message.sequence());
    }
    assert_eq!(consumer.next_sequence(), end);
    drop(consumer);
    // A cursor stands where its owner left it, or one unit on.
    let kept = ring
        .status()
        .unwrap()
        .readers
        .iter()
        .any(|r| r.cursor.is_some());
    if kept {
        let consumer = ring.durable_consumer("archive", Start::Latest).unwrap();
        let ahead = consumer.next_sequence() - snapshot.got;
        if scenario.name.starts_with("receive") {
            assert!(ahead == 0 || ahead == scenario.unit, "{ahead} ahead");
        } else if scenario.name == "resume cursor" {
            assert_eq!(ahead, 0);
        }
        drop(consumer);
        assert!(ring.forget_cursor("archive").unwrap());
    } else {
        assert!(!["receive", "receive batch", "resume cursor"].contains(&scenario.name));
    }
    // A successor goes on where the stream ends, and no dead process is in its way.
    let epoch = ring.status().unwrap().epoch.number;
    let mut producer = ring.producer().unwrap();
    assert_eq!(
        (producer.next_sequence(), producer.epoch()),
        (end, epoch + 1)
    );
    let mut everybody: Vec<Consumer> = (0..ring.max_readers())
        .map(|_| ring.consumer(Start::Latest).unwrap())
        .collect();
    for n in end..end + 150 {
        producer.publish_until(&payload(n, LEN), PATIENCE).unwrap();
        for consumer in &mut everybody {
            let message = consumer.try_receive().unwrap();
            assert_eq!(message.sequence(), n);
            check(&message, n);
        }
    }
    assert_eq!(producer.violations(), 0);
    drop(everybody);
    assert!(ring.status().unwrap().readers.is_empty());
    producer.close();
    assert_eq!(read_everything(&ring), end + 150);
    testing::sound(&scratch.ring());
}

/// Observes from the oldest message on; where the stream ends.
fn read_everything(ring: &Ring) -> u64 {
    let options = ObserverOptions::new().strategy(Strategy::Spin);
    let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
    let mut next = observer.next_sequence();
    loop {
        match observer.try_receive() {
            Ok(Received::Message(message)) => {
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next += 1;
            }
            Ok(Received::Skipped {
                skipped,
                resumed_at,
                why,
            }) => {
                assert_eq!((resumed_at, why), (next + skipped, Why::Lost));
                next = resumed_at;
            }
            Err(
                TryReceiveError::Empty
                | TryReceiveError::Closed
                | TryReceiveError::ProducerGone { .. },
            ) => return next,
            result => panic!("{result:?}"),
        }
    }
}

// --- Real deaths, and stops.

/// Some instructions of a scenario: every 16th, or about eight.
fn points(steps: u64) -> impl Iterator<Item = u64> {
    let full = std::env::var("SLIPRING_SWEEP").is_ok_and(|v| v == "full");
    let every = if full { 16 } else { (steps / 8).max(1) };
    (0..=steps).step_by(every as usize)
}

fn a_real_kill_leaves_its_neighbours_well() {
    let mut kills = 0;
    for scenario in SCENARIOS {
        let steps = snapshots(*scenario).1;
        for point in points(steps) {
            let context = format!("{} killed at instruction {point}", scenario.name);
            let survived = std::panic::catch_unwind(|| kill_at(*scenario, point));
            assert!(survived.is_ok(), "{context}");
            kills += 1;
        }
    }
    println!("  {kills} kills");
}

fn kill_at(scenario: Scenario, point: u64) {
    let scratch = Scratch::new();
    let ring = prepare(&scratch, scenario);
    let ledger = Ledger::open(&scratch.0);
    let _sleeper = sleeper(&scratch, scenario);
    let mut victim = Tracee::start(scenario.name, &[text(&scratch.0)]);
    // A neighbour with a mapping from before.
    let mut neighbour = ring.consumer(Start::Latest).unwrap();
    let mut expected = neighbour.next_sequence();
    // In a ring that is about to be full it must keep up.
    let options = ObserverOptions::new().strategy(Strategy::Spin);
    let mut witness = ring.observer_with(Start::Latest, options).unwrap();
    let joined = witness.next_sequence();
    victim.steps(point, Tracee::step);
    victim.kill();
    let acked = ledger.acked().load(Relaxed);
    let mut missed = 0;
    loop {
        match neighbour.try_receive() {
            Ok(message) => {
                let n = message.missed();
                assert!(n == 0 || scenario.evicts, "{n} missed");
                expected += n;
                missed += n;
                assert_eq!(message.sequence(), expected);
                check(&message, expected);
                expected += 1;
            }
            Err(
                TryReceiveError::Empty
                | TryReceiveError::Closed
                | TryReceiveError::ProducerGone { .. },
            ) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // What no message has followed.
    expected += neighbour.losses().total() - missed;
    assert!(expected == acked || expected == acked + scenario.unit);
    if scenario.produces && scenario.name != "take over" {
        let patience = match scenario.name {
            "detach" => Duration::from_millis(250),
            // The end was told above, so this takes its time.
            "close" => Duration::from_secs(2),
            _ => PATIENCE,
        };
        match neighbour.receive_until(patience) {
            Err(ReceiveError::ProducerGone { next }) => assert_eq!(next, expected),
            // It had said goodbye already.
            Ok(None) => assert_eq!(scenario.name, "close"),
            Err(ReceiveError::TimedOut) => assert_eq!(scenario.name, "detach"),
            result => panic!("{result:?}"),
        }
    }
    // In place: the same mapping, the next sequence, the next epoch.
    let mut successor = ring.producer().unwrap();
    assert_eq!(successor.next_sequence(), expected);
    for n in expected..expected + 150 {
        successor.publish_until(&payload(n, LEN), PATIENCE).unwrap();
        let message = neighbour.receive_until(PATIENCE).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
        check(&message, n);
    }
    assert_eq!(neighbour.new_epoch().unwrap().number, successor.epoch());
    loop {
        match witness.try_receive() {
            Ok(Received::Message(message)) => check(&message, message.sequence()),
            Ok(Received::Lapped { .. } | Received::Skipped { .. }) => {}
            Err(TryReceiveError::Empty) => break,
            result => panic!("{result:?}"),
        }
    }
    assert_eq!(
        witness.received_count() + witness.lost_count() + witness.skipped_count(),
        expected + 150 - joined
    );
}

/// What the neighbours of a frozen process do meanwhile.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    One,
    Lap,
    Leave,
    Kill,
}

fn a_frozen_peer_changes_nothing() {
    let mut cases = 0;
    for name in ["publish", "batch", "receive", "receive batch"] {
        for evicts in [false, true] {
            let scenario = SCENARIOS.iter().find(|s| s.name == name).unwrap();
            let scenario = Scenario {
                evicts,
                ..*scenario
            };
            let steps = snapshots(scenario).1;
            for point in points(steps) {
                for meanwhile in [
                    Meanwhile::One,
                    Meanwhile::Lap,
                    Meanwhile::Leave,
                    Meanwhile::Kill,
                ] {
                    let context = format!("{name} frozen at instruction {point}: {meanwhile:?}");
                    let fine = std::panic::catch_unwind(|| {
                        if scenario.produces {
                            frozen_producer(scenario, point, meanwhile);
                        } else {
                            frozen_consumer(scenario, point, meanwhile);
                        }
                    });
                    assert!(fine.is_ok(), "{context}");
                    cases += 1;
                }
            }
        }
    }
    println!("  {cases} cases");
}

fn frozen_producer(scenario: Scenario, point: u64, meanwhile: Meanwhile) {
    let scratch = Scratch::new();
    let ring = prepare(&scratch, scenario);
    let mut victim = Tracee::start(scenario.name, &[text(&scratch.0)]);
    let mut neighbour = ring.consumer(Start::Latest).unwrap();
    let mut expected = neighbour.next_sequence();
    victim.steps(point, Tracee::step);
    // Stopped is not dead: no split brain.
    assert!(matches!(
        ring.producer(),
        Err(AttachError::AlreadyOwned { .. })
    ));
    let mut read = |consumer: &mut Consumer| {
        while let Ok(message) = consumer.try_receive() {
            assert_eq!(message.sequence(), expected);
            check(&message, expected);
            expected += 1;
        }
    };
    read(&mut neighbour);
    match meanwhile {
        Meanwhile::One => drop(ring.consumer(Start::Oldest).unwrap()),
        Meanwhile::Lap => {
            for _ in 0..50 {
                drop(ring.durable_consumer("archive", Start::Oldest).unwrap());
                read_everything(&ring);
            }
        }
        Meanwhile::Leave => {
            let next = neighbour.next_sequence();
            drop(neighbour);
            neighbour = ring.consumer(Start::Sequence(next)).unwrap();
        }
        Meanwhile::Kill => {
            victim.kill();
            read(&mut neighbour);
            let successor = ring.producer().unwrap();
            assert_eq!(successor.next_sequence(), expected);
            return;
        }
    }
    let said = victim.release();
    read(&mut neighbour);
    assert_eq!(said.split(' ').next().unwrap(), expected.to_string());
}

fn frozen_consumer(scenario: Scenario, point: u64, meanwhile: Meanwhile) {
    let scratch = Scratch::new();
    let ring = prepare(&scratch, scenario);
    let mut victim = Tracee::start(scenario.name, &[text(&scratch.0)]);
    let mut producer = ring.producer().unwrap();
    victim.steps(point, Tracee::step);
    let publish = |producer: &mut Producer| {
        let next = producer.next_sequence();
        // Whether the time of a consumer is up shows at the second look at the clock.
        (0..2).any(|_| producer.try_publish(&payload(next, LEN)).is_ok())
    };
    match meanwhile {
        Meanwhile::One => assert!(publish(&mut producer)),
        Meanwhile::Lap => {
            let mut published = 0;
            while published < 300 && publish(&mut producer) {
                published += 1;
            }
            // Held back by a ring that waits, and not by one that evicts.
            assert_eq!(published == 300, scenario.evicts);
        }
        Meanwhile::Leave => producer.close(),
        Meanwhile::Kill => {
            victim.kill();
            for _ in 0..300 {
                let next = producer.next_sequence();
                producer
                    .publish_until(&payload(next, LEN), PATIENCE)
                    .unwrap();
            }
            return;
        }
    }
    let said = victim.release();
    // In a ring that waits it got its messages, whole. In one that evicts it got them or was told,
    // which its own checks end with.
    if !scenario.evicts || !matches!(meanwhile, Meanwhile::Lap) {
        let got = if scenario.unit == 4 { 4 } else { 2 };
        assert_eq!(said.split(' ').nth(1), Some(got.to_string().as_str()));
    }
}

// --- Death at every system call of what happens in the file system.

fn a_kill_at_any_system_call_leaves_a_ring_or_none() {
    let mut kills = 0;
    for role in ["create", "remove"] {
        for point in 0.. {
            let scratch = Scratch::new();
            if role == "remove" {
                let builder = Ring::builder(scratch.ring()).capacity_bytes(4096);
                drop(builder.create().unwrap());
            }
            let mut victim = Tracee::start(role, &[text(&scratch.0)]);
            let before_the_end = victim.steps(point, Tracee::syscall);
            victim.kill();
            let name = format!("{role} killed at system call stop {point}");
            after_file_death(&scratch, &name);
            if !before_the_end {
                break;
            }
            kills += 1;
        }
    }
    println!("  {kills} kills");
}

/// The ring is there and works, or it is not and can be made.
fn after_file_death(scratch: &Scratch, context: &str) {
    let create = || Ring::builder(scratch.ring()).capacity_bytes(4096).create();
    let ring = match Ring::open(scratch.ring()) {
        Ok(ring) => {
            testing::sound(&scratch.ring());
            ring
        }
        Err(slipring::place::OpenError::NotFound { .. }) => {
            create().unwrap_or_else(|error| panic!("{context}: {error}"))
        }
        Err(error) => panic!("{context}: {error}"),
    };
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    producer.publish(b"alive").unwrap();
    assert_eq!(
        &*consumer.receive().unwrap().unwrap(),
        b"alive",
        "{context}"
    );
    drop((producer, consumer, ring));
    slipring::registry::remove_at(scratch.ring(), false)
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    // What the dead left half done is known as such, and goes.
    for leftover in slipring::registry::leftovers_in(&scratch.0).unwrap() {
        assert_eq!(leftover.why, slipring::registry::Why::Half, "{context}");
        assert!(leftover.remove().unwrap(), "{context}");
    }
    let left: Vec<_> = std::fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["books"], "{context}");
}
