//! How much a source keeps of its ring, and how long: no more than it says, whatever the ring is like.

use crate::support::{Side, LONG};
use proptest::prelude::*;
use slipring::endpoint::{ReaderStatus, Why};
use slipring::{Producer, Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::Engine;
use slipring_bridge::{mirror, serve, BridgeError};
use slipring_mirror::Name;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn lossless(
    network: &Network,
    ring: &Path,
    require: &[&str],
    window: u64,
) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = serve::Options {
        lossless: true,
        require: require.iter().map(|text| name(text)).collect(),
        window,
        from: Start::Oldest,
        ..serve::Options::new(ring.to_owned(), name("quotes"))
    };
    Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()))
}

fn mirroring(network: &Network, copy: &Path, window: u64) -> Side<Result<(), BridgeError>> {
    mirroring_from(mirror::From::Oldest, network, copy, window)
}

fn mirroring_from(
    from: mirror::From,
    network: &Network,
    copy: &Path,
    window: u64,
) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = mirror::Options {
        from,
        window,
        ..mirror::Options::new(copy.to_owned(), name("quotes"), name("london"))
    };
    Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()))
}

/// A window of no bytes, or of fewer than a message has, lets one go after the other.
#[test]
fn a_window_smaller_than_a_message_lets_one_at_a_time_go() {
    for window in [0, 1, 50] {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
        let ring = Ring::builder(path.clone()).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let network = Network::default();
        let source = lossless(&network, &path, &["london"], window);
        source.wait();
        let side = mirroring(&network, &copy, 0);
        side.wait();
        let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
        for n in 0..20 {
            producer.publish(&[n as u8; 100]).unwrap();
        }
        for n in 0..20 {
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!((message.sequence(), message[0]), (n, n as u8));
        }
        side.end().unwrap();
        source.end().unwrap();
    }
}

/// What a producer does next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Message(usize),
    Gap(u64),
}

impl Turn {
    /// Bytes of its frame in the ring, at least.
    fn bytes(self, align: u64) -> u64 {
        let len = match self {
            Self::Message(len) => len as u64 + 8,
            Self::Gap(_) => 24,
        };
        len.next_multiple_of(align)
    }

    /// Does it, as soon as there is room. Returns the sequence of the message.
    fn take(self, producer: &mut Producer, fill: u8) -> Result<Option<u64>, String> {
        match self {
            Self::Message(len) => producer
                .publish_until(&vec![fill; len], LONG)
                .map(Some)
                .map_err(|error| error.to_string()),
            Self::Gap(many) => {
                let end = producer.next_sequence().wrapping_add(many);
                producer
                    .skip_to_until(end, Why::NotRecorded, LONG)
                    .map(|_| None)
                    .map_err(|error| error.to_string())
            }
        }
    }
}

/// Laps of every kind of small ring go past a lossless source: of empty messages, short ones and the longest, of gaps alone,
/// and of some of each.
#[test]
fn a_lossless_source_lets_the_producer_of_any_ring_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut n = 0;
    for capacity in [4096u64, 8192, 64 << 10] {
        for (align, stamps) in [(8, false), (8, true), (64, false), (64, true)] {
            for what in ["gaps", "empty", "short", "longest", "mixed", "runs"] {
                n += 1;
                let path = directory.path().join(format!("ring-{n}"));
                let ring = Ring::builder(path.clone())
                    .capacity_bytes(capacity)
                    .frame_align(align)
                    .stamps(stamps)
                    .create()
                    .unwrap();
                let mut producer = ring.producer().unwrap();
                let network = Network::default();
                let side = lossless(&network, &path, &[], 4 << 20);
                side.wait();
                let longest = ring.max_message_bytes() as usize;
                let (mut turn, mut bytes) = (0, 0);
                while bytes < 4 * capacity {
                    let next = match (what, turn % 101) {
                        ("gaps", _) | ("runs", 0..100) => Turn::Gap(2),
                        ("empty", _) => Turn::Message(0),
                        ("short", _) => Turn::Message(8),
                        ("mixed", at) if at % 7 > 2 => Turn::Gap(2),
                        ("mixed", _) => Turn::Message(turn * 37 % (longest + 1)),
                        _ => Turn::Message(longest),
                    };
                    bytes += next.bytes(align);
                    if let Err(error) = next.take(&mut producer, 7) {
                        panic!("{capacity} {align} {stamps} {what}, turn {turn}: {error}");
                    }
                    turn += 1;
                }
                side.end().unwrap();
            }
        }
    }
}

fn turns(longest: usize) -> impl Strategy<Value = Vec<Turn>> {
    let len = prop_oneof![
        3 => 0..=64usize,
        2 => 0..=longest,
        1 => (longest - 1)..=longest,
    ];
    let many = prop_oneof![Just(1u64), 2..100u64, Just(1u64 << 40)];
    let run = prop_oneof![
        2 => len.prop_map(|len| vec![Turn::Message(len)]),
        1 => prop::collection::vec(many.prop_map(Turn::Gap), 1..120),
    ];
    prop::collection::vec(run, 20..120).prop_map(|runs| runs.concat())
}

