//! Reading the state of an object: it is a state, or the reason why there is none.
//!
//! Layer 5. Changes nothing.

use super::attachment::Attachment;
use super::error::{poisoned, removed};
use crate::segment::{wrapping, OpenError, Trouble};
use core::fmt;
use std::path::PathBuf;

/// Why the state of an object is not known.
#[derive(Debug)]
#[non_exhaustive]
pub enum StatusError {
    /// This process is a fork of the one that opened the object.
    Forked {
        /// The object's directory.
        path: PathBuf,
    },
    /// A file of the object was cut short while it was mapped.
    Poisoned {
        /// The object's directory.
        path: PathBuf,
    },
    /// The object was removed since it was opened; its name may lead to another one by now.
    Removed {
        /// Where it was.
        path: PathBuf,
    },
    /// A part of the object, such as a lane of a queue, could not be looked into.
    Open(OpenError),
}

impl StatusError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Forked { .. } => 408,
            Self::Poisoned { .. } => 411,
            Self::Removed { .. } => 413,
            Self::Open(error) => error.code(),
        }
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forked { path } => write!(
                f,
                "this process is a fork of the one that opened {}: open it again in the child",
                path.display()
            ),
            Self::Poisoned { path } => poisoned(f, &path.display()),
            Self::Removed { path } => removed(f, &path.display()),
            Self::Open(error) => error.fmt(f),
        }
    }
}

wrapping!(StatusError: (Open) {});

impl From<OpenError> for StatusError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl Attachment {
    /// Reads the state of the object. What is read while pages are missing is no state, and what went wrong because
    /// the object was removed is told as that.
    pub(crate) fn looked_into<T>(
        &self,
        read: impl FnOnce() -> Result<T, StatusError>,
    ) -> Result<T, StatusError> {
        self.is_there(self.trouble())?;
        let state = read();
        self.is_there(self.trouble())?;
        if state.is_err() && self.is_unnamed() {
            self.is_there(Some(Trouble::Removed))?;
        }
        state
    }

    fn is_there(&self, trouble: Option<Trouble>) -> Result<(), StatusError> {
        let path = || self.path().to_owned();
        match trouble {
            None => Ok(()),
            Some(Trouble::Forked) => Err(StatusError::Forked { path: path() }),
            Some(Trouble::Poisoned) => Err(StatusError::Poisoned { path: path() }),
            Some(Trouble::Removed) => Err(StatusError::Removed { path: path() }),
        }
    }
}
