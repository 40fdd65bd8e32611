//! A sleep whose second half another thread makes, as event loops have it: a task arms a bell, looks again, and leaves
//! what the bell's word said to a thread, which sleeps on that word and on one of its own.

use core::time::Duration;
use slipring::ring::consumer::Consumer;
use slipring::ring::Start;
use slipring::segment::Memory;
use slipring::sync::FutexWord;
use slipring::sync::Ordering::Relaxed;
use slipring::wait::{bell, Waker};
use slipring_loom_tests::*;
use std::sync::Arc;

const LIMIT: Duration = Duration::from_millis(100);

/// What a side of the models leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    Nothing,
    /// The task does not look again once the bell is armed.
    NoSecondLook,
    /// The thread is not told that there is something new to sleep on.
    NotTold,
    /// The thread sleeps on what the word says when it looks, not on what it said when the bell was armed.
    SeenLater,
    /// The thread reads its own word behind its look at what was left.
    ToldBeforeTheLook,
}

/// What was left to the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// What the bell's word said.
    Seen(u32),
    /// The task has what it waited for.
    Done,
}

/// What a task and the thread share.
struct Desk {
    left: Lock<Left>,
    /// Changes when something was left.
    told: FutexWord,
    /// Changes when the task is woken.
    woken: FutexWord,
}

impl Desk {
    fn leave(&self, left: Left, tells: bool) {
        let mut desk = self.left.lock().unwrap();
        *desk = left;
        if tells {
            self.told.bump(Relaxed);
            self.told.wake_all();
        }
    }
}

/// The thread.
fn sleep_for_the_task(memory: &Memory, desk: &Desk, breach: Breach) {
    let bell = &memory
        .control()
        .expect("a ring in private memory has one")
        .data;
    loop {
        let mut told = desk.told.load(Relaxed);
        let seen = {
            let mut left = desk.left.lock().unwrap();
            match *left {
                Left::Nothing => None,
                Left::Done => return,
                Left::Seen(seen) => {
                    let seen = match breach {
                        Breach::SeenLater => bell.word.load(Relaxed),
                        _ => seen,
                    };
                    if bell.word.load(Relaxed) != seen {
                        *left = Left::Nothing;
                        desk.woken.bump(Relaxed);
                        desk.woken.wake_all();
                    }
                    Some(seen).filter(|_| *left != Left::Nothing)
                }
            }
        };
        if breach == Breach::ToldBeforeTheLook {
            told = desk.told.load(Relaxed);
        }
        match seen {
            None => desk.told.wait(told, LIMIT),
            Some(seen) => FutexWord::wait_many(&[(&desk.told, told), (&bell.word, seen)], LIMIT),
        }
    }
}

/// The task: takes a message, asleep while there is none.
fn take_handed_over(from: &mut Consumer, desk: &Desk, breach: Breach) -> u64 {
    let memory = from.memory().clone();
    let bell = &memory
        .control()
        .expect("a ring in private memory has one")
        .data;
    loop {
        if let Some(sequence) = try_take(from) {
            return sequence;
        }
        let (seen, _) = bell::arm_any(&[bell], LIMIT);
        if breach != Breach::NoSecondLook && from.peek().is_some() {
            continue;
        }
        let woken = desk.woken.load(Relaxed);
        desk.leave(Left::Seen(seen[0]), breach != Breach::NotTold);
        desk.woken.wait(woken, LIMIT);
    }
}

fn handed_over_with(breach: Breach) -> String {
    let memory = tiny(1);
    bell::allow(
        &memory
            .control()
            .expect("a ring in private memory has one")
            .data,
    );
    let desk = Arc::new(Desk {
        left: Lock::new(Left::Nothing),
        told: FutexWord::new(0),
        woken: FutexWord::new(0),
    });
    let mut from = consumer(&memory, 0, Start::Oldest);
    let sleeper = {
        let (memory, desk) = (memory.clone(), desk.clone());
        thread::spawn(move || sleep_for_the_task(&memory, &desk, breach))
    };
    let writer = {
        let mut to = producer(&memory);
        thread::spawn(move || {
            publish(&mut to);
            let control = to
                .memory()
                .control()
                .expect("a ring in private memory has one");
            Waker::default().ring(&control.data);
        })
    };
    let seen = take_handed_over(&mut from, &desk, breach);
    writer.join().unwrap();
    desk.leave(Left::Done, true);
    sleeper.join().unwrap();
    format!("read {seen}")
}

fn handed_over() -> String {
    handed_over_with(Breach::Nothing)
}

#[test]
fn a_task_whose_sleep_another_thread_makes_is_woken() {
    assert_outcomes(Some(2), &["read 0"], handed_over);
}

#[test]
fn without_either_fence_it_waits_for_ever() {
    for tag in ["wake sleep:SeqCst", "wake ring:SeqCst"] {
        assert_sleeps_for_ever(tag, Some(2), handed_over);
    }
}

#[test]
fn each_rule_is_kept_or_it_waits_for_ever() {
    for breach in [
        Breach::NoSecondLook,
        Breach::NotTold,
        Breach::SeenLater,
        Breach::ToldBeforeTheLook,
    ] {
        assert_hangs(Some(2), move || handed_over_with(breach));
    }
}
