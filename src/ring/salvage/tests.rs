//! Rings that are damaged in each way, salvaged and restored.

use super::*;
use crate::layout::gap::Why;
use crate::layout::geometry::Geometry;
use crate::ring::consumer::{Consumer, Joining};
use crate::ring::Start;

const CAPACITY: u64 = 1 << 16;

fn geometry(first: u64) -> Geometry {
    Geometry::new(CAPACITY, 8, 2, first, false).unwrap()
}

/// The content of message `sequence`.
fn content(sequence: u64, len: u32) -> Vec<u8> {
    (0..len)
        .map(|at| (sequence * 31 + u64::from(at)) as u8)
        .collect()
}

/// What a stream holds: the words of data, and the index.
struct State {
    words: Vec<u64>,
    index: Vec<(u64, u64)>,
}

/// A ring, and a copy of its stream after each message, as pages may reach a disk.
struct Disk {
    memory: Memory,
    producer: Producer,
    /// After each message.
    states: Vec<State>,
}

impl Disk {
    fn new() -> Self {
        let memory = Memory::local(geometry(0));
        let producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut disk = Self {
            memory,
            producer,
            states: Vec::new(),
        };
        disk.keep();
        disk
    }

    fn keep(&mut self) {
        let words = (0..CAPACITY / WORD).map(|at| self.memory.words().at(at * WORD).load(Relaxed));
        let entries = (0..self.memory.geometry().blocks()).map(|block| {
            let entry = self.memory.index_entry(block);
            (entry.position.load(Relaxed), entry.sequence.load(Relaxed))
        });
        self.states.push(State {
            words: words.collect(),
            index: entries.collect(),
        });
    }

    fn publish(&mut self, len: u32) {
        let bytes = content(self.producer.sequence(), len);
        self.producer.try_publish(&bytes).unwrap();
        self.keep();
    }

    /// What is there after a crash in which page `n` was last written after `age(n)` messages; the index
    /// is one page behind the data.
    fn crashed(&self, age: impl Fn(usize) -> usize) -> Memory {
        let memory = Memory::local(geometry(0));
        let words_per_page = (PAGE / WORD) as usize;
        for at in 0..(CAPACITY / WORD) as usize {
            let word = self.states[age(at / words_per_page)].words[at];
            memory.words().at(at as u64 * WORD).store(word, Relaxed);
        }
        let pages = (CAPACITY / PAGE) as usize;
        for (block, (position, sequence)) in self.states[age(pages)].index.iter().enumerate() {
            let entry = memory.index_entry(block as u64);
            entry.position.store(*position, Relaxed);
            entry.sequence.store(*sequence, Relaxed);
        }
        memory
    }
}

fn bytes(memory: &Memory, message: Arrived) -> Vec<u8> {
    let mut words = vec![0u64; (message.len as usize).div_ceil(8)];
    memory.words().copy_out(message.payload, &mut words);
    let all: &[u8] = bytemuck::cast_slice(&words);
    all[..message.len as usize].to_vec()
}

/// A generator that needs no state elsewhere.
fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

#[test]
fn the_newest_half_of_what_was_written_out_is_found() {
    for count in [0u64, 1, 2, 200, 500, 1500] {
        let mut disk = Disk::new();
        for _ in 0..count {
            disk.publish(100);
        }
        let last = disk.states.len() - 1;
        let memory = disk.crashed(|_| last);
        let found = salvage(&memory).unwrap();
        // The last one may reach into a page without a commit word behind it.
        assert!(found.next == count || found.next + 1 == count, "{count}");
        let kept = found.messages().count() as u64;
        let half = (CAPACITY / 2) / 112;
        assert!(kept + 1 >= count.min(half), "{kept} of {count}");
        assert!(kept <= half + 1, "{kept} of {count}");
        for (message, sequence) in found.messages().zip(found.next - kept..) {
            assert_eq!(message.sequence, sequence);
            assert_eq!(bytes(&memory, message), content(sequence, 100));
        }
    }
}

