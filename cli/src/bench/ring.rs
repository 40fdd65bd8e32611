//! This library as a contender: two rings, one each way, both ends spinning.

use super::channel::{Channel, End, Place};
use super::fan::{Fan, Fanning};
use super::message::Source;
use super::stats::median;
use crate::failure::Failure;
use slipring::{
    endpoint::{Pacing, TryReceiveError},
    Consumer, ConsumerOptions, Observer, ObserverOptions, Producer, ProducerOptions, ReadPolicy,
    Received, Ring, Start, Strategy,
};
use std::io;
use std::path::Path;
use std::time::Instant;

/// How a ring is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Frames on 8 bytes, single publishes, single receives.
    Plain,
    /// Frames on 64 bytes.
    Aligned,
    /// Frames on 8 bytes, batches of 32.
    Batched,
    /// Frames on 8 bytes, each message made in a claim.
    Claimed,
    /// Frames on 8 bytes, messages with stamps.
    Stamped,
    /// Frames on 8 bytes, both ends spin for a while and then sleep.
    Default,
    /// The same, with `membarrier` in the place of fences.
    Unfenced,
    /// Frames on 8 bytes, both ends asleep until there is something to do.
    Parked,
    /// As `Plain`, the consumer neither staying behind nor flushing.
    AtHead,
    /// As `Plain`, the consumer always staying behind, and never flushing.
    Behind,
    /// As `Plain`, the consumer always flushing, and never staying behind.
    Flushing,
}

impl Kind {
    /// Where the consumer reads. What `Behind` stays back is what the automatic policy tries.
    fn read_policy(self) -> ReadPolicy {
        match self {
            Self::AtHead => ReadPolicy::AtHead,
            Self::Behind => ReadPolicy::Behind(Pacing {
                lag_bytes: 32 << 10,
                pause_ns: 3000,
                flush: false,
            }),
            Self::Flushing => ReadPolicy::Behind(Pacing {
                lag_bytes: 0,
                pause_ns: 0,
                flush: true,
            }),
            _ => ReadPolicy::Auto,
        }
    }
}

pub struct Rings {
    kind: Kind,
    producer: Producer,
    consumer: Consumer,
}

const BATCH: usize = 32;

impl Rings {
    pub fn open(place: &Place<'_>, kind: Kind) -> io::Result<Self> {
        let align = if kind == Kind::Aligned { 64 } else { 8 };
        let (out, inward) = place.ways();
        let rings = [out, inward].map(|path| -> Result<Ring, Failure> {
            Ok(match place.end {
                End::First => Ring::builder(path)
                    .capacity_bytes(place.capacity)
                    .frame_align(align)
                    .stamps(kind == Kind::Stamped)
                    .create()?,
                End::Second => Ring::open(path)?,
            })
        });
        let [outward, inward] = rings;
        let strategy = match kind {
            Kind::Parked => Strategy::Park,
            Kind::Default | Kind::Unfenced => Strategy::default(),
            _ => Strategy::Spin,
        };
        let open = || -> Result<(Producer, Consumer), Failure> {
            let unfenced = kind == Kind::Unfenced;
            let options = ProducerOptions::new().strategy(strategy);
            let producer = outward?.producer_with(options.membarrier(unfenced))?;
            let options = ConsumerOptions::new().strategy(strategy);
            let options = options.read_policy(kind.read_policy());
            let consumer = inward?.consumer_with(Start::Oldest, options.membarrier(unfenced))?;
            Ok((producer, consumer))
        };
        let (producer, consumer) =
            open().map_err(|failure| io::Error::other(failure.text().to_owned()))?;
        Ok(Self {
            kind,
            producer,
            consumer,
        })
    }
}

impl Channel for Rings {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.producer.publish(message).map_err(io::Error::other)?;
        Ok(())
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        match self.kind {
            Kind::Batched => {
                for start in (0..count).step_by(BATCH) {
                    let mut batch = self.producer.batch();
                    for _ in start..count.min(start + BATCH) {
                        batch.push(source.next()).map_err(io::Error::other)?;
                    }
                    batch.commit();
                }
            }
            Kind::Claimed => {
                let size = source.size();
                for _ in 0..count {
                    let mut claim = self.producer.claim(size).map_err(io::Error::other)?;
                    source.write(&mut claim);
                    claim.commit();
                }
            }
            _ => {
                for _ in 0..count {
                    self.send(source.next())?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        match self.consumer.receive() {
            Ok(Some(message)) => Ok(show(&message)),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        match self.consumer.receive().map_err(io::Error::other)? {
            None => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(message) if last(&message) => Ok(false),
            Some(message) => {
                self.producer.publish(&message).map_err(io::Error::other)?;
                Ok(true)
            }
        }
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            let batch = self.consumer.receive_batch(256).map_err(io::Error::other)?;
            let Some(mut batch) = batch else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            while let Some(message) = batch.next() {
                if show(&message) {
                    return Ok(());
                }
            }
        }
    }
}

/// One ring, its producer at the first end and an observer at the second.
pub enum Observed {
    Producer(Box<Producer>),
    Observer(Box<Observer>),
}

impl Observed {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let path = place.directory.join("forth");
        let open = || -> Result<Self, Failure> {
            Ok(match place.end {
                End::First => {
                    let ring = Ring::builder(path)
                        .capacity_bytes(place.capacity)
                        .create()?;
                    let options = ProducerOptions::new().strategy(Strategy::Spin);
                    Self::Producer(Box::new(ring.producer_with(options)?))
                }
                End::Second => {
                    let options = ObserverOptions::new().strategy(Strategy::Spin);
                    let observer = Ring::open(path)?.observer_with(Start::Oldest, options)?;
                    Self::Observer(Box::new(observer))
                }
            })
        };
        open().map_err(|failure| io::Error::other(failure.text().to_owned()))
    }
}

fn wrong_end() -> io::Error {
    io::Error::other("an observer sends nothing, and a producer receives nothing")
}

impl Channel for Observed {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let Self::Producer(producer) = self else {
            return Err(wrong_end());
        };
        producer.publish(message).map_err(io::Error::other)?;
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let Self::Observer(observer) = self else {
            return Err(wrong_end());
        };
        loop {
            match observer.receive().map_err(io::Error::other)? {
                Received::Message(message) => return Ok(show(&message)),
                Received::Lapped { .. } => {}
                Received::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
                // The producer of a bench skips nothing.
                _ => return Err(wrong_end()),
            }
        }
    }

