//! Names of rows and tenures of members: the edge `row`.

use slipring::layout::lines::NAME_WORDS;
use slipring::ring::tenure::{begin, end, member, read_name, write_name, Name};
use slipring_loom_tests::*;

/// Three names that begin alike, two of which end alike.
const NAMES: [Name; 2] = [name([1, 7, 7]), name([1, 8, 8])];

const fn name(parts: [u64; 3]) -> Name {
    let mut name = [0; NAME_WORDS];
    (name[0], name[1], name[2]) = (parts[0], parts[1], parts[2]);
    name
}

fn show(name: Name) -> String {
    match NAMES.iter().position(|known| *known == name) {
        Some(at) => format!("name {at}"),
        None if name == Name::default() => "no name".into(),
        None => format!("mixed: {name:?}"),
    }
}

/// A row gets a name while another process reads it.
fn named() -> String {
    let memory = tiny(1);
    let shared = memory.clone();
    let writer = thread::spawn(move || write_name(shared.row(0).expect("a row"), NAMES[0]));
    let reader = thread::spawn(move || show(read_name(memory.row(0).expect("a row"))));
    writer.join().unwrap();
    reader.join().unwrap()
}

const NAMED: &[&str] = &["no name", "name 0"];

#[test]
fn a_name_that_is_seen_is_whole() {
    assert_outcomes(Some(3), NAMED, named);
}

#[test]
fn without_the_release_of_its_first_word_it_is_not() {
    assert_notices("row name:Release", Some(3), NAMED, named);
}

/// A row gets another name while another process reads it.
fn renamed() -> String {
    let memory = tiny(1);
    write_name(memory.row(0).expect("a row"), NAMES[0]);
    let shared = memory.clone();
    let writer = thread::spawn(move || write_name(shared.row(0).expect("a row"), NAMES[1]));
    let reader = thread::spawn(move || show(read_name(memory.row(0).expect("a row"))));
    writer.join().unwrap();
    reader.join().unwrap()
}

const RENAMED: &[&str] = &["no name", "name 0", "name 1"];

#[test]
fn two_names_are_never_mixed() {
    assert_outcomes(Some(2), RENAMED, renamed);
}

#[test]
fn without_any_of_the_three_fences_they_are() {
    for tag in [
        "row rename:Release",
        "row first_word:Acquire",
        "row last_word:Acquire",
    ] {
        assert_notices(tag, Some(2), RENAMED, renamed);
    }
}

/// One member leaves and another joins in the same row, while another process looks for members.
fn succeeded() -> String {
    let memory = tiny(1);
    begin(memory.row(0).expect("a row"), 1, NAMES[0]);
    let shared = memory.clone();
    let writer = thread::spawn(move || {
        let row = shared.row(0).expect("a row");
        end(row, 2);
        begin(row, 3, NAMES[1]);
    });
    let reader = thread::spawn(move || match member(memory.row(0).expect("a row")) {
        None => "nobody".into(),
        Some((generation, name)) => format!("{generation}: {}", show(name)),
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

const SUCCEEDED: &[&str] = &["nobody", "1: name 0", "3: name 1"];

#[test]
fn a_member_that_is_found_has_that_name() {
    assert_outcomes(Some(2), SUCCEEDED, succeeded);
}

#[test]
fn without_the_order_of_a_tenure_it_may_be_anothers() {
    for tag in [
        "row present:Release",
        "row end:Release",
        "row member:Acquire",
    ] {
        assert_notices(tag, Some(2), SUCCEEDED, succeeded);
    }
}
