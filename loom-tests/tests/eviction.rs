//! Eviction, rows that change hands, and takeover: `producer` (epochs), `evict` (evict), `row` (tenure).

use slipring::layout::lines::ProducerState;
use slipring::ring::consumer::{renew, Consumer, Joining, Lost};
use slipring::ring::Start;
use slipring_loom_tests::*;

/// A producer that has lapped a consumer evicts it and goes on, while the consumer copies what it was
/// holding: its message is complete and the right one, or it gets an eviction.
fn evicted() -> String {
    let memory = evicting(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || {
        if try_publish(&mut to).is_err() {
            to.evict(0);
            publish(&mut to);
        }
    });
    let seen = copy(&mut from);
    writer.join().unwrap();
    seen
}

const EVICTED: &[&str] = &["read 0", "evicted"];

/// Copies one message; checks that it is whole and the one it says it is.
fn copy(from: &mut Consumer) -> String {
    let mut words = [0; LEN / 8];
    match from.try_copy(&mut words) {
        Ok(Some(arrived)) => {
            assert_eq!(words, [arrived.sequence + 100, arrived.sequence + 200]);
            format!("read {}", arrived.sequence)
        }
        Ok(None) if from.evicted() => "evicted".into(),
        Ok(None) => "nothing".into(),
        Err(Lost::Evicted) => "evicted".into(),
        Err(Lost::Corrupt(corrupt)) => panic!("{corrupt}"),
    }
}

#[test]
fn an_evicted_consumer_knows_before_it_believes_anything() {
    assert_outcomes(Some(3), EVICTED, evicted);
}

#[test]
fn without_its_own_fence_it_does_not() {
    assert_notices("evict consume:Acquire", Some(3), EVICTED, evicted);
}

/// An evicted consumer joins again while the producer writes on: what it missed and what it then
/// reads is everything.
fn rejoined() -> String {
    let memory = evicting(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    assert!(try_publish(&mut to).is_err());
    to.evict(0);
    publish(&mut to);
    let writer = thread::spawn(move || {
        let _ = try_publish(&mut to);
        to.sequence()
    });
    assert_eq!(copy(&mut from), "evicted");
    let missed = from.rejoin().expect("an intact frame");
    assert_eq!(from.sequence(), missed);
    let mut next = missed;
    let mut take = |next: &mut u64| loop {
        match copy(&mut from).as_str() {
            "nothing" => break,
            seen => assert_eq!(seen, format!("read {next}")),
        }
        from.release();
        *next += 1;
    };
    take(&mut next);
    let published = writer.join().unwrap();
    take(&mut next);
    assert_eq!(next, published, "a message went missing");
    format!("missed {missed}")
}

#[test]
fn what_was_missed_and_what_is_read_is_everything() {
    let seen = outcomes(Some(2), rejoined);
    assert!(seen.iter().all(|outcome| outcome.starts_with("missed")));
}

/// A row changes hands: its old owner was at the head, its new one begins at the oldest message. The
/// producer never takes the old position for the new owner's.
fn handed_over() -> String {
    let memory = small(1);
    let mut to = producer(&memory);
    let mut first = consumer(&memory, 0, Start::Oldest);
    for _ in 0..3 {
        publish(&mut to);
        take(&mut first);
    }
    let writer = thread::spawn(move || {
        let _ = try_publish(&mut to);
        to
    });
    first.leave();
    let joined = Consumer::attach(memory.clone(), Joining::at(0, Start::Oldest));
    let mut to = writer.join().unwrap();
    let mut second = match joined {
        Ok(second) => second,
        Err(nowhere) => return format!("{nowhere:?}"),
    };
    for _ in 0..2 {
        let _ = try_publish(&mut to);
    }
    let mut next = second.sequence();
    while let Some(sequence) = try_take(&mut second) {
        assert_eq!(sequence, next, "a gap");
        next += 1;
    }
    assert_eq!(next, to.sequence(), "a message went missing");
    "no gap".into()
}

const HANDED_OVER: &[&str] = &["no gap"];

#[test]
fn a_row_that_changes_hands_gates_for_its_new_owner() {
    assert_outcomes(Some(2), HANDED_OVER, handed_over);
}

#[test]
fn without_either_end_of_the_tenure_it_gates_for_the_old_one() {
    for tag in ["row tenure:Release", "row tenure:Acquire"] {
        assert_notices(tag, Some(2), HANDED_OVER, handed_over);
    }
}

/// A producer dies at any point of its thread; the next one takes over while a reader reads. The reader
/// gets one stream, and knows where the new epoch begins.
fn taken_over() -> String {
    let memory = small(1);
    let mut old = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut old);
    let successor = memory.clone();
    let writer = thread::spawn(move || {
        publish(&mut old);
        // Dies: no close, no detach. The kernel then frees its lock.
        drop(old);
        let mut new = producer(&successor);
        publish(&mut new);
    });
    let mut told = from.new_epoch().map(|epoch| epoch.first_sequence);
    let seen: Vec<u64> = (0..3).map(|_| take(&mut from)).collect();
    writer.join().unwrap();
    told = told.or_else(|| from.new_epoch().map(|epoch| epoch.first_sequence));
    format!("{seen:?} {told:?}")
}

