//! Waiting for several handles at once.

use crate::argument::Timeout;
use crate::connecting::Connecting;
use crate::consumer::Consumer;
use crate::failure::Failure;
use crate::latest::LatestReader;
use crate::link::Link;
use crate::mailbox::MailboxReceiver;
use crate::observer::Observer;
use crate::pipe::PipeReader;
use crate::queue::Receiver;
use crate::signals::Listener;
use crate::slot::{LockedSource, Slot, Step};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use slipring::endpoint::Source;
use slipring::WaitSet as Inner;
use std::time::Instant;

macro_rules! handles {
    ($($class:ident),*) => {
        /// A handle of any class that can be waited for.
        enum Handle<'h> {
            $($class(&'h $class),)*
        }

        impl<'h> Handle<'h> {
            fn of(given: &'h Bound<'_, PyAny>) -> PyResult<Self> {
                $(if let Ok(handle) = given.cast::<$class>() {
                    return Ok(Self::$class(handle.get()));
                })*
                Err(PyTypeError::new_err(format!(
                    "a WaitSet waits for readers and receivers, and this is none: {given:?}"
                )))
            }

            fn source(&self, until: Instant) -> Result<Option<LockedSource<'_>>, Failure> {
                match self {
                    $(Self::$class(handle) => handle.source(until),)*
                }
            }
        }
    };
}
handles!(
    Consumer,
    Observer,
    Receiver,
    MailboxReceiver,
    LatestReader,
    Link,
    PipeReader,
    Listener,
    Connecting
);

/// Waits for several handles at once: consumers, observers, receivers of queues and mailboxes, readers of newest values,
/// listeners, links, reading ends of pipes, and what waits for its other side.
#[pyclass(frozen, module = "slipring")]
pub struct WaitSet {
    slot: Slot<Inner>,
}

#[pymethods]
impl WaitSet {
    #[new]
    fn new() -> Self {
        Self {
            slot: Slot::new("wait set", Inner::new()),
        }
    }

    /// Waits until one of the handles has something to report, and returns that one; `None` when the time is over. The search
    /// begins behind the one reported last. An end (a producer closed its ring or died) is reported once.
    #[pyo3(signature = (handles, *, timeout = Timeout::NEVER))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        handles: Vec<Bound<'py, PyAny>>,
        timeout: Timeout,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        for (at, handle) in handles.iter().enumerate() {
            if handles[..at].iter().any(|other| other.is(handle)) {
                return Err(PyValueError::new_err(format!(
                    "a handle is there twice: {handle:?}"
                )));
            }
        }
        let all = handles
            .iter()
            .map(Handle::of)
            .collect::<PyResult<Vec<_>>>()?;
        for (at, handle) in all.iter().enumerate() {
            let pending = match handle {
                Handle::Consumer(consumer) => consumer.has_pending(py)?,
                Handle::Observer(observer) => observer.has_pending(py)?,
                _ => false,
            };
            if pending {
                return Ok(handles.get(at).cloned());
            }
        }
        if all.is_empty() && timeout.deadline().is_none() {
            return Ok(None);
        }
        let found = self.slot.wait(py, timeout, |set, mode| {
            let until = match mode.deadline() {
                None => Instant::now(),
                Some(deadline) => Instant::now() + deadline.remaining().unwrap_or_default(),
            };
            let mut locked = Vec::with_capacity(all.len());
            for handle in &all {
                match handle.source(until)? {
                    Some(source) => locked.push(source),
                    // Another thread uses it; this one looks again.
                    None => return Ok(Step::Again(Ok(None))),
                }
            }
            let mut sources: Vec<&mut dyn Source> = Vec::with_capacity(locked.len());
            for source in &mut locked {
                sources.push(&mut **source);
            }
            Ok(match set.wait(&mut sources, until) {
                Some(at) => Step::Done(Some(at)),
                None => Step::Again(Ok(None)),
            })
        })?;
        Ok(found.and_then(|at| handles.get(at).cloned()))
    }
}
