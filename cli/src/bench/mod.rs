//! `slipring bench`: what two processes can say to each other, and how fast.
//!
//! Two processes, pinned to two cores where there are two. Every contender runs the same loops
//! (`workload`), one after the other in rounds, in slices of 20 ms between two bounces of one cache
//! line, which tell in what state the two cores were at that moment (`states`). What was measured in
//! different states is never averaged.

mod alone;
pub mod channel;
mod compare;
pub mod contenders;
mod diff;
pub mod fan;
mod figures;
mod kernel;
mod latency;
mod limit;
pub mod load;
mod machine;
pub mod message;
mod paced;
mod peer;
mod plot;
mod queue;
mod quick;
mod raw;
mod report;
mod response;
mod ring;
mod rounds;
mod rows;
mod second;
mod slices;
mod slots;
mod states;
mod stats;
mod tables;
mod turns;
mod typed;
mod usage;
mod watch;
mod workload;

use crate::failure::{Failure, FAILED, USAGE};
use crate::text::{self, styled, BOLD};
use crate::Outcome;
use channel::Contender;
use load::Workload;
use peer::Peer;
use report::Report;
use rounds::Rounds;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Round trips: median over means of 64, percentiles from a second pass that reads the clock once per
round trip. Streams: messages are made well before they are sent, in place where memory is lent. Every word of
every message is read and checked, and so is the order. Every contender runs in
every round, in random order, in slices of 20 ms between two bounces of a cache line. Slices are sorted by
the state of the cores that their bounces show; those whose bounces disagree, or that others disturbed, are
discarded and counted. A cell is the median of R samples, one a round; fewer than three are too few.
docs/measurements/method.md explains how to read it.

EXAMPLES
  slipring bench
  slipring bench --quick
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
    /// How long one sample runs, in slices of 20 ms
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = text::some_time)]
    sample: Duration,
    /// Capacities to try; each contender is shown at the one where it was best, --json has all of them
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["4MiB"], value_parser = text::bytes)]
    capacities: Vec<u64>,
    /// Keep slices that were disturbed too, and those whose bounces disagree, as state changed
    #[arg(long)]
    keep_all: bool,
    /// The order of the contenders in each round is drawn from this; printed with the results
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
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
    /// One minute, rings and queues beside what the kernel has, and what to expect of this machine in words
    #[arg(long, conflicts_with_all = ["sizes", "rounds", "sample", "workloads", "readers", "only"])]
    quick: bool,
    /// Say of what kind this processor is, as in benches/results/KIND, and do nothing else
    #[arg(long)]
    kind: bool,
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
    /// Compare two builds, in turns, or two results
    Diff(diff::Arguments),
    /// One page of all stored results
    Tables(tables::Arguments),
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
        Some(Verb::Diff(arguments)) => return diff::run(arguments, suite),
        Some(Verb::Tables(arguments)) => return tables::run(arguments),
        None => {}
    }
    if let Some(directory) = &arguments.peer {
        return second::serve(suite, directory, &arguments.pin);
    }
    if arguments.kind {
        writeln!(io::stdout().lock(), "{}", machine::this_kind())?;
        return Ok(());
    }
    if arguments.list {
        let mut out = io::stdout().lock();
        for contender in suite.contenders {
            writeln!(out, "{:<10} {}", contender.name, contender.how)?;
        }
        return Ok(());
    }
    let contenders = match arguments.quick {
        true => suite.choose(&quick::CONTENDERS.map(str::to_owned))?,
        false => suite.choose(&arguments.only)?,
    };
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
    let (seed, keep_all) = (seed(arguments.seed), arguments.keep_all);
    let mut report = Report::new(machine, &contenders, seed, keep_all);
    let rounds = Rounds {
        contenders: &contenders,
        workloads: &workloads,
        sizes: &arguments.sizes,
        capacities: &arguments.capacities,
        readers: &arguments.readers,
        rounds: arguments.rounds,
        limit: None,
        sample: arguments.sample,
        keep_all,
        seed,
    };
    let rounds = match arguments.quick {
        true => Rounds {
            workloads: &quick::WORKLOADS,
            sizes: &quick::SIZES,
            rounds: usize::MAX,
            limit: Some(quick::LIMIT),
            sample: quick::SAMPLE,
            ..rounds
        },
        false => rounds,
    };
    let result = rounds.measure(&mut peer, &mut report);
    let stopped = peer.stop(result.is_err());
    result?;
    stopped?;
    let settled = report.settle()?;
    if let Some(path) = &arguments.out {
        let written = std::fs::write(path, format!("{}\n", report.to_json(&settled)));
        written.map_err(|error| Failure::new(FAILED, format!("{}: {error}", path.display())))?;
    }
    match arguments.json {
        true => writeln!(io::stdout().lock(), "{}", report.to_json(&settled))?,
        false => report.print(&settled)?,
    }
    if arguments.quick && !arguments.json {
        let said = quick::verdict(report.machine(), &settled, &report.discarded(&settled));
        writeln!(
            io::stdout().lock(),
            "\n{}\n{}",
            styled(BOLD, "verdict"),
            said.join("\n")
        )?;
    }
    if settled.samples.is_empty() {
        let why = "every slice was discarded: other programs or guests have these cores; --keep-all keeps them";
        return Err(Failure::new(FAILED, why));
    }
    Ok(())
}

/// The seed that was asked for, or another one each time.
fn seed(asked: Option<u64>) -> u64 {
    // Few digits, as it is to be typed again.
    asked.unwrap_or_else(|| fastrand::u64(..1_000_000))
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
