//! Permits that are held, and what they share with the handle they came from.
//!
//! Layer 7.

use crate::attach::{shown, Attachment, Lease};
use crate::ring::permits::Permits;
use crate::wait::Waker;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// What permits share with the handle they came from.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) permits: Permits,
    pub(super) waker: Mutex<Waker>,
    pub(super) attachment: Attachment,
    /// The row that says that the handle is alive; left last.
    pub(super) lease: Lease,
}

impl Shared {
    pub(super) fn ring_waiters(&self) {
        if let Some(control) = self.attachment.segment().reader().control() {
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            waker.ring(&control.data);
        }
    }
}

/// One or more permits. They are given back when this is dropped or the process dies.
#[must_use = "permits that are dropped go back at once"]
pub struct Permit {
    pub(super) shared: Arc<Shared>,
    pub(super) first: Option<u32>,
    /// Usually empty, so that one permit needs no allocation.
    pub(super) others: Vec<u32>,
    pub(super) one_thread: PhantomData<Cell<()>>,
}

shown!([] Permit, "Permit", |permit| path = permit.shared.attachment.path(), count = permit.count());

impl Permit {
    /// Returns how many permits this holds.
    pub fn count(&self) -> u32 {
        self.first.map_or(0, |_| 1) + self.others.len() as u32
    }

    /// Takes them out of use: they never come back, unless a process [adds](super::Semaphore::add) them.
    pub fn forget(mut self) {
        if self.shared.attachment.canary().forked() {
            return;
        }
        let others = std::mem::take(&mut self.others);
        for number in self.first.take().into_iter().chain(others) {
            self.shared.permits.retire(number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.first.is_none() || self.shared.attachment.canary().forked() {
            return;
        }
        for number in self.first.iter().chain(&self.others) {
            self.shared.permits.give(*number);
        }
        self.shared.ring_waiters();
    }
}
