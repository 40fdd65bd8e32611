//! Mailboxes: against an oracle, between processes, and under random deaths.

use proptest::prelude::*;
use slipring::{
    endpoint::AttachError,
    mailbox::{Answer, MailboxClient, MailboxReceiver, ReplyError, RequestError},
    place::{OpenError, RemoveError},
    queue::{SendError, TakeError},
    Mailbox,
};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use testing::books::{kills_wanted, Books, Random};
use testing::{check, payload, say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_by_name,
    a_mailbox_without_its_queue_is_made_whole_by_creating_it,
    no_reply_reaches_the_next_client_of_a_row,
    a_late_reply_is_dropped_and_counted,
    a_dead_receiver_leaves_the_letter_to_the_next,
    no_receiver_left_is_said,
    one_receiver_answers_many_clients,
    random_deaths_leave_one_outcome_each,
]);

fn mailbox(directory: &Path) -> Mailbox {
    Mailbox::open(directory.join("mailbox")).unwrap()
}

fn new_mailbox(directory: &Path, depth: u32) -> Mailbox {
    let builder = Mailbox::builder(directory.join("mailbox"));
    builder
        .depth(depth)
        .max_message_bytes(600)
        .create()
        .unwrap()
}

// --- The oracle.

#[derive(Clone, Copy, Debug)]
enum Ending {
    Reply,
    Ack,
    GiveBack,
}

#[derive(Clone, Debug)]
enum Step {
    /// Client, length in thousandths of the longest.
    Send(usize, usize),
    /// A request that is not answered in time.
    Ask(usize, usize),
    /// A request that a receiver answers at once, or declines.
    Converse(usize, bool),
    Receive(usize, Ending),
    /// A client goes, and another of its name takes its place.
    NewClient(usize),
    NewReceiver(usize),
}

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const RECEIVERS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        Just(Ending::Reply),
        Just(Ending::Ack),
        Just(Ending::GiveBack)
    ];
    let len = || prop_oneof![3 => Just(1000), 1 => 0..1034usize];
    prop_oneof![
        9 => (0..NAMES.len(), len()).prop_map(|(c, l)| Step::Send(c, l)),
        4 => (0..NAMES.len(), len()).prop_map(|(c, l)| Step::Ask(c, l)),
        2 => (0..NAMES.len(), any::<bool>()).prop_map(|(c, r)| Step::Converse(c, r)),
        6 => (0..RECEIVERS, ending).prop_map(|(r, e)| Step::Receive(r, e)),
        1 => (0..NAMES.len()).prop_map(Step::NewClient),
        1 => (0..RECEIVERS).prop_map(Step::NewReceiver),
    ]
}

/// A letter under way: its number, its length, whether it asks, and how often it came.
#[derive(Clone, Debug)]
struct Sent {
    number: u64,
    len: usize,
    asks: bool,
    tries: u32,
}

/// What is under way, by client and its incarnation.
#[derive(Default)]
struct Model {
    under_way: BTreeMap<(usize, u32), VecDeque<Sent>>,
    late: u64,
    next: u64,
}

impl Model {
    fn sent(&mut self, from: (usize, u32), len: usize, asks: bool) {
        self.under_way.entry(from).or_default().push_back(Sent {
            number: self.next,
            len,
            asks,
            tries: 0,
        });
        self.next += 1;
    }

    /// How long a letter is made that is to be of this length. Where letters of another incarnation are under
    /// way, it needs eight bytes, or nothing would say whose it is.
    fn told_apart(&self, (client, incarnation): (usize, u32), len: usize) -> usize {
        let others = self
            .under_way
            .iter()
            .any(|(from, l)| from.0 == client && from.1 != incarnation && !l.is_empty());
        len.max(if others { 8 } else { 0 })
    }

    /// The letter must be the first of some incarnation of its sender; which, and which letter.
    fn arrived(&mut self, letter: &slipring::mailbox::Letter<'_>) -> ((usize, u32), Sent) {
        let who = NAMES.iter().position(|name| *name == letter.sender());
        let who = who.expect("a client");
        let candidates = self
            .under_way
            .iter_mut()
            .filter(|((client, _), letters)| *client == who && !letters.is_empty());
        for (from, letters) in candidates {
            let first = &mut letters[0];
            if first.len == letter.len() && **letter == payload(first.number, first.len) {
                first.tries += 1;
                assert_eq!(letter.wants_reply(), first.asks);
                assert_eq!(letter.tries(), first.tries);
                assert_eq!(letter.redelivered(), first.tries > 1);
                return (*from, first.clone());
            }
        }
        panic!("a letter of {who} out of order");
    }

