//! Messages at a fixed rate, and how long each took.
//!
//! Open loop: message `n` is due at a time that was fixed before the run, and its latency counts from
//! then, not from when the sender got round to it. So a stall of the sender, or of the receiver, shows in
//! every message it held up, and none is left out (G. Tene, "How NOT to measure latency", 2013: coordinated
//! omission). Beside it, the time from the actual send.

use super::channel::{message_last, Channel};
use super::load::{histogram, Latencies, Measured};
use super::message::{differing, fill, first_word, LAST};
use hdrhistogram::Histogram;
use rustix::time::{clock_gettime, ClockId};
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
    fn a_percentile_needs_ten_samples_above_it() {
        let mut histogram = histogram().unwrap();
        histogram.record_n(5, 999).unwrap();
        assert!(says_something(&histogram, 90.0) && !says_something(&histogram, 99.0));
        histogram.record(5).unwrap();
        assert!(says_something(&histogram, 99.0) && !says_something(&histogram, 99.9));
    }
}
