//! Numbered signals to one named listener, or to all of them.
//!
//! Layer 7. A segment without messages: a listener holds a row with its name in it, and the board counts
//! (`ring::pending`).

mod error;
#[cfg(feature = "async")]
mod event;
mod listener;
mod target;

pub use error::SignalError;
pub use listener::{Background, Listener, Noticed};
pub use target::Target;

use crate::attach::member;
use crate::attach::{shown, Attachment};
use crate::endpoint::{look_until, options, AttachError, Builder, Difference, StatusError};
use crate::layout::form::Form;
use crate::ring::pending::{board_words, broadcast, SIGNALS};
use crate::segment::{
    CreateError, CursorName, Location, MappingOptions, OpenError, Place, RemoveError, Trouble,
};
use crate::wait::{Deadline, Since, Waker};
use core::ops::BitOr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A signals object, through which processes signal each other. Cheap to open; sending needs no row.
///
/// # Guarantees
/// - A signal whose send returned stays until its listener notices it, or dies.
/// - Signals of one number are counted, not queued: a signal that was sent several times before it was
///   noticed is noticed once, with the count.
/// - What a sender did before it sent is visible to the listener that notices the signal.
/// - A name has one listener at a time; a signal never reaches a later listener of the name, or of the
///   row, than the one it was sent to.
/// - Sending makes no system call unless a listener sleeps.
///
/// # What others may change meanwhile
/// Listeners come and go.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("control");
/// use slipring::signals::SignalSet;
/// use slipring::Signals;
/// use std::time::Duration;
///
/// let control = Signals::builder(&path).create()?;
/// let mut engine = control.listener("engine")?; // in another process
///
/// const RELOAD: u32 = 1;
/// const STOP: u32 = 9;
/// let mut to_engine = control.target("engine")?;
/// to_engine.send(RELOAD)?;
/// to_engine.send(RELOAD)?;
/// control.broadcast(STOP)?;
///
/// let noticed = engine.wait_until(SignalSet::ALL, Duration::from_secs(1))?;
/// assert_eq!((noticed.signal, noticed.count), (RELOAD, 2));
/// assert_eq!(engine.try_wait(SignalSet::of(STOP))?.map(|n| n.signal), Some(STOP));
/// assert_eq!(engine.try_wait(SignalSet::ALL)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Signals {
    attachment: Attachment,
    waker: Mutex<(Waker, Since)>,
}

options! {
    /// How a listener behaves.
    ListenerOptions { strategy }
}

shown!([] Signals, "Signals", |signals| path = signals.path());

/// The settings of a new signals object. Made by [`Signals::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder creates nothing until `create`"]
pub struct SignalsBuilder {
    inner: Builder,
    listeners: u32,
}

/// The state of a signals object at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalsStatus {
    /// The names of the listeners that are alive, in order.
    pub listeners: Vec<String>,
    /// Listeners that can be attached at once.
    pub max_listeners: u32,
}

/// Some of the 64 signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const NONE: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of one signal, from 0 to 63; empty for any other number.
    pub const fn of(signal: u32) -> Self {
        if signal < SIGNALS {
            Self(1 << signal)
        } else {
            Self(0)
        }
    }

    /// Returns the union of the two sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns `true` if the set contains this signal.
    pub const fn contains(self, signal: u32) -> bool {
        signal < SIGNALS && self.0 >> signal & 1 != 0
    }
}

impl BitOr for SignalSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl SignalsBuilder {
    /// Sets how many listeners can be attached at once; 32 by default, 1 to 1024.
    pub fn max_listeners(mut self, listeners: u32) -> Self {
        self.listeners = listeners;
        self
    }

    /// Sets who may send and listen, as the permission bits of a file; `0o600` by default. For group and
    /// others that takes both reading and writing.
    pub fn mode(mut self, mode: u32) -> Self {
        self.inner = self.inner.mode(mode);
        self
    }

    /// Creates the signals object and opens it.
    ///
    /// # Errors
    /// [`CreateError`], as for a ring.
    pub fn create(self) -> Result<Signals, CreateError> {
        Ok(Signals::of(self.described().make()?))
    }

    /// Opens the signals object if it exists, else creates it.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Signals, CreateError> {
        Ok(Signals::of(self.described().make_or_open()?))
    }

    fn described(self) -> Builder {
        let board = board_words(self.listeners.min(1024));
        self.inner
            .capacity_bytes(4096)
            .max_readers(self.listeners)
            .form(Form::Signals, board, [u64::from(SIGNALS), 0])
    }
}

