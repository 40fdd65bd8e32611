//! The vectors that all languages share (`docs/vectors/languages.list`): a program in C reads its schemas, messages and failures,
//! and the header has its numbers of errors, with the names that follow from those in Rust.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use support::{compiled, finish, here, in_directory, prefix, run, C};

fn list() -> PathBuf {
    here().join("../../docs/vectors/languages.list")
}

/// The entries of errors: the name in C of each error, and its number.
fn errors() -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(list()).unwrap();
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("error ")) {
        let (code, names) = line.split_once(' ').unwrap();
        for name in names.split(' ') {
            let (kind, variant) = name.split_once("Error::").unwrap();
            let name = format!("SLIPRING_E_{}_{}", upper(kind), upper(variant));
            assert_eq!(found.insert(name, code.parse().unwrap()), None);
        }
    }
    found
}

/// `TimedOut` as `TIMED_OUT`.
fn upper(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(letter.to_uppercase());
    }
    words
}

/// Every schema, message and failure. The program ends with an error at the first that differs, or that it does not know.
#[test]
fn every_schema_message_and_failure_is_as_the_list_says() {
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut command = in_directory(Command::new(compiled("vectors.c")), scratch.path());
    command.arg(list());
    let said = finish(command);
    let text = std::fs::read_to_string(list()).unwrap();
    assert!(text.contains(&said), "the program says {said}");
}

/// The header has these numbers and no others, and the library knows which of them are deadlines.
#[test]
fn every_number_is_in_the_header() {
    let header = std::fs::read_to_string(prefix().join("include/slipring/errors.h")).unwrap();
    let constants = header.lines().filter_map(|line| {
        let (name, code) = line.trim().trim_end_matches(',').split_once(" = ")?;
        if !name.starts_with("SLIPRING_E_") {
            return None;
        }
        Some((name.to_owned(), code.parse().unwrap()))
    });
    let errors = errors();
    assert!(errors.len() > 100);
    assert_eq!(constants.collect::<BTreeMap<_, u32>>(), errors);
    let mut program = String::from("#include <slipring.h>\n#include <stdio.h>\nint main(void) {\n");
    for (name, code) in &errors {
        let late = name.ends_with("_TIMED_OUT");
        program += &format!(
            "_Static_assert({name} == {code}, \"\");\nif (slipring_is_timeout({name}) != {late}) {{ puts(\"{name}\"); return 1; }}\n"
        );
    }
    program += "return 0;\n}\n";
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("errors.c");
    std::fs::write(&source, program).unwrap();
    run(&mut Command::new(C.program(&source, scratch.path(), false)));
}
