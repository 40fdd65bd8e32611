//! What a mirror's thread learns from the network, and how it asks for the source.

use crate::engine::Engine;
use crate::error::BridgeError;
use crate::inbox::Sender;
use slipring_mirror::meta::MetaError;
use std::sync::Arc;
use std::time::Duration;

/// How long a question after the source waits for its answer.
pub(super) const ASKED: Duration = Duration::from_millis(500);
/// After how long a mirror ends if each answer is of another version, or says that its name is taken: the name of one that was
/// killed is free after two seconds.
pub(super) const REFUSED: Duration = Duration::from_secs(5);

pub(super) enum Event {
    Frame(Vec<u8>),
    Answer(Vec<u8>),
    Answered(u64),
    /// The time of the source, and when it was asked and how long that took.
    Clock(u64, u64, Duration),
    Meta(Vec<u8>),
    MetaOver,
}

impl Event {
    /// Bytes that came with it.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Frame(bytes) | Self::Answer(bytes) | Self::Meta(bytes) => bytes.len(),
            Self::Answered(_) | Self::Clock(..) | Self::MetaOver => 0,
        }
    }
}

/// Asks for the description of the source.
pub(super) fn ask_for_meta(
    engine: &Arc<dyn Engine>,
    key: &str,
    ask: &str,
    sender: &Sender<Event>,
) -> Result<(), BridgeError> {
    let sender = sender.clone();
    let sink = move |reply: Option<Vec<u8>>| match reply {
        Some(bytes) => {
            let len = bytes.len();
            sender.put(Event::Meta(bytes), len);
        }
        None => sender.put(Event::MetaOver, 0),
    };
    Ok(engine.ask(key, ask, ASKED, Box::new(sink))?)
}

/// Tells people that an answer to such a question was left out.
pub(super) fn left_out(why: MetaError) {
    tracing::warn!("an answer was left out: {why}");
}
