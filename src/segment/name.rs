//! Names of rings and cursors, and the directory that holds them.
//!
//! Layer 2. Names become single path components, so the rules are strict and have no exceptions.

use super::lock::Role;
use crate::layout::lines::NAME_WORDS;
use crate::layout::schema::fnv1a;
use core::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names the directory of all rings.
pub const DIRECTORY_VARIABLE: &str = "SLIPRING_DIR";

/// A text that cannot be the name of a ring or of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// The text.
    pub name: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a name: use 1 to 64 of A-Z a-z 0-9 . _ - and no leading dot",
            self.name
        )
    }
}

impl std::error::Error for NameError {}

/// A directory and a valid name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    directory: PathBuf,
    name: String,
    /// Whether the directory is this user's private default, where files of others are an attack.
    private: bool,
    /// Whether the directory is the slipring directory.
    named: bool,
}

impl Location {
    /// The ring `name` in the slipring directory: `$SLIPRING_DIR`, else `/dev/shm/slipring-UID`.
    pub fn named(name: &str) -> Result<Self, NameError> {
        let (directory, private) = Self::default_directory();
        Ok(Self {
            directory,
            name: checked(name)?,
            private,
            named: true,
        })
    }

    /// The ring directory at `path`; its last component is the ring's name.
    pub fn at(path: &Path) -> Result<Self, NameError> {
        let refused = || NameError {
            name: path.display().to_string(),
        };
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .ok_or_else(refused)?;
        let parent = path.parent().ok_or_else(refused)?;
        let directory = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        Ok(Self {
            directory: directory.into(),
            name: checked(name)?,
            private: false,
            named: false,
        })
    }

    /// The slipring directory, and whether it is the private default.
    pub fn default_directory() -> (PathBuf, bool) {
        match std::env::var_os(DIRECTORY_VARIABLE) {
            Some(directory) if !directory.is_empty() => (directory.into(), false),
            _ => {
                let uid = rustix::process::geteuid().as_raw();
                (format!("/dev/shm/slipring-{uid}").into(), true)
            }
        }
    }

    /// A ring inside this one, whose name is known to be valid.
    pub fn child(&self, name: &str) -> Self {
        Self {
            directory: self.path(),
            name: name.to_owned(),
            private: false,
            named: false,
        }
    }

    /// The directory that holds the ring directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The ring's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns `true` if files of other users are refused.
    pub fn private(&self) -> bool {
        self.private
    }

    /// Returns `true` if the ring was given by its name alone, and so lies in the slipring directory.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The path of the ring directory.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

fn checked(name: &str) -> Result<String, NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed) {
        Ok(name.into())
    } else {
        Err(NameError { name: name.into() })
    }
}

/// The name of a durable cursor, valid by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorName([u64; NAME_WORDS]);

impl CursorName {
    /// Checks a name; the rules are those of rings.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let name = checked(name)?;
        let mut words = [0; NAME_WORDS];
        for (word, bytes) in words.iter_mut().zip(name.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        Ok(Self(words))
    }

    /// The name as it is stored in a row.
    pub fn words(self) -> [u64; NAME_WORDS] {
        self.0
    }

    /// The name in the words of a row; `None` if they are not a valid name.
    pub fn from_words(words: [u64; NAME_WORDS]) -> Option<Self> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let name = Self::new(core::str::from_utf8(&bytes[..len]).ok()?).ok()?;
        (name.0 == words).then_some(name)
    }

    /// The lock role of the cursor's user. Two names share a role with a probability of 2^-61.
    pub fn role(self) -> Role {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        Role::Cursor(fnv1a(&bytes))
    }
}

impl fmt::Display for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.iter().flat_map(|word| word.to_le_bytes());
        let name: Vec<u8> = bytes.take_while(|b| *b != 0).collect();
        f.write_str(&String::from_utf8_lossy(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_plain_components_are_names() {
        for good in ["a", "ticks", "A-1_b.c", &"x".repeat(64)] {
            assert_eq!(Location::named(good).unwrap().name(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../x",
            "a b",
            "é",
            "a\0",
            &"x".repeat(65),
        ] {
            assert_eq!(Location::named(bad).unwrap_err().name, bad);
        }
    }

    #[test]
    fn a_cursor_name_survives_the_row_and_nothing_else_passes_for_one() {
        for name in ["a", "risk.engine-7", &"x".repeat(64)] {
            let cursor = CursorName::new(name).unwrap();
            assert_eq!(CursorName::from_words(cursor.words()), Some(cursor));
            assert_eq!(cursor.to_string(), name);
        }
        let mut words = CursorName::new("ab").unwrap().words();
        words[3] = 1;
        assert_eq!(CursorName::from_words(words), None);
        assert_eq!(CursorName::from_words([0; NAME_WORDS]), None);
        assert_eq!(CursorName::from_words([u64::MAX; NAME_WORDS]), None);
        assert!(CursorName::new("a/b").is_err());
    }

    #[test]
    fn a_path_names_its_last_component() {
        let location = Location::at(Path::new("/tmp/rings/ticks")).unwrap();
        assert_eq!(
            (location.name(), location.directory()),
            ("ticks", Path::new("/tmp/rings"))
        );
        assert_eq!(
            Location::at(Path::new("ticks")).unwrap().directory(),
            Path::new(".")
        );
        for bad in ["/", "/tmp/..", "/tmp/.x"] {
            assert!(Location::at(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
