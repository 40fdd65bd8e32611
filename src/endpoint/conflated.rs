//! Reading only the newest message of each key.
//!
//! Layer 5. Takes all messages that a reader has, keeps the newest of each key in private memory, and hands
//! those out in the order of their sequences.

use super::consumer::Consumer;
use super::error::{ReceiveError, TryReceiveError};
use super::message::Message;
use super::observer::{Observer, Payload, Received};
use crate::attach::shown;
use crate::layout::gap::Why;
use crate::wait::Deadline;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Hands out the newest message of each key, for a reader that has fallen behind: made by
/// [`Observer::conflated`] and [`Consumer::conflated`].
///
/// # Guarantees
/// - Each message that is returned is the newest of its key among all that were in the ring at the call. It
///   has the sequence it has in the ring, and messages come in the order of their sequences.
/// - No loss is silent: `handed out + skipped + lost + missing + waiting` is the number of sequences since the start,
///   exactly. Those that were [`skipped`](ConflatedMessage::skipped) had a newer one of the same key; those
///   that are lost were overwritten before they could be read, and may have been the newest of their key. An
///   observer is told of them by [`Lapped`](Conflation::Lapped). A consumer loses messages only in a ring that
///   [evicts](crate::endpoint::Builder::evict_after), if it did not call for that long, and the next message says
///   how many are [missing](ConflatedMessage::missed). Those that do not [exist](Self::missing_count) were never
///   there, since the producer [skipped](crate::Producer::skip_to) them; an observer is told of them by
///   [`Gap`](Conflation::Gap).
/// - A reader that keeps up gets every message.
/// - Private memory holds one message for each key that waits, and no more. So keys have to be few: if each
///   message has its own key, nothing is ever skipped, a consumer does not hold the producer back, and
///   memory grows with every message that was not handed out yet.
///
/// # What others may change meanwhile
/// The producer adds messages at any time.
///
/// ```
/// use slipring::endpoint::Conflation;
/// use slipring::{Ring, Start};
///
/// let ring = Ring::heap().create()?;
/// let mut producer = ring.producer()?;
/// let symbol = |message: &[u8]| message[0];
/// let mut screen = ring.observer(Start::Oldest)?.conflated(symbol);
/// for quote in ["a1", "b1", "a2", "a3"] {
///     producer.publish(quote.as_bytes())?;
/// }
/// producer.close();
///
/// let mut seen = Vec::new();
/// while let Conflation::Message(quote) = screen.receive()? {
///     seen.push((quote.sequence(), String::from_utf8_lossy(&quote).into_owned(), quote.skipped()));
/// }
/// assert_eq!(seen, [(1, "b1".to_string(), 0), (3, "a3".to_string(), 2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Conflated<R, K, F> {
    reader: R,
    key: F,
    /// The pending messages, by key and by sequence.
    newest: HashMap<K, Kept>,
    /// Keyed by the distance from the first message, which stays in order if sequences wrap.
    order: BTreeMap<u64, K>,
    first: Option<u64>,
    /// Buffers of messages that were handed out, to be used again.
    spare: Vec<Vec<u8>>,
    /// The message that is handed out.
    out: Kept,
    passed: Option<Passed>,
    /// Losses before pending messages, keyed as `order` is; the message there may have been replaced since.
    losses: BTreeMap<u64, u64>,
    /// Losses of the reader that were told before it was conflated.
    told_before: u64,
    counts: Counts,
}

shown!([R: core::fmt::Debug, K, F] Conflated<R, K, F>, "Conflated", |conflated| reader = conflated.reader, waiting = conflated.order.len());

/// The newest message of a key.
#[derive(Debug, Default)]
struct Kept {
    sequence: u64,
    skipped: u64,
    missed: u64,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    handed_out: u64,
    skipped: u64,
    lost: u64,
    missing: u64,
}

/// What the reader has passed and is to be told of.
#[derive(Clone, Copy, Debug)]
enum Passed {
    Lost(u64, u64),
    Gap(u64, u64, Why),
}

impl From<Passed> for Conflation<'_> {
    fn from(passed: Passed) -> Self {
        match passed {
            Passed::Lost(lost, resumed_at) => Self::Lapped { lost, resumed_at },
            Passed::Gap(missing, resumed_at, why) => Self::Gap {
                missing,
                resumed_at,
                why,
            },
        }
    }
}

/// What a [`Conflated`] reader returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Conflation<'c> {
    /// The newest message of a key.
    Message(ConflatedMessage<'c>),
    /// The producer overtook the observer.
    Lapped {
        /// How many messages are gone.
        lost: u64,
        /// Sequence of the message that was read next.
        resumed_at: u64,
    },
    /// The producer skipped sequences, which do not exist.
    Gap {
        /// How many sequences do not exist.
        missing: u64,
        /// Sequence of the message that was read next.
        resumed_at: u64,
        /// Why they do not exist.
        why: Why,
    },
    /// The producer closed the ring and everything has been read.
    Closed,
}

