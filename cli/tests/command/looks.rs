//! Looking at rings: `stat`, `ls`, `schema`, `check`, `doctor`, and what is said of a mistake.

use super::shell::Shell;
use std::path::Path;

/// The hints of a schema: what `sub` prints, `pub` takes; `stat` shows them; a wrong one is refused with its
/// place.
#[test]
fn values_are_shown_as_the_schema_says() {
    let shell = Shell::new();
    let schema =
        "Trade{t:u64(time),price:i64(exponent=-4;unit=USD),who:u8[7](text),side:u8(0=buy;1=sell)}";
    shell.ok(&["create", "trades", "--schema", schema]);
    let line = concat!(
        r#"{"t":"2026-01-31T23:59:59.000000001Z","price":99.5,"who":"SLIP","side":"sell"}"#,
        "\n",
        r#"{"t":0,"price":-922337203685477.5808,"who":[255,0,0,0,0,0,0],"side":7}"#,
        "\n"
    );
    let arguments = ["pub", "trades", "--json", "--keep-open"];
    assert!(shell
        .with_input(&arguments, line.as_bytes())
        .status
        .success());
    let read = |flags: &[&str]| {
        let arguments = ["sub", "trades", "--from", "oldest", "-n", "2"];
        shell.ok(&[&arguments[..], flags].concat())
    };
    let printed = read(&[]);
    let expected = line
        .replace("\"t\":0", "\"t\":\"1970-01-01T00:00:00Z\"")
        .replacen('{', "{\"sequence\":0,", 1)
        .replacen("\n{", "\n{\"sequence\":1,", 1);
    assert_eq!(printed, expected);
    assert_eq!(
        read(&["--format", "fields"]),
        "0: t 2026-01-31T23:59:59.000000001Z, price 99.5 USD, who \"SLIP\", side sell\n\
         1: t 1970-01-01T00:00:00Z, price -922337203685477.5808 USD, who [255 0 0 0 0 0 0], side 7\n"
    );
    assert!(shell
        .with_input(&arguments, printed.as_bytes())
        .status
        .success());
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["stat", "trades", "--json"])).unwrap();
    assert_eq!(stat["next_sequence"], 4);
    assert_eq!(stat["schema"], schema);
    assert_eq!(stat["fields"][1]["exponent"], -4);
    assert_eq!(stat["fields"][1]["unit"], "USD");
    assert_eq!(stat["fields"][2]["shown_as"], "text");
    assert_eq!(stat["fields"][3]["names"]["1"], "sell");
    assert!(shell.ok(&["stat", "trades"]).contains(schema));
    let inexact = shell.with_input(&arguments, br#"{"t":0,"price":0.00001,"who":"","side":0}"#);
    let errors = String::from_utf8(inexact.stderr).unwrap();
    assert!(
        errors.contains("message 1: field \"price\" must be price:i64"),
        "{errors}"
    );
    // Other hints are no other type, and are reported.
    let bare = "Trade{t:u64,price:i64,who:u8[7],side:u8}";
    let there = shell.run(&["create", "trades", "--if-missing", "--schema", bare]);
    let errors = String::from_utf8(there.stderr).unwrap();
    assert!(
        there.status.success() && errors.contains("with another schema"),
        "{errors}"
    );
    let refused = shell.fails(2, &["create", "x", "--schema", "price:f64(exponent=-4)"]);
    assert!(
        refused.contains("\"price\"") && refused.contains("byte 10"),
        "{refused}"
    );
}

