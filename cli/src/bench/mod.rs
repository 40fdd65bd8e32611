//! `slipring bench`: what two processes can say to each other, and how fast.
//!
//! Two processes, pinned to two cores where there are two. Every contender runs the same loops
//! (`workload`), one after the other in rounds, and every sample is bracketed by a bounce of one
//! cache line, which tells whether the two cores were near or far at that moment (`machine`). Near
//! and far are never averaged.

mod channel;
mod diff;
mod kernel;
mod latency;
mod machine;
mod paced;
mod peer;
mod plot;
mod queue;
mod raw;
mod report;
mod ring;
mod workload;

use crate::failure::{Failure, FAILED};
use crate::text;
use crate::Outcome;
use peer::{Peer, Request};
use report::{Report, Sample};
use std::path::PathBuf;
use std::time::Duration;
use workload::{Load, Workload};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Round trips: median over means of 64, percentiles from a second pass that reads the clock once per
round trip. One-way: the receiver reads every word and checks the order. Every contender runs in
every round; near and far samples are kept apart. docs/performance.md explains how to read it.

EXAMPLES
  slipring bench
  slipring bench --sizes 64 --rounds 15 --json > result.json
  slipring bench --only ring,raw")]
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
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = text::duration)]
    sample: Duration,
    /// Capacity of the rings; larger than both cores' private caches is fastest for streams
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = text::bytes)]
    capacity: u64,
    /// Contenders to run: any of raw, ring, ring64, batch, park, queue, pipe, unix, mq
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<String>,
    /// Cores to pin the two processes to; the first two by default
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
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

/// Everybody who takes part, in the order of the tables.
const CONTENDERS: [&str; 9] = [
    "raw", "ring", "ring64", "batch", "park", "queue", "pipe", "unix", "mq",
];

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Some(Verb::Latency(arguments)) => return latency::run(arguments),
        Some(Verb::Diff(arguments)) => return diff::run(arguments),
        None => {}
    }
    if let Some(directory) = &arguments.peer {
        return peer::serve(directory, &arguments.pin);
    }
    for size in &arguments.sizes {
        if size % 8 != 0 || !(8..=64 << 10).contains(size) {
            return Err(Failure::new(
                crate::failure::USAGE,
                format!("size {size} is not allowed: use multiples of 8 from 8 to 65536"),
            ));
        }
    }
    if let Some(unknown) = arguments
        .only
        .iter()
        .find(|name| !CONTENDERS.contains(&name.as_str()))
    {
        return Err(Failure::new(
            crate::failure::USAGE,
            format!(
                "no contender {unknown:?}: use any of {}",
                CONTENDERS.join(", ")
            ),
        ));
    }
    let largest = arguments.sizes.iter().max().copied().unwrap_or(0) as u64;
    if !arguments.capacity.is_power_of_two() || arguments.capacity < 64 * largest.max(64) {
        return Err(Failure::new(
            crate::failure::USAGE,
            "--capacity must be a power of two that holds at least 64 of the largest messages",
        ));
    }
    if !arguments.pin.is_empty() && arguments.pin.len() != 2 {
        return Err(Failure::new(
            crate::failure::USAGE,
            "--pin takes two cores, for example 2,3",
        ));
    }
    let cores = machine::cores(&arguments.pin);
    let machine = machine::describe(&cores);
    let mut peer = Peer::start(&cores)?;
    machine::pin(cores.first().copied());
    let mut report = Report::new(machine, arguments.json);
    let result = measure(arguments, &mut peer, &mut report);
    let stopped = peer.stop();
    result?;
    stopped?;
    report.print()?;
    Ok(())
}

fn measure(arguments: &Arguments, peer: &mut Peer, report: &mut Report) -> Outcome {
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|n| n == name);
    report.publish_costs(ring::publish_cost(
        peer.directory(),
        &arguments.sizes,
        arguments.capacity,
    )?);
    let rounds = arguments.rounds.max(1);
    for round in 0..rounds {
        for &size in &arguments.sizes {
            for workload in [Workload::RoundTrip, Workload::OneWay] {
                for contender in CONTENDERS {
                    if !wanted(contender) || !channel::takes_part(contender, workload, size) {
                        continue;
                    }
                    let request = Request {
                        contender: contender.to_owned(),
                        load: Load {
                            workload,
                            size,
                            sample: arguments.sample,
                            rate: 0.0,
                        },
                        capacity: arguments.capacity,
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
                        Err(reason) => report.absent(contender, &reason),
                    }
                }
            }
        }
        report.progress(round + 1, rounds);
    }
    if report.is_empty() {
        return Err(Failure::new(FAILED, "nothing was measured"));
    }
    Ok(())
}
