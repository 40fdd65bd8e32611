//! What a program on the network can send to a side, and what it cannot do by that.

use crate::support::{send, Fake, Side, LONG};
use slipring::endpoint::Why;
use slipring::{Consumer, Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::{Engine, Held, Question};
use slipring_bridge::mirror::{self, From};
use slipring_bridge::{serve, BridgeError};
use slipring_mirror::meta::MetaError;
use slipring_mirror::mirror::Stop;
use slipring_mirror::pack::{heartbeat, Packer};
use slipring_mirror::{Meta, Name};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

const META: &str = "slipring/1/default/quotes/meta";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn mirroring(network: &Network, place: &Path, patience: Duration) -> Side<Result<(), BridgeError>> {
    mirroring_from(From::Oldest, network, place, patience)
}

fn mirroring_from(
    from: From,
    network: &Network,
    place: &Path,
    patience: Duration,
) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = mirror::Options {
        from,
        patience: Some(patience),
        ..mirror::Options::new(place.to_owned(), name("quotes"), name("london"))
    };
    Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()))
}

fn reader(path: &Path) -> Consumer {
    let ring = Ring::open(path.to_owned()).unwrap();
    ring.consumer(Start::Oldest).unwrap()
}

/// Answers every question after the source with these, too.
fn answering(network: &Network, answers: Vec<Vec<u8>>) -> Held {
    let sink = move |question: Question| {
        for answer in &answers {
            question.replies.reply(answer.clone());
        }
    };
    network.answer(META, Box::new(sink)).unwrap()
}

/// What is no description of a ring: nothing, a part of one, some with a bit that changed, and much too much.
fn damaged(good: &[u8]) -> Vec<Vec<u8>> {
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 4;
        bytes
    };
    vec![
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        flipped(0),
        flipped(40),
        vec![0xff; 1000],
    ]
}

/// A description as a program of another version sends it.
fn of_another_version(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    bytes[4] = 2;
    bytes
}

/// A damaged answer is as good as none: a good one counts, and without one the mirror says what came.
#[test]
fn a_damaged_answer_ends_no_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let mut meta = fake.meta.lock().unwrap().clone();
    let good = meta.encode();
    let other = answering(&network, vec![of_another_version(&good)]);
    meta.schema = "no schema".to_owned();
    let damaged = [damaged(&good), vec![meta.encode()]].concat();
    // Two of them, so that one comes before the good answer and one behind it, or both on one side.
    let held = [
        answering(&network, damaged.clone()),
        answering(&network, damaged),
    ];
    let side = mirroring(&network, &copy, LONG);
    side.wait();
    side.end().unwrap();
    drop((fake, other));
    let ended = mirroring(&network, &copy, Duration::ZERO).ended();
    let Err(error @ BridgeError::NoSource { .. }) = ended else {
        panic!("{ended:?}");
    };
    assert!(error.to_string().contains("is damaged"), "{error}");
    drop(held);
}

/// While the source of a mirror lives, it is no other ring and of no other version, whatever else answers.
#[test]
fn answers_of_others_end_no_mirror_whose_source_lives() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let side = mirroring(&network, &copy, LONG);
    side.wait();
    let mut meta = fake.meta.lock().unwrap().clone();
    let version = of_another_version(&meta.encode());
    meta.ring += 1;
    let answers = [damaged(&version), vec![version, meta.encode()]].concat();
    let (asked, asks) = mpsc::channel();
    let sink = move |question: Question| {
        for answer in &answers {
            question.replies.reply(answer.clone());
        }
        asked.send(()).unwrap_or(());
    };
    let _held = network.answer(META, Box::new(sink)).unwrap();
    let mut questions = 0;
    let end = Instant::now() + LONG;
    while questions < 3 {
        assert!(Instant::now() < end);
        fake.send(&heartbeat(&fake.stamp, 0, false));
        questions += usize::from(asks.recv_timeout(Duration::from_millis(20)).is_ok());
    }
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    packer.message(&fake.stamp, 0, b"on", &mut packed);
    packer.flush(&fake.stamp, &mut packed);
    fake.send(&packed[0].bytes);
    let mut consumer = reader(&copy);
    let message = consumer.receive_until(LONG).unwrap().unwrap();
    assert_eq!((message.sequence(), &message[..]), (0, &b"on"[..]));
    drop(message);
    side.end().unwrap();
}

/// Where only programs of another version answer, a mirror ends and says so, before its first message or behind others. That
/// damaged answers come too hides nothing.
#[test]
fn a_source_of_another_version_ends_its_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::default();
    let fake = Fake::new(&network);
    let good = fake.meta.lock().unwrap().encode();
    let began = mirroring(&network, &directory.path().join("began"), LONG);
    began.wait();
    drop(fake);
    let other = of_another_version(&good);
    let answers = [
        vec![other.clone()],
        damaged(&good),
        vec![other],
        damaged(&good),
    ]
    .concat();
    let _held = answering(&network, answers);
    let begins = mirroring(&network, &directory.path().join("begins"), LONG);
    let hurries = mirroring(&network, &directory.path().join("hurries"), Duration::ZERO);
    for side in [hurries, begins, began] {
        let ended = side.ended();
        let Err(error @ BridgeError::Meta(MetaError::Version { found: 2 })) = ended else {
            panic!("{ended:?}");
        };
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

/// A ring with a schema takes messages of its size only: others are left out of the mirror, as a gap.
#[test]
fn what_is_no_message_of_the_schema_is_a_gap_of_the_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    fake.meta.lock().unwrap().schema = "Quote{bid:u64}".to_owned();
    let side = mirroring(&network, &copy, LONG);
    side.wait();
    let lens = [8, 9, 0, 8, 7, 8, 1000, 1001, 16, 8];
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    for (n, len) in lens.into_iter().enumerate() {
        packer.message(&fake.stamp, n as u64, &vec![n as u8; len], &mut packed);
    }
    packer.flush(&fake.stamp, &mut packed);
    for frame in packed {
        fake.send(&frame.bytes);
    }
    let mut consumer = reader(&copy);
    let mut next = 0;
    for (received, n) in [0u64, 3, 5, 9].into_iter().enumerate() {
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!((message.sequence(), &message[..]), (n, &[n as u8; 8][..]));
        let gap = message.gap().map(|gap| (gap.end, gap.why));
        assert_eq!(gap, (next < n).then_some((n, Why::Lost)));
        drop(message);
        assert_eq!(consumer.losses().skipped, n - received as u64);
        next = n + 1;
    }
    side.end().unwrap();
}

