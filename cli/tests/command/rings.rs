//! Rings: messages in and out, ends, errors, cursors, and keeping house.

use super::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
fn skipped_sequences_are_reported_in_their_place() {
    let shell = Shell::new();
    let published = shell.with_input(&["pub", "mirror", "--create", "--keep-open"], b"a\n");
    assert!(published.status.success());
    let skip =
        |to: &str, why: &str| ["pub", "mirror", "--skip-to", to, "--why", why].map(str::to_owned);
    let publish = |arguments: [String; 6], input: &[u8]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shell.with_input(&arguments, input)
    };
    assert!(publish(skip("900", "not-recorded"), b"b\n")
        .status
        .success());
    // The last is a gap that nothing follows, and to skip to the next one is to skip nothing.
    assert!(publish(skip("1000", "77"), b"").status.success());
    assert!(publish(skip("1000", "lost"), b"").status.success());
    let before = publish(skip("999", "lost"), b"");
    assert_eq!(before.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&before.stderr).contains("the next message is 1000"));

    let gap = |n: u64, at: u64, why: u32| {
        format!("{{\"skipped\":{{\"skipped\":{n},\"resumed_at\":{at},\"why\":{why}}}}}\n")
    };
    for from in [0u64, 1, 400, 899, 900, 901, 950, 1000] {
        for observe in [false, true] {
            let number = from.to_string();
            let mut arguments = vec![
                "sub",
                "mirror",
                "--timeout",
                "1ms",
                "-f",
                "json",
                "--from",
                &number,
            ];
            arguments.extend(observe.then_some("--observe"));
            let read = shell.run(&arguments);
            let mut expected = String::new();
            if from == 0 {
                expected += "{\"sequence\":0,\"text\":\"a\"}\n";
            }
            if from < 900 {
                let skipped = 900 - from.max(1);
                expected += &gap(skipped, 900, 2);
            }
            if from <= 900 {
                expected += "{\"sequence\":900,\"text\":\"b\"}\n";
            }
            if from < 1000 {
                expected += &gap(1000 - from.max(901), 1000, 77);
            }
            let printed = String::from_utf8(read.stdout).unwrap();
            assert_eq!(printed, expected, "from {from}, {observe}");
            let said = String::from_utf8(read.stderr).unwrap();
            let not_recorded = from < 900;
            assert_eq!(
                said.contains("up to 899 do not exist: not recorded"),
                not_recorded
            );
            assert_eq!(
                said.contains("up to 999 do not exist: reason 77"),
                from < 1000
            );
            let total = if from < 900 { 900 - from.max(1) } else { 0 }
                + 1000u64.saturating_sub(from.max(901));
            if observe && total > 0 {
                assert!(
                    said.contains(&format!(", lost 0, skipped {total}")),
                    "{said}"
                );
            }
        }
    }
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
fn a_publisher_waits_for_its_readers() {
    let shell = Shell::new();
    shell.ok(&["create", "all", "--readers", "2"]);
    let publish = |count: &str| ["pub", "all", "--wait-readers", count].map(String::from);
    let start = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shell.start(&arguments)
    };
    let mut writer = start(&publish("2"));
    let mut input = writer.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    drop(input);
    // Each would miss what had been published before it came.
    let readers = [0, 1].map(|_| shell.start(&["sub", "all", "--from", "latest"]));
    for reader in readers {
        assert_eq!(reader.wait_with_output().unwrap().stdout, b"one\ntwo\n");
    }
    assert!(writer.wait().unwrap().success());
    assert!(shell
        .fails(
            124,
            &["pub", "all", "--wait-readers", "1", "--timeout", "5ms"]
        )
        .contains("0 of 1"));
    assert!(shell
        .fails(2, &["pub", "all", "--wait-readers", "3"])
        .contains("2 rows"));
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

