//! Messages at a fixed rate, and how long each took.
//!
//! Open loop: message `n` is due at a time that was fixed before the run, and its latency counts from
//! then, not from when the sender got round to it. So a stall of the sender, or of the receiver, shows in
//! every message it held up, and none is left out (G. Tene, "How NOT to measure latency", 2013: coordinated
//! omission). Beside it, the time from the actual send.

use super::channel::Channel;
use super::message::{differing, fill, first_word, LAST};
use super::workload::{message_last, Measured};
use hdrhistogram::Histogram;
use rustix::time::{clock_gettime, ClockId};
use serde_json::{json, Value};
use std::hint::spin_loop;
use std::io;
use std::time::Duration;

/// The smallest message: its number, when it was due, when it was sent. All that is behind it is its number too.
pub const SMALLEST: usize = 24;
/// Before the first message is due, so that the sender is ready.
const LEAD: u64 = 1_000_000;

/// Nanoseconds on the clock that both processes read.
#[inline(always)]
pub fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
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

/// Sends at a rate for a time.
#[inline(always)]
pub fn pace<C: Channel>(
    channel: &mut C,
    size: usize,
    sample: Duration,
    rate: f64,
) -> io::Result<Measured> {
    let interval = 1e9 / rate;
    let total = (sample.as_nanos() as f64 / interval).max(1.0) as u64;
    let mut message = vec![0u8; size];
    let start = clock() + LEAD;
    let mut now = start;
    let mut late = 0;
    for number in 0..total {
        let due = start + (number as f64 * interval) as u64;
        // All but one word is made before it is due.
        fill(&mut message, number);
        message[8..16].copy_from_slice(&due.to_le_bytes());
        loop {
            now = clock();
            if now >= due {
                break;
            }
            spin_loop();
        }
        late += u64::from((now - due) as f64 > interval);
        message[16..24].copy_from_slice(&now.to_le_bytes());
        channel.send(&message)?;
    }
    message_last(channel, size)?;
    Ok(Measured {
        nanos: (now - start) as f64 / total as f64,
        count: total,
        late,
        ..Measured::default()
    })
}

/// Receives what [`pace`] sends. The first tenth of the time is to warm up, and does not count.
#[inline(always)]
pub fn clocked<C: Channel>(channel: &mut C, sample: Duration) -> io::Result<Measured> {
    let mut latencies = Latencies::new()?;
    let warm_up = sample.as_nanos() as u64 / 10;
    let mut from = None;
    let (mut count, mut differ) = (0u64, 0u64);
    loop {
        let (number, due, sent, bits) = channel.receive(|message| {
            let word = |at: usize| first_word(&message[at..]);
            let rest = differing(&message[SMALLEST..], word(0));
            (word(0), word(8), word(16), rest)
        })?;
        let now = clock();
        if number == LAST {
            break;
        }
        differ |= bits | (number ^ count);
        count += 1;
        if due >= *from.get_or_insert(due + warm_up) {
            latencies
                .response
                .saturating_record(now.saturating_sub(due));
            latencies
                .service
                .saturating_record(now.saturating_sub(sent));
        }
    }
    if differ != 0 {
        let text = "messages came torn or out of order, or were lost";
        return Err(io::Error::other(text));
    }
    Ok(Measured {
        count,
        latencies: Some(latencies),
        ..Measured::default()
    })
}

/// How long this core goes away by itself: the gaps between readings of the clock, for a while.
pub fn hiccups(duration: Duration) -> io::Result<Histogram<u64>> {
    let mut gaps = histogram()?;
    let end = clock() + duration.as_nanos() as u64;
    let mut last = clock();
    while last < end {
        let now = clock();
        gaps.saturating_record(now - last);
        last = now;
    }
    Ok(gaps)
}

/// What a percentile needs so that it says something: ten samples above it.
pub fn says_something(histogram: &Histogram<u64>, percentile: f64) -> bool {
    // Less a rounding error: a hundred-thousandth of a million is ten.
    histogram.len() as f64 * (100.0 - percentile) / 100.0 >= 10.0 - 1e-6
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

    #[test]
    fn a_percentile_needs_ten_samples_above_it() {
        let mut histogram = histogram().unwrap();
        histogram.record_n(5, 999).unwrap();
        assert!(says_something(&histogram, 90.0) && !says_something(&histogram, 99.0));
        histogram.record(5).unwrap();
        assert!(says_something(&histogram, 99.0) && !says_something(&histogram, 99.9));
    }
}
