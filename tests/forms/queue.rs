//! Message queues: against an oracle, between processes, and under random deaths.

use proptest::prelude::*;
use slipring::{
    place::{OpenError, RemoveError},
    queue::{Receiver, ReceiverOptions, SendError, Sender, TakeError, PRIORITIES},
    Queue, Ring,
};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};
use testing::books::{kills_wanted, Books, Random};
use testing::{check, payload, say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_with_its_numbers,
    a_queue_is_not_a_ring,
    a_sleeper_wakes_for_any_lane,
    a_full_lane_waits_for_its_receiver,
    a_lane_that_is_full_loses_nothing,
    a_dead_receiver_returns_what_it_held,
    a_dead_sender_leaves_its_lane_to_the_next,
    random_deaths_lose_nothing,
]);

fn queue(scratch: &Scratch) -> Queue {
    Queue::open(scratch.0.join("queue")).unwrap()
}

fn new_queue(scratch: &Scratch, depth: u32) -> Queue {
    let builder = Queue::builder(scratch.0.join("queue"));
    builder
        .depth(depth)
        .max_message_bytes(600)
        .create()
        .unwrap()
}

// --- The oracle.

#[derive(Clone, Debug)]
enum Step {
    /// Sender, priority, length.
    Send(usize, u8, usize),
    /// Receiver; whether it acknowledges.
    Receive(usize, bool),
    /// A sender goes, and another takes its place.
    NewSender(usize),
    /// A receiver goes, and another takes its place.
    NewReceiver(usize),
}

const DEPTH: usize = 8;
const SENDERS: usize = 3;
const RECEIVERS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..SENDERS, 0..PRIORITIES, 0..620usize).prop_map(|(s, p, l)| Step::Send(s, p % 3, l)),
        6 => (0..RECEIVERS, any::<bool>()).prop_map(|(r, ack)| Step::Receive(r, ack)),
        1 => (0..SENDERS).prop_map(Step::NewSender),
        1 => (0..RECEIVERS).prop_map(Step::NewReceiver),
    ]
}

/// What waits, and how often it was delivered.
struct Letter {
    number: u64,
    priority: u8,
    len: usize,
    tries: u32,
}

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(200);
    runner
        .run(&prop::collection::vec(step(), 1..120), |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

fn follow(steps: &[Step]) {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, DEPTH as u32);
    let mut senders: Vec<Sender> = (0..SENDERS).map(|_| queue.sender().unwrap()).collect();
    let mut receivers: Vec<Receiver> = (0..RECEIVERS).map(|_| queue.receiver().unwrap()).collect();
    // Lanes by number, in order; which lane a sender has at a priority.
    let mut lanes: Vec<VecDeque<Letter>> = Vec::new();
    let mut owned = [[None::<usize>; 3]; SENDERS];
    let mut priorities = Vec::new();
    let mut next = 0u64;
    for step in steps {
        match *step {
            Step::Send(s, p, len) => {
                let bytes = payload(next, len);
                let result = senders[s].try_send_with_priority(&bytes, p);
                if len > 600 {
                    let refused =
                        matches!(result, Err(SendError::TooLarge { len: l, max: 600 }) if l == len);
                    assert!(refused, "{result:?}");
                    continue;
                }
                // The first of this priority without an owner, else a new one.
                let free = |at: &usize| {
                    priorities[*at] == p && !owned.iter().flatten().any(|o| *o == Some(*at))
                };
                let lane = owned[s][usize::from(p)].or_else(|| (0..lanes.len()).find(free));
                let lane = lane.unwrap_or_else(|| {
                    lanes.push(VecDeque::new());
                    priorities.push(p);
                    lanes.len() - 1
                });
                owned[s][usize::from(p)] = Some(lane);
                if lanes[lane].len() == DEPTH {
                    assert!(
                        matches!(result, Err(SendError::Full { holder: None })),
                        "{result:?}"
                    );
                } else {
                    assert!(result.is_ok(), "{result:?}");
                    lanes[lane].push_back(Letter {
                        number: next,
                        priority: p,
                        len,
                        tries: 0,
                    });
                    next += 1;
                }
            }
            Step::Receive(r, ack) => {
                let best = lanes
                    .iter()
                    .filter_map(|lane| lane.front())
                    .map(|l| l.priority)
                    .max();
                match receivers[r].try_receive() {
                    Err(TakeError::Empty) => assert_eq!(best, None),
                    Err(error) => panic!("{error}"),
                    Ok(delivery) => {
                        let lane = delivery.lane() as usize;
                        let letter = lanes[lane].front_mut().expect("something was in it");
                        assert_eq!(Some(delivery.priority()), best);
                        assert_eq!(delivery.len(), letter.len);
                        check(&delivery, letter.number);
                        letter.tries += 1;
                        assert_eq!(delivery.tries(), letter.tries);
                        assert_eq!(delivery.redelivered(), letter.tries > 1);
                        if ack {
                            delivery.ack().unwrap();
                            lanes[lane].pop_front();
                        }
                    }
                }
            }
            Step::NewSender(s) => {
                senders[s] = queue.sender().unwrap();
                owned[s] = [None; 3];
            }
            Step::NewReceiver(r) => {
                // Two live at once for a moment, which there is room for.
                receivers[r] = queue.receiver().unwrap();
            }
        }
        let status = queue.status().unwrap();
        assert_eq!(
            status.waiting,
            lanes.iter().map(|l| l.len() as u64).sum::<u64>()
        );
        assert_eq!((status.held, status.lanes as usize), (0, lanes.len()));
        assert_eq!(status.receivers as usize, RECEIVERS);
    }
}

