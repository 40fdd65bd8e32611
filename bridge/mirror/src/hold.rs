//! What a mirror has received and not written: messages and gaps, in order, with holes between.
//!
//! Sequences count from the one at which the mirror began (*places*), so that they compare though they wrap.

mod run;

use crate::frame::{Messages, FARTHEST};
use run::Run;
use slipring::endpoint::Why;
use std::collections::BTreeMap;

/// What an entry costs beside its records.
const OVERHEAD: u64 = 48;

#[derive(Debug)]
enum Item {
    Messages(Run),
    Gap { end: u64, why: Why },
}

impl Item {
    fn cost(&self) -> u64 {
        match self {
            Self::Messages(run) => OVERHEAD + run.bytes(),
            Self::Gap { .. } => OVERHEAD,
        }
    }

    fn end(&self, place: u64) -> u64 {
        match self {
            Self::Messages(run) => place + run.count(),
            Self::Gap { end, .. } => *end,
        }
    }
}

/// What is to be written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First<'h> {
    Message(&'h [u8]),
    Gap { end: u64, why: Why },
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Message { len: u64 },
    Gap { end: u64, why: Why },
}

/// What came of adding something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Kept,
    /// It was there, or was written, before.
    Known,
    /// There is no room for it. It can be asked for again.
    NoRoom,
}

#[derive(Debug)]
pub(crate) struct Hold {
    base: u64,
    /// The place of the next that is to be written.
    next: u64,
    /// Everything from `next` to here is held.
    contiguous: u64,
    /// The place behind the last one that the source is known to have sent.
    known: u64,
    /// What begins at `next`, if that is held. Apart from the others, so that to write a message of it takes no search.
    front: Option<Item>,
    /// The others, by their places.
    items: BTreeMap<u64, Item>,
    limit: u64,
    held: u64,
    /// The part of `held` that can be written.
    ready: u64,
}

impl Hold {
    pub fn new(base: u64, limit: u64) -> Self {
        Self {
            base,
            next: 0,
            contiguous: 0,
            known: 0,
            front: None,
            items: BTreeMap::new(),
            limit,
            held: 0,
            ready: 0,
        }
    }

    /// The place of a sequence; `None` if it lies before the start.
    pub fn place(&self, sequence: u64) -> Option<u64> {
        Some(sequence.wrapping_sub(self.base)).filter(|place| *place <= FARTHEST)
    }

