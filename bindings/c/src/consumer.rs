//! Consumers: receiving in place, by copy, and in batches.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::failure::Failure;
use crate::given::{argument, copy, deadline, null, out, patience, put, writable, Patience};
use crate::handle::{close, with, DescriptorOf, Handle, Waitable};
use crate::lent::Lender;
use crate::status::slipring_status;
use slipring::endpoint::{Batch, Gap, Message, Source, TryReceiveError};
use slipring::Consumer;
use std::ffi::c_void;

/// A consumer of a ring. For one thread at a time.
pub struct slipring_consumer {
    _opaque: [u8; 0],
}

/// A message, and what came before it. Its bytes can be read as long as they are lent.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_message {
    /// The bytes; not NULL, also where there are none.
    pub data: *const c_void,
    /// How many bytes there are.
    pub len: usize,
    /// The number of the message.
    pub sequence: u64,
    /// How many messages directly before it this reader will never get.
    pub missed: u64,
    /// The first sequence of the gap directly before it: it does not exist. Meaningful if `gap_why` is not 0.
    pub gap_first: u64,
    /// The first sequence behind that gap.
    pub gap_end: u64,
    /// Why there is a gap: 1 lost, 2 not recorded, 3 missing from what was restored, or a code of the application; 0 if there
    /// is none.
    pub gap_why: u32,
    /// Zero.
    pub reserved: u32,
}

impl slipring_message {
    #[inline(always)]
    pub fn new(bytes: &[u8], sequence: u64, missed: u64, gap: Option<Gap>) -> Self {
        let (gap_first, gap_end, gap_why) = match gap {
            Some(gap) => (gap.first, gap.end, gap.why.code()),
            None => (0, 0, 0),
        };
        Self {
            data: bytes.as_ptr().cast(),
            len: bytes.len(),
            sequence,
            missed,
            gap_first,
            gap_end,
            gap_why,
            reserved: 0,
        }
    }
}

pub enum Loan {
    Message(Message<'static>),
    /// A message that there was no room for: the next call begins with it.
    Again(Message<'static>),
    Batch(Batch<'static>),
}

pub struct Body {
    consumer: Lender<Consumer, Loan>,
    descriptor: Descriptor,
    /// The messages of a batch, if the ring cannot lend several at once.
    copies: Vec<u8>,
}

impl Body {
    pub fn new(consumer: Consumer) -> Self {
        Self {
            consumer: Lender::new(consumer),
            descriptor: Descriptor::default(),
            copies: Vec::new(),
        }
    }

    /// Takes a message, and first of all the one that there was no room for.
    #[inline(always)]
    fn next(&mut self, timeout_ns: i64) -> Result<&mut Loan, Failure> {
        if let Some(Loan::Again(_)) = self.consumer.guard() {
            if let Loan::Again(message) = self.consumer.take()? {
                self.consumer.keep(Loan::Message(message));
            }
            return self.consumer.guard().ok_or_else(crate::lent::nothing_lent);
        }
        self.consumer.lend(|consumer| {
            let message = match patience(timeout_ns) {
                Patience::Try => consumer.try_receive()?,
                Patience::Never => consumer.receive()?.ok_or_else(closed)?,
                Patience::Until(deadline) => {
                    consumer.receive_until(deadline)?.ok_or_else(closed)?
                }
            };
            Ok(Loan::Message(message))
        })
    }
}

/// The end, which is a value in calls that wait and an error in those that try, is one status here.
#[cold]
pub fn closed() -> Failure {
    TryReceiveError::Closed.into()
}

impl Handle for slipring_consumer {
    type Body = Body;
    const KIND: u64 = 3;
    const NAME: &'static str = "consumer";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

impl Waitable for Body {
    fn source(&mut self) -> Result<&mut dyn Source, Failure> {
        Ok(self.consumer.free()?)
    }
}

/// Receives a message in place. It stays where it is until slipring_consumer_release, and until then every other call but
/// slipring_consumer_close returns `SLIPRING_E_LENT`. At the end of the ring the status is `SLIPRING_E_TRY_RECEIVE_CLOSED`, with any
/// timeout.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_receive(
    consumer: *mut slipring_consumer,
    timeout_ns: i64,
    message: *mut slipring_message,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let to = out(message, "there is no room for the message")?;
            if let Loan::Message(lent) = body.next(timeout_ns)? {
                to.put(slipring_message::new(
                    lent,
                    lent.sequence(),
                    lent.missed(),
                    lent.gap(),
                ));
            }
            Ok(())
        })
    })
}

/// Gives back a message, or a batch: the producer may use the space, and a durable consumer has done with it.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_release(
    consumer: *mut slipring_consumer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(consumer, |body| body.consumer.take().map(drop)) })
}

/// Receives a copy of a message, which is given back at once. If `size` is too small the status is `SLIPRING_E_ROOM`, `message->len`
/// says what it takes, and the next call receives the same message. `message->data` is `buffer`.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_receive_copy(
    consumer: *mut slipring_consumer,
    timeout_ns: i64,
    buffer: *mut c_void,
    size: usize,
    message: *mut slipring_message,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let to = out(message, "there is no room for the message")?;
            let Loan::Message(lent) = body.next(timeout_ns)? else {
                return Ok(());
            };
            let mut found = slipring_message::new(lent, lent.sequence(), lent.missed(), lent.gap());
            let copied = copy(lent, buffer, size);
            let taken = body.consumer.take()?;
            if let (Err(_), Loan::Message(message)) = (&copied, taken) {
                body.consumer.keep(Loan::Again(message));
                found.data = std::ptr::null();
            } else {
                found.data = buffer.cast_const();
            }
            to.put(found);
            copied
        })
    })
}

