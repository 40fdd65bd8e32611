//! How a reader waits for what comes next, and how it learns that nothing will: one way for consumers and
//! observers.
//!
//! Layer 5. Every turn of the loop looks at the deadline and, now and then, at the producer, whatever the
//! stream says: a stream that is damaged, or written by a peer that breaks the protocol, may look as if
//! something were there for ever.
//!
//! The end of a stream is told once, at once, to a caller that waits and to a wait set. A caller that
//! waits on waits for the next producer, whose attaching rings the same bell.

use super::error::{ReceiveError, TryReceiveError};
use super::interrupted::Interrupted;
use super::ring::Ring;
use super::trouble::producer_gone;
use crate::layout::lines::{Bell, ProducerState};
use crate::ring::consumer::{epoch, producer_state};
use crate::segment::Memory;
use crate::wait::{until, Again, Deadline, Outcome, Since, Strategy, Waited};

/// A reader that can wait.
pub(super) trait Reader: Waited {
    /// What it waits for.
    type Next;

    /// What comes next, if it is there.
    fn look(&mut self) -> Result<Option<Self::Next>, Interrupted>;

    /// The ring it reads.
    fn ring(&self) -> &Ring;

    /// What it reads of it.
    fn memory(&self) -> &Memory;

    /// Sequence of the next message.
    fn sequence(&self) -> u64;

    /// How it waits, and whether the producer can wake it.
    fn strategy(&self) -> (Strategy, bool);

    /// Returns `true` if the producer went on without it.
    fn displaced(&self) -> bool {
        false
    }

    /// What it knows of the end.
    fn end(&mut self) -> &mut End;

    /// Whether it has slept before.
    fn slept(&mut self) -> &mut bool;
}

/// What a reader knows of the end of its stream, and whom it has told. An end belongs to the epoch of a
/// producer: the next one begins another.
#[derive(Debug, Default)]
pub(super) struct End {
    asked: Since,
    /// The producer that is known to have died, or whose ring a wait set found to be cut short.
    dead: Option<u64>,
    /// The producer whose closing was told to a caller that waits.
    told: Option<u64>,
    /// The producer whose end a wait set has reported.
    announced: Option<u64>,
}

impl End {
    /// Returns `true` if a call that found nothing asks for the producer.
    #[inline(always)]
    fn asks(&mut self) -> bool {
        self.asked.due()
    }

    /// Nothing is known of an end, and nobody was told of one.
    #[inline(always)]
    fn is_unknown(&self) -> bool {
        self.dead.is_none() && self.told.is_none() && self.announced.is_none()
    }

    /// The stream of this producer goes on, as far as it says.
    fn goes_on(&mut self, epoch: u64) {
        if self.dead != Some(epoch) {
            (self.told, self.announced) = (None, None);
        }
    }

    /// Returns `true` the first time it is told of this producer's end.
    fn announce(&mut self, epoch: u64) -> bool {
        self.announced.replace(epoch) != Some(epoch)
    }
}

/// How a wait ends that finds nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The end is told once; the caller then waits for the next producer. A deadline does not pass without
    /// a question for the producer.
    Alone,
    /// One of a pair, who asks for the other by itself: the end is told each time.
    Paired,
}

/// Returns `true` if the producer closed the ring. If not, nobody was told of an end yet.
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

/// What [`Waited::over`] says of a reader: nothing more will come, and its caller does not know.
pub(super) fn over<R: Reader>(reader: &mut R) -> bool {
    let number = number(reader);
    reader.displaced() || closed(reader, number) && reader.end().told != Some(number)
}

/// What [`Waited::gone`] says of a reader: its producer is dead, or the ring was cut short.
pub(super) fn gone<R: Reader>(reader: &mut R) -> bool {
    let state = producer_state(reader.memory());
    reader.ring().trouble().is_some() || producer_gone(reader.ring(), state)
}

/// What comes next; nothing once the ring is closed.
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
        // Whatever the outcome, what was committed before it comes first.
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
            // It was overtaken or taken back, and may be so at every turn.
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

/// What a call says that does not wait and found nothing; `closed` was asked before it looked. Where the
/// producer is dead, what it committed meanwhile comes first.
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
        let state = producer_state(reader.memory());
        if !asks || !producer_gone(reader.ring(), state) {
            return Err(TryReceiveError::Empty);
        }
        reader.end().dead = Some(number);
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

/// Returns `true` if a reader has something to report, as far as loads can tell; an end only once.
pub(super) fn reports<R: Reader>(reader: &mut R) -> bool {
    let number = number(reader);
    let ended = closed(reader, number) || reader.end().dead == Some(number);
    // What was committed before the end comes before it.
    reader.ready() || reader.displaced() || ended && reader.end().announce(number)
}

/// Returns `true` if a reader has the death of its producer to report, or that the ring was cut short.
pub(super) fn reports_death<R: Reader>(reader: &mut R) -> bool {
    let number = number(reader);
    if closed(reader, number) || reader.end().dead == Some(number) || !reader.gone() {
        return false;
    }
    reader.end().dead = Some(number);
    reader.ready() || reader.end().announce(number)
}
