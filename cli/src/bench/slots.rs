//! A baseline: slots of a sequence word and a payload, copied word by word.
//!
//! What any two processes can do in an afternoon, asleep or not. [`limit`](super::limit) is what they could
//! do at best.
#![allow(unsafe_code, reason = "a vector of words is shown as bytes")]

use super::channel::{Channel, Place};
use super::raw::Shared;
use rustix::thread::futex;
use std::hint::spin_loop;
use std::io;
use std::sync::atomic::{fence, Ordering::*};

/// Each slot is a whole number of 64-byte lines; the receiver says how far it is once per 64 messages, the
/// sender looks when it runs into it.
pub struct Slots {
    out: Shared,
    inward: Shared,
    stride: usize,
    /// How many there are, less one; they are a power of two.
    mask: u64,
    sent: u64,
    received: u64,
    room: u64,
    /// After how many messages the receiver says how far it is: 64, or half of few slots.
    say_every: u64,
    /// Whether the receiver sleeps until there is something to do.
    sleeps: bool,
    buffer: Vec<u64>,
}

/// Where in a file the receiver says how far it is, where it says that it is about to sleep, and where the slots
/// begin.
const CURSOR: usize = 0;
const ARMED: usize = 256;
const SLOTS: usize = 4096;

impl Slots {
    pub fn open(place: &Place<'_>, sleeps: bool) -> io::Result<Self> {
        let size = place.load.size;
        let stride = (8 + size).next_multiple_of(64);
        let fit = (place.capacity / stride as u64).max(2);
        let slots = 1 << fit.ilog2();
        let (out, inward) = place.ways();
        let open = |path| Shared::open(path, place.end, SLOTS + stride * slots as usize);
        Ok(Self {
            out: open(&out)?,
            inward: open(&inward)?,
            stride,
            mask: slots - 1,
            sent: 0,
            received: 0,
            room: slots,
            say_every: (slots / 2).clamp(1, 64),
            sleeps,
            buffer: vec![0; size / 8],
        })
    }

    #[inline(always)]
    fn send_words(&mut self, words: impl Iterator<Item = u64>) {
        if self.sent >= self.room {
            let cursor = self.out.word(CURSOR);
            loop {
                self.room = cursor.load(Acquire) + self.mask + 1;
                if self.sent < self.room {
                    break;
                }
                spin_loop();
            }
        }
        let at = self.slot(self.sent);
        for (n, word) in words.enumerate() {
            self.out.word(at + 8 + 8 * n).store(word, Relaxed);
        }
        self.sent += 1;
        self.out.word(at).store(self.sent, Release);
        if self.sleeps {
            self.wake(at);
        }
    }

    #[inline(never)]
    fn wake(&self, at: usize) {
        let armed = self.out.word(ARMED);
        fence(SeqCst);
        if armed.load(Relaxed) != 0 {
            armed.store(0, Relaxed);
            // An error has no one to be told to, and a bounded sleep ends by itself.
            let _ = futex::wake(self.out.half(at), futex::Flags::empty(), 1);
        }
    }

    #[inline(never)]
    fn sleep(&self, at: usize) {
        let (word, next) = (self.inward.word(at), self.received + 1);
        let armed = self.inward.word(ARMED);
        while word.load(Acquire) != next {
            armed.store(1, Relaxed);
            fence(SeqCst);
            let seen = word.load(Acquire);
            if seen != next {
                let wait = futex::Timespec {
                    tv_sec: 0,
                    tv_nsec: 100_000_000,
                };
                let flags = futex::Flags::empty();
                // The word says whether the sleep is over, whether it ended by a wake or not.
                let _ = futex::wait(self.inward.half(at), flags, seen as u32, Some(&wait));
            }
        }
    }

    #[inline(always)]
    fn slot(&self, n: u64) -> usize {
        SLOTS + (n & self.mask) as usize * self.stride
    }
}

impl Channel for Slots {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.send_words(message.chunks_exact(8).map(|word| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            u64::from_le_bytes(bytes)
        }));
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let at = self.slot(self.received);
        if self.sleeps {
            self.sleep(at);
        }
        while self.inward.word(at).load(Acquire) != self.received + 1 {
            spin_loop();
        }
        for (n, word) in self.buffer.iter_mut().enumerate() {
            *word = self.inward.word(at + 8 + 8 * n).load(Relaxed);
        }
        // SAFETY: a vector of words is as many bytes, of any alignment that bytes need.
        let view = unsafe {
            std::slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), self.buffer.len() * 8)
        };
        let result = show(view);
        self.received += 1;
        if self.received.is_multiple_of(self.say_every) {
            self.inward.word(CURSOR).store(self.received, Release);
        }
        Ok(result)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        if self.receive(last)? {
            return Ok(false);
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.send_words(buffer.iter().copied());
        self.buffer = buffer;
        Ok(true)
    }
}
