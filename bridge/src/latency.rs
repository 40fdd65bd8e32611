//! How long messages take from the sending of the source to the writing of a mirror.

use crate::clock::{wall_ns, Clock};
use hdrhistogram::Histogram;
use slipring_mirror::mirror::Sent;
use std::collections::BTreeMap;

/// Frames whose writing is awaited. What comes beyond is not measured.
const AWAITED: usize = 1 << 16;
/// The longest time that is told from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// What is known of the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latencies {
    pub measured: u64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub longest: u64,
}

/// Times the messages of one mirror.
pub(crate) struct Timing {
    base: u64,
    /// By the place behind their last message: the place of their first one that was not written when they came, and when
    /// they were sent.
    awaited: BTreeMap<u64, (u64, u64)>,
    /// The place behind the last message that was timed: frames of a source that was started again overlap.
    timed: u64,
    times: Option<Histogram<u64>>,
}

impl Timing {
    /// Of a mirror that begins at this sequence.
    pub fn new(base: u64) -> Self {
        Self {
            base,
            awaited: BTreeMap::new(),
            timed: 0,
            // It is refused for no range but an empty one.
            times: Histogram::new_with_bounds(1, LONGEST, 2).ok(),
        }
    }

    /// A frame came. Those of messages that were written before are of no interest.
    pub fn came(&mut self, sent: Sent, next: u64) {
        let (end, next) = (
            sent.end.wrapping_sub(self.base),
            next.wrapping_sub(self.base),
        );
        let many = sent.end.wrapping_sub(sent.first);
        if end > next && end < 1 << 62 && self.awaited.len() < AWAITED {
            let first = end.saturating_sub(many).max(next);
            self.awaited.entry(end).or_insert((first, sent.wall_ns));
        }
    }

    /// Everything before this sequence has been written now.
    pub fn written(&mut self, next: u64, clock: &Clock) {
        let next = next.wrapping_sub(self.base);
        let first = self.awaited.first_key_value();
        if first.is_none_or(|(end, _)| *end > next) {
            return;
        }
        let now = clock
            .offset()
            .map(|offset| wall_ns().saturating_add_signed(offset.ns));
        while let Some(first) = self.awaited.first_entry() {
            let end = *first.key();
            if end > next {
                break;
            }
            let (first, sent) = first.remove();
            let many = end.saturating_sub(first.max(self.timed));
            self.timed = end;
            if let (Some(now), Some(times)) = (now, &mut self.times) {
                // Clocks are never known exactly: what seems to have come before it was sent, took no time.
                times.saturating_record_n(now.saturating_sub(sent).max(1), many);
            }
        }
    }

    pub fn latencies(&self) -> Latencies {
        let Some(times) = self.times.as_ref().filter(|times| !times.is_empty()) else {
            return Latencies::default();
        };
        Latencies {
            measured: times.len(),
            p50: times.value_at_quantile(0.5),
            p99: times.value_at_quantile(0.99),
            p999: times.value_at_quantile(0.999),
            longest: times.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timing;
    use crate::clock::{wall_ns, Clock};
    use slipring_mirror::mirror::Sent;
    use std::time::Duration;

    /// A clock that is ahead by so many nanoseconds, exactly.
    fn clock(ahead: u64) -> Clock {
        let mut clock = Clock::default();
        clock.answer(1000, Duration::ZERO, 1000 + ahead);
        clock
    }

    #[test]
    fn each_message_is_timed_once_by_the_clock_of_its_source() {
        const AHEAD: u64 = 7_000_000_000_000;
        const AGO: u64 = 5_000_000_000;
        let base = u64::MAX - 4;
        let mut timing = Timing::new(base);
        let clock = clock(AHEAD);
        let sent = |first: u64, end: u64| Sent {
            first: base.wrapping_add(first),
            end: base.wrapping_add(end),
            wall_ns: wall_ns() + AHEAD - AGO,
        };
        timing.came(sent(0, 10), base);
        timing.came(sent(0, 10), base);
        timing.came(sent(10, 12), base);
        timing.written(base.wrapping_add(9), &clock);
        assert_eq!(timing.latencies().measured, 0);
        timing.written(base.wrapping_add(10), &clock);
        assert_eq!(timing.latencies().measured, 10);
        timing.came(sent(0, 10), base.wrapping_add(10));
        timing.written(base.wrapping_add(20), &clock);
        let latencies = timing.latencies();
        assert_eq!(latencies.measured, 12);
        let times = [
            latencies.p50,
            latencies.p99,
            latencies.p999,
            latencies.longest,
        ];
        for time in times {
            assert!((AGO..20 * AGO).contains(&time), "{latencies:?}");
        }
    }

    /// A source that was started again sends what it has sent before, in other frames.
    #[test]
    fn a_message_of_two_frames_is_timed_once() {
        for base in [0, u64::MAX - 4] {
            let mut timing = Timing::new(base);
            let at = |place: u64| base.wrapping_add(place);
            let sent = |first: u64, end: u64| Sent {
                first: at(first),
                end: at(end),
                wall_ns: wall_ns(),
            };
            timing.came(sent(0, 3), at(0));
            timing.came(sent(2, 5), at(0));
            timing.written(at(5), &clock(0));
            assert_eq!(timing.latencies().measured, 5);
            // Of these, two were written before.
            timing.came(sent(3, 8), at(5));
            timing.came(sent(4, 8), at(5));
            timing.written(at(8), &clock(0));
            assert_eq!(timing.latencies().measured, 8);
            // And of these, two that were not timed, since they came as an answer.
            timing.written(at(10), &clock(0));
            timing.came(sent(8, 12), at(10));
            timing.written(at(12), &clock(0));
            assert_eq!(timing.latencies().measured, 10);
        }
    }

    #[test]
    fn without_a_clock_nothing_is_measured() {
        let mut timing = Timing::new(0);
        let sent = Sent {
            first: 0,
            end: 3,
            wall_ns: 0,
        };
        timing.came(sent, 0);
        timing.written(3, &Clock::default());
        timing.written(3, &clock(0));
        assert_eq!(timing.latencies().measured, 0);
    }
}
