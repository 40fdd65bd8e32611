//! A handle behind a lock: one thread uses it at a time, others wait their turn, and `close` ends it.
//!
//! The interpreter's lock is never held while this one is waited for. A wait goes in slices, between which other
//! threads get their turn and signals are handled. And this lock is never held while an exception is made: Python code
//! does that, which may collect garbage whose finalizers use the same handle.

use crate::argument::Timeout;
use crate::failure::Failure;
use crate::fork::Born;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use slipring::endpoint::Source;
use slipring::Deadline;
use std::time::{Duration, Instant};

/// The longest time for which a signal, or `close` in another thread, waits.
const SLICE: Duration = Duration::from_millis(50);

/// A handle that is locked for a wait for several.
pub type LockedSource<'s> = MappedMutexGuard<'s, dyn Source>;

/// How an attempt may wait.
pub enum Mode<'py> {
    /// Not at all; the interpreter is held.
    Now(Python<'py>),
    /// Until then; the interpreter is released.
    Until(Instant),
}

impl Mode<'_> {
    /// The deadline of an attempt that may wait.
    pub fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Now(_) => None,
            Self::Until(at) => Some(Deadline::at(*at)),
        }
    }

    /// Returns `true` if a call that gets on, but has not ended, leaves the rest to the next attempt. Otherwise signals and other
    /// threads would wait for as long as there is room.
    pub fn is_over(&self, timeout: Timeout) -> bool {
        match self {
            Self::Now(_) => !timeout.is_zero(),
            Self::Until(at) => *at <= Instant::now(),
        }
    }
}

/// What an attempt came to.
pub enum Step<R> {
    /// It is done.
    Done(R),
    /// Not yet; and what the call comes to if its time is over.
    Again(Result<R, Failure>),
}

impl<R> Step<R> {
    /// Not yet, and a failure when the time is over.
    pub fn or(failure: impl Into<Failure>) -> Result<Self, Failure> {
        Ok(Self::Again(Err(failure.into())))
    }
}

/// A handle of a Python object.
pub struct Slot<H> {
    handle: Mutex<Option<H>>,
    born: Born,
    name: &'static str,
}

impl<H: Send> Slot<H> {
    /// With a handle; the name is for messages.
    pub fn new(name: &'static str, handle: H) -> Self {
        Self {
            handle: Mutex::new(Some(handle)),
            born: Born::here(),
            name,
        }
    }

    fn closed(&self) -> Failure {
        PyValueError::new_err(format!("this {} is closed", self.name)).into()
    }

