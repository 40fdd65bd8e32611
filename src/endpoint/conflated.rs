//! Reading only the newest message of each key.
//!
//! Layer 5. Takes all messages that a reader has, keeps the newest of each key in private memory, and hands
//! those out in the order of their sequences.

mod source;

use super::consumer::Consumer;
use super::error::{ReceiveError, TryReceiveError};
use super::observer::Observer;
use crate::attach::shown;
use crate::layout::gap::Why;
use crate::wait::Deadline;
pub use source::Conflatable;
use source::Next;
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
    /// [`Message::missed`](crate::Message::missed). Always 0 for a message of an observer, to which losses come as [`Conflation::Lapped`].
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
