//! What goes over the network: how large it is, and how it is sent.

use crate::support::{bridge, free_port, Fake, Running, Side, LONG};
use proptest::prelude::*;
use slipring::{Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::zenoh::{Zenoh, ZenohOptions};
use slipring_bridge::engine::{
    Engine, EngineError, Held, Lane, Outgoing, Question, QuestionSink, ReplySink, Sample,
    SampleSink,
};
use slipring_bridge::mirror::{self, From};
use slipring_bridge::serve;
use slipring_mirror::frame::{Content, LIMIT, LONGEST_WHOLE};
use slipring_mirror::pack::heartbeat;
use slipring_mirror::{Frame, Name, Request};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};
use zenoh::qos::{CongestionControl, Priority};
use zenoh::{Config, Wait};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Acknowledgements go before frames and are not kept for a fuller batch; frames share batches: sixteen that do not fill the
/// queue of a link. Nothing blocks.
#[test]
fn frames_share_batches_and_acknowledgements_do_not_wait() {
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let engine = Zenoh::open(&ZenohOptions {
        listen: vec![address.clone()],
        ..ZenohOptions::default()
    })
    .unwrap();
    let mut config = Config::default();
    for (key, value) in [
        ("mode", "\"peer\"".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("listen/endpoints", "[]".to_owned()),
        ("connect/endpoints", format!("[{address:?}]")),
    ] {
        config.insert_json5(key, &value).unwrap();
    }
    let session = zenoh::open(config).wait().unwrap();
    let (hear, hears) = mpsc::channel();
    let _held = session
        .declare_subscriber("lane/*")
        .callback(move |sample| {
            let how = (
                sample.express(),
                sample.priority(),
                sample.congestion_control(),
            );
            let _ = hear.send((sample.key_expr().as_str().to_owned(), how));
        })
        .wait()
        .unwrap();
    for (lane, key, express, priority) in [
        (Lane::Control, "lane/a", true, Priority::InteractiveHigh),
        (Lane::Data, "lane/b", false, Priority::DataHigh),
        (Lane::Plain, "lane/c", false, Priority::Data),
    ] {
        let end = Instant::now() + LONG;
        let how = loop {
            let outgoing = Outgoing {
                key,
                lane,
                bytes: b"bytes",
                encoding: None,
                attachment: None,
            };
            engine.publish(outgoing).unwrap();
            match hears.recv_timeout(Duration::from_millis(50)) {
                Ok((heard, how)) if heard == key => break how,
                _ => assert!(Instant::now() < end, "{lane:?} does not come"),
            }
        };
        assert_eq!(
            how,
            (express, priority, CongestionControl::Drop),
            "{lane:?}"
        );
    }
}

/// What was sent: under which key, how, and how many bytes.
type Sent = (String, Lane, usize);

/// A network that notes what is published.
struct Noted {
    network: Network,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Engine for Noted {
    fn publish(&self, outgoing: Outgoing<'_>) -> Result<(), EngineError> {
        let sent = (outgoing.key.to_owned(), outgoing.lane, outgoing.bytes.len());
        self.sent.lock().unwrap().push(sent);
        self.network.publish(outgoing)
    }

    fn subscribe(&self, key: &str, sink: SampleSink) -> Result<Held, EngineError> {
        self.network.subscribe(key, sink)
    }

    fn answer(&self, key: &str, sink: QuestionSink) -> Result<Held, EngineError> {
        self.network.answer(key, sink)
    }

    fn ask(
        &self,
        key: &str,
        parameters: &str,
        within: Duration,
        sink: ReplySink,
    ) -> Result<(), EngineError> {
        self.network.ask(key, parameters, within, sink)
    }

    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let len = prop_oneof![
        2 => 0..200usize,
        2 => 0..=LONGEST_WHOLE,
        2 => LONGEST_WHOLE - 9..LONGEST_WHOLE + 120,
        1 => 0..=1usize << 20,
        1 => Just(1usize << 20),
    ];
    prop::collection::vec(len, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 6,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// No frame of a source has more bytes than a frame may have, sent or as an answer, and no answer more than was asked for
    /// and the message in which that ends. Frames are sent as frames, and acknowledgements before them.
    #[test]
    fn no_frame_has_too_many_bytes(lengths in lengths()) {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
        let ring = Ring::builder(path.clone()).capacity_bytes(64 << 20).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let network = Network::default();
        let noted = || -> Arc<dyn Engine> {
            Arc::new(Noted { network: network.clone(), sent: sent.clone() })
        };
        let (engine, options) = (noted(), serve::Options::new(path, name("quotes")));
        let source = Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()));
        source.wait();
        let engine = noted();
        let options = mirror::Options {
            from: From::Oldest,
            ..mirror::Options::new(copy.clone(), name("quotes"), name("london"))
        };
        let side = Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()));
        side.wait();
        let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
        for len in &lengths {
            producer.publish(&vec![7; *len]).unwrap();
        }
        for len in &lengths {
            prop_assert_eq!(consumer.receive_until(LONG).unwrap().unwrap().len(), *len);
        }
        let (say, says) = mpsc::channel();
        let sink = Box::new(move |bytes: Option<Vec<u8>>| say.send(bytes).unwrap_or(()));
        let request = Request { from: 0, to: lengths.len() as u64, bytes: 256 << 10 };
        let key = format!("slipring/1/default/quotes/{:032x}/fetch", ring.id());
        network.ask(&key, &request.to_string(), LONG, sink).unwrap();
        let (mut answer, longest) = (0, lengths.iter().max().copied().unwrap());
        while let Some(frame) = says.recv_timeout(LONG).unwrap() {
            prop_assert!(frame.len() <= LIMIT, "{}", frame.len());
            answer += frame.len();
        }
        prop_assert!(answer <= (256 << 10) + longest + LIMIT, "{}", answer);
        side.end().unwrap();
        source.end().unwrap();
        let sent = sent.lock().unwrap();
        prop_assert!(sent.iter().any(|(key, _, _)| key.ends_with("/data")));
        for (key, lane, len) in sent.iter() {
            prop_assert!(*len <= LIMIT, "{} {}", key, len);
            let is = if key.ends_with("/data") { Lane::Data } else { Lane::Control };
            prop_assert_eq!(*lane, is, "{}", key);
        }
    }
}

