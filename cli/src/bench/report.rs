//! From samples to tables, or to JSON with every sample in it.

use super::channel::Contender;
use super::slices::{settle, Settled, Taken, Why};
use super::{machine, rows, usage};
use crate::text::{styled, BOLD};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

/// What a run has seen.
pub struct Report {
    machine: Value,
    seed: u64,
    keep_all: bool,
    /// The names of the contenders as they are listed; they run in random order.
    order: Vec<&'static str>,
    taken: Vec<Taken>,
    publish: Vec<(usize, f64)>,
    absent: BTreeMap<String, String>,
}

impl Report {
    pub fn new(machine: Value, contenders: &[Contender], seed: u64, keep_all: bool) -> Self {
        Self {
            machine,
            seed,
            keep_all,
            order: contenders.iter().map(|c| c.name).collect(),
            taken: Vec::new(),
            publish: Vec::new(),
            absent: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, taken: Taken) {
        self.taken.push(taken);
    }

    pub fn publish_costs(&mut self, costs: Vec<(usize, f64)>) {
        self.publish = costs;
    }

    pub fn absent(&mut self, contender: &str, reason: &str) {
        self.absent.insert(contender.to_owned(), reason.to_owned());
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    pub fn machine(&self) -> &Value {
        &self.machine
    }

    /// Sorts what has been taken.
    pub fn settle(&self) -> io::Result<Settled> {
        settle(&self.taken, self.keep_all)
    }

    pub fn progress(&self, round: usize, rounds: usize) {
        if io::stderr().is_terminal() {
            eprint!(
                "\rround {round}{}",
                match rounds {
                    usize::MAX => String::new(),
                    all if round == all => format!(" of {all}\n"),
                    all => format!(" of {all}"),
                }
            );
        }
    }

    pub fn print(&self, settled: &Settled) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{}\n{}\n",
            styled(BOLD, "machine"),
            machine::summary(&self.machine)
        )?;
        writeln!(out, "{}", styled(BOLD, "publish, no reader"))?;
        for (size, nanos) in &self.publish {
            writeln!(out, "  {size:>6} B {nanos:>8.2} ns")?;
        }
        rows::print(&mut out, settled, &self.order)?;
        writeln!(out, "\n{}", self.discarded(settled))?;
        writeln!(out, "order of the contenders: seed {}", self.seed)?;
        for (contender, reason) in &self.absent {
            writeln!(out, "\n{contender} did not take part: {reason}")?;
        }
        Ok(())
    }

    pub fn to_json(&self, settled: &Settled) -> Value {
        let samples = settled.samples.iter().map(|sample| {
            json!({
                "contender": sample.request.contender.name,
                "workload": sample.request.load.workload.name(),
                "size": sample.request.load.size,
                "readers": sample.request.load.readers,
                "capacity": sample.request.asked(),
                "round": sample.round,
                "state": sample.state,
                "slices": sample.slices,
                "bounce_before_ns": sample.before,
                "bounce_after_ns": sample.after,
                "measured": sample.measured.to_json(),
            })
        });
        let samples: Vec<Value> = samples.collect();
        let discarded: Vec<Value> = settled.discarded.iter().map(|d| d.to_json()).collect();
        json!({
            "machine": self.machine,
            "seed": self.seed,
            "publish_alone_ns": self.publish.iter().map(|(size, nanos)| json!({ "size": size, "nanos": nanos })).collect::<Vec<_>>(),
            "states": settled.states.to_json(),
            "samples": samples,
            "discarded": discarded,
            "absent": self.absent,
        })
    }

    /// How many slices were discarded and why, in a sentence.
    pub fn discarded(&self, settled: &Settled) -> String {
        let all: usize = self.taken.iter().map(|t| t.slices.len()).sum();
        let of = |why: Why| settled.discarded.iter().filter(|d| d.why == why).count();
        format!(
            "of {all} slices {} were discarded: {} as the bounces around them are of no one state, {} as others had more than {:.0} % of them",
            settled.discarded.len(),
            of(Why::Changed),
            of(Why::Disturbed),
            100.0 * usage::LIMIT,
        )
    }
}
