//! Deadlines.
//!
//! Layer 4. Monotonic time only; the clocks of two processes are never compared.

use core::time::Duration;
use std::time::Instant;

/// A point in time until which a call waits, or never.
///
/// ```
/// use slipring::Deadline;
/// use std::time::Duration;
///
/// let soon = Deadline::after(Duration::from_millis(5));
/// assert!(!soon.passed());
/// assert_eq!(Deadline::NEVER.remaining(), None);
/// assert!(Deadline::after(Duration::ZERO).passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Waits without limit.
    pub const NEVER: Self = Self(None);

    /// A deadline this long from now. A time too far away to express is [`NEVER`](Self::NEVER).
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// A deadline at this instant.
    pub const fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }

    /// Returns `true` if the deadline has passed.
    pub fn passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// Returns the time that is left, zero once it has passed; `None` if it never comes.
    pub fn remaining(self) -> Option<Duration> {
        self.0
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Returns the earlier of the two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (at, None) | (None, at) => Self(at),
        }
    }

    /// Returns `true` if the deadline has passed at this reading of the clock.
    pub(crate) fn passed_at(self, now: Instant) -> bool {
        self.0.is_some_and(|at| now >= at)
    }
}

impl From<Duration> for Deadline {
    fn from(duration: Duration) -> Self {
        Self::after(duration)
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self::at(instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_shrinks_to_nothing() {
        let hour = Duration::from_secs(3600);
        let left = Deadline::after(hour).remaining().unwrap();
        assert!(left <= hour && left > hour / 2);
        assert_eq!(
            Deadline::after(Duration::ZERO).remaining(),
            Some(Duration::ZERO)
        );
        assert_eq!(Deadline::NEVER.remaining(), None);
        let (soon, late) = (Deadline::after(hour), Deadline::after(2 * hour));
        assert_eq!((soon.earlier(late), late.earlier(soon)), (soon, soon));
        assert_eq!(soon.earlier(Deadline::NEVER), soon);
    }
}
