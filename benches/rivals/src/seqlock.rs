//! The textbook: a ring of slots under sequence locks, in C++, one each way.
//!
//! Unsafe, because it calls `seqlock.cpp`.
#![allow(
    unsafe_code,
    reason = "calls of a C++ file that is compiled with this one"
)]

use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::load::Workload;
use std::ffi::{c_char, c_int, c_void, CString};
use std::hint::spin_loop;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "seqlock",
    how: "textbook, in C++: slots of whole lines under sequence locks, a lapped reader goes on with the newest, a call for each message, busy spin",
    threads: false,
    capacity: true,
    // A single message under way cannot be lapped; a stream can.
    suits: |workload, _| matches!(workload, Workload::RoundTrip | Workload::Lossy),
    open: |place| crate::boxed(Rings::open(place)),
}];

extern "C" {
    fn seqlock_open(path: *const c_char, slots: u64, words: usize, create: c_int) -> *mut c_void;
    fn seqlock_close(ring: *mut c_void);
    fn seqlock_write(ring: *mut c_void, message: *const u64);
    fn seqlock_read(ring: *mut c_void, message: *mut u64) -> c_int;
    fn seqlock_missed(ring: *const c_void) -> u64;
}

/// One end of a ring.
struct Ring {
    ring: NonNull<c_void>,
    words: usize,
}

impl Ring {
    fn open(path: &Path, place: &Place<'_>, create: bool) -> io::Result<Self> {
        let words = place.load.size / 8;
        let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
        // A slot takes whole lines.
        let stride = ((words as u64 + 1) * 8).next_multiple_of(64);
        let slots = 1 << (place.capacity / stride).max(2).ilog2();
        // SAFETY: a C string that outlives the call, and a power of two of slots.
        let ring = unsafe { seqlock_open(name.as_ptr(), slots, words, create.into()) };
        let ring = NonNull::new(ring).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { ring, words })
    }

    #[inline(always)]
    fn write(&mut self, words: &[u64]) {
        assert_eq!(words.len(), self.words);
        // SAFETY: an open ring that `self` has to itself, and as many words as it was opened for.
        unsafe { seqlock_write(self.ring.as_ptr(), words.as_ptr()) }
    }

    #[inline(always)]
    fn read(&mut self, words: &mut [u64]) -> bool {
        assert_eq!(words.len(), self.words);
        // SAFETY: as in `write`.
        unsafe { seqlock_read(self.ring.as_ptr(), words.as_mut_ptr()) == 1 }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: an open ring, which nothing uses afterwards.
        unsafe { seqlock_close(self.ring.as_ptr()) }
    }
}

struct Rings {
    out: Ring,
    /// The ring of the other end; opened once that exists.
    inward: Option<Ring>,
    path: PathBuf,
    directory: PathBuf,
    load: slipring_cli::bench::load::Load,
    capacity: u64,
    buffer: Vec<u64>,
}

impl Rings {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let (out, path) = place.ways();
        let mut rings = Self {
            out: Ring::open(&out, place, true)?,
            inward: None,
            path,
            directory: place.directory.to_owned(),
            load: place.load,
            capacity: place.capacity,
            buffer: vec![0; place.load.size / 8],
        };
        if place.end == End::Second {
            rings.start()?;
        }
        Ok(rings)
    }

    /// Waits for a message in `buffer`.
    #[inline(always)]
    fn next(&mut self) -> io::Result<()> {
        let inward = self.inward.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        while !inward.read(&mut self.buffer) {
            spin_loop();
        }
        Ok(())
    }
}

fn words(message: &[u8]) -> io::Result<&[u64]> {
    bytemuck::try_cast_slice(message).map_err(|error| io::Error::other(error.to_string()))
}

impl Channel for Rings {
    fn start(&mut self) -> io::Result<()> {
        let place = Place {
            directory: &self.directory,
            end: End::First,
            load: self.load,
            capacity: self.capacity,
        };
        self.inward = Some(Ring::open(&self.path, &place, false)?);
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.out.write(words(message)?);
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.next()?;
        Ok(show(bytemuck::cast_slice(&self.buffer)))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        self.next()?;
        let goes_on = !last(bytemuck::cast_slice(&self.buffer));
        if goes_on {
            self.out.write(&self.buffer);
        }
        Ok(goes_on)
    }

    fn missed(&self) -> Option<u64> {
        // SAFETY: an open ring.
        let missed = |ring: &Ring| unsafe { seqlock_missed(ring.ring.as_ptr()) };
        self.inward.as_ref().map(missed)
    }
}
