//! The command as a user runs it: what it prints, where, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

struct Shell {
    directory: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        Self { directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipring"));
        command
            .args(arguments)
            .env("SLIPRING_DIR", self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs to success; what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs to failure with this status; its one line.
    fn fails(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {errors}"
        );
        assert!(output.stdout.is_empty());
        assert_eq!(errors.lines().count(), 1, "one line: {errors}");
        errors.trim().strip_prefix("slipring: ").unwrap().to_owned()
    }

    fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut feed = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // Beside reading, for there may be more of both than the pipes hold.
            scope.spawn(move || {
                // A command need not read everything.
                if let Err(error) = feed.write_all(input) {
                    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
                }
            });
            child.wait_with_output().unwrap()
        })
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until a reader is attached.
    fn attached(&self, name: &str) {
        let ring = slipring::Ring::open_at(self.directory.path().join(name)).unwrap();
        while ring.status().readers.is_empty() {
            std::thread::yield_now();
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn lines_go_in_and_come_out() {
    let shell = Shell::new();
    assert_eq!(shell.ok(&["create", "ticks"]).trim(), shell.path("ticks"));
    let published = shell.with_input(&["pub", "ticks"], b"one\ntwo\n\nlast without end");
    assert!(published.status.success() && published.stdout.is_empty());
    let expected = "one\ntwo\n\nlast without end\n";
    assert_eq!(shell.ok(&["sub", "ticks", "--from", "oldest"]), expected);
    assert_eq!(
        shell.ok(&["sub", "ticks", "--from", "1", "--count", "1"]),
        "two\n"
    );
    assert_eq!(
        shell.ok(&["sub", "ticks", "--from", "0", "-n", "1", "-f", "hex"]),
        "6f6e65\n"
    );
    let observed = shell.run(&["sub", "ticks", "--from", "oldest", "--observe"]);
    assert_eq!(String::from_utf8(observed.stdout).unwrap(), expected);
    assert_eq!(
        String::from_utf8(observed.stderr).unwrap(),
        "slipring: received 4, lost 0\n"
    );
    shell.ok(&["rm", "ticks"]);
    assert_eq!(
        std::fs::read_dir(shell.directory.path()).unwrap().count(),
        0
    );
}

#[test]
fn a_subscriber_prints_at_once_and_ends_with_the_producer() {
    let shell = Shell::new();
    shell.ok(&["create", "live"]);
    let mut reader = shell.start(&["sub", "live"]);
    shell.attached("live");
    let mut writer = shell.start(&["pub", "live"]);
    let mut output = BufReader::new(reader.stdout.take().unwrap());
    for word in ["first", "second"] {
        writeln!(writer.stdin.as_mut().unwrap(), "{word}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            word,
            "through a pipe, without waiting for more"
        );
    }
    drop(writer.stdin.take());
    assert!(writer.wait().unwrap().success());
    assert!(reader.wait().unwrap().success());
}

#[test]
fn a_subscriber_outlives_a_producer_that_keeps_the_ring_open() {
    let shell = Shell::new();
    shell.ok(&["create", "log"]);
    let reader = shell.start(&["sub", "log", "--count", "2"]);
    shell.attached("log");
    for line in ["a\n", "b\n"] {
        assert!(shell
            .with_input(&["pub", "log", "--keep-open"], line.as_bytes())
            .status
            .success());
    }
    assert_eq!(reader.wait_with_output().unwrap().stdout, b"a\nb\n");
}

#[test]
fn records_prefixes_and_json_are_messages_too() {
    let shell = Shell::new();
    let published = shell.with_input(&["pub", "raw", "--create", "--record-size", "3"], b"abcdef");
    assert!(published.status.success());
    assert_eq!(
        shell.ok(&["sub", "raw", "--from", "oldest", "-f", "raw"]),
        "abcdef"
    );
    assert_eq!(shell.ok(&["sub", "raw", "--from", "oldest"]), "abc\ndef\n");
    let framed = [
        &3u32.to_le_bytes()[..],
        b"xyz",
        &0u32.to_le_bytes(),
        &1u32.to_le_bytes(),
        b"!",
    ]
    .concat();
    assert!(shell
        .with_input(&["pub", "raw", "--length-prefixed"], &framed)
        .status
        .success());
    assert_eq!(shell.ok(&["sub", "raw", "--from", "2"]), "xyz\n\n!\n");

    shell.ok(&["create", "typed", "--schema", "Quote{time_ns:u64,bid:f64}"]);
    let line = r#"{"time_ns":5,"bid":99.5}"#;
    assert!(shell
        .with_input(&["pub", "typed", "--json"], line.as_bytes())
        .status
        .success());
    let printed = shell.ok(&["sub", "typed", "--from", "oldest"]);
    assert_eq!(printed, "{\"sequence\":0,\"time_ns\":5,\"bid\":99.5}\n");
    let text = shell.ok(&["sub", "raw", "--from", "2", "-n", "1", "-f", "json"]);
    assert_eq!(text, "{\"sequence\":2,\"text\":\"xyz\"}\n");
}

#[test]
fn input_that_is_not_a_message_says_which_one() {
    let shell = Shell::new();
    shell.ok(&["create", "small", "--capacity", "4K"]);
    let cases: [(&[&str], &[u8], &str); 6] = [
        (
            &[],
            &[b'x'; 2000],
            "message 1: the line is longer than the 1024 bytes",
        ),
        (
            &["--record-size", "4"],
            b"abcdef",
            "message 2: the input ends after 2 of its 4 bytes",
        ),
        (
            &["--record-size", "9999"],
            b"",
            "message 1: --record-size must be from 1 to 1024",
        ),
        (
            &["--length-prefixed"],
            &[255; 4],
            "message 1: its prefix says 4294967295 bytes",
        ),
        (
            &["--length-prefixed"],
            &[5, 0, 0, 0],
            "message 1: the input ends behind its prefix",
        ),
        (&["--json"], b"{}", "message 1: the ring has no schema"),
    ];
    for (flags, input, expected) in cases {
        let arguments = [&["pub", "small"], flags].concat();
        let output = shell.with_input(&arguments, input);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(
            errors.starts_with(&format!("slipring: {expected}")),
            "{errors}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_the_remedy() {
    let shell = Shell::new();
    let path = shell.path("none");
    let missing = format!("no ring at {path}: create it first, or check SLIPRING_DIR");
    for verb in ["stat", "sub", "pub", "rm"] {
        assert_eq!(shell.fails(3, &[verb, "none"]), missing);
    }
    assert!(shell.fails(2, &["stat", "a/b"]).contains("is not a name"));
    assert!(shell
        .fails(2, &["create", "x", "--capacity", "5000"])
        .contains("power of two"));
    assert!(shell
        .fails(2, &["create", "x", "--schema", "a:text"])
        .contains("unknown type"));
    assert!(shell
        .fails(1, &["create", "x", "--capacity", "1T"])
        .contains("no space"));
    shell.ok(&["create", "x"]);
    assert!(shell.fails(1, &["create", "x"]).contains("already exists"));
    shell.ok(&["create", "x", "--if-missing"]);
    assert!(shell
        .fails(1, &["sub", "x", "--from", "7"])
        .contains("has not been published"));
    assert!(shell
        .fails(124, &["sub", "x", "--timeout", "10ms"])
        .contains("in time"));

    let holder = slipring::Ring::open_at(shell.path("x")).unwrap();
    let producer = holder.producer().unwrap();
    let refused = shell.fails(1, &["pub", "x"]);
    assert!(refused.contains(&format!(
        "already has a producer (process {})",
        std::process::id()
    )));
    assert!(shell.fails(1, &["rm", "x"]).contains("--force"));
    drop(producer);

    let stream = Path::new(&shell.path("x")).join("stream");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&stream)
        .unwrap()
        .set_len(100)
        .unwrap();
    assert!(shell.fails(4, &["stat", "x"]).contains("was cut short"));
    std::fs::write(&stream, vec![b'x'; 5000]).unwrap();
    assert!(shell
        .fails(4, &["stat", "x"])
        .contains("not a slipring stream"));
    shell.ok(&["rm", "--force", "x"]);
}

#[test]
fn json_says_what_the_tables_say() {
    let shell = Shell::new();
    shell.ok(&["create", "a", "--capacity", "64K", "--schema", "n:u64"]);
    std::fs::create_dir(shell.path("broken")).unwrap();
    let ring = slipring::Ring::open_at(shell.path("a")).unwrap();
    let mut producer = ring.producer().unwrap();
    let consumer = ring.consumer(slipring::Start::Latest).unwrap();
    producer.publish(&[0; 8]).unwrap();
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["stat", "a", "--json"])).unwrap();
    assert_eq!(stat["next_sequence"], 1);
    assert_eq!(stat["capacity_bytes"], 65536);
    assert_eq!(stat["schema"], "Message{n:u64}");
    assert_eq!(stat["producer"], "alive");
    assert_eq!(stat["readers"][0]["pid"], std::process::id());
    let list: serde_json::Value = serde_json::from_str(&shell.ok(&["ls", "--json"])).unwrap();
    assert_eq!(
        (&list[0]["name"], &list[1]["name"]),
        (&"a".into(), &"broken".into())
    );
    assert!(list[1]["error"].as_str().unwrap().contains("missing"));
    drop(consumer);
    drop(producer);
    let table = shell.ok(&["ls"]);
    assert!(table.lines().nth(1).unwrap().contains("closed"), "{table}");
    assert!(
        shell.ok(&["stat", "a"]).contains("1 behind")
            || shell.ok(&["stat", "a"]).contains("0 of 32")
    );
}

#[test]
fn ctrl_c_ends_in_order() {
    let shell = Shell::new();
    shell.ok(&["create", "x"]);
    let interrupt = |child: &Child| {
        let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    };
    let reader = shell.start(&["sub", "x"]);
    shell.attached("x");
    interrupt(&reader);
    let output = reader.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "slipring: received 0, lost 0\n"
    );

    let mut writer = shell.start(&["pub", "x"]);
    writer.stdin.as_mut().unwrap().write_all(b"said\n").unwrap();
    let ring = slipring::Ring::open_at(shell.path("x")).unwrap();
    while ring.status().next_sequence != Some(1) {
        std::thread::yield_now();
    }
    interrupt(&writer);
    let output = writer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(ring.status().closed);
}

