//! A ring of messages of one type, and making its handles.
//!
//! Layer 6. The meaning of the bytes is compared here once, field by field.

use super::consumer::TypedConsumer;
use super::declare::Plain;
use super::message::TypedMessage;
use super::observer::TypedObserver;
use super::producer::TypedProducer;
use crate::endpoint::{AttachError, ConsumerOptions, ObserverOptions, ProducerOptions, Ring};
use crate::layout::schema::Schema;
use crate::ring::Start;
use crate::segment::OpenError;
use bytemuck::Pod;
use core::marker::PhantomData;

/// A ring whose messages are all `T`. Made by [`Ring::typed`].
#[derive(Clone, Debug)]
pub struct Typed<T> {
    ring: Ring,
    message: PhantomData<fn() -> T>,
}

impl Ring {
    /// Returns the ring as a ring of messages of type `T`.
    ///
    /// # Errors
    /// [`OpenError::Schema`] names the first field in which the ring's schema differs from `T`'s.
    pub fn typed<T: Plain>(&self) -> Result<Typed<T>, OpenError> {
        self.typed_as(&T::schema())
    }

    /// Returns the ring as a ring of messages of type `T`, whose fields the caller describes: for a type of
    /// another crate, which cannot be declared with [`message!`](crate::message) or
    /// [`describe!`](crate::describe).
    ///
    /// # Guarantees
    /// The size of `T` is that of a message of the schema. That its fields lie where the schema says is up to the
    /// caller: if they do not, values are wrong, and nothing worse.
    ///
    /// # Errors
    /// [`OpenError::Schema`] names the first field in which the ring's schema differs from this one, or says that
    /// `T` has another size.
    ///
    /// ```
    /// use slipring::schema::{Kind, Schema};
    /// use slipring::{Ring, Start};
    ///
    /// // Any type for which every bit pattern is a value (`bytemuck::Pod`).
    /// let schema = Schema::builder("Words").array("word", Kind::U32, 4).build()?;
    /// let ring = Ring::heap().schema(schema.clone()).create()?.typed_as::<[u32; 4]>(&schema)?;
    /// let mut consumer = ring.consumer(Start::Oldest)?;
    /// ring.producer()?.publish(&[1, 2, 3, 4])?;
    /// assert_eq!(consumer.receive()?.as_deref(), Some(&[1, 2, 3, 4]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn typed_as<T: Pod>(&self, schema: &Schema) -> Result<Typed<T>, OpenError> {
        let () = TypedMessage::<T>::ALIGNED;
        self.object().expect_values::<T>(schema)?;
        Ok(Typed {
            ring: self.clone(),
            message: PhantomData,
        })
    }
}

impl<T: Pod> Typed<T> {
    /// Returns the untyped ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Like [`Ring::producer`].
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn producer(&self) -> Result<TypedProducer<T>, AttachError> {
        self.ring.producer().map(TypedProducer::checked)
    }

    /// Like [`Ring::producer_with`].
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn producer_with(&self, options: ProducerOptions) -> Result<TypedProducer<T>, AttachError> {
        self.ring.producer_with(options).map(TypedProducer::checked)
    }

    /// Like [`Ring::consumer`].
    ///
    /// # Errors
    /// As [`Ring::consumer`].
    pub fn consumer(&self, start: Start) -> Result<TypedConsumer<T>, AttachError> {
        self.ring.consumer(start).map(TypedConsumer::checked)
    }

    /// Like [`Ring::consumer_with`].
    ///
    /// # Errors
    /// As [`Ring::consumer`].
    pub fn consumer_with(
        &self,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<TypedConsumer<T>, AttachError> {
        self.ring
            .consumer_with(start, options)
            .map(TypedConsumer::checked)
    }

    /// Like [`Ring::durable_consumer`]: a message is acknowledged when its [`TypedMessage`] is dropped, and
    /// a message whose [`TypedMessage`] was not dropped when the process died is delivered again.
    ///
    /// # Errors
    /// As [`Ring::durable_consumer`].
    pub fn durable_consumer(
        &self,
        name: &str,
        start: Start,
    ) -> Result<TypedConsumer<T>, AttachError> {
        self.ring
            .durable_consumer(name, start)
            .map(TypedConsumer::checked)
    }

    /// Like [`Ring::durable_consumer_with`].
    ///
    /// # Errors
    /// As [`Ring::durable_consumer`].
    pub fn durable_consumer_with(
        &self,
        name: &str,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<TypedConsumer<T>, AttachError> {
        self.ring
            .durable_consumer_with(name, start, options)
            .map(TypedConsumer::checked)
    }

    /// Like [`Ring::observer`].
    ///
    /// # Errors
    /// As [`Ring::observer`].
    pub fn observer(&self, start: Start) -> Result<TypedObserver<T>, AttachError> {
        self.ring.observer(start).map(TypedObserver::checked)
    }

    /// Like [`Ring::observer_with`].
    ///
    /// # Errors
    /// As [`Ring::observer`].
    pub fn observer_with(
        &self,
        start: Start,
        options: ObserverOptions,
    ) -> Result<TypedObserver<T>, AttachError> {
        self.ring
            .observer_with(start, options)
            .map(TypedObserver::checked)
    }
}
