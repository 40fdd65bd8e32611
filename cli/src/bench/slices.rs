//! From slices to samples: which of them count, in which state, and why the others do not.
//!
//! A contender is opened once per round and runs several short slices, each between two bounces. A slice that
//! was disturbed, or whose bounces are not of one state, is discarded and counted. The rest, by state, is one
//! sample of that round: slices of one round are no samples of their own, as they share what they ran in.

use super::channel::Contender;
use super::load::{Load, Measured};
use super::states::{may_agree, States};
use super::stats::median;
use super::usage::Lost;
use serde_json::{json, Value};
use std::io;
use std::time::Duration;

/// How long a slice is, unless a sample is shorter.
pub const SLICE: Duration = Duration::from_millis(20);
/// The name of what has no state, where it is kept.
pub const CHANGED: &str = "changed";

/// One sample to take.
#[derive(Clone)]
pub struct Request {
    pub contender: Contender,
    pub load: Load,
    /// Bytes of data that what is measured shall hold, if it lets itself be told.
    pub capacity: u64,
}

impl Request {
    /// How large what is measured was asked to be; `None` where it does not let itself be asked.
    pub fn asked(&self) -> Option<u64> {
        self.contender.capacity.then_some(self.capacity)
    }
}

/// How a sample is cut.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub length: Duration,
    pub slices: usize,
    /// How many more are tried in the place of those that do not count.
    pub spare: usize,
}

impl Plan {
    pub fn of(sample: Duration, keep_all: bool) -> Self {
        let length = sample.min(SLICE);
        let slices = (sample.as_secs_f64() / length.as_secs_f64())
            .round()
            .max(1.0) as usize;
        let spare = if keep_all { 0 } else { slices };
        Self {
            length,
            slices,
            spare,
        }
    }
}

/// One slice and the bounces around it.
#[derive(Clone, Debug)]
pub struct Slice {
    pub before: f64,
    pub after: f64,
    pub lost: Lost,
    pub length: Duration,
    pub measured: Measured,
}

impl Slice {
    /// Whether it can count at all, as far as can be told before all bounces are known.
    pub fn may_count(&self) -> bool {
        may_agree(self.before, self.after) && !self.lost.disturbs(self.length)
    }
}

/// What one contender did in one round.
#[derive(Clone)]
pub struct Taken {
    pub request: Request,
    pub round: usize,
    pub slices: Vec<Slice>,
}

/// The slices of one contender in one round and one state.
#[derive(Clone)]
pub struct Sample {
    pub request: Request,
    pub round: usize,
    /// `CHANGED` if it has none.
    pub state: String,
    /// Medians over the slices.
    pub before: f64,
    pub after: f64,
    pub slices: usize,
    pub measured: Measured,
}

impl Sample {
    pub fn bounce(&self) -> f64 {
        (self.before + self.after) / 2.0
    }
}

/// Why a slice does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its bounces are of two states, or of none.
    Changed,
    /// Others had the cores, or the host did.
    Disturbed,
}

/// A slice that does not count.
#[derive(Clone)]
pub struct Discarded {
    pub request: Request,
    pub round: usize,
    pub why: Why,
    pub slice: Slice,
}

/// All of a run, sorted.
#[derive(Default)]
pub struct Settled {
    pub states: States,
    pub samples: Vec<Sample>,
    pub discarded: Vec<Discarded>,
}

/// Sorts all slices of a run; with `keep_all` none is discarded, and those without a state are [`CHANGED`].
pub fn settle(taken: &[Taken], keep_all: bool) -> io::Result<Settled> {
    let slices = taken.iter().flat_map(|t| &t.slices);
    let states = States::find(slices.flat_map(|slice| [slice.before, slice.after]));
    let (mut samples, mut discarded) = (Vec::new(), Vec::new());
    for Taken {
        request,
        round,
        slices,
    } in taken
    {
        // By state, those without one last.
        let mut kept: Vec<(usize, Vec<&Slice>)> = Vec::new();
        for slice in slices {
            let state = states.between(slice.before, slice.after);
            let why = match (slice.lost.disturbs(slice.length), state) {
                (true, _) => Some(Why::Disturbed),
                (false, None) => Some(Why::Changed),
                _ => None,
            };
            if let Some(why) = why.filter(|_| !keep_all) {
                discarded.push(Discarded {
                    request: request.clone(),
                    round: *round,
                    why,
                    slice: slice.clone(),
                });
                continue;
            }
            let state = state.unwrap_or(usize::MAX);
            match kept.iter_mut().find(|(s, _)| *s == state) {
                Some((_, slices)) => slices.push(slice),
                None => kept.push((state, vec![slice])),
            }
        }
        kept.sort_by_key(|(state, _)| *state);
        for (state, slices) in kept {
            samples.push(Sample {
                request: request.clone(),
                round: *round,
                state: states.get(state).map_or(CHANGED.into(), |s| s.name.clone()),
                before: middle(&slices, |s| s.before),
                after: middle(&slices, |s| s.after),
                slices: slices.len(),
                measured: combined(&slices)?,
            });
        }
    }
    Ok(Settled {
        states,
        samples,
        discarded,
    })
}

fn middle(slices: &[&Slice], of: impl Fn(&Slice) -> f64) -> f64 {
    median(&mut slices.iter().map(|slice| of(slice)).collect::<Vec<_>>())
}

