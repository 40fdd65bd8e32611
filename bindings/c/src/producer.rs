//! Producers: publishing by copy, in place, and in batches.

use crate::call::call;
use crate::descriptor::Descriptor;
use crate::given::{argument, bytes, deadline, out, patience, put, Patience};
use crate::handle::{close, take, with, DescriptorOf, Handle};
use crate::lent::{lent, Lender};
use crate::status::slipring_status;
use slipring::endpoint::{Claim, PublishBatch, TryPublishError, Why};
use slipring::Producer;
use std::ffi::c_void;
use std::task::Poll;

/// The producer of a ring. For one thread at a time.
pub struct slipring_producer {
    _opaque: [u8; 0],
}

pub enum Loan {
    Claim(Claim<'static>),
    Batch(PublishBatch<'static>),
}

pub struct Body {
    pub(crate) producer: Lender<Producer, Loan>,
    descriptor: Descriptor,
}

impl Body {
    pub fn new(producer: Producer) -> Self {
        Self {
            producer: Lender::new(producer),
            descriptor: Descriptor::default(),
        }
    }
}

impl Handle for slipring_producer {
    type Body = Body;
    const KIND: u64 = 2;
    const NAME: &'static str = "producer";
    const DESCRIPTOR: DescriptorOf<Self> = Some(|body| &mut body.descriptor);
}

/// Publishes a copy of `len` bytes. Waits while the slowest consumer is a whole ring behind. `sequence` is that of the
/// message, and may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_publish(
    producer: *mut slipring_producer,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let data = bytes(data, len)?;
        with(producer, |body| {
            let producer = body.producer.free()?;
            let published = match patience(timeout_ns) {
                Patience::Never => producer.publish(data)?,
                Patience::Try => producer.try_publish(data)?,
                Patience::Until(deadline) => producer.publish_until(data, deadline)?,
            };
            put(sequence, published);
            Ok(())
        })
    })
}

/// Lends the space of a message of `len` bytes, to be written by the caller and then given back by
/// slipring_producer_commit or slipring_producer_abort. Until then every other call but slipring_producer_close returns
/// `SLIPRING_E_LENT`. What the space holds before it is written is not specified.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_claim(
    producer: *mut slipring_producer,
    len: usize,
    timeout_ns: i64,
    data: *mut *mut c_void,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            let data = out(data, "there is no room for the address")?;
            let lent = body.producer.lend(|producer| {
                Ok(Loan::Claim(match patience(timeout_ns) {
                    Patience::Never => producer.claim(len)?,
                    Patience::Try => producer.try_claim(len)?,
                    Patience::Until(deadline) => producer.claim_until(len, deadline)?,
                }))
            })?;
            if let Loan::Claim(claim) = lent {
                data.put(claim.as_mut_ptr().cast());
            }
            Ok(())
        })
    })
}

/// Publishes the first `len` bytes of what was claimed. In a ring with a schema all of it is published. More than was claimed
/// is refused, and the claim stays.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_commit(
    producer: *mut slipring_producer,
    len: usize,
    sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| match body.producer.take()? {
            Loan::Claim(claim) if len > claim.len() => {
                let has = claim.len();
                body.producer.keep(Loan::Claim(claim));
                Err(argument(format!("{has} bytes were claimed, not {len}")))
            }
            Loan::Claim(claim) => {
                put(sequence, claim.commit_first(len));
                Ok(())
            }
            batch @ Loan::Batch(_) => {
                body.producer.keep(batch);
                Err(lent())
            }
        })
    })
}

/// Gives back what was claimed, or a batch: it leaves no trace.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_abort(
    producer: *mut slipring_producer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(producer, |body| body.producer.take().map(drop)) })
}

/// Says that the sequences from the next one up to `to` do not exist: `why` is 1 if they were lost, 2 not recorded, 3
/// missing from what was restored, and any other number is a code of the application. `skipped` is how many these are, and may
/// be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_skip_to(
    producer: *mut slipring_producer,
    to: u64,
    why: u32,
    timeout_ns: i64,
    skipped: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            let why = match why {
                1 => Why::Lost,
                2 => Why::NotRecorded,
                3 => Why::Restored,
                code => Why::Other(code),
            };
            let producer = body.producer.free()?;
            let many = match patience(timeout_ns) {
                Patience::Never => producer.skip_to(to, why)?,
                Patience::Try => producer.try_skip_to(to, why)?,
                Patience::Until(deadline) => producer.skip_to_until(to, why, deadline)?,
            };
            put(skipped, many);
            Ok(())
        })
    })
}

/// Waits until the ring has so many readers, and says how many there are. `found` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_wait_for_readers(
    producer: *mut slipring_producer,
    readers: u32,
    timeout_ns: i64,
    found: *mut u32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            let producer = body.producer.free()?;
            put(
                found,
                producer.wait_for_readers(readers, deadline(timeout_ns))?,
            );
            Ok(())
        })
    })
}

/// Says which sequence the next message has.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_next_sequence(
    producer: *mut slipring_producer,
    sequence: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            let next = body.producer.free()?.next_sequence();
            out(sequence, "there is no room for the sequence")?.put(next);
            Ok(())
        })
    })
}

/// Gives the producer a descriptor, which becomes readable when there may be room again after slipring_producer_arm.
/// It belongs to the producer: the caller polls it, and neither reads, writes nor closes it.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_fd(
    producer: *mut slipring_producer,
    fd: *mut i32,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { with(producer, |body| body.descriptor.give(fd)) })
}

/// Says whether there is room for a message of `len` bytes. Where there is none, the descriptor becomes readable when it is
/// worth trying again.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_arm(
    producer: *mut slipring_producer,
    len: usize,
    ready: *mut bool,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            let ready = out(ready, "there is no room for the answer")?;
            let Body {
                producer,
                descriptor,
            } = body;
            let producer = producer.free()?;
            let found =
                descriptor
                    .set()?
                    .attempt(producer, |producer| match producer.try_claim(len) {
                        Ok(_) => Poll::Ready(Ok(())),
                        Err(TryPublishError::Full { .. }) => Poll::Pending,
                        Err(error) => Poll::Ready(Err(error)),
                    });
            ready.put(found.transpose()?.is_some());
            Ok(())
        })
    })
}

/// Closes the ring: readers get everything that was published, and then the end. What was claimed and not committed
/// leaves no trace. The pointer becomes NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_close(
    producer: *mut *mut slipring_producer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe { close(producer) })
}

/// Leaves the ring without closing it: readers wait for the next producer. The pointer becomes NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_detach(
    producer: *mut *mut slipring_producer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        if let Some(body) = take(producer)? {
            body.producer.into_inner().detach();
        }
        Ok(())
    })
}
