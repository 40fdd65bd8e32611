//! The broker: its connections, what each client holds, and when it is served.
//!
//! Layer 8. One thread, one `poll`. Nothing a client does can make it wait, grow without bound, or hand out
//! what is not that client's: a request has a fixed size, a client that says nothing useful is dropped
//! after a second, and each user has a limited number of connections. If something is missing only for the
//! moment (a lock that a dying process holds, a descriptor), the broker waits for at most two seconds
//! before it refuses the client.

use super::access::{Access, Owner};
use super::cursors::{Cursors, Whereabouts};
use super::error::BrokerError;
use super::listen::{io, Listener};
use super::outcome::{is_shortage, Outcome};
use super::stream::Stream;
use super::wire::{answer, hear, is_confirmation, Reply, Request, MANNERS};
use crate::attach::shown;
use crate::endpoint::Builder;
use crate::layout::description::Description;
use crate::segment::isolated::MAX_SEATS;
use crate::segment::CursorName;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{accept_with, sockopt, SocketFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often to ask whether the kernel has freed what a dead process held.
const KERNEL: Duration = Duration::from_millis(1);
/// How long to wait for that at most.
const BURIAL: Duration = Duration::from_secs(2);
/// How long no connection is accepted when descriptors have run out and no client can be dropped.
const REST: Duration = Duration::from_millis(100);
/// How many clients of a user may be connected that have not sent their request yet, besides those that
/// hold or wait for something. A client that sends its request at once always finds room.
const SPARE: usize = 4;
/// How many clients are accepted at a time.
const WELCOMES: usize = 16;
/// How many refused clients are kept until they have sent their request. Otherwise the kernel would report
/// a broken connection instead of the reason.
const FAREWELLS: usize = 32;
/// How long publishes of an isolated ring are held back unless the builder says otherwise.
const PATIENCE: Duration = Duration::from_millis(100);

/// Hands an isolated ring to the clients that are let in.
///
/// # Guarantees
/// - A reader gets the stream read-only, sealed against every other writer, and a row of its own.
/// - A row is given to one client at a time, and for the life of a stream to clients of one user only.
/// - Rows, connections and cursors are divided among the users that are let in ([`Access`]): no user can
///   use up the share of another.
/// - When a producer is gone the next one gets a new stream, with the messages of the old one that
///   are still there, the same sequences, and the cursors.
///
/// Dropping it removes the socket and forgets its cursors; connected readers and the producer go on. A
/// broker that is bound there later makes a new ring.
///
/// ```
/// use slipring::broker::Access;
/// use slipring::{Broker, Ring, Start};
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
pub struct Broker {
    listener: Listener,
    pub(super) description: Description,
    pub(super) access: Access,
    /// The clients, in the order in which they connected.
    pub(super) clients: Vec<Client>,
    /// The refused clients, and when they were refused.
    farewells: Vec<(OwnedFd, Instant)>,
    /// The stream of the present or last producer, preceded by older ones that are still read.
    pub(super) streams: Vec<Stream>,
    pub(super) next_stream: u32,
    pub(super) cursors: Cursors,
    /// Whether a client waits for the kernel to free what a dead process held.
    waits_for_kernel: bool,
    /// Whether a request could not be served for lack of descriptors.
    pub(super) lacks_descriptors: bool,
    /// No connection is accepted before this time.
    rests_until: Option<Instant>,
}

shown!([] Broker, "Broker", |broker| clients = broker.clients.len(), streams = broker.streams.len());

#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: OwnedFd,
    pub(super) owner: Owner,
    since: Instant,
    pub(super) holds: Holds,
    /// When it began to wait for something that is missing only for the moment.
    delayed: Option<Instant>,
}

/// What a client holds or waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    /// Waits for its request to be served.
    Waits(Request),
    Reader {
        stream: u32,
        row: u32,
    },
    Producer {
        stream: u32,
    },
}

/// The result of a wait.
struct Heard {
    knocks: bool,
    clients: Vec<usize>,
    farewells: Vec<usize>,
}