#[test]
fn a_closed_pipe_ends_a_subscriber_quietly() {
    let shell = Shell::new();
    let lines: Vec<u8> = (0..50_000)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    shell.ok(&["create", "x", "--capacity", "2M"]);
    assert!(shell.with_input(&["pub", "x"], &lines).status.success());
    let mut reader = shell.start(&["sub", "x", "--from", "oldest"]);
    let mut line = String::new();
    let mut output = BufReader::new(reader.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    drop(output);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn without_permission_to_write_one_can_still_observe() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let shell = Shell::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(shell.directory.path(), open).unwrap();
    // The binary may lie where the other user cannot reach it.
    let binary = shell.directory.path().join("bin");
    std::fs::copy(env!("CARGO_BIN_EXE_slipring"), &binary).unwrap();
    shell.ok(&["create", "private"]);
    shell.ok(&["create", "public", "--mode", "0644"]);
    shell.with_input(&["pub", "public"], b"for all\n");
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .args(arguments)
            .env("SLIPRING_DIR", shell.directory.path())
            .uid(65534)
            .gid(65534);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let refused = nobody(&["stat", "private"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no permission to open"));
    let refused = nobody(&["sub", "public", "--from", "oldest"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--observe"));
    let refused = nobody(&["pub", "public"]);
    assert_eq!(refused.status.code(), Some(5));
    let observed = nobody(&["sub", "public", "--from", "oldest", "--observe"]);
    assert_eq!(String::from_utf8_lossy(&observed.stdout), "for all\n");
}

#[test]
fn the_demo_accounts_for_every_tick() {
    let shell = Shell::new();
    let output = shell.ok(&["demo", "--ticks", "40000", "--rate", "0", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["feed"]["published"], 40000);
    for part in ["strategy", "risk"] {
        assert_eq!(report["parts"][part]["received"], 40000);
    }
    let dashboard = &report["parts"]["dashboard"];
    let sum = dashboard["received"].as_u64().unwrap() + dashboard["lost"].as_u64().unwrap();
    assert_eq!(sum, 40000);
}

#[test]
fn the_bench_measures_everybody_and_checks_what_arrives() {
    let shell = Shell::new();
    let arguments = [
        "bench", "--rounds", "1", "--sample", "1ms", "--sizes", "64", "--json",
    ];
    let report: serde_json::Value = serde_json::from_str(&shell.ok(&arguments)).unwrap();
    let samples = report["samples"].as_array().unwrap();
    for contender in ["raw", "ring", "ring64", "batch", "pipe", "unix"] {
        assert!(
            samples
                .iter()
                .any(|sample| sample["contender"] == contender),
            "{contender}"
        );
    }
    assert!(samples
        .iter()
        .all(|sample| sample["measured"]["nanos"].as_f64().unwrap() > 0.0));
    assert!(report["machine"]["kernel"].is_string());
    assert!(shell
        .fails(2, &["bench", "--sizes", "7"])
        .contains("multiples of 8"));
    let out = shell.path("fans.json");
    let table = shell.ok(&[
        "bench",
        "--rounds",
        "1",
        "--sample",
        "1ms",
        "--sizes",
        "64",
        "--workloads",
        "burst,fan-out,lossy",
        "--readers",
        "0,3",
        "--only",
        "ring,observer",
        "--out",
        &out,
    ]);
    assert!(table.contains("publish beside readers") && table.contains("to each reader"));
    let text = std::fs::read_to_string(&out).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ran: Vec<(&str, &str, u64)> = report["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| {
            (
                sample["contender"].as_str().unwrap(),
                sample["workload"].as_str().unwrap(),
                sample["readers"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("ring", "burst", 0),
        ("observer", "burst", 0),
        ("ring", "burst", 3),
        ("observer", "burst", 3),
        ("ring", "fan-out", 3),
        ("observer", "lossy", 1),
    ];
    assert_eq!(ran, expected);
    assert!(shell
        .fails(2, &["bench", "--workloads", "magic"])
        .contains("no workload"));
    assert!(shell
        .fails(2, &["bench", "--only", "magic"])
        .contains("no contender"));
    for command in [&["bench"][..], &["bench", "latency"]] {
        let pinned = |cores| shell.fails(2, &[command, &["--pin", cores]].concat());
        assert!(pinned("0,99999").contains("--pin 99999 is not possible: this process may run on"));
        assert!(pinned("0").contains("takes two cores"));
    }
    assert!(shell
        .fails(1, &["bench", "--only", "ring", "--workloads", "lossy"])
        .contains("none of the contenders takes part"));
}

#[test]
fn latencies_are_counted_from_when_messages_were_due_and_results_can_be_compared() {
    let shell = Shell::new();
    let out = shell.path("results");
    let arguments = [
        "bench",
        "latency",
        "--rate",
        "20k",
        "--duration",
        "60ms",
        "--rounds",
        "2",
        "--only",
        "ring,park",
        "--out",
        &out,
        "--json",
    ];
    let report: serde_json::Value = serde_json::from_str(&shell.ok(&arguments)).unwrap();
    let samples = report["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 4);
    for sample in samples {
        let total = |name: &str| -> u64 {
            let pairs = sample["measured"][name].as_array().unwrap();
            pairs.iter().map(|pair| pair[1].as_u64().unwrap()).sum()
        };
        // All but the first tenth, which is to warm up.
        assert_eq!(
            (sample["measured"]["count"].as_u64(), total("response")),
            (Some(1200), 1080)
        );
        assert_eq!(total("service"), 1080);
        let shown = sample["measured"]["percentiles"].as_array().unwrap();
        // 99.9 of 1080 messages would rest on one.
        assert_eq!(shown.last().unwrap()[0], 99.0);
        assert!(sample["achieved"].as_f64().unwrap() > 0.0);
    }
    assert!(report["clock"]["error_ns"].is_u64() && report["alone"]["longest"].is_u64());

    let report_path = format!("{out}/report.json");
    let files: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for contender in ["ring", "park"] {
        assert!(
            files
                .iter()
                .any(|f| f.starts_with(contender) && f.ends_with(".hgrm")),
            "{files:?}"
        );
    }
    assert!(files.iter().any(|f| f.ends_with(".svg")), "{files:?}");

    let same = shell.ok(&[
        "bench",
        "diff",
        &report_path,
        &report_path,
        "--tolerance",
        "0",
    ]);
    assert!(same.contains("level") && !same.contains("worse"), "{same}");
    let mut slower = report.clone();
    for sample in slower["samples"].as_array_mut().unwrap() {
        for pair in sample["measured"]["percentiles"].as_array_mut().unwrap() {
            pair[1] = (pair[1].as_u64().unwrap() + 60_000_000_000).into();
        }
    }
    let slower_path = shell.path("slower.json");
    std::fs::write(&slower_path, slower.to_string()).unwrap();
    let worse = [
        "bench",
        "diff",
        &report_path,
        &slower_path,
        "--tolerance",
        "50",
    ];
    // The table is data; that it does not pass is an error behind it.
    let output = shell.run(&worse);
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8(output.stdout).unwrap().contains("worse"));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("worse by more than 50 %"), "{errors}");
    std::fs::write(&slower_path, "{\"samples\": []}").unwrap();
    assert!(shell
        .fails(1, &["bench", "diff", &report_path, &slower_path])
        .contains("nothing in common"));
    std::fs::write(&slower_path, "not json").unwrap();
    assert!(shell
        .fails(4, &["bench", "diff", &report_path, &slower_path])
        .contains("slower.json"));
    assert!(shell
        .fails(2, &["bench", "latency", "--size", "16"])
        .contains("from 24"));
    let output = shell.run(&["bench", "latency", "--rate", "0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)
        .unwrap()
        .contains("expected a rate"));
}

#[test]
fn stat_says_what_messages_took() {
    let shell = Shell::new();
    shell.ok(&["create", "timed", "--stamps"]);
    assert!(shell
        .with_input(
            &["pub", "timed", "--keep-open"],
            "a\n".repeat(500).as_bytes()
        )
        .status
        .success());
    let reader = [
        "sub", "timed", "--from", "oldest", "--cursor", "c", "--count", "400",
    ];
    assert_eq!(shell.ok(&reader), "a\n".repeat(400));
    let mut child = shell
        .command(&["sub", "timed", "--cursor", "c"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..100 {
        assert_eq!(lines.next().unwrap().unwrap(), "a");
    }
    let said = shell.ok(&["stat", "timed"]);
    child.kill().unwrap();
    child.wait().unwrap();
    // A percentile with fewer than ten messages above it is not shown.
    assert!(
        said.contains("of 100 messages: p50 ") && !said.contains("p99 "),
        "{said}"
    );
    shell.ok(&["create", "plain"]);
    assert!(!shell.ok(&["stat", "plain"]).contains("latency"));
}

#[test]
fn clean_shows_first_and_keeps_what_may_be_wanted() {
    let shell = Shell::new();
    shell.ok(&["create", "idle"]);
    shell.ok(&["create", "over"]);
    assert!(shell.with_input(&["pub", "over"], b"x\n").status.success());
    let shown = shell.ok(&["clean"]);
    assert!(shown.contains(&shell.path("over")) && shown.contains("kept"));
    assert!(shown.contains("nothing was removed"));
    assert!(shell.ok(&["ls"]).contains("over"));
    assert!(shell.ok(&["doctor"]).contains(&shell.path("idle")));
    assert!(shell.ok(&["clean", "--yes"]).contains("freed"));
    let left = shell.ok(&["ls"]);
    assert!(left.contains("idle") && !left.contains("over"));
    shell.ok(&["clean", "--all", "--yes"]);
    assert!(!shell.ok(&["ls"]).contains("idle"));
    assert!(shell.ok(&["clean"]).contains("nothing to remove"));
}

#[test]
fn doctor_says_what_things_cost_and_how_to_fix_them() {
    let shell = Shell::new();
    let text = shell.ok(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 10);
    for check in checks {
        assert!(!check["found"].as_str().unwrap().is_empty(), "{check}");
        if check["verdict"] == "poor" {
            assert!(!check["cost"].as_str().unwrap().is_empty(), "{check}");
        }
    }
    assert!(shell.ok(&["doctor"]).contains("left over"));
}

#[test]
fn a_cursor_goes_on_where_the_command_left() {
    let shell = Shell::new();
    shell.ok(&["create", "log"]);
    let input = (1..=6).map(|n| format!("{n}\n")).collect::<String>();
    assert!(shell
        .with_input(&["pub", "log"], input.as_bytes())
        .status
        .success());
    let next = |count: &str| {
        shell.ok(&[
            "sub", "log", "--cursor", "me", "--from", "oldest", "-n", count,
        ])
    };
    assert_eq!(
        (next("2").as_str(), next("3").as_str()),
        ("1\n2\n", "3\n4\n5\n")
    );
    assert!(shell.ok(&["stat", "log"]).contains("cursor me"));
    shell.ok(&["forget", "log", "me"]);
    assert_eq!(
        shell
            .fails(3, &["forget", "log", "me"])
            .find("no cursor me"),
        Some(0)
    );
    assert_eq!(next("1"), "1\n");
}

#[test]
fn an_isolated_ring_is_shared_over_a_socket() {
    let shell = Shell::new();
    let socket = shell.path("socket");
    assert!(shell
        .fails(3, &["sub", "--via", &socket])
        .contains("slipring share"));
    let mut broker = shell.start(&["share", &socket]);
    let mut said = String::new();
    BufReader::new(broker.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said.trim(), socket);
    let reader = shell.start(&["sub", "--via", &socket, "--from", "oldest"]);
    let publish = |input: &[u8], more: &[&str]| {
        let arguments = [&["pub", "--via", &socket], more].concat();
        assert!(shell.with_input(&arguments, input).status.success());
    };
    // The reader follows from one producer's stream to the next one's, and ends with it.
    publish(b"1\n2\n", &["--keep-open"]);
    publish(b"3\n", &[]);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"1\n2\n3\n");
    broker.kill().unwrap();
    broker.wait().unwrap();
}

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
        .contains("no ring at"));
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
    // Nobody answers, somebody answers, somebody's command fails.
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
    assert!(shell.fails(7, &ask).contains("nobody will reply"));
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
        .contains("no ring at"));
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
    let nobody = shell.fails(3, &["signal", "send", "control", "1", "--to", "engine"]);
    assert!(nobody.contains("nobody listens"), "{nobody}");
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
    assert!(String::from_utf8_lossy(&told.stderr).contains("died before it was done"));
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
