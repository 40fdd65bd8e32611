//! Random deaths of real processes, with a ledger that none of them owns.
//!
//! One producer, two consumers with durable cursors and two observers run flat out. A supervisor kills,
//! stops, continues and restarts them at random, and watches two things: that every victim that lives
//! gets on, and that none ends by itself. Each victim holds what it sees against the ledger, which
//! survives it, and panics at the first thing that does not add up.
//!
//! `SLIPRING_CHAOS_KILLS` sets the number of kills of each of the two runs.

use slipring::{
    endpoint::{PublishError, ReceiveError},
    ConsumerOptions, Observer, ObserverOptions, Received, Ring, Start, Strategy,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testing::books::{kills_wanted, Books, Random};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    random_deaths_lose_nothing,
    random_deaths_in_a_ring_that_evicts,
    recovery_times,
]);

// --- The ledger.

struct Ledger(Books);

/// What the ledger keeps of each reader.
struct Account<'l> {
    /// In the low half: everything before this was received and given back, or reported as missed.
    /// In the high half: how much of it was missed. One word, so that a kill cannot part them.
    books: &'l AtomicU64,
    /// Counts each operation of the victim.
    beats: &'l AtomicU64,
}

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

    /// Where the call that may be under way would end.
    fn trying(&self) -> &AtomicU64 {
        self.word(1)
    }

    fn account(&self, victim: usize) -> Account<'_> {
        let base = 16 * (victim + 1);
        Account {
            books: self.word(base),
            beats: self.word(base + 1),
        }
    }
}

impl Account<'_> {
    fn got(&self) -> u64 {
        self.books.load(Relaxed) & u64::from(u32::MAX)
    }

    fn missed(&self) -> u64 {
        self.books.load(Relaxed) >> 32
    }

    fn write(&self, got: u64, missed: u64) {
        assert!(got.max(missed) <= u64::from(u32::MAX));
        self.books.store(missed << 32 | got, Relaxed);
    }
}

// --- The victims.

fn len(sequence: u64) -> usize {
    (sequence * 37 % 500) as usize
}

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let number: usize = arguments[1].parse().unwrap();
    let ledger = Ledger::open(&directory);
    let ring = Ring::open(directory.join("ring")).unwrap();
    match role {
        "producer" => produce(&ring, &ledger, number),
        "consumer" => consume(&ring, &ledger, number),
        "observer" => observe(&ring, &ledger, number),
        // Holds the gate shut until it is killed.
        "gate" => {
            let _consumer = ring.consumer(Start::Oldest).unwrap();
            say("ready");
            std::thread::park();
        }
        // Publishes one message when told to, and then waits to be killed.
        "reign" => {
            let mut producer = ring.producer().unwrap();
            producer.publish(b"mine").unwrap();
            say("ready");
            std::thread::park();
        }
        role => panic!("no role {role}"),
    }
}

fn produce(ring: &Ring, ledger: &Ledger, number: usize) {
    let mut producer = ring.producer().unwrap();
    let beats = ledger.account(number).beats;
    // What was acknowledged is there; of what was not, all or nothing.
    let (acked, trying) = (ledger.acked().load(Relaxed), ledger.trying().load(Relaxed));
    let next = producer.next_sequence();
    assert!(
        next == acked || next == trying,
        "the stream goes on at {next}: acked {acked}, tried {trying}"
    );
    ledger.acked().store(next, Relaxed);
    say("ready");
    loop {
        let next = producer.next_sequence();
        let many = if next.is_multiple_of(5) {
            1 + next % 7
        } else {
            1
        };
        ledger.trying().store(next + many, Relaxed);
        if many == 1 {
            let message = payload(next, len(next));
            match producer.publish_until(&message, PATIENCE) {
                Ok(sequence) => assert_eq!(sequence, next),
                Err(PublishError::TimedOut { row }) => panic!("held back by row {row}"),
                Err(error) => panic!("{error}"),
            }
        } else {
            let mut batch = producer.batch();
            for n in next..next + many {
                batch.push_until(&payload(n, len(n)), PATIENCE).unwrap();
            }
            assert_eq!(batch.commit(), many);
        }
        ledger.acked().store(next + many, Relaxed);
        beats.fetch_add(1, Relaxed);
        assert_eq!(producer.violations(), 0);
    }
}

