//! The settings of a new shared value, and creating it.
//!
//! Layer 7.

use super::{Shared, SharedOptions};
use crate::endpoint::Builder;
use crate::layout::form::Form;
use crate::layout::schema::Schema;
use crate::ring::cell::table_bytes;
use crate::ring::permits::board_words;
use crate::segment::{CreateError, Location, NameError, Place};
use crate::typed::Value;
use std::marker::PhantomData;

/// The settings of a new shared value. Made by [`Shared::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct SharedBuilder<T: ?Sized> {
    inner: Builder,
    schema: Schema,
    location: Result<Location, NameError>,
    value: PhantomData<fn() -> T>,
}

impl<T: Value + ?Sized> SharedBuilder<T> {
    pub(super) fn new(place: Place, schema: Schema) -> Self {
        Self {
            inner: Builder::of(&place),
            schema,
            location: place.location(),
            value: PhantomData,
        }
    }

    /// Sets how many handles can be open at once; 32 by default, 1 to 1024.
    pub fn max_handles(mut self, handles: u32) -> Self {
        self.inner = self.inner.max_readers(handles);
        self
    }

    /// Creates the value, all zeroes, at version 0, and opens it. Only its owner can open it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring.
    pub fn create(self) -> Result<Shared<T>, CreateError> {
        self.create_with(SharedOptions::default())
    }

    /// Like [`create`](Self::create), with options of the handle.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(self, options: SharedOptions) -> Result<Shared<T>, CreateError> {
        self.location.clone()?;
        let (described, schema) = self.described();
        Shared::attach(described.make()?, &schema, options).map_err(CreateError::Open)
    }

    /// Opens the value if it exists, else creates it. Its type must agree.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Shared<T>, CreateError> {
        self.create_or_open_with(SharedOptions::default())
    }

    /// Like [`create_or_open`](Self::create_or_open), with options of the handle.
    ///
    /// # Errors
    /// As [`create_or_open`](Self::create_or_open).
    pub fn create_or_open_with(self, options: SharedOptions) -> Result<Shared<T>, CreateError> {
        self.location.clone()?;
        let (described, schema) = self.described();
        let attach = |attachment| Shared::attach(attachment, &schema, options);
        described.make_or_open_and(attach)
    }

    fn described(self) -> (Builder, Schema) {
        let bytes = table_bytes(1, self.schema.bytes().into());
        let capacity = bytes.checked_next_power_of_two().unwrap_or(u64::MAX);
        let described = self
            .inner
            .capacity_bytes(capacity.max(4096))
            .schema(self.schema.clone())
            // One permit, and never more.
            .form(Form::Shared, board_words(1), [1, 1]);
        (described, self.schema)
    }
}
