//! Clients of a mailbox: letters and requests.

use crate::argument::{Payload, Timeout};
use crate::failure::Failure;
use crate::slot::{Slot, Step};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::mailbox::MailboxClient as InnerClient;
use slipring::queue::SendError;
use slipring::Deadline;
use std::sync::mpsc;
use std::time::{Duration, Instant};

type Replied = (Result<Vec<u8>, Failure>, InnerClient);

/// A client, or the request that it was left with by an exception.
struct Asking {
    client: Option<InnerClient>,
    late: Option<mpsc::Receiver<Replied>>,
}

impl Asking {
    /// The client, once an earlier request is over.
    fn free(&mut self, wait: bool) -> Result<Option<&mut InnerClient>, Failure> {
        if self.client.is_none() {
            let patience = Duration::from_millis(if wait { 10 } else { 0 });
            let late = self.late.as_ref().map(|late| late.recv_timeout(patience));
            match late {
                Some(Ok((_, client))) => {
                    self.client = Some(client);
                    self.late = None;
                }
                Some(Err(mpsc::RecvTimeoutError::Disconnected)) => {
                    return Err(PyValueError::new_err(
                        "this client was lost in an earlier request: make it again",
                    )
                    .into())
                }
                Some(Err(mpsc::RecvTimeoutError::Timeout)) => {}
                // Another thread asks.
                None => std::thread::sleep(patience),
            }
        }
        Ok(self.client.as_mut())
    }
}

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
    slot: Slot<Asking>,
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
    /// its time is over, and the client can be used again then.
    #[pyo3(signature = (body, *, timeout = Timeout::NEVER))]
    fn request<'py>(
        &self,
        py: Python<'py>,
        body: Payload<'py>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let end = timeout.deadline();
        let deadline = end.map_or(Deadline::NEVER, Deadline::at);
        let mut client = self.slot.wait(py, timeout, |asking, mode| {
            asking.free(mode.deadline().is_some())?;
            match asking.client.take() {
                Some(client) => Ok(Step::Done(client)),
                None => Step::or(busy()),
            }
        })?;
        let short = end.is_some_and(|end| end.saturating_duration_since(Instant::now()) <= SHORT);
        if short {
            let bytes: &[u8] = &body;
            let (reply, client) = py.detach(move || {
                let reply = ask(&mut client, bytes, deadline);
                (reply, client)
            });
            self.put_back(py, client)?;
            return Ok(PyBytes::new(py, &reply?));
        }
        let body = body.to_vec();
        let (send, replies) = mpsc::channel::<Replied>();
        std::thread::Builder::new()
            .name("slipring-request".into())
            .spawn(move || {
                let reply = ask(&mut client, &body, deadline);
                let _ = send.send((reply, client));
            })?;
        let replies = std::sync::Mutex::new(replies);
        loop {
            let waited = py.detach(|| match replies.lock() {
                Ok(replies) => replies.recv_timeout(SHORT / 2),
                Err(_) => Err(mpsc::RecvTimeoutError::Disconnected),
            });
            match waited {
                Ok((reply, client)) => {
                    self.put_back(py, client)?;
                    return Ok(PyBytes::new(py, &reply?));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(PyValueError::new_err("this request was lost"))
                }
            }
            if let Err(interrupted) = py.check_signals() {
                let replies = replies.into_inner().ok();
                self.slot.with(py, |asking| {
                    asking.late = replies;
                    Ok(())
                })?;
                return Err(interrupted);
            }
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
        let asking = Asking {
            client: Some(client),
            late: None,
        };
        Self {
            slot: Slot::new("client", asking),
        }
    }

    fn put_back(&self, py: Python<'_>, client: InnerClient) -> PyResult<()> {
        self.slot.with(py, |asking| {
            asking.client = Some(client);
            Ok(())
        })
    }
}
