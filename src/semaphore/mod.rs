//! Counting semaphores whose permits come back when their holder dies.
//!
//! Layer 7. A segment without messages: a handle holds a row, which says that it is alive, and the board
//! holds the permits (`ring::permits`).

mod builder;
mod error;

pub use builder::SemaphoreBuilder;
pub use error::AcquireError;

use crate::endpoint::{AttachError, Ring};
use crate::layout::form::Form;
use crate::layout::lines::{Bell, RowState};
use crate::ring::permits::Permits;
use crate::segment::{Canary, Held, Location, MappingOptions, OpenError, RemoveError, Role};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, until, Deadline, Outcome, Strategy, Waited, Waker};
use core::time::Duration;
use std::cell::Cell;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How long a waiter may be passed over before it gets the next permit, whoever else comes.
const PASSED_OVER: Duration = Duration::from_millis(1);
/// How often a waiter asks whether those that are in its way are alive.
const ASK_AFTER: Duration = Duration::from_millis(20);

/// A handle to a named counting semaphore.
///
/// # Guarantees
/// - `initial + added = free + held + forgotten`, at every moment, whoever dies when.
/// - The permits of a process that dies come back: within 20 ms where somebody waits for one.
/// - With one permit it is a lock: whatever its last holder did is visible to the next.
/// - A permit goes to whoever comes first, which is fast but not fair. Who has been passed over for a
///   millisecond gets the next one, in the order of waiting, and until then nobody else gets any; so
///   nobody starves.
/// - Taking and giving make no system call unless somebody sleeps.
///
/// # What others may change meanwhile
/// Permits come and go at any time.
///
/// A handle is for one thread at a time, like the others; open another one for another thread.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("printers");
/// use slipring::{AcquireError, Semaphore};
///
/// let printers = Semaphore::builder_at(&path).permits(2).create()?;
/// let elsewhere = Semaphore::open_at(&path)?; // in another process
///
/// let mine = printers.acquire()?;
/// let theirs = elsewhere.acquire()?;
/// assert!(matches!(printers.try_acquire(), Err(AcquireError::Unavailable)));
/// drop(theirs);
/// let both = printers.try_acquire()?;
/// # drop((mine, both));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Semaphore {
    shared: Arc<Shared>,
    strategy: Strategy,
    slept: Cell<bool>,
    hint: Cell<u32>,
}

/// What permits share with the handle they came from.
#[derive(Debug)]
struct Shared {
    permits: Permits,
    waker: Mutex<Waker>,
    ring: Ring,
    row: u32,
    /// Freed last.
    _held: Held,
}

/// One or more permits. Dropping it gives them back; so does death.
#[derive(Debug)]
#[must_use = "permits that are dropped go back at once"]
pub struct Permit {
    shared: Arc<Shared>,
    first: Option<u32>,
    /// Mostly none, so that one permit needs no allocation.
    others: Vec<u32>,
    one_thread: PhantomData<Cell<()>>,
}

/// What a semaphore looks like at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreStatus {
    /// Permits that can be taken.
    pub free: u32,
    /// Permits that somebody holds.
    pub held: u32,
    /// Permits there could be, but are not: never added, or forgotten.
    pub retired: u32,
    /// Handles that are open and alive.
    pub handles: u32,
}

impl Semaphore {
    /// Describes a new semaphore named `name` in the slipring directory.
    pub fn builder(name: &str) -> SemaphoreBuilder {
        SemaphoreBuilder::new(Ring::builder(name), Location::named(name))
    }

    /// Describes a new semaphore at a path of your choice, which becomes a directory.
    pub fn builder_at(path: impl AsRef<Path>) -> SemaphoreBuilder {
        let path = path.as_ref();
        SemaphoreBuilder::new(Ring::builder_at(path), Location::at(path))
    }

