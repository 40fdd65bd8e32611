//! Shared values: of a schema, or the texts that the command `slipring shared` keeps.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{Slot, Step};
use crate::value::{schema_of, Any, Shape};
use crate::{apply, failures};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict};
use self_cell::{self_cell, MutBorrow};
use slipring::shared::{SharedBuilder, SharedError, SharedGuard as Guard};
use slipring::Deadline;

type Inner = slipring::Shared<[u8]>;

failures! {
    SharedError {}
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<SharedBuilder<[u8]>> {
    let mut settings = Settings::new(py, settings)?;
    let mut builder = Inner::builder_of(place.0, schema_of(settings.take("schema")?)?);
    apply!(settings, builder: max_handles);
    settings.end()?;
    Ok(builder)
}

struct Locked<'s>(Option<Guard<'s, [u8]>>);

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
        look: impl FnOnce(&mut Guard<'_, [u8]>) -> R,
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

/// One value that processes change in turns. It has the fields of the schema, which begin as zero; without a schema it is bytes,
/// 256 at most, and begins empty.
#[pyclass(frozen, module = "slipring")]
pub struct Shared {
    slot: Slot<Holding>,
    shape: Shape,
}

impl Shared {
    fn new(shared: Inner) -> PyResult<Self> {
        let shape = Shape::new(shared.schema())?;
        let holding = Holding {
            free: Some(Box::new(shared)),
            locked: None,
            numbers: 0,
        };
        Ok(Self {
            slot: Slot::new("shared value", holding),
            shape,
        })
    }

    fn bytes_of(&self, py: Python<'_>) -> PyResult<(Box<[u8]>, u64)> {
        self.slot.with(py, |holding| Ok(holding.free()?.get()?))
    }
}

#[pymethods]
impl Shared {
    /// Creates a shared value. The settings: `schema` (as `Account{balance:i64}`), `max_handles`.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let made = described(py, place, settings)?.create();
        Self::new(made.map_err(Failure::from)?)
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
        Self::new(made.map_err(Failure::from)?)
    }

    /// Opens a shared value, whatever its schema is; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        Self::new(open_until(py, &place, timeout, Inner::open_any_until)?)
    }

    /// Removes a shared value, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        slipring::Shared::<Any>::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |made| Ok(made.free()?.is_removed()))
    }

    /// Takes the lock, and returns its guard. The call lets signals and other threads have their turn every 50
    /// milliseconds, and keeps its place among those that wait. Threads that share a handle share one place.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn lock(slf: Bound<'_, Self>, timeout: Timeout) -> PyResult<SharedGuard> {
        let mut waiter = None;
        let number = slf.get().slot.wait(slf.py(), timeout, |holding, mode| {
            let shared = holding.free()?;
            let waiter = match &mut waiter {
                None if mode.deadline().is_some() => Some(&*waiter.insert(shared.waiter()?)),
                known => known.as_ref(),
            };
            let Some(shared) = holding.free.take() else {
                return Err(over());
            };
            let locked = Lock::try_new_or_recover(MutBorrow::new(shared), |owner| {
                let shared = owner.borrow_mut();
                let guard = match (mode.deadline(), waiter) {
                    (Some(deadline), Some(waiter)) => shared.lock_as(waiter, deadline),
                    _ => shared.try_lock(),
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

    /// The text of the schema of the value.
    #[getter]
    fn schema(&self) -> String {
        self.shape.text()
    }

    /// The numpy type of the value, by its schema. Needs numpy.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shape.dtype(py)
    }

    /// Returns the value and its version, without the lock. The value is a dict of its fields, in which an array of `u8` is bytes
    /// and any other a list; without a schema, bytes.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let (value, version) = self.bytes_of(py)?;
        Ok((self.shape.give(py, &value)?, version))
    }

    /// As `get`, but the bytes of the value as they lie in memory.
    fn get_bytes(&self, py: Python<'_>) -> PyResult<(Py<PyBytes>, u64)> {
        let (value, version) = self.bytes_of(py)?;
        Ok((PyBytes::new(py, &value).unbind(), version))
    }

    /// As `get`, but the value is a numpy scalar with fields. Needs numpy.
    fn get_numpy<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let (value, version) = self.bytes_of(py)?;
        Ok((self.shape.numpy(py, &value)?, version))
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

impl SharedGuard {
    fn shape(&self) -> &Shape {
        &self.shared.get().shape
    }

    fn held(&self, py: Python<'_>) -> PyResult<Box<[u8]>> {
        let slot = &self.shared.get().slot;
        slot.with(py, |holding| {
            holding.guarded(self.number, |guard| Box::from(&**guard))
        })
    }

    fn change(&self, py: Python<'_>, to: &[u8]) -> PyResult<()> {
        let slot = &self.shared.get().slot;
        slot.with(py, |holding| {
            holding.guarded(self.number, |guard| guard.copy_from_slice(to))
        })
    }
}

#[pymethods]
impl SharedGuard {
    /// The value, as `Shared.get` returns it. It is set as `LatestWriter.set` does: to a mapping of all fields, a tuple of them, a
    /// numpy scalar, or bytes. What is returned is a copy: to change one field, set it by its name, as in
    /// `guard["balance"] += 5`.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shape().give(py, &self.held(py)?)
    }

    #[setter]
    fn set_value(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, &self.shape().take(value)?)
    }

    /// Returns one field.
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.shape().get(py, &self.held(py)?, name)
    }

    /// Sets one field.
    fn __setitem__(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (at, field) = self.shape().encode(name, value)?;
        let slot = &self.shared.get().slot;
        slot.with(py, |holding| {
            holding.guarded(self.number, |guard| {
                guard[at..at + field.len()].copy_from_slice(&field)
            })
        })
    }

    /// A copy of the value as bytes, as they lie in memory.
    #[getter]
    fn bytes(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        Ok(PyBytes::new(py, &self.held(py)?).unbind())
    }

    /// A copy of the value as a numpy scalar with fields. Needs numpy.
    #[getter]
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shape().numpy(py, &self.held(py)?)
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
