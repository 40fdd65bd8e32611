//! Permits: `permit` (what the last holder did is visible), conservation, and no sleeper while one is free.

use slipring::layout::geometry::Geometry;
use slipring::layout::lines::RowState;
use slipring::ring::permits::{board_words, Permits};
use slipring::segment::Memory;
use slipring::sync::{spin_hint, Ordering::Relaxed};
use slipring::wait::{bell, Waker};
use slipring_loom_tests::*;
use std::time::Duration;

fn semaphore(permits: u32) -> Memory {
    let geometry = Geometry::check(64, 16, 8, 3, 0, false).expect("a valid geometry");
    let geometry = geometry.with_board(board_words(permits));
    Memory::local(geometry.expect("a valid board"))
}

fn holder(memory: &Memory, row: u32, initial: u32) -> Permits {
    Permits::new(memory.clone(), row, initial)
}

/// Adds one to a word that only the permit protects.
fn critical(memory: &Memory, permits: &Permits) {
    let permit = loop {
        match permits.try_take(0) {
            Some(permit) => break permit,
            None => spin_hint(),
        }
    };
    let word = memory.words().at(0);
    let value = word.load(Relaxed);
    word.store(value + 1, Relaxed);
    permits.give(permit);
}

fn lock() -> String {
    let memory = semaphore(1);
    let (other, theirs) = (memory.clone(), holder(&memory, 1, 1));
    let thread = thread::spawn(move || critical(&other, &theirs));
    critical(&memory, &holder(&memory, 0, 1));
    thread.join().unwrap();
    memory.words().at(0).load(Relaxed).to_string()
}

#[test]
fn one_permit_is_a_lock() {
    assert_outcomes(Some(3), &["2"], lock);
}

#[test]
fn without_the_release_it_is_none() {
    assert_notices("permit give:Release", Some(3), &["2"], lock);
}

#[test]
fn without_the_acquire_it_is_none() {
    assert_notices("permit take:Acquire", Some(3), &["2"], lock);
}

/// A holder writes a value and dies, and a sweeper returns its permit: the next holder sees the value.
fn inherited() -> String {
    let memory = semaphore(1);
    let dead = holder(&memory, 2, 1);
    assert!(dead.try_take(0).is_some());
    let (swept, sweeper) = (memory.clone(), holder(&memory, 0, 1));
    let sweeper = thread::spawn(move || {
        // The last thing the dead one did. Its lock, which the sweeper has now, hands that over.
        swept.words().at(0).store(7, Relaxed);
        sweeper.return_all(2)
    });
    let next = holder(&memory, 1, 1);
    let taker = thread::spawn(move || next.try_take(0).map(|_| memory.words().at(0).load(Relaxed)));
    assert_eq!(sweeper.join().unwrap(), 1);
    match taker.join().unwrap() {
        None => "not yet".into(),
        Some(value) => format!("sees {value}"),
    }
}

const INHERITED: &[&str] = &["not yet", "sees 7"];

#[test]
fn what_the_dead_did_is_visible_to_the_next_holder() {
    assert_outcomes(None, INHERITED, inherited);
}

#[test]
fn without_the_release_of_the_sweeper_it_is_not() {
    assert_notices("permit dead:Release", None, INHERITED, inherited);
}

/// Two takers and a sweeper of a dead row, two permits: none is lost, none is there twice.
fn swept() -> String {
    let memory = semaphore(2);
    let dead = holder(&memory, 2, 2);
    assert!(dead.try_take(0).is_some());
    let (one, other) = (holder(&memory, 0, 2), holder(&memory, 1, 2));
    let sweeper = holder(&memory, 0, 2);
    let first = thread::spawn(move || one.try_take(0));
    let second = thread::spawn(move || other.try_take(0));
    sweeper.return_all(2);
    let (first, second) = (first.join().unwrap(), second.join().unwrap());
    assert!(first.is_none() || first != second, "one permit twice");
    let held = u32::from(first.is_some()) + u32::from(second.is_some());
    let count = holder(&memory, 0, 2).count();
    assert_eq!((count.held, count.free), (held, 2 - held));
    format!("{held} held")
}

