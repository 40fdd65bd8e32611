//! Signals: numbers that are sent to listeners, counted, and never lost.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{deadline, options, out, patience, text, Patience, Sized0};
use crate::handle::{close, give, give_source, shared, with, DescriptorOf, Handle, Waitable};
use crate::options::{of_role, slipring_options};
use crate::status::slipring_status;
use slipring::endpoint::Source;
use slipring::signals::{Listener, SignalError, SignalSet, SignalsBuilder, Target};
use slipring::Signals;
use std::ffi::c_char;

/// An open signals object. Any number of threads use it at once.
pub struct slipring_signals {
    _opaque: [u8; 0],
}

/// A listener. For one thread at a time.
pub struct slipring_listener {
    _opaque: [u8; 0],
}

/// One listener, to send signals to. For one thread at a time.
pub struct slipring_target {
    _opaque: [u8; 0],
}

pub struct Body {
    listener: Listener,
    descriptor: Descriptor,
}

impl Handle for slipring_signals {
    type Body = Signals;
    const KIND: u64 = 50;
    const NAME: &'static str = "signals object";
}

impl Handle for slipring_listener {
    type Body = Body;
    const KIND: u64 = 51;
    const NAME: &'static str = "listener";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Handle for slipring_target {
    type Body = Target;
    const KIND: u64 = 52;
    const NAME: &'static str = "target";
}

impl Waitable for Body {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(&mut self.listener)
    }
}

/// The settings of a new signals object. NULL in its place means all defaults, and so does zero in any member but the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_signals_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How many listeners there can be at once.
    pub max_listeners: u32,
    /// The permission bits of a file; 0600 by default.
    pub mode: u32,
}

impl Sized0 for slipring_signals_options {
    const NAME: &'static str = "slipring_signals_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

unsafe fn builder(
    place: *const c_char,
    given: *const slipring_signals_options,
) -> Result<SignalsBuilder, Failure> {
    // SAFETY: as the header asks of the caller, here and below.
    let mut builder = Signals::builder(unsafe { crate::given::place(place) }?);
    // SAFETY: as above.
    let Some(given) = unsafe { options(given) }? else {
        return Ok(builder);
    };
    if given.max_listeners != 0 {
        builder = builder.max_listeners(given.max_listeners);
    }
    if given.mode != 0 {
        builder = builder.mode(given.mode);
    }
    Ok(builder)
}

/// Creates a signals object and opens it.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_create(
    place: *const c_char,
    options: *const slipring_signals_options,
    signals: *mut *mut slipring_signals,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(signals, || Ok(builder(place, options)?.create()?)) })
}

/// Opens a signals object, or creates it if there is none. One that exists keeps its settings.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_create_or_open(
    place: *const c_char,
    options: *const slipring_signals_options,
    signals: *mut *mut slipring_signals,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { give(signals, || Ok(builder(place, options)?.create_or_open()?)) })
}

/// Opens a signals object, waiting until there is one. With a timeout of 0 it does not wait.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_open(
    place: *const c_char,
    timeout_ns: i64,
    signals: *mut *mut slipring_signals,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(signals, || {
            let place = crate::given::place(place)?;
            Ok(match timeout_ns {
                0 => Signals::open(place)?,
                _ => Signals::open_until(place, deadline(timeout_ns))?,
            })
        })
    })
}

/// Closes a signals object, and makes the pointer NULL. Its listeners and targets stay open.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_close(
    signals: *mut *mut slipring_signals,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(signals) })
}

/// Removes a signals object. It is refused while a process is attached.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_remove(place: *const c_char) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(Signals::remove(crate::given::place(place)?)?) })
}

/// Becomes the listener of a name, which no other live listener has.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_listener(
    signals: *const slipring_signals,
    name: *const c_char,
    options: *const slipring_options,
    listener: *mut *mut slipring_listener,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(listener, || {
            let name = text(name, "the name of the listener is NULL")?;
            Ok(Body {
                listener: shared(signals)?.listener_with(name, of_role(options)?)?,
                descriptor: Descriptor::default(),
            })
        })
    })
}

/// Finds the listener that has a name now. Signals never reach a later listener of the same name.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_target(
    signals: *const slipring_signals,
    name: *const c_char,
    target: *mut *mut slipring_target,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(target, || {
            let name = text(name, "the name of the listener is NULL")?;
            Ok(shared(signals)?.target(name)?)
        })
    })
}

/// Sends a signal from 0 to 63 to every process that listens at this moment.
#[no_mangle]
pub unsafe extern "C" fn slipring_signals_broadcast(
    signals: *const slipring_signals,
    signal: u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { Ok(shared(signals)?.broadcast(signal)?) })
}

/// Sends a signal from 0 to 63.
#[no_mangle]
pub unsafe extern "C" fn slipring_target_send(
    target: *mut slipring_target,
    signal: u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(target, |target| Ok(target.send(signal)?)) })
}

/// Closes a target, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_target_close(
    target: *mut *mut slipring_target,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(target) })
}

/// Waits for a signal whose bit is set in `set`, the lowest number first, and says how often it was sent since it was last
/// noticed.
#[no_mangle]
pub unsafe extern "C" fn slipring_listener_wait(
    listener: *mut slipring_listener,
    set: u64,
    timeout_ns: i64,
    signal: *mut u32,
    count: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(listener, |body| {
            let to = out(signal, "there is no room for the signal")?;
            let wanted = (0..64).filter(|bit| set >> bit & 1 == 1);
            let wanted = wanted.fold(SignalSet::NONE, |all, bit| all.union(SignalSet::of(bit)));
            let noticed = match patience(timeout_ns) {
                Patience::Never => body.listener.wait(wanted)?,
                Patience::Try => {
                    let noticed = body.listener.try_wait(wanted)?;
                    noticed.ok_or(SignalError::TimedOut)?
                }
                Patience::Until(deadline) => body.listener.wait_until(wanted, deadline)?,
            };
            to.put(noticed.signal);
            crate::given::put(count, noticed.count);
            Ok(())
        })
    })
}

/// Gives the listener a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_listener_fd(
    listener: *mut slipring_listener,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(listener, |body| body.descriptor.give(fd)) })
}

/// Says whether a signal was sent and not noticed, as slipring_consumer_arm.
#[no_mangle]
pub unsafe extern "C" fn slipring_listener_arm(
    listener: *mut slipring_listener,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(listener, |body| {
            body.descriptor.arm(&mut body.listener, ready)
        })
    })
}

/// Closes a listener, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_listener_close(
    listener: *mut *mut slipring_listener,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(listener) })
}
