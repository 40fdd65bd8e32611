//! Newest values from a shell.

use crate::shell::Shell;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn a_newest_value_from_a_shell() {
    let shell = Shell::new();
    shell.ok(&["latest", "create", "config", "--cells", "2"]);
    assert!(shell
        .fails(3, &["latest", "get", "config"])
        .contains("never set"));
    let mut watcher = shell
        .command(&["latest", "watch", "config", "-n", "2", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = BufReader::new(watcher.stdout.take().unwrap()).lines();
    for (version, value) in ["level=info", "level=debug"].iter().enumerate() {
        shell.ok(&["latest", "set", "config", value]);
        let line: serde_json::Value = serde_json::from_str(&seen.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&line["value"], &line["version"]),
            (&(*value).into(), &(version + 1).into())
        );
    }
    assert!(watcher.wait().unwrap().success());
    assert_eq!(shell.ok(&["latest", "get", "config"]), "level=debug\n");
    assert!(shell
        .with_input(&["latest", "set", "config", "-", "--cell", "1"], b"a\nb\n")
        .status
        .success());
    let other = shell.ok(&["latest", "get", "config", "--cell", "1", "--json"]);
    assert!(
        other.contains("\"version\":2") && other.contains("\"b\""),
        "{other}"
    );
    assert!(shell
        .fails(2, &["latest", "get", "config", "--cell", "2"])
        .contains("no cell 2"));
    let quiet = shell.run(&["latest", "watch", "config", "-n", "2", "--timeout", "10ms"]);
    assert_eq!(quiet.status.code(), Some(124));
    let long = "x".repeat(257);
    assert!(shell
        .fails(2, &["latest", "set", "config", &long])
        .contains("257 bytes"));
    assert!(shell.ok(&["stat", "config"]).contains("so far"));
    assert!(shell
        .ok(&["stat", "config", "--json"])
        .contains("\"writer_alive\":false"));
    shell.ok(&["latest", "set", "made", "x", "--create"]);
    assert!(shell.ok(&["ls"]).contains("latest"));
    shell.ok(&["rm", "config", "made"]);
}
