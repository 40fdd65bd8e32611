//! The producer of a ring.

mod writing;

use crate::argument::{why, Payload, Timeout};
use crate::failure::Failure;
use crate::lend::{Claim, Lending};
use crate::slot::{Slot, Step};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use slipring::endpoint::TryPublishError;
use slipring::{Deadline, Producer as Inner};
use std::task::Poll;
use writing::{as_try, attempt, full_is_not_yet, Writing};

/// The one process that publishes into a ring.
///
/// Made by `ring.producer()`. It is a context manager; leaving it closes the ring: readers get everything, then the end.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Producer {
    slot: Slot<Writing>,
    /// The schema of the ring.
    schema: Option<String>,
}

impl Producer {
    /// Around a producer of the library.
    pub fn new(producer: Inner, schema: Option<String>) -> Self {
        let writing = Writing::new(producer);
        Self {
            slot: Slot::new("producer", writing),
            schema,
        }
    }

    /// Publishes what was claimed.
    pub fn commit(&self, py: Python<'_>, claim: &Lending, first: Option<usize>) -> PyResult<u64> {
        let ended = self
            .slot
            .with(py, |writing| writing.end(claim, Some(first)))?;
        ended.ok_or_else(|| PyValueError::new_err("this claim has ended"))
    }

    /// Gives up what was claimed.
    pub fn abort(&self, py: Python<'_>, claim: &Lending) -> PyResult<()> {
        self.slot
            .with(py, |writing| writing.end(claim, None))
            .map(drop)
    }

    /// The same, where there is nobody to tell.
    pub fn abort_quietly(&self, claim: &Lending) {
        if let Some(mut guard) = self.slot.quietly() {
            if let Some(writing) = guard.as_mut() {
                let _ = writing.end(claim, None);
            }
        }
    }

    /// Publishes messages in as few batches as they fit into. Returns how many, and the failure that ended it.
    fn batches<'m>(
        &self,
        py: Python<'_>,
        messages: impl Iterator<Item = &'m [u8]> + Clone + Send,
        timeout: Timeout,
    ) -> PyResult<u64> {
        let mut left = messages;
        let mut published = 0;
        let outcome = self.slot.wait(py, timeout, |writing, mode| {
            let producer = writing.free()?;
            loop {
                let mut rest = left.clone();
                let mut batch = producer.batch();
                let mut pushed = 0;
                let stopped = loop {
                    let Some(message) = rest.clone().next() else {
                        break None;
                    };
                    let result = match mode.deadline() {
                        // The room that is there is used before anything is waited for.
                        Some(deadline) if pushed == 0 => {
                            batch.push_until(message, deadline).map_err(as_try)
                        }
                        _ => batch.try_push(message),
                    };
                    if let Err(error) = result {
                        break Some(error);
                    }
                    pushed += 1;
                    rest.next();
                };
                batch.commit();
                left = rest;
                published += pushed;
                match stopped {
                    None => return Ok(Step::Done(())),
                    Some(TryPublishError::BatchFull | TryPublishError::Full { .. })
                        if pushed > 0 =>
                    {
                        if mode.is_over(timeout) {
                            return Step::or(late());
                        }
                    }
                    Some(error) => return full_is_not_yet(error),
                }
            }
        });
        match outcome {
            Ok(()) => Ok(published),
            Err(error) => {
                // What went before is published, and the caller has to know how much that was.
                let _ = error.value(py).setattr("published", published);
                Err(error)
            }
        }
    }
}

#[pymethods]
impl Producer {
    /// Publishes a message, and returns its sequence. Waits while the slowest consumer is a whole ring behind.
    #[pyo3(signature = (message, *, timeout = Timeout::NEVER))]
    fn publish(&self, py: Python<'_>, message: Payload<'_>, timeout: Timeout) -> PyResult<u64> {
        let bytes: &[u8] = &message;
        self.slot.wait(py, timeout, |writing, mode| {
            let producer = writing.free()?;
            match mode.deadline() {
                None => attempt(&mode, || producer.try_publish(bytes)),
                Some(deadline) => match producer.publish_until(bytes, deadline) {
                    Ok(sequence) => Ok(Step::Done(sequence)),
                    Err(error) => full_is_not_yet(as_try(error)),
                },
            }
        })
    }

    /// Publishes a message if there is room now, and returns its sequence. Raises `Full` otherwise.
    fn try_publish(&self, py: Python<'_>, message: Payload<'_>) -> PyResult<u64> {
        let bytes: &[u8] = &message;
        self.slot
            .with(py, |writing| Ok(writing.free()?.try_publish(bytes)?))
    }

    /// Publishes messages together: readers see all of them at once, or in as many parts as half the ring takes.
    /// Returns how many. An exception has the number of those that were published before it as `published`.
    #[pyo3(signature = (messages, *, timeout = Timeout::NEVER))]
    fn publish_batch(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        timeout: Timeout,
    ) -> PyResult<u64> {
        let mut given: Vec<Payload<'_>> = Vec::new();
        for message in messages.try_iter()? {
            given.push(message?.extract()?);
        }
        let slices: Vec<&[u8]> = given.iter().map(|payload| &**payload).collect();
        self.batches(py, slices.iter().copied(), timeout)
    }

