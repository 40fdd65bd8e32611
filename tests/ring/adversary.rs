//! Payloads that spell commit words, and images of rings that no producer would write.

use slipring::segment::Memory;
use slipring::{ConsumerOptions, Received, Ring, Start, Strategy};

/// Every payload word passes for the commit word of a message to come: any stale bytes that a reader finds
/// where the next frame will begin, they look like that frame.
#[test]
fn payloads_that_spell_commit_words_are_never_taken_for_frames() {
    for align in [8, 64] {
        let ring = Ring::heap()
            .capacity_bytes(16 << 10)
            .frame_align(align)
            .create()
            .unwrap();
        let mut producer = ring.producer().unwrap();
        let options = ConsumerOptions::new().strategy(Strategy::Spin);
        let mut consumer = ring.consumer_with(Start::Oldest, options).unwrap();
        let mut observer = ring.observer(Start::Oldest).unwrap();
        let mut state = 1u64;
        for n in 0..100_000u64 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let words = 1 + (state >> 60);
            // In one lap about as many messages pass as the ring has bytes over their size.
            let coming = n + (16 << 10) / (8 * words + 8) + (state >> 40) % 3;
            let word = (coming << 32) | (8 * words + 1);
            let payload: Vec<u8> = (0..words).flat_map(|_| word.to_le_bytes()).collect();
            assert_eq!(producer.try_publish(&payload), Ok(n));
            let message = consumer.try_receive().unwrap();
            assert_eq!((message.sequence(), &*message), (n, &payload[..]));
            drop(message);
            assert!(
                consumer.try_receive().is_err(),
                "a frame that was never committed"
            );
            match observer.try_receive().unwrap() {
                Received::Message(message) => {
                    assert_eq!((message.sequence(), message.bytes()), (n, &payload[..]));
                }
                other => panic!("{other:?}"),
            }
            assert!(
                observer.try_receive().is_err(),
                "a frame that was never committed"
            );
        }
    }
}

/// A hostile or damaged image: with any words, readers end with an error or with messages, never with a
/// panic or a read out of bounds.
#[test]
fn random_words_in_a_ring_give_errors_and_not_panics() {
    use slipring::layout::geometry::Geometry;
    use slipring::ring::consumer::{Consumer, Joining};
    use slipring::ring::observer::{Observed, Observer, Resume};
    use slipring::sync::Ordering::Relaxed;
    let mut state = 88172645463325252u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2_000u64 {
        let geometry = Geometry::new(4096, 8, 4, round, false).unwrap();
        let memory = Memory::local(geometry);
        // Small numbers are more damaging than large ones: they pass more checks.
        let mut word = |likely: u64| match random() % 4 {
            0 => random(),
            1 => likely,
            2 => (round << 32) | (random() % 2048),
            _ => random() % 8192,
        };
        for at in (0..4096).step_by(8) {
            memory.words().at(at).store(word(round << 32 | 9), Relaxed);
        }
        for block in 0..geometry.blocks() {
            memory
                .index_entry(block)
                .position
                .store(word(block * geometry.block), Relaxed);
            memory
                .index_entry(block)
                .sequence
                .store(word(round), Relaxed);
        }
        memory
            .producer()
            .reserve
            .position
            .store(word(4096), Relaxed);
        memory.producer().limit.position.store(word(4096), Relaxed);
        for start in [Start::Oldest, Start::Latest, Start::Sequence(round)] {
            if let Ok(mut consumer) = Consumer::attach(memory.clone(), Joining::at(0, start)) {
                for _ in 0..600 {
                    let Ok(Some(arrived)) = consumer.try_next() else {
                        break;
                    };
                    assert!(arrived.len <= geometry.max_message);
                    consumer.release();
                }
                consumer.leave();
            }
            for resume in [Resume::Oldest, Resume::Newest] {
                let Ok(mut observer) = Observer::attach(memory.clone(), start, resume) else {
                    continue;
                };
                // As if all had been overwritten since.
                if round % 3 == 0 {
                    let reserve = &memory.producer().reserve.position;
                    reserve.store(word(8192), Relaxed);
                }
                // Nothing changes here, so a message that is announced is there, or is an error: a reader
                // that waits for it does not go in circles.
                let mut in_vain = 0;
                for _ in 0..600 {
                    let ready = observer.ready();
                    match observer.try_next() {
                        Ok(Observed::Message(copied)) => {
                            assert!(copied.len <= geometry.max_message);
                            assert_eq!(observer.payload(copied, 0).len(), copied.len as usize);
                            in_vain = 0;
                        }
                        Ok(Observed::Lapped { .. } | Observed::Skipped { .. }) => in_vain = 0,
                        Ok(Observed::Empty) if ready => in_vain += 1,
                        Ok(Observed::Empty) | Err(_) => break,
                    }
                    assert!(in_vain < 3, "round {round}: always ready, never there");
                }
            }
        }
        if let Ok(mut producer) = slipring::ring::producer::Producer::attach(memory, 0) {
            for _ in 0..50 {
                let _ = producer.try_publish(&[1; 100]);
            }
        }
    }
}

