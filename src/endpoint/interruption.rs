//! Ending a wait from another thread, or from a signal handler.
//!
//! Layer 5. A request is one store and the unconditional ring of a bell of this process: both may be done in a
//! signal handler, and neither waits.

use super::set::{Inside, Sealed, Source};
use crate::attach::{Attachment, Builder};
use crate::segment::{CreateError, Memory};
use crate::sync::{ord, AtomicU32, Ordering::Relaxed};
use crate::wait::bell;
use std::sync::Arc;

/// Asks for the end of a wait. Made by [`Interruption::interrupter`].
///
/// Cheap to clone. Clones belong to the same [`Interruption`].
#[derive(Clone, Debug)]
pub struct Interrupter {
    requested: Arc<AtomicU32>,
    ring: Attachment,
}

/// A source of a [`WaitSet`](crate::WaitSet) that another thread, or a signal handler, makes ready.
///
/// # Guarantees
/// - A wait of which this is a source ends at the latest when the kernel has woken its thread, however long it would
///   have waited. A request before the wait ends it at once.
/// - It stays ready until [`take`](Self::take). Several requests before that are one.
/// - What a thread did before it called [`interrupt`](Interrupter::interrupt) is visible after `take` has
///   returned `true`.
///
/// It belongs to this process. A forked child inherits a copy, and requests made in one process do not reach the
/// other.
///
/// ```
/// use slipring::endpoint::Interruption;
/// use slipring::{Deadline, Ring, Start, WaitSet};
///
/// let ring = Ring::heap().create()?;
/// let _producer = ring.producer()?;
/// let mut consumer = ring.consumer(Start::Latest)?;
/// let mut interruption = Interruption::new()?;
/// let interrupter = interruption.interrupter();
/// std::thread::spawn(move || interrupter.interrupt());
///
/// let mut set = WaitSet::new();
/// let ready = set.wait(&mut [&mut consumer, &mut interruption], Deadline::NEVER);
/// assert_eq!(ready, Some(1));
/// assert!(interruption.take());
/// assert!(!interruption.take());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Interruption {
    interrupter: Interrupter,
}

impl Interrupter {
    /// Ends the wait of which the interruption is a source: the one under way, or else the next.
    ///
    /// May be called at any time, from any thread, and from signal handlers. It does not wait, and takes one system
    /// call.
    pub fn interrupt(&self) {
        self.requested.store(1, ord!(interrupt request: Release));
        if let Some(control) = self.ring.segment().reader().control() {
            bell::ring_now(&control.data);
        }
    }
}

impl Interruption {
    /// An interruption of this process. Takes a few pages of memory for what its waits sleep on.
    ///
    /// # Errors
    /// [`CreateError`], if there is no memory.
    pub fn new() -> Result<Self, CreateError> {
        let builder = Builder::on_heap().capacity_bytes(4096).max_readers(1);
        let ring = builder.make()?;
        let requested = Arc::default();
        Ok(Self {
            interrupter: Interrupter { requested, ring },
        })
    }

    /// What asks for the end of waits that have this as a source.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// Returns `true` if an end was asked for since the last call.
    pub fn take(&mut self) -> bool {
        let requested = &self.interrupter.requested;
        requested.swap(0, ord!(interrupt take: Acquire)) != 0
    }
}

impl Sealed for Interruption {}

impl Source for Interruption {
    fn memory(&self, _: Inside) -> &Memory {
        self.interrupter.ring.segment().reader()
    }

    fn parks(&self) -> bool {
        true
    }

    fn reports(&mut self) -> bool {
        self.interrupter.requested.load(Relaxed) != 0
    }

    fn reports_death(&mut self) -> bool {
        false
    }
}
