//! Asking a broker for a ring.
//!
//! Layer 8. The connection stays open as long as the ring: that is how the broker knows that a row is
//! in use.

use super::error::ConnectError;
use super::wire::{ask, confirm, learn, Learned, Reply, Request, MANNERS};
use crate::attach::{Attachment, Origin};
use crate::endpoint::Ring;
use crate::segment::{isolated, NameError, OpenError};
use crate::wait::Deadline;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{connect, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

impl Ring {
    /// Asks the broker at a socket for an isolated ring to read: one consumer or observer, which
    /// can neither write the stream, nor resize it, nor touch another reader, nor hold the producer
    /// back for longer than the ring allows. Waits for a producer until the deadline.
    ///
    /// After [`ProducerGone`](crate::endpoint::ReceiveError::ProducerGone), call [`reconnect`](Self::reconnect) to
    /// get the ring of the next producer. Its sequences continue.
    ///
    /// # Errors
    /// [`ConnectError`]: no broker, this user is not let in, no row, no producer in time; or the files that
    /// were handed over are not sealed as they should be.
    pub fn connect(
        socket: impl AsRef<Path>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, ConnectError> {
        let path = socket.as_ref().to_owned();
        Self::join(Origin::new(path, ""), deadline.into())
    }

    /// Like [`connect`](Self::connect), for a row that holds this durable cursor. Drop a ring that was
    /// connected under the same name first. Each user has its own names.
    ///
    /// The broker keeps the cursor while no reader uses it, across producers, until
    /// [`forget_cursor_via`](Self::forget_cursor_via). A restarted broker has no cursors.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), [`ConnectError::CursorInUse`], and [`ConnectError::CursorLimit`]: a
    /// user can have 64.
    pub fn connect_cursor(
        socket: impl AsRef<Path>,
        name: &str,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, ConnectError> {
        crate::segment::CursorName::new(name)
            .map_err(|error: NameError| ConnectError::Open(OpenError::Name(error)))?;
        let path = socket.as_ref().to_owned();
        Self::join(Origin::new(path, name), deadline.into())
    }

    /// Asks the broker at a socket to forget a durable cursor: this user's, or another user's, which only
    /// the broker's own user and root may ask. Returns `true` if there was one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`ConnectError::CursorInUse`] while a reader uses it. After
    /// [`ConnectError::TimedOut`] the broker may be about to forget it.
    pub fn forget_cursor_via(
        socket: impl AsRef<Path>,
        name: &str,
        user: Option<u32>,
        deadline: impl Into<Deadline>,
    ) -> Result<bool, ConnectError> {
        crate::segment::CursorName::new(name)
            .map_err(|error: NameError| ConnectError::Open(OpenError::Name(error)))?;
        let wanted = Request::Forget {
            name: name.to_owned(),
            user,
        };
        let path = socket.as_ref();
        match request(path, &wanted, deadline.into())? {
            (Reply::Forgotten { existed }, ..) => Ok(existed),
            _ => Err(ConnectError::Nonsense {
                path: path.to_owned(),
            }),
        }
    }

    /// Gives the ring back to its broker and waits for that of the next producer, under the same cursor if
    /// there was one. Drop its handles and all clones of the ring first.
    ///
    /// If the broker was restarted meanwhile, this is the new broker's ring: it has another
    /// [`id`](Self::id), its sequences start again, and it has no cursors of the old one. Begin at
    /// [`Start::Oldest`](crate::Start::Oldest) then.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ConnectError::NoBroker`] if this ring came from none.
    pub fn reconnect(self, deadline: impl Into<Deadline>) -> Result<Self, ConnectError> {
        let Some(origin) = self.object().origin().cloned() else {
            return Err(ConnectError::NoBroker {
                path: self.path().to_owned(),
            });
        };
        drop(self);
        Self::join(origin, deadline.into())
    }

    /// Asks the broker at a socket to be the producer of its isolated ring. From then on no other
    /// process can ever write this stream, the broker included.
    ///
    /// # Errors
    /// [`ConnectError`], among them [`ConnectError::ProducerExists`].
    pub fn connect_producer(
        socket: impl AsRef<Path>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, ConnectError> {
        let path = socket.as_ref();
        let deadline = deadline.into();
        let (Reply::Granted { .. }, connection, files) =
            request(path, &Request::Produce, deadline)?
        else {
            return Err(nonsense(path));
        };
        let again = connection.try_clone().map_err(|source| ConnectError::Io {
            what: "keep the connection to",
            path: path.to_owned(),
            source,
        })?;
        let segment = isolated::write(files, Some(connection))?;
        confirm(&again).map_err(|e| match e {
            Errno::PIPE | Errno::CONNRESET => gone(path),
            e => io("answer", path, e),
        })?;
        Ok(Self::of(Attachment::from_segment(segment)))
    }

    /// Joins a later stream than that of the origin.
    fn join(mut origin: Origin, deadline: Deadline) -> Result<Self, ConnectError> {
        let wanted = Request::Read {
            name: origin.cursor.clone(),
            after: origin.stream,
            ring: origin.ring,
        };
        let path = &origin.socket;
        let (Reply::Granted { row, stream, ring }, connection, files) =
            request(path, &wanted, deadline)?
        else {
            return Err(nonsense(path));
        };
        let segment = isolated::join(files, row, connection)?;
        (origin.stream, origin.ring) = (stream, ring);
        let object = Attachment::from_segment(segment);
        Ok(Self::of(object.with_origin(origin)))
    }
}

fn io(what: &'static str, path: &Path, error: Errno) -> ConnectError {
    ConnectError::Io {
        what,
        path: path.to_owned(),
        source: error.into(),
    }
}

fn nonsense(path: &Path) -> ConnectError {
    ConnectError::Nonsense {
        path: path.to_owned(),
    }
}

fn gone(path: &Path) -> ConnectError {
    ConnectError::NoBroker {
        path: path.to_owned(),
    }
}

/// How often the client retries while the broker has no room for another connection.
const AGAIN: Duration = Duration::from_millis(1);

/// Connects to a broker. If the broker accepts nothing, because it is stopped or flooded, the client
/// retries until the deadline.
fn dial(path: &Path, deadline: Deadline) -> Result<OwnedFd, ConnectError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|e| io("make a socket for", path, e))?;
    let address = SocketAddrUnix::new(path).map_err(|_| gone(path))?;
    loop {
        return match connect(&socket, &address) {
            Ok(()) => Ok(socket),
            Err(Errno::AGAIN) if deadline.passed() => Err(ConnectError::TimedOut {
                path: path.to_owned(),
            }),
            Err(Errno::AGAIN) => {
                std::thread::sleep(AGAIN);
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTSOCK | Errno::PROTOTYPE) => {
                Err(gone(path))
            }
            Err(Errno::ACCESS | Errno::PERM) => Err(ConnectError::Forbidden {
                path: path.to_owned(),
            }),
            Err(error) => Err(io("connect to", path, error)),
        };
    }
}

/// Sends a request and waits for the result: a reply that is no refusal, the connection, and the
/// descriptors that came with the reply. Connects anew where the request came too late for the broker.
fn request(
    path: &Path,
    request: &Request,
    deadline: Deadline,
) -> Result<(Reply, OwnedFd, Vec<OwnedFd>), ConnectError> {
    let (reply, socket, files) = loop {
        let dialled = Instant::now();
        let socket = dial(path, deadline)?;
        match ask(&socket, request) {
            // A broker that refused before it read the request has answered too.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
            Err(error) => return Err(io("ask", path, error)),
        }
        // If this process did not run in between, the broker has given it up as one that says nothing.
        let late = dialled.elapsed() >= MANNERS;
        match hear(&socket, path, deadline) {
            Ok((Reply::Busy, _)) | Err(ConnectError::NoBroker { .. }) if late => {}
            heard => {
                let (reply, files) = heard?;
                break (reply, socket, files);
            }
        }
    };
    let own = || path.to_owned();
    Err(match reply {
        Reply::Granted { .. } | Reply::Forgotten { .. } => return Ok((reply, socket, files)),
        Reply::Forbidden => ConnectError::Forbidden { path: own() },
        Reply::ProducerExists => ConnectError::ProducerExists { path: own() },
        Reply::NoRow => ConnectError::NoRow { path: own() },
        Reply::RowLimit { rows } => ConnectError::RowLimit { path: own(), rows },
        Reply::CursorInUse => ConnectError::CursorInUse {
            name: match request {
                Request::Read { name, .. } | Request::Forget { name, .. } => name.clone(),
                Request::Produce => String::new(),
            },
        },
        Reply::CursorLimit { cursors, oldest } => ConnectError::CursorLimit {
            path: own(),
            cursors,
            oldest: oldest.map_or(String::new(), |name| name.to_string()),
        },
        Reply::Busy => ConnectError::Busy { path: own() },
        Reply::Exhausted { errno } => ConnectError::Exhausted {
            path: own(),
            source: std::io::Error::from_raw_os_error(errno),
        },
        Reply::BadRequest => nonsense(path),
    })
}

/// The reply of a broker that was asked.
fn hear(
    socket: &OwnedFd,
    path: &Path,
    deadline: Deadline,
) -> Result<(Reply, Vec<OwnedFd>), ConnectError> {
    loop {
        wait(socket, path, deadline)?;
        match learn(socket) {
            Ok(Learned::Reply(reply, files)) => return Ok((reply, files)),
            Ok(Learned::Nothing) => return Err(gone(path)),
            Ok(Learned::Nonsense) => return Err(nonsense(path)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(io("hear from", path, error)),
        }
    }
}

fn wait(socket: &OwnedFd, path: &Path, deadline: Deadline) -> Result<(), ConnectError> {
    loop {
        let left = deadline
            .remaining()
            .and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) if deadline.passed() => {
                return Err(ConnectError::TimedOut {
                    path: path.to_owned(),
                })
            }
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(io("wait for", path, error)),
        }
    }
}
