//! Stored results, read again: every sample with what it is a sample of, sorted by the states that the
//! bounces around them show. Reads what this version writes and what earlier ones wrote.

use super::states::States;
use crate::failure::{Failure, FAILED, INCOMPATIBLE};
use serde_json::Value;
use std::path::Path;

/// Everything that must be the same in two samples that are compared, but for the state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct What {
    pub workload: String,
    pub size: u64,
    pub readers: u64,
    /// Messages a second; zero where there is no rate.
    pub rate: u64,
    pub contender: String,
    /// Bytes; `None` where it has none, or where it was not written down.
    pub capacity: Option<u64>,
}

/// One sample.
#[derive(Clone, Debug)]
pub struct Taken {
    pub what: What,
    pub before: f64,
    pub after: f64,
    /// Nanoseconds, smaller being better: `each`, and percentiles.
    pub figures: Vec<(String, f64)>,
    /// What share of the messages was missed, in percent.
    pub missed: f64,
    /// Whether its brackets disagreed.
    changed: bool,
}

impl Taken {
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|f| f.0 == name).map(|f| f.1)
    }

    /// In which of the states it was taken, if in one.
    pub fn state<'s>(&self, states: &'s States) -> Option<&'s str> {
        let at = states.between(self.before, self.after)?;
        states.get(at).filter(|_| !self.changed).map(|s| &*s.name)
    }
}

/// The states of all these samples together.
pub fn states<'t>(samples: impl Iterator<Item = &'t Taken>) -> States {
    States::find(samples.flat_map(|sample| [sample.before, sample.after]))
}

/// The samples of a report; `None` if it is none.
pub fn samples(report: &Value) -> Option<Vec<Taken>> {
    report["samples"].as_array()?.iter().map(sample).collect()
}

fn sample(sample: &Value) -> Option<Taken> {
    let said = |key: &str| sample[key].as_str().map(str::to_owned);
    let measured = &sample["measured"];
    let mut figures = Vec::new();
    if let Some(mean) = measured["nanos"].as_f64() {
        figures.push(("each".into(), mean));
    }
    for pair in measured["percentiles"].as_array()? {
        let (p, value) = pair[0].as_f64().zip(pair[1].as_f64())?;
        figures.push((format!("p{p}"), value));
    }
    let counted = |key: &str| measured[key].as_u64().unwrap_or(0) as f64;
    let (count, missed) = (counted("count"), counted("missed"));
    Some(Taken {
        what: What {
            workload: said("workload")?,
            size: sample["size"].as_u64()?,
            readers: sample["readers"].as_u64().unwrap_or(1),
            rate: sample["rate"].as_f64().unwrap_or(0.0) as u64,
            contender: said("contender")?,
            capacity: sample["capacity"].as_u64(),
        },
        before: sample["bounce_before_ns"].as_f64()?,
        after: sample["bounce_after_ns"].as_f64()?,
        figures,
        missed: 100.0 * missed / (missed + count).max(1.0),
        changed: said("state")? == super::slices::CHANGED,
    })
}

/// A stored report.
pub fn read(path: &Path) -> Result<Value, Failure> {
    let named = |code, error: &dyn std::fmt::Display| {
        Failure::new(code, format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| named(FAILED, &error))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| named(INCOMPATIBLE, &error))?;
    match samples(&report) {
        Some(_) => Ok(report),
        None => Err(named(INCOMPATIBLE, &"this is no result of slipring bench")),
    }
}

/// Bytes in few characters: `64K`, `4M`.
pub fn power(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        20.. => format!("{}M", bytes >> 20),
        10..20 => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}
