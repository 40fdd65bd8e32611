//! A call that is made once, in a thread of its own, while signals are handled.
//!
//! For calls that meet another process. Those must not be cut into slices: a side that gives up at the end of a slice may do so
//! at the moment at which the other side has met it, which then waits for a side that has left.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest time for which a signal waits.
const LOOK: Duration = Duration::from_millis(50);

/// Makes the call and returns what it comes to. A call that an exception ends, as Ctrl-C does, goes on until its time is over;
/// what it makes then is dropped.
pub fn aside<R: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce() -> R + Send + 'static,
) -> PyResult<R> {
    aside_while(py, || Ok(()), call)
}

/// As [`aside`], as long as `holds` does not fail.
pub fn aside_while<R: Send + 'static>(
    py: Python<'_>,
    holds: impl Fn() -> PyResult<()>,
    call: impl FnOnce() -> R + Send + 'static,
) -> PyResult<R> {
    let (done, outcome) = mpsc::channel();
    std::thread::Builder::new()
        .name("slipring-meeting".into())
        .spawn(move || {
            let _ = done.send(call());
        })?;
    // Of one thread only, which the compiler does not see.
    let outcome = Mutex::new(outcome);
    loop {
        let waited = py.detach(|| {
            let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.recv_timeout(LOOK)
        });
        match waited {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                py.check_signals()?;
                holds()?;
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("this call was lost"))
            }
        }
    }
}
