//! Connecting a link: at once, and waiting for the other side.
//!
//! Layer 7.

use super::{Link, LinkBuilder, LinkError, LinkOptions, BACK};
use crate::attach::Attachment;
use crate::endpoint::{
    Builder, Connecting, Consumer, ConsumerOptions, Heir, Incoming, Meeting, Meets, Met, Opening,
    Outgoing, Producer, ProducerOptions,
};
use crate::layout::form::Form;
use crate::ring::pact::{Side, BOARD_WORDS};
use crate::ring::Start;
use crate::segment::OpenError;
use crate::wait::Deadline;
use std::path::PathBuf;

impl LinkBuilder {
    /// Connects, and waits for the other side.
    ///
    /// # Errors
    /// [`LinkError`], except `TimedOut` and `PeerGone`.
    pub fn connect(self) -> Result<Link, LinkError> {
        self.connect_with(LinkOptions::default())
    }

    /// Like [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(self, options: LinkOptions) -> Result<Link, LinkError> {
        self.connect_until_with(Deadline::NEVER, options)
    }

    /// Connects, and waits for the other side until a deadline.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`LinkError::TimedOut`].
    pub fn connect_until(self, deadline: impl Into<Deadline>) -> Result<Link, LinkError> {
        self.connect_until_with(deadline, LinkOptions::default())
    }

    /// Like [`connect_until`](Self::connect_until), with options.
    ///
    /// # Errors
    /// As [`connect_until`](Self::connect_until).
    pub fn connect_until_with(
        self,
        deadline: impl Into<Deadline>,
        options: LinkOptions,
    ) -> Result<Link, LinkError> {
        self.begin_connect_with(options)?.finish_until(deadline)
    }

    /// Begins to connect, and does not wait for the other side: for event loops.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn begin_connect(self) -> Result<Connecting<Link>, LinkError> {
        self.begin_connect_with(LinkOptions::default())
    }

    /// Like [`begin_connect`](Self::begin_connect), with options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn begin_connect_with(self, options: LinkOptions) -> Result<Connecting<Link>, LinkError> {
        let (side, location) = self.location()?;
        let back = Builder::inside(&location, BACK)
            .capacity_bytes(self.capacity)
            .max_readers(1)
            .form(Form::Link, 0, [0; 2]);
        let (outer, inside) = Builder::at(&location)
            .capacity_bytes(self.capacity)
            .max_readers(1)
            .form(Form::Link, BOARD_WORDS, [0; 2])
            .holding(back)
            .make_or_open_whole()?;
        let inner = inside.into_iter().next();
        let missing = || OpenError::not_found(location.child(BACK).path());
        let inner = match (inner, outer.trouble()) {
            (_, Some(trouble)) => return Err(trouble.into()),
            (inner, None) => inner.ok_or_else(missing)?,
        };
        let taken = || LinkError::Taken {
            name: self.me.clone(),
            pid: Meeting::owner(&outer, side).unwrap_or(0),
        };
        let mut meeting = Meeting::begin(&outer, side)?.ok_or_else(taken)?;
        let (outgoing, incoming) = match side {
            Side::First => (outer.clone(), inner),
            Side::Second => (inner, outer.clone()),
        };
        let mut joining = Joining {
            outgoing,
            producer: None,
            incoming,
            consumer: None,
            path: location.path(),
            options,
        };
        // What is refused for good is refused now.
        joining.attach_producer(meeting.heir())?;
        Ok(Connecting::new(meeting, options.strategy, joining))
    }
}

impl Meets for Link {
    type Error = LinkError;
}

/// A link whose other side has not come yet.
struct Joining {
    outgoing: Attachment,
    producer: Option<Producer>,
    incoming: Attachment,
    consumer: Option<Consumer>,
    path: PathBuf,
    options: LinkOptions,
}

impl Joining {
    fn attach_producer(&mut self, heir: &mut Heir) -> Result<bool, LinkError> {
        if self.producer.is_none() {
            let options = ProducerOptions::default().strategy(self.options.strategy);
            self.producer = heir.attach(|| Producer::attach(&self.outgoing, options))?;
        }
        Ok(self.producer.is_some())
    }