/// A schema file goes into the ring and comes out again, byte by byte.
#[test]
fn a_schema_file_is_kept_beside_the_messages() {
    let shell = Shell::new();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("orders.xml");
    let bytes: Vec<u8> = (0..70_000u32).map(|n| (n * 7) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = path.to_str().unwrap();
    let create = |name, flags: &[&'static str]| {
        let arguments = ["create", name, "--schema-file", file];
        [&arguments[..], flags]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let run = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shell.run(&arguments)
    };
    assert_eq!(
        run(create("orders", &[])).status.code(),
        Some(2),
        "without a kind"
    );
    assert_eq!(
        run(create("orders", &["--schema-kind", "S B E"]))
            .status
            .code(),
        Some(2)
    );
    assert!(run(create("orders", &["--schema-kind", "sbe"]))
        .status
        .success());
    let dumped = shell.run(&["schema", "orders", "--file"]);
    assert!(dumped.status.success() && dumped.stdout == bytes);
    let stat = shell.ok(&["stat", "orders"]);
    assert!(stat.contains("sbe, \"orders.xml\", 70,000 bytes"), "{stat}");
    let stat: serde_json::Value =
        serde_json::from_str(&shell.ok(&["stat", "orders", "--json"])).unwrap();
    let expected = serde_json::json!({ "kind": "sbe", "name": "orders.xml", "bytes": 70_000 });
    assert_eq!(stat["schema_file"], expected);
    let none = shell.fails(3, &["schema", "orders"]);
    assert!(none.contains("has no schema of its fields"), "{none}");
    assert!(none.contains("`slipring schema orders --file`"), "{none}");
    shell.ok(&["create", "bare"]);
    let none = shell.fails(3, &["schema", "bare"]);
    assert!(none.contains("has no schema of its fields") && !none.contains("--file"));
    // Another one that was asked for is reported.
    let flags = [
        "--schema-kind",
        "sbe",
        "--schema-name",
        "other",
        "--if-missing",
    ];
    let there = run(create("orders", &flags));
    let errors = String::from_utf8(there.stderr).unwrap();
    assert!(
        there.status.success() && errors.contains("another opaque schema"),
        "{errors}"
    );
    std::fs::write(&path, vec![0; (1 << 20) + 1]).unwrap();
    let refused = run(create("large", &["--schema-kind", "sbe"]));
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(errors.contains("more than the 1048576 bytes"), "{errors}");
    shell.ok(&["create", "typed", "--schema", "a:u64(time)"]);
    assert_eq!(shell.ok(&["schema", "typed"]), "Message{a:u64(time)}\n");
    assert!(shell
        .fails(3, &["schema", "typed", "--file"])
        .contains("has no schema file"));
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
    for name in ["/camera/front", "./camera/front", "camera/front"] {
        let output = shell.run(&["create", name]);
        assert!(
            [2, 3].map(Some).contains(&output.status.code()),
            "{output:?}"
        );
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("a name has no / in it"), "{errors}");
    }
    for (form, name) in [
        ("sem", "semaphore"),
        ("queue", "queue"),
        ("mailbox", "mailbox"),
    ] {
        let missing = shell.fails(3, &[form, "stat", "none"]);
        assert!(missing.contains(&format!("no {name} at")), "{missing}");
        assert!(
            missing.contains(&format!("slipring {form} create")),
            "{missing}"
        );
    }
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

    let holder = slipring::Ring::open(Path::new(&shell.path("x"))).unwrap();
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
    let ring = slipring::Ring::open(Path::new(&shell.path("a"))).unwrap();
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
fn stat_says_who_made_a_ring_and_where_its_messages_come_from() {
    let shell = Shell::new();
    let maker = format!("slipring {}", env!("CARGO_PKG_VERSION"));
    let parsed = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    shell.ok(&["create", "own"]);
    let own = parsed(shell.ok(&["stat", "own", "--json"]));
    assert_eq!(own["maker"], maker);
    assert_eq!(own["origin"], serde_json::Value::Null);
    let text = shell.ok(&["stat", "own"]);
    assert!(text.contains(&maker) && !text.contains("origin"), "{text}");
    let origin = slipring::endpoint::Origin {
        id: 0xabc,
        epoch: 7,
        host: "exchange-3".to_owned(),
    };
    let path = shell.path("mirror");
    let builder = slipring::Ring::builder(Path::new(&path)).origin(origin);
    builder.create().unwrap();
    let id = format!("{:032x}", 0xabc);
    let mirror = parsed(shell.ok(&["stat", "mirror", "--json"]));
    let expected = serde_json::json!({ "id": id, "epoch": 7, "host": "exchange-3" });
    assert_eq!(mirror["origin"], expected);
    let text = shell.ok(&["stat", "mirror"]);
    let line = format!("ring {id} on exchange-3, epoch 7");
    assert!(text.contains(&line), "{text}");
}

#[test]
fn stat_counts_what_readers_missed() {
    use slipring::{endpoint::TryReceiveError, Received, Ring, Start};
    let shell = Shell::new();
    shell.ok(&["create", "a", "--capacity", "4K", "--evict-after", "1us"]);
    let stat =
        || serde_json::from_str::<serde_json::Value>(&shell.ok(&["stat", "a", "--json"])).unwrap();
    let counts = |stat: &serde_json::Value| {
        ["messages_lost", "times_lost", "evictions", "expulsions"]
            .map(|count| stat[count].as_u64().unwrap())
    };
    let ring = Ring::open(Path::new(&shell.path("a"))).unwrap();
    let mut producer = ring.producer().unwrap();
    assert_eq!(counts(&stat()), [0; 4]);
    assert!(shell
        .ok(&["stat", "a"])
        .contains("no message by any reader"));
    // An observer that is lapped, a consumer that is evicted until it is expelled.
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let (mut lost, mut times, mut by_consumer) = (0, 0, [0; 2]);
    let expelled = loop {
        let before = ring.status().unwrap().evictions;
        while ring.status().unwrap().evictions == before {
            producer.publish(&[0; 100]).unwrap();
        }
        match consumer.try_receive() {
            Ok(message) => {
                let missed = message.missed();
                drop(message);
                by_consumer = [by_consumer[0] + missed, by_consumer[1] + 1];
                (lost, times) = (lost + missed, times + 1);
                let row = &stat()["readers"][1];
                assert_eq!([&row["messages_lost"], &row["times_lost"]], by_consumer);
            }
            Err(TryReceiveError::Expelled { next }) => break next,
            Err(other) => panic!("{other}"),
        }
    };
    let Ok(Received::Lapped { lost: more, .. }) = observer.try_receive() else {
        panic!("not lapped");
    };
    (lost, times) = (lost + more, times + 1);
    let row = &stat()["readers"][0];
    assert_eq!([&row["messages_lost"], &row["times_lost"]], [more, 1]);
    drop(consumer);
    let left = stat();
    assert_eq!(left["readers"].as_array().unwrap().len(), 1);
    assert_eq!(
        counts(&left),
        [lost, times, 17, 1],
        "expelled at {expelled}"
    );
    let text = shell.ok(&["stat", "a"]);
    assert!(text.contains("17, 1 of them expulsions"), "{text}");
    assert!(
        text.contains("by all readers together, at 17 times"),
        "{text}"
    );
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
fn a_directory_that_is_not_there_is_said_by_those_who_look_into_it() {
    let shell = Shell::new();
    let typo = shell.directory.path().join("typo");
    for verb in ["ls", "clean", "doctor"] {
        let output = shell
            .command(&[verb])
            .env("SLIPRING_DIR", &typo)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let expected = format!("there is no directory {}", typo.display());
        assert!(errors.contains(&expected), "{verb}: {errors:?}");
        let there = shell.run(&[verb]);
        assert!(!String::from_utf8_lossy(&there.stderr).contains("there is no directory"));
    }
}

/// Objects are compared with the specification. What is broken is named, and has a status of its own.
#[test]
fn objects_are_checked_rule_by_rule() {
    let shell = Shell::new();
    assert_eq!(shell.ok(&["check"]), "");
    shell.ok(&["create", "ticks"]);
    shell.ok(&["queue", "create", "jobs"]);
    assert!(shell
        .with_input(&["queue", "send", "jobs"], b"one\n")
        .status
        .success());
    let path = shell.path("ticks");
    let whole = shell.ok(&["check", "ticks"]);
    assert!(whole.starts_with(&format!("{path}: ring, ")), "{whole}");
    assert!(
        whole.contains("\n  description.magic: ok, SLIPRING\n"),
        "{whole}"
    );
    let directory = shell.directory.path().to_str().unwrap();
    for arguments in [&["check", "--brief"][..], &["check", "--brief", directory]] {
        let brief = shell.ok(arguments);
        let kinds: Vec<&str> = brief
            .lines()
            .map(|line| line.split(": ").nth(1).unwrap())
            .collect();
        let kinds: Vec<&str> = kinds
            .iter()
            .map(|kind| kind.split(',').next().unwrap())
            .collect();
        assert_eq!(kinds, ["queue", "lane", "ring"], "{brief}");
    }
    for (arguments, code) in [
        (["check", "none"], 3),
        (["check", "/nowhere/none"], 3),
        (["check", "a/b"], 2),
    ] {
        shell.fails(code, &arguments);
    }

    let control = std::fs::OpenOptions::new()
        .write(true)
        .open(Path::new(&path).join("control"));
    std::os::unix::fs::FileExt::write_all_at(&control.unwrap(), &[1, 0, 7], 14).unwrap();
    let checked = shell.run(&["check", "ticks", "--brief"]);
    assert_eq!(checked.status.code(), Some(9));
    assert!(checked.stderr.is_empty());
    let text = String::from_utf8(checked.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].ends_with(", 0 cannot tell, 2 wrong"), "{text}");
    assert!(
        lines[1].starts_with("  control.identity: wrong: found "),
        "{text}"
    );
    assert_eq!(
        lines[2],
        "  control.reserved: wrong: found 0x7 at 16, expected zero"
    );

    let checked = shell.run(&["check", "--json"]);
    assert_eq!(checked.status.code(), Some(9));
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (&json[0]["kind"], &json[0]["inside"][0]["kind"]),
        (&"queue".into(), &"lane".into())
    );
    let rules = json[1]["rules"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["rule"] == "control.reserved")
        .unwrap();
    let expected = serde_json::json!({
        "rule": "control.reserved",
        "demands": "the bytes of `control` without a field are zero",
        "section": "reference/protocol/rules#reserved-bytes-features-versions",
        "verdict": "wrong",
        "found": "0x7 at 16",
        "expected": "zero",
        "more": 0,
    });
    assert_eq!(rule, &expected);
    // One that cannot be opened is said, and the others are checked.
    shell.ok(&["rm", "ticks", "--force"]);
    std::fs::write(&path, "").unwrap();
    let checked = shell.run(&["check", "--brief"]);
    assert_eq!(checked.status.code(), Some(4));
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(
        text.contains("not checked: ") && text.contains("jobs: queue"),
        "{text}"
    );
}
