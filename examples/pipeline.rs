//! A small pipeline as separate processes: a feed, a strategy that misses nothing, a dashboard that
//! may be lapped. Run it with `cargo run --release --example pipeline`.

use slipring::{typed::TypedReceived, Plain, Ring, Start};
use std::path::Path;
use std::process::Command;

slipring::message! {
    struct Tick { close: f64, volume: u64 }
}

const PRICES: &str = include_str!("data/sp500.csv");
const LOOPS: usize = 20;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("strategy") => strategy(&arguments[2]),
        Some("dashboard") => dashboard(&arguments[2]),
        _ => feed(),
    }
}

/// Creates the ring, starts the others, and replays the prices.
fn feed() -> Outcome {
    let path = std::env::temp_dir().join(format!("pipeline-{}", std::process::id()));
    let ring = Ring::builder(&path)
        .capacity_bytes(64 << 10)
        .schema(Tick::schema())
        .create()?;
    let mut producer = ring.typed::<Tick>()?.producer()?;
    let start = |part: &str| {
        Command::new(std::env::current_exe()?)
            .arg(part)
            .arg(&path)
            .spawn()
    };
    let mut parts = [start("strategy")?, start("dashboard")?];
    while ring.status().unwrap().readers.len() < parts.len() {
        std::thread::yield_now();
    }
    for line in PRICES
        .lines()
        .skip(1)
        .cycle()
        .take(LOOPS * PRICES.lines().count())
    {
        let field = |n: usize| line.split(',').nth(n).unwrap_or_default().parse::<f64>();
        producer.publish(&Tick {
            close: field(4)?,
            volume: field(6)? as u64,
        })?;
    }
    println!("feed: published {}", producer.inner().next_sequence());
    producer.close();
    for part in &mut parts {
        assert!(part.wait()?.success());
    }
    drop(ring);
    Ok(slipring::registry::remove_at(&path, false)?)
}

/// A consumer: gets every tick, and holds the feed back instead of missing one.
fn strategy(path: &str) -> Outcome {
    let mut ticks = Ring::open(Path::new(path))?
        .typed::<Tick>()?
        .consumer(Start::Oldest)?;
    let (mut received, mut turnover) = (0, 0.0);
    while let Some(tick) = ticks.receive()? {
        received += 1;
        turnover += tick.close * tick.volume as f64;
    }
    println!("strategy: received {received}, turnover {turnover:.3e}");
    Ok(())
}

/// An observer: never holds the feed back, and knows exactly how many ticks it missed.
fn dashboard(path: &str) -> Outcome {
    let mut ticks = Ring::open(Path::new(path))?
        .typed::<Tick>()?
        .observer(Start::Oldest)?;
    let (mut received, mut lost) = (0, 0);
    loop {
        match ticks.receive()? {
            TypedReceived::Message(..) => received += 1,
            TypedReceived::Lapped { lost: n, .. } => lost += n,
            _ => break,
        }
    }
    println!("dashboard: received {received}, lost {lost}");
    Ok(())
}
