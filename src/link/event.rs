//! Links in event loops.
//!
//! Layer 7.

use super::{Link, LinkError, LinkSender};
use crate::endpoint::{Inside, Message, Sealed};
use crate::events::{Async, Event, Sleep};
use crate::reactor::Side;
use crate::wait::bell::LONGEST_SLEEP;
use core::task::Poll;

impl Sealed for LinkSender<'_> {}

impl Event for LinkSender<'_> {
    fn sleep(&self, _: Inside) -> Sleep {
        let (room, parks) = self.outgoing.room();
        // The other side rings this one when it leaves.
        let pact = self.meeting.ring().segment().reader();
        Sleep {
            bells: vec![(room.clone(), Side::Space), (pact.clone(), Side::Data)],
            parks,
            longest: LONGEST_SLEEP,
        }
    }
}

impl Async<Link> {
    /// Sends a message, waiting for room. Returns its number.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        self.ready(|link| settle(link.try_send(message))).await
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// As [`Link::receive`].
    pub async fn receive(&mut self) -> Result<Message<'_>, LinkError> {
        let arrived = self
            .ready(|link| {
                let Link {
                    incoming, meeting, ..
                } = link;
                settle(incoming.try_arrived(meeting).map_err(LinkError::from))
            })
            .await?;
        Ok(self.incoming.message(arrived))
    }
}

impl Async<LinkSender<'_>> {
    /// Sends a message, waiting for room. Returns its number.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        self.ready(|sender| settle(sender.try_send(message))).await
    }
}

/// What a call that does not wait says of one that does.
fn settle<T>(tried: Result<T, LinkError>) -> Poll<Result<T, LinkError>> {
    match tried {
        Err(LinkError::Full | LinkError::Empty) => Poll::Pending,
        other => Poll::Ready(other),
    }
}
