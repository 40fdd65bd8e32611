//! What a mirror measures, and what it tells people and believes while it runs.

use crate::support::{bridge, free_port, send, Fake, Running, Side, LONG};
use slipring::{Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::zenoh::{Zenoh, ZenohOptions};
use slipring_bridge::engine::{Engine, Held, Question, Sample};
use slipring_bridge::mirror::{self, From};
use slipring_bridge::BridgeError;
use slipring_mirror::mirror::Stop;
use slipring_mirror::pack::{heartbeat, Packer};
use slipring_mirror::Name;
use std::path::Path;
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Instant, SystemTime};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key(what: &str) -> String {
    format!("slipring/1/default/quotes/{:032x}/{what}", 7)
}

fn mirroring(network: &Network, place: &Path) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = mirror::Options {
        from: From::Oldest,
        patience: Some(LONG),
        ..mirror::Options::new(place.to_owned(), name("quotes"), name("london"))
    };
    let side = Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()));
    side.wait();
    side
}

fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_nanos() as u64
}

/// One frame with the messages from one sequence to another.
fn frame(fake: &Fake, first: u64, end: u64) -> Vec<u8> {
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    let mut stamp = fake.stamp;
    stamp.wall_ns = wall_ns();
    for n in first..end {
        packer.message(&stamp, n, &n.to_le_bytes(), &mut packed);
    }
    packer.flush(&stamp, &mut packed);
    assert_eq!(packed.len(), 1);
    packed.remove(0).bytes
}

/// The next report of which this is true.
fn report(
    reports: &mpsc::Receiver<Vec<u8>>,
    until: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    let end = Instant::now() + LONG;
    loop {
        let report = reports.recv_timeout(LONG).unwrap();
        let report = serde_json::from_slice(&report).unwrap();
        if until(&report) {
            return report;
        }
        assert!(Instant::now() < end, "{report}");
    }
}

/// A message is timed once, by the frame in which it came first: not again when that comes again, before it is written or
/// later, nor when it comes in another frame, and not at all if it came only as an answer.
#[test]
fn a_message_is_timed_by_the_frame_that_brought_it() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let clock = Box::new(|question: Question| {
        question.replies.reply(wall_ns().to_le_bytes().to_vec());
    });
    let _clock = network.answer(&key("clock"), clock).unwrap();
    let missing = frame(&fake, 5, 7);
    let fetch = Box::new(move |question: Question| question.replies.reply(missing.clone()));
    let _fetch = network.answer(&key("fetch"), fetch).unwrap();
    let (hear, reports) = mpsc::channel();
    let sink = Box::new(move |sample: Sample<'_>| hear.send(sample.bytes.to_vec()).unwrap_or(()));
    let _reports = network.subscribe(&key("stat/*"), sink).unwrap();
    let side = mirroring(&network, &copy);
    report(&reports, |report| !report["clock_ns"].is_null());
    let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
    let mut written = |end: u64| {
        while consumer.next_sequence() < end {
            drop(consumer.receive_until(LONG).unwrap().unwrap());
        }
    };
    let first = frame(&fake, 0, 3);
    fake.send(&first);
    fake.send(&first);
    written(3);
    fake.send(&first);
    // A source that was started again packs what it has sent before in other frames.
    fake.send(&frame(&fake, 2, 5));
    written(5);
    // The frame of these is late: they were asked for meanwhile.
    fake.send(&heartbeat(&fake.stamp, 7, false));
    written(7);
    fake.send(&frame(&fake, 5, 7));
    fake.send(&frame(&fake, 7, 8));
    written(8);
    let report = report(&reports, |report| report["messages"] == 8);
    assert_eq!(report["latency_ns"]["measured"], 6, "{report}");
    side.end().unwrap();
}

/// A mirror that runs ends if its source says that another one has its name by now.
#[test]
fn a_mirror_whose_name_is_taken_while_it_runs_ends() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let side = mirroring(&network, &copy);
    send(&network, &frame(&fake, 0, 1));
    let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
    drop(consumer.receive_until(LONG).unwrap().unwrap());
    // Silence makes it ask.
    fake.meta.lock().unwrap().taken = true;
    let ended = side.ended();
    assert!(
        matches!(ended, Err(BridgeError::Stop(Stop::NameTaken))),
        "{ended:?}"
    );
}

/// The command prints that it left out an answer, while it looks for its source and while it runs.
#[test]
fn what_is_left_out_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let engine = Zenoh::open(&ZenohOptions {
        listen: vec![address.clone()],
        ..ZenohOptions::default()
    })
    .unwrap();
    let good = Fake::new(&Network::default()).meta.lock().unwrap().encode();
    let answer = Arc::new(Mutex::new(b"damaged".to_vec()));
    let says = answer.clone();
    let sink = Box::new(move |question: Question| {
        let answer = says.lock().unwrap().clone();
        question.replies.reply(answer);
    });
    let _held: Held = engine
        .answer("slipring/1/default/quotes/meta", sink)
        .unwrap();
    let mut command = bridge(&["mirror", copy.to_str().unwrap(), "--name", "quotes"]);
    let mut running = Running::start(command.args(["--connect", &address]));
    running.says("an answer was left out: the answer of the source is damaged");
    let mut other = good.clone();
    other[4] = 2;
    *answer.lock().unwrap() = good;
    running.says("mirroring");
    // Silence makes it ask.
    *answer.lock().unwrap() = other;
    running.says("an answer was left out: the source speaks version 2");
}
