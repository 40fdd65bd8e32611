//! What a side sends and believes where the network, or the other side, is at fault.

use crate::support::{Fake, Side, LONG};
use slipring::{Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::{Engine, Held, Lane, Outgoing, Question, Sample};
use slipring_bridge::mirror::{self, From};
use slipring_bridge::{serve, BridgeError};
use slipring_mirror::frame::{Content, LIMIT};
use slipring_mirror::pack::{heartbeat, Packer};
use slipring_mirror::{Ack, Frame, Name};
use std::path::Path;
use std::sync::{mpsc, Arc};
use std::time::Instant;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key(ring: u128, what: &str) -> String {
    format!("slipring/1/default/quotes/{ring:032x}/{what}")
}

fn mirroring(network: &Network, place: &Path, window: u64) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = mirror::Options {
        from: From::Oldest,
        patience: Some(LONG),
        window,
        ..mirror::Options::new(place.to_owned(), name("quotes"), name("london"))
    };
    Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()))
}

fn serving(network: &Network, options: serve::Options) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()))
}

/// What is published under a key.
fn heard(network: &Network, key: &str) -> (mpsc::Receiver<Vec<u8>>, Held) {
    let (hear, hears) = mpsc::channel();
    let sink = Box::new(move |sample: Sample<'_>| hear.send(sample.bytes.to_vec()).unwrap_or(()));
    let held = network.subscribe(key, sink).unwrap();
    (hears, held)
}

/// Frames with these messages, of a source as the fake says it is.
fn frames(fake: &Fake, first: u64, messages: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    for (n, message) in (first..).zip(messages) {
        packer.message(&fake.stamp, n, message, &mut packed);
    }
    packer.flush(&fake.stamp, &mut packed);
    packed.into_iter().map(|packed| packed.bytes).collect()
}

#[test]
fn a_frame_that_is_damaged_of_another_ring_or_of_another_version_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let mut fake = Fake::new(&network);
    let side = mirroring(&network, &copy, 4 << 20);
    side.wait();
    let wrong = frames(&fake, 0, &[b"wrong"]).remove(0);
    let mut damaged = wrong.clone();
    damaged[88 + 4] ^= 1;
    let mut version = wrong;
    version[4] = 2;
    let sum = crc32fast::hash(&[&version[..84], &version[88..]].concat());
    version[84..88].copy_from_slice(&sum.to_le_bytes());
    fake.stamp.ring += 1;
    let foreign = frames(&fake, 0, &[b"wrong"]).remove(0);
    fake.stamp.ring -= 1;
    for frame in [damaged, version, foreign] {
        fake.send(&frame);
    }
    fake.send(&frames(&fake, 0, &[b"right"])[0]);
    let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
    let message = consumer.receive_until(LONG).unwrap().unwrap();
    assert_eq!((message.sequence(), &message[..]), (0, &b"right"[..]));
    drop(message);
    side.end().unwrap();
}

/// The first two requests are never answered, and never end.
#[test]
fn a_request_that_is_lost_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let answer = frames(&fake, 0, &[b"one", b"two"]);
    let (ask, asks) = mpsc::channel::<Question>();
    let sink = Box::new(move |question| ask.send(question).unwrap_or(()));
    let _held = network.answer(&key(7, "fetch"), sink).unwrap();
    let side = mirroring(&network, &copy, 4 << 20);
    side.wait();
    fake.send(&heartbeat(&fake.stamp, 2, false));
    let lost: Vec<_> = (0..2).map(|_| asks.recv_timeout(LONG).unwrap()).collect();
    let question = asks.recv_timeout(LONG).unwrap();
    for frame in answer {
        question.replies.reply(frame);
    }
    let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
    for n in 0..2 {
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!((message.sequence(), message.gap()), (n, None));
    }
    drop(lost);
    side.end().unwrap();
}

/// What waits behind a hole takes no more room than the window.
#[test]
fn a_mirror_holds_no_more_than_its_window() {
    const WINDOW: u64 = 50_000;
    let directory = tempfile::tempdir().unwrap();
    let network = Network::default();
    let fake = Fake::new(&network);
    let side = mirroring(&network, &directory.path().join("copy"), WINDOW);
    side.wait();
    let (reports, _held) = heard(&network, &key(7, "stat/*"));
    for first in (1..2000).step_by(10) {
        for frame in frames(&fake, first, &[&[7; 500][..]; 10]) {
            fake.send(&frame);
        }
    }
    loop {
        let report = reports.recv_timeout(LONG).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert!(report["held_bytes"].as_u64().unwrap() <= WINDOW, "{report}");
        if report["unheld"].as_u64().unwrap() > 0 {
            break;
        }
        fake.send(&frames(&fake, 2001, &[b"late"])[0]);
    }
    side.end().unwrap();
}

