//! Counting semaphores whose permits come back when their holder dies.
//!
//! Layer 7. A segment without messages: a handle holds a row, which says that it is alive, and the board
//! holds the permits (`ring::permits`).

mod acquire;
mod builder;
mod error;
#[cfg(feature = "async")]
mod event;
mod permit;

pub use acquire::Waiter;
pub use builder::SemaphoreBuilder;
pub use error::AcquireError;
pub use permit::Permit;

use self::permit::Shared;
use crate::attach::{shown, Attachment, Lease};
use crate::endpoint::{look_until, options, AttachError, Builder, Difference, StatusError};
use crate::layout::form::Form;
use crate::layout::lines::RowState;
use crate::ring::permits::{IdleTurn, Permits};
use crate::segment::{Canary, Location, MappingOptions, OpenError, Place, RemoveError, Trouble};
use crate::wait::{bell, Deadline, Since};
use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// After this many acquisitions a handle asks whether its semaphore was removed.
const ASK_EVERY_CALLS: u32 = 64;

/// A handle to a named counting semaphore.
///
/// # Guarantees
/// - `initial + added = free + held + forgotten`, at every moment and after every death.
/// - The permits of a process that dies come back: within 20 ms if a caller waits for one, and within 10 ms
///   of repeated attempts if a caller only tries.
/// - With one permit it is a lock: what its last holder did is visible to the next.
/// - A free permit goes to the first caller that takes it, which is fast but not fair. A waiter that has
///   been passed over for a millisecond gets the next one, in the order of waiting, and until then no other
///   caller gets any. So no caller starves.
/// - A waiter that does not take the permits it could take, for example because its process is stopped, is
///   passed over. Other callers take permits as if it did not wait once they have seen this for 5 ms, or
///   for 100 ms if it has stopped looking and only some of the permits it wants are free. It has its place
///   in the order again when it goes on. A process that is stopped while it *holds* a permit keeps it.
/// - Acquiring and releasing make no system call unless a caller sleeps.
///
/// # What others may change meanwhile
/// Other handles take, give back and add permits at any time.
///
/// A handle is for one thread at a time, like the others; open another one for another thread.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("printers");
/// use slipring::semaphore::AcquireError;
/// use slipring::Semaphore;
///
/// let printers = Semaphore::builder(&path).permits(2).create()?;
/// let elsewhere = Semaphore::open(&path)?; // in another process
///
/// let mine = printers.acquire()?;
/// let theirs = elsewhere.acquire()?;
/// assert!(matches!(printers.try_acquire(), Err(AcquireError::Unavailable)));
/// drop(theirs);
/// let both = printers.try_acquire()?;
/// # drop((mine, both));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Semaphore {
    shared: Arc<Shared>,
    options: SemaphoreOptions,
    slept: Cell<bool>,
    hint: Cell<u32>,
    asked: Cell<Since>,
    /// Counts acquisitions, to ask at intervals whether the semaphore was removed.
    calls: Cell<u32>,
    watch: Cell<Watch>,
}

options! {
    /// How a handle to a semaphore behaves.
    SemaphoreOptions { strategy }
}

shown!([] Semaphore, "Semaphore", |semaphore| path = semaphore.path());

/// A turn that another handle has and does not use, as this one has seen it.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    idle: Option<IdleTurn>,
    /// When it was first seen.
    since: Option<Instant>,
    /// When the handle last looked.
    looked: Option<Instant>,
}

/// The state of a semaphore at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatus {
    /// Permits that can be taken.
    pub free: u32,
    /// Permits that are held.
    pub held: u32,
    /// Permits that are not in use: never added, or forgotten.
    pub retired: u32,
    /// Permits that there can be.
    pub max: u32,
    /// Handles that are open and alive.
    pub handles: u32,
    /// The processes that hold permits, once for each handle that does.
    pub holders: Vec<u32>,
}

