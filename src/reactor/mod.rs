//! Sleeping on behalf of tasks and event loops: threads of this process that sleep on many bells at once.
//!
//! Layer 5, below the handles. A caller arms bells, looks once more at what it waits for, and leaves here what
//! the bells' words said when they were armed. A thread sleeps until one of the words is another one, or the
//! time is up, and notifies the caller once. The kernel compares each word before the thread sleeps, so a ring
//! between the caller's look and the sleep is not missed.
//!
//! The first thread starts when something is first left here, another one for each 127 words more, and none
//! ever ends. A forked child has none of its parent's threads, and starts its own.

mod notify;
mod thread;
#[cfg(feature = "io-uring")]
mod uring;
mod worker;

pub use notify::{Notify, Signal};
#[cfg(feature = "io-uring")]
pub use uring::Uring;
pub use worker::{Side, Ticket, Watched};

use crate::segment::Canary;
use crate::sync::{ord, AtomicPtr, AtomicU32, Ordering::Relaxed};
use crate::wait::bell::FIRST_SLEEP;
use core::ptr::null_mut;
use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use worker::Worker;

/// With so many waiting, the time that each may sleep grows, so that there are no more than a thousand looks
/// a second.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Callers whose time may grow are notified together, at multiples of this time, a little early: a thread that wakes for
/// one takes the others along.
const TOGETHER: Duration = Duration::from_millis(20);

/// The threads of one process.
struct Reactor {
    canary: Canary,
    started: Instant,
    workers: Mutex<Vec<&'static Worker>>,
}

/// The newest reactor; null before the first. One whose canary says so is of a parent.
static REACTOR: AtomicPtr<Reactor> = AtomicPtr::new(null_mut());

/// A lock whose owner panicked guards nothing that could be half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reactor {
    /// The one of this process.
    fn of_this_process() -> &'static Self {
        let newest = REACTOR.load(ord!(reactor newest: Acquire));
        if let Some(reactor) = thread::forever(newest).filter(|reactor| !reactor.canary.forked()) {
            return reactor;
        }
        let mine = Box::into_raw(Box::new(Self {
            canary: Canary::of_this_process(),
            started: Instant::now(),
            workers: Mutex::default(),
        }));
        let (made, theirs) = (ord!(reactor made: Release), ord!(reactor theirs: Acquire));
        match REACTOR.compare_exchange(newest, mine, made, theirs) {
            // Of two that are made at once, one is left unused for ever.
            Ok(_) => thread::forever(mine),
            Err(theirs) => thread::forever(theirs),
        }
        .unwrap_or_else(|| unreachable!("a pointer to a box is not null"))
    }

    /// The last moment before this one at which callers are notified together.
    fn together(&self, due: Instant) -> Instant {
        let since = due.saturating_duration_since(self.started);
        let beyond = since.as_nanos() % TOGETHER.as_nanos();
        due - Duration::from_nanos(u64::try_from(beyond).unwrap_or(0))
    }
}

/// Whether callers are notified after a time, as they are unless a test would find out that nothing else does.
static LOOKS: AtomicU32 = AtomicU32::new(1);

/// For the project's own tests: from now on the threads of this process notify only callers whose bells ring, and
/// those whose first sleep is over.
#[cfg(feature = "internals")]
pub fn never_look_without_a_reason() {
    LOOKS.store(0, Relaxed);
}

/// Starts the first thread, if it does not run yet.
///
/// # Errors
/// Those of making a thread.
pub fn start() -> io::Result<()> {
    let mut workers = lock(&Reactor::of_this_process().workers);
    if workers.is_empty() {
        workers.push(Worker::start()?);
    }
    Ok(())
}

/// Leaves bells that were armed, with what their words said then. `notify` is used once: when one of the words is
/// another one, or after `limit`, which grows where many are waiting and `scales` is `true`. May notify early.
///
/// # Errors
/// The notification, unused, if there is no thread and none can be made.
pub fn register(
    watched: Vec<Watched>,
    limit: Duration,
    scales: bool,
    notify: Notify,
) -> Result<Ticket, Notify> {
    if start().is_err() {
        return Err(notify);
    }
    let reactor = Reactor::of_this_process();
    let mut workers = lock(&reactor.workers);
    let waiting: usize = workers.iter().map(|worker| worker.waiting()).sum();
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    let now = Instant::now();
    let due = match scales {
        _ if LOOKS.load(Relaxed) == 0 && limit > FIRST_SLEEP => now + Duration::from_secs(1 << 20),
        true => reactor.together(now + limit.max(LOOK_EVERY.saturating_mul(waiting))),
        false => now + limit,
    };
    let mut offered = (watched, notify);
    for worker in workers.iter() {
        match worker.accept(offered, due) {
            Ok(ticket) => return Ok(ticket),
            Err(refused) => offered = refused,
        }
    }
    let worker = match Worker::start() {
        Ok(worker) => {
            workers.push(worker);
            worker
        }
        // There is no other thread for it: it is looked at again soon instead.
        Err(_) => return Ok(workers[0].remind(offered.1, now + LOOK_EVERY)),
    };
    Ok(match worker.accept(offered, due) {
        Ok(ticket) => ticket,
        Err((_, notify)) => worker.remind(notify, now + LOOK_EVERY),
    })
}
