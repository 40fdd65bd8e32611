//! Links between two processes.

use crate::argument::{Payload, Timeout};
use crate::aside::{aside, aside_while};
use crate::away::Away;
use crate::connecting::{Connecting, Made};
use crate::consumer::Taken;
use crate::failure::Failure;
use crate::failures;
use crate::slot::{LockedSource, Mode, Slot, Step};
use crate::watched::Watched;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use slipring::link::{LinkBuilder, LinkError, LinkOptions};
use slipring::{Deadline, Link as Inner};
use std::path::PathBuf;

failures! {
    LinkError {
        LinkError::Name { name } => [name],
        LinkError::Taken { name, pid } => [name, pid],
        LinkError::TooLarge { len, max } => [len, max],
    }
}

fn not_yet<R>(error: LinkError) -> Result<Step<R>, Failure> {
    match error {
        LinkError::Full | LinkError::Empty | LinkError::TimedOut => Step::or(LinkError::TimedOut),
        error => Err(error.into()),
    }
}

/// Another call waits for the next process of the other name.
fn away() -> Failure {
    PyValueError::new_err("a reconnect of this link is not over: wait for it").into()
}

fn here(joining: &mut Joining) -> Result<&mut Watched<Inner>, Failure> {
    joining.free(false)?.ok_or_else(away)
}

impl Made for Inner {
    fn failed(error: LinkError) -> Failure {
        error.into()
    }

    fn timed_out() -> Failure {
        LinkError::TimedOut.into()
    }

    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Link::new(self))?.into_any())
    }
}

fn described(
    me: &str,
    peer: &str,
    directory: Option<PathBuf>,
    capacity_bytes: Option<u64>,
) -> LinkBuilder {
    let mut builder: LinkBuilder = Inner::builder(me, peer);
    if let Some(directory) = &directory {
        builder = builder.directory(directory);
    }
    if let Some(bytes) = capacity_bytes {
        builder = builder.capacity_bytes(bytes);
    }
    builder
}

/// A link, or the call that reconnects it.
type Joining = Away<Watched<Inner>>;

/// One side of a link between two processes that name each other.
#[pyclass(frozen, weakref, module = "slipring")]
pub struct Link {
    slot: Slot<Joining>,
}

impl Link {
    fn new(link: Inner) -> Self {
        Self {
            slot: Slot::new("link", Away::new(Watched::new(link))),
        }
    }

    /// What it is to a wait for several.
    pub fn source(&self, until: std::time::Instant) -> Result<Option<LockedSource<'_>>, Failure> {
        self.slot
            .source(until, |joining| here(joining).ok()?.get().ok())
    }
}

#[pymethods]
impl Link {
    /// Connects as `me` to the process that connects as `peer`, and waits for it.
    #[staticmethod]
    #[pyo3(signature = (me, peer, *, timeout = Timeout::NEVER, directory = None, capacity_bytes = None, strategy = None))]
    fn connect(
        py: Python<'_>,
        me: &str,
        peer: &str,
        timeout: Timeout,
        directory: Option<PathBuf>,
        capacity_bytes: Option<u64>,
        strategy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let options = LinkOptions::new().strategy(crate::argument::strategy(strategy)?);
        let builder = described(me, peer, directory, capacity_bytes);
        let deadline = timeout.deadline().map_or(Deadline::NEVER, Deadline::at);
        let link = aside(py, move || builder.connect_until_with(deadline, options))?;
        Ok(Self::new(link.map_err(Failure::from)?))
    }

    /// Begins to connect as `connect` does, and does not wait: for event loops. `finish` or `finish_async` of what it returns makes the
    /// link.
    #[staticmethod]
    #[pyo3(signature = (me, peer, *, directory = None, capacity_bytes = None, strategy = None))]
    fn begin_connect(
        me: &str,
        peer: &str,
        directory: Option<PathBuf>,
        capacity_bytes: Option<u64>,
        strategy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Connecting> {
        let options = LinkOptions::new().strategy(crate::argument::strategy(strategy)?);
        let builder = described(me, peer, directory, capacity_bytes);
        let waits = builder.begin_connect_with(options);
        Ok(Connecting::new(waits.map_err(Failure::from)?))
    }

    /// Removes the link between two names in the slipring directory, if no process is connected.
    #[staticmethod]
    fn remove(one: &str, other: &str) -> PyResult<()> {
        Inner::remove(one, other).map_err(|error| Failure::from(error).into())
    }

    /// Sends a message, and returns its number. Waits while the other side is the whole capacity behind.
    #[pyo3(signature = (message, *, timeout = Timeout::NEVER))]
    fn send(&self, py: Python<'_>, message: Payload<'_>, timeout: Timeout) -> PyResult<u64> {
        let bytes: &[u8] = &message;
        self.slot.wait(py, timeout, |joining, mode| {
            let link = here(joining)?.get()?;
            let sent = match mode.deadline() {
                None => link.try_send(bytes),
                Some(deadline) => link.send_until(bytes, deadline),
            };
            sent.map_or_else(not_yet, |number| Ok(Step::Done(number)))
        })
    }

    /// Sends a message if there is room now. Raises `Full` otherwise.
    fn try_send(&self, py: Python<'_>, message: Payload<'_>) -> PyResult<u64> {
        let bytes: &[u8] = &message;
        self.slot
            .with(py, |joining| Ok(here(joining)?.get()?.try_send(bytes)?))
    }

    /// Waits for a message, and returns it. Raises `PeerGone` once the other side left or died and everything was received.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn receive(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Option<Py<PyAny>>> {
        let taken = self.slot.wait(py, timeout, |joining, mode| {
            let link = here(joining)?.get()?;
            let (received, py) = match mode {
                Mode::Now(py) => (link.try_receive(), Some(py)),
                Mode::Until(at) => (link.receive_until(Deadline::at(at)), None),
            };
            match received {
                Ok(message) => Ok(Step::Done(match py {
                    Some(py) => {
                        Taken::Bytes(PyBytes::new(py, &message).unbind(), message.sequence())
                    }
                    None => Taken::Copy(message.to_vec(), message.sequence()),
                })),
                Err(error) => not_yet(error),
            }
        })?;
        taken.into_python(py, false)
    }

