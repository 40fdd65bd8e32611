//! Newest values: against an oracle, between processes, and under random deaths.

use proptest::prelude::*;
use slipring::{
    endpoint::AttachError,
    latest::{LatestError, LatestReader, LatestWriter, ReaderOptions},
    place::OpenError,
    Latest,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;
use testing::books::{kills_wanted, Books, Random};
use testing::{say, text, Parties, Peer, Scratch, PATIENCE};

slipring::message! {
    /// A value that shows when it is torn.
    pub struct State {
        /// Its cell.
        pub cell: u64,
        /// Its version.
        pub version: u64,
        /// Words that depend on both.
        pub rest: [u64; 14],
    }
}

slipring::message! {
    /// A value of another type.
    pub struct Other {
        /// Anything.
        pub cell: u64,
    }
}

impl State {
    fn new(cell: u32, version: u64) -> Self {
        let word = |at: u64| (version ^ u64::from(cell) << 40).wrapping_mul(at * 2 + 3);
        let rest = std::array::from_fn(|at| word(at as u64));
        Self {
            cell: cell.into(),
            version,
            rest,
        }
    }
}

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_with_its_numbers,
    a_sleeper_wakes_when_something_changes,
    only_a_value_that_was_set_is_a_change,
    random_deaths_leave_whole_values,
]);

const CELLS: u32 = 16;

fn path(directory: &Path) -> PathBuf {
    directory.join("latest")
}

fn create(scratch: &Scratch) -> Latest<State> {
    Latest::builder(path(&scratch.0))
        .cells(CELLS)
        .create()
        .unwrap()
}

fn open(directory: &Path) -> Latest<State> {
    Latest::open(path(directory)).unwrap()
}

// --- The oracle.

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(100);
    // Set, get, or change the writer; which cell.
    let steps = prop::collection::vec((0..12u8, 0..CELLS + 1), 1..200);
    runner
        .run(&steps, |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

fn follow(steps: &[(u8, u32)]) {
    let scratch = Scratch::new();
    let latest = create(&scratch);
    let mut writer: LatestWriter<State> = latest.writer().unwrap();
    let mut reader: LatestReader<State> = open(&scratch.0).reader().unwrap();
    let mut versions = [0u64; CELLS as usize];
    // What was set before the reader was made is no news, and neither is a new writer.
    let mut told = false;
    for (what, cell) in steps.iter().copied() {
        let known = versions.get_mut(cell as usize);
        let none = LatestError::NoCell { cell, cells: CELLS };
        match (what, known) {
            (0..=5, Some(version)) => {
                *version += 1;
                let set = writer.set_at(cell, &State::new(cell, *version));
                assert_eq!(set, Ok(*version));
                told = true;
            }
            (0..=5, None) => assert_eq!(writer.set_at(cell, &State::new(cell, 1)), Err(none)),
            (6..=9, Some(version)) => {
                let expected = (*version > 0).then(|| (State::new(cell, *version), *version));
                assert_eq!(reader.get_at(cell), Ok(expected));
                assert_eq!(reader.version_at(cell), Ok(*version));
                let changed = reader.wait_at_until(cell, *version, Duration::ZERO);
                assert_eq!(changed, Err(LatestError::TimedOut));
                assert_eq!(reader.wait_at_until(cell, *version + 1, PATIENCE), Ok(()));
            }
            (6..=9, None) => assert_eq!(reader.get_at(cell), Err(none)),
            (10, _) => {
                let changed = reader.wait_until(Duration::ZERO);
                let expected = if told {
                    Ok(())
                } else {
                    Err(LatestError::TimedOut)
                };
                assert_eq!(changed, expected);
                told = false;
            }
            _ => {
                drop(writer);
                writer = latest.writer().unwrap();
            }
        }
    }
}

fn what_is_refused_is_refused_with_its_numbers() {
    let scratch = Scratch::new();
    let latest = create(&scratch);
    let writer = latest.writer().unwrap();
    let second = open(&scratch.0).writer().unwrap_err();
    assert!(
        matches!(second, AttachError::AlreadyOwned { .. }),
        "{second}"
    );
    drop(writer);
    open(&scratch.0).writer().unwrap();
    let other = Latest::<Other>::open(path(&scratch.0)).unwrap_err();
    assert!(matches!(other, OpenError::Schema { .. }), "{other}");
    let ring = slipring::Ring::open(path(&scratch.0)).unwrap_err();
    assert!(
        ring.to_string().contains("is a latest value, not a ring"),
        "{ring}"
    );
    let huge = Latest::<State>::builder(scratch.0.join("huge"))
        .cells(u32::MAX)
        .create();
    assert!(huge.is_err());
}

fn a_sleeper_wakes_when_something_changes() {
    let scratch = Scratch::new();
    let latest = create(&scratch);
    let mut sleeper = Peer::start("sleep", &[text(&scratch.0)]);
    let mut writer = latest.writer().unwrap();
    for version in 1..=3 {
        sleeper.asleep();
        writer.set_at(5, &State::new(5, version)).unwrap();
        assert_eq!(sleeper.line(), version.to_string());
    }
    sleeper.finish();
}

fn only_a_value_that_was_set_is_a_change() {
    let scratch = Scratch::new();
    let latest = create(&scratch);
    let mut writer = latest.writer().unwrap();
    for version in 1..=3 {
        writer.set_at(2, &State::new(2, version)).unwrap();
    }
    let soon = || Duration::from_millis(2);
    let mut reader = open(&scratch.0).reader().unwrap();
    assert_eq!(reader.wait_until(soon()), Err(LatestError::TimedOut));
    writer.set_at(3, &State::new(3, 1)).unwrap();
    assert_eq!(reader.wait_until(PATIENCE), Ok(()));
    assert_eq!(reader.wait_until(soon()), Err(LatestError::TimedOut));
    drop(writer);
    let mut writer = latest.writer().unwrap();
    assert_eq!(reader.wait_until(soon()), Err(LatestError::TimedOut));
    // One that follows a dead writer says what that one set, and no more.
    drop(writer);
    for _ in 0..5 {
        Peer::start("set-and-stay", &[text(&scratch.0)]).kill();
        assert_eq!(reader.wait_until(PATIENCE), Ok(()));
        writer = latest.writer().unwrap();
        assert_eq!(reader.wait_until(soon()), Err(LatestError::TimedOut));
        drop(writer);
    }
}

// --- Processes.

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let latest = open(&directory);
    match role {
        "sleep" => {
            let options = ReaderOptions::new().strategy(slipring::Strategy::Park);
            let mut reader = latest.reader_with(options).unwrap();
            say("ready");
            for version in 0..3 {
                reader.wait_at_until(5, version, PATIENCE).unwrap();
                let (state, version) = reader.get_at(5).unwrap().unwrap();
                assert_eq!(state, State::new(5, version));
                say(&version.to_string());
            }
        }
        "set-and-stay" => {
            let mut writer = latest.writer().unwrap();
            let version = latest.reader().unwrap().version_at(7).unwrap() + 1;
            writer.set_at(7, &State::new(7, version)).unwrap();
            say("ready");
            std::thread::park();
        }
        "writer" => write_for_ever(&latest, &open_books(&directory)),
        "reader" => read_for_ever(
            &latest,
            &open_books(&directory),
            arguments[1].parse().unwrap(),
        ),
        role => panic!("no role {role}"),
    }
}