/// A mirror asks for a quarter of what it may hold at a time, and for 256 KiB at most.
#[test]
fn a_request_has_a_quarter_of_the_window_and_at_most_256_kib() {
    for (window, bytes) in [
        (64u64 << 10, 16u32 << 10),
        ((1 << 20) - 4, (256 << 10) - 1),
        (1 << 20, 256 << 10),
        (64 << 20, 256 << 10),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::default();
        let fake = Fake::new(&network);
        let (ask, asks) = mpsc::channel();
        let sink = Box::new(move |question: Question| ask.send(question.parameters).unwrap_or(()));
        let key = format!("slipring/1/default/quotes/{:032x}/fetch", 7);
        let _held = network.answer(&key, sink).unwrap();
        let engine: Arc<dyn Engine> = Arc::new(network.clone());
        let options = mirror::Options {
            from: From::Oldest,
            window,
            ..mirror::Options::new(
                directory.path().join("copy"),
                name("quotes"),
                name("london"),
            )
        };
        let side =
            Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()));
        side.wait();
        fake.send(&heartbeat(&fake.stamp, 1 << 40, false));
        let request: Request = asks.recv_timeout(LONG).unwrap().parse().unwrap();
        assert_eq!((request.from, request.bytes), (0, bytes), "{window}");
        side.end().unwrap();
    }
}

/// The names of a process's threads, without their numbers.
fn threads(process: u32) -> BTreeSet<String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let name = |thread: std::io::Result<std::fs::DirEntry>| {
        // One may end meanwhile.
        let name = std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
        name.trim()
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    };
    threads.map(name).collect()
}

