//! `slipring bench latency`: what messages take at a given rate.

use super::channel::Contender;
use super::machine::{self, State};
use super::paced::{self, histogram, says_something};
use super::peer::{Peer, Request};
use super::plot::{hgrm, svg, Curve};
use super::workload::{median, Load, Measured, Workload};
use super::Suite;
use crate::failure::{Failure, FAILED, USAGE};
use crate::text::{self, count, nanos, styled, BOLD};
use crate::Outcome;
use hdrhistogram::Histogram;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Open loop: each message is due at a time fixed beforehand, and its response time counts from then, whatever
held it up; its service time counts from when it was sent. A percentile with fewer than ten samples above
it is not shown. What the cores do by themselves is measured first: no figure below that is of anybody's
making.

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

/// The percentiles of the tables.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];
/// How long the cores are watched by themselves.
const ALONE: Duration = Duration::from_millis(500);

struct Sample {
    contender: String,
    rate: f64,
    before: f64,
    after: f64,
    measured: Measured,
}

/// What stands on one line: all rounds of one contender in one state.
struct Row {
    contender: String,
    response: Histogram<u64>,
    service: Histogram<u64>,
    /// Medians of the rounds.
    medians: Vec<f64>,
    achieved: f64,
    late: u64,
    sent: u64,
}

struct Clock {
    cost: f64,
    offset: i64,
    error: u64,
}

