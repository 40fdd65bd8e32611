//! From samples to tables, or to JSON with every sample in it.

use super::machine::{self, State};
use super::peer::Request;
use super::workload::{median, Measured, Workload};
use crate::text::{count, styled, BOLD};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

/// One sample with the bounces around it.
pub struct Sample {
    pub request: Request,
    pub before: f64,
    pub after: f64,
    pub measured: Measured,
}

impl Sample {
    fn state(&self) -> State {
        State::of(self.before, self.after)
    }

    fn bounce(&self) -> f64 {
        (self.before + self.after) / 2.0
    }
}

pub struct Report {
    machine: Value,
    json: bool,
    samples: Vec<Sample>,
    publish: Vec<(usize, f64)>,
    absent: BTreeMap<String, String>,
}

impl Report {
    pub fn new(machine: Value, json: bool) -> Self {
        Self {
            machine,
            json,
            samples: Vec::new(),
            publish: Vec::new(),
            absent: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    pub fn publish_costs(&mut self, costs: Vec<(usize, f64)>) {
        self.publish = costs;
    }

    pub fn absent(&mut self, contender: &str, reason: &str) {
        self.absent.insert(contender.to_owned(), reason.to_owned());
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub fn progress(&self, round: usize, rounds: usize) {
        if io::stderr().is_terminal() {
            eprint!(
                "\rround {round} of {rounds}{}",
                if round == rounds { "\n" } else { "" }
            );
        }
    }

    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{}", self.to_json());
        }
        writeln!(
            out,
            "{}\n{}\n",
            styled(BOLD, "machine"),
            machine::summary(&self.machine)
        )?;
        writeln!(out, "{}", styled(BOLD, "publish, nobody reading"))?;
        for (size, nanos) in &self.publish {
            writeln!(out, "  {size:>6} B {nanos:>8.2} ns")?;
        }
        for state in [State::Near, State::Far, State::Mixed] {
            self.print_state(&mut out, state)?;
        }
        for (contender, reason) in &self.absent {
            writeln!(out, "\n{contender} did not take part: {reason}")?;
        }
        Ok(())
    }

    fn print_state(&self, out: &mut impl Write, state: State) -> io::Result<()> {
        let here: Vec<&Sample> = self.samples.iter().filter(|s| s.state() == state).collect();
        if here.is_empty() {
            return Ok(());
        }
        let mut bounces: Vec<f64> = here.iter().map(|s| s.bounce()).collect();
        let title = format!(
            "\ncores {} (bounce of one line each way: {:.0} ns)",
            state.name(),
            median(&mut bounces)
        );
        writeln!(out, "{}", styled(BOLD, &title))?;
        for workload in Workload::ALL {
            let rows = best(groups(&here, workload));
            if rows.is_empty() {
                continue;
            }
            let unit = match workload {
                Workload::RoundTrip => "round trip, ns         x bounce      p50      p99    p99.9",
                Workload::Lossy => "lossy, M msg/s         missed, %     GB/s",
                Workload::Burst => "publish beside readers, ns",
                Workload::FanOut => "to each reader, M msg/s",
                Workload::JustWritten => "just written, M msg/s   x limit     GB/s",
                _ => "one way, M msg/s        x limit     GB/s",
            };
            writeln!(out, "  {:<10} {:>7} {:>5}  {unit}", "", "size", "in")?;
            for group in &rows {
                self.print_row(out, group, &rows, workload)?;
            }
        }
        Ok(())
    }

    fn print_row(
        &self,
        out: &mut impl Write,
        group: &[&Sample],
        rows: &[Vec<&Sample>],
        workload: Workload,
    ) -> io::Result<()> {
        let request = &group[0].request;
        let (low, mid, high) = spread(group.iter().map(|s| s.measured.nanos));
        let label = format!(
            "  {:<10} {:>5} B {:>5}",
            request.contender.name,
            request.load.size,
            request.asked().map_or("-".into(), power)
        );
        match workload {
            Workload::RoundTrip => {
                let (_, ratio, _) = spread(group.iter().map(|s| s.measured.nanos / s.bounce()));
                let percentile = |at: usize| {
                    let (_, mid, _) = spread(
                        group
                            .iter()
                            .filter_map(|s| s.measured.percentiles.get(at))
                            .map(|p| p.1 as f64),
                    );
                    count(mid as u64)
                };
                let range = format!("{mid:.0} ({low:.0}..{high:.0}) R{}", group.len());
                writeln!(
                    out,
                    "{label}  {range:<22} {ratio:>8.2} {:>8} {:>8} {:>8}",
                    percentile(0),
                    percentile(2),
                    percentile(3)
                )
            }
            Workload::Burst => {
                let readers = request.load.readers;
                writeln!(
                    out,
                    "{label} x{readers:<3} {mid:.1} ({low:.1}..{high:.1}) R{}",
                    group.len()
                )
            }
            Workload::FanOut => {
                let (readers, rate) = (request.load.readers, |nanos: f64| 1e3 / nanos);
                writeln!(
                    out,
                    "{label} x{readers:<3} {:.1} ({:.1}..{:.1}) R{}",
                    rate(mid),
                    rate(high),
                    rate(low),
                    group.len()
                )
            }
            _ => {
                let rate = |nanos: f64| 1e3 / nanos;
                let limit = rows.iter().find(|row| {
                    row[0].request.contender.name == "limit"
                        && row[0].request.load.size == request.load.size
                });
                let limit = limit.map_or(0.0, |row| middle(row));
                let times = if workload == Workload::Lossy {
                    let missed =
                        |m: &Measured| 100.0 * m.missed as f64 / (m.missed + m.count).max(1) as f64;
                    let (_, mid, _) = spread(group.iter().map(|s| missed(&s.measured)));
                    format!("{mid:.1}")
                } else if limit > 0.0 {
                    format!("{:.2}", limit / mid)
                } else {
                    "-".into()
                };
                let range = format!(
                    "{:.1} ({:.1}..{:.1}) R{}",
                    rate(mid),
                    rate(high),
                    rate(low),
                    group.len()
                );
                let gigabytes = request.load.size as f64 / mid;
                writeln!(out, "{label}  {range:<22} {times:>8} {gigabytes:>8.1}")
            }
        }
    }

    pub fn to_json(&self) -> Value {
        let samples: Vec<Value> = self
            .samples
            .iter()
            .map(|sample| {
                json!({
                    "contender": sample.request.contender.name,
                    "workload": sample.request.load.workload.name(),
                    "size": sample.request.load.size,
                    "readers": sample.request.load.readers,
                    "capacity": sample.request.asked(),
                    "state": sample.state().name(),
                    "bounce_before_ns": sample.before,
                    "bounce_after_ns": sample.after,
                    "measured": sample.measured.to_json(),
                })
            })
            .collect();
        json!({
            "machine": self.machine,
            "publish_alone_ns": self.publish.iter().map(|(size, nanos)| json!({ "size": size, "nanos": nanos })).collect::<Vec<_>>(),
            "samples": samples,
            "absent": self.absent,
        })
    }
}

/// Of each contender, size and number of readers those samples in whose capacity it was best.
fn best(groups: Vec<Vec<&Sample>>) -> Vec<Vec<&Sample>> {
    let mut rows: Vec<Vec<&Sample>> = Vec::new();
    for group in groups {
        let (name, load) = (group[0].request.contender.name, group[0].request.load);
        let same = |row: &&mut Vec<&Sample>| {
            let request = &row[0].request;
            (request.contender.name, request.load.size) == (name, load.size)
                && request.load.readers == load.readers
        };
        match rows.iter_mut().find(same) {
            Some(row) if middle(&group) < middle(row) => *row = group,
            Some(_) => {}
            None => rows.push(group),
        }
    }
    rows
}

/// The median of nanoseconds.
fn middle(group: &[&Sample]) -> f64 {
    spread(group.iter().map(|s| s.measured.nanos)).1
}

/// Bytes, a power of two, in five characters.
fn power(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        20.. => format!("{}M", bytes >> 20),
        10..20 => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// The samples of one workload, by contender, size and capacity, in the order they first came.
fn groups<'s>(samples: &[&'s Sample], workload: Workload) -> Vec<Vec<&'s Sample>> {
    let mut groups: Vec<Vec<&Sample>> = Vec::new();
    let same = |a: &Sample, b: &Sample| {
        a.request.load.readers == b.request.load.readers
            && a.request.contender.name == b.request.contender.name
            && a.request.load.size == b.request.load.size
            && a.request.asked() == b.request.asked()
    };
    for sample in samples
        .iter()
        .filter(|s| s.request.load.workload == workload)
    {
        match groups.iter_mut().find(|group| same(group[0], sample)) {
            Some(group) => group.push(sample),
            None => groups.push(vec![sample]),
        }
    }
    groups.sort_by_key(|group| (group[0].request.load.size, group[0].request.load.readers));
    groups
}

/// Smallest, median, largest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    let mid = median(&mut values);
    match (values.first(), values.last()) {
        (Some(low), Some(high)) => (*low, mid, *high),
        _ => (0.0, 0.0, 0.0),
    }
}
