//! The settings of objects that are created, as keyword arguments.

use crate::argument::time;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Keyword arguments that are taken one by one; what is left is a mistake.
pub struct Settings<'py> {
    given: Bound<'py, PyDict>,
    known: Vec<&'static str>,
}

impl<'py> Settings<'py> {
    /// Those of a call.
    pub fn new(py: Python<'py>, given: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let given = match given {
            Some(given) => given.copy()?,
            None => PyDict::new(py),
        };
        Ok(Self {
            given,
            known: Vec::new(),
        })
    }

    /// One of them; `None` if it is absent or `None`.
    pub fn take<T>(&mut self, name: &'static str) -> PyResult<Option<T>>
    where
        T: for<'a> FromPyObject<'a, 'py>,
        for<'a> <T as FromPyObject<'a, 'py>>::Error: Into<PyErr>,
    {
        self.known.push(name);
        let Some(value) = self.given.get_item(name)? else {
            return Ok(None);
        };
        self.given.del_item(name)?;
        if value.is_none() {
            return Ok(None);
        }
        value.extract::<T>().map(Some).map_err(|error| {
            let error: PyErr = error.into();
            PyTypeError::new_err(format!("{name} is {value:?}: {error}"))
        })
    }

    /// One that is a time in seconds.
    pub fn seconds(&mut self, name: &'static str) -> PyResult<Option<std::time::Duration>> {
        match self.take::<f64>(name)? {
            None => Ok(None),
            Some(seconds) => Ok(Some(
                time(name, seconds)?.unwrap_or(std::time::Duration::MAX),
            )),
        }
    }

    /// Fails if there are others.
    pub fn end(self) -> PyResult<()> {
        match self.given.keys().iter().next() {
            None => Ok(()),
            Some(unknown) => Err(PyTypeError::new_err(format!(
                "there is no setting {unknown}: the settings are {}",
                self.known.join(", ")
            ))),
        }
    }
}

/// Applies settings to a builder by the names of its calls.
#[macro_export]
macro_rules! apply {
    ($settings:ident, $builder:ident: $($name:ident),*) => {$(
        if let Some(value) = $settings.take(stringify!($name))? {
            $builder = $builder.$name(value);
        }
    )*};
}