    fn done(&mut self, from: (usize, u32)) {
        self.under_way.get_mut(&from).unwrap().pop_front();
    }

    fn count(&self) -> u64 {
        self.under_way.values().map(|l| l.len() as u64).sum()
    }
}

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(150);
    // Depths and sizes at which letters fill from half to all of a lane, with what is sent beside them.
    let sizes = (1..7u32, 12..16u32, prop_oneof![50..101u64, 90..101u64]).prop_map(
        |(depth, capacity, percent)| {
            let depth = 1 << depth;
            let frame = ((1u64 << capacity) * percent / 100 / (depth + 2)) & !7;
            (
                depth as u32,
                frame.clamp(96, 1 << capacity >> 2) as u32 - 40,
            )
        },
    );
    runner
        .run(
            &(sizes, prop::collection::vec(step(), 1..120)),
            |((depth, longest), steps)| {
                follow(depth, longest, &steps);
                Ok(())
            },
        )
        .unwrap();
}

fn follow(depth: u32, longest: u32, steps: &[Step]) {
    let scratch = Scratch::new();
    let builder = Mailbox::builder(scratch.0.join("mailbox"));
    let mailbox = builder
        .depth(depth)
        .max_message_bytes(longest)
        .create()
        .unwrap();
    let scaled = |thousandths: usize| longest as usize * thousandths / 1000;
    let mut clients: Vec<Option<MailboxClient>> = NAMES
        .iter()
        .map(|n| Some(mailbox.client(n).unwrap()))
        .collect();
    let mut incarnations = [0u32; NAMES.len()];
    let mut receivers: Vec<MailboxReceiver> = (0..RECEIVERS)
        .map(|_| mailbox.receiver().unwrap())
        .collect();
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::Send(c, len) => {
                let client = clients[c].as_mut().unwrap();
                let len = model.told_apart((c, incarnations[c]), scaled(len));
                match client.try_send(&payload(model.next, len)) {
                    Ok(()) => model.sent((c, incarnations[c]), len, false),
                    Err(SendError::TooLarge { len: l, max }) => {
                        assert!(l == len && max == longest && len > max as usize);
                    }
                    // The lane of a client is its own, but for letters that the last owner left in it.
                    Err(SendError::Full { .. }) => assert!(model.count() >= u64::from(depth)),
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Ask(c, len) => {
                let client = clients[c].as_mut().unwrap();
                let len = model.told_apart((c, incarnations[c]), scaled(len));
                match client.request_until(&payload(model.next, len), Duration::ZERO) {
                    // Whether it was sent in time is not said.
                    Err(RequestError::TimedOut) => {
                        let waiting = mailbox.status().unwrap().letters.waiting;
                        if waiting > model.count() {
                            model.sent((c, incarnations[c]), len, true);
                        } else {
                            assert!(model.count() >= u64::from(depth), "there was room");
                        }
                    }
                    Err(RequestError::Send(SendError::TooLarge { len: l, max })) => {
                        assert!(l == len && max == longest && len > max as usize);
                    }
                    other => panic!("{:?}", other.map(|reply| reply.len())),
                }
            }
            Step::Converse(c, answers) => {
                let number = model.next;
                model.sent((c, incarnations[c]), 40, true);
                let client = clients[c].as_mut().unwrap();
                let (model, receiver) = (&mut model, &mut receivers[0]);
                std::thread::scope(|scope| {
                    scope.spawn(move || converse(model, receiver, number, answers));
                    let said = client.request_until(&payload(number, 40), PATIENCE);
                    match said {
                        Ok(reply) if answers => {
                            assert_eq!(reply.len(), 50);
                            check(&reply, number);
                        }
                        Err(RequestError::PeerGone) if !answers => {}
                        other => panic!("{:?}", other.map(|reply| reply.len())),
                    }
                });
            }
            Step::Receive(r, ending) => {
                let letter = match receivers[r].try_receive() {
                    Ok(letter) => letter,
                    Err(TakeError::Empty) => {
                        assert_eq!(model.count(), 0);
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                let (from, sent) = model.arrived(&letter);
                match ending {
                    Ending::GiveBack => drop(letter),
                    Ending::Reply if !sent.asks => {
                        let refused = letter.reply(b"nobody asked");
                        assert!(matches!(refused, Err(ReplyError::NotAsked)), "{refused:?}");
                    }
                    Ending::Reply => {
                        // The client that asked gave up.
                        assert_eq!(letter.reply(b"late").unwrap(), Answer::Late);
                        model.late += 1;
                        model.done(from);
                    }
                    Ending::Ack => {
                        letter.ack();
                        model.done(from);
                        model.late += u64::from(sent.asks);
                    }
                }
            }
            Step::NewClient(c) => {
                drop(clients[c].take());
                incarnations[c] += 1;
                clients[c] = Some(mailbox.client(NAMES[c]).unwrap());
            }
            Step::NewReceiver(r) => receivers[r] = mailbox.receiver().unwrap(),
        }
        let status = mailbox.status().unwrap();
        assert_eq!(
            (status.letters.waiting, status.letters.held),
            (model.count(), 0)
        );
        assert_eq!(status.clients, NAMES);
        assert_eq!(status.late, model.late);
        assert_eq!(status.letters.receivers as usize, RECEIVERS);
    }
}

/// Receives until the request with this number, and answers that one.
fn converse(model: &mut Model, receiver: &mut MailboxReceiver, number: u64, answers: bool) {
    loop {
        let letter = receiver.receive_until(PATIENCE).unwrap();
        let (from, sent) = model.arrived(&letter);
        model.done(from);
        if sent.number != number {
            letter.ack();
            model.late += u64::from(sent.asks);
        } else if answers {
            assert_eq!(letter.reply(&payload(number, 50)).unwrap(), Answer::Sent);
            return;
        } else {
            return letter.ack();
        }
    }
}

// --- Refusals.

fn what_is_refused_is_refused_by_name() {
    let scratch = Scratch::new();
    let path = scratch.0.join("mailbox");
    let builder = Mailbox::builder(&path).depth(2).max_message_bytes(10);
    let mailbox = builder.max_clients(2).one_way().create().unwrap();
    let mut alice = mailbox.client("alice").unwrap();
    let again = mailbox.client("alice").unwrap_err();
    let us = std::process::id();
    assert!(
        matches!(&again, AttachError::CursorInUse { name, pid } if name == "alice" && *pid == us)
    );
    assert!(matches!(mailbox.client("a/b"), Err(AttachError::Name(_))));
    let _bob = mailbox.client("bob").unwrap();
    assert!(matches!(
        mailbox.client("carol"),
        Err(AttachError::NoRow { rows: 2 })
    ));
    let asked = alice.request_until(b"x", PATIENCE).map(|reply| reply.len());
    assert!(matches!(asked, Err(RequestError::OneWay)), "{asked:?}");
    let large = alice.send(&[0; 11]);
    assert!(
        matches!(large, Err(SendError::TooLarge { len: 11, max: 10 })),
        "{large:?}"
    );
    alice.send(&[0; 10]).unwrap();
    alice.try_send(b"").unwrap();
    assert!(matches!(alice.try_send(b""), Err(SendError::Full { .. })));
    let late = alice.send_until(b"", Duration::from_millis(5));
    assert!(matches!(late, Err(SendError::TimedOut { .. })), "{late:?}");
    let in_use = slipring::registry::remove_at(&path, false);
    assert!(
        matches!(in_use, Err(RemoveError::InUse { .. })),
        "{in_use:?}"
    );
    let error = slipring::Queue::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("is a mailbox, not a queue"),
        "{error}"
    );
}

fn a_mailbox_without_its_queue_is_made_whole_by_creating_it() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch.0, 4);
    let path = mailbox.path().to_owned();
    drop(mailbox);
    // As if another hand had removed the queue.
    slipring::registry::remove_at(path.join("letters"), false).unwrap();
    match Mailbox::open(&path) {
        Err(OpenError::Untrusted { why, .. }) => assert!(why.contains("letters"), "{why}"),
        other => panic!("{other:?}"),
    }
    let mailbox = Mailbox::builder(&path).create_or_open().unwrap();
    mailbox.client("alice").unwrap().send(b"there").unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    // Nested: a process is attached two levels down.
    let in_use = slipring::registry::remove_at(&path, false);
    assert!(
        matches!(in_use, Err(RemoveError::InUse { .. })),
        "{in_use:?}"
    );
    receiver.try_receive().unwrap().ack();
    drop(receiver);
    let client = mailbox.client("alice").unwrap();
    drop(client);
    slipring::registry::remove_at(&path, false).unwrap();
    assert!(!path.exists());
}

