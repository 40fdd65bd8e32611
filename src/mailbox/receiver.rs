//! Whoever receives letters, and how it reaches those that asked.
//!
//! Layer 7.

use super::letter::{Header, Kind, Letter, Return};
use super::{awaited, count_late, replies_of, Mailbox, ReplyError};
use crate::endpoint::{AttachError, ConsumerOptions, ProducerOptions};
use crate::queue::{Queue, Receiver, SendError, Sender, TakeError};
use crate::sync::Ordering::Relaxed;
use crate::wait::Deadline;
use std::collections::BTreeMap;

/// Takes letters out of a mailbox. Made by [`Mailbox::receiver`].
///
/// # Guarantees
/// As a [`Receiver`](crate::Receiver) of a queue: nobody else has a letter that this one has.
#[derive(Debug)]
pub struct MailboxReceiver {
    letters: Receiver,
    outbox: Outbox,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its client was still waiting when it was sent.
    Sent,
    /// Nobody waits for it any more. It was dropped, and counted.
    Late,
}

/// The ways back to the clients, by row.
#[derive(Debug)]
pub struct Outbox {
    mailbox: Mailbox,
    senders: BTreeMap<u32, Sender>,
    strategy: ProducerOptions,
    message: Vec<u8>,
}

impl MailboxReceiver {
    pub(super) fn attach(mailbox: &Mailbox, options: ConsumerOptions) -> Result<Self, AttachError> {
        Ok(Self {
            letters: mailbox.letters.receiver_with(options)?,
            outbox: Outbox {
                mailbox: mailbox.clone(),
                senders: BTreeMap::new(),
                strategy: ProducerOptions::new().strategy(options.strategy),
                message: Vec::new(),
            },
        })
    }

    /// Waits for a letter and takes it.
    ///
    /// # Errors
    /// [`TakeError`], but neither `Empty` nor `TimedOut`.
    pub fn receive(&mut self) -> Result<Letter<'_>, TakeError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`receive`](Self::receive), until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TakeError::TimedOut`].
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Letter<'_>, TakeError> {
        let delivery = self.letters.receive_until(deadline)?;
        Ok(Letter::new(delivery, &mut self.outbox)?)
    }

    /// Takes a letter if there is one.
    ///
    /// # Errors
    /// [`TakeError::Empty`].
    pub fn try_receive(&mut self) -> Result<Letter<'_>, TakeError> {
        let delivery = self.letters.try_receive()?;
        Ok(Letter::new(delivery, &mut self.outbox)?)
    }

    /// Waits until there may be a letter, without taking it.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`].
    pub fn wait_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), TakeError> {
        self.letters.wait_until(deadline)
    }
}

impl Outbox {
    /// Sends to a client, unless it waits no longer.
    pub(super) fn send(
        &mut self,
        kind: Kind,
        to: Return,
        body: &[u8],
    ) -> Result<Answer, ReplyError> {
        let max = self.mailbox.message_bytes();
        if body.len() > max as usize {
            let len = body.len();
            return Err(SendError::TooLarge { len, max }.into());
        }
        if !self.is_awaited(to) {
            count_late(&self.mailbox.ring);
            return Ok(Answer::Late);
        }
        let sender = match self.senders.remove(&to.row) {
            Some(sender) => sender,
            None => {
                let location = self.mailbox.location.child(&replies_of(to.row));
                let queue = Queue::open_location(location)?;
                queue
                    .sender_with(self.strategy)
                    .map_err(SendError::Attach)?
            }
        };
        let sender = self.senders.entry(to.row).or_insert(sender);
        let header = Header {
            kind,
            from: to,
            name: "",
        };
        header.encode(body, &mut self.message);
        match sender.try_send(&self.message) {
            Ok(_) => Ok(Answer::Sent),
            // A client that waits makes room, so this one does not.
            Err(SendError::Full { .. }) => {
                count_late(&self.mailbox.ring);
                Ok(Answer::Late)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn is_awaited(&self, to: Return) -> bool {
        let ring = &self.mailbox.ring;
        let row = ring.segment().reader().row(to.row);
        row.is_some_and(|row| row.generation.load(Relaxed) == to.generation)
            && awaited(ring, to.row).is_some_and(|word| word.load(Relaxed) == to.request)
    }
}