#[test]
fn permits_are_conserved() {
    assert_outcomes(Some(3), &["1 held", "2 held"], swept);
}

const LIMIT: Duration = Duration::from_millis(100);

/// Sleeps until it has the permit.
fn wait(memory: &Memory, permits: &Permits) -> u32 {
    let bell = &memory.control().expect("a control page").data;
    let mut taken = permits.try_take(0);
    while taken.is_none() {
        bell::sleep(bell, LIMIT, || {
            taken = permits.try_take(0);
            taken.is_some()
        });
    }
    taken.unwrap_or_default()
}

/// A holder gives its permit, two sleepers want it, one after the other: none sleeps for ever.
fn sleepers() -> String {
    let memory = semaphore(1);
    let control = memory.control().expect("a control page");
    bell::allow(&control.data);
    let mine = holder(&memory, 2, 1);
    let permit = mine.try_take(0).expect("the only permit");
    let threads: Vec<_> = (0..2)
        .map(|row| {
            let (memory, permits) = (memory.clone(), holder(&memory, row, 1));
            thread::spawn(move || {
                let permit = wait(&memory, &permits);
                permits.give(permit);
                Waker::default().ring(&memory.control().expect("a control page").data);
            })
        })
        .collect();
    mine.give(permit);
    Waker::default().ring(&control.data);
    for thread in threads {
        thread.join().unwrap();
    }
    format!("{} free", mine.count().free)
}

#[test]
fn nobody_sleeps_while_a_permit_is_free() {
    assert_outcomes(Some(2), &["1 free"], sleepers);
}

/// Three handles to one free permit; the second has the turn and does not use it.
fn idle() -> (Memory, [Permits; 3]) {
    let memory = semaphore(1);
    for row in (0..3).filter_map(|row| memory.row(row)) {
        row.state.store(RowState::Consumer as u32, Relaxed);
    }
    let rows = [0, 1, 2].map(|row| holder(&memory, row, 1));
    rows[1].queue_up(1);
    rows[1].claim_turn();
    (memory, rows)
}

/// A waiter goes on at the very moment at which two others take its turn away: one at a time has the
/// permit, one of them gets it, and nothing is left of the turn.
fn lapsed() -> String {
    let (memory, [first, second, third]) = idle();
    let after = holder(&memory, 2, 1);
    let owner = thread::spawn(move || {
        second.claim_turn();
        let taken = second.try_take(0);
        if let Some(permit) = taken {
            second.give(permit);
        }
        second.leave_queue();
        taken.is_some()
    });
    let end = |permits: &Permits| permits.idle_turn().map(|idle| permits.lapse(idle));
    let other = thread::spawn(move || end(&third));
    end(&first);
    let taken = first.try_take(0);
    other.join().unwrap();
    let used = owner.join().unwrap();
    assert!(used || taken.is_some(), "a permit that nobody gets");
    assert_eq!(after.turn(), None);
    if let Some(permit) = taken {
        first.give(permit);
    }
    // No ticket of the past keeps the next one from its turn.
    after.queue_up(1);
    after.claim_turn();
    assert_eq!(after.turn(), Some(2));
    assert!(after.try_take(0).is_some());
    let who = |name, took: bool| if took { name } else { "" };
    format!("{}{}", who("owner ", used), who("other", taken.is_some()))
}

#[test]
fn a_turn_that_lapses_while_it_is_used_costs_nobody_a_permit() {
    assert_outcomes(Some(2), &["owner ", "other", "owner other"], lapsed);
}

/// A waiter sleeps although a permit is free, because another row has the turn; the process that ends the
/// turn wakes it.
fn woken_by_a_lapse() -> String {
    let (memory, [first, _stopped, third]) = idle();
    let control = memory.control().expect("a control page");
    bell::allow(&control.data);
    let slept = memory.clone();
    let sleeper = thread::spawn(move || wait(&slept, &third));
    let idle = first.idle_turn().expect("a turn that is not used");
    assert!(first.lapse(idle));
    Waker::default().ring(&control.data);
    format!("took {}", sleeper.join().unwrap())
}

#[test]
fn nobody_sleeps_beside_a_turn_that_lapsed() {
    assert_outcomes(Some(3), &["took 0"], woken_by_a_lapse);
}
