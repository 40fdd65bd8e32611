//! Queues and mailboxes: what comes back from the dead to callers that only poll, deliveries that are
//! leaked, and damaged lanes.
#![allow(unsafe_code, reason = "damages a lane")]

use memmap2::MmapOptions;
use slipring::{
    mailbox::RequestError,
    queue::{SendError, TakeError},
    Mailbox, Queue,
};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    who_only_polls_gets_what_the_dead_held,
    who_only_polls_a_full_lane_frees_it,
    a_mailbox_that_is_polled_gets_what_the_dead_held,
    short_requests_learn_that_nobody_is_left,
    a_leaked_delivery_goes_back,
    leaked_replies_hold_nobody_up,
    a_damaged_lane_is_reported_once_and_stops_no_other,
]);

fn queue(directory: &Path) -> Queue {
    Queue::open(directory.join("queue")).unwrap()
}

fn new_queue(scratch: &Scratch, depth: u32) -> Queue {
    let builder = Queue::builder(scratch.0.join("queue"));
    builder
        .depth(depth)
        .max_message_bytes(600)
        .create()
        .unwrap()
}

fn new_mailbox(scratch: &Scratch) -> Mailbox {
    let builder = Mailbox::builder(scratch.0.join("mailbox"));
    builder.depth(4).max_message_bytes(64).create().unwrap()
}

fn victim(role: &str) {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    match role {
        "hold" => {
            let mut receiver = queue(&directory).receiver().unwrap();
            let _delivery = receiver.receive_until(PATIENCE).unwrap();
            say("ready");
            std::thread::park();
        }
        "hold a letter" => {
            let mailbox = Mailbox::open(directory.join("mailbox")).unwrap();
            let mut receiver = mailbox.receiver().unwrap();
            let _letter = receiver.receive_until(PATIENCE).unwrap();
            say("ready");
            std::thread::park();
        }
        "be there" => {
            let mailbox = Mailbox::open(directory.join("mailbox")).unwrap();
            let _receiver = mailbox.receiver().unwrap();
            say("ready");
            std::thread::park();
        }
        role => panic!("no role {role}"),
    }
}

/// Calls until there is an answer.
fn poll<T>(mut call: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = call() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "never");
        std::thread::yield_now();
    }
}

// --- Callers that only poll.

fn who_only_polls_gets_what_the_dead_held() {
    for waits in [false, true] {
        let scratch = Scratch::new();
        let queue = new_queue(&scratch, 4);
        queue.sender().unwrap().send(&payload(0, 64)).unwrap();
        let holder = Peer::start("hold", &[text(&scratch.0)]);
        let mut receiver = queue.receiver().unwrap();
        assert!(matches!(receiver.try_receive(), Err(TakeError::Empty)));
        holder.kill();
        poll(|| {
            let delivery = match waits {
                false => receiver.try_receive(),
                // Never long enough to be asleep.
                true => receiver.receive_until(Duration::ZERO),
            };
            match delivery {
                Ok(delivery) => {
                    check(&delivery, 0);
                    assert!(delivery.redelivered());
                    delivery.ack().unwrap();
                    Some(())
                }
                Err(TakeError::Empty | TakeError::TimedOut) => None,
                Err(error) => panic!("{error}"),
            }
        });
        assert_eq!(queue.status().unwrap().waiting, 0);
    }
}

