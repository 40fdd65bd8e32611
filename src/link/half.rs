//! The two directions of a link, apart.
//!
//! Layer 7.

use super::LinkError;
use crate::attach::shown;
use crate::endpoint::{Ends, Incoming, Inside, Meeting, Message, Outgoing, Sealed, Source};
use crate::segment::Memory;
use crate::wait::Deadline;

/// The sending direction of a link. Made by [`Link::split`](crate::Link::split).
pub struct LinkSender<'l> {
    pub(super) outgoing: &'l mut Outgoing,
    pub(super) meeting: &'l Meeting,
}

shown!([] LinkSender<'_>, "LinkSender", |_sender| );

/// The receiving direction of a link. Made by [`Link::split`](crate::Link::split).
pub struct LinkReceiver<'l> {
    incoming: &'l mut Incoming,
    meeting: &'l Meeting,
}

shown!([] LinkReceiver<'_>, "LinkReceiver", |_receiver| );

impl<'l> LinkSender<'l> {
    pub(super) fn new(outgoing: &'l mut Outgoing, meeting: &'l Meeting) -> Self {
        Self { outgoing, meeting }
    }

    /// Like [`Link::send`](crate::Link::send).
    ///
    /// # Errors
    /// As [`Link::send`](crate::Link::send).
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        self.send_until(message, Deadline::NEVER)
    }

    /// Like [`Link::send_until`](crate::Link::send_until).
    ///
    /// # Errors
    /// As [`Link::send_until`](crate::Link::send_until).
    #[inline]
    pub fn send_until(
        &mut self,
        message: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<u64, LinkError> {
        Ok(self.outgoing.send(self.meeting, message, deadline.into())?)
    }

    /// Like [`Link::try_send`](crate::Link::try_send).
    ///
    /// # Errors
    /// As [`Link::try_send`](crate::Link::try_send).
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        Ok(self.outgoing.try_send(self.meeting, message)?)
    }
}

impl<'l> LinkReceiver<'l> {
    pub(super) fn new(incoming: &'l mut Incoming, meeting: &'l Meeting) -> Self {
        Self { incoming, meeting }
    }

    /// Like [`Link::receive`](crate::Link::receive).
    ///
    /// # Errors
    /// As [`Link::receive`](crate::Link::receive).
    #[inline]
    pub fn receive(&mut self) -> Result<Message<'_>, LinkError> {
        self.receive_until(Deadline::NEVER)
    }

    /// Like [`Link::receive_until`](crate::Link::receive_until).
    ///
    /// # Errors
    /// As [`Link::receive_until`](crate::Link::receive_until).
    #[inline]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Message<'_>, LinkError> {
        Ok(self.incoming.receive(self.meeting, deadline.into())?)
    }

    /// Like [`Link::try_receive`](crate::Link::try_receive).
    ///
    /// # Errors
    /// As [`Link::try_receive`](crate::Link::try_receive).
    #[inline]
    pub fn try_receive(&mut self) -> Result<Message<'_>, LinkError> {
        Ok(self.incoming.try_receive(self.meeting)?)
    }
}

impl Sealed for LinkReceiver<'_> {}

impl Source for LinkReceiver<'_> {
    fn memory(&self, _: Inside) -> &Memory {
        self.incoming.memory()
    }

    fn also(&self, _: Inside) -> Option<&Memory> {
        self.incoming.also(self.meeting)
    }

    fn parks(&self) -> bool {
        self.incoming.parks()
    }

    fn reports(&mut self) -> bool {
        self.incoming.reports(self.meeting, Ends::Anew)
    }

    fn reports_death(&mut self) -> bool {
        self.incoming.reports_death(self.meeting, Ends::Anew)
    }
}
