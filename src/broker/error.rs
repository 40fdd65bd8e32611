//! What can go wrong between a broker and its clients.
//!
//! Layer 8.

use crate::segment::{wrapping, CreateError, NameError, OpenError};
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
    /// The path leads to a file that is no socket, or is too long for one.
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
    /// read: it cannot have [stamps](crate::endpoint::Builder::stamps).
    Stamps,
    /// A live process uses the cursor that was to be forgotten.
    CursorInUse {
        /// Its name.
        name: String,
    },
    /// No cursor can have this name.
    Name(NameError),
    /// The ring that the builder describes cannot be created.
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

/// Why a broker did not serve a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// No broker listens there, or it went away before it answered.
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
    /// Every row is in use, or was another user's. Until the next producer comes a row is given to one user
    /// only, because a reader can keep the descriptors it was given.
    NoRow {
        /// The socket.
        path: PathBuf,
    },
    /// This user has as many rows as one user can have.
    RowLimit {
        /// The socket.
        path: PathBuf,
        /// How many.
        rows: u32,
    },
    /// A live process uses the cursor.
    CursorInUse {
        /// Its name.
        name: String,
    },
    /// This user has as many durable cursors as one user can have.
    CursorLimit {
        /// The socket.
        path: PathBuf,
        /// How many.
        cursors: u32,
        /// The one that has been away for the longest time; empty if none is away.
        oldest: String,
    },
    /// The broker has as many connections of this user as it serves at once.
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The kernel refused the broker the descriptors or the memory that the request needs.
    Exhausted {
        /// The socket.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No producer came in time, or the broker did not answer.
    TimedOut {
        /// The socket.
        path: PathBuf,
    },
    /// The process that listens there is no broker of this version.
    Nonsense {
        /// The socket.
        path: PathBuf,
    },
    /// The files that were handed over are not a ring that can be trusted.
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
            Self::InUse { .. } => 800,
            Self::BadPath { .. } => 801,
            Self::TooManyReaders { .. } => 802,
            Self::Stamps => 803,
            Self::CursorInUse { .. } => 410,
            Self::Name(_) => 409,
            Self::Create(error) => error.code(),
            Self::Io { .. } => 899,
        }
    }
}

impl ConnectError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoBroker { .. } => 810,
            Self::Forbidden { .. } => 811,
            Self::ProducerExists { .. } => 812,
            Self::NoRow { .. } => 813,
            Self::CursorInUse { .. } => 410,
            Self::TimedOut { .. } => 814,
            Self::Nonsense { .. } => 815,
            Self::RowLimit { .. } => 816,
            Self::CursorLimit { .. } => 817,
            Self::Busy { .. } => 818,
            Self::Exhausted { .. } => 819,
            Self::Open(error) => error.code(),
            Self::Io { .. } => 899,
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
            Self::CursorInUse { name } => {
                write!(f, "the cursor {name} is in use: stop its user first")
            }
            Self::Name(error) => error.fmt(f),
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
                "no broker listens at {}, or it went away: start one with 'slipring share'",
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
                "no row is left in the ring at {}: each is in use or was another user's; stop a reader, start the broker with more, or wait for the next producer",
                path.display()
            ),
            Self::RowLimit { path, rows } => write!(
                f,
                "this user has the {rows} rows that one user can have of the ring at {}: stop one of its readers, or start the broker with more rows",
                path.display()
            ),
            Self::CursorLimit { path, cursors, oldest } => {
                write!(
                    f,
                    "this user has {cursors} cursors at {}, as many as one user can have: forget one",
                    path.display()
                )?;
                match oldest.as_str() {
                    "" => Ok(()),
                    oldest => write!(
                        f,
                        "; {oldest} has been away the longest ('slipring forget --via {} {oldest}')",
                        path.display()
                    ),
                }
            }
            Self::Busy { path } => write!(
                f,
                "the broker at {} has as many connections of this user as it serves: stop one, or try again",
                path.display()
            ),
            Self::Exhausted { path, source } => write!(
                f,
                "the broker at {} could not do it: {source}; raise its limits, or start it with fewer rows",
                path.display()
            ),
            Self::CursorInUse { name } => write!(
                f,
                "the cursor {name} is in use: stop its user first, or use another name"
            ),
            Self::TimedOut { path } => write!(
                f,
                "no producer came to the ring at {} in time, or its broker does not answer",
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

wrapping!(BrokerError: (Name, Create) {Io});
wrapping!(ConnectError: (Open) {Io, Exhausted});

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
