//! Consumers: lossless readers, and durable ones.
//!
//! A message that was received is a copy, and its space is given back at once. Only a durable consumer keeps it until the
//! next call, so that a process that dies at work on a message gets it again.

mod reading;

use crate::argument::{at_least_one, Timeout};
use crate::batch::Gathered;
use crate::failure::Failure;
use crate::lend::{Lending, Peek};
use crate::message::{Gap, Loss, Message};
use crate::slot::{LockedSource, Mode, Slot, Step};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
pub use reading::Reading;
use slipring::Deadline;

/// One message that was taken, in whatever memory it was convenient.
pub enum Taken {
    /// Made by a call that held the interpreter.
    Bytes(Py<PyBytes>, u64),
    /// Made by one that did not.
    Copy(Vec<u8>, u64),
    /// A loss.
    Loss(Loss),
    /// The producer closed the ring.
    End,
}

impl Taken {
    /// What Python sees; a loss as a value, or raised.
    pub fn into_python(self, py: Python<'_>, values: bool) -> PyResult<Option<Py<PyAny>>> {
        let message = match self {
            Self::Bytes(bytes, sequence) => Message::new(bytes, sequence),
            Self::Copy(bytes, sequence) => {
                Message::new(PyBytes::new(py, &bytes).unbind(), sequence)
            }
            Self::Loss(loss) if values => return loss.value(py).map(Some),
            Self::Loss(loss) => return Err(loss.failure().into()),
            Self::End => return Ok(None),
        };
        Ok(Some(Py::new(py, message)?.into_any()))
    }
}

/// Several messages that were taken, or what came instead of the first.
pub enum Several {
    /// At least one.
    Messages(Gathered),
    /// A loss.
    Loss(Loss),
    /// The producer closed the ring.
    End,
}

/// A lossless reader of a ring: every message from its start on arrives, once and in order.
///
/// Made by `ring.consumer(start)` and `ring.durable_consumer(name, start)`. It is a context manager, and an iterator over the
/// messages until the producer closes the ring.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Consumer {
    slot: Slot<Reading>,
    values: bool,
    /// The bytes of each message, in a ring with a schema.
    fixed: Option<u32>,
    schema: Option<String>,
}

impl Consumer {
    /// Around a consumer of the library.
    pub fn new(reading: Reading, values: bool, schema: Option<(u32, String)>) -> Self {
        let (fixed, schema) = schema.unzip();
        Self {
            slot: Slot::new("consumer", reading),
            values,
            fixed,
            schema,
        }
    }

    /// Ends a loan.
    pub fn give_back(&self, py: Python<'_>, lending: &Lending) -> PyResult<()> {
        self.slot
            .with(py, |reading| reading.give_back(Some(lending)))
    }

    /// The same, where there is nobody to tell.
    pub fn give_back_quietly(&self, lending: &Lending) {
        if let Some(mut guard) = self.slot.quietly() {
            if let Some(reading) = guard.as_mut() {
                let _ = reading.give_back(Some(lending));
            }
        }
    }

    fn take(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Taken> {
        self.slot
            .wait(py, timeout, |reading, mode| reading.take(&mode))
    }

    fn several(&self, py: Python<'_>, max: usize, timeout: Timeout) -> PyResult<Several> {
        let max = at_least_one("max", max)?;
        let fixed = self.fixed;
        self.slot
            .wait(py, timeout, move |reading, mode| match mode {
                Mode::Now(_) => reading.several(max, fixed, None),
                Mode::Until(at) => reading.several(max, fixed, Some(Deadline::at(at))),
            })
    }
}

impl Consumer {
    /// Whether something was taken that was not handed out.
    pub fn has_pending(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |reading| Ok(reading.has_pending()))
    }

    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot
            .source(until, |handle| handle.next().ok()?.get().ok())
    }
}

