//! `slipring bench latency`: what messages take at a given rate.

use super::alone::Gaps;
use super::channel::Contender;
use super::load::{Load, Workload};
use super::machine;
use super::paced;
use super::peer::Peer;
use super::response::{self, Clock, Seen};
use super::slices::{settle, Plan, Request, Taken};
use super::stats::median;
use super::Suite;
use crate::failure::{Failure, FAILED, USAGE};
use crate::text;
use crate::Outcome;
use fastrand::Rng;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Open loop: each message is due at a time fixed beforehand, and its response time counts from then, with
every delay; its service time counts from when it was sent. A percentile with fewer than ten messages above
it is not shown. What the cores do by themselves is measured first: how long a message waits that is due at a
random moment, if nothing but the machine is in its way. No slice is discarded: changed are those that begin
and end in different states of the cores.

EXAMPLES
  slipring bench latency
  slipring bench latency --rate 10k,1M --only ring,park,unix --out results")]
pub struct Arguments {
    /// Messages a second; k and M are thousands and millions
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["100k", "1M"], value_parser = text::rate)]
    rate: Vec<f64>,
    /// Message size in bytes, a multiple of eight, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    size: usize,
    /// How long each contender runs in each round
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = text::some_time)]
    duration: Duration,
    /// How often each contender runs
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Contenders to run; park is a ring whose ends sleep
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["limit", "ring", "park", "pipe", "unix"])]
    only: Vec<String>,
    /// Capacity of the rings
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = text::bytes)]
    capacity: u64,
    /// The order of the contenders in each round is drawn from this; printed with the results
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Cores to pin the two processes to; the first two by default
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Write report.json, a .hgrm file for each row and an SVG for each table into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// How long the cores are watched by themselves.
const ALONE: Duration = Duration::from_millis(500);
/// How long a slice is: long enough for a stall to hold up many messages. None is discarded, as delays are
/// what is measured.
const SLICE: Duration = Duration::from_millis(100);

pub fn run(arguments: &Arguments, suite: &Suite) -> Outcome {
    check(arguments)?;
    let contenders = suite.choose(&arguments.only)?;
    let cores = machine::cores(&arguments.pin)?;
    let machine = machine::describe(&cores);
    let mut peer = Peer::start(suite, &cores)?;
    machine::pin(cores.first().copied());
    let seed = super::seed(arguments.seed);
    let result = measure(arguments, &contenders, seed, &mut peer);
    let stopped = peer.stop(result.is_err());
    let (clock, alone, taken) = result?;
    stopped?;
    let seen = Seen {
        machine,
        size: arguments.size,
        seed,
        clock,
        alone,
        settled: settle(&taken, true)?,
    };
    let tables = response::tables(&seen.settled.samples, &contenders)?;
    let report = response::to_json(&seen);
    if let Some(directory) = &arguments.out {
        response::write_files(directory, arguments.size, &report, &tables)?;
    }
    let mut out = io::stdout().lock();
    match arguments.json {
        true => writeln!(out, "{report}")?,
        false => response::print(&mut out, &seen, &tables)?,
    }
    Ok(())
}

fn check(arguments: &Arguments) -> Outcome {
    let refuse = |why: String| Err(Failure::new(USAGE, why));
    if !arguments.size.is_multiple_of(8) || !(paced::SMALLEST..=64 << 10).contains(&arguments.size)
    {
        let size = arguments.size;
        return refuse(format!(
            "size {size} is not allowed: use multiples of 8 from 24 to 65536"
        ));
    }
    if !arguments.capacity.is_power_of_two() || arguments.capacity < 64 * arguments.size as u64 {
        return refuse("--capacity must be a power of two that holds at least 64 messages".into());
    }
    Ok(())
}

fn measure(
    arguments: &Arguments,
    contenders: &[Contender],
    seed: u64,
    peer: &mut Peer,
) -> Result<(Clock, Gaps, Vec<Taken>), Failure> {
    let (offset, error) = peer.clock_offset()?;
    let clock = Clock {
        cost: cost_of_clock(),
        offset,
        error,
    };
    let gaps = Gaps::of(&peer.hiccups(ALONE)?);
    let length = arguments.duration.min(SLICE);
    let slices = arguments.duration.as_secs_f64() / length.as_secs_f64();
    let plan = Plan {
        length,
        slices: slices.round().max(1.0) as usize,
        spare: 0,
    };
    let (mut taken, mut rng) = (Vec::new(), Rng::with_seed(seed));
    let suited = |c: &Contender| (c.suits)(Workload::Paced, arguments.size);
    let mut contenders: Vec<Contender> = contenders.iter().copied().filter(suited).collect();
    for round in 0..arguments.rounds.max(1) {
        for &rate in &arguments.rate {
            rng.shuffle(&mut contenders);
            for &contender in &contenders {
                let request = Request {
                    contender,
                    load: Load {
                        workload: Workload::Paced,
                        size: arguments.size,
                        sample: arguments.duration,
                        rate,
                        readers: 1,
                    },
                    capacity: arguments.capacity,
                };
                let slices = peer.sample(&request, plan)?.map_err(|reason| {
                    Failure::new(
                        FAILED,
                        format!("{} did not take part: {reason}", contender.name),
                    )
                })?;
                taken.push(Taken {
                    request,
                    round,
                    slices,
                });
            }
        }
    }
    Ok((clock, gaps, taken))
}

/// Nanoseconds of one reading of the clock.
fn cost_of_clock() -> f64 {
    const READINGS: u32 = 10_000;
    let mut runs: Vec<f64> = (0..9)
        .map(|_| {
            let start = paced::clock();
            for _ in 1..READINGS {
                std::hint::black_box(paced::clock());
            }
            (paced::clock() - start) as f64 / f64::from(READINGS)
        })
        .collect();
    median(&mut runs)
}
