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
}

impl Copy {
    /// A ring of which nothing is known.
    #[cfg(test)]
    pub fn unknown(ring: Ring) -> Self {
        Self {
            ring,
            note: None,
            left: None,
        }
    }

    /// A ring that a mirror may have left before.
    ///
    /// # Errors
    /// [`BridgeError::Io`] if there is a note of it that cannot be read. Where none can be made, the next mirror knows nothing.
    pub fn new(ring: Ring) -> Result<Self, BridgeError> {
        let (note, left) = match Note::open(ring.path(), ring.id()) {
            Ok((note, left)) => (Some(note), left),
            Err(error) => {
                let path = note::path(ring.path());
                let shown = path.display();
                if path.symlink_metadata().is_ok() {
                    let text = format!("{shown}, where mirrors keep how far they were, cannot be used: {error}: give it to the user of this mirror, or remove it if nobody else published in the ring");
                    return Err(io::Error::new(error.kind(), text).into());
                }
                tracing::warn!("{shown} cannot be made, so the next mirror cannot know whether others published in the ring: {error}");
                (None, None)
            }
        };
        Ok(Self { ring, note, left })
    }

    /// Becomes its producer. May wait for another process that attaches.
    ///
    /// # Errors
    /// [`BridgeError::WrittenByOther`]. The ring is left as it is then.
    pub fn attach(&mut self) -> Result<Producer, BridgeError> {
        let (before, expected) = self.look()?;
        let producer = self.ring.producer()?;
        let found = producer.next_sequence();
        let as_expected = match expected {
            Some(expected) => expected == found,
            // Nobody came between the look and this.
            None => self.left.is_none() || producer.epoch() == before.wrapping_add(1),
        };
        if !as_expected {
            producer.detach();
            return Err(self.written(expected, Some(found)));
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

    /// Returns how many producers it has had, and its next sequence if that is known from what a mirror left.
    fn look(&self) -> Result<(u64, Option<u64>), BridgeError> {
        let status = self.ring.status()?;
        let (epoch, found) = (status.epoch, status.next_sequence);
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
            Some(_) => return Err(self.written(None, found)),
        };
        match (expected, found) {
            (Some(expected), Some(found)) if expected != found => {
                Err(self.written(Some(expected), Some(found)))
            }
            _ => Ok((epoch.number, expected)),
        }
    }

    fn written(&self, expected: Option<u64>, found: Option<u64>) -> BridgeError {
        BridgeError::WrittenByOther {
            path: self.ring.path().to_owned(),
            pid: self.ring.status().map_or(0, |status| status.producer_pid),
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
        if let Err(error) = note.write(left) {
            let path = note::path(self.ring.path());
            tracing::warn!("{} cannot be written, so the next mirror may not know whether others published in the ring: {error}", path.display());
        }
    }
}
