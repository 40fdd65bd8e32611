//! Links from a shell.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn a_link_from_a_shell() {
    let shell = Shell::new();
    let side = |names: [&str; 2]| {
        shell
            .command(&["link", names[0], names[1]])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (mut alice, mut bob) = (side(["alice", "bob"]), side(["bob", "alice"]));
    let mut from_alice = BufReader::new(bob.stdout.take().unwrap()).lines();
    let mut from_bob = BufReader::new(alice.stdout.take().unwrap()).lines();
    let mut to_bob = alice.stdin.take().unwrap();
    let mut to_alice = bob.stdin.take().unwrap();
    writeln!(to_bob, "hello").unwrap();
    assert_eq!(from_alice.next().unwrap().unwrap(), "hello");
    writeln!(to_alice, "you there").unwrap();
    assert_eq!(from_bob.next().unwrap().unwrap(), "you there");
    let third = shell.fails(1, &["link", "alice", "bob"]);
    assert_eq!(
        third,
        format!("process {} is connected as alice already", alice.id())
    );
    let stat = shell.ok(&["link", "stat", "bob", "alice"]);
    assert!(stat.contains(&format!("process {}", bob.id())), "{stat}");
    assert!(shell.ok(&["ls"]).contains("alice..bob"));
    assert!(shell
        .ok(&["stat", "alice..bob", "--json"])
        .contains("\"link\""));
    // One is killed: the other prints the rest and ends.
    writeln!(to_alice, "bye").unwrap();
    assert_eq!(from_bob.next().unwrap().unwrap(), "bye");
    bob.kill().unwrap();
    bob.wait().unwrap();
    assert!(from_bob.next().is_none());
    assert!(alice.wait().unwrap().success());
    let late = shell.run(&["link", "alice", "bob", "--timeout", "10ms"]);
    assert_eq!(late.status.code(), Some(124));
    assert!(shell
        .fails(2, &["link", "a", "a"])
        .contains("two different names"));
    shell.ok(&["rm", "alice..bob"]);
}
