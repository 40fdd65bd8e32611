//! Queues and mailboxes with many lanes: what they cost, and what one bad lane costs the others.

use rustix::process::{setrlimit, Resource, Rlimit};
use slipring::{
    mailbox::{MailboxClient, ReplyError, RequestError},
    place::OpenError,
    queue::{ReceiverEntry, Sender, TakeError, PRIORITIES},
    Mailbox, Queue,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    a_burst_of_senders_leaves_a_queue_that_goes_on,
    one_desk_answers_more_clients_than_it_has_descriptors,
    a_client_out_of_reach_is_no_endless_work,
    a_lane_that_cannot_be_opened_stops_no_other,
    who_holds_what_is_listed,
    what_a_lane_takes_is_said,
]);

const SENDERS: u64 = 8;
const PEERS: u64 = 5;
const CLIENTS: usize = 60;
/// How many unused lanes receivers keep open.
const KEPT: u32 = 16;

fn queue(directory: &Path) -> Queue {
    Queue::open(directory.join("queue")).unwrap()
}

fn new_queue(scratch: &Scratch) -> Queue {
    let builder = Queue::builder(scratch.0.join("queue"));
    builder.depth(2).max_message_bytes(64).create().unwrap()
}

fn mailbox(directory: &Path) -> Mailbox {
    Mailbox::open(directory.join("mailbox")).unwrap()
}

fn new_mailbox(scratch: &Scratch) -> Mailbox {
    let builder = Mailbox::builder(scratch.0.join("mailbox"));
    let builder = builder.depth(2).max_message_bytes(64).max_clients(256);
    builder.create().unwrap()
}

/// Leaves this process 256 descriptors.
fn few_descriptors() {
    let few = Rlimit {
        current: Some(256),
        maximum: Some(256),
    };
    setrlimit(Resource::Nofile, few).unwrap();
}

fn tell() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    match role {
        "senders" => {
            let queue = queue(&directory);
            let mut senders: Vec<Sender> = Vec::new();
            let first: u64 = arguments[1].parse().unwrap();
            for number in 0..SENDERS {
                let mut sender = queue.sender().unwrap();
                for priority in 0..PRIORITIES {
                    let id = (first + number) * u64::from(PRIORITIES) + u64::from(priority);
                    sender
                        .send_with_priority(&id.to_le_bytes(), priority)
                        .unwrap();
                }
                senders.push(sender);
            }
            say("ready");
            std::thread::park();
        }
        "receiver" => {
            few_descriptors();
            let queue = queue(&directory);
            let mut receiver = queue.receiver().unwrap();
            say("ready");
            tell();
            let all = PEERS * SENDERS * u64::from(PRIORITIES);
            let mut seen = BTreeSet::new();
            for _ in 0..all {
                let delivery = receiver.receive_until(PATIENCE).unwrap();
                let id = u64::from_le_bytes((*delivery).try_into().unwrap());
                assert_eq!(u64::from(delivery.priority()), id % u64::from(PRIORITIES));
                assert!(seen.insert(id), "{id} came twice");
                delivery.ack().unwrap();
            }
            say("got all");
            tell();
            // It has room for more, and for what it opens itself.
            let mut sender = queue.sender().unwrap();
            for priority in 0..PRIORITIES {
                sender
                    .send_with_priority(&payload(1, 40), priority)
                    .unwrap();
            }
            for priority in (0..PRIORITIES).rev() {
                let delivery = receiver.receive_until(PATIENCE).unwrap();
                assert_eq!(delivery.priority(), priority);
                delivery.ack().unwrap();
            }
            say("got its own");
        }
        "desk" => {
            few_descriptors();
            let mut receiver = mailbox(&directory).receiver().unwrap();
            say("ready");
            loop {
                let letter = receiver.receive_until(PATIENCE).unwrap();
                if &*letter == b"over" {
                    return letter.ack();
                }
                let body = letter.to_vec();
                letter.reply(&body).unwrap();
            }
        }
        "clients" => {
            let mailbox = mailbox(&directory);
            let name = |number: usize| format!("{}-{number}", arguments[1]);
            let clients = (0..CLIENTS).map(|number| mailbox.client(&name(number)).unwrap());
            let mut clients: Vec<MailboxClient> = clients.collect();
            say("ready");
            tell();
            for round in 0..3 {
                for client in &mut clients {
                    let reply = client.request_until(&payload(round, 33), PATIENCE).unwrap();
                    check(&reply, round);
                }
            }
            say("answered");
        }
        role => panic!("no role {role}"),
    }
}

