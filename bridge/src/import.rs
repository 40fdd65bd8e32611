//! What any program publishes, in a ring.

use crate::encoding::{Coder, Encoding, EncodingError};
use crate::engine::{Engine, Sample};
use crate::error::BridgeError;
use crate::inbox::Inbox;
use slipring::endpoint::{PublishError, Why};
use slipring::place::OpenError;
use slipring::schema::Schema;
use slipring::{Place, Producer, Ring};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// What is imported, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ring; it is created if it does not exist.
    pub place: Place,
    /// The keys that are received; `*` stands for one part of a key, `**` for any number.
    pub key: String,
    /// How messages are encoded.
    pub encoding: Encoding,
    /// The schema of a new ring.
    pub schema: Option<Schema>,
    /// Bytes of a new ring.
    pub capacity: u64,
    /// Permissions of a new ring.
    pub mode: u32,
    /// Bytes that wait while readers of the ring hold it back.
    pub window: u64,
}

/// Publishes what comes under the keys in a ring, in the order in which it comes, until it is told to stop.
///
/// What finds no room to wait is a gap of the ring, and so is what the ring does not take because of its size: readers are
/// told exactly how many messages are missing there. So is what cannot be decoded; `refused` is told why, each time. What the
/// network lost before is not known.
///
/// # Errors
/// [`BridgeError::Encoding`] if the encoding needs a schema, and the ring has none; other [`BridgeError`]s.
pub fn import(
    engine: &Arc<dyn Engine>,
    options: &Options,
    stop: &AtomicBool,
    ready: impl FnOnce(&Ring),
    mut refused: impl FnMut(&EncodingError),
) -> Result<(), BridgeError> {
    let ring = open(options)?;
    let coder = Coder::new(options.encoding, &ring)?;
    let mut producer = ring.producer()?;
    let window = usize::try_from(options.window).unwrap_or(usize::MAX);
    let mut inbox = Inbox::<Vec<u8>>::new(window)?;
    let sender = inbox.sender();
    let _held = engine.subscribe(
        &options.key,
        Box::new(move |sample: Sample<'_>| {
            let bytes = sample.bytes.len();
            sender.put(sample.bytes.to_vec(), bytes);
        }),
    )?;
    ready(&ring);
    // Refused ones of which the ring says nothing yet.
    let mut told = 0;
    while !stop.load(Ordering::Relaxed) {
        match inbox.take_behind() {
            Some((bytes, unheld)) => {
                let lost = unheld - told;
                let message = coder.decode(&bytes);
                if let Err(error) = &message {
                    refused(error);
                }
                if !put(&mut producer, message.ok().as_deref(), lost, stop)? {
                    break;
                }
                told = unheld;
            }
            None => inbox.wait(None, Duration::from_millis(100)),
        }
    }
    producer.detach();
    Ok(())
}

/// The ring, which is created if it does not exist.
fn open(options: &Options) -> Result<Ring, BridgeError> {
    let different = match (Ring::open(options.place.clone()), &options.schema) {
        (Err(OpenError::NotFound { .. }), schema) => {
            if options.encoding != Encoding::Raw && schema.is_none() {
                return Err(BridgeError::Settings(
                    "the encodings cdr and json need the fields of the messages: give the new ring a schema (--schema)",
                ));
            }
            let mut builder = Ring::builder(options.place.clone())
                .capacity_bytes(options.capacity)
                .mode(options.mode);
            if let Some(schema) = schema {
                builder = builder.schema(schema.clone());
            }
            return Ok(builder.create()?);
        }
        (opened, None) => return Ok(opened?),
        (opened, Some(schema)) => {
            let ring = opened?;
            if ring
                .schema()
                .is_some_and(|own| own.difference(schema).is_none())
            {
                return Ok(ring);
            }
            ring
        }
    };
    Err(BridgeError::OtherSchema {
        path: different.path().to_owned(),
        found: different.schema().map(ToString::to_string),
    })
}

/// Publishes a message behind a gap of this many; one that could not be decoded is a gap too. Returns `false` if it was told to stop before there was room.
fn put(
    producer: &mut Producer,
    mut message: Option<&[u8]>,
    mut lost: u64,
    stop: &AtomicBool,
) -> Result<bool, BridgeError> {
    const MOMENT: Duration = Duration::from_millis(50);
    loop {
        let next = producer.next_sequence();
        let skip = |by: u64| next.wrapping_add(by);
        let put = match message {
            _ if lost > 0 => producer
                .skip_to_until(skip(lost), Why::Lost, MOMENT)
                .map(|_| lost = 0),
            Some(bytes) => match producer.publish_until(bytes, MOMENT) {
                Ok(_) => return Ok(true),
                Err(PublishError::TooLarge { .. } | PublishError::WrongSize { .. }) => {
                    message = None;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            None => match producer.skip_to_until(skip(1), Why::NotRecorded, MOMENT) {
                Ok(_) => return Ok(true),
                Err(error) => Err(error),
            },
        };
        match put {
            Ok(()) => {}
            Err(PublishError::TimedOut { .. }) if stop.load(Ordering::Relaxed) => return Ok(false),
            Err(PublishError::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
