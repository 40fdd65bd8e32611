//! A producer that finds the ring full: which consumer is in the way, whether it is alive, whether its time
//! is up.
//!
//! Layer 5.

use super::patience::Stall;
use super::Producer;
use crate::attach::Attachment;
use crate::endpoint::error::{PublishError, TryPublishError};
use crate::endpoint::interrupted::Interrupted;
use crate::layout::lines::Bell;
use crate::ring::producer::{Batch, Refused};
use crate::segment::{Role, Trouble};
use crate::wait::{until, Deadline, Outcome, Strategy, Waited};
use core::time::Duration;
use std::time::Instant;

impl Producer {
    /// What it writes, and how it waits.
    pub(in crate::endpoint) fn waits(&self) -> (&Attachment, Strategy) {
        (&self.ring, self.options.strategy)
    }

    /// Where it sleeps for room, and whether it may.
    #[cfg(feature = "async")]
    pub(crate) fn room(&self) -> (&crate::segment::Memory, bool) {
        (self.core.memory(), self.options.strategy.parks())
    }

    /// How long it sleeps at most while the ring is full: it asks then whether the consumer in its way is alive, and
    /// whether its time is up.
    #[cfg(feature = "async")]
    pub(crate) const LONGEST_WAIT: Duration = ASK_AFTER;

    /// Turns a refusal into an error, unless the consumer that caused it is out of the way now.
    #[cold]
    pub(in crate::endpoint) fn refuse(
        &mut self,
        batch: &Batch,
        refused: Refused,
        len: usize,
    ) -> Result<(), TryPublishError> {
        match refused {
            Refused::Full { row } if self.retire_if_dead(row) => Ok(()),
            Refused::Full { row } if self.evict_if_due(batch, row) => Ok(()),
            Refused::TooLarge { .. } => Err(TryPublishError::TooLarge {
                len: len - self.prefix(),
                max: self.ring.max_message_bytes(),
            }),
            refused => {
                if let (Refused::Full { .. }, Some(trouble)) = (refused, self.ask_in_vain()) {
                    return Err(Interrupted::from(trouble).into());
                }
                Err(TryPublishError::from_refused(refused, len))
            }
        }
    }

    /// What befell the ring, asked at intervals by calls that found it full: a producer that only tries, or
    /// waits for moments, does not come to where a longer wait or a stream that goes on asks.
    fn ask_in_vain(&mut self) -> Option<Trouble> {
        self.asked.due().then(|| self.look_at_files()).flatten()
    }

    /// Frees the row of a consumer whose lock is free. The lock is held meanwhile, so that no process takes
    /// the row at the same moment.
    ///
    /// Returns `true` if it is worth trying again at once. It is not if one call freed more rows than there
    /// are: then a process without a lock keeps writing its row.
    fn retire_if_dead(&mut self, row: u32) -> bool {
        match self.ring.acquire_briefly(Role::Row(row)) {
            Ok(Some(_held)) => {
                self.core.retire(row);
                self.retired = self.retired.saturating_add(1);
                self.retired <= self.ring.max_readers()
            }
            _ => false,
        }
    }

    /// How long the consumer in `row` may still hold back this publish; `None` where the ring does not
    /// evict. Counts only time in which this producer looked regularly.
    fn left(&mut self, batch: &Batch, row: u32) -> Option<Duration> {
        let patience = self.evict_after?;
        let (next, now) = (batch.sequence(), Instant::now());
        let stall = self.stalled.filter(|stall| stall.sequence() == next);
        let stall = self.stalled.insert(stall.unwrap_or(Stall::new(next, now)));
        let counted = stall.look(now);
        let halvings = self.core.patience(row).min(31);
        Some((patience / (1 << halvings)).saturating_sub(counted))
    }

    /// Goes on without the consumer in `row` if it has had its time.
    fn evict_if_due(&mut self, batch: &Batch, row: u32) -> bool {
        let due = self.left(batch, row) == Some(Duration::ZERO);
        if due {
            self.core.evict(row);
        }
        due
    }

    #[cold]
    pub(in crate::endpoint) fn wait_for_room(
        &mut self,
        batch: &mut Batch,
        refused: Refused,
        len: usize,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        let row = match refused {
            Refused::TooLarge { .. } => {
                return Err(PublishError::TooLarge {
                    len: len - self.prefix(),
                    max: self.ring.max_message_bytes(),
                })
            }
            Refused::BatchFull => return Err(PublishError::BatchFull),
            Refused::Full { row } => row,
        };
        if self.retire_if_dead(row) || self.evict_if_due(batch, row) {
            return Ok(());
        }
        let due = self.left(batch, row).map(Deadline::after);
        let until_when = due.map_or(deadline, |due| due.earlier(deadline));
        let memory = self.core.memory().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.space);
        let (strategy, mut slept) = (self.options.strategy, self.slept);
        let mut room = Room {
            producer: self,
            batch,
            len,
            row,
        };
        let outcome = until(&mut room, strategy, bell, until_when, &mut slept);
        let row = room.row;
        self.slept = slept;
        if outcome == Outcome::Gone {
            if let Some(trouble) = self.look_at_files() {
                return Err(Interrupted::from(trouble).into());
            }
        }
        // The time that ran out may be the consumer's, not the caller's.
        if outcome == Outcome::TimedOut && deadline.passed() {
            return Err(match self.ask_in_vain() {
                Some(trouble) => Interrupted::from(trouble).into(),
                None => PublishError::TimedOut { row },
            });
        }
        Ok(())
    }
}

/// How often a producer that is held back asks whether the consumer in its way is alive, and whether
/// its time is up.
const ASK_AFTER: Duration = Duration::from_millis(2);

/// Waiting for room for one message.
struct Room<'p> {
    producer: &'p mut Producer,
    batch: &'p mut Batch,
    len: usize,
    row: u32,
}

impl Waited for Room<'_> {
    fn ready(&mut self) -> bool {
        match self.producer.core.try_room(self.batch, self.len) {
            Err(Refused::Full { row }) => {
                self.row = row;
                false
            }
            _ => true,
        }
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        // Asked every two milliseconds while this process runs.
        let _ = self.producer.left(self.batch, self.row);
        self.producer.ring.trouble().is_some() || self.producer.retire_if_dead(self.row)
    }

    fn longest_sleep(&self) -> Duration {
        ASK_AFTER
    }
}

#[cfg(test)]
mod tests {
    use crate::layout::lines::RowState;
    use crate::sync::Ordering::Relaxed;
    use crate::Ring;

    /// A process that has released its lock, but marks its row as a consumer's after each look.
    #[test]
    fn a_row_that_comes_back_from_the_dead_is_freed_a_few_times_in_a_call() {
        const ROWS: u32 = 3;
        let ring = Ring::heap().max_readers(ROWS).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let memory = producer.core.memory().clone();
        let row = memory.row(1).unwrap();
        for call in 0..2 {
            producer.begin().unwrap();
            for freed in 0..3 * ROWS {
                row.state.store(RowState::Consumer as u32, Relaxed);
                let again = producer.retire_if_dead(1);
                assert_eq!(again, freed < ROWS, "call {call}, freed {freed} times");
                let left = RowState::from_raw(row.state.load(Relaxed));
                assert_eq!(left, RowState::Free);
            }
        }
    }
}
