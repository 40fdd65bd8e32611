//! Cells: `value`, a value that is read is whole, and not older than the one before.

use slipring::layout::geometry::Geometry;
use slipring::ring::cell::Cells;
use slipring::segment::Memory;
use slipring_loom_tests::*;

fn cells() -> Cells {
    let geometry = Geometry::check(512, 64, 8, 1, 0, false).expect("a valid geometry");
    Cells::new(&Memory::local(geometry), 1, LEN as u64).expect("room for a cell")
}

fn set(cells: &Cells) {
    let version = cells.version(0) + 1;
    assert_eq!(cells.set(0, &message(version)), Some(version));
}

/// Reads once; checks that the value is whole and of its version.
fn get(cells: &Cells) -> Option<u64> {
    let mut words = [0; LEN / 8];
    let version = cells.try_get(0, &mut words)?;
    if version > 0 {
        assert_eq!(words, [version + 100, version + 200], "torn, or another's");
    }
    Some(version)
}

fn show(version: Option<u64>) -> String {
    version.map_or("too fast".into(), |version| version.to_string())
}

/// A reader copies a value while the writer sets four more, the last of them in the same place.
fn lapped() -> String {
    let cells = cells();
    set(&cells);
    let to = cells.clone();
    let writer = thread::spawn(move || (0..4).for_each(|_| set(&to)));
    let reader = thread::spawn(move || get(&cells));
    writer.join().unwrap();
    show(reader.join().unwrap())
}

const LAPPED: &[&str] = &["1", "2", "3", "4", "5", "too fast"];

#[test]
fn a_value_is_whole_or_the_reader_knows() {
    assert_outcomes(Some(3), LAPPED, lapped);
}

#[test]
fn without_any_of_its_four_ends_it_may_be_torn() {
    for tag in [
        "value version:Release",
        "value version:Acquire",
        "value set:Release",
        "value get:Acquire",
    ] {
        assert_notices(tag, Some(3), LAPPED, lapped);
    }
}

/// Two reads while two values are set: the second is not older than the first.
fn in_order() -> String {
    let cells = cells();
    let to = cells.clone();
    let writer = thread::spawn(move || (0..2).for_each(|_| set(&to)));
    let from = cells.clone();
    let reader = thread::spawn(move || (get(&from), get(&from)));
    let (first, second) = reader.join().unwrap();
    writer.join().unwrap();
    assert!(first <= second, "{first:?} and then {second:?}");
    assert_eq!(get(&cells), Some(2), "what was set before the read began");
    format!("{} {}", show(first), show(second))
}

const IN_ORDER: &[&str] = &["0 0", "0 1", "0 2", "1 1", "1 2", "2 2"];

#[test]
fn values_never_go_back() {
    assert_outcomes(Some(3), IN_ORDER, in_order);
}
