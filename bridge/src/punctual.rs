//! Sleeps of a thread that end when they should.
//!
//! Linux ends the sleep of a thread up to 50 microseconds late, so that it can wake several at once. That is as long as a
//! source leaves its ring alone.

use rustix::thread::{current_timer_slack, set_current_timer_slack};
use std::num::NonZeroU64;

/// By how many nanoseconds sleeps may be late.
const SLACK: u64 = 1000;

/// As long as it lives, sleeps of the thread that made it are punctual. A system that does not allow that keeps its own
/// slack: sleeps are longer then, and nothing else is different.
#[derive(Debug)]
pub(crate) struct Punctual {
    before: Option<u64>,
    /// It belongs to its thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Punctual {
    pub fn new() -> Self {
        let before = current_timer_slack().ok();
        let before = before.filter(|_| set_current_timer_slack(NonZeroU64::new(SLACK)).is_ok());
        Self {
            before,
            _thread: std::marker::PhantomData,
        }
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = set_current_timer_slack(NonZeroU64::new(before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Punctual, SLACK};
    use rustix::thread::current_timer_slack;

    #[test]
    fn a_thread_has_its_slack_back() {
        let before = current_timer_slack().unwrap();
        assert_ne!(before, SLACK);
        let punctual = Punctual::new();
        assert_eq!(current_timer_slack().unwrap(), SLACK);
        drop(punctual);
        assert_eq!(current_timer_slack().unwrap(), before);
    }
}
