//! The oracle: what a ring must do, written as simply as possible, and the language of operations
//! that property tests and fuzzing share.
//!
//! The oracle keeps every message ever published in a vector, and every gap. Consumers must return exactly what
//! it says. Observers may have been lapped, and then by exactly as many messages as they report; which
//! message they resume at is the ring's choice, within bounds the oracle checks.

pub mod queue;

use slipring::{
    endpoint::{AttachError, Gap, Losses, Resume, TryPublishError, TryReceiveError, Why},
    Consumer, Observer, ObserverOptions, Producer, Received, Ring, Start, Strategy,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// One step. Small numbers are taken modulo what exists.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Publish one message of this many bytes.
    Publish(u32),
    /// Skip this many sequences.
    Skip(u64),
    /// Publish several at once, or not at all.
    Batch { lens: Vec<u32>, commit: bool },
    /// Claim, then commit the first part of it, or abort.
    Claim { len: u32, commit: Option<u32> },
    /// Attach a consumer.
    Consume(From),
    /// Attach a consumer with a durable cursor, one of three names.
    Durable { name: u8, from: From },
    /// Forget a durable cursor.
    Forget(u8),
    /// Attach an observer.
    Observe { from: From, oldest: bool },
    /// Receive with one of the consumers.
    Receive(u8),
    /// Receive a batch with one of the consumers.
    ReceiveBatch(u8, u8),
    /// Receive with one of the observers.
    Look(u8),
    /// Detach one of the consumers.
    Leave(u8),
    /// Detach one of the observers.
    LookAway(u8),
    /// Replace the producer; the old one closes or only leaves.
    Takeover { close: bool },
}

/// Where to attach.
#[derive(Clone, Copy, Debug)]
pub enum From {
    Latest,
    Oldest,
    /// This far before (or, negative, behind) the next message.
    Back(i16),
    /// In one of the gaps, so far behind its first sequence; the oldest message if there is none.
    Within(u8, u64),
}

/// What was published: a message, or a gap.
enum Entry {
    Message(Vec<u8>),
    Gap(Gap),
}

impl Entry {
    /// Payload bytes of its frame.
    fn len(&self) -> u64 {
        match self {
            Self::Message(bytes) => bytes.len() as u64,
            Self::Gap(_) => 16,
        }
    }
}

/// The ring under test with all attached handles, and what the oracle knows.
pub struct Subject {
    ring: Ring,
    producer: Option<Producer>,
    evicts: bool,
    consumers: Vec<Gating>,
    /// Durable cursors that no consumer uses.
    cursors: BTreeMap<u8, Away>,
    observers: Vec<Looking>,
    published: Vec<Entry>,
    /// Of each entry, its first sequence.
    sequences: Vec<u64>,
    /// The sequence of the next message.
    head: u64,
    places: Places,
    first: u64,
    closed: bool,
    /// All messages delivered or reported lost, and gaps told of, for statistics.
    pub delivered: u64,
    pub lost: u64,
    pub missed: u64,
    pub gaps: u64,
}

/// An observer, the index of the entry it must return next, and the sequence that it is at: in the middle of the
/// gap before that entry, or where the entry begins.
struct Looking {
    observer: Observer,
    at: u64,
    next: u64,
    began: u64,
}

/// A consumer, and the index of the entry it must return next.
struct Gating {
    consumer: Consumer,
    at: u64,
    /// The entry where it began.
    began: u64,
    /// What it counted as lost when it was there.
    losses: Losses,
    cursor: Option<u8>,
    /// Whether it went on from its cursor and has not received anything yet; then, where the producer could
    /// write meanwhile.
    resumed: Option<u64>,
}

/// A durable cursor that no consumer uses.
#[derive(Clone, Copy)]
struct Away {
    /// The index of the message it goes on at.
    at: u64,
    /// Position before which the producer could write since the consumer left: everything it gated is there
    /// until then.
    allowed: u64,
}

