//! Two hosts, as far as one machine can be two: processes of the command, over TCP on the loopback interface, killed,
//! stopped, and cut off from each other.

use slipring::endpoint::{ReceiveError, Why};
use slipring::{Consumer, Ring, Start};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// A process that is killed when it is dropped.
struct Running {
    child: Child,
}

impl Running {
    /// Starts it, and waits until it says that it has begun.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("ing "), "{line}");
        // What else it says is shown, and never fills the pipe.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                eprintln!("{line}");
            }
        });
        Self { child }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Hosts {
    _directory: tempfile::TempDir,
    source: PathBuf,
    copies: [PathBuf; 2],
    port: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn hosts() -> Hosts {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    Hosts {
        source: at("quotes"),
        copies: [at("copy-0"), at("copy-1")],
        port: free_port(),
        _directory: directory,
    }
}

fn bridge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-bridge"));
    command.args(arguments);
    command
}

impl Hosts {
    fn serve(&self, more: &[&str]) -> Running {
        let address = format!("tcp/127.0.0.1:{}", self.port);
        let mut command = bridge(&["serve", self.source.to_str().unwrap()]);
        Running::start(command.args(["--listen", &address]).args(more))
    }

    fn mirror_by(&self, n: usize, port: u16, more: &[&str]) -> Running {
        let address = format!("tcp/127.0.0.1:{port}");
        let mut command = bridge(&["mirror", self.copies[n].to_str().unwrap()]);
        command.args(["--name", "quotes", "--connect", &address]);
        Running::start(command.args(more))
    }

    fn mirror(&self, n: usize, more: &[&str]) -> Running {
        self.mirror_by(n, self.port, more)
    }
}

/// What a reader of a mirror has found.
#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    received: u64,
    lost: u64,
    epochs: u64,
}

