//! A value that several processes change, one at a time.
//!
//! Layer 7. A segment whose data is one cell (`ring::cell`) and whose board is a semaphore with one permit:
//! the holder of the permit is the cell's one writer. The permit comes back when its holder dies, and the
//! cell shows complete values only, so there is nothing to repair. One more word of the board says whether
//! the last holder died while it held the permit.

mod error;
#[cfg(feature = "async")]
mod event;
mod guard;

pub use error::SharedError;
pub use guard::SharedGuard;

use crate::attach::{shown, Attachment};
use crate::endpoint::{look_until, options, Builder, Difference, StatusError};
use crate::layout::form::Form;
use crate::layout::lines::Bell;
use crate::layout::schema::Schema;
use crate::ring::cell::{table_bytes, Cells};
use crate::ring::permits::{board_words, HOLDER_WORD};
use crate::segment::{CreateError, Location, Memory, NameError, OpenError, Place, RemoveError};
use crate::semaphore::{AcquireError, Permit, Semaphore, SemaphoreOptions, Waiter};
use crate::sync::{AtomicU64, Ordering::Relaxed};
use crate::typed::{Plain, Value};
use crate::wait::{until, Deadline, Outcome, Since, Waited, Waker};
use std::marker::PhantomData;
use std::path::Path;

/// How often a copy is tried before the changes count as too fast.
const ATTEMPTS: u32 = 1000;

/// A handle to a value that several processes change.
///
/// # Guarantees
/// - The lock has one holder at a time, across all processes. It sees everything the last holder did.
/// - A change is visible completely or not at all: the holder changes a copy, which replaces the value
///   atomically when the guard is dropped. A holder that dies or panics changes nothing, and its lock is
///   released within 20 ms if another handle waits for it. The next holder is
///   [told](SharedGuard::abandoned).
/// - Reading takes no lock and delays no other process. A value that is read is complete, and not older
///   than the newest one before the read began. Its version never goes back.
/// - The lock is fair as a [`Semaphore`] is: no caller starves, and a waiter that is stopped is passed
///   over. A holder that is stopped keeps the lock. There is no system call unless a caller sleeps or
///   [`try_lock`](Self::try_lock) fails.
///
/// # What others may change meanwhile
/// Other handles change the value whenever this one does not hold the lock. Its type never changes.
///
/// A handle is for one thread at a time, like the others; open another one for another thread.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("account");
/// use slipring::Shared;
///
/// slipring::message! {
///     pub struct Account { pub balance: i64, pub bookings: u64 }
/// }
///
/// let mut account = Shared::<Account>::builder(&path).create()?; // begins with zeroes
/// let mut elsewhere = Shared::<Account>::open(&path)?; // in another process
///
/// let mut guard = account.lock()?;
/// guard.balance += 100;
/// guard.bookings += 1;
/// assert_eq!(elsewhere.get()?.0.balance, 0); // not yet
/// let version = guard.commit()?;
/// assert_eq!(elsewhere.get()?, (Account { balance: 100, bookings: 1 }, version));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Shared<T: ?Sized> {
    semaphore: Semaphore,
    /// The value as readers see it, and as the holder of the lock does.
    seen: Cells,
    own: Cells,
    /// The buffer that values are copied to.
    private: Box<[u64]>,
    /// The size of the value.
    bytes: usize,
    waker: Waker,
    slept: bool,
    /// When a wait that ended in vain last asked whether the value was removed.
    asked: Since,
    options: SharedOptions,
    value: PhantomData<fn(T) -> T>,
}

options! {
    /// How a handle to a shared value behaves. The strategy is used both to wait for the lock and to wait for changes.
    SharedOptions { strategy }
}

shown!([T: ?Sized] Shared<T>, "Shared", |shared| path = shared.semaphore.path());

/// The state of a shared value at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedStatus {
    /// How many times it was changed.
    pub version: u64,
    /// The process that holds the lock, if one does.
    pub holder: Option<u32>,
    /// Handles that are open and alive.
    pub handles: u32,
}