#[pymethods]
impl Consumer {
    /// Waits for the next message, and returns it; `None` once the producer has closed the ring and everything was
    /// received. Called again after that, waits for the next producer.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Option<Py<PyAny>>> {
        self.take(py, timeout)?.into_python(py, self.values)
    }

    /// Returns the next message if there is one now. Raises `Empty` or `Closed` otherwise.
    fn try_receive(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let taken = self.slot.with(py, Reading::try_take)?;
        match taken.into_python(py, self.values)? {
            Some(message) => Ok(message),
            None => Err(Failure::from(slipring::endpoint::TryReceiveError::Closed).into()),
        }
    }

    /// Waits for messages, and returns those that are there, at most `max`: a numpy structured array in a ring with a
    /// schema, else a list; `None` at the end, as `receive`.
    #[pyo3(signature = (max, *, timeout = Timeout::NEVER))]
    fn receive_batch(
        &self,
        py: Python<'_>,
        max: usize,
        timeout: Timeout,
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some(schema) = &self.schema else {
            return self.receive_messages(py, max, timeout);
        };
        let numpy = py.import("slipring._numpy")?;
        let dtype = numpy.call_method1("dtype", (schema,))?;
        match self.several(py, max, timeout)? {
            Several::Messages(gathered) => {
                let array = numpy.call_method1("array", (gathered.block(), dtype))?;
                Ok(Some(array.unbind()))
            }
            Several::Loss(loss) if self.values => loss.value(py).map(Some),
            Several::Loss(loss) => Err(loss.failure().into()),
            Several::End => Ok(None),
        }
    }

    /// As `receive_batch`, but always returns a list of messages.
    #[pyo3(signature = (max, *, timeout = Timeout::NEVER))]
    fn receive_messages(
        &self,
        py: Python<'_>,
        max: usize,
        timeout: Timeout,
    ) -> PyResult<Option<Py<PyAny>>> {
        match self.several(py, max, timeout)? {
            Several::Messages(gathered) => Ok(Some(gathered.list(py)?.into_any().unbind())),
            Several::Loss(loss) if self.values => loss.value(py).map(Some),
            Several::Loss(loss) => Err(loss.failure().into()),
            Several::End => Ok(None),
        }
    }

    /// Waits for the next message and lends it in place, as a context manager; `None` at the end, as `receive`.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn peek(slf: Bound<'_, Self>, timeout: Timeout) -> PyResult<Option<Py<PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        let lent = this
            .slot
            .wait(py, timeout, |reading, mode| reading.lend(mode.deadline()))?;
        match lent {
            Ok((lending, sequence)) => {
                let peek = Peek::new(lending, slf.unbind(), sequence);
                Ok(Some(Py::new(py, peek)?.into_any()))
            }
            Err(taken) => taken.into_python(py, this.values),
        }
    }

    /// Acknowledges what a durable consumer received last, which its next call would do.
    fn acknowledge(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |reading| reading.give_back(None))
    }

    /// Waits until another producer has attached.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn wait_for_producer(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |reading, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            match reading.next()?.get()?.wait_for_producer(deadline) {
                Ok(()) => Ok(Step::Done(())),
                Err(error @ slipring::endpoint::ReceiveError::TimedOut) => Step::or(error),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// The sequence of the next message.
    #[getter]
    fn next_sequence(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot.with(py, |reading| Ok(reading.next_sequence()))
    }

    /// How many bytes of the ring lie between this consumer and the producer.
    #[getter]
    fn lag_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot
            .with(py, |reading| Ok(reading.free()?.lag_bytes()))
    }

    /// Its row, as in the status of the ring.
    #[getter]
    fn row(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, |reading| Ok(reading.row()))
    }

    /// How many messages were missed by evictions, and how many sequences did not exist, since the start.
    fn losses(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        self.slot.with(py, |reading| {
            let losses = reading.free()?.losses();
            Ok((losses.evicted, losses.skipped))
        })
    }

    /// The last gap in the sequences, if there was one.
    fn last_gap(&self, py: Python<'_>) -> PyResult<Option<Gap>> {
        self.slot
            .with(py, |reading| Ok(reading.free()?.last_gap().map(Gap::from)))
    }

    /// Once after another producer took over: its number, and the sequence of its first message.
    fn new_epoch(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        self.slot.with(py, |reading| {
            let epoch = reading.free()?.new_epoch();
            Ok(epoch.map(|epoch| (epoch.number, epoch.first_sequence)))
        })
    }

    /// A descriptor for event loops: readable when it is worth receiving again. It belongs to the consumer.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |reading| reading.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, instead of a thread of this process: that takes about a third
    /// of the time. Only the thread that first arms it, and finds nothing, is served so. Raises `OSError` if the kernel refuses, and
    /// nothing has changed then: `ENOSYS` before Linux 6.7, `PermissionError` where io_uring is not allowed.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |reading| reading.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |reading| Ok(reading.uses_io_uring()))
    }

    /// Returns `True` if there is something to receive; otherwise the descriptor becomes readable when there is.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |reading| reading.arm())
    }

    /// Waits for the next message without stopping the event loop; as `receive`.
    #[pyo3(signature = (*, timeout = None))]
    fn receive_async(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Bound<'_, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("receive", (slf, timeout))
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.receive(py, Timeout::NEVER)
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("next_message", (slf,))
    }

    /// Leaves the ring. A durable consumer acknowledges what it received last.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ready = |reading: &mut Reading| reading.give_back(None);
        self.slot.close(py, ready, drop).map(drop)
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.is_closed(py)
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
        if kind.is_none() {
            return self.close(py);
        }
        // What was at work when the exception came is not done: a durable consumer gets it again.
        let ready = |reading: &mut Reading| reading.may_leave();
        self.slot.close(py, ready, drop).map(drop)
    }
}
