//! Leftovers in a slipring directory: half-made rings, and rings that no process uses any more.
//!
//! Layer 8. Looking holds no lock afterwards. Removing asks once more whether a process is attached, under
//! the lock that keeps others out meanwhile.

use super::catalog::{list_in, remove_at};
use crate::layout::form::Form;
use crate::segment::{damaged, halves, is_used, Half, Location, OpenError, RemoveError};
use std::path::{Path, PathBuf};

/// Why something is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A process died while it made or removed a ring.
    Half,
    /// The producer closed the ring, and no process is attached.
    Over,
    /// The producer died without closing the ring, and no process is attached. What it committed can still
    /// be read, and the next producer goes on behind it.
    Died,
    /// No process is attached, but one may still come: there was no producer yet, or it left the ring
    /// open, or a durable cursor waits in it, or it is of a form that is made to be opened again, as a
    /// named pipe is.
    Idle,
    /// It cannot be opened any more, because files of it were cut, changed or removed, and no lock of it
    /// is held.
    Damaged,
}

/// Something that no live process holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leftover {
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes of memory it takes.
    pub bytes: u64,
    /// Why it is left over.
    pub why: Why,
    /// Process id of the last producer, for display; 0 if there was none.
    pub producer_pid: u32,
    half: Option<Half>,
}

impl Leftover {
    /// Removes it, unless a process has attached since. Returns `true` if it is gone.
    ///
    /// # Errors
    /// [`RemoveError`], except [`RemoveError::InUse`].
    pub fn remove(&self) -> Result<bool, RemoveError> {
        if let Some(half) = &self.half {
            return half.remove();
        }
        match remove_at(&self.path, false) {
            Ok(()) | Err(RemoveError::Open(OpenError::NotFound { .. })) => Ok(true),
            Err(RemoveError::InUse { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What no live process holds in the slipring directory.
///
/// # Errors
/// [`OpenError`] if the directory cannot be read.
pub fn leftovers() -> Result<Vec<Leftover>, OpenError> {
    leftovers_in(super::default_directory())
}

/// What no live process holds in a directory.
///
/// # Errors
/// As [`leftovers`].
pub fn leftovers_in(directory: impl AsRef<Path>) -> Result<Vec<Leftover>, OpenError> {
    let mut found: Vec<Leftover> = halves(directory.as_ref())?
        .into_iter()
        .filter(|half| !half.busy)
        .map(|half| Leftover {
            path: half.path(),
            bytes: half.bytes,
            why: Why::Half,
            producer_pid: 0,
            half: Some(half),
        })
        .collect();
    for entry in list_in(&directory)? {
        let ring = match entry.ring {
            Ok(ring) => ring,
            Err(error) => {
                found.extend(damaged_leftover(
                    &directory.as_ref().join(entry.name),
                    &error,
                ));
                continue;
            }
        };
        // Removed, or cut short, since it was listed.
        let Ok(status) = ring.status() else {
            continue;
        };
        // Without permission to ask, a process may be attached.
        let used = Location::at(ring.path()).ok().and_then(|at| is_used(&at));
        if used != Some(false) || !ring.may_consume() {
            continue;
        }
        let waits = status.readers.iter().any(|reader| reader.cursor.is_some());
        // The next two processes make a link anew; every other form except a ring stays for its next user.
        let ends = matches!(ring.form(), Form::Ring | Form::Link) && !waits;
        let why = match ends {
            true if status.closed => Why::Over,
            true if status.abandoned => Why::Died,
            _ => Why::Idle,
        };
        found.push(Leftover {
            path: ring.path().to_owned(),
            bytes: ring.memory_bytes(),
            why,
            producer_pid: status.producer_pid,
            half: None,
        });
    }
    Ok(found)
}

fn damaged_leftover(path: &Path, error: &OpenError) -> Option<Leftover> {
    let location = Location::at(path).ok()?;
    Some(Leftover {
        path: path.to_owned(),
        bytes: damaged(&location, error)?,
        why: Why::Damaged,
        producer_pid: 0,
        half: None,
    })
}
