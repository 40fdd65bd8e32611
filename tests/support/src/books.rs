//! A file of counters that several processes share and none of them owns, and a source of chance.
#![allow(unsafe_code, reason = "maps a file of counters")]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicU8};
use std::time::Duration;

/// Words and bytes that survive their writer.
pub struct Books {
    map: MmapRaw,
    words: usize,
    bytes: usize,
}

impl Books {
    /// Opens or makes the books in a directory.
    pub fn open(directory: &Path, words: usize, bytes: usize) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("books"))
            .unwrap();
        file.set_len((words * 8 + bytes) as u64).unwrap();
        let map = MmapOptions::new().map_raw(&file).unwrap();
        Self { map, words, bytes }
    }

    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at < self.words);
        // SAFETY: inside the mapping, which lives as long as `self`, and aligned.
        unsafe { &*self.map.as_mut_ptr().cast::<AtomicU64>().add(at) }
    }

    pub fn byte(&self, at: usize) -> &AtomicU8 {
        assert!(at < self.bytes);
        // SAFETY: inside the mapping, which lives as long as `self`.
        unsafe {
            &*self
                .map
                .as_mut_ptr()
                .add(self.words * 8 + at)
                .cast::<AtomicU8>()
        }
    }
}

/// A small generator of random numbers: xorshift64 (Marsaglia, 2003).
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

impl Random {
    /// From the clock; says so, in case something fails.
    pub fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = now.unwrap().as_nanos() as u64 | 1;
        println!("  seed {seed}");
        Self(seed)
    }

    /// From a seed, which is not 0.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// How many kills a chaos test makes.
pub fn kills_wanted() -> u64 {
    let wanted = std::env::var("SLIPRING_CHAOS_KILLS").ok();
    wanted.map_or(100, |n| n.parse().expect("a number of kills"))
}
