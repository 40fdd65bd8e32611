//! Mailboxes in event loops.
//!
//! Layer 7.

use super::{Letter, MailboxClient, MailboxReceiver, Reply, RequestError};
use crate::endpoint::{Inside, Sealed};
use crate::events::{Async, Event, Sleep};
use crate::queue::{Receiver, SendError, TakeError};
use crate::wait::Deadline;
use core::task::Poll;
use core::time::Duration;

impl Sealed for MailboxClient {}

/// It waits for room, and for replies.
impl Event for MailboxClient {
    fn sleep(&self, asker: Inside) -> Sleep {
        let (letters, replies) = self.sides();
        let replies = replies.map(|replies| replies.sleep(asker));
        Sleep::of_all([Some(letters.sleep(asker)), replies].into_iter().flatten())
    }
}

impl Async<MailboxClient> {
    /// Sends a letter that expects no reply, waiting while there is no room.
    ///
    /// # Errors
    /// As [`MailboxClient::send`].
    pub async fn send(&mut self, body: &[u8]) -> Result<(), SendError> {
        self.ready(|client| match client.try_send(body) {
            Err(SendError::Full { .. }) => Poll::Pending,
            sent => Poll::Ready(sent),
        })
        .await
    }

    /// Sends a letter and waits for the reply to it. Of a future that is dropped the letter may still be received; its
    /// reply will be late.
    ///
    /// # Errors
    /// As [`MailboxClient::request`].
    pub async fn request(&mut self, body: &[u8]) -> Result<Reply<'_>, RequestError> {
        let taken = {
            let _awaited = self.begin_request()?;
            self.ready(|client| match client.try_post(body) {
                Err(RequestError::Send(SendError::Full { .. })) => Poll::Pending,
                sent => Poll::Ready(sent),
            })
            .await?;
            let now = Duration::ZERO;
            self.ready(|client| match client.wait_for_reply(Deadline::after(now)) {
                Err(RequestError::TimedOut) => Poll::Pending,
                taken => Poll::Ready(taken),
            })
            .await?
        };
        self.reply(taken)
    }
}

impl Async<MailboxReceiver> {
    /// Waits for a letter and takes it.
    ///
    /// # Errors
    /// As [`MailboxReceiver::receive`].
    pub async fn receive(&mut self) -> Result<Letter<'_>, TakeError> {
        let taking = self
            .ready(|receiver| match receiver.taking(Receiver::try_take) {
                Err(TakeError::Empty) => Poll::Pending,
                taken => Poll::Ready(taken),
            })
            .await?;
        self.letter(taking)
    }
}
