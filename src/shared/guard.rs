//! The lock on a shared value, and the copy that its holder changes.
//!
//! Layer 7.

use super::{Shared, SharedError};
use crate::attach::shown;
use crate::semaphore::Permit;
use crate::sync::Ordering::Relaxed;
use crate::typed::Value;
use core::ops::{Deref, DerefMut};

/// The lock, and the value to be changed. Dropping it stores the changed value atomically and releases the
/// lock. A panic or a death leaves the value as it was, except that a guard taken while its thread was
/// already panicking, in a destructor, behaves as any other.
#[must_use = "a guard that is dropped gives the lock back at once"]
pub struct SharedGuard<'s, T: Value + ?Sized> {
    shared: &'s mut Shared<T>,
    value: T::Owned,
    version: u64,
    changed: bool,
    abandoned: bool,
    /// Whether its thread was panicking when it was taken.
    taken_in_panic: bool,
    /// Whether the holder has committed or discarded the change.
    decided: bool,
    /// Freed last.
    _permit: Permit,
}

shown!([T: Value + ?Sized] SharedGuard<'_, T>, "SharedGuard", |guard| version = guard.version, abandoned = guard.abandoned);

impl<'s, T: Value + ?Sized> SharedGuard<'s, T> {
    pub(super) fn new(
        shared: &'s mut Shared<T>,
        permit: Permit,
        value: T::Owned,
        version: u64,
        abandoned: bool,
    ) -> Self {
        Self {
            shared,
            value,
            version,
            changed: false,
            abandoned,
            taken_in_panic: std::thread::panicking(),
            decided: false,
            _permit: permit,
        }
    }

    /// Returns `true` if the last holder died, or panicked, while it held the lock. Its change was stored
    /// completely, if it had begun to release the lock, or not at all. The caller has to check what the
    /// holder did besides this value.
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }

    /// Returns how many times the value was changed before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Stores the changed value and releases the lock. Returns the new version of the value.
    ///
    /// # Errors
    /// [`SharedError::Forked`], [`SharedError::Poisoned`]; nothing was changed then.
    pub fn commit(mut self) -> Result<u64, SharedError> {
        self.shared.semaphore.undisturbed()?;
        self.decided = true;
        self.put();
        Ok(self.version)
    }

    /// Releases the lock without changing the value.
    pub fn discard(mut self) {
        self.changed = false;
        self.decided = true;
    }

    fn put(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let bytes = T::of(&self.value).bytes();
        if let Some(version) = self.shared.own.set(0, bytes) {
            self.version = version;
        }
        if let Some(control) = self.shared.seen.memory().control() {
            self.shared.waker.ring(&control.data);
        }
    }
}

impl<T: Value + ?Sized> Deref for SharedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        T::of(&self.value)
    }
}

impl<T: Value + ?Sized> DerefMut for SharedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        T::of_mut(&mut self.value)
    }
}

impl<T: Value + ?Sized> Drop for SharedGuard<'_, T> {
    fn drop(&mut self) {
        // A panic that began while the lock was held counts as a death: the word stays set. In a fork,
        // which holds nothing, it stays too.
        let in_the_middle = std::thread::panicking() && !self.taken_in_panic && !self.decided;
        if self.shared.semaphore.undisturbed().is_err() || in_the_middle {
            return;
        }
        self.put();
        if let Some(word) = self.shared.holder_word() {
            word.store(0, Relaxed);
        }
    }
}
