//! Queues from a shell.

use crate::shell::Shell;

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
