//! Bytes whose buffer another object shows as its own.
#![allow(unsafe_code, reason = "the buffer protocol")]

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::os::raw::c_int;

/// Bytes whose buffer another object shows as its own.
pub trait Forwarded {
    /// # Safety
    /// `view` has to be valid, as in the buffer protocol.
    unsafe fn forward(
        &self,
        py: Python<'_>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()>;
}

impl Forwarded for Py<PyBytes> {
    unsafe fn forward(
        &self,
        py: Python<'_>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` is valid by the contract of this function. The buffer becomes one of `self`, which it keeps
        // alive and whose release is that of `bytes`.
        match unsafe { ffi::PyObject_GetBuffer(self.as_ptr(), view, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::take(py)
                .unwrap_or_else(|| PyBufferError::new_err("this buffer cannot be had"))),
        }
    }
}
