//! The broker: who is connected, what they hold, and who gets what.
//!
//! Layer 8. One thread, one `poll`. Nothing a client does can make it wait, grow without bound, or
//! hand out what is not that client's: a request has a fixed size, a client that says nothing useful
//! is dropped after a second, and there are at most as many as there are rows and a few.

use super::error::BrokerError;
use super::wire::{answer, hear, is_confirmation, Reply, Request};
use super::Access;
use crate::endpoint::Builder;
use crate::layout::description::Description;
use crate::layout::lines::RowState;
use crate::ring::consumer::renew;
use crate::ring::gate::{is_evicted, EXPELLED};
use crate::ring::observer::{Observed, Observer, Resume};
use crate::ring::producer::Producer;
use crate::ring::Start;
use crate::segment::isolated::{Isolated, MAX_SEATS};
use crate::segment::{identify, random, CreateError, CursorName, Memory, Role};
use crate::sync::Ordering::Relaxed;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    accept_with, bind, connect, listen, socket_with, sockopt, AddressFamily, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a client may take to say what it wants.
const MANNERS: Duration = Duration::from_secs(1);
/// How many clients may be connected beyond those that hold rows.
const WAITING: usize = 64;
/// How long publishes of an isolated ring are held back if nobody said otherwise.
const PATIENCE: Duration = Duration::from_millis(100);

/// Hands an isolated ring to those it may have it.
///
/// # Guarantees
/// - A reader gets the stream read-only, sealed against every other writer, and a row of its own.
/// - A row is given to one client at a time, and again only when its lock is free.
/// - When a producer is gone the next one gets a new stream, with the messages of the old one that
///   are still there, the same sequences, and the cursors.
///
/// Dropping it removes the socket; whoever was let in goes on.
///
/// ```
/// use slipring::{Access, Broker, Ring, Start};
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let socket = directory.path().join("ticks.sock");
/// # let path = socket.clone();
/// let mut broker = Broker::bind(&socket, Ring::anonymous(), Access::own_user())?;
/// std::thread::spawn(move || while broker.serve(Duration::from_secs(60)).is_ok() {});
///
/// let patience = Duration::from_secs(10);
/// let ring = Ring::connect_producer(&socket, patience)?;      // in one process
/// let mut producer = ring.producer()?;
///
/// let ring = Ring::connect(&path, patience)?;                 // in another, of another user
/// let mut consumer = ring.consumer(Start::Latest)?;
/// producer.publish(b"hello")?;
/// assert_eq!(&*consumer.receive()?.unwrap(), b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    path: PathBuf,
    listener: OwnedFd,
    description: Description,
    access: Access,
    clients: Vec<Client>,
    /// The stream of the present or last producer, and before it those that somebody still reads.
    streams: Vec<Stream>,
    next_stream: u32,
}

#[derive(Debug)]
struct Stream {
    number: u32,
    files: Isolated,
    /// Whether its producer confirmed that it is sealed.
    ready: bool,
    /// The durable cursor of each row, and whose it is. Kept here: a reader may write anything in
    /// its row.
    cursors: Vec<Option<Cursor>>,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    name: CursorName,
    uid: u32,
}

impl Stream {
    /// The cursor in a row, unless its owner gave it up.
    fn cursor(&self, row: u32) -> Option<Cursor> {
        let state = self.files.memory().row(row)?.state.load(Relaxed);
        match RowState::from_raw(state) {
            RowState::Consumer | RowState::Away => {}
            RowState::Free | RowState::Observer => return None,
        }
        *self.cursors.get(row as usize)?
    }

    /// Whether somebody alive holds a row.
    fn held(&self, row: u32) -> bool {
        self.files.is_held(Role::Row(row)).unwrap_or(true)
    }

    fn rows(&self) -> std::ops::Range<u32> {
        0..self.files.memory().geometry().rows
    }

    /// Makes a row that nobody holds ready for its next owner.
    fn prepare(&self, row: u32, ring_id: u128) {
        let memory = self.files.memory();
        let (Some(words), Some(page)) = (memory.row(row), memory.seats().nth(row as usize)) else {
            return;
        };
        let cursor = self.cursor(row).map(|cursor| {
            let (sequence, epoch) = (words.sequence.load(Relaxed), words.epoch.load(Relaxed));
            (cursor.name.words(), sequence, epoch)
        });
        identify(page, ring_id);
        renew(words, random() as u64 >> 1, cursor);
    }
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    uid: u32,
    since: Instant,
    holds: Holds,
}

/// What a client has, or waits for.
#[derive(Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    /// Waits for a producer.
    Waits(Request),
    Reader {
        stream: u32,
        row: u32,
    },
    Producer {
        stream: u32,
    },
}

