//! A thread that no signal handler runs in, and objects that live for ever.
//!
//! Layer 5, unsafe by need.
#![allow(unsafe_code, reason = "signal masks, and objects that are never freed")]

use super::Reactor;
use core::mem::MaybeUninit;
use std::io;

/// A reactor by its address; `None` for null.
pub fn forever(reactor: *mut Reactor) -> Option<&'static Reactor> {
    // SAFETY: this is called with null, and with what `Box::into_raw` returned, which is never freed.
    unsafe { reactor.as_ref() }
}

/// Starts a thread with all signals blocked, so that handlers run in the threads of the program, as before.
pub fn start(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are of this frame; `sigfillset` initialises the first, and `pthread_sigmask` the second
    // where it succeeds. The thread inherits the mask at its start.
    let blocked = unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let thread = std::thread::Builder::new().name("slipring-events".into());
    let started = thread.spawn(run);
    if blocked {
        // SAFETY: the call above initialised the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut()) };
    }
    started.map(drop)
}
