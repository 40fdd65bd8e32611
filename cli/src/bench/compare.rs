//! Two sets of samples compared, figure by figure: what is better, what is worse, and what cannot be told.
//!
//! A figure is better or worse if the rank test says that the two sets differ, corrected for the number of
//! figures compared: the chance that a comparison of the same thing with itself calls any figure better or
//! worse is at most 5 %, however many there are.

use super::figures::{states, Taken, What};
use super::stats::{holm, median, ratio_interval, RankTest};
use std::collections::BTreeMap;

/// The chance of any false alarm in a comparison: less than the 5 % that are promised.
const LEVEL: f64 = 0.03;
/// Fewer samples than this on either side are not compared.
pub const FEWEST: usize = 5;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub what: What,
    pub state: String,
    pub figure: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    TooFew,
    Level,
    Better,
    Worse,
}

/// One figure on both sides.
#[derive(Clone, Debug)]
pub struct Line {
    pub key: Key,
    pub before: Vec<f64>,
    pub after: Vec<f64>,
    pub verdict: Verdict,
}

impl Line {
    /// The median after to the one before.
    pub fn ratio(&self) -> f64 {
        let [before, after] = self.medians();
        after / before.max(f64::MIN_POSITIVE)
    }

    pub fn medians(&self) -> [f64; 2] {
        [&self.before, &self.after].map(|side| median(&mut side.clone()))
    }

    /// Where the ratio lies, with a confidence of 95 %.
    pub fn interval(&self) -> (f64, f64) {
        ratio_interval(&self.before, &self.after)
    }
}

/// All figures that both sides have; their states are found in both together.
pub fn compare(before: &[Taken], after: &[Taken]) -> Vec<Line> {
    let states = states(before.iter().chain(after));
    let mut sides: BTreeMap<Key, [Vec<f64>; 2]> = BTreeMap::new();
    for (side, samples) in [before, after].into_iter().enumerate() {
        for sample in samples {
            let Some(state) = sample.state(&states) else {
                continue;
            };
            for (figure, value) in &sample.figures {
                let key = Key {
                    what: sample.what.clone(),
                    state: state.to_owned(),
                    figure: figure.clone(),
                };
                sides.entry(key).or_default()[side].push(*value);
            }
        }
    }
    judge(sides)
}

