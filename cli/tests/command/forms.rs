//! Every form but the ring, from a shell.

use super::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn a_queue_from_a_shell() {
    let shell = Shell::new();
    let path = shell.ok(&["queue", "create", "jobs", "--depth", "8"]);
    assert!(path.trim().ends_with("/jobs"));
    assert!(shell
        .fails(1, &["queue", "create", "jobs"])
        .contains("already exists"));
    shell.ok(&["queue", "create", "jobs", "--if-missing"]);
    shell.ok(&["queue", "send", "jobs", "sweep the yard", "feed the cat"]);
    shell.ok(&[
        "queue",
        "send",
        "jobs",
        "--priority",
        "7",
        "put out the fire",
    ]);
    let lines = shell.with_input(&["queue", "send", "jobs"], b"one\ntwo\n");
    assert!(lines.status.success());
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["stat", "jobs", "--json"])).unwrap();
    assert_eq!((&stat["waiting"], &stat["lanes"]), (&5.into(), &2.into()));
    assert!(shell.ok(&["queue", "stat", "jobs"]).contains("5 wait"));
    assert!(shell.ok(&["ls"]).contains("queue"));
    let first = shell.ok(&["queue", "receive", "jobs", "-n", "1", "--json"]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["message"], "put out the fire");
    assert_eq!(
        (&first["priority"], &first["redelivered"]),
        (&7.into(), &false.into())
    );
    let rest = shell.run(&["queue", "receive", "jobs", "--timeout", "10ms"]);
    assert_eq!(rest.status.code(), Some(124));
    assert_eq!(
        String::from_utf8(rest.stdout).unwrap(),
        "sweep the yard\nfeed the cat\none\ntwo\n"
    );
    for _ in 0..8 {
        shell.ok(&["queue", "send", "jobs", "x"]);
    }
    let full = shell.fails(124, &["queue", "send", "jobs", "y", "--timeout", "10ms"]);
    assert!(full.contains("full"), "{full}");
    assert!(shell
        .fails(2, &["queue", "send", "jobs", "x", "-p", "8"])
        .contains("priority"));
    assert!(shell
        .fails(4, &["sub", "jobs"])
        .contains("is a queue, not a ring"));
    assert!(shell
        .fails(3, &["queue", "send", "none", "x"])
        .contains("no queue at"));
    shell.ok(&["rm", "jobs"]);
    assert!(!shell.ok(&["ls"]).contains("jobs"));
}

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
    shell.ok(&["sem", "run", "gpu", "--timeout", "10s", "--", "true"]);
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
        "10s",
        "--",
        "true",
    ]);
    assert!(shell.ok(&["stat", "gpu"]).contains("3 free, 0 held"));
    shell.ok(&["sem", "run", "lock", "--create", "--", "true"]);
    assert!(shell.ok(&["ls"]).contains("semaphore"));
    shell.ok(&["rm", "lock", "gpu"]);
}

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

#[test]
fn shared_values_from_a_shell() {
    let shell = Shell::new();
    shell.ok(&["shared", "create", "counter"]);
    shell.ok(&["shared", "set", "counter", "0"]);
    let update = [
        "shared",
        "update",
        "counter",
        "--",
        "awk",
        "{ print $1 + 1 }",
    ];
    // Several at once: none is lost.
    let mut updates: Vec<_> = (0..8)
        .map(|_| shell.command(&update).spawn().unwrap())
        .collect();
    for update in &mut updates {
        assert!(update.wait().unwrap().success());
    }
    assert_eq!(shell.ok(&["shared", "get", "counter"]).trim(), "8");
    // A command that fails changes nothing, and says so by its status.
    let failing = [
        "shared",
        "update",
        "counter",
        "--",
        "sh",
        "-c",
        "echo 99; exit 3",
    ];
    assert_eq!(shell.run(&failing).status.code(), Some(3));
    let json = shell.ok(&["shared", "get", "counter", "--json"]);
    assert!(
        json.contains("\"value\":\"8\"") && json.contains("\"version\":9"),
        "{json}"
    );
    let long = "x".repeat(257);
    assert!(shell
        .fails(2, &["shared", "set", "counter", &long])
        .contains("at most 256"));
    // One that is killed while it has the lock changes nothing either, and the next one is told.
    let mut killed = shell
        .command(&[
            "shared",
            "update",
            "counter",
            "--",
            "sh",
            "-c",
            "echo got; exec sleep 60 >&2",
        ])
        .spawn()
        .unwrap();
    let locked = ["shared", "set", "counter", "5", "--timeout", "1ms"];
    while shell.run(&locked).status.success() {
        std::thread::yield_now();
    }
    let before: u32 = shell
        .ok(&["shared", "get", "counter"])
        .trim()
        .parse()
        .unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let told = shell.run(&update);
    assert!(told.status.success());
    assert!(String::from_utf8_lossy(&told.stderr).contains("died while it held the lock"));
    let after: u32 = shell
        .ok(&["shared", "get", "counter"])
        .trim()
        .parse()
        .unwrap();
    assert_eq!(after, before + 1);
    assert!(shell.ok(&["stat", "counter"]).contains("handles"));
    assert!(shell.ok(&["ls"]).contains("shared"));
    shell.ok(&["rm", "counter"]);
}

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
fn a_queue_with_a_lease_from_a_shell() {
    let shell = Shell::new();
    let refused = |lease: &str| {
        let output = shell.run(&["queue", "create", "jobs", &format!("--lease={lease}")]);
        assert_eq!(output.status.code(), Some(2), "{lease}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("0").contains("greater than zero"));
    assert!(refused("0ms").contains("greater than zero"));
    assert!(refused("soon").contains("unknown unit"));
    for lease in ["1us", "721h"] {
        let told = refused(lease);
        assert!(told.contains("a lease of"), "{told}");
        assert!(told.contains("use 1ms to 2592000s"), "{told}");
    }
    assert!(refused("-5s").contains("unknown unit"));
    shell.ok(&["queue", "create", "jobs", "--lease", "1.5s"]);
    let stat = shell.ok(&["queue", "stat", "jobs"]);
    assert!(stat.contains("1.50 s for each message"), "{stat}");
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["queue", "stat", "jobs", "--json"])).unwrap();
    assert_eq!(stat["lease_ms"], 1500);
    let other = shell.run(&["queue", "create", "jobs", "--if-missing"]);
    let told = String::from_utf8(other.stderr).unwrap();
    assert!(told.contains("lease: 1.5s, not none"), "{told}");
    shell.ok(&["queue", "create", "none"]);
    let stat = shell.ok(&["queue", "stat", "none"]);
    assert!(!stat.contains("lease"), "{stat}");
}

