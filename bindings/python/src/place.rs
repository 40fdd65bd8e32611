//! Where an object lies: a `str` is a name in the slipring directory, a path is a path.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::path::PathBuf;

/// A place given by the caller.
pub struct Place(pub slipring::Place);

impl<'py> FromPyObject<'_, 'py> for Place {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(name) = given.cast::<PyString>() {
            return Ok(Self(name.to_str()?.into()));
        }
        let path: PathBuf = given.extract().map_err(|_| {
            PyTypeError::new_err("a place is a name (str) or a path (pathlib.Path)")
        })?;
        Ok(Self(path.into()))
    }
}
