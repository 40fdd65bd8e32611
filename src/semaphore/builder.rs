//! Describing a semaphore before it exists.
//!
//! Layer 7.

use super::{Semaphore, SemaphoreOptions};
use crate::endpoint::Builder;
use crate::layout::form::Form;
use crate::layout::geometry::GeometryError;
use crate::ring::permits::{board_words, MAX_PERMITS};
use crate::segment::{CreateError, Location, NameError};

/// The settings of a new semaphore. Made by [`Semaphore::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct SemaphoreBuilder {
    inner: Builder,
    location: Result<Location, NameError>,
    permits: u32,
    max: Option<u32>,
}

impl SemaphoreBuilder {
    pub(super) fn new(inner: Builder, location: Result<Location, NameError>) -> Self {
        Self {
            inner,
            location,
            permits: 1,
            max: None,
        }
    }

    /// Sets how many permits there are to begin with; 1, a lock, by default.
    pub fn permits(mut self, permits: u32) -> Self {
        self.permits = permits;
        self
    }

    /// Sets how many permits there can ever be ([`Semaphore::add`]); by default as many as at the
    /// beginning, at most 65,536.
    pub fn max_permits(mut self, permits: u32) -> Self {
        self.max = Some(permits);
        self
    }

    /// Sets how many handles can be open at once; 32 by default, 1 to 1024.
    pub fn max_handles(mut self, handles: u32) -> Self {
        self.inner = self.inner.max_readers(handles);
        self
    }

    /// Sets who may use it, as the permission bits of a file; `0o600` by default. For group and others that
    /// takes both reading and writing.
    pub fn mode(mut self, mode: u32) -> Self {
        self.inner = self.inner.mode(mode);
        self
    }

    /// Creates the semaphore and opens it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring; [`GeometryError::Permits`](crate::place::GeometryError::Permits) for too
    /// many permits.
    pub fn create(self) -> Result<Semaphore, CreateError> {
        self.create_with(SemaphoreOptions::default())
    }

    /// Like [`create`](Self::create), with options of the handle.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(self, options: SemaphoreOptions) -> Result<Semaphore, CreateError> {
        self.location.clone()?;
        let attachment = self.described()?.make()?;
        Semaphore::attach(attachment, options).map_err(CreateError::Open)
    }

    /// Opens the semaphore if it exists, else creates it. An existing one keeps its permits.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Semaphore, CreateError> {
        self.create_or_open_with(SemaphoreOptions::default())
    }

    /// Like [`create_or_open`](Self::create_or_open), with options of the handle.
    ///
    /// # Errors
    /// As [`create_or_open`](Self::create_or_open).
    pub fn create_or_open_with(self, options: SemaphoreOptions) -> Result<Semaphore, CreateError> {
        self.location.clone()?;
        let attach = |attachment| Semaphore::attach(attachment, options);
        self.described()?.make_or_open_and(attach)
    }

    fn described(self) -> Result<Builder, CreateError> {
        let max = self.max.unwrap_or(self.permits).max(self.permits);
        if max > MAX_PERMITS {
            let (permits, max) = (max, MAX_PERMITS);
            return Err(GeometryError::Permits { permits, max }.into());
        }
        let parameters = [u64::from(self.permits), u64::from(max)];
        Ok(self
            .inner
            .capacity_bytes(4096)
            .form(Form::Semaphore, board_words(max), parameters))
    }
}
