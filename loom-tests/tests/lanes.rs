//! The list of lanes: the edge `lanes`. A receiver that remembers a version has every lane that was listed before.

use slipring::layout::geometry::Geometry;
use slipring::ring::lanes::{board_words, list, listed, own, unlist, version, version_before};
use slipring::segment::Memory;
use slipring_loom_tests::*;

fn queue() -> Memory {
    let geometry = Geometry::check(64, 16, 8, 1, 0, false).expect("a valid geometry");
    Memory::local(geometry.with_board(board_words(2)).expect("a valid board"))
}

/// What a receiver has read of the list.
#[derive(Default)]
struct Known {
    version: u64,
    lanes: Vec<(u32, u8)>,
}

impl Known {
    /// As receivers do before each search.
    fn look(&mut self, memory: &Memory) {
        if version(memory) != self.version {
            self.version = version_before(memory);
            self.lanes = listed(memory).collect();
        }
    }
}

/// A sender lists a lane, another one follows it; a receiver looks meanwhile, and once more when both are
/// done. It then has both lanes: it never remembers the new version with the old list.
fn found() -> String {
    let memory = queue();
    let senders = [(0, 3), (1, 7)].map(|(number, priority)| {
        let memory = memory.clone();
        thread::spawn(move || {
            assert!(list(&memory, number, priority));
            own(&memory, number, priority);
        })
    });
    let seen = memory.clone();
    let receiver = thread::spawn(move || {
        let mut known = Known::default();
        known.look(&seen);
        known
    });
    let mut known = receiver.join().unwrap();
    for sender in senders {
        sender.join().unwrap();
    }
    let meanwhile = known.lanes.len();
    known.look(&memory);
    format!("{meanwhile}, then {}", known.lanes.len())
}

const FOUND: &[&str] = &["0, then 2", "1, then 2", "2, then 2"];

#[test]
fn a_lane_is_found_by_who_remembers_the_version() {
    assert_outcomes(Some(2), FOUND, found);
}

#[test]
fn without_the_release_it_may_be_missed_for_good() {
    assert_notices("lanes raise:Release", Some(2), FOUND, found);
}

#[test]
fn without_the_acquire_it_may_be_missed_for_good() {
    assert_notices("lanes version:Acquire", Some(2), FOUND, found);
}

/// Two senders try to take the same number.
fn one_owner() -> String {
    let memory = queue();
    let other = memory.clone();
    let rival = thread::spawn(move || list(&other, 0, 1));
    let mine = list(&memory, 0, 2);
    let theirs = rival.join().unwrap();
    let first = listed(&memory).next();
    assert_eq!(first, Some((0, if mine { 2 } else { 1 })));
    format!("{}", u8::from(mine) + u8::from(theirs))
}

#[test]
fn a_number_is_given_once() {
    assert_outcomes(None, &["1"], one_owner);
}

/// A lane is unlisted, and taken up for another priority; a receiver looks meanwhile, and once more when
/// that is done. It then has the lane under the priority it has now.
fn moved() -> String {
    let memory = queue();
    assert!(list(&memory, 0, 3));
    own(&memory, 0, 3);
    let mut known = Known::default();
    known.look(&memory);
    let changed = memory.clone();
    let owner = thread::spawn(move || {
        unlist(&changed, 0);
        own(&changed, 0, 7);
    });
    known.look(&memory);
    owner.join().unwrap();
    known.look(&memory);
    format!("{:?}", known.lanes)
}

#[test]
fn a_lane_that_changes_its_priority_is_found_there() {
    assert_outcomes(None, &["[(0, 7)]"], moved);
}
