//! What the kernel offers: pipes, Unix sockets of both kinds, POSIX message queues, all blocking.
//!
//! Unsafe only for the message queues, which have no safe wrapper here.
#![allow(unsafe_code, reason = "POSIX message queues through libc")]

use super::channel::{Channel, End, Place};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Sends back what was received into a channel's own buffer, unless it was the last message.
fn echo<C: Channel>(
    channel: &mut C,
    buffer: fn(&mut C) -> &mut Vec<u8>,
    last: impl FnOnce(&[u8]) -> bool,
) -> io::Result<bool> {
    if channel.receive(last)? {
        return Ok(false);
    }
    let message = std::mem::take(buffer(channel));
    let sent = channel.send(&message);
    *buffer(channel) = message;
    sent.map(|()| true)
}

/// Two FIFOs.
pub struct Pipe {
    out: File,
    inward: File,
    buffer: Vec<u8>,
}

impl Pipe {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let (directory, end, size) = (place.directory, place.end, place.load.size);
        let (forth, back) = (directory.join("pipe-forth"), directory.join("pipe-back"));
        if end == End::First {
            for path in [&forth, &back] {
                let _ = std::fs::remove_file(path);
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?;
            }
        }
        // Read-write, so that opening does not wait for the other side.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let (out, inward) = match end {
            End::First => (open(&forth)?, open(&back)?),
            End::Second => (open(&back)?, open(&forth)?),
        };
        Ok(Self {
            out,
            inward,
            buffer: vec![0; size],
        })
    }
}

impl Channel for Pipe {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.out.write_all(message)
    }

    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.inward.read_exact(&mut self.buffer)?;
        Ok(show(&self.buffer))
    }

    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        echo(self, |channel| &mut channel.buffer, last)
    }
}

/// A stream socket.
pub struct Unix {
    listener: Option<UnixListener>,
    stream: Option<UnixStream>,
    buffer: Vec<u8>,
}

impl Unix {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let (directory, end, size) = (place.directory, place.end, place.load.size);
        let path = directory.join("socket");
        let (listener, stream) = match end {
            End::First => {
                let _ = std::fs::remove_file(&path);
                (Some(UnixListener::bind(&path)?), None)
            }
            End::Second => (None, Some(UnixStream::connect(&path)?)),
        };
        Ok(Self {
            listener,
            stream,
            buffer: vec![0; size],
        })
    }

    fn stream(&mut self) -> io::Result<&mut UnixStream> {
        self.stream
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Channel for Unix {
    /// By now the other side has connected.
    fn start(&mut self) -> io::Result<()> {
        if let Some(listener) = &self.listener {
            self.stream = Some(listener.accept()?.0);
        }
        Ok(())
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream()?.write_all(message)
    }

    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.stream()?.read_exact(&mut buffer)?;
        self.buffer = buffer;
        Ok(show(&self.buffer))
    }

    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        echo(self, |channel| &mut channel.buffer, last)
    }
}

/// Two datagram sockets.
pub struct Datagrams {
    socket: UnixDatagram,
    other: PathBuf,
    buffer: Vec<u8>,
}

impl Datagrams {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let names = ["datagrams-first", "datagrams-second"];
        let [mine, other] = match place.end {
            End::First => names,
            End::Second => [names[1], names[0]],
        }
        .map(|name| place.directory.join(name));
        let _ = std::fs::remove_file(&mine);
        let socket = UnixDatagram::bind(mine)?;
        if place.end == End::Second {
            socket.connect(&other)?;
        }
        Ok(Self {
            socket,
            other,
            buffer: vec![0; place.load.size],
        })
    }
}

impl Channel for Datagrams {
    /// At the first end, by now the other one has a name.
    fn start(&mut self) -> io::Result<()> {
        self.socket.connect(&self.other)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self.socket.send(message)? {
            sent if sent == message.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let got = self.socket.recv(&mut self.buffer)?;
        Ok(show(&self.buffer[..got]))
    }

    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        echo(self, |channel| &mut channel.buffer, last)
    }
}

/// Two POSIX message queues.
pub struct Queue {
    out: libc::mqd_t,
    inward: libc::mqd_t,
    names: Vec<CString>,
    buffer: Vec<u8>,
}

impl Queue {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let (directory, end, size) = (place.directory, place.end, place.load.size);
        let tag = directory
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or("bench");
        let name = |way: &str| CString::new(format!("/{tag}-{way}")).map_err(io::Error::other);
        let (forth, back) = (name("forth")?, name("back")?);
        let (out, inward) = match end {
            End::First => (
                open_queue(&forth, size, true)?,
                open_queue(&back, size, true)?,
            ),
            End::Second => (
                open_queue(&back, size, false)?,
                open_queue(&forth, size, false)?,
            ),
        };
        let names = if end == End::First {
            vec![forth, back]
        } else {
            Vec::new()
        };
        Ok(Self {
            out,
            inward,
            names,
            buffer: vec![0; size],
        })
    }
}

fn open_queue(name: &CString, size: usize, create: bool) -> io::Result<libc::mqd_t> {
    // SAFETY: an all-zero `mq_attr` is valid; the name is a C string; the attributes outlive the
    // call.
    let queue = unsafe {
        let mut attributes: libc::mq_attr = std::mem::zeroed();
        attributes.mq_maxmsg = 10;
        attributes.mq_msgsize = size as libc::c_long;
        if create {
            libc::mq_unlink(name.as_ptr());
            let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
            libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes)
        } else {
            libc::mq_open(name.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC)
        }
    };
    if queue < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(queue)
    }
}

impl Channel for Queue {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        // SAFETY: the queue is open and the slice valid for its length.
        let sent = unsafe { libc::mq_send(self.out, message.as_ptr().cast(), message.len(), 0) };
        if sent == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let (at, len) = (self.buffer.as_mut_ptr(), self.buffer.len());
        // SAFETY: the queue is open, the buffer as large as its messages.
        let got = unsafe { libc::mq_receive(self.inward, at.cast(), len, std::ptr::null_mut()) };
        match usize::try_from(got) {
            Ok(got) => Ok(show(&self.buffer[..got])),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        echo(self, |channel| &mut channel.buffer, last)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: both queues are open, the names are C strings.
        unsafe {
            libc::mq_close(self.out);
            libc::mq_close(self.inward);
            for name in &self.names {
                libc::mq_unlink(name.as_ptr());
            }
        }
    }
}
