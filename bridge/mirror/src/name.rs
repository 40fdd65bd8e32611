//! Names of realms, rings and mirrors, as they stand in keys.

use core::fmt;

/// The name of a realm, a ring or a mirror: 1 to 64 of `A-Z a-z 0-9 . _ -`, and no leading dot. These are the
/// rules of the names of rings, and no such name has a special meaning in a key.
///
/// ```
/// use slipring_mirror::Name;
///
/// let name: Name = "london-2".parse()?;
/// assert_eq!(name.as_str(), "london-2");
/// assert!("a/b".parse::<Name>().is_err() && "*".parse::<Name>().is_err());
/// # Ok::<(), slipring_mirror::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// The text.
    pub text: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a name: use 1 to 64 of A-Z a-z 0-9 . _ - and no leading dot",
            self.text
        )
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The most bytes a name has.
    pub const MAX: usize = 64;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if text.is_empty()
            || text.len() > Self::MAX
            || text.starts_with('.')
            || !text.bytes().all(allowed)
        {
            // A hostile text may be long.
            let text = text.chars().take(Self::MAX).collect();
            return Err(NameError { text });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
