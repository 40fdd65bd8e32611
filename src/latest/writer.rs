//! The writing side of a newest value.
//!
//! Layer 7.

use super::{Latest, LatestError};
use crate::attach::{shown, Attachment};
use crate::endpoint::AttachError;
use crate::layout::lines::ProducerState;
use crate::ring::cell::Cells;
use crate::segment::{Canary, Held, Trouble};
use crate::sync::Ordering::Relaxed;
use crate::typed::Value;
use crate::wait::{bell, Waker};
use std::cell::Cell;
use std::marker::PhantomData;

/// After this many versions of a cell, the writer asks whether its table was removed.
const ASK_EVERY_VERSIONS: u64 = 256;

/// The one writer of a table, across all processes.
///
/// # Guarantees
/// Setting a value takes a fixed number of steps, independent of readers, and makes no system call unless a
/// reader sleeps.
///
/// # What others may change meanwhile
/// Readers map the values read-only. The table may be removed: once in 256 versions of a cell the writer
/// asks, and fails with [`LatestError::Removed`] from then on.
pub struct LatestWriter<T: ?Sized> {
    cells: Cells,
    /// The size of a value.
    bytes: usize,
    waker: Waker,
    canary: Canary,
    attachment: Attachment,
    /// Whether the table was removed, as far as this writer has asked.
    removed: bool,
    _held: Held,
    value: PhantomData<fn(T)>,
    one_thread: PhantomData<Cell<()>>,
}

shown!([T: ?Sized] LatestWriter<T>, "LatestWriter", |writer| path = writer.attachment.path());

impl<T: Value + ?Sized> LatestWriter<T> {
    pub(super) fn attach(latest: &Latest<T>) -> Result<Self, AttachError> {
        let attachment = &latest.attachment;
        attachment.undisturbed()?;
        let held = attachment.acquire_producer()?;
        let memory = attachment.segment().writer()?;
        let state = &memory.producer().state;
        let died = state.state.load(Relaxed) == ProducerState::Attached as u32;
        state.pid.store(std::process::id(), Relaxed);
        state
            .epoch
            .store(state.epoch.load(Relaxed).wrapping_add(1), Relaxed);
        let attached = ProducerState::Attached as u32;
        state.state.store(attached, Relaxed);
        let cells = Latest::<T>::cells_in(attachment, &memory)?;
        // The last writer may have died between setting a value and announcing it.
        let unannounced = died && cells.recount();
        if let Some(control) = memory.control() {
            bell::quiet(&control.data, || attachment.anyone_may_park());
            if unannounced {
                bell::ring_now(&control.data);
            }
        }
        Ok(Self {
            cells,
            bytes: latest.value_bytes(),
            waker: Waker::default(),
            canary: attachment.canary(),
            attachment: attachment.clone(),
            removed: false,
            _held: held,
            value: PhantomData,
            one_thread: PhantomData,
        })
    }

    /// Sets the first value. Returns its version, which is how many times it was set.
    ///
    /// # Errors
    /// [`LatestError::Forked`], [`LatestError::Poisoned`].
    #[inline]
    pub fn set(&mut self, value: &T) -> Result<u64, LatestError> {
        self.set_at(0, value)
    }

    /// Sets the value of a cell. Returns its version.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`LatestError::NoCell`].
    #[inline]
    pub fn set_at(&mut self, cell: u32, value: &T) -> Result<u64, LatestError> {
        if self.canary.disturbed() || self.removed {
            self.look_into_it()?;
        }
        let fits = value.fits(self.bytes);
        let value = value.bytes();
        if !fits {
            // No larger than that: an error that is small keeps reading fast.
            let small = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
            let (len, expected) = (small(value.len()), small(self.bytes));
            return Err(LatestError::WrongSize { len, expected });
        }
        let Some(version) = self.cells.set(cell, value) else {
            let cells = self.cells.count();
            return Err(LatestError::NoCell { cell, cells });
        };
        if let Some(control) = self.cells.memory().control() {
            self.waker.ring(&control.data);
        }
        if version.is_multiple_of(ASK_EVERY_VERSIONS) {
            self.look_at_files();
        }
        Ok(version)
    }

    #[cold]
    fn look_into_it(&self) -> Result<(), LatestError> {
        look_into(self.canary, &self.attachment)?;
        if self.removed {
            return Err(LatestError::Removed);
        }
        Ok(())
    }

    #[cold]
    fn look_at_files(&mut self) {
        self.removed = self.attachment.is_removed();
    }
}

/// What happened to a process whose canary has changed.
pub(super) fn look_into(canary: Canary, attachment: &Attachment) -> Result<(), LatestError> {
    if canary.forked() {
        Err(LatestError::Forked)
    } else if attachment.trouble() == Some(Trouble::Poisoned) {
        Err(LatestError::Poisoned)
    } else {
        Ok(())
    }
}

impl<T: ?Sized> Drop for LatestWriter<T> {
    fn drop(&mut self) {
        if !self.canary.forked() {
            let state = &self.cells.memory().producer().state;
            state.state.store(ProducerState::Absent as u32, Relaxed);
        }
    }
}
