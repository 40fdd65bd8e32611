//! The lock on a shared value, and the copy its holder works on.
//!
//! Layer 7.

use super::{Shared, SharedError};
use crate::semaphore::Permit;
use crate::sync::Ordering::Relaxed;
use crate::typed::Plain;
use core::ops::{Deref, DerefMut};

/// The lock, and the value to be changed. Dropping it puts the changed value in place, all at once,
/// and gives the lock back; a panic or a death leaves the value as it was. A guard that was taken while
/// its thread was panicking already, in a destructor, is as any other.
#[derive(Debug)]
#[must_use = "a guard that is dropped gives the lock back at once"]
pub struct SharedGuard<'s, T: Plain> {
    shared: &'s mut Shared<T>,
    value: T,
    version: u64,
    changed: bool,
    abandoned: bool,
    /// Whether its thread was panicking when it was taken.
    taken_in_panic: bool,
    /// Whether its holder said what becomes of the change.
    decided: bool,
    /// Freed last.
    _permit: Permit,
}

impl<'s, T: Plain> SharedGuard<'s, T> {
    pub(super) fn new(
        shared: &'s mut Shared<T>,
        permit: Permit,
        value: T,
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

    /// Returns `true` if the last holder died, or panicked, while it held the lock. Its change is there
    /// whole, if it got as far as giving the lock back, or not at all; what it was doing beside this value
    /// is for the caller to find out.
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }

    /// How many times the value was changed before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Puts the changed value in place and gives the lock back. Returns the version that the value
    /// has now.
    ///
    /// # Errors
    /// [`SharedError::Forked`], [`SharedError::Poisoned`]; nothing was changed then.
    pub fn commit(mut self) -> Result<u64, SharedError> {
        self.shared.semaphore.undisturbed()?;
        self.decided = true;
        self.put();
        Ok(self.version)
    }

    /// Gives the lock back without changing anything.
    pub fn discard(mut self) {
        self.changed = false;
        self.decided = true;
    }

    fn put(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let bytes = bytemuck::bytes_of(&self.value);
        if let Some(version) = self.shared.own.set(0, bytes) {
            self.version = version;
        }
        if let Some(control) = self.shared.seen.memory().control() {
            self.shared.waker.ring(&control.data);
        }
    }
}

impl<T: Plain> Deref for SharedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> DerefMut for SharedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: Plain> Drop for SharedGuard<'_, T> {
    fn drop(&mut self) {
        // A panic that began while the lock was held is a death in the middle: the word stays. So it does
        // in a fork, which holds nothing.
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
