//! How a handle waits: spin, yield, sleep, or spin first and then sleep.
//!
//! Layer 4. One loop serves producers, consumers and observers. Its inner poll is one load and one
//! compare; clocks, the state of the peer and the kernel are asked only between bursts of polls.

use super::bell::{self, FIRST_SLEEP, LONGEST_SLEEP};
use super::{Deadline, Since, ASK_EVERY};
use crate::layout::lines::Bell;
use crate::sync::spin_hint;
use core::time::Duration;
use std::time::Instant;

/// Polls between two checks of anything else.
const BURST: u32 = 64;
/// The longest sleep of a waiter that may not write the bell, and so cannot be woken.
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// What a handle does while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Polls without pause. Lowest latency; takes a whole core.
    Spin,
    /// Polls, and yields the core to other threads between polls.
    Yield,
    /// Polls for a while, then sleeps until woken.
    SpinThenPark {
        /// How long to poll before each sleep.
        spin: Duration,
    },
    /// Sleeps until woken.
    Park,
}

impl Default for Strategy {
    /// Polls for 20 microseconds, about what a sleep and its wake cost, then sleeps.
    fn default() -> Self {
        Self::SpinThenPark {
            spin: Duration::from_micros(20),
        }
    }
}

impl Strategy {
    /// Returns `true` if a handle with this strategy ever sleeps.
    pub const fn parks(self) -> bool {
        matches!(self, Self::SpinThenPark { .. } | Self::Park)
    }
}

/// A condition to wait for.
pub trait Waited {
    /// Returns `true` if the condition holds. Called in the inner loop. A wait ends at the first `true`, so
    /// the check may take what it found.
    fn ready(&mut self) -> bool;
    /// Returns `true` if the condition will never hold. Loads only.
    fn over(&mut self) -> bool;
    /// Returns `true` if the condition will never hold. Asks the kernel, and is called rarely.
    fn gone(&mut self) -> bool;
    /// The longest time between two such calls, asleep or awake.
    fn longest_sleep(&self) -> Duration {
        LONGEST_SLEEP
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The condition holds.
    Ready,
    /// The peer said that the condition will never hold.
    Over,
    /// The peer is gone.
    Gone,
    /// The deadline has passed.
    TimedOut,
}

/// The checks of a loop around [`until`] after the condition held but nothing could be taken. A peer that
/// breaks the protocol can cause that at every turn, and `until` checks neither time nor peers while the
/// condition holds.
#[derive(Debug, Default)]
pub struct Again(Since);

impl Again {
    /// The end of the wait, if there is one: the deadline passed, or, checked at intervals, the peer is
    /// gone.
    #[cold]
    pub fn ends<W: Waited>(&mut self, waited: &mut W, deadline: Deadline) -> Option<Outcome> {
        spin_hint();
        if self.0.due() && waited.gone() {
            Some(Outcome::Gone)
        } else {
            deadline.passed().then_some(Outcome::TimedOut)
        }
    }
}

/// Waits. Without a bell, sleeping strategies sleep for up to a millisecond between polls.
///
/// `slept` says whether this handle has slept on the bell before; its first sleep is short.
///
/// A condition that holds ends the wait at once, without a check of the time or the peer. A caller in a
/// loop uses [`Again`] at each turn.
pub fn until<W: Waited>(
    waited: &mut W,
    strategy: Strategy,
    bell: Option<&Bell>,
    deadline: Deadline,
    slept: &mut bool,
) -> Outcome {
    let mut started: Option<Instant> = None;
    let mut asked: Option<Instant> = None;
    let mut nap = Duration::from_micros(10);
    let backoff = crossbeam_utils::Backoff::new();
    loop {
        if strategy != Strategy::Park {
            for _ in 0..BURST {
                if waited.ready() {
                    return Outcome::Ready;
                }
                spin_hint();
            }
        } else if waited.ready() {
            return Outcome::Ready;
        }
        if waited.over() {
            return Outcome::Over;
        }
        let now = Instant::now();
        // Before the deadline, so that many short waits notice a death as one long one does.
        let since_asked = now - *asked.get_or_insert(now);
        if since_asked >= ASK_EVERY.min(waited.longest_sleep()) {
            asked = Some(now);
            if waited.gone() {
                return Outcome::Gone;
            }
        }
        if deadline.passed_at(now) {
            return Outcome::TimedOut;
        }
        let spun = now - *started.get_or_insert(now);
        let sleeps = match strategy {
            Strategy::Spin => false,
            Strategy::Yield => {
                backoff.snooze();
                false
            }
            Strategy::SpinThenPark { spin } => spun >= spin,
            Strategy::Park => true,
        };
        if sleeps {
            let left = deadline.remaining().unwrap_or(LONGEST_SLEEP);
            match bell {
                Some(bell) => {
                    let longest = if *slept { LONGEST_SLEEP } else { FIRST_SLEEP };
                    let longest = longest.min(waited.longest_sleep());
                    *slept = true;
                    let mut ready = false;
                    bell::sleep(bell, left.min(longest), || {
                        ready = waited.ready();
                        ready || waited.over()
                    });
                    if ready {
                        return Outcome::Ready;
                    }
                }
                None => {
                    std::thread::sleep(left.min(nap));
                    nap = (nap * 2).min(LONGEST_NAP);
                }
            }
            started = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is ready only at the call with this number.
    struct Once(u32);

    impl Waited for Once {
        fn ready(&mut self) -> bool {
            self.0 = self.0.wrapping_sub(1);
            self.0 == 0
        }

        fn over(&mut self) -> bool {
            false
        }

        fn gone(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn what_is_ready_while_a_wait_falls_asleep_ends_the_wait() {
        let bell = Bell::default();
        for asked in 1..=4 {
            let outcome = until(
                &mut Once(asked),
                Strategy::Park,
                Some(&bell),
                Deadline::after(Duration::from_secs(10)),
                &mut true,
            );
            assert_eq!(outcome, Outcome::Ready, "the {asked}. time");
        }
    }
}
