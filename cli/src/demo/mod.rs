//! `slipring demo`: a small trading pipeline, each part a process of its own.
//!
//! A feed replays twenty years of daily prices, looped and stamped anew. A strategy and a risk check
//! consume every tick; a dashboard observes and may be lapped. In the end every part reports what it
//! received and lost, and the command fails if a lossless part missed anything.
//!
//! With `--hosts` the dashboard is on another host, as far as one machine can be two: at a mirror, behind a link that
//! is cut in the middle.
//!
//! With `--mixed` the strategy is a program in C, and the dashboard one in Python.

mod hosts;
mod mixed;
mod parts;

use crate::child;
use crate::failure::{Failure, CHECK, FAILED};
use crate::stop::Stop;
use crate::text::{count, nanos, styled, BOLD, GREEN, RED};
use crate::Outcome;
use hosts::{Cut, Hosts};
use mixed::Mixed;
use parts::Tick;
use serde_json::{json, Value};
use slipring::{Plain, Ring};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Runs feed, strategy, risk and dashboard as four processes on a new ring, which is removed at the
end. Fails with status 6 if the strategy or the risk check missed a tick, or if the dashboard's
account is not exact.

With --hosts, slipring-bridge has to be beside this program or on the PATH. What the ring
overwrote while the link was cut is missing in the mirror, and is counted apart from what the
dashboard was too slow for.

With --mixed the strategy is compiled by the C compiler (CC, or else cc) against the installed library
for C, which pkg-config finds, and the dashboard is run by the interpreter (PYTHON, or else python3),
which needs the package slipring. What is missing is said, and how to get it.")]
pub struct Arguments {
    /// How many ticks to replay
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    ticks: u64,
    /// How many ticks a second; 0 for as fast as possible
    #[arg(long, value_name = "N", default_value_t = 250_000)]
    rate: u64,
    /// Let the dashboard read a mirror of the ring, over a link that is cut in the middle
    #[arg(long)]
    hosts: bool,
    /// Let the strategy be a program in C, and the dashboard one in Python
    #[arg(long)]
    mixed: bool,
    /// Print the reports as JSON
    #[arg(long)]
    json: bool,
    /// Runs one part; internal
    #[arg(long, hide = true, requires = "ring")]
    part: Option<String>,
    /// The ring of that part; internal
    #[arg(long, hide = true)]
    ring: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.part, &arguments.ring) {
        (Some(part), Some(ring)) => {
            let report = parts::play(part, ring, arguments.ticks, arguments.rate)?;
            println!("{report}");
            Ok(())
        }
        _ => conduct(arguments),
    }
}

/// A process of the pipeline, killed if the command ends before it does.
struct Part {
    name: &'static str,
    child: Child,
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Removes the ring and its directory when the demo ends, for any reason.
struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn conduct(arguments: &Arguments) -> Outcome {
    let directory = PathBuf::from(format!("/dev/shm/slipring-demo-{}", std::process::id()));
    let folder = Mixed::folder();
    let left = [directory.clone(), folder.clone()];
    // The parts die with this process.
    let _stop = Stop::begin(Duration::ZERO, move || {
        left.map(Cleanup).into_iter().for_each(drop)
    })?;
    let mixed = arguments.mixed.then(|| Mixed::begin(folder)).transpose()?;
    std::fs::create_dir(&directory)?;
    let _cleanup = Cleanup(directory.clone());
    let path = directory.join("ticks");
    // Small enough for the dashboard to be lapped while it draws.
    let ring = Ring::builder(&path)
        .capacity_bytes(256 << 10)
        .schema(Tick::schema())
        .create()?;
    let hosts = arguments.hosts.then(|| Hosts::begin(&ring, &directory));
    let hosts = hosts.transpose()?;
    let start = |name: &'static str| -> Result<Part, Failure> {
        let place = match &hosts {
            Some(hosts) if name == "dashboard" => hosts.mirror(),
            _ => ring.path(),
        };
        let other = mixed.as_ref();
        let other = other.and_then(|mixed| mixed.command(name, place, arguments.ticks));
        let mut command = match other {
            Some(command) => command,
            None => own_part(arguments, name, place)?,
        };
        child::tie(&mut command);
        let child = command.stdout(Stdio::piped()).spawn()?;
        Ok(Part { name, child })
    };
    let mut readers = ["strategy", "risk", "dashboard"]
        .map(start)
        .into_iter()
        .collect::<Result<Vec<Part>, Failure>>()?;
    let mut outputs = Vec::new();
    for reader in &mut readers {
        let mut output = BufReader::new(reader.child.stdout.take().ok_or_else(no_output)?);
        // Each reader prints a line once it is attached. The feed must not start before.
        output.read_line(&mut String::new())?;
        outputs.push(output);
    }
    let mut feed = start("feed")?;
    let mut output = BufReader::new(feed.child.stdout.take().ok_or_else(no_output)?);
    let cut = match &hosts {
        Some(hosts) => Some(hosts.cut(&ring, arguments.ticks / 2, &mut feed.child)?),
        None => None,
    };
    let fed = report(&mut output, feed.name)?;
    let mut reports = Vec::new();
    for (reader, output) in readers.iter().zip(&mut outputs) {
        reports.push((reader.name, report(output, reader.name)?));
    }
    conclude(arguments, &fed, &reports, cut.as_ref())
}

