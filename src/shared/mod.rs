//! A value that several processes change, one at a time.
//!
//! Layer 7. A segment whose data is one cell (`ring::cell`) and whose board is a semaphore with one permit:
//! the holder of the permit is the cell's one writer. The permit comes back when its holder dies, and the
//! cell shows complete values only, so there is nothing to repair. One more word of the board says whether
//! the last holder died while it held the permit.

mod builder;
mod error;
#[cfg(feature = "async")]
mod event;
mod guard;
mod open;

pub use builder::SharedBuilder;
pub use error::SharedError;
pub use guard::SharedGuard;

use crate::attach::{shown, Attachment};
use crate::endpoint::{options, Difference, StatusError};
use crate::layout::lines::Bell;
use crate::layout::schema::Schema;
use crate::ring::cell::Cells;
use crate::ring::permits::HOLDER_WORD;
use crate::semaphore::{AcquireError, Permit, Semaphore, Waiter};
use crate::sync::{AtomicU64, Ordering::Relaxed};
use crate::typed::Value;
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

impl<T: Value + ?Sized> Shared<T> {
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
