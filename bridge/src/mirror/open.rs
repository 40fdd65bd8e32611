//! Opening the ring of a mirror, or making it.

use super::options::{From, OnRecreate, Options};
use crate::error::BridgeError;
use slipring::endpoint::Origin;
use slipring::place::OpenError;
use slipring::schema::{OpaqueSchema, Schema};
use slipring::{registry, Ring};
use slipring_mirror::mirror::Stop;
use slipring_mirror::Meta;

/// Opens the mirror's ring, or creates it as the source describes its own.
pub(super) fn open(options: &Options, meta: &Meta, from: From) -> Result<Ring, BridgeError> {
    match Ring::open(options.place.clone()) {
        Ok(ring) => {
            let Some(origin) = ring.origin() else {
                let path = ring.path().to_owned();
                return Err(BridgeError::NotAMirror { path });
            };
            if origin.id != meta.ring {
                if options.on_recreate == OnRecreate::Stop {
                    return Err(Stop::Recreated { ring: meta.ring }.into());
                }
                // What it has is complete as far as any process knows: readers get it, and the end.
                ring.producer()?.close();
                drop(ring);
                registry::remove_at(options.place.clone(), true)?;
                return create(options, meta, From::Oldest);
            }
            let longest = ring.max_message_bytes();
            if longest < meta.longest {
                let needed = meta.longest;
                return Err(BridgeError::TooSmall { longest, needed });
            }
            Ok(ring)
        }
        Err(OpenError::NotFound { .. }) => create(options, meta, from),
        Err(error) => Err(error.into()),
    }
}

fn create(options: &Options, meta: &Meta, from: From) -> Result<Ring, BridgeError> {
    let first = match from {
        From::Latest => meta.next,
        From::Oldest => meta.oldest,
        From::Sequence(sequence) => sequence,
    };
    let mut builder = Ring::builder(options.place.clone())
        .capacity_bytes(meta.capacity)
        .frame_align(u64::from(meta.frame_align))
        .max_readers(meta.max_readers)
        .stamps(meta.stamps)
        .first_sequence(first)
        .mode(options.mode)
        .origin(Origin {
            id: meta.ring,
            epoch: meta.epoch,
            host: host(&meta.host),
        });
    if !meta.schema.is_empty() {
        let schema: Schema = meta
            .schema
            .parse()
            .map_err(|_| slipring_mirror::meta::MetaError::Damaged)?;
        builder = builder.schema(schema);
    }
    if let Some(opaque) = &meta.opaque {
        let damaged = |_| slipring_mirror::meta::MetaError::Damaged;
        let bytes = opaque.bytes.clone();
        let schema = OpaqueSchema::new(&opaque.kind, &opaque.name, bytes).map_err(damaged)?;
        builder = builder.opaque_schema(&schema);
    }
    Ok(builder.create()?)
}

/// The name of a host as a ring may store it.
fn host(text: &str) -> String {
    let mut host = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if host.len() + c.len_utf8() > 64 {
            break;
        }
        host.push(c);
    }
    host
}
