//! The target of a signal.
//!
//! Layer 7.

use super::{checked, undisturbed, SignalError};
use crate::attach::member::find;
use crate::attach::{shown, Attachment};
use crate::ring::pending::send;
use crate::segment::{CursorName, Role};
use crate::wait::Waker;
use core::time::Duration;
use std::cell::Cell;
use std::marker::PhantomData;
use std::time::Instant;

/// How long a listener is believed to be alive after it was seen to be.
const BELIEVED: Duration = Duration::from_millis(10);

/// The sending side of one listener. Made by [`Signals::target`](crate::Signals::target).
///
/// # Guarantees
/// A signal goes to the listener that was there when the target was made, and to no other. Once that
/// listener is gone, sending is an error. Signals sent in the 10 milliseconds before that is noticed are
/// lost with the listener.
pub struct Target {
    attachment: Attachment,
    name: CursorName,
    row: u32,
    generation: u64,
    waker: Waker,
    alive_at: Instant,
    one_thread: PhantomData<Cell<()>>,
}

shown!([] Target, "Target", |target| path = target.attachment.path(), name = target.name());

impl Target {
    pub(super) fn find(attachment: &Attachment, name: &str) -> Result<Self, SignalError> {
        undisturbed(attachment)?;
        if let Some(trouble) = attachment.trouble() {
            return Err(trouble.into());
        }
        let name = CursorName::new(name)?;
        let (row, generation) = find(attachment, name).ok_or_else(|| SignalError::NoListener {
            name: name.to_string(),
        })?;
        Ok(Self {
            attachment: attachment.clone(),
            name,
            row,
            generation,
            waker: Waker::default(),
            alive_at: Instant::now(),
            one_thread: PhantomData,
        })
    }

    /// Sends a signal, from 0 to 63.
    ///
    /// # Errors
    /// [`SignalError::NoListener`] once the listener is gone; [`SignalError::Number`].
    pub fn send(&mut self, signal: u32) -> Result<(), SignalError> {
        undisturbed(&self.attachment)?;
        checked(signal)?;
        let now = Instant::now();
        if now - self.alive_at >= BELIEVED {
            if let Some(trouble) = self.attachment.trouble() {
                return Err(trouble.into());
            }
            if self.attachment.is_held(Role::Row(self.row)) == Some(false) {
                return Err(self.gone());
            }
            self.alive_at = now;
        }
        let memory = self.attachment.segment().reader();
        if !send(memory, self.row, self.generation, signal) {
            return Err(self.gone());
        }
        if let Some(control) = memory.control() {
            self.waker.ring(&control.data);
        }
        Ok(())
    }

    /// Returns the name of the listener.
    pub fn name(&self) -> String {
        self.name.to_string()
    }

    fn gone(&self) -> SignalError {
        SignalError::NoListener { name: self.name() }
    }
}
