//! From any error to one line on standard error and an exit code that scripts can tell apart.

use slipring::{
    broker::{BrokerError, ConnectError},
    endpoint::{
        AttachError, PublishError, ReadersError, ReceiveError, StatusError, TryReceiveError,
    },
    place::{CreateError, OpenError, RemoveError},
    queue::{SendError, TakeError},
    registry::RecoverError,
    semaphore::AcquireError,
};
use std::fmt::Display;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
pub const NOT_FOUND: u8 = 3;
pub const INCOMPATIBLE: u8 = 4;
pub const PERMISSION: u8 = 5;
pub const CHECK: u8 = 6;
pub const PRODUCER_GONE: u8 = 7;
pub const REMOVED: u8 = 8;
/// An object breaks a rule of the specification.
pub const WRONG: u8 = 9;
pub const TIMED_OUT: u8 = 124;

/// What tells a name from a path, for messages.
pub const PATHS: &str = "a path begins with / or ./, a name has no / in it";

/// Why the command ends early.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: Option<String>,
    signal: Option<i32>,
}

impl Failure {
    pub fn new(code: u8, message: impl Display) -> Self {
        Self {
            code,
            message: Some(message.to_string()),
            signal: None,
        }
    }

    /// Ends with a code and no message, because the message has been printed already.
    pub fn silent(code: u8) -> Self {
        Self {
            code,
            message: None,
            signal: None,
        }
    }

    /// Ends by a signal that was received.
    pub fn signal(signal: i32) -> Self {
        Self {
            signal: Some(signal),
            ..Self::silent(FAILED)
        }
    }

    /// An operation that is not permitted at a path, with the owner of the file and a remedy.
    pub fn permission(what: &str, path: &Path, remedy: &str) -> Self {
        let owner = match std::fs::symlink_metadata(path) {
            Ok(found) => format!(", which belongs to user {}", found.uid()),
            Err(_) => String::new(),
        };
        let path = path.display();
        Self::new(
            PERMISSION,
            format!("no permission to {what} {path}{owner}: {remedy}"),
        )
    }

    /// Returns `true` if the command ends by a signal.
    pub fn is_signal(&self) -> bool {
        self.signal.is_some()
    }

    /// The message, for embedding in another.
    pub fn text(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// Returns `true` if the command ends with this code.
    pub fn is(&self, code: u8) -> bool {
        self.code == code
    }

    /// Prints what went wrong, where the command goes on.
    pub fn say(&self) {
        if let Some(message) = &self.message {
            eprintln!("slipring: {message}");
        }
    }

    /// The status with which the command ends.
    pub fn status(&self) -> u8 {
        self.code
    }

    /// The signal by which it ends instead, if one was received.
    pub fn ending_signal(&self) -> Option<i32> {
        self.signal
    }
}

impl From<io::Error> for Failure {
    /// It is a normal end, as for any filter, when the reader of the output has gone.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(0),
            _ => Self::new(FAILED, error),
        }
    }
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Name(_) => USAGE,
        OpenError::NotFound { .. } => NOT_FOUND,
        OpenError::Permission { .. } => PERMISSION,
        OpenError::Io { .. } | OpenError::Busy { .. } => FAILED,
        _ => INCOMPATIBLE,
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = open_code(&error);
        match error {
            OpenError::Permission { path } => {
                Self::permission("open", &path, "ask for a mode that includes you")
            }
            error => Self::new(code, error),
        }
    }
}

impl Failure {
    /// The error's own text, except for an object that does not exist: that names the form and `slipring
    /// VERB create`.
    pub fn opening(error: OpenError, form: &str, verb: &str) -> Self {
        match error {
            OpenError::NotFound { path, .. } => Self::new(
                NOT_FOUND,
                format!(
                    "no {form} at {}: create it first (slipring {verb} create), or check SLIPRING_DIR",
                    path.display()
                ),
            ),
            error => error.into(),
        }
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        let code = match &error {
            CreateError::Name(_)
            | CreateError::Geometry(_)
            | CreateError::Mode { .. }
            | CreateError::Origin { .. } => USAGE,
            CreateError::Permission { .. } => PERMISSION,
            CreateError::NoDirectory { .. } => NOT_FOUND,
            _ => FAILED,
        };
        match error {
            CreateError::Open(error) => error.into(),
            CreateError::Name(_) => Self::new(code, format!("{error} ({PATHS})")),
            CreateError::NoDirectory { path }
                if path != slipring::registry::default_directory() =>
            {
                let path = path.display();
                Self::new(
                    code,
                    format!("there is no directory {path}: make it, or use a name ({PATHS})"),
                )
            }
            error => Self::new(code, error),
        }
    }
}

impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Open(error) => error.into(),
            RecoverError::Remove(error) => error.into(),
            RecoverError::Create(error) => error.into(),
            error => Self::new(INCOMPATIBLE, error),
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Create(error) => error.into(),
            BrokerError::BadPath { .. }
            | BrokerError::TooManyReaders { .. }
            | BrokerError::Stamps => Self::new(USAGE, error),
            error => Self::new(FAILED, error),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match &error {
            ConnectError::NoBroker { .. } => NOT_FOUND,
            ConnectError::Forbidden { .. } => PERMISSION,
            ConnectError::TimedOut { .. } => TIMED_OUT,
            ConnectError::Nonsense { .. } => INCOMPATIBLE,
            ConnectError::Open(error) => open_code(error),
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Open(error) => error.into(),
            RemoveError::InUse { .. } => Self::new(FAILED, format!("{error} (--force)")),
            RemoveError::Permission { path } => {
                Self::permission("remove", &path, "its owner, or that of its directory, can")
            }
            RemoveError::Io { path, source, .. } if refused(&source) => {
                Self::permission("remove", &path, "its owner, or that of its directory, can")
            }
            error => Self::new(FAILED, error),
        }
    }
}

/// Returns `true` if the kernel refused for lack of permission.
fn refused(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS)
    )
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        let code = match error {
            AttachError::Open(error) => return error.into(),
            AttachError::Create(error) => return error.into(),
            AttachError::Permission { path } => {
                return Self::permission("write in", &path, "ask for a mode that includes writing")
            }
            AttachError::Corrupt(_)
            | AttachError::ReadOnly { .. }
            | AttachError::Poisoned { .. } => INCOMPATIBLE,
            AttachError::Removed { .. } => REMOVED,
            AttachError::Name(_) => USAGE,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<StatusError> for Failure {
    fn from(error: StatusError) -> Self {
        let code = match error {
            StatusError::Open(error) => return error.into(),
            StatusError::Poisoned { .. } => INCOMPATIBLE,
            StatusError::Removed { .. } => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let code = match error {
            PublishError::TimedOut { .. } => TIMED_OUT,
            PublishError::Poisoned => INCOMPATIBLE,
            PublishError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<ReadersError> for Failure {
    fn from(error: ReadersError) -> Self {
        let code = match error {
            ReadersError::TimedOut { .. } => TIMED_OUT,
            ReadersError::TooMany { .. } => USAGE,
            ReadersError::Poisoned => INCOMPATIBLE,
            ReadersError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        let code = match error {
            ReceiveError::ProducerGone { .. } => PRODUCER_GONE,
            ReceiveError::TimedOut => TIMED_OUT,
            ReceiveError::Corrupt(_) | ReceiveError::Poisoned => INCOMPATIBLE,
            ReceiveError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        let code = match error {
            AcquireError::TimedOut => TIMED_OUT,
            AcquireError::TooMany { .. } => USAGE,
            AcquireError::Poisoned => INCOMPATIBLE,
            AcquireError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let code = match error {
            SendError::Create(error) => return error.into(),
            SendError::Attach(error) => return error.into(),
            SendError::TimedOut { .. } => TIMED_OUT,
            SendError::Priority { .. } => USAGE,
            SendError::Poisoned => INCOMPATIBLE,
            SendError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<TakeError> for Failure {
    fn from(error: TakeError) -> Self {
        let code = match error {
            TakeError::Open(error) => return error.into(),
            TakeError::TimedOut => TIMED_OUT,
            TakeError::Corrupt(_) | TakeError::Poisoned => INCOMPATIBLE,
            TakeError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<TryReceiveError> for Failure {
    fn from(error: TryReceiveError) -> Self {
        let code = match error {
            TryReceiveError::ProducerGone { .. } => PRODUCER_GONE,
            TryReceiveError::Corrupt(_) | TryReceiveError::Poisoned => INCOMPATIBLE,
            TryReceiveError::Removed => REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}
