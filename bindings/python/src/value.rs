//! The value that newest and shared values keep: a short text, as those of the command.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

slipring::message! {
    /// A text as a value.
    pub struct Text {
        /// How many bytes are used.
        pub len: u64,
        /// The bytes.
        pub bytes: [u8; 256],
    }
}

impl Text {
    /// The bytes that are used.
    pub fn bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        &self.bytes[..len.min(self.bytes.len())]
    }
}

/// Bytes as a value.
pub fn text(bytes: &[u8]) -> PyResult<Text> {
    let mut value = Text {
        len: bytes.len() as u64,
        bytes: [0; 256],
    };
    match value.bytes.get_mut(..bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            Ok(value)
        }
        None => Err(PyValueError::new_err(format!(
            "a value of {} bytes is too large: 256 at most",
            bytes.len()
        ))),
    }
}
