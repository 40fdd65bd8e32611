//! The signals that end the command: INT, TERM and HUP.
//!
//! They are blocked and waited for instead of handled, so no system call is interrupted. A verb that has to
//! clean up checks a flag once per message. If the clean-up takes too long, in any call, a thread ends the
//! process. A process that a signal ended ends *by* that signal, so a shell reports 128 and its number, and
//! a supervisor sees the signal it sent. Verbs without clean-up do not use this file: the kernel ends them.

#![allow(unsafe_code)]

use crate::failure::Failure;
use crate::Outcome;
use rustix::event::EventfdFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The signals that end the command.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
/// How long a verb may take to clean up.
pub const GRACE: Duration = Duration::from_millis(700);
/// In how many parts that time is waited for.
const PARTS: u32 = 7;

/// Signals that are waited for: blocked in the thread that took them, and in those that it starts.
pub struct Taken {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    pub number: i32,
    /// The kernel sent it, for a key at the terminal: to the whole group of processes.
    pub by_key: bool,
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: an all-zero set is a valid value, which the calls below make an empty one and add to.
    unsafe {
        let mut set = core::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

fn mask(how: i32, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    // SAFETY: both sets are valid for the call; an all-zero one is a valid value.
    unsafe {
        let mut before = core::mem::zeroed();
        match libc::pthread_sigmask(how, set, &mut before) {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Returns `true` if the parent of this process set a signal to be ignored.
fn ignored(signal: i32) -> bool {
    // SAFETY: an all-zero action is a valid value to be overwritten, and no new one is set.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        libc::sigaction(signal, core::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn by_default(signal: i32) {
    // SAFETY: the default action is a valid one for every signal used here.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// Which of `ENDING` were ignored when this process began, as bits.
static IGNORED: AtomicU8 = AtomicU8::new(0);

/// INT and TERM end this process, even if a script that started it in the background set them to be
/// ignored. Commands that it runs go on ignoring them. HUP stays ignored if it was, as `nohup` requires.
pub fn heed() {
    for (bit, signal) in ENDING.into_iter().enumerate() {
        if signal != libc::SIGHUP && ignored(signal) {
            IGNORED.fetch_or(1 << bit, Ordering::Relaxed);
            by_default(signal);
        }
    }
}

impl Taken {
    /// Blocks the signals that end the command, except those that are ignored, and on request SIGCHLD.
    pub fn take(children: bool) -> io::Result<Self> {
        let mut signals: Vec<i32> = ENDING.into_iter().filter(|s| !ignored(*s)).collect();
        if children {
            // If SIGCHLD were ignored, the kernel would discard the status of children.
            by_default(libc::SIGCHLD);
            signals.push(libc::SIGCHLD);
        }
        let set = set_of(&signals);
        let before = mask(libc::SIG_BLOCK, &set)?;
        Ok(Self { set, before })
    }

    /// Waits for the next signal. Returns `None` if the limit passed first.
    pub fn next(&self, limit: Option<Duration>) -> Option<Came> {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs() as libc::time_t,
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        loop {
            // SAFETY: the set, the information to be overwritten, and the limit, which is null or
            // points to a value that lives until the end of this function, are valid for the call.
            let (number, code) = unsafe {
                let mut information: libc::siginfo_t = core::mem::zeroed();
                let limit = limit.as_ref().map_or(core::ptr::null(), |limit| limit);
                let number = libc::sigtimedwait(&self.set, &mut information, limit);
                (number, information.si_code)
            };
            if number > 0 {
                let by_key = code == libc::SI_KERNEL;
                return Some(Came { number, by_key });
            }
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return None;
            }
        }
    }
}

impl Drop for Taken {
    /// A signal that is pending and was not waited for takes effect now.
    fn drop(&mut self) {
        let _ = mask(libc::SIG_SETMASK, &self.before);
    }
}

/// Restores the signal dispositions with which this process began, in a child that is about to run a
/// command. Allocates no memory.
pub fn as_inherited() -> io::Result<()> {
    let ignored = IGNORED.load(Ordering::Relaxed);
    for (bit, signal) in ENDING.into_iter().enumerate() {
        if ignored & 1 << bit != 0 {
            // SAFETY: ignoring a signal is a valid action for each of these.
            unsafe {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
    }
    let [int, term, hup] = ENDING;
    mask(libc::SIG_UNBLOCK, &set_of(&[int, term, hup, libc::SIGCHLD])).map(drop)
}

/// Ends this process by a signal.
pub fn end_by(signal: i32) -> ! {
    by_default(signal);
    let _ = mask(libc::SIG_UNBLOCK, &set_of(&[signal]));
    // SAFETY: raising a signal needs nothing.
    unsafe {
        libc::raise(signal);
    }
    // Reached only for a signal that does not end a process by default.
    std::process::exit(128 + signal)
}

impl Failure {
    /// Prints what went wrong, and returns the status of the command or ends it by the signal that was received.
    pub fn report(self) -> ExitCode {
        self.say();
        if let Some(signal) = self.ending_signal() {
            end_by(signal);
        }
        ExitCode::from(self.status())
    }
}

/// Records whether a signal that ends the command came, for a verb that has to clean up first.
#[derive(Clone)]
pub struct Stop {
    came: Arc<AtomicI32>,
    wake: Arc<OwnedFd>,
}

impl Stop {
    /// From now on a signal sets a flag. The process ends when `grace` has passed since, or at once when a
    /// second signal comes. `last` runs before that.
    pub fn begin(grace: Duration, last: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let taken = Taken::take(false)?;
        let stop = Self {
            came: Arc::new(AtomicI32::new(0)),
            wake: Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?),
        };
        let told = stop.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let Some(came) = taken.next(None) else { return };
                told.came.store(came.number, Ordering::Relaxed);
                let _ = rustix::io::write(&told.wake, &1u64.to_ne_bytes());
                // In parts: a stall of the whole machine uses up one of them, and the verb may still end in order.
                let _ = (0..PARTS).find_map(|_| taken.next(Some(grace / PARTS)));
                last();
                end_by(came.number)
            })?;
        Ok(stop)
    }

    /// Returns `true` if a signal came.
    pub fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed) != 0
    }

    /// The failure that ends the command by the signal, if one came.
    pub fn check(&self) -> Outcome {
        match self.came.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Failure::signal(signal)),
        }
    }

    /// Becomes readable once a signal came, for waiting together with other descriptors.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
