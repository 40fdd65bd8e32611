//! Answers to mirrors, and to who watches.

use super::gate::before;
use super::options::Options;
use crate::engine::Question;
use crate::error::BridgeError;
use crate::keys::Keys;
use crate::report::{self, Told};
use slipring::endpoint::{AttachError, ObserverOptions, Resume};
use slipring::{Observer, Received, Ring, Start, Strategy};
use slipring_mirror::meta::Opaque;
use slipring_mirror::request::parameter;
use slipring_mirror::{Answer, Meta, Name, Request, Source};

/// How often an answer is begun anew at the same sequence.
const ATTEMPTS: u32 = 10;

/// The options of an observer that never waits, and so needs no row.
pub(super) fn rowless() -> ObserverOptions {
    ObserverOptions::new()
        .strategy(Strategy::Spin)
        .resume(Resume::Oldest)
}

/// Answers with what the ring still has of what was asked for. `held` is the first sequence that a lossless source holds, to which
/// the index of the ring may lead no more: what lies before it may be gone, and nothing from it on is.
pub(super) fn fetch(
    ring: &Ring,
    source: &Source,
    held: Option<u64>,
    question: &Question,
) -> Result<(), BridgeError> {
    let Ok(request) = question.parameters.parse::<Request>() else {
        return Ok(());
    };
    let mut answer = source.answer(request);
    fill(&mut answer, held, |from| {
        ring.observer_with(Start::Sequence(from), rowless())
    })?;
    for frame in answer.finish() {
        question.replies.reply(frame);
    }
    Ok(())
}

/// Adds what observers find that are attached at a sequence.
fn fill(
    answer: &mut Answer,
    held: Option<u64>,
    mut attach: impl FnMut(u64) -> Result<Observer, AttachError>,
) -> Result<(), BridgeError> {
    // Without a step ahead, since the producer is faster than this. The mirror asks again.
    let mut attempts = 0;
    while answer.is_wanted() && attempts < ATTEMPTS {
        let from = answer.from();
        match attach(from) {
            Ok(mut observer) => match copy(&mut observer, answer) {
                Some(found) => gone(answer, found, held),
                None => break,
            },
            Err(AttachError::Gone { oldest, .. }) => gone(answer, oldest, held),
            Err(AttachError::Ahead { .. } | AttachError::Removed { .. }) => break,
            Err(AttachError::Overtaken) => {}
            Err(error) => return Err(error.into()),
        }
        attempts = match answer.from() == from {
            true => attempts + 1,
            false => 0,
        };
    }
    Ok(())
}

/// Adds what there is. If the observer was overtaken, returns the sequence that it found.
fn copy(observer: &mut Observer, answer: &mut Answer) -> Option<u64> {
    while answer.is_wanted() {
        match observer.try_receive() {
            Ok(Received::Message(message)) => answer.message(message.sequence(), &message),
            Ok(Received::Skipped {
                resumed_at, why, ..
            }) => answer.gap(resumed_at, why),
            Ok(Received::Lapped { resumed_at, .. }) => return Some(resumed_at),
            _ => break,
        }
    }
    None
}

/// What is asked for next is gone, and by the index of the ring all before the sequence `found`.
fn gone(answer: &mut Answer, found: u64, held: Option<u64>) {
    let held = held.filter(|held| before(answer.from(), *held) && before(*held, found));
    answer.gone_before(held.unwrap_or(found));
}

/// The description of the ring, which can be read from `oldest` on, for a mirror that introduces itself.
pub(super) fn meta(
    ring: &Ring,
    source: &mut Source,
    oldest: Option<u64>,
    question: &Question,
    options: &Options,
) -> Result<Meta, BridgeError> {
    let text = &question.parameters;
    let name = parameter(text, "as").and_then(|name| name.parse::<Name>().ok());
    let instance = parameter(text, "instance").and_then(|n| u64::from_str_radix(n, 16).ok());
    let (required, taken) = match (name, instance) {
        (Some(name), Some(instance)) => source.hello(&name, instance),
        _ => (false, false),
    };
    let opaque = ring.opaque_schema().ok().flatten();
    let (epoch, epoch_first) = source.latest_epoch();
    Ok(Meta {
        ring: ring.id(),
        epoch,
        epoch_first,
        oldest: oldest.unwrap_or(source.sent()),
        next: source.sent(),
        capacity: ring.capacity_bytes(),
        frame_align: ring.frame_align() as u32,
        max_readers: ring.max_readers(),
        longest: ring.max_message_bytes(),
        stamps: ring.stamps(),
        closed: source.is_closed(),
        required,
        taken,
        host: options.host.clone(),
        name: options.name.clone(),
        schema: ring.schema().map_or_else(String::new, ToString::to_string),
        opaque: opaque.map(|schema| Opaque {
            kind: schema.kind().to_owned(),
            name: schema.name().to_owned(),
            bytes: schema.into_bytes(),
        }),
    })
}

/// The state of the source, for people and for programs that watch it.
pub(super) fn state(
    ring: &Ring,
    source: &Source,
    keys: &Keys,
    told: &Told,
    options: &Options,
) -> serde_json::Value {
    let mut state = serde_json::json!({
        "ring": options.name.as_str(),
        "realm": options.realm.as_str(),
        "host": options.host,
        "path": ring.path().display().to_string(),
        "id": format!("{:032x}", ring.id()),
        "keys": [keys.meta(), keys.data(ring.id()), keys.fetch(ring.id())],
        "lossless": options.lossless,
        "window_bytes": options.window,
        "linger_us": options.linger.as_micros() as u64,
    });
    let changing = report::state(source, told);
    if let (Some(state), serde_json::Value::Object(changing)) = (state.as_object_mut(), changing) {
        state.extend(changing);
    }
    state
}

#[cfg(test)]
mod tests;
