//! The observer of a typed ring, and what it receives.
//!
//! Layer 6.

use super::handle::wraps;
use super::message::{decode, Unfit};
use crate::endpoint::{Observer, ReceiveError, Received, TryReceiveError, Why};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::marker::PhantomData;

/// A lossy reader of a typed ring; see [`Observer`].
#[derive(Debug)]
pub struct TypedObserver<T> {
    pub(super) inner: Observer,
    message: PhantomData<fn() -> T>,
}

wraps!(TypedObserver, Observer);

impl<T: Pod> TypedObserver<T> {
    /// Like [`Observer::receive`], by value.
    ///
    /// # Errors
    /// As [`Observer::receive`], and [`ReceiveError::WrongSize`].
    #[inline]
    pub fn receive(&mut self) -> Result<TypedReceived<T>, ReceiveError> {
        self.receive_until(Deadline::NEVER)
    }

    /// Like [`Observer::receive_until`], by value.
    ///
    /// # Errors
    /// As [`Observer::receive_until`], and [`ReceiveError::WrongSize`].
    #[inline]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<TypedReceived<T>, ReceiveError> {
        Ok(typed(self.inner.receive_until(deadline)?)?)
    }

    /// Like [`Observer::try_receive`], by value.
    ///
    /// # Errors
    /// As [`Observer::try_receive`], and [`TryReceiveError::WrongSize`].
    #[inline]
    pub fn try_receive(&mut self) -> Result<TypedReceived<T>, TryReceiveError> {
        Ok(typed(self.inner.try_receive()?)?)
    }
}

/// What a typed observer receives.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum TypedReceived<T> {
    /// A message and its number.
    Message(T, u64),
    /// The producer overtook the observer.
    Lapped {
        /// How many messages are gone.
        lost: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
    },
    /// The producer skipped sequences, which do not exist.
    Skipped {
        /// How many sequences do not exist.
        skipped: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
        /// Why they do not exist.
        why: Why,
    },
    /// The producer closed the ring and everything has been read.
    Closed,
}

fn typed<T: Pod>(received: Received<'_>) -> Result<TypedReceived<T>, Unfit> {
    Ok(match received {
        Received::Message(message) => {
            TypedReceived::Message(decode(&message, message.sequence())?, message.sequence())
        }
        Received::Lapped { lost, resumed_at } => TypedReceived::Lapped { lost, resumed_at },
        Received::Skipped {
            skipped,
            resumed_at,
            why,
        } => TypedReceived::Skipped {
            skipped,
            resumed_at,
            why,
        },
        Received::Closed => TypedReceived::Closed,
    })
}
