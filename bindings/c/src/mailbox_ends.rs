//! The two ends of a mailbox: clients and receivers.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{bytes, copy_text, deadline, out, patience, put, text, Patience};
use crate::handle::{close, give, give_source, shared, with, DescriptorOf, Handle, Waitable};
use crate::lent::Lender;
use crate::mailbox::slipring_mailbox;
use crate::options::{of_role, slipring_options};
use crate::status::slipring_status;
use slipring::endpoint::Source;
use slipring::mailbox::{Answer, Letter, MailboxClient, MailboxReceiver, Reply};
use std::ffi::{c_char, c_void};

/// A client of a mailbox. For one thread at a time.
pub struct slipring_mailbox_client {
    _opaque: [u8; 0],
}

/// A receiver of a mailbox. For one thread at a time.
pub struct slipring_mailbox_receiver {
    _opaque: [u8; 0],
}

pub type Client = Lender<MailboxClient, Reply<'static>>;

pub struct Desk {
    receiver: Lender<MailboxReceiver, Letter<'static>>,
    descriptor: Descriptor,
}

impl Handle for slipring_mailbox_client {
    type Body = Client;
    const KIND: u64 = 21;
    const NAME: &'static str = "client of a mailbox";
}

impl Handle for slipring_mailbox_receiver {
    type Body = Desk;
    const KIND: u64 = 22;
    const NAME: &'static str = "receiver of a mailbox";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Desk {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(self.receiver.free()?)
    }
}

/// Becomes a client with a name, which no other live client has.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_new_client(
    mailbox: *const slipring_mailbox,
    name: *const c_char,
    options: *const slipring_options,
    client: *mut *mut slipring_mailbox_client,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give(client, || {
            let name = text(name, "the name of the client is NULL")?;
            let made = shared(mailbox)?.client_with(name, of_role(options)?)?;
            Ok(Lender::new(made))
        })
    })
}

/// Adds a receiver.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_new_receiver(
    mailbox: *const slipring_mailbox,
    options: *const slipring_options,
    receiver: *mut *mut slipring_mailbox_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        give_source(receiver, || {
            let made = shared(mailbox)?.receiver_with(of_role(options)?)?;
            Ok(Desk {
                receiver: Lender::new(made),
                descriptor: Descriptor::default(),
            })
        })
    })
}

/// Sends a letter that wants no reply.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_client_send(
    client: *mut slipring_mailbox_client,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let data = bytes(data, len)?;
        with(client, |client| {
            let client = client.free()?;
            match patience(timeout_ns) {
                Patience::Never => client.send(data)?,
                Patience::Try => client.try_send(data)?,
                Patience::Until(deadline) => client.send_until(data, deadline)?,
            }
            Ok(())
        })
    })
}

/// Sends a request and waits for its reply, which stays where it is until slipring_mailbox_client_release. A request ends
/// in one way: a reply, `SLIPRING_E_REQUEST_PEER_GONE` or `SLIPRING_E_REQUEST_TIMED_OUT`.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_client_request(
    client: *mut slipring_mailbox_client,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    reply: *mut *const c_void,
    reply_len: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let data = bytes(data, len)?;
        with(client, |client| {
            let to = out(reply, "there is no room for the reply")?;
            let to_len = out(reply_len, "there is no room for the length of the reply")?;
            let lent =
                client.lend(|client| Ok(client.request_until(data, deadline(timeout_ns))?))?;
            to.put(lent.as_ptr().cast());
            to_len.put(lent.len());
            Ok(())
        })
    })
}

/// Gives back a reply.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_client_release(
    client: *mut slipring_mailbox_client,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(client, |client| client.take().map(drop)) })
}

/// Closes a client, and makes the pointer NULL. The letters that it sent stay.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_client_close(
    client: *mut *mut slipring_mailbox_client,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(client) })
}

/// A letter, in place until it is acknowledged, answered or returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_letter {
    /// The bytes.
    pub data: *const c_void,
    /// How many bytes there are.
    pub len: usize,
    /// How often it was taken, this time included.
    pub tries: u32,
    /// 1 if its client waits for a reply.
    pub wants_reply: u8,
    /// 1 if it was taken before.
    pub redelivered: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Receives a letter. Until slipring_mailbox_receiver_ack, slipring_mailbox_receiver_reply or
/// slipring_mailbox_receiver_return every call but those, slipring_mailbox_receiver_sender and
/// slipring_mailbox_receiver_close returns `SLIPRING_E_LENT`.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_receive(
    receiver: *mut slipring_mailbox_receiver,
    timeout_ns: i64,
    letter: *mut slipring_letter,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(receiver, |desk| {
            let to = out(letter, "there is no room for the letter")?;
            let lent = desk.receiver.lend(|receiver| {
                Ok(match patience(timeout_ns) {
                    Patience::Never => receiver.receive()?,
                    Patience::Try => receiver.try_receive()?,
                    Patience::Until(deadline) => receiver.receive_until(deadline)?,
                })
            })?;
            to.put(slipring_letter {
                data: lent.as_ptr().cast(),
                len: lent.len(),
                tries: lent.tries(),
                wants_reply: lent.wants_reply().into(),
                redelivered: lent.redelivered().into(),
                reserved: [0; 2],
            });
            Ok(())
        })
    })
}

/// Copies the name of the client that sent the letter, with a zero byte, and says how long it is without that. A name is at most 64
/// bytes long; `len` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_sender(
    receiver: *mut slipring_mailbox_receiver,
    name: *mut c_char,
    size: usize,
    len: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(receiver, |desk| {
            let letter = desk.receiver.guard();
            let letter = letter.ok_or_else(crate::lent::nothing_lent)?;
            copy_text(letter.sender(), name, size, len)
        })
    })
}

/// Answers the letter that was received, and has done with it. `late` becomes `true` if its client no longer waited; it may be NULL.
/// If the reply fails the letter returns to the mailbox.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_reply(
    receiver: *mut slipring_mailbox_receiver,
    data: *const c_void,
    len: usize,
    late: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let data = bytes(data, len)?;
        with(receiver, |desk| {
            let answer = desk.receiver.take()?.reply(data)?;
            put(late, answer == Answer::Late);
            Ok(())
        })
    })
}

/// Has done with the letter that was received.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_ack(
    receiver: *mut slipring_mailbox_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(receiver, |desk| {
            desk.receiver.take()?.ack();
            Ok(())
        })
    })
}

/// Returns the letter that was received to the mailbox, where it is marked as redelivered.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_return(
    receiver: *mut slipring_mailbox_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(receiver, |desk| desk.receiver.take().map(drop)) })
}

/// Gives the receiver a descriptor, as slipring_consumer_fd.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_fd(
    receiver: *mut slipring_mailbox_receiver,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(receiver, |desk| desk.descriptor.give(fd)) })
}

/// Says whether there may be a letter, as slipring_consumer_arm. Another receiver may be faster.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_arm(
    receiver: *mut slipring_mailbox_receiver,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(receiver, |desk| {
            desk.descriptor.arm(desk.receiver.free()?, ready)
        })
    })
}

/// Closes a receiver, and makes the pointer NULL. A letter that it holds returns to the mailbox.
#[no_mangle]
pub unsafe extern "C" fn slipring_mailbox_receiver_close(
    receiver: *mut *mut slipring_mailbox_receiver,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(receiver) })
}
