//! Waiting for several rings at once.
//!
//! Layer 5. One thread, one system call (`futex_waitv`), any mixture of handles.

use crate::layout::lines::Bell;
use crate::segment::Memory;
use crate::sync::{spin_hint, FutexWord};
use crate::wait::bell::{sleep_any, FIRST_SLEEP, LONGEST_SLEEP};
use crate::wait::{Deadline, ASK_EVERY};
use core::time::Duration;
use std::time::Instant;

/// Seals [`Source`]: only handles of this crate implement it.
pub trait Sealed {}

/// It is an event, but no source.
#[cfg(feature = "async")]
impl Sealed for super::producer::Producer {}

/// What only this crate can make.
#[derive(Clone, Copy, Debug)]
pub struct Inside(());

/// For calls from within this crate.
#[cfg(feature = "async")]
pub(crate) const INSIDE: Inside = Inside(());

/// The project's own tests can.
#[cfg(feature = "internals")]
impl Default for Inside {
    fn default() -> Self {
        Self(())
    }
}

/// A handle that can be waited for together with others.
///
/// | source | has something to report when | after that |
/// |---|---|---|
/// | [`Consumer`](crate::Consumer), [`Observer`](crate::Observer) | there is a message or a loss; once when its producer closed the ring or died | `try_receive`; after a loss a consumer takes part again, and mostly finds the message behind the loss, or else nothing |
/// | [`Receiver`](crate::queue::Receiver) of a queue, [`MailboxReceiver`](crate::mailbox::MailboxReceiver) | there may be a message; another receiver may have it, or be faster | `try_receive`, which may find nothing |
/// | [`LatestReader`](crate::latest::LatestReader) | a value was set since this was last reported | `get` |
/// | [`Listener`](crate::signals::Listener) | a signal was sent and not noticed | `try_wait` |
/// | [`Link`](crate::Link), [`LinkReceiver`](crate::link::LinkReceiver) | there is a message; once when the other side left or died, and once each time that another process came or went under its name | `try_receive`; after `PeerGone`, `reconnect_until` |
/// | [`PipeReader`](crate::pipe::PipeReader), [`Duplex`](crate::pipe::Duplex) | there are bytes; once when the writer left or died | `read` or `fill_buf`, which does not wait then |
/// | [`Interruption`](crate::endpoint::Interruption) | it was interrupted | `take` |
/// | [`Connecting`](crate::endpoint::Connecting) | the other side came, or has something to hear; always, once both have met | `try_meet` |
///
/// Each of them is also reported while its process is a fork, or its files were cut short or removed: the next call on
/// it that waits says which. Senders are no sources.
///
/// It gives no access to the memory behind the handle:
///
/// ```compile_fail
/// fn words(consumer: &slipring::Consumer) {
///     let _ = slipring::endpoint::Source::memory(consumer).words();
/// }
/// ```
pub trait Source: Sealed {
    /// Its words can be written, so only this crate may call this.
    #[doc(hidden)]
    fn memory(&self, asker: Inside) -> &Memory;
    /// Other memory whose bell ends its wait too.
    #[doc(hidden)]
    fn also(&self, _: Inside) -> Option<&Memory> {
        None
    }
    /// Memory whose bell says that it can send again, where it sends too. Sets do not wait for that.
    #[doc(hidden)]
    fn room(&self, _: Inside) -> Option<&Memory> {
        None
    }
    /// The longest time between two calls of [`reports_death`](Self::reports_death) while the set waits.
    #[doc(hidden)]
    fn longest_sleep(&self, _: Inside) -> Duration {
        LONGEST_SLEEP
    }
    #[doc(hidden)]
    fn parks(&self) -> bool;
    /// Returns `true` if it has something to report. Loads only.
    #[doc(hidden)]
    fn reports(&mut self) -> bool;
    /// Returns `true` if it has the death of its producer to report. Asks the kernel.
    #[doc(hidden)]
    fn reports_death(&mut self) -> bool;
}

