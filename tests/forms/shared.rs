//! Shared values: against an oracle, between processes, and under random deaths.

use proptest::prelude::*;
use slipring::{
    place::OpenError,
    shared::{SharedError, SharedGuard, SharedOptions},
    Ring, Shared,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;
use testing::books::{kills_wanted, Books, Random};
use testing::{say, text, Parties, Peer, Scratch, PATIENCE};

slipring::message! {
    /// What each party added, their sum, and a word that depends on both.
    struct Ledger {
        sum: u64,
        seal: u64,
        by: [u64; 16],
    }
}

impl Ledger {
    fn add(&mut self, party: usize) {
        self.by[party] += 1;
        self.sum += 1;
        self.seal = self.sealed();
    }

    fn sealed(&self) -> u64 {
        let parts = self.by.iter().chain([&self.sum]);
        parts.fold(0, |seal: u64, part| seal.rotate_left(7) ^ part)
    }

    fn check(&self) {
        assert_eq!(self.seal, self.sealed(), "torn");
        assert_eq!(self.sum, self.by.iter().sum::<u64>(), "torn");
    }
}

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_by_name,
    a_panic_changes_nothing_and_is_told,
    a_lock_taken_during_a_panic_is_a_lock,
    a_dead_holder_changes_nothing_and_is_told,
    a_sleeper_wakes_for_a_change,
    random_deaths_leave_whole_values,
]);

fn path(scratch: &Scratch) -> PathBuf {
    scratch.0.join("ledger")
}

fn open(scratch: &Scratch) -> Shared<Ledger> {
    Shared::open(path(scratch)).unwrap()
}

fn create(scratch: &Scratch) -> Shared<Ledger> {
    Shared::builder(path(scratch)).create().unwrap()
}

// --- The oracle.

#[derive(Clone, Debug)]
enum Step {
    /// Locks and adds; whether it commits.
    Add(usize, usize, bool),
    /// Locks, looks, changes nothing.
    Look(usize),
    Get(usize),
    Wait(usize, bool),
    NewHandle(usize),
    /// One holds the lock while the others try.
    Hold(usize),
}

