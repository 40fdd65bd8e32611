//! A mirrored ring beside Zenoh itself, which publishes the same bytes, in turns and in one run.
//!
//! | what | how |
//! |---|---|
//! | `put` | Zenoh, each message published alone, blocking when its queue is full |
//! | `frames` | Zenoh, the same messages in blocks of the size of the bridge's frames |
//! | `bridge` | a ring that `serve --lossless --require` waits with, and its mirrors, to a consumer of each |
//! | `other` | the same with the command OTHER, another build of `slipring-bridge`: what a change of it does |
//!
//! Every receiver is a process of its own, but the consumers of mirrors, which are threads of this one. Messages have 64
//! bytes. Throughput is that of the slowest receiver, from its first message to the end behind its last; latency is from before a message
//! is published to after it is received, at a fixed rate.
//!
//! `cargo bench --bench beside_zenoh -- [SECONDS [ROUNDS [OTHER]]]`

use serde_json::{json, Value};
use slipring::{Consumer, Ring, Start};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{mpsc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};
use zenoh::qos::CongestionControl;
use zenoh::{Config, Session, Wait};

const BYTES: usize = 64;
/// Messages in a block: those of one frame of the bridge.
const IN_FRAME: usize = 850;
const RATE: u64 = 100_000;

/// The clock that all processes of a machine share.
fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64
}

fn session(listen: Option<u16>, connect: Option<u16>) -> Session {
    let mut config = Config::default();
    let address = |port: Option<u16>| match port {
        Some(port) => format!("[\"tcp/127.0.0.1:{port}\"]"),
        None => "[]".to_owned(),
    };
    for (key, value) in [
        ("mode", "\"peer\"".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "false".to_owned()),
        ("listen/endpoints", address(listen)),
        ("connect/endpoints", address(connect)),
    ] {
        config.insert_json5(key, &value).unwrap();
    }
    zenoh::open(config).wait().unwrap()
}

/// What one receiver has received.
#[derive(Default)]
struct Tally {
    messages: u64,
    first: u64,
    latencies: Vec<u32>,
}

impl Tally {
    /// Looks at the clock for the first one only, unless each is timed.
    fn message(&mut self, bytes: &[u8], timed: bool, many: u64) {
        if self.messages == 0 {
            self.first = now();
        }
        self.messages += many;
        if timed {
            let at = now();
            let sent = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            self.latencies
                .push(at.saturating_sub(sent).min(u64::from(u32::MAX)) as u32);
        }
    }

    /// What came until now, when the end was noticed.
    fn report(mut self) -> Value {
        let last = now();
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies
                .get((last as f64 * share) as usize)
                .copied()
                .unwrap_or(0)
        };
        json!({
            "messages": self.messages,
            "nanos": last - self.first,
            "p50": at(0.5), "p99": at(0.99), "p999": at(0.999),
        })
    }
}

