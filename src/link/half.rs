//! The two directions of a link.
//!
//! Layer 7.

use super::LinkError;
use crate::endpoint::{
    Consumer, Meeting, Message, Producer, PublishError, ReceiveError, TryPublishError,
};
use crate::ring::consumer::Arrived;
use crate::wait::bell::LONGEST_SLEEP;
use crate::wait::Deadline;
use core::time::Duration;

/// How many bytes may be sent before it is asked again whether somebody listens.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    whole: u64,
}

impl Budget {
    /// For a direction of so many bytes.
    pub(super) fn new(capacity: u64) -> Self {
        let whole = capacity / 8;
        Self { left: whole, whole }
    }

    /// Whether it is used up, and begins anew.
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
}

/// The sending direction of a link. Made by [`Link::split`](crate::Link::split).
#[derive(Debug)]
pub struct LinkSender<'l> {
    producer: &'l mut Producer,
    meeting: &'l Meeting,
    budget: &'l mut Budget,
}

/// The receiving direction of a link. Made by [`Link::split`](crate::Link::split).
#[derive(Debug)]
pub struct LinkReceiver<'l> {
    consumer: &'l mut Consumer,
    meeting: &'l Meeting,
}

impl<'l> LinkSender<'l> {
    #[inline(always)]
    pub(super) fn new(
        producer: &'l mut Producer,
        meeting: &'l Meeting,
        budget: &'l mut Budget,
    ) -> Self {
        Self {
            producer,
            meeting,
            budget,
        }
    }

    /// As [`Link::send`](crate::Link::send).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        self.send_until(message, Deadline::NEVER)
    }

    /// As [`Link::send_until`](crate::Link::send_until).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_until(
        &mut self,
        message: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<u64, LinkError> {
        match self.send_at_once(message)? {
            Some(number) => Ok(number),
            None => self.send_slowly(message, deadline.into()),
        }
    }

    /// As [`Link::try_send`](crate::Link::try_send).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        match self.send_at_once(message)? {
            Some(number) => Ok(number),
            None => self.try_send_slowly(message),
        }
    }

    #[inline(always)]
    fn send_at_once(&mut self, message: &[u8]) -> Result<Option<u64>, LinkError> {
        let gone =
            self.meeting.broken() || self.budget.spend(message.len() + 8) && self.meeting.gone();
        if gone {
            return Err(LinkError::PeerGone);
        }
        Ok(self.producer.publish_at_once(message))
    }

    #[cold]
    fn try_send_slowly(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        match self.producer.try_publish(message) {
            Ok(number) => Ok(number),
            Err(TryPublishError::Full { .. }) if self.meeting.gone() => Err(LinkError::PeerGone),
            Err(error) => Err(error.into()),
        }
    }

    #[cold]
    fn send_slowly(&mut self, message: &[u8], deadline: Deadline) -> Result<u64, LinkError> {
        loop {
            let slice = Deadline::after(LONGEST_SLEEP).earlier(deadline);
            match self.producer.publish_until(message, slice) {
                Ok(number) => return Ok(number),
                Err(PublishError::TimedOut { .. }) if self.meeting.gone() => {
                    return Err(LinkError::PeerGone)
                }
                Err(PublishError::TimedOut { .. }) if deadline.passed() => {
                    return Err(LinkError::TimedOut)
                }
                Err(PublishError::TimedOut { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<'l> LinkReceiver<'l> {
    #[inline(always)]
    pub(super) fn new(consumer: &'l mut Consumer, meeting: &'l Meeting) -> Self {
        Self { consumer, meeting }
    }

    /// As [`Link::receive`](crate::Link::receive).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn receive(&mut self) -> Result<Message<'_>, LinkError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`Link::receive_until`](crate::Link::receive_until).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Message<'_>, LinkError> {
        let arrived = await_message(self.consumer, self.meeting, deadline.into())?;
        Ok(self.consumer.message(arrived))
    }

    /// As [`Link::try_receive`](crate::Link::try_receive).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_receive(&mut self) -> Result<Message<'_>, LinkError> {
        let arrived = look_for_message(self.consumer, self.meeting)?;
        Ok(self.consumer.message(arrived))
    }
}

/// Waits for a message.
#[inline(always)]
pub(super) fn await_message(
    consumer: &mut Consumer,
    meeting: &Meeting,
    deadline: Deadline,
) -> Result<Arrived, LinkError> {
    match consumer.take_soon() {
        Some(arrived) => Ok(arrived),
        None => await_slowly(consumer, meeting, deadline),
    }
}

#[cold]
fn await_slowly(
    consumer: &mut Consumer,
    meeting: &Meeting,
    deadline: Deadline,
) -> Result<Arrived, LinkError> {
    loop {
        let slice = Deadline::after(LONGEST_SLEEP).earlier(deadline);
        let over = match consumer.await_next(slice) {
            Ok(Some(arrived)) => return Ok(arrived),
            Ok(None) | Err(ReceiveError::ProducerGone { .. }) => true,
            Err(ReceiveError::TimedOut) => meeting.gone(),
            Err(error) => return Err(error.into()),
        };
        if over {
            return last_word(consumer);
        }
        if deadline.passed() {
            return Err(LinkError::TimedOut);
        }
    }
}

/// The next message, if it is there.
#[inline(always)]
pub(super) fn look_for_message(
    consumer: &mut Consumer,
    meeting: &Meeting,
) -> Result<Arrived, LinkError> {
    match consumer.take() {
        Some(arrived) => Ok(arrived),
        None => look_again(consumer, meeting),
    }
}

#[cold]
fn look_again(consumer: &mut Consumer, meeting: &Meeting) -> Result<Arrived, LinkError> {
    // Asked first: what the other side said before it left is visible then.
    let broken = meeting.broken();
    match last_word(consumer) {
        Err(LinkError::PeerGone) if !broken => Err(LinkError::Empty),
        said => said,
    }
}

/// What the other side said before it went, or that it is gone.
fn last_word(consumer: &mut Consumer) -> Result<Arrived, LinkError> {
    match consumer.await_next(Deadline::after(Duration::ZERO)) {
        Ok(Some(arrived)) => Ok(arrived),
        Ok(None) | Err(ReceiveError::TimedOut) => Err(LinkError::PeerGone),
        Err(error) => Err(error.into()),
    }
}