/// The newest message of a key.
pub struct ConflatedMessage<'c> {
    kept: &'c Kept,
}

shown!([] ConflatedMessage<'_>, "ConflatedMessage", |message| sequence = message.sequence(), skipped = message.skipped(), len = message.kept.bytes.len());

impl ConflatedMessage<'_> {
    /// Returns the number of the message in the ring.
    pub fn sequence(&self) -> u64 {
        self.kept.sequence
    }

    /// Returns how many older messages of the same key it replaces.
    pub fn skipped(&self) -> u64 {
        self.kept.skipped
    }

    /// Returns how many messages between the one that was handed out before and this one its consumer will never get, as
    /// [`Message::missed`]. Always 0 for a message of an observer, to which losses come as [`Conflation::Lapped`].
    pub fn missed(&self) -> u64 {
        self.kept.missed
    }
}

impl core::ops::Deref for ConflatedMessage<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.kept.bytes
    }
}

/// What a reader has next.
#[derive(Debug)]
pub enum Next<'r> {
    /// A message.
    Message {
        /// Its number.
        sequence: u64,
        /// Messages directly before it that are lost.
        missed: u64,
        /// Its bytes.
        bytes: &'r [u8],
    },
    /// Some messages were missed.
    Lapped(u64, u64),
    /// Some sequences do not exist.
    Gap(u64, u64, Why),
    /// Some sequences before the message did not exist.
    Missing(u64),
    /// No message now, or none until the deadline.
    Nothing,
    /// The ring was closed.
    Closed,
}

/// A reader whose messages can be conflated: [`Observer`] and [`Consumer`].
pub trait Conflatable: sealed::Sealed {
    /// Takes the next message, and lets `see` look at it. Waits for it if there is a deadline.
    #[doc(hidden)]
    fn take_next(
        &mut self,
        wait: Option<Deadline>,
        see: &mut dyn FnMut(Next<'_>),
    ) -> Result<(), ReceiveError>;

    /// Bytes of data of the ring.
    #[doc(hidden)]
    fn ring_bytes(&self) -> u64;

    /// How many messages it has lost that it tells of by [`Message::missed`]: in all, and told of already.
    #[doc(hidden)]
    fn losses_and_told(&self) -> (u64, u64) {
        (0, 0)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Observer {}
    impl Sealed for super::Consumer {}
}

/// Converts an error of a call that does not wait; outcomes that are no errors become [`Next`] values.
fn not_waiting(error: TryReceiveError) -> Result<Next<'static>, ReceiveError> {
    Err(match error {
        TryReceiveError::Empty => return Ok(Next::Nothing),
        TryReceiveError::Closed => return Ok(Next::Closed),
        TryReceiveError::ProducerGone { next } => ReceiveError::ProducerGone { next },
        TryReceiveError::Expelled { next } => ReceiveError::Expelled { next },
        TryReceiveError::WrongSize {
            sequence,
            len,
            expected,
        } => ReceiveError::WrongSize {
            sequence,
            len,
            expected,
        },
        TryReceiveError::Poisoned => ReceiveError::Poisoned,
        TryReceiveError::Removed => ReceiveError::Removed,
        TryReceiveError::Corrupt(corrupt) => ReceiveError::Corrupt(corrupt),
        TryReceiveError::Forked => ReceiveError::Forked,
    })
}

/// Like [`not_waiting`], for an error of a call that waits.
fn waiting(error: ReceiveError) -> Result<Next<'static>, ReceiveError> {
    match error {
        ReceiveError::TimedOut => Ok(Next::Nothing),
        error => Err(error),
    }
}

impl Observer {
    /// Reads only the newest message of each key from now on: what `key` makes of a message.
    pub fn conflated<K, F>(self, key: F) -> Conflated<Self, K, F>
    where
        K: Hash + Eq + Clone,
        F: FnMut(&[u8]) -> K,
    {
        Conflated::new(self, key)
    }
}

impl Conflatable for Observer {
    fn take_next(
        &mut self,
        wait: Option<Deadline>,
        see: &mut dyn FnMut(Next<'_>),
    ) -> Result<(), ReceiveError> {
        let next = |received: Received<'_>, see: &mut dyn FnMut(Next<'_>)| match received {
            Received::Message(message) => see(of_payload(&message)),
            Received::Lapped { lost, resumed_at } => see(Next::Lapped(lost, resumed_at)),
            Received::Skipped {
                skipped,
                resumed_at,
                why,
            } => see(Next::Gap(skipped, resumed_at, why)),
            Received::Closed => see(Next::Closed),
        };
        match wait {
            None => match self.try_receive() {
                Ok(received) => next(received, see),
                Err(error) => see(not_waiting(error)?),
            },
            Some(deadline) => match self.receive_until(deadline) {
                Ok(received) => next(received, see),
                Err(error) => see(waiting(error)?),
            },
        }
        Ok(())
    }

