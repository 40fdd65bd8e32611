//! Handling a request.
//!
//! Layer 8.

use super::access::Owner;
use super::cursors::{Whereabouts, MOST};
use super::outcome::{is_shortage, Outcome};
use super::server::{Broker, Holds};
use super::stream::{inherit, NoRow, Stream, Usage};
use super::wire::{answer, Reply};
use crate::ring::losses;
use crate::ring::observer::{Observer, Resume};
use crate::ring::Start;
use crate::segment::isolated::Isolated;
use crate::segment::{CursorName, Role};
use crate::sync::Ordering::Relaxed;
use rustix::io::Errno;
use std::io;

impl Broker {
    pub(super) fn admit_producer(&mut self, at: usize) -> Outcome {
        if self.clients[at].owner != Owner::Own {
            return Outcome::Answered(Reply::Forbidden);
        }
        if let Some(current) = self.streams.last() {
            let holds = Holds::Producer {
                stream: current.number,
            };
            if self.clients.iter().any(|client| client.holds == holds) {
                return Outcome::Answered(Reply::ProducerExists);
            }
            if current.files.is_held(Role::Producer).unwrap_or(true) {
                return Outcome::Later(Reply::ProducerExists);
            }
        }
        let stream = match self.succeed() {
            Ok(stream) => stream,
            Err(error) => return self.out_of_room(&error),
        };
        let number = stream.number;
        let reply = Reply::Granted {
            row: 0,
            stream: number,
            ring: self.description.ring_id,
        };
        let handed = stream
            .files
            .for_producer()
            .and_then(|files| Ok(answer(&self.clients[at].socket, reply, &files)?));
        if let Err(error) = handed {
            return self.out_of_room(&error);
        }
        self.next_stream = self.next_stream.wrapping_add(1);
        // A stream that was never sealed was never read.
        self.streams.retain(|stream| stream.ready);
        self.streams.push(stream);
        self.clients[at].holds = Holds::Producer { stream: number };
        Outcome::Granted
    }

    /// The kernel refused a resource that a request needs.
    fn out_of_room(&mut self, error: &io::Error) -> Outcome {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        let reply = Reply::Exhausted {
            errno: errno.raw_os_error(),
        };
        if is_shortage(errno) {
            self.lacks_descriptors = true;
            Outcome::Later(reply)
        } else {
            Outcome::Answered(reply)
        }
    }

    /// The stream for the next producer: the content of the last one, or an empty one.
    fn succeed(&self) -> io::Result<Stream> {
        let stream = |files| Stream::new(self.next_stream, files);
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
            losses::go_on_counting(old, new);
        })?;
        Ok(stream(files))
    }

    pub(super) fn admit_reader(&mut self, at: usize, name: &str) -> Outcome {
        let owner = self.clients[at].owner;
        let mut mark = None;
        let named = match name {
            "" => None,
            text => match CursorName::new(text) {
                Ok(named) => Some(named),
                Err(_) => return Outcome::Answered(Reply::BadRequest),
            },
        };
        if let Some(named) = named {
            match self.cursors.find(owner, named) {
                Some(Whereabouts::Lent { stream, row }) => return self.in_use(stream, row),
                Some(Whereabouts::Away(found)) => mark = Some((named, found)),
                None if self.cursors.is_full(owner) => {
                    return Outcome::Answered(Reply::CursorLimit {
                        cursors: MOST as u32,
                        oldest: self.cursors.oldest(owner),
                    })
                }
                None => {}
            }
        }
        let Some(stream) = self.streams.last_mut() else {
            return Outcome::Waits;
        };
        let row = match stream.row_for(owner, &self.access) {
            Ok(row) => row,
            Err(NoRow::Never(reply)) => return Outcome::Answered(reply),
            Err(NoRow::NotYet(reply)) => return Outcome::Later(reply),
        };
        stream.prepare(row, self.description.ring_id, mark);
        let number = stream.number;
        let reply = Reply::Granted {
            row,
            stream: number,
            ring: self.description.ring_id,
        };
        let handed = stream
            .files
            .for_reader(row)
            .and_then(|files| Ok(answer(&self.clients[at].socket, reply, &files)?));
        if let Err(error) = handed {
            return self.out_of_room(&error);
        }
        stream.hand_out(row, owner);
        if let Some(named) = named {
            self.cursors.lend(owner, named, number, row);
        }
        self.clients[at].holds = Holds::Reader {
            stream: number,
            row,
        };
        Outcome::Granted
    }

    /// The reply about a cursor that a reader uses.
    fn in_use(&self, number: u32, row: u32) -> Outcome {
        let stream = self.streams.iter().find(|stream| stream.number == number);
        match stream.map(|stream| stream.usage(row)) {
            Some(Usage::Out) => Outcome::Answered(Reply::CursorInUse),
            _ => Outcome::Later(Reply::CursorInUse),
        }
    }

    pub(super) fn admit_forgetting(&mut self, at: usize, name: &str, user: Option<u32>) -> Outcome {
        let own = self.clients[at].owner;
        let owner = match user {
            None => own,
            Some(uid) => self.cursors.owner(uid),
        };
        let is_theirs = match own {
            Owner::Own => true,
            Owner::Named(uid) | Owner::Member(uid) => user.is_none_or(|other| other == uid),
        };
        if !is_theirs {
            return Outcome::Answered(Reply::Forbidden);
        }
        let Ok(name) = CursorName::new(name) else {
            return Outcome::Answered(Reply::BadRequest);
        };
        match self.cursors.find(owner, name) {
            Some(Whereabouts::Lent { stream, row }) => self.in_use(stream, row),
            _ => Outcome::Answered(Reply::Forgotten {
                existed: self.cursors.forget(owner, name),
            }),
        }
    }
}
