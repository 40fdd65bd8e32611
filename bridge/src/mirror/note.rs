//! What is kept beside the ring of a mirror, for the next mirror: how the last one left it.
//!
//! A file of one line, `.NAME.mirror`. It is written in place, at once and always as long, so that a mirror that is killed meanwhile
//! leaves the line of before or that of behind. That the machine may fail needs no care: the ring does not outlive it.

pub(super) use crate::error::note_of as path;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a mirror left its ring, or where it began if it did not say: it may have been killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Its epoch: how many producers the ring had had by then.
    pub epoch: u64,
    /// The first sequence that it had not written, if it said so.
    pub next: Option<u64>,
}

/// The file beside the ring with this identity. One beside another ring of the same name says nothing.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) ring: u128,
}

/// What lies there, and not what the system lacks at this moment, is why it cannot be opened: a person has to look.
pub(super) fn is_unusable(error: &io::Error) -> bool {
    let lasts = [
        Errno::ACCESS,
        Errno::PERM,
        Errno::ISDIR,
        Errno::LOOP,
        Errno::NXIO,
        Errno::NODEV,
        Errno::ROFS,
    ];
    match error.raw_os_error() {
        Some(raw) => lasts.iter().any(|errno| errno.raw_os_error() == raw),
        None => true,
    }
}

/// Bytes of the line.
const LINE: usize = 93;

impl Note {
    /// Opens or makes the file beside a ring. Returns what it says, too. As of the files of a ring, nothing is taken that another
    /// user may have put there.
    pub fn open(ring: &Path, id: u128) -> io::Result<(Self, Option<Left>)> {
        // Whoever may write the directory may have put something else there.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let path = path(ring);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits() as i32)
            .open(&path)?;
        let stat = file.metadata()?;
        let why = if !stat.is_file() {
            "it is no file"
        } else if stat.uid() != geteuid().as_raw() {
            "it belongs to another user"
        } else if stat.nlink() > 1 {
            "it has more than one name"
        } else {
            ""
        };
        if !why.is_empty() {
            return Err(io::Error::other(why));
        }
        let note = Self {
            file,
            path,
            ring: id,
        };
        let left = note.read()?;
        Ok((note, left))
    }

    /// What it says now.
    pub fn read(&self) -> io::Result<Option<Left>> {
        let mut line = [0; LINE];
        match self.file.read_exact_at(&mut line, 0) {
            Ok(()) => Ok(self.parse(&line)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(&self, line: &[u8]) -> Option<Left> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let mut words = line.split_ascii_whitespace();
        let begins = (words.next()?, words.next()?) == ("slipring-mirror", "1");
        let ring = u128::from_str_radix(words.next()?, 16).ok()?;
        let epoch = words.next()?.parse().ok()?;
        let next = match words.next()? {
            "-" => None,
            next => Some(next.parse().ok()?),
        };
        (begins && ring == self.ring && words.next().is_none()).then_some(Left { epoch, next })
    }

    pub fn write(&self, left: Left) -> io::Result<()> {
        let Left { epoch, next } = left;
        let next = next.map_or("-".to_owned(), |next| next.to_string());
        let line = format!(
            "slipring-mirror 1 {:032x} {epoch:>20} {next:>20}\n",
            self.ring
        );
        self.file.write_all_at(line.as_bytes(), 0)
    }
    /// Has it say nothing, or removes it if even that is not possible. Returns `false` then: what is written now, nobody finds.
    pub fn forget(&self) -> bool {
        if self.file.set_len(0).is_ok() {
            return true;
        }
        let identity = |stat: Metadata| (stat.dev(), stat.ino());
        let here = self.file.metadata().map(identity).ok();
        let there = self.path.symlink_metadata().map(identity).ok();
        if here == there {
            let _ = std::fs::remove_file(&self.path);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{is_unusable, Errno, Left, Note};
    use std::os::unix::fs::{chown, symlink};

    #[test]
    fn a_note_is_read_as_it_was_written_and_only_of_its_ring() {
        let directory = tempfile::tempdir().unwrap();
        let ring = directory.path().join("quotes");
        let (note, left) = Note::open(&ring, 7).unwrap();
        assert_eq!(left, None);
        for epoch in [0, 1, u64::MAX] {
            for next in [None, Some(0), Some(u64::MAX), Some(5)] {
                let left = Left { epoch, next };
                note.write(left).unwrap();
                assert_eq!(Note::open(&ring, 7).unwrap().1, Some(left));
                assert_eq!(Note::open(&ring, 8).unwrap().1, None);
            }
        }
    }

    #[test]
    fn what_is_no_note_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let ring = directory.path().join("quotes");
        let path = directory.path().join(".quotes.mirror");
        let (note, _) = Note::open(&ring, 7).unwrap();
        let left = Left {
            epoch: 3,
            next: Some(4),
        };
        note.write(left).unwrap();
        let line = std::fs::read(&path).unwrap();
        for len in 0..line.len() {
            std::fs::write(&path, &line[..len]).unwrap();
            assert_eq!(Note::open(&ring, 7).unwrap().1, None, "{len}");
        }
        for at in [0, 16, 18, super::LINE - 1] {
            let mut other = line.clone();
            other[at] = b'x';
            std::fs::write(&path, other).unwrap();
            assert_eq!(Note::open(&ring, 7).unwrap().1, None, "{at}");
        }
        std::fs::remove_file(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert!(Note::open(&ring, 7).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(Note::open(&ring, 7).is_err());
    }

    /// Whoever may write the directory may have put it there, and may change it.
    #[test]
    fn a_note_of_another_user_or_with_another_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let ring = directory.path().join("quotes");
        let path = directory.path().join(".quotes.mirror");
        let opens = || {
            Note::open(&ring, 7)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        opens().unwrap();
        let second = directory.path().join("second");
        std::fs::hard_link(&path, &second).unwrap();
        assert_eq!(opens(), Err("it has more than one name".to_owned()));
        std::fs::remove_file(second).unwrap();
        opens().unwrap();
        // Only some may give files away.
        if chown(&path, Some(65534), None).is_ok() {
            assert_eq!(opens(), Err("it belongs to another user".to_owned()));
        }
    }

    #[test]
    fn what_the_system_lacks_may_pass() {
        for (errno, lasts) in [
            (Errno::ISDIR, true),
            (Errno::LOOP, true),
            (Errno::ACCESS, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOMEM, false),
            (Errno::IO, false),
        ] {
            assert_eq!(is_unusable(&errno.into()), lasts, "{errno}");
        }
        assert!(is_unusable(&std::io::Error::other("it is no file")));
    }
}
