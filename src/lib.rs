//! The front page of the crate is the README, and that of each module the page of the guide about its subject.
//!
#![doc = include_str!("../docs/rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    target_endian = "little"
)))]
compile_error!("slipring runs on Linux on 64-bit little-endian processors");

// Internals, open to the project's own tests, models and fuzz targets. Safe code could use them to write
// memory that other code has references to, so without the feature they are private.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod layout;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, unused_imports, reason = "open with the feature")]
mod layout;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod ring;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, unused_imports, reason = "open with the feature")]
mod ring;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod segment;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, unused_imports, reason = "open with the feature")]
mod segment;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod sync;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, unused_imports, reason = "open with the feature")]
mod sync;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod wait;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, unused_imports, reason = "open with the feature")]
mod wait;

#[cfg(not(slipring_loom))]
mod attach;
#[cfg(not(slipring_loom))]
/// Readers that are not trusted: a broker hands out a ring, and a process of another user connects.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/isolated.md")]
pub mod broker;
#[cfg(not(slipring_loom))]
mod check;
#[cfg(not(slipring_loom))]
/// The ends of a ring: how it is described and created, the options, guards, status and errors of producers, consumers and observers, and waiting for several of them.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/ring.md")]
pub mod endpoint;
#[cfg(all(feature = "async", not(slipring_loom)))]
/// Handles in event loops: futures, and descriptors to poll. The page about them is
/// [event loops](crate::documentation::events).
pub mod events;
#[cfg(not(slipring_loom))]
/// Named pipes.
pub mod fifo;
#[cfg(not(slipring_loom))]
/// The newest value of something: one writer, many readers, no history.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/latest.md")]
pub mod latest;
#[cfg(not(slipring_loom))]
/// Direct communication between two processes that know each other by name.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/link.md")]
pub mod link;
#[cfg(not(slipring_loom))]
/// Letters to whichever receiver is there, and replies to the client that sent them.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/mailbox.md")]
pub mod mailbox;
#[cfg(not(slipring_loom))]
/// Pipes between processes of one family, in one direction or both.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/pipe.md")]
pub mod pipe;
#[cfg(not(slipring_loom))]
/// Message queues: each message goes to one receiver, and comes back if that one dies.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/queue.md")]
pub mod queue;
#[cfg(all(feature = "async", not(slipring_loom)))]
mod reactor;
#[cfg(not(slipring_loom))]
mod read;
#[cfg(not(slipring_loom))]
/// The objects of a directory: listing, looking at, checking, removing them, and what deaths have left.
pub mod registry;
#[cfg(not(slipring_loom))]
/// Semaphores, whose permits come back from processes that die.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/semaphore.md")]
pub mod semaphore;
#[cfg(not(slipring_loom))]
/// One value that processes change in turns.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/shared.md")]
pub mod shared;
#[cfg(not(slipring_loom))]
/// Signals: numbers that are sent to listeners, merged, and never lost.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/signals.md")]
pub mod signals;
#[cfg(not(slipring_loom))]
/// Rings of one type.
///
#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/guide/typed.md")]
pub mod typed;

/// Where objects lie, and why one cannot be created, opened or removed there.
#[cfg(not(slipring_loom))]
pub mod place {
    pub use crate::layout::description::DescriptionError;
    pub use crate::layout::geometry::GeometryError;
    pub use crate::ring::Corrupt;
    pub use crate::segment::{
        guard_against_truncation, trust_owner, CreateError, NameError, OpenError, RemoveError,
    };
}

/// What the messages of a ring are made of.
#[cfg(not(slipring_loom))]
pub mod schema {
    pub use crate::layout::opaque::{OpaqueSchema, OpaqueSchemaError};
    pub use crate::layout::schema::{
        Field, Hint, Kind, Schema, SchemaBuilder, SchemaError, SchemaMismatch,
    };
}

// What most programs name. The rest is in the module of its subject.
#[cfg(not(slipring_loom))]
pub use {
    broker::Broker,
    endpoint::{
        Consumer, ConsumerOptions, Message, Observer, ObserverOptions, Producer, ProducerOptions,
        Received, Ring, WaitSet,
    },
    fifo::Fifo,
    latest::Latest,
    layout::form::Form,
    link::Link,
    mailbox::Mailbox,
    pipe::{duplex, pipe},
    queue::Queue,
    read::ReadPolicy,
    ring::Start,
    segment::Place,
    semaphore::Semaphore,
    shared::Shared,
    signals::Signals,
    typed::{Plain, Typed},
    wait::{Deadline, Strategy},
};

#[cfg(not(slipring_loom))]
#[doc(hidden)]
pub use broker::decode_broker_request;

// Used by the expansion of `message!`.
#[cfg(not(slipring_loom))]
#[doc(hidden)]
pub use typed::{field_text, hint_text, message_text, schema_field, schema_name};

#[cfg(not(slipring_loom))]
#[doc(hidden)]
pub use bytemuck;

/// The pages of the documentation that are about no single module.
///
/// The Rust of all pages is compiled, and run where a page does not say otherwise, with the examples of the crate.
#[cfg(all(any(doc, doctest), not(slipring_loom)))]
pub mod documentation;
