//! Links: between processes, against an oracle, and under random deaths.

use proptest::prelude::*;
use slipring::{
    link::{LinkBuilder, LinkError},
    place::RemoveError,
    Link,
};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use testing::books::{kills_wanted, Books, Random};
use testing::{check, payload, say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_by_name,
    a_third_process_is_refused,
    both_learn_of_the_others_death,
    a_side_that_never_waits_learns_of_a_death,
    nothing_of_an_older_link_arrives_in_a_newer,
    two_threads_share_a_link,
    random_deaths_leave_whole_links,
]);

fn describe(directory: &Path, me: &str, peer: &str) -> LinkBuilder {
    let builder = Link::builder(me, peer).directory(directory);
    builder.capacity_bytes(4096)
}

/// Both sides, connected, in one process.
fn connected(directory: &Path) -> [Link; 2] {
    let there = describe(directory, "bob", "alice");
    let other = std::thread::spawn(move || there.connect_until(PATIENCE).unwrap());
    let here = describe(directory, "alice", "bob").connect_until(PATIENCE);
    [here.unwrap(), other.join().unwrap()]
}

// --- The oracle.

#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize),
    Receive(usize),
    /// One side leaves; the other drains and both meet anew.
    Renew(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize, 0..1030usize).prop_map(|(side, len)| Step::Send(side, len)),
        5 => (0..2usize).prop_map(Step::Receive),
        1 => (0..2usize).prop_map(Step::Renew),
    ]
}

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(150);
    let steps = prop::collection::vec(step(), 1..80);
    runner
        .run(&steps, |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

fn follow(steps: &[Step]) {
    let scratch = Scratch::new();
    let mut links = connected(&scratch.0);
    // What each side sent and the other has not received.
    let mut under_way = [VecDeque::new(), VecDeque::new()];
    let mut next = 0u64;
    for step in steps {
        match *step {
            Step::Send(side, len) => {
                let result = links[side].try_send(&payload(next, len));
                let used: usize = under_way[side].iter().map(|(_, len)| len + 16).sum();
                match result {
                    Ok(_) => under_way[side].push_back((next, len)),
                    Err(LinkError::TooLarge { len: l, max }) => {
                        assert!(l == len && len as u32 > max && max == 1024);
                    }
                    // Frames are rounded up, and one may have to be left out before the end.
                    Err(LinkError::Full) => assert!(used + 2 * (len + 16) > 2048, "{used} {len}"),
                    Err(error) => panic!("{error}"),
                }
                next += 1;
            }
            Step::Receive(side) => {
                let expected = under_way[1 - side].pop_front();
                match links[side].try_receive() {
                    Ok(message) => {
                        let (number, len) = expected.expect("something was sent");
                        assert_eq!(message.len(), len);
                        check(&message, number);
                    }
                    Err(LinkError::Empty) => assert_eq!(expected, None),
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Renew(side) => {
                let [alice, bob] = links;
                let (leaver, mut stayer) = if side == 0 {
                    (alice, bob)
                } else {
                    (bob, alice)
                };
                drop(leaver);
                // Everything that was sent comes first.
                for (number, len) in under_way[side].drain(..) {
                    let message = stayer.receive_until(PATIENCE).unwrap();
                    assert_eq!(message.len(), len);
                    check(&message, number);
                }
                assert!(matches!(stayer.try_receive(), Err(LinkError::PeerGone)));
                let gone = stayer.receive_until(PATIENCE).map(|message| message.len());
                assert!(matches!(gone, Err(LinkError::PeerGone)));
                assert!(matches!(stayer.send(b"x"), Err(LinkError::PeerGone)));
                under_way[1 - side].clear();
                let (me, peer) = if side == 0 {
                    ("alice", "bob")
                } else {
                    ("bob", "alice")
                };
                let again = describe(&scratch.0, me, peer);
                let other = std::thread::spawn(move || again.connect_until(PATIENCE).unwrap());
                stayer.reconnect_until(PATIENCE).unwrap();
                let returned = other.join().unwrap();
                links = if side == 0 {
                    [returned, stayer]
                } else {
                    [stayer, returned]
                };
            }
        }
    }
}

// --- Refusals.

fn what_is_refused_is_refused_by_name() {
    let scratch = Scratch::new();
    let long = "x".repeat(32);
    for (me, peer) in [
        ("a", "a"),
        ("", "b"),
        ("a", "b/c"),
        ("a.b", "c"),
        (&*long, "b"),
    ] {
        let error = describe(&scratch.0, me, peer).connect().unwrap_err();
        assert!(matches!(error, LinkError::Name { .. }), "{error}");
    }
    let alone = describe(&scratch.0, "alice", "bob").connect_until(Duration::from_millis(5));
    assert!(matches!(alone, Err(LinkError::TimedOut)));
    let [alice, bob] = connected(&scratch.0);
    let path = alice.path().to_owned();
    assert!(path.ends_with("alice..bob"), "{}", path.display());
    assert_eq!(path, bob.path());
    let in_use = slipring::registry::remove_at(&path, false);
    assert!(matches!(in_use, Err(RemoveError::InUse { .. })));
    drop(alice);
    let in_use = slipring::registry::remove_at(&path, false);
    assert!(matches!(in_use, Err(RemoveError::InUse { .. })));
    drop(bob);
    slipring::registry::remove_at(&path, false).unwrap();
    assert!(!path.exists());
}

// --- Processes.

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    match role {
        "wait" => {
            let mut link = describe(&directory, "bob", "alice").connect().unwrap();
            for number in 0..3 {
                link.send(&payload(number, 40)).unwrap();
            }
            say("ready");
            std::thread::park();
        }
        "third" => {
            let error = describe(&directory, "bob", "alice").connect().unwrap_err();
            say("ready");
            say(&error.to_string());
        }
        _ => chatter(&directory, &arguments[1]),
    }
}

fn a_third_process_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.0.clone();
    let waiting = std::thread::spawn(move || Peer::start("wait", &[text(&path)]));
    let alice = describe(&scratch.0, "alice", "bob").connect_until(PATIENCE);
    let alice = alice.unwrap();
    let bob = waiting.join().unwrap();
    assert_eq!(alice.peer_pid(), bob.child.id());
    let third = Peer::start("third", &[text(&scratch.0)]);
    let said = third.finish();
    let expected = format!("process {} is connected as bob already", bob.child.id());
    assert_eq!(said, expected);
}

fn both_learn_of_the_others_death() {
    let scratch = Scratch::new();
    let path = scratch.0.clone();
    let waiting = std::thread::spawn(move || Peer::start("wait", &[text(&path)]));
    let mut alice = describe(&scratch.0, "alice", "bob")
        .connect_until(PATIENCE)
        .unwrap();
    let bob = waiting.join().unwrap();
    bob.kill();
    // What it sent before it died comes first.
    for number in 0..3 {
        check(&alice.receive_until(PATIENCE).unwrap(), number);
    }
    let gone = alice.receive_until(PATIENCE).map(|message| message.len());
    assert!(matches!(gone, Err(LinkError::PeerGone)), "{gone:?}");
    // A sender learns of it too, before it has sent a quarter of the capacity.
    let sent = (0..).find(|_| alice.send(&[7; 56]).is_err()).unwrap();
    assert!(sent <= 4096 / 64 / 4, "{sent} sent to nobody");
    assert!(matches!(alice.send(b""), Err(LinkError::PeerGone) | Ok(_)));
    // And one that waits for room.
    let path = scratch.0.clone();
    let waiting = std::thread::spawn(move || Peer::start("wait", &[text(&path)]));
    alice.reconnect_until(PATIENCE).unwrap();
    let bob = waiting.join().unwrap();
    while !matches!(alice.try_send(&[7; 56]), Err(LinkError::Full)) {}
    let killer = std::thread::spawn(move || bob.kill());
    let stuck = alice.send_until(&[7; 56], PATIENCE);
    killer.join().unwrap();
    let gone = stuck.and_then(|_| (0..64).try_for_each(|_| alice.send(&[7; 56]).map(|_| ())));
    assert!(matches!(gone, Err(LinkError::PeerGone)), "{gone:?}");
}

fn a_side_that_never_waits_learns_of_a_death() {
    for apart in [false, true] {
        let scratch = Scratch::new();
        let path = scratch.0.clone();
        let waiting = std::thread::spawn(move || Peer::start("wait", &[text(&path)]));
        let mut alice = describe(&scratch.0, "alice", "bob")
            .connect_until(PATIENCE)
            .unwrap();
        waiting.join().unwrap().kill();
        let mut received = 0;
        // What it sent before it died comes first, and then the news, within few calls.
        let told = (0..200).find_map(|_| {
            let mut half;
            let heard = if apart {
                (_, half) = alice.split();
                half.try_receive()
            } else {
                alice.try_receive()
            };
            match heard {
                Ok(message) => {
                    check(&message, received);
                    received += 1;
                    None
                }
                Err(LinkError::Empty) => {
                    std::thread::sleep(Duration::from_millis(1));
                    None
                }
                Err(error) => Some(error),
            }
        });
        assert!(matches!(told, Some(LinkError::PeerGone)), "{told:?}");
        assert_eq!(received, 3);
    }
}

fn nothing_of_an_older_link_arrives_in_a_newer() {
    let scratch = Scratch::new();
    let [mut alice, mut bob] = connected(&scratch.0);
    for round in 0..50u64 {
        alice.send(&payload(2 * round, 32)).unwrap();
        bob.send(&payload(2 * round + 1, 32)).unwrap();
        if round % 2 == 0 {
            check(&bob.receive_until(PATIENCE).unwrap(), 2 * round);
        }
        // Neither reads everything: what is left is of this link, and goes with it.
        std::thread::scope(|scope| {
            let other = scope.spawn(|| bob.reconnect_until(PATIENCE).unwrap());
            alice.reconnect_until(PATIENCE).unwrap();
            other.join().unwrap();
        });
        assert!(matches!(alice.try_receive(), Err(LinkError::Empty)));
        assert!(matches!(bob.try_receive(), Err(LinkError::Empty)));
    }
}

fn two_threads_share_a_link() {
    const MANY: u64 = 20_000;
    let scratch = Scratch::new();
    let mut links = connected(&scratch.0);
    std::thread::scope(|scope| {
        for link in &mut links {
            let (mut sender, mut receiver) = link.split();
            scope.spawn(move || {
                for number in 0..MANY {
                    sender
                        .send(&payload(number, number as usize % 100))
                        .unwrap();
                }
            });
            scope.spawn(move || {
                for number in 0..MANY {
                    let message = receiver.receive().unwrap();
                    assert_eq!(message.len(), number as usize % 100);
                    check(&message, number);
                }
            });
        }
    });
}

// --- Chaos.

fn open_books(directory: &Path) -> Books {
    Books::open(directory, 64, 0)
}

/// The two words of the next message, if it is there or comes soon.
fn heard_now(link: &mut Link) -> Result<[u64; 2], LinkError> {
    let message = link.receive_until(Duration::from_micros(50))?;
    let word = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().unwrap());
    Ok([word(0), word(8)])
}

