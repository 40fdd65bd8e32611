//! Where an isolated ring came from.
//!
//! Layer 5.

use std::path::PathBuf;

/// The broker a ring came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) socket: PathBuf,
    /// The cursor it was asked for; empty for none.
    pub(crate) cursor: String,
    /// Which of its streams this is; zero for none yet.
    pub(crate) stream: u32,
    /// The identity of the broker's ring; zero for none yet.
    pub(crate) ring: u128,
}

impl Origin {
    /// A broker that has not been asked yet.
    pub(crate) fn new(socket: PathBuf, cursor: &str) -> Self {
        Self {
            socket,
            cursor: cursor.to_owned(),
            stream: 0,
            ring: 0,
        }
    }
}
