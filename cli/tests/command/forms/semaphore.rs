//! Semaphores from a shell.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn a_semaphore_from_a_shell() {
    let shell = Shell::new();
    shell.ok(&["sem", "create", "gpu", "--permits", "2", "--max", "3"]);
    assert_eq!(
        shell.ok(&["sem", "run", "gpu", "--", "echo", "hello"]),
        "hello\n"
    );
    let failed = shell.run(&["sem", "run", "gpu", "--", "sh", "-c", "exit 42"]);
    assert_eq!(failed.status.code(), Some(42));
    let mut holder = shell
        .command(&["sem", "run", "gpu", "-n", "2", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It runs once it has the permits.
    let mut line = String::new();
    let input = holder.stdin.as_mut().unwrap();
    input.write_all(b"running\n").unwrap();
    BufReader::new(holder.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "running\n");
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["stat", "gpu", "--json"])).unwrap();
    assert_eq!(
        (&stat["free"], &stat["held"], &stat["retired"]),
        (&0.into(), &2.into(), &1.into())
    );
    let late = shell.fails(
        124,
        &["sem", "run", "gpu", "--timeout", "10ms", "--", "true"],
    );
    assert!(late.contains("no permit came free"), "{late}");
    shell.ok(&["sem", "add", "gpu"]);
    shell.ok(&["sem", "run", "gpu", "--timeout", "60s", "--", "true"]);
    assert!(shell.fails(2, &["sem", "add", "gpu"]).contains("can be: 3"));
    // Killed, it leaves no permit behind; its child ends with its input.
    holder.kill().unwrap();
    holder.wait().unwrap();
    shell.ok(&[
        "sem",
        "run",
        "gpu",
        "-n",
        "3",
        "--timeout",
        "60s",
        "--",
        "true",
    ]);
    assert!(shell.ok(&["stat", "gpu"]).contains("3 free, 0 held"));
    shell.ok(&["sem", "run", "lock", "--create", "--", "true"]);
    assert!(shell.ok(&["ls"]).contains("semaphore"));
    shell.ok(&["rm", "lock", "gpu"]);
}
