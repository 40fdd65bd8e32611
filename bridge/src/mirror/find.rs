//! Looking for the source.

use super::event::{ask_for_meta, Event, ASKED};
use super::options::Options;
use crate::engine::Engine;
use crate::error::BridgeError;
use crate::inbox::Inbox;
use crate::keys::Keys;
use slipring_mirror::mirror::Stop;
use slipring_mirror::Meta;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asks for the source until one answers; `None` if it is told to stop.
pub(super) fn find(
    engine: &Arc<dyn Engine>,
    options: &Options,
    keys: &Keys,
    ask: &str,
    inbox: &mut Inbox<Event>,
    stop: &AtomicBool,
) -> Result<Option<Meta>, BridgeError> {
    let began = Instant::now();
    let mut taken_since = None;
    while !stop.load(Ordering::Relaxed) {
        while inbox.take().is_some() {}
        ask_for_meta(engine, &keys.meta(), ask, &inbox.sender())?;
        let mut found: Vec<Meta> = Vec::new();
        let until = Instant::now() + ASKED;
        'answers: loop {
            while let Some(event) = inbox.take() {
                match event {
                    Event::Meta(bytes) => found.push(Meta::decode(&bytes)?),
                    Event::MetaOver => break 'answers,
                    _ => {}
                }
            }
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !stop.load(Ordering::Relaxed) => {
                    inbox.wait(None, left.min(Duration::from_millis(50)));
                }
                _ => break,
            }
        }
        found.sort_by_key(|meta| meta.ring);
        found.dedup_by_key(|meta| meta.ring);
        match found.len() {
            0 => {
                let over = |patience| began.elapsed() >= patience;
                if options.patience.is_some_and(over) {
                    return Err(BridgeError::NoSource {
                        key: keys.meta(),
                        trouble: engine.trouble(),
                    });
                }
            }
            1 => {
                let meta = found.pop();
                if !meta.as_ref().is_some_and(|meta| meta.taken) {
                    return Ok(meta);
                }
                // One that was killed keeps its name for two seconds.
                let since = *taken_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= Duration::from_secs(5) {
                    return Err(Stop::NameTaken.into());
                }
            }
            _ => {
                let rings = found.iter().map(|meta| meta.ring).collect();
                return Err(BridgeError::Ambiguous { rings });
            }
        }
        inbox.wait(None, Duration::from_millis(100));
    }
    Ok(None)
}
