//! Programs in C and C++ that check the library from within one process, with addresses, leaks and undefined behaviour checked.

mod support;

use std::process::Command;
use support::{compiled, finish, in_directory};

fn passes(source: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let program = compiled(source);
    finish(in_directory(Command::new(program), scratch.path()));
}

#[test]
fn ring() {
    passes("ring.c");
}

#[test]
fn refused() {
    passes("refused.c");
}

#[test]
fn threads() {
    passes("threads.c");
}

#[test]
fn forms() {
    passes("forms.c");
}

#[test]
fn cpp() {
    passes("cpp.cc");
}

#[test]
fn forms_in_cpp() {
    passes("forms.cc");
}

#[test]
fn pipes() {
    passes("pipes.c");
}

#[test]
fn values() {
    passes("values.c");
}
