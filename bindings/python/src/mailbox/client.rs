//! Clients of a mailbox: letters and requests.

use crate::argument::{Payload, Timeout};
use crate::away::{lost, Away};
use crate::failure::Failure;
use crate::slot::{Slot, Step};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::mailbox::MailboxClient as InnerClient;
use slipring::queue::SendError;
use slipring::Deadline;
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn busy() -> Failure {
    Failure::new(
        780,
        "timed out: an earlier request of this client is not over",
    )
}

/// Requests of up to this time are made without a thread.
const SHORT: Duration = Duration::from_millis(100);

fn ask(client: &mut InnerClient, body: &[u8], deadline: Deadline) -> Result<Vec<u8>, Failure> {
    Ok(client.request_until(body, deadline)?.to_vec())
}

/// Sends letters and requests under a name.
#[pyclass(frozen, module = "slipring")]
pub struct MailboxClient {
    slot: Slot<Away<InnerClient>>,
}

#[pymethods]
impl MailboxClient {
    /// Sends a letter that wants no reply. Waits while the mailbox is full.
    #[pyo3(signature = (body, *, timeout = Timeout::NEVER))]
    fn send(&self, py: Python<'_>, body: Payload<'_>, timeout: Timeout) -> PyResult<()> {
        let bytes: &[u8] = &body;
        self.slot.wait(py, timeout, |asking, mode| {
            let deadline = mode.deadline();
            let Some(client) = asking.free(deadline.is_some())? else {
                return Step::or(busy());
            };
            let sent = match deadline {
                None => client.try_send(bytes),
                Some(deadline) => client.send_until(bytes, deadline),
            };
            match sent {
                Ok(()) => Ok(Step::Done(())),
                Err(SendError::Full { holder } | SendError::TimedOut { holder }) => {
                    Step::or(SendError::TimedOut { holder })
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Sends a letter, waits for its reply, and returns that. A request that an exception ends, as Ctrl-C, goes on until
    /// its time is over, and the client can be used again then; so does one that `close` ends, which leaves the mailbox then.
    #[pyo3(signature = (body, *, timeout = Timeout::NEVER))]
    fn request<'py>(
        &self,
        py: Python<'py>,
        body: Payload<'py>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let end = timeout.deadline();
        let deadline = end.map_or(Deadline::NEVER, Deadline::at);
        let (mut client, give) = self.slot.wait(py, timeout, |asking, mode| {
            match asking.take(mode.deadline().is_some())? {
                Some(taken) => Ok(Step::Done(taken)),
                None => Step::or(busy()),
            }
        })?;
        let short = end.is_some_and(|end| end.saturating_duration_since(Instant::now()) <= SHORT);
        if short {
            let bytes: &[u8] = &body;
            let reply = py.detach(move || {
                let reply = ask(&mut client, bytes, deadline);
                // Nobody takes it back if it was closed: then it leaves the mailbox.
                let _ = give.send(client);
                reply
            });
            return Ok(PyBytes::new(py, &reply?));
        }
        let body = body.to_vec();
        let (send, replies) = mpsc::channel();
        std::thread::Builder::new()
            .name("slipring-request".into())
            .spawn(move || {
                let reply = ask(&mut client, &body, deadline);
                // First, so that who has the reply finds the client.
                let _ = give.send(client);
                let _ = send.send(reply);
            })?;
        let replies = std::sync::Mutex::new(replies);
        loop {
            let waited = py.detach(|| match replies.lock() {
                Ok(replies) => replies.recv_timeout(SHORT / 2),
                Err(_) => Err(mpsc::RecvTimeoutError::Disconnected),
            });
            match waited {
                Ok(reply) => return Ok(PyBytes::new(py, &reply?)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(lost().into()),
            }
            py.check_signals()?;
            self.slot.still_open()?;
        }
    }

    /// Leaves the mailbox.
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

impl MailboxClient {
    /// Around a client of the library.
    pub fn new(client: InnerClient) -> Self {
        Self {
            slot: Slot::new("client", Away::new(client)),
        }
    }
}