/// Calls this again and again from several threads, until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn of(call: impl Fn() + Clone + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..2).map(|_| {
            let (stop, call) = (stop.clone(), call.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    call();
                }
            })
        });
        Self {
            threads: threads.collect(),
            stop,
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Ends a side while it is flooded. Panics if it hangs.
fn ends(side: Side<Result<(), BridgeError>>, flood: Flood) {
    let (end, ended) = mpsc::channel();
    let ending = std::thread::spawn(move || end.send(side.end()).unwrap_or(()));
    let ended = ended.recv_timeout(LONG);
    drop(flood);
    ending.join().unwrap();
    ended.expect("it does not end").unwrap();
}

/// More questions than a source can answer hold up neither its messages nor its end.
#[test]
fn a_flood_of_questions_does_not_stop_a_source() {
    let directory = tempfile::tempdir().unwrap();
    let (source, copy) = (
        directory.path().join("source"),
        directory.path().join("copy"),
    );
    let ring = Ring::builder(source.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    for _ in 0..4000 {
        producer.publish(&[7; 100]).unwrap();
    }
    let network = Network::default();
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = serve::Options::new(source, name("quotes"));
    let side = Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()));
    side.wait();
    let mirror = mirroring_from(From::Latest, &network, &copy, LONG);
    mirror.wait();
    let mut consumer = reader(&copy);
    let key = format!("slipring/1/default/quotes/{:032x}/fetch", ring.id());
    let floods = network.clone();
    let flood = Flood::of(move || {
        let ask = "from=0;to=4000;bytes=1000000";
        floods.ask(&key, ask, LONG, Box::new(|_| ())).unwrap();
    });
    for n in 0..50u64 {
        let sequence = producer.publish(&n.to_le_bytes()).unwrap();
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!((message.sequence(), message.gap()), (sequence, None));
    }
    mirror.end().unwrap();
    ends(side, flood);
}

/// More frames than a mirror can read hold up neither its writing nor its end; nor do more answers than it asked for.
#[test]
fn a_flood_of_frames_does_not_stop_a_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let side = mirroring(&network, &copy, LONG);
    side.wait();
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    for n in 0..3000 {
        packer.message(&fake.stamp, n, &[7; 8], &mut packed);
    }
    packer.flush(&fake.stamp, &mut packed);
    let sends = network.clone();
    let frames: Vec<_> = packed.into_iter().map(|packed| packed.bytes).collect();
    let flood = Flood::of(move || frames.iter().for_each(|frame| send(&sends, frame)));
    let mut consumer = reader(&copy);
    for n in 0..3000 {
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
    }
    ends(side, flood);
}

/// Who answers without an end holds up neither the beginning of a mirror nor its end: with ever other rings, with one ring whose
/// mirror there is already, or with what is no answer.
#[test]
fn an_answer_without_an_end_does_not_stop_a_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::default();
    let fake = Fake::new(&network);
    let meta = fake.meta.lock().unwrap().clone();
    drop(fake);
    let rings = (0..100).map(|ring| {
        Meta {
            ring,
            ..meta.clone()
        }
        .encode()
    });
    let taken = Meta {
        taken: true,
        ..meta.clone()
    };
    for (what, answers) in [
        ("rings", rings.collect::<Vec<_>>()),
        ("taken", vec![taken.encode()]),
        ("damaged", damaged(&meta.encode())),
    ] {
        let (ask, asks) = mpsc::channel::<Question>();
        // The first answers come with the question, whenever the thread for the others has its turn.
        let first = answers.clone();
        let sink = Box::new(move |question: Question| {
            for answer in &first {
                question.replies.reply(answer.clone());
            }
            ask.send(question).unwrap_or(());
        });
        let held = network.answer(META, sink).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let answering = std::thread::spawn(move || {
            let mut questions = Vec::new();
            while !stops.load(Ordering::Relaxed) {
                questions.extend(asks.try_iter());
                for question in &questions {
                    for answer in &answers {
                        question.replies.reply(answer.clone());
                    }
                }
            }
        });
        let (end, ended) = mpsc::channel();
        let side = mirroring(&network, &directory.path().join(what), Duration::ZERO);
        std::thread::spawn(move || end.send(side.ended()));
        let ended = ended.recv_timeout(LONG);
        stop.store(true, Ordering::Relaxed);
        answering.join().unwrap();
        drop(held);
        let expected = match &ended {
            Ok(Err(BridgeError::Ambiguous { .. })) => "rings",
            Ok(Err(BridgeError::Stop(Stop::NameTaken))) => "taken",
            Ok(Err(BridgeError::NoSource { .. })) => "damaged",
            _ => "",
        };
        assert_eq!(what, expected, "{ended:?}");
    }
}
