//! Bare shared words: what probes of the machine bounce, and what baselines are made of.
//!
//! Unsafe, because it maps a file and overlays atomics on it.
#![allow(unsafe_code, reason = "atomics overlaid on a mapped file")]

use super::channel::End;
use super::paced::clock;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::OpenOptions;
use std::hint::spin_loop;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// What holds the words that probes bounce; it stays while everything else in its directory goes.
pub const PROBES: &str = "probes";
/// What those take.
pub const PROBE_BYTES: usize = 4096;

/// Shared memory with nothing in it but words.
pub struct Shared {
    map: MmapRaw,
    bytes: usize,
}

impl Shared {
    /// Opens a file of `bytes`, made by the first end and full of zeros then.
    pub fn open(path: &Path, end: End, bytes: usize) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(end == End::First)
            .truncate(false)
            .open(path)?;
        if end == End::First {
            file.set_len(bytes as u64)?;
        }
        let map = MmapOptions::new().len(bytes).populate().map_raw(&file)?;
        Ok(Self { map, bytes })
    }

    #[inline(always)]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes);
        // SAFETY: inside the mapping and aligned, just checked; only atomics touch the bytes.
        unsafe { &*self.map.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    /// Where it begins in memory.
    pub fn start(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// The lower half of a word, to sleep on.
    pub fn half(&self, offset: usize) -> &AtomicU32 {
        let word: *const AtomicU64 = self.word(offset);
        // SAFETY: the lower half of a word that `word` has checked, on a little-endian processor; only
        // the kernel and loads get at it through this reference.
        unsafe { &*word.cast::<AtomicU32>() }
    }

    /// Bounces a number between two lines, the other process doing its half; nanoseconds per round
    /// trip, the median over batches of 64.
    pub fn bounce(&self, end: End, rounds: u64) -> f64 {
        let (mine, theirs) = match end {
            End::First => (self.word(0), self.word(256)),
            End::Second => (self.word(256), self.word(0)),
        };
        let start = mine.load(Relaxed);
        let mut means = Vec::new();
        let mut since = std::time::Instant::now();
        for n in start + 1..=start + rounds {
            if end == End::First {
                mine.store(n, Release);
            }
            while theirs.load(Acquire) < n {
                spin_loop();
            }
            if end == End::Second {
                mine.store(n, Release);
            }
            if n % 64 == 0 {
                let now = std::time::Instant::now();
                means.push((now - since).as_nanos() as f64 / 64.0);
                since = now;
            }
        }
        super::stats::median(&mut means)
    }
}

impl Shared {
    /// Asks the other process for its clock, again and again; how far it was ahead, and half the round
    /// trip, in the quickest one. Cristian's algorithm (F. Cristian, "Probabilistic clock
    /// synchronization", 1989).
    pub fn compare_clocks(&self, end: End, rounds: u64) -> (i64, u64) {
        let (question, answer) = (self.word(512), self.word(768));
        // The one word that neither may have moved on before the other looks.
        let start = answer.load(Relaxed);
        let mut best = (0, u64::MAX);
        for n in start + 1..=start + rounds {
            if end == End::Second {
                while question.load(Acquire) < n {
                    spin_loop();
                }
                self.word(776).store(clock(), Relaxed);
                answer.store(n, Release);
                continue;
            }
            let asked = clock();
            question.store(n, Release);
            while answer.load(Acquire) < n {
                spin_loop();
            }
            let answered = clock();
            let half = (answered - asked) / 2;
            if half < best.1 {
                let theirs = self.word(776).load(Relaxed);
                best = (theirs as i64 - (asked + half) as i64, half);
            }
        }
        best
    }
}