    /// Calls something that does not wait, or only as long as the kernel takes.
    pub fn with<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut H) -> Result<R, Failure> + Send,
    ) -> PyResult<R> {
        let mut guard = self.lock(py)?;
        let result = call(&mut guard);
        drop(guard);
        Ok(result?)
    }

    /// The handle, once it is this thread's turn.
    pub fn lock(&self, py: Python<'_>) -> PyResult<MappedMutexGuard<'_, H>> {
        let guard = self.lock_open_or_closed(py, Timeout::NEVER)?;
        MutexGuard::try_map(guard, Option::as_mut).map_err(|_| self.closed().into())
    }

    fn lock_open_or_closed(
        &self,
        py: Python<'_>,
        timeout: Timeout,
    ) -> PyResult<MutexGuard<'_, Option<H>>> {
        self.born.check()?;
        if let Some(guard) = self.handle.try_lock() {
            return Ok(guard);
        }
        let deadline = timeout.deadline();
        loop {
            // The guard itself may not cross: it belongs to the thread.
            let free = py.detach(|| self.handle.try_lock_for(SLICE).is_some());
            if let Some(guard) = free.then(|| self.handle.try_lock()).flatten() {
                return Ok(guard);
            }
            py.check_signals()?;
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Err(self.busy().into());
            }
        }
    }

    fn busy(&self) -> Failure {
        let text = format!("timed out: another thread uses this {}", self.name);
        Failure::timed_out(&text)
    }

    /// Attempts something until it is done or the time is over: first at once, then in slices.
    pub fn wait<R: Send>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        mut attempt: impl FnMut(&mut H, Mode<'_>) -> Result<Step<R>, Failure> + Send,
    ) -> PyResult<R> {
        self.born.check()?;
        let at_once = self
            .handle
            .try_lock()
            .map(|mut guard| match guard.as_mut() {
                Some(handle) => attempt(handle, Mode::Now(py)),
                None => Err(self.closed()),
            });
        match at_once.transpose()? {
            Some(Step::Done(result)) => return Ok(result),
            Some(Step::Again(last)) if timeout.is_zero() => return Ok(last?),
            Some(Step::Again(_)) | None => {}
        }
        let deadline = timeout.deadline();
        loop {
            let end = Instant::now() + SLICE;
            let end = deadline.map_or(end, |at| at.min(end));
            let step = py.detach(|| {
                let Some(mut guard) = self.handle.try_lock_until(end) else {
                    return Ok(Step::Again(Err(self.busy())));
                };
                let step = match guard.as_mut() {
                    Some(handle) => attempt(handle, Mode::Until(end)),
                    None => Err(self.closed()),
                };
                MutexGuard::unlock_fair(guard);
                step
            });
            match step? {
                Step::Done(result) => return Ok(result),
                Step::Again(last) if deadline.is_some_and(|at| at <= Instant::now()) => {
                    return Ok(last?)
                }
                Step::Again(_) => py.check_signals()?,
            }
        }
    }

    /// What a handle is to a wait for several, without the interpreter; `None` if it was in use until then.
    pub fn source<S: Source + 'static>(
        &self,
        until: Instant,
        reach: impl FnOnce(&mut H) -> Option<&mut S>,
    ) -> Result<Option<LockedSource<'_>>, Failure> {
        self.source_of(until, |handle| {
            reach(handle).map(|source| source as &mut dyn Source)
        })
    }

    /// As [`source`](Self::source), of any type.
    pub fn source_of(
        &self,
        until: Instant,
        reach: impl FnOnce(&mut H) -> Option<&mut (dyn Source + 'static)>,
    ) -> Result<Option<LockedSource<'_>>, Failure> {
        self.born.check()?;
        let Some(guard) = self.handle.try_lock_until(until) else {
            return Ok(None);
        };
        let guard = MutexGuard::try_map(guard, |handle| handle.as_mut().and_then(reach));
        Ok(Some(guard.map_err(|_| self.closed())?))
    }

    /// Takes the handle out, if it is still there; `ready` may refuse, and then it stays.
    pub fn close<R: Send>(
        &self,
        py: Python<'_>,
        ready: impl FnOnce(&mut H) -> Result<(), Failure> + Send,
        end: impl FnOnce(H) -> R + Send,
    ) -> PyResult<Option<R>> {
        if self.born.forked() {
            return Ok(None);
        }
        let mut guard = self.lock_open_or_closed(py, Timeout::NEVER)?;
        let ready = guard.as_mut().map_or(Ok(()), ready);
        let handle = match ready {
            Ok(()) => guard.take(),
            Err(_) => None,
        };
        drop(guard);
        ready?;
        Ok(py.detach(|| handle.map(end)))
    }

    /// Returns `true` if the handle was closed.
    pub fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock_open_or_closed(py, Timeout::NEVER)?.is_none())
    }

    /// Fails if the handle was closed, as far as can be said without waiting for a turn.
    pub fn still_open(&self) -> Result<(), Failure> {
        match self.handle.try_lock() {
            Some(handle) if handle.is_none() => Err(self.closed()),
            _ => Ok(()),
        }
    }

    /// The handle without the interpreter, for destructors: `None` while another thread uses it, and in a fork.
    pub fn quietly(&self) -> Option<MutexGuard<'_, Option<H>>> {
        match self.born.forked() {
            true => None,
            false => self.handle.try_lock(),
        }
    }
}