    pub fn sequence(&self, place: u64) -> u64 {
        self.base.wrapping_add(place)
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn contiguous(&self) -> u64 {
        self.contiguous
    }

    pub fn known(&self) -> u64 {
        self.known
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// The source has sent everything before this place.
    pub fn know(&mut self, place: u64) {
        self.known = self.known.max(place);
    }

    fn covers(&self, place: u64) -> bool {
        let before = self.items.range(..=place).next_back();
        place < self.contiguous || before.is_some_and(|(at, item)| item.end(*at) > place)
    }

    /// Makes room by giving up what lies farthest ahead.
    fn make_room(&mut self, place: u64, cost: u64) -> bool {
        while self.held + cost > self.limit {
            match self.items.last_entry() {
                // Behind a place that is not held lies nothing that can be written already.
                Some(last) if *last.key() > place => self.held -= last.remove().cost(),
                // What is next can always be held, or nothing could go on.
                _ => return place == self.next,
            }
        }
        true
    }

    fn put(&mut self, place: u64, item: Item) -> Added {
        if !self.make_room(place, item.cost()) {
            return Added::NoRoom;
        }
        self.held += item.cost();
        if place != self.contiguous {
            self.items.insert(place, item);
            return Added::Kept;
        }
        self.ready += item.cost();
        self.contiguous = item.end(place);
        if self.front.is_none() {
            self.front = Some(item);
        } else {
            self.items.insert(place, item);
        }
        while let Some(item) = self.items.get(&self.contiguous) {
            self.ready += item.cost();
            self.contiguous = item.end(self.contiguous);
        }
        Added::Kept
    }

    pub fn message(&mut self, place: u64, payload: &[u8]) -> Added {
        self.know(place + 1);
        if self.covers(place) {
            return Added::Known;
        }
        self.put(place, Item::Messages(Run::one(payload)))
    }

    /// Adds the messages of a frame together. Returns `false` if that is not possible, because something is held
    /// between them, or there is no room for all: they are to be added one by one then.
    pub fn messages(&mut self, place: u64, messages: Messages<'_>) -> bool {
        let end = place + u64::from(messages.remaining());
        let before = self.items.range(..end).next_back();
        let free = before.is_none_or(|(at, item)| item.end(*at) <= place);
        if place < self.contiguous || !free {
            return false;
        }
        self.know(end);
        let cost = OVERHEAD + messages.records().len() as u64;
        // What is next is held by all means, but not more than one message of it.
        if !self.make_room(place, cost) || self.held + cost > self.limit {
            return false;
        }
        self.put(place, Item::Messages(Run::of(messages))) == Added::Kept
    }

    /// Adds a gap, where nothing is held.
    pub fn gap(&mut self, from: u64, end: u64, why: Why) -> Added {
        self.know(end);
        let mut added = Added::Known;
        let mut at = from.max(self.contiguous);
        while at < end {
            let before = self.items.range(..=at).next_back();
            if let Some(held) = before.map(|(at, item)| item.end(*at)).filter(|e| *e > at) {
                at = held;
                continue;
            }
            let until = self.items.range(at..end).next();
            let until = until.map_or(end, |(next, _)| *next);
            let item = Item::Gap { end: until, why };
            added = match self.put(at, item) {
                Added::NoRoom => return Added::NoRoom,
                added => added,
            };
            at = until;
        }
        added
    }

    /// The first sequences that are missing, if the source has sent any that are.
    pub fn hole(&self) -> Option<(u64, u64)> {
        let behind = self.items.range(self.contiguous..).next();
        let end = behind.map_or(self.known, |(at, _)| *at);
        (self.contiguous < end).then_some((self.contiguous, end))
    }

    /// What is to be written next.
    pub fn first(&self) -> Option<First<'_>> {
        match self.front.as_ref()? {
            Item::Messages(run) => run.first().map(First::Message),
            Item::Gap { end, why } => Some(First::Gap {
                end: *end,
                why: *why,
            }),
        }
    }

    /// What was to be written next has been; of a gap, only the part before `until`, if that lies inside.
    pub fn written(&mut self, until: Option<u64>) -> Option<Done> {
        match self.front.as_mut()? {
            Item::Messages(run) => {
                let bytes = run.bytes();
                let len = run.pass()?;
                self.next += 1;
                let (left, over) = (run.bytes(), run.count() == 0);
                self.freed(bytes - left);
                if over {
                    self.passed();
                }
                Some(Done::Message { len })
            }
            Item::Gap { end, why } => {
                let (end, why) = (*end, *why);
                match until.filter(|until| (self.next + 1..end).contains(until)) {
                    Some(until) => {
                        self.next = until;
                        Some(Done::Gap { end: until, why })
                    }
                    None => {
                        self.next = end;
                        self.passed();
                        Some(Done::Gap { end, why })
                    }
                }
            }
        }
    }

    fn freed(&mut self, cost: u64) {
        self.held -= cost;
        self.ready -= cost;
    }

    /// All of what was in front is written.
    fn passed(&mut self) {
        self.freed(OVERHEAD);
        self.front = self.items.remove(&self.next);
    }

    /// Everything that is missing is lost.
    pub fn give_up(&mut self) {
        while let Some((from, end)) = self.hole() {
            self.limit = u64::MAX;
            self.gap(from, end, Why::Lost);
        }
    }
}

#[cfg(test)]
mod tests;
