//! Signals from a shell.

use crate::shell::Shell;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn signals_from_a_shell() {
    let shell = Shell::new();
    shell.ok(&["signal", "create", "control"]);
    let absent = shell.fails(3, &["signal", "send", "control", "1", "--to", "engine"]);
    assert!(absent.contains("no listener has the name"), "{absent}");
    let mut listener = shell
        .command(&[
            "signal", "listen", "control", "--as", "engine", "--only", "1,9", "-n", "2",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while !shell.ok(&["stat", "control"]).contains("engine") {
        std::thread::yield_now();
    }
    assert!(shell
        .ok(&["stat", "control", "--json"])
        .contains("[\"engine\"]"));
    shell.ok(&["signal", "send", "control", "5", "--to", "engine"]);
    shell.ok(&["signal", "send", "control", "1", "--to", "engine"]);
    let mut seen = BufReader::new(listener.stdout.take().unwrap()).lines();
    assert_eq!(seen.next().unwrap().unwrap(), "1 1");
    shell.ok(&["signal", "send", "control", "9", "--to-all"]);
    assert_eq!(seen.next().unwrap().unwrap(), "9 1");
    assert!(listener.wait().unwrap().success());
    assert!(shell
        .fails(2, &["signal", "send", "control", "64", "--to-all"])
        .contains("0 to 63"));
    let quiet = shell.run(&[
        "signal",
        "listen",
        "control",
        "--as",
        "x",
        "--timeout",
        "10ms",
    ]);
    assert_eq!(quiet.status.code(), Some(124));
    assert!(shell.ok(&["ls"]).contains("signals"));
    shell.ok(&["rm", "control"]);
}
