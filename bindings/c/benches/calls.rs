//! What a call costs from C beside Rust: messages of 64 bytes, both ends in one thread, one at a time and 64 at once.
//!
//! `cargo bench --bench calls` in `bindings/c` installs the library, compiles `calls.c` against it with gcc, lets both take turns, and prints
//! nanoseconds for each message: the median of the turns, each of which is the median of its rounds, and the least and the most of a turn.

use slipring::{Ring, Start};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const MESSAGES: usize = 4096;
const BATCH: usize = 64;
const TURNS: usize = 7;
const ROUNDS: usize = 200;
const NAMES: [&str; 4] = ["publish", "try_receive", "publish_batch", "receive_batch"];

type Error = Box<dyn std::error::Error>;
type Times = BTreeMap<String, Vec<f64>>;

fn main() -> Result<(), Error> {
    let scratch = tempfile::tempdir_in("/dev/shm")?;
    std::env::set_var("SLIPRING_DIR", scratch.path());
    let program = compiled(scratch.path())?;
    let mut medians: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..TURNS {
        for (language, times) in [("Rust", of_rust()?), ("C", of_c(&program)?)] {
            for name in NAMES {
                let median = middle(times.get(name).cloned().unwrap_or_default());
                medians.entry((name, language)).or_default().push(median);
            }
        }
    }
    println!("ns a message      Rust                 C");
    for name in NAMES {
        let shown = |language| {
            let all = medians.get(&(name, language)).cloned().unwrap_or_default();
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            let most = all.iter().copied().fold(0.0, f64::max);
            format!("{:5.1} ({least:.1} to {most:.1})", middle(all))
        };
        println!("{name:<16} {:<20} {}", shown("Rust"), shown("C"));
    }
    Ok(())
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The program in C, linked to the shared library as `install` leaves it.
fn compiled(scratch: &Path) -> Result<PathBuf, Error> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (prefix, program) = (scratch.join("prefix"), scratch.join("calls"));
    succeeds(Command::new(here.join("install")).arg(&prefix))?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &here.join("benches/calls.c")])
        .arg(format!("-I{}", prefix.join("include").display()))
        .arg(prefix.join("lib/libslipring.so"))
        .arg(format!("-Wl,-rpath,{}", prefix.join("lib").display()));
    succeeds(&mut gcc)?;
    Ok(program)
}

fn succeeds(command: &mut Command) -> Result<(), Error> {
    let status = command.status()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    Ok(())
}

fn of_c(program: &Path) -> Result<Times, Error> {
    let done = Command::new(program).arg(ROUNDS.to_string()).output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let mut times = Times::new();
    for line in String::from_utf8(done.stdout)?.lines() {
        let (name, time) = line.split_once(' ').ok_or("a line without a time")?;
        times
            .entry(name.to_owned())
            .or_default()
            .push(time.parse()?);
    }
    Ok(times)
}

fn of_rust() -> Result<Times, Error> {
    let ring = Ring::builder("calls-rust")
        .capacity_bytes(1 << 20)
        .create()?;
    let mut producer = ring.producer()?;
    let mut consumer = ring.consumer(Start::Oldest)?;
    let mut times = Times::new();
    let mut told = |name: &str, begun: Instant| {
        let each = begun.elapsed().as_nanos() as f64 / MESSAGES as f64;
        times.entry(name.to_owned()).or_default().push(each);
    };
    let mut message = [1; 64];
    let mut block = [0; BATCH * 64];
    let mut sum = 0_u64;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for at in 0..MESSAGES {
            message[0] = at as u8;
            producer.try_publish(black_box(&message))?;
        }
        told("publish", begun);
        let begun = Instant::now();
        for _ in 0..MESSAGES {
            sum += u64::from(consumer.try_receive()?[0]);
        }
        told("try_receive", begun);
        let begun = Instant::now();
        for at in 0..MESSAGES / BATCH {
            block[0] = at as u8;
            let mut batch = producer.batch();
            for one in black_box(&block).chunks_exact(64) {
                batch.try_push(one)?;
            }
            batch.commit();
        }
        told("publish_batch", begun);
        let begun = Instant::now();
        let mut left = MESSAGES;
        while left > 0 {
            let mut batch = consumer.try_receive_batch(BATCH)?;
            while let Some(message) = batch.next() {
                sum += u64::from(message[0]);
                left -= 1;
            }
        }
        told("receive_batch", begun);
    }
    black_box(sum);
    drop((producer, consumer, ring));
    Ring::remove("calls-rust")?;
    Ok(times)
}
