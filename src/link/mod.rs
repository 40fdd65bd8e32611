//! Direct communication: one link for each pair of names, both directions.
//!
//! Layer 7. A link is two rings, one inside the other's directory; the side whose name sorts first
//! produces the outer one. On its board lies the pact (`ring::pact`) in which the two sides agree on
//! each other, so what is sent on a link is received on that link or never.

mod connect;
mod error;
#[cfg(feature = "async")]
mod event;
mod half;

pub use error::LinkError;
pub use half::{LinkReceiver, LinkSender};

use crate::attach::{shown, Attachment};
use crate::endpoint::{
    options, Ends, Incoming, Inside, Meeting, Message, Outgoing, Sealed, Source, StatusError,
};
use crate::layout::form::Form;
use crate::ring::pact::Side;
use crate::segment::{Location, Memory, OpenError};
use crate::wait::Deadline;
use std::path::{Path, PathBuf};

/// The ring inside.
const BACK: &str = "back";
/// The longest name of a process.
const LONGEST_NAME: usize = 31;

/// A link to one other process, in both directions.
///
/// # Guarantees
/// - There is one link for each pair of names. The process that connects first creates it, and a third
///   process is refused while the two live.
/// - Messages arrive once and in order. What was sent on a link is received on that link, or never: a
///   message of an earlier process of the same name is never received.
/// - When the other side leaves or dies, everything it sent is received first, and then
///   [`LinkError::PeerGone`]: within 100 ms of waiting, or 10 ms of calls that do not wait. `send` fails
///   with it at once if the other side left, and after its death within an eighth of the link's capacity,
///   or 100 ms while it waits for room.
/// - Sending and receiving make no system call unless a side sleeps, except one that asks whether the other
///   side is alive: every eighth of the capacity, and at most every 10 ms while `try_receive` finds
///   nothing.
///
/// # What others may change meanwhile
/// The other side sends, and leaves, at any time.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path().to_owned();
/// use slipring::link::LinkError;
/// use slipring::Link;
///
/// # let theirs = directory.clone();
/// let elsewhere = std::thread::spawn(move || { // in another process
///     let mut bob = Link::builder("bob", "alice").directory(&theirs).connect()?;
///     let greeting = bob.receive()?.to_vec();
///     bob.send(&greeting)?;
///     Ok::<(), LinkError>(())
/// });
///
/// let mut alice = Link::builder("alice", "bob").directory(&directory).connect()?;
/// alice.send(b"hello")?;
/// assert_eq!(&*alice.receive()?, b"hello");
/// # elsewhere.join().unwrap()?;
/// assert!(matches!(alice.receive(), Err(LinkError::PeerGone))); // Bob has left
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Link {
    outgoing: Outgoing,
    incoming: Incoming,
    meeting: Meeting,
    max_message_bytes: u32,
    path: PathBuf,
    options: LinkOptions,
}

options! {
    /// How a side of a link behaves. The strategy is used to wait for the other side, for room and for messages.
    LinkOptions { strategy }
}

shown!([] Link, "Link", |link| path = link.path(), peer_pid = link.peer_pid());

/// The settings of a link, and its state at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The processes on both sides; the side whose name sorts first comes first. `None` for one that is not there.
    pub sides: [Option<u32>; 2],
    /// The capacity of each direction, in bytes.
    pub capacity_bytes: u64,
    /// The largest message, in bytes.
    pub max_message_bytes: u32,
}

/// The settings of a link. Made by [`Link::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder connects nothing until `connect`"]
pub struct LinkBuilder {
    me: String,
    peer: String,
    directory: Option<PathBuf>,
    capacity: u64,
}

impl LinkBuilder {
    /// Sets the directory that holds links; the slipring directory by default.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets the capacity of each direction in bytes, as for a ring; 1 MiB by default. Only the process that
    /// connects first decides it.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    fn location(&self) -> Result<(Side, Location), LinkError> {
        let (side, name) = pair(&self.me, &self.peer)?;
        let location = match &self.directory {
            Some(directory) => Location::at(&directory.join(name)),
            None => Location::named(&name),
        };
        Ok((side, location.map_err(OpenError::from)?))
    }
}

/// Which side the first of two names has, and the name of the link between them.
fn pair(me: &str, peer: &str) -> Result<(Side, String), LinkError> {
    for name in [me, peer] {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(LinkError::Name { name: name.into() });
        }
    }
    match me.cmp(peer) {
        core::cmp::Ordering::Less => Ok((Side::First, format!("{me}..{peer}"))),
        core::cmp::Ordering::Greater => Ok((Side::Second, format!("{peer}..{me}"))),
        core::cmp::Ordering::Equal => Err(LinkError::Name { name: me.into() }),
    }
}

impl Link {
    /// Describes the link between this process, under the name `me`, and the one named `peer`. Names
    /// are 1 to 31 of `A-Z a-z 0-9 _ -`.
    pub fn builder(me: &str, peer: &str) -> LinkBuilder {
        LinkBuilder {
            me: me.into(),
            peer: peer.into(),
            directory: None,
            capacity: 1 << 20,
        }
    }