const HANDLES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..HANDLES, 0..16usize, any::<bool>()).prop_map(|(h, p, c)| Step::Add(h, p, c)),
        1 => (0..HANDLES).prop_map(Step::Look),
        3 => (0..HANDLES).prop_map(Step::Get),
        1 => (0..HANDLES, any::<bool>()).prop_map(|(h, stale)| Step::Wait(h, stale)),
        1 => (0..HANDLES).prop_map(Step::NewHandle),
        1 => (0..HANDLES).prop_map(Step::Hold),
    ]
}

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(200);
    let steps = prop::collection::vec(step(), 1..60);
    runner
        .run(&steps, |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

fn follow(steps: &[Step]) {
    let scratch = Scratch::new();
    let first = create(&scratch);
    let mut handles: Vec<_> = (1..HANDLES).map(|_| open(&scratch)).collect();
    handles.push(first);
    let (mut value, mut version) = (nothing(), 0u64);
    for step in steps {
        match *step {
            Step::Add(handle, party, commits) => {
                let mut guard = handles[handle].lock().unwrap();
                assert_eq!((*guard, guard.version()), (value, version));
                assert!(!guard.abandoned());
                guard.add(party);
                if commits {
                    value.add(party);
                    version += 1;
                    assert_eq!(guard.commit(), Ok(version));
                } else {
                    guard.discard();
                }
            }
            Step::Look(handle) => {
                let guard = handles[handle].try_lock().unwrap();
                assert_eq!(guard.sum, value.sum);
                assert_eq!(guard.commit(), Ok(version), "nothing was changed");
            }
            Step::Get(handle) => {
                assert_eq!(handles[handle].get().unwrap(), (value, version));
                assert_eq!(handles[handle].version(), version);
            }
            Step::Wait(handle, stale) => {
                let known = if stale {
                    version.wrapping_sub(1)
                } else {
                    version
                };
                let waited = handles[handle].wait_until(known, Duration::from_micros(50));
                let expected = if stale {
                    Ok(())
                } else {
                    Err(SharedError::TimedOut)
                };
                assert_eq!(waited, expected);
            }
            Step::NewHandle(handle) => handles[handle] = open(&scratch),
            Step::Hold(handle) => {
                let mut held = handles.swap_remove(handle);
                let guard = held.lock().unwrap();
                for other in &mut handles {
                    assert_eq!(other.try_lock().err(), Some(SharedError::Locked));
                    assert_eq!(other.get().unwrap(), (value, version));
                }
                drop(guard);
                handles.push(held);
            }
        }
        assert_eq!(handles[0].status().unwrap().handles as usize, HANDLES);
    }
}

fn nothing() -> Ledger {
    Ledger {
        sum: 0,
        seal: 0,
        by: [0; 16],
    }
}

// --- Refusals.

slipring::message! {
    /// Something else.
    struct Other {
        a: u64,
    }
}

fn what_is_refused_is_refused_by_name() {
    let scratch = Scratch::new();
    let builder = Shared::<Ledger>::builder(path(&scratch)).max_handles(2);
    let mut one = builder.create().unwrap();
    let error = Shared::<Other>::open(path(&scratch)).unwrap_err();
    assert!(matches!(error, OpenError::Schema { .. }), "{error}");
    let mut two = open(&scratch);
    let error = Shared::<Ledger>::open(path(&scratch)).unwrap_err();
    assert!(
        matches!(error, OpenError::Busy { handles: 2, .. }),
        "{error}"
    );
    let error = Ring::open(path(&scratch)).unwrap_err();
    assert!(
        error.to_string().contains("is a shared value, not a ring"),
        "{error}"
    );
    let guard = one.lock().unwrap();
    let late = two.lock_until(Duration::from_millis(5)).err();
    assert_eq!(late, Some(SharedError::TimedOut));
    drop(guard);
    drop(two.try_lock().unwrap());
    // It can be opened again, and its value outlives every handle.
    two.lock().unwrap().add(3);
    drop((one, two));
    assert_eq!(open(&scratch).get().unwrap().1, 1);
    slipring::registry::remove_at(path(&scratch), false).unwrap();
}

fn a_panic_changes_nothing_and_is_told() {
    let scratch = Scratch::new();
    let mut one = create(&scratch);
    let mut two = open(&scratch);
    one.lock().unwrap().add(0);
    let result = std::thread::spawn(move || {
        let mut guard: SharedGuard<'_, Ledger> = one.lock().unwrap();
        guard.add(1);
        std::panic::resume_unwind(Box::new("in the middle"));
    })
    .join();
    assert!(result.is_err());
    let guard = two.lock().unwrap();
    assert!(guard.abandoned());
    assert_eq!((guard.by[0], guard.by[1], guard.version()), (1, 0, 1));
    drop(guard);
    assert!(!two.lock().unwrap().abandoned(), "told once");
}

/// Changes the value when it is dropped, in one of the ways there are.
struct Bookkeeper(Shared<Ledger>, usize);

impl Drop for Bookkeeper {
    fn drop(&mut self) {
        assert!(std::thread::panicking());
        let mut guard = self.0.lock().unwrap();
        guard.add(self.1);
        match self.1 {
            0 => drop(guard),
            1 => drop(guard.commit().unwrap()),
            _ => guard.discard(),
        }
    }
}

fn a_lock_taken_during_a_panic_is_a_lock() {
    let scratch = Scratch::new();
    let mut shared = create(&scratch);
    for way in 0..3 {
        let keeper = Bookkeeper(open(&scratch), way);
        let result = std::thread::spawn(move || {
            let _keeper = keeper;
            std::panic::resume_unwind(Box::new("of something else"));
        })
        .join();
        assert!(result.is_err());
        let guard = shared.lock().unwrap();
        assert!(!guard.abandoned(), "way {way}");
        assert_eq!(guard.by[..3], [1, u64::from(way > 0), 0], "way {way}");
        guard.discard();
    }
    // One that was taken before the panic and committed during it is as it was meant.
    struct Commits<'s>(Option<SharedGuard<'s, Ledger>>);
    impl Drop for Commits<'_> {
        fn drop(&mut self) {
            self.0.take().unwrap().commit().unwrap();
        }
    }
    let mut other = open(&scratch);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut guard = other.lock().unwrap();
        guard.add(5);
        let _commits = Commits(Some(guard));
        std::panic::resume_unwind(Box::new("of something else"));
    }));
    assert!(result.is_err());
    let guard = shared.lock().unwrap();
    assert!(!guard.abandoned());
    assert_eq!(guard.by[5], 1);
}

