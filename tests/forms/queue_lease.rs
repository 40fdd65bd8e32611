//! Queues with a lease: what a live receiver holds for too long goes to another one, whichever way that one looks; what
//! the first does with it afterwards changes nothing.

use slipring::{
    endpoint::Source,
    place::{CreateError, GeometryError},
    queue::{AckError, Receiver, ReceiverOptions, SendError, TakeError},
    Deadline, Queue, Strategy, WaitSet,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};
use testing::books::{kills_wanted, Books, Random};
use testing::{check, payload, say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    a_lease_has_bounds_and_is_said,
    a_message_that_is_held_for_too_long_goes_to_another_receiver,
    a_stopped_receiver_loses_its_message_and_is_told,
    nothing_comes_back_before_its_time,
    what_was_taken_away_stays_readable_and_cannot_be_given_back,
    a_lane_that_is_full_because_of_one_receiver_gets_on,
    receivers_stopped_at_random_lose_nothing,
]);

const LEASE: Duration = Duration::from_millis(20);

fn at(directory: &Path) -> PathBuf {
    directory.join("queue")
}

fn new_queue(scratch: &Scratch, depth: u32, lease: Duration) -> Queue {
    let builder = Queue::builder(at(&scratch.0)).depth(depth);
    let builder = builder.max_message_bytes(600).lease(lease);
    builder.create().unwrap()
}

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let queue = Queue::open(at(&directory)).unwrap();
    match role {
        "hold" => {
            let mut receiver = queue.receiver().unwrap();
            let delivery = receiver.receive_until(PATIENCE).unwrap();
            say("ready");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            check(&delivery, 0);
            say(&format!("{:?}", delivery.ack()));
            // It goes on as before.
            let delivery = receiver.receive_until(PATIENCE).unwrap();
            check(&delivery, 1);
            say(&format!("{:?}", delivery.ack()));
        }
        "sender" => send_for_ever(&queue, &books(&directory), arguments[1].parse().unwrap()),
        "receiver" => receive_for_ever(&queue, &books(&directory), arguments[1].parse().unwrap()),
        role => panic!("no role {role}"),
    }
}

// --- The setting.

fn a_lease_has_bounds_and_is_said() {
    let scratch = Scratch::new();
    let ms = Duration::from_millis;
    let (min, max) = (ms(1), Duration::from_secs(30 * 24 * 3600));
    let nanosecond = Duration::from_nanos(1);
    for lease in [
        nanosecond,
        min - nanosecond,
        max + nanosecond,
        Duration::MAX,
    ] {
        let refused = Queue::builder(at(&scratch.0)).lease(lease).create();
        let expected = GeometryError::Lease { lease, min, max };
        assert!(
            matches!(&refused, Err(CreateError::Geometry(error)) if *error == expected),
            "{refused:?}"
        );
        assert!(!at(&scratch.0).exists());
    }
    let shown = GeometryError::Lease {
        lease: nanosecond,
        min,
        max,
    };
    assert_eq!(
        shown.to_string(),
        "a lease of 1ns is not allowed: use 1ms to 2592000s, or zero for none"
    );
    for (asked, found) in [
        (Duration::ZERO, None),
        (min, Some(min)),
        (min + nanosecond, Some(ms(2))),
        (Duration::from_secs(90), Some(Duration::from_secs(90))),
        (max, Some(max)),
    ] {
        let scratch = Scratch::new();
        let queue = new_queue(&scratch, 4, asked);
        assert_eq!((queue.lease(), queue.depth()), (found, 4));
        let again = Queue::open(at(&scratch.0)).unwrap();
        assert_eq!(again.status().unwrap().lease, found);
        assert_eq!(again.max_message_bytes(), 600);
        // The lanes have the numbers of the queue.
        again.sender().unwrap().send(b"x").unwrap();
        again.receiver().unwrap().receive().unwrap().ack().unwrap();
    }
    let queue = new_queue(&scratch, 4, LEASE);
    for (lease, differs) in [(LEASE, false), (Duration::ZERO, true), (2 * LEASE, true)] {
        let builder = Queue::builder(queue.path()).depth(4).max_message_bytes(600);
        let found = builder.lease(lease).create_or_open().unwrap();
        let told: Vec<String> = found.differences().iter().map(|d| d.to_string()).collect();
        let wanted = match lease.is_zero() {
            true => "lease: 20ms, not none",
            false => "lease: 20ms, not 40ms",
        };
        assert_eq!(told, if differs { vec![wanted] } else { vec![] });
        assert_eq!(found.lease(), Some(LEASE));
    }
}

