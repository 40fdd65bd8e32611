//! Pipes from a shell, with and without a name.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn pipes_from_a_shell() {
    let shell = Shell::new();
    let numbers: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    let counted = shell.with_input(&["pipe", "--", "wc", "-l"], numbers.as_bytes());
    assert!(counted.status.success());
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "100000");
    let same = shell.with_input(&["pipe", "--", "cat"], numbers.as_bytes());
    assert!(same.stdout == numbers.as_bytes());
    let status = shell.with_input(&["pipe", "--", "sh", "-c", "exit 7"], b"");
    assert_eq!(status.status.code(), Some(7));
    // A command that does not read everything.
    let head = shell.with_input(&["pipe", "--", "head", "-n", "1"], numbers.as_bytes());
    assert!(head.status.success());
    assert_eq!(head.stdout, b"0\n");
}

#[test]
fn named_pipes_from_a_shell() {
    let shell = Shell::new();
    shell.ok(&["fifo", "create", "stream"]);
    let reader = shell
        .command(&["fifo", "read", "stream"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let numbers: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    let writer = shell.with_input(&["fifo", "write", "stream"], numbers.as_bytes());
    assert!(writer.status.success());
    let read = reader.wait_with_output().unwrap();
    assert!(read.status.success() && read.stdout == numbers.as_bytes());
    let late = shell.run(&["fifo", "read", "stream", "--timeout", "10ms"]);
    assert_eq!(late.status.code(), Some(124));
    assert!(shell
        .fails(2, &["fifo", "connect", "stream"])
        .contains("goes one way"));
    shell.ok(&["fifo", "create", "chat", "--both-ways"]);
    let side = || {
        shell
            .command(&["fifo", "connect", "chat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (mut one, mut other) = (side(), side());
    let mut to_other = one.stdin.take().unwrap();
    let mut to_one = other.stdin.take().unwrap();
    let mut at_other = BufReader::new(other.stdout.take().unwrap()).lines();
    let mut at_one = BufReader::new(one.stdout.take().unwrap()).lines();
    writeln!(to_other, "hello").unwrap();
    assert_eq!(at_other.next().unwrap().unwrap(), "hello");
    writeln!(to_one, "you too").unwrap();
    assert_eq!(at_one.next().unwrap().unwrap(), "you too");
    let stat = shell.ok(&["stat", "chat"]);
    assert!(stat.contains(&format!("process {}", one.id())), "{stat}");
    one.kill().unwrap();
    one.wait().unwrap();
    assert!(at_other.next().is_none());
    assert!(other.wait().unwrap().success());
    assert!(shell.ok(&["ls"]).contains("pipe"));
    shell.ok(&["rm", "chat"]);
    shell.ok(&["rm", "stream"]);
}
