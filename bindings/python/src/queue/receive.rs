//! Receivers of a queue, and what they receive.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::forward::Forwarded;
use crate::lending;
use crate::slot::{LockedSource, Slot, Step};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::queue::{Delivery as Taken, Receiver as Inner, TakeError};
use slipring::Deadline;
use std::os::raw::c_int;

/// What a failed attempt to take is to a call that waits.
pub fn nothing_yet<R>(error: TakeError) -> Result<Step<R>, Failure> {
    match error {
        TakeError::Empty | TakeError::TimedOut => Step::or(TakeError::TimedOut),
        error => Err(error.into()),
    }
}

lending!(Receiving, DeliveryCell, Loan, Inner, Taken, "receiver");

/// What a delivery says of itself.
struct Seen {
    bytes: Vec<u8>,
    sequence: u64,
    lane: u32,
    priority: u8,
    redelivered: bool,
    tries: u32,
}

fn see(taken: &Taken<'_>) -> Seen {
    Seen {
        bytes: taken.to_vec(),
        sequence: taken.sequence(),
        lane: taken.lane(),
        priority: taken.priority(),
        redelivered: taken.redelivered(),
        tries: taken.tries(),
    }
}

/// Receives messages of a queue, one at a time.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Receiver {
    slot: Slot<Receiving>,
}

impl Receiver {
    /// Around a receiver of the library.
    pub fn new(receiver: Inner) -> Self {
        Self {
            slot: Slot::new("receiver", Receiving::new(receiver)),
        }
    }
}

impl Receiver {
    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot
            .source(until, |handle| handle.free().ok()?.get().ok())
    }
}

#[pymethods]
impl Receiver {
    /// Waits for a message, and returns its delivery. An earlier delivery that was not acknowledged goes back.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn receive(slf: Bound<'_, Self>, timeout: Timeout) -> PyResult<Delivery> {
        let (py, this) = (slf.py(), slf.get());
        let (number, seen) = this.slot.wait(py, timeout, |receiving, mode| {
            let deadline = mode.deadline();
            let lent = receiving.lend(
                |receiver| match deadline {
                    None => receiver.try_receive(),
                    Some(deadline) => receiver.receive_until(deadline),
                },
                see,
            )?;
            match lent {
                Ok(lent) => Ok(Step::Done(lent)),
                Err(error) => nothing_yet(error),
            }
        })?;
        Ok(Delivery::new(slf.unbind(), py, number, seen))
    }

    /// Returns the delivery of a message if there is one now. Raises `Empty` otherwise.
    fn try_receive(slf: Bound<'_, Self>) -> PyResult<Delivery> {
        let (py, this) = (slf.py(), slf.get());
        let (number, seen) = this.slot.with(py, |receiving| {
            Ok(receiving.lend(|receiver| receiver.try_receive(), see)??)
        })?;
        Ok(Delivery::new(slf.unbind(), py, number, seen))
    }

    /// Waits until a message may be there, and takes none.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn wait(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.slot.wait(py, timeout, |receiving, mode| {
            let deadline = mode
                .deadline()
                .unwrap_or(Deadline::after(Default::default()));
            match receiving.free()?.get()?.wait_until(deadline) {
                Ok(()) => Ok(Step::Done(())),
                Err(error) => nothing_yet(error),
            }
        })
    }

    /// A descriptor for event loops: readable when it is worth receiving again. It belongs to the receiver.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |receiving| receiving.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`. As
    /// `receive`, gives back a delivery that is out.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |receiving| receiving.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |receiving| Ok(receiving.uses_io_uring))
    }

    /// Returns `True` if there may be something to receive; otherwise the descriptor becomes readable when there is. As
    /// `receive`, gives back a delivery that is out.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |receiving| receiving.arm())
    }

    /// Waits for a message without stopping the event loop; as `receive`.
    #[pyo3(signature = (*, timeout = None))]
    fn receive_async(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Bound<'_, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("receive", (slf, timeout))
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Delivery> {
        Self::receive(slf, Timeout::NEVER)
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        Self::receive_async(slf, None)
    }

    /// Leaves the queue. A delivery that was not acknowledged goes back.
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

/// A message that a receiver has: its bytes, copied, and the duty to acknowledge it.
///
/// It is a context manager: leaving it acknowledges it, and leaving it by an exception gives it back. It goes back too when
/// it is dropped, and when its receiver receives again.
#[pyclass(frozen, module = "slipring")]
pub struct Delivery {
    receiver: Py<Receiver>,
    number: u64,
    /// The bytes.
    #[pyo3(get)]
    data: Py<PyBytes>,
    /// Its number in its lane.
    #[pyo3(get)]
    sequence: u64,
    /// The lane of its sender.
    #[pyo3(get)]
    lane: u32,
    /// Its priority.
    #[pyo3(get)]
    priority: u8,
    /// Whether a receiver had it before.
    #[pyo3(get)]
    redelivered: bool,
    /// How many times it was taken, this one included.
    #[pyo3(get)]
    tries: u32,
}

impl Delivery {
    fn new(receiver: Py<Receiver>, py: Python<'_>, number: u64, seen: Seen) -> Self {
        Self {
            receiver,
            number,
            data: PyBytes::new(py, &seen.bytes).unbind(),
            sequence: seen.sequence,
            lane: seen.lane,
            priority: seen.priority,
            redelivered: seen.redelivered,
            tries: seen.tries,
        }
    }
}

#[pymethods]
impl Delivery {
    /// Acknowledges the message: it is never delivered again. Fails if its lease is over, or it went back.
    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        let decided = self.receiver.get().slot.with(py, |receiving| {
            receiving.decide(self.number, |taken| taken.ack())
        })?;
        match decided {
            Some(acknowledged) => acknowledged.map_err(|error| Failure::from(error).into()),
            None => Err(PyValueError::new_err(
                "this delivery is over: it was acknowledged, or went back to the queue",
            )),
        }
    }

    /// Gives the message back: it goes to the next receiver.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let back = |receiving: &mut Receiving| receiving.decide(self.number, |taken| drop(taken));
        self.receiver.get().slot.with(py, back).map(drop)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.bind(py).as_bytes().len()
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = self.data.bind(py).repr()?;
        Ok(format!("Delivery({data}, sequence={})", self.sequence))
    }

    #[allow(unsafe_code, reason = "the buffer protocol")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` is the caller's, as the protocol says.
        unsafe { slf.get().data.forward(slf.py(), view, flags) }
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
        if !kind.is_none() {
            return self.release(py);
        }
        // It may have been decided about inside.
        let decided = self.receiver.get().slot.with(py, |receiving| {
            receiving.decide(self.number, |taken| taken.ack())
        })?;
        match decided {
            Some(Err(error)) => Err(Failure::from(error).into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(mut guard) = self.receiver.get().slot.quietly() {
            if let Some(receiving) = guard.as_mut() {
                let _ = receiving.decide(self.number, |taken| drop(taken));
            }
        }
    }
}