    /// Publishes the rows of an array, each a message, as `publish_batch`. In a ring with a schema the array has its type.
    #[pyo3(signature = (array, *, timeout = Timeout::NEVER))]
    fn publish_array(
        &self,
        py: Python<'_>,
        array: &Bound<'_, PyAny>,
        timeout: Timeout,
    ) -> PyResult<u64> {
        let numpy = py.import("slipring._numpy")?;
        let rows = numpy.call_method1("rows", (array, &self.schema))?;
        let (bytes, size): (Payload<'_>, usize) = rows.extract()?;
        if size == 0 {
            return Err(PyValueError::new_err(
                "the rows of this array have no bytes",
            ));
        }
        self.batches(py, bytes.chunks_exact(size), timeout)
    }

    /// Lends space for a message of `size` bytes, to be written in place, as a context manager. Waits as `publish`.
    #[pyo3(signature = (size, *, timeout = Timeout::NEVER))]
    fn claim(slf: Bound<'_, Self>, size: usize, timeout: Timeout) -> PyResult<Claim> {
        let lending = slf.get().slot.wait(slf.py(), timeout, |writing, mode| {
            writing.claim(size, mode.deadline())
        })?;
        Ok(Claim::new(lending, slf.unbind()))
    }

    /// Says that the sequences up to `sequence` do not exist, and returns how many that are.
    #[pyo3(signature = (sequence, reason, *, timeout = Timeout::NEVER))]
    fn skip_to(
        &self,
        py: Python<'_>,
        sequence: u64,
        reason: &Bound<'_, PyAny>,
        timeout: Timeout,
    ) -> PyResult<u64> {
        let reason = why(reason)?;
        self.slot.wait(py, timeout, |writing, mode| {
            let producer = writing.free()?;
            match mode.deadline() {
                None => attempt(&mode, || producer.try_skip_to(sequence, reason)),
                Some(deadline) => match producer.skip_to_until(sequence, reason, deadline) {
                    Ok(skipped) => Ok(Step::Done(skipped)),
                    Err(error) => full_is_not_yet(as_try(error)),
                },
            }
        })
    }

    /// Waits until so many readers are attached, and returns how many are.
    #[pyo3(signature = (readers, *, timeout = Timeout::NEVER))]
    fn wait_for_readers(&self, py: Python<'_>, readers: u32, timeout: Timeout) -> PyResult<u32> {
        self.slot.wait(py, timeout, |writing, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            let waited = writing.free()?.wait_for_readers(readers, deadline);
            crate::ring::readers_came(waited)
        })
    }

    /// The sequence of the next message.
    #[getter]
    fn next_sequence(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot
            .with(py, |writing| Ok(writing.free()?.next_sequence()))
    }

    /// How many producers the ring has had, this one included.
    #[getter]
    fn epoch(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot.with(py, |writing| Ok(writing.free()?.epoch()))
    }

    /// A descriptor for event loops: readable when it is worth publishing again, after `arm_publish` found no room.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |writing| writing.watched()?.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot
            .with(py, |writing| writing.watched()?.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot
            .with(py, |writing| Ok(writing.watched()?.uses_io_uring()))
    }

    /// Publishes a message if there is room, and returns its sequence; otherwise returns `None`, and the descriptor becomes
    /// readable when there may be room.
    fn arm_publish(&self, py: Python<'_>, message: Payload<'_>) -> PyResult<Option<u64>> {
        let bytes: &[u8] = &message;
        self.slot.with(py, |writing| {
            let polled = writing.watched()?.polled()?;
            let published = polled.attempt(|producer| match producer.try_publish(bytes) {
                Err(TryPublishError::Full { .. }) => Poll::Pending,
                published => Poll::Ready(published),
            });
            Ok(published.transpose()?)
        })
    }

    /// Publishes a message without stopping the event loop; as `publish`.
    #[pyo3(signature = (message, *, timeout = None))]
    fn publish_async<'py>(
        slf: Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("publish", (slf, message, timeout))
    }

    /// Closes the ring: readers get everything, then the end.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.leave(py, Inner::close)
    }

    /// Leaves the ring open: readers wait for the next producer.
    fn detach(&self, py: Python<'_>) -> PyResult<()> {
        self.leave(py, Inner::detach)
    }

    /// Whether `close` or `detach` was called.
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

fn late() -> Failure {
    Failure::new(503, "timed out: the rest of the messages was not published")
}

impl Producer {
    fn leave(&self, py: Python<'_>, end: impl FnOnce(Inner) + Send) -> PyResult<()> {
        let ready = |writing: &mut Writing| writing.give_up();
        let leave = |writing: Writing| writing.into_inner().map(end);
        self.slot.close(py, ready, leave).map(drop)
    }
}