/// The settings of a new shared value. Made by [`Shared::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct SharedBuilder<T: ?Sized> {
    inner: Builder,
    schema: Schema,
    location: Result<Location, NameError>,
    value: PhantomData<fn() -> T>,
}

impl<T: Value + ?Sized> SharedBuilder<T> {
    fn new(place: Place, schema: Schema) -> Self {
        Self {
            inner: Builder::of(&place),
            schema,
            location: place.location(),
            value: PhantomData,
        }
    }

    /// Sets how many handles can be open at once; 32 by default, 1 to 1024.
    pub fn max_handles(mut self, handles: u32) -> Self {
        self.inner = self.inner.max_readers(handles);
        self
    }

    /// Creates the value, all zeroes, at version 0, and opens it. Only its owner can open it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring.
    pub fn create(self) -> Result<Shared<T>, CreateError> {
        self.create_with(SharedOptions::default())
    }

    /// Like [`create`](Self::create), with options of the handle.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(self, options: SharedOptions) -> Result<Shared<T>, CreateError> {
        self.location.clone()?;
        let (described, schema) = self.described();
        Shared::attach(described.make()?, &schema, options).map_err(CreateError::Open)
    }

    /// Opens the value if it exists, else creates it. Its type must agree.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Shared<T>, CreateError> {
        self.create_or_open_with(SharedOptions::default())
    }

    /// Like [`create_or_open`](Self::create_or_open), with options of the handle.
    ///
    /// # Errors
    /// As [`create_or_open`](Self::create_or_open).
    pub fn create_or_open_with(self, options: SharedOptions) -> Result<Shared<T>, CreateError> {
        self.location.clone()?;
        let (described, schema) = self.described();
        let attach = |attachment| Shared::attach(attachment, &schema, options);
        described.make_or_open_and(attach)
    }

    fn described(self) -> (Builder, Schema) {
        let bytes = table_bytes(1, self.schema.bytes().into());
        let capacity = bytes.checked_next_power_of_two().unwrap_or(u64::MAX);
        let described = self
            .inner
            .capacity_bytes(capacity.max(4096))
            .schema(self.schema.clone())
            // One permit, and never more.
            .form(Form::Shared, board_words(1), [1, 1]);
        (described, self.schema)
    }
}

impl<T: Plain> Shared<T> {
    /// Describes a new value at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> SharedBuilder<T> {
        SharedBuilder::new(place.into(), T::schema())
    }

    /// Opens the value at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring; [`OpenError::Schema`] if it is no `T`; [`OpenError::Busy`] if
    /// there are as many handles as there can be.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_with(place, SharedOptions::default())
    }

    /// Like [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(place: impl Into<Place>, options: SharedOptions) -> Result<Self, OpenError> {
        Self::open_location(&place.into().location()?, options)
    }

    /// Like [`open`](Self::open), waiting until there is a value at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        Self::open_until_with(place, deadline, SharedOptions::default())
    }

    /// Like [`open_until`](Self::open_until), with options.
    ///
    /// # Errors
    /// As [`open_until`](Self::open_until).
    pub fn open_until_with(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
        options: SharedOptions,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open_with(&place, options))
    }

    fn open_location(location: &Location, options: SharedOptions) -> Result<Self, OpenError> {
        let attachment = Attachment::open_form(location, Default::default(), Form::Shared)?;
        attachment.expect_values::<T>(&T::schema())?;
        Self::attach(attachment, &T::schema(), options)
    }

    /// Removes the value at a place.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a process has it open.
    /// [`OpenError::Form`] if it is not a shared value.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Shared)
    }
}

