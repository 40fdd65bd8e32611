//! Competing takers: `returned` (returns), `taken` (done, whose orderings are beyond the model), `revoked` (holds that
//! are taken away), and which taker gets which message.

use slipring::layout::geometry::Geometry;
use slipring::ring::take::{board_words, return_all, revoke, Hold, Keeper, Taken, Taker, Watch};
use slipring::segment::Memory;
use slipring::sync::spin_hint;
use slipring_loom_tests::*;

/// A ring of 128 bytes for `depth` messages at a time.
fn lane(depth: u32) -> Memory {
    let geometry = Geometry::check(128, 32, 8, 2, 0, false).expect("a valid geometry");
    let geometry = geometry.with_board(board_words(depth));
    Memory::local(geometry.expect("a valid board"))
}

/// Takes a message if there is one; checks that it is whole.
fn grab(taker: &mut Taker) -> Option<Taken> {
    let taken = taker.try_take().expect("a sound ring")?;
    let mut words = [0; LEN / 8];
    taker.memory().words().copy_out(taken.payload, &mut words);
    assert_eq!(words, [taken.sequence + 100, taken.sequence + 200]);
    Some(taken)
}

fn show(taken: Option<Taken>) -> String {
    match taken {
        None => "-".into(),
        Some(taken) if taken.tries > 1 => format!("{}*", taken.sequence),
        Some(taken) => taken.sequence.to_string(),
    }
}

/// Two takers and two messages, one of them sent meanwhile: no taker gets a message that the other has.
fn rivals() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut first = Taker::attach(&memory, 1).expect("a lane");
    let mut second = Taker::attach(&memory, 2).expect("a lane");
    let rival = thread::spawn(move || show(grab(&mut first)));
    let writer = thread::spawn(move || publish(&mut to));
    let mine = show(grab(&mut second));
    writer.join().unwrap();
    format!("{} {mine}", rival.join().unwrap())
}

const RIVALS: &[&str] = &["0 -", "- 0", "0 1", "1 0"];

#[test]
fn every_message_goes_to_one_taker() {
    assert_outcomes(Some(3), RIVALS, rivals);
}

#[test]
fn without_the_fence_behind_the_commit_word_it_may_be_torn() {
    assert_notices("publish take:Acquire", Some(3), RIVALS, rivals);
}

/// A taker that is finished makes room for a third message in a lane of two: what the keeper gives
/// back is what was done, and the message it makes room for is taken whole.
fn reused() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let mut keeper = Keeper::attach(memory.clone()).expect("a lane");
    for _ in 0..2 {
        publish(&mut to);
        keeper.sent(to.sequence() - 1, to.position());
    }
    let mut taker = Taker::attach(&memory, 1).expect("a lane");
    let reader = thread::spawn(move || {
        let mut seen = String::new();
        for _ in 0..3 {
            let taken = grab(&mut taker);
            seen += &show(taken);
            if let Some(taken) = taken {
                taker.finish(taken);
            }
        }
        seen
    });
    for _ in 0..2 {
        keeper.reclaim(to.sequence());
        spin_hint();
    }
    if keeper.has_word(to.sequence()) {
        publish(&mut to);
        keeper.sent(to.sequence() - 1, to.position());
    }
    reader.join().unwrap()
}

const REUSED: &[&str] = &["01-", "012"];

#[test]
fn a_word_is_used_again_only_when_its_message_is_done() {
    assert_outcomes(Some(3), REUSED, reused);
}

/// A taker has died with a message. A sweeper returns it while another taker looks: that one gets it in the
/// end, and knows that it was returned.
fn returned() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut dead = Taker::attach(&memory, 1).expect("a lane");
    assert!(grab(&mut dead).is_some());
    let mut taker = Taker::attach(&memory, 2).expect("a lane");
    let swept = memory.clone();
    let sweeper = thread::spawn(move || return_all(&swept, 1));
    let meanwhile = grab(&mut taker);
    let count = sweeper.join().unwrap();
    // The sweep may have been seen in part; what it announced is seen from now on.
    let later = grab(&mut taker);
    format!("{} {} of {count}", show(meanwhile), show(later))
}

const RETURNED: &[&str] = &["- 0* of 1", "0* - of 1"];

#[test]
fn what_comes_back_is_found() {
    assert_outcomes(Some(3), RETURNED, returned);
}

