//! Several messages at once: batches of a producer.

use crate::call::call;
use crate::failure::Failure;
use crate::given::{argument, bytes, patience, put, Patience};
use crate::handle::with;
use crate::lent::{lent, nothing_lent};
use crate::producer::{slipring_producer, Body, Loan};
use crate::status::slipring_status;
use slipring::endpoint::{PublishBatch, TryPublishError};
use std::ffi::c_void;

impl Body {
    fn batch(&mut self) -> Result<&mut PublishBatch<'static>, Failure> {
        match self.producer.guard() {
            Some(Loan::Batch(batch)) => Ok(batch),
            Some(Loan::Claim(_)) => Err(lent()),
            None => Err(nothing_lent()),
        }
    }
}

/// Begins a batch: messages that become visible together. Until slipring_producer_batch_commit or
/// slipring_producer_abort only slipring_producer_batch_push may be called.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_batch(
    producer: *mut slipring_producer,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            let begun = body.producer.lend(|it| Ok(Loan::Batch(it.batch())));
            begun.map(drop)
        })
    })
}

/// Adds a copy of a message to the batch. A batch takes half of the ring: `SLIPRING_E_PUBLISH_BATCH_FULL` says to commit it
/// and go on.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_batch_push(
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
            let batch = body.batch()?;
            put(sequence, push(batch, data, patience(timeout_ns))?);
            Ok(())
        })
    })
}

fn push(batch: &mut PublishBatch<'_>, data: &[u8], patience: Patience) -> Result<u64, Failure> {
    Ok(match patience {
        Patience::Never => batch.push(data)?,
        Patience::Try => batch.try_push(data)?,
        Patience::Until(deadline) => batch.push_until(data, deadline)?,
    })
}

/// Publishes the batch, and says how many messages it had. `count` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_batch_commit(
    producer: *mut slipring_producer,
    count: *mut u64,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        with(producer, |body| {
            body.batch()?;
            if let Loan::Batch(batch) = body.producer.take()? {
                put(count, batch.commit());
            }
            Ok(())
        })
    })
}

/// Publishes `count` messages of `len` bytes each, which lie one behind the other, in as many batches as it takes. Says how many
/// were published, which may be fewer if the deadline passes or another error comes; `published` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn slipring_producer_publish_array(
    producer: *mut slipring_producer,
    data: *const c_void,
    len: usize,
    count: usize,
    timeout_ns: i64,
    published: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        put(published, 0);
        let Some(all) = len.checked_mul(count) else {
            return Err(argument(format!(
                "{count} messages of {len} bytes are too many"
            )));
        };
        let data = bytes(data, all)?;
        with(producer, |body| {
            let producer = body.producer.free()?;
            let (patience, mut done) = (patience(timeout_ns), 0);
            while done < count {
                let mut batch = producer.batch();
                let mut pushed = 0;
                let ended = loop {
                    if done + pushed == count {
                        break Ok(());
                    }
                    let at = (done + pushed) * len;
                    match batch.try_push(&data[at..at + len]) {
                        Ok(_) => pushed += 1,
                        Err(TryPublishError::BatchFull) if pushed > 0 => break Ok(()),
                        // What there was room for goes first: the consumer in the way may be waiting for it.
                        Err(TryPublishError::Full { .. }) if pushed > 0 => break Ok(()),
                        Err(TryPublishError::Full { .. }) => {
                            match push(&mut batch, &data[at..at + len], patience) {
                                Ok(_) => pushed += 1,
                                Err(failure) => break Err(failure),
                            }
                        }
                        Err(error) => break Err(error.into()),
                    }
                };
                if pushed > 0 {
                    batch.commit();
                }
                done += pushed;
                put(published, done);
                ended?;
            }
            Ok(())
        })
    })
}
