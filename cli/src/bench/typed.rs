//! Typed rings as a contender: two rings of one type, one each way, both ends spinning.

use super::channel::{Channel, End, Opened, Place};
use crate::failure::Failure;
use slipring::bytemuck;
use slipring::{
    typed::{TypedConsumer, TypedProducer},
    ConsumerOptions, Plain, ProducerOptions, Ring, Start, Strategy,
};
use std::io;

/// The types there are.
mod of {
    slipring::message! { pub struct Words2 { pub words: [u64; 2] } }
    slipring::message! { pub struct Words4 { pub words: [u64; 4] } }
    slipring::message! { pub struct Words8 { pub words: [u64; 8] } }
    slipring::message! { pub struct Words32 { pub words: [u64; 32] } }
    slipring::message! { pub struct Words128 { pub words: [u64; 128] } }
}

/// The sizes of those types.
pub const SIZES: [usize; 5] = [16, 32, 64, 256, 1024];

pub fn open(place: &Place<'_>) -> io::Result<Box<dyn Opened>> {
    match place.load.size {
        16 => TypedRings::<of::Words2>::open(place),
        32 => TypedRings::<of::Words4>::open(place),
        64 => TypedRings::<of::Words8>::open(place),
        256 => TypedRings::<of::Words32>::open(place),
        1024 => TypedRings::<of::Words128>::open(place),
        size => Err(io::Error::other(format!(
            "no type was made for messages of {size} bytes"
        ))),
    }
}

struct TypedRings<T> {
    producer: TypedProducer<T>,
    consumer: TypedConsumer<T>,
}

impl<T: Plain> TypedRings<T> {
    fn open(place: &Place<'_>) -> io::Result<Box<dyn Opened>> {
        let (outward, inward) = place.ways();
        let open = || -> Result<Self, Failure> {
            let rings = [outward, inward].map(|path| -> Result<_, Failure> {
                let ring = match place.end {
                    End::First => Ring::builder(path)
                        .capacity_bytes(place.capacity)
                        .schema(T::schema())
                        .create()?,
                    End::Second => Ring::open(path)?,
                };
                Ok(ring.typed::<T>()?)
            });
            let [outward, inward] = rings;
            let options = ConsumerOptions::new().strategy(Strategy::Spin);
            Ok(Self {
                producer: outward?
                    .producer_with(ProducerOptions::new().strategy(Strategy::Spin))?,
                consumer: inward?.consumer_with(Start::Oldest, options)?,
            })
        };
        match open() {
            Ok(opened) => Ok(Box::new(opened)),
            Err(failure) => Err(io::Error::other(failure.text().to_owned())),
        }
    }
}

impl<T: Plain> Channel for TypedRings<T> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let value = bytemuck::try_from_bytes::<T>(message);
        let value = value.map_err(|error| io::Error::other(error.to_string()))?;
        self.producer.publish(value).map_err(io::Error::other)?;
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        match self.consumer.receive().map_err(io::Error::other)? {
            Some(message) => Ok(show(bytemuck::bytes_of(&*message))),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        match self.consumer.receive().map_err(io::Error::other)? {
            None => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(message) if last(bytemuck::bytes_of(&*message)) => Ok(false),
            Some(message) => {
                self.producer.publish(&message).map_err(io::Error::other)?;
                Ok(true)
            }
        }
    }
}