    fn attach_consumer(&mut self, heir: &mut Heir) -> Result<bool, LinkError> {
        // The ring has one row only.
        drop(self.consumer.take());
        let options = ConsumerOptions::default().strategy(self.options.strategy);
        let attach = || Consumer::attach(&self.incoming, Start::Latest, options, None);
        self.consumer = heir.attach(attach)?;
        Ok(self.consumer.is_some())
    }
}

impl Opening<Link> for Joining {
    fn get_ready(&mut self, heir: &mut Heir) -> Result<bool, LinkError> {
        Ok(self.attach_producer(heir)? && self.attach_consumer(heir)?)
    }

    fn finish(self: Box<Self>, meeting: Meeting) -> Result<Link, LinkError> {
        let (Some(producer), Some(consumer)) = (self.producer, self.consumer) else {
            return Err(LinkError::TimedOut); // Not reached: it agrees only once it has both.
        };
        Ok(Link {
            outgoing: Outgoing::new(producer, self.outgoing.capacity_bytes()),
            incoming: Incoming::new(consumer),
            meeting,
            max_message_bytes: self.outgoing.max_message_bytes(),
            path: self.path,
            options: self.options,
        })
    }

    fn failed(&self, met: Met) -> LinkError {
        failed(met)
    }
}

/// A link whose other side has gone, and whose next one has not come yet.
struct Rejoining {
    outgoing: Outgoing,
    incoming: Incoming,
    max_message_bytes: u32,
    path: PathBuf,
    options: LinkOptions,
}

impl Opening<Link> for Rejoining {
    fn get_ready(&mut self, _: &mut Heir) -> Result<bool, LinkError> {
        // No side sends while a pact is offered, so messages that are there belong to an older pact.
        self.incoming.discard();
        Ok(true)
    }

    fn finish(mut self: Box<Self>, meeting: Meeting) -> Result<Link, LinkError> {
        self.outgoing.begin_anew();
        Ok(Link {
            outgoing: self.outgoing,
            incoming: self.incoming,
            meeting,
            max_message_bytes: self.max_message_bytes,
            path: self.path,
            options: self.options,
        })
    }

    fn failed(&self, met: Met) -> LinkError {
        failed(met)
    }
}

fn failed(met: Met) -> LinkError {
    match met {
        Met::Trouble(trouble) => trouble.into(),
        Met::Yes | Met::TimedOut => LinkError::TimedOut,
    }
}

impl Link {
    /// Leaves the other side, whether or not it has gone, and waits for the next process of its name. Messages that were sent
    /// before and not received are lost.
    ///
    /// # Errors
    /// As [`LinkBuilder::connect`]. After an error the call can be repeated.
    pub fn reconnect(&mut self) -> Result<(), LinkError> {
        self.reconnect_until(Deadline::NEVER)
    }

    /// Like [`reconnect`](Self::reconnect), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`LinkBuilder::connect_until`]. After an error the call can be repeated.
    pub fn reconnect_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), LinkError> {
        if self.meeting.forked() {
            return Err(LinkError::Forked);
        }
        self.meeting.restart();
        let incoming = &mut self.incoming;
        let strategy = self.options.strategy;
        let met = self.meeting.meet(strategy, deadline.into(), |_| {
            // As in `Rejoining`.
            incoming.discard();
            Ok::<_, LinkError>(true)
        })?;
        if met != Met::Yes {
            return Err(failed(met));
        }
        self.outgoing.begin_anew();
        Ok(())
    }

    /// Like [`reconnect`](Self::reconnect), but does not wait: for event loops. This process keeps its side of the link.
    ///
    /// In a forked child each call on what it returns says so.
    pub fn begin_reconnect(mut self) -> Connecting<Self> {
        if !self.meeting.forked() {
            self.meeting.restart();
        }
        let strategy = self.options.strategy;
        let rejoining = Rejoining {
            outgoing: self.outgoing,
            incoming: self.incoming,
            max_message_bytes: self.max_message_bytes,
            path: self.path,
            options: self.options,
        };
        Connecting::new(self.meeting, strategy, rejoining)
    }
}
