//! Semaphores: against an oracle, between processes, and under random deaths.

use proptest::prelude::*;
use slipring::{
    place::{OpenError, RemoveError},
    semaphore::{AcquireError, Permit, SemaphoreOptions, Waiter},
    Ring, Semaphore,
};
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};
use testing::books::{kills_wanted, Books, Random};
use testing::{say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_with_its_numbers,
    a_sleeper_wakes_when_a_permit_comes_free,
    permits_of_the_dead_come_back,
    who_only_tries_gets_what_the_dead_hold,
    a_stopped_waiter_is_in_nobodys_way,
    a_stopped_holder_keeps_its_permit,
    a_try_for_many_takes_none_in_passing,
    nobody_starves,
    many_at_once_are_not_snatched_away,
    a_waiter_keeps_its_place_between_waits,
    random_deaths_lose_no_permit,
]);

fn path(scratch: &Scratch) -> PathBuf {
    scratch.0.join("semaphore")
}

fn open(scratch: &Scratch) -> Semaphore {
    Semaphore::open(path(scratch)).unwrap()
}

// --- The oracle.

#[derive(Clone, Debug)]
enum Step {
    Acquire(usize, u32),
    Release(usize),
    Forget(usize),
    Add(usize),
    NewHandle(usize),
}

const HANDLES: usize = 3;
const INITIAL: u32 = 4;
const MAX: u32 = 6;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..HANDLES, 0..8u32).prop_map(|(handle, many)| Step::Acquire(handle, many)),
        5 => (0..20usize).prop_map(Step::Release),
        1 => (0..20usize).prop_map(Step::Forget),
        1 => (0..HANDLES).prop_map(Step::Add),
        1 => (0..HANDLES).prop_map(Step::NewHandle),
    ]
}

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(200);
    let steps = prop::collection::vec(step(), 1..100);
    runner
        .run(&steps, |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

fn follow(steps: &[Step]) {
    let scratch = Scratch::new();
    let builder = Semaphore::builder(path(&scratch)).permits(INITIAL);
    let mut handles = vec![builder.max_permits(MAX).create().unwrap()];
    handles.extend((1..HANDLES).map(|_| open(&scratch)));
    let mut out: Vec<Permit> = Vec::new();
    let (mut free, mut retired) = (INITIAL, MAX - INITIAL);
    for step in steps {
        match *step {
            Step::Acquire(handle, many) => match handles[handle].try_acquire_many(many) {
                Ok(permit) => {
                    assert!(many <= free);
                    assert_eq!(permit.count(), many);
                    free -= many;
                    out.push(permit);
                }
                Err(AcquireError::Unavailable) => assert!(many > free && many <= MAX),
                Err(AcquireError::TooMany { wanted, max }) => {
                    assert!((wanted, max) == (many, MAX) && many > MAX);
                }
                Err(error) => panic!("{error}"),
            },
            Step::Release(at) if !out.is_empty() => {
                let at = at % out.len();
                free += out.swap_remove(at).count();
            }
            Step::Forget(at) if !out.is_empty() => {
                let at = at % out.len();
                let permit = out.swap_remove(at);
                retired += permit.count();
                permit.forget();
            }
            Step::Add(handle) => match handles[handle].add() {
                Ok(()) => (free, retired) = (free + 1, retired - 1),
                Err(AcquireError::TooMany { .. }) => assert_eq!(retired, 0),
                Err(error) => panic!("{error}"),
            },
            // Its permits stay where they are: they are not the handle's.
            Step::NewHandle(handle) => handles[handle] = open(&scratch),
            _ => {}
        }
        let status = handles[0].status().unwrap();
        let held = out.iter().map(Permit::count).sum();
        assert_eq!(
            (status.free, status.held, status.retired),
            (free, held, retired)
        );
    }
}

fn what_is_refused_is_refused_with_its_numbers() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(path(&scratch))
        .max_handles(2)
        .create()
        .unwrap();
    let second = open(&scratch);
    let third = Semaphore::open(path(&scratch)).unwrap_err();
    assert!(
        matches!(third, OpenError::Busy { handles: 2, .. }),
        "{third}"
    );
    let _permit = semaphore.acquire().unwrap();
    assert!(matches!(
        second.try_acquire(),
        Err(AcquireError::Unavailable)
    ));
    let late = second.acquire_until(Duration::from_millis(5));
    assert!(matches!(late, Err(AcquireError::TimedOut)));
    let greedy = second.acquire_many_until(2, PATIENCE);
    assert!(matches!(
        greedy,
        Err(AcquireError::TooMany { wanted: 2, max: 1 })
    ));
    for permits in [65_537, 1 << 20, u32::MAX] {
        let builder = Semaphore::builder(scratch.0.join("huge")).permits(1);
        let error = builder.max_permits(permits).create().unwrap_err();
        let expected = format!("{permits} permits is not allowed: use at most 65536");
        assert!(error.to_string().contains(&expected), "{error}");
    }
    let most = Semaphore::builder(scratch.0.join("most")).permits(65_536);
    assert_eq!(most.create().unwrap().status().unwrap().free, 65_536);
    let in_use = slipring::registry::remove_at(path(&scratch), false);
    assert!(matches!(in_use, Err(RemoveError::InUse { .. })));
    let error = Ring::open(path(&scratch)).unwrap_err();
    assert!(
        error.to_string().contains("is a semaphore, not a ring"),
        "{error}"
    );
}

