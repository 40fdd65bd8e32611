//! A message of a typed ring, in place, and one that is no value of its type.
//!
//! Layer 6. The size of a message is compared here.

use crate::endpoint::{Gap, Message, ReceiveError, TryReceiveError};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

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
    pub(super) const ALIGNED: () = assert!(
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
pub(super) fn decode<T: Pod>(bytes: &[u8], sequence: u64) -> Result<T, Unfit> {
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
