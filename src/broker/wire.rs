//! The messages on the broker's socket: one request, one reply with descriptors, one confirmation.
//!
//! Each is one datagram of a fixed size on a sequenced-packet socket. Any other datagram is an error of its
//! sender.

use crate::segment::CursorName;
use rustix::io::Errno;
use rustix::net::{
    recvmsg, send, sendmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Begins every request; the last byte is the version.
const MAGIC: [u8; 8] = *b"SLIPBRK2";
/// The confirmation of a producer that has sealed the stream.
const SEALED: [u8; 8] = *b"SEALED\0\0";
/// How long a client may take to send its request, and to read a refusal.
pub const MANNERS: Duration = Duration::from_secs(1);
/// The most descriptors a message carries: a stream and every row.
const MAX_FILES: usize = 1 + crate::segment::isolated::MAX_SEATS as usize;
/// Bytes of a name, filled up with zero bytes.
const NAME: usize = 64;

/// What a client asks the broker for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The right to write the stream.
    Produce,
    /// The right to read it.
    Read {
        /// The name of a durable cursor, or nothing.
        name: String,
        /// Only a later stream than this one of this ring; any stream if the broker has another ring.
        after: u32,
        /// The ring's identity; zero for none.
        ring: u128,
    },
    /// To forget a durable cursor.
    Forget {
        /// Its name.
        name: String,
        /// The user it belongs to, if not the client's own.
        user: Option<u32>,
    },
}

impl Request {
    const BYTES: usize = 8 + 8 + 16 + NAME;

    fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (role, other, number, ring, name) = match self {
            Self::Produce => (1, 0, 0, 0, ""),
            Self::Read { name, after, ring } => (2, 0, *after, *ring, name.as_str()),
            Self::Forget { name, user } => {
                let other = u8::from(user.is_some());
                (3, other, user.unwrap_or(0), 0, name.as_str())
            }
        };
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = role;
        bytes[9] = other;
        bytes[12..16].copy_from_slice(&number.to_le_bytes());
        bytes[16..32].copy_from_slice(&ring.to_le_bytes());
        bytes[32..32 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    /// Total: any bytes give a request or `None`.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        if bytes[..8] != MAGIC || bytes[10..12] != [0; 2] {
            return None;
        }
        let name = text(bytes[32..].try_into().ok()?)?;
        let number = u32::from_le_bytes(bytes[12..16].try_into().ok()?);
        let ring = u128::from_le_bytes(bytes[16..32].try_into().ok()?);
        match (bytes[8], bytes[9]) {
            (1, 0) if name.is_empty() && number == 0 && ring == 0 => Some(Self::Produce),
            (2, 0) => Some(Self::Read {
                name,
                after: number,
                ring,
            }),
            (3, 0) if number == 0 && ring == 0 => Some(Self::Forget { name, user: None }),
            (3, 1) if ring == 0 => Some(Self::Forget {
                name,
                user: Some(number),
            }),
            _ => None,
        }
    }
}

/// The text in front of zero bytes.
fn text(bytes: &[u8; NAME]) -> Option<String> {
    let len = bytes.iter().position(|b| *b == 0).unwrap_or(NAME);
    if bytes[len..].iter().any(|b| *b != 0) {
        return None;
    }
    core::str::from_utf8(&bytes[..len]).ok().map(str::to_owned)
}

/// What the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The descriptors come with it; for a reader, those of this row.
    Granted {
        /// Which row; meaningless to a producer.
        row: u32,
        /// Which stream, counted from 1.
        stream: u32,
        /// The identity of the broker's ring, which is new after a restart of the broker.
        ring: u128,
    },
    /// This user is not let in.
    Forbidden,
    /// There is a producer.
    ProducerExists,
    /// Every row is taken, or was another user's.
    NoRow,
    /// A live process uses the cursor.
    CursorInUse,
    /// The request is invalid.
    BadRequest,
    /// The user has as many rows as one user can have.
    RowLimit {
        /// How many.
        rows: u32,
    },
    /// The user has as many cursors as one user can have.
    CursorLimit {
        /// How many.
        cursors: u32,
        /// The one that has been away for the longest time, if any is away.
        oldest: Option<CursorName>,
    },
    /// The user has as many connections as are served, or was silent for too long.
    Busy,
    /// The kernel refused the broker a resource that the request needs.
    Exhausted {
        /// The kernel's reason.
        errno: i32,
    },
    /// The cursor is forgotten.
    Forgotten {
        /// Whether there was one.
        existed: bool,
    },
}

impl Reply {
    const BYTES: usize = 16 + 16 + NAME;

