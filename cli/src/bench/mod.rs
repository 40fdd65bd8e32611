//! `slipring bench`: what two processes can say to each other, and how fast.
//!
//! Two processes, pinned to two cores where there are two. Every contender runs the same loops
//! (`workload`), one after the other in rounds, and every sample is bracketed by a bounce of one
//! cache line, which tells whether the two cores were near or far at that moment (`machine`). Near
//! and far are never averaged.

pub mod channel;
pub mod contenders;
mod diff;
pub mod fan;
mod kernel;
mod latency;
mod limit;
mod machine;
pub mod message;
mod paced;
mod peer;
mod plot;
mod queue;
mod raw;
mod report;
mod ring;
mod slots;
mod typed;
mod watch;
pub mod workload;

use crate::failure::{Failure, FAILED, USAGE};
use crate::text;
use crate::Outcome;
use channel::Contender;
use peer::{Peer, Request};
use report::{Report, Sample};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use workload::{Load, Workload};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Round trips: median over means of 64, percentiles from a second pass that reads the clock once per
round trip. Streams: messages are made well before they are sent, in place where memory is lent. Every word of
every message is read and checked, and so is the order. Every contender runs in
every round; near and far samples are kept apart. docs/performance.md explains how to read it.

EXAMPLES
  slipring bench
  slipring bench --sizes 64 --rounds 15 --json > result.json
  slipring bench --only ring,limit
  slipring bench --capacities 256K,1M,4M,16M,64M --workloads one-way")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Message sizes in bytes, multiples of eight
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [32, 64, 1024])]
    sizes: Vec<usize>,
    /// How often each contender runs
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// How long one throughput sample runs
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = text::some_time)]
    sample: Duration,
    /// Capacities to try; each contender is shown at the one where it was best, --json has all of them
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["4MiB"], value_parser = text::bytes)]
    capacities: Vec<u64>,
    /// Contenders to run; --list says who there is
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<String>,
    /// Cores to pin the two processes to; the first two by default
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Workloads to run: any of round-trip, one-way, lossy; just-written (one way, each message written word by word
    /// just before it is sent); burst (what a publish costs beside readers) and
    /// fan-out (a stream to all of them), which take --readers
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["round-trip", "one-way", "lossy"])]
    workloads: Vec<String>,
    /// How many readers there are in bursts and when fanning out; they share the second core
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [0, 1, 2, 4, 8])]
    readers: Vec<usize>,
    /// Say who takes part and how, and do nothing else
    #[arg(long)]
    list: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Also write the JSON, with every sample, to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Runs the second process; internal
    #[arg(long, hide = true)]
    peer: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// What messages take at a given rate, from when each was due
    Latency(latency::Arguments),
    /// Compare two results
    Diff(diff::Arguments),
}

/// Who takes part, and how the second process is started.
pub struct Suite {
    pub contenders: &'static [Contender],
    /// The words between the name of the program and its options.
    pub verb: &'static [&'static str],
}

/// What `slipring bench` measures.
pub const OURS: Suite = Suite {
    contenders: contenders::CONTENDERS,
    verb: &["bench"],
};

impl Suite {
    fn find(&self, name: &str) -> Option<Contender> {
        self.contenders.iter().find(|c| c.name == name).copied()
    }

    /// Those of these names, or all.
    fn choose(&self, only: &[String]) -> Result<Vec<Contender>, Failure> {
        if let Some(unknown) = only.iter().find(|name| self.find(name).is_none()) {
            let all: Vec<&str> = self.contenders.iter().map(|c| c.name).collect();
            let text = format!("no contender {unknown:?}: use any of {}", all.join(", "));
            return Err(Failure::new(USAGE, text));
        }
        let wanted = |c: &&Contender| only.is_empty() || only.iter().any(|name| name == c.name);
        Ok(self.contenders.iter().filter(wanted).copied().collect())
    }
}

