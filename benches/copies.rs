//! What a copy takes with each kind of moves this processor has, by size, and what a publish takes beside a
//! bare copy. The constants of `src/segment/copy` are derived from the first tables.
//!
//! One core, nothing on the other; destination or source is a ring of 4 MiB, walked through frame by frame.
//! Everything in one table takes turns in short samples, and the cells are medians, in nanoseconds.
//!
//! `cargo bench --bench copies` prints all of it; `-- copies` or `-- publish` one part.
#![allow(unsafe_code, missing_docs, reason = "a program that copies")]

use slipring::segment::copy::{copy_fresh_words, copy_words, Wide};
use slipring::segment::Order;
use slipring::{ProducerOptions, Ring, Strategy};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const CAPACITY: usize = 4 << 20;
const LARGEST: usize = 64 << 10;
const ROUNDS: usize = 15;
const SIZES: [usize; 18] = [
    8,
    16,
    24,
    32,
    40,
    64,
    96,
    128,
    160,
    256,
    512,
    1 << 10,
    2 << 10,
    4 << 10,
    8 << 10,
    16 << 10,
    32 << 10,
    LARGEST,
];

/// What was done to a payload before it is copied.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing: it has been in the cache for long.
    Nothing,
    /// Its first and last word were written.
    Ends,
    /// All its words were.
    Words,
}

const BEFORE: [(Before, &str); 3] = [
    (Before::Nothing, "cached"),
    (Before::Ends, "ends fresh"),
    (Before::Words, "all fresh"),
];

/// How bytes are moved.
#[derive(Clone, Copy)]
enum How {
    Fresh(Wide),
    Wide(Wide),
    Library,
    #[cfg(target_arch = "x86_64")]
    StringMove,
}

impl How {
    fn all() -> Vec<(String, Self)> {
        let mut all = Vec::new();
        for wide in Wide::available() {
            all.push((format!("{wide:?}"), Self::Wide(wide)));
            all.push((format!("{wide:?}, as fresh"), Self::Fresh(wide)));
        }
        all.push(("memcpy".into(), Self::Library));
        #[cfg(target_arch = "x86_64")]
        all.push(("rep movsb".into(), Self::StringMove));
        all
    }

    /// # Safety
    /// As `copy_words`.
    #[inline(always)]
    unsafe fn copy(self, to: *mut u8, from: *const u8, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Fresh(wide) => copy_fresh_words(to, from, bytes, wide, Order::Up),
                Self::Wide(wide) => copy_words(to, from, bytes, wide),
                Self::Library => core::ptr::copy_nonoverlapping(from, to, bytes),
                #[cfg(target_arch = "x86_64")]
                Self::StringMove => core::arch::asm!("rep movsb",
                    inout("rcx") bytes => _, inout("rsi") from => _, inout("rdi") to => _,
                    options(nostack, preserves_flags)),
            }
        }
    }
}

/// A ring's worth of words, and a message.
struct Memory {
    ring: Vec<u64>,
    message: Vec<u64>,
}

impl Memory {
    fn new() -> Self {
        Self {
            ring: vec![1; CAPACITY / 8],
            message: vec![7; LARGEST / 8],
        }
    }
}

fn touch(message: &mut [u64], before: Before, number: u64) {
    match before {
        Before::Nothing => {}
        Before::Ends => {
            message[0] = number;
            message[message.len() - 1] = number;
        }
        // One by one, not in vectors.
        Before::Words => message.iter_mut().for_each(|word| {
            *word = black_box(number);
        }),
    }
}

/// How often a message of so many bytes is moved in one sample.
fn times(bytes: usize) -> u64 {
    (1_500_000 / (bytes + 64)).max(40) as u64
}

/// Copies into the ring, each behind a word that says which it is.
#[inline(never)]
fn copies_in(memory: &mut Memory, bytes: usize, before: Before, how: How) -> f64 {
    let words = bytes / 8;
    let mut at = 0;
    let start = Instant::now();
    for number in 0..times(bytes) {
        if at + words + 1 > memory.ring.len() {
            at = 0;
        }
        touch(&mut memory.message[..words], before, number);
        let to = &mut memory.ring[at..=at + words];
        let from = black_box(&memory.message[..words]);
        // SAFETY: `words` on both sides, distinct and aligned.
        unsafe { how.copy(to[1..].as_mut_ptr().cast(), from.as_ptr().cast(), bytes) }
        // SAFETY: a word of our own; the type has the same layout.
        let word = unsafe { &*(&raw const to[0]).cast::<AtomicU64>() };
        word.store(number, Ordering::Release);
        at += words + 1;
    }
    nanoseconds(start, bytes)
}