    /// Opens the semaphore `name` in the slipring directory.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring, and [`OpenError::Busy`] if there are as many handles as there
    /// can be.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        Self::open_location(&Location::named(name)?)
    }

    /// Opens the semaphore at a path.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_location(&Location::at(path.as_ref())?)
    }

    fn open_location(location: &Location) -> Result<Self, OpenError> {
        let mapping = MappingOptions::default();
        Self::attach(Ring::open_form(location, mapping, Form::Semaphore)?)
    }

    /// A handle to the permits of a segment of any form that has them.
    pub(crate) fn attach(ring: Ring) -> Result<Self, OpenError> {
        let (row, held) = ring.acquire_row().map_err(|error| match error {
            AttachError::NoRow { rows } => OpenError::Busy {
                path: ring.path().to_owned(),
                handles: rows,
            },
            AttachError::Io { path, source } => OpenError::Io {
                what: "lock",
                path,
                source,
            },
            _ => OpenError::Permission {
                path: ring.path().join("control"),
            },
        })?;
        let memory = ring.segment().reader().clone();
        let initial = ring.segment().description().parameters[0];
        let permits = Permits::new(memory, row, u32::try_from(initial).unwrap_or(u32::MAX));
        // Whoever had the row before may have died holding something.
        let returned = permits.return_all(row);
        let memory = ring.segment().reader();
        if let Some(row) = memory.row(row) {
            row.pid.store(std::process::id(), Relaxed);
            row.may_park.store(1, Relaxed);
            row.state.store(RowState::Consumer as u32, Relaxed);
        }
        if let Some(control) = memory.control() {
            bell::allow(&control.data);
            if returned > 0 {
                bell::ring_now(&control.data);
            }
        }
        Ok(Self {
            shared: Arc::new(Shared {
                permits,
                waker: Mutex::default(),
                ring,
                row,
                _held: held,
            }),
            strategy: Strategy::default(),
            slept: Cell::new(false),
            hint: Cell::new(0),
        })
    }

    /// Removes the semaphore `name` from the slipring directory.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while anybody has it open.
    pub fn remove(name: &str) -> Result<(), RemoveError> {
        Ring::remove(name)
    }

    /// How this handle waits; polls for 20 microseconds and then sleeps by default.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Takes a permit, waiting for one.
    ///
    /// # Errors
    /// [`AcquireError::Forked`], [`AcquireError::Poisoned`].
    pub fn acquire(&self) -> Result<Permit, AcquireError> {
        self.acquire_many_until(1, Deadline::NEVER)
    }

    /// Takes a permit, waiting for one until a deadline.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::TimedOut`].
    pub fn acquire_until(&self, deadline: impl Into<Deadline>) -> Result<Permit, AcquireError> {
        self.acquire_many_until(1, deadline)
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    /// [`AcquireError::Unavailable`].
    pub fn try_acquire(&self) -> Result<Permit, AcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `many` permits at once if so many are free.
    ///
    /// # Errors
    /// [`AcquireError::Unavailable`], [`AcquireError::TooMany`].
    pub fn try_acquire_many(&self, many: u32) -> Result<Permit, AcquireError> {
        self.undisturbed()?;
        self.possible(many)?;
        match self.take(many) {
            Some(permit) => Ok(permit),
            None => Err(AcquireError::Unavailable),
        }
    }

    /// Takes `many` permits at once, waiting for them until a deadline. Meanwhile it holds none of
    /// them, and after a millisecond nobody else gets any.
    ///
    /// # Errors
    /// As [`acquire_until`](Self::acquire_until), and [`AcquireError::TooMany`].
    pub fn acquire_many_until(
        &self,
        many: u32,
        deadline: impl Into<Deadline>,
    ) -> Result<Permit, AcquireError> {
        self.undisturbed()?;
        if let Some(permit) = self.take(many) {
            return Ok(permit);
        }
        self.possible(many)?;
        self.wait(many, deadline.into())
    }

    /// Adds a permit that was never there or was forgotten.
    ///
    /// # Errors
    /// [`AcquireError::TooMany`] if there are as many as there can be.
    pub fn add(&self) -> Result<(), AcquireError> {
        self.undisturbed()?;
        let max = self.max();
        if !self.shared.permits.add() {
            let wanted = max + 1;
            return Err(AcquireError::TooMany { wanted, max });
        }
        self.shared.ring_waiters();
        Ok(())
    }

    /// What it looks like at some moment during the call.
    pub fn status(&self) -> SemaphoreStatus {
        let count = self.shared.permits.count();
        SemaphoreStatus {
            free: count.free,
            held: count.held,
            retired: count.retired,
            handles: self.shared.ring.live_rows(),
        }
    }

    /// How many permits there can be.
    pub fn max(&self) -> u32 {
        self.shared.ring.segment().description().parameters[1] as u32
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> &Path {
        self.shared.ring.path()
    }

    fn possible(&self, many: u32) -> Result<(), AcquireError> {
        let max = self.max();
        if many > max {
            return Err(AcquireError::TooMany { wanted: many, max });
        }
        Ok(())
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.shared.ring
    }

    pub(crate) fn undisturbed(&self) -> Result<(), AcquireError> {
        let canary: Canary = self.shared.ring.canary();
        if !canary.disturbed() {
            Ok(())
        } else if canary.forked() {
            Err(AcquireError::Forked)
        } else if self.shared.ring.is_poisoned() {
            Err(AcquireError::Poisoned)
        } else {
            Ok(())
        }
    }

    fn take(&self, many: u32) -> Option<Permit> {
        let permits = &self.shared.permits;
        let take = || {
            let taken = permits.try_take(self.hint.get());
            self.hint.set(taken.unwrap_or_default());
            taken
        };
        let first = match many {
            0 => None,
            _ => Some(take()?),
        };
        let mut others = Vec::new();
        for _ in 1..many {
            match take() {
                Some(number) => others.push(number),
                None => {
                    let taken = first.into_iter().chain(others);
                    taken.for_each(|number| permits.give(number));
                    return None;
                }
            }
        }
        Some(Permit {
            shared: self.shared.clone(),
            first,
            others,
            one_thread: PhantomData,
        })
    }

    fn wait(&self, many: u32, deadline: Deadline) -> Result<Permit, AcquireError> {
        let memory = self.shared.ring.segment().reader().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.data);
        let mut slept = self.slept.get();
        let mut waiting = Waiting {
            semaphore: self,
            many,
            since: Instant::now(),
            taken: None,
        };
        // At once where somebody waits already, and where single permits would be snatched away.
        if many > 1 || self.shared.permits.turn().is_some() {
            self.shared.permits.queue_up();
        }
        let outcome = until(&mut waiting, self.strategy, bell, deadline, &mut slept);
        let taken = waiting.taken.take();
        self.slept.set(slept);
        if self.shared.permits.leave_queue() {
            self.shared.ring_waiters();
        }
        match (taken, outcome) {
            (Some(permit), _) => Ok(permit),
            (None, Outcome::Gone) => Err(AcquireError::Poisoned),
            (None, _) => Err(AcquireError::TimedOut),
        }
    }

    /// Gives back what the dead hold; whether that was anything.
    pub(crate) fn return_from_the_dead(&self) -> bool {
        let mut returned = 0;
        let ring = &self.shared.ring;
        let dead =
            |row: &u32| *row != self.shared.row && ring.is_held(Role::Row(*row)) == Some(false);
        let rows: Vec<u32> = ring.taken_rows().filter(dead).collect();
        for at in rows {
            if let Ok(Some(_held)) = ring.acquire(Role::Row(at)) {
                returned += self.shared.permits.return_all(at);
                if let Some(row) = ring.segment().reader().row(at) {
                    row.state.store(RowState::Free as u32, Relaxed);
                }
                self.shared.ring_waiters();
            }
        }
        returned > 0
    }
}

