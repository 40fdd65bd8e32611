//! Bells that the kernel itself watches, through an io_uring: no thread stands between the side that rings and the
//! descriptor that is polled.
//!
//! Each sleep is one request, `IORING_OP_FUTEX_WAITV` (Linux 6.7), whose completion makes the descriptor readable. The
//! kernel compares each word when the request is made, so a ring between the caller's look and the request completes it
//! at once.
//!
//! The kernel defers completions to the thread that made the requests (`IORING_SETUP_DEFER_TASKRUN`) and makes the
//! descriptor readable before, where the side rings: no thread of the caller is interrupted. In return, only one thread
//! may make requests, the first that does. For any other there is the thread of the reactor.
//!
//! Layer 5, unsafe by need.
#![allow(unsafe_code, reason = "requests name memory by its address")]

use super::{Signal, Watched};
use crate::sync::FutexWord;
use core::fmt;
use io_uring::{opcode, squeue, types, EnterFlags, IoUring, Probe};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::thread::{self, ThreadId};

/// Requests that are made and not seen to complete: the newest, one that it replaced, and the cancelling of that.
const ENTRIES: u32 = 4;
/// The number of requests that cancel; those that wait have others.
const CANCEL: u64 = 0;
/// `FUTEX2_SIZE_U32`, of memory that is shared.
const WORD: u32 = 2;

/// An io_uring whose completions make one descriptor readable.
pub struct Uring {
    /// `None` once the kernel has refused a request.
    ring: Option<IoUring>,
    /// The thread that makes requests.
    owner: Option<ThreadId>,
    /// The number of the newest request.
    number: u64,
    /// Whether the newest request may not be complete.
    waits: bool,
    /// Whether it is of the newest call that asked for one.
    watches: bool,
}

impl Uring {
    /// Makes one.
    ///
    /// # Errors
    /// Those of the kernel, which may refuse an io_uring to a process, and `Unsupported` before Linux 6.7.
    pub fn new(signal: &Signal) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            // It belongs to the thread that enables it.
            .setup_r_disabled()
            .build(ENTRIES)
            .map_err(explained)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::FutexWaitV::CODE) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, TOO_OLD));
        }
        let descriptor = signal.as_fd().as_raw_fd();
        ring.submitter().register_eventfd(descriptor)?;
        Ok(Self {
            ring: Some(ring),
            owner: None,
            number: 0,
            waits: false,
            watches: false,
        })
    }

    /// Has the descriptor become readable once one of the words is another than it was when its bell was armed. Returns
    /// `false` if the kernel does not watch them: there are too many, this is another thread than the one that was first,
    /// or the kernel refuses. What was watched before was [stopped](Self::stop).
    pub fn watch(&mut self, watched: &[Watched]) -> bool {
        self.watches = self.request(watched);
        self.watches
    }

    fn request(&mut self, watched: &[Watched]) -> bool {
        if watched.is_empty() || watched.len() > FutexWord::MANY || !self.is_mine() {
            return false;
        }
        let words: Vec<_> = watched.iter().map(compared).collect();
        self.number += 1;
        let many = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let entry = opcode::FutexWaitV::new(words.as_ptr(), many).build();
        self.waits = self.submit(entry.user_data(self.number));
        self.waits
    }

    /// Watches no longer. What was watched may make the descriptor readable until this returns, and seldom after it.
    pub fn stop(&mut self) {
        // Another thread leaves that to the one that makes the requests, or to the end of this.
        if !self.waits || !self.is_mine() {
            return;
        }
        self.waits = false;
        let entry = opcode::AsyncCancel::new(self.number).build();
        let entry = entry.user_data(CANCEL);
        self.submit(entry.flags(squeue::Flags::SKIP_SUCCESS));
    }

    /// Returns `true` if the kernel watches what it was last asked to.
    pub fn watches(&self) -> bool {
        self.watches
    }

    /// Returns `true` if there is something to [`stop`](Self::stop).
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Returns `true` in the thread that makes the requests, which is the first that asks.
    fn is_mine(&mut self) -> bool {
        let Some(ring) = &self.ring else { return false };
        let me = thread::current().id();
        if self.owner.is_none() {
            if ring.submitter().register_enable_rings().is_err() {
                self.ring = None;
                return false;
            }
            self.owner = Some(me);
        }
        self.owner == Some(me)
    }

    /// Makes a request, and lets the kernel finish those that are complete. Returns `false`, and ends all of them, if it
    /// refuses.
    fn submit(&mut self, entry: squeue::Entry) -> bool {
        let Some(ring) = &mut self.ring else {
            return false;
        };
        // SAFETY: the kernel reads the array of a wait before the call below returns, and its caller keeps it until then.
        // The words are compared, not written; memory that is no longer mapped is an error of the request.
        let pushed = unsafe { ring.submission().push(&entry) };
        // With `GETEVENTS` no completion stays deferred, behind which the next one would tell nobody.
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: one entry is submitted, nothing is waited for, and there is no argument.
        let entered = unsafe { ring.submitter().enter::<()>(1, 0, flags, None) };
        let submitted = pushed.is_ok() && matches!(entered, Ok(1));
        // A wait that the kernel refuses would be refused again as soon as the caller has looked.
        let refused = ring
            .completion()
            .any(|done| done.user_data() != CANCEL && is_refusal(done.result()));
        ring.completion().for_each(drop);
        if refused || !submitted {
            self.ring = None;
        }
        self.ring.is_some()
    }
}

