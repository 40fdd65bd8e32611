//! The readers whose messages can be conflated, and what each has next.
//!
//! Layer 5.

use crate::endpoint::consumer::Consumer;
use crate::endpoint::error::{Nothing, ReceiveError, TryReceiveError};
use crate::endpoint::message::Message;
use crate::endpoint::observer::Observer;
use crate::endpoint::received::{Payload, Received};
use crate::layout::gap::Why;
use crate::wait::Deadline;

/// What a reader has next.
#[derive(Debug)]
pub enum Next<'r> {
    /// A message.
    Message {
        /// Its number.
        sequence: u64,
        /// Messages directly before it that are lost.
        missed: u64,
        /// Its bytes.
        bytes: &'r [u8],
    },
    /// Some messages were missed.
    Lapped(u64, u64),
    /// Some sequences do not exist.
    Gap(u64, u64, Why),
    /// Some sequences before the message did not exist.
    Missing(u64),
    /// No message now, or none until the deadline.
    Nothing,
    /// The ring was closed.
    Closed,
}

/// A reader whose messages can be conflated: [`Observer`] and [`Consumer`].
pub trait Conflatable: sealed::Sealed {
    /// Takes the next message, and lets `see` look at it. Waits for it if there is a deadline.
    #[doc(hidden)]
    fn take_next(
        &mut self,
        wait: Option<Deadline>,
        see: &mut dyn FnMut(Next<'_>),
    ) -> Result<(), ReceiveError>;

    /// Bytes of data of the ring.
    #[doc(hidden)]
    fn ring_bytes(&self) -> u64;

    /// How many messages it has lost that it tells of by [`Message::missed`]: in all, and told of already.
    #[doc(hidden)]
    fn losses_and_told(&self) -> (u64, u64) {
        (0, 0)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::endpoint::Observer {}
    impl Sealed for crate::endpoint::Consumer {}
}

/// Converts an error of a call that does not wait; outcomes that are no errors become [`Next`] values.
fn not_waiting(error: TryReceiveError) -> Result<Next<'static>, ReceiveError> {
    Ok(match error.settle()? {
        Nothing::Yet => Next::Nothing,
        Nothing::More => Next::Closed,
    })
}

/// Like [`not_waiting`], for an error of a call that waits.
fn waiting(error: ReceiveError) -> Result<Next<'static>, ReceiveError> {
    match error {
        ReceiveError::TimedOut => Ok(Next::Nothing),
        error => Err(error),
    }
}

impl Conflatable for Observer {
    fn take_next(
        &mut self,
        wait: Option<Deadline>,
        see: &mut dyn FnMut(Next<'_>),
    ) -> Result<(), ReceiveError> {
        let next = |received: Received<'_>, see: &mut dyn FnMut(Next<'_>)| match received {
            Received::Message(message) => see(of_payload(&message)),
            Received::Lapped { lost, resumed_at } => see(Next::Lapped(lost, resumed_at)),
            Received::Skipped {
                skipped,
                resumed_at,
                why,
            } => see(Next::Gap(skipped, resumed_at, why)),
            Received::Closed => see(Next::Closed),
        };
        match wait {
            None => match self.try_receive() {
                Ok(received) => next(received, see),
                Err(error) => see(not_waiting(error)?),
            },
            Some(deadline) => match self.receive_until(deadline) {
                Ok(received) => next(received, see),
                Err(error) => see(waiting(error)?),
            },
        }
        Ok(())
    }

    fn ring_bytes(&self) -> u64 {
        self.capacity_bytes()
    }
}

fn of_payload<'p>(message: &Payload<'p>) -> Next<'p> {
    Next::Message {
        sequence: message.sequence(),
        missed: message.missed(),
        bytes: message.bytes(),
    }
}

fn of_message<'m>(message: &'m Message<'_>) -> Next<'m> {
    Next::Message {
        sequence: message.sequence(),
        missed: message.missed(),
        bytes: message,
    }
}

/// Takes the next message of a consumer.
fn take_one(
    consumer: &mut Consumer,
    wait: Option<Deadline>,
    see: &mut dyn FnMut(Next<'_>),
) -> Result<(), ReceiveError> {
    match wait {
        None => match consumer.try_receive() {
            Ok(message) => see(of_message(&message)),
            Err(error) => see(not_waiting(error)?),
        },
        Some(deadline) => match consumer.receive_until(deadline) {
            Ok(Some(message)) => see(of_message(&message)),
            Ok(None) => see(Next::Closed),
            Err(error) => see(waiting(error)?),
        },
    }
    Ok(())
}

impl Conflatable for Consumer {
    fn take_next(
        &mut self,
        wait: Option<Deadline>,
        see: &mut dyn FnMut(Next<'_>),
    ) -> Result<(), ReceiveError> {
        let before = self.losses().skipped;
        let result = take_one(self, wait, see);
        let missing = self.losses().skipped.wrapping_sub(before);
        if missing > 0 {
            see(Next::Missing(missing));
        }
        result
    }

    fn ring_bytes(&self) -> u64 {
        self.capacity_bytes()
    }

    fn losses_and_told(&self) -> (u64, u64) {
        (self.losses().evicted, self.told())
    }
}