// --- Processes.

fn victim(role: &str) {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    let mut shared = Shared::<Ledger>::open(directory.join("ledger")).unwrap();
    match role {
        "hold" => {
            let mut guard = shared.lock().unwrap();
            guard.add(9);
            say("ready");
            std::thread::park();
        }
        "add" => {
            say("ready");
            let mut line = String::new();
            while std::io::stdin().read_line(&mut line).unwrap() > 0 {
                shared.lock().unwrap().add(2);
                say("added");
                line.clear();
            }
        }
        _ => party(&mut shared, &directory),
    }
}

fn a_dead_holder_changes_nothing_and_is_told() {
    let scratch = Scratch::new();
    let mut shared = create(&scratch);
    for tries in [false, true] {
        let peer = Peer::start("hold", &[text(&scratch.0)]);
        assert_eq!(shared.try_lock().err(), Some(SharedError::Locked));
        peer.kill();
        let guard = if tries {
            shared.try_lock().unwrap()
        } else {
            shared.lock_until(PATIENCE).unwrap()
        };
        assert!(guard.abandoned());
        assert_eq!((guard.sum, guard.version()), (0, 0));
    }
}

fn a_sleeper_wakes_for_a_change() {
    let scratch = Scratch::new();
    drop(create(&scratch));
    let options = SharedOptions::new().strategy(slipring::Strategy::Park);
    let mut shared = Shared::<Ledger>::open_with(path(&scratch), options).unwrap();
    let mut peer = Peer::start("add", &[text(&scratch.0)]);
    for round in 0..20 {
        assert_eq!(shared.version(), round);
        let teller = std::thread::spawn(move || {
            assert_eq!(peer.tell("go"), "added");
            peer
        });
        shared.wait_until(round, PATIENCE).unwrap();
        assert_eq!(shared.get().unwrap().0.by[2], round + 1);
        peer = teller.join().unwrap();
    }
}

// --- Chaos.

const PARTIES: usize = 4;

fn open_books(directory: &Path) -> Books {
    Books::open(directory, 64, 0)
}

/// Adds for ever, and reads in between. What it did is in the books once the guard is gone.
fn party(shared: &mut Shared<Ledger>, directory: &Path) {
    let number: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let books = open_books(directory);
    say("ready");
    let mut last = 0;
    while books.word(40).load(SeqCst) == 0 {
        let mut guard = shared.lock_until(PATIENCE).unwrap();
        guard.check();
        guard.add(number);
        last = guard.commit().unwrap().max(last);
        books.word(number).fetch_add(1, SeqCst);
        let (value, version) = shared.get().unwrap();
        value.check();
        assert_eq!(value.sum, version, "each change adds one");
        assert!(version >= last, "went back");
        last = version;
    }
}

fn random_deaths_leave_whole_values() {
    let scratch = Scratch::new();
    let mut shared = create(&scratch);
    let books = open_books(&scratch.0);
    let mut random = Random::new();
    let mut abandoned = 0;
    let mut parties = Parties::numbered(&["party"; PARTIES], text(&scratch.0));
    for _ in 0..kills_wanted() {
        let party = parties.any(&mut random);
        parties.kill(party, &mut random, 8);
        parties.replace(party);
        let guard = shared.lock_until(PATIENCE).unwrap();
        guard.check();
        abandoned += u64::from(guard.abandoned());
    }
    parties.get_on(|party| books.word(party).load(Relaxed));
    books.word(40).store(1, SeqCst);
    parties.finish_all();
    let (value, version) = shared.get().unwrap();
    value.check();
    assert_eq!(value.sum, version);
    for party in 0..PARTIES {
        let deaths = parties.kills(party);
        let done = books.word(party).load(SeqCst);
        // Each death can leave one change that was made and not written down.
        assert!(
            value.by[party] >= done && value.by[party] <= done + deaths,
            "party {party}: {} changes, {done} in the books, {deaths} deaths",
            value.by[party]
        );
    }
    println!(
        "  {} kills, {version} changes, {abandoned} locks found abandoned by this process",
        kills_wanted()
    );
}