// --- Every way to look.

/// How a receiver looks for messages until it has one that was taken before.
#[derive(Clone, Copy, Debug)]
enum Way {
    Waits(Strategy),
    WaitsForMoments,
    Polls,
    WaitsOnly,
    InASet(bool),
    Busy,
}

const WAYS: [Way; 9] = [
    Way::Waits(Strategy::Park),
    Way::Waits(Strategy::Spin),
    Way::Waits(Strategy::Yield),
    Way::WaitsForMoments,
    Way::Polls,
    Way::WaitsOnly,
    Way::InASet(false),
    Way::InASet(true),
    Way::Busy,
];

/// Receives by such a way until the message comes back, and acknowledges it.
fn until_redelivered(queue: &Queue, way: Way, number: u64) {
    let strategy = match way {
        Way::Waits(strategy) => strategy,
        _ => Strategy::Park,
    };
    let options = ReceiverOptions::new().strategy(strategy);
    let mut receiver = queue.receiver_with(options).unwrap();
    let mut sender = queue.sender().unwrap();
    let started = Instant::now();
    let mut set = WaitSet::with_spin(Duration::ZERO);
    if matches!(way, Way::InASet(true)) {
        set = WaitSet::with_spin(Duration::MAX);
    }
    loop {
        assert!(started.elapsed() < PATIENCE, "{way:?}: never");
        let delivery = match way {
            Way::Waits(_) => receiver.receive_until(PATIENCE),
            Way::WaitsForMoments => receiver.receive_until(Duration::ZERO),
            Way::Polls => receiver.try_receive(),
            Way::WaitsOnly => {
                receiver.wait_until(PATIENCE).unwrap();
                receiver.try_receive()
            }
            Way::InASet(_) => {
                let mut sources: [&mut dyn Source; 1] = [&mut receiver];
                assert_eq!(set.wait(&mut sources, Deadline::after(PATIENCE)), Some(0));
                receiver.try_receive()
            }
            Way::Busy => {
                // There is always another message, in another lane of the same priority.
                sender.send_with_priority(b"busy", 3).unwrap();
                receiver.receive_until(PATIENCE)
            }
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(TakeError::Empty | TakeError::TimedOut) => continue,
            Err(error) => panic!("{error}"),
        };
        if delivery.redelivered() {
            check(&delivery, number);
            assert_eq!(delivery.tries(), 2);
            delivery.ack().unwrap();
            break;
        }
        assert_eq!(&*delivery, b"busy", "{way:?}");
        delivery.ack().unwrap();
    }
    while let Ok(delivery) = receiver.try_receive() {
        assert_eq!(&*delivery, b"busy");
        delivery.ack().unwrap();
    }
}

fn a_message_that_is_held_for_too_long_goes_to_another_receiver() {
    for way in WAYS {
        for lease in [Duration::from_millis(1), LEASE, Duration::from_millis(300)] {
            let scratch = Scratch::new();
            let queue = new_queue(&scratch, 8, lease);
            let mut sender = queue.sender().unwrap();
            sender.send_with_priority(&payload(0, 100), 3).unwrap();
            let mut slow = queue.receiver().unwrap();
            let taken = Instant::now();
            let late = slow.receive_until(PATIENCE).unwrap();
            assert!(!late.redelivered());
            let lane = late.lane();
            // The other one runs apart: no call of this thread helps it.
            std::thread::scope(|scope| {
                scope.spawn(|| until_redelivered(&queue, way, 0));
            });
            assert!(taken.elapsed() >= lease, "{way:?}: before {lease:?}");
            check(&late, 0);
            let refused = late.ack();
            let expected = AckError::Expired {
                lane,
                sequence: 0,
                lease,
            };
            assert_eq!(refused, Err(expected), "{way:?}");
            let status = queue.status().unwrap();
            assert_eq!((status.waiting, status.held), (0, 0), "{way:?}");
            // The slow one takes part again.
            sender.send_with_priority(&payload(1, 100), 3).unwrap();
            let delivery = slow.receive_until(PATIENCE).unwrap();
            check(&delivery, 1);
            assert_eq!(delivery.tries(), 1);
            delivery.ack().unwrap();
        }
    }
}

