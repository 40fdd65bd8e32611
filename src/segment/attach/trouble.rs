//! What may have happened to the files of a segment, or to this process, since it attached.
//!
//! Layer 2.

use super::Segment;
use crate::segment::lock::Role;
use rustix::fs::{fstat, stat};
use std::time::{Duration, Instant};

/// What can happen to a ring, or to a process, while the ring is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This process is a fork of the one that opened the ring.
    Forked,
    /// Pages went away: a file was cut short while it was mapped.
    Poisoned,
    /// The files were removed. Processes that have them mapped still reach each other; no other process can
    /// join them, and the name may belong to another ring by now.
    Removed,
}

/// How long an attacher waits for a process that is removing the ring. A remover that is stopped cannot be
/// waited for; a process that attached meanwhile then learns of the removal like every attached process.
const REMOVAL: Duration = Duration::from_secs(1);

impl Segment {
    /// What happened to the pages or the files, if anything. Costs two system calls, so it is called where
    /// a caller waits or attaches, and otherwise rarely.
    ///
    /// A short tail of the last page reads as zeroes without any signal: only the size of the file
    /// tells.
    #[cold]
    pub fn trouble(&self) -> Option<Trouble> {
        if self.reader.poisoned() {
            return Some(Trouble::Poisoned);
        }
        let files = self.files.as_ref()?;
        let geometry = self.description.geometry;
        let stream = (&files.stream, geometry.stream_bytes());
        let control = files.control.as_ref();
        let control = control.map(|file| (file, geometry.control_bytes()));
        let mut removed = false;
        for (file, bytes) in std::iter::once(stream).chain(control) {
            let Ok(stat) = fstat(file) else { continue };
            if u64::try_from(stat.st_size).unwrap_or(0) < bytes {
                return Some(Trouble::Poisoned);
            }
            removed |= files.named && stat.st_nlink == 0;
        }
        removed.then_some(Trouble::Removed)
    }

    /// Like [`trouble`](Self::trouble), for a caller that has just taken a role.
    ///
    /// A process that removes the ring takes the cleaner's role and then asks for all others; this caller
    /// took another one and then asks for the cleaner's. So one of them sees the other: the remover gives
    /// up, or this caller waits until the removal is over and sees its result.
    pub fn trouble_after_attaching(&self) -> Option<Trouble> {
        let named = self.files.as_ref().is_some_and(|files| files.named);
        if let (true, Some(locks)) = (named, &self.locks) {
            let started = Instant::now();
            while matches!(locks.is_held(Role::Cleaner), Ok(true)) && started.elapsed() < REMOVAL {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.trouble()
    }

    /// Returns `true` if the path still leads to this ring, so that other files in its directory belong to
    /// it. Always `true` for a ring without a name.
    pub fn is_in_place(&self) -> bool {
        let Some(files) = self.files.as_ref().filter(|files| files.named) else {
            return true;
        };
        match (fstat(&files.stream), stat(self.path.join("stream"))) {
            (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }
}