/// Two sweepers at once, and the owner of the number comes back: the message is returned once.
fn swept_twice() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut dead = Taker::attach(&memory, 1).expect("a lane");
    assert!(grab(&mut dead).is_some());
    let (one, other) = (memory.clone(), memory.clone());
    let first = thread::spawn(move || return_all(&one, 1));
    let second = return_all(&other, 1);
    let total = first.join().unwrap() + second;
    let mut taker = Taker::attach(&memory, 1).expect("a lane");
    format!("{total} {}", show(grab(&mut taker)))
}

#[test]
fn a_message_is_returned_once() {
    assert_outcomes(Some(3), &["1 0*"], swept_twice);
}

/// The sweeper announces what it returned before the taker looks for announcements, or after: a
/// taker that saw the announcement sees the return.
fn announced() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut dead = Taker::attach(&memory, 1).expect("a lane");
    assert!(grab(&mut dead).is_some());
    let mut taker = Taker::attach(&memory, 2).expect("a lane");
    // Steps over messages that another taker holds.
    assert_eq!(grab(&mut taker), None);
    let swept = memory.clone();
    let sweeper = thread::spawn(move || {
        return_all(&swept, 1);
    });
    let mut found = None;
    // Ready means that there is an announcement, for nothing else can happen here.
    if taker.ready() {
        found = Some(show(grab(&mut taker)));
    }
    sweeper.join().unwrap();
    found.unwrap_or_else(|| "nothing yet".into())
}

const ANNOUNCED: &[&str] = &["0*", "nothing yet"];

#[test]
fn an_announced_return_is_there() {
    assert_outcomes(Some(3), ANNOUNCED, announced);
}

#[test]
fn without_the_release_it_may_not_be() {
    assert_notices("returned announce:Release", Some(3), ANNOUNCED, announced);
}

/// A taker gives a message back itself.
fn given_back() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut first = Taker::attach(&memory, 1).expect("a lane");
    let taken = grab(&mut first).expect("the message");
    let mut second = Taker::attach(&memory, 2).expect("a lane");
    assert_eq!(grab(&mut second), None);
    let giver = thread::spawn(move || first.give_back(taken));
    let finder = thread::spawn(move || {
        let found = second.ready().then(|| show(grab(&mut second)));
        found.unwrap_or_else(|| "nothing yet".into())
    });
    giver.join().unwrap();
    finder.join().unwrap()
}

#[test]
fn what_is_given_back_is_found() {
    assert_outcomes(Some(3), ANNOUNCED, given_back);
}

#[test]
fn without_the_release_it_may_not_be_found() {
    assert_notices("returned announce:Release", Some(3), ANNOUNCED, given_back);
}

/// A taker looks for its place while the keeper gives back the space of what was done and the producer
/// overwrites it: it finds the oldest message that is not done, now or at the next look, and never reports
/// damage because the keeper moved on.
fn hurried() -> String {
    let memory = lane(8);
    let mut to = producer(&memory);
    let mut keeper = Keeper::attach(memory.clone()).expect("a lane");
    let mut first = Taker::attach(&memory, 1).expect("a lane");
    for _ in 0..5 {
        publish(&mut to);
        keeper.sent(to.sequence() - 1, to.position());
    }
    for _ in 0..2 {
        let taken = grab(&mut first).expect("it was published");
        first.finish(taken);
    }
    let mut second = Taker::attach(&memory, 2).expect("a lane");
    let writer = thread::spawn(move || {
        assert_eq!(keeper.reclaim(to.sequence()), 2);
        publish(&mut to);
        keeper
    });
    let found = grab(&mut second);
    let _keeper = writer.join().unwrap();
    let found = found.or_else(|| grab(&mut second));
    show(found)
}

const HURRIED: &[&str] = &["2"];

#[test]
fn the_oldest_message_is_found_behind_a_keeper_that_moves() {
    assert_outcomes(Some(3), HURRIED, hurried);
}

#[test]
fn without_the_fence_behind_the_announcement_haste_is_taken_for_damage() {
    assert_notices("gate oldest:Acquire", Some(3), HURRIED, hurried);
}

/// What a taker sees held, in a lane of which it has come by every message.
fn holds(taker: &Taker) -> Vec<Hold> {
    let mut holds = Vec::new();
    Watch::new(taker).look(taker, |hold| holds.push(hold));
    holds
}

