//! Half-made rings: directories that a creator left unfinished when it died, or a remover left undeleted.
//!
//! Layer 2. They have hidden names that begin with the ring's. A creator at work holds a lock on the
//! directory, which ends with the process.

use super::directory::open_directory;
use super::error::{OpenError, RemoveError};
use super::remove::{delete, failed};
use rustix::fs::{self, flock, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A hidden directory that is no ring.
#[derive(Clone, Debug)]
pub struct Half {
    directory: PathBuf,
    name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether a process is at work on it.
    pub busy: bool,
}

impl Half {
    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Removes it unless a process is at work on it. Returns `true` if it is gone.
    pub fn remove(&self) -> Result<bool, RemoveError> {
        let io = |what, e: Errno| failed(what, &self.path(), e);
        let parent = open(&self.directory).map_err(|e| io("open", e))?;
        match open_directory(&parent, &self.name) {
            Err(Errno::NOENT) => Ok(true),
            Err(error) => Err(io("open", error)),
            Ok(half) => {
                if flock(&half, FlockOperation::NonBlockingLockExclusive).is_err() {
                    return Ok(false);
                }
                match delete(&parent, &self.name) {
                    Ok(()) | Err(Errno::NOENT) => Ok(true),
                    Err(error) => Err(io("delete", error)),
                }
            }
        }
    }
}

fn open(directory: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    fs::open(directory, flags, Mode::empty())
}

/// `.NAME.` and sixteen hexadecimal digits.
fn is_hidden_name(name: &str) -> bool {
    let Some((ring, random)) = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once('.'))
    else {
        return false;
    };
    !ring.is_empty() && random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The halves in a directory, in order of name. A directory that does not exist has none.
pub fn halves(directory: &Path) -> Result<Vec<Half>, OpenError> {
    let io = |e: Errno| OpenError::io("list", directory, e.into());
    let parent = match open(directory) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        parent => parent.map_err(io)?,
    };
    let mut found = Vec::new();
    for entry in fs::Dir::read_from(&parent).map_err(io)? {
        let entry = entry.map_err(io)?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if !is_hidden_name(name) {
            continue;
        }
        let Ok(half) = open_directory(&parent, name) else {
            continue;
        };
        let size = |file: &str| fs::statat(&half, file, fs::AtFlags::SYMLINK_NOFOLLOW);
        let bytes = ["stream", "control", "schema"]
            .into_iter()
            .filter_map(|file| size(file).ok())
            .map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
            .sum();
        found.push(Half {
            directory: directory.to_owned(),
            name: name.to_owned(),
            bytes,
            busy: flock(&half, FlockOperation::NonBlockingLockExclusive).is_err(),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_creator_names_is_a_half() {
        assert!(is_hidden_name(".ticks.0123456789abcdef"));
        assert!(is_hidden_name(".a.b.0123456789abcdef"));
        for other in [
            "ticks",
            ".ticks",
            "..0123456789abcdef",
            ".ticks.0123456789abcde",
            ".ticks.0123456789abcdeg",
            ".",
            "..",
        ] {
            assert!(!is_hidden_name(other), "{other}");
        }
    }
}
