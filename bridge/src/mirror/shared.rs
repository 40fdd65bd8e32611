//! What a mirror's thread and the threads of the engine share: whoever has a frame writes it.
//!
//! A frame that the engine hands over is written by the thread that brings it, which saves the waking of another one, if nothing
//! came before it and nobody is at work. Otherwise, as everything else that comes, it waits for the mirror's thread.

use super::event::Event;
use super::work::{Work, Written};
use crate::error::BridgeError;
use crate::inbox::Sender;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is done in one go by a thread of the engine, which has others to serve.
const STEPS: usize = 2;

/// Work, and what its owner has to know of what others did.
pub(super) struct Turn {
    pub work: Work,
    /// Until when the mirror's thread sleeps.
    pub sleeps_until: Duration,
    /// What went wrong on a thread of the engine. It ends the mirror.
    pub failed: Option<BridgeError>,
    /// That the next frame finds a fault of the program.
    #[cfg(test)]
    pub panics: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared {
    turn: Arc<Mutex<Option<Turn>>>,
    /// Whether the mirror's thread waits for its turn, which is the next one then: frames may come without an end.
    wanted: Arc<AtomicBool>,
    sender: Sender<Event>,
}

impl Shared {
    /// Without work: frames wait.
    pub fn new(sender: Sender<Event>) -> Self {
        Self {
            turn: Arc::default(),
            wanted: Arc::default(),
            sender,
        }
    }

    pub fn begin(&self, work: Work) {
        let turn = Turn {
            work,
            sleeps_until: Duration::ZERO,
            failed: None,
            #[cfg(test)]
            panics: false,
        };
        *self.lock() = Some(turn);
    }

    /// From now on frames wait.
    pub fn end(&self) -> Option<Work> {
        self.lock().take().map(|turn| turn.work)
    }

    /// The turn of the mirror's thread.
    pub fn lock(&self) -> MutexGuard<'_, Option<Turn>> {
        self.wanted.store(true, Ordering::Relaxed);
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted.store(false, Ordering::Relaxed);
        turn
    }

    /// The turn of a thread of the engine, if it is one.
    fn try_lock(&self) -> Option<MutexGuard<'_, Option<Turn>>> {
        if self.wanted.load(Ordering::Relaxed) {
            return None;
        }
        self.turn.try_lock().ok()
    }

    /// Takes a frame, on a thread of the engine. Never waits for another thread.
    pub fn frame(&self, bytes: &[u8]) {
        let written = self.try_lock().and_then(|mut turn| {
            let turn = turn.as_mut().filter(|turn| self.is_free(turn))?;
            Some(turn.frame_or_panic(bytes))
        });
        match written {
            Some(true) => {}
            Some(false) => self.sender.interrupt(),
            None => self.sender.put(Event::Frame(bytes.to_vec()), bytes.len()),
        }
    }

    /// Returns `true` if a frame that comes now is the next to be taken, and written.
    fn is_free(&self, turn: &Turn) -> bool {
        let Turn { work, failed, .. } = turn;
        // Only the mirror's thread attaches a producer: it may wait for that, and may have detached this one for good.
        let may_write = work.producer.is_some() && failed.is_none();
        may_write && work.machine.next_write().is_none() && self.sender.is_empty()
    }
}

impl Turn {
    /// Takes a frame, as [`frame`](Self::frame). A panic would end the engine's thread, and nothing would be heard any more from
    /// whoever it serves: it ends the mirror instead.
    fn frame_or_panic(&mut self, bytes: &[u8]) -> bool {
        // What it left behind is not used any more, since that failed.
        catch_unwind(AssertUnwindSafe(|| self.frame(bytes))).unwrap_or_else(|panic| {
            self.failed = Some(BridgeError::panicked(&*panic));
            false
        })
    }

    /// Takes a frame, and writes it. Returns `false` if the mirror's thread has to do something before it would wake up.
    fn frame(&mut self, bytes: &[u8]) -> bool {
        #[cfg(test)]
        assert!(!self.panics, "a fault of the program");
        let work = &mut self.work;
        work.at_now();
        work.frame(bytes);
        let written = match work.write_stream(STEPS) {
            Ok(written) => written == Written::All,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        };
        written && !work.machine.has_action() && work.machine.due() >= self.sleeps_until
    }
}

#[cfg(test)]
mod tests;