// --- Chaos.

const PARTIES: [&str; 4] = ["writer", "reader", "reader", "reader"];

fn open_books(directory: &Path) -> Books {
    Books::open(directory, 128, 0)
}

fn write_for_ever(latest: &Latest<State>, books: &Books) {
    let mut writer = latest.writer().unwrap();
    let reader = latest.reader().unwrap();
    // What was set for certain is there; of what was being set, all or nothing.
    let mut versions = [0; CELLS as usize];
    for cell in 0..CELLS {
        let acked = books.word(cell as usize).load(SeqCst);
        let version = reader.version_at(cell).unwrap();
        assert!(
            version == acked || version == acked + 1,
            "{version} after {acked}"
        );
        books.word(cell as usize).store(version, SeqCst);
        versions[cell as usize] = version;
    }
    say("ready");
    let mut chance = 1u64;
    while books.word(40).load(SeqCst) == 0 {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let cell = (chance >> 60) as u32 % CELLS;
        let version = &mut versions[cell as usize];
        *version += 1;
        assert_eq!(
            writer.set_at(cell, &State::new(cell, *version)),
            Ok(*version)
        );
        books.word(cell as usize).store(*version, SeqCst);
        books.word(64).fetch_add(1, Relaxed);
    }
    drop(reader);
}

fn read_for_ever(latest: &Latest<State>, books: &Books, party: usize) {
    let mut reader = latest.reader().unwrap();
    let mut last = [0; CELLS as usize];
    say("ready");
    let mut turn = 0u64;
    while books.word(40).load(SeqCst) == 0 {
        turn += 1;
        let cell = (turn % u64::from(CELLS)) as u32;
        let acked = books.word(cell as usize).load(SeqCst);
        let version = match reader.get_at(cell) {
            Ok(Some((state, version))) => {
                assert_eq!(state, State::new(cell, version), "torn");
                version
            }
            Ok(None) => 0,
            Err(error) => panic!("{error}"),
        };
        assert!(version >= acked, "{version} is older than {acked}");
        assert!(version >= last[cell as usize], "went back to {version}");
        last[cell as usize] = version;
        if turn.is_multiple_of(64) {
            let _ = reader.wait_until(Duration::from_millis(20));
        }
        books.word(64 + party).fetch_add(1, Relaxed);
    }
}

fn random_deaths_leave_whole_values() {
    let scratch = Scratch::new();
    let _latest = create(&scratch);
    let books = open_books(&scratch.0);
    let mut random = Random::new();
    let mut parties = Parties::numbered(&PARTIES, text(&scratch.0));
    for _ in 0..kills_wanted() {
        // The writer more often than the others.
        let party = (random.below(8) as usize).saturating_sub(4).min(3);
        parties.kill(party, &mut random, 8);
        parties.replace(party);
    }
    parties.get_on(|party| books.word(64 + party).load(Relaxed));
    books.word(40).store(1, SeqCst);
    parties.finish_all();
    let read: u64 = (1..PARTIES.len())
        .map(|party| books.word(64 + party).load(Relaxed))
        .sum();
    println!(
        "  {} kills, {} values set, {read} read",
        kills_wanted(),
        books.word(64).load(Relaxed)
    );
}