/// Whether a wait ended otherwise than by a word that changed, before or meanwhile, by its cancelling, or with its thread.
fn is_refusal(result: i32) -> bool {
    result < 0 && ![libc::EAGAIN, libc::ECANCELED, libc::EINTR].contains(&-result)
}

/// What the kernel compares.
fn compared(watched: &Watched) -> types::FutexWaitV {
    let request = types::FutexWaitV::new().uaddr(watched.address() as u64);
    request.val(u64::from(watched.seen)).flags(WORD)
}

const TOO_OLD: &str =
    "the io_uring of this kernel cannot wait for a futex: Linux 6.7 or newer is needed";

/// The refusal of an io_uring, with what to do.
fn explained(error: io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        // It does not know what is asked of it.
        Some(libc::EINVAL) => return io::Error::new(io::ErrorKind::Unsupported, TOO_OLD),
        Some(libc::ENOSYS) => "this kernel, or its sandbox, has no io_uring",
        Some(libc::EPERM) => "io_uring is not allowed here: see kernel.io_uring_disabled, or the filter of the container",
        _ => return error,
    };
    io::Error::new(error.kind(), why)
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("watches", &self.watches)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_the_kernel_refuses_is_the_last() {
        let signal = Signal::new().unwrap();
        let mut uring = match Uring::new(&signal) {
            Ok(uring) => uring,
            Err(error) => return println!("SKIPPED: io_uring: {error}"),
        };
        assert!(uring.is_mine());
        // There is no word at this address.
        let words = [types::FutexWaitV::new().flags(WORD)];
        let entry = || opcode::FutexWaitV::new(words.as_ptr(), 1).build();
        assert!(!uring.submit(entry().user_data(1)));
        assert!(!uring.is_mine());
        assert!(!uring.watch(&[]));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let kind = |errno| explained(io::Error::from_raw_os_error(errno)).kind();
        assert_eq!(kind(libc::EINVAL), io::ErrorKind::Unsupported);
        assert_eq!(kind(libc::ENOSYS), io::ErrorKind::Unsupported);
        assert_eq!(kind(libc::EPERM), io::ErrorKind::PermissionDenied);
        let other = explained(io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(other.raw_os_error(), Some(libc::EMFILE));
    }

    #[test]
    fn what_is_no_refusal() {
        for result in [0, 3, -libc::EAGAIN, -libc::ECANCELED] {
            assert!(!is_refusal(result), "{result}");
        }
        for refusal in [libc::EFAULT, libc::EINVAL, libc::ENOMEM, libc::EPERM] {
            assert!(is_refusal(-refusal), "{refusal}");
        }
    }
}
