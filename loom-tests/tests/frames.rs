//! Payload visibility: `publish` (commit), `overwrite` (reserve), `entry` (index).

use slipring::ring::Start;
use slipring_loom_tests::*;

/// One consumer polls while one message is published: it sees nothing or all of it.
fn commit() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || publish(&mut to));
    let seen = try_take(&mut from);
    writer.join().unwrap();
    match seen {
        Some(sequence) => format!("read {sequence}"),
        None => "nothing".into(),
    }
}

const COMMIT: &[&str] = &["nothing", "read 0"];

#[test]
fn a_commit_word_that_is_seen_means_a_whole_frame() {
    assert_outcomes(None, COMMIT, commit);
}

#[test]
fn without_either_end_of_the_commit_it_does_not() {
    for tag in ["publish commit:Release", "publish consume:Acquire"] {
        assert_notices(tag, None, COMMIT, commit);
    }
}

/// The same with an observer.
fn commit_observed() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = observer(&memory, Start::Oldest);
    let writer = thread::spawn(move || publish(&mut to));
    let seen = look(&mut from);
    writer.join().unwrap();
    seen
}

#[test]
fn an_observer_too_sees_nothing_or_a_whole_frame() {
    assert_outcomes(None, COMMIT, commit_observed);
}

#[test]
fn without_its_end_of_the_commit_an_observer_does_not() {
    assert_notices("publish observe:Acquire", None, COMMIT, commit_observed);
}

/// One observer looks while the producer overwrites what it is looking at.
fn overrun() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = observer(&memory, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || publish(&mut to));
    let seen = look(&mut from);
    writer.join().unwrap();
    seen
}

const OVERRUN: &[&str] = &["lost 2 at 2", "read 0"];

#[test]
fn an_overtaken_read_is_always_detected() {
    assert_outcomes(Some(3), OVERRUN, overrun);
}

#[test]
fn without_either_end_of_the_reserve_it_is_not() {
    assert_notices("overwrite reserve:Release", Some(2), OVERRUN, overrun);
    assert_notices(
        "overwrite copy:Acquire",
        Some(2),
        OVERRUN_LAST,
        overrun_last,
    );
}

/// As above, with the observer in a thread of its own: its very first step may come late, when what it looks at
/// is already a frame of the next lap.
fn lapped() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = observer(&memory, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || publish(&mut to));
    let reader = thread::spawn(move || look(&mut from));
    writer.join().unwrap();
    reader.join().unwrap()
}

#[test]
fn an_observer_that_was_lapped_learns_of_it_at_once() {
    assert_outcomes(Some(3), OVERRUN, lapped);
}

#[test]
fn without_the_fence_before_the_announcement_it_may_be_told_later() {
    assert_notices("overwrite observe:Acquire", Some(3), OVERRUN, lapped);
}

/// As above, but no committed frame follows the one that is overwritten, so that only the fence
/// before the look at the reserve orders the copy.
fn overrun_last() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let mut from = observer(&memory, Start::Sequence(1));
    let writer = thread::spawn(move || {
        publish(&mut to);
        publish(&mut to);
    });
    let seen = look(&mut from);
    writer.join().unwrap();
    seen
}

const OVERRUN_LAST: &[&str] = &["lost 1 at 2", "lost 2 at 3", "read 1"];

#[test]
fn an_overtaken_read_of_the_last_frame_is_detected() {
    assert_outcomes(Some(2), OVERRUN_LAST, overrun_last);
}

/// Two observers, each looking once, while the producer overwrites.
fn two_observers() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut from = observer(&memory, Start::Oldest);
            thread::spawn(move || look(&mut from))
        })
        .collect();
    publish(&mut to);
    for reader in readers {
        let seen = reader.join().unwrap();
        let fine = ["nothing", "read 0", "lost 1 at 1", "lost 2 at 2"];
        assert!(fine.contains(&&*seen), "{seen}");
    }
    "all whole".into()
}

