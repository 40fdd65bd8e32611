//! The broker: who is connected, what they hold, and who gets what.
//!
//! Layer 8. One thread, one `poll`. Nothing a client does can make it wait, grow without bound, or
//! hand out what is not that client's: a request has a fixed size, a client that says nothing useful
//! is dropped after a second, and there are at most as many as there are rows and a few.

use super::error::BrokerError;
use super::listen::{io, listen_at};
use super::stream::{carry, inherit, Cursor, Stream};
use super::wire::{answer, hear, is_confirmation, Reply, Request};
use super::Access;
use crate::endpoint::Builder;
use crate::layout::description::Description;
use crate::layout::lines::RowState;
use crate::ring::gate::{is_evicted, EXPELLED};
use crate::ring::observer::{Observer, Resume};
use crate::ring::Start;
use crate::segment::isolated::{Isolated, MAX_SEATS};
use crate::segment::{CreateError, CursorName, Role};
use crate::sync::Ordering::Relaxed;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{accept_with, sockopt, SocketFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a client may take to say what it wants.
const MANNERS: Duration = Duration::from_secs(1);
/// How often to ask whether the kernel has freed what a dead process held.
const KERNEL: Duration = Duration::from_millis(1);
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
    /// Whether somebody waits for the kernel to free what a dead process held.
    waits_for_kernel: bool,
}

