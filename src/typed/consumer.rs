//! The consumer of a typed ring.
//!
//! Layer 6.

use super::handle::wraps;
use super::message::TypedMessage;
use crate::endpoint::{Consumer, Losses, ReceiveError, TryReceiveError};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::marker::PhantomData;

/// A lossless reader of a typed ring; see [`Consumer`]. A message is acknowledged, and its space given
/// back, when its [`TypedMessage`] is dropped.
#[derive(Debug)]
pub struct TypedConsumer<T> {
    pub(super) inner: Consumer,
    message: PhantomData<fn() -> T>,
}

wraps!(TypedConsumer, Consumer);

impl<T: Pod> TypedConsumer<T> {
    /// Like [`Consumer::receive`].
    ///
    /// # Errors
    /// As [`Consumer::receive`], and [`ReceiveError::WrongSize`].
    #[inline(always)]
    pub fn receive(&mut self) -> Result<Option<TypedMessage<'_, T>>, ReceiveError> {
        self.receive_until(Deadline::NEVER)
    }

    /// Like [`Consumer::receive_until`].
    ///
    /// # Errors
    /// As [`Consumer::receive_until`], and [`ReceiveError::WrongSize`].
    #[inline(always)]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Option<TypedMessage<'_, T>>, ReceiveError> {
        match self.inner.receive_until(deadline)? {
            None => Ok(None),
            Some(guard) => Ok(Some(TypedMessage::new(guard)?)),
        }
    }

    /// Like [`Consumer::try_receive`].
    ///
    /// # Errors
    /// As [`Consumer::try_receive`], and [`TryReceiveError::WrongSize`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<TypedMessage<'_, T>, TryReceiveError> {
        Ok(TypedMessage::new(self.inner.try_receive()?)?)
    }

    /// Like [`Consumer::next_sequence`].
    pub fn next_sequence(&self) -> u64 {
        self.inner.next_sequence()
    }

    /// Like [`Consumer::losses`]. A message of another size that was passed over is not among them.
    pub fn losses(&self) -> Losses {
        self.inner.losses()
    }
}
