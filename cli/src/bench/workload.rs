//! The loops that every contender runs, and the numbers they give.

use super::channel::{Channel, End};
use super::message::{differing, fill, first_word, sum, JustWritten, Ready, LAST};
use super::paced::{clocked, pace, Latencies};
pub use super::stats::median;
use hdrhistogram::Histogram;
use serde_json::{json, Value};
use std::io;
use std::time::{Duration, Instant};

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

pub fn run<C: Channel>(channel: &mut C, end: End, load: Load) -> io::Result<Measured> {
    let Load { size, sample, .. } = load;
    match (load.workload, end) {
        (Workload::RoundTrip, End::First) => ping(channel, size, sample),
        (Workload::RoundTrip, End::Second) => pong(channel),
        (Workload::OneWay, End::First) => stream(channel, size, sample, 256),
        (Workload::OneWay, End::Second) => drain(channel),
        (Workload::JustWritten, End::First) => stream_just_written(channel, size, sample),
        (Workload::JustWritten, End::Second) => drain_just_written(channel, size),
        (Workload::Lossy, End::First) => stream(channel, size, sample, 1024),
        (Workload::Lossy, End::Second) => catch(channel),
        (Workload::Paced, End::First) => pace(channel, size, sample, load.rate),
        (Workload::Paced, End::Second) => clocked(channel, sample),
        // Those are run by what can have many readers.
        (Workload::Burst | Workload::FanOut, _) => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[inline(always)]
fn ping<C: Channel>(channel: &mut C, size: usize, sample: Duration) -> io::Result<Measured> {
    let mut message = vec![0u8; size];
    let mut number = 0u64;
    let mut turn = |channel: &mut C| -> io::Result<()> {
        let sent = number;
        channel.send(&message)?;
        // The next message is made while this one is on its way.
        number += 1;
        fill(&mut message, number);
        let differ = channel.receive(|echo| differing(echo, sent))?;
        if differ == 0 {
            Ok(())
        } else {
            Err(io::Error::other("an echo was not what was sent"))
        }
    };
    for _ in 0..64 {
        turn(channel)?;
    }
    let mut means = Vec::new();
    let start = Instant::now();
    let mut since = start;
    while since - start < sample / 2 || means.len() < 8 {
        for _ in 0..64 {
            turn(channel)?;
        }
        let now = Instant::now();
        means.push((now - since).as_nanos() as f64 / 64.0);
        since = now;
    }
    let mut histogram =
        Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;
    let start = Instant::now();
    let mut since = start;
    while since - start < sample / 2 || histogram.len() < 1000 {
        turn(channel)?;
        let now = Instant::now();
        histogram.saturating_record((now - since).as_nanos() as u64);
        since = now;
    }
    message_last(channel, size)?;
    let percentiles = [50.0, 90.0, 99.0, 99.9]
        .map(|p| (p, histogram.value_at_quantile(p / 100.0)))
        .to_vec();
    Ok(Measured {
        count: means.len() as u64 * 64 + histogram.len(),
        nanos: median(&mut means),
        percentiles,
        ..Measured::default()
    })
}

pub fn message_last<C: Channel>(channel: &mut C, size: usize) -> io::Result<()> {
    let mut message = vec![0u8; size];
    fill(&mut message, LAST);
    channel.send_last(&message)
}

#[inline(always)]
fn pong<C: Channel>(channel: &mut C) -> io::Result<Measured> {
    let (mut count, mut differ) = (0u64, 0u64);
    let last = |message: &[u8], count: u64| {
        let number = first_word(message);
        let expected = if number == LAST { LAST } else { count };
        (differing(message, expected), number == LAST)
    };
    while channel.echo(|message| {
        let (bits, over) = last(message, count);
        differ |= bits;
        over
    })? {
        count += 1;
    }
    if differ != 0 {
        return Err(io::Error::other("messages came torn or out of order"));
    }
    Ok(Measured {
        count,
        ..Measured::default()
    })
}

/// Sends messages that were made before, so many between looks at the clock.
#[inline(always)]
fn stream<C: Channel>(
    channel: &mut C,
    size: usize,
    sample: Duration,
    turn: usize,
) -> io::Result<Measured> {
    let mut source = Ready::new(size);
    let start = Instant::now();
    while start.elapsed() < sample || source.sent() == 0 {
        channel.send_many(turn, &mut source)?;
    }
    message_last(channel, size)?;
    Ok(Measured {
        count: source.sent(),
        ..Measured::default()
    })
}

/// Receives what [`stream`] sends, where nothing may be lost.
#[inline(always)]
fn drain<C: Channel>(channel: &mut C) -> io::Result<Measured> {
    let (mut count, mut differ) = (0u64, 0u64);
    let mut start = None;
    channel.receive_many(|message| {
        if first_word(message) == LAST {
            return true;
        }
        start.get_or_insert_with(Instant::now);
        differ |= differing(message, count);
        count += 1;
        false
    })?;
    let nanos = start.map_or(0, |start| start.elapsed().as_nanos());
    if differ != 0 {
        let text = "messages came torn or out of order, or were lost";
        return Err(io::Error::other(text));
    }
    Ok(Measured {
        nanos: nanos as f64 / count.max(1) as f64,
        count,
        ..Measured::default()
    })
}

/// As [`stream`], the ends of each message being written just before it is sent.
#[inline(always)]
fn stream_just_written<C: Channel>(
    channel: &mut C,
    size: usize,
    sample: Duration,
) -> io::Result<Measured> {
    let mut source = JustWritten::new(size);
    let start = Instant::now();
    while start.elapsed() < sample || source.sent() == 0 {
        channel.send_many(256, &mut source)?;
    }
    message_last(channel, size)?;
    Ok(Measured {
        count: source.sent(),
        ..Measured::default()
    })
}

/// Receives what [`stream_just_written`] sends.
#[inline(always)]
fn drain_just_written<C: Channel>(channel: &mut C, size: usize) -> io::Result<Measured> {
    let (mut count, mut total) = (0u64, 0u64);
    let mut in_order = true;
    let mut start = None;
    channel.receive_many(|message| {
        let number = first_word(message);
        if number == LAST {
            return true;
        }
        start.get_or_insert_with(Instant::now);
        in_order &= number == count;
        total = total.wrapping_add(sum(message));
        count += 1;
        false
    })?;
    let nanos = start.map_or(0, |start| start.elapsed().as_nanos());
    if !in_order {
        return Err(io::Error::other("messages came out of order or were lost"));
    }
    if total != JustWritten::sum(size, count) {
        return Err(io::Error::other("the words of the messages do not add up"));
    }
    Ok(Measured {
        nanos: nanos as f64 / count.max(1) as f64,
        count,
        ..Measured::default()
    })
}

/// Receives what [`stream`] sends and nothing holds back. A message of which two words differ was torn; a gap in the numbers
/// must be what the channel said was missed, if it says.
#[inline(always)]
fn catch<C: Channel>(channel: &mut C) -> io::Result<Measured> {
    let (mut count, mut next, mut gaps) = (0u64, 0u64, 0u64);
    let (mut differ, mut backwards) = (0u64, false);
    let mut start = None;
    let missed_before = channel.missed().unwrap_or(0);
    channel.receive_many(|message| {
        let number = first_word(message);
        if number == LAST {
            return true;
        }
        start.get_or_insert_with(Instant::now);
        differ |= differing(message, number);
        backwards |= number < next;
        gaps += number.wrapping_sub(next);
        next = number.wrapping_add(1);
        count += 1;
        false
    })?;
    let nanos = start.map_or(0, |start| start.elapsed().as_nanos());
    if differ != 0 {
        return Err(io::Error::other("a message was torn"));
    }
    if backwards {
        return Err(io::Error::other("messages came out of order"));
    }
    let missed = match channel.missed().map(|told| told - missed_before) {
        // What was missed behind the last message that came is in no gap.
        Some(told) if told < gaps => {
            let text = format!("{gaps} messages are missing, {told} were said to be");
            return Err(io::Error::other(text));
        }
        Some(told) => told,
        None => gaps,
    };
    Ok(Measured {
        nanos: nanos as f64 / count.max(1) as f64,
        count,
        missed,
        told: channel.missed().is_some(),
        ..Measured::default()
    })
}
