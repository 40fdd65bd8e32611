//! How a reader waits for the next message, and how it notices that none will come: one implementation for
//! consumers and observers.
//!
//! Layer 5. Every turn of the loop checks the deadline and, at intervals, the producer, independent of the
//! stream: a stream that is damaged, or written by a peer that breaks the protocol, may look for ever as if
//! a message were there.
//!
//! The end of a stream is reported once, and at once, to a caller that waits and to a wait set. A caller
//! that waits again waits for the next producer, which rings the same bell when it attaches.

use super::error::{ReceiveError, TryReceiveError};
use super::interrupted::Interrupted;
use super::trouble::producer_gone;
use crate::attach::Attachment;
use crate::layout::lines::{Bell, ProducerState};
use crate::ring::consumer::{epoch, producer_state};
use crate::segment::Memory;
use crate::wait::{until, Again, Deadline, Outcome, Since, Strategy, Waited};

/// A reader that can wait.
pub(super) trait Reader: Waited {
    /// What it waits for.
    type Next;

    /// The next message, if it is there.
    fn look(&mut self) -> Result<Option<Self::Next>, Interrupted>;

    /// The ring it reads.
    fn ring(&self) -> &Attachment;

    /// Its position in the ring.
    fn memory(&self) -> &Memory;

    /// Sequence of the next message.
    fn sequence(&self) -> u64;

    /// How it waits, and whether the producer can wake it.
    fn strategy(&self) -> (Strategy, bool);

    /// Returns `true` if it was evicted.
    fn displaced(&self) -> bool {
        false
    }

    /// What it knows of the end of the stream.
    fn end(&mut self) -> &mut End;

    /// Whether it has slept before.
    fn slept(&mut self) -> &mut bool;
}

/// What a reader knows of the end of its stream, and to which callers it has reported it. An end belongs to
/// the epoch of a producer: the next one begins another.
#[derive(Debug, Default)]
pub(super) struct End {
    asked: Since,
    /// The producer that is known to have died, or whose ring a wait set found to be cut short.
    dead: Option<u64>,
    /// The producer whose closing was reported to a caller that waits.
    told: Option<u64>,
    /// The producer whose end a wait set has reported.
    announced: Option<u64>,
}

impl End {
    /// Returns `true` if a call that found nothing has to ask whether the producer is alive.
    #[inline(always)]
    fn asks(&mut self) -> bool {
        self.asked.due()
    }

    /// No end is known, and none was reported.
    #[inline(always)]
    fn is_unknown(&self) -> bool {
        self.dead.is_none() && self.told.is_none() && self.announced.is_none()
    }

    /// The stream of this producer goes on, by the producer's own state.
    fn goes_on(&mut self, epoch: u64) {
        if self.dead != Some(epoch) {
            (self.told, self.announced) = (None, None);
        }
    }

    /// The last producer whose end this reader was told of, or knows.
    pub(super) fn last(&self) -> Option<u64> {
        self.told.max(self.dead).max(self.announced)
    }

    /// Returns `true` the first time it is called for this producer's end.
    fn announce(&mut self, epoch: u64) -> bool {
        self.announced.replace(epoch) != Some(epoch)
    }
}

/// How a wait that finds nothing ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The end is reported once; the caller then waits for the next producer. Before a deadline passes, the
    /// wait asks whether the producer is alive.
    Alone,
    /// For one of a pair, which checks the other side itself: the end is reported each time.
    Paired,
}

/// Returns `true` if the producer closed the ring. If not, resets what was reported.
fn closed<R: Reader>(reader: &mut R, number: u64) -> bool {
    let closed = producer_state(reader.memory()) == ProducerState::Closed;
    if !closed {
        reader.end().goes_on(number);
    }
    closed
}

/// The producer's number.
fn number<R: Reader>(reader: &R) -> u64 {
    epoch(reader.memory()).number
}

/// The answer of [`Waited::over`] for a reader: no message will come, and this was not reported yet.
pub(super) fn over<R: Reader>(reader: &mut R) -> bool {
    let number = number(reader);
    reader.displaced() || closed(reader, number) && reader.end().told != Some(number)
}

