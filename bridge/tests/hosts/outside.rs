//! A program that has nothing of this project: a Zenoh client of another language, and what the page of the bridge says.
//!
//! Needs python3 and the package index, once; says SKIPPED without.

use crate::ledger::{payload, plan, produce, Has};
use crate::process::{hosts, Running};
use slipring::Ring;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Python that has the client.
fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside-1.10.2");
    let python = folder.join("bin/python");
    let has = |python: &Path| {
        let mut command = Command::new(python);
        let command = command.args(["-c", "import zenoh"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if has(&python) {
        return Ok(python);
    }
    let run = |command: &mut Command| {
        let output = command.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "eclipse-zenoh==1.10.2"]))?;
    Ok(python)
}

/// What the client said of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message(String),
    Gap(u64),
}

#[test]
fn a_client_reads_a_served_ring_by_the_page_alone() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            println!("SKIPPED: no client from the package index: {why}");
            eprintln!("SKIPPED: no client from the package index: {why}");
            return;
        }
    };
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone())
        .capacity_bytes(16 << 20)
        .create()
        .unwrap();
    let longest = u64::from(ring.max_message_bytes());
    let mut producer = ring.producer().unwrap();
    let mut bytes = Vec::new();
    // Each time up to a message that is longer than a frame.
    let mut publish = |producer: &mut slipring::Producer, least: u64| {
        let end = producer.next_sequence() + least;
        loop {
            let has = produce(producer, longest, &mut bytes);
            let long = matches!(has, Has::Message(len) if len > 61_344);
            if long && producer.next_sequence() >= end {
                break producer.next_sequence();
            }
        }
    };
    let first = publish(&mut producer, 3000);
    // What it does not plan follows in the second half, so that its end is known.
    let mut end = first;
    for half in [2000, 2000] {
        let until = end + half;
        loop {
            match plan(end, longest) {
                Has::Gap(len) => end += len,
                Has::Message(len) => {
                    end += 1;
                    if len > 61_344 && end >= until {
                        break;
                    }
                }
            }
        }
    }
    let _serve = hosts.serve(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/outside.py");
    let address = format!("tcp/127.0.0.1:{}", hosts.port);
    let mut client = Command::new(python);
    client
        .arg(script)
        .args([&address, &first.to_string(), &end.to_string()]);
    let (mut client, output) = Running::piped(&mut client);
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), r#"{"ready": true}"#);
    publish(&mut producer, 2000);
    producer.detach();
    let mut producer = ring.producer().unwrap();
    assert_eq!(publish(&mut producer, 2000), end);
    producer.close();
    let (mut next, mut epochs, mut ways) = (0, Vec::new(), Vec::new());
    for line in lines {
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["first"], next, "{said}");
        let has = match plan(next, longest) {
            Has::Message(len) => {
                let mut bytes = Vec::new();
                payload(next, len, &mut bytes);
                next += 1;
                Said::Message(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Has::Gap(len) => {
                next += len;
                Said::Gap(2)
            }
        };
        let found = match said["payload"].as_str() {
            Some(hex) => Said::Message(hex.to_owned()),
            None => Said::Gap(said["reason"].as_u64().unwrap()),
        };
        assert!(found == has, "{line}");
        assert_eq!(said["end"], next);
        // An answer has the latest epoch.
        if said["by"] == "data" {
            epochs.push(said["epoch"].as_u64().unwrap());
        }
        ways.push(said["by"].as_str().unwrap().to_owned());
    }
    assert_eq!(next, end);
    assert_eq!(client.ended(), Some(0));
    epochs.dedup();
    assert_eq!(epochs, [1, 2]);
    assert!(ways.iter().any(|by| by == "fetch"));
}