impl Shared {
    fn ring_waiters(&self) {
        if let Some(control) = self.ring.segment().reader().control() {
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            waker.ring(&control.data);
        }
    }
}

/// Waiting for permits.
struct Waiting<'s> {
    semaphore: &'s Semaphore,
    many: u32,
    since: Instant,
    taken: Option<Permit>,
}

impl Waited for Waiting<'_> {
    fn ready(&mut self) -> bool {
        self.semaphore.shared.permits.claim_turn();
        if self.taken.is_none() {
            self.taken = self.semaphore.take(self.many);
        }
        self.taken.is_some()
    }

    fn over(&mut self) -> bool {
        if self.since.elapsed() > PASSED_OVER {
            self.semaphore.shared.permits.queue_up();
        }
        false
    }

    fn gone(&mut self) -> bool {
        self.semaphore.return_from_the_dead();
        self.semaphore.shared.ring.is_poisoned()
    }

    fn longest_sleep(&self) -> Duration {
        ASK_AFTER
    }
}

impl Permit {
    /// How many permits it is.
    pub fn count(&self) -> u32 {
        self.first.map_or(0, |_| 1) + self.others.len() as u32
    }

    /// Takes them out of use: they never come back, unless somebody [adds](Semaphore::add) them.
    pub fn forget(mut self) {
        let others = std::mem::take(&mut self.others);
        for number in self.first.take().into_iter().chain(others) {
            self.shared.permits.retire(number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.first.is_none() || self.shared.ring.canary().forked() {
            return;
        }
        for number in self.first.iter().chain(&self.others) {
            self.shared.permits.give(*number);
        }
        self.shared.ring_waiters();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.ring.canary().forked() {
            return;
        }
        let memory = self.ring.segment().reader();
        if let Some(row) = memory.row(self.row) {
            row.state.store(RowState::Free as u32, Relaxed);
        }
        if let Some(control) = memory.control() {
            bell::quiet(&control.data, || self.ring.anyone_may_park());
        }
    }
}
