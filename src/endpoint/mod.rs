//! The public handles: [`Ring`], [`Producer`], [`Consumer`], [`Observer`], [`WaitSet`].
//!
//! Layer 5, above `attach`: an attached object, the protocol and a way to wait, tied together. Unsafe code only where
//! bytes behind a gate become slices.

mod arrival;
mod conflated;
mod connecting;
mod consumer;
mod create;
mod error;
mod interrupted;
mod interruption;
mod latency;
mod lend;
mod loss;
mod meeting;
mod message;
mod observer;
mod options;
mod paired;
mod producer;
mod readers;
mod received;
mod ring;
mod set;
mod status;
mod trouble;
mod waiting;

pub use crate::attach::{AttachError, Builder, Difference, RingFiles, StatusError};
pub use crate::layout::gap::{Gap, Why};
pub use crate::layout::origin::Origin;
pub use crate::read::Pacing;
pub use crate::ring::{consumer::Epoch, observer::Resume};
pub(crate) use arrival::look_until;
pub use conflated::{Conflatable, Conflated, ConflatedMessage, Conflation};
pub(crate) use connecting::Opening;
pub use connecting::{Connecting, Meets};
pub use consumer::Consumer;
#[cfg(feature = "async")]
pub(crate) use error::Nothing;
pub use error::{PublishError, ReceiveError, TryPublishError, TryReceiveError};
pub use interruption::{Interrupter, Interruption};
pub use latency::Latencies;
pub use lend::{Claim, PublishBatch};
pub use loss::Losses;
pub(crate) use meeting::{Heir, Meeting, Met};
pub use message::{Batch, Message};
pub use observer::Observer;
pub(crate) use options::options;
pub use options::{ConsumerOptions, ObserverOptions, ProducerOptions};
pub(crate) use paired::{Ends, Incoming, Outgoing, PairedError};
pub use producer::Producer;
pub use readers::ReadersError;
pub use received::{Payload, Received};
pub use ring::Ring;
#[cfg(feature = "async")]
pub(crate) use set::INSIDE;
pub(crate) use set::{Inside, Sealed};
pub use set::{Source, WaitSet};
pub use status::{ReaderStatus, RingStatus};