/// The command of a part that is in this program.
fn own_part(arguments: &Arguments, name: &str, place: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["demo", "--part", name, "--ring"]).arg(place);
    command.args(["--ticks", &arguments.ticks.to_string()]);
    command.args(["--rate", &arguments.rate.to_string()]);
    Ok(command)
}

fn no_output() -> Failure {
    Failure::new(FAILED, "a part has no output")
}

fn report(output: &mut impl BufRead, name: &str) -> Result<Value, Failure> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    serde_json::from_str(&line)
        .map_err(|_| Failure::new(FAILED, format!("{name} ended without a report")))
}

/// Prints what each part reports, and checks that the lossless ones missed nothing.
fn conclude(
    arguments: &Arguments,
    fed: &Value,
    reports: &[(&str, Value)],
    cut: Option<&Cut>,
) -> Outcome {
    let lossless = |name: &str| name != "dashboard";
    let complete = |report: &Value| {
        report["received"] == fed["published"]
            && report["lost"] == 0
            && report["checksum"] == fed["checksum"]
    };
    let accounted = |report: &Value| {
        let all = ["received", "lost", "missing"];
        let sum: u64 = all.iter().filter_map(|key| report[*key].as_u64()).sum();
        Some(sum) == fed["published"].as_u64()
    };
    let failed: Vec<&str> = reports
        .iter()
        .filter(|(name, report)| {
            !(if lossless(name) {
                complete(report)
            } else {
                accounted(report)
            })
        })
        .map(|(name, _)| *name)
        .collect();
    if arguments.json {
        let parts: serde_json::Map<String, Value> = reports
            .iter()
            .map(|(name, report)| ((*name).to_owned(), report.clone()))
            .collect();
        let mut all = json!({ "feed": fed, "parts": parts, "failed": failed });
        if let Some(cut) = cut {
            all["cut"] = json!({ "sequence": cut.sequence, "nanos": cut.time.as_nanos() as u64 });
        }
        println!("{all}");
    } else {
        let number = |value: &Value| count(value.as_u64().unwrap_or(0));
        println!(
            "feed       published {} ticks of two indices in {}",
            number(&fed["published"]),
            nanos(fed["nanos"].as_f64().unwrap_or(0.0))
        );
        if let Some(cut) = cut {
            println!(
                "link       cut at tick {} for {}",
                count(cut.sequence),
                nanos(cut.time.as_nanos() as f64)
            );
        }
        let heading = format!(
            "{:<10} {:>12} {:>12} {:>12}   {:>10} {:>10} {:>10} {:>10}   {}",
            "", "received", "lost", "missing", "p50", "p99", "p99.9", "max", "result"
        );
        println!("{}", styled(BOLD, &heading));
        for (name, report) in reports {
            let latency = |key: &str| nanos(report["latency_ns"][key].as_f64().unwrap_or(0.0));
            let language = report["language"].as_str();
            println!(
                "{name:<10} {:>12} {:>12} {:>12}   {:>10} {:>10} {:>10} {:>10}   {}{}",
                number(&report["received"]),
                number(&report["lost"]),
                number(&report["missing"]),
                latency("p50"),
                latency("p99"),
                latency("p99.9"),
                latency("max"),
                report["result"].as_str().unwrap_or_default(),
                language.map_or(String::new(), |language| format!(", in {language}"))
            );
        }
    }
    if failed.is_empty() {
        if !arguments.json {
            let text =
                "ok: strategy and risk missed nothing; what the dashboard missed is accounted for";
            println!("{}", styled(GREEN, text));
        }
        Ok(())
    } else {
        let text = format!("parts that missed messages: {}", failed.join(", "));
        eprintln!("{}", styled(RED, "failed"));
        Err(Failure::new(CHECK, text))
    }
}
