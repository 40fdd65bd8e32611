//! Recovering a ring that outlived the machine's last boot.
//!
//! Layer 8. The ring stays as it is until another one, which holds what was found, takes its name.

use crate::layout::form::Form;
use crate::layout::opaque;
use crate::layout::origin::Origin;
use crate::ring::salvage::{restore, restore_cursors, salvage};
use crate::segment::{
    self, boot_id, random, wrapping, CreateError, Location, MappingOptions, OpenError, Place, Plan,
    RemoveError, Segment,
};
use crate::sync::Ordering::Relaxed;
use core::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// How often a ring is looked at that another process replaces each time.
const ATTEMPTS: usize = 1000;

/// What [`recover`] found and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Sequence of the oldest message that can be read.
    pub first_sequence: u64,
    /// Sequence of the next message; the same as `first_sequence` if none can be read.
    pub next_sequence: u64,
    /// How many messages can be read.
    pub messages: u64,
    /// How many other messages were found: older ones, and those that may be torn.
    pub given_up: u64,
    /// How many durable cursors the ring has.
    pub cursors: u32,
    /// Whether the ring had an opaque schema whose file is missing or torn. The new ring has none.
    pub schema_lost: bool,
    /// The boot in which the ring was made before.
    pub boot: u128,
}

/// Why a ring could not be recovered. It is as it was before.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecoverError {
    /// It could not be opened.
    Open(OpenError),
    /// A live process is attached, or recovers or removes it, or this user may not use its locks.
    Remove(RemoveError),
    /// The ring that takes its place could not be made.
    Create(CreateError),
    /// It is not a ring. What another form holds cannot be checked.
    Form {
        /// Where it lies.
        path: PathBuf,
        /// What it is.
        found: Form,
    },
    /// No index entry is one, or what was found could not be published again.
    Damaged {
        /// Where it lies.
        path: PathBuf,
    },
}

impl RecoverError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Open(error) => error.code(),
            Self::Remove(error) => error.code(),
            Self::Create(error) => error.code(),
            Self::Form { .. } => 310,
            Self::Damaged { .. } => 311,
        }
    }
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Remove(error) => error.fmt(f),
            Self::Create(error) => error.fmt(f),
            Self::Form { path, found } => write!(
                f,
                "{} is a {}, and only rings can be recovered: remove it and create it again",
                path.display(),
                found.noun()
            ),
            Self::Damaged { path } => write!(
                f,
                "nothing in {} leads to its messages: remove it and create it again",
                path.display()
            ),
        }
    }
}

wrapping!(RecoverError: (Open, Remove, Create) {});

impl From<OpenError> for RecoverError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// Recovers a ring that lies on a disk and was made in another boot of the machine, which opening refuses as
/// [`OpenError::OtherBoot`]. Returns `None` if the ring is of this boot and needs nothing.
///
/// A ring with the same settings, and with messages of the old one, takes its place. It has another
/// [identity](crate::Ring::id); its [origin](crate::Ring::origin) is the old ring. Durable cursors go on where they
/// were, or behind the last message that was found. The next producer begins a new epoch, and goes on with the
/// sequence behind that message: numbers of messages that did not reach the disk are given again.
///
/// # Guarantees
/// - The messages that can be read follow each other, or gaps between them that their producer left, are in the newest half of the ring, and have their numbers.
/// - No page that one of them touches is older than the message. A message that touches three pages of 4096 bytes
///   or more cannot be checked and is given up, and so is the last one where it reaches into a second page.
/// - They are whole if, when the machine stopped, the producer had written less than half a ring behind the last
///   message that was found. Whether it had cannot be seen in the ring: a program that must never read a torn message
///   after a crash of the machine carries a checksum in its messages.
/// - An opaque schema is kept if its file is whole, as its hash says. Otherwise the new ring has none, and
///   [`schema_lost`](Recovered::schema_lost) says so.
/// - A call that fails, or a process that dies, leaves either the old ring, still refused, or the new one. What
///   is left besides is removed by `slipring clean`.
///
/// # What others may change meanwhile
/// No process can attach to the ring before it is recovered. Two calls at a time are safe: one of them recovers
/// it, and the other one fails as for a ring in use, or finds nothing to do.
///
/// # Errors
/// [`RecoverError`].
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("ticks");
/// use slipring::{registry, Ring};
///
/// Ring::builder(&path).create()?;
/// assert!(registry::recover(&path)?.is_none()); // made in this boot
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recover(place: impl Into<Place>) -> Result<Option<Recovered>, RecoverError> {
    let location = place.into().location().map_err(OpenError::from)?;
    let mapping = MappingOptions {
        populate: false,
        lock_memory: false,
    };
    for _ in 0..ATTEMPTS {
        let old = segment::open(&location, mapping)?;
        let Some(boots) = old.other_boot() else {
            return Ok(None);
        };
        let found = old.description().form;
        if found != Form::Ring {
            let path = location.path();
            return Err(RecoverError::Form { path, found });
        }
        let _cleaner = segment::claim_segment(&old).map_err(RecoverError::Remove)?;
        // Another process may have replaced it before this one had the lock.
        if old.is_in_place() {
            return replace(&location, &old, boots.found).map(Some);
        }
    }
    Err(OpenError::not_found(location.path()).into())
}

fn replace(location: &Location, old: &Segment, boot: u128) -> Result<Recovered, RecoverError> {
    let damaged = || RecoverError::Damaged {
        path: location.path(),
    };
    let memory = old.reader();
    let found = salvage(memory).ok_or_else(damaged)?;
    let (schema, schema_lost) = match old.opaque_schema() {
        Ok(schema) => (schema, false),
        // Could not be read now, and can be the next time.
        Err(error @ OpenError::Io { .. }) => return Err(error.into()),
        Err(_) => (None, true),
    };
    let first_sequence = found.first();
    let mut description = old.description().clone();
    description.origin = Some(Origin {
        id: description.ring_id,
        epoch: memory.producer().state.epoch.load(Relaxed),
        host: String::new(),
    });
    description.geometry.first_sequence = first_sequence;
    description.opaque = description.opaque.filter(|_| !schema_lost);
    description.ring_id = random();
    description.boot_id = boot_id();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    description.created_ns = since.map_or(0, |since| since.as_nanos() as u64);
    let access = old.access()?;
    let plan = Plan {
        description,
        mode: access.map_or(0o600, |access| access.mode),
        access,
        mapping: MappingOptions::default(),
        headroom: 0,
        opaque: schema.map(|schema| opaque::encode(&schema).into()),
        inside: Vec::new(),
    };
    let mut cursors = 0;
    let fill = |new: &segment::Memory| {
        cursors = restore_cursors(memory, &found, new);
        restore(memory, &found, new, std::process::id())
    };
    match segment::replace(location, &plan, fill) {
        Ok(true) => Ok(Recovered {
            first_sequence,
            next_sequence: found.next,
            messages: found.messages().count() as u64,
            given_up: found.given_up,
            cursors,
            schema_lost,
            boot,
        }),
        Ok(false) => Err(damaged()),
        Err(error) => Err(RecoverError::Create(error)),
    }
}