fn consume(ring: &Ring, ledger: &Ledger, number: usize) {
    let account = ledger.account(number);
    let options = ConsumerOptions::new().strategy(match number % 2 {
        0 => Strategy::default(),
        _ => Strategy::Park,
    });
    let name = format!("cursor-{number}");
    let mut ready = false;
    loop {
        let attached = ring.durable_consumer_with(&name, Start::Oldest, options);
        let mut consumer = attached.unwrap();
        if !std::mem::replace(&mut ready, true) {
            say("ready");
        }
        // Killed between giving back and writing that down, it is one further than it knows.
        let mut expected = account.got();
        let mut first = true;
        let mut told = 0;
        loop {
            account.beats.fetch_add(1, Relaxed);
            let sequence = match consumer.receive_until(Duration::from_millis(100)) {
                Ok(Some(message)) => {
                    let (sequence, missed) = (message.sequence(), message.missed());
                    assert_eq!(message.len(), len(sequence));
                    check(&message, sequence);
                    told += missed;
                    let from = sequence - missed;
                    // A loss is told again until the message behind it was given back: it may be written down.
                    let again = missed > 0 && from < expected && sequence >= expected;
                    assert!(
                        from == expected || first && from == expected + 1 || again,
                        "{sequence} came instead of {expected}, with {missed} missed"
                    );
                    if missed > 0 {
                        let lost = sequence - from.max(expected);
                        account.write(sequence, account.missed() + lost);
                    }
                    Some(sequence)
                }
                Err(ReceiveError::TimedOut | ReceiveError::ProducerGone { .. }) => None,
                Err(ReceiveError::Expelled { .. }) => break,
                result => panic!("{result:?}"),
            };
            let Some(sequence) = sequence else {
                // What no message has followed.
                let (lost, next) = (consumer.losses().evicted - told, consumer.next_sequence());
                if lost > 0 && next > expected {
                    let lost = next - (next - lost).max(expected);
                    account.write(next, account.missed() + lost);
                    (expected, first) = (next, false);
                }
                continue;
            };
            account.write(sequence + 1, account.missed());
            (expected, first) = (sequence + 1, false);
        }
    }
}