    /// Connects this process, under the name `me`, with the one named `peer`, and waits for it.
    ///
    /// # Errors
    /// As [`LinkBuilder::connect`].
    pub fn connect(me: &str, peer: &str) -> Result<Self, LinkError> {
        Self::builder(me, peer).connect()
    }

    /// Like [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// As [`LinkBuilder::connect`].
    pub fn connect_with(me: &str, peer: &str, options: LinkOptions) -> Result<Self, LinkError> {
        Self::builder(me, peer).connect_with(options)
    }

    /// Removes the link between two names from the slipring directory.
    ///
    /// # Errors
    /// [`LinkError::Remove`] while one of them is connected, or if what has their name is not a link.
    pub fn remove(one: &str, other: &str) -> Result<(), LinkError> {
        let (_, location) = Self::builder(one, other).location()?;
        Ok(crate::segment::remove(&location, Some(Form::Link), false)?)
    }

    /// Sends a message, waiting for room. Returns its number among all messages sent in this direction.
    ///
    /// # Errors
    /// [`LinkError::PeerGone`], [`LinkError::TooLarge`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        self.send_until(message, Deadline::NEVER)
    }

    /// Like [`send`](Self::send), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`LinkError::TimedOut`]; nothing was sent then.
    #[inline]
    pub fn send_until(
        &mut self,
        message: &[u8],
        deadline: impl Into<Deadline>,
    ) -> Result<u64, LinkError> {
        let deadline = deadline.into();
        Ok(self.outgoing.send(&self.meeting, message, deadline)?)
    }

    /// Like [`send`](Self::send), but only if there is room now.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`LinkError::Full`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<u64, LinkError> {
        Ok(self.outgoing.try_send(&self.meeting, message)?)
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// [`LinkError::PeerGone`] once everything the other side sent has been received.
    #[inline]
    pub fn receive(&mut self) -> Result<Message<'_>, LinkError> {
        self.receive_until(Deadline::NEVER)
    }

    /// Like [`receive`](Self::receive), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`LinkError::TimedOut`].
    #[inline]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Message<'_>, LinkError> {
        Ok(self.incoming.receive(&self.meeting, deadline.into())?)
    }

    /// Returns the next message, if it is there. At most every 10 ms, a call that finds none asks the
    /// kernel whether the other side is alive.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`LinkError::Empty`].
    #[inline]
    pub fn try_receive(&mut self) -> Result<Message<'_>, LinkError> {
        Ok(self.incoming.try_receive(&self.meeting)?)
    }

    /// Returns both directions apart, for two threads.
    #[inline]
    pub fn split(&mut self) -> (LinkSender<'_>, LinkReceiver<'_>) {
        (
            LinkSender::new(&mut self.outgoing, &self.meeting),
            LinkReceiver::new(&mut self.incoming, &self.meeting),
        )
    }

    /// Returns the settings, and the state at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`].
    pub fn status(&self) -> Result<LinkStatus, StatusError> {
        state(self.meeting.ring())
    }

    /// Returns the process on the other side, for display; 0 in a forked child.
    pub fn peer_pid(&self) -> u32 {
        self.meeting.other_pid()
    }

    /// Returns the size of the largest message, in bytes.
    pub fn max_message_bytes(&self) -> u32 {
        self.max_message_bytes
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Sealed for Link {}

impl Source for Link {
    fn memory(&self, _: Inside) -> &Memory {
        self.incoming.memory()
    }

    fn also(&self, _: Inside) -> Option<&Memory> {
        self.incoming.also(&self.meeting)
    }

    #[cfg(feature = "async")]
    fn room(&self, _: Inside) -> Option<&Memory> {
        Some(self.outgoing.room().0)
    }

    fn parks(&self) -> bool {
        self.incoming.parks()
    }

    fn reports(&mut self) -> bool {
        self.incoming.reports(&self.meeting, Ends::Anew)
    }

    fn reports_death(&mut self) -> bool {
        self.incoming.reports_death(&self.meeting, Ends::Anew)
    }
}

/// Returns the state of the link at a path, for a process that is no side of it.
///
/// # Errors
/// As [`Link::status`]; [`StatusError::Open`] if there is no link, or it cannot be opened.
pub fn link_status(path: impl AsRef<Path>) -> Result<LinkStatus, StatusError> {
    let location = Location::at(path.as_ref()).map_err(OpenError::from)?;
    state(&Attachment::open_form(
        &location,
        Default::default(),
        Form::Link,
    )?)
}

/// The state of the link whose outer ring this is.
fn state(ring: &Attachment) -> Result<LinkStatus, StatusError> {
    ring.looked_into(|| {
        Ok(LinkStatus {
            sides: Meeting::owners(ring),
            capacity_bytes: ring.capacity_bytes(),
            max_message_bytes: ring.max_message_bytes(),
        })
    })
}