/// Waits for several handles: readers of rings, receivers, listeners, links, pipes.
///
/// # Guarantees
/// - No wake-up is lost. A source is reported while it has a message or a loss to report, and once for
///   each end: that its producer closed the ring, or died. The next call on the source says which.
/// - A death is reported within about 10 milliseconds while other sources keep the set busy, or 100 if it
///   sleeps. Several deaths are each reported.
/// - Sources take turns: the search begins behind the one reported last.
///
/// A source whose end was reported can stay in the list. It is reported again once another producer has
/// published, or has ended as well.
///
/// Up to 128 sources are woken by the kernel at once, where a link, and a pipe that goes both ways, counts as
/// two. With more, or where one of them may not sleep (its strategy spins, or it has only permission to read),
/// the set polls at least once a millisecond.
///
/// ```
/// use slipring::{Deadline, Ring, Start, WaitSet};
///
/// let (quotes, trades) = (Ring::heap().create()?, Ring::heap().create()?);
/// let mut to_trades = trades.producer()?;
/// let mut from_quotes = quotes.consumer(Start::Latest)?;
/// let mut from_trades = trades.consumer(Start::Latest)?;
/// to_trades.publish(b"sold")?;
///
/// let mut set = WaitSet::new();
/// let ready = set.wait(&mut [&mut from_quotes, &mut from_trades], Deadline::NEVER);
/// assert_eq!(ready, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WaitSet {
    spin: Duration,
    next: usize,
    slept: bool,
    /// When it last asked whether the producers are alive.
    asked: Option<Instant>,
}

impl Default for WaitSet {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitSet {
    /// Makes a set that polls for 20 microseconds and then sleeps.
    pub fn new() -> Self {
        Self::with_spin(Duration::from_micros(20))
    }

    /// Makes a set that polls for this long before it sleeps; for ever with [`Duration::MAX`].
    pub fn with_spin(spin: Duration) -> Self {
        Self {
            spin,
            next: 0,
            slept: false,
            asked: None,
        }
    }

    /// Waits until a source has something to report. Returns its index in the list, or `None` once the
    /// deadline has passed. With an empty list it only waits for the deadline; without a deadline it
    /// returns `None` at once.
    pub fn wait(
        &mut self,
        sources: &mut [&mut dyn Source],
        deadline: impl Into<Deadline>,
    ) -> Option<usize> {
        let deadline = deadline.into();
        if sources.is_empty() && deadline == Deadline::NEVER {
            return None;
        }
        let started = Instant::now();
        let mut now = started;
        loop {
            // Asked here, so that busy sources do not hide the death of another producer.
            let due = |asked| now - asked >= ASK_EVERY.min(longest_sleep(sources));
            if self.asked.is_none_or(due) {
                self.asked = Some(now);
                if let Some(at) = self.find(sources, |source| source.reports_death()) {
                    return Some(at);
                }
            }
            for _ in 0..16 {
                if let Some(at) = self.poll(sources) {
                    return Some(at);
                }
                spin_hint();
            }
            if deadline.passed() {
                return None;
            }
            now = Instant::now();
            if now - started >= self.spin {
                if let Some(at) = self.sleep(sources, deadline) {
                    return Some(at);
                }
                now = Instant::now();
            }
        }
    }

    fn poll(&mut self, sources: &mut [&mut dyn Source]) -> Option<usize> {
        self.find(sources, |source| source.reports())
    }

    /// The first source, behind the one reported last, for which this is true.
    fn find(
        &mut self,
        sources: &mut [&mut dyn Source],
        mut has: impl FnMut(&mut dyn Source) -> bool,
    ) -> Option<usize> {
        let all = sources.len();
        let found = (0..all)
            .map(|step| (self.next + step) % all)
            .find(|at| has(&mut *sources[*at]));
        if let Some(at) = found {
            self.next = at + 1;
        }
        found
    }

    /// The protocol of one bell, on all of them: arm, fence, look again, sleep.
    fn sleep(&mut self, sources: &mut [&mut dyn Source], deadline: Deadline) -> Option<usize> {
        let all = |source: &&mut dyn Source| {
            let also = source.also(Inside(())).cloned();
            [Some(source.memory(Inside(())).clone()), also]
        };
        let memories: Vec<Memory> = sources.iter().flat_map(all).flatten().collect();
        let all_park =
            sources.iter().all(|source| source.parks()) && memories.len() <= FutexWord::MANY;
        let bells: Vec<&Bell> = memories
            .iter()
            .filter_map(|memory| memory.control())
            .map(|control| &control.data)
            .collect();
        let left = deadline.remaining().unwrap_or(LONGEST_SLEEP);
        if !all_park || bells.is_empty() {
            std::thread::sleep(left.min(FIRST_SLEEP));
            return None;
        }
        let longest = match self.slept {
            true => LONGEST_SLEEP,
            false => FIRST_SLEEP,
        };
        let longest = longest.min(longest_sleep(sources));
        let mut found = None;
        let slept = sleep_any(&bells, left.min(longest), || {
            found = self.poll(sources);
            found.is_some()
        });
        self.slept |= slept;
        found
    }
}

/// The longest sleep of a set of these.
fn longest_sleep(sources: &[&mut dyn Source]) -> Duration {
    let each = sources
        .iter()
        .map(|source| source.longest_sleep(Inside(())));
    each.fold(LONGEST_SLEEP, Duration::min)
}
