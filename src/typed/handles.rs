//! Handles that carry one message type.
//!
//! Layer 6. Thin: each is the untyped handle plus a conversion of bytes, whose meaning was compared once,
//! field by field, when the ring was opened, and whose size is compared here.

use super::declare::Plain;
use crate::endpoint::{
    AttachError, Consumer, ConsumerOptions, Gap, Losses, Message, Observer, ObserverOptions,
    Producer, ProducerOptions, PublishError, ReadersError, ReceiveError, Received, Ring,
    TryPublishError, TryReceiveError, Why,
};
use crate::layout::schema::Schema;
use crate::ring::Start;
use crate::segment::OpenError;
use crate::wait::Deadline;
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

/// A ring whose messages are all `T`. Made by [`Ring::typed`].
#[derive(Clone, Debug)]
pub struct Typed<T> {
    ring: Ring,
    message: PhantomData<fn() -> T>,
}

/// The one writer of a typed ring; see [`Producer`]. Made by [`Typed`] only, which has compared the schemas:
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

/// A lossless reader of a typed ring; see [`Consumer`]. A message is acknowledged, and its space given
/// back, when its [`TypedMessage`] is dropped.
#[derive(Debug)]
pub struct TypedConsumer<T> {
    pub(super) inner: Consumer,
    message: PhantomData<fn() -> T>,
}

/// A lossy reader of a typed ring; see [`Observer`].
#[derive(Debug)]
pub struct TypedObserver<T> {
    pub(super) inner: Observer,
    message: PhantomData<fn() -> T>,
}

/// One message of a typed ring, in place. Dropping it gives its space back to the producer, and
/// acknowledges it where the consumer is durable: if the process dies before that, the message is delivered
/// again.
///
/// ```
/// use slipring::{Plain, Ring, Start};
///
/// slipring::message! {
///     struct Job { number: u64 }
/// }
///
/// let ring = Ring::heap().schema(Job::schema()).create()?.typed::<Job>()?;
/// ring.producer()?.publish(&Job { number: 7 })?;
///
/// let mut consumer = ring.durable_consumer("worker", Start::Oldest)?;
/// let job = consumer.receive()?.unwrap();
/// assert_eq!((job.number, job.sequence()), (7, 0));
/// // The work is done here; a process that dies before this line gets the job again.
/// drop(job);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TypedMessage<'c, T> {
    /// Its bytes are those of a `T`: [`TypedMessage::new`] has checked their number.
    guard: Message<'c>,
    message: PhantomData<fn() -> T>,
}

impl<T> TypedMessage<'_, T> {
    /// The value stays where it is: positions and private copies are aligned to eight.
    const ALIGNED: () = assert!(
        align_of::<T>() <= 8,
        "a message has fields of at most eight bytes"
    );
}

impl<'c, T: Pod> TypedMessage<'c, T> {
    #[inline(always)]
    pub(super) fn new(guard: Message<'c>) -> Result<Self, Unfit> {
        let () = Self::ALIGNED;
        if guard.len() != size_of::<T>() {
            return Err(Unfit::new::<T>(guard.len(), guard.sequence()));
        }
        Ok(Self {
            guard,
            message: PhantomData,
        })
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for TypedMessage<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedMessage")
            .field("value", &**self)
            .field("sequence", &self.sequence())
            .finish()
    }
}

impl<T: Pod> TypedMessage<'_, T> {
    /// Returns the number of the message.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.guard.sequence()
    }

    /// Like [`Message::gap`].
    pub fn gap(&self) -> Option<Gap> {
        self.guard.gap()
    }

    /// Like [`Message::missed`].
    #[inline]
    pub fn missed(&self) -> u64 {
        self.guard.missed()
    }

    /// Returns the value. This acknowledges the message and gives its space back.
    #[inline]
    pub fn into_value(self) -> T {
        *self
    }
}

impl<T: Pod> Deref for TypedMessage<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        bytemuck::from_bytes(&self.guard)
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

macro_rules! wraps {
    ($typed:ident, $inner:ident) => {
        impl<T> $typed<T> {
            /// For handles made with options; the caller guarantees that the ring was checked.
            fn checked(inner: $inner) -> Self {
                Self {
                    inner,
                    message: PhantomData,
                }
            }

            /// Returns the untyped handle.
            pub fn inner(&mut self) -> &mut $inner {
                &mut self.inner
            }

            /// Turns it into the untyped handle.
            pub fn into_inner(self) -> $inner {
                self.inner
            }
        }
    };
}
wraps!(TypedProducer, Producer);
wraps!(TypedConsumer, Consumer);
wraps!(TypedObserver, Observer);

/// A message of another size than `T`, in a ring whose schema says `T`: its producer is at fault.
pub(super) struct Unfit {
    sequence: u64,
    len: u32,
    expected: u32,
}

impl Unfit {
    #[cold]
    fn new<T>(len: usize, sequence: u64) -> Self {
        Self {
            sequence,
            len: len as u32,
            expected: size_of::<T>() as u32,
        }
    }
}

#[inline(always)]
fn decode<T: Pod>(bytes: &[u8], sequence: u64) -> Result<T, Unfit> {
    bytemuck::try_pod_read_unaligned(bytes).map_err(|_| Unfit::new::<T>(bytes.len(), sequence))
}

macro_rules! from_unfit {
    ($($error:ident),*) => {$(
        impl From<Unfit> for $error {
            fn from(unfit: Unfit) -> Self {
                Self::WrongSize {
                    sequence: unfit.sequence,
                    len: unfit.len,
                    expected: unfit.expected,
                }
            }
        }
    )*};
}
from_unfit!(ReceiveError, TryReceiveError);

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
