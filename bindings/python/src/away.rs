//! A handle that a call of its own thread takes along, and that comes back when that call is over.

use crate::failure::Failure;
use pyo3::exceptions::PyValueError;
use std::sync::mpsc;
use std::time::Duration;

/// How long a call that may wait looks for it at a time.
const LOOK: Duration = Duration::from_millis(10);

/// A handle, or where it comes back from. That needs no lock, so it comes back whatever ends the call.
pub enum Away<H> {
    /// Here.
    Free(Box<H>),
    /// With a call.
    Out(mpsc::Receiver<H>),
}

impl<H> Away<H> {
    /// One that is here.
    pub fn new(handle: H) -> Self {
        Self::Free(handle.into())
    }

    /// The handle, once an earlier call is over; `None` while it is not.
    pub fn free(&mut self, wait: bool) -> Result<Option<&mut H>, Failure> {
        if let Self::Out(back) = self {
            let patience = if wait { LOOK } else { Duration::ZERO };
            match back.recv_timeout(patience) {
                Ok(handle) => *self = Self::new(handle),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(lost()),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
        Ok(match self {
            Self::Free(handle) => Some(handle),
            Self::Out(_) => None,
        })
    }

    /// The handle, if it is here.
    pub fn into_inner(self) -> Option<H> {
        match self {
            Self::Free(handle) => Some(*handle),
            Self::Out(_) => None,
        }
    }

    /// Takes the handle along, once an earlier call is over, with the way back.
    pub fn take(&mut self, wait: bool) -> Result<Option<(H, mpsc::Sender<H>)>, Failure> {
        if self.free(wait)?.is_none() {
            return Ok(None);
        }
        let (give, back) = mpsc::channel();
        Ok(match std::mem::replace(self, Self::Out(back)) {
            Self::Free(handle) => Some((*handle, give)),
            Self::Out(_) => None,
        })
    }
}

/// A call that took the handle along did not give it back.
pub fn lost() -> Failure {
    PyValueError::new_err("this handle was lost in an earlier call: make it again").into()
}
