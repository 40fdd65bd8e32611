//! Ten processes that share two licences and keep one account, some of which are killed: a semaphore, a
//! shared value, and a newest value for observers. Run it with `cargo run --release --example licences`.

use slipring::{Latest, Semaphore, Shared};
use std::path::Path;
use std::process::{Child, Command};

slipring::message! {
    /// The work of all processes together.
    struct Account { jobs: u64, seconds: f64 }
}

slipring::message! {
    /// What the manager publishes.
    struct Progress { started: u64, killed: u64 }
}

const PROCESSES: u64 = 10;
const JOBS: u64 = 20;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1) {
        Some(directory) => work(Path::new(directory)),
        None => manage(),
    }
}

fn manage() -> Outcome {
    let directory = std::env::temp_dir().join(format!("licences-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let licences = Semaphore::builder(directory.join("licences"))
        .permits(2)
        .create()?;
    let mut account = Shared::<Account>::builder(directory.join("account")).create()?;
    let board = Latest::<Progress>::builder(directory.join("board")).create()?;
    let mut board = board.writer()?;
    let start = || {
        Command::new(std::env::current_exe()?)
            .arg(&directory)
            .spawn()
    };
    let (mut started, mut killed) = (0, 0);
    let mut running: Vec<Child> = Vec::new();
    for _ in 0..PROCESSES {
        running.push(start()?);
        started += 1;
        board.set(&Progress { started, killed })?;
    }
    // Three are killed at any point: with a licence, in the middle of a booking, or waiting.
    for mut unlucky in running.drain(..3) {
        unlucky.kill()?;
        unlucky.wait()?;
        killed += 1;
        board.set(&Progress { started, killed })?;
    }
    for process in &mut running {
        assert!(process.wait()?.success());
    }
    // The licences of the dead come back.
    let both = licences.acquire_many_until(2, std::time::Duration::from_secs(30))?;
    let (done, version) = account.get()?;
    println!(
        "{} jobs in {:.3} s, booked {version} times",
        done.jobs, done.seconds
    );
    assert!(done.jobs >= (PROCESSES - killed) * JOBS && done.jobs == version);
    drop(account.lock()?);
    drop((both, licences, account, board));
    for name in ["licences", "account", "board"] {
        slipring::registry::remove_at(directory.join(name), false)?;
    }
    Ok(std::fs::remove_dir(directory)?)
}

/// Does its jobs, each with a licence, and books each.
fn work(directory: &Path) -> Outcome {
    let licences = Semaphore::open(directory.join("licences"))?;
    let mut account = Shared::<Account>::open(directory.join("account"))?;
    for _ in 0..JOBS {
        let licence = licences.acquire()?;
        let begun = std::time::Instant::now();
        let sum: u64 = (0..200_000u64).map(std::hint::black_box).sum();
        assert!(sum > 0);
        drop(licence);
        let mut account = account.lock()?;
        account.jobs += 1;
        account.seconds += begun.elapsed().as_secs_f64();
        account.commit()?;
    }
    Ok(())
}
