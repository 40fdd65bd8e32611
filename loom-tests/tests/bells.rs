//! Sleeping: `wake` (park), `producer` (close), `sleepers` (who may park). A lost wake-up is a deadlock, which loom
//! reports; on real threads sleeps are bounded, so there these models only exercise the code.

use core::time::Duration;
use slipring::layout::lines::{Bell, ProducerState};
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

/// How one side of the models of two bells breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    /// It does not.
    Nothing,
    /// The sleeper leaves the second bell out: it is neither armed nor slept on.
    OneBell,
    /// The sleeper does not look again once the bells are armed.
    NoSecondLook,
    /// The sleeper looks again at the first ring only.
    HalfALook,
    /// The waker rings a bell that the sleeper does not sleep on.
    AnotherBell,
}

/// Takes a message of either ring, asleep on both bells while there is none. Returns the number of the ring.
fn take_either_asleep(from: &mut [Consumer; 2], breach: Breach) -> usize {
    let memories = [from[0].memory().clone(), from[1].memory().clone()];
    let bells: [&Bell; 2] = [0, 1].map(|at: usize| &control(&memories[at]).data);
    let slept_on = match breach {
        Breach::OneBell => &bells[..1],
        _ => &bells[..],
    };
    let looked_at = match breach {
        Breach::NoSecondLook => 0,
        Breach::HalfALook => 1,
        _ => 2,
    };
    loop {
        if let Some(at) = from.iter_mut().position(|from| try_take(from).is_some()) {
            return at;
        }
        bell::sleep_any(slept_on, LIMIT, || {
            from[..looked_at].iter().any(|from| from.peek().is_some())
        });
    }
}

/// Two rings whose consumer may sleep, in one thread.
fn two_rings() -> [(Memory, Consumer); 2] {
    [0, 1].map(|_| {
        let memory = tiny(1);
        bell::allow(&control(&memory).data);
        let from = consumer(&memory, 0, Start::Oldest);
        (memory, from)
    })
}

/// A consumer sleeps on the bells of two rings; the producer of the second publishes and rings.
fn second_of_two_with(breach: Breach) -> String {
    let [(_, first), (other, second)] = two_rings();
    bell::allow(&control(&other).space);
    let mut from = [first, second];
    let mut to = producer(&other);
    let writer = thread::spawn(move || {
        publish(&mut to);
        let page = control(to.memory());
        let rung = match breach {
            Breach::AnotherBell => &page.space,
            _ => &page.data,
        };
        Waker::default().ring(rung);
    });
    let at = take_either_asleep(&mut from, breach);
    writer.join().unwrap();
    format!("read of ring {at}")
}

fn second_of_two() -> String {
    second_of_two_with(Breach::Nothing)
}

#[test]
fn a_sleeper_on_two_bells_is_woken_by_the_second() {
    assert_outcomes(None, &["read of ring 1"], second_of_two);
}

#[test]
fn on_two_bells_without_either_fence_it_sleeps_for_ever() {
    for tag in ["wake sleep:SeqCst", "wake ring:SeqCst"] {
        assert_sleeps_for_ever(tag, None, second_of_two);
    }
}

#[test]
fn a_sleeper_on_two_bells_keeps_every_rule_or_sleeps_for_ever() {
    for breach in [
        Breach::OneBell,
        Breach::NoSecondLook,
        Breach::HalfALook,
        Breach::AnotherBell,
    ] {
        assert_hangs(None, move || second_of_two_with(breach));
    }
}

/// Both producers publish and ring, while the consumer falls asleep, is woken and falls asleep again.
fn both_of_two() -> String {
    let [(one, first), (other, second)] = two_rings();
    let mut from = [first, second];
    let writers = [one, other].map(|memory| {
        let mut to = producer(&memory);
        thread::spawn(move || {
            publish(&mut to);
            Waker::default().ring(&control(to.memory()).data);
        })
    });
    let mut seen = [0, 1].map(|_| take_either_asleep(&mut from, Breach::Nothing));
    seen.sort_unstable();
    for writer in writers {
        writer.join().unwrap();
    }
    format!("read of rings {seen:?}")
}

#[test]
fn no_bell_of_two_is_forgotten_while_the_other_wakes() {
    assert_outcomes(Some(2), &["read of rings [0, 1]"], both_of_two);
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
