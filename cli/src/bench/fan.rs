//! One producer and many readers: what a publish costs beside them, and how fast all of them get
//! everything. The readers are in the second process and take turns, since a machine has two cores.

use super::channel::{End, Opened};
use super::message::{differing, fill, first_word, Ready, Source, LAST};
use super::workload::{median, Load, Measured, Workload};
use std::hint::spin_loop;
use std::io;
use std::time::{Duration, Instant};

/// A producer at the first end, readers at the second.
pub trait Fan {
    /// Publishes one message, waiting as long as it takes.
    fn publish(&mut self, message: &[u8]) -> io::Result<()>;

    /// Publishes the next message of a source, as [`Channel::send_many`](super::channel::Channel::send_many) does.
    #[inline(always)]
    fn publish_next(&mut self, source: &mut impl Source) -> io::Result<()> {
        self.publish(source.next())
    }

    /// Shows what is there for reader `reader`, in order, at most a few hundred messages.
    fn poll(&mut self, reader: usize, show: impl FnMut(&[u8])) -> io::Result<()>;
}

/// A fan as something that can be run.
pub struct Fanning<F>(pub F);

impl<F: Fan> Opened for Fanning<F> {
    fn run(&mut self, end: End, load: Load) -> io::Result<Measured> {
        match (end, load.workload) {
            (End::First, Workload::Burst) => burst(&mut self.0, load),
            (End::First, _) => stream(&mut self.0, load),
            (End::Second, _) => collect(&mut self.0, load.readers),
        }
    }
}

/// Messages of a burst, and the pause behind it, in which readers catch up.
const BURST: u64 = 64;
const PAUSE: Duration = Duration::from_micros(10);

fn publish_last<F: Fan>(fan: &mut F, size: usize) -> io::Result<()> {
    let mut message = vec![0u8; size];
    fill(&mut message, LAST);
    fan.publish(&message)
}

/// Nanoseconds of one publish, the median over bursts.
fn burst<F: Fan>(fan: &mut F, load: Load) -> io::Result<Measured> {
    let mut source = Ready::new(load.size);
    let mut means = Vec::new();
    let start = Instant::now();
    let mut now = start;
    while now - start < load.sample || means.is_empty() {
        for _ in 0..BURST {
            fan.publish_next(&mut source)?;
        }
        let done = Instant::now();
        means.push((done - now).as_nanos() as f64 / BURST as f64);
        while done.elapsed() < PAUSE {
            spin_loop();
        }
        now = Instant::now();
    }
    publish_last(fan, load.size)?;
    Ok(Measured {
        nanos: median(&mut means),
        count: source.sent(),
        ..Measured::default()
    })
}

fn stream<F: Fan>(fan: &mut F, load: Load) -> io::Result<Measured> {
    let mut source = Ready::new(load.size);
    let start = Instant::now();
    while start.elapsed() < load.sample {
        for _ in 0..256 {
            fan.publish_next(&mut source)?;
        }
    }
    publish_last(fan, load.size)?;
    Ok(Measured {
        count: source.sent(),
        ..Measured::default()
    })
}

/// Receives with all readers until each has seen the last message. The time is that of one message to
/// all of them.
fn collect<F: Fan>(fan: &mut F, readers: usize) -> io::Result<Measured> {
    let mut next = vec![0u64; readers];
    let mut over = vec![false; readers];
    let (mut start, mut differ) = (None, 0);
    while over.iter().any(|over| !over) {
        for reader in 0..readers {
            fan.poll(reader, |message| {
                start.get_or_insert_with(Instant::now);
                if first_word(message) == LAST {
                    over[reader] = true;
                } else {
                    differ |= differing(message, next[reader]);
                    next[reader] += 1;
                }
            })?;
        }
    }
    let nanos = start.map_or(0, |start| start.elapsed().as_nanos());
    let count = next.first().copied().unwrap_or_default();
    if differ != 0 || next.iter().any(|n| *n != count) {
        return Err(io::Error::other(
            "messages came torn or out of order, or were lost",
        ));
    }
    Ok(Measured {
        nanos: nanos as f64 / count.max(1) as f64,
        count,
        ..Measured::default()
    })
}
