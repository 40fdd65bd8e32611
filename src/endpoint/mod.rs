//! The public handles: [`Ring`], [`Producer`], [`Consumer`], [`Observer`], [`WaitSet`].
//!
//! Layer 5: the protocol, a segment, a lock and a way to wait, tied together. Unsafe code only where
//! bytes behind a gate become slices.

mod arrival;
mod builder;
mod conflated;
mod consumer;
mod difference;
mod error;
mod interrupted;
mod interruption;
mod latency;
mod lend;
mod meeting;
pub(crate) mod member;
mod message;
mod observer;
mod options;
mod paired;
mod producer;
mod ring;
mod seat;
mod set;
mod shown;
mod status;
mod trouble;
mod waiting;

pub use crate::read::Pacing;
pub use crate::ring::{consumer::Epoch, observer::Resume};
pub(crate) use arrival::look_until;
pub use builder::Builder;
pub use conflated::{Conflatable, Conflated, ConflatedMessage, Conflation};
pub use consumer::Consumer;
pub use difference::Difference;
pub use error::{AttachError, PublishError, ReceiveError, TryPublishError, TryReceiveError};
pub use interruption::{Interrupter, Interruption};
pub use latency::Latencies;
pub use lend::{Claim, PublishBatch};
pub(crate) use meeting::{Meeting, Met};
pub use message::{Batch, Message};
pub use observer::{Observer, Payload, Received};
pub use options::{ConsumerOptions, ObserverOptions, ProducerOptions};
pub(crate) use paired::{Incoming, Outgoing, PairedError};
pub use producer::Producer;
pub(crate) use ring::Origin;
pub use ring::{Ring, RingFiles};
pub(crate) use set::{Inside, Sealed};
pub use set::{Source, WaitSet};
pub(crate) use shown::shown;
pub use status::{ReaderStatus, RingStatus};
