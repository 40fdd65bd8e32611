//! The reading side of a newest value.
//!
//! Layer 7.

use super::writer::look_into;
use super::{Latest, LatestError, ReaderOptions};
use crate::attach::{shown, Attachment, Lease};
use crate::endpoint::{AttachError, Inside, Sealed, Source};
use crate::layout::lines::{Bell, RowState};
use crate::ring::cell::Cells;
use crate::segment::{Canary, Memory};
use crate::typed::Value;
use crate::wait::{until, Deadline, Outcome, Since, Waited};
use std::cell::Cell;
use std::marker::PhantomData;

/// How often a copy is tried before the writer counts as too fast.
const ATTEMPTS: u32 = 1000;

/// Reads the newest values, and waits for changes.
///
/// # Guarantees
/// Each value is complete, was set by a writer, and is not older than any value read before from the same
/// cell.
///
/// # What others may change meanwhile
/// The writer sets values at any time.
pub struct LatestReader<T: ?Sized> {
    cells: Cells,
    /// The buffer that values are copied to.
    private: Box<[u64]>,
    /// The size of a value.
    bytes: usize,
    /// The count of changes that this reader has reported.
    seen: u64,
    canary: Canary,
    attachment: Attachment,
    options: ReaderOptions,
    slept: bool,
    /// When a wait that ended in vain last asked whether the object is still there.
    asked: Since,
    /// A wait set reported that it is not.
    troubled: bool,
    /// The row it sleeps under, if it may; freed last.
    lease: Option<Lease>,
    value: PhantomData<fn() -> T>,
    one_thread: PhantomData<Cell<()>>,
}

shown!([T: ?Sized] LatestReader<T>, "LatestReader", |reader| path = reader.attachment.path());

impl<T: Value + ?Sized> LatestReader<T> {
    pub(super) fn attach(latest: &Latest<T>, options: ReaderOptions) -> Result<Self, AttachError> {
        let attachment = &latest.attachment;
        attachment.undisturbed()?;
        // Without a row, or permission for one, the reader polls with short sleeps instead.
        let mut lease = Lease::take_to_sleep(attachment, options.strategy)?;
        if let Some(lease) = &mut lease {
            lease.begin(RowState::Observer, true);
        }
        let bytes = latest.value_bytes();
        Ok(Self {
            cells: latest.cells.clone(),
            private: vec![0; bytes.div_ceil(8)].into_boxed_slice(),
            bytes,
            seen: latest.cells.changes(),
            canary: attachment.canary(),
            attachment: attachment.clone(),
            options,
            slept: false,
            asked: Since::default(),
            troubled: false,
            lease,
            value: PhantomData,
            one_thread: PhantomData,
        })
    }

    /// Returns the first value and its version, which is how many times it was set; `None` if it never was.
    /// Asks the kernel nothing, so it reads a table that was removed as before: [`wait`](Self::wait) and
    /// [`Latest::is_removed`](crate::Latest::is_removed) tell.
    ///
    /// # Errors
    /// [`LatestError`], but neither `NoCell` nor `TimedOut`.
    #[inline]
    pub fn get(&mut self) -> Result<Option<(T::Owned, u64)>, LatestError> {
        self.get_at(0)
    }

    /// Returns the value of a cell and its version; `None` if it was never set.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`LatestError::NoCell`].
    #[inline]
    pub fn get_at(&mut self, cell: u32) -> Result<Option<(T::Owned, u64)>, LatestError> {
        self.look(cell)?;
        for _ in 0..ATTEMPTS {
            if let Some(version) = self.cells.try_get(cell, &mut self.private) {
                // The guard may have put zeroes in place of the value that was being copied.
                self.look(cell)?;
                let value = T::read(&self.private, self.bytes);
                return Ok((version != 0).then_some((value, version)));
            }
            crate::sync::spin_hint();
        }
        Err(LatestError::Overtaken)
    }

    /// Returns the version of a cell, without its value: how many times it was set.
    ///
    /// # Errors
    /// As [`get_at`](Self::get_at).
    #[inline]
    pub fn version_at(&self, cell: u32) -> Result<u64, LatestError> {
        self.look(cell)?;
        Ok(self.cells.version(cell))
    }