pub fn run(arguments: &Arguments, suite: &Suite) -> Outcome {
    check(arguments)?;
    let contenders = suite.choose(&arguments.only)?;
    let cores = machine::cores(&arguments.pin)?;
    let machine = machine::describe(&cores);
    let mut peer = Peer::start(suite, &cores)?;
    machine::pin(cores.first().copied());
    let result = measure(arguments, &contenders, &mut peer);
    let stopped = peer.stop(result.is_err());
    let (clock, gaps, samples) = result?;
    stopped?;
    let tables = tables(&samples)?;
    let report = to_json(arguments, &machine, &clock, &gaps, &samples);
    if let Some(directory) = &arguments.out {
        write_files(directory, arguments.size, &report, &tables)?;
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{report}")?;
        return Ok(());
    }
    print(&mut out, arguments, &machine, &clock, &gaps, &tables)?;
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

type Seen = (Clock, Histogram<u64>, Vec<Sample>);

fn measure(
    arguments: &Arguments,
    contenders: &[Contender],
    peer: &mut Peer,
) -> Result<Seen, Failure> {
    let (offset, error) = peer.clock_offset()?;
    let clock = Clock {
        cost: cost_of_clock(),
        offset,
        error,
    };
    let gaps = peer.hiccups(ALONE)?;
    let mut samples = Vec::new();
    for _ in 0..arguments.rounds.max(1) {
        for &rate in &arguments.rate {
            for &contender in contenders {
                if !(contender.suits)(Workload::Paced, arguments.size) {
                    continue;
                }
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
                let before = peer.probe()?;
                let measured = peer.run(&request)?;
                let after = peer.probe()?;
                let measured = measured.map_err(|reason| {
                    Failure::new(
                        FAILED,
                        format!("{} did not take part: {reason}", contender.name),
                    )
                })?;
                samples.push(Sample {
                    contender: contender.name.to_owned(),
                    rate,
                    before,
                    after,
                    measured,
                });
            }
        }
    }
    Ok((clock, gaps, samples))
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

/// The rows of each state and rate.
type Tables = BTreeMap<(State, u64), Vec<Row>>;

fn tables(samples: &[Sample]) -> io::Result<Tables> {
    let mut tables = Tables::new();
    for sample in samples {
        let Some(latencies) = &sample.measured.latencies else {
            continue;
        };
        let state = State::of(sample.before, sample.after);
        let rows = tables.entry((state, sample.rate as u64)).or_default();
        if !rows.iter().any(|row| row.contender == sample.contender) {
            rows.push(Row {
                contender: sample.contender.clone(),
                response: histogram()?,
                service: histogram()?,
                medians: Vec::new(),
                achieved: 0.0,
                late: 0,
                sent: 0,
            });
        }
        for row in rows
            .iter_mut()
            .filter(|row| row.contender == sample.contender)
        {
            row.response
                .add(&latencies.response)
                .map_err(io::Error::other)?;
            row.service
                .add(&latencies.service)
                .map_err(io::Error::other)?;
            row.medians
                .push(latencies.response.value_at_percentile(50.0) as f64);
            // A mean over rounds of equal length.
            let rounds = row.medians.len() as f64;
            let achieved = 1e9 / sample.measured.nanos.max(1e-9);
            row.achieved += (achieved - row.achieved) / rounds;
            row.late += sample.measured.late;
            row.sent += sample.measured.count;
        }
    }
    Ok(tables)
}

fn percentile(histogram: &Histogram<u64>, percentile: f64) -> String {
    if says_something(histogram, percentile) {
        nanos(histogram.value_at_percentile(percentile) as f64)
    } else {
        "-".into()
    }
}

fn print(
    out: &mut impl Write,
    arguments: &Arguments,
    machine: &Value,
    clock: &Clock,
    gaps: &Histogram<u64>,
    tables: &Tables,
) -> io::Result<()> {
    writeln!(out, "{}", styled(BOLD, "machine"))?;
    writeln!(out, "{}", machine::summary(machine))?;
    writeln!(
        out,
        "clock: {:.1} ns a reading; the second process's is {} ns ahead, give or take {}",
        clock.cost, clock.offset, clock.error
    )?;
    writeln!(
        out,
        "the cores by themselves, gaps between readings: p99.9 {}, p99.99 {}, longest {} of {}",
        percentile(gaps, 99.9),
        percentile(gaps, 99.99),
        nanos(gaps.max() as f64),
        count(gaps.len())
    )?;
    for ((state, rate), rows) in tables {
        let title = format!(
            "\ncores {}, {} bytes, {} messages a second",
            state.name(),
            arguments.size,
            count(*rate)
        );
        writeln!(out, "{}", styled(BOLD, &title))?;
        write!(out, "  {:<10} {:<9}", "", "")?;
        for p in PERCENTILES {
            write!(out, " {:>10}", format!("p{p}"))?;
        }
        writeln!(out, " {:>10} {:>12}", "longest", "messages")?;
        for row in rows {
            for (name, histogram) in [("response", &row.response), ("service", &row.service)] {
                let contender = if name == "response" {
                    row.contender.as_str()
                } else {
                    ""
                };
                write!(out, "  {contender:<10} {name:<9}")?;
                for p in PERCENTILES {
                    write!(out, " {:>10}", percentile(histogram, p))?;
                }
                let longest = nanos(histogram.max() as f64);
                writeln!(out, " {longest:>10} {:>12}", count(histogram.len()))?;
            }
            let mut medians = row.medians.clone();
            medians.sort_by(f64::total_cmp);
            let range = match (medians.first(), medians.last()) {
                (Some(low), Some(high)) => format!("{} to {}", nanos(*low), nanos(*high)),
                _ => String::new(),
            };
            writeln!(
                out,
                "  {:<10} {} a second sent, {} of {} late; medians of {} rounds {range}",
                "",
                count(row.achieved as u64),
                count(row.late),
                count(row.sent),
                row.medians.len(),
            )?;
        }
    }
    Ok(())
}

fn to_json(
    arguments: &Arguments,
    machine: &Value,
    clock: &Clock,
    gaps: &Histogram<u64>,
    samples: &[Sample],
) -> Value {
    let percentiles = |histogram: &Histogram<u64>| -> Vec<(f64, u64)> {
        let shown = PERCENTILES
            .into_iter()
            .filter(|p| says_something(histogram, *p));
        shown
            .map(|p| (p, histogram.value_at_percentile(p)))
            .collect()
    };
    let samples: Vec<Value> = samples
        .iter()
        .filter_map(|sample| {
            let latencies = sample.measured.latencies.as_ref()?;
            Some(json!({
                "contender": sample.contender,
                "workload": Workload::Paced.name(),
                "size": arguments.size,
                "rate": sample.rate,
                "state": State::of(sample.before, sample.after).name(),
                "bounce_before_ns": sample.before,
                "bounce_after_ns": sample.after,
                "achieved": 1e9 / sample.measured.nanos.max(1e-9),
                "late": sample.measured.late,
                "measured": {
                    "count": sample.measured.count,
                    "percentiles": percentiles(&latencies.response),
                    "service_percentiles": percentiles(&latencies.service),
                    "response": paced::pairs(&latencies.response),
                    "service": paced::pairs(&latencies.service),
                },
            }))
        })
        .collect();
    json!({
        "machine": machine,
        "clock": {
            "reading_ns": clock.cost,
            "offset_ns": clock.offset,
            "error_ns": clock.error,
        },
        "alone": { "percentiles": percentiles(gaps), "longest": gaps.max(), "gaps": paced::pairs(gaps) },
        "samples": samples,
    })
}

fn write_files(directory: &Path, size: usize, report: &Value, tables: &Tables) -> Outcome {
    let write = |name: String, text: String| -> Outcome {
        let path = directory.join(name);
        let failed = |error| Failure::new(FAILED, format!("{}: {error}", path.display()));
        std::fs::write(&path, text).map_err(failed)
    };
    let failed = |error| Failure::new(FAILED, format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    write("report.json".into(), format!("{report}\n"))?;
    for ((state, rate), rows) in tables {
        let place = format!("{size}B-{rate}-{}", state.name());
        for row in rows {
            write(
                format!("{}-{place}.hgrm", row.contender),
                hgrm(&row.response),
            )?;
        }
        let curves: Vec<Curve> = rows
            .iter()
            .map(|row| Curve {
                name: row.contender.clone(),
                histogram: &row.response,
            })
            .collect();
        let title = format!(
            "Response time, {size} bytes, {} messages a second, cores {}",
            count(*rate),
            state.name()
        );
        write(format!("latency-{place}.svg"), svg(&title, &curves))?;
    }
    Ok(())
}
