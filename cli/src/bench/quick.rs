//! `slipring bench --quick`: what to expect of this machine, in words.
//!
//! Says only what was measured, and nothing of what has fewer samples than a figure needs.

use super::load::Workload;
use super::slices::{Sample, Settled};
use super::stats::{median, FEWEST};
use crate::text::nanos;
use serde_json::Value;
use std::time::Duration;

/// The sizes, workloads and contenders of the quick look.
pub const SIZES: [usize; 2] = [64, 1024];
pub const WORKLOADS: [Workload; 2] = [Workload::RoundTrip, Workload::OneWay];
pub const CONTENDERS: [&str; 6] = ["ring", "queue", "pipe", "unix", "dgram", "mq"];
/// No sample begins later, but those of the first round.
pub const LIMIT: Duration = Duration::from_secs(52);
pub const SAMPLE: Duration = Duration::from_millis(60);

/// The median nanoseconds of one contender; `None` of too few.
fn figure(samples: &[&Sample], name: &str, workload: Workload, size: usize) -> Option<f64> {
    let of = samples.iter().filter(|s| {
        let load = s.request.load;
        s.request.contender.name == name && load.workload == workload && load.size == size
    });
    let mut values: Vec<f64> = of.map(|s| s.measured.nanos).collect();
    (values.len() >= FEWEST).then(|| median(&mut values))
}

/// The verdict, a sentence or two each; `discarded` says how many slices were.
pub fn verdict(machine: &Value, settled: &Settled, discarded: &str) -> Vec<String> {
    let mut said = Vec::new();
    let all: usize = settled.states.iter().map(|s| s.readings).sum();
    let shares: Vec<String> = settled
        .states
        .iter()
        .map(|s| {
            let share = 100.0 * s.readings as f64 / all.max(1) as f64;
            format!(
                "{} in {share:.0} % of the bounces ({:.0} ns)",
                s.name, s.bounce
            )
        })
        .collect();
    said.push(match shares.len() {
        0 => "The cores were in no one state for long enough to say anything.".into(),
        1 => format!("The two cores were {}.", shares[0]),
        _ => format!(
            "The two cores moved: {}. Expect what is said of each of these at any moment.",
            shares.join(", ")
        ),
    });
    if machine["hypervisor"] == true {
        let text = "It is a virtual machine: where its cores are, and who else is there, is the host's affair.";
        said.push(text.into());
    }
    said.push(copies(machine));
    let before = said.len();
    for state in settled.states.iter() {
        let here = settled.samples.iter().filter(|s| s.state == state.name);
        let here: Vec<&Sample> = here.collect();
        for size in SIZES {
            said.extend(round_trips(&here, &state.name, size));
            said.extend(streams(&here, &state.name, size));
        }
    }
    // Those of rings and of what stands beside them.
    if said.len() == before {
        let text = "Too little of the measurement counts to say how long messages take: run it again while nothing \
                    else runs here.";
        said.push(text.into());
    }
    said.push(format!("Of the measurement: {discarded}."));
    said
}

/// Which copies the library uses, as `segment::copy` chooses them.
fn copies(machine: &Value) -> String {
    let moves = machine["moves"].as_str().unwrap_or("words");
    format!("Messages are copied with {moves}, the widest moves this processor has.")
}

fn round_trips(here: &[&Sample], state: &str, size: usize) -> Option<String> {
    let of = |name| figure(here, name, Workload::RoundTrip, size);
    let ring = of("ring")?;
    let others = ["queue", "pipe", "unix", "dgram", "mq"].into_iter();
    let others: Vec<String> = others
        .filter_map(|name| {
            let other = of(name)?;
            Some(format!(
                "{name} {} ({:.1} times)",
                nanos(other),
                other / ring
            ))
        })
        .collect();
    Some(format!(
        "Cores {state}, {size} bytes there and back: ring {}; {}.",
        nanos(ring),
        others.join(", ")
    ))
}

fn streams(here: &[&Sample], state: &str, size: usize) -> Option<String> {
    let of = |name| figure(here, name, Workload::OneWay, size);
    let rate = |nanos: f64| format!("{:.1}", 1e3 / nanos.max(1e-9));
    let ring = of("ring")?;
    let others = ["queue", "pipe", "unix", "dgram", "mq"].into_iter();
    let others: Vec<String> = others
        .filter_map(|name| Some(format!("{name} {}", rate(of(name)?))))
        .collect();
    Some(format!(
        "Cores {state}, a stream of {size} bytes, million messages a second: ring {}; {}.",
        rate(ring),
        others.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::load::{Load, Measured};
    use super::super::slices::{settle, Request, Slice, Taken, SLICE};
    use super::super::usage::Lost;
    use super::super::OURS;
    use super::*;
    use serde_json::json;

    fn taken(name: &str, round: usize, bounce: f64, nanos: f64) -> Taken {
        let request = Request {
            contender: OURS.find(name).unwrap(),
            load: Load {
                workload: Workload::RoundTrip,
                size: 64,
                sample: SLICE,
                rate: 0.0,
                readers: 1,
            },
            capacity: 4 << 20,
        };
        let slice = Slice {
            before: bounce,
            after: bounce,
            lost: Lost::default(),
            length: SLICE,
            measured: Measured {
                nanos,
                ..Measured::default()
            },
        };
        Taken {
            request,
            round,
            slices: vec![slice],
        }
    }

    #[test]
    fn the_verdict_says_what_was_measured_and_no_more() {
        let mut all = Vec::new();
        for round in 0..4 {
            all.push(taken("ring", round, 100.0, 160.0));
            all.push(taken("pipe", round, 100.0, 4800.0));
        }
        for round in 0..2 {
            all.push(taken("ring", round, 400.0, 600.0));
        }
        let settled = settle(&all, false).unwrap();
        let machine = json!({ "hypervisor": true, "moves": "32-byte moves (AVX)" });
        let said = verdict(&machine, &settled, "of 10 slices 0 were discarded").join("\n");
        assert!(
            said.contains("near in 80 % of the bounces (100 ns), far in 20 %"),
            "{said}"
        );
        assert!(
            said.contains("virtual machine") && said.contains("32-byte moves (AVX)"),
            "{said}"
        );
        let near = "Cores near, 64 bytes there and back: ring 160.0 ns; pipe 4.80 us (30.0 times).";
        assert!(said.contains(near), "{said}");
        // Two samples are no figure, and streams were not measured.
        assert!(
            !said.contains("Cores far") && !said.contains("stream of"),
            "{said}"
        );
        let nothing = verdict(
            &json!({}),
            &Settled::default(),
            "of 0 slices 0 were discarded",
        );
        assert!(nothing[0].contains("no one state"));
        // The reader is told why no figure is there, and only then.
        assert!(nothing.iter().any(|line| line.contains("run it again")));
        assert!(!said.contains("run it again"), "{said}");
    }
}
