//! What the cores do by themselves: how long a message waits that is due at a random moment, if nothing but
//! the machine is in its way.
//!
//! Weighted by time. A core that is away for 4 ms once in 100 ms has one long gap among millions of short
//! ones, but a message has one chance in 25 to be due in it.

use super::load::pairs;
use crate::text::nanos;
use hdrhistogram::Histogram;
use serde_json::{json, Value};
use std::fmt::{self, Display, Formatter};

/// The percentiles that are shown.
const PERCENTILES: [f64; 4] = [99.0, 99.9, 99.99, 99.999];

/// Gaps between readings of the clock, on both cores.
pub struct Gaps {
    histogram: Histogram<u64>,
    /// Each length and how many there were, longest first.
    gaps: Vec<(f64, f64)>,
}

impl Gaps {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        let mut gaps: Vec<(f64, f64)> = recorded
            .map(|at| (at.value_iterated_to() as f64, at.count_at_value() as f64))
            .collect();
        gaps.reverse();
        Self {
            histogram: histogram.clone(),
            gaps,
        }
    }

    /// What so many percent of all moments wait at most for the end of the gap they are in, and how many gaps
    /// were longer than that.
    pub fn wait(&self, percentile: f64) -> (f64, u64) {
        let total: f64 = self.gaps.iter().map(|(length, count)| length * count).sum();
        let beyond = total * (100.0 - percentile) / 100.0;
        // The time beyond a wait of w is what each longer gap has left of it, less w.
        let (mut time, mut longer) = (0.0, 0.0);
        for (at, (length, count)) in self.gaps.iter().enumerate() {
            time += length * count;
            longer += count;
            let wait = (time - beyond) / longer;
            let next = self.gaps.get(at + 1).map_or(0.0, |gap| gap.0);
            if wait >= next {
                return (wait.clamp(0.0, *length), longer as u64);
            }
        }
        (0.0, longer as u64)
    }

    pub fn to_json(&self) -> Value {
        let waits = PERCENTILES.map(|p| {
            let (wait, longer) = self.wait(p);
            json!([p, wait, longer])
        });
        json!({
            "waits_at_a_random_moment": waits,
            "longest": self.histogram.max(),
            "gaps": pairs(&self.histogram),
        })
    }
}

impl Display for Gaps {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the cores by themselves, what a message due at a random moment waits:"
        )?;
        for p in PERCENTILES {
            let (wait, longer) = self.wait(p);
            write!(f, " p{p} {} ({longer} gaps),", nanos(wait))?;
        }
        write!(f, " longest gap {}", nanos(self.histogram.max() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::histogram;
    use super::*;

    #[test]
    fn gaps_are_weighted_by_the_time_they_take() {
        let mut readings = histogram().unwrap();
        // 96 ms in gaps of 40 ns, and one of 4 ms.
        readings.record_n(40, 2_400_000).unwrap();
        readings.record(4_000_000).unwrap();
        assert_eq!(readings.value_at_percentile(99.99), 40, "by readings");
        let gaps = Gaps::of(&readings);
        // A hundredth of 100 ms waits for longer than 3 ms.
        let (wait, longer) = gaps.wait(99.0);
        assert!(
            (wait / 3e6 - 1.0).abs() < 0.01 && longer == 1,
            "{wait} {longer}"
        );
        let (wait, _) = gaps.wait(99.9);
        assert!((wait / 3.9e6 - 1.0).abs() < 0.01, "{wait}");
        // Half of the moments are in a short gap, with less than half of it to go.
        let (wait, longer) = gaps.wait(50.0);
        assert!(wait < 40.0 && longer == 2_400_001, "{wait}");
        let even = {
            let mut readings = histogram().unwrap();
            readings.record_n(1000, 10).unwrap();
            Gaps::of(&readings)
        };
        assert!((even.wait(90.0).0 - 900.0).abs() < 5.0);
        assert_eq!(Gaps::of(&histogram().unwrap()).wait(99.0), (0.0, 0));
    }
}
