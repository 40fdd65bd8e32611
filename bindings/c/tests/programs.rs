//! Programs in C and C++ that check the library from within one process, with addresses, leaks and undefined behaviour checked.

use std::process::Command;
use support::{compiled, finish, has_io_uring, in_directory};

fn passes(source: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let program = compiled(source);
    told(finish(in_directory(Command::new(program), scratch.path())));
}

/// Says what a program left out.
fn told(text: String) {
    for line in text.lines().filter(|line| line.starts_with("SKIPPED")) {
        println!("{line}");
    }
}

/// With the kernel in place of the thread that makes descriptors readable.
fn passes_by_io_uring(source: &str) {
    if has_io_uring() {
        let scratch = tempfile::tempdir().unwrap();
        let mut command = in_directory(Command::new(compiled(source)), scratch.path());
        command.env("SLIPRING_TEST_IO_URING", "1");
        told(finish(command));
    }
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
fn loans_in_cpp() {
    passes("loans.cc");
}

#[test]
fn waits_in_cpp() {
    passes("waits.cc");
}

/// Descriptors: who makes them readable, and what is refused.
#[test]
fn descriptors() {
    passes("descriptors.c");
}

/// Sides of links and named pipes that wait for each other in event loops.
#[test]
fn connecting() {
    passes("connecting.c");
}

#[test]
fn connecting_refused() {
    passes("connecting_refused.c");
}

#[test]
fn connecting_in_cpp() {
    passes("connecting.cc");
}

#[test]
fn descriptors_by_io_uring() {
    for source in [
        "descriptors.c",
        "connecting.c",
        "connecting_refused.c",
        "connecting.cc",
        "ring.c",
        "forms.c",
        "forms.cc",
        "cpp.cc",
        "waits.cc",
        "pipes.c",
        "values.c",
    ] {
        passes_by_io_uring(source);
    }
}

#[test]
fn pipes() {
    passes("pipes.c");
}

#[test]
fn numbers() {
    passes("numbers.c");
}

#[test]
fn states() {
    passes("states.c");
}

#[test]
fn deadlines() {
    passes("deadlines.c");
}

#[test]
fn values() {
    passes("values.c");
}