// --- Processes.

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let at = directory.join("semaphore");
    let semaphore = match role {
        "sleep" => {
            let options = SemaphoreOptions::new().strategy(slipring::Strategy::Park);
            Semaphore::open_with(at, options).unwrap()
        }
        _ => Semaphore::open(at).unwrap(),
    };
    match role {
        "hold" => {
            let _permits = semaphore.acquire_many_until(2, PATIENCE).unwrap();
            say("ready");
            std::thread::park();
        }
        "sleep" => {
            say("ready");
            let _permit = semaphore.acquire_until(PATIENCE).unwrap();
            say("got it");
        }
        "want" => {
            let wanted: u32 = arguments[1].parse().unwrap();
            say("ready");
            let permits = semaphore.acquire_many_until(wanted, PATIENCE).unwrap();
            say("got them");
            std::thread::park();
            drop(permits);
        }
        "snatch" => {
            say("ready");
            loop {
                drop(semaphore.acquire().unwrap());
            }
        }
        "party" => party(
            &semaphore,
            &open_books(&directory),
            arguments[1].parse().unwrap(),
        ),
        role => panic!("no role {role}"),
    }
}

fn a_sleeper_wakes_when_a_permit_comes_free() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(path(&scratch)).create().unwrap();
    let permit = semaphore.acquire().unwrap();
    let mut sleeper = Peer::start("sleep", &[text(&scratch.0)]);
    sleeper.asleep();
    drop(permit);
    assert_eq!(sleeper.line(), "got it");
    sleeper.finish();
    assert_eq!(semaphore.status().unwrap().free, 1);
}

fn permits_of_the_dead_come_back() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(path(&scratch))
        .permits(2)
        .create()
        .unwrap();
    // Found by a waiter.
    Peer::start("hold", &[text(&scratch.0)]).kill();
    let both = semaphore.acquire_many_until(2, PATIENCE).unwrap();
    drop(both);
    // Found by the process that takes its row.
    Peer::start("hold", &[text(&scratch.0)]).kill();
    let next = open(&scratch);
    assert_eq!(next.status().unwrap().free, 2);
    // A waiter that died with its turn is in no other's way.
    let both = semaphore.acquire_many_until(2, PATIENCE).unwrap();
    let mut command = testing::command("hold");
    let mut waiter = command.arg(text(&scratch.0)).spawn().unwrap();
    let started = Instant::now();
    while next.status().unwrap().handles < 3 {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(5));
    waiter.kill().unwrap();
    waiter.wait().unwrap();
    drop(both);
    drop(next.acquire_until(PATIENCE).unwrap());
}

/// A caller waits for both of two permits, of which one is taken: once it has the turn, no other gets the
/// other one.
fn waiter_with_the_turn(scratch: &Scratch, semaphore: &Semaphore) -> Peer {
    let waiter = Peer::start("want", &[text(&scratch.0), "2"]);
    let started = Instant::now();
    while semaphore.try_acquire().is_ok() {
        assert!(started.elapsed() < PATIENCE, "nobody draws a ticket");
        std::thread::yield_now();
    }
    waiter
}

/// Calls until it works: how often that was, and how long it took.
fn polled(mut tries: impl FnMut() -> bool) -> (u32, Duration) {
    let started = Instant::now();
    let calls = (1..).find(|_| {
        assert!(started.elapsed() < PATIENCE, "it never works");
        tries() || {
            std::thread::sleep(Duration::from_millis(1));
            false
        }
    });
    (calls.unwrap(), started.elapsed())
}

/// All ways to ask without waiting.
const WAYS: [fn(&Semaphore) -> bool; 3] = [
    |semaphore| semaphore.try_acquire().is_ok(),
    |semaphore| semaphore.try_acquire_many(2).is_ok(),
    |semaphore| semaphore.acquire_until(Duration::ZERO).is_ok(),
];

