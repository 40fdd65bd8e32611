//! What a handle owns, and what it has lent of it: at most one thing at a time, which borrows it.

use crate::failure::Failure;
use crate::status::{SLIPRING_E_LENT, SLIPRING_E_NOTHING_LENT};
use std::ptr::NonNull;

/// A handle of the library, and a guard of it.
///
/// The handle lies in memory of its own and is reached through one pointer, so that a guard can borrow it while both are in one
/// place. While there is a guard, nothing else reaches the handle.
pub struct Lender<H, G> {
    guard: Option<G>,
    handle: NonNull<H>,
}

// SAFETY: it owns the handle as a box would.
unsafe impl<H: Send, G: Send> Send for Lender<H, G> {}

impl<H: 'static, G> Lender<H, G> {
    pub fn new(handle: H) -> Self {
        Self {
            guard: None,
            handle: NonNull::from(Box::leak(Box::new(handle))),
        }
    }

    /// The handle, if it has lent nothing.
    #[inline(always)]
    pub fn free(&mut self) -> Result<&mut H, Failure> {
        if self.guard.is_some() {
            return Err(lent());
        }
        // SAFETY: it lives as long as `self`, which is borrowed exclusively, and there is no guard.
        Ok(unsafe { self.handle.as_mut() })
    }

    /// Lends what `lend` makes of the handle. `lend` may keep nothing but that.
    #[inline(always)]
    pub fn lend(
        &mut self,
        lend: impl FnOnce(&'static mut H) -> Result<G, Failure>,
    ) -> Result<&mut G, Failure> {
        if self.guard.is_some() {
            return Err(lent());
        }
        // SAFETY: the guard that comes of it is the only thing that reaches the handle, as long as there is one: every other
        // way looks whether there is. It goes before the handle does.
        let guard = lend(unsafe { self.handle.as_mut() })?;
        Ok(self.guard.insert(guard))
    }

    #[inline(always)]
    pub fn guard(&mut self) -> Option<&mut G> {
        self.guard.as_mut()
    }

    /// Ends the loan.
    #[inline(always)]
    pub fn take(&mut self) -> Result<G, Failure> {
        self.guard.take().ok_or_else(nothing_lent)
    }

    /// Keeps a guard that was taken, or lent by what `take` returned.
    pub fn keep(&mut self, guard: G) {
        self.guard = Some(guard);
    }

    /// Ends a loan, if there is one, and gives the handle away.
    pub fn into_inner(mut self) -> H {
        self.guard = None;
        let handle = self.handle;
        std::mem::forget(self);
        // SAFETY: it came from a box, and nothing reaches it any more.
        *unsafe { Box::from_raw(handle.as_ptr()) }
    }
}

impl<H, G> Drop for Lender<H, G> {
    fn drop(&mut self) {
        self.guard = None;
        // SAFETY: it came from a box, and nothing reaches it any more.
        drop(unsafe { Box::from_raw(self.handle.as_ptr()) });
    }
}

#[cold]
pub fn lent() -> Failure {
    Failure::fixed(
        SLIPRING_E_LENT,
        "the handle has lent something: give it back (release, commit, abort, ack, return) first",
    )
}

#[cold]
pub fn nothing_lent() -> Failure {
    Failure::fixed(
        SLIPRING_E_NOTHING_LENT,
        "the handle has lent nothing, or it was given back already",
    )
}
