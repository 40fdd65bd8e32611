//! The ring of a mirror, and whether anybody else wrote into it.
//!
//! Only here does a mirror become its producer. As long as it is, nobody else can be: what has to be found out is whether another
//! program was the producer before, and published something then. The sequences behind that are not those of the source any more.

use super::note::{self, Left, Note};
use crate::error::BridgeError;
use slipring::{Producer, Ring};
use std::io;

pub(super) struct Copy {
    ring: Ring,
    note: Option<Note>,
    /// How a mirror left it; nothing if it is not known whether one did.
    left: Option<Left>,
    /// Whether it was said that the note cannot be written.
    warned: bool,
}

/// What it was before this mirror became its producer.
struct Seen {
    /// How many producers it had had.
    epoch: u64,
    /// The next sequence, if that is known from what a mirror left.
    expected: Option<u64>,
    /// The process of the last producer.
    pid: u32,
    closed: bool,
}

impl Copy {
    /// A ring of which nothing is known.
    #[cfg(test)]
    pub fn unknown(ring: Ring) -> Self {
        Self {
            ring,
            note: None,
            left: None,
            warned: false,
        }
    }

    /// A ring that a mirror may have left before.
    ///
    /// # Errors
    /// [`BridgeError::Note`] if what is there cannot be used, [`BridgeError::Io`] if the system lacks what is needed to read it. Where none can be made, the next mirror knows nothing.
    pub fn new(ring: Ring) -> Result<Self, BridgeError> {
        let (note, left) = match Note::open(ring.path(), ring.id()) {
            Ok((note, left)) => (Some(note), left),
            Err(error) => {
                let path = note::path(ring.path());
                let shown = path.display();
                if path.symlink_metadata().is_ok() {
                    if note::is_unusable(&error) {
                        return Err(BridgeError::Note { path, error });
                    }
                    let text = format!("{shown} cannot be opened: {error}");
                    return Err(io::Error::new(error.kind(), text).into());
                }
                tracing::warn!("{shown} cannot be made, so the next mirror cannot know whether others published in the ring: {error}");
                (None, None)
            }
        };
        Ok(Self {
            ring,
            note,
            left,
            warned: false,
        })
    }

    /// Becomes its producer. May wait for another process that attaches.
    ///
    /// # Errors
    /// [`BridgeError::WrittenByOther`], [`BridgeError::OtherMirror`]. The ring is left as it is then.
    pub fn attach(&mut self) -> Result<Producer, BridgeError> {
        let seen = self.look()?;
        self.attach_as(&seen)
    }

    fn attach_as(&mut self, seen: &Seen) -> Result<Producer, BridgeError> {
        let producer = self.ring.producer()?;
        let found = producer.next_sequence();
        let nobody_between = producer.epoch() == seen.epoch.wrapping_add(1);
        let as_expected = match seen.expected {
            Some(expected) => expected == found,
            None => self.left.is_none() || nobody_between,
        };
        if !as_expected {
            match seen.closed {
                true => producer.close(),
                false => producer.detach(),
            }
            let pid = if nobody_between { seen.pid } else { 0 };
            return Err(self.refused(pid, seen.expected, Some(found)));
        }
        // Before anything is written: who is killed in between has written nothing.
        self.keep(Left {
            epoch: producer.epoch(),
            next: None,
        });
        Ok(producer)
    }

    /// Leaves it open: readers wait for the next producer.
    pub fn detach(&mut self, producer: Producer) {
        self.leave(&producer);
        producer.detach();
    }

    /// Closes it: readers are at the end.
    pub fn close(&mut self, producer: Producer) {
        self.leave(&producer);
        producer.close();
    }

    /// Looks whether anybody else wrote into it since a mirror was its producer.
    pub fn check(&self) -> Result<(), BridgeError> {
        self.look().map(drop)
    }

    fn look(&self) -> Result<Seen, BridgeError> {
        let status = self.ring.status()?;
        let (epoch, found, pid) = (status.epoch, status.next_sequence, status.producer_pid);
        let expected = match self.left {
            None => None,
            Some(Left {
                next: Some(next), ..
            }) => Some(next),
            // It was killed, and nobody followed.
            Some(Left { epoch: last, .. }) if last == epoch.number => None,
            // Who followed, another mirror perhaps that was killed at once, has to have written nothing.
            Some(Left { epoch: last, .. }) if last.wrapping_add(1) == epoch.number => {
                Some(epoch.first_sequence)
            }
            Some(_) => return Err(self.refused(pid, None, found)),
        };
        match (expected, found) {
            (Some(expected), Some(found)) if expected != found => {
                Err(self.refused(pid, Some(expected), Some(found)))
            }
            _ => Ok(Seen {
                epoch: epoch.number,
                expected,
                pid,
                closed: status.closed,
            }),
        }
    }

    /// Who wrote into it. A mirror says what it does before it writes: where the note is not that of this one any more, what this one
    /// knows is of before.
    fn refused(&self, pid: u32, expected: Option<u64>, found: Option<u64>) -> BridgeError {
        let path = self.ring.path().to_owned();
        let says = self.note.as_ref().and_then(|note| note.read().ok()?);
        if says.is_some() && says != self.left {
            return BridgeError::OtherMirror { path, pid };
        }
        BridgeError::WrittenByOther {
            path,
            pid,
            expected,
            found,
        }
    }

    fn leave(&mut self, producer: &Producer) {
        self.keep(Left {
            epoch: producer.epoch(),
            next: Some(producer.next_sequence()),
        });
    }

    fn keep(&mut self, left: Left) {
        self.left = Some(left);
        let Some(note) = &self.note else {
            return;
        };
        let Err(error) = note.write(left) else {
            return;
        };
        // What it said before is not so any more: the next mirror would refuse the ring.
        if !note.forget() {
            self.note = None;
        }
        if !std::mem::replace(&mut self.warned, true) {
            let path = note::path(self.ring.path());
            tracing::warn!("{} cannot be written, so the next mirror may not know whether others published in the ring: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests;
