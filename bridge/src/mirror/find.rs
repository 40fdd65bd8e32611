//! Looking for the source. Answers may be damaged or hostile, and come without an end: none of them ends anything while a
//! sound one may come.

use super::event::{ask_for_meta, left_out, Event, ASKED, REFUSED};
use super::open::description;
use super::options::Options;
use crate::engine::Engine;
use crate::error::BridgeError;
use crate::inbox::Inbox;
use crate::keys::Keys;
use slipring_mirror::meta::MetaError;
use slipring_mirror::mirror::Stop;
use slipring_mirror::Meta;
use std::collections::BTreeMap;
use std::mem::{discriminant, Discriminant};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rings whose answers are kept: two are too many already.
const RINGS: usize = 16;

/// What came in answer to one question.
#[derive(Default)]
struct Answers {
    sound: BTreeMap<u128, Meta>,
    /// Why another one is of no use. That it is of another version says more than that it is damaged.
    unusable: Option<MetaError>,
}

impl Answers {
    /// Takes answers until all have come, the time is over, or it is told to stop.
    fn wait(inbox: &mut Inbox<Event>, stop: &AtomicBool) -> Self {
        let mut answers = Self::default();
        let until = Instant::now() + ASKED;
        while !stop.load(Ordering::Relaxed) && answers.sound.len() < RINGS {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match inbox.take() {
                Some(Event::Meta(bytes)) => answers.take(&bytes),
                Some(Event::MetaOver) => break,
                Some(_) => {}
                None => inbox.wait(None, left.min(Duration::from_millis(50))),
            }
        }
        answers
    }

    fn take(&mut self, bytes: &[u8]) {
        match description(bytes) {
            Ok(meta) => {
                self.sound.entry(meta.ring).or_insert(meta);
            }
            Err(error) => {
                left_out(error);
                if error != MetaError::Damaged || self.unusable.is_none() {
                    self.unusable = Some(error);
                }
            }
        }
    }
}

/// For how long all that answers has been of no use to this mirror, and for the same reason.
#[derive(Default)]
struct Refused(Option<(Discriminant<BridgeError>, Instant)>);

impl Refused {
    fn since(&mut self, error: &BridgeError) -> Instant {
        let why = discriminant(error);
        let began = self.0.filter(|(before, _)| *before == why);
        let (_, since) = *self
            .0
            .insert(began.unwrap_or_else(|| (why, Instant::now())));
        since
    }
}

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
    let mut refused = Refused::default();
    while !stop.load(Ordering::Relaxed) {
        inbox.clear();
        ask_for_meta(engine, &keys.meta(), ask, &inbox.sender())?;
        let Answers {
            mut sound,
            unusable,
        } = Answers::wait(inbox, stop);
        if sound.len() > 1 {
            let rings = sound.into_keys().collect();
            return Err(BridgeError::Ambiguous { rings });
        }
        let over = options
            .patience
            .is_some_and(|patience| began.elapsed() >= patience);
        let error: BridgeError = match (sound.pop_first(), unusable) {
            (Some((_, meta)), _) if !meta.taken => return Ok(Some(meta)),
            (Some(_), _) => Stop::NameTaken.into(),
            (None, Some(error @ MetaError::Version { .. })) if over => return Err(error.into()),
            (None, Some(error @ MetaError::Version { .. })) => error.into(),
            (None, unusable) if over => {
                let trouble = unusable.map(|error| error.to_string());
                return Err(BridgeError::NoSource {
                    key: keys.meta(),
                    trouble: trouble.or_else(|| engine.trouble()),
                });
            }
            (None, _) => {
                refused = Refused::default();
                inbox.wait(None, Duration::from_millis(100));
                continue;
            }
        };
        if refused.since(&error).elapsed() >= REFUSED {
            return Err(error);
        }
        inbox.wait(None, Duration::from_millis(100));
    }
    Ok(None)
}
