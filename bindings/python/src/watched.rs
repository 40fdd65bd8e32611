//! A handle with or without a descriptor, which is made when it is first asked for.

use crate::failure::Failure;
use pyo3::exceptions::PyOSError;
use slipring::endpoint::Source;
use slipring::events::Pollable;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, RawFd};

/// A handle, and its descriptor once it has one.
pub enum Watched<H> {
    /// Without a descriptor.
    Plain(Box<H>),
    /// With one.
    Polled(Box<Pollable<H>>),
    /// Between the two; never seen.
    Nothing,
}

impl<H> Watched<H> {
    /// Without a descriptor.
    pub fn new(handle: H) -> Self {
        Self::Plain(Box::new(handle))
    }

    /// With a descriptor.
    pub fn polled(&mut self) -> Result<&mut Pollable<H>, Failure> {
        if let Self::Plain(_) = self {
            let Self::Plain(handle) = std::mem::replace(self, Self::Nothing) else {
                return Err(gone());
            };
            let polled = Pollable::new(*handle).map_err(|error| Failure::Raised(error.into()))?;
            *self = Self::Polled(Box::new(polled));
        }
        match self {
            Self::Polled(polled) => Ok(polled),
            _ => Err(gone()),
        }
    }

    /// The number of the descriptor.
    pub fn fileno(&mut self) -> Result<RawFd, Failure> {
        Ok(self.polled()?.as_raw_fd())
    }

    /// Has the kernel make the descriptor readable, which is made if need be.
    pub fn use_io_uring(&mut self) -> Result<(), Failure> {
        self.polled()?.use_io_uring().map_err(refused)
    }

    /// Returns `true` if the kernel watches what was armed last.
    pub fn uses_io_uring(&self) -> bool {
        matches!(self, Self::Polled(polled) if polled.uses_io_uring())
    }

    /// The handle alone.
    pub fn into_inner(self) -> Option<H> {
        match self {
            Self::Plain(handle) => Some(*handle),
            Self::Polled(polled) => Some(polled.into_inner()),
            Self::Nothing => None,
        }
    }

    /// The handle, unless making its descriptor failed.
    pub fn get(&mut self) -> Result<&mut H, Failure> {
        match self {
            Self::Plain(handle) => Ok(handle),
            Self::Polled(polled) => Ok(polled.deref_mut()),
            Self::Nothing => Err(gone()),
        }
    }

    /// The same, to look at.
    pub fn see(&self) -> Result<&H, Failure> {
        match self {
            Self::Plain(handle) => Ok(handle),
            Self::Polled(polled) => Ok(polled.deref()),
            Self::Nothing => Err(gone()),
        }
    }
}

impl<S: Source> Watched<S> {
    /// Returns `true` if there is something to receive; otherwise the descriptor becomes readable when there is.
    pub fn arm(&mut self) -> Result<bool, Failure> {
        Ok(self.polled()?.arm())
    }
}

/// An `OSError` with its number, in place of which the library explains some refusals of the kernel.
fn refused(error: io::Error) -> Failure {
    const ENOSYS: i32 = 38;
    const EPERM: i32 = 1;
    let number = match error.kind() {
        io::ErrorKind::Unsupported => Some(ENOSYS),
        io::ErrorKind::PermissionDenied => Some(EPERM),
        _ => error.raw_os_error(),
    };
    match number {
        Some(number) => PyOSError::new_err((number, error.to_string())).into(),
        None => Failure::Raised(error.into()),
    }
}

fn gone() -> Failure {
    pyo3::exceptions::PyValueError::new_err(
        "this handle was lost when its descriptor could not be made: make it again",
    )
    .into()
}