fn observe(ring: &Ring, ledger: &Ledger, number: usize) {
    let account = ledger.account(number);
    let attach = || -> Observer {
        let options = ObserverOptions::new().strategy(match number % 2 {
            0 => Strategy::default(),
            _ => Strategy::Yield,
        });
        loop {
            match ring.observer_with(Start::Latest, options) {
                Ok(observer) => return observer,
                Err(slipring::endpoint::AttachError::Overtaken) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let mut observer = attach();
    let joined = observer.next_sequence();
    say("ready");
    let (mut expected, mut received, mut lost) = (joined, 0u64, 0u64);
    loop {
        account.beats.fetch_add(1, Relaxed);
        match observer.receive_until(Duration::from_millis(100)) {
            Ok(Received::Message(message)) => {
                let sequence = message.sequence();
                assert_eq!(sequence, expected);
                assert_eq!(message.len(), len(sequence));
                check(&message, sequence);
                expected += 1;
                received += 1;
            }
            Ok(Received::Lapped {
                lost: n,
                resumed_at,
            }) => {
                expected += n;
                assert_eq!(resumed_at, expected);
                lost += n;
            }
            Ok(received) => panic!("no producer did that: {received:?}"),
            Err(ReceiveError::TimedOut | ReceiveError::ProducerGone { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(joined + received + lost, expected);
    }
}

// --- The supervisor.

const ROLES: [&str; 5] = ["producer", "consumer", "consumer", "observer", "observer"];

struct Victim {
    peer: Option<Peer>,
    stopped: bool,
    beats: u64,
    got_on: Instant,
}

fn random_deaths_lose_nothing() {
    chaos(Duration::ZERO);
}

fn random_deaths_in_a_ring_that_evicts() {
    chaos(Duration::from_millis(2));
}

fn chaos(patience: Duration) {
    let scratch = Scratch::new();
    let files = files_open();
    let builder = Ring::builder(scratch.ring()).capacity_bytes(16 << 10);
    let ring = builder
        .max_readers(8)
        .evict_after(patience)
        .create()
        .unwrap();
    let ledger = Ledger::open(&scratch.0);
    let mut random = Random::new();
    let start =
        |number: usize| Peer::start(ROLES[number], &[text(&scratch.0), &number.to_string()]);
    // The producer last, so that both cursors begin at the first message.
    let mut victims: Vec<Victim> = (0..ROLES.len())
        .rev()
        .map(|number| Victim {
            peer: Some(start(number)),
            stopped: false,
            beats: 0,
            got_on: Instant::now(),
        })
        .collect();
    victims.reverse();
    let (mut kills, mut stops) = (0, 0);
    while kills < kills_wanted() {
        std::thread::sleep(random.millis(1, 25));
        let number = random.below(ROLES.len() as u64) as usize;
        let victim = &mut victims[number];
        match (&victim.peer, random.below(4)) {
            (None, _) => {
                victim.peer = Some(start(number));
                victim.got_on = Instant::now();
            }
            (Some(peer), 0) if !victim.stopped => {
                peer.signal(libc::SIGSTOP);
                victim.stopped = true;
                stops += 1;
            }
            (Some(peer), _) if victim.stopped => {
                peer.signal(libc::SIGCONT);
                victim.stopped = false;
                victim.got_on = Instant::now();
            }
            _ => {
                let mut peer = victim.peer.take().unwrap();
                assert!(
                    peer.child.try_wait().unwrap().is_none(),
                    "{} {number} ended by itself",
                    ROLES[number]
                );
                peer.kill();
                victim.stopped = false;
                kills += 1;
            }
        }
        watch(&mut victims, &ledger);
    }
    let published = settle(victims, &ring, &ledger, start);
    println!("  {kills} kills, {stops} stops, {published} messages");
    drop(ring);
    drop(ledger);
    let left: Vec<_> = std::fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(files_open(), files, "descriptors leaked");
}

fn files_open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Every victim that lives and runs gets on, unless one that it waits for does not.
fn watch(victims: &mut [Victim], ledger: &Ledger) {
    let waits = |victim: &Victim| victim.peer.is_none() || victim.stopped;
    let producer_waits = victims[1..3].iter().any(waits);
    for (number, victim) in victims.iter_mut().enumerate() {
        let beats = ledger.account(number).beats.load(Relaxed);
        if beats != victim.beats || waits(victim) || number == 0 && producer_waits {
            victim.beats = beats;
            victim.got_on = Instant::now();
        }
        if let Some(peer) = &mut victim.peer {
            let ended = peer.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} {number}: {ended:?}", ROLES[number]);
        }
        assert!(
            victim.got_on.elapsed() < PATIENCE,
            "{} {number} hangs",
            ROLES[number]
        );
    }
}

/// Ends the production, lets the consumers come to the end, and balances the books.
fn settle(
    mut victims: Vec<Victim>,
    ring: &Ring,
    ledger: &Ledger,
    start: impl Fn(usize) -> Peer,
) -> u64 {
    drop(victims[0].peer.take());
    let mut producer = ring.producer().unwrap();
    let end = producer.next_sequence();
    let (acked, trying) = (ledger.acked().load(Relaxed), ledger.trying().load(Relaxed));
    assert!(end == acked || end == trying);
    for (number, victim) in victims.iter_mut().enumerate().skip(1) {
        match &victim.peer {
            Some(peer) => peer.signal(libc::SIGCONT),
            None => victim.peer = Some(start(number)),
        }
    }
    let started = Instant::now();
    for number in 1..3 {
        let account = ledger.account(number);
        while account.got() < end {
            assert!(started.elapsed() < PATIENCE, "consumer {number} hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
        // The equation: everything published was received, one after the other, or reported.
        assert_eq!(account.got(), end, "consumer {number}");
        let missed = account.missed();
        println!(
            "  consumer {number}: received {}, missed {missed}",
            end - missed
        );
    }
    // No process is left to wake, and no flag of the dead keeps this producer busy.
    drop(victims);
    for _ in 0..100 {
        producer.publish_until(&[0; 8], PATIENCE).unwrap();
    }
    let wakes = producer.wakes();
    for _ in 0..10_000 {
        producer.publish_until(&[0; 8], PATIENCE).unwrap();
    }
    assert_eq!(producer.wakes(), wakes);
    // The next producer clears up what the dead left, but for the cursors.
    drop(producer);
    drop(ring.producer().unwrap());
    let rows = ring.status().unwrap().readers;
    assert!(rows.iter().all(|row| row.cursor.is_some()), "{rows:?}");
    end
}

/// How long a death holds the others up; printed, not judged.
fn recovery_times() {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring())
        .capacity_bytes(4096)
        .create()
        .unwrap();
    let arguments = [text(&scratch.0), "0"];
    let rounds = kills_wanted().min(200);
    let mut gates: Vec<Duration> = Vec::new();
    let mut producer = ring.producer().unwrap();
    for _ in 0..rounds {
        let gate = Peer::start("gate", &arguments);
        while producer.try_publish(&[0; 100]).is_ok() {}
        let killed = Instant::now();
        gate.signal(libc::SIGKILL);
        producer.publish_until(&[0; 100], PATIENCE).unwrap();
        gates.push(killed.elapsed());
    }
    drop(producer);
    let mut reigns: Vec<Duration> = Vec::new();
    let mut witness = ring.consumer(Start::Latest).unwrap();
    for _ in 0..rounds {
        let reign = Peer::start("reign", &arguments);
        assert_eq!(&*witness.receive_until(PATIENCE).unwrap().unwrap(), b"mine");
        let killed = Instant::now();
        reign.signal(libc::SIGKILL);
        // The kernel frees the lock when it has torn the process down.
        let mut successor = loop {
            match ring.producer() {
                Ok(producer) => break producer,
                Err(slipring::endpoint::AttachError::AlreadyOwned { .. }) => {
                    std::thread::yield_now()
                }
                Err(error) => panic!("{error}"),
            }
        };
        successor.publish(b"next").unwrap();
        assert_eq!(&*witness.receive_until(PATIENCE).unwrap().unwrap(), b"next");
        reigns.push(killed.elapsed());
        successor.detach();
    }
    for (what, times) in [
        ("publish after the death of a gating consumer", &mut gates),
        ("first message of the next producer", &mut reigns),
    ] {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "  {what}: median {:.1?}, 99th {:.1?}, longest {:.1?}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}
