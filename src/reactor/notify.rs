//! How a caller is notified: a task is woken, or a descriptor becomes readable.
//!
//! Layer 5.

use core::task::Waker;
use rustix::event::{eventfd, EventfdFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// A descriptor that is readable from a notification until it is cleared.
#[derive(Clone, Debug)]
pub struct Signal(Arc<OwnedFd>);

impl Signal {
    /// One that is not readable.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Makes it readable.
    fn raise(&self) {
        // Refused only if it is readable already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Makes it not readable.
    pub fn clear(&self) {
        let mut count = [0; 8];
        // Refused only if it is not readable.
        let _ = rustix::io::read(&*self.0, &mut count);
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is done once.
#[derive(Debug)]
pub enum Notify {
    /// A task is woken.
    Task(Waker),
    /// A descriptor becomes readable.
    Signal(Signal),
}

impl Notify {
    /// Does it. A waker is code of the caller, and what it does wrong must not end the thread for all others.
    pub fn fire(self) {
        match self {
            Self::Task(waker) => drop(catch_unwind(AssertUnwindSafe(|| waker.wake()))),
            Self::Signal(signal) => signal.raise(),
        }
    }

    /// Returns `true` if this notifies the same task or descriptor.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Task(this), Self::Task(other)) => this.will_wake(other),
            (Self::Signal(this), Self::Signal(other)) => Arc::ptr_eq(&this.0, &other.0),
            _ => false,
        }
    }
}