impl Signals {
    /// Describes a new signals object at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> SignalsBuilder {
        SignalsBuilder {
            inner: Builder::of(place),
            listeners: 32,
        }
    }

    /// Opens the signals object at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_location(&place.into().location()?)
    }

    /// Like [`open`](Self::open), waiting until there is a signals object at the place, at most until a deadline.
    ///
    /// # Errors
    /// As [`open`](Self::open). [`OpenError::NotFound`] comes only at the deadline, every other error at once.
    pub fn open_until(
        place: impl Into<Place>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, OpenError> {
        let place = place.into();
        look_until(&place, deadline.into(), || Self::open(&place))
    }

    fn open_location(location: &Location) -> Result<Self, OpenError> {
        let mapping = MappingOptions::default();
        Ok(Self::of(Attachment::open_form(
            location,
            mapping,
            Form::Signals,
        )?))
    }

    fn of(attachment: Attachment) -> Self {
        Self {
            attachment,
            waker: Mutex::default(),
        }
    }

    /// Removes the signals object at a place.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a listener is attached.
    /// [`OpenError::Form`] if it is not a signals object.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Signals)
    }

    /// Listens under a name.
    ///
    /// # Errors
    /// [`AttachError::CursorInUse`] while a live process listens under the name; [`AttachError::NoRow`] if
    /// there are as many listeners as there can be.
    pub fn listener(&self, name: &str) -> Result<Listener, AttachError> {
        self.listener_with(name, ListenerOptions::default())
    }

    /// Like [`listener`](Self::listener), with options.
    ///
    /// # Errors
    /// As [`listener`](Self::listener).
    pub fn listener_with(
        &self,
        name: &str,
        options: ListenerOptions,
    ) -> Result<Listener, AttachError> {
        Listener::attach(&self.attachment, CursorName::new(name)?, options)
    }

    /// Returns the listener that has a name now, to send it signals.
    ///
    /// # Errors
    /// [`SignalError::NoListener`] if no live process listens under the name.
    pub fn target(&self, name: &str) -> Result<Target, SignalError> {
        Target::find(&self.attachment, name)
    }

    /// Sends a signal to all present listeners.
    ///
    /// # Errors
    /// [`SignalError::Number`], [`SignalError::Forked`], [`SignalError::Poisoned`];
    /// [`SignalError::Removed`] if the object was removed more than 10 milliseconds ago.
    pub fn broadcast(&self, signal: u32) -> Result<(), SignalError> {
        undisturbed(&self.attachment)?;
        checked(signal)?;
        let mut state = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let (waker, asked) = &mut *state;
        if asked.due() {
            if let Some(trouble) = self.attachment.trouble() {
                *asked = Since::default();
                return Err(trouble.into());
            }
        }
        let memory = self.attachment.segment().reader();
        broadcast(memory, signal);
        if let Some(control) = memory.control() {
            waker.ring(&control.data);
        }
        Ok(())
    }

    /// Returns `true` once the object was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.attachment.is_removed()
    }

    /// Returns the state at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<SignalsStatus, StatusError> {
        self.attachment.looked_into(|| {
            Ok(SignalsStatus {
                listeners: member::names(&self.attachment),
                max_listeners: self.attachment.max_readers(),
            })
        })
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.attachment.differences()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.attachment.path()
    }
}

fn checked(signal: u32) -> Result<(), SignalError> {
    if signal < SIGNALS {
        Ok(())
    } else {
        Err(SignalError::Number { signal })
    }
}

fn undisturbed(attachment: &Attachment) -> Result<(), SignalError> {
    let canary = attachment.canary();
    if !canary.disturbed() {
        Ok(())
    } else if canary.forked() {
        Err(SignalError::Forked)
    } else if attachment.trouble() == Some(Trouble::Poisoned) {
        Err(SignalError::Poisoned)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_has_the_signals_of_both_sets() {
        const BOTH: SignalSet = SignalSet::of(1).union(SignalSet::of(9));
        assert_eq!(BOTH, SignalSet::of(1) | SignalSet::of(9));
        let found: Vec<u32> = (0..SIGNALS)
            .filter(|signal| BOTH.contains(*signal))
            .collect();
        assert_eq!(found, [1, 9]);
        assert_eq!(BOTH.union(SignalSet::NONE), BOTH);
    }
}
