//! Links and ends of named pipes that wait for their other side, without a thread that waits.
//!
//! What becomes of them is said by their forms, which are above.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::slot::{LockedSource, Slot, Step};
use crate::watched::Watched;
use pyo3::prelude::*;
use pyo3::types::PyType;
use slipring::endpoint::{Connecting as Inner, Meets, Source};
use slipring::{Deadline, WaitSet};
use std::time::{Duration, Instant};

/// What both sides make when they have met.
pub trait Made: Meets + Send + 'static {
    /// An error as an exception.
    fn failed(error: Self::Error) -> Failure;
    /// Nobody came.
    fn timed_out() -> Failure;
    /// The handle of Python.
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

/// The handle of Python, to be made by a thread that has the interpreter.
type Finished = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// One that waits, whatever it will be.
trait Waits: Send {
    fn try_meet(&mut self) -> Result<bool, Failure>;
    fn timed_out(&self) -> Failure;
    fn source(&mut self) -> Result<&mut (dyn Source + 'static), Failure>;
    fn fileno(&mut self) -> Result<i32, Failure>;
    fn use_io_uring(&mut self) -> Result<(), Failure>;
    fn uses_io_uring(&self) -> bool;
    fn arm(&mut self) -> Result<bool, Failure>;
    /// Makes the handle, once both have met.
    fn finish(self: Box<Self>) -> Result<Finished, Failure>;
}

impl<H: Made> Waits for Watched<Inner<H>> {
    fn try_meet(&mut self) -> Result<bool, Failure> {
        self.get()?.try_meet().map_err(H::failed)
    }

    fn timed_out(&self) -> Failure {
        H::timed_out()
    }

    fn source(&mut self) -> Result<&mut (dyn Source + 'static), Failure> {
        Ok(self.get()?)
    }

    fn fileno(&mut self) -> Result<i32, Failure> {
        Watched::fileno(self)
    }

    fn use_io_uring(&mut self) -> Result<(), Failure> {
        Watched::use_io_uring(self)
    }

    fn uses_io_uring(&self) -> bool {
        Watched::uses_io_uring(self)
    }

    fn arm(&mut self) -> Result<bool, Failure> {
        Watched::arm(self)
    }

    fn finish(self: Box<Self>) -> Result<Finished, Failure> {
        let waits = self.into_inner().ok_or_else(H::timed_out)?;
        let made = waits.finish_until(Deadline::after(Duration::ZERO));
        let made = made.map_err(H::failed)?;
        Ok(Box::new(move |py| made.into_python(py)))
    }
}

/// A link, or an end of a named pipe, that waits for its other side, and keeps no thread for that.
///
/// Made by the methods whose names begin with `begin_`. It has its side from then on: another process is refused until it is
/// closed. `finish` and `finish_async` wait for the other side, and return the handle; in other loops it is waited for by its
/// descriptor, or in a `WaitSet`, until `try_meet` returns `True`.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Connecting {
    slot: Slot<Box<dyn Waits>>,
}

impl Connecting {
    /// Around one of the library.
    pub fn new<H: Made>(waits: Inner<H>) -> Self {
        Self {
            slot: Slot::new("handle that connects", Box::new(Watched::new(waits))),
        }
    }

    /// What it is to a wait for several.
    pub fn source(&self, until: Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot.source_of(until, |waits| waits.source().ok())
    }
}

#[pymethods]
impl Connecting {
    /// Does what there is to do now, without waiting, and returns `True` once both sides have met: then `finish` does not wait.
    fn try_meet(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |waits| waits.try_meet())
    }

    /// Waits for the other side, and returns the handle; this is closed then. After `Timeout`, or Ctrl-C, it waits on, and has its
    /// side: it is finished later, or closed.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn finish(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Py<PyAny>> {
        self.slot.wait(py, timeout, |waits, mode| {
            if let (false, Some(until)) = (waits.try_meet()?, mode.deadline()) {
                WaitSet::new().wait(&mut [waits.source()?], until);
            }
            match waits.try_meet()? {
                true => Ok(Step::Done(())),
                false => Ok(Step::Again(Err(waits.timed_out()))),
            }
        })?;
        match self.slot.close(py, |_| Ok(()), Waits::finish)? {
            Some(made) => made?(py),
            // Another thread was faster, and this one is told that it is closed.
            None => self.slot.with(py, |waits| Err(waits.timed_out())),
        }
    }

    /// As `finish`, without stopping the event loop.
    #[pyo3(signature = (*, timeout = None))]
    fn finish_async(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Bound<'_, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("finish", (slf, timeout))
    }

    /// A descriptor for event loops: readable when it is worth calling `try_meet` again. It belongs to this handle, and ends with
    /// it: what `finish` returns has one of its own.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |waits| waits.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |waits| waits.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |waits| Ok(waits.uses_io_uring()))
    }

    /// Returns `True` if `try_meet` has something to do; otherwise the descriptor becomes readable when it has.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |waits| waits.arm())
    }

    /// Leaves: the side is free, and the other side goes on to wait for the next process.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.close(py, |_| Ok(()), drop).map(drop)
    }

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
        self.close(py)
    }

    /// `Connecting[Link]`, for type hints.
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = class.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((class, item))
    }
}