    /// Waits until any value was set since the last call of this, or since the reader was made. Values set
    /// before the reader was made do not count: read them with [`get`](Self::get). A writer that comes or
    /// goes is no change either.
    ///
    /// # Errors
    /// [`LatestError::Forked`], [`LatestError::Poisoned`], [`LatestError::Removed`].
    pub fn wait(&mut self) -> Result<(), LatestError> {
        self.wait_until(Deadline::NEVER)
    }

    /// Like [`wait`](Self::wait), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`LatestError::TimedOut`].
    pub fn wait_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), LatestError> {
        self.wait_for(None, deadline.into())
    }

    /// Waits until a cell has another version than `version`.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`LatestError::NoCell`].
    pub fn wait_at(&mut self, cell: u32, version: u64) -> Result<(), LatestError> {
        self.wait_at_until(cell, version, Deadline::NEVER)
    }

    /// Like [`wait_at`](Self::wait_at), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until), and [`LatestError::NoCell`].
    pub fn wait_at_until(
        &mut self,
        cell: u32,
        version: u64,
        deadline: impl Into<Deadline>,
    ) -> Result<(), LatestError> {
        self.look(cell)?;
        self.wait_for(Some((cell, version)), deadline.into())
    }

    #[inline(always)]
    fn look(&self, cell: u32) -> Result<(), LatestError> {
        if self.canary.disturbed() {
            look_into(self.canary, &self.attachment)?;
        }
        let cells = self.cells.count();
        if cell < cells {
            Ok(())
        } else {
            Err(LatestError::NoCell { cell, cells })
        }
    }

    fn wait_for(
        &mut self,
        cell: Option<(u32, u64)>,
        deadline: Deadline,
    ) -> Result<(), LatestError> {
        if self.canary.disturbed() {
            look_into(self.canary, &self.attachment)?;
        }
        if self.troubled {
            return Err(self.attachment.trouble_found().into());
        }
        let memory = self.cells.memory().clone();
        let control = memory.control().filter(|_| self.lease.is_some());
        let bell: Option<&Bell> = control.map(|control| &control.data);
        let (strategy, mut slept) = (self.options.strategy, self.slept);
        let mut change = Change {
            cells: &self.cells,
            attachment: &self.attachment,
            cell,
            seen: self.seen,
        };
        let outcome = until(&mut change, strategy, bell, deadline, &mut slept);
        // The count that was seen, not the present one: later changes are for the next call.
        self.seen = change.seen;
        self.slept = slept;
        match outcome {
            // Many short waits learn of it as one long wait does.
            Outcome::TimedOut if self.asked.due() => match self.attachment.trouble() {
                Some(trouble) => Err(trouble.into()),
                None => Err(LatestError::TimedOut),
            },
            Outcome::TimedOut => Err(LatestError::TimedOut),
            Outcome::Gone => Err(self.attachment.trouble_found().into()),
            Outcome::Ready | Outcome::Over => Ok(()),
        }
    }
}

/// Waiting for a change, of one cell or of any.
struct Change<'r> {
    cells: &'r Cells,
    attachment: &'r Attachment,
    cell: Option<(u32, u64)>,
    seen: u64,
}

impl Waited for Change<'_> {
    fn ready(&mut self) -> bool {
        match self.cell {
            Some((cell, version)) => self.cells.version(cell) != version,
            None => {
                let now = self.cells.changes();
                std::mem::replace(&mut self.seen, now) != now
            }
        }
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.attachment.trouble().is_some()
    }
}

impl<T: ?Sized> Sealed for LatestReader<T> {}

impl<T: ?Sized> Source for LatestReader<T> {
    fn memory(&self, _: Inside) -> &Memory {
        self.cells.memory()
    }

    fn parks(&self) -> bool {
        self.options.strategy.parks() && self.lease.is_some()
    }

    fn reports(&mut self) -> bool {
        let now = self.cells.changes();
        std::mem::replace(&mut self.seen, now) != now
    }

    fn reports_death(&mut self) -> bool {
        self.troubled = self.attachment.trouble().is_some();
        self.troubled
    }
}