// --- Refusals.

fn what_is_refused_is_refused_with_its_numbers() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 3);
    assert_eq!(queue.depth(), 4, "rounded up");
    let mut sender = queue.sender().unwrap();
    let priority = sender.try_send_with_priority(b"x", 8);
    assert!(matches!(priority, Err(SendError::Priority { priority: 8 })));
    let large = sender.send(&[0; 601]);
    assert!(matches!(
        large,
        Err(SendError::TooLarge { len: 601, max: 600 })
    ));
    for _ in 0..4 {
        sender.try_send(&[1; 600]).unwrap();
    }
    assert!(matches!(
        sender.try_send(b""),
        Err(SendError::Full { holder: None })
    ));
    let late = sender.send_until(b"", 0, Duration::from_millis(5));
    assert!(matches!(late, Err(SendError::TimedOut { holder: None })));
    let mut receiver = queue.receiver().unwrap();
    let row = receiver.row();
    let delivery = receiver.receive().unwrap();
    // While a live receiver holds the message, the lane stays full, and the error names the receiver.
    let full = sender.try_send(b"");
    assert!(
        matches!(full, Err(SendError::Full { holder: Some(h) })
            if (h.row, h.pid) == (row, std::process::id())),
        "{full:?}"
    );
    delivery.ack().unwrap();
    sender.try_send(b"").unwrap();
    drop((sender, receiver));
    let mut receiver = queue.receiver().unwrap();
    for _ in 0..4 {
        receiver.try_receive().unwrap().ack().unwrap();
    }
    assert!(matches!(receiver.try_receive(), Err(TakeError::Empty)));
    let late = receiver.receive_until(Duration::from_millis(5));
    assert!(matches!(late, Err(TakeError::TimedOut)));
}

fn a_queue_is_not_a_ring() {
    let scratch = Scratch::new();
    let path = scratch.0.join("queue");
    let queue = new_queue(&scratch, 4);
    let error = Ring::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Form { .. }), "{error}");
    assert!(
        error.to_string().contains("is a queue, not a ring"),
        "{error}"
    );
    Ring::builder(scratch.ring()).create().unwrap();
    let error = Queue::open(scratch.ring()).unwrap_err();
    assert!(
        error.to_string().contains("is a ring, not a queue"),
        "{error}"
    );
    let mut sender = queue.sender().unwrap();
    sender.send(b"x").unwrap();
    let in_use = slipring::registry::remove_at(&path, false);
    assert!(
        matches!(in_use, Err(RemoveError::InUse { .. })),
        "{in_use:?}"
    );
    drop(sender);
    slipring::registry::remove_at(&path, false).unwrap();
    assert!(!path.exists());
}

