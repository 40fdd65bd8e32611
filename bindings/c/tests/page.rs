//! The examples of docs/guide/c.md and those of `examples`, compiled and run as they are written.

use std::path::Path;
use std::process::Command;
use support::{finish, here, in_directory, C, CXX};

/// The blocks of a page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in page.split("\n```").skip(1) {
        if let Some(text) = block
            .strip_prefix(language)
            .and_then(|rest| rest.strip_prefix('\n'))
        {
            found.push(format!("{text}\n"));
        }
    }
    found
}

fn runs(source: &Path, directory: &Path, words: &[&str]) -> String {
    let compiler = if source.extension().is_some_and(|kind| kind == "c") {
        C
    } else {
        CXX
    };
    let build = tempfile::tempdir().unwrap();
    let program = compiler.program(source, build.path(), false);
    let mut command = in_directory(Command::new(program), directory);
    command.args(words);
    finish(command)
}

#[test]
fn the_examples_of_the_page_run() {
    let page = std::fs::read_to_string(here().join("../../docs/guide/c.md")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (language, kind) in [("c", "c"), ("cpp", "cc")] {
        for text in blocks(&page, language) {
            assert!(
                text.contains("int main"),
                "an example that is no program:\n{text}"
            );
            let source = scratch.path().join(format!("example-{count}.{kind}"));
            std::fs::write(&source, text).unwrap();
            runs(&source, scratch.path(), &[]);
            count += 1;
        }
    }
    assert!(count >= 4, "{count} examples");
}

#[test]
fn the_examples_run() {
    let scratch = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(here().join("examples")).unwrap() {
        let source = entry.unwrap().path();
        let printed = runs(&source, scratch.path(), &["1000"]);
        // What an example prints last is the account of what it did.
        assert!(printed.trim_end().ends_with("as it should be"), "{printed}");
        count += 1;
    }
    assert_eq!(count, 3);
}
