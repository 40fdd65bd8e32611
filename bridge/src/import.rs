//! What any program publishes, in a ring.

use crate::engine::{Engine, Sample};
use crate::error::BridgeError;
use crate::inbox::Inbox;
use slipring::endpoint::{PublishError, Why};
use slipring::place::OpenError;
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
/// told exactly how many messages are missing there. What the network lost before is not known.
///
/// # Errors
/// [`BridgeError`].
pub fn import(
    engine: &Arc<dyn Engine>,
    options: &Options,
    stop: &AtomicBool,
    ready: impl FnOnce(&Ring),
) -> Result<(), BridgeError> {
    let ring = match Ring::open(options.place.clone()) {
        Err(OpenError::NotFound { .. }) => Ring::builder(options.place.clone())
            .capacity_bytes(options.capacity)
            .mode(options.mode)
            .create()?,
        opened => opened?,
    };
    let mut producer = ring.producer()?;
    let window = usize::try_from(options.window).unwrap_or(usize::MAX);
    let mut inbox = Inbox::<Vec<u8>>::new(window)?;
    let sender = inbox.sender();
    let _held = engine.subscribe(
        &options.key,
        Box::new(move |sample: Sample| {
            let bytes = sample.bytes.len();
            sender.put(sample.bytes, bytes);
        }),
    )?;
    ready(&ring);
    // Refused ones of which the ring says nothing yet.
    let mut told = 0;
    while !stop.load(Ordering::Relaxed) {
        match inbox.take_behind() {
            Some((bytes, refused)) => {
                let lost = refused - told;
                if !put(&mut producer, &bytes, lost, stop)? {
                    break;
                }
                told = refused;
            }
            None => inbox.wait(None, Duration::from_millis(100)),
        }
    }
    producer.detach();
    Ok(())
}

/// Publishes a message behind a gap of this many. Returns `false` if it was told to stop before there was room.
fn put(
    producer: &mut Producer,
    bytes: &[u8],
    mut lost: u64,
    stop: &AtomicBool,
) -> Result<bool, BridgeError> {
    const MOMENT: Duration = Duration::from_millis(50);
    loop {
        let next = producer.next_sequence();
        let put = if lost > 0 {
            let end = next.wrapping_add(lost);
            producer.skip_to_until(end, Why::Lost, MOMENT).map(|_| true)
        } else {
            producer.publish_until(bytes, MOMENT).map(|_| false)
        };
        match put {
            Ok(true) => lost = 0,
            Ok(false) => return Ok(true),
            Err(PublishError::TimedOut { .. }) if stop.load(Ordering::Relaxed) => return Ok(false),
            Err(PublishError::TimedOut { .. }) => {}
            Err(PublishError::TooLarge { .. } | PublishError::WrongSize { .. }) => {
                let end = next.wrapping_add(1);
                match producer.skip_to_until(end, Why::NotRecorded, MOMENT) {
                    Ok(_) => return Ok(true),
                    Err(PublishError::TimedOut { .. }) if stop.load(Ordering::Relaxed) => {
                        return Ok(false)
                    }
                    Err(PublishError::TimedOut { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
