//! Mailboxes: letters that name their sender, requests and replies.
//!
//! Layer 7, on `queue`. A mailbox is a directory with a segment whose rows are its clients, a queue of
//! letters in it, and for each client that asks a queue of replies, named after its row. A request has a
//! number, which a word of the board holds while its client waits, so that a receiver does not send a reply
//! that no client waits for. A reply that still arrives late names a number or a tenure that is over. These
//! words are only hints: the client decides by the reply it reads, so no further protocol is needed.

mod board;
mod builder;
mod client;
mod error;
#[cfg(feature = "async")]
mod event;
mod letter;
mod outbox;
mod parameters;
mod receiver;
mod wire;

pub use crate::queue::ReceiverOptions;
pub use builder::MailboxBuilder;
pub use client::{MailboxClient, Reply};
pub use error::{ReplyError, RequestError};
pub use letter::Letter;
pub use outbox::Answer;
pub use receiver::MailboxReceiver;

use board::late_count;
use parameters::{Parameters, LETTERS};

use crate::attach::member;
use crate::attach::{shown, Attachment};
use crate::endpoint::{look_until, options, AttachError, Builder, Difference, StatusError};
use crate::layout::form::Form;
use crate::queue::{Queue, QueueStatus};
use crate::segment::{
    CreateError, CursorName, Location, MappingOptions, OpenError, Place, RemoveError,
};
use crate::sync::Ordering::Relaxed;
use crate::wait::Deadline;
use std::path::Path;

/// A mailbox this process has open. Cheap to clone.
///
/// # Guarantees
/// - A letter whose send returned goes to one receiver that acknowledges or answers it. If a receiver dies,
///   the letters it held are delivered again and marked as redelivered. The letters of one client arrive in
///   order.
/// - A request ends in exactly one of a reply, [`RequestError::PeerGone`], or [`RequestError::TimedOut`]. A
///   later reply is dropped and counted.
/// - A name has one client at a time. No reply reaches a later client than the one that asked.
///
/// # What others may change meanwhile
/// Clients and receivers come and go at any time, in any process of this user. The sizes never change.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("office");
/// use slipring::mailbox::RequestError;
/// use slipring::Mailbox;
/// use std::time::Duration;
///
/// let office = Mailbox::builder(&path).create()?;
/// let mut alice = office.client("alice")?;
/// alice.send(b"no answer needed")?;
///
/// let clerk = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     let mut desk = office.receiver()?; // mostly in another process
///     let letter = desk.receive()?;
///     assert_eq!((letter.sender(), &*letter), ("alice", &b"no answer needed"[..]));
///     letter.ack();
///     let letter = desk.receive()?;
///     let answer = letter.to_ascii_uppercase();
///     letter.reply(&answer)?;
///     Ok(())
/// });
///
/// let reply = alice.request_until(b"how are you?", Duration::from_secs(1))?;
/// assert_eq!(&*reply, b"HOW ARE YOU?");
/// drop(reply);
/// # clerk.join().unwrap().unwrap();
/// // The clerk has left, which a request notices within 100 ms.
/// let refused = alice.request_until(b"still there?", Duration::from_millis(1));
/// assert!(matches!(refused, Err(RequestError::PeerGone | RequestError::TimedOut)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Mailbox {
    attachment: Attachment,
    location: Location,
    letters: Queue,
}

options! {
    /// How a client of a mailbox behaves. The strategy is used both to wait for room and to wait for replies.
    ClientOptions { strategy }
}

shown!([] Mailbox, "Mailbox", |mailbox| path = mailbox.path());

/// The settings of a mailbox, and its content at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStatus {
    /// The letters.
    pub letters: QueueStatus,
    /// The largest letter and the largest reply, in bytes.
    pub max_message_bytes: u32,
    /// Whether there are no replies.
    pub one_way: bool,
    /// The names of the clients that are alive.
    pub clients: Vec<String>,
    /// Replies that came too late since the mailbox was made, and were dropped.
    pub late: u64,
}

impl Mailbox {
    /// Describes a new mailbox at a place: a name in the slipring directory, or a path.
    pub fn builder(place: impl Into<Place>) -> MailboxBuilder {
        let place = place.into();
        MailboxBuilder::new(Builder::of(&place), place.location())
    }

    /// Opens the mailbox at a place.
    ///
    /// # Errors
    /// [`OpenError`], as for a ring.
    pub fn open(place: impl Into<Place>) -> Result<Self, OpenError> {
        Self::open_location(place.into().location()?)
    }

    /// Like [`open`](Self::open), waiting until there is a mailbox at the place, at most until a deadline.
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

    fn open_location(location: Location) -> Result<Self, OpenError> {
        let attachment =
            Attachment::open_form(&location, MappingOptions::default(), Form::Mailbox)?;
        let letters = Queue::open_location(location.child(LETTERS));
        // Asked after the queue was opened: it belongs to this mailbox then.
        let in_place = attachment.in_place();
        in_place.map_err(|error| error.looked_for(Form::Mailbox))?;
        let letters = letters.map_err(|error| match error {
            OpenError::NotFound { .. } => OpenError::Untrusted {
                path: attachment.path().to_owned(),
                why: "its queue of letters is missing: make it again with create_or_open, or remove the mailbox",
            },
            error => error,
        })?;
        Ok(Self {
            attachment,
            location,
            letters,
        })
    }