    /// Returns a message if there is one now. Raises `Empty` otherwise.
    fn try_receive(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let taken = self.slot.with(py, |joining| {
            let message = here(joining)?.get()?.try_receive()?;
            Ok(Taken::Copy(message.to_vec(), message.sequence()))
        })?;
        taken.into_python(py, false)
    }

    /// Waits for the next process of the other name, in one wait, as `connect`. A call that an exception ends goes on until its
    /// time is over; until then the other calls of this link raise `ValueError`.
    #[pyo3(signature = (*, timeout = Timeout::NEVER))]
    fn reconnect(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let deadline = timeout.deadline().map_or(Deadline::NEVER, Deadline::at);
        let (mut link, give) = self
            .slot
            .with(py, |joining| joining.take(false)?.ok_or_else(away))?;
        let open = || Ok(self.slot.still_open()?);
        let connected = aside_while(py, open, move || {
            let connected = link
                .get()
                .and_then(|link| Ok(link.reconnect_until(deadline)?));
            // Nobody takes it back if it was closed: then it leaves.
            let _ = give.send(link);
            connected
        })?;
        Ok(connected?)
    }

    /// Begins to wait for the next process of the other name, and does not wait itself: for event loops. This link is closed, and what
    /// it returns keeps its name; `finish` or `finish_async` makes the next link.
    fn begin_reconnect(&self, py: Python<'_>) -> PyResult<Connecting> {
        let ready = |joining: &mut Joining| here(joining)?.get().map(drop);
        let begin = |joining: Joining| {
            let link = joining.into_inner().and_then(Watched::into_inner);
            link.map(Inner::begin_reconnect)
        };
        match self.slot.close(py, ready, begin)?.flatten() {
            Some(waits) => Ok(Connecting::new(waits)),
            // It is closed, or this is a fork.
            None => self.slot.with(py, |_| Err(away())),
        }
    }

    /// The process of the other side, as it said.
    #[getter]
    fn peer_pid(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot
            .with(py, |joining| Ok(here(joining)?.get()?.peer_pid()))
    }

    /// The size of the largest message.
    #[getter]
    fn max_message_bytes(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot
            .with(py, |joining| Ok(here(joining)?.get()?.max_message_bytes()))
    }

    /// Returns the processes of both sides, and the capacity.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self
            .slot
            .with(py, |joining| Ok(here(joining)?.get()?.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("sides", status.sides.to_vec())?;
        dict.set_item("capacity_bytes", status.capacity_bytes)?;
        dict.set_item("max_message_bytes", status.max_message_bytes)?;
        Ok(dict)
    }

    /// Waits without stopping the event loop; as `receive`.
    #[pyo3(signature = (*, timeout = None))]
    fn receive_async(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Bound<'_, PyAny>> {
        let aio = slf.py().import("slipring._aio")?;
        aio.call_method1("receive", (slf, timeout))
    }

    /// A descriptor for event loops: readable when it is worth looking again. It belongs to this handle.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |joining| here(joining)?.fileno())
    }

    /// Has the kernel make the descriptor readable itself, by io_uring, as `Consumer.use_io_uring`.
    fn use_io_uring(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |joining| here(joining)?.use_io_uring())
    }

    /// Whether the kernel watches, by io_uring, what was armed last.
    #[getter]
    fn uses_io_uring(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot
            .with(py, |joining| Ok(here(joining)?.uses_io_uring()))
    }

    /// Returns `True` if there is something to report; otherwise the descriptor becomes readable when there is.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |joining| here(joining)?.arm())
    }

    /// Leaves the link: the other side receives everything, then learns of it.
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
