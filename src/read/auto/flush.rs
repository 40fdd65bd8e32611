//! Whether a reader gives the lines it has read back to memory.
//!
//! Layer 4. A line that was read stays in the reader's cache, and the producer, when it comes round to
//! it a lap later, has to take it away from there. Between far cores nothing else limits a stream, and
//! between near ones it does in a ring that both their private caches hold. A reader that flushes what it
//! has read spares the producer that: it finds the line in memory, and has asked for it long before.
//! Where the ring is larger than the caches, lines leave them by themselves, and flushing only costs.
//!
//! Nothing but trying tells which it is. Both ways are measured for a lap each, after a lap in which the
//! caches become what they are then, and the faster one is kept for a while. Only streams that run flat
//! out are meddled with, and the worse way is given up as soon as it has taken twice as long. Who begins to
//! flush catches up on what was read before, so that neither a beginning nor a trial costs a slow lap.

use crate::read::pacer::Flushed;
use crate::read::Progress;
use core::ops::Range;
use std::time::{Duration, Instant};

/// How much faster the other way has to be to become this one.
const BETTER: f64 = 1.15;
/// How many times as long as this way the other one may take before it is given up.
const PATIENCE: f64 = 2.0;
/// A lap for this purpose has so many bytes at least: what takes a tenth of a millisecond.
const SHORTEST_LAP: u64 = 1 << 20;
/// Laps until the other way is tried again, doubled while that finds nothing new.
const FIRST_REST: u64 = 8;
const LAST_REST: u64 = 1024;
/// Looks in a row at a stream that does not run flat out after which it counts as another stream. A reader
/// that stands back comes close now and then for fewer.
const ANOTHER: u32 = 4096;

/// What is being found out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The caches are becoming what this way makes of them.
    Settling,
    /// Measures this way, from a place in the stream and a moment on.
    Measuring { from: u64, since: Instant },
    /// Keeps to this way.
    Resting,
}

/// The state of one reader. All private.
#[derive(Debug)]
pub struct Flush {
    enabled: bool,
    lap: u64,
    /// This way.
    on: bool,
    phase: Phase,
    /// Where the phase ends, in bytes read.
    until: u64,
    /// Bytes per nanosecond of the other way, while this one is compared with it.
    other: Option<f64>,
    rest: u64,
    slow_looks: u32,
    flushed: Flushed,
}

impl Flush {
    /// For a ring of this capacity and a reader that begins at `read`.
    pub fn new(enabled: bool, capacity: u64, read: Progress) -> Self {
        Self {
            enabled,
            lap: capacity.max(SHORTEST_LAP),
            on: false,
            phase: Phase::Settling,
            until: read.bytes,
            other: None,
            rest: FIRST_REST,
            // Nothing is known to run flat out.
            slow_looks: ANOTHER,
            flushed: Flushed::new(capacity, read),
        }
    }

    /// Notes how far the reader has come, and whether the stream runs flat out; what to flush now.
    pub fn look(&mut self, read: Progress, flat_out: bool) -> Range<u64> {
        let new = self.flushed.see(read);
        if !self.enabled {
            return 0..0;
        }
        if flat_out {
            self.slow_looks = 0;
        } else if self.slow_looks < ANOTHER {
            self.slow_looks += 1;
        } else {
            self.begin_anew(read);
            return 0..0;
        }
        if read.bytes >= self.until || self.takes_too_long() {
            self.next_phase(read);
        }
        if !self.on {
            return 0..0;
        }
        self.flushed.next(new)
    }

    /// Notes that the reader went elsewhere: what it skipped, it did not read.
    pub fn moved(&mut self, to: Progress) {
        let skipped = self.flushed.moved(to);
        self.until = self.until.wrapping_add(skipped);
        if let Phase::Measuring { from, .. } = &mut self.phase {
            *from = from.wrapping_add(skipped);
        }
    }

    fn begin_anew(&mut self, read: Progress) {
        self.settle(read);
        self.other = None;
        self.on = false;
    }

    fn takes_too_long(&self) -> bool {
        match (self.phase, self.other) {
            (Phase::Measuring { since, .. }, Some(rate)) => {
                nanos(since.elapsed()) > PATIENCE * self.lap as f64 / rate
            }
            _ => false,
        }
    }

    fn next_phase(&mut self, read: Progress) {
        match self.phase {
            Phase::Resting | Phase::Settling => {
                let (from, since) = (read.bytes, Instant::now());
                self.phase = Phase::Measuring { from, since };
                self.until = from.saturating_add(self.lap);
            }
            Phase::Measuring { from, since } => {
                let rate = read.bytes.wrapping_sub(from) as f64 / nanos(since.elapsed());
                self.measured(read, rate);
            }
        }
    }

    fn measured(&mut self, read: Progress, rate: f64) {
        let Some(other) = self.other.take() else {
            self.other = Some(rate);
            self.on = !self.on;
            self.settle(read);
            return;
        };
        if rate >= BETTER * other {
            self.rest = FIRST_REST;
        } else {
            self.on = !self.on;
            self.rest = (self.rest * 2).min(LAST_REST);
        }
        self.phase = Phase::Resting;
        self.until = read
            .bytes
            .saturating_add(self.rest.saturating_mul(self.lap));
    }

    fn settle(&mut self, read: Progress) {
        self.phase = Phase::Settling;
        self.until = read.bytes.saturating_add(self.lap);
    }
}

