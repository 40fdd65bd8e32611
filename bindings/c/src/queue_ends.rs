//! The two ends of a queue: senders and receivers.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{bytes, out, patience, put, Patience};
use crate::handle::{close, give, give_source, shared, with, DescriptorOf, Handle, Waitable};
use crate::lent::Lender;
use crate::options::{of_role, slipring_options};
use crate::queue::slipring_queue;
use crate::status::slipring_status;
use slipring::endpoint::Source;
use slipring::queue::{Delivery, Receiver, Sender};
use std::ffi::c_void;

/// A sender of a queue. For one thread at a time.
pub struct slipring_sender {
    _opaque: [u8; 0],
}

/// A receiver of a queue. For one thread at a time.
pub struct slipring_receiver {
    _opaque: [u8; 0],
}

pub struct Body {
    receiver: Lender<Receiver, Delivery<'static>>,
    descriptor: Descriptor,
}

impl Handle for slipring_sender {
    type Body = Sender;
    const KIND: u64 = 11;
    const NAME: &'static str = "sender";
}

impl Handle for slipring_receiver {
    type Body = Body;
    const KIND: u64 = 12;
    const NAME: &'static str = "receiver";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Body {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(self.receiver.free()?)
    }
}

/// Adds a sender.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_sender(
    queue: *const slipring_queue,
    options: *const slipring_options,
    sender: *mut *mut slipring_sender,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(
            sender,
            || Ok(shared(queue)?.sender_with(of_role(options)?)?),
        )
    })
}

/// Adds a receiver.
#[no_mangle]
pub unsafe extern "C" fn slipring_queue_receiver(
    queue: *const slipring_queue,
    options: *const slipring_options,
    receiver: *mut *mut slipring_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(receiver, || {
            let made = shared(queue)?.receiver_with(of_role(options)?)?;
            Ok(Body {
                receiver: Lender::new(made),
                descriptor: Descriptor::default(),
            })
        })
    })
}

/// Sends a copy of `len` bytes with a priority from 0 to 7, higher first. Waits while the receivers are as many messages behind
/// as the queue is deep. `sequence` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_sender_send(
    sender: *mut slipring_sender,
    data: *const c_void,
    len: usize,
    priority: u8,
    timeout_ns: i64,
    sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let data = bytes(data, len)?;
        with(sender, |sender| {
            let sent = match patience(timeout_ns) {
                Patience::Never => sender.send_with_priority(data, priority)?,
                Patience::Try => sender.try_send_with_priority(data, priority)?,
                Patience::Until(deadline) => sender.send_until(data, priority, deadline)?,
            };
            put(sequence, sent);
            Ok(())
        })
    })
}

/// Closes a sender, and makes the pointer NULL. What it has sent stays.
#[no_mangle]
pub unsafe extern "C" fn slipring_sender_close(
    sender: *mut *mut slipring_sender,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(sender) })
}

/// A message of a queue, in place until it is acknowledged or returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_delivery {
    /// The bytes.
    pub data: *const c_void,
    /// How many bytes there are.
    pub len: usize,
    /// Its number in its lane.
    pub sequence: u64,
    /// Its lane.
    pub lane: u32,
    /// How often it was taken, this time included.
    pub tries: u32,
    /// Its priority.
    pub priority: u8,
    /// 1 if it was taken before.
    pub redelivered: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Receives a message. Until slipring_receiver_ack or slipring_receiver_return every other call but slipring_receiver_close
/// returns `SLIPRING_E_LENT`.
#[no_mangle]
pub unsafe extern "C" fn slipring_receiver_receive(
    receiver: *mut slipring_receiver,
    timeout_ns: i64,
    delivery: *mut slipring_delivery,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(receiver, |body| {
            let to = out(delivery, "there is no room for the message")?;
            let lent = body.receiver.lend(|receiver| {
                Ok(match patience(timeout_ns) {
                    Patience::Never => receiver.receive()?,
                    Patience::Try => receiver.try_receive()?,
                    Patience::Until(deadline) => receiver.receive_until(deadline)?,
                })
            })?;
            to.put(slipring_delivery {
                data: lent.as_ptr().cast(),
                len: lent.len(),
                sequence: lent.sequence(),
                lane: lent.lane(),
                tries: lent.tries(),
                priority: lent.priority(),
                redelivered: lent.redelivered().into(),
                reserved: [0; 6],
            });
            Ok(())
        })
    })
}

/// Acknowledges the message that was received: it is never delivered again. `SLIPRING_E_ACK_EXPIRED` says that it was held for longer
/// than the queue's lease and went to another receiver; it is given back all the same.
#[no_mangle]
pub unsafe extern "C" fn slipring_receiver_ack(
    receiver: *mut slipring_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(receiver, |body| Ok(body.receiver.take()?.ack()?)) })
}

/// Returns the message that was received to the queue, where it is marked as redelivered.
#[no_mangle]
pub unsafe extern "C" fn slipring_receiver_return(
    receiver: *mut slipring_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(receiver, |body| body.receiver.take().map(drop)) })
}

/// Gives the receiver a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_receiver_fd(
    receiver: *mut slipring_receiver,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(receiver, |body| body.descriptor.give(fd)) })
}

/// Says whether there may be something to receive, as slipring_consumer_arm. Another receiver may be faster.
#[no_mangle]
pub unsafe extern "C" fn slipring_receiver_arm(
    receiver: *mut slipring_receiver,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(receiver, |body| {
            body.descriptor.arm(body.receiver.free()?, ready)
        })
    })
}

/// Closes a receiver, and makes the pointer NULL. A message that it holds returns to the queue.
#[no_mangle]
pub unsafe extern "C" fn slipring_receiver_close(
    receiver: *mut *mut slipring_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(receiver) })
}
