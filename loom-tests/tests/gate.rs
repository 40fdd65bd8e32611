//! The gate: `consumed` (position, whose orderings are beyond the model) and `gate` (attach).

use slipring::ring::consumer::{Consumer, Joining};
use slipring::ring::producer::Refused;
use slipring::ring::Start;
use slipring::sync::spin_hint;
use slipring_loom_tests::*;

/// A producer that is a lap ahead waits for its one consumer; three messages, none overwritten.
fn gated() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || publish(&mut to));
    let seen: Vec<u64> = (0..3).map(|_| take(&mut from)).collect();
    writer.join().unwrap();
    format!("{seen:?}")
}

const GATED: &[&str] = &["[0, 1, 2]"];

#[test]
fn nothing_unread_is_overwritten() {
    assert_outcomes(Some(3), GATED, gated);
}

// `consumed` has no mutant: what it forbids is that a load is delayed beyond a later store (by the consumer's
// release) or a store moved before an earlier load (by the producer's acquire). Loom explores neither,
// so the edge rests on the argument in docs/reference/memory-model.md and on the stress tests.

/// Two consumers, the slower of which leaves: the gate opens, and the other one misses nothing.
fn leaver() -> String {
    let memory = tiny(2);
    let mut to = producer(&memory);
    let mut stays = consumer(&memory, 0, Start::Oldest);
    let mut leaves = consumer(&memory, 1, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    assert!(matches!(try_publish(&mut to), Err(Refused::Full { .. })));
    let first = thread::spawn(move || {
        let seen = try_take(&mut leaves);
        leaves.leave();
        seen
    });
    let second = thread::spawn(move || (0..3).map(|_| take(&mut stays)).collect::<Vec<u64>>());
    publish(&mut to);
    assert_eq!(first.join().unwrap(), Some(0));
    format!("{:?}", second.join().unwrap())
}

#[test]
fn the_gate_opens_when_the_slowest_leaves() {
    assert_outcomes(Some(2), GATED, leaver);
}

/// A consumer attaches at the oldest message while the producer laps the ring: from wherever it
/// starts, it gets every message.
fn attach() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || {
        // Tries a few times, and does not wait for a consumer that may not be there yet.
        let mut published = 2;
        for _ in 0..3 {
            published += u64::from(try_publish(&mut to).is_ok());
            spin_hint();
        }
        published
    });
    let joined = Consumer::attach(memory.clone(), Joining::at(0, Start::Oldest));
    let outcome = match joined {
        Ok(mut from) => {
            let first = from.sequence();
            let mut next = first;
            while let Some(sequence) = try_take(&mut from) {
                assert_eq!(sequence, next, "a gap");
                next += 1;
            }
            let published = writer.join().unwrap();
            while let Some(sequence) = try_take(&mut from) {
                assert_eq!(sequence, next, "a gap");
                next += 1;
            }
            assert_eq!(next, published, "a message went missing");
            "no gap".into()
        }
        Err(nowhere) => {
            writer.join().unwrap();
            format!("{nowhere:?}")
        }
    };
    outcome
}

const ATTACH: &[&str] = &["no gap"];

#[test]
fn an_attaching_consumer_has_no_gap_behind_its_start() {
    assert_outcomes(Some(2), ATTACH, attach);
}

#[test]
fn without_either_fence_of_the_attach_it_has() {
    for tag in ["gate look:SeqCst", "gate attach:SeqCst"] {
        assert_notices(tag, Some(2), ATTACH, attach);
    }
}

/// A second consumer attaches while looks find less room than they published, because of the first one, and
/// take the rest back: what the second one does not get was overwritten, and behind its start it has no gap.
fn attach_beside() -> String {
    let memory = tiny(2);
    let mut to = producer(&memory);
    let mut first = consumer(&memory, 0, Start::Oldest);
    for _ in 0..2 {
        publish(&mut to);
        take(&mut first);
    }
    let writer = thread::spawn(move || {
        let mut published = 2;
        // The second is one too many for the first consumer, whose look takes its limit back.
        for _ in 0..2 {
            published += u64::from(try_publish(&mut to).is_ok());
            spin_hint();
        }
        published
    });
    let mut second = consumer(&memory, 1, Start::Oldest);
    let mut next = second.sequence();
    while let Some(sequence) = try_take(&mut second) {
        assert_eq!(sequence, next, "a gap");
        next += 1;
    }
    let published = writer.join().unwrap();
    while let Some(sequence) = try_take(&mut second) {
        assert_eq!(sequence, next, "a gap");
        next += 1;
    }
    assert_eq!(next, published, "a message went missing");
    "no gap".into()
}

#[test]
fn a_limit_that_is_taken_back_leaves_no_gap() {
    assert_outcomes(Some(2), ATTACH, attach_beside);
}

#[test]
fn without_either_fence_a_limit_that_is_taken_back_leaves_one() {
    for tag in ["gate look:SeqCst", "gate attach:SeqCst"] {
        assert_notices(tag, Some(2), ATTACH, attach_beside);
    }
}