impl Ledger {
    /// Reads up to and without a sequence; every message is what it has to be, and every hole a gap.
    fn read(&mut self, consumer: &mut Consumer, until: u64) {
        let end = Instant::now() + LONG;
        while self.next < until {
            assert!(Instant::now() < end, "{self:?}, before {until}");
            let message = match consumer.receive_until(Duration::from_millis(100)) {
                Ok(Some(message)) => message,
                // Its process was killed, and comes again.
                Ok(None) | Err(ReceiveError::ProducerGone { .. } | ReceiveError::TimedOut) => {
                    continue
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(message.missed(), 0);
            let before = self.next;
            let gap = message.gap();
            assert_eq!(message[..8], message.sequence().to_le_bytes());
            self.next = message.sequence() + 1;
            self.received += 1;
            self.lost += message.sequence() - before;
            if message.sequence() != before {
                let gap = gap.expect("a hole that is no gap");
                assert_eq!((gap.end, gap.why), (message.sequence(), Why::Lost));
            }
            drop(message);
            self.epochs += u64::from(consumer.new_epoch().is_some());
        }
        assert_eq!(consumer.losses().skipped, self.lost);
    }
}

fn reader(path: &Path) -> Consumer {
    Ring::open(path.to_owned())
        .unwrap()
        .consumer(Start::Oldest)
        .unwrap()
}

#[test]
fn a_ring_appears_on_another_host() {
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(&0u64.to_le_bytes()).unwrap();
    let source = hosts.serve(&[]);
    let copy = hosts.mirror(0, &["--from", "oldest", "--as", "london"]);
    let mut consumer = reader(&hosts.copies[0]);
    for n in 1..10_000u64 {
        let mut message = vec![0; 8 + (n % 500) as usize];
        message[..8].copy_from_slice(&n.to_le_bytes());
        producer.publish(&message).unwrap();
    }
    let mut ledger = Ledger::default();
    ledger.read(&mut consumer, 10_000);
    let address = format!("tcp/127.0.0.1:{}", hosts.port);
    // The source hears of it at the next acknowledgement.
    let until = Instant::now() + LONG;
    loop {
        let mut status = bridge(&["status", "quotes", "--json", "--connect", &address]);
        let status = status.output().unwrap();
        let state: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(state["next_sequence"], 10_000);
        assert_eq!(state["id"], format!("{:032x}", ring.id()));
        assert_eq!(state["mirrors"][0]["name"], "london");
        if state["mirrors"][0]["behind"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "{state}");
    }
    let mut status = bridge(&["status", "quotes", "--connect", &address]);
    let text = String::from_utf8(status.output().unwrap().stdout).unwrap();
    assert!(text.contains("london: 0 behind"), "{text}");
    drop((source, copy));
}

/// Publishes until it is killed. A test of its own, so that this program can be run again as a producer.
#[test]
fn as_a_producer() {
    let Ok(path) = std::env::var("SLIPRING_BRIDGE_PRODUCER") else {
        return;
    };
    let ring = Ring::open(PathBuf::from(path)).unwrap();
    let mut producer = ring.producer().unwrap();
    eprintln!("publishing ");
    let started = Instant::now();
    for n in 0.. {
        let next = producer.next_sequence();
        producer.publish(&next.to_le_bytes()).unwrap();
        // Twenty thousand in a second.
        while started.elapsed() < Duration::from_micros(50) * n {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn producing(path: &Path) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "as_a_producer", "--nocapture"]);
    command.stdout(Stdio::null());
    Running::start(command.env("SLIPRING_BRIDGE_PRODUCER", path))
}

fn kills() -> u64 {
    let kills = std::env::var("SLIPRING_BRIDGE_KILLS").ok();
    kills.map_or(9, |kills| kills.parse().unwrap())
}

/// Each of the three processes is killed in turns, at any moment, and started again. What the source ring still has is
/// never lost; of a small ring, what it overwrote meanwhile is an exact gap.
#[test]
fn every_process_is_killed_again_and_again() {
    for capacity in [64 << 20, 64 << 10] {
        let hosts = hosts();
        let ring = Ring::builder(hosts.source.clone())
            .capacity_bytes(capacity)
            .create()
            .unwrap();
        let mut source = hosts.serve(&[]);
        let mut producer = producing(&hosts.source);
        let from = ["--from", "0", "--as", "london"];
        let mut copy = hosts.mirror(0, &from);
        let mut consumer = reader(&hosts.copies[0]);
        let mut ledger = Ledger::default();
        let mut random = std::process::id() | 1;
        for kill in 0..kills() {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            std::thread::sleep(Duration::from_millis(u64::from(random >> 24)));
            match kill % 3 {
                0 => {
                    drop(copy);
                    copy = hosts.mirror(0, &from);
                }
                1 => {
                    drop(source);
                    source = hosts.serve(&[]);
                }
                _ => {
                    drop(producer);
                    producer = producing(&hosts.source);
                }
            }
            let reached = ring.status().unwrap().next_sequence.unwrap();
            ledger.read(&mut consumer, reached);
        }
        drop(producer);
        let end = ring.status().unwrap().next_sequence.unwrap();
        ledger.read(&mut consumer, end);
        assert_eq!(ledger.received + ledger.lost, end);
        assert!(ledger.epochs > 0);
        let all = u64::from(capacity == 64 << 20);
        assert!(ledger.lost * all == 0, "{ledger:?}");
        drop((source, copy));
    }
}

/// A link that can be cut: connections to one port go to another.
struct Link {
    port: u16,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Link {
    fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicBool::new(true));
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (opens, kept) = (open.clone(), streams.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                if !opens.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || forward(from, to));
                }
                kept.extend([near, far]);
            }
        });
        Self {
            port,
            open,
            streams,
        }
    }

    fn cut(&self) {
        let mut streams = self.streams.lock().unwrap();
        self.open.store(false, Ordering::SeqCst);
        for stream in streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n) = from.read(&mut bytes) {
        if n == 0 || to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_link_that_is_cut_loses_nothing_that_the_source_still_has() {
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone())
        .capacity_bytes(16 << 20)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let _source = hosts.serve(&[]);
    let link = Link::to(hosts.port);
    let _copy = hosts.mirror_by(0, link.port, &["--from", "0"]);
    let mut consumer = reader(&hosts.copies[0]);
    let mut ledger = Ledger::default();
    let mut next = 0u64;
    let mut publish = |many: u64| {
        for n in next..next + many {
            producer.publish(&n.to_le_bytes()).unwrap();
        }
        next += many;
        next
    };
    for _ in 0..3 {
        let reached = publish(2000);
        ledger.read(&mut consumer, reached);
        link.cut();
        let reached = publish(20_000);
        link.mend();
        ledger.read(&mut consumer, reached);
    }
    assert_eq!(ledger.lost, 0);
}

/// Far more than all queues and socket buffers hold goes past a mirror that is stopped.
#[test]
fn a_mirror_that_is_stopped_holds_no_other_back() {
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone())
        .capacity_bytes(4 << 20)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let lossless = ["--lossless", "--require", "london", "--from", "oldest"];
    let _source = hosts.serve(&lossless);
    let from = ["--from", "oldest", "--as", "london"];
    let _copy = hosts.mirror(0, &from);
    let stopped = hosts.mirror(1, &["--from", "oldest", "--as", "paris"]);
    let mut consumer = reader(&hosts.copies[0]);
    let mut other = reader(&hosts.copies[1]);
    producer.publish(&0u64.to_le_bytes()).unwrap();
    Ledger::default().read(&mut other, 1);
    stopped.signal(rustix::process::Signal::STOP);
    const MANY: u64 = 64 << 10;
    let writer = std::thread::spawn(move || {
        let mut message = vec![7; 1000];
        for n in 1..MANY {
            message[..8].copy_from_slice(&n.to_le_bytes());
            producer.publish_until(&message, LONG).unwrap();
        }
        producer
    });
    let mut ledger = Ledger::default();
    ledger.read(&mut consumer, MANY);
    assert_eq!(ledger.lost, 0);
    let mut producer = writer.join().unwrap();
    stopped.signal(rustix::process::Signal::CONT);
    // It has the rest, and an exact account of what is gone.
    producer.publish(&MANY.to_le_bytes()).unwrap();
    let mut ledger = Ledger {
        next: 1,
        ..Ledger::default()
    };
    ledger.read(&mut other, MANY + 1);
    assert_eq!(ledger.received + ledger.lost, MANY);
}
