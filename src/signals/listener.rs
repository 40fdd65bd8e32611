//! Listeners: they notice signals by asking, by waiting, or by a thread that calls a handler.
//!
//! Layer 7.

use super::{undisturbed, ListenerOptions, SignalError, SignalSet};
use crate::attach::{shown, Attachment, Lease};
use crate::endpoint::{AttachError, Inside, Sealed, Source};
use crate::layout::lines::Bell;
use crate::ring::pending::Counted;
use crate::segment::{Canary, CursorName, Memory};
use crate::wait::{until, Deadline, Outcome, Since, Waited};
use core::ops::ControlFlow;
use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a handler's thread checks whether it has to stop.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Notices signals under a name. Made by [`Signals::listener`](crate::Signals::listener).
///
/// # Guarantees
/// Nothing here runs in a POSIX signal handler, and no POSIX signal ends a wait: one that arrives is
/// handled, and the wait goes on.
pub struct Listener {
    counted: Counted,
    attachment: Attachment,
    options: ListenerOptions,
    slept: bool,
    /// When a wait that ended in vain last asked whether the object is still there.
    asked: Since,
    /// A wait set reported that it is not.
    troubled: bool,
    /// Freed last.
    member: Lease,
    one_thread: PhantomData<Cell<()>>,
}

shown!([] Listener, "Listener", |listener| path = listener.attachment.path(), row = listener.member.row());

/// A signal, and how often it was sent since it was last noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// Its number.
    pub signal: u32,
    /// How often it was sent; at least once.
    pub count: u64,
}

/// A thread that calls a handler for each signal it notices. Dropping it stops the thread and waits
/// for it.
pub struct Background {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SignalError>>>,
    canary: Canary,
}

shown!([] Background, "Background", |background| runs = background.thread.as_ref().is_some_and(|thread| !thread.is_finished()));

impl Listener {
    pub(super) fn attach(
        attachment: &Attachment,
        name: CursorName,
        options: ListenerOptions,
    ) -> Result<Self, AttachError> {
        let (member, counted) = Lease::join(attachment, name, |row, generation| {
            Counted::begin(attachment.segment().reader(), row, generation)
        })?;
        Ok(Self {
            counted,
            attachment: attachment.clone(),
            member,
            options,
            slept: false,
            asked: Since::default(),
            troubled: false,
            one_thread: PhantomData,
        })
    }

    /// Returns the lowest signal of a set that was sent and not noticed yet; `None` if there is none. At intervals a
    /// call that finds none asks whether the object is still there.
    ///
    /// # Errors
    /// [`SignalError::Forked`], [`SignalError::Poisoned`], [`SignalError::Removed`].
    pub fn try_wait(&mut self, set: SignalSet) -> Result<Option<Noticed>, SignalError> {
        undisturbed(&self.attachment)?;
        let noticed = self.notice(set);
        if noticed.is_none() && self.asked.due() {
            if let Some(trouble) = self.attachment.trouble() {
                return Err(trouble.into());
            }
        }
        Ok(noticed)
    }

    fn notice(&mut self, set: SignalSet) -> Option<Noticed> {
        let memory = self.attachment.segment().reader();
        let (signal, count) = self.counted.notice(memory, set.0)?;
        Some(Noticed { signal, count })
    }

    /// Waits for a signal of a set.
    ///
    /// # Errors
    /// [`SignalError::Forked`], [`SignalError::Poisoned`].
    pub fn wait(&mut self, set: SignalSet) -> Result<Noticed, SignalError> {
        self.wait_until(set, Deadline::NEVER)
    }

    /// Waits for a signal of a set until a deadline.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`SignalError::TimedOut`].
    pub fn wait_until(
        &mut self,
        set: SignalSet,
        deadline: impl Into<Deadline>,
    ) -> Result<Noticed, SignalError> {
        let deadline = deadline.into();
        let memory = self.attachment.segment().reader().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.data);
        loop {
            undisturbed(&self.attachment)?;
            if let Some(noticed) = self.notice(set) {
                return Ok(noticed);
            }
            let mut arrival = Arrival {
                counted: &self.counted,
                memory: &memory,
                attachment: &self.attachment,
                set: set.0,
            };
            let mut slept = self.slept;
            let strategy = self.options.strategy;
            let outcome = until(&mut arrival, strategy, bell, deadline, &mut slept);
            self.slept = slept;
            match outcome {
                Outcome::Ready | Outcome::Over => {}
                Outcome::Gone => return Err(self.attachment.trouble_found().into()),
                Outcome::TimedOut => {
                    if let Some(noticed) = self.notice(set) {
                        return Ok(noticed);
                    }
                    // Many short waits learn of it as one long wait does.
                    let ask = self.troubled || self.asked.due();
                    let trouble = ask.then(|| self.attachment.trouble()).flatten();
                    return Err(trouble.map_or(SignalError::TimedOut, Into::into));
                }
            }
        }
    }

    /// Calls a handler for each signal of a set, on a thread of its own, until the handler breaks or the
    /// result is dropped.
    ///
    /// # Errors
    /// The kernel's error, if no thread can be started.
    pub fn in_background(
        mut self,
        set: SignalSet,
        mut handler: impl FnMut(Noticed) -> ControlFlow<()> + Send + 'static,
    ) -> io::Result<Background> {
        let canary = self.attachment.canary();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("slipring-signals".into());
        let thread = thread.spawn(move || loop {
            match self.wait_until(set, LOOK_UP) {
                Ok(noticed) => {
                    if handler(noticed).is_break() {
                        return Ok(());
                    }
                }
                Err(SignalError::TimedOut) => {}
                Err(error) => return Err(error),
            }
            if stopped.try_recv() != Err(mpsc::TryRecvError::Empty) {
                return Ok(());
            }
        })?;
        Ok(Background {
            stop: Some(stop),
            thread: Some(thread),
            canary,
        })
    }
}

impl Background {
    /// Waits until the handler breaks.
    ///
    /// # Errors
    /// The error that ended the thread otherwise; [`SignalError::Forked`] in a forked child, which does not
    /// have the thread.
    ///
    /// # Panics
    /// If the handler panicked, with the same payload.
    pub fn join(mut self) -> Result<(), SignalError> {
        if self.canary.forked() {
            return Err(SignalError::Forked);
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take();
        if let Some(thread) = thread.filter(|_| !self.canary.forked()) {
            let _ = thread.join();
        }
    }
}

/// Waiting for a signal of a set.
struct Arrival<'l> {
    counted: &'l Counted,
    memory: &'l Memory,
    attachment: &'l Attachment,
    set: u64,
}

impl Waited for Arrival<'_> {
    fn ready(&mut self) -> bool {
        self.counted.pending(self.memory, self.set)
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.attachment.trouble().is_some()
    }
}

impl Sealed for Listener {}

impl Source for Listener {
    fn memory(&self, _: Inside) -> &Memory {
        self.attachment.segment().reader()
    }

    fn parks(&self) -> bool {
        self.options.strategy.parks()
    }

    fn reports(&mut self) -> bool {
        let memory = self.attachment.segment().reader();
        self.counted.pending(memory, SignalSet::ALL.0)
    }

    fn reports_death(&mut self) -> bool {
        self.troubled = self.attachment.trouble().is_some();
        self.troubled
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.attachment.canary().forked() {
            // A sender that has it as a target is told that it is gone.
            let (row, next) = (self.member.row(), self.member.next_generation());
            Counted::begin(self.attachment.segment().reader(), row, next);
        }
    }
}