fn who_only_tries_gets_what_the_dead_hold() {
    for way in WAYS {
        let scratch = Scratch::new();
        let builder = Semaphore::builder(path(&scratch)).permits(2);
        let semaphore = builder.create().unwrap();
        // A holder.
        let peer = Peer::start("hold", &[text(&scratch.0)]);
        assert!(!way(&semaphore));
        peer.kill();
        let (calls, _) = polled(|| way(&semaphore));
        assert!(calls <= 40, "{calls} calls");
        // A waiter has the turn, and no permit is held.
        let other = open(&scratch);
        let held = semaphore.acquire().unwrap();
        waiter_with_the_turn(&scratch, &other).kill();
        drop(held);
        let (calls, _) = polled(|| way(&semaphore));
        assert!(calls <= 40, "{calls} calls");
    }
}

fn a_stopped_waiter_is_in_nobodys_way() {
    let waits = [
        slipring::Strategy::Spin,
        slipring::Strategy::Yield,
        slipring::Strategy::default(),
        slipring::Strategy::Park,
    ];
    for strategy in waits {
        let scratch = Scratch::new();
        let builder = Semaphore::builder(path(&scratch)).permits(2);
        let semaphore = builder
            .create_with(SemaphoreOptions::new().strategy(strategy))
            .unwrap();
        let held = semaphore.acquire().unwrap();
        let mut waiter = waiter_with_the_turn(&scratch, &open(&scratch));
        waiter.stop();
        // Nor for one that has not enough, and would take nothing from it.
        drop(semaphore.acquire_until(PATIENCE).unwrap());
        assert_eq!(semaphore.status().unwrap().holders, [std::process::id()]);
        drop(held);
        // It does not wait for a caller that could have taken the free permits.
        for many in [1, 2, 1] {
            drop(semaphore.acquire_many_until(many, PATIENCE).unwrap());
        }
        // While it is stopped, others have their turn and their order.
        let held = semaphore.acquire().unwrap();
        let second = waiter_with_the_turn(&scratch, &open(&scratch));
        drop(held);
        let mut second = second;
        assert_eq!(second.line(), "got them");
        second.kill();
        drop(semaphore.acquire_many_until(2, PATIENCE).unwrap());
        waiter.signal(libc::SIGCONT);
        assert_eq!(waiter.line(), "got them");
        assert_eq!(semaphore.status().unwrap().held, 2);
    }
    for way in WAYS {
        let scratch = Scratch::new();
        let builder = Semaphore::builder(path(&scratch)).permits(2);
        let semaphore = builder.create().unwrap();
        let held = semaphore.acquire().unwrap();
        let waiter = waiter_with_the_turn(&scratch, &open(&scratch));
        waiter.stop();
        // Not even while there is not enough for the one that has the turn.
        let one = open(&scratch);
        let (calls, _) = polled(|| one.try_acquire().is_ok());
        assert!(calls <= 150, "{calls} calls");
        drop(held);
        let (calls, _) = polled(|| way(&semaphore));
        assert!(calls <= 40, "{calls} calls");
    }
}

fn a_stopped_holder_keeps_its_permit() {
    let scratch = Scratch::new();
    let builder = Semaphore::builder(path(&scratch)).permits(2);
    let semaphore = builder.create().unwrap();
    let holder = Peer::start("hold", &[text(&scratch.0)]);
    holder.stop();
    let late = semaphore.acquire_until(Duration::from_millis(60));
    assert!(matches!(late, Err(AcquireError::TimedOut)), "{late:?}");
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(1));
        let error = semaphore.try_acquire();
        assert!(matches!(error, Err(AcquireError::Unavailable)), "{error:?}");
    }
    assert_eq!(semaphore.status().unwrap().held, 2);
    holder.signal(libc::SIGCONT);
    holder.kill();
    drop(semaphore.acquire_many_until(2, PATIENCE).unwrap());
}

/// Three of four permits are free all the time: trying for four fails, and is in no other's way.
fn a_try_for_many_takes_none_in_passing() {
    let scratch = Scratch::new();
    let builder = Semaphore::builder(path(&scratch)).permits(4);
    let semaphore = builder.create().unwrap();
    let _held = semaphore.acquire().unwrap();
    let greedy = open(&scratch);
    let other = open(&scratch);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            while !over.load(Relaxed) {
                let error = greedy.try_acquire_many(4);
                assert!(matches!(error, Err(AcquireError::Unavailable)), "{error:?}");
            }
        });
        let refused = (0..200_000)
            .filter(|_| other.try_acquire().is_err())
            .count();
        over.store(true, Relaxed);
        assert_eq!(refused, 0, "while three permits were free");
    });
}