fn nanos(time: Duration) -> f64 {
    time.as_nanos().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u64 = 4 << 20;
    const LOOK: u64 = 16 << 10;

    /// A reader of a stream; laps take as long as it says.
    struct Reader {
        flush: Flush,
        read: Progress,
        flushed: u64,
    }

    impl Reader {
        fn new() -> Self {
            let read = Progress {
                bytes: 1 << 40,
                messages: 5,
            };
            Self {
                flush: Flush::new(true, CAPACITY, read),
                read,
                flushed: 0,
            }
        }

        fn look(&mut self, flat_out: bool) {
            self.read.bytes += LOOK;
            let range = self.flush.look(self.read, flat_out);
            let bytes = range.end - range.start;
            assert!(range.end <= self.read.bytes && bytes <= 4 * LOOK);
            assert!(bytes == 0 || range.start >= self.read.bytes - CAPACITY);
            self.flushed += bytes;
        }

        /// Reads a lap; one in which nothing is flushed takes `off`, another `on`.
        fn lap(&mut self, off: Duration, on: Duration) {
            let laps = CAPACITY / LOOK;
            for _ in 0..laps {
                let way = if self.flush.on { on } else { off };
                if let Phase::Measuring { since, .. } = &mut self.flush.phase {
                    *since -= way / laps as u32;
                }
                self.look(true);
            }
        }

        fn laps(&mut self, count: u64, off: Duration, on: Duration) -> u64 {
            let before = self.flushed;
            for _ in 0..count {
                self.lap(off, on);
            }
            (self.flushed - before) / CAPACITY
        }
    }

    /// Far longer than the test itself takes for a lap.
    const FAST: Duration = Duration::from_secs(1);
    const SLOW: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_faster_is_kept() {
        let mut reader = Reader::new();
        let flushed = reader.laps(64, SLOW, FAST);
        assert!(flushed >= 60, "{flushed} of 64 laps");
        // And where it is not, it is given up, tried now and then, and less and less.
        let mut reader = Reader::new();
        let (first, second) = (reader.laps(128, FAST, SLOW), reader.laps(1024, FAST, SLOW));
        assert!((1..=16).contains(&first), "{first} of 128 laps");
        assert!((1..=12).contains(&second), "{second} of 1024 laps");
    }

    #[test]
    fn what_is_hardly_faster_changes_nothing() {
        let mut reader = Reader::new();
        reader.laps(8, SLOW, SLOW - FAST);
        assert!(!reader.flush.on && reader.flush.phase == Phase::Resting);
    }

    #[test]
    fn circumstances_that_change_are_noticed() {
        let mut reader = Reader::new();
        let between = |reader: &mut Reader, off, on| {
            // Trials come and go; what is done between them is the way that is kept.
            loop {
                reader.lap(off, on);
                if reader.flush.phase == Phase::Resting {
                    return reader.flush.on;
                }
            }
        };
        reader.laps(32, SLOW, FAST);
        assert!(between(&mut reader, SLOW, FAST));
        reader.laps(64, FAST, SLOW);
        assert!(!between(&mut reader, FAST, SLOW));
        reader.laps(64, SLOW, FAST);
        assert!(between(&mut reader, SLOW, FAST));
    }

    #[test]
    fn the_worse_way_is_given_up_before_its_lap_is_over() {
        let mut reader = Reader::new();
        reader.laps(2, FAST, 1000 * FAST);
        // It settles for a lap, and then is measured.
        reader.laps(1, FAST, 1000 * FAST);
        let lap = CAPACITY / LOOK;
        let looks = (0..lap).take_while(|_| {
            if let Phase::Measuring { since, .. } = &mut reader.flush.phase {
                *since -= 1000 * FAST / lap as u32;
            }
            reader.look(true);
            reader.flush.phase != Phase::Resting
        });
        assert!(looks.count() < 10);
        assert!(!reader.flush.on);
    }

    #[test]
    fn only_streams_that_run_flat_out_are_meddled_with() {
        let mut reader = Reader::new();
        for _ in 0..10 * ANOTHER {
            reader.look(false);
        }
        assert_eq!((reader.flushed, reader.flush.phase), (0, Phase::Settling));
        // One that no longer does is left alone after a while.
        reader.laps(8, SLOW, FAST);
        assert!(reader.flush.on);
        for _ in 0..=ANOTHER {
            reader.look(false);
        }
        let before = reader.flushed;
        for _ in 0..ANOTHER {
            reader.look(false);
        }
        assert_eq!(reader.flushed, before);
    }

    #[test]
    fn what_was_skipped_is_neither_flushed_nor_measured() {
        let mut reader = Reader::new();
        reader.laps(8, SLOW, FAST);
        assert!(reader.flush.on);
        let left = reader.flush.until - reader.read.bytes;
        reader.read.bytes += CAPACITY;
        reader.flush.moved(reader.read);
        assert_eq!(reader.flush.until - reader.read.bytes, left);
        // Also `look` itself checks that it flushes no more than was read.
        reader.look(true);
    }

    #[test]
    fn a_reader_that_is_led_astray_flushes_no_more_than_a_lap() {
        let mut reader = Reader::new();
        reader.laps(8, SLOW, FAST);
        assert!(reader.flush.on);
        // A stream that lies about positions can lead a reader anywhere.
        for bytes in [1 << 62, u64::MAX, 0, 1 << 63] {
            let range = reader.flush.look(Progress { bytes, messages: 0 }, true);
            assert!(range.end.saturating_sub(range.start) <= CAPACITY, "{bytes}");
        }
    }

    #[test]
    fn disabled_it_does_nothing() {
        let mut reader = Reader::new();
        reader.flush.enabled = false;
        assert_eq!(reader.laps(64, SLOW, FAST), 0);
    }
}
