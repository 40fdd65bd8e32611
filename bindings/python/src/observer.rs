//! Observers: readers for which the producer never waits.

use crate::argument::{at_least_one, Timeout};
use crate::batch::Gathered;
use crate::consumer::{Several, Taken};
use crate::failure::Failure;
use crate::message::Loss;
use crate::slot::{LockedSource, Mode, Slot, Step};
use crate::watched::Watched;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::endpoint::{ReceiveError, TryReceiveError};
use slipring::{Deadline, Observer as Inner, Received, Ring};

/// An observer and what it has still to hand out.
struct Looking {
    watched: Watched<Inner>,
    ring: Ring,
    pending: Option<Taken>,
    /// The number of the producer whose end was told, if nothing came since.
    told: Option<u64>,
}

impl Looking {
    fn received(
        received: Result<Received<'_>, TryReceiveError>,
        py: Option<Python<'_>>,
    ) -> Result<Option<Taken>, Failure> {
        Ok(Some(match received {
            Ok(Received::Message(payload)) => match py {
                Some(py) => Taken::Bytes(
                    PyBytes::new(py, payload.bytes()).unbind(),
                    payload.sequence(),
                ),
                None => Taken::Copy(payload.to_vec(), payload.sequence()),
            },
            Ok(Received::Lapped { lost, resumed_at }) => {
                Taken::Loss(Loss::Lapped(lost, resumed_at))
            }
            Ok(Received::Skipped {
                skipped,
                resumed_at,
                why,
            }) => Taken::Loss(Loss::Skipped(skipped, resumed_at, why)),
            Ok(_) | Err(TryReceiveError::Closed) => Taken::End,
            Err(TryReceiveError::Empty) => return Ok(None),
            Err(error) => return Err(error.into()),
        }))
    }

    fn attempt(
        &mut self,
        py: Option<Python<'_>>,
        deadline: Option<Deadline>,
    ) -> Result<Option<Taken>, Failure> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        let observer = self.watched.get()?;
        match deadline {
            None => Self::received(observer.try_receive(), py),
            Some(deadline) => match observer.receive_until(deadline) {
                Ok(received) => Self::received(Ok(received), py),
                Err(ReceiveError::TimedOut) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    fn step<R>(
        &mut self,
        taken: Option<Taken>,
        deadline: Option<Deadline>,
        made: impl Fn(Taken) -> R,
    ) -> Result<Step<R>, Failure> {
        match taken {
            None => Step::or(ReceiveError::TimedOut),
            Some(Taken::End) => {
                // Told once for each producer, by the call that may wait; until then it is what the call comes to.
                let epoch = self.ring.status().map(|status| status.epoch.number).ok();
                if deadline.is_none() || self.told.is_some() && self.told == epoch {
                    return Ok(Step::Again(Ok(made(Taken::End))));
                }
                self.told = epoch.or(Some(0));
                Ok(Step::Done(made(Taken::End)))
            }
            Some(taken) => {
                self.told = None;
                Ok(Step::Done(made(taken)))
            }
        }
    }

    fn several(
        &mut self,
        max: usize,
        fixed: Option<u32>,
        deadline: Option<Deadline>,
    ) -> Result<Step<Several>, Failure> {
        let first = self.attempt(None, deadline)?;
        let Some(Taken::Copy(bytes, sequence)) = first else {
            return self.step(first, deadline, |taken| match taken {
                Taken::Loss(loss) => Several::Loss(loss),
                _ => Several::End,
            });
        };
        self.told = None;
        let fits = |len: usize| fixed.is_none_or(|fixed| fixed as usize == len);
        let wrong = |sequence, len: usize| TryReceiveError::WrongSize {
            sequence,
            len: len as u32,
            expected: fixed.unwrap_or_default(),
        };
        if !fits(bytes.len()) {
            return Err(wrong(sequence, bytes.len()).into());
        }
        let mut gathered = Gathered::with_room(max.min(4096), bytes.len());
        gathered.push(&bytes, sequence);
        let observer = self.watched.get()?;
        while gathered.len() < max {
            match observer.try_receive() {
                Ok(Received::Message(payload)) if fits(payload.len()) => {
                    gathered.push(payload.bytes(), payload.sequence());
                }
                Ok(Received::Closed) | Err(_) => break,
                other => {
                    self.pending = Self::received(other, None)?;
                    break;
                }
            }
        }
        Ok(Step::Done(Several::Messages(gathered)))
    }
}

/// A reader for which the producer never waits: it is told exactly how many messages it lost.
///
/// Made by `ring.observer(start)`. It is a context manager, and an iterator over the messages until the producer closes the
/// ring.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Observer {
    slot: Slot<Looking>,
    values: bool,
    fixed: Option<u32>,
    schema: Option<String>,
}

impl Observer {
    /// Around an observer of the library.
    pub fn new(observer: Inner, ring: Ring, values: bool, schema: Option<(u32, String)>) -> Self {
        let (fixed, schema) = schema.unzip();
        let looking = Looking {
            watched: Watched::new(observer),
            ring,
            pending: None,
            told: None,
        };
        Self {
            slot: Slot::new("observer", looking),
            values,
            fixed,
            schema,
        }
    }

