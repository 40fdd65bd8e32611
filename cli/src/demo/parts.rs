//! The parts of the demo: what feed, strategy, risk check and dashboard do with ticks.

use crate::failure::{Failure, FAILED};
use crate::text::count;
use hdrhistogram::Histogram;
use serde_json::{json, Value};
use slipring::{typed::TypedReceived, Ring, Start};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

slipring::message! {
    /// One tick: a day of one index, stamped when it was replayed.
    pub struct Tick {
        sent_ns: u64,
        open: f64,
        high: f64,
        low: f64,
        close: f64,
        volume: u64,
        day: u32,
        symbol: u32,
    }
}

const FILES: [&str; 2] = [
    include_str!("../../../examples/data/sp500.csv"),
    include_str!("../../../examples/data/nasdaq.csv"),
];

/// Runs one part to its end. Returns its report.
pub fn play(part: &str, ring: &Path, ticks: u64, rate: u64) -> Result<Value, Failure> {
    let ring = Ring::open(ring)?;
    match part {
        "feed" => feed(&ring, ticks, rate),
        "strategy" => consume(&ring, Averages::default()),
        "risk" => consume(&ring, Drawdown::default()),
        "dashboard" => observe(&ring, ticks),
        _ => Err(Failure::new(
            crate::failure::USAGE,
            format!("no part {part:?}"),
        )),
    }
}

/// Nanoseconds on the clock that all processes of a machine share.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The days of both files, one of each in turn.
fn days() -> Result<Vec<Tick>, Failure> {
    let mut series = Vec::new();
    for (symbol, file) in FILES.iter().enumerate() {
        let ticks: Option<Vec<Tick>> = file
            .lines()
            .skip(1)
            .enumerate()
            .map(|(day, line)| {
                let mut fields = line.split(',').skip(1);
                let mut price = || fields.next()?.parse::<f64>().ok();
                Some(Tick {
                    sent_ns: 0,
                    open: price()?,
                    high: price()?,
                    low: price()?,
                    close: price()?,
                    volume: {
                        let _adjusted = price()?;
                        price()? as u64
                    },
                    day: day as u32,
                    symbol: symbol as u32,
                })
            })
            .collect();
        series.push(ticks.ok_or_else(|| Failure::new(FAILED, "the price files are damaged"))?);
    }
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    Ok((0..longest)
        .flat_map(|day| series.iter().filter_map(move |s| s.get(day).copied()))
        .collect())
}

/// Adds up everything but the stamp.
fn checksum(sum: u64, tick: &Tick) -> u64 {
    let words = [
        tick.open.to_bits(),
        tick.high.to_bits(),
        tick.low.to_bits(),
        tick.close.to_bits(),
        tick.volume,
        u64::from(tick.day) << 32 | u64::from(tick.symbol),
    ];
    words
        .iter()
        .fold(sum, |sum, word| sum.rotate_left(7).wrapping_add(*word))
}

fn feed(ring: &Ring, ticks: u64, rate: u64) -> Result<Value, Failure> {
    let mut producer = ring.typed::<Tick>()?.producer()?;
    let days = days()?;
    let start = Instant::now();
    let mut sum = 0;
    for (number, tick) in days.iter().cycle().take(ticks as usize).enumerate() {
        if rate > 0 && number % 64 == 0 {
            let due = Duration::from_secs_f64(number as f64 / rate as f64);
            while let Some(left) = due.checked_sub(start.elapsed()) {
                std::thread::sleep(left);
            }
        }
        let tick = Tick {
            sent_ns: now(),
            ..*tick
        };
        sum = checksum(sum, &tick);
        producer.publish(&tick)?;
    }
    producer.close();
    Ok(json!({
        "published": ticks,
        "checksum": sum,
        "nanos": start.elapsed().as_nanos() as u64,
    }))
}

/// What a lossless part does with the ticks.
trait Logic {
    fn tick(&mut self, tick: &Tick);
    fn result(&self) -> String;
}

/// Compares a fast and a slow moving average of each index, and counts an order at each crossing.
#[derive(Default)]
struct Averages {
    state: [(f64, f64, bool); 2],
    orders: u64,
}

