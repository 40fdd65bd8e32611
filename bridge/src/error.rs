//! What ends a bridge.

use crate::encoding::EncodingError;
use crate::engine::threads::ThreadsError;
use crate::engine::{panic_text, EngineError};
use slipring::endpoint::{
    AttachError, PublishError, StatusError, TryPublishError, TryReceiveError,
};
use slipring::place::{CreateError, OpenError, RemoveError};
use slipring::{Form, Place, Ring};
use slipring_mirror::meta::MetaError;
use slipring_mirror::mirror::Stop;
use slipring_mirror::NameError;
use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a bridge cannot begin, or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum BridgeError {
    /// The engine.
    Engine(EngineError),
    /// The environment says something about Zenoh's threads that Zenoh does not take.
    Threads(ThreadsError),
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
        /// Why its answer could not be used, or why there is no link to it, if that is known.
        trouble: Option<String>,
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
    /// Another program published in the mirror's ring while no mirror was its producer, so what is there is not what the source has.
    WrittenByOther {
        /// Where.
        path: PathBuf,
        /// The process of its last producer; 0 if it is not known.
        pid: u32,
        /// The sequence that would have been next in it, if that is known.
        expected: Option<u64>,
        /// The sequence that is next in it, if that is known.
        found: Option<u64>,
    },
    /// What lies beside the mirror's ring, where mirrors keep how far they were, cannot be used.
    Note {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Another mirror is at work in the mirror's ring, or was, while this one was not its producer.
    OtherMirror {
        /// Where.
        path: PathBuf,
        /// The process of the ring's last producer; 0 if it is not known.
        pid: u32,
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
    /// Only rings are seen on other hosts, and there is another form of communication.
    Form {
        /// Where.
        path: PathBuf,
        /// What it is.
        found: Form,
    },
    /// The ring that is imported into has another schema than was given for it.
    OtherSchema {
        /// Where.
        path: PathBuf,
        /// Its schema, if it has one.
        found: Option<String>,
    },
    /// The messages cannot be encoded as it was asked for.
    Encoding(EncodingError),
    /// Two settings that contradict each other.
    Settings(&'static str),
    /// The code of the bridge panicked in a thread of the engine, with this text: a fault of the program.
    Panicked(String),
    /// The system refused something.
    Io(std::io::Error),
}

impl BridgeError {
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self::Panicked(panic_text(panic).to_owned())
    }

    /// Returns `true` if a ring cannot be read any more because it was removed. Another one may come under its name.
    pub(crate) fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::Attach(AttachError::Removed { .. })
                | Self::Status(StatusError::Removed { .. })
                | Self::Receive(TryReceiveError::Removed)
        )
    }
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Threads(error) => error.fmt(f),
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
            Self::NoSource { key, trouble } => {
                write!(
                    f,
                    "no source answers under {key}: start slipring-bridge serve there, and check the address, the realm, and what the access rules of both sides allow"
                )?;
                match trouble {
                    Some(why) => write!(f, " (the last trouble: {why})"),
                    None => Ok(()),
                }
            }
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
            Self::WrittenByOther {
                path,
                pid,
                expected,
                found,
            } => written_by_other(path, *pid, (*expected, *found), f),
            Self::Note { path, error } => write!(
                f,
                "{}, where mirrors keep how far they were, cannot be used: {error}: give it to the user of this mirror, or remove it if you know that nobody else published in the ring",
                path.display()
            ),
            Self::OtherMirror { path, pid } => {
                write!(f, "another mirror is or was at work in {}", path.display())?;
                if *pid != 0 {
                    write!(f, " (its last producer is process {pid})")?;
                }
                f.write_str(": run one mirror for a ring; started again, this one goes on where the other left it")
            }
            Self::TooSmall { longest, needed } => write!(
                f,
                "the mirror takes messages of up to {longest} bytes, and the source has up to {needed}: create it with the capacity of the source"
            ),
            Self::Evicts { path } => write!(
                f,
                "{} evicts slow consumers, so it cannot be served without loss: serve it without --lossless",
                path.display()
            ),
            Self::Form { path, found } => other_form(path, *found, f),
            Self::OtherSchema { path, found } => write!(
                f,
                "{} has {}, another than was given: leave --schema out, or import into another ring",
                path.display(),
                found.as_ref().map_or("no schema".to_owned(), |text| format!("the schema {text}"))
            ),
            Self::Encoding(error) => error.fmt(f),
            Self::Settings(what) => f.write_str(what),
            Self::Panicked(text) => write!(
                f,
                "the program has a fault, which ended it in the middle of a frame: {text}: please report it; started again, it goes on where it was"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BridgeError {}

fn written_by_other(
    path: &Path,
    pid: u32,
    sequences: (Option<u64>, Option<u64>),
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let note = note_of(path);
    let path = path.display();
    write!(f, "another program than a mirror published in {path}")?;
    let producer = (pid != 0).then(|| format!("its last producer is process {pid}"));
    let next = match sequences {
        (Some(expected), Some(found)) => Some(format!(
            "the next sequence should be {expected}, and is {found}"
        )),
        (None, Some(found)) => Some(format!("the next sequence is {found}")),
        _ => None,
    };
    let known: Vec<String> = producer.into_iter().chain(next).collect();
    if !known.is_empty() {
        write!(f, " ({})", known.join("; "))?;
    }
    write!(
        f,
        ", so it is not what its source has: to mirror the source again, save what it has, remove it (slipring rm), or mirror into another place; if you know that nobody else published in it, remove {}",
        note.display()
    )
}

/// The file in which mirrors keep how far they were in the ring at this path.
pub(crate) fn note_of(ring: &Path) -> PathBuf {
    let named = ring.file_name().unwrap_or_default().to_string_lossy();
    ring.with_file_name(format!(".{named}.mirror"))
}

/// Why this form is not served, and what to do instead.
fn other_form(path: &Path, form: Form, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let path = path.display();
    match form {
        Form::Queue | Form::Lane => write!(
            f,
            "{path} is a queue, and each of its messages goes to one receiver of this host, which acknowledges it here: run a receiver here that publishes in a ring (slipring queue receive | slipring pub), and serve that ring"
        ),
        Form::Mailbox => write!(
            f,
            "{path} is a mailbox, and its letters are taken and answered by processes of this host: publish requests in a ring that is served here, and replies in a ring that is served there"
        ),
        form => write!(
            f,
            "{path} is a {}, and only rings are seen on other hosts: publish in a ring what other hosts have to know, and serve that ring",
            form.noun()
        ),
    }
}

/// Opens a ring that other hosts are to see.
///
/// # Errors
/// [`BridgeError::Form`] of another form of communication, [`BridgeError::Open`] else.
pub(crate) fn open_source(place: &Place) -> Result<Ring, BridgeError> {
    Ring::open(place.clone()).map_err(|error| match error {
        OpenError::Form { path, found, .. } => BridgeError::Form { path, found },
        error => error.into(),
    })
}

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
    Engine: EngineError, Threads: ThreadsError, Name: NameError, Open: OpenError, Create: CreateError, Attach: AttachError,
    Status: StatusError, Remove: RemoveError, Publish: PublishError, TryPublish: TryPublishError,
    Receive: TryReceiveError, Encoding: EncodingError, Meta: MetaError, Stop: Stop, Io: std::io::Error
}
