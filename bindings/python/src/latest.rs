//! Newest values: of a schema, or the texts that the command `slipring latest` keeps.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{LockedSource, Slot, Step};
use crate::value::{schema_of, Any, Shape};
use crate::watched::Watched;
use crate::{apply, failures};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict};
use slipring::latest::{
    LatestBuilder, LatestError, LatestReader as InnerReader, LatestWriter as InnerWriter,
    ReaderOptions,
};
use slipring::Deadline;

type Inner = slipring::Latest<[u8]>;

failures! {
    LatestError {
        LatestError::NoCell { cell, cells } => [cell, cells],
    }
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<LatestBuilder<[u8]>> {
    let mut settings = Settings::new(py, settings)?;
    let mut builder = Inner::builder_of(place.0, schema_of(settings.take("schema")?)?);
    apply!(settings, builder: cells, max_readers, mode);
    settings.end()?;
    Ok(builder)
}

/// The newest value of one writer, or a table of them by number. A value has the fields of the schema; without a schema it is
/// bytes, 256 at most.
#[pyclass(frozen, module = "slipring")]
pub struct Latest {
    slot: Slot<Inner>,
    shape: Shape,
}

impl Latest {
    fn new(made: Inner) -> PyResult<Self> {
        Ok(Self {
            shape: Shape::new(made.schema())?,
            slot: Slot::new("table of newest values", made),
        })
    }
}

#[pymethods]
impl Latest {
    /// Creates a table of newest values. The settings: `schema` (as `Quote{bid:f64,ask:f64}`), `cells` (1), `max_readers`, `mode`.
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

    /// Opens a table of newest values, or creates it with the settings of `create`.
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

    /// Opens a table of newest values, whatever its schema is; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        Self::new(open_until(py, &place, timeout, Inner::open_any_until)?)
    }

    /// Removes a table of newest values, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        slipring::Latest::<Any>::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |made| Ok(made.is_removed()))
    }

    /// Becomes the one writer.
    fn writer(&self, py: Python<'_>) -> PyResult<LatestWriter> {
        let writer = self.slot.with(py, |latest| Ok(latest.writer()?))?;
        Ok(LatestWriter {
            slot: Slot::new("writer", writer),
            shape: self.shape.clone(),
        })
    }

    /// Makes a reader.
    #[pyo3(signature = (*, strategy = None))]
    fn reader(
        &self,
        py: Python<'_>,
        strategy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<LatestReader> {
        let options = ReaderOptions::new().strategy(crate::argument::strategy(strategy)?);
        let reader = self
            .slot
            .with(py, |latest| Ok(latest.reader_with(options)?))?;
        Ok(LatestReader {
            slot: Slot::new("reader", Watched::new(reader)),
            shape: self.shape.clone(),
        })
    }

    /// The text of the schema of its values.
    #[getter]
    fn schema(&self) -> String {
        self.shape.text()
    }

    /// The numpy type of its values, by their schema. Needs numpy.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shape.dtype(py)
    }

    /// How many cells it has.
    #[getter]
    fn cells(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, |latest| Ok(latest.cells()))
    }

    /// Returns how often values were set, the writer, and the number of readers.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.slot.with(py, |latest| Ok(latest.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("cells", status.cells)?;
        dict.set_item("changes", status.changes)?;
        dict.set_item("writer_alive", status.writer_alive)?;
        dict.set_item("writer_pid", status.writer_pid)?;
        dict.set_item("writers", status.writers)?;
        dict.set_item("readers", status.readers)?;
        Ok(dict)
    }

    /// Closes it. Its handles stay open.
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

/// Sets newest values.
#[pyclass(frozen, module = "slipring")]
pub struct LatestWriter {
    slot: Slot<InnerWriter<[u8]>>,
    shape: Shape,
}

#[pymethods]
impl LatestWriter {
    /// Sets a value, and returns its version. A value is a mapping of all its fields, a tuple of them in order, a numpy scalar
    /// of its type, or its bytes; without a schema, bytes of any number up to 256.
    #[pyo3(signature = (value, *, cell = 0))]
    fn set(&self, py: Python<'_>, value: &Bound<'_, PyAny>, cell: u32) -> PyResult<u64> {
        let value = self.shape.take(value)?;
        self.slot
            .with(py, |writer| Ok(writer.set_at(cell, &value)?))
    }

    /// Leaves; another writer may come. Values stay.
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

/// Reads newest values.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct LatestReader {
    slot: Slot<Watched<InnerReader<[u8]>>>,
    shape: Shape,
}

fn not_yet<R>(error: LatestError) -> Result<Step<R>, Failure> {
    match error {
        LatestError::TimedOut => Step::or(LatestError::TimedOut),
        error => Err(error.into()),
    }
}

impl LatestReader {
    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot.source(until, |handle| handle.get().ok())
    }

    fn bytes_of(&self, py: Python<'_>, cell: u32) -> PyResult<Option<(Box<[u8]>, u64)>> {
        self.slot
            .with(py, |watched| Ok(watched.get()?.get_at(cell)?))
    }
}

#[pymethods]
impl LatestReader {
    /// Returns the newest value of a cell and its version; `None` if it was never set. A value is a dict of its fields, in which
    /// an array of `u8` is bytes and any other a list; without a schema, bytes.
    #[pyo3(signature = (*, cell = 0))]
    fn get<'py>(&self, py: Python<'py>, cell: u32) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
        let got = self.bytes_of(py, cell)?;
        got.map(|(value, version)| Ok((self.shape.give(py, &value)?, version)))
            .transpose()
    }

    /// As `get`, but the bytes of the value as they lie in memory.
    #[pyo3(signature = (*, cell = 0))]
    fn get_bytes(&self, py: Python<'_>, cell: u32) -> PyResult<Option<(Py<PyBytes>, u64)>> {
        let got = self.bytes_of(py, cell)?;
        Ok(got.map(|(value, version)| (PyBytes::new(py, &value).unbind(), version)))
    }

    /// As `get`, but the value is a numpy scalar with fields. Needs numpy.
    #[pyo3(signature = (*, cell = 0))]
    fn get_numpy<'py>(
        &self,
        py: Python<'py>,
        cell: u32,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
        let got = self.bytes_of(py, cell)?;
        got.map(|(value, version)| Ok((self.shape.numpy(py, &value)?, version)))
            .transpose()
    }

    /// Waits until any cell was set since the last such wait, or since the reader was made.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn wait(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |watched, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            let waited = watched.get()?.wait_until(deadline);
            waited.map_or_else(not_yet, |()| Ok(Step::Done(())))
        })
    }

    /// Waits until a cell has another version than this.
    #[pyo3(signature = (version, *, cell = 0, timeout = Timeout::NEVER))]
    fn wait_at(&self, py: Python<'_>, version: u64, cell: u32, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |watched, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            let waited = watched.get()?.wait_at_until(cell, version, deadline);
            waited.map_or_else(not_yet, |()| Ok(Step::Done(())))
        })
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

    /// Leaves.
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
