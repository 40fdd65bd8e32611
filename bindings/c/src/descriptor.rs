//! Descriptors, which handles have from when they are first asked for, and who makes them readable: a thread of the process, or the
//! kernel by io_uring.

use crate::failure::{Detail, Failure};
use crate::given::out;
use crate::status::{SLIPRING_E_ARGUMENT, SLIPRING_E_SYSTEM};
use slipring::endpoint::Source;
use slipring::events::PollableSet;
use std::io;
use std::os::fd::AsRawFd;

/// The descriptor of a handle.
#[derive(Default)]
pub enum Descriptor {
    /// Not asked for yet.
    #[default]
    None,
    Made(Box<PollableSet>),
}

impl Descriptor {
    /// Makes it if need be, and says its number.
    ///
    /// # Safety
    /// As for [`out`].
    pub unsafe fn give(&mut self, fd: *mut i32) -> Result<(), Failure> {
        // SAFETY: as the caller says.
        let fd = unsafe { out(fd, "there is no room for the descriptor") }?;
        fd.put(self.made()?.as_raw_fd());
        Ok(())
    }

    fn made(&mut self) -> Result<&mut PollableSet, Failure> {
        if let Self::None = self {
            *self = Self::Made(Box::new(PollableSet::new()?));
        }
        self.set()
    }

    /// The descriptor that was asked for.
    pub fn set(&mut self) -> Result<&mut PollableSet, Failure> {
        match self {
            Self::None => Err(no_descriptor()),
            Self::Made(set) => Ok(set),
        }
    }

    /// # Safety
    /// As for [`out`].
    pub unsafe fn arm(&mut self, source: &mut dyn Source, ready: *mut bool) -> Result<(), Failure> {
        // SAFETY: as the caller says.
        let ready = unsafe { out(ready, "there is no room for the answer") }?;
        ready.put(self.set()?.arm(&mut [source]).is_some());
        Ok(())
    }

    /// Has the kernel make it readable.
    pub fn use_io_uring(&mut self) -> Result<(), Failure> {
        self.made()?.use_io_uring().map_err(refused)
    }

    pub fn uses_io_uring(&mut self) -> Result<bool, Failure> {
        match self {
            Self::None => Ok(false),
            _ => Ok(self.set()?.uses_io_uring()),
        }
    }
}

#[cold]
fn no_descriptor() -> Failure {
    Failure::fixed(
        SLIPRING_E_ARGUMENT,
        "the handle has no descriptor yet: get it by the call whose name ends in _fd, then arm it",
    )
}

/// The library explains some refusals of the kernel in place of its number.
#[cold]
fn refused(error: io::Error) -> Failure {
    let number = match error.kind() {
        io::ErrorKind::Unsupported => Some(libc::ENOSYS),
        io::ErrorKind::PermissionDenied => Some(libc::EPERM),
        _ => error.raw_os_error(),
    };
    let detail = number.map_or_else(Detail::default, |number| Detail::default().os_error(number));
    Failure::shown(SLIPRING_E_SYSTEM as u32, &error, detail)
}
