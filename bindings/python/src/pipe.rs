//! Pipes: their ends, and handing ends to children.

use crate::argument::{Payload, Timeout};
use crate::connecting::Made;
use crate::failure::Failure;
use crate::slot::{LockedSource, Mode, Slot, Step};
use crate::watched::Watched;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use slipring::pipe::{Duplex, PipeOptions, PipeReader as InnerReader, PipeWriter as InnerWriter};
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

/// The largest piece that one call reads.
const MOST: usize = 1 << 20;

/// Nothing came from the other end.
pub fn timed_out() -> Failure {
    Failure::timed_out("timed out waiting for the other end of the pipe")
}

/// An error of a pipe.
pub fn failed(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => timed_out(),
        _ => Failure::Raised(error.into()),
    }
}

/// What a failed attempt is to a call that waits.
pub fn not_yet<R>(error: std::io::Error) -> Result<Step<R>, Failure> {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(Step::Again(Err(failed(error)))),
        _ => Err(failed(error)),
    }
}

fn patience(mode: &Mode<'_>) -> Option<Duration> {
    Some(match mode {
        Mode::Now(_) => Duration::ZERO,
        Mode::Until(at) => at.saturating_duration_since(Instant::now()),
    })
}

macro_rules! ends {
    ($($inner:ident => $end:ident),*) => {$(
        impl Made for $inner {
            fn failed(error: std::io::Error) -> Failure {
                failed(error)
            }

            fn timed_out() -> Failure {
                timed_out()
            }

            fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                Ok(Py::new(py, $end::new(self))?.into_any())
            }
        }
    )*};
}
ends!(InnerReader => PipeReader, InnerWriter => PipeWriter);

impl Made for Duplex {
    fn failed(error: std::io::Error) -> Failure {
        failed(error)
    }

    fn timed_out() -> Failure {
        timed_out()
    }

    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (reader, writer) = self.into_halves();
        let ends = (PipeReader::new(reader), PipeWriter::new(writer));
        Ok(ends.into_pyobject(py)?.into_any().unbind())
    }
}

/// The reading end of a pipe.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct PipeReader {
    slot: Slot<Watched<InnerReader>>,
}

impl PipeReader {
    /// Around an end of the library.
    pub fn new(reader: InnerReader) -> Self {
        Self {
            slot: Slot::new("end of a pipe", Watched::new(reader)),
        }
    }
}

impl PipeReader {
    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot.source(until, |handle| handle.get().ok())
    }
}

#[pymethods]
impl PipeReader {
    /// Takes the end that the parent process handed over under this name.
    #[staticmethod]
    fn inherited(name: &str) -> PyResult<Self> {
        Ok(Self::new(InnerReader::inherited(name)?))
    }

    /// Waits for bytes, and returns those that are there, at most `size`; none at the end of the stream.
    #[pyo3(signature = (size = MOST, *, timeout = Timeout::NEVER))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        size: usize,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if size == 0 {
            return Ok(PyBytes::new(py, &[]));
        }
        let bytes = self.slot.wait(py, timeout, |watched, mode| {
            let reader = watched.get()?;
            reader.set_timeout(patience(&mode));
            let mut bytes = vec![0; size.min(MOST)];
            match reader.read(&mut bytes) {
                Ok(read) => {
                    bytes.truncate(read);
                    Ok(Step::Done(bytes))
                }
                Err(error) => not_yet(error),
            }
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The end as a buffered file object for bytes, which closes it.
    fn file(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        let io = slf.py().import("slipring._io")?;
        io.call_method1("reader", (slf,))
    }

    /// A descriptor for event loops: readable when it is worth reading again. It belongs to this end.
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

    /// Returns `True` if there is something to read; otherwise the descriptor becomes readable when there is.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |watched| watched.arm())
    }

    /// Waits for bytes without stopping the event loop; as `read`.
    #[pyo3(signature = (size = MOST, *, timeout = None))]
    fn read_async<'py>(
        slf: Bound<'py, Self>,
        size: usize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("read", (slf, size, timeout))
    }

    /// Whether the other end is alive.
    #[getter]
    fn peer_alive(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot
            .with(py, |watched| Ok(watched.get()?.status()?.peer_alive))
    }

    /// Drops the end: a writer gets `BrokenPipeError`.
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

/// The writing end of a pipe.
#[pyclass(frozen, module = "slipring")]
pub struct PipeWriter {
    slot: Slot<InnerWriter>,
}

impl PipeWriter {
    /// Around an end of the library.
    pub fn new(writer: InnerWriter) -> Self {
        Self {
            slot: Slot::new("end of a pipe", writer),
        }
    }
}

