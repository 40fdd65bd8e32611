//! Who else was on the cores while something was measured: involuntary context switches, time spent waiting
//! for a core, and what the host took away, for one thread over one slice.
//!
//! Read from `/proc` before and after, never while it is measured. What the kernel does not tell is zero or
//! `None`, and then not judged.

use rustix::time::{clock_gettime, ClockId};
use serde_json::{json, Value};
use std::fs;
use std::time::Duration;

/// A slice is disturbed if more than this share of it was lost to others.
pub const LIMIT: f64 = 0.05;
/// One switch in so much time is nothing, where the kernel does not tell how long it took.
const ONE_SWITCH: Duration = Duration::from_millis(10);
/// The kernel counts stolen time in these.
const TICK: u64 = 10_000_000;

/// Counters of this thread and its core, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    switches: u64,
    waited: Option<u64>,
    thread: u64,
    process: u64,
    stolen: u64,
}

impl Usage {
    /// Reads them; `core` is where this thread is pinned, if it is.
    pub fn now(core: Option<usize>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/thread-self/status");
        let switches = status
            .lines()
            .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        let schedstat = read("/proc/thread-self/schedstat");
        let clock = |id| {
            let time = clock_gettime(id);
            time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
        };
        let name = core.map_or("cpu".into(), |core| format!("cpu{core}"));
        let stat = read("/proc/stat");
        let line = stat
            .lines()
            .map(|line| line.split_whitespace())
            .find_map(|mut words| words.next().filter(|w| *w == name).map(|_| words));
        let stolen = line.and_then(|mut words| words.nth(7)?.parse::<u64>().ok());
        Self {
            switches: switches.and_then(|n| n.trim().parse().ok()).unwrap_or(0),
            waited: schedstat
                .split(' ')
                .nth(1)
                .and_then(|nanos| nanos.parse().ok()),
            thread: clock(ClockId::ThreadCPUTime),
            process: clock(ClockId::ProcessCPUTime),
            stolen: stolen.unwrap_or(0) * TICK,
        }
    }

    /// What has been used since `before`.
    pub fn since(&self, before: &Self) -> Spent {
        let process = self.process.saturating_sub(before.process);
        let thread = self.thread.saturating_sub(before.thread);
        Spent {
            switches: self.switches.saturating_sub(before.switches),
            waited: self
                .waited
                .zip(before.waited)
                .map(|(a, b)| a.saturating_sub(b)),
            thread,
            helpers: process.saturating_sub(thread),
            stolen: self.stolen.saturating_sub(before.stolen),
        }
    }
}

/// What a slice took from one thread, in nanoseconds where it is a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Involuntary context switches.
    pub switches: u64,
    /// Ready to run, and another one ran.
    pub waited: Option<u64>,
    /// On a core.
    pub thread: u64,
    /// What other threads of the same process ran.
    pub helpers: u64,
    /// What the host gave to other guests, of this core.
    pub stolen: u64,
}

impl Spent {
    pub fn to_json(self) -> Value {
        json!([
            self.switches,
            self.waited,
            self.thread,
            self.helpers,
            self.stolen
        ])
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            switches: value[0].as_u64()?,
            waited: value[1].as_u64(),
            thread: value[2].as_u64()?,
            helpers: value[3].as_u64()?,
            stolen: value[4].as_u64()?,
        })
    }
}

/// What both ends lost in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lost {
    /// Involuntary context switches of the end that had more.
    pub switches: u64,
    /// Nanoseconds of the end that waited longer.
    pub waited: Option<u64>,
    /// Nanoseconds of the core that lost more.
    pub stolen: u64,
    /// What threads of their own took from both.
    pub helpers: u64,
}

