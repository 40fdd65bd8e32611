//! Semaphores and their permits.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{Slot, Step};
use crate::{apply, failures};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::semaphore::{AcquireError, Permit as Held, SemaphoreBuilder};
use slipring::Semaphore as Inner;

failures! {
    AcquireError {
        AcquireError::TooMany { wanted, max } => [wanted, max],
    }
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<SemaphoreBuilder> {
    let mut builder = Inner::builder(place.0);
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: permits, max_permits, max_handles, mode);
    settings.end()?;
    Ok(builder)
}

/// A named number of permits, which come back from processes that die.
#[pyclass(frozen, module = "slipring")]
pub struct Semaphore {
    slot: Slot<Inner>,
}

impl Semaphore {
    fn new(made: Inner) -> Self {
        Self {
            slot: Slot::new("semaphore", made),
        }
    }
}

#[pymethods]
impl Semaphore {
    /// Creates a semaphore. The settings: `permits`, `max_permits`, `max_handles`, `mode`.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let made = described(py, place, settings)?.create();
        Ok(Self::new(made.map_err(Failure::from)?))
    }

    /// Opens a semaphore, or creates it with the settings of `create`.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create_or_open<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let made = described(py, place, settings)?.create_or_open();
        Ok(Self::new(made.map_err(Failure::from)?))
    }

    /// Opens a semaphore; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, Inner::open_until).map(Self::new)
    }

    /// Removes a semaphore, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        Inner::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |made| Ok(made.is_removed()))
    }

    /// Takes permits, all or none, and waits until they are free. The call lets signals and other threads have their turn every
    /// 50 milliseconds, and keeps its place among those that wait. Threads that share a handle share one place.
    #[pyo3(signature = (many = 1, *, timeout = Timeout::NEVER))]
    fn acquire(&self, py: Python<'_>, many: u32, timeout: Timeout) -> PyResult<Permit> {
        let mut waiter = None;
        let held = self.slot.wait(py, timeout, |semaphore, mode| {
            let acquired = match mode.deadline() {
                None => semaphore.try_acquire_many(many),
                Some(deadline) => {
                    let waiter = match &mut waiter {
                        Some(waiter) => waiter,
                        none => none.insert(semaphore.waiter(many)?),
                    };
                    semaphore.acquire_as(waiter, deadline)
                }
            };
            match acquired {
                Ok(permit) => Ok(Step::Done(permit)),
                Err(AcquireError::Unavailable | AcquireError::TimedOut) => {
                    Step::or(AcquireError::TimedOut)
                }
                Err(error) => Err(error.into()),
            }
        })?;
        Ok(Permit::new(held))
    }

    /// Takes permits if they are free now. Raises `SemaphoreError` otherwise.
    #[pyo3(signature = (many = 1))]
    fn try_acquire(&self, py: Python<'_>, many: u32) -> PyResult<Permit> {
        let held = self
            .slot
            .with(py, |semaphore| Ok(semaphore.try_acquire_many(many)?))?;
        Ok(Permit::new(held))
    }

    /// Puts one more permit into use.
    fn add(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |semaphore| Ok(semaphore.add()?))
    }

    /// Returns how many permits are free, held and out of use, and the processes that hold some.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.slot.with(py, |semaphore| Ok(semaphore.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("free", status.free)?;
        dict.set_item("held", status.held)?;
        dict.set_item("retired", status.retired)?;
        dict.set_item("max", status.max)?;
        dict.set_item("handles", status.handles)?;
        dict.set_item("holders", status.holders)?;
        Ok(dict)
    }

    /// Gives the handle back. Its permits stay held.
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
}

/// Permits that are held. A context manager: leaving it gives them back.
#[pyclass(frozen, module = "slipring")]
pub struct Permit {
    slot: Slot<Held>,
}

impl Permit {
    fn new(held: Held) -> Self {
        Self {
            slot: Slot::new("permit", held),
        }
    }
}

#[pymethods]
impl Permit {
    /// How many they are.
    #[getter]
    fn count(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, |held| Ok(held.count()))
    }

    /// Gives them back.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.close(py, |_| Ok(()), drop).map(drop)
    }

    /// Takes them out of use.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.close(py, |_| Ok(()), Held::forget).map(drop)
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
        self.release(py)
    }
}
