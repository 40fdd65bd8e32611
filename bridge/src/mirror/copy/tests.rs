//! Who wrote into the ring of a mirror, and what is left of it when that is refused.

use super::{Copy, Left, Note};
use crate::error::BridgeError;
use rustix::fs::{fcntl_add_seals, memfd_create, MemfdFlags, SealFlags};
use slipring::Ring;
use std::fs::File;

struct Scratch {
    _directory: tempfile::TempDir,
    ring: Ring,
}

impl Scratch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ring = Ring::builder(directory.path().join("copy"));
        Self {
            ring: ring.create().unwrap(),
            _directory: directory,
        }
    }

    fn copy(&self) -> Copy {
        Copy::new(self.ring.clone()).unwrap()
    }

    fn other_publishes(&self, closes: bool) {
        let mut producer = self.ring.producer().unwrap();
        producer.publish(b"of another").unwrap();
        match closes {
            true => producer.close(),
            false => producer.detach(),
        }
    }
}

fn is_other_mirror<T>(result: Result<T, BridgeError>) -> bool {
    matches!(result, Err(BridgeError::OtherMirror { .. }))
}

fn is_written<T>(result: Result<T, BridgeError>) -> bool {
    matches!(result, Err(BridgeError::WrittenByOther { .. }))
}

/// Two mirrors of one ring: the one that is not its producer does not take the other for a program that is none.
#[test]
fn another_mirror_is_told_from_another_program() {
    for killed in [false, true] {
        for publishes in [false, true] {
            let at = Scratch::new();
            let mut one = at.copy();
            let producer = one.attach().unwrap();
            one.close(producer);
            let mut other = at.copy();
            let mut producer = other.attach().unwrap();
            one.check().unwrap();
            producer.publish(b"of the source").unwrap();
            assert!(is_other_mirror(one.check()));
            match killed {
                true => producer.detach(),
                false => other.detach(producer),
            }
            if publishes {
                at.other_publishes(false);
            }
            assert!(is_other_mirror(one.check()));
            assert!(is_other_mirror(one.attach()));
            // Started again, it knows.
            let mut again = at.copy();
            match publishes {
                true => assert!(is_written(again.attach())),
                false => drop(again.attach().unwrap()),
            }
        }
    }
}

/// Also as seen by one that has looked already, and is about to be the producer.
#[test]
fn another_program_in_between_is_found_and_the_ring_stays_as_it_was() {
    for closed in [false, true] {
        for mirror in [false, true] {
            let at = Scratch::new();
            let mut copy = at.copy();
            let producer = copy.attach().unwrap();
            match closed {
                true => copy.close(producer),
                false => copy.detach(producer),
            }
            let seen = copy.look().unwrap();
            if mirror {
                let mut other = at.copy();
                let mut producer = other.attach().unwrap();
                producer.publish(b"of the source").unwrap();
                other.close(producer);
            } else {
                at.other_publishes(closed);
            }
            match copy.attach_as(&seen) {
                Err(BridgeError::OtherMirror { pid, .. }) => assert_eq!((pid, mirror), (0, true)),
                Err(BridgeError::WrittenByOther {
                    pid,
                    expected,
                    found,
                    ..
                }) => {
                    // Who it was is not known any more. It was not the one that found it.
                    assert_eq!((pid, mirror), (0, false));
                    assert_eq!((expected, found), (Some(0), Some(1)));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(at.ring.status().unwrap().closed, closed);
        }
    }
}

/// A note that is not so any more would have the next mirror refuse what this one wrote.
#[test]
fn a_note_that_cannot_be_written_says_nothing() {
    let at = Scratch::new();
    let mut copy = at.copy();
    let producer = copy.attach().unwrap();
    copy.detach(producer);
    // Neither written nor cut short.
    let path = super::note::path(at.ring.path());
    copy.note.as_mut().unwrap().file = File::open(&path).unwrap();
    let mut producer = copy.attach().unwrap();
    assert!(!path.exists());
    producer.publish(b"of the source").unwrap();
    copy.detach(producer);
    copy.check().unwrap();
    let mut next = at.copy();
    next.attach().unwrap().detach();

    // Cut short, but not written.
    let file = memfd_create("note", MemfdFlags::ALLOW_SEALING).unwrap();
    let note = Note {
        file: file.into(),
        path,
        ring: at.ring.id(),
    };
    let left = Left {
        epoch: 7,
        next: Some(9),
    };
    note.write(left).unwrap();
    assert_eq!(note.read().unwrap(), Some(left));
    fcntl_add_seals(&note.file, SealFlags::WRITE).unwrap();
    next.note = Some(note);
    let producer = next.attach().unwrap();
    assert_eq!(next.note.as_ref().unwrap().read().unwrap(), None);
    // What it knows by itself stays known.
    next.close(producer);
    at.other_publishes(true);
    assert!(is_written(next.attach()));
    assert!(next.warned);
}
