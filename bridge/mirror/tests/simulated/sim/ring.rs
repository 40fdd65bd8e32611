//! The model of a ring: what is kept, what is gone, what never existed.

use slipring::endpoint::Why;
use std::collections::BTreeMap;

/// A sequence of numbers that looks random.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// The message of a sequence of a ring: its bytes say which it is.
pub fn payload(ring: u128, sequence: u64, longest: usize) -> Vec<u8> {
    let mut dice = Dice(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ring as u64 | 1);
    let len = match dice.below(20) {
        0 => dice.below(longest as u64 + 1),
        _ => dice.below(64.min(longest as u64 + 1)),
    };
    let mut bytes = vec![dice.next() as u8; len as usize];
    for (to, from) in bytes.iter_mut().zip(sequence.to_le_bytes()) {
        *to = from;
    }
    bytes
}

pub enum Entry {
    Message(Vec<u8>),
    Gap { end: u64, why: Why },
}

/// A ring, by its sequences counted from the first.
pub struct ModelRing {
    pub id: u128,
    /// The identity of the ring that it mirrors; 0 if none is known yet.
    pub origin: u128,
    /// The identity of the ring in which its messages were first published.
    pub root: u128,
    /// The sequence of place 0.
    pub base: u64,
    pub entries: BTreeMap<u64, Entry>,
    /// What lay at each place for which the ring had no message.
    pub gaps: BTreeMap<u64, (u64, Why)>,
    pub oldest: u64,
    pub next: u64,
    pub capacity: usize,
    pub epoch: u64,
    pub epoch_first: u64,
    pub closed: bool,
    /// What lies from here on may not be overwritten.
    pub gate: Option<u64>,
    /// How often it was closed.
    pub closings: u64,
}

impl ModelRing {
    pub fn new(id: u128, base: u64, capacity: usize) -> Self {
        Self {
            id,
            origin: id,
            root: id,
            base,
            entries: BTreeMap::new(),
            gaps: BTreeMap::new(),
            oldest: 0,
            next: 0,
            capacity,
            epoch: 1,
            epoch_first: 0,
            closed: false,
            gate: None,
            closings: 0,
        }
    }

    fn push(&mut self, end: u64, entry: Entry) -> bool {
        while self.entries.len() >= self.capacity {
            let first = *self.entries.keys().next().unwrap();
            if self.gate.is_some_and(|gate| first >= gate) {
                return false;
            }
            self.entries.pop_first();
            self.oldest = self.entries.keys().next().copied().unwrap_or(self.next);
        }
        self.entries.insert(self.next, entry);
        self.next = end;
        true
    }

    pub fn publish(&mut self, payload: Vec<u8>) -> bool {
        self.push(self.next + 1, Entry::Message(payload))
    }

    pub fn skip(&mut self, end: u64, why: Why) -> bool {
        let first = self.next;
        let pushed = self.push(end, Entry::Gap { end, why });
        if pushed {
            self.gaps.insert(first, (end, why));
        }
        pushed
    }

    pub fn take_over(&mut self) {
        self.epoch += 1;
        self.epoch_first = self.next;
        self.closed = false;
    }

    pub fn sequence(&self, place: u64) -> u64 {
        self.base.wrapping_add(place)
    }

    pub fn place(&self, sequence: u64) -> u64 {
        sequence.wrapping_sub(self.base)
    }

    /// The gap at a place, if there is one.
    pub fn gap_at(&self, place: u64) -> Option<(u64, Why)> {
        let (_, gap) = self.gaps.range(..=place).next_back()?;
        Some(*gap).filter(|(end, _)| *end > place)
    }
}
