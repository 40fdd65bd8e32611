//! Shared values, as texts: the type of value that the command `slipring shared` keeps.

use crate::argument::{Payload, Timeout};
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{Slot, Step};
use crate::value::{text, Text};
use crate::{apply, failures};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use self_cell::{self_cell, MutBorrow};
use slipring::shared::{SharedBuilder, SharedError, SharedGuard as Guard};
use slipring::Deadline;

type Inner = slipring::Shared<Text>;

failures! {
    SharedError {}
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<SharedBuilder<Text>> {
    let mut builder = Inner::builder(place.0);
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: max_handles);
    settings.end()?;
    Ok(builder)
}

struct Locked<'s>(Option<Guard<'s, Text>>);

self_cell!(
    struct Lock {
        owner: MutBorrow<Box<Inner>>,

        #[not_covariant]
        dependent: Locked,
    }
);

/// A handle, free or with its guard.
struct Holding {
    free: Option<Box<Inner>>,
    locked: Option<(Lock, u64)>,
    numbers: u64,
}

impl Holding {
    fn free(&mut self) -> Result<&mut Inner, Failure> {
        self.free.as_deref_mut().ok_or_else(|| {
            PyValueError::new_err("this handle holds the lock: commit or discard its guard first")
                .into()
        })
    }

    /// The guard of a number, as long as it holds the lock.
    fn guarded<R>(
        &mut self,
        number: u64,
        look: impl FnOnce(&mut Guard<'_, Text>) -> R,
    ) -> Result<R, Failure> {
        let found = match &mut self.locked {
            Some((lock, held)) if *held == number => {
                lock.with_dependent_mut(|_, locked| locked.0.as_mut().map(look))
            }
            _ => None,
        };
        found.ok_or_else(over)
    }

    /// Ends the guard of a number: with what was changed, or without.
    fn end(
        &mut self,
        number: u64,
        commit: bool,
    ) -> Result<Option<Result<u64, SharedError>>, Failure> {
        match &self.locked {
            Some((_, held)) if *held == number => {}
            _ => return Ok(None),
        }
        let Some((mut lock, _)) = self.locked.take() else {
            return Ok(None);
        };
        let ended = lock.with_dependent_mut(|_, locked| {
            let guard = locked.0.take()?;
            let version = guard.version();
            Some(match commit {
                true => guard.commit(),
                false => {
                    guard.discard();
                    Ok(version)
                }
            })
        });
        self.free = Some(lock.into_owner().into_inner());
        Ok(ended)
    }
}

fn over() -> Failure {
    PyValueError::new_err("this guard is over: it was committed or discarded").into()
}

fn not_yet<R>(error: SharedError) -> Result<Step<R>, Failure> {
    match error {
        SharedError::Locked | SharedError::TimedOut => Step::or(SharedError::TimedOut),
        error => Err(error.into()),
    }
}

/// One value that processes change in turns. It is up to 256 bytes, and begins empty.
#[pyclass(frozen, module = "slipring")]
pub struct Shared {
    slot: Slot<Holding>,
}

impl Shared {
    fn new(shared: Inner) -> Self {
        let holding = Holding {
            free: Some(Box::new(shared)),
            locked: None,
            numbers: 0,
        };
        Self {
            slot: Slot::new("shared value", holding),
        }
    }
}

#[pymethods]
impl Shared {
    /// Creates a shared value. The settings: `max_handles`.
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

    /// Opens a shared value, or creates it with the settings of `create`.
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

    /// Opens a shared value; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, Inner::open_until).map(Self::new)
    }

