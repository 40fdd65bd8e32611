//! Work for several processes, one of which dies in the middle: a message queue of jobs, and one of
//! results. Run it with `cargo run --release --example workers`.

use slipring::Queue;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};

const JOBS: u64 = 400;
const NUMBERS: u64 = 2_000;
/// How many primes there are below `JOBS * NUMBERS`, by any table.
const PRIMES: u64 = 63_951;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1) {
        Some(directory) => work(Path::new(directory)),
        None => manage(),
    }
}

/// Hands out the jobs, kills a worker, and adds up the results.
fn manage() -> Outcome {
    let directory = std::env::temp_dir().join(format!("workers-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let jobs = Queue::builder(directory.join("jobs"))
        .depth(JOBS as u32)
        .create()?;
    let results = Queue::builder(directory.join("results"))
        .depth(JOBS as u32)
        .create()?;
    let mut sender = jobs.sender()?;
    for job in 0..JOBS {
        sender.send(&job.to_le_bytes())?;
    }
    let start = || {
        Command::new(std::env::current_exe()?)
            .arg(&directory)
            .spawn()
    };
    let mut workers: Vec<Child> = (0..3).map(|_| start()).collect::<Result<_, _>>()?;
    let mut receiver = results.receiver()?;
    // A job that was done, but not acknowledged by the worker that died, is done again.
    let mut found = BTreeMap::new();
    while found.len() < JOBS as usize {
        let result = receiver.receive()?;
        let word = |at: usize| u64::from_le_bytes(result[at..at + 8].try_into().unwrap_or([0; 8]));
        found.insert(word(0), word(8));
        result.ack()?;
        if found.len() == 50 {
            workers[0].kill()?;
            workers[0].wait()?;
            workers.push(start()?);
        }
    }
    let primes: u64 = found.values().sum();
    let status = jobs.status()?;
    println!(
        "{primes} primes in {} jobs, {} jobs left",
        found.len(),
        status.waiting
    );
    assert_eq!(primes, PRIMES);
    for worker in &mut workers {
        worker.kill()?;
        worker.wait()?;
    }
    drop((sender, receiver));
    slipring::registry::remove_at(directory.join("jobs"), false)?;
    slipring::registry::remove_at(directory.join("results"), false)?;
    Ok(std::fs::remove_dir(directory)?)
}

/// Takes jobs for ever: a result first, and only then the acknowledgement.
fn work(directory: &Path) -> Outcome {
    let mut jobs = Queue::open(directory.join("jobs"))?.receiver()?;
    let mut results = Queue::open(directory.join("results"))?.sender()?;
    loop {
        let job = jobs.receive()?;
        let number = u64::from_le_bytes((*job).try_into()?);
        let range = number * NUMBERS..(number + 1) * NUMBERS;
        let primes = range.filter(|n| is_prime(*n)).count() as u64;
        results.send(&[number.to_le_bytes(), primes.to_le_bytes()].concat())?;
        job.ack()?;
    }
}

fn is_prime(n: u64) -> bool {
    n > 1
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}
