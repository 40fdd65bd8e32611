//! Deaths of a queue's senders and receivers: at each change that they make to shared memory, and beside one that is busy.
#![allow(unsafe_code, reason = "maps what the victim changes")]

use memmap2::{MmapOptions, MmapRaw};
use slipring::queue::Delivery;
use slipring::Queue;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testing::tracee::{Step, Tracee};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    a_sender_killed_on_its_way_to_a_lane_hides_it_from_nobody,
    what_a_dead_receiver_held_comes_to_one_that_always_finds_a_message,
]);

fn at(directory: &Path) -> PathBuf {
    directory.join("queue")
}

fn victim(role: &str) {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    let queue = Queue::open(at(&directory)).unwrap();
    if role == "hold" {
        let mut receiver = queue.receiver().unwrap();
        let held = receiver.receive_until(PATIENCE).unwrap();
        say("ready");
        std::thread::park();
        return drop(held);
    }
    let mut sender = queue.sender().unwrap();
    assert_eq!(role, "send");
    testing::tracee::begin();
    sender.send(&payload(0, 40)).unwrap();
    testing::tracee::end();
}

/// What the queue itself shares: rows, bells, the list of lanes.
struct Shared {
    map: MmapRaw,
    before: Vec<u8>,
}

impl Shared {
    fn of(directory: &Path) -> Self {
        let control = File::open(at(directory).join("control")).unwrap();
        let map = MmapOptions::new().map_raw_read_only(&control).unwrap();
        let mut shared = Self {
            map,
            before: Vec::new(),
        };
        shared.changed();
        shared
    }

    /// Whether it has changed since the last call. The only process that writes is the victim, which is
    /// stopped.
    fn changed(&mut self) -> bool {
        // SAFETY: inside the mapping, which lives as long as `self`.
        let now = unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) };
        let changed = now != self.before;
        if changed {
            self.before = now.to_vec();
        }
        changed
    }
}

/// How many steps of system calls the victim makes before the first change.
fn calls_before_a_change(directory: &Path) -> u64 {
    let mut victim = Tracee::start("send", &[text(directory)]);
    let mut shared = Shared::of(directory);
    (0..)
        .find(|_| {
            assert_eq!(victim.syscall(), Step::Done);
            shared.changed()
        })
        .unwrap()
}

/// Runs the victim up to its change number `nth` of what the queue itself shares, and kills it there.
/// Returns `false` if it makes fewer changes.
fn killed_at_change(directory: &Path, calls: u64, nth: usize) -> bool {
    let mut victim = Tracee::start("send", &[text(directory)]);
    let mut shared = Shared::of(directory);
    assert!(victim.steps(calls, Tracee::syscall));
    let mut changes = 0;
    while victim.step() == Step::Done {
        changes += usize::from(shared.changed());
        if changes == nth {
            victim.kill();
            return true;
        }
    }
    false
}

/// A queue, in which a sender has left a lane or not.
fn prepare(scratch: &Scratch, takes_over: bool) -> Queue {
    let queue = Queue::builder(at(&scratch.0))
        .depth(4)
        .max_message_bytes(64);
    let queue = queue.create().unwrap();
    if takes_over {
        queue.sender().unwrap().send(&payload(9, 40)).unwrap();
        queue.receiver().unwrap().receive().unwrap().ack().unwrap();
    }
    queue
}

fn a_sender_killed_on_its_way_to_a_lane_hides_it_from_nobody() {
    for takes_over in [false, true] {
        let scratch = Scratch::new();
        prepare(&scratch, takes_over);
        let calls = calls_before_a_change(&scratch.0);
        let mut nth = 1;
        loop {
            let scratch = Scratch::new();
            let queue = prepare(&scratch, takes_over);
            let mut receiver = queue.receiver().unwrap();
            if !killed_at_change(&scratch.0, calls, nth) {
                break;
            }
            let mut next = queue.sender().unwrap();
            next.send(&payload(1, 40)).unwrap();
            // A receiver that was there before gets it at once, and what the dead one may have sent.
            let mut came = Vec::new();
            while let Ok(delivery) = receiver.try_receive() {
                came.push(delivery.to_vec());
                delivery.ack().unwrap();
            }
            let last = came.pop();
            let last = last.unwrap_or_else(|| panic!("nothing is found after change {nth}"));
            check(&last, 1);
            for (number, message) in (0..).zip(&came) {
                check(message, number);
            }
            assert!(came.len() <= 1, "sent once, came {} times", came.len());
            nth += 1;
        }
        println!("  {} kills", nth - 1);
        assert!(nth > 2, "a first send changes the list and its version");
    }
}

/// What the busy receiver does with each message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Busy {
    Acknowledges,
    GivesBack,
}

/// No sender waits for room meanwhile, and no receiver for a message.
fn what_a_dead_receiver_held_comes_to_one_that_always_finds_a_message() {
    let day = Duration::from_secs(24 * 3600);
    for (lease, busy, len, pause) in [
        (None, Busy::Acknowledges, 0, 0),
        (None, Busy::Acknowledges, 600, 0),
        (None, Busy::Acknowledges, 40, 20),
        (None, Busy::Acknowledges, 600, 160),
        (None, Busy::GivesBack, 40, 0),
        (Some(day), Busy::Acknowledges, 40, 0),
        (Some(day), Busy::GivesBack, 40, 5),
    ] {
        let context = format!("{lease:?} {busy:?} {len} {pause}");
        let scratch = Scratch::new();
        let queue = Queue::builder(at(&scratch.0)).depth(1024);
        let queue = queue
            .max_message_bytes(600)
            .lease(lease.unwrap_or_default());
        let queue = queue.create().unwrap();
        // Its sender sends no more, and so does not look after it.
        let mut first = queue.sender().unwrap();
        first.send(&payload(0, 50)).unwrap();
        let dead = Peer::start("hold", &[text(&scratch.0)]);
        let mut receiver = queue.receiver().unwrap();
        assert!(receiver.try_receive().is_err(), "{context}");
        let mut other = queue.sender().unwrap();
        let mut sent = 1;
        let mut send = || {
            other.try_send(&payload(sent, len)).unwrap();
            sent += 1;
        };
        // It has looked, and looks again when it is time.
        send();
        drop(receiver.try_receive().unwrap());
        receiver.try_receive().unwrap().ack().unwrap();
        send();
        dead.kill();
        let (begin, mut received) = (Instant::now(), 0);
        let is_its = |delivery: &Delivery<'_>| {
            let is_its = delivery.len() == 50;
            if is_its {
                check(delivery, 0);
                assert_eq!(delivery.tries(), 2);
            }
            is_its
        };
        loop {
            send();
            let delivery = receiver.try_receive().unwrap();
            if is_its(&delivery) {
                break delivery.ack().unwrap();
            }
            received += 1;
            if busy == Busy::GivesBack {
                drop(delivery);
                let delivery = receiver.try_receive().unwrap();
                if is_its(&delivery) {
                    break delivery.ack().unwrap();
                }
                delivery.ack().unwrap();
            } else {
                delivery.ack().unwrap();
            }
            std::thread::sleep(Duration::from_millis(pause));
            assert!(begin.elapsed() < PATIENCE, "{context}: {received} received");
        }
        println!("  {context}: {received} messages, {:?}", begin.elapsed());
    }
}
