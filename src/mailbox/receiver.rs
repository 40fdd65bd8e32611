//! Receivers: they take letters.
//!
//! Layer 7.

use super::letter::Letter;
use super::outbox::Outbox;
use super::Mailbox;
use crate::attach::shown;
use crate::endpoint::{AttachError, Inside, Sealed, Source};
use crate::queue::{Receiver, ReceiverOptions, SenderOptions, TakeError, Taking};
use crate::segment::Memory;
use crate::wait::Deadline;

/// Takes letters out of a mailbox. Made by [`Mailbox::receiver`].
///
/// # Guarantees
/// As a [`Receiver`](crate::queue::Receiver) of a queue: a letter that this receiver holds is held by no other.
pub struct MailboxReceiver {
    letters: Receiver,
    outbox: Outbox,
}

shown!([] MailboxReceiver, "MailboxReceiver", |receiver| path = receiver.outbox.path());

impl MailboxReceiver {
    pub(super) fn attach(mailbox: &Mailbox, options: ReceiverOptions) -> Result<Self, AttachError> {
        Ok(Self {
            letters: mailbox.letters.receiver_with(options)?,
            outbox: Outbox::new(mailbox, SenderOptions::new().strategy(options.strategy)),
        })
    }

    /// Waits for a letter and takes it.
    ///
    /// # Errors
    /// [`TakeError`], but neither `Empty` nor `TimedOut`.
    pub fn receive(&mut self) -> Result<Letter<'_>, TakeError> {
        self.receive_until(Deadline::NEVER)
    }

    /// Like [`receive`](Self::receive), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TakeError::TimedOut`].
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Letter<'_>, TakeError> {
        let deadline = deadline.into();
        self.take(|letters| letters.take_wanted(deadline, |_| true))
    }

    /// Takes a letter if there is one.
    ///
    /// # Errors
    /// [`TakeError::Empty`].
    pub fn try_receive(&mut self) -> Result<Letter<'_>, TakeError> {
        self.take(Receiver::try_take)
    }

    /// Takes a letter. If a client's lane cannot be opened, closes other lanes and tries again.
    fn take(
        &mut self,
        take: impl FnMut(&mut Receiver) -> Result<Taking, TakeError>,
    ) -> Result<Letter<'_>, TakeError> {
        let taking = self.taking(take)?;
        self.letter(taking)
    }

    pub(super) fn taking(
        &mut self,
        mut take: impl FnMut(&mut Receiver) -> Result<Taking, TakeError>,
    ) -> Result<Taking, TakeError> {
        loop {
            match take(&mut self.letters) {
                Err(TakeError::Open(_)) if self.outbox.let_go() => self.letters.refresh(),
                taking => break taking,
            }
        }
    }

    /// Lends a letter that was taken.
    pub(super) fn letter(&mut self, taking: Taking) -> Result<Letter<'_>, TakeError> {
        Ok(Letter::new(self.letters.taken(taking), &mut self.outbox)?)
    }

    /// Waits until there may be a letter, without taking it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn wait(&mut self) -> Result<(), TakeError> {
        self.wait_until(Deadline::NEVER)
    }

    /// Like [`wait`](Self::wait), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`TakeError::TimedOut`].
    pub fn wait_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), TakeError> {
        self.letters.wait_until(deadline)
    }
}

impl Sealed for MailboxReceiver {}

impl Source for MailboxReceiver {
    fn memory(&self, asker: Inside) -> &Memory {
        self.letters.memory(asker)
    }

    fn parks(&self) -> bool {
        self.letters.parks()
    }

    fn reports(&mut self) -> bool {
        self.letters.reports()
    }

    fn reports_death(&mut self) -> bool {
        self.letters.reports_death()
    }
}
