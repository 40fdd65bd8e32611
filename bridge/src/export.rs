//! A ring for programs that know nothing of rings: each message is published under a key of their own.
//!
//! Nothing is asked for again here: what a subscriber does not receive is lost, as with any publication. The attachment
//! tells it, since it has the sequence.

use crate::encoding::{Coder, Encoding};
use crate::engine::{Engine, Lane, Outgoing};
use crate::error::{open_source, BridgeError};
use crate::inbox::Inbox;
use slipring::endpoint::TryReceiveError;
use slipring::{Observer, Place, Received, Ring, Start};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// What is exported, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ring.
    pub place: Place,
    /// The key of every message.
    pub key: String,
    /// How messages are encoded.
    pub encoding: Encoding,
    /// What receivers are told that the bytes are, as a media type; by default that of the encoding.
    pub media_type: Option<String>,
    /// Where to begin.
    pub from: Start,
}

/// Publishes what a ring has, until it is told to stop or the ring is removed. The producer is not held back.
///
/// Each message has an attachment of 16 bytes: its sequence and the number of the ring's producer, little-endian.
///
/// # Errors
/// [`BridgeError::Form`] of a queue, or another form; [`BridgeError::Encoding`] if the messages cannot be encoded so, at
/// once if the ring has no schema, later at a message whose size is not that of the schema. Other [`BridgeError`]s.
pub fn export(
    engine: &Arc<dyn Engine>,
    options: &Options,
    stop: &AtomicBool,
    ready: impl FnOnce(&Ring),
) -> Result<(), BridgeError> {
    let ring = open_source(&options.place)?;
    let coder = Coder::new(options.encoding, &ring)?;
    let mut observer = ring.observer(options.from)?;
    let mut epoch = ring.status()?.epoch.number;
    // Nothing comes: it only waits.
    let mut inbox = Inbox::<()>::new(0)?;
    ready(&ring);
    while !stop.load(Ordering::Relaxed) {
        if let Some(began) = observer.new_epoch() {
            epoch = began.number;
        }
        match publish(engine, options, &coder, &mut observer, epoch) {
            Ok(true) => {}
            Ok(false) => inbox.wait(Some(&mut observer), Duration::from_millis(100)),
            Err(BridgeError::Receive(TryReceiveError::Removed)) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Publishes the next message. Returns `false` if there is none yet.
fn publish(
    engine: &Arc<dyn Engine>,
    options: &Options,
    coder: &Coder,
    observer: &mut Observer,
    epoch: u64,
) -> Result<bool, BridgeError> {
    match observer.try_receive() {
        Ok(Received::Message(message)) => {
            let mut attachment = [0; 16];
            attachment[..8].copy_from_slice(&message.sequence().to_le_bytes());
            attachment[8..].copy_from_slice(&epoch.to_le_bytes());
            let media_type = options.media_type.as_deref();
            engine.publish(Outgoing {
                key: &options.key,
                lane: Lane::Plain,
                bytes: &coder.encode(message.sequence(), &message)?,
                encoding: media_type.or(options.encoding.media_type()),
                attachment: Some(&attachment),
            })?;
            Ok(true)
        }
        Ok(Received::Closed) => Ok(false),
        Ok(_) => Ok(true),
        Err(
            TryReceiveError::Empty | TryReceiveError::Closed | TryReceiveError::ProducerGone { .. },
        ) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
