//! How long a sleeping reader takes to notice a message: a thread that sleeps in the kernel, tasks, event loops, and a
//! Unix socket in tokio, in turns. Run it with `cargo run --release --bin wake [ROUNDS]` in this folder.
//!
//! Each message is sent a millisecond after the last one was noticed, so that the reader sleeps, and carries the time at
//! which it was sent. The sender sleeps too: what it costs to wake its processor is in none of the figures.

use rustix::event::{epoll, poll, PollFd, PollFlags};
use rustix::io::Errno;
use slipring::events::{Async, Pollable};
use slipring::{Consumer, ConsumerOptions, Producer, Ring, Start, Strategy};
use std::error::Error;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Messages of one contender in a round.
const MESSAGES: usize = 200;

/// Nanoseconds from the sending to the noticing of each message.
type Times = Outcome<Vec<u64>>;

type Contender = fn() -> Times;

const CONTENDERS: [(&str, Contender); 7] = [
    ("Consumer::receive, Strategy::Park", parked),
    ("Async in tokio, one thread", task),
    ("Pollable in poll", polled),
    ("Pollable in epoll, by edges", edges),
    ("The same, with io_uring", edges_of_io_uring),
    ("Pollable with io_uring in tokio", polled_by_tokio),
    ("Unix socket in tokio, one thread", socket),
];

fn main() -> Outcome<()> {
    let rounds = std::env::args()
        .nth(1)
        .map_or(Ok(10), |text| text.parse::<usize>())?;
    let mut all: Vec<Vec<u64>> = vec![Vec::new(); CONTENDERS.len()];
    for _ in 0..rounds {
        for (times, (_, contender)) in all.iter_mut().zip(CONTENDERS) {
            times.extend(contender()?);
        }
    }
    println!(
        "{:36} {:>8} {:>8} {:>8}",
        "microseconds", "p10", "p50", "p99"
    );
    for (times, (name, _)) in all.iter_mut().zip(CONTENDERS) {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100] as f64 / 1000.0;
        println!("{name:36} {:8.1} {:8.1} {:8.1}", at(10), at(50), at(99));
    }
    Ok(())
}

fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn since(message: &[u8]) -> u64 {
    let mut sent = [0; 8];
    sent.copy_from_slice(&message[..8]);
    now() - u64::from_le_bytes(sent)
}

/// Sends each message when the last one was noticed, and a little later.
fn paced(noticed: &mpsc::Receiver<()>, mut send: impl FnMut([u8; 64]) -> bool) {
    for _ in 0..MESSAGES {
        let until = Instant::now() + Duration::from_millis(1);
        std::thread::sleep(until - Instant::now());
        let mut message = [0; 64];
        message[..8].copy_from_slice(&now().to_le_bytes());
        if !send(message) || noticed.recv().is_err() {
            return;
        }
    }
}

fn ring() -> Outcome<(Producer, Consumer)> {
    let ring = Ring::heap().create()?;
    let options = ConsumerOptions::new().strategy(Strategy::Park);
    Ok((
        ring.producer()?,
        ring.consumer_with(Start::Oldest, options)?,
    ))
}

/// The sender, in a thread, and what it is told of each message.
fn sender(mut producer: Producer) -> mpsc::Sender<()> {
    let (tell, noticed) = mpsc::channel();
    std::thread::spawn(move || paced(&noticed, |message| producer.publish(&message).is_ok()));
    tell
}

fn parked() -> Times {
    let (producer, mut consumer) = ring()?;
    let noticed = sender(producer);
    let mut times = Vec::new();
    while times.len() < MESSAGES {
        let message = consumer.receive()?.ok_or("closed")?;
        times.push(since(&message));
        let _ = noticed.send(());
    }
    Ok(times)
}

fn task() -> Times {
    let (producer, consumer) = ring()?;
    let noticed = sender(producer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut consumer = Async::new(consumer)?;
        let mut times = Vec::new();
        while times.len() < MESSAGES {
            let message = consumer.receive().await?.ok_or("closed")?;
            times.push(since(&message));
            let _ = noticed.send(());
        }
        Ok(times)
    })
}

fn polled() -> Times {
    let wait = |consumer: &_| poll(&mut [PollFd::new(consumer, PollFlags::IN)], None).map(drop);
    by_descriptor(wait, |_| Ok(()))
}

fn edges() -> Times {
    by_descriptor(epolled(), |_| Ok(()))
}

fn edges_of_io_uring() -> Times {
    by_descriptor(epolled(), Pollable::use_io_uring)
}

fn polled_by_tokio() -> Times {
    let (producer, consumer) = ring()?;
    let noticed = sender(producer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut consumer = Pollable::new(consumer)?;
        consumer.use_io_uring()?;
        let interest = Interest::READABLE;
        // SAFETY: the descriptor is the same as long as the handle lives, and is closed with it.
        #[allow(unsafe_code, reason = "what tokio asks of a descriptor")]
        let mut consumer = unsafe { AsyncFd::register_with_interest(consumer, interest)? };
        let mut times = Vec::new();
        while times.len() < MESSAGES {
            let polled = consumer.get_mut();
            while let Ok(message) = polled.try_receive() {
                times.push(since(&message));
                let _ = noticed.send(());
            }
            if !polled.arm() {
                consumer.readable_mut().await?.clear_ready();
            }
        }
        Ok(times)
    })
}

fn epolled() -> impl FnMut(&Pollable<Consumer>) -> rustix::io::Result<()> {
    let mut loops = None;
    move |consumer| {
        if loops.is_none() {
            let new = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&new, consumer, epoll::EventData::new_u64(0), flags)?;
            loops = Some(new);
        }
        let mut ready = Vec::with_capacity(1);
        let spare = rustix::buffer::spare_capacity(&mut ready);
        loops
            .as_ref()
            .map_or(Ok(0), |loops| epoll::wait(loops, spare, None))
            .map(drop)
            .or_else(again)
    }
}

/// The end of an earlier io_uring interrupts its thread: what is armed is looked at once more.
fn again(error: Errno) -> rustix::io::Result<()> {
    match error {
        Errno::INTR => Ok(()),
        error => Err(error),
    }
}

fn by_descriptor(
    mut wait: impl FnMut(&Pollable<Consumer>) -> rustix::io::Result<()>,
    prepare: impl FnOnce(&mut Pollable<Consumer>) -> std::io::Result<()>,
) -> Times {
    let (producer, consumer) = ring()?;
    let noticed = sender(producer);
    let mut consumer = Pollable::new(consumer)?;
    prepare(&mut consumer)?;
    let mut times = Vec::new();
    while times.len() < MESSAGES {
        if !consumer.arm() {
            wait(&consumer)?;
        }
        while let Ok(message) = consumer.try_receive() {
            times.push(since(&message));
            let _ = noticed.send(());
        }
    }
    Ok(times)
}

fn socket() -> Times {
    let (mut here, there) = std::os::unix::net::UnixStream::pair()?;
    there.set_nonblocking(true)?;
    let (tell, noticed) = mpsc::channel();
    std::thread::spawn(move || {
        paced(&noticed, |message| {
            std::io::Write::write_all(&mut here, &message).is_ok()
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut there = tokio::net::UnixStream::from_std(there)?;
        let mut times = Vec::new();
        let mut message = [0; 64];
        while times.len() < MESSAGES {
            there.read_exact(&mut message).await?;
            times.push(since(&message));
            let _ = tell.send(());
        }
        there.shutdown().await?;
        Ok(times)
    })
}
