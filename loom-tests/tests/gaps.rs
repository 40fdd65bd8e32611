//! Gaps: `publish` (commit), `overwrite` (observe, step), `evict` (consume).

use slipring::layout::frame::CommitWord;
use slipring::layout::gap::Gap;
use slipring::ring::consumer::{Consumer, Lost};
use slipring::ring::index::step;
use slipring::ring::{Boundary, Start};
use slipring::sync::Ordering::Relaxed;
use slipring_loom_tests::*;

/// Where gaps lead here.
const TO: u64 = (1 << 33) + 7;

/// What a consumer, which has looked for a message behind a gap, knows of the gap.
fn told(from: &Consumer) -> String {
    match from.last_gap() {
        Some(gap) => {
            assert_eq!(gap, Gap::new(0, TO, WHY), "torn");
            assert_eq!((from.skipped(), from.sequence()), (TO, TO));
            "skipped".into()
        }
        None => "nothing".into(),
    }
}

/// One consumer polls while sequences are skipped: it sees nothing or all of the gap, and behind it no message,
/// though a word lies there that passes for the commit word of the next one.
fn skipped() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let stale = CommitWord::message(LEN as u32, TO).raw();
    memory.words().at(24).store(stale, Relaxed);
    let writer = thread::spawn(move || skip_to(&mut to, TO));
    let arrived = from.try_next().expect("a sound ring");
    assert_eq!(arrived, None, "what lay behind the gap was taken");
    writer.join().unwrap();
    told(&from)
}

const SKIPPED: &[&str] = &["nothing", "skipped"];

#[test]
fn a_gap_that_is_seen_is_whole() {
    assert_outcomes(None, SKIPPED, skipped);
}

#[test]
fn without_either_end_of_its_commit_it_is_not() {
    for tag in ["publish commit:Release", "publish consume:Acquire"] {
        assert_notices(tag, None, SKIPPED, skipped);
    }
}

/// The same with an observer.
fn skipped_observed() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = observer(&memory, Start::Oldest);
    let writer = thread::spawn(move || skip_to(&mut to, 7));
    let seen = look(&mut from);
    writer.join().unwrap();
    seen
}

const OBSERVED: &[&str] = &["nothing", "skipped 7 at 7"];

#[test]
fn an_observer_too_sees_nothing_or_a_whole_gap() {
    assert_outcomes(None, OBSERVED, skipped_observed);
}

#[test]
fn without_its_end_of_the_commit_an_observer_does_not() {
    assert_notices("publish observe:Acquire", None, OBSERVED, skipped_observed);
}

/// A message, then a gap and a message: what is received and what is skipped is everything, in this order.
fn between() -> String {
    let memory = roomy(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || {
        publish(&mut to);
        skip_to(&mut to, 9);
        publish(&mut to);
    });
    let seen: Vec<_> = [(); 2]
        .iter()
        .filter_map(|()| try_take(&mut from))
        .collect();
    writer.join().unwrap();
    let passed = seen.len() as u64 + from.skipped();
    assert_eq!(from.sequence(), passed);
    format!("{seen:?}")
}

const BETWEEN: &[&str] = &["[]", "[0]", "[0, 9]", "[9]"];

#[test]
fn what_is_received_and_skipped_is_everything() {
    // The first look may find nothing, and the second the first message only.
    assert_outcomes(Some(3), &BETWEEN[..3], between);
}

/// A gap, and two messages: the second one overwrites the gap.
fn before_the_gap(memory: &slipring::segment::Memory) -> slipring::ring::producer::Producer {
    let mut to = producer(memory);
    skip_to(&mut to, 7);
    publish(&mut to);
    to
}

/// An observer reads a gap while the producer overwrites it.
fn overrun() -> String {
    let memory = tiny(1);
    let mut to = before_the_gap(&memory);
    let mut from = observer(&memory, Start::Oldest);
    let writer = thread::spawn(move || publish(&mut to));
    let reader = thread::spawn(move || look(&mut from));
    writer.join().unwrap();
    reader.join().unwrap()
}

const OVERRUN: &[&str] = &["skipped 7 at 7", "lost 8 at 8"];

#[test]
fn an_overtaken_gap_is_always_detected() {
    assert_outcomes(Some(3), OVERRUN, overrun);
}

#[test]
fn without_either_end_of_the_reserve_it_is_not() {
    for tag in ["overwrite reserve:Release", "overwrite observe:Acquire"] {
        assert_notices(tag, Some(3), OVERRUN, overrun);
    }
}

/// A walk steps over a gap while the producer overwrites it.
fn walked() -> String {
    let memory = tiny(1);
    let mut to = before_the_gap(&memory);
    let writer = thread::spawn(move || publish(&mut to));
    let from = Boundary {
        position: 0,
        sequence: 0,
    };
    let reader = thread::spawn(move || match step(&memory, from) {
        Ok(step) => format!("{:?}", step.next().map(|at| at.sequence)),
        Err(corrupt) => corrupt.to_string(),
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

const WALKED: &[&str] = &["Some(7)", "None"];

#[test]
fn a_walk_never_believes_an_overtaken_gap() {
    assert_outcomes(Some(3), WALKED, walked);
}

#[test]
fn without_the_fence_behind_its_payload_it_does() {
    assert_notices("overwrite step:Acquire", Some(3), WALKED, walked);
}

/// A producer evicts a consumer that stands before a gap, and overwrites the gap.
fn evicted() -> String {
    let memory = evicting(1);
    let mut to = before_the_gap(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || {
        if try_publish(&mut to).is_err() {
            to.evict(0);
            publish(&mut to);
        }
    });
    let mut words = [0; LEN / 8];
    let seen = match from.try_copy(&mut words) {
        Ok(Some(arrived)) => format!("read {}", arrived.sequence),
        Ok(None) if from.displaced() => "evicted".into(),
        Ok(None) => panic!("a message went missing"),
        Err(Lost::Evicted) => "evicted".into(),
        Err(Lost::Corrupt(corrupt)) => panic!("{corrupt}"),
    };
    // What was counted was there, and it goes on behind that.
    if let Some(gap) = from.last_gap() {
        assert_eq!(gap, Gap::new(0, 7, WHY), "torn");
    }
    assert!(from.sequence() == from.skipped() || seen == "read 7");
    writer.join().unwrap();
    format!("{seen}, skipped {}", from.skipped())
}

const EVICTED: &[&str] = &[
    "read 7, skipped 7",
    "evicted, skipped 0",
    "evicted, skipped 7",
];

#[test]
fn an_evicted_consumer_counts_only_gaps_that_it_saw_whole() {
    assert_outcomes(Some(3), EVICTED, evicted);
}

#[test]
fn without_its_own_fence_it_counts_others() {
    assert_notices("evict consume:Acquire", Some(3), EVICTED, evicted);
}
