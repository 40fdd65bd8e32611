//! Hostile readers: rows and bells with any values, changed between publishes of a correct producer. It
//! keeps publishing within the ring, and what it publishes can be observed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipring::layout::geometry::Geometry;
use slipring::ring::consumer::{Consumer, Joining, Lost};
use slipring::ring::observer::{Observed, Observer, Resume};
use slipring::ring::producer::{Producer, Refused};
use slipring::ring::Start;
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;

fuzz_target!(|data: &[u8]| {
    let mut words = data.chunks(9);
    let geometry = Geometry::new(4096, 8, 3, 0, false).expect("valid sizes");
    let memory = Memory::local(geometry.evicting_after(1));
    let mut producer = Producer::attach(memory.clone(), 0).expect("a sound ring");
    let mut honest = Consumer::attach(memory.clone(), Joining::at(0, Start::Oldest)).ok();
    let mut observer =
        Observer::attach(memory.clone(), Start::Oldest, Resume::Newest).expect("a start");
    let mut private = vec![0; geometry.max_message as usize / 8];
    let (mut seen, mut lost) = (0, 0);
    while let Some([what, lie @ ..]) = words.next() {
        let mut value = [0; 8];
        value[..lie.len()].copy_from_slice(lie);
        let value = u64::from_le_bytes(value);
        if let Some(row) = memory.row(u32::from(what % 3)) {
            match what / 3 % 8 {
                0 => row.state.store(value as u32 % 5, Relaxed),
                1 => row.position.store(value, Relaxed),
                2 => row.generation.store(value, Relaxed),
                3 => row.sequence.store(value, Relaxed),
                4 => row.may_park.store(value as u32, Relaxed),
                5 => row.name[0].store(value, Relaxed),
                6 => row.state.store(1, Relaxed),
                _ => {}
            }
        }
        let sequence = producer.sequence();
        let payload = sequence.to_le_bytes().repeat(1 + value as usize % 60);
        // As many evictions as there are rows, and some more for readers that attach again.
        for _ in 0..8 {
            match producer.try_publish(&payload) {
                Err(Refused::Full { row }) => producer.evict(row),
                Ok(published) => {
                    assert_eq!(published, sequence);
                    break;
                }
                Err(refused) => panic!("{refused:?}"),
            }
        }
        match observer.try_next().expect("a sound ring") {
            Observed::Message(copied) => {
                assert_eq!(copied.sequence, seen + lost);
                let whole = |word: &[u8]| word == copied.sequence.to_le_bytes();
                assert!(observer.payload(copied, 0).chunks(8).all(whole));
                seen += 1;
            }
            Observed::Lapped { lost: more, .. } => lost += more,
            Observed::Empty => {}
            skipped => panic!("{skipped:?}"),
        }
        // With any values in its row, a reader gets complete messages or an error.
        if let Some(consumer) = &mut honest {
            match consumer.try_copy(&mut private) {
                Ok(Some(arrived)) => {
                    let len = arrived.len as usize / 8;
                    assert!(private[..len].iter().all(|word| *word == arrived.sequence));
                    consumer.release();
                }
                Err(Lost::Evicted) => drop(consumer.rejoin()),
                Ok(None) => {}
                Err(Lost::Corrupt(corrupt)) => panic!("{corrupt}"),
            }
        }
    }
});
