//! The protocol of one sleep, whose second half is done by a thread for all: arm, fence, look again, leave.
//!
//! Layer 6.

use super::event::Sleep;
use crate::endpoint::Source;
use crate::layout::lines::Bell;
#[cfg(feature = "io-uring")]
use crate::reactor::Uring;
use crate::reactor::{self, Notify, Signal, Ticket, Watched};
use crate::segment::Canary;
use crate::wait::bell::{arm_any, FIRST_SLEEP, LONGEST_SLEEP};
use crate::wait::ASK_EVERY;
use core::task::Poll;
use std::io;
use std::time::Instant;

/// What a handle in an event loop remembers between two looks.
#[derive(Debug)]
pub struct Watching {
    canary: Canary,
    slept: bool,
    ticket: Option<Ticket>,
    /// When it was last asked whether the other side is alive.
    asked: Option<Instant>,
    /// Watches the bells instead of the thread.
    #[cfg(feature = "io-uring")]
    uring: Option<Box<Uring>>,
}

impl Watching {
    /// Starts what sleeps for event loops, unless it runs.
    pub fn new() -> io::Result<Self> {
        reactor::start()?;
        Ok(Self {
            canary: Canary::of_this_process(),
            slept: false,
            ticket: None,
            asked: None,
            #[cfg(feature = "io-uring")]
            uring: None,
        })
    }

    /// Looks, and has `notify` used once it is worth looking again. A change behind the last look is
    /// noticed: by a bell that was armed before it, or at the latest after the longest sleep.
    pub fn poll<H: ?Sized, T>(
        &mut self,
        handle: &mut H,
        sleep: impl FnOnce(&H) -> Sleep,
        notify: Notify,
        mut look: impl FnMut(&mut H) -> Poll<T>,
    ) -> Poll<T> {
        if let Poll::Ready(found) = look(handle) {
            self.stop();
            return Poll::Ready(found);
        }
        // The bells were armed before this look already, and have not rung since.
        if self.waits_for(&notify) {
            return Poll::Pending;
        }
        self.stop();
        let Sleep {
            bells,
            parks,
            longest,
        } = sleep(handle);
        let bells = bells.into_iter().map(|(memory, side)| Watched {
            memory,
            side,
            seen: 0,
        });
        let mut watched: Vec<Watched> = bells.collect();
        // Where one is mapped without its bell, or may not sleep, all are looked at soon. In a fork the bells are not
        // mapped.
        if self.canary.forked() || !parks || watched.iter().any(|watched| watched.bell().is_none())
        {
            watched.clear();
        }
        let mut limit = FIRST_SLEEP.min(longest);
        if !watched.is_empty() {
            let all: Vec<&Bell> = watched.iter().filter_map(Watched::bell).collect();
            let most = if self.slept { longest } else { limit };
            let (seen, armed) = arm_any(&all, most);
            limit = armed;
            for (watched, seen) in watched.iter_mut().zip(seen) {
                watched.seen = seen;
            }
        }
        if let Poll::Ready(found) = look(handle) {
            return Poll::Ready(found);
        }
        self.slept = true;
        // The thread is still there for the time.
        #[cfg(feature = "io-uring")]
        if self
            .uring
            .as_mut()
            .is_some_and(|uring| uring.watch(&watched))
        {
            watched.clear();
        }
        match reactor::register(watched, limit, limit == LONGEST_SLEEP, notify) {
            Ok(ticket) => self.ticket = Some(ticket),
            // There is no thread to sleep: the caller looks again at once.
            Err(notify) => notify.fire(),
        }
        Poll::Pending
    }

    /// As [`poll`](Self::poll), for sources that have something to report.
    pub fn poll_sources<T>(
        &mut self,
        sources: &mut [&mut dyn Source],
        sleep: impl FnOnce(&[&mut dyn Source]) -> Sleep,
        notify: Notify,
        mut find: impl FnMut(&mut [&mut dyn Source], bool) -> Option<T>,
    ) -> Poll<T> {
        let (canary, mut asked) = (self.canary, self.asked);
        let found = self.poll(
            sources,
            |all| sleep(all),
            notify,
            |all| {
                if let Some(found) = find(all, false) {
                    return Poll::Ready(found);
                }
                let now = Instant::now();
                // A fork is told at once.
                if !canary.forked() && asked.is_some_and(|asked| now - asked < ASK_EVERY) {
                    return Poll::Pending;
                }
                asked = Some(now);
                find(all, true).map_or(Poll::Pending, Poll::Ready)
            },
        );
        self.asked = asked;
        found
    }

    /// Waits no longer.
    pub fn stop(&mut self) {
        match self.ticket.take() {
            Some(ticket) if self.canary.forked() => ticket.forget(),
            ticket => drop(ticket),
        }
        #[cfg(feature = "io-uring")]
        if let Some(uring) = self.uring.as_mut().filter(|_| !self.canary.forked()) {
            uring.stop();
        }
    }

    /// Has a descriptor not be readable until it is worth looking again.
    pub fn clear(&mut self, signal: &Signal) {
        // The descriptor is shared with the process that made it, which may not have seen that it is readable.
        if self.canary.forked() {
            return;
        }
        // The end of what the kernel watches makes it readable too, so that comes first.
        #[cfg(feature = "io-uring")]
        if self.uring.as_ref().is_some_and(|uring| uring.waits()) {
            self.stop();
        }
        signal.clear();
    }

    /// Has the kernel watch the bells, and make this descriptor readable.
    ///
    /// # Errors
    /// Those of the kernel; the thread goes on watching them.
    #[cfg(feature = "io-uring")]
    pub fn use_io_uring(&mut self, signal: &Signal) -> io::Result<()> {
        let uring = Box::new(Uring::new(signal)?);
        let watched = self.ticket.is_some();
        self.stop();
        self.uring = Some(uring);
        if watched {
            // Whoever waits for what was armed looks again, and arms it anew.
            Notify::Signal(signal.clone()).fire();
        }
        Ok(())
    }

    /// Returns `true` if the kernel watches those that were armed last.
    #[cfg(feature = "io-uring")]
    pub fn uses_io_uring(&self) -> bool {
        self.uring.as_ref().is_some_and(|uring| uring.watches())
    }

    fn waits_for(&self, notify: &Notify) -> bool {
        let ticket = self.ticket.as_ref().filter(|_| !self.canary.forked());
        ticket.is_some_and(|ticket| ticket.waits_for(notify))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop();
    }
}
