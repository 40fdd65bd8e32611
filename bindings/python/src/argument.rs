//! Arguments that mean the same everywhere: timeouts, payloads, starts, strategies.

use crate::failure::Failure;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};
use slipring::endpoint::Why;
use slipring::{Start, Strategy};
use std::time::{Duration, Instant};

/// `timeout=`: seconds, or `None` for ever.
#[derive(Clone, Copy)]
pub struct Timeout(Option<Duration>);

impl Timeout {
    /// For ever.
    pub const NEVER: Self = Self(None);

    /// From seconds.
    pub fn seconds(seconds: Option<f64>) -> PyResult<Self> {
        match seconds {
            None => Ok(Self::NEVER),
            Some(seconds) => time("timeout", seconds).map(Self),
        }
    }

    /// Returns `true` if the call may not wait.
    pub fn is_zero(self) -> bool {
        self.0.is_some_and(|time| time.is_zero())
    }

    /// When it is over.
    pub fn deadline(self) -> Option<Instant> {
        self.0.and_then(|time| Instant::now().checked_add(time))
    }
}

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if given.is_none() {
            return Ok(Self::NEVER);
        }
        let seconds: f64 = given.extract().map_err(|_| {
            PyTypeError::new_err("timeout is a number of seconds, or None to wait for ever")
        })?;
        time("timeout", seconds).map(Self)
    }
}

/// A time in seconds; one that is too long for the clock is for ever.
pub fn time(name: &str, seconds: f64) -> PyResult<Option<Duration>> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "{name} is {seconds}: a number of seconds, 0 or more"
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// A message to send: anything with contiguous bytes. Those of `bytes` are lent, others are copied, as another
/// thread could change them.
pub enum Payload<'py> {
    /// Cannot change.
    Lent(Bound<'py, PyBytes>),
    /// Copied.
    Copied(Vec<u8>),
}

impl std::ops::Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes.as_bytes(),
            Self::Copied(bytes) => bytes,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Payload<'py> {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = given.cast::<PyBytes>() {
            return Ok(Self::Lent(bytes.to_owned()));
        }
        if given.cast::<PyString>().is_ok() {
            return Err(PyTypeError::new_err(
                "a message is bytes, and this is a str: encode it first",
            ));
        }
        copy_of(given).map(Self::Copied)
    }
}

/// A copy of the bytes of any object that has contiguous ones, whatever its items are.
fn copy_of(given: Borrowed<'_, '_, PyAny>) -> PyResult<Vec<u8>> {
    let py = given.py();
    if let Ok(buffer) = PyBuffer::<u8>::get(&given) {
        return buffer.to_vec(py);
    }
    // Items other than bytes: the interpreter makes bytes of them, in their order, or says why not.
    let view = pyo3::types::PyMemoryView::from(&given)?;
    let bytes = view.call_method0("tobytes")?;
    Ok(bytes.cast_into::<PyBytes>()?.as_bytes().to_vec())
}

/// `start=`: "oldest", "latest", or a sequence.
pub fn start(given: &Bound<'_, PyAny>) -> PyResult<Start> {
    let refuse = || {
        PyValueError::new_err(format!(
            "start is {given:?}: \"oldest\", \"latest\", or the sequence of a message"
        ))
    };
    if given.cast::<PyInt>().is_ok() {
        return given.extract().map(Start::Sequence).map_err(|_| refuse());
    }
    match given.extract::<&str>() {
        Ok("oldest") => Ok(Start::Oldest),
        Ok("latest") => Ok(Start::Latest),
        _ => Err(refuse()),
    }
}

/// `strategy=`: "spin", "yield", "park", "spin-then-park", or seconds to spin before sleeping.
pub fn strategy(given: Option<&Bound<'_, PyAny>>) -> PyResult<Strategy> {
    let Some(given) = given else {
        return Ok(Strategy::default());
    };
    match given.extract::<&str>() {
        Ok("spin") => return Ok(Strategy::Spin),
        Ok("yield") => return Ok(Strategy::Yield),
        Ok("park") => return Ok(Strategy::Park),
        Ok("spin-then-park") => return Ok(Strategy::default()),
        _ => {}
    }
    let seconds: f64 = given.extract().map_err(|_| {
        PyValueError::new_err(format!(
            "strategy is {given:?}: \"spin\", \"yield\", \"park\", \"spin-then-park\", or how many seconds to spin before sleeping"
        ))
    })?;
    let spin = time("strategy", seconds)?.unwrap_or(Duration::MAX);
    Ok(Strategy::SpinThenPark { spin })
}

/// `why=`: "lost", "not-recorded", "restored", or a number of one's own.
pub fn why(given: &Bound<'_, PyAny>) -> PyResult<Why> {
    if let Ok(code) = given.extract::<u32>() {
        return Ok(Why::from_code(code));
    }
    match given.extract::<&str>() {
        Ok("lost") => Ok(Why::Lost),
        Ok("not-recorded") => Ok(Why::NotRecorded),
        Ok("restored") => Ok(Why::Restored),
        _ => Err(PyValueError::new_err(format!(
            "why is {given:?}: \"lost\", \"not-recorded\", \"restored\", or a number from 0 to 2^32 - 1"
        ))),
    }
}

/// The text of a reason.
pub fn why_text(why: Why) -> String {
    match why {
        Why::Lost => "lost".into(),
        Why::NotRecorded => "not-recorded".into(),
        Why::Restored => "restored".into(),
        other => other.code().to_string(),
    }
}

/// `on_loss=`: whether losses are values.
pub fn losses_are_values(given: &str) -> PyResult<bool> {
    match given {
        "raise" => Ok(false),
        "value" => Ok(true),
        other => Err(PyValueError::new_err(format!(
            "on_loss is {other:?}: \"raise\" or \"value\""
        ))),
    }
}

/// A number of messages, 1 at least.
pub fn at_least_one(name: &str, given: usize) -> Result<usize, Failure> {
    match given {
        0 => Err(PyValueError::new_err(format!("{name} is 0: 1 at least")).into()),
        given => Ok(given),
    }
}
