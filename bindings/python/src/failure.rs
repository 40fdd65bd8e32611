//! Errors of the library as exceptions of `slipring._errors`: the number, the sentence, and the fields of the variant.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// A field of an error.
#[derive(Clone)]
pub enum Detail {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Detail {
            fn from(number: $kind) -> Self {
                Self::Number(number as u64)
            }
        }
    )*};
}
numbers!(u8, u32, u64, usize);

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<PathBuf> for Detail {
    fn from(path: PathBuf) -> Self {
        Self::Text(path.display().to_string())
    }
}

/// What went wrong, made without the interpreter.
pub enum Failure {
    /// An error of the library, or of the same kind.
    Coded {
        /// Its stable number.
        code: u32,
        /// What, where, what to do.
        message: String,
        /// Attributes of the exception.
        details: Vec<(&'static str, Detail)>,
    },
    /// An exception that exists.
    Raised(PyErr),
}

impl Failure {
    /// One without details.
    pub fn new(code: u32, message: impl ToString) -> Self {
        Self::Coded {
            code,
            message: message.to_string(),
            details: Vec::new(),
        }
    }

    /// With one more attribute.
    pub fn with(mut self, name: &'static str, detail: impl Into<Detail>) -> Self {
        if let Self::Coded { details, .. } = &mut self {
            details.push((name, detail.into()));
        }
        self
    }

    /// A wait that ended at its deadline.
    pub fn timed_out(message: &str) -> Self {
        Self::new(603, message)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn exception(py: Python<'_>, failure: Failure) -> PyResult<PyErr> {
    let (code, message, details) = match failure {
        Failure::Raised(error) => return Ok(error),
        Failure::Coded {
            code,
            message,
            details,
        } => (code, message, details),
    };
    let make = MAKE.get_or_try_init(py, || {
        py.import("slipring._errors")?
            .getattr("make")
            .map(Bound::unbind)
    })?;
    let attributes = PyDict::new(py);
    for (name, detail) in details {
        match detail {
            Detail::Number(number) => attributes.set_item(name, number)?,
            Detail::Text(text) => attributes.set_item(name, text)?,
        }
    }
    let made = make.call1(py, (code, message, attributes))?;
    Ok(PyErr::from_value(made.into_bound(py)))
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| exception(py, failure).unwrap_or_else(|error| error))
    }
}

/// Turns errors of the library into failures: the number and the sentence, and the named fields as attributes.
#[macro_export]
macro_rules! failures {
    ($($error:ty { $($variant:pat => [$($name:ident $(: $value:expr)?),*]),* $(,)? })*) => {$(
        impl From<$error> for $crate::failure::Failure {
            #[allow(unused_variables, reason = "some errors have no fields")]
            fn from(error: $error) -> Self {
                let failure = Self::new(error.code(), &error);
                #[allow(unreachable_patterns, reason = "the errors may grow")]
                match error {
                    $($variant => failure$(.with(stringify!($name), $crate::detail!($name $(, $value)?)))*,)*
                    _ => failure,
                }
            }
        }
    )*};
}

/// The value of a detail: that of the field of the same name, or another.
#[macro_export]
macro_rules! detail {
    ($name:ident) => {
        $name
    };
    ($name:ident, $value:expr) => {
        $value
    };
}

mod ring_errors {
    use slipring::endpoint::{
        AttachError, PublishError, ReadersError, ReceiveError, StatusError, TryPublishError,
        TryReceiveError,
    };
    use slipring::place::{CreateError, OpenError, RemoveError};

    failures! {
        CreateError {
            CreateError::Exists { path } => [path],
            CreateError::NoSpace { path, bytes, headroom } => [path, bytes, headroom],
            CreateError::FileTooLarge { path, bytes, limit } => [path, bytes, limit],
            CreateError::Permission { path } => [path],
            CreateError::NoDirectory { path } => [path],
            CreateError::Open(OpenError::Permission { path }) => [path],
        }
        OpenError {
            OpenError::NotFound { path, .. } => [path],
            OpenError::Permission { path } => [path],
            OpenError::Untrusted { path, .. } => [path],
            OpenError::Stranger { path, owner } => [path, owner],
            OpenError::Description { path, .. } => [path],
            OpenError::Truncated { path, expected, found } => [path, expected, found],
            OpenError::Mismatched { path } => [path],
            OpenError::OtherBoot { path, .. } => [path],
        }
        RemoveError {
            RemoveError::InUse { path, rows, ends, .. } => [path, rows, ends],
            RemoveError::Permission { path } => [path],
        }
        AttachError {
            AttachError::AlreadyOwned { path, pid } => [path, pid],
            AttachError::NoRow { rows } => [rows],
            AttachError::CursorInUse { name, pid } => [name: name.to_string(), pid],
            AttachError::Gone { requested, oldest } => [requested, oldest],
            AttachError::Ahead { requested, next } => [requested, next],
            AttachError::Permission { path } => [path],
            AttachError::ReadOnly { path } => [path],
        }
        StatusError {}
        ReadersError {
            ReadersError::TimedOut { readers, wanted } => [readers, wanted],
            ReadersError::TooMany { wanted, rows } => [wanted, rows],
        }
        PublishError {
            PublishError::TooLarge { len, max } => [len, max],
            PublishError::WrongSize { len, expected } => [len, expected],
            PublishError::TimedOut { row } => [row],
            PublishError::Behind { next } => [next],
            PublishError::TooFar { last } => [last],
        }
        TryPublishError {
            TryPublishError::TooLarge { len, max } => [len, max],
            TryPublishError::WrongSize { len, expected } => [len, expected],
            TryPublishError::Full { row } => [row],
            TryPublishError::Behind { next } => [next],
            TryPublishError::TooFar { last } => [last],
        }
        ReceiveError {
            ReceiveError::ProducerGone { next } => [next],
            ReceiveError::Expelled { next } => [next],
            ReceiveError::WrongSize { sequence, len, expected } => [sequence, len, expected],
        }
        TryReceiveError {
            TryReceiveError::ProducerGone { next } => [next],
            TryReceiveError::Expelled { next } => [next],
            TryReceiveError::WrongSize { sequence, len, expected } => [sequence, len, expected],
        }
    }
}
