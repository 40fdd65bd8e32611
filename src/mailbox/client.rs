//! Clients: they send letters and make requests.
//!
//! Layer 7.

use super::board::{awaited, count_late};
use super::parameters::Parameters;
use super::wire::{decode, Header, Kind, Return};
use super::{ClientOptions, Mailbox, RequestError};
use crate::attach::{shown, Lease};
use crate::endpoint::AttachError;
use crate::queue::{
    Delivery, Receiver, ReceiverOptions, SendError, Sender, SenderOptions, TakeError,
};
use crate::segment::CursorName;
use crate::sync::Ordering::Relaxed;
use crate::wait::{Deadline, Since};
use core::ops::Deref;
use std::time::Duration;

/// How often a waiting client checks whether a receiver is left.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Sends letters and requests under a name. Made by [`Mailbox::client`].
///
/// # Guarantees
/// - A letter whose send returned arrives even if this process dies afterwards.
/// - There is one request at a time. A reply that comes after its request has ended is dropped.
pub struct MailboxClient {
    letters: Sender,
    /// The queue of replies; none in a one-way mailbox.
    replies: Option<Receiver>,
    mailbox: Mailbox,
    name: String,
    request: u64,
    message: Vec<u8>,
    /// Whether there was a receiver when it last looked, or got a reply. Looking is a system call.
    answerable: bool,
    /// When it last looked.
    asked: Since,
    /// Freed last.
    member: Lease,
}

shown!([] MailboxClient, "MailboxClient", |client| path = client.mailbox.path(), name = client.name);

/// A reply, in place, for as long as it is borrowed.
#[must_use = "a reply that is dropped is gone"]
pub struct Reply<'c> {
    delivery: Option<Delivery<'c>>,
    body: usize,
}

