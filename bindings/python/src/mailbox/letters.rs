//! Receivers of a mailbox, and the letters that they receive.

use crate::argument::{Payload, Timeout};
use crate::failure::Failure;
use crate::forward::Forwarded;
use crate::lending;
use crate::queue::nothing_yet;
use crate::slot::{LockedSource, Slot, Step};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::mailbox::{Answer, Letter as Taken, MailboxReceiver as Inner};
use std::os::raw::c_int;

lending!(Receiving, LetterCell, Loan, Inner, Taken, "receiver");

struct Seen {
    bytes: Vec<u8>,
    sender: String,
    wants_reply: bool,
    redelivered: bool,
    tries: u32,
}

fn see(taken: &Taken<'_>) -> Seen {
    Seen {
        bytes: taken.to_vec(),
        sender: taken.sender().to_owned(),
        wants_reply: taken.wants_reply(),
        redelivered: taken.redelivered(),
        tries: taken.tries(),
    }
}

/// Receives letters, one at a time, and answers them.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct MailboxReceiver {
    slot: Slot<Receiving>,
}

impl MailboxReceiver {
    /// Around a receiver of the library.
    pub fn new(receiver: Inner) -> Self {
        Self {
            slot: Slot::new("receiver", Receiving::new(receiver)),
        }
    }
}

impl MailboxReceiver {
    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot
            .source(until, |handle| handle.free().ok()?.get().ok())
    }
}

#[pymethods]
impl MailboxReceiver {
    /// Waits for a letter, and returns it. An earlier one that was neither answered nor acknowledged goes back.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn receive(slf: Bound<'_, Self>, timeout: Timeout) -> PyResult<Letter> {
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
        Ok(Letter::new(slf.unbind(), py, number, seen))
    }

    /// Returns a letter if there is one now. Raises `Empty` otherwise.
    fn try_receive(slf: Bound<'_, Self>) -> PyResult<Letter> {
        let (py, this) = (slf.py(), slf.get());
        let (number, seen) = this.slot.with(py, |receiving| {
            Ok(receiving.lend(|receiver| receiver.try_receive(), see)??)
        })?;
        Ok(Letter::new(slf.unbind(), py, number, seen))
    }

    /// A descriptor for event loops: readable when it is worth receiving again. It belongs to the receiver.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |receiving| receiving.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`. As
    /// `receive`, gives back a letter that is out.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |receiving| receiving.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |receiving| Ok(receiving.uses_io_uring))
    }

    /// Returns `True` if there may be something to receive; otherwise the descriptor becomes readable when there is. As
    /// `receive`, gives back a letter that is out.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |receiving| receiving.arm())
    }

    /// Waits for a letter without stopping the event loop; as `receive`.
    #[pyo3(signature = (*, timeout = None))]
    fn receive_async(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Bound<'_, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("receive", (slf, timeout))
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Letter> {
        Self::receive(slf, Timeout::NEVER)
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        Self::receive_async(slf, None)
    }

    /// Leaves the mailbox. A letter that was not decided about goes back.
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

/// A letter that a receiver has: its bytes, copied, and the duty to answer or acknowledge it.
///
/// It is a context manager: leaving it acknowledges it, and leaving it by an exception gives it back. It goes back too when
/// it is dropped, and when its receiver receives again.
#[pyclass(frozen, module = "slipring")]
pub struct Letter {
    receiver: Py<MailboxReceiver>,
    number: u64,
    /// The bytes.
    #[pyo3(get)]
    data: Py<PyBytes>,
    /// The name of its client.
    #[pyo3(get)]
    sender: String,
    /// Whether its client waits for a reply.
    #[pyo3(get)]
    wants_reply: bool,
    /// Whether a receiver had it before.
    #[pyo3(get)]
    redelivered: bool,
    /// How many times it was taken, this one included.
    #[pyo3(get)]
    tries: u32,
}

impl Letter {
    fn new(receiver: Py<MailboxReceiver>, py: Python<'_>, number: u64, seen: Seen) -> Self {
        Self {
            receiver,
            number,
            data: PyBytes::new(py, &seen.bytes).unbind(),
            sender: seen.sender,
            wants_reply: seen.wants_reply,
            redelivered: seen.redelivered,
            tries: seen.tries,
        }
    }

    fn decide<R: Send>(
        &self,
        py: Python<'_>,
        decide: impl FnOnce(Taken<'_>) -> R + Send,
    ) -> PyResult<Option<R>> {
        self.receiver
            .get()
            .slot
            .with(py, |receiving| receiving.decide(self.number, decide))
    }
}

#[pymethods]
impl Letter {
    /// Answers the letter. Returns `False` if its client no longer waited, and the reply was dropped.
    fn reply(&self, py: Python<'_>, body: Payload<'_>) -> PyResult<bool> {
        let bytes: &[u8] = &body;
        match self.decide(py, |letter| letter.reply(bytes))? {
            Some(Ok(answer)) => Ok(answer == Answer::Sent),
            Some(Err(error)) => Err(Failure::from(error).into()),
            None => Err(PyValueError::new_err(
                "this letter is over: it was decided about, or went back to the mailbox",
            )),
        }
    }

    /// Acknowledges the letter without a reply: it is never delivered again.
    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        let decided = self.decide(py, |letter| letter.ack())?;
        decided.ok_or_else(|| {
            PyValueError::new_err(
                "this letter is over: it was decided about, or went back to the mailbox",
            )
        })
    }

    /// Gives the letter back: it goes to the next receiver.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.decide(py, |taken| drop(taken)).map(drop)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.bind(py).as_bytes().len()
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = self.data.bind(py).repr()?;
        Ok(format!("Letter({data}, sender={:?})", self.sender))
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
        match kind.is_none() {
            true => self.decide(py, |letter| letter.ack()).map(drop),
            false => self.release(py),
        }
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        if let Some(mut guard) = self.receiver.get().slot.quietly() {
            if let Some(receiving) = guard.as_mut() {
                let _ = receiving.decide(self.number, |taken| drop(taken));
            }
        }
    }
}