/// The next heartbeat: the sequence behind what was sent, and the oldest that the ring has.
fn beat(frames: &mpsc::Receiver<Vec<u8>>) -> (u64, u64) {
    loop {
        let bytes = frames.recv_timeout(LONG).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        if let Content::Heartbeat { .. } = frame.content {
            return (frame.first, frame.stamp.oldest);
        }
    }
}

#[test]
fn heartbeats_say_how_far_a_source_is_and_what_it_still_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    let ring = Ring::builder(path.clone()).capacity_bytes(4096);
    let ring = ring.create().unwrap();
    let network = Network::default();
    let (frames, _held) = heard(&network, &key(ring.id(), "data"));
    let side = serving(&network, serve::Options::new(path, name("quotes")));
    side.wait();
    let mut producer = ring.producer().unwrap();
    for n in 0..1000u64 {
        producer.publish(&n.to_le_bytes()).unwrap();
    }
    let end = Instant::now() + LONG;
    loop {
        let (next, oldest) = beat(&frames);
        assert!(next <= 1000 && oldest <= next);
        if next == 1000 && oldest > 500 {
            break;
        }
        assert!(Instant::now() < end, "{next} {oldest}");
    }
    side.end().unwrap();
}

/// A source that waits for a mirror sends the window, and goes on by acknowledgements of its own ring only.
#[test]
fn a_source_sends_a_window_and_goes_on_when_its_own_ring_is_acknowledged() {
    const WINDOW: u64 = 5000;
    const MANY: u64 = 500;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    let ring = Ring::builder(path.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let network = Network::default();
    let (frames, _held) = heard(&network, &key(ring.id(), "data"));
    let options = serve::Options {
        lossless: true,
        require: vec![name("london")],
        window: WINDOW,
        from: Start::Oldest,
        ..serve::Options::new(path, name("quotes"))
    };
    let side = serving(&network, options);
    side.wait();
    for _ in 0..MANY {
        producer.publish(&[7; 1000]).unwrap();
    }
    let acks = key(ring.id(), "ack/london");
    let ack = |ring: u128, next: u64| {
        let ack = Ack {
            ring,
            name: name("london"),
            instance: 7,
            next,
            lost: 3,
        };
        let outgoing = Outgoing {
            key: &acks,
            lane: Lane::Control,
            bytes: &ack.encode(),
            encoding: None,
            attachment: None,
        };
        network.publish(outgoing).unwrap();
    };
    ack(ring.id() ^ 1, MANY);
    // A frame that is on its way comes to it.
    let most = WINDOW + LIMIT as u64;
    let mut next = 0;
    while next == 0 {
        next = beat(&frames).0;
    }
    for _ in 0..10 {
        next = beat(&frames).0;
    }
    assert!(next * 1000 <= most, "{next}");
    ack(ring.id(), next);
    let mut reached = next;
    while reached == next {
        reached = beat(&frames).0;
    }
    assert!((reached - next) * 1000 <= most, "{next} {reached}");
    let (say, says) = mpsc::channel();
    let sink = Box::new(move |bytes: Option<Vec<u8>>| say.send(bytes).unwrap_or(()));
    network
        .ask("slipring/1/default/quotes/status", "", LONG, sink)
        .unwrap();
    let state = says.recv_timeout(LONG).unwrap().unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["mirrors"][0]["lost"], 3, "{state}");
    assert_eq!(state["mirrors"][0]["next_sequence"], next, "{state}");
    side.end().unwrap();
}

/// An answer has a mebibyte at most, and the message in which it ends, whatever is asked for.
#[test]
fn an_answer_is_bounded_whatever_is_asked_for() {
    const LEN: usize = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    let ring = Ring::builder(path.clone()).capacity_bytes(8 << 20);
    let ring = ring.create().unwrap();
    let mut producer = ring.producer().unwrap();
    let network = Network::default();
    let options = serve::Options::new(path, name("quotes"));
    let (frames, _held) = heard(&network, &key(ring.id(), "data"));
    let side = serving(&network, options);
    side.wait();
    for _ in 0..40 {
        producer.publish(&[7; LEN]).unwrap();
    }
    while beat(&frames).0 < 40 {}
    let (say, says) = mpsc::channel();
    let sink = Box::new(move |bytes: Option<Vec<u8>>| say.send(bytes).unwrap_or(()));
    let ask = format!("from=0;to=40;bytes={}", u32::MAX);
    network
        .ask(&key(ring.id(), "fetch"), &ask, LONG, sink)
        .unwrap();
    let mut bytes = 0;
    while let Some(frame) = says.recv_timeout(LONG).unwrap() {
        bytes += frame.len();
    }
    assert!(bytes >= 1 << 20, "{bytes}");
    assert!(bytes <= (1 << 20) + LEN + LIMIT, "{bytes}");
    side.end().unwrap();
}
