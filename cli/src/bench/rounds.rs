//! One round after the other: every workload, size and capacity, all contenders of each in random order.

use super::channel::Contender;
use super::load::{Load, Workload};
use super::peer::Peer;
use super::report::Report;
use super::ring;
use super::slices::{Plan, Request, Taken};
use crate::failure::{Failure, FAILED};
use crate::Outcome;
use fastrand::Rng;
use std::time::{Duration, Instant};

/// What is run.
pub struct Rounds<'a> {
    pub contenders: &'a [Contender],
    pub workloads: &'a [Workload],
    pub sizes: &'a [usize],
    pub capacities: &'a [u64],
    pub readers: &'a [usize],
    pub rounds: usize,
    /// No sample begins after this, but those of the first round.
    pub limit: Option<Duration>,
    pub sample: Duration,
    pub keep_all: bool,
    /// The order is drawn from it.
    pub seed: u64,
}

impl Rounds<'_> {
    pub fn measure(&self, peer: &mut Peer, report: &mut Report) -> Outcome {
        let largest = self.capacities.iter().copied().max().unwrap_or(4 << 20);
        report.publish_costs(ring::publish_cost(peer.directory(), self.sizes, largest)?);
        let (start, mut rng) = (Instant::now(), Rng::with_seed(self.seed));
        let rounds = self.rounds.max(1);
        let over = |round| round > 0 && self.limit.is_some_and(|limit| start.elapsed() >= limit);
        'rounds: for round in 0..rounds {
            for load in self.loads() {
                let mut requests = self.requests(load);
                rng.shuffle(&mut requests);
                for request in requests {
                    if over(round) {
                        break 'rounds;
                    }
                    let plan = Plan::of(self.sample, self.keep_all);
                    match peer.sample(&request, plan)? {
                        Ok(slices) => report.add(Taken {
                            request,
                            round,
                            slices,
                        }),
                        Err(reason) => report.absent(request.contender.name, &reason),
                    }
                }
            }
            report.progress(round + 1, rounds);
        }
        if report.is_empty() {
            let text =
                "nothing was measured: none of the contenders takes part in these workloads and sizes";
            return Err(Failure::new(FAILED, text));
        }
        Ok(())
    }

    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for &size in self.sizes {
            for &workload in self.workloads {
                let readers = if workload.fans() { self.readers } else { &[1] };
                // A stream to no reader is a burst.
                let readers = readers
                    .iter()
                    .filter(|n| **n > 0 || workload != Workload::FanOut);
                loads.extend(readers.map(|readers| Load {
                    workload,
                    size,
                    sample: self.sample,
                    rate: 0.0,
                    readers: *readers,
                }));
            }
        }
        loads
    }

    /// All who take part in a load, at each capacity; what has no capacity is measured once.
    fn requests(&self, load: Load) -> Vec<Request> {
        let suited = self.contenders.iter();
        let suited = suited.filter(|c| (c.suits)(load.workload, load.size));
        suited
            .flat_map(|contender| {
                let capacities = match contender.capacity {
                    true => self.capacities,
                    false => &self.capacities[..1],
                };
                capacities.iter().map(move |capacity| Request {
                    contender: *contender,
                    load,
                    capacity: *capacity,
                })
            })
            .collect()
    }
}
