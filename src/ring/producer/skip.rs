//! Gaps: the producer says that sequences do not exist.
//!
//! Layer 3, no unsafe code. A gap is a frame like a message, of which the payload says which sequence follows. It
//! takes room, is announced, entered in the index and committed as a message is. Rare, and all of it out of line.

use super::{disarm, Producer, Refused};
use crate::layout::frame::{CommitWord, GAP_BYTES, WORD};
use crate::layout::gap::{Gap, Why, FARTHEST};
use crate::ring::Boundary;
use crate::sync::Ordering::Relaxed;

/// Why no gap was written. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSkipped {
    /// The sequence to go on at lies before the next one.
    Behind {
        /// The next one.
        next: u64,
    },
    /// The sequence to go on at lies farther ahead than any gap may lead.
    TooFar {
        /// The last that a gap may lead to.
        last: u64,
    },
    /// There is no room. Apart, so that the refusal of a message stays small.
    Refused(Refused),
}

impl From<Refused> for NotSkipped {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Producer {
    /// Commits a gap from the next sequence up to `next`, which is then the next one. Returns how many sequences
    /// do not exist; none, and no frame, if `next` is the next one already.
    ///
    /// # Errors
    /// [`NotSkipped`]; nothing has changed.
    #[inline(never)]
    pub fn try_skip_to(&mut self, next: u64, why: Why) -> Result<u64, NotSkipped> {
        let gap = self.gap_to(next, why)?;
        if gap.skipped() == 0 {
            return Ok(0);
        }
        let mut batch = self.batch();
        self.try_room(&mut batch, GAP_BYTES as usize)?;
        let at = batch.next;
        let end = at.position + self.memory.geometry().frame(u64::from(GAP_BYTES));
        let words = self.memory.words();
        for (offset, word) in [WORD, 2 * WORD].into_iter().zip(gap.payload()) {
            words.at(at.position + offset).store(word, Relaxed);
        }
        // What lies behind is compared with the sequence that follows the gap: the halves that words carry may
        // match those of old frames, as far apart as the gap leads.
        disarm(words, end, gap.end);
        (batch.word, batch.empty) = (CommitWord::gap(gap.first).raw(), false);
        batch.next = Boundary {
            position: end,
            sequence: gap.end,
        };
        // As behind a message.
        self.enter(&batch);
        let soft_limit = self.soft_limit_at(end);
        self.finish(&batch);
        self.settle(soft_limit);
        Ok(gap.skipped())
    }