impl Broker {
    /// Listens at a socket for those who want the ring that a builder describes. Where the builder
    /// lies does not matter; unless it evicts after a time of its own, it does so after 100
    /// milliseconds.
    ///
    /// # Errors
    /// [`BrokerError`]: somebody listens there, the path cannot be a socket, bad sizes.
    pub fn bind(
        socket: impl AsRef<Path>,
        builder: Builder,
        access: Access,
    ) -> Result<Self, BrokerError> {
        let path = socket.as_ref().to_owned();
        let mut description = builder.description()?;
        let geometry = &mut description.geometry;
        if geometry.rows > MAX_SEATS {
            return Err(BrokerError::TooManyReaders {
                rows: geometry.rows,
                max: MAX_SEATS,
            });
        }
        if !geometry.evicts() {
            *geometry = geometry.evicting_after(PATIENCE.as_nanos() as u64);
        }
        let listener = listen_at(&path, &access)?;
        Ok(Self {
            path,
            listener,
            description,
            access,
            clients: Vec::new(),
            streams: Vec::new(),
            next_stream: 1,
        })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many readers and producers hold something now.
    pub fn connected(&self) -> usize {
        let holds = |client: &&Client| !matches!(client.holds, Holds::Nothing | Holds::Waits(_));
        self.clients.iter().filter(holds).count()
    }

    /// Serves whoever comes within this time, and returns after it, or after something happened.
    /// Call it in a loop.
    ///
    /// # Errors
    /// [`BrokerError::Io`] if it cannot wait any more. What one client does is never an error.
    pub fn serve(&mut self, limit: Duration) -> Result<(), BrokerError> {
        let (listens, heard) = self.wait(limit)?;
        for at in heard.into_iter().rev() {
            if !self.attend(at) {
                let left = self.clients.remove(at);
                self.farewell(&left.holds);
            }
        }
        self.clients
            .retain(|client| client.holds != Holds::Nothing || client.since.elapsed() < MANNERS);
        if listens {
            self.welcome();
        }
        self.serve_waiting();
        Ok(())
    }

    /// Whether somebody knocks, and which clients said something or left.
    fn wait(&self, limit: Duration) -> Result<(bool, Vec<usize>), BrokerError> {
        let sockets = self.clients.iter().map(|client| &client.socket);
        let mut fds: Vec<PollFd<'_>> = std::iter::once(&self.listener)
            .chain(sockets)
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        let unsettled = |client: &Client| client.holds == Holds::Nothing;
        let limit = match self.clients.iter().any(unsettled) {
            true => limit.min(MANNERS),
            false => limit,
        };
        match poll(&mut fds, Timespec::try_from(limit).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io("wait at", &self.path, error)),
        }
        let said = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let heard = (0..self.clients.len()).filter(|at| said(&fds[at + 1]));
        Ok((said(&fds[0]), heard.collect()))
    }

    /// Accepts one client.
    fn welcome(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = accept_with(&self.listener, flags) else {
            return;
        };
        let most = self.description.geometry.rows as usize + WAITING;
        let Ok(who) = sockopt::socket_peercred(&socket) else {
            return;
        };
        if !self.access.may_read(who.uid.as_raw(), who.gid.as_raw()) {
            let _ = answer(&socket, Reply::Forbidden, &[]);
            return;
        }
        if self.clients.len() < most {
            self.clients.push(Client {
                socket,
                uid: who.uid.as_raw(),
                since: Instant::now(),
                holds: Holds::Nothing,
            });
        }
    }

    /// Hears what a client says; whether it stays.
    fn attend(&mut self, at: usize) -> bool {
        let mut buffer = [0; 128];
        let said = match hear(&self.clients[at].socket, &mut buffer) {
            Ok(0) => return false,
            Ok(bytes) => &buffer[..bytes],
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => return false,
        };
        match &self.clients[at].holds {
            Holds::Nothing => match Request::decode(said) {
                Some(Request::Produce) => self.admit_producer(at),
                Some(request) => {
                    self.clients[at].holds = Holds::Waits(request);
                    true
                }
                None => self.refuse(at, Reply::BadRequest),
            },
            Holds::Producer { stream } if is_confirmation(said) => {
                let number = *stream;
                let stream = self.streams.iter_mut().find(|s| s.number == number);
                stream.is_some_and(|stream| {
                    stream.ready = stream.files.is_sealed();
                    stream.ready
                })
            }
            // Nobody else has anything to say.
            _ => false,
        }
    }

    fn refuse(&self, at: usize, reply: Reply) -> bool {
        let _ = answer(&self.clients[at].socket, reply, &[]);
        false
    }

