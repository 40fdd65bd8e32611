//! Signals: `signal` (what a sender did before is visible), counted, none lost, none for the next owner of
//! a row.

use slipring::layout::geometry::Geometry;
use slipring::ring::pending::{board_words, broadcast, send, Counted};
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;
use slipring::wait::{bell, Waker};
use slipring_loom_tests::*;
use std::time::Duration;

fn signals() -> Memory {
    let geometry = Geometry::check(64, 16, 8, 1, 0, false).expect("a valid geometry");
    let geometry = geometry.with_board(board_words(1));
    Memory::local(geometry.expect("a valid board"))
}

const ALL: u64 = u64::MAX;

/// Two senders, each of which writes a value first; a listener that notices a signal sees its sender's
/// value.
fn told() -> String {
    let memory = signals();
    let mut counted = Counted::begin(&memory, 0, 1);
    let (one, other) = (memory.clone(), memory.clone());
    let first = thread::spawn(move || {
        one.words().at(0).store(7, Relaxed);
        assert!(send(&one, 0, 1, 3));
    });
    let second = thread::spawn(move || {
        other.words().at(8).store(8, Relaxed);
        broadcast(&other, 3);
    });
    let reader = thread::spawn(move || {
        let noticed = counted.notice(&memory, ALL);
        let written = [0, 8].map(|at| memory.words().at(at).load(Relaxed));
        match noticed {
            None => "none".to_owned(),
            Some((3, 1)) => {
                assert!(written.contains(&7) || written.contains(&8), "{written:?}");
                "one".to_owned()
            }
            Some((3, 2)) => {
                assert_eq!(written, [7, 8]);
                "both".to_owned()
            }
            noticed => panic!("{noticed:?}"),
        }
    });
    first.join().unwrap();
    second.join().unwrap();
    reader.join().unwrap()
}

const TOLD: &[&str] = &["none", "one", "both"];

#[test]
fn what_was_done_before_is_visible_to_who_notices() {
    assert_outcomes(Some(2), TOLD, told);
}

#[test]
fn without_either_end_it_may_not_be() {
    for tag in [
        "signal send:Release",
        "signal broadcast:Release",
        "signal mine:Acquire",
        "signal all:Acquire",
    ] {
        assert_notices(tag, Some(2), TOLD, told);
    }
}

/// Two senders of the same signal at once, to one listener: both count, then or later.
fn counted() -> String {
    let memory = signals();
    let mut counted = Counted::begin(&memory, 0, 1);
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let memory = memory.clone();
            thread::spawn(move || assert!(send(&memory, 0, 1, 0)))
        })
        .collect();
    let early = counted.notice(&memory, ALL).map_or(0, |(_, count)| count);
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
    let late = counted.notice(&memory, ALL).map_or(0, |(_, count)| count);
    assert_eq!(early + late, 2, "one was lost, or came twice");
    assert_eq!(counted.notice(&memory, ALL), None);
    "two".into()
}

#[test]
fn signals_of_one_number_are_counted() {
    assert_outcomes(Some(3), &["two"], counted);
}

/// The row changes hands while a sender sends to its last owner.
fn handed_over() -> String {
    let memory = signals();
    Counted::begin(&memory, 0, 1);
    let (from, to) = (memory.clone(), memory.clone());
    let sender = thread::spawn(move || send(&from, 0, 1, 0));
    let next = thread::spawn(move || {
        let mut counted = Counted::begin(&to, 0, 2);
        (counted.notice(&to, ALL), counted)
    });
    let sent = sender.join().unwrap();
    let (noticed, mut counted) = next.join().unwrap();
    assert_eq!((noticed, counted.notice(&memory, ALL)), (None, None));
    format!("sent {sent}")
}

#[test]
fn the_next_owner_of_a_row_gets_nothing_of_the_last() {
    assert_outcomes(Some(3), &["sent true", "sent false"], handed_over);
}

/// A listener sleeps, a sender sends and rings.
fn asleep() -> String {
    let memory = signals();
    let mut counted = Counted::begin(&memory, 0, 1);
    let control = memory.control().expect("a control page");
    bell::allow(&control.data);
    let from = memory.clone();
    let sender = thread::spawn(move || {
        assert!(send(&from, 0, 1, 5));
        Waker::default().ring(&from.control().expect("a control page").data);
    });
    let limit = Duration::from_millis(100);
    let noticed = loop {
        if let Some(noticed) = counted.notice(&memory, 1 << 5) {
            break noticed;
        }
        bell::sleep(&control.data, limit, || counted.pending(&memory, 1 << 5));
    };
    sender.join().unwrap();
    format!("{noticed:?}")
}

#[test]
fn nobody_sleeps_through_a_signal() {
    assert_outcomes(None, &["(5, 1)"], asleep);
}
