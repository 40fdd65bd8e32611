//! `slipring demo`: a small trading pipeline, each part a process of its own.
//!
//! A feed replays twenty years of daily prices, looped and stamped anew. A strategy and a risk check
//! consume every tick; a dashboard observes and may be lapped. In the end every part reports what it
//! received and lost, and the command fails if a lossless part missed anything.

use crate::child;
use crate::failure::{Failure, CHECK, FAILED};
use crate::stop::Stop;
use crate::text::{count, nanos, styled, BOLD, GREEN, RED};
use crate::Outcome;
use hdrhistogram::Histogram;
use serde_json::{json, Value};
use slipring::{typed::TypedReceived, Plain, Ring, Start};
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
#[command(after_help = "\
Runs feed, strategy, risk and dashboard as four processes on a new ring, which is removed at the
end. Fails with status 6 if the strategy or the risk check missed a tick.")]
pub struct Arguments {
    /// How many ticks to replay
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    ticks: u64,
    /// How many ticks a second; 0 for as fast as possible
    #[arg(long, value_name = "N", default_value_t = 250_000)]
    rate: u64,
    /// Print the reports as JSON
    #[arg(long)]
    json: bool,
    /// Runs one part; internal
    #[arg(long, hide = true, requires = "ring")]
    part: Option<String>,
    /// The ring of that part; internal
    #[arg(long, hide = true)]
    ring: Option<PathBuf>,
}

slipring::message! {
    /// One tick: a day of one index, stamped when it was replayed.
    struct Tick {
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
    include_str!("../../examples/data/sp500.csv"),
    include_str!("../../examples/data/nasdaq.csv"),
];

pub fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.part, &arguments.ring) {
        (Some(part), Some(ring)) => {
            let report = play(part, ring, arguments)?;
            println!("{report}");
            Ok(())
        }
        _ => conduct(arguments),
    }
}