fn a_stopped_receiver_loses_its_message_and_is_told() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 4, LEASE);
    let mut sender = queue.sender().unwrap();
    sender.send(&payload(0, 100)).unwrap();
    let mut holder = Peer::start("hold", &[text(&scratch.0)]);
    holder.stop();
    let mut receiver = queue.receiver().unwrap();
    let delivery = receiver.receive_until(PATIENCE).unwrap();
    check(&delivery, 0);
    assert_eq!(delivery.tries(), 2);
    // It may take as long as it likes while no other receiver can look.
    delivery.ack().unwrap();
    drop(receiver);
    holder.signal(libc::SIGCONT);
    let told = holder.tell("go on");
    assert_eq!(told, "Err(Expired { lane: 0, sequence: 0, lease: 20ms })");
    sender.send(&payload(1, 100)).unwrap();
    assert_eq!(holder.line(), "Ok(())");
    holder.finish();
    let status = queue.status().unwrap();
    assert_eq!((status.waiting, status.held), (0, 0));
}

/// Without a lease, and with one that is not over, a message stays with its receiver.
fn nothing_comes_back_before_its_time() {
    for lease in [Duration::ZERO, Duration::from_secs(3600)] {
        let scratch = Scratch::new();
        let queue = new_queue(&scratch, 4, lease);
        let mut sender = queue.sender().unwrap();
        sender.send(&payload(0, 100)).unwrap();
        let mut slow = queue.receiver().unwrap();
        let delivery = slow.receive_until(PATIENCE).unwrap();
        let mut other = queue.receiver().unwrap();
        let nothing = other.receive_until(5 * LEASE).map(|d| d.tries());
        assert!(matches!(nothing, Err(TakeError::TimedOut)), "{nothing:?}");
        delivery.ack().unwrap();
        assert_eq!(queue.status().unwrap().held, 0);
    }
    // A receiver that gives it back and takes it again begins a lease anew.
    let scratch = Scratch::new();
    let lease = Duration::from_secs(1);
    let queue = new_queue(&scratch, 4, lease);
    queue.sender().unwrap().send(&payload(0, 100)).unwrap();
    let (mut slow, mut other) = (queue.receiver().unwrap(), queue.receiver().unwrap());
    let tries = loop {
        let taken = Instant::now();
        let first = slow.receive_until(PATIENCE).unwrap();
        let tries = first.tries();
        // Notes the first taking.
        match other.receive_until(lease * 3 / 5) {
            Err(TakeError::TimedOut) => break tries,
            // This thread had no core for so long that the lease was over. Given back, the message is as it was before.
            Ok(early) => {
                assert!(taken.elapsed() >= lease, "{:?}", taken.elapsed());
                assert_eq!(early.tries(), tries + 1);
            }
            Err(error) => panic!("{error}"),
        }
    };
    let taken = Instant::now();
    let second = slow.receive_until(PATIENCE).unwrap();
    assert_eq!(second.tries(), tries + 1);
    let third = other.receive_until(PATIENCE).unwrap();
    assert!(taken.elapsed() >= lease, "{:?}", taken.elapsed());
    assert_eq!(third.tries(), tries + 2);
    assert!(second.ack().is_err());
    third.ack().unwrap();
}

fn what_was_taken_away_stays_readable_and_cannot_be_given_back() {
    for len in [0, 8, 100, 600] {
        let scratch = Scratch::new();
        let queue = new_queue(&scratch, 2, Duration::from_millis(2));
        let mut sender = queue.sender().unwrap();
        sender.send(&payload(0, len)).unwrap();
        let (mut slow, mut other) = (queue.receiver().unwrap(), queue.receiver().unwrap());
        let late = slow.receive_until(PATIENCE).unwrap();
        other.receive_until(PATIENCE).unwrap().ack().unwrap();
        // Several laps of the lane, so that another message lies where it lay.
        for number in 1..40 {
            sender
                .send_until(&payload(number, 600), 0, PATIENCE)
                .unwrap();
            let delivery = other.receive_until(PATIENCE).unwrap();
            check(&delivery, number);
            delivery.ack().unwrap();
        }
        assert_eq!(late.len(), len);
        check(&late, 0);
        // Another message has its take word, and is with the other receiver.
        sender.send(&payload(40, 100)).unwrap();
        let delivery = other.receive_until(PATIENCE).unwrap();
        check(&delivery, 40);
        drop(late);
        let status = queue.status().unwrap();
        assert_eq!((status.waiting, status.held), (0, 1), "given back twice");
        delivery.ack().unwrap();
        // One that went back and waits is not given back again either, nor acknowledged.
        for acknowledges in [false, true] {
            sender.send(&payload(41, 100)).unwrap();
            let late = slow.receive_until(PATIENCE).unwrap();
            let back = other.receive_until(PATIENCE).unwrap();
            assert_eq!(back.tries(), 2);
            drop(back);
            match acknowledges {
                true => assert!(matches!(late.ack(), Err(AckError::Expired { .. }))),
                false => drop(late),
            }
            let back = other.receive_until(PATIENCE).unwrap();
            check(&back, 41);
            assert_eq!(back.tries(), 3);
            back.ack().unwrap();
        }
    }
}

