//! Signals: listeners and targets.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{LockedSource, Slot, Step};
use crate::watched::Watched;
use crate::{apply, failures};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::signals::{
    Listener as InnerListener, ListenerOptions, Noticed, SignalError, SignalSet, SignalsBuilder,
    Target as InnerTarget,
};
use slipring::Signals as Inner;

failures! {
    SignalError {
        SignalError::NoListener { name } => [name],
        SignalError::Number { signal } => [signal],
    }
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<SignalsBuilder> {
    let mut builder = Inner::builder(place.0);
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: max_listeners, mode);
    settings.end()?;
    Ok(builder)
}

/// Numbers from 0 to 63, sent to one named listener or to all.
#[pyclass(frozen, module = "slipring")]
pub struct Signals {
    slot: Slot<Inner>,
}

impl Signals {
    fn new(made: Inner) -> Self {
        Self {
            slot: Slot::new("signals object", made),
        }
    }
}

#[pymethods]
impl Signals {
    /// Creates a signals object. The settings: `max_listeners`, `mode`.
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

    /// Opens a signals object, or creates it with the settings of `create`.
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

    /// Opens a signals object; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, Inner::open_until).map(Self::new)
    }

    /// Removes a signals object, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        Inner::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |made| Ok(made.is_removed()))
    }

    /// Listens under a name, which one listener has at a time.
    #[pyo3(signature = (name, *, strategy = None))]
    fn listener(
        &self,
        py: Python<'_>,
        name: &str,
        strategy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Listener> {
        let options = ListenerOptions::new().strategy(crate::argument::strategy(strategy)?);
        let listener = self
            .slot
            .with(py, |signals| Ok(signals.listener_with(name, options)?))?;
        Ok(Listener {
            slot: Slot::new("listener", Watched::new(listener)),
        })
    }

    /// The listener that has a name now, to send signals to.
    fn target(&self, py: Python<'_>, name: &str) -> PyResult<Target> {
        let target = self.slot.with(py, |signals| Ok(signals.target(name)?))?;
        Ok(Target {
            slot: Slot::new("target", target),
        })
    }

    /// Sends a signal to all that listen.
    fn broadcast(&self, py: Python<'_>, signal: u32) -> PyResult<()> {
        self.slot.with(py, |signals| Ok(signals.broadcast(signal)?))
    }

    /// Returns the names of the listeners, and how many there can be.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.slot.with(py, |signals| Ok(signals.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("listeners", status.listeners)?;
        dict.set_item("max_listeners", status.max_listeners)?;
        Ok(dict)
    }

    /// Closes it. Its listeners stay.
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

/// Sends signals to one listener, for its lifetime.
#[pyclass(frozen, module = "slipring")]
pub struct Target {
    slot: Slot<InnerTarget>,
}

#[pymethods]
impl Target {
    /// Sends a signal.
    fn send(&self, py: Python<'_>, signal: u32) -> PyResult<()> {
        self.slot.with(py, |target| Ok(target.send(signal)?))
    }

    /// The name of the listener.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        self.slot.with(py, |target| Ok(target.name()))
    }
}

/// Which signals: `None` for all.
fn set_of(signals: Option<Vec<u32>>) -> Result<SignalSet, Failure> {
    let Some(signals) = signals else {
        return Ok(SignalSet::ALL);
    };
    let mut set = SignalSet::NONE;
    for signal in signals {
        if signal > 63 {
            return Err(SignalError::Number { signal }.into());
        }
        set = set.union(SignalSet::of(signal));
    }
    Ok(set)
}

/// Notices the signals that are sent to one name.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Listener {
    slot: Slot<Watched<InnerListener>>,
}

fn pair(noticed: Noticed) -> (u32, u64) {
    (noticed.signal, noticed.count)
}

impl Listener {
    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot.source(until, |handle| handle.get().ok())
    }
}

#[pymethods]
impl Listener {
    /// Waits for a signal, and returns its number and how often it was sent; the lowest number first. `signals` are those
    /// to wait for.
    #[pyo3(signature = (signals = None, *, timeout = Timeout::NEVER))]
    fn wait(
        &self,
        py: Python<'_>,
        signals: Option<Vec<u32>>,
        timeout: Timeout,
    ) -> PyResult<(u32, u64)> {
        let set = set_of(signals)?;
        self.slot.wait(py, timeout, |watched, mode| {
            let listener = watched.get()?;
            let noticed = match mode.deadline() {
                None => listener.try_wait(set),
                Some(deadline) => listener.wait_until(set, deadline).map(Some),
            };
            match noticed {
                Ok(Some(noticed)) => Ok(Step::Done(pair(noticed))),
                Ok(None) | Err(SignalError::TimedOut) => Step::or(SignalError::TimedOut),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Returns a signal that was sent, and how often; `None` if there is none.
    #[pyo3(signature = (signals = None))]
    fn try_wait(&self, py: Python<'_>, signals: Option<Vec<u32>>) -> PyResult<Option<(u32, u64)>> {
        let set = set_of(signals)?;
        self.slot
            .with(py, |watched| Ok(watched.get()?.try_wait(set)?.map(pair)))
    }

    /// Waits for a signal without stopping the event loop; as `wait`.
    #[pyo3(signature = (signals = None, *, timeout = None))]
    fn wait_async<'py>(
        slf: Bound<'py, Self>,
        signals: Option<Vec<u32>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("signal", (slf, signals, timeout))
    }

    /// A descriptor for event loops: readable when it is worth looking again. It belongs to this handle.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |watched| watched.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |watched| watched.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |watched| Ok(watched.uses_io_uring()))
    }

    /// Returns `True` if there is something to report; otherwise the descriptor becomes readable when there is.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |watched| watched.arm())
    }

    /// Listens no longer.
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
