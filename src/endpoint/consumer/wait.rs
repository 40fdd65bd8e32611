//! A consumer that waits for the next message: first as fast as it can, then as its strategy says.
//!
//! Layer 5.

use super::{read, Consumer};
use crate::attach::Attachment;
use crate::endpoint::error::ReceiveError;
use crate::endpoint::interrupted::Interrupted;
use crate::endpoint::waiting::{self, End, Manner, Reader};
use crate::layout::frame::CommitWord;
use crate::ring::consumer::Arrived;
use crate::segment::Memory;
use crate::sync::spin_hint;
use crate::wait::{Deadline, Strategy, Waited};

/// Pauses before the general wait is set up: one or two microseconds.
const PAUSES: u32 = 64;
/// An answer within fewer pauses comes from a near core.
const SOON: u32 = 6;

impl Consumer {
    /// Polls for a microsecond or two: nothing but loads and compares, and pauses, of which about four make a
    /// round trip between near cores. Where answers are likely there are two polls to a pause.
    ///
    /// What decides how soon an answer is found is what the processor makes of the branches, so there are two
    /// shapes, for answers that take as long as the last one did.
    #[inline(never)]
    pub(super) fn spin(&mut self) -> Option<CommitWord> {
        if self.reading.empty(read(&self.core)) {
            return None;
        }
        if self.answered_soon {
            self.poll_in_a_loop()
        } else {
            self.poll_in_a_row()
        }
    }

    /// For answers that come within a few pauses. In a loop the processor mostly expects to go on, and where it
    /// expected otherwise, round trips fell into step with the pauses: a pause more each, for a thousand in a row.
    #[inline(always)]
    fn poll_in_a_loop(&mut self) -> Option<CommitWord> {
        for pause in 0..PAUSES {
            for _ in 0..2 {
                if let Some(word) = self.core.peek() {
                    if pause >= SOON {
                        self.answered_soon = false;
                    }
                    return Some(word);
                }
            }
            spin_hint();
        }
        self.answered_soon = false;
        None
    }

    /// For answers that come later. Where each poll is a branch of its own, the processor learns at which one an
    /// answer comes, and goes on before it has seen it.
    #[inline(always)]
    fn poll_in_a_row(&mut self) -> Option<CommitWord> {
        macro_rules! poll {
            ($($pause:literal)*) => { $(
                for _ in 0..2 {
                    if let Some(word) = self.core.peek() {
                        if $pause < SOON {
                            self.answered_soon = true;
                        }
                        return Some(word);
                    }
                }
                spin_hint();
            )* };
        }
        poll!(1 2 3 4 5 6 7 8 9 10 11 12);
        for _ in 12..PAUSES {
            if let Some(word) = self.core.peek() {
                return Some(word);
            }
            spin_hint();
        }
        None
    }

    /// The next message, or nothing once the ring is closed.
    #[inline(never)]
    pub(super) fn wait_for_next(
        &mut self,
        deadline: Deadline,
        manner: Manner,
    ) -> Result<Option<Arrived>, ReceiveError> {
        if self.reading.owes_pause() {
            self.special = self.is_special();
            self.reading.pause(read(&self.core), deadline);
        }
        if let Some(arrived) = self.poll()? {
            return Ok(Some(arrived));
        }
        if self.reading.empty(read(&self.core)) {
            self.reading.pause(read(&self.core), deadline);
            if let Some(arrived) = self.poll()? {
                return Ok(Some(arrived));
            }
        }
        waiting::wait_for_next(self, deadline, manner)
    }
}

impl Reader for Consumer {
    type Next = Arrived;

    fn look(&mut self) -> Result<Option<Arrived>, Interrupted> {
        match self.poll()? {
            None if self.is_evicted() => self.come_back(),
            arrived => Ok(arrived),
        }
    }

    fn ring(&self) -> &Attachment {
        &self.ring
    }

    fn memory(&self) -> &Memory {
        self.core.memory()
    }

    fn sequence(&self) -> u64 {
        self.core.sequence()
    }

    fn strategy(&self) -> (Strategy, bool) {
        (self.options.strategy, true)
    }

    fn displaced(&self) -> bool {
        self.is_evicted()
    }

    fn end(&mut self) -> &mut End {
        &mut self.end
    }

    fn slept(&mut self) -> &mut bool {
        &mut self.slept
    }
}

impl Waited for Consumer {
    #[inline(always)]
    fn ready(&mut self) -> bool {
        self.core.peek().is_some()
    }

    fn over(&mut self) -> bool {
        waiting::over(self)
    }

    fn gone(&mut self) -> bool {
        waiting::gone(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::endpoint::{ConsumerOptions, ObserverOptions, Received, Ring, TryReceiveError};
    use crate::read::{Pacing, ReadPolicy};
    use crate::ring::Start;
    use crate::wait::{Deadline, Strategy};
    use core::time::Duration;

    const EAGER: ReadPolicy = ReadPolicy::Behind(Pacing {
        lag_bytes: u64::MAX,
        pause_ns: 1000,
        flush: true,
    });

    #[test]
    fn consumers_pause_only_in_calls_that_may_wait_and_before_their_deadline() {
        let ring = Ring::heap().create().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut fill = || {
            for _ in 0..500 {
                producer.publish(&[7; 64]).unwrap();
            }
        };
        let options = ConsumerOptions::new().strategy(Strategy::Spin);
        let options = options.read_policy(EAGER);
        let mut consumer = ring.consumer_with(Start::Oldest, options).unwrap();
        for _ in 0..2 {
            fill();
            let received = (0..501).map_while(|_| consumer.try_receive().ok().map(drop));
            assert_eq!(received.count(), 500);
            let end = consumer.try_receive_batch(8).map(drop);
            assert!(matches!(end, Err(TryReceiveError::Empty)));
            assert_eq!(consumer.reading.pauses(), 0);
        }
        for _ in 0..2 {
            fill();
            let mut next = || consumer.receive_until(Duration::ZERO).map(|m| m.is_some());
            assert_eq!((0..501).take_while(|_| next() == Ok(true)).count(), 500);
            assert_eq!(consumer.reading.pauses(), 0);
        }
        fill();
        for _ in 0..500 {
            drop(consumer.receive_until(Deadline::NEVER).unwrap().unwrap());
        }
        assert!(consumer.reading.pauses() > 0, "never paused");
        assert!(!consumer.special || consumer.reading.owes_pause());
    }

    #[test]
    fn observers_pause_only_in_calls_that_may_wait_and_before_their_deadline() {
        let ring = Ring::heap().create().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut fill = || {
            for _ in 0..500 {
                producer.publish(&[7; 64]).unwrap();
            }
        };
        let options = ObserverOptions::new().strategy(Strategy::Spin);
        let options = options.read_policy(EAGER);
        let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
        fill();
        while let Ok(Received::Message(_)) = observer.try_receive() {}
        fill();
        while let Ok(Received::Message(_)) = observer.receive_until(Duration::ZERO) {}
        assert_eq!((observer.received_count(), observer.pauses()), (1000, 0));
        fill();
        for _ in 0..500 {
            observer.receive().unwrap();
        }
        assert!(observer.pauses() > 0, "never paused");
    }
}
