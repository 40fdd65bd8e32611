//! A hostile ring: arbitrary words for data, index and the producer's state, changed while the ring is
//! read. Readers end with messages or errors; a message is never longer than the ring allows, and a
//! producer that takes over stays within it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipring::layout::frame::CommitWord;
use slipring::layout::geometry::Geometry;
use slipring::ring::consumer::{Consumer, Joining, Lost};
use slipring::ring::observer::{Observed, Observer, Resume};
use slipring::ring::producer::Producer;
use slipring::ring::Start;
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;

/// Sixteen-bit numbers from the input, and zero once it is used up: small ones pass more checks.
struct Numbers<'d>(&'d [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> u64 {
        match self.0 {
            [a, b, rest @ ..] => {
                self.0 = rest;
                u64::from(u16::from_le_bytes([*a, *b]))
            }
            _ => 0,
        }
    }

    /// A commit word, of a gap, too, a small number, or a large one.
    fn word(&mut self, sequence: u64) -> u64 {
        let n = self.next();
        match n % 5 {
            0 => sequence << 32 | n >> 2,
            1 => sequence << 32 | 1 << 31 | n >> 2,
            2 => n << 48,
            3 => CommitWord::gap(sequence).raw(),
            _ => n,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut numbers = Numbers(data);
    let align = if numbers.next() % 2 == 0 { 8 } else { 64 };
    let first = numbers.next();
    let geometry = Geometry::new(4096, align, 2, first, false)
        .expect("valid sizes")
        .evicting_after(numbers.next() % 2);
    let mut private = vec![0; geometry.max_message as usize / 8];
    let memory = Memory::local(geometry);
    let mut at = 0;
    while at < 4096 && !numbers.0.is_empty() {
        let sequence = first + numbers.next() % 8;
        memory.words().at(at).store(numbers.word(sequence), Relaxed);
        at += 8 + numbers.next() % 512;
    }
    for block in 0..geometry.blocks() {
        let entry = memory.index_entry(block);
        entry.position.store(numbers.word(0), Relaxed);
        entry.sequence.store(first + numbers.next() % 8, Relaxed);
    }
    let reserve = numbers.word(0) % 65536;
    memory.producer().reserve.position.store(reserve, Relaxed);
    memory
        .producer()
        .limit
        .position
        .store(numbers.word(0), Relaxed);

    for start in [Start::Oldest, Start::Latest, Start::Sequence(first)] {
        if let Ok(mut consumer) = Consumer::attach(memory.clone(), Joining::at(0, start)) {
            for _ in 0..64 {
                if geometry.evicts() {
                    match consumer.try_copy(&mut private) {
                        Ok(Some(arrived)) => assert!(arrived.len <= geometry.max_message),
                        Err(Lost::Evicted) if consumer.rejoin().is_ok() => {}
                        _ => break,
                    }
                } else {
                    match consumer.try_next() {
                        Ok(Some(arrived)) => assert!(arrived.len <= geometry.max_message),
                        _ => break,
                    }
                }
                consumer.release();
                memory
                    .words()
                    .at(numbers.next())
                    .store(numbers.word(first), Relaxed);
            }
            consumer.leave();
        }
        for resume in [Resume::Newest, Resume::Oldest] {
            if let Ok(mut observer) = Observer::attach(memory.clone(), start, resume) {
                for _ in 0..64 {
                    match observer.try_next() {
                        Ok(Observed::Message(copied)) => {
                            assert!(copied.len <= geometry.max_message);
                            assert_eq!(observer.payload(copied, 0).len(), copied.len as usize);
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    }
                    memory
                        .words()
                        .at(numbers.next())
                        .store(numbers.word(first), Relaxed);
                    let reserve = &memory.producer().reserve.position;
                    reserve.store(reserve.load(Relaxed) + numbers.word(0) % 1024, Relaxed);
                }
                // Once nothing changes, a message that the ring announces is there or is an error: a reader
                // that waits for it does not loop for ever.
                let mut in_vain = 0;
                for _ in 0..4096 {
                    let ready = observer.ready();
                    match observer.try_next() {
                        Ok(Observed::Empty) if ready => in_vain += 1,
                        Ok(Observed::Empty) | Err(_) => break,
                        Ok(_) => in_vain = 0,
                    }
                    assert!(in_vain < 3, "always ready, never there");
                }
            }
        }
    }
    if let Some(row) = memory.row(1) {
        row.state.store(numbers.next() as u32 % 3, Relaxed);
        row.position.store(numbers.word(0), Relaxed);
        row.generation.store(numbers.next(), Relaxed);
    }
    if let Ok(mut producer) = Producer::attach(memory, 0) {
        for _ in 0..64 {
            let len = numbers.next() as usize % 1200;
            let _ = producer.try_publish(&vec![0; len]);
        }
    }
});
