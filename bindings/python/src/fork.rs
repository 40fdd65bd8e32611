//! Whether this process is a fork of the one that made a handle.
//!
//! The library asks that itself, but a lock that another thread held at the moment of the fork is held for ever in the
//! child. So it is asked before the lock is taken.

use crate::failure::Failure;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Where in the line of forks a handle was made.
#[derive(Clone, Copy)]
pub struct Born(u64);

impl Born {
    /// In this process.
    pub fn here() -> Self {
        Self(FORKS.load(Relaxed))
    }

    /// Returns `true` if this process is a fork of the one that made the handle.
    pub fn forked(self) -> bool {
        self.0 != FORKS.load(Relaxed)
    }

    /// Fails in a fork.
    pub fn check(self) -> Result<(), Failure> {
        match self.forked() {
            false => Ok(()),
            true => Err(Failure::new(
                408,
                "this process is a fork of the one that made the handle: make it again in the child",
            )),
        }
    }
}

/// Called by the interpreter in the child of each fork.
#[pyfunction]
pub fn _after_fork() {
    FORKS.fetch_add(1, Relaxed);
}