/// Copies out of the ring.
#[inline(never)]
fn copies_out(memory: &mut Memory, bytes: usize, how: How) -> f64 {
    let words = bytes / 8;
    let mut at = 0;
    let start = Instant::now();
    for _ in 0..times(bytes) {
        if at + words + 1 > memory.ring.len() {
            at = 0;
        }
        let from = &memory.ring[at + 1..=at + words];
        let to = black_box(&mut memory.message[..words]);
        // SAFETY: `words` on both sides, distinct and aligned.
        unsafe { how.copy(to.as_mut_ptr().cast(), from.as_ptr().cast(), bytes) }
        at += words + 1;
    }
    black_box(&memory.message);
    nanoseconds(start, bytes)
}

fn nanoseconds(start: Instant, bytes: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / times(bytes) as f64
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Medians of several measurements that take turns.
fn in_turns(measurements: &mut [Box<dyn FnMut() -> f64 + '_>]) -> Vec<f64> {
    let mut samples = vec![Vec::new(); measurements.len()];
    for _ in 0..ROUNDS {
        for (samples, measure) in samples.iter_mut().zip(measurements.iter_mut()) {
            samples.push(measure());
        }
    }
    samples.iter_mut().map(|samples| median(samples)).collect()
}

fn tables_of_copies() {
    let memory = std::cell::RefCell::new(Memory::new());
    let kinds = How::all();
    let directions = BEFORE
        .iter()
        .map(|(before, name)| (Some(*before), format!("into a ring, {name}")))
        .chain([(None, "out of a ring".to_owned())]);
    for (before, direction) in directions {
        print!("\n{direction:<24}");
        kinds.iter().for_each(|(name, _)| print!(" {name:>18}"));
        println!();
        for bytes in SIZES {
            let memory = &memory;
            let mut measurements: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
            for &(_, how) in &kinds {
                measurements.push(Box::new(move || {
                    let memory = &mut memory.borrow_mut();
                    match before {
                        Some(before) => copies_in(memory, bytes, before, how),
                        None => copies_out(memory, bytes, how),
                    }
                }));
            }
            print!("{bytes:<24}");
            let medians = in_turns(&mut measurements);
            medians.iter().for_each(|median| print!(" {median:>18.2}"));
            println!();
        }
    }
}

fn table_of_publishes() {
    println!(
        "\n{:<24} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "publish, no reader", "bare copy", "publish", "ratio", "claim", "ratio"
    );
    let mut memory = Memory::new();
    let wide = *Wide::available().last().expect("one at least");
    for bytes in [64, 256, 1 << 10, 4 << 10, LARGEST] {
        for (before, name) in BEFORE {
            let ring = Ring::anonymous().capacity_bytes(CAPACITY as u64).create();
            let ring = ring.expect("memory for a ring");
            let options = ProducerOptions::new().strategy(Strategy::Spin);
            let to = ring.producer_with(options).expect("the only producer");
            let to = std::cell::RefCell::new(to);
            let mut message = vec![7u64; bytes / 8];
            let publish = || {
                let mut to = to.borrow_mut();
                let start = Instant::now();
                for number in 0..times(bytes) {
                    touch(&mut message, before, number);
                    let sent = to.publish(bytemuck::cast_slice(black_box(&message)));
                    black_box(sent).expect("no reader holds it back");
                }
                nanoseconds(start, bytes)
            };
            let claim = || {
                let mut to = to.borrow_mut();
                let start = Instant::now();
                for number in 0..times(bytes) {
                    let mut claim = to.claim(bytes).expect("no reader holds it back");
                    if let Ok(words) = bytemuck::try_cast_slice_mut(&mut claim) {
                        touch(black_box(words), before, number);
                    }
                    black_box(claim.commit());
                }
                nanoseconds(start, bytes)
            };
            let bare = || copies_in(&mut memory, bytes, before, How::Wide(wide));
            let medians = in_turns(&mut [Box::new(bare), Box::new(publish), Box::new(claim)]);
            let [bare, publish, claim] = medians[..] else {
                return;
            };
            let what = format!("{bytes}, {name}");
            println!(
                "{what:<24} {bare:>10.2} {publish:>10.2} {:>10.2} {claim:>10.2} {:>10.2}",
                publish / bare,
                claim / bare
            );
        }
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str| {
        let mut words = wanted.iter().filter(|word| !word.starts_with('-'));
        words.clone().next().is_none() || words.any(|word| name.contains(word.as_str()))
    };
    if wanted
        .iter()
        .any(|word| word == "--test" || word == "--list")
    {
        return;
    }
    if chosen("copies") {
        tables_of_copies();
    }
    if chosen("publish") {
        table_of_publishes();
    }
}
