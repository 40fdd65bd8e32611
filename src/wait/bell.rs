//! Sleeping without lost wake-ups, across processes, without any clean-up after a death.
//!
//! Layer 4. A sleeper arms the bell, full fence, looks once more, sleeps. A waker makes its change visible,
//! full fence, looks whether the bell is armed (edge `wake`). The second of the two sees the other. The
//! flag is no counter: a killed sleeper leaves it set, which costs one useless wake and then nothing.

use crate::layout::lines::Bell;
use crate::sync::{edge_fence, fence_everywhere, ord, FutexWord, Ordering::Relaxed};
use core::time::Duration;

/// The longest sleep. It bounds how late the death of a peer is noticed, and covers a case that no fence
/// can: a waker killed between its change and its wake.
pub const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// The longest *first* sleep of a handle. [`allow`] needs no answer from the waker, so the waker may not
/// announce a change that it makes at the same moment; the sleeper finds it after this time.
pub const FIRST_SLEEP: Duration = Duration::from_millis(1);

/// Records that an attached process may sleep here. Call after the state that [`quiet`] checks says so too.
pub fn allow(bell: &Bell) {
    loop {
        bell.may_park.store(1, Relaxed);
        edge_fence!(sleepers allow: SeqCst);
        if bell.may_park.load(Relaxed) == 1 {
            return;
        }
        crate::sync::spin_hint();
    }
}

/// Records that no process sleeps here any more, unless `still` returns `true`.
pub fn quiet(bell: &Bell, still: impl FnOnce() -> bool) {
    bell.may_park.store(0, Relaxed);
    edge_fence!(sleepers quiet: SeqCst);
    if still() {
        bell.may_park.store(1, Relaxed);
    }
}

/// Sleeps unless `ready`, until the bell rings or `limit` has passed. May return early.
pub fn sleep(bell: &Bell, limit: Duration, ready: impl FnOnce() -> bool) {
    let seen = arm(bell);
    let limit = fence_armed([bell], limit);
    if !ready() {
        bell.word.wait(seen, limit);
    }
}

/// As [`sleep`], until any of the bells rings, of which there are at most [`FutexWord::MANY`]. Returns `true` if it
/// slept.
pub fn sleep_any(bells: &[&Bell], limit: Duration, ready: impl FnOnce() -> bool) -> bool {
    let (seen, limit) = arm_any(bells, limit);
    let sleeps = !ready();
    if sleeps {
        let words = bells.iter().map(|bell| &bell.word).zip(seen);
        FutexWord::wait_many(&words.collect::<Vec<_>>(), limit);
    }
    sleeps
}

/// The first half of [`sleep_any`]. Returns what the words said, and how long the sleep may be. The caller looks once
/// more, and then has some thread sleep while the words say this.
pub fn arm_any(bells: &[&Bell], limit: Duration) -> (Vec<u32>, Duration) {
    let seen = bells.iter().map(|bell| arm(bell)).collect();
    (seen, fence_armed(bells.iter().copied(), limit))
}

/// Records that a process is about to sleep. Returns the bell's word, which changes when it rings.
fn arm(bell: &Bell) -> u32 {
    // Acquire: had this read a ring's new value, that ring's disarming would come before the
    // arming below and could not undo it.
    let seen = bell.word.load(ord!(wake arm: Acquire));
    bell.armed.store(1, Relaxed);
    seen
}

/// Call between arming bells and looking once more. Returns how long to sleep then, at most `limit`. Also
/// executes the fences of wakers that leave them to sleepers.
fn fence_armed<'b>(bells: impl IntoIterator<Item = &'b Bell>, limit: Duration) -> Duration {
    edge_fence!(wake sleep: SeqCst);
    let mut bells = bells.into_iter();
    let needed = bells.any(|bell| bell.unfenced.load(Relaxed) != 0);
    if needed && !fence_everywhere() {
        // A change that may be missed is found after this time.
        return limit.min(FIRST_SLEEP);
    }
    limit
}

/// Wakes all sleepers, even if the bell is not armed. Returns how many the kernel found.
#[cold]
pub fn ring_now(bell: &Bell) -> usize {
    bell.armed.store(0, Relaxed);
    bell.word.bump(ord!(wake disarm: Release));
    bell.word.wake_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_bell_is_quiet_when_nobody_may_sleep() {
        let bell = Bell::default();
        allow(&bell);
        assert_eq!(bell.may_park.load(Relaxed), 1);
        quiet(&bell, || true);
        assert_eq!(bell.may_park.load(Relaxed), 1);
        quiet(&bell, || false);
        assert_eq!(bell.may_park.load(Relaxed), 0);
    }

    #[test]
    fn a_sleep_lasts_until_its_limit_unless_there_is_reason_not_to() {
        let bell = Bell::default();
        let started = Instant::now();
        sleep(&bell, Duration::from_millis(20), || false);
        assert!(started.elapsed() >= Duration::from_millis(15));
        assert_eq!(bell.armed.load(Relaxed), 1);
        // Otherwise it would sleep for an hour.
        sleep(&bell, Duration::from_secs(3600), || true);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| sleep(&bell, Duration::from_secs(3600), || false));
            // Waits until the thread runs, not until the kernel reports it woken: a thread that was about
            // to sleep when the bell rang returns from the call and never counts as woken.
            while !sleeper.is_finished() {
                ring_now(&bell);
                std::thread::yield_now();
            }
        });
    }
}
