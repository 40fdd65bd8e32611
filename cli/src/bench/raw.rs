//! The limits: cache lines bounced and filled without any protocol to speak of.
//!
//! Unsafe, because it maps a file and overlays atomics on it.
#![allow(
    unsafe_code,
    reason = "the yardstick is what the machine does with bare atomics"
)]

use super::channel::{Channel, End, Place};
use super::paced::clock;
use memmap2::{MmapOptions, MmapRaw};
use rustix::thread::futex;
use std::fs::OpenOptions;
use std::hint::spin_loop;
use std::io;
use std::path::Path;
use std::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering::*};

const SLOTS: u64 = 4096;
/// Offsets of the two bounced lines, the two cursors, and the two directions' slots.
const LINES: usize = 4096;
const FILE_BYTES: usize = 16 << 20;

/// Shared memory with nothing in it but words.
pub struct Shared {
    map: MmapRaw,
}

impl Shared {
    pub fn open(directory: &Path, end: End) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(end == End::First)
            .truncate(false)
            .open(directory.join("raw"))?;
        if end == End::First {
            file.set_len(FILE_BYTES as u64)?;
        }
        let map = MmapOptions::new()
            .len(FILE_BYTES)
            .populate()
            .map_raw(&file)?;
        Ok(Self { map })
    }

    #[inline(always)]
    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= FILE_BYTES);
        // SAFETY: inside the mapping and aligned, just checked; only atomics touch the bytes.
        unsafe { &*self.map.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    /// The lower half of a word, to sleep on.
    fn half(&self, offset: usize) -> &AtomicU32 {
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
        super::workload::median(&mut means)
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

/// Slots of a sequence word and a payload, each a whole number of 64-byte lines; the receiver says
/// how far it is once per 64 messages, the sender looks when it runs into it.
pub struct Slots {
    shared: Shared,
    stride: usize,
    slots: u64,
    out: usize,
    inward: usize,
    sent: u64,
    received: u64,
    room: u64,
    /// After how many messages the receiver says how far it is: 64, or half of few slots.
    say_every: u64,
    /// Whether the receiver sleeps until there is something to do.
    sleeps: bool,
    buffer: Vec<u64>,
}

/// Where a receiver says that it is about to sleep, behind the cursor.
const ARMED: usize = 256;

impl Slots {
    pub fn open(place: &Place<'_>, sleeps: bool) -> io::Result<Self> {
        let (directory, end, size) = (place.directory, place.end, place.load.size);
        let stride = (8 + size).div_ceil(64) * 64;
        let slots = SLOTS.min((4 << 20) / stride as u64);
        let (first, second) = (LINES, LINES + (6 << 20));
        let (out, inward) = match end {
            End::First => (first, second),
            End::Second => (second, first),
        };
        let shared = Shared::open(directory, end)?;
        if end == End::First {
            for at in (LINES..FILE_BYTES).step_by(8) {
                shared.word(at).store(0, Relaxed);
            }
        }
        Ok(Self {
            shared,
            stride,
            slots,
            out,
            inward,
            sent: 0,
            received: 0,
            room: slots,
            say_every: (slots / 2).clamp(1, 64),
            sleeps,
            buffer: vec![0; size / 8],
        })
    }

    #[inline(always)]
    fn send_words(&mut self, words: impl Iterator<Item = u64>) {
        if self.sent >= self.room {
            let cursor = self.shared.word(self.out);
            loop {
                self.room = cursor.load(Acquire) + self.slots;
                if self.sent < self.room {
                    break;
                }
                spin_loop();
            }
        }
        let at = self.slot(self.out, self.sent);
        for (n, word) in words.enumerate() {
            self.shared.word(at + 8 + 8 * n).store(word, Relaxed);
        }
        self.sent += 1;
        self.shared.word(at).store(self.sent, Release);
        if self.sleeps {
            self.wake(at);
        }
    }

    #[inline(never)]
    fn wake(&self, at: usize) {
        let armed = self.shared.word(self.out + ARMED);
        fence(SeqCst);
        if armed.load(Relaxed) != 0 {
            armed.store(0, Relaxed);
            // Nobody is there to be told of an error, and a bounded sleep ends by itself.
            let _ = futex::wake(self.shared.half(at), futex::Flags::empty(), 1);
        }
    }

    #[inline(never)]
    fn sleep(&self, at: usize) {
        let (word, next) = (self.shared.word(at), self.received + 1);
        let armed = self.shared.word(self.inward + ARMED);
        while word.load(Acquire) != next {
            armed.store(1, Relaxed);
            fence(SeqCst);
            let seen = word.load(Acquire);
            if seen != next {
                let wait = futex::Timespec {
                    tv_sec: 0,
                    tv_nsec: 100_000_000,
                };
                let flags = futex::Flags::empty();
                // Whatever ended the sleep, the word says whether it is over.
                let _ = futex::wait(self.shared.half(at), flags, seen as u32, Some(&wait));
            }
        }
    }

    #[inline(always)]
    fn slot(&self, base: usize, n: u64) -> usize {
        base + 4096 + (n % self.slots) as usize * self.stride
    }
}

impl Channel for Slots {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.send_words(message.chunks_exact(8).map(|word| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            u64::from_le_bytes(bytes)
        }));
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let at = self.slot(self.inward, self.received);
        if self.sleeps {
            self.sleep(at);
        }
        while self.shared.word(at).load(Acquire) != self.received + 1 {
            spin_loop();
        }
        for (n, word) in self.buffer.iter_mut().enumerate() {
            *word = self.shared.word(at + 8 + 8 * n).load(Relaxed);
        }
        // SAFETY: a vector of words is as many bytes, of any alignment that bytes need.
        let view = unsafe {
            std::slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), self.buffer.len() * 8)
        };
        let result = show(view);
        self.received += 1;
        if self.received.is_multiple_of(self.say_every) {
            self.shared.word(self.inward).store(self.received, Release);
        }
        Ok(result)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        if self.receive(last)? {
            return Ok(false);
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.send_words(buffer.iter().copied());
        self.buffer = buffer;
        Ok(true)
    }
}
