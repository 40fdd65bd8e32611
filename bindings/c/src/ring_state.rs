//! What can be seen of a ring from outside.

use crate::call::call;
use crate::given::{copy_list, out, sized, Sized0};
use crate::handle::shared;
use crate::ring::slipring_ring;
use crate::status::slipring_status;
use std::ffi::c_char;

/// The state of a ring at some moment. `has` of unknown numbers is 0.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct slipring_ring_state {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// The room for messages in bytes.
    pub capacity_bytes: u64,
    /// The sequence of the next message; meaningful if `has_sequences` is 1.
    pub next_sequence: u64,
    /// The oldest message still in the ring; meaningful if `has_sequences` is 1.
    pub oldest_sequence: u64,
    /// How many producers there have been.
    pub epoch: u64,
    /// The first message of the latest producer.
    pub epoch_first_sequence: u64,
    /// How often the producer went on without a consumer.
    pub evictions: u64,
    /// How many messages all readers missed; meaningful if `has_losses` is 1.
    pub messages_lost: u64,
    /// The process of the last producer; 0 if there was none.
    pub producer_pid: u32,
    /// The size of the largest message.
    pub max_message_bytes: u32,
    /// How many readers there can be at once.
    pub max_readers: u32,
    /// How many readers there are.
    pub readers: u32,
    /// 1 if the two sequences are known: the producer did not overtake every attempt to read them.
    pub has_sequences: u8,
    /// 1 if the losses are known: this user may consume.
    pub has_losses: u8,
    /// 1 if it is known whether the producer is alive.
    pub has_producer_alive: u8,
    /// 1 if a producer is attached.
    pub producer_alive: u8,
    /// 1 if the last producer closed the ring.
    pub closed: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl Sized0 for slipring_ring_state {
    const NAME: &'static str = "slipring_ring_state";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
}

/// Writes the state of a ring, without changing it. Of a ring that was removed the status is `SLIPRING_E_ATTACH_REMOVED`.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_status(
    ring: *const slipring_ring,
    status: *mut slipring_ring_state,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let struct_size = sized(status.cast_const())?.struct_size;
        let ring = shared(ring)?;
        let found = ring.status()?;
        let known = found.next_sequence.zip(found.oldest_sequence);
        out(status, "")?.put(slipring_ring_state {
            struct_size,
            capacity_bytes: ring.capacity_bytes(),
            next_sequence: known.map_or(0, |(next, _)| next),
            oldest_sequence: known.map_or(0, |(_, oldest)| oldest),
            epoch: found.epoch.number,
            epoch_first_sequence: found.epoch.first_sequence,
            evictions: found.evictions,
            messages_lost: found.messages_lost.unwrap_or(0),
            producer_pid: found.producer_pid,
            max_message_bytes: ring.max_message_bytes(),
            max_readers: ring.max_readers(),
            readers: found.readers.len() as u32,
            has_sequences: known.is_some().into(),
            has_losses: found.messages_lost.is_some().into(),
            has_producer_alive: found.producer_alive.is_some().into(),
            producer_alive: (found.producer_alive == Some(true)).into(),
            closed: found.closed.into(),
            reserved: [0; 3],
        });
        Ok(())
    })
}

/// One reader of a ring.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_reader_state {
    /// The message it will read next; meaningful if `has_next_sequence` is 1.
    pub next_sequence: u64,
    /// How many messages it missed since it took the row.
    pub messages_lost: u64,
    /// Its row.
    pub row: u32,
    /// Its process.
    pub pid: u32,
    /// 1 if `next_sequence` is known.
    pub has_next_sequence: u8,
    /// 1 if it holds the producer back.
    pub gating: u8,
    /// 1 if it was evicted and has not noticed yet.
    pub evicted: u8,
    /// 1 if it is alive.
    pub alive: u8,
    /// The name of its durable cursor, with a zero byte; empty for none, and cut at 67 bytes.
    pub cursor: [c_char; 68],
}

/// Copies the state of as many readers as there is room for, and says how many there are.
#[no_mangle]
pub unsafe extern "C" fn slipring_ring_readers(
    ring: *const slipring_ring,
    readers: *mut slipring_reader_state,
    room: usize,
    count: *mut usize,
) -> slipring_status {
    // SAFETY: as the header asks of the caller.
    call(|| unsafe {
        let found = shared(ring)?.status()?.readers;
        let of = |reader: slipring::endpoint::ReaderStatus| {
            let mut cursor = [0; 68];
            let name = reader.cursor.unwrap_or_default();
            for (to, from) in cursor.iter_mut().take(67).zip(name.bytes()) {
                *to = from as c_char;
            }
            slipring_reader_state {
                next_sequence: reader.next_sequence.unwrap_or(0),
                messages_lost: reader.messages_lost,
                row: reader.row,
                pid: reader.pid,
                has_next_sequence: reader.next_sequence.is_some().into(),
                gating: reader.gating.into(),
                evicted: reader.evicted.into(),
                alive: reader.alive.into(),
                cursor,
            }
        };
        let entries: Vec<_> = found.into_iter().map(of).collect();
        copy_list(&entries, readers, room, count)
    })
}
