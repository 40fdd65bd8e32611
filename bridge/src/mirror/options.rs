//! What is mirrored, and how.

use crate::serve::default_realm;
use slipring::Place;
use slipring_mirror::Name;
use std::time::Duration;

/// Where a mirror that does not exist yet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At what the source sends next.
    Latest,
    /// At the oldest message that the source still has.
    Oldest,
    /// At this sequence. What the source does not have any more is a gap.
    Sequence(u64),
}

/// What to do when the source ring was removed, and made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRecreate {
    /// Close the mirror, and end.
    Stop,
    /// Close the mirror, remove it, and mirror the new ring under the same name.
    Follow,
}

/// What is mirrored, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ring that is written.
    pub place: Place,
    /// The name of the source ring on the network.
    pub name: Name,
    /// The realm of the source.
    pub realm: Name,
    /// The name of this mirror.
    pub mirror: Name,
    /// Where to begin, if the ring does not exist yet.
    pub from: From,
    /// What to do when the source ring was made anew.
    pub on_recreate: OnRecreate,
    /// Bytes that are held until they can be written.
    pub window: u64,
    /// The permissions of the ring, if it does not exist yet.
    pub mode: u32,
    /// How long to wait for a source at first; without limit if not given.
    pub patience: Option<Duration>,
    /// The ring that it counts into, as [`MirrorStat`](crate::stat::MirrorStat)s.
    pub stat: Option<Place>,
}

impl Options {
    /// A mirror with the usual settings.
    pub fn new(place: impl Into<Place>, name: Name, mirror: Name) -> Self {
        Self {
            place: place.into(),
            name,
            realm: default_realm(),
            mirror,
            from: From::Latest,
            on_recreate: OnRecreate::Stop,
            window: 4 << 20,
            mode: 0o600,
            patience: None,
            stat: None,
        }
    }
}