const TAKEN_OVER: &[&str] = &["[0, 1, 2] Some(2)"];

#[test]
fn a_takeover_continues_one_stream() {
    assert_outcomes(Some(2), TAKEN_OVER, taken_over);
}

/// A reader asks for the epoch while a new producer begins one: it gets the beginning of that epoch, or
/// none.
fn epochs() -> String {
    let memory = small(1);
    let mut old = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut old);
    old.leave(false);
    drop(old);
    let writer = thread::spawn(move || drop(producer(&memory)));
    let reader = thread::spawn(move || {
        let is_there = from.producer_state() == ProducerState::Attached;
        let told = from.new_epoch().map(|epoch| epoch.first_sequence);
        (is_there, told)
    });
    writer.join().unwrap();
    let (is_there, told) = reader.join().unwrap();
    match told {
        None if is_there => "a producer without its epoch".into(),
        None => "nothing yet".into(),
        Some(first) => format!("from {first}"),
    }
}

const EPOCHS: &[&str] = &["nothing yet", "from 1"];

#[test]
fn an_epoch_that_is_seen_says_where_it_begins() {
    assert_outcomes(None, EPOCHS, epochs);
}

#[test]
fn without_any_of_its_three_ends_it_does_not() {
    for tag in [
        "producer begin:Release",
        "producer epoch:Acquire",
        "producer attach:Release",
    ] {
        assert_notices(tag, None, EPOCHS, epochs);
    }
}

/// The owner of a row dies, the row is renewed, and its next owner joins, all while the producer looks at
/// it: the next owner gets everything from its start on.
fn renewed() -> String {
    let memory = small(1);
    let mut to = producer(&memory);
    let mut first = consumer(&memory, 0, Start::Oldest);
    for _ in 0..3 {
        publish(&mut to);
        take(&mut first);
    }
    // Dies: it does not leave its row.
    drop(first);
    let shared = memory.clone();
    let reader = thread::spawn(move || {
        renew(shared.row(0).expect("a row"), 77, None);
        Consumer::attach(shared, Joining::at(0, Start::Oldest)).ok()
    });
    let writer = thread::spawn(move || {
        let _ = try_publish(&mut to);
        to
    });
    let joined = reader.join().unwrap();
    let mut to = writer.join().unwrap();
    let Some(mut second) = joined else {
        return "no start".into();
    };
    for _ in 0..2 {
        let _ = try_publish(&mut to);
    }
    let mut next = second.sequence();
    while let Some(sequence) = try_take(&mut second) {
        assert_eq!(sequence, next, "a gap");
        next += 1;
    }
    assert_eq!(next, to.sequence(), "a message went missing");
    "no gap".into()
}

#[test]
fn a_renewed_row_gates_for_its_next_owner() {
    assert_outcomes(Some(2), HANDED_OVER, renewed);
}