/// A pad that fills a whole lap leads back to itself; readers must say so instead of following it.
#[test]
fn a_pad_of_a_whole_lap_leads_nobody_in_circles() {
    use slipring::layout::frame::CommitWord;
    use slipring::layout::geometry::Geometry;
    use slipring::ring::consumer::{Consumer, Joining};
    use slipring::ring::observer::{Observer, Resume};
    use slipring::ring::producer::Producer;
    use slipring::sync::Ordering::Relaxed;
    let geometry = Geometry::new(4096, 8, 4, 0, false).unwrap();
    let memory = Memory::local(geometry);
    let mut observer = Observer::attach(memory.clone(), Start::Oldest, Resume::Newest).unwrap();
    let mut consumer = Consumer::attach(memory.clone(), Joining::at(0, Start::Oldest)).unwrap();
    let word = CommitWord::pad(4096, 0);
    memory.words().at(0).store(word.raw(), Relaxed);
    assert!(consumer.try_next().is_err());
    assert!(observer.try_next().is_err());
    memory.producer().reserve.position.store(4096, Relaxed);
    assert!(Consumer::attach(memory.clone(), Joining::at(1, Start::Latest)).is_err());
    assert!(Observer::attach(memory.clone(), Start::Sequence(5), Resume::Newest).is_err());
    assert!(Producer::attach(memory, 0).is_err());
}

/// A ring with gaps of which some words were changed: readers end with messages, gaps or errors, and what they count
/// is what they passed. They never go back, and never in circles.
#[test]
fn changed_words_in_a_ring_with_gaps_give_errors_and_not_panics() {
    use slipring::layout::frame::CommitWord;
    use slipring::layout::gap::{Gap, Why};
    use slipring::layout::geometry::Geometry;
    use slipring::ring::consumer::{Consumer, Joining, Lost};
    use slipring::ring::observer::{Observed, Observer, Resume};
    use slipring::ring::producer::Producer;
    use slipring::sync::Ordering::Relaxed;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let (mut messages, mut gaps, mut errors) = (0, 0, 0);
    for round in 0..3_000u64 {
        let geometry = Geometry::new(4096, [8, 64][round as usize % 2], 2, round << 31, false);
        let geometry = geometry.unwrap().evicting_after(round / 2 % 2);
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        for _ in 0..random(300) {
            let next = producer.sequence();
            match random(3) {
                0 => {
                    let jump = [1, 2, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 45];
                    let to = next + jump[random(6) as usize];
                    producer.try_skip_to(to, Why::Lost).unwrap();
                }
                _ => drop(
                    producer
                        .try_publish(&vec![1; random(120) as usize])
                        .unwrap(),
                ),
            }
        }
        let (end, head) = (producer.sequence(), producer.position());
        for _ in 0..random(6) {
            let at = head.saturating_sub(random(4096)) / 8 * 8;
            let before = memory.words().at(at).load(Relaxed);
            let near = end.wrapping_sub(random(9));
            let word = match random(6) {
                0 => before ^ 1 << random(64),
                1 => CommitWord::gap(near).raw(),
                2 => near.wrapping_add(1 << random(64)),
                3 => Gap::new(near, end, Why::Other(random(9) as u32)).payload()[1],
                4 => CommitWord::pad(8 + 8 * random(200), near).raw(),
                _ => random(1 << 40),
            };
            memory.words().at(at).store(word, Relaxed);
        }
        let middle = Start::Sequence(end.wrapping_sub(random(1 << 33)));
        for start in [Start::Oldest, Start::Latest, middle] {
            if let Ok(mut consumer) = Consumer::attach(memory.clone(), Joining::at(0, start)) {
                let mut out = [0; 128];
                let began = consumer.sequence().wrapping_sub(consumer.skipped());
                let mut received = 0;
                for _ in 0..2000 {
                    let before = consumer.position();
                    let next = match consumer.try_copy(&mut out) {
                        Err(Lost::Evicted) if consumer.rejoin().is_ok() => break,
                        next => next,
                    };
                    errors += u64::from(next.is_err());
                    let Ok(Some(arrived)) = next else { break };
                    assert!(arrived.len <= geometry.max_message && consumer.position() > before);
                    received += 1;
                    let passed = consumer.sequence().wrapping_sub(began);
                    assert_eq!(passed, consumer.skipped().wrapping_add(received));
                    consumer.release();
                }
                consumer.leave();
                messages += received;
            }
            for resume in [Resume::Oldest, Resume::Newest] {
                let Ok(mut observer) = Observer::attach(memory.clone(), start, resume) else {
                    continue;
                };
                for turn in 0.. {
                    assert!(turn < 2000, "round {round}: no end");
                    let (ready, before) = (observer.ready(), observer.sequence());
                    match observer.try_next() {
                        Ok(Observed::Skipped {
                            skipped,
                            resumed_at,
                            ..
                        }) => {
                            assert!(ready && skipped > 0);
                            assert_eq!(resumed_at, before.wrapping_add(skipped));
                            assert_eq!(observer.sequence(), resumed_at);
                            gaps += 1;
                        }
                        Ok(Observed::Message(_) | Observed::Lapped { .. }) => {}
                        Ok(Observed::Empty) | Err(_) => break,
                    }
                }
            }
        }
        if let Ok(mut producer) = Producer::attach(memory, 0) {
            for n in 0..50 {
                let _ = producer.try_publish(&[1; 100]);
                let _ = producer.try_skip_to(producer.sequence().wrapping_add(n), Why::Lost);
            }
        }
    }
    assert!(
        messages > 10_000 && gaps > 10_000 && errors > 100,
        "{messages} messages, {gaps} gaps, {errors} errors"
    );
}