/// Receives up to `room` messages, which are given back together by slipring_consumer_release. Waits for the first only. The
/// messages lie in the ring, or in memory of the consumer where the ring may overwrite them. `count` is how many there
/// are.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_receive_batch(
    consumer: *mut slipring_consumer,
    timeout_ns: i64,
    messages: *mut slipring_message,
    room: usize,
    count: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let to = out(count, "there is no room for the count")?;
            if room == 0 {
                return Err(argument("a batch of no messages".to_owned()));
            }
            if !writable(messages) {
                return Err(null("there is no room for the messages"));
            }
            if let Some(Loan::Again(_)) = body.consumer.guard() {
                if let Loan::Message(lent) = body.next(0)? {
                    let one =
                        slipring_message::new(lent, lent.sequence(), lent.missed(), lent.gap());
                    messages.write(one);
                    to.put(1);
                }
                return Ok(());
            }
            let in_place = body.consumer.free()?.reads_in_place();
            let lent = body.consumer.lend(|consumer| {
                let batch = match patience(timeout_ns) {
                    Patience::Try => consumer.try_receive_batch(room)?,
                    Patience::Never => consumer.receive_batch(room)?.ok_or_else(closed)?,
                    Patience::Until(deadline) => consumer
                        .receive_batch_until(room, deadline)?
                        .ok_or_else(closed)?,
                };
                Ok(Loan::Batch(batch))
            })?;
            let Loan::Batch(batch) = lent else {
                return Ok(());
            };
            let mut many = 0;
            body.copies.clear();
            while let Some(message) = batch.next() {
                let found = slipring_message::new(
                    message.bytes(),
                    message.sequence(),
                    message.missed(),
                    message.gap(),
                );
                if !in_place {
                    body.copies.extend_from_slice(message.bytes());
                }
                messages.add(many).write(found);
                many += 1;
            }
            if !in_place {
                let mut at = body.copies.as_ptr();
                for one in 0..many {
                    let message = &mut *messages.add(one);
                    message.data = at.cast();
                    at = at.add(message.len);
                }
            }
            to.put(many);
            Ok(())
        })
    })
}

/// How many sequences a reader did not get. The members are counts since it attached.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_losses {
    /// Messages that the ring went on without.
    pub missed: u64,
    /// Sequences that do not exist: the producer skipped them.
    pub skipped: u64,
}

/// Says how many sequences the consumer did not get.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_losses(
    consumer: *mut slipring_consumer,
    losses: *mut slipring_losses,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let found = body.consumer.free()?.losses();
            out(losses, "there is no room for the losses")?.put(slipring_losses {
                missed: found.evicted,
                skipped: found.skipped,
            });
            Ok(())
        })
    })
}

/// Says where a consumer stands: the sequence it receives next, how many bytes it is behind, and its row. Each may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_place(
    consumer: *mut slipring_consumer,
    next_sequence: *mut u64,
    lag_bytes: *mut u64,
    row: *mut u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let consumer = body.consumer.free()?;
            put(next_sequence, consumer.next_sequence());
            put(lag_bytes, consumer.lag_bytes());
            put(row, consumer.row());
            Ok(())
        })
    })
}

/// Says once that another producer took over: how many there have been, and its first message. `number` is 0 if there is
/// nothing to say.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_new_epoch(
    consumer: *mut slipring_consumer,
    number: *mut u64,
    first_sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let number = out(number, "there is no room for the number")?;
            let epoch = body.consumer.free()?.new_epoch();
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
pub unsafe extern "C" fn slipring_consumer_wait_for_producer(
    consumer: *mut slipring_consumer,
    timeout_ns: i64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            let consumer = body.consumer.free()?;
            Ok(consumer.wait_for_producer(deadline(timeout_ns))?)
        })
    })
}

/// Gives the consumer a descriptor, which becomes readable when there is something to receive after slipring_consumer_arm. It
/// belongs to the consumer: the caller polls it, and neither reads, writes nor closes it.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_fd(
    consumer: *mut slipring_consumer,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(consumer, |body| body.descriptor.give(fd)) })
}

/// Says whether there is something to receive. If not, the descriptor becomes readable when there is. A loop goes round like this: poll
/// until the descriptor is readable; receive with a timeout of 0 until nothing is there; arm, and receive again if that
/// says so.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_arm(
    consumer: *mut slipring_consumer,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(consumer, |body| {
            if let Some(Loan::Again(_)) = body.consumer.guard() {
                out(ready, "there is no room for the answer")?.put(true);
                return Ok(());
            }
            body.descriptor.arm(body.consumer.free()?, ready)
        })
    })
}

/// Closes a consumer, and makes the pointer NULL. What it has lent is given back; the messages of a batch too.
#[no_mangle]
pub unsafe extern "C" fn slipring_consumer_close(
    consumer: *mut *mut slipring_consumer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(consumer) })
}
