//! Opening a shared value, of a type of the program or of any.
//!
//! Layer 7.

use super::{Shared, SharedBuilder, SharedOptions};
use crate::attach::Attachment;
use crate::endpoint::look_until;
use crate::layout::form::Form;
use crate::layout::schema::Schema;
use crate::ring::cell::Cells;
use crate::segment::{Location, Memory, OpenError, Place, RemoveError};
use crate::semaphore::{Semaphore, SemaphoreOptions};
use crate::typed::{Plain, Value};
use crate::wait::{Deadline, Since, Waker};
use std::marker::PhantomData;

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
    pub(super) fn attach(
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
}
