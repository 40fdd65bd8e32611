//! The loops that every contender runs, and the numbers they give.

use super::channel::{message_last, Channel, End, Opened};
use super::load::{Load, Measured, Workload};
use super::message::{differing, fill, first_word, sum, JustWritten, Ready, LAST};
use super::paced::{clocked, pace};
use super::stats::median;
use hdrhistogram::Histogram;
use std::io;
use std::time::{Duration, Instant};

impl<C: Channel> Opened for C {
    fn begin(&mut self, end: End) -> io::Result<()> {
        match end {
            End::First => self.start(),
            End::Second => Ok(()),
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        Channel::renew(self)
    }

    fn run(&mut self, end: End, load: Load) -> io::Result<Measured> {
        run(self, end, load)
    }
}

fn run<C: Channel>(channel: &mut C, end: End, load: Load) -> io::Result<Measured> {
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
