//! When a call that never waits asks what is rarely asked.
//!
//! Layer 4. A caller that polls never comes to the questions of [`until`](super::until): whether a peer
//! is alive, and what the dead still hold. A call that found nothing asks them itself, but only if the
//! last time was long enough ago. That costs one reading of the clock, and only where nothing was found.

use core::time::Duration;
use std::time::Instant;

/// The time between two such questions of a handle that polls.
pub const ASK_EVERY: Duration = Duration::from_millis(10);

/// When a handle last asked. A fresh one never has, so its first question is due at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Since(Option<Instant>);

impl Since {
    /// Returns `true` if the last question is [`ASK_EVERY`] ago or there was none, and counts as
    /// asking then. Reads the clock once.
    #[cold]
    pub fn due(&mut self) -> bool {
        self.due_at(Instant::now())
    }

    /// As [`due`](Self::due), with a clock reading at hand.
    pub fn due_at(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|asked| now - asked >= ASK_EVERY);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_due_at_first_and_then_once_in_a_while() {
        let mut since = Since::default();
        assert!(since.due());
        since.0 = Some(Instant::now() + Duration::from_secs(3600));
        assert!(!since.due());
        since.0 = Instant::now().checked_sub(ASK_EVERY);
        assert!(since.due());
        assert!(since
            .0
            .is_some_and(|asked| asked.elapsed() < Duration::from_secs(3600)));
    }
}
