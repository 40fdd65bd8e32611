//! The state of a consumer: free, or lending what it received last; and what it has still to hand out.

mod lend;
mod pending;
mod several;

use super::Taken;
use crate::failure::Failure;
use crate::lend::Lending;
use crate::slot::{Mode, Step};
use crate::watched::Watched;
use pending::{losses_before, pend, Pending};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::types::PyBytes;
use self_cell::{self_cell, MutBorrow};
use slipring::endpoint::{Batch, ReceiveError, TryReceiveError};
use slipring::{Consumer as Inner, Deadline, Message, Ring};
use std::collections::VecDeque;

/// What is borrowed of a consumer while it is lent.
enum Loan<'c> {
    One(Message<'c>),
    Many(Batch<'c>),
    /// Left as a crash would leave it.
    Forgotten,
}

self_cell!(
    struct Lent {
        owner: MutBorrow<Watched<Inner>>,

        #[not_covariant]
        dependent: Loan,
    }
);

enum Place {
    Free(Watched<Inner>),
    Lent(Lent),
    /// While it changes.
    Nowhere,
}

/// A consumer and what it has still to hand out.
pub struct Reading {
    place: Place,
    /// The loan that Python sees, if it is one of `peek`.
    lending: Option<Lending>,
    pending: VecDeque<Pending>,
    durable: bool,
    ring: Ring,
    /// The number of the producer whose end was told, if nothing came since.
    told: Option<u64>,
    sequence: u64,
    /// Python sees the first pending message, not one in place.
    lends_pending: bool,
    descriptor: Option<i32>,
    uses_io_uring: bool,
    row: u32,
}

impl Reading {
    /// A consumer that has lent nothing.
    pub fn new(consumer: Inner, ring: Ring, durable: bool) -> Self {
        Self {
            sequence: consumer.next_sequence(),
            row: consumer.row(),
            lends_pending: false,
            descriptor: None,
            uses_io_uring: false,
            place: Place::Free(Watched::new(consumer)),
            lending: None,
            pending: VecDeque::new(),
            durable,
            ring,
            told: None,
        }
    }

    /// The sequence of the message that the next call hands out, as far as is known.
    pub fn next_sequence(&self) -> u64 {
        let pending = self.pending.iter().find_map(|pending| match pending {
            Pending::Message(_, sequence) | Pending::WrongSize(sequence, ..) => Some(*sequence),
            Pending::Loss(_) => None,
        });
        match (&self.place, pending) {
            (_, Some(sequence)) => sequence,
            (Place::Free(watched), None) => {
                watched.see().map_or(self.sequence, |c| c.next_sequence())
            }
            (_, None) => self.sequence,
        }
    }

    /// Whether something was taken that was not handed out.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Fails while Python sees lent memory.
    pub fn may_leave(&mut self) -> Result<(), Failure> {
        match &self.lending {
            None => Ok(()),
            Some(lending) => lending.end(),
        }
    }

    /// Gives back what is lent: this loan, or any.
    pub fn give_back(&mut self, loan: Option<&Lending>) -> Result<(), Failure> {
        if let Some(loan) = loan {
            if !self.lending.as_ref().is_some_and(|seen| seen.is(loan)) {
                return Ok(());
            }
        }
        self.may_leave()?;
        self.lending = None;
        if std::mem::take(&mut self.lends_pending) {
            self.pending.pop_front();
        }
        // What was taken and not handed out is not done.
        if self.durable && self.has_pending() {
            return Ok(());
        }
        if let Place::Lent(_) = self.place {
            if let Place::Lent(lent) = std::mem::replace(&mut self.place, Place::Nowhere) {
                self.place = Place::Free(lent.into_owner().into_inner());
            }
        }
        Ok(())
    }

    /// Fails while Python sees a message in place.
    fn not_lent(&self) -> Result<(), Failure> {
        match self.lending {
            None => Ok(()),
            Some(_) => Err(refused(
                "a message of this consumer is lent: leave the `with` block of `peek` first",
            )),
        }
    }

    /// The consumer, for a call that receives: what a durable one received last is done.
    pub fn next(&mut self) -> Result<&mut Watched<Inner>, Failure> {
        self.not_lent()?;
        self.give_back(None)?;
        match &mut self.place {
            Place::Free(watched) => Ok(watched),
            Place::Lent(_) => Err(refused("this durable consumer has messages that it took and did not hand out: receive them first")),
            Place::Nowhere => Err(lost()),
        }
    }

    /// The consumer, for a call that only looks.
    pub fn free(&mut self) -> Result<&mut Inner, Failure> {
        self.not_lent()?;
        match &mut self.place {
            Place::Free(watched) => watched.get(),
            Place::Lent(_) => Err(refused("this durable consumer holds the message that it received last: acknowledge it first")),
            Place::Nowhere => Err(lost()),
        }
    }

    /// The descriptor.
    pub fn fileno(&mut self) -> Result<i32, Failure> {
        if let Some(descriptor) = self.descriptor {
            return Ok(descriptor);
        }
        self.free()?;
        let descriptor = self.next()?.fileno()?;
        self.descriptor = Some(descriptor);
        Ok(descriptor)
    }

    /// Has the kernel make the descriptor readable.
    pub fn use_io_uring(&mut self) -> Result<(), Failure> {
        self.free()?;
        self.next()?.use_io_uring()?;
        self.uses_io_uring = false;
        Ok(())
    }

    /// Returns `true` if the kernel watches what was armed last.
    pub fn uses_io_uring(&self) -> bool {
        self.uses_io_uring
    }

    /// Says whether there is something to receive; otherwise the descriptor becomes readable when there is.
    pub fn arm(&mut self) -> Result<bool, Failure> {
        if self.has_pending() {
            return Ok(true);
        }
        let watched = self.next()?;
        let ready = watched.arm()?;
        self.uses_io_uring = watched.uses_io_uring();
        Ok(ready)
    }

    /// Its row.
    pub fn row(&self) -> u32 {
        self.row
    }

    fn pop(&mut self) -> Option<Result<Taken, Failure>> {
        Some(match self.pending.pop_front()? {
            Pending::Loss(loss) => Ok(Taken::Loss(loss)),
            Pending::Message(bytes, sequence) => Ok(Taken::Copy(bytes, sequence)),
            Pending::WrongSize(sequence, len, expected) => Err(TryReceiveError::WrongSize {
                sequence,
                len,
                expected,
            }
            .into()),
        })
    }

    /// The next message, or loss, if there is one now.
    pub fn try_take(&mut self) -> Result<Taken, Failure> {
        match self.attempt(None, None)? {
            Ok(taken) => Ok(taken),
            Err(error) => Err(error.into()),
        }
    }

    /// The next message, as a step of a wait.
    pub fn take(&mut self, mode: &Mode<'_>) -> Result<Step<Taken>, Failure> {
        let py = match mode {
            Mode::Now(py) => Some(*py),
            Mode::Until(_) => None,
        };
        let taken = self.attempt(py, mode.deadline())?;
        self.step(taken, mode.deadline(), || Taken::End)
    }

    /// What the end of a ring, and nothing, are to a call that waits.
    fn step<R>(
        &mut self,
        taken: Result<R, TryReceiveError>,
        deadline: Option<Deadline>,
        end: impl FnOnce() -> R,
    ) -> Result<Step<R>, Failure> {
        match taken {
            Ok(taken) => {
                self.told = None;
                Ok(Step::Done(taken))
            }
            Err(TryReceiveError::Empty) => Step::or(ReceiveError::TimedOut),
            Err(TryReceiveError::Closed) => {
                // Told once for each producer, by the call that may wait; until then it is what the call comes to.
                let epoch = self.ring.status().map(|status| status.epoch.number).ok();
                if deadline.is_none() || self.told.is_some() && self.told == epoch {
                    return Ok(Step::Again(Ok(end())));
                }
                self.told = epoch.or(Some(0));
                Ok(Step::Done(end()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One message: at once, or by a deadline.
    fn attempt(
        &mut self,
        py: Option<pyo3::Python<'_>>,
        deadline: Option<Deadline>,
    ) -> Result<Result<Taken, TryReceiveError>, Failure> {
        self.not_lent()?;
        if let Some(pending) = self.pop() {
            return pending.map(Ok);
        }
        if self.durable {
            return Ok(self
                .hold(1, None, deadline)?
                .map(|_| ())
                .and_then(|()| match self.pop() {
                    Some(Ok(taken)) => Ok(taken),
                    _ => Err(TryReceiveError::Empty),
                }));
        }
        let mut losses = VecDeque::new();
        let taken = {
            let consumer = self.next()?.get()?;
            let message = match deadline {
                None => consumer.try_receive(),
                Some(deadline) => settle(consumer.receive_until(deadline)),
            };
            match message {
                Err(error) => Err(error),
                Ok(message) => {
                    let sequence = message.sequence();
                    losses_before(sequence, message.missed(), message.gap(), &mut losses);
                    Ok(match py {
                        Some(py) if losses.is_empty() => {
                            Taken::Bytes(PyBytes::new(py, &message).unbind(), sequence)
                        }
                        _ => Taken::Copy(message.to_vec(), sequence),
                    })
                }
            }
        };
        if losses.is_empty() {
            return Ok(taken);
        }
        self.pending = losses;
        if let Ok(Taken::Copy(bytes, sequence)) = taken {
            self.pending.push_back(Pending::Message(bytes, sequence));
        }
        self.pop().unwrap_or_else(|| Err(lost())).map(Ok)
    }

    /// Takes up to so many messages and keeps them from the producer until the next call. What was taken is pending.
    fn hold(
        &mut self,
        max: usize,
        fixed: Option<u32>,
        deadline: Option<Deadline>,
    ) -> Result<Result<(), TryReceiveError>, Failure> {
        self.next()?;
        let Place::Free(watched) = std::mem::replace(&mut self.place, Place::Nowhere) else {
            return Err(lost());
        };
        let taken = Lent::try_new_or_recover(MutBorrow::new(watched), |owner| {
            let consumer = owner
                .borrow_mut()
                .get()
                .map_err(|_| TryReceiveError::Empty)?;
            match deadline {
                None => consumer.try_receive_batch(max).map(Loan::Many),
                Some(deadline) => {
                    settle(consumer.receive_batch_until(max, deadline)).map(Loan::Many)
                }
            }
        });
        let mut lent = match taken {
            Ok(lent) => lent,
            Err((owner, error)) => {
                self.place = Place::Free(owner.into_inner());
                return Ok(Err(error));
            }
        };
        let pending = &mut self.pending;
        lent.with_dependent_mut(|_, loan| {
            if let Loan::Many(batch) = loan {
                while let Some(payload) = batch.next() {
                    pend(&payload, fixed, pending);
                }
            }
        });
        self.place = Place::Lent(lent);
        if let Some(Pending::Message(_, last) | Pending::WrongSize(last, ..)) = self.pending.back()
        {
            self.sequence = last.wrapping_add(1);
        }
        Ok(Ok(()))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // What was not given back is not done: its guard ends as it would in a crash.
        if let Place::Lent(lent) = &mut self.place {
            lent.with_dependent_mut(|_, loan| {
                std::mem::forget(std::mem::replace(loan, Loan::Forgotten));
            });
        }
    }
}

/// A call that waited as one that did not: nothing, and the end, as errors.
fn settle<T>(received: Result<Option<T>, ReceiveError>) -> Result<T, TryReceiveError> {
    Err(match received {
        Ok(Some(received)) => return Ok(received),
        Ok(None) => TryReceiveError::Closed,
        Err(ReceiveError::TimedOut) => TryReceiveError::Empty,
        Err(ReceiveError::ProducerGone { next }) => TryReceiveError::ProducerGone { next },
        Err(ReceiveError::Expelled { next }) => TryReceiveError::Expelled { next },
        Err(ReceiveError::WrongSize {
            sequence,
            len,
            expected,
        }) => TryReceiveError::WrongSize {
            sequence,
            len,
            expected,
        },
        Err(ReceiveError::Poisoned) => TryReceiveError::Poisoned,
        Err(ReceiveError::Removed) => TryReceiveError::Removed,
        Err(ReceiveError::Corrupt(corrupt)) => TryReceiveError::Corrupt(corrupt),
        // Another version of the library may know more.
        Err(_) => TryReceiveError::Forked,
    })
}

fn refused(why: &'static str) -> Failure {
    PyBufferError::new_err(why).into()
}

fn lost() -> Failure {
    PyValueError::new_err("this consumer was lost in an earlier error: make it again").into()
}