/// Counts are added, latencies too; everything else is the median over the slices.
fn combined(slices: &[&Slice]) -> io::Result<Measured> {
    let all = || slices.iter().map(|slice| &slice.measured);
    let first = slices.first().map(|slice| &slice.measured);
    let percentiles = first.into_iter().flat_map(|first| &first.percentiles);
    let percentiles = percentiles.map(|(p, _)| {
        let same = all()
            .flat_map(|m| &m.percentiles)
            .filter(|pair| pair.0 == *p);
        let mut values: Vec<f64> = same.map(|pair| pair.1 as f64).collect();
        (*p, median(&mut values).round() as u64)
    });
    let mut latencies = first.and_then(|first| first.latencies.clone());
    for more in all().skip(1).filter_map(|m| m.latencies.as_ref()) {
        if let Some(sum) = &mut latencies {
            sum.response.add(&more.response).map_err(io::Error::other)?;
            sum.service.add(&more.service).map_err(io::Error::other)?;
        }
    }
    Ok(Measured {
        nanos: middle(slices, |slice| slice.measured.nanos),
        count: all().map(|m| m.count).sum(),
        percentiles: percentiles.collect(),
        missed: all().map(|m| m.missed).sum(),
        told: all().all(|m| m.told),
        late: all().map(|m| m.late).sum(),
        latencies,
    })
}

impl Discarded {
    pub fn to_json(&self) -> Value {
        let lost = &self.slice.lost;
        json!({
            "contender": self.request.contender.name,
            "workload": self.request.load.workload.name(),
            "size": self.request.load.size,
            "readers": self.request.load.readers,
            "capacity": self.request.asked(),
            "round": self.round,
            "why": match self.why {
                Why::Changed => "changed",
                Why::Disturbed => "disturbed",
            },
            "bounce_before_ns": self.slice.before,
            "bounce_after_ns": self.slice.after,
            "involuntary_switches": lost.switches,
            "waited_ns": lost.waited,
            "stolen_ns": lost.stolen,
            "nanos": self.slice.measured.nanos,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Workload;
    use super::super::OURS;
    use super::*;

    fn slice(before: f64, after: f64, nanos: f64) -> Slice {
        Slice {
            before,
            after,
            lost: Lost::default(),
            length: SLICE,
            measured: Measured {
                nanos,
                count: 10,
                percentiles: vec![(50.0, nanos as u64), (99.0, 2 * nanos as u64)],
                missed: 1,
                told: true,
                ..Measured::default()
            },
        }
    }

    fn taken(round: usize, slices: Vec<Slice>) -> Taken {
        let request = Request {
            contender: OURS.contenders[0],
            load: Load {
                workload: Workload::OneWay,
                size: 64,
                sample: SLICE,
                rate: 0.0,
                readers: 1,
            },
            capacity: 4 << 20,
        };
        Taken {
            request,
            round,
            slices,
        }
    }

    #[test]
    fn a_round_gives_one_sample_for_each_state_it_was_in() {
        let mut disturbed = slice(101.0, 99.0, 1000.0);
        disturbed.lost.stolen = 10_000_000;
        let all = [
            taken(
                0,
                vec![
                    slice(100.0, 102.0, 10.0),
                    slice(102.0, 98.0, 14.0),
                    slice(98.0, 400.0, 77.0),
                    slice(400.0, 405.0, 50.0),
                    disturbed,
                ],
            ),
            taken(1, vec![slice(104.0, 95.0, 12.0), slice(250.0, 400.0, 66.0)]),
        ];
        let settled = settle(&all, false).unwrap();
        let is = |s: &Sample| (s.round, s.state.clone(), s.slices, s.measured.nanos);
        let samples: Vec<_> = settled.samples.iter().map(is).collect();
        assert_eq!(
            samples,
            [
                (0, "near".to_owned(), 2, 12.0),
                (0, "far".to_owned(), 1, 50.0),
                (1, "near".to_owned(), 1, 12.0)
            ]
        );
        let near = &settled.samples[0].measured;
        assert_eq!((near.count, near.missed, near.told), (20, 2, true));
        assert_eq!(near.percentiles, [(50.0, 12), (99.0, 24)]);
        let why: Vec<_> = settled.discarded.iter().map(|d| (d.round, d.why)).collect();
        assert_eq!(
            why,
            [(0, Why::Changed), (0, Why::Disturbed), (1, Why::Changed)]
        );
        let kept = settle(&all, true).unwrap();
        assert!(kept.discarded.is_empty());
        let slices: usize = kept.samples.iter().map(|s| s.slices).sum();
        assert_eq!(slices, 7);
        let states: Vec<_> = kept.samples.iter().map(|s| &*s.state).collect();
        assert_eq!(states, ["near", "far", CHANGED, "near", CHANGED]);
    }

    #[test]
    fn a_sample_is_cut_into_slices_and_some_to_spare() {
        let plan = Plan::of(Duration::from_millis(100), false);
        assert_eq!((plan.length, plan.slices, plan.spare), (SLICE, 5, 5));
        let short = Plan::of(Duration::from_millis(1), true);
        assert_eq!(
            (short.length.as_millis(), short.slices, short.spare),
            (1, 1, 0)
        );
        assert!(slice(100.0, 120.0, 1.0).may_count() && !slice(100.0, 150.0, 1.0).may_count());
    }
}