    /// Removes a shared value, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        Inner::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |made| Ok(made.free()?.is_removed()))
    }

    /// Takes the lock, and returns its guard. The call lets signals and other threads have their turn every 50
    /// milliseconds, and loses its place among those that wait.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn lock(slf: Bound<'_, Self>, timeout: Timeout) -> PyResult<SharedGuard> {
        let number = slf.get().slot.wait(slf.py(), timeout, |holding, mode| {
            holding.free()?;
            let Some(shared) = holding.free.take() else {
                return Err(over());
            };
            let locked = Lock::try_new_or_recover(MutBorrow::new(shared), |owner| {
                let shared = owner.borrow_mut();
                let guard = match mode.deadline() {
                    None => shared.try_lock(),
                    Some(deadline) => shared.lock_until(deadline),
                };
                guard.map(|guard| Locked(Some(guard)))
            });
            match locked {
                Ok(lock) => {
                    holding.numbers += 1;
                    holding.locked = Some((lock, holding.numbers));
                    Ok(Step::Done(holding.numbers))
                }
                Err((owner, error)) => {
                    holding.free = Some(owner.into_inner());
                    not_yet(error)
                }
            }
        })?;
        Ok(SharedGuard {
            shared: slf.unbind(),
            number,
        })
    }

    /// Returns the value and its version, without the lock.
    fn get(&self, py: Python<'_>) -> PyResult<(Py<PyBytes>, u64)> {
        let (value, version) = self.slot.with(py, |holding| Ok(holding.free()?.get()?))?;
        Ok((PyBytes::new(py, value.bytes()).unbind(), version))
    }

    /// Waits until the value has another version than this.
    #[pyo3(signature = (version, *, timeout = Timeout::NEVER))]
    fn wait(&self, py: Python<'_>, version: u64, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |holding, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            let waited = holding.free()?.wait_until(version, deadline);
            waited.map_or_else(not_yet, |()| Ok(Step::Done(())))
        })
    }

    /// Returns the version, the process that holds the lock, and the number of handles.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self
            .slot
            .with(py, |holding| Ok(holding.free()?.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("version", status.version)?;
        dict.set_item("holder", status.holder)?;
        dict.set_item("handles", status.handles)?;
        Ok(dict)
    }

    /// Gives the handle back. A guard of it changes nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ready = |holding: &mut Holding| {
            let number = holding.locked.as_ref().map(|(_, number)| *number);
            number.map_or(Ok(()), |number| holding.end(number, false).map(drop))
        };
        self.slot.close(py, ready, drop).map(drop)
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

/// The lock on a shared value, and the copy that its holder changes.
///
/// It is a context manager: leaving it commits what was set, and leaving it by an exception changes nothing. A guard that is
/// dropped changes nothing either.
#[pyclass(frozen, module = "slipring")]
pub struct SharedGuard {
    shared: Py<Shared>,
    number: u64,
}

#[pymethods]
impl SharedGuard {
    /// The value.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let value: Text = self
            .shared
            .get()
            .slot
            .with(py, |holding| holding.guarded(self.number, |guard| **guard))?;
        Ok(PyBytes::new(py, value.bytes()).unbind())
    }

    #[setter]
    fn set_value(&self, py: Python<'_>, value: Payload<'_>) -> PyResult<()> {
        let value = text(&value)?;
        self.shared.get().slot.with(py, |holding| {
            holding.guarded(self.number, |guard| **guard = value)
        })
    }

    /// Whether the last holder died while it held the lock.
    #[getter]
    fn abandoned(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.get().slot.with(py, |holding| {
            holding.guarded(self.number, |guard| guard.abandoned())
        })
    }

    /// The version of the value that was found.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<u64> {
        self.shared.get().slot.with(py, |holding| {
            holding.guarded(self.number, |guard| guard.version())
        })
    }

    /// Makes the change, gives the lock back, and returns the version.
    fn commit(&self, py: Python<'_>) -> PyResult<u64> {
        let ended = self
            .shared
            .get()
            .slot
            .with(py, |holding| holding.end(self.number, true))?;
        Ok(ended.ok_or_else(over)?.map_err(Failure::from)?)
    }

    /// Gives the lock back without a change.
    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        self.shared
            .get()
            .slot
            .with(py, |holding| holding.end(self.number, false))
            .map(drop)
    }

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
        let commit = kind.is_none();
        let ended = self
            .shared
            .get()
            .slot
            .with(py, |holding| holding.end(self.number, commit))?;
        // It may have been ended inside.
        match ended {
            Some(Err(error)) => Err(Failure::from(error).into()),
            _ => Ok(()),
        }
    }
}

impl Drop for SharedGuard {
    fn drop(&mut self) {
        if let Some(mut guard) = self.shared.get().slot.quietly() {
            if let Some(holding) = guard.as_mut() {
                let _ = holding.end(self.number, false);
            }
        }
    }
}
