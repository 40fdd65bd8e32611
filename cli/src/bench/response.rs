//! What messages at a given rate took, as tables, JSON and files.

use super::alone::Gaps;
use super::channel::Contender;
use super::load::Workload;
use super::load::{histogram, pairs};
use super::machine;
use super::paced::says_something;
use super::plot::{hgrm, svg, Curve};
use super::slices::{Sample, Settled};
use super::stats::FEWEST;
use crate::failure::{Failure, FAILED};
use crate::text::{count, nanos, styled, BOLD};
use crate::Outcome;
use hdrhistogram::Histogram;
use serde_json::{json, Value};
use std::io::{self, Write};
use std::path::Path;

/// The percentiles of the tables.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

/// The rows of each state and rate.
pub type Tables = Vec<(Table, Vec<Row>)>;

/// What one table is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub state: String,
    pub rate: u64,
}

/// What stands on one line: all rounds of one contender in one state.
pub struct Row {
    contender: &'static str,
    response: Histogram<u64>,
    service: Histogram<u64>,
    /// Medians of the rounds.
    medians: Vec<f64>,
    achieved: f64,
    late: u64,
    sent: u64,
}

/// Everything that is shown.
pub struct Seen {
    pub machine: Value,
    pub size: usize,
    pub seed: u64,
    pub clock: Clock,
    pub alone: Gaps,
    pub settled: Settled,
}

/// What a reading of the clock costs, and how far apart the clocks of the two processes may be.
pub struct Clock {
    pub cost: f64,
    pub offset: i64,
    pub error: u64,
}

/// The tables of these samples; contenders in this order.
pub fn tables(samples: &[Sample], order: &[Contender]) -> io::Result<Tables> {
    let mut tables = Tables::new();
    for sample in samples {
        let Some(latencies) = &sample.measured.latencies else {
            continue;
        };
        let table = Table {
            state: sample.state.clone(),
            rate: sample.request.load.rate as u64,
        };
        let at = tables.iter().position(|(of, _)| *of == table);
        let at = at.unwrap_or_else(|| {
            tables.push((table, Vec::new()));
            tables.len() - 1
        });
        let rows = &mut tables[at].1;
        let contender = sample.request.contender.name;
        if !rows.iter().any(|row| row.contender == contender) {
            rows.push(Row {
                contender,
                response: histogram()?,
                service: histogram()?,
                medians: Vec::new(),
                achieved: 0.0,
                late: 0,
                sent: 0,
            });
        }
        for row in rows.iter_mut().filter(|row| row.contender == contender) {
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
    for (_, rows) in &mut tables {
        rows.sort_by_key(|row| order.iter().position(|c| c.name == row.contender));
    }
    // By rate, then as the states are sorted, what has none last.
    tables.sort_by_key(|(of, _)| of.rate);
    Ok(tables)
}

fn percentile(histogram: &Histogram<u64>, percentile: f64) -> String {
    if says_something(histogram, percentile) {
        nanos(histogram.value_at_percentile(percentile) as f64)
    } else {
        "-".into()
    }
}

pub fn print(out: &mut impl Write, seen: &Seen, tables: &Tables) -> io::Result<()> {
    let Clock {
        cost,
        offset,
        error,
    } = seen.clock;
    writeln!(out, "{}", styled(BOLD, "machine"))?;
    writeln!(out, "{}", machine::summary(&seen.machine))?;
    writeln!(
        out,
        "clock: {cost:.1} ns a reading; the second process's is {offset} ns ahead, give or take {error}"
    )?;
    writeln!(out, "{}", seen.alone)?;
    writeln!(out, "order of the contenders: seed {}", seen.seed)?;
    for (Table { state, rate }, rows) in tables {
        let title = format!(
            "\ncores {state}, {} bytes, {} messages a second",
            seen.size,
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
                    row.contender
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
                (Some(low), Some(high)) if medians.len() >= FEWEST => {
                    format!(
                        "medians of {} rounds {} to {}",
                        medians.len(),
                        nanos(*low),
                        nanos(*high)
                    )
                }
                _ => format!("R{}, too few", medians.len()),
            };
            writeln!(
                out,
                "  {:<10} {} a second sent, {} of {} late; {range}",
                "",
                count(row.achieved as u64),
                count(row.late),
                count(row.sent),
            )?;
        }
    }
    Ok(())
}

pub fn to_json(seen: &Seen) -> Value {
    let percentiles = |histogram: &Histogram<u64>| -> Vec<(f64, u64)> {
        let shown = PERCENTILES
            .into_iter()
            .filter(|p| says_something(histogram, *p));
        shown
            .map(|p| (p, histogram.value_at_percentile(p)))
            .collect()
    };
    let samples = seen.settled.samples.iter();
    let samples: Vec<Value> = samples
        .filter_map(|sample| {
            let latencies = sample.measured.latencies.as_ref()?;
            Some(json!({
                "contender": sample.request.contender.name,
                "workload": Workload::Paced.name(),
                "size": seen.size,
                "capacity": sample.request.asked(),
                "rate": sample.request.load.rate,
                "round": sample.round,
                "state": sample.state,
                "slices": sample.slices,
                "bounce_before_ns": sample.before,
                "bounce_after_ns": sample.after,
                "achieved": 1e9 / sample.measured.nanos.max(1e-9),
                "late": sample.measured.late,
                "measured": {
                    "count": sample.measured.count,
                    "percentiles": percentiles(&latencies.response),
                    "service_percentiles": percentiles(&latencies.service),
                    "response": pairs(&latencies.response),
                    "service": pairs(&latencies.service),
                },
            }))
        })
        .collect();
    json!({
        "machine": seen.machine,
        "seed": seen.seed,
        "clock": {
            "reading_ns": seen.clock.cost,
            "offset_ns": seen.clock.offset,
            "error_ns": seen.clock.error,
        },
        "alone": seen.alone.to_json(),
        "states": seen.settled.states.to_json(),
        "samples": samples,
    })
}

pub fn write_files(directory: &Path, size: usize, report: &Value, tables: &Tables) -> Outcome {
    let write = |name: String, text: String| -> Outcome {
        let path = directory.join(name);
        let failed = |error| Failure::new(FAILED, format!("{}: {error}", path.display()));
        std::fs::write(&path, text).map_err(failed)
    };
    let failed = |error| Failure::new(FAILED, format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    write("report.json".into(), format!("{report}\n"))?;
    for (Table { state, rate }, rows) in tables {
        let place = format!("{size}B-{rate}-{state}");
        for row in rows {
            write(
                format!("{}-{place}.hgrm", row.contender),
                hgrm(&row.response),
            )?;
        }
        let curves: Vec<Curve> = rows
            .iter()
            .map(|row| Curve {
                name: row.contender.into(),
                histogram: &row.response,
            })
            .collect();
        let title = format!(
            "Response time, {size} bytes, {} messages a second, cores {state}",
            count(*rate)
        );
        write(format!("latency-{place}.svg"), svg(&title, &curves))?;
    }
    Ok(())
}