/// A process of the pipeline, killed if the command ends before it does.
struct Part {
    name: &'static str,
    child: Child,
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Removes the ring and its directory when the demo ends, for any reason.
struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn conduct(arguments: &Arguments) -> Outcome {
    let directory = PathBuf::from(format!("/dev/shm/slipring-demo-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let left = directory.clone();
    // The parts die with this process.
    let _stop = Stop::begin(Duration::ZERO, move || drop(Cleanup(left)))?;
    let _cleanup = Cleanup(directory.clone());
    let path = directory.join("ticks");
    // Small enough for the dashboard to be lapped while it draws.
    Ring::builder(&path)
        .capacity_bytes(256 << 10)
        .schema(Tick::schema())
        .create()?;
    let start = |name: &'static str| -> Result<Part, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["demo", "--part", name, "--ring"]).arg(&path);
        command.args(["--ticks", &arguments.ticks.to_string()]);
        command.args(["--rate", &arguments.rate.to_string()]);
        child::tie(&mut command);
        let child = command.stdout(Stdio::piped()).spawn()?;
        Ok(Part { name, child })
    };
    let mut readers = ["strategy", "risk", "dashboard"]
        .map(start)
        .into_iter()
        .collect::<Result<Vec<Part>, Failure>>()?;
    let mut outputs = Vec::new();
    for reader in &mut readers {
        let mut output = BufReader::new(reader.child.stdout.take().ok_or_else(no_output)?);
        // Each reader prints a line once it is attached. The feed must not start before.
        output.read_line(&mut String::new())?;
        outputs.push(output);
    }
    let mut feed = start("feed")?;
    let mut output = BufReader::new(feed.child.stdout.take().ok_or_else(no_output)?);
    let fed = report(&mut output, feed.name)?;
    let mut reports = Vec::new();
    for (reader, output) in readers.iter().zip(&mut outputs) {
        reports.push((reader.name, report(output, reader.name)?));
    }
    conclude(arguments, &fed, &reports)
}

fn no_output() -> Failure {
    Failure::new(FAILED, "a part has no output")
}

fn report(output: &mut impl BufRead, name: &str) -> Result<Value, Failure> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    serde_json::from_str(&line)
        .map_err(|_| Failure::new(FAILED, format!("{name} ended without a report")))
}

/// Prints what each part reports, and checks that the lossless ones missed nothing.
fn conclude(arguments: &Arguments, fed: &Value, reports: &[(&str, Value)]) -> Outcome {
    let lossless = |name: &str| name != "dashboard";
    let complete = |report: &Value| {
        report["received"] == fed["published"]
            && report["lost"] == 0
            && report["checksum"] == fed["checksum"]
    };
    let accounted = |report: &Value| {
        let sum = report["received"].as_u64().unwrap_or(0) + report["lost"].as_u64().unwrap_or(0);
        Some(sum) == fed["published"].as_u64()
    };
    let failed: Vec<&str> = reports
        .iter()
        .filter(|(name, report)| {
            !(if lossless(name) {
                complete(report)
            } else {
                accounted(report)
            })
        })
        .map(|(name, _)| *name)
        .collect();
    if arguments.json {
        let parts: serde_json::Map<String, Value> = reports
            .iter()
            .map(|(name, report)| ((*name).to_owned(), report.clone()))
            .collect();
        println!(
            "{}",
            json!({ "feed": fed, "parts": parts, "failed": failed })
        );
    } else {
        let number = |value: &Value| count(value.as_u64().unwrap_or(0));
        println!(
            "feed       published {} ticks of two indices in {}",
            number(&fed["published"]),
            nanos(fed["nanos"].as_f64().unwrap_or(0.0))
        );
        let heading = format!(
            "{:<10} {:>12} {:>12}   {:>10} {:>10} {:>10} {:>10}   {}",
            "", "received", "lost", "p50", "p99", "p99.9", "max", "result"
        );
        println!("{}", styled(BOLD, &heading));
        for (name, report) in reports {
            let latency = |key: &str| nanos(report["latency_ns"][key].as_f64().unwrap_or(0.0));
            println!(
                "{name:<10} {:>12} {:>12}   {:>10} {:>10} {:>10} {:>10}   {}",
                number(&report["received"]),
                number(&report["lost"]),
                latency("p50"),
                latency("p99"),
                latency("p99.9"),
                latency("max"),
                report["result"].as_str().unwrap_or_default()
            );
        }
    }
    if failed.is_empty() {
        if !arguments.json {
            let text =
                "ok: strategy and risk missed nothing; what the dashboard missed is accounted for";
            println!("{}", styled(GREEN, text));
        }
        Ok(())
    } else {
        let text = format!("parts that missed messages: {}", failed.join(", "));
        eprintln!("{}", styled(RED, "failed"));
        Err(Failure::new(CHECK, text))
    }
}

fn play(part: &str, ring: &Path, arguments: &Arguments) -> Result<Value, Failure> {
    let ring = Ring::open(ring)?;
    match part {
        "feed" => feed(&ring, arguments),
        "strategy" => consume(&ring, Averages::default()),
        "risk" => consume(&ring, Drawdown::default()),
        "dashboard" => observe(&ring, arguments.ticks),
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

fn feed(ring: &Ring, arguments: &Arguments) -> Result<Value, Failure> {
    let mut producer = ring.typed::<Tick>()?.producer()?;
    let days = days()?;
    let start = Instant::now();
    let mut sum = 0;
    for (number, tick) in days
        .iter()
        .cycle()
        .take(arguments.ticks as usize)
        .enumerate()
    {
        if arguments.rate > 0 && number % 64 == 0 {
            let due = Duration::from_secs_f64(number as f64 / arguments.rate as f64);
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
        "published": arguments.ticks,
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

/// Reads only ten times a second, when it draws. So it is lapped, and reports how much it lost.
fn observe(ring: &Ring, ticks: u64) -> Result<Value, Failure> {
    let mut observer = ring.typed::<Tick>()?.observer(Start::Oldest)?;
    println!("attached");
    let mut histogram = latencies()?;
    let (mut received, mut lost, mut draws) = (0u64, 0u64, 0u64);
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
                    progress(live, draws, received + lost, ticks, &tick);
                    // Stands for the time that a screen takes to draw.
                    std::thread::sleep(Duration::from_millis(60));
                }
            }
            Ok(TypedReceived::Lapped { lost: n, .. }) => lost += n,
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
