//! In what states the two cores were, found from the bounces of one cache line between them.
//!
//! A state is a group of bounces within 15 % of their median: hyper-threads of one core, cores that share a
//! cache, cores that do not, or other arrangements of a machine. Groups are found, not fixed; only their names
//! go by their size. What was measured in one state is never compared with what was measured in another.

use super::stats::median;
use serde_json::{json, Value};

/// How far from its median a group goes.
const WIDTH: f64 = 0.15;
/// A group of fewer readings than this share of all is chance.
const SMALLEST: f64 = 0.01;
/// A group within this factor of a larger one is its fringe, unless it has this share of its readings.
const FRINGE: (f64, f64) = (1.5, 0.1);

/// One state.
#[derive(Clone, Debug)]
pub struct State {
    /// Unique in a run.
    pub name: String,
    /// The median of its bounces, in nanoseconds.
    pub bounce: f64,
    /// How many readings are within it.
    pub readings: usize,
}

/// The states of a run, by bounce.
#[derive(Clone, Debug, Default)]
pub struct States(Vec<State>);

/// Whether two bounces can be of one state at all: both within a group as wide as groups may be.
pub fn may_agree(before: f64, after: f64) -> bool {
    before.max(after) * (1.0 - WIDTH) <= before.min(after) * (1.0 + WIDTH)
}

impl States {
    /// Finds the states in all bounces of a run.
    pub fn find(bounces: impl IntoIterator<Item = f64>) -> Self {
        let mut left: Vec<f64> = bounces.into_iter().filter(|b| *b > 0.0).collect();
        left.sort_by(f64::total_cmp);
        let fewest = (left.len() as f64 * SMALLEST).ceil().max(2.0) as usize;
        let mut states: Vec<State> = Vec::new();
        while let Some(mut group) = densest(&left) {
            if group.len() < fewest {
                break;
            }
            let bounce = median(&mut group);
            // What the window cut off.
            let (mut group, rest): (Vec<f64>, Vec<f64>) = left
                .into_iter()
                .partition(|b| (b / bounce - 1.0).abs() <= WIDTH);
            left = rest;
            let fringe = states.iter().any(|larger| {
                let factor = (larger.bounce / bounce).max(bounce / larger.bounce);
                factor < FRINGE.0 && (group.len() as f64) < FRINGE.1 * larger.readings as f64
            });
            if !fringe {
                states.push(State {
                    name: String::new(),
                    readings: group.len(),
                    bounce: median(&mut group),
                });
            }
        }
        states.sort_by(|a, b| a.bounce.total_cmp(&b.bounce));
        for at in 0..states.len() {
            let class = class(states[at].bounce);
            let alone = states
                .iter()
                .filter(|s| self::class(s.bounce) == class)
                .count()
                == 1;
            states[at].name = match alone {
                true => class.into(),
                false => format!("{class}-{:.0}", states[at].bounce),
            };
        }
        Self(states)
    }

    pub fn iter(&self) -> impl Iterator<Item = &State> {
        self.0.iter()
    }

    pub fn get(&self, at: usize) -> Option<&State> {
        self.0.get(at)
    }

    /// The state of a bounce: the nearest that it is within.
    fn of(&self, bounce: f64) -> Option<usize> {
        let away = |state: &State| (bounce / state.bounce).ln().abs();
        let within = self.0.iter().enumerate();
        let within = within.filter(|(_, state)| (bounce / state.bounce - 1.0).abs() <= WIDTH);
        let nearest = within.min_by(|a, b| away(a.1).total_cmp(&away(b.1)));
        nearest.map(|(at, _)| at)
    }

    /// The state of what lies between two bounces; `None` if they are of different ones, or of none.
    pub fn between(&self, before: f64, after: f64) -> Option<usize> {
        self.of(before).filter(|at| self.of(after) == Some(*at))
    }

    pub fn to_json(&self) -> Value {
        let states = self.0.iter();
        states
            .map(|s| json!({ "name": s.name, "bounce_ns": s.bounce, "readings": s.readings }))
            .collect()
    }
}

/// What a state of this bounce is called.
fn class(bounce: f64) -> &'static str {
    match bounce {
        // What two hyper-threads of one core take.
        ..65.0 => "siblings",
        // Cores that share a cache.
        65.0..230.0 => "near",
        230.0..300.0 => "middle",
        _ => "far",
    }
}

/// Those of the sorted values that lie in the window of a group's width that has most of them.
fn densest(sorted: &[f64]) -> Option<Vec<f64>> {
    let windows = (0..sorted.len()).map(|from| {
        let end = sorted[from] / (1.0 - WIDTH) * (1.0 + WIDTH);
        &sorted[from..sorted.partition_point(|b| *b <= end)]
    });
    windows
        .max_by_key(|window| window.len())
        .map(<[f64]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many readings around each of these bounces, spread evenly over 8 % on both sides.
    fn readings(of: &[(f64, usize)]) -> Vec<f64> {
        let mut all: Vec<f64> = Vec::new();
        for (bounce, count) in of {
            let spread = |n| bounce * (0.92 + 0.16 * n as f64 / (count - 1) as f64);
            all.extend((0..*count).map(spread));
        }
        fastrand::Rng::with_seed(3).shuffle(&mut all);
        all
    }

    fn names(of: &[(f64, usize)]) -> Vec<String> {
        let states = States::find(readings(of));
        states.iter().map(|s| s.name.clone()).collect()
    }

    #[test]
    fn states_are_the_groups_that_are_there() {
        assert_eq!(names(&[(95.0, 300), (410.0, 200)]), ["near", "far"]);
        // Hyper-threads are not cores that share a cache.
        assert_eq!(
            names(&[(48.0, 30), (95.0, 110), (400.0, 40)]),
            ["siblings", "near", "far"]
        );
        // Steady, and near no other.
        assert_eq!(names(&[(250.0, 100)]), ["middle"]);
        assert_eq!(
            names(&[(80.0, 100), (120.0, 100), (400.0, 50), (700.0, 20)]),
            ["near-80", "near-120", "far-400", "far-700"]
        );
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn a_few_readings_beside_many_are_no_state() {
        let states = States::find(readings(&[(95.0, 500), (405.0, 500), (130.0, 12)]));
        assert_eq!(states.iter().count(), 2);
        assert_eq!(states.between(130.0, 130.0), None);
        // Farther away, as few are.
        assert_eq!(names(&[(95.0, 500), (405.0, 12)]), ["near", "far"]);
        let mut rare = readings(&[(95.0, 500)]);
        rare.push(900.0);
        assert_eq!(States::find(rare).iter().count(), 1);
    }

    #[test]
    fn two_bounces_agree_only_within_one_state() {
        let states = States::find(readings(&[(95.0, 50), (400.0, 50)]));
        let near = states.between(90.0, 102.0).unwrap();
        assert_eq!(states.get(near).unwrap().name, "near");
        assert_eq!(states.between(95.0, 400.0), None);
        assert_eq!(states.between(250.0, 250.0), None);
        assert!(may_agree(85.0, 114.0) && !may_agree(85.0, 116.0) && !may_agree(400.0, 95.0));
    }
}