/// Judges all figures of a comparison; those that one side lacks are left out.
pub fn judge(sides: BTreeMap<Key, [Vec<f64>; 2]>) -> Vec<Line> {
    let both = sides.into_iter();
    let both = both.filter(|(_, sides)| sides.iter().all(|side| !side.is_empty()));
    let mut lines: Vec<Line> = both
        .map(|(key, [before, after])| Line {
            key,
            before,
            after,
            verdict: Verdict::TooFew,
        })
        .collect();
    let enough = |line: &&mut Line| line.before.len().min(line.after.len()) >= FEWEST;
    let mut test = RankTest::default();
    let chances: Vec<f64> = lines
        .iter_mut()
        .filter(enough)
        .map(|line| test.p(&line.before, &line.after))
        .collect();
    for (line, chance) in lines.iter_mut().filter(enough).zip(holm(&chances)) {
        line.verdict = match (chance < LEVEL, line.ratio() > 1.0) {
            (false, _) => Verdict::Level,
            (true, true) => Verdict::Worse,
            (true, false) => Verdict::Better,
        };
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::turns::ROUNDS;
    use super::*;
    use fastrand::Rng;
    use serde_json::json;

    fn key(figure: usize) -> Key {
        Key {
            what: What {
                workload: "one-way".into(),
                size: 64,
                readers: 1,
                rate: 0,
                contender: "ring".into(),
                capacity: None,
            },
            state: "near".into(),
            figure: figure.to_string(),
        }
    }

    /// A sample of something that takes 100: noise of 2 %, one in ten an outlier.
    fn noisy(rng: &mut Rng) -> f64 {
        // The sum of twelve is as good as normal.
        let normal: f64 = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let outlier = match rng.f64() < 0.1 {
            true => 1.0 + 0.5 * rng.f64(),
            false => 1.0,
        };
        100.0 * (1.0 + 0.02 * normal) * outlier
    }

    /// Compares `figures` figures of a thing with itself, the first being `factor` slower the second time.
    fn simulated(rng: &mut Rng, figures: usize, rounds: usize, factor: f64) -> Vec<Line> {
        let mut draw = |factor: f64| (0..rounds).map(|_| factor * noisy(rng)).collect();
        let sides = (0..figures).map(|figure| {
            let slower = if figure == 0 { factor } else { 1.0 };
            (key(figure), [draw(1.0), draw(slower)])
        });
        judge(sides.collect())
    }

    #[test]
    fn the_same_thing_twice_is_no_difference_in_95_of_100_comparisons() {
        let mut rng = Rng::with_seed(20);
        for (figures, rounds) in [(60, ROUNDS), (8, 5), (1, 7), (200, 30)] {
            const RUNS: usize = 1000;
            let alarms = (0..RUNS)
                .filter(|_| {
                    let lines = simulated(&mut rng, figures, rounds, 1.0);
                    assert!(lines.len() == figures);
                    lines.iter().any(|line| line.verdict != Verdict::Level)
                })
                .count();
            assert!(
                alarms <= RUNS / 20,
                "{alarms} of {RUNS}, {figures} figures, {rounds} rounds"
            );
        }
    }

    #[test]
    fn a_difference_of_a_tenth_is_found_with_the_rounds_there_are_by_default() {
        let mut rng = Rng::with_seed(21);
        for factor in [1.1, 1.0 / 1.1] {
            const RUNS: usize = 300;
            let found = (0..RUNS)
                .filter(|_| {
                    let lines = simulated(&mut rng, 60, ROUNDS, factor);
                    let should = match factor > 1.0 {
                        true => Verdict::Worse,
                        false => Verdict::Better,
                    };
                    lines[0].verdict == should
                })
                .count();
            assert!(found * 100 >= RUNS * 97, "{found} of {RUNS}");
        }
        // And more rounds find more, not less.
        let found =
            (0..100).filter(|_| simulated(&mut rng, 60, 60, 1.05)[0].verdict == Verdict::Worse);
        assert!(found.count() >= 95);
    }

    #[test]
    fn fewer_than_five_samples_are_not_compared() {
        let apart = |n: usize| {
            let side = |from: f64| (0..n).map(|i| from + i as f64).collect();
            judge([(key(0), [side(100.0), side(200.0)])].into())[0].verdict
        };
        assert_eq!(apart(4), Verdict::TooFew);
        assert_eq!(apart(5), Verdict::Worse);
        let missing = judge([(key(0), [vec![1.0], vec![]])].into());
        assert!(missing.is_empty());
    }

    fn report(of: &[(u64, Option<u64>, f64, f64)]) -> Vec<Taken> {
        let samples: Vec<_> = of
            .iter()
            .map(|(readers, capacity, bounce, nanos)| {
                json!({
                    "contender": "ring", "workload": "burst", "size": 64, "readers": readers,
                    "capacity": capacity, "state": "near",
                    "bounce_before_ns": bounce, "bounce_after_ns": bounce,
                    "measured": { "nanos": nanos, "percentiles": [[50.0, nanos]] },
                })
            })
            .collect();
        super::super::figures::samples(&json!({ "samples": samples })).unwrap()
    }

    #[test]
    fn what_differs_in_readers_capacity_or_state_is_compared_apart() {
        let mut of = Vec::new();
        for n in 0..6 {
            let noise = f64::from(n) / 10.0;
            of.push((0, Some(1 << 20), 100.0, 13.8 + noise));
            of.push((1, Some(1 << 20), 100.0, 19.9 + noise));
            of.push((1, Some(1 << 22), 100.0, 30.0 + noise));
            of.push((1, Some(1 << 22), 400.0, 90.0 + noise));
        }
        let samples = report(&of);
        let lines = compare(&samples, &samples);
        assert_eq!(lines.len(), 2 * 4);
        for line in lines {
            assert_eq!((line.before.len(), line.after.len()), (6, 6));
            let range = line.before.iter().fold(0.0f64, |a, b| a.max(*b))
                - line.before.iter().fold(f64::MAX, |a, b| a.min(*b));
            assert!(range < 1.0, "pooled: {:?}", line.before);
            assert_eq!(line.verdict, Verdict::Level);
        }
    }
}
