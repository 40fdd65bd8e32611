//! Several messages, copied once into private memory, for Python to see as a list or as an array.

use crate::message::Message;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::os::raw::c_int;

/// Messages behind each other.
#[derive(Default)]
pub struct Gathered {
    bytes: Vec<u8>,
    /// The sequence of each, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl Gathered {
    /// Room for messages of one size.
    pub fn with_room(messages: usize, bytes: usize) -> Self {
        // What the caller asks for is a limit, and may be far more than there is.
        let most = messages.min(1 << 16);
        Self {
            bytes: Vec::with_capacity(most.saturating_mul(bytes).min(64 << 20)),
            ends: Vec::with_capacity(most),
        }
    }

    /// Adds a message.
    pub fn push(&mut self, bytes: &[u8], sequence: u64) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((sequence, self.bytes.len()));
    }

    /// Adds those of another.
    pub fn append(&mut self, more: Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&more.bytes);
        let ends = more.ends.into_iter();
        self.ends
            .extend(ends.map(|(sequence, end)| (sequence, before + end)));
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// As a list of messages.
    pub fn list(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let mut at = 0;
        let messages = self.ends.iter().map(|(sequence, end)| {
            let bytes = self.bytes.get(at..*end).unwrap_or_default();
            at = *end;
            Message::new(PyBytes::new(py, bytes).unbind(), *sequence)
        });
        let messages: Vec<Message> = messages.collect();
        PyList::new(py, messages)
    }

    /// As the memory of an array.
    pub fn block(self) -> Block {
        Block {
            bytes: self.bytes.into_boxed_slice(),
        }
    }
}

/// The memory of an array of messages.
#[pyclass(frozen, module = "slipring")]
pub struct Block {
    bytes: Box<[u8]>,
}

#[pymethods]
impl Block {
    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    #[allow(unsafe_code, reason = "the buffer protocol")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().bytes;
        let (at, len) = (
            bytes.as_ptr().cast_mut().cast(),
            bytes.len() as ffi::Py_ssize_t,
        );
        // SAFETY: `view` is the caller's, as the protocol says, and refers to `slf`, which it keeps alive and which never
        // moves or frees its bytes before it ends. It is read-only.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), at, len, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::take(slf.py())
                .unwrap_or_else(|| PyBufferError::new_err("this buffer cannot be had"))),
        }
    }
}