fn a_lane_that_is_full_because_of_one_receiver_gets_on() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 2, LEASE);
    let mut sender = queue.sender().unwrap();
    sender.send(&payload(0, 100)).unwrap();
    sender.send(&payload(1, 100)).unwrap();
    let holder = Peer::start("hold", &[text(&scratch.0)]);
    holder.stop();
    let full = sender.try_send(b"");
    let pid = holder.child.id();
    assert!(
        matches!(full, Err(SendError::Full { holder: Some(h) }) if h.pid == pid),
        "{full:?}"
    );
    let receiver = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut receiver = queue.receiver().unwrap();
            let mut came: Vec<u64> = (0..3)
                .map(|_| {
                    let delivery = receiver.receive_until(PATIENCE).unwrap();
                    let number = (0..3).find(|n| *delivery == *payload(*n, 100)).unwrap();
                    assert_eq!(delivery.redelivered(), number == 0);
                    delivery.ack().unwrap();
                    number
                })
                .collect();
            came.sort_unstable();
            came
        });
        sender.send_until(&payload(2, 100), 0, PATIENCE).unwrap();
        receiver.join().unwrap()
    });
    assert_eq!(receiver, [0, 1, 2]);
    holder.kill();
}

// --- Chaos.

const PARTIES: [&str; 5] = ["sender", "sender", "receiver", "receiver", "receiver"];
const MESSAGES: usize = 1 << 16;
const SENT: u8 = 1;
const FIRST: u8 = 2;
const ACKED: u8 = 4;
/// Words of the books.
const STOP_SENDING: usize = 0;
const STOP_RECEIVING: usize = 1;
const REFUSED: usize = 2;
const NEXT: usize = 8;
const BEATS: usize = 16;

fn books(directory: &Path) -> Books {
    Books::open(directory, 64, 2 * MESSAGES)
}

/// From 8 bytes up to the longest, mostly the longest.
fn message(party: usize, number: u64, longest: u32) -> Vec<u8> {
    let id = (party as u64) << 32 | number;
    let mut bytes = id.to_le_bytes().to_vec();
    let rest = u64::from(longest) - 8;
    let shorter = match number.is_multiple_of(5) {
        true => number * 37 % (rest + 1),
        false => 0,
    };
    bytes.extend(payload(id, (rest - shorter) as usize));
    bytes
}

fn send_for_ever(queue: &Queue, books: &Books, party: usize) {
    let mut sender = queue.sender().unwrap();
    say("ready");
    while books.word(STOP_SENDING).load(SeqCst) == 0 {
        books.word(BEATS + party).fetch_add(1, Relaxed);
        let number = books.word(NEXT + party).load(SeqCst);
        if number as usize >= MESSAGES {
            std::thread::park_timeout(Duration::from_millis(1));
            continue;
        }
        let bytes = message(party, number, queue.max_message_bytes());
        match sender.send_until(
            &bytes,
            number.is_multiple_of(7).into(),
            Duration::from_millis(20),
        ) {
            Ok(_) => {}
            Err(SendError::TimedOut { .. }) => continue,
            Err(error) => panic!("{error}"),
        }
        let entry = books.byte(party * MESSAGES + number as usize);
        entry.fetch_or(SENT, SeqCst);
        books.word(NEXT + party).store(number + 1, SeqCst);
    }
}

fn receive_for_ever(queue: &Queue, books: &Books, party: usize) {
    let mut receiver = queue.receiver().unwrap();
    say("ready");
    while books.word(STOP_RECEIVING).load(SeqCst) == 0 {
        books.word(BEATS + party).fetch_add(1, Relaxed);
        receive_one(&mut receiver, queue, books);
    }
}