fn no_reply_reaches_the_next_client_of_a_row() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch.0, 4);
    let mut first = mailbox.client("first").unwrap();
    let gave_up = first
        .request_until(b"of the first", Duration::ZERO)
        .map(|r| r.len());
    assert!(matches!(gave_up, Err(RequestError::TimedOut)));
    drop(first);
    let mut second = mailbox.client("second").unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The second asks under the same number of the same row before the first is answered.
            while mailbox.status().unwrap().letters.waiting < 2 {
                std::thread::yield_now();
            }
            let letter = receiver.receive_until(PATIENCE).unwrap();
            assert_eq!((letter.sender(), &*letter), ("first", &b"of the first"[..]));
            assert_eq!(letter.reply(b"for the first").unwrap(), Answer::Late);
            let letter = receiver.receive_until(PATIENCE).unwrap();
            assert_eq!(letter.sender(), "second");
            assert_eq!(letter.reply(b"for the second").unwrap(), Answer::Sent);
        });
        let reply = second.request_until(b"of the second", PATIENCE).unwrap();
        assert_eq!(&*reply, b"for the second");
    });
    assert_eq!(mailbox.status().unwrap().late, 1);
}

fn a_late_reply_is_dropped_and_counted() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch.0, 4);
    let mut alice = mailbox.client("alice").unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    for round in 1..=10u64 {
        let gave_up = alice
            .request_until(b"quick", Duration::from_millis(1))
            .map(|r| r.len());
        assert!(
            matches!(gave_up, Err(RequestError::TimedOut)),
            "{gave_up:?}"
        );
        let letter = receiver.try_receive().unwrap();
        assert!(letter.wants_reply());
        assert_eq!(letter.reply(b"slow").unwrap(), Answer::Late);
        assert_eq!(mailbox.status().unwrap().late, round);
    }
    let too_large = std::thread::scope(|scope| {
        let asking = scope.spawn(|| alice.request_until(b"big?", PATIENCE).map(|r| r.to_vec()));
        let letter = receiver.receive_until(PATIENCE).unwrap();
        let refused = letter.reply(&[0; 601]);
        // It went back, so it can be answered otherwise.
        let letter = receiver.receive_until(PATIENCE).unwrap();
        assert!(letter.redelivered());
        assert_eq!(letter.reply(b"no").unwrap(), Answer::Sent);
        assert_eq!(asking.join().unwrap().unwrap(), b"no");
        refused
    });
    assert!(
        matches!(
            too_large,
            Err(ReplyError::Send(SendError::TooLarge { len: 601, max: 600 }))
        ),
        "{too_large:?}"
    );
}

