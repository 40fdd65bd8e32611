//! What is measured, and what a sample gave.
//!
//! Plain data, as the two processes exchange it.

use hdrhistogram::Histogram;
use serde_json::{json, Value};
use std::io;
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One message there and back, one at a time.
    RoundTrip,
    /// A stream of messages, as fast as it goes, nothing lost.
    OneWay,
    /// The same, the ends of each message written by single words just before it is sent.
    JustWritten,
    /// A stream that nothing holds back; the receiver may miss messages.
    Lossy,
    /// Bursts of messages to many readers: what one publish costs.
    Burst,
    /// A stream of messages to many readers, nothing lost.
    FanOut,
    /// A stream of messages at a fixed rate.
    Paced,
}

impl Workload {
    pub const ALL: [Self; 7] = [
        Self::RoundTrip,
        Self::OneWay,
        Self::JustWritten,
        Self::Lossy,
        Self::Burst,
        Self::FanOut,
        Self::Paced,
    ];

    /// Whether it is a stream from one end to the other in which nothing is lost.
    pub fn streams(self) -> bool {
        matches!(self, Self::OneWay | Self::JustWritten)
    }

    /// Whether it has one producer and as many readers as are asked for.
    pub fn fans(self) -> bool {
        matches!(self, Self::Burst | Self::FanOut)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::OneWay => "one-way",
            Self::JustWritten => "just-written",
            Self::Lossy => "lossy",
            Self::Burst => "burst",
            Self::FanOut => "fan-out",
            Self::Paced => "paced",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.name() == name)
    }
}

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub workload: Workload,
    /// Bytes of a message.
    pub size: usize,
    /// For how long.
    pub sample: Duration,
    /// Messages a second, where the workload has a rate.
    pub rate: f64,
    /// Readers, where the workload has many.
    pub readers: usize,
}

/// What one sample gave.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Nanoseconds per round trip, or per message.
    pub nanos: f64,
    /// How many round trips or messages.
    pub count: u64,
    /// Percentiles of single round trips, in nanoseconds.
    pub percentiles: Vec<(f64, u64)>,
    /// How many messages the receiver missed.
    pub missed: u64,
    /// Whether the channel said so itself.
    pub told: bool,
    /// How many messages were sent more than their interval late.
    pub late: u64,
    /// What each message of a paced stream took.
    pub latencies: Option<Latencies>,
}

impl Measured {
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "nanos": self.nanos,
            "count": self.count,
            "percentiles": self.percentiles,
            "missed": self.missed,
            "told": self.told,
            "late": self.late,
        });
        if let Some(latencies) = &self.latencies {
            value["latencies"] = latencies.to_json();
        }
        value
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let percentiles = value["percentiles"].as_array()?;
        Some(Self {
            nanos: value["nanos"].as_f64()?,
            count: value["count"].as_u64()?,
            percentiles: percentiles
                .iter()
                .map(|pair| Some((pair[0].as_f64()?, pair[1].as_u64()?)))
                .collect::<Option<_>>()?,
            missed: value["missed"].as_u64()?,
            told: value["told"].as_bool()?,
            late: value["late"].as_u64()?,
            latencies: match &value["latencies"] {
                Value::Null => None,
                pairs => Some(Latencies::from_json(pairs)?),
            },
        })
    }
}

/// Latencies up to a minute, to three digits.
pub fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)
}

/// What a paced run saw.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// From when each message was due.
    pub response: Histogram<u64>,
    /// From when each was sent.
    pub service: Histogram<u64>,
}

impl Latencies {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            response: histogram()?,
            service: histogram()?,
        })
    }

    pub fn to_json(&self) -> Value {
        json!({ "response": pairs(&self.response), "service": pairs(&self.service) })
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            response: of_pairs(&value["response"])?,
            service: of_pairs(&value["service"])?,
        })
    }
}

/// A histogram as pairs of value and count.
pub fn pairs(histogram: &Histogram<u64>) -> Value {
    let recorded = histogram.iter_recorded();
    recorded
        .map(|at| json!([at.value_iterated_to(), at.count_at_value()]))
        .collect()
}

/// The same the other way round; `None` if it is something else.
pub fn of_pairs(value: &Value) -> Option<Histogram<u64>> {
    let mut histogram = histogram().ok()?;
    for pair in value.as_array()? {
        let (value, count) = (pair[0].as_u64()?, pair[1].as_u64()?);
        histogram.saturating_record_n(value, count);
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_survive_the_way_between_processes() {
        let mut latencies = Latencies::new().unwrap();
        for n in 1..10_000u64 {
            latencies.response.record(n * 37 % 5000 + 1).unwrap();
            latencies.service.record(n).unwrap();
        }
        let there = Latencies::from_json(&latencies.to_json()).unwrap();
        assert_eq!(there.response.len(), latencies.response.len());
        for percentile in [0.0, 50.0, 99.0, 99.9, 100.0] {
            assert_eq!(
                there.response.value_at_percentile(percentile),
                latencies.response.value_at_percentile(percentile)
            );
        }
        assert!(Latencies::from_json(&json!({ "response": 1 })).is_none());
    }
}
