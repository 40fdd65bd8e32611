//! What is served, and how.

use slipring::{Place, Start};
use slipring_mirror::Name;
use std::time::Duration;

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ring.
    pub place: Place,
    /// Its name on the network.
    pub name: Name,
    /// The realm, which separates deployments that share a network.
    pub realm: Name,
    /// The name of this host, for descriptions.
    pub host: String,
    /// Whether the ring keeps what was not sent or, with `require`, not written by those mirrors.
    pub lossless: bool,
    /// Mirrors that the source waits for.
    pub require: Vec<Name>,
    /// Bytes that may be sent and not written by all of them.
    pub window: u64,
    /// How long after a frame was sent messages wait for others, to share the next one.
    pub linger: Duration,
    /// Where a lossless source begins the first time; later at its durable cursor.
    pub from: Start,
    /// The name of that cursor.
    pub cursor: String,
    /// The ring that it counts into, as [`SourceStat`](crate::stat::SourceStat)s.
    pub stat: Option<Place>,
}

impl Options {
    /// A source that waits for no mirror.
    pub fn new(place: impl Into<Place>, name: Name) -> Self {
        Self {
            place: place.into(),
            name,
            realm: default_realm(),
            host: String::new(),
            lossless: false,
            require: Vec::new(),
            window: 4 << 20,
            linger: Duration::from_micros(50),
            from: Start::Latest,
            cursor: "bridge".to_owned(),
            stat: None,
        }
    }
}

/// The realm that is used if none is given.
pub fn default_realm() -> Name {
    match "default".parse() {
        Ok(name) => name,
        Err(_) => unreachable!("a name"),
    }
}