// --- Processes.

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = Path::new(&arguments[0]);
    let mailbox = mailbox(directory);
    match role {
        "hold" => {
            let mut receiver = mailbox.receiver().unwrap();
            say("ready");
            let letter = receiver.receive().unwrap();
            say(letter.sender());
            std::thread::park();
        }
        "clerk" => {
            let mut receiver = mailbox.receiver().unwrap();
            say("ready");
            for _ in 0..arguments[1].parse().unwrap() {
                let letter = receiver.receive_until(PATIENCE).unwrap();
                let said = [letter.sender().as_bytes(), b": ", &letter].concat();
                assert_eq!(letter.reply(&said).unwrap(), Answer::Sent);
            }
        }
        "client" => ask_for_ever(&mailbox, &books(directory), arguments[1].parse().unwrap()),
        "server" => serve_for_ever(&mailbox, &books(directory), arguments[1].parse().unwrap()),
        role => panic!("no role {role}"),
    }
}

fn a_dead_receiver_leaves_the_letter_to_the_next() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch.0, 4);
    let mut alice = mailbox.client("alice").unwrap();
    let mut holder = Peer::start("hold", &[text(&scratch.0)]);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| alice.request_until(b"hello", PATIENCE).map(|r| r.to_vec()));
        assert_eq!(holder.line(), "alice");
        let clerk = Peer::start("clerk", &[text(&scratch.0), "1"]);
        holder.kill();
        assert_eq!(asking.join().unwrap().unwrap(), b"alice: hello");
        clerk.finish();
    });
}