#[test]
fn two_observers_do_not_disturb_each_other() {
    assert_outcomes(Some(1), &["all whole"], two_observers);
}

/// A slow observer's account: what it received and what it lost add up to what was published.
fn account() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = observer(&memory, Start::Oldest);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || {
        publish(&mut to);
    });
    let mut next = 0;
    let mut turn = |from: &mut slipring::ring::observer::Observer| {
        let seen = look(from);
        if let Some(sequence) = seen.strip_prefix("read ") {
            assert_eq!(sequence.parse(), Ok(next));
            next += 1;
        } else if let Some((lost, at)) = seen
            .strip_prefix("lost ")
            .and_then(|s| s.split_once(" at "))
        {
            next += lost.parse::<u64>().unwrap();
            assert_eq!(at.parse(), Ok(next));
        }
        next
    };
    turn(&mut from);
    writer.join().unwrap();
    while turn(&mut from) < 3 {}
    assert_eq!(look(&mut from), "nothing");
    "adds up".into()
}

#[test]
fn received_and_lost_add_up_to_published() {
    assert_outcomes(Some(2), &["adds up"], account);
}

/// A batch of two becomes visible as a whole.
fn batch() -> String {
    let memory = small(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || {
        let mut batch = to.batch();
        to.try_stage(&mut batch, &message(0)).unwrap();
        to.try_stage(&mut batch, &message(1)).unwrap();
        to.commit(&batch);
    });
    let first = try_take(&mut from);
    let second = try_take(&mut from);
    writer.join().unwrap();
    format!("{first:?} {second:?}")
}

const BATCH: &[&str] = &["None None", "None Some(0)", "Some(0) Some(1)"];

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    assert_outcomes(None, BATCH, batch);
}

#[test]
fn without_the_release_of_its_first_frame_it_is_torn() {
    assert_notices("publish commit:Release", None, BATCH, batch);
}

/// A reader looks for the end of the stream while the producer enters a new lap.
fn join() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || {
        publish(&mut to);
    });
    let joined = slipring::ring::index::place(&memory, Start::Latest, 0);
    let seen = match joined {
        Ok(at) => format!("{} at {}", at.sequence, at.position),
        Err(nowhere) => format!("{nowhere:?}"),
    };
    writer.join().unwrap();
    seen
}

const JOIN: &[&str] = &["2 at 48", "2 at 64", "3 at 88"];

#[test]
fn a_joiner_stands_on_a_frame_with_the_right_number() {
    assert_outcomes(Some(2), JOIN, join);
}

/// One index entry is written for a new lap while it is read.
fn entry() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || {
        publish(&mut to);
    });
    let seen = match slipring::ring::index::newest(&memory) {
        Some(at) => format!("{} at {}", at.sequence, at.position),
        None => "none".into(),
    };
    writer.join().unwrap();
    seen
}

const ENTRY: &[&str] = &["1 at 24", "2 at 48", "2 at 64"];

#[test]
fn an_index_entry_is_never_half_of_one_lap_and_half_of_another() {
    assert_outcomes(Some(3), ENTRY, entry);
}

#[test]
fn without_either_end_of_the_index_it_is() {
    for tag in ["entry record:Release", "entry index:Acquire"] {
        assert_notices(tag, Some(3), ENTRY, entry);
    }
}

/// The oldest entry is looked for while a new lap overwrites its slot.
fn oldest_entry() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let writer = thread::spawn(move || {
        publish(&mut to);
    });
    let seen = match slipring::ring::index::oldest(&memory, 0) {
        Some(at) => format!("{} at {}", at.sequence, at.position),
        None => "none".into(),
    };
    writer.join().unwrap();
    seen
}

const OLDEST: &[&str] = &["0 at 0", "2 at 48"];

#[test]
fn the_oldest_entry_is_intact() {
    assert_outcomes(Some(2), OLDEST, oldest_entry);
}

#[test]
fn without_its_fence_an_entry_may_be_half_overwritten() {
    assert_notices("overwrite index:Acquire", Some(2), OLDEST, oldest_entry);
}