#[test]
fn the_memory_of_a_lane_is_bounded_and_said_from_a_shell() {
    let shell = Shell::new();
    let create = |setting: &str| {
        let size = "--message-size=64KiB";
        shell.run(&["queue", "create", "jobs", "--depth=1024", size, setting])
    };
    for setting in [
        "--lane-bytes=256KiB",
        "--lane-bytes=600000",
        "--lane-bytes=0",
    ] {
        let refused = create(setting);
        assert_eq!(refused.status.code(), Some(2), "{setting}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("use a power of two from 524288"), "{told}");
    }
    // What was asked for is named, and not the capacity that follows.
    let numbers = ["--depth=60000", "--message-size=16MiB"];
    let told = shell.fails(2, &["queue", "create", "jobs", numbers[0], numbers[1]]);
    let asked = "a lane of 60000 messages of up to 16777216 bytes takes more than the";
    assert!(told.contains(asked) && !told.contains("capacity"), "{told}");
    let bounded = ["queue", "create", "bounded", numbers[0], numbers[1]];
    shell.ok(&[&bounded[..], &["--lane-bytes=128MiB"]].concat());
    let made = create("--lane-bytes=512KiB");
    assert!(made.status.success(), "{made:?}");
    let told = String::from_utf8(made.stderr).unwrap();
    let json = || -> serde_json::Value {
        serde_json::from_str(&shell.ok(&["queue", "stat", "jobs", "--json"])).unwrap()
    };
    assert_eq!(json()["lane_capacity"], 512 << 10);
    let bytes = json()["lane_bytes"].as_u64().unwrap();
    assert!(bytes < 600 << 10, "{bytes}");
    assert!(told.starts_with("slipring: each sender takes 5"), "{told}");
    assert!(told.ends_with(" for each priority it uses\n"), "{told}");
    shell.ok(&["queue", "send", "jobs", "a", "b"]);
    let stat = shell.ok(&["queue", "stat", "jobs"]);
    assert!(stat.contains("512 KiB of it for messages"), "{stat}");
    // A receiver that holds a message is said with it.
    let queue = slipring::Queue::open(shell.directory.path().join("jobs")).unwrap();
    let mut receiver = queue.receiver().unwrap();
    receiver.try_receive().unwrap().ack().unwrap();
    let row = receiver.row();
    let _held = receiver.try_receive().unwrap();
    let pid = std::process::id();
    let stat = shell.ok(&["queue", "stat", "jobs"]);
    let line = format!("process {pid} holds 1, the oldest is 1 of lane 0");
    assert!(stat.contains(&line), "{stat}");
    let expected = serde_json::json!([{
        "row": row, "pid": pid, "held": 1, "alive": true, "oldest": { "lane": 0, "number": 1 },
    }]);
    assert_eq!(json()["held_by"], expected);
}

#[test]
fn the_memory_of_a_queue_is_that_of_its_lanes_too() {
    let shell = Shell::new();
    shell.ok(&["queue", "create", "jobs", "--depth", "64"]);
    let listed = |name: &str| {
        let list: serde_json::Value = serde_json::from_str(&shell.ok(&["ls", "--json"])).unwrap();
        let entry = list.as_array().unwrap().iter().find(|e| e["name"] == name);
        entry.unwrap()["memory_bytes"].as_u64().unwrap()
    };
    let on_disk = |name: &str| {
        let mut folders = vec![shell.directory.path().join(name)];
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => bytes += entry.metadata().unwrap().len(),
                }
            }
        }
        bytes
    };
    let empty = listed("jobs");
    assert_eq!(empty, on_disk("jobs"));
    shell.ok(&["queue", "send", "jobs", "x"]);
    shell.ok(&["queue", "send", "jobs", "x", "-p", "7"]);
    let full = listed("jobs");
    assert_eq!(full, on_disk("jobs"));
    assert!(full > empty + 2 * 64 * 1024, "{empty}, {full}");

    shell.ok(&["mailbox", "create", "drop", "--depth", "64"]);
    shell.ok(&["mailbox", "send", "drop", "x"]);
    assert_eq!(listed("drop"), on_disk("drop"));
    let table = shell.ok(&["ls"]);
    let row = table.lines().find(|line| line.starts_with("jobs"));
    let words: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(words[1..3], ["queue", "-"], "{table}");
    // What clean would free is that, too.
    let shown = shell.run(&["clean", "--all"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&words[3..5].join(" ")), "{shown}{table}");
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