/// Connects again and again; on each link sends its incarnation and a number, and checks that what it
/// receives is of one incarnation, from 0 on, without a gap.
fn chatter(directory: &Path, me: &str) {
    let books = open_books(directory);
    let (number, peer) = if me == "alice" {
        (0, "bob")
    } else {
        (1, "alice")
    };
    say("ready");
    let mut link = loop {
        match describe(directory, me, peer).connect_until(Duration::from_millis(200)) {
            Ok(link) => break link,
            Err(LinkError::TimedOut) if books.word(40).load(SeqCst) == 0 => {}
            Err(LinkError::TimedOut) => return,
            Err(error) => panic!("{error}"),
        }
    };
    let process = u64::from(std::process::id());
    let mut pact = 0;
    loop {
        pact += 1;
        let incarnation = process << 32 | pact;
        let (mut sent, mut heard) = (0u64, 0u64);
        let mut from = None;
        loop {
            if books.word(40).load(SeqCst) != 0 {
                return;
            }
            let message = [incarnation.to_le_bytes(), sent.to_le_bytes()].concat();
            match link.try_send(&message) {
                Ok(_) => sent += 1,
                Err(LinkError::Full) => {}
                Err(LinkError::PeerGone) => break,
                Err(error) => panic!("{error}"),
            }
            match heard_now(&mut link) {
                Ok(words) => {
                    assert_eq!(*from.get_or_insert(words[0]), words[0], "of another link");
                    assert_eq!(words[1], heard, "lost or doubled");
                    heard += 1;
                }
                Err(LinkError::TimedOut) => {}
                Err(LinkError::PeerGone) => break,
                Err(error) => panic!("{error}"),
            }
            books.word(16 + number).fetch_add(1, SeqCst);
        }
        // What was still under way is whole too.
        while let Ok(words) = heard_now(&mut link) {
            assert_eq!(words[1], heard, "lost or doubled");
            heard += 1;
        }
        books.word(20 + number).fetch_add(1, SeqCst);
        loop {
            match link.reconnect_until(Duration::from_millis(200)) {
                Ok(()) => break,
                Err(LinkError::TimedOut) if books.word(40).load(SeqCst) == 0 => {}
                Err(LinkError::TimedOut) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn random_deaths_leave_whole_links() {
    let scratch = Scratch::new();
    let books = open_books(&scratch.0);
    let mut random = Random::new();
    let names = ["alice", "bob"];
    let mut parties = Parties::start(
        names
            .map(|name| {
                (
                    "chatter",
                    vec![text(&scratch.0).to_owned(), name.to_owned()],
                )
            })
            .to_vec(),
    );
    for _ in 0..kills_wanted() {
        let party = parties.any(&mut random);
        parties.kill(party, &mut random, 12);
        parties.replace(party);
    }
    parties.get_on(|party| books.word(16 + party).load(SeqCst));
    books.word(40).store(1, SeqCst);
    parties.finish_all();
    let turns: u64 = (0..2).map(|side| books.word(16 + side).load(SeqCst)).sum();
    let again: u64 = (0..2).map(|side| books.word(20 + side).load(SeqCst)).sum();
    println!(
        "  {} kills, {turns} turns, {again} times connected anew",
        kills_wanted()
    );
    let path = scratch.0.join("alice..bob");
    slipring::registry::remove_at(path, false).unwrap();
}