#[pymethods]
impl PipeWriter {
    /// Takes the end that the parent process handed over under this name.
    #[staticmethod]
    fn inherited(name: &str) -> PyResult<Self> {
        Ok(Self::new(InnerWriter::inherited(name)?))
    }

    /// Writes bytes, all of them, and waits for room. An exception has the number of bytes that were written before it as
    /// `written`.
    #[pyo3(signature = (data, *, timeout = Timeout::NEVER))]
    fn write(&self, py: Python<'_>, data: Payload<'_>, timeout: Timeout) -> PyResult<usize> {
        let bytes: &[u8] = &data;
        let mut written = 0;
        let outcome = self.slot.wait(py, timeout, |writer, mode| loop {
            let rest = bytes.get(written..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Step::Done(()));
            }
            writer.set_timeout(patience(&mode));
            match writer.write(rest) {
                Ok(some) => written += some,
                Err(error) => return not_yet(error),
            }
        });
        match outcome {
            Ok(()) => Ok(written),
            Err(error) => {
                let _ = error.value(py).setattr("written", written);
                Err(error)
            }
        }
    }

    /// The end as a buffered file object for bytes, which closes it.
    fn file(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        let io = slf.py().import("slipring._io")?;
        io.call_method1("writer", (slf,))
    }

    /// Whether the other end is alive.
    #[getter]
    fn peer_alive(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |writer| Ok(writer.status()?.peer_alive))
    }

    /// Drops the end: a reader gets the end of the stream.
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

/// Makes an anonymous pipe: its reading and its writing end.
#[pyfunction]
#[pyo3(signature = (capacity_bytes = None))]
pub fn pipe(capacity_bytes: Option<u64>) -> PyResult<(PipeReader, PipeWriter)> {
    let (reader, writer) = match capacity_bytes {
        None => slipring::pipe()?,
        Some(bytes) => slipring::pipe::pipe_with(bytes, PipeOptions::new())?,
    };
    Ok((PipeReader::new(reader), PipeWriter::new(writer)))
}

/// Makes two connected sides for both directions: of each, its reading and its writing end.
#[pyfunction]
#[pyo3(signature = (capacity_bytes = None))]
#[allow(clippy::type_complexity, reason = "two pairs")]
pub fn duplex(
    capacity_bytes: Option<u64>,
) -> PyResult<((PipeReader, PipeWriter), (PipeReader, PipeWriter))> {
    let (one, other) = match capacity_bytes {
        None => slipring::duplex()?,
        Some(bytes) => slipring::pipe::duplex_with(bytes, PipeOptions::new())?,
    };
    let ends = |side: Duplex| {
        let (reader, writer) = side.into_halves();
        (PipeReader::new(reader), PipeWriter::new(writer))
    };
    Ok((ends(one), ends(other)))
}

/// Starts a program with ends of pipes, which it takes by their names (`PipeReader.inherited("jobs")`), and returns its
/// process id, to be waited for with `os.waitpid`. The ends belong to it from then on, and are closed if it cannot be started.
#[pyfunction]
#[pyo3(signature = (args, **ends))]
pub fn spawn(py: Python<'_>, args: Vec<String>, ends: Option<&Bound<'_, PyDict>>) -> PyResult<u32> {
    let (program, args) = args
        .split_first()
        .ok_or_else(|| PyValueError::new_err("args is empty: a program, and its arguments"))?;
    let mut command = Command::new(program);
    command.args(args);
    // Before any is taken out.
    for (name, end) in ends.into_iter().flatten() {
        let closed = if let Ok(reader) = end.cast::<PipeReader>() {
            reader.get().slot.is_closed(py)?
        } else if let Ok(writer) = end.cast::<PipeWriter>() {
            writer.get().slot.is_closed(py)?
        } else {
            return Err(PyTypeError::new_err(format!("{name} is no end of a pipe")));
        };
        if closed {
            return Err(PyValueError::new_err(format!("the end {name} is closed")));
        }
    }
    for (name, end) in ends.into_iter().flatten() {
        let name: String = name.extract()?;
        let missing = || PyValueError::new_err(format!("the end {name} is closed"));
        if let Ok(reader) = end.cast::<PipeReader>() {
            let taken = reader.get().slot.close(py, |_| Ok(()), |end| end)?;
            let reader = taken.and_then(Watched::into_inner).ok_or_else(missing)?;
            reader
                .hand_to(&mut command, &name)
                .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        } else if let Ok(writer) = end.cast::<PipeWriter>() {
            let taken = writer.get().slot.close(py, |_| Ok(()), |end| end)?;
            taken
                .ok_or_else(missing)?
                .hand_to(&mut command, &name)
                .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        } else {
            return Err(PyTypeError::new_err(format!("{name} is no end of a pipe")));
        }
    }
    // Dropping what is left of the child neither ends it nor waits for it.
    Ok(command.spawn()?.id())
}
