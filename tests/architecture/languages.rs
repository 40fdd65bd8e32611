//! The vectors that all languages share (`docs/vectors/languages.list`): schemas, messages and errors, so that none of the languages
//! drifts from the others. The library for C (`bindings/c/tests/vectors.rs`) and the Python package
//! (`bindings/python/tests/test_vectors.py`) read the same file.
//!
//! The file is made here anew and compared with what is stored, and each stored entry is read. `SLIPRING_VECTORS=write` stores
//! what is made.

#[path = "languages/errors.rs"]
mod errors;
#[path = "languages/schemas.rs"]
mod schemas;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Schemas, messages and errors, as every language has them: docs/vectors/README.md says what a line means.
";

/// How many entries of each kind there are: a line of the list, so that a reader knows that it has read all.
fn counts([schemas, refused, errors, failures]: [usize; 4]) -> String {
    format!("counts schema {schemas} refused {refused} error {errors} failure {failures}\n")
}

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors/languages.list")
}

/// The lines of an entry as their first word and the rest.
type Entry = Vec<(String, String)>;

/// The entries of the stored list. They are apart by empty lines.
fn entries() -> Vec<Entry> {
    let text = fs::read_to_string(stored()).unwrap();
    let text = text.strip_prefix(HEAD).unwrap();
    let (_, text) = text.split_once('\n').unwrap();
    let split = |line: &str| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        (word.to_owned(), rest.to_owned())
    };
    let blocks = text.split("\n\n").map(str::trim);
    blocks
        .filter(|block| !block.is_empty())
        .map(|block| block.lines().map(split).collect())
        .collect()
}

#[test]
fn the_list_is_made_anew_byte_for_byte() {
    let entries: Vec<Entry> = schemas::make().into_iter().chain(errors::make()).collect();
    let many = |kind: &str| entries.iter().filter(|entry| entry[0].0 == kind).count();
    let kinds = ["schema", "refused", "error", "failure"].map(many);
    let mut made = HEAD.to_owned() + &counts(kinds);
    for entry in entries {
        made.push('\n');
        for (word, rest) in entry {
            writeln!(made, "{}", format!("{word} {rest}").trim_end()).unwrap();
        }
    }
    if std::env::var("SLIPRING_VECTORS").is_ok_and(|what| what == "write") {
        fs::write(stored(), &made).unwrap();
    }
    let stored = fs::read_to_string(stored()).unwrap();
    let differs = stored.lines().zip(made.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None, "stored, and made");
    assert_eq!(stored, made);
}

#[test]
fn every_entry_of_the_list_is_read() {
    let mut read = [0; 4];
    for entry in entries() {
        let kind = match entry[0].0.as_str() {
            "schema" => schemas::read(&entry),
            "refused" => schemas::read_refused(&entry),
            "error" => errors::read(&entry),
            "failure" => errors::read_failure(&entry),
            other => panic!("no kind of entry: {other}"),
        };
        read[kind as usize] += 1;
    }
    let text = fs::read_to_string(stored()).unwrap();
    assert!(text.contains(&counts(read)), "{read:?} were read");
}

/// What an entry is.
#[derive(Clone, Copy)]
enum Kind {
    Schema,
    Refused,
    Error,
    Failure,
}

#[test]
fn types_are_as_the_list_says() {
    schemas::types();
}
