//! Pacts: `handshake`, what is sent in a pact is received in it or never, whenever a side begins anew.

use slipring::layout::geometry::Geometry;
use slipring::ring::pact::{Pact, Progress, Side, BOARD_WORDS};
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;
use slipring_loom_tests::*;

fn board() -> Memory {
    let geometry = Geometry::check(128, 32, 8, 1, 0, false).expect("a valid geometry");
    Memory::local(geometry.with_board(BOARD_WORDS).expect("a valid board"))
}

/// A few steps towards a pact. Returns `true` if both agreed. What this side sends then is in its word, and
/// what it receives is the other's word as it was when the pact was offered, and later.
fn meet(memory: &Memory, side: Side, steps: u32) -> Option<Pact> {
    let mut pact = Pact::begin(memory.clone(), side, 1);
    for _ in 0..steps {
        match pact.progress() {
            Progress::Offered => {
                // Attaches: what was sent before is not meant for this side.
                memory.words().at(heard(side)).store(0, Relaxed);
                pact.agree();
            }
            Progress::Agreed => return Some(pact),
            Progress::Alone | Progress::Waiting => thread::yield_now(),
        }
    }
    None
}

/// The word in which a side receives from the other.
fn heard(side: Side) -> u64 {
    match side {
        Side::First => 0,
        Side::Second => 64,
    }
}

fn both() -> String {
    let memory = board();
    let (one, other) = (memory.clone(), memory.clone());
    let first = thread::spawn(move || {
        let pact = meet(&one, Side::First, 3)?;
        one.words().at(heard(Side::Second)).store(7, Relaxed);
        Some(pact)
    });
    let second = thread::spawn(move || meet(&other, Side::Second, 3));
    let first = first.join().unwrap();
    let second = second.join().unwrap();
    if let (Some(first), Some(second)) = (&first, &second) {
        assert!(!first.broken() && !second.broken());
    }
    if first.is_some() {
        // It sent only after the second side had attached, so its message was not cleared.
        assert_eq!(memory.words().at(heard(Side::Second)).load(Relaxed), 7);
    }
    format!("{} {}", first.is_some(), second.is_some())
}

const BOTH: &[&str] = &["false false", "true false", "false true", "true true"];

#[test]
fn what_speaks_is_heard() {
    assert_outcomes(Some(3), BOTH, both);
}

#[test]
fn without_the_order_it_may_not_be() {
    for tag in ["handshake say:Release", "handshake said:Acquire"] {
        assert_notices(tag, Some(3), BOTH, both);
    }
}

/// One side sends as soon as it knows of the pact, and leaves at once. Returns whether it sent, and whether
/// the other side had noticed by then.
fn parting() -> String {
    let memory = board();
    let (one, other) = (memory.clone(), memory.clone());
    let first = thread::spawn(move || {
        let pact = meet(&one, Side::First, 3);
        let spoke = pact.is_some();
        if let Some(mut pact) = pact {
            one.words().at(heard(Side::Second)).store(7, Relaxed);
            pact.restart();
        }
        spoke
    });
    let second = thread::spawn(move || {
        let mut pact = Pact::begin(other.clone(), Side::Second, 1);
        let mut progress = pact.progress();
        for _ in 0..2 {
            match progress {
                Progress::Offered => {
                    other.words().at(heard(Side::Second)).store(0, Relaxed);
                    pact.agree();
                }
                Progress::Agreed => break,
                Progress::Alone | Progress::Waiting => thread::yield_now(),
            }
            progress = pact.progress();
        }
        (pact, progress)
    });
    let spoke = first.join().unwrap();
    let (mut pact, noticed) = second.join().unwrap();
    if spoke {
        assert_eq!(pact.progress(), Progress::Agreed, "it missed what was said");
        assert_eq!(memory.words().at(heard(Side::Second)).load(Relaxed), 7);
        assert!(pact.broken());
    }
    format!("{spoke} {}", noticed == Progress::Agreed)
}

#[test]
fn what_speaks_and_leaves_is_heard() {
    assert_outcomes(Some(3), BOTH, parting);
}

/// One side in a pact begins anew, as another process would after its death, while the other one
/// talks to it: never are both in a pact, and one of them in an older one.
fn again() -> String {
    let memory = board();
    let mut old = Pact::begin(memory.clone(), Side::First, 1);
    let mut second = Pact::begin(memory.clone(), Side::Second, 2);
    assert_eq!(old.progress(), Progress::Offered);
    assert!(old.agree());
    assert_eq!(second.progress(), Progress::Offered);
    assert!(second.agree());
    assert_eq!(
        (old.progress(), second.progress()),
        (Progress::Agreed, Progress::Agreed)
    );
    let (one, other) = (memory.clone(), memory.clone());
    let renewed = thread::spawn(move || meet(&one, Side::First, 3));
    let stayed = thread::spawn(move || {
        let was_broken = second.broken();
        if was_broken {
            second.restart();
            if second.progress() == Progress::Offered {
                other.words().at(heard(Side::Second)).store(0, Relaxed);
                second.agree();
            }
        }
        (was_broken, second)
    });
    let renewed = renewed.join().unwrap();
    let (was_broken, second) = stayed.join().unwrap();
    assert!(old.broken() || was_broken || renewed.is_none());
    if !was_broken {
        assert!(renewed.is_none(), "a pact with one who is in an older one");
        assert!(second.broken(), "it learns of it in the end");
    }
    format!("{was_broken} {}", renewed.is_some())
}

#[test]
fn nobody_is_in_two_pacts() {
    assert_outcomes(None, &["false false", "true false", "true true"], again);
}
