//! The oracle: what a ring must do, written as simply as possible, and the language of operations
//! that property tests and fuzzing share.
//!
//! The oracle keeps every message ever published in a vector. Consumers must return exactly what it
//! says. Observers may have been lapped, and then by exactly as many messages as they report; which
//! message they resume at is the ring's choice, within bounds the oracle checks.

pub mod queue;

use slipring::{
    endpoint::{AttachError, Resume, TryPublishError, TryReceiveError},
    Consumer, Observer, ObserverOptions, Producer, Received, Ring, Start, Strategy,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// One step. Small numbers are taken modulo what exists.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Publish one message of this many bytes.
    Publish(u32),
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
}

/// The ring under test with all attached handles, and what the oracle knows.
pub struct Subject {
    ring: Ring,
    producer: Option<Producer>,
    evicts: bool,
    consumers: Vec<Gating>,
    /// Durable cursors that no consumer uses.
    cursors: BTreeMap<u8, Away>,
    observers: Vec<(Observer, u64)>,
    published: Vec<Vec<u8>>,
    places: Places,
    first: u64,
    closed: bool,
    /// Everything delivered or reported lost, for statistics.
    pub delivered: u64,
    pub lost: u64,
    pub missed: u64,
}

/// A consumer, and the index of the message it must return next.
struct Gating {
    consumer: Consumer,
    at: u64,
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
    /// Of each message, its frame's position.
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
        }
    }

    /// The payload of message number `index`: every word depends on the message and its place, and
    /// some of them spell commit words of messages to come.
    fn payload(&self, index: u64, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        for (at, chunk) in bytes.chunks_mut(8).enumerate() {
            let at = at as u64;
            let coming = self.first.wrapping_add(index + at % 64);
            let word = match at % 3 {
                0 => coming << 32 | 9,
                1 => index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at,
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
        self.first.wrapping_add(index)
    }

    fn index(&self, sequence: u64) -> u64 {
        sequence.wrapping_sub(self.first)
    }

    /// Whether a refusal for lack of room is right: a gating consumer must be behind.
    fn somebody_is_behind(&self) -> bool {
        self.consumers.iter().any(|gating| gating.at < self.next())
    }

    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish(len) => self.publish(*len),
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
        let payload = self.payload(self.next(), len);
        let expected = self.sequence(self.next());
        match self.producer.as_mut().unwrap().try_publish(&payload) {
            Ok(sequence) => {
                assert_eq!(sequence, expected);
                self.looked(self.places.head, u64::from(len));
                let start = self.places.start(self.places.head, u64::from(len));
                self.places.starts.push(start);
                self.places.head = start + self.places.frame(u64::from(len));
                self.published.push(payload);
            }
            Err(error) => self.check_refused(error, len),
        }
    }

    fn check_refused(&mut self, error: TryPublishError, len: u32) {
        if matches!(error, TryPublishError::Full { .. }) {
            self.looked(self.places.head, u64::from(len));
        }
        self.check_refusal(error, len);
    }

    fn batch(&mut self, lens: &[u32], commit: bool) {
        let base = self.next();
        let payloads: Vec<_> = (base..)
            .zip(lens)
            .map(|(index, len)| self.payload(index, *len))
            .collect();
        let mut producer = self.producer.take().unwrap();
        let mut batch = producer.batch();
        let mut staged = 0;
        let mut refused = None;
        for payload in &payloads {
            match batch.try_push(payload) {
                Ok(sequence) => assert_eq!(sequence, self.sequence(base + staged)),
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
        for (at, payload) in payloads.iter().enumerate() {
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
                self.places.starts.push(start);
            }
        }
        if commit {
            if staged > 0 {
                self.places.head = end;
            }
            self.published
                .extend(payloads.into_iter().take(staged as usize));
        }
    }

    fn claim(&mut self, len: u32, commit: Option<u32>) {
        let payload = self.payload(self.next(), len);
        let expected = self.sequence(self.next());
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
                    self.places.starts.push(self.places.head);
                    self.places.head += self.places.frame(first as u64);
                    self.published.push(payload[..first].to_vec());
                }
            }
            Err(error) => self.check_refused(error, len),
        }
    }

    fn start(&self, from: From) -> Start {
        match from {
            From::Latest => Start::Latest,
            From::Oldest => Start::Oldest,
            From::Back(n) => {
                Start::Sequence(self.sequence(self.next()).wrapping_sub(n as i64 as u64))
            }
        }
    }

    /// Where an attach must have landed, given what it says its next message is.
    fn check_start(&self, from: From, next: u64) -> u64 {
        let index = self.index(next);
        match from {
            From::Latest => assert_eq!(index, self.next()),
            From::Oldest => {
                assert!(index <= self.next());
                assert!(
                    index == 0 || self.places.may_be_lost(index - 1),
                    "began at {index}, behind messages that are there: {:?}",
                    self.places
                );
            }
            From::Back(n) => assert_eq!(index as i64, self.next() as i64 - i64::from(n)),
        }
        index
    }

    fn check_attach_error(&self, from: From, error: &AttachError) {
        match (from, error) {
            (From::Back(n), AttachError::Ahead { next, .. }) => {
                assert!(n < 0 && *next == self.sequence(self.next()));
            }
            (From::Back(n), AttachError::Gone { oldest, requested }) => {
                assert!(n > 0);
                assert!(oldest.wrapping_sub(*requested) as i64 > 0);
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
            (_, error) => panic!("{from:?}: {error}"),
        }
    }

    fn consume(&mut self, from: From) {
        match self.ring.consumer(self.start(from)) {
            Ok(consumer) => {
                let at = self.check_start(from, consumer.next_sequence());
                self.consumers.push(Gating {
                    consumer,
                    at,
                    cursor: None,
                    resumed: None,
                });
            }
            Err(error) => self.check_attach_error(from, &error),
        }
    }

    fn in_use(&self, name: u8) -> bool {
        self.consumers
            .iter()
            .any(|gating| gating.cursor == Some(name))
    }

    fn durable(&mut self, name: u8, from: From) {
        let attached = self
            .ring
            .durable_consumer(&format!("cursor-{name}"), self.start(from));
        let saved = self.cursors.get(&name).copied();
        match (attached, saved) {
            (Ok(consumer), saved) => {
                assert!(!self.in_use(name));
                self.cursors.remove(&name);
                let at = match saved {
                    // Goes on behind what was acknowledged, or says what is gone.
                    Some(away) => {
                        assert!(self.index(consumer.next_sequence()) >= away.at);
                        away.at
                    }
                    None => self.check_start(from, consumer.next_sequence()),
                };
                self.consumers.push(Gating {
                    consumer,
                    at,
                    cursor: Some(name),
                    resumed: saved.map(|away| away.allowed),
                });
            }
            (Err(AttachError::CursorInUse { .. }), _) => assert!(self.in_use(name)),
            (Err(error), None) => self.check_attach_error(from, &error),
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
        match self.ring.observer_with(self.start(from), options) {
            Ok(observer) => {
                let index = self.check_start(from, observer.next_sequence());
                self.observers.push((observer, index));
            }
            Err(error) => self.check_attach_error(from, &error),
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

    /// Checks that a consumer that must return message `at` next may miss so many from there on.
    fn check_missed(&self, missed: u64, at: u64, resumed: Option<u64>) {
        if missed == 0 {
            return;
        }
        assert!(
            self.evicts || resumed.is_some(),
            "evicted from a patient ring"
        );
        assert!(at + missed <= self.next());
        let start = self.places.starts[at as usize];
        let away = |allowed| start + self.places.capacity < allowed;
        let gone = self.evicts || resumed.is_some_and(away);
        assert!(
            gone && self.places.may_be_lost(at + missed - 1),
            "{missed} messages from {at} on are there, and not given: {:?}",
            self.places
        );
    }

    /// Checks an error of a consumer that must return message `at` next, and is at `next` now: it may have lost what
    /// lies between, which the message behind it will tell.
    fn check_interruption(
        &self,
        error: TryReceiveError,
        (at, next): (u64, u64),
        resumed: Option<u64>,
    ) -> Result<(), Expelled> {
        let now = self.index(next);
        self.check_missed(now - at, at, resumed);
        match error {
            TryReceiveError::Expelled { next: said } => {
                assert!(self.evicts);
                assert_eq!(said, next);
                Err(Expelled)
            }
            error => {
                self.check_end(error, now);
                Ok(())
            }
        }
    }

    fn settle(&mut self, which: usize, outcome: Result<(), Expelled>) {
        if let Err(Expelled) = outcome {
            let left = self.consumers.swap_remove(which);
            self.went_away(&left);
        }
    }

    fn receive(&mut self, which: u8) {
        let Some(which) = pick(which, self.consumers.len()) else {
            return;
        };
        let Gating { at, resumed, .. } = self.consumers[which];
        let consumer = &mut self.consumers[which].consumer;
        let received = match consumer.try_receive() {
            Ok(message) => Ok((message.to_vec(), message.sequence(), message.missed())),
            Err(error) => Err(error),
        };
        let next = consumer.next_sequence();
        match received {
            Err(error) => {
                let outcome = self.check_interruption(error, (at, next), resumed);
                self.settle(which, outcome);
            }
            Ok((message, sequence, missed)) => {
                self.check_missed(missed, at, resumed);
                let expected = self.published.get((at + missed) as usize);
                assert_eq!(Some(&message), expected);
                assert_eq!(sequence, self.sequence(at + missed));
                self.consumers[which].at += missed + 1;
                self.consumers[which].resumed = None;
                self.delivered += 1;
                self.missed += missed;
            }
        }
    }

    fn receive_batch(&mut self, which: u8, max: u8) {
        let Some(which) = pick(which, self.consumers.len()) else {
            return;
        };
        let mut gating = self.consumers.swap_remove(which);
        let at = gating.at;
        let mut got = 0;
        let mut missed = 0;
        let interrupted = match gating.consumer.try_receive_batch(usize::from(max)) {
            // Never looked at: nothing is taken.
            Ok(batch) if max % 5 == 4 => {
                drop(batch);
                None
            }
            Ok(mut batch) => {
                while let Some(message) = batch.next() {
                    match got {
                        0 => missed = message.missed(),
                        _ => assert_eq!(message.missed(), 0),
                    }
                    self.check_missed(missed, at, gating.resumed);
                    let index = at + missed + got;
                    assert_eq!(message.bytes(), &self.published[index as usize][..]);
                    assert_eq!(message.sequence(), self.sequence(index));
                    got += 1;
                }
                let left = self.next() - at - missed;
                assert_eq!(got, left.min(u64::from(max).max(1)));
                gating.resumed = None;
                None
            }
            Err(error) => Some(error),
        };
        let mut outcome = Ok(());
        if let Some(error) = interrupted {
            let next = gating.consumer.next_sequence();
            outcome = self.check_interruption(error, (at, next), gating.resumed);
        }
        self.delivered += got;
        self.missed += missed;
        gating.at += missed + got;
        self.consumers.push(gating);
        self.settle(self.consumers.len() - 1, outcome);
    }

    fn look(&mut self, which: u8) {
        let Some(which) = pick(which, self.observers.len()) else {
            return;
        };
        let (mut observer, at) = self.observers.swap_remove(which);
        let mut next = at;
        match observer.try_receive() {
            Ok(Received::Message(message)) => {
                assert_eq!(message.sequence(), self.sequence(at));
                assert_eq!(message.bytes(), &self.published[at as usize][..]);
                next += 1;
                self.delivered += 1;
            }
            Ok(Received::Lapped { lost, resumed_at }) => {
                next += lost;
                assert!(lost > 0 && next <= self.next());
                assert_eq!(resumed_at, self.sequence(next));
                // Only what may have been overwritten can be lost: the unread frames, what a batch
                // may stage ahead of them, the pad of a lap and a block together exceed the ring.
                let bytes: u64 = self.published[at as usize..]
                    .iter()
                    .map(|message| {
                        (message.len() as u64 + 8).next_multiple_of(self.ring.frame_align())
                    })
                    .sum();
                let capacity = self.ring.capacity_bytes();
                assert!(
                    bytes + 7 * capacity / 8 + 256 > capacity,
                    "lapped after {bytes} bytes"
                );
                self.lost += lost;
            }
            Ok(Received::Closed) => panic!("try_receive says so by an error"),
            Err(error) => self.check_end(error, at),
        }
        self.observers.push((observer, next));
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
        while let Some(which) = self
            .consumers
            .iter()
            .position(|gating| gating.at < self.next())
        {
            let (before, attached) = (self.consumers[which].at, self.consumers.len());
            // Twice: the first may report an eviction that cost nothing.
            self.receive(which as u8);
            if self.consumers.len() == attached && self.consumers[which].at == before {
                self.receive(which as u8);
            }
            assert!(
                self.consumers.len() < attached || self.consumers[which].at > before,
                "a message went missing"
            );
        }
        for _ in 0..self.observers.len() {
            // The one looked with goes to the end of the list.
            while self.observers[0].1 < self.next() {
                let before = self.observers[0].1;
                self.look(0);
                let last = self.observers.len() - 1;
                self.observers.swap(0, last);
                assert!(self.observers[0].1 > before, "a message went missing");
            }
            self.observers.rotate_left(1);
        }
        assert_eq!(self.producer.as_ref().unwrap().violations(), 0);
    }
}

/// A consumer that was evicted too often.
struct Expelled;

fn pick(which: u8, len: usize) -> Option<usize> {
    (len > 0).then(|| usize::from(which) % len.max(1))
}
