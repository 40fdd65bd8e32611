//! `slipring bench diff`: what has become faster and slower between two results.

use super::workload::median;
use crate::failure::{Failure, CHECK, FAILED, INCOMPATIBLE};
use crate::text::{nanos, styled, BOLD, GREEN, RED};
use crate::Outcome;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Compares what both results have, state by state. Something is better or worse only where the samples of the
two do not overlap.

EXAMPLES
  slipring bench --json > before.json
  slipring bench --json > after.json
  slipring bench diff before.json after.json --tolerance 5")]
pub struct Arguments {
    /// A result of `slipring bench --json`, or a report.json of `slipring bench latency`
    before: PathBuf,
    /// Another
    after: PathBuf,
    /// End with status 6 if anything is worse by more than this many percent
    #[arg(long, value_name = "PERCENT")]
    tolerance: Option<f64>,
}

/// What is compared: contender, workload, size, rate, state, and which figure.
type Key = (String, String, u64, u64, String, String);

pub fn run(arguments: &Arguments) -> Outcome {
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let mut out = io::stdout().lock();
    if !before.keys().any(|key| after.contains_key(key)) {
        let why = "the two results have nothing in common: the same contenders, sizes and states are needed";
        return Err(Failure::new(FAILED, why));
    }
    let mut too_slow = 0;
    let heading = format!(
        "{:<10} {:<10} {:>7} {:>10} {:<6} {:<7} {:>10} {:>10} {:>7}",
        "", "", "size", "rate", "cores", "figure", "before", "after", "ratio"
    );
    writeln!(out, "{}", styled(BOLD, &heading))?;
    for (key, old) in &before {
        let Some(new) = after.get(key) else { continue };
        let verdict = Verdict::of(old, new);
        let tolerated = arguments.tolerance.unwrap_or(f64::INFINITY) / 100.0;
        too_slow += u32::from(verdict.apart && verdict.ratio > 1.0 + tolerated);
        let (contender, workload, size, rate, state, figure) = key;
        let rate = if *rate == 0 {
            "-".into()
        } else {
            rate.to_string()
        };
        writeln!(
            out,
            "{contender:<10} {workload:<10} {size:>7} {rate:>10} {state:<6} {figure:<7} {:>10} {:>10} {:>7.2} {}",
            nanos(verdict.before),
            nanos(verdict.after),
            verdict.ratio,
            verdict.words(),
        )?;
    }
    if too_slow > 0 {
        let tolerance = arguments.tolerance.unwrap_or_default();
        let why = format!("{too_slow} figures are worse by more than {tolerance} %");
        return Err(Failure::new(CHECK, why));
    }
    Ok(())
}

struct Verdict {
    before: f64,
    after: f64,
    ratio: f64,
    /// Whether the samples do not overlap.
    apart: bool,
}

impl Verdict {
    fn of(old: &[f64], new: &[f64]) -> Self {
        let (mut old, mut new) = (old.to_vec(), new.to_vec());
        let (before, after) = (median(&mut old), median(&mut new));
        // Sorted by now.
        let bounds = |v: &[f64]| v.first().copied().zip(v.last().copied());
        let apart = match (bounds(&old), bounds(&new)) {
            (Some(old), Some(new)) => old.1 < new.0 || new.1 < old.0,
            _ => false,
        };
        Self {
            before,
            after,
            ratio: after / before.max(f64::MIN_POSITIVE),
            apart,
        }
    }

    fn words(&self) -> String {
        match (self.apart, self.ratio > 1.0) {
            (false, _) => "level".into(),
            (true, true) => styled(RED, "worse"),
            (true, false) => styled(GREEN, "better"),
        }
    }
}

/// Every figure of a result, smaller being better, with all its samples.
fn read(path: &Path) -> Result<BTreeMap<Key, Vec<f64>>, Failure> {
    let named = |code, error: &dyn std::fmt::Display| {
        Failure::new(code, format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| named(FAILED, &error))?;
    let result: Value = serde_json::from_str(&text).map_err(|error| named(INCOMPATIBLE, &error))?;
    let foreign = || named(INCOMPATIBLE, &"this is no result of slipring bench");
    let mut figures: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    for sample in result["samples"].as_array().ok_or_else(foreign)? {
        let said = |key: &str| sample[key].as_str().map(str::to_owned).ok_or_else(foreign);
        let (contender, workload, state) = (said("contender")?, said("workload")?, said("state")?);
        let size = sample["size"].as_u64().ok_or_else(foreign)?;
        let rate = sample["rate"].as_f64().unwrap_or(0.0) as u64;
        let mut add = |figure: String, value: f64| {
            let (contender, workload, state) = (contender.clone(), workload.clone(), state.clone());
            let key = (contender, workload, size, rate, state, figure);
            figures.entry(key).or_default().push(value);
        };
        let measured = &sample["measured"];
        if let Some(mean) = measured["nanos"].as_f64() {
            add("each".into(), mean);
        }
        for pair in measured["percentiles"].as_array().ok_or_else(foreign)? {
            let (p, value) = pair[0].as_f64().zip(pair[1].as_f64()).ok_or_else(foreign)?;
            add(format!("p{p}"), value);
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_samples_that_do_not_overlap_are_worse_or_better() {
        let verdict = |old: &[f64], new: &[f64]| {
            let verdict = Verdict::of(old, new);
            (verdict.apart, (verdict.ratio * 100.0).round())
        };
        assert_eq!(
            verdict(&[10.0, 12.0, 11.0], &[13.0, 15.0, 14.0]),
            (true, 127.0)
        );
        assert_eq!(
            verdict(&[13.0, 15.0, 14.0], &[10.0, 12.0, 11.0]),
            (true, 79.0)
        );
        assert_eq!(
            verdict(&[10.0, 14.0, 11.0], &[13.0, 15.0, 14.0]),
            (false, 127.0)
        );
    }
}
