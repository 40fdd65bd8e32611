//! Observers: readers for which the producer never waits, and their losses.

use crate::call::call;
use crate::consumer::slipring_message;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{deadline, out, patience, put, Patience};
use crate::handle::{close, with, DescriptorOf, Handle, Waitable};
use crate::status::slipring_status;
use slipring::endpoint::{Received, Source};
use slipring::Observer;

/// An observer of a ring. For one thread at a time.
pub struct slipring_observer {
    _opaque: [u8; 0],
}

pub struct Body {
    observer: Observer,
    descriptor: Descriptor,
}

impl Body {
    pub fn new(observer: Observer) -> Self {
        Self {
            observer,
            descriptor: Descriptor::default(),
        }
    }
}

impl Handle for slipring_observer {
    type Body = Body;
    const KIND: u64 = 4;
    const NAME: &'static str = "observer";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Body {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(&mut self.observer)
    }
}

/// What an observer received.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum slipring_received_kind {
    /// A message.
    SLIPRING_RECEIVED_MESSAGE = 0,
    /// The producer overtook the observer: `count` messages are lost to it.
    SLIPRING_RECEIVED_LAPPED = 1,
    /// `count` sequences do not exist: the producer skipped them.
    SLIPRING_RECEIVED_SKIPPED = 2,
}

/// A message, a loss or a gap.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_received {
    /// Which of the three, of `enum slipring_received_kind`.
    pub kind: u32,
    /// Of a gap: why, as in `slipring_message.gap_why`.
    pub why: u32,
    /// Of a loss and a gap: how many sequences.
    pub count: u64,
    /// Of a loss and a gap: the sequence that comes next.
    pub resumed_at: u64,
    /// The message, in memory of the observer, until its next call. Of a loss and a gap it has no bytes.
    pub message: slipring_message,
}

/// Receives a message, a loss or a gap. Between two messages every loss is told, with the exact number. At the end of the ring the
/// status is `SLIPRING_E_TRY_RECEIVE_CLOSED`.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_receive(
    observer: *mut slipring_observer,
    timeout_ns: i64,
    received: *mut slipring_received,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(observer, |body| {
            let to = out(received, "there is no room for what is received")?;
            let found = match patience(timeout_ns) {
                Patience::Try => body.observer.try_receive()?,
                Patience::Never => body.observer.receive()?,
                Patience::Until(deadline) => body.observer.receive_until(deadline)?,
            };
            let no_message = slipring_message::new(&[], 0, 0, None);
            to.put(match found {
                Received::Message(payload) => slipring_received {
                    kind: slipring_received_kind::SLIPRING_RECEIVED_MESSAGE as u32,
                    why: 0,
                    count: 0,
                    resumed_at: 0,
                    message: slipring_message::new(payload.bytes(), payload.sequence(), 0, None),
                },
                Received::Lapped { lost, resumed_at } => slipring_received {
                    kind: slipring_received_kind::SLIPRING_RECEIVED_LAPPED as u32,
                    why: 0,
                    count: lost,
                    resumed_at,
                    message: no_message,
                },
                Received::Skipped {
                    skipped,
                    resumed_at,
                    why,
                } => slipring_received {
                    kind: slipring_received_kind::SLIPRING_RECEIVED_SKIPPED as u32,
                    why: why.code(),
                    count: skipped,
                    resumed_at,
                    message: no_message,
                },
                _ => return Err(crate::consumer::closed()),
            });
            Ok(())
        })
    })
}

/// Says what an observer has counted since its start: received, lost and skipped add up to all sequences. Each may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_counts(
    observer: *mut slipring_observer,
    received: *mut u64,
    lost: *mut u64,
    skipped: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(observer, |body| {
            put(received, body.observer.received_count());
            put(lost, body.observer.lost_count());
            put(skipped, body.observer.skipped_count());
            Ok(())
        })
    })
}

/// Says where an observer stands: the sequence it receives next, and how many bytes it is behind. Each may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_place(
    observer: *mut slipring_observer,
    next_sequence: *mut u64,
    lag_bytes: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(observer, |body| {
            put(next_sequence, body.observer.next_sequence());
            put(lag_bytes, body.observer.lag_bytes());
            Ok(())
        })
    })
}

/// Says once that another producer took over, as slipring_consumer_new_epoch.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_new_epoch(
    observer: *mut slipring_observer,
    number: *mut u64,
    first_sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(observer, |body| {
            let number = out(number, "there is no room for the number")?;
            let epoch = body.observer.new_epoch();
            number.put(epoch.map_or(0, |epoch| epoch.number));
            put(
                first_sequence,
                epoch.map_or(0, |epoch| epoch.first_sequence),
            );
            Ok(())
        })
    })
}

/// Waits for the next producer, once the last one has ended.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_wait_for_producer(
    observer: *mut slipring_observer,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(observer, |body| {
            Ok(body.observer.wait_for_producer(deadline(timeout_ns))?)
        })
    })
}

/// Gives the observer a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_fd(
    observer: *mut slipring_observer,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(observer, |body| body.descriptor.give(fd)) })
}

/// Says whether there is something to receive, as slipring_consumer_arm.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_arm(
    observer: *mut slipring_observer,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(observer, |body| {
            body.descriptor.arm(&mut body.observer, ready)
        })
    })
}

/// Closes an observer, and makes the pointer NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_observer_close(
    observer: *mut *mut slipring_observer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(observer) })
}
