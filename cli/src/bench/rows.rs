//! The tables of a run: for each state and workload one row for each configuration.
//!
//! Every figure stands with the number of samples it is the median of; fewer than three are no figure.

use super::figures::power;
use super::load::{Measured, Workload};
use super::slices::{Request, Sample, Settled, CHANGED};
use super::stats::{median, spread, FEWEST};
use crate::text::{count, styled, BOLD};
use std::io::{self, Write};

/// Prints all of them; contenders in this order.
pub fn print(out: &mut impl Write, settled: &Settled, order: &[&str]) -> io::Result<()> {
    let named = settled.states.iter().map(|state| &*state.name);
    for state in named.chain([CHANGED]) {
        print_state(out, settled, state, order)?;
    }
    Ok(())
}

fn print_state(
    out: &mut impl Write,
    settled: &Settled,
    state: &str,
    order: &[&str],
) -> io::Result<()> {
    let samples = settled.samples.iter();
    let here: Vec<&Sample> = samples.filter(|s| s.state == state).collect();
    if here.is_empty() {
        return Ok(());
    }
    let bounce = median(&mut here.iter().map(|s| s.bounce()).collect::<Vec<_>>());
    let title = match state {
        CHANGED => "\nin no one state, comparable with nothing".to_owned(),
        state => format!("\ncores {state} (bounce of one line each way: {bounce:.0} ns)"),
    };
    writeln!(out, "{}", styled(BOLD, &title))?;
    for workload in Workload::ALL {
        let rows = best(groups(&here, workload, order));
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
            print_row(out, group, &rows, workload)?;
        }
    }
    Ok(())
}

fn print_row(
    out: &mut impl Write,
    group: &[&Sample],
    rows: &[Vec<&Sample>],
    workload: Workload,
) -> io::Result<()> {
    let request = &&group[0].request;
    let (low, mid, high) = spread(group.iter().map(|s| s.measured.nanos));
    let label = format!(
        "  {:<10} {:>5} B {:>5}",
        request.contender.name,
        request.load.size,
        request.asked().map_or("-".into(), power)
    );
    if group.len() < FEWEST {
        let readers = match workload.fans() {
            true => format!(" x{:<3}", request.load.readers),
            false => "  ".into(),
        };
        return writeln!(out, "{label}{readers}too few R{}", group.len());
    }
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
                    && row.len() >= FEWEST
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
        // What is shown at all comes first.
        let rank = |group: &[&Sample]| (group.len() < FEWEST, middle(group));
        match rows.iter_mut().find(same) {
            Some(row) if rank(&group) < rank(row) => *row = group,
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

/// The samples of one workload, by contender, size and capacity, in this order of contenders.
fn groups<'s>(samples: &[&'s Sample], workload: Workload, order: &[&str]) -> Vec<Vec<&'s Sample>> {
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
    groups.sort_by_key(|group| {
        let Request {
            contender, load, ..
        } = &group[0].request;
        let place = order.iter().position(|name| *name == contender.name);
        (load.size, load.readers, place)
    });
    groups
}
