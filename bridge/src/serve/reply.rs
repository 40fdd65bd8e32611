//! Answers to mirrors, and to who watches.

use super::options::Options;
use crate::engine::Question;
use crate::error::BridgeError;
use crate::keys::Keys;
use crate::report::{self, Told};
use slipring::endpoint::{AttachError, ObserverOptions, Resume};
use slipring::{Received, Ring, Start, Strategy};
use slipring_mirror::meta::Opaque;
use slipring_mirror::request::parameter;
use slipring_mirror::{Meta, Name, Request, Source};

/// The options of an observer that never waits, and so needs no row.
pub(super) fn rowless() -> ObserverOptions {
    ObserverOptions::new()
        .strategy(Strategy::Spin)
        .resume(Resume::Oldest)
}

/// Answers with what the ring still has of what was asked for.
pub(super) fn fetch(ring: &Ring, source: &Source, question: &Question) -> Result<(), BridgeError> {
    let Ok(request) = question.parameters.parse::<Request>() else {
        return Ok(());
    };
    let mut answer = source.answer(request);
    let mut attempts = 0;
    let mut observer = loop {
        if !answer.is_wanted() {
            break None;
        }
        attempts += 1;
        match ring.observer_with(Start::Sequence(answer.from()), rowless()) {
            Ok(observer) => break Some(observer),
            Err(AttachError::Gone { oldest, .. }) => answer.gone_before(oldest),
            Err(AttachError::Ahead { .. } | AttachError::Removed { .. }) => break None,
            // The producer is faster than this. The mirror asks again.
            Err(AttachError::Overtaken) if attempts > 10 => break None,
            Err(AttachError::Overtaken) => {}
            Err(error) => return Err(error.into()),
        }
    };
    while let Some(observer) = observer.as_mut().filter(|_| answer.is_wanted()) {
        match observer.try_receive() {
            Ok(Received::Message(message)) => answer.message(message.sequence(), &message),
            Ok(Received::Skipped {
                resumed_at, why, ..
            }) => answer.gap(resumed_at, why),
            Ok(Received::Lapped { resumed_at, .. }) => answer.gone_before(resumed_at),
            _ => break,
        }
    }
    for frame in answer.finish() {
        question.replies.reply(frame);
    }
    Ok(())
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
    });
    let changing = report::state(source, told);
    if let (Some(state), serde_json::Value::Object(changing)) = (state.as_object_mut(), changing) {
        state.extend(changing);
    }
    state
}
