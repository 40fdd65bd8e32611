//! What can go wrong between a broker and those who want something of it.
//!
//! Layer 8.

use crate::segment::{CreateError, OpenError};
use core::fmt;
use std::io;
use std::path::PathBuf;

/// Why a broker could not begin, or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum BrokerError {
    /// Another broker listens there.
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The path is taken by something that is no socket, or too long for one.
    BadPath {
        /// The socket.
        path: PathBuf,
    },
    /// An isolated ring has at most this many rows.
    TooManyReaders {
        /// What was asked for.
        rows: u32,
        /// What is possible.
        max: u32,
    },
    /// The readers of an isolated ring share no words, so none of them can keep a histogram that others
    /// read: it cannot have [stamps](crate::Builder::stamps).
    Stamps,
    /// The files of the ring could not be made.
    Create(CreateError),
    /// The kernel refused something else.
    Io {
        /// What was being done.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Why a broker did not let somebody in.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there.
    NoBroker {
        /// The socket.
        path: PathBuf,
    },
    /// The broker does not let this user in, or its socket does not.
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The ring has a producer.
    ProducerExists {
        /// The socket.
        path: PathBuf,
    },
    /// Every row is taken.
    NoRow {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody alive uses the cursor.
    CursorInUse {
        /// Its name.
        name: String,
    },
    /// No producer came in time, or the broker did not answer.
    TimedOut {
        /// The socket.
        path: PathBuf,
    },
    /// Whoever listens there is no broker of this version.
    Nonsense {
        /// The socket.
        path: PathBuf,
    },
    /// What was handed over is not a ring that can be trusted.
    Open(OpenError),
    /// The kernel refused something else.
    Io {
        /// What was being done.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl BrokerError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::InUse { .. } => 700,
            Self::BadPath { .. } => 701,
            Self::TooManyReaders { .. } => 702,
            Self::Stamps => 703,
            Self::Create(error) => error.code(),
            Self::Io { .. } => 799,
        }
    }
}

impl ConnectError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoBroker { .. } => 710,
            Self::Forbidden { .. } => 711,
            Self::ProducerExists { .. } => 712,
            Self::NoRow { .. } => 713,
            Self::CursorInUse { .. } => 410,
            Self::TimedOut { .. } => 714,
            Self::Nonsense { .. } => 715,
            Self::Open(error) => error.code(),
            Self::Io { .. } => 799,
        }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(
                f,
                "another broker listens at {}: stop it, or choose another socket",
                path.display()
            ),
            Self::BadPath { path } => write!(
                f,
                "{} cannot be a socket: something else lies there, or the path is longer than 107 bytes",
                path.display()
            ),
            Self::TooManyReaders { rows, max } => {
                write!(f, "{rows} readers are too many for an isolated ring: at most {max}")
            }
            Self::Stamps => f.write_str(
                "an isolated ring cannot have stamps, because its readers share no words for what they measure: create it without",
            ),
            Self::Create(error) => error.fmt(f),
            Self::Io { what, path, source } => {
                write!(f, "could not {what} {}: {source}", path.display())
            }
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBroker { path } => write!(
                f,
                "no broker listens at {}: start one with 'slipring share'",
                path.display()
            ),
            Self::Forbidden { path } => write!(
                f,
                "the broker at {} does not let this user in: have it started with this user or group allowed",
                path.display()
            ),
            Self::ProducerExists { path } => write!(
                f,
                "the ring at {} already has a producer: stop that one first",
                path.display()
            ),
            Self::NoRow { path } => write!(
                f,
                "all rows of the ring at {} are taken: stop a reader, or start the broker with more",
                path.display()
            ),
            Self::CursorInUse { name } => write!(
                f,
                "the cursor {name} is in use: stop its user first, or use another name"
            ),
            Self::TimedOut { path } => write!(
                f,
                "no producer came to the ring at {} in time",
                path.display()
            ),
            Self::Nonsense { path } => write!(
                f,
                "what listens at {} is no broker of this version",
                path.display()
            ),
            Self::Open(error) => error.fmt(f),
            Self::Io { what, path, source } => {
                write!(f, "could not {what} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for BrokerError {}
impl std::error::Error for ConnectError {}

impl From<CreateError> for BrokerError {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}

impl From<OpenError> for ConnectError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
