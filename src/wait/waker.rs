//! The waking side of a bell, with a budget for useless wakes.
//!
//! Layer 4. A process that may write a bell can arm it again and again, and so make every publish a system
//! call. A wake that woke no process is charged to a budget that refills with time. While the budget is
//! used up, most sightings of an armed bell are ignored. A real sleeper then waits for a later sighting, or
//! for the end of its bounded sleep.

use super::bell::ring_now;
use crate::layout::lines::Bell;
use crate::sync::{accept_fences, edge_fence, fence_by_others, Ordering::Relaxed};
use core::time::Duration;
use std::io;
use std::time::Instant;

/// How many useless wakes may come at once.
const BURST: u32 = 1000;
/// The time in which one more is earned: seven to ten times what it costs.
const EARN: Duration = Duration::from_micros(3);
/// How many changes go unannounced, at most, while the budget is used up.
const DEAF: u32 = 64;

/// What one waking handle knows of the bell it rings.
#[derive(Debug)]
pub struct Waker {
    wakes: u64,
    useless: u64,
    budget: u32,
    earned: Option<Instant>,
    deaf: u32,
    /// Whether sleepers make up for the fence.
    unfenced: bool,
}

impl Default for Waker {
    fn default() -> Self {
        Self {
            wakes: 0,
            useless: 0,
            budget: BURST,
            earned: None,
            deaf: 0,
            unfenced: false,
        }
    }
}

impl Waker {
    /// A waker that leaves its fence to the sleepers of this bell.
    ///
    /// The fence can be left out only while sleepers know it. The fence here comes before the first ring: a
    /// sleeper whose own fence comes before it has armed the bell visibly, and any other reads that it has
    /// to fence for both.
    ///
    /// # Errors
    /// The kernel, or a sandbox, refuses `membarrier`.
    pub fn unfenced(bell: &Bell) -> io::Result<Self> {
        accept_fences()?;
        bell.unfenced.store(1, Relaxed);
        edge_fence!(wake unfenced: SeqCst);
        Ok(Self {
            unfenced: true,
            ..Self::default()
        })
    }

    /// How many wakes were made.
    pub fn wakes(&self) -> u64 {
        self.wakes
    }

    /// How many of them were useless.
    pub fn useless(&self) -> u64 {
        self.useless
    }

    /// Wakes sleepers after a change, if there are any. In a ring of spinners this costs one load of a line
    /// that never changes.
    #[inline(always)]
    pub fn ring(&mut self, bell: &Bell) {
        if bell.may_park.load(Relaxed) != 0 {
            if self.unfenced {
                fence_by_others();
                if bell.armed.load(Relaxed) == 0 {
                    return;
                }
            }
            self.ring_if_armed(bell);
        }
    }

    #[inline(never)]
    fn ring_if_armed(&mut self, bell: &Bell) {
        if self.deaf > 0 {
            self.deaf -= 1;
            return;
        }
        edge_fence!(wake ring: SeqCst);
        if bell.armed.load(Relaxed) != 0 {
            self.wakes += 1;
            if ring_now(bell) == 0 {
                self.spend();
            }
        }
    }

    /// Charges a useless wake to the budget, or ignores the bell for a while.
    #[cold]
    fn spend(&mut self) {
        self.useless += 1;
        let now = Instant::now();
        let since = now - *self.earned.get_or_insert(now);
        let earned = since.as_nanos() / EARN.as_nanos();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(BURST);
            self.budget = self.budget.saturating_add(earned).min(BURST);
            self.earned = Some(now);
        }
        match self.budget.checked_sub(1) {
            Some(left) => self.budget = left,
            None => self.deaf = DEAF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_that_is_always_armed_costs_less_and_less() {
        let bell = Bell::default();
        let mut waker = Waker::default();
        bell.may_park.store(1, Relaxed);
        let started = Instant::now();
        let rounds = 1_000_000;
        for _ in 0..rounds {
            bell.armed.store(1, Relaxed);
            waker.ring(&bell);
        }
        let earned = started.elapsed().as_nanos() / EARN.as_nanos();
        let sightings = u128::from(rounds / (DEAF + 1) + 1);
        assert_eq!(waker.wakes(), waker.useless());
        assert!(u128::from(waker.wakes()) <= u128::from(BURST) + earned + sightings + 1);
    }

    #[test]
    fn an_unarmed_bell_costs_nothing() {
        let bell = Bell::default();
        let mut waker = Waker::default();
        bell.may_park.store(1, Relaxed);
        for _ in 0..1000 {
            waker.ring(&bell);
        }
        assert_eq!((waker.wakes(), waker.useless()), (0, 0));
    }

    #[test]
    fn who_leaves_its_fence_to_sleepers_says_so_and_rings_as_everybody_does() {
        let bell = Bell::default();
        let Ok(mut waker) = Waker::unfenced(&bell) else {
            // If membarrier is refused, the bell must not say that it is used.
            assert_eq!(bell.unfenced.load(Relaxed), 0);
            return;
        };
        assert_eq!(bell.unfenced.load(Relaxed), 1);
        bell.may_park.store(1, Relaxed);
        waker.ring(&bell);
        assert_eq!(waker.wakes(), 0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                super::super::bell::sleep(&bell, Duration::from_secs(3600), || false);
            });
            while !sleeper.is_finished() {
                waker.ring(&bell);
                std::thread::yield_now();
            }
        });
        assert!(waker.wakes() > 0);
    }

    #[test]
    fn a_spent_budget_is_earned_again_and_deafness_ends() {
        let bell = Bell::default();
        let mut waker = Waker {
            budget: 0,
            ..Waker::default()
        };
        bell.may_park.store(1, Relaxed);
        bell.armed.store(1, Relaxed);
        waker.ring(&bell);
        assert_eq!((waker.wakes(), waker.deaf), (1, DEAF));
        // That many sightings are ignored, and the next one counts.
        for _ in 0..DEAF {
            bell.armed.store(1, Relaxed);
            waker.ring(&bell);
        }
        assert_eq!((waker.wakes(), waker.deaf), (1, 0));
        // The budget has been refilled meanwhile.
        waker.earned = waker.earned.map(|at| at - 100 * EARN);
        waker.ring(&bell);
        assert_eq!((waker.wakes(), waker.useless(), waker.deaf), (2, 2, 0));
        assert!(waker.budget >= 99 && waker.budget < BURST);
    }
}