/// In a ring with a schema, each way to read the input refuses bytes of another size, says which message they
/// were, and publishes those before.
#[test]
fn bytes_that_do_not_fit_the_schema_are_refused_by_number() {
    let shell = Shell::new();
    let fits = [7u8; 16];
    let framed = |len: usize| [&(len as u32).to_le_bytes()[..], &vec![1; len]].concat();
    for len in [0usize, 1, 5, 15, 17, 200] {
        let wrong =
            format!("message 2: a message of {len} bytes does not fit the schema of the ring");
        let lines = [&[b'a'; 16][..], b"\n", &vec![b'b'; len], b"\n"].concat();
        let prefixed = [framed(16), framed(len)].concat();
        let cases: [(&[&str], Vec<u8>); 2] = [(&[], lines), (&["--length-prefixed"], prefixed)];
        for (flags, input) in cases {
            shell.ok(&["create", "typed", "--schema", "Q{a:u64,b:f64}"]);
            let output = shell.with_input(&[&["pub", "typed"], flags].concat(), &input);
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{errors}");
            assert!(
                errors.starts_with(&format!("slipring: {wrong}")),
                "{errors}"
            );
            assert!(errors.contains("--json"), "{errors}");
            let stat: serde_json::Value =
                serde_json::from_str(&shell.ok(&["stat", "typed", "--json"])).unwrap();
            assert_eq!(stat["next_sequence"], 1, "{flags:?}");
            shell.ok(&["rm", "typed"]);
        }
    }
    // Said before anything is published, and before any input is read.
    shell.ok(&["create", "typed", "--schema", "Q{a:u64,b:f64}"]);
    let output = shell.with_input(&["pub", "typed", "--record-size", "8"], &fits);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("--record-size must be 16"), "{errors}");
    let output = shell.with_input(&["pub", "typed", "--record-size", "16"], &fits);
    assert!(output.status.success());
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
fn ctrl_c_ends_in_order() {
    use std::os::unix::process::ExitStatusExt;
    if crate::shell::is_ignored(rustix::process::Signal::INT) {
        return;
    }
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
    assert_eq!(output.status.signal(), Some(2), "a shell says 130");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "slipring: received 0, lost 0\n"
    );

    let mut writer = shell.start(&["pub", "x"]);
    writer.stdin.as_mut().unwrap().write_all(b"said\n").unwrap();
    let ring = slipring::Ring::open(Path::new(&shell.path("x"))).unwrap();
    while ring.status().unwrap().next_sequence != Some(1) {
        std::thread::yield_now();
    }
    interrupt(&writer);
    // Its input stays open: the end of that would be another end.
    let input = writer.stdin.take();
    let status = writer.wait().unwrap();
    assert_eq!(status.signal(), Some(2), "a shell says 130");
    assert!(ring.status().unwrap().closed);
    drop(input);
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
        eprintln!("skipped: only root can become another user");
        return;
    }
    let shell = Shell::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(shell.directory.path(), open).unwrap();
    // The binary may lie where the other user cannot reach it.
    let binary = shell.directory.path().join("bin");
    crate::shell::copy_command(&binary);
    shell.ok(&["create", "private"]);
    shell.ok(&["create", "public", "--mode", "0644"]);
    shell.with_input(&["pub", "public"], b"for all\n");
    let unprivileged = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .args(arguments)
            .env("SLIPRING_DIR", shell.directory.path())
            .uid(65534)
            .gid(65534);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let refused = unprivileged(&["stat", "private"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no permission to open"));
    let refused = unprivileged(&["sub", "public", "--from", "oldest"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--observe"));
    // Only the remedy that applies.
    let refused = unprivileged(&["pub", "public"]);
    assert_eq!(refused.status.code(), Some(5));
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(errors.contains("only its owner publishes"), "{errors}");
    assert!(
        !errors.contains("--observe") && errors.contains("user 0"),
        "{errors}"
    );
    shell.ok(&["latest", "create", "table", "--mode", "0666"]);
    shell.ok(&["queue", "create", "jobs", "--mode", "0644"]);
    for verb in [
        &["latest", "set", "table", "x"][..],
        &["queue", "receive", "jobs"],
    ] {
        let refused = unprivileged(verb);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let errors = String::from_utf8(refused.stderr).unwrap();
        assert!(
            !errors.contains("observe") && errors.contains("user 0"),
            "{errors}"
        );
    }
    let observed = unprivileged(&["sub", "public", "--from", "oldest", "--observe"]);
    assert_eq!(String::from_utf8_lossy(&observed.stdout), "for all\n");
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
    // What 'clean' leaves alone is nothing to fix.
    let doctor = shell.ok(&["doctor"]);
    assert!(doctor.contains(&shell.path("over")) && !doctor.contains(&shell.path("idle")));
    assert!(shell.ok(&["clean", "--yes"]).contains("freed"));
    let left = shell.ok(&["ls"]);
    assert!(left.contains("idle") && !left.contains("over"));
    let doctor = shell.ok(&["doctor"]);
    assert!(!doctor.contains("slipring clean"), "{doctor}");
    shell.ok(&["clean", "--all", "--yes"]);
    assert!(!shell.ok(&["ls"]).contains("idle"));
    assert!(shell.ok(&["clean"]).contains("nothing to remove"));
}

#[test]
fn clean_keeps_what_a_producer_that_died_has_published() {
    let shell = Shell::new();
    shell.ok(&["create", "crashed"]);
    let mut writer = shell.start(&["pub", "crashed"]);
    let feed = writer.stdin.as_mut().unwrap();
    feed.write_all(b"unread\n").unwrap();
    let ring = slipring::Ring::open(Path::new(&shell.path("crashed"))).unwrap();
    while ring.status().unwrap().next_sequence != Some(1) {
        std::thread::yield_now();
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    drop(ring);
    let shown = shell.ok(&["clean", "--yes"]);
    assert!(shown.contains("died") && shown.contains("kept"), "{shown}");
    assert!(!shown.contains("closed"), "two things: {shown}");
    let output = shell.run(&["sub", "crashed", "--from", "oldest"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"unread\n");
    assert!(shell.ok(&["clean", "--yes", "--all"]).contains("died"));
    assert!(!shell.ok(&["ls"]).contains("crashed"));
}

#[test]
fn clean_keeps_what_is_made_to_be_opened_again() {
    let shell = Shell::new();
    shell.ok(&["fifo", "create", "stream"]);
    let reader = shell.start(&["fifo", "read", "stream"]);
    let writer = shell.with_input(&["fifo", "write", "stream"], b"x\n");
    assert!(writer.status.success());
    assert!(reader.wait_with_output().unwrap().status.success());
    shell.ok(&["latest", "set", "value", "x", "--create"]);
    shell.ok(&["clean", "--yes"]);
    let left = shell.ok(&["ls"]);
    assert!(left.contains("stream") && left.contains("value"), "{left}");
}

#[test]
fn clean_goes_on_after_what_it_may_not_remove() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become other users");
        return;
    }
    let shell = Shell::new();
    let sticky = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(shell.directory.path(), sticky).unwrap();
    let over = |uid: u32, name: &str| {
        let output = shell.as_user(uid, &["create", name, "--mode", "0666"], b"");
        assert!(output.status.success(), "{output:?}");
        let output = shell.as_user(uid, &["pub", name], b"x\n");
        assert!(output.status.success(), "{output:?}");
    };
    over(1001, "a-theirs");
    over(1002, "b-mine");
    over(1002, "c-stuck");
    over(1002, "d-mine");
    // A ring of its own whose files it may not remove either.
    let stuck = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(shell.path("c-stuck"), stuck).unwrap();
    let shown = shell.as_user(1002, &["doctor"], b"");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let (_, left) = shown.split_once("left over").unwrap();
    assert!(
        !left.contains("a-theirs") && left.contains("b-mine"),
        "{left}"
    );
    let output = shell.as_user(1002, &["clean", "--yes"], b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    let names = || {
        let directory = std::fs::read_dir(shell.directory.path()).unwrap();
        let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains('-')).collect::<Vec<_>>()
    };
    let names = names();
    assert!(names.contains(&"a-theirs".to_owned()), "{names:?}");
    assert!(!names.contains(&"b-mine".to_owned()), "{names:?}");
    assert!(!names.contains(&"d-mine".to_owned()), "{names:?}");
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("c-stuck"), "{errors}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("of other users") && shown.contains("freed"),
        "{shown}"
    );
    // Root is offered everything.
    let refused = shell.as_user(1002, &["rm", "a-theirs"], b"");
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(errors.contains("belongs to user 1001"), "{errors}");
    let shown = shell.as_user(0, &["clean"], b"");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("a-theirs"));
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

/// Needs root to become another user.
#[test]
fn a_stranger_at_an_isolated_ring_is_told_so() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let shell = Shell::new();
    let mut other = Command::new("true");
    if other.uid(64003).status().is_err() {
        println!("SKIPPED: needs root to become another user");
        return;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(shell.directory.path(), open).unwrap();
    let socket = shell.path("socket");
    let mut broker = shell.start(&["share", &socket, "--user", "64001"]);
    let mut said = String::new();
    BufReader::new(broker.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    for n in 0..100 {
        let verb = ["sub", "pub"][n % 2];
        let mut command = shell.command(&[verb, "--via", &socket]);
        let output = command.uid(64003).current_dir("/").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{errors}");
        assert!(errors.contains("does not let this user in"), "{errors}");
    }
    broker.kill().unwrap();
    broker.wait().unwrap();
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
    // A cursor of the broker, and forgetting it.
    let next = |cursor| {
        let arguments = [
            "sub", "--via", &socket, "--cursor", cursor, "--from", "oldest",
        ];
        let output = shell.run(&[&arguments[..], &["--count", "1"]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!((next("c"), next("c")), ("1\n".into(), "2\n".into()));
    let forget = ["forget", "--via", &socket, "c"];
    assert_eq!(shell.run(&forget).status.code(), Some(0));
    assert!(shell.fails(3, &forget).contains("no cursor c"));
    assert_eq!(next("c"), "1\n");
    for wrong in [
        &["forget", "--via", &socket, "c", "d"][..],
        &["forget", "c"],
    ] {
        assert_eq!(shell.run(wrong).status.code(), Some(2));
    }
    broker.kill().unwrap();
    broker.wait().unwrap();
}

#[test]
fn a_subscriber_of_a_closed_ring_says_so() {
    let shell = Shell::new();
    shell.ok(&["create", "ticks"]);
    let said = || String::from_utf8(shell.run(&["sub", "ticks"]).stderr).unwrap();
    assert!(shell.with_input(&["pub", "ticks"], b"").status.success());
    assert!(said().contains("with nothing in it"), "{}", said());
    assert!(shell
        .with_input(&["pub", "ticks"], b"a\nb\n")
        .status
        .success());
    let said = said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("closed after message 1"), "{said}");
    assert!(
        said.contains("--from oldest") && said.contains("--follow"),
        "{said}"
    );
    let printed = shell.run(&["sub", "ticks", "--from", "oldest"]);
    assert!(printed.stderr.is_empty());
}

#[test]
fn a_subscriber_that_follows_goes_on_over_closes_and_deaths() {
    let shell = Shell::new();
    for flags in [&[][..], &["--observe"], &["--cursor", "me"]] {
        let follow = ["sub", "log", "--wait", "--follow", "--from", "oldest"];
        let mut reader = shell.start(&[&follow[..], flags].concat());
        let mut errors = BufReader::new(reader.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert!(line.contains("waiting for"), "{line}");
        shell.ok(&["create", "log"]);
        let mut output = BufReader::new(reader.stdout.take().unwrap());
        let mut next = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line
        };
        for word in ["one\n", "two\n"] {
            assert!(shell
                .with_input(&["pub", "log"], word.as_bytes())
                .status
                .success());
            assert_eq!(next(), word);
        }
        let mut writer = shell.start(&["pub", "log"]);
        writer
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"three\n")
            .unwrap();
        assert_eq!(next(), "three\n");
        writer.kill().unwrap();
        writer.wait().unwrap();
        while !line.contains("waiting for the next producer") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0);
        }
        assert!(shell
            .with_input(&["pub", "log"], b"four\n")
            .status
            .success());
        assert_eq!(next(), "four\n");
        reader.kill().unwrap();
        reader.wait().unwrap();
        shell.ok(&["rm", "log"]);
    }
    let late = shell.run(&["sub", "none", "--wait", "--timeout", "5ms"]);
    assert_eq!(late.status.code(), Some(124));
    let errors = String::from_utf8(late.stderr).unwrap();
    assert!(errors.contains("did not appear in time"), "{errors}");
}

#[test]
fn a_publisher_that_fails_does_not_close_the_ring() {
    let shell = Shell::new();
    shell.ok(&["create", "small", "--capacity", "4K"]);
    let input = [b"good\n".to_vec(), vec![b'x'; 2000]].concat();
    let failed = shell.with_input(&["pub", "small"], &input);
    assert_eq!(failed.status.code(), Some(1));
    let output = shell.run(&["sub", "small", "--from", "oldest"]);
    assert_eq!(output.stdout, b"good\n");
    assert_eq!(output.status.code(), Some(7), "no normal end");
    // The same where it is a consumer that it cannot pass.
    let ring = slipring::Ring::open(Path::new(&shell.path("small"))).unwrap();
    let consumer = ring.consumer(slipring::Start::Latest).unwrap();
    let late = shell.with_input(
        &["pub", "small", "--timeout", "5ms"],
        &b"0123456789\n".repeat(1000),
    );
    assert_eq!(late.status.code(), Some(124));
    assert!(ring.status().unwrap().abandoned && !ring.status().unwrap().closed);
    drop(consumer);
    let kept = shell.with_input(&["pub", "small", "--keep-open"], &vec![b'x'; 2000]);
    assert_eq!(kept.status.code(), Some(1));
    assert!(!ring.status().unwrap().abandoned && !ring.status().unwrap().closed);
}

#[test]
fn a_reader_of_a_removed_ring_ends_with_a_status_of_its_own() {
    let shell = Shell::new();
    for observe in [false, true] {
        shell.ok(&["create", "gone"]);
        let mut arguments = vec!["sub", "gone"];
        arguments.extend(observe.then_some("--observe"));
        let reader = shell.start(&arguments);
        shell.attached("gone");
        shell.ok(&["rm", "gone", "--force"]);
        shell.ok(&["create", "gone"]);
        let output = reader.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{errors}");
        assert!(errors.contains("was removed"), "{errors}");
        shell.ok(&["rm", "gone"]);
    }
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

#[test]
fn a_ring_of_another_boot_is_recovered_by_its_name() {
    use std::os::unix::fs::FileExt;
    let shell = Shell::new();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = scratch.path().join("ring");
    let ring = path.to_str().unwrap();
    shell.ok(&["create", ring, "--capacity", "64K"]);
    let status = |arguments: &[&str]| shell.run(arguments).status.code();
    let text = shell.ok(&["recover", ring]);
    assert!(text.contains("nothing to recover"), "{text}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&shell.ok(&["recover", ring, "--json"])).unwrap()
            ["recovered"],
        serde_json::Value::Null
    );
    assert!(shell
        .with_input(&["pub", ring], b"one\ntwo\nthree\n")
        .status
        .success());
    let stream = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join("stream"))
        .unwrap();
    let mut page = [0; 4096];
    stream.read_exact_at(&mut page, 0).unwrap();
    page[128..144].fill(7);
    let sum = page[..4088]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
    page[4088..].copy_from_slice(&sum.to_le_bytes());
    stream.write_all_at(&page, 0).unwrap();
    if status(&["sub", ring, "--from", "oldest"]) == Some(0) {
        eprintln!("skipped: the project lies in memory");
        return;
    }
    assert_eq!(status(&["sub", ring, "--from", "oldest"]), Some(4));
    let shown = shell.ok(&["stat", ring]);
    assert!(shown.contains("another boot"), "{shown}");
    let shown = shell.ok(&["stat", ring, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["other_boot"], true);
    let told = shell.ok(&["recover", ring]);
    assert!(told.contains("3 messages can be read, from 0 on"), "{told}");
    assert_eq!(
        shell.ok(&["sub", ring, "--from", "oldest"]),
        "one\ntwo\nthree\n"
    );
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

/// The bridge is a program of its own, which gets the arguments as they are and decides the exit status.
#[test]
fn the_bridge_is_another_program() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    let missing = shell
        .command(&["bridge", "serve", "ticks", "--listen", "tcp/0.0.0.0:1"])
        .env("PATH", shell.directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        said.contains("not installed") && said.lines().count() == 1,
        "{said}"
    );

    let program = shell.directory.path().join("slipring-bridge");
    std::fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 9\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", shell.directory.path().display());
    let run = shell
        .command(&["bridge", "mirror", "--help", "-x", "--", "a b", "--version"])
        .env("PATH", path)
        .output()
        .unwrap();
    let printed = String::from_utf8(run.stdout).unwrap();
    assert_eq!(printed, "mirror\n--help\n-x\n--\na b\n--version\n");
    assert_eq!(run.status.code(), Some(9));
}