    fn admit_producer(&mut self, at: usize) -> bool {
        if !Access::may_produce(self.clients[at].uid) {
            return self.refuse(at, Reply::Forbidden);
        }
        if let Some(current) = self.streams.last() {
            let number = current.number;
            let connected = self
                .clients
                .iter()
                .any(|client| client.holds == Holds::Producer { stream: number });
            if connected || current.files.is_held(Role::Producer).unwrap_or(true) {
                return self.refuse(at, Reply::ProducerExists);
            }
        }
        let Ok(stream) = self.succeed() else {
            return false;
        };
        let number = stream.number;
        self.next_stream += 1;
        let handed = stream.files.for_producer().map_err(|_| ()).and_then(|fds| {
            let reply = Reply::Granted {
                row: 0,
                stream: number,
            };
            answer(&self.clients[at].socket, reply, &fds).map_err(|_| ())
        });
        if handed.is_err() {
            return false;
        }
        // One that was never sealed was never read.
        self.streams.retain(|stream| stream.ready);
        self.streams.push(stream);
        self.clients[at].holds = Holds::Producer { stream: number };
        true
    }

    /// The stream for the next producer: what the last one left, or an empty one.
    fn succeed(&self) -> Result<Stream, CreateError> {
        let stream = |files| Stream {
            number: self.next_stream,
            files,
            ready: false,
            cursors: vec![None; self.description.geometry.rows as usize],
        };
        let Some(last) = self.streams.iter().rev().find(|stream| stream.ready) else {
            return Isolated::create(&self.description, |_| ()).map(stream);
        };
        let old = last.files.memory();
        let mut description = self.description.clone();
        let heir = Observer::attach(old.clone(), Start::Oldest, Resume::Oldest);
        if let Ok(heir) = &heir {
            description.geometry.first_sequence = heir.sequence();
        }
        let files = Isolated::create(&description, |new| {
            if let Ok(heir) = heir {
                inherit(heir, new);
            }
            let epoch = old.producer().state.epoch.load(Relaxed);
            new.producer().state.epoch.store(epoch, Relaxed);
        })?;
        let mut new = stream(files);
        for row in last.rows() {
            carry(last, row, &mut new);
        }
        Ok(new)
    }

    /// Gives those who wait for a producer what they asked for, if there is one.
    fn serve_waiting(&mut self) {
        let Some(current) = self.streams.last().filter(|stream| stream.ready) else {
            return;
        };
        let number = current.number;
        for at in (0..self.clients.len()).rev() {
            let name = match &self.clients[at].holds {
                Holds::Waits(Request::Read { name, after }) if *after < number => name.clone(),
                _ => continue,
            };
            if !self.admit_reader(at, &name) {
                self.clients.remove(at);
            }
        }
    }

    fn admit_reader(&mut self, at: usize, name: &str) -> bool {
        let name = match name {
            "" => None,
            name => match CursorName::new(name) {
                Ok(name) => Some(name),
                Err(_) => return self.refuse(at, Reply::BadRequest),
            },
        };
        let uid = self.clients[at].uid;
        let row = match self.row_for(name, uid) {
            Ok(row) => row,
            Err(reply) => return self.refuse(at, reply),
        };
        let Some(stream) = self.streams.last_mut() else {
            return false;
        };
        if stream.cursor(row).is_none() {
            stream.cursors[row as usize] = name.map(|name| Cursor { name, uid });
            // Not a cursor before its owner says where it stands.
            if let Some(words) = stream.files.memory().row(row) {
                words.state.store(RowState::Free as u32, Relaxed);
            }
        }
        stream.prepare(row, self.description.ring_id);
        let number = stream.number;
        let handed = stream
            .files
            .for_reader(row)
            .map_err(|_| ())
            .and_then(|fds| {
                let reply = Reply::Granted {
                    row,
                    stream: number,
                };
                answer(&self.clients[at].socket, reply, &fds).map_err(|_| ())
            });
        self.clients[at].holds = Holds::Reader {
            stream: number,
            row,
        };
        handed.is_ok()
    }

    /// The row that holds a cursor, or one that is free, of the present stream.
    fn row_for(&self, name: Option<CursorName>, uid: u32) -> Result<u32, Reply> {
        let stream = self.streams.last().ok_or(Reply::NoRow)?;
        let used = |row: u32| self.is_handed_out(stream.number, row) || stream.held(row);
        if let Some(name) = name {
            // Handed out, and perhaps not used yet.
            let theirs = |row: u32| {
                stream.cursors[row as usize].is_some_and(|cursor| cursor.name == name)
                    && self.is_handed_out(stream.number, row)
            };
            if stream.rows().any(theirs) {
                return Err(Reply::CursorInUse);
            }
            // Whoever uses it may still read an older stream.
            let older = self.streams.iter().filter(|s| s.number != stream.number);
            for other in older {
                let theirs = |row: &u32| other.cursor(*row).is_some_and(|c| c.name == name);
                if other.rows().filter(theirs).any(|row| other.held(row)) {
                    return Err(Reply::CursorInUse);
                }
            }
            let found = stream
                .rows()
                .filter_map(|row| stream.cursor(row).map(|cursor| (row, cursor)))
                .find(|(_, cursor)| cursor.name == name);
            if let Some((row, cursor)) = found {
                return if used(row) || cursor.uid != uid {
                    Err(Reply::CursorInUse)
                } else {
                    Ok(row)
                };
            }
        }
        let memory = stream.files.memory();
        let mut rows = stream.rows();
        rows.find(|row| {
            stream.cursor(*row).is_none() && !is_evicted(memory, *row, EXPELLED) && !used(*row)
        })
        .ok_or(Reply::NoRow)
    }

