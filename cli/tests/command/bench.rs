//! Measuring: the benchmarks and what they store, and what a ring says of its messages.

use super::shell::{write_script, Shell};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

#[test]
fn the_bench_measures_everybody_and_checks_what_arrives() {
    let shell = Shell::new();
    let arguments = [
        "bench",
        "--rounds",
        "1",
        "--sample",
        "1ms",
        "--sizes",
        "64",
        "--json",
        "--keep-all",
        "--seed",
        "7",
    ];
    let report: serde_json::Value = serde_json::from_str(&shell.ok(&arguments)).unwrap();
    let samples = report["samples"].as_array().unwrap();
    for contender in ["limit", "slots", "ring", "ring64", "batch", "pipe", "unix"] {
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
    assert_eq!(report["seed"], 7);
    assert!(report["states"].is_array() && report["discarded"].as_array().unwrap().is_empty());
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
        "--keep-all",
        "--out",
        &out,
    ]);
    assert!(table.contains("publish beside readers") && table.contains("to each reader"));
    let text = std::fs::read_to_string(&out).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut ran: Vec<(&str, &str, u64)> = report["samples"]
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
    // Whose turn it is, is drawn.
    ran.sort_unstable();
    let expected = [
        ("observer", "burst", 0),
        ("observer", "burst", 3),
        ("observer", "lossy", 1),
        ("ring", "burst", 0),
        ("ring", "burst", 3),
        ("ring", "fan-out", 3),
    ];
    assert_eq!(ran, expected);
    // One round is no figure.
    assert!(
        table.contains("too few R1") && !table.contains(") R"),
        "{table}"
    );
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
fn capacities_are_tried_by_those_who_have_one_and_the_best_is_shown() {
    let shell = Shell::new();
    let out = shell.path("capacities.json");
    let table = shell.ok(&[
        "bench",
        "--rounds",
        "1",
        "--sample",
        "1ms",
        "--sizes",
        "64",
        "--workloads",
        "one-way",
        "--capacities",
        "64K,1M",
        "--only",
        "limit,ring,pipe",
        "--keep-all",
        "--out",
        &out,
    ]);
    let text = std::fs::read_to_string(&out).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ran: Vec<(&str, Option<u64>)> = report["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| {
            let contender = sample["contender"].as_str().unwrap();
            (contender, sample["capacity"].as_u64())
        })
        .collect();
    let both = [Some(64 << 10), Some(1 << 20)];
    for contender in ["limit", "ring"] {
        for capacity in both {
            assert!(ran.contains(&(contender, capacity)), "{ran:?}");
        }
    }
    assert!(ran.contains(&("pipe", None)), "{ran:?}");
    assert_eq!(ran.len(), 5, "{ran:?}");
    assert!(table.contains("64K") || table.contains("1M"), "{table}");
    for capacities in ["100000", "4M,2K"] {
        assert!(shell
            .fails(2, &["bench", "--capacities", capacities])
            .contains("is not possible"));
    }
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
    assert!(report["alone"]["waits_at_a_random_moment"][0][1].is_number());

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

    // As many rounds as a comparison needs, in a state of the cores that does not change meanwhile.
    let mut report = report.clone();
    let rounds: Vec<serde_json::Value> = samples_of(&report, 6);
    report["samples"] = rounds.into();
    std::fs::write(&report_path, report.to_string()).unwrap();
    let output = shell.run(&[
        "bench",
        "diff",
        &report_path,
        &report_path,
        "--tolerance",
        "0",
    ]);
    assert!(output.status.success());
    let same = String::from_utf8(output.stdout).unwrap();
    assert!(same.contains("level") && !same.contains("worse"), "{same}");
    assert!(same.contains("6, 6"), "{same}");
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("one after the other"), "{warning}");
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
    // The table is data. The failed check is an error after it.
    let output = shell.run(&worse);
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8(output.stdout).unwrap().contains("worse"));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("worse by more than 50 %"), "{errors}");
    std::fs::write(&slower_path, "{\"samples\": []}").unwrap();
    let output = shell.run(&["bench", "diff", &report_path, &slower_path]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("nothing in common"), "{errors}");
    std::fs::write(&slower_path, "not json").unwrap();
    let output = shell.run(&["bench", "diff", &report_path, &slower_path]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(errors.contains("slower.json"), "{errors}");
    assert!(shell
        .fails(2, &["bench", "latency", "--size", "16"])
        .contains("from 24"));
    for (arguments, answer) in [
        (&["bench", "latency", "--rate", "0"][..], "expected a rate"),
        (
            &["bench", "latency", "--duration", "0s"],
            "greater than zero",
        ),
        (&["bench", "--sample", "0ms"], "greater than zero"),
    ] {
        let output = shell.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(answer));
    }
}

/// So many samples of each contender, all taken while a bounce took 100 ns.
fn samples_of(report: &serde_json::Value, rounds: usize) -> Vec<serde_json::Value> {
    let mut samples = Vec::new();
    for contender in ["ring", "park"] {
        let of = report["samples"].as_array().unwrap().iter();
        let mut first = of.filter(|s| s["contender"] == contender);
        let mut sample = first.next().unwrap().clone();
        sample["state"] = "near".into();
        sample["bounce_before_ns"] = 100.0.into();
        sample["bounce_after_ns"] = 100.0.into();
        samples.extend(std::iter::repeat_n(sample, rounds));
    }
    samples
}

#[test]
fn two_builds_take_turns() {
    let shell = Shell::new();
    let (other, log) = (shell.path("other"), shell.path("log"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> '{log}'\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_slipring")
    );
    write_script(Path::new(&other), &script);
    let output = shell.run(&[
        "bench",
        "diff",
        "--against",
        &other,
        "--rounds",
        "3",
        "--seed",
        "5",
        "--",
        "--sizes=64",
        "--only=pipe",
        "--sample=1ms",
        "--keep-all",
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("3 turns each, seed 5"), "{errors}");
    let called = std::fs::read_to_string(&log).unwrap();
    let expected = "bench --json --rounds 1 --sizes=64 --only=pipe --sample=1ms --keep-all";
    assert_eq!(called.lines().collect::<Vec<_>>(), [expected; 3]);
    // Beside other tests no two slices may be of one state: then there is nothing to compare.
    let table = String::from_utf8(output.stdout).unwrap();
    match output.status.code() {
        Some(0) => assert!(table.contains("too few"), "{table}"),
        status => {
            assert_eq!(status, Some(1));
            assert!(errors.contains("nothing in common"), "{errors}");
        }
    }
    for (arguments, answer) in [
        (&["bench", "diff", "a.json"][..], "required"),
        (
            &["bench", "diff", "a", "b", "--against", "c"],
            "cannot be used",
        ),
        (
            &["bench", "diff", "a", "b", "--rounds", "3"],
            "cannot be used",
        ),
    ] {
        let output = shell.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(answer), "{errors}");
    }
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
