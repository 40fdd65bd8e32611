//! What a mirror has received and not written: messages and gaps, in order, with holes between.
//!
//! Sequences count from the one at which the mirror began (*places*), so that they compare though they wrap.

use crate::frame::FARTHEST;
use slipring::endpoint::Why;
use std::collections::BTreeMap;

/// What an entry costs beside its payload.
const OVERHEAD: u64 = 64;

#[derive(Debug)]
pub(crate) enum Item {
    Message(Box<[u8]>),
    Gap { end: u64, why: Why },
}

impl Item {
    fn cost(&self) -> u64 {
        match self {
            Self::Message(bytes) => OVERHEAD + bytes.len() as u64,
            Self::Gap { .. } => OVERHEAD,
        }
    }

    fn end(&self, place: u64) -> u64 {
        match self {
            Self::Message(_) => place + 1,
            Self::Gap { end, .. } => *end,
        }
    }
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
        place < self.next || before.is_some_and(|(at, item)| item.end(*at) > place)
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
        self.items.insert(place, item);
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
        self.put(place, Item::Message(payload.into()))
    }

    /// Adds a gap, where nothing is held.
    pub fn gap(&mut self, from: u64, end: u64, why: Why) -> Added {
        self.know(end);
        let mut added = Added::Known;
        let mut at = from.max(self.next);
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
    pub fn first(&self) -> Option<&Item> {
        self.items.get(&self.next)
    }

    /// What was to be written next has been; of a gap, only the part before `until`, if that lies inside.
    pub fn written(&mut self, until: Option<u64>) -> Option<Item> {
        let item = self.items.remove(&self.next)?;
        self.held -= item.cost();
        self.ready -= item.cost();
        match (item, until) {
            (Item::Gap { end, why }, Some(until)) if self.next < until && until < end => {
                self.next = until;
                let rest = Item::Gap { end, why };
                self.held += rest.cost();
                self.ready += rest.cost();
                self.items.insert(until, rest);
                Some(Item::Gap { end: until, why })
            }
            (item, _) => {
                self.next = item.end(self.next);
                Some(item)
            }
        }
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
mod tests {
    use super::{Added, Hold, Item, OVERHEAD};
    use slipring::endpoint::Why;

    #[test]
    fn what_lies_nearest_is_held() {
        let mut hold = Hold::new(u64::MAX - 2, 4 * (OVERHEAD + 10));
        for place in [9, 3, 7, 5] {
            assert_eq!(hold.message(place, &[1; 10]), Added::Kept);
        }
        assert_eq!(hold.message(11, &[1; 10]), Added::NoRoom);
        assert_eq!((hold.known(), hold.hole()), (12, Some((0, 3))));
        // Takes the room of 9, and then what comes next, of 7.
        assert_eq!(hold.message(4, &[1; 10]), Added::Kept);
        assert_eq!(hold.message(3, &[1; 10]), Added::Known);
        assert_eq!(hold.gap(0, 6, Why::Lost), Added::Kept);
        assert_eq!((hold.contiguous(), hold.hole()), (6, Some((6, 12))));
        assert_eq!(hold.held(), hold.ready());
        assert!(matches!(
            hold.written(Some(2)),
            Some(Item::Gap { end: 2, .. })
        ));
        assert!(matches!(
            hold.written(Some(2)),
            Some(Item::Gap { end: 3, .. })
        ));
        for next in [4, 5, 6] {
            assert!(matches!(hold.written(None), Some(Item::Message(_))));
            assert_eq!(hold.next(), next);
        }
        assert!(hold.first().is_none());
        assert_eq!((hold.held(), hold.ready()), (0, 0));
        assert_eq!(hold.message(5, &[]), Added::Known);
        assert_eq!(hold.place(u64::MAX - 2), Some(0));
        assert_eq!((hold.place(u64::MAX - 3), hold.sequence(6)), (None, 3));
        // The next one is held though it is larger than all room.
        assert_eq!(hold.message(6, &[0; 10_000]), Added::Kept);
        assert_eq!(hold.message(7, &[0; 1]), Added::NoRoom);
        hold.give_up();
        assert_eq!((hold.contiguous(), hold.hole()), (12, None));
    }
}
