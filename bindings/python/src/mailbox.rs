//! Mailboxes: creating and opening.

mod client;
mod letters;

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::place::Place;
use crate::ring::open_until;
use crate::settings::Settings;
use crate::slot::Slot;
use crate::{apply, failures};
pub use client::MailboxClient;
pub use letters::{Letter, MailboxReceiver};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::mailbox::{ClientOptions, MailboxBuilder, ReceiverOptions, ReplyError, RequestError};
use slipring::Mailbox as InnerMailbox;

failures! {
    RequestError {}
    ReplyError {}
}

fn described<'py>(
    py: Python<'py>,
    place: Place,
    settings: Option<&Bound<'py, PyDict>>,
) -> PyResult<MailboxBuilder> {
    let mut builder = InnerMailbox::builder(place.0);
    let mut settings = Settings::new(py, settings)?;
    apply!(settings, builder: depth, max_message_bytes, max_clients, max_receivers, mode);
    if settings.take::<bool>("one_way")? == Some(true) {
        builder = builder.one_way();
    }
    settings.end()?;
    Ok(builder)
}

/// Letters to whichever receiver is there, and replies to the client that sent them.
#[pyclass(frozen, module = "slipring")]
pub struct Mailbox {
    slot: Slot<InnerMailbox>,
}

impl Mailbox {
    fn new(mailbox: InnerMailbox) -> Self {
        Self {
            slot: Slot::new("mailbox", mailbox),
        }
    }
}

#[pymethods]
impl Mailbox {
    /// Creates a mailbox. The settings: `depth`, `max_message_bytes`, `max_clients`, `max_receivers`, `mode`, `one_way`.
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

    /// Opens a mailbox, or creates it with the settings of `create`.
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

    /// Opens a mailbox; waits until it exists for at most `timeout` seconds (0).
    #[staticmethod]
    #[pyo3(signature = (place, *, timeout = Some(0.0)))]
    fn open(py: Python<'_>, place: Place, timeout: Option<f64>) -> PyResult<Self> {
        let timeout = Timeout::seconds(timeout)?;
        open_until(py, &place, timeout, InnerMailbox::open_until).map(Self::new)
    }

    /// Removes a mailbox, if no process is attached.
    #[staticmethod]
    fn remove(place: Place) -> PyResult<()> {
        InnerMailbox::remove(place.0).map_err(|error| Failure::from(error).into())
    }

    /// Becomes a client under a name, which one client has at a time.
    #[pyo3(signature = (name, *, strategy = None))]
    fn client(
        &self,
        py: Python<'_>,
        name: &str,
        strategy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<MailboxClient> {
        let options = ClientOptions::new().strategy(crate::argument::strategy(strategy)?);
        let client = self
            .slot
            .with(py, |mailbox| Ok(mailbox.client_with(name, options)?))?;
        Ok(MailboxClient::new(client))
    }

    /// Makes a receiver.
    #[pyo3(signature = (*, strategy = None))]
    fn receiver(
        &self,
        py: Python<'_>,
        strategy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<MailboxReceiver> {
        let options = ReceiverOptions::new().strategy(crate::argument::strategy(strategy)?);
        let receiver = self
            .slot
            .with(py, |mailbox| Ok(mailbox.receiver_with(options)?))?;
        Ok(MailboxReceiver::new(receiver))
    }

    /// Returns how many letters wait and are held, the clients, and how many replies came too late.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.slot.with(py, |mailbox| Ok(mailbox.status()?))?;
        let dict = PyDict::new(py);
        dict.set_item("waiting", status.letters.waiting)?;
        dict.set_item("held", status.letters.held)?;
        dict.set_item("receivers", status.letters.receivers)?;
        dict.set_item("max_message_bytes", status.max_message_bytes)?;
        dict.set_item("one_way", status.one_way)?;
        dict.set_item("clients", status.clients)?;
        dict.set_item("late", status.late)?;
        Ok(dict)
    }

    /// Whether it was removed.
    #[getter]
    fn is_removed(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |mailbox| Ok(mailbox.is_removed()))
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
