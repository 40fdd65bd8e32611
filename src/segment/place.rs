//! Where an object with a name is created, opened and removed.
//!
//! Layer 2. Two types of argument say two things, so that no text from outside becomes a path by what it
//! contains.

use super::name::{Location, NameError};
use std::path::{Path, PathBuf};

/// Where a ring or another object lies: a name in the slipring directory, or a path.
///
/// | made from | is |
/// |---|---|
/// | `&str`, `&String`, `String` | a name in the slipring directory: `$SLIPRING_DIR`, else `/dev/shm/slipring-UID` |
/// | `&Path`, `&PathBuf`, `PathBuf` | a path, whose last component is the name; the object is a directory there |
///
/// A path that comes as text, as from a command line, is passed as `Path::new(&text)`.
///
/// A name is 1 to 64 of `A-Z a-z 0-9 . _ -`, without a leading dot. A text is never taken for a path: a name that
/// another program chose cannot lead out of the slipring directory. Other names are refused with
/// [`NameError`] where the place is used.
///
/// ```
/// use slipring::place::OpenError;
/// use slipring::Ring;
/// use std::path::Path;
///
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path();
/// let quotes = directory.join("quotes");
/// let made = Ring::builder(&quotes).create()?;
/// assert_eq!(Ring::open(&quotes)?.path(), made.path());
/// // What a client sent:
/// let refused = Ring::open("../../home/quotes");
/// assert!(matches!(refused, Err(OpenError::Name(_))));
/// Ring::remove(Path::new(&quotes))
/// #    .or_else(|_| { drop(made); Ring::remove(&quotes) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Place(Result<Location, NameError>);

impl Place {
    /// Returns the path of the object.
    ///
    /// # Errors
    /// [`NameError`] if the name, or the last component of the path, is not a name.
    pub fn path(&self) -> Result<PathBuf, NameError> {
        self.0
            .as_ref()
            .map(Location::path)
            .map_err(NameError::clone)
    }

    pub(crate) fn location(self) -> Result<Location, NameError> {
        self.0
    }
}

impl From<&str> for Place {
    fn from(name: &str) -> Self {
        Self(Location::named(name))
    }
}

impl From<&String> for Place {
    fn from(name: &String) -> Self {
        Self(Location::named(name))
    }
}

impl From<String> for Place {
    fn from(name: String) -> Self {
        Self(Location::named(&name))
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self(Location::at(path))
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self(Location::at(path))
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self(Location::at(&path))
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_name_and_a_path_is_a_path() {
        let named = Place::from("quotes").path().unwrap();
        assert_eq!(named, Location::default_directory().0.join("quotes"));
        assert_eq!(Place::from(&"quotes".to_owned()).path(), Ok(named.clone()));
        assert_eq!(Place::from("quotes".to_owned()).path(), Ok(named));
        let path = PathBuf::from("/tmp/some/quotes");
        assert_eq!(Place::from(&path).path().unwrap(), path);
        assert_eq!(Place::from(path.as_path()).path().unwrap(), path);
        assert_eq!(Place::from(&Place::from(path.clone())).path(), Ok(path));
        for text in ["/tmp/quotes", "../quotes", "./quotes", "a/b", "", ".quotes"] {
            let refused = Place::from(text).path().unwrap_err();
            assert_eq!(refused.name, text);
        }
        for path in ["/", "..", "/tmp/..", ""] {
            assert!(Place::from(Path::new(path)).path().is_err(), "{path}");
        }
    }
}
