//! The settings of a new mailbox, and creating it.
//!
//! Layer 7.

use super::board::board_words;
use super::parameters::Parameters;
use super::Mailbox;
use crate::endpoint::Builder;
use crate::layout::form::Form;
use crate::queue::depth_of_lane;
use crate::segment::{CreateError, Location, NameError};

/// The settings of a new mailbox. Made by [`Mailbox::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct MailboxBuilder {
    inner: Builder,
    location: Result<Location, NameError>,
    depth: u32,
    message_bytes: u32,
    clients: u32,
    receivers: u32,
    one_way: bool,
}

impl MailboxBuilder {
    pub(super) fn new(inner: Builder, location: Result<Location, NameError>) -> Self {
        Self {
            inner,
            location,
            depth: 256,
            message_bytes: 1024,
            clients: 64,
            receivers: 64,
            one_way: false,
        }
    }

    /// Sets how many letters each client can be ahead of the receivers; 256 by default, 1 to 65,536, rounded
    /// up to a power of two of at least 2.
    pub fn depth(mut self, letters: u32) -> Self {
        self.depth = letters;
        self
    }

    /// Sets the size of the largest letter and of the largest reply, in bytes; 1024 by default.
    pub fn max_message_bytes(mut self, bytes: u32) -> Self {
        self.message_bytes = bytes;
        self
    }

    /// Sets how many clients can be attached at once; 64 by default, 1 to 1024.
    pub fn max_clients(mut self, clients: u32) -> Self {
        self.clients = clients;
        self
    }

    /// Sets how many receivers can be attached at once; 64 by default, 1 to 1024.
    pub fn max_receivers(mut self, receivers: u32) -> Self {
        self.receivers = receivers;
        self
    }

    /// Sets who may receive letters, as the permission bits of a file; `0o600` by default. For group and
    /// others writing means receiving. Only the owner and root can be clients and can reply. A reply of
    /// another user is an error, and the letter is not lost.
    pub fn mode(mut self, mode: u32) -> Self {
        self.inner = self.inner.mode(mode);
        self
    }

    /// Letters only: requests are refused.
    pub fn one_way(mut self) -> Self {
        self.one_way = true;
        self
    }

    /// Creates the mailbox and opens it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring.
    pub fn create(self) -> Result<Mailbox, CreateError> {
        let location = self.location.clone()?;
        let (attachment, inside) = self.described()?.make_whole()?;
        Mailbox::of(attachment, inside, location)
    }

    /// Opens the mailbox if it exists, else creates it. An existing one keeps its own settings.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Mailbox, CreateError> {
        let location = self.location.clone()?;
        let (attachment, inside) = self.described()?.make_or_open_whole()?;
        Mailbox::of(attachment, inside, location)
    }

    fn described(self) -> Result<Builder, CreateError> {
        let parameters = Parameters {
            depth: depth_of_lane(self.depth)?,
            message_bytes: self.message_bytes,
            receivers: self.receivers,
            one_way: self.one_way,
        };
        let location = self.location.clone()?;
        // Checked here, so that the error does not come with the first letter.
        let letters = parameters.letters(&location).into_builder()?;
        let replies = match self.one_way {
            true => 0,
            false => parameters.replies(&location, 0).into_builder()?.needs()?,
        };
        let board = board_words(self.clients);
        Ok(self
            .inner
            .capacity_bytes(4096)
            .max_readers(self.clients)
            .form(Form::Mailbox, board, parameters.packed())
            .holding(letters)
            .headroom(replies))
    }
}
