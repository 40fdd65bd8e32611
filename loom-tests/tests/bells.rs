//! Sleeping: `wake` (park), `producer` (close), `sleepers` (who may park). A lost wake-up is a deadlock, which loom
//! reports; on real threads sleeps are bounded, so there these models only exercise the code.

use core::time::Duration;
use slipring::layout::lines::ProducerState;
use slipring::ring::consumer::Consumer;
use slipring::ring::Start;
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;
use slipring::wait::{bell, Waker};
use slipring_loom_tests::*;

const LIMIT: Duration = Duration::from_millis(100);

fn control(memory: &Memory) -> &slipring::layout::lines::ControlPage {
    memory.control().expect("a ring in private memory has one")
}

/// Takes a message, asleep while there is none.
fn take_asleep(from: &mut Consumer) -> u64 {
    let memory = from.memory().clone();
    loop {
        if let Some(sequence) = try_take(from) {
            return sequence;
        }
        bell::sleep(&control(&memory).data, LIMIT, || from.peek().is_some());
    }
}

/// A consumer sleeps, a producer publishes and rings.
fn data_side() -> String {
    let memory = tiny(1);
    bell::allow(&control(&memory).data);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || {
        publish(&mut to);
        Waker::default().ring(&control(to.memory()).data);
    });
    let seen = take_asleep(&mut from);
    writer.join().unwrap();
    format!("read {seen}")
}

#[test]
fn a_sleeping_consumer_is_woken() {
    assert_outcomes(None, &["read 0"], data_side);
}

#[test]
fn without_either_fence_it_sleeps_for_ever() {
    for tag in ["wake sleep:SeqCst", "wake ring:SeqCst"] {
        assert_sleeps_for_ever(tag, None, data_side);
    }
}

/// A producer sleeps on a full ring, a consumer releases and rings.
fn space_side() -> String {
    let memory = tiny(1);
    bell::allow(&control(&memory).space);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    let reader = thread::spawn(move || {
        for expected in 0..2 {
            assert_eq!(try_take(&mut from), Some(expected));
            Waker::default().ring(&control(from.memory()).space);
        }
    });
    let shared = memory.clone();
    while try_publish(&mut to).is_err() {
        bell::sleep(&control(&shared).space, LIMIT, || to.try_claim(LEN).is_ok());
    }
    reader.join().unwrap();
    "published".into()
}

#[test]
fn a_sleeping_producer_is_woken() {
    assert_outcomes(Some(3), &["published"], space_side);
}

// The sleeper's own fence is not needed on this side: looking at the rows contains one (edge `gate`).
#[test]
fn without_the_fence_of_the_waker_the_producer_sleeps_for_ever() {
    assert_sleeps_for_ever("wake ring:SeqCst", Some(3), space_side);
}

/// Two consumers sleep, one publish wakes both, and the bell can be armed again.
fn two_sleepers() -> String {
    let memory = tiny(2);
    bell::allow(&control(&memory).data);
    let mut to = producer(&memory);
    let sleepers: Vec<_> = (0..2)
        .map(|row| {
            let mut from = consumer(&memory, row, Start::Oldest);
            thread::spawn(move || take_asleep(&mut from))
        })
        .collect();
    publish(&mut to);
    Waker::default().ring(&control(&memory).data);
    let seen: Vec<u64> = sleepers.into_iter().map(|s| s.join().unwrap()).collect();
    format!("{seen:?}")
}

#[test]
fn every_sleeper_is_woken() {
    assert_outcomes(Some(2), &["[0, 0]"], two_sleepers);
}

/// A producer publishes and closes; a consumer that sees the close has seen the message.
fn close() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || {
        publish(&mut to);
        to.leave(true);
    });
    let early = try_take(&mut from);
    let closed = from.producer_state() == ProducerState::Closed;
    let late = try_take(&mut from);
    writer.join().unwrap();
    match (early.or(late), closed) {
        (Some(sequence), _) => format!("read {sequence}"),
        (None, true) => "closed without its message".into(),
        (None, false) => "nothing yet".into(),
    }
}

const CLOSE: &[&str] = &["nothing yet", "read 0"];

#[test]
fn nothing_committed_before_a_close_is_missed() {
    assert_outcomes(None, CLOSE, close);
}

#[test]
fn without_either_end_of_the_close_it_is() {
    for tag in ["producer leave:Release", "producer state:Acquire"] {
        assert_notices(tag, None, CLOSE, close);
    }
}

/// One reader that may sleep comes while another one goes: the bell stays on.
fn come_and_go() -> String {
    let memory = tiny(2);
    bell::allow(&control(&memory).data);
    let (one, other) = (memory.clone(), memory.clone());
    let comes = thread::spawn(move || {
        one.row(0).expect("a row").may_park.store(1, Relaxed);
        bell::allow(&control(&one).data);
    });
    let goes = thread::spawn(move || {
        bell::quiet(&control(&other).data, || {
            other.row(0).expect("a row").may_park.load(Relaxed) == 1
        });
    });
    comes.join().unwrap();
    goes.join().unwrap();
    format!("may park: {}", control(&memory).data.may_park.load(Relaxed))
}

const STAYS_ON: &[&str] = &["may park: 1"];

#[test]
fn a_bell_somebody_needs_stays_on() {
    assert_outcomes(None, STAYS_ON, come_and_go);
}

#[test]
fn without_either_fence_it_may_be_switched_off() {
    for tag in ["sleepers allow:SeqCst", "sleepers quiet:SeqCst"] {
        assert_notices(tag, None, STAYS_ON, come_and_go);
    }
}