/// The whole of a program that measures.
pub fn main(suite: &Suite) -> std::process::ExitCode {
    #[derive(clap::Parser)]
    #[command(version)]
    struct Alone {
        #[command(flatten)]
        arguments: Arguments,
    }
    match run(&<Alone as clap::Parser>::parse().arguments, suite) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

pub fn run(arguments: &Arguments, suite: &Suite) -> Outcome {
    match &arguments.verb {
        Some(Verb::Latency(arguments)) => return latency::run(arguments, suite),
        Some(Verb::Diff(arguments)) => return diff::run(arguments),
        None => {}
    }
    if let Some(directory) = &arguments.peer {
        return peer::serve(suite, directory, &arguments.pin);
    }
    if arguments.list {
        let mut out = io::stdout().lock();
        for contender in suite.contenders {
            writeln!(out, "{:<10} {}", contender.name, contender.how)?;
        }
        return Ok(());
    }
    let contenders = suite.choose(&arguments.only)?;
    let workloads = workloads(&arguments.workloads)?;
    for size in &arguments.sizes {
        if size % 8 != 0 || !(8..=64 << 10).contains(size) {
            return Err(Failure::new(
                USAGE,
                format!("size {size} is not allowed: use multiples of 8 from 8 to 65536"),
            ));
        }
    }
    let largest = arguments.sizes.iter().max().copied().unwrap_or(0) as u64;
    let fits = |capacity: &u64| capacity.is_power_of_two() && *capacity >= 64 * largest.max(64);
    if let Some(capacity) = arguments.capacities.iter().find(|c| !fits(c)) {
        let text = format!(
            "--capacities {capacity} is not possible: a capacity is a power of two that holds at least 64 of the largest messages"
        );
        return Err(Failure::new(USAGE, text));
    }
    let cores = machine::cores(&arguments.pin)?;
    let machine = machine::describe(&cores);
    let mut peer = Peer::start(suite, &cores)?;
    machine::pin(cores.first().copied());
    let mut report = Report::new(machine, arguments.json);
    let result = measure(arguments, &contenders, &workloads, &mut peer, &mut report);
    let stopped = peer.stop(result.is_err());
    result?;
    stopped?;
    if let Some(path) = &arguments.out {
        let written = std::fs::write(path, format!("{}\n", report.to_json()));
        written.map_err(|error| Failure::new(FAILED, format!("{}: {error}", path.display())))?;
    }
    report.print()?;
    Ok(())
}

fn workloads(names: &[String]) -> Result<Vec<Workload>, Failure> {
    let known = |name: &String| {
        Workload::parse(name)
            .filter(|workload| *workload != Workload::Paced)
            .ok_or_else(|| {
                let text = format!(
                    "no workload {name:?}: use any of round-trip, one-way, just-written, lossy, burst, fan-out"
                );
                Failure::new(USAGE, text)
            })
    };
    names.iter().map(known).collect()
}

fn measure(
    arguments: &Arguments,
    contenders: &[Contender],
    workloads: &[Workload],
    peer: &mut Peer,
    report: &mut Report,
) -> Outcome {
    report.publish_costs(ring::publish_cost(
        peer.directory(),
        &arguments.sizes,
        arguments
            .capacities
            .iter()
            .copied()
            .max()
            .unwrap_or(4 << 20),
    )?);
    let rounds = arguments.rounds.max(1);
    for round in 0..rounds {
        for &size in &arguments.sizes {
            for &workload in workloads {
                let readers: &[usize] = match workload {
                    Workload::Burst | Workload::FanOut => &arguments.readers,
                    _ => &[1],
                };
                for &readers in readers {
                    let load = Load {
                        workload,
                        size,
                        sample: arguments.sample,
                        rate: 0.0,
                        readers,
                    };
                    for &contender in contenders {
                        // A stream to nobody is a burst.
                        let means_nothing = workload == Workload::FanOut && readers == 0;
                        if means_nothing || !(contender.suits)(workload, size) {
                            continue;
                        }
                        // What has no capacity is measured once.
                        let sizes = match contender.capacity {
                            true => &arguments.capacities[..],
                            false => &arguments.capacities[..1],
                        };
                        for &capacity in sizes {
                            let request = Request {
                                contender,
                                load,
                                capacity,
                            };
                            let before = peer.probe()?;
                            let outcome = peer.run(&request)?;
                            let after = peer.probe()?;
                            match outcome {
                                Ok(measured) => report.add(Sample {
                                    request,
                                    before,
                                    after,
                                    measured,
                                }),
                                Err(reason) => report.absent(contender.name, &reason),
                            }
                        }
                    }
                }
            }
        }
        report.progress(round + 1, rounds);
    }
    if report.is_empty() {
        let text =
            "nothing was measured: none of the contenders takes part in these workloads and sizes";
        return Err(Failure::new(FAILED, text));
    }
    Ok(())
}