/// What becomes of a request.
enum Outcome {
    Granted,
    Refused(Reply),
    /// A dead process still holds what is needed, for as long as the kernel takes to bury it.
    Later,
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
        if geometry.stamped {
            return Err(BrokerError::Stamps);
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
            waits_for_kernel: false,
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
                self.clients.remove(at);
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
        let limit = match self.waits_for_kernel {
            true => limit.min(KERNEL),
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

    fn admit_producer(&mut self, at: usize) -> Outcome {
        if !Access::may_produce(self.clients[at].uid) {
            return Outcome::Refused(Reply::Forbidden);
        }
        if let Some(current) = self.streams.last() {
            let holds = Holds::Producer {
                stream: current.number,
            };
            if self.clients.iter().any(|client| client.holds == holds) {
                return Outcome::Refused(Reply::ProducerExists);
            }
            if current.files.is_held(Role::Producer).unwrap_or(true) {
                return Outcome::Later;
            }
        }
        let Ok(stream) = self.succeed() else {
            return Outcome::Refused(Reply::BadRequest);
        };
        let number = stream.number;
        let reply = Reply::Granted {
            row: 0,
            stream: number,
        };
        let files = stream.files.for_producer().map_err(|_| Errno::MFILE);
        let handed = files.and_then(|files| answer(&self.clients[at].socket, reply, &files));
        if handed.is_err() {
            return Outcome::Refused(Reply::BadRequest);
        }
        self.next_stream += 1;
        // One that was never sealed was never read.
        self.streams.retain(|stream| stream.ready);
        self.streams.push(stream);
        self.clients[at].holds = Holds::Producer { stream: number };
        Outcome::Granted
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
        // Its cursors come once it is sealed: until then it may be given up again.
        Ok(stream(files))
    }

    /// Answers those whose time has come: a producer when the last one is gone, readers when there
    /// is a producer.
    fn serve_waiting(&mut self) {
        self.move_cursors();
        self.waits_for_kernel = false;
        for at in (0..self.clients.len()).rev() {
            let Holds::Waits(request) = &self.clients[at].holds else {
                continue;
            };
            let current = self.streams.last().filter(|stream| stream.ready);
            let outcome = match request.clone() {
                Request::Produce => self.admit_producer(at),
                Request::Read { name, after } => match current {
                    Some(stream) if stream.number > after => self.admit_reader(at, &name),
                    _ => continue,
                },
            };
            match outcome {
                Outcome::Granted => {}
                Outcome::Later => self.waits_for_kernel = true,
                Outcome::Refused(reply) => {
                    let _ = answer(&self.clients[at].socket, reply, &[]);
                    self.clients.remove(at);
                }
            }
        }
    }

    fn admit_reader(&mut self, at: usize, name: &str) -> Outcome {
        let name = match name {
            "" => None,
            name => match CursorName::new(name) {
                Ok(name) => Some(name),
                Err(_) => return Outcome::Refused(Reply::BadRequest),
            },
        };
        let uid = self.clients[at].uid;
        let row = match self.row_for(name, uid) {
            Ok(row) => row,
            Err(outcome) => return outcome,
        };
        let Some(stream) = self.streams.last_mut() else {
            return Outcome::Refused(Reply::NoRow);
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
        let reply = Reply::Granted {
            row,
            stream: number,
        };
        let files = stream.files.for_reader(row).map_err(|_| Errno::MFILE);
        let handed = files.and_then(|files| answer(&self.clients[at].socket, reply, &files));
        self.clients[at].holds = Holds::Reader {
            stream: number,
            row,
        };
        match handed {
            Ok(()) => Outcome::Granted,
            Err(_) => Outcome::Refused(Reply::BadRequest),
        }
    }

    /// The row that holds a cursor, or one that is free, of the present stream.
    fn row_for(&self, name: Option<CursorName>, uid: u32) -> Result<u32, Outcome> {
        let Some(stream) = self.streams.last() else {
            return Err(Outcome::Refused(Reply::NoRow));
        };
        let in_use = Outcome::Refused(Reply::CursorInUse);
        if let Some(name) = name {
            for other in &self.streams {
                let theirs = |row: &u32| {
                    other.cursors[*row as usize].is_some_and(|cursor| cursor.name == name)
                };
                for row in other.rows().filter(theirs) {
                    // Handed out, though perhaps not used yet.
                    if self.is_handed_out(other.number, row) {
                        return Err(in_use);
                    }
                    if other.cursor(row).is_some() && other.held(row) {
                        return Err(Outcome::Later);
                    }
                }
            }
            let found = stream
                .rows()
                .filter_map(|row| stream.cursor(row).map(|cursor| (row, cursor)))
                .find(|(_, cursor)| cursor.name == name);
            if let Some((row, cursor)) = found {
                return if cursor.uid == uid {
                    Ok(row)
                } else {
                    Err(in_use)
                };
            }
        }
        let memory = stream.files.memory();
        let free = |row: &u32| {
            stream.cursor(*row).is_none()
                && !is_evicted(memory, *row, EXPELLED)
                && !self.is_handed_out(stream.number, *row)
        };
        // One that a dead process still holds may do in a moment.
        let mut rows = stream.rows().filter(free).peekable();
        match (rows.peek().is_some(), rows.find(|row| !stream.held(*row))) {
            (_, Some(row)) => Ok(row),
            (true, None) => Err(Outcome::Later),
            (false, None) => Err(Outcome::Refused(Reply::NoRow)),
        }
    }

    /// Whether a connected client has a row.
    fn is_handed_out(&self, stream: u32, row: u32) -> bool {
        let holds = Holds::Reader { stream, row };
        self.clients.iter().any(|client| client.holds == holds)
    }

    /// Moves the cursors that nobody holds to the present stream, and lets go of older streams that
    /// nobody reads and that hold no cursor any more.
    fn move_cursors(&mut self) {
        let handed_out: Vec<u32> = self
            .streams
            .last()
            .filter(|current| current.ready)
            .map(|current| {
                let taken = |row: &u32| self.is_handed_out(current.number, *row);
                current.rows().filter(taken).collect()
            })
            .unwrap_or_default();
        if let Some((current, older)) = self.streams.split_last_mut() {
            let older = if current.ready { older } else { &mut [] };
            for old in older {
                for row in old.rows() {
                    carry(old, row, current, &handed_out);
                }
            }
        }
        let last = self.streams.last().map(|stream| stream.number);
        let clients = &self.clients;
        self.streams.retain(|stream| {
            Some(stream.number) == last
                || stream.rows().any(|row| stream.cursor(row).is_some())
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
