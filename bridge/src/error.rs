//! What ends a bridge.

use crate::engine::EngineError;
use slipring::endpoint::{
    AttachError, PublishError, StatusError, TryPublishError, TryReceiveError,
};
use slipring::place::{CreateError, OpenError, RemoveError};
use slipring_mirror::meta::MetaError;
use slipring_mirror::mirror::Stop;
use slipring_mirror::NameError;
use std::fmt;
use std::path::PathBuf;

/// Why a bridge cannot begin, or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum BridgeError {
    /// The engine.
    Engine(EngineError),
    /// The name of a ring, a realm or a mirror.
    Name(NameError),
    /// The ring cannot be opened.
    Open(OpenError),
    /// The mirror's ring cannot be created.
    Create(CreateError),
    /// The ring cannot be read or written.
    Attach(AttachError),
    /// The state of the ring cannot be read.
    Status(StatusError),
    /// The mirror's ring cannot be removed, to follow a source that was made anew.
    Remove(RemoveError),
    /// A message cannot be published in the mirror's ring.
    Publish(PublishError),
    /// A message cannot be published in the mirror's ring.
    TryPublish(TryPublishError),
    /// The source ring cannot be read on.
    Receive(TryReceiveError),
    /// The answer of the source.
    Meta(MetaError),
    /// The source says that this mirror cannot go on.
    Stop(Stop),
    /// No source answered in the time that was given.
    NoSource {
        /// Under which key it was asked for.
        key: String,
    },
    /// More than one ring of this name is served.
    Ambiguous {
        /// Their identities.
        rings: Vec<u128>,
    },
    /// There is a ring where the mirror's should be, and it mirrors none.
    NotAMirror {
        /// Where.
        path: PathBuf,
    },
    /// The mirror's ring is too small for messages of the source.
    TooSmall {
        /// Bytes of its longest message.
        longest: u32,
        /// Bytes of the longest message of the source.
        needed: u32,
    },
    /// A ring that evicts its consumers cannot be served without loss.
    Evicts {
        /// Where.
        path: PathBuf,
    },
    /// Two settings that contradict each other.
    Settings(&'static str),
    /// The system refused something.
    Io(std::io::Error),
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Create(error) => error.fmt(f),
            Self::Attach(error) => error.fmt(f),
            Self::Status(error) => error.fmt(f),
            Self::Remove(error) => error.fmt(f),
            Self::Publish(error) => error.fmt(f),
            Self::TryPublish(error) => error.fmt(f),
            Self::Receive(error) => error.fmt(f),
            Self::Meta(error) => error.fmt(f),
            Self::Stop(stop) => stop.fmt(f),
            Self::NoSource { key } => write!(
                f,
                "no source answers under {key}: start slipring-bridge serve there, and check the address and the realm"
            ),
            Self::Ambiguous { rings } => write!(
                f,
                "{} rings of this name are served here: give one of them another name or realm (--name, --realm)",
                rings.len()
            ),
            Self::NotAMirror { path } => write!(
                f,
                "{} is a ring that mirrors none: choose another place for the mirror",
                path.display()
            ),
            Self::TooSmall { longest, needed } => write!(
                f,
                "the mirror takes messages of up to {longest} bytes, and the source has up to {needed}: create it with the capacity of the source"
            ),
            Self::Evicts { path } => write!(
                f,
                "{} evicts slow consumers, so it cannot be served without loss: serve it without --lossless",
                path.display()
            ),
            Self::Settings(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BridgeError {}

macro_rules! from {
    ($($variant:ident: $error:ty),*) => {$(
        impl From<$error> for BridgeError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    Engine: EngineError, Name: NameError, Open: OpenError, Create: CreateError, Attach: AttachError,
    Status: StatusError, Remove: RemoveError, Publish: PublishError, TryPublish: TryPublishError,
    Receive: TryReceiveError, Meta: MetaError, Stop: Stop, Io: std::io::Error
}