impl Semaphore {
    /// Describes a new semaphore at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> SemaphoreBuilder {
        let place = place.into();
        SemaphoreBuilder::new(Builder::of(&place), place.location())
    }

    /// Opens the semaphore at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring, and [`OpenError::Busy`] if there are as many handles as there
    /// can be.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_with(place, SemaphoreOptions::default())
    }

    /// Like [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        place: impl Into<Place>,
        options: SemaphoreOptions,
    ) -> Result<Self, OpenError> {
        Self::open_location(&place.into().location()?, options)
    }

    /// Like [`open`](Self::open), waiting until there is a semaphore at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        Self::open_until_with(place, deadline, SemaphoreOptions::default())
    }

    /// Like [`open_until`](Self::open_until), with options.
    ///
    /// # Errors
    /// As [`open_until`](Self::open_until).
    pub fn open_until_with(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
        options: SemaphoreOptions,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open_with(&place, options))
    }

    fn open_location(location: &Location, options: SemaphoreOptions) -> Result<Self, OpenError> {
        let mapping = MappingOptions::default();
        let attachment = Attachment::open_form(location, mapping, Form::Semaphore)?;
        Self::attach(attachment, options)
    }

    /// A handle to the permits of a segment of any form that has them.
    pub(crate) fn attach(
        attachment: Attachment,
        options: SemaphoreOptions,
    ) -> Result<Self, OpenError> {
        let mut lease = Lease::take(&attachment).map_err(|error| match error {
            AttachError::NoRow { rows } => OpenError::Busy {
                path: attachment.path().to_owned(),
                handles: rows,
            },
            AttachError::Io { path, source } => OpenError::Io {
                what: "lock",
                path,
                source,
            },
            AttachError::Removed { path } => {
                OpenError::not_found(path).looked_for(attachment.form())
            }
            AttachError::Poisoned { path } => OpenError::Untrusted {
                path,
                why: "a file of it was cut short while it was opened",
            },
            AttachError::Open(error) => error,
            _ => OpenError::Permission {
                path: attachment.path().join("control"),
            },
        })?;
        let (memory, row) = (attachment.segment().reader().clone(), lease.row());
        let initial = attachment.segment().description().parameters[0];
        let permits = Permits::new(memory, row, u32::try_from(initial).unwrap_or(u32::MAX));
        // The last owner of the row may have died holding permits.
        let returned = permits.return_all(row);
        lease.begin(RowState::Consumer, true);
        let control = attachment.segment().reader().control();
        if let (true, Some(control)) = (returned > 0, control) {
            bell::ring_now(&control.data);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                permits,
                waker: Mutex::default(),
                attachment,
                lease,
            }),
            options,
            slept: Cell::new(false),
            hint: Cell::new(0),
            asked: Cell::default(),
            calls: Cell::new(0),
            watch: Cell::default(),
        })
    }

    /// Removes the semaphore at a place.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a process has it open.
    /// [`OpenError::Form`] if it is not a semaphore.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Semaphore)
    }

    /// Takes a permit, waiting for one.
    ///
    /// # Errors
    /// [`AcquireError::Forked`], [`AcquireError::Poisoned`], [`AcquireError::Removed`].
    pub fn acquire(&self) -> Result<Permit, AcquireError> {
        self.acquire_some(1, Deadline::NEVER)
    }

    /// Takes a permit, waiting for one until a deadline.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::TimedOut`].
    pub fn acquire_until(&self, deadline: impl Into<Deadline>) -> Result<Permit, AcquireError> {
        self.acquire_some(1, deadline.into())
    }

    /// Takes a permit if one is free. At intervals a call that finds none asks the kernel whether the
    /// holders are alive and the semaphore is still there, so callers that only try also get the permits of the
    /// dead, and learn of a removal.
    ///
    /// # Errors
    /// [`AcquireError::Unavailable`] also while a caller that has waited longer is about to take it;
    /// [`AcquireError::Forked`], [`AcquireError::Poisoned`], [`AcquireError::Removed`].
    pub fn try_acquire(&self) -> Result<Permit, AcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `many` permits at once if enough are free. Takes none before it has seen enough free ones. If
    /// other callers are faster then, it gives back what it took, and each of the callers may fail.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire), and [`AcquireError::TooMany`].
    pub fn try_acquire_many(&self, many: u32) -> Result<Permit, AcquireError> {
        self.usable()?;
        self.possible(many)?;
        match self.take(many) {
            Some(permit) => Ok(permit),
            None => self.try_acquire_slowly(many),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_slowly(&self, many: u32) -> Result<Permit, AcquireError> {
        let found = self.take_what_is_in_the_way(many)?;
        found.ok_or(AcquireError::Unavailable)
    }

    /// Takes `many` permits at once, waiting for them.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::TooMany`].
    pub fn acquire_many(&self, many: u32) -> Result<Permit, AcquireError> {
        self.acquire_many_until(many, Deadline::NEVER)
    }

    /// Takes `many` permits at once, waiting for them until a deadline. Until it has seen that enough are
    /// free it holds none of them, and once it is first in the order of waiting no other caller gets any.
    ///
    /// # Errors
    /// As [`acquire_until`](Self::acquire_until), and [`AcquireError::TooMany`].
    pub fn acquire_many_until(
        &self,
        many: u32,
        deadline: impl Into<Deadline>,
    ) -> Result<Permit, AcquireError> {
        self.acquire_some(many, deadline.into())
    }

    /// Begins to wait for `many` permits, in a place that is kept between several waits: for a caller that looks after other
    /// things in between, such as signals of the system. The rules are those of one long wait, so the place is passed over while
    /// its owner waits nowhere. A handle has one place: waiters of one handle share it, and each of them gives it up when it is dropped.
    ///
    /// # Errors
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// ```
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("printers");
    /// use slipring::{semaphore::AcquireError, Semaphore};
    /// use std::time::Duration;
    ///
    /// let printers = Semaphore::builder(&path).permits(2).create()?;
    /// let waiter = printers.waiter(2)?;
    /// let permits = loop {
    ///     match printers.acquire_as(&waiter, Duration::from_millis(50)) {
    ///         Err(AcquireError::TimedOut) => println!("still waiting"),
    ///         acquired => break acquired?,
    ///     }
    /// };
    /// assert_eq!(permits.count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn waiter(&self, many: u32) -> Result<Waiter, AcquireError> {
        self.begin_to_wait(many)
    }

    /// Takes the permits that a waiter waits for, waiting until a deadline. If that comes first, the waiter keeps its place; a call
    /// that succeeds ends it. A waiter of another handle has no place here, so its wait begins anew.
    ///
    /// # Errors
    /// As [`acquire_many_until`](Self::acquire_many_until).
    pub fn acquire_as(
        &self,
        waiter: &Waiter,
        deadline: impl Into<Deadline>,
    ) -> Result<Permit, AcquireError> {
        if !waiter.is_of(self) {
            return self.acquire_many_until(waiter.count(), deadline);
        }
        self.usable()?;
        let permit = self.wait_at(waiter, deadline.into())?;
        waiter.leave();
        Ok(permit)
    }

    /// In line, so that a single permit needs no list.
    #[inline(always)]
    fn acquire_some(&self, many: u32, deadline: Deadline) -> Result<Permit, AcquireError> {
        self.usable()?;
        if let Some(permit) = self.take(many) {
            return Ok(permit);
        }
        self.possible(many)?;
        self.wait(many, deadline)
    }

    /// Adds a permit: one that was never in use, or was forgotten.
    ///
    /// # Errors
    /// [`AcquireError::TooMany`] if there are as many as there can be.
    pub fn add(&self) -> Result<(), AcquireError> {
        self.usable()?;
        let max = self.max();
        if !self.shared.permits.add() {
            let wanted = max + 1;
            return Err(AcquireError::TooMany { wanted, max });
        }
        self.shared.ring_waiters();
        Ok(())
    }

    /// Returns the state at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<SemaphoreStatus, StatusError> {
        let (attachment, permits) = (&self.shared.attachment, &self.shared.permits);
        attachment.looked_into(|| {
            let count = permits.count();
            let rows = permits.holders().into_iter();
            Ok(SemaphoreStatus {
                free: count.free,
                held: count.held,
                retired: count.retired,
                max: self.max(),
                handles: attachment.live_rows(),
                holders: rows.map(|row| attachment.pid_of_row(row)).collect(),
            })
        })
    }

    /// Returns `true` once the semaphore was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.shared.attachment.is_removed()
    }

    /// Returns how many permits there can be.
    pub fn max(&self) -> u32 {
        self.shared.attachment.segment().description().parameters[1] as u32
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.shared.attachment.differences()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.shared.attachment.path()
    }

    fn possible(&self, many: u32) -> Result<(), AcquireError> {
        let max = self.max();
        if many > max {
            return Err(AcquireError::TooMany { wanted: many, max });
        }
        Ok(())
    }

    pub(crate) fn attachment(&self) -> &Attachment {
        &self.shared.attachment
    }

    pub(crate) fn undisturbed(&self) -> Result<(), AcquireError> {
        let canary: Canary = self.shared.attachment.canary();
        if !canary.disturbed() {
            Ok(())
        } else if canary.forked() {
            Err(AcquireError::Forked)
        } else if self.shared.attachment.trouble() == Some(Trouble::Poisoned) {
            Err(AcquireError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// Checks that the handle can be used, and at intervals that the semaphore is not removed.
    fn usable(&self) -> Result<(), AcquireError> {
        self.undisturbed()?;
        let calls = self.calls.get().wrapping_add(1);
        if calls.is_multiple_of(ASK_EVERY_CALLS) {
            // A call that fails is not counted, so the next one asks again.
            self.shared
                .attachment
                .trouble()
                .map_or(Ok(()), |t| Err(AcquireError::from(t)))?;
        }
        self.calls.set(calls);
        Ok(())
    }
}
