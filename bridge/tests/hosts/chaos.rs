//! Every process is killed and stopped, and the link is cut and stalled, at random moments; the account stays exact.
//!
//! | variable | default | means |
//! |---|---|---|
//! | `SLIPRING_BRIDGE_KILLS` | 8 | kills of each of the three runs; to four of them comes one cut |
//! | `SLIPRING_BRIDGE_SEED` | of the process | which events, and when; a failure prints it |

use crate::ledger::{finish, producing, reading, Ledger};
use crate::link::Link;
use crate::process::{hosts, mirroring, serving, Hosts, Running};
use rustix::process::Signal;
use slipring::Ring;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The processes, in this order.
const NAMES: [&str; 4] = ["the producer", "serve", "mirror", "the reader"];

struct Run {
    capacity: u64,
    rate: u32,
    lossless: bool,
    /// Which of the processes are killed.
    killed: [bool; 4],
    /// Whether anything may be lost.
    loses: bool,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}

struct Chaos {
    run: Run,
    hosts: Hosts,
    link: Link,
    notes: PathBuf,
    random: Random,
    running: Vec<Running>,
}

impl Chaos {
    fn command(&mut self, which: usize) -> Command {
        let hosts = &self.hosts;
        match which {
            0 => producing(&hosts.source, self.run.rate),
            1 => {
                let lossless: &[&str] = match self.run.lossless {
                    true => &["--lossless", "--require", "london", "--from", "oldest"],
                    false => &[],
                };
                serving(&hosts.source, hosts.port, lossless)
            }
            2 => {
                let window = (64 << self.random.below(8)).to_string() + "K";
                let more = ["--from", "0", "--as", "london", "--window", &window];
                mirroring(&hosts.copies[0], self.link.port, &more)
            }
            _ => reading(&hosts.copies[0], &hosts.source, &self.notes),
        }
    }

    fn start(&mut self, which: usize) -> Running {
        Running::spawn(&mut self.command(which))
    }

    fn kill(&mut self) {
        let which = loop {
            let which = self.random.below(4) as usize;
            if self.run.killed[which] {
                break which;
            }
        };
        // The old one ends first: two of one role at a time would be another fault.
        drop(self.running.remove(which));
        // Sometimes it is away for a while.
        if self.random.below(4) == 0 {
            self.random.pause(300);
        }
        let again = self.start(which);
        self.running.insert(which, again);
    }

    fn stop(&mut self) {
        let which = self.random.below(4) as usize;
        self.running[which].signal(Signal::STOP);
        self.random.pause(400);
        self.running[which].signal(Signal::CONT);
    }

    fn cut(&mut self) {
        match self.random.below(4) {
            0 | 1 => self.link.cut(),
            2 => self.link.stall([true, true]),
            _ => {
                let one = self.random.below(2) == 0;
                self.link.stall([one, !one]);
            }
        }
        // Sometimes for longer than a link without a sign of life is kept.
        let most = if self.random.below(8) == 0 { 5000 } else { 500 };
        self.random.pause(most);
        self.link.mend();
    }

    fn check(&mut self) {
        for (running, name) in self.running.iter_mut().zip(NAMES) {
            running.still_runs(name);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let set = std::env::var(variable).ok()?;
    Some(set.parse().unwrap())
}

fn endure(run: Run) {
    let seed = number("SLIPRING_BRIDGE_SEED").unwrap_or(u64::from(std::process::id()));
    eprintln!("SLIPRING_BRIDGE_SEED={seed}");
    let kills = number("SLIPRING_BRIDGE_KILLS").unwrap_or(8);
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone())
        .capacity_bytes(run.capacity)
        .create()
        .unwrap();
    let notes = hosts.directory.path().join("notes");
    let mut ledger = Ledger::new(notes.clone(), &ring);
    let mut chaos = Chaos {
        link: Link::to(hosts.port),
        hosts,
        notes,
        random: Random(seed),
        run,
        running: Vec::new(),
    };
    // Before there is a source that waits, and a reader of the mirror, a ring loses what it overwrites.
    let serve = Running::start(&mut chaos.command(1));
    chaos.running.push(serve);
    for which in [2, 3] {
        let running = chaos.start(which);
        chaos.running.push(running);
    }
    ledger.attached();
    let producer = chaos.start(0);
    chaos.running.insert(0, producer);
    let mut cuts = 0;
    for kill in 1..=kills {
        chaos.random.pause(250);
        if chaos.random.below(3) == 0 {
            chaos.stop();
            chaos.random.pause(50);
        }
        if cuts * 4 < kill {
            chaos.cut();
            cuts += 1;
            chaos.random.pause(250);
        }
        chaos.check();
        chaos.kill();
        ledger.look();
        if chaos.random.below(3) == 0 {
            let reached = ring.status().unwrap().next_sequence.unwrap();
            ledger.reach(reached, || chaos.check());
        }
    }
    drop(chaos.running.remove(0));
    let end = finish(&ring);
    ledger.reach(end, || ());
    chaos
        .running
        .iter_mut()
        .for_each(|running| running.still_runs("one"));
    eprintln!("{kills} kills, {cuts} cuts: {ledger:?}");
    assert_eq!(ledger.next, end);
    assert_eq!(
        ledger.received + ledger.lost + ledger.missed + ledger.never,
        end
    );
    assert!(ledger.received > 0);
    if !chaos.run.loses {
        assert_eq!((ledger.lost, ledger.missed), (0, 0), "{ledger:?}");
    }
}

/// Of a ring that keeps everything for as long as a process is away, nothing is lost.
#[test]
fn a_large_ring_loses_nothing() {
    endure(Run {
        capacity: 256 << 20,
        rate: 10_000,
        lossless: false,
        killed: [true; 4],
        loses: false,
    });
}

/// Of a small one, what it overwrote meanwhile is gone, and nothing else.
#[test]
fn a_small_ring_loses_what_it_overwrote() {
    endure(Run {
        capacity: 64 << 10,
        rate: 20_000,
        lossless: false,
        killed: [true; 4],
        loses: true,
    });
}

/// A source that waits for its mirror loses nothing, however small its ring is, as long as it lives itself; and the
/// mirror waits for its reader as long as that lives.
#[test]
fn a_lossless_source_loses_nothing() {
    endure(Run {
        capacity: 64 << 10,
        rate: 20_000,
        lossless: true,
        killed: [true, false, true, false],
        loses: false,
    });
}
