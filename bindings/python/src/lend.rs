//! Memory of a ring that Python sees in place: a message that is peeked at, and space that is claimed.
//!
//! What is lent is given back only when no buffer of it is exported any more: a view that outlived it would see bytes of
//! other messages.
#![allow(unsafe_code, reason = "the buffer protocol over lent memory")]

use crate::consumer::Consumer;
use crate::failure::Failure;
use crate::fork::Born;
use crate::producer::Producer;
use parking_lot::Mutex;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::os::raw::c_int;
use std::sync::Arc;

/// Where lent bytes are, and how many buffers of them are exported.
pub struct Lent {
    at: usize,
    len: usize,
    exports: usize,
    open: bool,
}

/// Shared by the handle that lends and the object that shows.
#[derive(Clone)]
pub struct Lending {
    lent: Arc<Mutex<Lent>>,
    born: Born,
}

impl Lending {
    /// Bytes to be read, which stay where they are until [`end`](Self::end) has succeeded.
    pub fn of(bytes: &[u8]) -> Self {
        Self::at(bytes.as_ptr() as usize, bytes.len())
    }

    /// Bytes to be written, as [`of`](Self::of).
    pub fn of_space(bytes: &mut [u8]) -> Self {
        Self::at(bytes.as_mut_ptr() as usize, bytes.len())
    }

    fn at(at: usize, len: usize) -> Self {
        let lent = Lent {
            at,
            len,
            exports: 0,
            open: true,
        };
        Self {
            lent: Arc::new(Mutex::new(lent)),
            born: Born::here(),
        }
    }

    /// Ends it, unless buffers are exported.
    pub fn end(&self) -> Result<(), Failure> {
        let mut lent = self.lent.lock();
        if lent.exports > 0 {
            return Err(still_exported(lent.exports));
        }
        lent.open = false;
        Ok(())
    }

    /// Returns `true` if it has not ended.
    fn is_open(&self) -> bool {
        self.lent.lock().open
    }

    fn len(&self) -> usize {
        self.lent.lock().len
    }

    /// Whether this is the same loan.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lent, &other.lent)
    }

    /// # Safety
    /// `view` has to be valid, as in the buffer protocol. If `writable`, the bytes have to be those of
    /// [`of_space`](Self::of_space).
    unsafe fn export(
        &self,
        owner: &Bound<'_, PyAny>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
        writable: bool,
    ) -> PyResult<()> {
        // The parent gives it back, or publishes it, while the child would still see it.
        self.born.check()?;
        let mut lent = self.lent.lock();
        if !lent.open {
            return Err(PyValueError::new_err("what was lent was given back"));
        }
        let (at, len) = (lent.at as *mut _, lent.len as ffi::Py_ssize_t);
        let readonly = c_int::from(!writable);
        // SAFETY: `view` is valid by the contract of this function. The bytes stay until `end` has succeeded, which it
        // does not while this export is counted, and the view keeps `owner` alive.
        match unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), at, len, readonly, flags) } {
            0 => {
                lent.exports += 1;
                Ok(())
            }
            _ => Err(PyErr::take(owner.py())
                .unwrap_or_else(|| PyBufferError::new_err("this buffer cannot be had"))),
        }
    }

    fn unexport(&self) {
        let mut lent = self.lent.lock();
        lent.exports = lent.exports.saturating_sub(1);
    }
}

fn still_exported(exports: usize) -> Failure {
    PyBufferError::new_err(format!(
        "{exports} buffers of the lent memory are still exported: delete the views and arrays made of it first"
    ))
    .into()
}

/// A message in place, as `consumer.peek()` lends it: a read-only, bytes-like object.
///
/// It is a context manager; leaving it gives the message back to the producer, and a durable consumer acknowledges it
/// then. While views or arrays made of it exist, that fails with `BufferError`, and it stays lent.
#[pyclass(frozen, module = "slipring")]
pub struct Peek {
    lending: Lending,
    consumer: Py<Consumer>,
    /// The sequence of the message.
    #[pyo3(get)]
    sequence: u64,
}

impl Peek {
    /// What a consumer lends.
    pub fn new(lending: Lending, consumer: Py<Consumer>, sequence: u64) -> Self {
        Self {
            lending,
            consumer,
            sequence,
        }
    }
}

#[pymethods]
impl Peek {
    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.release(py)
    }

    /// Gives the message back.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        match self.lending.is_open() {
            true => self.consumer.get().give_back(py, &self.lending),
            false => Ok(()),
        }
    }

    fn __len__(&self) -> usize {
        self.lending.len()
    }

    fn __getitem__<'py>(
        slf: Bound<'py, Self>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        PyMemoryView::from(&slf)?.as_any().get_item(index)
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` is the caller's; the bytes are lent to be read.
        unsafe { slf.get().lending.export(slf.as_any(), view, flags, false) }
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.lending.unexport();
    }
}

impl Drop for Peek {
    fn drop(&mut self) {
        // Nothing is exported any more: each export keeps this object alive.
        self.consumer.get().give_back_quietly(&self.lending);
    }
}

/// Space for a message, as `producer.claim(size)` lends it: a writable, bytes-like object.
///
/// It is a context manager; leaving it publishes the message, and leaving it by an exception publishes nothing. While
/// views or arrays made of it exist, both fail with `BufferError`, and it stays claimed.
#[pyclass(frozen, module = "slipring")]
pub struct Claim {
    lending: Lending,
    producer: Py<Producer>,
    sequence: Mutex<Option<u64>>,
}

impl Claim {
    /// What a producer lends.
    pub fn new(lending: Lending, producer: Py<Producer>) -> Self {
        Self {
            lending,
            producer,
            sequence: Mutex::new(None),
        }
    }
}

#[pymethods]
impl Claim {
    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match (self.lending.is_open(), kind.is_none()) {
            (false, _) => Ok(()),
            (true, true) => self.commit(py, None).map(drop),
            (true, false) => self.abort(py),
        }
    }

    /// Publishes the message, or its first bytes only, and returns its sequence.
    #[pyo3(signature = (first = None))]
    fn commit(&self, py: Python<'_>, first: Option<usize>) -> PyResult<u64> {
        let len = self.lending.len();
        if let Some(first) = first.filter(|first| *first > len) {
            return Err(PyValueError::new_err(format!(
                "the first {first} bytes of a claim of {len}"
            )));
        }
        let committed = self.producer.get().commit(py, &self.lending, first)?;
        *self.sequence.lock() = Some(committed);
        Ok(committed)
    }

    /// Gives the space back: nothing is published.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        match self.lending.is_open() {
            true => self.producer.get().abort(py, &self.lending),
            false => Ok(()),
        }
    }

    /// The sequence of the message, once it is published.
    #[getter]
    fn sequence(&self) -> Option<u64> {
        *self.sequence.lock()
    }

    fn __len__(&self) -> usize {
        self.lending.len()
    }

    fn __getitem__<'py>(
        slf: Bound<'py, Self>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        PyMemoryView::from(&slf)?.as_any().get_item(index)
    }

    fn __setitem__(
        slf: Bound<'_, Self>,
        index: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        PyMemoryView::from(&slf)?.as_any().set_item(index, value)
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` is the caller's; the bytes are lent to be written, to this object alone.
        unsafe { slf.get().lending.export(slf.as_any(), view, flags, true) }
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.lending.unexport();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.producer.get().abort_quietly(&self.lending);
    }
}