#[derive(Debug)]
/// Where every message lies in the endless stream: what must still be there follows from it.
struct Places {
    capacity: u64,
    align: u64,
    /// Of each entry, its frame's position.
    starts: Vec<u64>,
    /// Where the next frame begins, if it fits in the lap.
    head: u64,
    /// Position before which the producer may write without another look at the rows, at most.
    allowed: u64,
    /// Position before which it may have written, at most.
    touched: u64,
}

impl Places {
    fn block(&self) -> u64 {
        (self.capacity / 8).min(4096)
    }

    fn frame(&self, len: u64) -> u64 {
        (len + 8).next_multiple_of(self.align)
    }

    /// Where a frame of a message begins, if the one before it ends at `end`.
    fn start(&self, end: u64, len: u64) -> u64 {
        let lap_end = (end / self.capacity + 1) * self.capacity;
        if end + self.frame(len) + 8 > lap_end {
            lap_end
        } else {
            end
        }
    }

    /// The producer looked for room for a message behind `end`. How far it may write now, at most.
    fn look(&mut self, end: u64, len: u64) -> u64 {
        let need = self.start(end, len) + self.frame(len) + 8;
        let allowed = need.max(self.head + self.capacity / 8);
        self.allowed = self.allowed.max(allowed);
        self.touched = self.touched.max(need.next_multiple_of(self.block()));
        allowed
    }

    /// The producer is another one, or about to be: what the last one had looked for and not touched is not
    /// its to write any more.
    fn retract(&mut self) {
        self.allowed = self.touched.max(self.head + 8);
    }

    /// Whether a message may be gone, or, in a block of which the first frame is gone, not be found.
    fn may_be_lost(&self, message: u64) -> bool {
        let found = self.allowed + self.block() + self.capacity / 4 + self.align;
        self.starts[message as usize] + self.capacity < found
    }
}

impl Subject {
    pub fn new(capacity: u64, align: u64, first: u64, evicts: bool) -> Self {
        let ring = Ring::heap()
            .capacity_bytes(capacity)
            .frame_align(align)
            .first_sequence(first)
            .max_readers(4)
            // With the shortest time: a consumer that is in the way when the ring is full is evicted.
            .evict_after(Duration::from_nanos(evicts.into()))
            .create()
            .expect("sizes are valid");
        let producer = Some(ring.producer().expect("the first producer"));
        Self {
            ring,
            producer,
            evicts,
            consumers: Vec::new(),
            cursors: BTreeMap::new(),
            observers: Vec::new(),
            published: Vec::new(),
            sequences: Vec::new(),
            head: first,
            places: Places {
                capacity,
                align,
                starts: Vec::new(),
                head: 0,
                allowed: 0,
                touched: 0,
            },
            first,
            closed: false,
            delivered: 0,
            lost: 0,
            missed: 0,
            gaps: 0,
        }
    }