fn who_only_polls_a_full_lane_frees_it() {
    for waits in [false, true] {
        let scratch = Scratch::new();
        let queue = new_queue(&scratch, 2);
        let mut sender = queue.sender().unwrap();
        sender.send(&payload(0, 64)).unwrap();
        sender.send(&payload(1, 64)).unwrap();
        let holder = Peer::start("hold", &[text(&scratch.0)]);
        assert_eq!(queue.status().unwrap().held, 1);
        holder.kill();
        poll(|| {
            let full = match waits {
                false => sender.try_send(b""),
                true => sender.send_until(b"", 0, Duration::ZERO),
            };
            match full {
                Err(SendError::Full { holder } | SendError::TimedOut { holder }) => {
                    holder.is_none().then_some(())
                }
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(
            (
                queue.status().unwrap().held,
                queue.status().unwrap().waiting
            ),
            (0, 2)
        );
    }
}

fn a_mailbox_that_is_polled_gets_what_the_dead_held() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    mailbox.client("alice").unwrap().send(b"letter").unwrap();
    let holder = Peer::start("hold a letter", &[text(&scratch.0)]);
    let mut receiver = mailbox.receiver().unwrap();
    holder.kill();
    poll(|| match receiver.try_receive() {
        Ok(letter) => {
            assert!(letter.redelivered());
            letter.ack();
            Some(())
        }
        Err(TakeError::Empty) => None,
        Err(error) => panic!("{error}"),
    });
}

fn short_requests_learn_that_nobody_is_left() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    let desk = Peer::start("be there", &[text(&scratch.0)]);
    let mut alice = mailbox.client("alice").unwrap();
    let mut ask = || {
        let short = Duration::from_micros(100);
        alice.request_until(b"", short).map(|reply| reply.len())
    };
    assert!(matches!(ask(), Err(RequestError::TimedOut)));
    desk.kill();
    // Its letters may be as many as there is room for; the outcome is the same.
    poll(|| match ask() {
        Err(RequestError::PeerGone) => Some(()),
        Err(RequestError::TimedOut) => None,
        other => panic!("{other:?}"),
    });
}

// --- What is leaked.

fn a_leaked_delivery_goes_back() {
    // By receivers that go on, and by one that leaves.
    for leaves in [false, true] {
        let scratch = Scratch::new();
        let queue = new_queue(&scratch, 2);
        let mut sender = queue.sender().unwrap();
        let mut one = queue.receiver().unwrap();
        let mut other = queue.receiver().unwrap();
        for round in 0..10 {
            sender.send(&payload(round, 64)).unwrap();
            std::mem::forget(one.receive_until(PATIENCE).unwrap());
            assert!(matches!(other.try_receive(), Err(TakeError::Empty)));
            let receiver = if leaves {
                one = queue.receiver().unwrap();
                &mut other
            } else {
                &mut one
            };
            let delivery = receiver.try_receive().unwrap();
            check(&delivery, round);
            assert!(delivery.redelivered());
            delivery.ack().unwrap();
        }
        assert_eq!(queue.status().unwrap().held, 0);
    }
}

fn leaked_replies_hold_nobody_up() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    let mut alice = mailbox.client("alice").unwrap();
    let desk = mailbox.clone();
    let rounds = 20u64;
    let answers = std::thread::spawn(move || {
        let mut receiver = desk.receiver().unwrap();
        for round in 0..rounds {
            let letter = receiver.receive_until(PATIENCE).unwrap();
            letter.reply(&payload(round, 40)).unwrap();
        }
    });
    for round in 0..rounds {
        let reply = alice.request_until(b"", PATIENCE).unwrap();
        check(&reply, round);
        std::mem::forget(reply);
    }
    answers.join().unwrap();
    assert_eq!(mailbox.status().unwrap().late, 0, "none of them was late");
}

// --- Damage.

/// Where a stream says how far its producer may have overwritten it.
const RESERVE: usize = 4096;

fn a_damaged_lane_is_reported_once_and_stops_no_other() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 4);
    let mut bad = queue.sender().unwrap();
    let mut good = queue.sender().unwrap();
    bad.send(&payload(0, 64)).unwrap();
    good.send(&payload(1, 64)).unwrap();
    let mut receiver = queue.receiver().unwrap();
    for _ in 0..2 {
        receiver.try_receive().unwrap().ack().unwrap();
    }
    let stream = queue.path().join("lane-0").join("stream");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(stream)
        .unwrap();
    let map = MmapOptions::new().map_raw(&file).unwrap();
    // SAFETY: an aligned word inside the mapping, which lives as long as `map`.
    let reserve = unsafe { &*map.as_mut_ptr().add(RESERVE).cast::<AtomicU64>() };
    reserve.store(1 << 60, Relaxed);
    let waited = receiver
        .receive_until(Duration::from_millis(100))
        .map(|d| d.len());
    assert!(
        matches!(waited, Err(TakeError::Corrupt(_) | TakeError::TimedOut)),
        "{waited:?}"
    );
    // Said once, by then or in the next wait; what is sound goes on.
    if matches!(waited, Err(TakeError::TimedOut)) {
        let waited = receiver.receive_until(PATIENCE).map(|d| d.len());
        assert!(matches!(waited, Err(TakeError::Corrupt(_))), "{waited:?}");
    }
    let quiet = receiver
        .receive_until(Duration::from_millis(20))
        .map(|d| d.len());
    assert!(matches!(quiet, Err(TakeError::TimedOut)), "{quiet:?}");
    good.send(&payload(2, 64)).unwrap();
    let delivery = receiver.receive_until(PATIENCE).unwrap();
    check(&delivery, 2);
    delivery.ack().unwrap();
}