/// Pages of any age: what is found is one run, and is what was published, unless the producer was half a ring
/// ahead of it.
#[test]
fn nothing_torn_is_taken_for_a_message() {
    let (mut kept, mut given_up, mut stale) = (0, 0, 0);
    for case in 0..100u64 {
        let mut seed = case;
        let mut disk = Disk::new();
        // Lengths up to more than a page, so that some messages touch three.
        let longest = [8, 100, 1000, 9000][case as usize % 4];
        let count = [3000, 600, 300, 200][case as usize % 4];
        let mut ends = vec![0];
        let mut lens = Vec::new();
        for _ in 0..count {
            let len = draw(&mut seed, longest) as u32;
            lens.push(len);
            disk.publish(len);
            ends.push(disk.producer.position());
        }
        for _ in 0..20 {
            let spread = [1, 3, 10, 60, count as u64 + 1][draw(&mut seed, 5) as usize];
            let ages: Vec<usize> = (0..=CAPACITY / PAGE)
                .map(|_| count - draw(&mut seed, spread) as usize)
                .collect();
            let memory = disk.crashed(|page| ages[page]);
            let Some(found) = salvage(&memory) else {
                continue;
            };
            let ahead = ends[count] - ends[found.next as usize];
            let mut expected = found.messages().next().map(|first| first.sequence);
            for message in found.messages() {
                let sequence = message.sequence;
                assert_eq!(Some(sequence), expected);
                expected = Some(sequence + 1);
                if ahead >= CAPACITY / 2 {
                    stale += 1;
                    continue;
                }
                kept += 1;
                let all = content(sequence, lens[sequence as usize]);
                let whole = bytes(&memory, message) == all;
                assert!(whole, "case {case}: message {sequence}");
            }
            given_up += found.given_up;
        }
    }
    assert!(
        kept > 10_000 && given_up > 1000 && stale > 0,
        "{kept} kept, {given_up} given up, {stale} of a ring far behind"
    );
}

#[test]
fn gaps_are_passed_and_published_again() {
    for jump in [1u64, 1000, (1 << 32) - 1, 1 << 32, 1 << 40] {
        let mut disk = Disk::new();
        let mut expected = Vec::new();
        for n in 0..200u64 {
            if n % 10 == 3 {
                let next = disk.producer.sequence() + jump;
                disk.producer.try_skip_to(next, Why::Lost).unwrap();
            }
            expected.push(disk.producer.sequence());
            disk.publish(40);
        }
        let last = disk.states.len() - 1;
        let memory = disk.crashed(|_| last);
        let found = salvage(&memory).unwrap();
        let sequences: Vec<u64> = found.messages().map(|message| message.sequence).collect();
        assert_eq!(sequences, expected[..sequences.len()], "{jump}");
        assert!(sequences.len() >= 199 && found.given_up <= 1);
        let new = Memory::local(geometry(found.first()));
        assert!(restore(&memory, &found, &new, 1));
        let mut reader = Consumer::attach(new.clone(), Joining::at(0, Start::Oldest)).unwrap();
        for sequence in sequences {
            let message = reader.try_next().unwrap().unwrap();
            assert_eq!(message.sequence, sequence);
            assert_eq!(bytes(&new, message), content(sequence, 40));
        }
        assert_eq!(reader.try_next(), Ok(None));
    }
}

#[test]
fn what_was_found_is_published_again_with_its_numbers_and_cursors() {
    let mut disk = Disk::new();
    for len in 0..300 {
        disk.publish(len % 200);
    }
    let last = disk.states.len() - 1;
    let memory = disk.crashed(|_| last);
    memory.producer().state.epoch.store(7, Relaxed);
    memory.producer().state.evictions.store(5, Relaxed);
    memory
        .producer()
        .state
        .state
        .store(ProducerState::Closed as u32, Relaxed);
    let found = salvage(&memory).unwrap();
    let first = found.first();
    let cursors = [(11, first + 10), (12, u64::MAX >> 1)];
    assert!(found.messages().count() > 100);
    for (row, (name, sequence)) in cursors.into_iter().enumerate() {
        let row = memory.row(row as u32).unwrap();
        renew(row, 3, Some(([name, 0, 0, 0, 0, 0, 0, 0], sequence, 7)));
    }
    let new = Memory::local(geometry(first));
    assert_eq!(restore_cursors(&memory, &found, &new), 2);
    assert!(restore(&memory, &found, &new, 1));
    let state = &new.producer().state;
    assert_eq!(state.epoch.load(Relaxed), 8);
    assert_eq!(state.evictions.load(Relaxed), 5);
    assert_eq!(state.state.load(Relaxed), ProducerState::Closed as u32);
    let resumed: Vec<u64> = (0..2)
        .map(|row| {
            let joining = Joining {
                resumes: true,
                name: [11 + u64::from(row), 0, 0, 0, 0, 0, 0, 0],
                ..Joining::at(row, Start::Oldest)
            };
            Consumer::attach(new.clone(), joining).unwrap().sequence()
        })
        .collect();
    assert_eq!(resumed, [first + 10, found.next]);
    let mut reader = Consumer::attach(new.clone(), Joining::at(0, Start::Oldest)).unwrap();
    for sequence in first..found.next {
        let message = reader.try_next().unwrap().unwrap();
        assert_eq!(message.sequence, sequence);
        assert_eq!(
            bytes(&new, message),
            content(sequence, (sequence % 200) as u32)
        );
    }
    assert_eq!(reader.try_next(), Ok(None));
}

#[test]
fn an_index_of_nothing_but_lies_leads_nowhere() {
    let memory = Memory::local(geometry(9));
    assert_eq!(salvage(&memory).unwrap().next, 9);
    // A stream whose index never reached the disk.
    memory.index_entry(0).sequence.store(0, Relaxed);
    assert_eq!(salvage(&memory), None);
}
