//! `slipring bench tables`: one page of all results that are stored, a table for each workload, the kinds of
//! processors side by side.
//!
//! Results lie in `DIR/KIND/DATE/*.json`. Of each kind the newest date counts, and all runs of that date;
//! states are found in all of them together. A cell rests on at least three samples. Results of before messages
//! were made ahead and read whole are marked.

use super::figures::{self, power, states, Taken, What};
use super::stats::{spread, FEWEST};
use crate::failure::{Failure, FAILED};
use crate::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
EXAMPLES
  slipring bench tables benches/results > docs/measurements/results.md")]
pub struct Arguments {
    /// A directory with results in KIND/DATE/*.json
    directory: PathBuf,
}

/// The results of one kind of processor.
struct Kind {
    name: String,
    date: String,
    processor: String,
    /// Whether any of it was measured by the loops of before.
    earlier: bool,
    samples: Vec<Taken>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let kinds = read(&arguments.directory)?;
    if kinds.is_empty() {
        let path = arguments.directory.display();
        let text = format!("{path}: no results in KIND/DATE/*.json");
        return Err(Failure::new(FAILED, text));
    }
    write!(io::stdout().lock(), "{}", page(&kinds))?;
    Ok(())
}

/// What is in a directory, sorted.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let named = |error| Failure::new(FAILED, format!("{}: {error}", directory.display()));
    let entries = std::fs::read_dir(directory).map_err(named)?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(named)?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn read(directory: &Path) -> Result<Vec<Kind>, Failure> {
    let mut kinds = Vec::new();
    for kind in entries(directory)?.iter().filter(|path| path.is_dir()) {
        // The last one that has results.
        for date in entries(kind)?.iter().rev().filter(|path| path.is_dir()) {
            let (mut samples, mut processor) = (Vec::new(), String::new());
            let mut earlier = false;
            for file in entries(date)? {
                if file.extension().is_some_and(|e| e == "json") {
                    let report = figures::read(&file)?;
                    samples.extend(figures::samples(&report).unwrap_or_default());
                    // The order of contenders has been drawn, and the seed stored, for as long as loops are as
                    // they are now.
                    earlier |= report["seed"].is_null();
                    let said =
                        |key: &str| report["machine"][key].as_str().unwrap_or("?").to_owned();
                    let (processor_name, family) = (said("processor"), said("family"));
                    processor =
                        format!("{processor_name}, family {family} model {}", said("model"));
                }
            }
            if !samples.is_empty() {
                kinds.push(Kind {
                    name: name(kind),
                    date: name(date),
                    processor,
                    earlier,
                    samples,
                });
                break;
            }
        }
    }
    Ok(kinds)
}

/// What stands above the tables of a workload, and how its figures are shown.
const WORKLOADS: [(&str, &str); 6] = [
    ("round-trip", "Round trips, ns"),
    ("one-way", "One way, million messages a second"),
    (
        "just-written",
        "One way, each message just written word by word, million messages a second",
    ),
    (
        "lossy",
        "Lossy, million messages a second received, and the share missed",
    ),
    ("burst", "What a publish costs beside readers, ns"),
    (
        "fan-out",
        "To each of many readers, million messages a second",
    ),
];

fn page(kinds: &[Kind]) -> String {
    let mut page = String::from(
        "# Results\n\n\
         Written by `slipring bench tables benches/results`, not by hand; how it is measured is in \
         [method](method.md).\nCells read `median (smallest..largest) Rsamples`, one sample a round; \
         fewer than three are *too few*. Columns are the states\nof the cores, found from the bounces of one \
         cache line: figures of one row in different columns are of different machines or\nplaces.\n\n\
         Columns marked *earlier loops* hold what was measured before messages were made ahead of their turn and every word \
         of them was read;\nthey favour this library in streams, and who lends memory in round trips of many lines \
         ([what was unfair](history.md#earlier-loops)).\n\n\
         | kind | processor | measured | states (bounce, ns) |\n|---|---|---|---|\n",
    );
    let mut columns = Vec::new();
    for kind in kinds {
        let states = states(kind.samples.iter());
        let named = states
            .iter()
            .map(|s| format!("{} ({:.0})", s.name, s.bounce));
        let named: Vec<String> = named.collect();
        // A string takes everything.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            kind.name,
            kind.processor,
            dated(kind),
            named.join(", ")
        );
        columns.extend(
            states
                .iter()
                .map(|s| (kind, states.clone(), s.name.clone())),
        );
    }
    for (workload, title) in WORKLOADS {
        let mut rows: BTreeMap<What, Vec<Vec<&Taken>>> = BTreeMap::new();
        for (at, (kind, states, state)) in columns.iter().enumerate() {
            let of = kind.samples.iter().filter(|s| s.what.workload == workload);
            for sample in of.filter(|s| s.state(states) == Some(state)) {
                let row = rows.entry(sample.what.clone()).or_default();
                row.resize(columns.len(), Vec::new());
                row[at].push(sample);
            }
        }
        // States in which this was never measured are no columns of it.
        let shown: Vec<usize> = (0..columns.len())
            .filter(|at| rows.values().any(|row| !row[*at].is_empty()))
            .collect();
        if shown.is_empty() {
            continue;
        }
        let _ = write!(
            page,
            "\n## {title}\n\n| size | readers | contender | capacity |"
        );
        for at in &shown {
            let (kind, _, state) = &columns[*at];
            let _ = write!(page, " {} {state}, {} |", kind.name, dated(kind));
        }
        let _ = writeln!(page, "\n|{}", "---|".repeat(4 + shown.len()));
        for (what, row) in &rows {
            let _ = write!(
                page,
                "| {} B | {} | {} | {} |",
                what.size,
                what.readers,
                what.contender,
                what.capacity.map_or("-".into(), power)
            );
            for at in &shown {
                let _ = write!(page, " {} |", cell(&row[*at], workload));
            }
            page.push('\n');
        }
    }
    page
}

