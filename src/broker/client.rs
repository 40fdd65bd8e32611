//! Asking a broker for a ring.
//!
//! Layer 8. The connection stays open as long as the ring: that is how the broker knows that a row is
//! in use.

use super::error::ConnectError;
use super::wire::{ask, confirm, learn, Reply, Request};
use crate::endpoint::{Origin, Ring};
use crate::segment::{isolated, NameError, OpenError};
use crate::wait::Deadline;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{connect, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::path::Path;

impl Ring {
    /// Asks the broker at a socket for an isolated ring to read: one consumer or observer, which
    /// can neither write the stream, nor resize it, nor touch another reader, nor hold the producer
    /// back for longer than the ring allows. Waits for a producer until the deadline.
    ///
    /// After [`ProducerGone`](crate::ReceiveError::ProducerGone) the ring of the next producer,
    /// which goes on with the same sequences, is got by [`reconnect`](Self::reconnect).
    ///
    /// # Errors
    /// [`ConnectError`]: nobody listens, not this user, no row, no producer in time; or what was
    /// handed over is not sealed as it should be.
    pub fn connect(
        socket: impl AsRef<Path>,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, ConnectError> {
        Self::join(socket.as_ref(), "", 0, deadline.into())
    }

    /// As [`connect`](Self::connect), for the row that holds this durable cursor. Let go of a ring
    /// that was connected under the same name first.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`ConnectError::CursorInUse`].
    pub fn connect_cursor(
        socket: impl AsRef<Path>,
        name: &str,
        deadline: impl Into<Deadline>,
    ) -> Result<Self, ConnectError> {
        crate::segment::CursorName::new(name)
            .map_err(|error: NameError| ConnectError::Open(OpenError::Name(error)))?;
        Self::join(socket.as_ref(), name, 0, deadline.into())
    }

    /// Gives the ring back to its broker and waits for that of the next producer, under the same
    /// cursor if there was one. Let go of its handles, and of clones of the ring, first.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ConnectError::NoBroker`] if this ring came from none.
    pub fn reconnect(self, deadline: impl Into<Deadline>) -> Result<Self, ConnectError> {
        let Some(origin) = self.origin().cloned() else {
            return Err(ConnectError::NoBroker {
                path: self.path().to_owned(),
            });
        };
        drop(self);
        Self::join(
            &origin.socket,
            &origin.cursor,
            origin.stream,
            deadline.into(),
        )
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
        let granted = request(path, &Request::Produce, deadline.into())?;
        let Granted {
            connection, files, ..
        } = granted;
        let again = connection.try_clone().map_err(|source| ConnectError::Io {
            what: "keep the connection to",
            path: path.to_owned(),
            source,
        })?;
        let segment = isolated::write(files, Some(connection))?;
        confirm(&again).map_err(|e| io("answer", path, e))?;
        Ok(Self::from_segment(segment))
    }

    fn join(path: &Path, name: &str, after: u32, deadline: Deadline) -> Result<Self, ConnectError> {
        let wanted = Request::Read {
            name: name.to_owned(),
            after,
        };
        let granted = request(path, &wanted, deadline)?;
        let origin = Origin {
            socket: path.to_owned(),
            cursor: name.to_owned(),
            stream: granted.stream,
        };
        let segment = isolated::join(granted.files, granted.row, granted.connection)?;
        Ok(Self::from_segment(segment).with_origin(origin))
    }
}

/// What a broker handed out.
struct Granted {
    connection: OwnedFd,
    row: u32,
    stream: u32,
    files: Vec<OwnedFd>,
}

fn io(what: &'static str, path: &Path, error: Errno) -> ConnectError {
    ConnectError::Io {
        what,
        path: path.to_owned(),
        source: error.into(),
    }
}

/// Sends a request and waits for what it brings.
fn request(path: &Path, request: &Request, deadline: Deadline) -> Result<Granted, ConnectError> {
    let own = || path.to_owned();
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|e| io("make a socket for", path, e))?;
    let address = SocketAddrUnix::new(path).map_err(|_| ConnectError::NoBroker { path: own() })?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTSOCK | Errno::PROTOTYPE) => {
            return Err(ConnectError::NoBroker { path: own() })
        }
        Err(Errno::ACCESS | Errno::PERM) => return Err(ConnectError::Forbidden { path: own() }),
        Err(error) => return Err(io("connect to", path, error)),
    }
    ask(&socket, request).map_err(|e| io("ask", path, e))?;
    wait(&socket, path, deadline)?;
    match learn(&socket).map_err(|e| io("hear from", path, e))? {
        None => Err(ConnectError::Nonsense { path: own() }),
        Some((Reply::Granted { row, stream }, files)) => Ok(Granted {
            connection: socket,
            row,
            stream,
            files,
        }),
        Some((Reply::Forbidden, _)) => Err(ConnectError::Forbidden { path: own() }),
        Some((Reply::ProducerExists, _)) => Err(ConnectError::ProducerExists { path: own() }),
        Some((Reply::NoRow, _)) => Err(ConnectError::NoRow { path: own() }),
        Some((Reply::CursorInUse, _)) => Err(ConnectError::CursorInUse {
            name: match request {
                Request::Read { name, .. } => name.clone(),
                Request::Produce => String::new(),
            },
        }),
        Some((Reply::BadRequest, _)) => Err(ConnectError::Nonsense { path: own() }),
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