    /// The mailbox that was created or opened together with the queue in it.
    fn of(
        attachment: Attachment,
        inside: Vec<Attachment>,
        location: Location,
    ) -> Result<Self, CreateError> {
        let letters = inside.into_iter().next();
        let missing = || OpenError::not_found(location.child(LETTERS).path());
        let letters = Queue::opened(letters.ok_or_else(missing)?, &location, LETTERS);
        Ok(Self {
            attachment,
            location,
            letters,
        })
    }

    /// Removes the mailbox at a place, with everything in it.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] while a process is attached.
    /// [`OpenError::Form`] if it is not a mailbox.
    pub fn remove(place: impl Into<Place>) -> Result<(), RemoveError> {
        Attachment::remove_form(place.into(), Form::Mailbox)
    }

    /// Becomes a client under a name, to send letters and to ask.
    ///
    /// # Errors
    /// [`AttachError::CursorInUse`] while a live process has the name; [`AttachError::NoRow`] if there
    /// are as many clients as there can be.
    pub fn client(&self, name: &str) -> Result<MailboxClient, AttachError> {
        self.client_with(name, ClientOptions::default())
    }

    /// Like [`client`](Self::client), with options.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn client_with(
        &self,
        name: &str,
        options: ClientOptions,
    ) -> Result<MailboxClient, AttachError> {
        MailboxClient::attach(self, CursorName::new(name)?, options)
    }

    /// Becomes a receiver of letters.
    ///
    /// # Errors
    /// [`AttachError::NoRow`] if there are as many receivers as there can be.
    pub fn receiver(&self) -> Result<MailboxReceiver, AttachError> {
        self.receiver_with(ReceiverOptions::default())
    }

    /// Like [`receiver`](Self::receiver), with options.
    ///
    /// # Errors
    /// As [`receiver`](Self::receiver).
    pub fn receiver_with(&self, options: ReceiverOptions) -> Result<MailboxReceiver, AttachError> {
        MailboxReceiver::attach(self, options)
    }

    /// Returns the size of the largest letter and of the largest reply, in bytes.
    pub fn max_message_bytes(&self) -> u32 {
        Parameters::of(&self.attachment).message_bytes
    }

    /// Returns `true` if there are no replies.
    pub fn is_one_way(&self) -> bool {
        Parameters::of(&self.attachment).one_way
    }

    /// Returns how an existing object differs from what `create_or_open` asked for: see
    /// [`Ring::differences`](crate::Ring::differences).
    pub fn differences(&self) -> &[Difference] {
        self.attachment.differences()
    }

    /// Returns `true` once the mailbox was removed, as [`Ring::is_removed`](crate::Ring::is_removed).
    pub fn is_removed(&self) -> bool {
        self.attachment.is_removed()
    }

    /// Returns the path of its directory, for logs and error texts.
    pub fn path(&self) -> &Path {
        self.attachment.path()
    }

    /// Returns the settings, and the content at some moment during the call.
    ///
    /// # Errors
    /// [`StatusError::Forked`], [`StatusError::Poisoned`], [`StatusError::Removed`]; [`StatusError::Open`] if a lane
    /// cannot be opened.
    pub fn status(&self) -> Result<MailboxStatus, StatusError> {
        self.attachment.looked_into(|| {
            Ok(MailboxStatus {
                letters: self.letters.status()?,
                max_message_bytes: self.max_message_bytes(),
                one_way: self.is_one_way(),
                clients: member::names(&self.attachment),
                late: late_count(&self.attachment).map_or(0, |count| count.load(Relaxed)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::GeometryError;

    #[test]
    fn parameters_survive_the_description() {
        let scratch = tempfile::tempdir().unwrap();
        let builder = Mailbox::builder(scratch.path().join("m"));
        let builder = builder
            .depth(5)
            .max_message_bytes(77)
            .max_receivers(3)
            .one_way();
        let mailbox = builder.create().unwrap();
        let expected = Parameters {
            depth: 8,
            message_bytes: 77,
            receivers: 3,
            one_way: true,
        };
        assert_eq!(Parameters::of(&mailbox.attachment), expected);
    }

    /// What is asked for is made or refused, and not made another.
    #[test]
    fn depths_are_rounded_up_or_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let max = 1 << 16;
        for (depth, made) in [
            (0, None),
            (1, Some(2)),
            (2, Some(2)),
            (3, Some(4)),
            (max - 1, Some(max)),
            (max, Some(max)),
            (max + 1, None),
            (u32::MAX, None),
        ] {
            let queue = Queue::builder(scratch.path().join("q"));
            let queue = queue.depth(depth).max_message_bytes(8).create();
            let mailbox = Mailbox::builder(scratch.path().join("m"));
            let mailbox = mailbox.depth(depth).max_message_bytes(8).create();
            let refused = |error| match error {
                CreateError::Geometry(GeometryError::Depth { depth: of, max: to }) => {
                    assert_eq!((of, to), (depth, max));
                }
                error => panic!("{depth}: {error}"),
            };
            match made {
                Some(made) => {
                    assert_eq!(queue.unwrap().depth(), made);
                    assert_eq!(Parameters::of(&mailbox.unwrap().attachment).depth, made);
                    remove_both(&scratch);
                }
                None => {
                    refused(queue.err().unwrap());
                    refused(mailbox.err().unwrap());
                }
            }
        }
    }

    fn remove_both(scratch: &tempfile::TempDir) {
        Queue::remove(scratch.path().join("q")).unwrap();
        Mailbox::remove(scratch.path().join("m")).unwrap();
    }
}