impl Logic for Averages {
    fn tick(&mut self, tick: &Tick) {
        let (fast, slow, long) = &mut self.state[tick.symbol as usize % 2];
        if *slow == 0.0 {
            (*fast, *slow) = (tick.close, tick.close);
        }
        *fast += (tick.close - *fast) / 10.0;
        *slow += (tick.close - *slow) / 100.0;
        if (*fast > *slow) != *long {
            *long = !*long;
            self.orders += 1;
        }
    }

    fn result(&self) -> String {
        format!("{} orders", count(self.orders))
    }
}

/// Keeps the largest fall from a peak within one replay of each index.
#[derive(Default)]
struct Drawdown {
    peak: [f64; 2],
    worst: f64,
}

impl Logic for Drawdown {
    fn tick(&mut self, tick: &Tick) {
        let peak = &mut self.peak[tick.symbol as usize % 2];
        *peak = if tick.day == 0 {
            tick.high
        } else {
            peak.max(tick.high)
        };
        self.worst = self.worst.max(1.0 - tick.low / *peak);
    }

    fn result(&self) -> String {
        format!("worst fall {:.1} %", 100.0 * self.worst)
    }
}

fn latencies() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|error| Failure::new(FAILED, error))
}

fn summary(histogram: &Histogram<u64>) -> Value {
    json!({
        "p50": histogram.value_at_quantile(0.5),
        "p99": histogram.value_at_quantile(0.99),
        "p99.9": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
    })
}

fn consume(ring: &Ring, mut logic: impl Logic) -> Result<Value, Failure> {
    let mut consumer = ring.typed::<Tick>()?.consumer(Start::Oldest)?;
    println!("attached");
    let mut histogram = latencies()?;
    let (mut received, mut sum) = (0u64, 0);
    while let Some(tick) = consumer.receive()? {
        histogram.saturating_record(now().saturating_sub(tick.sent_ns));
        received += 1;
        sum = checksum(sum, &tick);
        logic.tick(&tick);
    }
    Ok(json!({
        "received": received,
        "lost": 0,
        "checksum": sum,
        "latency_ns": summary(&histogram),
        "result": logic.result(),
    }))
}

/// Reads only ten times a second, when it draws. So it is lapped, and reports how much it lost; and how much does not
/// exist in its ring, because it was lost between hosts.
fn observe(ring: &Ring, ticks: u64) -> Result<Value, Failure> {
    let mut observer = ring.typed::<Tick>()?.observer(Start::Oldest)?;
    println!("attached");
    let mut histogram = latencies()?;
    let (mut received, mut lost, mut draws) = (0u64, 0u64, 0u64);
    let mut missing = 0u64;
    let live = std::io::stderr().is_terminal();
    let mut next_draw = Instant::now();
    loop {
        let step = Duration::from_millis(100);
        match observer.receive_until(step) {
            Ok(TypedReceived::Message(tick, _)) => {
                received += 1;
                histogram.saturating_record(now().saturating_sub(tick.sent_ns));
                if Instant::now() >= next_draw {
                    draws += 1;
                    next_draw = Instant::now() + step;
                    progress(live, draws, received + lost + missing, ticks, &tick);
                    // Stands for the time that a screen takes to draw.
                    std::thread::sleep(Duration::from_millis(60));
                }
            }
            Ok(TypedReceived::Lapped { lost: n, .. }) => lost += n,
            Ok(TypedReceived::Skipped { skipped, .. }) => missing += skipped,
            Ok(_) => break,
            Err(slipring::endpoint::ReceiveError::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if live {
        eprint!("\r\x1b[K");
    }
    Ok(json!({
        "received": received,
        "lost": lost,
        "missing": missing,
        "latency_ns": summary(&histogram),
        "result": format!("drew {} times", count(draws)),
    }))
}

fn progress(live: bool, draws: u64, seen: u64, ticks: u64, tick: &Tick) {
    let percent = 100 * seen / ticks.max(1);
    let name = ["S&P 500", "NASDAQ"][tick.symbol as usize % 2];
    let line = format!(
        "{percent:>3} %  {} ticks  {name} closed at {:.2}",
        count(seen),
        tick.close
    );
    if live {
        eprint!("\r\x1b[K{line}");
    } else if draws % 10 == 1 {
        eprintln!("{line}");
    }
}
