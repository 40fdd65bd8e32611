//! A message in place.

use super::pending::{losses_before, Pending};
use super::{lost, settle, Lent, Loan, Place, Reading};
use crate::consumer::Taken;
use crate::failure::Failure;
use crate::lend::Lending;
use crate::slot::Step;
use self_cell::MutBorrow;
use slipring::endpoint::TryReceiveError;
use slipring::Deadline;

/// A message in place and its sequence, or what came instead.
type LentOr = Result<(Lending, u64), Taken>;

impl Reading {
    /// Lends the next message in place, or says what came instead.
    pub fn lend(&mut self, deadline: Option<Deadline>) -> Result<Step<LentOr>, Failure> {
        self.not_lent()?;
        // A message behind a loss was copied when the loss was noticed.
        if let Some(taken) = self.pop() {
            return match taken? {
                Taken::Copy(bytes, sequence) => {
                    // Its own memory is lent instead.
                    self.pending.push_front(Pending::Message(bytes, sequence));
                    let Some(Pending::Message(bytes, _)) = self.pending.front() else {
                        return Err(lost());
                    };
                    let lending = Lending::of(bytes);
                    self.lending = Some(lending.clone());
                    self.lends_pending = true;
                    Ok(Step::Done(Ok((lending, sequence))))
                }
                other => Ok(Step::Done(Err(other))),
            };
        }
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
                None => consumer.try_receive().map(Loan::One),
                Some(deadline) => settle(consumer.receive_until(deadline)).map(Loan::One),
            }
        });
        let lent = match taken {
            Ok(lent) => lent,
            Err((owner, error)) => {
                self.place = Place::Free(owner.into_inner());
                return self.step(Err(error), deadline, || Err(Taken::End));
            }
        };
        let seen = lent.with_dependent(|_, loan| match loan {
            Loan::One(message) => Some((
                Lending::of(message),
                message.sequence(),
                message.missed(),
                message.gap(),
                message.to_vec(),
            )),
            _ => None,
        });
        let Some((lending, sequence, missed, gap, bytes)) = seen else {
            return Err(lost());
        };
        self.place = Place::Lent(lent);
        self.told = None;
        self.sequence = sequence.wrapping_add(1);
        if missed == 0 && gap.is_none() {
            self.lending = Some(lending.clone());
            return Ok(Step::Done(Ok((lending, sequence))));
        }
        losses_before(sequence, missed, gap, &mut self.pending);
        self.pending.push_back(Pending::Message(bytes, sequence));
        if !self.durable {
            self.give_back(None)?;
        }
        match self.pop() {
            Some(Ok(taken)) => Ok(Step::Done(Err(taken))),
            _ => Err(lost()),
        }
    }
}
