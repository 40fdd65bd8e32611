//! A value under a lock of one permit: `permit` hands the cell over from holder to holder, `value` to readers.

use slipring::layout::geometry::Geometry;
use slipring::ring::cell::Cells;
use slipring::ring::permits::{board_words, Permits};
use slipring::segment::Memory;
use slipring::sync::spin_hint;
use slipring_loom_tests::*;

fn shared() -> Memory {
    let geometry = Geometry::check(512, 64, 8, 2, 0, false).expect("a valid geometry");
    Memory::local(geometry.with_board(board_words(1)).expect("a valid board"))
}

fn cells(memory: &Memory) -> Cells {
    Cells::new(memory, 1, 16).expect("room for a cell")
}

/// Adds one to both words of the value, as a holder of the lock does: on a copy.
fn add(memory: &Memory, row: u32) {
    let (permits, cells) = (Permits::new(memory.clone(), row, 1), cells(memory));
    let permit = loop {
        match permits.try_take(0) {
            Some(permit) => break permit,
            None => spin_hint(),
        }
    };
    let mut words = [0; 2];
    let version = cells.try_get(0, &mut words).expect("nobody else sets it");
    assert_eq!(words, [version; 2], "not what the last holder left");
    let value = (version + 1).to_le_bytes();
    cells.set(0, &[value, value].concat());
    permits.give(permit);
}

fn get(memory: &Memory) -> u64 {
    let mut words = [0; 2];
    let version = cells(memory)
        .try_get(0, &mut words)
        .expect("two changes at most");
    assert_eq!(words, [version; 2], "torn");
    version
}

fn changed() -> String {
    let memory = shared();
    let (one, other) = (memory.clone(), memory.clone());
    let first = thread::spawn(move || add(&one, 0));
    let second = thread::spawn(move || add(&other, 1));
    first.join().unwrap();
    second.join().unwrap();
    get(&memory).to_string()
}

#[test]
fn each_holder_goes_on_where_the_last_one_stopped() {
    assert_outcomes(Some(3), &["2"], changed);
}

#[test]
fn without_either_end_of_the_lock_a_change_is_lost() {
    for tag in ["permit give:Release", "permit take:Acquire"] {
        assert_notices(tag, Some(3), &["2"], changed);
    }
}

/// Two holders, one after the other, and a reader without a lock.
fn read() -> String {
    let memory = shared();
    let (to, from) = (memory.clone(), memory.clone());
    let holders = thread::spawn(move || {
        add(&to, 0);
        add(&to, 1);
    });
    let reader = thread::spawn(move || (get(&from), get(&from)));
    let (first, second) = reader.join().unwrap();
    holders.join().unwrap();
    assert!(first <= second);
    format!("{first} {second}")
}

#[test]
fn readers_need_no_lock() {
    assert_outcomes(Some(3), &["0 0", "0 1", "0 2", "1 1", "1 2", "2 2"], read);
}