fn nobody_starves() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(path(&scratch)).create().unwrap();
    let snatchers: Vec<Peer> = (0..2)
        .map(|_| Peer::start("snatch", &[text(&scratch.0)]))
        .collect();
    for _ in 0..50 {
        drop(semaphore.acquire_until(PATIENCE).unwrap());
    }
    drop(snatchers);
}

fn many_at_once_are_not_snatched_away() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(path(&scratch))
        .permits(3)
        .create()
        .unwrap();
    let snatchers: Vec<Peer> = (0..3)
        .map(|_| Peer::start("snatch", &[text(&scratch.0)]))
        .collect();
    for _ in 0..20 {
        let all = semaphore.acquire_many_until(3, PATIENCE).unwrap();
        assert_eq!(all.count(), 3);
    }
    drop(snatchers);
}

fn a_waiter_keeps_its_place_between_waits() {
    let scratch = Scratch::new();
    let first = Semaphore::builder(path(&scratch))
        .permits(2)
        .create()
        .unwrap();
    let (second, third) = (open(&scratch), open(&scratch));
    let held = third.acquire().unwrap();
    let waiter = first.waiter(2).unwrap();
    let waits = |waiter: &Waiter| first.acquire_as(waiter, Duration::ZERO);
    assert!(matches!(waits(&waiter), Err(AcquireError::TimedOut)));
    // One permit is free, and nobody else gets it: not within any time in which the waiter is not passed over.
    let refused = second.try_acquire();
    assert!(matches!(refused, Err(AcquireError::Unavailable)));
    drop(held);
    let both = first.acquire_as(&waiter, PATIENCE).unwrap();
    assert_eq!((both.count(), waiter.count()), (2, 2));
    // What it waited for it has, so it is in nobody's way, though it is still there.
    drop(both);
    drop(second.try_acquire_many(2).unwrap());
    // Given up.
    let held = third.acquire().unwrap();
    assert!(matches!(waits(&waiter), Err(AcquireError::TimedOut)));
    drop(waiter);
    drop(second.try_acquire().unwrap());
    // A waiter of another handle has no place here, and leaves none.
    let foreign = second.waiter(2).unwrap();
    assert!(matches!(waits(&foreign), Err(AcquireError::TimedOut)));
    drop(foreign);
    drop(second.try_acquire().unwrap());
    drop(held);
    assert!(matches!(
        first.waiter(3),
        Err(AcquireError::TooMany { wanted: 3, max: 2 })
    ));
}

// --- Chaos.

const PARTIES: usize = 4;
const PERMITS: u32 = 2;

fn open_books(directory: &std::path::Path) -> Books {
    Books::open(directory, 64, 0)
}

/// Whether a process exists and is not on its way out.
fn alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Takes permits for ever. A holder of all of them writes its process id down, and finds no else's there,
/// but for those of the dead.
fn party(semaphore: &Semaphore, books: &Books, number: usize) {
    say("ready");
    let mut turn = number as u64;
    while books.word(40).load(SeqCst) == 0 {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let wanted = if turn >> 60 < 4 { PERMITS } else { 1 };
        let permit = match semaphore.acquire_many_until(wanted, PATIENCE) {
            Ok(permit) => permit,
            Err(error) => panic!("{error}"),
        };
        if wanted == PERMITS {
            let owner = books.word(0);
            let before = owner.swap(u64::from(std::process::id()), SeqCst);
            let started = Instant::now();
            while before != 0 && alive(before) {
                assert!(started.elapsed() < PATIENCE, "two owners at once");
                std::thread::yield_now();
            }
            assert_eq!(owner.swap(0, SeqCst), u64::from(std::process::id()));
        }
        drop(permit);
        books.word(16 + number).fetch_add(1, Relaxed);
    }
}

fn random_deaths_lose_no_permit() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(path(&scratch))
        .permits(PERMITS)
        .create()
        .unwrap();
    let books = open_books(&scratch.0);
    let mut random = Random::new();
    let mut parties = Parties::numbered(&["party"; PARTIES], text(&scratch.0));
    for _ in 0..kills_wanted() {
        let party = parties.any(&mut random);
        parties.kill(party, &mut random, 8);
        parties.replace(party);
    }
    parties.get_on(|party| books.word(16 + party).load(Relaxed));
    books.word(40).store(1, SeqCst);
    parties.finish_all();
    // The permits of the last dead process come back to the caller that waits for them.
    drop(semaphore.acquire_many_until(PERMITS, PATIENCE).unwrap());
    let turns: u64 = (0..PARTIES)
        .map(|party| books.word(16 + party).load(Relaxed))
        .sum();
    println!("  {} kills, {turns} turns", kills_wanted());
    let status = semaphore.status().unwrap();
    assert_eq!((status.free, status.held), (PERMITS, 0));
    assert_eq!((status.retired, status.handles), (0, 1));
}