/// When a kind was measured, and whether in another way than now.
fn dated(kind: &Kind) -> String {
    match kind.earlier {
        true => format!("{}, earlier loops", kind.date),
        false => kind.date.clone(),
    }
}

fn cell(samples: &[&Taken], workload: &str) -> String {
    let count = samples.len();
    match count {
        0 => return String::new(),
        n if n < FEWEST => return format!("too few R{n}"),
        _ => {}
    }
    let (low, mid, high) = spread(samples.iter().filter_map(|s| s.figure("each")));
    match workload {
        "round-trip" => format!("{mid:.0} ({low:.0}..{high:.0}) R{count}"),
        "burst" => format!("{mid:.1} ({low:.1}..{high:.1}) R{count}"),
        _ => {
            let [low, mid, high] = [high, mid, low].map(|nanos| 1e3 / nanos.max(1e-9));
            let missed = match workload {
                "lossy" => format!(", {:.1} %", spread(samples.iter().map(|s| s.missed)).1),
                _ => String::new(),
            };
            format!("{mid:.1} ({low:.1}..{high:.1}) R{count}{missed}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn store(
        directory: &Path,
        kind: &str,
        date: &str,
        seed: Option<u64>,
        bounce: f64,
        nanos: &[f64],
    ) {
        let directory = directory.join(kind).join(date);
        std::fs::create_dir_all(&directory).unwrap();
        let samples: Vec<_> = nanos
            .iter()
            .map(|nanos| {
                json!({
                    "contender": "ring", "workload": "one-way", "size": 64, "readers": 1,
                    "capacity": 4 << 20, "state": "near",
                    "bounce_before_ns": bounce, "bounce_after_ns": bounce,
                    "measured": { "nanos": nanos, "percentiles": [] },
                })
            })
            .collect();
        let report = json!({
            "machine": { "processor": "P", "family": "25", "model": "1" },
            "seed": seed,
            "samples": samples,
        });
        std::fs::write(directory.join("streams.json"), report.to_string()).unwrap();
    }

    #[test]
    fn kinds_stand_side_by_side_each_with_its_newest_date() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        store(at, "amd-19h-01h", "2026-11-24", None, 100.0, &[99.0; 4]);
        store(
            at,
            "amd-19h-01h",
            "2026-11-25",
            Some(1),
            100.0,
            &[10.0, 20.0, 40.0, 50.0],
        );
        store(at, "amd-1ah-02h", "2026-11-20", None, 400.0, &[5.0, 5.0]);
        let page = page(&read(at).unwrap());
        assert!(
            page.contains("| amd-19h-01h | P, family 25 model 1 | 2026-11-25 | near (100) |"),
            "{page}"
        );
        assert!(
            page.contains(
                "amd-19h-01h near, 2026-11-25 | amd-1ah-02h far, 2026-11-20, earlier loops |"
            ),
            "{page}"
        );
        // The middle of 20 and 40 ns.
        let row = "| 64 B | 1 | ring | 4M | 33.3 (20.0..100.0) R4 | too few R2 |";
        assert!(page.contains(row), "{page}");
        assert!(
            !page.contains("2026-11-24") && !page.contains("## Round"),
            "{page}"
        );
    }
}