/// Returns `true` if there was a message.
fn receive_one(receiver: &mut Receiver, queue: &Queue, books: &Books) -> bool {
    let delivery = match receiver.receive_until(Duration::from_millis(20)) {
        Ok(delivery) => delivery,
        Err(TakeError::TimedOut) => return false,
        Err(error) => panic!("{error}"),
    };
    let id = u64::from_le_bytes(delivery[..8].try_into().unwrap());
    let (from, number) = ((id >> 32) as usize, id & u64::from(u32::MAX));
    assert_eq!(
        *delivery,
        message(from, number, queue.max_message_bytes()),
        "torn"
    );
    let entry = books.byte(from * MESSAGES + number as usize);
    if !delivery.redelivered() {
        let before = entry.fetch_or(FIRST, SeqCst);
        assert_eq!(before & FIRST, 0, "{number} of {from} came twice");
    }
    // Slow now and then, without being stopped.
    if number.is_multiple_of(1021) {
        std::thread::sleep(2 * queue.lease().unwrap());
    }
    match delivery.ack() {
        Ok(()) => {
            let before = entry.fetch_or(ACKED, SeqCst);
            assert_eq!(before & ACKED, 0, "{number} of {from} acknowledged twice");
        }
        Err(AckError::Expired { .. }) => {
            books.word(REFUSED).fetch_add(1, SeqCst);
        }
        Err(error) => panic!("{error}"),
    }
    true
}

/// Receivers are stopped for longer than the lease and go on, or are killed while they are stopped.
fn receivers_stopped_at_random_lose_nothing() {
    let mut random = Random::new();
    let mut refused = 0;
    for round in 0..4 {
        let depth = 2 << random.below(6);
        let longest = 8 + random.below(1000);
        let lease = 1 + random.below(8);
        let stops = (kills_wanted() + round) / 4;
        refused += stop_at_random(&mut random, depth as u32, longest as u32, lease, stops);
    }
    println!("  {refused} acknowledgements refused");
    assert!(refused > 0, "no receiver was ever late");
}

fn stop_at_random(random: &mut Random, depth: u32, longest: u32, lease: u64, stops: u64) -> u64 {
    println!("  depth {depth}, messages of {longest} bytes, lease {lease} ms, {stops} stops");
    let scratch = Scratch::new();
    let builder = Queue::builder(at(&scratch.0)).depth(depth);
    let builder = builder.lease(Duration::from_millis(lease));
    let queue = builder.max_message_bytes(longest).create().unwrap();
    let books = books(&scratch.0);
    let mut parties = Parties::numbered(&PARTIES, text(&scratch.0));
    let mut killed = 0;
    for _ in 0..stops {
        let party = 2 + random.below(3) as usize;
        parties.peer(party).stop();
        std::thread::sleep(random.millis(0, 3 * lease));
        if random.below(8) == 0 {
            parties.kill(party, random, 2);
            parties.replace(party);
            killed += 1;
        } else {
            parties.peer(party).signal(libc::SIGCONT);
        }
    }
    parties.get_on(|party| books.word(BEATS + party).load(Relaxed));
    books.word(STOP_SENDING).store(1, SeqCst);
    parties.finish(0..2);
    books.word(STOP_RECEIVING).store(1, SeqCst);
    parties.finish(2..5);
    let mut receiver = queue.receiver().unwrap();
    let started = Instant::now();
    loop {
        let status = queue.status().unwrap();
        if (status.waiting, status.held) == (0, 0) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{status:?}");
        receive_one(&mut receiver, &queue, &books);
    }
    let (mut sent, mut unmarked) = (0, 0);
    for party in 0..2 {
        for number in 0..books.word(NEXT + party).load(SeqCst) as usize {
            let entry = books.byte(party * MESSAGES + number).load(SeqCst);
            assert_eq!(entry & SENT, SENT);
            sent += 1;
            // A receiver that was killed between the acknowledgement and its note.
            unmarked += u64::from(entry & ACKED == 0);
        }
    }
    assert!(
        unmarked <= killed,
        "{unmarked} of {sent} lost, {killed} kills"
    );
    let refused = books.word(REFUSED).load(SeqCst);
    println!("  {sent} messages, each done once; {refused} late, {killed} killed");
    refused
}
