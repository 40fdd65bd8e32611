//! Message queues: creating, opening, sending.

mod receive;

use crate::argument::{Payload, Timeout};
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::{Slot, Step};
use crate::{apply, failures};
use pyo3::prelude::*;
use pyo3::types::PyDict;
pub use receive::{nothing_yet, Delivery, Receiver};
use slipring::queue::{
    AckError, QueueBuilder, ReceiverOptions, SendError, Sender as InnerSender, SenderOptions,
    TakeError,
};
use slipring::Queue as InnerQueue;

failures! {
    SendError {
        SendError::Full { holder: Some(holder) } => [row: holder.row, pid: holder.pid],
        SendError::TimedOut { holder: Some(holder) } => [row: holder.row, pid: holder.pid],
        SendError::TooLarge { len, max } => [len, max],
        SendError::Priority { priority } => [priority],
    }
    TakeError {}
    AckError {
        AckError::Expired { lane, sequence, .. } => [lane, sequence],
    }
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<QueueBuilder> {
    let mut builder = InnerQueue::builder(place.0);
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: depth, max_message_bytes, max_receivers, lane_bytes, mode);
    if let Some(lease) = settings.seconds("lease")? {
        builder = builder.lease(lease);
    }
    settings.end()?;
    Ok(builder)
}

/// A message queue: each message goes to one receiver, and comes back if that one dies before it acknowledged it.
#[pyclass(frozen, module = "slipring")]
pub struct Queue {
    slot: Slot<InnerQueue>,
}

impl Queue {
    fn new(queue: InnerQueue) -> Self {
        Self {
            slot: Slot::new("queue", queue),
        }
    }
}

#[pymethods]
impl Queue {
    /// Creates a queue. The settings: `depth`, `max_message_bytes`, `max_receivers`, `lane_bytes`, `lease` (seconds), `mode`.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let queue = described(py, place, settings)?.create();
        Ok(Self::new(queue.map_err(Failure::from)?))
    }

    /// Opens the queue at a place, or creates it.
    #[staticmethod]
    #[pyo3(signature = (place, **settings))]
    fn create_or_open<'py>(
        py: Python<'py>,
        place: Place,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let queue = described(py, place, settings)?.create_or_open();
        Ok(Self::new(queue.map_err(Failure::from)?))
    }

    /// Opens a queue; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, InnerQueue::open_until).map(Self::new)
    }

    /// Removes a queue, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        InnerQueue::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Makes a sender.
    #[pyo3(signature = (*, strategy = None))]
    fn sender(&self, py: Python<'_>, strategy: Option<&Bound<'_, PyAny>>) -> PyResult<Sender> {
        let options = SenderOptions::new().strategy(crate::argument::strategy(strategy)?);
        let sender = self
            .slot
            .with(py, |queue| Ok(queue.sender_with(options)?))?;
        Ok(Sender {
            slot: Slot::new("sender", sender),
        })
    }

    /// Makes a receiver.
    #[pyo3(signature = (*, strategy = None))]
    fn receiver(&self, py: Python<'_>, strategy: Option<&Bound<'_, PyAny>>) -> PyResult<Receiver> {
        let options = ReceiverOptions::new().strategy(crate::argument::strategy(strategy)?);
        let receiver = self
            .slot
            .with(py, |queue| Ok(queue.receiver_with(options)?))?;
        Ok(Receiver::new(receiver))
    }

    /// Returns how many messages wait and are held, and of how many senders and receivers.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.slot.with(py, |queue| Ok(queue.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("depth", status.depth)?;
        dict.set_item("max_message_bytes", status.max_message_bytes)?;
        dict.set_item("waiting", status.waiting)?;
        dict.set_item("held", status.held)?;
        dict.set_item("senders", status.senders)?;
        dict.set_item("lanes", status.lanes)?;
        dict.set_item("receivers", status.receivers)?;
        dict.set_item("lease", status.lease.map(|lease| lease.as_secs_f64()))?;
        Ok(dict)
    }

    /// Whether the queue was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |queue| Ok(queue.is_removed()))
    }

    /// Closes the queue. Its handles stay open.
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

/// Sends messages into a queue.
#[pyclass(frozen, module = "slipring")]
pub struct Sender {
    slot: Slot<InnerSender>,
}

#[pymethods]
impl Sender {
    /// Sends a message with a priority from 0 to 7, higher first, and returns its number. Waits while the queue is full.
    #[pyo3(signature = (message, *, priority = 0, timeout = Timeout::NEVER))]
    fn send(
        &self,
        py: Python<'_>,
        message: Payload<'_>,
        priority: u8,
        timeout: Timeout,
    ) -> PyResult<u64> {
        let bytes: &[u8] = &message;
        self.slot.wait(py, timeout, |sender, mode| {
            let sent = match mode.deadline() {
                None => sender.try_send_with_priority(bytes, priority),
                Some(deadline) => sender.send_until(bytes, priority, deadline),
            };
            match sent {
                Ok(sequence) => Ok(Step::Done(sequence)),
                Err(SendError::Full { holder } | SendError::TimedOut { holder }) => {
                    Step::or(SendError::TimedOut { holder })
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Sends a message if there is room now. Raises `Full` otherwise.
    #[pyo3(signature = (message, *, priority = 0))]
    fn try_send(&self, py: Python<'_>, message: Payload<'_>, priority: u8) -> PyResult<u64> {
        let bytes: &[u8] = &message;
        self.slot.with(py, |sender| {
            Ok(sender.try_send_with_priority(bytes, priority)?)
        })
    }

    /// Leaves the queue. What was sent stays.
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
