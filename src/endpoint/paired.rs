//! One direction between two processes in a pact: sending to exactly one reader, and receiving from exactly
//! one writer. Each is told when the other is gone.
//!
//! Layer 5. In addition to the ring, it checks whether the other side is still there: one load for every
//! message, and a system call at intervals.

use super::consumer::Consumer;
use super::error::{PublishError, ReceiveError, TryPublishError};
use super::interrupted::Interrupted;
use super::meeting::Meeting;
use super::message::Message;
use super::producer::Producer;
use super::waiting::Reader;
use crate::layout::lines::ProducerState;
use crate::ring::consumer::{producer_state, Arrived};
use crate::segment::Memory;
use crate::wait::bell::LONGEST_SLEEP;
use crate::wait::{Deadline, Since, Waited};
use core::time::Duration;

/// Why nothing was sent or received.
#[derive(Debug)]
pub(crate) enum PairedError {
    /// The other side left or died, and everything it sent has been received.
    Gone,
    /// The deadline passed.
    TimedOut,
    /// There is no room now.
    Full,
    /// There is no message now.
    Empty,
    /// Another error of sending.
    Publish(PublishError),
    /// Another error of receiving.
    Receive(ReceiveError),
}

/// What the end of a pair is to a wait set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The pair is met anew. The end is reported once, and again when another process comes or goes on the other
    /// side.
    Anew,
    /// It is the end of a stream, which may be closed without leaving the pact. It is reported once.
    Once,
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Outgoing {
    producer: Producer,
    /// Bytes that may be sent before the sender asks again whether the reader is alive.
    left: u64,
    whole: u64,
    capacity: u64,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Incoming {
    consumer: Consumer,
    held: Option<Arrived>,
    /// When a call that found nothing last asked whether the other side is alive.
    asked: Since,
    /// Whether the other side is known to be dead, until another pact.
    dead: bool,
    /// What the other side said when a wait set last reported its end.
    announced: Option<u64>,
}

impl Outgoing {
    pub(crate) fn new(producer: Producer, capacity: u64) -> Self {
        Self {
            producer,
            left: capacity / 8,
            whole: capacity / 8,
            capacity,
        }
    }

    /// Where the next frame begins.
    pub(crate) fn position(&self) -> u64 {
        self.producer.position()
    }

    /// Where it sleeps for room, and whether it may.
    #[cfg(feature = "async")]
    pub(crate) fn room(&self) -> (&Memory, bool) {
        self.producer.room()
    }

    /// Records that the other side is gone for good: a dead reader no longer holds the sender back.
    #[cold]
    fn gone(&mut self) -> PairedError {
        if self.producer.canary.forked() {
            // A fork has no part in the pact, so to it the pact looks broken.
            return PairedError::Publish(PublishError::Forked);
        }
        (self.left, self.whole) = (0, 0);
        PairedError::Gone
    }

    /// Another process is on the other side.
    pub(crate) fn begin_anew(&mut self) {
        self.whole = self.capacity / 8;
        self.left = self.whole;
    }

    /// Returns `true` if it is time to ask again.
    #[inline(always)]
    fn spend(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                false
            }
            None => {
                self.left = self.whole;
                true
            }
        }
    }

    #[inline(always)]
    fn send_at_once(
        &mut self,
        meeting: &Meeting,
        message: &[u8],
    ) -> Result<Option<u64>, PairedError> {
        // Checked first: a forked child does not have the words that say whether the other side is there.
        if self.producer.disturbed() {
            return Ok(None);
        }
        if meeting.broken() || self.spend(message.len() + 8) && meeting.gone() {
            return Err(self.gone());
        }
        Ok(self.producer.publish_undisturbed(message))
    }

    /// Sends, waiting for room until a deadline.
    #[inline(always)]
    pub(crate) fn send(
        &mut self,
        meeting: &Meeting,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<u64, PairedError> {
        match self.send_at_once(meeting, message)? {
            Some(number) => Ok(number),
            None => self.send_slowly(meeting, message, deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn send_slowly(
        &mut self,
        meeting: &Meeting,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<u64, PairedError> {
        loop {
            let slice = Deadline::after(LONGEST_SLEEP).earlier(deadline);
            match self.producer.publish_until(message, slice) {
                Ok(number) => return Ok(number),
                Err(PublishError::TimedOut { .. }) if meeting.gone() => return Err(self.gone()),
                Err(PublishError::TimedOut { .. }) if deadline.passed() => {
                    return Err(PairedError::TimedOut)
                }
                Err(PublishError::TimedOut { .. }) => {}
                Err(error) => return Err(PairedError::Publish(error)),
            }
        }
    }

    /// Sends if there is room now.
    #[inline(always)]
    pub(crate) fn try_send(
        &mut self,
        meeting: &Meeting,
        message: &[u8],
    ) -> Result<u64, PairedError> {
        match self.send_at_once(meeting, message)? {
            Some(number) => Ok(number),
            None => self.try_send_slowly(meeting, message),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_send_slowly(&mut self, meeting: &Meeting, message: &[u8]) -> Result<u64, PairedError> {
        let error = match self.producer.try_publish(message) {
            Ok(number) => return Ok(number),
            Err(error) => error,
        };
        Err(match error {
            TryPublishError::TooLarge { len, max } => {
                PairedError::Publish(PublishError::TooLarge { len, max })
            }
            TryPublishError::Forked => PairedError::Publish(PublishError::Forked),
            TryPublishError::Poisoned => PairedError::Publish(PublishError::Poisoned),
            TryPublishError::Removed => PairedError::Publish(PublishError::Removed),
            _ if meeting.gone() => self.gone(),
            _ => PairedError::Full,
        })
    }
}

impl Incoming {
    pub(crate) fn new(mut consumer: Consumer) -> Self {
        consumer.refuse_gaps();
        Self {
            consumer,
            held: None,
            asked: Since::default(),
            dead: false,
            announced: None,
        }
    }

    /// Waits for a message until a deadline.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        meeting: &Meeting,
        deadline: Deadline,
    ) -> Result<Message<'_>, PairedError> {
        let arrived = self.arrive(meeting, deadline)?;
        Ok(self.consumer.message(arrived))
    }

    /// The next message, if it is there.
    #[inline(always)]
    pub(crate) fn try_receive(&mut self, meeting: &Meeting) -> Result<Message<'_>, PairedError> {
        let arrived = self.try_arrived(meeting)?;
        Ok(self.consumer.message(arrived))
    }

    /// The next message, if it is there, not yet lent.
    #[inline(always)]
    pub(crate) fn try_arrived(&mut self, meeting: &Meeting) -> Result<Arrived, PairedError> {
        self.let_go();
        match self.consumer.take() {
            Some(arrived) => Ok(arrived),
            None => self.look_again(meeting),
        }
    }

    /// Lends what arrived.
    #[cfg(feature = "async")]
    pub(crate) fn message(&mut self, arrived: Arrived) -> Message<'_> {
        self.consumer.message(arrived)
    }

    /// The next message, if it is there, and keeps it.
    #[inline(always)]
    pub(crate) fn try_hold_next(&mut self, meeting: &Meeting) -> Result<(), PairedError> {
        let arrived = self.try_arrived(meeting)?;
        self.held = Some(arrived);
        Ok(())
    }

    /// Waits for a message until a deadline, and keeps it.
    #[inline(always)]
    pub(crate) fn hold_next(
        &mut self,
        meeting: &Meeting,
        deadline: Deadline,
    ) -> Result<(), PairedError> {
        let arrived = self.arrive(meeting, deadline)?;
        self.held = Some(arrived);
        Ok(())
    }

    /// The message that is kept; empty if there is none.
    #[inline(always)]
    pub(crate) fn held(&self) -> &[u8] {
        self.held
            .map_or(&[], |arrived| self.consumer.bytes(arrived))
    }

    /// Gives back the message that is kept.
    #[inline(always)]
    pub(crate) fn let_go(&mut self) {
        if let Some(arrived) = self.held.take() {
            // A message that is dropped is given back.
            drop(self.consumer.message(arrived));
        }
    }

    /// Prepares for another pact: takes the messages that are there and releases them unread.
    pub(crate) fn discard(&mut self) {
        self.let_go();
        self.dead = false;
        while self.consumer.try_receive().is_ok() {}
    }

    #[inline(always)]
    fn arrive(&mut self, meeting: &Meeting, deadline: Deadline) -> Result<Arrived, PairedError> {
        self.let_go();
        match self.consumer.take_soon() {
            Some(arrived) => Ok(arrived),
            None => self.arrive_slowly(meeting, deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn arrive_slowly(
        &mut self,
        meeting: &Meeting,
        deadline: Deadline,
    ) -> Result<Arrived, PairedError> {
        loop {
            if !meeting.forked() && (self.dead || meeting.broken()) {
                return self.last_word();
            }
            let slice = Deadline::after(LONGEST_SLEEP).earlier(deadline);
            let over = match self.consumer.await_next(slice) {
                Ok(Some(arrived)) => return Ok(arrived),
                Ok(None) | Err(ReceiveError::ProducerGone { .. }) => true,
                Err(ReceiveError::TimedOut) => meeting.gone(),
                Err(error) => return Err(PairedError::Receive(error)),
            };
            if over {
                return self.last_word();
            }
            if deadline.passed() {
                return Err(self.trouble().unwrap_or(PairedError::TimedOut));
            }
        }
    }

    /// What befell the ring, asked at intervals by calls that found nothing: one that tries, or waits for moments,
    /// does not come to where a longer wait asks.
    fn trouble(&mut self) -> Option<PairedError> {
        let due = self.asked.due();
        let trouble = due
            .then(|| Reader::ring(&self.consumer).trouble())
            .flatten();
        trouble.map(|trouble| PairedError::Receive(Interrupted::from(trouble).into()))
    }

    #[cold]
    #[inline(never)]
    fn look_again(&mut self, meeting: &Meeting) -> Result<Arrived, PairedError> {
        if meeting.forked() {
            return Err(PairedError::Receive(ReceiveError::Forked));
        }
        // Asked first, so that everything the other side sent before it left or died, or the ring was removed, is
        // visible.
        let due = self.asked.due();
        let gone = meeting.broken() || self.dead || due && meeting.gone();
        let trouble = due
            .then(|| Reader::ring(&self.consumer).trouble())
            .flatten();
        match (self.last_word(), trouble) {
            (Err(PairedError::Gone), Some(trouble)) if !gone => {
                Err(PairedError::Receive(Interrupted::from(trouble).into()))
            }
            (Err(PairedError::Gone), None) if !gone => Err(PairedError::Empty),
            (said, _) => said,
        }
    }

    /// Returns `true` if there is something to report to a wait set: a message, or an end that was not reported
    /// yet. Loads only.
    pub(crate) fn reports(&mut self, meeting: &Meeting, ends: Ends) -> bool {
        if meeting.forked() || self.held.is_some() {
            return true;
        }
        // Read first: what the other side sent before its end comes before it.
        let closed = || producer_state(Reader::memory(&self.consumer)) == ProducerState::Closed;
        let over = self.dead || meeting.broken() || ends == Ends::Once && closed();
        if self.consumer.ready() {
            return true;
        }
        if !over {
            self.announced = None;
            return false;
        }
        let end = match ends {
            Ends::Anew => meeting.others_word(),
            Ends::Once => 0,
        };
        self.announced.replace(end) != Some(end)
    }

    /// Returns `true` if there is a death, or trouble with the files, to report to a wait set. Asks the kernel.
    pub(crate) fn reports_death(&mut self, meeting: &Meeting, ends: Ends) -> bool {
        if Reader::ring(&self.consumer).trouble().is_some() {
            // The next call asks as well, however soon it comes.
            self.asked = Since::default();
            return true;
        }
        self.dead |= !meeting.broken() && meeting.gone();
        self.dead && self.reports(meeting, ends)
    }

    /// The memory with the bell that the sender rings.
    pub(crate) fn memory(&self) -> &Memory {
        Reader::memory(&self.consumer)
    }

    /// The memory with the bell that the other side rings when it comes and goes, where that is another one.
    pub(crate) fn also<'m>(&self, meeting: &'m Meeting) -> Option<&'m Memory> {
        let other = Reader::ring(&self.consumer).id() != meeting.ring().id();
        other.then(|| meeting.ring().segment().reader())
    }

    /// Returns `true` if it ever sleeps.
    pub(crate) fn parks(&self) -> bool {
        Reader::strategy(&self.consumer).0.parks()
    }

    /// The next message the other side sent before it went, or the error that it is gone.
    fn last_word(&mut self) -> Result<Arrived, PairedError> {
        match self.consumer.await_next(Deadline::after(Duration::ZERO)) {
            Ok(Some(arrived)) => Ok(arrived),
            Ok(None) | Err(ReceiveError::TimedOut | ReceiveError::ProducerGone { .. }) => {
                Err(PairedError::Gone)
            }
            Err(error) => Err(PairedError::Receive(error)),
        }
    }
}