// --- Processes.

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = std::path::PathBuf::from(&arguments[0]);
    let queue = Queue::open(directory.join("queue")).unwrap();
    match role {
        "hold" => {
            let mut receiver = queue.receiver().unwrap();
            let delivery = receiver.receive().unwrap();
            check(&delivery, 0);
            say("ready");
            std::thread::park();
        }
        "send" => {
            let mut sender = queue.sender().unwrap();
            for number in 0..3 {
                sender.send(&payload(number, 100)).unwrap();
            }
            say("ready");
            std::thread::park();
        }
        "sleep" => {
            let options = ReceiverOptions::new().strategy(slipring::Strategy::Park);
            let mut receiver = queue.receiver_with(options).unwrap();
            say("ready");
            for number in 0..3 {
                let delivery = receiver.receive_until(PATIENCE).unwrap();
                check(&delivery, number);
                delivery.ack().unwrap();
                say("got it");
            }
        }
        "sender" => send_for_ever(
            &queue,
            &open_books(&directory),
            arguments[1].parse().unwrap(),
        ),
        "receiver" => receive_for_ever(
            &queue,
            &open_books(&directory),
            arguments[1].parse().unwrap(),
        ),
        role => panic!("no role {role}"),
    }
}

fn a_sleeper_wakes_for_any_lane() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 4);
    let mut sleeper = Peer::start("sleep", &[text(&scratch.0)]);
    // A lane it has never seen, one it knows, and one of another sender.
    let mut sender = queue.sender().unwrap();
    let mut other = queue.sender().unwrap();
    for number in 0..3 {
        sleeper.asleep();
        let sender = if number < 2 { &mut sender } else { &mut other };
        sender.send(&payload(number, 64)).unwrap();
        assert_eq!(sleeper.line(), "got it");
    }
    sleeper.finish();
}

fn a_full_lane_waits_for_its_receiver() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 2);
    let mut sender = queue.sender().unwrap();
    sender.send(&payload(0, 50)).unwrap();
    sender.send(&payload(1, 50)).unwrap();
    let waiter = std::thread::spawn(move || {
        sender.send_until(&payload(2, 50), 0, PATIENCE).unwrap();
        sender
    });
    let mut receiver = queue.receiver().unwrap();
    for number in 0..3 {
        let delivery = receiver.receive_until(PATIENCE).unwrap();
        check(&delivery, number);
        delivery.ack().unwrap();
    }
    waiter.join().unwrap();
}