impl Shared<[u8]> {
    /// Describes a new value that the program has no type for, at a place.
    ///
    /// ```
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("account");
    /// use slipring::Shared;
    ///
    /// let schema = "Account{balance:i64}".parse()?;
    /// let mut account = Shared::builder_of(&path, schema).create()?;
    /// let mut guard = account.lock()?;
    /// guard.copy_from_slice(&5_i64.to_le_bytes());
    /// guard.commit()?;
    ///
    /// let (now, version) = Shared::open_any(&path)?.get()?; // in another process
    /// assert_eq!((&*now, version), (&5_i64.to_le_bytes()[..], 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder_of(place: impl Into<Place>, schema: Schema) -> SharedBuilder<[u8]> {
        SharedBuilder::new(place.into(), schema)
    }

    /// Opens the value at a place, whatever it is: [`schema`](Self::schema) says that.
    ///
    /// # Errors
    /// As [`Shared::open`].
    pub fn open_any(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_any_with(place, SharedOptions::default())
    }

    /// Like [`open_any`](Self::open_any), with options.
    ///
    /// # Errors
    /// As [`Shared::open`].
    pub fn open_any_with(
        place: impl Into<Place>,
        options: SharedOptions,
    ) -> Result<Self, OpenError> {
        let location = place.into().location()?;
        let attachment = Attachment::open_form(&location, Default::default(), Form::Shared)?;
        let schema = attachment.any_schema()?;
        Self::attach(attachment, &schema, options)
    }

    /// Like [`open_any`](Self::open_any), waiting until there is a value at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open_any`](Self::open_any). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_any_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open_any(&place))
    }
}

impl<T: Value + ?Sized> Shared<T> {
    /// What it is made of and what the caller expects agree.
    fn attach(
        attachment: Attachment,
        schema: &Schema,
        options: SharedOptions,
    ) -> Result<Self, OpenError> {
        attachment.expect_schema(schema)?;
        let bytes = schema.bytes() as usize;
        let overlay = |memory: &Memory| {
            let cells = Cells::new(memory, 1, bytes as u64);
            cells.ok_or_else(|| OpenError::Untrusted {
                path: attachment.path().to_owned(),
                why: "its value is not where it says",
            })
        };
        let seen = overlay(attachment.segment().reader())?;
        let own = overlay(&attachment.segment().writer()?)?;
        Ok(Self {
            semaphore: {
                let options = SemaphoreOptions::new().strategy(options.strategy);
                Semaphore::attach(attachment, options)?
            },
            seen,
            own,
            private: vec![0; bytes.div_ceil(8)].into_boxed_slice(),
            bytes,
            waker: Waker::default(),
            slept: false,
            asked: Since::default(),
            options,
            value: PhantomData,
        })
    }