    /// The gap from the next sequence up to `next`, which may be empty.
    fn gap_to(&self, next: u64, why: Why) -> Result<Gap, NotSkipped> {
        let first = self.sequence;
        let gap = Gap::new(first, next, why);
        if next == first || gap.follows(self.memory.geometry(), first) {
            return Ok(gap);
        }
        let begun = self.memory.geometry().first_sequence;
        let last = begun.wrapping_add(FARTHEST);
        let ahead = next.wrapping_sub(first) as i64 > 0;
        Err(match ahead {
            true => NotSkipped::TooFar { last },
            false => NotSkipped::Behind { next: first },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::consumer::{Consumer, Joining, Lost};
    use crate::ring::index::{boundary_at, newest, place};
    use crate::ring::observer::{Observed, Observer, Resume};
    use crate::ring::recover::left;
    use crate::ring::{Corrupt, Start};
    use crate::segment::Memory;

    /// Over all halves of a sequence, and near their ends.
    const JUMPS: [u64; 12] = [
        1,
        2,
        1000,
        (1 << 31) - 1,
        1 << 31,
        (1 << 31) + 1,
        (1 << 32) - 1,
        1 << 32,
        (1 << 32) + 1,
        3 << 32,
        (7 << 32) - 2,
        1 << 50,
    ];

    fn memory(align: u64, first: u64) -> Memory {
        Memory::local(Geometry::new(4096, align, 2, first, false).unwrap())
    }

    fn consumer(memory: &Memory, start: Start) -> Consumer {
        Consumer::attach(memory.clone(), Joining::at(0, start)).unwrap()
    }

    fn observer(memory: &Memory, start: Start) -> Observer {
        Observer::attach(memory.clone(), start, Resume::Oldest).unwrap()
    }

    /// In no pattern.
    fn random(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    }

    #[test]
    fn a_gap_is_passed_by_every_reader_and_by_the_next_producer() {
        for (align, first) in [(8, 0), (64, 0), (8, u64::MAX - 5), (64, (1 << 32) - 7)] {
            let memory = memory(align, first);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            let mut consumer = consumer(&memory, Start::Oldest);
            let mut observer = observer(&memory, Start::Oldest);
            let (mut skipped, mut received) = (0u64, 0u64);
            for n in 0..3000 {
                let next = producer.sequence();
                if random(n).is_multiple_of(3) {
                    let jump = JUMPS[random(n + 77) as usize % JUMPS.len()];
                    let why = Why::from_code(n as u32);
                    let to = next.wrapping_add(jump);
                    assert_eq!(producer.try_skip_to(to, why), Ok(jump));
                    skipped = skipped.wrapping_add(jump);
                    assert_eq!(consumer.try_next(), Ok(None));
                    assert!(consumer.release_gap(false) && !consumer.release_gap(false));
                    let gap = Gap::new(next, to, why);
                    assert_eq!(consumer.last_gap(), Some(gap));
                    assert_eq!(observer.take_any(|| true), None);
                    let told = Observed::Skipped {
                        skipped: jump,
                        resumed_at: to,
                        why,
                    };
                    assert_eq!(observer.try_next(), Ok(told));
                } else {
                    let len = random(n + 5) as usize % 90;
                    assert_eq!(producer.try_publish(&vec![7; len]), Ok(next));
                    let arrived = consumer.try_next().unwrap().unwrap();
                    assert_eq!((arrived.sequence, arrived.len as usize), (next, len));
                    consumer.release();
                    let Ok(Observed::Message(copied)) = observer.try_next() else {
                        panic!("no message {next}");
                    };
                    assert_eq!((copied.sequence, copied.len as usize), (next, len));
                    received += 1;
                }
                assert_eq!(observer.try_next(), Ok(Observed::Empty));
                assert_eq!(consumer.skipped(), skipped);
                let end = producer.sequence();
                assert_eq!(end, first.wrapping_add(skipped.wrapping_add(received)));
                assert_eq!((consumer.sequence(), observer.sequence()), (end, end));
                let head = left(&memory).unwrap().head;
                assert_eq!((head.position, head.sequence), (producer.position(), end));
                assert_eq!(place(&memory, Start::Latest, 0), Ok(head));
                if n % 50 == 7 {
                    producer = Producer::attach(memory.clone(), 1).unwrap();
                }
            }
        }
    }

    /// A payload may spell the word that commits what follows a gap, however far it leads.
    #[test]
    fn what_an_old_message_left_behind_a_gap_is_not_taken_for_the_next_one() {
        for align in [8, 64] {
            for first in [0, (1 << 32) - 20, u64::MAX - 3] {
                for jump in JUMPS {
                    let memory = memory(align, first);
                    let mut producer = Producer::attach(memory.clone(), 1).unwrap();
                    let mut consumer = consumer(&memory, Start::Oldest);
                    // The second lap begins with this message, and the gap follows.
                    let per_lap = 4096 / memory.geometry().frame(120) - 1;
                    let to = first.wrapping_add(per_lap + 1).wrapping_add(jump);
                    let lie = CommitWord::message(8, to).raw().to_le_bytes().repeat(15);
                    for _ in 0..=per_lap {
                        producer.try_publish(&lie).unwrap();
                        consumer.try_next().unwrap().unwrap();
                        consumer.release();
                    }
                    assert!(producer.position() > 4096);
                    producer.try_skip_to(to, Why::Lost).unwrap();
                    assert_eq!(consumer.try_next(), Ok(None), "{jump}");
                    assert_eq!(consumer.sequence(), to);
                    // And no successor takes it for a message that its predecessor committed.
                    let next = Producer::attach(memory, 1).unwrap();
                    assert_eq!(next.sequence(), to);
                }
            }
        }
    }

    /// A message as long as the last ones is expected, but not behind a gap with the old number.
    #[test]
    fn nothing_is_expected_across_a_gap() {
        let memory = memory(8, 0);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut consumer = consumer(&memory, Start::Oldest);
        for _ in 0..20 {
            producer.try_publish(&[1; 24]).unwrap();
            consumer.take().unwrap();
        }
        producer.try_skip_to(40, Why::Lost).unwrap();
        producer.try_publish(&[1; 24]).unwrap();
        assert_eq!(consumer.take(), None);
        assert_eq!(consumer.take().unwrap().sequence, 40);
        consumer.release();
    }

    #[test]
    fn sequences_only_grow_and_not_without_bounds() {
        let memory = memory(8, 100);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        producer.try_publish(&[]).unwrap();
        let before = producer.position();
        assert_eq!(producer.try_skip_to(101, Why::Lost), Ok(0));
        for to in [100, 0, 101u64.wrapping_sub(1 << 62)] {
            let refused = producer.try_skip_to(to, Why::Lost);
            assert_eq!(refused, Err(NotSkipped::Behind { next: 101 }));
        }
        let last = 100 + FARTHEST;
        for to in [last + 1, 101 + (1 << 63) - 1] {
            let refused = producer.try_skip_to(to, Why::Lost);
            assert_eq!(refused, Err(NotSkipped::TooFar { last }));
        }
        assert_eq!((producer.position(), producer.sequence()), (before, 101));
        assert_eq!(producer.try_skip_to(last, Why::Lost), Ok(FARTHEST - 1));
        assert_eq!(producer.try_publish(&[]), Ok(last));
        // Not even a whole ring of them leads to where sequences cannot be compared.
        let refused = producer.try_skip_to(last + 2, Why::Lost);
        assert_eq!(refused, Err(NotSkipped::TooFar { last }));
        let mut observer = observer(&memory, Start::Oldest);
        let mut seen = 0;
        while observer.try_next().unwrap() != Observed::Empty {
            seen += 1;
        }
        assert_eq!((seen, observer.sequence()), (3, last + 1));
    }

    /// A full ring has no room for a gap either, and nothing is half done.
    #[test]
    fn a_gap_needs_room() {
        for align in [8, 64] {
            let memory = memory(align, 0);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            let mut consumer = consumer(&memory, Start::Oldest);
            let mut gaps = 0;
            let refused = loop {
                match producer.try_skip_to(producer.sequence() + 2, Why::Lost) {
                    Ok(_) => gaps += 1,
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused, Refused::Full { row: 0 }.into());
            assert_eq!(gaps, (4096 - WORD) / memory.geometry().frame(16));
            assert_eq!(consumer.try_next(), Ok(None));
            assert_eq!(
                (consumer.skipped(), consumer.sequence()),
                (2 * gaps, 2 * gaps)
            );
            // What it has read holds nothing back, though no message came.
            assert!(consumer.release_gap(false));
            producer.try_skip_to(2 * gaps + 1, Why::Lost).unwrap();
        }
    }

    /// A message that needs more room than a lap has left begins with a pad, which is seen before it.
    #[test]
    fn a_gap_is_given_back_although_a_pad_follows_it() {
        for (align, first, jump) in [
            (8, 0, 1),
            (64, (1 << 32) - 40, 3 << 32),
            (8, u64::MAX - 5, 9),
        ] {
            for (fill, staged) in [(28, 1000), (29, 900), (31, 700)] {
                for (at_once, untold) in
                    [(true, false), (false, false), (true, true), (false, true)]
                {
                    let memory = memory(align, first);
                    let mut producer = Producer::attach(memory.clone(), 1).unwrap();
                    let mut consumer = consumer(&memory, Start::Oldest);
                    for _ in 0..fill {
                        producer.try_publish(&[7; 100]).unwrap();
                        consumer.try_next().unwrap().unwrap();
                        consumer.release();
                    }
                    let to = producer.sequence().wrapping_add(jump);
                    producer.try_skip_to(to, Why::Lost).unwrap();
                    let behind = producer.position();
                    if !at_once {
                        assert_eq!(consumer.try_next(), Ok(None));
                        assert_eq!(consumer.position(), behind);
                    }
                    let mut batch = producer.batch();
                    producer.try_stage(&mut batch, &vec![1; staged]).unwrap();
                    assert_eq!(consumer.try_next(), Ok(None));
                    assert_eq!(consumer.sequence(), to);
                    assert!(consumer.position() > behind, "no pad followed the gap");
                    let at = consumer.position();
                    let row = memory.row(0).unwrap().position.load(Relaxed);
                    assert!(row < behind, "it was given back at once");
                    // With a loss that it has not told, it stays before the gap: less than half the ring.
                    let stays = untold && at - row < 2048;
                    assert_eq!(consumer.release_gap(untold), !stays);
                    let row = memory.row(0).unwrap();
                    assert_eq!(row.position.load(Relaxed) == at, !stays);
                    assert_eq!(row.sequence.load(Relaxed) == to, !stays);
                    assert_eq!(consumer.release_gap(false), stays);
                    assert_eq!(row.position.load(Relaxed), at);
                }
            }
        }
    }

    #[test]
    fn a_start_in_the_middle_of_a_gap_is_behind_it_and_the_rest_of_it_is_missing() {
        for first in [0, u64::MAX - 9] {
            let memory = memory(8, first);
            let at = |place: u64| first.wrapping_add(place);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            for _ in 0..10 {
                producer.try_publish(&[0; 40]).unwrap();
            }
            let gap_at = producer.position();
            producer
                .try_skip_to(at(10 + (5 << 32)), Why::Restored)
                .unwrap();
            let end = at(10 + (5 << 32));
            producer.try_publish(&[0; 40]).unwrap();
            for wanted in [9, 10, 11, 10 + (1 << 32), 9 + (5 << 32), 10 + (5 << 32)] {
                let wanted = at(wanted);
                let missing = end.wrapping_sub(wanted);
                let within = wanted.wrapping_sub(at(10)).wrapping_sub(1) < (5 << 32) - 1;
                let mut reader = consumer(&memory, Start::Sequence(wanted));
                let next = if within { end } else { wanted };
                assert_eq!((reader.sequence(), reader.missed()), (next, 0));
                if wanted == at(10) {
                    assert_eq!(reader.position(), gap_at);
                }
                let mut received = 0;
                while reader.try_next().unwrap().is_some() {
                    received += 1;
                }
                let passed = reader.sequence().wrapping_sub(wanted);
                assert_eq!(passed, reader.skipped() + received);
                if within {
                    let gap = Gap::new(wanted, end, Why::Restored);
                    assert_eq!((reader.skipped(), reader.last_gap()), (missing, Some(gap)));
                }
                reader.leave();
                let mut reader = observer(&memory, Start::Sequence(wanted));
                assert_eq!((reader.sequence(), reader.ready()), (wanted, true));
                if within || wanted == at(10) {
                    assert_eq!(reader.take_any(|| true), None);
                    let told = Observed::Skipped {
                        skipped: missing,
                        resumed_at: end,
                        why: Why::Restored,
                    };
                    assert_eq!(reader.try_next(), Ok(told));
                    let Ok(Observed::Message(copied)) = reader.try_next() else {
                        panic!("no message {end}");
                    };
                    assert_eq!(copied.sequence, end);
                    assert_eq!(reader.try_next(), Ok(Observed::Empty));
                }
            }
        }
    }

    /// What a process that breaks the protocol may write in the place of a gap.
    #[test]
    fn a_gap_that_cannot_be_is_damage_to_every_reader() {
        let gap = |first, end| Gap::new(first, end, Why::Lost).payload();
        for payload in [
            gap(1, 1),
            gap(1, 0),
            gap(1, FARTHEST + 1),
            gap(1, u64::MAX),
            gap(1 + (1 << 32), 2 + (1 << 32)),
            [9, u64::MAX],
        ] {
            let memory = memory(8, 0);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            producer.try_publish(&[0; 40]).unwrap();
            producer.try_skip_to(9, Why::Lost).unwrap();
            let words = memory.words();
            for (offset, word) in [56, 64].into_iter().zip(payload) {
                words.at(offset).store(word, Relaxed);
            }
            let damage = Corrupt::Gap { position: 48 };
            let mut consumer = consumer(&memory, Start::Oldest);
            consumer.try_next().unwrap().unwrap();
            for _ in 0..2 {
                assert_eq!(consumer.try_next(), Err(damage));
                assert_eq!(consumer.take(), None);
                assert_eq!(consumer.try_copy(&mut [0; 128]), Err(Lost::Corrupt(damage)));
            }
            assert_eq!((consumer.position(), consumer.skipped()), (48, 0));
            let mut observer = observer(&memory, Start::Oldest);
            observer.try_next().unwrap();
            assert_eq!(observer.try_next(), Err(damage));
            assert_eq!(observer.try_next(), Err(damage));
            assert!(matches!(left(&memory), Err(found) if found == damage));
            assert!(place(&memory, Start::Latest, 0).is_err());
            assert_eq!(boundary_at(&memory, 72), None);
            assert!(Producer::attach(memory, 1).is_err());
        }
    }

    /// A form without gaps stops at one.
    #[test]
    fn a_reader_that_refuses_gaps_stops_at_one() {
        let memory = memory(8, 0);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut consumer = consumer(&memory, Start::Oldest);
        consumer.refuse_gaps();
        producer.try_publish(&[]).unwrap();
        producer.try_skip_to(9, Why::Lost).unwrap();
        producer.try_publish(&[]).unwrap();
        assert!(consumer.take().is_some());
        for _ in 0..2 {
            assert_eq!(consumer.take(), None);
            assert_eq!(consumer.try_next(), Err(Corrupt::NoGaps { position: 8 }));
        }
        assert_eq!(consumer.sequence(), 1);
    }

    /// A producer that adds a gap whenever the consumer has passed one keeps it busy for a lap, not for ever.
    #[test]
    fn a_call_ends_although_gaps_have_no_end() {
        let memory = memory(8, 0);
        let mut consumer = consumer(&memory, Start::Oldest);
        // A ring that is nothing but gaps, as no producer leaves it: each leads to the next.
        let words = memory.words();
        let mut at = Boundary {
            position: 0,
            sequence: 0,
        };
        while at.position + 24 + 8 <= 4096 {
            let gap = Gap::new(at.sequence, at.sequence + (1 << 32), Why::Lost);
            words
                .at(at.position)
                .store(CommitWord::gap(0).raw(), Relaxed);
            for (offset, word) in [8, 16].into_iter().zip(gap.payload()) {
                words.at(at.position + offset).store(word, Relaxed);
            }
            at.position += 24;
            at.sequence = gap.end;
        }
        let pad = CommitWord::pad(4096 - at.position, 0);
        words.at(at.position).store(pad.raw(), Relaxed);
        // The second lap leads back to what it has passed.
        let damage = consumer.try_next().unwrap_err();
        assert_eq!(damage, Corrupt::Gap { position: 4096 });
        assert_eq!(consumer.skipped(), 170 << 32);
    }

    #[test]
    fn a_consumer_that_was_evicted_behind_a_gap_counts_each_sequence_once() {
        for jump in JUMPS {
            let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
            let memory = Memory::local(geometry.evicting_after(1));
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            let mut consumer = consumer(&memory, Start::Oldest);
            let mut out = [0; 128];
            let (mut received, mut missed, mut evictions) = (0, 0u64, 0);
            for n in 0..2000u64 {
                let publish = |producer: &mut Producer| match random(n) % 4 {
                    0 => producer.try_skip_to(producer.sequence() + jump, Why::Lost),
                    _ => producer.try_publish(&[7; 56]).map_err(NotSkipped::from),
                };
                if let Err(NotSkipped::Refused(Refused::Full { row })) = publish(&mut producer) {
                    producer.evict(row);
                    publish(&mut producer).unwrap();
                }
                // It reads a part, much later.
                let reads = if n % 100 == 99 { random(n) % 90 } else { 0 };
                for _ in 0..reads {
                    match consumer.try_copy(&mut out) {
                        Ok(Some(_)) => {
                            received += 1;
                            consumer.release();
                        }
                        Ok(None) if !consumer.displaced() => {
                            consumer.release_gap(false);
                            break;
                        }
                        Ok(None) | Err(Lost::Evicted) => {
                            missed += consumer.rejoin().unwrap();
                            evictions += 1;
                        }
                        Err(Lost::Corrupt(corrupt)) => panic!("{corrupt}"),
                    }
                    assert_eq!(consumer.sequence(), received + missed + consumer.skipped());
                }
            }
            assert!(received > 100 && evictions > 10, "{received}, {evictions}");
            assert!(consumer.skipped() > 0 && missed > 0);
        }
    }

    /// Each position of the oldest block, behind an overwritten first frame, is found with its whole sequence.
    #[test]
    fn the_whole_of_a_sequence_is_known_across_a_gap() {
        for jump in JUMPS {
            let memory = memory(8, 0);
            let mut producer = Producer::attach(memory.clone(), 1).unwrap();
            let mut begins = Vec::new();
            let mut found_behind = 0;
            for n in 0..900 {
                let at = producer.sequence();
                let before = producer.position();
                if n % 3 == 1 {
                    producer.try_skip_to(at + jump, Why::Lost).unwrap();
                } else {
                    producer.try_publish(&[0; 16]).unwrap();
                }
                // A pad, where there is one, has the same sequence.
                for position in [before, producer.position() - 24] {
                    begins.push(Boundary {
                        position,
                        sequence: at,
                    });
                }
                if n > 600 {
                    let announced = memory.producer().reserve.position.load(Relaxed);
                    begins.retain(|at| at.position + 4096 >= announced);
                    let indexed = place(&memory, Start::Oldest, 0).unwrap();
                    for at in &begins {
                        assert_eq!(boundary_at(&memory, at.position), Some(*at), "{jump}");
                        found_behind += u32::from(at.position < indexed.position);
                    }
                }
            }
            assert!(found_behind > 0);
            assert!(newest(&memory).is_some());
        }
    }
}