/// A taker finishes its message while another one takes the message away: one of them has it.
fn revoked() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut slow = Taker::attach(&memory, 1).expect("a lane");
    let taken = grab(&mut slow).expect("the message");
    let mut quick = Taker::attach(&memory, 2).expect("a lane");
    assert_eq!(grab(&mut quick), None);
    let [hold] = holds(&quick)[..] else {
        panic!("it is held");
    };
    let finisher = thread::spawn(move || slow.finish_if_held(taken));
    let taker = thread::spawn(move || {
        let revoked = revoke(&quick, hold);
        let found = grab(&mut quick);
        if let Some(found) = found {
            assert!(quick.finish_if_held(found));
        }
        format!("{revoked} {}", show(found))
    });
    let finished = finisher.join().unwrap();
    format!("{finished}: {}", taker.join().unwrap())
}

const REVOKED: &[&str] = &["true: false -", "false: true 0*"];

#[test]
fn a_message_is_finished_or_taken_away() {
    assert_outcomes(None, REVOKED, revoked);
}

/// Two takers take the same message away, and the first has it again meanwhile, or not: what was seen held is taken away
/// once, and a later hold is not.
fn revoked_twice() -> String {
    let memory = lane(2);
    let mut to = producer(&memory);
    let _keeper = Keeper::attach(memory.clone()).expect("a lane");
    publish(&mut to);
    let mut slow = Taker::attach(&memory, 1).expect("a lane");
    let taken = grab(&mut slow).expect("the message");
    let mut one = Taker::attach(&memory, 2).expect("a lane");
    let mut other = Taker::attach(&memory, 3).expect("a lane");
    assert_eq!((grab(&mut one), grab(&mut other)), (None, None));
    let [hold] = holds(&one)[..] else {
        panic!("it is held");
    };
    let first = thread::spawn(move || {
        let revoked = revoke(&one, hold);
        (revoked, grab(&mut one))
    });
    let second = thread::spawn(move || {
        let revoked = revoke(&other, hold);
        (revoked, grab(&mut other))
    });
    let (first, second) = (first.join().unwrap(), second.join().unwrap());
    // It goes back late, and changes nothing.
    slow.give_back(taken);
    assert!(first.0 != second.0, "taken away twice, or never");
    format!("{} {}", show(first.1), show(second.1))
}

const REVOKED_TWICE: &[&str] = &["0* -", "- 0*"];

#[test]
fn a_hold_is_taken_away_once() {
    assert_outcomes(Some(3), REVOKED_TWICE, revoked_twice);
}

/// A slow taker copies its message while another one takes it away and finishes it, and the producer overwrites it: a
/// taker that still has it has copied it whole.
fn overwritten() -> String {
    let memory = lane(8);
    let mut to = producer(&memory);
    let mut keeper = Keeper::attach(memory.clone()).expect("a lane");
    for _ in 0..5 {
        publish(&mut to);
        keeper.sent(to.sequence() - 1, to.position());
    }
    let mut slow = Taker::attach(&memory, 1).expect("a lane");
    let taken = slow.try_take().expect("a sound ring").expect("the first");
    let mut quick = Taker::attach(&memory, 2).expect("a lane");
    for _ in 1..5 {
        let taken = grab(&mut quick).expect("it was published");
        quick.finish(taken);
    }
    let [hold] = holds(&quick)[..] else {
        panic!("one is held");
    };
    let copier = thread::spawn(move || {
        let mut words = [0; LEN / 8];
        slow.memory().words().copy_out(taken.payload, &mut words);
        let holds = slow.still_holds(taken);
        assert!(!holds || words == [100, 200], "torn, and held");
        if holds {
            "held"
        } else {
            "lost"
        }
    });
    let writer = thread::spawn(move || {
        assert!(revoke(&quick, hold));
        let taken = grab(&mut quick).expect("it was taken away");
        assert!(quick.finish_if_held(taken));
        keeper.reclaim(to.sequence());
        publish(&mut to);
    });
    writer.join().unwrap();
    copier.join().unwrap().to_owned()
}

const OVERWRITTEN: &[&str] = &["held", "lost"];

#[test]
fn what_is_held_was_copied_whole() {
    assert_outcomes(Some(3), OVERWRITTEN, overwritten);
}

#[test]
fn without_the_fence_behind_the_copy_it_may_be_torn() {
    assert_notices("revoked copy:Acquire", Some(3), OVERWRITTEN, overwritten);
}

// The acquires of `returned` and of the keeper's row have no mutant: what follows them begins with the acquire fence of
// the index (edge `entry`), which does the same.
