//! Several messages at once.

use super::pending::{pend, Pending};
use super::{lost, settle, Place, Reading};
use crate::batch::Gathered;
use crate::consumer::{Several, Taken};
use crate::failure::Failure;
use crate::slot::Step;
use slipring::endpoint::TryReceiveError;
use slipring::Deadline;

impl Reading {
    /// Several messages, as a step of a wait. They end before a loss.
    pub fn several(
        &mut self,
        max: usize,
        fixed: Option<u32>,
        deadline: Option<Deadline>,
    ) -> Result<Step<Several>, Failure> {
        self.not_lent()?;
        if !self.has_pending() {
            if self.durable {
                if let Err(error) = self.hold(max, fixed, deadline)? {
                    return self.step(Err(error), deadline, || Several::End);
                }
            } else {
                self.next()?;
                let gathered = self.gather(max, fixed, deadline)?;
                match gathered {
                    Err(error) => return self.step(Err(error), deadline, || Several::End),
                    Ok(gathered) if gathered.len() > 0 => {
                        self.told = None;
                        return Ok(Step::Done(Several::Messages(gathered)));
                    }
                    Ok(_) => {}
                }
            }
        }
        self.told = None;
        let mut several = self.pending_several(max, fixed)?;
        if let (Several::Messages(gathered), false, false) =
            (&mut several, self.durable, self.has_pending())
        {
            // What is behind them is there too. What ends the reader is for the next call.
            let more = max - gathered.len();
            if let Some(Ok(more)) = (more > 0)
                .then(|| self.gather(more, fixed, None))
                .transpose()?
            {
                gathered.append(more);
            }
        }
        Ok(Step::Done(several))
    }

    /// Copies what is there, up to the first loss.
    fn gather(
        &mut self,
        max: usize,
        fixed: Option<u32>,
        deadline: Option<Deadline>,
    ) -> Result<Result<Gathered, TryReceiveError>, Failure> {
        let Place::Free(watched) = &mut self.place else {
            return Err(lost());
        };
        let consumer = watched.get()?;
        let batch = match deadline {
            None => consumer.try_receive_batch(max),
            Some(deadline) => settle(consumer.receive_batch_until(max, deadline)),
        };
        let mut batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Ok(Err(error)),
        };
        let mut gathered = Gathered::with_room(max, fixed.unwrap_or(64) as usize);
        while let Some(payload) = batch.next() {
            let plain = payload.missed() == 0
                && payload.gap().is_none()
                && fixed.is_none_or(|fixed| fixed as usize == payload.len());
            if !plain {
                pend(&payload, fixed, &mut self.pending);
                break;
            }
            gathered.push(&payload, payload.sequence());
        }
        Ok(Ok(gathered))
    }

    /// What is pending, as several messages.
    fn pending_several(&mut self, max: usize, fixed: Option<u32>) -> Result<Several, Failure> {
        let mut gathered = Gathered::with_room(max.min(4096), fixed.unwrap_or(64) as usize);
        while gathered.len() < max {
            match self.pending.front() {
                Some(Pending::Message(bytes, sequence)) => {
                    gathered.push(bytes, *sequence);
                    self.pending.pop_front();
                }
                Some(_) if gathered.len() == 0 => {
                    return match self.pop() {
                        Some(Ok(Taken::Loss(loss))) => Ok(Several::Loss(loss)),
                        Some(Err(error)) => Err(error),
                        _ => Err(lost()),
                    };
                }
                _ => break,
            }
        }
        Ok(Several::Messages(gathered))
    }
}