    fn several(&self, py: Python<'_>, max: usize, timeout: Timeout) -> PyResult<Several> {
        let max = at_least_one("max", max)?;
        let fixed = self.fixed;
        self.slot.wait(py, timeout, move |looking, mode| {
            looking.several(max, fixed, mode.deadline())
        })
    }
}

impl Observer {
    /// Whether something was taken that was not handed out.
    pub fn has_pending(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |looking| Ok(looking.pending.is_some()))
    }

    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot.source(until, |handle| handle.watched.get().ok())
    }
}

#[pymethods]
impl Observer {
    /// Waits for the next message, and returns it; `None` once the producer has closed the ring and everything was
    /// received. Raises `LappedError` with the number of messages that were overwritten before they were read.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Option<Py<PyAny>>> {
        let taken = self.slot.wait(py, timeout, |looking, mode| {
            let py = match mode {
                Mode::Now(py) => Some(py),
                Mode::Until(_) => None,
            };
            let taken = looking.attempt(py, mode.deadline())?;
            looking.step(taken, mode.deadline(), |taken| taken)
        })?;
        taken.into_python(py, self.values)
    }

    /// Returns the next message if there is one now. Raises `Empty` or `Closed` otherwise.
    fn try_receive(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let taken = self
            .slot
            .with(py, |looking| looking.attempt(None, None))?
            .ok_or(Failure::from(TryReceiveError::Empty))?;
        match taken.into_python(py, self.values)? {
            Some(message) => Ok(message),
            None => Err(Failure::from(TryReceiveError::Closed).into()),
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

    /// Waits until another producer has attached.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn wait_for_producer(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |looking, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            match looking.watched.get()?.wait_for_producer(deadline) {
                Ok(()) => Ok(Step::Done(())),
                Err(error @ ReceiveError::TimedOut) => Step::or(error),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// The sequence of the next message.
    #[getter]
    fn next_sequence(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot
            .with(py, |looking| Ok(looking.watched.get()?.next_sequence()))
    }

    /// How many bytes of the ring lie between this observer and the producer.
    #[getter]
    fn lag_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot
            .with(py, |looking| Ok(looking.watched.get()?.lag_bytes()))
    }

    /// How many messages were received, lost, and skipped since the start; together, all sequences since then.
    fn counts(&self, py: Python<'_>) -> PyResult<(u64, u64, u64)> {
        self.slot.with(py, |looking| {
            let observer = looking.watched.get()?;
            Ok((
                observer.received_count(),
                observer.lost_count(),
                observer.skipped_count(),
            ))
        })
    }

    /// Once after another producer took over: its number, and the sequence of its first message.
    fn new_epoch(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        self.slot.with(py, |looking| {
            let epoch = looking.watched.get()?.new_epoch();
            Ok(epoch.map(|epoch| (epoch.number, epoch.first_sequence)))
        })
    }

    /// A descriptor for event loops: readable when it is worth receiving again. It belongs to the observer.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |looking| looking.watched.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |looking| looking.watched.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot
            .with(py, |looking| Ok(looking.watched.uses_io_uring()))
    }

    /// Returns `True` if there is something to receive; otherwise the descriptor becomes readable when there is.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |looking| match looking.pending {
            Some(_) => Ok(true),
            None => looking.watched.arm(),
        })
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

    /// Leaves the ring.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.close(py, |_| Ok(()), drop).map(drop)
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
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }
}
