//! Either kind of reader of `sub`: what it receives and loses is printed as it comes.

use super::printer::Printer;
use crate::failure::{Failure, FAILED};
use slipring::{
    endpoint::{AttachError, Epoch, Gap, ReceiveError, TryReceiveError},
    Consumer, Deadline, Message, Received, Ring, Start,
};
use std::io;
use std::time::Duration;

/// The outcome of one receive, with the message already printed.
pub(super) enum Got {
    Something,
    Nothing,
    End,
}

/// Either kind of reader.
pub(super) enum Reader {
    Consumer(Box<Consumer>, Told),
    Observer(Box<slipring::Observer>),
}

/// The losses of a consumer that were printed, and those before the last message. A loss is printed when it is found,
/// or with the message behind it.
#[derive(Default)]
pub(super) struct Told {
    printed: u64,
    passed: u64,
}

impl Told {
    /// Prints a message of a consumer that was at `next`, behind what it lost and what was skipped since.
    fn message(
        &mut self,
        next: u64,
        message: &Message<'_>,
        printer: &mut Printer,
    ) -> io::Result<()> {
        self.passed += message.missed();
        let lost = self.passed.saturating_sub(self.printed);
        self.print(self.passed, message.sequence(), printer)?;
        let skipped = message.sequence().wrapping_sub(next).wrapping_sub(lost);
        if let Some(gap) = message.gap().filter(|_| skipped > 0) {
            printer.counted = printer.counted.wrapping_add(skipped);
            printer.skipped(skipped, gap)?;
        }
        printer.message(message.sequence(), message)
    }

    /// Returns `true` if there was something to print.
    fn no_message(&mut self, consumer: &Consumer, printer: &mut Printer) -> io::Result<bool> {
        let before = self.printed;
        self.print(consumer.losses().evicted, consumer.next_sequence(), printer)?;
        printer.passed(consumer.losses().skipped, consumer.last_gap())?;
        Ok(self.printed > before)
    }

    fn print(&mut self, lost: u64, resumed_at: u64, printer: &mut Printer) -> io::Result<()> {
        if lost > self.printed {
            printer.evicted(lost - self.printed, resumed_at)?;
            self.printed = lost;
        }
        Ok(())
    }
}

impl Reader {
    pub(super) fn attach(
        ring: &Ring,
        observes: bool,
        cursor: Option<&str>,
        start: Start,
    ) -> Result<Self, Failure> {
        if observes {
            return Ok(Self::Observer(Box::new(ring.observer(start)?)));
        }
        let consumer = match cursor {
            Some(cursor) => ring.durable_consumer(cursor, start),
            None => ring.consumer(start),
        };
        match consumer {
            Ok(consumer) => Ok(Self::Consumer(Box::new(consumer), Told::default())),
            Err(AttachError::Permission { path }) => Err(Failure::permission(
                "consume from",
                &path,
                "observe it (--observe), or ask for a mode that includes writing",
            )),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        match self {
            Self::Consumer(consumer, _) => consumer.next_sequence(),
            Self::Observer(observer) => observer.next_sequence(),
        }
    }

    pub(super) fn poll(&mut self, printer: &mut Printer) -> Result<Got, Failure> {
        let next = self.next_sequence();
        let error = match self {
            Self::Consumer(consumer, told) => {
                let error = match consumer.try_receive() {
                    Ok(message) => {
                        told.message(next, &message, printer)?;
                        return Ok(Got::Something);
                    }
                    Err(error) => error,
                };
                let printed = told.no_message(consumer, printer)?;
                if printed && error == TryReceiveError::Empty {
                    return Ok(Got::Something);
                }
                error
            }
            Self::Observer(observer) => match observer.try_receive() {
                Ok(received) => return print(received, printer),
                Err(error) => error,
            },
        };
        match error {
            TryReceiveError::Empty => Ok(Got::Nothing),
            TryReceiveError::Closed => Ok(Got::End),
            error => Err(error.into()),
        }
    }

    pub(super) fn wait(&mut self, printer: &mut Printer, step: Duration) -> Result<Got, Failure> {
        let deadline = Deadline::after(step);
        let next = self.next_sequence();
        let error = match self {
            Self::Consumer(consumer, told) => {
                let error = match consumer.receive_until(deadline) {
                    Ok(Some(message)) => {
                        told.message(next, &message, printer)?;
                        return Ok(Got::Something);
                    }
                    Ok(None) => None,
                    Err(error) => Some(error),
                };
                let printed = told.no_message(consumer, printer)?;
                match error {
                    None => return Ok(Got::End),
                    Some(ReceiveError::TimedOut) if printed => return Ok(Got::Something),
                    Some(error) => error,
                }
            }
            Self::Observer(observer) => match observer.receive_until(deadline) {
                Ok(received) => return print(received, printer),
                Err(error) => error,
            },
        };
        match error {
            ReceiveError::TimedOut => Ok(Got::Nothing),
            error => Err(error.into()),
        }
    }

    /// Waits for the next producer, for at most one step.
    pub(super) fn await_producer(&mut self, step: Duration) -> Result<(), Failure> {
        let came = match self {
            Self::Consumer(consumer, _) => consumer.wait_for_producer(step),
            Self::Observer(observer) => observer.wait_for_producer(step),
        };
        match came {
            Ok(()) | Err(ReceiveError::TimedOut) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports what a consumer has skipped that no message follows yet, or in the middle of which it began.
    pub(super) fn passed(&self, printer: &mut Printer) -> io::Result<()> {
        match self {
            Self::Consumer(consumer, _) => {
                printer.passed(consumer.losses().skipped, consumer.last_gap())
            }
            Self::Observer(_) => Ok(()),
        }
    }

    pub(super) fn new_epoch(&mut self) -> Option<Epoch> {
        match self {
            Self::Consumer(consumer, _) => consumer.new_epoch(),
            Self::Observer(observer) => observer.new_epoch(),
        }
    }
}

fn print(received: Received<'_>, printer: &mut Printer) -> Result<Got, Failure> {
    match received {
        Received::Message(message) => printer.message(message.sequence(), &message)?,
        Received::Lapped { lost, resumed_at } => printer.lapped(lost, resumed_at)?,
        Received::Skipped {
            skipped,
            resumed_at,
            why,
        } => {
            let first = resumed_at.wrapping_sub(skipped);
            printer.skipped(skipped, Gap::new(first, resumed_at, why))?;
        }
        Received::Closed => return Ok(Got::End),
        other => return Err(Failure::new(FAILED, format!("{other:?} is not known here"))),
    }
    Ok(Got::Something)
}