/// A subscriber, until a message of one byte.
fn subscribe(port: u16, timed: bool) {
    let session = session(None, Some(port));
    let tally = Mutex::new(Tally::default());
    let (end, ended) = mpsc::channel();
    let _subscriber = session
        .declare_subscriber("bench/data")
        .callback(move |sample| {
            let bytes = sample.payload().to_bytes();
            match bytes.len() {
                1 => end
                    .send(std::mem::take(&mut *tally.lock().unwrap()).report())
                    .unwrap(),
                len => tally
                    .lock()
                    .unwrap()
                    .message(&bytes, timed, (len / BYTES) as u64),
            }
        })
        .wait()
        .unwrap();
    println!("ready");
    println!("{}", ended.recv().unwrap());
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Calls until the time is over; at a rate, if there is one.
fn paced(time: Duration, rate: u64, mut send: impl FnMut()) {
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < time {
        let due = match rate {
            0 => sent + 512,
            rate => began.elapsed().as_nanos() as u64 * rate / 1_000_000_000,
        };
        while sent < due {
            send();
            sent += 1;
        }
        if rate > 0 {
            std::hint::spin_loop();
        }
    }
}

/// Zenoh itself, with so many subscribers.
fn raw(time: Duration, subscribers: usize, in_block: usize, rate: u64) -> Vec<Value> {
    let port = free_port();
    let session = session(Some(port), None);
    let mut processes = Vec::new();
    for _ in 0..subscribers {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let timed = (rate > 0).to_string();
        command.args(["subscribe", &port.to_string(), &timed]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().unwrap().unwrap(), "ready");
        processes.push((Process(child), output));
    }
    let publisher = session
        .declare_publisher("bench/data")
        .congestion_control(CongestionControl::Block)
        .express(rate > 0)
        .wait()
        .unwrap();
    while !publisher.matching_status().wait().unwrap().matching() {
        std::thread::yield_now();
    }
    // All of them, not only the first.
    std::thread::sleep(Duration::from_millis(300));
    let mut block = vec![7; BYTES * in_block];
    paced(time, rate, || {
        block[..8].copy_from_slice(&now().to_le_bytes());
        publisher.put(&block[..]).wait().unwrap();
    });
    publisher.put(&[0u8][..]).wait().unwrap();
    let report = |(_process, mut output): (Process, std::io::Lines<_>)| {
        serde_json::from_str(&output.next().unwrap().unwrap()).unwrap()
    };
    processes.into_iter().map(report).collect()
}

fn consume(mut consumer: Consumer, timed: bool) -> Value {
    let mut tally = Tally::default();
    while let Some(mut batch) = consumer.receive_batch(1000).unwrap() {
        while let Some(message) = batch.next() {
            tally.message(&message, timed, 1);
        }
    }
    assert_eq!(consumer.losses().total(), 0);
    tally.report()
}

/// A ring and so many mirrors of it, by this build of the bridge.
fn bridged(bridge: &str, time: Duration, mirrors: usize, rate: u64) -> Vec<Value> {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = directory.path().join("source");
    let ring = Ring::builder(source.clone())
        .capacity_bytes(8 << 20)
        .create()
        .unwrap();
    let port = free_port();
    let address = format!("tcp/127.0.0.1:{port}");
    let start = |arguments: &[&str]| {
        let mut command = Command::new(bridge);
        let command = command.args(arguments).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert!(line.contains("ing "), "{line}");
        (Process(child), errors)
    };
    let names: Vec<String> = (0..mirrors).map(|n| format!("mirror-{n}")).collect();
    let mut serve = vec!["serve", source.to_str().unwrap(), "--listen", &address];
    serve.extend(["--lossless", "--from", "oldest", "--name", "bench"]);
    for name in &names {
        serve.extend(["--require", name]);
    }
    let mut processes = vec![start(&serve)];
    let mut consumers = Vec::new();
    for name in &names {
        let copy = directory.path().join(name);
        let copy = copy.to_str().unwrap();
        let mirror = [
            "mirror",
            copy,
            "--connect",
            &address,
            "--name",
            "bench",
            "--from",
            "0",
        ];
        processes.push(start(&[&mirror[..], &["--as", name]].concat()));
        let copy = Ring::open(PathBuf::from(copy)).unwrap();
        let consumer = copy.consumer(Start::Oldest).unwrap();
        consumers.push(std::thread::spawn(move || consume(consumer, rate > 0)));
    }
    let mut producer = ring.producer().unwrap();
    let mut message = [7; BYTES];
    if rate > 0 {
        paced(time, rate, || {
            message[..8].copy_from_slice(&now().to_le_bytes());
            producer.publish(&message).unwrap();
        });
    } else {
        let began = Instant::now();
        while began.elapsed() < time {
            for _ in 0..IN_FRAME {
                producer.publish(&message).unwrap();
            }
        }
    }
    producer.close();
    consumers
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// The slowest of the receivers: millions of messages a second.
fn speed(reports: &[Value]) -> f64 {
    let each = reports.iter().map(|report| {
        report["messages"].as_f64().unwrap() * 1e3 / report["nanos"].as_f64().unwrap()
    });
    each.fold(f64::INFINITY, f64::min)
}

fn slowest(reports: &[Value], key: &str) -> f64 {
    let each = reports
        .iter()
        .map(|report| report[key].as_f64().unwrap() / 1e3);
    each.fold(0.0, f64::max)
}

/// What takes its turn, and what came of it each time.
struct Contender<'a> {
    name: &'a str,
    run: Box<dyn Fn() -> Vec<Value> + 'a>,
    reports: Vec<Vec<Value>>,
}

impl<'a> Contender<'a> {
    fn new(name: &'a str, run: impl Fn() -> Vec<Value> + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
            reports: Vec::new(),
        }
    }

    fn go(&mut self) {
        self.reports.push((self.run)());
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let first = arguments.next();
    if first.as_deref() == Some("subscribe") {
        let port = arguments.next().unwrap().parse().unwrap();
        return subscribe(port, arguments.next().as_deref() == Some("true"));
    }
    let time = Duration::from_secs_f64(first.map_or(2.0, |seconds| seconds.parse().unwrap()));
    let rounds = arguments.next().map_or(3, |rounds| rounds.parse().unwrap());
    let own = env!("CARGO_BIN_EXE_slipring-bridge").to_owned();
    let mut bridges = vec![("bridge", own)];
    bridges.extend(arguments.next().map(|other| ("other", other)));
    for receivers in [1, 4] {
        let put = || raw(time, receivers, 1, 0);
        let frames = || raw(time, receivers, IN_FRAME, 0);
        let timed_put = || raw(time, receivers, 1, RATE);
        let mut speeds = vec![Contender::new("put", put), Contender::new("frames", frames)];
        let mut timed = vec![Contender::new("put", timed_put)];
        for (name, bridge) in &bridges {
            speeds.push(Contender::new(name, || bridged(bridge, time, receivers, 0)));
            let run = || bridged(bridge, time, receivers, RATE);
            timed.push(Contender::new(name, run));
        }
        for _ in 0..rounds {
            speeds.iter_mut().chain(&mut timed).for_each(Contender::go);
        }
        println!("{receivers} receivers, median of {rounds} rounds");
        for contender in &speeds {
            let speed = median(contender.reports.iter().map(|round| speed(round)).collect());
            let bytes = speed * BYTES as f64;
            println!(
                "  {:<8} {speed:>8.2} M messages/s {bytes:>8.0} MB/s",
                contender.name
            );
        }
        for contender in &timed {
            let [p50, p99, p999] = ["p50", "p99", "p999"].map(|key| {
                let rounds = contender.reports.iter();
                median(rounds.map(|round| slowest(round, key)).collect())
            });
            println!(
                "  {:<8} at {RATE}/s: p50 {p50:.0} us, p99 {p99:.0} us, p99.9 {p999:.0} us",
                contender.name
            );
        }
    }
}