    /// Waits for the lock and lends the value to be changed.
    ///
    /// # Errors
    /// [`SharedError::Forked`], [`SharedError::Poisoned`].
    pub fn lock(&mut self) -> Result<SharedGuard<'_, T>, SharedError> {
        self.lock_until(Deadline::NEVER)
    }

    /// Like [`lock`](Self::lock), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), and [`SharedError::TimedOut`].
    pub fn lock_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<SharedGuard<'_, T>, SharedError> {
        let permit = self.semaphore.acquire_until(deadline)?;
        self.locked(permit)
    }

    /// Like [`lock`](Self::lock), if no other handle holds the lock or has waited longer.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), and [`SharedError::Locked`].
    pub fn try_lock(&mut self) -> Result<SharedGuard<'_, T>, SharedError> {
        let permit = match self.semaphore.try_acquire() {
            // No caller waits, so none has asked whether the holder lives.
            Err(AcquireError::Unavailable) if self.semaphore.return_from_the_dead() => {
                self.semaphore.try_acquire()?
            }
            permit => permit?,
        };
        self.locked(permit)
    }

    /// Begins to wait for the lock, in a place that is kept between several waits, as [`Semaphore::waiter`].
    ///
    /// # Errors
    /// As [`lock`](Self::lock), and [`SharedError::Removed`].
    pub fn waiter(&self) -> Result<Waiter, SharedError> {
        Ok(self.semaphore.waiter(1)?)
    }

    /// Like [`lock_until`](Self::lock_until), in the place of a waiter, which keeps it if the deadline comes first. One of another
    /// handle has none here, so its wait begins anew.
    ///
    /// # Errors
    /// As [`lock_until`](Self::lock_until).
    pub fn lock_as(
        &mut self,
        waiter: &Waiter,
        deadline: impl Into<Deadline>,
    ) -> Result<SharedGuard<'_, T>, SharedError> {
        let permit = self.semaphore.acquire_as(waiter, deadline)?;
        self.locked(permit)
    }

    fn locked(&mut self, permit: Permit) -> Result<SharedGuard<'_, T>, SharedError> {
        let (value, version) = self.get()?;
        let abandoned = self.holder_word().is_some_and(|word| {
            let abandoned = word.load(Relaxed) != 0;
            word.store(1, Relaxed);
            abandoned
        });
        Ok(SharedGuard::new(self, permit, value, version, abandoned))
    }

    /// Returns the value and its version, which is how many times it was changed.
    ///
    /// # Errors
    /// [`SharedError`], but neither `Locked` nor `TimedOut`.
    pub fn get(&mut self) -> Result<(T::Owned, u64), SharedError> {
        self.semaphore.undisturbed()?;
        for _ in 0..ATTEMPTS {
            if let Some(version) = self.seen.try_get(0, &mut self.private) {
                // The guard may have put zeroes in place of the value that was being copied.
                self.semaphore.undisturbed()?;
                if version == 0 {
                    return Ok((T::zeroed(self.bytes), 0));
                }
                return Ok((T::read(&self.private, self.bytes), version));
            }
            crate::sync::spin_hint();
        }
        Err(SharedError::Overtaken)
    }

    /// Returns how many times it was changed, without its value; 0 in a forked child.
    pub fn version(&self) -> u64 {
        if self.semaphore.attachment().canary().forked() {
            return 0;
        }
        self.seen.version(0)
    }

    /// Waits until the value has another version than `version`.
    ///
    /// # Errors
    /// [`SharedError::Forked`], [`SharedError::Poisoned`], [`SharedError::Removed`].
    pub fn wait(&mut self, version: u64) -> Result<(), SharedError> {
        self.wait_until(version, Deadline::NEVER)
    }

    /// Like [`wait`](Self::wait), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`SharedError::TimedOut`].
    pub fn wait_until(
        &mut self,
        version: u64,
        deadline: impl Into<Deadline>,
    ) -> Result<(), SharedError> {
        self.semaphore.undisturbed()?;
        let memory = self.seen.memory().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.data);
        let mut change = Change {
            cells: &self.seen,
            attachment: self.semaphore.attachment(),
            version,
        };
        let deadline = deadline.into();
        let strategy = self.options.strategy;
        let outcome = until(&mut change, strategy, bell, deadline, &mut self.slept);
        match outcome {
            // Many short waits learn of it as one long wait does.
            Outcome::TimedOut if self.asked.due() => match self.semaphore.attachment().trouble() {
                Some(trouble) => Err(trouble.into()),
                None => Err(SharedError::TimedOut),
            },
            Outcome::TimedOut => Err(SharedError::TimedOut),
            Outcome::Gone => Err(self.semaphore.attachment().trouble_found().into()),
            Outcome::Ready | Outcome::Over => Ok(()),
        }
    }

    /// Returns the state at some moment during the call, without the value.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<SharedStatus, StatusError> {
        let semaphore = self.semaphore.status()?;
        self.semaphore.attachment().looked_into(|| {
            Ok(SharedStatus {
                version: self.seen.version(0),
                holder: semaphore.holders.first().copied(),
                handles: semaphore.handles,
            })
        })
    }

    /// Returns `true` once the value was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.semaphore.attachment().is_removed()
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.semaphore.differences()
    }

    /// Returns what the value is made of.
    pub fn schema(&self) -> Option<&Schema> {
        self.semaphore.attachment().schema()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.semaphore.path()
    }

    /// Not zero while a handle holds the lock, or after its holder died.
    fn holder_word(&self) -> Option<&AtomicU64> {
        self.seen.memory().board(HOLDER_WORD)
    }
}

/// Waiting for a change.
struct Change<'r> {
    cells: &'r Cells,
    attachment: &'r Attachment,
    version: u64,
}

impl Waited for Change<'_> {
    fn ready(&mut self) -> bool {
        self.cells.version(0) != self.version
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.attachment.trouble().is_some()
    }
}
