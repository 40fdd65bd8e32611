//! What handles cost that wait for rings on which nothing happens: processor time of this process, by their number. Run
//! it with `cargo run --release --bin idle [SECONDS]` in this folder.

use rustix::io::Errno;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use rustix::time::{clock_gettime, ClockId};
use slipring::events::{Async, Pollable};
use slipring::{Consumer, Ring, Start};
use std::error::Error;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Readers of one ring, where there are more handles than rings.
const READERS: usize = 100;

fn main() -> Outcome<()> {
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(10), |text| text.parse::<u64>())?;
    // A descriptor each, and those of the rings.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: most,
        },
    )?;
    println!(
        "{:>8} {:>8} {:>28} {:>14}",
        "handles", "rings", "waiting", "processor, %"
    );
    for (handles, rings) in [(1, 1), (100, 100), (1000, 1000), (10_000, 100)] {
        let by_future = futures(handles, rings, seconds)?;
        println!(
            "{handles:8} {rings:8} {:>28} {by_future:14.2}",
            "Async, tasks of tokio"
        );
        let by_descriptor = descriptors(handles, rings, seconds, |_| Ok(()))?;
        println!(
            "{handles:8} {rings:8} {:>28} {by_descriptor:14.2}",
            "Pollable, one loop of epoll"
        );
        // Two descriptors each are more than a process may have.
        if handles > 1000 {
            continue;
        }
        let by_io_uring = descriptors(handles, rings, seconds, Pollable::use_io_uring)?;
        println!(
            "{handles:8} {rings:8} {:>28} {by_io_uring:14.2}",
            "the same, with io_uring"
        );
    }
    Ok(())
}

fn make(rings: usize) -> Outcome<Vec<Ring>> {
    let ring = || {
        Ring::heap()
            .capacity_bytes(4096)
            .max_readers(READERS as u32)
            .create()
    };
    Ok((0..rings).map(|_| ring()).collect::<Result<_, _>>()?)
}

/// Runs for so many seconds. Returns the part of one processor that this process used.
fn used(seconds: u64, run: impl FnOnce(Duration) -> Outcome<()>) -> Outcome<f64> {
    let time = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let before = time();
    run(Duration::from_secs(seconds))?;
    Ok((time() - before) / seconds as f64 * 100.0)
}

fn futures(handles: usize, rings: usize, seconds: u64) -> Outcome<f64> {
    let rings = make(rings)?;
    // A ring without a producer is quiet; one whose producer left is over.
    let _producers = rings
        .iter()
        .map(Ring::producer)
        .collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    for number in 0..handles {
        let consumer = rings[number % rings.len()].consumer(Start::Latest)?;
        let mut consumer = Async::new(consumer)?;
        tasks.spawn_local(async move { consumer.receive().await.is_ok() });
    }
    // The first sleep of each is short.
    tasks.block_on(&runtime, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
    });
    used(seconds, |span| {
        tasks.block_on(&runtime, async { tokio::time::sleep(span).await });
        Ok(())
    })
}

fn descriptors(
    handles: usize,
    rings: usize,
    seconds: u64,
    prepare: fn(&mut Pollable<Consumer>) -> std::io::Result<()>,
) -> Outcome<f64> {
    use rustix::event::{epoll, Timespec};
    let rings = make(rings)?;
    let _producers = rings
        .iter()
        .map(Ring::producer)
        .collect::<Result<Vec<_>, _>>()?;
    let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut consumers = Vec::new();
    for number in 0..handles {
        let consumer = rings[number % rings.len()].consumer(Start::Latest)?;
        let mut consumer = Pollable::new(consumer)?;
        prepare(&mut consumer)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&events, &consumer, data, epoll::EventFlags::IN)?;
        let _ = consumer.arm();
        consumers.push(consumer);
    }
    let mut turn = |span: Duration| -> Outcome<()> {
        let until = std::time::Instant::now() + span;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let left = Timespec::try_from(left)?;
            let mut ready = Vec::with_capacity(256);
            let spare = rustix::buffer::spare_capacity(&mut ready);
            match epoll::wait(&events, spare, Some(&left)) {
                // The end of an earlier io_uring interrupts its thread.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in ready {
                let consumer = &mut consumers[event.data.u64() as usize];
                while consumer.try_receive().is_ok() || consumer.arm() {}
            }
        }
    };
    turn(Duration::from_millis(500))?;
    used(seconds, turn)
}