    fn encode(self) -> [u8; Self::BYTES] {
        let (mut ring, mut name) = (0, [0; 8]);
        let (status, a, b): (u32, u32, u32) = match self {
            Self::Granted {
                row,
                stream,
                ring: id,
            } => {
                ring = id;
                (0, row, stream)
            }
            Self::Forbidden => (1, 0, 0),
            Self::ProducerExists => (2, 0, 0),
            Self::NoRow => (3, 0, 0),
            Self::CursorInUse => (4, 0, 0),
            Self::BadRequest => (5, 0, 0),
            Self::RowLimit { rows } => (6, rows, 0),
            Self::CursorLimit { cursors, oldest } => {
                name = oldest.map_or(name, CursorName::words);
                (7, cursors, 0)
            }
            Self::Busy => (8, 0, 0),
            Self::Exhausted { errno } => (9, errno as u32, 0),
            Self::Forgotten { existed } => (10, u32::from(existed), 0),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&status.to_le_bytes());
        bytes[4..8].copy_from_slice(&a.to_le_bytes());
        bytes[8..12].copy_from_slice(&b.to_le_bytes());
        bytes[16..32].copy_from_slice(&ring.to_le_bytes());
        for (bytes, word) in bytes[32..].chunks_exact_mut(8).zip(name) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (a, b) = (word(4), word(8));
        Some(match word(0) {
            0 => Self::Granted {
                row: a,
                stream: b,
                ring: u128::from_le_bytes(bytes[16..32].try_into().ok()?),
            },
            1 => Self::Forbidden,
            2 => Self::ProducerExists,
            3 => Self::NoRow,
            4 => Self::CursorInUse,
            5 => Self::BadRequest,
            6 => Self::RowLimit { rows: a },
            7 => Self::CursorLimit {
                cursors: a,
                oldest: match text(bytes[32..].try_into().ok()?)?.as_str() {
                    "" => None,
                    name => Some(CursorName::new(name).ok()?),
                },
            },
            8 => Self::Busy,
            9 => Self::Exhausted { errno: a as i32 },
            10 => Self::Forgotten { existed: a != 0 },
            _ => return None,
        })
    }
}

/// Sends a request.
pub fn ask(socket: &OwnedFd, request: &Request) -> Result<(), Errno> {
    send(socket, &request.encode(), SendFlags::NOSIGNAL).map(|_| ())
}

/// Sends the confirmation that the stream is sealed.
pub fn confirm(socket: &OwnedFd) -> Result<(), Errno> {
    send(socket, &SEALED, SendFlags::NOSIGNAL).map(|_| ())
}

/// Returns `true` if a datagram is the confirmation.
pub fn is_confirmation(bytes: &[u8]) -> bool {
    bytes == SEALED
}

/// Sends a reply with descriptors.
pub fn answer(socket: &OwnedFd, reply: Reply, files: &[OwnedFd]) -> Result<(), Errno> {
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::TOOBIG);
    }
    let bytes = reply.encode();
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map(|_| ())
}

/// Receives one datagram. Returns how many bytes it had; zero at the end. Descriptors that come with it are
/// closed.
pub fn hear(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    Ok(recvmsg(socket, &mut parts, &mut control, flags)?.bytes)
}

/// The answer to a client's request.
#[derive(Debug)]
pub enum Learned {
    /// The answer, and the descriptors that came with it.
    Reply(Reply, Vec<OwnedFd>),
    /// The other side is gone without an answer.
    Nothing,
    /// Bytes that no broker sends.
    Nonsense,
}

/// Receives the reply and its descriptors.
pub fn learn(socket: &OwnedFd) -> Result<Learned, Errno> {
    let mut bytes = [0; Reply::BYTES + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut receive = || {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    };
    let message = match receive() {
        // A broker that answered and closed before it read the request. The kernel says so once, and
        // then gives the answer.
        Err(Errno::CONNRESET | Errno::PIPE) => receive(),
        result => result,
    };
    let message = match message {
        Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Learned::Nothing),
        result => result?,
    };
    let mut files = Vec::new();
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            files.extend(received);
        }
    }
    if message.bytes == 0 {
        return Ok(Learned::Nothing);
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel drops descriptors that this process has no room for.
        return Err(Errno::MFILE);
    }
    let reply = bytes.get(..message.bytes).and_then(Reply::decode);
    Ok(reply.map_or(Learned::Nonsense, |reply| Learned::Reply(reply, files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_survive_the_wire() {
        let name = "x".repeat(64);
        for request in [
            Request::Produce,
            Request::Read {
                name: String::new(),
                after: 0,
                ring: 0,
            },
            Request::Read {
                name: name.clone(),
                after: 7,
                ring: u128::MAX - 3,
            },
            Request::Forget {
                name: name.clone(),
                user: None,
            },
            Request::Forget {
                name: name.clone(),
                user: Some(0),
            },
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for reply in [
            Reply::Granted {
                row: 7,
                stream: 9,
                ring: u128::MAX - 3,
            },
            Reply::Forbidden,
            Reply::ProducerExists,
            Reply::NoRow,
            Reply::CursorInUse,
            Reply::BadRequest,
            Reply::RowLimit { rows: 8 },
            Reply::CursorLimit {
                cursors: 64,
                oldest: None,
            },
            Reply::CursorLimit {
                cursors: 64,
                oldest: Some(CursorName::new(&name).unwrap()),
            },
            Reply::Busy,
            Reply::Exhausted { errno: 24 },
            Reply::Forgotten { existed: true },
            Reply::Forgotten { existed: false },
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }

    #[test]
    fn anything_else_is_neither() {
        let good = Request::Produce.encode();
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 0xff;
            assert_eq!(Request::decode(&bad), None, "byte {at}");
        }
        assert_eq!(Request::decode(&good[1..]), None);
        assert_eq!(Request::decode(&[]), None);
        let mut bad = [0; Reply::BYTES];
        bad[0] = 11;
        assert_eq!(Reply::decode(&bad), None);
        // A name that is none.
        (bad[0], bad[32]) = (7, b'/');
        assert_eq!(Reply::decode(&bad), None);
        assert_eq!(Reply::decode(&[0; 7]), None);
    }
}
