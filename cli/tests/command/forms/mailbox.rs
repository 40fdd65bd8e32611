//! Mailboxes from a shell.

use crate::shell::Shell;

#[test]
fn a_mailbox_from_a_shell() {
    let shell = Shell::new();
    let path = shell.ok(&["mailbox", "create", "office", "--depth", "4"]);
    assert!(path.trim().ends_with("/office"));
    shell.ok(&[
        "mailbox",
        "send",
        "office",
        "--from",
        "alice",
        "the roof leaks",
    ]);
    let lines = shell.with_input(
        &["mailbox", "send", "office", "--from", "bob"],
        b"one\ntwo\n",
    );
    assert!(lines.status.success());
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["stat", "office", "--json"])).unwrap();
    assert_eq!(
        (&stat["kind"], &stat["waiting"]),
        (&"mailbox".into(), &3.into())
    );
    assert!(shell.ok(&["ls"]).contains("mailbox"));
    let first = shell.ok(&["mailbox", "receive", "office", "-n", "1", "--json"]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&first["sender"], &first["letter"], &first["wants_reply"]),
        (&"alice".into(), &"the roof leaks".into(), &false.into())
    );
    let rest = shell.run(&["mailbox", "receive", "office", "--timeout", "10ms"]);
    assert_eq!(rest.status.code(), Some(124));
    assert_eq!(rest.stdout, b"bob: one\nbob: two\n");
    // No process answers; one answers; the command of one fails.
    let ask = ["mailbox", "request", "office", "how are you?"];
    let late = shell.run(&[&ask[..], &["--timeout", "10ms"]].concat());
    assert_eq!(late.status.code(), Some(124));
    let serve = [
        "mailbox", "serve", "office", "-n", "2", "--", "tr", "a-z", "A-Z",
    ];
    let clerk = shell.start(&serve);
    assert_eq!(shell.ok(&ask), "HOW ARE YOU?\n");
    assert!(clerk.wait_with_output().unwrap().status.success());
    let stat = shell.ok(&["mailbox", "stat", "office"]);
    assert!(stat.contains("late replies   1"), "{stat}");
    let clerk = shell.start(&["mailbox", "serve", "office", "-n", "1", "--", "false"]);
    assert!(shell.fails(7, &ask).contains("no receiver will reply"));
    assert!(clerk.wait_with_output().unwrap().status.success());
    let sender = ["mailbox", "serve", "office", "-n", "1", "--", "sh", "-c"];
    let clerk = shell.start(&[&sender[..], &["echo dear $SLIPRING_SENDER"]].concat());
    let reply = shell.ok(&[&ask[..], &["--from", "carol"]].concat());
    assert_eq!(reply, "dear carol\n");
    assert!(clerk.wait_with_output().unwrap().status.success());
    shell.ok(&["mailbox", "create", "drop", "--one-way"]);
    assert!(shell
        .fails(1, &["mailbox", "request", "drop", "x"])
        .contains("letters only"));
    assert!(shell
        .fails(2, &["mailbox", "send", "drop", "--from", "a/b", "x"])
        .contains("not a name"));
    assert!(shell
        .fails(3, &["mailbox", "send", "none", "x"])
        .contains("no mailbox at"));
    assert!(shell
        .fails(4, &["queue", "send", "office", "x"])
        .contains("is a mailbox, not a queue"));
    shell.ok(&["rm", "office", "drop"]);
    assert!(!shell.ok(&["ls"]).contains("office"));
}
