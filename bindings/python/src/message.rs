//! What a reader receives: a message, copied, and the losses between messages as values.

use crate::argument::why_text;
use crate::failure::Failure;
use crate::forward::Forwarded;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyBytes, PyMemoryView};
use slipring::endpoint::Why;
use std::os::raw::c_int;

/// A message: its bytes, copied out of shared memory, and its sequence.
///
/// It is bytes-like: `bytes(message)`, `memoryview(message)`, `len(message)`, `message[0:4]`, and `message == b"..."` work,
/// and so does every call that takes bytes-like objects. `message.data` is the `bytes` itself.
#[pyclass(frozen, module = "slipring")]
pub struct Message {
    /// The bytes.
    #[pyo3(get)]
    data: Py<PyBytes>,
    /// The sequence of the message in its ring.
    #[pyo3(get)]
    sequence: u64,
}

impl Message {
    /// A message that was copied.
    pub fn new(data: Py<PyBytes>, sequence: u64) -> Self {
        Self { data, sequence }
    }
}

/// Bytes as an operand: those of a message, or of any bytes-like object.
fn as_bytes<'py>(other: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    if let Ok(message) = other.cast::<Message>() {
        return Some(message.get().data.bind(other.py()).clone());
    }
    if let Ok(bytes) = other.cast::<PyBytes>() {
        return Some(bytes.clone());
    }
    let view = PyMemoryView::from(other).ok()?;
    view.call_method0("tobytes").ok()?.cast_into().ok()
}

#[pymethods]
impl Message {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.bind(py).as_bytes().len()
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.data.bind(index.py()).as_any().get_item(index)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.data.bind(py).try_iter()?.into_any())
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.data.bind(item.py()).as_any().contains(item)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.data.bind(py).hash()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, how: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match as_bytes(other) {
            Some(other) => Ok(self
                .data
                .bind(py)
                .as_any()
                .rich_compare(other, how)?
                .unbind()),
            None => Ok(py.NotImplemented()),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = self.data.bind(py).repr()?;
        Ok(format!("Message({data}, sequence={})", self.sequence))
    }

    /// The bytes as text.
    #[pyo3(signature = (encoding = "utf-8", errors = "strict"))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        encoding: &str,
        errors: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.data
            .bind(py)
            .call_method1("decode", (encoding, errors))
    }

    #[allow(unsafe_code, reason = "the buffer protocol")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` is the caller's, as the protocol says.
        unsafe { slf.get().data.forward(slf.py(), view, flags) }
    }
}

/// An observer was overtaken: so many messages are lost to it, and it goes on at a later one.
#[pyclass(frozen, get_all, eq, module = "slipring")]
#[derive(PartialEq)]
pub struct Lapped {
    /// How many messages were lost.
    lost: u64,
    /// The sequence at which the observer goes on.
    resumed_at: u64,
}

/// A consumer was evicted, or its durable cursor was overtaken: so many messages it will never get.
#[pyclass(frozen, get_all, eq, module = "slipring")]
#[derive(PartialEq)]
pub struct Missed {
    /// How many messages were missed.
    lost: u64,
    /// The sequence of the message that comes next.
    resumed_at: u64,
}

/// The producer skipped sequences: they do not exist.
#[pyclass(frozen, get_all, eq, module = "slipring")]
#[derive(PartialEq)]
pub struct Skipped {
    /// How many sequences were skipped.
    skipped: u64,
    /// The sequence that comes next.
    resumed_at: u64,
    /// Why: "lost", "not-recorded", "restored", or a number.
    why: String,
}

macro_rules! shown {
    ($($name:ident($($field:ident),*)),*) => {$(
        #[pymethods]
        impl $name {
            fn __repr__(&self) -> String {
                let fields = [$(format!("{}={:?}", stringify!($field), self.$field)),*];
                format!("{}({})", stringify!($name), fields.join(", "))
            }
        }
    )*};
}
shown!(
    Lapped(lost, resumed_at),
    Missed(lost, resumed_at),
    Skipped(skipped, resumed_at, why),
    Gap(first, end, why)
);

/// Sequences that do not exist: from `first` on, up to and without `end`.
#[pyclass(frozen, get_all, eq, module = "slipring")]
#[derive(PartialEq)]
pub struct Gap {
    /// The first sequence that does not exist.
    first: u64,
    /// The next one that does.
    end: u64,
    /// Why: "lost", "not-recorded", "restored", or a number.
    why: String,
}

impl From<slipring::endpoint::Gap> for Gap {
    fn from(gap: slipring::endpoint::Gap) -> Self {
        Self {
            first: gap.first,
            end: gap.end,
            why: why_text(gap.why),
        }
    }
}

/// A loss between two messages, before it is a value or an exception.
#[derive(Clone, Copy)]
pub enum Loss {
    /// See [`Lapped`].
    Lapped(u64, u64),
    /// See [`Missed`].
    Missed(u64, u64),
    /// See [`Skipped`].
    Skipped(u64, u64, Why),
}

impl Loss {
    /// As a value.
    pub fn value(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::Lapped(lost, resumed_at) => Py::new(py, Lapped { lost, resumed_at })?.into_any(),
            Self::Missed(lost, resumed_at) => Py::new(py, Missed { lost, resumed_at })?.into_any(),
            Self::Skipped(skipped, resumed_at, why) => {
                let why = why_text(why);
                let value = Skipped {
                    skipped,
                    resumed_at,
                    why,
                };
                Py::new(py, value)?.into_any()
            }
        })
    }

    /// As an exception. Losses are no errors of the library: their numbers are those of the class.
    pub fn failure(self) -> Failure {
        match self {
            Self::Lapped(lost, resumed_at) => Failure::new(
                LAPPED,
                format!("{lost} messages were overwritten before they were read; the next is {resumed_at}: receive again to go on"),
            )
            .with("lost", lost)
            .with("resumed_at", resumed_at),
            Self::Missed(lost, resumed_at) => Failure::new(
                MISSED,
                format!("{lost} messages will never come: the producer went on without this consumer; the next is {resumed_at}: receive again to go on"),
            )
            .with("lost", lost)
            .with("resumed_at", resumed_at),
            Self::Skipped(skipped, resumed_at, why) => Failure::new(
                SKIPPED,
                format!("{skipped} sequences do not exist ({why}); the next is {resumed_at}: receive again to go on"),
            )
            .with("skipped", skipped)
            .with("resumed_at", resumed_at)
            .with("why", why_text(why)),
        }
    }
}

/// Numbers of exceptions that are no errors of the library.
const LAPPED: u32 = 1;
const MISSED: u32 = 2;
const SKIPPED: u32 = 3;
