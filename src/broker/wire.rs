//! What is said over the broker's socket: one request, one reply with descriptors, one confirmation.
//!
//! Each is one datagram of a fixed size on a sequenced-packet socket. Whatever else arrives is an error
//! of the one who sent it.

use rustix::io::Errno;
use rustix::net::{
    recvmsg, send, sendmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// Begins every request; the last byte is the version.
const MAGIC: [u8; 8] = *b"SLIPBRK1";
/// What a producer says once it has sealed the stream.
const SEALED: [u8; 8] = *b"SEALED\0\0";
/// The most descriptors a message carries: a stream and every row.
const MAX_FILES: usize = 1 + crate::segment::isolated::MAX_SEATS as usize;

/// What somebody asks the broker for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To write the stream.
    Produce,
    /// To read it.
    Read {
        /// The name of a durable cursor, or nothing.
        name: String,
        /// Of a later stream than this one; zero for any.
        after: u32,
    },
}

impl Request {
    const BYTES: usize = 8 + 8 + 64;

    fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        let (role, name, after) = match self {
            Self::Produce => (1, "", 0),
            Self::Read { name, after } => (2, name.as_str(), *after),
        };
        bytes[8] = role;
        bytes[12..16].copy_from_slice(&after.to_le_bytes());
        bytes[16..16 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    /// Total: any bytes are a request or none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        if bytes[..8] != MAGIC || bytes[9..12] != [0; 3] {
            return None;
        }
        let name = &bytes[16..];
        let len = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        if name[len..].iter().any(|b| *b != 0) {
            return None;
        }
        let name = core::str::from_utf8(&name[..len]).ok()?;
        let after = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        match bytes[8] {
            1 if name.is_empty() && after == 0 => Some(Self::Produce),
            2 => Some(Self::Read {
                name: name.to_owned(),
                after,
            }),
            _ => None,
        }
    }
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
    },
    /// Not to this user.
    Forbidden,
    /// There is a producer.
    ProducerExists,
    /// Every row is taken.
    NoRow,
    /// Somebody alive uses the cursor.
    CursorInUse,
    /// The request makes no sense.
    BadRequest,
}

impl Reply {
    const BYTES: usize = 12;

    fn encode(self) -> [u8; Self::BYTES] {
        let (status, row, stream): (u32, u32, u32) = match self {
            Self::Granted { row, stream } => (0, row, stream),
            Self::Forbidden => (1, 0, 0),
            Self::ProducerExists => (2, 0, 0),
            Self::NoRow => (3, 0, 0),
            Self::CursorInUse => (4, 0, 0),
            Self::BadRequest => (5, 0, 0),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&status.to_le_bytes());
        bytes[4..8].copy_from_slice(&row.to_le_bytes());
        bytes[8..].copy_from_slice(&stream.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some(match word(0) {
            0 => Self::Granted {
                row: word(4),
                stream: word(8),
            },
            1 => Self::Forbidden,
            2 => Self::ProducerExists,
            3 => Self::NoRow,
            4 => Self::CursorInUse,
            5 => Self::BadRequest,
            _ => return None,
        })
    }
}

/// Sends a request.
pub fn ask(socket: &OwnedFd, request: &Request) -> Result<(), Errno> {
    send(socket, &request.encode(), SendFlags::NOSIGNAL).map(|_| ())
}

/// Says that the stream is sealed.
pub fn confirm(socket: &OwnedFd) -> Result<(), Errno> {
    send(socket, &SEALED, SendFlags::NOSIGNAL).map(|_| ())
}

/// Whether a datagram is the confirmation.
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

/// Receives one datagram; how many bytes it had, zero at the end. Descriptors that come with it are
/// closed.
pub fn hear(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    Ok(recvmsg(socket, &mut parts, &mut control, flags)?.bytes)
}

/// Receives the reply and its descriptors. `None` if the broker went away or talks nonsense.
pub fn learn(socket: &OwnedFd) -> Result<Option<(Reply, Vec<OwnedFd>)>, Errno> {
    let mut bytes = [0; Reply::BYTES + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut files = Vec::new();
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            files.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Ok(None);
    }
    let reply = bytes.get(..message.bytes).and_then(Reply::decode);
    Ok(reply.map(|reply| (reply, files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_survive_the_wire() {
        for request in [
            Request::Produce,
            Request::Read {
                name: String::new(),
                after: 0,
            },
            Request::Read {
                name: "x".repeat(64),
                after: 7,
            },
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for reply in [
            Reply::Granted { row: 7, stream: 9 },
            Reply::Forbidden,
            Reply::ProducerExists,
            Reply::NoRow,
            Reply::CursorInUse,
            Reply::BadRequest,
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
        assert_eq!(Reply::decode(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Reply::decode(&[0; 7]), None);
    }
}