    /// The payload of the message that follows `index` others: every word depends on the message and its place, and
    /// some of them spell commit words of messages to come.
    fn payload(&self, index: u64, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        for (at, chunk) in bytes.chunks_mut(8).enumerate() {
            let at = at as u64;
            let coming = self.head.wrapping_add(index + at % 64);
            let word = match at % 3 {
                0 => coming << 32 | 9,
                1 => (self.next() + index).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at,
                _ => coming << 32 | 1 << 31 | 17,
            };
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        bytes
    }

    fn next(&self) -> u64 {
        self.published.len() as u64
    }

    fn sequence(&self, index: u64) -> u64 {
        self.sequences
            .get(index as usize)
            .copied()
            .unwrap_or(self.head)
    }

    /// The entry with this sequence; behind a gap, if the sequence is in the middle of one.
    fn index(&self, sequence: u64) -> u64 {
        let place = |sequence: u64| sequence.wrapping_sub(self.first);
        let before = |at: &u64| place(*at) < place(sequence);
        self.sequences.partition_point(before) as u64
    }

    /// The gap that is this entry.
    fn gap(&self, index: u64) -> Option<Gap> {
        match self.published.get(index as usize) {
            Some(Entry::Gap(gap)) => Some(*gap),
            _ => None,
        }
    }

    /// How many messages there are between two entries.
    fn messages(&self, from: u64, to: u64) -> u64 {
        (from..to).filter(|at| self.gap(*at).is_none()).count() as u64
    }

    fn push(&mut self, entry: Entry, start: u64) {
        let next = match &entry {
            Entry::Message(_) => self.head.wrapping_add(1),
            Entry::Gap(gap) => gap.end,
        };
        self.places.starts.push(start);
        self.sequences.push(self.head);
        self.published.push(entry);
        self.head = next;
    }

    /// Whether a refusal for lack of room is right: a gating consumer must be behind.
    fn somebody_is_behind(&self) -> bool {
        self.consumers.iter().any(|gating| gating.at < self.next())
    }

    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish(len) => self.publish(*len),
            Operation::Skip(skipped) => self.skip(*skipped),
            Operation::Batch { lens, commit } => self.batch(lens, *commit),
            Operation::Claim { len, commit } => self.claim(*len, *commit),
            Operation::Consume(from) => self.consume(*from),
            Operation::Observe { from, oldest } => self.observe(*from, *oldest),
            Operation::Receive(which) => self.receive(*which),
            Operation::ReceiveBatch(which, max) => self.receive_batch(*which, *max),
            Operation::Look(which) => self.look(*which),
            Operation::Leave(which) => {
                if let Some(which) = pick(*which, self.consumers.len()) {
                    let left = self.consumers.swap_remove(which);
                    self.went_away(&left);
                }
            }
            Operation::Durable { name, from } => self.durable(name % 3, *from),
            Operation::Forget(name) => self.forget(name % 3),
            Operation::LookAway(which) => {
                if let Some(at) = pick(*which, self.observers.len()) {
                    self.observers.swap_remove(at);
                }
            }
            Operation::Takeover { close } => self.takeover(*close),
        }
    }

    fn went_away(&mut self, left: &Gating) {
        let Some(name) = left.cursor else { return };
        // Where the producer could write before counts if the consumer has received nothing since.
        let away = Away {
            at: left.at,
            allowed: left.resumed.unwrap_or(0),
        };
        self.cursors.insert(name, away);
    }

    /// The producer looked for room.
    fn looked(&mut self, end: u64, len: u64) {
        let allowed = self.places.look(end, len);
        for away in self.cursors.values_mut() {
            away.allowed = away.allowed.max(allowed);
        }
    }

    fn check_refusal(&self, error: TryPublishError, len: u32) {
        match error {
            TryPublishError::TooLarge { max, .. } => {
                assert_eq!(u64::from(max), self.ring.capacity_bytes() / 4);
                assert!(len > max);
            }
            TryPublishError::Full { .. } => assert!(self.somebody_is_behind(), "full for nobody"),
            error => panic!("{error}"),
        }
    }

    fn publish(&mut self, len: u32) {
        let payload = self.payload(0, len);
        match self.producer.as_mut().unwrap().try_publish(&payload) {
            Ok(sequence) => {
                assert_eq!(sequence, self.head);
                self.committed(Entry::Message(payload));
            }
            Err(error) => self.check_refused(error, len),
        }
    }

    /// A frame was committed for which the producer looked for room.
    fn committed(&mut self, entry: Entry) {
        let len = entry.len();
        self.looked(self.places.head, len);
        let start = self.places.start(self.places.head, len);
        self.places.head = start + self.places.frame(len);
        self.push(entry, start);
    }

    fn skip(&mut self, skipped: u64) {
        let (first, end) = (self.head, self.head.wrapping_add(skipped));
        let why = Why::from_code(self.next() as u32);
        let most = (1u64 << 62).saturating_sub(first.wrapping_sub(self.first));
        match self.producer.as_mut().unwrap().try_skip_to(end, why) {
            Ok(done) => {
                assert_eq!(done, skipped);
                assert!(skipped <= most);
                if skipped > 0 {
                    self.committed(Entry::Gap(Gap::new(first, end, why)));
                }
            }
            Err(TryPublishError::TooFar { last }) => {
                assert_eq!(last, self.first.wrapping_add(1 << 62));
                assert!(skipped > most && skipped < 1 << 63);
            }
            Err(TryPublishError::Behind { next }) => {
                assert_eq!(next, first);
                assert!(skipped >= 1 << 63);
            }
            Err(error) => self.check_refused(error, 16),
        }
    }

    fn check_refused(&mut self, error: TryPublishError, len: u32) {
        if matches!(error, TryPublishError::Full { .. }) {
            self.looked(self.places.head, u64::from(len));
        }
        self.check_refusal(error, len);
    }

    fn batch(&mut self, lens: &[u32], commit: bool) {
        let payloads: Vec<_> = (0..)
            .zip(lens)
            .map(|(index, len)| self.payload(index, *len))
            .collect();
        let mut producer = self.producer.take().unwrap();
        let mut batch = producer.batch();
        let mut staged = 0;
        let mut refused = None;
        for payload in &payloads {
            match batch.try_push(payload) {
                Ok(sequence) => assert_eq!(sequence, self.head.wrapping_add(staged)),
                Err(error) => {
                    refused = Some((error, payload.len()));
                    break;
                }
            }
            staged += 1;
        }
        if commit {
            assert_eq!(batch.commit(), staged);
        } else {
            drop(batch);
        }
        self.producer = Some(producer);
        match refused {
            Some((TryPublishError::BatchFull, _)) => assert!(staged > 0),
            // A batch itself takes room that consumers have not had a chance to read.
            Some((TryPublishError::Full { .. }, _)) => assert!(!self.consumers.is_empty()),
            Some((error, len)) => self.check_refusal(error, len as u32),
            None => {}
        }
        let mut end = self.places.head;
        for (at, payload) in payloads.into_iter().enumerate() {
            let len = payload.len() as u64;
            let tried = (at as u64) < staged;
            if tried || at as u64 == staged && len <= self.ring.capacity_bytes() / 4 {
                self.looked(end, len);
            }
            if !tried {
                break;
            }
            let start = self.places.start(end, len);
            if at == 0 {
                // The rest of the lap is left, even if the batch is given up.
                self.places.head = start;
            }
            end = start + self.places.frame(len);
            if commit {
                self.push(Entry::Message(payload), start);
            }
        }
        if commit && staged > 0 {
            self.places.head = end;
        }
    }

    fn claim(&mut self, len: u32, commit: Option<u32>) {
        let payload = self.payload(0, len);
        let expected = self.head;
        match self.producer.as_mut().unwrap().try_claim(len as usize) {
            Ok(mut claim) => {
                claim.copy_from_slice(&payload);
                let first = commit.map(|first| first.min(len) as usize);
                if let Some(first) = first {
                    assert_eq!(claim.commit_first(first), expected);
                }
                self.looked(self.places.head, u64::from(len));
                self.places.head = self.places.start(self.places.head, u64::from(len));
                if let Some(first) = first {
                    let start = self.places.head;
                    self.places.head += self.places.frame(first as u64);
                    self.push(Entry::Message(payload[..first].to_vec()), start);
                }
            }
            Err(error) => self.check_refused(error, len),
        }
    }

    fn start(&self, from: From) -> Start {
        match from {
            From::Latest => Start::Latest,
            From::Oldest => Start::Oldest,
            From::Back(n) => Start::Sequence(self.head.wrapping_sub(n as i64 as u64)),
            From::Within(which, behind) => {
                let gaps = (0..self.next()).filter_map(|at| self.gap(at));
                let gaps: Vec<Gap> = gaps.collect();
                match pick(which, gaps.len()).map(|at| gaps[at]) {
                    Some(gap) => Start::Sequence(gap.first.wrapping_add(behind % gap.skipped())),
                    None => Start::Oldest,
                }
            }
        }
    }

    /// Where an attach must have landed, given what it says its next message is: the entry.
    fn check_start(&self, start: Start, next: u64) -> u64 {
        let index = self.index(next);
        assert_eq!(self.sequence(index), next);
        match start {
            Start::Latest => assert_eq!(index, self.next()),
            Start::Oldest => {
                assert!(index <= self.next());
                assert!(
                    index == 0 || self.places.may_be_lost(index - 1),
                    "began at {index}, behind messages that are there: {:?}",
                    self.places
                );
            }
            Start::Sequence(wanted) => assert_eq!(index, self.index(wanted)),
        }
        index
    }

    fn check_attach_error(&self, start: Start, error: &AttachError) {
        let ahead = |a: u64, b: u64| a.wrapping_sub(b) as i64 > 0;
        match (start, error) {
            (Start::Sequence(wanted), AttachError::Ahead { next, .. }) => {
                assert!(*next == self.head && ahead(wanted, self.head));
            }
            (Start::Sequence(wanted), AttachError::Gone { oldest, requested }) => {
                assert_eq!(*requested, wanted);
                assert!(ahead(self.head, wanted) && ahead(*oldest, wanted));
                let found = self.index(*oldest);
                assert!(
                    found == 0 || self.places.may_be_lost(found - 1),
                    "said to be gone, and there; the oldest found is {found}: {:?}",
                    self.places
                );
            }
            (_, AttachError::NoRow { rows }) => {
                assert_eq!((*rows, self.consumers.len() + self.cursors.len()), (4, 4));
            }
            (_, error) => panic!("{start:?}: {error}"),
        }
    }

    /// A consumer that has just attached. What it counts as lost is what lies between where it was to begin and where it
    /// is, as far as that did not exist.
    fn attached(&self, consumer: Consumer, start: Start, cursor: Option<u8>) -> Gating {
        let at = self.check_start(start, consumer.next_sequence());
        let skipped = match start {
            Start::Sequence(wanted) => self.sequence(at).wrapping_sub(wanted),
            Start::Latest | Start::Oldest => 0,
        };
        let losses = consumer.losses();
        assert_eq!((losses.evicted, losses.skipped), (0, skipped));
        Gating {
            consumer,
            at,
            began: at,
            losses,
            cursor,
            resumed: None,
        }
    }

    fn consume(&mut self, from: From) {
        let start = self.start(from);
        match self.ring.consumer(start) {
            Ok(consumer) => {
                let gating = self.attached(consumer, start, None);
                self.consumers.push(gating);
            }
            Err(error) => self.check_attach_error(start, &error),
        }
    }

    fn in_use(&self, name: u8) -> bool {
        self.consumers
            .iter()
            .any(|gating| gating.cursor == Some(name))
    }

    fn durable(&mut self, name: u8, from: From) {
        let start = self.start(from);
        let attached = self.ring.durable_consumer(&format!("cursor-{name}"), start);
        let saved = self.cursors.get(&name).copied();
        match (attached, saved) {
            (Ok(consumer), Some(away)) => {
                assert!(!self.in_use(name));
                self.cursors.remove(&name);
                // Goes on behind what was acknowledged, or says what is gone.
                let next = consumer.next_sequence();
                let at = self.index(next.wrapping_sub(consumer.losses().total()));
                assert!(at >= away.at && at <= self.index(next));
                self.consumers.push(Gating {
                    consumer,
                    at,
                    began: at,
                    losses: Losses::default(),
                    cursor: Some(name),
                    resumed: Some(away.allowed),
                });
            }
            (Ok(consumer), None) => {
                assert!(!self.in_use(name));
                let gating = self.attached(consumer, start, Some(name));
                self.consumers.push(gating);
            }
            (Err(AttachError::CursorInUse { .. }), _) => assert!(self.in_use(name)),
            (Err(error), None) => self.check_attach_error(start, &error),
            (Err(error), Some(away)) => panic!("cursor {name} at {}: {error}", away.at),
        }
    }

    fn forget(&mut self, name: u8) {
        match self.ring.forget_cursor(&format!("cursor-{name}")) {
            Ok(existed) => assert_eq!(existed, self.cursors.remove(&name).is_some()),
            Err(AttachError::CursorInUse { .. }) => assert!(self.in_use(name)),
            Err(error) => panic!("{error}"),
        }
    }

    fn observe(&mut self, from: From, oldest: bool) {
        if self.observers.len() == 4 {
            return;
        }
        let resume = if oldest {
            Resume::Oldest
        } else {
            Resume::Newest
        };
        let options = ObserverOptions::new()
            .resume(resume)
            .strategy(Strategy::Spin);
        let start = self.start(from);
        match self.ring.observer_with(start, options) {
            Ok(observer) => {
                let next = observer.next_sequence();
                // In the middle of a gap it is where it was told to begin.
                let at = match start {
                    Start::Sequence(wanted) => {
                        assert_eq!(next, wanted);
                        self.index(wanted)
                    }
                    _ => self.check_start(start, next),
                };
                self.observers.push(Looking {
                    observer,
                    at,
                    next,
                    began: next,
                });
            }
            Err(error) => self.check_attach_error(start, &error),
        }
    }

    fn check_end(&self, error: TryReceiveError, at: u64) {
        assert_eq!(at, self.next(), "{error} with messages unread");
        let expected = if self.closed {
            TryReceiveError::Closed
        } else {
            TryReceiveError::Empty
        };
        assert_eq!(error, expected);
    }

    /// Checks that a consumer that was at entry `at` may be at `next`, with so many sequences lost in between: what it
    /// does not count as lost must be gaps, of which the last ones may have come behind the loss.
    fn check_passed(&mut self, (at, next): (u64, u64), missed: u64, resumed: Option<u64>) {
        assert!(at <= next && next <= self.next());
        assert!(missed <= self.sequence(next).wrapping_sub(self.sequence(at)));
        if missed == 0 {
            assert_eq!(self.messages(at, next), 0, "messages went missing");
            self.gaps += next - at;
            return;
        }
        assert!(
            self.evicts || resumed.is_some(),
            "evicted from a patient ring"
        );
        let lost = (at..next).rev().find(|entry| self.gap(*entry).is_none());
        let start = self.places.starts[at as usize];
        let away = |allowed| start + self.places.capacity < allowed;
        let gone = self.evicts || resumed.is_some_and(away);
        assert!(
            gone && lost.is_none_or(|lost| self.places.may_be_lost(lost)),
            "{missed} sequences from {at} on are there, and not given: {:?}",
            self.places
        );
    }

    /// A consumer has returned a message, and says that it missed so many directly before it. Returns whether its entry
    /// has these bytes.
    fn delivered(&mut self, which: usize, sequence: u64, missed: u64, bytes: &[u8]) {
        let Gating { at, resumed, .. } = self.consumers[which];
        let entry = self.index(sequence);
        assert_eq!(self.sequence(entry), sequence);
        self.check_passed((at, entry), missed, resumed);
        let sent = self.published.get(entry as usize);
        assert!(matches!(sent, Some(Entry::Message(sent)) if sent == bytes));
        self.missed += match missed {
            0 => 0,
            _ => self.messages(at, entry),
        };
        self.delivered += 1;
        let passed = sequence.wrapping_sub(self.sequence(at));
        let gating = &mut self.consumers[which];
        gating.at = entry + 1;
        gating.losses.evicted = gating.losses.evicted.wrapping_add(missed);
        gating.losses.skipped = gating.losses.skipped.wrapping_add(passed - missed);
        gating.resumed = None;
    }

    /// Accounts for what a consumer has counted since its last message. Gaps that no loss precedes are given back.
    fn passed(&mut self, which: usize) -> u64 {
        let Gating {
            at,
            losses,
            resumed,
            ..
        } = self.consumers[which];
        let now = self.consumers[which].consumer.losses();
        let next = self.consumers[which].consumer.next_sequence();
        let entry = self.index(next);
        assert_eq!(self.sequence(entry), next);
        let missed = now.evicted.wrapping_sub(losses.evicted);
        let skipped = now.skipped.wrapping_sub(losses.skipped);
        let passed = next.wrapping_sub(self.sequence(at));
        assert_eq!(passed, missed.wrapping_add(skipped));
        self.check_passed((at, entry), missed, resumed);
        if missed == 0 {
            let gating = &mut self.consumers[which];
            (gating.at, gating.losses) = (entry, now);
        }
        entry
    }

    /// Checks an error of a consumer; whether it is of no use any more.
    fn check_interruption(&mut self, which: usize, error: TryReceiveError) {
        let now = self.passed(which);
        match error {
            TryReceiveError::Expelled { next } => {
                assert!(self.evicts);
                assert_eq!(next, self.sequence(now));
                let left = self.consumers.swap_remove(which);
                self.went_away(&left);
            }
            error => self.check_end(error, now),
        }
    }

    fn receive(&mut self, which: u8) {
        let Some(which) = pick(which, self.consumers.len()) else {
            return;
        };
        let consumer = &mut self.consumers[which].consumer;
        let received = match consumer.try_receive() {
            Ok(message) => Ok((
                message.to_vec(),
                message.sequence(),
                message.missed(),
                message.gap(),
            )),
            Err(error) => Err(error),
        };
        match received {
            Err(error) => self.check_interruption(which, error),
            Ok((bytes, sequence, missed, gap)) => {
                self.delivered(which, sequence, missed, &bytes);
                let entry = self.index(sequence);
                let before = entry.checked_sub(1).and_then(|entry| self.gap(entry));
                assert!(gap.is_none() || gap.map(|gap| gap.end) == before.map(|gap| gap.end));
                assert!(
                    gap.is_some()
                        || missed > 0
                        || before.is_none()
                        || entry == self.consumers[which].began
                );
                self.balanced(which);
            }
        }
    }

    /// Behind a message, everything is accounted for.
    fn balanced(&self, which: usize) {
        let gating = &self.consumers[which];
        assert_eq!(gating.losses, gating.consumer.losses());
        assert_eq!(gating.consumer.next_sequence(), self.sequence(gating.at));
    }

    fn receive_batch(&mut self, which: u8, max: u8) {
        let Some(which) = pick(which, self.consumers.len()) else {
            return;
        };
        let mut got = Vec::new();
        let interrupted = match self.consumers[which]
            .consumer
            .try_receive_batch(usize::from(max))
        {
            // Never looked at: nothing is taken. What is before it, is counted with what comes next.
            Ok(batch) if max % 5 == 4 => {
                drop(batch);
                return;
            }
            Ok(mut batch) => {
                while let Some(message) = batch.next() {
                    let bytes = message.bytes().to_vec();
                    got.push((message.sequence(), message.missed(), bytes));
                }
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = interrupted {
            self.check_interruption(which, error);
            return;
        }
        let left = self.messages(self.index(got[0].0), self.next());
        assert_eq!(got.len() as u64, left.min(u64::from(max).max(1)));
        for (at, (sequence, missed, bytes)) in got.iter().enumerate() {
            assert!(at == 0 || *missed == 0);
            self.delivered(which, *sequence, *missed, bytes);
        }
        // And gaps behind the last message.
        self.passed(which);
        self.balanced(which);
    }

    fn look(&mut self, which: u8) {
        let Some(which) = pick(which, self.observers.len()) else {
            return;
        };
        let mut looking = self.observers.swap_remove(which);
        let (at, next) = (looking.at, looking.next);
        match looking.observer.try_receive() {
            Ok(Received::Message(message)) => {
                assert_eq!(
                    (message.sequence(), next),
                    (self.sequence(at), self.sequence(at))
                );
                assert!(matches!(
                    &self.published[at as usize],
                    Entry::Message(sent) if *sent == message.bytes()
                ));
                (looking.at, looking.next) = (at + 1, next.wrapping_add(1));
                self.delivered += 1;
            }
            Ok(Received::Skipped {
                skipped,
                resumed_at,
                why,
            }) => {
                // The entry is the gap, or the one behind, if it began in the middle.
                let entry = at - u64::from(next != self.sequence(at));
                let gap = self.gap(entry).expect("it skipped a message");
                assert_eq!((resumed_at, why), (gap.end, gap.why));
                assert_eq!(skipped, gap.end.wrapping_sub(next));
                (looking.at, looking.next) = (entry + 1, resumed_at);
                self.gaps += 1;
            }
            Ok(Received::Lapped { lost, resumed_at }) => {
                looking.at = self.index(resumed_at);
                looking.next = resumed_at;
                assert!(lost > 0 && looking.at >= at && looking.at <= self.next());
                assert_eq!(resumed_at, next.wrapping_add(lost));
                assert_eq!(resumed_at, self.sequence(looking.at));
                // Only what may have been overwritten can be lost: the unread frames, what a batch
                // may stage ahead of them, the pad of a lap and a block together exceed the ring.
                let bytes: u64 = self.published[at as usize..]
                    .iter()
                    .map(|entry| self.places.frame(entry.len()))
                    .sum();
                let capacity = self.ring.capacity_bytes();
                assert!(
                    bytes + 7 * capacity / 8 + 256 > capacity,
                    "lapped after {bytes} bytes"
                );
                self.lost += self.messages(at, looking.at);
            }
            Ok(received) => panic!("try_receive says {received:?} by an error"),
            Err(error) => {
                assert_eq!(next, self.sequence(at));
                self.check_end(error, at);
            }
        }
        let Looking {
            observer, began, ..
        } = &looking;
        let told = observer.lost_count().wrapping_add(observer.skipped_count());
        let passed = looking.next.wrapping_sub(*began);
        assert_eq!(observer.received_count(), passed.wrapping_sub(told));
        assert!(observer.received_count() <= self.next());
        self.observers.push(looking);
    }

    fn takeover(&mut self, close: bool) {
        let producer = self.producer.take().unwrap();
        let epoch = producer.epoch();
        assert!(matches!(
            self.ring.producer(),
            Err(AttachError::AlreadyOwned { .. })
        ));
        if close {
            producer.close();
        } else {
            producer.detach();
        }
        self.closed = close;
        self.places.retract();
        for which in 0..self.consumers.len() as u8 {
            self.receive(which);
        }
        for which in 0..self.observers.len() as u8 {
            self.look(which);
        }
        let producer = self.ring.producer().expect("the old one is gone");
        assert_eq!(producer.epoch(), epoch + 1);
        assert_eq!(producer.next_sequence(), self.sequence(self.next()));
        assert_eq!(producer.violations(), 0);
        self.producer = Some(producer);
        self.closed = false;
    }

    /// Everything published is delivered to every consumer in the end.
    pub fn finish(&mut self) {
        let position =
            |subject: &Self, gating: &Gating| subject.index(gating.consumer.next_sequence());
        while let Some(which) = self
            .consumers
            .iter()
            .position(|gating| position(self, gating) < self.next())
        {
            let (before, attached) = (position(self, &self.consumers[which]), self.consumers.len());
            // Twice: the first may find an eviction that cost nothing.
            for _ in 0..2 {
                if self.consumers.len() == attached
                    && position(self, &self.consumers[which]) == before
                {
                    self.receive(which as u8);
                }
            }
            assert!(
                self.consumers.len() < attached || position(self, &self.consumers[which]) > before,
                "a message went missing"
            );
        }
        for _ in 0..self.observers.len() {
            // The one looked with goes to the end of the list.
            while self.observers[0].at < self.next() {
                let before = self.observers[0].at;
                self.look(0);
                let last = self.observers.len() - 1;
                self.observers.swap(0, last);
                assert!(
                    self.observers[0].at > before || before > 0 && self.gap(before - 1).is_some(),
                    "a message went missing"
                );
            }
            self.observers.rotate_left(1);
        }
        assert_eq!(self.producer.as_ref().unwrap().violations(), 0);
    }
}

fn pick(which: u8, len: usize) -> Option<usize> {
    (len > 0).then(|| usize::from(which) % len.max(1))
}
