//! Death at any instruction, for every form and role.
//!
//! Each scenario is one operation of one process on one object: it is run one instruction at a time, and
//! really killed at the instructions at which it had just changed shared memory. Its neighbours, which are
//! there all the time, must then get what was promised and go on.
//!
//! Long operations (attaching, sweeping up after the dead) are killed at points spread over their length.
//! `SLIPRING_SWEEP=full` kills at every change and at sixteen times as many points.
#![allow(unsafe_code, reason = "maps files to compare them")]

use memmap2::Mmap;
use slipring::{
    broker::Access,
    link::LinkError,
    mailbox::MailboxReceiver,
    queue::{Receiver, Sender, TakeError},
    signals::SignalSet,
    Broker, Fifo, Latest, Link, Mailbox, Producer, Queue, Ring, Semaphore, Shared, Signals, Start,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testing::tracee::{begin, end, Step, Tracee};
use testing::{say, text, Peer, Scratch, PATIENCE};

slipring::message! {
    /// Two halves that are equal unless the value is torn.
    struct Pair {
        one: u64,
        two: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(peer; [
    short_operations_of_every_form,
    long_operations_of_every_form,
    operations_on_isolated_rings,
]);

/// What is there beside the victim. `start` is called when the victim stands at its beginning; what that
/// returns, when it was killed, with whether the operation had returned.
struct Neighbours {
    start: Box<dyn FnOnce() -> Survivors>,
}

type Survivors = Box<dyn FnOnce(bool)>;

fn at_once(survivors: impl FnOnce(bool) + 'static) -> Neighbours {
    Neighbours {
        start: Box::new(move || Box::new(survivors)),
    }
}

type Scenario = (&'static str, fn(&Path) -> Neighbours);

const SHORT: &[Scenario] = &[
    ("queue: send", queue_send),
    ("queue: receive", queue_receive),
    ("queue: acknowledge", queue_acknowledge),
    ("queue: give back", queue_give_back),
    ("queue: return after the lease", queue_lease),
    ("mailbox: send", mailbox_send),
    ("mailbox: receive", mailbox_receive),
    ("mailbox: reply", mailbox_reply),
    ("semaphore: acquire", semaphore_acquire),
    ("semaphore: give back", semaphore_give_back),
    ("shared: change", shared_change),
    ("latest: set", latest_set),
    ("link: send", link_send),
    ("link: receive", link_receive),
    ("fifo: write", fifo_write),
    ("fifo: read", fifo_read),
    ("signals: send", signals_send),
];

const LONG: &[Scenario] = &[
    ("queue: first send", queue_first_send),
    ("queue: take over", queue_take_over),
    ("queue: sender leaves", queue_sender_leaves),
    ("queue: receiver comes", queue_receiver_comes),
    ("queue: receiver leaves", queue_receiver_leaves),
    ("queue: sweep", queue_sweep),
    ("mailbox: client comes", mailbox_client_comes),
    ("semaphore: wait", semaphore_wait),
    ("semaphore: sweep", semaphore_sweep),
    ("shared: sweep", shared_sweep),
    ("link: meet", link_meet),
    ("fifo: meet", fifo_meet),
    ("signals: listen", signals_listen),
    // What was noticed is private to the listener, so no instruction of it changes shared memory.
    ("signals: notice", signals_notice),
];

const ISOLATED: &[Scenario] = &[
    ("isolated: connect", isolated_connect),
    ("isolated: a row's life", isolated_connect),
    ("isolated: keep a cursor", isolated_cursor),
    ("isolated: reconnect", isolated_reconnect),
];

/// What the victim does, from its beginning to its end.
fn peer(role: &str) {
    let directory = std::env::args().nth(1).unwrap();
    victim(role, Path::new(&directory));
}

fn victim(role: &str, directory: &Path) {
    let queue = || Queue::open(directory.join("queue")).unwrap();
    let mailbox = || Mailbox::open(directory.join("mailbox")).unwrap();
    let semaphore = || Semaphore::open(directory.join("semaphore")).unwrap();
    let shared = || Shared::<Pair>::open(directory.join("shared")).unwrap();
    let signals = || Signals::open(directory.join("signals")).unwrap();
    let fifo = || Fifo::open(directory.join("fifo")).unwrap();
    match role {
        "hold" => {
            let mut receiver = queue().receiver().unwrap();
            let _held = receiver.receive().unwrap();
            say("ready");
            std::thread::park();
        }
        "permit" => {
            let semaphore = semaphore();
            let _permit = semaphore.acquire().unwrap();
            say("ready");
            std::thread::park();
        }
        "lock" => {
            let mut shared = shared();
            let mut guard = shared.lock().unwrap();
            guard.one = 7;
            say("ready");
            std::thread::park();
        }
        "queue: send" => {
            let mut sender = queue().sender().unwrap();
            sender.send(&[0]).unwrap();
            swept(|| sender.try_send(&[1]).unwrap());
        }
        "queue: first send" | "queue: take over" => {
            let mut sender = queue().sender().unwrap();
            swept(|| sender.try_send(&[2]).unwrap());
        }
        "queue: sender leaves" => {
            let mut sender = queue().sender().unwrap();
            sender.send(&[0]).unwrap();
            swept(move || drop(sender));
        }
        "queue: receive" => {
            let mut receiver = queue().receiver().unwrap();
            // Its first look at the lane is another scenario.
            receiver.try_receive().unwrap().ack().unwrap();
            swept(|| std::mem::forget(receiver.try_receive().unwrap()));
        }
        "queue: acknowledge" | "queue: give back" => {
            let mut receiver = queue().receiver().unwrap();
            let delivery = receiver.try_receive().unwrap();
            let acks = role == "queue: acknowledge";
            swept(move || {
                if acks {
                    delivery.ack().unwrap();
                } else {
                    drop(delivery);
                }
            });
        }
        "queue: return after the lease" => {
            let queue = queue();
            let mut receiver = queue.receiver().unwrap();
            // Notes what is held; from now on the lease is over.
            assert!(receiver.try_receive().is_err());
            std::thread::sleep(20 * queue.lease().unwrap());
            swept(|| {
                let delivery = receiver.receive_until(PATIENCE);
                delivery.map(drop).unwrap();
            });
        }
        "queue: receiver comes" => {
            let queue = queue();
            swept(|| queue.receiver().unwrap().try_receive().map(drop)).unwrap();
        }
        "queue: receiver leaves" => {
            let mut receiver = queue().receiver().unwrap();
            std::mem::forget(receiver.try_receive().unwrap());
            swept(move || drop(receiver));
        }
        "queue: sweep" => {
            let mut receiver = queue().receiver().unwrap();
            say("there");
            swept(|| {
                let delivery = receiver.receive_until(PATIENCE);
                delivery.map(drop).unwrap();
            });
        }
        "mailbox: send" => {
            let mut client = mailbox().client("victim").unwrap();
            client.send(&[0]).unwrap();
            swept(|| client.try_send(&[1]).unwrap());
        }
        "mailbox: client comes" => {
            let mailbox = mailbox();
            swept(|| mailbox.client("victim").unwrap().try_send(&[2]).unwrap());
        }
        "mailbox: receive" => {
            let mut desk = mailbox().receiver().unwrap();
            desk.try_receive().unwrap().ack();
            swept(|| std::mem::forget(desk.try_receive().unwrap()));
        }
        "mailbox: reply" => {
            let mut desk = mailbox().receiver().unwrap();
            // Its first reply to a client, which opens a queue, is not what this is about.
            let _first = desk.receive_until(PATIENCE).unwrap().reply(&[9]).unwrap();
            let letter = desk.receive_until(PATIENCE).unwrap();
            assert!(letter.wants_reply());
            let _answer = swept(|| letter.reply(&[9]).unwrap());
        }
        "semaphore: acquire" => {
            let semaphore = semaphore();
            swept(|| std::mem::forget(semaphore.try_acquire().unwrap()));
        }
        "semaphore: give back" => {
            let permit = semaphore().try_acquire().unwrap();
            swept(move || drop(permit));
        }
        "semaphore: wait" => {
            let semaphore = semaphore();
            swept(|| {
                let late = semaphore.acquire_until(Duration::from_millis(5));
                assert!(late.is_err());
            });
        }
        "semaphore: sweep" => {
            let semaphore = semaphore();
            swept(|| std::mem::forget(semaphore.acquire_until(PATIENCE).unwrap()));
        }
        "shared: change" | "shared: sweep" => {
            let mut shared = shared();
            swept(|| {
                let mut guard = shared.lock_until(PATIENCE).unwrap();
                (guard.one, guard.two) = (1, 1);
                guard.commit().unwrap();
            });
        }
        "latest: set" => {
            let latest = Latest::<Pair>::open(directory.join("latest")).unwrap();
            let mut writer = latest.writer().unwrap();
            writer.set(&Pair { one: 1, two: 1 }).unwrap();
            swept(|| writer.set(&Pair { one: 2, two: 2 }).unwrap());
        }
        "link: send" => {
            let mut link = link(directory, "victim", "other").unwrap();
            swept(|| link.try_send(&[5]).unwrap());
        }
        "link: receive" => {
            let mut link = link(directory, "victim", "other").unwrap();
            swept(|| {
                let message = link.receive_until(PATIENCE).unwrap();
                assert_eq!(*message, [6]);
            });
        }
        "link: meet" => {
            swept(|| link(directory, "victim", "other").map(std::mem::forget)).unwrap();
        }
        "fifo: write" => {
            let mut writer = fifo().writer_until(PATIENCE).unwrap();
            swept(|| writer.write_all(&[1, 2, 3]).unwrap());
        }
        "fifo: read" => {
            let mut reader = fifo().reader_until(PATIENCE).unwrap();
            swept(|| reader.read_exact(&mut [0; 3]).unwrap());
        }
        "fifo: meet" => {
            let fifo = fifo();
            swept(|| {
                let mut writer = fifo.writer_until(PATIENCE).unwrap();
                writer.write_all(&[1, 2, 3]).unwrap();
            });
        }
        "signals: send" => {
            let mut target = signals().target("listener").unwrap();
            swept(|| target.send(3).unwrap());
        }
        "signals: notice" => {
            let mut listener = signals().listener("victim").unwrap();
            // Its number is sent once it is there.
            say("there");
            listener.wait_until(SignalSet::of(1), PATIENCE).unwrap();
            let noticed = swept(|| listener.try_wait(SignalSet::of(2)).unwrap());
            assert!(noticed.is_some());
        }
        "isolated: connect" => {
            let socket = directory.join("socket");
            swept(|| std::mem::forget(Ring::connect(socket, PATIENCE).unwrap()));
        }
        "isolated: a row's life" => {
            let socket = directory.join("socket");
            swept(|| {
                let ring = Ring::connect(socket, PATIENCE).unwrap();
                let mut consumer = ring.consumer(Start::Oldest).unwrap();
                assert_eq!(*consumer.try_receive().unwrap(), [0]);
            });
        }
        "isolated: keep a cursor" => {
            let socket = directory.join("socket");
            swept(|| {
                let ring = Ring::connect_cursor(socket, "cursor", PATIENCE).unwrap();
                let mut consumer = ring.durable_consumer("cursor", Start::Oldest).unwrap();
                assert_eq!(*consumer.try_receive().unwrap(), [0]);
            });
        }
        "isolated: reconnect" => {
            let ring = Ring::connect(directory.join("socket"), PATIENCE).unwrap();
            swept(|| std::mem::forget(ring.reconnect(PATIENCE).unwrap()));
        }
        "signals: listen" => {
            let signals = signals();
            swept(|| std::mem::forget(signals.listener("victim").unwrap()));
        }
        other => panic!("no role {other}"),
    }
}

fn swept<T>(operation: impl FnOnce() -> T) -> T {
    begin();
    let result = operation();
    end();
    result
}

// --- The sweep.

fn full() -> bool {
    std::env::var("SLIPRING_SWEEP").is_ok_and(|v| v == "full")
}

/// Maps everything in a directory that is a file.
fn maps(directory: &Path, into: &mut Vec<Mmap>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            maps(&entry.path(), into);
        } else if entry.metadata().unwrap().len() > 0 {
            let file = File::open(entry.path()).unwrap();
            // SAFETY: read as raw bytes, only while the process that writes them is stopped.
            into.push(unsafe { Mmap::map(&file).unwrap() });
        }
    }
}

/// Steps through a scenario; behind which instructions shared memory was another, and how many there are.
fn changes((name, prepare): Scenario) -> (Vec<u64>, u64) {
    let scratch = Scratch::new();
    let neighbours = prepare(&scratch.0);
    let mut victim = Tracee::start(name, &[text(&scratch.0)]);
    let survivors = (neighbours.start)();
    let mut files = Vec::new();
    maps(&scratch.0, &mut files);
    let mut before: Vec<Vec<u8>> = files.iter().map(|file| file.to_vec()).collect();
    let (mut found, mut step) = (Vec::new(), 0);
    while victim.step() != Step::End {
        step += 1;
        let mut changed = false;
        for (file, before) in files.iter().zip(&mut before) {
            if file[..] != before[..] {
                before.copy_from_slice(file);
                changed = true;
            }
        }
        if changed {
            found.push(step);
        }
    }
    victim.kill();
    survivors(true);
    (found, step)
}

/// How many instructions there are from the beginning to the end.
fn length((name, prepare): Scenario) -> u64 {
    let scratch = Scratch::new();
    let neighbours = prepare(&scratch.0);
    let mut victim = Tracee::start(name, &[text(&scratch.0)]);
    let survivors = (neighbours.start)();
    let mut steps = 0;
    while victim.step() != Step::End {
        steps += 1;
    }
    victim.kill();
    survivors(true);
    steps
}

fn kill_at((name, prepare): Scenario, point: u64) {
    let scratch = Scratch::new();
    let neighbours = prepare(&scratch.0);
    let mut victim = Tracee::start(name, &[text(&scratch.0)]);
    let survivors = (neighbours.start)();
    let returned = !victim.steps(point, Tracee::step);
    victim.kill();
    testing::all_sound(&scratch.0);
    survivors(returned);
    testing::all_sound(&scratch.0);
}

fn kill_at_all(scenario: Scenario, points: impl Iterator<Item = u64>) -> u64 {
    let mut kills = 0;
    for point in points {
        let context = format!("{} killed at instruction {point}", scenario.0);
        let survived = std::panic::catch_unwind(|| kill_at(scenario, point));
        assert!(survived.is_ok(), "{context}");
        kills += 1;
    }
    kills
}

fn short_operations_of_every_form() {
    let mut kills = 0;
    for scenario in SHORT {
        let (changes, steps) = changes(*scenario);
        assert!(!changes.is_empty(), "{} changes nothing", scenario.0);
        let every = if full() { 1 } else { changes.len().div_ceil(8) };
        println!(
            "  {}: {steps} instructions, changes at {changes:?}",
            scenario.0
        );
        kills += kill_at_all(*scenario, changes.into_iter().step_by(every));
    }
    println!("  {kills} kills");
}

fn long_operations_of_every_form() {
    kill_along(LONG);
}

fn operations_on_isolated_rings() {
    kill_along(ISOLATED);
}

fn kill_along(scenarios: &[Scenario]) {
    let mut kills = 0;
    for scenario in scenarios {
        let steps = length(*scenario);
        println!("  {}: {steps} instructions", scenario.0);
        let every = steps / if full() { 64 } else { 4 } + 1;
        // Not the same points in each scenario.
        kills += kill_at_all(*scenario, (every / 3..steps).step_by(every as usize));
    }
    println!("  {kills} kills");
}

// --- Queues.

fn new_queue(directory: &Path) -> Queue {
    let builder = Queue::builder(directory.join("queue"));
    builder.depth(4).max_message_bytes(100).create().unwrap()
}

/// Everything that comes, until nothing has come for long enough to sweep up after the dead; how often each
/// message came.
fn receive_all(receiver: &mut Receiver, queue: &Queue) -> BTreeMap<u8, u32> {
    let mut came = BTreeMap::new();
    let started = Instant::now();
    loop {
        match receiver.receive_until(Duration::from_millis(10)) {
            Ok(delivery) => {
                *came.entry(delivery[0]).or_default() += 1;
                delivery.ack().unwrap();
            }
            Err(TakeError::TimedOut) => {
                let status = queue.status().unwrap();
                if (status.waiting, status.held) == (0, 0) {
                    return came;
                }
                assert!(started.elapsed() < PATIENCE, "stuck: {status:?}, {came:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a neighbour got is `certain`, each once, and perhaps `perhaps`; and the queue goes on.
fn check_queue(
    queue: &Queue,
    mut receiver: Receiver,
    sender: Option<Sender>,
    certain: &[u8],
    perhaps: Option<u8>,
) {
    let mut came = receive_all(&mut receiver, queue);
    if let Some(perhaps) = perhaps {
        came.remove(&perhaps);
    }
    let expected: BTreeMap<u8, u32> = certain.iter().map(|id| (*id, 1)).collect();
    assert_eq!(came, expected);
    // The lane has its full depth for every sender, and every message arrives.
    let mut sender = sender.unwrap_or_else(|| queue.sender().unwrap());
    for id in 100..104 {
        sender.send_until(&[id], 0, PATIENCE).unwrap();
    }
    let came = receive_all(&mut receiver, queue);
    assert_eq!(came, (100..104).map(|id| (id, 1)).collect());
}

fn queue_send(directory: &Path) -> Neighbours {
    let queue = new_queue(directory);
    let receiver = queue.receiver().unwrap();
    at_once(move |returned| {
        let (certain, perhaps): (&[u8], _) = match returned {
            true => (&[0, 1], None),
            false => (&[0], Some(1)),
        };
        check_queue(&queue, receiver, None, certain, perhaps);
    })
}

fn queue_first_send(directory: &Path) -> Neighbours {
    let queue = new_queue(directory);
    let receiver = queue.receiver().unwrap();
    at_once(move |returned| {
        let certain: &[u8] = if returned { &[2] } else { &[] };
        check_queue(&queue, receiver, None, certain, (!returned).then_some(2));
    })
}

/// The lane of the victim had another owner, which left two messages.
fn queue_take_over(directory: &Path) -> Neighbours {
    let queue = new_queue(directory);
    let receiver = queue.receiver().unwrap();
    let mut sender = queue.sender().unwrap();
    for id in [0, 1] {
        sender.send(&[id]).unwrap();
    }
    drop(sender);
    at_once(move |returned| {
        let certain: &[u8] = if returned { &[0, 1, 2] } else { &[0, 1] };
        check_queue(&queue, receiver, None, certain, (!returned).then_some(2));
    })
}

fn queue_sender_leaves(directory: &Path) -> Neighbours {
    let queue = new_queue(directory);
    let receiver = queue.receiver().unwrap();
    at_once(move |_| check_queue(&queue, receiver, None, &[0], None))
}

/// Three messages wait, and a receiver was there before the victim.
fn three_wait(directory: &Path) -> (Queue, Receiver, Sender) {
    let queue = new_queue(directory);
    let receiver = queue.receiver().unwrap();
    let mut sender = queue.sender().unwrap();
    for id in 0..3 {
        sender.send(&[id]).unwrap();
    }
    (queue, receiver, sender)
}

fn queue_receive(directory: &Path) -> Neighbours {
    let (queue, receiver, sender) = three_wait(directory);
    // The victim has acknowledged the first.
    at_once(move |_| check_queue(&queue, receiver, Some(sender), &[1, 2], None))
}

fn queue_acknowledge(directory: &Path) -> Neighbours {
    let (queue, receiver, sender) = three_wait(directory);
    at_once(move |returned| {
        let perhaps = (!returned).then_some(0);
        check_queue(&queue, receiver, Some(sender), &[1, 2], perhaps);
    })
}

fn queue_give_back(directory: &Path) -> Neighbours {
    let (queue, mut receiver, sender) = three_wait(directory);
    Neighbours {
        start: Box::new(move || {
            // Has passed everything, so it looks back only if it is told to.
            let mut passed = Vec::new();
            while let Ok(delivery) = receiver.try_receive() {
                passed.push(delivery[0]);
                delivery.ack().unwrap();
            }
            assert_eq!(passed, [1, 2]);
            Box::new(move |_| check_queue(&queue, receiver, Some(sender), &[0], None))
        }),
    }
}

/// A receiver hangs with a message; the victim is about to return it.
fn queue_lease(directory: &Path) -> Neighbours {
    let builder = Queue::builder(directory.join("queue")).depth(4);
    let queue = builder.lease(Duration::from_millis(1)).create().unwrap();
    let (mut slow, mut receiver) = (queue.receiver().unwrap(), queue.receiver().unwrap());
    let mut sender = queue.sender().unwrap();
    for id in 0..3 {
        sender.send(&[id]).unwrap();
    }
    std::mem::forget(slow.try_receive().unwrap());
    for id in [1, 2] {
        let delivery = receiver.try_receive().unwrap();
        assert_eq!(*delivery, [id]);
        delivery.ack().unwrap();
    }
    at_once(move |_| {
        check_queue(&queue, receiver, Some(sender), &[0], None);
        // Not before: it would give the message back.
        drop(slow);
    })
}

fn queue_receiver_comes(directory: &Path) -> Neighbours {
    let (queue, receiver, sender) = three_wait(directory);
    at_once(move |_| check_queue(&queue, receiver, Some(sender), &[0, 1, 2], None))
}

fn queue_receiver_leaves(directory: &Path) -> Neighbours {
    queue_receiver_comes(directory)
}

/// A receiver is dead and holds a message; the victim is about to find out.
fn queue_sweep(directory: &Path) -> Neighbours {
    let (queue, mut receiver, sender) = three_wait(directory);
    let holder = Peer::start("hold", &[text(directory)]);
    for id in [1, 2] {
        let delivery = receiver.try_receive().unwrap();
        assert_eq!(*delivery, [id]);
        delivery.ack().unwrap();
    }
    Neighbours {
        start: Box::new(move || {
            holder.kill();
            Box::new(move |_| check_queue(&queue, receiver, Some(sender), &[0], None))
        }),
    }
}

// --- Mailboxes.

fn new_mailbox(directory: &Path) -> (Mailbox, MailboxReceiver) {
    let builder = Mailbox::builder(directory.join("mailbox"));
    let mailbox = builder.depth(4).max_message_bytes(100).create().unwrap();
    let desk = mailbox.receiver().unwrap();
    (mailbox, desk)
}

/// The bodies that come until nothing is left.
fn letters(mailbox: &Mailbox, desk: &mut MailboxReceiver) -> BTreeMap<u8, u32> {
    let mut came = BTreeMap::new();
    let started = Instant::now();
    loop {
        match desk.receive_until(Duration::from_millis(10)) {
            Ok(letter) => {
                *came.entry(letter[0]).or_default() += 1;
                letter.ack();
            }
            Err(TakeError::TimedOut) => {
                let status = mailbox.status().unwrap().letters;
                if (status.waiting, status.held) == (0, 0) {
                    return came;
                }
                assert!(started.elapsed() < PATIENCE, "stuck: {status:?}, {came:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn check_mailbox(
    mailbox: &Mailbox,
    mut desk: MailboxReceiver,
    certain: &[u8],
    perhaps: Option<u8>,
) {
    let mut came = letters(mailbox, &mut desk);
    if let Some(perhaps) = perhaps {
        came.remove(&perhaps);
    }
    assert_eq!(came, certain.iter().map(|id| (*id, 1)).collect());
    // The name of the dead is free.
    let mut client = mailbox.client("victim").unwrap();
    client.send_until(&[100], PATIENCE).unwrap();
    assert_eq!(letters(mailbox, &mut desk), BTreeMap::from([(100, 1)]));
}

fn mailbox_send(directory: &Path) -> Neighbours {
    let (mailbox, desk) = new_mailbox(directory);
    at_once(move |returned| {
        let (certain, perhaps): (&[u8], _) = match returned {
            true => (&[0, 1], None),
            false => (&[0], Some(1)),
        };
        check_mailbox(&mailbox, desk, certain, perhaps);
    })
}

fn mailbox_client_comes(directory: &Path) -> Neighbours {
    let (mailbox, desk) = new_mailbox(directory);
    at_once(move |returned| {
        let certain: &[u8] = if returned { &[2] } else { &[] };
        check_mailbox(&mailbox, desk, certain, (!returned).then_some(2));
    })
}

fn mailbox_receive(directory: &Path) -> Neighbours {
    let (mailbox, desk) = new_mailbox(directory);
    let mut client = mailbox.client("client").unwrap();
    for id in 0..3 {
        client.send(&[id]).unwrap();
    }
    at_once(move |_| {
        check_mailbox(&mailbox, desk, &[1, 2], None);
        drop(client);
    })
}

/// A client waits for the reply that the victim is about to give: it gets that one, or another desk's.
fn mailbox_reply(directory: &Path) -> Neighbours {
    let (mailbox, mut desk) = new_mailbox(directory);
    let asked = mailbox.clone();
    let client = std::thread::spawn(move || {
        let mut client = asked.client("client").unwrap();
        assert_eq!(*client.request_until(&[2], PATIENCE).unwrap(), [9]);
        let reply = client.request_until(&[3], PATIENCE).map(|reply| reply[0]);
        reply.unwrap()
    });
    Neighbours {
        start: Box::new(move || {
            Box::new(move |returned| {
                let started = Instant::now();
                while !client.is_finished() {
                    assert!(started.elapsed() < PATIENCE, "the client hangs");
                    if let Ok(letter) = desk.receive_until(Duration::from_millis(10)) {
                        assert_eq!(*letter, [3]);
                        // Late, if the dead one's had gone out.
                        drop(letter.reply(&[8]));
                    }
                }
                let reply = client.join().unwrap();
                assert!(reply == 9 || !returned && reply == 8, "{reply}");
                check_mailbox(&mailbox, desk, &[], Some(3));
            })
        }),
    }
}

// --- Semaphores and shared values.

fn new_semaphore(directory: &Path, permits: u32) -> Semaphore {
    let builder = Semaphore::builder(directory.join("semaphore"));
    builder.permits(permits).max_handles(8).create().unwrap()
}

fn semaphore_acquire(directory: &Path) -> Neighbours {
    let semaphore = new_semaphore(directory, 2);
    at_once(move |_| {
        let all = semaphore.acquire_many_until(2, PATIENCE).unwrap();
        assert!(semaphore.try_acquire().is_err());
        drop(all);
    })
}

fn semaphore_give_back(directory: &Path) -> Neighbours {
    semaphore_acquire(directory)
}

/// The victim waits for a permit that the neighbour holds.
fn semaphore_wait(directory: &Path) -> Neighbours {
    let semaphore = new_semaphore(directory, 1);
    let permit = semaphore.acquire().unwrap();
    at_once(move |_| {
        assert!(semaphore.try_acquire().is_err());
        drop(permit);
        let other = Semaphore::open(semaphore.path()).unwrap();
        drop(other.acquire_until(PATIENCE).unwrap());
        drop(semaphore.acquire_until(PATIENCE).unwrap());
    })
}

/// The holder of the only permit is dead, and the victim is about to find out.
fn semaphore_sweep(directory: &Path) -> Neighbours {
    let semaphore = new_semaphore(directory, 1);
    let holder = Peer::start("permit", &[text(directory)]);
    Neighbours {
        start: Box::new(move || {
            holder.kill();
            Box::new(move |_| drop(semaphore.acquire_until(PATIENCE).unwrap()))
        }),
    }
}

fn new_shared(directory: &Path) -> Shared<Pair> {
    let builder = Shared::<Pair>::builder(directory.join("shared"));
    builder.max_handles(8).create().unwrap()
}

fn check_shared(mut shared: Shared<Pair>, returned: bool) {
    {
        let mut guard = shared.lock_until(PATIENCE).unwrap();
        assert_eq!(guard.one, guard.two, "torn");
        assert!(guard.one == 1 || !returned && guard.one == 0, "{guard:?}");
        (guard.one, guard.two) = (2, 2);
        guard.commit().unwrap();
    }
    let (value, _version) = shared.get().unwrap();
    assert_eq!((value.one, value.two), (2, 2));
}

fn shared_change(directory: &Path) -> Neighbours {
    let shared = new_shared(directory);
    at_once(move |returned| check_shared(shared, returned))
}

fn shared_sweep(directory: &Path) -> Neighbours {
    let shared = new_shared(directory);
    let holder = Peer::start("lock", &[text(directory)]);
    Neighbours {
        start: Box::new(move || {
            holder.kill();
            Box::new(move |returned| check_shared(shared, returned))
        }),
    }
}

// --- Newest values.

fn latest_set(directory: &Path) -> Neighbours {
    let builder = Latest::<Pair>::builder(directory.join("latest"));
    let latest = builder.create().unwrap();
    let mut reader = latest.reader().unwrap();
    at_once(move |returned| {
        let (value, _) = reader.get().unwrap().unwrap();
        assert_eq!(value.one, value.two, "torn");
        assert!(value.one == 2 || !returned && value.one == 1);
        let mut writer = latest.writer().unwrap();
        writer.set(&Pair { one: 3, two: 3 }).unwrap();
        assert_eq!(reader.get().unwrap().unwrap().0.two, 3);
    })
}

// --- Links.

fn link(directory: &Path, me: &str, other: &str) -> Result<Link, LinkError> {
    let builder = Link::builder(me, other).directory(directory);
    builder.capacity_bytes(4096).connect_until(PATIENCE)
}

/// A neighbour that is linked with the victim, and what it checks once that is dead.
fn linked(directory: &Path, check: impl FnOnce(Link, bool) + 'static) -> Neighbours {
    let place = directory.to_owned();
    let other = std::thread::spawn(move || link(&place, "other", "victim").unwrap());
    let directory = directory.to_owned();
    Neighbours {
        start: Box::new(move || {
            let mut link = other.join().unwrap();
            // For those that receive.
            link.send(&[6]).unwrap();
            Box::new(move |returned| {
                check(link, returned);
                meet_again(&directory);
            })
        }),
    }
}

/// The next two with these names have a link of their own.
fn meet_again(directory: &Path) {
    let place = directory.to_owned();
    let next = std::thread::spawn(move || {
        let mut next = link(&place, "victim", "other").unwrap();
        let message = next.receive_until(PATIENCE).unwrap().to_vec();
        next.send(&message).unwrap();
        message
    });
    let mut other = link(directory, "other", "victim").unwrap();
    other.send(&[42]).unwrap();
    assert_eq!(*other.receive_until(PATIENCE).unwrap(), [42]);
    assert_eq!(next.join().unwrap(), [42]);
}

fn link_send(directory: &Path) -> Neighbours {
    linked(directory, |mut link, returned| {
        match link.receive_until(PATIENCE) {
            Ok(message) => assert_eq!(*message, [5]),
            Err(LinkError::PeerGone) => {
                assert!(!returned, "lost");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        let gone = link.receive_until(PATIENCE).map(drop);
        assert!(matches!(gone, Err(LinkError::PeerGone)), "{gone:?}");
    })
}

fn link_receive(directory: &Path) -> Neighbours {
    linked(directory, |mut link, _| {
        let gone = link.receive_until(PATIENCE).map(drop);
        assert!(matches!(gone, Err(LinkError::PeerGone)), "{gone:?}");
    })
}

/// The victim is killed while it meets the neighbour, who then either never met it or learns that it is gone.
fn link_meet(directory: &Path) -> Neighbours {
    let (place, directory) = (directory.to_owned(), directory.to_owned());
    let other = std::thread::spawn(move || {
        let mut other = link(&place, "other", "victim").unwrap();
        // Met the victim, or the next of that name.
        match other
            .receive_until(PATIENCE)
            .map(|message| message.to_vec())
        {
            Err(LinkError::PeerGone) => None,
            met => {
                other.send(&[43]).unwrap();
                Some(met.unwrap())
            }
        }
    });
    Neighbours {
        start: Box::new(move || {
            Box::new(move |_| {
                // The neighbour waits for it until it is there, or has ended.
                let mut next = loop {
                    let next = Link::builder("victim", "other")
                        .directory(&directory)
                        .capacity_bytes(4096)
                        .connect_until(Duration::from_millis(200));
                    match next {
                        Err(LinkError::TimedOut) if !other.is_finished() => {}
                        next => break next,
                    }
                };
                match &mut next {
                    Ok(next) => {
                        next.send(&[41]).unwrap();
                        assert_eq!(*next.receive_until(PATIENCE).unwrap(), [43]);
                        assert_eq!(other.join().unwrap(), Some(vec![41]));
                    }
                    Err(LinkError::TimedOut) => assert_eq!(other.join().unwrap(), None),
                    Err(error) => panic!("{error}"),
                }
                drop(next);
                meet_again(&directory);
            })
        }),
    }
}

// --- Named pipes.

fn new_fifo(directory: &Path) -> Fifo {
    let builder = Fifo::builder(directory.join("fifo"));
    builder.capacity_bytes(4096).create().unwrap()
}

/// The reader gets a prefix of what was written, whole if the writer had returned, and then the end.
fn check_reader(bytes: &[u8], returned: bool) {
    assert!([1, 2, 3].starts_with(bytes), "{bytes:?}");
    assert!(!returned || bytes.len() == 3, "{bytes:?}");
}

/// The next two that meet in the pipe have it to themselves.
fn pipe_again(fifo: Fifo) {
    let other = fifo.clone();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut reader = other.reader_until(PATIENCE).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut writer = fifo.writer_until(PATIENCE).unwrap();
    writer.write_all(&[7, 8]).unwrap();
    drop(writer);
    assert_eq!(reader.join().unwrap(), [7, 8]);
}

fn fifo_write(directory: &Path) -> Neighbours {
    let fifo = new_fifo(directory);
    let end = fifo.clone();
    let reader = std::thread::spawn(move || end.reader_until(PATIENCE).unwrap());
    Neighbours {
        start: Box::new(move || {
            let mut reader = reader.join().unwrap();
            Box::new(move |returned| {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).unwrap();
                check_reader(&bytes, returned);
                drop(reader);
                pipe_again(fifo);
            })
        }),
    }
}

fn fifo_read(directory: &Path) -> Neighbours {
    let fifo = new_fifo(directory);
    let end = fifo.clone();
    let writer = std::thread::spawn(move || {
        let mut writer = end.writer_until(PATIENCE).unwrap();
        writer.write_all(&[1, 2, 3]).unwrap();
        writer
    });
    Neighbours {
        start: Box::new(move || {
            let mut writer = writer.join().unwrap();
            Box::new(move |_| {
                let broken = loop {
                    if let Err(error) = writer.write_all(&[0; 500]) {
                        break error;
                    }
                };
                assert_eq!(broken.kind(), std::io::ErrorKind::BrokenPipe);
                drop(writer);
                pipe_again(fifo);
            })
        }),
    }
}

fn fifo_meet(directory: &Path) -> Neighbours {
    let fifo = new_fifo(directory);
    let end = fifo.clone();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut reader = end.reader_until(PATIENCE).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    at_once(move |_| {
        // Met the victim, or the next writer, for which it waits until it is there.
        while !reader.is_finished() {
            if let Ok(mut writer) = fifo.writer_until(Duration::from_millis(200)) {
                writer.write_all(&[1, 2, 3]).unwrap();
                break;
            }
        }
        check_reader(&reader.join().unwrap(), false);
        pipe_again(fifo);
    })
}

// --- Signals.

fn new_signals(directory: &Path) -> Signals {
    let builder = Signals::builder(directory.join("signals"));
    builder.max_listeners(8).create().unwrap()
}

fn signals_send(directory: &Path) -> Neighbours {
    let signals = new_signals(directory);
    let mut listener = signals.listener("listener").unwrap();
    at_once(move |returned| {
        let noticed = listener.try_wait(SignalSet::of(3)).unwrap();
        assert!(noticed.is_some() || !returned, "lost");
        let mut target = signals.target("listener").unwrap();
        target.send(4).unwrap();
        listener.wait_until(SignalSet::of(4), PATIENCE).unwrap();
        assert!(
            listener.try_wait(SignalSet::of(3)).unwrap().is_none(),
            "twice"
        );
    })
}

/// The victim notices a signal; the next listener of its name gets none of its.
fn signals_notice(directory: &Path) -> Neighbours {
    let signals = new_signals(directory);
    let sender = Signals::open(signals.path()).unwrap();
    std::thread::spawn(move || {
        // Until it is there.
        while sender
            .target("victim")
            .and_then(|mut to| {
                to.send(2)?;
                to.send(1)
            })
            .is_err()
        {
            std::thread::yield_now();
        }
    });
    at_once(move |_| check_listener(&signals))
}

fn signals_listen(directory: &Path) -> Neighbours {
    let signals = new_signals(directory);
    at_once(move |_| check_listener(&signals))
}

fn check_listener(signals: &Signals) {
    let mut listener = signals.listener("victim").unwrap();
    assert!(
        listener.try_wait(SignalSet::of(2)).unwrap().is_none(),
        "not its own"
    );
    signals.broadcast(5).unwrap();
    listener.wait_until(SignalSet::of(5), PATIENCE).unwrap();
    signals.target("victim").unwrap().send(2).unwrap();
    listener.wait_until(SignalSet::of(2), PATIENCE).unwrap();
}

// --- Isolated rings.

/// A broker with one row, served by a thread until it is dropped.
struct Served {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn serve(directory: &Path) -> Served {
    let builder = Ring::anonymous().capacity_bytes(4096).max_readers(1);
    let socket = directory.join("socket");
    let mut broker = Broker::bind(socket, builder, Access::own_user()).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let thread = std::thread::spawn(move || {
        while !seen.load(Relaxed) {
            broker.serve(Duration::from_millis(1)).unwrap();
        }
    });
    Served {
        over,
        thread: Some(thread),
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || std::thread::panicking());
    }
}

/// Becomes the producer, of these messages.
fn produce(directory: &Path, messages: std::ops::Range<u8>) -> Producer {
    let ring = Ring::connect_producer(directory.join("socket"), PATIENCE).unwrap();
    let mut producer = ring.producer().unwrap();
    for id in messages {
        producer.try_publish(&[id]).unwrap();
    }
    producer
}

/// The only row has come back: a reader gets it, finds everything from one of `firsts` to 2, and then what is
/// published.
fn check_isolated(directory: &Path, mut producer: Producer, cursor: Option<&str>, firsts: &[u8]) {
    let socket = directory.join("socket");
    let ring = match cursor {
        None => Ring::connect(socket, PATIENCE),
        Some(name) => Ring::connect_cursor(socket, name, PATIENCE),
    };
    let ring = ring.unwrap();
    let consumer = match cursor {
        None => ring.consumer(Start::Oldest),
        Some(name) => ring.durable_consumer(name, Start::Oldest),
    };
    let mut consumer = consumer.unwrap();
    let mut next = || consumer.receive_until(PATIENCE).unwrap().unwrap()[0];
    let first = next();
    assert!(firsts.contains(&first), "{first}");
    for id in first + 1..3 {
        assert_eq!(next(), id);
    }
    producer.try_publish(&[3]).unwrap();
    assert_eq!(next(), 3);
}

fn isolated_connect(directory: &Path) -> Neighbours {
    let served = serve(directory);
    let producer = produce(directory, 0..3);
    let directory = directory.to_owned();
    at_once(move |_| {
        check_isolated(&directory, producer, None, &[0]);
        drop(served);
    })
}

fn isolated_cursor(directory: &Path) -> Neighbours {
    let served = serve(directory);
    let producer = produce(directory, 0..3);
    let directory = directory.to_owned();
    at_once(move |returned| {
        let firsts: &[u8] = if returned { &[1] } else { &[0, 1] };
        check_isolated(&directory, producer, Some("cursor"), firsts);
        drop(served);
    })
}

/// The producer is another one by the time at which the victim reconnects.
fn isolated_reconnect(directory: &Path) -> Neighbours {
    let served = serve(directory);
    let producer = produce(directory, 0..2);
    let directory = directory.to_owned();
    Neighbours {
        start: Box::new(move || {
            drop(producer);
            let producer = produce(&directory, 2..3);
            Box::new(move |_| {
                check_isolated(&directory, producer, None, &[0]);
                drop(served);
            })
        }),
    }
}
