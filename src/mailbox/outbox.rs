//! Replies on their way back to clients.
//!
//! Layer 7.

use super::board::{awaited, count_late};
use super::parameters::replies_of;
use super::wire::{Header, Kind, Return};
use super::{Mailbox, ReplyError};
use crate::attach::shown;
use crate::queue::{Queue, SendError, Sender, SenderOptions};
use crate::sync::Ordering::Relaxed;
use std::collections::btree_map::{BTreeMap, Entry};
use std::path::Path;

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its client was still waiting when it was sent.
    Sent,
    /// Its client no longer waited. The reply was dropped and counted.
    Late,
}

/// The ways back to the clients, by row.
pub struct Outbox {
    mailbox: Mailbox,
    /// With the time at which each was used last.
    senders: BTreeMap<u32, (u64, Sender)>,
    used: u64,
    options: SenderOptions,
    message: Vec<u8>,
}

shown!([] Outbox, "Outbox", |outbox| path = outbox.mailbox.path());

impl Outbox {
    pub(super) fn new(mailbox: &Mailbox, options: SenderOptions) -> Self {
        Self {
            mailbox: mailbox.clone(),
            senders: BTreeMap::new(),
            used: 0,
            options,
            message: Vec::new(),
        }
    }

    /// Returns where the mailbox is.
    pub(super) fn path(&self) -> &Path {
        self.mailbox.path()
    }

    /// Sends to a client, unless it waits no longer.
    pub(super) fn send(
        &mut self,
        kind: Kind,
        to: Return,
        body: &[u8],
    ) -> Result<Answer, ReplyError> {
        if self.mailbox.attachment.canary().forked() {
            return Err(SendError::Forked.into());
        }
        let max = self.mailbox.max_message_bytes();
        if body.len() > max as usize {
            let len = body.len();
            return Err(SendError::TooLarge { len, max }.into());
        }
        if !self.is_awaited(to) {
            count_late(&self.mailbox.attachment);
            return Ok(Answer::Late);
        }
        let header = Header {
            kind,
            from: to,
            name: "",
        };
        header.encode(body, &mut self.message);
        // Each open queue of replies holds descriptors. If one cannot be opened, closing others may help.
        let sent = self.pass_on(to.row);
        match sent {
            Err(error) if error.is_out_of_reach() && self.let_go() => self.pass_on(to.row),
            sent => sent,
        }
    }

    /// Puts the message on the way to the client in a row.
    fn pass_on(&mut self, row: u32) -> Result<Answer, ReplyError> {
        self.used += 1;
        let (used, sender) = match self.senders.entry(row) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let location = self.mailbox.location.child(&replies_of(row));
                let queue = Queue::open_location(location)?;
                let sender = queue.sender_with(self.options);
                entry.insert((0, sender.map_err(SendError::Attach)?))
            }
        };
        *used = self.used;
        match sender.try_send(&self.message) {
            Ok(_) => Ok(Answer::Sent),
            // A waiting client makes room, so this receiver does not wait for it.
            Err(SendError::Full { .. }) => {
                count_late(&self.mailbox.attachment);
                Ok(Answer::Late)
            }
            Err(error) => {
                self.senders.remove(&row);
                Err(error.into())
            }
        }
    }

    /// Closes the least recently used half of the clients' queues. Returns `true` if there were any.
    pub(super) fn let_go(&mut self) -> bool {
        let mut used: Vec<u64> = self.senders.values().map(|(used, _)| *used).collect();
        used.sort_unstable();
        let Some(middle) = used.get(used.len() / 2).copied() else {
            return false;
        };
        self.senders.retain(|_, (used, _)| *used > middle);
        true
    }

    fn is_awaited(&self, to: Return) -> bool {
        let attachment = &self.mailbox.attachment;
        let row = attachment.segment().reader().row(to.row);
        row.is_some_and(|row| row.generation.load(Relaxed) == to.generation)
            && awaited(attachment, to.row).is_some_and(|word| word.load(Relaxed) == to.request)
    }
}
