//! The crate: its front page is the README.
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
mod broker;
#[cfg(not(slipring_loom))]
mod endpoint;
#[cfg(not(slipring_loom))]
mod fifo;
#[cfg(not(slipring_loom))]
mod latest;
#[cfg(not(slipring_loom))]
mod link;
#[cfg(not(slipring_loom))]
mod mailbox;
#[cfg(not(slipring_loom))]
mod pipe;
#[cfg(not(slipring_loom))]
mod queue;
#[cfg(not(slipring_loom))]
mod read;
#[cfg(not(slipring_loom))]
mod registry;
#[cfg(not(slipring_loom))]
mod semaphore;
#[cfg(not(slipring_loom))]
mod shared;
#[cfg(not(slipring_loom))]
mod signals;
#[cfg(not(slipring_loom))]
mod typed;

#[cfg(not(slipring_loom))]
pub use {
    broker::{Access, Broker, BrokerError, ConnectError},
    endpoint::{
        AttachError, Batch, Builder, Claim, Conflatable, Conflated, ConflatedMessage, Conflation,
        Consumer, ConsumerOptions, Difference, Interrupter, Interruption, Latencies, Message,
        Observer, ObserverOptions, Payload, Producer, ProducerOptions, PublishBatch, PublishError,
        ReaderStatus, ReceiveError, Received, Ring, RingFiles, RingStatus, Source, TryPublishError,
        TryReceiveError, WaitSet,
    },
    fifo::{Fifo, FifoBuilder},
    latest::{Latest, LatestBuilder, LatestError, LatestReader, LatestWriter},
    layout::description::DescriptionError,
    layout::form::Form,
    layout::geometry::GeometryError,
    layout::schema::{Field, Kind, Schema, SchemaError, SchemaMismatch},
    link::{link_sides, Link, LinkBuilder, LinkError, LinkReceiver, LinkSender},
    mailbox::{
        Answer, Letter, Mailbox, MailboxBuilder, MailboxClient, MailboxReceiver, MailboxStatus,
        Reply, ReplyError, RequestError,
    },
    pipe::{duplex, pipe, pipe_with_capacity, Duplex, HandError, PipeReader, PipeWriter},
    queue::{
        Delivery, Holder, Queue, QueueBuilder, QueueStatus, Receiver, ReceiverEntry, SendError,
        Sender, TakeError, PRIORITIES,
    },
    read::{Pacing, ReadPolicy},
    registry::{
        default_directory, leftovers, leftovers_in, list, list_in, look_at, remove_at, Entry,
        Leftover, Why,
    },
    ring::{consumer::Epoch, observer::Resume, Corrupt, Start},
    segment::{
        guard_against_truncation, trust_owner, CreateError, NameError, OpenError, Place,
        RemoveError,
    },
    semaphore::{AcquireError, Permit, Semaphore, SemaphoreBuilder, SemaphoreStatus},
    shared::{Shared, SharedBuilder, SharedError, SharedGuard},
    signals::{
        Background, Listener, Noticed, SignalError, SignalSet, Signals, SignalsBuilder, Target,
    },
    typed::{
        Element, Plain, Typed, TypedConsumer, TypedMessage, TypedObserver, TypedProducer,
        TypedReceived,
    },
    wait::{Deadline, Strategy},
};

#[cfg(not(slipring_loom))]
#[doc(hidden)]
pub use broker::decode_broker_request;

// Used by the expansion of `message!`.
#[cfg(not(slipring_loom))]
#[doc(hidden)]
pub use typed::{field_text, message_text, schema_name};

#[cfg(not(slipring_loom))]
#[doc(hidden)]
pub use bytemuck;

/// The Rust of these pages is compiled and run with the examples of the crate.
#[cfg(all(doctest, not(slipring_loom)))]
mod pages {
    #[doc = include_str!("../docs/guide/ring.md")]
    struct Ring;
    #[doc = include_str!("../docs/guide/producer.md")]
    struct Producer;
    #[doc = include_str!("../docs/guide/consumer.md")]
    struct Consumer;
    #[doc = include_str!("../docs/guide/typed.md")]
    struct Typed;
    #[doc = include_str!("../docs/guide/waiting.md")]
    struct Waiting;
    #[doc = include_str!("../docs/guide/isolated.md")]
    struct Isolated;
}