    /// Whether a connected client has a row.
    fn is_handed_out(&self, stream: u32, row: u32) -> bool {
        let holds = Holds::Reader { stream, row };
        self.clients.iter().any(|client| client.holds == holds)
    }

    /// A client left. An older stream that nobody reads any more goes, and its cursors move on.
    fn farewell(&mut self, left: &Holds) {
        if let Holds::Reader { stream, row } = left {
            if let Some((current, older)) = self.streams.split_last_mut() {
                if let Some(old) = older.iter().find(|s| s.number == *stream) {
                    carry(old, *row, current);
                }
            }
        }
        let last = self.streams.last().map(|stream| stream.number);
        let clients = &self.clients;
        self.streams.retain(|stream| {
            Some(stream.number) == last
                || clients.iter().any(|client| {
                    matches!(client.holds, Holds::Reader { stream: s, .. } if s == stream.number)
                })
        });
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Moves the cursor in a row that nobody holds to a free row of another stream.
fn carry(from: &Stream, row: u32, to: &mut Stream) {
    let (Some(cursor), Some(old)) = (from.cursor(row), from.files.memory().row(row)) else {
        return;
    };
    let known = to
        .rows()
        .any(|at| to.cursor(at).is_some_and(|c| c.name == cursor.name));
    if known || from.held(row) {
        return;
    }
    let free = to
        .rows()
        .find(|at| to.cursor(*at).is_none() && !to.held(*at));
    let new = free.and_then(|at| to.files.memory().row(at).map(|new| (at, new)));
    if let Some((at, new)) = new {
        let (sequence, epoch) = (old.sequence.load(Relaxed), old.epoch.load(Relaxed));
        let words = cursor.name.words();
        renew(new, random() as u64 >> 1, Some((words, sequence, epoch)));
        to.cursors[at as usize] = Some(cursor);
    }
}

/// Writes what is left of an old stream into a new one, with the same sequences.
fn inherit(mut old: Observer, new: &Memory) {
    let Ok(mut producer) = Producer::attach(new.clone(), 0) else {
        return;
    };
    // A stream holds no more messages than words, whatever it says.
    for _ in 0..new.geometry().words() {
        match old.try_next() {
            Ok(Observed::Message { sequence, len }) if sequence == producer.sequence() => {
                let bytes: &[u8] = bytemuck::cast_slice(old.payload());
                let payload = bytes.get(..len as usize).unwrap_or_default();
                if producer.try_publish(payload).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    producer.leave(false);
}

fn io(what: &'static str, path: &Path, error: Errno) -> BrokerError {
    BrokerError::Io {
        what,
        path: path.to_owned(),
        source: error.into(),
    }
}

fn socket(path: &Path) -> Result<OwnedFd, BrokerError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|e| io("make a socket for", path, e))
}

/// Listens at a path; one that a dead broker left is taken over.
fn listen_at(path: &Path, access: &Access) -> Result<OwnedFd, BrokerError> {
    let own = || path.to_owned();
    let address = SocketAddrUnix::new(path).map_err(|_| BrokerError::BadPath { path: own() })?;
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(BrokerError::BadPath { path: own() });
        }
        match connect(&socket(path)?, &address) {
            Err(Errno::CONNREFUSED) => {
                std::fs::remove_file(path).map_err(|source| BrokerError::Io {
                    what: "remove the socket of a dead broker at",
                    path: own(),
                    source,
                })?;
            }
            _ => return Err(BrokerError::InUse { path: own() }),
        }
    }
    let listener = socket(path)?;
    bind(&listener, &address).map_err(|e| match e {
        Errno::ADDRINUSE => BrokerError::InUse { path: own() },
        e => io("listen at", path, e),
    })?;
    let mode = if access.is_private() { 0o600 } else { 0o666 };
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(|source| BrokerError::Io {
        what: "set the mode of",
        path: own(),
        source,
    })?;
    listen(&listener, 64).map_err(|e| io("listen at", path, e))?;
    Ok(listener)
}