impl Lost {
    /// Of two processes, or of two threads of one, whose second is no helper of the first.
    pub fn of(first: Spent, second: Spent, one_process: bool) -> Self {
        let helpers = match one_process {
            true => first.helpers.saturating_sub(second.thread),
            false => first.helpers + second.helpers,
        };
        Self {
            switches: first.switches.max(second.switches),
            waited: first.waited.zip(second.waited).map(|(a, b)| a.max(b)),
            stolen: first.stolen.max(second.stolen),
            helpers,
        }
    }

    /// Whether so much was lost to other processes or guests that a slice of this length says nothing. What
    /// takes part with threads of its own on the same cores, displaces itself: that is its own speed.
    pub fn disturbs(&self, length: Duration) -> bool {
        let limit = length.as_nanos() as f64 * LIMIT;
        let stolen = self.stolen as f64 > limit;
        let displaced = match self.waited {
            // Who sleeps waits at each wake, without another one having been there.
            Some(waited) => self.switches > 0 && waited as f64 > limit,
            None => self.switches as f64 > length.as_secs_f64() / ONE_SWITCH.as_secs_f64(),
        };
        stolen || displaced && self.helpers as f64 <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(20);

    #[test]
    fn what_others_take_disturbs_and_what_is_its_own_does_not() {
        let lost = |switches, waited, stolen, helpers| Lost {
            switches,
            waited,
            stolen,
            helpers,
        };
        for (lost, disturbs) in [
            (lost(0, Some(0), 0, 0), false),
            // A kernel thread, for a moment.
            (lost(2, Some(40_000), 0, 0), false),
            (lost(2, Some(1_100_000), 0, 0), true),
            // Awoken often, displaced never.
            (lost(0, Some(9_000_000), 0, 0), false),
            // By threads of its own.
            (lost(9, Some(9_000_000), 0, 15_000_000), false),
            (lost(9, Some(9_000_000), TICK, 15_000_000), true),
            (lost(0, Some(0), TICK, 0), true),
            (lost(2, None, 0, 0), false),
            (lost(3, None, 0, 0), true),
        ] {
            assert_eq!(lost.disturbs(SLICE), disturbs, "{lost:?}");
        }
        // A tick is little of a long one.
        assert!(!lost(0, Some(0), TICK, 0).disturbs(Duration::from_millis(400)));
    }

    #[test]
    fn of_two_ends_the_worse_counts_and_a_second_thread_is_no_helper() {
        let spent = |switches, waited, thread, helpers, stolen| Spent {
            switches,
            waited: Some(waited),
            thread,
            helpers,
            stolen,
        };
        let first = spent(1, 500, 20, 22, 0);
        let second = spent(3, 200, 20, 21, TICK);
        let lost = Lost::of(first, second, false);
        assert_eq!(
            (lost.switches, lost.waited, lost.stolen),
            (3, Some(500), TICK)
        );
        assert_eq!(lost.helpers, 43);
        assert_eq!(Lost::of(first, second, true).helpers, 2);
        assert_eq!(Spent::from_json(&first.to_json()), Some(first));
        assert_eq!(Spent::from_json(&json!([1, 2])), None);
    }

    #[test]
    fn a_thread_that_is_displaced_is_seen_to_be() {
        // On one core with another that never sleeps, until the kernel has taken turns.
        let before = Usage::now(None);
        let core = super::super::machine::cores(&[]).unwrap().first().copied();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let spin = || {
                super::super::machine::pin(core);
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            scope.spawn(spin);
            scope.spawn(spin);
            let seen = scope.spawn(|| {
                super::super::machine::pin(core);
                let start = (Usage::now(core), std::time::Instant::now());
                loop {
                    let spent = Usage::now(core).since(&start.0);
                    if spent.switches > 0 && spent.thread > 0 && spent.helpers > 0 {
                        return true;
                    }
                    if start.1.elapsed() > Duration::from_secs(60) {
                        return false;
                    }
                }
            });
            let seen = seen.join();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(seen.unwrap());
        });
        assert!(Usage::now(None).since(&before).helpers > 0);
    }
}