shown!([] Reply<'_>, "Reply", |reply| len = reply.len());

impl MailboxClient {
    pub(super) fn attach(
        mailbox: &Mailbox,
        name: CursorName,
        options: ClientOptions,
    ) -> Result<Self, AttachError> {
        let attachment = &mailbox.attachment;
        let (member, ()) = Lease::join(attachment, name, |row, _| wait_for(mailbox, row, 0))?;
        let parameters = Parameters::of(attachment);
        let replies = if parameters.one_way {
            None
        } else {
            let replies = parameters.replies(&mailbox.location, member.row());
            let replies = replies.like(attachment)?.open_or_create();
            let replies = replies.map_err(|error| attachment.explain(error.into()))?;
            attachment
                .in_place()
                .map_err(|error| attachment.explain(error.into()))?;
            Some(replies.receiver_with(ReceiverOptions::new().strategy(options.strategy))?)
        };
        Ok(Self {
            letters: mailbox
                .letters
                .sender_with(SenderOptions::new().strategy(options.strategy))?,
            replies,
            mailbox: mailbox.clone(),
            name: name.to_string(),
            request: 0,
            message: Vec::new(),
            answerable: false,
            asked: Since::default(),
            member,
        })
    }

    /// Sends a letter that expects no reply, waiting while there is no room.
    ///
    /// # Errors
    /// [`SendError`], but neither `Full` nor `TimedOut`.
    pub fn send(&mut self, body: &[u8]) -> Result<(), SendError> {
        self.send_until(body, Deadline::NEVER)
    }

    /// Like [`send`](Self::send), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::TimedOut`]; nothing was sent then.
    pub fn send_until(
        &mut self,
        body: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<(), SendError> {
        self.post(body, 0, deadline.into())
    }

    /// Sends a letter that expects no reply, if there is room.
    ///
    /// # Errors
    /// [`SendError::Full`].
    pub fn try_send(&mut self, body: &[u8]) -> Result<(), SendError> {
        self.compose(body, 0)?;
        self.letters.try_send(&self.message).map(|_| ())
    }

    /// Sends a letter and waits for the reply to it.
    ///
    /// # Errors
    /// As [`request_until`](Self::request_until), except [`RequestError::TimedOut`].
    pub fn request(&mut self, body: &[u8]) -> Result<Reply<'_>, RequestError> {
        self.request_until(body, Deadline::NEVER)
    }

    /// Like [`request`](Self::request), but does both at most until a deadline.
    ///
    /// # Errors
    /// - [`RequestError::PeerGone`] if the receiver finished the letter without a reply, or if the last
    ///   receiver is gone. The call notices the latter within 100 ms; the next request waits for a new
    ///   receiver.
    /// - [`RequestError::TimedOut`]. The letter may still be received; the reply will be late.
    /// - [`RequestError::Send`] if the letter was not sent; [`RequestError::OneWay`].
    pub fn request_until(
        &mut self,
        body: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<Reply<'_>, RequestError> {
        let deadline = deadline.into();
        let awaited = self.begin_request()?;
        let sent = self.post(body, self.request, deadline);
        let result = match sent {
            // Letters without a receiver fill the queue.
            Err(SendError::TimedOut { .. }) if self.nobody_is_left() => Err(RequestError::PeerGone),
            sent => sent.map_err(RequestError::from),
        };
        let result = result.and_then(|()| self.wait_for_reply(deadline));
        drop(awaited);
        self.reply(result?)
    }

    /// Begins a request, which ends when the result is dropped.
    pub(super) fn begin_request(&mut self) -> Result<Awaited, RequestError> {
        if self.replies.is_none() {
            return Err(RequestError::OneWay);
        }
        if self.mailbox.attachment.canary().forked() {
            return Err(RequestError::Send(SendError::Forked));
        }
        self.request += 1;
        wait_for(&self.mailbox, self.member.row(), self.request);
        // Before the letter is sent: its receiver may be gone a moment later.
        if !self.answerable {
            self.answerable = self.mailbox.letters.live_receivers() > 0;
        }
        Ok(Awaited {
            mailbox: self.mailbox.clone(),
            row: self.member.row(),
        })
    }

    /// Lends a reply that was taken.
    pub(super) fn reply(&mut self, (kind, body): (Kind, Body)) -> Result<Reply<'_>, RequestError> {
        // Always there: a one-way mailbox was refused above.
        let replies = self.replies.as_mut().ok_or(RequestError::OneWay)?;
        let delivery = replies.taken(body.taking);
        if kind == Kind::Declined {
            delivery.end();
            return Err(RequestError::PeerGone);
        }
        Ok(Reply {
            delivery: Some(delivery),
            body: body.at,
        })
    }

    /// Returns the name of this client.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn post(&mut self, body: &[u8], request: u64, deadline: Deadline) -> Result<(), SendError> {
        self.compose(body, request)?;
        let sent = self.letters.send_until(&self.message, 0, deadline);
        sent.map(|_| ())
    }

    fn compose(&mut self, body: &[u8], request: u64) -> Result<(), SendError> {
        let max = self.mailbox.max_message_bytes();
        if body.len() > max as usize {
            let len = body.len();
            return Err(SendError::TooLarge { len, max });
        }
        let header = Header {
            kind: Kind::Letter,
            from: Return {
                row: self.member.row(),
                generation: self.member.generation(),
                request,
            },
            name: &self.name,
        };
        header.encode(body, &mut self.message);
        Ok(())
    }

    /// Returns `true` if there was a receiver and none is left. Asks the kernel only at intervals.
    fn nobody_is_left(&mut self) -> bool {
        if !self.asked.due() {
            return false;
        }
        let was_answerable = self.answerable;
        self.answerable = self.mailbox.letters.live_receivers() > 0;
        was_answerable && !self.answerable
    }

    /// Sends the letter of a request if there is room.
    #[cfg(feature = "async")]
    pub(super) fn try_post(&mut self, body: &[u8]) -> Result<(), RequestError> {
        self.compose(body, self.request)?;
        match self.letters.try_send(&self.message) {
            // Letters without a receiver fill the queue.
            Err(SendError::Full { .. }) if self.nobody_is_left() => Err(RequestError::PeerGone),
            sent => sent.map(|_| ()).map_err(RequestError::from),
        }
    }

    /// Where it waits for room, and for replies.
    #[cfg(feature = "async")]
    pub(super) fn sides(&self) -> (&Sender, Option<&Receiver>) {
        (&self.letters, self.replies.as_ref())
    }

    pub(super) fn wait_for_reply(
        &mut self,
        deadline: Deadline,
    ) -> Result<(Kind, Body), RequestError> {
        let (generation, request) = (self.member.generation(), self.request);
        let mut found = (Kind::Declined, 0);
        loop {
            let attachment = &self.mailbox.attachment;
            let replies = self.replies.as_mut().ok_or(RequestError::OneWay)?;
            let slice = Deadline::after(LOOK_UP).earlier(deadline);
            let taking = replies.take_wanted(slice, |delivery| match decode(delivery) {
                Some((header, body)) if header.kind != Kind::Letter => {
                    found = (header.kind, delivery.len() - body.len());
                    let ours = (header.from.generation, header.from.request);
                    let wanted = ours == (generation, request);
                    // A reply that comes again was leaked by the caller.
                    if !wanted && header.kind == Kind::Reply && !delivery.redelivered() {
                        count_late(attachment);
                    }
                    wanted
                }
                _ => false,
            });
            match taking {
                Ok(taking) => {
                    self.answerable = true;
                    let (kind, at) = found;
                    return Ok((kind, Body { taking, at }));
                }
                Err(TakeError::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            // Also of a client whose requests are all short.
            if self.nobody_is_left() {
                return Err(RequestError::PeerGone);
            }
            if deadline.passed() {
                return Err(RequestError::TimedOut);
            }
        }
    }
}

/// A request whose reply is awaited, until this is dropped.
pub(super) struct Awaited {
    mailbox: Mailbox,
    row: u32,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // A fork has no part in it, and does not have the memory.
        if !self.mailbox.attachment.canary().forked() {
            wait_for(&self.mailbox, self.row, 0);
        }
    }
}

/// Where in its message a body begins; says that the message is taken.
pub(super) struct Body {
    taking: crate::queue::Taking,
    at: usize,
}

fn wait_for(mailbox: &Mailbox, row: u32, request: u64) {
    if let Some(word) = awaited(&mailbox.attachment, row) {
        word.store(request, Relaxed);
    }
}

impl Deref for Reply<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let message = self.delivery.as_deref();
        message.and_then(|m| m.get(self.body..)).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Reply<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            delivery.end();
        }
    }
}
