//! Messages of rings: `pub` and `sub`, their ends, their errors, and cursors.

use super::shell::Shell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Child;

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
