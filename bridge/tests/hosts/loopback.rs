//! A source and mirrors of it over the loopback interface.

use crate::link::Link;
use crate::process::{hosts, status, LONG};
use slipring::endpoint::{ReceiveError, Why};
use slipring::{Consumer, Ring, Start};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a reader of a mirror has found.
#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    received: u64,
    lost: u64,
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
        let output = status(&address, &["--json"]).output().unwrap();
        let state: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(state["next_sequence"], 10_000);
        assert_eq!(state["id"], format!("{:032x}", ring.id()));
        assert_eq!(state["mirrors"][0]["name"], "london");
        if state["mirrors"][0]["behind"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "{state}");
    }
    let output = status(&address, &[]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("london: 0 behind"), "{text}");
    drop((source, copy));
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