fn no_receiver_left_is_said() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch.0, 4);
    let mut alice = mailbox.client("alice").unwrap();
    let mut holder = Peer::start("hold", &[text(&scratch.0)]);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| alice.request_until(b"hello", PATIENCE).map(|r| r.to_vec()));
        assert_eq!(holder.line(), "alice");
        holder.kill();
        let gone = asking.join().unwrap();
        assert!(matches!(gone, Err(RequestError::PeerGone)), "{gone:?}");
    });
    // The letter is still there, and its reply late.
    let mut receiver = mailbox.receiver().unwrap();
    let letter = receiver.try_receive().unwrap();
    assert!(letter.redelivered());
    assert_eq!(letter.reply(b"too late").unwrap(), Answer::Late);
    assert_eq!(mailbox.status().unwrap().late, 1);
}

fn one_receiver_answers_many_clients() {
    const EACH: u64 = 500;
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch.0, 4);
    let all = (NAMES.len() as u64 * EACH).to_string();
    let clerk = Peer::start("clerk", &[text(&scratch.0), &all]);
    std::thread::scope(|scope| {
        for name in NAMES {
            let mut client = mailbox.client(name).unwrap();
            scope.spawn(move || {
                for number in 0..EACH {
                    let body = payload(number, number as usize % 80);
                    let reply = client.request_until(&body, PATIENCE).unwrap();
                    assert_eq!(*reply, [name.as_bytes(), b": ", &body].concat());
                }
            });
        }
    });
    clerk.finish();
    assert_eq!(mailbox.status().unwrap().late, 0);
}

// --- Chaos.

const PARTIES: [&str; 5] = ["client", "client", "server", "server", "server"];
const LETTERS: usize = 1 << 20;
/// Words of a client: requests begun, replies, gone, timeouts, letters sent for certain, letters begun.
const WORDS: usize = 8;

fn books(directory: &Path) -> Books {
    Books::open(directory, 64, 2 * LETTERS)
}

/// Words that say who is to stop: clients first, so that none is left waiting.
const NO_MORE_ASKING: usize = 60;
const NO_MORE_SERVING: usize = 61;

fn stopping(books: &Books, who: usize) -> bool {
    books.word(who).load(SeqCst) != 0
}

fn ask_for_ever(mailbox: &Mailbox, books: &Books, party: usize) {
    let name = ["alice", "bob"][party];
    let mut client = mailbox.client(name).unwrap();
    say("ready");
    let word = |at: usize| books.word(party * WORDS + at);
    // A letter that was cut short by a death is not sent again.
    word(4).store(word(5).load(SeqCst), SeqCst);
    let mut random = Random::new();
    let longest = mailbox.max_message_bytes() as usize;
    while !stopping(books, NO_MORE_ASKING) {
        let number = word(0).fetch_add(1, SeqCst) + 1;
        let id = (party as u64) << 56 | number;
        let body = [
            &[1],
            &id.to_le_bytes()[..],
            &payload(id, (id % 300) as usize % (longest - 8)),
        ]
        .concat();
        let deadline = match random.below(4) {
            0 => Duration::from_micros(random.below(300)),
            1 => PATIENCE,
            _ => random.millis(1, 20),
        };
        let outcome = match client.request_until(&body, deadline) {
            Ok(reply) => {
                assert_eq!(reply[..8], id.to_le_bytes(), "a reply to something else");
                check(&reply[8..], id + 1);
                1
            }
            Err(RequestError::PeerGone) => 2,
            Err(RequestError::TimedOut) => {
                assert!(deadline < PATIENCE, "hangs");
                3
            }
            Err(error) => panic!("{error}"),
        };
        word(outcome).fetch_add(1, SeqCst);
        // And some letters without a request, mostly of the largest size: sometimes they fill the lane.
        for _ in 0..random.below(12) {
            let letter = word(4).load(SeqCst);
            if letter as usize >= LETTERS {
                break;
            }
            word(5).store(letter + 1, SeqCst);
            let id = (party as u64) << 56 | letter;
            let rest = (longest - 9) / (1 + (letter % 5 == 0) as usize);
            let body = [&[0], &id.to_le_bytes()[..], &payload(id, rest)].concat();
            client.send_until(&body, PATIENCE).unwrap();
            books
                .byte(party * LETTERS + letter as usize)
                .fetch_or(1, SeqCst);
            word(4).store(letter + 1, SeqCst);
        }
        books.word(48 + party).fetch_add(1, SeqCst);
    }
}