/// The answer of [`Waited::gone`] for a reader: its producer is dead, or the ring was truncated.
pub(super) fn gone<R: Reader>(reader: &mut R) -> bool {
    let state = producer_state(reader.memory());
    reader.ring().trouble().is_some() || producer_gone(reader.ring(), state)
}

/// The next message; `None` once the ring is closed.
pub(super) fn wait_for_next<R: Reader>(
    reader: &mut R,
    deadline: Deadline,
    manner: Manner,
) -> Result<Option<R::Next>, ReceiveError> {
    let memory = reader.memory().clone();
    let (strategy, can_be_woken) = reader.strategy();
    let control = memory.control().filter(|_| can_be_woken);
    let bell: Option<&Bell> = control.map(|control| &control.data);
    let mut again = Again::default();
    let mut ends = None;
    loop {
        let outcome = match ends.take() {
            Some(outcome) => outcome,
            None => {
                let mut slept = *reader.slept();
                let outcome = until(reader, strategy, bell, deadline, &mut slept);
                *reader.slept() = slept;
                outcome
            }
        };
        let number = number(reader);
        let closed = closed(reader, number);
        let outcome = match outcome {
            Outcome::TimedOut if manner == Manner::Alone && !closed && reader.gone() => {
                Outcome::Gone
            }
            outcome => outcome,
        };
        // In every case, messages that were committed before come first.
        if let Some(next) = reader.look()? {
            return Ok(Some(next));
        }
        match outcome {
            Outcome::Over | Outcome::TimedOut if closed => {
                if manner == Manner::Alone {
                    reader.end().told = Some(number);
                }
                return Ok(None);
            }
            // The message was overtaken or taken back, which may happen at every turn.
            Outcome::Ready | Outcome::Over => ends = again.ends(reader, deadline),
            Outcome::TimedOut => return Err(ReceiveError::TimedOut),
            Outcome::Gone => {
                if let Some(trouble) = reader.ring().trouble() {
                    return Err(Interrupted::from(trouble).into());
                }
                reader.end().dead = Some(number);
                return Err(ReceiveError::ProducerGone {
                    next: reader.sequence(),
                });
            }
        }
    }
}

/// The result of a call that does not wait and found nothing; `closed` was read before the call looked. If
/// the producer is dead, messages it committed meanwhile come first.
#[inline(always)]
pub(super) fn nothing_there<R: Reader>(
    reader: &mut R,
    was_closed: bool,
) -> Result<R::Next, TryReceiveError> {
    let asks = reader.end().asks();
    if !was_closed && !asks && reader.end().is_unknown() {
        return Err(TryReceiveError::Empty);
    }
    ended_perhaps(reader, was_closed, asks)
}

#[cold]
#[inline(never)]
fn ended_perhaps<R: Reader>(
    reader: &mut R,
    was_closed: bool,
    asks: bool,
) -> Result<R::Next, TryReceiveError> {
    let number = number(reader);
    if was_closed {
        return Err(TryReceiveError::Closed);
    }
    reader.end().goes_on(number);
    if reader.end().dead != Some(number) {
        if !asks {
            return Err(TryReceiveError::Empty);
        }
        let state = producer_state(reader.memory());
        if producer_gone(reader.ring(), state) {
            reader.end().dead = Some(number);
        } else if reader.ring().trouble().is_none() {
            return Err(TryReceiveError::Empty);
        }
    }
    if let Some(next) = reader.look()? {
        return Ok(next);
    }
    match reader.ring().trouble() {
        Some(trouble) => Err(Interrupted::from(trouble).into()),
        None => Err(TryReceiveError::ProducerGone {
            next: reader.sequence(),
        }),
    }
}

/// Returns `true` if a reader has something to report; an end only once. Loads only.
pub(super) fn reports<R: Reader>(reader: &mut R) -> bool {
    let number = number(reader);
    let ended = closed(reader, number) || reader.end().dead == Some(number);
    // Messages that were committed before the end come first.
    reader.ready() || reader.displaced() || ended && reader.end().announce(number)
}

/// Returns `true` if a reader has to report that its producer died or the ring was truncated.
pub(super) fn reports_death<R: Reader>(reader: &mut R) -> bool {
    let number = number(reader);
    if closed(reader, number) || reader.end().dead == Some(number) || !reader.gone() {
        return false;
    }
    reader.end().dead = Some(number);
    reader.ready() || reader.end().announce(number)
}