fn a_burst_of_senders_leaves_a_queue_that_goes_on() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut receiver = Peer::start("receiver", &[text(&scratch.0)]);
    let start = |n: u64| Peer::start("senders", &[text(&scratch.0), &(n * SENDERS).to_string()]);
    let senders: Vec<Peer> = (0..PEERS).map(start).collect();
    let burst = u32::try_from(PEERS * SENDERS).unwrap() * u32::from(PRIORITIES);
    assert_eq!(queue.status().unwrap().lanes, burst);
    senders.into_iter().for_each(Peer::kill);
    assert_eq!(receiver.tell("go"), "got all");
    // Later receivers find few lanes.
    let mut late = queue.receiver().unwrap();
    assert!(matches!(late.try_receive(), Err(TakeError::Empty)));
    assert!(queue.status().unwrap().lanes <= KEPT);
    drop(late);
    assert_eq!(receiver.tell("go"), "got its own");
    receiver.finish();
    // Other lanes were taken up again, under the priorities that were wanted.
    assert!(queue.status().unwrap().lanes <= KEPT + u32::from(PRIORITIES));
    assert!(!queue.path().join(format!("lane-{burst}")).exists());
}

fn one_desk_answers_more_clients_than_it_has_descriptors() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    let desk = Peer::start("desk", &[text(&scratch.0)]);
    let start = |name: &str| Peer::start("clients", &[text(&scratch.0), name]);
    let mut peers = ["one", "two"].map(start);
    for peer in &mut peers {
        assert_eq!(peer.tell("go"), "answered");
    }
    mailbox.client("end").unwrap().send(b"over").unwrap();
    desk.finish();
    assert_eq!(mailbox.status().unwrap().letters.waiting, 0);
}

fn a_client_out_of_reach_is_no_endless_work() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    let mut alice = mailbox.client("alice").unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    // What is there already goes on; it cannot be opened.
    let replies = mailbox.path().join("replies-0");
    std::fs::rename(replies, mailbox.path().join("elsewhere")).unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let waited = alice.request_until(b"", PATIENCE);
            waited.map(|reply| reply.len())
        });
        for tries in 1..=3 {
            let letter = receiver.receive_until(PATIENCE).unwrap();
            assert_eq!(letter.tries(), tries);
            let failed = letter.reply(b"");
            assert!(matches!(failed, Err(ReplyError::Open(_))), "{failed:?}");
        }
        assert!(matches!(receiver.try_receive(), Err(TakeError::Empty)));
        drop(receiver);
        let waited = asking.join().unwrap();
        assert!(matches!(waited, Err(RequestError::PeerGone)), "{waited:?}");
    });
    assert_eq!(mailbox.status().unwrap().letters.waiting, 0);
}

fn a_lane_that_cannot_be_opened_stops_no_other() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut bad = queue.sender().unwrap();
    let mut good = queue.sender().unwrap();
    bad.send(&payload(0, 40)).unwrap();
    good.send(&payload(1, 40)).unwrap();
    drop(bad);
    let stream = queue.path().join("lane-0").join("stream");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(stream)
        .unwrap();
    file.set_len(100).unwrap();
    let mut receiver = queue.receiver().unwrap();
    let cut = receiver.try_receive().map(|d| d.len());
    assert!(
        matches!(cut, Err(TakeError::Open(OpenError::Truncated { .. }))),
        "{cut:?}"
    );
    for number in 1..3 {
        let delivery = receiver.try_receive().unwrap();
        check(&delivery, number);
        delivery.ack().unwrap();
        // Nor does it stop a new sender.
        queue
            .sender()
            .unwrap()
            .send(&payload(number + 1, 40))
            .unwrap();
    }
}

fn who_holds_what_is_listed() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut sender = queue.sender().unwrap();
    for priority in 0..3 {
        sender
            .send_with_priority(&payload(0, 40), priority)
            .unwrap();
    }
    let pid = std::process::id();
    let mut one = queue.receiver().unwrap();
    let mut two = queue.receiver().unwrap();
    let entry = |row, held| (row, pid, held, true);
    let listed = || -> Vec<_> {
        let entries = queue.receivers().unwrap().into_iter();
        let fields = |at: ReceiverEntry| (at.row, at.pid, at.held, at.alive);
        entries.map(fields).collect()
    };
    assert_eq!(listed(), [entry(0, 0), entry(1, 0)]);
    let first = one.try_receive().unwrap();
    let second = two.try_receive().unwrap();
    assert_eq!(listed(), [entry(0, 1), entry(1, 1)]);
    first.ack().unwrap();
    drop(second);
    drop(one);
    assert_eq!(listed(), [entry(1, 0)]);
}

fn what_a_lane_takes_is_said() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    queue.sender().unwrap().send(b"").unwrap();
    let files = std::fs::read_dir(queue.path().join("lane-0")).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes > 0);
    assert_eq!(queue.lane_bytes(), bytes);
    assert_eq!(queue.status().unwrap().lane_bytes, bytes);
}
