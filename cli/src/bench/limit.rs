//! What plain copies through shared memory can do at best, for messages of a length that both ends know: a
//! sequence word before each payload, packed, written and read in place.
//!
//! Nothing is checked, no reader comes or goes, no call may fail. It does not flush what it has read and does not
//! stand back from what is being written; a queue that does may be faster than this.
#![allow(unsafe_code, reason = "the limit is what unchecked copies can do")]

use super::channel::{Channel, End, Place};
use super::message::Source;
use super::raw::Shared;
use std::hint::spin_loop;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::*};

pub struct Limit {
    out: Way,
    inward: Way,
    size: usize,
    /// How many messages may be sent before the receiver has to be asked how far it is.
    room: u64,
    /// After how many messages the receiver says how far it is.
    say_every: u64,
}

/// Where in a file the receiver says how far it is, and where the messages begin.
const CURSOR: usize = 0;
const MESSAGES: usize = 4096;

/// Messages one way, and where this end is in them.
struct Way {
    shared: Shared,
    /// Where the next message is.
    at: usize,
    end: usize,
    /// How many there were before it.
    done: u64,
    slots: u64,
}

impl Way {
    fn open(path: &std::path::Path, end: End, size: usize, capacity: u64) -> io::Result<Self> {
        let stride = size + 8;
        let slots = (capacity / stride as u64).max(2);
        let bytes = MESSAGES + stride * slots as usize;
        Ok(Self {
            shared: Shared::open(path, end, bytes)?,
            at: MESSAGES,
            end: bytes,
            done: 0,
            slots,
        })
    }

    /// The sequence word of the next message.
    #[inline(always)]
    fn sequence(&self) -> &AtomicU64 {
        // SAFETY: `at` is where a message begins in a mapping that was made to hold a whole number of them, on
        // eight bytes since both sizes are multiples; only atomics touch this word.
        unsafe { &*self.shared.start().add(self.at).cast::<AtomicU64>() }
    }

    /// Goes on to the next one.
    #[inline(always)]
    fn next(&mut self, size: usize) {
        self.done += 1;
        self.at += size + 8;
        if self.at == self.end {
            self.at = MESSAGES;
        }
    }
}

impl Limit {
    pub fn open(place: &Place<'_>) -> io::Result<Self> {
        let size = place.load.size;
        let (out, inward) = place.ways();
        let open = |path| Way::open(path, place.end, size, place.capacity);
        let (out, inward) = (open(&out)?, open(&inward)?);
        Ok(Self {
            size,
            room: out.slots,
            say_every: (out.slots / 8).clamp(1, 512),
            out,
            inward,
        })
    }

    /// Sends what `write` makes of the bytes in place.
    #[inline(always)]
    fn put(&mut self, write: impl FnOnce(&mut [u8])) {
        if self.out.done >= self.room {
            let cursor = self.out.shared.word(CURSOR);
            loop {
                self.room = cursor.load(Acquire) + self.out.slots;
                if self.out.done < self.room {
                    break;
                }
                spin_loop();
            }
        }
        // SAFETY: the payload lies behind its word, inside the mapping; the receiver has said that it is done
        // with what was there, and reads nothing before the word is stored.
        let payload = unsafe {
            let start = self.out.shared.start().add(self.out.at + 8);
            std::slice::from_raw_parts_mut(start, self.size)
        };
        write(payload);
        self.out.sequence().store(self.out.done + 1, Release);
        self.out.next(self.size);
    }

    /// Shows the next message where it lies.
    #[inline(always)]
    fn take<R>(&mut self, show: impl FnOnce(&mut Self, &[u8]) -> R) -> R {
        let expected = self.inward.done + 1;
        while self.inward.sequence().load(Acquire) != expected {
            spin_loop();
        }
        // SAFETY: as in `put`; the sender writes there again only behind the cursor, which is stored below.
        let payload = unsafe {
            let start = self.inward.shared.start().add(self.inward.at + 8);
            std::slice::from_raw_parts(start, self.size)
        };
        let shown = show(self, payload);
        self.inward.next(self.size);
        if self.inward.done.is_multiple_of(self.say_every) {
            let cursor = self.inward.shared.word(CURSOR);
            cursor.store(self.inward.done, Release);
        }
        shown
    }
}

impl Channel for Limit {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.put(|payload| payload.copy_from_slice(message));
        Ok(())
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        for _ in 0..count {
            self.put(|payload| source.write(payload));
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        Ok(self.take(|_, payload| show(payload)))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        Ok(self.take(|limit, payload| {
            let goes_on = !last(payload);
            if goes_on {
                limit.put(|place| place.copy_from_slice(payload));
            }
            goes_on
        }))
    }
}