/// Sizes at which messages fill nearly all of a lane: the first frame of its oldest block is soon gone, while
/// the others are not done.
fn a_lane_that_is_full_loses_nothing() {
    let sizes = [
        (64, 240),
        (64, 480),
        (128, 240),
        (128, 1000),
        (256, 1008),
        (128, 2000),
    ];
    for (depth, bytes) in sizes {
        let scratch = Scratch::new();
        let builder = Queue::builder(scratch.0.join("queue"));
        let queue = builder
            .depth(depth)
            .max_message_bytes(bytes)
            .create()
            .unwrap();
        let mut sender = queue.sender().unwrap();
        let mut next = 0;
        let mut fill = |sender: &mut Sender| {
            while sender.try_send(&payload(next, bytes as usize)).is_ok() {
                next += 1;
            }
        };
        let mut first = queue.receiver().unwrap();
        let mut oldest = 0;
        // Several laps, so that the oldest message lies everywhere in its block.
        for round in 0..3 * u64::from(depth) {
            fill(&mut sender);
            // Given back, it comes again, to a receiver that comes only now too.
            check(&first.try_receive().unwrap(), oldest);
            if round % 7 == 0 {
                let mut second = queue.receiver().unwrap();
                check(&second.try_receive().unwrap(), oldest);
            }
            if round % 11 == 0 {
                // The next sender overwrites nothing that a receiver holds.
                let held = first.try_receive().unwrap();
                sender = queue_sender_after(sender, &queue);
                let refused = sender.try_send(b"");
                assert!(
                    matches!(refused, Err(SendError::Full { .. })),
                    "{refused:?}"
                );
                check(&held, oldest);
            }
            let delivery = first.try_receive().unwrap();
            check(&delivery, oldest);
            delivery.ack().unwrap();
            oldest += 1;
        }
        drop(first);
        let mut last = queue.receiver().unwrap();
        while let Ok(delivery) = last.try_receive() {
            check(&delivery, oldest);
            delivery.ack().unwrap();
            oldest += 1;
        }
        assert_eq!(oldest, next, "depth {depth}, {bytes} bytes");
    }
}

fn queue_sender_after(sender: Sender, queue: &Queue) -> Sender {
    drop(sender);
    queue.sender().unwrap()
}

fn a_dead_receiver_returns_what_it_held() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 2);
    let mut sender = queue.sender().unwrap();
    for number in 0..2 {
        sender.send(&payload(number, 64)).unwrap();
    }
    let holder = Peer::start("hold", &[text(&scratch.0)]);
    assert_eq!(queue.status().unwrap().held, 1);
    let mut receiver = queue.receiver().unwrap();
    let delivery = receiver.receive().unwrap();
    check(&delivery, 1);
    delivery.ack().unwrap();
    assert!(matches!(receiver.try_receive(), Err(TakeError::Empty)));
    holder.kill();
    // Found by a receiver that waits.
    let delivery = receiver.receive_until(PATIENCE).unwrap();
    check(&delivery, 0);
    assert!(delivery.redelivered());
    delivery.ack().unwrap();
    assert!(matches!(receiver.try_receive(), Err(TakeError::Empty)));
    drop(receiver);

    // Found by a sender that waits for room, and then by a new receiver.
    for number in 0..2 {
        sender.send(&payload(number, 64)).unwrap();
    }
    Peer::start("hold", &[text(&scratch.0)]).kill();
    let late = sender.send_until(b"", 0, Duration::from_millis(300));
    assert!(
        matches!(late, Err(SendError::TimedOut { holder: None })),
        "{late:?}"
    );
    Peer::start("hold", &[text(&scratch.0)]).kill();
    let mut receiver = queue.receiver().unwrap();
    let delivery = receiver.try_receive().unwrap();
    assert_eq!(delivery.tries(), 3);
    check(&delivery, 0);
}

fn a_dead_sender_leaves_its_lane_to_the_next() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch, 4);
    Peer::start("send", &[text(&scratch.0)]).kill();
    let mut sender = queue.sender().unwrap();
    assert_eq!(
        sender.send(&payload(3, 100)).unwrap(),
        3,
        "the same lane goes on"
    );
    assert!(matches!(sender.try_send(b""), Err(SendError::Full { .. })));
    let mut receiver = queue.receiver().unwrap();
    for number in 0..4 {
        let delivery = receiver.try_receive().unwrap();
        check(&delivery, number);
        delivery.ack().unwrap();
    }
    assert_eq!(queue.status().unwrap().lanes, 1);
}

// --- Chaos.

const MESSAGES: usize = 4 << 20;
const PARTIES: [&str; 5] = ["sender", "sender", "receiver", "receiver", "receiver"];
/// What the books hold of a message: it was received once or more, and it was acknowledged.
const SEEN: u8 = 1;
const ACKED: u8 = 2;

fn open_books(directory: &std::path::Path) -> Books {
    Books::open(directory, 64, 2 * MESSAGES)
}

