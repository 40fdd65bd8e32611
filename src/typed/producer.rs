//! The producer of a typed ring.
//!
//! Layer 6.

use super::handle::wraps;
use crate::endpoint::{Producer, PublishError, ReadersError, TryPublishError, Why};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::marker::PhantomData;

/// The one writer of a typed ring; see [`Producer`]. Made by [`Typed`](super::Typed) only, which has compared the schemas:
///
/// ```compile_fail
/// # use slipring::typed::TypedProducer;
/// # use slipring::{message, Ring};
/// # message! { /// A quote.
/// # pub struct Quote { /// What.
/// # pub bid: f64 } }
/// let other = Ring::heap().create()?; // of any messages
/// let producer: TypedProducer<Quote> = other.producer()?.into();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TypedProducer<T> {
    pub(super) inner: Producer,
    message: PhantomData<fn(T)>,
}

wraps!(TypedProducer, Producer);

impl<T: Pod> TypedProducer<T> {
    /// Like [`Producer::publish`].
    ///
    /// # Errors
    /// As [`Producer::publish`].
    #[inline]
    pub fn publish(&mut self, message: &T) -> Result<u64, PublishError> {
        self.inner
            .publish_fitting(bytemuck::bytes_of(message), Deadline::NEVER)
    }

    /// Like [`Producer::publish_until`].
    ///
    /// # Errors
    /// As [`Producer::publish_until`].
    #[inline]
    pub fn publish_until(
        &mut self,
        message: &T,
        deadline: impl Into<Deadline>,
    ) -> Result<u64, PublishError> {
        self.inner
            .publish_fitting(bytemuck::bytes_of(message), deadline.into())
    }

    /// Like [`Producer::try_publish`].
    ///
    /// # Errors
    /// As [`Producer::try_publish`].
    #[inline]
    pub fn try_publish(&mut self, message: &T) -> Result<u64, TryPublishError> {
        self.inner.try_publish_fitting(bytemuck::bytes_of(message))
    }

    /// Like [`Producer::skip_to`].
    ///
    /// # Errors
    /// As [`Producer::skip_to`].
    pub fn skip_to(&mut self, sequence: u64, why: Why) -> Result<u64, PublishError> {
        self.inner.skip_to(sequence, why)
    }

    /// Like [`Producer::wait_for_readers`].
    ///
    /// # Errors
    /// As [`Producer::wait_for_readers`].
    pub fn wait_for_readers(
        &mut self,
        readers: u32,
        deadline: impl Into<Deadline>,
    ) -> Result<u32, ReadersError> {
        self.inner.wait_for_readers(readers, deadline)
    }

    /// Like [`Producer::close`].
    pub fn close(self) {
        self.inner.close();
    }
}
