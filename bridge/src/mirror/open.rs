//! Opening the ring of a mirror, or making it.

use super::copy::Copy;
use super::options::{From, OnRecreate, Options};
use crate::error::BridgeError;
use slipring::endpoint::{AttachError, Origin};
use slipring::place::OpenError;
use slipring::schema::{OpaqueSchema, Schema};
use slipring::{registry, Ring};
use slipring_mirror::meta::{MetaError, Opaque};
use slipring_mirror::mirror::Stop;
use slipring_mirror::Meta;

/// Reads an answer of a source: a description of a ring that has schemas which are some.
pub(super) fn description(bytes: &[u8]) -> Result<Meta, MetaError> {
    let meta = Meta::decode(bytes)?;
    if !meta.schema.is_empty() {
        schema(&meta)?;
    }
    meta.opaque.as_ref().map(foreign_schema).transpose()?;
    Ok(meta)
}

fn schema(meta: &Meta) -> Result<Schema, MetaError> {
    meta.schema.parse().map_err(|_| MetaError::Damaged)
}

fn foreign_schema(opaque: &Opaque) -> Result<OpaqueSchema, MetaError> {
    OpaqueSchema::new(&opaque.kind, &opaque.name, opaque.bytes.clone())
        .map_err(|_| MetaError::Damaged)
}

/// Opens the mirror's ring, or creates it as the source describes its own.
pub(super) fn open(options: &Options, meta: &Meta, from: From) -> Result<Ring, BridgeError> {
    match Ring::open(options.place.clone()) {
        Ok(ring) => {
            let Some(origin) = ring.origin() else {
                let path = ring.path().to_owned();
                return Err(BridgeError::NotAMirror { path });
            };
            if origin.id != meta.ring {
                finish(ring, options.on_recreate, meta.ring)?;
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

/// Closes the copy of a ring whose place another one has by now: what it has is complete as far as any process knows, so readers
/// get it, and the end. Returns only if it may be removed.
fn finish(ring: Ring, on_recreate: OnRecreate, source: u128) -> Result<(), BridgeError> {
    let mut copy = Copy::new(ring)?;
    match (copy.attach(), on_recreate) {
        (Ok(producer), _) => copy.close(producer),
        // Whoever is at work there is not disturbed, since the copy stays.
        (Err(BridgeError::Attach(AttachError::AlreadyOwned { .. })), OnRecreate::Stop) => {}
        (Err(error), _) => return Err(error),
    }
    match on_recreate {
        OnRecreate::Stop => Err(Stop::Recreated { ring: source }.into()),
        OnRecreate::Follow => Ok(()),
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
        builder = builder.schema(schema(meta)?);
    }
    if let Some(opaque) = &meta.opaque {
        builder = builder.opaque_schema(&foreign_schema(opaque)?);
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
