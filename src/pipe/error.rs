//! Why an end of a pipe was not handed to a child.
//!
//! Layer 7.

use core::fmt;
use std::io;

/// Why an end was not handed on, together with the unchanged end. Converts into an [`io::Error`], which
/// drops the end.
///
/// ```
/// use std::io::Write;
/// use std::process::Command;
///
/// let (mut reader, writer) = slipring::pipe()?;
/// let refused = writer.hand_to(&mut Command::new("worker"), "no name").unwrap_err();
/// assert_eq!(refused.error().kind(), std::io::ErrorKind::InvalidInput);
/// let mut writer = refused.into_end();
/// writer.write_all(b"still here")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct HandError<E> {
    error: io::Error,
    end: Box<E>,
}

impl<E> HandError<E> {
    pub(super) fn new(error: io::Error, end: E) -> Self {
        let end = Box::new(end);
        Self { error, end }
    }

    /// Returns the reason.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// Returns the end.
    pub fn into_end(self) -> E {
        *self.end
    }
}

impl<E> fmt::Debug for HandError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.error;
        f.debug_struct("HandError")
            .field("error", error)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Display for HandError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E> std::error::Error for HandError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<E> From<HandError<E>> for io::Error {
    fn from(refused: HandError<E>) -> Self {
        refused.error
    }
}