/// A ring, what is published in it, and how lossy the network is.
#[derive(Clone, Debug)]
struct Case {
    capacity: u64,
    align: u64,
    stamps: bool,
    first: u64,
    loses_one_in: u64,
    window: u64,
    turns: Vec<Turn>,
}

fn cases() -> impl Strategy<Value = Case> {
    let rings = (
        prop::sample::select(vec![4096u64, 8192, 64 << 10]),
        prop::sample::select(vec![8u64, 64]),
        any::<bool>(),
    );
    let network = prop::sample::select(vec![0u64, 10, 40]);
    let first = prop::sample::select(vec![0u64, 1000, u64::MAX - 200]);
    let window = prop::sample::select(vec![300u64, 4096, 4 << 20]);
    let all = (rings, network, first, window);
    all.prop_flat_map(|((capacity, align, stamps), loses_one_in, first, window)| {
        let longest = capacity as usize / 4 - if stamps { 8 } else { 0 };
        turns(longest).prop_map(move |turns| Case {
            capacity,
            align,
            stamps,
            first,
            loses_one_in,
            window,
            turns,
        })
    })
}

proptest! {
    // A case that fails does so after a minute, so none is made smaller.
    #![proptest_config(ProptestConfig {
        cases: 6,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What a source holds for a mirror is found when the mirror asks for it, and is given back when it is written there:
    /// nothing is lost over a network that loses, and the producer of a small ring is not stopped for good.
    #[test]
    fn a_source_holds_what_its_mirror_needs_and_no_more(case in cases()) {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
        let ring = Ring::builder(path.clone())
            .capacity_bytes(case.capacity)
            .frame_align(case.align)
            .stamps(case.stamps)
            .first_sequence(case.first)
            .create()
            .unwrap();
        let mut producer = ring.producer().unwrap();
        let network = Network::default();
        let source = lossless(&network, &path, &["london"], case.window);
        source.wait();
        let side = mirroring(&network, &copy, 4096);
        side.wait();
        network.lose_one_in(case.loses_one_in);
        // Before anything is written, since a ring that no reader holds back is overwritten.
        let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
        let reading = std::thread::spawn(move || {
            let mut received = Vec::new();
            while let Some(message) = consumer.receive_until(LONG).unwrap() {
                let fill = message.first().copied();
                assert!(message.iter().all(|byte| Some(*byte) == fill));
                received.push((message.sequence(), message.len(), fill));
            }
            received
        });
        let mut sent = Vec::new();
        for (n, turn) in case.turns.iter().enumerate() {
            let fill = n as u8;
            let taken = turn.take(&mut producer, fill);
            if let Turn::Message(len) = *turn {
                let sequence = taken.unwrap_or_else(|error| panic!("turn {n}: {error}"));
                sent.push((sequence.unwrap(), len, (len > 0).then_some(fill)));
            } else {
                taken.unwrap_or_else(|error| panic!("turn {n}: {error}"));
            }
        }
        producer.close();
        let received = reading.join().unwrap();
        prop_assert_eq!(received, sent);
        side.end().unwrap();
        source.end().unwrap();
    }
}

/// A mirror that is new finds all that the source holds for it, wherever in its block that begins, and also if it asks for what
/// is gone.
#[test]
fn what_is_held_for_a_mirror_is_there_for_a_new_one() {
    for (many, from) in [1u64, 15, 37, 70]
        .into_iter()
        .flat_map(|many| [mirror::From::Oldest, mirror::From::Sequence(0)].map(|from| (many, from)))
    {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let ring = Ring::builder(place("ring")).capacity_bytes(4096);
        let ring = ring.create().unwrap();
        let mut producer = ring.producer().unwrap();
        let network = Network::default();
        let source = lossless(&network, &place("ring"), &["london"], 4 << 20);
        source.wait();
        let side = mirroring(&network, &place("lost"), 4096);
        side.wait();
        for n in 0..many {
            producer.publish(&[n as u8; 40]).unwrap();
        }
        let end = Instant::now() + LONG;
        let released = || {
            let status = ring.status().unwrap();
            let gates = |reader: &&ReaderStatus| reader.cursor.as_deref() == Some("bridge");
            let gate = status.readers.iter().find(gates).unwrap();
            gate.next_sequence == Some(many)
        };
        while !released() {
            assert!(Instant::now() < end, "{many}");
            std::thread::sleep(Duration::from_millis(1));
        }
        side.end().unwrap();
        let mut all = many;
        while producer.try_publish(&[all as u8; 40]).is_ok() {
            all += 1;
        }
        let side = mirroring_from(from, &network, &place("new"), 4096);
        side.wait();
        let mut consumer = Ring::open(place("new"))
            .unwrap()
            .consumer(Start::Oldest)
            .unwrap();
        let mut next = None;
        while next != Some(all) {
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            let sequence = message.sequence();
            match next {
                None => assert!(sequence <= many, "{many} {from:?} {sequence}"),
                Some(next) => assert_eq!(sequence, next),
            }
            assert!(message.iter().all(|byte| *byte == sequence as u8));
            next = Some(sequence + 1);
        }
        side.end().unwrap();
        source.end().unwrap();
    }
}
