//! One producer and many readers: what a publish costs beside them, and how fast all of them get
//! everything. The readers are in the second process and take turns, since a machine has two cores.

use super::channel::{End, Opened};
use super::load::{Load, Measured, Workload};
use super::message::{differing, fill, first_word, Ready, Source, LAST};
use super::stats::median;
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

    /// How many messages reader `reader` was told that it missed; `None` where it may miss none.
    fn missed(&self, _reader: usize) -> Option<u64> {
        None
    }
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
/// all of them. A reader that may miss messages must have been told of each that it did.
fn collect<F: Fan>(fan: &mut F, readers: usize) -> io::Result<Measured> {
    let missed = |fan: &F| -> Vec<Option<u64>> { (0..readers).map(|r| fan.missed(r)).collect() };
    let before = missed(fan);
    let mut next = vec![0u64; readers];
    let mut received = vec![0u64; readers];
    let mut over = vec![false; readers];
    let mut backwards = false;
    let (mut start, mut differ) = (None, 0);
    while over.iter().any(|over| !over) {
        for reader in 0..readers {
            fan.poll(reader, |message| {
                start.get_or_insert_with(Instant::now);
                let number = first_word(message);
                if number == LAST {
                    over[reader] = true;
                } else {
                    differ |= differing(message, number);
                    backwards |= number < next[reader];
                    next[reader] = number.wrapping_add(1);
                    received[reader] += 1;
                }
            })?;
        }
    }
    let nanos = start.map_or(0, |start| start.elapsed().as_nanos());
    if differ != 0 || backwards {
        return Err(io::Error::other("messages came torn or out of order"));
    }
    let told: Vec<Option<u64>> = missed(fan)
        .into_iter()
        .zip(before)
        .map(|(now, before)| Some(now? - before?))
        .collect();
    let sent = |reader: usize| received[reader] + told[reader].unwrap_or_default();
    let all = if readers == 0 { 0 } else { sent(0) };
    // What a reader got ends with the last number, or it was told what was missing behind it.
    let short = (0..readers).find(|&r| sent(r) != all || sent(r) < next[r]);
    if let Some(reader) = short {
        let text = format!(
            "reader {reader} received {} messages and was told that it missed {}, of {}",
            received[reader],
            told[reader].unwrap_or_default(),
            all.max(next[reader])
        );
        return Err(io::Error::other(text));
    }
    let count = received.first().copied().unwrap_or_default();
    Ok(Measured {
        nanos: nanos as f64 / count.max(1) as f64,
        count,
        missed: all - count,
        told: told.first().is_some_and(Option::is_some),
        ..Measured::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two readers of these numbers, who are told at the end how much they missed, if at all.
    struct Script {
        shows: [Vec<u64>; 2],
        told: [Option<u64>; 2],
        done: [bool; 2],
    }

    impl Fan for Script {
        fn publish(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn poll(&mut self, reader: usize, mut show: impl FnMut(&[u8])) -> io::Result<()> {
            let mut message = [0u8; 16];
            for number in std::mem::take(&mut self.shows[reader]) {
                fill(&mut message, number);
                show(&message);
            }
            self.done[reader] = true;
            Ok(())
        }

        fn missed(&self, reader: usize) -> Option<u64> {
            // A hundred were missed in earlier slices.
            let now = |told| if self.done[reader] { told } else { 0 };
            self.told[reader].map(|told| 100 + now(told))
        }
    }

    fn collected(shows: [&[u64]; 2], told: [Option<u64>; 2]) -> io::Result<Measured> {
        let shows = shows.map(|numbers| [numbers, &[LAST]].concat());
        let mut script = Script {
            shows,
            told,
            done: [false; 2],
        };
        collect(&mut script, 2)
    }

    #[test]
    fn readers_may_miss_what_they_are_told_that_they_missed_and_nothing_else() {
        let all = collected([&[0, 1, 2, 3], &[0, 1, 2, 3]], [None, None]).unwrap();
        assert_eq!((all.count, all.missed, all.told), (4, 0, false));
        // In the middle, and behind the last that came.
        let lapped = collected([&[0, 3], &[0, 1, 2]], [Some(2), Some(1)]).unwrap();
        assert_eq!((lapped.count, lapped.missed, lapped.told), (2, 2, true));
        type Case<'a> = ([&'a [u64]; 2], [Option<u64>; 2]);
        let wrong: [Case<'_>; 5] = [
            ([&[0, 1, 3], &[0, 1, 2, 3]], [None, None]),
            ([&[0, 1, 3], &[0, 1, 3]], [None, None]),
            ([&[0, 1, 3], &[0, 1, 3]], [Some(0), Some(0)]),
            ([&[0, 1], &[0, 1, 2]], [Some(0), Some(0)]),
            ([&[0, 2, 1], &[0, 1, 2]], [Some(0), Some(0)]),
        ];
        for (shows, told) in wrong {
            assert!(collected(shows, told).is_err(), "{shows:?} {told:?}");
        }
    }
}
