//! Every form but the ring, from a shell: each in a file of its own, and here what holds for several.

mod latest;
mod link;
mod mailbox;
mod pipe;
mod queue;
mod semaphore;
mod shared;
mod signals;

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// Every wait with a limit reports that the limit passed, and what it waited for.
#[test]
fn what_comes_too_late_is_said() {
    let shell = Shell::new();
    shell.ok(&["create", "ring"]);
    shell.ok(&["queue", "create", "jobs"]);
    shell.ok(&["mailbox", "create", "office"]);
    shell.ok(&["latest", "create", "config"]);
    shell.ok(&["shared", "create", "value"]);
    shell.ok(&["signal", "create", "control"]);
    shell.ok(&["fifo", "create", "stream"]);
    shell.ok(&["fifo", "create", "chat", "--both-ways"]);
    let cases: &[&[&str]] = &[
        &["sub", "ring"],
        &["queue", "receive", "jobs"],
        &["mailbox", "receive", "office"],
        &["mailbox", "request", "office", "x"],
        &["latest", "watch", "config"],
        &["shared", "watch", "value", "-n", "2"],
        &["signal", "listen", "control", "--as", "me"],
        &["link", "alice", "bob"],
        &["fifo", "read", "stream"],
        &["fifo", "write", "stream"],
        &["fifo", "connect", "chat"],
    ];
    for case in cases {
        let output = shell.run(&[case, &["--timeout", "5ms"][..]].concat());
        assert_eq!(output.status.code(), Some(124), "{case:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("in time"), "{case:?}: {errors}");
    }
    let serve = [
        "mailbox",
        "serve",
        "office",
        "--timeout",
        "5ms",
        "--",
        "cat",
    ];
    // It finds what the request left.
    let output = shell.run(&serve);
    assert_eq!(output.status.code(), Some(124));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in time"));
}

#[test]
fn a_conversation_ends_when_both_inputs_have_ended() {
    let shell = Shell::new();
    shell.ok(&["fifo", "create", "chat", "--both-ways"]);
    let cases: [[&[&str]; 2]; 2] = [
        [&["link", "alice", "bob"], &["link", "bob", "alice"]],
        [&["fifo", "connect", "chat"], &["fifo", "connect", "chat"]],
    ];
    for [one, other] in cases {
        let mut first = shell.start(one);
        let mut second = shell.start(other);
        let (mut to_second, mut to_first) =
            (first.stdin.take().unwrap(), second.stdin.take().unwrap());
        writeln!(to_second, "from one").unwrap();
        drop(to_second);
        // The other one goes on: it reads on, and what it says arrives.
        let mut line = String::new();
        let mut heard = BufReader::new(second.stdout.take().unwrap());
        heard.read_line(&mut line).unwrap();
        assert_eq!(line, "from one\n");
        writeln!(to_first, "from the other").unwrap();
        line.clear();
        let mut heard_back = BufReader::new(first.stdout.take().unwrap());
        heard_back.read_line(&mut line).unwrap();
        assert_eq!(line, "from the other\n");
        drop(to_first);
        assert!(first.wait().unwrap().success(), "{one:?}");
        assert!(second.wait().unwrap().success(), "{one:?}");
        line.clear();
        assert_eq!(heard.read_line(&mut line).unwrap(), 0, "{line}");
        assert_eq!(heard_back.read_line(&mut line).unwrap(), 0, "{line}");
    }
}

/// What `create --if-missing` says of something that exists with other settings.
#[test]
fn every_form_that_exists_says_in_what_it_differs() {
    let shell = Shell::new();
    for (verb, made, asked, expected) in [
        (
            &["create"][..],
            "--capacity=64K",
            "--capacity=128K",
            "capacity: 65536, not 131072",
        ),
        (
            &["queue", "create"],
            "--depth=64",
            "--depth=256",
            "depth: 64, not 256",
        ),
        (
            &["mailbox", "create"],
            "--depth=64",
            "--depth=256",
            "depth: 64, not 256",
        ),
        (
            &["latest", "create"],
            "--mode=0600",
            "--mode=0640",
            "mode: 0600, not 0640",
        ),
        (
            &["fifo", "create"],
            "--capacity=64K",
            "--capacity=128K",
            "capacity: 65536, not 131072",
        ),
        (
            &["shared", "create"],
            "--handles=4",
            "--handles=8",
            "handles: 4, not 8",
        ),
        (
            &["sem", "create"],
            "--handles=2",
            "--handles=3",
            "handles: 2, not 3",
        ),
        (
            &["signal", "create"],
            "--mode=0600",
            "--mode=0660",
            "mode: 0600, not 0660",
        ),
    ] {
        let name = verb[0];
        let arguments = |setting| [verb, &[name, setting, "--if-missing"]].concat();
        let errors = |setting| {
            let output = shell.run(&arguments(setting));
            assert!(output.status.success(), "{name}: {output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        assert_eq!(errors(made), "", "{name}");
        assert_eq!(errors(made), "", "{name}: the same again");
        let path = shell.directory.path().join(name);
        let expected = format!(
            "slipring: {} exists, with another {expected}\n",
            path.display()
        );
        assert_eq!(errors(asked), expected);
    }
}

#[test]
fn what_a_process_waits_at_is_neither_cleaned_nor_removed() {
    let shell = Shell::new();
    shell.ok(&["fifo", "create", "stream"]);
    let mut reader = shell
        .command(&["fifo", "read", "stream"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let fifo = slipring::Fifo::open(shell.directory.path().join("stream")).unwrap();
    while fifo.status().unwrap().ends[1].is_none() {
        std::thread::yield_now();
    }
    let cleaned = shell.ok(&["clean", "--all", "--yes"]);
    assert_eq!(cleaned, "nothing to remove\n");
    assert!(shell.fails(1, &["rm", "stream"]).contains("is in use"));
    shell.with_input(&["fifo", "write", "stream"], b"bytes");
    assert!(reader.wait().unwrap().success());
    // Whatever it is, `rm` removes it.
    shell.ok(&["sem", "create", "permits"]);
    shell.ok(&["rm", "stream", "permits"]);
    assert_eq!(
        shell.ok(&["clean", "--all", "--yes"]),
        "nothing to remove\n"
    );
}