fn serve_for_ever(mailbox: &Mailbox, books: &Books, party: usize) {
    let mut receiver = mailbox.receiver().unwrap();
    let longest = mailbox.max_message_bytes() as usize;
    say("ready");
    let mut random = Random::new();
    loop {
        books.word(48 + party).fetch_add(1, SeqCst);
        let letter = match receiver.receive_until(Duration::from_millis(20)) {
            Ok(letter) => letter,
            Err(TakeError::TimedOut) if stopping(books, NO_MORE_SERVING) => return,
            Err(TakeError::TimedOut) => continue,
            Err(error) => panic!("{error}"),
        };
        let id = u64::from_le_bytes(letter[1..9].try_into().unwrap());
        let from = (id >> 56) as usize;
        assert_eq!(letter.sender(), ["alice", "bob"][from]);
        if letter[0] == 0 {
            assert!(!letter.wants_reply());
            check(&letter[9..], id);
            let at = from * LETTERS + (id << 8 >> 8) as usize;
            books.byte(at).fetch_or(2, SeqCst);
            letter.ack();
            continue;
        }
        check(&letter[9..], id);
        let answer = [
            &id.to_le_bytes()[..],
            &payload(id + 1, (id % 200) as usize % (longest - 8)),
        ]
        .concat();
        match random.below(40) {
            0 => letter.ack(),
            1 => drop(letter),
            2 => {
                std::thread::sleep(Duration::from_millis(2));
                letter.reply(&answer).unwrap();
            }
            _ => {
                letter.reply(&answer).unwrap();
            }
        }
    }
}

/// Several mailboxes one after the other: letters fill from half to all of their lanes.
fn random_deaths_leave_one_outcome_each() {
    let mut random = Random::new();
    let rounds = 4;
    for round in 0..rounds {
        let depth = 2 << random.below(6);
        let fill = 50 + random.below(51).max(random.below(51));
        let frame = (4096 << random.below(4)) * fill / 100 / (depth + 2);
        // What is sent beside a letter takes some of it.
        let longest = (frame & !7).clamp(80, 4096) - 40;
        let kills = (kills_wanted() + round) / rounds;
        kill_at_random(&mut random, depth as u32, longest as u32, kills);
    }
}

fn kill_at_random(random: &mut Random, depth: u32, longest: u32, wanted: u64) {
    println!("  depth {depth}, letters of {longest} bytes, {wanted} kills");
    let scratch = Scratch::new();
    let builder = Mailbox::builder(scratch.0.join("mailbox"));
    let mailbox = builder
        .depth(depth)
        .max_message_bytes(longest)
        .create()
        .unwrap();
    let books = books(&scratch.0);
    let mut parties = Parties::numbered(&PARTIES, text(&scratch.0));
    for _ in 0..wanted {
        let party = parties.any(random);
        parties.kill(party, random, 12);
        parties.replace(party);
    }
    parties.get_on(|party| books.word(48 + party).load(SeqCst));
    // What the dead held comes back while there are receivers.
    for (stop, of_it) in [(NO_MORE_ASKING, 0..2), (NO_MORE_SERVING, 2..PARTIES.len())] {
        books.word(stop).store(1, SeqCst);
        parties.finish(of_it);
        let started = Instant::now();
        let left = || mailbox.status().unwrap().letters;
        while stop == NO_MORE_ASKING && (left().waiting, left().held) != (0, 0) {
            assert!(started.elapsed() < PATIENCE, "{:?}", left());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let status = mailbox.status().unwrap();
    assert_eq!((status.letters.waiting, status.letters.held), (0, 0));
    assert_eq!((status.letters.receivers, status.clients.len()), (0, 0));
    for client in 0..2 {
        let killed = parties.kills(client);
        let word = |at: usize| books.word(client * WORDS + at).load(SeqCst);
        let (requests, replies, gone, timeouts) = (word(0), word(1), word(2), word(3));
        let cut = requests - replies - gone - timeouts;
        assert!(
            cut <= killed,
            "{cut} without an outcome by {} kills",
            killed
        );
        for letter in 0..word(5) as usize {
            let state = books.byte(client * LETTERS + letter).load(SeqCst);
            assert_ne!(state, 1, "letter {letter} of {client} was lost");
        }
        println!(
            "  client {client}: {requests} requests = {replies} replies + {gone} gone + {timeouts} timeouts + {cut} cut short, {} letters",
            word(5)
        );
    }
    println!(
        "  {} kills, {} late replies",
        (0..PARTIES.len())
            .map(|party| parties.kills(party))
            .sum::<u64>(),
        status.late
    );
    slipring::registry::remove_at(mailbox.path(), false).unwrap();
}