/// Threads of Zenoh are few, so that they do not wait for each other, unless the user says how many there are to be.
#[test]
fn zenoh_shares_threads_unless_the_environment_says_how_many() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    Ring::builder(path.clone()).create().unwrap();
    let listen = format!("tcp/127.0.0.1:{}", free_port());
    let arguments = ["serve", path.to_str().unwrap(), "--listen", &listen];
    for (set, shared) in [(None, true), (Some("(rx: (worker_threads: 1))"), false)] {
        let mut command = bridge(&arguments);
        command.env_remove("ZENOH_RUNTIME");
        command.envs(set.map(|set| ("ZENOH_RUNTIME", set)));
        let mut serving = Running::start(&mut command);
        serving.says("serving");
        // A thread names itself, at some moment after its beginning.
        let end = Instant::now() + LONG;
        let others = ["rx-", "net-", "acc-"];
        loop {
            let names = threads(serving.id());
            let other = others.iter().any(|name| names.contains(*name));
            assert!(!(shared && other), "{names:?}");
            if names.contains("app-") && (shared || other) {
                break;
            }
            assert!(Instant::now() < end, "{names:?}");
            std::thread::yield_now();
        }
    }
}

/// After a frame messages wait as long as they are told to, to share the next one, and those that wait when the source is stopped
/// are sent. Without a wait each goes at once.
#[test]
fn messages_wait_for_others_as_long_as_the_source_is_told() {
    for linger in [Duration::ZERO, Duration::from_secs(3600)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring");
        let ring = Ring::builder(path.clone()).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let network = Network::default();
        let engine: Arc<dyn Engine> = Arc::new(network.clone());
        let options = serve::Options {
            linger,
            ..serve::Options::new(path, name("quotes"))
        };
        let source =
            Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()));
        source.wait();
        let (came, comes) = mpsc::channel();
        let _held = network
            .subscribe(&data_key(&ring), Box::new(counting(came)))
            .unwrap();
        producer.publish(b"alone").unwrap();
        assert_eq!(comes.recv_timeout(LONG), Ok(1));
        for read in 2..=10u64 {
            producer.publish(b"behind it").unwrap();
            if linger.is_zero() {
                assert_eq!(comes.recv_timeout(LONG), Ok(1));
            } else {
                let state = until(&network, |state| state["messages"] == read);
                assert_eq!(state["next_sequence"], 1, "{state}");
            }
        }
        source.end().unwrap();
        let left: Vec<u32> = comes.try_iter().collect();
        let waited = if linger.is_zero() { vec![] } else { vec![9] };
        assert_eq!(left, waited);
    }
}

/// Also those that it has not looked at yet.
#[test]
fn a_source_that_is_told_to_stop_sends_what_was_published_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    let ring = Ring::builder(path.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let network = Network::default();
    let (came, comes) = mpsc::channel();
    let _held = network
        .subscribe(&data_key(&ring), Box::new(counting(came)))
        .unwrap();
    let engine: Arc<dyn Engine> = Arc::new(network);
    let options = serve::Options::new(path, name("quotes"));
    let stop = AtomicBool::new(false);
    let ready = |_: &Ring| {
        for _ in 0..20 {
            producer.publish(b"message").unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    };
    serve::serve(&engine, &options, &stop, ready).unwrap();
    assert_eq!(comes.try_iter().sum::<u32>(), 20);
}

fn data_key(ring: &Ring) -> String {
    format!("slipring/1/default/quotes/{:032x}/data", ring.id())
}

/// Tells how many messages each frame has.
fn counting(came: mpsc::Sender<u32>) -> impl Fn(Sample<'_>) {
    move |sample| {
        let content = Frame::decode(sample.bytes).map(|frame| frame.content);
        if let Ok(Content::Messages(messages)) = content {
            came.send(messages.remaining()).unwrap_or(());
        }
    }
}

/// The state of the source, once it is as it should be.
fn until(network: &Network, is: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let end = Instant::now() + LONG;
    loop {
        let (said, says) = mpsc::channel();
        let sink = Box::new(move |reply: Option<Vec<u8>>| said.send(reply).unwrap_or(()));
        let key = "slipring/1/default/quotes/status";
        network.ask(key, "", LONG, sink).unwrap();
        let state = says.recv_timeout(LONG).unwrap().unwrap();
        let state = serde_json::from_slice(&state).unwrap();
        if is(&state) {
            return state;
        }
        assert!(Instant::now() < end, "{state}");
    }
}