    fn ring_bytes(&self) -> u64 {
        self.capacity_bytes()
    }
}

fn of_payload<'p>(message: &Payload<'p>) -> Next<'p> {
    Next::Message {
        sequence: message.sequence(),
        missed: message.missed(),
        bytes: message.bytes(),
    }
}

impl Consumer {
    /// Reads only the newest message of each key from now on: what `key` makes of a message.
    pub fn conflated<K, F>(self, key: F) -> Conflated<Self, K, F>
    where
        K: Hash + Eq + Clone,
        F: FnMut(&[u8]) -> K,
    {
        Conflated::new(self, key)
    }
}

fn of_message<'m>(message: &'m Message<'_>) -> Next<'m> {
    Next::Message {
        sequence: message.sequence(),
        missed: message.missed(),
        bytes: message,
    }
}

/// Takes the next message of a consumer.
fn take_one(
    consumer: &mut Consumer,
    wait: Option<Deadline>,
    see: &mut dyn FnMut(Next<'_>),
) -> Result<(), ReceiveError> {
    match wait {
        None => match consumer.try_receive() {
            Ok(message) => see(of_message(&message)),
            Err(error) => see(not_waiting(error)?),
        },
        Some(deadline) => match consumer.receive_until(deadline) {
            Ok(Some(message)) => see(of_message(&message)),
            Ok(None) => see(Next::Closed),
            Err(error) => see(waiting(error)?),
        },
    }
    Ok(())
}

impl Conflatable for Consumer {
    fn take_next(
        &mut self,
        wait: Option<Deadline>,
        see: &mut dyn FnMut(Next<'_>),
    ) -> Result<(), ReceiveError> {
        let before = self.losses().skipped;
        let result = take_one(self, wait, see);
        let missing = self.losses().skipped.wrapping_sub(before);
        if missing > 0 {
            see(Next::Missing(missing));
        }
        result
    }

    fn ring_bytes(&self) -> u64 {
        self.capacity_bytes()
    }

    fn losses_and_told(&self) -> (u64, u64) {
        (self.losses().evicted, self.told())
    }
}

/// The result of one read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Something,
    Nothing,
    Closed,
}

impl<R: Conflatable, K: Hash + Eq + Clone, F: FnMut(&[u8]) -> K> Conflated<R, K, F> {
    pub(super) fn new(reader: R, key: F) -> Self {
        let (_, told_before) = reader.losses_and_told();
        Self {
            reader,
            key,
            newest: HashMap::new(),
            order: BTreeMap::new(),
            first: None,
            spare: Vec::new(),
            out: Kept::default(),
            passed: None,
            losses: BTreeMap::new(),
            told_before,
            counts: Counts::default(),
        }
    }

    /// Waits for a message. Returns the pending message with the lowest sequence; at most the newest one of
    /// each key is pending.
    ///
    /// # Errors
    /// As the reader's own `receive`. Pending messages come first.
    pub fn receive(&mut self) -> Result<Conflation<'_>, ReceiveError> {
        self.receive_until(Deadline::NEVER)
    }

    /// Like [`receive`](Self::receive), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::TimedOut`].
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Conflation<'_>, ReceiveError> {
        let deadline = deadline.into();
        // Only a call that waits returns the end: it reports an end once, and then waits for the next
        // producer.
        let mut over = self.gather().map(|_| Found::Something);
        loop {
            if self.pop() {
                return Ok(Conflation::Message(ConflatedMessage { kept: &self.out }));
            }
            // The place of the loss: behind the messages that were read before.
            if let Some(passed) = self.passed.take() {
                return Ok(passed.into());
            }
            match over? {
                Found::Closed => return Ok(Conflation::Closed),
                Found::Nothing => return Err(ReceiveError::TimedOut),
                Found::Something => over = self.take(Some(deadline)),
            }
        }
    }

    /// Like [`receive`](Self::receive), without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TryReceiveError::Empty`].
    pub fn try_receive(&mut self) -> Result<Conflation<'_>, TryReceiveError> {
        let over = self.gather();
        if self.pop() {
            return Ok(Conflation::Message(ConflatedMessage { kept: &self.out }));
        }
        if let Some(passed) = self.passed.take() {
            return Ok(passed.into());
        }
        match over {
            Ok(Found::Closed) => Ok(Conflation::Closed),
            Ok(Found::Something | Found::Nothing) => Err(TryReceiveError::Empty),
            Err(error) => Err(match error {
                ReceiveError::ProducerGone { next } => TryReceiveError::ProducerGone { next },
                ReceiveError::Expelled { next } => TryReceiveError::Expelled { next },
                ReceiveError::Poisoned => TryReceiveError::Poisoned,
                ReceiveError::Removed => TryReceiveError::Removed,
                ReceiveError::Corrupt(corrupt) => TryReceiveError::Corrupt(corrupt),
                ReceiveError::Forked => TryReceiveError::Forked,
                // Only a call that waits finds out.
                _ => TryReceiveError::Empty,
            }),
        }
    }

    /// Returns how many keys have a message that waits to be handed out.
    pub fn waiting(&self) -> usize {
        self.order.len()
    }

    /// Returns how many messages were handed out.
    pub fn handed_out_count(&self) -> u64 {
        self.counts.handed_out
    }

    /// Returns how many messages had a newer one of the same key before they were handed out.
    pub fn skipped_count(&self) -> u64 {
        self.counts.skipped
    }

    /// Returns how many messages were overwritten before they were read, also those that no message has followed yet.
    pub fn lost_count(&self) -> u64 {
        let (losses, _) = self.reader.losses_and_told();
        let told = losses.wrapping_sub(self.told_before);
        self.counts.lost.wrapping_add(told)
    }

    /// Returns how many sequences did not exist: the producer skipped them.
    pub fn missing_count(&self) -> u64 {
        self.counts.missing
    }

    /// Gives the reader back. Pending messages are dropped.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Takes the messages that are there, at most one capacity of them, so that a fast producer cannot keep
    /// this busy for ever.
    fn gather(&mut self) -> Result<Found, ReceiveError> {
        let mut left = self.reader.ring_bytes() / 8;
        loop {
            match self.take(None) {
                Ok(Found::Something) if left > 0 => left -= 1,
                found => return found,
            }
        }
    }

    /// Takes one message, or the reason why there is none.
    fn take(&mut self, wait: Option<Deadline>) -> Result<Found, ReceiveError> {
        // Reported before messages behind it are mixed with those before it.
        if self.passed.is_some() {
            return Ok(Found::Nothing);
        }
        let mut found = Found::Nothing;
        let Self {
            reader,
            key,
            newest,
            order,
            first,
            spare,
            passed,
            losses,
            counts,
            ..
        } = self;
        reader.take_next(wait, &mut |next| match next {
            Next::Nothing => {}
            Next::Closed => found = Found::Closed,
            Next::Lapped(lost, resumed_at) => {
                found = Found::Something;
                counts.lost = counts.lost.wrapping_add(lost);
                *passed = Some(Passed::Lost(lost, resumed_at));
            }
            Next::Gap(missing, resumed_at, why) => {
                found = Found::Something;
                counts.missing = counts.missing.wrapping_add(missing);
                *passed = Some(Passed::Gap(missing, resumed_at, why));
            }
            Next::Missing(missing) => counts.missing = counts.missing.wrapping_add(missing),
            Next::Message {
                sequence,
                missed,
                bytes,
            } => {
                found = Found::Something;
                let first = *first.get_or_insert(sequence);
                let place = |sequence: u64| sequence.wrapping_sub(first);
                if missed > 0 {
                    losses.insert(place(sequence), missed);
                }
                let key = key(bytes);
                let kept = match newest.entry(key.clone()) {
                    Entry::Vacant(vacant) => vacant.insert(Kept {
                        bytes: spare.pop().unwrap_or_default(),
                        ..Kept::default()
                    }),
                    Entry::Occupied(older) => {
                        let kept = older.into_mut();
                        order.remove(&place(kept.sequence));
                        kept.skipped += 1;
                        counts.skipped += 1;
                        kept
                    }
                };
                kept.sequence = sequence;
                kept.bytes.clear();
                kept.bytes.extend_from_slice(bytes);
                order.insert(place(sequence), key);
            }
        })?;
        Ok(found)
    }

    /// Moves the oldest pending message to the one that is handed out. Returns `false` if none is pending.
    fn pop(&mut self) -> bool {
        let Some((place, key)) = self.order.pop_first() else {
            return false;
        };
        let Some(mut kept) = self.newest.remove(&key) else {
            return false;
        };
        while let Some(loss) = self.losses.first_entry() {
            if *loss.key() > place {
                break;
            }
            kept.missed = kept.missed.wrapping_add(loss.remove());
        }
        let last = std::mem::replace(&mut self.out, kept);
        self.spare.push(last.bytes);
        self.counts.handed_out += 1;
        true
    }
}
