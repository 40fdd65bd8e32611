//! Named pipes.

use crate::apply;
use crate::argument::Timeout;
use crate::aside::aside;
use crate::connecting::{Connecting, Made};
use crate::failure::Failure;
use crate::pipe::{failed, not_yet, PipeReader, PipeWriter};
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{Slot, Step};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::endpoint::Connecting as Waits;
use slipring::fifo::FifoBuilder;
use slipring::{Deadline, Fifo as Inner};

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<FifoBuilder> {
    let mut builder = Inner::builder(place.0);
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: capacity_bytes, both_ways, mode);
    settings.end()?;
    Ok(builder)
}

/// A named pipe: one writer and one reader at a time, or two sides for both directions.
#[pyclass(frozen, module = "slipring")]
pub struct Fifo {
    slot: Slot<Inner>,
}

impl Fifo {
    fn new(fifo: Inner) -> Self {
        Self {
            slot: Slot::new("named pipe", fifo),
        }
    }

    fn begin<E: Made>(
        &self,
        py: Python<'_>,
        begin: impl FnOnce(&Inner) -> std::io::Result<Waits<E>> + Send,
    ) -> PyResult<Connecting> {
        let waits = self.slot.with(py, |fifo| begin(fifo).map_err(failed))?;
        Ok(Connecting::new(waits))
    }

    /// Meets the other end.
    fn end<E: Send + 'static>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        open: impl FnOnce(&Inner, Deadline) -> std::io::Result<E> + Send + 'static,
    ) -> PyResult<E> {
        let fifo = self.slot.with(py, |fifo| Ok(fifo.clone()))?;
        let deadline = timeout.deadline().map_or(Deadline::NEVER, Deadline::at);
        let end = aside(py, move || open(&fifo, deadline))?;
        match end.map_or_else(not_yet, |end| Ok(Step::Done(end)))? {
            Step::Done(end) => Ok(end),
            Step::Again(last) => Ok(last?),
        }
    }
}

#[pymethods]
impl Fifo {
    /// Creates a named pipe. The settings: `capacity_bytes`, `both_ways`, `mode`.
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

    /// Opens a named pipe, or creates it with the settings of `create`.
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

    /// Opens a named pipe; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, Inner::open_until).map(Self::new)
    }

    /// Removes a named pipe, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        Inner::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Opens the writing end, and waits for a reader.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn writer(&self, py: Python<'_>, timeout: Timeout) -> PyResult<PipeWriter> {
        let writer = self.end(py, timeout, |fifo, deadline| fifo.writer_until(deadline));
        writer.map(PipeWriter::new)
    }

    /// Opens the reading end, and waits for a writer.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn reader(&self, py: Python<'_>, timeout: Timeout) -> PyResult<PipeReader> {
        let reader = self.end(py, timeout, |fifo, deadline| fifo.reader_until(deadline));
        reader.map(PipeReader::new)
    }

    /// Becomes one side of a pipe for both directions, waits for the other, and returns the reading and the writing end.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn connect(&self, py: Python<'_>, timeout: Timeout) -> PyResult<(PipeReader, PipeWriter)> {
        let side = self.end(py, timeout, |fifo, deadline| fifo.connect_until(deadline))?;
        let (reader, writer) = side.into_halves();
        Ok((PipeReader::new(reader), PipeWriter::new(writer)))
    }

    /// Begins to open the writing end as `writer` does, and does not wait: for event loops. `finish` or `finish_async` of what it
    /// returns makes the end.
    fn begin_writer(&self, py: Python<'_>) -> PyResult<Connecting> {
        self.begin(py, Inner::begin_writer)
    }

    /// Begins to open the reading end as `reader` does, and does not wait.
    fn begin_reader(&self, py: Python<'_>) -> PyResult<Connecting> {
        self.begin(py, Inner::begin_reader)
    }

    /// Begins to open one side of a pipe for both directions as `connect` does, and does not wait.
    fn begin_connect(&self, py: Python<'_>) -> PyResult<Connecting> {
        self.begin(py, Inner::begin_connect)
    }

    /// Whether it goes both ways.
    #[getter]
    fn both_ways(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |fifo| Ok(fifo.both_ways()))
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |fifo| Ok(fifo.is_removed()))
    }

    /// Closes it. Its ends stay open.
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
