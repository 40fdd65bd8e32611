//! Workers in smol: tasks on two threads take jobs from a queue, and take turns at a semaphore that stands for a
//! resource of which there is little. Run it with `cargo run --release --bin smol` in this folder.

use slipring::events::Async;
use slipring::{Queue, Semaphore};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const JOBS: u64 = 2000;
const WORKERS: usize = 6;
const LICENCES: u32 = 2;

fn main() -> Outcome<()> {
    let directory = std::env::temp_dir().join(format!("slipring-smol-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let done = run(&directory);
    std::fs::remove_dir_all(&directory)?;
    assert_eq!(
        done?,
        JOBS * (JOBS - 1) / 2,
        "a job is missing, or was done twice"
    );
    Ok(())
}

fn run(directory: &std::path::Path) -> Outcome<u64> {
    let queue = Queue::builder(directory.join("jobs")).depth(16).create()?;
    let licences = directory.join("licences");
    let _kept = Semaphore::builder(&licences).permits(LICENCES).create()?;
    let (sum, used) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let executor = smol::Executor::new();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let mut jobs = Async::new(queue.receiver()?)?;
        let mut licence = Async::new(Semaphore::open(&licences)?)?;
        let (sum, used) = (sum.clone(), used.clone());
        workers.push(executor.spawn(async move {
            let mut done = 0u32;
            loop {
                let job = jobs.receive().await?;
                let number = u64::from_le_bytes(job[..].try_into()?);
                job.ack()?;
                if number == u64::MAX {
                    return Outcome::Ok(done);
                }
                let permit = licence.acquire().await?;
                assert!(used.fetch_add(1, Relaxed) < u64::from(LICENCES));
                smol::future::yield_now().await;
                used.fetch_sub(1, Relaxed);
                drop(permit);
                sum.fetch_add(number, Relaxed);
                done += 1;
            }
        }));
    }
    let mut sender = Async::new(queue.sender()?)?;
    let sending = executor.spawn(async move {
        let ends = std::iter::repeat_n(u64::MAX, WORKERS);
        for number in (0..JOBS).chain(ends) {
            sender.send(&number.to_le_bytes()).await?; // waits for room
        }
        Outcome::Ok(())
    });
    let all = async {
        sending.await?;
        for worker in workers {
            println!("a worker did {} jobs", worker.await?);
        }
        Outcome::Ok(())
    };
    // A second thread runs tasks until all are done.
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    std::thread::scope(|scope| {
        scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        let outcome = smol::block_on(executor.run(all));
        drop(stop);
        outcome
    })?;
    Ok(sum.load(Relaxed))
}