    fn echo(&mut self, _: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        Err(wrong_end())
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let Self::Observer(observer) = self else {
            return Err(wrong_end());
        };
        loop {
            match observer.receive().map_err(io::Error::other)? {
                Received::Message(message) => {
                    if show(&message) {
                        return Ok(());
                    }
                }
                Received::Lapped { .. } => {}
                Received::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
                // The producer of a bench skips nothing.
                _ => return Err(wrong_end()),
            }
        }
    }

    fn missed(&self) -> Option<u64> {
        match self {
            Self::Producer(_) => None,
            Self::Observer(observer) => Some(observer.lost_count()),
        }
    }
}

/// One ring with its producer at the first end and consumers, or observers, at the second.
pub enum Fanned {
    Producer(Box<Producer>),
    Consumers(Vec<Consumer>),
    Observers(Vec<Observer>),
}

impl Fanned {
    pub fn open(place: &Place<'_>, observed: bool) -> io::Result<Fanning<Self>> {
        let path = place.directory.join("forth");
        let readers = place.load.readers;
        let open = || -> Result<Self, Failure> {
            if place.end == End::First {
                let builder = Ring::builder(path).capacity_bytes(place.capacity);
                let options = ProducerOptions::new().strategy(Strategy::Spin);
                let producer = builder.create()?.producer_with(options)?;
                return Ok(Self::Producer(Box::new(producer)));
            }
            let ring = Ring::open(path)?;
            if observed {
                let options = ObserverOptions::new().strategy(Strategy::Spin);
                let observers = (0..readers).map(|_| ring.observer_with(Start::Oldest, options));
                return Ok(Self::Observers(observers.collect::<Result<_, _>>()?));
            }
            let options = ConsumerOptions::new().strategy(Strategy::Spin);
            let consumers = (0..readers).map(|_| ring.consumer_with(Start::Oldest, options));
            Ok(Self::Consumers(consumers.collect::<Result<_, _>>()?))
        };
        let opened = open().map_err(|failure| io::Error::other(failure.text().to_owned()))?;
        Ok(Fanning(opened))
    }
}

impl Fan for Fanned {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> io::Result<()> {
        let Self::Producer(producer) = self else {
            return Err(wrong_end());
        };
        producer.publish(message).map_err(io::Error::other)?;
        Ok(())
    }

    #[inline(always)]
    fn poll(&mut self, reader: usize, mut show: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Producer(_) => Err(wrong_end()),
            Self::Consumers(consumers) => match consumers[reader].try_receive_batch(256) {
                Ok(mut batch) => {
                    while let Some(message) = batch.next() {
                        show(&message);
                    }
                    Ok(())
                }
                Err(TryReceiveError::Empty | TryReceiveError::Closed) => Ok(()),
                Err(error) => Err(io::Error::other(error)),
            },
            Self::Observers(observers) => {
                for _ in 0..256 {
                    match observers[reader].try_receive() {
                        Ok(Received::Message(message)) => show(&message),
                        Ok(_) => {}
                        Err(TryReceiveError::Empty | TryReceiveError::Closed) => break,
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
                Ok(())
            }
        }
    }

    fn missed(&self, reader: usize) -> Option<u64> {
        match self {
            Self::Observers(observers) => Some(observers[reader].lost_count()),
            Self::Producer(_) | Self::Consumers(_) => None,
        }
    }
}

/// Nanoseconds of one publish into a ring without readers, per size: the median of nine runs.
pub fn publish_cost(
    directory: &Path,
    sizes: &[usize],
    capacity: u64,
) -> Result<Vec<(usize, f64)>, Failure> {
    sizes
        .iter()
        .map(|&size| {
            let path = directory.join("alone");
            let ring = Ring::builder(&path).capacity_bytes(capacity).create()?;
            let mut producer = ring.producer()?;
            let message = vec![7u8; size];
            let messages = 200_000u32;
            let mut runs = Vec::new();
            for _ in 0..9 {
                let start = Instant::now();
                for _ in 0..messages {
                    producer.publish(std::hint::black_box(&message))?;
                }
                runs.push(start.elapsed().as_nanos() as f64 / f64::from(messages));
            }
            drop(producer);
            slipring::registry::remove_at(&path, false)?;
            Ok((size, median(&mut runs)))
        })
        .collect()
}