/// Everything below this was sent for certain, and what is being sent now.
fn sent(
    books: &Books,
    party: usize,
) -> (&std::sync::atomic::AtomicU64, &std::sync::atomic::AtomicU64) {
    (books.word(2 * party), books.word(2 * party + 1))
}

/// Words that say who is to stop: senders first, so that none is left waiting for room.
const NO_MORE_SENDING: usize = 40;
const NO_MORE_RECEIVING: usize = 41;

fn stopping(books: &Books, who: usize) -> bool {
    books.word(who).load(SeqCst) != 0
}

/// Mostly as long as can be, so that they fill the lane; at least the id.
fn message(party: usize, number: u64, longest: u32) -> Vec<u8> {
    let id = (party as u64) << 32 | number;
    let mut bytes = id.to_le_bytes().to_vec();
    let rest = u64::from(longest) - 8;
    let shorter = if number.is_multiple_of(5) {
        number * 37 % (rest + 1)
    } else {
        0
    };
    bytes.extend(payload(id, (rest - shorter) as usize));
    bytes
}

fn send_for_ever(queue: &Queue, books: &Books, party: usize) {
    let mut sender = queue.sender().unwrap();
    let (acked, trying) = sent(books, party);
    // The outcome of an interrupted send is not known; it is not repeated.
    acked.store(trying.load(SeqCst), SeqCst);
    say("ready");
    while !stopping(books, NO_MORE_SENDING) {
        let number = acked.load(SeqCst);
        if number as usize >= MESSAGES {
            std::thread::park_timeout(Duration::from_millis(1));
            continue;
        }
        trying.store(number + 1, SeqCst);
        let priority = (number % 11 == 0).into();
        match sender.send_until(
            &message(party, number, queue.max_message_bytes()),
            priority,
            PATIENCE,
        ) {
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
        // What was sent for certain, as opposed to perhaps.
        books
            .byte(party * MESSAGES + number as usize)
            .fetch_or(4, SeqCst);
        acked.store(number + 1, SeqCst);
        books.word(16 + party).fetch_add(1, Relaxed);
    }
}

fn receive_for_ever(queue: &Queue, books: &Books, party: usize) {
    let receiver = queue.receiver().unwrap();
    say("ready");
    receive_until_idle(receiver, queue, books, party, || {
        stopping(books, NO_MORE_RECEIVING)
    });
}

fn receive_until_idle(
    mut receiver: Receiver,
    queue: &Queue,
    books: &Books,
    party: usize,
    stops: impl Fn() -> bool,
) {
    let mut last = std::collections::BTreeMap::new();
    let longest = queue.max_message_bytes();
    loop {
        books.word(16 + party).fetch_add(1, Relaxed);
        let delivery = match receiver.receive_until(Duration::from_millis(20)) {
            Ok(delivery) => delivery,
            Err(TakeError::TimedOut) if stops() => return,
            Err(TakeError::TimedOut) => continue,
            Err(error) => panic!("{error}"),
        };
        let id = u64::from_le_bytes(delivery[..8].try_into().unwrap());
        let (from, number) = ((id >> 32) as usize, id & u64::from(u32::MAX));
        assert_eq!(*delivery, message(from, number, longest), "torn");
        let state = books.byte(from * MESSAGES + number as usize);
        let before = state.fetch_or(SEEN, SeqCst);
        assert_eq!(
            before & ACKED,
            0,
            "{number} of {from} came after it was acknowledged"
        );
        // Seen before means delivered before, but not the other way round: the receiver that had it may
        // have died before it looked.
        assert!(
            before & SEEN == 0 || delivery.redelivered(),
            "{number} of {from} came twice"
        );
        if !delivery.redelivered() {
            let before = last.insert(delivery.lane(), delivery.sequence());
            assert!(before < Some(delivery.sequence()), "out of order");
        }
        let gives_back = id % 101 == 0 && delivery.tries() == 1;
        if gives_back {
            drop(delivery);
            continue;
        }
        // Before, so that a kill in between leaves something that came back unacknowledged.
        books.word(50).fetch_add(1, SeqCst);
        delivery.ack().unwrap();
        state.fetch_or(ACKED, SeqCst);
    }
}

/// Several queues one after the other: messages fill from half to all of their lanes.
fn random_deaths_lose_nothing() {
    let mut random = Random::new();
    let rounds = 4;
    for round in 0..rounds {
        let depth = 2 << random.below(7);
        let fill = 50 + random.below(51).max(random.below(51));
        let frame = (4096 << random.below(5)) * fill / 100 / (depth + 2);
        let longest = (frame & !7).clamp(24, 8192) - 8;
        let kills = (kills_wanted() + round) / rounds;
        kill_at_random(&mut random, depth as u32, longest as u32, kills);
    }
}

fn kill_at_random(random: &mut Random, depth: u32, longest: u32, wanted: u64) {
    println!("  depth {depth}, messages of {longest} bytes, {wanted} kills");
    let scratch = Scratch::new();
    let builder = Queue::builder(scratch.0.join("queue"));
    let queue = builder
        .depth(depth)
        .max_message_bytes(longest)
        .create()
        .unwrap();
    let books = open_books(&scratch.0);
    let mut parties = Parties::numbered(&PARTIES, text(&scratch.0));
    for _ in 0..wanted {
        let party = parties.any(random);
        parties.kill(party, random, 12);
        // Sometimes another process notices before the successor comes.
        std::thread::sleep(random.millis(0, 4));
        parties.replace(party);
    }
    parties.get_on(|party| books.word(16 + party).load(Relaxed));
    for (stop, of_it) in [(NO_MORE_SENDING, 0..2), (NO_MORE_RECEIVING, 2..5)] {
        books.word(stop).store(1, SeqCst);
        parties.finish(of_it);
    }
    // What the last of the dead held comes back to a receiver that is there long enough.
    let started = Instant::now();
    receive_until_idle(queue.receiver().unwrap(), &queue, &books, 2, || {
        let status = queue.status().unwrap();
        assert!(started.elapsed() < PATIENCE, "{status:?}");
        (status.waiting, status.held) == (0, 0)
    });
    let status = self::queue(&scratch).status().unwrap();
    assert_eq!((status.waiting, status.held, status.receivers), (0, 0, 0));
    assert!(
        status.lanes <= 4,
        "{} lanes for two senders at two priorities",
        status.lanes
    );
    let (mut certain, mut done, mut perhaps, mut unmarked) = (0, 0, 0, 0);
    for party in 0..2 {
        let last = sent(&books, party).1.load(SeqCst) as usize;
        for number in 0..last {
            let state = books.byte(party * MESSAGES + number).load(SeqCst);
            if state & 4 != 0 {
                certain += 1;
                assert_ne!(state & SEEN, 0, "{number} of {party} was lost");
            } else {
                perhaps += 1;
            }
            done += u64::from(state & ACKED != 0);
            // Acknowledged, and killed before that was written down.
            unmarked += u64::from(state & SEEN != 0 && state & ACKED == 0);
        }
    }
    let killed =
        |of_it: std::ops::Range<usize>| of_it.map(|party| parties.kills(party)).sum::<u64>();
    let (senders, receivers) = (killed(0..2), killed(2..5));
    assert!(perhaps <= senders, "{perhaps} cut short by {senders} kills");
    assert!(
        unmarked <= receivers,
        "{unmarked} unmarked by {receivers} kills"
    );
    // Everything that was sent was done: what is not marked so lost its marker, not its message.
    assert!(done + unmarked >= certain && done + unmarked <= certain + perhaps);
    println!(
        "  {senders} senders and {receivers} receivers killed, {certain} messages sent, {done} done, {unmarked} of the dead unmarked, {perhaps} cut short"
    );
    slipring::registry::remove_at(queue.path(), false).unwrap();
}