impl Broker {
    /// Listens at a socket for clients of the ring that a builder describes. The builder's location is
    /// ignored. The ring evicts after the builder's [`evict_after`](Builder::evict_after), or after 100
    /// milliseconds if that is not set.
    ///
    /// # Errors
    /// [`BrokerError`]: another broker listens there, the path cannot be a socket, bad sizes.
    pub fn bind(
        socket: impl AsRef<Path>,
        builder: Builder,
        access: Access,
    ) -> Result<Self, BrokerError> {
        let path = socket.as_ref().to_owned();
        let mut description = builder.alone()?;
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
        let listener = Listener::at(&path, &access)?;
        Ok(Self {
            listener,
            description,
            access,
            clients: Vec::new(),
            farewells: Vec::new(),
            streams: Vec::new(),
            next_stream: 1,
            cursors: Cursors::default(),
            waits_for_kernel: false,
            lacks_descriptors: false,
            rests_until: None,
        })
    }

    /// Returns the path at which it listens.
    pub fn path(&self) -> &Path {
        self.listener.path()
    }

    /// Returns how many readers and producers hold a row or the stream now.
    pub fn connected(&self) -> usize {
        let holds = |client: &&Client| !matches!(client.holds, Holds::Nothing | Holds::Waits(_));
        self.clients.iter().filter(holds).count()
    }

    /// Forgets a durable cursor of a user. Returns `true` if there was one.
    ///
    /// # Errors
    /// [`BrokerError::CursorInUse`] while a reader uses it, [`BrokerError::Name`].
    pub fn forget_cursor(&mut self, user: u32, name: &str) -> Result<bool, BrokerError> {
        let checked = CursorName::new(name).map_err(BrokerError::Name)?;
        self.take_back();
        let owner = self.cursors.owner(user);
        match self.cursors.find(owner, checked) {
            Some(Whereabouts::Lent { .. }) => Err(BrokerError::CursorInUse {
                name: name.to_owned(),
            }),
            _ => Ok(self.cursors.forget(owner, checked)),
        }
    }

    /// Serves clients for this long at most, and returns earlier after any event. Call it in a loop.
    ///
    /// # Errors
    /// [`BrokerError::Io`] if the broker cannot wait any more. Nothing that a client does is an error here.
    pub fn serve(&mut self, limit: Duration) -> Result<(), BrokerError> {
        let heard = self.wait(limit)?;
        for at in heard.clients.into_iter().rev() {
            if !self.attend(at) {
                self.dismiss(at);
            }
        }
        for at in heard.farewells.into_iter().rev() {
            // Its request has been read, so the client still gets the answer after the connection is
            // closed.
            let (socket, _) = self.farewells.remove(at);
            let _ = hear(&socket, &mut [0; 128]);
        }
        self.farewells
            .retain(|(_, since)| since.elapsed() < MANNERS);
        let silent =
            |client: &Client| client.holds == Holds::Nothing && client.since.elapsed() >= MANNERS;
        while let Some(at) = self.clients.iter().position(silent) {
            // This process may not have run for long since it heard clients.
            if !self.attend(at) {
                self.dismiss(at);
            } else if self.clients[at].holds == Holds::Nothing {
                self.refuse(at, Reply::Busy);
            }
        }
        if heard.knocks {
            self.welcome();
        }
        self.take_back();
        self.serve_waiting();
        if std::mem::take(&mut self.lacks_descriptors) {
            self.spare_one();
        }
        Ok(())
    }

