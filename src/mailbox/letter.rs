//! A letter that was received.
//!
//! Layer 7.

use super::outbox::{Answer, Outbox};
use super::wire::{decode, Kind, Return, FIXED};
use super::ReplyError;
use crate::attach::shown;
use crate::queue::Delivery;
use crate::ring::Corrupt;
use crate::segment::CursorName;
use core::ops::Deref;

/// How often a letter is returned because its client cannot be reached.
const MOST_TRIES: u32 = 2;

/// A letter, in place. [`ack`](Self::ack) or [`reply`](Self::reply) finishes it. A letter that is dropped
/// instead returns to the mailbox and is delivered again, marked as [`redelivered`](Self::redelivered).
#[must_use = "a letter that is dropped goes back to the mailbox"]
pub struct Letter<'r> {
    delivery: Delivery<'r>,
    outbox: &'r mut Outbox,
    from: Return,
    /// Where in the delivery the name ends, and where the body begins.
    name_end: usize,
    body: usize,
}

shown!([] Letter<'_>, "Letter", |letter| sender = letter.sender(), sequence = letter.delivery.sequence(), len = letter.len());

impl<'r> Letter<'r> {
    /// A message that is no letter is finished and reported as an error.
    pub(super) fn new(delivery: Delivery<'r>, outbox: &'r mut Outbox) -> Result<Self, Corrupt> {
        let parts = decode(&delivery).filter(|(header, _)| {
            header.kind == Kind::Letter && CursorName::new(header.name).is_ok()
        });
        let Some((header, body)) = parts else {
            let len = delivery.len() as u32;
            let sequence = delivery.sequence();
            delivery.end();
            return Err(Corrupt::Message { sequence, len });
        };
        let (from, name_end) = (header.from, FIXED + header.name.len());
        let body = delivery.len() - body.len();
        Ok(Self {
            delivery,
            outbox,
            from,
            name_end,
            body,
        })
    }

    /// Returns the name of the client that sent it. The client may be gone by now.
    pub fn sender(&self) -> &str {
        let name = self.delivery.get(FIXED..self.name_end);
        // Checked when the letter was made; the bytes do not change after that.
        name.and_then(|name| core::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// Returns `true` if its sender waits, or waited, for a reply.
    pub fn wants_reply(&self) -> bool {
        self.from.request != 0
    }

    /// Returns `true` if it was delivered before to a receiver that died or returned it.
    pub fn redelivered(&self) -> bool {
        self.delivery.redelivered()
    }

    /// Returns how often it was delivered, this time included; at most 255.
    pub fn tries(&self) -> u32 {
        self.delivery.tries()
    }

    /// Sends a reply and finishes the letter, in this order: if this process dies between the two, another
    /// receiver gets the letter, and its reply is late.
    ///
    /// # Errors
    /// [`ReplyError`]; the letter returns to the mailbox then. If its client could not be reached, the
    /// letter returns at most twice, so that another receiver may try; after that it is finished, and the
    /// client's request ends at its deadline.
    pub fn reply(self, body: &[u8]) -> Result<Answer, ReplyError> {
        if !self.wants_reply() {
            return Err(ReplyError::NotAsked);
        }
        let answer = self.outbox.send(Kind::Reply, self.from, body);
        let in_vain = answer.as_ref().is_err_and(ReplyError::is_out_of_reach);
        if answer.is_ok() || in_vain && self.tries() > MOST_TRIES {
            self.delivery.end();
        }
        answer
    }

    /// Finishes the letter. If it was a request, its sender is told that there will be no reply.
    pub fn ack(self) {
        if self.wants_reply() {
            // If that fails, the sender's request ends at its deadline.
            let _ = self.outbox.send(Kind::Declined, self.from, &[]);
        }
        self.delivery.end();
    }
}

impl Deref for Letter<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.delivery.get(self.body..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Letter<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