    /// Waits for clients that connect, send a request, or leave.
    fn wait(&mut self, limit: Duration) -> Result<Heard, BrokerError> {
        let now = Instant::now();
        self.rests_until = self.rests_until.filter(|until| *until > now);
        let mut limit = limit;
        let unsettled = |client: &Client| client.holds == Holds::Nothing;
        if self.clients.iter().any(unsettled) || !self.farewells.is_empty() {
            limit = limit.min(MANNERS);
        }
        if let Some(until) = self.rests_until {
            limit = limit.min(until - now);
        }
        if self.waits_for_kernel {
            limit = limit.min(KERNEL);
        }
        let clients = self.clients.iter().map(|client| client.socket.as_fd());
        let farewells = self.farewells.iter().map(|(socket, _)| socket.as_fd());
        // Polling a socket without accepting from it would end every wait at once.
        let listener = self.rests_until.is_none().then(|| self.listener.as_fd());
        let sockets: Vec<_> = clients.chain(farewells).chain(listener).collect();
        let mut fds: Vec<PollFd<'_>> = sockets
            .iter()
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        match poll(&mut fds, Timespec::try_from(limit).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io("wait at", self.path(), error)),
        }
        let said = |at: &usize| fds.get(*at).is_some_and(|fd| !fd.revents().is_empty());
        let (clients, farewells) = (self.clients.len(), self.farewells.len());
        Ok(Heard {
            knocks: said(&(clients + farewells)),
            clients: (0..clients).filter(said).collect(),
            farewells: (0..farewells).filter(|at| said(&(clients + at))).collect(),
        })
    }

    /// Accepts clients.
    fn welcome(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..WELCOMES {
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(error) => {
                    let shortage =
                        is_shortage(error) || matches!(error, Errno::NOMEM | Errno::NOBUFS);
                    if shortage && !self.spare_one() {
                        self.rests_until = Some(Instant::now() + REST);
                    }
                    return;
                }
            };
            let Ok(who) = sockopt::socket_peercred(&socket) else {
                continue;
            };
            match self.access.owner(who.uid.as_raw(), who.gid.as_raw()) {
                None => self.say_farewell(socket, Reply::Forbidden),
                Some(owner) if self.has_room(owner) => self.clients.push(Client {
                    socket,
                    owner,
                    since: Instant::now(),
                    holds: Holds::Nothing,
                    delayed: None,
                }),
                Some(_) => self.say_farewell(socket, Reply::Busy),
            }
        }
    }

    /// Returns `true` if there is room for one more client of an owner. If necessary, drops the client that
    /// has been silent for the longest time. So clients that send their request at once, as a producer
    /// does, always find room.
    fn has_room(&mut self, owner: Owner) -> bool {
        let rows = self.description.geometry.rows;
        let any = |_: &Client| true;
        if self.count(owner, any) >= self.access.connections(owner, rows) + SPARE {
            return self.replace_silent(&|other| other == owner);
        }
        let members = self.access.connections_of_members(rows) + SPARE;
        if owner.is_member() && self.count_members(any) >= members {
            return self.replace_silent(&Owner::is_member);
        }
        true
    }

    /// Returns `true` if one more client of an owner may wait for a row.
    fn has_room_to_wait(&self, owner: Owner) -> bool {
        let rows = self.description.geometry.rows;
        let settled = |client: &Client| client.holds != Holds::Nothing;
        self.count(owner, settled) < self.access.connections(owner, rows)
            && (!owner.is_member()
                || self.count_members(settled) < self.access.connections_of_members(rows))
    }

    fn count(&self, owner: Owner, which: impl Fn(&Client) -> bool) -> usize {
        let clients = self.clients.iter();
        clients.filter(|c| c.owner == owner && which(c)).count()
    }

    fn count_members(&self, which: impl Fn(&Client) -> bool) -> usize {
        let clients = self.clients.iter();
        clients.filter(|c| c.owner.is_member() && which(c)).count()
    }

    fn replace_silent(&mut self, who: &dyn Fn(Owner) -> bool) -> bool {
        let silent = |client: &Client| client.holds == Holds::Nothing && who(client.owner);
        let found = self.clients.iter().position(silent);
        if let Some(at) = found {
            self.refuse(at, Reply::Busy);
        }
        found.is_some()
    }

    /// Ends the connection of the last waiting client of the owner with the most of them, if it has
    /// several.
    fn spare_one(&mut self) -> bool {
        let waits = |client: &Client| matches!(client.holds, Holds::Nothing | Holds::Waits(_));
        let count = |owner: Owner| self.count(owner, waits);
        let waiting = self.clients.iter().enumerate().filter(|(_, c)| waits(c));
        let most = waiting.max_by_key(|(at, client)| (count(client.owner), *at));
        match most.map(|(at, client)| (at, count(client.owner))) {
            Some((at, many)) if many > 1 => {
                self.refuse(at, Reply::Busy);
                true
            }
            _ => false,
        }
    }

    /// Tells a client why it is not let in, and keeps the connection until it has sent its request.
    fn say_farewell(&mut self, socket: OwnedFd, reply: Reply) {
        let _ = answer(&socket, reply, &[]);
        if self.farewells.len() >= FAREWELLS {
            self.farewells.remove(0);
        }
        self.farewells.push((socket, Instant::now()));
    }

    /// Reads a client's request. Returns `true` if the client stays.
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
                Some(Request::Read { .. }) if !self.has_room_to_wait(self.clients[at].owner) => {
                    let _ = answer(&self.clients[at].socket, Reply::Busy, &[]);
                    false
                }
                Some(request) => {
                    self.clients[at].holds = Holds::Waits(request);
                    // A client that has given up meanwhile is not served: a cursor must not be forgotten
                    // long after its owner was told that the broker did not answer.
                    matches!(
                        hear(&self.clients[at].socket, &mut [0; 8]),
                        Err(Errno::AGAIN | Errno::INTR)
                    )
                }
                None => {
                    let _ = answer(&self.clients[at].socket, Reply::BadRequest, &[]);
                    false
                }
            },
            Holds::Producer { stream } if is_confirmation(said) => {
                let number = *stream;
                let stream = self.streams.iter_mut().find(|s| s.number == number);
                stream.is_some_and(|stream| {
                    stream.ready = stream.files.is_sealed();
                    stream.ready
                })
            }
            // No other client may send anything.
            _ => false,
        }
    }

    /// Answers a client and ends its connection.
    fn refuse(&mut self, at: usize, reply: Reply) {
        let _ = answer(&self.clients[at].socket, reply, &[]);
        self.dismiss(at);
    }

    /// Ends the connection of a client, and records what it held.
    fn dismiss(&mut self, at: usize) {
        let client = self.clients.remove(at);
        if let Holds::Reader { stream, row } = client.holds {
            let stream = self.streams.iter_mut().find(|s| s.number == stream);
            if let Some(stream) = stream {
                stream.left(row);
            }
        }
    }

    /// Takes back the rows of clients that left, and the cursors in them, once the processes are dead or
    /// have released them, or after a time limit: until the end of the stream the rows go only to the same
    /// user. Drops older streams that are not read any more.
    fn take_back(&mut self) {
        for stream in &mut self.streams {
            let done = |(row, since): (u32, Instant)| {
                let gone = since.elapsed() >= BURIAL || !stream.held(row);
                gone.then_some(row)
            };
            let rows: Vec<u32> = stream.returning().filter_map(done).collect();
            for row in rows {
                if let Some(words) = stream.files.memory().row(row) {
                    self.cursors.take_back(stream.number, row, words);
                }
                stream.take_back(row);
            }
        }
        let last = self.streams.last().map(|stream| stream.number);
        // The content that a producer left goes to the next producer that seals its stream.
        let ready = self.streams.iter().rev().find(|stream| stream.ready);
        let kept = [last, ready.map(|stream| stream.number)];
        self.streams
            .retain(|stream| kept.contains(&Some(stream.number)) || stream.is_read());
    }

    /// Answers waiting clients, the oldest first: a producer once the last one is gone, readers once there
    /// is a producer.
    fn serve_waiting(&mut self) {
        self.waits_for_kernel = false;
        let mut at = 0;
        while let Some(client) = self.clients.get(at) {
            let Holds::Waits(request) = &client.holds else {
                at += 1;
                continue;
            };
            match self.admit(at, request.clone()) {
                Outcome::Answered(reply) => self.refuse(at, reply),
                Outcome::Later(reply) => {
                    let client = &mut self.clients[at];
                    let since = *client.delayed.get_or_insert_with(Instant::now);
                    if since.elapsed() >= BURIAL {
                        self.refuse(at, reply);
                    } else {
                        self.waits_for_kernel = true;
                        at += 1;
                    }
                }
                Outcome::Granted | Outcome::Waits => {
                    self.clients[at].delayed = None;
                    at += 1;
                }
            }
        }
    }

    fn admit(&mut self, at: usize, request: Request) -> Outcome {
        let current = self.streams.last().filter(|stream| stream.ready);
        match request {
            Request::Produce => self.admit_producer(at),
            Request::Forget { name, user } => self.admit_forgetting(at, &name, user),
            Request::Read { name, after, ring } => match current {
                Some(stream) if stream.number > after || ring != self.description.ring_id => {
                    self.admit_reader(at, &name)
                }
                _ => Outcome::Waits,
            },
        }
    }
}
